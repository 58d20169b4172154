/* test_db_array.c - array literals: no value can be taken for anything but itself */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ledger/db.h"

enum { MANY = 5000, LONG_VALUE = 10000 };

static void test_quoting(void **state)
{
    (void)state;
    struct db_array array = {0};
    assert_string_equal(db_array_text(&array), "{}");
    db_array_add(&array, "plain");
    db_array_add(&array, "");
    db_array_add(&array, NULL);
    db_array_add(&array, "NULL");
    db_array_add(&array, "a,b {c} \"d\" \\e\\");
    db_array_add(&array, "'); drop table x; --\n\t");
    db_array_add(&array, "h\xc3\xa9");
    assert_string_equal(
        db_array_text(&array),
        "{\"plain\",\"\",NULL,\"NULL\",\"a,b {c} \\\"d\\\" \\\\e\\\\\",\"'); drop table x; --\n\t\",\"h\xc3\xa9\"}");
    db_array_free(&array);
    assert_null(array.text);
    assert_int_equal(array.size, 0);
}

static void test_adding_goes_on_after_reading(void **state)
{
    (void)state;
    struct db_array array = {0};
    db_array_add(&array, "1");
    assert_string_equal(db_array_text(&array), "{\"1\"}");
    db_array_add(&array, "2");
    assert_string_equal(db_array_text(&array), "{\"1\",\"2\"}");
    assert_string_equal(db_array_text(&array), "{\"1\",\"2\"}");
    db_array_free(&array);
}

static void test_growing(void **state)
{
    (void)state;
    struct db_array array = {0};
    char *backslashes = malloc(LONG_VALUE + 1);
    assert_non_null(backslashes);
    memset(backslashes, '\\', LONG_VALUE);
    backslashes[LONG_VALUE] = '\0';
    db_array_add(&array, backslashes); /* the worst: every byte doubled */
    for (int i = 0; i < MANY; i++)
        db_array_add(&array, "x");
    const char *text = db_array_text(&array);
    assert_int_equal(strlen(text), 2 * LONG_VALUE + 4 + 4 * MANY);
    assert_string_equal(text + strlen(text) - 5, ",\"x\"}");
    free(backslashes);
    db_array_free(&array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_adding_goes_on_after_reading),
        cmocka_unit_test(test_growing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
