/* test_saga_facts.c - every slot name, every contradiction, and what is not understood */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "ledger/saga.h"
#include "tests/unit/saga_text.h"

static const struct {
    const char *name;
    struct slot slot;
} SLOTS[] = {
    {"received", {SLOT_RECEIVED, 0, 0}},
    {"auth:1", {SLOT_AUTH, 1, 0}},
    {"auth:8", {SLOT_AUTH, 8, 0}},
    {"auth:2:result", {SLOT_AUTH_RESULT, 2, 0}},
    {"auth:3:late", {SLOT_AUTH_LATE, 3, 0}},
    {"auth:3:late:doubt:2", {SLOT_AUTH_LATE_DOUBT, 3, 2}},
    {"auth:4:action", {SLOT_AUTH_ACTION, 4, 0}},
    {"auth:5:doubt:0", {SLOT_AUTH_DOUBT, 5, 0}},
    {"auth:5:doubt:999", {SLOT_AUTH_DOUBT, 5, 999}},
    {"capture", {SLOT_CAPTURE, 0, 0}},
    {"capture:doubt:10", {SLOT_CAPTURE_DOUBT, 0, 10}},
    {"void:6", {SLOT_VOID, 6, 0}},
    {"void:6:doubt:1", {SLOT_VOID_DOUBT, 6, 1}},
    {"refund:1", {SLOT_REFUND, 1, 0}},
    {"refund:1000", {SLOT_REFUND, 1000, 0}},
    {"refund:20:result", {SLOT_REFUND_RESULT, 20, 0}},
    {"refund:20:doubt:7", {SLOT_REFUND_DOUBT, 20, 7}},
    {"pop", {SLOT_POP, 0, 0}},
    {"pop:vote:validator-1", {SLOT_POP_VOTE, 0, 0}},
    {"pop:committed", {SLOT_POP_COMMITTED, 0, 0}},
    {"pop:revoked", {SLOT_POP_REVOKED, 0, 0}},
    {"token:reserved", {SLOT_TOKEN_RESERVED, 0, 0}},
    {"token:active", {SLOT_TOKEN_ACTIVE, 0, 0}},
    {"token:released", {SLOT_TOKEN_RELEASED, 0, 0}},
    {"decision", {SLOT_DECISION, 0, 0}},
    {"dead:" COMMAND_A ":1", {SLOT_DEAD, 1, 0}},
    {"dead:" COMMAND_A ":1000000", {SLOT_DEAD, 1000000, 0}},
    {"replay:" COMMAND_A ":2", {SLOT_REPLAY, 2, 0}},
    {"notice:payment.completed:webhook", {SLOT_NOTICE, 0, 0}},
    {"notice:payment.refunded.12:webhook-2_b", {SLOT_NOTICE, 12, 0}},
    {"notice:payment.refund_failed.1000:sms", {SLOT_NOTICE, 1000, 0}},
    {"notice:payment.v2x:sms", {SLOT_NOTICE, 0, 0}},
    {"notice:a:bcdefghijklmnopqrstuvwxyz0123456", {SLOT_NOTICE, 0, 0}},

    {"", {SLOT_UNKNOWN, 0, 0}},
    {"receive", {SLOT_UNKNOWN, 0, 0}},
    {"received ", {SLOT_UNKNOWN, 0, 0}},
    {"Received", {SLOT_UNKNOWN, 0, 0}},
    {"received:1", {SLOT_UNKNOWN, 0, 0}},
    {"auth", {SLOT_UNKNOWN, 0, 0}},
    {"auth:", {SLOT_UNKNOWN, 0, 0}},
    {"auth:0", {SLOT_UNKNOWN, 0, 0}},
    {"auth:9", {SLOT_UNKNOWN, 0, 0}},
    {"auth:01", {SLOT_UNKNOWN, 0, 0}},
    {"auth:-1", {SLOT_UNKNOWN, 0, 0}},
    {"auth:+1", {SLOT_UNKNOWN, 0, 0}},
    {"auth: 1", {SLOT_UNKNOWN, 0, 0}},
    {"auth:1x", {SLOT_UNKNOWN, 0, 0}},
    {"auth:1:", {SLOT_UNKNOWN, 0, 0}},
    {"auth:x:result", {SLOT_UNKNOWN, 0, 0}},
    {"auth:1:results", {SLOT_UNKNOWN, 0, 0}},
    {"auth:1:doubt", {SLOT_UNKNOWN, 0, 0}},
    {"auth:1:doubt:", {SLOT_UNKNOWN, 0, 0}},
    {"auth:1:doubt:00", {SLOT_UNKNOWN, 0, 0}},
    {"auth:1:doubt:1000", {SLOT_UNKNOWN, 0, 0}},
    {"auth:18446744073709551617", {SLOT_UNKNOWN, 0, 0}},
    {"refund:1001", {SLOT_UNKNOWN, 0, 0}},
    {"refund:0", {SLOT_UNKNOWN, 0, 0}},
    {"refund:1:late", {SLOT_UNKNOWN, 0, 0}},
    {"capture:1", {SLOT_UNKNOWN, 0, 0}},
    {"capture:doubt:1:2", {SLOT_UNKNOWN, 0, 0}},
    {"void", {SLOT_UNKNOWN, 0, 0}},
    {"void:9:doubt:0", {SLOT_UNKNOWN, 0, 0}},
    {"pop:revoke", {SLOT_UNKNOWN, 0, 0}},
    {"pop:vote", {SLOT_UNKNOWN, 0, 0}},
    {"pop:vote:", {SLOT_UNKNOWN, 0, 0}},
    {"pop:vote:A", {SLOT_UNKNOWN, 0, 0}},
    {"pop:committed:1", {SLOT_UNKNOWN, 0, 0}},
    {"token", {SLOT_UNKNOWN, 0, 0}},
    {"token:Reserved", {SLOT_UNKNOWN, 0, 0}},
    {"dead:" COMMAND_A, {SLOT_UNKNOWN, 0, 0}},
    {"dead:" COMMAND_A ":0", {SLOT_UNKNOWN, 0, 0}},
    {"dead:" COMMAND_A ":1000001", {SLOT_UNKNOWN, 0, 0}},
    {"dead:11111111-2222-8333-8444-55555555555:1", {SLOT_UNKNOWN, 0, 0}},
    {"dead:11111111-2222-8333-8444-5555555555555:1", {SLOT_UNKNOWN, 0, 0}},
    {"dead:1111111122228333844455555555555555555:1", {SLOT_UNKNOWN, 0, 0}},
    {"dead:A1111111-2222-8333-8444-555555555555:1", {SLOT_UNKNOWN, 0, 0}},
    {"dead:", {SLOT_UNKNOWN, 0, 0}},
    {"replay:1:1", {SLOT_UNKNOWN, 0, 0}},
    {"notice:", {SLOT_UNKNOWN, 0, 0}},
    {"notice:payment.completed", {SLOT_UNKNOWN, 0, 0}},
    {"notice:payment.completed:", {SLOT_UNKNOWN, 0, 0}},
    {"notice::webhook", {SLOT_UNKNOWN, 0, 0}},
    {"notice:payment.completed:web hook", {SLOT_UNKNOWN, 0, 0}},
    {"notice:payment.completed:webhook:2", {SLOT_UNKNOWN, 0, 0}},
    {"notice:Payment.completed:webhook", {SLOT_UNKNOWN, 0, 0}},
    {"notice:a:bcdefghijklmnopqrstuvwxyz01234567", {SLOT_UNKNOWN, 0, 0}},
};

