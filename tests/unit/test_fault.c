/* test_fault.c - common/fault: the armed point, at its N-th pass, and nothing else */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fault.h"

/* Starts a child with this ACQUIT_FAULT that passes AFTER_INTENTS twice and BEFORE_ACK once, and exits with 0. */
static pid_t start(const char *spec)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child != 0)
        return child;
    close(STDERR_FILENO);
    setenv("ACQUIT_FAULT", spec, 1);
    fault_arm_from_environment();
    fault_pass(FAULT_AFTER_INTENTS);
    fault_pass(FAULT_AFTER_INTENTS);
    fault_pass(FAULT_BEFORE_ACK);
    _exit(0);
}

static int end_of(const char *spec)
{
    int status;
    pid_t child = start(spec);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void assert_killed(const char *spec)
{
    int status = end_of(spec);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void assert_exit(const char *spec, int code)
{
    int status = end_of(spec);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static void test_kill(void **state)
{
    (void)state;
    assert_killed("after-intents=kill");
    assert_killed("after-intents=kill:2");
    assert_killed("before-call=kill;before-ack=kill");
}

static void test_not_reached(void **state)
{
    (void)state;
    assert_exit("", 0);
    assert_exit("after-intents=kill:3", 0);
    assert_exit("before-call=kill", 0);
}

static void test_pause(void **state)
{
    (void)state;
    int status;
    pid_t child = start("after-intents=pause");
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    kill(child, SIGCONT);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0); /* it stops once, then goes on */
}

/* A typing error in a test must not let it pass for nothing. */
static void test_wrong_specifications(void **state)
{
    (void)state;
    static const char *const specs[] = {
        "after-intent=kill",     "after-intents",
        "after-intents=",        "after-intents=die",
        "after-intents=kill:",   "after-intents=kill:0",
        "after-intents=kill:x",  "after-intents=kill:1x",
        "after-intents=kill:-1", "after-intents=kill:99999999999999999999",
    };
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++)
        assert_exit(specs[i], 78);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_not_reached),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_wrong_specifications),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
