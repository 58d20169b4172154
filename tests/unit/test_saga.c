/* test_saga.c - every row of DESIGN.md section 6: state, next and what is wanted; see test_saga_facts.c for names */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "ledger/saga.h"
#include "tests/unit/saga_text.h"

static const struct row {
    const char *name;
    enum flow flow;
    const char *facts;
    enum saga_state state;
    enum public_state public;
    const char *next;
} ROWS[] = {
    /* unknown */
    {"nothing", FLOW_PLAIN, "", SAGA_UNKNOWN, PUBLIC_PENDING, ""},
    {"a dead letter alone", FLOW_PLAIN, "dead:" COMMAND_A ":1=payment.create", SAGA_UNKNOWN, PUBLIC_PENDING, ""},

    /* voting: the tokens first, then authorization and votes side by side */
    {"dual received", FLOW_DUAL, "received", SAGA_VOTING, PUBLIC_PROCESSING, "token.reserve token:reserved <received"},
    {"reserved", FLOW_DUAL, RESERVED, SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.start auth:1 <token:reserved; pop.validate pop <token:reserved"},
    {"tokens refused, abort missing: left to the deadline", FLOW_DUAL, "received token:reserved=refused", SAGA_VOTING,
     PUBLIC_PROCESSING, ""},
    {"started", FLOW_DUAL, RESERVED "auth:1", SAGA_VOTING, PUBLIC_PROCESSING,
     "pop.validate pop <token:reserved; authorize.resolve auth:1:doubt:0"},
    {"called back", FLOW_DUAL, RESERVED "auth:1 pop:vote:b=invalid pop:vote:a", SAGA_VOTING, PUBLIC_PROCESSING,
     "pop.validate pop <token:reserved; pop.validate pop:vote:a <pop:vote:a; pop.validate pop:vote:b <pop:vote:b; "
     "authorize.resolve auth:1:doubt:0"},
    {"called back before the tokens are reserved", FLOW_DUAL, "received pop:vote:a", SAGA_VOTING, PUBLIC_PROCESSING,
     "token.reserve token:reserved <received"},
    {"called back, and counted", FLOW_DUAL, RESERVED "auth:1 pop:vote:a pop=validated", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.resolve auth:1:doubt:0"},
    {"validated first", FLOW_DUAL, RESERVED "pop=validated", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.start auth:1 <token:reserved"},
    {"approved, no vote", FLOW_DUAL, APPROVED, SAGA_VOTING, PUBLIC_PROCESSING, "pop.validate pop <token:reserved"},
    {"voted, no result", FLOW_DUAL, RESERVED "auth:1 pop=validated", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.resolve auth:1:doubt:0"},
    {"all votes", FLOW_DUAL, VALIDATED, SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.capture capture <auth:1:result <pop <token:reserved"},
    {"plain", FLOW_PLAIN, "received auth:1", SAGA_VOTING, PUBLIC_PROCESSING, "authorize.resolve auth:1:doubt:0"},
    {"plain, approved", FLOW_PLAIN, "received auth:1 auth:1:result=approved", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.capture capture <auth:1:result"},
    {"one doubt", FLOW_PLAIN, "received auth:1 auth:1:doubt:0", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.resolve auth:1:doubt:1 <auth:1:doubt:0"},
    {"three doubts", FLOW_PLAIN, "received auth:1 auth:1:doubt:0 auth:1:doubt:1 auth:1:doubt:2", SAGA_VOTING,
     PUBLIC_PROCESSING, "authorize.resolve auth:1:doubt:3 <auth:1:doubt:2"},
    {"doubts that were answered", FLOW_PLAIN, "received auth:1 auth:1:doubt:0 auth:1:result=approved", SAGA_VOTING,
     PUBLIC_PROCESSING, "authorize.capture capture <auth:1:result"},
    {"a challenge", FLOW_PLAIN, "received auth:1 auth:1:action", SAGA_VOTING, PUBLIC_REQUIRES_ACTION,
     "authorize.resolve auth:1:doubt:0 <auth:1:action"},
    {"a challenge not answered yet", FLOW_PLAIN, "received auth:1 auth:1:action auth:1:doubt:0", SAGA_VOTING,
     PUBLIC_REQUIRES_ACTION, "authorize.resolve auth:1:doubt:1 <auth:1:doubt:0"},
    {"a challenge answered", FLOW_PLAIN, "received auth:1 auth:1:action auth:1:result=approved", SAGA_VOTING,
     PUBLIC_PROCESSING, "authorize.capture capture <auth:1:result"},
    {"failed over", FLOW_PLAIN, "received auth:1 auth:1:result=declined auth:2", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.resolve auth:2:doubt:0"},
    {"failed over twice", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent auth:2 auth:2:result=cancelled auth:3 auth:3:result=approved", SAGA_VOTING,
     PUBLIC_PROCESSING, "authorize.capture capture <auth:3:result"},
    {"failed over after a challenge", FLOW_PLAIN, "received auth:1 auth:1:action auth:1:result=cancelled auth:2",
     SAGA_VOTING, PUBLIC_PROCESSING, "authorize.resolve auth:2:doubt:0"},
    {"late while voting", FLOW_PLAIN, "received auth:1 auth:1:result=absent auth:2 auth:1:late", SAGA_VOTING,
     PUBLIC_PROCESSING, "authorize.resolve auth:2:doubt:0; authorize.void void:1 <auth:1:late"},
    {"perhaps sent after it was found absent", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent auth:2 auth:1:late:doubt:0", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.resolve auth:2:doubt:0; authorize.resolve auth:1:late:doubt:1 <auth:1:late:doubt:0"},
    {"the same, asked about after the end", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent decision=abort/ABSENT auth:1:late:doubt:0 auth:1:late:doubt:1=nothing "
     "auth:1:late:doubt:2 notice:payment.failed:webhook",
     SAGA_ABORTED, PUBLIC_FAILED, "authorize.resolve auth:1:late:doubt:3 <auth:1:late:doubt:2"},
    {"the same, nothing was there", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent decision=abort/ABSENT auth:1:late:doubt:0 auth:1:late:doubt:1=nothing "
     "notice:payment.failed:webhook",
     SAGA_ABORTED, PUBLIC_FAILED, ""},
    {"the same, and an approval was", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent auth:2 auth:1:late:doubt:0 auth:1:late", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.resolve auth:2:doubt:0; authorize.void void:1 <auth:1:late"},
    {"a challenge of what was concluded absent", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent auth:2 auth:1:action", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.resolve auth:2:doubt:0; authorize.void void:1 <auth:1:action <auth:1:result"},
    {"the same, approved after all", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent auth:2 auth:1:action auth:1:late", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.resolve auth:2:doubt:0; authorize.void void:1 <auth:1:late"},

    /* capturing */
    {"commit", FLOW_DUAL, COMMITTED, SAGA_CAPTURING, PUBLIC_AUTHORIZED, "authorize.capture capture"},
    {"capture in doubt", FLOW_DUAL, COMMITTED "capture:doubt:0", SAGA_CAPTURING, PUBLIC_AUTHORIZED,
     "authorize.capture capture:doubt:1 <capture:doubt:0"},
    {"capture still in doubt", FLOW_PLAIN,
     "received auth:1 auth:1:result=approved decision=commit:1 capture:doubt:0 capture:doubt:1", SAGA_CAPTURING,
     PUBLIC_AUTHORIZED, "authorize.capture capture:doubt:2 <capture:doubt:1"},
    {"commit of the second", FLOW_PLAIN,
     "received auth:1 auth:1:result=declined auth:2 auth:2:result=approved decision=commit:2 auth:1:late",
     SAGA_CAPTURING, PUBLIC_AUTHORIZED, "authorize.capture capture; authorize.void void:1 <auth:1:late"},

    /* activating */
    {"captured", FLOW_DUAL, CAPTURED, SAGA_ACTIVATING, PUBLIC_PROCESSING, "token.activate token:active <capture"},
    {"activation exhausted", FLOW_DUAL, CAPTURED "dead:" COMMAND_A ":1=token.activate", SAGA_ACTIVATING,
     PUBLIC_PROCESSING, "token.release token:released <dead:" COMMAND_A ":1"},
    {"activation exhausted again", FLOW_DUAL,
     CAPTURED "dead:" COMMAND_A ":2=token.activate dead:" COMMAND_A ":1=token.activate", SAGA_ACTIVATING,
     PUBLIC_PROCESSING, "token.release token:released <dead:" COMMAND_A ":2"},
    {"something else exhausted", FLOW_DUAL, CAPTURED "dead:" COMMAND_A ":1=authorize.capture", SAGA_ACTIVATING,
     PUBLIC_PROCESSING, "token.activate token:active <capture"},

    /* completed */
    {"plain paid", FLOW_PLAIN, PAID, SAGA_COMPLETED, PUBLIC_COMPLETED,
     "notify.send notice:payment.completed:webhook <capture"},
    {"active", FLOW_DUAL, ACTIVE, SAGA_COMPLETED, PUBLIC_COMPLETED,
     "pop.commit pop:committed <token:active; notify.send notice:payment.completed:webhook <token:active"},
    {"active though activation was exhausted", FLOW_DUAL, ACTIVE "dead:" COMMAND_A ":1=token.activate", SAGA_COMPLETED,
     PUBLIC_COMPLETED,
     "pop.commit pop:committed <token:active; notify.send notice:payment.completed:webhook <token:active"},
    {"told", FLOW_DUAL, ACTIVE TOLD_COMPLETED, SAGA_COMPLETED, PUBLIC_COMPLETED,
     "pop.commit pop:committed <token:active"},
    {"told everybody", FLOW_DUAL, ACTIVE TOLD_COMPLETED "pop:committed", SAGA_COMPLETED, PUBLIC_COMPLETED, ""},
    {"told in vain", FLOW_DUAL, ACTIVE "notice:payment.completed:webhook=refused", SAGA_COMPLETED, PUBLIC_COMPLETED,
     "pop.commit pop:committed <token:active"},
    {"told something else", FLOW_DUAL,
     ACTIVE "pop:committed notice:payment.failed:webhook notice:payment.completed:sms", SAGA_COMPLETED,
     PUBLIC_COMPLETED, "notify.send notice:payment.completed:webhook <token:active"},
    {"late after the end", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent auth:2 auth:2:result=approved decision=commit:2 capture=captured "
     "auth:1:late " TOLD_COMPLETED,
     SAGA_COMPLETED, PUBLIC_COMPLETED, "authorize.void void:1 <auth:1:late"},
    {"late void in doubt", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent auth:2 auth:2:result=approved decision=commit:2 capture=captured "
     "auth:1:late void:1:doubt:0 " TOLD_COMPLETED,
     SAGA_COMPLETED, PUBLIC_COMPLETED, "authorize.void void:1:doubt:1 <void:1:doubt:0"},
    {"late and voided", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent auth:2 auth:2:result=approved decision=commit:2 capture=captured "
     "auth:1:late void:1 " TOLD_COMPLETED,
     SAGA_COMPLETED, PUBLIC_COMPLETED, ""},

    /* aborting */
    {"abort before anything", FLOW_DUAL, "received decision=abort/CANCELLED auth:1=closed", SAGA_ABORTING,
     PUBLIC_PROCESSING, "pop.revoke pop:revoked <decision; token.release token:released <decision"},
    {"abort of a closed plain one", FLOW_PLAIN, "received decision=abort/REFUSED_BY_RULE auth:1=closed", SAGA_ABORTED,
     PUBLIC_FAILED, "notify.send notice:payment.failed:webhook <decision"},
    {"abort with an authorization under way", FLOW_DUAL, RESERVED "auth:1 decision=abort/POP_REJECTED pop=rejected",
     SAGA_ABORTING, PUBLIC_PROCESSING,
     "pop.revoke pop:revoked <decision; token.release token:released <decision; authorize.resolve auth:1:doubt:0"},
    {"abort with a doubt", FLOW_DUAL, RESERVED "auth:1 auth:1:doubt:0 decision=abort/EXPIRED " UNDONE, SAGA_ABORTING,
     PUBLIC_PROCESSING, "authorize.resolve auth:1:doubt:1 <auth:1:doubt:0"},
    {"abort while the customer is asked", FLOW_PLAIN, "received auth:1 auth:1:action decision=abort/EXPIRED",
     SAGA_ABORTING, PUBLIC_PROCESSING, "authorize.resolve auth:1:doubt:0 <auth:1:action"},
    {"abort with an approval", FLOW_DUAL, APPROVED "decision=abort/EXPIRED", SAGA_ABORTING, PUBLIC_PROCESSING,
     "pop.revoke pop:revoked <decision; token.release token:released <decision; "
     "authorize.void void:1 <decision <auth:1:result"},
    {"abort, void in doubt", FLOW_DUAL, APPROVED "decision=abort/EXPIRED void:1:doubt:0 void:1:doubt:1 " UNDONE,
     SAGA_ABORTING, PUBLIC_PROCESSING, "authorize.void void:1:doubt:2 <void:1:doubt:1"},
    {"abort, one undone", FLOW_DUAL, APPROVED "decision=abort/EXPIRED void:1 pop:revoked", SAGA_ABORTING,
     PUBLIC_PROCESSING, "token.release token:released <decision"},
    {"abort after a fail-over", FLOW_PLAIN,
     "received auth:1 auth:1:result=declined auth:2 auth:2:result=approved decision=abort/CANCELLED", SAGA_ABORTING,
     PUBLIC_PROCESSING, "authorize.void void:2 <decision <auth:2:result"},
    {"abort, late and approved", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent auth:1:late auth:2 auth:2:result=approved decision=abort/CANCELLED",
     SAGA_ABORTING, PUBLIC_PROCESSING,
     "authorize.void void:1 <auth:1:late; authorize.void void:2 <decision <auth:2:result"},

    /* failed, cancelled */
    {"declined", FLOW_PLAIN, "received auth:1 auth:1:result=declined decision=abort/DECLINED", SAGA_ABORTED,
     PUBLIC_FAILED, "notify.send notice:payment.failed:webhook <decision <auth:1:result"},
    {"undone", FLOW_DUAL, APPROVED "decision=abort/POP_REJECTED pop=rejected void:1 " UNDONE, SAGA_ABORTED,
     PUBLIC_FAILED,
     "notify.send notice:payment.failed:webhook <decision <auth:1:result <void:1 <pop:revoked <token:released"},
    {"cancelled", FLOW_DUAL, "received decision=abort/CANCELLED auth:1=closed " UNDONE, SAGA_ABORTED, PUBLIC_CANCELLED,
     "notify.send notice:payment.cancelled:webhook <decision <pop:revoked <token:released"},
    {"refused tokens", FLOW_DUAL,
     "received token:reserved=refused decision=abort/TOKENS_UNAVAILABLE auth:1=closed " UNDONE
     "notice:payment.failed:webhook",
     SAGA_ABORTED, PUBLIC_FAILED, ""},
    {"failed, two routes", FLOW_PLAIN,
     "received auth:1 auth:1:result=declined auth:2 auth:2:result=absent decision=abort/ABSENT", SAGA_ABORTED,
     PUBLIC_FAILED, "notify.send notice:payment.failed:webhook <decision <auth:1:result <auth:2:result"},
    {"late after a failure", FLOW_PLAIN,
     "received auth:1 auth:1:result=absent decision=abort/ABSENT notice:payment.failed:webhook auth:1:late",
     SAGA_ABORTED, PUBLIC_FAILED, "authorize.void void:1 <auth:1:late"},

    /* uncaptured */
    {"capture refused", FLOW_DUAL, COMMITTED "capture=refused", SAGA_UNCAPTURED, PUBLIC_PROCESSING,
     "pop.revoke pop:revoked <capture; token.release token:released <capture; authorize.void void:1 <capture"},
    {"capture refused, void in doubt", FLOW_DUAL, COMMITTED "capture=refused void:1:doubt:0 " UNDONE, SAGA_UNCAPTURED,
     PUBLIC_PROCESSING, "authorize.void void:1:doubt:1 <void:1:doubt:0"},
    {"capture refused and voided", FLOW_DUAL, COMMITTED "capture=refused void:1=expired", SAGA_UNCAPTURED,
     PUBLIC_PROCESSING, "pop.revoke pop:revoked <capture; token.release token:released <capture"},
    {"uncaptured and undone", FLOW_DUAL, COMMITTED "capture=refused void:1=nothing " UNDONE, SAGA_UNCAPTURED_ENDED,
     PUBLIC_FAILED, "notify.send notice:payment.failed:webhook <void:1 <pop:revoked <token:released"},
    {"plain uncaptured", FLOW_PLAIN,
     "received auth:1 auth:1:result=approved decision=commit:1 capture=refused void:1=expired", SAGA_UNCAPTURED_ENDED,
     PUBLIC_FAILED, "notify.send notice:payment.failed:webhook <void:1"},

    /* unwinding */
    {"activation refused", FLOW_DUAL, UNWINDING, SAGA_UNWINDING, PUBLIC_PROCESSING,
     "payment.unwind refund:1 <token:active; pop.revoke pop:revoked <token:active; "
     "token.release token:released <token:active"},
    {"the arbiter refused", FLOW_DUAL, UNWINDING "dead:" COMMAND_A ":1=token.activate token:released", SAGA_UNWINDING,
     PUBLIC_PROCESSING, "payment.unwind refund:1 <token:active; pop.revoke pop:revoked <token:active"},
    {"unwind begun", FLOW_DUAL, UNWINDING UNDONE "refund:1=accepted/1000", SAGA_UNWINDING, PUBLIC_PROCESSING,
     "refund.resolve refund:1:doubt:0"},
    {"unwind in doubt", FLOW_DUAL, UNWINDING UNDONE "refund:1=accepted/1000 refund:1:doubt:0", SAGA_UNWINDING,
     PUBLIC_PROCESSING, "refund.resolve refund:1:doubt:1 <refund:1:doubt:0"},
    {"unwind refused: for a person", FLOW_DUAL, UNWINDING UNDONE "refund:1=accepted/1000 refund:1:result=refused",
     SAGA_UNWINDING, PUBLIC_PROCESSING, ""},
    {"unwind behind a refused refund", FLOW_DUAL, UNWINDING UNDONE "refund:1=refused/1000", SAGA_UNWINDING,
     PUBLIC_PROCESSING, "payment.unwind refund:1 <token:active"},
    {"unwound behind a refused refund", FLOW_DUAL,
     UNWINDING UNDONE "refund:1=refused/1000 refund:2=accepted/1000 refund:2:result=refunded", SAGA_UNWOUND,
     PUBLIC_FAILED, "notify.send notice:payment.failed:webhook <refund:2:result <pop:revoked <token:released"},
    {"money back, not undone", FLOW_DUAL, UNWINDING "pop:revoked refund:1=accepted/1000 refund:1:result=refunded",
     SAGA_UNWINDING, PUBLIC_PROCESSING, "token.release token:released <token:active"},
    {"unwound", FLOW_DUAL, UNWINDING UNDONE "refund:1=accepted/1000 refund:1:result=refunded", SAGA_UNWOUND,
     PUBLIC_FAILED, "notify.send notice:payment.failed:webhook <refund:1:result <pop:revoked <token:released"},
    {"unwound and told", FLOW_DUAL,
     UNWINDING UNDONE "refund:1=accepted/1000 refund:1:result=refunded notice:payment.failed:webhook", SAGA_UNWOUND,
     PUBLIC_FAILED, ""},

    /* refunds */
    {"refund refused", FLOW_PLAIN, PAID TOLD_COMPLETED "refund:1=refused/5000", SAGA_COMPLETED, PUBLIC_COMPLETED, ""},
    {"refund before the end", FLOW_PLAIN, "received auth:1 refund:1=refused/10", SAGA_VOTING, PUBLIC_PROCESSING,
     "authorize.resolve auth:1:doubt:0"},
    {"refund under way", FLOW_PLAIN, PAID TOLD_COMPLETED "refund:1=accepted/400", SAGA_COMPLETED, PUBLIC_COMPLETED,
     "refund.resolve refund:1:doubt:0"},
    {"refund in doubt", FLOW_PLAIN, PAID TOLD_COMPLETED "refund:1=accepted/400 refund:1:doubt:0 refund:1:doubt:1",
     SAGA_COMPLETED, PUBLIC_COMPLETED, "refund.resolve refund:1:doubt:2 <refund:1:doubt:1"},
    {"partially refunded", FLOW_PLAIN, PAID TOLD_COMPLETED "refund:1=accepted/400 refund:1:result=refunded",
     SAGA_COMPLETED, PUBLIC_PARTIALLY_REFUNDED, "notify.send notice:payment.refunded.1:webhook <refund:1:result"},
    {"refund failed", FLOW_PLAIN, PAID TOLD_COMPLETED "refund:1=accepted/1000 refund:1:result=refused", SAGA_COMPLETED,
     PUBLIC_COMPLETED, "notify.send notice:payment.refund_failed.1:webhook <refund:1:result"},
    {"refund failed, told", FLOW_PLAIN,
     PAID TOLD_COMPLETED "refund:1=accepted/1000 refund:1:result=refused notice:payment.refund_failed.1:webhook "
                         "refund:2=accepted/1000",
     SAGA_COMPLETED, PUBLIC_COMPLETED, "refund.resolve refund:2:doubt:0"},
    {"refunded in three", FLOW_DUAL,
     ACTIVE TOLD_COMPLETED "refund:1=accepted/400 refund:1:result=refunded notice:payment.refunded.1:webhook "
                           "refund:2=refused/601 refund:3=accepted/600 refund:3:result=refunded",
     SAGA_COMPLETED, PUBLIC_REFUNDED,
     "notify.send notice:payment.refunded.3:webhook <refund:3:result; "
     "pop.revoke pop:revoked <refund:3:result <refund:1:result; "
     "token.release token:released <refund:3:result <refund:1:result"},
    {"two refunds, newest first", FLOW_PLAIN,
     PAID "refund:1=accepted/400 refund:2=accepted/600 refund:2:doubt:0 refund:1:result=refunded", SAGA_COMPLETED,
     PUBLIC_PARTIALLY_REFUNDED,
     "notify.send notice:payment.completed:webhook <capture; notify.send notice:payment.refunded.1:webhook "
     "<refund:1:result; refund.resolve refund:2:doubt:1 <refund:2:doubt:0"},

    /* given back in full: proof and tokens are taken back, and the payment stays what it was */
    {"given back, not yet taken back", FLOW_DUAL,
     ACTIVE TOLD_COMPLETED
     "refund:1=accepted/400 refund:1:result=refunded refund:2=accepted/600 "
     "refund:2:result=refunded notice:payment.refunded.1:webhook notice:payment.refunded.2:webhook",
     SAGA_COMPLETED, PUBLIC_REFUNDED,
     "pop.revoke pop:revoked <refund:2:result <refund:1:result; "
     "token.release token:released <refund:2:result <refund:1:result"},
    {"given back and taken back", FLOW_DUAL,
     ACTIVE TOLD_COMPLETED "refund:1=accepted/1000 refund:1:result=refunded "
                           "notice:payment.refunded.1:webhook pop:revoked token:released=deactivated",
     SAGA_COMPLETED, PUBLIC_REFUNDED, ""},

    /* facts for people change nothing */
    {"discarded", FLOW_PLAIN,
     PAID TOLD_COMPLETED "dead:" COMMAND_A ":1=authorize.capture replay:" COMMAND_B ":1=discarded", SAGA_COMPLETED,
     PUBLIC_COMPLETED, ""},
    {"replayed", FLOW_PLAIN, PAID TOLD_COMPLETED "dead:" COMMAND_A ":1=authorize.capture replay:" COMMAND_B ":1",
     SAGA_COMPLETED, PUBLIC_COMPLETED, ""},
};

static void load_row(const struct row *row, struct facts *ret)
{
    facts_from_text(ret, row->flow, "webhook", row->facts);
}

static void test_rows(void **state)
{
    (void)state;
    static char text[SAGA_TEXT_SIZE];
    static struct next next;
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct facts facts;
        struct payment p;
        struct err err = {0};
        load_row(&ROWS[i], &facts);
        if (saga_fold(&facts, &p, &err))
            fail_msg("%s: %s", ROWS[i].name, err.text);
        saga_next(&p, &next);
        next_to_text(&next, text);
        if (p.state != ROWS[i].state || p.public != ROWS[i].public || strcmp(text, ROWS[i].next) != 0)
            fail_msg("%s: %s (%s), next: %s", ROWS[i].name, saga_state_text(p.state), public_state_text(p.public),
                     text);
        payment_clear(&p);
        facts_clear(&facts);
    }
}

static void test_every_state_has_a_row(void **state)
{
    (void)state;
    bool states[SAGA_STATE_COUNT] = {0}, publics[PUBLIC_STATE_COUNT] = {0};
    for (size_t i = 0; i < COUNT(ROWS); i++)
        states[ROWS[i].state] = publics[ROWS[i].public] = true;
    for (int i = 0; i < SAGA_STATE_COUNT; i++)
        assert_true(states[i]);
    for (int i = 0; i < PUBLIC_STATE_COUNT; i++)
        assert_true(publics[i]);
}

/* L3: the order in which facts are read means nothing. */
static void test_any_order(void **state)
{
    (void)state;
    enum { SHUFFLES = 60 };
    static char expected[SAGA_TEXT_SIZE], found[SAGA_TEXT_SIZE];
    struct dice dice = {1};
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct facts facts;
        load_row(&ROWS[i], &facts);
        saga_to_text(&facts, expected);
        for (int round = 0; round < SHUFFLES; round++) {
            facts_shuffle(&facts, &dice);
            saga_to_text(&facts, found);
            if (strcmp(found, expected) != 0)
                fail_msg("%s\nin order: %s\nshuffled: %s", ROWS[i].name, expected, found);
        }
        facts_clear(&facts);
    }
}

/* L4: the same command has the same id, whoever says it; another one has another. */
static void test_ids(void **state)
{
    (void)state;
    static struct next next;
    struct facts facts;
    struct payment p;
    struct err err = {0};
    facts_from_text(&facts, FLOW_DUAL, "webhook sms", APPROVED "decision=abort/EXPIRED");
    assert_int_equal(saga_fold(&facts, &p, &err), 0);
    saga_next(&p, &next);
    for (size_t i = 0; i < next.count; i++) {
        const struct follow_up *f = &next.items[i];
        assert_true(uuid_equal(f->id, uuid_follow_up(p.id, f->type, f->slot)));
        for (size_t j = 0; j < i; j++)
            assert_false(uuid_equal(f->id, next.items[j].id));
    }
    payment_clear(&p);
    facts_clear(&facts);
}

/* L4: a delivery publishes what rests on a fact of its own, and nothing else. */
static void test_rests_on(void **state)
{
    (void)state;
    static struct next next;
    struct facts facts;
    struct payment p;
    struct err err = {0};
    facts_from_text(&facts, FLOW_DUAL, "webhook", VALIDATED);
    assert_int_equal(saga_fold(&facts, &p, &err), 0);
    saga_next(&p, &next);
    assert_int_equal(next.count, 1);
    assert_true(follow_up_rests_on(&next.items[0], cause_of("pop")));
    assert_true(follow_up_rests_on(&next.items[0], cause_of("auth:1:result")));
    assert_true(follow_up_rests_on(&next.items[0], cause_of("token:reserved")));
    assert_false(follow_up_rests_on(&next.items[0], cause_of("received")));
    assert_false(follow_up_rests_on(&next.items[0], cause_of("auth:1")));
    payment_clear(&p);
    facts_clear(&facts);

    facts_from_text(&facts, FLOW_PLAIN, "webhook", "received auth:1@received");
    assert_int_equal(saga_fold(&facts, &p, &err), 0);
    saga_next(&p, &next);
    assert_int_equal(next.count, 1);
    assert_false(follow_up_rests_on(&next.items[0], cause_of("received"))); /* its own delivery resumes it */
    payment_clear(&p);
    facts_clear(&facts);
}

static void test_fields(void **state)
{
    (void)state;
    static struct next next;
    struct facts facts;
    struct payment p;
    struct err err = {0};
    facts_from_text(&facts, FLOW_PLAIN, "webhook",
                    "received auth:1 auth:1:result=absent auth:2 auth:2:doubt:0 auth:2:result=approved auth:1:late "
                    "decision=commit:2 capture=captured/900 refund:1=accepted/400 refund:2=accepted/300 "
                    "refund:3=refused/300 refund:1:result=refunded refund:2:result=refused refund:4=accepted/250");
    assert_int_equal(saga_fold(&facts, &p, &err), 0);
    assert_int_equal(p.amount, SAGA_TEXT_AMOUNT);
    assert_string_equal(p.currency, "EUR");
    assert_int_equal(p.captured_amount, 900);
    assert_true(p.captured);
    assert_int_equal(p.commit, 2);
    assert_int_equal(p.authorization_count, 2);
    assert_true(p.authorizations[1].live);
    assert_false(p.authorizations[1].approved);
    assert_true(p.authorizations[2].approved && p.authorizations[2].live);
    assert_int_equal(p.authorizations[2].doubts, 1);
    assert_int_equal(p.refund_count, 4);
    assert_int_equal(p.refund_reserved, 650);
    assert_int_equal(p.refunded, 400);
    assert_int_equal(p.unwind, 0);
    assert_true(p.ended);
    assert_null(p.reason);
    saga_next(&p, &next);
    for (size_t i = 0; i < next.count; i++)
        if (strcmp(next.items[i].slot, "refund:4:doubt:0") == 0)
            assert_int_equal(next.items[i].n, 4);
    payment_clear(&p);
    facts_clear(&facts);
}

static void test_reasons(void **state)
{
    (void)state;
    static const struct {
        enum flow flow;
        const char *facts, *reason;
    } CASES[] = {
        {FLOW_PLAIN, "received auth:1", NULL},
        {FLOW_PLAIN, PAID, NULL},
        {FLOW_PLAIN, "received auth:1 auth:1:result=declined decision=abort/DECLINED", "DECLINED"},
        {FLOW_DUAL, "received decision=abort/DEAD_LETTERED auth:1=closed", "DEAD_LETTERED"},
        {FLOW_DUAL, COMMITTED "capture=refused", "CAPTURE_REFUSED"},
        {FLOW_DUAL, UNWINDING, "ACTIVATION_REFUSED"},
    };
    for (size_t i = 0; i < COUNT(CASES); i++) {
        struct facts facts;
        struct payment p;
        struct err err = {0};
        facts_from_text(&facts, CASES[i].flow, "webhook", CASES[i].facts);
        assert_int_equal(saga_fold(&facts, &p, &err), 0);
        assert_true(!p.reason == !CASES[i].reason);
        if (p.reason)
            assert_string_equal(p.reason, CASES[i].reason);
        payment_clear(&p);
        facts_clear(&facts);
    }
    for (int i = 0; i < REASON_COUNT; i++)
        assert_non_null(reason_text(reason_code((enum reason)i)));
    assert_null(reason_text("BAD_WEATHER"));
}

/* One notice per channel, and one per refund and channel. */
static void test_channels(void **state)
{
    (void)state;
    static const struct {
        const char *channels, *facts, *next;
    } CASES[] = {
        {"", PAID, ""},
        {"webhook sms mail", PAID "notice:payment.completed:sms",
         "notify.send notice:payment.completed:webhook <capture; notify.send notice:payment.completed:mail <capture"},
        {"a b c d", PAID "notice:payment.completed:a notice:payment.completed:b notice:payment.completed:d",
         "notify.send notice:payment.completed:c <capture"},
        {"webhook sms",
         PAID "notice:payment.completed:sms notice:payment.completed:webhook refund:1=accepted/1 "
              "refund:1:result=refunded notice:payment.refunded.1:webhook",
         "notify.send notice:payment.refunded.1:sms <refund:1:result"},
    };
    static char text[SAGA_TEXT_SIZE];
    for (size_t i = 0; i < COUNT(CASES); i++) {
        struct facts facts;
        facts_from_text(&facts, FLOW_PLAIN, CASES[i].channels, CASES[i].facts);
        saga_to_text(&facts, text);
        assert_string_equal(strstr(text, ": ") + 2, CASES[i].next);
        facts_clear(&facts);
    }
}

static void append(char **text, const char *more)
{
    size_t size = strlen(*text), more_size = strlen(more) + 1;
    *text = mem_grow(*text, size + more_size, 1);
    memcpy(*text + size, more, more_size);
}

/* L12: more follow-ups than fit. The newest refunds have to be among them: their deliveries are the ones that look. */
static void test_more_than_fits(void **state)
{
    (void)state;
    enum { OPEN = FOLLOW_UPS_MAX + 10 };
    static struct next next;
    char *text = mem_text(PAID TOLD_COMPLETED), word[64];
    for (int n = 1; n <= OPEN; n++) {
        snprintf(word, sizeof word, "refund:%d=accepted/1 ", n);
        append(&text, word);
    }
    struct facts facts;
    struct payment p;
    struct err err = {0};
    facts_from_text(&facts, FLOW_PLAIN, "webhook", text);
    assert_int_equal(saga_fold(&facts, &p, &err), 0);
    saga_next(&p, &next);
    assert_int_equal(next.count, FOLLOW_UPS_MAX);
    for (int i = 0; i < FOLLOW_UPS_MAX; i++)
        assert_int_equal(next.items[i].n, OPEN - i);
    payment_clear(&p);
    facts_clear(&facts);
    free(text);
}

/* L12: a question without end becomes a person's. */
static void test_doubts_without_end(void **state)
{
    (void)state;
    static char found[SAGA_TEXT_SIZE];
    char *text = mem_text("received auth:1 "), word[64];
    for (int k = 0; k < DOUBTS_MAX; k++) {
        snprintf(word, sizeof word, "auth:1:doubt:%d ", k);
        append(&text, word);
    }
    struct facts facts;
    facts_from_text(&facts, FLOW_PLAIN, "webhook", text);
    saga_to_text(&facts, found);
    assert_string_equal(found, "voting, processing, -, 0/0: ");
    facts.count--; /* without the last one */
    saga_to_text(&facts, found);
    assert_string_equal(found, "voting, processing, -, 0/0: authorize.resolve auth:1:doubt:999 <auth:1:doubt:998");
    facts.count++;
    facts_clear(&facts);
    free(text);
}

/* Every type that is wanted, and no other; "type:n" where it is about an authorization or a refund. */
static const struct {
    enum flow flow;
    const char *facts, *wanted;
} WANTS[] = {
    {FLOW_PLAIN, "", "payment.create"},
    {FLOW_DUAL, "received", "payment.cancel payment.expire payment.compensate pop.confirm token.reserve"},
    {FLOW_DUAL, RESERVED, "payment.cancel payment.expire payment.compensate authorize.start pop.validate pop.confirm"},
    {FLOW_DUAL, RESERVED "auth:1 pop=validated",
     "payment.cancel payment.expire payment.compensate authorize.resolve:1"},
    {FLOW_DUAL, VALIDATED, "payment.cancel payment.expire payment.compensate authorize.capture"},
    {FLOW_DUAL, COMMITTED, "authorize.capture"},
    {FLOW_DUAL, CAPTURED, "token.activate"},
    {FLOW_DUAL, CAPTURED "dead:" COMMAND_A ":1=token.activate", "token.activate token.release"},
    {FLOW_DUAL, ACTIVE "dead:" COMMAND_A ":1=token.activate", "payment.refund pop.commit notify.send"},
    {FLOW_DUAL, ACTIVE "pop:committed", "payment.refund notify.send"},
    {FLOW_DUAL, "received decision=abort/CANCELLED auth:1=closed", "pop.revoke token.release"},
    {FLOW_DUAL, RESERVED "decision=abort/CANCELLED", "pop.revoke token.release"},
    {FLOW_DUAL, VALIDATED "decision=abort/CANCELLED", "authorize.void:1 pop.revoke token.release"},
    {FLOW_DUAL, RESERVED "auth:1 decision=abort/CANCELLED", "authorize.resolve:1 pop.revoke token.release"},
    {FLOW_DUAL, APPROVED "decision=abort/CANCELLED pop:revoked", "authorize.void:1 token.release"},
    {FLOW_DUAL, APPROVED "decision=abort/CANCELLED void:1 " UNDONE, "notify.send"},
    {FLOW_DUAL, COMMITTED "capture=refused", "authorize.void:1 pop.revoke token.release"},
    {FLOW_DUAL, UNWINDING, "payment.unwind pop.revoke token.release"},
    {FLOW_DUAL, UNWINDING UNDONE "refund:1=accepted/1000", "refund.resolve:1"},
    {FLOW_DUAL, UNWINDING UNDONE "refund:1=accepted/1000 refund:1:result=refused", ""},
    {FLOW_PLAIN, "received auth:1 auth:1:result=absent auth:1:late auth:2",
     "payment.cancel payment.expire payment.compensate authorize.resolve:2 authorize.void:1"},
    {FLOW_PLAIN, "received auth:1 decision=abort/CANCELLED", "authorize.resolve:1"},
    {FLOW_PLAIN, PAID, "payment.refund notify.send"},
    {FLOW_PLAIN, PAID "refund:1=accepted/1000", "refund.resolve:1 notify.send"},
    {FLOW_PLAIN, PAID "refund:1=accepted/1000 refund:1:result=refused", "payment.refund notify.send notify.send:1"},
    {FLOW_PLAIN, PAID "refund:1=accepted/600 refund:1:result=refunded refund:2=refused/600",
     "payment.refund notify.send notify.send:1"},
};

static const char *const TYPES[] = {
    "payment.create", "payment.cancel",  "payment.expire",    "payment.compensate", "payment.refund",
    "payment.unwind", "authorize.start", "authorize.resolve", "authorize.capture",  "authorize.void",
    "refund.resolve", "pop.validate",    "pop.revoke",        "token.reserve",      "token.activate",
    "token.release",  "notify.send",     "pop.confirm",       "pop.commit",
};

/* What a list of words holds. */
static bool listed(const char *list, const char *type, int n)
{
    char word[64];
    snprintf(word, sizeof word, n ? "%s:%d" : "%s", type, n);
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

static void test_wants(void **state)
{
    (void)state;
    enum { N_MAX = 3 };
    for (size_t i = 0; i < COUNT(WANTS); i++) {
        struct facts facts;
        struct payment p;
        struct err err = {0};
        facts_from_text(&facts, WANTS[i].flow, "webhook", WANTS[i].facts);
        assert_int_equal(saga_fold(&facts, &p, &err), 0);
        for (size_t t = 0; t < COUNT(TYPES); t++) {
            bool numbered = strstr("authorize.resolve authorize.void refund.resolve notify.send", TYPES[t]);
            for (int n = 0; n <= (numbered ? N_MAX : 0); n++)
                if (saga_wants(&p, TYPES[t], n) != listed(WANTS[i].wanted, TYPES[t], n))
                    fail_msg("%s: %s:%d", WANTS[i].facts, TYPES[t], n);
        }
        assert_true(saga_wants(&p, "payment.look", 0));
        assert_false(saga_wants(&p, "payment.dance", 0));
        payment_clear(&p);
        facts_clear(&facts);
    }
}

/* A death that ended its payment is on nobody's desk: undoing may need the command again. */
static void test_held(void **state)
{
    (void)state;
    struct facts facts;
    struct uuid command, other;
    assert_int_equal(uuid_parse(COMMAND_A, &command), 0);
    assert_int_equal(uuid_parse(COMMAND_B, &other), 0);
    facts_from_text(&facts, FLOW_PLAIN, "webhook", "received dead:" COMMAND_A ":1=authorize.resolve");
    json_t *body = facts.items[facts.count - 1].body;
    json_object_set_new(body, "held", json_true());
    assert_true(saga_held(&facts, command));
    assert_false(saga_held(&facts, other));
    json_object_set_new(body, "held", json_false());
    assert_false(saga_held(&facts, command));
    facts_clear(&facts);
}

/* A step that is delivered what saga_next said must find that it is wanted: otherwise the payment stands still. */
static void test_what_is_said_is_wanted(void **state)
{
    (void)state;
    static struct next next;
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct facts facts;
        struct payment p;
        struct err err = {0};
        load_row(&ROWS[i], &facts);
        assert_int_equal(saga_fold(&facts, &p, &err), 0);
        saga_next(&p, &next);
        for (size_t f = 0; f < next.count; f++)
            if (!saga_wants(&p, next.items[f].type, next.items[f].n))
                fail_msg("%s: %s %s is said but not wanted", ROWS[i].name, next.items[f].type, next.items[f].slot);
        payment_clear(&p);
        facts_clear(&facts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),           cmocka_unit_test(test_every_state_has_a_row),
        cmocka_unit_test(test_any_order),      cmocka_unit_test(test_ids),
        cmocka_unit_test(test_rests_on),       cmocka_unit_test(test_fields),
        cmocka_unit_test(test_reasons),        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_more_than_fits), cmocka_unit_test(test_doubts_without_end),
        cmocka_unit_test(test_wants),          cmocka_unit_test(test_what_is_said_is_wanted),
        cmocka_unit_test(test_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
