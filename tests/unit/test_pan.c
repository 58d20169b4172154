/* test_pan.c - common/pan: which digits are a card number, and which only look like one (L11) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/pan.h"

/* The brands' published test numbers. */
static void test_masks(void **state)
{
    (void)state;
    static const struct {
        const char *given, *masked;
    } cases[] = {
        {"4111111111111111", "************1111"},
        {"4222222222222", "*********2222"},
        {"4242424242424242", "************4242"},
        {"4000056655665556", "************5556"},
        {"5555555555554444", "************4444"},
        {"5105105105105100", "************5100"},
        {"2223003122003222", "************3222"},
        {"2221000000000009", "************0009"},
        {"2720992222222229", "************2229"},
        {"378282246310005", "***********0005"},
        {"371449635398431", "***********8431"},
        {"341111111111111", "***********1111"},
        {"6011111111111117", "************1117"},
        {"6500000000000002", "************0002"},
        {"3530111333300000", "************0000"},
        {"3566002020360505", "************0505"},
        {"36227206271667", "**********1667"},
        {"38520000023237", "**********3237"},
        {"30569309025904", "**********5904"},
        {"4000000000000000006", "***************0006"},
        {"4111 1111 1111 1111", "**** **** **** 1111"},
        {"4111-1111-1111-1111", "****-****-****-1111"},
        {"3782 822463 10005", "**** ****** *0005"},
        {"3056 930902 5904", "**** ****** 5904"},
        {"4000 0000 0000 0000 006", "**** **** **** ***0 006"},
        {"{\"card\":\"4111111111111111\"}", "{\"card\":\"************1111\"}"},
        {"{\"card\":4111111111111111}", "{\"card\":************1111}"},
        {"\"\\b4111111111111111\"", "\"\\b************1111\""},
        {"card4111111111111111x", "card************1111x"},
        {"card_4111111111111111_x", "card_************1111_x"},
        {"order-4111111111111111", "order-************1111"},
        {"a 4111111111111111 b 5555555555554444 c", "a ************1111 b ************4444 c"},
        {"4111 1111 1111 1111 5555 5555 5555 4444", "**** **** **** 1111 **** **** **** 4444"},
        {"4111111111111111 12/29 123", "************1111 12/29 123"},
        {"4111 1111 1111 1111 1229", "**** **** **** 1111 1229"},
        {"4111111111111111,4111111111111111", "************1111,************1111"},
        {"1234 4111111111111111", "1234 ************1111"},
        {"12 4111 1111 1111 1111", "12 **** **** **** 1111"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = strdup(cases[i].given);
        if (pan_count(text, strlen(text)) == 0)
            fail_msg("not found: %s", text);
        assert_string_equal(text, cases[i].given);
        assert_true(pan_mask(text, strlen(text)) > 0);
        assert_string_equal(text, cases[i].masked);
        free(text);
    }
}

static void test_leaves_alone(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "4",
        "4111111111111112",     /* Luhn */
        "411111111111",         /* 12 digits */
        "41111111111111111111", /* 20 digits */
        "94111111111111111",    /* inside a longer number, which passes nothing */
        "1411111111111111100000000000",
        "7992739871300008",                     /* no brand */
        "5555555555554",                        /* that brand has 16 digits */
        "2220000000000000",                     /* below the second Mastercard series */
        "2721000000000004",                     /* above it */
        "1795168800123",                        /* a time in ms */
        "1795168800123456",                     /* in us */
        "1795168800123456789",                  /* in ns */
        "41111111-1111-4111-8111-111111111111", /* UUIDs */
        "41111111-1111-4008-8111-111111111111", /* its first 16 digits pass for a Visa number */
        "aaaaaaaa-4111-8111-8111-1aaaaaaaaaaa",
        "00000000-4111-1111-1111-111100000000",
        "tx_41111111111111114111111111111111", /* 32 hex digits */
        "tx_a4111111111111111aaaaaaaaaaaaaaa",
        "4111111111111111a", /* hex */
        "a4111111111111111",
        "deadbeef4111111111111111",
        "sha256=4111111111111111abcdef0123456789",
        "4111  1111  1111  1111", /* more than one separator */
        "4111.1111.1111.1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "411111111111111\n1",
        "2026-11-20 10:00:00 4000 12 1",
        "+33 6 12 34 56 78",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = strdup(cases[i]);
        size_t count = pan_count(text, strlen(text)), masked = pan_mask(text, strlen(text));
        if (count || masked)
            fail_msg("taken for a card number: %s", cases[i]);
        assert_string_equal(text, cases[i]);
        free(text);
    }
}

static void test_counts(void **state)
{
    (void)state;
    const char *text = "4111111111111111 and 5555-5555-5555-4444, then 378282246310005.";
    assert_int_equal(pan_count(text, strlen(text)), 3);
}

/* Raw bytes: not NUL-terminated, NULs inside, digits up to the last byte. */
static void test_bytes_not_text(void **state)
{
    (void)state;
    static const char given[] = {'\0', '4', '1', '1', '1', '1', '1',  '1',    '1', '1', '1',
                                 '1',  '1', '1', '1', '1', '1', '\0', '\xff', '4', '2', '-'};
    char *bytes = malloc(sizeof given); /* the sanitizer sees a step beyond */
    memcpy(bytes, given, sizeof given);
    assert_int_equal(pan_mask(bytes, sizeof given), 1);
    assert_memory_equal(bytes + 1,
                        "************1111\0\xff"
                        "42-",
                        21);
    free(bytes);
    for (size_t size = 0; size <= 19; size++) {
        char *cut = malloc(size + 1);
        memcpy(cut, "4111 1111 1111 1111", size);
        assert_int_equal(pan_mask(cut, size), size == 19 || size == 16 ? (size == 19) : 0);
        free(cut);
    }
}

/* Whatever the bytes: what is masked once needs no second masking, and only digits change. */
static void test_random_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789012345678901234567890123456789 --aF\n\"x";
    unsigned seed = 1;
    char before[200], after[200];
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof before; i++) {
            seed = seed * 1103515245u + 12345u;
            before[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
        }
        memcpy(after, before, sizeof after);
        size_t count = pan_count(before, sizeof before);
        assert_int_equal(pan_mask(after, sizeof after), count);
        assert_int_equal(pan_mask(after, sizeof after), 0);
        for (size_t i = 0; i < sizeof after; i++)
            assert_true(after[i] == before[i] || (after[i] == '*' && before[i] >= '0' && before[i] <= '9'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks),          cmocka_unit_test(test_leaves_alone), cmocka_unit_test(test_counts),
        cmocka_unit_test(test_bytes_not_text), cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
