/* purchase.c - token system, validators and webhook receiver, in the place of tokens.c, pop.c and webhook.c in workers/providers/ */
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "queues/envelope.h"
#include "tests/simulate/simulate.h"

enum {
    NETWORK_MOST_MS = 40,
    TIMEOUT_MS = 3000,
    LATE_MOST_MS = 20000,
    CALLED_BACK_MOST_MS = 20000,
    AWAY_MOST_S = 200,
    QUORUM = 2,
    VALIDATORS = 3,
};

struct pop {
    int nothing;
};
struct tokens {
    int nothing;
};
static struct pop validators;
static struct tokens token_system;
struct pop *const purchase_validators = &validators;
struct tokens *const purchase_tokens = &token_system;

struct purchase {
    enum token_state token;
    enum proof_state proof;
    int64_t called_back_us; /* when the validators have called back; 0: not asked yet */
};
static int64_t away_until_us;
static struct purchase purchases[WORLD_PAYMENTS_MAX];

static struct purchase *purchase_of(struct uuid payment)
{
    const struct wish *wish = wish_find(payment);
    static struct purchase nobodys;
    return wish ? &purchases[wish - wishes] : &nobodys;
}

enum fate { FATE_RESERVE = 200, FATE_ACTIVATE, FATE_PROOF, FATE_DEFER };

static bool fated(struct uuid payment, enum fate fate, uint64_t below)
{
    const struct wish *wish = wish_find(payment);
    return wish && chance_of_payment((int)(wish - wishes), (int)fate, 1000) < below;
}

/* --- a call, whatever it is --- */

struct call {
    struct process *process;
    struct uuid payment;
    int operation;
    bool lost;
    int left;
    void (*effect)(struct call *call); /* fills the answer */
    void (*hear)(struct call *call);   /* the caller hears it */
    void (*done_tokens)(void *arg, const struct tokens_answer *answer);
    void (*done_pop)(void *arg, const struct pop_answer *answer);
    void (*done_webhook)(void *arg, const struct webhook_answer *answer);
    void *arg;
    bool cancelled, answered;
    struct tokens_answer tokens;
    struct pop_answer pop;
    struct webhook_answer webhook;
    int64_t amount;
    char currency[4];
    json_t *body; /* webhook */
};

static void release(struct call *call)
{
    if (--call->left > 0)
        return;
    json_decref(call->pop.votes);
    json_decref(call->pop.answers);
    json_decref(call->body);
    free(call);
}

static void hear(void *arg)
{
    struct call *call = arg;
    if (!call->cancelled) {
        call->cancelled = true;
        call->hear(call);
    }
    release(call);
}

static void answer(void *arg)
{
    struct call *call = arg;
    if (process_alive(call->process))
        process_call(call->process, hear, call);
    else
        release(call);
}

static void arrive(void *arg)
{
    struct call *call = arg;
    struct tokens_answer tokens = call->tokens;
    struct webhook_answer webhook = call->webhook;
    struct pop_answer pop = call->pop;
    call->effect(call);
    if (!call->lost) {
        later(chance_between(1, NETWORK_MOST_MS) * 1000, true, answer, call);
        return;
    }
    json_decref(call->pop.votes);
    json_decref(call->pop.answers);
    call->tokens = tokens;
    call->webhook = webhook;
    call->pop = pop;
    release(call);
}

