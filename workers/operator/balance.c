/* balance.c - from transfers to balances per account, and how they are shown */
#include "workers/operator/balance.h"

#include <string.h>

#include "common/json.h"
#include "common/money.h"
#include "ledger/book.h"
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

/* The books as they are being added up; the first sum that leaves int64 is the end. */
struct sums {
    json_t *rows;
    struct err *err;
    bool failed;
};

static void add(struct sums *sums, json_t *row, const char *member, int64_t amount)
{
    int64_t sum = json_int(row, member, 0);
    if (money_add(sum, amount, &sum, sums->err) == 0)
        json_object_set_new(row, member, json_integer(sum));
    else
        sums->failed = true;
}

static void add_posted(struct sums *sums, const json_t *transfer)
{
    const char *currency = json_text(transfer, "currency", "");
    int64_t amount = json_int(transfer, "amount", 0);
    json_t *row = account_row(sums->rows, json_text(transfer, "debit", ""), currency);
    add(sums, row, "debits", amount);
    add(sums, row, "balance", amount);
    row = account_row(sums->rows, json_text(transfer, "credit", ""), currency);
    add(sums, row, "credits", amount);
    add(sums, row, "balance", -amount);
}

static void add_pending(struct sums *sums, const json_t *transfer, int sign)
{
    const char *currency = json_text(transfer, "currency", "");
    int64_t amount = sign * json_int(transfer, "amount", 0);
    add(sums, account_row(sums->rows, json_text(transfer, "debit", ""), currency), "pendingDebits", amount);
    add(sums, account_row(sums->rows, json_text(transfer, "credit", ""), currency), "pendingCredits", amount);
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

static bool is_in_doubt(const json_t *transfer, const struct facts *facts)
{
    char answer[SLOT_SIZE];
    return !facts_find(facts, book_doubt_answer(json_text(transfer, "slot", ""), answer));
}

static void add_transfer(struct sums *sums, const json_t *transfers, const json_t *transfer, const struct facts *facts)
{
    const char *kind = json_text(transfer, "kind", "");
    const json_t *hold = hold_of(transfers, json_text(transfer, "pendingOf", ""));
    if (hold) /* posting or voiding a hold ends all of it, whatever part was posted */
        add_pending(sums, hold, -1);
    if (strcmp(kind, "hold") == 0 || (strcmp(kind, "in_doubt") == 0 && is_in_doubt(transfer, facts)))
        add_pending(sums, transfer, 1);
    if (strcmp(kind, "post") == 0 || strcmp(kind, "transfer") == 0)
        add_posted(sums, transfer);
}

json_t *balance_of(const json_t *transfers, const struct facts *facts, struct err *err)
{
    struct sums sums = {.rows = json_array(), .err = err};
    for (size_t i = 0; i < json_array_size(transfers); i++)
        add_transfer(&sums, transfers, json_array_get(transfers, i), facts);
    if (!sums.failed)
        return sums.rows;
    json_decref(sums.rows);
    return NULL;
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

const char *balance_note(const json_t *row)
{
    const struct chart_row *account = chart_find(json_text(row, "account", ""));
    int64_t balance = json_int(row, "balance", 0);
    if (!account || account->use == CHART_DERIVED)
        return "not in the chart of accounts";
    if (balance != 0 && account->side == CHART_NEVER)
        return "has a balance, and should have none";
    if ((balance > 0 && account->side == CHART_CREDIT) || (balance < 0 && account->side == CHART_DEBIT))
        return account->side == CHART_CREDIT ? "owes us" : "is owed by us";
    return "";
}

void balance_add_notes(json_t *balances)
{
    for (size_t i = 0; i < json_array_size(balances); i++) {
        json_t *row = json_array_get(balances, i);
        const char *note = balance_note(row);
        if (note[0] != '\0')
            json_object_set_new(row, "note", json_string(note));
    }
}

void balance_print(const json_t *balances, FILE *out)
{
    static const char *const headings[] = {"ACCOUNT",         ">DEBITS",          ">CREDITS", ">BALANCE",
                                           ">PENDING DEBITS", ">PENDING CREDITS", "NOTE",     NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(balances); i++) {
        const json_t *row = json_array_get(balances, i);
        char text[5][MONEY_TEXT_MAX];
        const char *cells[] = {json_text(row, "account", ""),
                               money_of(row, "debits", text[0]),
                               money_of(row, "credits", text[1]),
                               money_of(row, "balance", text[2]),
                               money_of(row, "pendingDebits", text[3]),
                               money_of(row, "pendingCredits", text[4]),
                               json_text(row, "note", "")};
        table_row(table, cells);
    }
    table_print(table, "no transfers", out);
    table_free(table);
}
