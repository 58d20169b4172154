/* clock.h - real time, and the times the twins believe in (which a test can move) */
#ifndef TWINS_CLOCK_H
#define TWINS_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Whose clock. Each can be moved on its own, so that idempotency keys can age without every signed vote looking old.
 * */
#define CLOCKS(X) X(STRIPE, "stripe") X(PAYPAL, "paypal") X(VALIDATORS, "validators") X(WEBHOOKS, "webhooks")
#define X(id, text) CLOCK_##id,
enum clock_of { CLOCKS(X) };
#undef X
#define X(id, text) +1
enum { CLOCK_COUNT = 0 CLOCKS(X) };
#undef X

int64_t clock_real_ms(void);           /* Unix milliseconds */
int64_t clock_monotonic_ms(void);      /* for delays; unrelated to the calendar */
int64_t clock_ms(enum clock_of whose); /* Unix milliseconds as that twin sees them */
int64_t clock_offset_seconds(enum clock_of whose);
bool clock_advance(enum clock_of whose, int64_t seconds); /* false if it would leave +-10 years */
bool clock_named(const char *name, enum clock_of *ret);
const char *clock_name(enum clock_of whose);

#endif
