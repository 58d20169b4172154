/* paypal_books.c - the books of the PayPal twin: orders, their authorization, its capture, its refunds
 *
 * An order has one purchase unit, at most one authorization and one capture; refunds are of that capture. What
 * happens by itself after a while (a pending entry settles) is brought up to date whenever it is looked at.
 */
#include "paypal_books.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "journal.h"
#include "limits.h"
#include "map.h"

#define X(id, text) [PAYPAL_ORDER_##id] = text,
static const char *const order_statuses[PAYPAL_ORDER_STATUS_COUNT] = {PAYPAL_ORDER_STATUSES(X)};
#undef X
#define X(id, text) [PAYPAL_##id] = text,
static const char *const statuses[PAYPAL_STATUS_COUNT] = {PAYPAL_STATUSES(X)};
#undef X

/* All orders of one payment. */
struct payment {
    char id[PAYMENT_SIZE];
    struct paypal_order *newest;
    struct payment *next;
};

/* What an id leads to. */
struct id_entry {
    char id[PAYPAL_ID_SIZE];
    struct paypal_order *order;
};

static struct map orders_by_id; /* ids of entries too */
static struct map payments_by_id;
static struct payment *first_payment, *last_payment;
static size_t count;

const char *paypal_order_status_name(enum paypal_order_status status)
{
    return order_statuses[status];
}

const char *paypal_status_name(enum paypal_status status)
{
    return statuses[status];
}

size_t paypal_order_count(void)
{
    return count;
}

/* ---- what happens by itself ---- */

static void settle(struct paypal_entry *entry)
{
    if (!entry->settle_at || entry->settle_at > clock_ms(CLOCK_PAYPAL))
        return;
    entry->status = entry->settle_to;
    entry->settle_at = 0;
}

/* A capture that is completed in the end takes the authorization with it. */
static struct paypal_order *up_to_date(struct paypal_order *order)
{
    if (!order)
        return NULL;
    settle(&order->authorization);
    settle(&order->capture);
    if (order->capture.status == PAYPAL_COMPLETED)
        order->authorization.status = PAYPAL_CAPTURED;
    for (struct paypal_refund *refund = order->refunds; refund; refund = refund->next)
        settle(&refund->entry);
    return order;
}

int64_t paypal_refunded(struct paypal_order *order, bool pending)
{
    int64_t sum = 0;
    up_to_date(order);
    for (struct paypal_refund *refund = order->refunds; refund; refund = refund->next)
        if (refund->entry.status == PAYPAL_COMPLETED || (pending && refund->entry.status == PAYPAL_PENDING))
            sum += refund->entry.amount;
    return sum;
}

/* ---- finding and adding ---- */

static void lead(const char *id, struct paypal_order *order)
{
    struct id_entry *entry = memory_new(sizeof *entry);
    text_copy(entry->id, sizeof entry->id, id);
    entry->order = order;
    map_put(&orders_by_id, entry->id, entry);
}

static bool is_known(const char *id)
{
    return map_get(&orders_by_id, id) != NULL;
}

struct paypal_order *paypal_find(const char *id)
{
    struct id_entry *entry = map_get(&orders_by_id, id);
    return entry ? up_to_date(entry->order) : NULL;
}

/* 17 letters and digits in capitals. */
static void new_id(char to[PAYPAL_ID_SIZE])
{
    text_random_id(to, PAYPAL_ID_SIZE, "", 17);
    for (; *to; to++)
        if (*to >= 'a' && *to <= 'z')
            *to = (char)(*to - 'a' + 'A');
}

struct paypal_order *paypal_order_new(void)
{
    if (count >= LIMIT_RECORDS)
        return NULL;
    struct paypal_order *order = memory_new(sizeof *order);
    do {
        new_id(order->id);
    } while (is_known(order->id));
    order->created_ms = clock_ms(CLOCK_PAYPAL);
    return order;
}

static struct payment *payment_of(const char *id)
{
    struct payment *payment = map_get(&payments_by_id, id);
    if (payment)
        return payment;
    payment = memory_new(sizeof *payment);
    text_copy(payment->id, sizeof payment->id, id);
    map_put(&payments_by_id, payment->id, payment);
    if (last_payment)
        last_payment->next = payment;
    else
        first_payment = payment;
    last_payment = payment;
    return payment;
}

