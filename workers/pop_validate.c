/* pop_validate.c - the worker that asks the proof-of-purchase validators, and takes a proof back */
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

static enum verdict call_validate(struct job *job)
{
    struct err err = {0};
    if (!job->around->pop)
        return job_retry(job, "no validators are configured here");
    struct pop_request request = {
        .payment_id = job->command.payment_id,
        .amount = job->payment.amount,
        .currency = job->payment.currency,
        .reference = json_object_get(job->payment.received->body, "reference"),
        .since_ms = job->payment.received->at_ms,
    };
    return started(job, pop_validate(job->around->pop, &request, on_answer, job, &err), &err);
}

static json_t *votes_body(const struct job *job)
{
    return json_pack("{s:O?, s:O?}", "votes", job->pop.votes, "answers", job->pop.answers);
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
    case POP_UNKNOWN:
        break;
    }
    return job_retry(job, "too few validators answered");
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
    {.command = "pop.revoke", .plan = plan_revoke, .call = call_revoke, .settle = settle_revoke},
    {0},
};

const struct worker_type worker_pop_validate = {.name = "pop-validate", .steps = steps};
