/* stream_probe.c - streams and snapshots against a real PostgreSQL (ledger/db.h)
 *
 * Usage: ACQUIT_TEST_PG=<connection string of a superuser> stream_probe
 *
 * Works in a schema of its own, drops it at the end, and prints "ok - name" or "not ok - name" per check. Exit code 1 when any failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "ledger/db.h"
#include "tests/system/probe.h"

enum { TIMEOUT_MS = 3000, ROWS = 200000 };

static const char *url;

static struct db *open_db(bool read_only)
{
    const struct db_options options = {
        .url = url, .application = "stream_probe", .timeout_ms = TIMEOUT_MS, .read_only = read_only};
    return probe_db(&options);
}

static void run(struct db *db, const char *sql)
{
    struct err err = {0};
    must(db_script(db, sql, &err) == 0, sql, &err);
}

static int64_t ask(struct db *db, const char *sql)
{
    struct err err = {0};
    struct db_result *rows = db_query(db, sql, 0, NULL, &err);
    must(rows, sql, &err);
    int64_t value = db_int(rows, 0, 0);
    db_result_free(rows);
    return value;
}

/* How many rows of one bigint come; their sum. -1: it ended with an error. */
static int64_t count(struct db *db, const char *select, int64_t *ret_sum, struct err *err)
{
    struct db_row row;
    int64_t rows = 0;
    *ret_sum = 0;
    int r = db_stream(db, select, err) == 0 ? 1 : -1;
    while (r == 1 && (r = db_stream_next(db, &row, err)) == 1) {
        *ret_sum += db_take_int(&row, 8);
        must(db_row_good(&row), "a row", err);
        rows++;
    }
    return r == 0 ? rows : -1;
}

static void test_rows(struct db *db)
{
    struct err err = {0};
    int64_t sum;
    check(count(db, "select n::bigint from generate_series(1, 200000) n", &sum, &err) == ROWS &&
              sum == (int64_t)ROWS * (ROWS + 1) / 2,
          "every row comes once");
    check(count(db, "select 1::bigint where false", &sum, &err) == 0, "none, where there is none");
    check(ask(db, "select 7") == 7, "the connection goes on");
    struct db_row row;
    check(db_stream_next(db, &row, &err) == 0, "nothing comes where nothing was asked");
}

static void test_types(struct db *db)
{
    struct err err = {0};
    struct db_row row;
    must(db_stream(db,
                   "select '00010203-0405-0607-0809-0a0b0c0d0e0f'::uuid, '2026-11-20 10:00:00.123456Z'::timestamptz, "
                   "'2000-01-03'::date, '18446744073709551615'::xid8, -3::smallint, 'caf\xc3\xa9'::text, null::text, "
                   "'EUR'::char(3), '{\"a\": 1}'::jsonb, '\\x00ff'::bytea",
                   &err) == 0,
         "a stream", &err);
    must(db_stream_next(db, &row, &err) == 1, "a row", &err);
    struct uuid id = db_take_uuid(&row);
    bool good = id.bytes[0] == 0 && id.bytes[15] == 15;
    good = good && db_take_int(&row, 8) == 848484000123456 && db_take_int(&row, 4) == 2;
    good = good && db_take_int(&row, 8) == -1 && db_take_int(&row, 2) == -3;
    struct text cafe = db_take_text(&row), none = db_take_text(&row), currency = db_take_text(&row);
    good = good && cafe.size == 5 && !none.data && currency.size == 3;
    struct text body = db_take_jsonb(&row), bytes = db_take_text(&row);
    good = good && body.size == 8 && memcmp(body.data, "{\"a\": 1}", 8) == 0 && bytes.size == 2;
    check(good && db_row_good(&row), "every type is what it was");
    check(db_stream_next(db, &row, &err) == 0, "and one row is one row");
}

