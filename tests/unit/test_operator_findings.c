/* test_operator_findings.c - workers/operator/findings, completion: how doctor judges, what bash is told */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "tests/unit/saga_text.h"
#include "workers/operator/completion.h"
#include "workers/operator/findings.h"

static const char *state_at(const json_t *findings, size_t i)
{
    return json_text(json_array_get(findings, i), "state", "");
}

static void test_remedies_only_where_one_is_needed(void **state)
{
    (void)state;
    json_auto_t *findings = json_array();
    finding_add(findings, "a", HEALTH_OK, "nothing to do", "fine");
    finding_add(findings, "b", HEALTH_WARNING, "do", "%d things", 2);
    assert_true(findings_good(findings));
    assert_null(json_object_get(json_array_get(findings, 0), "remedy"));
    assert_string_equal(json_text(json_array_get(findings, 1), "detail", ""), "2 things");
    finding_add(findings, "c", HEALTH_PROBLEM, NULL, "\xff");
    assert_false(findings_good(findings));
    assert_int_equal(json_array_size(findings), 3);

    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    findings_print(findings, out);
    fclose(out);
    assert_non_null(strstr(text, "ok       a"));
    assert_non_null(strstr(text, "problem  c"));
    free(text);
}

static void test_partitions(void **state)
{
    (void)state;
    static const struct {
        int64_t days;
        const char *state;
    } rows[] = {{400, "ok"}, {100, "ok"}, {99, "warning"}, {1, "warning"}, {0, "problem"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_auto_t *findings = json_array();
        judge_partitions(findings, rows[i].days);
        assert_string_equal(state_at(findings, 0), rows[i].state);
        assert_int_equal(json_object_get(json_array_get(findings, 0), "remedy") != NULL, rows[i].days < 100);
    }
}

static void test_clock(void **state)
{
    (void)state;
    static const struct {
        int64_t database_ms;
        const char *state, *part;
    } rows[] = {
        {10000, "ok", " 0 ms"},         {10500, "ok", " 0 ms"},
        {12499, "ok", "1999 ms ahead"}, {12500, "problem", "2000 ms ahead"},
        {8001, "ok", "1999 ms behind"}, {8000, "problem", "2000 ms behind"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_auto_t *findings = json_array();
        judge_clock(findings, 10000, rows[i].database_ms, 10500);
        assert_string_equal(state_at(findings, 0), rows[i].state);
        assert_non_null(strstr(json_text(json_array_get(findings, 0), "detail", ""), rows[i].part));
    }
}

static void test_role(void **state)
{
    (void)state;
    json_auto_t *findings = json_array();
    judge_role(findings, "view", true, false, false);
    judge_role(findings, "fleet", true, true, false);
    judge_role(findings, "owner", true, true, true);
    judge_role(findings, "nobody", false, false, false);
    assert_string_equal(state_at(findings, 0), "ok");
    assert_string_equal(state_at(findings, 1), "ok");
    assert_string_equal(state_at(findings, 2), "warning");
    assert_string_equal(state_at(findings, 3), "problem");
    assert_non_null(strstr(json_text(json_array_get(findings, 1), "detail", ""), "fleet reads and inserts"));
}

static void test_topology(void **state)
{
    (void)state;
    json_auto_t *none = json_array(), *many = json_array(), *findings = json_array();
    judge_topology(findings, none);
    assert_string_equal(state_at(findings, 0), "ok");
    for (int i = 0; i < DIFFERENCES_SHOWN + 3; i++)
        json_array_append_new(many, json_pack("{s:s, s:s, s:b, s:n, s:s}", "object", "queue q", "field", "exists",
                                              "expected", 1, "found", "remedy", "mend it"));
    json_array_clear(findings);
    judge_topology(findings, many);
    assert_int_equal(json_array_size(findings), DIFFERENCES_SHOWN + 1);
    assert_string_equal(json_text(json_array_get(findings, 0), "detail", ""), "queue q: exists: null, expected true");
    assert_string_equal(json_text(json_array_get(findings, 0), "remedy", ""), "mend it");
    assert_non_null(strstr(json_text(json_array_get(findings, DIFFERENCES_SHOWN), "detail", ""), "3 further"));
}

static json_t *queue(const char *name, int consumers, int messages)
{
    return json_pack("{s:s, s:i, s:i}", "name", name, "consumers", consumers, "messages", messages);
}

static json_t *whole_fleet(void)
{
    json_t *queues = json_array();
    static const char *const names[] = {"authorize", "pop-validate", "token-activate",
                                        "refund",    "notify",       "compensate"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char name[64];
        snprintf(name, sizeof name, "acquit.%s", names[i]);
        json_array_append_new(queues, queue(name, 2, 7));
        snprintf(name, sizeof name, "acquit.dead.%s", names[i]);
        json_array_append_new(queues, queue(name, 1, 0));
    }
    json_array_append_new(queues, queue("acquit.unroutable", 1, 0));
    return queues;
}

/* The fleet with this queue instead. */
static void assert_queues(json_t *instead, bool dual, const char *health, const char *part)
{
    json_auto_t *queues = whole_fleet(), *findings = json_array();
    for (size_t i = 0; i < json_array_size(queues); i++)
        if (strcmp(json_text(json_array_get(queues, i), "name", ""), json_text(instead, "name", "")) == 0)
            json_array_set(queues, i, instead);
    judge_queues(findings, queues, dual);
    size_t found = 0;
    for (size_t i = 0; i < json_array_size(findings); i++)
        if (strstr(json_text(json_array_get(findings, i), "detail", ""), part)) {
            found++;
            assert_string_equal(state_at(findings, i), health);
        }
    assert_int_equal(found, 1);
    assert_int_equal(findings_good(findings), strcmp(health, "problem") != 0);
    json_decref(instead);
}

static void test_queues(void **state)
{
    (void)state;
    assert_queues(queue("acquit.refund", 2, 7), true, "ok", "acquit.refund: 2 consumers, 7 messages");
    assert_queues(queue("acquit.refund", 0, 0), true, "problem", "acquit.refund: no consumers");
    assert_queues(queue("acquit.pop-validate", 0, 0), true, "problem", "acquit.pop-validate: no consumers");
    assert_queues(queue("acquit.pop-validate", 0, 0), false, "ok", "acquit.pop-validate: no consumers");
    assert_queues(queue("acquit.pop-validate", 0, 1), false, "problem", "acquit.pop-validate: no consumers");
    assert_queues(queue("acquit.dead.refund", 1, 3), true, "warning", "acquit.dead.refund: 3 messages");
    assert_queues(queue("acquit.dead.refund", 0, 3), true, "problem", "acquit.dead.refund: 3 messages");
    assert_queues(queue("acquit.unroutable", 0, 1), true, "problem", "acquit.unroutable: 1 messages");
}

static void test_books(void **state)
{
    (void)state;
    json_auto_t *good =
        json_pack("[{s:s, s:i}, {s:s, s:i}]", "currency", "EUR", "balance", 5, "currency", "EUR", "balance", -5);
    json_auto_t *bad =
        json_pack("[{s:s, s:i}, {s:s, s:i}]", "currency", "EUR", "balance", 5, "currency", "XOF", "balance", 0);
    json_auto_t *findings = json_array();
    judge_balance(findings, good);
    assert_string_equal(state_at(findings, 0), "ok");
    judge_balance(findings, bad);
    assert_int_equal(json_array_size(findings), 2);
    assert_string_equal(state_at(findings, 1), "problem");
    assert_non_null(strstr(json_text(json_array_get(findings, 1), "detail", ""), "EUR sums to 5"));
}

static void test_transit(void **state)
{
    (void)state;
    json_auto_t *rows = json_array();
    json_auto_t *findings = json_array();
    judge_transit(findings, rows);
    assert_string_equal(state_at(findings, 0), "ok");
    for (int i = 0; i < DIFFERENCES_SHOWN + 3; i++)
        json_array_append_new(rows, json_pack("{s:s, s:s, s:i, s:i, s:b, s:{s:i}}", "account", "in_doubt:p", "currency",
                                              "TND", "amount", 1500, "limitMs", 60000, "over", i > 0, "oldest", "ageMs",
                                              61000));
    judge_transit(findings, rows);
    assert_int_equal(json_array_size(findings), 1 + DIFFERENCES_SHOWN + 1);
    assert_string_equal(state_at(findings, 1), "warning");
    assert_string_equal(json_text(json_array_get(findings, 1), "detail", ""),
                        "in_doubt:p has 1.500 TND, the oldest for 1 min 1 s; its limit is 1 min 0 s");
    assert_non_null(strstr(json_text(json_array_get(findings, 1 + DIFFERENCES_SHOWN), "detail", ""), "2 further ones"));
}

static void test_standing_still(void **state)
{
    (void)state;
    static const struct {
        const char *facts;
        int64_t after_ms;
        bool still;
    } rows[] = {
        {"received auth:1", 1001, true}, /* it has to be asked what became of it */
        {"received auth:1 auth:1:result=approved", 1000, false},
        {"received auth:1 auth:1:result=approved", 1001, true},
        {PAID TOLD_COMPLETED, 1000000, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct facts facts = {0};
        struct payment payment;
        facts_from_text(&facts, FLOW_PLAIN, "webhook", rows[i].facts);
        for (size_t k = 0; k < facts.count; k++)
            facts.items[k].at_ms = 5000 + (int64_t)k;
        int64_t newest_ms = 5000 + (int64_t)facts.count - 1;
        assert_int_equal(saga_fold(&facts, &payment, NULL), 0);
        if (stands_still(&facts, &payment, 1000, newest_ms + rows[i].after_ms) != rows[i].still)
            fail_msg("row %zu: '%s'", i, rows[i].facts);
        payment_clear(&payment);
        facts_clear(&facts);
    }
}

static void test_open_cases(void **state)
{
    (void)state;
    json_auto_t *findings = json_array(), *none = json_array();
    json_auto_t *cases =
        json_pack("[{s:s, s:s, s:s, s:i, s:s, s:i}, {s:s}]", "paymentId", COMMAND_A, "slot", "capture", "provider",
                  "stripe", "amount", 2100, "currency", "EUR", "ageMs", 90000000, "slot", "void:1");
    judge_cases(findings, none);
    judge_cases(findings, cases);
    assert_string_equal(json_text(json_array_get(findings, 0), "state", ""), "ok");
    const json_t *told = json_array_get(findings, 1);
    assert_string_equal(json_text(told, "state", ""), "warning");
    assert_string_equal(json_text(told, "detail", ""),
                        "2 wait for a person, the oldest for 1 d 1 h: capture of tx_11111111222283338444555555555555, "
                        "21.00 EUR at stripe");
}

/* Every command and every option of the table is offered. */
static void test_completion(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    completion_print(out);
    fclose(out);
    for (size_t i = 0; command_row(i); i++) {
        char line[128];
        bool two = strchr(command_row(i)->words, ' ') != NULL;
        snprintf(line, sizeof line, "        '%s'%s) options='", command_row(i)->words, two ? "" : "\\ *");
        const char *found = strstr(text, line);
        assert_non_null(found);
        const char *end = strchr(found, '\n');
        for (const struct option_row *row = command_row(i)->options; row && row->name; row++) {
            snprintf(line, sizeof line, "--%s ", row->name);
            const char *option = strstr(found, line);
            assert_true(option && option < end);
        }
    }
    assert_non_null(
        strstr(text, "'payment show') options='--personal --config --json --help' values='--config' ids='payment'"));
    assert_non_null(strstr(text, "ids='dlq'"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remedies_only_where_one_is_needed),
        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_role),
        cmocka_unit_test(test_topology),
        cmocka_unit_test(test_queues),
        cmocka_unit_test(test_books),
        cmocka_unit_test(test_transit),
        cmocka_unit_test(test_standing_still),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_open_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
