/* job.c - one delivery on its way: its life, and what a step may add to it (publish.c says what it publishes) */
#include "workers/job.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"

const char *death_text(enum death death)
{
    switch (death) {
#define X(id, text)                                                                                                    \
    case DEATH_##id:                                                                                                   \
        return text;
        DEATHS(X)
#undef X
    }
    return "broken";
}

struct job *job_new(struct worker *worker, struct surroundings *around, struct delivery *delivery)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        log_panic("out of memory for a delivery");
    job->worker = worker;
    job->around = around;
    job->delivery = delivery;
    job->redelivered = delivery->redelivered;
    job->started_ms = clock_monotonic_ms();
    return job;
}

static void clear_additions(struct job *job)
{
    for (size_t i = 0; i < job->new_fact_count; i++)
        json_decref(job->new_facts[i].body);
    job->new_fact_count = 0;
    job->new_transfer_count = 0;
    job->has_command = false;
    if (job->has_personal)
        json_decref(job->new_personal.data);
    job->has_personal = false;
    if (job->has_dead_letter) {
        json_decref(job->new_dead_letter.properties);
        json_decref(job->new_dead_letter.history);
    }
    job->has_dead_letter = false;
}

static void clear_answers(struct job *job)
{
    json_decref(job->answer.evidence);
    json_decref(job->answer.action);
    json_decref(job->pop.votes);
    json_decref(job->pop.answers);
    json_decref(job->tokens.evidence);
    json_decref(job->webhook.evidence);
    memset(&job->answer, 0, sizeof job->answer);
    memset(&job->pop, 0, sizeof job->pop);
    memset(&job->tokens, 0, sizeof job->tokens);
    memset(&job->webhook, 0, sizeof job->webhook);
}

void job_forget(struct job *job)
{
    if (job->call && job->call_cancel)
        job->call_cancel(job->call);
    job->call = NULL;
    job->results = false;
    job->cancelling = false;
    job->observed[0] = '\0';
    clear_additions(job);
    clear_answers(job);
}

static void clear_facts(struct job *job)
{
    if (job->folded)
        payment_clear(&job->payment);
    job->folded = false;
    facts_clear(&job->facts);
}

void job_free(struct job *job)
{
    if (!job)
        return;
    job_forget(job);
    clear_facts(job);
    command_clear(&job->command);
    delivery_free(job->delivery);
    free(job->own);
    free(job);
}

int job_facts(struct job *job, struct facts *facts, struct err *err)
{
    clear_facts(job);
    job->facts = *facts;
    memset(facts, 0, sizeof *facts);
    job->facts.payment_id = job->command.payment_id;
    job->folded = true;
    return saga_fold(&job->facts, &job->payment, err);
}

bool job_caused(const struct job *job, const struct fact *fact)
{
    return fact && uuid_equal(fact->cause, job->command.id);
}

/* What is added by a step. */

struct new_fact *job_fact(struct job *job, const char *slot, const char *with, const char *outcome, json_t *body)
{
    if (job->new_fact_count == JOB_FACTS_MAX)
        log_panic("step %s adds more than %d facts", job->step->command, JOB_FACTS_MAX);
    struct new_fact *fact = &job->new_facts[job->new_fact_count++];
    memset(fact, 0, sizeof *fact);
    fact->payment_id = job->command.payment_id;
    snprintf(fact->slot, sizeof fact->slot, "%s", slot);
    snprintf(fact->with, sizeof fact->with, "%s", with ? with : "");
    snprintf(fact->outcome, sizeof fact->outcome, "%s", outcome);
    fact->cause = job->command.id;
    if (job->command.type && job->command.type->is_public)
        snprintf(fact->actor, sizeof fact->actor, "%s", job->command.publisher);
    else
        snprintf(fact->actor, sizeof fact->actor, "%s", job->around->user);
    fact->body = body;
    return fact;
}

struct new_fact *job_fact_f(struct job *job, const char *with, const char *outcome, json_t *body,
                            const char *slot_format, ...)
{
    char slot[SLOT_SIZE];
    va_list args;
    va_start(args, slot_format);
    vsnprintf(slot, sizeof slot, slot_format, args);
    va_end(args);
    return job_fact(job, slot, with, outcome, body);
}

void job_guard(struct job *job, struct new_fact *fact)
{
    const struct command *command = &job->command;
    fact->command = command->id;
    memcpy(fact->command_sha256, command->sha256, sizeof fact->command_sha256);
    struct new_command *row = &job->new_command;
    row->id = command->id;
    row->payment_id = command->payment_id;
    snprintf(row->publisher, sizeof row->publisher, "%s", command->publisher);
    snprintf(row->message_id, sizeof row->message_id, "%s", command->message_id);
    snprintf(row->type, sizeof row->type, "%s", command->type->name);
    memcpy(row->sha256, command->sha256, sizeof row->sha256);
    job->has_command = true;
}

enum verdict job_books(struct job *job, const struct new_transfer *transfers, int count, const struct err *err)
{
    if (count < 0) {
        clear_additions(job);
        return job_dead(job, DEATH_BROKEN, "cannot be booked: %s", err->text);
    }
    for (int i = 0; i < count; i++) {
        if (job->new_transfer_count == JOB_TRANSFERS_MAX)
            log_panic("step %s adds more than %d transfers", job->step->command, JOB_TRANSFERS_MAX);
        job->new_transfers[job->new_transfer_count++] = transfers[i];
    }
    return VERDICT_DONE;
}

void job_committed(struct job *job)
{
    clear_additions(job);
}

/* A reason goes into JSON: never cut inside a character. */
static void set_reason(struct job *job, const char *fmt, va_list args)
{
    char text[2 * ERR_TEXT_MAX];
    vsnprintf(text, sizeof text, fmt, args);
    bool escaped = false;
    char *clean = message_text(text, strlen(text), &escaped);
    message_text_cut(clean, job->reason, sizeof job->reason);
    free(clean);
}

enum verdict job_retry(struct job *job, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_reason(job, fmt, args);
    va_end(args);
    return VERDICT_RETRY;
}

enum verdict job_later(struct job *job, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_reason(job, fmt, args);
    va_end(args);
    return VERDICT_LATER;
}

enum verdict job_dead(struct job *job, enum death death, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_reason(job, fmt, args);
    va_end(args);
    job->death = death;
    return VERDICT_DEAD;
}

void job_answered(struct job *job)
{
    job->call = NULL;
    job->stage = JOB_SETTLE;
    worker_wake(job->worker);
}
