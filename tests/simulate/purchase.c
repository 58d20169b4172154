/* purchase.c - what the token system, the validators and the shop that gets webhooks do, behind HTTP
 *
 * workers/providers/tokens.c, pop.c and webhook.c are simulated as they are (docs/provider-interfaces.md). Each validator has books and a key of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/mutant.h"
#include "queues/envelope.h"
#include "tests/simulate/web.h"
#include "workers/providers/pop.h"
#include "workers/providers/tokens.h"

enum {
    NETWORK_MOST_MS = 40,
    TIMEOUT_MS = 3000,
    LATE_MOST_MS = 20000,
    CALLED_BACK_MOST_MS = 20000,
    AWAY_MOST_S = 200,
    SKEW_MS = 300000,
    QUORUM = 2,
    VALIDATORS = 3,
};

static const char *const names[VALIDATORS] = {"v1", "v2", "v3"};

struct purchase {
    enum token_state token;
    int64_t quantity;
    char token_id[32];
    enum proof_state proofs[VALIDATORS];
    int64_t called_back_us[VALIDATORS]; /* when it has called back; 0: not asked yet */
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
    struct http_call http; /* first */
    struct process *process;
    struct web_caller caller;
    bool waited_for; /* false: its caller has gone */
    struct uuid payment;
    char action[16];
    int validator;
    json_t *body;
    void (*serve)(struct call *call); /* fills status, reply and noted */
    bool partner;                     /* may be away for long; a shop is not */
    bool lost;
    int left; /* events that point here */
    enum web_end end;
    int status;
    json_t *reply;
    int noted, unknown; /* of coverage.outcomes */
};

static void release(struct call *call)
{
    if (--call->left > 0)
        return;
    json_decref(call->body);
    json_decref(call->reply);
    free(call);
}

