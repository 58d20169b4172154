/* tokens.h - the token system: reserve, activate, release, ask (docs/provider-interfaces.md) */
#ifndef ACQUIT_WORKERS_PROVIDERS_TOKENS_H
#define ACQUIT_WORKERS_PROVIDERS_TOKENS_H

#include "workers/providers/provider.h"

enum tokens_operation { TOKENS_RESERVE, TOKENS_ACTIVATE, TOKENS_RELEASE, TOKENS_DEACTIVATE, TOKENS_ASK };
enum tokens_outcome {
    TOKENS_DONE,    /* reserved / active / released; ask: `state` is the answer */
    TOKENS_REFUSED, /* a definitive no; `code` says why ("tokens_unavailable") */
    TOKENS_ACTIVE,  /* release: they are active already, nothing was taken back */
    TOKENS_UNKNOWN,
};

/* What the token system's own books say of a payment. */
/* clang-format off */
#define TOKENS_STATUSES(X)                                                                                             \
    X(UNSEEN, "unknown") X(RESERVED, "reserved") X(REFUSED, "refused") X(ACTIVE, "active") X(EXPIRED, "expired")       \
    X(RELEASED, "released") X(DEACTIVATED, "deactivated")
/* clang-format on */
enum tokens_status {
#define X(id, text) TOKENS_IS_##id,
    TOKENS_STATUSES(X)
#undef X
};
enum {
#define X(id, text) +1
    TOKENS_STATUS_COUNT = 0 TOKENS_STATUSES(X)
#undef X
};
const char *tokens_status_text(enum tokens_status status);

enum { TOKENS_ID_SIZE = 129 };
struct tokens_state {
    enum tokens_status status;
    char token_id[TOKENS_ID_SIZE]; /* "": it never heard of any (unknown, or released before it was reserved) */
    int64_t quantity;              /* 0 where token_id is "" */
    int64_t changed_at_ms;         /* wall time since when, 0: it does not say */
};

struct tokens_answer {
    enum tokens_outcome outcome;
    struct tokens_state state; /* of an ask that is done; else zeros */
    char code[PROVIDER_CODE_SIZE];
    json_t *evidence; /* borrowed */
};
struct tokens_request {
    enum tokens_operation operation;
    struct uuid payment_id;
    const char *token_id; /* reserve */
    int64_t quantity;     /* reserve */
};
struct tokens_options {
    const char *url, *key;
    int64_t timeout_ms;
    struct http *http;
};

struct tokens;
struct tokens_call;
struct tokens *tokens_open(const struct tokens_options *options, struct err *err) MUST_CHECK;
void tokens_close(struct tokens *tokens);
struct tokens_call *tokens_start(struct tokens *tokens, const struct tokens_request *request,
                                 void (*done)(void *arg, const struct tokens_answer *answer), void *arg,
                                 struct err *err) MUST_CHECK;
void tokens_cancel(struct tokens_call *call);

#endif
