/* test_provider_pop.c - workers/providers/pop: which votes count, how they are counted, and when a call is over
 *
 * The votes are signed here with keys made from fixed seeds; the validators are paths of a scripted server.
 */
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
#include "workers/providers/pop_wire.h"

static const char PAYMENT[] = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f";
static const char OTHER[] = "11111111-2222-8333-8444-555555555555";
enum { NOW_S = 1795168800, SKEW_MS = 300000 }; /* 2026-11-20T10:00:00Z */
static const int64_t NOW_MS = (int64_t)NOW_S * 1000;

/* ---- votes ---- */

struct ballot {
    int key; /* which seed signs */
    const char *validator, *payment, *currency, *verdict, *at;
    int64_t amount;
};

static EVP_PKEY *key_of(int n)
{
    uint8_t seed[32];
    memset(seed, 0x40 + n, sizeof seed);
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
}

static struct pop_validator validator_of(int n, const char *name)
{
    struct pop_validator validator = {.name = name, .url = "http://unused", .key = ""};
    EVP_PKEY *key = key_of(n);
    size_t size = sizeof validator.public_key;
    assert_int_equal(EVP_PKEY_get_raw_public_key(key, validator.public_key, &size), 1);
    EVP_PKEY_free(key);
    return validator;
}

static void sign(const struct ballot *b, char ret_base64[128])
{
    char text[512];
    uint8_t signature[64];
    size_t size = sizeof signature;
    int n = snprintf(text, sizeof text, "acquit-pop-vote-v1\n%s\n%" PRId64 "\n%s\n%s\n%s\n%s\n", b->payment, b->amount,
                     b->currency, b->verdict, b->validator, b->at);
    EVP_PKEY *key = key_of(b->key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &size, (const uint8_t *)text, (size_t)n), 1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    base64_encode(signature, sizeof signature, ret_base64);
}

static json_t *vote_of(const struct ballot *b)
{
    char signature[128];
    sign(b, signature);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s}", "validator", b->validator, "paymentId", b->payment,
                     "amount", (json_int_t)b->amount, "currency", b->currency, "verdict", b->verdict, "at", b->at,
                     "reason", "because", "signature", signature);
}

static struct ballot good_ballot(void)
{
    return (struct ballot){.key = 1,
                           .validator = "validator-1",
                           .payment = PAYMENT,
                           .currency = "EUR",
                           .verdict = "valid",
                           .at = "2026-11-20T10:00:00Z",
                           .amount = 2500};
}

static struct pop_request request_of(void)
{
    struct pop_request request = {.amount = 2500, .currency = "EUR"};
    if (uuid_parse(PAYMENT, &request.payment_id) != 0)
        fail();
    return request;
}

static bool counts(const struct pop_request *request, const json_t *vote, int64_t now_ms, bool *ret_valid)
{
    struct pop_validator validator = validator_of(1, "validator-1");
    struct err err = {0};
    bool good = pop_vote_check(&validator, request, vote, now_ms, SKEW_MS, ret_valid, &err);
    assert_int_equal(good, err.code == ERR_NONE);
    return good;
}

static bool ballot_counts(const struct ballot *b)
{
    struct pop_request request = request_of();
    bool valid = false;
    json_t *vote = vote_of(b);
    bool good = counts(&request, vote, NOW_MS, &valid);
    json_decref(vote);
    if (good)
        assert_int_equal(valid, strcmp(b->verdict, "valid") == 0);
    return good;
}

static void test_a_good_vote_counts(void **state)
{
    (void)state;
    struct ballot b = good_ballot();
    assert_true(ballot_counts(&b));
    b.verdict = "invalid";
    assert_true(ballot_counts(&b));
    b.at = "2026-11-20T10:00:00.123Z";
    assert_true(ballot_counts(&b));
}

/* Properly signed, by the right key, but about something else: a vote replayed on another payment is one of these. */
static void test_votes_about_something_else(void **state)
{
    (void)state;
    struct ballot cases[] = {good_ballot(), good_ballot(), good_ballot(), good_ballot(),
                             good_ballot(), good_ballot(), good_ballot(), good_ballot()};
    cases[0].payment = OTHER;
    cases[1].amount = 2501;
    cases[2].currency = "USD";
    cases[3].validator = "validator-2";
    cases[4].verdict = "maybe";
    cases[5].at = "2026-11-20T11:00:00+01:00"; /* the same moment, but only UTC is signed */
    cases[6].at = "yesterday";
    cases[7].key = 2; /* another validator's key under this one's name */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (ballot_counts(&cases[i]))
            fail_msg("case %zu counted", i);
}

