/* test_message.c - message properties and headers from strangers' bytes to JSON and back, and the archive's form of a message */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "queues/amqp.h"

/* Bytes of a properties frame, made by hand. */

enum {
    BYTES_MAX = 256 * 1024,
    FLAG_HEADERS = 1 << 13,
    FLAG_MESSAGE_ID = 1 << 7,
    FLAG_TIMESTAMP = 1 << 6,
    FLAG_CONTENT_TYPE = 1 << 15
};

static unsigned char bytes[BYTES_MAX];
static size_t size;

static void put(const void *data, size_t n)
{
    assert_true(size + n <= sizeof bytes);
    memcpy(bytes + size, data, n);
    size += n;
}

static void put_8(unsigned n)
{
    put(&(uint8_t){(uint8_t)n}, 1);
}

static void put_16(unsigned n)
{
    put(&(uint16_t){htobe16((uint16_t)n)}, 2);
}

static void put_32(size_t n)
{
    put(&(uint32_t){htobe32((uint32_t)n)}, 4);
}

static void put_64(uint64_t n)
{
    put(&(uint64_t){htobe64(n)}, 8);
}

static void put_short(const char *text, size_t n)
{
    put_8((unsigned)n);
    put(text, n);
}

static void put_key(const char *name, char kind)
{
    put_short(name, strlen(name));
    put_8((unsigned char)kind);
}

static void put_long(const char *text, size_t n)
{
    put_32(n);
    put(text, n);
}

static size_t open_length(void)
{
    put_32(0);
    return size;
}

static void close_length(size_t from)
{
    uint32_t n = htobe32((uint32_t)(size - from));
    memcpy(bytes + from - 4, &n, 4);
}

static size_t begin_headers(void)
{
    size = 0;
    put_16(FLAG_HEADERS);
    return open_length();
}

static void decode(struct message *ret)
{
    struct err err = {0};
    if (wire_properties_decode(bytes, size, ret, &err) != 0)
        fail_msg("not decoded: %s", err.text);
}

static void expect_headers(const struct message *message, const char *expected)
{
    char *text = json_encode(message->headers);
    assert_string_equal(text, expected);
    free(text);
}

/* In. */

static void test_every_kind_of_field(void **state)
{
    (void)state;
    size_t table = begin_headers();
    put_key("t", 't'), put_8(1);
    put_key("b", 'b'), put_8(0xff);
    put_key("B", 'B'), put_8(0xff);
    put_key("s", 's'), put_16(0xffff);
    put_key("u", 'u'), put_16(0xffff);
    put_key("I", 'I'), put_32(0xffffffff);
    put_key("i", 'i'), put_32(0xffffffff);
    put_key("l", 'l'), put_64(UINT64_MAX);
    put_key("L", 'L'), put_64(UINT64_MAX);
    put_key("T", 'T'), put_64(1700000000);
    put_key("d", 'd'), put_64(0x3fb999999999999a);
    put_key("D", 'D'), put_8(2), put_32(2500);
    put_key("S", 'S'), put_long("text", 4);
    put_key("x", 'x'), put_long("\0\xff", 2);
    put_key("V", 'V');
    put_key("A", 'A');
    size_t inner = open_length();
    put_8('I'), put_32(1);
    put_8('F'), put_32(0);
    close_length(inner);
    put_key("F", 'F');
    inner = open_length();
    put_key("k", 'S'), put_long("", 0);
    close_length(inner);
    close_length(table);
    struct message message;
    decode(&message);
    expect_headers(&message, "{\"A\":[1,{}],\"B\":255,\"D\":\"2500e-2\",\"F\":{\"k\":\"\"},\"I\":-1,\"L\":"
                             "\"18446744073709551615\",\"S\":\"text\","
                             "\"T\":1700000000,\"V\":null,\"b\":-1,\"d\":\"0.10000000000000001\",\"i\":4294967295,"
                             "\"l\":-1,\"s\":-1,\"t\":true,\"u\":65535,"
                             "\"x\":\"\\\\x00\\\\xff\"}");
    message_clear(&message);
}

