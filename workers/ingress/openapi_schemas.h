/* openapi_schemas.h - what the answers of this interface look like, as JSON Schema 2020-12
 *
 * Strict on purpose: a member that is not listed here must not come out. A test compares every answer with its schema.
 */
#ifndef ACQUIT_WORKERS_INGRESS_OPENAPI_SCHEMAS_H
#define ACQUIT_WORKERS_INGRESS_OPENAPI_SCHEMAS_H

#include <jansson.h>

#include "workers/ingress/routes.h"

/* The object of #/components/schemas, without those of the commands. The caller owns it. */
json_t *openapi_schemas(void);
/* The name of the schema that a 200 (and 202) of this endpoint has. */
const char *openapi_answer(enum endpoint endpoint);

#endif
