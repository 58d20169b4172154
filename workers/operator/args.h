/* args.h - the command line of `acquit`: words choose a command, its options and arguments follow
 *
 * Pure: reads argv, touches nothing else. Options may stand anywhere after the words, as `--name value`, `--name=value`
 * or, for a flag, `--name`; `--` ends them.
 */
#ifndef ACQUIT_WORKERS_OPERATOR_ARGS_H
#define ACQUIT_WORKERS_OPERATOR_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { ARGS_MAX = 64, OPTIONS_MAX = 12 };

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_INT, OPTION_MANY /* text, repeatable */ };
struct option_row {
    const char *name; /* "limit"; NULL ends a table */
    enum option_kind kind;
    int64_t least, most; /* OPTION_INT */
    const char *value;   /* how the help calls it: "N" */
    const char *sentence;
};

struct args {
    const struct option_row *options; /* the command's own */
    size_t positional_count;
    const char *positional[ARGS_MAX];
    size_t given_count;
    struct {
        const char *name;  /* of the table's row */
        const char *value; /* NULL for a flag */
    } given[ARGS_MAX];
};

/* How many of argv's words (from argv[0] on) are the words of `command` ("payment show"); 0 when it is another command.
 */
int args_words(const char *words, int argc, char *const *argv);

/* Reads what follows the words. `options` are the command's own, `common` those of every command; ERR_INVALID says what
 * is wrong. */
int args_read(const struct option_row *options, const struct option_row *common, int argc, char *const *argv,
              struct args *ret, struct err *err) MUST_CHECK;

bool args_flag(const struct args *args, const char *name);
const char *args_text(const struct args *args, const char *name, const char *fallback); /* the last one given */
int64_t args_int(const struct args *args, const char *name, int64_t fallback);          /* checked by args_read() */
/* The i-th value given for a repeatable option, or NULL. */
const char *args_many(const struct args *args, const char *name, size_t i);

#endif
