/* db.c - one connection to PostgreSQL through libpq: opening, closing, errors, scripts
 *
 * Known limit: libpq resolves host names synchronously inside connect; use addresses, or names that /etc/hosts knows.
 */
#include "ledger/db.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "ledger/db_internal.h"

enum {
    DB_LOCK_TIMEOUT_MS = 2000, /* longest wait for another batch's slot; then one delivery at a time */
    DB_CLIENT_CHECK_MS = 1000, /* how soon the server notices, in the middle of a statement, that we are gone */
    DB_BACKOFF_FIRST_MS = 200, /* longest wait before the second attempt to connect; doubles */
    DB_BACKOFF_MAX_MS = 5000,  /* doubles no further from here */
    DB_ROLLBACK_MS = 1000,     /* after a refused transaction; slower than that: a new connection is cheaper */
    DB_PARAMS_OF_OURS = 8,     /* connection parameters added to the caller's */
    DB_SETTINGS_MAX = 1024,    /* bytes of the statements that set up a session */
    DB_STALE_READS_MAX = 10,   /* reads of what a server may have said while nobody asked */
};

/* --- errors --- */

/* What a SQLSTATE, or what it begins with, means for the caller; the first match wins. `reconnect`: the session is
 * of no more use. */
static const struct {
    const char *prefix;
    enum err_code code;
    bool reconnect;
} meanings[] = {
    {"AQ001", ERR_AGAIN, false},    /* the fail-over fence */
    {"AQ002", ERR_DENIED, false},   /* an insert-only table */
    {"AQ003", ERR_INVALID, false},  /* a transfer that does not fit */
    {"AQ004", ERR_INTERNAL, false}, /* a row that is not where its payment lives: we put it there */
    {"AQ005", ERR_SHORT, false},    /* an account would fall below its floor */
    {"40", ERR_AGAIN, false},       /* deadlock, serialization failure */
    {"55P03", ERR_AGAIN, false},    /* lock_timeout */
    {"57014", ERR_AGAIN, false},    /* statement_timeout, cancelled by a person */
    {"57", ERR_AGAIN, true},        /* shutting down, starting up */
    {"53", ERR_AGAIN, false},       /* disk full, out of memory, too many connections */
    {"58", ERR_AGAIN, false},       /* input/output error */
    {"08", ERR_AGAIN, true},        /* connection */
    {"25006", ERR_AGAIN, true},     /* read-only: this is no longer the primary */
    {"25P03", ERR_AGAIN, true},     /* idle in a transaction */
    {"26000", ERR_AGAIN, true},     /* a prepared statement is gone: somebody reset the session */
    {"0A000", ERR_AGAIN, true},     /* "cached plan must not change result type": migrated under us */
    {"28", ERR_DENIED, true},       /* authorization */
    {"42501", ERR_DENIED, false},   /* insufficient privilege */
    {"22", ERR_INVALID, false},     /* data */
    {"23", ERR_INVALID, false},     /* constraint */
    {"", ERR_INTERNAL, false},      /* our statement is wrong */
};

static size_t meaning_of(const char *sqlstate)
{
    size_t i = 0;
    while (strncmp(meanings[i].prefix, sqlstate, strlen(meanings[i].prefix)) != 0)
        i++;
    return i;
}

/* libpq's texts end with a newline and may have several lines; ours are one line. */
static void one_line(const char *text, char *ret, size_t size)
{
    size_t used = 0;
    for (; *text != '\0' && used + 1 < size; text++)
        ret[used++] = *text == '\n' || *text == '\t' ? ' ' : *text;
    while (used > 0 && ret[used - 1] == ' ')
        used--;
    ret[used] = '\0';
}

static const char *field(const PGresult *result, int code)
{
    const char *text = PQresultErrorField(result, code);
    return text ? text : "";
}

static bool is_fatal(const char *severity)
{
    return strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0;
}

static void notice_received(void *arg, const PGresult *result)
{
    struct db *db = arg;
    const char *severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    db->dismissed |= is_fatal(severity); /* arrives as a notice when nobody has asked anything */
    if (strcmp(severity, "WARNING") == 0) {
        db->warnings++;
        log_warn("database warns sqlstate=%s text=\"%s\"", field(result, PG_DIAG_SQLSTATE),
                 field(result, PG_DIAG_MESSAGE_PRIMARY));
        return;
    }
    log_debug("database notice sqlstate=%s text=\"%s\"", field(result, PG_DIAG_SQLSTATE),
              field(result, PG_DIAG_MESSAGE_PRIMARY));
}

/* --- opening and closing --- */

