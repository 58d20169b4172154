/* test_provider_stripe.c - workers/providers/stripe: what is sent, byte for byte, and what each answer means (L5,
 * L6)
 *
 * The first half drives the pure wire format with the files in fixtures/stripe/; the second half a whole provider
 * against a scripted server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/crypto.h"
#include "common/json.h"
#include "tests/unit/scripted_server.h"
#include "workers/providers/stripe_wire.h"

static const char INTENT[] = "pi_3MtwBwLkdIwHu7ix28a3tqPa";
static const char PAYMENT[] = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f";

/* ---- fixtures ---- */

static char *read_fixture(const char *name)
{
    char path[512];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, sizeof path, "%.*s/fixtures/stripe/%s.json", (int)(slash - __FILE__), __FILE__, name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    char *text = calloc(1, 65536);
    (void)!fread(text, 1, 65535, file);
    fclose(file);
    return text;
}

static struct provider_request request_of(enum provider_operation operation, bool ask)
{
    struct provider_request request = {
        .operation = operation,
        .ask = ask,
        .slot = operation == PROVIDER_REFUND ? "refund:1" : "auth:1",
        .key = operation == PROVIDER_AUTHORIZE ? "acq_7f1c" : "acq_other",
        .authorization_key = "acq_7f1c",
        .reference = operation == PROVIDER_AUTHORIZE ? "" : INTENT,
        .amount = operation == PROVIDER_REFUND ? 1000 : 2500,
        .currency = "EUR",
        .payment_token = "pm_secret_token_1",
    };
    if (uuid_parse(PAYMENT, &request.payment_id) != 0)
        fail();
    return request;
}

/* ---- answers ---- */

enum { A = PROVIDER_AUTHORIZE, C = PROVIDER_CAPTURE, V = PROVIDER_VOID, R = PROVIDER_REFUND };
enum { SEND, ASK };
enum {
    DONE = PROVIDER_DONE,
    NO = PROVIDER_REFUSED,
    ACT = PROVIDER_ACTION,
    GONE = PROVIDER_EXPIRED,
    NONE = PROVIDER_ABSENT,
    DUNNO = PROVIDER_UNKNOWN
};

