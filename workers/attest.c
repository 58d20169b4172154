/* attest.c - see attest.h */
#include "workers/attest.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "ledger/cases.h"
#include "workers/steps.h"

static const char *said(const struct job *job)
{
    return json_text(job->command.body, "as", "");
}

/* The case as the job's facts have it; its slot is the command's. */
static int find(const struct job *job, struct payment_case *ret, struct err *err)
{
    if (case_find(&job->payment, job->command.slot, ret, err) != 0)
        return -1;
    if (strcmp(ret->result, job->command.slot) != 0)
        return err_set(err, ERR_INVALID, "slot: must be %s, which the outcome fills", ret->result);
    return 0;
}

enum verdict attest_plan(struct job *job)
{
    struct payment_case found;
    struct err err = {0};
    bool negative;
    if (find(job, &found, &err) != 0)
        return job_dead(job, DEATH_INVALID, "%s", err.text);
    if (found.answer)
        return VERDICT_DONE;
    if (case_outcome(&found, said(job), &negative, &err) != 0)
        return job_dead(job, DEATH_INVALID, "%s", err.text);
    return VERDICT_CALL;
}

static enum provider_operation operation_of(enum slot_kind intent)
{
    switch (intent) {
    case SLOT_CAPTURE:
        return PROVIDER_CAPTURE;
    case SLOT_VOID:
        return PROVIDER_VOID;
    case SLOT_REFUND:
        return PROVIDER_REFUND;
    default:
        return PROVIDER_AUTHORIZE;
    }
}

/* A void is its own question, for as long as its key is good. */
enum verdict attest_ask(struct job *job)
{
    struct payment_case found;
    struct err err = {0};
    if (find(job, &found, &err) != 0)
        return job_dead(job, DEATH_INVALID, "%s", err.text);
    if (found.answer)
        return VERDICT_DONE;
    bool refund = found.intent.kind == SLOT_REFUND;
    int64_t amount = refund ? job->payment.refunds[found.intent.n].amount : job->payment.amount;
    bool ask = found.intent.kind != SLOT_VOID || is_spent(found.doubt);
    enum verdict verdict =
        start_provider_call(job, operation_of(found.intent.kind), found.name, found.authorization, amount, ask);
    if (refund)
        job->target = found.intent.n;
    job->question = found.doubts;
    return verdict;
}

/* The intent is no longer sent, and what was sent has arrived or never will (L6). */
static bool is_quiet(const struct job *job, const struct payment_case *found)
{
    return found->body && may_conclude_absent(job, found->body, found->doubt);
}

/* An answer from which the slot's own step would write the result. */
static bool is_definite(const struct job *job, const struct payment_case *found)
{
    enum slot_kind kind = found->intent.kind;
    switch (job->answer.outcome) {
    case PROVIDER_DONE:
        return true;
    case PROVIDER_REFUSED:
        return kind != SLOT_VOID;
    case PROVIDER_EXPIRED:
        return kind != SLOT_REFUND;
    case PROVIDER_ACTION: /* the customer may still answer: nobody can know better */
        return kind == SLOT_AUTH;
    case PROVIDER_ABSENT:
        if (kind == SLOT_VOID)
            return !job->ask;
        return kind != SLOT_REFUND && is_quiet(job, found);
    case PROVIDER_UNKNOWN:
        return false;
    }
    return false;
}

/* The provider has no record of what the person says was done. For good or not yet: the questions will tell. Of a refund they never do (L6). */
static bool is_contradicted(const struct job *job, const struct payment_case *found)
{
    return job->answer.outcome == PROVIDER_ABSENT && found->intent.kind != SLOT_REFUND;
}

static const struct {
    const char *said;
    enum provider_outcome outcome;
} words[] = {
    {"approved", PROVIDER_DONE},     {"captured", PROVIDER_DONE},    {"voided", PROVIDER_DONE},
    {"refunded", PROVIDER_DONE},     {"declined", PROVIDER_REFUSED}, {"refused", PROVIDER_REFUSED},
    {"cancelled", PROVIDER_EXPIRED}, {"expired", PROVIDER_EXPIRED},  {"absent", PROVIDER_ABSENT},
    {"nothing", PROVIDER_ABSENT},
};

static enum provider_outcome outcome_said(const struct job *job)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].said, said(job)) == 0)
            return words[i].outcome;
    return PROVIDER_UNKNOWN;
}

static json_t *attested(const struct job *job)
{
    static const char *const members[] = {"reason", "actor", "evidence", "evidenceSha256", "evidenceName"};
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_t *value = json_object_get(job->command.body, members[i]);
        if (value)
            json_object_set(object, members[i], value);
    }
    return object;
}

/* The provider's answer makes way; what it was stands beside the word. */
static void put_word(struct job *job, const struct payment_case *found)
{
    struct provider_answer *answer = &job->answer;
    json_t *asked = json_pack("{s:s, s:s}", "code", answer->code, "message", answer->message);
    if (answer->evidence)
        json_object_set(asked, "evidence", answer->evidence);
    forget_answer(job);
    answer->outcome = outcome_said(job);
    snprintf(answer->code, sizeof answer->code, "attested");
    snprintf(answer->message, sizeof answer->message, "established by a person");
    snprintf(answer->reference, sizeof answer->reference, "%s", json_text(job->command.body, "reference", ""));
    answer->evidence = json_pack("{s:o, s:o}", "attested", attested(job), "asked", asked);
    if (found->intent.kind == SLOT_VOID)
        job->ask = false; /* `nothing` is what a person found, not what a question left open */
}

bool attest_is_word(const struct job *job)
{
    return json_object_get(job->answer.evidence, "attested");
}

static void sign(struct job *job, const struct payment_case *found)
{
    for (size_t i = 0; i < job->new_fact_count; i++) {
        struct new_fact *fact = &job->new_facts[i];
        if (strcmp(fact->slot, found->result) == 0)
            snprintf(fact->actor, sizeof fact->actor, "%s", json_text(job->command.body, "actor", ""));
    }
}

enum verdict attest_settle(struct job *job, enum verdict (*settle)(struct job *))
{
    struct payment_case found;
    struct err err = {0};
    bool negative;
    if (find(job, &found, &err) != 0 || case_outcome(&found, said(job), &negative, &err) != 0)
        return job_dead(job, DEATH_INVALID, "%s", err.text);
    if (is_definite(job, &found))
        return settle(job);
    if (negative && !is_quiet(job, &found))
        return job_dead(job, DEATH_INVALID,
                        "as: %s may still be sent, or be on its way; nobody can know yet that it was not done",
                        found.name);
    if (!negative && is_contradicted(job, &found))
        return job_dead(job, DEATH_INVALID, "as: the provider has just said that it knows nothing of %s", found.name);
    put_word(job, &found);
    enum verdict verdict = settle(job);
    sign(job, &found);
    return verdict;
}
