/* management.h - the broker's management HTTP API, synchronously (internal to queues/)
 *
 * For the operator's command and set-up only, never inside the loop: each call blocks, all calls of one client together at most MANAGEMENT_TIMEOUT_MS.
 */
#ifndef ACQUIT_QUEUES_MANAGEMENT_H
#define ACQUIT_QUEUES_MANAGEMENT_H

#include <jansson.h>

#include "common/err.h"

enum { MANAGEMENT_TIMEOUT_MS = 30 * 1000, MANAGEMENT_ANSWER_MAX = 16 * 1024 * 1024 };

struct management;

/* `url` is http:// or https://, with user and password: an administrator's. */
struct management *management_new(const char *url, struct err *err) MUST_CHECK;
void management_free(struct management *management); /* accepts NULL */

/* One call; the path is /api/... with '%s' for each name, which is percent-encoded here; the names end with NULL. Errors: ERR_AGAIN (not
 * reachable), ERR_DENIED, ERR_NOT_FOUND, ERR_INVALID. None repeats the URL, which holds a password. */
json_t *management_get(struct management *management, const char *path, const char *const *names,
                       struct err *err) MUST_CHECK;
int management_put(struct management *management, const char *path, const char *const *names, const json_t *body,
                   struct err *err) MUST_CHECK;

#endif
