/* verify_balance.c - balances derived here, from every transfer, against those that people read
 *
 * The ledger may go on while payments are looked through. What it has beyond the horizon in the end is read in one snapshot with the trial
 * balance, and the payments concerned are counted anew.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/money.h"
#include "ledger/read.h"
#include "ledger/verify_internal.h"

enum { CHANGED_MAX = 20000 /* payments that went on meanwhile; with more there is no comparison */ };

struct balance {
    int64_t debits, credits, pending_debits, pending_credits;
};
struct balances {
    json_t *places; /* "EUR commission": index */
    struct balance *items;
    size_t count;
    bool overflow;
};

struct balances *balances_new(void)
{
    struct balances *balances = mem_new(1, sizeof *balances);
    balances->places = json_object();
    return balances;
}

void balances_free(struct balances *balances)
{
    json_decref(balances->places);
    free(balances->items);
    free(balances);
}

static struct balance *balance_of(struct balances *balances, const char *account, const char *currency)
{
    char key[ACCOUNT_SIZE + 8];
    snprintf(key, sizeof key, "%s %s", currency, account);
    const json_t *place = json_object_get(balances->places, key);
    if (place)
        return &balances->items[json_integer_value(place)];
    json_object_set_new(balances->places, key, json_integer((json_int_t)balances->count));
    balances->items = mem_grow(balances->items, balances->count + 1, sizeof *balances->items);
    balances->items[balances->count] = (struct balance){0};
    return &balances->items[balances->count++];
}

static void add(struct balances *balances, int64_t *sum, int64_t amount)
{
    balances->overflow |= money_add(*sum, amount, sum, NULL) != 0;
}

/* Is what is pending with this transfer ended by a row of a transaction below the horizon? */
static bool is_ended(const struct dossier *dossier, const struct transfer *t, uint64_t horizon)
{
    char answer[SLOT_SIZE + 8];
    uint64_t xid = 0;
    for (size_t i = 0; strcmp(t->kind, "hold") == 0 && i < dossier->transfer_count; i++)
        if (strcmp(dossier->transfers[i].pending_of, t->slot) == 0 && dossier->transfers[i].xid < horizon)
            return true;
    const char *doubt = strstr(t->slot, ":doubt:");
    if (strcmp(t->kind, "in_doubt") != 0 || !doubt)
        return false;
    bool has_result = strncmp(t->slot, "auth:", 5) == 0 || strncmp(t->slot, "refund:", 7) == 0;
    snprintf(answer, sizeof answer, "%.*s%s", (int)(doubt - t->slot), t->slot, has_result ? ":result" : "");
    return dossier_fact(dossier, answer, &xid) && xid < horizon;
}

void balances_add(struct balances *balances, const struct dossier *dossier, uint64_t horizon, int sign)
{
    for (size_t i = 0; i < dossier->transfer_count; i++) {
        const struct transfer *t = &dossier->transfers[i];
        bool moved = strcmp(t->kind, "post") == 0 || strcmp(t->kind, "transfer") == 0;
        bool pending = strcmp(t->kind, "hold") == 0 || strcmp(t->kind, "in_doubt") == 0;
        if (t->xid >= horizon)
            continue;
        int64_t moves = moved ? sign * t->amount : 0;
        int64_t pends = pending && !is_ended(dossier, t, horizon) ? sign * t->amount : 0;
        struct balance *debit = balance_of(balances, t->debit, t->currency);
        add(balances, &debit->debits, moves);
        add(balances, &debit->pending_debits, pends);
        struct balance *credit = balance_of(balances, t->credit, t->currency);
        add(balances, &credit->credits, moves);
        add(balances, &credit->pending_credits, pends);
    }
}

/* What is archived moved, too; verify_archive.c looks whether that is so. */
static int add_archived(const struct verify *verify, struct balances *balances, struct err *err)
{
    struct db_result *rows =
        db_query(verify->db,
                 "select b.account, b.currency, b.debits, b.credits from ledger.archive_balance b join ledger.archived "
                 "a on a.id = b.archive_id",
                 0, NULL, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows); row++) {
        struct balance *balance = balance_of(balances, db_value(rows, row, 0), db_value(rows, row, 1));
        add(balances, &balance->debits, db_int(rows, row, 2));
        add(balances, &balance->credits, db_int(rows, row, 3));
    }
    db_result_free(rows);
    return 0;
}

/* --- comparing --- */

/* Trial balance, facts and transfers of what went on since, in one statement: one snapshot. Rows of three kinds, their columns as texts. */
#define CHANGED " in (select c.payment_id from ledger.event c where c.xid >= $1::xid8)"
#define TOGETHER                                                                                                       \
    "select * from (select 0 as kind, jsonb_build_object::text as a, null as b, null as c, null as d, null as e,"      \
    " null as f, null as g, null as h, null as i, null as j from (%s) as trial union all"                              \
    " select 1, payment_id::text, slot, outcome, cause::text, actor, seq::text, xid::text, floor::text, body::text,"   \
    " null from (" DOSSIER_FACTS " where e.payment_id" CHANGED ") as facts union all"                                  \
    " select 2, payment_id::text, slot, leg::text, kind, pending_of, debit, credit, amount::text, currency::text,"     \
    " xid::text from (" DOSSIER_TRANSFERS " where t.payment_id" CHANGED ") as transfers) as rows"                      \
    " order by kind, a collate \"C\""
