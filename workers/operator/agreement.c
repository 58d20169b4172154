/* agreement.c - do the ledger, the token system and the validators say the same of a dual payment? (pure)
 *
 * The two tables are the whole of the judgement; what stands around them finds the row and writes down both sides' words.
 */
#include "workers/operator/agreement.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"

/* ---- the tables ---- */

struct cell {
    enum difference_kind kind;
    bool heals; /* what is under way may mend it: counted only once the payment is at rest */
};
#define OK                                                                                                             \
    {                                                                                                                  \
        DIFF_AGREES, false                                                                                             \
    }
#define AT_ONCE(id)                                                                                                    \
    {                                                                                                                  \
        DIFF_##id, false                                                                                               \
    }
#define AT_REST(id)                                                                                                    \
    {                                                                                                                  \
        DIFF_##id, true                                                                                                \
    }

enum tokens_row {
    TOKENS_ROW_NEW,         /* voting, nothing of a reservation written */
    TOKENS_ROW_RESERVED,    /* voting or capturing, reserved */
    TOKENS_ROW_ACTIVATING,  /* captured */
    TOKENS_ROW_ACTIVE,      /* completed; refunded in part at most */
    TOKENS_ROW_GIVING_BACK, /* refunded in full, its tokens not taken back yet */
    TOKENS_ROW_DEACTIVATED, /* and taken back */
    TOKENS_ROW_UNDOING,     /* aborting, uncaptured, unwinding */
    TOKENS_ROW_RELEASED,    /* and released: failed, cancelled, or on the way there */
    TOKENS_ROW_COUNT
};

