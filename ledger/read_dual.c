/* read_dual.c - what an audit of dual payments reads of the ledger
 *
 * The pages walk the index of facts that begin something (schema/014_watched_wider.sql). A statement looks at `limit` rows of it,
 * whatever they are of, so that none runs long where dual payments are rare. `offset 0` keeps the planner from looking for a
 * payment's own facts in that index: all that was written since would be between them.
 */
#include "ledger/read_dual.h"

#include <stdio.h>
#include <string.h>

#include "ledger/read.h"

enum { NUMBER_SIZE = 24 /* an int64 as text */ };

/* The condition of the index event_watched, behind the table's alias and a dot. */
#define BEGINS "slot ~ '^(received|refund:[0-9]+|auth:[0-9]+:late(:doubt:[0-9]+)?|replay:.*)$'"

static const char *number(int64_t n, char ret[static NUMBER_SIZE])
{
    snprintf(ret, NUMBER_SIZE, "%lld", (long long)n);
    return ret;
}

int read_dual_now(struct db *db, struct dual_now *ret, struct err *err)
{
    struct db_result *rows = db_query(db,
                                      "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint,"
                                      " (select coalesce(max(seq), 0) from ledger.event e where e." BEGINS ")",
                                      0, NULL, err);
    if (!rows)
        return -1;
    *ret = (struct dual_now){.wall_ms = db_int(rows, 0, 0), .newest_seq = db_int(rows, 0, 1)};
    db_result_free(rows);
    return 0;
}

int read_dual_page(struct db *db, int64_t before_seq, int64_t upto_seq, int limit, struct dual_row *ret,
                   struct err *err)
{
    char before[NUMBER_SIZE], most[NUMBER_SIZE], upto[NUMBER_SIZE];
    if (limit < 1 || limit > READ_PAGE_MAX)
        return err_set(err, ERR_INVALID, "a page has 1 to %d rows", READ_PAGE_MAX);
    const char *params[] = {number(before_seq, before), number(limit, most), number(upto_seq, upto)};
    struct db_result *rows =
        db_query(db,
                 "select e.payment_id, e.seq, floor(extract(epoch from e.at) * 1000)::bigint,"
                 " coalesce(r.body->>'flow' = 'dual', false) and not exists (select from (select slot, seq"
                 " from ledger.event where began = e.began and payment_id = e.payment_id offset 0) as n"
                 " where n." BEGINS " and n.seq > e.seq and n.seq <= $3::bigint)"
                 " from (select payment_id, began, seq, at from ledger.event w where w." BEGINS
                 " and seq < $1::bigint order by seq desc limit $2::int) as e"
                 " left join lateral (select body from ledger.event f where f.began = e.began"
                 " and f.payment_id = e.payment_id and f.slot = 'received' offset 0) as r on true order by e.seq desc",
                 3, params, err);
    int count = rows ? db_rows(rows) : -1;
    for (int row = 0; row < count; row++)
        ret[row] = (struct dual_row){.payment = db_uuid(rows, row, 0),
                                     .seq = db_int(rows, row, 1),
                                     .at_ms = db_int(rows, row, 2),
                                     .wanted = db_bool(rows, row, 3)};
    db_result_free(rows);
    return count;
}

static void take_money(const struct db_result *rows, const struct uuid *ids, size_t count, struct dual_money *ret)
{
    for (int row = 0; row < db_rows(rows); row++)
        for (size_t i = 0; i < count; i++)
            if (uuid_equal(ids[i], db_uuid(rows, row, 0)))
                ret[i] = (struct dual_money){.settled = db_int(rows, row, 1), .returned = db_int(rows, row, 2)};
}

int read_dual_money(struct db *db, const struct uuid *ids, size_t count, struct dual_money *ret, struct err *err)
{
    struct db_array list = {0};
    char id[UUID_TEXT_SIZE];
    if (count > STORE_PAYMENTS_MAX)
        return err_set(err, ERR_LIMIT, "%zu payments at once; at most %d", count, STORE_PAYMENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        uuid_format(ids[i], id);
        db_array_add(&list, id);
        ret[i] = (struct dual_money){0};
    }
    const char *params[] = {db_array_text(&list)};
    struct db_result *rows =
        db_query(db,
                 "select wanted.payment_id, t.settled, t.returned"
                 " from (select distinct unnest($1::uuid[]) as payment_id) as wanted"
                 " cross join lateral (select p.began from ledger.payment p where p.payment_id = wanted.payment_id"
                 " limit 1) as home"
                 " cross join lateral (select coalesce(sum(amount) filter (where kind = 'post'), 0)::bigint as settled,"
                 " coalesce(sum(amount) filter (where kind = 'transfer' and credit like 'receivable:%'), 0)::bigint"
                 " as returned from ledger.transfer m where m.began = home.began"
                 " and m.payment_id = wanted.payment_id offset 0) as t",
                 1, params, err);
    db_array_free(&list);
    if (rows)
        take_money(rows, ids, count, ret);
    db_result_free(rows);
    return rows ? 0 : -1;
}
