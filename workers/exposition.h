/* exposition.h - GET /metrics on a port of its own, for every program
 */
#ifndef ACQUIT_WORKERS_EXPOSITION_H
#define ACQUIT_WORKERS_EXPOSITION_H

#include "common/err.h"
#include "common/loop.h"

struct exposition;

/* Serves the metrics of this process on `port` of the IPv4 or IPv6 `address`, at most EXPOSITION_CONNECTIONS_MAX
 * readers at once. `refresh` (may be NULL) sets gauges just before they are read. NULL with ERR_AGAIN when the port is
 * taken, ERR_CONFIG when the address cannot be read. */
enum { EXPOSITION_CONNECTIONS_MAX = 16 };
struct exposition *exposition_new(struct loop *loop, const char *address, int port, void (*refresh)(void *arg),
                                  void *arg, struct err *err) MUST_CHECK;
void exposition_free(struct exposition *exposition); /* accepts NULL */

#endif
