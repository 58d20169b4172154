/* test_provider_tokens.c - workers/providers/tokens: what is sent to the token system, and what its answers mean */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/crypto.h"
#include "common/json.h"
#include "tests/unit/scripted_server.h"
#include "workers/providers/tokens_wire.h"

#define ID "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f"
#define RESERVED "{\"paymentId\":\"" ID "\",\"tokenId\":\"seat-1\",\"quantity\":2,\"status\":\"reserved\"}"
#define STATUS(status) "{\"paymentId\":\"" ID "\",\"status\":\"" status "\"}"
#define ERROR(error) "{\"error\":\"" error "\"}"

static struct tokens_request request_of(enum tokens_operation operation)
{
    struct tokens_request request = {.operation = operation, .token_id = "seat-1", .quantity = 2};
    if (uuid_parse(ID, &request.payment_id) != 0)
        fail();
    return request;
}

static void test_every_answer(void **state)
{
    (void)state;
    static const struct {
        enum tokens_operation operation;
        int status;
        const char *body;
        enum tokens_outcome outcome;
        const char *code;
    } cases[] = {
        {TOKENS_RESERVE, 201, RESERVED, TOKENS_DONE, ""},
        {TOKENS_RESERVE, 200, RESERVED, TOKENS_DONE, ""},
        {TOKENS_RESERVE, 409, ERROR("tokens_unavailable"), TOKENS_REFUSED, "tokens_unavailable"},
        {TOKENS_RESERVE, 404, ERROR("unknown_token"), TOKENS_REFUSED, "unknown_token"},
        {TOKENS_RESERVE, 409, ERROR("released"), TOKENS_REFUSED, "released"},
        {TOKENS_RESERVE, 409, ERROR("busy"), TOKENS_UNKNOWN, "http_409"},
        {TOKENS_RESERVE, 404, ERROR("not_found"), TOKENS_UNKNOWN, "http_404"}, /* a wrong URL is not a refusal */
        {TOKENS_RESERVE, 404, "<html>", TOKENS_UNKNOWN, "http_404"},
        {TOKENS_RESERVE, 409, "", TOKENS_UNKNOWN, "http_409"},
        {TOKENS_RESERVE, 422, ERROR("contradicts an earlier request"), TOKENS_UNKNOWN, "http_422"},
        {TOKENS_RESERVE, 400, ERROR("tokens_unavailable"), TOKENS_UNKNOWN, "http_400"},
        {TOKENS_RESERVE, 401, ERROR("unauthorized"), TOKENS_UNKNOWN, "configuration"},
        {TOKENS_RESERVE, 403, "", TOKENS_UNKNOWN, "configuration"},
        {TOKENS_RESERVE, 500, RESERVED, TOKENS_UNKNOWN, "http_500"},
        {TOKENS_RESERVE, 503, ERROR("tokens_unavailable"), TOKENS_UNKNOWN, "http_503"},
        {TOKENS_RESERVE, 200, STATUS("reserved"), TOKENS_UNKNOWN, "contradictory_answer"},
        {TOKENS_RESERVE, 201,
         "{\"paymentId\":\"" ID "\",\"tokenId\":\"seat-2\",\"quantity\":2,\"status\":\"reserved\"}", TOKENS_UNKNOWN,
         "contradictory_answer"},
        {TOKENS_RESERVE, 201,
         "{\"paymentId\":\"" ID "\",\"tokenId\":\"seat-1\",\"quantity\":1,\"status\":\"reserved\"}", TOKENS_UNKNOWN,
         "contradictory_answer"},
        {TOKENS_RESERVE, 201,
         "{\"paymentId\":\"11111111-2222-8333-8444-555555555555\",\"tokenId\":\"seat-1\",\"quantity\":2,\"status\":"
         "\"reserved\"}",
         TOKENS_UNKNOWN, "contradictory_answer"},
        {TOKENS_RESERVE, 201, STATUS("active"), TOKENS_UNKNOWN, "unreadable_answer"},
        {TOKENS_RESERVE, 201, "", TOKENS_UNKNOWN, "unreadable_answer"},
        {TOKENS_ACTIVATE, 200, STATUS("active"), TOKENS_DONE, ""},
        {TOKENS_ACTIVATE, 409, ERROR("not_reserved"), TOKENS_REFUSED, "not_reserved"},
        {TOKENS_ACTIVATE, 409, ERROR("released"), TOKENS_REFUSED, "released"},
        {TOKENS_ACTIVATE, 409, ERROR("expired"), TOKENS_REFUSED, "expired"},
        {TOKENS_ACTIVATE, 409, ERROR("tokens_unavailable"), TOKENS_UNKNOWN, "http_409"},
        {TOKENS_ACTIVATE, 404, ERROR("not_reserved"), TOKENS_UNKNOWN, "http_404"},
        {TOKENS_ACTIVATE, 200, STATUS("released"), TOKENS_UNKNOWN, "unreadable_answer"},
        {TOKENS_ACTIVATE, 200, "{\"paymentId\":\"11111111-2222-8333-8444-555555555555\",\"status\":\"active\"}",
         TOKENS_UNKNOWN, "contradictory_answer"},
        {TOKENS_ACTIVATE, 200, "[\"active\"]", TOKENS_UNKNOWN, "unreadable_answer"},
        {TOKENS_RELEASE, 200, STATUS("released"), TOKENS_DONE, ""},
        {TOKENS_RELEASE, 200, STATUS("active"), TOKENS_ACTIVE, ""},
        {TOKENS_RELEASE, 200, STATUS("reserved"), TOKENS_UNKNOWN, "unreadable_answer"},
        {TOKENS_RELEASE, 409, ERROR("released"), TOKENS_UNKNOWN, "http_409"},
        {TOKENS_RELEASE, 302, "", TOKENS_UNKNOWN, "http_302"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tokens_request request = request_of(cases[i].operation);
        struct tokens_answer answer;
        tokens_decode(&request, cases[i].status, cases[i].body, strlen(cases[i].body), &answer);
        if (answer.outcome != cases[i].outcome || strcmp(answer.code, cases[i].code) != 0)
            fail_msg("case %zu: outcome %d \"%s\"", i, answer.outcome, answer.code);
    }
}

static void test_cut_answers_are_unknown(void **state)
{
    (void)state;
    struct tokens_request request = request_of(TOKENS_RESERVE);
    struct tokens_answer answer;
    for (size_t size = 0; size < strlen(RESERVED); size++) {
        tokens_decode(&request, 201, RESERVED, size, &answer);
        assert_int_equal(answer.outcome, TOKENS_UNKNOWN);
    }
}

#define BOOKS(token, quantity, status)                                                                                 \
    "{\"paymentId\":\"" ID "\",\"tokenId\":" token ",\"quantity\":" quantity ",\"status\":\"" status                   \
    "\",\"changedAt\":\"2026-11-20T10:00:00Z\"}"

static void test_what_its_own_books_say(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum tokens_outcome outcome;
        enum tokens_status says;
        int64_t quantity;
        const char *code;
    } cases[] = {
        {200, BOOKS("\"seat-1\"", "2", "reserved"), TOKENS_DONE, TOKENS_IS_RESERVED, 2, ""},
        {200, BOOKS("\"seat-9\"", "3", "active"), TOKENS_DONE, TOKENS_IS_ACTIVE, 3,
         ""}, /* whose they are is not judged here */
        {200, BOOKS("\"seat-1\"", "2", "refused"), TOKENS_DONE, TOKENS_IS_REFUSED, 2, ""},
        {200, BOOKS("\"seat-1\"", "2", "expired"), TOKENS_DONE, TOKENS_IS_EXPIRED, 2, ""},
        {200, BOOKS("\"seat-1\"", "2", "released"), TOKENS_DONE, TOKENS_IS_RELEASED, 2, ""},
        {200, BOOKS("\"\"", "0", "released"), TOKENS_DONE, TOKENS_IS_RELEASED, 0, ""}, /* a tombstone */
        {200, BOOKS("\"seat-1\"", "2", "deactivated"), TOKENS_DONE, TOKENS_IS_DEACTIVATED, 2, ""},
        {200, BOOKS("null", "0", "unknown"), TOKENS_DONE, TOKENS_IS_UNSEEN, 0, ""},
        {200, STATUS("unknown"), TOKENS_DONE, TOKENS_IS_UNSEEN, 0, ""},
        {404, STATUS("unknown"), TOKENS_UNKNOWN, 0, 0, "http_404"}, /* a wrong path knows no payment either */
        {404, ERROR("not_found"), TOKENS_UNKNOWN, 0, 0, "http_404"},
        {201, BOOKS("\"seat-1\"", "2", "reserved"), TOKENS_UNKNOWN, 0, 0, "unreadable_answer"},
        {500, BOOKS("\"seat-1\"", "2", "reserved"), TOKENS_UNKNOWN, 0, 0, "http_500"},
        {401, ERROR("unauthorized"), TOKENS_UNKNOWN, 0, 0, "configuration"},
        {200, BOOKS("\"seat-1\"", "2", "lent"), TOKENS_UNKNOWN, 0, 0, "unreadable_answer"},
        {200, BOOKS("\"\"", "0", "active"), TOKENS_UNKNOWN, 0, 0, "unreadable_answer"},
        {200, BOOKS("\"seat-1\"", "0", "active"), TOKENS_UNKNOWN, 0, 0, "unreadable_answer"},
        {200, BOOKS("\"seat\\u001b[2J\"", "2", "active"), TOKENS_UNKNOWN, 0, 0, "unreadable_answer"},
        {200, BOOKS("\"seat-1\"", "-1", "reserved"), TOKENS_UNKNOWN, 0, 0, "unreadable_answer"},
        {200, BOOKS("\"seat-1\"", "2.5", "reserved"), TOKENS_UNKNOWN, 0, 0, "unreadable_answer"},
        {200, BOOKS("\"seat-1\"", "2", "unknown"), TOKENS_UNKNOWN, 0, 0, "unreadable_answer"},
        {200, "{\"paymentId\":\"" ID "\",\"status\":\"unknown\",\"changedAt\":\"yesterday\"}", TOKENS_UNKNOWN, 0, 0,
         "unreadable_answer"},
        {200, "{\"paymentId\":\"11111111-2222-8333-8444-555555555555\",\"status\":\"unknown\"}", TOKENS_UNKNOWN, 0, 0,
         "contradictory_answer"},
        {200, "{\"status\":\"unknown\"}", TOKENS_UNKNOWN, 0, 0, "contradictory_answer"},
        {200, "", TOKENS_UNKNOWN, 0, 0, "unreadable_answer"},
        {200, "[\"unknown\"]", TOKENS_UNKNOWN, 0, 0, "unreadable_answer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tokens_request request = request_of(TOKENS_ASK);
        struct tokens_answer answer;
        tokens_decode(&request, cases[i].status, cases[i].body, strlen(cases[i].body), &answer);
        if (answer.outcome != cases[i].outcome || strcmp(answer.code, cases[i].code) != 0 ||
            answer.state.status != cases[i].says || answer.state.quantity != cases[i].quantity)
            fail_msg("case %zu: outcome %d \"%s\", %s", i, answer.outcome, answer.code,
                     tokens_status_text(answer.state.status));
    }
    struct tokens_request request = request_of(TOKENS_ASK);
    struct tokens_answer answer;
    const char *body = BOOKS("\"4111111111111111\"", "2", "active"); /* L11 */
    tokens_decode(&request, 200, body, strlen(body), &answer);
    assert_int_equal(answer.outcome, TOKENS_DONE);
    assert_null(strstr(answer.state.token_id, "4111111111"));
    body = BOOKS("\"seat-1\"", "2", "active");
    tokens_decode(&request, 200, body, strlen(body), &answer);
    assert_string_equal(answer.state.token_id, "seat-1");
    assert_int_equal(answer.state.changed_at_ms, 1795168800000);
    for (size_t size = 0; size < strlen(body); size++) {
        tokens_decode(&request, 200, body, size, &answer);
        assert_int_equal(answer.outcome, TOKENS_UNKNOWN);
    }
}

static void test_requests(void **state)
{
    (void)state;
    static const struct {
        enum tokens_operation operation;
        const char *target, *body;
    } cases[] = {
        {TOKENS_RESERVE, "/v1/reservations", "{\"paymentId\":\"" ID "\",\"quantity\":2,\"tokenId\":\"seat-1\"}"},
        {TOKENS_ACTIVATE, "/v1/reservations/" ID "/activate", NULL},
        {TOKENS_RELEASE, "/v1/reservations/" ID "/release", NULL},
        {TOKENS_ASK, "/v1/reservations/" ID, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tokens_request request = request_of(cases[i].operation);
        char target[TOKENS_TARGET_MAX], *body;
        tokens_encode(&request, target, &body);
        assert_string_equal(target, cases[i].target);
        if (cases[i].body)
            assert_string_equal(body, cases[i].body);
        else
            assert_null(body);
        free(body);
    }
}

/* ---- whole calls ---- */

static struct {
    struct loop *loop;
    struct http *http;
    struct scripted_server server;
    struct tokens *tokens;
    bool answered;
    int answers;
    struct tokens_answer answer; /* evidence is ours */
} f;

static void on_answer(void *arg, const struct tokens_answer *answer)
{
    assert_ptr_equal(arg, &f);
    json_decref(f.answer.evidence);
    f.answer = *answer;
    json_incref(f.answer.evidence);
    f.answered = true;
    f.answers++;
}

static void open_tokens(int port, int64_t timeout_ms)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/tokens", port);
    struct tokens_options options = {.url = url, .key = "secret-key", .timeout_ms = timeout_ms, .http = f.http};
    tokens_close(f.tokens);
    f.tokens = tokens_open(&options, NULL);
    assert_non_null(f.tokens);
}

static int set_up(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    f.loop = loop_new(NULL);
    f.http = http_new(f.loop, NULL);
    script_open(&f.server, f.loop);
    open_tokens(f.server.port, 5000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tokens_close(f.tokens);
    http_free(f.http);
    script_close(&f.server);
    loop_free(f.loop);
    json_decref(f.answer.evidence);
    return 0;
}

static void call(enum tokens_operation operation, enum tokens_outcome outcome, const char *code)
{
    struct tokens_request request = request_of(operation);
    struct err err = {0};
    f.answered = false;
    if (!tokens_start(f.tokens, &request, on_answer, &f, &err))
        fail_msg("%s", err.text);
    assert_false(f.answered);
    assert_true(script_wait(f.loop, &f.answered));
    if (f.answer.outcome != outcome || strcmp(f.answer.code, code) != 0)
        fail_msg("outcome %d \"%s\", wanted %d \"%s\"", f.answer.outcome, f.answer.code, outcome, code);
}

static void test_whole_calls(void **state)
{
    (void)state;
    char hash[65];
    script_add(&f.server,
               (struct script_reply){.to = "POST /tokens/v1/reservations ", .status = 201, .body = RESERVED});
    script_add(&f.server, (struct script_reply){.to = "POST /tokens/v1/reservations/" ID "/activate ",
                                                .status = 200,
                                                .body = STATUS("active")});
    script_add(&f.server, (struct script_reply){.to = "POST /tokens/v1/reservations/" ID "/release ",
                                                .status = 200,
                                                .body = STATUS("active")});
    call(TOKENS_RESERVE, TOKENS_DONE, "");
    assert_non_null(strstr(f.server.requests[0], "\r\nAuthorization: Bearer secret-key\r\n"));
    assert_non_null(strstr(f.server.requests[0], "\r\nContent-Type: application/json\r\n"));
    sha256_hex(RESERVED, strlen(RESERVED), hash);
    assert_string_equal(json_text(f.answer.evidence, "answerSha256", ""), hash);
    assert_int_equal(json_int(f.answer.evidence, "status", 0), 201);
    call(TOKENS_ACTIVATE, TOKENS_DONE, "");
    assert_non_null(strstr(f.server.requests[1], "\r\nContent-Length: 0\r\n"));
    call(TOKENS_RELEASE, TOKENS_ACTIVE, "");
    script_add(&f.server, (struct script_reply){.to = "GET /tokens/v1/reservations/" ID " ",
                                                .status = 200,
                                                .body = BOOKS("\"seat-1\"", "2", "active")});
    call(TOKENS_ASK, TOKENS_DONE, "");
    assert_int_equal(f.answer.state.status, TOKENS_IS_ACTIVE);
    assert_non_null(strstr(f.server.requests[3], "\r\nAuthorization: Bearer secret-key\r\n"));
}

static void test_no_answer_is_unknown(void **state)
{
    (void)state;
    script_add(&f.server, (struct script_reply){.to = "/activate", .how = SCRIPT_CLOSE});
    script_add(&f.server, (struct script_reply){.to = "/release", .how = SCRIPT_HANG});
    call(TOKENS_ACTIVATE, TOKENS_UNKNOWN, "connection_lost");
    open_tokens(f.server.port, 150);
    call(TOKENS_RELEASE, TOKENS_UNKNOWN, "timeout");
    open_tokens(1, 1000);
    call(TOKENS_RELEASE, TOKENS_UNKNOWN, "not_sent");
    assert_int_equal(json_int(f.answer.evidence, "status", -1), 0);
}

static void test_cancel_and_close_say_nothing(void **state)
{
    (void)state;
    struct tokens_request request = request_of(TOKENS_RELEASE);
    script_add(&f.server, (struct script_reply){.to = "/release", .how = SCRIPT_HANG});
    struct tokens_call *one = tokens_start(f.tokens, &request, on_answer, &f, NULL);
    struct tokens_call *two = tokens_start(f.tokens, &request, on_answer, &f, NULL);
    assert_non_null(two);
    for (int i = 0; i < 5; i++)
        assert_int_equal(loop_turn(f.loop, 10), 0);
    tokens_cancel(one);
    tokens_close(f.tokens);
    f.tokens = NULL;
    assert_int_equal(loop_turn(f.loop, 10), 0);
    assert_int_equal(f.answers, 0);
}

static void test_requests_that_cannot_be(void **state)
{
    (void)state;
    struct tokens_request request = request_of(TOKENS_RESERVE);
    struct err err = {0};
    request.quantity = 0;
    assert_null(tokens_start(f.tokens, &request, on_answer, &f, &err));
    assert_int_equal(err.code, ERR_INVALID);
    request.quantity = 1;
    request.token_id = "";
    assert_null(tokens_start(f.tokens, &request, on_answer, &f, NULL));
    struct tokens_options options = {.url = "", .timeout_ms = 1, .http = f.http};
    err_clear(&err);
    assert_null(tokens_open(&options, &err));
    assert_int_equal(err.code, ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_answer),
        cmocka_unit_test(test_cut_answers_are_unknown),
        cmocka_unit_test(test_what_its_own_books_say),
        cmocka_unit_test(test_requests),
        cmocka_unit_test_setup_teardown(test_whole_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_answer_is_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_and_close_say_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_requests_that_cannot_be, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
