/* fuzz_pop_state.c - any bytes as a validator's statement about a payment; only its signed word on this question counts
 *
 * Fields: whether the statement and its vote are signed for the fuzzer (0, 1), HTTP status; the rest is the answer's body.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/crypto.h"
#include "common/json.h"
#include "tests/fuzz/input.h"
#include "workers/providers/pop_state_wire.h"

static const char PAYMENT[] = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f";
static const char NONCE[] = "00112233445566778899aabbccddeeff";
static const int64_t NOW_MS = 1795168800000, SKEW_MS = 300000; /* 2026-11-20T10:00:00Z */

static EVP_PKEY *key_of_validator(void)
{
    static EVP_PKEY *key;
    uint8_t seed[32];
    memset(seed, 0x41, sizeof seed);
    if (!key)
        key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    MUST(key);
    return key;
}

static void sign(json_t *object, const char *text, int n, size_t limit)
{
    char base64[128];
    uint8_t signature[64];
    size_t length = sizeof signature;
    if (!json_is_object(object) || n < 0 || (size_t)n >= limit)
        return;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    MUST(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key_of_validator()) == 1);
    MUST(EVP_DigestSign(ctx, signature, &length, (const uint8_t *)text, (size_t)n) == 1);
    EVP_MD_CTX_free(ctx);
    base64_encode(signature, sizeof signature, base64);
    json_object_set_new(object, "signature", json_string(base64));
}

/* The fuzzer cannot find a signature: it is given both, over what the statement and its vote say. */
static void sign_both(json_t *root)
{
    char text[512];
    json_t *vote = json_object_get(root, "vote");
    int n = snprintf(text, sizeof text, "acquit-pop-vote-v1\n%s\n%" PRId64 "\n%s\n%s\n%s\n%s\n",
                     json_text(vote, "paymentId", ""), json_int(vote, "amount", 0), json_text(vote, "currency", ""),
                     json_text(vote, "verdict", ""), json_text(vote, "validator", ""), json_text(vote, "at", ""));
    sign(vote, text, n, sizeof text);
    n = snprintf(text, sizeof text, "acquit-pop-state-v1\n%s\n%s\n%s\n%s\n%s\n%s\n", json_text(root, "paymentId", ""),
                 json_text(root, "status", ""), json_text(vote, "verdict", "none"),
                 json_text(root, "changedAt", "none"), json_text(root, "validator", ""), json_text(root, "nonce", ""));
    sign(root, text, n, sizeof text);
}

static void check(const struct pop_question *question, int status, const char *body, size_t size, bool with_signature)
{
    struct pop_state state;
    pop_state_decode(question, NONCE, NOW_MS, status, body, size, &state);
    MUST(is_clean(state.why, sizeof state.why) && state.known == (*state.why == '\0'));
    MUST(*pop_standing_text(state.standing));
    if (!state.known) {
        MUST(state.standing == POP_IS_UNSEEN && state.vote == POP_NO_VOTE);
        return;
    }
    MUST(status == 200 && with_signature);
    json_t *root = json_decode(body, size, NULL), *vote = json_object_get(root, "vote");
    MUST(strcmp(json_text(root, "paymentId", ""), PAYMENT) == 0 && strcmp(json_text(root, "nonce", ""), NONCE) == 0);
    MUST(strcmp(json_text(root, "status", ""), pop_standing_text(state.standing)) == 0);
    MUST((state.vote == POP_NO_VOTE) == (!vote || json_is_null(vote)));
    MUST(state.standing != POP_IS_VALID || state.vote == POP_VOTE_VALID);
    MUST(state.standing != POP_IS_INVALID || state.vote == POP_VOTE_INVALID);
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    struct pop_validator validator = {.name = "validator-1", .url = "http://unused", .key = ""};
    struct pop_question question = {
        .validator = &validator, .amount = 2500, .currency = "EUR", .since_ms = NOW_MS, .vote_max_skew_ms = SKEW_MS};
    size_t key_size = sizeof validator.public_key, body_size;
    MUST(EVP_PKEY_get_raw_public_key(key_of_validator(), validator.public_key, &key_size) == 1);
    MUST(uuid_parse(PAYMENT, &question.payment_id) == 0);
    bool is_signed = input_number(&input, 0, 1) == 1;
    int status = (int)input_number(&input, 0, 999);
    const char *body = input_rest(&input, &body_size);
    if (!is_signed) {
        check(&question, status, body, body_size, strstr(body, "signature") != NULL);
    } else {
        json_t *root = json_decode(body, body_size, NULL);
        sign_both(root);
        char *text = root ? json_encode(root) : NULL;
        if (text)
            check(&question, status, text, strlen(text), true);
        free(text);
        json_decref(root);
    }
    input_end(&input);
    return 0;
}
