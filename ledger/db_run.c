/* db_run.c - statements in pipeline mode, and their rows
 *
 * A call queues everything it has to say, flushes and reads at the same time (a server that cannot write stops reading), and waits for the
 * answers until its deadline. What is promised about the outcome of a transaction stands in db.h; how it is judged:
 *
 *     nothing queued yet, or COMMIT not yet queued     ERR_AGAIN    surely not committed
 *     the server said why before it came to COMMIT     by SQLSTATE  surely not committed
 *     COMMIT answered "COMMIT" and nobody warned       0            surely committed, whatever comes behind it
 *     anything else: silence, reset, a warning         ERR_UNKNOWN
 *
 * In a pipeline a warning cannot be pinned to one statement, so any warning within the call makes its COMMIT
 * unknown; our statements give none. A statement outside a transaction that is no SELECT is judged as if it were its
 * own COMMIT.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "ledger/db_internal.h"

enum {
    DB_STATEMENTS_MAX = 32, /* of one call */
};

/* --- statements: the pipeline --- */

enum item_kind { ITEM_PREPARE, ITEM_BEGIN, ITEM_STATEMENT, ITEM_COMMIT, ITEM_SYNC };

/* What was queued, in order; answers come in the same order. */
struct item {
    enum item_kind kind;
    size_t statement; /* of PREPARE, STATEMENT: which */
    int prepared;     /* of PREPARE: its number in this connection */
};

struct run {
    struct db *db;
    const struct db_statement *statements;
    size_t count;
    bool transaction;
    int64_t deadline_ms;
    struct item items[3 * DB_STATEMENTS_MAX + 4];
    size_t item_count;
    bool commit_queued;
    bool committed;        /* COMMIT answered "COMMIT" */
    bool failed_at_commit; /* the error that counts came as the answer to COMMIT, or after it */
    struct verdict verdict;
    PGresult *results[DB_STATEMENTS_MAX];
};

static void name_prepared(int n, char ret[static 16])
{
    snprintf(ret, 16, "s%d", n);
}

/* By the text, not by its address: a buffer that is used again for another statement must not run the first one. */
static int find_prepared(const struct db *db, const char *sql)
{
    for (int i = 0; i < db->prepared_count; i++)
        if (db->prepared[i] != NULL && strcmp(db->prepared[i], sql) == 0)
            return i;
    return -1;
}

static struct item *add_item(struct run *run, enum item_kind kind)
{
    struct item *item = &run->items[run->item_count++];
    item->kind = kind;
    return item;
}

/* Queues what prepares statement i, unless this connection has it, or has no room. */
static bool queue_prepare(struct run *run, size_t i)
{
    struct db *db = run->db;
    const char *sql = run->statements[i].sql;
    char name[16];
    if (find_prepared(db, sql) >= 0 || db->prepared_count == DB_PREPARED_MAX)
        return true;
    struct item *item = add_item(run, ITEM_PREPARE);
    item->statement = i;
    item->prepared = db->prepared_count;
    db->prepared[db->prepared_count++] = mem_text(sql); /* noted now, so that names go on; forgotten if it fails */
    name_prepared(item->prepared, name);
    return PQsendPrepare(db->conn, name, sql, 0, NULL) == 1;
}

static bool queue_statement(struct run *run, size_t i)
{
    const struct db_statement *s = &run->statements[i];
    int prepared = find_prepared(run->db, s->sql);
    char name[16];
    add_item(run, ITEM_STATEMENT)->statement = i;
    if (prepared < 0)
        return PQsendQueryParams(run->db->conn, s->sql, s->param_count, NULL, s->params, NULL, NULL, 0) == 1;
    name_prepared(prepared, name);
    return PQsendQueryPrepared(run->db->conn, name, s->param_count, s->params, NULL, NULL, 0) == 1;
}

