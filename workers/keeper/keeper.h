/* keeper.h - the sweep: brings forward what nobody else will
 *
 * Reads the ledger from its beginning, keeps an eye on every payment that is not finished (watch.h), and publishes
 * `payment.expire` when a deadline has passed undecided and `payment.look` when a payment that still needs something
 * stands still. It writes no fact: both commands have ids that follow from the payment, so that several keepers, or one
 * that says it twice, do no harm. If the broker lost every message, this is what brings each payment to its end (L4).
 */
#ifndef ACQUIT_WORKERS_KEEPER_KEEPER_H
#define ACQUIT_WORKERS_KEEPER_KEEPER_H

#include "common/loop.h"
#include "ledger/db.h"
#include "queues/publisher.h"

struct keeper_options {
    struct loop *loop;
    struct db *db;
    struct publisher *publisher;
    const char *user; /* ours at the broker */
    int64_t sweep_ms, stand_still_ms;
    int64_t give_up_ms; /* what is in doubt for longer is counted as a person's case */
};

struct keeper;

struct keeper *keeper_new(const struct keeper_options *options); /* the options' members are borrowed */
void keeper_free(struct keeper *keeper);                         /* after the publisher; accepts NULL */
/* No further sweeps. What is published is still being confirmed: see publisher_waiting(). */
void keeper_stop(struct keeper *keeper);
/* Sets the gauges. */
void keeper_measure(struct keeper *keeper);

#endif
