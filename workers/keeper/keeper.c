/* keeper.c - the sweep: brings forward what nobody else will
 *
 * Work is done in pages, a few per turn of the loop, so that heartbeats and signals are served in between. A ledger or
 * broker that is away makes a sweep end early; the next one goes on where it stood.
 */
#include "workers/keeper/keeper.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "ledger/read.h"
#include "queues/envelope.h"
#include "queues/topology.h"
#include "workers/keeper/watch.h"

enum {
    PAGE = READ_PAGE_MAX, /* payments read at once */
    PAGES_PER_TURN = 4,
    MEASURE_SHARE = 20, /* measuring takes at most one part in so many of the time */
};

struct keeper {
    struct keeper_options options;
    struct watch *watch;
    struct loop_source *timer;
    int64_t cursor; /* payments up to here are known */
    bool caught_up; /* once at the ledger's end; said once */
    bool full;      /* the set is full; said once */
    bool stopped;
    int64_t measure_doubt_ms; /* monotonic: not before */
};

static void complain(const char *what, const struct err *err)
{
    metric_add("acquit_keeper_errors_total", NULL, 1);
    log_warn("%s: %s", what, err->text);
}

/* -- publishing */

static void on_settled(void *arg, enum publish_outcome outcome)
{
    (void)arg;
    static const char *const labels[] = {[PUBLISH_CONFIRMED] = "outcome=\"confirmed\"",
                                         [PUBLISH_RETURNED] = "outcome=\"returned\"",
                                         [PUBLISH_REFUSED] = "outcome=\"refused\"",
                                         [PUBLISH_UNKNOWN] = "outcome=\"unknown\""};
    metric_add("acquit_keeper_published_total", labels[outcome], 1);
    /* Whatever became of it: the payment is due again, and the command is the same then. */
    if (outcome != PUBLISH_CONFIRMED)
        log_warn("a command was not confirmed; it is said again when the payment is due again");
}

/* The slot only makes the id: the command speaks about the whole payment. */
static int publish(struct keeper *keeper, struct uuid payment, const char *type, const char *slot, struct err *err)
{
    struct message message = {0};
    command_message(type, uuid_follow_up(payment, type, slot), payment, NULL, NULL, keeper->options.user, &message);
    int r = publisher_send(keeper->options.publisher, &message, on_settled, NULL, err);
    message_clear(&message);
    return r;
}

static void note(struct uuid payment, const char *type, const struct watched *watched)
{
    char id[UUID_TEXT_SIZE], labels[64];
    uuid_format(payment, id);
    snprintf(labels, sizeof labels, "type=\"%s\"", type);
    metric_add("acquit_keeper_commands_total", labels, 1);
    log_info("%s payment=%s last_seq=%lld time=%d", type, id, (long long)watched->last_seq, watched->looks);
}

static int act(struct keeper *keeper, enum watch_verdict verdict, const struct watched *watched, struct err *err)
{
    char slot[24] = "decision";
    const char *type = "payment.expire";
    if (verdict == WATCH_LOOK) {
        type = "payment.look";
        snprintf(slot, sizeof slot, "%lld", (long long)watched->last_seq);
    }
    if (publish(keeper, watched->id, type, slot, err) < 0)
        return -1;
    note(watched->id, type, watched);
    return 0;
}

/* -- looking */

static void keep(struct keeper *keeper, const struct watched *watched)
{
    if (!watch_add(keeper->watch, watched))
        log_panic("the set of watched payments is full after something was taken out of it");
}

/* One payment with its facts: forgotten, kept for later, or brought forward. -1: the publisher takes no more. */
static int examine(struct keeper *keeper, struct watched watched, const struct facts *facts, struct err *err)
{
    struct payment payment;
    struct err unreadable = {0};
    int64_t now_ms = clock_wall_ms();
    enum watch_verdict verdict = WATCH_LATER;
    struct watched was = watched;
    if (saga_fold(facts, &payment, &unreadable) == 0) {
        verdict = watch_judge(&watched, facts, &payment, keeper->options.stand_still_ms, now_ms);
    } else {
        /* A contradiction does not go away by itself: a person has to see it, now and then. */
        complain("payment cannot be read", &unreadable);
        watched.due_ms = now_ms + WATCH_BACK_OFF_MAX_MS;
    }
    payment_clear(&payment);
    if (verdict == WATCH_FORGET)
        return 0;
    int r = verdict == WATCH_LATER ? 0 : act(keeper, verdict, &watched, err);
    if (r < 0) {
        watched = was; /* as if it had not been due yet */
        watched.due_ms = now_ms + keeper->options.sweep_ms;
    }
    keep(keeper, &watched);
    return r;
}

/* Reads the facts of these payments and examines each. Whatever fails, none is lost. */
static int examine_page(struct keeper *keeper, const struct watched *page, size_t count, struct err *err)
{
    struct uuid ids[PAGE];
    for (size_t i = 0; i < count; i++)
        ids[i] = page[i].id;
    struct facts *facts = mem_new(count, sizeof *facts);
    int r = read_facts(keeper->options.db, ids, count, facts, err);
    for (size_t i = 0; i < count; i++) {
        if (r == 0)
            r = examine(keeper, page[i], &facts[i], err);
        else
            keep(keeper, &page[i]);
        facts_clear(&facts[i]);
    }
    free(facts);
    return r;
}

