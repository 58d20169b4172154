/* verify_books.c - payment by payment: is its history legal, does each fact have what it needs, are its books right?
 *
 * Payments come in the order of their ids, some hundred at once, each whole: facts, transfers, commands and archived letters of transactions
 * that had ended when the verification began.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "ledger/verify_internal.h"

enum { PAYMENTS_PAGE = 256, PROGRESS_PAYMENTS = 2048 };

/* --- one payment's rows --- */

enum { FACT_PAYMENT, FACT_SLOT, FACT_OUTCOME, FACT_CAUSE, FACT_ACTOR, FACT_SEQ, FACT_XID, FACT_AT, FACT_BODY };
enum { T_PAYMENT, T_SLOT, T_LEG, T_KIND, T_PENDING_OF, T_DEBIT, T_CREDIT, T_AMOUNT, T_CURRENCY, T_XID };

void dossier_clear(struct dossier *dossier)
{
    facts_clear(&dossier->facts);
    free(dossier->xids);
    free(dossier->transfers);
    *dossier = (struct dossier){0};
}

const struct fact *dossier_fact(const struct dossier *dossier, const char *slot, uint64_t *ret_xid)
{
    const struct fact *fact = facts_find(&dossier->facts, slot);
    if (fact && ret_xid)
        *ret_xid = dossier->xids[fact - dossier->facts.items];
    return fact;
}

static const char *value(const struct span *span, int column)
{
    return db_value(span->rows, span->row, span->shift + column);
}

static int64_t integer(const struct span *span, int column)
{
    return db_int(span->rows, span->row, span->shift + column);
}

static uint64_t xid_of(const struct span *span, int column)
{
    return strtoull(value(span, column), NULL, 10);
}

static int take_fact(const struct span *span, struct fact *ret, struct err *err)
{
    const char *actor = value(span, FACT_ACTOR), *slot = value(span, FACT_SLOT), *outcome = value(span, FACT_OUTCOME);
    ret->body = json_loads(value(span, FACT_BODY), 0, NULL);
    if (!ret->body || strlen(slot) >= SLOT_SIZE || strlen(outcome) >= OUTCOME_SIZE)
        return err_set(err, ERR_INTERNAL, "%s of payment %s cannot be read", slot, value(span, FACT_PAYMENT));
    snprintf(ret->slot, sizeof ret->slot, "%s", slot);
    snprintf(ret->outcome, sizeof ret->outcome, "%s", outcome);
    ret->cause = db_uuid(span->rows, span->row, span->shift + FACT_CAUSE);
    ret->seq = integer(span, FACT_SEQ);
    ret->at_ms = integer(span, FACT_AT);
    ret->actor = actor ? mem_text(actor) : NULL;
    return 0;
}

static struct transfer take_transfer(const struct span *span)
{
    const char *pending_of = value(span, T_PENDING_OF);
    return (struct transfer){.slot = value(span, T_SLOT),
                             .leg = (int)integer(span, T_LEG),
                             .kind = value(span, T_KIND),
                             .pending_of = pending_of ? pending_of : "",
                             .debit = value(span, T_DEBIT),
                             .credit = value(span, T_CREDIT),
                             .amount = integer(span, T_AMOUNT),
                             .currency = value(span, T_CURRENCY),
                             .xid = xid_of(span, T_XID)};
}

/* How many rows from here on are of this payment. */
static int count_of(const struct span *span, const char *payment)
{
    struct span at = *span;
    while (at.row < at.end && strcmp(value(&at, 0), payment) == 0)
        at.row++;
    return at.row - span->row;
}

/* The payment whose rows come first in either. */
static const char *first_payment(const struct span *facts, const struct span *transfers)
{
    const char *a = facts->row < facts->end ? value(facts, 0) : NULL;
    const char *b = transfers->row < transfers->end ? value(transfers, 0) : NULL;
    return !a || (b && strcmp(b, a) < 0) ? b : a;
}

