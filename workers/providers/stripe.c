/* stripe.c - Stripe as a payment provider (https://docs.stripe.com/api)
 *
 * An authorization is a payment intent with manual capture, confirmed at once. Each call is one HTTP exchange, or
 * two when the reference of the authorization is not known and is searched for by our key first; stripe_wire.c says
 * what is sent and what the answers mean. Nothing is sent again from here: a POST whose answer is lost is
 * PROVIDER_UNKNOWN, and the step decides (L6).
 *
 * What is refused without a call, because no answer could differ: an authorization without a token, an amount or
 * currency that Stripe cannot express. Fails with ERR_CONFIG when URL or key is missing, ERR_LIMIT when a request
 * would be too long.
 *
 * Known limits: a search sees a new intent late (that is what the visibility horizon is for), and is not offered to
 * merchants in India; a question about a refund sees the newest STRIPE_REFUNDS_MAX of a payment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/providers/provider_impl.h"
#include "workers/providers/stripe_wire.h"

enum {
    KEY_LIFETIME_MS =
        24 * 3600 * 1000, /* "at least 24 hours": after that a key may be forgotten, and the POST would act anew */
    URL_MAX = 512,
    HEADER_MAX = 1024,
};

struct stripe {
    char authorization[HEADER_MAX]; /* "Bearer sk_..." */
};

struct stripe_call {
    enum stripe_step step;
    int64_t amount;      /* Stripe's; 0: cannot be expressed, and is only asked about */
    int64_t deadline_ms; /* monotonic, of both exchanges together */
    int64_t timeout_ms;  /* of the exchange under way */
    char located[PROVIDER_REFERENCE_SIZE];
    struct exchange exchange;
    struct http_call *http;
};

static void act(struct provider_call *call);

/* ---- the provider ---- */

static int stripe_open(struct provider *provider, struct err *err)
{
    const struct provider_options *options = &provider->options;
    if (!options->http)
        return err_set(err, ERR_CONFIG, "provider %s: no HTTP client", options->name);
    if (!options->url || (strncmp(options->url, "https://", 8) != 0 && strncmp(options->url, "http://", 7) != 0))
        return err_set(err, ERR_CONFIG, "provider %s: url must begin with https:// (or http:// for a twin)",
                       options->name);
    if (strlen(options->url) >= URL_MAX)
        return err_set(err, ERR_CONFIG, "provider %s: url is longer than %d bytes", options->name, URL_MAX - 1);
    if (!options->secret || !*options->secret || !answer_is_header_text(options->secret))
        return err_set(err, ERR_CONFIG, "provider %s: the secret key is missing or not a key", options->name);
    if (options->send_window_ms >= KEY_LIFETIME_MS)
        return err_set(err, ERR_CONFIG, "provider %s: send_window_ms must be below %d, the life of an idempotency key",
                       options->name, KEY_LIFETIME_MS);
    struct stripe *stripe = mem_new(1, sizeof *stripe);
    int n = snprintf(stripe->authorization, sizeof stripe->authorization, "Bearer %s", options->secret);
    if (n < 0 || (size_t)n >= sizeof stripe->authorization) {
        free(stripe);
        return err_set(err, ERR_CONFIG, "provider %s: the secret key is too long", options->name);
    }
    provider->state = stripe;
    return 0;
}

static void stripe_close(struct provider *provider)
{
    struct stripe *stripe = provider->state;
    explicit_bzero(stripe->authorization, sizeof stripe->authorization);
    free(stripe);
}

/* ---- one call ---- */

/* Two codes mean that something is wrong on our side of the wire, and that nobody will notice from one payment. */
static void log_our_fault(const struct provider_call *call)
{
    if (call->answer.outcome != PROVIDER_UNKNOWN)
        return;
    bool conflict = strcmp(call->answer.code, "idempotency_conflict") == 0;
    if (!conflict && strcmp(call->answer.code, "configuration") != 0)
        return;
    char id[UUID_TEXT_SIZE];
    uuid_format(call->request.payment_id, id);
    log_error("provider %s: %s payment=%s slot=%s", call->provider->options.name,
              conflict ? "two different requests under one idempotency key" : "the key, account or URL is refused", id,
              call->request.slot);
}

static void finish(struct provider_call *call)
{
    log_our_fault(call);
    provider_finish(call);
}

static void say_silence(struct provider_call *call, const struct http_answer *answer)
{
    char message[PROVIDER_MESSAGE_SIZE];
    answer_message(message, answer->error, NULL);
    provider_say(call, PROVIDER_UNKNOWN, answer_silence(answer, ((const struct stripe_call *)call->state)->timeout_ms),
                 message);
}

/* The intent is found: now the exchange that the call is for. */
static void go_on(struct provider_call *call)
{
    struct stripe_call *state = call->state;
    free((char *)call->request.reference);
    call->request.reference = mem_text(state->located);
    state->step = STRIPE_ACT;
    act(call);
}

/* Stripe keeps the first answer under a key, errors of its own included. Sending again can do nothing any more when
 * what came is such a repeat, when it is what a request that was carried out is answered with (a payment that is
 * still processing, a refund that is pending), or when the key is taken by other content. An answer that nobody
 * could read may have been garbled on its way, and tells nothing about what is kept. */
