/* project.c - see project.h */
#include "ledger/project.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/money.h"

#define TIME_MAX_MS INT64_C(253402300799999) /* the end of the year 9999 */

/* --- words --- */

const char *attempt_status(const struct authorization *authorization)
{
    if (authorization->voided)
        return authorization->voided->outcome;
    if (authorization->late)
        return "approved";
    if (authorization->result)
        return authorization->result->outcome;
    return authorization->doubts ? "in_doubt" : "processing";
}

const char *refund_status(const struct refund *refund)
{
    if (!refund->accepted)
        return "failed";
    if (!refund->result)
        return "processing";
    return strcmp(refund->result->outcome, "refunded") == 0 ? "completed" : "failed";
}

const struct authorization *current_authorization(const struct payment *payment)
{
    int n = payment->commit ? payment->commit : payment->authorization_count;
    return n ? &payment->authorizations[n] : NULL;
}

/* --- cells --- */

/* A cell that is null is left out. */
static void set_text(const struct project_sink *row, const char *column, const char *text)
{
    if (text && *text)
        row->text(row->arg, column, text);
}

/* For columns that cannot be null. */
static void set_name(const struct project_sink *row, const char *column, const char *text)
{
    row->text(row->arg, column, text ? text : "");
}

static void set_int(const struct project_sink *row, const char *column, int64_t n)
{
    row->integer(row->arg, column, n);
}

/* What no calendar has is nothing: a fact may say anything. */
static void set_time(const struct project_sink *row, const char *column, int64_t wall_ms)
{
    if (wall_ms > 0 && wall_ms <= TIME_MAX_MS)
        row->time(row->arg, column, wall_ms);
}

/* For columns that cannot be null. */
static void set_moment(const struct project_sink *row, const char *column, int64_t wall_ms)
{
    set_time(row, column, wall_ms < 1 ? 1 : wall_ms > TIME_MAX_MS ? TIME_MAX_MS : wall_ms);
}

static void set_uuid(const struct project_sink *row, const char *column, struct uuid id)
{
    row->uuid(row->arg, column, id);
}

static const char *body_text(const struct fact *fact, const char *member)
{
    return fact ? json_text(fact->body, member, NULL) : NULL;
}

static int64_t newer(int64_t at_ms, const struct fact *fact)
{
    return fact && fact->at_ms > at_ms ? fact->at_ms : at_ms;
}

/* Of the evidence only what is named here: times, hashes, the provider's own request id. */
static void set_response(const struct project_sink *row, const struct fact *fact)
{
    static const char *const members[] = {"status",    "requestSha256", "answerSha256",
                                          "requestId", "sentAt",        "answeredAt"};
    const json_t *evidence = fact ? json_object_get(fact->body, "evidence") : NULL;
    if (!json_is_object(evidence))
        return;
    json_t *response = json_object();
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_t *value = json_object_get(evidence, members[i]);
        if (json_is_string(value) || json_is_integer(value))
            json_object_set(response, members[i], value);
    }
    row->object(row->arg, "gateway_response", response);
    json_decref(response);
}

static const struct project_sink *begin_row(const struct project_sink *sink, enum view_table table)
{
    sink->begin(sink->arg, table);
    return sink;
}

/* --- attempts --- */

/* The code for an outcome of which the provider gave none. */
static const char *code_of(const struct fact *result)
{
    static const struct {
        const char *outcome;
        enum reason reason;
    } codes[] = {{"declined", REASON_DECLINED}, {"absent", REASON_ABSENT}, {"cancelled", REASON_PROVIDER_CANCELLED}};
    const char *code = body_text(result, "code");
    for (size_t i = 0; (!code || !*code) && i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(result->outcome, codes[i].outcome) == 0)
            code = reason_code(codes[i].reason);
    return code;
}

static void set_error(const struct project_sink *row, const struct fact *failed)
{
    set_text(row, "error_code", failed ? code_of(failed) : NULL);
    set_text(row, "error_message", body_text(failed, "message"));
}