static const struct {
    const char *file;
    int status, operation, ask, outcome;
    const char *code;
} answers[] = {
    /* authorize */
    {"intent_requires_capture", 200, A, SEND, DONE, ""},
    {"intent_requires_capture", 201, A, SEND, DONE, ""},
    {"intent_succeeded", 200, A, SEND, DONE, ""},
    {"intent_requires_payment_method", 200, A, SEND, NO, "insufficient_funds"},
    {"intent_requires_action", 200, A, SEND, ACT, "requires_action"},
    {"intent_requires_action_sdk", 200, A, SEND, ACT, "requires_action"},
    {"intent_processing", 200, A, SEND, DUNNO, "processing"},
    {"intent_requires_confirmation", 200, A, SEND, DUNNO, "requires_confirmation"},
    {"intent_canceled", 200, A, SEND, NO, "canceled"},
    {"intent_unheard_of_status", 200, A, SEND, DUNNO, "unreadable_answer"},
    {"intent_other_amount", 200, A, SEND, DUNNO, "amount_mismatch"},
    {"intent_other_currency", 200, A, SEND, DUNNO, "amount_mismatch"},
    {"refund_succeeded", 200, A, SEND, DUNNO, "unreadable_answer"},
    {"search_none", 200, A, SEND, DUNNO, "unreadable_answer"},
    {"error_card_generic_decline", 402, A, SEND, NO, "generic_decline"},
    {"error_card_insufficient_funds", 402, A, SEND, NO, "insufficient_funds"},
    {"error_card_lost", 402, A, SEND, NO, "lost_card"},
    {"error_card_expired", 402, A, SEND, NO, "expired_card"},
    {"error_card_incorrect_cvc", 402, A, SEND, NO, "incorrect_cvc"},
    {"error_card_processing", 402, A, SEND, NO, "processing_error"},
    {"error_card_without_decline_code", 402, A, SEND, NO, "card_declined"},
    {"error_card_contradiction", 402, A, SEND, DUNNO, "unreadable_answer"},
    {"error_no_such_method", 400, A, SEND, NO, "resource_missing"},
    {"error_no_such_method", 404, A, SEND, NO, "resource_missing"},
    {"error_parameter_missing", 400, A, SEND, NO, "parameter_missing"},
    {"error_idempotency", 400, A, SEND, DUNNO, "idempotency_conflict"},
    {"error_key_in_use", 409, A, SEND, DUNNO, "key_in_use"},
    {"error_key_in_use", 400, A, SEND, DUNNO, "key_in_use"},
    {"error_lock_timeout", 429, A, SEND, DUNNO, "locked"},
    {"error_lock_timeout", 400, A, SEND, DUNNO, "locked"},
    {"error_parameter_missing", 409, A, SEND, DUNNO, "locked"},
    {"error_rate_limit", 429, A, SEND, DUNNO, "rate_limited"},
    {"error_rate_limit", 400, A, SEND, DUNNO, "rate_limited"},
    {"error_unauthorized", 401, A, SEND, DUNNO, "configuration"},
    {"error_api_key_expired", 401, A, SEND, DUNNO, "configuration"},
    {"error_api_key_expired", 400, A, SEND, DUNNO, "configuration"},
    {"error_forbidden", 403, A, SEND, DUNNO, "configuration"},
    {"error_testmode_charges_only", 400, A, SEND, DUNNO, "configuration"},
    {"error_unknown_url", 404, A, SEND, DUNNO, "configuration"},
    {"error_other_mode", 400, A, SEND, DUNNO, "configuration"},
    {"error_api", 500, A, SEND, DUNNO, "provider_error"},
    {"error_api", 502, A, SEND, DUNNO, "provider_error"},
    {"error_api", 400, A, SEND, DUNNO, "unreadable_answer"},
    {"error_card_generic_decline", 500, A, SEND, DUNNO, "provider_error"},
    {"intent_requires_capture", 500, A, SEND, DUNNO, "provider_error"},
    {"intent_requires_capture", 302, A, SEND, DUNNO, "unreadable_answer"},
    {"intent_requires_capture", 402, A, SEND, DUNNO, "unreadable_answer"},
    {"error_card_generic_decline", 200, A, SEND, DUNNO, "unreadable_answer"},
    /* what became of an authorization */
    {"intent_requires_capture", 200, A, ASK, DONE, ""},
    {"intent_succeeded", 200, A, ASK, DONE, ""},
    {"intent_requires_payment_method", 200, A, ASK, NO, "insufficient_funds"},
    {"intent_requires_action", 200, A, ASK, ACT, "requires_action"},
    {"intent_processing", 200, A, ASK, DUNNO, "processing"},
    {"intent_requires_confirmation", 200, A, ASK, DUNNO, "requires_confirmation"},
    {"intent_canceled", 200, A, ASK, GONE, "canceled"},
    {"intent_canceled_automatic", 200, A, ASK, GONE, "authorization_expired"},
    {"error_no_such_intent", 404, A, ASK, DUNNO, "configuration"},
    {"error_other_mode", 404, A, ASK, DUNNO, "configuration"},
    {"error_parameter_missing", 400, A, ASK, DUNNO, "question_refused"},
    {"error_card_generic_decline", 402, A, ASK, DUNNO, "question_refused"},
    {"error_unauthorized", 401, A, ASK, DUNNO, "configuration"},
    {"error_api", 500, A, ASK, DUNNO, "provider_error"},
    /* capture */
    {"intent_succeeded", 200, C, SEND, DONE, ""},
    {"intent_succeeded_other_amount", 200, C, SEND, DUNNO, "amount_mismatch"},
    {"intent_requires_capture", 200, C, SEND, DUNNO, "requires_capture"},
    {"intent_processing", 200, C, SEND, DUNNO, "processing"},
    {"intent_canceled", 200, C, SEND, NO, "canceled"},
    {"intent_of_another", 200, C, SEND, DUNNO, "unreadable_answer"},
    {"error_unexpected_succeeded", 400, C, SEND, DONE, ""},
    {"error_unexpected_canceled", 400, C, SEND, NO, "canceled"},
    {"error_unexpected_canceled_automatic", 400, C, SEND, NO, "authorization_expired"},
    {"error_unexpected_requires_confirmation", 400, C, SEND, NO, "not_authorized"},
    {"error_unexpected_processing", 400, C, SEND, DUNNO, "processing"},
    {"error_unexpected_without_intent", 400, C, SEND, DUNNO, "unreadable_answer"},
    {"error_unexpected_succeeded", 500, C, SEND, DUNNO, "provider_error"},
    {"error_amount_too_large", 400, C, SEND, NO, "amount_too_large"},
    {"error_expired_for_capture", 400, C, SEND, NO, "authorization_expired"},
    {"error_card_generic_decline", 402, C, SEND, NO, "generic_decline"},
    {"error_no_such_intent", 404, C, SEND, DUNNO, "reference_not_found"},
    {"error_other_mode", 404, C, SEND, DUNNO, "configuration"},
    {"error_idempotency", 400, C, SEND, DUNNO, "idempotency_conflict"},
    {"intent_requires_payment_method", 200, C, SEND, NO, "not_authorized"},
    {"intent_requires_action", 200, C, SEND, NO, "not_authorized"},
    {"intent_succeeded", 200, C, ASK, DONE, ""},
    {"intent_requires_payment_method", 200, C, ASK, NO, "not_authorized"},
    {"intent_requires_action", 200, C, ASK, NO, "not_authorized"},
    {"intent_requires_confirmation", 200, C, ASK, NO, "not_authorized"},
    {"intent_processing", 200, C, ASK, DUNNO, "processing"},
    {"intent_requires_capture", 200, C, ASK, NONE, ""},
    {"intent_canceled", 200, C, ASK, NO, "canceled"},
    {"intent_canceled_expired", 200, C, ASK, GONE, "authorization_expired"},
    {"intent_succeeded_other_amount", 200, C, ASK, DUNNO, "amount_mismatch"},
    {"error_no_such_intent", 404, C, ASK, DUNNO, "reference_not_found"},
    /* void */
    {"intent_canceled", 200, V, SEND, DONE, ""},
    {"intent_canceled_automatic", 200, V, SEND, GONE, "authorization_expired"},
    {"intent_requires_capture", 200, V, SEND, DUNNO, "requires_capture"},
    {"error_unexpected_canceled", 400, V, SEND, DONE, ""},
    {"error_unexpected_canceled_automatic", 400, V, SEND, GONE, "authorization_expired"},
    {"error_unexpected_succeeded", 400, V, SEND, NO, "already_captured"},
    {"error_unexpected_processing", 400, V, SEND, DUNNO, "processing"},
    {"error_unexpected_without_intent", 400, V, SEND, DUNNO, "unreadable_answer"},
    {"error_no_such_intent", 404, V, SEND, NONE, ""},
    {"error_other_mode", 404, V, SEND, DUNNO, "configuration"},
    {"error_unknown_url", 404, V, SEND, DUNNO, "configuration"},
    {"intent_requires_payment_method", 200, V, SEND, DUNNO, "not_canceled"},
    {"intent_requires_action", 200, V, SEND, DUNNO, "not_canceled"},
    {"intent_requires_confirmation", 200, V, SEND, DUNNO, "not_canceled"},
    {"intent_canceled", 200, V, ASK, DONE, ""},
    {"intent_requires_action", 200, V, ASK, NONE, ""},
    {"intent_requires_confirmation", 200, V, ASK, NONE, ""},
    {"intent_canceled_automatic", 200, V, ASK, GONE, "authorization_expired"},
    {"intent_requires_capture", 200, V, ASK, NONE, ""},
    {"intent_requires_payment_method", 200, V, ASK, NONE, ""},
    {"intent_succeeded", 200, V, ASK, NO, "already_captured"},
    {"intent_processing", 200, V, ASK, DUNNO, "processing"},
    {"error_no_such_intent", 404, V, ASK, NONE, ""},
    /* refund */
    {"refund_succeeded", 200, R, SEND, DONE, ""},
    {"refund_pending", 200, R, SEND, DUNNO, "pending"},
    {"refund_requires_action", 200, R, SEND, DUNNO, "requires_action"},
    {"refund_failed", 200, R, SEND, NO, "expired_or_canceled_card"},
    {"refund_canceled", 200, R, SEND, NO, "canceled"},
    {"refund_other_amount", 200, R, SEND, DUNNO, "amount_mismatch"},
    {"refund_of_another", 200, R, SEND, DUNNO, "unreadable_answer"},
    {"intent_succeeded", 200, R, SEND, DUNNO, "unreadable_answer"},
    {"error_already_refunded", 400, R, SEND, NO, "charge_already_refunded"},
    {"error_no_such_intent", 404, R, SEND, DUNNO, "reference_not_found"},
    {"error_unexpected_succeeded", 400, R, SEND, DUNNO, "unreadable_answer"},
    {"error_key_in_use", 409, R, SEND, DUNNO, "key_in_use"},
    {"refunds_ours", 200, R, ASK, DONE, ""},
    {"refunds_ours_failed", 200, R, ASK, NO, "declined"},
    {"refunds_none", 200, R, ASK, NONE, ""},
    {"refunds_others", 200, R, ASK, NONE, ""},
    {"refunds_others_and_more", 200, R, ASK, DUNNO, "too_many_refunds"},
    {"refund_succeeded", 200, R, ASK, DUNNO, "unreadable_answer"},
    {"error_already_refunded", 400, R, ASK, DUNNO, "question_refused"},
};

