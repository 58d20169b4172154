/* test_money.c - common/money: no overflow passes, no cent is rounded up, every exponent prints right (L8) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/money.h"

#ifdef __SANITIZE_ADDRESS__
enum { SPLITS = 100000 }; /* slower, and looking for other mistakes */
#else
enum { SPLITS = 1000000 };
#endif

static void test_sum_and_difference(void **state)
{
    (void)state;
    struct err err = {0};
    int64_t n = 7;
    assert_int_equal(money_add(2, 3, &n, &err), 0);
    assert_int_equal(n, 5);
    assert_int_equal(money_sub(2, 3, &n, &err), 0);
    assert_int_equal(n, -1);
    assert_int_equal(money_add(INT64_MAX, 0, &n, &err), 0);
    assert_true(n == INT64_MAX);
    assert_int_equal(err.code, ERR_NONE);
}

static void test_overflow_leaves_the_result_alone(void **state)
{
    (void)state;
    struct err err = {0};
    int64_t n = 7;
    assert_int_equal(money_add(INT64_MAX, 1, &n, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(n, 7);
    assert_int_equal(money_add(INT64_MIN, -1, &n, NULL), -1);
    assert_int_equal(money_sub(INT64_MIN, 1, &n, NULL), -1);
    assert_int_equal(money_sub(0, INT64_MIN, &n, NULL), -1);
    assert_int_equal(n, 7);
}

static void test_share_rounds_down_exactly(void **state)
{
    (void)state;
    assert_int_equal(money_share(10000, 25000), 250);
    assert_int_equal(money_share(99, 25000), 2); /* 2.475 */
    assert_int_equal(money_share(39, 25000), 0); /* 0.975 */
    assert_int_equal(money_share(40, 25000), 1);
    assert_int_equal(money_share(0, 1000000), 0);
    assert_int_equal(money_share(5, 0), 0);
    assert_true(money_share(INT64_MAX, 1000000) == INT64_MAX);
    assert_true(money_share(INT64_MAX, 999999) == INT64_C(9223362813482738952)); /* past 64 bits on the way */
}

static uint64_t seed;

static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13; /* xorshift64 */
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

/* Amounts of all sizes, up to the largest. */
static int64_t random_amount(void)
{
    return (int64_t)(chance((uint64_t)INT64_MAX) >> chance(63)) + (int64_t)chance(2);
}

/* What is taken and what is left are the whole; what is taken is no unit more than the share, and less than one unit less. */
static void test_a_million_splits(void **state)
{
    (void)state;
    struct err err = {0};
    seed = 20261128;
    for (int i = 0; i < SPLITS; i++) {
        int64_t amount = random_amount(), ppm = (int64_t)chance(MONEY_PPM + 1), rest, whole;
        int64_t share = money_share(amount, ppm);
        assert_true(share >= 0 && share <= amount);
        assert_true((__int128)share * MONEY_PPM <= (__int128)amount * ppm &&
                    (__int128)(share + 1) * MONEY_PPM > (__int128)amount * ppm);
        assert_true(money_sub(amount, share, &rest, &err) == 0 && rest >= 0);
        assert_true(money_add(rest, share, &whole, &err) == 0 && whole == amount);
    }
}

/* A share that is handed out in parts comes to the whole share with the last of them, and never to more before. */
static void test_a_million_portions(void **state)
{
    (void)state;
    seed = 20261129;
    for (int i = 0; i < SPLITS; i++) {
        int64_t whole = random_amount(), share, part, given = 0;
        if (whole == 0)
            continue;
        share = (int64_t)chance((uint64_t)whole) + (int64_t)chance(2);
        for (part = 0; part < whole;) {
            part += 1 + (int64_t)chance((uint64_t)(whole - part));
            int64_t due = money_portion(share, part, whole);
            assert_true(due >= given && due <= share);
            assert_true((__int128)due * whole <= (__int128)share * part &&
                        (__int128)(due + 1) * whole > (__int128)share * part);
            given = due;
        }
        assert_true(given == share);
    }
}

static void test_currencies(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        int exponent;
    } known[] = {
        {"EUR", 2}, {"USD", 2}, {"JPY", 0}, {"XOF", 0}, {"XAF", 0}, {"XPF", 0}, {"KRW", 0}, {"CLP", 0}, {"ISK", 0},
        {"UGX", 0}, {"RWF", 0}, {"KWD", 3}, {"BHD", 3}, {"TND", 3}, {"OMR", 3}, {"JOD", 3}, {"IQD", 3}, {"LYD", 3},
        {"CLF", 4}, {"UYW", 4}, {"HUF", 2}, {"MGA", 2}, {"MRU", 2}, {"AED", 2}, {"ZWG", 2},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const struct currency *currency = currency_find(known[i].code);
        assert_non_null(currency);
        assert_string_equal(currency->code, known[i].code);
        assert_int_equal(currency->exponent, known[i].exponent);
    }
    static const char *const unknown[] = {"", "eur", "EU", "EURO", "XXX", "XTS", "XAU", "XDR", "DEM", "HRK", "BGN"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_null(currency_find(unknown[i]));
}

/* The look-up halves a sorted table: every code must be found, so the table must be in order and without doubles. */
static void test_every_code_is_found(void **state)
{
    (void)state;
    int found = 0, by_exponent[5] = {0};
    for (int a = 'A'; a <= 'Z'; a++)
        for (int b = 'A'; b <= 'Z'; b++)
            for (int c = 'A'; c <= 'Z'; c++) {
                const struct currency *currency = currency_find((char[]){(char)a, (char)b, (char)c, '\0'});
                if (!currency)
                    continue;
                found++;
                by_exponent[currency->exponent]++;
            }
    assert_int_equal(by_exponent[0], 17);
    assert_int_equal(by_exponent[1], 0);
    assert_int_equal(by_exponent[2], 138);
    assert_int_equal(by_exponent[3], 7);
    assert_int_equal(by_exponent[4], 2);
    assert_int_equal(found, 164);
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        int64_t amount;
        const char *currency, *text;
    } cases[] = {
        {2500, "EUR", "25.00 EUR"},
        {1000, "XOF", "1000 XOF"},
        {1234, "KWD", "1.234 KWD"},
        {5, "EUR", "0.05 EUR"},
        {0, "EUR", "0.00 EUR"},
        {-5, "EUR", "-0.05 EUR"},
        {7, "CLF", "0.0007 CLF"},
        {INT64_MAX, "EUR", "92233720368547758.07 EUR"},
        {INT64_MIN, "KWD", "-9223372036854775.808 KWD"},
        {2500, "QQQ", "2500 minor QQQ"},
        {INT64_MIN, "LONGER", "-9223372036854775808 minor LON"},
    };
    char text[MONEY_TEXT_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(money_format(cases[i].amount, cases[i].currency, text), cases[i].text);
    assert_string_equal(money_decimal(2500, 2, text), "25.00");
    assert_string_equal(money_decimal(2500, 0, text), "2500");
    assert_string_equal(money_decimal(INT64_MIN, 4, text), "-922337203685477.5808");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_and_difference),        cmocka_unit_test(test_overflow_leaves_the_result_alone),
        cmocka_unit_test(test_share_rounds_down_exactly), cmocka_unit_test(test_a_million_splits),
        cmocka_unit_test(test_a_million_portions),        cmocka_unit_test(test_currencies),
        cmocka_unit_test(test_every_code_is_found),       cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
