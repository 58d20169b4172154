/* replay.c - what a person may say of a dead letter, and what that would do (pure) */
#include "workers/operator/replay.h"

#include <stdio.h>
#include <string.h>

#include "common/crypto.h"
#include "common/json.h"
#include "queues/message.h"
#include "queues/topology.h"

const char *replay_effect_text(enum replay_effect effect)
{
    switch (effect) {
    case REPLAY_BEGINS:
        return "something is left to do";
    case REPLAY_NOTHING:
        return "nothing left to do";
    case REPLAY_WAITS:
        return "its payment is not there";
    case REPLAY_VAIN:
        return "nothing a replay could mend: publish a corrected message";
    }
    return "";
}

/* The body of the command inside; NULL when it cannot be read. */
static json_t *body_of(const json_t *letter)
{
    struct err err = {0};
    const char *text = json_text(letter, "body", "");
    return json_decode(text, strlen(text), &err);
}

/* N of the authorization or refund that it is about. */
static int number_of(const json_t *letter)
{
    json_auto_t *body = body_of(letter);
    return slot_parse(json_text(body, "slot", "")).n;
}

static bool died_of(const json_t *letter, const char *reason)
{
    return strcmp(json_text(letter, "reason", ""), reason) == 0;
}

bool replay_payment(const json_t *letter, struct uuid *ret)
{
    if (uuid_parse(json_text(letter, "paymentId", ""), ret) == 0)
        return true;
    if (!died_of(letter, "unknown_payment"))
        return false;
    json_auto_t *body = body_of(letter);
    return public_id_parse(json_text(body, "paymentId", ""), ret) == 0;
}

/* It died of what it says itself, or it names a payment that its publisher does not have, even now. */
static bool is_vain(const json_t *letter, const struct payment *payment)
{
    if (died_of(letter, "invalid") || died_of(letter, "idempotency_conflict"))
        return true;
    const json_t *received = payment->received ? payment->received->body : NULL;
    return died_of(letter, "unknown_payment") &&
           strcmp(json_text(received, "publisher", ""), json_text(letter, "publisher", "?")) != 0;
}

/* An intent of this command without a result: a redelivery resumes it (L5). */
static bool has_open_intent(const struct payment *payment, struct uuid command)
{
    for (int n = 1; n <= payment->authorization_count; n++)
        if (!payment->authorizations[n].result && uuid_equal(payment->authorizations[n].intent->cause, command))
            return true;
    for (int n = 1; n <= payment->refund_count; n++) {
        const struct refund *refund = &payment->refunds[n];
        if (refund->accepted && !refund->result && uuid_equal(refund->intent->cause, command))
            return true;
    }
    return false;
}

static bool has_refund(const struct payment *payment, struct uuid command)
{
    for (int n = 1; n <= payment->refund_count; n++)
        if (payment->refunds[n].intent && uuid_equal(payment->refunds[n].intent->cause, command))
            return true;
    return false;
}

enum replay_effect replay_effect(const json_t *letter, const struct payment *payment)
{
    const char *type = json_text(letter, "type", "");
    struct uuid command = {0};
    bool known = uuid_parse(json_text(letter, "commandId", ""), &command) == 0;
    if (is_vain(letter, payment))
        return REPLAY_VAIN;
    if (!payment->received)
        return strcmp(type, "payment.create") == 0 ? REPLAY_BEGINS : REPLAY_WAITS;
    if (known && has_open_intent(payment, command))
        return REPLAY_BEGINS;
    if (strcmp(type, "payment.refund") == 0) /* it is answered in any case: accepted or refused */
        return known && has_refund(payment, command) ? REPLAY_NOTHING : REPLAY_BEGINS;
    return saga_wants(payment, type, number_of(letter)) ? REPLAY_BEGINS : REPLAY_NOTHING;
}

int replay_allowed(const json_t *letter, struct err *err)
{
    const char *body = json_text(letter, "body", "");
    char digest[SHA256_HEX_SIZE];
    sha256_hex(body, strlen(body), digest);
    if (!command_type_find(json_text(letter, "type", "")))
        return err_set(err, ERR_INVALID,
                       "its message cannot be read, so it would only die again; its publisher has to send a good one");
    if (json_text(letter, "bodyEncoding", NULL))
        return err_set(err, ERR_INVALID,
                       "its body is no text, so it would only die again; its publisher has to send a good one");
    if (strcmp(digest, json_text(letter, "bodySha256", digest)) != 0)
        return err_set(err, ERR_INVALID, "its body carried a card number and was masked; it cannot be sent again");
    return 0;
}

const json_t *letter_last_word(const json_t *letter)
{
    const json_t *facts = json_object_get(letter, "facts"), *last = NULL;
    int n = 0;
    for (size_t i = 0; i < json_array_size(facts); i++) {
        const json_t *fact = json_array_get(facts, i);
        struct slot slot = slot_parse(json_text(fact, "slot", ""));
        if (slot.kind == SLOT_REPLAY && slot.n > n) {
            last = fact;
            n = slot.n;
        }
    }
    return last;
}

int discard_allowed(const json_t *letter, struct err *err)
{
    const json_t *word = letter_last_word(letter);
    char reason[256]; /* the rest of the sentence has room beside it */
    if (!word || strcmp(json_text(word, "outcome", ""), "discarded") != 0)
        return 0;
    message_text_cut(json_text(json_object_get(word, "body"), "reason", ""), reason, sizeof reason);
    return err_set(err, ERR_INVALID, "it is discarded already, by %s at %s: %s", json_text(word, "actor", "somebody"),
                   json_text(word, "at", ""), reason);
}

#define UNDONE "something is left for this command to do, and nobody else will do it"

void discard_effect_text(const struct outlook *outlook, char ret[static OUTLOOK_TEXT_SIZE])
{
    char payment[PUBLIC_ID_SIZE];
    public_id_format(outlook->payment, payment);
    const char *state = public_state_text(outlook->state);
    const char *left =
        outlook->effect == REPLAY_BEGINS ? ": " UNDONE : ", but this command has nothing left to do there";
    if (outlook->effect == REPLAY_VAIN || outlook->effect == REPLAY_WAITS)
        snprintf(ret, OUTLOOK_TEXT_SIZE, "%s", replay_effect_text(outlook->effect));
    else if (outlook->known && !outlook->begun)
        snprintf(ret, OUTLOOK_TEXT_SIZE, "its payment %s has not begun: " UNDONE, payment);
    else if (outlook->known && !outlook->ended)
        snprintf(ret, OUTLOOK_TEXT_SIZE, "its payment %s is still %s%s", payment, state, left);
    else if (outlook->effect == REPLAY_NOTHING)
        snprintf(ret, OUTLOOK_TEXT_SIZE, "%s", replay_effect_text(outlook->effect));
    else if (outlook->known)
        snprintf(ret, OUTLOOK_TEXT_SIZE, "its payment %s is %s: " UNDONE, payment, state);
    else
        snprintf(ret, OUTLOOK_TEXT_SIZE, "%s", outlook->replayable ? UNDONE : "it could not be sent again anyway");
}

struct uuid word_command(const char *type, struct uuid letter, struct uuid payment, int64_t n,
                         char ret_slot[static SLOT_SIZE])
{
    char id[UUID_TEXT_SIZE];
    uuid_format(letter, id);
    snprintf(ret_slot, SLOT_SIZE, "replay:%s:%lld", id, (long long)n);
    return uuid_follow_up(uuid_is_nil(payment) ? letter : payment, type, ret_slot);
}
