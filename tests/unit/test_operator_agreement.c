/* test_operator_agreement.c - workers/operator/agreement: every standing of a payment against all that the others may say
 *
 * The tables below are written from the saga's states, not from the code's tables: a cell is the difference, "" for
 * agreement; '~' before it: only once the payment is at rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "workers/operator/agreement.h" /* before COMMITTED and RESERVED become histories */

#include "tests/unit/saga_text.h"

enum { GRACE_MS = 60000, STAND_STILL_MS = 30000 };
static const int64_t AT_MS = 1795168800000;

#define ABORTING APPROVED "decision=abort/EXPIRED "
#define REFUNDED_IN_PART ACTIVE "pop:committed refund:1=accepted/400 refund:1:result=refunded "
#define GIVEN_BACK ACTIVE "pop:committed refund:1=accepted/1000 refund:1:result=refunded "
#define TAKEN_BACK GIVEN_BACK "token:released=deactivated pop:revoked "
#define UNCAPTURED COMMITTED "capture=refused "

/* one payment with what it was asked for */
struct subject {
    struct facts facts;
    struct payment payment;
    struct agreement_terms terms;
};

static void make(struct subject *s, const char *text, int64_t age_ms)
{
    *s = (struct subject){.terms = {.grace_ms = GRACE_MS, .stand_still_ms = STAND_STILL_MS, .now_ms = AT_MS + age_ms}};
    facts_from_text(&s->facts, FLOW_DUAL, "webhook", text);
    for (size_t i = 0; i < s->facts.count; i++) {
        s->facts.items[i].at_ms = AT_MS;
        if (strcmp(s->facts.items[i].slot, "received") == 0)
            json_object_set_new(s->facts.items[i].body, "tokens", json_pack("{s:s, s:i}", "id", "seat", "quantity", 2));
    }
    struct err err = {0};
    if (saga_fold(&s->facts, &s->payment, &err) != 0)
        fail_msg("%s: %s", text, err.text);
}

static void clear(struct subject *s)
{
    payment_clear(&s->payment);
    facts_clear(&s->facts);
}

/* "NAME who; NAME who" */
static void say(const struct agreement *agreement, char *ret, size_t size)
{
    ret[0] = '\0';
    for (size_t i = 0; i < agreement->count; i++) {
        size_t used = strlen(ret);
        snprintf(ret + used, size - used, "%s%s %s", i ? "; " : "", difference_name(agreement->items[i].kind),
                 agreement->items[i].who);
    }
}

/* What is said of a cell at this age. */
static const char *expected(const char *cell, bool at_rest)
{
    return *cell != '~' ? cell : at_rest ? cell + 1 : "";
}

static void expect(const char *facts, const char *told, const struct agreement *agreement, const char *name,
                   const char *who)
{
    char said[400], wanted[100] = "";
    say(agreement, said, sizeof said);
    if (*name)
        snprintf(wanted, sizeof wanted, "%s %s", name, who);
    if (strcmp(said, wanted) != 0)
        fail_msg("%s, told %s: '%s', not '%s'", facts, told, said, wanted);
}

#define LOST "~RESERVATION_LOST"
#define UNPAID "TOKENS_ACTIVE_NOT_PAID"
#define ODD "TOKENS_DIFFER"
#define INACTIVE "PAID_NOT_ACTIVE"

