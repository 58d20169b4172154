/* test_leaf.c - the bytes of a fact: from texts and from decoded columns the same, and those that docs/sealing.md describes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "ledger/leaf.h"

/* What PostgreSQL 15 says: to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'). */
static void times_are_those_of_postgresql(void **state)
{
    static const struct {
        int64_t at_us;
        const char *text;
    } cases[] = {
        {0, "2000-01-01T00:00:00.000000Z"},
        {848484000123456, "2026-11-20T10:00:00.123456Z"},
        {-1, "1999-12-31T23:59:59.999999Z"},
        {5140800000000, "2000-02-29T12:00:00.000000Z"},
        {-3150576000000000, "1900-03-01T00:00:00.000000Z"},
        {-12617683200000000, "1600-02-29T00:00:00.000000Z"},
        {-63082281600000000, "0001-01-01T00:00:00.000000Z"},
        {-63082281600000001, "0001-12-31T23:59:59.999999Z"}, /* 1 BC */
        {-211781865600000000, "4713-11-24T00:00:00.000000Z"},
        {252455615999999999, "9999-12-31T23:59:59.999999Z"},
        {252455616000000000, "10000-01-01T00:00:00.000000Z"},
        {9223371331199999999, "294276-12-31T23:59:59.999999Z"},
        {-64464505076960000, "0044-03-15T01:02:03.040000Z"},
        {3160854000000000, "2100-02-28T23:00:00.000000Z"},
        {3160857600000000, "2100-03-01T00:00:00.000000Z"},
        {INT64_MAX, ""},
        {INT64_MIN, ""},
    };
    char found[LEAF_TIME_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        leaf_time(cases[i].at_us, found);
        assert_string_equal(found, cases[i].text);
    }
}

/* Every day of 800 years, against the calendar of libc. */
static void days_are_those_of_libc(void **state)
{
    static const int64_t first = -146097, last = 146097, seconds_to_2000 = 946684800;
    (void)state;
    for (int64_t day = first; day < last; day++) {
        time_t at = (time_t)(seconds_to_2000 + day * 86400 + 86399);
        struct tm tm;
        char expected[64], found[LEAF_TIME_SIZE];
        gmtime_r(&at, &tm);
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000001Z", &tm);
        leaf_time((at - seconds_to_2000) * 1000000 + 1, found);
        assert_string_equal(found, expected);
    }
}

static const struct leaf_fact fact = {
    .payment_id = {{0x8f, 0x14, 0xe4, 0x5f, 0xce, 0xea, 0x86, 0x7d, 0x8a, 0x1f, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e, 0x6f}},
    .cause = {{0xff, 0, 1, 2, 3, 4, 0x85, 6, 0x87, 8, 9, 10, 11, 12, 13, 14}},
    .slot = {"auth:1:result", 13},
    .outcome = {"approved", 8},
    .actor = {NULL, 0},
    .body = {"{\"a\": \"\xc3\xa9\"}", 11},
    .at_us = 848484000123456,
    .xid = UINT64_MAX,
    .seq = -1,
};
static const struct leaf_transfer transfers[] = {
    {1, {"hold", 4}, {NULL, 0}, {"receivable:x", 12}, {"payable:y", 9}, {"EUR", 3}, INT64_MAX, INT64_MAX, 7, 0},
    {2, {"post", 4}, {"auth:1:result", 13}, {"", 0}, {"payable:y", 9}, {"JPY", 3}, INT64_MIN, 0, 0, 12},
};
static const char *const fact_texts[] = {"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f",
                                         "auth:1:result",
                                         "approved",
                                         "ff000102-0304-8506-8708-090a0b0c0d0e",
                                         NULL,
                                         "2026-11-20T10:00:00.123456Z",
                                         "18446744073709551615",
                                         "-1",
                                         "{\"a\": \"\xc3\xa9\"}"};
#define FIRST "[\"1\",\"hold\",null,\"receivable:x\",\"payable:y\",\"9223372036854775807\",\"EUR\",null,\"7\",\"0\"]"
#define SECOND                                                                                                         \
    "[\"2\",\"post\",\"auth:1:result\",\"\",\"payable:y\",\"-9223372036854775808\",\"JPY\","                           \
    "\"2000-01-01T00:00:00.000000Z\",\"0\",\"12\"]"

