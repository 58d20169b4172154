/* test_mail_events.c - workers/events: the event of a notice is found by its name, and its bytes never change */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "tests/unit/saga_text.h"
#include "workers/events.h"

/* The event's JSON, "" when there is none. free() it. */
static char *found(enum flow flow, const char *text, const char *name)
{
    struct facts facts = {0};
    struct payment payment;
    struct event event;
    struct err err = {0};
    facts_from_text(&facts, flow, "webhook email", text);
    for (size_t i = 0; i < facts.count; i++) {
        facts.items[i].seq = (int64_t)i + 1;
        facts.items[i].at_ms = 1000 * ((int64_t)i + 1);
    }
    if (saga_fold(&facts, &payment, &err) != 0)
        fail_msg("%s", err.text);
    char *json = event_find(&payment, &facts, name, &event) ? event_json(&event) : strdup("");
    payment_clear(&payment);
    facts_clear(&facts);
    return json;
}

static void has(enum flow flow, const char *text, const char *name, const char *status, int refunded, int refund_amount)
{
    char *json = found(flow, text, name);
    json_auto_t *event = json_loads(json, 0, NULL);
    const json_t *data = json_object_get(event, "data");
    assert_non_null(event);
    assert_string_equal(json_text(data, "status", ""), status);
    assert_int_equal(json_int(data, "refunded", -1), refunded);
    assert_int_equal(json_int(data, "refundAmount", -1), refund_amount);
    assert_int_equal(strncmp(json_text(event, "type", ""), name, strlen(json_text(event, "type", "?"))), 0);
    free(json);
}

#define REFUNDED PAID "refund:1=accepted/400 refund:1:result=refunded "

static void test_found_by_name(void **state)
{
    (void)state;
    has(FLOW_PLAIN, PAID, "payment.completed", "completed", 0, -1);
    has(FLOW_PLAIN, REFUNDED, "payment.refunded.1", "partially_refunded", 400, 400);
    has(FLOW_PLAIN, REFUNDED "refund:2=accepted/600 refund:2:result=refunded", "payment.refunded.2", "refunded", 1000,
        600);
    has(FLOW_PLAIN, PAID "refund:1=accepted/400 refund:1:result=refused", "payment.refund_failed.1", "completed", 0,
        400);
    has(FLOW_PLAIN, "received auth:1 auth:1:result=declined decision=abort/DECLINED", "payment.failed", "failed", 0,
        -1);
    has(FLOW_PLAIN, "received auth:1=closed decision=abort/CANCELLED", "payment.cancelled", "cancelled", 0, -1);
    has(FLOW_DUAL, UNWINDING "refund:1=accepted/1000 refund:1:result=refunded " UNDONE, "payment.failed", "failed",
        1000, -1);
}

static void test_not_found(void **state)
{
    (void)state;
    static const struct {
        const char *facts, *name;
    } cases[] = {
        {"received auth:1", "payment.completed"},
        {PAID, "payment.failed"},
        {PAID, "payment.refunded.1"},
        {PAID, "payment.completed.1"},
        {PAID, "completed"},
        {PAID, ""},
        {REFUNDED, "payment.refund_failed.1"},
        {REFUNDED, "payment.refunded.2"},
        {REFUNDED, "payment.refunded.0"},
        {REFUNDED, "payment.refunded.-1"},
        {REFUNDED, "payment.refund.1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *json = found(FLOW_PLAIN, cases[i].facts, cases[i].name);
        if (*json)
            fail_msg("%s: %s", cases[i].name, json);
        free(json);
    }
}

/* What comes later changes nothing. */
static void test_always_the_same_bytes(void **state)
{
    (void)state;
    static const struct {
        enum flow flow;
        const char *facts, *later, *name;
    } cases[] = {
        {FLOW_PLAIN, PAID, "notice:payment.completed:webhook", "payment.completed"},
        {FLOW_PLAIN, PAID, "refund:1=accepted/400 refund:1:result=refunded", "payment.completed"},
        {FLOW_PLAIN, REFUNDED, "refund:2=accepted/600 refund:2:result=refunded", "payment.refunded.1"},
        {FLOW_PLAIN,
         "received auth:1 auth:1:result=absent auth:2 auth:2:result=approved decision=commit:2 capture=captured ",
         "auth:1:late void:1=voided", "payment.completed"},
        {FLOW_PLAIN, "received auth:1 auth:1:result=absent decision=abort/ABSENT ", "auth:1:late void:1=voided",
         "payment.failed"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char whole[512];
        snprintf(whole, sizeof whole, "%s %s", cases[i].facts, cases[i].later);
        char *before = found(cases[i].flow, cases[i].facts, cases[i].name);
        char *after = found(cases[i].flow, whole, cases[i].name);
        assert_true(*before);
        assert_string_equal(before, after);
        free(before);
        free(after);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_found_by_name), cmocka_unit_test(test_not_found),
                                       cmocka_unit_test(test_always_the_same_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
