/* test_provider_paypal.c - workers/providers/paypal: what is sent, byte for byte, and what each answer means (L5, L6)
 *
 * The first half drives the pure wire format with the files in fixtures/paypal/; the second half a whole provider
 * against a scripted server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/json.h"
#include "tests/unit/scripted_server.h"
#include "workers/providers/paypal_wire.h"

#define ORDER "5O190127TN364715T"
#define AUTHORIZATION "3C679366HE055180Y"
#define CAPTURE "2GG279541U471931P"
#define PAYMENT "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f"

static char *read_fixture(const char *name)
{
    char path[512];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, sizeof path, "%.*s/fixtures/paypal/%s.json", (int)(slash - __FILE__), __FILE__, name);
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
        .key = operation == PROVIDER_AUTHORIZE ? PAYMENT ":auth:1"
               : operation == PROVIDER_REFUND  ? PAYMENT ":refund:1"
                                               : PAYMENT ":capture",
        .authorization_key = PAYMENT ":auth:1",
        .reference = operation == PROVIDER_AUTHORIZE ? "" : ORDER "/" AUTHORIZATION,
        .amount = operation == PROVIDER_REFUND ? 1000 : 2500,
        .currency = "EUR",
        .payment_token = "vault-secret-1",
    };
    if (uuid_parse(PAYMENT, &request.payment_id) != 0)
        fail();
    return request;
}

static struct paypal_ids all_ids(void)
{
    return (struct paypal_ids){.order = ORDER, .authorization = AUTHORIZATION, .capture = CAPTURE};
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
    DUNNO = PROVIDER_UNKNOWN,
    MORE = 100, /* the next exchange */
};

