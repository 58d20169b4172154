/* schedule.c - virtual time: events, processes as coroutines, and in their place common/clock.h, common/loop.h and common/fault.h */
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"
#include "tests/simulate/simulate.h"

enum { STACK_SIZE = 256 * 1024, STACKS_KEPT = 64 };
#define WALL_AT_START_MS INT64_C(1767225600000) /* 2026-01-01 */

const struct scenario *scenario;
int64_t now_us;
void (*process_died)(struct process *process);

/* --- events: a binary heap, the earliest first, and of equal ones the one that was made first --- */

struct event {
    int64_t at_us;
    uint64_t number;
    bool keeps_awake;
    void (*fn)(void *arg);
    void *arg;
};

static struct {
    struct event *items;
    size_t count, capacity;
    uint64_t made;
    size_t awake;
} events;

static bool before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void swap(size_t a, size_t b)
{
    struct event kept = events.items[a];
    events.items[a] = events.items[b];
    events.items[b] = kept;
}

void later(int64_t delay_us, bool keeps_awake, void (*fn)(void *arg), void *arg)
{
    if (events.count == events.capacity) {
        events.capacity = events.capacity ? 2 * events.capacity : 1024;
        events.items = mem_grow(events.items, events.capacity, sizeof *events.items);
    }
    size_t at = events.count++;
    events.items[at] = (struct event){now_us + (delay_us > 0 ? delay_us : 0), events.made++, keeps_awake, fn, arg};
    events.awake += keeps_awake;
    for (; at && before(&events.items[at], &events.items[(at - 1) / 2]); at = (at - 1) / 2)
        swap(at, (at - 1) / 2);
}

static struct event take_event(void)
{
    struct event first = events.items[0];
    events.items[0] = events.items[--events.count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < events.count; child++)
            if (before(&events.items[child], &events.items[least]))
                least = child;
        if (least == at)
            break;
        swap(at, least);
        at = least;
    }
    events.awake -= first.keeps_awake;
    return first;
}

/* --- processes --- */

struct task {
    void (*fn)(void *arg);
    void *arg;
    struct loop_source *source; /* a timer's, or NULL */
    struct task *next;
};

struct loop {
    struct process *process;
};

struct process {
    const char *name;
    process_life *life;
    void *arg;
    ucontext_t context;
    char *stack;
    bool alive, waits; /* waits: in the middle of a callback */
    struct loop loop;
    struct task *first, *last;
    struct loop_source *sources;
    int64_t jump_ms, spared_until_us;
    struct process *next;
};

struct loop_source {
    struct process *process;
    void (*fn)(void *arg);
    void *arg;
    uint64_t armed; /* changes with each arming: older events of it mean nothing */
    size_t events;  /* that still point here */
    bool freed;
    struct loop_source *next, *previous;
};

static struct process *processes;
static struct process *running;
static ucontext_t outside;
static char *stacks[STACKS_KEPT];
static size_t stack_count;

struct process *process_here(void)
{
    return running;
}

const char *process_name(const struct process *process)
{
    return process->name;
}

bool process_alive(const struct process *process)
{
    return process->alive;
}

struct loop *process_loop(struct process *process)
{
    return &process->loop;
}

void process_jump(struct process *process, int64_t ms)
{
    process->jump_ms = ms;
}

static void leave(void)
{
    struct process *process = running;
    running = NULL;
    swapcontext(&process->context, &outside);
}

static void enter(struct process *process)
{
    running = process;
    process->waits = false;
    swapcontext(&outside, &process->context);
    if (!process->alive && process->stack) {
        if (stack_count < STACKS_KEPT)
            stacks[stack_count++] = process->stack;
        else
            free(process->stack);
        process->stack = NULL;
    }
}

static void run_task(struct process *process)
{
    struct task *task = process->first;
    process->first = task->next;
    if (!process->first)
        process->last = NULL;
    void (*fn)(void *) = task->fn;
    void *arg = task->arg;
    free(task);
    if (fn)
        fn(arg);
}

static void live(void)
{
    struct process *process = running;
    process->life(process, process->arg);
    for (;;) {
        while (process->first)
            run_task(process);
        leave();
    }
}

struct process *process_start(const char *name, process_life *life, void *arg)
{
    struct process *process = mem_new(1, sizeof *process);
    *process = (struct process){.name = name, .life = life, .arg = arg, .alive = true, .next = processes};
    process->loop.process = process;
    processes = process;
    process->stack = stack_count ? stacks[--stack_count] : mem_new(1, STACK_SIZE);
    getcontext(&process->context);
    process->context.uc_stack.ss_sp = process->stack;
    process->context.uc_stack.ss_size = STACK_SIZE;
    process->context.uc_link = NULL;
    makecontext(&process->context, live, 0);
    enter(process);
    return process;
}

/* A process that is in its loop takes up what is to be done. */
static void serve(void *arg)
{
    struct process *process = arg;
    if (process->alive && !process->waits && process->first)
        enter(process);
}

static void add_task(struct process *process, void (*fn)(void *arg), void *arg, struct loop_source *source)
{
    struct task *task = mem_new(1, sizeof *task);
    *task = (struct task){fn, arg, source, NULL};
    if (process->last)
        process->last->next = task;
    else
        process->first = task;
    process->last = task;
    if (running)
        later(0, true, serve, process); /* one coroutine never enters another */
    else
        serve(process);
}

void process_call(struct process *process, void (*fn)(void *arg), void *arg)
{
    if (process->alive)
        add_task(process, fn, arg, NULL);
}

static void drop_tasks(const struct process *process, const struct loop_source *source)
{
    for (struct task *task = process->first; task; task = task->next)
        if (!source || task->source == source)
            task->fn = NULL;
}

