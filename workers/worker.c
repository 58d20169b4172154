/* worker.c - the skeleton: deliveries in, facts committed, commands out, acknowledged last
 *
 * One single-threaded loop. A job is at one stage at a time:
 *
 *     LOAD -> (plan) -> COMMIT -> (look, publish) -> (call) -> WAITING -> SETTLE -> COMMIT -> (look, publish) -> FINISH -> acknowledged
 *
 * A turn takes all jobs of a stage together, at most `worker.batch` and one per payment, so that a batch costs one transaction. Jobs
 * whose calls are slow wait alone; nobody waits for them. Whatever goes wrong, a delivery is either acknowledged after its facts
 * are committed and its follow-ups confirmed (L1), or it stays with the broker and comes again.
 *
 * Failures: ledger away -> jobs back off, no further deliveries are taken; a ledger that the guard refuses -> the program ends; COMMIT unknown -> the job starts again from the facts, as a
 * redelivery would; broker away -> deliveries come again by themselves; a step that contradicts the protocol -> dead letter.
 */
#include "workers/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/mutant.h"
#include "workers/guard.h"
#include "workers/job.h"
#include "workers/policy.h"
#include "workers/program.h"

enum {
    BACK_OFF_BASE_MS = 100,
    BACK_OFF_CAP_MS = 5000,
    PASSES_MAX = 64, /* passes over the stages in one turn, so that signals and sockets get their turn, too */
    DRAIN_STEP_MS = 20,
    REFUSALS_MAX = 3, /* of one job by the ledger, before the ledger is taken to be away */
};

struct worker {
    const struct worker_type *type;
    struct surroundings *around;
    struct consumer *consumer;
    struct store *store;
    struct guard guard;       /* of the store */
    struct loop_source *turn; /* fires when jobs are ready */
    struct loop_source *drain;
    struct job *jobs; /* all of them, oldest first */
    struct job *last;
    size_t job_count;
    size_t batch;
    int64_t batch_wait_ms;
    bool turn_due;
    bool ledger_away;
    int64_t ledger_retry_ms; /* monotonic */
    int ledger_failures;
    bool draining;
    int64_t drain_until_ms;
    void (*drained)(void *arg, size_t left);
    void *drained_arg;
    int64_t last_turn_ms;
};

/* --- the list of jobs --- */

static void link_job(struct worker *worker, struct job *job)
{
    job->previous = worker->last;
    if (worker->last)
        worker->last->next = job;
    else
        worker->jobs = job;
    worker->last = job;
    worker->job_count++;
}

static void unlink_job(struct worker *worker, struct job *job)
{
    if (job->previous)
        job->previous->next = job->next;
    else
        worker->jobs = job->next;
    if (job->next)
        job->next->previous = job->previous;
    else
        worker->last = job->previous;
    worker->job_count--;
}

/* Is the same command at work here already? Its duplicate waits: it would only repeat the same calls. */
static bool at_work(const struct worker *worker, const struct job *job)
{
    for (const struct job *other = worker->jobs; other; other = other->next)
        if (other != job && other->stage != JOB_LOAD && other->stage != JOB_BACK_OFF &&
            uuid_equal(other->command.id, job->command.id))
            return true;
    return false;
}

/* Jobs at a stage, at most one batch of them and at most one per payment; the rest waits for the next pass. */
static size_t gather(struct worker *worker, enum job_stage stage, struct job **ret)
{
    size_t count = 0;
    for (struct job *job = worker->jobs; job && count < worker->batch; job = job->next) {
        bool wait = job->stage != stage;
        for (size_t i = 0; i < count && !wait; i++)
            wait = uuid_equal(ret[i]->command.payment_id, job->command.payment_id);
        if (!wait && stage == JOB_LOAD)
            wait = at_work(worker, job);
        if (!wait)
            ret[count++] = job;
    }
    return count;
}

void worker_wake(struct worker *worker)
{
    if (worker->turn_due)
        return;
    worker->turn_due = true;
    loop_timer_set(worker->turn, 0);
}

/* --- the end of a job --- */

