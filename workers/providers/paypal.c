/* paypal.c - PayPal as a payment provider (Orders v2, Payments v2: https://developer.paypal.com/docs/api/)
 *
 * An authorization is an order with intent AUTHORIZE, made without a payment source, and then authorized with one. Only
 * the second moves money: so the first can be sent again under its PayPal-Request-Id as a question by our key, which
 * PayPal knows no other way to ask. A call is one to three exchanges, each finding the id that the next one needs;
 * paypal_wire.c says what is sent, paypal_answers.c what the answers mean. No effect is sent again from here but after
 * a 401, which PayPal answers before it does anything: a POST whose answer is lost is PROVIDER_UNKNOWN, and the step
 * decides (L6). No effect begins after the request's `send_until_ms`, however long the exchanges before it took.
 *
 * All calls share one access token. It is fetched when the first call needs it, again before it ends, and once per
 * call after a 401; calls wait for it, inside their timeout.
 *
 * What is refused without a call, because no answer could differ: an authorization without a token, an amount or
 * currency that PayPal cannot express. Fails with ERR_CONFIG when URL or credentials are missing, ERR_LIMIT when a
 * request would be too long.
 *
 * Known limits: a customer who acts after the send window finds the order not authorized (nothing is held); a question
 * by key is worth nothing when the key's life is over, and is not asked then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/providers/paypal_wire.h"
#include "workers/providers/provider_impl.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)
#define KEY_LIFETIME_MS (45 * DAY_MS) /* of a PayPal-Request-Id */
#define KEY_MARGIN_MS DAY_MS          /* so much earlier its life is over for us */

enum {
    URL_MAX = 512,
    CREDENTIALS_MAX = 1024,      /* "id:secret" */
    TOKEN_MARGIN_MS = 60 * 1000, /* a token is fetched anew so long before its end, or at half of a short life */
    AUTHORIZATION_MAX = PAYPAL_TOKEN_SIZE + 16,
};

struct paypal_call {
    struct provider_call *call;
    enum paypal_step step;
    struct paypal_ids ids;
    char value[MONEY_TEXT_MAX]; /* the amount in PayPal's text; "" when it has none, and is only asked about */
    int64_t deadline_ms;        /* monotonic, of all exchanges together */
    int64_t timeout_ms;         /* of the exchange under way */
    uint64_t token;             /* the number of the access token that it was sent with */
    bool renewed;               /* the token was fetched anew for it already */
    bool waiting;               /* for the token */
    TAILQ_ENTRY(paypal_call) link;
    struct exchange exchange;
    struct http_call *http;
};

TAILQ_HEAD(paypal_calls, paypal_call);

struct paypal {
    char basic[2 * CREDENTIALS_MAX];       /* "Basic ..." */
    char authorization[AUTHORIZATION_MAX]; /* "Bearer ..."; "" without a token */
    int64_t token_ends_ms;                 /* monotonic; when to fetch it anew */
    uint64_t token;                        /* how many were fetched: the number of the newest */
    struct http_call *fetch;               /* of the token, under way */
    int64_t fetch_timeout_ms;
    struct paypal_calls waiting;
};

static void proceed(struct paypal_call *state);

/* ---- the provider ---- */

/* "Basic " and the base64 of the credentials. */
static void write_basic(const char *credentials, char *ret, size_t size)
{
    size_t used = (size_t)snprintf(ret, size, "Basic ");
    base64_encode(credentials, strlen(credentials), ret + used);
}

static int check_credentials(const struct provider_options *options, struct err *err)
{
    const char *secret = options->secret ? options->secret : "", *colon = strchr(secret, ':');
    if (!colon || colon == secret || !colon[1] || !answer_is_header_text(secret))
        return err_set(err, ERR_CONFIG, "provider %s: the secret must be CLIENT_ID:CLIENT_SECRET", options->name);
    if (strlen(secret) >= CREDENTIALS_MAX)
        return err_set(err, ERR_CONFIG, "provider %s: the secret is longer than %d bytes", options->name,
                       CREDENTIALS_MAX - 1);
    return 0;
}

