/* log.c - one line per event, on standard error
 *
 * A line is built in a buffer and leaves in one write(), so that lines of several processes on one descriptor do not
 * mix.
 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/pan.h"

/* The text before escaping and cutting: longer than a line, so that a card number is masked before the cut could hide
 * half of it. */
enum { RAW_MAX = 2 * LOG_LINE_MAX };

static const struct {
    const char *name;
    int priority; /* syslog's, as sd-daemon(3) wants it */
} levels[] = {
    [LOG_DEBUG_LEVEL] = {"debug", 7},
    [LOG_INFO_LEVEL] = {"info", 6},
    [LOG_WARN_LEVEL] = {"warn", 4},
    [LOG_ERROR_LEVEL] = {"error", 3},
};
enum { LEVEL_COUNT = sizeof levels / sizeof levels[0] };

static struct {
    const char *program;
    enum log_level least;
    bool journal; /* standard error is a stream of journald's */
} state = {"acquit", LOG_INFO_LEVEL, false};

/* $JOURNAL_STREAM is "device:inode" of the stream systemd gave us; it is inherited, so it counts only if it still is
 * our standard error. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    if (!stream || fstat(STDERR_FILENO, &st) != 0)
        return false;
    char mine[64];
    snprintf(mine, sizeof mine, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(stream, mine) == 0;
}

void log_open(const char *program, enum log_level least)
{
    state.program = program;
    state.least = least;
    state.journal = stderr_is_journal();
}

int log_level_parse(const char *name, enum log_level *ret)
{
    for (int i = 0; i < LEVEL_COUNT; i++)
        if (strcmp(name, levels[i].name) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    return -1;
}

/* Copies `text` with control characters (C0, DEL, and C1 in UTF-8) as \xNN, and \n as \n. Cuts at `size`, never inside
 * an escape or a character. */
static size_t escape(const char *text, char *ret, size_t size)
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        char piece[8];
        size_t length = 1;
        if (*p == '\n') {
            length = (size_t)snprintf(piece, sizeof piece, "\\n");
        } else if (*p < 0x20 || *p == 0x7f) {
            length = (size_t)snprintf(piece, sizeof piece, "\\x%02x", *p);
        } else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) {
            length = (size_t)snprintf(piece, sizeof piece, "\\x%02x", *++p);
        } else {
            piece[0] = (char)*p;
        }
        if (n + length > size) {
            while (n && ((unsigned char)ret[n - 1] & 0xc0) == 0x80)
                n--;
            if (n && (unsigned char)ret[n - 1] >= 0xc0)
                n--;
            return n;
        }
        memcpy(ret + n, piece, length);
        n += length;
    }
    return n;
}

static size_t line_head(enum log_level level, char *ret, size_t size)
{
    int n;
    if (state.journal) {
        n = snprintf(ret, size, "<%d>%s: ", levels[level].priority, state.program);
    } else {
        char now[CLOCK_TEXT_SIZE];
        n = snprintf(ret, size, "%s %s %s: ", clock_format(clock_wall_ms(), now), levels[level].name, state.program);
    }
    if (n < 0)
        return 0;
    return (size_t)n < size ? (size_t)n : size - 1;
}

static void write_line(enum log_level level, const char *fmt, va_list args)
{
    char raw[RAW_MAX], line[LOG_LINE_MAX];
    int saved = errno;
    if (vsnprintf(raw, sizeof raw, fmt, args) < 0)
        snprintf(raw, sizeof raw, "unprintable line: %s", fmt);
    pan_mask(raw, strlen(raw)); /* L11 */
    size_t n = line_head(level, line, sizeof line - 1);
    n += escape(raw, line + n, sizeof line - 1 - n);
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written; /* nowhere left to complain */
    errno = saved;
}

void log_at(enum log_level level, const char *fmt, ...)
{
    if (level < state.least)
        return;
    va_list args;
    va_start(args, fmt);
    write_line(level, fmt, args);
    va_end(args);
}

void log_panic(const char *fmt, ...)
{
    char text[RAW_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    log_at(LOG_ERROR_LEVEL, "panic: %s", text);
    abort();
}
