/* saga.c - the fold: from the facts of a payment to its state (L3)
 *
 * Three passes: every fact is put in its place, contradictions are refused (saga_check.c), and the state follows from
 * what stands where. No pass depends on the order of the facts. Fails with ERR_INTERNAL only.
 */
#include <assert.h>
#include <stdlib.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/mutant.h"
#include "common/money.h"
#include "ledger/saga_internal.h"

/* Where a fact of each kind stands: in the payment itself, or in its authorization or refund N. Of doubts, `count`
 * counts them and the one with the highest K is kept. Kinds without an owner only concern people, or are looked at
 * by themselves. */
enum owner { OWNER_NONE, OWNER_PAYMENT, OWNER_AUTHORIZATION, OWNER_REFUND };

#define IN_PAYMENT(fact)                                                                                               \
    {                                                                                                                  \
        OWNER_PAYMENT, offsetof(struct payment, fact), 0                                                               \
    }
#define IN_AUTHORIZATION(fact)                                                                                         \
    {                                                                                                                  \
        OWNER_AUTHORIZATION, offsetof(struct authorization, fact), 0                                                   \
    }
#define IN_REFUND(fact)                                                                                                \
    {                                                                                                                  \
        OWNER_REFUND, offsetof(struct refund, fact), 0                                                                 \
    }

static const struct place {
    enum owner owner;
    size_t fact;  /* offset of a const struct fact * */
    size_t count; /* offset of an int; 0: not a doubt */
} PLACES[] = {
    [SLOT_UNKNOWN] = {OWNER_NONE, 0, 0},
    [SLOT_RECEIVED] = IN_PAYMENT(received),
    [SLOT_AUTH] = IN_AUTHORIZATION(intent),
    [SLOT_AUTH_RESULT] = IN_AUTHORIZATION(result),
    [SLOT_AUTH_LATE] = IN_AUTHORIZATION(late),
    [SLOT_AUTH_ACTION] = IN_AUTHORIZATION(action),
    [SLOT_AUTH_DOUBT] = {OWNER_AUTHORIZATION, offsetof(struct authorization, last_doubt),
                         offsetof(struct authorization, doubts)},
    [SLOT_AUTH_LATE_DOUBT] = {OWNER_AUTHORIZATION, offsetof(struct authorization, last_late_doubt),
                              offsetof(struct authorization, late_doubts)},
    [SLOT_CAPTURE_DOUBT] = {OWNER_PAYMENT, offsetof(struct payment, last_capture_doubt),
                            offsetof(struct payment, capture_doubts)},
    [SLOT_VOID_DOUBT] = {OWNER_AUTHORIZATION, offsetof(struct authorization, last_void_doubt),
                         offsetof(struct authorization, void_doubts)},
    [SLOT_REFUND_DOUBT] = {OWNER_REFUND, offsetof(struct refund, last_doubt), offsetof(struct refund, doubts)},
    [SLOT_POP] = IN_PAYMENT(pop),
    [SLOT_POP_VOTE] = {OWNER_NONE, 0, 0},
    [SLOT_POP_COMMITTED] = IN_PAYMENT(pop_committed),
    [SLOT_POP_REVOKED] = IN_PAYMENT(pop_revoked),
    [SLOT_TOKEN_RESERVED] = IN_PAYMENT(token_reserved),
    [SLOT_TOKEN_ACTIVE] = IN_PAYMENT(token_active),
    [SLOT_TOKEN_RELEASED] = IN_PAYMENT(token_released),
    [SLOT_DECISION] = IN_PAYMENT(decision),
    [SLOT_CAPTURE] = IN_PAYMENT(capture),
    [SLOT_VOID] = IN_AUTHORIZATION(voided),
    [SLOT_REFUND] = IN_REFUND(intent),
    [SLOT_REFUND_RESULT] = IN_REFUND(result),
    [SLOT_DEAD] = {OWNER_NONE, 0, 0},
    [SLOT_REPLAY] = {OWNER_NONE, 0, 0},
    [SLOT_NOTICE] = {OWNER_NONE, 0, 0},
};
static_assert(sizeof PLACES / sizeof PLACES[0] == SLOT_KIND_COUNT, "every kind of slot has its place");