static void test_slot_names(void **state)
{
    (void)state;
    bool seen[SLOT_KIND_COUNT] = {0};
    for (size_t i = 0; i < COUNT(SLOTS); i++) {
        struct slot found = slot_parse(SLOTS[i].name), expected = SLOTS[i].slot;
        if (found.kind != expected.kind || found.n != expected.n || found.k != expected.k)
            fail_msg("%s: kind %d, n %d, k %d", SLOTS[i].name, (int)found.kind, found.n, found.k);
        seen[found.kind] = true;
        assert_int_equal(slot_is_doubt(SLOTS[i].name), strstr(SLOTS[i].name, ":doubt:") && found.kind != SLOT_UNKNOWN);
    }
    for (int kind = 0; kind < SLOT_KIND_COUNT; kind++)
        assert_true(seen[kind]);
}

/* Each of these cannot come about by any order of events; the text has to name what stands there and what it lacks. */
static const struct {
    enum flow flow;
    const char *facts;
    const char *named, *needs;
} CONTRADICTIONS[] = {
    /* L7 */
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved capture=captured", "capture=captured", "decision=commit"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved decision=abort/EXPIRED capture=captured", "capture=captured",
     "decision=commit"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved capture:doubt:0", "capture:doubt:0", "decision=commit"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved decision=commit:1 void:1", "void:1=voided", "capture=refused"},
    {FLOW_PLAIN, PAID "void:1", "void:1=voided", "capture=refused"},
    {FLOW_PLAIN, PAID "void:1:doubt:0", "void:1:doubt:0", "capture=refused"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved void:1", "void:1=voided", "decision=abort"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=declined decision=abort/DECLINED void:1", "void:1=voided",
     "auth:N:late"},
    {FLOW_PLAIN, "received auth:1 decision=commit:1", "decision=commit:1", "auth:N:result=approved"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=declined decision=commit:1", "decision=commit:1",
     "auth:N:result=approved"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=declined auth:2 auth:2:result=approved decision=commit:1",
     "decision=commit:1", "auth:N:result=approved"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved decision=commit:2", "decision=commit:2",
     "auth:N:result=approved"},
    {FLOW_DUAL, APPROVED "decision=commit:1", "decision=commit:1", "pop=validated"},
    {FLOW_DUAL, APPROVED "pop=rejected decision=commit:1", "decision=commit:1", "pop=validated"},
    {FLOW_PLAIN, "received auth:1=closed", "auth:1=closed", "decision=abort"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=declined auth:2=closed decision=abort/EXPIRED", "auth:2=closed",
     "auth:1"},

    /* L6 */
    {FLOW_PLAIN, "received auth:1 auth:2", "auth:2=intent", "negative auth:N:result"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved auth:2", "auth:2=intent", "negative auth:N:result"},
    {FLOW_PLAIN, "received auth:2", "auth:2=intent", "negative auth:N:result"},
    {FLOW_PLAIN, "received auth:1 auth:1:late", "auth:1:late", "negative auth:N:result"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved auth:1:late", "auth:1:late", "negative auth:N:result"},
    {FLOW_PLAIN, "received auth:1 auth:1:late:doubt:0", "auth:1:late:doubt:0", "auth:N:result=absent"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=declined auth:1:late:doubt:0", "auth:1:late:doubt:0",
     "auth:N:result=absent"},

    /* L5 */
    {FLOW_DUAL, RESERVED "auth:1:result=approved", "auth:1:result=approved", "auth:N=intent"},
    {FLOW_PLAIN, "received decision=abort/EXPIRED auth:1=closed auth:1:result=approved", "auth:1:result",
     "auth:N=intent"},
    {FLOW_DUAL, RESERVED "auth:1:doubt:0", "auth:1:doubt:0", "auth:N=intent"},
    {FLOW_DUAL, RESERVED "auth:1:action", "auth:1:action", "auth:N=intent"},
    {FLOW_DUAL, "received decision=abort/EXPIRED auth:1=closed void:1", "void:1", "auth:N=intent"},
    {FLOW_PLAIN, PAID "refund:1:result=refunded", "refund:1:result", "refund:N=accepted"},
    {FLOW_PLAIN, PAID "refund:1=refused/5 refund:1:result=refunded", "refund:1:result", "refund:N=accepted"},
    {FLOW_PLAIN, PAID "refund:1=refused/5 refund:1:doubt:0", "refund:1:doubt:0", "refund:N=accepted"},
    {FLOW_PLAIN, PAID "refund:2=accepted/5", "refund:2=accepted", "refund:N before"},

    /* gaps */
    {FLOW_PLAIN, "received auth:1 auth:1:doubt:1", "auth:1:doubt:1", "doubt before"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=absent auth:1:late:doubt:1", "auth:1:late:doubt:1", "doubt before"},
    {FLOW_PLAIN, "received auth:1 auth:1:doubt:0 auth:1:doubt:0", "auth:1:doubt:0", "doubt before"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved decision=commit:1 capture:doubt:2", "capture:doubt:2",
     "doubt before"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved decision=abort/EXPIRED void:1:doubt:1", "void:1:doubt:1",
     "doubt before"},
    {FLOW_PLAIN, PAID "refund:1=accepted/5 refund:1:doubt:1", "refund:1:doubt:1", "doubt before"},

    /* what is sold */
    {FLOW_DUAL, COMMITTED "token:active=active", "token:active=active", "capture=captured"},
    {FLOW_DUAL, COMMITTED "capture=refused token:active=active", "token:active=active", "capture=captured"},
    {FLOW_DUAL, COMMITTED "token:active=refused", "token:active=refused", "capture=captured"},
    {FLOW_DUAL, CAPTURED "pop:committed", "pop:committed", "token:active=active"},
    {FLOW_DUAL, UNWINDING "pop:committed", "pop:committed", "token:active=active"},
    {FLOW_PLAIN, PAID "pop:vote:a", "pop:vote:a", "flow dual"},
    {FLOW_PLAIN, PAID "pop:committed", "pop:committed", "flow dual"},
    {FLOW_DUAL, "pop:vote:a", "pop:vote:a", "needs received"},
    {FLOW_DUAL, ACTIVE "token:released", "token:released", "not to be active"},
    {FLOW_DUAL, RESERVED "pop:revoked", "pop:revoked", "decision=abort"},
    {FLOW_DUAL, CAPTURED "token:released", "token:released", "token:active=refused"},
    {FLOW_DUAL, ACTIVE "pop:revoked", "pop:revoked", "token:active=refused"},
    {FLOW_DUAL, "received auth:1", "auth:1=intent", "token:reserved=reserved"},
    {FLOW_DUAL, "received pop=validated", "pop=validated", "token:reserved=reserved"},
    {FLOW_PLAIN, PAID "pop=validated", "pop=validated", "flow dual"},
    {FLOW_PLAIN, "received auth:1 token:reserved=reserved", "token:reserved", "flow dual"},

    /* money back */
    {FLOW_PLAIN, PAID "refund:1=accepted/1001", "refund:1=accepted", "capture of at least"},
    {FLOW_PLAIN, PAID "refund:1=accepted/600 refund:2=accepted/401", "refund:2=accepted", "capture of at least"},
    {FLOW_PLAIN, PAID "refund:1=accepted/600 refund:1:result=refunded refund:2=accepted/401", "refund:2=accepted",
     "capture of at least"},
    {FLOW_PLAIN, "received auth:1 refund:1=accepted/1", "refund:1=accepted", "capture=captured"},
    {FLOW_DUAL, CAPTURED "refund:1=accepted/1", "refund:1=accepted", "token:active"},
    {FLOW_DUAL, UNWINDING "refund:1=accepted/1", "refund:1=accepted", "whole amount"},
    {FLOW_PLAIN, PAID "refund:1=accepted/9223372036854775807 refund:2=accepted/9223372036854775807",
     "refund:2=accepted", "overflow"},
    {FLOW_PLAIN, PAID "refund:1=accepted/0", "refund:1=accepted", "positive"},
    {FLOW_PLAIN, PAID "refund:1=accepted/-5", "refund:1=accepted", "positive"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved decision=commit:1 capture=captured/1001", "capture=captured",
     "body.amount"},

    /* what is not understood */
    {FLOW_PLAIN, "auth:1", "auth:1", "needs received"},
    {FLOW_PLAIN, "decision=abort/EXPIRED", "decision=abort", "needs received"},
    {FLOW_PLAIN, "refund:1=refused/5", "refund:1", "needs received"},
    {FLOW_PLAIN, "received received", "received", "two facts"},
    {FLOW_PLAIN, "received auth:1 auth:1", "auth:1", "two facts"},
    {FLOW_PLAIN, "received auth:1 decision=abort/EXPIRED decision=commit:1", "decision", "two facts"},
    {FLOW_PLAIN, "received auth:9", "auth:9", "no slot"},
    {FLOW_PLAIN, "received weather=fine", "weather=fine", "no slot"},
    {FLOW_PLAIN, "received=refused", "received=refused", "no outcome"},
    {FLOW_PLAIN, "received auth:1=begun", "auth:1=begun", "no outcome"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approve", "auth:1:result=approve", "no outcome"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approvedly", "auth:1:result=approvedly", "no outcome"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=", "auth:1:result=", "no outcome"},
    {FLOW_PLAIN, "received auth:1 decision=commit", "decision=commit", "no outcome"},
    {FLOW_PLAIN, "received auth:1 decision=commit:0", "decision=commit:0", "no outcome"},
    {FLOW_PLAIN, "received auth:1 decision=commit:9", "decision=commit:9", "no outcome"},
    {FLOW_PLAIN, "received auth:1 decision=abort", "decision=abort", "reason"},
    {FLOW_PLAIN, "received auth:1 decision=abort/BAD_WEATHER", "decision=abort", "reason"},
};

static void test_contradictions(void **state)
{
    (void)state;
    static char text[SAGA_TEXT_SIZE];
    for (size_t i = 0; i < COUNT(CONTRADICTIONS); i++) {
        struct facts facts;
        facts_from_text(&facts, CONTRADICTIONS[i].flow, "webhook", CONTRADICTIONS[i].facts);
        saga_to_text(&facts, text);
        if (strncmp(text, "internal error: payment ", 24) != 0 || !strstr(text, CONTRADICTIONS[i].named) ||
            !strstr(text, CONTRADICTIONS[i].needs))
            fail_msg("%s\ngives: %s", CONTRADICTIONS[i].facts, text);
        facts_clear(&facts);
    }
}

static void test_bodies_of_received(void **state)
{
    (void)state;
    static const char *const BODIES[] = {
        "{}",
        "{\"flow\":\"triple\",\"amount\":1,\"currency\":\"EUR\"}",
        "{\"flow\":\"plain\",\"amount\":0,\"currency\":\"EUR\"}",
        "{\"flow\":\"plain\",\"amount\":-1,\"currency\":\"EUR\"}",
        "{\"flow\":\"plain\",\"amount\":1.5,\"currency\":\"EUR\"}",
        "{\"flow\":\"plain\",\"amount\":\"1\",\"currency\":\"EUR\"}",
        "{\"flow\":\"plain\",\"amount\":1,\"currency\":\"EURO\"}",
        "{\"flow\":\"plain\",\"amount\":1}",
        "{\"flow\":\"plain\",\"amount\":1,\"currency\":\"EUR\",\"channels\":[1]}",
        "{\"flow\":\"plain\",\"amount\":1,\"currency\":\"EUR\",\"channels\":[\"\"]}",
        "{\"flow\":\"plain\",\"amount\":1,\"currency\":\"EUR\",\"channels\":[\"a:b\"]}",
        "{\"flow\":\"plain\",\"amount\":1,\"currency\":\"EUR\",\"channels\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}",
    };
    static char text[SAGA_TEXT_SIZE];
    for (size_t i = 0; i < COUNT(BODIES); i++) {
        struct facts facts;
        facts_from_text(&facts, FLOW_PLAIN, "", "received");
        json_decref(facts.items[0].body);
        facts.items[0].body = json_loads(BODIES[i], 0, NULL);
        assert_non_null(facts.items[0].body);
        saga_to_text(&facts, text);
        if (!strstr(text, "received=accepted: body."))
            fail_msg("%s gives: %s", BODIES[i], text);
        facts_clear(&facts);
    }
}

static void test_find_and_clear(void **state)
{
    (void)state;
    struct facts facts;
    facts_from_text(&facts, FLOW_PLAIN, "webhook", PAID);
    facts.items[0].actor = mem_text("shop");
    assert_string_equal(facts_find(&facts, "capture")->outcome, "captured");
    assert_null(facts_find(&facts, "void:1"));
    facts_clear(&facts);
    assert_int_equal(facts.count, 0);
    assert_null(facts.items);
    facts_clear(&facts);
    struct payment never = {0};
    payment_clear(&never);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot_names),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_bodies_of_received),
        cmocka_unit_test(test_find_and_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