static const struct {
    const char *file;
    int status, step, operation, ask, outcome;
    const char *code;
} answers[] = {
    /* clang-format off */
    /* the order: made, or found again */
    {"order_created", 201, PAYPAL_ORDER, A, SEND, MORE, ""},
    {"order_created", 200, PAYPAL_ORDER, A, ASK, MORE, ""},
    {"capture_completed", 201, PAYPAL_ORDER, A, SEND, DUNNO, "unreadable_answer"},
    {"order_of_another", 201, PAYPAL_ORDER, A, SEND, DUNNO, "unreadable_answer"},
    {"token", 201, PAYPAL_ORDER, A, SEND, DUNNO, "unreadable_answer"},
    {"error_invalid_request", 400, PAYPAL_ORDER, A, SEND, NO, "missing_required_parameter"},
    {"error_invalid_request", 400, PAYPAL_ORDER, A, ASK, DUNNO, "question_refused"},
    {"error_invalid_request", 400, PAYPAL_ORDER, C, SEND, DUNNO, "question_refused"},
    {"error_not_found", 404, PAYPAL_ORDER, A, SEND, DUNNO, "configuration"},
    {"error_authentication", 401, PAYPAL_ORDER, A, SEND, DUNNO, "configuration"},
    {"error_internal", 500, PAYPAL_ORDER, A, SEND, DUNNO, "provider_error"},
    /* authorize */
    {"order_authorized", 201, PAYPAL_ACT, A, SEND, DONE, ""},
    {"order_captured", 201, PAYPAL_ACT, A, SEND, DONE, ""},
    {"order_two_one_denied", 201, PAYPAL_ACT, A, SEND, DONE, ""},
    {"order_denied", 201, PAYPAL_ACT, A, SEND, NO, "declined_by_risk_fraud_filters"},
    {"order_pending", 201, PAYPAL_ACT, A, SEND, DUNNO, "pending"},
    {"order_voided", 201, PAYPAL_ACT, A, SEND, NO, "canceled"},
    {"order_expired", 201, PAYPAL_ACT, A, SEND, NO, "authorization_expired"},
    {"order_created", 201, PAYPAL_ACT, A, SEND, DUNNO, "not_authorized"},
    {"order_payer_action", 201, PAYPAL_ACT, A, SEND, ACT, "payer_action_required"},
    {"order_other_amount", 201, PAYPAL_ACT, A, SEND, DUNNO, "amount_mismatch"},
    {"order_other_currency", 201, PAYPAL_ACT, A, SEND, DUNNO, "amount_mismatch"},
    {"order_unheard_of_status", 201, PAYPAL_ACT, A, SEND, DUNNO, "unreadable_answer"},
    {"capture_completed", 201, PAYPAL_ACT, A, SEND, DUNNO, "unreadable_answer"},
    {"error_payer_action", 422, PAYPAL_ACT, A, SEND, ACT, "payer_action_required"},
    {"error_instrument_declined", 422, PAYPAL_ACT, A, SEND, NO, "instrument_declined"},
    {"error_instrument_declined", 500, PAYPAL_ACT, A, SEND, DUNNO, "provider_error"},
    {"error_instrument_declined", 200, PAYPAL_ACT, A, SEND, DUNNO, "unreadable_answer"},
    {"error_instrument_declined", 302, PAYPAL_ACT, A, SEND, DUNNO, "unreadable_answer"},
    {"error_already_authorized", 422, PAYPAL_ACT, A, SEND, DUNNO, "already_done"},
    {"error_duplicate_request", 422, PAYPAL_ACT, A, SEND, DUNNO, "idempotency_conflict"},
    {"error_in_progress", 409, PAYPAL_ACT, A, SEND, DUNNO, "locked"},
    {"error_in_progress", 422, PAYPAL_ACT, A, SEND, DUNNO, "locked"},
    {"error_rate_limit", 429, PAYPAL_ACT, A, SEND, DUNNO, "rate_limited"},
    {"error_not_authorized", 403, PAYPAL_ACT, A, SEND, DUNNO, "configuration"},
    {"error_not_found", 404, PAYPAL_ACT, A, SEND, DUNNO, "reference_not_found"},
    /* what became of an authorization */
    {"order_authorized", 200, PAYPAL_LOOK, A, ASK, DONE, ""},
    {"order_captured", 200, PAYPAL_LOOK, A, ASK, DONE, ""},
    {"order_denied", 200, PAYPAL_LOOK, A, ASK, NO, "declined_by_risk_fraud_filters"},
    {"order_pending", 200, PAYPAL_LOOK, A, ASK, DUNNO, "pending"},
    {"order_voided", 200, PAYPAL_LOOK, A, ASK, GONE, "canceled"},
    {"order_expired", 200, PAYPAL_LOOK, A, ASK, GONE, "authorization_expired"},
    {"order_created", 200, PAYPAL_LOOK, A, ASK, NONE, ""},
    {"order_approved", 200, PAYPAL_LOOK, A, ASK, NONE, ""},
    {"order_payer_action", 200, PAYPAL_LOOK, A, ASK, ACT, "payer_action_required"},
    {"order_of_another", 200, PAYPAL_LOOK, A, ASK, DUNNO, "unreadable_answer"},
    {"order_unheard_of_status", 200, PAYPAL_LOOK, A, ASK, DUNNO, "unreadable_answer"},
    {"error_not_found", 404, PAYPAL_LOOK, A, ASK, NONE, ""},
    {"error_instrument_declined", 422, PAYPAL_LOOK, A, ASK, DUNNO, "question_refused"},
    {"error_internal", 503, PAYPAL_LOOK, A, ASK, DUNNO, "provider_error"},
    /* capture */
    {"capture_completed", 201, PAYPAL_ACT, C, SEND, DONE, ""},
    {"capture_completed", 200, PAYPAL_ACT, C, SEND, DONE, ""},
    {"capture_pending", 201, PAYPAL_ACT, C, SEND, DUNNO, "pending"},
    {"capture_declined", 201, PAYPAL_ACT, C, SEND, NO, "declined"},
    {"capture_failed", 201, PAYPAL_ACT, C, SEND, NO, "failed"},
    {"refund_completed", 201, PAYPAL_ACT, C, SEND, DUNNO, "unreadable_answer"},
    {"capture_other_amount", 201, PAYPAL_ACT, C, SEND, DUNNO, "amount_mismatch"},
    {"capture_yen", 201, PAYPAL_ACT, C, SEND, DUNNO, "amount_mismatch"},
    {"error_already_captured", 422, PAYPAL_ACT, C, SEND, DUNNO, "already_done"},
    {"error_authorization_voided", 422, PAYPAL_ACT, C, SEND, NO, "canceled"},
    {"error_authorization_expired", 422, PAYPAL_ACT, C, SEND, NO, "authorization_expired"},
    {"error_not_found", 404, PAYPAL_ACT, C, SEND, DUNNO, "reference_not_found"},
    {"order_captured", 200, PAYPAL_LOOK, C, ASK, DONE, ""},
    {"order_capture_declined_then_done", 200, PAYPAL_LOOK, C, ASK, DONE, ""},
    {"order_capture_pending", 200, PAYPAL_LOOK, C, ASK, DUNNO, "pending"},
    {"order_capture_declined", 200, PAYPAL_LOOK, C, ASK, NO, "declined"},
    {"order_capture_hidden", 200, PAYPAL_LOOK, C, ASK, DUNNO, "capture_not_shown"},
    {"order_authorized", 200, PAYPAL_LOOK, C, ASK, NONE, ""},
    {"order_authorized", 200, PAYPAL_LOOK, C, SEND, MORE, ""},
    {"order_voided", 200, PAYPAL_LOOK, C, ASK, NO, "canceled"},
    {"order_created", 200, PAYPAL_LOOK, C, ASK, DUNNO, "reference_not_found"},
    {"error_not_found", 404, PAYPAL_LOOK, C, ASK, DUNNO, "reference_not_found"},
    /* void */
    {"", 204, PAYPAL_ACT, V, SEND, DONE, ""},
    {"authorization_voided", 200, PAYPAL_ACT, V, SEND, DONE, ""},
    {"authorization_created", 200, PAYPAL_ACT, V, SEND, DUNNO, "not_voided"},
    {"", 200, PAYPAL_ACT, V, SEND, DUNNO, "unreadable_answer"},
    {"error_previously_voided", 422, PAYPAL_ACT, V, SEND, DONE, ""},
    {"error_authorization_expired", 422, PAYPAL_ACT, V, SEND, GONE, "authorization_expired"},
    {"error_previously_captured", 422, PAYPAL_ACT, V, SEND, NO, "already_captured"},
    {"error_cannot_be_voided", 422, PAYPAL_ACT, V, SEND, DUNNO, "not_voided"},
    {"error_in_progress", 409, PAYPAL_ACT, V, SEND, DUNNO, "locked"},
    {"error_not_found", 404, PAYPAL_ACT, V, SEND, NONE, ""},
    {"order_authorized", 200, PAYPAL_LOOK, V, SEND, MORE, ""},
    {"order_authorized", 200, PAYPAL_LOOK, V, ASK, NONE, ""},
    {"order_voided", 200, PAYPAL_LOOK, V, ASK, DONE, ""},
    {"order_expired", 200, PAYPAL_LOOK, V, SEND, GONE, "authorization_expired"},
    {"order_captured", 200, PAYPAL_LOOK, V, SEND, NO, "already_captured"},
    {"order_payer_action", 200, PAYPAL_LOOK, V, SEND, GONE, "not_authorized"},
    /* refund */
    {"refund_completed", 201, PAYPAL_ACT, R, SEND, DONE, ""},
    {"refund_pending", 201, PAYPAL_ACT, R, SEND, DUNNO, "pending"},
    {"refund_failed", 201, PAYPAL_ACT, R, SEND, NO, "refund_failed"},
    {"refund_cancelled", 201, PAYPAL_ACT, R, SEND, NO, "canceled"},
    {"capture_completed", 201, PAYPAL_ACT, R, SEND, DUNNO, "unreadable_answer"},
    {"refund_of_everything", 201, PAYPAL_ACT, R, SEND, DUNNO, "amount_mismatch"},
    {"error_fully_refunded", 422, PAYPAL_ACT, R, SEND, NO, "capture_fully_refunded"},
    {"error_not_found", 404, PAYPAL_ACT, R, SEND, DUNNO, "reference_not_found"},
    {"order_captured", 200, PAYPAL_LOOK, R, SEND, MORE, ""},
    {"order_captured", 200, PAYPAL_LOOK, R, ASK, NONE, ""},
    {"order_refunded", 200, PAYPAL_LOOK, R, SEND, DONE, ""}, /* it is there already, and not sent */
    {"order_refunded", 200, PAYPAL_LOOK, R, ASK, DONE, ""},
    {"order_refund_failed", 200, PAYPAL_LOOK, R, ASK, NO, "refund_failed"},
    {"order_refunded_by_others", 200, PAYPAL_LOOK, R, SEND, MORE, ""},
    {"order_authorized", 200, PAYPAL_LOOK, R, SEND, DUNNO, "reference_not_found"},
    /* clang-format on */
};