/* A fact with the meaning of its name and outcome. */
struct reading {
    const struct fact *fact;
    struct slot slot;
    int commit; /* N of "commit:N" */
};

static const struct {
    const char *code, *text;
} REASON_ROWS[] = {
#define X(id, text) [REASON_##id] = {#id, text},
    REASONS(X)
#undef X
};

/* -1: not one of ours. */
static int reason_find(const char *code)
{
    for (int i = 0; i < REASON_COUNT; i++)
        if (strcmp(code, REASON_ROWS[i].code) == 0)
            return i;
    return -1;
}

const char *reason_code(enum reason reason)
{
    return REASON_ROWS[reason].code;
}

const char *reason_text(const char *code)
{
    int reason = reason_find(code);
    return reason < 0 ? NULL : REASON_ROWS[reason].text;
}

static int refuse(const struct payment *p, struct err *err, const struct fact *fact, const char *why)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(p->id, id);
    return err_set(err, ERR_INTERNAL, "payment %s: %s=%s: %s", id, fact->slot, fact->outcome, why);
}

static void *owner_of(struct payment *p, enum owner owner, int n)
{
    switch (owner) {
    case OWNER_NONE:
        return NULL;
    case OWNER_PAYMENT:
        return p;
    case OWNER_AUTHORIZATION:
        return &p->authorizations[n];
    case OWNER_REFUND:
        return &p->refunds[n];
    }
    return NULL;
}

/* The last death of token.activate counts: its archivist is the one who has just to say what follows. */
static void note_death(struct payment *p, const struct reading *r)
{
    if (!holds(r->fact, "token.activate"))
        return;
    const struct fact *known = p->activation_dead;
    int known_n = known ? slot_parse(known->slot).n : 0;
    if (!known || r->slot.n > known_n || (r->slot.n == known_n && strcmp(r->fact->slot, known->slot) < 0))
        p->activation_dead = r->fact;
}

/* In the order of their names, so that the order of the facts does not matter (L3). */
static void note_vote(struct payment *p, const struct fact *vote)
{
    int at = p->vote_count;
    while (at > 0 && strcmp(p->votes[at - 1]->slot, vote->slot) > 0)
        at--;
    if (at == VOTES_MAX)
        return;
    if (p->vote_count < VOTES_MAX)
        p->vote_count++;
    for (int i = p->vote_count - 1; i > at; i--)
        p->votes[i] = p->votes[i - 1];
    p->votes[at] = vote;
}

/* Keeps the doubt with the highest K. */
static void place_doubt(const struct fact **last, int *count, const struct reading *r)
{
    if (!*last || MUTANT(LAST_DOUBT_BY_ORDER) || r->slot.k > slot_parse((*last)->slot).k)
        *last = r->fact;
    (*count)++;
}

static int place(struct payment *p, const struct reading *r, struct err *err)
{
    const struct place *to = &PLACES[r->slot.kind];
    if (r->slot.kind == SLOT_DEAD)
        note_death(p, r);
    if (r->slot.kind == SLOT_POP_VOTE)
        note_vote(p, r->fact);
    char *owner = owner_of(p, to->owner, r->slot.n);
    if (!owner)
        return 0;
    const struct fact **fact = (const struct fact **)(void *)(owner + to->fact);
    if (to->count) {
        place_doubt(fact, (int *)(void *)(owner + to->count), r);
        return 0;
    }
    if (*fact)
        return refuse(p, err, r->fact, "two facts in one slot (L2)");
    *fact = r->fact;
    if (r->slot.kind == SLOT_DECISION)
        p->commit = r->commit;
    return 0;
}

