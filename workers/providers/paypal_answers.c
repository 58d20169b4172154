/* paypal_answers.c - what PayPal's answers mean
 *
 * Everything that an answer can mean stands in tables: the status of an authorization, a capture, a refund, and
 * `errors`. What is in none is PROVIDER_UNKNOWN (L6). Behind them are four rules:
 *
 *   - 201 says that PayPal wrote something down, not that it was done: only the status in the body does;
 *   - a refusal counts only when PayPal itself says so in a readable error about the effect that was asked for;
 *   - our own misconfiguration (credentials, account, URL) never says anything about money;
 *   - a question that is refused says nothing about what it asked for.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/json.h"
#include "workers/providers/answer.h"
#include "workers/providers/paypal_wire.h"

struct verdict {
    enum provider_outcome outcome;
    const char *code;
};

/* clang-format off */
#define DONE {PROVIDER_DONE, ""}
#define REFUSED(code) {PROVIDER_REFUSED, code}
#define ABSENT {PROVIDER_ABSENT, ""}
#define EXPIRED(code) {PROVIDER_EXPIRED, code}
#define UNKNOWN(code) {PROVIDER_UNKNOWN, code}
/* clang-format on */

/* What the status of an authorization says about each operation on it. A capture that is listed beside it says more
 * than this does. The first rows win when there are several authorizations. */
static const struct authorization_state {
    const char *status;
    struct verdict authorize, authorize_asked, capture, cancel;
} authorization_states[] = {
    {"CREATED", DONE, DONE, ABSENT, ABSENT},
    {"CAPTURED", DONE, DONE, UNKNOWN("capture_not_shown"), REFUSED("already_captured")},
    {"PARTIALLY_CAPTURED", DONE, DONE, UNKNOWN("capture_not_shown"), REFUSED("already_captured")},
    {"PENDING", UNKNOWN("pending"), UNKNOWN("pending"), ABSENT, ABSENT},
    {"VOIDED", REFUSED("canceled"), EXPIRED("canceled"), REFUSED("canceled"), DONE},
    {"EXPIRED", REFUSED("authorization_expired"), EXPIRED("authorization_expired"), REFUSED("authorization_expired"),
     EXPIRED("authorization_expired")},
    {"DENIED", REFUSED("declined"), REFUSED("declined"), REFUSED("not_authorized"), EXPIRED("declined")},
};
enum { AUTHORIZATION_STATES = sizeof authorization_states / sizeof authorization_states[0] };

static const struct money_state {
    const char *status;
    struct verdict verdict;
} capture_states[] =
    {
        {"COMPLETED", DONE},
        {"PARTIALLY_REFUNDED", DONE},
        {"REFUNDED", DONE},
        {"PENDING", UNKNOWN("pending")}, /* accepted, and may still fail: not done before PayPal says so */
        {"DECLINED", REFUSED("declined")},
        {"FAILED", REFUSED("failed")},
},
  refund_states[] = {
      {"COMPLETED", DONE},
      {"PENDING", UNKNOWN("pending")},
      {"FAILED", REFUSED("refund_failed")},
      {"CANCELLED", REFUSED("canceled")},
};
enum {
    CAPTURE_STATES = sizeof capture_states / sizeof capture_states[0],
    REFUND_STATES = sizeof refund_states / sizeof refund_states[0],
};

/* Which exchanges a row of `errors` is for. */
enum {
    ON_AUTHORIZE = 1 << PROVIDER_AUTHORIZE,
    ON_CAPTURE = 1 << PROVIDER_CAPTURE,
    ON_VOID = 1 << PROVIDER_VOID,
    ON_REFUND = 1 << PROVIDER_REFUND,
    ON_ORDER = 1 << 4, /* making the order of an authorization that is to be sent */
    ON_LOOK = 1 << 5,  /* any question */
    ON_SENT = ON_AUTHORIZE | ON_CAPTURE | ON_VOID | ON_REFUND | ON_ORDER,
    ON_ANY = ON_SENT | ON_LOOK,
};

/* What an answer other than 2xx says: the first row that fits. NULL fits any issue; a verdict without a code takes
 * PayPal's. An issue is the first of `details`, or the name of the error. */