/* Each member of a good vote changed after it was signed. */
static void test_forged_votes(void **state)
{
    (void)state;
    static const char *const members[] = {"validator", "paymentId", "amount", "currency", "verdict", "at", "signature"};
    struct pop_request request = request_of();
    struct ballot b = good_ballot();
    bool valid;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_t *vote = vote_of(&b);
        assert_true(counts(&request, vote, NOW_MS, &valid));
        json_t *member = json_object_get(vote, members[i]);
        if (json_is_integer(member))
            json_object_set_new(vote, members[i], json_string("2500"));
        else
            json_object_set_new(vote, members[i], json_integer(1));
        assert_false(counts(&request, vote, NOW_MS, &valid));
        json_object_del(vote, members[i]);
        assert_false(counts(&request, vote, NOW_MS, &valid));
        json_decref(vote);
    }
    json_t *vote = vote_of(&b);
    json_object_set_new(vote, "verdict", json_string("invalid")); /* a yes turned into a no */
    assert_false(counts(&request, vote, NOW_MS, &valid));
    json_object_set_new(vote, "verdict", json_string("valid"));
    json_object_set_new(vote, "reason", json_string("the reason is not signed"));
    assert_true(counts(&request, vote, NOW_MS, &valid));
    char signature[128];
    snprintf(signature, sizeof signature, "%s", json_text(vote, "signature", ""));
    for (size_t i = 0; i < 86; i++) { /* the last digit before the padding has bits that do not count */
        char was = signature[i];
        signature[i] = was == 'A' ? 'B' : 'A';
        json_object_set_new(vote, "signature", json_string(signature));
        assert_false(counts(&request, vote, NOW_MS, &valid));
        signature[i] = was;
    }
    json_decref(vote);
    assert_false(counts(&request, NULL, NOW_MS, &valid));
}

static void test_skew_boundaries(void **state)
{
    (void)state;
    struct ballot b = good_ballot();
    struct pop_request request = request_of();
    json_t *vote = vote_of(&b);
    bool valid;
    assert_true(counts(&request, vote, NOW_MS + SKEW_MS, &valid));
    assert_false(counts(&request, vote, NOW_MS + SKEW_MS + 1, &valid));
    assert_true(counts(&request, vote, NOW_MS - SKEW_MS, &valid));
    assert_false(counts(&request, vote, NOW_MS - SKEW_MS - 1, &valid));
    for (int s = -600; s <= 600; s++)
        assert_int_equal(counts(&request, vote, NOW_MS + s * 1000, &valid), s >= -300 && s <= 300);
    /* A later attempt gets the vote of the first one again: it is measured from when that could have been made. */
    request.since_ms = NOW_MS - 1000;
    assert_true(counts(&request, vote, NOW_MS + 3600000, &valid));
    request.since_ms = NOW_MS + SKEW_MS;
    assert_true(counts(&request, vote, NOW_MS + 3600000, &valid));
    request.since_ms = NOW_MS + SKEW_MS + 1;
    assert_false(counts(&request, vote, NOW_MS + 3600000, &valid));
    request.since_ms = NOW_MS + 3600000; /* a clock that was set back: never later than now */
    assert_true(counts(&request, vote, NOW_MS, &valid));
    json_decref(vote);
}

/* The signed bytes, fixed for whoever writes a validator in another language. The seed is 32 bytes 0x41; other
 * implementations of Ed25519 (the openssl command, Python's cryptography) gave the same signature. */
static void test_known_vote(void **state)
{
    (void)state;
    struct ballot b = good_ballot();
    char signature[128], public_hex[65];
    struct pop_validator validator = validator_of(1, "validator-1");
    hex_encode(validator.public_key, 32, public_hex);
    sign(&b, signature);
    assert_string_equal(public_hex, "db995fe25169d141cab9bbba92baa01f9f2e1ece7df4cb2ac05190f37fcc1f9d");
    assert_string_equal(signature,
                        "xoX/M0N+1LJ6+B7E6ldrhtfAGLsZqJ98WcltKr3tDRQhcForapo/u4BFuLVcjSZPqOp/y0u8xDB3p85E76BfBQ==");
}

/* ---- counting ---- */

