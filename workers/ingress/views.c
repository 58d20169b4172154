/* views.c - a payment as its owner sees it */
#include "workers/ingress/views.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "ledger/project.h"
#include "workers/ingress/params.h"

/* Members of a fact's body that go out with it, unless they are empty; everything else stays inside. */
static const char *const shown[] = {"amount",  "currency", "flow",   "provider", "reference", "code",
                                    "message", "reason",   "total",  "held",     "url",       "merchant",
                                    "channel", "quantity", "tokens", "verdict"};

static void set_text(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, value && *value ? json_string(value) : json_null());
}

static void set_time(json_t *object, const char *key, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    set_text(object, key, wall_ms ? clock_format(wall_ms, text) : NULL);
}

static void set_ids(json_t *object, struct uuid payment)
{
    char public[PUBLIC_ID_SIZE], plain[UUID_TEXT_SIZE];
    public_id_format(payment, public);
    uuid_format(payment, plain);
    set_text(object, "transactionId", public);
    set_text(object, "paymentId", plain);
}

static void set_refund_id(json_t *object, struct uuid command)
{
    char text[REFUND_ID_SIZE];
    refund_id_format(command, text);
    set_text(object, "refundId", text);
}

static void copy(json_t *to, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    bool empty = json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
    if (value && !empty)
        json_object_set(to, key, value);
}

static int64_t last_change(const struct facts *facts)
{
    int64_t at_ms = 0;
    for (size_t i = 0; i < facts->count; i++)
        if (facts->items[i].at_ms > at_ms)
            at_ms = facts->items[i].at_ms;
    return at_ms;
}

static const char *provider_of(const struct authorization *authorization)
{
    return authorization && authorization->intent ? json_text(authorization->intent->body, "provider", NULL) : NULL;
}

json_t *view_status(const struct facts *facts, const struct payment *payment)
{
    json_t *data = json_object();
    set_ids(data, payment->id);
    set_text(data, "status", public_state_text(payment->public));
    json_object_set_new(data, "amount", json_integer(payment->amount));
    set_text(data, "currency", payment->currency);
    set_text(data, "flow", payment->flow == FLOW_DUAL ? "dual" : "plain");
    set_text(data, "gateway", provider_of(current_authorization(payment)));
    json_object_set_new(data, "requiresAction", json_boolean(payment->public == PUBLIC_REQUIRES_ACTION));
    set_text(data, "reason", payment->reason);
    set_time(data, "updatedAt", last_change(facts));
    return data;
}

json_t *view_summary(const struct facts *facts, const struct payment *payment)
{
    json_t *data = view_status(facts, payment);
    json_object_set_new(data, "refundedAmount", json_integer(payment->refunded));
    if (!payment->received)
        return data;
    set_time(data, "createdAt", payment->received->at_ms);
    copy(data, payment->received->body, "merchant");
    copy(data, payment->received->body, "reference");
    copy(data, payment->received->body, "description");
    return data;
}

static json_t *view_attempt(const struct authorization *authorization, int n)
{
    json_t *data = json_pack("{s:i}", "attempt", n);
    set_text(data, "gateway", provider_of(authorization));
    set_text(data, "status", attempt_status(authorization));
    const struct fact *result = authorization->late ? authorization->late : authorization->result;
    set_text(data, "reference", result ? json_text(result->body, "reference", NULL) : NULL);
    set_text(data, "code", result ? json_text(result->body, "code", NULL) : NULL);
    set_time(data, "startedAt", authorization->intent ? authorization->intent->at_ms : 0);
    set_time(data, "endedAt", result ? result->at_ms : 0);
    return data;
}

static json_t *view_attempts(const struct payment *payment)
{
    json_t *list = json_array();
    for (int n = 1; n <= payment->authorization_count; n++)
        json_array_append_new(list, view_attempt(&payment->authorizations[n], n));
    return list;
}

json_t *view_refund(const struct payment *payment, int n)
{
    const struct refund *refund = &payment->refunds[n];
    const struct fact *last = refund->result ? refund->result : refund->intent;
    json_t *data = json_object();
    set_refund_id(data, refund->intent->cause);
    set_ids(data, payment->id);
    set_text(data, "status", refund_status(refund));
    json_object_set_new(data, "amount", json_integer(refund->amount));
    set_text(data, "currency", payment->currency);
    json_object_set_new(data, "inDoubt", json_boolean(refund->accepted && !refund->result && refund->doubts > 0));
    copy(data, refund->intent->body, "reason");
    copy(data, last->body, "code");
    copy(data, last->body, "message");
    copy(data, last->body, "reference");
    set_time(data, "createdAt", refund->intent->at_ms);
    set_time(data, "updatedAt", last->at_ms);
    return data;
}

static json_t *view_refunds(const struct payment *payment)
{
    json_t *list = json_array();
    for (int n = 1; n <= payment->refund_count; n++)
        json_array_append_new(list, view_refund(payment, n));
    return list;
}

json_t *view_failure(const struct payment *payment)
{
    if (!payment->reason)
        return json_null();
    json_t *data = json_pack("{s:s}", "reason", payment->reason);
    set_text(data, "explanation", reason_text(payment->reason));
    const struct fact *decision = payment->decision_kind == ABORT ? payment->decision : NULL;
    if (decision) {
        copy(data, decision->body, "code");
        copy(data, decision->body, "message");
    }
    return data;
}

