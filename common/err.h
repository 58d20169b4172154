/* err.h - how a function says what went wrong
 *
 * A fallible function returns 0 or -1 and takes a `struct err *` that it fills on failure; the first error wins, so a
 * caller may pass the same struct through a chain and read the cause at its end. The code says what can be done about
 * it, the text says it to a person: it names the thing and the remedy, and never holds a secret. An error is returned
 * or logged, once, never both.
 */
#ifndef ACQUIT_COMMON_ERR_H
#define ACQUIT_COMMON_ERR_H

#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define ERR_CODES(X)                                                                                                   \
    X(NONE, "no error")                                                                                                \
    X(INVALID, "invalid input") /* the caller's data is wrong; never worth a retry */                                  \
    X(CONFLICT, "conflict")     /* same key, other content (L10) */                                                    \
    X(NOT_FOUND, "not found")                                                                                          \
    X(DENIED, "denied")                                                                                                \
    X(AGAIN, "try again")         /* the world is not ready: network, server away, deadlock */                         \
    X(UNKNOWN, "outcome unknown") /* it may or may not have happened (L6) */                                           \
    X(LIMIT, "limit exceeded")    /* a named bound was hit (L12) */                                                    \
    X(SHORT, "not enough left")   /* of something that is counted: a decision, no fault */                             \
    X(CONFIG, "bad configuration")                                                                                     \
    X(INTERNAL, "internal error") /* we are broken */

enum err_code {
#define X(id, text) ERR_##id,
    ERR_CODES(X)
#undef X
};

enum { ERR_TEXT_MAX = 512 };

struct err {
    enum err_code code;
    char text[ERR_TEXT_MAX]; /* one line, no final dot, NUL-terminated, cut if longer */
};

/* Records `code` and the formatted text unless `err` already holds an error, and returns -1, so that a function can
 * `return err_set(err, ...)`. `err` may be NULL when nobody wants the text. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " before the text of an error already set; says where it happened. Returns -1. */
int err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

void err_clear(struct err *err);

/* The code's text ("invalid input"). */
const char *err_code_text(enum err_code code);

/* The exit code that the programs promise for this error: 1, 75 (try again later) or 78 (bad configuration). */
int err_exit_code(const struct err *err);

#endif
