/* clock.c - the one place that reads a clock (clock_text.c is how times are written) */
#include "common/clock.h"

#include <stdbool.h>
#include <sys/random.h>
#include <time.h>

#include "common/log.h"

static int64_t now_ms(clockid_t clock)
{
    struct timespec ts;
    if (clock_gettime(clock, &ts) != 0)
        log_panic("clock %d cannot be read", (int)clock);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void)
{
    return now_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    return now_ms(CLOCK_REALTIME);
}

/* splitmix64 (Steele, Lea, Flood 2014), seeded once by the kernel. */
static uint64_t random_next(void)
{
    static uint64_t state;
    static bool seeded;
    if (!seeded) {
        if (getrandom(&state, sizeof state, 0) != (ssize_t)sizeof state)
            log_panic("getrandom gives no seed");
        seeded = true;
    }
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t clock_random(uint64_t below)
{
    if (below < 2)
        return 0;
    uint64_t rest = UINT64_MAX % below; /* values above the largest multiple would favour small results */
    uint64_t value;
    do
        value = random_next();
    while (rest != below - 1 && value >= UINT64_MAX - rest);
    return value % below;
}