static void test_every_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        char *body = *answers[i].file ? read_fixture(answers[i].file) : strdup("");
        struct provider_request request = request_of((enum provider_operation)answers[i].operation, answers[i].ask);
        struct paypal_ids ids = answers[i].step == PAYPAL_ORDER ? (struct paypal_ids){.order = ""} : all_ids();
        struct provider_answer answer;
        bool more = paypal_decode(&request, (enum paypal_step)answers[i].step, answers[i].status, body, strlen(body),
                                  &ids, &answer);
        int outcome = more ? MORE : (int)answer.outcome;
        if (outcome != answers[i].outcome || (!more && strcmp(answer.code, answers[i].code) != 0))
            fail_msg("%s %d, row %zu: %d \"%s\" (%s)", answers[i].file, answers[i].status, i, outcome, answer.code,
                     answer.message);
        if (answer.outcome == PROVIDER_ACTION)
            assert_string_equal(json_text(answer.action, "url", ""), "https://www.paypal.com/checkoutnow?token=" ORDER);
        json_decref(answer.action);
        free(body);
    }
}

/* Whatever comes before the end of it says nothing. */
static void test_cut_answers_are_unknown(void **state)
{
    (void)state;
    char *body = read_fixture("order_authorized");
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    for (size_t size = 0; size + 3 < strlen(body); size += 7) {
        struct paypal_ids ids = all_ids();
        struct provider_answer answer;
        assert_false(paypal_decode(&request, PAYPAL_ACT, 201, body, size, &ids, &answer));
        assert_int_equal(answer.outcome, PROVIDER_UNKNOWN);
    }
    free(body);
}