static const struct error_rule {
    int least, most; /* HTTP status */
    const char *issue;
    int on;
    struct verdict verdict;
} errors[] = {
    {500, 599, NULL, ON_ANY, UNKNOWN("provider_error")},
    {429, 429, NULL, ON_ANY, UNKNOWN("rate_limited")},
    {401, 401, NULL, ON_ANY, UNKNOWN("configuration")},
    {403, 403, NULL, ON_ANY, UNKNOWN("configuration")},
    {405, 405, NULL, ON_ANY, UNKNOWN("configuration")},
    /* Somebody else is at it under the same id, or on the same object: it will have an answer later. */
    {409, 409, NULL, ON_ANY, UNKNOWN("locked")},
    {400, 499, "PREVIOUS_REQUEST_IN_PROGRESS", ON_ANY, UNKNOWN("locked")},
    /* Something went out under this id before. What became of it is not known: the question finds it. */
    {400, 499, "DUPLICATE_REQUEST_ID", ON_ANY, UNKNOWN("idempotency_conflict")},
    {422, 422, "ORDER_ALREADY_AUTHORIZED", ON_AUTHORIZE, UNKNOWN("already_done")},
    {422, 422, "AUTHORIZATION_ALREADY_CAPTURED", ON_CAPTURE, UNKNOWN("already_done")},
    {422, 422, "PREVIOUSLY_CAPTURED", ON_CAPTURE, UNKNOWN("already_done")},
    {422, 422, "PAYER_ACTION_REQUIRED", ON_AUTHORIZE, {PROVIDER_ACTION, "payer_action_required"}},
    {422, 422, "ORDER_NOT_APPROVED", ON_AUTHORIZE, {PROVIDER_ACTION, "payer_action_required"}},
    {422, 422, "AUTHORIZATION_VOIDED", ON_CAPTURE, REFUSED("canceled")},
    {422, 422, "PREVIOUSLY_VOIDED", ON_CAPTURE, REFUSED("canceled")},
    {422, 422, "PREVIOUSLY_VOIDED", ON_VOID, DONE},
    {422, 422, "AUTHORIZATION_VOIDED", ON_VOID, DONE},
    {422, 422, "AUTHORIZATION_ALREADY_VOIDED", ON_VOID, DONE},
    {422, 422, "ALREADY_VOIDED", ON_VOID, DONE},
    {422, 422, "AUTHORIZATION_EXPIRED", ON_VOID, EXPIRED("authorization_expired")},
    {422, 422, "PREVIOUSLY_CAPTURED", ON_VOID, REFUSED("already_captured")},
    {422, 422, "AUTHORIZATION_ALREADY_CAPTURED", ON_VOID, REFUSED("already_captured")},
    /* A hold that cannot be voided now is not given up. */
    {400, 422, NULL, ON_VOID, UNKNOWN("not_voided")},
    /* The request can never be done. 404 is none of these: PayPal itself gave us that id. */
    {400, 400, NULL, ON_SENT, REFUSED(NULL)},
    {422, 422, NULL, ON_SENT, REFUSED(NULL)},
    {404, 404, NULL, ON_AUTHORIZE | ON_CAPTURE | ON_REFUND, UNKNOWN("reference_not_found")},
    {404, 404, NULL, ON_ORDER, UNKNOWN("configuration")},
};

#undef DONE
#undef REFUSED
#undef ABSENT
#undef EXPIRED
#undef UNKNOWN

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static bool take_id(const json_t *object, char ret[static PAYPAL_ID_SIZE])
{
    struct paypal_ids ids = paypal_ids_of(json_text(object, "id", ""));
    if (!*ids.order || *ids.authorization)
        return false;
    memcpy(ret, ids.order, sizeof ids.order);
    return true;
}

/* ---- parts of an order ---- */

static const json_t *unit_of(const json_t *order)
{
    return json_array_get(json_object_get(order, "purchase_units"), 0);
}

static const json_t *payments_of(const json_t *order, const char *kind)
{
    return json_object_get(json_object_get(unit_of(order), "payments"), kind);
}

static const struct authorization_state *find_authorization_state(const json_t *authorization)
{
    const char *status = json_text(authorization, "status", "");
    for (size_t i = 0; i < AUTHORIZATION_STATES; i++)
        if (strcmp(authorization_states[i].status, status) == 0)
            return &authorization_states[i];
    return NULL;
}

