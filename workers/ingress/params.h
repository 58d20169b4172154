/* params.h - what clients say in headers and query strings, read with bounds
 *
 * Pure. Each function takes the raw text (NULL when the client said nothing) and refuses what it does not understand,
 * except that a preference (Prefer) nobody understands is no error (RFC 7240).
 */
#ifndef ACQUIT_WORKERS_INGRESS_PARAMS_H
#define ACQUIT_WORKERS_INGRESS_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ids.h"

enum {
    KEY_SIZE = 129,        /* an Idempotency-Key of at most 128 bytes, and NUL */
    TRACEPARENT_SIZE = 56, /* 55 characters (W3C Trace Context, version 00), and NUL */
    REFUND_ID_SIZE = 36,   /* "rf_" + 32 hex digits and NUL */
    LIST_LIMIT_DEFAULT = 20,
};

/* How long the client would wait for the end state, in ms: `?wait_ms=` before `Prefer: wait=` (seconds); 0 = answer at
 * once. Cut to `most`. -1 when wait_ms is no number. */
int params_wait(const char *prefer, const char *wait_ms, int64_t most, int64_t *ret_ms, struct err *err) MUST_CHECK;

/* An Idempotency-Key: 1 to 128 printable ASCII characters that do not look like a card number. */
int params_key(const char *text, char ret[static KEY_SIZE], struct err *err) MUST_CHECK;

/* A decimal integer in [least, most]; absent: the fallback. */
int params_int(const char *text, int64_t fallback, int64_t least, int64_t most, int64_t *ret,
               struct err *err) MUST_CHECK;

/* A W3C traceparent that may be passed on: version 00, lower-case hex, ids not all zero. */
bool params_traceparent(const char *text);

/* `?command=`: a command id, a dot, and the SHA-256 of the body that it was sent with, as statusUrl gives it. */
int params_command(const char *text, struct uuid *ret_id, char ret_sha256[static 65], struct err *err) MUST_CHECK;

/* "application/json", with parameters or without. */
bool params_is_json(const char *content_type);

/* The key in `Authorization: Bearer KEY`, or NULL. Borrowed from the header. */
const char *params_bearer(const char *authorization);

/* `rf_` + 32 hex digits, or the plain UUID: the id of the command that asked for the refund. */
void refund_id_format(struct uuid command, char ret[static REFUND_ID_SIZE]);
int refund_id_parse(const char *text, struct uuid *ret) MUST_CHECK;

#endif
