/* transit.h - what is on the accounts that have to come back to zero (chart.h), and since when
 *
 * Pending items: a hold counts from its approval until it is posted or voided, on both its accounts; what is in doubt from its first doubt until
 * its answer; a refund from its acceptance until its result (docs/adr/0018). On an account whose balance has to come back to zero the newest
 * money is what is left: the oldest goes first.
 */
#ifndef ACQUIT_LEDGER_TRANSIT_H
#define ACQUIT_LEDGER_TRANSIT_H

#include <jansson.h>

#include "ledger/db.h"

enum {
    TRANSIT_LOOKBACK =
        200000, /* holds, postings and voids, the newest, in which the last moment at zero is looked for */
};

/* Every transit account that was ever used, in one snapshot, by currency and account:
 * [{"account","currency","amount" (minor units), "items", and while it is not at zero "oldest":{"paymentId","slot","at","ageMs"}, "since": when it
 * was left zero last, or "notZeroFrom": it was not at zero from then on, and how long before is not known}]. Read-only; may stand on a replica.
 * NULL on failure: db_query()'s errors. The caller owns the result. */
json_t *transit_read(struct db *db, struct err *err) MUST_CHECK;

#endif
