/* program.h - what the programs have in common at their start
 */
#ifndef ACQUIT_WORKERS_PROGRAM_H
#define ACQUIT_WORKERS_PROGRAM_H

#include "common/err.h"
#include "config/config.h"
#include "ledger/db.h"
#include "queues/consumer.h"

#ifndef ACQUIT_VERSION
#define ACQUIT_VERSION "0.1.0"
#endif

enum { EXIT_USAGE = 2, PROGRAM_USER_SIZE = 128 };

/* The command line of a daemon: --config FILE, --help, --version. True: go on, *ret_config is NULL or the file. False:
 * *ret_code is the exit code; everything was said. `usage` ends with a line end. */
bool program_arguments(int argc, char **argv, const char *usage, const char **ret_config, int *ret_code);

/* Loads the settings and opens the log under this name (kept by reference). */
struct config *program_config(const char *path, const char *name, struct err *err) MUST_CHECK;

/* The broker's settings under this connection name (kept by reference). */
struct broker_options program_broker(const struct config *config, const char *name);
/* Our user at the broker, which it checks against the user_id of what we publish. */
int program_user(const struct config *config, char ret[static PROGRAM_USER_SIZE], struct err *err) MUST_CHECK;

#endif
