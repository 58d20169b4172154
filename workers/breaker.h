/* breaker.h - the circuit breaker of one provider: may a new payment go there?
 *
 *     closed ── too many failed or slow calls in the window ──▶ open ── open_ms over ──▶ half-open ── probe fails ──▶ open
 *        ▲                                                                                  │
 *        └──────────────────────────────── the probe is answered ◀─────────────────────────┘
 *
 * Pure: the caller says what time it is (monotonic). It counts calls that may have an effect, not questions: those go on
 * whatever it says. In half-open one payment, the probe, is let through; when nothing is heard of it for open_ms,
 * another one is.
 */
#ifndef ACQUIT_WORKERS_BREAKER_H
#define ACQUIT_WORKERS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ids.h"

enum { BREAKER_SLICES = 10 /* the window slides in steps of a tenth */ };

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };
const char *breaker_state_text(enum breaker_state state);

struct breaker_settings {
    int64_t window_ms, calls_least, error_percent, slow_ms, slow_percent, open_ms;
};

/* All zero: closed, nothing known. */
struct breaker {
    struct breaker_slice {
        int64_t number; /* which tenth of a window since the clock began */
        int64_t calls, errors, slow;
    } slices[BREAKER_SLICES];
    bool tripped;      /* open or half-open */
    int64_t retry_ms;  /* tripped: half-open from here on */
    struct uuid probe; /* nil: none is under way */
    int64_t probe_ms;  /* when nothing is heard of it until then, it is forgotten */
};

enum breaker_state breaker_state(const struct breaker *breaker, int64_t now_ms);
/* May this payment begin at the provider now? Changes nothing. */
bool breaker_permits(const struct breaker *breaker, struct uuid payment, int64_t now_ms);
/* It does: in half-open it is the probe from now on. */
void breaker_begin(struct breaker *breaker, const struct breaker_settings *settings, struct uuid payment,
                   int64_t now_ms);
/* A call of this payment ended. `failed`: without a clear answer. True when the breaker opened or closed by it. */
bool breaker_note(struct breaker *breaker, const struct breaker_settings *settings, struct uuid payment, bool failed,
                  int64_t took_ms, int64_t now_ms);
/* What the window holds. */
struct breaker_slice breaker_window(const struct breaker *breaker, const struct breaker_settings *settings,
                                    int64_t now_ms);

#endif