/* 1: a whole page was due, there may be more; 0: no more; -1: failed. */
static int examine_due(struct keeper *keeper, struct err *err)
{
    struct watched page[PAGE];
    size_t count = 0;
    int64_t now_ms = clock_wall_ms();
    while (count < PAGE && watch_take_due(keeper->watch, now_ms, &page[count]))
        count++;
    if (count == 0)
        return 0;
    return examine_page(keeper, page, count, err) < 0 ? -1 : count == PAGE;
}

/* -- finding */

static bool has_room(struct keeper *keeper)
{
    bool full = watch_count(keeper->watch) + PAGE > WATCH_MAX;
    if (full && !keeper->full)
        log_error("%zu payments are not finished, more than can be watched: newer ones wait until some have ended",
                  watch_count(keeper->watch));
    keeper->full = full;
    return !full;
}

/* The next payments that the ledger has. Return as examine_due(). */
static int find_new(struct keeper *keeper, struct err *err)
{
    if (!has_room(keeper))
        return 0;
    struct uuid ids[PAGE];
    int64_t reached = keeper->cursor;
    int found = read_new_payments(keeper->options.db, keeper->cursor, ids, PAGE, &reached, err);
    if (found < 0)
        return -1;
    struct watched page[PAGE];
    for (int i = 0; i < found; i++)
        page[i] = (struct watched){.id = ids[i]};
    keeper->cursor = reached; /* examine_page() keeps them even if it fails */
    if (found && examine_page(keeper, page, (size_t)found, err) < 0)
        return -1;
    return found == PAGE;
}

static void say_caught_up(struct keeper *keeper)
{
    if (!keeper->caught_up)
        log_info("caught up with the ledger: %zu payments are not finished", watch_count(keeper->watch));
    keeper->caught_up = true;
}

static void on_sweep(void *arg)
{
    struct keeper *keeper = arg;
    struct err err = {0};
    int more = 1;
    if (keeper->stopped)
        return;
    if (publisher_ready(keeper->options.publisher)) {
        for (int i = 0; more > 0 && i < PAGES_PER_TURN; i++) {
            int fresh = find_new(keeper, &err);
            int due = fresh < 0 ? -1 : examine_due(keeper, &err);
            more = due < 0 ? -1 : fresh || due;
        }
    } else {
        more = 0; /* nobody could be told */
    }
    if (more < 0)
        complain("sweep", &err);
    if (more == 0 && keeper->cursor)
        say_caught_up(keeper);
    loop_timer_set(keeper->timer, more > 0 ? 0 : keeper->options.sweep_ms);
}

/* -- opening and closing */

struct keeper *keeper_new(const struct keeper_options *options)
{
    struct keeper *keeper = mem_new(1, sizeof *keeper);
    keeper->options = *options;
    keeper->watch = watch_new();
    keeper->timer = loop_timer(options->loop, 0, on_sweep, keeper);
    return keeper;
}

void keeper_free(struct keeper *keeper)
{
    if (!keeper)
        return;
    loop_source_free(keeper->timer);
    watch_free(keeper->watch);
    free(keeper);
}

void keeper_stop(struct keeper *keeper)
{
    keeper->stopped = true;
    loop_timer_set(keeper->timer, -1);
}

/* Money that may or may not have moved, per provider. The query looks at every doubt there ever was: in a large ledger not at every scrape. */
static void measure_doubt(struct keeper *keeper)
{
    int64_t begun_ms = clock_monotonic_ms();
    struct err err = {0};
    if (begun_ms < keeper->measure_doubt_ms)
        return;
    json_auto_t *rows = read_in_doubt(keeper->options.db, keeper->options.give_up_ms, &err);
    int64_t now_ms = clock_monotonic_ms();
    keeper->measure_doubt_ms = now_ms + MEASURE_SHARE * (now_ms - begun_ms);
    if (!rows)
        log_warn("what is in doubt cannot be measured: %s", err.text);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        char labels[128];
        snprintf(labels, sizeof labels, "provider=\"%s\",currency=\"%s\"", json_text(row, "provider", ""),
                 json_text(row, "currency", ""));
        metric_set("acquit_in_doubt_minor_units", labels, json_int(row, "amount", 0));
        metric_set("acquit_in_doubt_intents", labels, json_int(row, "count", 0));
        metric_set("acquit_in_doubt_oldest_seconds", labels, json_int(row, "oldestSeconds", 0));
        metric_set("acquit_cases_open", labels, json_int(row, "cases", 0));
    }
}

void keeper_measure(struct keeper *keeper)
{
    measure_doubt(keeper);
    metric_set("acquit_keeper_watched", NULL, (int64_t)watch_count(keeper->watch));
    metric_set("acquit_keeper_cursor", NULL, keeper->cursor);
    metric_set("acquit_keeper_broker_up", NULL, publisher_ready(keeper->options.publisher));
}
