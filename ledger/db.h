/* db.h - one connection to PostgreSQL; libpq-fe.h is seen by db.c, db_run.c and db_stream.c only
 *
 * Synchronous for the caller, bounded by a deadline: statements of one call travel as one pipeline (one round trip),
 * the socket is polled until the answer or the deadline. A connection that failed is reopened by the next call, at
 * most once per back-off step (jittered), so that a caller sees ERR_AGAIN quickly while the server is away. Always
 * on the primary (target_session_attrs=read-write) unless read_only is asked for. Not thread-safe: one per thread.
 */
#ifndef ACQUIT_LEDGER_DB_H
#define ACQUIT_LEDGER_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ids.h"
#include "common/text.h"

struct db;

/* Judges a connection that was just made, before it is used; it may ask on it. An error closes it again, and is that of the call which needed it. */
typedef int db_opened(void *arg, struct db *db, struct err *err);

struct db_options {
    const char *url;         /* libpq connection string; copied */
    const char *application; /* application_name; copied */
    int64_t timeout_ms;      /* of one call, whole */
    bool read_only;
    db_opened *opened; /* may be NULL */
    void *arg;
};

/* Never connects yet. NULL only when out of memory or the string cannot be parsed. */
struct db *db_new(const struct db_options *options, struct err *err) MUST_CHECK;
void db_free(struct db *db);
/* Connects, unless it is connected: every other call does so by itself. Errors as a statement that was not sent. */
int db_connect(struct db *db, struct err *err) MUST_CHECK;

/* One statement of a call. All parameters and results are text format; NULL is a NULL pointer. */
struct db_statement {
    const char *sql; /* one statement; prepared once per connection, so use literals */
    int param_count;
    const char *const *params;
};

struct db_result; /* rows of one statement */

/* Runs the statements in one transaction when `transaction`, otherwise each for itself, in one pipeline; at most 32.
 * On success `ret[i]` (when ret is not NULL) holds the rows of statement i; free each with db_result_free(). On
 * failure ret is untouched. Errors: ERR_AGAIN: surely nothing was committed and it may be run again (server away
 * before COMMIT was sent, deadlock 40P01, serialization 40001, lock_timeout 55P03, the fence's refusal);
 * ERR_UNKNOWN: the COMMIT was sent and not cleanly answered (a warning included), or the connection broke during a
 * statement outside a transaction that is no SELECT: what it did must be looked up; ERR_SHORT: an account would fall
 * below its floor, nothing was committed; ERR_DENIED / ERR_INVALID /
 * ERR_INTERNAL: the statement is wrong or refused, nothing was committed. */
int db_run(struct db *db, bool transaction, const struct db_statement *statements, size_t count, struct db_result **ret,
           struct err *err) MUST_CHECK;

/* One statement for itself. NULL on failure, errors as above. */
struct db_result *db_query(struct db *db, const char *sql, int param_count, const char *const *params,
                           struct err *err) MUST_CHECK;
/* A script of several statements without parameters (migrations), in one transaction. */
int db_script(struct db *db, const char *script, struct err *err) MUST_CHECK;

/* --- many reads that see the same ---
 *
 * One connection keeps a snapshot of the database; others see it, for their db_run()s and their streams alike, until it is given up. */
enum { DB_SNAPSHOT_SIZE = 64 };
/* This connection keeps a snapshot from now on and does nothing else until it is freed, or db_snapshot_lost(). */
int db_snapshot_hold(struct db *db, char ret[static DB_SNAPSHOT_SIZE], struct err *err) MUST_CHECK;
/* True when what it kept is gone: the connection was lost. */
bool db_snapshot_lost(struct db *db);
/* Reads of this connection see the snapshot from now on, and it can only read. */
void db_snapshot_use(struct db *db, const char snapshot[static DB_SNAPSHOT_SIZE]);

/* --- a stream of rows: as many as there are, one at a time, as PostgreSQL's binary COPY sends them --- */

/* One row; its columns are taken in their order. */
struct db_row {
    const uint8_t *at, *end;
    int left; /* columns not taken yet */
    bool bad; /* something taken was of another size, NULL or not there */
};
/* Begins a stream, in the snapshot if one is used. `select` has no parameters. Until the stream has ended the connection does nothing else. */
int db_stream(struct db *db, const char *select, struct err *err) MUST_CHECK;
/* 1: *ret is the next row, which stands until the next call; 0: there was none more, and the stream has ended; -1: an error, it has ended
 * too. Waits at most the connection's timeout for the next bytes; the whole may take any time. */
int db_stream_next(struct db *db, struct db_row *ret, struct err *err) MUST_CHECK;
/* Ends it early, by closing the connection. Nothing to do when it has ended. */
void db_stream_end(struct db *db);

/* The next column, decoded; its type is the caller's to know. What cannot be makes the row bad and gives zeros. */
int64_t db_take_int(struct db_row *row,
                    int bytes);              /* of 2, 4 or 8 bytes; also xid8, date and timestamptz (from 2000-01-01) */
int64_t db_take_integer(struct db_row *row); /* of as many of these as it has */
bool db_take_bool(struct db_row *row);
struct uuid db_take_uuid(struct db_row *row);
struct text db_take_text(struct db_row *row);  /* text, char(n), bytea; NULL stays NULL */
struct text db_take_jsonb(struct db_row *row); /* its text */
/* All columns were taken, and were what they were taken for. */
bool db_row_good(const struct db_row *row);
/* The bytes of one message of such a stream, which may begin it (`first`). 1: a row; 0: the end; -1: neither. (db_row.c; pure) */
int db_row_decode(const void *bytes, size_t size, bool first, struct db_row *ret) MUST_CHECK;

int db_rows(const struct db_result *result);
const char *db_value(const struct db_result *result, int row, int column); /* NULL for NULL; borrowed */
int64_t db_int(const struct db_result *result, int row, int column);       /* 0 for NULL */
bool db_bool(const struct db_result *result, int row, int column);
struct uuid db_uuid(const struct db_result *result, int row, int column);
size_t db_size(const struct db_result *result, int row, int column);
void db_result_free(struct db_result *result); /* accepts NULL */

/* The SQLSTATE of the last failed call, or "". */
const char *db_sqlstate(const struct db *db);

/* A text array literal for $n::text[] and the like, built value by value; quoting is done here. Free with
 * db_array_free(). */
struct db_array {
    char *text;
    size_t size, capacity;
};
void db_array_add(struct db_array *array, const char *value); /* NULL: SQL NULL */
const char *db_array_text(struct db_array *array);            /* closes it: "{...}" */
void db_array_free(struct db_array *array);

#endif