/* Begins with the answer "unknown", which is what a caller hears that hears nothing. */
static struct call *start(struct call prepared)
{
    struct call *call = mem_new(1, sizeof *call);
    *call = prepared;
    call->process = process_here();
    call->left = 1;
    call->tokens = (struct tokens_answer){.outcome = TOKENS_UNKNOWN, .code = "timeout"};
    call->pop = (struct pop_answer){.outcome = POP_UNKNOWN};
    call->webhook = (struct webhook_answer){.outcome = WEBHOOK_UNKNOWN, .code = "timeout"};
    int64_t way_us = chance_between(1, NETWORK_MOST_MS) * 1000;
    if (!call->body && fault(CHANCE_PARTNER_AWAY, 2))
        away_until_us = now_us + chance_between(5, AWAY_MOST_S) * 1000000;
    if ((!call->body && now_us < away_until_us) || fault(CHANCE_TIMEOUT_BEFORE, 15)) {
        later(TIMEOUT_MS * 1000, true, answer, call);
        return call;
    }
    bool late = fault(CHANCE_LATE_EFFECT, 15);
    call->lost = late || fault(CHANCE_TIMEOUT_AFTER, 15);
    if (late)
        way_us = chance_between(TIMEOUT_MS, TIMEOUT_MS + LATE_MOST_MS) * 1000;
    later(way_us, true, arrive, call);
    if (call->lost) {
        call->left++;
        later(TIMEOUT_MS * 1000, true, answer, call);
    }
    return call;
}

/* --- tokens --- */

static enum tokens_outcome reserve(struct purchase *p, struct uuid payment)
{
    if (p->token == TOKEN_NONE)
        p->token = fated(payment, FATE_RESERVE, 50) ? TOKEN_REFUSED : TOKEN_RESERVED;
    return p->token == TOKEN_RESERVED || p->token == TOKEN_ACTIVE ? TOKENS_DONE : TOKENS_REFUSED;
}

static enum tokens_outcome activate(struct purchase *p, struct uuid payment)
{
    if (p->token == TOKEN_RESERVED && !fated(payment, FATE_ACTIVATE, 50))
        p->token = TOKEN_ACTIVE;
    return p->token == TOKEN_ACTIVE ? TOKENS_DONE : TOKENS_REFUSED;
}

static enum tokens_outcome give_back(struct purchase *p)
{
    if (p->token == TOKEN_ACTIVE)
        return TOKENS_ACTIVE;
    if (p->token != TOKEN_DEACTIVATED && !(p->token == TOKEN_NONE && MUTANT(NO_TOMBSTONES)))
        p->token = TOKEN_RELEASED;
    return TOKENS_DONE;
}

static enum tokens_outcome deactivate(struct purchase *p)
{
    if (p->token == TOKEN_ACTIVE)
        p->token = TOKEN_DEACTIVATED;
    return p->token == TOKEN_DEACTIVATED ? TOKENS_DONE : TOKENS_REFUSED;
}

static void tokens_effect(struct call *call)
{
    struct purchase *p = purchase_of(call->payment);
    call->tokens = (struct tokens_answer){.outcome = TOKENS_UNKNOWN};
    switch ((enum tokens_operation)call->operation) {
    case TOKENS_RESERVE:
        call->tokens.outcome = reserve(p, call->payment);
        break;
    case TOKENS_ACTIVATE:
        call->tokens.outcome = activate(p, call->payment);
        break;
    case TOKENS_RELEASE:
        call->tokens.outcome = give_back(p);
        break;
    case TOKENS_DEACTIVATE:
        call->tokens.outcome = deactivate(p);
        break;
    case TOKENS_ASK:
        break;
    }
    story("TOKENS operation %d: state %d", call->operation, (int)p->token);
}

static void hear_tokens(struct call *call)
{
    coverage.outcomes[32 + call->tokens.outcome]++;
    call->done_tokens(call->arg, &call->tokens);
}

struct tokens_call *tokens_start(struct tokens *tokens, const struct tokens_request *request,
                                 void (*done)(void *arg, const struct tokens_answer *answer), void *arg,
                                 struct err *err)
{
    (void)tokens;
    (void)err;
    return (struct tokens_call *)start((struct call){.payment = request->payment_id,
                                                     .operation = (int)request->operation,
                                                     .effect = tokens_effect,
                                                     .hear = hear_tokens,
                                                     .done_tokens = done,
                                                     .arg = arg});
}

void tokens_cancel(struct tokens_call *call)
{
    ((struct call *)call)->cancelled = true;
}

/* --- validators --- */

enum pop_operation { POP_VALIDATE, POP_COMMIT, POP_REVOKE };

