/* projection.h - the tables of schema view: kept, compared with the facts, written again, listed (docs/ledger.md)
 *
 * Rows are what project() gives (project.h), and each payment's row says of how many facts it was made. Facts only grow, so the keeper replaces a
 * row only by one that was made of more, and any number of writers, in any order, leave the newest.
 */
#ifndef ACQUIT_LEDGER_PROJECTION_H
#define ACQUIT_LEDGER_PROJECTION_H

#include "ledger/db.h"
#include "ledger/project.h"

/* --- keeping (project_keep.c); role acquit_projector, on the primary --- */

enum {
    PROJECTION_FACTS_MAX = 1024,   /* new facts looked at in one round */
    PROJECTION_PAYMENTS_MAX = 128, /* payments read, projected and written at once */
};

/* Projects the payments of the next facts behind view.progress, of transactions that have all ended (the horizon rule of seal.h), and moves it on.
 * Returns how many facts it has looked at; PROJECTION_FACTS_MAX: there may be more. -1 with an error: what was written is right, and the next round
 * begins where this one did. *ret_payments: how many payments they belong to. */
int projection_keep(struct db *db, int *ret_payments, struct err *err) MUST_CHECK;

/* How old the oldest fact is that the tables may lack, in milliseconds; 0: they lack none. -1: failed. */
int64_t projection_lag_ms(struct db *db, struct err *err) MUST_CHECK;

/* Makes the rows of these payments the projected ones, whatever stands there, unless the ledger has further facts by now: ret_written[i] says of
 * facts[i] which. */
int projection_replace(struct db *db, const struct facts *facts, size_t count, const struct projection *projection,
                       bool *ret_written, struct err *err) MUST_CHECK;

/* --- comparing and writing again (project_check.c) --- */

enum { PROJECTION_TEXT_MAX = 200 };

/* A cell that is not what the facts give. Borrowed. */
struct projection_fault {
    const char *payment;        /* id */
    const char *table;          /* "payment"; the table's name in schema view */
    const char *row;            /* key of the row within the payment, "" for its only one */
    const char *column;         /* "" when the whole row is missing or too many */
    const char *stored, *given; /* texts, NULL for null; in "" columns "missing" or "there" */
};

struct projection_check {
    struct db *
        db; /* the same for all; a reader's, on the primary or a replica; to rebuild, that of a role acquit_projector */
    bool rebuild;                      /* write what differs */
    const struct uuid *payment;        /* only this one; NULL: all */
    const char *since_xid;             /* only payments with facts from here on; NULL: all */
    const char *began_from, *began_to; /* only payments that began from this day on and before that one; NULL: all */
    void (*fault)(void *arg, const struct projection_fault *fault);
    void (*progress)(void *arg, int64_t payments); /* now and then; may be NULL */
    void *arg;
};
struct projection_result {
    int64_t payments; /* looked at */
    int64_t differ;   /* of them, not what the facts give */
    int64_t behind;   /* not projected yet; the keeper will: no fault. None after a rebuild */
    int64_t written;  /* rebuild: replaced */
};
/* Payment by payment, in pages; memory does not grow with the ledger. May run beside the keeper and the workers: a payment that moves meanwhile is
 * read again. 0: done, the result says what it found. */
int projection_check(const struct projection_check *check, struct projection_result *ret, struct err *err) MUST_CHECK;

/* --- lists (project_list.c); role acquit_reader, on the primary or a replica --- */

enum { PROJECTION_LIST_MAX = 200 /* rows of a page; one more may be read */ };

struct projection_filter {
    const char *publisher, *status, *provider, *currency, *merchant, *reference_type, *reference_id; /* NULL: any */
    int64_t from_ms, to_ms;        /* received at or after, and before; wall time, 0: any */
    int64_t before_ms, before_seq; /* payments older than the one with these; 0: from the newest */
    int limit;                     /* 1..PROJECTION_LIST_MAX + 1 */
};
/* Payments, newest first, as the keeper has projected them, an object each: "paymentId", "seq", "status", "amount", "currency", "flow", "publisher",
 * "provider", "reason", "refundedAmount", "capturedAmount", "merchant", "referenceType", "referenceId", "description", "contradiction", and
 * "createdAtMs", "updatedAtMs". A member that is null in the table is not there. A page is stable: whoever goes on behind its last row
 * misses no payment that was there when he began, and sees none twice, whatever is received meanwhile. NULL on failure. */
json_t *projection_list(struct db *db, const struct projection_filter *filter, struct err *err) MUST_CHECK;

#endif
