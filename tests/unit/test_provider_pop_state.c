/* test_provider_pop_state.c - workers/providers/pop_state: which statements of a validator count, and what they mean */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <openssl/evp.h>

#include "common/crypto.h"
#include "common/json.h"
#include "tests/unit/scripted_server.h"
#include "workers/providers/pop_state_wire.h"

#define PAYMENT "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f"
#define OTHER "11111111-2222-8333-8444-555555555555"
#define NONCE "00112233445566778899aabbccddeeff"
#define AT "2026-11-20T10:00:00Z"
static const int64_t NOW_MS = 1795168800000, SKEW_MS = 300000; /* AT */

/* ---- signing, independently of the code ---- */

static EVP_PKEY *key_of(int n)
{
    uint8_t seed[32];
    memset(seed, 0x40 + n, sizeof seed);
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
}

static json_t *signature_of(int n, const char *text)
{
    uint8_t signature[64];
    char base64[128];
    size_t size = sizeof signature;
    EVP_PKEY *key = key_of(n);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &size, (const uint8_t *)text, strlen(text)), 1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    base64_encode(signature, sizeof signature, base64);
    return json_string(base64);
}

static json_t *vote_of(const char *verdict, int64_t amount, const char *payment, int key)
{
    char text[512];
    snprintf(text, sizeof text, "acquit-pop-vote-v1\n%s\n%" PRId64 "\nEUR\n%s\nvalidator-1\n" AT "\n", payment, amount,
             verdict);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:o}", "validator", "validator-1", "paymentId", payment, "amount",
                     (json_int_t)amount, "currency", "EUR", "verdict", verdict, "at", AT, "signature",
                     signature_of(key, text));
}

/* Takes the vote, NULL for none; `at` NULL for null. */
static json_t *statement_of(const char *status, json_t *vote, const char *at, const char *nonce, int key)
{
    char text[512];
    snprintf(text, sizeof text, "acquit-pop-state-v1\n" PAYMENT "\n%s\n%s\n%s\nvalidator-1\n%s\n", status,
             json_text(vote, "verdict", "none"), at ? at : "none", nonce);
    return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:s, s:o}", "validator", "validator-1", "paymentId", PAYMENT, "status",
                     status, "changedAt", at, "vote", vote ? vote : json_null(), "nonce", nonce, "signature",
                     signature_of(key, text));
}

static struct pop_validator validator_of(const char *url)
{
    struct pop_validator validator = {.name = "validator-1", .url = url, .key = "secret-key"};
    size_t size = sizeof validator.public_key;
    EVP_PKEY *key = key_of(1);
    assert_int_equal(EVP_PKEY_get_raw_public_key(key, validator.public_key, &size), 1);
    EVP_PKEY_free(key);
    return validator;
}

static struct pop_question question_of(const struct pop_validator *validator)
{
    struct pop_question question = {.validator = validator,
                                    .amount = 2500,
                                    .currency = "EUR",
                                    .since_ms = NOW_MS - 1000,
                                    .vote_max_skew_ms = SKEW_MS};
    assert_int_equal(uuid_parse(PAYMENT, &question.payment_id), 0);
    return question;
}

/* Takes the statement. */
static struct pop_state read_at(json_t *statement, int64_t now_ms)
{
    struct pop_validator validator = validator_of("http://unused");
    struct pop_question question = question_of(&validator);
    struct pop_state state;
    char *text = json_encode(statement);
    pop_state_decode(&question, NONCE, now_ms, 200, text, strlen(text), &state);
    assert_int_equal(state.known, state.why[0] == '\0');
    free(text);
    json_decref(statement);
    return state;
}

static struct pop_state read_state(json_t *statement)
{
    return read_at(statement, NOW_MS);
}

static void expect_why(json_t *statement, const char *why)
{
    struct pop_state state = read_state(statement);
    if (state.known || !strstr(state.why, why))
        fail_msg("known %d, '%s', not '%s'", state.known, state.why, why);
    assert_int_equal(state.standing, POP_IS_UNSEEN);
    assert_int_equal(state.vote, POP_NO_VOTE);
}