struct db *db_new(const struct db_options *options, struct err *err)
{
    struct db *db = mem_new(1, sizeof *db);
    db->options = PQconninfoParse(options->url, NULL);
    db->application = mem_text(options->application ? options->application : "acquit");
    db->timeout_ms = options->timeout_ms;
    db->read_only = options->read_only;
    db->opened = options->opened;
    db->arg = options->arg;
    if (!db->options) { /* libpq's reason would quote the string, and with it perhaps the password */
        err_set(err, ERR_CONFIG, "the database's connection string cannot be read");
        db_free(db);
        return NULL;
    }
    return db;
}

void db_disconnect(struct db *db)
{
    PQfreemem(db->message);
    db->message = NULL;
    PQfinish(db->conn);
    db->conn = NULL;
    db->dismissed = false;
    db->streaming = false;
    while (db->prepared_count > 0)
        free(db->prepared[--db->prepared_count]);
}

void db_free(struct db *db)
{
    if (!db)
        return;
    db_disconnect(db);
    PQconninfoFree(db->options);
    free(db->application);
    free(db);
}

/* Waits until the socket is ready for one of `events` or the deadline has passed. 1 ready, 0 deadline, -1 broken. */
int db_wait_for(struct db *db, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - clock_monotonic_ms();
        struct pollfd socket = {.fd = PQsocket(db->conn), .events = events};
        if (socket.fd < 0)
            return -1;
        int n = poll(&socket, 1, left > 0 ? (int)left : 0);
        if (n >= 0 || errno != EINTR)
            return n;
    }
}

/* Full jitter: workers that lost the server together do not come back together. */
static void back_off(struct db *db)
{
    int64_t longest_ms = DB_BACKOFF_FIRST_MS;
    for (int i = 0; i < db->failures && longest_ms < DB_BACKOFF_MAX_MS; i++)
        longest_ms *= 2;
    db->failures++;
    db->retry_at_ms = clock_monotonic_ms() + 1 + (int64_t)clock_random((uint64_t)longest_ms);
}

static PGconn *connect_start(const struct db *db)
{
    const char *keywords[128], *values[128];
    char user_timeout[16];
    size_t n = 0, limit = sizeof keywords / sizeof *keywords - DB_PARAMS_OF_OURS;
    bool has_user_timeout = false;
    for (const PQconninfoOption *o = db->options; o->keyword && n < limit; o++) {
        if (o->val) {
            has_user_timeout |= strcmp(o->keyword, "tcp_user_timeout") == 0;
            keywords[n] = o->keyword;
            values[n++] = o->val;
        }
    }
    /* A later value of the same keyword wins. Half the deadline: a host that does not answer leaves time for the
     * next one. */
    snprintf(user_timeout, sizeof user_timeout, "%d", (int)(db->timeout_ms / 2));
    const struct {
        const char *keyword, *value;
    } ours[] = {
        {"application_name", db->application},
        {"client_encoding", "UTF8"},
        {"target_session_attrs", db->read_only ? "any" : "read-write"},
        {has_user_timeout ? NULL : "tcp_user_timeout", user_timeout},
    };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (ours[i].keyword != NULL) {
            keywords[n] = ours[i].keyword;
            values[n++] = ours[i].value;
        }
    }
    keywords[n] = values[n] = NULL;
    return PQconnectStartParams(keywords, values, 0);
}

/* --- waiting for answers --- */

/* Polls a connection attempt to its end. */
static enum heard connect_finish(struct db *db, int64_t deadline_ms)
{
    PostgresPollingStatusType step = PGRES_POLLING_WRITING;
    while (step != PGRES_POLLING_OK) {
        if (step == PGRES_POLLING_FAILED || PQstatus(db->conn) == CONNECTION_BAD)
            return HEARD_LOST;
        int n = db_wait_for(db, step == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms);
        if (n <= 0)
            return n == 0 ? HEARD_LATE : HEARD_LOST;
        step = PQconnectPoll(db->conn);
    }
    return PQsetnonblocking(db->conn, 1) == 0 ? HEARD_RESULT : HEARD_LOST;
}

/* Flushes what is queued and reads until libpq has a next result (NULL ends a statement's results). */
enum heard db_next_result(struct db *db, int64_t deadline_ms, PGresult **ret)
{
    bool lost = false;
    while (PQisBusy(db->conn)) {
        if (lost)
            return HEARD_LOST;
        int unsent = PQflush(db->conn);
        int n = db_wait_for(db, unsent == 1 ? POLLIN | POLLOUT : POLLIN, deadline_ms);
        if (n == 0)
            return HEARD_LATE;
        /* On failure what had arrived before it is still to be parsed: it may hold the server's last word. */
        lost = n < 0 || PQconsumeInput(db->conn) == 0;
    }
    *ret = PQgetResult(db->conn);
    return HEARD_RESULT;
}

