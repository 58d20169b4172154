/* project_keep.c - the keeper's side of the projections: payments with new facts are projected and written
 *
 * New facts are found along the index event_sealing (xid, seq), below the horizon, as the sealer finds them. Those of a payment are then read
 * whole, in a newer snapshot: what is still behind the horizon may be among them, and is found once more in a later round, when it changes nothing.
 * The writing itself is in the database (view.keep, view.replace): one statement, one transaction, one round trip.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "ledger/projection.h"
#include "ledger/read.h"

enum { NUMBER_SIZE = 24 };

/* Where view.progress stands, or is to stand. */
struct place {
    char xid[NUMBER_SIZE], seq[NUMBER_SIZE];
};

/* --- rows as parameters --- */

/* The tables' rows, each as the text of one JSON array. */
struct texts {
    char *of[VIEW_TABLE_COUNT];
};

static void texts_make(const struct projection *projection, struct texts *ret)
{
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        ret->of[table] = json_dumps(projection->rows[table], JSON_COMPACT);
}

static void texts_free(struct texts *texts)
{
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        free(texts->of[table]);
}

/* --- writing --- */

static int keep_rows(struct db *db, const struct projection *projection, const struct place *reached, struct err *err)
{
    struct texts texts;
    texts_make(projection, &texts);
    const char *params[] = {texts.of[VIEW_PAYMENT],    texts.of[VIEW_ATTEMPT],        texts.of[VIEW_REFUND],
                            texts.of[VIEW_COMMISSION], reached ? reached->xid : NULL, reached ? reached->seq : NULL};
    struct db_result *rows = db_query(
        db, "select view.keep($1::jsonb, $2::jsonb, $3::jsonb, $4::jsonb, $5::xid8, $6::bigint)", 6, params, err);
    bool good = rows;
    db_result_free(rows);
    texts_free(&texts);
    return good ? 0 : -1;
}

static bool is_among(const struct db_result *rows, struct uuid id)
{
    for (int row = 0; row < db_rows(rows); row++)
        if (uuid_equal(db_uuid(rows, row, 0), id))
            return true;
    return false;
}

int projection_replace(struct db *db, const struct facts *facts, size_t count, const struct projection *projection,
                       bool *ret_written, struct err *err)
{
    struct texts texts;
    struct db_array ids = {0}, counts = {0};
    for (size_t i = 0; i < count; i++) {
        char id[UUID_TEXT_SIZE], number[NUMBER_SIZE];
        uuid_format(facts[i].payment_id, id);
        snprintf(number, sizeof number, "%zu", facts[i].count);
        db_array_add(&ids, id);
        db_array_add(&counts, number);
    }
    texts_make(projection, &texts);
    const char *params[] = {db_array_text(&ids),    db_array_text(&counts), texts.of[VIEW_PAYMENT],
                            texts.of[VIEW_ATTEMPT], texts.of[VIEW_REFUND],  texts.of[VIEW_COMMISSION]};
    struct db_result *rows = db_query(db,
                                      "select unnest(view.replace($1::uuid[], $2::int[], $3::jsonb, $4::jsonb,"
                                      " $5::jsonb, $6::jsonb))",
                                      6, params, err);
    for (size_t i = 0; rows && i < count; i++)
        ret_written[i] = is_among(rows, facts[i].payment_id);
    bool good = rows;
    db_result_free(rows);
    texts_free(&texts);
    db_array_free(&ids);
    db_array_free(&counts);
    return good ? 0 : -1;
}

/* Rows that facts gave before they came to contradict each other are no longer what they give. */
static int replace_one(struct db *db, const struct facts *facts, struct err *err)
{
    struct projection one;
    projection_init(&one);
    project(facts, &one);
    bool written; /* else there are further facts, and the payment is in a later round */
    int r = projection_replace(db, facts, 1, &one, &written, err);
    projection_clear(&one);
    return r;
}

static int project_payments(struct db *db, const struct uuid *ids, size_t count, const struct place *reached,
                            struct err *err)
{
    struct facts facts[PROJECTION_PAYMENTS_MAX] = {0};
    struct projection projection;
    if (read_facts(db, ids, count, facts, err) != 0)
        return -1;
    projection_init(&projection);
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        if (r == 0 && !project(&facts[i], &projection))
            r = replace_one(db, &facts[i], err);
        facts_clear(&facts[i]);
    }
    if (r == 0)
        r = keep_rows(db, &projection, reached, err);
    projection_clear(&projection);
    return r;
}

