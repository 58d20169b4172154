/* saga_text.h - facts written as text, and what the saga makes of them as text, for tests
 *
 * "received auth:1 auth:1:result=approved decision=abort/EXPIRED refund:1=accepted/400": slots with their outcomes,
 * separated by blanks. An outcome that a slot nearly always has may be left out. Behind '/' stands the reason of an
 * abort or the amount of a refund or capture. Each fact has a cause of its own, cause_of(slot), unless '@' and the
 * slot of another fact end it: then it was written by the same command.
 */
#ifndef ACQUIT_TESTS_UNIT_SAGA_TEXT_H
#define ACQUIT_TESTS_UNIT_SAGA_TEXT_H

#include "ledger/saga.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* What stands in most histories, as text. */
#define RESERVED "received token:reserved=reserved "
#define APPROVED RESERVED "auth:1 auth:1:result=approved "
#define VALIDATED APPROVED "pop=validated "
#define COMMITTED VALIDATED "decision=commit:1 "
#define CAPTURED COMMITTED "capture=captured "
#define ACTIVE CAPTURED "token:active=active "
#define UNWINDING CAPTURED "token:active=refused "
#define UNDONE "pop:revoked token:released "
#define PAID "received auth:1 auth:1:result=approved decision=commit:1 capture=captured "
#define TOLD_COMPLETED "notice:payment.completed:webhook "
#define COMMAND_A "11111111-2222-8333-8444-555555555555"
#define COMMAND_B "21111111-2222-8333-8444-555555555555"

enum { SAGA_TEXT_AMOUNT = 1000, SAGA_TEXT_SIZE = 16384 };

struct uuid cause_of(const char *slot);

/* `channels`: names separated by blanks. Free with facts_clear(). */
void facts_from_text(struct facts *ret, enum flow flow, const char *channels, const char *text);

/* "authorize.capture capture <auth:1:result <pop; ..." in the order given; "" for none. */
void next_to_text(const struct next *next, char ret[static SAGA_TEXT_SIZE]);

/* Everything the saga says of these facts, or the error; the same text for the same answer. */
void saga_to_text(const struct facts *facts, char ret[static SAGA_TEXT_SIZE]);

/* A small generator of our own, so that a seed means the same everywhere. */
struct dice {
    uint64_t state;
};
uint64_t dice_roll(struct dice *dice);
int dice_below(struct dice *dice, int limit); /* 0 .. limit - 1 */

void facts_shuffle(struct facts *facts, struct dice *dice);

#endif