static void add_attempt(const struct payment *payment, int n, const struct project_sink *sink)
{
    const struct authorization *a = &payment->authorizations[n];
    const struct fact *result = a->late ? a->late : a->result, *last = result ? result : a->last_doubt;
    bool approved = a->late || a->approved;
    const struct project_sink *row = begin_row(sink, VIEW_ATTEMPT);
    set_uuid(row, "payment_id", payment->id);
    set_int(row, "attempt_number", n);
    set_uuid(row, "attempt_id", uuid_follow_up(payment->id, "attempt", a->intent->slot));
    set_name(row, "provider", body_text(a->intent, "provider"));
    set_name(row, "status", attempt_status(a));
    set_text(row, "provider_reference", body_text(result, "reference"));
    set_error(row, approved ? NULL : last);
    set_response(row, last);
    set_int(row, "doubts", a->doubts);
    set_moment(row, "created_at", a->intent->at_ms);
    set_moment(row, "updated_at", newer(newer(newer(a->intent->at_ms, last), a->action), a->voided));
}

/* --- refunds --- */

static int64_t commission_of(const struct refund *refund)
{
    return refund->accepted && refund->intent ? json_int(refund->intent->body, "commission", 0) : 0;
}

static void add_refund(const struct payment *payment, int n, const struct project_sink *sink)
{
    const struct refund *r = &payment->refunds[n];
    const struct fact *last = r->result ? r->result : r->accepted ? r->last_doubt : r->intent;
    const char *status = refund_status(r);
    const struct project_sink *row = begin_row(sink, VIEW_REFUND);
    set_uuid(row, "payment_id", payment->id);
    set_int(row, "refund_number", n);
    set_uuid(row, "refund_id", r->intent->cause);
    set_text(row, "actor", r->intent->actor);
    set_name(row, "status", status);
    set_int(row, "amount", r->amount);
    set_int(row, "commission_amount", commission_of(r));
    set_text(row, "reason", body_text(r->intent, "reason"));
    set_text(row, "provider_reference", body_text(r->result, "reference"));
    set_error(row, strcmp(status, "completed") == 0 ? NULL : last);
    set_response(row, last);
    set_int(row, "doubts", r->doubts);
    set_moment(row, "created_at", r->intent->at_ms);
    set_moment(row, "updated_at", newer(r->intent->at_ms, last));
}

/* --- commissions --- */

/* What was sold, from the type of the reference. */
static const char *sale_of(const struct payment *payment)
{
    static const struct {
        const char *reference, *sale;
    } sales[] = {{"event", "ticket_sale"}, {"ticket", "ticket_sale"}, {"template", "template_sale"}};
    const char *type = json_text(json_object_get(payment->received->body, "reference"), "type", "");
    for (size_t i = 0; i < sizeof sales / sizeof sales[0]; i++)
        if (strcmp(type, sales[i].reference) == 0)
            return sales[i].sale;
    return "sale";
}

static int64_t reversed(const struct payment *payment, int64_t *ret_at_ms)
{
    int64_t sum = 0;
    for (int n = 1; n <= payment->refund_count; n++) {
        const struct refund *r = &payment->refunds[n];
        if (!r->accepted || strcmp(refund_status(r), "completed") != 0)
            continue;
        *ret_at_ms = newer(*ret_at_ms, r->result);
        if (money_add(sum, commission_of(r), &sum, NULL) != 0)
            return INT64_MAX;
    }
    return sum;
}

