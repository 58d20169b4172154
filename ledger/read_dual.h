/* read_dual.h - what an audit of dual payments reads of the ledger
 *
 * Read-only. Pages go from the newest to the oldest by key, so that memory stays flat on a ledger of any size.
 */
#ifndef ACQUIT_LEDGER_READ_DUAL_H
#define ACQUIT_LEDGER_READ_DUAL_H

#include "ledger/store.h"

/* The database's clock, which all `at` are of, and the newest fact from which a page may begin. */
struct dual_now {
    int64_t wall_ms, newest_seq;
};
int read_dual_now(struct db *db, struct dual_now *ret, struct err *err) MUST_CHECK;

/* A fact that begins something: a payment, a refund, an approval that came too late. */
struct dual_row {
    struct uuid payment;
    int64_t seq, at_ms;
    bool wanted; /* of a payment in the flow dual, and the newest such fact of it up to `upto_seq` */
};
/* At most `limit` (READ_PAGE_MAX) rows with a seq below `before_seq`, newest first; each dual payment is wanted once over
 * all pages. Returns the count, -1 on failure. */
int read_dual_page(struct db *db, int64_t before_seq, int64_t upto_seq, int limit, struct dual_row *ret,
                   struct err *err) MUST_CHECK;

/* What the transfers alone say of a payment's money, whatever its facts say. */
struct dual_money {
    int64_t settled, returned; /* minor units: posted holds; given back to the provider's receivable */
};
/* ret[i] of ids[i]; zeros where there is no transfer. At most STORE_PAYMENTS_MAX. */
int read_dual_money(struct db *db, const struct uuid *ids, size_t count, struct dual_money *ret,
                    struct err *err) MUST_CHECK;

#endif
