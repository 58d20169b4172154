/* clock_ahead.c - a library to preload: the wall clock is CLOCK_AHEAD_S seconds ahead, for the program that has it alone */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t which, struct timespec *now)
{
    int r = (int)syscall(SYS_clock_gettime, which, now);
    const char *ahead = getenv("CLOCK_AHEAD_S");
    if (r == 0 && which == CLOCK_REALTIME && ahead)
        now->tv_sec += strtol(ahead, NULL, 10);
    return r;
}
