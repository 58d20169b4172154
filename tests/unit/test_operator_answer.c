/* test_operator_answer.c - workers/operator/answer: what facts answer to a cancel or a refund */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/saga_text.h"
#include "workers/operator/answer.h"

#define CANCEL "payment.cancel"
#define REFUND "payment.refund"

static const struct {
    const char *type, *cause, *facts;
    enum answer_kind kind;
    const char *part; /* of the text */
} ANSWERS[] = {
    {CANCEL, "decision", "received auth:1", ANSWER_NONE, ""},
    {CANCEL, "decision", "received auth:1 decision=abort/CANCELLED", ANSWER_DONE, "cancelled"},
    {CANCEL, "x", "received auth:1 decision=abort/CANCELLED", ANSWER_REFUSED, "ended before: CANCELLED"},
    {CANCEL, "x", "received auth:1 decision=abort/EXPIRED", ANSWER_REFUSED, "ended before: EXPIRED"},
    {CANCEL, "x", "received auth:1 auth:1:result=approved decision=commit:1", ANSWER_REFUSED, "too late"},
    {CANCEL, "x", PAID, ANSWER_REFUSED, "acquit payment refund"},
    {REFUND, "refund:1", PAID, ANSWER_NONE, ""},
    {REFUND, "x", PAID "refund:1=accepted/5 refund:1:result=refunded", ANSWER_NONE, ""},
    {REFUND, "refund:1", PAID "refund:1=accepted/5", ANSWER_OPEN, "refund:1"},
    {REFUND, "refund:1", PAID "refund:1=accepted/5 refund:1:doubt:0", ANSWER_OPEN, "not answered clearly"},
    {REFUND, "refund:1", PAID "refund:1=accepted/5 refund:1:result=refunded", ANSWER_DONE, "partially_refunded"},
    {REFUND, "refund:2",
     PAID "refund:1=accepted/5 refund:1:result=refunded refund:2=accepted/995 refund:2:result=refunded", ANSWER_DONE,
     "the payment is refunded"},
    {REFUND, "refund:1", PAID "refund:1=accepted/5 refund:1:result=refused", ANSWER_REFUSED, "the provider refused"},
    {REFUND, "refund:1", PAID "refund:1=refused/5", ANSWER_REFUSED, "refused"},
};

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ANSWERS); i++) {
        struct facts facts = {0};
        struct payment payment;
        struct answer answer;
        facts_from_text(&facts, FLOW_PLAIN, "webhook", ANSWERS[i].facts);
        assert_int_equal(saga_fold(&facts, &payment, NULL), 0);
        answer_of(&payment, ANSWERS[i].type, cause_of(ANSWERS[i].cause), "", &answer);
        if (answer.kind != ANSWERS[i].kind || !strstr(answer.text, ANSWERS[i].part))
            fail_msg("row %zu, %s after '%s': %d, '%s'", i, ANSWERS[i].type, ANSWERS[i].facts, (int)answer.kind,
                     answer.text);
        payment_clear(&payment);
        facts_clear(&facts);
    }
}

/* The fact of that slot says what its command's body was, and why it was refused. */
static void note(struct facts *facts, const char *slot, const char *sha256, const char *code)
{
    for (size_t i = 0; i < facts->count; i++)
        if (strcmp(facts->items[i].slot, slot) == 0) {
            json_object_set_new(facts->items[i].body, "sha256", json_string(sha256));
            json_object_set_new(facts->items[i].body, "code", json_string(code));
        }
}

static void assert_says(const char *type, const char *slot, const char *text, const char *sha256, const char *code,
                        enum answer_kind kind, const char *part)
{
    struct facts facts = {0};
    struct payment payment;
    struct answer answer;
    facts_from_text(&facts, FLOW_PLAIN, "webhook", text);
    note(&facts, slot, "aa", code);
    assert_int_equal(saga_fold(&facts, &payment, NULL), 0);
    answer_of(&payment, type, cause_of(slot), sha256, &answer);
    assert_int_equal(answer.kind, kind);
    assert_non_null(strstr(answer.text, part));
    payment_clear(&payment);
    facts_clear(&facts);
}

static void test_another_body_under_the_same_key(void **state)
{
    (void)state;
    const char *cancelled = "received auth:1 decision=abort/CANCELLED";
    const char *refunded = PAID "refund:1=accepted/5 refund:1:result=refunded";
    assert_says(CANCEL, "decision", cancelled, "aa", "cancelled", ANSWER_DONE, "cancelled");
    assert_says(CANCEL, "decision", cancelled, "bb", "cancelled", ANSWER_REFUSED, "another body");
    assert_says(REFUND, "refund:1", refunded, "aa", "", ANSWER_DONE, "refund:1");
    assert_says(REFUND, "refund:1", refunded, "bb", "", ANSWER_REFUSED, "another body");
}

static void test_why_a_refund_is_refused(void **state)
{
    (void)state;
    const char *refused = PAID "refund:1=refused/5000";
    assert_says(REFUND, "refund:1", refused, "aa", "exceeds_capture", ANSWER_REFUSED, "left now");
    assert_says(REFUND, "refund:1", refused, "aa", "not_completed", ANSWER_REFUSED, "is completed now");
    assert_says(REFUND, "refund:1", refused, "aa", "something_new", ANSWER_REFUSED, "something_new");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_another_body_under_the_same_key),
        cmocka_unit_test(test_why_a_refund_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
