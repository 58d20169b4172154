/* paypal_keys.h - PayPal-Request-Ids: the first answer under one is given again for 45 days of the twin's clock
 *
 * https://developer.paypal.com/api/rest/reference/idempotency/. An id is one per kind of call. What was not decided
 * (401, 429, 5xx, a customer who has to act first) is not kept. All functions are called under the books' lock.
 */
#ifndef TWINS_PAYPAL_KEYS_H
#define TWINS_PAYPAL_KEYS_H

#include <stdbool.h>

#include "call.h"

enum paypal_key_outcome {
    PAYPAL_KEY_NEW,    /* go on; the call now holds the id (or has none) */
    PAYPAL_KEY_REPLAY, /* answered as before, call->repeat set */
    PAYPAL_KEY_IN_USE, /* another call holds it */
    PAYPAL_KEY_OTHER,  /* it was used for something else */
    PAYPAL_KEY_FULL,   /* there is no room for another */
};

enum paypal_key_outcome paypal_key_begin(struct call *call);

/* The answer of a call that holds an id is what the id stands for from now on. */
void paypal_key_keep(struct call *call);

/* The call lets go of its id; without a kept answer the id is as if never used. */
void paypal_key_done(struct call *call);

/* Replay of the state file. */
bool paypal_apply_key(const json_t *record);

#endif