enum { KIND, VALUE };
enum { KIND_TRIAL, KIND_FACT, KIND_TRANSFER };

static struct db_result *read_together(struct verify *verify, struct err *err)
{
    char *sql = NULL;
    const char *params[] = {verify->horizon};
    if (asprintf(&sql, TOGETHER, read_trial_balance_sql) < 0) {
        err_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    struct db_result *rows = db_query(verify->db, sql, 1, params, err);
    free(sql);
    return rows;
}

/* The rows of one kind, which stand together. */
static struct span span_of(const struct db_result *rows, int kind)
{
    struct span span = {.rows = rows, .shift = VALUE};
    while (span.row < db_rows(rows) && db_int(rows, span.row, KIND) < kind)
        span.row++;
    for (span.end = span.row; span.end < db_rows(rows) && db_int(rows, span.end, KIND) == kind;)
        span.end++;
    return span;
}

static int add_changed(struct verify *verify, struct balances *balances, const struct db_result *rows, struct err *err)
{
    uint64_t horizon = strtoull(verify->horizon, NULL, 10);
    struct span facts = span_of(rows, KIND_FACT), transfers = span_of(rows, KIND_TRANSFER);
    struct dossier dossier;
    int r;
    while ((r = dossier_next(&facts, &transfers, &dossier, err)) == 1) {
        balances_add(balances, &dossier, horizon, -1);
        balances_add(balances, &dossier, UINT64_MAX, 1);
        dossier_clear(&dossier);
    }
    return r;
}

static void compare(struct verify *verify, const char *account, const char *currency, const json_t *read,
                    const struct balance *derived)
{
    const struct balance told = {.debits = json_int(read, "debits", 0),
                                 .credits = json_int(read, "credits", 0),
                                 .pending_debits = json_int(read, "pendingDebits", 0),
                                 .pending_credits = json_int(read, "pendingCredits", 0)};
    if (told.debits != derived->debits || told.credits != derived->credits ||
        told.pending_debits != derived->pending_debits || told.pending_credits != derived->pending_credits)
        verify_fault(verify, VERIFY_BALANCE, NOWHERE,
                     "%s %s: transfers give %" PRId64 " - %" PRId64 " (pending %" PRId64 " - %" PRId64
                     "), the trial balance %" PRId64 " - %" PRId64 " (pending %" PRId64 " - %" PRId64 ")",
                     account, currency, derived->debits, derived->credits, derived->pending_debits,
                     derived->pending_credits, told.debits, told.credits, told.pending_debits, told.pending_credits);
}

/* Every account of the trial balance, then those that it does not have. */
static int compare_all(struct verify *verify, struct balances *balances, const struct db_result *rows, struct err *err)
{
    const char *key;
    json_t *place;
    for (struct span trial = span_of(rows, KIND_TRIAL); trial.row < trial.end; trial.row++) {
        json_auto_t *read = json_loads(db_value(rows, trial.row, VALUE), 0, NULL);
        if (!read)
            return err_set(err, ERR_INTERNAL, "the trial balance cannot be read");
        const char *account = json_text(read, "account", ""), *currency = json_text(read, "currency", "");
        char name[ACCOUNT_SIZE + 8];
        snprintf(name, sizeof name, "%s %s", currency, account);
        compare(verify, account, currency, read, balance_of(balances, account, currency));
        json_object_del(balances->places, name);
    }
    json_object_foreach(balances->places, key, place)
        verify_fault(verify, VERIFY_BALANCE, NOWHERE, "%s is booked on and not in the trial balance", key);
    if (balances->overflow)
        verify_fault(verify, VERIFY_BALANCE, NOWHERE, "a sum of transfers leaves int64");
    return 0;
}

/* How many payments have gone on since; -1 with an error. */
static int64_t count_changed(struct verify *verify, struct err *err)
{
    const char *params[] = {verify->horizon};
    struct db_result *rows = db_query(
        verify->db, "select count(distinct payment_id) from ledger.event where xid >= $1::xid8", 1, params, err);
    int64_t count = rows ? db_int(rows, 0, 0) : -1;
    db_result_free(rows);
    return count;
}

int verify_balances(struct verify *verify, struct balances *balances, struct err *err)
{
    verify_progress(verify, "balances", verify->result->payments);
    int64_t changed = count_changed(verify, err);
    if (changed < 0)
        return -1;
    if (changed > CHANGED_MAX)
        return 0;
    if (add_archived(verify, balances, err) != 0)
        return -1;
    struct db_result *rows = read_together(verify, err);
    int r = rows ? add_changed(verify, balances, rows, err) : -1;
    if (r == 0)
        r = compare_all(verify, balances, rows, err);
    db_result_free(rows);
    verify->result->balances = r == 0;
    return r;
}
