/* pop_state_wire.h - a validator's statement about a payment, on the wire; pure, no I/O, no clock
 *
 * Internal to workers/providers/; apart from pop_state.c so that tests and fuzz targets can drive it.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_POP_STATE_WIRE_H
#define ACQUIT_WORKERS_PROVIDERS_POP_STATE_WIRE_H

#include "workers/providers/pop_state.h"

enum { POP_NONCE_SIZE = 33 /* 32 hex digits */, POP_STATE_TARGET_MAX = 128 };

/* Path and query of the question. */
void pop_state_encode(struct uuid payment_id, const char *nonce, char ret_target[static POP_STATE_TARGET_MAX]);

/* What the answer means; any bytes are allowed. */
void pop_state_decode(const struct pop_question *question, const char *nonce, int64_t now_ms, int status,
                      const char *body, size_t size, struct pop_state *ret);

#endif
