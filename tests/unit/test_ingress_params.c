/* test_ingress_params.c - workers/ingress/params: what clients say in headers and query strings */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "workers/ingress/params.h"

static void test_wait(void **state)
{
    (void)state;
    static const struct {
        const char *prefer, *wait_ms;
        int64_t expected; /* -1: refused */
    } rows[] = {
        {NULL, NULL, 0},
        {"wait=2", NULL, 2000},
        {"Wait = 2", NULL, 2000},
        {"wait=\"3\"", NULL, 3000},
        {"respond-async, wait=4", NULL, 4000},
        {"respond-async;x=\"y\" , wait=4 ; foo", NULL, 4000},
        {"wait=60", NULL, 10000},
        {"wait=999999999999999999999", NULL, 0},
        {"wait=999999999999999999", NULL, 10000},
        {"wait", NULL, 0},
        {"wait=", NULL, 0},
        {"wait=-1", NULL, 0},
        {"wait=1.5", NULL, 0},
        {"wait=2s", NULL, 0},
        {"wait=\"2", NULL, 0},
        {"waiting=2", NULL, 0},
        {"await=2", NULL, 0},
        {"", NULL, 0},
        {",,,", NULL, 0},
        {NULL, "250", 250},
        {NULL, "0", 0},
        {"wait=2", "250", 250},
        {"wait=2", "0", 0},
        {NULL, "999999999", 10000},
        {NULL, "", -1},
        {NULL, "x", -1},
        {NULL, "-5", -1},
        {NULL, "1e3", -1},
        {NULL, "99999999999999999999", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        int64_t wait_ms = -1;
        int r = params_wait(rows[i].prefer, rows[i].wait_ms, 10000, &wait_ms, &err);
        if (r != (rows[i].expected < 0 ? -1 : 0) || wait_ms != rows[i].expected)
            fail_msg("Prefer: %s, wait_ms=%s: %lld", rows[i].prefer ? rows[i].prefer : "-",
                     rows[i].wait_ms ? rows[i].wait_ms : "-", (long long)wait_ms);
    }
}

static void test_key(void **state)
{
    (void)state;
    char longest[KEY_SIZE], key[KEY_SIZE];
    memset(longest, 'k', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    const char *good[] = {"k", "order 12/3", "~!@#", longest, "5a0d7f1e-ac90-8174-9c41-616371756974"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(params_key(good[i], key, NULL), 0);
        assert_string_equal(key, good[i]);
    }
    char too_long[KEY_SIZE + 1];
    memset(too_long, 'k', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = 0;
    const char *bad[] = {
        "", "a\nb", "a\tb", "a\x7f", "\xc3\xa9", too_long, "4111111111111111", "card 4111 1111 1111 1111"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {0};
        assert_int_equal(params_key(bad[i], key, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(strstr(err.text, "4111")); /* L11 */
    }
}

static void test_integers(void **state)
{
    (void)state;
    int64_t n;
    assert_int_equal(params_int(NULL, 20, 1, 200, &n, NULL), 0);
    assert_int_equal(n, 20);
    assert_int_equal(params_int("1", 20, 1, 200, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(params_int("200", 20, 1, 200, &n, NULL), 0);
    assert_int_equal(n, 200);
    const char *bad[] = {"0", "201", "", "x", "1x", " 1", "+1", "-1", "1 "};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(params_int(bad[i], 20, 1, 200, &n, NULL), -1);
    assert_int_equal(n, 200);
}

static void test_traceparent(void **state)
{
    (void)state;
    assert_true(params_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    const char *bad[] = {NULL,
                         "",
                         "00",
                         "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
                         "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
                         "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                         "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                         "00-0af7651916cd43dd8448eb211c80319c b7ad6b7169203331-01",
                         "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                         "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(params_traceparent(bad[i]));
}

static void test_content_type(void **state)
{
    (void)state;
    assert_true(params_is_json("application/json"));
    assert_true(params_is_json("Application/JSON; charset=utf-8"));
    assert_true(params_is_json("application/json ;x"));
    const char *bad[] = {
        NULL, "", "text/plain", "application/jsonx", "application/json-patch+json", "xapplication/json"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(params_is_json(bad[i]));
}

static void test_bearer(void **state)
{
    (void)state;
    assert_string_equal(params_bearer("Bearer abc"), "abc");
    assert_string_equal(params_bearer("bearer   abc"), "abc");
    const char *bad[] = {NULL, "", "Bearer", "Bearer ", "Basic abc", "Bearerabc"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_null(params_bearer(bad[i]));
}

static void test_refund_ids(void **state)
{
    (void)state;
    struct uuid id = uuid_command("payment.refund", "shop", "r-1"), read;
    char text[REFUND_ID_SIZE], plain[UUID_TEXT_SIZE];
    refund_id_format(id, text);
    assert_memory_equal(text, "rf_", 3);
    assert_int_equal(strlen(text), 35);
    assert_int_equal(refund_id_parse(text, &read), 0);
    assert_true(uuid_equal(id, read));
    uuid_format(id, plain);
    assert_int_equal(refund_id_parse(plain, &read), 0);
    assert_true(uuid_equal(id, read));
    const char *bad[] = {"",
                         "rf_",
                         "rf_12",
                         "tx_00112233445566778899aabbccddeeff",
                         "rf_00112233445566778899aabbccddeeffaa",
                         "rf_00112233445566778899aabbccddeegg"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(refund_id_parse(bad[i], &read), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait),        cmocka_unit_test(test_key),          cmocka_unit_test(test_integers),
        cmocka_unit_test(test_traceparent), cmocka_unit_test(test_content_type), cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_refund_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
