/* paypal_answers.h - what all operations of the PayPal twin share: the way in, access tokens, amounts, errors, objects
 */
#ifndef TWINS_PAYPAL_ANSWERS_H
#define TWINS_PAYPAL_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>

#include "call.h"
#include "paypal_books.h"

/* "ID:SECRET"; NULL lets everybody in. */
void paypal_configure(const char *credentials);

/* Gives the answer its headers and lets the caller in by an access token that has not ended. False: answered. */
bool paypal_enter(struct call *call);
/* Takes the PayPal-Request-Id. False: the answer is there already (the earlier one, or an error). */
bool paypal_begin(struct call *call);

/* {"name","message","debug_id","details":[{"issue","description"}]}; a NULL issue leaves the details out. */
void paypal_refuse(struct call *call, unsigned status, const char *name, const char *issue);
/* 422 UNPROCESSABLE_ENTITY */
void paypal_refuse_issue(struct call *call, const char *issue);
void paypal_refuse_missing(struct call *call);

/* {"currency_code","value"} in minor units. False: refused, answered. */
bool paypal_read_amount(struct call *call, const json_t *amount, char currency[4], int64_t *ret);

/* The order that path argument 0 leads to; sets call->payment. NULL: refused, answered. */
struct paypal_order *paypal_order_arg(struct call *call);

/* Objects as they travel, always whole (Prefer: return=representation). `lag_ms`: refunds younger than that are not shown. */
json_t *paypal_wire_order(struct paypal_order *order, int64_t lag_ms);
json_t *paypal_wire_entry(const struct paypal_order *order, const struct paypal_entry *entry, const char *collection);

extern const struct twin paypal_twin;

/* POST /v1/oauth2/token */
void paypal_open_token(struct call *call);
void paypal_effect_token(struct call *call);

/* Any other path below /paypal. */
void paypal_open_unknown(struct call *call);

#endif