static void add_commission(const struct payment *payment, const struct project_sink *sink)
{
    int64_t ppm = json_int(payment->received->body, "commissionPpm", 0), at_ms = payment->capture->at_ms;
    bool sound = ppm > 0 && ppm <= 1000000 && payment->captured_amount > 0;
    int64_t amount = sound ? money_share(payment->captured_amount, ppm) : 0;
    if (amount == 0)
        return;
    int64_t back = reversed(payment, &at_ms);
    const struct project_sink *row = begin_row(sink, VIEW_COMMISSION);
    set_uuid(row, "payment_id", payment->id);
    set_int(row, "capture_number", 1);
    set_uuid(row, "commission_id", uuid_follow_up(payment->id, "commission", payment->capture->slot));
    set_int(row, "rate_ppm", ppm);
    set_int(row, "amount", amount);
    set_int(row, "reversed_amount", back);
    set_name(row, "type", sale_of(payment));
    set_name(row, "status", back >= amount ? "reversed" : back > 0 ? "partially_reversed" : "completed");
    set_moment(row, "created_at", payment->capture->at_ms);
    set_moment(row, "updated_at", at_ms);
}

/* --- the payment --- */

static bool method_known(const char *method)
{
    static const char *const methods[] = {"card", "mobile_money", "wallet", "bank_transfer"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(method, methods[i]) == 0)
            return true;
    return false;
}

/* What the publisher said. */
static void set_received(const struct project_sink *row, const struct fact *received)
{
    const json_t *body = received->body, *reference = json_object_get(body, "reference");
    const char *currency = json_text(body, "currency", ""), *method = json_text(body, "paymentMethod", "");
    const struct currency *known = currency_find(currency);
    json_t *metadata = json_object_get(body, "metadata");
    set_int(row, "seq", received->seq);
    set_name(row, "publisher", json_text(body, "publisher", NULL));
    set_name(row, "merchant", json_text(body, "merchant", NULL));
    set_name(row, "flow", strcmp(json_text(body, "flow", ""), "dual") == 0 ? "dual" : "plain");
    set_name(row, "currency", currency);
    set_int(row, "exponent", known ? known->exponent : 0);
    set_int(row, "amount", json_int(body, "amount", 0));
    set_text(row, "payment_method", method_known(method) ? method : NULL);
    set_text(row, "customer_id", json_text(body, "customerId", NULL));
    set_text(row, "reference_type", json_text(reference, "type", NULL));
    set_text(row, "reference_id", json_text(reference, "id", NULL));
    set_text(row, "description", json_text(body, "description", NULL));
    if (json_is_object(metadata))
        row->object(row->arg, "metadata", metadata);
    set_time(row, "expires_at", json_int(body, "expiresAt", 0));
    set_moment(row, "created_at", received->at_ms);
}

/* What became of it. */
static void set_outcome(const struct project_sink *row, const struct payment *payment)
{
    const struct authorization *a = current_authorization(payment);
    const struct fact *approved = a ? (a->late ? a->late : a->result) : NULL;
    const char *reference = body_text(approved, "reference");
    const struct fact *abort = payment->decision_kind == ABORT ? payment->decision : NULL;
    set_name(row, "status", public_state_text(payment->public));
    set_text(row, "reason", payment->reason);
    set_text(row, "error_code", body_text(abort, "code"));
    set_text(row, "error_message", body_text(abort, "message"));
    set_text(row, "decided_by", payment->decision ? payment->decision->actor : NULL);
    set_time(row, "decided_at", payment->decision ? payment->decision->at_ms : 0);
    set_int(row, "captured_amount", payment->captured_amount);
    set_int(row, "refunded_amount", payment->refunded);
    set_text(row, "provider", a ? body_text(a->intent, "provider") : NULL);
    set_text(row, "provider_reference", reference ? reference : body_text(payment->capture, "reference"));
}

/* Not ended, and nothing else can be said. */
static void set_unclear(const struct project_sink *row)
{
    set_name(row, "status", public_state_text(PUBLIC_PROCESSING));
    set_int(row, "captured_amount", 0);
    set_int(row, "refunded_amount", 0);
}

static void add_payment(const struct facts *facts, const struct fact *received, const struct payment *payment,
                        const struct project_sink *sink)
{
    int64_t updated_ms = received->at_ms;
    const struct project_sink *row = begin_row(sink, VIEW_PAYMENT);
    for (size_t i = 0; i < facts->count; i++)
        updated_ms = newer(updated_ms, &facts->items[i]);
    set_uuid(row, "payment_id", facts->payment_id);
    set_int(row, "facts", (int64_t)facts->count);
    set_received(row, received);
    if (payment)
        set_outcome(row, payment);
    else
        set_unclear(row);
    row->flag(row->arg, "contradiction", !payment);
    set_moment(row, "updated_at", updated_ms);
}