static int paypal_open(struct provider *provider, struct err *err)
{
    const struct provider_options *options = &provider->options;
    if (!options->http)
        return err_set(err, ERR_CONFIG, "provider %s: no HTTP client", options->name);
    if (!options->url || (strncmp(options->url, "https://", 8) != 0 && strncmp(options->url, "http://", 7) != 0))
        return err_set(err, ERR_CONFIG, "provider %s: url must begin with https:// (or http:// for a twin)",
                       options->name);
    if (strlen(options->url) >= URL_MAX)
        return err_set(err, ERR_CONFIG, "provider %s: url is longer than %d bytes", options->name, URL_MAX - 1);
    if (check_credentials(options, err) < 0)
        return -1;
    struct paypal *paypal = mem_new(1, sizeof *paypal);
    write_basic(options->secret, paypal->basic, sizeof paypal->basic);
    TAILQ_INIT(&paypal->waiting);
    provider->state = paypal;
    return 0;
}

static void paypal_close(struct provider *provider)
{
    struct paypal *paypal = provider->state;
    if (paypal->fetch)
        http_cancel(paypal->fetch);
    explicit_bzero(paypal, sizeof *paypal);
    free(paypal);
}

static struct paypal *paypal_of(const struct paypal_call *state)
{
    return state->call->provider->state;
}

/* ---- one call: its end ---- */

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
              conflict ? "two different requests under one idempotency key"
                       : "the credentials, account or URL are refused",
              id, call->request.slot);
}

static void finish(struct provider_call *call)
{
    log_our_fault(call);
    provider_finish(call);
}

/* From the loop's next turn: whoever is told may cancel other calls, or close the provider. */
static void finish_unknown_later(struct paypal_call *state, const char *code, const char *why)
{
    struct provider_call *call = state->call;
    provider_say(call, PROVIDER_UNKNOWN, code, "");
    answer_message(call->answer.message, why, NULL);
    log_our_fault(call);
    provider_finish_later(call, 0);
}

/* PayPal answers a request again as it answered it first. Sending again can do nothing any more when that was a
 * readable answer about something carried out but not settled (pending), or says that the request is done already. */
static bool is_spent(const struct paypal_call *state, const struct http_answer *answer)
{
    const struct provider_call *call = state->call;
    const char *code = call->answer.code;
    bool keyed = state->step == PAYPAL_ACT && call->request.operation != PROVIDER_VOID;
    if (call->answer.outcome != PROVIDER_UNKNOWN || !keyed || answer->outcome != HTTP_ANSWERED)
        return false;
    bool carried_out = answer->status >= 200 && answer->status <= 299 && strcmp(code, "unreadable_answer") != 0;
    return carried_out || strcmp(code, "idempotency_conflict") == 0 || strcmp(code, "already_done") == 0;
}

/* ---- the access token ---- */

static bool has_token(const struct paypal *paypal)
{
    return *paypal->authorization && clock_monotonic_ms() < paypal->token_ends_ms;
}

static void forget_token(struct paypal *paypal)
{
    explicit_bzero(paypal->authorization, sizeof paypal->authorization);
}

static bool take_token(struct paypal *paypal, const struct http_answer *answer, const char **ret_code)
{
    char token[PAYPAL_TOKEN_SIZE];
    int64_t lifetime_s = 0;
    *ret_code = answer_silence(answer, paypal->fetch_timeout_ms);
    if (answer->outcome != HTTP_ANSWERED ||
        !paypal_decode_token(answer->status, answer->body, answer->body_size, token, &lifetime_s, ret_code))
        return false;
    int64_t lifetime_ms = 1000 * lifetime_s;
    int64_t margin_ms = lifetime_ms / 2 < TOKEN_MARGIN_MS ? lifetime_ms / 2 : TOKEN_MARGIN_MS;
    paypal->token_ends_ms = clock_monotonic_ms() + lifetime_ms - margin_ms;
    snprintf(paypal->authorization, sizeof paypal->authorization, "Bearer %s", token);
    paypal->token++;
    explicit_bzero(token, sizeof token);
    return true;
}

/* All who wait go on or end; none of them is told from here. */
static void on_token(void *arg, const struct http_answer *answer)
{
    struct provider *provider = arg;
    struct paypal *paypal = provider->state;
    const char *code = "";
    paypal->fetch = NULL;
    bool good = take_token(paypal, answer, &code);
    struct paypal_calls waiting = TAILQ_HEAD_INITIALIZER(waiting);
    TAILQ_CONCAT(&waiting, &paypal->waiting, link);
    for (struct paypal_call *state = TAILQ_FIRST(&waiting), *next; state; state = next) {
        next = TAILQ_NEXT(state, link);
        state->waiting = false;
        if (good)
            proceed(state);
        else
            finish_unknown_later(state, code, "PayPal gives no access token.");
    }
}

