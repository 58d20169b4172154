/* stripe_wire.h - Stripe's wire format: what we say and what its answers mean; pure, no I/O, no clock
 *
 * Internal to workers/providers/; apart from stripe.c so that tests and fuzz targets can drive it with bytes.
 *
 * Sources: https://docs.stripe.com/api/payment_intents, /api/refunds, /api/errors, /api/idempotent_requests,
 * /error-codes, /currencies, /search.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_STRIPE_WIRE_H
#define ACQUIT_WORKERS_PROVIDERS_STRIPE_WIRE_H

#include <stddef.h>

#include "workers/providers/provider.h"

#define STRIPE_VERSION "2025-05-28.basil" /* pinned: what is written here was read for this version */

enum {
    STRIPE_TARGET_MAX = 1024, /* path and query */
    STRIPE_BODY_MAX = 32 * 1024,
    STRIPE_REFUNDS_MAX =
        100, /* refunds of one payment intent that a question can see: one page, the largest there is */
};

/* Stripe's number for an amount in ISO 4217 minor units. On -1 *ret_code says why Stripe cannot be asked for it. */
int stripe_amount(int64_t amount, const char *currency, int64_t *ret, const char **ret_code) MUST_CHECK;

/* A call is one or two exchanges: when the reference of the authorization is not known it is looked for first. */
enum stripe_step { STRIPE_LOCATE, STRIPE_ACT };

struct stripe_message {
    const char *method;
    char target[STRIPE_TARGET_MAX];
    char body[STRIPE_BODY_MAX];
    size_t body_size;
};

/* The bytes of one exchange. `amount` is Stripe's. -1 with ERR_LIMIT when something does not fit. */
int stripe_encode(const struct provider_request *request, enum stripe_step step, int64_t amount,
                  struct stripe_message *ret, struct err *err) MUST_CHECK;

/* What an answer of STRIPE_ACT means for this request. Fills outcome, reference, code, message and action (a new
 * reference, or NULL); any bytes are allowed. `amount` is Stripe's, or 0 when it is not known: a different amount in
 * the answer makes it PROVIDER_UNKNOWN. */
void stripe_decode(const struct provider_request *request, int64_t amount, int status, const char *body, size_t size,
                   struct provider_answer *ret);

/* The same for STRIPE_LOCATE. True when there is exactly one payment intent with that authorization's key: its id is
 * in `ret_reference`. Otherwise `ret` is the answer to the whole request. */
bool stripe_decode_search(const struct provider_request *request, int status, const char *body, size_t size,
                          char ret_reference[static PROVIDER_REFERENCE_SIZE], struct provider_answer *ret);

#endif