static struct hash of_texts(const char *list)
{
    struct hash hash;
    json_auto_t *rows = json_loads(list, 0, NULL);
    assert_non_null(rows);
    assert_int_equal(leaf_of(fact_texts, rows, &hash, NULL), 0);
    return hash;
}

static void columns_and_texts_give_one_leaf(void **state)
{
    static const char *const lists[] = {"[]", "[" FIRST "]", "[" FIRST "," SECOND "]"};
    struct leaf_bytes bytes = {0};
    (void)state;
    for (size_t count = 0; count <= 2; count++) {
        struct hash found = leaf_of_columns(&fact, transfers, count, &bytes), expected = of_texts(lists[count]);
        assert_memory_equal(found.bytes, expected.bytes, sizeof found.bytes);
    }
    leaf_bytes_free(&bytes);
}

/* Byte for byte, written down from docs/sealing.md. */
static void bytes_are_those_of_the_document(void **state)
{
    static const char expected[] = "\0\0\0\016acquit-fact-v1"
                                   "\0\0\0\04400000000-0000-0000-0000-000000000000"
                                   "\0\0\0\001a"
                                   "\0\0\0\0"
                                   "\0\0\0\04400000000-0000-0000-0000-000000000000"
                                   "\377\377\377\377"
                                   "\0\0\0\0332000-01-01T00:00:00.000000Z"
                                   "\0\0\0\0010"
                                   "\0\0\0\003-17"
                                   "\0\0\0\002{}"
                                   "\0\0\0\0010";
    const struct leaf_fact small = {
        .slot = text_from("a"), .outcome = text_from(""), .body = text_from("{}"), .seq = -17};
    struct leaf_bytes bytes = {0};
    struct hash found = leaf_of_columns(&small, NULL, 0, &bytes);
    (void)state;
    assert_int_equal(bytes.size, sizeof expected - 1);
    assert_memory_equal(bytes.data, expected, sizeof expected - 1);
    struct hash wanted = merkle_leaf(expected, sizeof expected - 1);
    assert_memory_equal(found.bytes, wanted.bytes, sizeof found.bytes);
    leaf_bytes_free(&bytes);
}

static void every_column_counts(void **state)
{
    struct leaf_bytes bytes = {0};
    struct hash whole = leaf_of_columns(&fact, transfers, 2, &bytes);
    (void)state;
#define CHANGED(member, value)                                                                                         \
    do {                                                                                                               \
        struct leaf_fact other = fact;                                                                                 \
        other.member = (value);                                                                                        \
        struct hash hash = leaf_of_columns(&other, transfers, 2, &bytes);                                              \
        assert_memory_not_equal(hash.bytes, whole.bytes, sizeof whole.bytes);                                          \
    } while (0)
    CHANGED(payment_id.bytes[15], 0);
    CHANGED(cause.bytes[0], 0);
    CHANGED(slot, text_from("auth:2:result"));
    CHANGED(outcome, text_from("declined"));
    CHANGED(actor, text_from(""));
    CHANGED(body, text_from("{}"));
    CHANGED(at_us, fact.at_us + 1);
    CHANGED(xid, 1);
    CHANGED(seq, 1);
#undef CHANGED
#define CHANGED(member, value)                                                                                         \
    do {                                                                                                               \
        struct leaf_transfer other[] = {transfers[0], transfers[1]};                                                   \
        other[1].member = (value);                                                                                     \
        struct hash hash = leaf_of_columns(&fact, other, 2, &bytes);                                                   \
        assert_memory_not_equal(hash.bytes, whole.bytes, sizeof whole.bytes);                                          \
    } while (0)
    CHANGED(leg, 3);
    CHANGED(kind, text_from("void"));
    CHANGED(pending_of, text_from(NULL));
    CHANGED(debit, text_from("x"));
    CHANGED(credit, text_from("payable:z"));
    CHANGED(currency, text_from("EUR"));
    CHANGED(amount, 1);
    CHANGED(at_us, 1);
    CHANGED(xid, 1);
    CHANGED(seq, 13);
    leaf_bytes_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_those_of_postgresql),
        cmocka_unit_test(days_are_those_of_libc),
        cmocka_unit_test(columns_and_texts_give_one_leaf),
        cmocka_unit_test(bytes_are_those_of_the_document),
        cmocka_unit_test(every_column_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
