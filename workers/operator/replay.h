/* replay.h - what a person may say of a dead letter, send it again or nobody will, and what that would do (pure)
 */
#ifndef ACQUIT_WORKERS_OPERATOR_REPLAY_H
#define ACQUIT_WORKERS_OPERATOR_REPLAY_H

#include <jansson.h>

#include "common/err.h"
#include "ledger/saga.h"

enum replay_effect {
    REPLAY_BEGINS,  /* something is left for this command to do */
    REPLAY_NOTHING, /* the facts say that nothing is: it will find them and be done */
    REPLAY_WAITS,   /* its payment is not there: it waits for it, and dies again if it never comes */
    REPLAY_VAIN,    /* it would die of the same again: its publisher has to send a good one */
};
const char *replay_effect_text(enum replay_effect effect);

/* The payment that the letter is about: its own, or, where it died because there was none of its publisher's (its
 * facts stand elsewhere), the one that its body names. False: none can be told. */
bool replay_payment(const json_t *letter, struct uuid *ret);
/* `letter` is a dead letter as read_dead_letter() gives it; `payment` may have no `received`. */
enum replay_effect replay_effect(const json_t *letter, const struct payment *payment);

/* May it be sent again at all? ERR_INVALID says why not and what to do instead: its type is unknown, its body is no
 * text, or was masked (L11). */
int replay_allowed(const json_t *letter, struct err *err) MUST_CHECK;

/* May it be discarded? Always, also where it cannot be sent again, but not twice: ERR_INVALID says who did it. */
int discard_allowed(const json_t *letter, struct err *err) MUST_CHECK;

/* The fact of the last word on it, as read_dead_letter() gives it: slot, outcome, actor, at, body. NULL: none yet. */
const json_t *letter_last_word(const json_t *letter);

/* What a word on this letter means for its payment. */
struct outlook {
    enum replay_effect effect;
    bool replayable; /* replay_allowed() */
    bool known;      /* it is about a payment, this one: */
    struct uuid payment;
    bool begun, ended;
    enum public_state state;
};
enum { OUTLOOK_TEXT_SIZE = 256 };
/* What stays undone when it is discarded: a warning where its payment needs it. */
void discard_effect_text(const struct outlook *outlook, char ret[static OUTLOOK_TEXT_SIZE]);

/* Word number n on this letter, a command of this type ("deadletter.replay"): its slot "replay:<letter>:<n>", the same
 * for every word, so that one word has one number, and its command id, the same for whoever says it. */
struct uuid word_command(const char *type, struct uuid letter, struct uuid payment, int64_t n,
                         char ret_slot[static SLOT_SIZE]);

#endif