static const struct cell TOKENS_TABLE[TOKENS_ROW_COUNT][TOKENS_STATUS_COUNT] = {
    [TOKENS_ROW_NEW] = {[TOKENS_IS_UNSEEN] = OK,
                        [TOKENS_IS_RESERVED] = OK,
                        [TOKENS_IS_REFUSED] = OK,
                        [TOKENS_IS_ACTIVE] = AT_ONCE(TOKENS_ACTIVE_NOT_PAID),
                        [TOKENS_IS_EXPIRED] = AT_REST(RESERVATION_LOST),
                        [TOKENS_IS_RELEASED] = AT_REST(RESERVATION_LOST),
                        [TOKENS_IS_DEACTIVATED] = AT_ONCE(TOKENS_DIFFER)},
    [TOKENS_ROW_RESERVED] = {[TOKENS_IS_UNSEEN] = AT_REST(RESERVATION_LOST),
                             [TOKENS_IS_RESERVED] = OK,
                             [TOKENS_IS_REFUSED] = AT_REST(RESERVATION_LOST),
                             [TOKENS_IS_ACTIVE] = AT_ONCE(TOKENS_ACTIVE_NOT_PAID),
                             [TOKENS_IS_EXPIRED] = AT_REST(RESERVATION_LOST),
                             [TOKENS_IS_RELEASED] = AT_REST(RESERVATION_LOST),
                             [TOKENS_IS_DEACTIVATED] = AT_ONCE(TOKENS_DIFFER)},
    [TOKENS_ROW_ACTIVATING] = {[TOKENS_IS_UNSEEN] = AT_REST(PAID_NOT_ACTIVE),
                               [TOKENS_IS_RESERVED] = OK,
                               [TOKENS_IS_REFUSED] = AT_REST(PAID_NOT_ACTIVE),
                               [TOKENS_IS_ACTIVE] = OK,
                               [TOKENS_IS_EXPIRED] = AT_REST(PAID_NOT_ACTIVE),
                               [TOKENS_IS_RELEASED] = AT_REST(PAID_NOT_ACTIVE),
                               [TOKENS_IS_DEACTIVATED] = AT_ONCE(PAID_NOT_ACTIVE)},
    [TOKENS_ROW_ACTIVE] = {[TOKENS_IS_UNSEEN] = AT_ONCE(PAID_NOT_ACTIVE),
                           [TOKENS_IS_RESERVED] = AT_ONCE(PAID_NOT_ACTIVE),
                           [TOKENS_IS_REFUSED] = AT_ONCE(PAID_NOT_ACTIVE),
                           [TOKENS_IS_ACTIVE] = OK,
                           [TOKENS_IS_EXPIRED] = AT_ONCE(PAID_NOT_ACTIVE),
                           [TOKENS_IS_RELEASED] = AT_ONCE(PAID_NOT_ACTIVE),
                           [TOKENS_IS_DEACTIVATED] = AT_ONCE(PAID_NOT_ACTIVE)},
    [TOKENS_ROW_GIVING_BACK] = {[TOKENS_IS_UNSEEN] = AT_ONCE(TOKENS_DIFFER),
                                [TOKENS_IS_RESERVED] = AT_ONCE(TOKENS_DIFFER),
                                [TOKENS_IS_REFUSED] = AT_ONCE(TOKENS_DIFFER),
                                [TOKENS_IS_ACTIVE] = AT_REST(ACTIVE_AFTER_REFUND),
                                [TOKENS_IS_EXPIRED] = AT_ONCE(TOKENS_DIFFER),
                                [TOKENS_IS_RELEASED] = AT_ONCE(TOKENS_DIFFER),
                                [TOKENS_IS_DEACTIVATED] = OK},
    [TOKENS_ROW_DEACTIVATED] = {[TOKENS_IS_UNSEEN] = AT_ONCE(TOKENS_DIFFER),
                                [TOKENS_IS_RESERVED] = AT_ONCE(TOKENS_DIFFER),
                                [TOKENS_IS_REFUSED] = AT_ONCE(TOKENS_DIFFER),
                                [TOKENS_IS_ACTIVE] = AT_ONCE(ACTIVE_AFTER_REFUND),
                                [TOKENS_IS_EXPIRED] = AT_ONCE(TOKENS_DIFFER),
                                [TOKENS_IS_RELEASED] = AT_ONCE(TOKENS_DIFFER),
                                [TOKENS_IS_DEACTIVATED] = OK},
    [TOKENS_ROW_UNDOING] = {[TOKENS_IS_UNSEEN] = OK,
                            [TOKENS_IS_RESERVED] = AT_REST(RESERVED_AFTER_END),
                            [TOKENS_IS_REFUSED] = OK,
                            [TOKENS_IS_ACTIVE] = AT_ONCE(TOKENS_ACTIVE_NOT_PAID),
                            [TOKENS_IS_EXPIRED] = OK,
                            [TOKENS_IS_RELEASED] = OK,
                            [TOKENS_IS_DEACTIVATED] = AT_ONCE(TOKENS_DIFFER)},
    /* refused and expired are final for the payment, as good as a tombstone */
    [TOKENS_ROW_RELEASED] = {[TOKENS_IS_UNSEEN] = AT_ONCE(RELEASE_FORGOTTEN),
                             [TOKENS_IS_RESERVED] = AT_ONCE(RESERVED_AFTER_END),
                             [TOKENS_IS_REFUSED] = OK,
                             [TOKENS_IS_ACTIVE] = AT_ONCE(TOKENS_ACTIVE_NOT_PAID),
                             [TOKENS_IS_EXPIRED] = OK,
                             [TOKENS_IS_RELEASED] = OK,
                             [TOKENS_IS_DEACTIVATED] = AT_ONCE(TOKENS_DIFFER)},
};

enum proof_row {
    PROOF_ROW_VOTING,      /* voting, capturing, activating: not told yet how it ended */
    PROOF_ROW_COMPLETED,   /* the purchase stands */
    PROOF_ROW_COMMITTED,   /* and every validator has said that it knows */
    PROOF_ROW_GIVING_BACK, /* refunded in full, its proof not taken back yet */
    PROOF_ROW_UNDOING,     /* aborting, uncaptured, unwinding */
    PROOF_ROW_REVOKED,     /* every validator has said that it took the proof back */
    PROOF_ROW_COUNT
};