static void test_text_that_is_no_text(void **state)
{
    (void)state;
    size = 0;
    put_16(FLAG_CONTENT_TYPE | FLAG_HEADERS | FLAG_MESSAGE_ID | FLAG_TIMESTAMP);
    put_short("a\0b", 3);
    size_t table = open_length();
    put_short("\xff", 1), put_8('S'), put_long("\xc3\x28 \\ \xed\xa0\x80 \xc3\xa9 \xf4\x90\x80\x80 \xc0\x80", 19);
    put_short("", 0), put_8('S'), put_long("C:\\x00", 6);
    close_length(table);
    put_short("\xe2\x82", 2);
    put_64(UINT64_MAX);
    struct message message;
    decode(&message);
    assert_string_equal(message.content_type, "a\\x00b");
    assert_string_equal(message.message_id, "\\xe2\\x82");
    assert_true(message.escaped);
    assert_true(message.timestamp == INT64_MAX);
    assert_string_equal(json_text(message.headers, "\\xff", ""),
                        "\\xc3( \\\\ \\xed\\xa0\\x80 \xc3\xa9 \\xf4\\x90\\x80\\x80 \\xc0\\x80");
    assert_string_equal(json_text(message.headers, "", ""), "C:\\x00"); /* a text that is one stays as it is */
    message_clear(&message);
}

static void test_a_key_twice(void **state)
{
    (void)state;
    size_t table = begin_headers();
    put_key("who", 'S'), put_long("first", 5);
    put_key("who", 'S'), put_long("second", 6);
    close_length(table);
    struct message message;
    decode(&message);
    expect_headers(&message, "{\"who\":\"first\"}");
    message_clear(&message);
}

/* Tables within tables, as deep as a frame can hold them: kept down to a depth, text below it. */
static void nested(char kind, int depth)
{
    size_t overhead = kind == 'F' ? 6 : 5; /* of one more level: key or not, kind, length */
    begin_headers();
    size -= 4;
    put_32(6 + overhead * (size_t)(depth - 1));
    put_key("", kind);
    put_32(overhead * (size_t)(depth - 1));
    for (int i = depth - 1; i > 0; i--) {
        if (kind == 'F')
            put_8(0);
        put_8((unsigned char)kind);
        put_32(overhead * (size_t)(i - 1));
    }
}

static void test_depth(void **state)
{
    (void)state;
    static const char kinds[] = {'F', 'A'};
    static const int depths[] = {
        1, WIRE_HEADERS_DEPTH_MAX - 1, WIRE_HEADERS_DEPTH_MAX, WIRE_HEADERS_DEPTH_MAX + 1, 1000, 21000};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
            struct message message;
            nested(kinds[k], depths[i]);
            assert_true(size <= WIRE_FRAME_MAX);
            decode(&message);
            char *text = json_encode(message.headers);
            bool cut = strstr(text, "(nested too deep)") != NULL;
            assert_int_equal(cut, depths[i] > WIRE_HEADERS_DEPTH_MAX - 1);
            free(text);
            message_clear(&message);
        }
}

/* Whatever the bytes are, they decode or are refused. */
static void test_broken_bytes(void **state)
{
    (void)state;
    unsigned char whole[512];
    size_t whole_size = sizeof whole;
    struct message message = {.content_type = (char[]){"text/plain"},
                              .message_id = (char[]){"id"},
                              .user_id = (char[]){"user"},
                              .timestamp = 1};
    message.headers = json_pack("{s:[i, {s:s}], s:{s:b, s:n}, s:I}", "list", 1, "a", "b", "table", "yes", 1, "no",
                                "number", (json_int_t)INT64_MIN);
    assert_int_equal(wire_properties_encode(&message, whole, &whole_size, NULL), 0);
    json_decref(message.headers);
    for (size_t n = 0; n <= whole_size; n++) {
        unsigned char *exact = malloc(n + 1); /* so that a sanitizer sees a byte too many */
        memcpy(exact, whole, n);
        if (wire_properties_decode(exact, n, &message, NULL) == 0)
            message_clear(&message);
        free(exact);
    }
    size_t decoded = 0;
    for (int round = 0; round < 20000; round++) {
        unsigned char *bent = malloc(whole_size);
        memcpy(bent, whole, whole_size);
        for (int i = 0; i <= round % 4; i++)
            bent[clock_random(whole_size)] = (unsigned char)clock_random(256);
        if (wire_properties_decode(bent, whole_size, &message, NULL) == 0) {
            json_t *kept = message_properties(&message);
            char *text = json_encode(kept);
            assert_non_null(text);
            free(text);
            json_decref(kept);
            message_clear(&message);
            decoded++;
        }
        free(bent);
    }
    assert_true(decoded > 100);
}

/* Out. */