static void test_every_count_of_five(void **state)
{
    (void)state;
    static const enum pop_voice kinds[] = {POP_VOICE_YES, POP_VOICE_NO, POP_VOICE_SILENT};
    int seen[POP_UNKNOWN + 1] = {0};
    for (int n = 0; n < 243; n++) {
        enum pop_voice voices[5];
        int yes = 0, no = 0;
        for (int i = 0, rest = n; i < 5; i++, rest /= 3) {
            voices[i] = kinds[rest % 3];
            yes += voices[i] == POP_VOICE_YES;
            no += voices[i] == POP_VOICE_NO;
        }
        enum pop_outcome outcome;
        assert_true(pop_tally_validate(voices, 5, 3, &outcome));
        assert_int_equal(outcome, yes >= 3 ? POP_VALIDATED : no >= 3 ? POP_REJECTED : POP_UNKNOWN);
        seen[outcome]++;
    }
    assert_int_equal(seen[POP_VALIDATED], 51);
    assert_int_equal(seen[POP_REJECTED], 51);
    assert_int_equal(seen[POP_UNKNOWN], 141);
}

/* Those who call back are waited for as long as they can make the quorum. */
static void test_counts_with_callbacks(void **state)
{
    (void)state;
    static const struct {
        const char *voices; /* y n s(ilent) d(eferred) r(evoked) ?(not in yet) */
        bool over;
        enum pop_outcome outcome;
    } cases[] = {
        {"ddddd", true, POP_DEFERRED},  {"yydss", true, POP_DEFERRED}, {"ydsss", true, POP_UNKNOWN},
        {"yyydd", true, POP_VALIDATED}, {"nnddd", true, POP_DEFERRED}, {"nnndd", true, POP_REJECTED},
        {"nndds", true, POP_UNKNOWN},   {"dddd?", false, 0},           {"rrrdd", true, POP_REVOKED},
    };
    static const enum pop_voice meaning[] = {
        ['y'] = POP_VOICE_YES,      ['n'] = POP_VOICE_NO,      ['s'] = POP_VOICE_SILENT,
        ['d'] = POP_VOICE_DEFERRED, ['r'] = POP_VOICE_REVOKED, ['?'] = POP_VOICE_PENDING};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum pop_voice voices[5];
        enum pop_outcome outcome = POP_UNKNOWN;
        for (int k = 0; k < 5; k++)
            voices[k] = meaning[(unsigned char)cases[i].voices[k]];
        if (pop_tally_validate(voices, 5, 3, &outcome) != cases[i].over ||
            (cases[i].over && outcome != cases[i].outcome))
            fail_msg("%s: %d", cases[i].voices, (int)outcome);
    }
}

static void test_counts_of_commit(void **state)
{
    (void)state;
    enum pop_voice voices[3] = {POP_VOICE_COMMITTED, POP_VOICE_COMMITTED, POP_VOICE_PENDING};
    enum pop_outcome outcome;
    assert_false(pop_tally_commit(voices, 3, &outcome));
    voices[2] = POP_VOICE_COMMITTED;
    assert_true(pop_tally_commit(voices, 3, &outcome));
    assert_int_equal(outcome, POP_COMMITTED);
    voices[2] = POP_VOICE_SILENT;
    assert_true(pop_tally_commit(voices, 3, &outcome));
    assert_int_equal(outcome, POP_UNKNOWN);
    voices[0] = POP_VOICE_REVOKED;
    voices[2] = POP_VOICE_PENDING; /* one is enough to know that it does not stand */
    assert_true(pop_tally_commit(voices, 3, &outcome));
    assert_int_equal(outcome, POP_REVOKED);
}

/* Fills in the first voice that is not in yet, in every way; true when all ends are `wanted`. */
static bool always_ends(enum pop_voice *voices, size_t count, int quorum, enum pop_outcome wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (voices[i] != POP_VOICE_PENDING)
            continue;
        bool all = true;
        static const enum pop_voice kinds[] = {POP_VOICE_YES, POP_VOICE_NO, POP_VOICE_SILENT, POP_VOICE_REVOKED};
        for (size_t k = 0; k < 4 && all; k++) {
            voices[i] = kinds[k];
            all = always_ends(voices, count, quorum, wanted);
        }
        voices[i] = POP_VOICE_PENDING;
        return all;
    }
    enum pop_outcome outcome;
    return pop_tally_validate(voices, count, quorum, &outcome) && outcome == wanted;
}

/* Ending early is right exactly when the rest could not change the answer: validated or rejected for sure. Between
 * rejected and revoked the voices that are still out could decide, and nobody waits for that. */
static void test_early_end_never_changes_the_answer(void **state)
{
    (void)state;
    for (int quorum = 1; quorum <= 4; quorum++) {
        for (int n = 0; n < 625; n++) {
            enum pop_voice voices[4];
            for (int i = 0, rest = n; i < 4; i++, rest /= 5)
                voices[i] = (enum pop_voice)(rest % 5);
            enum pop_outcome outcome;
            bool over = pop_tally_validate(voices, 4, quorum, &outcome);
            bool sure_yes = always_ends(voices, 4, quorum, POP_VALIDATED);
            if (over && outcome == POP_VALIDATED)
                assert_true(sure_yes);
            if (over && outcome != POP_VALIDATED)
                assert_false(sure_yes);
            if (sure_yes)
                assert_true(over);
            if (over && outcome == POP_REVOKED)
                assert_true(always_ends(voices, 4, quorum, POP_REVOKED));
        }
    }
}