static void test_references(void **state)
{
    (void)state;
    static const struct {
        const char *reference, *order, *authorization;
    } cases[] = {{"", "", ""},      {"A1", "A1", ""},     {"A1/B2", "A1", "B2"}, {"/B2", "", ""},
                 {"A1/", "A1", ""}, {"A1/B2/C3", "", ""}, {"../x", "", ""},      {"A1/b c", "", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct paypal_ids ids = paypal_ids_of(cases[i].reference);
        assert_string_equal(ids.order, cases[i].order);
        assert_string_equal(ids.authorization, cases[i].authorization);
    }
    char *body = read_fixture("order_authorized");
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    struct paypal_ids ids = {.order = ORDER};
    struct provider_answer answer;
    paypal_decode(&request, PAYPAL_ACT, 201, body, strlen(body), &ids, &answer);
    assert_string_equal(answer.reference, ORDER "/" AUTHORIZATION);
    free(body);
}

/* ---- amounts ---- */

static void test_amounts(void **state)
{
    (void)state;
    static const struct {
        const char *currency;
        int64_t amount;
        const char *value, *code;
    } cases[] = {
        {"USD", 2500, "25.00", NULL},
        {"EUR", 1, "0.01", NULL},
        {"GBP", 100, "1.00", NULL},
        {"EUR", 123456789012345, "1234567890123.45", NULL},
        {"JPY", 1000, "1000", NULL}, /* never "10.00" */
        {"HUF", 250000, "2500", NULL},
        {"TWD", 100, "1", NULL},
        {"HUF", 250050, NULL, "amount_not_representable"},
        {"TWD", 1, NULL, "amount_not_representable"},
        {"XOF", 1000, NULL, "currency_not_supported"},
        {"XAF", 1000, NULL, "currency_not_supported"},
        {"KRW", 1000, NULL, "currency_not_supported"},
        {"TND", 1000, NULL, "currency_not_supported"},
        {"KWD", 1000, NULL, "currency_not_supported"},
        {"MAD", 1000, NULL, "currency_not_supported"},
        {"MGA", 1000, NULL, "currency_not_supported"},
        {"ISK", 1000, NULL, "currency_not_supported"},
        {"UGX", 1000, NULL, "currency_not_supported"},
        {"QQQ", 1000, NULL, "currency_not_supported"},
        {"USD", 0, NULL, "amount_not_representable"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char value[MONEY_TEXT_MAX] = "";
        const char *code = NULL;
        int result = paypal_amount(cases[i].amount, cases[i].currency, value, &code);
        assert_int_equal(result, cases[i].code ? -1 : 0);
        if (cases[i].code)
            assert_string_equal(code, cases[i].code);
        else
            assert_string_equal(value, cases[i].value);
        if (!cases[i].code)
            assert_int_equal(paypal_minor_units(value, cases[i].currency), cases[i].amount);
    }
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *value, *currency;
        int64_t amount;
    } cases[] = {
        {"25", "EUR", 2500},     {"25.5", "EUR", 2550},   {"25.50", "EUR", 2550},
        {"25.500", "EUR", 2550}, {"25.505", "EUR", -1},   {"1000.00", "JPY", 1000},
        {"1000.5", "JPY", -1},   {"2500", "HUF", 250000}, {"", "EUR", -1},
        {".5", "EUR", -1},       {"5.", "EUR", -1},       {"-5.00", "EUR", -1},
        {"5,00", "EUR", -1},     {"1e3", "EUR", -1},      {"5.00 ", "EUR", -1},
        {"5.00", "XOF", -1},     {"0.00", "EUR", 0},      {"99999999999999999999", "EUR", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (paypal_minor_units(cases[i].value, cases[i].currency) != cases[i].amount)
            fail_msg("%s %s", cases[i].value, cases[i].currency);
}

/* ---- requests ---- */

static void test_requests(void **state)
{
    (void)state;
    static const struct {
        int operation, ask, step;
        const char *method, *target, *request_id, *body;
    } cases[] = {
        {A, SEND, PAYPAL_ORDER, "POST", "/v2/checkout/orders", PAYMENT ":auth:1:order",
         "{\"intent\":\"AUTHORIZE\",\"purchase_units\":[{\"amount\":{\"currency_code\":\"EUR\",\"value\":\"25.00\"},"
         "\"custom_id\":\"" PAYMENT ".auth.1\"}]}"},
        {C, ASK, PAYPAL_ORDER, "POST", "/v2/checkout/orders", PAYMENT ":auth:1:order", /* that of its authorization */
         "{\"intent\":\"AUTHORIZE\",\"purchase_units\":[{\"amount\":{\"currency_code\":\"EUR\",\"value\":\"25.00\"},"
         "\"custom_id\":\"" PAYMENT ".auth.1\"}]}"},
        {A, SEND, PAYPAL_ACT, "POST", "/v2/checkout/orders/" ORDER "/authorize", PAYMENT ":auth:1",
         "{\"payment_source\":{\"card\":{\"vault_id\":\"vault-secret-1\"}}}"},
        {A, ASK, PAYPAL_LOOK, "GET", "/v2/checkout/orders/" ORDER, "", ""},
        {C, SEND, PAYPAL_ACT, "POST", "/v2/payments/authorizations/" AUTHORIZATION "/capture", PAYMENT ":capture",
         "{\"amount\":{\"currency_code\":\"EUR\",\"value\":\"25.00\"},\"final_capture\":true}"},
        {V, SEND, PAYPAL_ACT, "POST", "/v2/payments/authorizations/" AUTHORIZATION "/void", "", ""},
        {R, SEND, PAYPAL_ACT, "POST", "/v2/payments/captures/" CAPTURE "/refund", PAYMENT ":refund:1",
         "{\"amount\":{\"currency_code\":\"EUR\",\"value\":\"10.00\"},\"custom_id\":\"" PAYMENT ".refund.1\"}"},
    };
    static struct paypal_message message;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct provider_request request = request_of((enum provider_operation)cases[i].operation, cases[i].ask);
        struct paypal_ids ids = all_ids();
        const char *value = cases[i].operation == R ? "10.00" : "25.00";
        assert_int_equal(paypal_encode(&request, (enum paypal_step)cases[i].step, &ids, value, &message, NULL), 0);
        assert_string_equal(message.method, cases[i].method);
        assert_string_equal(message.target, cases[i].target);
        assert_string_equal(message.request_id, cases[i].request_id);
        assert_string_equal(message.body, cases[i].body);
        assert_int_equal(message.body_size, strlen(cases[i].body));
    }
}

static void test_awkward_requests(void **state)
{
    (void)state;
    static struct paypal_message message;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    struct paypal_ids ids = all_ids();
    static char description[400];
    for (size_t i = 0; i + 2 < sizeof description; i += 2)
        memcpy(description + i, "\xc3\xa9", 2);
    request.description = description;
    assert_int_equal(paypal_encode(&request, PAYPAL_ORDER, &ids, "25.00", &message, NULL), 0);
    const char *text = strstr(message.body, "\"description\":\"");
    assert_non_null(text);
    assert_int_equal(strcspn(text + strlen("\"description\":\""), "\""), 2 * PAYPAL_DESCRIPTION_MAX);
    request.payment_token = "paypal:8kk\"8451t";
    assert_int_equal(paypal_encode(&request, PAYPAL_ACT, &ids, "25.00", &message, NULL), 0);
    assert_string_equal(message.body, "{\"payment_source\":{\"paypal\":{\"vault_id\":\"8kk\\\"8451t\"}}}");
    static char key[] = "12345678901234567890123456789012345678901234567890123456789012345678901234567890"
                        "12345678901234567890123456789";
    struct err err = {0};
    request.key = key;
    assert_int_equal(paypal_encode(&request, PAYPAL_ACT, &ids, "25.00", &message, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
}

/* ---- a whole provider ---- */

#define SECRET "client-id:client-secret"
#define BASIC "Authorization: Basic Y2xpZW50LWlkOmNsaWVudC1zZWNyZXQ=\r\n"
#define TOKEN "A21AAFEpH4PsADK7qSS7pSRsgzfENtu"

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
    return (struct provider_options){.name = "paypal",
                                     .kind = "paypal",
                                     .url = url,
                                     .secret = SECRET,
                                     .timeout_ms = timeout_ms,
                                     .visibility_horizon_ms = 60000,
                                     .send_window_ms = 30000,
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

static void begin(const struct provider_request *request)
{
    struct err err = {0};
    f.answered = false;
    if (!provider_start(f.provider, request, on_answer, &f, &err))
        fail_msg("%s", err.text);
    assert_false(f.answered); /* never from inside */
}

static void call(const struct provider_request *request)
{
    begin(request);
    assert_true(script_wait(f.loop, &f.answered));
}

static void assert_answer(enum provider_outcome outcome, const char *code)
{
    if (f.answer.outcome != outcome || strcmp(f.answer.code, code) != 0)
        fail_msg("outcome %d \"%s\" (%s), wanted %d \"%s\"", f.answer.outcome, f.answer.code, f.answer.message, outcome,
                 code);
}

/* The server says the file's content `times` times; 0: for ever. */
static void reply(const char *to, int status, const char *file, int times)
{
    static char *bodies[SCRIPT_REPLIES_MAX];
    static size_t next;
    free(bodies[next]);
    bodies[next] = *file ? read_fixture(file) : strdup("");
    script_add(&f.server, (struct script_reply){.to = to, .status = status, .body = bodies[next], .times = times});
    next = (next + 1) % SCRIPT_REPLIES_MAX;
}

static void assert_asked(const char *const *first_lines, size_t count)
{
    assert_int_equal(f.server.request_count, count);
    for (size_t i = 0; i < count; i++)
        if (strncmp(f.server.requests[i], first_lines[i], strlen(first_lines[i])) != 0)
            fail_msg("request %zu is %.80s, wanted %s", i, f.server.requests[i], first_lines[i]);
}
#define ASSERT_ASKED(...)                                                                                              \
    do {                                                                                                               \
        static const char *const lines[] = {__VA_ARGS__};                                                              \
        assert_asked(lines, sizeof lines / sizeof lines[0]);                                                           \
    } while (0)

#define POST_TOKEN "POST /v1/oauth2/token "
#define POST_ORDER "POST /v2/checkout/orders "
#define GET_ORDER "GET /v2/checkout/orders/" ORDER " "
#define POST_AUTHORIZE "POST /v2/checkout/orders/" ORDER "/authorize "

static void test_an_authorization(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    reply(POST_TOKEN, 200, "token", 0);
    reply(POST_ORDER, 201, "order_created", 0);
    reply(POST_AUTHORIZE, 201, "order_authorized", 0);
    call(&request);
    assert_answer(PROVIDER_DONE, "");
    assert_string_equal(f.answer.reference, ORDER "/" AUTHORIZATION);
    ASSERT_ASKED(POST_TOKEN, POST_ORDER, POST_AUTHORIZE);
    assert_non_null(strstr(f.server.requests[0], BASIC));
    assert_non_null(strstr(f.server.requests[0], "\r\n\r\ngrant_type=client_credentials"));
    assert_non_null(strstr(f.server.requests[1], "Authorization: Bearer " TOKEN "\r\n"));
    assert_non_null(strstr(f.server.requests[1], "PayPal-Request-Id: " PAYMENT ":auth:1:order\r\n"));
    assert_null(strstr(f.server.requests[1], "payment_source")); /* so that it can be made again as a question */
    assert_non_null(strstr(f.server.requests[2], "PayPal-Request-Id: " PAYMENT ":auth:1\r\n"));
    assert_non_null(strstr(f.server.requests[2], "Prefer: return=representation\r\n"));
    char *text = json_encode(f.answer.evidence);
    assert_int_equal(json_object_size(f.answer.evidence), 6);
    assert_true(!strstr(text, TOKEN) && !strstr(text, "client-secret") && !strstr(text, "vault-secret"));
    free(text);
}

static void test_the_token_is_shared(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_CAPTURE, false);
    reply(POST_TOKEN, 200, "token", 0);
    reply("/capture ", 201, "capture_completed", 0);
    begin(&request);
    begin(&request);
    while (f.answers < 2)
        assert_int_equal(loop_turn(f.loop, 20), 0);
    call(&request);
    assert_answer(PROVIDER_DONE, "");
    assert_int_equal(f.server.request_count, 4);
    assert_null(strstr(f.server.requests[1], "oauth2"));
}

static void test_a_refused_token_is_fetched_anew_once(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_CAPTURE, false);
    reply(POST_TOKEN, 200, "token", 0);
    reply("/capture ", 401, "error_authentication", 1);
    reply("/capture ", 201, "capture_completed", 1);
    reply("/capture ", 401, "error_authentication", 0);
    call(&request);
    assert_answer(PROVIDER_DONE, "");
    ASSERT_ASKED(POST_TOKEN, "POST /v2/payments", POST_TOKEN, "POST /v2/payments");
    call(&request);
    assert_answer(PROVIDER_UNKNOWN, "configuration");
    assert_int_equal(f.server.request_count, 7);
}

/* A refusal of the token before must not cost the one that came since. */
static void test_a_late_refusal_keeps_the_new_token(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_CAPTURE, false);
    char *refusal = read_fixture("error_authentication");
    reply(POST_TOKEN, 200, "token", 0);
    script_add(&f.server,
               (struct script_reply){.to = "/capture ", .status = 401, .body = refusal, .delay_ms = 200, .times = 1});
    script_add(&f.server, (struct script_reply){.to = "/capture ", .status = 401, .body = refusal, .times = 1});
    reply("/capture ", 201, "capture_completed", 0);
    begin(&request);
    begin(&request);
    while (f.answers < 2)
        assert_int_equal(loop_turn(f.loop, 20), 0);
    size_t tokens = 0;
    for (size_t i = 0; i < f.server.request_count; i++)
        tokens += strncmp(f.server.requests[i], POST_TOKEN, strlen(POST_TOKEN)) == 0;
    assert_int_equal(tokens, 2);
    free(refusal);
}

static void test_a_token_is_fetched_before_it_ends(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_CAPTURE, false);
    script_add(&f.server,
               (struct script_reply){.to = POST_TOKEN,
                                     .status = 200,
                                     .body = "{\"access_token\":\"t\",\"token_type\":\"Bearer\",\"expires_in\":1}"});
    reply("/capture ", 201, "capture_completed", 0);
    call(&request);
    call(&request);
    assert_int_equal(f.server.request_count, 3);
    int64_t until = clock_monotonic_ms() + 520; /* half of a life of 1 s */
    while (clock_monotonic_ms() < until)
        assert_int_equal(loop_turn(f.loop, 20), 0);
    call(&request);
    ASSERT_ASKED(POST_TOKEN, "POST /v2/payments", "POST /v2/payments", POST_TOKEN, "POST /v2/payments");
}

static void test_without_a_token_nothing_is_sent(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body, *code;
    } cases[] = {{401, "{\"error\":\"invalid_client\"}", "configuration"},
                 {500, "", "provider_error"},
                 {429, "", "rate_limited"},
                 {200, "{}", "unreadable_answer"},
                 {200, "{\"access_token\":\"a b\",\"token_type\":\"Bearer\",\"expires_in\":1}", "unreadable_answer"}};
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        script_clear(&f.server);
        script_add(&f.server,
                   (struct script_reply){.to = POST_TOKEN, .status = cases[i].status, .body = cases[i].body});
        call(&request);
        assert_answer(PROVIDER_UNKNOWN, cases[i].code);
        assert_false(f.answer.spent);
        ASSERT_ASKED(POST_TOKEN);
    }
}

