/* provider_impl.h - what one payment provider implements; internal to workers/providers/
 *
 * To add a provider: a file with one `struct provider_ops`, a line for it below, a row in the registry of
 * provider.c, a twin, a scenario.
 *
 * The life of a call: provider_start() checks and copies the request and hands the call to ops->start(), which sends
 * or arms something; later, from the loop, the implementation ends it with provider_finish() or
 * provider_finish_later(), exactly once; or provider_cancel() and provider_close() end it through ops->drop(), and
 * nothing is said.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_PROVIDER_IMPL_H
#define ACQUIT_WORKERS_PROVIDERS_PROVIDER_IMPL_H

#include <sys/queue.h>

#include "workers/providers/answer.h"
#include "workers/providers/provider.h"

struct provider_ops {
    const char *kind;
    struct provider_capabilities capabilities;
    int (*open)(struct provider *provider, struct err *err); /* checks the options, sets provider->state */
    void (*close)(struct provider *provider);                /* no call is left */
    int (*start)(struct provider_call *call,
                 struct err *err);            /* -1: nothing was sent, the call is freed without drop() */
    void (*drop)(struct provider_call *call); /* ends what is under way, frees call->state; also before an answer */
};

extern const struct provider_ops simulated_ops;
extern const struct provider_ops stripe_ops;
extern const struct provider_ops paypal_ops;

TAILQ_HEAD(provider_calls, provider_call);

struct provider {
    const struct provider_ops *ops;
    struct provider_options options;
    struct provider_calls calls; /* under way */
    void *state;                 /* the implementation's */
};

struct provider_call {
    struct provider *provider;
    struct provider_request request; /* its texts are the call's own; never NULL but `description` */
    void (*done)(void *arg, const struct provider_answer *answer);
    void *arg;
    TAILQ_ENTRY(provider_call) link;
    struct loop_source *later;     /* provider_finish_later */
    struct provider_answer answer; /* what it will say; evidence and action are owned */
    void *state;                   /* the implementation's */
};

/* Ends the call with call->answer; the call is gone afterwards. From the loop only. */
void provider_finish(struct provider_call *call);
/* The same in `delay_ms`, for what is known without the network. */
void provider_finish_later(struct provider_call *call, int64_t delay_ms);

/* Fills call->answer, evidence and action apart. `code` is taken as it is. */
void provider_say(struct provider_call *call, enum provider_outcome outcome, const char *code, const char *message);

#endif
