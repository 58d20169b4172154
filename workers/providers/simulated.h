/* simulated.h - how the simulated provider speaks with its books; pure, for tests and fuzz targets
 *
 * Internal to workers/providers/.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_SIMULATED_H
#define ACQUIT_WORKERS_PROVIDERS_SIMULATED_H

#include "workers/providers/provider.h"

/* One request as sim.run reads it. The caller owns it; it holds the token. */
json_t *simulated_encode(const struct provider_request *request);

/* What one answer of sim.run means; `action` is a new reference or NULL. False: it is lost, and must not be heard
 * before the timeout. */
bool simulated_decode(const json_t *answer, struct provider_answer *ret);

#endif
