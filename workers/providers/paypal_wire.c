/* paypal_wire.c - what we say to PayPal: amounts, ids, the bytes of each exchange
 *
 * A refund and a capture always carry their amount: without one PayPal takes all that is left. An order is made
 * without a payment source, which comes with the authorization: so making it moves nothing, and under its
 * PayPal-Request-Id it can be "made" again to find it (docs/adr/0022-paypal.md).
 */
#include "workers/providers/paypal_wire.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

/* ---- amounts ---- */

/* https://developer.paypal.com/api/rest/reference/currency-codes/. All others are refused before a call. */
static const struct currency_rule {
    char code[CURRENCY_SIZE];
    int exponent; /* ISO 4217's; if money.c thinks otherwise, nothing is sent */
    int decimals; /* PayPal's */
} currency_rules[] = {
    /* clang-format off */
    {"AUD", 2, 2}, {"BRL", 2, 2}, {"CAD", 2, 2}, {"CHF", 2, 2}, {"CNY", 2, 2}, {"CZK", 2, 2}, {"DKK", 2, 2},
    {"EUR", 2, 2}, {"GBP", 2, 2}, {"HKD", 2, 2}, {"ILS", 2, 2}, {"MXN", 2, 2}, {"MYR", 2, 2}, {"NOK", 2, 2},
    {"NZD", 2, 2}, {"PHP", 2, 2}, {"PLN", 2, 2}, {"SEK", 2, 2}, {"SGD", 2, 2}, {"THB", 2, 2}, {"USD", 2, 2},
    {"JPY", 0, 0},
    /* two digits in ISO 4217, none for PayPal: only whole units */
    {"HUF", 2, 0}, {"TWD", 2, 0},
    /* clang-format on */
};

static const struct currency_rule *find_rule(const char *currency)
{
    const struct currency *iso = currency_find(currency);
    for (size_t i = 0; iso && i < sizeof currency_rules / sizeof currency_rules[0]; i++)
        if (strcmp(currency_rules[i].code, currency) == 0 && currency_rules[i].exponent == iso->exponent)
            return &currency_rules[i];
    return NULL;
}

static int64_t power_of_ten(int exponent)
{
    int64_t power = 1;
    while (exponent-- > 0)
        power *= 10;
    return power;
}

int paypal_amount(int64_t amount, const char *currency, char ret[static MONEY_TEXT_MAX], const char **ret_code)
{
    const struct currency_rule *rule = find_rule(currency);
    if (!rule) {
        *ret_code = "currency_not_supported";
        return -1;
    }
    int64_t unit = power_of_ten(rule->exponent - rule->decimals);
    if (amount <= 0 || amount % unit != 0) {
        *ret_code = "amount_not_representable";
        return -1;
    }
    money_decimal(amount / unit, rule->decimals, ret);
    return 0;
}

enum { VALUE_DIGITS_MAX = 18 }; /* an int64 holds any number of so many digits */

/* Digits, then perhaps a point and more of them; those beyond the exponent must be 0. */
int64_t paypal_minor_units(const char *value, const char *currency)
{
    const struct currency_rule *rule = find_rule(currency);
    size_t whole = strspn(value, "0123456789"), fraction = 0;
    if (!rule || whole == 0)
        return -1;
    const char *end = value + whole;
    if (*end == '.') {
        fraction = strspn(end + 1, "0123456789");
        if (fraction == 0)
            return -1;
        end += 1 + fraction;
    }
    size_t exponent = (size_t)rule->exponent;
    if (*end || whole + exponent > VALUE_DIGITS_MAX)
        return -1;
    int64_t units = 0;
    for (size_t i = 0; i < whole; i++)
        units = 10 * units + (value[i] - '0');
    for (size_t i = 0; i < exponent; i++)
        units = 10 * units + (i < fraction ? value[whole + 1 + i] - '0' : 0);
    for (size_t i = exponent; i < fraction; i++)
        if (value[whole + 1 + i] != '0')
            return -1;
    return units;
}