static const struct cell PROOF_TABLE[PROOF_ROW_COUNT][POP_STANDING_COUNT] = {
    [PROOF_ROW_VOTING] = {[POP_IS_UNSEEN] = OK,
                          [POP_IS_PENDING] = OK,
                          [POP_IS_VALID] = OK,
                          [POP_IS_INVALID] = OK,
                          [POP_IS_COMMITTED] = AT_ONCE(COMMITTED_NOT_PAID),
                          [POP_IS_REVOKED] = AT_REST(REVOKED_NOT_UNDONE)},
    [PROOF_ROW_COMPLETED] = {[POP_IS_UNSEEN] = AT_REST(NOT_COMMITTED),
                             [POP_IS_PENDING] = AT_REST(NOT_COMMITTED),
                             [POP_IS_VALID] = AT_REST(NOT_COMMITTED),
                             [POP_IS_INVALID] = AT_REST(NOT_COMMITTED),
                             [POP_IS_COMMITTED] = OK,
                             [POP_IS_REVOKED] = AT_ONCE(REVOKED_NOT_UNDONE)},
    [PROOF_ROW_COMMITTED] = {[POP_IS_UNSEEN] = AT_ONCE(NOT_COMMITTED),
                             [POP_IS_PENDING] = AT_ONCE(NOT_COMMITTED),
                             [POP_IS_VALID] = AT_ONCE(NOT_COMMITTED),
                             [POP_IS_INVALID] = AT_ONCE(NOT_COMMITTED),
                             [POP_IS_COMMITTED] = OK,
                             [POP_IS_REVOKED] = AT_ONCE(REVOKED_NOT_UNDONE)},
    [PROOF_ROW_GIVING_BACK] = {[POP_IS_UNSEEN] = OK,
                               [POP_IS_PENDING] = AT_REST(NOT_REVOKED),
                               [POP_IS_VALID] = AT_REST(NOT_REVOKED),
                               [POP_IS_INVALID] = OK,
                               [POP_IS_COMMITTED] = AT_REST(NOT_REVOKED),
                               [POP_IS_REVOKED] = OK},
    [PROOF_ROW_UNDOING] = {[POP_IS_UNSEEN] = OK,
                           [POP_IS_PENDING] = AT_REST(NOT_REVOKED),
                           [POP_IS_VALID] = AT_REST(NOT_REVOKED),
                           [POP_IS_INVALID] = OK,
                           [POP_IS_COMMITTED] = AT_ONCE(COMMITTED_NOT_PAID),
                           [POP_IS_REVOKED] = OK},
    [PROOF_ROW_REVOKED] = {[POP_IS_UNSEEN] = AT_ONCE(REVOCATION_FORGOTTEN),
                           [POP_IS_PENDING] = AT_ONCE(NOT_REVOKED),
                           [POP_IS_VALID] = AT_ONCE(NOT_REVOKED),
                           [POP_IS_INVALID] = AT_ONCE(NOT_REVOKED),
                           [POP_IS_COMMITTED] = AT_ONCE(NOT_REVOKED),
                           [POP_IS_REVOKED] = OK},
};

/* ---- where a payment stands ---- */

static bool holds(const struct fact *fact, const char *outcome)
{
    return fact && strcmp(fact->outcome, outcome) == 0;
}

/* Completed, and all of its money given back. */
static bool is_given_back(const struct payment *p)
{
    return p->state == SAGA_COMPLETED && p->captured_amount > 0 && p->refunded == p->captured_amount;
}

static const struct fact *newest_refund(const struct payment *p)
{
    const struct fact *newest = NULL;
    for (int n = 1; n <= p->refund_count; n++)
        if (holds(p->refunds[n].result, "refunded") && (!newest || p->refunds[n].result->seq > newest->seq))
            newest = p->refunds[n].result;
    return newest;
}

/* A row, and the fact that put the payment there. */
struct place {
    int row;
    const struct fact *fact;
};

/* NULL: nothing undoes it. A refund in full is another matter: is_given_back(). */
static const struct fact *undone_by(const struct payment *p)
{
    if (p->decision_kind == ABORT)
        return p->decision;
    if (holds(p->capture, "refused"))
        return p->capture;
    return holds(p->token_active, "refused") ? p->token_active : NULL;
}

