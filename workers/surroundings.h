/* surroundings.h - opens and closes the outside world of a worker process */
#ifndef ACQUIT_WORKERS_SURROUNDINGS_H
#define ACQUIT_WORKERS_SURROUNDINGS_H

#include "workers/worker.h"

/* Opens loop, publisher, HTTP client and every configured provider. Nothing has connected yet when it returns. NULL on failure. */
struct surroundings *surroundings_open(const struct config *config, const char *name, struct err *err) MUST_CHECK;
/* Closes what is open, in the opposite order. The publisher is closed first by surroundings_quiet(), while jobs that wait for it still live. */
void surroundings_quiet(struct surroundings *around);
void surroundings_close(struct surroundings *around); /* accepts NULL */

#endif
