/* breakers.h - the circuit breakers of a worker process, one for each provider
 *
 * What a worker sees of its own calls is its own; what is in doubt at a provider is read from the ledger, so that all
 * workers agree on the money. Both only keep new payments away: questions, captures, voids and refunds never ask here.
 * Every function accepts NULL for `breakers`: then nothing is kept away.
 */
#ifndef ACQUIT_WORKERS_BREAKERS_H
#define ACQUIT_WORKERS_BREAKERS_H

#include "workers/breaker.h"
#include "workers/route.h"
#include "workers/worker.h"

struct breakers;

/* Settings are read from around->config anew each time. `around` has to live as long. */
struct breakers *breakers_open(struct surroundings *around);
void breakers_close(struct breakers *breakers);

/* May this payment begin at the provider now? Changes nothing. */
enum route_obstacle breakers_look(struct breakers *breakers, const char *provider, const char *currency,
                                  struct uuid payment);
/* It does, in the transaction that is about to be written. */
void breakers_begin(struct breakers *breakers, const char *provider, struct uuid payment);
/* A call that may have an effect was answered; not for questions. */
void breakers_note(struct breakers *breakers, const char *provider, struct uuid payment, bool failed, int64_t took_ms);

/* How much of the currency is in doubt there, by rows as read_in_doubt() gives them, less its limit; 0 or less:
 * within it, or it has none. */
int64_t exposure_above(const struct provider_config *provider, const char *currency, const json_t *rows);

#endif
