/* waiting.h - those who wait for the end of what they asked for
 *
 * The ledger is asked about all of them together, every WAIT_TICK_MS, or less often when it takes long to answer.
 * Whoever's time is up is answered 202 with what is known by then.
 */
#ifndef ACQUIT_WORKERS_INGRESS_WAITING_H
#define ACQUIT_WORKERS_INGRESS_WAITING_H

#include "workers/ingress/submission.h"

enum {
    WAIT_TICK_MS = 20,
    WAITING_MAX = 4096, /* requests that may wait at once; further ones are answered at once */
};

struct waiting;

struct waiting *waiting_new(struct ingress *ingress);
void waiting_free(struct waiting *waiting); /* accepts NULL; nobody may wait any more */
/* Takes the submission over until its end or its wait_ms are over. With wait_ms 0 it is answered in the next turn. */
void waiting_add(struct waiting *waiting, struct submission *submission);
/* Answers all who still wait, with what is known. */
void waiting_hurry(struct waiting *waiting);
size_t waiting_count(const struct waiting *waiting);

#endif
