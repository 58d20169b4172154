/* provider.h - what every payment provider can do, and what its answers mean
 *
 * One implementation per file in this folder, one row in the registry of provider.c. A provider only talks: what is
 * sent and when, and what follows from an answer, is decided by the steps (L5, L6). Calls are asynchronous; each
 * ends in exactly one answer, at the latest after its timeout. Nothing here keeps state about payments.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_PROVIDER_H
#define ACQUIT_WORKERS_PROVIDERS_PROVIDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/http.h"
#include "common/ids.h"
#include "common/loop.h"

enum { PROVIDER_REFERENCE_SIZE = 128, PROVIDER_CODE_SIZE = 64, PROVIDER_MESSAGE_SIZE = 256, PROVIDER_KEY_SIZE = 128 };

enum provider_operation { PROVIDER_AUTHORIZE, PROVIDER_CAPTURE, PROVIDER_VOID, PROVIDER_REFUND };

enum provider_outcome {
    PROVIDER_DONE,    /* authorized / captured / voided / refunded; for a question: it was */
    PROVIDER_REFUSED, /* a definitive no with a code: nothing was done and the same request will never do it */
    PROVIDER_ACTION,  /* authorize: the customer must answer a challenge; `action` says where */
    PROVIDER_EXPIRED, /* void, question: the authorization ended at the provider by itself */
    PROVIDER_ABSENT,  /* question, void: the provider knows nothing of it (worth only what its horizon allows, L6) */
    PROVIDER_UNKNOWN, /* it may or may not have been done */
};

struct provider_request {
    enum provider_operation operation;
    bool ask; /* only ask what became of it; never cause an effect */
    struct uuid payment_id;
    const char *slot;              /* "auth:1", "capture", "void:1", "refund:2" */
    const char *key;               /* idempotency key, derived from (payment_id, slot) */
    const char *authorization_key; /* key of the authorization that a capture, void or refund belongs to */
    const char *reference;         /* the provider's reference of that authorization; "" when not known */
    int64_t amount;                /* minor units */
    const char *currency;
    const char *payment_token; /* authorize */
    const char *description;   /* or NULL */
    int64_t send_until_ms;     /* wall time after which no effect may be sent (L6); 0: none */
    int64_t authorized_at_ms;  /* wall time of the authorization's intent: its key is no older; 0 when not known */
};

struct provider_answer {
    enum provider_outcome outcome;
    char reference[PROVIDER_REFERENCE_SIZE]; /* its name for what was done: authorization, refund; "" when none */
    char code[PROVIDER_CODE_SIZE];           /* lower case: "insufficient_funds", "timeout"; "" when done */
    char message[PROVIDER_MESSAGE_SIZE];     /* for people; no personal data */
    bool spent;       /* unknown, and its answer is kept under the key: sent again, it will never do anything (L6) */
    bool unfit;       /* refused, and nobody but the provider said so: it cannot take this amount, token or request */
    json_t *evidence; /* {"status","requestSha256","answerSha256","requestId","sentAt","answeredAt"}; borrowed */
    json_t *action;   /* PROVIDER_ACTION: {"type","url"}; borrowed, else NULL */
};

struct provider;      /* one configured provider */
struct provider_call; /* one call under way */

/* What its idempotency keeps, and for how long; data for L6. */
struct provider_capabilities {
    int64_t key_lifetime_ms; /* a key sent again within it gets the first answer */
    bool asks_by_key;        /* a question finds an operation by our key, without its reference */
};

/* The books of the simulated provider are SQL functions; whoever opens it lends a way to run one: `statement` has
 * $1.. text parameters and answers one JSON value, or NULL with err. Runs in a transaction of its own. */
struct provider_books {
    json_t *(*run)(void *arg, const char *statement, const char *const *params, int param_count, struct err *err);
    void *arg;
};

struct provider_options {
    const char *name, *kind, *url, *secret; /* as configured; kept by reference */
    int64_t timeout_ms;
    int64_t visibility_horizon_ms, send_window_ms;
    struct loop *loop;
    struct http *http;                  /* lent */
    const struct provider_books *books; /* lent; NULL when there are none */
};

/* ERR_CONFIG when no implementation has that kind, or it lacks something. */
struct provider *provider_open(const struct provider_options *options, struct err *err) MUST_CHECK;
void provider_close(struct provider *provider); /* accepts NULL; cancels what is under way */

const char *provider_name(const struct provider *provider);
const struct provider_options *provider_options(const struct provider *provider);
struct provider_capabilities provider_capabilities(const struct provider *provider);

/* Starts a call; everything in the request is copied. `done` is called exactly once, from the loop, never from
 * inside; NULL and ERR_* when the call could not even be built (nothing was sent). */
struct provider_call *provider_start(struct provider *provider, const struct provider_request *request,
                                     void (*done)(void *arg, const struct provider_answer *answer), void *arg,
                                     struct err *err) MUST_CHECK;
void provider_cancel(struct provider_call *call); /* `done` is not called; the outcome is unknown */

#endif
