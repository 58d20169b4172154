/* test_project.c - what histories give in the tables of schema view, and that the order of the facts does not matter (L3) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "ledger/project.h"
#include "tests/unit/saga_sim.h"
#include "tests/unit/saga_text.h"

#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
enum { HISTORIES = 500 }; /* slow builds */
#else
enum { HISTORIES = 5000 };
#endif
enum { SHUFFLES = 3 };

#define BEGAN_MS INT64_C(1700000000000)

/* --- histories --- */

static struct fact *fact_of(struct facts *facts, const char *slot)
{
    for (size_t i = 0; i < facts->count; i++)
        if (strcmp(facts->items[i].slot, slot) == 0)
            return &facts->items[i];
    return NULL;
}

/* Adds members to the body of a fact, if the history has it; takes `members`. */
static void say(struct facts *facts, const char *slot, json_t *members)
{
    struct fact *fact = fact_of(facts, slot);
    assert_non_null(members);
    if (fact)
        json_object_update(fact->body, members);
    json_decref(members);
}

/* What the farm writes into the bodies, as far as it is projected. */
static void history(struct facts *ret, enum flow flow, const char *text)
{
    static const char *const providers[] = {"simulated", "stripe", "third"};
    char slot[SLOT_SIZE];
    facts_from_text(ret, flow, "", text);
    for (size_t i = 0; i < ret->count; i++)
        ret->items[i].at_ms = BEGAN_MS + 1000 * ret->items[i].seq;
    say(ret, "received",
        json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:I, s:{s:s, s:s}, s:{s:s}}", "publisher", "shop", "messageId", "k",
                  "merchant", "m-1", "commissionPpm", 25000, "paymentMethod", "card", "customerId", "c-1", "expiresAt",
                  BEGAN_MS + 60000, "reference", "type", "event", "id", "e-17", "metadata", "cart", "9"));
    for (int n = 1; n <= 3; n++) {
        snprintf(slot, sizeof slot, "auth:%d", n);
        say(ret, slot, json_pack("{s:s}", "provider", providers[n - 1]));
        snprintf(slot, sizeof slot, "auth:%d:result", n);
        struct fact *result = fact_of(ret, slot);
        bool approved = result && strcmp(result->outcome, "approved") == 0;
        say(ret, slot,
            json_pack("{s:s, s:s, s:s, s:{s:i, s:s, s:s, s:s}}", "reference", approved ? "pi_1" : "", "code",
                      approved ? "" : "card_declined", "message", approved ? "" : "Your card was declined.", "evidence",
                      "status", 200, "requestSha256", "aa", "answerSha256", "bb", "cardholder", "never shown"));
    }
    snprintf(slot, sizeof slot, "decision");
    struct fact *decision = fact_of(ret, slot);
    if (decision)
        decision->actor = strdup("shop");
}

/* --- rows as text --- */

static json_t *row(const struct projection *projection, enum view_table table, size_t i)
{
    return json_array_get(projection->rows[table], i);
}

static const char *text(const struct projection *projection, enum view_table table, size_t i, const char *column)
{
    return json_text(row(projection, table, i), column, "-");
}

static int64_t number(const struct projection *projection, enum view_table table, size_t i, const char *column)
{
    return json_int(row(projection, table, i), column, -1);
}

/* "declined approved" */
static const char *words(const struct projection *projection, enum view_table table, char ret[static 256])
{
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < json_array_size(projection->rows[table]); i++)
        used += (size_t)snprintf(ret + used, 256 - used, "%s%s", i ? " " : "", text(projection, table, i, "status"));
    return ret;
}

#define DECLINED_ONCE "received auth:1 auth:1:result=declined auth:2 "
#define PAID_IN_TWO DECLINED_ONCE "auth:2:result=approved decision=commit:2 capture=captured/1000 "
#define FIRST_PART PAID "refund:1=accepted/400 "
#define SECOND_PART FIRST_PART "refund:1:result=refunded refund:2=accepted/600 "

