/* test_ingress_answers.c - workers/ingress/answer, views, recent: what is said about payments, and what is not */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "tests/unit/saga_text.h"
#include "workers/differing.h"
#include "workers/ingress/answer.h"
#include "workers/ingress/recent.h"
#include "workers/ingress/views.h"

/* -- envelopes */

static const char *header_of(const struct answer *answer, const char *name)
{
    for (size_t i = 0; i < answer->header_count; i++)
        if (strcmp(answer->headers[i].name, name) == 0)
            return answer->headers[i].value;
    return NULL;
}

static void assert_json(const json_t *value, const char *expected)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER);
    assert_string_equal(text, expected);
    free(text);
}

static void test_success(void **state)
{
    (void)state;
    struct answer answer = answer_success(202, "Taken", json_pack("{s:s}", "status", "pending"));
    assert_int_equal(answer.status, 202);
    assert_json(answer.json, "{\"success\":true,\"message\":\"Taken\",\"data\":{\"status\":\"pending\"}}");
    answer_clear(&answer);
    assert_int_equal(answer.status, 0);
}

static void test_failure(void **state)
{
    (void)state;
    struct answer answer = answer_failure(FAILURE_VALIDATION, "amount: %s", "is missing");
    answer_detail(&answer, "amount", "is missing");
    answer_detail(&answer, NULL, "in all");
    assert_int_equal(answer.status, 400);
    assert_json(answer.json, "{\"success\":false,\"error\":\"VALIDATION_ERROR\",\"error_code\":\"VALIDATION_ERROR\","
                             "\"message\":\"amount: is missing\",\"details\":[{\"field\":\"amount\",\"message\":\"is "
                             "missing\"},{\"message\":\"in all\"}]}");
    assert_null(header_of(&answer, "Retry-After"));
    answer_clear(&answer);
}

static void test_fields_are_refused_together(void **state)
{
    (void)state;
    struct answer answer = {0};
    answer_invalid(&answer, "limit", "must be at most %d", 200);
    answer_invalid(&answer, "state", "is none");
    assert_int_equal(answer.status, 400);
    assert_string_equal(json_text(answer.json, "message", ""), "limit: must be at most 200");
    assert_json(
        json_object_get(answer.json, "details"),
        "[{\"field\":\"limit\",\"message\":\"must be at most 200\"},{\"field\":\"state\",\"message\":\"is none\"}]");
    answer_clear(&answer);
}

static void test_failure_that_passes(void **state)
{
    (void)state;
    struct answer answer = answer_failure(FAILURE_UNAVAILABLE, "later");
    assert_int_equal(answer.status, 503);
    assert_int_equal(json_int(answer.json, "retryAfter", 0), RETRY_AFTER_S);
    assert_string_equal(header_of(&answer, "Retry-After"), "30");
    answer_clear(&answer);
}

static void test_failure_with_bytes_that_are_no_text(void **state)
{
    (void)state;
    struct answer answer = answer_failure(FAILURE_NO_PAYMENT, "you have no payment %s", "\xff\xfe");
    answer_detail(&answer, "id", "\xff");
    assert_string_equal(json_text(answer.json, "error", ""), "PAYMENT_NOT_FOUND");
    answer_clear(&answer);
}

static void test_every_failure_has_its_code(void **state)
{
    (void)state;
    for (int i = 0; i < FAILURE_COUNT; i++) {
        const struct failure_kind *kind = failure_kind((enum failure)i);
        assert_in_range(kind->status, 400, 599);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(kind->code, failure_kind((enum failure)k)->code);
    }
}

/* -- views */

struct folded {
    struct facts facts;
    struct payment payment;
};

static void fold(struct folded *folded, enum flow flow, const char *text)
{
    *folded = (struct folded){0};
    struct err err = {0};
    facts_from_text(&folded->facts, flow, "webhook", text);
    assert_int_equal(saga_fold(&folded->facts, &folded->payment, &err), 0);
}

static void forget(struct folded *folded)
{
    payment_clear(&folded->payment);
    facts_clear(&folded->facts);
}

#define PAID "received auth:1 auth:1:result=approved decision=commit:1 capture=captured "

static void test_detail(void **state)
{
    (void)state;
    struct folded folded;
    fold(&folded, FLOW_PLAIN, PAID "refund:1=accepted/400 refund:1:result=refunded refund:2=refused/900");
    json_auto_t *personal = json_pack("{s:s, s:s}", "customerEmail", "a@b.cd", "salt", "00ff");
    json_auto_t *view = view_detail(&folded.facts, &folded.payment, personal);
    assert_string_equal(json_text(view, "status", ""), "partially_refunded");
    assert_int_equal(json_int(view, "amount", 0), SAGA_TEXT_AMOUNT);
    assert_int_equal(json_int(view, "capturedAmount", 0), SAGA_TEXT_AMOUNT);
    assert_int_equal(json_int(view, "refundedAmount", 0), 400);
    assert_int_equal(json_array_size(json_object_get(view, "attempts")), 1);
    assert_json(json_object_get(view, "customer"), "{\"customerEmail\":\"a@b.cd\"}");
    const json_t *refunds = json_object_get(view, "refunds");
    assert_string_equal(json_text(json_array_get(refunds, 0), "status", ""), "completed");
    assert_string_equal(json_text(json_array_get(refunds, 1), "status", ""), "failed");
    assert_true(json_is_null(json_object_get(view, "failure")));
    forget(&folded);
}

