/* tokens.c - the token system: reserve, activate, release, ask (docs/provider-interfaces.md)
 *
 * One HTTP exchange per call; what the answers mean is in tokens_wire.c. Every operation is idempotent by payment
 * id, so an outcome that is not known is resolved by the same call again.
 *
 * Fails with ERR_CONFIG (opening), ERR_INVALID (a reservation of nothing), or the HTTP client's error; then nothing
 * was sent.
 */
#include "workers/providers/tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/mem.h"
#include "workers/providers/answer.h"
#include "workers/providers/tokens_wire.h"

enum { URL_MAX = 512, HEADER_MAX = 1024, TOKEN_ID_MAX = TOKENS_ID_SIZE - 1 };

TAILQ_HEAD(tokens_calls, tokens_call);

struct tokens {
    char url[URL_MAX];
    char bearer[HEADER_MAX]; /* "Bearer ...", or "" */
    int64_t timeout_ms;
    struct http *http;
    struct tokens_calls calls;
};

struct tokens_call {
    struct tokens *tokens;
    TAILQ_ENTRY(tokens_call) link;
    struct tokens_request request; /* token_id is our own */
    void (*done)(void *arg, const struct tokens_answer *answer);
    void *arg;
    struct exchange exchange;
    struct http_call *http;
};

struct tokens *tokens_open(const struct tokens_options *options, struct err *err)
{
    const char *key = options->key ? options->key : "";
    if (!options->url || !*options->url || strlen(options->url) >= URL_MAX ||
        strlen(key) >= HEADER_MAX - sizeof "Bearer " || !options->http || options->timeout_ms <= 0) {
        err_set(err, ERR_CONFIG, "token system: it needs a url below %d bytes and a positive timeout_ms", URL_MAX);
        return NULL;
    }
    struct tokens *tokens = mem_new(1, sizeof *tokens);
    snprintf(tokens->url, sizeof tokens->url, "%s", options->url);
    if (*key)
        snprintf(tokens->bearer, sizeof tokens->bearer, "Bearer %s", key);
    tokens->timeout_ms = options->timeout_ms;
    tokens->http = options->http;
    TAILQ_INIT(&tokens->calls);
    return tokens;
}

void tokens_close(struct tokens *tokens)
{
    if (!tokens)
        return;
    for (struct tokens_call *call = TAILQ_FIRST(&tokens->calls), *next; call; call = next) {
        next = TAILQ_NEXT(call, link);
        tokens_cancel(call);
    }
    explicit_bzero(tokens->bearer, sizeof tokens->bearer);
    free(tokens);
}

static void free_call(struct tokens_call *call)
{
    free((char *)call->request.token_id);
    free(call);
}

/* The call is taken out before `done` hears of it: that may start or cancel others. */
static void on_answer(void *arg, const struct http_answer *http)
{
    struct tokens_call *call = arg;
    struct tokens_answer answer = {.outcome = TOKENS_UNKNOWN};
    TAILQ_REMOVE(&call->tokens->calls, call, link);
    if (http->outcome == HTTP_ANSWERED)
        tokens_decode(&call->request, http->status, http->body, http->body_size, &answer);
    else
        answer_code(answer.code, answer_silence(http, call->tokens->timeout_ms));
    answer.evidence = exchange_http_evidence(&call->exchange, http);
    call->done(call->arg, &answer);
    json_decref(answer.evidence);
    free_call(call);
}

static int check_request(const struct tokens_request *request, struct err *err)
{
    if (request->operation != TOKENS_RESERVE)
        return 0;
    if (!request->token_id || !*request->token_id || strlen(request->token_id) > TOKEN_ID_MAX || request->quantity <= 0)
        return err_set(err, ERR_INVALID, "a reservation needs a token of 1 to %d bytes and a positive quantity",
                       TOKEN_ID_MAX);
    return 0;
}

static int send_request(struct tokens_call *call, struct err *err)
{
    const struct tokens *tokens = call->tokens;
    char target[TOKENS_TARGET_MAX], url[URL_MAX + TOKENS_TARGET_MAX];
    char *body;
    tokens_encode(&call->request, target, &body);
    snprintf(url, sizeof url, "%s%s", tokens->url, target);
    struct http_request request = {
        .method = call->request.operation == TOKENS_ASK ? "GET" : "POST",
        .url = url,
        .headers = {{"Content-Type", "application/json"},
                    {"Accept", "application/json"},
                    {*tokens->bearer ? "Authorization" : NULL, tokens->bearer}},
        .body = body,
        .body_size = body ? strlen(body) : 0,
        .timeout_ms = tokens->timeout_ms,
    };
    exchange_begin(&call->exchange, body, request.body_size);
    call->http = http_start(tokens->http, &request, on_answer, call, err);
    free(body);
    return call->http ? 0 : -1;
}

struct tokens_call *tokens_start(struct tokens *tokens, const struct tokens_request *request,
                                 void (*done)(void *arg, const struct tokens_answer *answer), void *arg,
                                 struct err *err)
{
    if (check_request(request, err) < 0)
        return NULL;
    struct tokens_call *call = mem_new(1, sizeof *call);
    call->tokens = tokens;
    call->request = *request;
    call->request.token_id = mem_text(request->token_id ? request->token_id : "");
    call->done = done;
    call->arg = arg;
    if (send_request(call, err) < 0) {
        free_call(call);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&tokens->calls, call, link);
    return call;
}

void tokens_cancel(struct tokens_call *call)
{
    TAILQ_REMOVE(&call->tokens->calls, call, link);
    http_cancel(call->http);
    free_call(call);
}