static const struct money_state *find_money_state(const struct money_state *states, size_t count, const json_t *object)
{
    const char *status = json_text(object, "status", "");
    for (size_t i = 0; i < count; i++)
        if (strcmp(states[i].status, status) == 0)
            return &states[i];
    return NULL;
}

/* The one whose status says most; one of an unheard-of status before all, so that nothing is concluded past it. */
static const json_t *find_authorization(const json_t *order)
{
    const json_t *list = payments_of(order, "authorizations"), *one, *found = NULL;
    const struct authorization_state *best = NULL;
    size_t i;
    json_array_foreach(list, i, one)
    {
        const struct authorization_state *state = find_authorization_state(one);
        if (!state)
            return one;
        if (!best || state < best) {
            best = state;
            found = one;
        }
    }
    return found;
}

static const json_t *find_capture(const json_t *order)
{
    const json_t *list = payments_of(order, "captures"), *one, *found = NULL;
    const struct money_state *best = NULL;
    size_t i;
    json_array_foreach(list, i, one)
    {
        const struct money_state *state = find_money_state(capture_states, CAPTURE_STATES, one);
        if (!state)
            return one;
        if (!best || state < best) {
            best = state;
            found = one;
        }
    }
    return found;
}

static const json_t *find_refund(const json_t *order, const char *key)
{
    const json_t *list = payments_of(order, "refunds"), *one;
    char custom_id[PROVIDER_KEY_SIZE];
    size_t i;
    paypal_custom_id(key, custom_id);
    json_array_foreach(list, i, one)
    {
        if (is(json_text(one, "custom_id", NULL), custom_id))
            return one;
    }
    return NULL;
}

static bool is_ours(const struct provider_request *request, const json_t *order)
{
    char custom_id[PROVIDER_KEY_SIZE];
    paypal_custom_id(paypal_authorization_key(request), custom_id);
    return is(json_text(unit_of(order), "custom_id", NULL), custom_id);
}

/* An approval of another amount or currency is no approval of what we asked for, and no refusal either: a person
 * must look. */
static void check_amount(const struct provider_request *request, const json_t *object, struct provider_answer *ret)
{
    if (ret->outcome != PROVIDER_DONE)
        return;
    const json_t *amount = json_object_get(object, "amount");
    const char *currency = json_text(amount, "currency_code", "");
    if (strcmp(currency, request->currency) != 0 ||
        paypal_minor_units(json_text(amount, "value", ""), currency) != request->amount)
        answer_say(ret, PROVIDER_UNKNOWN, "amount_mismatch", "PayPal's answer is about another amount or currency.");
}

/* ---- the customer's turn ---- */

static json_t *read_action(const json_t *root)
{
    const json_t *links = json_object_get(root, "links"), *link;
    const char *url = "";
    size_t i;
    json_array_foreach(links, i, link)
    {
        const char *rel = json_text(link, "rel", ""), *href = json_text(link, "href", "");
        if ((strcmp(rel, "payer-action") == 0 || strcmp(rel, "approve") == 0) && strncmp(href, "http", 4) == 0)
            url = href;
    }
    return json_pack("{s:s, s:s}", "type", "redirect", "url", url);
}

static void say_action(const json_t *root, const struct paypal_ids *ids, struct provider_answer *ret)
{
    answer_say(ret, PROVIDER_ACTION, "payer_action_required", "");
    ret->action = read_action(root);
    if (*ids->order)
        snprintf(ret->reference, sizeof ret->reference, "%s", ids->order);
}

/* ---- each thing by its status ---- */

/* "INSUFFICIENT_FUNDS" where PayPal says why, else what the table says. */
static const char *reason_of(const json_t *object, const char *fallback)
{
    return json_text(json_object_get(object, "status_details"), "reason", fallback);
}