static void test_revoked_voices(void **state)
{
    (void)state;
    enum pop_outcome outcome;
    enum pop_voice voices[5] = {POP_VOICE_REVOKED, POP_VOICE_REVOKED, POP_VOICE_PENDING, POP_VOICE_PENDING,
                                POP_VOICE_PENDING};
    assert_false(pop_tally_validate(voices, 5, 3, &outcome));
    voices[2] = POP_VOICE_REVOKED;
    assert_true(pop_tally_validate(voices, 5, 3, &outcome));
    assert_int_equal(outcome, POP_REVOKED);
    voices[2] = POP_VOICE_NO; /* two revoked and one no: three that never say yes */
    assert_true(pop_tally_validate(voices, 5, 3, &outcome));
    assert_int_equal(outcome, POP_REJECTED);
    assert_false(pop_tally_revoke(voices, 5, &outcome));
    for (size_t i = 0; i < 5; i++)
        voices[i] = POP_VOICE_REVOKED;
    assert_true(pop_tally_revoke(voices, 5, &outcome));
    assert_int_equal(outcome, POP_REVOKED);
    voices[4] = POP_VOICE_SILENT; /* all of them, or it is not done */
    assert_true(pop_tally_revoke(voices, 5, &outcome));
    assert_int_equal(outcome, POP_UNKNOWN);
}

/* ---- answers ---- */

