/* routing.h - the steps' side of routing: what is recorded of a payment's route, and who is next on it
 *
 * route.h chooses, breakers.h keeps away; here both meet a job. The list is recorded in `received`; afterwards only who
 * stands there is tried, each at most once, in that order.
 */
#ifndef ACQUIT_WORKERS_ROUTING_H
#define ACQUIT_WORKERS_ROUTING_H

#include "workers/worker.h"

/* Adds "routes" and "route" to the body of `received`, and "preferredGateways" where the two differ. */
void routing_record(const struct job *job, const struct publisher_config *publisher, json_t *received);
/* The `decision`=abort of a payment that can go nowhere, or NULL. */
json_t *routing_refusal(const struct job *job, const json_t *received);
/* The provider to begin at: the first on the list that takes new payments. NULL: none does now. */
const char *routing_first(const struct job *job, const json_t *received);
/* The provider to go on to after a negative result of authorization n (L6): the next on the list that takes new payments,
 * if this evidence may be followed by another. NULL: none. */
const char *routing_next(const struct job *job, int n, const char *outcome);

#endif
