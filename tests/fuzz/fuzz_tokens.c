/* fuzz_tokens.c - any bytes as an answer of the token system's (L6)
 *
 * Fields: operation (0..4), HTTP status, token id, quantity; the rest is the answer's body.
 */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "tests/fuzz/input.h"
#include "workers/providers/tokens_wire.h"

static void check(const struct tokens_request *request, int status, const char *body, size_t size)
{
    struct tokens_answer answer = {0};
    tokens_decode(request, status, body, size, &answer);
    json_t *root = json_decode(body, size, NULL);
    MUST(answer.outcome <= TOKENS_UNKNOWN && is_code(answer.code, sizeof answer.code));
    MUST(json_is_object(root) || answer.outcome == TOKENS_UNKNOWN);
    MUST(answer.outcome != TOKENS_DONE || status == 200 || status == 201);
    const struct tokens_state *state = &answer.state;
    MUST(is_clean(state->token_id, sizeof state->token_id) && memchr(state->token_id, '\0', sizeof state->token_id) &&
         *tokens_status_text(state->status));
    MUST(request->operation == TOKENS_ASK || (!*state->token_id && !state->quantity && !state->status));
    MUST(answer.outcome == TOKENS_DONE || (!*state->token_id && !state->quantity && !state->status));
    MUST((*state->token_id != '\0') == (state->quantity > 0));
    MUST(answer.outcome != TOKENS_ACTIVE || request->operation == TOKENS_RELEASE);
    MUST(answer.outcome != TOKENS_REFUSED || (*answer.code && request->operation != TOKENS_RELEASE));
    json_decref(root);
    json_decref(answer.evidence);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    struct tokens_request request = {0};
    MUST(uuid_parse("8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f", &request.payment_id) == 0);
    request.operation = (enum tokens_operation)input_number(&input, TOKENS_RESERVE, TOKENS_ASK);
    int status = (int)input_number(&input, 0, 999);
    request.token_id = input_line(&input);
    request.quantity = input_number(&input, 1, INT64_MAX);
    size_t body_size;
    const char *body = input_rest(&input, &body_size);
    check(&request, status, body, body_size);
    json_t *name = json_string(request.token_id); /* a token id comes out of JSON: it is UTF-8 */
    if (name) {
        char target[TOKENS_TARGET_MAX], *sent;
        tokens_encode(&request, target, &sent);
        MUST((sent != NULL) == (request.operation == TOKENS_RESERVE) && is_clean(target, sizeof target));
        free(sent);
    }
    json_decref(name);
    input_end(&input);
    return 0;
}
