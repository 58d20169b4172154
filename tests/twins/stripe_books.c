/* stripe_books.c - the books of the Stripe twin: intents, their charge, their refunds
 *
 * Some things happen by themselves after a while (a pending refund succeeds, a processing card answers): a record
 * carries when and to what, and is brought up to date whenever it is looked at, so that nothing has to run and a
 * restart changes nothing.
 */
#include "stripe_books.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "journal.h"
#include "limits.h"
#include "map.h"

#define X(id, text) [INTENT_##id] = text,
static const char *const intent_statuses[INTENT_STATUS_COUNT] = {INTENT_STATUSES(X)};
#undef X

#define X(id, text) [REFUND_##id] = text,
static const char *const refund_statuses[REFUND_STATUS_COUNT] = {REFUND_STATUSES(X)};
#undef X

/* All intents of one payment. */
struct payment {
    char id[PAYMENT_SIZE];
    struct intent *newest;
    struct payment *next;
};

static struct map intents_by_id;
static struct map refunds_by_id;
static struct map payments_by_id;
static struct payment *first_payment, *last_payment;
static struct intent **intents;
static size_t count;
static size_t room;

const char *intent_status_name(enum intent_status status)
{
    return intent_statuses[status];
}

const char *refund_status_name(enum refund_status status)
{
    return refund_statuses[status];
}

/* ---- what happens by itself ---- */

void intent_approve(struct intent *intent)
{
    intent->declined = NULL;
    intent->settle_at = 0;
    intent->status = intent->manual ? INTENT_NEEDS_CAPTURE : INTENT_SUCCEEDED;
    intent->capturable = intent->manual ? intent->amount : 0;
    intent->received = intent->manual ? 0 : intent->amount;
}

static struct intent *up_to_date(struct intent *intent)
{
    if (intent && intent->status == INTENT_PROCESSING && intent->settle_at &&
        intent->settle_at <= clock_ms(CLOCK_STRIPE))
        intent_approve(intent);
    return intent;
}

static struct refund *refund_up_to_date(struct refund *refund)
{
    if (refund && refund->settle_at && refund->settle_at <= clock_ms(CLOCK_STRIPE)) {
        refund->status = refund->settle_to;
        refund->settle_at = 0;
    }
    return refund;
}

int64_t intent_refunded(struct intent *intent, bool pending)
{
    int64_t sum = 0;
    for (struct refund *refund = intent->refunds; refund; refund = refund->next) {
        refund_up_to_date(refund);
        if (refund->status == REFUND_SUCCEEDED || (pending && refund->status == REFUND_PENDING))
            sum += refund->amount;
    }
    return sum;
}

/* ---- finding and adding ---- */