/* columns as TOKENS_STATUSES: unknown, reserved, refused, active, expired, released, deactivated */
static const struct {
    const char *facts, *cells[TOKENS_STATUS_COUNT];
} TOKENS[] = {
    {"received", {"", "", "", UNPAID, LOST, LOST, ODD}},
    {RESERVED, {LOST, "", LOST, UNPAID, LOST, LOST, ODD}},
    {APPROVED, {LOST, "", LOST, UNPAID, LOST, LOST, ODD}},
    {VALIDATED, {LOST, "", LOST, UNPAID, LOST, LOST, ODD}},
    {COMMITTED, {LOST, "", LOST, UNPAID, LOST, LOST, ODD}}, /* capturing */
    {CAPTURED, {"~" INACTIVE, "", "~" INACTIVE, "", "~" INACTIVE, "~" INACTIVE, INACTIVE}},
    {ACTIVE, {INACTIVE, INACTIVE, INACTIVE, "", INACTIVE, INACTIVE, INACTIVE}},
    {ACTIVE "pop:committed", {INACTIVE, INACTIVE, INACTIVE, "", INACTIVE, INACTIVE, INACTIVE}},
    {REFUNDED_IN_PART, {INACTIVE, INACTIVE, INACTIVE, "", INACTIVE, INACTIVE, INACTIVE}},
    {GIVEN_BACK, {ODD, ODD, ODD, "~ACTIVE_AFTER_REFUND", ODD, ODD, ""}},
    {TAKEN_BACK, {ODD, ODD, ODD, "ACTIVE_AFTER_REFUND", ODD, ODD, ""}},
    {ABORTING, {"", "~RESERVED_AFTER_END", "", UNPAID, "", "", ODD}},
    {"received token:reserved=refused decision=abort/TOKENS_UNAVAILABLE auth:1=closed",
     {"", "~RESERVED_AFTER_END", "", UNPAID, "", "", ODD}},
    {UNCAPTURED, {"", "~RESERVED_AFTER_END", "", UNPAID, "", "", ODD}},
    {UNWINDING, {"", "~RESERVED_AFTER_END", "", UNPAID, "", "", ODD}},
    {ABORTING "token:released", {"RELEASE_FORGOTTEN", "RESERVED_AFTER_END", "", UNPAID, "", "", ODD}},
    {ABORTING UNDONE "void:1=voided", {"RELEASE_FORGOTTEN", "RESERVED_AFTER_END", "", UNPAID, "", "", ODD}},
    {UNCAPTURED UNDONE "void:1=voided", {"RELEASE_FORGOTTEN", "RESERVED_AFTER_END", "", UNPAID, "", "", ODD}},
    {UNWINDING UNDONE "refund:1=accepted/1000 refund:1:result=refunded",
     {"RELEASE_FORGOTTEN", "RESERVED_AFTER_END", "", UNPAID, "", "", ODD}},
};

static void judge_tokens(const char *facts, enum tokens_status status, const char *cell, bool at_rest)
{
    struct subject s;
    struct dual_told told = {.tokens_known = true, .tokens = {.status = status}};
    struct agreement agreement = {0};
    make(&s, facts, at_rest ? GRACE_MS : GRACE_MS - 1);
    agreement_judge_told(&s.facts, &s.payment, &told, &s.terms, &agreement);
    assert_int_equal(agreement.in_flight, !at_rest);
    expect(facts, tokens_status_text(status), &agreement, expected(cell, at_rest), "tokens");
    clear(&s);
}

static void test_every_word_of_the_token_system(void **state)
{
    (void)state;
    for (size_t row = 0; row < COUNT(TOKENS); row++)
        for (int status = 0; status < TOKENS_STATUS_COUNT; status++)
            for (int at_rest = 0; at_rest <= 1; at_rest++)
                judge_tokens(TOKENS[row].facts, (enum tokens_status)status, TOKENS[row].cells[status], at_rest);
}

#define UNDO "~REVOKED_NOT_UNDONE"
#define EARLY "COMMITTED_NOT_PAID"
#define NOT_YET "~NOT_COMMITTED"
#define STANDS "NOT_REVOKED"

/* columns as POP_STANDINGS: unknown, pending, valid, invalid, committed, revoked */
static const struct {
    const char *facts, *cells[POP_STANDING_COUNT];
} PROOFS[] = {
    {"received", {"", "", "", "", EARLY, UNDO}},
    {RESERVED, {"", "", "", "", EARLY, UNDO}},
    {VALIDATED, {"", "", "", "", EARLY, UNDO}},
    {COMMITTED, {"", "", "", "", EARLY, UNDO}},
    {CAPTURED, {"", "", "", "", EARLY, UNDO}},
    {ACTIVE, {NOT_YET, NOT_YET, NOT_YET, NOT_YET, "", "REVOKED_NOT_UNDONE"}},
    {ACTIVE "pop:committed",
     {"NOT_COMMITTED", "NOT_COMMITTED", "NOT_COMMITTED", "NOT_COMMITTED", "", "REVOKED_NOT_UNDONE"}},
    {REFUNDED_IN_PART, {"NOT_COMMITTED", "NOT_COMMITTED", "NOT_COMMITTED", "NOT_COMMITTED", "", "REVOKED_NOT_UNDONE"}},
    {GIVEN_BACK, {"", "~" STANDS, "~" STANDS, "", "~" STANDS, ""}},
    {TAKEN_BACK, {"REVOCATION_FORGOTTEN", STANDS, STANDS, STANDS, STANDS, ""}},
    {ABORTING, {"", "~" STANDS, "~" STANDS, "", EARLY, ""}},
    {UNCAPTURED, {"", "~" STANDS, "~" STANDS, "", EARLY, ""}},
    {UNWINDING, {"", "~" STANDS, "~" STANDS, "", EARLY, ""}},
    {ABORTING "pop:revoked", {"REVOCATION_FORGOTTEN", STANDS, STANDS, STANDS, STANDS, ""}},
    {ABORTING UNDONE "void:1=voided", {"REVOCATION_FORGOTTEN", STANDS, STANDS, STANDS, STANDS, ""}},
};