static int read_fact(const struct payment *p, const struct fact *fact, struct reading *ret, struct err *err)
{
    *ret = (struct reading){.fact = fact, .slot = slot_parse(fact->slot)};
    if (ret->slot.kind == SLOT_UNKNOWN)
        return refuse(p, err, fact, "no slot has this name");
    if (!outcome_parse(ret->slot.kind, fact->outcome, &ret->commit))
        return refuse(p, err, fact, "no outcome of this slot");
    return 0;
}

static int highest_refund(const struct facts *facts)
{
    int highest = 0;
    for (size_t i = 0; i < facts->count; i++) {
        if (facts->items[i].slot[0] != 'r') /* spares hot folds the parsing of everything twice */
            continue;
        struct slot slot = slot_parse(facts->items[i].slot);
        if (PLACES[slot.kind].owner == OWNER_REFUND && slot.n > highest)
            highest = slot.n;
    }
    return highest;
}

static int place_all(const struct facts *facts, struct payment *p, struct err *err)
{
    p->refund_count = highest_refund(facts);
    if (p->refund_count)
        p->refunds = mem_new((size_t)p->refund_count + 1, sizeof *p->refunds);
    for (size_t i = 0; i < facts->count; i++) {
        struct reading reading;
        if (read_fact(p, &facts->items[i], &reading, err) || place(p, &reading, err))
            return -1;
    }
    return 0;
}

static int read_channels(const struct payment *p, struct err *err)
{
    const json_t *channels = json_object_get(p->received->body, "channels");
    if (json_array_size(channels) > CHANNELS_MAX)
        return refuse(p, err, p->received, "body.channels names more than CHANNELS_MAX");
    for (size_t i = 0; i < json_array_size(channels); i++) {
        const char *channel = json_string_value(json_array_get(channels, i));
        if (!channel || !channel_valid(channel))
            return refuse(p, err, p->received, "body.channels holds what no channel is called");
    }
    return 0;
}

/* What the payment is about, as `received` says. */
static int read_received(struct payment *p, struct err *err)
{
    if (!p->received)
        return 0;
    const char *flow = json_text(p->received->body, "flow", "");
    if (strcmp(flow, "plain") != 0 && strcmp(flow, "dual") != 0)
        return refuse(p, err, p->received, "body.flow is neither plain nor dual");
    p->flow = strcmp(flow, "dual") == 0 ? FLOW_DUAL : FLOW_PLAIN;
    p->amount = json_int(p->received->body, "amount", 0);
    if (p->amount <= 0)
        return refuse(p, err, p->received, "body.amount is no positive integer");
    const char *currency = json_text(p->received->body, "currency", "");
    if (strlen(currency) != sizeof p->currency - 1)
        return refuse(p, err, p->received, "body.currency is no currency");
    memcpy(p->currency, currency, sizeof p->currency);
    return read_channels(p, err);
}

static void read_authorizations(struct payment *p)
{
    p->closed = holds(p->authorizations[1].intent, "closed");
    for (int n = 1; n <= AUTHORIZATIONS_MAX; n++) {
        struct authorization *a = &p->authorizations[n];
        if (holds(a->intent, "intent") && p->authorization_count == n - 1)
            p->authorization_count = n;
        a->approved = holds(a->result, "approved");
        a->live = (a->approved || a->late) && !a->voided;
        a->late_unknown = holds(a->last_late_doubt, "unknown") && !a->late && !late_challenge(a);
    }
}

static int read_decision(struct payment *p, struct err *err)
{
    if (!p->decision)
        return 0;
    p->decision_kind = p->commit ? COMMIT : ABORT;
    p->captured = holds(p->capture, "captured");
    if (p->captured)
        p->captured_amount = json_int(p->capture->body, "amount", p->amount);
    if (p->decision_kind == ABORT && !reason_text(json_text(p->decision->body, "reason", "")))
        return refuse(p, err, p->decision, "body.reason is none of ours");
    return 0;
}

/* Adds to a sum that saga_check compares with the capture; false on overflow. */
static bool add_refund(int64_t *sum, int64_t amount)
{
    return money_add(*sum, amount, sum, NULL) == 0;
}

