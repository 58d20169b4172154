/* test_webhook.c - workers/providers/webhook: the signature of Standard Webhooks, and what a delivery is */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/crypto.h"
#include "common/json.h"
#include "tests/unit/scripted_server.h"
#include "workers/providers/webhook.h"

static const char SECRET[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"; /* the specification's example, not a secret */

/* The test vector of https://github.com/standard-webhooks/standard-webhooks, which its libraries share. */
static void test_published_vector(void **state)
{
    (void)state;
    char signature[64];
    assert_int_equal(webhook_sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}",
                                  signature, sizeof signature, NULL),
                     0);
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

/* Whatever is signed changes the signature. */
static void test_every_part_is_signed(void **state)
{
    (void)state;
    char a[64], b[64];
    assert_int_equal(webhook_sign(SECRET, "msg_1", 1, "{}", a, sizeof a, NULL), 0);
    assert_int_equal(webhook_sign(SECRET, "msg_2", 1, "{}", b, sizeof b, NULL), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(webhook_sign(SECRET, "msg_1", 2, "{}", b, sizeof b, NULL), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(webhook_sign(SECRET, "msg_1", 1, "{ }", b, sizeof b, NULL), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(webhook_sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", "msg_1", 1, "{}", b, sizeof b, NULL), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(webhook_sign(SECRET, "msg_1", 1, "", b, sizeof b, NULL), 0);
}

static void test_what_cannot_be_signed(void **state)
{
    (void)state;
    static const struct {
        const char *secret, *id;
        size_t room;
    } cases[] = {
        {"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_1", 64}, /* no prefix */
        {"whsec_", "msg_1", 64},
        {"whsec_c2hvcnQ=", "msg_1", 64},                        /* 5 bytes */
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "msg_1", 64}, /* not base64 */
        {"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "msg_1",
         64}, /* 69 bytes */
        {NULL, "msg_1", 64},
        {SECRET, "", 64},
        {SECRET, NULL, 64},
        {SECRET, "msg.1", 64},
        {SECRET, "msg 1", 64},
        {SECRET, "msg\r\nX: y", 64},
        {SECRET, "msg_1", 46}, /* one byte short */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char signature[64];
        struct err err = {0};
        if (webhook_sign(cases[i].secret, cases[i].id, 1, "{}", signature, cases[i].room, &err) == 0)
            fail_msg("case %zu was signed", i);
        assert_true(err.code == ERR_INVALID || err.code == ERR_LIMIT);
        assert_null(strstr(err.text, "MfKQ9r8"));
    }
    char signature[64];
    assert_int_equal(webhook_sign(SECRET, "msg_1", 1, "{}", signature, 48, NULL), 0);
}

/* ---- deliveries ---- */

static struct {
    struct loop *loop;
    struct http *http;
    struct scripted_server server;
    char url[64];
    bool answered;
    int answers;
    struct webhook_answer answer; /* evidence is ours */
} f;

static void on_answer(void *arg, const struct webhook_answer *answer)
{
    assert_ptr_equal(arg, &f);
    json_decref(f.answer.evidence);
    f.answer = *answer;
    json_incref(f.answer.evidence);
    f.answered = true;
    f.answers++;
}

static int set_up(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    f.loop = loop_new(NULL);
    f.http = http_new(f.loop, NULL);
    script_open(&f.server, f.loop);
    snprintf(f.url, sizeof f.url, "http://127.0.0.1:%d/hook", f.server.port);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_free(f.http);
    script_close(&f.server);
    loop_free(f.loop);
    json_decref(f.answer.evidence);
    return 0;
}

static struct webhook_request request_of(void)
{
    return (struct webhook_request){
        .url = f.url, .secret = SECRET, .id = "msg_1", .body = "{\"type\":\"payment.completed\"}", .timeout_ms = 1000};
}

static void call(const struct webhook_request *request, enum webhook_outcome outcome, const char *code)
{
    struct err err = {0};
    f.answered = false;
    if (!webhook_start(f.http, request, on_answer, &f, &err))
        fail_msg("%s", err.text);
    assert_false(f.answered);
    assert_true(script_wait(f.loop, &f.answered));
    if (f.answer.outcome != outcome || strcmp(f.answer.code, code) != 0)
        fail_msg("outcome %d \"%s\", wanted %d \"%s\"", f.answer.outcome, f.answer.code, outcome, code);
}

static const char *header_of(const char *request, const char *name, char ret[static 256])
{
    char line[64];
    snprintf(line, sizeof line, "\r\n%s: ", name);
    const char *at = strcasestr(request, line);
    assert_non_null(at);
    at += strlen(line);
    snprintf(ret, 256, "%.*s", (int)strcspn(at, "\r"), at);
    return ret;
}

/* What a receiver does: the signature holds for the very bytes and the timestamp that came. */
static void test_what_is_sent(void **state)
{
    (void)state;
    struct webhook_request request = request_of();
    char timestamp[256], signature[256], wanted[64];
    script_add(&f.server, (struct script_reply){.to = "POST /hook ", .status = 204});
    call(&request, WEBHOOK_DELIVERED, "");
    const char *sent = f.server.requests[0], *body = strstr(sent, "\r\n\r\n") + 4;
    assert_string_equal(body, request.body);
    assert_string_equal(header_of(sent, "webhook-id", timestamp), "msg_1");
    assert_string_equal(header_of(sent, "Content-Type", timestamp), "application/json");
    header_of(sent, "webhook-timestamp", timestamp);
    assert_true(llabs(atoll(timestamp) - clock_wall_ms() / 1000) <= 2);
    assert_int_equal(webhook_sign(SECRET, "msg_1", atoll(timestamp), body, wanted, sizeof wanted, NULL), 0);
    assert_string_equal(header_of(sent, "webhook-signature", signature), wanted);
    assert_int_equal(json_int(f.answer.evidence, "status", 0), 204);
}

static void test_every_status(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum webhook_outcome outcome;
        const char *code;
    } cases[] = {
        {200, WEBHOOK_DELIVERED, ""},       {201, WEBHOOK_DELIVERED, ""},       {299, WEBHOOK_DELIVERED, ""},
        {301, WEBHOOK_REFUSED, "http_301"}, {307, WEBHOOK_REFUSED, "http_307"}, {400, WEBHOOK_REFUSED, "http_400"},
        {401, WEBHOOK_REFUSED, "http_401"}, {410, WEBHOOK_REFUSED, "http_410"}, {429, WEBHOOK_REFUSED, "http_429"},
        {500, WEBHOOK_REFUSED, "http_500"}, {503, WEBHOOK_REFUSED, "http_503"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct webhook_request request = request_of();
        script_add(&f.server, (struct script_reply){.to = "/hook", .status = cases[i].status, .body = "whatever"});
        call(&request, cases[i].outcome, cases[i].code);
        script_clear(&f.server);
    }
}

static void test_no_answer_is_unknown(void **state)
{
    (void)state;
    struct webhook_request request = request_of();
    script_add(&f.server, (struct script_reply){.to = "/hook", .how = SCRIPT_CLOSE, .times = 1});
    script_add(&f.server, (struct script_reply){.to = "/hook", .how = SCRIPT_HANG});
    call(&request, WEBHOOK_UNKNOWN, "connection_lost");
    request.timeout_ms = 150;
    call(&request, WEBHOOK_UNKNOWN, "timeout");
    request.url = "http://127.0.0.1:1/hook";
    call(&request, WEBHOOK_UNKNOWN, "not_sent");
}

static void test_requests_that_cannot_be(void **state)
{
    (void)state;
    static const char *const urls[] = {"", "ftp://example.com/", "file:///etc/passwd", "example.com", NULL};
    struct err err = {0};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct webhook_request request = request_of();
        request.url = urls[i];
        err_clear(&err);
        assert_null(webhook_start(f.http, &request, on_answer, &f, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
    struct webhook_request request = request_of();
    request.secret = "wrong";
    assert_null(webhook_start(f.http, &request, on_answer, &f, NULL));
    assert_int_equal(f.answers, 0);
}

static void test_cancel_says_nothing(void **state)
{
    (void)state;
    struct webhook_request request = request_of();
    script_add(&f.server, (struct script_reply){.to = "/hook", .how = SCRIPT_HANG});
    struct webhook_call *one = webhook_start(f.http, &request, on_answer, &f, NULL);
    for (int i = 0; i < 5; i++)
        assert_int_equal(loop_turn(f.loop, 10), 0);
    webhook_cancel(one);
    assert_int_equal(loop_turn(f.loop, 10), 0);
    assert_int_equal(f.answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vector),
        cmocka_unit_test(test_every_part_is_signed),
        cmocka_unit_test(test_what_cannot_be_signed),
        cmocka_unit_test_setup_teardown(test_what_is_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_answer_is_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_requests_that_cannot_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_says_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
