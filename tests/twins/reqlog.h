/* reqlog.h - what the twins were asked, and how it ended, also when the connection was cut
 *
 * All functions are called under the books' lock.
 */
#ifndef TWINS_REQLOG_H
#define TWINS_REQLOG_H

#include <stdint.h>

#include <jansson.h>

#include "call.h"

/* Notes that the call arrived; sets call->log_number. */
void reqlog_open(struct call *call);

/* Notes how it ended: an HTTP status, or 0 for a cut connection. */
void reqlog_close(const struct call *call, unsigned status);

/* Oldest first, at most the newest `limit`. NULL payment and POINT_NONE mean any. *ret_total counts all that matched.
 * */
json_t *reqlog_list(const char *payment, enum point at, size_t limit, size_t *ret_total);

/* How many were forgotten to make room. */
uint64_t reqlog_dropped(void);

#endif