/* ---- ids and keys ---- */

static bool take_id(const char *from, size_t length, char ret[static PAYPAL_ID_SIZE])
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (length == 0 || length >= PAYPAL_ID_SIZE || strspn(from, allowed) < length)
        return false;
    memcpy(ret, from, length);
    ret[length] = '\0';
    return true;
}

struct paypal_ids paypal_ids_of(const char *reference)
{
    struct paypal_ids ids = {.order = ""};
    size_t order = strcspn(reference, "/");
    const char *rest = reference[order] ? reference + order + 1 : "";
    if (!take_id(reference, order, ids.order) || (*rest && !take_id(rest, strlen(rest), ids.authorization)))
        return (struct paypal_ids){.order = ""};
    return ids;
}

const char *paypal_authorization_key(const struct provider_request *request)
{
    return request->operation == PROVIDER_AUTHORIZE ? request->key : request->authorization_key;
}

void paypal_custom_id(const char *key, char ret[static PROVIDER_KEY_SIZE])
{
    size_t n = 0;
    for (; n < PROVIDER_KEY_SIZE - 1 && key[n]; n++) {
        char c = key[n];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        ret[n] = plain ? c : '.';
    }
    ret[n] = '\0';
}

enum paypal_step paypal_next_step(const struct provider_request *request, const struct paypal_ids *ids)
{
    if (!*ids->order)
        return PAYPAL_ORDER;
    if (request->ask)
        return PAYPAL_LOOK;
    switch (request->operation) {
    case PROVIDER_AUTHORIZE:
        return PAYPAL_ACT;
    case PROVIDER_CAPTURE:
    case PROVIDER_VOID:
        return *ids->authorization ? PAYPAL_ACT : PAYPAL_LOOK;
    case PROVIDER_REFUND:
        return *ids->capture ? PAYPAL_ACT : PAYPAL_LOOK;
    }
    return PAYPAL_LOOK;
}

/* ---- bodies ---- */

static json_t *amount_json(const struct provider_request *request, const char *value)
{
    return json_pack("{s:s, s:s}", "currency_code", request->currency, "value", value);
}

/* At most PAYPAL_DESCRIPTION_MAX characters, not bytes. */
static json_t *description_json(const char *text)
{
    size_t bytes = 0;
    for (int characters = 0; text[bytes]; bytes++) {
        bool begins = ((unsigned char)text[bytes] & 0xc0) != 0x80;
        if (begins && ++characters > PAYPAL_DESCRIPTION_MAX)
            break;
    }
    return json_stringn(text, bytes);
}

static json_t *order_json(const struct provider_request *request, const char *value)
{
    char custom_id[PROVIDER_KEY_SIZE];
    paypal_custom_id(paypal_authorization_key(request), custom_id);
    json_t *unit = json_pack("{s:o, s:s}", "amount", amount_json(request, value), "custom_id", custom_id);
    if (request->description && *request->description)
        json_object_set_new(unit, "description", description_json(request->description));
    return json_pack("{s:s, s:[o]}", "intent", "AUTHORIZE", "purchase_units", unit);
}

/* A payment token is the id of a payment method in PayPal's vault: of a card, or, as "paypal:ID", of an account. */
static json_t *source_json(const struct provider_request *request)
{
    static const char account[] = "paypal:", card[] = "card:";
    const char *token = request->payment_token, *kind = "card";
    if (strncmp(token, account, strlen(account)) == 0) {
        kind = "paypal";
        token += strlen(account);
    } else if (strncmp(token, card, strlen(card)) == 0) {
        token += strlen(card);
    }
    return json_pack("{s:{s:{s:s}}}", "payment_source", kind, "vault_id", token);
}

static json_t *refund_json(const struct provider_request *request, const char *value)
{
    char custom_id[PROVIDER_KEY_SIZE];
    paypal_custom_id(request->key, custom_id);
    return json_pack("{s:o, s:s}", "amount", amount_json(request, value), "custom_id", custom_id);
}