static void test_errors(struct db *db)
{
    struct err err = {0};
    int64_t sum;
    check(count(db, "select no_such_column", &sum, &err) == -1 && err.code == ERR_INTERNAL &&
              strcmp(db_sqlstate(db), "42703") == 0,
          "a SELECT that is wrong is told");
    check(ask(db, "select 1") == 1, "and the connection goes on");
    err = (struct err){0};
    check(count(db, "select 10 / (50000 - n)::bigint from generate_series(1, 60000) n", &sum, &err) == -1 &&
              err.code == ERR_INVALID,
          "an error in the middle is no end");
    check(ask(db, "select 1") == 1, "and the connection goes on, too");
    err = (struct err){0};
    int64_t before = clock_monotonic_ms();
    check(count(db, "select pg_sleep(20) is null, 1::bigint", &sum, &err) == -1 && err.code == ERR_AGAIN,
          "a server that does not go on is not waited for");
    check(clock_monotonic_ms() - before < 3 * TIMEOUT_MS, "longer than the deadline");
}

static void test_early_end(struct db *db)
{
    struct err err = {0};
    struct db_row row;
    must(db_stream(db, "select n::bigint from generate_series(1, 200000) n", &err) == 0, "a stream", &err);
    must(db_stream_next(db, &row, &err) == 1, "a row", &err);
    db_stream_end(db);
    check(ask(db, "select 3") == 3, "a stream can be ended early");
}

static void test_lost(struct db *db, struct db *admin)
{
    struct err err = {0};
    struct db_row row;
    must(db_stream(db, "select n::bigint, repeat('x', 1000) from generate_series(1, 200000) n", &err) == 0, "a stream",
         &err);
    run(admin, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'stream_probe' and "
               "query like 'copy%'");
    int r;
    while ((r = db_stream_next(db, &row, &err)) == 1)
        ;
    check(r == -1 && err.code == ERR_AGAIN, "a connection that is lost is no end");
    check(ask(db, "select 4") == 4, "and the next call has a new one");
}

static void test_snapshot(struct db *admin)
{
    char snapshot[DB_SNAPSHOT_SIZE];
    struct err err = {0};
    struct db *holder = open_db(true), *one = open_db(true), *two = open_db(false);
    int64_t sum;
    must(db_snapshot_hold(holder, snapshot, &err) == 0, "a snapshot", &err);
    db_snapshot_use(one, snapshot);
    db_snapshot_use(two, snapshot);
    run(admin, "insert into stream_probe.number select 2");
    check(ask(one, "select count(*) from stream_probe.number") == 1 &&
              ask(two, "select count(*) from stream_probe.number") == 1,
          "all see what was there");
    check(count(one, "select n from stream_probe.number", &sum, &err) == 1 && sum == 1, "streams, too");
    check(ask(admin, "select count(*) from stream_probe.number") == 2, "others see what is there now");
    check(!db_query(two, "insert into stream_probe.number select 3 returning n", 0, NULL, &err), "nobody writes in it");
    check(!db_snapshot_lost(holder), "it is held");
    run(admin, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'stream_probe' and "
               "state = 'idle in transaction'");
    while (!db_snapshot_lost(holder)) /* bounded by the test's own deadline */
        ;
    check(true, "until it is lost");
    err = (struct err){0};
    check(db_stream(one, "select n from stream_probe.number", &err) != 0, "and then it is refused");
    db_free(holder);
    db_free(one);
    db_free(two);
}

int main(void)
{
    url = getenv("ACQUIT_TEST_PG");
    log_open("stream_probe", LOG_ERROR_LEVEL);
    if (!url) {
        fprintf(stderr, "stream_probe: set ACQUIT_TEST_PG to the connection string of a superuser\n");
        return 2;
    }
    struct db *admin = open_db(false), *db = open_db(true);
    run(admin,
        "create schema stream_probe; create table stream_probe.number (n bigint); insert into stream_probe.number "
        "select 1");
    test_rows(db);
    test_types(db);
    test_errors(db);
    test_early_end(db);
    test_lost(db, admin);
    test_snapshot(admin);
    run(admin, "drop schema stream_probe cascade");
    db_free(db);
    db_free(admin);
    printf("# %d failed\n", failures);
    return failures > 0;
}
