/* verify_floor.c - the accounts: names of the chart, and floors that stand where declarations and transfers put them (chart.h, docs/adr/0017) */
#include <string.h>

#include "ledger/chart.h"
#include "ledger/verify_internal.h"

/* Every account that was opened. */
static int check_names(struct verify *verify, struct err *err)
{
    struct db_result *rows =
        db_query(verify->db, "select name, currency from ledger.account order by name, currency", 0, NULL, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows); row++) {
        const struct chart_row *found = chart_find(db_value(rows, row, 0));
        if (!found || found->use == CHART_DERIVED)
            verify_fault(verify, VERIFY_CHART, NOWHERE, "account %s in %s is open and not in the chart",
                         db_value(rows, row, 0), db_value(rows, row, 1));
    }
    db_result_free(rows);
    return 0;
}

/* One statement, so one snapshot: the ledger may go on. */
#define FLOORS                                                                                                         \
    "select coalesce(d.name, b.name), coalesce(d.currency, b.currency),"                                               \
    " case when b.name is null then 'has no row in floor_balance'"                                                     \
    " when d.name is null then 'has a row in floor_balance and was never declared'"                                    \
    " when b.posted - b.held < b.floor_minor and (b.posted, b.held) = (d.posted, d.held)"                              \
    " then format('has %s, below its floor %s', b.posted - b.held, b.floor_minor)"                                     \
    " else format('declaration %s, floor %s, posted %s, held %s follow from the ledger, and floor_balance has %s, %s," \
    " %s, %s', d.declaration, d.floor_minor, d.posted, d.held, b.declaration, b.floor_minor, b.posted, b.held) end"    \
    " from ledger.floor_derived d full join ledger.floor_balance b on b.name = d.name and b.currency = d.currency"     \
    " where b.name is null or d.name is null or b.posted - b.held < b.floor_minor"                                     \
    " or (d.declaration, d.floor_minor, d.posted, d.held) <> (b.declaration, b.floor_minor, b.posted, b.held)"         \
    " order by 1, 2"

static int check_floors(struct verify *verify, struct err *err)
{
    struct db_result *rows = db_query(verify->db, FLOORS, 0, NULL, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows); row++)
        verify_fault(verify, VERIFY_FLOOR, NOWHERE, "%s %s %s", db_value(rows, row, 0), db_value(rows, row, 1),
                     db_value(rows, row, 2));
    db_result_free(rows);
    return 0;
}

int verify_accounts(struct verify *verify, struct err *err)
{
    verify_progress(verify, "accounts", 0);
    if (check_names(verify, err) != 0)
        return -1;
    return check_floors(verify, err);
}

void verify_chart(struct verify *verify, const struct dossier *dossier)
{
    for (size_t i = 0; i < dossier->transfer_count; i++) {
        const struct transfer *t = &dossier->transfers[i];
        const struct chart_row *debit = chart_find(t->debit), *credit = chart_find(t->credit);
        const char *bad = !debit || debit->use == CHART_DERIVED     ? t->debit
                          : !credit || credit->use == CHART_DERIVED ? t->credit
                                                                    : NULL;
        if (bad)
            verify_fault(verify, VERIFY_CHART, (struct verify_place){dossier->id, t->slot, -1},
                         "transfer %d is booked on %s, which is not in the chart", t->leg, bad);
    }
}
