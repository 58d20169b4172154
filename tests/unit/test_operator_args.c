/* test_operator_args.c - workers/operator/args, passwords: the command line of `acquit` */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "workers/operator/args.h"
#include "workers/operator/passwords.h"

static const struct option_row options[] = {
    {.name = "limit", .kind = OPTION_INT, .least = 1, .most = 200, .value = "N"},
    {.name = "state", .kind = OPTION_TEXT, .value = "STATE"},
    {.name = "password-file", .kind = OPTION_MANY, .value = "NAME=FILE"},
    {0},
};
static const struct option_row common[] = {{.name = "json", .kind = OPTION_FLAG}, {0}};

#define READ(args, err, ...)                                                                                           \
    args_read(options, common, (int)(sizeof(char *[]){__VA_ARGS__} / sizeof(char *)), (char *[]){__VA_ARGS__}, args,   \
              err)

static void test_words(void **state)
{
    (void)state;
    char *argv[] = {"payment", "show", "tx_1"};
    assert_int_equal(args_words("payment show", 3, argv), 2);
    assert_int_equal(args_words("payment", 3, argv), 1);
    assert_int_equal(args_words("payment list", 3, argv), 0);
    assert_int_equal(args_words("payment sho", 3, argv), 0);
    assert_int_equal(args_words("payment show tx_1 more", 3, argv), 0);
    assert_int_equal(args_words("payment show", 1, argv), 0);
    assert_int_equal(args_words("migrate", 0, argv), 0);
}

static void test_options_and_arguments(void **state)
{
    (void)state;
    struct args args;
    struct err err = {0};
    assert_int_equal(READ(&args, &err, "a", "--limit", "5", "--json", "b", "--state=held", "--", "--limit"), 0);
    assert_int_equal(args.positional_count, 3);
    assert_string_equal(args.positional[0], "a");
    assert_string_equal(args.positional[1], "b");
    assert_string_equal(args.positional[2], "--limit");
    assert_int_equal(args_int(&args, "limit", 20), 5);
    assert_string_equal(args_text(&args, "state", NULL), "held");
    assert_true(args_flag(&args, "json"));
}

static void test_nothing_given(void **state)
{
    (void)state;
    struct args args;
    assert_int_equal(args_read(NULL, common, 0, NULL, &args, NULL), 0);
    assert_int_equal(args_int(&args, "limit", 20), 20);
    assert_null(args_text(&args, "state", NULL));
    assert_false(args_flag(&args, "json"));
    assert_null(args_many(&args, "password-file", 0));
}

static void test_last_one_counts_and_all_are_kept(void **state)
{
    (void)state;
    struct args args;
    assert_int_equal(READ(&args, NULL, "--state", "a", "--state=", "--password-file", "x=1", "--password-file", "y=2"),
                     0);
    assert_string_equal(args_text(&args, "state", NULL), "");
    assert_string_equal(args_many(&args, "password-file", 0), "x=1");
    assert_string_equal(args_many(&args, "password-file", 1), "y=2");
    assert_null(args_many(&args, "password-file", 2));
}

static void assert_refused(int r, struct err *err, const char *part)
{
    assert_int_equal(r, -1);
    assert_int_equal(err->code, ERR_INVALID);
    if (!strstr(err->text, part))
        fail_msg("'%s' lacks '%s'", err->text, part);
    err_clear(err);
}

static void test_refusals(void **state)
{
    (void)state;
    struct args args;
    struct err err = {0};
    assert_refused(READ(&args, &err, "--nope"), &err, "--nope");
    assert_refused(READ(&args, &err, "--limi", "5"), &err, "--limi");
    assert_refused(READ(&args, &err, "--limit"), &err, "--limit N");
    assert_refused(READ(&args, &err, "--limit", "0"), &err, "1 to 200");
    assert_refused(READ(&args, &err, "--limit=201"), &err, "1 to 200");
    assert_refused(READ(&args, &err, "--limit=5x"), &err, "5x");
    assert_refused(READ(&args, &err, "--limit="), &err, "integer");
    assert_refused(READ(&args, &err, "--json=yes"), &err, "--json");
    char *many[ARGS_MAX + 1];
    for (size_t i = 0; i <= ARGS_MAX; i++)
        many[i] = "x";
    assert_refused(args_read(options, common, ARGS_MAX + 1, many, &args, &err), &err, "arguments");
    for (size_t i = 0; i <= ARGS_MAX; i++)
        many[i] = "--json";
    assert_refused(args_read(options, common, ARGS_MAX + 1, many, &args, &err), &err, "options");
}

static void test_passwords(void **state)
{
    (void)state;
    char path[] = "/tmp/acquit-test-XXXXXX", option[64], variable[PASSWORD_VARIABLE_SIZE];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "s3cret\nrest", 11), 11);
    close(fd);
    snprintf(option, sizeof option, "acquit-worker=%s", path);
    struct args args;
    struct err err = {0};
    char *password;
    assert_int_equal(READ(&args, &err, "--password-file", option, "--password-file", "shop=/nonexistent"), 0);

    assert_int_equal(password_find(&args, "acquit-worker", &password, &err), 0);
    assert_string_equal(password, "s3cret");
    free(password);
    assert_refused(password_find(&args, "shop", &password, &err), &err, "/nonexistent");
    assert_int_equal(password_find(&args, "acquit", &password, &err), 0); /* a name that only begins the same */
    assert_null(password);

    password_variable("app.one", variable);
    assert_string_equal(variable, "ACQUIT_BROKER_PASSWORD_APP_ONE");
    setenv(variable, "from env", 1);
    assert_int_equal(password_find(&args, "app.one", &password, &err), 0);
    assert_string_equal(password, "from env");
    free(password);
    unsetenv(variable);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),         cmocka_unit_test(test_options_and_arguments),
        cmocka_unit_test(test_nothing_given), cmocka_unit_test(test_last_one_counts_and_all_are_kept),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
