/* stripe_wire.c - Stripe's wire format: what we say and what its answers mean
 *
 * Everything that an answer can mean stands in two tables: `states` (the status of a payment intent) and `errors` (an
 * error object); refunds have a small one of their own. What is in none is PROVIDER_UNKNOWN (L6). Behind them are three
 * rules:
 *
 *   - a refusal counts only when Stripe itself says so in a readable error about this very request;
 *   - our own misconfiguration (key, account, URL) never says anything about money;
 *   - a question that is refused says nothing about what it asked for.
 */
#include "workers/providers/stripe_wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/json.h"
#include "common/money.h"
#include "workers/providers/answer.h"

/* ---- amounts ---- */

/* Currencies whose amounts are not simply ISO 4217 minor units with two digits (https://docs.stripe.com/currencies:
 * zero-decimal, three-decimal, special cases). Of the others, those with two digits are sent as they are, and those
 * with another number of digits are refused: Stripe documents none, and a wrong guess is a factor of ten. HUF and
 * TWD have two digits for payments; only payouts treat them otherwise. */
static const struct currency_rule {
    char code[CURRENCY_SIZE];
    int exponent;    /* ISO 4217's; if money.c thinks otherwise, nothing is sent */
    int multiply;    /* Stripe's amount = ISO amount * multiply / divide ... */
    int divide;      /* ... which must not leave a remainder ... */
    int multiple_of; /* ... and be a multiple of this */
} currency_rules[] = {
    /* clang-format off */
    {"BIF", 0, 1, 1, 1}, {"CLP", 0, 1, 1, 1}, {"DJF", 0, 1, 1, 1}, {"GNF", 0, 1, 1, 1}, {"JPY", 0, 1, 1, 1},
    {"KMF", 0, 1, 1, 1}, {"KRW", 0, 1, 1, 1}, {"PYG", 0, 1, 1, 1}, {"RWF", 0, 1, 1, 1}, {"VND", 0, 1, 1, 1},
    {"VUV", 0, 1, 1, 1}, {"XAF", 0, 1, 1, 1}, {"XOF", 0, 1, 1, 1}, {"XPF", 0, 1, 1, 1},
    /* none for Stripe, two digits in ISO 4217 */
    {"MGA", 2, 1, 100, 1},
    /* whole units, but Stripe wants two digits, always 00 */
    {"ISK", 0, 100, 1, 1}, {"UGX", 0, 100, 1, 1},
    /* the last digit must be 0 */
    {"BHD", 3, 1, 1, 10}, {"JOD", 3, 1, 1, 10}, {"KWD", 3, 1, 1, 10}, {"OMR", 3, 1, 1, 10}, {"TND", 3, 1, 1, 10},
    /* clang-format on */
};

static const struct currency_rule *find_rule(const char *currency)
{
    static const struct currency_rule two_digits = {"", 2, 1, 1, 1};
    for (size_t i = 0; i < sizeof currency_rules / sizeof currency_rules[0]; i++)
        if (strcmp(currency_rules[i].code, currency) == 0)
            return &currency_rules[i];
    return &two_digits;
}

int stripe_amount(int64_t amount, const char *currency, int64_t *ret, const char **ret_code)
{
    const struct currency *iso = currency_find(currency);
    const struct currency_rule *rule = find_rule(currency);
    if (!iso || iso->exponent != rule->exponent) {
        *ret_code = "currency_not_supported";
        return -1;
    }
    int64_t product;
    if (__builtin_mul_overflow(amount, (int64_t)rule->multiply, &product) || product % rule->divide != 0 ||
        product / rule->divide % rule->multiple_of != 0) {
        *ret_code = "amount_not_representable";
        return -1;
    }
    *ret = product / rule->divide;
    return 0;
}

/* ---- what we say ---- */

/* A text that grows up to a limit; beyond it stays full and is refused in the end. */
struct builder {
    char *text;
    size_t size, limit;
    bool full;
};

