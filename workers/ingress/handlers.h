/* handlers.h - from a request to the function of its endpoint */
#ifndef ACQUIT_WORKERS_INGRESS_HANDLERS_H
#define ACQUIT_WORKERS_INGRESS_HANDLERS_H

#include "workers/ingress/ingress.h"

/* The request's body as a JSON object without card data, *ret owned by the caller; or answers 400 or 415 and is false.
 * An empty body is {} where the route lets it be absent. */
bool body_or_answer(struct request *request, json_t **ret);

/* Checks the body against the schema of its command. A failure says all that is wrong; status 0: nothing is. */
struct answer check_body(const char *schema, const json_t *body);

#endif
