/* verify_run.c - all rows, side by side: leaves, payments in shares, and the trial balance
 *
 * One thread each, with connections of its own that see one snapshot. They share nothing but what they tell (verify_fault(),
 * verify_progress()); what they add up is joined when they have ended.
 */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "ledger/verify_internal.h"

enum { PROGRESS_PAYMENTS = 4096 };

struct db *verify_connect(const struct verify *verify, struct err *err)
{
    struct db *db = db_new(verify->options->database, err);
    if (db)
        db_snapshot_use(db, verify->snapshot);
    return db;
}

int verify_note(struct verify *verify, const char *what, int r, const struct err *why, struct err *err)
{
    if (r == 0)
        return 0;
    bool ours = why->code == ERR_INTERNAL || why->code == ERR_INVALID || why->code == ERR_CONFLICT;
    if (ours && !db_snapshot_lost(verify->holder)) {
        verify_fault(verify, VERIFY_UNREADABLE, NOWHERE, "%s: %s", what, why->text);
        return 0;
    }
    return err_set(err, ours || why->code == ERR_UNKNOWN ? ERR_AGAIN : why->code, "%s: %s", what, why->text);
}

/* What one thread does. */
struct task {
    pthread_t thread;
    const char *what;
    struct verify *verify;
    int (*run)(struct task *task, struct err *err);
    int n, count; /* which share of the payments */
    int r;
    struct err err;
    struct sums *sums;
    struct balances *balances;
    struct db_result *trial;
    int64_t payments, transfers, unsealed, unprojected;
    struct err views_broken;
};

/* --- payments --- */

static void note_progress(struct task *task)
{
    struct verify *verify = task->verify;
    if (task->payments % PROGRESS_PAYMENTS != 0)
        return;
    pthread_mutex_lock(&verify->lock);
    int64_t done = verify->payments += PROGRESS_PAYMENTS;
    pthread_mutex_unlock(&verify->lock);
    verify_progress(verify, "payments", done);
}

/* Its history, its money, its projections. */
static int check_dossier(struct task *task, struct views *views, const struct dossier *dossier, struct err *err)
{
    struct verify *verify = task->verify;
    struct payment payment = {0};
    struct err why = {0};
    bool sound = !dossier->unreadable && saga_fold(&dossier->facts, &payment, &why) == 0;
    verify_payment(verify, dossier, sound ? &payment : NULL);
    if (!sound && !dossier->unreadable)
        verify_fault(verify, VERIFY_SAGA, (struct verify_place){.payment = dossier->id, .block = -1}, "%s", why.text);
    int r = dossier->unreadable ? 0 : views_compare(views, dossier, sound ? &payment : NULL, err);
    payment_clear(&payment);
    balances_add(task->balances, dossier);
    return r;
}

static void count_dossier(struct task *task, const struct dossier *dossier)
{
    task->transfers += (int64_t)dossier->transfer_count;
    task->payments += dossier->facts.count > 0 || dossier->transfer_count > 0;
    if (dossier->facts.count > 0 || dossier->transfer_count > 0)
        note_progress(task);
}

static int run_payments(struct task *task, struct err *err)
{
    const struct dossier *dossier;
    struct dossiers *dossiers = dossiers_new(task->verify, task->n, task->count, task->sums, err);
    struct views *views = dossiers ? views_new(task->verify, dossiers) : NULL;
    int r = dossiers ? 1 : -1;
    while (r == 1 && (r = dossiers_next(dossiers, &dossier, err)) == 1) {
        r = check_dossier(task, views, dossier, err) == 0 ? 1 : -1;
        count_dossier(task, dossier);
    }
    if (dossiers) {
        task->unsealed = dossiers_unsealed(dossiers);
        task->unprojected = views_unprojected(views);
        task->views_broken = *dossiers_views_broken(dossiers);
    }
    views_free(views);
    dossiers_free(dossiers);
    return r;
}

static int run_trial(struct task *task, struct err *err)
{
    struct db *db = task->verify->options->since < 0 ? verify_connect(task->verify, err) : NULL;
    if (task->verify->options->since >= 0)
        return 0;
    task->trial = db ? balances_trial(db, err) : NULL;
    db_free(db);
    return task->trial ? 0 : -1;
}

