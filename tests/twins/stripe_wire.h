/* stripe_wire.h - Stripe's objects as they travel */
#ifndef TWINS_STRIPE_WIRE_H
#define TWINS_STRIPE_WIRE_H

#include <jansson.h>

#include "form.h"
#include "stripe_books.h"

/* What the client asked to have expanded. */
enum expand {
    EXPAND_CHARGE = 1,  /* latest_charge of an intent, charge of a refund */
    EXPAND_METHOD = 2,  /* payment_method of an intent */
    EXPAND_INTENT = 4,  /* payment_intent of a refund */
    EXPAND_UNKNOWN = 8, /* something the twin does not know */
};

/* From expand[]; `prefix` is "data." for lists. */
unsigned expand_asked(const struct form *form, const char *prefix);

json_t *wire_intent(struct intent *intent, unsigned expand);
json_t *wire_refund(struct refund *refund, unsigned expand);
json_t *wire_balance(void);

/* The inside of {"error": ...} for a declined card; also last_payment_error (then without the intent). */
json_t *wire_card_error(struct intent *intent, const struct decline *decline);

#endif
