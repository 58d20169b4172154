/* tokens_wire.c - what the token system's answers mean (docs/provider-interfaces.md)
 *
 * What changes something is one table, and what is not in it is TOKENS_UNKNOWN: the operations are idempotent by payment
 * id, so the same request is simply sent again. A question is answered by the books' whole word, or not at all.
 */
#include "workers/providers/tokens_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/pan.h"
#include "workers/providers/answer.h"

static const struct rule {
    enum tokens_operation operation;
    int status;
    const char *member, *value; /* what the answer must say */
    enum tokens_outcome outcome;
} rules[] = {
    {TOKENS_RESERVE, 201, "status", "reserved", TOKENS_DONE},
    {TOKENS_RESERVE, 200, "status", "reserved", TOKENS_DONE},
    {TOKENS_RESERVE, 409, "error", "tokens_unavailable", TOKENS_REFUSED},
    {TOKENS_RESERVE, 404, "error", "unknown_token", TOKENS_REFUSED},
    {TOKENS_RESERVE, 409, "error", "released", TOKENS_REFUSED},
    {TOKENS_ACTIVATE, 200, "status", "active", TOKENS_DONE},
    {TOKENS_ACTIVATE, 409, "error", "not_reserved", TOKENS_REFUSED},
    {TOKENS_ACTIVATE, 409, "error", "released", TOKENS_REFUSED},
    {TOKENS_ACTIVATE, 409, "error", "expired", TOKENS_REFUSED},
    {TOKENS_RELEASE, 200, "status", "released", TOKENS_DONE},
    {TOKENS_RELEASE, 200, "status", "active", TOKENS_ACTIVE},
    {TOKENS_DEACTIVATE, 200, "status", "deactivated", TOKENS_DONE},
    {TOKENS_DEACTIVATE, 409, "error", "not_active", TOKENS_REFUSED},
};

void tokens_encode(const struct tokens_request *request, char ret_target[static TOKENS_TARGET_MAX], char **ret_body)
{
    static const char *const actions[] = {[TOKENS_RESERVE] = "",
                                          [TOKENS_ACTIVATE] = "/activate",
                                          [TOKENS_RELEASE] = "/release",
                                          [TOKENS_DEACTIVATE] = "/deactivate",
                                          [TOKENS_ASK] = ""};
    char id[UUID_TEXT_SIZE];
    uuid_format(request->payment_id, id);
    *ret_body = NULL;
    if (request->operation != TOKENS_RESERVE) {
        snprintf(ret_target, TOKENS_TARGET_MAX, "/v1/reservations/%s%s", id, actions[request->operation]);
        return;
    }
    snprintf(ret_target, TOKENS_TARGET_MAX, "/v1/reservations");
    json_t *body = json_pack("{s:s, s:s, s:I}", "paymentId", id, "tokenId", request->token_id, "quantity",
                             (json_int_t)request->quantity);
    *ret_body = body ? json_encode(body) : NULL;
    if (!*ret_body)
        log_panic("a reservation cannot be encoded");
    json_decref(body);
}

/* An answer that tells of success must be about our payment, and a reservation about our tokens. */
static bool is_ours(const struct tokens_request *request, const json_t *root)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(request->payment_id, id);
    if (strcmp(json_text(root, "paymentId", ""), id) != 0)
        return false;
    return request->operation != TOKENS_RESERVE || (strcmp(json_text(root, "tokenId", ""), request->token_id) == 0 &&
                                                    json_int(root, "quantity", -1) == request->quantity);
}

static const struct rule *find_rule(const struct tokens_request *request, int status, const json_t *root)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *rule = &rules[i];
        if (rule->operation == request->operation && rule->status == status &&
            strcmp(json_text(root, rule->member, ""), rule->value) == 0)
            return rule;
    }
    return NULL;
}

static void say(struct tokens_answer *ret, enum tokens_outcome outcome, const char *code)
{
    ret->outcome = outcome;
    answer_code(ret->code, code);
}

static void say_unreadable(struct tokens_answer *ret, int status)
{
    say(ret, TOKENS_UNKNOWN, "unreadable_answer");
    if (status == 401 || status == 403)
        answer_code(ret->code, "configuration");
    else if (status < 200 || status > 299)
        answer_http_code(ret->code, status);
}

/* ---- its own books ---- */

static const char *const statuses[TOKENS_STATUS_COUNT] = {
#define X(id, text) [TOKENS_IS_##id] = text,
    TOKENS_STATUSES(X)
#undef X
};

const char *tokens_status_text(enum tokens_status status)
{
    return statuses[status];
}

static bool read_status(const json_t *root, enum tokens_status *ret)
{
    const char *text = json_text(root, "status", "");
    for (int i = 0; i < TOKENS_STATUS_COUNT; i++) {
        if (strcmp(text, statuses[i]) == 0) {
            *ret = (enum tokens_status)i;
            return true;
        }
    }
    return false;
}

/* It goes to people's terminals: no control characters. */
static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* Which tokens, and how many. Only what was never reserved has none. */
static bool read_tokens(const json_t *root, struct tokens_state *ret)
{
    const char *id = json_text(root, "tokenId", "");
    bool none = ret->status == TOKENS_IS_UNSEEN || ret->status == TOKENS_IS_RELEASED;
    if (!*id)
        return none;
    ret->quantity = json_int(root, "quantity", 0);
    if (strlen(id) >= sizeof ret->token_id || ret->quantity <= 0 || ret->status == TOKENS_IS_UNSEEN || !is_plain(id))
        return false;
    memcpy(ret->token_id, id, strlen(id) + 1);
    pan_mask(ret->token_id, strlen(ret->token_id)); /* L11: ours hold none */
    return true;
}

static bool read_since(const json_t *root, struct tokens_state *ret)
{
    const char *at = json_text(root, "changedAt", NULL);
    return !at || clock_parse(at, &ret->changed_at_ms) == 0;
}

/* A 404 is no answer: a wrong path must not look like a payment that was never reserved. */
static void decode_state(const struct tokens_request *request, int status, const json_t *root,
                         struct tokens_answer *ret)
{
    struct tokens_state state = {0};
    if (status != 200 || !read_status(root, &state.status) || !read_tokens(root, &state) || !read_since(root, &state)) {
        say_unreadable(ret, status);
    } else if (!is_ours(request, root)) {
        say(ret, TOKENS_UNKNOWN, "contradictory_answer");
    } else {
        ret->state = state;
        say(ret, TOKENS_DONE, "");
    }
}

static void decode_change(const struct tokens_request *request, int status, const json_t *root,
                          struct tokens_answer *ret)
{
    const struct rule *rule = find_rule(request, status, root);
    if (!rule)
        say_unreadable(ret, status);
    else if (rule->outcome == TOKENS_REFUSED)
        say(ret, rule->outcome, rule->value);
    else if (is_ours(request, root))
        say(ret, rule->outcome, "");
    else
        say(ret, TOKENS_UNKNOWN, "contradictory_answer");
}

void tokens_decode(const struct tokens_request *request, int status, const char *body, size_t size,
                   struct tokens_answer *ret)
{
    *ret = (struct tokens_answer){.outcome = TOKENS_UNKNOWN};
    json_t *root = json_decode(body, size, NULL);
    if (request->operation == TOKENS_ASK)
        decode_state(request, status, root, ret);
    else
        decode_change(request, status, root, ret);
    json_decref(root);
}
