/* http.h - HTTP requests from inside the loop (libcurl's multi interface)
 *
 * Every request has a deadline. The answer says how far it got, because that decides whether money may have moved (L6):
 * a request that was never sent (connection refused, name not found) had no effect; any other failure is unknown.
 * An answer is one to the request, as far as a client can see that: a kept connection on which something waits unasked is not used.
 * Redirects are not followed, proxies from the environment are not used.
 */
#ifndef ACQUIT_COMMON_HTTP_H
#define ACQUIT_COMMON_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"

enum { HTTP_HEADERS_MAX = 12, HTTP_ANSWER_MAX = 1024 * 1024 };

struct http; /* the client of one process */

struct http_header {
    const char *name, *value;
};

struct http_request {
    const char *method; /* "POST" */
    const char *url;
    struct http_header headers[HTTP_HEADERS_MAX]; /* ends at the first with a NULL name */
    const char *body;                             /* copied; may be NULL */
    size_t body_size;
    int64_t timeout_ms; /* whole request; must be > 0 */
};

enum http_outcome {
    HTTP_ANSWERED, /* a complete HTTP answer, of whatever status */
    HTTP_NOT_SENT, /* nothing reached the server: no effect there */
    HTTP_UNKNOWN,  /* sent, wholly or in part, but no complete answer: timeout, reset, garbage, too large */
};

struct http_answer {
    enum http_outcome outcome;
    int status;       /* HTTP status, 0 unless answered */
    const char *body; /* NUL-terminated, borrowed until the callback returns; "" when none */
    size_t body_size;
    const char *error; /* why, when not answered; else "" */
    int64_t elapsed_ms;
    const char *request_id; /* the server's Request-Id header, or "" */
    int64_t retry_after_s;  /* its Retry-After, or -1 */
    bool replayed; /* it says `Idempotent-Replayed: true`: the kept answer to an earlier request under this key */
};

struct http_call; /* one request under way */

struct http *http_new(struct loop *loop, struct err *err) MUST_CHECK;
void http_free(struct http *http); /* cancels what is under way without calling back; accepts NULL */

/* Starts the request and returns a handle that stays valid until `done` is called, or NULL with ERR_INVALID/ERR_LIMIT,
 * in which case `done` is never called. Everything in `request` is copied. `done` is called exactly once, from the
 * loop, never from inside this function. */
struct http_call *http_start(struct http *http, const struct http_request *request,
                             void (*done)(void *arg, const struct http_answer *answer), void *arg,
                             struct err *err) MUST_CHECK;
/* Ends the request; `done` is not called. What the server did with it is unknown. */
void http_cancel(struct http_call *call);

#endif