static int fetch_token(struct provider *provider, struct err *err)
{
    static const char body[] = "grant_type=client_credentials";
    struct paypal *paypal = provider->state;
    const struct provider_options *options = &provider->options;
    char url[URL_MAX + PAYPAL_TARGET_MAX];
    snprintf(url, sizeof url, "%s/v1/oauth2/token", options->url);
    struct http_request request = {
        .method = "POST",
        .url = url,
        .headers = {{"Authorization", paypal->basic},
                    {"Accept", "application/json"},
                    {"Content-Type", "application/x-www-form-urlencoded"}},
        .body = body,
        .body_size = strlen(body),
        .timeout_ms = options->timeout_ms,
    };
    paypal->fetch_timeout_ms = options->timeout_ms;
    paypal->fetch = http_start(options->http, &request, on_token, provider, err);
    return paypal->fetch ? 0 : -1;
}

static void wait_for_token(struct paypal_call *state)
{
    struct paypal *paypal = paypal_of(state);
    struct err err = {0};
    if (!paypal->fetch && fetch_token(state->call->provider, &err) < 0) {
        finish_unknown_later(state, "not_sent", err.text);
        return;
    }
    state->waiting = true;
    TAILQ_INSERT_TAIL(&paypal->waiting, state, link);
}

/* ---- one exchange ---- */

static void say_silence(struct paypal_call *state, const struct http_answer *answer)
{
    char message[PROVIDER_MESSAGE_SIZE];
    answer_message(message, answer->error, NULL);
    provider_say(state->call, PROVIDER_UNKNOWN, answer_silence(answer, state->timeout_ms), message);
}

/* PayPal refused the token before it did anything: the same again with a new one. */
static bool is_for_a_new_token(const struct paypal_call *state, const struct http_answer *answer)
{
    return answer->outcome == HTTP_ANSWERED && answer->status == 401 && !state->renewed;
}

static void on_answer(void *arg, const struct http_answer *answer)
{
    struct paypal_call *state = arg;
    struct provider_call *call = state->call;
    bool more = false;
    state->http = NULL;
    if (is_for_a_new_token(state, answer)) {
        state->renewed = true;
        if (state->token == paypal_of(state)->token) /* and nobody has fetched another since */
            forget_token(paypal_of(state));
        proceed(state);
        return;
    }
    if (answer->outcome != HTTP_ANSWERED)
        say_silence(state, answer);
    else
        more = paypal_decode(&call->request, state->step, answer->status, answer->body, answer->body_size, &state->ids,
                             &call->answer);
    if (more) {
        proceed(state);
        return;
    }
    call->answer.spent = is_spent(state, answer);
    call->answer.evidence = exchange_http_evidence(&state->exchange, answer);
    finish(call);
}

static int send_message(struct paypal_call *state, const struct paypal_message *message, struct err *err)
{
    struct provider_call *call = state->call;
    const struct provider_options *options = &call->provider->options;
    char url[URL_MAX + PAYPAL_TARGET_MAX];
    snprintf(url, sizeof url, "%s%s", options->url, message->target);
    struct http_request request = {
        .method = message->method,
        .url = url,
        .headers = {{"Authorization", paypal_of(state)->authorization},
                    {"Accept", "application/json"},
                    {"Prefer", "return=representation"}},
        .body = message->body_size ? message->body : NULL,
        .body_size = message->body_size,
        .timeout_ms = state->timeout_ms,
    };
    size_t next = 3;
    if (strcmp(message->method, "POST") == 0)
        request.headers[next++] = (struct http_header){"Content-Type", "application/json"};
    if (*message->request_id)
        request.headers[next++] = (struct http_header){"PayPal-Request-Id", message->request_id};
    state->token = paypal_of(state)->token;
    exchange_begin(&state->exchange, message->body, message->body_size);
    state->http = http_start(options->http, &request, on_answer, state, err);
    return state->http ? 0 : -1;
}

static int encode_step(struct paypal_call *state, struct paypal_message *ret, struct err *err)
{
    return paypal_encode(&state->call->request, state->step, &state->ids, state->value, ret, err);
}