struct intent *intent_new(void)
{
    if (count >= LIMIT_RECORDS)
        return NULL;
    struct intent *intent = memory_new(sizeof *intent);
    text_random_id(intent->id, sizeof intent->id, "pi_3", 23);
    text_random_id(intent->secret, sizeof intent->secret, "", 25);
    intent->created_ms = clock_ms(CLOCK_STRIPE);
    intent->status = INTENT_NEEDS_METHOD;
    return intent;
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

void intent_book(struct intent *intent)
{
    if (count == room) {
        room = room ? room * 2 : 1024;
        intents = memory_grow(intents, room * sizeof(struct intent *));
    }
    intent->index = count;
    intents[count++] = intent;
    map_put(&intents_by_id, intent->id, intent);
    struct payment *payment = payment_of(intent->payment);
    intent->next = payment->newest;
    payment->newest = intent;
}

struct intent *intent_find(const char *id)
{
    return up_to_date(map_get(&intents_by_id, id));
}

struct intent *intent_first_of(const char *id)
{
    struct payment *payment = map_get(&payments_by_id, id);
    for (struct intent *intent = payment ? payment->newest : NULL; intent; intent = intent->next)
        up_to_date(intent);
    return payment ? payment->newest : NULL;
}

struct intent *intent_at(size_t index)
{
    return up_to_date(intents[index]);
}

size_t intent_count(void)
{
    return count;
}

static struct refund *link_refund(struct refund *refund)
{
    refund->next = refund->intent->refunds;
    refund->intent->refunds = refund;
    map_put(&refunds_by_id, refund->id, refund);
    return refund;
}

struct refund *refund_new(struct intent *intent, int64_t amount)
{
    if (refunds_by_id.count >= LIMIT_RECORDS)
        return NULL;
    struct refund *refund = memory_new(sizeof *refund);
    text_random_id(refund->id, sizeof refund->id, "re_3", 23);
    refund->intent = intent;
    refund->amount = amount;
    refund->created_ms = clock_ms(CLOCK_STRIPE);
    refund->created = refund->created_ms / 1000;
    refund->status = REFUND_SUCCEEDED;
    return link_refund(refund);
}

struct refund *refund_find(const char *id)
{
    return refund_up_to_date(map_get(&refunds_by_id, id));
}

/* ---- the state file ---- */

static void set_text(json_t *record, const char *name, const char *text)
{
    if (text && *text)
        json_object_set_new(record, name, json_string(text));
}

static void remember_change(struct intent *intent)
{
    if (!intent->shown)
        intent->shown = memory_new(sizeof *intent);
    else if (!intent->before)
        intent->before = memory_new(sizeof *intent);
    if (intent->before)
        *intent->before = *intent->shown;
    *intent->shown = *intent;
    intent->changed_ms = clock_ms(CLOCK_STRIPE);
}

struct intent *intent_behind(struct intent *intent, int64_t lag_ms)
{
    return clock_ms(CLOCK_STRIPE) - intent->changed_ms >= lag_ms ? intent : intent->before;
}

void intent_note(struct intent *i)
{
    remember_change(i);
    if (!journal_on())
        return;
    json_t *record = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:I, s:O}", "t",
                               "stripe.intent", "id", i->id, "secret", i->secret, "currency", i->currency, "amount",
                               (json_int_t)i->amount, "capturable", (json_int_t)i->capturable, "received",
                               (json_int_t)i->received, "createdMs", (json_int_t)i->created_ms, "canceledAt",
                               (json_int_t)i->canceled_at, "status", intent_status_name(i->status), "manual",
                               (int)i->manual, "settleAt", (json_int_t)i->settle_at, "metadata", i->metadata);
    set_text(record, "charge", i->charge);
    set_text(record, "method", i->method);
    set_text(record, "payment", i->payment);
    set_text(record, "cancelReason", i->cancel_reason);
    set_text(record, "card", i->card ? i->card->token : NULL);
    set_text(record, "declined", i->declined ? i->declined->decline_code : NULL);
    set_text(record, "description", i->description);
    set_text(record, "receiptEmail", i->receipt_email);
    set_text(record, "returnUrl", i->return_url);
    journal_note(record);
}

void refund_note(const struct refund *r)
{
    if (!journal_on())
        return;
    json_t *record = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:s, s:O}", "t", "stripe.refund", "id", r->id, "intent", r->intent->id,
        "amount", (json_int_t)r->amount, "created", (json_int_t)r->created, "status", refund_status_name(r->status),
        "settleAt", (json_int_t)r->settle_at, "settleTo", refund_status_name(r->settle_to), "metadata", r->metadata);
    set_text(record, "reason", r->reason);
    journal_note(record);
}

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

static void replace_text(char **at, const char *text)
{
    free(*at);
    *at = *text ? text_dup(text) : NULL;
}

static void read_intent(struct intent *i, const json_t *record)
{
    text_copy(i->secret, sizeof i->secret, text_of(record, "secret"));
    text_copy(i->charge, sizeof i->charge, text_of(record, "charge"));
    text_copy(i->method, sizeof i->method, text_of(record, "method"));
    text_copy(i->currency, sizeof i->currency, text_of(record, "currency"));
    text_copy(i->cancel_reason, sizeof i->cancel_reason, text_of(record, "cancelReason"));
    i->amount = number_of(record, "amount");
    i->capturable = number_of(record, "capturable");
    i->received = number_of(record, "received");
    i->created_ms = number_of(record, "createdMs");
    i->canceled_at = number_of(record, "canceledAt");
    i->settle_at = number_of(record, "settleAt");
    i->manual = json_is_true(json_object_get(record, "manual"));
    i->card = card_find(text_of(record, "card"));
    i->declined = *text_of(record, "declined") ? decline_find(text_of(record, "declined")) : NULL;
    replace_text(&i->description, text_of(record, "description"));
    replace_text(&i->receipt_email, text_of(record, "receiptEmail"));
    replace_text(&i->return_url, text_of(record, "returnUrl"));
    json_decref(i->metadata);
    i->metadata = json_incref(json_object_get(record, "metadata"));
}

