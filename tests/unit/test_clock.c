/* test_clock.c - common/clock: times to text and back, and numbers that are spread evenly */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/clock.h"

static void test_format(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {INT64_C(1795168800123), "2026-11-20T10:00:00.123Z"},
        {INT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    char text[CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(clock_format(cases[i].ms, text), cases[i].text);
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"2026-11-20T10:00:00.123Z", INT64_C(1795168800123)},
        {"2026-11-20T10:00:00.1Z", INT64_C(1795168800100)},
        {"2026-11-20T10:00:00.123999999Z", INT64_C(1795168800123)},
        {"2026-11-20T11:30:00.123+01:30", INT64_C(1795168800123)},
        {"2026-11-20T04:00:00.123-06:00", INT64_C(1795168800123)},
        {"2026-11-20T10:00:00-00:00", INT64_C(1795168800000)},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000)},
        {"1990-12-31T23:59:60Z", INT64_C(662688000000)}, /* RFC 3339, 5.8 */
        {"1937-01-01T12:00:27.87+00:20", INT64_C(-1041337172130)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = 7;
        assert_int_equal(clock_parse(cases[i].text, &ms), 0);
        assert_true(ms == cases[i].ms);
    }
}

static void test_parse_refuses(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "2026-11-20",
        "2026-11-20T10:00:00",
        "2026-11-20T10:00Z",
        "2026-11-20 10:00:00Z",
        "2026-11-20T10:00:00Zx",
        "2026-11-20T10:00:00.Z",
        "2026-11-20T10:00:00.1234567890Z",
        "2026-11-20T10:00:00+01",
        "2026-11-20T10:00:00+0100",
        "2026-11-20T10:00:00+24:00",
        "2026-11-20T10:00:00+01:60",
        "2026-13-20T10:00:00Z",
        "2026-00-20T10:00:00Z",
        "2026-11-31T10:00:00Z",
        "2026-11-00T10:00:00Z",
        "2026-02-29T10:00:00Z",
        "1900-02-29T10:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T10:60:00Z",
        "2026-11-20T10:00:61Z",
        "+026-11-20T10:00:00Z",
        "2026-11-20T10:00:0",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = 7;
        assert_int_equal(clock_parse(cases[i], &ms), -1);
        assert_int_equal(ms, 7);
    }
}

static void test_there_and_back(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_SIZE];
    for (int i = 0; i < 10000; i++) {
        int64_t ms = (int64_t)clock_random(UINT64_C(253402300800000)), back = -1;
        assert_int_equal(clock_parse(clock_format(ms, text), &back), 0);
        assert_true(ms == back);
    }
}

static void test_clocks_run(void **state)
{
    (void)state;
    int64_t before = clock_monotonic_ms();
    assert_true(clock_wall_ms() > INT64_C(1700000000000));
    assert_true(clock_monotonic_ms() >= before);
}

static void test_random_stays_below_and_is_even(void **state)
{
    (void)state;
    assert_int_equal(clock_random(0), 0);
    assert_int_equal(clock_random(1), 0);
    int counts[6] = {0};
    for (int i = 0; i < 60000; i++) {
        uint64_t n = clock_random(6);
        assert_true(n < 6);
        counts[n]++;
    }
    for (int i = 0; i < 6; i++)
        assert_in_range(counts[i], 9500, 10500); /* more than five standard deviations */
    /* Two thirds of 2^64: taking a remainder without rejecting would put two thirds of the results into the lower
     * half. */
    int low = 0;
    uint64_t below = UINT64_C(12297829382473034411);
    for (int i = 0; i < 10000; i++)
        low += clock_random(below) < below / 2;
    assert_in_range(low, 4750, 5250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses), cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_clocks_run),    cmocka_unit_test(test_random_stays_below_and_is_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
