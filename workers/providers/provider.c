/* provider.c - the registry of payment providers, and what their calls have in common
 *
 * Fails with ERR_CONFIG (no such kind, or the implementation lacks something), ERR_INVALID (a request that no
 * provider could read) or what the implementation's start gives; a call that could not be started never calls back.
 */
#include "workers/providers/provider_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static const struct provider_ops *const kinds[] = {&simulated_ops, &stripe_ops, &paypal_ops};

static const struct provider_ops *find_kind(const char *kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i]->kind, kind) == 0)
            return kinds[i];
    return NULL;
}

static int check_options(const struct provider_options *options, struct err *err)
{
    if (!options->loop)
        return err_set(err, ERR_CONFIG, "provider %s: no event loop", options->name);
    if (options->timeout_ms <= 0)
        return err_set(err, ERR_CONFIG, "provider %s: timeout_ms must be positive", options->name);
    return 0;
}

struct provider *provider_open(const struct provider_options *options, struct err *err)
{
    const struct provider_ops *ops = find_kind(options->kind);
    if (!ops) {
        err_set(err, ERR_CONFIG, "provider %s: there is no kind \"%s\"", options->name, options->kind);
        return NULL;
    }
    if (check_options(options, err) < 0)
        return NULL;
    struct provider *provider = mem_new(1, sizeof *provider);
    provider->ops = ops;
    provider->options = *options;
    TAILQ_INIT(&provider->calls);
    if (ops->open(provider, err) < 0) {
        free(provider);
        return NULL;
    }
    return provider;
}

void provider_close(struct provider *provider)
{
    if (!provider)
        return;
    for (struct provider_call *call = TAILQ_FIRST(&provider->calls), *next; call; call = next) {
        next = TAILQ_NEXT(call, link);
        provider_cancel(call);
    }
    provider->ops->close(provider);
    free(provider);
}

const char *provider_name(const struct provider *provider)
{
    return provider->options.name;
}

const struct provider_options *provider_options(const struct provider *provider)
{
    return &provider->options;
}

struct provider_capabilities provider_capabilities(const struct provider *provider)
{
    return provider->ops->capabilities;
}

/* ---- calls ---- */

static bool is_currency(const char *code)
{
    size_t n = 0;
    for (; code && code[n]; n++)
        if (code[n] < 'A' || code[n] > 'Z')
            return false;
    return n == 3;
}

static int check_request(const struct provider_request *request, struct err *err)
{
    size_t key = request->key ? strlen(request->key) : 0;
    if (key == 0 || key >= PROVIDER_KEY_SIZE)
        return err_set(err, ERR_INVALID, "provider call: the idempotency key must have 1 to %d bytes",
                       PROVIDER_KEY_SIZE - 1);
    if (!request->slot || !*request->slot)
        return err_set(err, ERR_INVALID, "provider call: no slot");
    if (request->amount <= 0)
        return err_set(err, ERR_INVALID, "provider call: amount %lld is not positive", (long long)request->amount);
    if (!is_currency(request->currency))
        return err_set(err, ERR_INVALID, "provider call: the currency is not three capital letters");
    return 0;
}

static const char *own_text(const char *text)
{
    return mem_text(text ? text : "");
}

static void own_request(struct provider_request *ret, const struct provider_request *request)
{
    *ret = *request;
    ret->slot = own_text(request->slot);
    ret->key = own_text(request->key);
    ret->authorization_key = own_text(request->authorization_key);
    ret->reference = own_text(request->reference);
    ret->currency = own_text(request->currency);
    ret->payment_token = own_text(request->payment_token);
    ret->description = request->description ? own_text(request->description) : NULL;
}

static void disown_request(struct provider_request *request)
{
    const char *texts[] = {request->slot,     request->key,           request->authorization_key, request->reference,
                           request->currency, request->payment_token, request->description};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free((char *)texts[i]);
}

static void free_call(struct provider_call *call)
{
    loop_source_free(call->later);
    json_decref(call->answer.evidence);
    json_decref(call->answer.action);
    disown_request(&call->request);
    free(call);
}

struct provider_call *provider_start(struct provider *provider, const struct provider_request *request,
                                     void (*done)(void *arg, const struct provider_answer *answer), void *arg,
                                     struct err *err)
{
    if (check_request(request, err) < 0)
        return NULL;
    struct provider_call *call = mem_new(1, sizeof *call);
    call->provider = provider;
    call->done = done;
    call->arg = arg;
    own_request(&call->request, request);
    if (provider->ops->start(call, err) < 0) {
        err_prefix(err, "provider %s", provider->options.name);
        free_call(call);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&provider->calls, call, link);
    return call;
}

void provider_cancel(struct provider_call *call)
{
    TAILQ_REMOVE(&call->provider->calls, call, link);
    call->provider->ops->drop(call);
    free_call(call);
}

/* The call is taken out before `done` hears of it: that may start other calls, cancel others, or close the provider. */
void provider_finish(struct provider_call *call)
{
    TAILQ_REMOVE(&call->provider->calls, call, link);
    call->provider->ops->drop(call);
    if (!call->answer.evidence)
        call->answer.evidence = exchange_evidence(&(struct exchange){.sent_at_ms = 0}, 0, NULL, 0, "");
    call->done(call->arg, &call->answer);
    free_call(call);
}

static void on_later(void *arg)
{
    provider_finish(arg);
}

void provider_finish_later(struct provider_call *call, int64_t delay_ms)
{
    loop_source_free(call->later);
    call->later = loop_timer(call->provider->options.loop, delay_ms, on_later, call);
}

void provider_say(struct provider_call *call, enum provider_outcome outcome, const char *code, const char *message)
{
    call->answer.outcome = outcome;
    snprintf(call->answer.code, sizeof call->answer.code, "%s", code);
    snprintf(call->answer.message, sizeof call->answer.message, "%s", message);
}
