/* saga_internal.h - what the files of the saga share; nobody else includes it
 *
 * saga_slot.c names and outcomes, saga.c the fold, saga_check.c what must never stand together, saga_next.c what
 * follows.
 */
#ifndef ACQUIT_LEDGER_SAGA_INTERNAL_H
#define ACQUIT_LEDGER_SAGA_INTERNAL_H

#include <string.h>

#include "ledger/saga.h"

/* Whether a slot of this kind can hold this outcome. *ret_n is the N of "commit:N", 0 for the others. */
bool outcome_parse(enum slot_kind kind, const char *outcome, int *ret_n);
/* Whether notices can be named after this channel. */
bool channel_valid(const char *channel);

static inline bool holds(const struct fact *fact, const char *outcome)
{
    return fact && strcmp(fact->outcome, outcome) == 0;
}

/* The fact after which everything but the money's own way is undone: decision=abort, capture=refused or
 * token:active=refused. NULL: none. */
const struct fact *undo_cause(const struct payment *p);
/* All of a completed payment's capture was refunded: its proof and its tokens are taken back. It stays completed, told as refunded. */
bool given_back(const struct payment *p);
/* pop:revoked and token:released stand; nothing to undo in `plain`. */
bool undone(const struct payment *p);
/* L6: the provider asks the customer for what was concluded to be absent: answered, it would be an approval that nobody
 * waits for. To void it is safe, whichever of the two facts came first. */
bool late_challenge(const struct authorization *a);
/* L7: authorization n can never be captured any more, as far as the facts go. */
bool may_void(const struct payment *p, int n);
/* Every vote that a capture needs was cast for it; *ret_n is the approved authorization. */
bool votes_positive(const struct payment *p, int *ret_n);

/* Notes in the ended payment which channel a notice told of what. */
void note_notice(struct payment *p, const struct fact *notice);

/* 0, or -1 with ERR_INTERNAL when facts that were all placed contradict the protocol. */
int saga_check(const struct payment *p, struct err *err) MUST_CHECK;

#endif