static const char *const names[VALIDATORS] = {"v1", "v2", "v3"};

static json_t *vote_of(struct uuid payment, int validator, int64_t amount, const char *currency)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(payment, id);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s}", "validator", names[validator], "paymentId", id, "amount",
                     (json_int_t)amount, "currency", currency, "verdict",
                     fated(payment, FATE_PROOF, 60) ? "invalid" : "valid", "at", "2026-01-01T00:00:00Z", "signature",
                     "c2lnbmVk");
}

struct callback {
    struct uuid payment;
    int validator;
    int64_t amount;
    char currency[4];
};

static void call_back(void *arg)
{
    struct callback *callback = arg;
    char id[UUID_TEXT_SIZE], name[UUID_TEXT_SIZE];
    uuid_format(callback->payment, id);
    uuid_format(uuid_follow_up(callback->payment, "pop.confirm", names[callback->validator]), name);
    json_auto_t *body =
        json_pack("{s:s, s:o}", "paymentId", id, "vote",
                  vote_of(callback->payment, callback->validator, callback->amount, callback->currency));
    char *text = json_encode(body);
    struct message message = {.exchange = "acquit.in",
                              .routing_key = "pop.confirm",
                              .type = "pop.confirm",
                              .content_type = "application/json",
                              .message_id = name,
                              .user_id = "acquit-ingress",
                              .timestamp = clock_wall_ms() / 1000,
                              .body = text,
                              .body_size = strlen(text)};
    broker_publish(&message);
    free(text);
    free(callback);
}

static void defer(const struct call *call)
{
    for (int i = 0; i < VALIDATORS; i++) {
        struct callback *callback = mem_new(1, sizeof *callback);
        *callback = (struct callback){.payment = call->payment, .validator = i, .amount = call->amount};
        memcpy(callback->currency, call->currency, sizeof callback->currency);
        later(chance_between(100, CALLED_BACK_MOST_MS) * 1000, true, call_back, callback);
    }
}

static void validate(struct call *call, struct purchase *p)
{
    if (p->proof == PROOF_REVOKED) {
        call->pop.outcome = POP_REVOKED;
        return;
    }
    if (p->proof == PROOF_NONE)
        p->proof = fated(call->payment, FATE_PROOF, 60) ? PROOF_INVALID : PROOF_VALID;
    if (fated(call->payment, FATE_DEFER, 200) && (p->called_back_us == 0 || now_us < p->called_back_us)) {
        if (p->called_back_us == 0)
            defer(call);
        p->called_back_us = p->called_back_us ? p->called_back_us : now_us + CALLED_BACK_MOST_MS * INT64_C(2000);
        call->pop.outcome = POP_DEFERRED;
        return;
    }
    call->pop.outcome = p->proof == PROOF_INVALID ? POP_REJECTED : POP_VALIDATED;
    call->pop.votes = json_pack("[o, o]", vote_of(call->payment, 0, call->amount, call->currency),
                                vote_of(call->payment, 1, call->amount, call->currency));
    call->pop.answers = json_array();
}

static void pop_effect(struct call *call)
{
    struct purchase *p = purchase_of(call->payment);
    call->pop = (struct pop_answer){.outcome = POP_UNKNOWN};
    switch ((enum pop_operation)call->operation) {
    case POP_VALIDATE:
        validate(call, p);
        break;
    case POP_COMMIT:
        call->pop.outcome = p->proof == PROOF_REVOKED ? POP_REVOKED : POP_COMMITTED;
        if (p->proof != PROOF_REVOKED)
            p->proof = PROOF_COMMITTED;
        break;
    case POP_REVOKE:
        p->proof = PROOF_REVOKED;
        call->pop.outcome = POP_REVOKED;
        break;
    }
}

static void hear_pop(struct call *call)
{
    coverage.outcomes[40 + call->pop.outcome]++;
    call->done_pop(call->arg, &call->pop);
}

