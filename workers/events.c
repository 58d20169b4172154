/* events.c - see events.h */
#include "workers/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "queues/topology.h"

/* What a fact is called outside. NULL outcome: any. */
static const struct {
    enum slot_kind slot;
    const char *outcome, *verb;
} verbs[] = {
    {SLOT_RECEIVED, NULL, "received"},
    {SLOT_AUTH_RESULT, "approved", "authorized"},
    {SLOT_AUTH_RESULT, NULL, "declined"},
    {SLOT_AUTH_ACTION, NULL, "requires_action"},
    {SLOT_AUTH_DOUBT, NULL, "in_doubt"},
    {SLOT_CAPTURE_DOUBT, NULL, "in_doubt"},
    {SLOT_REFUND_DOUBT, NULL, "in_doubt"},
    {SLOT_DECISION, "abort", "aborted"},
    {SLOT_CAPTURE, "captured", "captured"},
    {SLOT_CAPTURE, "refused", "capture_refused"},
    {SLOT_VOID, NULL, "voided"},
    {SLOT_REFUND, "accepted", "refund_accepted"},
    {SLOT_REFUND, "refused", "refund_refused"},
    {SLOT_REFUND_RESULT, "refunded", "refunded"},
    {SLOT_REFUND_RESULT, NULL, "refund_failed"},
};

static const char *verb_of(const struct fact *fact)
{
    enum slot_kind kind = slot_parse(fact->slot).kind;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (verbs[i].slot == kind && (!verbs[i].outcome || strcmp(verbs[i].outcome, fact->outcome) == 0))
            return verbs[i].verb;
    return NULL;
}

/* The end's name does not move with later refunds. */
static const char *end_verb(const struct payment *payment)
{
    if (!payment->ended)
        return NULL;
    if (payment->state == SAGA_COMPLETED)
        return "completed";
    return payment->public == PUBLIC_CANCELLED ? "cancelled" : "failed";
}

static bool caused(const struct fact *fact, const struct uuid *command)
{
    return !command || uuid_equal(fact->cause, *command);
}

/* Did the end need this fact? As saga_next.c has it; what came later (refunds of a completed payment, voids of late approvals) does not count, so
 * that the answer never changes. */
static bool belongs_to_end(const struct payment *payment, const struct fact *fact)
{
    if (payment->state == SAGA_COMPLETED)
        return fact == (payment->flow == FLOW_DUAL ? payment->token_active : payment->capture);
    if (fact == payment->pop_revoked || fact == payment->token_released ||
        (payment->state == SAGA_ABORTED && fact == payment->decision) ||
        (payment->state == SAGA_UNWOUND && fact == payment->refunds[payment->unwind].result))
        return true;
    for (int n = 1; n <= payment->authorization_count; n++) {
        const struct authorization *authorization = &payment->authorizations[n];
        if ((payment->state == SAGA_ABORTED && fact == authorization->result) ||
            (authorization->approved && fact == authorization->voided))
            return true;
    }
    return false;
}

/* The end follows from the last fact that it needed. Whoever caused any of them says it: the last of them committed sees it (L4). */
static bool find_end(const struct payment *payment, const struct facts *facts, const struct uuid *command,
                     struct event *ret)
{
    const struct fact *last = NULL;
    bool ours = false;
    const char *verb = end_verb(payment);
    for (size_t i = 0; verb && i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        if (!belongs_to_end(payment, fact))
            continue;
        ours = ours || caused(fact, command);
        if (!last || fact->seq > last->seq)
            last = fact;
    }
    if (last)
        *ret = (struct event){payment, last, verb, uuid_follow_up(payment->id, "event", verb), 2 * last->seq + 1};
    return last && ours;
}

static struct event event_of(const struct payment *payment, const struct fact *fact, const char *verb)
{
    return (struct event){payment, fact, verb, uuid_follow_up(payment->id, "event", fact->slot), 2 * fact->seq};
}

void events_of(const struct payment *payment, const struct facts *facts, const struct uuid *command,
               void (*each)(void *arg, const struct event *event), void *arg)
{
    if (!payment->received)
        return;
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        const char *verb = verb_of(fact);
        if (!verb || !caused(fact, command))
            continue;
        struct event event = event_of(payment, fact, verb);
        each(arg, &event);
    }
    struct event end;
    if (find_end(payment, facts, command, &end))
        each(arg, &end);
}