int dossier_next(struct span *facts, struct span *transfers, struct dossier *ret, struct err *err)
{
    *ret = (struct dossier){0};
    const char *payment = first_payment(facts, transfers);
    if (!payment)
        return 0;
    size_t fact_count = (size_t)count_of(facts, payment), count = (size_t)count_of(transfers, payment);
    snprintf(ret->id, sizeof ret->id, "%s", payment);
    if (uuid_parse(payment, &ret->facts.payment_id) != 0)
        return err_set(err, ERR_INTERNAL, "%s is no payment id", payment);
    ret->facts.items = mem_new(fact_count, sizeof *ret->facts.items);
    ret->xids = mem_new(fact_count, sizeof *ret->xids);
    ret->transfers = mem_new(count, sizeof *ret->transfers);
    for (; ret->facts.count < fact_count; ret->facts.count++, facts->row++) {
        ret->xids[ret->facts.count] = xid_of(facts, FACT_XID);
        if (take_fact(facts, &ret->facts.items[ret->facts.count], err) != 0) {
            dossier_clear(ret);
            return -1;
        }
    }
    for (; ret->transfer_count < count; transfers->row++)
        ret->transfers[ret->transfer_count++] = take_transfer(transfers);
    return 1;
}

/* --- what a fact needs beside it --- */

static bool is_negative(const struct fact *result)
{
    return result && (strcmp(result->outcome, "declined") == 0 || strcmp(result->outcome, "absent") == 0 ||
                      strcmp(result->outcome, "cancelled") == 0);
}

/* L6: auth:N+1 stands in the transaction that won the negative auth:N:result. */
static void check_fence(struct verify *verify, const struct dossier *dossier, const struct fact *fact, uint64_t xid)
{
    char before[SLOT_SIZE];
    uint64_t result_xid = 0;
    struct slot slot = slot_parse(fact->slot);
    if (slot.kind != SLOT_AUTH || slot.n < 2)
        return;
    snprintf(before, sizeof before, "auth:%d:result", slot.n - 1);
    const struct fact *result = dossier_fact(dossier, before, &result_xid);
    if (!is_negative(result) || result_xid != xid)
        verify_fault(verify, VERIFY_FENCE, (struct verify_place){dossier->id, fact->slot, -1},
                     "its transaction did not win a negative %s (L6)", before);
}

enum { C_PAYMENT, C_ID, C_TYPE, C_PUBLISHER, C_MESSAGE, C_SHA256 };

/* The command that caused the fact, of this type; -1: none. */
static int command_of(const struct db_result *commands, int row, int count, const struct fact *fact, const char *type)
{
    for (int i = row; i < row + count; i++)
        if (uuid_equal(db_uuid(commands, i, C_ID), fact->cause) && strcmp(db_value(commands, i, C_TYPE), type) == 0)
            return i;
    return -1;
}

static bool says(const struct fact *fact, const char *member, const char *value)
{
    return strcmp(json_text(fact->body, member, ""), value) == 0;
}

/* The type of the publisher's command that the fact is guarded by; NULL: by none. Nobody's command asked for an unwinding. */
static const char *guarding_type(const struct dossier *dossier, const struct fact *fact)
{
    struct slot slot = slot_parse(fact->slot);
    if (slot.kind == SLOT_RECEIVED)
        return "payment.create";
    if (slot.kind == SLOT_REFUND)
        return uuid_equal(fact->cause, uuid_follow_up(dossier->facts.payment_id, "payment.unwind", "refund:1"))
                   ? NULL
                   : "payment.refund";
    return slot.kind == SLOT_DECISION && strcmp(fact->outcome, "abort") == 0 && says(fact, "reason", "CANCELLED")
               ? "payment.cancel"
               : NULL;
}