static void log_finished(const struct job *job, const char *result)
{
    char payment[UUID_TEXT_SIZE];
    uuid_format(job->command.payment_id, payment);
    int64_t took = clock_monotonic_ms() - job->started_ms;
    log_info("%s payment=%s attempt=%d state=%s ms=%lld result=%s%s%s", job->step->command, payment,
             job->command.attempt, job->folded ? saga_state_text(job->payment.state) : "-", (long long)took, result,
             job->reason[0] ? " reason=" : "", job->reason);
    char labels[128];
    snprintf(labels, sizeof labels, "type=\"%s\",result=\"%s\"", job->step->command, result);
    metric_add("acquit_steps_total", labels, 1);
    snprintf(labels, sizeof labels, "type=\"%s\"", job->step->command);
    metric_observe_ms("acquit_step_seconds", labels, took);
}

static const char *result_text(const struct job *job)
{
    switch (job->then) {
    case VERDICT_RETRY:
        return "retry";
    case VERDICT_LATER:
        return "later";
    case VERDICT_DEAD:
        return "dead";
    case VERDICT_DONE:
    case VERDICT_CALL:
    case VERDICT_WAIT:
    case VERDICT_AGAIN:
        break;
    }
    return "done";
}

static void back_off(struct job *job)
{
    job->stage = JOB_BACK_OFF;
    job->not_before_ms = clock_monotonic_ms() + policy_back_off(BACK_OFF_BASE_MS, BACK_OFF_CAP_MS, job->back_offs++);
}

/* Every message confirmed: the delivery is no longer needed (L1). If one was not, everything is looked at and said again. */
static bool finish(struct worker *worker, struct job *job)
{
    if (job->unconfirmed > 0)
        return false;
    if (job->publish_failed && !MUTANT(ACK_UNPUBLISHED)) { /* L1 */
        job->publish_failed = false;
        job->sent_count = 0;
        job_forget(job);
        back_off(job);
        return true;
    }
    fault_pass(FAULT_BEFORE_ACK);
    consumer_ack(worker->consumer, job->delivery);
    log_finished(job, result_text(job));
    unlink_job(worker, job);
    job_free(job);
    return true;
}

/* --- verdicts --- */

static void proceed(struct job *job, enum verdict verdict);
static void act(struct job *job, enum verdict verdict);

static void run_call(struct job *job)
{
    fault_pass(FAULT_BEFORE_CALL);
    job->stage = JOB_WAITING; /* before the call: its answer may be there at once and moves the job on */
    proceed(job, job->step->call ? job->step->call(job) : VERDICT_DONE);
}

static void retry_or_die(struct job *job)
{
    int64_t delay_ms = 0;
    bool unknown_payment = job->death == DEATH_UNKNOWN_PAYMENT;
    if (policy_retry(job->around->config, &job->command, unknown_payment, clock_wall_ms(), &delay_ms)) {
        job_publish_retry(job, delay_ms, true);
        return;
    }
    if (!unknown_payment)
        job->death = DEATH_EXHAUSTED;
    job->then = VERDICT_DEAD;
    job_publish_dead(job);
}

/* What the verdict asks for, once the facts that came with it are committed and looked at. */
static void act(struct job *job, enum verdict verdict)
{
    job->then = verdict;
    switch (verdict) {
    case VERDICT_CALL:
        run_call(job);
        return;
    case VERDICT_WAIT:
        return; /* WAITING already, or answered */
    case VERDICT_AGAIN:
        if (++job->rounds > JOB_ROUNDS_MAX) {
            job_dead(job, DEATH_BROKEN, "planned %d times without an end", JOB_ROUNDS_MAX);
            act(job, VERDICT_DEAD);
            return;
        }
        job_forget(job);
        job->stage = JOB_LOAD;
        return;
    case VERDICT_RETRY:
        retry_or_die(job);
        break;
    case VERDICT_LATER:
        job_publish_retry(job, policy_question_delay(job->around->config, (int)json_array_size(job->command.history)),
                          false);
        break;
    case VERDICT_DEAD:
        job_publish_dead(job);
        break;
    case VERDICT_DONE:
        break;
    }
    job->stage = JOB_FINISH;
}

static void proceed(struct job *job, enum verdict verdict)
{
    if (job->new_fact_count == 0 && !job->has_command) {
        act(job, verdict);
        return;
    }
    job->then = verdict;
    job->stage = JOB_COMMIT;
}