static void hear(void *arg)
{
    struct call *call = arg;
    if (call->waited_for) {
        call->waited_for = false;
        char *text = call->reply ? json_dumps(call->reply, JSON_COMPACT) : NULL;
        coverage.outcomes[call->end == WEB_ANSWERED ? call->noted : call->unknown]++;
        web_tell(call->caller, call->end, call->status, text, false);
        free(text);
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

static void time_out(void *arg)
{
    ((struct call *)arg)->end = WEB_TIMED_OUT;
    answer(arg);
}

static void arrive(void *arg)
{
    struct call *call = arg;
    call->serve(call);
    if (call->lost) {
        release(call);
        return;
    }
    call->end = WEB_ANSWERED;
    later(chance_between(1, NETWORK_MOST_MS) * 1000, true, answer, call);
}

static void drop(struct http_call *http)
{
    ((struct call *)http)->waited_for = false;
}

static struct http_call *start(struct call prepared, const struct http_request *request, struct web_caller caller)
{
    struct call *call = mem_new(1, sizeof *call);
    *call = prepared;
    call->http.drop = drop;
    call->process = process_here();
    call->caller = caller;
    call->waited_for = true;
    call->left = 1;
    if (request->body)
        call->body = json_loadb(request->body, request->body_size, 0, NULL);
    int64_t way_us = chance_between(1, NETWORK_MOST_MS) * 1000;
    if (call->partner && fault(CHANCE_PARTNER_AWAY, 2))
        away_until_us = now_us + chance_between(5, AWAY_MOST_S) * 1000000;
    if ((call->partner && now_us < away_until_us) || fault(CHANCE_TIMEOUT_BEFORE, 15)) {
        later(TIMEOUT_MS * 1000, true, time_out, call);
        return &call->http;
    }
    bool late = fault(CHANCE_LATE_EFFECT, 15);
    call->lost = late || fault(CHANCE_TIMEOUT_AFTER, 15);
    if (late)
        way_us = chance_between(TIMEOUT_MS, TIMEOUT_MS + LATE_MOST_MS) * 1000;
    later(way_us, true, arrive, call);
    if (call->lost) {
        call->left++;
        later(TIMEOUT_MS * 1000, true, time_out, call);
    }
    return &call->http;
}

/* "/v1/reservations/<payment>/<action>", or the body's paymentId. */
static void read_target(const char *target, const struct http_request *request, struct call *call)
{
    char id[UUID_TEXT_SIZE];
    const char *at = strchr(target + 1, '/');
    at = at ? strchr(at + 1, '/') : NULL;
    if (at) {
        snprintf(id, sizeof id, "%.36s", at + 1);
        at = strchr(at + 1, '/');
        snprintf(call->action, sizeof call->action, "%s", at ? at + 1 : "");
    } else {
        json_auto_t *body = json_loadb(request->body ? request->body : "", request->body_size, 0, NULL);
        snprintf(id, sizeof id, "%s", json_text(body, "paymentId", ""));
    }
    (void)!uuid_parse(id, &call->payment);
}

static void say(struct call *call, int status, const char *member, const char *value, int noted)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(call->payment, id);
    json_decref(call->reply);
    call->status = status;
    call->reply = json_pack("{s:s, s:s}", "paymentId", id, member, value);
    call->noted = noted;
}

/* --- tokens --- */

enum { TOKENS_AT = 32, POP_AT = 40, WEBHOOK_AT = 48 }; /* in coverage.outcomes */

static void reserve(struct call *call, struct purchase *p)
{
    if (p->token == TOKEN_NONE) {
        p->token = fated(call->payment, FATE_RESERVE, 50) ? TOKEN_REFUSED : TOKEN_RESERVED;
        p->quantity = json_int(call->body, "quantity", 0);
        snprintf(p->token_id, sizeof p->token_id, "%s", json_text(call->body, "tokenId", ""));
    }
    if (p->token == TOKEN_RELEASED || p->token == TOKEN_DEACTIVATED) {
        say(call, 409, "error", "released", TOKENS_AT + TOKENS_REFUSED);
        return;
    }
    if (p->token == TOKEN_REFUSED) {
        say(call, 409, "error", "tokens_unavailable", TOKENS_AT + TOKENS_REFUSED);
        return;
    }
    say(call, 201, "status", "reserved", TOKENS_AT + TOKENS_DONE);
    json_object_set_new(call->reply, "tokenId", json_string(p->token_id));
    json_object_set_new(call->reply, "quantity", json_integer(p->quantity));
}

static void activate(struct call *call, struct purchase *p)
{
    if (p->token == TOKEN_RESERVED && !fated(call->payment, FATE_ACTIVATE, 50))
        p->token = TOKEN_ACTIVE;
    if (p->token == TOKEN_ACTIVE)
        say(call, 200, "status", "active", TOKENS_AT + TOKENS_DONE);
    else
        say(call, 409, "error", p->token == TOKEN_RELEASED ? "released" : "not_reserved", TOKENS_AT + TOKENS_REFUSED);
}

static void give_back(struct call *call, struct purchase *p)
{
    if (p->token == TOKEN_ACTIVE) {
        say(call, 200, "status", "active", TOKENS_AT + TOKENS_ACTIVE);
        return;
    }
    if (p->token != TOKEN_DEACTIVATED && !(p->token == TOKEN_NONE && MUTANT(NO_TOMBSTONES)))
        p->token = TOKEN_RELEASED;
    say(call, 200, "status", "released", TOKENS_AT + TOKENS_DONE);
}

static void deactivate(struct call *call, struct purchase *p)
{
    if (p->token == TOKEN_ACTIVE)
        p->token = TOKEN_DEACTIVATED;
    if (p->token == TOKEN_DEACTIVATED)
        say(call, 200, "status", "deactivated", TOKENS_AT + TOKENS_DONE);
    else
        say(call, 409, "error", "not_active", TOKENS_AT + TOKENS_REFUSED);
}

static const struct {
    const char *action;
    void (*act)(struct call *call, struct purchase *p);
} token_actions[] = {{"", reserve}, {"activate", activate}, {"release", give_back}, {"deactivate", deactivate}};

static void serve_tokens(struct call *call)
{
    struct purchase *p = purchase_of(call->payment);
    for (size_t i = 0; i < sizeof token_actions / sizeof *token_actions; i++)
        if (strcmp(token_actions[i].action, call->action) == 0)
            token_actions[i].act(call, p);
    story("TOKENS %s: state %d", *call->action ? call->action : "reserve", (int)p->token);
}

struct http_call *tokens_door_start(const char *target, const struct http_request *request, struct web_caller caller)
{
    struct call call = {.serve = serve_tokens, .partner = true, .unknown = TOKENS_AT + TOKENS_UNKNOWN};
    read_target(target, request, &call);
    return start(call, request, caller);
}

struct tokens *purchase_tokens(struct http *http)
{
    struct err err = {0};
    return tokens_open(
        &(struct tokens_options){.url = "https://tokens.invalid", .timeout_ms = TIMEOUT_MS, .http = http}, &err);
}

/* --- validators --- */

static void key_of(int validator, uint8_t ret[static ED25519_KEY_SIZE])
{
    memset(ret, 'A' + validator, ED25519_KEY_SIZE);
}

/* It was given when it was asked for first, and stays the same. */
static json_t *vote_of(struct uuid payment, int validator, int64_t amount, const char *currency, int64_t at_ms)
{
    char id[UUID_TEXT_SIZE], at[CLOCK_TEXT_SIZE], text[512], base64[128];
    uint8_t key[ED25519_KEY_SIZE], signature[ED25519_SIGNATURE_SIZE];
    const char *verdict = fated(payment, FATE_PROOF, 60) ? "invalid" : "valid";
    uuid_format(payment, id);
    clock_format(at_ms, at);
    int size = snprintf(text, sizeof text, "acquit-pop-vote-v1\n%s\n%lld\n%s\n%s\n%s\n%s\n", id, (long long)amount,
                        currency, verdict, names[validator], at);
    key_of(validator, key);
    ed25519_sign(key, text, (size_t)size, signature);
    base64_encode(signature, sizeof signature, base64);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s}", "validator", names[validator], "paymentId", id, "amount",
                     (json_int_t)amount, "currency", currency, "verdict", verdict, "at", at, "signature", base64);
}