static json_t *effect_json(const struct provider_request *request, const char *value)
{
    switch (request->operation) {
    case PROVIDER_AUTHORIZE:
        return source_json(request);
    case PROVIDER_CAPTURE:
        return json_pack("{s:o, s:b}", "amount", amount_json(request, value), "final_capture", 1);
    case PROVIDER_REFUND:
        return refund_json(request, value);
    case PROVIDER_VOID:
        break;
    }
    return NULL;
}

/* ---- exchanges ---- */

static void put(char *to, size_t size, bool *fits, const char *fmt, ...) PRINTF_LIKE(4, 5);

static void put(char *to, size_t size, bool *fits, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(to, size, fmt, args);
    va_end(args);
    *fits = *fits && n >= 0 && (size_t)n < size;
}

static void put_target(const struct provider_request *request, enum paypal_step step, const struct paypal_ids *ids,
                       char ret[static PAYPAL_TARGET_MAX], bool *fits)
{
    static const struct {
        const char *collection, *action;
    } effects[] = {
        [PROVIDER_AUTHORIZE] = {"checkout/orders", "authorize"},
        [PROVIDER_CAPTURE] = {"payments/authorizations", "capture"},
        [PROVIDER_VOID] = {"payments/authorizations", "void"},
        [PROVIDER_REFUND] = {"payments/captures", "refund"},
    };
    const char *const of[] = {[PROVIDER_AUTHORIZE] = ids->order,
                              [PROVIDER_CAPTURE] = ids->authorization,
                              [PROVIDER_VOID] = ids->authorization,
                              [PROVIDER_REFUND] = ids->capture};
    if (step == PAYPAL_ORDER)
        put(ret, PAYPAL_TARGET_MAX, fits, "/v2/checkout/orders");
    else if (step == PAYPAL_LOOK)
        put(ret, PAYPAL_TARGET_MAX, fits, "/v2/checkout/orders/%s", ids->order);
    else
        put(ret, PAYPAL_TARGET_MAX, fits, "/v2/%s/%s/%s", effects[request->operation].collection,
            of[request->operation], effects[request->operation].action);
}

static void put_request_id(const struct provider_request *request, enum paypal_step step,
                           char ret[static PAYPAL_REQUEST_ID_MAX + 1], bool *fits)
{
    ret[0] = '\0';
    if (step == PAYPAL_ORDER)
        put(ret, PAYPAL_REQUEST_ID_MAX + 1, fits, "%s:order", paypal_authorization_key(request));
    else if (step == PAYPAL_ACT && request->operation != PROVIDER_VOID)
        put(ret, PAYPAL_REQUEST_ID_MAX + 1, fits, "%s", request->key);
}

static void put_body(json_t *json, struct paypal_message *ret, bool *fits)
{
    char *text = json ? json_encode(json) : NULL;
    put(ret->body, sizeof ret->body, fits, "%s", text ? text : "");
    ret->body_size = strlen(ret->body);
    if (text)
        explicit_bzero(text, strlen(text)); /* the token */
    free(text);
    json_decref(json);
}

int paypal_encode(const struct provider_request *request, enum paypal_step step, const struct paypal_ids *ids,
                  const char *value, struct paypal_message *ret, struct err *err)
{
    bool fits = true;
    json_t *body = step == PAYPAL_ORDER ? order_json(request, value)
                   : step == PAYPAL_ACT ? effect_json(request, value)
                                        : NULL;
    bool has_body = step == PAYPAL_ORDER || (step == PAYPAL_ACT && request->operation != PROVIDER_VOID);
    if (has_body && !body)
        return err_set(err, ERR_INVALID, "PayPal request: a text is not UTF-8");
    ret->method = step == PAYPAL_LOOK ? "GET" : "POST";
    put_target(request, step, ids, ret->target, &fits);
    put_request_id(request, step, ret->request_id, &fits);
    put_body(body, ret, &fits);
    return fits ? 0 : err_set(err, ERR_LIMIT, "PayPal request is longer than %d bytes", PAYPAL_BODY_MAX);
}
