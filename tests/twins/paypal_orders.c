/* paypal_orders.c - orders of the PayPal twin: create, authorize, show (https://developer.paypal.com/docs/api/orders/v2/)
 *
 * One purchase unit, intent AUTHORIZE, payment sources from the vault (card or paypal: vault_id). A payment source may
 * come with the order, which is then authorized at once, or with the authorization. How a vault id behaves is in its
 * name, see `ways`; an amount that ends in DENIED_UNITS is denied by the bank.
 */
#include "paypal_orders.h"

#include <string.h>
#include <strings.h>

#include "clock.h"
#include "control.h"
#include "paypal_answers.h"

enum { DENIED_UNITS = 5120, UNITS = 10000, SETTLE_MS = 3000 }; /* processor response 5120: insufficient funds */

enum way { PAYS, DECLINES, DENIES, CHALLENGES, WAITS };

/* The first that stands in the vault id, in any case. */
static const struct {
    const char *part;
    enum way way;
} ways[] = {{"declined", DECLINES}, {"denied", DENIES}, {"challenge", CHALLENGES}, {"pending", WAITS}};

static bool contains(const char *text, const char *part)
{
    for (; *text; text++)
        if (strncasecmp(text, part, strlen(part)) == 0)
            return true;
    return false;
}

static enum way way_of(const char *vault_id, int64_t amount)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (contains(vault_id, ways[i].part))
            return ways[i].way;
    return amount % UNITS == DENIED_UNITS ? DENIES : PAYS;
}

/* The vault id of body.payment_source; NULL: there is none. */
static const char *vault_id_of(const struct call *call)
{
    const json_t *source = json_object_get(call->json, "payment_source");
    const char *card = json_string_value(json_object_get(json_object_get(source, "card"), "vault_id"));
    return card ? card : json_string_value(json_object_get(json_object_get(source, "paypal"), "vault_id"));
}

/* ---- create ---- */

static const json_t *unit_of(const struct call *call)
{
    return json_array_get(json_object_get(call->json, "purchase_units"), 0);
}

static const char *custom_id_of(const struct call *call)
{
    const char *text = json_string_value(json_object_get(unit_of(call), "custom_id"));
    return text ? text : "";
}

/* The payment is the UUID that the custom_id begins with. */
static void find_payment(struct call *call)
{
    char id[PAYMENT_SIZE];
    text_copy(id, sizeof id, custom_id_of(call));
    if (!text_payment(call->payment, id))
        call->payment[0] = '\0';
}

void paypal_open_create(struct call *call)
{
    const char *intent = json_string_value(json_object_get(call->json, "intent"));
    char currency[4];
    int64_t amount;
    if (!paypal_enter(call))
        return;
    find_payment(call);
    if (!intent || strcmp(intent, "AUTHORIZE") != 0 ||
        json_array_size(json_object_get(call->json, "purchase_units")) != 1 ||
        strlen(custom_id_of(call)) >= PAYPAL_CUSTOM_SIZE)
        paypal_refuse(call, 400, "INVALID_REQUEST", "INVALID_PARAMETER_VALUE");
    else if (vault_id_of(call) && !call->key[0])
        paypal_refuse(call, 400, "INVALID_REQUEST", "PAYPAL_REQUEST_ID_REQUIRED");
    else if (paypal_read_amount(call, json_object_get(unit_of(call), "amount"), currency, &amount))
        paypal_begin(call);
}

static struct paypal_order *make_order(struct call *call)
{
    struct paypal_order *order = paypal_order_new();
    const char *description = json_string_value(json_object_get(unit_of(call), "description"));
    if (!order || !paypal_read_amount(call, json_object_get(unit_of(call), "amount"), order->currency, &order->amount))
        return NULL;
    text_copy(order->payment, sizeof order->payment, call->payment);
    text_copy(order->custom_id, sizeof order->custom_id, custom_id_of(call));
    order->description = description ? text_dup(description) : NULL;
    paypal_book(order);
    return order;
}

/* ---- authorize ---- */

static void begin_authorization(struct call *call, struct paypal_order *order, enum way way)
{
    struct paypal_entry *entry = &order->authorization;
    bool waits = call->fault.kind == FAULT_PENDING || way == WAITS;
    bool denied = call->fault.kind == FAULT_FAILED_200 || way == DENIES;
    paypal_entry_begin(order, entry, order->amount);
    entry->status = denied ? PAYPAL_DENIED : waits ? PAYPAL_PENDING : PAYPAL_CREATED;
    if (waits && !denied) {
        entry->settle_to = strcmp(call->fault.code, "denied") == 0 ? PAYPAL_DENIED : PAYPAL_CREATED;
        entry->settle_at =
            clock_ms(CLOCK_PAYPAL) + (call->fault.kind == FAULT_PENDING ? call->fault.delay_ms : SETTLE_MS);
    }
    order->status = PAYPAL_ORDER_COMPLETED;
    paypal_note(order);
}

