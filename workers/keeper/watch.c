/* watch.c - which payments the keeper keeps an eye on, and when each is worth a look
 *
 * The set is a binary heap with the earliest due at its root.
 */
#include "workers/keeper/watch.h"

#include <stdlib.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/mutant.h"

enum { WATCH_FIRST_CAPACITY = 1024, DOUBLINGS_MAX = 30 };

struct watch {
    size_t count, capacity;
    struct watched *items;
};

struct watch *watch_new(void)
{
    return mem_new(1, sizeof(struct watch));
}

void watch_free(struct watch *watch)
{
    if (!watch)
        return;
    free(watch->items);
    free(watch);
}

size_t watch_count(const struct watch *watch)
{
    return watch->count;
}

static void swap(struct watched *a, struct watched *b)
{
    struct watched kept = *a;
    *a = *b;
    *b = kept;
}

bool watch_add(struct watch *watch, const struct watched *watched)
{
    if (watch->count == WATCH_MAX)
        return false;
    if (watch->count == watch->capacity) {
        watch->capacity = watch->capacity ? 2 * watch->capacity : WATCH_FIRST_CAPACITY;
        watch->items = mem_grow(watch->items, watch->capacity, sizeof *watch->items);
    }
    size_t at = watch->count++;
    watch->items[at] = *watched;
    for (; at && watch->items[at].due_ms < watch->items[(at - 1) / 2].due_ms; at = (at - 1) / 2)
        swap(&watch->items[at], &watch->items[(at - 1) / 2]);
    return true;
}

/* Lets the item at the root sink to where it belongs. */
static void sink(struct watch *watch)
{
    for (size_t at = 0;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < watch->count; child++)
            if (watch->items[child].due_ms < watch->items[least].due_ms)
                least = child;
        if (least == at)
            return;
        swap(&watch->items[at], &watch->items[least]);
        at = least;
    }
}

bool watch_take_due(struct watch *watch, int64_t now_ms, struct watched *ret)
{
    if (!watch->count || watch->items[0].due_ms > now_ms)
        return false;
    *ret = watch->items[0];
    watch->items[0] = watch->items[--watch->count];
    sink(watch);
    return true;
}

/* -- judging */

static const struct fact *newest_of(const struct facts *facts)
{
    const struct fact *newest = NULL;
    for (size_t i = 0; i < facts->count; i++)
        if (!newest || facts->items[i].seq > newest->seq)
            newest = &facts->items[i];
    return newest;
}

/* How long a payment may stand still before the next look: twice as long after each look that changed nothing. */
static int64_t patience(int64_t stand_still_ms, int looks)
{
    int64_t most = stand_still_ms > WATCH_BACK_OFF_MAX_MS ? stand_still_ms : WATCH_BACK_OFF_MAX_MS;
    int64_t wait_ms = stand_still_ms;
    for (int i = 0; i < looks && i < DOUBLINGS_MAX && wait_ms < most; i++)
        wait_ms *= 2;
    return wait_ms < most ? wait_ms : most;
}

/* After a doubt a question is on its way: a look before it is answered would only send its copy along. */
static int64_t question_ms(const struct fact *newest, int64_t stand_still_ms)
{
    if (!slot_is_doubt(newest->slot))
        return 0;
    return slot_parse(newest->slot).k > WATCH_QUESTIONS_FREQUENT ? WATCH_QUESTION_RARE_MS
                                                                 : WATCH_QUESTION_FACTOR * stand_still_ms;
}

enum watch_verdict watch_judge(struct watched *watched, const struct facts *facts, const struct payment *payment,
                               int64_t stand_still_ms, int64_t now_ms)
{
    const struct fact *newest = newest_of(facts);
    bool needs = saga_needs_something(facts, payment);
    if (!newest || !payment->received || (payment->ended && !needs))
        return WATCH_FORGET;
    if (newest->seq != watched->last_seq)
        watched->looks = 0;
    watched->last_seq = newest->seq;

    bool undecided = payment->received && payment->decision_kind == UNDECIDED;
    int64_t expires_ms = undecided ? json_int(payment->received->body, "expiresAt", INT64_MAX) : INT64_MAX;
    int64_t still_until_ms =
        newest->at_ms + patience(stand_still_ms, watched->looks) + question_ms(newest, stand_still_ms);
    bool expired = now_ms >= expires_ms, still = needs && now_ms >= still_until_ms && !MUTANT(KEEPER_BLIND); /* L4 */
    /* An expiry that changed nothing so far is said again at the pace of a look. */
    bool again = watched->looks == 0 || now_ms >= still_until_ms;
    if ((expired && again) || still) {
        watched->looks++;
        watched->due_ms = now_ms + patience(stand_still_ms, watched->looks);
        return expired ? WATCH_EXPIRE : WATCH_LOOK;
    }
    int64_t next_ms = still_until_ms > now_ms ? still_until_ms : now_ms + stand_still_ms;
    watched->due_ms = !expired && expires_ms < next_ms ? expires_ms : next_ms;
    return WATCH_LATER;
}
