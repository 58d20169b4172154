/* manual.h - the manual of the configuration, from the tables of config/
 */
#ifndef ACQUIT_WORKERS_OPERATOR_MANUAL_H
#define ACQUIT_WORKERS_OPERATOR_MANUAL_H

#include <stdio.h>

#include "config/config.h"

/* "whole number of ms; 1 to 60000; default 200; reloadable": of one setting, all but its sentence. free() it. */
char *manual_facts(const struct setting *setting);

/* Every setting, every list, every variable without effect. */
void manual_print(FILE *out);

#endif
