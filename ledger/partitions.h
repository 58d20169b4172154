/* partitions.h - partitions of the ledger: a quarter of a year each, made ahead (ledger/schema/007, docs/adr/0013)
 *
 * A payment lives in the partition of the day on which it began. Without one for today nothing new can be written, so there are always some to
 * come: the keeper makes them.
 */
#ifndef ACQUIT_LEDGER_PARTITIONS_H
#define ACQUIT_LEDGER_PARTITIONS_H

#include <jansson.h>

#include "ledger/db.h"

enum {
    PARTITIONS_AHEAD_DAYS = 400, /* made for so long, at least */
    PARTITIONS_SHORT_DAYS = 100, /* fewer left: whoever should make them does not */
};

/* Makes those that are missing, as a member of acquit_sealer. Returns how many; -1 with an error. Locks nobody out. */
int partitions_add(struct db *db, struct err *err) MUST_CHECK;

/* From today on so many days have their partitions; 0: today has not. */
int partitions_left(struct db *db, int64_t *ret_days, struct err *err) MUST_CHECK;

/* [{"table","name","from" (absent: all before),"to" (exclusive),"rows" (as last estimated; absent: never was),"bytes" (indexes included)}], by table and time.
 * NULL on failure. */
json_t *partitions_list(struct db *db, struct err *err) MUST_CHECK;

#endif
