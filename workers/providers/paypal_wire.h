/* paypal_wire.h - PayPal's wire format: what we say and what its answers mean; pure, no I/O, no clock
 *
 * Internal to workers/providers/; apart from paypal.c so that tests and fuzz targets can drive it with bytes.
 * paypal_wire.c writes, paypal_answers.c reads.
 *
 * Sources: https://developer.paypal.com/docs/api/orders/v2/, /docs/api/payments/v2/, /api/rest/authentication/,
 * /api/rest/reference/idempotency/, /api/rest/reference/currency-codes/, /api/rest/reference/orders/v2/errors/.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_PAYPAL_WIRE_H
#define ACQUIT_WORKERS_PROVIDERS_PAYPAL_WIRE_H

#include <stddef.h>

#include "common/money.h"
#include "workers/providers/provider.h"

enum {
    PAYPAL_TARGET_MAX = 256,
    PAYPAL_BODY_MAX = 8 * 1024,
    PAYPAL_REQUEST_ID_MAX = 108, /* characters of a PayPal-Request-Id */
    PAYPAL_ID_SIZE = 64,
    PAYPAL_TOKEN_SIZE = 4096, /* an access token, NUL included */
    PAYPAL_DESCRIPTION_MAX = 127,
};

/* What PayPal calls the things of one payment; "" while not known. The reference of an authorization is
 * "ORDER/AUTHORIZATION", or "ORDER" when the customer must act before there is one. */
struct paypal_ids {
    char order[PAYPAL_ID_SIZE], authorization[PAYPAL_ID_SIZE], capture[PAYPAL_ID_SIZE];
};

/* Ids of a reference; what cannot be one leaves them empty. */
struct paypal_ids paypal_ids_of(const char *reference);

/* PayPal's decimal text for an amount in ISO 4217 minor units. On -1 *ret_code says why PayPal cannot be asked for it.
 */
int paypal_amount(int64_t amount, const char *currency, char ret[static MONEY_TEXT_MAX],
                  const char **ret_code) MUST_CHECK;
/* The other way: ISO 4217 minor units, or -1 when this is no amount in that currency. */
int64_t paypal_minor_units(const char *value, const char *currency);

/* A call is one to three exchanges, each of which finds an id that the next one needs. */
enum paypal_step {
    PAYPAL_ORDER, /* the order of the authorization's key: made, or found again. Holds no money by itself */
    PAYPAL_LOOK,  /* the order with everything that became of it */
    PAYPAL_ACT,   /* the effect that the call is for */
};

/* Which exchange comes next with what is known. */
enum paypal_step paypal_next_step(const struct provider_request *request, const struct paypal_ids *ids);

struct paypal_message {
    const char *method;
    char target[PAYPAL_TARGET_MAX];
    char request_id[PAYPAL_REQUEST_ID_MAX + 1]; /* PayPal-Request-Id; "": none */
    char body[PAYPAL_BODY_MAX];
    size_t body_size;
};

/* The bytes of one exchange. `value` is PayPal's amount. -1 with ERR_LIMIT when something does not fit. */
int paypal_encode(const struct provider_request *request, enum paypal_step step, const struct paypal_ids *ids,
                  const char *value, struct paypal_message *ret, struct err *err) MUST_CHECK;

/* What an answer means for this request. True: `ids` has learned what the next exchange needs. Otherwise `ret` is the
 * answer to the whole request (outcome, reference, code, message; action a new reference, or NULL). Any bytes are
 * allowed. */
bool paypal_decode(const struct provider_request *request, enum paypal_step step, int status, const char *body,
                   size_t size, struct paypal_ids *ids, struct provider_answer *ret);

/* An answer to POST /v1/oauth2/token. False: *ret_code says why there is no token in it. */
bool paypal_decode_token(int status, const char *body, size_t size, char ret[static PAYPAL_TOKEN_SIZE],
                         int64_t *ret_lifetime_s, const char **ret_code);

/* The custom_id by which an order or refund is found again: the key without what PayPal does not take. */
void paypal_custom_id(const char *key, char ret[static PROVIDER_KEY_SIZE]);
/* The key of the authorization that the request belongs to: its own, when it is one. */
const char *paypal_authorization_key(const struct provider_request *request);

#endif
