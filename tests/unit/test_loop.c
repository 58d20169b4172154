/* test_loop.c - common/loop: descriptors, timers, signals, the watchdog */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/loop.h"

enum { TURN_MS = 2000 }; /* longer than anything here takes */

/* What the callbacks of a test share. */
struct seen {
    struct loop *loop;
    struct loop_source *source;
    int fd, count, events, limit;
    char order[16];
};

static struct loop *new_loop(void)
{
    struct err err = {0};
    struct loop *loop = loop_new(&err);
    assert_non_null(loop);
    return loop;
}

static void count_io(void *arg, int events)
{
    struct seen *seen = arg;
    seen->count++;
    seen->events = events;
    char byte;
    if (events & LOOP_READ && read(seen->fd, &byte, 1) <= 0)
        seen->events |= 8; /* end of file */
}

static void test_descriptor(void **state)
{
    (void)state;
    struct seen seen = {.loop = new_loop()};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    seen.fd = pair[0];
    struct loop_source *source = loop_io(seen.loop, pair[0], LOOP_READ, count_io, &seen);
    assert_int_equal(loop_turn(seen.loop, 0), 0);
    assert_int_equal(seen.count, 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(loop_turn(seen.loop, TURN_MS), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.events, LOOP_READ);
    loop_io_events(source, LOOP_WRITE);
    assert_int_equal(loop_turn(seen.loop, 0), 0);
    assert_int_equal(seen.events, LOOP_WRITE);
    loop_source_free(source);
    int count = seen.count;
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(loop_turn(seen.loop, 0), 0);
    assert_int_equal(seen.count, count);
    close(pair[0]);
    close(pair[1]);
    loop_free(seen.loop);
}

/* A hang-up wakes the reader, and nobody when there is no interest: epoll would report it again and again. */
static void test_hang_up(void **state)
{
    (void)state;
    struct seen seen = {.loop = new_loop()};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    seen.fd = pair[0];
    struct loop_source *source = loop_io(seen.loop, pair[0], 0, count_io, &seen);
    close(pair[1]);
    int64_t before = clock_monotonic_ms();
    assert_int_equal(loop_turn(seen.loop, 50), 0);
    assert_true(clock_monotonic_ms() - before >= 45); /* it slept */
    assert_int_equal(seen.count, 0);
    loop_io_events(source, LOOP_READ);
    assert_int_equal(loop_turn(seen.loop, TURN_MS), 0);
    assert_int_equal(seen.events, LOOP_READ | 8);
    close(pair[0]);
    loop_free(seen.loop); /* frees the source */
}

/* The end of a pipe comes as a hang-up alone, without "there is something to read". */
static void test_hang_up_of_a_pipe(void **state)
{
    (void)state;
    struct seen seen = {.loop = new_loop()};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[1]);
    seen.fd = ends[0];
    loop_io(seen.loop, ends[0], LOOP_READ, count_io, &seen);
    assert_int_equal(loop_turn(seen.loop, 0), 0);
    assert_int_equal(seen.events, LOOP_READ | 8);
    close(ends[0]);
    loop_free(seen.loop);
}

static void note(struct seen *seen, char c)
{
    size_t n = strlen(seen->order);
    seen->order[n] = c;
    if (n + 1 == (size_t)seen->limit)
        loop_stop(seen->loop, 42);
}

static void note_a(void *arg)
{
    note(arg, 'a');
}

static void note_b(void *arg)
{
    note(arg, 'b');
}

static void note_c(void *arg)
{
    note(arg, 'c');
}

static void test_timers_fire_in_order_and_once(void **state)
{
    (void)state;
    struct seen seen = {.loop = new_loop(), .limit = 3};
    int64_t before = clock_monotonic_ms();
    loop_timer(seen.loop, 60, note_c, &seen);
    loop_timer(seen.loop, 0, note_a, &seen);
    loop_timer(seen.loop, 30, note_b, &seen);
    assert_int_equal(loop_run(seen.loop), 42);
    assert_string_equal(seen.order, "abc");
    assert_true(clock_monotonic_ms() - before >= 60);
    assert_int_equal(loop_turn(seen.loop, 20), 0);
    assert_string_equal(seen.order, "abc");
    loop_free(seen.loop);
}

static void test_timer_set_again_and_disarmed(void **state)
{
    (void)state;
    struct seen seen = {.loop = new_loop(), .limit = 15};
    struct loop_source *timer = loop_timer(seen.loop, -1, note_a, &seen);
    assert_int_equal(loop_turn(seen.loop, 10), 0);
    assert_string_equal(seen.order, "");
    loop_timer_set(timer, 0);
    assert_int_equal(loop_turn(seen.loop, TURN_MS), 0);
    assert_string_equal(seen.order, "a");
    loop_timer_set(timer, 5);
    loop_timer_set(timer, -1);
    assert_int_equal(loop_turn(seen.loop, 20), 0);
    assert_string_equal(seen.order, "a");
    loop_timer_set(timer, 1000000);
    loop_timer_set(timer, 1);
    assert_int_equal(loop_turn(seen.loop, TURN_MS), 0);
    assert_string_equal(seen.order, "aa");
    loop_free(seen.loop);
}

static void again(void *arg)
{
    struct seen *seen = arg;
    seen->count++;
    loop_timer_set(seen->source, 0);
}

/* A timer that always wants the next turn does not keep this one from ending. */
static void test_turn_ends(void **state)
{
    (void)state;
    struct seen seen = {.loop = new_loop()};
    seen.source = loop_timer(seen.loop, 0, again, &seen);
    assert_int_equal(loop_turn(seen.loop, 0), 0);
    assert_in_range(seen.count, 1, 1000);
    loop_free(seen.loop);
}

