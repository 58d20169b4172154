/* pop_state.h - what a proof-of-purchase validator's own books say of a payment (docs/provider-interfaces.md)
 *
 * A question that changes nothing. The statement counts only when its Ed25519 signature is the configured key's, and
 * when it answers this very question: it names the payment and the nonce that was sent along. So neither a wrong path nor
 * an old answer can pass for what the validator knows.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_POP_STATE_H
#define ACQUIT_WORKERS_PROVIDERS_POP_STATE_H

#include "workers/providers/pop.h"

/* clang-format off */
#define POP_STANDINGS(X)                                                                                               \
    X(UNSEEN, "unknown") X(PENDING, "pending") X(VALID, "valid") X(INVALID, "invalid") X(COMMITTED, "committed")       \
    X(REVOKED, "revoked")
/* clang-format on */
enum pop_standing {
#define X(id, text) POP_IS_##id,
    POP_STANDINGS(X)
#undef X
};
enum {
#define X(id, text) +1
    POP_STANDING_COUNT = 0 POP_STANDINGS(X)
#undef X
};
const char *pop_standing_text(enum pop_standing standing);

enum pop_verdict { POP_NO_VOTE, POP_VOTE_VALID, POP_VOTE_INVALID };

enum { POP_WHY_SIZE = 160 };
struct pop_state {
    bool known; /* it answered, and it was its word; else the rest says nothing, and `why` says what was wrong */
    enum pop_standing standing;
    enum pop_verdict vote; /* that it gave, whatever became of the purchase since */
    int64_t changed_at_ms; /* wall time since when it stands so; 0: never seen */
    char why[POP_WHY_SIZE];
};

struct pop_question {
    const struct pop_validator *validator; /* borrowed until `done` */
    struct uuid payment_id;
    int64_t amount; /* what its vote must be about */
    char currency[4];
    int64_t since_ms; /* wall time at which it could first have been asked to vote */
    int64_t timeout_ms, vote_max_skew_ms;
    struct http *http;
};

struct pop_state_call;
/* Copies the question. NULL with the HTTP client's error when it cannot be sent; `done` is called once otherwise, from the
 * loop. */
struct pop_state_call *pop_state_ask(const struct pop_question *question,
                                     void (*done)(void *arg, const struct pop_state *state), void *arg,
                                     struct err *err) MUST_CHECK;
void pop_state_cancel(struct pop_state_call *call); /* `done` is not called */

#endif
