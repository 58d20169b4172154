/* pop_wire.c - the proof-of-purchase validators on the wire, and how their votes are counted
 *
 * A vote counts when it is this validator's signed word on this payment, amount and currency, given at a time that
 * makes sense. Whatever is not such a vote, and not a plain "revoked", is silence, never a no: a forger, or a
 * network that garbles, can delay a purchase but not decide about it.
 */
#include "workers/providers/pop_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "workers/providers/answer.h"

enum { VOTE_TEXT_MAX = 512 };

const char *pop_voice_text(enum pop_voice voice)
{
    switch (voice) {
#define X(id, text)                                                                                                    \
    case POP_VOICE_##id:                                                                                               \
        return text;
        POP_VOICES(X)
#undef X
    }
    return "silent";
}

/* ---- counting ---- */

static int count_of(const enum pop_voice *voices, size_t count, enum pop_voice voice)
{
    int n = 0;
    for (size_t i = 0; i < count; i++)
        n += voices[i] == voice;
    return n;
}

/* What nobody can change any more; else, once all are in, whether it is worth waiting for those who call back. */
bool pop_tally_validate(const enum pop_voice *voices, size_t count, int quorum, enum pop_outcome *ret)
{
    int yes = count_of(voices, count, POP_VOICE_YES), no = count_of(voices, count, POP_VOICE_NO);
    int revoked = count_of(voices, count, POP_VOICE_REVOKED), pending = count_of(voices, count, POP_VOICE_PENDING);
    int deferred = count_of(voices, count, POP_VOICE_DEFERRED);
    int blocking = (int)count - quorum + 1; /* so many that never say yes put the quorum out of reach */
    if (yes >= quorum)
        *ret = POP_VALIDATED;
    else if (revoked >= blocking)
        *ret = POP_REVOKED;
    else if (no + revoked >= blocking)
        *ret = POP_REJECTED;
    else if (pending > 0)
        return false;
    else
        *ret = yes + deferred >= quorum ? POP_DEFERRED : POP_UNKNOWN;
    return true;
}

/* Every one of them has to say it. */
static bool tally_all(const enum pop_voice *voices, size_t count, enum pop_voice voice, enum pop_outcome said,
                      enum pop_outcome *ret)
{
    if (count_of(voices, count, POP_VOICE_PENDING) > 0)
        return false;
    *ret = count_of(voices, count, voice) == (int)count ? said : POP_UNKNOWN;
    return true;
}

bool pop_tally_revoke(const enum pop_voice *voices, size_t count, enum pop_outcome *ret)
{
    return tally_all(voices, count, POP_VOICE_REVOKED, POP_REVOKED, ret);
}

bool pop_tally_commit(const enum pop_voice *voices, size_t count, enum pop_outcome *ret)
{
    *ret = POP_REVOKED;
    return count_of(voices, count, POP_VOICE_REVOKED) > 0 ||
           tally_all(voices, count, POP_VOICE_COMMITTED, POP_COMMITTED, ret);
}

/* ---- votes ---- */

static int check_text(const json_t *vote, const char *name, const char *wanted, struct err *err)
{
    const char *given = json_text(vote, name, NULL);
    if (!given || strcmp(given, wanted) != 0)
        return err_set(err, ERR_INVALID, "the vote names another %s", name);
    return 0;
}

static int check_subject(const struct pop_validator *validator, const struct pop_request *request, const json_t *vote,
                         struct err *err)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(request->payment_id, id);
    const json_t *amount = json_object_get(vote, "amount");
    if (check_text(vote, "paymentId", id, err) < 0 || check_text(vote, "validator", validator->name, err) < 0 ||
        check_text(vote, "currency", request->currency, err) < 0)
        return -1;
    if (!json_is_integer(amount) || json_integer_value(amount) != request->amount)
        return err_set(err, ERR_INVALID, "the vote names another amount");
    return 0;
}

static int check_verdict(const json_t *vote, const char **ret_verdict, struct err *err)
{
    *ret_verdict = json_text(vote, "verdict", "");
    if (strcmp(*ret_verdict, "valid") != 0 && strcmp(*ret_verdict, "invalid") != 0)
        return err_set(err, ERR_INVALID, "the vote's verdict is neither valid nor invalid");
    return 0;
}

