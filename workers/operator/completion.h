/* completion.h - a script by which bash completes the commands of `acquit` */
#ifndef ACQUIT_WORKERS_OPERATOR_COMPLETION_H
#define ACQUIT_WORKERS_OPERATOR_COMPLETION_H

#include <stdio.h>

#include "workers/operator/commands.h"

void completion_print(FILE *out);

#endif
