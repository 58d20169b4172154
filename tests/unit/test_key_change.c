/* test_key_change.c - ledger/key_change: the statement of a new key, and the line of a private key's file */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/key_change.h"

static const char ORIGIN[] = "acquit.example/ledger";
static const uint8_t OLD[ED25519_KEY_SIZE] = {1, 2, 3, 4}, NEW[ED25519_KEY_SIZE] = {5, 6, 7, 8};
enum { AT = 1795831200 };

static void make(char ret[static KEY_CHANGE_SIZE])
{
    struct err err = {0};
    assert_int_equal(key_change_sign(ORIGIN, OLD, NEW, INT64_C(1000) * AT + 123, ret, &err), 0);
}

static void test_what_was_signed(void **state)
{
    (void)state;
    char statement[KEY_CHANGE_SIZE];
    uint8_t old_key[ED25519_KEY_SIZE], new_key[ED25519_KEY_SIZE];
    struct key_change change;
    struct err err = {0};
    make(statement);
    assert_memory_equal(statement, "acquit-key-v1\nacquit.example/ledger\nacquit.example/ledger+", 57);
    assert_non_null(strstr(statement, "\n2026-11-28T02:00:00.123Z\n\n\xe2\x80\x94 acquit.example/ledger "));
    assert_int_equal(key_change_open(statement, &change, &err), 0);
    ed25519_public(OLD, old_key);
    ed25519_public(NEW, new_key);
    assert_memory_equal(change.old_key.public_key, old_key, sizeof old_key);
    assert_memory_equal(change.new_key.public_key, new_key, sizeof new_key);
    assert_string_equal(change.old_key.name, ORIGIN);
    assert_string_equal(change.new_key.name, ORIGIN);
    assert_int_equal(change.at_ms, INT64_C(1000) * AT + 123);
}

static void test_nothing_else_passes(void **state)
{
    (void)state;
    char statement[KEY_CHANGE_SIZE], changed[KEY_CHANGE_SIZE + 8];
    struct key_change change;
    make(statement);
    for (size_t i = 0; i < strlen(statement); i++)
        for (int bit = 0; bit < 8; bit++) {
            struct err err = {0};
            memcpy(changed, statement, sizeof statement);
            changed[i] = (char)(changed[i] ^ 1 << bit);
            if (key_change_open(changed, &change, &err) == 0)
                fail_msg("byte %zu, bit %d", i, bit);
            assert_int_equal(err.code, ERR_INVALID);
        }
    for (size_t i = 0; i < strlen(statement); i++) { /* cut */
        struct err err = {0};
        memcpy(changed, statement, sizeof statement);
        changed[i] = '\0';
        assert_int_equal(key_change_open(changed, &change, &err), -1);
    }
    static const char *const MORE[] = {"\n", "x", "\xe2\x80\x94 a b\n"};
    for (size_t i = 0; i < sizeof MORE / sizeof MORE[0]; i++) {
        struct err err = {0};
        snprintf(changed, sizeof changed, "%s%s", statement, MORE[i]);
        assert_int_equal(key_change_open(changed, &change, &err), -1);
    }
}