static void test_a_question_by_key(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, true);
    reply(POST_TOKEN, 200, "token", 0);
    reply(POST_ORDER, 200, "order_created", 0);
    reply(GET_ORDER, 200, "order_authorized", 1);
    reply(GET_ORDER, 200, "order_created", 0);
    call(&request);
    assert_answer(PROVIDER_DONE, "");
    ASSERT_ASKED(POST_TOKEN, POST_ORDER, GET_ORDER);
    call(&request);
    assert_answer(PROVIDER_ABSENT, "");
}

/* PayPal may have forgotten the key: making the order would make another one, and show nothing of the first. */
static void test_no_question_by_an_expired_key(void **state)
{
    (void)state;
    static const int64_t day = 24 * 3600 * 1000;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, true);
    request.authorized_at_ms = clock_wall_ms() - 44 * day;
    call(&request);
    assert_answer(PROVIDER_UNKNOWN, "key_expired");
    assert_int_equal(f.server.request_count, 0);
    reply(POST_TOKEN, 200, "token", 0);
    reply(POST_ORDER, 200, "order_created", 0);
    reply(GET_ORDER, 200, "order_authorized", 0);
    request.authorized_at_ms = clock_wall_ms() - 43 * day;
    call(&request);
    assert_answer(PROVIDER_DONE, "");
    request.authorized_at_ms = clock_wall_ms() - 400 * day; /* by its reference it can be asked about for ever */
    request.reference = ORDER;
    call(&request);
    assert_answer(PROVIDER_DONE, "");
}