struct callback {
    struct uuid payment;
    int validator;
    json_t *vote;
};

static void call_back(void *arg)
{
    struct callback *callback = arg;
    char id[UUID_TEXT_SIZE], name[UUID_TEXT_SIZE];
    uuid_format(callback->payment, id);
    uuid_format(uuid_follow_up(callback->payment, "pop.confirm", names[callback->validator]), name);
    json_auto_t *body = json_pack("{s:s, s:o}", "paymentId", id, "vote", callback->vote);
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

static json_t *vote_on(const struct call *call)
{
    int64_t at_ms = clock_wall_ms();
    (void)!clock_parse(json_text(call->body, "requestedAt", ""), &at_ms);
    return vote_of(call->payment, call->validator, json_int(call->body, "amount", 0),
                   json_text(call->body, "currency", ""), at_ms);
}

static bool is_deferred(struct call *call, struct purchase *p)
{
    int64_t *back_us = &p->called_back_us[call->validator];
    if (!fated(call->payment, FATE_DEFER, 200) || (*back_us && now_us >= *back_us))
        return false;
    if (*back_us == 0) {
        struct callback *callback = mem_new(1, sizeof *callback);
        *callback = (struct callback){.payment = call->payment, .validator = call->validator, .vote = vote_on(call)};
        later(chance_between(100, CALLED_BACK_MOST_MS) * 1000, true, call_back, callback);
        *back_us = now_us + CALLED_BACK_MOST_MS * INT64_C(2000);
    }
    return true;
}

static void validate(struct call *call, struct purchase *p)
{
    enum proof_state *proof = &p->proofs[call->validator];
    if (*proof == PROOF_REVOKED) {
        say(call, 409, "error", "revoked", POP_AT + POP_REVOKED);
        return;
    }
    if (*proof == PROOF_NONE)
        *proof = fated(call->payment, FATE_PROOF, 60) ? PROOF_INVALID : PROOF_VALID;
    if (is_deferred(call, p)) {
        say(call, 202, "status", "pending", POP_AT + POP_DEFERRED);
        return;
    }
    call->status = 200;
    call->reply = vote_on(call);
    call->noted = POP_AT + (*proof == PROOF_INVALID ? POP_REJECTED : POP_VALIDATED);
}

static void serve_validator(struct call *call)
{
    struct purchase *p = purchase_of(call->payment);
    enum proof_state *proof = &p->proofs[call->validator];
    if (strcmp(call->action, "revoke") == 0) {
        *proof = PROOF_REVOKED;
        say(call, 200, "status", "revoked", POP_AT + POP_REVOKED);
    } else if (strcmp(call->action, "commit") == 0 && *proof == PROOF_REVOKED) {
        say(call, 409, "error", "revoked", POP_AT + POP_REVOKED);
    } else if (strcmp(call->action, "commit") == 0) {
        *proof = PROOF_COMMITTED;
        say(call, 200, "status", "committed", POP_AT + POP_COMMITTED);
    } else {
        validate(call, p);
    }
}

struct http_call *validator_door_start(const char *target, const struct http_request *request, struct web_caller caller)
{
    struct call call = {
        .serve = serve_validator, .partner = true, .validator = target[0] - '1', .unknown = POP_AT + POP_UNKNOWN};
    read_target(strchr(target, '/'), request, &call);
    return start(call, request, caller);
}

struct pop *purchase_validators(struct http *http)
{
    struct err err = {0};
    struct pop_validator validators[VALIDATORS] = {{.name = names[0], .url = "https://validator-1.invalid"},
                                                   {.name = names[1], .url = "https://validator-2.invalid"},
                                                   {.name = names[2], .url = "https://validator-3.invalid"}};
    for (int i = 0; i < VALIDATORS; i++) {
        uint8_t key[ED25519_KEY_SIZE];
        key_of(i, key);
        ed25519_public(key, validators[i].public_key);
    }
    struct pop_options options = {.validators = validators,
                                  .validator_count = VALIDATORS,
                                  .quorum = QUORUM,
                                  .timeout_ms = TIMEOUT_MS,
                                  .vote_max_skew_ms = SKEW_MS,
                                  .callback_url = "https://ingress.invalid/webhooks/pop",
                                  .http = http};
    return pop_open(&options, &err);
}

/* --- webhooks --- */

static void serve_webhook(struct call *call)
{
    call->status = 200;
    call->noted = WEBHOOK_AT + WEBHOOK_DELIVERED;
    actors_told_json(call->body);
}

struct http_call *webhook_door_start(const char *target, const struct http_request *request, struct web_caller caller)
{
    (void)target;
    return start((struct call){.serve = serve_webhook, .unknown = WEBHOOK_AT + WEBHOOK_UNKNOWN}, request, caller);
}

/* --- for who judges --- */

enum token_state purchase_token(struct uuid payment)
{
    return purchase_of(payment)->token;
}

/* What all say, or the first that says otherwise than revoked. */
enum proof_state purchase_proof(struct uuid payment)
{
    const struct purchase *p = purchase_of(payment);
    for (int i = 1; i < VALIDATORS; i++)
        if (p->proofs[i] != p->proofs[0])
            return p->proofs[0] == PROOF_REVOKED ? p->proofs[i] : p->proofs[0];
    return p->proofs[0];
}

void purchase_start(void)
{
    memset(purchases, 0, sizeof purchases);
    away_until_us = 0;
}

void purchase_end(void)
{
}
