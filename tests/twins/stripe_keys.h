/* stripe_keys.h - Stripe's idempotency keys
 *
 * As documented on https://docs.stripe.com/api/idempotent_requests: the first status and body under a key are given
 * again, also a 500, for at least 24 hours; other parameters under the same key are an error; a key in use is a
 * conflict; what fails validation is not remembered (so begin only after it). All functions are called under the
 * books' lock.
 */
#ifndef TWINS_STRIPE_KEYS_H
#define TWINS_STRIPE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "call.h"

enum key_outcome {
    KEY_NEW,    /* go on; the call now holds the key (or has none) */
    KEY_REPLAY, /* answered as before, call->repeat set */
    KEY_IN_USE, /* another call holds it */
    KEY_OTHER,  /* it was used with other parameters */
};

enum key_outcome stripe_key_begin(struct call *call);

/* The answer of a call that holds a key is what the key stands for from now on. */
void stripe_key_keep(struct call *call);

/* The call lets go of its key; without a kept answer the key is as if never used. */
void stripe_key_done(struct call *call);

/* How many were forgotten before their time, to keep within memory. A test that sees other than 0 proves nothing. */
uint64_t stripe_keys_evicted(void);

/* Replay of the state file. */
bool stripe_apply_key(const json_t *record);

#endif
