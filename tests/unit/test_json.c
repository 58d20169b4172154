/* test_json.c - common/json: what the one decoder of foreign bytes lets in, and the canonical text */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"

static json_t *decode(const char *text, struct err *err)
{
    return json_decode(text, strlen(text), err);
}

static void test_accepts(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{}",
        "[]",
        "null",
        "true",
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "\"x\"",
        "1.5",
        " {\"a\" : 1 } ",
        "\"\\u00e9\"",
        "\"\xc3\xa9\"",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        json_t *value = decode(cases[i], &err);
        if (!value)
            fail_msg("%s: %s", cases[i], err.text);
        json_decref(value);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        " ",
        "{",
        "{\"a\":1",
        "{\"a\":1}}",
        "{} {}",
        "{}x",
        "{'a':1}",
        "{a:1}",
        "{\"a\":1,}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}", /* the same key, written otherwise */
        "[{\"b\":{\"a\":1,\"a\":1}}]",
        "9223372036854775808",
        "1e999",
        "01",
        "+1",
        "NaN",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\xff\"",
        "\"\xc0\xaf\"",
        "\"\xed\xa0\x80\"",
        "\"a\nb\"",
        "// x\n{}",
        "\xef\xbb\xbf{}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        json_t *value = decode(cases[i], &err);
        if (value)
            fail_msg("accepted: %s", cases[i]);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void test_nul_bytes(void **state)
{
    (void)state;
    struct err err = {0};
    assert_null(json_decode("{}\0", 3, &err));
    err_clear(&err);
    assert_null(json_decode("\"a\0b\"", 5, &err));
    err_clear(&err);
    assert_null(json_decode(NULL, 0, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

/* The text of an error goes into logs and answers: it names the place, not what stands there. */
static void test_error_names_the_place_only(void **state)
{
    (void)state;
    struct err err = {0};
    assert_null(decode("{\"a\": 1,\n \"card\": \"4111111111111111\" x}", &err));
    assert_non_null(strstr(err.text, "line 2"));
    assert_null(strstr(err.text, "4111"));
    err_clear(&err);
    assert_null(decode("{\"secretname\":1,\"secretname\":2}", &err));
    assert_null(strstr(err.text, "secretname"));
    assert_non_null(strstr(err.text, "duplicate"));
}

/* `deep` arrays around `inner`. */
static json_t *nested(int deep, const char *inner, struct err *err)
{
    char text[256];
    memset(text, '[', (size_t)deep);
    int length = snprintf(text + deep, sizeof text - (size_t)deep, "%s", inner);
    memset(text + deep + length, ']', (size_t)deep);
    text[2 * deep + length] = '\0';
    return decode(text, err);
}

static void test_depth(void **state)
{
    (void)state;
    struct err err = {0};
    json_t *value = nested(JSON_DEPTH_MAX, "", &err);
    assert_non_null(value);
    json_decref(value);
    assert_null(nested(JSON_DEPTH_MAX + 1, "", &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_non_null(strstr(err.text, "16"));
    err_clear(&err);
    assert_null(nested(JSON_DEPTH_MAX, "{}", &err));
    /* Brackets in texts do not count, a closed one does not either. */
    value = nested(JSON_DEPTH_MAX - 1, "[],{},\"[[[[\\\"[{\"", &err);
    assert_non_null(value);
    json_decref(value);
}

static void test_size(void **state)
{
    (void)state;
    char *text = malloc(JSON_BODY_MAX + 1);
    memset(text, 'x', JSON_BODY_MAX + 1);
    text[0] = '"';
    text[JSON_BODY_MAX - 1] = '"';
    struct err err = {0};
    json_t *value = json_decode(text, JSON_BODY_MAX, &err);
    assert_non_null(value);
    json_decref(value);
    text[JSON_BODY_MAX - 1] = 'x';
    text[JSON_BODY_MAX] = '"';
    assert_null(json_decode(text, JSON_BODY_MAX + 1, &err));
    assert_int_equal(err.code, ERR_INVALID);
    free(text);
}

static void test_canonical_text(void **state)
{
    (void)state;
    static const struct {
        const char *given, *canonical;
    } cases[] = {
        {" { \"b\" : 1 , \"a\" : [ 1 , 2 ] } ", "{\"a\":[1,2],\"b\":1}"},
        {"{\"z\":{\"y\":1,\"x\":2},\"B\":0,\"a\":null}", "{\"B\":0,\"a\":null,\"z\":{\"x\":2,\"y\":1}}"},
        {"\"\\u00e9\\/\"", "\"\xc3\xa9/\""},
        {"-0", "0"},
        {"true", "true"},
        {"9223372036854775807", "9223372036854775807"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        json_t *value = decode(cases[i].given, &err);
        assert_non_null(value);
        char *text = json_encode(value);
        assert_string_equal(text, cases[i].canonical);
        free(text);
        json_decref(value);
    }
}

static void test_hash_is_of_the_content(void **state)
{
    (void)state;
    json_t *a = decode("{\"amount\":2500,\"currency\":\"EUR\"}", NULL);
    json_t *b = decode("{ \"currency\" : \"EUR\", \"amount\" : 2500 }", NULL);
    json_t *c = decode("{\"amount\":2501,\"currency\":\"EUR\"}", NULL);
    uint8_t x[32], y[32], z[32];
    json_sha256(a, x);
    json_sha256(b, y);
    json_sha256(c, z);
    assert_memory_equal(x, y, 32);
    assert_memory_not_equal(x, z, 32);
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

static void test_members(void **state)
{
    (void)state;
    json_t *object = decode("{\"t\":\"x\",\"n\":5,\"r\":5.0,\"b\":true,\"z\":null}", NULL);
    assert_string_equal(json_text(object, "t", "-"), "x");
    assert_string_equal(json_text(object, "n", "-"), "-");
    assert_string_equal(json_text(object, "z", "-"), "-");
    assert_null(json_text(object, "absent", NULL));
    assert_int_equal(json_int(object, "n", 7), 5);
    assert_int_equal(json_int(object, "r", 7), 7); /* a real is no amount */
    assert_int_equal(json_int(object, "t", 7), 7);
    assert_true(json_bool(object, "b", false));
    assert_true(json_bool(object, "n", true));
    assert_false(json_bool(object, "n", false));
    assert_int_equal(json_int(NULL, "n", 7), 7);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_nul_bytes),      cmocka_unit_test(test_error_names_the_place_only),
        cmocka_unit_test(test_depth),          cmocka_unit_test(test_size),
        cmocka_unit_test(test_canonical_text), cmocka_unit_test(test_hash_is_of_the_content),
        cmocka_unit_test(test_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
