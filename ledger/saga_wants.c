/* saga_wants.c - may a delivery begin anything now? One row per command type.
 *
 * For a command that saga_next once gave, the facts it rested on stand for ever, so "no" can only mean that its answer
 * stands, or that something was decided which forbids it: both for ever.
 */
#include "ledger/saga_internal.h"

static bool in_range(const struct payment *p, int n)
{
    return n >= 1 && n <= p->authorization_count;
}

static bool undecided(const struct payment *p, int n)
{
    (void)n;
    return p->received && p->decision_kind == UNDECIDED;
}

static bool not_received(const struct payment *p, int n)
{
    (void)n;
    return !p->received;
}

static bool wants_start(const struct payment *p, int n)
{
    return undecided(p, n) && holds(p->token_reserved, "reserved") && !p->authorizations[1].intent;
}

static bool wants_resolve(const struct payment *p, int n)
{
    return in_range(p, n) && (!p->authorizations[n].result || p->authorizations[n].late_unknown);
}

static bool wants_capture(const struct payment *p, int n)
{
    if (p->decision_kind == COMMIT)
        return !p->capture;
    return undecided(p, 0) && votes_positive(p, &n);
}

static bool wants_void(const struct payment *p, int n)
{
    return in_range(p, n) && may_void(p, n) && !p->authorizations[n].voided;
}

static bool wants_validate(const struct payment *p, int n)
{
    return undecided(p, n) && holds(p->token_reserved, "reserved") && !p->pop;
}

static bool wants_reserve(const struct payment *p, int n)
{
    return undecided(p, n) && p->flow == FLOW_DUAL && !p->token_reserved;
}

static bool wants_revoke(const struct payment *p, int n)
{
    (void)n;
    return p->flow == FLOW_DUAL && (undo_cause(p) || given_back(p)) && !p->pop_revoked;
}

static bool wants_confirm(const struct payment *p, int n)
{
    return undecided(p, n) && p->flow == FLOW_DUAL && !p->pop;
}

static bool wants_commit(const struct payment *p, int n)
{
    (void)n;
    return p->flow == FLOW_DUAL && p->state == SAGA_COMPLETED && !given_back(p) && !p->pop_committed && !p->pop_revoked;
}

static bool wants_activate(const struct payment *p, int n)
{
    (void)n;
    return p->flow == FLOW_DUAL && p->captured && !p->token_active;
}

static bool wants_release(const struct payment *p, int n)
{
    bool exhausted = p->activation_dead && wants_activate(p, n);
    return p->flow == FLOW_DUAL && !p->token_released && (undo_cause(p) || exhausted || given_back(p));
}

static bool wants_refund(const struct payment *p, int n)
{
    (void)n;
    return p->state == SAGA_COMPLETED && p->refund_reserved < p->captured_amount;
}

static bool wants_unwind(const struct payment *p, int n)
{
    (void)n;
    return p->state == SAGA_UNWINDING && !p->unwind;
}

static bool wants_refund_resolve(const struct payment *p, int n)
{
    return n >= 1 && n <= p->refund_count && p->refunds[n].accepted && !p->refunds[n].result;
}

static bool always(const struct payment *p, int n)
{
    (void)p;
    (void)n;
    return true;
}

static bool wants_notice(const struct payment *p, int n)
{
    if (n == 0)
        return p->ended;
    return p->state == SAGA_COMPLETED && n >= 1 && n <= p->refund_count && p->refunds[n].result;
}

/* Wanted while ...; then what a "no" means for the step. */
static const struct {
    const char *type;
    bool (*wants)(const struct payment *p, int n);
} ROWS[] = {
    /* not received; then: only go on with own open intents (L5) */
    {"payment.create", not_received},
    /* undecided; then: lost to the decision, nothing is written (L7) */
    {"payment.cancel", undecided},
    {"payment.expire", undecided},
    /* undecided: the dead letter may decide; then: look, and hold it for a person */
    {"payment.compensate", undecided},
    /* completed, and not all of the capture is refunded or reserved; then: refund:N is written as refused */
    {"payment.refund", wants_refund},
    /* unwinding, and no refund accepted; then: only go on with the own open intent (L5) */
    {"payment.unwind", wants_unwind},
    /* refund:N is accepted without result; then: answered */
    {"refund.resolve", wants_refund_resolve},
    /* always: it begins nothing and says everything */
    {"payment.look", always},
    /* undecided, tokens reserved, auth:1 empty; then: closed, or only go on with the own open intent (L5) */
    {"authorize.start", wants_start},
    /* auth:N is an intent without result, or may have been sent behind its absence; then: answered, until another doubt follows */
    {"authorize.resolve", wants_resolve},
    /* undecided with positive votes (write the commit), or commit without capture (ask); then: aborted, or answered */
    {"authorize.capture", wants_capture},
    /* N can never be captured (L7) and is not voided; then: voided */
    {"authorize.void", wants_void},
    /* undecided and not answered; pop.validate not before the tokens are reserved; then: too late, or answered */
    {"pop.validate", wants_validate},
    {"token.reserve", wants_reserve},
    /* undecided, dual and not answered: one validator's vote by callback; then: too late */
    {"pop.confirm", wants_confirm},
    /* completed, and not all given back; then: told, or being taken back */
    {"pop.commit", wants_commit},
    /* captured and not answered, also after its dead letter, which may be sent again; then: answered */
    {"token.activate", wants_activate},
    /* something is to be undone; then: undone */
    {"pop.revoke", wants_revoke},
    /* the same, or activation is exhausted; then: released, or active and kept */
    {"token.release", wants_release},
    /* n = 0: ended; else refund n of a completed payment has a result; never given before */
    {"notify.send", wants_notice},
};

bool saga_wants(const struct payment *payment, const char *type, int n)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        if (strcmp(ROWS[i].type, type) == 0)
            return ROWS[i].wants(payment, n);
    return false;
}
