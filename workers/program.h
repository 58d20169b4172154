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

/* Loads the settings, and checks what config/ cannot know: the command types they name, and the broker's URL. */
struct config *program_load(const char *path, struct err *err) MUST_CHECK;
/* The same, and opens the log under this name (kept by reference); says which variables of the environment change nothing. */
struct config *program_config(const char *path, const char *name, struct err *err) MUST_CHECK;

/* Reading the settings again (SIGHUP). What was loaded before stays alive, since parts of a running program point into it. */
enum { RELOADS_MAX = 256 };
struct reload {
    const char *path; /* as given to program_config(); kept by reference */
    struct config *loaded[RELOADS_MAX];
    size_t count;
};

/* The settings as they stand in the file now, or NULL when they cannot be loaded (logged): then what held holds. Says which changes wait for the next
 * start. Reloadable scalars and lists take effect for whoever looks them up in the result. */
const struct config *program_reload(struct reload *reload, const char *name, const struct config *now);
void program_reload_free(struct reload *reload);

/* The broker's settings under this connection name (kept by reference). */
struct broker_options program_broker(const struct config *config, const char *name);
/* Our user at the broker, which it checks against the user_id of what we publish. */
int program_user(const struct config *config, char ret[static PROGRAM_USER_SIZE], struct err *err) MUST_CHECK;

#endif