/* --- LOAD: facts, plan --- */

static bool ledger_failed(struct worker *worker, const struct err *err)
{
    if (!worker->ledger_away) {
        log_warn("ledger is away, no further deliveries are taken: %s", err->text);
        consumer_pause(worker->consumer);
    }
    worker->ledger_away = true;
    worker->ledger_retry_ms =
        clock_monotonic_ms() + policy_back_off(BACK_OFF_BASE_MS, BACK_OFF_CAP_MS, worker->ledger_failures++);
    return false;
}

static void ledger_answered(struct worker *worker)
{
    if (worker->ledger_away && !worker->draining) {
        log_info("ledger is back");
        consumer_resume(worker->consumer);
    }
    worker->ledger_away = false;
    worker->ledger_failures = 0;
}

static bool is_broken(const struct job *job)
{
    return (job->death == DEATH_BROKEN || job->death == DEATH_ARCHIVED) && job->reason[0];
}

/* Loads the facts of these jobs in one new snapshot and folds them. A job whose facts contradict the protocol goes to the dead letters. */
static bool load(struct worker *worker, struct job **jobs, size_t count)
{
    struct uuid *ids = calloc(count, sizeof *ids);
    struct facts *facts = calloc(count, sizeof *facts);
    if (!ids || !facts)
        log_panic("out of memory for %zu payments", count);
    struct err err = {0};
    for (size_t i = 0; i < count; i++)
        ids[i] = jobs[i]->command.payment_id;
    bool ok = store_load(worker->store, ids, count, facts, &err) == 0;
    bool away = !ok && (err.code == ERR_AGAIN || err.code == ERR_UNKNOWN);
    if (ok)
        ledger_answered(worker);
    else if (away)
        ledger_failed(worker, &err);
    else if (count == 1) { /* this payment cannot be read: a person's case, not a reason to stop */
        job_dead(jobs[0], DEATH_BROKEN, "its facts cannot be read: %s", err.text);
        ok = true;
    }
    for (size_t i = 0; ok && i < count; i++) {
        struct err wrong = {0};
        if (!is_broken(jobs[i]) && job_facts(jobs[i], &facts[i], &wrong) != 0)
            job_dead(jobs[i], DEATH_BROKEN, "%s", wrong.text);
        else if (jobs[i]->facts.archived)
            job_dead(jobs[i], DEATH_ARCHIVED,
                     "its payment is archived: restore the partition first (`acquit ledger restore`)");
    }
    for (size_t i = 0; i < count; i++)
        facts_clear(&facts[i]);
    free(ids);
    free(facts);
    if (ok || away)
        return ok;
    for (size_t i = 0; i < count; i++) /* one of them spoils the rest: each for itself */
        if (!load(worker, &jobs[i], 1))
            return false;
    return true;
}

static void plan(struct job *job)
{
    if (is_broken(job) || !job->step->plan) { /* unreadable: its death and the reason stand */
        act(job, VERDICT_DEAD);
        return;
    }
    job->death = DEATH_EXHAUSTED; /* unless this plan says otherwise */
    enum verdict verdict = job->step->plan(job);
    bool acted = !(verdict == VERDICT_DEAD && job->death == DEATH_CONFLICT); /* L10: a conflict has no effect at all */
    if (job->new_fact_count == 0 && acted)
        job_publish_next(job); /* L4: the facts were looked at just now, in a snapshot newer than any commit of ours */
    proceed(job, verdict);
}

static bool run_loads(struct worker *worker, struct job **jobs)
{
    size_t count = gather(worker, JOB_LOAD, jobs);
    if (count == 0 || !load(worker, jobs, count))
        return false;
    for (size_t i = 0; i < count; i++)
        plan(jobs[i]);
    return true;
}

/* --- COMMIT: one append for the batch, then the look --- */