static void check_answer(size_t i, const struct provider_answer *answer)
{
    if ((int)answer->outcome != answers[i].outcome || strcmp(answer->code, answers[i].code) != 0)
        fail_msg("case %zu, %s with HTTP %d: outcome %d \"%s\", wanted %d \"%s\"", i, answers[i].file,
                 answers[i].status, answer->outcome, answer->code, answers[i].outcome, answers[i].code);
}

static void test_every_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct provider_request request = request_of((enum provider_operation)answers[i].operation, answers[i].ask);
        struct provider_answer answer;
        char *body = read_fixture(answers[i].file);
        stripe_decode(&request, request.amount, answers[i].status, body, strlen(body), &answer);
        check_answer(i, &answer);
        assert_null(answer.evidence);
        assert_int_equal(answer.action != NULL, answer.outcome == PROVIDER_ACTION);
        assert_null(strstr(answer.message, request.payment_token));
        json_decref(answer.action);
        free(body);
    }
}

/* Codes that come with a 4xx of any kind and mean the same for every operation. */
static void test_codes(void **state)
{
    (void)state;
    static const struct {
        const char *type, *code;
        int status;
        enum provider_outcome outcome;
        const char *wanted;
    } cases[] = {
        {"invalid_request_error", "api_key_expired", 400, PROVIDER_UNKNOWN, "configuration"},
        {"invalid_request_error", "platform_api_key_expired", 400, PROVIDER_UNKNOWN, "configuration"},
        {"invalid_request_error", "secret_key_required", 400, PROVIDER_UNKNOWN, "configuration"},
        {"invalid_request_error", "livemode_mismatch", 400, PROVIDER_UNKNOWN, "configuration"},
        {"invalid_request_error", "testmode_charges_only", 400, PROVIDER_UNKNOWN, "configuration"},
        {"invalid_request_error", "account_invalid", 400, PROVIDER_UNKNOWN, "configuration"},
        {"invalid_request_error", "account_closed", 400, PROVIDER_UNKNOWN, "configuration"},
        {"invalid_request_error", "tls_version_unsupported", 400, PROVIDER_UNKNOWN, "configuration"},
        {"invalid_request_error", "whatever", 401, PROVIDER_UNKNOWN, "configuration"},
        {"invalid_request_error", "whatever", 403, PROVIDER_UNKNOWN, "configuration"},
        {"invalid_request_error", "whatever", 429, PROVIDER_UNKNOWN, "rate_limited"},
        {"invalid_request_error", "capture_charge_authorization_expired", 400, PROVIDER_REFUSED,
         "authorization_expired"},
        {"invalid_request_error", "Some-New Code", 400, PROVIDER_REFUSED, "some_new_code"},
        {"some_new_error", "whatever", 400, PROVIDER_UNKNOWN, "unreadable_answer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct provider_request request = request_of(PROVIDER_CAPTURE, false);
        struct provider_answer answer;
        char body[256];
        snprintf(body, sizeof body, "{\"error\":{\"type\":\"%s\",\"code\":\"%s\"}}", cases[i].type, cases[i].code);
        stripe_decode(&request, request.amount, cases[i].status, body, strlen(body), &answer);
        if (answer.outcome != cases[i].outcome || strcmp(answer.code, cases[i].wanted) != 0)
            fail_msg("%s with HTTP %d: outcome %d \"%s\"", cases[i].code, cases[i].status, answer.outcome, answer.code);
    }
}

/* The slots of two payments have the same names. */
static void test_a_refund_of_another_payment(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_REFUND, true);
    struct provider_answer answer;
    char *body = read_fixture("refunds_ours");
    request.payment_id.bytes[0] ^= 1;
    stripe_decode(&request, request.amount, 200, body, strlen(body), &answer);
    assert_int_equal(answer.outcome, PROVIDER_ABSENT);
    free(body);
}

