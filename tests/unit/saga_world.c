/* saga_world.c - the providers of one payment, in memory: what is really true, whatever the facts say */
#include "tests/unit/saga_world.h"

static bool happens(struct world *w, int percent)
{
    return percent > 0 && dice_below(w->dice, 100) < percent;
}

/* What the provider says about an authorization it knows. */
static enum answer say_hold(enum hold hold)
{
    switch (hold) {
    case HOLD_NONE:
    case HOLD_OVER:
        return ANSWER_ABSENT;
    case HOLD_CHALLENGED:
        return ANSWER_CHALLENGE;
    case HOLD_DECLINED:
        return ANSWER_REFUSED;
    case HOLD_CANCELLED:
        return ANSWER_CANCELLED;
    case HOLD_LIVE:
    case HOLD_CAPTURED:
    case HOLD_VOIDED:
    case HOLD_EXPIRED:
        return ANSWER_DONE;
    }
    return ANSWER_UNKNOWN;
}

static enum answer authorize(struct world *w, const struct call *call)
{
    enum hold *hold = &w->holds[call->n];
    if (*hold == HOLD_NONE || (*hold == HOLD_OVER && call->stalled)) {
        if (happens(w, w->odds.decline))
            *hold = HOLD_DECLINED;
        else
            *hold = happens(w, w->odds.challenge) ? HOLD_CHALLENGED : HOLD_LIVE;
    }
    return say_hold(*hold);
}

static enum answer ask(struct world *w, const struct call *call, bool under_way)
{
    enum hold *hold = &w->holds[call->n];
    if ((*hold == HOLD_NONE || *hold == HOLD_OVER) && under_way)
        return ANSWER_UNKNOWN;
    if (*hold == HOLD_NONE && call->op == OP_ASK)
        *hold = HOLD_OVER;
    if (*hold == HOLD_CHALLENGED && call->op == OP_ASK) {
        static const enum hold ENDS[] = {HOLD_LIVE, HOLD_LIVE, HOLD_DECLINED, HOLD_CANCELLED};
        if (w->waits-- > 0)
            return ANSWER_UNKNOWN;
        *hold = ENDS[dice_below(w->dice, sizeof ENDS / sizeof ENDS[0])];
    }
    return say_hold(*hold);
}

static enum answer capture(struct world *w, const struct call *call)
{
    enum hold *hold = &w->holds[call->n];
    if (*hold == HOLD_LIVE && happens(w, w->odds.no_capture))
        w->capture_refused[call->n] = true;
    if (*hold == HOLD_LIVE && !w->capture_refused[call->n])
        *hold = HOLD_CAPTURED;
    return *hold == HOLD_CAPTURED ? ANSWER_DONE : ANSWER_REFUSED;
}

static enum answer cancel(struct world *w, const struct call *call)
{
    enum hold *hold = &w->holds[call->n];
    if (*hold == HOLD_CAPTURED)
        w->void_hit_capture = true;
    if (*hold == HOLD_LIVE || *hold == HOLD_CHALLENGED)
        *hold = HOLD_VOIDED;
    if (*hold == HOLD_EXPIRED)
        return ANSWER_EXPIRED;
    return *hold == HOLD_VOIDED ? ANSWER_DONE : ANSWER_NOTHING;
}

static enum answer refund(struct world *w, const struct call *call)
{
    int *amount = &w->refunded[call->n];
    if (*amount == 0)
        *amount = happens(w, w->odds.no_refund) ? -1 : call->amount;
    return *amount > 0 ? ANSWER_DONE : ANSWER_REFUSED;
}

void world_decide(struct world *w)
{
    w->purchase = happens(w, w->odds.reject) ? PURCHASE_REJECTED : PURCHASE_VALID;
}

static enum answer validate(struct world *w)
{
    if (w->purchase == PURCHASE_NONE && happens(w, w->odds.defer))
        w->purchase = PURCHASE_ASKED;
    else if (w->purchase == PURCHASE_NONE || (w->purchase == PURCHASE_ASKED && happens(w, 20)))
        world_decide(w);
    if (w->purchase == PURCHASE_ASKED)
        return ANSWER_UNKNOWN;
    w->tombstone_hit |= w->purchase == PURCHASE_REVOKED;
    return w->purchase == PURCHASE_VALID ? ANSWER_DONE : ANSWER_REFUSED;
}

static enum answer reserve(struct world *w)
{
    if (w->tokens == TOKENS_NONE)
        w->tokens = happens(w, w->odds.no_tokens) ? TOKENS_REFUSED : TOKENS_RESERVED;
    w->tombstone_hit |= w->tokens == TOKENS_RELEASED;
    return w->tokens == TOKENS_RESERVED || w->tokens == TOKENS_ACTIVE ? ANSWER_DONE : ANSWER_REFUSED;
}

static enum answer activate(struct world *w)
{
    if (w->tokens == TOKENS_RESERVED)
        w->tokens = happens(w, w->odds.no_activation) ? TOKENS_RELEASED : TOKENS_ACTIVE;
    return w->tokens == TOKENS_ACTIVE ? ANSWER_DONE : ANSWER_REFUSED;
}

static enum answer release(struct world *w)
{
    if (w->tokens == TOKENS_ACTIVE)
        return ANSWER_ACTIVE;
    w->tokens = TOKENS_RELEASED;
    return ANSWER_DONE;
}

static enum answer deactivate(struct world *w)
{
    if (w->tokens != TOKENS_ACTIVE && w->tokens != TOKENS_DEACTIVATED)
        return ANSWER_REFUSED;
    w->tokens = TOKENS_DEACTIVATED;
    return ANSWER_DONE;
}

enum answer world_call(struct world *world, const struct call *call, bool under_way)
{
    switch (call->op) {
    case OP_NONE:
    case OP_LEAVE_DOUBT:
        return ANSWER_UNKNOWN;
    case OP_AUTHORIZE:
        return authorize(world, call);
    case OP_ASK:
    case OP_ASK_LATE:
        return ask(world, call, under_way);
    case OP_CAPTURE:
        return capture(world, call);
    case OP_VOID:
        return cancel(world, call);
    case OP_REFUND:
        return refund(world, call);
    case OP_VALIDATE:
        return validate(world);
    case OP_TELL:
        return world->purchase == PURCHASE_VALID ? ANSWER_DONE : ANSWER_UNKNOWN;
    case OP_REVOKE:
        world->purchase = PURCHASE_REVOKED;
        return ANSWER_DONE;
    case OP_RESERVE:
        return reserve(world);
    case OP_ACTIVATE:
        return activate(world);
    case OP_RELEASE:
        return release(world);
    case OP_DEACTIVATE:
        return deactivate(world);
    case OP_NOTIFY:
        return happens(world, world->odds.no_notice) ? ANSWER_REFUSED : ANSWER_DONE;
    }
    return ANSWER_UNKNOWN;
}

int world_refunded(const struct world *world)
{
    int sum = 0;
    for (int n = 1; n <= WORLD_REFUNDS; n++)
        sum += world->refunded[n] > 0 ? world->refunded[n] : 0;
    return sum;
}
