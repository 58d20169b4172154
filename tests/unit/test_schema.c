/* test_schema.c - queues/schema against tables of cases (cases/schema/, one file per command type), and what its answers look like */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/embed.h"
#include "common/json.h"
#include "queues/envelope.h"

#define CASES "tests/unit/cases/schema/"

/* One case; says what is wrong and answers false. */
static bool holds(const char *type, const json_t *item)
{
    char schema[128];
    snprintf(schema, sizeof schema, "%s.json", type);
    json_t *details = json_array();
    struct err err = {0};
    bool valid = schema_check(schema, json_object_get(item, "body"), details, &err) == 0;
    const char *name = json_text(item, "name", "?"), *field = json_text(json_array_get(details, 0), "field", "(none)");
    const char *message = json_text(json_array_get(details, 0), "message", "");
    bool good = valid == json_bool(item, "valid", false);
    if (!good)
        print_error("%s, %s: %s %s\n", type, name, valid ? "accepted" : "refused:", err.text);
    if (good && valid && (json_array_size(details) != 0 || err.code != ERR_NONE)) {
        print_error("%s, %s: accepted, but with an error\n", type, name);
        good = false;
    }
    if (good && !valid && strcmp(field, json_text(item, "field", "")) != 0) {
        print_error("%s, %s: blames \"%s\" (%s), not \"%s\"\n", type, name, field, message,
                    json_text(item, "field", ""));
        good = false;
    }
    if (good && !valid && (err.code != ERR_INVALID || !strstr(err.text, message) || !*message)) {
        print_error("%s, %s: \"%s\" is not the first detail, \"%s\"\n", type, name, err.text, message);
        good = false;
    }
    json_decref(details);
    return good;
}

static void test_cases(void **state)
{
    (void)state;
    static const char *const types[] = {"payment.create",   "payment.cancel", "payment.refund",     "authorize.resolve",
                                        "payment.look",     "payment.expire", "payment.compensate", "deadletter.replay",
                                        "authorize.attest", "refund.attest"};
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char path[256];
        json_error_t error;
        snprintf(path, sizeof path, CASES "%s.json", types[i]);
        json_t *cases = json_load_file(path, 0, &error);
        if (!cases)
            fail_msg("%s: %s", path, error.text);
        size_t k;
        json_t *item;
        json_array_foreach(cases, k, item) wrong += !holds(types[i], item);
        json_decref(cases);
    }
    assert_int_equal(wrong, 0);
}

/* Every type has a schema that reads, every schema a type; that a keyword is not understood would end this test here. */
static void test_every_type_has_a_schema(void **state)
{
    (void)state;
    json_t *empty = json_object();
    for (size_t i = 0; i < command_type_count(); i++) {
        struct err err = {0};
        assert_int_equal(schema_check(command_type_at(i)->schema, empty, NULL, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
    }
    json_decref(empty);
    assert_int_equal(embedded_schema_count, command_type_count());
    struct err err = {0};
    assert_int_equal(schema_check("nothing.json", NULL, NULL, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
}

/* Whatever is wrong is listed at once, but not without end. */
static void test_details(void **state)
{
    (void)state;
    json_t *details = json_array(), *body = json_pack("{s:i, s:s, s:s, s:{s:i}}", "amount", 0, "currency", "eur",
                                                      "colour", "red", "tokens", "quantity", 0);
    struct err err = {0};
    assert_int_equal(schema_check("payment.create.json", body, details, &err), -1);
    assert_int_equal(json_array_size(details), 5);
    json_decref(body);
    body = json_object();
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        json_object_set_new(body, name, json_null());
    }
    json_array_clear(details);
    assert_int_equal(schema_check("payment.create.json", body, details, NULL), -1);
    assert_in_range(json_array_size(details), 1, 20);
    json_decref(body);
    json_decref(details);
}

/* L11: a card number in a wrong place is refused without being repeated; neither are values. */
static void test_answers_repeat_no_value(void **state)
{
    (void)state;
    json_t *details = json_array();
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:{s:s}}", "amount", "4111111111111111", "currency", "5555555555554444",
                  "paymentMethod", "4111 1111 1111 1111", "4111111111111111", "x", "tokens", "378282246310005", "x");
    struct err err = {0};
    assert_int_equal(schema_check("payment.create.json", body, details, &err), -1);
    char *text = json_encode(details);
    static const char *const hidden[] = {"411111", "555555", "4111 1111", "378282"};
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        assert_null(strstr(text, hidden[i]));
        assert_null(strstr(err.text, hidden[i]));
    }
    assert_non_null(strstr(text, "************1111"));
    free(text);
    json_decref(body);
    json_decref(details);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_every_type_has_a_schema),
        cmocka_unit_test(test_details),
        cmocka_unit_test(test_answers_repeat_no_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
