/* mutants.c - the rules that can be taken out, one line each; MUTANT(NAME) stands where each is kept (common/mutant.h) */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mutant.h"
#include "tests/simulate/mutants.h"

/* The rule as it reads when it is taken out. */
/* clang-format off */
static const struct mutant mutants[] = {
    {"ACK_FIRST", "L1", "a delivery is acknowledged when it is taken"},
    {"ACK_UNPUBLISHED", "L1", "a delivery is acknowledged although a message of it was not taken"},
    {"UNCONFIRMED_IS_PUBLISHED", "L1", "a message that the broker has not confirmed counts as published"},
    {"UNKNOWN_COMMIT_IS_DONE", "L1", "a COMMIT without a clean answer counts as done"},
    {"SLOTS_TWICE", "L2", "a slot can hold two facts"},
    {"REFUND_SLOT_OF_ITS_OWN", "L2", "refunds do not race for the same slot"},
    {"REFUND_AGAIN", "L2", "a refund does not look for its own fact"},
    {"LAST_DOUBT_BY_ORDER", "L3", "the fold takes the doubt that it reads last"},
    {"NO_LOOK", "L4", "the facts are not read again after a commit"},
    {"RESTS_ON_ONE", "L4", "a command rests on the first of its facts alone: who commits the last vote says nothing"},
    {"KEEPER_BLIND", "L4", "nobody looks at a payment that stands still"},
    {"EXPIRY_UNSAID", "L4", "an expiry is decided as if the keeper wrote it: nobody is there to say what follows"},
    {"ARCHIVED_UNSAID", "L4", "who archives a dead letter says nothing of what follows"},
    {"ENDED_IS_HELD", "L4", "a command whose death ended its payment is never said again, although undoing needs it"},
    {"KEY_OF_THE_MOMENT", "L5", "each call has a new idempotency key"},
    {"CAPTURE_AFTER_ABORT", "L5", "a capture does not look at the decision once more before its call"},
    {"UNSENT_FORGOTTEN", "L5", "an intent that an abort overtook leaves no doubt"},
    {"UNKNOWN_IS_DECLINED", "L6", "an authorization without an answer is declined"},
    {"UNKNOWN_CAPTURE_IS_REFUSED", "L6", "a capture without an answer is refused"},
    {"ABSENT_AT_ONCE", "L6", "absent is concluded from any question"},
    {"ABSENT_REFUND_IS_REFUSED", "L6", "a refund is concluded absent"},
    {"SEND_FOR_EVER", "L6", "an intent is sent again however old it is"},
    {"LATE_APPROVAL_DROPPED", "L6", "an approval that finds a negative result is dropped"},
    {"LATE_NOT_VOIDED", "L6", "a late approval is not voided"},
    {"LATE_DOUBT_FORGOTTEN", "L6", "who may have sent what was found absent leaves no doubt"},
    {"LATE_DOUBT_UNASKED", "L6", "nobody asks about a doubt behind an absence"},
    {"FAIL_OVER_ANYWAY", "L6", "the next provider is tried although the negative result was not won"},
    {"DOUBT_ENDS", "L6", "an aborted payment ends although an authorization is in doubt"},
    {"REFUSAL_WITHOUT_ABORT", "L7", "the last refusal does not decide"},
    {"TOKENS_WITHOUT_ABORT", "L7", "tokens that are not to be had do not decide"},
    {"DEATH_WITHOUT_ABORT", "L7", "what is exhausted before a decision does not decide"},
    {"NOT_CLOSED", "L7", "an abort leaves auth:1 open"},
    {"VOID_BEFORE_DECISION", "L7", "what may still be captured is voided"},
    {"REFUSED_CAPTURE_STAYS", "L7", "a refused capture's authorization is not voided"},
    {"NO_UNWIND", "L7", "a refused activation is not refunded"},
    {"TOKENS_KEPT", "L7", "tokens are not given back"},
    {"UNDO_KNOWN_ONLY", "saga", "a proof that nobody has heard of is not revoked"},
    {"NO_TOMBSTONES", "saga", "what reaches the token system after the release is done nevertheless"},
    {"ARBITER_SILENT", "saga", "a release after a capture does not say that activation is over"},
    {"TRANSFERS_ANYWAY", "L8", "transfers of a lost slot are booked"},
    {"ANY_BODY", "L10", "another body under the same key is taken for a repeat"},
};
/* clang-format on */

static const char *active;

size_t mutant_count(void)
{
    return sizeof mutants / sizeof *mutants;
}

const struct mutant *mutant_at(size_t i)
{
    return &mutants[i];
}

bool mutant_activate(const char *name)
{
    active = NULL;
    for (size_t i = 0; i < mutant_count(); i++)
        if (strcmp(mutants[i].name, name) == 0)
            active = mutants[i].name;
    return active != NULL;
}

bool mutant_active(const char *name)
{
    return active && strcmp(active, name) == 0;
}
