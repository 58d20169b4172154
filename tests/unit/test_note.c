/* test_note.c - ledger/note: other people's notes, our own, and whatever is neither */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "ledger/note.h"

static const uint8_t PRIVATE[ED25519_KEY_SIZE] = {1, 2, 3, 4};

static struct note_key key_of(const char *name)
{
    struct note_key key = {0};
    snprintf(key.name, sizeof key.name, "%s", name);
    ed25519_public(PRIVATE, key.public_key);
    return key;
}

static struct checkpoint some_checkpoint(void)
{
    struct checkpoint checkpoint = {
        .origin = "acquit.example/ledger", .size = 18, .line_count = 1, .lines = {"slots abc"}};
    memset(checkpoint.root.bytes, 7, SHA256_SIZE);
    return checkpoint;
}

/* The example of Go's golang.org/x/mod/sumdb/note: its key is ours to read, its signature ours to check. */
static void test_a_note_that_is_not_ours(void **state)
{
    (void)state;
    static const char text[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    char note[] =
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6"
        "RyyBwJnAM=\n";
    struct note_key key;
    struct checkpoint checkpoint;
    const struct note_key *by = NULL;
    struct err err = {0};
    char again[NOTE_KEY_SIZE];
    assert_int_equal(note_key_parse(text, &key, &err), 0);
    note_key_format(&key, again);
    assert_string_equal(again, text);
    assert_int_equal(checkpoint_open(note, &key, 1, &checkpoint, &by, &err), -1); /* signed, but no checkpoint */
    assert_string_equal(err.text, "line 1 of the checkpoint is no name of a log");
    assert_ptr_equal(by, &key);
}

static void test_what_is_signed_is_read(void **state)
{
    (void)state;
    struct checkpoint written = some_checkpoint(), read;
    struct note_key keys[] = {key_of("somebody.else"), key_of("acquit.example/ledger")};
    const struct note_key *by = NULL;
    struct err err = {0};
    char note[NOTE_SIZE_MAX];
    assert_int_equal(checkpoint_sign(&written, keys[1].name, PRIVATE, note, &err), 0);
    static const char start[] = "acquit.example/ledger\n18\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\nslots abc\n\n"
                                "\xe2\x80\x94 acquit.example/ledger ";
    assert_memory_equal(note, start, sizeof start - 1);
    assert_int_equal(checkpoint_open(note, keys, 2, &read, &by, &err), 0);
    assert_ptr_equal(by, &keys[1]);
    assert_string_equal(read.origin, written.origin);
    assert_int_equal(read.size, 18);
    assert_true(hash_equal(&read.root, &written.root));
    assert_int_equal(read.line_count, 1);
    assert_string_equal(read.lines[0], "slots abc");
}

/* Whichever byte is another: it is refused, or it says the same (base64 of a signature that is not ours to read). */
static void test_every_altered_byte_is_refused(void **state)
{
    (void)state;
    struct checkpoint written = some_checkpoint();
    struct note_key key = key_of("acquit.example/ledger");
    char note[NOTE_SIZE_MAX];
    struct err err = {0};
    assert_int_equal(checkpoint_sign(&written, key.name, PRIVATE, note, &err), 0);
    size_t size = strlen(note);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct checkpoint read;
            const struct note_key *by = NULL;
            char *copy = mem_text(note);
            copy[i] = (char)(copy[i] ^ (1 << bit));
            if (checkpoint_open(copy, &key, 1, &read, &by, &err) == 0)
                fail_msg("byte %zu, bit %d", i, bit);
            free(copy);
        }
    }
    for (size_t i = 0; i < size; i++) { /* cut anywhere */
        struct checkpoint read;
        const struct note_key *by = NULL;
        char *copy = mem_text(note);
        copy[i] = '\0';
        assert_int_equal(checkpoint_open(copy, &key, 1, &read, &by, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
        free(copy);
    }
}

static void test_other_signatures_do_no_harm(void **state)
{
    (void)state;
    struct checkpoint written = some_checkpoint(), read;
    struct note_key key = key_of("acquit.example/ledger");
    const struct note_key *by = NULL;
    char note[NOTE_SIZE_MAX], more[2 * NOTE_SIZE_MAX];
    struct err err = {0};
    assert_int_equal(checkpoint_sign(&written, key.name, PRIVATE, note, &err), 0);
    char *first = strstr(note, "\n\n") + 2;
    snprintf(more, sizeof more,
             "%.*s\xe2\x80\x94 witness.example AAAA\n\xe2\x80\x94 acquit.example/ledger AAAAAA==\n%s",
             (int)(first - note), note, first);
    assert_int_equal(checkpoint_open(more, &key, 1, &read, &by, &err), 0);
    assert_ptr_equal(by, &key);
    struct note_key other = key;
    other.public_key[0] ^= 1;
    snprintf(more, sizeof more, "%s", note);
    assert_int_equal(checkpoint_open(more, &other, 1, &read, &by, &err), -1);
    assert_string_equal(err.text, "none of the given keys has signed the note");
}

static void test_texts_that_are_no_checkpoints(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"", "line 1"},
        {"two words", "line 1"},
        {"a+b", "line 1"},
        {"18", "line 2"},
        {"018", "line 2"},
        {"-1", "line 2"},
        {"18 ", "line 2"},
        {"0x12", "line 2"},
        {"99999999999999999999", "line 2"},
        {"562949953421312", "line 2"},
        {"AAAA", "line 3"},
        {"", "line 3"},
    };
    struct note_key key = key_of("k");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        int at = lines[i][1][5] - '0';
        char text[512], note[NOTE_SIZE_MAX], root[] = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        const char *parts[] = {at == 1 ? lines[i][0] : "origin", at == 2 ? lines[i][0] : "18",
                               at == 3 ? lines[i][0] : root};
        snprintf(text, sizeof text, "%s\n%s\n%s\n", parts[0], parts[1], parts[2]);
        if (strcmp(parts[1], "18") == 0 && at == 2)
            continue; /* good */
        /* signed as it stands, so that only its form is wrong */
        uint8_t signed_bytes[4 + ED25519_SIGNATURE_SIZE], digest[SHA256_SIZE], tail[34] = {'\n', 1};
        char base64[128];
        memcpy(tail + 2, key.public_key, ED25519_KEY_SIZE);
        sha256_two("k", 1, tail, sizeof tail, digest);
        memcpy(signed_bytes, digest, 4);
        ed25519_sign(PRIVATE, text, strlen(text), signed_bytes + 4);
        base64_encode(signed_bytes, sizeof signed_bytes, base64);
        snprintf(note, sizeof note, "%s\n\xe2\x80\x94 k %s\n", text, base64);
        struct checkpoint read;
        const struct note_key *by = NULL;
        struct err err = {0};
        if (checkpoint_open(note, &key, 1, &read, &by, &err) == 0 || !strstr(err.text, lines[i][1]))
            fail_msg("'%s' as %s: %s", lines[i][0], lines[i][1], err.text);
    }
}

