/* test_err.c - common/err: the first error wins, one line, the promised exit codes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/err.h"

static void test_first_error_wins(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_set(&err, ERR_AGAIN, "broker %s is away", "a"), -1);
    assert_int_equal(err_set(&err, ERR_INVALID, "second"), -1);
    assert_int_equal(err.code, ERR_AGAIN);
    assert_string_equal(err.text, "broker a is away");
    err_clear(&err);
    assert_int_equal(err.code, ERR_NONE);
    assert_string_equal(err.text, "");
    assert_int_equal(err_set(&err, ERR_INVALID, "second"), -1);
    assert_string_equal(err.text, "second");
}

static void test_nobody_listens(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_AGAIN, "x"), -1);
    assert_int_equal(err_prefix(NULL, "x"), -1);
    err_clear(NULL);
}

static void test_prefix(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_prefix(&err, "nothing happened"), -1);
    assert_int_equal(err.code, ERR_NONE);
    assert_string_equal(err.text, "");
    assert_int_equal(err_set(&err, ERR_LIMIT, "too many"), -1);
    assert_int_equal(err_prefix(&err, "queue %d", 3), -1);
    assert_string_equal(err.text, "queue 3: too many");
    assert_int_equal(err.code, ERR_LIMIT);
}

static void test_text_is_one_bounded_line(void **state)
{
    (void)state;
    char longer[2 * ERR_TEXT_MAX];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    struct err err = {0};
    assert_int_equal(err_set(&err, ERR_INVALID, "%s", longer), -1);
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
    assert_int_equal(err_prefix(&err, "%s", longer), -1);
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
    err_clear(&err);
    assert_int_equal(err_set(&err, ERR_INVALID, "a\nb\tc\x1b[0m"), -1);
    assert_string_equal(err.text, "a b c [0m");
}

static void test_exit_codes(void **state)
{
    (void)state;
    static const struct {
        enum err_code code;
        int exit_code;
    } cases[] = {
        {ERR_NONE, 0},   {ERR_INVALID, 1},  {ERR_CONFLICT, 1}, {ERR_NOT_FOUND, 1}, {ERR_DENIED, 1},
        {ERR_AGAIN, 75}, {ERR_UNKNOWN, 75}, {ERR_LIMIT, 1},    {ERR_CONFIG, 78},   {ERR_INTERNAL, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {.code = cases[i].code};
        assert_int_equal(err_exit_code(&err), cases[i].exit_code);
    }
    assert_int_equal(err_exit_code(NULL), 1);
}

static void test_code_texts(void **state)
{
    (void)state;
    assert_string_equal(err_code_text(ERR_INVALID), "invalid input");
    assert_string_equal(err_code_text(ERR_UNKNOWN), "outcome unknown");
    assert_string_equal(err_code_text((enum err_code)99), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_error_wins), cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_prefix),           cmocka_unit_test(test_text_is_one_bounded_line),
        cmocka_unit_test(test_exit_codes),       cmocka_unit_test(test_code_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
