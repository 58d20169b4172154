/* fuzz_paypal.c - any bytes as an answer of PayPal's (L6)
 *
 * Fields: operation (0..3), ask (0 or 1), step (0: order, 1: look, 2: act, 3: the access token), HTTP status, amount,
 * currency, slot, reference, payment token; the rest is the answer's body.
 */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/pan.h"
#include "tests/fuzz/input.h"
#include "workers/providers/paypal_wire.h"

enum { TOKEN_STEP = PAYPAL_ACT + 1 };

static struct provider_request read_request(struct input *input)
{
    struct provider_request request = {.key = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f:refund:1",
                                       .authorization_key = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f:auth:1"};
    MUST(uuid_parse("8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f", &request.payment_id) == 0);
    request.operation = (enum provider_operation)input_number(input, PROVIDER_AUTHORIZE, PROVIDER_REFUND);
    request.ask = input_number(input, 0, 1) == 1;
    if (request.operation == PROVIDER_AUTHORIZE)
        request.key = request.authorization_key;
    return request;
}

static void check_texts(const struct provider_answer *answer, const char *token)
{
    MUST(is_code(answer->code, sizeof answer->code));
    MUST(is_clean(answer->message, sizeof answer->message));
    MUST(is_clean(answer->reference, sizeof answer->reference) && !strchr(answer->reference, ' '));
    MUST(pan_count(answer->message, strlen(answer->message)) == 0);
    MUST(strlen(token) < 8 || !strstr(answer->message, token));
}

/* Nothing but an object can tell of an effect, or of none; and a server's failure tells nothing. A void's 204 alone
 * has no body, and a 404 that names no issue finds nothing. */
static void check_outcome(const struct provider_request *request, int status, const char *body, size_t size,
                          const struct provider_answer *answer)
{
    json_t *root = json_decode(body, size, NULL);
    bool voided = status == 204 && request->operation == PROVIDER_VOID;
    MUST(answer->outcome <= PROVIDER_UNKNOWN && !answer->spent);
    MUST(answer->outcome != PROVIDER_ACTION || json_is_object(answer->action));
    if ((!json_is_object(root) && !voided) || status >= 500 || status < 200 || (status >= 300 && status < 400))
        MUST(answer->outcome == PROVIDER_UNKNOWN);
    json_decref(root);
}

static void check_ids(const struct paypal_ids *ids)
{
    const char *const all[] = {ids->order, ids->authorization, ids->capture};
    for (size_t i = 0; i < 3; i++)
        MUST(is_clean(all[i], PAYPAL_ID_SIZE) && !strpbrk(all[i], " /?#"));
}

static void check_encode(const struct provider_request *request, enum paypal_step step, const struct paypal_ids *ids,
                         const char *value)
{
    static struct paypal_message message;
    struct err err = {0};
    if (paypal_encode(request, step, ids, value, &message, &err) != 0) {
        MUST(err.code == ERR_LIMIT || err.code == ERR_INVALID);
        return;
    }
    MUST(is_clean(message.target, sizeof message.target) && !strchr(message.target, ' '));
    MUST(is_clean(message.request_id, sizeof message.request_id));
    MUST(strlen(message.body) == message.body_size);
    json_t *root = json_decode(message.body, message.body_size, NULL);
    MUST(json_is_object(root) == (message.body_size > 0));
    if (step == PAYPAL_ACT && (request->operation == PROVIDER_CAPTURE || request->operation == PROVIDER_REFUND))
        MUST(json_is_object(json_object_get(root, "amount"))); /* without one it takes everything */
    json_decref(root);
}

static void decode(const struct provider_request *request, enum paypal_step step, int status, const char *body,
                   size_t size)
{
    struct provider_answer answer = {0};
    struct paypal_ids ids = paypal_ids_of(request->reference);
    bool more = paypal_decode(request, step, status, body, size, &ids, &answer);
    check_ids(&ids);
    if (more) {
        MUST(status >= 200 && status < 300 && step != PAYPAL_ACT);
    } else {
        check_texts(&answer, request->payment_token);
        check_outcome(request, status, body, size, &answer);
    }
    json_decref(answer.action);
    json_decref(answer.evidence);
}

static void decode_token(int status, const char *body, size_t size)
{
    static char token[PAYPAL_TOKEN_SIZE];
    int64_t lifetime_s = 0;
    const char *code = NULL;
    if (paypal_decode_token(status, body, size, token, &lifetime_s, &code))
        MUST(status == 200 && lifetime_s > 0 && *token && is_clean(token, sizeof token) && !strchr(token, ' '));
    else
        MUST(is_code(code, PROVIDER_CODE_SIZE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    struct provider_request request = read_request(&input);
    int step = (int)input_number(&input, PAYPAL_ORDER, TOKEN_STEP);
    int status = (int)input_number(&input, 0, 999);
    const char *code = NULL;
    char value[MONEY_TEXT_MAX];
    request.amount = input_number(&input, 0, INT64_MAX);
    request.currency = input_line(&input);
    request.slot = input_line(&input);
    request.reference = input_line(&input);
    request.payment_token = input_line(&input);
    struct paypal_ids ids = paypal_ids_of(request.reference);
    if (paypal_amount(request.amount, request.currency, value, &code) != 0)
        MUST(is_code(code, PROVIDER_CODE_SIZE));
    else if (step < TOKEN_STEP)
        check_encode(&request, (enum paypal_step)step, &ids, value);
    (void)paypal_minor_units(request.payment_token, request.currency);
    size_t body_size;
    const char *body = input_rest(&input, &body_size);
    if (step == TOKEN_STEP)
        decode_token(status, body, body_size);
    else
        decode(&request, (enum paypal_step)step, status, body, body_size);
    input_end(&input);
    return 0;
}
