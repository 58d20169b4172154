/* pop_state_wire.c - a validator's statement about a payment, on the wire
 *
 * Whatever is not its signed word on this question is no answer, a plain 404 included. The statement's signature covers the
 * verdict of the vote that comes with it, so that nobody on the way can take the vote out; the vote has its own.
 */
#include "workers/providers/pop_state_wire.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "workers/providers/answer.h"
#include "workers/providers/pop_wire.h"

enum { STATEMENT_MAX = 512 };

static const char *const standings[POP_STANDING_COUNT] = {
#define X(id, text) [POP_IS_##id] = text,
    POP_STANDINGS(X)
#undef X
};

const char *pop_standing_text(enum pop_standing standing)
{
    return standings[standing];
}

void pop_state_encode(struct uuid payment_id, const char *nonce, char ret_target[static POP_STATE_TARGET_MAX])
{
    char id[UUID_TEXT_SIZE];
    uuid_format(payment_id, id);
    snprintf(ret_target, POP_STATE_TARGET_MAX, "/v1/validations/%s?nonce=%s", id, nonce);
}

static int check_subject(const struct pop_question *question, const char *nonce, const json_t *root, struct err *err)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(question->payment_id, id);
    if (strcmp(json_text(root, "paymentId", ""), id) != 0)
        return err_set(err, ERR_INVALID, "the statement names another payment");
    if (strcmp(json_text(root, "validator", ""), question->validator->name) != 0)
        return err_set(err, ERR_INVALID, "the statement names another validator");
    if (strcmp(json_text(root, "nonce", ""), nonce) != 0)
        return err_set(err, ERR_INVALID, "the statement answers another question: its nonce is not ours");
    return 0;
}

static int read_standing(const json_t *root, enum pop_standing *ret, struct err *err)
{
    const char *text = json_text(root, "status", "");
    for (int i = 0; i < POP_STANDING_COUNT; i++) {
        if (strcmp(text, standings[i]) == 0) {
            *ret = (enum pop_standing)i;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID, "the statement's status is none that we know");
}

static int check_signature(const struct pop_question *question, const char *nonce, const json_t *root, struct err *err)
{
    char id[UUID_TEXT_SIZE], text[STATEMENT_MAX];
    uint8_t signature[ED25519_SIGNATURE_SIZE];
    size_t size = 0;
    uuid_format(question->payment_id, id);
    const json_t *vote = json_object_get(root, "vote");
    int n = snprintf(text, sizeof text, "acquit-pop-state-v1\n%s\n%s\n%s\n%s\n%s\n%s\n", id,
                     json_text(root, "status", ""), json_text(vote, "verdict", "none"),
                     json_text(root, "changedAt", "none"), question->validator->name, nonce);
    if (n < 0 || (size_t)n >= sizeof text ||
        base64_decode(json_text(root, "signature", ""), signature, sizeof signature, &size) < 0 ||
        size != sizeof signature || !ed25519_verify(question->validator->public_key, text, (size_t)n, signature))
        return err_set(err, ERR_INVALID, "the statement's signature is not the configured key's");
    return 0;
}

static int read_vote(const struct pop_question *question, int64_t now_ms, const json_t *root, enum pop_verdict *ret,
                     struct err *err)
{
    const struct pop_request about = {.payment_id = question->payment_id,
                                      .amount = question->amount,
                                      .currency = question->currency,
                                      .since_ms = question->since_ms};
    const json_t *vote = json_object_get(root, "vote");
    bool valid = false;
    *ret = POP_NO_VOTE;
    if (!vote || json_is_null(vote))
        return 0;
    if (!pop_vote_check(question->validator, &about, vote, now_ms, question->vote_max_skew_ms, &valid, err))
        return -1;
    *ret = valid ? POP_VOTE_VALID : POP_VOTE_INVALID;
    return 0;
}

static int read_since(const json_t *root, int64_t *ret_ms, struct err *err)
{
    const char *at = json_text(root, "changedAt", NULL);
    *ret_ms = 0;
    if (at && clock_parse(at, ret_ms) < 0)
        return err_set(err, ERR_INVALID, "the statement's changedAt cannot be read");
    return 0;
}

/* A standing that is a vote needs that very vote, and one without a vote has none. */
static int check_sense(const struct pop_state *state, struct err *err)
{
    static const int wanted[POP_STANDING_COUNT] = {
        [POP_IS_UNSEEN] = POP_NO_VOTE,       [POP_IS_PENDING] = POP_NO_VOTE, [POP_IS_VALID] = POP_VOTE_VALID,
        [POP_IS_INVALID] = POP_VOTE_INVALID, [POP_IS_COMMITTED] = -1,        [POP_IS_REVOKED] = -1};
    if (wanted[state->standing] >= 0 && wanted[state->standing] != (int)state->vote)
        return err_set(err, ERR_INVALID, "the statement says %s, and its vote something else",
                       standings[state->standing]);
    return 0;
}

static int read_statement(const struct pop_question *question, const char *nonce, int64_t now_ms, const json_t *root,
                          struct pop_state *ret, struct err *err)
{
    if (check_subject(question, nonce, root, err) < 0 || read_standing(root, &ret->standing, err) < 0 ||
        check_signature(question, nonce, root, err) < 0 || read_vote(question, now_ms, root, &ret->vote, err) < 0 ||
        read_since(root, &ret->changed_at_ms, err) < 0)
        return -1;
    return check_sense(ret, err);
}

void pop_state_decode(const struct pop_question *question, const char *nonce, int64_t now_ms, int status,
                      const char *body, size_t size, struct pop_state *ret)
{
    struct err err = {0};
    struct pop_state state = {.known = true};
    json_t *root = status == 200 ? json_decode(body, size, NULL) : NULL;
    *ret = (struct pop_state){0};
    if (status != 200)
        snprintf(ret->why, sizeof ret->why, "the answer is HTTP %d", status);
    else if (!json_is_object(root))
        snprintf(ret->why, sizeof ret->why, "the answer is no statement");
    else if (read_statement(question, nonce, now_ms, root, &state, &err) < 0)
        snprintf(ret->why, sizeof ret->why, "%.*s", POP_WHY_SIZE - 1, err.text);
    else
        *ret = state;
    json_decref(root);
}
