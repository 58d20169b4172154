/* partitions.h - the keeper makes the ledger's partitions ahead: when it starts, and once a day (ledger/partitions.h) */
#ifndef ACQUIT_WORKERS_KEEPER_PARTITIONS_H
#define ACQUIT_WORKERS_KEEPER_PARTITIONS_H

#include "common/loop.h"
#include "ledger/db.h"

struct partitions;

struct partitions *partitions_new(struct loop *loop, struct db *db); /* both are borrowed */
void partitions_free(struct partitions *partitions);                 /* accepts NULL */
/* Makes no further ones. */
void partitions_stop(struct partitions *partitions);
/* Sets the gauge. */
void partitions_measure(const struct partitions *partitions);

#endif
