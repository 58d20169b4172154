/* test_ids.c - common/ids against the vectors that Python and JavaScript reproduce (docs/ids.md); run from the
 * project's root */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/ids.h"

static const char *text(const json_t *vector, const char *key)
{
    const char *value = json_string_value(json_object_get(vector, key));
    assert_non_null(value);
    return value;
}

static void assert_id(struct uuid u, const char *expected)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(u, id);
    assert_string_equal(id, expected);
}

static void test_vectors(void **state)
{
    (void)state;
    json_error_t error;
    json_t *vectors = json_load_file("tests/unit/vectors/ids.json", JSON_REJECT_DUPLICATES, &error);
    if (!vectors)
        fail_msg("tests/unit/vectors/ids.json: %s", error.text);
    size_t i, count = 0;
    const json_t *v;
    json_array_foreach(json_object_get(vectors, "payment"), i, v)
    {
        struct uuid id = uuid_payment(text(v, "publisher"), text(v, "messageId"));
        char public[PUBLIC_ID_SIZE];
        assert_id(id, text(v, "id"));
        public_id_format(id, public);
        assert_string_equal(public, text(v, "publicId"));
        count++;
    }
    json_array_foreach(json_object_get(vectors, "command"), i, v)
    {
        assert_id(uuid_command(text(v, "type"), text(v, "publisher"), text(v, "messageId")), text(v, "id"));
        count++;
    }
    json_array_foreach(json_object_get(vectors, "followUp"), i, v)
    {
        struct uuid payment;
        assert_int_equal(uuid_parse(text(v, "paymentId"), &payment), 0);
        assert_id(uuid_follow_up(payment, text(v, "type"), text(v, "slot")), text(v, "id"));
        count++;
    }
    assert_true(count >= 29);
    json_decref(vectors);
}

static void test_parts_do_not_run_together(void **state)
{
    (void)state;
    assert_false(uuid_equal(uuid_payment("ab", "c"), uuid_payment("a", "bc")));
    assert_false(uuid_equal(uuid_payment("a", "b"), uuid_command("payment", "a", "b")));
    assert_true(uuid_equal(uuid_payment("a", "b"), uuid_payment("a", "b")));
}

/* With a line break inside a part, two different commands could share an id: it must not get that far. */
static void test_line_break_panics(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        struct uuid id = uuid_payment("a\nb", "c");
        _exit(id.bytes[0] ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_version_and_variant(void **state)
{
    (void)state;
    char message_id[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(message_id, sizeof message_id, "%d", i);
        struct uuid derived = uuid_payment("shop", message_id), random = uuid_random();
        assert_int_equal(derived.bytes[6] >> 4, 8);
        assert_int_equal(derived.bytes[8] >> 6, 2);
        assert_int_equal(random.bytes[6] >> 4, 4);
        assert_int_equal(random.bytes[8] >> 6, 2);
    }
    assert_false(uuid_equal(uuid_random(), uuid_random()));
}

static void test_parse(void **state)
{
    (void)state;
    struct uuid u;
    assert_int_equal(uuid_parse("00112233-4455-6677-8899-aabbccddeeff", &u), 0);
    assert_memory_equal(u.bytes, "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
    assert_int_equal(uuid_parse("00112233-4455-6677-8899-AABBCCDDEEFF", &u), 0);
    assert_id(u, "00112233-4455-6677-8899-aabbccddeeff");
    static const char *const wrong[] = {
        "",
        "00112233445566778899aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeeff0",
        "0011223-34455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899_aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeefg",
        "-0112233-4455-6677-8899-aabbccddeeff",
        "{0112233-4455-6677-8899-aabbccddeef}",
        " 0112233-4455-6677-8899-aabbccddeeff",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(uuid_parse(wrong[i], &u), -1);
        assert_int_equal(public_id_parse(wrong[i], &u), -1);
    }
}

static void test_public_form(void **state)
{
    (void)state;
    struct uuid u, v;
    assert_int_equal(public_id_parse("tx_00112233445566778899aabbccddeeff", &u), 0);
    assert_int_equal(public_id_parse("00112233-4455-6677-8899-aabbccddeeff", &v), 0);
    assert_true(uuid_equal(u, v));
    char text_form[PUBLIC_ID_SIZE];
    public_id_format(u, text_form);
    assert_string_equal(text_form, "tx_00112233445566778899aabbccddeeff");
    static const char *const wrong[] = {
        "tx_",
        "tx_00112233445566778899aabbccddeef",
        "tx_00112233445566778899aabbccddeeff0",
        "TX_00112233445566778899aabbccddeeff",
        "tx_00112233-4455-6677-8899-aabbccddeeff",
        "tx-00112233445566778899aabbccddeeff",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(public_id_parse(wrong[i], &u), -1);
}

static void test_order_and_nil(void **state)
{
    (void)state;
    struct uuid low = {{0}}, high = {{0}};
    assert_true(uuid_is_nil(low));
    high.bytes[0] = 0x80; /* bytes are compared unsigned, the first one first */
    low.bytes[15] = 0xff;
    assert_true(uuid_compare(low, high) < 0);
    assert_true(uuid_compare(high, low) > 0);
    assert_int_equal(uuid_compare(low, low), 0);
    assert_false(uuid_is_nil(low));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_parts_do_not_run_together),
        cmocka_unit_test(test_line_break_panics),
        cmocka_unit_test(test_version_and_variant),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_public_form),
        cmocka_unit_test(test_order_and_nil),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