static struct place tokens_place(const struct payment *p)
{
    if (holds(p->token_released, "deactivated"))
        return (struct place){TOKENS_ROW_DEACTIVATED, p->token_released};
    if (p->token_released)
        return (struct place){TOKENS_ROW_RELEASED, p->token_released};
    if (undone_by(p))
        return (struct place){TOKENS_ROW_UNDOING, undone_by(p)};
    if (is_given_back(p))
        return (struct place){TOKENS_ROW_GIVING_BACK, newest_refund(p)};
    if (p->token_active)
        return (struct place){TOKENS_ROW_ACTIVE, p->token_active};
    if (p->captured)
        return (struct place){TOKENS_ROW_ACTIVATING, p->capture};
    if (holds(p->token_reserved, "reserved"))
        return (struct place){TOKENS_ROW_RESERVED, p->token_reserved};
    return (struct place){TOKENS_ROW_NEW, p->received};
}

static struct place proof_place(const struct payment *p)
{
    if (p->pop_revoked)
        return (struct place){PROOF_ROW_REVOKED, p->pop_revoked};
    if (undone_by(p))
        return (struct place){PROOF_ROW_UNDOING, undone_by(p)};
    if (is_given_back(p))
        return (struct place){PROOF_ROW_GIVING_BACK, newest_refund(p)};
    if (p->pop_committed)
        return (struct place){PROOF_ROW_COMMITTED, p->pop_committed};
    if (p->token_active)
        return (struct place){PROOF_ROW_COMPLETED, p->token_active};
    return (struct place){PROOF_ROW_VOTING, p->pop ? p->pop : p->received};
}

static int64_t newest_ms(const struct facts *facts)
{
    int64_t newest = 0;
    for (size_t i = 0; i < facts->count; i++)
        if (facts->items[i].at_ms > newest)
            newest = facts->items[i].at_ms;
    return newest;
}

static bool is_in_flight(const struct facts *facts, const struct agreement_terms *terms)
{
    return terms->now_ms - newest_ms(facts) < terms->grace_ms;
}

/* ---- writing it down ---- */

/* NULL when the list is full, which it never is: see DIFFERENCES_MAX. */
static struct difference *add(struct agreement *ret, enum difference_kind kind, const char *who,
                              const struct fact *fact)
{
    if (ret->count == DIFFERENCES_MAX)
        return NULL;
    struct difference *d = &ret->items[ret->count++];
    *d = (struct difference){.kind = kind, .since_ms = fact ? fact->at_ms : 0};
    snprintf(d->who, sizeof d->who, "%s", who);
    if (fact)
        snprintf(d->ours, sizeof d->ours, "%s=%s", fact->slot, fact->outcome);
    return d;
}

static struct difference *add_cell(struct agreement *ret, struct cell cell, const char *who, const struct fact *fact)
{
    if (cell.kind == DIFF_AGREES || (cell.heals && ret->in_flight))
        return NULL;
    return add(ret, cell.kind, who, fact);
}

/* ---- the token system ---- */

static void say_tokens(struct difference *d, const struct tokens_state *tokens)
{
    if (!d)
        return;
    d->their_since_ms = tokens->changed_at_ms;
    if (*tokens->token_id)
        snprintf(d->theirs, sizeof d->theirs, "%s: %" PRId64 " of %s", tokens_status_text(tokens->status),
                 tokens->quantity, tokens->token_id);
    else
        snprintf(d->theirs, sizeof d->theirs, "%s", tokens_status_text(tokens->status));
}

static void judge_wish(const struct payment *p, const struct tokens_state *tokens, struct agreement *ret)
{
    const json_t *wish = json_object_get(p->received->body, "tokens");
    const char *id = json_text(wish, "id", "");
    int64_t quantity = json_int(wish, "quantity", 1);
    struct difference *d = NULL;
    if (!*tokens->token_id)
        return;
    if (strcmp(tokens->token_id, id) != 0)
        d = add(ret, DIFF_TOKEN_ID_DIFFERS, "tokens", p->received);
    else if (tokens->quantity != quantity)
        d = add(ret, DIFF_QUANTITY_DIFFERS, "tokens", p->received);
    if (!d)
        return;
    snprintf(d->ours, sizeof d->ours, "received: %" PRId64 " of %s", quantity, id);
    say_tokens(d, tokens);
}

