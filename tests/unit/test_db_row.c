/* test_db_row.c - rows of a binary COPY: what is taken as what, and nothing beyond the bytes that came */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/db.h"

#define HEADER "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
#define ROW                                                                                                            \
    "\0\7"                                                                                                             \
    "\0\0\0\2\377\376"                                                                                                 \
    "\0\0\0\4\0\0\1\0"                                                                                                 \
    "\0\0\0\10\200\0\0\0\0\0\0\1"                                                                                      \
    "\0\0\0\20\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17"                                                                \
    "\0\0\0\3abc"                                                                                                      \
    "\377\377\377\377"                                                                                                 \
    "\0\0\0\3\1{}"

/* A copy without a byte to spare: a read beyond its end is seen by the sanitizer. */
struct message {
    char *bytes;
    size_t size;
};
static struct message message_of(const char *bytes, size_t size)
{
    struct message message = {malloc(size ? size : 1), size};
    if (size)
        memcpy(message.bytes, bytes, size);
    return message;
}
#define MESSAGE(text) message_of(text, sizeof(text) - 1)

static void take_all(struct db_row *row)
{
    assert_int_equal(db_take_int(row, 2), -2);
    assert_int_equal(db_take_int(row, 4), 256);
    assert_int_equal(db_take_int(row, 8), INT64_MIN + 1);
    struct uuid id = db_take_uuid(row);
    assert_int_equal(id.bytes[15], 15);
    struct text text = db_take_text(row);
    assert_int_equal(text.size, 3);
    assert_memory_equal(text.data, "abc", 3);
    assert_null(db_take_text(row).data);
    struct text body = db_take_jsonb(row);
    assert_int_equal(body.size, 2);
    assert_memory_equal(body.data, "{}", 2);
}

static void columns_are_decoded(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct message message = first ? MESSAGE(HEADER ROW) : MESSAGE(ROW);
        struct db_row row;
        assert_int_equal(db_row_decode(message.bytes, message.size, first, &row), 1);
        assert_false(db_row_good(&row)); /* nothing was taken yet */
        take_all(&row);
        assert_true(db_row_good(&row));
        assert_null(db_take_text(&row).data); /* there is none */
        assert_false(db_row_good(&row));
        free(message.bytes);
    }
}

static void every_cut_is_noticed(void **state)
{
    static const char whole[] = HEADER ROW;
    (void)state;
    for (size_t size = 0; size < sizeof whole - 1; size++) {
        struct message message = message_of(whole, size);
        struct db_row row;
        if (db_row_decode(message.bytes, message.size, true, &row) == 1) {
            for (int i = 0; i < 6; i++)
                (void)db_take_text(&row);
            (void)db_take_jsonb(&row);
            assert_false(db_row_good(&row));
        }
        free(message.bytes);
    }
}

static void ends_and_what_is_none(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        bool first;
        int expected;
    } cases[] = {
        {"\377\377", 2, false, 0},
        {HEADER "\377\377", 21, true, 0},
        {"\377\377\0", 3, false, -1},
        {"\377\376", 2, false, -1},
        {"\0", 1, false, -1},
        {"PGCOPY\n\377\r\n\1\0\0\0\0\0\0\0\0\377\377", 21, true, -1},
        {"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\2xx\377\377", 23, true, 0},        /* an extension is skipped */
        {"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\5xx\377\377", 23, true, -1},       /* unless it is not there */
        {"PGCOPY\n\377\r\n\0\0\0\0\0\377\377\377\377\377\377", 21, true, -1}, /* or has no size */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct message message = message_of(cases[i].bytes, cases[i].size);
        struct db_row row;
        assert_int_equal(db_row_decode(message.bytes, message.size, cases[i].first, &row), cases[i].expected);
        free(message.bytes);
    }
}

static void other_types_make_a_row_bad(void **state)
{
    static const char one[] = "\0\1\0\0\0\3abc", null[] = "\0\1\377\377\377\377", body[] = "\0\1\0\0\0\3\2{}",
                      size[] = "\0\1\377\377\377\376";
    struct db_row row;
    (void)state;
#define BAD(bytes, take)                                                                                               \
    do {                                                                                                               \
        assert_int_equal(db_row_decode(bytes, sizeof(bytes) - 1, false, &row), 1);                                     \
        (void)take;                                                                                                    \
        assert_false(db_row_good(&row));                                                                               \
    } while (0)
    BAD(one, db_take_int(&row, 4));
    BAD(one, db_take_uuid(&row));
    BAD(one, db_take_jsonb(&row));
    BAD(null, db_take_int(&row, 8));
    BAD(null, db_take_uuid(&row));
    BAD(null, db_take_jsonb(&row));
    BAD(body, db_take_jsonb(&row)); /* of another version */
    BAD(size, db_take_text(&row));
    assert_int_equal(db_row_decode(one, sizeof one - 1, false, &row), 1);
    assert_int_equal(db_take_text(&row).size, 3);
    assert_true(db_row_good(&row));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_decoded),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(ends_and_what_is_none),
        cmocka_unit_test(other_types_make_a_row_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
