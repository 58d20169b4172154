/* answer.h - what the ingress answers: one envelope for success, one for failure
 *
 *     {"success":true,"message":...,"data":{...}}
 *     {"success":false,"error":CODE,"error_code":CODE,"message":...,"details":[{"field":...,"message":...}],"retryAfter":...}
 *
 * Pure: builds values, sends nothing. An answer is one struct that the caller owns until it hands it to
 * request_answer().
 */
#ifndef ACQUIT_WORKERS_INGRESS_ANSWER_H
#define ACQUIT_WORKERS_INGRESS_ANSWER_H

#include <jansson.h>
#include <stddef.h>

#include "common/err.h"

enum {
    ANSWER_HEADERS_MAX = 6,
    ANSWER_NAME_SIZE = 32,
    ANSWER_VALUE_SIZE = 256,
    RETRY_AFTER_S = 30, /* what a client is told to wait when we cannot serve it */
};

/* Every failure that this API knows: code on the wire, HTTP status, and when it is given (for the API description). */
#define FAILURES(X)                                                                                                    \
    X(VALIDATION, 400, "VALIDATION_ERROR", "the request is readable but not acceptable; details name the fields")      \
    X(JSON, 400, "INVALID_JSON", "the body is not one JSON object")                                                    \
    X(CARD_DATA, 400, "CARD_DATA_REFUSED", "the body carries what looks like a card number or security code")          \
    X(UNAUTHORIZED, 401, "UNAUTHORIZED", "no API key, or one that nobody here has")                                    \
    X(SIGNATURE, 401, "INVALID_SIGNATURE", "no validator that is configured here has signed this")                     \
    X(GATEWAY, 402, "PAYMENT_GATEWAY_ERROR",                                                                           \
      "the payment provider refused the payment; it failed, and nothing is owed")                                      \
    X(FAILED, 402, "PAYMENT_FAILED", "the payment failed before the provider was asked, or was undone")                \
    X(NO_ROUTE, 404, "NOT_FOUND", "no such path")                                                                      \
    X(NO_PAYMENT, 404, "PAYMENT_NOT_FOUND", "no such payment of this publisher")                                       \
    X(NO_REFUND, 404, "REFUND_NOT_FOUND", "no such refund of this publisher")                                          \
    X(METHOD, 405, "METHOD_NOT_ALLOWED", "the path exists, but not for this method; see Allow")                        \
    X(KEY_CONFLICT, 409, "IDEMPOTENCY_CONFLICT", "the Idempotency-Key was used before, with another body")             \
    X(NOT_CANCELLABLE, 409, "PAYMENT_NOT_CANCELLABLE", "the payment is decided and cannot be cancelled any more")      \
    X(ARCHIVED, 410, "PAYMENT_ARCHIVED", "the payment is so old that it was archived; the operator can bring it back") \
    X(TOO_LARGE, 413, "PAYLOAD_TOO_LARGE", "the body is larger than this server takes")                                \
    X(MEDIA_TYPE, 415, "UNSUPPORTED_MEDIA_TYPE", "the body must be application/json")                                  \
    X(INTERNAL, 500, "INTERNAL_ERROR", "we are broken")                                                                \
    X(UNAVAILABLE, 503, "SERVICE_UNAVAILABLE", "broker or database away; the same key may be sent again later")

enum failure {
#define X(id, status, code, when) FAILURE_##id,
    FAILURES(X)
#undef X
};
enum {
#define X(id, status, code, when) +1
    FAILURE_COUNT = 0 FAILURES(X)
#undef X
};
struct failure_kind {
    int status;
    const char *code, *when;
};
const struct failure_kind *failure_kind(enum failure failure);

struct answer_header {
    char name[ANSWER_NAME_SIZE], value[ANSWER_VALUE_SIZE];
};

struct answer {
    int status;               /* HTTP; 0: no answer yet */
    json_t *json;             /* owned; the body, or NULL when `text` is */
    char *text;               /* owned */
    const char *content_type; /* of `text` */
    size_t header_count;
    struct answer_header headers[ANSWER_HEADERS_MAX];
};

/* `data` is taken over; NULL when there is none. */
struct answer answer_success(int status, const char *message, json_t *data);
/* Failure with a message for a person: what is wrong and what to do. 503 carries retryAfter and Retry-After. */
struct answer answer_failure(enum failure failure, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A bare JSON object, for documents and health. `json` is taken over. */
struct answer answer_json(int status, json_t *json);
/* Text is taken over (free()). */
struct answer answer_text(int status, const char *content_type, char *text);

/* Refuses one field; the first call makes the answer (400), which had status 0 before, the others add to its details.
 */
void answer_invalid(struct answer *answer, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Adds {"field","message"} to a failure's details. `field` NULL: the request as a whole. */
void answer_detail(struct answer *answer, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Adds a member to the detail that was added last; an empty value is left out. */
void answer_detail_member(struct answer *answer, const char *name, const char *value);
/* Adds a header; a value that does not fit, or one beyond ANSWER_HEADERS_MAX, is our bug and panics. */
void answer_header(struct answer *answer, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
void answer_clear(struct answer *answer);

#endif
