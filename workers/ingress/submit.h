/* submit.h - looks up the key of a command (L10) and publishes it
 *
 * Lookups are batched: one query for all that came in one turn of the loop. A key that we made ourselves needs none.
 */
#ifndef ACQUIT_WORKERS_INGRESS_SUBMIT_H
#define ACQUIT_WORKERS_INGRESS_SUBMIT_H

#include "workers/ingress/submission.h"

struct submitter;

struct submitter *submitter_new(struct ingress *ingress);
void submitter_free(struct submitter *submitter); /* accepts NULL; nothing may be under way any more */
/* Takes the submission over and answers its request, now or later. */
void submit(struct submitter *submitter, struct submission *submission);

#endif