static void put(struct builder *to, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void put(struct builder *to, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(to->text + to->size, to->limit - to->size, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= to->limit - to->size)
        to->full = true;
    else
        to->size += (size_t)n;
}

/* Percent-encodes all but the unreserved characters of RFC 3986. */
static void put_encoded(struct builder *to, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool plain =
            (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("-._~", *c);
        put(to, plain ? "%c" : "%%%02X", *c);
    }
}

static void put_text(struct builder *to, const char *name, const char *value)
{
    put(to, "%s%s=", to->size ? "&" : "", name);
    put_encoded(to, value);
}

static void put_number(struct builder *to, const char *name, int64_t value)
{
    put(to, "%s%s=%lld", to->size ? "&" : "", name, (long long)value);
}

/* By these a question finds the object again, and a person in Stripe's dashboard finds the payment. */
static void put_metadata(struct builder *to, const struct provider_request *request)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(request->payment_id, id);
    put_text(to, "metadata[acquit_payment_id]", id);
    put_text(to, "metadata[acquit_slot]", request->slot);
    put_text(to, "metadata[acquit_key]", request->key);
}

static void put_authorize(struct builder *to, const struct provider_request *request, int64_t amount)
{
    char currency[CURRENCY_SIZE];
    for (size_t i = 0; i < CURRENCY_SIZE; i++)
        currency[i] = (char)(request->currency[i] ? request->currency[i] - 'A' + 'a' : '\0');
    put_number(to, "amount", amount);
    put_text(to, "currency", currency);
    put_text(to, "payment_method", request->payment_token);
    put_text(to, "payment_method_types[]", "card");
    put_text(to, "confirm", "true");
    put_text(to, "capture_method", "manual");
    if (request->description && *request->description)
        put_text(to, "description", request->description);
    put_metadata(to, request);
}

static void put_refund(struct builder *to, const struct provider_request *request, int64_t amount)
{
    put_text(to, "payment_intent", request->reference);
    put_number(to, "amount", amount);
    put_metadata(to, request);
}

static void put_intent(struct builder *to, const char *reference, const char *action)
{
    put(to, "/v1/payment_intents/");
    put_encoded(to, reference);
    put(to, "%s", action);
}

/* The authorization's own key: the question about an authorization is about this request's. */
static const char *authorization_key(const struct provider_request *request)
{
    return request->operation == PROVIDER_AUTHORIZE ? request->key : request->authorization_key;
}

/* A text inside a search query's quotes. */
static void put_quoted(struct builder *to, const char *text)
{
    put_encoded(to, "'");
    for (; *text; text++) {
        char one[3] = {*text, '\0', '\0'};
        if (*text == '\'' || *text == '\\')
            snprintf(one, sizeof one, "\\%c", *text);
        put_encoded(to, one);
    }
    put_encoded(to, "'");
}

/* The key alone would find it; the payment's id makes the query narrow. */
static void put_search(struct builder *to, const struct provider_request *request)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(request->payment_id, id);
    put(to, "/v1/payment_intents/search?query=");
    put_encoded(to, "metadata['acquit_payment_id']:");
    put_quoted(to, id);
    put_encoded(to, " AND metadata['acquit_key']:");
    put_quoted(to, authorization_key(request));
}

static void put_question(struct builder *target, const struct provider_request *request)
{
    if (request->operation != PROVIDER_REFUND) {
        put_intent(target, request->reference, "");
        return;
    }
    put(target, "/v1/refunds?limit=%d&payment_intent=", STRIPE_REFUNDS_MAX);
    put_encoded(target, request->reference);
}

static void put_effect(struct builder *target, struct builder *body, const struct provider_request *request,
                       int64_t amount)
{
    switch (request->operation) {
    case PROVIDER_AUTHORIZE:
        put(target, "/v1/payment_intents");
        put_authorize(body, request, amount);
        return;
    case PROVIDER_CAPTURE:
        put_intent(target, request->reference, "/capture");
        put_number(body, "amount_to_capture", amount);
        return;
    case PROVIDER_VOID:
        put_intent(target, request->reference, "/cancel");
        return;
    case PROVIDER_REFUND:
        put(target, "/v1/refunds");
        put_refund(body, request, amount);
        return;
    }
}

int stripe_encode(const struct provider_request *request, enum stripe_step step, int64_t amount,
                  struct stripe_message *ret, struct err *err)
{
    struct builder target = {.text = ret->target, .limit = sizeof ret->target};
    struct builder body = {.text = ret->body, .limit = sizeof ret->body};
    ret->target[0] = ret->body[0] = '\0';
    bool question = step == STRIPE_LOCATE || request->ask;
    ret->method = question ? "GET" : "POST";
    if (step == STRIPE_LOCATE)
        put_search(&target, request);
    else if (question)
        put_question(&target, request);
    else
        put_effect(&target, &body, request, amount);
    ret->body_size = body.size;
    if (target.full || body.full)
        return err_set(err, ERR_LIMIT, "Stripe request is longer than %d bytes", STRIPE_BODY_MAX);
    return 0;
}

