/* test_keeper_watch.c - workers/keeper/watch: which payment is looked at, and when */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/saga_text.h"
#include "workers/keeper/watch.h"

enum { STILL = 1000 };

/* -- the set */

static void test_earliest_due_comes_first(void **state)
{
    (void)state;
    struct watch *watch = watch_new();
    struct watched out;
    struct dice dice = {.state = 7};
    for (int i = 0; i < 5000; i++) {
        struct watched in = {.due_ms = dice_below(&dice, 1000), .looks = i};
        assert_true(watch_add(watch, &in));
    }
    assert_false(watch_take_due(watch, -1, &out));
    int64_t last_ms = 0;
    size_t taken = 0;
    for (; watch_take_due(watch, 499, &out); taken++) {
        assert_true(out.due_ms >= last_ms && out.due_ms <= 499);
        last_ms = out.due_ms;
    }
    assert_in_range(taken, 2000, 3000);
    while (watch_take_due(watch, 1000, &out))
        taken++;
    assert_int_equal(taken, 5000);
    assert_int_equal(watch_count(watch), 0);
    watch_free(watch);
}

static void test_set_is_bounded(void **state)
{
    (void)state;
    struct watch *watch = watch_new();
    struct watched in = {0}, out;
    for (int i = 0; i < WATCH_MAX; i++)
        assert_true(watch_add(watch, &in));
    assert_false(watch_add(watch, &in));
    assert_true(watch_take_due(watch, 0, &out));
    assert_true(watch_add(watch, &in));
    watch_free(watch);
}

/* -- the judgement */

/* The newest fact is from time 0, unless told otherwise; deadline 0: none. */
static enum watch_verdict judge(struct watched *watched, enum flow flow, const char *text, int64_t deadline_ms,
                                int64_t now_ms)
{
    struct facts facts = {0};
    struct payment payment;
    struct err err = {0};
    facts_from_text(&facts, flow, "webhook", text);
    for (size_t i = 0; i < facts.count; i++) {
        facts.items[i].at_ms = 0;
        facts.items[i].seq = (int64_t)i + 1;
        if (deadline_ms && slot_parse(facts.items[i].slot).kind == SLOT_RECEIVED)
            json_object_set_new(facts.items[i].body, "expiresAt", json_integer(deadline_ms));
    }
    assert_int_equal(saga_fold(&facts, &payment, &err), 0);
    enum watch_verdict verdict = watch_judge(watched, &facts, &payment, STILL, now_ms);
    payment_clear(&payment);
    facts_clear(&facts);
    return verdict;
}

#define PAID "received auth:1 auth:1:result=approved decision=commit:1 capture=captured "

static void test_finished_is_forgotten(void **state)
{
    (void)state;
    struct watched watched = {0};
    assert_int_equal(judge(&watched, FLOW_PLAIN, PAID "notice:payment.completed:webhook", 500, 9999), WATCH_FORGET);
    assert_int_equal(judge(&watched, FLOW_PLAIN, "", 0, 9999), WATCH_FORGET);
    /* of no payment: a dead letter that was sent again */
    assert_int_equal(judge(&watched, FLOW_PLAIN, "replay:00000000-0000-8000-8000-000000000001:1", 0, 9999),
                     WATCH_FORGET);
    /* ended, but somebody is still to be told */
    assert_int_equal(judge(&watched, FLOW_PLAIN, PAID, 0, 10), WATCH_LATER);
    assert_int_equal(judge(&watched, FLOW_PLAIN, PAID, 0, STILL), WATCH_LOOK);
}

static void test_deadline(void **state)
{
    (void)state;
    struct watched watched = {0};
    assert_int_equal(judge(&watched, FLOW_DUAL, "received", 600, 10), WATCH_LATER);
    assert_int_equal(watched.due_ms, 600); /* before it would stand still */
    assert_int_equal(judge(&watched, FLOW_DUAL, "received", 600, 599), WATCH_LATER);
    assert_int_equal(judge(&watched, FLOW_DUAL, "received", 600, 600), WATCH_EXPIRE);
    /* what is decided does not expire */
    watched = (struct watched){0};
    assert_int_equal(judge(&watched, FLOW_PLAIN, "received auth:1 auth:1:result=approved decision=commit:1", 600, 700),
                     WATCH_LATER);
    assert_int_equal(watched.due_ms, STILL);
}

static void test_expiry_is_repeated_with_patience(void **state)
{
    (void)state;
    struct watched watched = {0};
    assert_int_equal(judge(&watched, FLOW_DUAL, "received", 600, 600), WATCH_EXPIRE);
    assert_true(watched.due_ms >= 600 + STILL);
    assert_int_equal(judge(&watched, FLOW_DUAL, "received", 600, 700), WATCH_LATER);
    assert_int_equal(judge(&watched, FLOW_DUAL, "received", 600, 600 + 2 * STILL), WATCH_EXPIRE);
}

static void test_look_and_back_off(void **state)
{
    (void)state;
    struct watched watched = {0};
    int64_t now_ms = 0, gap_ms = 0;
    for (int i = 0; i < 40; i++) {
        enum watch_verdict verdict = judge(&watched, FLOW_PLAIN, "received auth:1", 0, now_ms);
        assert_int_equal(verdict, now_ms < STILL ? WATCH_LATER : WATCH_LOOK);
        assert_true(watched.due_ms > now_ms);
        assert_true(watched.due_ms - now_ms >= gap_ms || i == 0);
        assert_true(watched.due_ms - now_ms <= WATCH_BACK_OFF_MAX_MS);
        gap_ms = watched.due_ms - now_ms;
        now_ms = watched.due_ms;
    }
    assert_int_equal(gap_ms, WATCH_BACK_OFF_MAX_MS);
    assert_int_equal(watched.last_seq, 2);
    /* something changed: patience begins anew */
    assert_int_equal(judge(&watched, FLOW_PLAIN, "received auth:1 auth:1:result=approved", 0, STILL - 1), WATCH_LATER);
    assert_int_equal(watched.looks, 0);
    assert_int_equal(watched.due_ms, STILL);
}

/* After a doubt a question is on its way: a look before its answer would only multiply it. */
static void test_a_question_gets_its_time(void **state)
{
    (void)state;
    struct watched watched = {0};
    const char *doubtful = "received auth:1 auth:1:doubt:0";
    int64_t patience = (1 + WATCH_QUESTION_FACTOR) * STILL;
    assert_int_equal(judge(&watched, FLOW_PLAIN, doubtful, 0, STILL), WATCH_LATER);
    assert_int_equal(watched.due_ms, patience);
    assert_int_equal(judge(&watched, FLOW_PLAIN, doubtful, 0, patience - 1), WATCH_LATER);
    assert_int_equal(judge(&watched, FLOW_PLAIN, doubtful, 0, patience), WATCH_LOOK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_earliest_due_comes_first),
        cmocka_unit_test(test_set_is_bounded),
        cmocka_unit_test(test_finished_is_forgotten),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_expiry_is_repeated_with_patience),
        cmocka_unit_test(test_look_and_back_off),
        cmocka_unit_test(test_a_question_gets_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
