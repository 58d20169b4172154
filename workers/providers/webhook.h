/* webhook.h - signed webhooks to merchants (Standard Webhooks) */
#ifndef ACQUIT_WORKERS_PROVIDERS_WEBHOOK_H
#define ACQUIT_WORKERS_PROVIDERS_WEBHOOK_H

#include "workers/providers/provider.h"

enum webhook_outcome {
    WEBHOOK_DELIVERED, /* 2xx */
    WEBHOOK_REFUSED,   /* any other answer: may be sent again later */
    WEBHOOK_UNKNOWN,   /* no answer: may be sent again, the receiver drops a repeated id */
};
struct webhook_answer {
    enum webhook_outcome outcome;
    char code[PROVIDER_CODE_SIZE];
    json_t *evidence; /* borrowed */
};
struct webhook_request {
    const char *url, *secret; /* "whsec_..." */
    const char *id; /* the same through repeats; up to 128 printable characters, no dot (it separates what is signed) */
    const char *body;
    int64_t timeout_ms;
};
struct webhook_call;
struct webhook_call *webhook_start(struct http *http, const struct webhook_request *request,
                                   void (*done)(void *arg, const struct webhook_answer *answer), void *arg,
                                   struct err *err) MUST_CHECK;
void webhook_cancel(struct webhook_call *call);

/* The header webhook-signature for these parts; exposed for its test vectors. */
int webhook_sign(const char *secret, const char *id, int64_t timestamp_s, const char *body, char *ret, size_t ret_size,
                 struct err *err) MUST_CHECK;

#endif
