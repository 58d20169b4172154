/* paypal_payments.c - payments of the PayPal twin: capture, void, refund, show
 *
 * https://developer.paypal.com/docs/api/payments/v2/. An authorization is captured once, wholly or in part; what a
 * capture leaves is released. As with PayPal, a capture or refund without an amount takes all there is.
 */
#include "paypal_payments.h"

#include <string.h>

#include "clock.h"
#include "paypal_answers.h"

/* The order whose entry the path names; NULL: refused, answered. */
static struct paypal_order *order_of(struct call *call, bool of_capture)
{
    struct paypal_order *order = paypal_order_arg(call);
    if (!order)
        return NULL;
    const char *id = of_capture ? order->capture.id : order->authorization.id;
    if (strcmp(id, call->args[0]) == 0)
        return order;
    paypal_refuse_missing(call);
    return NULL;
}

/* body.amount, or `all` without one. False: refused, answered. */
static bool read_amount(struct call *call, const struct paypal_order *order, int64_t all, int64_t *ret)
{
    const json_t *given = json_object_get(call->json, "amount");
    char currency[4];
    *ret = all;
    if (!given)
        return true;
    if (!paypal_read_amount(call, given, currency, ret))
        return false;
    if (strcmp(currency, order->currency) == 0)
        return true;
    paypal_refuse_issue(call, "CURRENCY_MISMATCH");
    return false;
}

static void set_course(const struct call *call, struct paypal_entry *entry, enum paypal_status failed)
{
    entry->status = PAYPAL_COMPLETED;
    if (call->fault.kind == FAULT_FAILED_200) {
        entry->status = failed;
    } else if (call->fault.kind == FAULT_PENDING) {
        entry->status = PAYPAL_PENDING;
        entry->settle_to = strcmp(call->fault.code, "failed") == 0 ? failed : PAYPAL_COMPLETED;
        entry->settle_at = clock_ms(CLOCK_PAYPAL) + call->fault.delay_ms;
    }
}

/* ---- capture ---- */

void paypal_open_capture(struct call *call)
{
    const struct paypal_order *order = paypal_enter(call) ? order_of(call, false) : NULL;
    int64_t amount;
    if (order && read_amount(call, order, order->amount, &amount))
        paypal_begin(call);
}

/* Why it cannot be captured, or NULL. */
static const char *capture_issue(const struct call *call, const struct paypal_order *order, int64_t amount)
{
    bool taken = order->authorization.status == PAYPAL_CAPTURED || order->capture.status == PAYPAL_PENDING;
    if (taken)
        return "AUTHORIZATION_ALREADY_CAPTURED";
    if (order->authorization.status == PAYPAL_VOIDED)
        return "AUTHORIZATION_VOIDED";
    if (order->authorization.status != PAYPAL_CREATED)
        return "AUTHORIZATION_NOT_CAPTURABLE";
    if (amount > order->authorization.amount)
        return "MAX_CAPTURE_AMOUNT_EXCEEDED";
    if (call->fault.kind == FAULT_DECLINE)
        return call->fault.code[0] ? call->fault.code : "TRANSACTION_REFUSED";
    return NULL;
}

void paypal_effect_capture(struct call *call)
{
    struct paypal_order *order = paypal_find(call->args[0]);
    int64_t amount = 0;
    if (!read_amount(call, order, order->authorization.amount, &amount))
        return;
    const char *issue = capture_issue(call, order, amount);
    if (issue) {
        paypal_refuse_issue(call, issue);
        return;
    }
    paypal_entry_begin(order, &order->capture, amount);
    set_course(call, &order->capture, PAYPAL_DECLINED);
    if (order->capture.status == PAYPAL_COMPLETED)
        order->authorization.status = PAYPAL_CAPTURED;
    paypal_note(order);
    answer_json(call, 201, paypal_wire_entry(order, &order->capture, "captures"));
}

/* ---- void ---- */

/* It takes no PayPal-Request-Id. */
void paypal_open_void(struct call *call)
{
    if (paypal_enter(call))
        (void)order_of(call, false);
}

