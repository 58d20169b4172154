/* args.c - the command line of `acquit` */
#include "workers/operator/args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int args_words(const char *words, int argc, char *const *argv)
{
    int count = 0;
    for (const char *word = words; *word; count++) {
        size_t length = strcspn(word, " ");
        if (count >= argc || strlen(argv[count]) != length || strncmp(argv[count], word, length) != 0)
            return 0;
        word += length + (word[length] == ' ');
    }
    return count;
}

static const struct option_row *find_in(const struct option_row *rows, const char *name, size_t length)
{
    for (; rows && rows->name; rows++)
        if (strlen(rows->name) == length && strncmp(rows->name, name, length) == 0)
            return rows;
    return NULL;
}

static int read_number(const char *text, int64_t *ret)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return -1;
    *ret = value;
    return 0;
}

static int check_value(const struct option_row *row, const char *value, struct err *err)
{
    int64_t number;
    if (row->kind != OPTION_INT)
        return 0;
    if (read_number(value, &number) == 0 && number >= row->least && number <= row->most)
        return 0;
    return err_set(err, ERR_INVALID, "--%s must be an integer from %lld to %lld, not %s", row->name,
                   (long long)row->least, (long long)row->most, value);
}

/* One option, `text` being what stands behind its dashes. *at moves on when the next word is its value. */
static int read_option(const struct option_row *row, const char *text, int argc, char *const *argv, int *at,
                       struct args *ret, struct err *err)
{
    const char *value = strchr(text, '=');
    if (value)
        value++;
    if (row->kind == OPTION_FLAG && value)
        return err_set(err, ERR_INVALID, "--%s takes no value", row->name);
    if (row->kind != OPTION_FLAG && !value) {
        if (*at + 1 >= argc)
            return err_set(err, ERR_INVALID, "--%s needs a value: --%s %s", row->name, row->name, row->value);
        value = argv[++*at];
    }
    if (ret->given_count == ARGS_MAX)
        return err_set(err, ERR_INVALID, "more than %d options", ARGS_MAX);
    ret->given[ret->given_count].name = row->name;
    ret->given[ret->given_count++].value = value;
    return value ? check_value(row, value, err) : 0;
}

static int read_positional(const char *text, struct args *ret, struct err *err)
{
    if (ret->positional_count == ARGS_MAX)
        return err_set(err, ERR_INVALID, "more than %d arguments", ARGS_MAX);
    ret->positional[ret->positional_count++] = text;
    return 0;
}

int args_read(const struct option_row *options, const struct option_row *common, int argc, char *const *argv,
              struct args *ret, struct err *err)
{
    *ret = (struct args){.options = options};
    bool ended = false;
    for (int at = 0; at < argc; at++) {
        const char *text = argv[at];
        int r;
        if (ended || strncmp(text, "--", 2) != 0) {
            r = read_positional(text, ret, err);
        } else if (!text[2]) {
            ended = true;
            continue;
        } else {
            size_t length = strcspn(text + 2, "=");
            const struct option_row *row = find_in(options, text + 2, length);
            row = row ? row : find_in(common, text + 2, length);
            if (!row)
                return err_set(err, ERR_INVALID, "there is no option --%.*s here", (int)length, text + 2);
            r = read_option(row, text + 2, argc, argv, &at, ret, err);
        }
        if (r < 0)
            return -1;
    }
    return 0;
}

const char *args_many(const struct args *args, const char *name, size_t i)
{
    for (size_t k = 0; k < args->given_count; k++)
        if (strcmp(args->given[k].name, name) == 0 && i-- == 0)
            return args->given[k].value;
    return NULL;
}

bool args_flag(const struct args *args, const char *name)
{
    for (size_t k = 0; k < args->given_count; k++)
        if (strcmp(args->given[k].name, name) == 0)
            return true;
    return false;
}

const char *args_text(const struct args *args, const char *name, const char *fallback)
{
    const char *value = fallback;
    for (size_t k = 0; k < args->given_count; k++)
        if (strcmp(args->given[k].name, name) == 0)
            value = args->given[k].value;
    return value;
}

int64_t args_int(const struct args *args, const char *name, int64_t fallback)
{
    int64_t number = fallback;
    const char *value = args_text(args, name, NULL);
    return value && read_number(value, &number) == 0 ? number : fallback;
}