static struct pop_call *ask_validators(enum pop_operation operation, const struct pop_request *request,
                                       void (*done)(void *arg, const struct pop_answer *answer), void *arg)
{
    struct call call = {.payment = request->payment_id,
                        .operation = (int)operation,
                        .effect = pop_effect,
                        .hear = hear_pop,
                        .done_pop = done,
                        .arg = arg,
                        .amount = request->amount};
    if (request->currency)
        memcpy(call.currency, request->currency, sizeof call.currency);
    return (struct pop_call *)start(call);
}

struct pop_call *pop_validate(struct pop *pop, const struct pop_request *request,
                              void (*done)(void *arg, const struct pop_answer *answer), void *arg, struct err *err)
{
    (void)pop;
    (void)err;
    return ask_validators(POP_VALIDATE, request, done, arg);
}

struct pop_call *pop_commit(struct pop *pop, struct uuid payment_id,
                            void (*done)(void *arg, const struct pop_answer *answer), void *arg, struct err *err)
{
    (void)pop;
    (void)err;
    return ask_validators(POP_COMMIT, &(struct pop_request){.payment_id = payment_id}, done, arg);
}

struct pop_call *pop_revoke(struct pop *pop, struct uuid payment_id,
                            void (*done)(void *arg, const struct pop_answer *answer), void *arg, struct err *err)
{
    (void)pop;
    (void)err;
    return ask_validators(POP_REVOKE, &(struct pop_request){.payment_id = payment_id}, done, arg);
}

void pop_cancel(struct pop_call *call)
{
    ((struct call *)call)->cancelled = true;
}

bool pop_count(const struct pop *pop, const struct pop_request *request, struct pop_answer *ret)
{
    (void)pop;
    int valid = 0, invalid = 0;
    for (size_t i = 0; i < json_array_size(request->votes); i++) {
        bool is_valid = strcmp(json_text(json_array_get(request->votes, i), "verdict", ""), "valid") == 0;
        valid += is_valid;
        invalid += !is_valid;
    }
    if (valid < QUORUM && invalid < QUORUM)
        return false;
    *ret = (struct pop_answer){.outcome = valid >= QUORUM ? POP_VALIDATED : POP_REJECTED,
                               .votes = json_deep_copy(request->votes),
                               .answers = json_array()};
    coverage.outcomes[40 + ret->outcome]++;
    return true;
}

json_t *pop_check(const struct pop *pop, const struct pop_request *request, const json_t *vote, bool *ret_valid,
                  struct err *err)
{
    (void)pop;
    (void)request;
    (void)err;
    *ret_valid = strcmp(json_text(vote, "verdict", ""), "valid") == 0;
    return json_deep_copy(vote);
}

/* --- webhooks --- */

static void webhook_effect(struct call *call)
{
    call->webhook = (struct webhook_answer){.outcome = WEBHOOK_DELIVERED};
    actors_told_json(call->body);
}

static void hear_webhook(struct call *call)
{
    coverage.outcomes[48 + call->webhook.outcome]++;
    call->done_webhook(call->arg, &call->webhook);
}

struct webhook_call *webhook_start(struct http *http, const struct webhook_request *request,
                                   void (*done)(void *arg, const struct webhook_answer *answer), void *arg,
                                   struct err *err)
{
    (void)http;
    (void)err;
    return (struct webhook_call *)start((struct call){.effect = webhook_effect,
                                                      .hear = hear_webhook,
                                                      .done_webhook = done,
                                                      .arg = arg,
                                                      .body = json_loads(request->body, 0, NULL)});
}

void webhook_cancel(struct webhook_call *call)
{
    ((struct call *)call)->cancelled = true;
}

/* --- for who judges --- */

enum token_state purchase_token(struct uuid payment)
{
    return purchase_of(payment)->token;
}

enum proof_state purchase_proof(struct uuid payment)
{
    return purchase_of(payment)->proof;
}

void purchase_start(void)
{
    memset(purchases, 0, sizeof purchases);
    away_until_us = 0;
}

void purchase_end(void)
{
}