static const struct {
    enum flow flow;
    const char *history, *status, *attempts, *refunds, *commissions, *provider, *reason;
} HISTORIES_KNOWN[] = {
    {FLOW_PLAIN, "received", "processing", "", "", "", "-", "-"},
    {FLOW_PLAIN, "received auth:1", "processing", "processing", "", "", "simulated", "-"},
    {FLOW_PLAIN, "received auth:1 auth:1:doubt:0 auth:1:doubt:1", "processing", "in_doubt", "", "", "simulated", "-"},
    {FLOW_PLAIN, "received auth:1 auth:1:action auth:1:doubt:0", "requires_action", "in_doubt", "", "", "simulated",
     "-"},
    {FLOW_PLAIN, DECLINED_ONCE, "processing", "declined processing", "", "", "stripe", "-"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved decision=commit:1", "authorized", "approved", "", "",
     "simulated", "-"},
    {FLOW_PLAIN, PAID, "completed", "approved", "", "completed", "simulated", "-"},
    {FLOW_PLAIN, PAID_IN_TWO, "completed", "declined approved", "", "completed", "stripe", "-"},
    {FLOW_PLAIN, FIRST_PART, "completed", "approved", "processing", "completed", "simulated", "-"},
    {FLOW_PLAIN, FIRST_PART "refund:1:doubt:0", "completed", "approved", "processing", "completed", "simulated", "-"},
    {FLOW_PLAIN, FIRST_PART "refund:1:result=refunded", "partially_refunded", "approved", "completed",
     "partially_reversed", "simulated", "-"},
    {FLOW_PLAIN, FIRST_PART "refund:1:result=refused", "completed", "approved", "failed", "completed", "simulated",
     "-"},
    {FLOW_PLAIN, SECOND_PART "refund:2:result=refunded refund:3=refused/1", "refunded", "approved",
     "completed completed failed", "reversed", "simulated", "-"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=declined decision=abort/DECLINED", "failed", "declined", "", "",
     "simulated", "DECLINED"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=absent auth:2 auth:2:result=cancelled decision=abort/DECLINED",
     "failed", "absent cancelled", "", "", "stripe", "DECLINED"},
    {FLOW_PLAIN, "received auth:1=closed decision=abort/CANCELLED", "cancelled", "", "", "", "-", "CANCELLED"},
    {FLOW_PLAIN, "received auth:1 decision=abort/CANCELLED auth:1:result=approved", "processing", "approved", "", "",
     "simulated", "CANCELLED"},
    {FLOW_PLAIN, "received auth:1 decision=abort/CANCELLED auth:1:result=approved void:1=voided", "cancelled", "voided",
     "", "", "simulated", "CANCELLED"},
    {FLOW_PLAIN, "received auth:1 decision=abort/EXPIRED auth:1:result=absent auth:1:late void:1=expired", "failed",
     "expired", "", "", "simulated", "EXPIRED"},
    {FLOW_PLAIN, "received auth:1 decision=abort/EXPIRED auth:1:result=absent auth:1:late", "failed", "approved", "",
     "", "simulated", "EXPIRED"},
    {FLOW_PLAIN, "received auth:1 auth:1:result=approved decision=commit:1 capture=refused void:1=nothing", "failed",
     "nothing", "", "", "simulated", "CAPTURE_REFUSED"},
    {FLOW_DUAL, "received", "processing", "", "", "", "-", "-"},
    {FLOW_DUAL, CAPTURED, "processing", "approved", "", "completed", "simulated", "-"},
    {FLOW_DUAL, ACTIVE, "completed", "approved", "", "completed", "simulated", "-"},
    {FLOW_DUAL, UNWINDING "refund:1=accepted/1000 refund:1:result=refunded " UNDONE, "failed", "approved", "completed",
     "reversed", "simulated", "ACTIVATION_REFUSED"},
};