/* --- what is new --- */

static int read_progress(struct db *db, struct place *ret, char ret_horizon[static NUMBER_SIZE], struct err *err)
{
    struct db_result *rows = db_query(db,
                                      "select last_xid, last_seq, ledger.horizon()"
                                      " from view.progress",
                                      0, NULL, err);
    if (!rows)
        return -1;
    int r = db_rows(rows) == 1 ? 0 : err_set(err, ERR_CONFLICT, "view.progress has no row: run `acquit migrate`");
    if (r == 0) {
        snprintf(ret->xid, sizeof ret->xid, "%s", db_value(rows, 0, 0));
        snprintf(ret->seq, sizeof ret->seq, "%s", db_value(rows, 0, 1));
        snprintf(ret_horizon, NUMBER_SIZE, "%s", db_value(rows, 0, 2));
    }
    db_result_free(rows);
    return r;
}

/* The horizon first: rows below it cannot become more after it was read. */
static struct db_result *read_new_facts(struct db *db, struct err *err)
{
    struct place from;
    char horizon[NUMBER_SIZE], most[NUMBER_SIZE];
    const char *params[] = {from.xid, from.seq, horizon, most};
    if (read_progress(db, &from, horizon, err) != 0)
        return NULL;
    snprintf(most, sizeof most, "%d", PROJECTION_FACTS_MAX);
    return db_query(db,
                    "select payment_id, xid, seq from ledger.event"
                    " where (xid, seq) > ($1::xid8, $2::bigint) and xid < $3::xid8 order by xid, seq limit $4::int",
                    4, params, err);
}

static int by_id(const void *a, const void *b)
{
    const struct uuid *x = a, *y = b;
    return uuid_compare(*x, *y);
}

static size_t distinct_ids(const struct db_result *rows, struct uuid ret[static PROJECTION_FACTS_MAX])
{
    size_t count = (size_t)db_rows(rows), kept = 0;
    for (size_t i = 0; i < count; i++)
        ret[i] = db_uuid(rows, (int)i, 0);
    qsort(ret, count, sizeof *ret, by_id);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !uuid_equal(ret[kept - 1], ret[i]))
            ret[kept++] = ret[i];
    return kept;
}

/* The last write moves view.progress on: after a crash before it the round is made again, and finds its rows written. */
static int project_rows(struct db *db, const struct db_result *rows, int *ret_payments, struct err *err)
{
    struct uuid ids[PROJECTION_FACTS_MAX];
    struct place reached;
    int last = db_rows(rows) - 1, r = 0;
    size_t count = distinct_ids(rows, ids);
    snprintf(reached.xid, sizeof reached.xid, "%s", db_value(rows, last, 1));
    snprintf(reached.seq, sizeof reached.seq, "%s", db_value(rows, last, 2));
    for (size_t done = 0; r == 0 && done < count; done += PROJECTION_PAYMENTS_MAX) {
        size_t left = count - done, page = left < PROJECTION_PAYMENTS_MAX ? left : PROJECTION_PAYMENTS_MAX;
        r = project_payments(db, ids + done, page, page == left ? &reached : NULL, err);
    }
    *ret_payments = (int)count;
    return r;
}

int projection_keep(struct db *db, int *ret_payments, struct err *err)
{
    struct db_result *rows = read_new_facts(db, err);
    *ret_payments = 0;
    if (!rows)
        return -1;
    int count = db_rows(rows);
    int r = count > 0 ? project_rows(db, rows, ret_payments, err) : 0;
    db_result_free(rows);
    return r == 0 ? count : -1;
}

int64_t projection_lag_ms(struct db *db, struct err *err)
{
    struct db_result *rows =
        db_query(db,
                 "select coalesce((select floor(extract(epoch from clock_timestamp() - at) * 1000)::bigint"
                 " from ledger.event where (xid, seq) > ((select last_xid from view.progress),"
                 " (select last_seq from view.progress)) order by xid, seq limit 1), 0)",
                 0, NULL, err);
    int64_t lag_ms = rows ? db_int(rows, 0, 0) : -1;
    if (rows && lag_ms < 0)
        lag_ms = 0; /* its clock went back */
    db_result_free(rows);
    return lag_ms;
}
