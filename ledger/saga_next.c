/* saga_next.c - what a payment needs next, and on which facts each of it rests (L4)
 *
 * DESIGN.md section 6 as a table: for every state the functions that say its rows. Each function says its command as
 * long as the fact that would answer it is missing. What resumes an open intent rests on nothing: the delivery that
 * wrote the intent is still there to go on with it.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/mutant.h"
#include "ledger/saga_internal.h"

/* Adds a command named by a slot. NULL when the list is full, or when its question is beyond DOUBTS_MAX: that is a
 * person's. */
PRINTF_LIKE(6, 7)
static struct follow_up *say(struct next *next, const struct payment *p, const char *type, int n, int k,
                             const char *slot, ...)
{
    if (next->count == FOLLOW_UPS_MAX || k >= DOUBTS_MAX)
        return NULL;
    struct follow_up *f = &next->items[next->count++];
    *f = (struct follow_up){.type = type, .n = n, .k = k};
    va_list args;
    va_start(args, slot);
    vsnprintf(f->slot, sizeof f->slot, slot, args);
    va_end(args);
    f->id = uuid_follow_up(p->id, type, f->slot);
    return f;
}

/* Accepts NULL for both: a full list, a fact that does not stand. */
static void rest_on(struct follow_up *f, const struct fact *fact)
{
    static_assert(RESTS_MAX >= AUTHORIZATIONS_MAX + 4,
                  "an abort rests on all results, the decision, a void and the undoing");
    if (f && fact)
        f->rests[f->rest_count++] = fact;
}

static void reserve_tokens(const struct payment *p, struct next *next)
{
    if (p->flow == FLOW_DUAL && !p->token_reserved)
        rest_on(say(next, p, "token.reserve", 0, 0, "token:reserved"), p->received);
}

/* In `plain` the first authorization begins with `received` itself. */
static void start_authorization(const struct payment *p, struct next *next)
{
    if (p->flow == FLOW_DUAL && holds(p->token_reserved, "reserved") && !p->authorizations[1].intent)
        rest_on(say(next, p, "authorize.start", 1, 0, "auth:1"), p->token_reserved);
}

static void validate_purchase(const struct payment *p, struct next *next)
{
    if (p->flow == FLOW_DUAL && holds(p->token_reserved, "reserved") && !p->pop)
        rest_on(say(next, p, "pop.validate", 0, 0, "pop"), p->token_reserved);
}

/* A vote that came by callback may be the last that was missing: whoever wrote it has them counted anew. How many are
 * enough is the worker's to know. */
static void count_votes(const struct payment *p, struct next *next)
{
    if (p->flow != FLOW_DUAL || !holds(p->token_reserved, "reserved") || p->pop)
        return;
    for (int i = 0; i < p->vote_count; i++)
        rest_on(say(next, p, "pop.validate", 0, 0, "%s", p->votes[i]->slot), p->votes[i]);
}

/* The first question after a challenge rests on the challenge: whoever wrote it does not wait for the customer. */
static void resolve_authorizations(const struct payment *p, struct next *next)
{
    for (int n = 1; n <= p->authorization_count; n++) {
        const struct authorization *a = &p->authorizations[n];
        if (a->result)
            continue;
        struct follow_up *f = say(next, p, "authorize.resolve", n, a->doubts, "auth:%d:doubt:%d", n, a->doubts);
        rest_on(f, a->doubts ? a->last_doubt : a->action);
    }
}

/* Behind a conclusion of absence, whatever became of the payment since: whoever had sent may have brought about a hold that nobody knows of (L6). */
static void resolve_absences(const struct payment *p, struct next *next)
{
    for (int n = 1; n <= p->authorization_count; n++) {
        const struct authorization *a = &p->authorizations[n];
        int k = a->late_doubts;
        if (a->late_unknown && !MUTANT(LATE_DOUBT_UNASKED))
            rest_on(say(next, p, "authorize.resolve", n, k, "auth:%d:late:doubt:%d", n, k), a->last_late_doubt);
    }
}