void paypal_effect_void(struct call *call)
{
    struct paypal_order *order = paypal_find(call->args[0]);
    enum paypal_status status = order->authorization.status;
    if (status == PAYPAL_VOIDED) {
        paypal_refuse_issue(call, "PREVIOUSLY_VOIDED");
    } else if (status == PAYPAL_CAPTURED) {
        paypal_refuse_issue(call, "PREVIOUSLY_CAPTURED");
    } else if (call->fault.kind == FAULT_DECLINE) {
        paypal_refuse_issue(call, call->fault.code[0] ? call->fault.code : "CANNOT_BE_VOIDED");
    } else if (call->fault.kind == FAULT_FAILED_200) { /* the authorization as it was: it still holds the money */
        answer_json(call, 200, paypal_wire_entry(order, &order->authorization, "authorizations"));
    } else {
        order->authorization.status = PAYPAL_VOIDED;
        order->authorization.settle_at = 0;
        paypal_note(order);
        answer_text(call, 204, "", 0);
    }
}

/* ---- refund ---- */

void paypal_open_refund(struct call *call)
{
    const struct paypal_order *order = paypal_enter(call) ? order_of(call, true) : NULL;
    int64_t amount;
    if (order && read_amount(call, order, order->amount, &amount))
        paypal_begin(call);
}

static const char *refund_issue(const struct call *call, struct paypal_order *order, int64_t amount)
{
    int64_t left = order->capture.amount - paypal_refunded(order, true);
    if (order->capture.status != PAYPAL_COMPLETED)
        return "CAPTURE_STATUS_NOT_VALID";
    if (left <= 0)
        return "CAPTURE_FULLY_REFUNDED";
    if (amount > left)
        return "REFUND_AMOUNT_EXCEEDED";
    if (call->fault.kind == FAULT_DECLINE)
        return call->fault.code[0] ? call->fault.code : "REFUND_NOT_ALLOWED";
    return NULL;
}

void paypal_effect_refund(struct call *call)
{
    struct paypal_order *order = paypal_find(call->args[0]);
    const char *custom_id = json_string_value(json_object_get(call->json, "custom_id"));
    int64_t amount = 0;
    if (!read_amount(call, order, order->capture.amount - paypal_refunded(order, true), &amount))
        return;
    const char *issue = refund_issue(call, order, amount);
    if (issue) {
        paypal_refuse_issue(call, issue);
        return;
    }
    struct paypal_refund *refund = paypal_refund_new(order, amount);
    if (!refund) {
        paypal_refuse(call, 503, "SERVICE_UNAVAILABLE", NULL);
        return;
    }
    text_copy(refund->entry.custom_id, sizeof refund->entry.custom_id, custom_id);
    set_course(call, &refund->entry, PAYPAL_FAILED);
    paypal_note(order);
    answer_json(call, 201, paypal_wire_entry(order, &refund->entry, "refunds"));
}

/* ---- show ---- */

void paypal_effect_retrieve_entry(struct call *call)
{
    struct paypal_order *order = paypal_find(call->args[0]);
    const char *id = call->args[0];
    if (call->fault.kind == FAULT_LAG)
        order = paypal_behind(order, call->fault.delay_ms);
    if (call->fault.kind == FAULT_DECLINE || !order) {
        paypal_refuse_missing(call);
        return;
    }
    if (strcmp(order->authorization.id, id) == 0) {
        answer_json(call, 200, paypal_wire_entry(order, &order->authorization, "authorizations"));
        return;
    }
    if (strcmp(order->capture.id, id) == 0) {
        answer_json(call, 200, paypal_wire_entry(order, &order->capture, "captures"));
        return;
    }
    for (const struct paypal_refund *refund = order->refunds; refund; refund = refund->next) {
        if (strcmp(refund->entry.id, id) == 0) {
            answer_json(call, 200, paypal_wire_entry(order, &refund->entry, "refunds"));
            return;
        }
    }
    paypal_refuse_missing(call);
}
