/* clock.c - real time, and the times the twins believe in (which a test can move)
 *
 * Offsets are read and written under the books' lock only.
 */
#include "clock.h"

#include <string.h>
#include <time.h>

static const int64_t TEN_YEARS_SECONDS = 10LL * 366 * 86400;

#define X(id, text) [CLOCK_##id] = text,
static const char *const names[CLOCK_COUNT] = {CLOCKS(X)};
#undef X

static int64_t offsets[CLOCK_COUNT]; /* seconds */

static int64_t read_clock(clockid_t which)
{
    struct timespec now = {0};
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_real_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_monotonic_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_ms(enum clock_of whose)
{
    return clock_real_ms() + offsets[whose] * 1000;
}

int64_t clock_offset_seconds(enum clock_of whose)
{
    return offsets[whose];
}

bool clock_advance(enum clock_of whose, int64_t seconds)
{
    int64_t moved;
    if (__builtin_add_overflow(offsets[whose], seconds, &moved))
        return false;
    if (moved > TEN_YEARS_SECONDS || moved < -TEN_YEARS_SECONDS)
        return false;
    offsets[whose] = moved;
    return true;
}

bool clock_named(const char *name, enum clock_of *ret)
{
    for (int i = 0; i < CLOCK_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret = (enum clock_of)i;
            return true;
        }
    }
    return false;
}

const char *clock_name(enum clock_of whose)
{
    return names[whose];
}
