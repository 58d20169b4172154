/* test_provider_simulated.c - workers/providers/simulated: how it speaks with its books, here without a database
 *
 * The books are a function of the test that notes what it was asked and answers from a script; what the real ones
 * promise is tested by simulated_books.sql.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/json.h"
#include "tests/unit/scripted_server.h"
#include "workers/providers/simulated.h"

enum { CALLS_MAX = 400, TIMEOUT_MS = 120 };

struct heard {
    bool answered;
    int answers;
    struct provider_answer answer; /* evidence and action are ours */
};

static struct {
    struct loop *loop;
    struct provider *provider;
    int runs, requests;
    json_t *last;         /* the last batch */
    const char *answer;   /* JSON of each answer */
    int fail_next;        /* so many runs fail ... */
    int fail_larger_than; /* ... and all of more requests than this (0: none) */
    enum err_code fail_code;
    bool short_answer;
    struct heard heard[CALLS_MAX];
} f;

static json_t *run_books(void *arg, const char *statement, const char *const *params, int param_count, struct err *err)
{
    assert_ptr_equal(arg, &f);
    assert_string_equal(statement, "select sim.run($1::jsonb)");
    assert_int_equal(param_count, 1);
    json_t *requests = json_decode(params[0], strlen(params[0]), NULL), *answers = json_array();
    assert_true(json_is_array(requests));
    size_t count = json_array_size(requests);
    f.runs++;
    f.requests += (int)count;
    json_decref(f.last);
    f.last = requests;
    for (size_t i = 0; i < count - f.short_answer; i++)
        json_array_append_new(answers, json_decode(f.answer, strlen(f.answer), NULL));
    if (f.fail_next-- > 0 || (f.fail_larger_than && count > (size_t)f.fail_larger_than)) {
        json_decref(answers);
        err_set(err, f.fail_code, "the server is away");
        return NULL;
    }
    return answers;
}

static void on_answer(void *arg, const struct provider_answer *answer)
{
    struct heard *heard = arg;
    heard->answer = *answer;
    json_incref(answer->evidence);
    json_incref(answer->action);
    heard->answered = true;
    heard->answers++;
}

static int set_up(void **state)
{
    static struct provider_books books = {.run = run_books, .arg = &f};
    (void)state;
    memset(&f, 0, sizeof f);
    f.loop = loop_new(NULL);
    f.answer = "{\"outcome\":\"done\",\"code\":\"\",\"reference\":\"sim_pay_1\"}";
    f.fail_code = ERR_AGAIN;
    struct provider_options options = {.name = "simulated",
                                       .kind = "simulated",
                                       .url = "",
                                       .secret = "",
                                       .timeout_ms = TIMEOUT_MS,
                                       .loop = f.loop,
                                       .books = &books};
    f.provider = provider_open(&options, NULL);
    assert_non_null(f.provider);
    return 0;
}

static void forget(void)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        json_decref(f.heard[i].answer.evidence);
        json_decref(f.heard[i].answer.action);
        f.heard[i] = (struct heard){0};
    }
}

static int tear_down(void **state)
{
    (void)state;
    provider_close(f.provider);
    forget();
    json_decref(f.last);
    loop_free(f.loop);
    return 0;
}

static struct provider_call *start(size_t n)
{
    char key[16];
    snprintf(key, sizeof key, "key-%zu", n);
    struct provider_request request = {.operation = PROVIDER_AUTHORIZE,
                                       .slot = "auth:1",
                                       .key = key,
                                       .amount = 2500,
                                       .currency = "EUR",
                                       .payment_token = "tok_visa"};
    request.payment_id.bytes[15] = (uint8_t)n;
    struct provider_call *call = provider_start(f.provider, &request, on_answer, &f.heard[n], NULL);
    assert_non_null(call);
    assert_false(f.heard[n].answered);
    return call;
}