static void test_every_standing(void **state)
{
    (void)state;
    static const struct {
        const char *status, *verdict;
        enum pop_standing standing;
        bool good;
    } cases[] = {
        {"unknown", NULL, POP_IS_UNSEEN, true},
        {"unknown", "valid", 0, false},
        {"pending", NULL, POP_IS_PENDING, true},
        {"pending", "valid", 0, false},
        {"valid", "valid", POP_IS_VALID, true},
        {"valid", "invalid", 0, false},
        {"valid", NULL, 0, false},
        {"invalid", "invalid", POP_IS_INVALID, true},
        {"invalid", "valid", 0, false},
        {"invalid", NULL, 0, false},
        {"committed", "valid", POP_IS_COMMITTED, true},
        {"committed", "invalid", POP_IS_COMMITTED, true},
        {"committed", NULL, POP_IS_COMMITTED, true},
        {"revoked", "valid", POP_IS_REVOKED, true},
        {"revoked", NULL, POP_IS_REVOKED, true},
        {"gone", NULL, 0, false},
        {"", NULL, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *vote = cases[i].verdict ? vote_of(cases[i].verdict, 2500, PAYMENT, 1) : NULL;
        struct pop_state got = read_state(statement_of(cases[i].status, vote, AT, NONCE, 1));
        if (got.known != cases[i].good || (got.known && got.standing != cases[i].standing))
            fail_msg("%s with %s: %d, %s", cases[i].status, cases[i].verdict ? cases[i].verdict : "no vote", got.known,
                     got.why);
        if (got.known)
            assert_int_equal(got.vote, !cases[i].verdict                        ? POP_NO_VOTE
                                       : strcmp(cases[i].verdict, "valid") == 0 ? POP_VOTE_VALID
                                                                                : POP_VOTE_INVALID);
    }
    assert_true(read_state(statement_of("revoked", NULL, AT, NONCE, 1)).changed_at_ms == NOW_MS);
    assert_true(read_state(statement_of("unknown", NULL, NULL, NONCE, 1)).changed_at_ms == 0);
    /* years later: a vote was given when it was given */
    assert_true(read_at(statement_of("valid", vote_of("valid", 2500, PAYMENT, 1), AT, NONCE, 1), NOW_MS * 2).known);
}

static void test_statements_that_do_not_count(void **state)
{
    (void)state;
    expect_why(statement_of("revoked", NULL, AT, NONCE, 2), "signature");
    expect_why(statement_of("revoked", NULL, AT, "ffffffffffffffffffffffffffffffff", 1), "nonce");
    expect_why(statement_of("revoked", NULL, "yesterday", NONCE, 1), "changedAt");
    expect_why(statement_of("valid", vote_of("valid", 2500, PAYMENT, 2), AT, NONCE, 1), "the vote's signature");
    expect_why(statement_of("valid", vote_of("valid", 2501, PAYMENT, 1), AT, NONCE, 1), "another amount");
    expect_why(statement_of("valid", vote_of("valid", 2500, OTHER, 1), AT, NONCE, 1), "another paymentId");
    expect_why(json_array(), "no statement");
}

/* Whatever a statement says is signed: none of it may be changed on the way, and its vote cannot be taken out. */
static void test_each_member_is_signed(void **state)
{
    (void)state;
    static const char *const members[] = {"validator", "paymentId", "status", "changedAt", "nonce", "signature"};
    static const char *const others[] = {
        "validator-2", OTHER, "revoked", "2026-11-20T10:00:01Z", "00112233445566778899aabbccddee00", "AAAA"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_t *statement = statement_of("committed", vote_of("valid", 2500, PAYMENT, 1), AT, NONCE, 1);
        json_object_set_new(statement, members[i], json_string(others[i]));
        if (read_state(statement).known)
            fail_msg("%s is not signed", members[i]);
        statement = statement_of("committed", vote_of("valid", 2500, PAYMENT, 1), AT, NONCE, 1);
        json_object_del(statement, members[i]);
        if (read_state(statement).known)
            fail_msg("%s may be missing", members[i]);
    }
    json_t *statement = statement_of("committed", vote_of("valid", 2500, PAYMENT, 1), AT, NONCE, 1);
    json_object_set_new(statement, "vote", json_null());
    expect_why(statement, "signature");
    statement = statement_of("revoked", NULL, AT, NONCE, 1);
    json_object_set_new(statement, "vote", vote_of("valid", 2500, PAYMENT, 1));
    expect_why(statement, "signature");
}

static void test_other_answers(void **state)
{
    (void)state;
    struct pop_validator validator = validator_of("http://unused");
    struct pop_question question = question_of(&validator);
    json_t *statement = statement_of("revoked", NULL, AT, NONCE, 1);
    char *text = json_encode(statement);
    struct pop_state got;
    static const int statuses[] = {0, 201, 202, 302, 400, 401, 404, 409, 500, 503};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        pop_state_decode(&question, NONCE, NOW_MS, statuses[i], text, strlen(text), &got);
        assert_false(got.known);
        assert_non_null(strstr(got.why, "HTTP"));
    }
    for (size_t size = 0; size < strlen(text); size++) {
        pop_state_decode(&question, NONCE, NOW_MS, 200, text, size, &got);
        assert_false(got.known);
    }
    free(text);
    json_decref(statement);
}

