/* token_activate.c - the worker that reserves tokens, activates them after the capture, and gives them back */
#include <string.h>

#include "common/json.h"
#include "common/mutant.h"
#include "workers/steps.h"

static void on_answer(void *arg, const struct tokens_answer *answer)
{
    struct job *job = arg;
    job->tokens = *answer;
    json_incref(job->tokens.evidence);
    job_answered(job);
}

static void cancel_call(void *call)
{
    tokens_cancel(call);
}

static enum verdict start(struct job *job, enum tokens_operation operation)
{
    struct err err = {0};
    if (!job->around->tokens)
        return job_retry(job, "no token system is configured here");
    const json_t *wanted = json_object_get(job->payment.received->body, "tokens");
    struct tokens_request request = {
        .operation = operation,
        .payment_id = job->command.payment_id,
        .token_id = json_text(wanted, "id", ""),
        .quantity = json_int(wanted, "quantity", 1),
    };
    job->call_cancel = cancel_call;
    job->call = tokens_start(job->around->tokens, &request, on_answer, job, &err);
    return job->call ? VERDICT_WAIT : job_retry(job, "cannot ask the token system: %s", err.text);
}

static json_t *answer_facts(const struct job *job)
{
    return json_pack("{s:s, s:O?}", "code", job->tokens.code, "evidence", job->tokens.evidence);
}

static enum verdict unknown(struct job *job)
{
    return job_retry(job, "the token system's answer is unknown: %s", job->tokens.code);
}

static enum verdict plan_reserve(struct job *job)
{
    return saga_wants(&job->payment, "token.reserve", 0) ? VERDICT_CALL : VERDICT_DONE;
}

static enum verdict call_reserve(struct job *job)
{
    return start(job, TOKENS_RESERVE);
}

static enum verdict settle_reserve(struct job *job)
{
    if (job->tokens.outcome == TOKENS_DONE) {
        job_fact(job, "token:reserved", NULL, "reserved", answer_facts(job));
        return VERDICT_DONE;
    }
    if (job->tokens.outcome != TOKENS_REFUSED)
        return unknown(job);
    job_fact(job, "token:reserved", NULL, "refused", answer_facts(job));
    if (job->payment.decision_kind == UNDECIDED && !MUTANT(TOKENS_WITHOUT_ABORT)) /* L7 */
        job_fact(job, "decision", "token:reserved", "abort",
                 abort_body("TOKENS_UNAVAILABLE", job->tokens.code, "the tokens are not available"));
    return VERDICT_DONE;
}

static enum verdict plan_activate(struct job *job)
{
    return saga_wants(&job->payment, "token.activate", 0) ? VERDICT_CALL : VERDICT_DONE;
}

static enum verdict call_activate(struct job *job)
{
    return start(job, TOKENS_ACTIVATE);
}

static enum verdict settle_activate(struct job *job)
{
    if (job->tokens.outcome == TOKENS_DONE || job->tokens.outcome == TOKENS_ACTIVE)
        job_fact(job, "token:active", NULL, "active", answer_facts(job));
    else if (job->tokens.outcome == TOKENS_REFUSED)
        job_fact(job, "token:active", NULL, "refused", answer_facts(job));
    else
        return unknown(job);
    return VERDICT_DONE;
}

static enum verdict plan_release(struct job *job)
{
    return saga_wants(&job->payment, "token.release", 0) ? VERDICT_CALL : VERDICT_DONE;
}

/* What is active is not released but deactivated: only after all of its money was given back. */
static bool takes_back(const struct job *job)
{
    return job->payment.token_active && strcmp(job->payment.token_active->outcome, "active") == 0;
}

static enum verdict call_release(struct job *job)
{
    return start(job, takes_back(job) ? TOKENS_DEACTIVATE : TOKENS_RELEASE);
}

static enum verdict settle_deactivation(struct job *job)
{
    if (job->tokens.outcome == TOKENS_REFUSED)
        return job_dead(job, DEATH_REFUSED, "the token system refuses to deactivate: %s", job->tokens.code);
    if (job->tokens.outcome != TOKENS_DONE)
        return unknown(job);
    job_fact(job, "token:released", NULL, "deactivated", answer_facts(job));
    return VERDICT_DONE;
}

/* The arbiter after an activation that nobody could finish: active already counts as active; released means it never will be. */
static enum verdict settle_release(struct job *job)
{
    if (takes_back(job))
        return settle_deactivation(job);
    if (job->tokens.outcome == TOKENS_ACTIVE && !job->payment.captured)
        return job_dead(job, DEATH_REFUSED, "the token system says active, but nothing was captured");
    if (job->tokens.outcome == TOKENS_ACTIVE) {
        job_fact(job, "token:active", NULL, "active", answer_facts(job));
        return VERDICT_DONE;
    }
    if (job->tokens.outcome != TOKENS_DONE)
        return unknown(job);
    job_fact(job, "token:released", NULL, "released", answer_facts(job));
    if (job->payment.captured && !job->payment.token_active && !MUTANT(ARBITER_SILENT))
        job_fact(job, "token:active", NULL, "refused", answer_facts(job));
    return VERDICT_DONE;
}

static const struct step steps[] = {
    {.command = "token.reserve", .plan = plan_reserve, .call = call_reserve, .settle = settle_reserve},
    {.command = "token.activate", .plan = plan_activate, .call = call_activate, .settle = settle_activate},
    {.command = "token.release", .plan = plan_release, .call = call_release, .settle = settle_release},
    {0},
};

const struct worker_type worker_token_activate = {.name = "token-activate", .steps = steps};
