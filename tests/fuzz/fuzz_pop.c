/* fuzz_pop.c - any bytes as a validator's answer or callback; only a signed vote on this payment counts
 *
 * Fields: what was asked (0: validate, 1: revoke, 2: validate, and the vote is signed for the fuzzer, 3: commit), HTTP status,
 * quorum, voices (one digit each); the rest is the answer's body.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/crypto.h"
#include "common/json.h"
#include "tests/fuzz/input.h"
#include "workers/providers/pop_wire.h"

static const char PAYMENT[] = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f";
static const int64_t NOW_MS = 1795168800000, SKEW_MS = 300000; /* 2026-11-20T10:00:00Z */
enum { VALIDATE, REVOKE, VALIDATE_SIGNED, COMMIT };

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

/* The fuzzer cannot find a signature: it is given one over what the vote says. */
static json_t *sign(const char *body, size_t size)
{
    char text[512], base64[128];
    uint8_t signature[64];
    size_t length = sizeof signature;
    json_t *vote = json_decode(body, size, NULL);
    if (!json_is_object(vote))
        return vote;
    int n = snprintf(text, sizeof text, "acquit-pop-vote-v1\n%s\n%" PRId64 "\n%s\n%s\n%s\n%s\n",
                     json_text(vote, "paymentId", ""), json_int(vote, "amount", 0), json_text(vote, "currency", ""),
                     json_text(vote, "verdict", ""), json_text(vote, "validator", ""), json_text(vote, "at", ""));
    if (n < 0 || (size_t)n >= sizeof text)
        return vote;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    MUST(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key_of_validator()) == 1);
    MUST(EVP_DigestSign(ctx, signature, &length, (const uint8_t *)text, (size_t)n) == 1);
    EVP_MD_CTX_free(ctx);
    base64_encode(signature, sizeof signature, base64);
    json_object_set_new(vote, "signature", json_string(base64));
    return vote;
}

static void check_validate(const struct pop_validator *validator, const struct pop_request *request, int status,
                           const char *body, size_t size, bool with_signature)
{
    char why[POP_ERROR_SIZE];
    json_t *vote = NULL;
    enum pop_voice voice = pop_decode_validate(validator, request, NOW_MS, SKEW_MS, status, body, size, &vote, why);
    MUST(is_clean(why, sizeof why));
    bool counts = voice == POP_VOICE_YES || voice == POP_VOICE_NO;
    MUST(counts == (vote != NULL));
    if (counts) {
        MUST(status == 200 && with_signature);
        MUST(strcmp(json_text(vote, "paymentId", ""), PAYMENT) == 0 && json_int(vote, "amount", 0) == request->amount);
        MUST(strcmp(json_text(vote, "verdict", ""), voice == POP_VOICE_YES ? "valid" : "invalid") == 0);
        bool valid = false;
        struct err err = {0};
        MUST(pop_vote_check(validator, request, vote, NOW_MS, SKEW_MS, &valid, &err) &&
             valid == (voice == POP_VOICE_YES));
    }
    json_decref(vote);
}

static void check_revoke(const struct pop_request *request, int status, const char *body, size_t size)
{
    char why[POP_ERROR_SIZE];
    enum pop_voice voice = pop_decode_revoke(request->payment_id, status, body, size, why);
    MUST(is_clean(why, sizeof why) && (voice == POP_VOICE_REVOKED || voice == POP_VOICE_SILENT));
    MUST(voice != POP_VOICE_REVOKED || status == 200);
}

static void check_commit(const struct pop_request *request, int status, const char *body, size_t size)
{
    char why[POP_ERROR_SIZE];
    enum pop_voice voice = pop_decode_commit(request->payment_id, status, body, size, why);
    MUST(is_clean(why, sizeof why));
    MUST(voice == POP_VOICE_SILENT || (voice == POP_VOICE_COMMITTED && status == 200) ||
         (voice == POP_VOICE_REVOKED && status == 409));
}

/* By callback: a vote of whatever payment, whose author is known by its signature alone. */
static void check_author(const struct pop_validator *validator, const struct pop_request *request, const json_t *vote)
{
    struct err err = {0};
    const struct pop_validator *author = pop_vote_author(validator, 1, vote, &err);
    bool valid;
    MUST(author == validator || (!author && err.code == ERR_INVALID));
    if (pop_vote_check(validator, request, vote, NOW_MS, SKEW_MS, &valid, &err))
        MUST(author);
}

/* An early answer is the one that all later voices would leave. */
static void check_tally(const char *text, int quorum)
{
    enum pop_voice voices[POP_VALIDATORS_MAX];
    size_t count = 0;
    int yes = 0, no = 0; /* revoked counts as one that never says yes */
    for (; count < POP_VALIDATORS_MAX && text[count]; count++) {
        voices[count] = (enum pop_voice)((unsigned char)text[count] % (POP_VOICE_COMMITTED + 1));
        MUST(*pop_voice_text(voices[count]));
        yes += voices[count] == POP_VOICE_YES;
        no += voices[count] == POP_VOICE_NO || voices[count] == POP_VOICE_REVOKED;
    }
    if (count < POP_VALIDATORS_MIN || (size_t)quorum > count)
        return;
    enum pop_outcome outcome = POP_UNKNOWN;
    if (pop_tally_validate(voices, count, quorum, &outcome)) {
        MUST(outcome != POP_VALIDATED || yes >= quorum);
        MUST(outcome != POP_REJECTED || no > (int)count - quorum);
        MUST(outcome != POP_DEFERRED || (yes < quorum && no <= (int)count - quorum));
    }
    if (pop_tally_commit(voices, count, &outcome))
        MUST(outcome == POP_COMMITTED || outcome == POP_REVOKED || outcome == POP_UNKNOWN);
    if (pop_tally_revoke(voices, count, &outcome))
        MUST(outcome == POP_REVOKED || outcome == POP_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    struct pop_request request = {.amount = 2500, .currency = "EUR"};
    struct pop_validator validator = {.name = "validator-1", .url = "http://unused", .key = ""};
    size_t key_size = sizeof validator.public_key, body_size;
    MUST(EVP_PKEY_get_raw_public_key(key_of_validator(), validator.public_key, &key_size) == 1);
    MUST(uuid_parse(PAYMENT, &request.payment_id) == 0);
    int64_t asked = input_number(&input, VALIDATE, COMMIT);
    int status = (int)input_number(&input, 0, 999), quorum = (int)input_number(&input, 1, POP_VALIDATORS_MAX);
    check_tally(input_line(&input), quorum);
    const char *body = input_rest(&input, &body_size);
    if (asked == REVOKE) {
        check_revoke(&request, status, body, body_size);
    } else if (asked == COMMIT) {
        check_commit(&request, status, body, body_size);
    } else if (asked == VALIDATE) {
        check_validate(&validator, &request, status, body, body_size, strstr(body, "signature") != NULL);
    } else {
        json_t *vote = sign(body, body_size);
        char *text = vote ? json_encode(vote) : NULL;
        if (text)
            check_validate(&validator, &request, status, text, strlen(text), true);
        check_author(&validator, &request, vote);
        request.reference = vote;
        char *sent = pop_encode_validate(&request, status ? "https://here/webhooks/pop" : NULL, NOW_MS);
        MUST(sent);
        free(sent);
        free(text);
        json_decref(vote);
    }
    input_end(&input);
    return 0;
}