/* --- threads --- */

static void *run_task(void *arg)
{
    struct task *task = arg;
    task->r = task->run(task, &task->err);
    return NULL;
}

static void start(struct task *task)
{
    if (pthread_create(&task->thread, NULL, run_task, task) != 0)
        log_panic("no thread can be made");
}

/* --- what they found, together --- */

static int compare_sums(struct verify *verify, const struct sums *rows, const struct sums *leaves, struct err *err)
{
    for (size_t n = 0; n < verify->segments->count; n++)
        if (!sum_equal(&rows->items[n], &leaves->items[n]) && verify_rows(verify, n, err) != 0)
            return -1;
    return 0;
}

static void join(struct task *task, struct verify *verify, struct sums *sums, struct balances *balances)
{
    sums_join(sums, task->sums);
    balances_join(balances, task->balances);
    verify->result->payments += task->payments;
    verify->result->transfers += task->transfers;
    verify->result->unsealed += task->unsealed;
    verify->result->unprojected += task->unprojected;
}

static struct task task_new(struct verify *verify, const char *what, int (*run)(struct task *task, struct err *err))
{
    return (struct task){.verify = verify,
                         .what = what,
                         .run = run,
                         .sums = mem_new(1, sizeof(struct sums)),
                         .balances = balances_new()};
}

static void task_free(struct task *task)
{
    free(task->sums);
    balances_free(task->balances);
    db_result_free(task->trial);
}

/* What every thread has: 0 when all could do their part. A part that could not is told, or makes an error. */
static int note_all(struct verify *verify, struct task *tasks, int count, bool *ret_whole, struct err *err)
{
    int r = 0;
    *ret_whole = true;
    for (int i = 0; i < count; i++) {
        *ret_whole &= tasks[i].r == 0;
        if (verify_note(verify, tasks[i].what, tasks[i].r, &tasks[i].err, err) != 0)
            r = -1;
    }
    return r;
}

static int compare_all(struct verify *verify, struct task *shares, int count, const struct sums *leaves,
                       const struct db_result *trial, struct err *err)
{
    struct sums *sums = mem_new(1, sizeof *sums);
    struct balances *balances = balances_new();
    for (int i = 0; i < count; i++)
        join(&shares[i], verify, sums, balances);
    int r = compare_sums(verify, sums, leaves, err);
    if (r == 0 && trial)
        r = balances_add_archived(verify, balances, err);
    if (r == 0 && trial)
        r = balances_compare(verify, balances, trial, err);
    balances_free(balances);
    free(sums);
    return r;
}

int verify_all_rows(struct verify *verify, struct outside_heads *heads, struct err *err)
{
    enum { TREE, TRIAL, SHARES };
    int count = verify->options->jobs + SHARES;
    struct task tasks[VERIFY_JOBS_MAX + SHARES];
    bool whole;
    tasks[TREE] = task_new(verify, "the tree", NULL);
    tasks[TRIAL] = task_new(verify, "the trial balance", run_trial);
    for (int i = SHARES; i < count; i++) {
        tasks[i] = task_new(verify, "the payments", run_payments);
        tasks[i].n = i - SHARES;
        tasks[i].count = count - SHARES;
    }
    for (int i = TRIAL; i < count; i++)
        start(&tasks[i]);
    tasks[TREE].r = verify_tree(verify, heads, tasks[TREE].sums, &tasks[TREE].err);
    for (int i = TRIAL; i < count; i++)
        pthread_join(tasks[i].thread, NULL);
    int r = note_all(verify, tasks, count, &whole, err);
    if (r == 0) /* one share tells for all */
        r = verify_note(verify, "the projections", tasks[SHARES].views_broken.code == ERR_NONE ? 0 : -1,
                        &tasks[SHARES].views_broken, err);
    if (r == 0 && whole) {
        struct err why = {0};
        r = compare_all(verify, tasks + SHARES, count - SHARES, tasks[TREE].sums, tasks[TRIAL].trial, &why);
        r = verify_note(verify, "the rows", r, &why, err);
    }
    for (int i = 0; i < count; i++)
        task_free(&tasks[i]);
    return r;
}
