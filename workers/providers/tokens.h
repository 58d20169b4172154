/* tokens.h - the token system: reserve, activate, release (docs/provider-interfaces.md) */
#ifndef ACQUIT_WORKERS_PROVIDERS_TOKENS_H
#define ACQUIT_WORKERS_PROVIDERS_TOKENS_H

#include "workers/providers/provider.h"

enum tokens_operation { TOKENS_RESERVE, TOKENS_ACTIVATE, TOKENS_RELEASE, TOKENS_DEACTIVATE };
enum tokens_outcome {
    TOKENS_DONE,    /* reserved / active / released */
    TOKENS_REFUSED, /* a definitive no; `code` says why ("tokens_unavailable") */
    TOKENS_ACTIVE,  /* release: they are active already, nothing was taken back */
    TOKENS_UNKNOWN,
};
struct tokens_answer {
    enum tokens_outcome outcome;
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