static void judge_tokens(const struct payment *p, const struct tokens_state *tokens, struct agreement *ret)
{
    struct place place = tokens_place(p);
    say_tokens(add_cell(ret, TOKENS_TABLE[place.row][tokens->status], "tokens", place.fact), tokens);
    judge_wish(p, tokens, ret);
}

/* ---- the validators ---- */

static bool lists(char (*names)[DUAL_NAME_SIZE], size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Adds the validators of {"answers":[{"validator":...}]} that are not there yet. */
static size_t add_names(char (*names)[DUAL_NAME_SIZE], size_t count, const json_t *answers)
{
    for (size_t i = 0; i < json_array_size(answers) && count < DUAL_VALIDATORS_MAX; i++) {
        const char *name = json_text(json_array_get(answers, i), "validator", "");
        if (*name && strlen(name) < DUAL_NAME_SIZE && !lists(names, count, name))
            snprintf(names[count++], DUAL_NAME_SIZE, "%s", name);
    }
    return count;
}

/* A later fact is about those who were configured then: that is who has to know what became of it. */
size_t agreement_validators(const struct payment *payment, char (*ret)[DUAL_NAME_SIZE])
{
    const struct fact *const facts[] = {payment->pop_revoked, payment->pop_committed, payment->pop};
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        size_t count = facts[i] ? add_names(ret, 0, json_object_get(facts[i]->body, "answers")) : 0;
        if (count)
            return count;
    }
    return 0;
}

static enum pop_verdict verdict_of(const json_t *vote)
{
    const char *verdict = json_text(vote, "verdict", "");
    return strcmp(verdict, "valid") == 0     ? POP_VOTE_VALID
           : strcmp(verdict, "invalid") == 0 ? POP_VOTE_INVALID
                                             : POP_NO_VOTE;
}

/* The vote of this validator that the facts hold, and the fact that holds it. */
static enum pop_verdict held_vote(const struct payment *p, const char *name, const struct fact **ret_fact)
{
    const json_t *votes = p->pop ? json_object_get(p->pop->body, "votes") : NULL;
    *ret_fact = p->pop;
    for (size_t i = 0; i < json_array_size(votes); i++)
        if (strcmp(json_text(json_array_get(votes, i), "validator", ""), name) == 0)
            return verdict_of(json_array_get(votes, i));
    for (int i = 0; i < p->vote_count; i++) {
        const json_t *vote = json_object_get(p->votes[i]->body, "vote");
        *ret_fact = p->votes[i];
        if (strcmp(json_text(vote, "validator", ""), name) == 0)
            return verdict_of(vote);
    }
    return POP_NO_VOTE;
}

static void say_standing(struct difference *d, const struct pop_state *state)
{
    static const char *const votes[] = {
        [POP_NO_VOTE] = "", [POP_VOTE_VALID] = ", vote valid", [POP_VOTE_INVALID] = ", vote invalid"};
    if (!d)
        return;
    d->their_since_ms = state->changed_at_ms;
    snprintf(d->theirs, sizeof d->theirs, "%s%s", pop_standing_text(state->standing), votes[state->vote]);
}

static void judge_vote(const struct payment *p, const struct dual_validator *validator, bool agrees,
                       struct agreement *ret)
{
    const struct fact *fact = NULL;
    enum pop_verdict held = held_vote(p, validator->name, &fact), told = validator->state.vote;
    struct difference *d = NULL;
    if (held == POP_NO_VOTE || held == told)
        return;
    if (told != POP_NO_VOTE)
        d = add(ret, DIFF_VOTE_DIFFERS, validator->name, fact);
    else if (agrees) /* else it has forgotten more than that, and was told so */
        d = add(ret, DIFF_VOTE_MISSING, validator->name, fact);
    if (!d)
        return;
    snprintf(d->ours, sizeof d->ours, "%s: its vote %s", fact->slot, held == POP_VOTE_VALID ? "valid" : "invalid");
    say_standing(d, &validator->state);
}

static void judge_validator(const struct payment *p, const struct dual_validator *validator, struct agreement *ret)
{
    struct place place = proof_place(p);
    struct cell cell = PROOF_TABLE[place.row][validator->state.standing];
    say_standing(add_cell(ret, cell, validator->name, place.fact), &validator->state);
    judge_vote(p, validator, cell.kind == DIFF_AGREES, ret);
}

