/* verify_views.c - are the projections of schema view what the facts give?
 *
 * Cell by cell, as project.c gives them and the streams have them, which takes little. Where a cell seems to differ, and the keeper has not just
 * still to come to the payment, the server is asked about this payment (projection.h), and what it says counts: texts of whole rows.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "ledger/projection.h"
#include "ledger/verify_internal.h"

#define NAME(column) #column,
static const char *const payment_columns[] = {VIEW_PAYMENT_COLUMNS(NAME) NULL};
static const char *const attempt_columns[] = {VIEW_ATTEMPT_COLUMNS(NAME) NULL};
static const char *const refund_columns[] = {VIEW_REFUND_COLUMNS(NAME) NULL};
static const char *const commission_columns[] = {VIEW_COMMISSION_COLUMNS(NAME) NULL};
static const char *const *const columns[VIEW_TABLE_COUNT] = {[VIEW_PAYMENT] = payment_columns,
                                                             [VIEW_ATTEMPT] = attempt_columns,
                                                             [VIEW_REFUND] = refund_columns,
                                                             [VIEW_COMMISSION] = commission_columns};

static const int64_t us_to_2000 = INT64_C(946684800000000);

struct views {
    struct verify *verify;
    struct dossiers *dossiers;
    struct db *db; /* to ask about a payment; NULL: nothing was asked yet */
    int64_t unprojected;

    /* the payment being compared */
    bool same;
    int r; /* of the streams */
    struct err *err;
    int64_t facts; /* that its stored row was made of; -1: it has none */
    enum view_table table;
    struct db_row *row;        /* stored; NULL: it is not there, or differs already */
    const char *const *column; /* its next one */
};

struct views *views_new(struct verify *verify, struct dossiers *dossiers)
{
    struct views *views = mem_new(1, sizeof *views);
    views->verify = verify;
    views->dossiers = dossiers;
    return views;
}

void views_free(struct views *views)
{
    if (!views)
        return;
    db_free(views->db);
    free(views);
}

int64_t views_unprojected(const struct views *views)
{
    return views->unprojected;
}

int views_progress(struct verify *verify, struct err *err)
{
    struct db_result *rows = db_query(verify->db, "select last_xid, last_seq from view.progress", 0, NULL, err);
    if (!rows)
        return -1;
    if (db_rows(rows) > 0)
        verify->projected = (struct place){strtoull(db_value(rows, 0, 0), NULL, 10), db_int(rows, 0, 1)};
    db_result_free(rows);
    return 0;
}

/* --- cells --- */

static void differ(struct views *views)
{
    views->same = false;
    views->row = NULL;
}

/* The stored row that stands at this column; those before it have to be null. NULL: they differ already. */
static struct db_row *reach(struct views *views, const char *column)
{
    if (!views->row)
        return NULL;
    while (*views->column && strcmp(*views->column, column) != 0) {
        if (db_take_text(views->row).data)
            break;
        views->column++;
    }
    if (!*views->column || strcmp(*views->column, column) != 0) {
        differ(views);
        return NULL;
    }
    views->column++;
    return views->row;
}

static void expect(struct views *views, bool equal)
{
    if (!equal || (views->row && views->row->bad))
        differ(views);
}

/* What was not given has to be null. */
static void end_row(struct views *views)
{
    for (; views->row && *views->column; views->column++)
        if (db_take_text(views->row).data)
            differ(views);
    if (views->row && !db_row_good(views->row))
        differ(views);
    views->row = NULL;
}

static void on_row(void *arg, enum view_table table)
{
    struct views *views = arg;
    end_row(views);
    views->table = table;
    views->column = columns[table];
    if (views->r >= 0)
        views->r = dossiers_view(views->dossiers, table, &views->row, views->err);
    if (views->r != 1)
        differ(views);
}

static void on_text(void *arg, const char *column, const char *text)
{
    struct db_row *row = reach(arg, column);
    if (row)
        expect(arg, text_equal(db_take_text(row), text_from(text)));
}

