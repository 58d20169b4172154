/* timer.h - one thread that calls back later */
#ifndef TWINS_TIMER_H
#define TWINS_TIMER_H

#include <stdbool.h>
#include <stdint.h>

bool timer_start(void);

/* Calls back once, in the timer's thread, no lock held. False: not started, stopped, or too many: do it yourself. */
bool timer_add(int64_t delay_ms, void (*call)(void *), void *with);

/* Waits for a callback under way; those still waiting are not called any more. */
void timer_stop(void);

#endif