/* Notes the server's error. One without SQLSTATE is libpq's own: the connection broke. */
void db_note_error(struct db *db, const PGresult *result, struct verdict *verdict)
{
    const char *sqlstate = field(result, PG_DIAG_SQLSTATE), *detail = field(result, PG_DIAG_MESSAGE_DETAIL);
    const char *severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    char text[sizeof verdict->text];
    if (failed(verdict))
        return;
    if (sqlstate[0] == '\0') {
        verdict->broken = true;
        one_line(PQresultErrorMessage(result), verdict->text, sizeof verdict->text);
        return;
    }
    snprintf(text, sizeof text, "%s (%s)%s%s", field(result, PG_DIAG_MESSAGE_PRIMARY), sqlstate,
             detail[0] != '\0' ? " " : "", detail);
    one_line(text, verdict->text, sizeof verdict->text);
    snprintf(db->sqlstate, sizeof db->sqlstate, "%s", sqlstate);
    verdict->refused = true;
    verdict->fatal = is_fatal(severity);
    verdict->code = meanings[meaning_of(sqlstate)].code;
    if (strcmp(sqlstate, "23514") == 0 && field(result, PG_DIAG_CONSTRAINT_NAME)[0] == '\0')
        verdict->code = ERR_AGAIN; /* there is no partition for it: archived since it was read, or not made yet */
}

void db_note_silence(struct db *db, enum heard heard, struct verdict *verdict)
{
    if (failed(verdict)) {
        verdict->fatal = true; /* its reason stands, but this connection is done */
        return;
    }
    verdict->broken = true;
    if (heard == HEARD_LATE)
        snprintf(verdict->text, sizeof verdict->text, "no answer within %lld ms", (long long)db->timeout_ms);
    else
        one_line(PQerrorMessage(db->conn), verdict->text, sizeof verdict->text);
}

/* --- scripts: the simple protocol --- */

/* Runs a text of one or more statements. `tag` is that of the last one, "" when one failed. */
void db_simple(struct db *db, const char *sql, int64_t deadline_ms, struct verdict *verdict, char tag[static TAG_SIZE])
{
    PGresult *result = NULL;
    tag[0] = '\0';
    if (PQsendQuery(db->conn, sql) == 0) {
        db_note_silence(db, HEARD_LOST, verdict);
        return;
    }
    for (;;) {
        enum heard heard = db_next_result(db, deadline_ms, &result);
        if (heard != HEARD_RESULT) {
            db_note_silence(db, heard, verdict);
            break;
        }
        if (!result)
            break;
        snprintf(tag, TAG_SIZE, "%s", PQcmdStatus(result));
        if (PQresultStatus(result) == PGRES_FATAL_ERROR)
            db_note_error(db, result, verdict);
        PQclear(result);
    }
    if (failed(verdict))
        tag[0] = '\0';
}

/* Leaves the session as the next call wants it, or closes it. */
void db_settle(struct db *db, const struct verdict *verdict)
{
    bool close = verdict->broken || verdict->fatal || PQstatus(db->conn) != CONNECTION_OK ||
                 (verdict->refused && meanings[meaning_of(db->sqlstate)].reconnect);
    if (!close && PQpipelineStatus(db->conn) != PQ_PIPELINE_OFF)
        close = PQexitPipelineMode(db->conn) == 0;
    if (!close && PQtransactionStatus(db->conn) != PQTRANS_IDLE) {
        struct verdict rollback = {0};
        char tag[TAG_SIZE];
        db_simple(db, "rollback", clock_monotonic_ms() + DB_ROLLBACK_MS, &rollback, tag);
        close = failed(&rollback);
    }
    if (close)
        db_disconnect(db);
}

/* --- being connected --- */

/* The session's bounds (L12), and what our statements count on: they go by key, from arrays, so a plan made while a
 * table was empty must not read the whole of it later, and one plan serves every batch. A statement gives up before
 * its call does, so that the server is the one who says so. An asynchronous commit would let us acknowledge what a
 * crash takes back (L1). */
static void set_up(struct db *db, int64_t deadline_ms, struct verdict *verdict)
{
    char sql[DB_SETTINGS_MAX], tag[TAG_SIZE];
    int timeout = (int)(db->timeout_ms - db->timeout_ms / 4), lock_timeout = timeout / 2;
    const char *plans = "set enable_seqscan = off; set plan_cache_mode = force_generic_plan;";
    snprintf(
        sql, sizeof sql,
        "set statement_timeout = %d; set lock_timeout = %d; set idle_in_transaction_session_timeout = %d;"
        "set client_connection_check_interval = %d; set timezone = 'UTC'; set bytea_output = 'hex'; set jit = off; %s"
        "select set_config('synchronous_commit', 'on', false)"
        " where current_setting('synchronous_commit') = 'off'",
        timeout, lock_timeout < DB_LOCK_TIMEOUT_MS ? lock_timeout : DB_LOCK_TIMEOUT_MS, timeout, DB_CLIENT_CHECK_MS,
        db->read_only ? "set default_transaction_read_only = on;" : plans);
    db_simple(db, sql, deadline_ms, verdict, tag);
}