/* L7: whoever is delivered this writes the commit; whoever commits the last vote says it (L4). */
static void propose_capture(const struct payment *p, struct next *next)
{
    int n;
    if (!votes_positive(p, &n))
        return;
    struct follow_up *f = say(next, p, "authorize.capture", 0, 0, "capture");
    rest_on(f, p->authorizations[n].result);
    rest_on(f, p->pop);
    rest_on(f, p->token_reserved);
}

static void capture(const struct payment *p, struct next *next)
{
    int k = p->capture_doubts;
    if (k)
        rest_on(say(next, p, "authorize.capture", 0, k, "capture:doubt:%d", k), p->last_capture_doubt);
    else
        say(next, p, "authorize.capture", 0, 0, "capture");
}

/* When activation is exhausted nobody may guess: the token system itself says, by what it answers to a release. */
static void activate_tokens(const struct payment *p, struct next *next)
{
    if (p->activation_dead)
        rest_on(say(next, p, "token.release", 0, 0, "token:released"), p->activation_dead);
    else
        rest_on(say(next, p, "token.activate", 0, 0, "token:active"), p->capture);
}

/* Both always, known or not: the providers keep tombstones, so that what arrives later is refused. */
static void undo(const struct payment *p, struct next *next)
{
    if (p->flow == FLOW_DUAL && !p->pop_revoked && (p->pop || !MUTANT(UNDO_KNOWN_ONLY)))
        rest_on(say(next, p, "pop.revoke", 0, 0, "pop:revoked"), undo_cause(p));
    if (p->flow == FLOW_DUAL && !p->token_released && !MUTANT(TOKENS_KEPT))
        rest_on(say(next, p, "token.release", 0, 0, "token:released"), undo_cause(p));
}

/* The validators are told that the purchase stands, once nothing but a full refund can undo it. */
static void commit_purchase(const struct payment *p, struct next *next)
{
    if (saga_wants(p, "pop.commit", 0))
        rest_on(say(next, p, "pop.commit", 0, 0, "pop:committed"), p->token_active);
}

/* Whoever commits the last of the refunds says it (L4): it is among the newest, of which RESTS_MAX are named. */
static void rest_on_refunds(struct follow_up *f, const struct payment *p)
{
    for (int n = p->refund_count, left = RESTS_MAX; n >= 1 && left > 0; n--) {
        if (!holds(p->refunds[n].result, "refunded"))
            continue;
        rest_on(f, p->refunds[n].result);
        left--;
    }
}

/* A purchase that was given back in full has neither proof nor tokens. */
static void take_back(const struct payment *p, struct next *next)
{
    if (p->flow != FLOW_DUAL || !given_back(p))
        return;
    if (!p->pop_revoked)
        rest_on_refunds(say(next, p, "pop.revoke", 0, 0, "pop:revoked"), p);
    if (!p->token_released)
        rest_on_refunds(say(next, p, "token.release", 0, 0, "token:released"), p);
}

/* Why authorization n may be voided: the facts of which the last one committed has to say so. */
static void rest_on_void_reason(struct follow_up *f, const struct payment *p, int n)
{
    const struct authorization *a = &p->authorizations[n];
    if (a->late) {
        rest_on(f, a->late);
    } else if (late_challenge(a)) {
        rest_on(f, a->action);
        rest_on(f, a->result);
    } else if (p->decision_kind == ABORT) {
        rest_on(f, p->decision);
        rest_on(f, a->result);
    } else {
        rest_on(f, p->capture);
    }
}

