/* loop.c - the event loop of a process, on sd-event
 *
 * A struct loop_source wraps one sd-event source. Its memory goes with loop_source_free(), which a callback may call on
 * its own source: after calling out, a handler here never touches the source again, and sd-event keeps its own half
 * alive until the handler has returned.
 */
#include "common/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

enum {
    LOOP_TURN_DISPATCH_MAX = 256, /* callbacks of one loop_turn(): a timer re-armed with 0 must not hold it for ever */
    TIMER_ACCURACY_US = 1000,
    WATCHDOG_PINGS = 3, /* per watchdog interval */
};

struct loop {
    sd_event *event;
    struct loop_source *sources;
    bool stopped;
    int code;
    bool (*healthy)(void *arg);
    void *healthy_arg;
    int64_t ping_ms;
    struct loop_source *watchdog;
};

struct loop_source {
    struct loop *loop;
    struct loop_source *previous, *next;
    sd_event_source *source;
    union {
        void (*io)(void *arg, int events);
        void (*timer)(void *arg);
        void (*signal)(void *arg, int signo);
    } fn;
    void *arg;
    int interest; /* loop_io: enum loop_events */
};

struct loop *loop_new(struct err *err)
{
    struct loop *loop = mem_new(1, sizeof *loop);
    int r = sd_event_new(&loop->event);
    if (r < 0) {
        err_set(err, ERR_INTERNAL, "event loop: %s", strerror(-r));
        free(loop);
        return NULL;
    }
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    for (struct loop_source *source = loop->sources, *next; source; source = next) {
        next = source->next;
        loop_source_free(source);
    }
    sd_event_unref(loop->event);
    free(loop);
}

int loop_run(struct loop *loop)
{
    loop->stopped = false;
    while (!loop->stopped) {
        int r = sd_event_run(loop->event, UINT64_MAX);
        if (r < 0 && r != -EINTR)
            log_panic("event loop: %s", strerror(-r));
    }
    return loop->code;
}

int loop_turn(struct loop *loop, int timeout_ms)
{
    uint64_t wait_us = timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * 1000;
    for (int i = 0; i < LOOP_TURN_DISPATCH_MAX; i++) {
        int r = sd_event_run(loop->event, i == 0 ? wait_us : 0);
        if (r < 0 && r != -EINTR)
            return -1;
        if (r <= 0)
            break;
    }
    return 0;
}

void loop_stop(struct loop *loop, int code)
{
    loop->stopped = true;
    loop->code = code;
}

static struct loop_source *source_new(struct loop *loop, void *arg)
{
    struct loop_source *source = mem_new(1, sizeof *source);
    source->loop = loop;
    source->arg = arg;
    source->next = loop->sources;
    if (source->next)
        source->next->previous = source;
    loop->sources = source;
    return source;
}

void loop_source_free(struct loop_source *source)
{
    if (!source)
        return;
    if (source->next)
        source->next->previous = source->previous;
    if (source->previous)
        source->previous->next = source->next;
    else
        source->loop->sources = source->next;
    sd_event_source_disable_unref(source->source);
    free(source);
}

/* Registration fails for our mistakes (a closed descriptor, one registered twice) and for want of memory: neither can
 * be worked around. */
static void must(int r, const char *what)
{
    if (r < 0)
        log_panic("event loop: %s: %s", what, strerror(-r));
}

static uint32_t epoll_events(int events)
{
    return (events & LOOP_READ ? (uint32_t)EPOLLIN : 0) | (events & LOOP_WRITE ? (uint32_t)EPOLLOUT : 0);
}

static int on_io(sd_event_source *event_source, int fd, uint32_t revents, void *userdata)
{
    (void)event_source;
    (void)fd;
    struct loop_source *source = userdata;
    int events = 0;
    /* An error or a hang-up wakes whoever waits: the read or write that follows tells which. */
    if (revents & (EPOLLERR | EPOLLHUP))
        events = LOOP_READ | LOOP_WRITE;
    if (revents & EPOLLIN)
        events |= LOOP_READ;
    if (revents & EPOLLOUT)
        events |= LOOP_WRITE;
    events &= source->interest;
    if (events)
        source->fn.io(source->arg, events);
    return 0;
}