static void read_authorization(const struct provider_request *request, const json_t *authorization,
                               const struct paypal_ids *ids, struct provider_answer *ret)
{
    const struct authorization_state *state = find_authorization_state(authorization);
    char id[PAYPAL_ID_SIZE];
    if (!state || !take_id(authorization, id)) {
        answer_unreadable(ret, "PayPal's answer is not the authorization we asked for.");
        return;
    }
    const struct verdict *verdict = request->operation == PROVIDER_CAPTURE ? &state->capture
                                    : request->operation == PROVIDER_VOID  ? &state->cancel
                                    : request->ask                         ? &state->authorize_asked
                                                                           : &state->authorize;
    bool declined = verdict->outcome == PROVIDER_REFUSED && request->operation == PROVIDER_AUTHORIZE;
    answer_say(ret, verdict->outcome, declined ? reason_of(authorization, verdict->code) : verdict->code, "");
    snprintf(ret->reference, sizeof ret->reference, "%s/%s", ids->order, id);
    if (request->operation == PROVIDER_AUTHORIZE)
        check_amount(request, authorization, ret);
}

static void read_money(const struct provider_request *request, const struct money_state *state, const json_t *object,
                       struct provider_answer *ret)
{
    if (!state || !answer_reference(ret->reference, json_text(object, "id", ""))) {
        answer_unreadable(ret, "PayPal's answer is not the capture or refund we asked for.");
        return;
    }
    bool refused = state->verdict.outcome == PROVIDER_REFUSED;
    answer_say(ret, state->verdict.outcome, refused ? reason_of(object, state->verdict.code) : state->verdict.code, "");
    check_amount(request, object, ret);
}

static void read_capture(const struct provider_request *request, const json_t *capture, struct provider_answer *ret)
{
    read_money(request, find_money_state(capture_states, CAPTURE_STATES, capture), capture, ret);
}

static void read_refund(const struct provider_request *request, const json_t *refund, struct provider_answer *ret)
{
    read_money(request, find_money_state(refund_states, REFUND_STATES, refund), refund, ret);
}

/* ---- an order, as it is shown ---- */

/* No authorization in it: nothing is held. */
static void read_bare_order(const struct provider_request *request, const json_t *order, const struct paypal_ids *ids,
                            struct provider_answer *ret)
{
    bool waits = is(json_text(order, "status", NULL), "PAYER_ACTION_REQUIRED");
    switch (request->operation) {
    case PROVIDER_AUTHORIZE:
        if (waits)
            say_action(order, ids, ret);
        else
            answer_say(ret, PROVIDER_ABSENT, "", "");
        return;
    case PROVIDER_VOID: /* only we could authorize it, and who voids does not */
        answer_say(ret, PROVIDER_EXPIRED, "not_authorized", "");
        return;
    case PROVIDER_CAPTURE:
    case PROVIDER_REFUND:
        answer_say(ret, PROVIDER_UNKNOWN, "reference_not_found",
                   "PayPal does not show the authorization that this belongs to.");
        return;
    }
}

/* True: the authorization is there, and may be captured or voided. */
static bool look_for_authorization(const struct provider_request *request, const json_t *order, struct paypal_ids *ids,
                                   struct provider_answer *ret)
{
    const json_t *authorization = find_authorization(order), *capture = find_capture(order);
    if (capture && request->operation == PROVIDER_CAPTURE) {
        read_capture(request, capture, ret);
        return false;
    }
    if (!authorization) {
        read_bare_order(request, order, ids, ret);
        return false;
    }
    read_authorization(request, authorization, ids, ret);
    return !request->ask && ret->outcome == PROVIDER_ABSENT && take_id(authorization, ids->authorization);
}

/* True: there is a capture to refund, and this refund is not there yet. */
static bool look_for_refund(const struct provider_request *request, const json_t *order, struct paypal_ids *ids,
                            struct provider_answer *ret)
{
    const json_t *refund = find_refund(order, request->key), *capture = find_capture(order);
    const struct money_state *state = find_money_state(capture_states, CAPTURE_STATES, capture);
    if (refund) {
        read_refund(request, refund, ret);
        return false;
    }
    if (!state || state->verdict.outcome != PROVIDER_DONE || !take_id(capture, ids->capture)) {
        answer_say(ret, PROVIDER_UNKNOWN, "reference_not_found",
                   "PayPal does not show the capture that this belongs to.");
        return false;
    }
    answer_say(ret, PROVIDER_ABSENT, "", "");
    return !request->ask;
}