/* Answers that were meant for another payment (a connection that says something twice) decide nothing. */
static void test_answers_to_others(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int status, operation;
    } rows[] = {{"intent_requires_capture", 200, A},
                {"intent_requires_action", 200, A},
                {"intent_requires_payment_method", 200, A},
                {"error_card_generic_decline", 402, A},
                {"error_unexpected_canceled", 400, C},
                {"intent_succeeded", 200, C},
                {"intent_canceled", 200, V},
                {"refund_succeeded", 200, R}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct provider_request request = request_of((enum provider_operation)rows[i].operation, false);
        struct provider_answer answer;
        char *body = read_fixture(rows[i].file);
        if (rows[i].operation == R)
            request.slot = "refund:2";
        else if (rows[i].operation == A)
            request.key = "acq_another";
        else
            request.authorization_key = "acq_another";
        stripe_decode(&request, request.amount, rows[i].status, body, strlen(body), &answer);
        if (answer.outcome != PROVIDER_UNKNOWN || strcmp(answer.code, "unreadable_answer") != 0)
            fail_msg("%s: outcome %d \"%s\"", rows[i].file, answer.outcome, answer.code);
        json_decref(answer.action);
        free(body);
    }
}

/* An answer cut anywhere is never a result: garbage decides nothing about money. */
static void test_cut_answers_are_unknown(void **state)
{
    (void)state;
    static const char *const files[] = {"intent_requires_capture", "error_card_insufficient_funds", "refund_succeeded"};
    static const int operations[] = {A, A, R};
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
        struct provider_request request = request_of((enum provider_operation)operations[f], false);
        char *body = read_fixture(files[f]);
        size_t whole = strlen(body) - 1; /* the last byte is a newline */
        for (size_t size = 0; size < whole; size++) {
            struct provider_answer answer;
            stripe_decode(&request, request.amount, f == 1 ? 402 : 200, body, size, &answer);
            assert_int_equal(answer.outcome, PROVIDER_UNKNOWN);
        }
        free(body);
    }
}

static void test_references_and_texts(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    struct provider_answer answer;
    char *body = read_fixture("intent_requires_action");
    stripe_decode(&request, 2500, 200, body, strlen(body), &answer);
    assert_string_equal(answer.reference, INTENT);
    assert_string_equal(json_text(answer.action, "type", ""), "redirect_to_url");
    assert_string_equal(json_text(answer.action, "url", ""),
                        "https://hooks.stripe.com/redirect/authenticate/src_1MtwBwLkdIwHu7ix");
    json_decref(answer.action);
    free(body);
    body = read_fixture("intent_requires_action_sdk");
    stripe_decode(&request, 2500, 200, body, strlen(body), &answer);
    assert_string_equal(json_text(answer.action, "type", ""), "use_stripe_sdk");
    assert_string_equal(json_text(answer.action, "url", ""),
                        "https://hooks.stripe.com/redirect/authenticate/src_1MtwBwLkdIwHu7ix");
    json_decref(answer.action);
    free(body);
    body = read_fixture("error_card_insufficient_funds");
    stripe_decode(&request, 2500, 402, body, strlen(body), &answer);
    assert_string_equal(answer.reference, INTENT);
    assert_string_equal(answer.message, "Your card has insufficient funds.");
    free(body);
    body = read_fixture("error_no_such_method"); /* quotes the token */
    stripe_decode(&request, 2500, 400, body, strlen(body), &answer);
    assert_string_equal(answer.message, "Stripe refused the request: resource_missing at payment_method");
    assert_string_equal(answer.reference, "");
    free(body);
    request = request_of(PROVIDER_REFUND, false);
    body = read_fixture("refund_succeeded");
    stripe_decode(&request, 1000, 200, body, strlen(body), &answer);
    assert_string_equal(answer.reference, "re_1Nispe2eZvKYlo2Cd31jOCgZ");
    free(body);
    request = request_of(PROVIDER_CAPTURE, false);
    body = read_fixture("intent_of_another");
    stripe_decode(&request, 2500, 200, body, strlen(body), &answer);
    assert_string_equal(answer.reference, "");
    free(body);
}