bool stripe_apply_intent(const json_t *record)
{
    int status;
    const char *id = text_of(record, "id");
    if (!*id || !named(intent_statuses, INTENT_STATUS_COUNT, text_of(record, "status"), &status) ||
        !json_is_object(json_object_get(record, "metadata")))
        return false;
    struct intent *intent = map_get(&intents_by_id, id);
    bool known = intent != NULL;
    if (!known) {
        intent = memory_new(sizeof *intent);
        text_copy(intent->id, sizeof intent->id, id);
        text_copy(intent->payment, sizeof intent->payment, text_of(record, "payment"));
    }
    read_intent(intent, record);
    intent->status = (enum intent_status)status;
    if (!known)
        intent_book(intent);
    return true;
}

bool stripe_apply_refund(const json_t *record)
{
    int status;
    int settle_to;
    const char *id = text_of(record, "id");
    struct intent *intent = map_get(&intents_by_id, text_of(record, "intent"));
    if (!*id || !intent || map_get(&refunds_by_id, id) ||
        !named(refund_statuses, REFUND_STATUS_COUNT, text_of(record, "status"), &status) ||
        !named(refund_statuses, REFUND_STATUS_COUNT, text_of(record, "settleTo"), &settle_to))
        return false;
    struct refund *refund = memory_new(sizeof *refund);
    text_copy(refund->id, sizeof refund->id, id);
    text_copy(refund->reason, sizeof refund->reason, text_of(record, "reason"));
    refund->intent = intent;
    refund->amount = number_of(record, "amount");
    refund->created = number_of(record, "created");
    refund->created_ms = refund->created * 1000;
    refund->status = (enum refund_status)status;
    refund->settle_at = number_of(record, "settleAt");
    refund->settle_to = (enum refund_status)settle_to;
    refund->metadata = json_incref(json_object_get(record, "metadata"));
    link_refund(refund);
    return true;
}

/* ---- the books as a test sees them ---- */

static json_t *refund_entry(struct refund *refund)
{
    refund_up_to_date(refund);
    return json_pack("{s:s, s:I, s:s, s:I, s:O}", "refund", refund->id, "amount", (json_int_t)refund->amount, "status",
                     refund_status_name(refund->status), "created", (json_int_t)refund->created, "metadata",
                     refund->metadata);
}

static json_t *intent_entry(struct intent *intent)
{
    json_t *list = json_array();
    for (struct refund *refund = intent->refunds; refund; refund = refund->next)
        json_array_insert_new(list, 0, refund_entry(refund));
    return json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:o, s:O}", "intent", intent->id, "amount",
                     (json_int_t)intent->amount, "currency", intent->currency, "status",
                     intent_status_name(intent->status), "authorized", (json_int_t)intent->capturable, "captured",
                     (json_int_t)intent->received, "refunded", (json_int_t)intent_refunded(intent, false), "refunds",
                     list, "metadata", intent->metadata);
}

static void add_to(json_t *totals, const char *name, int64_t amount)
{
    json_object_set_new(totals, name, json_integer(json_integer_value(json_object_get(totals, name)) + amount));
}

static void add_to_totals(json_t *totals, struct intent *intent)
{
    json_t *of = json_object_get(totals, intent->currency);
    if (!of) {
        of = json_object();
        json_object_set_new(totals, intent->currency, of);
    }
    add_to(of, "authorized", intent->capturable);
    add_to(of, "captured", intent->received);
    add_to(of, "refunded", intent_refunded(intent, false));
}

static void add_payment(const struct payment *payment, json_t *payments, json_t *totals)
{
    json_t *list = json_array();
    for (struct intent *intent = payment->newest; intent; intent = intent->next) {
        up_to_date(intent);
        json_array_insert_new(list, 0, intent_entry(intent));
        add_to_totals(totals, intent);
    }
    json_object_set_new(payments, payment->id, list);
}

json_t *stripe_books(const char *id)
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
