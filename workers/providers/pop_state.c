/* pop_state.c - what a proof-of-purchase validator's own books say of a payment (docs/provider-interfaces.md)
 *
 * One HTTP exchange per call; what the answer means is in pop_state_wire.c.
 */
#include "workers/providers/pop_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/mem.h"
#include "workers/providers/answer.h"
#include "workers/providers/pop_state_wire.h"

enum { URL_MAX = 512, HEADER_MAX = 1024 };

struct pop_state_call {
    struct pop_question question;
    char nonce[POP_NONCE_SIZE];
    void (*done)(void *arg, const struct pop_state *state);
    void *arg;
    struct http_call *http;
};

static void on_answer(void *arg, const struct http_answer *answer)
{
    struct pop_state_call *call = arg;
    struct pop_state state = {0};
    if (answer->outcome == HTTP_ANSWERED)
        pop_state_decode(&call->question, call->nonce, clock_wall_ms(), answer->status, answer->body, answer->body_size,
                         &state);
    else
        snprintf(state.why, sizeof state.why, "%s", answer_silence(answer, call->question.timeout_ms));
    call->done(call->arg, &state);
    free(call);
}

static int ask(struct pop_state_call *call, struct err *err)
{
    const struct pop_validator *validator = call->question.validator;
    const char *key = validator->key ? validator->key : "";
    char target[POP_STATE_TARGET_MAX], url[URL_MAX + POP_STATE_TARGET_MAX], bearer[HEADER_MAX];
    pop_state_encode(call->question.payment_id, call->nonce, target);
    if (strlen(validator->url) >= URL_MAX || strlen(key) >= HEADER_MAX - sizeof "Bearer ")
        return err_set(err, ERR_CONFIG, "validator %s: its url or its key is too long", validator->name);
    snprintf(url, sizeof url, "%s%s", validator->url, target);
    snprintf(bearer, sizeof bearer, "Bearer %s", key);
    const struct http_request request = {
        .method = "GET",
        .url = url,
        .headers = {{"Accept", "application/json"}, {*key ? "Authorization" : NULL, bearer}},
        .timeout_ms = call->question.timeout_ms,
    };
    call->http = http_start(call->question.http, &request, on_answer, call, err);
    explicit_bzero(bearer, sizeof bearer);
    return call->http ? 0 : -1;
}

/* Random (122 bits of a UUID): an answer that was given to anybody before does not hold them. */
static void make_nonce(char ret[static POP_NONCE_SIZE])
{
    char text[UUID_TEXT_SIZE];
    size_t used = 0;
    uuid_format(uuid_random(), text);
    for (const char *c = text; *c; c++)
        if (*c != '-')
            ret[used++] = *c;
    ret[used] = '\0';
}

struct pop_state_call *pop_state_ask(const struct pop_question *question,
                                     void (*done)(void *arg, const struct pop_state *state), void *arg, struct err *err)
{
    struct pop_state_call *call = mem_new(1, sizeof *call);
    call->question = *question;
    call->done = done;
    call->arg = arg;
    make_nonce(call->nonce);
    if (ask(call, err) < 0) {
        free(call);
        return NULL;
    }
    return call;
}

void pop_state_cancel(struct pop_state_call *call)
{
    http_cancel(call->http);
    free(call);
}