void paypal_book(struct paypal_order *order)
{
    count++;
    lead(order->id, order);
    struct payment *payment = payment_of(order->payment);
    order->next = payment->newest;
    payment->newest = order;
}

void paypal_entry_begin(struct paypal_order *order, struct paypal_entry *entry, int64_t amount)
{
    *entry = (struct paypal_entry){.amount = amount, .created_ms = clock_ms(CLOCK_PAYPAL)};
    do {
        new_id(entry->id);
    } while (is_known(entry->id));
    lead(entry->id, order);
}

struct paypal_refund *paypal_refund_new(struct paypal_order *order, int64_t amount)
{
    if (orders_by_id.count >= 4 * (size_t)LIMIT_RECORDS)
        return NULL;
    struct paypal_refund *refund = memory_new(sizeof *refund);
    paypal_entry_begin(order, &refund->entry, amount);
    refund->next = order->refunds;
    order->refunds = refund;
    return refund;
}

/* ---- changes ---- */

static json_t *entry_record(const struct paypal_entry *e)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "id", e->id, "status", statuses[e->status], "settleTo",
                     statuses[e->settle_to], "settleAt", (json_int_t)e->settle_at, "amount", (json_int_t)e->amount,
                     "createdMs", (json_int_t)e->created_ms, "customId", e->custom_id);
}

static json_t *order_record(const struct paypal_order *o)
{
    json_t *refunds = json_array();
    for (const struct paypal_refund *refund = o->refunds; refund; refund = refund->next)
        json_array_insert_new(refunds, 0, entry_record(&refund->entry));
    json_t *record = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:o, s:o, s:o}", "t", "paypal.order", "id",
                               o->id, "payment", o->payment, "currency", o->currency, "customId", o->custom_id,
                               "amount", (json_int_t)o->amount, "createdMs", (json_int_t)o->created_ms, "status",
                               order_statuses[o->status], "authorization", entry_record(&o->authorization), "capture",
                               entry_record(&o->capture), "refunds", refunds);
    if (o->description)
        json_object_set_new(record, "description", json_string(o->description));
    return record;
}

static void remember_change(struct paypal_order *order)
{
    if (!order->shown)
        order->shown = memory_new(sizeof *order);
    else if (!order->before)
        order->before = memory_new(sizeof *order);
    if (order->before)
        *order->before = *order->shown;
    *order->shown = *order;
    order->changed_ms = clock_ms(CLOCK_PAYPAL);
}

void paypal_note(struct paypal_order *order)
{
    remember_change(order);
    if (journal_on())
        journal_note(order_record(order));
}

struct paypal_order *paypal_behind(struct paypal_order *order, int64_t lag_ms)
{
    return clock_ms(CLOCK_PAYPAL) - order->changed_ms >= lag_ms ? order : order->before;
}

/* ---- the state file ---- */

static const char *text_of(const json_t *record, const char *name)
{
    const char *text = json_string_value(json_object_get(record, name));
    return text ? text : "";
}

static int64_t number_of(const json_t *record, const char *name)
{
    return json_integer_value(json_object_get(record, name));
}

static bool named(const char *const *names, int size, const char *name, int *ret)
{
    for (*ret = 0; *ret < size; (*ret)++) {
        if (strcmp(names[*ret], name) == 0)
            return true;
    }
    return false;
}

static bool read_entry(struct paypal_order *order, struct paypal_entry *to, const json_t *record)
{
    int status, settle_to;
    if (!named(statuses, PAYPAL_STATUS_COUNT, text_of(record, "status"), &status) ||
        !named(statuses, PAYPAL_STATUS_COUNT, text_of(record, "settleTo"), &settle_to))
        return false;
    *to = (struct paypal_entry){.status = (enum paypal_status)status,
                                .settle_to = (enum paypal_status)settle_to,
                                .settle_at = number_of(record, "settleAt"),
                                .amount = number_of(record, "amount"),
                                .created_ms = number_of(record, "createdMs")};
    text_copy(to->id, sizeof to->id, text_of(record, "id"));
    text_copy(to->custom_id, sizeof to->custom_id, text_of(record, "customId"));
    if (*to->id && !is_known(to->id))
        lead(to->id, order);
    return true;
}