static void test_what_cannot_be_signed(void **state)
{
    (void)state;
    char note[NOTE_SIZE_MAX], huge[NOTE_SIZE_MAX];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    struct checkpoint cases[] = {some_checkpoint(), some_checkpoint(), some_checkpoint(), some_checkpoint(),
                                 some_checkpoint()};
    snprintf(cases[0].origin, sizeof cases[0].origin, "two words");
    cases[1].origin[0] = '\0';
    cases[2].lines[0] = "";
    cases[3].lines[0] = "one\ntwo";
    cases[4].lines[0] = huge;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        assert_int_equal(checkpoint_sign(&cases[i], "k", PRIVATE, note, &err), -1);
        assert_int_equal(err.code, i == 4 ? ERR_LIMIT : ERR_INVALID);
    }
    struct checkpoint good = some_checkpoint();
    struct err err = {0};
    assert_int_equal(checkpoint_sign(&good, "a key", PRIVATE, note, &err), -1);
}

static void test_keys_that_are_none(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "k",
        "k+c74f20a3",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        "PeterNeumann+c74f20a3+",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct note_key key;
        struct err err = {0};
        if (note_key_parse(cases[i], &key, &err) == 0)
            fail_msg("%s", cases[i]);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_note_that_is_not_ours),
        cmocka_unit_test(test_what_is_signed_is_read),
        cmocka_unit_test(test_every_altered_byte_is_refused),
        cmocka_unit_test(test_other_signatures_do_no_harm),
        cmocka_unit_test(test_texts_that_are_no_checkpoints),
        cmocka_unit_test(test_what_cannot_be_signed),
        cmocka_unit_test(test_keys_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
