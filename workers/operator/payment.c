/* payment.c - acquit payment show */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/money.h"
#include "ledger/read.h"
#include "workers/operator/balance.h"
#include "workers/operator/operator.h"
#include "workers/operator/table.h"

enum { REMARK_SIZE = 200 };

static const char *text_time(int64_t wall_ms, char ret[static CLOCK_TEXT_SIZE])
{
    return wall_ms ? clock_format(wall_ms, ret) : "";
}

/* -- payment show */

static int by_seq(const void *a, const void *b)
{
    const struct fact *x = a, *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* What a person wants to know of a fact besides its outcome: why, in its own words, and the provider's code. */
static const char *remark(const json_t *body, char ret[static REMARK_SIZE])
{
    static const char *const members[] = {"reason", "message", "code"};
    size_t used = 0;
    ret[0] = 0;
    for (size_t i = 0; i < sizeof members / sizeof members[0] && used < REMARK_SIZE; i++) {
        const char *text = json_text(body, members[i], "");
        if (*text)
            used += (size_t)snprintf(ret + used, REMARK_SIZE - used, "%s%s", used ? ": " : "", text);
    }
    return ret;
}

static void print_timeline(const struct facts *facts)
{
    static const char *const headings[] = {"TIME", "FACT", "OUTCOME", "BY", "PROVIDER", "REFERENCE", "REMARK", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        char at[CLOCK_TEXT_SIZE], why[REMARK_SIZE];
        const char *cells[] = {text_time(fact->at_ms, at),
                               fact->slot,
                               fact->outcome,
                               fact->actor,
                               json_text(fact->body, "provider", ""),
                               json_text(fact->body, "reference", ""),
                               remark(fact->body, why)};
        table_row(table, cells);
    }
    puts("\nFacts");
    table_print(table, "none", stdout);
    table_free(table);
}

static void print_transfers(const json_t *transfers)
{
    static const char *const headings[] = {"FACT", "KIND", "DEBIT", "CREDIT", ">AMOUNT", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(transfers); i++) {
        const json_t *row = json_array_get(transfers, i);
        char amount[MONEY_TEXT_MAX];
        money_format(json_int(row, "amount", 0), json_text(row, "currency", ""), amount);
        const char *cells[] = {json_text(row, "slot", ""), json_text(row, "kind", ""), json_text(row, "debit", ""),
                               json_text(row, "credit", ""), amount};
        table_row(table, cells);
    }
    puts("\nTransfers");
    table_print(table, "none", stdout);
    table_free(table);
}

static void print_follow_ups(const struct next *next)
{
    static const char *const headings[] = {"COMMAND", "ABOUT", "ID", "RESTS ON", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < next->count; i++) {
        const struct follow_up *follow_up = &next->items[i];
        char id[UUID_TEXT_SIZE], rests[160] = "";
        uuid_format(follow_up->id, id);
        for (size_t k = 0; k < follow_up->rest_count; k++) {
            size_t used = strlen(rests);
            snprintf(rests + used, sizeof rests - used, "%s%s", k ? ", " : "", follow_up->rests[k]->slot);
        }
        const char *cells[] = {follow_up->type, follow_up->slot, id, *rests ? rests : "- (said by payment.look)"};
        table_row(table, cells);
    }
    puts("\nFollows");
    table_print(table, "nothing", stdout);
    table_free(table);
}

static void print_head(const struct payment *payment)
{
    char id[UUID_TEXT_SIZE], public[PUBLIC_ID_SIZE], amount[MONEY_TEXT_MAX], at[CLOCK_TEXT_SIZE];
    const json_t *received = payment->received ? payment->received->body : NULL;
    uuid_format(payment->id, id);
    public_id_format(payment->id, public);
    printf("%s  (%s)\n", public, id);
    printf("%s, %s: %s", public_state_text(payment->public), saga_state_text(payment->state),
           money_format(payment->amount, payment->currency, amount));
    if (payment->refunded)
        printf(", refunded %s", money_format(payment->refunded, payment->currency, amount));
    printf(", %s\n", payment->flow == FLOW_DUAL ? "dual" : "plain");
    if (payment->reason)
        printf("because %s: %s\n", payment->reason, reason_text(payment->reason));
    printf("publisher %s, message %s", json_text(received, "publisher", "?"), json_text(received, "messageId", "?"));
    if (json_text(received, "merchant", NULL))
        printf(", merchant %s", json_text(received, "merchant", ""));
    printf(", deadline %s\n", text_time(json_int(received, "expiresAt", 0), at));
}

static json_t *fact_view(const struct fact *fact)
{
    char cause[UUID_TEXT_SIZE], at[CLOCK_TEXT_SIZE];
    uuid_format(fact->cause, cause);
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s?, s:O}", "seq", (json_int_t)fact->seq, "at",
                     clock_format(fact->at_ms, at), "slot", fact->slot, "outcome", fact->outcome, "cause", cause,
                     "actor", fact->actor, "body", fact->body);
}

