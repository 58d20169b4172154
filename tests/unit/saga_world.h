/* saga_world.h - the providers of one payment, in memory: what is really true, whatever the facts say
 *
 * One payment provider per route, the validators and the token system. Each keeps its own truth and gives the same
 * answer to the same request for ever. Nothing here knows facts, commands or decisions.
 */
#ifndef ACQUIT_TESTS_UNIT_SAGA_WORLD_H
#define ACQUIT_TESTS_UNIT_SAGA_WORLD_H

#include <stdbool.h>

#include "tests/unit/saga_text.h"

enum { WORLD_ROUTES = 2, WORLD_REFUNDS = 12, WORLD_AMOUNT = 3 };

enum hold {
    HOLD_NONE,
    HOLD_OVER, /* nothing arrived before send_until and the horizon: who looks at the clock does not send any more */
    HOLD_CHALLENGED,
    HOLD_LIVE,
    HOLD_DECLINED,
    HOLD_CANCELLED,
    HOLD_CAPTURED,
    HOLD_VOIDED,
    HOLD_EXPIRED,
};
enum tokens { TOKENS_NONE, TOKENS_RESERVED, TOKENS_REFUSED, TOKENS_ACTIVE, TOKENS_RELEASED, TOKENS_DEACTIVATED };
enum purchase { PURCHASE_NONE, PURCHASE_ASKED, PURCHASE_VALID, PURCHASE_REJECTED, PURCHASE_REVOKED };

enum operation {
    OP_NONE,
    OP_AUTHORIZE,
    OP_ASK,         /* what became of an authorization */
    OP_ASK_LATE,    /* the same, behind its absence */
    OP_LEAVE_DOUBT, /* nobody is asked */
    OP_CAPTURE,
    OP_VOID,
    OP_REFUND,
    OP_VALIDATE,
    OP_TELL, /* that the purchase stands */
    OP_REVOKE,
    OP_RESERVE,
    OP_ACTIVATE,
    OP_RELEASE,
    OP_DEACTIVATE,
    OP_NOTIFY,
};
enum answer {
    ANSWER_UNKNOWN,
    ANSWER_DONE,
    ANSWER_REFUSED,
    ANSWER_CANCELLED,
    ANSWER_ABSENT,
    ANSWER_CHALLENGE,
    ANSWER_EXPIRED,
    ANSWER_NOTHING,
    ANSWER_ACTIVE,
};

struct call {
    enum operation op;
    int n, k;     /* authorization or refund; which question */
    int amount;   /* of a refund */
    bool stalled; /* the worker looked at the clock and then stood still: it sends, however late that is */
};

/* Per cent. */
struct odds {
    int decline, challenge, defer, reject, no_tokens, no_capture, no_activation, no_refund, no_notice;
};

struct world {
    struct odds odds;
    struct dice *dice;
    enum hold holds[WORLD_ROUTES + 1];
    bool capture_refused[WORLD_ROUTES + 1];
    enum tokens tokens;
    enum purchase purchase;
    int refunded[WORLD_REFUNDS + 1]; /* amount; -1: refused for good */
    int waits;                       /* questions that the customer lets pass before answering a challenge */
    bool tombstone_hit;              /* something came after it was taken back, and was refused */
    bool void_hit_capture;           /* must never be */
};

/* `under_way`: a request of this authorization may still arrive, so that nobody can say it is absent. */
enum answer world_call(struct world *world, const struct call *call, bool under_way);

int world_refunded(const struct world *world);

/* The validators' own decision about a purchase that they were asked about. */
void world_decide(struct world *world);

#endif
