/* replay.h - what sending a dead letter again would do (pure)
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

/* deadletter.replay number n of this letter: its slot "replay:<letter>:<n>" and its command id, the same for whoever
 * says it. */
struct uuid replay_command(struct uuid letter, struct uuid payment, int64_t n, char ret_slot[static SLOT_SIZE]);

#endif