/* Each refund's share of the commission, as book_refund_share() fixes it: 2.5 % of the whole. */
static void share_commission(struct facts *facts)
{
    char slot[SLOT_SIZE];
    for (int n = 1; n <= 3; n++) {
        snprintf(slot, sizeof slot, "refund:%d", n);
        const struct fact *fact = fact_of(facts, slot);
        if (fact)
            say(facts, slot,
                json_pack("{s:I, s:s}", "commission", (json_int_t)(json_int(fact->body, "amount", 0) / 40), "reason",
                          "one seat less"));
    }
}

static void test_histories(void **state)
{
    (void)state;
    bool seen[PUBLIC_STATE_COUNT] = {[PUBLIC_PENDING] = true}; /* before `received`: no row */
    for (size_t i = 0; i < COUNT(HISTORIES_KNOWN); i++) {
        struct facts facts;
        struct projection projection;
        char list[256];
        projection_init(&projection);
        history(&facts, HISTORIES_KNOWN[i].flow, HISTORIES_KNOWN[i].history);
        share_commission(&facts);
        if (!project(&facts, &projection))
            fail_msg("%s: contradicts itself", HISTORIES_KNOWN[i].history);
        assert_int_equal(json_array_size(projection.rows[VIEW_PAYMENT]), 1);
        assert_string_equal(text(&projection, VIEW_PAYMENT, 0, "status"), HISTORIES_KNOWN[i].status);
        assert_string_equal(words(&projection, VIEW_ATTEMPT, list), HISTORIES_KNOWN[i].attempts);
        assert_string_equal(words(&projection, VIEW_REFUND, list), HISTORIES_KNOWN[i].refunds);
        assert_string_equal(words(&projection, VIEW_COMMISSION, list), HISTORIES_KNOWN[i].commissions);
        assert_string_equal(text(&projection, VIEW_PAYMENT, 0, "provider"), HISTORIES_KNOWN[i].provider);
        assert_string_equal(text(&projection, VIEW_PAYMENT, 0, "reason"), HISTORIES_KNOWN[i].reason);
        assert_int_equal(number(&projection, VIEW_PAYMENT, 0, "facts"), facts.count);
        for (size_t n = 0; n < json_array_size(projection.rows[VIEW_ATTEMPT]); n++)
            assert_int_equal(number(&projection, VIEW_ATTEMPT, n, "attempt_number"), n + 1);
        for (int s = 0; s < PUBLIC_STATE_COUNT; s++)
            seen[s] = seen[s] || strcmp(public_state_text((enum public_state)s), HISTORIES_KNOWN[i].status) == 0;
        projection_clear(&projection);
        facts_clear(&facts);
    }
    for (int s = 0; s < PUBLIC_STATE_COUNT; s++)
        if (!seen[s])
            fail_msg("no history ends in %s", public_state_text((enum public_state)s));
}

