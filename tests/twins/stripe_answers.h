/* stripe_answers.h - what all operations of the Stripe twin share: the way in, parameters, errors */
#ifndef TWINS_STRIPE_ANSWERS_H
#define TWINS_STRIPE_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>

#include "call.h"
#include "stripe_books.h"

/* A NULL key lets everybody in. The name is that of the metadata member that holds the payment id. */
void stripe_configure(const char *secret_key, const char *payment_key);
const char *stripe_payment_key(void);

/* Gives the answer its headers and lets the caller in: key, readable parameters, none that is unknown (`allowed` ends
 * with NULL). False: refused, answered. */
bool stripe_enter(struct call *call, const char *const *allowed);

/* Takes the Idempotency-Key. False: the answer is there already (the earlier one, or an error). */
bool stripe_begin(struct call *call);

/* One error, in Stripe's form. Members that are NULL or 0 are left out; type defaults to invalid_request_error,
 * status to 400. */
struct stripe_error {
    unsigned status;
    const char *type;
    const char *code;
    const char *message;
    const char *param;
    struct intent *intent;         /* error.payment_intent */
    const struct decline *decline; /* a card error: type, code and message come from here, status is 402 */
};
void stripe_refuse(struct call *call, const struct stripe_error *error);

/* 404 for a path, 400 for a parameter. */
void stripe_refuse_missing(struct call *call, unsigned status, const char *what, const char *id, const char *param);
void stripe_refuse_full(struct call *call);

/* Parameters. Each false: refused, answered. A missing optional one leaves *ret as it was. */
bool stripe_integer(struct call *call, const char *name, int64_t min, int64_t max, int64_t *ret);
bool stripe_boolean(struct call *call, const char *name, bool *ret);
bool stripe_one_of(struct call *call, const char *name, const char *const *choices, const char **ret);
bool stripe_limit(struct call *call, int64_t *ret);

/* metadata[...] as a new object, or NULL (refused, answered). */
json_t *stripe_metadata(struct call *call);

/* The same, laid over what is there already; an empty value takes a member away. */
void stripe_merge_metadata(json_t *into, const json_t *given);

/* expand[], as bits of enum expand. False: refused, answered. */
bool stripe_expand(struct call *call, const char *prefix, unsigned *ret);

/* The intent in path argument 0; sets call->payment. NULL: refused, answered. */
struct intent *stripe_intent_arg(struct call *call);

extern const struct twin stripe_twin;

/* Any other path below /stripe. */
void stripe_open_unknown(struct call *call);

#endif