/* Between the first time it could have been asked for and now, both give or take the skew. */
static int check_time(const struct pop_request *request, const json_t *vote, int64_t now_ms, int64_t max_skew_ms,
                      const char **ret_at, struct err *err)
{
    int64_t at_ms, since_ms = request->since_ms && request->since_ms < now_ms ? request->since_ms : now_ms;
    *ret_at = json_text(vote, "at", "");
    size_t length = strlen(*ret_at);
    if (length == 0 || length >= CLOCK_TEXT_SIZE || (*ret_at)[length - 1] != 'Z' || clock_parse(*ret_at, &at_ms) < 0)
        return err_set(err, ERR_INVALID, "the vote's time cannot be read");
    if (at_ms < since_ms - max_skew_ms || at_ms > now_ms + max_skew_ms)
        return err_set(err, ERR_INVALID, "the vote's time is more than %" PRId64 " ms off", max_skew_ms);
    return 0;
}

static int check_signature(const struct pop_validator *validator, const struct pop_request *request, const json_t *vote,
                           const char *verdict, const char *at, struct err *err)
{
    char id[UUID_TEXT_SIZE], text[VOTE_TEXT_MAX];
    uint8_t signature[ED25519_SIGNATURE_SIZE];
    size_t size = 0;
    uuid_format(request->payment_id, id);
    int n = snprintf(text, sizeof text, "acquit-pop-vote-v1\n%s\n%" PRId64 "\n%s\n%s\n%s\n%s\n", id, request->amount,
                     request->currency, verdict, validator->name, at);
    if (n < 0 || (size_t)n >= sizeof text)
        return err_set(err, ERR_INVALID, "the vote is too long");
    if (base64_decode(json_text(vote, "signature", ""), signature, sizeof signature, &size) < 0 ||
        size != sizeof signature || !ed25519_verify(validator->public_key, text, (size_t)n, signature))
        return err_set(err, ERR_INVALID, "the vote's signature is not the configured key's");
    return 0;
}

bool pop_vote_check(const struct pop_validator *validator, const struct pop_request *request, const json_t *vote,
                    int64_t now_ms, int64_t max_skew_ms, bool *ret_valid, struct err *err)
{
    const char *verdict, *at;
    if (check_subject(validator, request, vote, err) < 0 || check_verdict(vote, &verdict, err) < 0 ||
        check_time(request, vote, now_ms, max_skew_ms, &at, err) < 0 ||
        check_signature(validator, request, vote, verdict, at, err) < 0)
        return false;
    *ret_valid = strcmp(verdict, "valid") == 0;
    return true;
}

const struct pop_validator *pop_vote_author(const struct pop_validator *validators, size_t count, const json_t *vote,
                                            struct err *err)
{
    struct pop_request own = {.amount = json_int(vote, "amount", 0), .currency = json_text(vote, "currency", "")};
    const char *name = json_text(vote, "validator", ""), *verdict;
    if (uuid_parse(json_text(vote, "paymentId", ""), &own.payment_id) < 0) {
        err_set(err, ERR_INVALID, "the vote names no payment");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(validators[i].name, name) != 0)
            continue;
        bool genuine = check_subject(&validators[i], &own, vote, err) == 0 && check_verdict(vote, &verdict, err) == 0 &&
                       check_signature(&validators[i], &own, vote, verdict, json_text(vote, "at", ""), err) == 0;
        return genuine ? &validators[i] : NULL;
    }
    err_set(err, ERR_INVALID, "the vote is of no validator that is configured here");
    return NULL;
}

/* ---- answers ---- */

/* The kept vote is what was signed, and of the free text as much as a person may want to read; nothing else that was
 * put in. */
static json_t *copy_vote(const json_t *vote)
{
    static const char *const members[] = {"validator", "paymentId", "amount", "currency", "verdict", "at", "signature"};
    char reason[PROVIDER_MESSAGE_SIZE];
    json_t *copy = json_object();
    int failed = 0;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        failed |= json_object_set(copy, members[i], json_object_get(vote, members[i]));
    answer_message(reason, json_text(vote, "reason", ""), NULL);
    if (*reason)
        failed |= json_object_set_new(copy, "reason", json_string(reason));
    if (failed)
        log_panic("a vote cannot be copied");
    return copy;
}

