/* saga_check.c - what must never stand together in the facts of one payment
 *
 * The laws that single slots cannot keep, as one table. A broken rule means that a writer is broken or the ledger was
 * tampered with: nothing may be concluded from such facts, so the fold fails and the payment waits for a person. Rules
 * only forbid what no order of events can bring about; what is merely unfinished (a refusal whose abort is missing) is
 * left to the deadline.
 */
#include "ledger/saga_internal.h"

/* The last of several facts that stands, or NULL: which one is named does not matter, only that it is always the
 * same. */
static const struct fact *any_of(const struct fact *const *facts, size_t count)
{
    const struct fact *found = NULL;
    for (size_t i = 0; i < count; i++)
        found = facts[i] ? facts[i] : found;
    return found;
}
#define ANY_OF(...)                                                                                                    \
    any_of((const struct fact *const[]){__VA_ARGS__},                                                                  \
           sizeof((const struct fact *const[]){__VA_ARGS__}) / sizeof(void *))

static const struct fact *only_if(bool allowed, const struct fact *fact)
{
    return allowed ? NULL : fact;
}

/* K counts from 0 without gaps: the last of `count` doubts is count-1. */
static const struct fact *doubt_after_gap(const struct fact *last, int count)
{
    return only_if(!last || slot_parse(last->slot).k == count - 1, last);
}

/* Of the payment; n is 0. */

static const struct fact *fact_of_unknown_payment(const struct payment *p, int n)
{
    (void)n;
    return only_if(p->received,
                   ANY_OF(p->decision, p->capture, p->last_capture_doubt, p->votes[0], p->pop, p->pop_committed,
                          p->pop_revoked, p->token_reserved, p->token_active, p->token_released,
                          p->authorizations[1].intent, p->refund_count ? p->refunds[1].intent : NULL));
}

static const struct fact *commit_without_votes(const struct payment *p, int n)
{
    int approved;
    n = p->commit;
    return only_if(p->decision_kind != COMMIT || (votes_positive(p, &approved) && p->authorizations[n].approved),
                   p->decision);
}

static const struct fact *capture_without_commit(const struct payment *p, int n)
{
    (void)n;
    return only_if(p->decision_kind == COMMIT, ANY_OF(p->last_capture_doubt, p->capture));
}

static const struct fact *capture_of_another_amount(const struct payment *p, int n)
{
    (void)n;
    return only_if(!p->captured || (p->captured_amount > 0 && p->captured_amount <= p->amount), p->capture);
}

static const struct fact *gap_in_capture_doubts(const struct payment *p, int n)
{
    (void)n;
    return doubt_after_gap(p->last_capture_doubt, p->capture_doubts);
}

static const struct fact *token_without_capture(const struct payment *p, int n)
{
    (void)n;
    return only_if(p->captured, p->token_active);
}

static const struct fact *committed_though_not_sold(const struct payment *p, int n)
{
    (void)n;
    return only_if(holds(p->token_active, "active"), p->pop_committed);
}

static const struct fact *undone_without_cause(const struct payment *p, int n)
{
    (void)n;
    return only_if(undo_cause(p) || given_back(p), ANY_OF(p->pop_revoked, p->token_released));
}

static const struct fact *released_though_active(const struct payment *p, int n)
{
    (void)n;
    bool deactivated = holds(p->token_released, "deactivated");
    return only_if(holds(p->token_active, "active") == deactivated, p->token_released);
}

static const struct fact *purchase_in_plain(const struct payment *p, int n)
{
    (void)n;
    return only_if(p->flow == FLOW_DUAL, ANY_OF(p->votes[0], p->pop, p->pop_committed, p->pop_revoked,
                                                p->token_reserved, p->token_active, p->token_released));
}

static const struct fact *begun_before_reservation(const struct payment *p, int n)
{
    (void)n;
    const struct fact *first = p->authorization_count ? p->authorizations[1].intent : NULL;
    return only_if(p->flow == FLOW_PLAIN || holds(p->token_reserved, "reserved"), ANY_OF(first, p->pop));
}

static const struct fact *refunds_above_capture(const struct payment *p, int n)
{
    (void)n;
    const struct fact *last = NULL;
    for (int i = 1; i <= p->refund_count; i++)
        last = p->refunds[i].accepted ? p->refunds[i].intent : last;
    return only_if(p->refund_reserved <= p->captured_amount, last);
}

/* Of authorization n. */

static const struct fact *fail_over_without_evidence(const struct payment *p, int n)
{
    const struct fact *before = n > 1 ? p->authorizations[n - 1].result : NULL;
    bool negative = before && !holds(before, "approved");
    return only_if(n == 1 || negative, p->authorizations[n].intent);
}

static const struct fact *outcome_without_intent(const struct payment *p, int n)
{
    const struct authorization *a = &p->authorizations[n];
    return only_if(holds(a->intent, "intent"), ANY_OF(a->last_doubt, a->action, a->late, a->last_late_doubt, a->voided,
                                                      a->last_void_doubt, a->result));
}

static const struct fact *closed_without_abort(const struct payment *p, int n)
{
    const struct fact *intent = p->authorizations[n].intent;
    return only_if(!holds(intent, "closed") || (n == 1 && p->decision_kind == ABORT), intent);
}

static const struct fact *late_without_negative(const struct payment *p, int n)
{
    const struct authorization *a = &p->authorizations[n];
    return only_if(a->result && !a->approved, a->late);
}

static const struct fact *late_doubt_without_absence(const struct payment *p, int n)
{
    const struct authorization *a = &p->authorizations[n];
    return only_if(holds(a->result, "absent"), a->last_late_doubt);
}