static void test_search(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int status, operation, ask, outcome; /* outcome -1: located */
        const char *code;
    } cases[] = {
        {"search_one", 200, A, ASK, -1, ""},
        {"search_one", 200, C, SEND, -1, ""},
        {"search_none", 200, A, ASK, NONE, ""},
        {"search_none", 200, V, SEND, NONE, ""},
        {"search_none", 200, C, SEND, DUNNO, "reference_not_found"},
        {"search_none", 200, R, SEND, DUNNO, "reference_not_found"},
        {"search_others", 200, A, ASK, NONE, ""},
        {"search_two", 200, A, ASK, DUNNO, "ambiguous_answer"},
        {"search_more", 200, A, ASK, DUNNO, "ambiguous_answer"},
        {"refunds_none", 200, A, ASK, DUNNO, "unreadable_answer"},
        {"error_search_unavailable", 400, A, ASK, DUNNO, "question_refused"},
        {"error_search_unavailable", 400, V, SEND, DUNNO, "question_refused"},
        {"error_no_such_intent", 404, V, SEND, DUNNO, "configuration"},
        {"error_rate_limit", 429, A, ASK, DUNNO, "rate_limited"},
        {"error_api", 503, A, ASK, DUNNO, "provider_error"},
        {"error_unauthorized", 401, A, ASK, DUNNO, "configuration"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct provider_request request = request_of((enum provider_operation)cases[i].operation, cases[i].ask);
        struct provider_answer answer;
        char reference[PROVIDER_REFERENCE_SIZE];
        request.reference = "";
        char *body = read_fixture(cases[i].file);
        bool located = stripe_decode_search(&request, cases[i].status, body, strlen(body), reference, &answer);
        assert_int_equal(located, cases[i].outcome == -1);
        if (located)
            assert_string_equal(reference, INTENT);
        else if ((int)answer.outcome != cases[i].outcome || strcmp(answer.code, cases[i].code) != 0)
            fail_msg("case %zu, %s: outcome %d \"%s\"", i, cases[i].file, answer.outcome, answer.code);
        free(body);
    }
}

/* ---- amounts ---- */

static void test_amounts(void **state)
{
    (void)state;
    static const struct {
        const char *currency;
        int64_t amount, wanted; /* -1: refused */
        const char *code;
    } cases[] = {
        {"EUR", 2500, 2500, NULL},
        {"USD", 1, 1, NULL},
        {"MAD", 12345, 12345, NULL},
        {"HUF", 17510, 17510, NULL}, /* two digits; only payouts are whole */
        {"TWD", 80045, 80045, NULL},
        {"BIF", 500, 500, NULL},
        {"CLP", 500, 500, NULL},
        {"DJF", 500, 500, NULL},
        {"GNF", 500, 500, NULL},
        {"JPY", 500, 500, NULL},
        {"KMF", 500, 500, NULL},
        {"KRW", 500, 500, NULL},
        {"PYG", 500, 500, NULL},
        {"RWF", 500, 500, NULL},
        {"VND", 500, 500, NULL},
        {"VUV", 500, 500, NULL},
        {"XAF", 500, 500, NULL},
        {"XOF", 1000, 1000, NULL}, /* must never become 100000 */
        {"XPF", 500, 500, NULL},
        {"MGA", 50000, 500, NULL}, /* two digits in ISO 4217, none for Stripe */
        {"MGA", 50020, -1, "amount_not_representable"},
        {"ISK", 5, 500, NULL},
        {"UGX", 5, 500, NULL},
        {"BHD", 5120, 5120, NULL},
        {"JOD", 5120, 5120, NULL},
        {"KWD", 5120, 5120, NULL},
        {"OMR", 5120, 5120, NULL},
        {"TND", 5120, 5120, NULL},
        {"KWD", 5124, -1, "amount_not_representable"},
        {"TND", 1, -1, "amount_not_representable"},
        {"IQD", 1000, -1, "currency_not_supported"}, /* three digits, and not in Stripe's list */
        {"LYD", 1000, -1, "currency_not_supported"},
        {"CLF", 10000, -1, "currency_not_supported"},
        {"UYI", 100, -1, "currency_not_supported"},
        {"QQQ", 100, -1, "currency_not_supported"},
        {"UGX", INT64_MAX, -1, "amount_not_representable"},
        {"EUR", INT64_MAX, INT64_MAX, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t amount = -1;
        const char *code = NULL;
        int result = stripe_amount(cases[i].amount, cases[i].currency, &amount, &code);
        if (amount != cases[i].wanted || (result == 0) != (cases[i].code == NULL))
            fail_msg("%s %lld became %lld", cases[i].currency, (long long)cases[i].amount, (long long)amount);
        if (cases[i].code)
            assert_string_equal(code, cases[i].code);
    }
}

/* ---- requests ---- */

#define METADATA                                                                                                       \
    "&metadata[acquit_payment_id]=8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f&metadata[acquit_slot]=auth%3A1&metadata["       \
    "acquit_key]=acq_7f1c"

static void test_requests(void **state)
{
    (void)state;
    static const struct {
        int operation, ask, step;
        const char *method, *target, *body;
    } cases[] = {
        {A, SEND, STRIPE_ACT, "POST", "/v1/payment_intents",
         "amount=2500&currency=eur&payment_method=pm_secret_token_1&payment_method_types[]=card&confirm=true&capture_"
         "method=manual" METADATA},
        {C, SEND, STRIPE_ACT, "POST", "/v1/payment_intents/pi_3MtwBwLkdIwHu7ix28a3tqPa/capture",
         "amount_to_capture=2500"},
        {V, SEND, STRIPE_ACT, "POST", "/v1/payment_intents/pi_3MtwBwLkdIwHu7ix28a3tqPa/cancel", ""},
        {R, SEND, STRIPE_ACT, "POST", "/v1/refunds",
         "payment_intent=pi_3MtwBwLkdIwHu7ix28a3tqPa&amount=1000&metadata[acquit_payment_id]=8f14e45f-ceea-867d-8a1f-"
         "1a2b3c4d5e6f&"
         "metadata[acquit_slot]=refund%3A1&metadata[acquit_key]=acq_other"},
        {C, ASK, STRIPE_ACT, "GET", "/v1/payment_intents/pi_3MtwBwLkdIwHu7ix28a3tqPa", ""},
        {V, ASK, STRIPE_ACT, "GET", "/v1/payment_intents/pi_3MtwBwLkdIwHu7ix28a3tqPa", ""},
        {R, ASK, STRIPE_ACT, "GET", "/v1/refunds?limit=100&payment_intent=pi_3MtwBwLkdIwHu7ix28a3tqPa", ""},
        {A, ASK, STRIPE_LOCATE, "GET",
         "/v1/payment_intents/"
         "search?query=metadata%5B%27acquit_payment_id%27%5D%3A%278f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f%27%20AND%20"
         "metadata%5B%27acquit_key%27%5D%3A%27acq_7f1c%27",
         ""},
        {V, SEND, STRIPE_LOCATE, "GET", /* the key of the authorization, not of the void */
         "/v1/payment_intents/"
         "search?query=metadata%5B%27acquit_payment_id%27%5D%3A%278f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f%27%20AND%20"
         "metadata%5B%27acquit_key%27%5D%3A%27acq_7f1c%27",
         ""},
    };
    static struct stripe_message message;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct provider_request request = request_of((enum provider_operation)cases[i].operation, cases[i].ask);
        assert_int_equal(stripe_encode(&request, (enum stripe_step)cases[i].step, request.amount, &message, NULL), 0);
        assert_string_equal(message.method, cases[i].method);
        assert_string_equal(message.target, cases[i].target);
        assert_string_equal(message.body, cases[i].body);
        assert_int_equal(message.body_size, strlen(cases[i].body));
    }
}

