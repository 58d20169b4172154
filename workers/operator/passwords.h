/* passwords.h - where the passwords of the broker's users come from
 *
 * Never from the command line itself, which every user of the machine can read.
 */
#ifndef ACQUIT_WORKERS_OPERATOR_PASSWORDS_H
#define ACQUIT_WORKERS_OPERATOR_PASSWORDS_H

#include "workers/operator/args.h"

enum { PASSWORD_MAX = 256, PASSWORD_VARIABLE_SIZE = 128 };

/* --password-file NAME=FILE, else $ACQUIT_BROKER_PASSWORD_<NAME>. *ret is owned by the caller, NULL when neither is
 * given. ERR_INVALID when the file cannot be read or is empty. */
int password_find(const struct args *args, const char *user, char **ret, struct err *err) MUST_CHECK;

/* "acquit-worker" -> "ACQUIT_BROKER_PASSWORD_ACQUIT_WORKER". */
void password_variable(const char *user, char ret[static PASSWORD_VARIABLE_SIZE]);

#endif
