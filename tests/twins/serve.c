/* serve.c - what becomes of one call: its fault, its effect, and how its connection ends
 *
 * The one place that knows what each fault does. "Before" and "after" are about the books: an effect is made,
 * together with its record in the state file and the answer kept under its idempotency key, under one lock, or it is
 * not made at all.
 */
#include "serve.h"

#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#include "journal.h"
#include "reqlog.h"
#include "timer.h"

enum effect_when { EFFECT_NOW, EFFECT_LATER, EFFECT_NEVER };

/* What each fault does. */
struct plan {
    enum effect_when effect;
    enum ending_how end;
    bool fails;   /* answers 500 */
    bool limits;  /* answers 429 */
    bool garbles; /* answers what nobody can read */
    bool waits;   /* delayMs is a wait before the end */
};

static const struct plan plans[] = {
    [FAULT_NONE] = {.effect = EFFECT_NOW, .end = END_ANSWER},
    [FAULT_DECLINE] = {.effect = EFFECT_NOW, .end = END_ANSWER, .waits = true}, /* the effect is the refusal */
    [FAULT_FAILED_200] = {.effect = EFFECT_NOW, .end = END_ANSWER, .waits = true},
    [FAULT_RATE_LIMIT] = {.effect = EFFECT_NEVER, .end = END_ANSWER, .limits = true}, /* delayMs: Retry-After */
    [FAULT_PENDING] = {.effect = EFFECT_NOW, .end = END_ANSWER},                      /* delayMs: until it is settled */
    [FAULT_LAG] = {.effect = EFFECT_NOW, .end = END_ANSWER}, /* delayMs: how far it is behind */
    [FAULT_DELAY] = {.effect = EFFECT_NOW, .end = END_ANSWER, .waits = true},
    [FAULT_ANSWER_500_BEFORE] = {.effect = EFFECT_NEVER, .end = END_ANSWER, .fails = true, .waits = true},
    [FAULT_ANSWER_500_AFTER] = {.effect = EFFECT_NOW, .end = END_ANSWER, .fails = true, .waits = true},
    [FAULT_CLOSE_BEFORE] = {.effect = EFFECT_NEVER, .end = END_CUT, .waits = true},
    [FAULT_CLOSE_AFTER] = {.effect = EFFECT_NOW, .end = END_CUT, .waits = true},
    [FAULT_GARBAGE] = {.effect = EFFECT_NOW, .end = END_ANSWER, .garbles = true, .waits = true},
    [FAULT_SLOW_BODY] = {.effect = EFFECT_NOW, .end = END_SLOW, .waits = true},
    [FAULT_CUT_BODY] = {.effect = EFFECT_NOW, .end = END_PART, .waits = true},
    [FAULT_ANSWER_TWICE] = {.effect = EFFECT_NOW, .end = END_TWICE, .waits = true},
    [FAULT_OUT_OF_ORDER] = {.effect = EFFECT_NOW, .end = END_TURN, .waits = true},
    [FAULT_LATE_EFFECT] = {.effect = EFFECT_LATER, .end = END_CUT},
    [FAULT_SILENT] = {.effect = EFFECT_NEVER, .end = END_SILENT},
    [FAULT_FORGED] = {.effect = EFFECT_NOW, .end = END_ANSWER, .waits = true}, /* the effect is the true vote */
    [FAULT_REPLAYED] = {.effect = EFFECT_NOW, .end = END_ANSWER, .waits = true},
};
static_assert(sizeof plans / sizeof plans[0] == FAULT_COUNT, "a plan for every fault");

static const char GARBAGE[] = "{\"id\":\"pi_\xff\xfe\x80\x01<html>502 Bad Gateway";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void books_lock(void)
{
    pthread_mutex_lock(&lock);
}

void books_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static void keep(struct call *call)
{
    if (call->route->twin && call->route->twin->keep)
        call->route->twin->keep(call);
}

static void fail(struct call *call)
{
    if (call->route->twin && call->route->twin->fail)
        call->route->twin->fail(call);
    else
        answer_error(call, 500, "internal");
}

static void limit(struct call *call)
{
    char seconds[24];
    if (call->route->twin && call->route->twin->limit)
        call->route->twin->limit(call);
    else
        answer_error(call, 429, "rate_limited");
    text_print(seconds, sizeof seconds, "%lld", (long long)((call->fault.delay_ms + 999) / 1000));
    answer_header(call, "Retry-After", seconds);
}

static void done(struct call *call)
{
    if (call->route->twin && call->route->twin->done)
        call->route->twin->done(call);
}

/* Makes the effect and settles which answer is kept. A 500 counts as the answer where the provider remembers 500s
 * (`stored`); an answer that was given before is never kept again. */
static void act(struct call *call, const struct plan *plan)
{
    bool effect = plan->effect == EFFECT_NOW && !call->repeat;
    const struct twin *twin = call->route->twin;
    bool stored = plan->fails && call->fault.stored && twin && twin->keeps_500 && !call->repeat;
    if (effect)
        call->route->effect(call);
    if (stored)
        fail(call);
    if (effect || stored)
        keep(call);
    if (plan->fails && !stored)
        fail(call);
    if (plan->limits)
        limit(call);
    if (plan->garbles)
        answer_text(call, 200, GARBAGE, sizeof GARBAGE - 1);
}

static void late_effect(void *with)
{
    struct call *call = with;
    books_lock();
    if (!call->repeat) {
        call->route->effect(call);
        keep(call);
    }
    done(call);
    reqlog_close(call, 0);
    journal_flush();
    books_unlock();
    call_free(call);
}

static struct ending end_of(const struct call *call, const struct plan *plan)
{
    struct ending ending = {.how = plan->end, .delay_ms = plan->waits ? call->fault.delay_ms : 0};
    if (plan->end == END_SILENT)
        ending.delay_ms = LIMIT_DELAY_MS;
    return ending;
}

/* Gives the call to the timer. If the timer does not take it, the effect is simply not late. */
static struct ending postpone(struct call **call)
{
    struct call *taken = *call;
    *call = NULL;
    int64_t delay_ms = taken->fault.delay_ms;
    if (!timer_add(delay_ms, late_effect, taken))
        late_effect(taken);
    return (struct ending){.how = END_CUT};
}

struct ending serve(struct call **call_at)
{
    struct call *call = *call_at;
    const struct route *route = call->route;
    books_lock();
    route->open(call);
    bool faulty = route->at != POINT_NONE && (!call->answer.ready || call->repeat) &&
                  faults_take(route->at, call->payment, call->validator, call->repeat, &call->fault);
    const struct plan *plan = &plans[faulty ? call->fault.kind : FAULT_NONE];
    if (route->at != POINT_NONE)
        reqlog_open(call);
    bool later = plan->effect == EFFECT_LATER;
    if (!later && (!call->answer.ready || call->repeat))
        act(call, plan);
    if (plan->end == END_SILENT)
        done(call); /* it holds nothing while it is silent */
    journal_flush();
    books_unlock();
    return later ? postpone(call_at) : end_of(call, plan);
}

void serve_done(struct call *call, unsigned status)
{
    books_lock();
    done(call);
    reqlog_close(call, status);
    books_unlock();
}