/* Of 2, 4 or 8 bytes. */
static void on_integer(void *arg, const char *column, int64_t n)
{
    struct views *views = arg;
    struct db_row *row = reach(views, column);
    if (!row)
        return;
    int64_t stored = db_take_integer(row);
    if (views->table == VIEW_PAYMENT && views->column == payment_columns + 1)
        views->facts = stored;
    expect(views, stored == n);
}

static void on_flag(void *arg, const char *column, bool flag)
{
    struct db_row *row = reach(arg, column);
    if (row)
        expect(arg, db_take_bool(row) == flag);
}

static void on_time(void *arg, const char *column, int64_t wall_ms)
{
    struct db_row *row = reach(arg, column);
    if (row)
        expect(arg, db_take_int(row, 8) == wall_ms * 1000 - us_to_2000);
}

static void on_uuid(void *arg, const char *column, struct uuid id)
{
    struct db_row *row =
        strcmp(column, "payment_id") == 0 ? NULL : reach(arg, column); /* the stream is ordered by it */
    if (row)
        expect(arg, uuid_equal(db_take_uuid(row), id));
}

/* Two reals that are equal may be written in two ways: that is for the server to see. */
static bool has_real(const json_t *value)
{
    const char *key;
    const json_t *member;
    json_object_foreach((json_t *)value, key, member) if (has_real(member)) return true;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (has_real(json_array_get(value, i)))
            return true;
    return json_is_real(value);
}

static void on_object(void *arg, const char *column, json_t *object)
{
    struct db_row *row = reach(arg, column);
    if (!row)
        return;
    struct text text = db_take_jsonb(row);
    json_auto_t *stored = text.data ? verify_body(text, true) : NULL;
    expect(arg, stored && json_equal(stored, object) && !has_real(object));
}

/* --- a payment --- */

/* Rows that the facts do not give. */
static void end_tables(struct views *views)
{
    struct db_row *row;
    end_row(views);
    for (int table = 0; views->r >= 0 && table < VIEW_TABLE_COUNT; table++)
        while ((views->r = dossiers_view(views->dossiers, (enum view_table)table, &row, views->err)) == 1)
            differ(views);
}

static void on_fault(void *arg, const struct projection_fault *fault)
{
    struct verify *verify = arg;
    const struct verify_place place = {.payment = fault->payment, .block = -1};
    const char *space = *fault->row ? " " : "";
    if (!*fault->column)
        verify_fault(verify, VERIFY_PROJECTION, place, "view.%s%s%s %s", fault->table, space, fault->row,
                     fault->stored ? "has a row that the facts do not give" : "lacks its row");
    else
        verify_fault(verify, VERIFY_PROJECTION, place, "view.%s%s%s has %s %s, but the facts give %s", fault->table,
                     space, fault->row, fault->column, fault->stored ? fault->stored : "null",
                     fault->given ? fault->given : "null");
}

static int ask_server(struct views *views, const struct dossier *dossier, struct err *err)
{
    struct projection_result result;
    if (!views->db)
        views->db = verify_connect(views->verify, err);
    if (!views->db)
        return -1;
    const struct projection_check check = {
        .db = views->db, .payment = &dossier->facts.payment_id, .fault = on_fault, .arg = views->verify};
    return projection_check(&check, &result, err);
}

int views_compare(struct views *views, const struct dossier *dossier, const struct payment *payment, struct err *err)
{
    const struct project_sink sink = {.begin = on_row,
                                      .text = on_text,
                                      .integer = on_integer,
                                      .flag = on_flag,
                                      .time = on_time,
                                      .uuid = on_uuid,
                                      .object = on_object,
                                      .arg = views};
    if (dossiers_views_broken(views->dossiers)->code != ERR_NONE)
        return 0;
    views->same = true;
    views->r = 0;
    views->err = err;
    views->facts = -1;
    views->row = NULL;
    project_cells(&dossier->facts, payment, &sink);
    end_tables(views);
    if (views->r < 0 || views->same)
        return views->r < 0 ? -1 : 0;
    if (dossier->unprojected && views->facts < (int64_t)dossier->facts.count) {
        views->unprojected++;
        return 0;
    }
    return ask_server(views, dossier, err);
}