/* One row of each table, cell by cell. */
static void test_cells(void **state)
{
    (void)state;
    static const char *const expected[VIEW_TABLE_COUNT] = {
        [VIEW_PAYMENT] =
            "{\"amount\":1000,\"captured_amount\":1000,\"contradiction\":false,\"created_at\":\"2023-11-14T22:13:21."
            "000Z\","
            "\"currency\":\"EUR\",\"customer_id\":\"c-1\",\"decided_at\":\"2023-11-14T22:13:26.000Z\","
            "\"decided_by\":\"shop\","
            "\"expires_at\":\"2023-11-14T22:14:20.000Z\",\"exponent\":2,\"facts\":9,\"flow\":\"plain\","
            "\"merchant\":\"m-1\",\"metadata\":{\"cart\":\"9\"},"
            "\"payment_id\":\"ac901701-0203-8404-8505-060708090a0b\",\"payment_method\":\"card\","
            "\"provider\":\"stripe\",\"provider_reference\":\"pi_1\",\"publisher\":\"shop\","
            "\"reference_id\":\"e-17\",\"reference_type\":\"event\",\"refunded_amount\":400,\"seq\":1,"
            "\"status\":\"partially_refunded\",\"updated_at\":\"2023-11-14T22:13:29.000Z\"}",
        [VIEW_ATTEMPT] =
            "{\"attempt_id\":\"?\",\"attempt_number\":1,\"created_at\":\"2023-11-14T22:13:22.000Z\",\"doubts\":0,"
            "\"error_code\":\"card_declined\",\"error_message\":\"Your card was declined.\","
            "\"gateway_response\":{\"answerSha256\":\"bb\",\"requestSha256\":\"aa\",\"status\":200},"
            "\"payment_id\":\"ac901701-0203-8404-8505-060708090a0b\",\"provider\":\"simulated\","
            "\"status\":\"declined\",\"updated_at\":\"2023-11-14T22:13:23.000Z\"}",
        [VIEW_REFUND] = "{\"amount\":400,\"commission_amount\":10,\"created_at\":\"2023-11-14T22:13:28.000Z\","
                        "\"doubts\":0,"
                        "\"payment_id\":\"ac901701-0203-8404-8505-060708090a0b\","
                        "\"reason\":\"one seat less\",\"refund_id\":\"?\",\"refund_number\":1,\"status\":\"completed\","
                        "\"updated_at\":\"2023-11-14T22:13:29.000Z\"}",
        [VIEW_COMMISSION] =
            "{\"amount\":25,\"capture_number\":1,\"commission_id\":\"?\",\"created_at\":\"2023-11-14T22:13:27.000Z\","
            "\"payment_id\":\"ac901701-0203-8404-8505-060708090a0b\",\"rate_ppm\":25000,\"reversed_amount\":10,"
            "\"status\":\"partially_reversed\",\"type\":\"ticket_sale\",\"updated_at\":\"2023-11-14T22:13:29.000Z\"}",
    };
    struct facts facts;
    struct projection projection;
    projection_init(&projection);
    history(&facts, FLOW_PLAIN, PAID_IN_TWO "refund:1=accepted/400 refund:1:result=refunded");
    share_commission(&facts);
    say(&facts, "auth:2:result", json_pack("{s:s}", "code", "00")); /* no error */
    assert_true(project(&facts, &projection));
    assert_string_equal(text(&projection, VIEW_ATTEMPT, 1, "status"), "approved");
    assert_string_equal(text(&projection, VIEW_ATTEMPT, 1, "error_code"), "-");
    for (int table = 0; table < VIEW_TABLE_COUNT; table++) {
        static const char *const ids[] = {"attempt_id", "refund_id", "commission_id"};
        json_t *cells = json_deep_copy(row(&projection, (enum view_table)table, 0));
        for (size_t i = 0; i < COUNT(ids); i++)
            if (json_object_get(cells, ids[i]))
                json_object_set_new(cells, ids[i], json_string("?"));
        char *found = json_encode(cells);
        assert_string_equal(found, expected[table]);
        free(found);
        json_decref(cells);
    }
    projection_clear(&projection);
    facts_clear(&facts);
}

/* Nothing before `received`; one row for facts that contradict each other, and nothing concluded from them. */
static void test_nothing_concluded(void **state)
{
    (void)state;
    struct facts facts;
    struct projection projection;
    projection_init(&projection);
    facts_from_text(&facts, FLOW_PLAIN, "", "dead:" COMMAND_A ":1=payment.refund");
    assert_true(project(&facts, &projection));
    facts_clear(&facts);
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        assert_int_equal(json_array_size(projection.rows[table]), 0);
    history(&facts, FLOW_PLAIN, PAID "void:1=voided refund:1=accepted/5");
    assert_false(project(&facts, &projection));
    facts_clear(&facts);
    assert_string_equal(text(&projection, VIEW_PAYMENT, 0, "status"), "processing");
    assert_true(json_is_true(json_object_get(row(&projection, VIEW_PAYMENT, 0), "contradiction")));
    assert_int_equal(number(&projection, VIEW_PAYMENT, 0, "captured_amount"), 0);
    for (int table = VIEW_ATTEMPT; table < VIEW_TABLE_COUNT; table++)
        assert_int_equal(json_array_size(projection.rows[table]), 0);
    projection_clear(&projection);
}