static void test_round_trip(void **state)
{
    (void)state;
    char whole[2048];
    size_t n = sizeof whole;
    struct message out = {.exchange = (char[]){"acquit.cmd"},
                          .routing_key = (char[]){"notify.send"},
                          .content_type = (char[]){"application/json"},
                          .message_id = (char[]){"\xe5\xae\xa2"},
                          .correlation_id = (char[]){"c"},
                          .reply_to = (char[]){"app.a.b"},
                          .user_id = (char[]){"acquit-worker"},
                          .type = (char[]){"notify.send"},
                          .app_id = (char[]){""},
                          .expiration = (char[]){"1000"},
                          .timestamp = 1700000000};
    out.headers =
        json_pack("{s:I, s:I, s:s, s:b, s:n, s:[i, s, {}], s:{s:[]}}", "least", (json_int_t)INT64_MIN, "most",
                  (json_int_t)INT64_MAX, "text", "\xc3\xa9\\", "no", 0, "nothing", "list", 1, "two", "object", "empty");
    assert_int_equal(wire_properties_encode(&out, whole, &n, NULL), 0);
    struct message in;
    assert_int_equal(wire_properties_decode(whole, n, &in, NULL), 0);
    assert_true(json_equal(in.headers, out.headers));
    assert_string_equal(in.message_id, out.message_id);
    assert_string_equal(in.user_id, "acquit-worker");
    assert_string_equal(in.app_id, "");
    assert_string_equal(in.reply_to, "app.a.b");
    assert_null(in.expiration); /* never sent: a retry would expire */
    assert_int_equal(in.delivery_mode, 2);
    assert_true(in.timestamp == 1700000000);
    assert_false(in.escaped);
    message_clear(&in);
    json_decref(out.headers);
}