static void test_request_with_awkward_texts(void **state)
{
    (void)state;
    static struct stripe_message message;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    request.description = "Café & co=50% +1\n";
    request.currency = "XOF";
    assert_int_equal(stripe_encode(&request, STRIPE_ACT, 1000, &message, NULL), 0);
    assert_string_equal(
        message.body,
        "amount=1000&currency=xof&payment_method=pm_secret_token_1&payment_method_types[]=card&confirm=true&"
        "capture_method=manual&description=Caf%C3%A9%20%26%20co%3D50%25%20%2B1%0A" METADATA);
    request = request_of(PROVIDER_AUTHORIZE, true);
    request.key = "it's\\";
    assert_int_equal(stripe_encode(&request, STRIPE_LOCATE, 1000, &message, NULL), 0);
    assert_non_null(strstr(message.target, "%3A%27it%5C%27s%5C%5C%27"));
    request = request_of(PROVIDER_CAPTURE, false);
    request.reference = "../x?y";
    assert_int_equal(stripe_encode(&request, STRIPE_ACT, 1000, &message, NULL), 0);
    assert_string_equal(message.target, "/v1/payment_intents/..%2Fx%3Fy/capture");
}

static void test_request_too_long(void **state)
{
    (void)state;
    static struct stripe_message message;
    static char description[STRIPE_BODY_MAX + 1];
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    struct err err = {0};
    memset(description, 'x', sizeof description - 1);
    request.description = description;
    assert_int_equal(stripe_encode(&request, STRIPE_ACT, 1000, &message, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
}

/* ---- a whole provider ---- */

static struct {
    struct loop *loop;
    struct http *http;
    struct scripted_server server;
    struct provider *provider;
    bool answered;
    struct provider_answer answer; /* evidence and action are ours */
    int answers;
} f;

static void on_answer(void *arg, const struct provider_answer *answer)
{
    assert_ptr_equal(arg, &f);
    json_decref(f.answer.evidence);
    json_decref(f.answer.action);
    f.answer = *answer;
    json_incref(f.answer.evidence);
    json_incref(f.answer.action);
    f.answered = true;
    f.answers++;
}

static struct provider_options options_of(const char *url, int64_t timeout_ms)
{
    return (struct provider_options){.name = "stripe",
                                     .kind = "stripe",
                                     .url = url,
                                     .secret = "sk_test_1",
                                     .timeout_ms = timeout_ms,
                                     .visibility_horizon_ms = 60000,
                                     .send_window_ms = 3600000,
                                     .loop = f.loop,
                                     .http = f.http};
}

static void open_provider(int64_t timeout_ms)
{
    static char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", f.server.port);
    struct provider_options options = options_of(url, timeout_ms);
    struct err err = {0};
    f.provider = provider_open(&options, &err);
    if (!f.provider)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    f.loop = loop_new(NULL);
    f.http = http_new(f.loop, NULL);
    script_open(&f.server, f.loop);
    open_provider(5000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    provider_close(f.provider);
    http_free(f.http);
    script_close(&f.server);
    loop_free(f.loop);
    json_decref(f.answer.evidence);
    json_decref(f.answer.action);
    return 0;
}

static void call(const struct provider_request *request)
{
    struct err err = {0};
    f.answered = false;
    if (!provider_start(f.provider, request, on_answer, &f, &err))
        fail_msg("%s", err.text);
    assert_false(f.answered); /* never from inside */
    assert_true(script_wait(f.loop, &f.answered));
}

static void assert_answer(enum provider_outcome outcome, const char *code)
{
    if (f.answer.outcome != outcome || strcmp(f.answer.code, code) != 0)
        fail_msg("outcome %d \"%s\" (%s), wanted %d \"%s\"", f.answer.outcome, f.answer.code, f.answer.message, outcome,
                 code);
}

static void test_headers_and_evidence(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    char *body = read_fixture("intent_requires_capture"), hash[65];
    script_add(&f.server, (struct script_reply){.to = "POST /v1/payment_intents", .status = 200, .body = body});
    call(&request);
    assert_answer(PROVIDER_DONE, "");
    assert_string_equal(f.answer.reference, INTENT);
    const char *sent = f.server.requests[0];
    assert_non_null(strstr(sent, "\r\nAuthorization: Bearer sk_test_1\r\n"));
    assert_non_null(strstr(sent, "\r\nIdempotency-Key: acq_7f1c\r\n"));
    assert_non_null(strstr(sent, "\r\nStripe-Version: " STRIPE_VERSION "\r\n"));
    assert_non_null(strstr(sent, "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
    assert_int_equal(json_int(f.answer.evidence, "status", 0), 200);
    assert_string_equal(json_text(f.answer.evidence, "requestId", ""), "req_test");
    sha256_hex(body, strlen(body), hash);
    assert_string_equal(json_text(f.answer.evidence, "answerSha256", ""), hash);
    sha256_hex(strstr(sent, "\r\n\r\n") + 4, strlen(strstr(sent, "\r\n\r\n") + 4), hash);
    assert_string_equal(json_text(f.answer.evidence, "requestSha256", ""), hash);
    assert_int_equal(json_object_size(f.answer.evidence), 6);
    char *text = json_encode(f.answer.evidence);
    assert_null(strstr(text, "pm_secret"));
    assert_null(strstr(text, "sk_test"));
    free(text);
    free(body);
}

static void test_question_by_key_then_by_reference(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, true);
    char *found = read_fixture("search_one"), *intent = read_fixture("intent_succeeded");
    script_add(&f.server, (struct script_reply){.to = "GET /v1/payment_intents/search?", .status = 200, .body = found});
    script_add(&f.server, (struct script_reply){.to = "GET /v1/payment_intents/pi_3MtwBwLkdIwHu7ix28a3tqPa ",
                                                .status = 200,
                                                .body = intent});
    call(&request);
    assert_answer(PROVIDER_DONE, ""); /* what the search showed is older than what the intent itself says */
    assert_string_equal(f.answer.reference, INTENT);
    assert_int_equal(f.server.request_count, 2);
    assert_null(strstr(f.server.requests[0], "Idempotency-Key"));
    free(found);
    free(intent);
}

static void test_void_without_a_reference(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_VOID, false);
    char *found = read_fixture("search_one"), *intent = read_fixture("intent_canceled");
    request.reference = "";
    script_add(&f.server, (struct script_reply){.to = "/search?", .status = 200, .body = found});
    script_add(&f.server, (struct script_reply){.to = "POST /v1/payment_intents/pi_3MtwBwLkdIwHu7ix28a3tqPa/cancel ",
                                                .status = 200,
                                                .body = intent});
    call(&request);
    assert_answer(PROVIDER_DONE, "");
    assert_non_null(strstr(f.server.requests[1], "\r\nIdempotency-Key: acq_other\r\n"));
    assert_non_null(strstr(f.server.requests[1], "\r\nContent-Length: 0\r\n"));
    free(found);
    free(intent);
}

static void test_refused_without_a_call(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    request.payment_token = "";
    call(&request);
    assert_answer(PROVIDER_REFUSED, "missing_payment_token");
    request.payment_token = NULL;
    call(&request);
    assert_answer(PROVIDER_REFUSED, "missing_payment_token");
    request = request_of(PROVIDER_AUTHORIZE, false);
    request.currency = "KWD";
    request.amount = 5124;
    call(&request);
    assert_answer(PROVIDER_REFUSED, "amount_not_representable");
    request = request_of(PROVIDER_REFUND, false);
    request.currency = "IQD";
    call(&request);
    assert_answer(PROVIDER_REFUSED, "currency_not_supported");
    assert_int_equal(f.server.request_count, 0);
    assert_int_equal(json_int(f.answer.evidence, "status", -1), 0);
    assert_string_equal(json_text(f.answer.evidence, "sentAt", "x"), "");
}

static void test_no_answer_is_unknown(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_CAPTURE, false);
    script_add(&f.server, (struct script_reply){.to = "/capture", .how = SCRIPT_CLOSE});
    script_add(&f.server, (struct script_reply){.to = "POST /v1/payment_intents ", .how = SCRIPT_HANG});
    call(&request);
    assert_answer(PROVIDER_UNKNOWN, "connection_lost");
    assert_int_equal(f.server.request_count, 1); /* a POST leaves once */
    provider_close(f.provider);
    open_provider(150);
    request = request_of(PROVIDER_AUTHORIZE, false);
    call(&request);
    assert_answer(PROVIDER_UNKNOWN, "timeout");
    provider_close(f.provider);
    struct provider_options options = options_of("http://127.0.0.1:1", 2000);
    f.provider = provider_open(&options, NULL);
    call(&request);
    assert_answer(PROVIDER_UNKNOWN, "not_sent");
}

/* What Stripe keeps under the key is the answer to every repeat: only a question can still tell something. */
static void test_when_a_key_is_spent(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int status, operation, ask;
        const char *replayed;
        bool spent;
    } cases[] = {
        {"error_api", 500, C, SEND, NULL, false}, /* may come from something in front of Stripe */
        {"error_api", 500, C, SEND, "false", false},
        {"error_api", 500, C, SEND, "true", true},
        {"error_unexpected_processing", 400, V, SEND, "true", true},
        {"error_unexpected_processing", 400, V, SEND, NULL, false},
        {"intent_processing", 200, A, SEND, NULL, true}, /* carried out: this answer is the one that is kept */
        {"refund_pending", 200, R, SEND, NULL, true},
        {"intent_other_amount", 200, A, SEND, NULL, true},
        {"refund_succeeded", 200, A, SEND, NULL, false}, /* unreadable as an intent: may be garbled */
        {"error_idempotency", 400, A, SEND, NULL, true},
        {"error_key_in_use", 409, A, SEND, NULL, false},
        {"error_rate_limit", 429, A, SEND, NULL, false},
        {"error_unauthorized", 401, A, SEND, NULL, false},
        {"intent_requires_capture", 200, A, SEND, "true", false}, /* known: nothing to send */
        {"error_card_generic_decline", 402, A, SEND, "true", false},
        {"intent_processing", 200, C, ASK, NULL, false}, /* a question has no key */
        {"error_api", 500, C, ASK, "true", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct provider_request request = request_of((enum provider_operation)cases[i].operation, cases[i].ask);
        char *body = read_fixture(cases[i].file), header[64];
        snprintf(header, sizeof header, "Idempotent-Replayed: %s", cases[i].replayed ? cases[i].replayed : "");
        script_add(&f.server, (struct script_reply){.to = "/v1/",
                                                    .status = cases[i].status,
                                                    .body = body,
                                                    .header = cases[i].replayed ? header : NULL});
        call(&request);
        if (f.answer.spent != cases[i].spent)
            fail_msg("case %zu, %s: outcome %d \"%s\"", i, cases[i].file, f.answer.outcome, f.answer.code);
        script_clear(&f.server);
        free(body);
    }
}

static void test_both_exchanges_share_the_timeout(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, true);
    char *found = read_fixture("search_one");
    script_add(&f.server, (struct script_reply){.to = "/search?", .status = 200, .body = found, .delay_ms = 700});
    script_add(&f.server, (struct script_reply){.to = "GET /v1/payment_intents/pi_", .how = SCRIPT_HANG});
    provider_close(f.provider);
    open_provider(1000);
    int64_t before = clock_monotonic_ms();
    call(&request);
    assert_answer(PROVIDER_UNKNOWN, "timeout");
    assert_true(clock_monotonic_ms() - before < 1500);
    free(found);
}

static void test_cancel_and_close_say_nothing(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    bool never = false;
    script_add(&f.server, (struct script_reply){.to = "POST", .how = SCRIPT_HANG});
    struct provider_call *one = provider_start(f.provider, &request, on_answer, &f, NULL);
    struct provider_call *two = provider_start(f.provider, &request, on_answer, &f, NULL);
    request.payment_token = "";
    struct provider_call *three = provider_start(f.provider, &request, on_answer, &f, NULL);
    assert_non_null(two);
    provider_cancel(three);
    for (int i = 0; i < 5 && !never; i++)
        assert_int_equal(loop_turn(f.loop, 20), 0);
    provider_cancel(one);
    provider_close(f.provider);
    f.provider = NULL;
    assert_int_equal(loop_turn(f.loop, 20), 0);
    assert_int_equal(f.answers, 0);
}

static void test_requests_that_cannot_be(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    struct err err = {0};
    static char description[STRIPE_BODY_MAX + 1];
    memset(description, 'x', sizeof description - 1);
    request.description = description;
    assert_null(provider_start(f.provider, &request, on_answer, &f, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    err_clear(&err);
    request = request_of(PROVIDER_AUTHORIZE, false);
    request.amount = 0;
    assert_null(provider_start(f.provider, &request, on_answer, &f, &err));
    assert_int_equal(err.code, ERR_INVALID);
    request.amount = 1;
    request.currency = "eur";
    assert_null(provider_start(f.provider, &request, on_answer, &f, NULL));
    request.currency = "EUR";
    request.key = "";
    assert_null(provider_start(f.provider, &request, on_answer, &f, NULL));
    assert_int_equal(f.answers, 0);
}

static void test_options(void **state)
{
    (void)state;
    static const char *const bad_urls[] = {NULL, "", "ftp://x", "api.stripe.com"};
    for (size_t i = 0; i < sizeof bad_urls / sizeof bad_urls[0]; i++) {
        struct provider_options options = options_of(bad_urls[i], 1000);
        struct err err = {0};
        assert_null(provider_open(&options, &err));
        assert_int_equal(err.code, ERR_CONFIG);
    }
    struct provider_options options = options_of("https://api.stripe.com", 1000);
    options.secret = "";
    assert_null(provider_open(&options, NULL));
    options.secret = "sk_test_1\r\nX: y";
    assert_null(provider_open(&options, NULL));
    options = options_of("https://api.stripe.com", 1000);
    options.send_window_ms = 24 * 3600 * 1000; /* a key must outlive the time in which it may be sent */
    assert_null(provider_open(&options, NULL));
    options = options_of("https://api.stripe.com", 1000);
    options.kind = "nobody";
    struct err err = {0};
    assert_null(provider_open(&options, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_int_equal(provider_capabilities(f.provider).key_lifetime_ms, 24 * 3600 * 1000);
    assert_string_equal(provider_name(f.provider), "stripe");
    assert_int_equal(provider_options(f.provider)->visibility_horizon_ms, 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_answer),
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_a_refund_of_another_payment),
        cmocka_unit_test(test_answers_to_others),
        cmocka_unit_test(test_cut_answers_are_unknown),
        cmocka_unit_test(test_references_and_texts),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_request_with_awkward_texts),
        cmocka_unit_test(test_request_too_long),
        cmocka_unit_test_setup_teardown(test_headers_and_evidence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_question_by_key_then_by_reference, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_void_without_a_reference, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_without_a_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_answer_is_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_when_a_key_is_spent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_exchanges_share_the_timeout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_and_close_say_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_requests_that_cannot_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_options, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