static const struct fact *void_of_what_may_be_captured(const struct payment *p, int n)
{
    const struct authorization *a = &p->authorizations[n];
    return only_if(may_void(p, n), ANY_OF(a->last_void_doubt, a->voided));
}

static const struct fact *gap_in_doubts(const struct payment *p, int n)
{
    const struct authorization *a = &p->authorizations[n];
    return ANY_OF(doubt_after_gap(a->last_doubt, a->doubts), doubt_after_gap(a->last_late_doubt, a->late_doubts),
                  doubt_after_gap(a->last_void_doubt, a->void_doubts));
}

/* Of refund n. */

static const struct fact *refund_outcome_without_intent(const struct payment *p, int n)
{
    const struct refund *r = &p->refunds[n];
    return only_if(r->accepted, ANY_OF(r->last_doubt, r->result));
}

static const struct fact *refund_after_gap(const struct payment *p, int n)
{
    return only_if(n == 1 || p->refunds[n - 1].intent, p->refunds[n].intent);
}

static const struct fact *refund_before_the_end(const struct payment *p, int n)
{
    const struct refund *r = &p->refunds[n];
    bool decided = p->flow == FLOW_PLAIN || p->token_active;
    return only_if(!r->accepted || (p->captured && decided), r->intent);
}

/* Who unwinds gives everything back, at once. */
static const struct fact *unwound_in_part(const struct payment *p, int n)
{
    const struct refund *r = &p->refunds[n];
    return only_if(!holds(p->token_active, "refused") || !r->accepted || r->amount == p->captured_amount, r->intent);
}

static const struct fact *gap_in_refund_doubts(const struct payment *p, int n)
{
    return doubt_after_gap(p->refunds[n].last_doubt, p->refunds[n].doubts);
}

enum scope { PER_PAYMENT, PER_AUTHORIZATION, PER_REFUND };

/* `broken` gives the fact that should not stand, or NULL; `needs` says which slots would have allowed it. */
static const struct rule {
    enum scope scope;
    const struct fact *(*broken)(const struct payment *p, int n);
    const char *needs;
} RULES[] = {
    {PER_PAYMENT, fact_of_unknown_payment, "received"},
    {PER_PAYMENT, purchase_in_plain, "received with the flow dual"},
    {PER_PAYMENT, begun_before_reservation, "token:reserved=reserved"},
    {PER_AUTHORIZATION, closed_without_abort, "to be auth:1, and decision=abort (L7)"},
    {PER_AUTHORIZATION, fail_over_without_evidence, "a negative auth:N:result of the authorization before it (L6)"},
    {PER_AUTHORIZATION, outcome_without_intent, "auth:N=intent of the same N (L5)"},
    {PER_AUTHORIZATION, late_without_negative, "a negative auth:N:result of the same N (L6)"},
    {PER_AUTHORIZATION, late_doubt_without_absence, "auth:N:result=absent of the same N (L6)"},
    {PER_AUTHORIZATION, gap_in_doubts, "the doubt before it"},
    {PER_PAYMENT, commit_without_votes,
     "auth:N:result=approved of the same N and, in dual, pop=validated and token:reserved=reserved (L7)"},
    {PER_PAYMENT, capture_without_commit, "decision=commit:N (L7)"},
    {PER_PAYMENT, capture_of_another_amount, "a body.amount within that of received"},
    {PER_PAYMENT, gap_in_capture_doubts, "the doubt before it"},
    {PER_AUTHORIZATION, void_of_what_may_be_captured,
     "of the same N: auth:N:late, or auth:N:action with auth:N:result=absent, or auth:N:result=approved with "
     "decision=abort or capture=refused (L7)"},
    {PER_PAYMENT, token_without_capture, "capture=captured"},
    {PER_PAYMENT, committed_though_not_sold, "token:active=active"},
    {PER_PAYMENT, released_though_active, "token:active not to be active"},
    {PER_PAYMENT, undone_without_cause, "decision=abort, capture=refused or token:active=refused"},
    {PER_REFUND, refund_after_gap, "the refund:N before it"},
    {PER_REFUND, refund_outcome_without_intent, "refund:N=accepted of the same N (L5)"},
    {PER_REFUND, refund_before_the_end, "capture=captured and, in dual, token:active"},
    {PER_REFUND, unwound_in_part, "the whole amount of capture, as token:active=refused"},
    {PER_REFUND, gap_in_refund_doubts, "the doubt before it"},
    {PER_PAYMENT, refunds_above_capture, "a capture of at least all accepted refunds"},
};

/* A rule is asked for n = 0, or for n = 1 .. last. */
static int last_of(const struct payment *p, enum scope scope)
{
    switch (scope) {
    case PER_PAYMENT:
        return 0;
    case PER_AUTHORIZATION:
        return AUTHORIZATIONS_MAX;
    case PER_REFUND:
        return p->refund_count;
    }
    return 0;
}

static int contradiction(const struct payment *p, const struct fact *fact, const char *needs, struct err *err)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(p->id, id);
    return err_set(err, ERR_INTERNAL, "payment %s: %s=%s needs %s", id, fact->slot, fact->outcome, needs);
}

int saga_check(const struct payment *p, struct err *err)
{
    for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; i++) {
        int last = last_of(p, RULES[i].scope);
        for (int n = RULES[i].scope != PER_PAYMENT; n <= last; n++) {
            const struct fact *fact = RULES[i].broken(p, n);
            if (fact)
                return contradiction(p, fact, RULES[i].needs, err);
        }
    }
    return 0;
}
