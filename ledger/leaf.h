/* leaf.h - what of a fact is sealed: all its columns and those of its transfers, as bytes (docs/sealing.md)
 *
 * Pure. Every value is the text that PostgreSQL gives for it, so that anybody can write the bytes again from a receipt:
 *
 *     value     its length in 4 bytes, the highest first, and its bytes in UTF-8; NULL: the length 0xffffffff alone
 *     fact      value "acquit-fact-v1", the FACT_COLUMNS in their order, the number of transfers as a value, and of each transfer the
 *               TRANSFER_COLUMNS, by leg
 *     leaf      SHA-256(0x00 || fact)
 *
 * Times are in UTC, "2026-11-20T10:00:00.123456Z"; the body is the column's own text, byte for byte.
 */
#ifndef ACQUIT_LEDGER_LEAF_H
#define ACQUIT_LEDGER_LEAF_H

#include <jansson.h>

#include "common/ids.h"
#include "common/text.h"
#include "ledger/merkle.h"

#define FACT_COLUMNS(X) X(payment_id) X(slot) X(outcome) X(cause) X(actor) X(at) X(xid) X(seq) X(body)
#define TRANSFER_COLUMNS(X) X(leg) X(kind) X(pending_of) X(debit) X(credit) X(amount) X(currency) X(at) X(xid) X(seq)
enum {
#define X(name) +1
    FACT_COLUMN_COUNT = 0 FACT_COLUMNS(X),
    TRANSFER_COLUMN_COUNT = 0 TRANSFER_COLUMNS(X)
#undef X
};
extern const char *const fact_columns[FACT_COLUMN_COUNT], *const transfer_columns[TRANSFER_COLUMN_COUNT];

/* The SQL that gives these columns as texts, from ledger.event as e; the last column is the transfers, a JSON array of arrays of texts. */
#define LEAF_TIME(column) "to_char(" column " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define LEAF_COLUMNS                                                                                                   \
    "e.payment_id, e.slot, e.outcome, e.cause, e.actor, " LEAF_TIME(                                                   \
        "e.at") ", e.xid, e.seq, e.body,"                                                                              \
                " coalesce((select json_agg(json_build_array(t.leg::text, t.kind, t.pending_of, t.debit, t.credit, "   \
                "t.amount::text, t.currency::text, " LEAF_TIME(                                                        \
                    "t.at") ", t.xid::text, t.seq::text) order by t.leg)"                                              \
                            " from ledger.transfer t where t.began = e.began and t.payment_id = e.payment_id"          \
                            " and t.slot = e.slot), '[]')"

/* `values` in the order of fact_columns, NULL for SQL's; `transfers` as above, or arrays of texts and nulls from a receipt. -1 when they have
 * another form. */
int leaf_of(const char *const values[static FACT_COLUMN_COUNT], const json_t *transfers, struct hash *ret,
            struct err *err) MUST_CHECK;

/* The same from decoded columns, which costs neither the server nor us a text of its own (what PostgreSQL gives in its binary format). */

struct leaf_fact {
    struct uuid payment_id, cause;
    struct text slot, outcome, actor, body;
    int64_t at_us; /* since 2000-01-01 UTC */
    uint64_t xid;
    int64_t seq;
};
struct leaf_transfer {
    int leg;
    struct text kind, pending_of, debit, credit, currency;
    int64_t amount, at_us;
    uint64_t xid;
    int64_t seq;
};
/* Where the bytes of one leaf stand; used again for the next. Begins as {0}. */
struct leaf_bytes {
    uint8_t *data;
    size_t size, room;
};
void leaf_bytes_free(struct leaf_bytes *bytes);

/* `transfers` in the order of their legs. */
struct hash leaf_of_columns(const struct leaf_fact *fact, const struct leaf_transfer *transfers, size_t count,
                            struct leaf_bytes *bytes);

/* The text of LEAF_TIME; "" for the two infinities, which have none (SQL's NULL). */
enum { LEAF_TIME_SIZE = 32 };
void leaf_time(int64_t at_us, char ret[static LEAF_TIME_SIZE]);

#endif
