/* db_internal.h - one connection, for db.c, db_run.c and db_stream.c; with libpq, which nobody else sees */
#ifndef ACQUIT_LEDGER_DB_INTERNAL_H
#define ACQUIT_LEDGER_DB_INTERNAL_H

#include <libpq-fe.h>

#include "ledger/db.h"

enum {
    DB_PREPARED_MAX = 96, /* statements prepared per connection; further ones are parsed each time */
    SQLSTATE_SIZE = 6,
    TAG_SIZE = 16, /* of a command tag: "COMMIT", "ROLLBACK" */
};

struct db {
    PQconninfoOption *options; /* of the caller's string */
    char *application;
    int64_t timeout_ms;
    bool read_only;
    db_opened *opened;
    void *arg;

    PGconn *conn;                    /* NULL: to be opened by the next call */
    bool dismissed;                  /* the server has said that it ends this session */
    char *prepared[DB_PREPARED_MAX]; /* statement "s<i>" of this connection; NULL: could not be prepared */
    int prepared_count;

    char snapshot[DB_SNAPSHOT_SIZE]; /* that reads see; "": each its own */
    bool streaming, stream_begun;    /* a stream is under way; its first message has come */
    char *message;                   /* of libpq, the stream's last */

    int failures;        /* attempts to connect that failed in a row */
    int64_t retry_at_ms; /* monotonic; no attempt before it */
    int warnings;        /* heard within this call */
    char sqlstate[SQLSTATE_SIZE];
};

/* In a transaction that sees one snapshot of others, or of its own. */
#define DB_BEGIN_READING "begin isolation level repeatable read, read only"

/* --- waiting for answers --- */

/* Waits until the socket is ready for one of `events` or the deadline has passed. 1 ready, 0 deadline, -1 broken. */
int db_wait_for(struct db *db, short events, int64_t deadline_ms) MUST_CHECK;
enum heard { HEARD_RESULT, HEARD_LATE, HEARD_LOST };

/* Flushes what is queued and reads until libpq has a next result (NULL ends a statement's results). */
enum heard db_next_result(struct db *db, int64_t deadline_ms, PGresult **ret) MUST_CHECK;

/* How a call has gone so far. At most one of `refused` and `broken` says why: the first thing that went wrong. */
struct verdict {
    bool refused; /* the server said no; code and text say why */
    bool fatal;   /* and ended the session with it */
    bool broken;  /* late or lost */
    enum err_code code;
    char text[ERR_TEXT_MAX - 64];
};

static inline bool failed(const struct verdict *verdict)
{
    return verdict->refused || verdict->broken;
}

/* Notes the server's error. One without SQLSTATE is libpq's own: the connection broke. */
void db_note_error(struct db *db, const PGresult *result, struct verdict *verdict);
void db_note_silence(struct db *db, enum heard heard, struct verdict *verdict);

/* --- a call --- */

/* Connected, before a call begins; or an error. */
int db_ready(struct db *db, int64_t deadline_ms, struct err *err) MUST_CHECK;
/* True when the server went away, or said goodbye, since the last call. */
bool db_gone(struct db *db);
/* Runs a text of one or more statements. `tag` is that of the last one, "" when one failed. */
void db_simple(struct db *db, const char *sql, int64_t deadline_ms, struct verdict *verdict, char tag[static TAG_SIZE]);
/* Leaves the session as the next call wants it, or closes it. */
void db_settle(struct db *db, const struct verdict *verdict);
void db_disconnect(struct db *db);

#endif