/* ---- what its answers mean ---- */

enum { ASK = 1 }; /* columns come in pairs: the operation, and the question about it */
enum column {
    AUTHORIZE = 2 * PROVIDER_AUTHORIZE,
    CAPTURE = 2 * PROVIDER_CAPTURE,
    VOID = 2 * PROVIDER_VOID,
    COLUMNS = VOID + 2,
};

struct verdict {
    enum provider_outcome outcome;
    const char *code;
};

/* clang-format off */
#define DONE {PROVIDER_DONE, ""}
#define REFUSED(code) {PROVIDER_REFUSED, code}
#define ABSENT {PROVIDER_ABSENT, ""}
#define EXPIRED {PROVIDER_EXPIRED, "canceled"}
#define UNKNOWN(code) {PROVIDER_UNKNOWN, code}
/* clang-format on */

/* What the status of the payment intent says about an operation on it, whether it comes in a 2xx answer or in the error
 * payment_intent_unexpected_state. How a canceled one ended is looked at in read_canceled(). */
static const struct state {
    const char *status;
    struct verdict of[COLUMNS];
} states[] = {
    {"requires_capture",
     {[AUTHORIZE] = DONE,
      [AUTHORIZE + ASK] = DONE,
      [CAPTURE] = UNKNOWN("requires_capture"),
      [CAPTURE + ASK] = ABSENT,
      [VOID] = UNKNOWN("requires_capture"),
      [VOID + ASK] = ABSENT}},
    {"succeeded", /* captured; so it was authorized */
     {[AUTHORIZE] = DONE,
      [AUTHORIZE + ASK] = DONE,
      [CAPTURE] = DONE,
      [CAPTURE + ASK] = DONE,
      [VOID] = REFUSED("already_captured"),
      [VOID + ASK] = REFUSED("already_captured")}},
    {"canceled",
     {[AUTHORIZE] = REFUSED("canceled"),
      [AUTHORIZE + ASK] = EXPIRED,
      [CAPTURE] = REFUSED("canceled"),
      [CAPTURE + ASK] = REFUSED("canceled"),
      [VOID] = DONE,
      [VOID + ASK] = DONE}},
    {"requires_payment_method", /* declined */
     {[AUTHORIZE] = REFUSED("declined"),
      [AUTHORIZE + ASK] = REFUSED("declined"),
      [CAPTURE] = REFUSED("not_authorized"),
      [CAPTURE + ASK] = REFUSED("not_authorized"),
      [VOID] = UNKNOWN("not_canceled"),
      [VOID + ASK] = ABSENT}},
    {"requires_action",
     {[AUTHORIZE] = {PROVIDER_ACTION, "requires_action"},
      [AUTHORIZE + ASK] = {PROVIDER_ACTION, "requires_action"},
      [CAPTURE] = REFUSED("not_authorized"),
      [CAPTURE + ASK] = REFUSED("not_authorized"),
      [VOID] = UNKNOWN("not_canceled"),
      [VOID + ASK] = ABSENT}},
    {"requires_confirmation",
     {[AUTHORIZE] = UNKNOWN("requires_confirmation"),
      [AUTHORIZE + ASK] = UNKNOWN("requires_confirmation"),
      [CAPTURE] = REFUSED("not_authorized"),
      [CAPTURE + ASK] = REFUSED("not_authorized"),
      [VOID] = UNKNOWN("not_canceled"),
      [VOID + ASK] = ABSENT}},
    {"processing",
     {[AUTHORIZE] = UNKNOWN("processing"),
      [AUTHORIZE + ASK] = UNKNOWN("processing"),
      [CAPTURE] = UNKNOWN("processing"),
      [CAPTURE + ASK] = UNKNOWN("processing"),
      [VOID] = UNKNOWN("processing"),
      [VOID + ASK] = UNKNOWN("processing")}},
};

/* Which operations a row of `errors` is for. */
enum {
    ON_AUTHORIZE = 1 << PROVIDER_AUTHORIZE,
    ON_CAPTURE = 1 << PROVIDER_CAPTURE,
    ON_VOID = 1 << PROVIDER_VOID,
    ON_REFUND = 1 << PROVIDER_REFUND,
    ON_ANY = ON_AUTHORIZE | ON_CAPTURE | ON_VOID | ON_REFUND,
};
enum sending { SEND_ONLY, SEND_OR_ASK };

