/* clock.h - the one place that reads a clock
 *
 * The simulation links another clock.c. Monotonic time is for waits and deadlines inside a process; wall time is for
 * what leaves it.
 */
#ifndef ACQUIT_COMMON_CLOCK_H
#define ACQUIT_COMMON_CLOCK_H

#include <stdint.h>

enum { CLOCK_TEXT_SIZE = 32 };

int64_t clock_monotonic_ms(void);
int64_t clock_wall_ms(void); /* milliseconds since 1970-01-01 UTC */

/* "2026-11-20T10:00:00.123Z". Returns ret. */
const char *clock_format(int64_t wall_ms, char ret[static CLOCK_TEXT_SIZE]);
/* RFC 3339 with 'Z' or an offset; -1 when it is not. */
int clock_parse(const char *text, int64_t *ret_wall_ms) __attribute__((warn_unused_result));
/* The same, or a day alone ("2026-11-20"), which begins at midnight UTC. */
int clock_parse_day(const char *text, int64_t *ret_wall_ms) __attribute__((warn_unused_result));

/* Uniformly random in [0, below); for jitter, not for secrets. The simulation seeds it. */
uint64_t clock_random(uint64_t below);

#endif