struct loop_source *loop_io(struct loop *loop, int fd, int events, void (*fn)(void *arg, int events), void *arg)
{
    struct loop_source *source = source_new(loop, arg);
    source->fn.io = fn;
    must(sd_event_add_io(loop->event, &source->source, fd, epoll_events(events), on_io, source), "watch descriptor");
    loop_io_events(source, events);
    return source;
}

void loop_io_events(struct loop_source *source, int events)
{
    source->interest = events;
    must(sd_event_source_set_io_events(source->source, epoll_events(events)), "change interest");
    /* Without interest it must be off: epoll reports a hang-up unasked, again and again. */
    must(sd_event_source_set_enabled(source->source, events ? SD_EVENT_ON : SD_EVENT_OFF), "switch descriptor");
}

static uint64_t due_us(int64_t delay_ms)
{
    return (uint64_t)(clock_monotonic_ms() + delay_ms) * 1000;
}

static int on_timer(sd_event_source *event_source, uint64_t usec, void *userdata)
{
    (void)event_source;
    (void)usec;
    struct loop_source *source = userdata;
    source->fn.timer(source->arg);
    return 0;
}

struct loop_source *loop_timer(struct loop *loop, int64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    struct loop_source *source = source_new(loop, arg);
    source->fn.timer = fn;
    must(sd_event_add_time(loop->event, &source->source, CLOCK_MONOTONIC, due_us(0), TIMER_ACCURACY_US, on_timer,
                           source),
         "timer");
    loop_timer_set(source, delay_ms);
    return source;
}

void loop_timer_set(struct loop_source *source, int64_t delay_ms)
{
    if (delay_ms >= 0)
        must(sd_event_source_set_time(source->source, due_us(delay_ms)), "set timer");
    must(sd_event_source_set_enabled(source->source, delay_ms < 0 ? SD_EVENT_OFF : SD_EVENT_ONESHOT), "arm timer");
}

static int on_signal(sd_event_source *event_source, const struct signalfd_siginfo *info, void *userdata)
{
    (void)event_source;
    struct loop_source *source = userdata;
    source->fn.signal(source->arg, (int)info->ssi_signo);
    return 0;
}

int loop_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg)
{
    sigset_t set;
    sigemptyset(&set);
    if (sigaddset(&set, signo) != 0 || sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    struct loop_source *source = source_new(loop, arg);
    source->fn.signal = fn;
    if (sd_event_add_signal(loop->event, &source->source, signo, on_signal, source) < 0) {
        loop_source_free(source);
        return -1;
    }
    return 0;
}

void loop_notify(const char *state)
{
    sd_notify(0, state); /* fails only outside systemd, where nobody listens */
}

/* A process that is stuck or unhealthy stops pinging, and systemd restarts it. */
static void ping(void *arg)
{
    struct loop *loop = arg;
    if (loop->healthy(loop->healthy_arg))
        loop_notify("WATCHDOG=1");
    loop_timer_set(loop->watchdog, loop->ping_ms);
}

int loop_watchdog(struct loop *loop, bool (*healthy)(void *arg), void *arg)
{
    uint64_t interval_us = 0;
    int r = sd_watchdog_enabled(0, &interval_us);
    if (r <= 0)
        return r < 0 ? -1 : 0;
    loop->healthy = healthy;
    loop->healthy_arg = arg;
    loop->ping_ms = (int64_t)(interval_us / 1000 / WATCHDOG_PINGS);
    loop_source_free(loop->watchdog);
    loop->watchdog = loop_timer(loop, 0, ping, loop);
    return 0;
}
