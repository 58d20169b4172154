/* paypal_answers.c - what all operations of the PayPal twin share: the way in, access tokens, amounts, errors, objects
 *
 * https://developer.paypal.com/api/rest/responses/ (form of errors), /api/rest/authentication/ (tokens),
 * /docs/api/orders/v2/ and /docs/api/payments/v2/ (objects). A client should look at name and issue only.
 */
#include "paypal_answers.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "limits.h"
#include "paypal_keys.h"

enum { TOKEN_LIFE_SECONDS = 32400, TOKEN_SIZE = 98, CREDENTIALS_SIZE = 512 };

static const char *credentials;

/* The newest tokens that were given out; the oldest makes room. They do not survive a restart. */
static struct token {
    char text[TOKEN_SIZE];
    int64_t ends_ms; /* twin's time */
} tokens[LIMIT_ACCESS_TOKENS];
static size_t token_next;

void paypal_configure(const char *accepted)
{
    credentials = accepted;
}

/* ---- errors ---- */

static void add_headers(struct call *call)
{
    char debug_id[16];
    text_random_id(debug_id, sizeof debug_id, "", 13);
    answer_header(call, "Paypal-Debug-Id", debug_id);
}

void paypal_refuse(struct call *call, unsigned status, const char *name, const char *issue)
{
    char debug_id[16];
    text_random_id(debug_id, sizeof debug_id, "", 13);
    json_t *body = json_pack("{s:s, s:s, s:s}", "name", name, "message",
                             "The requested action could not be performed, semantically incorrect, or failed business "
                             "validation.",
                             "debug_id", debug_id);
    if (issue)
        json_object_set_new(body, "details",
                            json_pack("[{s:s, s:s}]", "issue", issue, "description", "See the issue."));
    answer_json(call, status, body);
}

void paypal_refuse_issue(struct call *call, const char *issue)
{
    paypal_refuse(call, 422, "UNPROCESSABLE_ENTITY", issue);
}