static struct dual_told told_of_one(enum pop_standing standing, enum pop_verdict vote)
{
    struct dual_told told = {.validator_count = 1};
    snprintf(told.validators[0].name, DUAL_NAME_SIZE, "validator-1");
    told.validators[0].state = (struct pop_state){.known = true, .standing = standing, .vote = vote};
    return told;
}

static void judge_proof(const char *facts, enum pop_standing standing, const char *cell, bool at_rest)
{
    struct subject s;
    struct dual_told told = told_of_one(standing, POP_NO_VOTE);
    struct agreement agreement = {0};
    make(&s, facts, at_rest ? GRACE_MS : GRACE_MS - 1);
    agreement_judge_told(&s.facts, &s.payment, &told, &s.terms, &agreement);
    expect(facts, pop_standing_text(standing), &agreement, expected(cell, at_rest), "validator-1");
    clear(&s);
}

static void test_every_word_of_a_validator(void **state)
{
    (void)state;
    for (size_t row = 0; row < COUNT(PROOFS); row++)
        for (int standing = 0; standing < POP_STANDING_COUNT; standing++)
            for (int at_rest = 0; at_rest <= 1; at_rest++)
                judge_proof(PROOFS[row].facts, (enum pop_standing)standing, PROOFS[row].cells[standing], at_rest);
}

/* ---- votes ---- */

static void hold_vote(struct facts *facts, const char *slot, json_t *body)
{
    for (size_t i = 0; i < facts->count; i++)
        if (strcmp(facts->items[i].slot, slot) == 0)
            json_object_update(facts->items[i].body, body);
    json_decref(body);
}

static void test_votes(void **state)
{
    (void)state;
    static const struct {
        const char *held;
        enum pop_standing standing;
        enum pop_verdict told;
        const char *name;
    } cases[] = {
        {"valid", POP_IS_COMMITTED, POP_VOTE_VALID, ""},
        {"valid", POP_IS_COMMITTED, POP_VOTE_INVALID, "VOTE_DIFFERS"},
        {"valid", POP_IS_COMMITTED, POP_NO_VOTE, "VOTE_MISSING"},
        {"invalid", POP_IS_COMMITTED, POP_VOTE_INVALID, ""},
        {"invalid", POP_IS_COMMITTED, POP_VOTE_VALID, "VOTE_DIFFERS"},
        {"", POP_IS_COMMITTED, POP_VOTE_INVALID, ""}, /* it voted too late to be counted */
        {"", POP_IS_COMMITTED, POP_NO_VOTE, ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (int by_callback = 0; by_callback <= 1; by_callback++) {
            struct subject s;
            struct dual_told told = told_of_one(cases[i].standing, cases[i].told);
            struct agreement agreement = {0};
            json_t *vote = json_pack("{s:s, s:s}", "validator", "validator-1", "verdict", cases[i].held);
            make(&s, ACTIVE "pop:vote:validator-1=valid pop:committed", GRACE_MS);
            hold_vote(&s.facts, by_callback ? "pop:vote:validator-1" : "pop",
                      by_callback ? json_pack("{s:o}", "vote", vote) : json_pack("{s:[o]}", "votes", vote));
            agreement_judge_told(&s.facts, &s.payment, &told, &s.terms, &agreement);
            expect(cases[i].held, pop_standing_text(cases[i].standing), &agreement, cases[i].name, "validator-1");
            clear(&s);
        }
    }
    struct subject s; /* who has forgotten all is told so once */
    struct dual_told told = told_of_one(POP_IS_UNSEEN, POP_NO_VOTE);
    struct agreement agreement = {0};
    make(&s, ACTIVE "pop:committed", GRACE_MS);
    hold_vote(&s.facts, "pop", json_pack("{s:[{s:s, s:s}]}", "votes", "validator", "validator-1", "verdict", "valid"));
    agreement_judge_told(&s.facts, &s.payment, &told, &s.terms, &agreement);
    expect(ACTIVE, "unknown", &agreement, "NOT_COMMITTED", "validator-1");
    clear(&s);
}

/* ---- what was asked for ---- */

static void test_tokens_and_quantity(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        int64_t quantity;
        const char *name, *theirs;
    } cases[] = {{"seat", 2, "", ""},
                 {"seat", 3, "QUANTITY_DIFFERS", "active: 3 of seat"},
                 {"seats", 2, "TOKEN_ID_DIFFERS", "active: 2 of seats"},
                 {"", 0, "", ""}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct subject s;
        struct dual_told told = {.tokens_known = true,
                                 .tokens = {.status = TOKENS_IS_ACTIVE, .quantity = cases[i].quantity}};
        struct agreement agreement = {0};
        snprintf(told.tokens.token_id, sizeof told.tokens.token_id, "%s", cases[i].id);
        make(&s, ACTIVE, 0); /* in flight: it cannot heal */
        agreement_judge_told(&s.facts, &s.payment, &told, &s.terms, &agreement);
        expect(cases[i].id, "active", &agreement, cases[i].name, "tokens");
        if (*cases[i].theirs) {
            assert_string_equal(agreement.items[0].theirs, cases[i].theirs);
            assert_string_equal(agreement.items[0].ours, "received: 2 of seat");
        }
        clear(&s);
    }
}