static void test_answers_to_a_validation(void **state)
{
    (void)state;
    struct pop_validator validator = validator_of(1, "validator-1");
    struct pop_request request = request_of();
    struct ballot b = good_ballot();
    json_t *vote = vote_of(&b), *kept;
    json_object_set_new(vote, "extra", json_string("not kept"));
    char *text = json_encode(vote), why[POP_ERROR_SIZE];
    struct {
        int status;
        const char *body;
        enum pop_voice voice;
    } cases[] = {
        {200, text, POP_VOICE_YES},
        {201, text, POP_VOICE_SILENT},
        {500, text, POP_VOICE_SILENT},
        {200, "", POP_VOICE_SILENT},
        {200, "[]", POP_VOICE_SILENT},
        {200, "{}", POP_VOICE_SILENT},
        {200, "{\"verdict\":\"valid\"}", POP_VOICE_SILENT},
        {202, "{\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"status\":\"pending\"}", POP_VOICE_DEFERRED},
        {200, "{\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"status\":\"pending\"}", POP_VOICE_SILENT},
        {202, "{\"paymentId\":\"11111111-2222-8333-8444-555555555555\",\"status\":\"pending\"}", POP_VOICE_SILENT},
        {202, "{\"status\":\"pending\"}", POP_VOICE_SILENT},
        {202, text, POP_VOICE_SILENT},
        {409, "{\"error\":\"revoked\"}", POP_VOICE_REVOKED},
        {409, "{\"error\":\"busy\"}", POP_VOICE_SILENT},
        {409, "", POP_VOICE_SILENT},
        {200, "{\"error\":\"revoked\"}", POP_VOICE_SILENT},
        {500, "{\"error\":\"revoked\"}", POP_VOICE_SILENT},
        {422, "{\"error\":\"contradicts an earlier request\"}", POP_VOICE_SILENT},
        {401, "{\"error\":\"unauthorized\"}", POP_VOICE_SILENT},
        {503, "<html>", POP_VOICE_SILENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum pop_voice voice = pop_decode_validate(&validator, &request, NOW_MS, SKEW_MS, cases[i].status,
                                                   cases[i].body, strlen(cases[i].body), &kept, why);
        if (voice != cases[i].voice)
            fail_msg("case %zu: %s, %s", i, pop_voice_text(voice), why);
        assert_int_equal(kept != NULL, voice == POP_VOICE_YES || voice == POP_VOICE_NO);
        assert_int_equal(*why != '\0', voice == POP_VOICE_SILENT);
        if (kept) {
            assert_null(json_object_get(kept, "extra"));
            assert_string_equal(json_text(kept, "reason", ""), "because");
            assert_int_equal(json_object_size(kept), 8);
        }
        json_decref(kept);
    }
    for (size_t size = 0; size < strlen(text); size++) /* cut anywhere: no vote */
        assert_int_equal(pop_decode_validate(&validator, &request, NOW_MS, SKEW_MS, 200, text, size, &kept, why),
                         POP_VOICE_SILENT);
    free(text);
    json_decref(vote);
}

static void test_answers_to_a_commit(void **state)
{
    (void)state;
    struct uuid id = request_of().payment_id;
    char why[POP_ERROR_SIZE];
    static const struct {
        int status;
        const char *body;
        enum pop_voice voice;
    } cases[] = {
        {200, "{\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"status\":\"committed\"}", POP_VOICE_COMMITTED},
        {200, "{\"paymentId\":\"11111111-2222-8333-8444-555555555555\",\"status\":\"committed\"}", POP_VOICE_SILENT},
        {200, "{\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"status\":\"valid\"}", POP_VOICE_SILENT},
        {500, "{\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"status\":\"committed\"}", POP_VOICE_SILENT},
        {409, "{\"error\":\"revoked\"}", POP_VOICE_REVOKED},
        {200, "{\"error\":\"revoked\"}", POP_VOICE_SILENT},
        {404, "{}", POP_VOICE_SILENT},
        {200, "", POP_VOICE_SILENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum pop_voice voice = pop_decode_commit(id, cases[i].status, cases[i].body, strlen(cases[i].body), why);
        if (voice != cases[i].voice)
            fail_msg("case %zu: %s, %s", i, pop_voice_text(voice), why);
        assert_int_equal(*why != '\0', voice == POP_VOICE_SILENT);
    }
}

/* Whose it is follows from the vote alone; every part that is signed counts. */
static void test_author_of_a_vote(void **state)
{
    (void)state;
    const struct pop_validator validators[] = {validator_of(1, "validator-1"), validator_of(2, "validator-2")};
    struct ballot b = good_ballot();
    b.validator = "validator-2";
    b.key = 2;
    json_t *vote = vote_of(&b);
    struct err err = {0};
    assert_ptr_equal(pop_vote_author(validators, 2, vote, &err), &validators[1]);
    assert_null(pop_vote_author(validators, 1, vote, &err));
    assert_non_null(strstr(err.text, "no validator"));
    static const char *const turned[] = {"paymentId", "currency", "verdict", "validator", "at", "signature"};
    static const char *const into[] = {
        "11111111-2222-8333-8444-555555555555", "USD", "invalid", "validator-1", "2026-11-20T10:00:01Z", "AAAA"};
    for (size_t i = 0; i < sizeof turned / sizeof turned[0]; i++) {
        json_t *other = json_deep_copy(vote);
        json_object_set_new(other, turned[i], json_string(into[i]));
        if (pop_vote_author(validators, 2, other, &err))
            fail_msg("%s is not signed", turned[i]);
        json_object_del(other, turned[i]);
        assert_null(pop_vote_author(validators, 2, other, &err));
        json_decref(other);
    }
    json_object_set_new(vote, "amount", json_integer(1));
    assert_null(pop_vote_author(validators, 2, vote, &err));
    json_decref(vote);
}

static void test_answers_to_a_revocation(void **state)
{
    (void)state;
    struct uuid id = request_of().payment_id;
    char why[POP_ERROR_SIZE];
    static const struct {
        int status;
        const char *body;
        enum pop_voice voice;
    } cases[] = {
        {200, "{\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"status\":\"revoked\"}", POP_VOICE_REVOKED},
        {200, "{\"paymentId\":\"11111111-2222-8333-8444-555555555555\",\"status\":\"revoked\"}", POP_VOICE_SILENT},
        {200, "{\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"status\":\"valid\"}", POP_VOICE_SILENT},
        {200, "{}", POP_VOICE_SILENT},
        {200, "ok", POP_VOICE_SILENT},
        {409, "{\"error\":\"revoked\"}", POP_VOICE_SILENT},
        {500, "{\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"status\":\"revoked\"}", POP_VOICE_SILENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(pop_decode_revoke(id, cases[i].status, cases[i].body, strlen(cases[i].body), why),
                         cases[i].voice);
}

static void test_requests(void **state)
{
    (void)state;
    struct pop_request request = request_of();
    json_t *reference = json_pack("{s:s, s:s}", "type", "booking", "id", "42");
    char *text = pop_encode_validate(&request, NULL, NOW_MS);
    assert_string_equal(text,
                        "{\"amount\":2500,\"currency\":\"EUR\",\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\","
                        "\"reference\":null,\"requestedAt\":\"2026-11-20T10:00:00.000Z\"}");
    free(text);
    request.reference = reference;
    request.since_ms = NOW_MS - 1000; /* then every repeat has the same bytes */
    text = pop_encode_validate(&request, NULL, NOW_MS);
    assert_string_equal(text,
                        "{\"amount\":2500,\"currency\":\"EUR\",\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\","
                        "\"reference\":\"booking:42\",\"requestedAt\":\"2026-11-20T09:59:59.000Z\"}");
    free(text);
    json_decref(reference);
    request.reference = reference = json_string("order-7");
    text = pop_encode_validate(&request, NULL, NOW_MS);
    assert_non_null(strstr(text, "\"reference\":\"order-7\""));
    free(text);
    json_decref(reference);
}

/* ---- whole calls ---- */

enum { N = 5, K = 3, LONG_MS = 5000, SHORT_MS = 150 };

static struct {
    struct loop *loop;
    struct http *http;
    struct scripted_server server;
    struct pop *pop;
    char urls[N][64], names[N][16], bodies[N][1024], at[CLOCK_TEXT_SIZE];
    bool answered;
    int answers;
    enum pop_outcome outcome;
    json_t *votes, *list;
} f;

static void on_answer(void *arg, const struct pop_answer *answer)
{
    assert_ptr_equal(arg, &f);
    f.outcome = answer->outcome;
    f.votes = json_deep_copy(answer->votes);
    f.list = json_deep_copy(answer->answers);
    f.answered = true;
    f.answers++;
}

static void open_pop(int64_t timeout_ms)
{
    struct pop_validator validators[N];
    for (int i = 0; i < N; i++) {
        snprintf(f.names[i], sizeof f.names[i], "validator-%d", i + 1);
        snprintf(f.urls[i], sizeof f.urls[i], "http://127.0.0.1:%d/%d", f.server.port, i + 1);
        validators[i] = validator_of(i + 1, f.names[i]);
        validators[i].url = f.urls[i];
        validators[i].key = i == 0 ? "key-1" : "";
    }
    struct pop_options options = {.validators = validators,
                                  .validator_count = N,
                                  .quorum = K,
                                  .timeout_ms = timeout_ms,
                                  .vote_max_skew_ms = SKEW_MS,
                                  .http = f.http};
    struct err err = {0};
    pop_close(f.pop);
    f.pop = pop_open(&options, &err);
    if (!f.pop)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    f.loop = loop_new(NULL);
    f.http = http_new(f.loop, NULL);
    script_open(&f.server, f.loop);
    clock_format(clock_wall_ms(), f.at);
    open_pop(LONG_MS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pop_close(f.pop);
    http_free(f.http);
    script_close(&f.server);
    loop_free(f.loop);
    json_decref(f.votes);
    json_decref(f.list);
    return 0;
}

/* y: valid, n: invalid, f: valid but forged, r: revoked, e: 500, h: never answers, c: hangs up */
static void script_votes(const char *voices)
{
    static char paths[N][32];
    for (int i = 0; i < N; i++) {
        struct ballot b = good_ballot();
        b.key = voices[i] == 'f' ? 9 : i + 1;
        b.validator = f.names[i];
        b.verdict = voices[i] == 'n' ? "invalid" : "valid";
        b.at = f.at;
        json_t *vote = vote_of(&b);
        char *text = json_encode(vote);
        snprintf(f.bodies[i], sizeof f.bodies[i], "%s", voices[i] == 'r' ? "{\"error\":\"revoked\"}" : text);
        free(text);
        json_decref(vote);
        snprintf(paths[i], sizeof paths[i], "POST /%d/v1/validations ", i + 1);
        int status = voices[i] == 'r' ? 409 : voices[i] == 'e' ? 500 : 200;
        enum script_how how = voices[i] == 'h' ? SCRIPT_HANG : voices[i] == 'c' ? SCRIPT_CLOSE : SCRIPT_ANSWER;
        script_add(&f.server, (struct script_reply){.to = paths[i], .status = status, .body = f.bodies[i], .how = how});
    }
}

static void validate(void)
{
    struct pop_request request = request_of();
    struct err err = {0};
    json_decref(f.votes);
    json_decref(f.list);
    f.answered = false;
    if (!pop_validate(f.pop, &request, on_answer, &f, &err))
        fail_msg("%s", err.text);
    assert_false(f.answered);
    assert_true(script_wait(f.loop, &f.answered));
}

static void test_whole_validations(void **state)
{
    (void)state;
    static const struct {
        const char *voices;
        enum pop_outcome outcome;
        size_t votes_least;
    } cases[] = {
        {"yyyyy", POP_VALIDATED, 3}, {"yyyhh", POP_VALIDATED, 3}, {"nnnhh", POP_REJECTED, 3},
        {"yynnc", POP_UNKNOWN, 4},   {"yyfee", POP_UNKNOWN, 2}, /* a forged yes does not make three */
        {"nnfcc", POP_UNKNOWN, 2},   {"rrrhh", POP_REVOKED, 0},   {"nrrhh", POP_REJECTED, 1},
        {"eeeee", POP_UNKNOWN, 0},   {"ccccc", POP_UNKNOWN, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        script_votes(cases[i].voices);
        int64_t before = clock_monotonic_ms();
        validate();
        if (f.outcome != cases[i].outcome || json_array_size(f.votes) < cases[i].votes_least)
            fail_msg("%s: outcome %d, %zu votes", cases[i].voices, f.outcome, json_array_size(f.votes));
        assert_true(clock_monotonic_ms() - before < LONG_MS); /* nobody waits for who never answers */
        assert_int_equal(json_array_size(f.list), N);
        script_clear(&f.server);
    }
    assert_int_equal(f.answers, sizeof cases / sizeof cases[0]);
}

static const char *outcome_of(size_t i)
{
    return json_text(json_array_get(f.list, i), "outcome", "");
}

static void test_what_each_one_said(void **state)
{
    (void)state;
    script_votes("ynfre");
    validate();
    assert_int_equal(f.outcome, POP_UNKNOWN);
    assert_string_equal(outcome_of(0), "valid");
    assert_string_equal(outcome_of(1), "invalid");
    assert_string_equal(outcome_of(2), "silent");
    assert_string_equal(json_text(json_array_get(f.list, 2), "error", ""),
                        "the vote's signature is not the configured key's");
    assert_string_equal(outcome_of(3), "revoked");
    assert_string_equal(outcome_of(4), "silent");
    assert_string_equal(json_text(json_array_get(f.list, 4), "error", ""), "the answer is HTTP 500");
    for (size_t i = 0; i < f.server.request_count; i++) {
        bool first = strncmp(f.server.requests[i], "POST /1/", 8) == 0;
        assert_int_equal(strstr(f.server.requests[i], "\r\nAuthorization: Bearer key-1\r\n") != NULL, first);
        assert_null(strstr(f.server.requests[i], "tok_"));
    }
    script_clear(&f.server);
    script_votes("yyyhh");
    validate();
    assert_string_equal(outcome_of(3), "not_awaited");
}

static void test_silence(void **state)
{
    (void)state;
    script_votes("hhhhh");
    open_pop(SHORT_MS);
    validate();
    assert_int_equal(f.outcome, POP_UNKNOWN);
    for (size_t i = 0; i < N; i++) {
        assert_string_equal(outcome_of(i), "silent");
        assert_string_equal(json_text(json_array_get(f.list, i), "error", ""), "timeout");
    }
}

static void test_revocation(void **state)
{
    (void)state;
    static const char done[] = "{\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"status\":\"revoked\"}";
    struct err err = {0};
    script_add(&f.server, (struct script_reply){.to = "/2/v1/validations/8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f/revoke",
                                                .status = 500,
                                                .times = 1});
    script_add(&f.server, (struct script_reply){.to = "/v1/validations/8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f/revoke",
                                                .status = 200,
                                                .body = done});
    assert_non_null(pop_revoke(f.pop, request_of().payment_id, on_answer, &f, &err));
    assert_true(script_wait(f.loop, &f.answered));
    assert_int_equal(f.outcome, POP_UNKNOWN);
    assert_int_equal(f.server.request_count, N); /* asks all, even when one has failed already */
    f.answered = false;
    json_decref(f.votes);
    json_decref(f.list);
    assert_non_null(pop_revoke(f.pop, request_of().payment_id, on_answer, &f, &err));
    assert_true(script_wait(f.loop, &f.answered));
    assert_int_equal(f.outcome, POP_REVOKED);
}

static void test_commit(void **state)
{
    (void)state;
    static const char done[] = "{\"paymentId\":\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f\",\"status\":\"committed\"}";
    struct err err = {0};
    script_add(&f.server, (struct script_reply){.to = "/v1/validations/8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f/commit",
                                                .status = 200,
                                                .body = done});
    assert_non_null(pop_commit(f.pop, request_of().payment_id, on_answer, &f, &err));
    assert_true(script_wait(f.loop, &f.answered));
    assert_int_equal(f.outcome, POP_COMMITTED);
    assert_int_equal(f.server.request_count, N);
}

/* Genuine votes of validators 1 to `count`, as they would come by callback. */
static json_t *called_back(int count)
{
    json_t *votes = json_array();
    for (int i = 0; i < count; i++) {
        struct ballot b = good_ballot();
        b.key = i + 1;
        b.validator = f.names[i];
        b.at = f.at;
        json_array_append_new(votes, vote_of(&b));
    }
    return votes;
}

/* Who has called back is not asked again, and a quorum of those asks nobody. */
static void test_votes_by_callback(void **state)
{
    (void)state;
    struct pop_request request = request_of();
    struct pop_answer counted;
    struct err err = {0};
    json_t *two = called_back(K - 1), *enough = called_back(K);
    script_votes("yyyee");
    request.votes = two;
    assert_false(pop_count(f.pop, &request, &counted));
    assert_non_null(pop_validate(f.pop, &request, on_answer, &f, &err));
    assert_true(script_wait(f.loop, &f.answered));
    assert_int_equal(f.outcome, POP_VALIDATED);
    assert_int_equal(json_array_size(f.votes), K);
    for (size_t i = 0; i < f.server.request_count; i++)
        assert_null(strstr(f.server.requests[i], "POST /1/"));

    request.votes = enough;
    assert_true(pop_count(f.pop, &request, &counted));
    assert_int_equal(counted.outcome, POP_VALIDATED);
    assert_int_equal(json_array_size(counted.votes), K);
    assert_int_equal(json_array_size(counted.answers), N);
    json_decref(counted.votes);
    json_decref(counted.answers);

    json_object_set_new(json_array_get(enough, 0), "signature",
                        json_string("AAAA")); /* forged: as if it were not there */
    assert_false(pop_count(f.pop, &request, &counted));
    json_object_set(json_array_get(enough, 0), "validator", json_object_get(json_array_get(enough, 1), "validator"));
    assert_false(pop_count(f.pop, &request, &counted)); /* nobody votes twice */
    json_array_clear(enough);
    for (int i = 0; i < K; i++)
        json_array_append(enough, json_array_get(two, 0));
    assert_false(pop_count(f.pop, &request, &counted));
    json_decref(two);
    json_decref(enough);
}

static void test_cancel_and_close_say_nothing(void **state)
{
    (void)state;
    struct pop_request request = request_of();
    script_votes("hhhhh");
    struct pop_call *one = pop_validate(f.pop, &request, on_answer, &f, NULL);
    struct pop_call *two = pop_validate(f.pop, &request, on_answer, &f, NULL);
    assert_non_null(two);
    for (int i = 0; i < 5; i++)
        assert_int_equal(loop_turn(f.loop, 10), 0);
    pop_cancel(one);
    pop_close(f.pop);
    f.pop = NULL;
    assert_int_equal(loop_turn(f.loop, 10), 0);
    assert_int_equal(f.answers, 0);
}

static void test_options(void **state)
{
    (void)state;
    struct pop_validator validators[17];
    for (int i = 0; i < 17; i++)
        validators[i] = validator_of(i + 1, "v");
    struct pop_options good = {
        .validators = validators, .validator_count = 3, .quorum = 2, .timeout_ms = 100, .http = f.http};
    struct pop_options cases[] = {good, good, good, good, good, good};
    cases[0].validator_count = 1;
    cases[1].validator_count = 17;
    cases[2].quorum = 0;
    cases[3].quorum = 4;
    cases[4].timeout_ms = 0;
    cases[5].http = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        assert_null(pop_open(&cases[i], &err));
        assert_int_equal(err.code, ERR_CONFIG);
    }
    validators[2].url = "ftp://nowhere"; /* cannot be asked: silent, like one that does not answer */
    struct pop *pop = pop_open(&good, NULL);
    assert_non_null(pop);
    pop_close(pop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_vote_counts),
        cmocka_unit_test(test_votes_about_something_else),
        cmocka_unit_test(test_forged_votes),
        cmocka_unit_test(test_skew_boundaries),
        cmocka_unit_test(test_known_vote),
        cmocka_unit_test(test_every_count_of_five),
        cmocka_unit_test(test_counts_with_callbacks),
        cmocka_unit_test(test_counts_of_commit),
        cmocka_unit_test_setup_teardown(test_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_votes_by_callback, set_up, tear_down),
        cmocka_unit_test(test_answers_to_a_commit),
        cmocka_unit_test(test_author_of_a_vote),
        cmocka_unit_test(test_early_end_never_changes_the_answer),
        cmocka_unit_test(test_revoked_voices),
        cmocka_unit_test(test_answers_to_a_validation),
        cmocka_unit_test(test_answers_to_a_revocation),
        cmocka_unit_test(test_requests),
        cmocka_unit_test_setup_teardown(test_whole_validations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_each_one_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_revocation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_and_close_say_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_options, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
