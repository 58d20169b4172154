/* fuzz_saga.c - any facts through the fold, what follows from it, and what its owner is shown (L3, L4)
 *
 * One fact a line: slot, outcome, the slot whose cause it shares ("-": its own), body as JSON; separated by one blank.
 * The first line is the payment's flow and amount, as in `plain 1000`; it makes `received`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/json.h"
#include "common/mem.h"
#include "ledger/project.h"
#include "ledger/saga.h"
#include "queues/topology.h"
#include "tests/fuzz/input.h"
#include "workers/differing.h"
#include "workers/events.h"
#include "workers/ingress/views.h"

enum { FACTS_MAX = FIELDS_MAX - 4, SAID_SIZE = 32768 };

static struct uuid cause_of(const char *slot)
{
    return uuid_command("fuzz", "saga", slot);
}

/* Cuts the line at its next blank. */
static char *word(char **line)
{
    char *begin = *line ? *line : (char[]){""}, *blank = strchr(begin, ' ');
    if (blank)
        *blank = '\0';
    *line = blank ? blank + 1 : begin + strlen(begin);
    return begin;
}

static void add(struct facts *facts, const char *slot, const char *outcome, const char *cause, json_t *body)
{
    bool fits = strlen(slot) < SLOT_SIZE && strlen(outcome) < OUTCOME_SIZE && json_is_object(body);
    if (!fits || facts_find(facts, slot)) { /* L2: the ledger would not have it */
        json_decref(body);
        return;
    }
    facts->items = mem_grow(facts->items, facts->count + 1, sizeof *facts->items);
    struct fact *fact = &facts->items[facts->count];
    *fact =
        (struct fact){.seq = (int64_t)facts->count + 1, .at_ms = 1795168800000, .cause = cause_of(cause), .body = body};
    memcpy(fact->slot, slot, strlen(slot) + 1);
    memcpy(fact->outcome, outcome, strlen(outcome) + 1);
    facts->count++;
}

static void read_facts_of(struct input *input, struct facts *ret)
{
    *ret = (struct facts){.payment_id = cause_of("payment")};
    char *line = input_line(input), *flow = word(&line);
    int64_t amount = strtoll(word(&line), NULL, 10);
    if (*flow)
        add(ret, "received", "accepted", "received",
            json_pack("{s:s,s:I,s:s,s:s,s:s,s:[s,s]}", "flow", strcmp(flow, "dual") == 0 ? "dual" : "plain", "amount",
                      (json_int_t)amount, "currency", "EUR", "publisher", "shop", "messageId", "k-1", "channels",
                      "webhook", "mail"));
    while (input->left && ret->count < FACTS_MAX && input->text_count < FIELDS_MAX) {
        line = input_line(input);
        char *slot = word(&line), *outcome = word(&line), *cause = word(&line);
        json_t *body = json_loads(*line ? line : "{}", JSON_REJECT_DUPLICATES, NULL);
        add(ret, slot, outcome, strcmp(cause, "-") == 0 ? slot : cause, body ? body : json_object());
    }
}

static void check_money(const struct payment *payment)
{
    MUST(payment->refunded >= 0 && payment->refunded <= payment->refund_reserved);
    MUST(payment->refund_reserved <= payment->captured_amount || payment->captured_amount == 0);
    MUST(payment->authorization_count >= 0 && payment->authorization_count <= AUTHORIZATIONS_MAX);
    MUST(payment->commit >= 0 && payment->commit <= payment->authorization_count);
    MUST((payment->decision_kind == COMMIT) == (payment->commit > 0));
    MUST(!payment->captured || payment->decision_kind == COMMIT); /* L7 */
}

/* Each command is one that a queue knows, has the id that anybody would give it, and rests on facts that stand. */
static void check_next(const struct facts *facts, const struct payment *payment, const struct next *next)
{
    MUST(next->count <= FOLLOW_UPS_MAX);
    for (size_t i = 0; i < next->count; i++) {
        const struct follow_up *f = &next->items[i];
        MUST(command_type_find(f->type) && slot_parse(f->slot).kind != SLOT_UNKNOWN && f->rest_count <= RESTS_MAX);
        MUST(uuid_equal(f->id, uuid_follow_up(payment->id, f->type, f->slot)));
        for (size_t r = 0; r < f->rest_count; r++)
            MUST(f->rests[r] >= facts->items && f->rests[r] < facts->items + facts->count);
        for (size_t k = 0; k < i; k++)
            MUST(!uuid_equal(f->id, next->items[k].id));
        MUST(strcmp(f->type, "authorize.capture") != 0 || payment->decision_kind != ABORT); /* L7 */
        MUST(strcmp(f->type, "authorize.void") != 0 || payment->decision_kind != COMMIT || f->n != payment->commit ||
             !payment->captured);
    }
}

