/* verify_balance.c - balances derived here, from every transfer, against those that people read */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/money.h"
#include "ledger/read.h"
#include "ledger/verify_internal.h"

struct balance {
    int64_t debits, credits, pending_debits, pending_credits;
    bool compared;
};
struct balances {
    json_t *places; /* "EUR commission": index */
    struct balance *items;
    size_t count, room;
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

static struct balance *balance_named(struct balances *balances, const char *name)
{
    const json_t *place = json_object_get(balances->places, name);
    if (place)
        return &balances->items[json_integer_value(place)];
    json_object_set_new(balances->places, name, json_integer((json_int_t)balances->count));
    if (balances->count == balances->room) {
        balances->room = balances->room ? 2 * balances->room : 64;
        balances->items = mem_grow(balances->items, balances->room, sizeof *balances->items);
    }
    balances->items[balances->count] = (struct balance){0};
    return &balances->items[balances->count++];
}

/* As much as fits; where it ends. snprintf() would take as long as all the rest. */
static char *put(char *at, const char *end, const char *text)
{
    while (*text && at + 1 < end)
        *at++ = *text++;
    *at = '\0';
    return at;
}

static struct balance *balance_of(struct balances *balances, const char *account, const char *currency)
{
    char name[ACCOUNT_SIZE + 8], *end = name + sizeof name;
    char *at = put(put(name, end, currency), end, " ");
    put(at, end, account);
    return balance_named(balances, name);
}

static void add(struct balances *balances, int64_t *sum, int64_t amount)
{
    balances->overflow |= money_add(*sum, amount, sum, NULL) != 0;
}

/* Is what is pending with this transfer ended? */
static bool is_ended(const struct dossier *dossier, const struct transfer *t)
{
    char answer[SLOT_SIZE + 8];
    for (size_t i = 0; strcmp(t->kind, "hold") == 0 && i < dossier->transfer_count; i++)
        if (strcmp(dossier->transfers[i].pending_of, t->slot) == 0)
            return true;
    const char *doubt = strstr(t->slot, ":doubt:");
    if (strcmp(t->kind, "in_doubt") != 0 || !doubt)
        return false;
    bool has_result = strncmp(t->slot, "auth:", 5) == 0 || strncmp(t->slot, "refund:", 7) == 0;
    snprintf(answer, sizeof answer, "%.*s%s", (int)(doubt - t->slot), t->slot, has_result ? ":result" : "");
    return dossier_fact(dossier, answer, NULL);
}

void balances_add(struct balances *balances, const struct dossier *dossier)
{
    for (size_t i = 0; i < dossier->transfer_count; i++) {
        const struct transfer *t = &dossier->transfers[i];
        bool moved = strcmp(t->kind, "post") == 0 || strcmp(t->kind, "transfer") == 0;
        bool pending = strcmp(t->kind, "hold") == 0 || strcmp(t->kind, "in_doubt") == 0;
        int64_t moves = moved ? t->amount : 0;
        int64_t pends = pending && !is_ended(dossier, t) ? t->amount : 0;
        struct balance *debit = balance_of(balances, t->debit, t->currency);
        add(balances, &debit->debits, moves);
        add(balances, &debit->pending_debits, pends);
        struct balance *credit = balance_of(balances, t->credit, t->currency);
        add(balances, &credit->credits, moves);
        add(balances, &credit->pending_credits, pends);
    }
}

int balances_add_archived(const struct verify *verify, struct balances *balances, struct err *err)
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

void balances_join(struct balances *balances, const struct balances *more)
{
    const char *name;
    const json_t *place;
    balances->overflow |= more->overflow;
    json_object_foreach((json_t *)more->places, name, place)
    {
        const struct balance *from = &more->items[json_integer_value(place)];
        struct balance *to = balance_named(balances, name);
        add(balances, &to->debits, from->debits);
        add(balances, &to->credits, from->credits);
        add(balances, &to->pending_debits, from->pending_debits);
        add(balances, &to->pending_credits, from->pending_credits);
    }
}

/* --- comparing --- */

struct db_result *balances_trial(struct db *db, struct err *err)
{
    return db_query(db, read_trial_balance_sql, 0, NULL, err);
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
int balances_compare(struct verify *verify, struct balances *balances, const struct db_result *trial, struct err *err)
{
    const char *name;
    const json_t *place;
    for (int row = 0; row < db_rows(trial); row++) {
        json_auto_t *read = json_loads(db_value(trial, row, 0), 0, NULL);
        if (!read)
            return err_set(err, ERR_INTERNAL, "the trial balance cannot be read");
        const char *account = json_text(read, "account", ""), *currency = json_text(read, "currency", "");
        struct balance *derived = balance_of(balances, account, currency);
        derived->compared = true;
        compare(verify, account, currency, read, derived);
    }
    json_object_foreach(balances->places, name, place) if (!balances->items[json_integer_value(place)].compared)
        verify_fault(verify, VERIFY_BALANCE, NOWHERE, "%s is booked on and not in the trial balance", name);
    if (balances->overflow)
        verify_fault(verify, VERIFY_BALANCE, NOWHERE, "a sum of transfers leaves int64");
    verify->result->balances = true;
    return 0;
}
