/* differences.c - what each difference between the ledger and the others is called, and what to do about it (agreement.h) */
#include <assert.h>

#include "workers/operator/agreement.h"

const char *difference_name(enum difference_kind kind)
{
    static const char *const names[DIFFERENCE_KIND_COUNT] = {
#define X(id) [DIFF_##id] = #id,
        DIFFERENCES(X)
#undef X
    };
    return names[kind];
}

#define SAY_AGAIN "see `acquit dlq list` for what died of it; --look says what is due again"

static const char *const remedies[] = {
    [DIFF_AGREES] = "nothing",
    [DIFF_TOKENS_ACTIVE_NOT_PAID] = "the tokens are in use and nobody paid: have the token system take them back, and "
                                    "find out who activated them; Acquit does so after a capture only",
    [DIFF_PAID_NOT_ACTIVE] =
        "the customer has paid and has no tokens: have the token system activate them, or give the "
        "money back with `acquit payment refund`",
    [DIFF_RESERVATION_LOST] = "the reserved tokens are gone: the activation will be refused and the payment undone by "
                              "itself; ask the token system why",
    [DIFF_RESERVED_AFTER_END] =
        "tokens are held for a payment that was undone: " SAY_AGAIN "; else have the token system release them",
    [DIFF_RELEASE_FORGOTTEN] = "the token system has lost the tombstone of a release, and would accept a late "
                               "reservation: tell whoever runs it",
    [DIFF_ACTIVE_AFTER_REFUND] = "all money was given back and the tokens can still be used: " SAY_AGAIN
                                 "; else have the token system deactivate them",
    [DIFF_TOKENS_DIFFER] = "the token system says what cannot follow from what we asked of it: ask whoever runs it",
    [DIFF_TOKEN_ID_DIFFERS] = "it keeps other tokens than those of the payment: ask whoever runs the token system",
    [DIFF_QUANTITY_DIFFERS] = "it keeps another quantity than that of the payment: ask whoever runs the token system",
    [DIFF_VOTE_MISSING] = "we hold this validator's signed vote and it has none: show it ours (`acquit ledger prove`)",
    [DIFF_VOTE_DIFFERS] = "it has signed two votes that contradict each other: keep both (`acquit ledger prove` has "
                          "ours), and do not trust it before this is explained",
    [DIFF_COMMITTED_NOT_PAID] = "the validator counts a purchase that did not take place: have it revoke the payment, "
                                "and find out who committed it",
    [DIFF_NOT_COMMITTED] =
        "the validator does not know that the purchase stands: " SAY_AGAIN "; else have it commit the payment",
    [DIFF_NOT_REVOKED] = "the proof of a purchase that was undone still stands: " SAY_AGAIN
                         "; else have the validator revoke the payment",
    [DIFF_REVOCATION_FORGOTTEN] = "the validator has lost the tombstone of a revocation, and would accept a late "
                                  "validation: tell whoever runs it",
    [DIFF_REVOKED_NOT_UNDONE] = "the validator took back the proof of a purchase that was not undone: ask whoever runs "
                                "it; if it cannot be restored, give the money back with `acquit payment refund`",
    [DIFF_SETTLED_WITHOUT_PROOF] =
        "money was settled without a proof of purchase: stop the workers, run `acquit ledger "
        "verify`, and tell a developer",
    [DIFF_TOKENS_NOT_GIVEN_BACK] = "the payment was undone and its tokens were not given back: " SAY_AGAIN,
    [DIFF_PROOF_NOT_TAKEN_BACK] = "the payment was undone and its proof was not taken back: " SAY_AGAIN,
    [DIFF_FACTS_CONTRADICT] = "nothing can be concluded from these facts: run `acquit ledger verify`, and tell a "
                              "developer",
    [DIFF_PAST_DEADLINE] = "it should have been undone at its deadline: do the keeper and the workers run? (`acquit "
                           "doctor`) " SAY_AGAIN,
    [DIFF_STANDS_STILL] = "something is due and does not happen: do the workers run? (`acquit doctor`) " SAY_AGAIN,
};
static_assert(sizeof remedies / sizeof remedies[0] == DIFFERENCE_KIND_COUNT, "a remedy for every difference");

const char *difference_remedy(enum difference_kind kind)
{
    return remedies[kind];
}