static bool read_refunds(struct paypal_order *order, const json_t *records)
{
    const json_t *record;
    size_t i;
    json_array_foreach((json_t *)records, i, record)
    {
        const char *id = text_of(record, "id");
        struct paypal_refund *refund = order->refunds;
        while (refund && strcmp(refund->entry.id, id) != 0)
            refund = refund->next;
        if (!refund) {
            refund = memory_new(sizeof *refund);
            refund->next = order->refunds;
            order->refunds = refund;
        }
        if (!read_entry(order, &refund->entry, record))
            return false;
    }
    return true;
}

bool paypal_apply_order(const json_t *record)
{
    int status;
    const char *id = text_of(record, "id");
    if (!*id || !named(order_statuses, PAYPAL_ORDER_STATUS_COUNT, text_of(record, "status"), &status))
        return false;
    struct paypal_order *order = paypal_find(id);
    if (!order) {
        order = memory_new(sizeof *order);
        text_copy(order->id, sizeof order->id, id);
        text_copy(order->payment, sizeof order->payment, text_of(record, "payment"));
        text_copy(order->currency, sizeof order->currency, text_of(record, "currency"));
        text_copy(order->custom_id, sizeof order->custom_id, text_of(record, "customId"));
        order->description = *text_of(record, "description") ? text_dup(text_of(record, "description")) : NULL;
        order->amount = number_of(record, "amount");
        order->created_ms = number_of(record, "createdMs");
        paypal_book(order);
    }
    order->status = (enum paypal_order_status)status;
    return read_entry(order, &order->authorization, json_object_get(record, "authorization")) &&
           read_entry(order, &order->capture, json_object_get(record, "capture")) &&
           read_refunds(order, json_object_get(record, "refunds"));
}

/* ---- the books as a test sees them ---- */

static int64_t held(const struct paypal_order *order)
{
    return order->authorization.status == PAYPAL_CREATED ? order->authorization.amount : 0;
}

static int64_t captured(const struct paypal_order *order)
{
    return order->capture.status == PAYPAL_COMPLETED ? order->capture.amount : 0;
}

static json_t *refund_entry(const struct paypal_refund *refund)
{
    return json_pack("{s:s, s:I, s:s, s:s}", "refund", refund->entry.id, "amount", (json_int_t)refund->entry.amount,
                     "status", statuses[refund->entry.status], "customId", refund->entry.custom_id);
}

static json_t *order_entry(struct paypal_order *order)
{
    json_t *refunds = json_array();
    int64_t refunded = paypal_refunded(order, false);
    for (const struct paypal_refund *refund = order->refunds; refund; refund = refund->next)
        json_array_insert_new(refunds, 0, refund_entry(refund));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:o, s:s}", "order", order->id, "status",
                     order_statuses[order->status], "authorization", order->authorization.id, "authorizationStatus",
                     statuses[order->authorization.status], "capture", order->capture.id, "captureStatus",
                     statuses[order->capture.status], "amount", (json_int_t)order->amount, "currency", order->currency,
                     "authorized", (json_int_t)held(order), "captured", (json_int_t)captured(order), "refunded",
                     (json_int_t)refunded, "refunds", refunds, "customId", order->custom_id);
}

static void add_to(json_t *totals, const char *name, int64_t amount)
{
    json_object_set_new(totals, name, json_integer(json_integer_value(json_object_get(totals, name)) + amount));
}

static void add_to_totals(json_t *totals, struct paypal_order *order)
{
    json_t *of = json_object_get(totals, order->currency);
    if (!of) {
        of = json_object();
        json_object_set_new(totals, order->currency, of);
    }
    add_to(of, "authorized", held(order));
    add_to(of, "captured", captured(order));
    add_to(of, "refunded", paypal_refunded(order, false));
}

static void add_payment(const struct payment *payment, json_t *payments, json_t *totals)
{
    json_t *list = json_array();
    for (struct paypal_order *order = payment->newest; order; order = order->next) {
        json_array_insert_new(list, 0, order_entry(order));
        add_to_totals(totals, order);
    }
    json_object_set_new(payments, payment->id, list);
}

json_t *paypal_books(const char *id)
{
    json_t *payments = json_object();
    json_t *totals = json_object();
    const struct payment *one = id ? map_get(&payments_by_id, id) : NULL;
    if (one)
        add_payment(one, payments, totals);
    for (const struct payment *p = id ? NULL : first_payment; p; p = p->next)
        add_payment(p, payments, totals);
    return json_pack("{s:o, s:o}", "payments", payments, "totals", totals);
}
