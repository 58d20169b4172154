/* test_verify_body.c - a body that is scanned says of itself what jansson says, but for what nobody looks at */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "ledger/verify_internal.h"

enum { BODIES = 20000, MEMBERS_MAX = 14 };

/* Without a byte behind it. */
static json_t *scan(const char *text, bool objects)
{
    size_t size = strlen(text);
    char *bytes = malloc(size ? size : 1);
    if (size)
        memcpy(bytes, text, size);
    json_t *found = verify_body((struct text){bytes, size}, objects);
    free(bytes);
    return found;
}

static json_t *scanned(const char *text)
{
    return scan(text, false);
}

static bool is_left_out(const json_t *value, bool objects)
{
    for (size_t i = 0; i < json_array_size(value); i++)
        if (json_is_object(json_array_get(value, i)) || json_is_array(json_array_get(value, i)))
            return true;
    return json_is_object(value) && !objects;
}

static void leave_out(json_t *body, bool objects)
{
    const char *key;
    void *next;
    json_t *value;
    json_object_foreach_safe(body, next, key, value)
    {
        if (is_left_out(value, objects))
            json_object_del(body, key);
    }
}

/* What is scanned is either the whole, or the whole without what nobody looks at. */
static void compare(const char *text)
{
    for (int objects = 0; objects < 2; objects++) {
        json_auto_t *found = scan(text, objects), *whole = json_loads(text, 0, NULL);
        assert_non_null(found);
        assert_non_null(whole);
        if (json_equal(found, whole))
            continue;
        leave_out(whole, objects);
        if (!json_equal(found, whole))
            fail_msg("%s", text);
    }
}

static void bodies_of_facts(void **state)
{
    static const char received[] =
        "{\"flow\": \"plain\", \"amount\": 1000, \"routes\": [\"simulated\"], \"channels\": [\"webhook\", \"mail\"], "
        "\"none\": [],"
        " \"merchant\": \"caf\xc3\xa9\", \"metadata\": {\"a\": [{\"b\": \"}\\\"\"}]}, \"tokens\": {}, \"expiresAt\": "
        "1795833119659, \"x\": "
        "null, \"yes\": true, \"no\": false, \"deep\": [1, [2]], \"list\": [{\"a\": 1}], \"back\": -5}";
    json_auto_t *found = scanned(received);
    (void)state;
    compare(received);
    compare("{\"flow\": \"plain\", \"evidence\": {\"sentAt\": \"x\", \"list\": [1, {}]}, \"amount\": 5}");
    assert_int_equal(json_integer_value(json_object_get(found, "amount")), 1000);
    assert_int_equal(json_array_size(json_object_get(found, "channels")), 2);
    assert_string_equal(json_string_value(json_object_get(found, "merchant")), "caf\xc3\xa9");
    compare("{}");
    compare(" { } ");
}

/* A scan that leaves objects out shows that it was the scan. */
static void most_bodies_are_scanned(void **state)
{
    json_auto_t *found =
        scanned("{\"evidence\": {\"status\": 200, \"list\": [{\"a\": \"b\"}]}, \"provider\": \"stripe\"}");
    (void)state;
    assert_null(json_object_get(found, "evidence"));
    assert_string_equal(json_string_value(json_object_get(found, "provider")), "stripe");
    json_auto_t *more = scan("{\"list\": [[1]], \"evidence\": {\"status\": 200, \"of\": [1, \"a\"]}, \"a\": 1}", true);
    assert_null(json_object_get(more, "list"));
    assert_int_equal(json_array_size(json_object_get(json_object_get(more, "evidence"), "of")), 2);
    assert_int_equal(json_object_size(more), 2);
}

static void the_rest_is_read_by_jansson(void **state)
{
    (void)state;
    compare("{\"a\": \"q\\\"\\\\\\u00e9\", \"b\": {\"c\": 1}}");
    compare("{\"a\\u0062\": 1}");
    compare("{\"a\": 1.5, \"b\": 1e3, \"c\": -0.25}");
    compare("{\"a\": 9223372036854775807, \"b\": -9223372036854775808}");
    compare("{\"a\": 999999999999999999, \"b\": -999999999999999999, \"c\": 0}");
}

static void what_is_no_json_is_nothing(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "{\"a\"",
                                        "{\"a\":",
                                        "{\"a\": 1",
                                        "{\"a\": 1,}",
                                        "{\"a\": 1} x",
                                        "{\"a\": tru}",
                                        "{\"a\": [1, 2}",
                                        "{\"a\": [1",
                                        "{a: 1}",
                                        "{\"a\": \"x}",
                                        "{\"a\": 99999999999999999999}",
                                        "{\"a\": -}",
                                        "{\"a\": {\"b\": 1}",
                                        "{\"a\": {\"b\": \"c}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        for (int objects = 0; objects < 2; objects++)
            if (scan(texts[i], objects))
                fail_msg("%s", texts[i]);
    }
}

/* --- any bodies --- */

static json_t *random_value(int depth)
{
    static const char *const words[] = {"", "plain", "caf\xc3\xa9", "a\"b", "\\", "{}", "]", "\n", "x y, z: {"};
    int kind = rand() % (depth < 3 ? 9 : 7);
    if (kind < 3)
        return json_string(words[(size_t)rand() % (sizeof words / sizeof words[0])]);
    if (kind < 5)
        return json_integer(((json_int_t)rand() << 31 | rand()) >> rand() % 62);
    if (kind == 5)
        return rand() % 2 ? json_true() : json_null();
    if (kind == 6)
        return rand() % 20 ? json_integer(-rand()) : json_real(0.5);
    json_t *value = kind == 7 ? json_object() : json_array();
    for (int i = rand() % 4; i > 0; i--)
        if (kind == 7)
            json_object_set_new(value, words[(size_t)rand() % (sizeof words / sizeof words[0])],
                                random_value(depth + 1));
        else
            json_array_append_new(value, random_value(depth + 1));
    return value;
}

static void any_body(void **state)
{
    (void)state;
    srand(1);
    for (int n = 0; n < BODIES; n++) {
        json_t *body = json_object();
        for (int i = rand() % MEMBERS_MAX; i > 0; i--) {
            char key[16];
            snprintf(key, sizeof key, rand() % 50 ? "k%d" : "\"%d", i);
            json_object_set_new(body, key, random_value(0));
        }
        char *text = json_dumps(body, rand() % 2 ? JSON_COMPACT : rand() % 2 ? JSON_INDENT(1) : 0);
        compare(text);
        free(text);
        json_decref(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_of_facts),
        cmocka_unit_test(most_bodies_are_scanned),
        cmocka_unit_test(the_rest_is_read_by_jansson),
        cmocka_unit_test(what_is_no_json_is_nothing),
        cmocka_unit_test(any_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