/* The rows of schema view: at most one payment, attempts without a gap. */
static void hash_rows(const struct facts *facts, char ret[static SHA256_HEX_SIZE])
{
    struct projection projection;
    projection_init(&projection);
    project(facts, &projection);
    MUST(json_array_size(projection.rows[VIEW_PAYMENT]) <= 1);
    json_auto_t *all = json_array();
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        json_array_append(all, projection.rows[table]);
    for (size_t i = 0; i < json_array_size(projection.rows[VIEW_ATTEMPT]); i++)
        MUST(json_int(json_array_get(projection.rows[VIEW_ATTEMPT], i), "attempt_number", 0) == (int64_t)i + 1);
    char *text = json_encode(all);
    sha256_hex(text, strlen(text), ret);
    free(text);
    projection_clear(&projection);
}

static void say(const struct facts *facts, char ret[static SAID_SIZE])
{
    static struct next next;
    struct err err = {0};
    struct payment payment;
    if (saga_fold(facts, &payment, &err) != 0) {
        MUST(err.code == ERR_INTERNAL && *err.text);
        snprintf(ret, SAID_SIZE, "not to be understood"); /* which of several reasons is named depends on the order */
        payment_clear(&payment);
        return;
    }
    saga_next(&payment, &next);
    check_money(&payment);
    check_next(facts, &payment, &next);
    int at = snprintf(ret, SAID_SIZE, "%s %s %s %d %lld %lld\n", saga_state_text(payment.state),
                      public_state_text(payment.public), payment.reason ? payment.reason : "-", payment.ended,
                      (long long)payment.refunded, (long long)payment.refund_reserved);
    for (size_t i = 0; i < next.count; i++) {
        at += snprintf(ret + at, SAID_SIZE - (size_t)at, "%s %s", next.items[i].type, next.items[i].slot);
        for (size_t r = 0; r < next.items[i].rest_count; r++)
            at += snprintf(ret + at, SAID_SIZE - (size_t)at, " <%s", next.items[i].rests[r]->slot);
        MUST(at < SAID_SIZE - 2048);
    }
    payment_clear(&payment);
}

/* L3: the order in which facts are read says nothing. */
static void check_order(struct facts *facts)
{
    static char first[SAID_SIZE], second[SAID_SIZE], first_rows[SHA256_HEX_SIZE], second_rows[SHA256_HEX_SIZE];
    say(facts, first);
    hash_rows(facts, first_rows);
    for (size_t i = 0; i < facts->count / 2; i++) {
        struct fact kept = facts->items[i];
        facts->items[i] = facts->items[facts->count - 1 - i];
        facts->items[facts->count - 1 - i] = kept;
    }
    say(facts, second);
    hash_rows(facts, second_rows);
    MUST(strcmp(first, second) == 0 && strcmp(first_rows, second_rows) == 0);
    for (size_t i = 1; i < facts->count; i += 2) {
        struct fact kept = facts->items[i];
        facts->items[i] = facts->items[i - 1];
        facts->items[i - 1] = kept;
    }
    say(facts, second);
    MUST(strcmp(first, second) == 0);
}

static void show_event(void *arg, const struct event *event)
{
    (void)arg;
    struct message message;
    MUST(*event->verb && event->fact);
    event_message(event, "acquit-worker", &message);
    (void)event_answers(event);
    message_clear(&message);
}

static void take(json_t *view)
{
    char *text = view ? json_encode(view) : NULL;
    MUST(text);
    free(text);
    json_decref(view);
}

static void show(const struct facts *facts)
{
    struct err err = {0};
    struct payment payment;
    if (saga_fold(facts, &payment, &err) == 0 && payment.received) {
        take(view_summary(facts, &payment));
        take(view_status(facts, &payment));
        take(view_detail(facts, &payment, NULL));
        take(view_events(facts));
        take(differing_create(payment.received->body, payment.received->body));
        for (int n = 1; n <= payment.refund_count; n++)
            take(view_refund(&payment, n));
        events_of(&payment, facts, NULL, show_event, NULL);
        for (size_t i = 0; i < command_type_count(); i++)
            for (int n = 0; n <= 1; n++)
                (void)saga_wants(&payment, command_type_at(i)->name, n);
    }
    payment_clear(&payment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    struct facts facts;
    read_facts_of(&input, &facts);
    check_order(&facts);
    show(&facts);
    facts_clear(&facts);
    input_end(&input);
    return 0;
}