void paypal_refuse_missing(struct call *call)
{
    paypal_refuse(call, 404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID");
}

static void fail(struct call *call)
{
    paypal_refuse(call, 500, "INTERNAL_SERVER_ERROR", NULL);
}

static void limit(struct call *call)
{
    paypal_refuse(call, 429, "RATE_LIMIT_REACHED", NULL);
}

const struct twin paypal_twin = {.fail = fail, .limit = limit, .keep = paypal_key_keep, .done = paypal_key_done};

/* ---- access tokens ---- */

static bool knows_credentials(const struct call *call)
{
    unsigned char plain[CREDENTIALS_SIZE] = {0};
    size_t length = 0;
    if (!text_starts(call->authorization, "Basic ") ||
        !text_unbase64(call->authorization + strlen("Basic "), plain, sizeof plain - 1, &length))
        return false;
    plain[length] = '\0';
    return !credentials || text_same_secret((char *)plain, credentials);
}

static void refuse_client(struct call *call)
{
    answer_json(
        call, 401,
        json_pack("{s:s, s:s}", "error", "invalid_client", "error_description", "Client Authentication failed"));
}

void paypal_open_token(struct call *call)
{
    const char *grant = form_get(&call->form, "grant_type");
    add_headers(call);
    if (!knows_credentials(call))
        refuse_client(call);
    else if (!grant || strcmp(grant, "client_credentials") != 0)
        answer_json(call, 400, json_pack("{s:s}", "error", "unsupported_grant_type"));
}

void paypal_effect_token(struct call *call)
{
    if (call->fault.kind == FAULT_DECLINE) {
        refuse_client(call);
        return;
    }
    struct token *token = &tokens[token_next++ % LIMIT_ACCESS_TOKENS];
    text_random_id(token->text, sizeof token->text, "A21AA", 60);
    token->ends_ms = clock_ms(CLOCK_PAYPAL) + (int64_t)TOKEN_LIFE_SECONDS * 1000;
    answer_json(call, 200,
                json_pack("{s:s, s:s, s:s, s:s, s:i, s:s}", "scope",
                          "https://uri.paypal.com/services/payments/payment/authcapture", "access_token", token->text,
                          "token_type", "Bearer", "app_id", "APP-80W284485P519543T", "expires_in", TOKEN_LIFE_SECONDS,
                          "nonce", "2026-01-01T00:00:00Z"));
}

static bool knows_token(const struct call *call)
{
    for (size_t i = 0; i < LIMIT_ACCESS_TOKENS; i++)
        if (*tokens[i].text && call_has_bearer(call, tokens[i].text))
            return tokens[i].ends_ms > clock_ms(CLOCK_PAYPAL);
    return false;
}

/* ---- the way in ---- */

bool paypal_enter(struct call *call)
{
    add_headers(call);
    if (!knows_token(call)) {
        paypal_refuse(call, 401, "AUTHENTICATION_FAILURE", NULL);
        return false;
    }
    if (strlen(call->key) > 108) {
        paypal_refuse(call, 400, "INVALID_REQUEST", "INVALID_STRING_LENGTH");
        return false;
    }
    return true;
}

bool paypal_begin(struct call *call)
{
    switch (paypal_key_begin(call)) {
    case PAYPAL_KEY_NEW:
        return true;
    case PAYPAL_KEY_REPLAY:
        return false;
    case PAYPAL_KEY_IN_USE:
        paypal_refuse(call, 409, "RESOURCE_CONFLICT", "PREVIOUS_REQUEST_IN_PROGRESS");
        return false;
    case PAYPAL_KEY_OTHER:
        paypal_refuse_issue(call, "DUPLICATE_REQUEST_ID");
        return false;
    case PAYPAL_KEY_FULL:
        paypal_refuse(call, 503, "SERVICE_UNAVAILABLE", NULL);
        return false;
    }
    return false;
}

void paypal_open_unknown(struct call *call)
{
    add_headers(call);
    paypal_refuse(call, 404, "RESOURCE_NOT_FOUND", NULL);
}

struct paypal_order *paypal_order_arg(struct call *call)
{
    struct paypal_order *order = paypal_find(call->args[0]);
    if (order)
        text_copy(call->payment, sizeof call->payment, order->payment);
    else
        paypal_refuse_missing(call);
    return order;
}

/* ---- amounts ---- */

/* https://developer.paypal.com/api/rest/reference/currency-codes/ */
static const char currencies[] = "AUD BRL CAD CNY CZK DKK EUR HKD HUF ILS JPY MYR MXN TWD NZD NOK PHP PLN GBP SGD SEK "
                                 "CHF THB USD";

static bool takes_no_decimals(const char *currency)
{
    return strcmp(currency, "JPY") == 0 || strcmp(currency, "HUF") == 0 || strcmp(currency, "TWD") == 0;
}

static int digits_of(const char *currency)
{
    return strcmp(currency, "JPY") == 0 ? 0 : 2;
}

/* The issue, or NULL when `value` is an amount in that currency. */
static const char *read_value(const char *value, const char *currency, int64_t *ret)
{
    size_t whole = strspn(value, "0123456789");
    const char *point = value + whole;
    size_t fraction = *point == '.' ? strspn(point + 1, "0123456789") : 0;
    if (whole == 0 || whole > 12 || fraction > 2 || (*point && (*point != '.' || !fraction || point[1 + fraction])))
        return "INVALID_PARAMETER_SYNTAX";
    if (fraction && takes_no_decimals(currency))
        return "DECIMALS_NOT_SUPPORTED";
    int64_t units = 0;
    for (size_t i = 0; i < whole; i++)
        units = units * 10 + (value[i] - '0');
    for (int i = 0; i < digits_of(currency); i++)
        units = units * 10 + ((size_t)i < fraction ? point[1 + i] - '0' : 0);
    *ret = units;
    return units > 0 ? NULL : "CANNOT_BE_ZERO_OR_NEGATIVE";
}

bool paypal_read_amount(struct call *call, const json_t *amount, char currency[4], int64_t *ret)
{
    const char *code = json_string_value(json_object_get(amount, "currency_code"));
    const char *value = json_string_value(json_object_get(amount, "value"));
    if (!code || !value || strlen(code) != 3) {
        paypal_refuse(call, 400, "INVALID_REQUEST", "MISSING_REQUIRED_PARAMETER");
        return false;
    }
    const char *issue = strstr(currencies, code) ? read_value(value, code, ret) : "CURRENCY_NOT_SUPPORTED";
    if (issue) {
        paypal_refuse_issue(call, issue);
        return false;
    }
    text_copy(currency, 4, code);
    return true;
}

static json_t *wire_amount(const char *currency, int64_t amount)
{
    char value[32];
    if (takes_no_decimals(currency))
        text_print(value, sizeof value, "%lld", (long long)(digits_of(currency) ? amount / 100 : amount));
    else
        text_print(value, sizeof value, "%lld.%02d", (long long)(amount / 100), (int)(amount % 100));
    return json_pack("{s:s, s:s}", "currency_code", currency, "value", value);
}

/* ---- objects ---- */

static void set_time(json_t *to, const char *name, int64_t ms)
{
    char text[TIME_SIZE];
    text_time(text, ms, false);
    json_object_set_new(to, name, json_string(text));
}

static json_t *link_json(const char *href, const char *rel, const char *method)
{
    return json_pack("{s:s, s:s, s:s}", "href", href, "rel", rel, "method", method);
}

/* A capture of which something came back says so in its status. */
static const char *status_of(const struct paypal_order *order, const struct paypal_entry *entry)
{
    if (entry != &order->capture || entry->status != PAYPAL_COMPLETED)
        return paypal_status_name(entry->status);
    int64_t refunded = 0;
    for (const struct paypal_refund *refund = order->refunds; refund; refund = refund->next)
        refunded += refund->entry.status == PAYPAL_COMPLETED ? refund->entry.amount : 0;
    return refunded == 0 ? "COMPLETED" : refunded < entry->amount ? "PARTIALLY_REFUNDED" : "REFUNDED";
}

json_t *paypal_wire_entry(const struct paypal_order *order, const struct paypal_entry *entry, const char *collection)
{
    char href[160];
    text_print(href, sizeof href, "https://api-m.paypal.com/v2/payments/%s/%s", collection, entry->id);
    json_t *to =
        json_pack("{s:s, s:s, s:o, s:s, s:[o]}", "id", entry->id, "status", status_of(order, entry), "amount",
                  wire_amount(order->currency, entry->amount), "custom_id",
                  *entry->custom_id ? entry->custom_id : order->custom_id, "links", link_json(href, "self", "GET"));
    if (entry->status == PAYPAL_PENDING)
        json_object_set_new(to, "status_details", json_pack("{s:s}", "reason", "PENDING_REVIEW"));
    if (entry->status == PAYPAL_DENIED)
        json_object_set_new(to, "processor_response",
                            json_pack("{s:s, s:s}", "response_code", "5120", "avs_code", "Y"));
    if (entry == &order->capture)
        json_object_set_new(to, "final_capture", json_true());
    set_time(to, "create_time", entry->created_ms);
    set_time(to, "update_time", entry->created_ms);
    return to;
}

static json_t *wire_payments(const struct paypal_order *order, int64_t lag_ms)
{
    json_t *payments = json_object(), *refunds = json_array();
    if (order->authorization.status != PAYPAL_NONE)
        json_object_set_new(payments, "authorizations",
                            json_pack("[o]", paypal_wire_entry(order, &order->authorization, "authorizations")));
    if (order->capture.status != PAYPAL_NONE)
        json_object_set_new(payments, "captures",
                            json_pack("[o]", paypal_wire_entry(order, &order->capture, "captures")));
    for (const struct paypal_refund *refund = order->refunds; refund; refund = refund->next)
        if (clock_ms(CLOCK_PAYPAL) - refund->entry.created_ms >= lag_ms)
            json_array_insert_new(refunds, 0, paypal_wire_entry(order, &refund->entry, "refunds"));
    if (json_array_size(refunds))
        json_object_set(payments, "refunds", refunds);
    json_decref(refunds);
    return payments;
}

json_t *paypal_wire_order(struct paypal_order *order, int64_t lag_ms)
{
    char href[160];
    json_t *unit = json_pack("{s:s, s:o, s:s}", "reference_id", "default", "amount",
                             wire_amount(order->currency, order->amount), "custom_id", order->custom_id);
    if (order->description)
        json_object_set_new(unit, "description", json_string(order->description));
    if (order->authorization.status != PAYPAL_NONE)
        json_object_set_new(unit, "payments", wire_payments(order, lag_ms));
    text_print(href, sizeof href, "https://api-m.paypal.com/v2/checkout/orders/%s", order->id);
    json_t *links = json_pack("[o]", link_json(href, "self", "GET"));
    if (order->status == PAYPAL_ORDER_ACTION) {
        text_print(href, sizeof href, "https://www.paypal.com/checkoutnow?token=%s", order->id);
        json_array_append_new(links, link_json(href, "payer-action", "GET"));
    }
    json_t *to = json_pack("{s:s, s:s, s:s, s:[o], s:o}", "id", order->id, "intent", "AUTHORIZE", "status",
                           paypal_order_status_name(order->status), "purchase_units", unit, "links", links);
    set_time(to, "create_time", order->created_ms);
    return to;
}