/* Good signatures of a text that is none. */
static void test_signed_and_still_no_statement(void **state)
{
    (void)state;
    struct note_key old_key = {0}, new_key = {0};
    char o[NOTE_KEY_SIZE], n[NOTE_KEY_SIZE], note[NOTE_SIZE_MAX];
    snprintf(old_key.name, sizeof old_key.name, "%s", ORIGIN);
    new_key = old_key;
    ed25519_public(OLD, old_key.public_key);
    ed25519_public(NEW, new_key.public_key);
    note_key_format(&old_key, o);
    note_key_format(&new_key, n);
    const struct {
        const char *form, *origin, *old_key, *new_key, *at;
        bool good;
    } CASES[] = {
        {"acquit-key-v1", ORIGIN, o, n, "2026-11-28T01:20:00.123Z", true},
        {"acquit-key-v2", ORIGIN, o, n, "2026-11-28T01:20:00.123Z", false},
        {"acquit-key-v1", "another", o, n, "2026-11-28T01:20:00.123Z", false},
        {"acquit-key-v1", ORIGIN, n, o, "2026-11-28T01:20:00.123Z", false}, /* signed the other way around */
        {"acquit-key-v1", ORIGIN, o, o, "2026-11-28T01:20:00.123Z", false},
        {"acquit-key-v1", ORIGIN, o, n, "2026-11-28T02:20:00.123+01:00", false},
        {"acquit-key-v1", ORIGIN, o, n, "yesterday", false},
        {"acquit-key-v1\n", ORIGIN, o, n, "2026-11-28T01:20:00.123Z", false},
        {"acquit-key-v1", ORIGIN, o, n, "2026-11-28T01:20:00.123Z\nmore", false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct key_change change;
        struct err err = {0};
        int size = snprintf(note, sizeof note, "%s\n%s\n%s\n%s\n%s\n", CASES[i].form, CASES[i].origin, CASES[i].old_key,
                            CASES[i].new_key, CASES[i].at);
        assert_int_equal(note_sign(note, (size_t)size, ORIGIN, OLD, &err), 0);
        assert_int_equal(note_sign(note, (size_t)size, ORIGIN, NEW, &err), 0);
        if ((key_change_open(note, &change, &err) == 0) != CASES[i].good)
            fail_msg("case %zu", i);
    }
}

static void test_what_cannot_be_signed(void **state)
{
    (void)state;
    char statement[KEY_CHANGE_SIZE], longest[NOTE_NAME_SIZE + 1];
    struct key_change change;
    struct err err = {0};
    assert_int_equal(key_change_sign(ORIGIN, OLD, OLD, 0, statement, &err), -1);
    assert_int_equal(key_change_sign("a b", OLD, NEW, 0, statement, &err), -1);
    memset(longest, 'x', sizeof longest);
    longest[NOTE_NAME_SIZE] = '\0';
    assert_int_equal(key_change_sign(longest, OLD, NEW, 0, statement, &err), -1);
    longest[NOTE_NAME_SIZE - 1] = '\0';
    assert_int_equal(key_change_sign(longest, OLD, NEW, 0, statement, &err), 0);
    assert_int_equal(key_change_open(statement, &change, &err), 0);
}

static void test_leaf(void **state)
{
    (void)state;
    static const uint8_t BYTES[] = "\0\0\0\0\x0d"
                                   "acquit-key-v1\0\0\0\x03"
                                   "abc";
    struct hash leaf = key_change_leaf("abc"), expected;
    sha256(BYTES, sizeof BYTES - 1, expected.bytes);
    assert_true(hash_equal(&leaf, &expected));
}

static void test_the_line_of_a_key(void **state)
{
    (void)state;
    struct signing_key key = {0}, again;
    char line[SIGNING_KEY_SIZE], changed[SIGNING_KEY_SIZE + 8];
    memcpy(key.private_key, NEW, sizeof NEW);
    signing_key_format(&key, line);
    assert_int_equal(strlen(line), 44);
    assert_int_equal(signing_key_parse(line, &again), 0);
    assert_memory_equal(again.private_key, NEW, sizeof NEW);
    assert_string_equal(again.change, "");
    make(key.change);
    signing_key_format(&key, line);
    assert_int_equal(signing_key_parse(line, &again), 0);
    assert_string_equal(again.change, key.change);
    static const char *const WRONG[] = {"",
                                        "AAAA",
                                        " ",
                                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= ",
                                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= AAAA",
                                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nYWJj",
                                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA YWJj"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        assert_int_equal(signing_key_parse(WRONG[i], &again), -1);
    snprintf(changed, sizeof changed, "%s x", line);
    assert_int_equal(signing_key_parse(changed, &again), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_signed),
        cmocka_unit_test(test_nothing_else_passes),
        cmocka_unit_test(test_signed_and_still_no_statement),
        cmocka_unit_test(test_what_cannot_be_signed),
        cmocka_unit_test(test_leaf),
        cmocka_unit_test(test_the_line_of_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