enum pop_voice pop_read_vote(const struct pop_validator *validator, const struct pop_request *request, int64_t now_ms,
                             int64_t max_skew_ms, const json_t *vote, json_t **ret_vote,
                             char why[static POP_ERROR_SIZE])
{
    struct err err = {0};
    bool valid;
    *ret_vote = NULL;
    why[0] = '\0';
    if (!pop_vote_check(validator, request, vote, now_ms, max_skew_ms, &valid, &err)) {
        snprintf(why, POP_ERROR_SIZE, "%.*s", POP_ERROR_SIZE - 1, err.text);
        return POP_VOICE_SILENT;
    }
    *ret_vote = copy_vote(vote);
    return valid ? POP_VOICE_YES : POP_VOICE_NO;
}

static bool says_revoked(const json_t *root)
{
    return strcmp(json_text(root, "error", ""), "revoked") == 0;
}

static bool says_status(const json_t *root, struct uuid payment_id, const char *status)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(payment_id, id);
    return strcmp(json_text(root, "paymentId", ""), id) == 0 && strcmp(json_text(root, "status", ""), status) == 0;
}

enum pop_voice pop_decode_validate(const struct pop_validator *validator, const struct pop_request *request,
                                   int64_t now_ms, int64_t max_skew_ms, int status, const char *body, size_t size,
                                   json_t **ret_vote, char why[static POP_ERROR_SIZE])
{
    enum pop_voice voice = POP_VOICE_SILENT;
    json_t *root = json_decode(body, size, NULL);
    *ret_vote = NULL;
    why[0] = '\0';
    if (status == 200 && json_is_object(root))
        voice = pop_read_vote(validator, request, now_ms, max_skew_ms, root, ret_vote, why);
    else if (status == 202 && says_status(root, request->payment_id, "pending"))
        voice = POP_VOICE_DEFERRED;
    else if (status == 409 && says_revoked(root))
        voice = POP_VOICE_REVOKED;
    else
        snprintf(why, POP_ERROR_SIZE, status == 200 ? "the answer is not a vote" : "the answer is HTTP %d", status);
    json_decref(root);
    return voice;
}

enum pop_voice pop_decode_commit(struct uuid payment_id, int status, const char *body, size_t size,
                                 char why[static POP_ERROR_SIZE])
{
    json_t *root = json_decode(body, size, NULL);
    enum pop_voice voice = POP_VOICE_SILENT;
    if (status == 200 && says_status(root, payment_id, "committed"))
        voice = POP_VOICE_COMMITTED;
    else if (status == 409 && says_revoked(root))
        voice = POP_VOICE_REVOKED;
    json_decref(root);
    why[0] = '\0';
    if (voice == POP_VOICE_SILENT)
        snprintf(why, POP_ERROR_SIZE,
                 status == 200 ? "the answer is not about this payment's commit" : "the answer is HTTP %d", status);
    return voice;
}

enum pop_voice pop_decode_revoke(struct uuid payment_id, int status, const char *body, size_t size,
                                 char why[static POP_ERROR_SIZE])
{
    json_t *root = json_decode(body, size, NULL);
    bool revoked = status == 200 && says_status(root, payment_id, "revoked");
    json_decref(root);
    why[0] = '\0';
    if (!revoked)
        snprintf(why, POP_ERROR_SIZE,
                 status == 200 ? "the answer is not this payment's revocation" : "the answer is HTTP %d", status);
    return revoked ? POP_VOICE_REVOKED : POP_VOICE_SILENT;
}

/* ---- requests ---- */

/* One text, whatever the payment's reference looks like. */
static json_t *reference_text(const json_t *reference)
{
    const char *type = json_text(reference, "type", ""), *id = json_text(reference, "id", "");
    if (json_is_string(reference))
        return json_string(json_string_value(reference));
    if (!*type || !*id)
        return json_null();
    return json_sprintf("%s:%s", type, id);
}

char *pop_encode_validate(const struct pop_request *request, const char *callback_url, int64_t now_ms)
{
    char id[UUID_TEXT_SIZE], at[CLOCK_TEXT_SIZE];
    uuid_format(request->payment_id, id);
    json_t *body = json_pack("{s:s, s:I, s:s, s:o, s:s, s:s*}", "paymentId", id, "amount", (json_int_t)request->amount,
                             "currency", request->currency, "reference", reference_text(request->reference),
                             "requestedAt", clock_format(request->since_ms ? request->since_ms : now_ms, at),
                             "callbackUrl", callback_url && *callback_url ? callback_url : NULL);
    char *text = body ? json_encode(body) : NULL;
    if (!text)
        log_panic("a validation request cannot be encoded");
    json_decref(body);
    return text;
}