static void test_no_answer_is_no_difference(void **state)
{
    (void)state;
    struct subject s;
    struct dual_told told = told_of_one(POP_IS_UNSEEN, POP_NO_VOTE);
    struct agreement agreement = {0};
    told.validators[0].state.known = false;
    make(&s, ACTIVE, GRACE_MS);
    agreement_judge_told(&s.facts, &s.payment, &told, &s.terms, &agreement);
    assert_int_equal(agreement.count, 0);
    clear(&s);
}

static void test_both_words_and_their_times(void **state)
{
    (void)state;
    struct subject s;
    struct dual_told told = told_of_one(POP_IS_REVOKED, POP_VOTE_VALID);
    struct agreement agreement = {0};
    told.validators[0].state.changed_at_ms = AT_MS + 5;
    make(&s, ACTIVE "pop:committed", GRACE_MS);
    agreement_judge_told(&s.facts, &s.payment, &told, &s.terms, &agreement);
    assert_int_equal(agreement.count, 1);
    assert_string_equal(agreement.items[0].ours, "pop:committed=committed");
    assert_string_equal(agreement.items[0].theirs, "revoked, vote valid");
    assert_true(agreement.items[0].since_ms == AT_MS && agreement.items[0].their_since_ms == AT_MS + 5);
    for (int kind = 0; kind < DIFFERENCE_KIND_COUNT; kind++)
        assert_true(*difference_name((enum difference_kind)kind) && *difference_remedy((enum difference_kind)kind));
    clear(&s);
}

/* ---- the ledger alone ---- */

