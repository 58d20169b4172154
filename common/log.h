/* log.h - one line per event, on standard error, as journald likes it
 *
 * A line is `<N>program: text key=value ...` (N: syslog priority, read by journald) under systemd, or with a time and
 * the level's name in front when standard error is a terminal or file. Control characters are escaped, a line is cut at
 * LOG_LINE_MAX. Whoever logs is responsible for not passing a secret; card numbers are masked here as a last net (L11).
 */
#ifndef ACQUIT_COMMON_LOG_H
#define ACQUIT_COMMON_LOG_H

#include "common/err.h"

enum { LOG_LINE_MAX = 2048 };

enum log_level { LOG_DEBUG_LEVEL, LOG_INFO_LEVEL, LOG_WARN_LEVEL, LOG_ERROR_LEVEL };

/* `program` is kept by reference. Level names: debug, info, warn, error. */
void log_open(const char *program, enum log_level least);
int log_level_parse(const char *name, enum log_level *ret) MUST_CHECK;

void log_at(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_debug(...) log_at(LOG_DEBUG_LEVEL, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO_LEVEL, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN_LEVEL, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR_LEVEL, __VA_ARGS__)

/* We are broken (an assertion about our own state failed): logs and aborts. */
_Noreturn void log_panic(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