/* L6: the time may run out while the exchanges before the effect are under way. */
static void test_no_effect_after_its_window(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    char *order = read_fixture("order_created");
    reply(POST_TOKEN, 200, "token", 0);
    script_add(&f.server,
               (struct script_reply){.to = POST_ORDER, .status = 201, .body = order, .delay_ms = 150, .times = 1});
    request.send_until_ms = clock_wall_ms() + 100;
    call(&request);
    assert_answer(PROVIDER_UNKNOWN, "not_sent");
    ASSERT_ASKED(POST_TOKEN, POST_ORDER);
    free(order);
}

static void test_a_refund_looks_first(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_REFUND, false);
    reply(POST_TOKEN, 200, "token", 0);
    reply(GET_ORDER, 200, "order_captured", 1);
    reply(GET_ORDER, 200, "order_refunded", 0);
    reply("POST /v2/payments/captures/" CAPTURE "/refund ", 201, "refund_completed", 0);
    call(&request);
    assert_answer(PROVIDER_DONE, "");
    ASSERT_ASKED(POST_TOKEN, GET_ORDER, "POST /v2/payments/captures/" CAPTURE "/refund ");
    assert_non_null(strstr(f.server.requests[2], "\"value\":\"10.00\"")); /* an empty body refunds everything */
    call(&request);
    assert_answer(PROVIDER_DONE, "");
    assert_int_equal(f.server.request_count, 4);
}

