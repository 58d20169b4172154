/* test_saga_random.c - random histories of one payment, each brought to rest, no law broken on the way
 *
 * ACQUIT_SEED chooses other histories than the usual ones; a failure prints the seed of its history and the history.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/saga_sim.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
enum { HISTORIES = 20000 }; /* slow builds */
#else
enum { HISTORIES = 100000 };
#endif

static const uint64_t USUAL_SEED = 20261120;

static void fail_history(uint64_t seed)
{
    static struct sim sim;
    static struct coverage ignored;
    sim_run(&sim, seed, true, &ignored);
    fail_msg("history with seed %llu: %s", (unsigned long long)seed, sim.failure);
}

/* Prints how often each was reached; what was never reached was not tested. */
static int report(const char *what, const char *const *names, const long *counts, int first, int count)
{
    int missing = 0;
    for (int i = first; i < count; i++) {
        printf("%-9s %9ld  %s\n", what, counts[i], names[i]);
        missing += counts[i] == 0;
    }
    return missing;
}

static int report_all(const struct coverage *c)
{
    static const char *const SLOTS[] = {
#define X(id) #id,
        SLOT_KINDS(X)
#undef X
    };
    static const char *const EVENTS[] = {
#define X(id, text) text,
        SIM_EVENTS(X)
#undef X
    };
    static const char *const STATES[] = {
#define X(id, text) text,
        SAGA_STATES(X)
#undef X
    };
    static const char *const PUBLICS[] = {
#define X(id, text) text,
        PUBLIC_STATES(X)
#undef X
    };
    return report("slot", SLOTS, c->slots, SLOT_UNKNOWN + 1, SLOT_KIND_COUNT) +
           report("state", STATES, c->states, 0, SAGA_STATE_COUNT) +
           report("public", PUBLICS, c->publics, 0, PUBLIC_STATE_COUNT) +
           report("event", EVENTS, c->events, 0, SIM_EVENT_COUNT);
}

static void test_histories(void **state)
{
    (void)state;
    static struct sim sim;
    static struct coverage coverage;
    const char *chosen = getenv("ACQUIT_SEED");
    struct dice seeds = {chosen ? strtoull(chosen, NULL, 10) : USUAL_SEED};
    printf("%d histories, ACQUIT_SEED=%llu\n", (int)HISTORIES, (unsigned long long)seeds.state);
    for (int i = 0; i < HISTORIES; i++) {
        uint64_t seed = dice_roll(&seeds);
        if (!sim_run(&sim, seed, false, &coverage))
            fail_history(seed);
    }
    assert_int_equal(coverage.slots[SLOT_UNKNOWN], 0);
    assert_int_equal(report_all(&coverage), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_histories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