static bool read_look(const struct provider_request *request, const json_t *order, struct paypal_ids *ids,
                      struct provider_answer *ret)
{
    if (!is(json_text(order, "id", NULL), ids->order) || !is_ours(request, order)) {
        answer_unreadable(ret, "PayPal's answer is not the order we asked for.");
        return false;
    }
    return request->operation == PROVIDER_REFUND ? look_for_refund(request, order, ids, ret)
                                                 : look_for_authorization(request, order, ids, ret);
}

static bool read_order(const struct provider_request *request, const json_t *order, struct paypal_ids *ids,
                       struct provider_answer *ret)
{
    if (is_ours(request, order) && take_id(order, ids->order))
        return true;
    answer_unreadable(ret, "PayPal's answer is not the order we asked for.");
    return false;
}

/* ---- effects ---- */

static void read_authorized(const struct provider_request *request, const json_t *order, const struct paypal_ids *ids,
                            struct provider_answer *ret)
{
    const json_t *authorization = find_authorization(order);
    if (!is(json_text(order, "id", NULL), ids->order))
        answer_unreadable(ret, "PayPal's answer is not the order we asked for.");
    else if (authorization)
        read_authorization(request, authorization, ids, ret);
    else if (is(json_text(order, "status", NULL), "PAYER_ACTION_REQUIRED"))
        say_action(order, ids, ret);
    else
        answer_say(ret, PROVIDER_UNKNOWN, "not_authorized", "PayPal's order has no authorization.");
}

/* 204, or 200 with the authorization as it is now. */
static void read_voided(const json_t *authorization, const struct paypal_ids *ids, int status,
                        struct provider_answer *ret)
{
    bool voided = is(json_text(authorization, "id", NULL), ids->authorization) &&
                  is(json_text(authorization, "status", NULL), "VOIDED");
    if (status == 204 || voided)
        answer_say(ret, PROVIDER_DONE, "", "");
    else if (json_is_object(authorization))
        answer_say(ret, PROVIDER_UNKNOWN, "not_voided", "PayPal's answer does not say that it is voided.");
    else
        answer_unreadable(ret, "PayPal's answer is not the authorization we asked for.");
    if (ret->outcome == PROVIDER_DONE)
        snprintf(ret->reference, sizeof ret->reference, "%s/%s", ids->order, ids->authorization);
}

/* A capture bears its order's name, a refund its own. An answer may have been meant for somebody else (two on one connection). */
static bool is_named(const json_t *object, const char *key, struct provider_answer *ret)
{
    char custom_id[PROVIDER_KEY_SIZE];
    paypal_custom_id(key, custom_id);
    if (is(json_text(object, "custom_id", NULL), custom_id))
        return true;
    answer_unreadable(ret, "PayPal's answer is not the capture or refund we asked for.");
    return false;
}

static void read_effect(const struct provider_request *request, int status, const json_t *root,
                        const struct paypal_ids *ids, struct provider_answer *ret)
{
    switch (request->operation) {
    case PROVIDER_AUTHORIZE:
        read_authorized(request, root, ids, ret);
        return;
    case PROVIDER_CAPTURE:
        if (is_named(root, paypal_authorization_key(request), ret))
            read_capture(request, root, ret);
        return;
    case PROVIDER_VOID:
        read_voided(root, ids, status, ret);
        return;
    case PROVIDER_REFUND:
        if (is_named(root, request->key, ret))
            read_refund(request, root, ret);
        return;
    }
}

/* ---- errors ---- */

static const char *issue_of(const json_t *root)
{
    const json_t *first = json_array_get(json_object_get(root, "details"), 0);
    return json_text(first, "issue", json_text(root, "name", ""));
}

static int place_of(const struct provider_request *request, enum paypal_step step)
{
    if (step == PAYPAL_ACT)
        return 1 << request->operation;
    bool sends = step == PAYPAL_ORDER && request->operation == PROVIDER_AUTHORIZE && !request->ask;
    return sends ? ON_ORDER : ON_LOOK;
}

static const struct error_rule *find_rule(int status, const char *issue, int place)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        const struct error_rule *rule = &errors[i];
        if (status >= rule->least && status <= rule->most && (rule->on & place) &&
            (!rule->issue || strcmp(rule->issue, issue) == 0))
            return rule;
    }
    return NULL;
}