static void start_and_wait(size_t count)
{
    for (size_t i = 0; i < count; i++)
        start(i);
    for (size_t i = 0; i < count; i++)
        assert_true(script_wait(f.loop, &f.heard[i].answered));
}

/* ---- decoding ---- */

static void test_every_answer(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool heard;
        enum provider_outcome outcome;
        const char *code, *reference;
    } cases[] = {
        {"{\"outcome\":\"done\",\"code\":\"\",\"reference\":\"sim_pay_1\"}", true, PROVIDER_DONE, "", "sim_pay_1"},
        {"{\"outcome\":\"refused\",\"code\":\"insufficient_funds\",\"reference\":\"\"}", true, PROVIDER_REFUSED,
         "insufficient_funds", ""},
        {"{\"outcome\":\"action\",\"code\":\"requires_action\",\"reference\":\"p\",\"action\":{\"type\":\"redirect\","
         "\"url\":\"u\"}}",
         true, PROVIDER_ACTION, "requires_action", "p"},
        {"{\"outcome\":\"expired\",\"code\":\"authorization_expired\",\"reference\":\"p\"}", true, PROVIDER_EXPIRED,
         "authorization_expired", "p"},
        {"{\"outcome\":\"absent\",\"code\":\"\",\"reference\":\"\"}", true, PROVIDER_ABSENT, "", ""},
        {"{\"outcome\":\"unknown\",\"code\":\"reference_not_found\",\"reference\":\"\"}", true, PROVIDER_UNKNOWN,
         "reference_not_found", ""},
        {"{\"outcome\":\"done\",\"code\":\"\",\"reference\":\"p\",\"lost\":true}", false, PROVIDER_UNKNOWN, "timeout",
         ""},
        /* the key was used for something else before: that may have been done */
        {"{\"outcome\":\"refused\",\"code\":\"idempotency_conflict\",\"reference\":\"\"}", true, PROVIDER_UNKNOWN,
         "idempotency_conflict", ""},
        {"{\"outcome\":\"perhaps\"}", true, PROVIDER_UNKNOWN, "unreadable_answer", ""},
        {"{}", true, PROVIDER_UNKNOWN, "unreadable_answer", ""},
        {"[]", true, PROVIDER_UNKNOWN, "unreadable_answer", ""},
        {"null", true, PROVIDER_UNKNOWN, "unreadable_answer", ""},
        {"{\"outcome\":\"done\",\"reference\":\"with a blank\"}", true, PROVIDER_UNKNOWN, "unreadable_answer", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *json = json_decode(cases[i].text, strlen(cases[i].text), NULL);
        struct provider_answer answer;
        bool heard = simulated_decode(json, &answer);
        if (heard != cases[i].heard || answer.outcome != cases[i].outcome || strcmp(answer.code, cases[i].code) != 0 ||
            strcmp(answer.reference, cases[i].reference) != 0)
            fail_msg("case %zu: outcome %d \"%s\"", i, answer.outcome, answer.code);
        assert_int_equal(answer.action != NULL, answer.outcome == PROVIDER_ACTION);
        json_decref(answer.action);
        json_decref(json);
    }
}

static void test_what_the_books_are_told(void **state)
{
    (void)state;
    struct provider_request request = {.operation = PROVIDER_REFUND,
                                       .ask = true,
                                       .slot = "refund:1",
                                       .key = "k",
                                       .authorization_key = "a",
                                       .reference = "sim_pay_1",
                                       .amount = 1000,
                                       .currency = "XOF",
                                       .payment_token = ""};
    if (uuid_parse("8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f", &request.payment_id) != 0)
        fail();
    json_t *json = simulated_encode(&request);
    char *text = json_encode(json);
    assert_string_equal(
        text, "{\"amount\":1000,\"ask\":true,\"authorizationKey\":\"a\",\"currency\":\"XOF\",\"key\":\"k\","
              "\"operation\":\"refund\","
              "\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"reference\":\"sim_pay_1\",\"token\":\"\"}");
    free(text);
    json_decref(json);
}

