/* chart.h - the chart of accounts: every account that there is or will be, what it means, and what it has to keep
 *
 * One table, from which book.c names accounts and docs/ledger.md, `acquit ledger balance` and `acquit ledger verify` speak. The database
 * refuses names that are not in it (migration 010); a test compares the two.
 *
 * To add an account: a row in chart.c, its rule in a migration (constraint account_chart of ledger.account), its line in docs/ledger.md.
 */
#ifndef ACQUIT_LEDGER_CHART_H
#define ACQUIT_LEDGER_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum { ACCOUNT_SIZE = 96 };

enum chart_use {
    CHART_BOOKED,   /* facts of today book on it */
    CHART_RESERVED, /* the name is promised and admitted; nothing books on it yet */
    CHART_DERIVED,  /* shown from facts alone; nothing is ever booked on it, and the database refuses it */
};

enum chart_side {
    CHART_DEBIT, /* what others owe us, what we paid */
    CHART_CREDIT,
    CHART_NEVER, /* has no balance: what is on it is pending */
};

/* What has to be back at zero within the limit, or somebody has to look. */
enum chart_transit {
    CHART_STAYS,   /* nothing */
    CHART_PENDING, /* each item that is pending on it */
    CHART_BALANCE, /* its balance */
};

struct chart_row {
    const char *kind; /* "receivable" */
    const char *of;   /* "provider": one account each; NULL: one account in all */
    const char *meaning;
    enum chart_use use;
    enum chart_side side; /* on which side its balance belongs */
    enum chart_transit transit;
    const char *limit; /* the setting that says how long, in milliseconds; NULL for CHART_STAYS */
    bool may_floor;    /* may be declared a floor (docs/adr/0017) */
};

/* Row i, in the order in which people read them; NULL behind the last. */
const struct chart_row *chart_row(size_t i);

/* The row of an account's name, "receivable:stripe"; NULL: no such account is in the chart. */
const struct chart_row *chart_find(const char *account);

/* "receivable:stripe" from "receivable" and "stripe", or from "commission" and NULL. ERR_INTERNAL when there is no `of` to name, ERR_LIMIT
 * when it does not fit: a name cut short would be another account. A kind that the chart lacks is our bug and panics. */
int chart_name(const char *kind, const char *of, char ret[static ACCOUNT_SIZE], struct err *err) MUST_CHECK;

/* As people read them: "receivable:<provider>"; "credit"; "booked". */
const char *chart_form(const struct chart_row *row, char ret[static ACCOUNT_SIZE]);
const char *chart_side_text(enum chart_side side);
const char *chart_use_text(enum chart_use use);

#endif