/* The signed bytes, fixed for whoever writes a validator in another language. The seed is 32 bytes 0x41. */
static void test_the_documented_vector(void **state)
{
    (void)state;
    json_t *statement = statement_of("committed", vote_of("valid", 2500, PAYMENT, 1), AT, NONCE, 1);
    assert_string_equal(json_text(statement, "signature", ""),
                        "XGF9KmKGCEngcVm5KAlAILuVL9nBil+3o8s5a1UiD/JBX4m+eQRjilLbaOwgNsv2mN+YswDpU4QC5+9YGqpeDw==");
    json_decref(statement);
}

/* ---- whole calls ---- */

static struct {
    struct loop *loop;
    struct http *http;
    struct scripted_server server;
    char url[64];
    struct pop_validator validator;
    bool answered;
    int answers;
    struct pop_state state;
} f;

static void on_state(void *arg, const struct pop_state *state)
{
    assert_ptr_equal(arg, &f);
    f.state = *state;
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
    snprintf(f.url, sizeof f.url, "http://127.0.0.1:%d/one", f.server.port);
    f.validator = validator_of(f.url);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_free(f.http);
    script_close(&f.server);
    loop_free(f.loop);
    return 0;
}

static struct pop_state_call *ask(int64_t timeout_ms)
{
    struct pop_question question = question_of(&f.validator);
    question.timeout_ms = timeout_ms;
    question.http = f.http;
    f.answered = false;
    return pop_state_ask(&question, on_state, &f, NULL);
}

/* Everybody who asks sends another nonce, so an answer that was given before is none. */
static void test_a_question_and_an_old_answer(void **state)
{
    (void)state;
    json_t *statement = statement_of("revoked", NULL, AT, NONCE, 1);
    char *text = json_encode(statement), first[48], second[48];
    script_add(&f.server,
               (struct script_reply){.to = "GET /one/v1/validations/" PAYMENT "?nonce=", .status = 200, .body = text});
    for (int i = 0; i < 2; i++) {
        assert_non_null(ask(5000));
        assert_false(f.answered);
        assert_true(script_wait(f.loop, &f.answered));
        assert_false(f.state.known);
        assert_non_null(strstr(f.state.why, "nonce"));
    }
    assert_int_equal(sscanf(strstr(f.server.requests[0], "nonce="), "nonce=%40[0-9a-f]", first), 1);
    assert_int_equal(sscanf(strstr(f.server.requests[1], "nonce="), "nonce=%40[0-9a-f]", second), 1);
    assert_int_equal(strlen(first), 32);
    assert_string_not_equal(first, second);
    assert_non_null(strstr(f.server.requests[0], "\r\nAuthorization: Bearer secret-key\r\n"));
    free(text);
    json_decref(statement);
}

static void test_no_answer(void **state)
{
    (void)state;
    script_add(&f.server, (struct script_reply){.to = "/one/", .how = SCRIPT_HANG});
    assert_non_null(ask(150));
    assert_true(script_wait(f.loop, &f.answered));
    assert_false(f.state.known);
    assert_string_equal(f.state.why, "timeout");
    struct pop_state_call *call = ask(5000);
    assert_non_null(call);
    for (int i = 0; i < 5; i++)
        assert_int_equal(loop_turn(f.loop, 10), 0);
    pop_state_cancel(call);
    assert_int_equal(loop_turn(f.loop, 10), 0);
    assert_int_equal(f.answers, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_standing),
        cmocka_unit_test(test_statements_that_do_not_count),
        cmocka_unit_test(test_each_member_is_signed),
        cmocka_unit_test(test_other_answers),
        cmocka_unit_test(test_the_documented_vector),
        cmocka_unit_test_setup_teardown(test_a_question_and_an_old_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_answer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