/* Why this exchange must not begin now; NULL when it may. */
static const char *obstacle(struct paypal_call *state)
{
    const struct provider_request *request = &state->call->request;
    state->timeout_ms = state->deadline_ms - clock_monotonic_ms();
    if (state->timeout_ms <= 0)
        return "no time is left for this exchange";
    bool late = request->send_until_ms > 0 && clock_wall_ms() > request->send_until_ms;
    if (late && !request->ask && state->step == PAYPAL_ACT)
        return "the time to send it is over"; /* L6 */
    return NULL;
}

/* The next exchange, or the wait for the token that it needs. If it cannot be begun, the effect was not sent, but what
 * went before is not known to be without one either. */
static void proceed(struct paypal_call *state)
{
    struct err err = {0};
    state->step = paypal_next_step(&state->call->request, &state->ids);
    const char *why = obstacle(state);
    if (why) {
        finish_unknown_later(state, "not_sent", why);
        return;
    }
    if (!has_token(paypal_of(state))) {
        wait_for_token(state);
        return;
    }
    struct paypal_message *message = mem_new(1, sizeof *message);
    if (encode_step(state, message, &err) < 0 || send_message(state, message, &err) < 0)
        finish_unknown_later(state, "not_sent", err.text);
    explicit_bzero(message->body, message->body_size); /* the token */
    free(message);
}

/* ---- one call: its beginning ---- */

/* A question by our key makes the order again: worth nothing once PayPal may have forgotten the key. */
static bool is_key_expired(const struct provider_request *request)
{
    return request->authorized_at_ms > 0 &&
           clock_wall_ms() - request->authorized_at_ms >= KEY_LIFETIME_MS - KEY_MARGIN_MS;
}

/* What no answer could change. False: say nothing, send it. */
static bool answer_at_once(struct paypal_call *state)
{
    struct provider_call *call = state->call;
    const struct provider_request *request = &call->request;
    const char *code = NULL;
    bool expressible = paypal_amount(request->amount, request->currency, state->value, &code) == 0;
    bool sends = !request->ask && request->operation != PROVIDER_VOID;
    if (!expressible && sends)
        provider_say(call, PROVIDER_REFUSED, code, "PayPal cannot express this amount in this currency.");
    else if (!expressible && !*state->ids.order) /* and so no order was ever made */
        provider_say(call, PROVIDER_ABSENT, code, "PayPal cannot express this amount in this currency.");
    else if (sends && request->operation == PROVIDER_AUTHORIZE && !*request->payment_token)
        provider_say(call, PROVIDER_REFUSED, "missing_payment_token", "PayPal needs a payment token.");
    else if (!*state->ids.order && is_key_expired(request))
        provider_say(call, PROVIDER_UNKNOWN, "key_expired", "PayPal may have forgotten the key to ask by.");
    else
        return false;
    return true;
}

static void paypal_drop(struct provider_call *call)
{
    struct paypal_call *state = call->state;
    if (state->waiting)
        TAILQ_REMOVE(&paypal_of(state)->waiting, state, link);
    if (state->http)
        http_cancel(state->http);
    free(state);
    call->state = NULL;
}

/* Could the first exchange be said at all? */
static int check_encodable(struct paypal_call *state, struct err *err)
{
    struct paypal_message *message = mem_new(1, sizeof *message);
    state->step = paypal_next_step(&state->call->request, &state->ids);
    int result = encode_step(state, message, err);
    explicit_bzero(message->body, message->body_size);
    free(message);
    return result;
}

static int paypal_start(struct provider_call *call, struct err *err)
{
    struct paypal_call *state = mem_new(1, sizeof *state);
    call->state = state;
    state->call = call;
    state->ids = paypal_ids_of(call->request.reference);
    state->deadline_ms = clock_monotonic_ms() + call->provider->options.timeout_ms;
    if (answer_at_once(state)) {
        provider_finish_later(call, 0);
        return 0;
    }
    if (check_encodable(state, err) < 0) {
        paypal_drop(call);
        return -1;
    }
    proceed(state);
    return 0;
}

const struct provider_ops paypal_ops = {
    .kind = "paypal",
    .capabilities = {.key_lifetime_ms = KEY_LIFETIME_MS, .asks_by_key = true},
    .open = paypal_open,
    .close = paypal_close,
    .start = paypal_start,
    .drop = paypal_drop,
};
