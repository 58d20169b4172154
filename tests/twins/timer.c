/* timer.c - one thread that calls back later: a binary heap and a condition variable
 *
 * Entries due at the same millisecond are called in the order they were added.
 */
#include "timer.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "limits.h"
#include "text.h"

struct entry {
    int64_t due; /* monotonic ms */
    uint64_t number;
    void (*call)(void *);
    void *with;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_t thread;
static bool running;
static struct entry *heap;
static size_t count;
static size_t room;
static uint64_t numbers;

static bool before(const struct entry *a, const struct entry *b)
{
    return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void swap(size_t a, size_t b)
{
    struct entry kept = heap[a];
    heap[a] = heap[b];
    heap[b] = kept;
}

static void push(struct entry entry)
{
    if (count == room) {
        room = room ? room * 2 : 256;
        heap = memory_grow(heap, room * sizeof *heap);
    }
    size_t at = count++;
    heap[at] = entry;
    while (at && before(&heap[at], &heap[(at - 1) / 2])) {
        swap(at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static struct entry pop(void)
{
    struct entry first = heap[0];
    heap[0] = heap[--count];
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            if (before(&heap[child], &heap[least]))
                least = child;
        }
        if (least == at)
            return first;
        swap(at, least);
        at = least;
    }
}

static void wait_until(int64_t due)
{
    struct timespec when = {.tv_sec = (time_t)(due / 1000), .tv_nsec = (long)(due % 1000) * 1000000};
    pthread_cond_timedwait(&changed, &lock, &when);
}

static void *run(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    while (running) {
        if (!count) {
            pthread_cond_wait(&changed, &lock);
        } else if (heap[0].due > clock_monotonic_ms()) {
            wait_until(heap[0].due);
        } else {
            struct entry entry = pop();
            pthread_mutex_unlock(&lock);
            entry.call(entry.with);
            pthread_mutex_lock(&lock);
        }
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

bool timer_start(void)
{
    pthread_condattr_t how;
    if (pthread_condattr_init(&how) != 0)
        return false;
    bool made = pthread_condattr_setclock(&how, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&changed, &how) == 0;
    pthread_condattr_destroy(&how);
    if (!made)
        return false;
    running = true; /* before the thread looks at it */
    if (pthread_create(&thread, NULL, run, NULL) != 0)
        running = false;
    return running;
}

bool timer_add(int64_t delay_ms, void (*call)(void *), void *with)
{
    pthread_mutex_lock(&lock);
    bool taken = running && count < LIMIT_TIMERS;
    if (taken) {
        /* + 1: the clock is cut to whole milliseconds, and a delay is never shorter than asked for */
        push((struct entry){
            .due = clock_monotonic_ms() + delay_ms + 1, .number = numbers++, .call = call, .with = with});
        pthread_cond_signal(&changed);
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

void timer_stop(void)
{
    pthread_mutex_lock(&lock);
    bool was = running;
    running = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (was)
        pthread_join(thread, NULL);
}