static void set_action(json_t *data, const struct payment *payment)
{
    const struct authorization *authorization = current_authorization(payment);
    if (payment->public != PUBLIC_REQUIRES_ACTION || !authorization || !authorization->action)
        return;
    json_t *action = json_object();
    copy(action, authorization->action->body, "url");
    copy(action, authorization->action->body, "type");
    copy(action, authorization->action->body, "clientSecret");
    json_object_set_new(data, "nextAction", action);
}

/* What its owner told us; the salt of the hashes is ours. */
static json_t *view_personal(const json_t *personal)
{
    json_t *data = json_copy((json_t *)(uintptr_t)personal);
    if (data)
        json_object_del(data, "salt");
    return data ? data : json_object();
}

json_t *view_detail(const struct facts *facts, const struct payment *payment, const json_t *personal)
{
    json_t *data = view_summary(facts, payment);
    const json_t *received = payment->received ? payment->received->body : NULL;
    static const char *const members[] = {"paymentMethod", "country", "customerId", "tokens", "metadata"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        copy(data, received, members[i]);
    set_time(data, "expiresAt", json_int(received, "expiresAt", 0));
    json_object_set_new(data, "capturedAmount", json_integer(payment->captured_amount));
    set_time(data, "capturedAt", payment->captured ? payment->capture->at_ms : 0);
    json_object_set_new(data, "ended", json_boolean(payment->ended));
    json_object_set_new(data, "failure", view_failure(payment));
    json_object_set_new(data, "attempts", view_attempts(payment));
    json_object_set_new(data, "refunds", view_refunds(payment));
    set_action(data, payment);
    json_object_set_new(data, "customer", view_personal(personal));
    return data;
}

static int by_seq(const void *a, const void *b)
{
    const struct fact *x = *(const struct fact *const *)a, *y = *(const struct fact *const *)b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

static json_t *view_event(const struct fact *fact, size_t number)
{
    json_t *data =
        json_pack("{s:I, s:s, s:s}", "sequence", (json_int_t)number, "slot", fact->slot, "outcome", fact->outcome);
    set_time(data, "at", fact->at_ms);
    json_t *body = json_object();
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        copy(body, fact->body, shown[i]);
    json_object_set_new(data, "body", body);
    return data;
}

json_t *view_events(const struct facts *facts)
{
    const struct fact **order = mem_new(facts->count, sizeof *order);
    for (size_t i = 0; i < facts->count; i++)
        order[i] = &facts->items[i];
    qsort(order, facts->count, sizeof *order, by_seq);
    json_t *list = json_array();
    for (size_t i = 0; i < facts->count; i++)
        json_array_append_new(list, view_event(order[i], i + 1));
    free(order);
    return list;
}

/* The same members as view_summary(). */
json_t *view_listed(const json_t *row)
{
    json_t *data = json_object(), *reference = json_object();
    const char *status = json_text(row, "status", "");
    struct uuid id = {0};
    if (uuid_parse(json_text(row, "paymentId", ""), &id) == 0)
        set_ids(data, id);
    set_text(data, "status", status);
    json_object_set_new(data, "amount", json_integer(json_int(row, "amount", 0)));
    set_text(data, "currency", json_text(row, "currency", NULL));
    set_text(data, "flow", json_text(row, "flow", NULL));
    set_text(data, "gateway", json_text(row, "provider", NULL));
    json_object_set_new(data, "requiresAction",
                        json_boolean(strcmp(status, public_state_text(PUBLIC_REQUIRES_ACTION)) == 0));
    set_text(data, "reason", json_text(row, "reason", NULL));
    set_time(data, "updatedAt", json_int(row, "updatedAtMs", 0));
    json_object_set_new(data, "refundedAmount", json_integer(json_int(row, "refundedAmount", 0)));
    set_time(data, "createdAt", json_int(row, "createdAtMs", 0));
    copy(data, row, "merchant");
    set_text(reference, "type", json_text(row, "referenceType", NULL));
    set_text(reference, "id", json_text(row, "referenceId", NULL));
    if (json_object_get(row, "referenceId"))
        json_object_set(data, "reference", reference);
    json_decref(reference);
    copy(data, row, "description");
    return data;
}

json_t *view_pending(struct uuid payment, int64_t amount, const char *currency)
{
    json_t *data = json_object();
    set_ids(data, payment);
    set_text(data, "status", public_state_text(PUBLIC_PENDING));
    if (amount)
        json_object_set_new(data, "amount", json_integer(amount));
    if (*currency)
        set_text(data, "currency", currency);
    set_text(data, "gateway", NULL);
    json_object_set_new(data, "requiresAction", json_false());
    return data;
}

json_t *view_refund_pending(struct uuid refund_command, struct uuid payment, int64_t amount)
{
    json_t *data = json_object();
    set_refund_id(data, refund_command);
    set_ids(data, payment);
    set_text(data, "status", public_state_text(PUBLIC_PENDING));
    if (amount)
        json_object_set_new(data, "amount", json_integer(amount));
    return data;
}

int view_refund_of(const struct payment *payment, struct uuid command)
{
    for (int n = 1; n <= payment->refund_count; n++)
        if (payment->refunds[n].intent && uuid_equal(payment->refunds[n].intent->cause, command))
            return n;
    return 0;
}
