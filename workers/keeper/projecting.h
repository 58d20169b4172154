/* projecting.h - the keeper keeps the projections of schema view (ledger/projection.h)
 *
 * A few rounds per turn of the loop, as long as there are new facts; then every interval_ms. A ledger that is away, or a role that may not, makes it
 * wait longer and go on where it stood. Several keepers do no harm.
 */
#ifndef ACQUIT_WORKERS_KEEPER_PROJECTING_H
#define ACQUIT_WORKERS_KEEPER_PROJECTING_H

#include "common/loop.h"
#include "ledger/db.h"

struct projecting_options {
    struct loop *loop;
    struct db *db; /* borrowed */
    int64_t interval_ms;
};

struct projecting;

struct projecting *projecting_new(const struct projecting_options *options);
void projecting_free(struct projecting *projecting); /* accepts NULL */
/* Projects nothing further. */
void projecting_stop(struct projecting *projecting);
/* Sets the gauges. */
void projecting_measure(const struct projecting *projecting);

#endif