/* ---- whole calls ---- */

static void test_one_turn_is_one_transaction(void **state)
{
    (void)state;
    start_and_wait(100);
    assert_int_equal(f.runs, 1);
    assert_int_equal(f.requests, 100);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(f.heard[i].answer.outcome, PROVIDER_DONE);
        assert_string_equal(f.heard[i].answer.reference, "sim_pay_1");
        assert_int_equal(f.heard[i].answers, 1);
    }
    assert_string_equal(json_text(json_array_get(f.last, 99), "key", ""), "key-99");
    assert_int_equal(json_int(f.heard[0].answer.evidence, "status", 0), 200);
    assert_int_equal(strlen(json_text(f.heard[0].answer.evidence, "requestSha256", "")), 64);
}

static void test_more_than_a_batch(void **state)
{
    (void)state;
    start_and_wait(300);
    assert_int_equal(f.runs, 3);
    assert_int_equal(f.requests, 300);
}

static void test_a_lost_answer_is_unknown_after_the_timeout(void **state)
{
    (void)state;
    f.answer = "{\"outcome\":\"done\",\"code\":\"\",\"reference\":\"p\",\"lost\":true}";
    int64_t before = clock_monotonic_ms();
    start_and_wait(2);
    assert_true(clock_monotonic_ms() - before >= TIMEOUT_MS - 5);
    assert_int_equal(f.heard[1].answer.outcome, PROVIDER_UNKNOWN);
    assert_string_equal(f.heard[1].answer.code, "timeout");
    assert_string_equal(f.heard[1].answer.reference, ""); /* it was lost with the answer */
    assert_int_equal(json_int(f.heard[1].answer.evidence, "status", -1), 0);
}

static void test_one_bad_request_spoils_no_other(void **state)
{
    (void)state;
    f.fail_larger_than = 1; /* together it fails, alone each succeeds */
    f.fail_code = ERR_INVALID;
    start_and_wait(5);
    assert_int_equal(f.runs, 6);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(f.heard[i].answer.outcome, PROVIDER_DONE);
}

static void test_books_that_are_away(void **state)
{
    (void)state;
    f.fail_next = 1000;
    start_and_wait(5);
    assert_int_equal(f.runs, 2); /* together, then the first alone: that is enough to know */
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(f.heard[i].answer.outcome, PROVIDER_UNKNOWN);
        assert_string_equal(f.heard[i].answer.code, "books_unavailable");
        assert_string_equal(f.heard[i].answer.message, "the server is away");
    }
    forget();
    f.fail_next = 0;
    f.short_answer = true;
    start_and_wait(2);
    assert_string_equal(f.heard[1].answer.code, "books_unavailable");
}

static void test_cancel_and_close_say_nothing(void **state)
{
    (void)state;
    struct provider_call *waiting = start(0);
    provider_cancel(waiting); /* before its turn */
    f.answer = "{\"outcome\":\"done\",\"code\":\"\",\"reference\":\"p\",\"lost\":true}";
    struct provider_call *silent = start(1);
    start(2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_turn(f.loop, 10), 0);
    assert_int_equal(f.requests, 2);
    provider_cancel(silent); /* while its answer is lost */
    start(3);
    provider_close(f.provider);
    f.provider = NULL;
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_turn(f.loop, TIMEOUT_MS), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(f.heard[i].answers, 0);
}

static void test_it_needs_books(void **state)
{
    (void)state;
    struct err err = {0};
    struct provider_options options = {.name = "simulated", .kind = "simulated", .timeout_ms = 1, .loop = f.loop};
    assert_null(provider_open(&options, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_true(provider_capabilities(f.provider).asks_by_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_answer),
        cmocka_unit_test(test_what_the_books_are_told),
        cmocka_unit_test_setup_teardown(test_one_turn_is_one_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_more_than_a_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_lost_answer_is_unknown_after_the_timeout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_bad_request_spoils_no_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_books_that_are_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_and_close_say_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_needs_books, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