/* L10: ids follow from what the publisher said, and the first body under a key is the one that counts. */
static void check_command(struct verify *verify, const struct dossier *dossier, const struct fact *fact,
                          const struct db_result *commands, int first, int count)
{
    struct verify_place place = {dossier->id, fact->slot, -1};
    const char *type = guarding_type(dossier, fact);
    if (!type)
        return;
    int row = command_of(commands, first, count, fact, type);
    if (row < 0) {
        verify_fault(verify, VERIFY_COMMAND, place, "no %s of this payment is recorded as its cause (L10)", type);
        return;
    }
    const char *publisher = db_value(commands, row, C_PUBLISHER), *message = db_value(commands, row, C_MESSAGE);
    const char *sha256 = db_value(commands, row, C_SHA256);
    if (!uuid_equal(fact->cause, uuid_command(type, publisher, message)))
        verify_fault(verify, VERIFY_COMMAND, place, "the id of its command is not that of %s of %s", message,
                     publisher);
    if (strcmp(fact->slot, "decision") != 0 && !says(fact, "sha256", sha256))
        verify_fault(verify, VERIFY_COMMAND, place, "its command was recorded with another body");
    if (strcmp(fact->slot, "received") == 0 &&
        (!says(fact, "publisher", publisher) || !says(fact, "messageId", message) ||
         !uuid_equal(dossier->facts.payment_id, uuid_payment(publisher, message))))
        verify_fault(verify, VERIFY_COMMAND, place, "it is not the payment of %s of %s", message, publisher);
}

/* L9, where a death stands; the other way round is check_letters(). */
static void check_death(struct verify *verify, const struct dossier *dossier, const struct fact *fact,
                        const struct db_result *letters)
{
    if (slot_parse(fact->slot).kind != SLOT_DEAD)
        return;
    for (int row = 0; row < db_rows(letters); row++)
        if (strcmp(db_value(letters, row, 0), dossier->id) == 0 && strcmp(db_value(letters, row, 1), fact->slot) == 0 &&
            says(fact, "deadLetter", db_value(letters, row, 2)))
            return;
    verify_fault(verify, VERIFY_DEAD_LETTER, (struct verify_place){dossier->id, fact->slot, -1},
                 "its dead letter is not archived (L9)");
}

/* Letters whose fact is not there; archived in the same transaction. */
static int check_letters(struct verify *verify, struct err *err)
{
    const char *params[] = {verify->horizon};
    struct db_result *rows =
        db_query(verify->db,
                 "select coalesce(d.payment_id, d.id), d.slot, d.id from ledger.dead_letter d where d.xid < $1::xid8"
                 " and not exists (select from ledger.event e where e.payment_id = coalesce(d.payment_id, d.id)"
                 " and e.slot = d.slot and e.xid = d.xid and e.body->>'deadLetter' = d.id::text) limit 1000",
                 1, params, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows); row++)
        verify_fault(verify, VERIFY_DEAD_LETTER,
                     (struct verify_place){db_value(rows, row, 0), db_value(rows, row, 1), -1},
                     "dead letter %s is archived without its fact (L9)", db_value(rows, row, 2));
    db_result_free(rows);
    return 0;
}

/* --- pages --- */

enum { R_IDS, R_FACTS, R_TRANSFERS, R_COMMANDS, R_LETTERS, R_COUNT };

struct page {
    struct db_result *rows[R_COUNT];
};

static void page_clear(struct page *page)
{
    for (int i = 0; i < R_COUNT; i++)
        db_result_free(page->rows[i]);
    *page = (struct page){0};
}

/* $1 the last payment seen, $2 the horizon, $3 facts from here on. Each half goes along its key and stops. */
#define IDS(comparison)                                                                                                \
    "select payment_id from ("                                                                                         \
    "(select distinct payment_id from ledger.event where payment_id " comparison " $1::uuid and xid < $2::xid8"        \
    " and xid >= $3::xid8 order by payment_id limit 256) union"                                                        \
    " (select distinct payment_id from ledger.transfer where payment_id " comparison " $1::uuid and xid < $2::xid8"    \
    " and xid >= $3::xid8 order by payment_id limit 256)) as p order by payment_id limit 256"

static const char *ids_of(const struct db_result *rows, struct db_array *array)
{
    for (int row = 0; row < db_rows(rows); row++)
        db_array_add(array, db_value(rows, row, 0));
    return db_array_text(array);
}

