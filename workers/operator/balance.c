/* balance.c - from transfers to balances per account, and how they are shown */
#include "workers/operator/balance.h"

#include <string.h>

#include "common/json.h"
#include "common/money.h"
#include "workers/operator/table.h"

static json_t *account_row(json_t *rows, const char *account, const char *currency)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        if (strcmp(json_text(row, "account", ""), account) == 0 &&
            strcmp(json_text(row, "currency", ""), currency) == 0)
            return row;
    }
    json_t *row = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i}", "account", account, "currency", currency, "debits",
                            0, "credits", 0, "balance", 0, "pendingDebits", 0, "pendingCredits", 0);
    json_array_append_new(rows, row);
    return row;
}

/* Amounts of one payment are bounded by its own: these sums cannot leave int64 unless the books are broken, and then
 * they stay where they were. */
static void add(json_t *row, const char *member, int64_t amount)
{
    int64_t sum = json_int(row, member, 0);
    if (money_add(sum, amount, &sum, NULL) == 0)
        json_object_set_new(row, member, json_integer(sum));
}

static void add_posted(json_t *rows, const char *debit, const char *credit, const char *currency, int64_t amount)
{
    json_t *row = account_row(rows, debit, currency);
    add(row, "debits", amount);
    add(row, "balance", amount);
    row = account_row(rows, credit, currency);
    add(row, "credits", amount);
    add(row, "balance", -amount);
}

static void add_pending(json_t *rows, const char *debit, const char *credit, const char *currency, int64_t amount)
{
    add(account_row(rows, debit, currency), "pendingDebits", amount);
    add(account_row(rows, credit, currency), "pendingCredits", amount);
}

static const json_t *hold_of(const json_t *transfers, const char *slot)
{
    for (size_t i = 0; i < json_array_size(transfers); i++) {
        const json_t *row = json_array_get(transfers, i);
        if (strcmp(json_text(row, "kind", ""), "hold") == 0 && strcmp(json_text(row, "slot", ""), slot) == 0)
            return row;
    }
    return NULL;
}

/* Posting or voiding a hold ends all of it, whatever part was posted. */
static void end_hold(json_t *rows, const json_t *transfers, const json_t *by)
{
    const json_t *hold = hold_of(transfers, json_text(by, "pendingOf", ""));
    if (hold)
        add_pending(rows, json_text(hold, "debit", ""), json_text(hold, "credit", ""), json_text(hold, "currency", ""),
                    -json_int(hold, "amount", 0));
}

json_t *balance_of(const json_t *transfers)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < json_array_size(transfers); i++) {
        const json_t *row = json_array_get(transfers, i);
        const char *kind = json_text(row, "kind", ""), *currency = json_text(row, "currency", "");
        const char *debit = json_text(row, "debit", ""), *credit = json_text(row, "credit", "");
        int64_t amount = json_int(row, "amount", 0);
        if (strcmp(kind, "hold") == 0)
            add_pending(rows, debit, credit, currency, amount);
        else
            end_hold(rows, transfers, row);
        if (strcmp(kind, "post") == 0 || strcmp(kind, "transfer") == 0)
            add_posted(rows, debit, credit, currency, amount);
    }
    return rows;
}

json_t *balance_sums(const json_t *balances, struct err *err)
{
    json_t *sums = json_object();
    for (size_t i = 0; i < json_array_size(balances); i++) {
        const json_t *row = json_array_get(balances, i);
        const char *currency = json_text(row, "currency", "?");
        int64_t sum = json_int(sums, currency, 0);
        if (money_add(sum, json_int(row, "balance", 0), &sum, err) < 0) {
            json_decref(sums);
            return NULL;
        }
        json_object_set_new(sums, currency, json_integer(sum));
    }
    return sums;
}

static const char *money_of(const json_t *row, const char *member, char ret[static MONEY_TEXT_MAX])
{
    return money_format(json_int(row, member, 0), json_text(row, "currency", ""), ret);
}

void balance_print(const json_t *balances, FILE *out)
{
    static const char *const headings[] = {"ACCOUNT",         ">DEBITS",          ">CREDITS", ">BALANCE",
                                           ">PENDING DEBITS", ">PENDING CREDITS", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(balances); i++) {
        const json_t *row = json_array_get(balances, i);
        char text[5][MONEY_TEXT_MAX];
        const char *cells[] = {json_text(row, "account", ""),           money_of(row, "debits", text[0]),
                               money_of(row, "credits", text[1]),       money_of(row, "balance", text[2]),
                               money_of(row, "pendingDebits", text[3]), money_of(row, "pendingCredits", text[4])};
        table_row(table, cells);
    }
    table_print(table, "no transfers", out);
    table_free(table);
}