/* What nobody should have written gives rows that the tables take. */
static void test_strange_bodies(void **state)
{
    (void)state;
    struct facts facts;
    struct projection projection;
    projection_init(&projection);
    history(&facts, FLOW_PLAIN, PAID);
    say(&facts, "received",
        json_pack("{s:i, s:I, s:I, s:s, s:s, s:s}", "publisher", 7, "expiresAt", INT64_MAX, "commissionPpm", INT64_MAX,
                  "paymentMethod", "cash", "metadata", "none", "reference", "none"));
    fact_of(&facts, "received")->at_ms = INT64_MIN;
    assert_true(project(&facts, &projection));
    assert_string_equal(text(&projection, VIEW_PAYMENT, 0, "publisher"), "");
    assert_string_equal(text(&projection, VIEW_PAYMENT, 0, "created_at"), "1970-01-01T00:00:00.001Z");
    static const char *const none[] = {"expires_at", "payment_method", "metadata", "reference_id"};
    for (size_t i = 0; i < COUNT(none); i++)
        assert_null(json_object_get(row(&projection, VIEW_PAYMENT, 0), none[i]));
    assert_int_equal(json_array_size(projection.rows[VIEW_COMMISSION]), 0);
    projection_clear(&projection);
    facts_clear(&facts);
}

/* --- order --- */

static char *rows_text(const struct facts *facts)
{
    struct projection projection;
    char *texts[VIEW_TABLE_COUNT], *all = NULL;
    projection_init(&projection);
    project(facts, &projection);
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        texts[table] = json_encode(projection.rows[table]);
    assert_true(asprintf(&all, "%s %s %s %s", texts[0], texts[1], texts[2], texts[3]) > 0);
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        free(texts[table]);
    projection_clear(&projection);
    return all;
}

static void test_order_does_not_matter(void **state)
{
    (void)state;
    static struct sim sim;
    static struct coverage coverage;
    struct dice seeds = {20261120};
    size_t rows[VIEW_TABLE_COUNT] = {0};
    for (int i = 0; i < HISTORIES; i++) {
        struct projection projection;
        uint64_t seed = dice_roll(&seeds);
        assert_true(sim_run(&sim, seed, false, &coverage));
        for (size_t k = 0; k < sim.facts.count; k++)
            sim.facts.items[k].at_ms = BEGAN_MS + (int64_t)(dice_roll(&seeds) % 100000);
        char *expected = rows_text(&sim.facts);
        for (int k = 0; k < SHUFFLES; k++) {
            facts_shuffle(&sim.facts, &seeds);
            char *found = rows_text(&sim.facts);
            if (strcmp(found, expected) != 0)
                fail_msg("history with seed %llu: %s\nshuffled: %s", (unsigned long long)seed, expected, found);
            free(found);
        }
        free(expected);
        projection_init(&projection);
        project(&sim.facts, &projection);
        for (int table = 0; table < VIEW_TABLE_COUNT; table++)
            rows[table] += json_array_size(projection.rows[table]);
        projection_clear(&projection);
    }
    assert_true(rows[VIEW_PAYMENT] && rows[VIEW_ATTEMPT] > rows[VIEW_PAYMENT] / 2 && rows[VIEW_REFUND]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_cells),
        cmocka_unit_test(test_nothing_concluded),
        cmocka_unit_test(test_strange_bodies),
        cmocka_unit_test(test_order_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
