/* test_breaker.c - when a breaker opens, whom it lets through, what closes it; with a clock of the test's own */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "workers/breaker.h"

static const struct breaker_settings settings = {
    .window_ms = 1000, .calls_least = 4, .error_percent = 50, .slow_ms = 100, .slow_percent = 75, .open_ms = 500};

static struct uuid payment(uint8_t n)
{
    return (struct uuid){.bytes = {[15] = n}};
}

/* Notes `count` calls of other payments at that time; the last one's answer. */
static bool calls(struct breaker *breaker, int count, bool failed, int64_t took_ms, int64_t now_ms)
{
    bool changed = false;
    for (int i = 0; i < count; i++)
        changed = breaker_note(breaker, &settings, payment(200), failed, took_ms, now_ms);
    return changed;
}

static void test_opens_on_errors(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    assert_false(calls(&breaker, 2, false, 10, 10000));
    assert_false(calls(&breaker, 1, true, 10, 10000));
    assert_int_equal(breaker_state(&breaker, 10000), BREAKER_CLOSED); /* 1 of 3, and fewer than the least */
    assert_true(calls(&breaker, 1, true, 10, 10000));                 /* 2 of 4 */
    assert_int_equal(breaker_state(&breaker, 10000), BREAKER_OPEN);
    assert_false(breaker_permits(&breaker, payment(1), 10499));
}

static void test_stays_closed_below_the_rate_and_the_least(void **state)
{
    (void)state;
    struct breaker few = {0}, many = {0};
    assert_false(calls(&few, 3, true, 10, 10000));
    assert_int_equal(breaker_state(&few, 10000), BREAKER_CLOSED);
    calls(&many, 51, false, 10, 10000);
    calls(&many, 49, true, 10, 10000);
    assert_int_equal(breaker_state(&many, 10000), BREAKER_CLOSED);
    assert_true(calls(&many, 2, true, 10, 10000)); /* 51 of 102 */
}

static void test_opens_on_slowness(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    calls(&breaker, 2, false, 100, 10000); /* as long as is allowed */
    calls(&breaker, 5, false, 101, 10000);
    assert_int_equal(breaker_state(&breaker, 10000), BREAKER_CLOSED);
    assert_true(calls(&breaker, 1, false, 101, 10000)); /* 6 of 8 */
}

static void test_the_window_slides(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    calls(&breaker, 3, true, 10, 10000);
    assert_int_equal(breaker_window(&breaker, &settings, 10999).calls, 3);
    assert_int_equal(breaker_window(&breaker, &settings, 11000).calls, 0);
    calls(&breaker, 3, true, 10, 11050); /* the same slice, one turn of the ring later */
    assert_int_equal(breaker_window(&breaker, &settings, 11050).calls, 3);
    assert_int_equal(breaker_state(&breaker, 11050), BREAKER_CLOSED);
    calls(&breaker, 1, true, 10, 11950);
    assert_int_equal(breaker_state(&breaker, 11950), BREAKER_OPEN);
}

static void test_half_open_lets_one_through(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    calls(&breaker, 4, true, 10, 10000);
    assert_int_equal(breaker_state(&breaker, 10500), BREAKER_HALF_OPEN);
    assert_true(breaker_permits(&breaker, payment(1), 10500));
    assert_true(breaker_permits(&breaker, payment(2), 10500)); /* looking takes nothing */
    breaker_begin(&breaker, &settings, payment(1), 10500);
    assert_true(breaker_permits(&breaker, payment(1), 10600));
    assert_false(breaker_permits(&breaker, payment(2), 10600));
    assert_false(breaker_permits(&breaker, payment(2), 10999));
    assert_true(breaker_permits(&breaker, payment(2), 11000)); /* nothing was heard of the first */
}

static void test_only_the_probe_decides(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    calls(&breaker, 4, true, 10, 10000);
    assert_false(calls(&breaker, 9, false, 10, 10400));
    breaker_begin(&breaker, &settings, payment(1), 10500);
    assert_false(calls(&breaker, 9, false, 10, 10510)); /* began before */
    assert_int_equal(breaker_state(&breaker, 10510), BREAKER_HALF_OPEN);
    assert_true(breaker_note(&breaker, &settings, payment(1), true, 10, 10520));
    assert_int_equal(breaker_state(&breaker, 11019), BREAKER_OPEN);
    assert_int_equal(breaker_state(&breaker, 11020), BREAKER_HALF_OPEN);
    breaker_begin(&breaker, &settings, payment(2), 11020);
    assert_true(breaker_note(&breaker, &settings, payment(2), false, 10, 11030));
    assert_int_equal(breaker_state(&breaker, 11030), BREAKER_CLOSED);
    assert_int_equal(breaker_window(&breaker, &settings, 11030).calls, 0);
}

static void test_a_slow_probe_opens_again(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    calls(&breaker, 4, true, 10, 10000);
    breaker_begin(&breaker, &settings, payment(1), 10500);
    assert_true(breaker_note(&breaker, &settings, payment(1), false, 101, 10601));
    assert_int_equal(breaker_state(&breaker, 10601), BREAKER_OPEN);
}

static void test_only_half_open_has_a_probe(void **state)
{
    (void)state;
    struct breaker breaker = {0};
    breaker_begin(&breaker, &settings, payment(1), 10000);
    calls(&breaker, 4, true, 10, 10000);
    breaker_begin(&breaker, &settings, payment(1), 10100); /* begun when it was closed, and written only now */
    assert_true(breaker_permits(&breaker, payment(2), 10500));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_on_errors),
        cmocka_unit_test(test_stays_closed_below_the_rate_and_the_least),
        cmocka_unit_test(test_opens_on_slowness),
        cmocka_unit_test(test_the_window_slides),
        cmocka_unit_test(test_half_open_lets_one_through),
        cmocka_unit_test(test_only_the_probe_decides),
        cmocka_unit_test(test_a_slow_probe_opens_again),
        cmocka_unit_test(test_only_half_open_has_a_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