static void free_myself(void *arg)
{
    struct seen *seen = arg;
    seen->count++;
    loop_source_free(seen->source);
}

static void free_myself_io(void *arg, int events)
{
    (void)events;
    free_myself(arg);
}

static void test_source_frees_itself(void **state)
{
    (void)state;
    struct seen timer = {.loop = new_loop()};
    timer.source = loop_timer(timer.loop, 0, free_myself, &timer);
    assert_int_equal(loop_turn(timer.loop, TURN_MS), 0);
    assert_int_equal(timer.count, 1);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct seen io = {.loop = timer.loop};
    io.source = loop_io(io.loop, pair[0], LOOP_WRITE, free_myself_io, &io);
    assert_int_equal(loop_turn(io.loop, TURN_MS), 0);
    assert_int_equal(loop_turn(io.loop, 0), 0);
    assert_int_equal(io.count, 1);
    close(pair[0]);
    close(pair[1]);
    loop_source_free(NULL);
    loop_free(timer.loop);
    loop_free(NULL);
}

static void free_other(void *arg)
{
    struct seen *seen = arg;
    seen->count++;
    loop_source_free(seen->source);
    seen->source = NULL;
}

/* Both are due in the same turn; whichever runs first ends the other, whose callback must then not run. */
static void test_source_freed_by_another(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    struct seen a = {.loop = loop}, b = {.loop = loop};
    struct loop_source *first = loop_timer(loop, 0, free_other, &a);
    a.source = loop_timer(loop, 0, free_other, &b);
    b.source = first;
    assert_int_equal(loop_turn(loop, TURN_MS), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(a.count + b.count, 1);
    loop_free(loop);
}

static void on_signal(void *arg, int signo)
{
    struct seen *seen = arg;
    seen->count = signo;
    loop_stop(seen->loop, 0);
}

static void test_signal(void **state)
{
    (void)state;
    struct seen seen = {.loop = new_loop()};
    assert_int_equal(loop_signal(seen.loop, SIGUSR1, on_signal, &seen), 0);
    raise(SIGUSR1);
    assert_int_equal(seen.count, 0); /* not before the loop runs */
    assert_int_equal(loop_run(seen.loop), 0);
    assert_int_equal(seen.count, SIGUSR1);
    assert_int_equal(loop_signal(seen.loop, 0, on_signal, &seen), -1);
    assert_int_equal(loop_signal(seen.loop, 4711, on_signal, &seen), -1);
    loop_free(seen.loop);
}

/* The supervisor's side of the watchdog: a datagram socket that the process is told of by environment. */
static int supervisor(const char *interval_us)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    static int number;
    snprintf(at.sun_path, sizeof at.sun_path, "/tmp/acquit-test-loop-%d-%d", (int)getpid(), number++);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    setenv("WATCHDOG_USEC", interval_us, 1);
    setenv("WATCHDOG_PID", pid, 1);
    return fd;
}

static void forget_supervisor(int fd)
{
    const char *path = getenv("NOTIFY_SOCKET");
    if (path)
        unlink(path);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    close(fd);
}

/* How many times the supervisor has been told `text`. */
static int told(int fd, const char *text)
{
    char message[64];
    int count = 0;
    for (ssize_t n; (n = recv(fd, message, sizeof message - 1, 0)) > 0;) {
        message[n] = '\0';
        count += strcmp(message, text) == 0;
    }
    return count;
}

static bool yes_or_no(void *arg)
{
    return *(bool *)arg;
}

static void turn_for(struct loop *loop, int64_t ms)
{
    int64_t end = clock_monotonic_ms() + ms;
    for (int64_t now; (now = clock_monotonic_ms()) < end;)
        assert_int_equal(loop_turn(loop, (int)(end - now)), 0);
}

static void test_watchdog_only_while_healthy(void **state)
{
    (void)state;
    int fd = supervisor("60000"); /* us: a ping each 20 ms */
    struct loop *loop = new_loop();
    bool healthy = true;
    assert_int_equal(loop_watchdog(loop, yes_or_no, &healthy), 0);
    turn_for(loop, 200);
    assert_in_range(told(fd, "WATCHDOG=1"), 4, 15);
    healthy = false;
    turn_for(loop, 100);
    assert_int_equal(told(fd, "WATCHDOG=1"), 0);
    healthy = true;
    turn_for(loop, 100);
    assert_true(told(fd, "WATCHDOG=1") > 0);
    loop_notify("READY=1");
    assert_int_equal(told(fd, "READY=1"), 1);
    loop_free(loop);
    forget_supervisor(fd);
}

static void test_no_watchdog_outside_systemd(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    bool healthy = true;
    assert_int_equal(loop_watchdog(loop, yes_or_no, &healthy), 0);
    loop_notify("READY=1");
    assert_int_equal(loop_turn(loop, 10), 0);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_hang_up),
        cmocka_unit_test(test_hang_up_of_a_pipe),
        cmocka_unit_test(test_timers_fire_in_order_and_once),
        cmocka_unit_test(test_timer_set_again_and_disarmed),
        cmocka_unit_test(test_turn_ends),
        cmocka_unit_test(test_source_frees_itself),
        cmocka_unit_test(test_source_freed_by_another),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_watchdog_only_while_healthy),
        cmocka_unit_test(test_no_watchdog_outside_systemd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