static bool is_spent(const struct provider_call *call, const struct http_answer *answer)
{
    const struct stripe_call *state = call->state;
    const char *code = call->answer.code;
    if (call->answer.outcome != PROVIDER_UNKNOWN || call->request.ask || state->step != STRIPE_ACT ||
        answer->outcome != HTTP_ANSWERED)
        return false;
    bool carried_out = answer->status >= 200 && answer->status <= 299 && strcmp(code, "unreadable_answer") != 0;
    return answer->replayed || carried_out || strcmp(code, "idempotency_conflict") == 0;
}

static void on_answer(void *arg, const struct http_answer *answer)
{
    struct provider_call *call = arg;
    struct stripe_call *state = call->state;
    state->http = NULL;
    bool located = false;
    if (answer->outcome != HTTP_ANSWERED)
        say_silence(call, answer);
    else if (state->step == STRIPE_LOCATE)
        located = stripe_decode_search(&call->request, answer->status, answer->body, answer->body_size, state->located,
                                       &call->answer);
    else
        stripe_decode(&call->request, state->amount, answer->status, answer->body, answer->body_size, &call->answer);
    call->answer.spent = !located && is_spent(call, answer);
    if (located) {
        go_on(call);
        return;
    }
    call->answer.evidence = exchange_http_evidence(&state->exchange, answer);
    finish(call);
}

static int send_message(struct provider_call *call, const struct stripe_message *message, struct err *err)
{
    const struct provider_options *options = &call->provider->options;
    const struct stripe *stripe = call->provider->state;
    struct stripe_call *state = call->state;
    char url[URL_MAX + STRIPE_TARGET_MAX];
    snprintf(url, sizeof url, "%s%s", options->url, message->target);
    bool post = strcmp(message->method, "POST") == 0;
    struct http_request request = {
        .method = message->method,
        .url = url,
        .headers = {{"Authorization", stripe->authorization},
                    {"Stripe-Version", STRIPE_VERSION},
                    {"Accept", "application/json"},
                    {post ? "Content-Type" : NULL, "application/x-www-form-urlencoded"},
                    {"Idempotency-Key", call->request.key}},
        .body = post ? message->body : NULL,
        .body_size = message->body_size,
        .timeout_ms = state->timeout_ms,
    };
    exchange_begin(&state->exchange, message->body, message->body_size);
    state->http = http_start(options->http, &request, on_answer, call, err);
    return state->http ? 0 : -1;
}

static int begin_exchange(struct provider_call *call, struct err *err)
{
    struct stripe_call *state = call->state;
    state->timeout_ms = state->deadline_ms - clock_monotonic_ms();
    if (state->timeout_ms <= 0)
        return err_set(err, ERR_LIMIT, "no time is left for the second exchange");
    struct stripe_message *message = mem_new(1, sizeof *message);
    int result = stripe_encode(&call->request, state->step, state->amount, message, err);
    if (result == 0)
        result = send_message(call, message, err);
    explicit_bzero(message->body, message->body_size); /* the token */
    free(message);
    return result;
}

/* The second exchange of a call: if it cannot be begun, nothing was done yet, but nothing is known either. */
static void act(struct provider_call *call)
{
    struct err err = {0};
    if (begin_exchange(call, &err) == 0)
        return;
    provider_say(call, PROVIDER_UNKNOWN, "not_sent", "");
    answer_message(call->answer.message, err.text, NULL);
    finish(call);
}

/* What no answer could change. False: say nothing, send it. */
static bool refuse(struct provider_call *call, const char *code, const char *message)
{
    provider_say(call, PROVIDER_REFUSED, code, message);
    call->answer.unfit = true;
    return true;
}

static bool refuse_at_once(struct provider_call *call)
{
    struct stripe_call *state = call->state;
    const char *code = NULL;
    bool expressible = stripe_amount(call->request.amount, call->request.currency, &state->amount, &code) == 0;
    if (call->request.ask || call->request.operation == PROVIDER_VOID)
        return false;
    if (!expressible)
        return refuse(call, code, "Stripe cannot express this amount in this currency.");
    if (call->request.operation == PROVIDER_AUTHORIZE && !*call->request.payment_token)
        return refuse(call, "missing_payment_token", "Stripe needs a payment token.");
    return false;
}

static bool needs_search(const struct provider_request *request)
{
    bool creates = request->operation == PROVIDER_AUTHORIZE && !request->ask;
    return !creates && request->reference[0] == '\0';
}

static void stripe_drop(struct provider_call *call)
{
    struct stripe_call *state = call->state;
    if (state->http)
        http_cancel(state->http);
    free(state);
    call->state = NULL;
}

static int stripe_start(struct provider_call *call, struct err *err)
{
    struct stripe_call *state = mem_new(1, sizeof *state);
    call->state = state;
    state->deadline_ms = clock_monotonic_ms() + call->provider->options.timeout_ms;
    if (refuse_at_once(call)) {
        provider_finish_later(call, 0);
        return 0;
    }
    state->step = needs_search(&call->request) ? STRIPE_LOCATE : STRIPE_ACT;
    if (begin_exchange(call, err) == 0)
        return 0;
    stripe_drop(call);
    return -1;
}

const struct provider_ops stripe_ops = {
    .kind = "stripe",
    .capabilities = {.key_lifetime_ms = KEY_LIFETIME_MS, .asks_by_key = true},
    .open = stripe_open,
    .close = stripe_close,
    .start = stripe_start,
    .drop = stripe_drop,
};
