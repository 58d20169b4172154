/* auth.h - which publisher an API key belongs to
 *
 * The configuration holds SHA-256 of each key, never a key. A key is compared with all of them, each in constant time,
 * so that an answer's time tells nothing.
 */
#ifndef ACQUIT_WORKERS_INGRESS_AUTH_H
#define ACQUIT_WORKERS_INGRESS_AUTH_H

#include "common/err.h"
#include "config/config.h"

struct auth;

/* Borrows the configuration. NULL with ERR_CONFIG when a hash is not 64 hex digits. */
struct auth *auth_new(const struct config *config, struct err *err) MUST_CHECK;
void auth_free(struct auth *auth); /* accepts NULL */

/* The publisher whose key stands in this Authorization header (NULL: absent), or NULL. */
const struct publisher_config *auth_publisher(const struct auth *auth, const char *authorization);

#endif