void agreement_judge_told(const struct facts *facts, const struct payment *payment, const struct dual_told *told,
                          const struct agreement_terms *terms, struct agreement *ret)
{
    ret->in_flight = is_in_flight(facts, terms);
    if (told->tokens_known)
        judge_tokens(payment, &told->tokens, ret);
    for (size_t i = 0; i < told->validator_count; i++)
        if (told->validators[i].state.known)
            judge_validator(payment, &told->validators[i], ret);
}

/* ---- the ledger alone ---- */

/* E-24: whatever the facts are folded to, settled money needs its proof. */
static void judge_settlement(const struct facts *facts, const struct dual_money *money, struct agreement *ret)
{
    const struct fact *capture = facts_find(facts, "capture"), *pop = facts_find(facts, "pop");
    if ((money->settled == 0 && !holds(capture, "captured")) || holds(pop, "validated"))
        return;
    struct difference *d = add(ret, DIFF_SETTLED_WITHOUT_PROOF, "ledger", capture);
    if (d)
        snprintf(d->theirs, sizeof d->theirs, "settled %" PRId64 ", %s", money->settled,
                 pop ? "the proof was rejected" : "no proof");
}

/* E-60: who gave the money back, or never took it, gives back the tokens and takes back the proof. */
static void judge_undoing(const struct payment *p, const struct dual_money *money, struct agreement *ret)
{
    const struct fact *cause = undone_by(p);
    if (!cause && (is_given_back(p) || (money->settled > 0 && money->returned >= money->settled)))
        cause = newest_refund(p);
    if (!cause || ret->in_flight)
        return;
    if (!p->token_released)
        add(ret, DIFF_TOKENS_NOT_GIVEN_BACK, "ledger", cause);
    if (!p->pop_revoked)
        add(ret, DIFF_PROOF_NOT_TAKEN_BACK, "ledger", cause);
}

/* A doubt that nobody answers keeps a payment open by right (L6): its questions go on, at their own pace. */
static bool waits_for_an_answer(const struct facts *facts)
{
    const struct fact *newest = NULL;
    for (size_t i = 0; i < facts->count; i++)
        if (!newest || facts->items[i].seq > newest->seq)
            newest = &facts->items[i];
    return newest && slot_is_doubt(newest->slot) && strcmp(newest->outcome, "unknown") == 0;
}

/* Before its deadline an undecided payment may wait for its votes. */
static void judge_progress(const struct facts *facts, const struct payment *p, const struct agreement_terms *terms,
                           struct agreement *ret)
{
    int64_t patience_ms = terms->grace_ms > terms->stand_still_ms ? terms->grace_ms : terms->stand_still_ms;
    int64_t expires_ms = json_int(p->received->body, "expiresAt", INT64_MAX);
    bool still = terms->now_ms - newest_ms(facts) > patience_ms;
    struct difference *d = NULL;
    if (p->ended || !still || waits_for_an_answer(facts))
        return;
    if (p->decision_kind != UNDECIDED)
        d = add(ret, DIFF_STANDS_STILL, "ledger", p->decision);
    else if (expires_ms < terms->now_ms - patience_ms)
        d = add(ret, DIFF_PAST_DEADLINE, "ledger", p->received);
    if (d)
        snprintf(d->theirs, sizeof d->theirs, "%s", saga_state_text(p->state));
}

void agreement_judge_ledger(const struct facts *facts, const struct payment *payment, const char *why,
                            const struct dual_money *money, const struct agreement_terms *terms, struct agreement *ret)
{
    ret->in_flight = is_in_flight(facts, terms);
    judge_settlement(facts, money, ret);
    if (!payment) {
        struct difference *d = add(ret, DIFF_FACTS_CONTRADICT, "ledger", facts_find(facts, "received"));
        if (d)
            snprintf(d->theirs, sizeof d->theirs, "%s", why);
        return;
    }
    judge_undoing(payment, money, ret);
    if (ret->count == 0)
        judge_progress(facts, payment, terms, ret);
}
