/* test_epoch.c - ledger/epoch, verify_epoch: what an epoch makes of the functions before the server's ids, and which heads it has given up */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/crypto.h"
#include "ledger/epoch.h"
#include "ledger/verify_internal.h"
#include "tests/unit/saga_text.h"

static const struct manifest_line *line_of(const char *kind, const char *name)
{
    const struct manifest_line *line = verify_manifest;
    while (line->kind && !(strcmp(line->kind, kind) == 0 && strcmp(line->name, name) == 0))
        line++;
    return line;
}

static void test_the_first_epoch_is_as_the_migrations_make_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < EPOCH_FUNCTIONS; i++) {
        char definition[EPOCH_FUNCTION_SIZE], name[32], sha256[SHA256_HEX_SIZE];
        snprintf(name, sizeof name, "%s()", epoch_function(i, 0, definition));
        sha256_hex(definition, strlen(definition), sha256);
        const struct manifest_line *line = line_of("function", name);
        assert_non_null(line->kind);
        assert_memory_equal(sha256, line->sha256, SHA256_HEX_SIZE / 2);
    }
}

static void test_an_offset_is_added(void **state)
{
    (void)state;
    char definition[EPOCH_FUNCTION_SIZE];
    assert_string_equal(epoch_function(0, 123456, definition), "xid");
    assert_string_equal(definition,
                        "CREATE OR REPLACE FUNCTION ledger.xid()\n RETURNS xid8\n LANGUAGE sql\n STABLE PARALLEL SAFE\n"
                        "AS $function$select (pg_current_xact_id()::text::bigint + 123456)::text::xid8$function$\n");
    assert_string_equal(epoch_function(1, INT64_MAX, definition), "horizon");
    assert_non_null(strstr(
        definition,
        "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint + 9223372036854775807)::text::xid8$function$\n"));
    assert_string_equal(epoch_function(2, 1, definition), "next_xid");
    assert_non_null(
        strstr(definition, "(pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1)::text::xid8$function$\n"));
}

static void test_verification_expects_the_last_epochs_functions(void **state)
{
    (void)state;
    struct verify verify = {.epochs = {.offset = 77}};
    char sha256[SHA256_HEX_SIZE], expected[SHA256_HEX_SIZE], definition[EPOCH_FUNCTION_SIZE];
    epoch_function(0, 77, definition);
    sha256_hex(definition, strlen(definition), expected);
    const struct manifest_line *xid = line_of("function", "xid()"), *other = line_of("function", "fence()");
    assert_string_not_equal(epoch_definition(&verify, xid, sha256), xid->sha256);
    assert_int_equal(strlen(sha256), strlen(xid->sha256));
    assert_memory_equal(sha256, expected, strlen(sha256));
    assert_string_equal(epoch_definition(&verify, other, sha256), other->sha256);
    const struct manifest_line grant = {"grant", "xid()", "0123"};
    assert_string_equal(epoch_definition(&verify, &grant, sha256), "0123");
    verify.epochs.offset = 0;
    assert_string_equal(epoch_definition(&verify, xid, sha256), xid->sha256);
}

static void test_which_heads_were_given_up(void **state)
{
    (void)state;
    /* epoch 1 up to 400 facts, 3 up to 450, 4 has begun and has no block yet; 2 was given up before it came to anything that is left */
    struct verify verify = {.epochs = {.count = 3, .items = {{1, 400}, {3, 450}, {4, 450}}, .offset = 1, .sealed = 3}};
    static const struct {
        int number;
        uint64_t size;
        bool lost;
    } rows[] = {
        {1, 400, false}, {1, 401, true},          {1, 1, false},   {2, 1, true},
        {2, 500, true},  {3, 450, false},         {3, 451, false}, /* nothing signed says that epoch 4 goes on from there */
        {4, 451, false}, {INT32_MAX, 500, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(epoch_has_lost(&verify, rows[i].number, rows[i].size), rows[i].lost);
    verify.epochs.sealed = 4;
    assert_true(epoch_has_lost(&verify, 3, 451));
    verify.epochs = (struct epochs){.count = 1, .items = {{1, 0}}};
    assert_false(epoch_has_lost(&verify, 1, 500)); /* never restored */
    assert_true(epoch_is_known(&verify, 1));
    assert_false(epoch_is_known(&verify, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_epoch_is_as_the_migrations_make_it),
        cmocka_unit_test(test_an_offset_is_added),
        cmocka_unit_test(test_verification_expects_the_last_epochs_functions),
        cmocka_unit_test(test_which_heads_were_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
