/* test_log.c - common/log: one line, escaped, cut, without card numbers; and a panic that ends the process */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

enum { CAPTURE_MAX = 8 * LOG_LINE_MAX };

/* What `fn` writes to standard error. With `journal` it looks like a stream of journald's. */
static char *captured(void (*fn)(void), bool journal)
{
    static char text[CAPTURE_MAX];
    FILE *file = tmpfile();
    struct stat st = {0};
    char stream[64];
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && file && dup2(fileno(file), STDERR_FILENO) >= 0 && fstat(fileno(file), &st) == 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + (journal ? 0 : 1));
    setenv("JOURNAL_STREAM", stream, 1);
    log_open("acquit-test", LOG_INFO_LEVEL);
    fn();
    unsetenv("JOURNAL_STREAM");
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void say_levels(void)
{
    log_debug("too quiet");
    log_info("one %d", 1);
    log_warn("two");
    log_error("three");
}

static void test_under_systemd(void **state)
{
    (void)state;
    assert_string_equal(captured(say_levels, true),
                        "<6>acquit-test: one 1\n<4>acquit-test: two\n<3>acquit-test: three\n");
}

static void test_elsewhere(void **state)
{
    (void)state;
    const char *text = captured(say_levels, false);
    int64_t at;
    char time[32];
    assert_int_equal(sscanf(text, "%31s info acquit-test: one", time), 1);
    assert_int_equal(clock_parse(time, &at), 0);
    assert_non_null(strstr(text, " warn acquit-test: two\n"));
    assert_null(strstr(text, "too quiet"));
}

static void say_control(void)
{
    log_info("a\nb\rc\x1b[31m\x7f\xc2\x9b"
             "é");
}

static void test_control_characters(void **state)
{
    (void)state;
    assert_string_equal(captured(say_control, true), "<6>acquit-test: a\\nb\\x0dc\\x1b[31m\\x7f\\x9bé\n");
}

static void say_card(void)
{
    log_info("card=4111111111111111 4242-4242-4242-4242");
}

static void test_card_numbers(void **state)
{
    (void)state;
    assert_string_equal(captured(say_card, true), "<6>acquit-test: card=************1111 ****-****-****-4242\n");
}

/* The line is filled so that the cut falls into the card number, at each of its digits. */
static size_t filling;

static void say_long(void)
{
    char text[2 * LOG_LINE_MAX];
    memset(text, ' ', sizeof text);
    memcpy(text + filling, "4111111111111111", 17);
    log_info("%s", text);
}

static void say_wide(void)
{
    char text[2 * LOG_LINE_MAX] = "";
    for (size_t i = 0; i < filling; i++)
        text[i] = 'x';
    for (size_t i = filling; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "é", 3);
    log_info("%s", text);
}

static void test_cut(void **state)
{
    (void)state;
    for (filling = LOG_LINE_MAX - 60; filling < LOG_LINE_MAX; filling++) {
        const char *text = captured(say_long, true);
        assert_true(strlen(text) <= LOG_LINE_MAX);
        assert_int_equal(text[strlen(text) - 1], '\n');
        assert_null(strstr(text, "4111"));
    }
    for (filling = 0; filling < 2; filling++) {
        const char *text = captured(say_wide, true);
        assert_in_range(strlen(text), LOG_LINE_MAX - 4, LOG_LINE_MAX);
        assert_memory_equal(text + strlen(text) - 3, "é\n", 3); /* whole characters */
    }
}

static void say_with_errno(void)
{
    errno = ENOENT;
    log_info("x");
    assert_int_equal(errno, ENOENT);
}

static void test_errno_survives(void **state)
{
    (void)state;
    captured(say_with_errno, true);
}

static void panic(void)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        log_panic("slot %s", "lost");
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_panic(void **state)
{
    (void)state;
    assert_string_equal(captured(panic, true), "<3>acquit-test: panic: slot lost\n");
}

static void test_level_names(void **state)
{
    (void)state;
    enum log_level level = LOG_DEBUG_LEVEL;
    assert_int_equal(log_level_parse("warn", &level), 0);
    assert_int_equal(level, LOG_WARN_LEVEL);
    assert_int_equal(log_level_parse("warning", &level), -1);
    assert_int_equal(log_level_parse("", &level), -1);
    assert_int_equal(level, LOG_WARN_LEVEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_under_systemd),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_card_numbers),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_errno_survives),
        cmocka_unit_test(test_panic),
        cmocka_unit_test(test_level_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