static void void_authorizations(const struct payment *p, struct next *next)
{
    for (int n = 1; n <= p->authorization_count; n++) {
        const struct authorization *a = &p->authorizations[n];
        int k = a->void_doubts;
        if (a->voided || !may_void(p, n) || (a->late && MUTANT(LATE_NOT_VOIDED))) /* L7 */
            continue;
        if (k)
            rest_on(say(next, p, "authorize.void", n, k, "void:%d:doubt:%d", n, k), a->last_void_doubt);
        else
            rest_on_void_reason(say(next, p, "authorize.void", n, 0, "void:%d", n), p, n);
    }
}

/* The unwind is a refund of its own: once its intent stands, refund.resolve goes on with it; a refusal for good is a
 * case for a person. */
static void unwind(const struct payment *p, struct next *next)
{
    if (!p->unwind && !MUTANT(NO_UNWIND)) /* L7 */
        rest_on(say(next, p, "payment.unwind", 1, 0, "refund:1"), p->token_active);
}

static void resolve_refunds(const struct payment *p, struct next *next)
{
    for (int n = p->refund_count; n >= 1; n--) {
        const struct refund *r = &p->refunds[n];
        if (r->accepted && !r->result)
            rest_on(say(next, p, "refund.resolve", n, r->doubts, "refund:%d:doubt:%d", n, r->doubts), r->last_doubt);
    }
}

/* The last thing to say of a payment: NULL until it has ended. */
static const char *end_event(const struct payment *p)
{
    if (!p->ended)
        return NULL;
    if (p->state == SAGA_COMPLETED)
        return "payment.completed";
    return p->public == PUBLIC_CANCELLED ? "payment.cancelled" : "payment.failed";
}

/* Said of completed payments only (NEXT): a refused request was answered at once, and an unwind is told as the failure
 * it belongs to. */
static const char *refund_event(const struct payment *p, int n)
{
    if (n > p->refund_count || !p->refunds[n].result)
        return NULL;
    return holds(p->refunds[n].result, "refunded") ? "payment.refunded" : "payment.refund_failed";
}

/* The slot of the notice of the end (n = 0) or of refund n over a channel. False when there is nothing to tell. */
static bool notice_slot(const struct payment *p, int n, const char *channel, char ret[static SLOT_SIZE])
{
    const char *event = n ? refund_event(p, n) : end_event(p);
    if (event && n)
        snprintf(ret, SLOT_SIZE, "notice:%s.%d:%s", event, n, channel);
    else if (event)
        snprintf(ret, SLOT_SIZE, "notice:%s:%s", event, channel);
    return event;
}

static const char *channel_at(const struct payment *p, size_t i)
{
    return p->received ? json_string_value(json_array_get(json_object_get(p->received->body, "channels"), i)) : NULL;
}

void note_notice(struct payment *p, const struct fact *notice)
{
    int n = slot_parse(notice->slot).n;
    const char *channel;
    for (size_t i = 0; (channel = channel_at(p, i)); i++) {
        char slot[SLOT_SIZE];
        if (notice_slot(p, n, channel, slot) && strcmp(slot, notice->slot) == 0)
            *(n ? &p->refunds[n].noticed : &p->noticed) |= 1U << i;
    }
}

/* All facts of which the last one committed ended the payment. */
static void rest_on_end(struct follow_up *f, const struct payment *p)
{
    if (p->state == SAGA_COMPLETED) {
        rest_on(f, p->flow == FLOW_DUAL ? p->token_active : p->capture);
        return;
    }
    if (p->state == SAGA_ABORTED)
        rest_on(f, p->decision);
    if (p->state == SAGA_UNWOUND)
        rest_on(f, p->refunds[p->unwind].result);
    for (int n = 1; n <= p->authorization_count; n++) {
        const struct authorization *a = &p->authorizations[n];
        if (p->state == SAGA_ABORTED)
            rest_on(f, a->result);
        if (a->approved)
            rest_on(f, a->voided);
    }
    rest_on(f, p->pop_revoked);
    rest_on(f, p->token_released);
}

