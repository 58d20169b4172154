/* commands.h - the table of the operator's commands: main.c runs them, completion.c offers them */
#ifndef ACQUIT_WORKERS_OPERATOR_COMMANDS_H
#define ACQUIT_WORKERS_OPERATOR_COMMANDS_H

#include "workers/operator/operator.h"

struct command_row {
    const char *words;     /* "payment show" */
    const char *arguments; /* as the help writes them */
    size_t least, most;    /* how many */
    bool bare;             /* needs no configuration, or loads it itself */
    const struct option_row *options;
    command_function *run;
    const char *sentence;
};
const struct command_row *command_row(size_t i); /* NULL behind the last */

extern const struct option_row common_options[]; /* of every command */

#endif