bool event_find(const struct payment *payment, const struct facts *facts, const char *name, struct event *ret)
{
    static const char head[] = "payment.";
    size_t size = sizeof head - 1;
    if (!payment->received || strncmp(name, head, size) != 0)
        return false;
    const char *verb = name + size, *number = strchr(verb, '.');
    if (!number)
        return find_end(payment, facts, NULL, ret) && strcmp(ret->verb, verb) == 0;
    int n = atoi(number + 1);
    const struct fact *result = n >= 1 && n <= payment->refund_count ? payment->refunds[n].result : NULL;
    if (!result || !verb_of(result))
        return false;
    *ret = event_of(payment, result, verb_of(result));
    return strlen(ret->verb) == (size_t)(number - verb) && strncmp(ret->verb, verb, (size_t)(number - verb)) == 0;
}

static bool is_one_of(const char *verb, const char *const *verbs_of)
{
    for (; *verbs_of; verbs_of++)
        if (strcmp(*verbs_of, verb) == 0)
            return true;
    return false;
}

const json_t *event_answers(const struct event *event)
{
    static const char *const ends[] = {"completed", "failed", "cancelled", NULL};
    static const char *const refunds[] = {"refunded", "refund_failed", "refund_refused", NULL};
    const struct payment *payment = event->payment;
    int n = slot_parse(event->fact->slot).n;
    if (strcmp(event->verb, "aborted") == 0)
        return event->fact->body;
    if (is_one_of(event->verb, refunds) && n >= 1 && n <= payment->refund_count)
        return payment->refunds[n].intent->body;
    return is_one_of(event->verb, ends) ? payment->received->body : NULL;
}

static bool is_end(const struct event *event)
{
    return event->sequence % 2 == 1;
}

/* What the event's own fact made of the payment; later refunds do not count. */
static void add_status(const struct event *event, json_t *data)
{
    const struct payment *payment = event->payment;
    int64_t refunded = 0;
    for (int n = 1; n <= payment->refund_count; n++) {
        const struct fact *result = payment->refunds[n].result;
        if (result && result->seq <= event->fact->seq && strcmp(result->outcome, "refunded") == 0)
            refunded += payment->refunds[n].amount;
    }
    const char *status = is_end(event)                          ? event->verb
                         : payment->state != SAGA_COMPLETED     ? "processing"
                         : refunded == 0                        ? "completed"
                         : refunded == payment->captured_amount ? "refunded"
                                                                : "partially_refunded";
    json_object_set_new(data, "status", json_string(status));
    json_object_set_new(data, "refunded", json_integer(refunded));
}

static json_t *event_data(const struct event *event)
{
    char public_id[PUBLIC_ID_SIZE], plain[UUID_TEXT_SIZE];
    const struct payment *payment = event->payment;
    public_id_format(payment->id, public_id);
    uuid_format(payment->id, plain);
    json_t *data = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s}", "transactionId", public_id, "paymentId", plain,
                             "publisher", json_text(payment->received->body, "publisher", ""), "amount",
                             (json_int_t)payment->amount, "currency", payment->currency, "slot", event->fact->slot);
    int n = slot_parse(event->fact->slot).n;
    bool refund = strncmp(event->verb, "refund", 6) == 0;
    if (refund && n >= 1 && n <= payment->refund_count)
        json_object_set_new(data, "refundAmount", json_integer(payment->refunds[n].amount));
    if (is_end(event) && payment->reason)
        json_object_set_new(data, "reason", json_string(payment->reason));
    if (is_end(event) || slot_parse(event->fact->slot).kind == SLOT_REFUND_RESULT)
        add_status(event, data);
    return data;
}

char *event_json(const struct event *event)
{
    char id[UUID_TEXT_SIZE], public_id[PUBLIC_ID_SIZE], time[CLOCK_TEXT_SIZE], type[64], sequence[32];
    uuid_format(event->id, id);
    public_id_format(event->payment->id, public_id);
    snprintf(type, sizeof type, "payment.%s", event->verb);
    snprintf(sequence, sizeof sequence, "%020lld", (long long)event->sequence); /* CloudEvents: ordered as text */
    json_auto_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "specversion", "1.0", "id", id, "source", "acquit",
                  "type", type, "subject", public_id, "time", clock_format(event->fact->at_ms, time), "datacontenttype",
                  "application/json", "sequence", sequence, "data", event_data(event));
    return json_encode(body);
}

void event_message(const struct event *event, const char *user, struct message *ret)
{
    char id[UUID_TEXT_SIZE], type[64];
    uuid_format(event->id, id);
    snprintf(type, sizeof type, "payment.%s", event->verb);
    memset(ret, 0, sizeof *ret);
    ret->exchange = strdup(EXCHANGE_EVENTS);
    ret->routing_key = strdup(type);
    ret->type = strdup(type);
    ret->content_type = strdup("application/cloudevents+json");
    ret->message_id = strdup(id);
    ret->user_id = strdup(user);
    ret->optional = true; /* who does not listen misses nothing */
    ret->timestamp = event->fact->at_ms / 1000;
    ret->body = event_json(event);
    ret->body_size = strlen(ret->body);
}