static void free_source(struct loop_source *source)
{
    if (source->freed && source->events == 0)
        free(source);
}

/* Its memory is forgotten, as a killed process' is; what others keep of it has to go. */
static void bury(struct process *process)
{
    process->alive = false;
    drop_tasks(process, NULL);
    for (struct loop_source *source = process->sources, *next; source; source = next) {
        next = source->next;
        source->freed = true;
        source->armed++;
        free_source(source);
    }
    process->sources = NULL;
    if (process_died)
        process_died(process);
}

void process_kill(struct process *process)
{
    if (!process->alive || now_us < process->spared_until_us)
        return;
    if (process_died)
        story("%s dies", process->name);
    bury(process);
    if (process == running)
        leave(); /* for ever */
    else if (process->stack) {
        free(process->stack);
        process->stack = NULL;
    }
}

void process_spare(struct process *process, int64_t us)
{
    process->spared_until_us = now_us + us;
}

void process_may_die(void)
{
    if (running && now_us >= running->spared_until_us && fault(CHANCE_CRASH, 2))
        process_kill(running);
}

static void wake(void *arg)
{
    struct process *process = arg;
    if (process->alive && process->waits)
        enter(process);
}

void process_wait(int64_t delay_us)
{
    struct process *process = running;
    if (!process)
        return;
    process->waits = true;
    later(delay_us, true, wake, process);
    leave();
    process_may_die();
}

/* --- running --- */

bool world_idle(void)
{
    return events.awake == 0;
}

bool schedule_run(bool (*done)(void), int64_t until_us, uint64_t events_most)
{
    while (events.count > 0 && events_most-- > 0) {
        struct event event = take_event();
        now_us = event.at_us;
        coverage.events++;
        event.fn(event.arg);
        if (done())
            return true;
        if (now_us > until_us)
            return false;
    }
    return done();
}

void schedule_start(void)
{
    now_us = 0;
    events.count = events.awake = 0;
    events.made = 0;
}

void schedule_end(void)
{
    for (struct process *process = processes, *next; process; process = next) {
        next = process->next;
        process_died = NULL;
        process->spared_until_us = 0;
        if (process->alive)
            process_kill(process);
        free(process);
    }
    processes = NULL;
}

/* --- common/clock.h --- */

int64_t clock_monotonic_ms(void)
{
    return now_us / 1000;
}

int64_t clock_wall_ms(void)
{
    return WALL_AT_START_MS + now_us / 1000 + (running ? running->jump_ms : 0);
}

/* --- common/fault.h --- */

void fault_arm_from_environment(void)
{
}

void fault_pass(enum fault_point point)
{
    if (!running || now_us < running->spared_until_us || !fault(CHANCE_CRASH, 3))
        return;
    coverage.points[point]++;
    process_kill(running);
}

/* --- common/loop.h: timers are all that is left of it --- */

static void fire(void *arg)
{
    struct loop_source *source = arg;
    source->fn(source->arg);
}

struct armed {
    struct loop_source *source;
    uint64_t number;
};

static void on_timer(void *arg)
{
    struct armed *armed = arg;
    struct loop_source *source = armed->source;
    source->events--;
    if (source->armed == armed->number && !source->freed)
        add_task(source->process, fire, source, source);
    else
        free_source(source);
    free(armed);
}

void loop_timer_set(struct loop_source *source, int64_t delay_ms)
{
    drop_tasks(source->process, source);
    source->armed++;
    if (delay_ms < 0)
        return;
    struct armed *armed = mem_new(1, sizeof *armed);
    *armed = (struct armed){source, source->armed};
    source->events++;
    later(delay_ms * 1000, false, on_timer, armed);
}

struct loop_source *loop_timer(struct loop *loop, int64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    struct loop_source *source = mem_new(1, sizeof *source);
    *source = (struct loop_source){.process = loop->process, .fn = fn, .arg = arg, .next = loop->process->sources};
    if (source->next)
        source->next->previous = source;
    loop->process->sources = source;
    loop_timer_set(source, delay_ms);
    return source;
}

void loop_source_free(struct loop_source *source)
{
    if (!source)
        return;
    drop_tasks(source->process, source);
    if (source->previous)
        source->previous->next = source->next;
    else
        source->process->sources = source->next;
    if (source->next)
        source->next->previous = source->previous;
    source->freed = true;
    source->armed++;
    free_source(source);
}

/* A program that ends itself begins anew, as systemd has it. */
void loop_stop(struct loop *loop, int code)
{
    story("ends with %d", code);
    process_kill(loop->process);
}

struct loop *loop_new(struct err *err)
{
    (void)err;
    log_panic("a simulated process has its loop already");
}

void loop_free(struct loop *loop)
{
    (void)loop;
}

int loop_run(struct loop *loop)
{
    (void)loop;
    log_panic("the simulation turns the loops itself");
}

int loop_turn(struct loop *loop, int timeout_ms)
{
    (void)timeout_ms;
    return loop_run(loop);
}

struct loop_source *loop_io(struct loop *loop, int fd, int events_wanted, void (*fn)(void *arg, int events), void *arg)
{
    (void)loop;
    (void)fn;
    (void)arg;
    log_panic("there are no sockets here (%d, %d)", fd, events_wanted);
}

void loop_io_events(struct loop_source *source, int events_wanted)
{
    (void)source;
    (void)events_wanted;
}

int loop_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg)
{
    (void)loop;
    (void)signo;
    (void)fn;
    (void)arg;
    return 0;
}

void loop_notify(const char *state)
{
    (void)state;
}

int loop_watchdog(struct loop *loop, bool (*healthy)(void *arg), void *arg)
{
    (void)loop;
    (void)healthy;
    (void)arg;
    return 0;
}