static void collect(struct job **jobs, size_t count, struct append *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->facts = calloc(count * JOB_FACTS_MAX, sizeof *ret->facts);
    ret->transfers = calloc(count * JOB_TRANSFERS_MAX, sizeof *ret->transfers);
    ret->commands = calloc(count, sizeof *ret->commands);
    ret->personal = calloc(count, sizeof *ret->personal);
    ret->dead_letters = calloc(count, sizeof *ret->dead_letters);
    if (!ret->facts || !ret->transfers || !ret->commands || !ret->personal || !ret->dead_letters)
        log_panic("out of memory for a batch of %zu", count);
    for (size_t i = 0; i < count; i++) {
        const struct job *job = jobs[i];
        memcpy(ret->facts + ret->fact_count, job->new_facts, job->new_fact_count * sizeof *ret->facts);
        ret->fact_count += job->new_fact_count;
        memcpy(ret->transfers + ret->transfer_count, job->new_transfers,
               job->new_transfer_count * sizeof *ret->transfers);
        ret->transfer_count += job->new_transfer_count;
        if (job->has_command)
            ret->commands[ret->command_count++] = job->new_command;
        if (job->has_personal)
            ret->personal[ret->personal_count++] = job->new_personal;
        if (job->has_dead_letter)
            ret->dead_letters[ret->dead_letter_count++] = job->new_dead_letter;
    }
}

static void append_free(struct append *append)
{
    free(append->facts);
    free(append->transfers);
    free(append->commands);
    free(append->personal);
    free(append->dead_letters);
}

static int append_jobs(struct worker *worker, struct job **jobs, size_t count, struct err *err)
{
    struct append append;
    collect(jobs, count, &append);
    int rc = store_append(worker->store, &append, err);
    size_t first = 0;
    for (size_t i = 0; i < count; i++) {
        jobs[i]->won = jobs[i]->new_fact_count > 0 && append.facts[first].won;
        first += jobs[i]->new_fact_count;
    }
    append_free(&append);
    return rc;
}

/* The outcome of the COMMIT is not known, or nothing of it was done: the job begins again from the facts, as a redelivery would. */
static void start_again(struct job *job)
{
    job_forget(job);
    job->stage = JOB_LOAD;
}

/* One job that the ledger refused by itself. */
static void refused_alone(struct worker *worker, struct job *job, const struct err *err)
{
    switch (err->code) {
    case ERR_AGAIN:
        if (job->back_offs >= REFUSALS_MAX) {
            ledger_failed(worker, err);
            break; /* stays at COMMIT */
        }
        job_forget(job); /* a deadlock, or the fence: this one's own */
        back_off(job);
        break;
    case ERR_UNKNOWN:
        if (MUTANT(UNKNOWN_COMMIT_IS_DONE)) {
            job_committed(job);
            act(job, job->then);
            return;
        }
        log_warn("%s: commit unknown, looking again: %s", job->step->command, err->text);
        start_again(job);
        break;
    default:
        job_forget(job);
        job_dead(job, DEATH_BROKEN, "the ledger refuses: %s", err->text);
        act(job, VERDICT_DEAD);
    }
}

/* After the look: a result is compared with what stands there (L6, L10) before the step goes on. */
static void after_look(struct job *job)
{
    bool results = job->results;
    job->results = false;
    job_committed(job);
    if (results && job->step->check) {
        enum verdict verdict = job->step->check(job);
        if (job->new_fact_count > 0 || verdict != VERDICT_DONE) {
            proceed(job, verdict);
            return;
        }
    }
    act(job, job->then);
}

/* The look at these jobs' facts after their commit, what follows from it, and what the step wants next. */
static void after_commit(struct worker *worker, struct job **jobs, size_t count)
{
    bool results = false;
    for (size_t i = 0; i < count; i++)
        results = results || jobs[i]->results;
    fault_pass(results ? FAULT_AFTER_RESULTS : FAULT_AFTER_INTENTS);
    if (!MUTANT(NO_LOOK) && !load(worker, jobs, count)) { /* L4 */
        for (size_t i = 0; i < count; i++)
            start_again(jobs[i]); /* what was committed is found again */
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct job *job = jobs[i];
        if (is_broken(job)) {
            job_forget(job);
            act(job, VERDICT_DEAD);
            continue;
        }
        job_publish_next(job);
        after_look(job);
    }
    fault_pass(FAULT_AFTER_PUBLISH);
}

