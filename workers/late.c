/* late.c - see late.h */
#include "workers/late.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/mutant.h"
#include "workers/policy.h"
#include "workers/steps.h"

static bool is_absent(const struct authorization *authorization)
{
    return authorization->result && strcmp(authorization->result->outcome, "absent") == 0;
}

/* Is there anything that a further fact about it could lead to? What is late or challenged is known to the provider: it is voided, or asked about until its
 * customer has answered. */
static bool is_unknown(const struct authorization *authorization)
{
    bool known = authorization->late || authorization->action;
    return !known && (!authorization->result || is_absent(authorization));
}

/* Is sending it among what the job's command does? */
static bool may_send(const struct job *job, int n)
{
    struct slot slot = slot_parse(job->command.slot);
    return job_caused(job, job->payment.authorizations[n].intent) || (slot.kind == SLOT_AUTH_DOUBT && slot.n == n);
}

/* Of an absence: a redelivery's predecessor may have sent, and so may somebody before us if it was another command that concluded it and nobody has asked
 * behind it yet. Without a result neither matters: the questions go on, and who concludes compares. (A redelivery that left a doubt before a result would
 * multiply the questions in a crash loop.) */
static bool finds_absence(const struct job *job, const struct authorization *authorization)
{
    bool first = !authorization->last_late_doubt && !job_caused(job, authorization->result);
    return is_absent(authorization) && (job->redelivered || first);
}

static bool owes(const struct job *job, int n)
{
    const struct authorization *authorization = &job->payment.authorizations[n];
    return is_unknown(authorization) && may_send(job, n) && (job->has_sent || finds_absence(job, authorization)) &&
           !MUTANT(LATE_DOUBT_FORGOTTEN); /* L6 */
}

/* In the next slot that is free: who is there before us wrote after we knew that we have no answer, too. */
static void leave_doubt(struct job *job, int n)
{
    const struct authorization *authorization = &job->payment.authorizations[n];
    char intent[32];
    if (!*job->answer.code)
        snprintf(job->answer.code, sizeof job->answer.code, "may_have_been_sent");
    snprintf(intent, sizeof intent, "auth:%d%s", n, authorization->result ? ":late" : "");
    int k = authorization->result ? authorization->late_doubts : authorization->doubts;
    if (k >= DOUBTS_MAX) {
        job->observed[0] = '\0'; /* a person's, who was told when the last one was written */
        return;
    }
    if (authorization->result)
        job_fact_f(job, NULL, "unknown", doubt_body(job), "%s:doubt:%d", intent, k);
    else
        (void)add_doubt(job, intent, k, authorization->last_doubt);
    snprintf(job->observed, sizeof job->observed, "%s:doubt:%d", intent, k);
}

bool late_plan(struct job *job)
{
    for (int n = 1; n <= job->payment.authorization_count; n++)
        if (owes(job, n)) {
            leave_doubt(job, n);
            return job->new_fact_count > 0;
        }
    return false;
}

/* Whether that fact is followed by a question that is asked after it. */
static bool is_asked_about(const struct job *job)
{
    struct slot slot = slot_parse(job->observed);
    const struct authorization *authorization = &job->payment.authorizations[slot.n];
    if (!is_unknown(authorization))
        return true;
    const struct fact *fact = facts_find(&job->facts, job->observed);
    if (slot.kind == SLOT_AUTH_LATE_DOUBT)
        return fact && strcmp(fact->outcome, "unknown") == 0;
    return fact && !authorization->result;
}

bool late_go_on(struct job *job)
{
    if (!job->observed[0])
        return false;
    if (is_asked_about(job)) {
        job->observed[0] = '\0';
        job->has_sent = job->redelivered = false;
        return false;
    }
    leave_doubt(job, slot_parse(job->observed).n);
    return job->new_fact_count > 0;
}

bool late_check(struct job *job, int n)
{
    const struct authorization *authorization = &job->payment.authorizations[n];
    /* Who concluded absence compares: a doubt that it did not know of may be of a call that came after its question. */
    bool overtaken = is_absent(authorization) && job_caused(job, authorization->result) &&
                     authorization->doubts > job->question && !authorization->last_late_doubt;
    bool left = !authorization->result && job->won; /* the doubt that was just written is asked about */
    if (left) {
        job->has_sent = false;
        return false;
    }
    if (!owes(job, n) && !(overtaken && !MUTANT(LATE_DOUBT_FORGOTTEN)))
        return false;
    leave_doubt(job, n);
    return job->new_fact_count > 0;
}

int late_asked(const struct job *job)
{
    struct slot slot = slot_parse(job->command.slot);
    if (slot.kind != SLOT_AUTH_LATE_DOUBT || slot.n < 1 || slot.n > job->payment.authorization_count)
        return 0;
    const struct authorization *authorization = &job->payment.authorizations[slot.n];
    return authorization->late_unknown && authorization->late_doubts <= slot.k ? slot.n : 0;
}

/* Whatever was sent before the doubt was written has arrived, and can be seen. */
static bool is_seen(const struct job *job, int n)
{
    const struct authorization *authorization = &job->payment.authorizations[n];
    const struct provider *provider = step_provider(job, authorization_provider(&job->payment, n));
    if (!provider)
        return false;
    const struct provider_options *options = provider_options(provider);
    return policy_may_conclude_absent(job->asked_at_ms, authorization->last_late_doubt->at_ms, options->timeout_ms,
                                      options->visibility_horizon_ms);
}

enum verdict late_settle(struct job *job, int n)
{
    enum provider_outcome outcome = job->answer.outcome;
    bool nothing =
        outcome == PROVIDER_REFUSED || outcome == PROVIDER_EXPIRED || (outcome == PROVIDER_ABSENT && is_seen(job, n));
    if (nothing) {
        job_fact(job, job->command.slot, NULL, "nothing", answer_body(job, authorization_provider(&job->payment, n)));
        return VERDICT_DONE;
    }
    const char *code = *job->answer.code ? job->answer.code : "absent";
    if (policy_gives_up(job->around->config, &job->command, clock_wall_ms()))
        return job_dead(
            job, DEATH_EXHAUSTED,
            "asked for longer than question.give_up_ms what became of authorization %d behind its absence: %s", n,
            code);
    return job_later(job, "authorization %d may have been sent after it was found absent: %s", n, code);
}
