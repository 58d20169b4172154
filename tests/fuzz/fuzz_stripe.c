/* fuzz_stripe.c - any bytes as an answer of Stripe's (L6)
 *
 * Fields: operation (0..3), ask (0 or 1), step (0: search, 1: the rest), HTTP status, amount, currency, slot, reference,
 * payment token; the rest is the answer's body.
 */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/pan.h"
#include "tests/fuzz/input.h"
#include "workers/providers/stripe_wire.h"

static struct provider_request read_request(struct input *input)
{
    struct provider_request request = {.key = "acq_7f1c", .authorization_key = "acq_7f1c"};
    MUST(uuid_parse("8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f", &request.payment_id) == 0);
    request.operation = (enum provider_operation)input_number(input, PROVIDER_AUTHORIZE, PROVIDER_REFUND);
    request.ask = input_number(input, 0, 1) == 1;
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

/* Nothing but an object can tell of an effect, or of none; and a server's failure tells nothing. */
static void check_outcome(int status, const char *body, size_t size, const struct provider_answer *answer)
{
    json_t *root = json_decode(body, size, NULL);
    MUST(answer->outcome <= PROVIDER_UNKNOWN);
    MUST(answer->outcome != PROVIDER_ACTION || json_is_object(answer->action));
    if (!json_is_object(root) || status >= 500 || status < 200 || (status >= 300 && status < 400))
        MUST(answer->outcome == PROVIDER_UNKNOWN);
    MUST(!answer->spent || answer->outcome == PROVIDER_UNKNOWN);
    json_decref(root);
}

static void check_encode(const struct provider_request *request, enum stripe_step step, int64_t amount)
{
    static struct stripe_message message;
    struct err err = {0};
    if (stripe_encode(request, step, amount, &message, &err) != 0) {
        MUST(err.code == ERR_LIMIT);
        return;
    }
    MUST(strlen(message.target) < sizeof message.target && strlen(message.body) == message.body_size);
    MUST(is_clean(message.target, sizeof message.target) && is_clean(message.body, sizeof message.body));
    MUST(!strchr(message.target, ' ') && !strchr(message.body, ' '));
}

static void decode(const struct provider_request *request, enum stripe_step step, int64_t amount, int status,
                   const char *body, size_t size)
{
    struct provider_answer answer = {0};
    char found[PROVIDER_REFERENCE_SIZE] = "";
    if (step == STRIPE_LOCATE && stripe_decode_search(request, status, body, size, found, &answer))
        MUST(*found && is_clean(found, sizeof found) && status >= 200 && status < 300);
    else if (step == STRIPE_ACT)
        stripe_decode(request, amount, status, body, size, &answer);
    if (!*found) {
        check_texts(&answer, request->payment_token);
        check_outcome(status, body, size, &answer);
    }
    json_decref(answer.action);
    json_decref(answer.evidence);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    struct provider_request request = read_request(&input);
    enum stripe_step step = (enum stripe_step)input_number(&input, STRIPE_LOCATE, STRIPE_ACT);
    int status = (int)input_number(&input, 0, 999);
    const char *code = NULL;
    int64_t amount = 0;
    request.amount = input_number(&input, 0, INT64_MAX);
    request.currency = input_line(&input);
    request.slot = input_line(&input);
    request.reference = input_line(&input);
    request.payment_token = input_line(&input);
    if (stripe_amount(request.amount, request.currency, &amount, &code) == 0)
        check_encode(&request, step, amount);
    else
        MUST(is_code(code, PROVIDER_CODE_SIZE));
    size_t body_size;
    const char *body = input_rest(&input, &body_size);
    decode(&request, step, amount, status, body, body_size);
    input_end(&input);
    return 0;
}
