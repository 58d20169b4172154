/* test_policy.c - when a command is tried again, when a question is asked, when `absent` may be concluded */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "ledger/saga.h"
#include "queues/topology.h"
#include "workers/policy.h"
#include "workers/program.h"

static char path[] = "/tmp/acquit-policy-XXXXXX";
static struct config *config;

static int load(void **state)
{
    (void)state;
    struct err err = {0};
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    if (!file)
        return -1;
    setenv("ACQUIT_BROKER_URL", "amqp://a:b@127.0.0.1/x", 1);
    setenv("ACQUIT_LEDGER_URL", "postgresql:///x", 1);
    fputs("retry: { attempts = 3; base_ms = 100; cap_ms = 1000; unknown_payment_ms = 5000; };\n"
          "question: { base_ms = 200; cap_ms = 2000; give_up_ms = 7000; };\n",
          file);
    fclose(file);
    config = config_load(path, &err);
    if (!config)
        print_error("%s\n", err.text);
    return config ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    config_free(config);
    return unlink(path);
}

static void test_back_off_has_full_jitter_below_its_bound(void **state)
{
    (void)state;
    for (int attempt = 0; attempt < 64; attempt++) {
        int64_t bound = attempt < 4 ? 100LL << attempt : 1000, highest = 0;
        for (int i = 0; i < 400; i++) {
            int64_t delay = policy_back_off(100, 1000, attempt);
            assert_in_range(delay, 0, bound);
            highest = delay > highest ? delay : highest;
        }
        assert_true(highest > bound / 2); /* really spread, not a constant */
    }
    assert_in_range(policy_back_off(INT64_MAX / 4, 1000, 40), 0, 1000); /* overflow is the cap */
}

static void test_attempts_are_counted(void **state)
{
    (void)state;
    struct command command = {0};
    int64_t delay = -1;
    for (command.attempt = 0; command.attempt < 6; command.attempt++)
        assert_int_equal(policy_retry(config, &command, false, 0, &delay), command.attempt < 2);
}

static void write_settings(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* After how many attempts a command of this type is dead, and the longest delay between two. */
static int attempts_of(const struct config *settings, const char *type, int64_t *ret_longest_ms)
{
    struct command command = {.type = command_type_find(type)};
    int64_t delay = 0;
    assert_non_null(command.type);
    *ret_longest_ms = 0;
    while (policy_retry(settings, &command, false, 0, &delay))
        command.attempt++;
    int attempts = command.attempt + 1;
    for (command.attempt = 0; command.attempt < 100; command.attempt++)
        for (int i = 0; i < 20; i++) {
            policy_retry(settings, &command, false, 0, &delay);
            *ret_longest_ms = delay > *ret_longest_ms ? delay : *ret_longest_ms;
        }
    return attempts;
}

#define RETRY "retry: { attempts = 3; base_ms = 100; cap_ms = 1000; };\n"

static void test_each_type_has_its_own_patience_and_sighup_changes_it(void **state)
{
    (void)state;
    struct err err = {0};
    int64_t longest;
    struct reload reload = {.path = path};
    write_settings(RETRY "retry_types = ( { type = \"pop.validate\"; attempts = 8; cap_ms = 30000; },\n"
                         "  { type = \"token.activate\"; base_ms = 5; cap_ms = 5; } );\n");
    struct config *first = program_load(path, &err);
    if (!first)
        fail_msg("%s", err.text);
    assert_int_equal(attempts_of(first, "pop.validate", &longest), 8);
    assert_in_range(longest, 10000, 30000);
    assert_int_equal(attempts_of(first, "token.activate", &longest), 3); /* as retry says */
    assert_in_range(longest, 1, 5);
    assert_int_equal(attempts_of(first, "notify.send", &longest), 3);
    assert_in_range(longest, 500, 1000);

    log_open("test_policy", LOG_ERROR_LEVEL);
    write_settings("log: { level = \"error\"; };\n" RETRY
                   "retry_types = ( { type = \"notify.send\"; attempts = 20; } );\n");
    const struct config *now = program_reload(&reload, "test_policy", first);
    assert_non_null(now);
    assert_int_equal(attempts_of(now, "pop.validate", &longest), 3);
    assert_int_equal(attempts_of(now, "notify.send", &longest), 20);

    FILE *said = tmpfile(); /* a wrong one changes nothing, and says why */
    int kept = dup(STDERR_FILENO);
    dup2(fileno(said), STDERR_FILENO);
    write_settings(RETRY "\nretry_types = ( { type = \"notify.sent\"; } );\n");
    assert_null(program_reload(&reload, "test_policy", now));
    dup2(kept, STDERR_FILENO);
    close(kept);
    char text[1024] = "";
    rewind(said);
    text[fread(text, 1, sizeof text - 1, said)] = '\0';
    fclose(said);
    assert_non_null(strstr(text, ":3: there is no command type"));
    assert_non_null(strstr(text, "did you mean notify.send?"));
    program_reload_free(&reload);
    config_free(first);
}

static void test_an_unknown_payment_waits_by_the_clock(void **state)
{
    (void)state;
    struct command command = {.attempt = 50, .history = json_pack("[{s:I}]", "at", (json_int_t)1000000)};
    int64_t delay = -1;
    assert_true(policy_retry(config, &command, true, 1000000, &delay));
    assert_true(policy_retry(config, &command, true, 1004999, &delay));
    assert_false(policy_retry(config, &command, true, 1005000, &delay));
    json_decref(command.history);
}

static void test_a_question_is_given_up_by_the_clock(void **state)
{
    (void)state;
    struct command command = {.attempt = 50, .history = json_pack("[{s:I}]", "at", (json_int_t)1000000)};
    assert_false(policy_gives_up(config, &command, 1006999));
    assert_true(policy_gives_up(config, &command, 1007000));
    json_decref(command.history);
    command.history = NULL; /* asked for the first time */
    assert_false(policy_gives_up(config, &command, 1007000));
}

static void test_questions_grow_rare_and_last_for_more_than_a_month(void **state)
{
    (void)state;
    int64_t month_ms = 30LL * 24 * 3600 * 1000, total = 0;
    assert_int_equal(policy_question_bound(config, 0), 200);
    assert_int_equal(policy_question_bound(config, 3), 1600);
    assert_int_equal(policy_question_bound(config, 20), 2000);
    for (int k = 0; k < DOUBTS_MAX; k++) {
        int64_t bound = policy_question_bound(config, k), delay = policy_question_delay(config, k);
        assert_in_range(delay, bound / 2, bound);
        total += bound;
    }
    assert_true(total > month_ms);
}

static void test_sending_and_absence(void **state)
{
    (void)state;
    assert_true(policy_may_send(999, 1000));
    assert_false(policy_may_send(1000, 1000));
    /* only from a question asked after the window, the call's timeout and the horizon (L6) */
    assert_false(policy_may_conclude_absent(1000 + 50 + 7, 1000, 50, 7));
    assert_true(policy_may_conclude_absent(1000 + 50 + 8, 1000, 50, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_back_off_has_full_jitter_below_its_bound),
        cmocka_unit_test(test_attempts_are_counted),
        cmocka_unit_test(test_each_type_has_its_own_patience_and_sighup_changes_it),
        cmocka_unit_test(test_an_unknown_payment_waits_by_the_clock),
        cmocka_unit_test(test_a_question_is_given_up_by_the_clock),
        cmocka_unit_test(test_questions_grow_rare_and_last_for_more_than_a_month),
        cmocka_unit_test(test_sending_and_absence),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
