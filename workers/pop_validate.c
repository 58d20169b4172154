/* pop_validate.c - the worker that asks the proof-of-purchase validators, and tells them what became of the purchase
 *
 * A validator may take its time and send its vote by callback. It comes as a pop.confirm, becomes a fact of its own, and has the votes
 * counted anew (pop.validate). So however the votes come, `pop` is written by one step, and whoever brings the last one brings the payment on (L4).
 */
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "workers/steps.h"

static void on_answer(void *arg, const struct pop_answer *answer)
{
    struct job *job = arg;
    job->pop = *answer;
    json_incref(job->pop.votes);
    json_incref(job->pop.answers);
    job_answered(job);
}

static void cancel_call(void *call)
{
    pop_cancel(call);
}

static enum verdict started(struct job *job, struct pop_call *call, const struct err *err)
{
    job->call = call;
    job->call_cancel = cancel_call;
    return call ? VERDICT_WAIT : job_retry(job, "cannot ask the validators: %s", err->text);
}

static enum verdict plan_validate(struct job *job)
{
    return saga_wants(&job->payment, "pop.validate", 0) ? VERDICT_CALL : VERDICT_DONE;
}

static struct pop_request request_of(const struct job *job)
{
    return (struct pop_request){
        .payment_id = job->command.payment_id,
        .amount = job->payment.amount,
        .currency = job->payment.currency,
        .reference = json_object_get(job->payment.received->body, "reference"),
        .since_ms = job->payment.received->at_ms,
    };
}

/* Those that came by callback; the caller owns the array. */
static json_t *votes_of(const struct payment *payment)
{
    json_t *votes = json_array();
    for (int i = 0; i < payment->vote_count; i++)
        json_array_append(votes, json_object_get(payment->votes[i]->body, "vote"));
    return votes;
}

static enum verdict call_validate(struct job *job)
{
    struct err err = {0};
    if (!job->around->pop)
        return job_retry(job, "no validators are configured here");
    json_auto_t *votes = votes_of(&job->payment);
    struct pop_request request = request_of(job);
    request.votes = votes;
    if (pop_count(job->around->pop, &request, &job->pop)) {
        job_answered(job);
        return VERDICT_WAIT;
    }
    return started(job, pop_validate(job->around->pop, &request, on_answer, job, &err), &err);
}

static json_t *votes_body(const struct job *job)
{
    return json_pack("{s:O?, s:O?}", "votes", job->pop.votes, "answers", job->pop.answers);
}

/* Another pop.validate of this payment goes on asking: this one only counts anew after a callback, or a look said it once more. If both of them went on,
 * each look would add to the questions for as long as the payment waits, and the first to be exhausted would end it although the other still has hope.
 * Should the other be lost, the keeper looks again, and the deadline ends what nobody answers. */
static bool is_extra(const struct job *job)
{
    return slot_parse(job->command.slot).kind == SLOT_POP_VOTE || job_said_by_look(job);
}

static enum verdict settle_validate(struct job *job)
{
    switch (job->pop.outcome) {
    case POP_VALIDATED:
        job_fact(job, "pop", NULL, "validated", votes_body(job));
        return VERDICT_DONE;
    case POP_REJECTED:
        job_fact(job, "pop", NULL, "rejected", votes_body(job));
        if (job->payment.decision_kind == UNDECIDED)
            job_fact(job, "decision", "pop", "abort",
                     abort_body("POP_REJECTED", "pop_rejected", "the validators reject the purchase"));
        return VERDICT_DONE;
    case POP_REVOKED:
        return job_retry(job, "the validators say it was revoked, and no decision is in sight yet");
    case POP_DEFERRED:
        return is_extra(job) ? VERDICT_DONE : job_later(job, "the validators need more time");
    case POP_COMMITTED:
    case POP_UNKNOWN:
        break;
    }
    return is_extra(job) ? VERDICT_DONE : job_retry(job, "too few validators answered");
}

/* --- a vote by callback --- */

static enum verdict plan_confirm(struct job *job)
{
    const json_t *vote = json_object_get(job->command.body, "vote");
    const char *validator = json_text(vote, "validator", "");
    char slot[SLOT_SIZE];
    struct err err = {0};
    bool valid = false;
    if (!job->payment.received) {
        job->death = DEATH_UNKNOWN_PAYMENT;
        return job_retry(job, "no such payment");
    }
    if (!saga_wants(&job->payment, "pop.confirm", 0))
        return VERDICT_DONE;
    if (!job->around->pop)
        return job_retry(job, "no validators are configured here");
    snprintf(slot, sizeof slot, "pop:vote:%s", validator);
    if (facts_find(&job->facts, slot))
        return VERDICT_DONE; /* the first one counts */
    struct pop_request request = request_of(job);
    json_t *kept = pop_check(job->around->pop, &request, vote, &valid, &err);
    if (!kept)
        return job_dead(job, DEATH_INVALID, "vote: %s", err.text);
    job_fact(job, slot, NULL, valid ? "valid" : "invalid", json_pack("{s:o}", "vote", kept));
    return VERDICT_DONE;
}

/* --- what became of it --- */

static enum verdict plan_commit(struct job *job)
{
    return saga_wants(&job->payment, "pop.commit", 0) ? VERDICT_CALL : VERDICT_DONE;
}

static enum verdict call_commit(struct job *job)
{
    struct err err = {0};
    if (!job->around->pop)
        return job_retry(job, "no validators are configured here");
    return started(job, pop_commit(job->around->pop, job->command.payment_id, on_answer, job, &err), &err);
}

static enum verdict settle_commit(struct job *job)
{
    if (job->pop.outcome != POP_COMMITTED)
        return job_retry(job, job->pop.outcome == POP_REVOKED ? "a validator says that the purchase was revoked"
                                                              : "not every validator knows of the commit");
    job_fact(job, "pop:committed", NULL, "committed", json_pack("{s:O?}", "answers", job->pop.answers));
    return VERDICT_DONE;
}

static enum verdict plan_revoke(struct job *job)
{
    return saga_wants(&job->payment, "pop.revoke", 0) ? VERDICT_CALL : VERDICT_DONE;
}

static enum verdict call_revoke(struct job *job)
{
    struct err err = {0};
    if (!job->around->pop)
        return job_retry(job, "no validators are configured here");
    return started(job, pop_revoke(job->around->pop, job->command.payment_id, on_answer, job, &err), &err);
}

static enum verdict settle_revoke(struct job *job)
{
    if (job->pop.outcome != POP_REVOKED)
        return job_retry(job, "not every validator has taken the proof back");
    job_fact(job, "pop:revoked", NULL, "revoked", json_pack("{s:O?}", "answers", job->pop.answers));
    return VERDICT_DONE;
}

static const struct step steps[] = {
    {.command = "pop.validate", .plan = plan_validate, .call = call_validate, .settle = settle_validate},
    {.command = "pop.confirm", .plan = plan_confirm},
    {.command = "pop.commit", .plan = plan_commit, .call = call_commit, .settle = settle_commit},
    {.command = "pop.revoke", .plan = plan_revoke, .call = call_revoke, .settle = settle_revoke},
    {0},
};

const struct worker_type worker_pop_validate = {.name = "pop-validate", .steps = steps};
