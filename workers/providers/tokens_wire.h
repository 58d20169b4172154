/* tokens_wire.h - what the token system's answers mean; pure, no I/O, no clock
 *
 * Internal to workers/providers/; apart from tokens.c so that tests and fuzz targets can drive it.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_TOKENS_WIRE_H
#define ACQUIT_WORKERS_PROVIDERS_TOKENS_WIRE_H

#include "workers/providers/tokens.h"

enum { TOKENS_TARGET_MAX = 128 };

/* Path and body of a request; *ret_body is to be freed, or NULL when there is none. */
void tokens_encode(const struct tokens_request *request, char ret_target[static TOKENS_TARGET_MAX], char **ret_body);

/* Fills outcome, state and code; any bytes are allowed. */
void tokens_decode(const struct tokens_request *request, int status, const char *body, size_t size,
                   struct tokens_answer *ret);

#endif