/* What an answer other than 2xx says: the first row that fits. NULL fits anything; a verdict without a code takes
 * Stripe's. */
static const struct error_rule {
    int least, most; /* HTTP status */
    const char *type, *code;
    int operations;
    enum sending sending;
    struct verdict verdict;
} errors[] = {
    /* Somebody else is at it under the same key, or on the same object: it will have an answer later. */
    {400, 499, NULL, "idempotency_key_in_use", ON_ANY, SEND_OR_ASK, UNKNOWN("key_in_use")},
    {400, 499, NULL, "lock_timeout", ON_ANY, SEND_OR_ASK, UNKNOWN("locked")},
    {409, 409, NULL, NULL, ON_ANY, SEND_OR_ASK, UNKNOWN("locked")},
    {429, 429, NULL, NULL, ON_ANY, SEND_OR_ASK, UNKNOWN("rate_limited")},
    {400, 499, NULL, "rate_limit", ON_ANY, SEND_OR_ASK, UNKNOWN("rate_limited")},
    {500, 599, NULL, NULL, ON_ANY, SEND_OR_ASK, UNKNOWN("provider_error")},
    /* An earlier request of ours went out under this key with other bytes. What became of that one is not known, so
     * this is a doubt and not a refusal: the question by the same key finds it. */
    {400, 499, "idempotency_error", NULL, ON_ANY, SEND_OR_ASK, UNKNOWN("idempotency_conflict")},
    /* Our configuration. */
    {401, 401, NULL, NULL, ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
    {403, 403, NULL, NULL, ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
    {400, 499, NULL, "api_key_expired", ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
    {400, 499, NULL, "platform_api_key_expired", ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
    {400, 499, NULL, "secret_key_required", ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
    {400, 499, NULL, "livemode_mismatch", ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
    {400, 499, NULL, "testmode_charges_only", ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
    {400, 499, NULL, "account_invalid", ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
    {400, 499, NULL, "account_closed", ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
    {400, 499, NULL, "tls_version_unsupported", ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
    /* The intent is not there. Nothing to void is an answer; for the rest, Stripe itself gave us that reference and
     * never deletes an intent. */
    {400, 404, "invalid_request_error", "resource_missing", ON_VOID, SEND_OR_ASK, ABSENT},
    {400, 404, "invalid_request_error", "resource_missing", ON_CAPTURE | ON_REFUND, SEND_OR_ASK,
     UNKNOWN("reference_not_found")},
    /* The card said no, or the request can never be done. */
    {400, 499, "card_error", NULL, ON_ANY, SEND_ONLY, REFUSED(NULL)},
    {400, 402, "invalid_request_error", "charge_expired_for_capture", ON_CAPTURE, SEND_ONLY,
     REFUSED("authorization_expired")},
    {400, 402, "invalid_request_error", "capture_charge_authorization_expired", ON_CAPTURE, SEND_ONLY,
     REFUSED("authorization_expired")},
    {400, 402, "invalid_request_error", NULL, ON_ANY, SEND_ONLY, REFUSED(NULL)},
    {404, 404, "invalid_request_error", "resource_missing", ON_AUTHORIZE, SEND_ONLY, REFUSED(NULL)},
    /* No such path: the configured URL leads somewhere else. */
    {404, 405, NULL, NULL, ON_ANY, SEND_OR_ASK, UNKNOWN("configuration")},
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

/* The codes at which Stripe says why a card was declined: the most exact first. */
static const char *reason_of(const json_t *error, const char *fallback)
{
    const char *code = json_text(error, "decline_code", "");
    if (!*code)
        code = json_text(error, "code", "");
    return *code ? code : fallback;
}

/* Stripe's sentence, only where it speaks of the card: elsewhere it quotes what we sent. */
static void read_message(const struct provider_request *request, const json_t *error, struct provider_answer *ret)
{
    char text[PROVIDER_MESSAGE_SIZE];
    if (is(json_text(error, "type", NULL), "card_error")) {
        answer_message(ret->message, json_text(error, "message", "The card was declined."), request->payment_token);
        return;
    }
    const char *param = json_text(error, "param", "");
    snprintf(text, sizeof text, "Stripe refused the request: %s%s%s",
             reason_of(error, json_text(error, "type", "no reason given")), *param ? " at " : "", param);
    answer_message(ret->message, text, request->payment_token);
}

/* {"type","url"} for the customer's challenge. */
static json_t *read_action(const json_t *intent)
{
    const json_t *next = json_object_get(intent, "next_action");
    const char *type = json_text(next, "type", "");
    const char *url = json_text(json_object_get(next, "redirect_to_url"), "url", "");
    if (!*url)
        url = json_text(json_object_get(next, "use_stripe_sdk"), "stripe_js", "");
    return json_pack("{s:s, s:s}", "type", type, "url", url);
}

/* Stripe itself ended it: an authorization that nobody captured runs out, usually after seven days. */
static bool ended_by_itself(const json_t *intent)
{
    const char *reason = json_text(intent, "cancellation_reason", "");
    return strcmp(reason, "automatic") == 0 || strcmp(reason, "expired") == 0;
}

static void read_canceled(const struct provider_request *request, const json_t *intent, struct provider_answer *ret)
{
    if (!ended_by_itself(intent))
        return;
    bool expired = request->operation == PROVIDER_VOID || request->ask;
    answer_say(ret, expired ? PROVIDER_EXPIRED : PROVIDER_REFUSED, "authorization_expired",
               "The authorization ended at Stripe by itself.");
}

/* An approval of another amount or currency is no approval of what we asked for, and no refusal either: a person
 * must look. */
static void check_amount(const struct provider_request *request, int64_t amount, const json_t *intent,
                         struct provider_answer *ret)
{
    if (ret->outcome != PROVIDER_DONE || request->operation == PROVIDER_VOID || amount == 0)
        return;
    const char *name = request->operation == PROVIDER_CAPTURE ? "amount_received" : "amount";
    if (json_int(intent, name, -1) != amount || strcasecmp(json_text(intent, "currency", ""), request->currency) != 0)
        answer_say(ret, PROVIDER_UNKNOWN, "amount_mismatch", "Stripe's answer is about another amount or currency.");
}

static const struct state *find_state(const char *status)
{
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(states[i].status, status) == 0)
            return &states[i];
    return NULL;
}

/* Made by this payment's own request: an answer may have been meant for somebody else (two on one connection). */
static bool is_ours(const json_t *intent, const struct provider_request *request)
{
    return is(json_text(json_object_get(intent, "metadata"), "acquit_key", NULL), authorization_key(request));
}

static bool is_intent(const json_t *object, const struct provider_request *request, struct provider_answer *ret)
{
    if (!is(json_text(object, "object", NULL), "payment_intent") || !is_ours(object, request) ||
        !answer_reference(ret->reference, json_text(object, "id", "")))
        return false;
    return request->reference[0] == '\0' || strcmp(request->reference, ret->reference) == 0;
}

static void read_intent(const struct provider_request *request, int64_t amount, const json_t *intent,
                        struct provider_answer *ret)
{
    const struct state *state = find_state(json_text(intent, "status", ""));
    if (request->operation == PROVIDER_REFUND || !state || !is_intent(intent, request, ret)) {
        answer_unreadable(ret, "Stripe's answer is not the payment intent we asked for.");
        return;
    }
    const struct verdict *verdict = &state->of[2 * request->operation + (request->ask ? ASK : 0)];
    answer_say(ret, verdict->outcome, verdict->code, "");
    if (strcmp(state->status, "canceled") == 0)
        read_canceled(request, intent, ret);
    if (ret->outcome == PROVIDER_ACTION)
        ret->action = read_action(intent);
    const json_t *last_error = json_object_get(intent, "last_payment_error");
    if (ret->outcome == PROVIDER_REFUSED && request->operation == PROVIDER_AUTHORIZE && json_is_object(last_error)) {
        answer_code(ret->code, reason_of(last_error, ret->code));
        read_message(request, last_error, ret);
    }
    check_amount(request, amount, intent, ret);
}

/* ---- refunds ---- */

static const struct refund_state {
    const char *status;
    struct verdict verdict;
} refund_states[] = {
    {"succeeded", {PROVIDER_DONE, ""}},
    {"pending", {PROVIDER_UNKNOWN, "pending"}}, /* accepted, and may still fail: not done before Stripe says so */
    {"requires_action", {PROVIDER_UNKNOWN, "requires_action"}},
    {"failed", {PROVIDER_REFUSED, "refund_failed"}},
    {"canceled", {PROVIDER_REFUSED, "canceled"}},
};

static bool is_of_slot(const json_t *refund, const struct provider_request *request)
{
    const json_t *metadata = json_object_get(refund, "metadata");
    char id[UUID_TEXT_SIZE];
    uuid_format(request->payment_id, id);
    return is(json_text(metadata, "acquit_slot", NULL), request->slot) &&
           is(json_text(metadata, "acquit_payment_id", NULL), id);
}

static void read_refund(const struct provider_request *request, int64_t amount, const json_t *refund,
                        struct provider_answer *ret)
{
    const char *status = json_text(refund, "status", "");
    const struct verdict *verdict = NULL;
    for (size_t i = 0; i < sizeof refund_states / sizeof refund_states[0]; i++)
        if (strcmp(refund_states[i].status, status) == 0)
            verdict = &refund_states[i].verdict;
    bool ours = is(json_text(refund, "object", NULL), "refund") && is_of_slot(refund, request) &&
                is(json_text(refund, "payment_intent", NULL), request->reference) &&
                answer_reference(ret->reference, json_text(refund, "id", ""));
    if (!verdict || !ours) {
        answer_unreadable(ret, "Stripe's answer is not the refund we asked for.");
        return;
    }
    bool refused = verdict->outcome == PROVIDER_REFUSED;
    answer_say(ret, verdict->outcome, refused ? json_text(refund, "failure_reason", verdict->code) : verdict->code, "");
    check_amount(request, amount, refund, ret);
}

/* The list is newest first, and consistent: what is not on a whole list is not there. */
static void read_refunds(const struct provider_request *request, int64_t amount, const json_t *list,
                         struct provider_answer *ret)
{
    const json_t *data = json_object_get(list, "data"), *refund;
    size_t i;
    if (!is(json_text(list, "object", NULL), "list") || !json_is_array(data)) {
        answer_unreadable(ret, "Stripe's answer is not a list of refunds.");
        return;
    }
    json_array_foreach(data, i, refund)
    {
        if (is_of_slot(refund, request)) {
            read_refund(request, amount, refund, ret);
            return;
        }
    }
    if (json_bool(list, "has_more", true))
        answer_say(ret, PROVIDER_UNKNOWN, "too_many_refunds",
                   "The payment has more refunds than one question can see.");
    else
        answer_say(ret, PROVIDER_ABSENT, "", "");
}

/* ---- errors ---- */

static bool fits(const struct error_rule *rule, const struct provider_request *request, int status, const json_t *error)
{
    return status >= rule->least && status <= rule->most && (rule->operations & 1 << request->operation) &&
           (!request->ask || rule->sending == SEND_OR_ASK) &&
           (!rule->type || is(json_text(error, "type", NULL), rule->type)) &&
           (!rule->code || is(json_text(error, "code", NULL), rule->code));
}

/* A key of the other mode (test, live) sees none of the objects; Stripe says so in words only. */
static bool is_wrong_mode(const json_t *error)
{
    return is(json_text(error, "code", NULL), "resource_missing") &&
           strstr(json_text(error, "message", ""), "similar object exists");
}

/* A decline whose intent holds money contradicts itself. */
static bool is_contradiction(const struct provider_request *request, const json_t *error,
                             const struct provider_answer *answer)
{
    const char *status = json_text(json_object_get(error, "payment_intent"), "status", "");
    return answer->outcome == PROVIDER_REFUSED && request->operation == PROVIDER_AUTHORIZE &&
           (is(status, "requires_capture") || is(status, "succeeded") || is(status, "processing"));
}

static void read_error_rules(const struct provider_request *request, int status, const json_t *error,
                             struct provider_answer *ret)
{
    if (is_wrong_mode(error)) {
        answer_say(ret, PROVIDER_UNKNOWN, "configuration", "The Stripe key is for the other mode (test or live).");
        return;
    }
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (!fits(&errors[i], request, status, error))
            continue;
        const struct verdict *verdict = &errors[i].verdict;
        answer_say(ret, verdict->outcome,
                   verdict->code ? verdict->code : reason_of(error, json_text(error, "type", "refused")), "");
        ret->unfit = verdict->outcome == PROVIDER_REFUSED && is(errors[i].type, "invalid_request_error");
        if (json_is_object(error))
            read_message(request, error, ret);
        if (is_contradiction(request, error, ret))
            answer_unreadable(ret, "Stripe declined, but its payment intent says otherwise.");
        return;
    }
    answer_unreadable(ret, "Stripe's answer is not one we know.");
    if (request->ask)
        answer_code(ret->code, "question_refused");
}

static void read_error(const struct provider_request *request, int64_t amount, int status, const json_t *root,
                       struct provider_answer *ret)
{
    const json_t *error = json_object_get(root, "error");
    const json_t *intent = json_object_get(error, "payment_intent");
    if (json_is_object(intent) && !is_ours(intent, request)) {
        answer_unreadable(ret, "Stripe's error is about another payment intent.");
        return;
    }
    bool unexpected =
        status >= 400 && status < 500 && is(json_text(error, "code", NULL), "payment_intent_unexpected_state");
    if (unexpected && json_is_object(intent))
        read_intent(request, amount, intent, ret);
    else if (unexpected)
        answer_unreadable(ret, "Stripe says the payment intent is in another state, not in which.");
    else
        read_error_rules(request, status, error, ret);
    const char *id = json_text(intent, "id", "");
    if (request->operation == PROVIDER_AUTHORIZE && ret->reference[0] == '\0' && *id)
        (void)!answer_reference(ret->reference, id);
}

static bool is_success(int status)
{
    return status >= 200 && status <= 299;
}

void stripe_decode(const struct provider_request *request, int64_t amount, int status, const char *body, size_t size,
                   struct provider_answer *ret)
{
    *ret = (struct provider_answer){.outcome = PROVIDER_UNKNOWN};
    json_t *root = json_decode(body, size, NULL);
    if (!is_success(status))
        read_error(request, amount, status, root, ret);
    else if (!json_is_object(root))
        answer_unreadable(ret, "Stripe's answer is not a JSON object.");
    else if (request->operation != PROVIDER_REFUND)
        read_intent(request, amount, root, ret);
    else if (request->ask)
        read_refunds(request, amount, root, ret);
    else
        read_refund(request, amount, root, ret);
    json_decref(root);
}

/* ---- search ---- */

static void say_not_found(const struct provider_request *request, struct provider_answer *ret)
{
    bool absent = request->operation == PROVIDER_VOID || (request->operation == PROVIDER_AUTHORIZE && request->ask);
    if (absent)
        answer_say(ret, PROVIDER_ABSENT, "", "");
    else
        answer_say(ret, PROVIDER_UNKNOWN, "reference_not_found",
                   "Stripe does not show the authorization that this belongs to.");
}

static size_t count_found(const json_t *data, const char *key, char ret_reference[static PROVIDER_REFERENCE_SIZE])
{
    const json_t *intent;
    size_t i, found = 0;
    json_array_foreach(data, i, intent)
    {
        const json_t *metadata = json_object_get(intent, "metadata");
        if (is(json_text(metadata, "acquit_key", NULL), key) &&
            answer_reference(ret_reference, json_text(intent, "id", "")))
            found++;
    }
    return found;
}

static bool read_search(const struct provider_request *request, const json_t *root,
                        char ret_reference[static PROVIDER_REFERENCE_SIZE], struct provider_answer *ret)
{
    const json_t *data = json_object_get(root, "data");
    if (!is(json_text(root, "object", NULL), "search_result") || !json_is_array(data)) {
        answer_unreadable(ret, "Stripe's answer is not a search result.");
        return false;
    }
    size_t found = count_found(data, authorization_key(request), ret_reference);
    if (found == 1)
        return true;
    if (found == 0 && !json_bool(root, "has_more", true))
        say_not_found(request, ret);
    else
        answer_say(ret, PROVIDER_UNKNOWN, "ambiguous_answer", "Stripe shows more than one payment intent for one key.");
    return false;
}

bool stripe_decode_search(const struct provider_request *request, int status, const char *body, size_t size,
                          char ret_reference[static PROVIDER_REFERENCE_SIZE], struct provider_answer *ret)
{
    *ret = (struct provider_answer){.outcome = PROVIDER_UNKNOWN};
    json_t *root = json_decode(body, size, NULL);
    bool located = false;
    if (is_success(status)) {
        located = read_search(request, root, ret_reference, ret);
    } else {
        /* A search is always a question, whatever it is for: no answer to it can refuse, and none of these is about
         * an intent. */
        struct provider_request question = *request;
        question.ask = true;
        question.operation = PROVIDER_AUTHORIZE;
        read_error_rules(&question, status, json_object_get(root, "error"), ret);
    }
    json_decref(root);
    return located;
}