void project_cells(const struct facts *facts, const struct payment *payment, const struct project_sink *sink)
{
    const struct fact *received = facts_find(facts, "received");
    if (!received)
        return;
    add_payment(facts, received, payment, sink);
    if (!payment)
        return;
    for (int n = 1; n <= payment->authorization_count; n++)
        add_attempt(payment, n, sink);
    for (int n = 1; n <= payment->refund_count; n++)
        if (payment->refunds[n].intent)
            add_refund(payment, n, sink);
    if (payment->captured)
        add_commission(payment, sink);
}

/* --- rows as JSON --- */

struct rows {
    struct projection *projection;
    json_t *row; /* the last one; borrowed */
};

static void begin_object(void *arg, enum view_table table)
{
    struct rows *rows = arg;
    rows->row = json_object();
    json_array_append_new(rows->projection->rows[table], rows->row);
}

static void put_text(void *arg, const char *column, const char *text)
{
    const struct rows *rows = arg;
    json_object_set_new(rows->row, column, json_string(text));
}

static void put_integer(void *arg, const char *column, int64_t n)
{
    const struct rows *rows = arg;
    json_object_set_new(rows->row, column, json_integer(n));
}

static void put_flag(void *arg, const char *column, bool flag)
{
    const struct rows *rows = arg;
    json_object_set_new(rows->row, column, json_boolean(flag));
}

static void put_time(void *arg, const char *column, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    put_text(arg, column, clock_format(wall_ms, text));
}

static void put_uuid(void *arg, const char *column, struct uuid id)
{
    char text[UUID_TEXT_SIZE];
    uuid_format(id, text);
    put_text(arg, column, text);
}

static void put_object(void *arg, const char *column, json_t *object)
{
    const struct rows *rows = arg;
    json_object_set(rows->row, column, object);
}

bool project(const struct facts *facts, struct projection *projection)
{
    struct payment payment;
    struct err contradiction = {0};
    struct rows rows = {.projection = projection};
    const struct project_sink sink = {.begin = begin_object,
                                      .text = put_text,
                                      .integer = put_integer,
                                      .flag = put_flag,
                                      .time = put_time,
                                      .uuid = put_uuid,
                                      .object = put_object,
                                      .arg = &rows};
    if (!facts_find(facts, "received"))
        return true;
    bool sound = saga_fold(facts, &payment, &contradiction) == 0;
    project_cells(facts, sound ? &payment : NULL, &sink);
    payment_clear(&payment);
    return sound;
}

void projection_init(struct projection *ret)
{
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        ret->rows[table] = json_array();
}

void projection_clear(struct projection *projection)
{
    for (int table = 0; table < VIEW_TABLE_COUNT; table++) {
        json_decref(projection->rows[table]);
        projection->rows[table] = NULL;
    }
}

/* --- places in lists --- */

void projection_place(const json_t *row, char ret[static PROJECTION_PLACE_SIZE])
{
    snprintf(ret, PROJECTION_PLACE_SIZE, "%lld-%lld", (long long)json_int(row, "createdAtMs", 0),
             (long long)json_int(row, "seq", 0));
}

int projection_place_parse(const char *text, int64_t *ret_ms, int64_t *ret_seq)
{
    char again[PROJECTION_PLACE_SIZE];
    long long at_ms, seq;
    if (sscanf(text, "%18lld-%18lld", &at_ms, &seq) != 2 || at_ms < 0 || seq <= 0)
        return -1;
    snprintf(again, sizeof again, "%lld-%lld", at_ms, seq); /* one way to write it */
    if (strcmp(again, text) != 0)
        return -1;
    *ret_ms = at_ms;
    *ret_seq = seq;
    return 0;
}
