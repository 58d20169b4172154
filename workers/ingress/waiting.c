/* waiting.c - those who wait for the end of what they asked for */
#include "workers/ingress/waiting.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "ledger/read.h"

enum { LOAD_SHARE = 2 }; /* between two looks passes at least this many times what a look takes */

struct waiting {
    struct ingress *ingress;
    struct submission_list list; /* looked at least recently first */
    size_t count;
    struct loop_source *timer;
    bool armed;
};

/* Those who are looked at in one tick, and the payments they wait for, each once. */
struct look {
    size_t count, payment_count;
    struct submission *submissions[STORE_PAYMENTS_MAX];
    size_t payment_of[STORE_PAYMENTS_MAX];
    char hashes[STORE_PAYMENTS_MAX][65]; /* of the recorded commands, "" where there is none */
    struct uuid payments[STORE_PAYMENTS_MAX];
    struct facts facts[STORE_PAYMENTS_MAX];
};

static void arm(struct waiting *waiting, int64_t delay_ms)
{
    waiting->armed = true;
    loop_timer_set(waiting->timer, delay_ms);
}

static void put_back(struct waiting *waiting, struct submission *submission)
{
    TAILQ_INSERT_TAIL(&waiting->list, submission, entry);
    waiting->count++;
}

void waiting_add(struct waiting *waiting, struct submission *submission)
{
    bool patient = submission->wait_ms > 0 && waiting->count < WAITING_MAX && !waiting->ingress->draining;
    submission->deadline_ms = clock_monotonic_ms() + (patient ? submission->wait_ms : 0);
    put_back(waiting, submission);
    if (!patient || !waiting->armed)
        arm(waiting, patient ? WAIT_TICK_MS : 0);
}

static size_t index_of(struct look *look, struct uuid payment)
{
    for (size_t i = 0; i < look->payment_count; i++)
        if (uuid_equal(look->payments[i], payment))
            return i;
    look->payments[look->payment_count] = payment;
    return look->payment_count++;
}

static void take(struct waiting *waiting, struct look *look)
{
    struct submission *submission;
    while (look->count < STORE_PAYMENTS_MAX && (submission = TAILQ_FIRST(&waiting->list))) {
        TAILQ_REMOVE(&waiting->list, submission, entry);
        waiting->count--;
        look->payment_of[look->count] = index_of(look, submission->payment_id);
        look->submissions[look->count++] = submission;
    }
}

/* Which of the commands are recorded, and with which body. Asked after the facts: what they show is recorded by then
 * (L10). */
static int read_commands(struct store *store, struct look *look, struct err *err)
{
    struct uuid ids[STORE_PAYMENTS_MAX];
    size_t places[STORE_PAYMENTS_MAX], open = 0;
    char hashes[STORE_PAYMENTS_MAX][65] = {0};
    for (size_t i = 0; i < look->count; i++) {
        if (look->submissions[i]->recorded)
            continue;
        ids[open] = look->submissions[i]->command_id;
        places[open++] = i;
    }
    if (open && store_commands(store, ids, open, hashes, err) < 0)
        return -1;
    for (size_t i = 0; i < open; i++)
        memcpy(look->hashes[places[i]], hashes[i], sizeof hashes[i]);
    return 0;
}

static int read_look(struct ingress *ingress, struct look *look, struct err *err)
{
    if (look->count == 0)
        return 0;
    if (read_facts(ingress->db, look->payments, look->payment_count, look->facts, err) < 0)
        return -1;
    return read_commands(ingress->store, look, err);
}

static void answer_or_wait(struct waiting *waiting, struct submission *submission, const struct facts *facts,
                           const struct payment *payment, int64_t now_ms)
{
    bool there = payment->received != NULL;
    if (there && submission->kind->settled(submission, payment))
        submission_settle(submission, facts, payment);
    else if (now_ms >= submission->deadline_ms)
        submission_pending(submission, there ? facts : NULL, there ? payment : NULL);
    else
        put_back(waiting, submission);
}

/* One who waits, with the facts of his payment and what is recorded of his command. */
static void look_at(struct waiting *waiting, struct submission *submission, const struct facts *facts, const char *hash,
                    int64_t now_ms)
{
    if (*hash && strcmp(hash, submission->sha256) != 0) {
        submission->recorded = true;
        submission_conflict(submission); /* another body came first, from elsewhere */
        return;
    }
    submission->recorded = submission->recorded || *hash;
    struct err err = {0};
    struct payment payment;
    if (saga_fold(facts, &payment, &err) == 0)
        answer_or_wait(waiting, submission, facts, &payment, now_ms);
    else
        submission_answer(submission, ledger_failure(&err));
    payment_clear(&payment);
}

/* The ledger did not answer: who was accepted may be told so, who only repeats has nothing else to hear. */
static void look_failed(struct waiting *waiting, struct submission *submission, const struct err *err, int64_t now_ms)
{
    if (now_ms < submission->deadline_ms)
        put_back(waiting, submission);
    else if (submission->recorded)
        submission_ledger_away(submission, err);
    else
        submission_pending(submission, NULL, NULL);
}

static void on_tick(void *arg)
{
    struct waiting *waiting = arg;
    int64_t before_ms = clock_monotonic_ms();
    struct look *look = mem_new(1, sizeof *look);
    struct err err = {0};
    waiting->armed = false;
    take(waiting, look);
    bool read = read_look(waiting->ingress, look, &err) == 0;
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < look->count; i++) {
        if (read)
            look_at(waiting, look->submissions[i], &look->facts[look->payment_of[i]], look->hashes[i], now_ms);
        else
            look_failed(waiting, look->submissions[i], &err, now_ms);
    }
    for (size_t i = 0; i < look->payment_count; i++)
        facts_clear(&look->facts[i]);
    free(look);
    int64_t rest_ms = LOAD_SHARE * (now_ms - before_ms);
    if (waiting->count && !waiting->armed)
        arm(waiting, rest_ms > WAIT_TICK_MS ? rest_ms : WAIT_TICK_MS);
}

struct waiting *waiting_new(struct ingress *ingress)
{
    struct waiting *waiting = mem_new(1, sizeof *waiting);
    waiting->ingress = ingress;
    TAILQ_INIT(&waiting->list);
    waiting->timer = loop_timer(ingress->loop, -1, on_tick, waiting);
    return waiting;
}

void waiting_free(struct waiting *waiting)
{
    if (!waiting)
        return;
    loop_source_free(waiting->timer);
    free(waiting);
}

void waiting_hurry(struct waiting *waiting)
{
    struct submission *submission;
    TAILQ_FOREACH(submission, &waiting->list, entry)
    submission->deadline_ms = 0;
    arm(waiting, 0);
}

size_t waiting_count(const struct waiting *waiting)
{
    return waiting->count;
}
