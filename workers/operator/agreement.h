/* agreement.h - do the ledger, the token system and the validators say the same of a dual payment? (pure)
 *
 * Two tables: where the payment stands by its facts, against everything that the other side may say. A cell is agreement,
 * or the name of a difference. Some differences are there at once, since nothing that is under way could heal them; the
 * others count only once the payment has been at rest for a while, because a call whose answer is not written yet puts the
 * other side ahead of the ledger. What was not answered is unknown, never agreement (L6).
 */
#ifndef ACQUIT_WORKERS_OPERATOR_AGREEMENT_H
#define ACQUIT_WORKERS_OPERATOR_AGREEMENT_H

#include "ledger/read_dual.h"
#include "ledger/saga.h"
#include "workers/providers/pop_state.h"
#include "workers/providers/tokens.h"

/* clang-format off */
#define DIFFERENCES(X)                                                                                                 \
    X(AGREES)                                                                                                          \
    X(TOKENS_ACTIVE_NOT_PAID) X(PAID_NOT_ACTIVE) X(RESERVATION_LOST) X(RESERVED_AFTER_END) X(RELEASE_FORGOTTEN)        \
    X(ACTIVE_AFTER_REFUND) X(TOKENS_DIFFER) X(TOKEN_ID_DIFFERS) X(QUANTITY_DIFFERS)                                    \
    X(VOTE_MISSING) X(VOTE_DIFFERS) X(COMMITTED_NOT_PAID) X(NOT_COMMITTED) X(NOT_REVOKED) X(REVOCATION_FORGOTTEN)      \
    X(REVOKED_NOT_UNDONE)                                                                                              \
    X(SETTLED_WITHOUT_PROOF) X(TOKENS_NOT_GIVEN_BACK) X(PROOF_NOT_TAKEN_BACK) X(FACTS_CONTRADICT) X(PAST_DEADLINE)     \
    X(STANDS_STILL)
/* clang-format on */
enum difference_kind {
#define X(id) DIFF_##id,
    DIFFERENCES(X)
#undef X
};
enum {
#define X(id) +1
    DIFFERENCE_KIND_COUNT = 0 DIFFERENCES(X)
#undef X
};
const char *difference_name(enum difference_kind kind);   /* "PAID_NOT_ACTIVE" */
const char *difference_remedy(enum difference_kind kind); /* a sentence: what to do about it */

enum {
    DUAL_VALIDATORS_MAX = 16,
    DUAL_NAME_SIZE = 33, /* of a validator, and NUL */
    DUAL_WORDS_SIZE = 200,
    DIFFERENCES_MAX = 48, /* of one payment: two per validator, and a few */
};

/* What the others said of one payment. */
struct dual_told {
    bool tokens_known; /* else `tokens` says nothing and `tokens_why` why not */
    struct tokens_state tokens;
    char tokens_why[POP_WHY_SIZE];
    size_t validator_count;
    struct dual_validator {
        char name[DUAL_NAME_SIZE];
        struct pop_state state; /* `known` false: `why` says why */
    } validators[DUAL_VALIDATORS_MAX];
};

struct difference {
    enum difference_kind kind;
    char who[DUAL_NAME_SIZE]; /* "tokens", a validator, or "ledger": the facts alone say so */
    char ours[DUAL_WORDS_SIZE], theirs[DUAL_WORDS_SIZE]; /* both sides' words */
    int64_t since_ms, their_since_ms;                    /* of each; 0: not known */
};

struct agreement {
    bool in_flight; /* its newest fact is younger than the grace: only what cannot heal was counted */
    size_t count;
    struct difference items[DIFFERENCES_MAX];
};

struct agreement_terms {
    int64_t grace_ms;       /* how long a payment has to be at rest */
    int64_t stand_still_ms; /* and how long it may be, with something due */
    int64_t now_ms;         /* by the ledger's clock */
};

/* The validators that the payment's own facts name: those that were asked when it was voted on, committed or revoked. 0:
 * the facts name none yet, all that are configured may be asked. */
size_t agreement_validators(const struct payment *payment, char (*ret)[DUAL_NAME_SIZE]);

/* What the facts and transfers alone have to say, `payment` being their fold; NULL: they could not be folded, because of
 * `why`. Appends to ret, which the caller has zeroed. */
void agreement_judge_ledger(const struct facts *facts, const struct payment *payment, const char *why,
                            const struct dual_money *money, const struct agreement_terms *terms, struct agreement *ret);
/* And what the others said. */
void agreement_judge_told(const struct facts *facts, const struct payment *payment, const struct dual_told *told,
                          const struct agreement_terms *terms, struct agreement *ret);

#endif