static bool run_commits(struct worker *worker, struct job **jobs)
{
    size_t count = gather(worker, JOB_COMMIT, jobs);
    if (count == 0)
        return false;
    struct err err = {0};
    if (append_jobs(worker, jobs, count, &err) == 0) {
        after_commit(worker, jobs, count);
        return true;
    }
    bool moved = false;
    for (size_t i = 0; i < count; i++) {
        struct err alone = {0};
        if (count == 1)
            alone = err;
        if (count > 1 && append_jobs(worker, &jobs[i], 1, &alone) == 0)
            after_commit(worker, &jobs[i], 1);
        else
            refused_alone(worker, jobs[i], &alone);
        if (worker->ledger_away)
            return moved;
        moved = true;
    }
    return moved;
}

/* --- SETTLE --- */

static bool run_settles(struct job **jobs, struct worker *worker)
{
    size_t count = gather(worker, JOB_SETTLE, jobs);
    if (count > 0)
        fault_pass(FAULT_AFTER_ANSWER);
    for (size_t i = 0; i < count; i++) {
        jobs[i]->results = true;
        jobs[i]->stage = JOB_WAITING;
        proceed(jobs[i], jobs[i]->step->settle(jobs[i]));
    }
    return count > 0;
}

static bool run_finishes(struct worker *worker)
{
    bool moved = false;
    for (struct job *job = worker->jobs, *next; job; job = next) {
        next = job->next;
        if (job->stage == JOB_FINISH)
            moved = finish(worker, job) || moved;
    }
    return moved;
}

/* Jobs whose pause is over start again; answers when the next one's is. */
static int64_t run_back_offs(struct worker *worker, int64_t now)
{
    int64_t soonest = INT64_MAX;
    for (struct job *job = worker->jobs; job; job = job->next) {
        if (job->stage != JOB_BACK_OFF)
            continue;
        if (job->not_before_ms <= now) {
            job->stage = JOB_LOAD;
            soonest = now;
        } else if (job->not_before_ms < soonest)
            soonest = job->not_before_ms;
    }
    return soonest;
}

static void pass_over_stages(struct worker *worker)
{
    struct job *jobs[STORE_PAYMENTS_MAX];
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        bool moved = run_settles(jobs, worker);
        if (!worker->ledger_away || worker->ledger_retry_ms <= clock_monotonic_ms()) {
            moved = run_commits(worker, jobs) || moved;
            moved = run_loads(worker, jobs) || moved;
        }
        if (!moved)
            return;
    }
    worker_wake(worker);
}

static bool run_all_finishes(struct worker *worker)
{
    bool any = false;
    while (run_finishes(worker))
        any = true;
    return any;
}

/* When the next turn is due without anything happening from outside. */
static void sleep_until(struct worker *worker, int64_t when_ms)
{
    if (worker->ledger_away && worker->ledger_retry_ms < when_ms)
        when_ms = worker->ledger_retry_ms;
    if (worker->turn_due || when_ms == INT64_MAX)
        return;
    int64_t now = clock_monotonic_ms();
    loop_timer_set(worker->turn, when_ms > now ? when_ms - now : 0);
}

static void turn(void *arg)
{
    struct worker *worker = arg;
    worker->turn_due = false;
    worker->last_turn_ms = clock_monotonic_ms();
    run_back_offs(worker, worker->last_turn_ms);
    do
        pass_over_stages(worker);
    while (run_all_finishes(worker));
    metric_set("acquit_jobs", NULL, (int64_t)worker->job_count);
    sleep_until(worker, run_back_offs(worker, worker->last_turn_ms));
}

/* --- deliveries --- */

static const struct step *find_step(const struct worker_type *type, const char *command)
{
    for (const struct step *step = type->steps; step->command; step++)
        if (strcmp(step->command, command) == 0)
            return step;
    return NULL;
}

static const struct step unreadable = {.command = "unreadable"};

/* Finds what the delivery is and which step does it; `unreadable`, with the reason, when nothing can be done with it. */
static const struct step *understand(struct worker *worker, struct job *job)
{
    struct err err = {0};
    const struct step *step = worker->type->adopt ? worker->type->adopt(job) : NULL;
    if (step)
        return step;
    bool require_user = config_bool(worker->around->config, "broker.require_user");
    bool readable =
        command_decode(job->delivery, worker->around->internal_users, require_user, &job->command, &err) == 0;
    const char *reply_to = job->delivery->message.reply_to;
    if (readable && reply_to && !reply_allowed(reply_to, job->command.publisher))
        err_set(&err, ERR_INVALID, "reply_to: only a direct reply-to or a queue app.%s.* is answered",
                job->command.publisher);
    else if (readable) {
        step = find_step(worker->type, job->command.type->name);
        if (step)
            return step;
        err_set(&err, ERR_INVALID, "%s is no command of the worker %s", job->command.type->name, worker->type->name);
    }
    job_dead(job, DEATH_INVALID, "%s", err.text);
    return &unreadable;
}