static void test_a_void_takes_no_request_id(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_VOID, false);
    reply(POST_TOKEN, 200, "token", 0);
    reply("/void ", 204, "", 0);
    call(&request);
    assert_answer(PROVIDER_DONE, "");
    assert_null(strstr(f.server.requests[1], "PayPal-Request-Id"));
}

static void test_when_a_key_is_spent(void **state)
{
    (void)state;
    static const struct {
        int operation, ask, status;
        const char *to, *file;
        bool spent;
    } cases[] = {{C, SEND, 201, "/capture ", "capture_pending", true},
                 {C, SEND, 422, "/capture ", "error_already_captured", true},
                 {C, SEND, 422, "/capture ", "error_duplicate_request", true},
                 {C, SEND, 201, "/capture ", "capture_other_amount", true},
                 {C, SEND, 201, "/capture ", "token", false}, /* unreadable: tells nothing about what is kept */
                 {C, SEND, 500, "/capture ", "error_internal", false},
                 {C, SEND, 409, "/capture ", "error_in_progress", false},
                 {C, SEND, 201, "/capture ", "capture_declined", false},
                 {V, SEND, 200, "/void ", "authorization_created", false},
                 {C, ASK, 200, GET_ORDER, "order_capture_pending", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct provider_request request = request_of((enum provider_operation)cases[i].operation, cases[i].ask);
        script_clear(&f.server);
        reply(POST_TOKEN, 200, "token", 0);
        reply(cases[i].to, cases[i].status, cases[i].file, 0);
        call(&request);
        if (f.answer.spent != cases[i].spent)
            fail_msg("%s: spent %d", cases[i].file, f.answer.spent);
    }
}

static void test_refused_without_a_call(void **state)
{
    (void)state;
    static const char *const currencies[] = {"XOF", "TND", "MAD"};
    struct provider_request request = request_of(PROVIDER_AUTHORIZE, false);
    for (size_t i = 0; i < 3; i++) {
        request.currency = currencies[i];
        call(&request);
        assert_answer(PROVIDER_REFUSED, "currency_not_supported");
    }
    request.currency = "HUF";
    request.amount = 150;
    call(&request);
    assert_answer(PROVIDER_REFUSED, "amount_not_representable");
    request = request_of(PROVIDER_AUTHORIZE, false);
    request.payment_token = "";
    call(&request);
    assert_answer(PROVIDER_REFUSED, "missing_payment_token");
    assert_int_equal(f.server.request_count, 0);
}

static void test_no_answer_is_unknown(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_CAPTURE, false);
    reply(POST_TOKEN, 200, "token", 0);
    script_add(&f.server, (struct script_reply){.to = "/capture ", .how = SCRIPT_CLOSE, .times = 1});
    script_add(&f.server, (struct script_reply){.to = "/capture ", .how = SCRIPT_HANG});
    call(&request);
    assert_answer(PROVIDER_UNKNOWN, "connection_lost");
    provider_close(f.provider);
    open_provider(300);
    call(&request);
    assert_answer(PROVIDER_UNKNOWN, "timeout");
}

