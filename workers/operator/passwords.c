/* passwords.c - where the passwords of the broker's users come from */
#include "workers/operator/passwords.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

void password_variable(const char *user, char ret[static PASSWORD_VARIABLE_SIZE])
{
    int prefix = snprintf(ret, PASSWORD_VARIABLE_SIZE, "ACQUIT_BROKER_PASSWORD_%s", "");
    size_t at = (size_t)prefix;
    for (; *user && at + 1 < PASSWORD_VARIABLE_SIZE; user++)
        ret[at++] = (char)(isalnum((unsigned char)*user) ? toupper((unsigned char)*user) : '_');
    ret[at] = 0;
}

static int read_file(const char *path, char **ret, struct err *err)
{
    char line[PASSWORD_MAX + 2] = "";
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(err, ERR_INVALID, "%s: %s", path, strerror(errno));
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    line[strcspn(line, "\r\n")] = 0;
    if (!read || !*line || strlen(line) > PASSWORD_MAX)
        return err_set(err, ERR_INVALID, "%s: its first line must be a password of at most %d characters", path,
                       PASSWORD_MAX);
    *ret = mem_text(line);
    return 0;
}

int password_find(const struct args *args, const char *user, char **ret, struct err *err)
{
    size_t length = strlen(user);
    const char *given;
    *ret = NULL;
    for (size_t i = 0; (given = args_many(args, "password-file", i)); i++)
        if (strncmp(given, user, length) == 0 && given[length] == '=')
            return read_file(given + length + 1, ret, err);
    char variable[PASSWORD_VARIABLE_SIZE];
    password_variable(user, variable);
    const char *value = getenv(variable);
    if (value && *value)
        *ret = mem_text(value);
    return 0;
}
