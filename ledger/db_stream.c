/* db_stream.c - a snapshot that several connections see, and rows that come one at a time
 *
 * A stream is a COPY in binary format: the server sends its rows as fast as they are taken, and keeps none of them; neither do we.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "ledger/db_internal.h"

enum {
    DB_STREAM_MEMORY_MB = 64, /* of the server, for each sort of a stream; beyond that it uses its disk */
    DB_STREAM_SETUP_SIZE = 512,
};

/* --- a snapshot that several see --- */

/* However long what others read in it takes. */
int db_snapshot_hold(struct db *db, char ret[static DB_SNAPSHOT_SIZE], struct err *err)
{
    struct verdict verdict = {0};
    char tag[TAG_SIZE];
    int64_t deadline_ms = clock_monotonic_ms() + db->timeout_ms;
    PGresult *result = NULL;
    if (db_ready(db, deadline_ms, err) != 0)
        return -1;
    db_simple(db, DB_BEGIN_READING "; set local idle_in_transaction_session_timeout = 0", deadline_ms, &verdict, tag);
    if (!failed(&verdict) && PQsendQuery(db->conn, "select pg_export_snapshot()") == 0)
        db_note_silence(db, HEARD_LOST, &verdict);
    while (!failed(&verdict)) {
        enum heard heard = db_next_result(db, deadline_ms, &result);
        if (heard != HEARD_RESULT)
            db_note_silence(db, heard, &verdict);
        if (heard != HEARD_RESULT || !result)
            break;
        if (PQresultStatus(result) == PGRES_TUPLES_OK)
            snprintf(ret, DB_SNAPSHOT_SIZE, "%s", PQgetvalue(result, 0, 0));
        else
            db_note_error(db, result, &verdict);
        PQclear(result);
    }
    if (!failed(&verdict))
        return 0;
    db_settle(db, &verdict);
    return err_set(err, verdict.refused ? verdict.code : ERR_AGAIN, "database: %s", verdict.text);
}

bool db_snapshot_lost(struct db *db)
{
    return !db->conn || db_gone(db) || PQtransactionStatus(db->conn) != PQTRANS_INTRANS;
}

void db_snapshot_use(struct db *db, const char snapshot[static DB_SNAPSHOT_SIZE])
{
    snprintf(db->snapshot, sizeof db->snapshot, "%s", snapshot);
}

/* --- a stream of rows --- */

static void forget_message(struct db *db)
{
    PQfreemem(db->message);
    db->message = NULL;
}

static int stream_failed(struct db *db, const struct verdict *verdict, struct err *err)
{
    forget_message(db);
    db->streaming = false;
    db_settle(db, verdict);
    return err_set(err, verdict->refused ? verdict->code : ERR_AGAIN, "database: %s", verdict->text);
}

/* The server says that a COPY begins, or why not. */
static void begin_copy(struct db *db, const char *select, int64_t deadline_ms, struct verdict *verdict)
{
    char *sql = NULL;
    PGresult *result = NULL;
    if (asprintf(&sql, "copy (%s) to stdout (format binary)", select) < 0)
        log_panic("out of memory");
    enum heard heard = PQsendQuery(db->conn, sql) ? db_next_result(db, deadline_ms, &result) : HEARD_LOST;
    free(sql);
    if (heard != HEARD_RESULT)
        db_note_silence(db, heard, verdict);
    else if (PQresultStatus(result) != PGRES_COPY_OUT)
        db_note_error(db, result, verdict);
    PQclear(result);
}

/* Its statement may take any time; who reads it does not wait longer than the timeout for any part. */
int db_stream(struct db *db, const char *select, struct err *err)
{
    struct verdict verdict = {0};
    char setup[DB_STREAM_SETUP_SIZE], tag[TAG_SIZE];
    int64_t deadline_ms = clock_monotonic_ms() + db->timeout_ms;
    if (db_ready(db, deadline_ms, err) != 0)
        return -1;
    snprintf(setup, sizeof setup,
             DB_BEGIN_READING "; %s%s%s set local statement_timeout = 0; set local work_mem = '%dMB'",
             *db->snapshot ? "set transaction snapshot '" : "", db->snapshot, *db->snapshot ? "';" : "",
             DB_STREAM_MEMORY_MB);
    db_simple(db, setup, deadline_ms, &verdict, tag);
    if (!failed(&verdict))
        begin_copy(db, select, deadline_ms, &verdict);
    if (failed(&verdict))
        return stream_failed(db, &verdict, err);
    db->streaming = true;
    db->stream_begun = false;
    return 0;
}

/* What the server says behind the last row. */
static void end_copy(struct db *db, struct verdict *verdict)
{
    int64_t deadline_ms = clock_monotonic_ms() + db->timeout_ms;
    char tag[TAG_SIZE];
    for (PGresult *result = NULL;; PQclear(result)) {
        enum heard heard = db_next_result(db, deadline_ms, &result);
        if (heard != HEARD_RESULT)
            db_note_silence(db, heard, verdict);
        if (heard != HEARD_RESULT || !result)
            break;
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            db_note_error(db, result, verdict);
    }
    if (!failed(verdict))
        db_simple(db, "commit", deadline_ms, verdict, tag);
}

/* The size of the stream's next message; -1: there is no more, for a reason or not. */
static int next_message(struct db *db, struct verdict *verdict)
{
    int64_t deadline_ms = 0;
    forget_message(db);
    for (;;) {
        int size = PQgetCopyData(db->conn, &db->message, 1);
        if (size > 0)
            return size;
        if (size == -2)
            db_note_silence(db, HEARD_LOST, verdict);
        else if (size == -1)
            end_copy(db, verdict);
        if (size < 0)
            return -1;
        if (deadline_ms == 0)
            deadline_ms = clock_monotonic_ms() + db->timeout_ms;
        int n = db_wait_for(db, POLLIN, deadline_ms);
        if (n <= 0 || PQconsumeInput(db->conn) == 0) {
            db_note_silence(db, n == 0 ? HEARD_LATE : HEARD_LOST, verdict);
            return -1;
        }
    }
}

int db_stream_next(struct db *db, struct db_row *ret, struct err *err)
{
    struct verdict verdict = {0};
    if (!db->streaming)
        return 0;
    for (;;) {
        int size = next_message(db, &verdict);
        if (failed(&verdict))
            return stream_failed(db, &verdict, err);
        if (size < 0)
            break;
        int decoded = db_row_decode(db->message, (size_t)size, !db->stream_begun, ret);
        db->stream_begun = true;
        if (decoded == 1)
            return 1;
        if (decoded < 0) {
            db_stream_end(db);
            return err_set(err, ERR_INTERNAL, "database: a row that cannot be read");
        }
    }
    forget_message(db);
    db->streaming = false;
    return 0;
}

void db_stream_end(struct db *db)
{
    if (db->streaming)
        db_disconnect(db);
}