static int read_refunds(struct payment *p, struct err *err)
{
    for (int n = 1; n <= p->refund_count; n++) {
        struct refund *r = &p->refunds[n];
        r->accepted = holds(r->intent, "accepted");
        r->amount = r->intent ? json_int(r->intent->body, "amount", 0) : 0;
        if (!r->accepted)
            continue;
        if (r->amount <= 0)
            return refuse(p, err, r->intent, "body.amount is no positive integer");
        if (!holds(r->result, "refused") && !add_refund(&p->refund_reserved, r->amount))
            return refuse(p, err, r->intent, "the refunds overflow");
        if (holds(r->result, "refunded"))
            p->refunded += r->amount;
        if (holds(p->token_active, "refused"))
            p->unwind = n;
    }
    return 0;
}

bool given_back(const struct payment *p)
{
    return p->captured && p->refunded > 0 && p->refunded == p->captured_amount && !p->unwind;
}

const struct fact *undo_cause(const struct payment *p)
{
    if (p->decision_kind == ABORT)
        return p->decision;
    if (holds(p->capture, "refused"))
        return p->capture;
    return holds(p->token_active, "refused") ? p->token_active : NULL;
}

bool undone(const struct payment *p)
{
    bool revoked = p->pop_revoked || (!p->pop && MUTANT(UNDO_KNOWN_ONLY));
    return p->flow == FLOW_PLAIN || (revoked && p->token_released);
}

bool late_challenge(const struct authorization *a)
{
    return a->action && holds(a->result, "absent");
}

bool may_void(const struct payment *p, int n)
{
    const struct authorization *a = &p->authorizations[n];
    if (a->late || late_challenge(a))
        return true;
    if (!a->approved)
        return false;
    if (MUTANT(VOID_BEFORE_DECISION) && p->decision_kind == UNDECIDED) /* L7 */
        return true;
    return p->decision_kind == ABORT ||
           (n == p->commit && holds(p->capture, "refused") && !MUTANT(REFUSED_CAPTURE_STAYS));
}

bool votes_positive(const struct payment *p, int *ret_n)
{
    *ret_n = 0;
    for (int n = 1; n <= p->authorization_count; n++)
        if (p->authorizations[n].approved)
            *ret_n = n;
    bool purchase = holds(p->pop, "validated") && holds(p->token_reserved, "reserved");
    return *ret_n && (p->flow == FLOW_PLAIN || purchase);
}

/* Nothing of the money's way is open any more: nobody can come to be charged by an authorization of this payment. */
static bool authorizations_resolved(const struct payment *p)
{
    for (int n = 1; n <= p->authorization_count; n++) {
        const struct authorization *a = &p->authorizations[n];
        if ((!a->result && !MUTANT(DOUBT_ENDS)) || (a->approved && !a->voided)) /* L6 */
            return false;
    }
    return true;
}

/* DESIGN.md section 6, first two columns: the state of a payment that has `received` and a commit. */
static enum saga_state committed_state(const struct payment *p)
{
    if (!p->capture)
        return SAGA_CAPTURING;
    if (!p->captured)
        return p->authorizations[p->commit].voided && undone(p) ? SAGA_UNCAPTURED_ENDED : SAGA_UNCAPTURED;
    if (p->flow == FLOW_PLAIN || holds(p->token_active, "active"))
        return SAGA_COMPLETED;
    if (!p->token_active)
        return SAGA_ACTIVATING;
    bool money_back = p->unwind && holds(p->refunds[p->unwind].result, "refunded");
    return money_back && undone(p) ? SAGA_UNWOUND : SAGA_UNWINDING;
}

static enum saga_state state_of(const struct payment *p)
{
    if (!p->received)
        return SAGA_UNKNOWN;
    switch (p->decision_kind) {
    case UNDECIDED:
        return SAGA_VOTING;
    case COMMIT:
        return committed_state(p);
    case ABORT:
        return authorizations_resolved(p) && undone(p) ? SAGA_ABORTED : SAGA_ABORTING;
    }
    return SAGA_UNKNOWN;
}