static json_t *facts_view(const struct facts *facts)
{
    json_t *list = json_array();
    for (size_t i = 0; i < facts->count; i++)
        json_array_append_new(list, fact_view(&facts->items[i]));
    return list;
}

static json_t *follow_ups_view(const struct next *next)
{
    json_t *list = json_array();
    for (size_t i = 0; i < next->count; i++) {
        const struct follow_up *follow_up = &next->items[i];
        char id[UUID_TEXT_SIZE];
        uuid_format(follow_up->id, id);
        json_t *rests = json_array();
        for (size_t k = 0; k < follow_up->rest_count; k++)
            json_array_append_new(rests, json_string(follow_up->rests[k]->slot));
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "type", follow_up->type, "slot", follow_up->slot,
                                              "commandId", id, "restsOn", rests));
    }
    return list;
}

static json_t *head_view(const struct payment *payment)
{
    char id[UUID_TEXT_SIZE], public[PUBLIC_ID_SIZE];
    uuid_format(payment->id, id);
    public_id_format(payment->id, public);
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:I, s:s, s:I, s:I, s:s?, s:s?}", "transactionId", public,
                     "paymentId", id, "status", public_state_text(payment->public), "state",
                     saga_state_text(payment->state), "ended", (int)payment->ended, "flow",
                     payment->flow == FLOW_DUAL ? "dual" : "plain", "amount", (json_int_t)payment->amount, "currency",
                     payment->currency, "capturedAmount", (json_int_t)payment->captured_amount, "refundedAmount",
                     (json_int_t)payment->refunded, "reason", payment->reason, "publisher",
                     payment->received ? json_text(payment->received->body, "publisher", NULL) : NULL);
}

const struct option_row payment_show_options[] = {
    {.name = "personal", .kind = OPTION_FLAG, .sentence = "its personal data, too; that you looked is recorded"},
    {0},
};

/* Without the salt of the hashes, which is ours. NULL on failure. */
static json_t *look_at_personal(struct op *op, struct uuid payment, struct err *err)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(payment, id);
    operator_note(op, "personal.show", "payment", id, NULL, NULL);
    json_t *personal = read_personal(op->db, payment, err);
    if (personal)
        json_object_del(personal, "salt");
    return personal;
}

static void print_personal(const json_t *personal)
{
    const char *member;
    json_t *value;
    puts("\nPersonal data");
    if (json_object_size(personal) == 0)
        puts("none");
    json_object_foreach((json_t *)(uintptr_t)personal, member, value)
        printf("%-16s %s\n", member, json_is_string(value) ? json_string_value(value) : "");
}

/* `personal`: NULL unless it is asked for. */
static int show(const struct op *op, const struct facts *facts, const struct payment *payment, json_t *transfers,
                json_t *personal, struct err *err)
{
    struct next next;
    saga_next(payment, &next);
    json_t *balance = balance_of(transfers, facts, err);
    if (!balance)
        return -1;
    if (op->json) {
        json_t *view = head_view(payment);
        json_object_set_new(view, "facts", facts_view(facts));
        json_object_set(view, "transfers", transfers);
        json_object_set(view, "balance", balance);
        json_object_set_new(view, "followUps", follow_ups_view(&next));
        if (personal)
            json_object_set(view, "personal", personal);
        operator_print(view);
    } else {
        print_head(payment);
        print_timeline(facts);
        print_transfers(transfers);
        puts("\nBalance of this payment");
        balance_print(balance, stdout);
        if (personal)
            print_personal(personal);
        print_follow_ups(&next);
    }
    json_decref(balance);
    return 0;
}

int cmd_payment_show(struct op *op, struct err *err)
{
    struct uuid id;
    if (operator_payment_id(op->args.positional[0], &id, err) < 0 || !operator_db(op, err))
        return -1;
    struct facts facts = {0};
    struct payment payment = {0};
    json_t *transfers = NULL, *personal = NULL;
    int code = -1;
    if (read_facts(op->db, &id, 1, &facts, err) == 0)
        transfers = read_transfers(op->db, id, err);
    if (facts.count)
        qsort(facts.items, facts.count, sizeof *facts.items, by_seq);
    if (transfers && saga_fold(&facts, &payment, err) == 0)
        code = facts.count ? 0 : operator_no_payment(op, id, err);
    else if (transfers && !op->json)
        print_timeline(&facts); /* facts that contradict each other are shown, and then why they do */
    if (code == 0 && args_flag(&op->args, "personal")) {
        personal = look_at_personal(op, id, err);
        code = personal ? 0 : -1;
    }
    if (code == 0)
        code = show(op, &facts, &payment, transfers, personal, err);
    json_decref(transfers);
    json_decref(personal);
    payment_clear(&payment);
    facts_clear(&facts);
    return code;
}