static void expect_refused(const struct message *message, const char *word)
{
    struct err err = {0};
    size_t n;
    assert_int_equal(wire_check(message, &n, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not name %s", err.text, word);
}

static void test_what_amqp_cannot_carry(void **state)
{
    (void)state;
    char longest[WIRE_SHORT_MAX + 1], longer[WIRE_SHORT_MAX + 2];
    memset(longest, 'a', sizeof longest);
    memset(longer, 'a', sizeof longer);
    longest[sizeof longest - 1] = longer[sizeof longer - 1] = '\0';
    size_t n;
    assert_int_equal(
        wire_check(&(struct message){.routing_key = longest, .exchange = longest, .message_id = longest}, &n, NULL), 0);
    expect_refused(&(struct message){.routing_key = longer}, "routing_key");
    expect_refused(&(struct message){.exchange = longer}, "exchange");
    expect_refused(&(struct message){.message_id = longer}, "message_id");
    expect_refused(&(struct message){.reply_to = longer}, "reply_to");
    struct message message = {.headers = json_object()};
    json_object_set_new(message.headers, longer, json_null());
    expect_refused(&message, "header");
    json_object_clear(message.headers);
    json_t *deep = message.headers;
    for (int i = 0; i < WIRE_HEADERS_DEPTH_OUT - 1; i++)
        json_object_set_new(deep, "in", json_object()), deep = json_object_get(deep, "in");
    assert_int_equal(wire_check(&message, &n, NULL), 0);
    json_object_set_new(deep, "in", json_array());
    expect_refused(&message, "nested");
    json_object_clear(message.headers);
    char *large = calloc(1, WIRE_PROPERTIES_MAX + 1);
    memset(large, 'a', WIRE_PROPERTIES_MAX);
    json_object_set_new(message.headers, "large", json_string(large));
    expect_refused(&message, "bytes");
    free(large);
    json_decref(message.headers);
}

/* The archive. */

static void test_properties_for_the_archive(void **state)
{
    (void)state;
    struct message message = {.exchange = (char[]){"acquit.in"},
                              .routing_key = (char[]){"payment.create"},
                              .user_id = (char[]){"shop"},
                              .content_encoding = (char[]){"gzip"},
                              .delivery_mode = 2,
                              .priority = 3,
                              .timestamp = 5,
                              .escaped = true};
    message.headers = json_pack("{s:i}", "n", 1);
    json_t *kept = message_properties(&message);
    char *text = json_encode(kept);
    assert_string_equal(text, "{\"contentEncoding\":\"gzip\",\"deliveryMode\":2,\"escaped\":true,\"exchange\":\"acquit."
                              "in\",\"headers\":{\"n\":1},"
                              "\"priority\":3,\"routingKey\":\"payment.create\",\"timestamp\":5,\"userId\":\"shop\"}");
    free(text);
    json_decref(kept);
    json_decref(message.headers);
    kept = message_properties(&(struct message){0});
    assert_int_equal(json_object_size(kept), 0);
    json_decref(kept);
}

/* A dead letter has its original's properties as a header: they must fit beside ours, whatever they were, and also when that one dies. */
static void expect_can_be_a_dead_letter(json_t *headers)
{
    size_t n;
    for (int death = 0; death < 3; death++) {
        struct message message = {.headers = headers};
        json_t *kept = message_properties(&message);
        json_decref(headers);
        struct message dead = {.headers = json_pack("{s:o}", "x-acquit-properties", kept)};
        struct err err = {0};
        if (wire_check(&dead, &n, &err) != 0)
            fail_msg("%s", err.text);
        assert_true(n < MESSAGE_HEADERS_KEPT_MAX + 1024);
        /* and as it comes in again */
        static char whole[WIRE_PROPERTIES_MAX];
        n = sizeof whole;
        assert_int_equal(wire_properties_encode(&dead, whole, &n, NULL), 0);
        json_decref(dead.headers);
        assert_int_equal(wire_properties_decode(whole, n, &dead, NULL), 0);
        headers = dead.headers;
        dead.headers = NULL;
        message_clear(&dead);
    }
    json_decref(headers);
}

static void test_any_headers_can_be_a_dead_letters(void **state)
{
    (void)state;
    struct message message;
    nested('F', 21000);
    decode(&message);
    expect_can_be_a_dead_letter(json_incref(message.headers));
    message_clear(&message);
    nested('A', 21000);
    decode(&message);
    expect_can_be_a_dead_letter(json_incref(message.headers));
    message_clear(&message);

    json_t *list = json_array(); /* few bytes of JSON, many of AMQP */
    for (int i = 0; i < 13000; i++)
        json_array_append_new(list, json_integer(1));
    expect_can_be_a_dead_letter(json_pack("{s:o}", "list", list));
    char *large = calloc(1, 100001);
    memset(large, 'x', 100000);
    expect_can_be_a_dead_letter(json_pack("{s:s}", "large", large));
    memset(large, 1, 100000); /* one byte each, but six in JSON */
    expect_can_be_a_dead_letter(json_pack("{s:s}", "large", large));
    free(large);
}

static void test_large_headers_are_cut(void **state)
{
    (void)state;
    struct message message = {.headers = json_object()};
    for (int i = 0; i < 20000; i++) {
        char name[16];
        snprintf(name, sizeof name, "\xe5\xae\xa2%d", i);
        json_object_set_new(message.headers, name, json_integer(i));
    }
    json_t *kept = message_properties(&message);
    assert_null(json_object_get(kept, "headers"));
    size_t shown = strlen(json_text(kept, "headersCut", ""));
    assert_in_range(shown, MESSAGE_HEADERS_KEPT_MAX - 4, MESSAGE_HEADERS_KEPT_MAX);
    assert_true(json_int(kept, "headersSize", 0) > 20000);
    assert_int_equal(strlen(json_text(kept, "headersSha256", "")), 64);
    json_decref(kept);
    json_decref(message.headers);
}

static void test_copy_and_clear(void **state)
{
    (void)state;
    struct message one = {.exchange = strdup("e"),
                          .routing_key = strdup("k"),
                          .message_id = strdup("m"),
                          .headers = json_pack("{s:{s:i}}", "a", "b", 1),
                          .body = strdup("x\0y"),
                          .body_size = 3,
                          .timestamp = 7};
    one.body = realloc(one.body, 4);
    memcpy(one.body, "x\0y", 4);
    struct message two;
    message_copy(&two, &one);
    json_object_clear(json_object_get(one.headers, "a"));
    message_clear(&one);
    assert_null(one.body);
    assert_string_equal(two.exchange, "e");
    assert_string_equal(two.message_id, "m");
    assert_null(two.user_id);
    assert_memory_equal(two.body, "x\0y", 4);
    assert_int_equal(two.body_size, 3);
    assert_int_equal(json_int(json_object_get(two.headers, "a"), "b", 0), 1);
    message_clear(&two);
    message_clear(&two);
}

static void test_cutting_text(void **state)
{
    (void)state;
    char small[6];
    message_text_cut("abc", small, sizeof small);
    assert_string_equal(small, "abc");
    message_text_cut("abcdef", small, sizeof small);
    assert_string_equal(small, "abcde");
    message_text_cut("abc\xe5\xae\xa2", small, sizeof small);
    assert_string_equal(small, "abc");
    message_text_cut("\xf0\x9f\x98\x80\xc3\xa9", small, sizeof small);
    assert_string_equal(small, "\xf0\x9f\x98\x80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_field),
        cmocka_unit_test(test_text_that_is_no_text),
        cmocka_unit_test(test_a_key_twice),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_broken_bytes),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_what_amqp_cannot_carry),
        cmocka_unit_test(test_properties_for_the_archive),
        cmocka_unit_test(test_any_headers_can_be_a_dead_letters),
        cmocka_unit_test(test_large_headers_are_cut),
        cmocka_unit_test(test_copy_and_clear),
        cmocka_unit_test(test_cutting_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