static void test_failed_payment_says_why(void **state)
{
    (void)state;
    struct folded folded;
    fold(&folded, FLOW_PLAIN, "received auth:1 auth:1:result=declined decision=abort/DECLINED");
    json_auto_t *view = view_detail(&folded.facts, &folded.payment, NULL);
    assert_string_equal(json_text(view, "status", ""), "failed");
    assert_string_equal(json_text(view, "reason", ""), "DECLINED");
    assert_string_equal(json_text(json_object_get(view, "failure"), "explanation", ""), reason_text("DECLINED"));
    assert_json(json_object_get(view, "customer"), "{}");
    forget(&folded);
}

static void test_doubt_is_not_failure(void **state)
{
    (void)state;
    struct folded folded;
    fold(&folded, FLOW_PLAIN, "received auth:1 auth:1:doubt:0");
    json_auto_t *view = view_detail(&folded.facts, &folded.payment, NULL);
    assert_string_equal(json_text(view, "status", ""), "processing");
    assert_string_equal(json_text(json_array_get(json_object_get(view, "attempts"), 0), "status", ""), "in_doubt");
    forget(&folded);
}

static void test_events_hold_nothing_of_ours(void **state)
{
    (void)state;
    struct folded folded;
    fold(&folded, FLOW_PLAIN, "received auth:1 auth:1:result=approved");
    json_t *body = folded.facts.items[2].body;
    json_object_set_new(body, "provider", json_string("stripe"));
    json_object_set_new(body, "evidence", json_pack("{s:s}", "request", "secret"));
    json_object_set_new(body, "key", json_string("secret"));
    json_object_set_new(body, "code", json_string(""));
    json_auto_t *events = view_events(&folded.facts);
    assert_int_equal(json_array_size(events), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(json_int(json_array_get(events, i), "sequence", 0), (int64_t)i + 1);
    char *text = json_dumps(events, 0);
    assert_null(strstr(text, "secret"));
    assert_null(strstr(text, "code"));
    assert_non_null(strstr(text, "stripe"));
    free(text);
    forget(&folded);
}

static void test_refund_is_found_by_its_command(void **state)
{
    (void)state;
    struct folded folded;
    fold(&folded, FLOW_PLAIN, PAID "refund:1=accepted/400 refund:2=accepted/300");
    assert_int_equal(view_refund_of(&folded.payment, cause_of("refund:2")), 2);
    assert_int_equal(view_refund_of(&folded.payment, cause_of("capture")), 0);
    json_auto_t *view = view_refund(&folded.payment, 2);
    assert_string_equal(json_text(view, "status", ""), "processing");
    assert_int_equal(json_int(view, "amount", 0), 300);
    forget(&folded);
}

static void test_differing_fields_are_named(void **state)
{
    (void)state;
    json_auto_t *received =
        json_pack("{s:i, s:s, s:s, s:s}", "amount", 5, "currency", "EUR", "flow", "plain", "sha256", "x");
    json_auto_t *body = json_pack("{s:i, s:s, s:s}", "amount", 6, "currency", "EUR", "customerEmail", "z");
    json_auto_t *names = differing_create(received, body);
    assert_json(names, "[\"amount\",\"customerEmail\"]");
}

/* -- recent */

static struct accepted accepted_of(int i, const struct publisher_config *publisher)
{
    char key[32];
    snprintf(key, sizeof key, "key %d", i);
    return (struct accepted){.id = uuid_payment("shop", key), .publisher = publisher, .amount = i, .at_ms = i + 1};
}

static void test_recent(void **state)
{
    (void)state;
    const struct publisher_config shop = {.name = "shop"}, other = {.name = "other"};
    struct recent *recent = recent_new();
    enum { MANY = 2 * RECENT_SETS * RECENT_WAYS };
    for (int i = 0; i < MANY; i++) {
        struct accepted accepted = accepted_of(i, &shop);
        recent_add(recent, &accepted);
        const struct accepted *found = recent_find(recent, accepted.id, &shop);
        assert_non_null(found);
        assert_int_equal(found->amount, i);
        assert_null(recent_find(recent, accepted.id, &other)); /* others' look unknown */
    }
    int newest = 0;
    for (int i = MANY - RECENT_SETS / 4; i < MANY; i++)
        newest += recent_find(recent, accepted_of(i, &shop).id, &shop) != NULL;
    assert_int_equal(newest, RECENT_SETS / 4); /* what was just added is not what makes room */
    assert_null(recent_find(recent, accepted_of(0, &shop).id, &shop));
    recent_free(recent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_success),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_fields_are_refused_together),
        cmocka_unit_test(test_failure_that_passes),
        cmocka_unit_test(test_failure_with_bytes_that_are_no_text),
        cmocka_unit_test(test_every_failure_has_its_code),
        cmocka_unit_test(test_detail),
        cmocka_unit_test(test_failed_payment_says_why),
        cmocka_unit_test(test_doubt_is_not_failure),
        cmocka_unit_test(test_events_hold_nothing_of_ours),
        cmocka_unit_test(test_refund_is_found_by_its_command),
        cmocka_unit_test(test_differing_fields_are_named),
        cmocka_unit_test(test_recent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
