/* err.c - how a function says what went wrong */
#include "common/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* The programs' promise to scripts: 1 the answer is no, 75 try again later, 78 bad configuration. */
enum { EXIT_NO = 1, EXIT_TRY_LATER = 75, EXIT_CONFIG = 78 };

/* The text is one line, whatever was put into it. */
static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (!err || err->code != ERR_NONE)
        return -1;
    err->code = code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    one_line(err->text);
    return -1;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
    if (!err || err->code == ERR_NONE)
        return -1;
    char cause[ERR_TEXT_MAX];
    memcpy(cause, err->text, sizeof cause);
    va_list args;
    va_start(args, fmt);
    int written = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    size_t at = written < 0 ? 0 : (size_t)written;
    if (at < sizeof err->text)
        snprintf(err->text + at, sizeof err->text - at, ": %s", cause);
    one_line(err->text);
    return -1;
}

void err_clear(struct err *err)
{
    if (!err)
        return;
    err->code = ERR_NONE;
    err->text[0] = '\0';
}

const char *err_code_text(enum err_code code)
{
    switch (code) {
#define X(id, text)                                                                                                    \
    case ERR_##id:                                                                                                     \
        return text;
        ERR_CODES(X)
#undef X
    }
    return "unknown error";
}

int err_exit_code(const struct err *err)
{
    if (!err)
        return EXIT_NO;
    switch (err->code) {
    case ERR_NONE:
        return 0;
    case ERR_AGAIN:
    case ERR_UNKNOWN: /* our keys make asking again safe */
        return EXIT_TRY_LATER;
    case ERR_CONFIG:
        return EXIT_CONFIG;
    case ERR_INVALID:
    case ERR_CONFLICT:
    case ERR_NOT_FOUND:
    case ERR_DENIED:
    case ERR_LIMIT:
    case ERR_SHORT:
    case ERR_INTERNAL:
        return EXIT_NO;
    }
    return EXIT_NO;
}