static void test_cancel_and_close_say_nothing(void **state)
{
    (void)state;
    struct provider_request request = request_of(PROVIDER_CAPTURE, false);
    script_add(&f.server, (struct script_reply){.to = POST_TOKEN, .how = SCRIPT_HANG});
    struct provider_call *one = provider_start(f.provider, &request, on_answer, &f, NULL);
    struct provider_call *two = provider_start(f.provider, &request, on_answer, &f, NULL);
    assert_true(one && two);
    for (int i = 0; i < 5; i++)
        assert_int_equal(loop_turn(f.loop, 20), 0);
    provider_cancel(one);
    provider_close(f.provider);
    f.provider = NULL;
    assert_int_equal(loop_turn(f.loop, 20), 0);
    assert_int_equal(f.answers, 0);
}

static void test_options(void **state)
{
    (void)state;
    static const char *const bad_secrets[] = {NULL, "", "id", "id:", ":secret", "id:a\r\nX: y"};
    for (size_t i = 0; i < sizeof bad_secrets / sizeof bad_secrets[0]; i++) {
        struct provider_options options = options_of("https://api-m.paypal.com", 1000);
        struct err err = {0};
        options.secret = bad_secrets[i];
        assert_null(provider_open(&options, &err));
        assert_int_equal(err.code, ERR_CONFIG);
    }
    struct provider_options options = options_of("api-m.paypal.com", 1000);
    assert_null(provider_open(&options, NULL));
    assert_int_equal(provider_capabilities(f.provider).key_lifetime_ms, (int64_t)45 * 24 * 3600 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_answer),
        cmocka_unit_test(test_cut_answers_are_unknown),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_awkward_requests),
        cmocka_unit_test_setup_teardown(test_an_authorization, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_token_is_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refused_token_is_fetched_anew_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_late_refusal_keeps_the_new_token, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_token_is_fetched_before_it_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_token_nothing_is_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_question_by_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_question_by_an_expired_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_effect_after_its_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refund_looks_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_void_takes_no_request_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_when_a_key_is_spent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_without_a_call, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_answer_is_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_and_close_say_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_options, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
