/* late.h - an authorization that may have been sent although it is absent (L6)
 *
 * `absent` is concluded from a question that was asked when nobody sent any more. Still somebody may: who looked at the clock and then stood still for
 * longer than all that waits. So whoever may have sent an authorization and has no answer leaves a fact of it, and on that fact rests a question that is
 * asked until it is answered: `auth:N:doubt:K` while there is no result, `auth:N:late:doubt:K` behind an absence. May have sent: who did, in this
 * delivery; behind an absence also a redelivery, whose predecessor may have, and the first that finds what another command concluded.
 *
 * What is left has to be asked about after the call. It is written in a slot that was free when the answer was missed, and looked at once it is
 * committed: if `absent` was concluded meanwhile, or the question behind the absence was just answered, another fact follows it. docs/adr/0026.
 */
#ifndef ACQUIT_WORKERS_LATE_H
#define ACQUIT_WORKERS_LATE_H

#include "workers/worker.h"

/* For a plan that finds nothing else to do: adds the fact that this delivery owes. True: it did; the job goes on with VERDICT_CALL. */
bool late_plan(struct job *job);

/* After a commit, before anything else is called: is what was left asked about? If not, adds the next fact. Return as late_plan(). */
bool late_go_on(struct job *job);

/* After the results of authorization N are committed and looked at, when its answer was unknown or absent. Return as late_plan(). */
bool late_check(struct job *job, int n);

/* N, if the job's command is the question about auth:N:late:doubt:K and still open; else 0. */
int late_asked(const struct job *job);

/* What the answer to that question means, unless it is an approval or a challenge: the fact that nothing is there, or the question again. A provider
 * that has no record of it answers for good once the visibility horizon behind the doubt is over. */
enum verdict late_settle(struct job *job, int n);

#endif