/* What the caller has to say about the new connection, within what is left of the call. */
static int judge_opened(struct db *db, int64_t deadline_ms, struct err *err)
{
    int64_t whole_ms = db->timeout_ms, left_ms = deadline_ms - clock_monotonic_ms();
    if (!db->opened)
        return 0;
    db->timeout_ms = left_ms > 0 ? left_ms : 1;
    int r = db->opened(db->arg, db, err);
    db->timeout_ms = whole_ms;
    if (r == 0 && !db->conn) /* asked, and lost over it */
        r = err_set(err, ERR_AGAIN, "cannot connect to the database: it went away");
    return r;
}

static int connect_within(struct db *db, int64_t deadline_ms, struct err *err)
{
    struct verdict verdict = {0};
    int64_t wait_ms = db->retry_at_ms - clock_monotonic_ms();
    if (db->failures > 0 && wait_ms > 0) {
        return err_set(err, ERR_AGAIN, "the database is away (%d failed attempts); next attempt in %lld ms",
                       db->failures, (long long)wait_ms);
    }
    db->conn = connect_start(db);
    if (!db->conn)
        return err_set(err, ERR_INTERNAL, "out of memory");
    PQsetNoticeReceiver(db->conn, notice_received, db);
    enum heard heard = connect_finish(db, deadline_ms);
    if (heard == HEARD_RESULT)
        set_up(db, deadline_ms, &verdict);
    else
        db_note_silence(db, heard, &verdict);
    if (failed(&verdict)) {
        db_disconnect(db);
        back_off(db);
        return err_set(err, ERR_AGAIN, "cannot connect to the database: %s", verdict.text);
    }
    if (judge_opened(db, deadline_ms, err) != 0) {
        db_disconnect(db);
        back_off(db);
        return -1;
    }
    db->failures = 0;
    return 0;
}

/* True when the server went away, or said goodbye, since the last call: better seen now than after COMMIT was sent. */
bool db_gone(struct db *db)
{
    for (int i = 0; i < DB_STALE_READS_MAX; i++) {
        int n = db_wait_for(db, POLLIN, 0);
        if (n == 0)
            return db->dismissed || PQstatus(db->conn) != CONNECTION_OK;
        if (n < 0 || PQconsumeInput(db->conn) == 0)
            return true;
        (void)PQisBusy(db->conn); /* parses what came */
    }
    return true;
}

int db_ready(struct db *db, int64_t deadline_ms, struct err *err)
{
    db->sqlstate[0] = '\0';
    if (db->conn && db_gone(db))
        db_disconnect(db);
    if (db->conn == NULL && connect_within(db, deadline_ms, err) != 0)
        return -1;
    db->warnings = 0;
    return 0;
}

int db_connect(struct db *db, struct err *err)
{
    return db_ready(db, clock_monotonic_ms() + db->timeout_ms, err);
}

/* --- a script in one transaction --- */

int db_script(struct db *db, const char *script, struct err *err)
{
    struct verdict verdict = {0};
    char tag[TAG_SIZE];
    int64_t deadline_ms = clock_monotonic_ms() + db->timeout_ms;
    if (db_ready(db, deadline_ms, err) != 0)
        return -1;
    db_simple(db, "begin isolation level read committed", deadline_ms, &verdict, tag);
    if (!failed(&verdict))
        db_simple(db, script, deadline_ms, &verdict, tag);
    if (failed(&verdict)) {
        db_settle(db, &verdict);
        return err_set(err, verdict.refused ? verdict.code : ERR_AGAIN, "database: %s", verdict.text);
    }
    db->warnings = 0; /* COMMIT is on its own here: what warns from now on is it */
    db_simple(db, "commit", deadline_ms, &verdict, tag);
    db_settle(db, &verdict);
    if (verdict.refused && !verdict.fatal)
        return err_set(err, verdict.code, "database: %s", verdict.text);
    if (failed(&verdict) || strcmp(tag, "COMMIT") != 0 || db->warnings > 0) {
        return err_set(err, ERR_UNKNOWN, "database: COMMIT answered \"%s\" with %d warnings. %s", tag, db->warnings,
                       verdict.text);
    }
    return 0;
}