/* One notice per channel that was not told yet. */
static void tell(const struct payment *p, struct next *next, int n, unsigned told)
{
    const char *channel;
    for (size_t i = 0; (channel = channel_at(p, i)); i++) {
        char slot[SLOT_SIZE];
        if (told & 1U << i || !notice_slot(p, n, channel, slot))
            continue;
        struct follow_up *f = say(next, p, "notify.send", n, 0, "%s", slot);
        if (n)
            rest_on(f, p->refunds[n].result);
        else
            rest_on_end(f, p);
    }
}

static void tell_end(const struct payment *p, struct next *next)
{
    tell(p, next, 0, p->noticed);
}

static void tell_refunds(const struct payment *p, struct next *next)
{
    for (int n = p->refund_count; n >= 1; n--)
        tell(p, next, n, p->refunds[n].noticed);
}

/* DESIGN.md section 6. The rows that hold in any state come last. */
enum { ROWS_MAX = 6 };
static void (*const NEXT[SAGA_STATE_COUNT][ROWS_MAX])(const struct payment *p, struct next *next) = {
    [SAGA_UNKNOWN] = {NULL},
    [SAGA_VOTING] = {reserve_tokens, start_authorization, validate_purchase, count_votes, resolve_authorizations,
                     propose_capture},
    [SAGA_CAPTURING] = {capture},
    [SAGA_ACTIVATING] = {activate_tokens},
    [SAGA_COMPLETED] = {commit_purchase, tell_end, tell_refunds, take_back},
    [SAGA_ABORTING] = {undo, resolve_authorizations},
    [SAGA_ABORTED] = {tell_end},
    [SAGA_UNCAPTURED] = {undo},
    [SAGA_UNCAPTURED_ENDED] = {tell_end},
    [SAGA_UNWINDING] = {unwind, undo},
    [SAGA_UNWOUND] = {tell_end},
};

void saga_next(const struct payment *payment, struct next *ret)
{
    ret->count = 0;
    for (int i = 0; i < ROWS_MAX && NEXT[payment->state][i]; i++)
        NEXT[payment->state][i](payment, ret);
    void_authorizations(payment, ret);
    resolve_absences(payment, ret);
    resolve_refunds(payment, ret);
}

bool follow_up_rests_on(const struct follow_up *follow_up, struct uuid command)
{
    for (size_t i = 0; i < follow_up->rest_count && !(i > 0 && MUTANT(RESTS_ON_ONE)); i++) /* L4 */
        if (uuid_equal(follow_up->rests[i]->cause, command))
            return true;
    return false;
}

/* Is that a person's last word on the letter? */
static bool was_replayed(const struct facts *facts, const char *letter)
{
    char slot[SLOT_SIZE];
    bool replayed = false;
    for (int n = 1;; n++) {
        snprintf(slot, sizeof slot, "replay:%s:%d", letter, n);
        const struct fact *word = facts_find(facts, slot);
        if (!word)
            return replayed;
        replayed = strcmp(word->outcome, "replayed") == 0;
    }
}

bool saga_held(const struct facts *facts, struct uuid command)
{
    char id[UUID_TEXT_SIZE], prefix[SLOT_SIZE];
    uuid_format(command, id);
    snprintf(prefix, sizeof prefix, "dead:%s:", id);
    for (size_t i = 0; i < facts->count; i++)
        if (strncmp(facts->items[i].slot, prefix, strlen(prefix)) == 0 &&
            (json_bool(facts->items[i].body, "held", true) || MUTANT(ENDED_IS_HELD)) &&
            !was_replayed(facts, json_text(facts->items[i].body, "deadLetter", "")))
            return true;
    return false;
}

bool saga_needs_something(const struct facts *facts, const struct payment *payment)
{
    struct next next;
    saga_next(payment, &next);
    for (size_t i = 0; i < next.count; i++)
        if (!payment->ended || !saga_held(facts, next.items[i].id))
            return true;
    return false;
}