static int read_page(struct verify *verify, const char *after, struct page *ret, struct err *err)
{
    const char *nil = "00000000-0000-0000-0000-000000000000";
    const char *first[] = {after ? after : nil, verify->horizon, verify->since_xid};
    *ret = (struct page){0};
    ret->rows[R_IDS] = db_query(verify->db, after ? IDS(">") : IDS(">="), 3, first, err);
    if (!ret->rows[R_IDS])
        return -1;
    struct db_array ids = {0};
    const char *params[] = {ids_of(ret->rows[R_IDS], &ids), verify->horizon};
#define OF_PAGE(name)                                                                                                  \
    " where " name ".payment_id = any($1::uuid[]) and " name ".xid < $2::xid8 order by " name ".payment_id"
    const struct db_statement statements[] = {
        {DOSSIER_FACTS OF_PAGE("e") ", e.slot", 2, params},
        {DOSSIER_TRANSFERS OF_PAGE("t") ", t.slot, t.leg", 2, params},
        {"select c.payment_id, c.id, c.type, c.publisher, c.message_id, c.sha256 from ledger.command c" OF_PAGE("c"), 2,
         params},
        {"select coalesce(d.payment_id, d.id), d.slot, d.id from ledger.dead_letter d where (d.payment_id ="
         " any($1::uuid[]) or (d.payment_id is null and d.id = any($1::uuid[]))) and d.xid < $2::xid8",
         2, params},
    };
    int r = db_run(verify->db, false, statements, R_COUNT - 1, ret->rows + 1, err);
    db_array_free(&ids);
    return r;
}

static void check_facts(struct verify *verify, const struct dossier *dossier, const struct page *page, int command_row,
                        int command_count)
{
    for (size_t i = 0; i < dossier->facts.count; i++) {
        const struct fact *fact = &dossier->facts.items[i];
        check_fence(verify, dossier, fact, dossier->xids[i]);
        check_command(verify, dossier, fact, page->rows[R_COMMANDS], command_row, command_count);
        check_death(verify, dossier, fact, page->rows[R_LETTERS]);
    }
}

static void check_payment(struct verify *verify, const struct dossier *dossier)
{
    struct payment payment = {0};
    struct err why = {0};
    verify_transfers(verify, dossier);
    verify_chart(verify, dossier);
    if (saga_fold(&dossier->facts, &payment, &why) != 0)
        verify_fault(verify, VERIFY_SAGA, (struct verify_place){.payment = dossier->id, .block = -1}, "%s", why.text);
    else
        verify_bookings(verify, dossier, &payment);
    payment_clear(&payment);
    verify->result->transfers += (int64_t)dossier->transfer_count;
    if (++verify->result->payments % PROGRESS_PAYMENTS == 0)
        verify_progress(verify, "payments", verify->result->payments);
}

static struct span whole(const struct db_result *rows)
{
    return (struct span){.rows = rows, .end = db_rows(rows)};
}

static int check_page(struct verify *verify, const struct page *page, struct balances *balances, struct err *err)
{
    uint64_t horizon = strtoull(verify->horizon, NULL, 10);
    struct span facts = whole(page->rows[R_FACTS]), transfers = whole(page->rows[R_TRANSFERS]);
    struct span commands = whole(page->rows[R_COMMANDS]);
    struct dossier dossier;
    int r;
    while ((r = dossier_next(&facts, &transfers, &dossier, err)) == 1) {
        while (commands.row < commands.end && strcmp(value(&commands, 0), dossier.id) < 0)
            commands.row++;
        check_facts(verify, &dossier, page, commands.row, count_of(&commands, dossier.id));
        check_payment(verify, &dossier);
        balances_add(balances, &dossier, horizon, 1);
        dossier_clear(&dossier);
    }
    return r;
}

int verify_books(struct verify *verify, struct balances *balances, struct err *err)
{
    char after[UUID_TEXT_SIZE] = "";
    int r = 0, count;
    do {
        struct page page;
        r = read_page(verify, *after ? after : NULL, &page, err);
        count = r == 0 ? db_rows(page.rows[R_IDS]) : 0;
        if (r == 0 && count > 0)
            r = check_page(verify, &page, balances, err);
        if (count > 0)
            snprintf(after, sizeof after, "%s", db_value(page.rows[R_IDS], count - 1, 0));
        page_clear(&page);
    } while (r == 0 && count == PAYMENTS_PAGE);
    return r == 0 ? check_letters(verify, err) : r;
}
