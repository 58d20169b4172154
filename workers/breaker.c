/* breaker.c - see breaker.h */
#include "workers/breaker.h"

#include <string.h>

const char *breaker_state_text(enum breaker_state state)
{
    switch (state) {
    case BREAKER_CLOSED:
        return "closed";
    case BREAKER_HALF_OPEN:
        return "half-open";
    case BREAKER_OPEN:
        return "open";
    }
    return "";
}

enum breaker_state breaker_state(const struct breaker *breaker, int64_t now_ms)
{
    if (!breaker->tripped)
        return BREAKER_CLOSED;
    return now_ms < breaker->retry_ms ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

static bool probe_under_way(const struct breaker *breaker, int64_t now_ms)
{
    return !uuid_is_nil(breaker->probe) && now_ms < breaker->probe_ms;
}

bool breaker_permits(const struct breaker *breaker, struct uuid payment, int64_t now_ms)
{
    switch (breaker_state(breaker, now_ms)) {
    case BREAKER_CLOSED:
        return true;
    case BREAKER_HALF_OPEN:
        /* The probe itself may ask again: its transaction may have to be run twice. */
        return !probe_under_way(breaker, now_ms) || uuid_equal(breaker->probe, payment);
    case BREAKER_OPEN:
        return false;
    }
    return true;
}

void breaker_begin(struct breaker *breaker, const struct breaker_settings *settings, struct uuid payment,
                   int64_t now_ms)
{
    if (breaker_state(breaker, now_ms) != BREAKER_HALF_OPEN)
        return;
    breaker->probe = payment;
    breaker->probe_ms = now_ms + settings->open_ms;
}

static int64_t slice_number(const struct breaker_settings *settings, int64_t now_ms)
{
    int64_t slice_ms = settings->window_ms / BREAKER_SLICES;
    return now_ms / (slice_ms ? slice_ms : 1);
}

struct breaker_slice breaker_window(const struct breaker *breaker, const struct breaker_settings *settings,
                                    int64_t now_ms)
{
    struct breaker_slice sum = {.number = slice_number(settings, now_ms)};
    for (int i = 0; i < BREAKER_SLICES; i++) {
        const struct breaker_slice *slice = &breaker->slices[i];
        if (slice->number <= sum.number - BREAKER_SLICES || slice->number > sum.number)
            continue;
        sum.calls += slice->calls;
        sum.errors += slice->errors;
        sum.slow += slice->slow;
    }
    return sum;
}

static void count(struct breaker *breaker, const struct breaker_settings *settings, bool failed, bool slow,
                  int64_t now_ms)
{
    int64_t number = slice_number(settings, now_ms);
    struct breaker_slice *slice = &breaker->slices[number % BREAKER_SLICES];
    if (slice->number != number)
        *slice = (struct breaker_slice){.number = number};
    slice->calls++;
    slice->errors += failed;
    slice->slow += slow;
}

static bool is_bad(const struct breaker_slice *window, const struct breaker_settings *settings)
{
    if (window->calls < settings->calls_least)
        return false;
    return window->errors * 100 >= settings->error_percent * window->calls ||
           window->slow * 100 >= settings->slow_percent * window->calls;
}

static void open_until(struct breaker *breaker, int64_t retry_ms)
{
    memset(breaker, 0, sizeof *breaker);
    breaker->tripped = true;
    breaker->retry_ms = retry_ms;
}

/* Only the probe decides: what others began before it tells of another time. */
static bool judge_probe(struct breaker *breaker, const struct breaker_settings *settings, struct uuid payment, bool bad,
                        int64_t now_ms)
{
    if (uuid_is_nil(breaker->probe) || !uuid_equal(breaker->probe, payment))
        return false;
    if (bad)
        open_until(breaker, now_ms + settings->open_ms);
    else
        memset(breaker, 0, sizeof *breaker);
    return true;
}

bool breaker_note(struct breaker *breaker, const struct breaker_settings *settings, struct uuid payment, bool failed,
                  int64_t took_ms, int64_t now_ms)
{
    bool slow = took_ms > settings->slow_ms;
    if (breaker->tripped)
        return judge_probe(breaker, settings, payment, failed || slow, now_ms);
    count(breaker, settings, failed, slow, now_ms);
    struct breaker_slice window = breaker_window(breaker, settings, now_ms);
    if (!is_bad(&window, settings))
        return false;
    open_until(breaker, now_ms + settings->open_ms);
    return true;
}