/* Why it is undone; the table's text, so that it outlives the facts. */
static const char *reason_of(const struct payment *p)
{
    if (p->decision_kind == ABORT)
        return REASON_ROWS[reason_find(json_text(p->decision->body, "reason", ""))].code;
    if (holds(p->capture, "refused"))
        return reason_code(REASON_CAPTURE_REFUSED);
    return holds(p->token_active, "refused") ? reason_code(REASON_ACTIVATION_REFUSED) : NULL;
}

static const struct {
    enum public_state public;
    bool ended;
} STATES[] = {
    [SAGA_UNKNOWN] = {PUBLIC_PENDING, false},
    [SAGA_VOTING] = {PUBLIC_PROCESSING, false}, /* or requires_action */
    [SAGA_CAPTURING] = {PUBLIC_AUTHORIZED, false},
    [SAGA_ACTIVATING] = {PUBLIC_PROCESSING, false},
    [SAGA_COMPLETED] = {PUBLIC_COMPLETED, true}, /* or partially_refunded, refunded */
    [SAGA_ABORTING] = {PUBLIC_PROCESSING, false},
    [SAGA_ABORTED] = {PUBLIC_FAILED, true}, /* or cancelled */
    [SAGA_UNCAPTURED] = {PUBLIC_PROCESSING, false},
    [SAGA_UNCAPTURED_ENDED] = {PUBLIC_FAILED, true},
    [SAGA_UNWINDING] = {PUBLIC_PROCESSING, false},
    [SAGA_UNWOUND] = {PUBLIC_FAILED, true}, /* also when its refund is whole: nothing was ever sold */
};
static_assert(sizeof STATES / sizeof STATES[0] == SAGA_STATE_COUNT, "every state has its public one");

/* A challenge that the customer has not answered yet. */
static bool waits_for_customer(const struct payment *p)
{
    const struct authorization *last = &p->authorizations[p->authorization_count];
    return last->action && !last->result;
}

static enum public_state public_of(const struct payment *p)
{
    if (p->state == SAGA_VOTING && waits_for_customer(p))
        return PUBLIC_REQUIRES_ACTION;
    if (p->state == SAGA_ABORTED && strcmp(p->reason, reason_code(REASON_CANCELLED)) == 0)
        return PUBLIC_CANCELLED;
    if (p->state == SAGA_COMPLETED && p->refunded)
        return p->refunded == p->captured_amount ? PUBLIC_REFUNDED : PUBLIC_PARTIALLY_REFUNDED;
    return STATES[p->state].public;
}

static void read_notices(const struct facts *facts, struct payment *p)
{
    for (size_t i = 0; i < facts->count && p->ended; i++)
        if (facts->items[i].slot[0] == 'n')
            note_notice(p, &facts->items[i]);
}

int saga_fold(const struct facts *facts, struct payment *ret, struct err *err)
{
    *ret = (struct payment){.id = facts->payment_id};
    if (place_all(facts, ret, err) || read_received(ret, err) || read_decision(ret, err) || read_refunds(ret, err))
        return -1;
    read_authorizations(ret);
    if (saga_check(ret, err))
        return -1;
    ret->state = state_of(ret);
    ret->ended = STATES[ret->state].ended;
    ret->reason = reason_of(ret);
    ret->public = public_of(ret);
    read_notices(facts, ret);
    return 0;
}

void payment_clear(struct payment *payment)
{
    free(payment->refunds);
    *payment = (struct payment){0};
}

const char *public_state_text(enum public_state state)
{
    static const char *const TEXTS[] = {
#define X(id, text) [PUBLIC_##id] = text,
        PUBLIC_STATES(X)
#undef X
    };
    return TEXTS[state];
}

const char *saga_state_text(enum saga_state state)
{
    static const char *const TEXTS[] = {
#define X(id, text) [SAGA_##id] = text,
        SAGA_STATES(X)
#undef X
    };
    return TEXTS[state];
}
