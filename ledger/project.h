/* project.h - what the facts of a payment give in the tables of schema view (L3)
 *
 * Pure: no clock, no I/O, and the same rows whatever the order of the facts. So the tables can be thrown away at any time and written again to the
 * byte. A change of what is given here is a migration, too: it empties the tables and sets view.progress to the beginning.
 *
 * A row is a JSON object whose members are the table's columns (ledger/schema/009_views.sql); times are texts in UTC
 * with milliseconds, and what is null is left out.
 */
#ifndef ACQUIT_LEDGER_PROJECT_H
#define ACQUIT_LEDGER_PROJECT_H

#include "ledger/saga.h"

/* Tables of schema view, and the column of their keys behind payment_id. */
/* clang-format off */
#define VIEW_TABLES(X)                                                                                                 \
    X(PAYMENT, "payment", "payment_id") X(ATTEMPT, "attempt", "attempt_number") X(REFUND, "refund", "refund_number")   \
    X(COMMISSION, "commission", "capture_number")
/* clang-format on */
enum view_table {
#define X(id, name, key) VIEW_##id,
    VIEW_TABLES(X)
#undef X
};
enum {
#define X(id, name, key) +1
    VIEW_TABLE_COUNT = 0 VIEW_TABLES(X)
#undef X
};

/* Rows per table, arrays of objects. */
struct projection {
    json_t *rows[VIEW_TABLE_COUNT]; /* owned */
};
void projection_init(struct projection *ret);
void projection_clear(struct projection *projection);

/* Adds the rows of one payment: none as long as it is not received. False for facts that contradict each other: they give one row, with
 * `contradiction`, and nothing else. */
bool project(const struct facts *facts, struct projection *projection);

/* The same, cell by cell: rows of a table in the order of their keys, the columns of a row in one order. A cell that is null is left out. */
struct project_sink {
    void (*begin)(void *arg, enum view_table table); /* a row */
    void (*text)(void *arg, const char *column, const char *text);
    void (*integer)(void *arg, const char *column, int64_t n);
    void (*flag)(void *arg, const char *column, bool flag);
    void (*time)(void *arg, const char *column, int64_t wall_ms);
    void (*uuid)(void *arg, const char *column, struct uuid id);
    void (*object)(void *arg, const char *column, json_t *object); /* borrowed */
    void *arg;
};
/* `payment` is the fold of the facts; NULL: they contradict each other. */
void project_cells(const struct facts *facts, const struct payment *payment, const struct project_sink *sink);

/* The words that lists and answers use. */
const char *attempt_status(const struct authorization *authorization);
const char *refund_status(const struct refund *refund);
/* The authorization that counts: the captured one, else the last one tried; NULL when none was. */
const struct authorization *current_authorization(const struct payment *payment);

/* The place in a list behind a row of it, "<createdAtMs>-<seq>", as people and programs are given it and give it back. */
enum { PROJECTION_PLACE_SIZE = 48 };
void projection_place(const json_t *row, char ret[static PROJECTION_PLACE_SIZE]);
int projection_place_parse(const char *text, int64_t *ret_ms, int64_t *ret_seq) MUST_CHECK; /* -1: it is none */

#endif