/* The order or authorization is not there: an order without an authorization goes away after some hours. */
static bool is_gone(const struct provider_request *request, enum paypal_step step, int status, const char *issue)
{
    bool about_it = step == PAYPAL_LOOK || (step == PAYPAL_ACT && request->operation == PROVIDER_VOID);
    return about_it && status == 404 && (is(issue, "INVALID_RESOURCE_ID") || is(issue, "RESOURCE_NOT_FOUND"));
}

static void say_gone(const struct provider_request *request, struct provider_answer *ret)
{
    if (request->operation == PROVIDER_AUTHORIZE || request->operation == PROVIDER_VOID)
        answer_say(ret, PROVIDER_ABSENT, "", "");
    else
        answer_say(ret, PROVIDER_UNKNOWN, "reference_not_found", "PayPal does not show what this belongs to.");
}

static void read_error(const struct provider_request *request, enum paypal_step step, int status, const json_t *root,
                       const struct paypal_ids *ids, struct provider_answer *ret)
{
    const char *issue = issue_of(root);
    char message[PROVIDER_MESSAGE_SIZE];
    if (is_gone(request, step, status, issue)) {
        say_gone(request, ret);
        return;
    }
    const struct error_rule *rule = find_rule(status, issue, place_of(request, step));
    bool readable = json_is_object(root) && *issue;
    if (!rule || (!readable && rule->verdict.outcome != PROVIDER_UNKNOWN)) {
        answer_unreadable(ret, "PayPal's answer is not one we know.");
        if (place_of(request, step) == ON_LOOK)
            answer_code(ret->code, "question_refused");
        return;
    }
    snprintf(message, sizeof message, "PayPal answered %d %.100s", status, issue);
    answer_say(ret, rule->verdict.outcome, rule->verdict.code ? rule->verdict.code : issue, "");
    answer_message(ret->message, message, request->payment_token);
    if (rule->verdict.outcome == PROVIDER_ACTION)
        say_action(root, ids, ret);
}

bool paypal_decode(const struct provider_request *request, enum paypal_step step, int status, const char *body,
                   size_t size, struct paypal_ids *ids, struct provider_answer *ret)
{
    *ret = (struct provider_answer){.outcome = PROVIDER_UNKNOWN};
    json_t *root = json_decode(body, size, NULL);
    bool success = status >= 200 && status <= 299, more = false;
    bool empty = status == 204 && step == PAYPAL_ACT && request->operation == PROVIDER_VOID;
    if (!success)
        read_error(request, step, status, root, ids, ret);
    else if (!json_is_object(root) && !empty)
        answer_unreadable(ret, "PayPal's answer is not a JSON object.");
    else if (step == PAYPAL_ORDER)
        more = read_order(request, root, ids, ret);
    else if (step == PAYPAL_LOOK)
        more = read_look(request, root, ids, ret);
    else
        read_effect(request, status, root, ids, ret);
    json_decref(root);
    return more;
}

/* ---- the access token ---- */

enum { TOKEN_LIFETIME_MOST_S = 7 * 24 * 3600 };

bool paypal_decode_token(int status, const char *body, size_t size, char ret[static PAYPAL_TOKEN_SIZE],
                         int64_t *ret_lifetime_s, const char **ret_code)
{
    json_t *root = status == 200 ? json_decode(body, size, NULL) : NULL;
    const char *token = json_text(root, "access_token", "");
    int64_t lifetime_s = json_int(root, "expires_in", 0);
    bool good = *token && strlen(token) < PAYPAL_TOKEN_SIZE && answer_is_header_text(token) && lifetime_s > 0 &&
                strcasecmp(json_text(root, "token_type", ""), "bearer") == 0;
    if (good) {
        memcpy(ret, token, strlen(token) + 1);
        *ret_lifetime_s = lifetime_s < TOKEN_LIFETIME_MOST_S ? lifetime_s : TOKEN_LIFETIME_MOST_S;
    }
    *ret_code = status >= 400 && status < 500 && status != 429 ? "configuration"
                : status == 429                                ? "rate_limited"
                : status >= 500                                ? "provider_error"
                                                               : "unreadable_answer";
    json_decref(root);
    return good;
}