static void ask_customer(struct call *call, struct paypal_order *order)
{
    char href[160];
    order->status = PAYPAL_ORDER_ACTION;
    paypal_note(order);
    text_print(href, sizeof href, "https://www.paypal.com/checkoutnow?token=%s", order->id);
    answer_json(call, 422,
                json_pack("{s:s, s:s, s:s, s:[{s:s}], s:[{s:s, s:s, s:s}]}", "name", "UNPROCESSABLE_ENTITY", "message",
                          "Payer action is required.", "debug_id", "0", "details", "issue", "PAYER_ACTION_REQUIRED",
                          "links", "href", href, "rel", "payer-action", "method", "GET"));
}

static void attempt(struct call *call, struct paypal_order *order, const char *vault_id)
{
    enum way way = way_of(vault_id, order->amount);
    if (way == CHALLENGES && order->status == PAYPAL_ORDER_APPROVED)
        way = PAYS;
    if (call->fault.kind == FAULT_DECLINE || way == DECLINES) {
        paypal_note(order);
        paypal_refuse_issue(call, call->fault.code[0] ? call->fault.code : "INSTRUMENT_DECLINED");
        return;
    }
    if (way == CHALLENGES) {
        ask_customer(call, order);
        return;
    }
    begin_authorization(call, order, way);
    answer_json(call, 201, paypal_wire_order(order, 0));
}

void paypal_effect_create(struct call *call)
{
    if (call->fault.kind == FAULT_DECLINE) {
        paypal_refuse_issue(call, call->fault.code[0] ? call->fault.code : "PAYEE_ACCOUNT_RESTRICTED");
        return;
    }
    struct paypal_order *order = make_order(call);
    const char *vault_id = vault_id_of(call);
    if (!order) {
        if (!call->answer.ready)
            paypal_refuse(call, 503, "SERVICE_UNAVAILABLE", NULL);
        return;
    }
    if (vault_id) {
        attempt(call, order, vault_id);
        return;
    }
    paypal_note(order);
    answer_json(call, 201, paypal_wire_order(order, 0));
}

void paypal_open_authorize(struct call *call)
{
    if (paypal_enter(call) && paypal_order_arg(call))
        paypal_begin(call);
}

void paypal_effect_authorize(struct call *call)
{
    struct paypal_order *order = paypal_find(call->args[0]);
    const char *vault_id = vault_id_of(call);
    if (order->authorization.status != PAYPAL_NONE)
        paypal_refuse_issue(call, "ORDER_ALREADY_AUTHORIZED");
    else if (!vault_id && order->status != PAYPAL_ORDER_APPROVED)
        paypal_refuse_issue(call, "ORDER_NOT_APPROVED");
    else
        attempt(call, order, vault_id ? vault_id : "");
}

/* ---- show ---- */

void paypal_open_retrieve(struct call *call)
{
    if (paypal_enter(call))
        (void)paypal_order_arg(call);
}

/* Declining a question is pretending not to know. */
void paypal_effect_retrieve_order(struct call *call)
{
    struct paypal_order *order = paypal_find(call->args[0]);
    int64_t lag_ms = call->fault.kind == FAULT_LAG ? call->fault.delay_ms : 0;
    if (lag_ms)
        order = paypal_behind(order, lag_ms);
    if (call->fault.kind == FAULT_DECLINE || !order || strcmp(order->id, call->args[0]) != 0)
        paypal_refuse_missing(call);
    else
        answer_json(call, 200, paypal_wire_order(order, lag_ms));
}

/* ---- control ---- */

void control_approve(struct call *call)
{
    struct paypal_order *order = paypal_find(call->args[0]);
    if (!order || strcmp(order->id, call->args[0]) != 0) {
        answer_error(call, 404, "no such order");
        return;
    }
    if (order->status != PAYPAL_ORDER_ACTION) {
        answer_error(call, 409, "the order does not require an action");
        return;
    }
    order->status = PAYPAL_ORDER_APPROVED;
    paypal_note(order);
    answer_json(call, 200, paypal_wire_order(order, 0));
}