static bool queue_text(struct run *run, enum item_kind kind, const char *sql)
{
    add_item(run, kind);
    return PQsendQueryParams(run->db->conn, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

static bool queue_sync(struct run *run)
{
    add_item(run, ITEM_SYNC);
    return PQpipelineSync(run->db->conn) == 1;
}

/* Before anything else: a transaction that has seen something cannot change what it sees. */
static bool queue_snapshot(struct run *run)
{
    char sql[64 + DB_SNAPSHOT_SIZE];
    snprintf(sql, sizeof sql, "set transaction snapshot '%s'", run->db->snapshot);
    return !*run->db->snapshot || (queue_text(run, ITEM_BEGIN, DB_BEGIN_READING) && queue_text(run, ITEM_BEGIN, sql));
}

/* One Sync ends the whole: an error skips everything after it, COMMIT included. */
static bool queue_transaction(struct run *run)
{
    bool ok = *run->db->snapshot || queue_text(run, ITEM_BEGIN, "begin isolation level read committed");
    for (size_t i = 0; ok && i < run->count; i++)
        ok = queue_statement(run, i);
    if (!ok)
        return false;
    run->commit_queued = true;
    return queue_text(run, ITEM_COMMIT, "commit") && queue_sync(run);
}

/* Each with a Sync of its own: one that fails does not take the others with it. */
static bool queue_singles(struct run *run)
{
    bool ok = true;
    for (size_t i = 0; ok && i < run->count; i++)
        ok = queue_statement(run, i) && queue_sync(run);
    return ok;
}

static bool queue_all(struct run *run)
{
    bool ok = PQenterPipelineMode(run->db->conn) == 1 && queue_snapshot(run);
    for (size_t i = 0; ok && i < run->count; i++)
        ok = queue_prepare(run, i);
    return ok && (run->transaction ? queue_transaction(run) : queue_singles(run));
}

static void keep(struct run *run, const struct item *item, PGresult *result)
{
    switch (item->kind) {
    case ITEM_STATEMENT:
        PQclear(run->results[item->statement]);
        run->results[item->statement] = result;
        return;
    case ITEM_COMMIT:
        run->committed = strcmp(PQcmdStatus(result), "COMMIT") == 0;
        break;
    case ITEM_PREPARE:
    case ITEM_BEGIN:
    case ITEM_SYNC:
        break;
    }
    PQclear(result);
}

static void take(struct run *run, const struct item *item, PGresult *result)
{
    switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        keep(run, item, result);
        return;
    case PGRES_FATAL_ERROR:
        run->failed_at_commit |= !failed(&run->verdict) && item->kind >= ITEM_COMMIT;
        db_note_error(run->db, result, &run->verdict);
        break;
    case PGRES_PIPELINE_ABORTED:
    case PGRES_PIPELINE_SYNC:
        break;
    case PGRES_EMPTY_QUERY:
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_SINGLE_TUPLE:
        run->verdict.broken = true;
        snprintf(run->verdict.text, sizeof run->verdict.text, "unexpected answer %s",
                 PQresStatus(PQresultStatus(result)));
        break;
    }
    if (item->kind == ITEM_PREPARE) { /* its name stays unused for the rest of this connection */
        free(run->db->prepared[item->prepared]);
        run->db->prepared[item->prepared] = NULL;
    }
    PQclear(result);
}

/* Reads the answer to one item, the NULL behind it included. False when there is nothing more to hear. */
static bool collect(struct run *run, const struct item *item)
{
    for (;;) {
        PGresult *result = NULL;
        enum heard heard = db_next_result(run->db, run->deadline_ms, &result);
        if (heard != HEARD_RESULT) {
            db_note_silence(run->db, heard, &run->verdict);
            return false;
        }
        if (!result)
            return true;
        bool sync = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        take(run, item, result);
        if (sync || run->verdict.broken)
            return !run->verdict.broken;
    }
}

static bool is_select(const char *sql)
{
    return strncasecmp(sql, "select", strlen("select")) == 0;
}

/* Could something of this call have been committed although it did not end well? An ERROR ends a transaction for
 * certain; a FATAL does so only before COMMIT: a session that ends while it commits may have committed. */
static bool may_have_committed(const struct run *run)
{
    if (*run->db->snapshot) /* it only reads */
        return false;
    if (run->transaction)
        return run->commit_queued && (run->verdict.broken || (run->verdict.fatal && run->failed_at_commit));
    for (size_t i = 0; i < run->count; i++)
        if (!is_select(run->statements[i].sql) &&
            (run->results[i] != NULL || !run->verdict.refused || run->verdict.fatal))
            return true;
    return false;
}

/* The error of a call that did not end well; see the table in this file's head. */
static int judge(const struct run *run, struct err *err)
{
    const struct verdict *v = &run->verdict;
    /* A session that is ended right behind its COMMIT says so in the same breath: the work is done all the same. */
    if (run->committed && run->db->warnings == 0)
        return 0;
    if (failed(v)) {
        enum err_code code = v->refused ? v->code : ERR_AGAIN;
        return err_set(err, may_have_committed(run) ? ERR_UNKNOWN : code, "database: %s", v->text);
    }
    if (run->transaction)
        return err_set(err, ERR_UNKNOWN, "database: the transaction did not end with a clean COMMIT (%d warnings)",
                       run->db->warnings);
    return 0;
}

static void hand_over(struct run *run, bool ok, struct db_result **ret)
{
    for (size_t i = 0; i < run->count; i++)
        if (ok && ret != NULL)
            ret[i] = (struct db_result *)run->results[i];
        else
            PQclear(run->results[i]);
}

int db_run(struct db *db, bool transaction, const struct db_statement *statements, size_t count, struct db_result **ret,
           struct err *err)
{
    struct run run = {.db = db, .statements = statements, .count = count, .transaction = transaction || *db->snapshot};
    if (count > DB_STATEMENTS_MAX)
        return err_set(err, ERR_LIMIT, "%zu statements in one call; at most %d", count, DB_STATEMENTS_MAX);
    run.deadline_ms = clock_monotonic_ms() + db->timeout_ms;
    if (db_ready(db, run.deadline_ms, err) != 0)
        return -1;
    if (!queue_all(&run))
        db_note_silence(db, HEARD_LOST, &run.verdict);
    for (size_t i = 0; !run.verdict.broken && i < run.item_count; i++)
        if (!collect(&run, &run.items[i]))
            break;
    int r = judge(&run, err);
    hand_over(&run, r == 0, ret);
    db_settle(db, &run.verdict);
    return r;
}

struct db_result *db_query(struct db *db, const char *sql, int param_count, const char *const *params, struct err *err)
{
    struct db_statement statement = {.sql = sql, .param_count = param_count, .params = params};
    struct db_result *result = NULL;
    return db_run(db, false, &statement, 1, &result, err) == 0 ? result : NULL;
}

const char *db_sqlstate(const struct db *db)
{
    return db->sqlstate;
}

/* --- results: a db_result is a PGresult, seen from outside --- */

static const PGresult *rows_of(const struct db_result *result)
{
    return (const PGresult *)result;
}

int db_rows(const struct db_result *result)
{
    return PQntuples(rows_of(result));
}

const char *db_value(const struct db_result *result, int row, int column)
{
    return PQgetisnull(rows_of(result), row, column) ? NULL : PQgetvalue(rows_of(result), row, column);
}

int64_t db_int(const struct db_result *result, int row, int column)
{
    const char *text = db_value(result, row, column);
    return text ? strtoll(text, NULL, 10) : 0;
}

bool db_bool(const struct db_result *result, int row, int column)
{
    const char *text = db_value(result, row, column);
    return text && text[0] == 't';
}

struct uuid db_uuid(const struct db_result *result, int row, int column)
{
    struct uuid id = {0};
    const char *text = db_value(result, row, column);
    if (text && uuid_parse(text, &id) != 0)
        log_panic("the database gave \"%s\" for a uuid", text);
    return id;
}

size_t db_size(const struct db_result *result, int row, int column)
{
    return (size_t)PQgetlength(rows_of(result), row, column);
}

void db_result_free(struct db_result *result)
{
    PQclear((PGresult *)result);
}