static const struct {
    const char *facts;
    int64_t age_ms;
    struct dual_money money;
    const char *said;
} ALONE[] = {
    {ACTIVE, GRACE_MS, {1000, 0}, ""},
    {"received", GRACE_MS, {1000, 0}, "SETTLED_WITHOUT_PROOF ledger"}, /* whatever the facts say (E-24) */
    {"received", 0, {1000, 0}, "SETTLED_WITHOUT_PROOF ledger"},
    {TAKEN_BACK, GRACE_MS, {1000, 1000}, ""},
    {GIVEN_BACK, 0, {1000, 1000}, ""}, /* E-60, under way */
    {GIVEN_BACK, GRACE_MS, {1000, 1000}, "TOKENS_NOT_GIVEN_BACK ledger; PROOF_NOT_TAKEN_BACK ledger"},
    {GIVEN_BACK "token:released=deactivated", GRACE_MS, {1000, 1000}, "PROOF_NOT_TAKEN_BACK ledger"},
    {REFUNDED_IN_PART, GRACE_MS, {1000, 400}, ""},
    {ABORTING, GRACE_MS, {0, 0}, "TOKENS_NOT_GIVEN_BACK ledger; PROOF_NOT_TAKEN_BACK ledger"},
    {ABORTING, GRACE_MS - 1, {0, 0}, ""},
    {ABORTING UNDONE, GRACE_MS, {0, 0}, ""}, /* its void is due */
    {ABORTING UNDONE, GRACE_MS + 1, {0, 0}, "STANDS_STILL ledger"},
    {ABORTING UNDONE "void:1:doubt:0", 100 * GRACE_MS, {0, 0}, ""}, /* is being asked about (L6) */
    {ABORTING UNDONE "void:1=voided", 100 * GRACE_MS, {0, 0}, ""},
    {COMMITTED, GRACE_MS + 1, {0, 0}, "STANDS_STILL ledger"},
    {CAPTURED, GRACE_MS + 1, {1000, 0}, "STANDS_STILL ledger"},
    {RESERVED, 2 * GRACE_MS, {0, 0}, ""}, /* its deadline was at GRACE_MS: the keeper may still be at it */
    {RESERVED, 2 * GRACE_MS + 1, {0, 0}, "PAST_DEADLINE ledger"},
};

static void test_the_ledger_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ALONE); i++) {
        struct subject s;
        struct agreement agreement = {0};
        char said[400];
        make(&s, ALONE[i].facts, ALONE[i].age_ms);
        json_object_set_new(s.payment.received->body, "expiresAt", json_integer(AT_MS + GRACE_MS));
        agreement_judge_ledger(&s.facts, &s.payment, "", &ALONE[i].money, &s.terms, &agreement);
        say(&agreement, said, sizeof said);
        if (strcmp(said, ALONE[i].said) != 0)
            fail_msg("row %zu, %s: '%s', not '%s'", i, ALONE[i].facts, said, ALONE[i].said);
        clear(&s);
    }
}

static void test_facts_that_contradict_each_other(void **state)
{
    (void)state;
    static const struct dual_money money = {0, 0};
    struct facts facts = {0};
    struct payment payment;
    struct err err = {0};
    struct agreement agreement = {0};
    char said[400];
    facts_from_text(&facts, FLOW_DUAL, "", "received decision=commit:1 capture=captured");
    assert_int_equal(saga_fold(&facts, &payment, &err), -1);
    const struct agreement_terms terms = {.now_ms = AT_MS};
    agreement_judge_ledger(&facts, NULL, err.text, &money, &terms, &agreement);
    say(&agreement, said, sizeof said);
    assert_string_equal(said, "SETTLED_WITHOUT_PROOF ledger; FACTS_CONTRADICT ledger");
    payment_clear(&payment);
    facts_clear(&facts);
}

/* ---- who is asked ---- */

static void name_answers(struct facts *facts, const char *slot, const char *first, const char *second)
{
    hold_vote(facts, slot,
              json_pack("{s:[{s:s}, {s:s}, {s:s}]}", "answers", "validator", first, "validator", second, "validator",
                        second));
}

static void test_who_was_asked_then_is_asked_now(void **state)
{
    (void)state;
    struct subject s;
    char names[DUAL_VALIDATORS_MAX][DUAL_NAME_SIZE];
    make(&s, RESERVED, 0);
    assert_int_equal(agreement_validators(&s.payment, names), 0);
    clear(&s);
    make(&s, ACTIVE "pop:committed", 0);
    name_answers(&s.facts, "pop", "a", "b");
    assert_int_equal(agreement_validators(&s.payment, names), 2);
    assert_string_equal(names[1], "b");
    name_answers(&s.facts, "pop:committed", "c", "a"); /* configured since: they were told that it stands */
    assert_int_equal(agreement_validators(&s.payment, names), 2);
    assert_string_equal(names[0], "c");
    clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_word_of_the_token_system),
        cmocka_unit_test(test_every_word_of_a_validator),
        cmocka_unit_test(test_votes),
        cmocka_unit_test(test_tokens_and_quantity),
        cmocka_unit_test(test_no_answer_is_no_difference),
        cmocka_unit_test(test_both_words_and_their_times),
        cmocka_unit_test(test_the_ledger_alone),
        cmocka_unit_test(test_facts_that_contradict_each_other),
        cmocka_unit_test(test_who_was_asked_then_is_asked_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
