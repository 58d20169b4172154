/* job.h - one delivery on its way: making, clearing, publishing (for worker.c only; steps include worker.h) */
#ifndef ACQUIT_WORKERS_JOB_H
#define ACQUIT_WORKERS_JOB_H

#include "workers/worker.h"

/* Takes the delivery over. */
struct job *job_new(struct worker *worker, struct surroundings *around, struct delivery *delivery);
void job_free(struct job *job); /* cancels a call under way; accepts NULL */

/* Drops what the step added and has not committed, and a call under way: the next plan starts from the facts alone. */
void job_forget(struct job *job);

/* After a commit: empties what was added; what was won stands in the facts that are looked at next. */
void job_committed(struct job *job);

/* Replaces the facts and folds them. -1 when they contradict the protocol. Takes `facts` over. */
int job_facts(struct job *job, struct facts *facts, struct err *err) MUST_CHECK;

/* Publishes the follow-ups of the present fold (L4): those resting on the job's own facts, or all. Each once per job. */
void job_publish_next(struct job *job);
/* Publishes the delivery again, for later (`failed`: as its next attempt) or as a dead letter. */
void job_publish_retry(struct job *job, int64_t delay_ms, bool failed);
void job_publish_dead(struct job *job);

/* Lets worker.c know that something moved. */
void worker_wake(struct worker *worker);

#endif