static void schedule(struct worker *worker)
{
    if (worker->turn_due)
        return;
    worker->turn_due = true;
    loop_timer_set(worker->turn, worker->job_count >= worker->batch ? 0 : worker->batch_wait_ms);
}

static void on_delivery(void *arg, struct delivery *delivery)
{
    struct worker *worker = arg;
    struct job *job = job_new(worker, worker->around, delivery);
    fault_pass(FAULT_AFTER_DELIVERY);
    if (MUTANT(ACK_FIRST))
        consumer_ack(worker->consumer, job->delivery);
    job->step = understand(worker, job);
    link_job(worker, job);
    if (job->step == &unreadable)
        act(job, VERDICT_DEAD);
    else
        job->stage = JOB_LOAD;
    schedule(worker);
}

/* --- life --- */

static int open_connections(struct worker *worker, struct err *err)
{
    const struct config *config = worker->around->config;
    char name[64];
    snprintf(name, sizeof name, "acquit-worker %s", worker->type->name);
    struct db_options db = {.url = config_text(config, "ledger.url"),
                            .application = name,
                            .timeout_ms = config_int(config, "ledger.timeout_ms"),
                            .opened = guard_opened,
                            .arg = &worker->guard};
    worker->guard.loop = worker->around->loop;
    worker->store = store_new(&db, err);
    if (!worker->store || guard_connect(&worker->guard, store_db(worker->store), err) != 0)
        return -1;
    const char *const *queues = worker_queues(worker->type->name);
    size_t count = 0;
    while (queues[count])
        count++;
    struct broker_options broker = program_broker(config, name);
    worker->consumer = consumer_new(worker->around->loop, &broker, queues, count,
                                    (int)config_int(config, "worker.prefetch"), on_delivery, worker, err);
    return worker->consumer ? 0 : -1;
}

struct worker *worker_new(const struct worker_type *type, struct surroundings *around, struct err *err)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        log_panic("out of memory for a worker");
    worker->type = type;
    worker->around = around;
    worker->batch = (size_t)config_int(around->config, "worker.batch");
    worker->batch_wait_ms = config_int(around->config, "worker.batch_wait_ms");
    worker->last_turn_ms = clock_monotonic_ms();
    worker->turn = loop_timer(around->loop, -1, turn, worker);
    if (open_connections(worker, err) == 0)
        return worker;
    worker_free(worker);
    return NULL;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    loop_source_free(worker->turn);
    loop_source_free(worker->drain);
    while (worker->jobs) {
        struct job *job = worker->jobs;
        unlink_job(worker, job);
        job_free(job);
    }
    consumer_free(worker->consumer);
    store_free(worker->store);
    free(worker);
}

static void drain_step(void *arg)
{
    struct worker *worker = arg;
    if (worker->job_count == 0 || clock_monotonic_ms() >= worker->drain_until_ms) {
        worker->drained(worker->drained_arg, worker->job_count);
        return;
    }
    loop_timer_set(worker->drain, DRAIN_STEP_MS);
}

void worker_drain(struct worker *worker, void (*done)(void *arg, size_t left), void *arg)
{
    if (worker->draining)
        return;
    worker->draining = true;
    worker->drained = done;
    worker->drained_arg = arg;
    worker->drain_until_ms = clock_monotonic_ms() + config_int(worker->around->config, "worker.drain_ms");
    consumer_pause(worker->consumer);
    worker->drain = loop_timer(worker->around->loop, 0, drain_step, worker);
}

/* A turn that is due must come; a job may wait for the world as long as it likes, since its bounds are the calls' own deadlines. */
bool worker_healthy(void *arg)
{
    const struct worker *worker = arg;
    return !worker->turn_due || clock_monotonic_ms() - worker->last_turn_ms < 4 * LOOP_TURN_MAX_MS;
}
