/* refund.c - the worker that gives money back
 *
 * `refund:N` is the plan and the answer to its command: accepted or refused, with the running total. Racing refunds race for the same N;
 * who loses plans again with the winner's fact in sight, so that more than the capture can never be accepted (L2). A refund in doubt is
 * never concluded absent (L6).
 */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/money.h"
#include "common/mutant.h"
#include "ledger/book.h"
#include "workers/attest.h"
#include "workers/policy.h"
#include "workers/steps.h"

static int own_refund(const struct job *job)
{
    if (MUTANT(REFUND_AGAIN)) /* L2 */
        return 0;
    for (int n = 1; n <= job->payment.refund_count; n++)
        if (job_caused(job, job->payment.refunds[n].intent))
            return n;
    return 0;
}

static bool is_open(const struct refund *refund)
{
    return refund->accepted && !refund->result && refund->doubts == 0;
}

/* Why this amount cannot be refunded; NULL when it can, with its share of the commission. */
static const char *refusal(const struct payment *payment, int64_t amount, struct refund_share *ret)
{
    struct err err = {0};
    if (payment->state != SAGA_COMPLETED)
        return "not_completed";
    return book_refund_share(payment, amount, ret, &err) == 0 ? NULL : "exceeds_capture";
}

static json_t *refund_body(const struct job *job, const char *provider, const char *slot, int64_t amount,
                           const struct refund_share *share, const char *refused)
{
    const struct provider *found = step_provider(job, provider);
    json_t *body = intent_body(job, provider, slot, found ? repeat_window_ms(found) : 0);
    json_object_set_new(body, "amount", json_integer(amount));
    json_object_set_new(body, "total", json_integer(share->total));
    json_object_set_new(body, "commission", json_integer(share->commission));
    json_object_set_new(body, "sha256", json_string(job->command.sha256));
    note_reply(job, body);
    const char *reason = json_text(job->command.body, "reason", NULL);
    if (reason)
        json_object_set_new(body, "reason", json_string(reason));
    if (refused)
        json_object_set_new(body, "code", json_string(refused));
    return body;
}

static struct new_fact *add_refund(struct job *job, int64_t amount, const struct refund_share *share,
                                   const char *refused)
{
    char slot[SLOT_SIZE];
    const struct payment *payment = &job->payment;
    int n = MUTANT(REFUND_SLOT_OF_ITS_OWN) ? 1 + job->command.id.bytes[0] % 8 : payment->refund_count + 1; /* L2 */
    snprintf(slot, sizeof slot, "refund:%d", n);
    const char *provider = authorization_provider(payment, payment->commit);
    return job_fact(job, slot, NULL, refused ? "refused" : "accepted",
                    refund_body(job, provider, slot, amount, share, refused));
}

/* The case for a person, also when a crash came between the refusal's fact and its dead letter (L9). */
static bool undoing_was_refused(const struct job *job, const struct refund *refund)
{
    return job->payment.state == SAGA_UNWINDING && refund->result && strcmp(refund->result->outcome, "refused") == 0;
}

/* Refund n, that this key caused, was asked for with another body (L10). */
static bool asked_otherwise(const struct job *job, int n)
{
    const json_t *intent = job->payment.refunds[n].intent->body;
    return job->command.type->is_public && strcmp(json_text(intent, "sha256", ""), job->command.sha256) != 0;
}

static enum verdict plan_again(struct job *job, int n)
{
    const struct refund *refund = &job->payment.refunds[n];
    if (asked_otherwise(job, n))
        return key_conflict(job);
    if (undoing_was_refused(job, refund))
        return job_dead(job, DEATH_REFUSED, "the provider refuses the refund that undoes the payment");
    return is_open(refund) ? VERDICT_CALL : VERDICT_DONE;
}

static enum verdict plan_refund(struct job *job)
{
    if (!owns_payment(job)) {
        job->death = DEATH_UNKNOWN_PAYMENT;
        return job_retry(job, "paymentId: no such payment of %s", job->command.publisher);
    }
    int own = own_refund(job);
    if (own)
        return plan_again(job, own);
    if (job->payment.refund_count >= REFUNDS_MAX - 1)
        return job_dead(job, DEATH_REFUSED, "the payment has %d refunds already", job->payment.refund_count);
    const char *provider = authorization_provider(&job->payment, job->payment.commit);
    if (job->payment.captured && !step_provider(job, provider))
        return job_retry(job, "the provider %s is not configured here", provider);
    int64_t left = job->payment.captured_amount - job->payment.refund_reserved;
    int64_t amount = json_int(job->command.body, "amount", left);
    job->target = job->payment.refund_count + 1;
    struct refund_share share = {.total = job->payment.refund_reserved};
    const char *refused = refusal(&job->payment, amount, &share);
    job_guard(job, add_refund(job, amount, &share, refused));
    return VERDICT_CALL;
}

/* The whole capture back, because activation was refused for good (L7). */
static enum verdict plan_unwind(struct job *job)
{
    int own = own_refund(job);
    if (own)
        return plan_again(job, own);
    if (!saga_wants(&job->payment, "payment.unwind", 1))
        return VERDICT_DONE;
    struct refund_share share = {0};
    struct err err = {0};
    if (book_refund_share(&job->payment, job->payment.captured_amount, &share, &err) != 0)
        return job_dead(job, DEATH_BROKEN, "the whole capture cannot be refunded: %s", err.text);
    add_refund(job, job->payment.captured_amount, &share, NULL);
    return VERDICT_CALL;
}

static int asked_refund(const struct job *job)
{
    struct slot slot = slot_parse(job->command.slot);
    if (slot.kind != SLOT_REFUND_DOUBT || slot.n < 1 || slot.n > job->payment.refund_count)
        return 0;
    const struct refund *refund = &job->payment.refunds[slot.n];
    return refund->accepted && !refund->result && refund->doubts <= slot.k ? slot.n : 0;
}

static enum verdict plan_resolve(struct job *job)
{
    struct slot slot = slot_parse(job->command.slot);
    bool known = slot.n >= 1 && slot.n <= job->payment.refund_count;
    if (known && undoing_was_refused(job, &job->payment.refunds[slot.n]))
        return job_dead(job, DEATH_REFUSED, "the provider refuses the refund that undoes the payment");
    return asked_refund(job) ? VERDICT_CALL : VERDICT_DONE;
}

static enum verdict start(struct job *job, int n, int question)
{
    char slot[SLOT_SIZE];
    const struct refund *refund = &job->payment.refunds[n];
    snprintf(slot, sizeof slot, "refund:%d", n);
    bool ask = is_spent(refund->last_doubt) ||
               !policy_may_send(clock_wall_ms(), json_int(refund->intent->body, "sendUntil", 0));
    enum verdict verdict = start_provider_call(job, PROVIDER_REFUND, slot, job->payment.commit, refund->amount, ask);
    job->target = n;
    job->question = question;
    return verdict;
}

static enum verdict call_refund(struct job *job)
{
    int own = own_refund(job);
    if (own && asked_otherwise(job, own))
        return key_conflict(job); /* another worker had the key's first body */
    if (own)
        return is_open(&job->payment.refunds[own]) ? start(job, own, 0) : VERDICT_DONE;
    if (job->payment.refund_count >= job->target)
        return VERDICT_AGAIN; /* somebody else has this N */
    return key_conflict(job); /* L10 */
}

static enum verdict call_unwind(struct job *job)
{
    int own = own_refund(job);
    if (own)
        return is_open(&job->payment.refunds[own]) ? start(job, own, 0) : VERDICT_DONE;
    return VERDICT_AGAIN;
}

static enum verdict call_resolve(struct job *job)
{
    int n = asked_refund(job);
    return n ? start(job, n, slot_parse(job->command.slot).k) : VERDICT_DONE;
}

static enum verdict settle_refund(struct job *job)
{
    char slot[SLOT_SIZE];
    struct new_transfer transfers[BOOK_LEGS_MAX];
    struct err err = {0};
    const char *provider = authorization_provider(&job->payment, job->payment.commit);
    int n = job->target;
    snprintf(slot, sizeof slot, "refund:%d:result", n);
    switch (job->answer.outcome) {
    case PROVIDER_DONE:
        job_fact(job, slot, NULL, "refunded", answer_body(job, provider));
        return job_books(job, transfers, book_refund(&job->payment, n, transfers, &err), &err);
    case PROVIDER_REFUSED:
        job_fact(job, slot, NULL, "refused", answer_body(job, provider));
        if (job->payment.state == SAGA_UNWINDING)
            return job_dead(job, DEATH_REFUSED, "the provider refuses the refund that undoes the payment: %s",
                            job->answer.code);
        return VERDICT_DONE;
    case PROVIDER_ABSENT:
        if (MUTANT(ABSENT_REFUND_IS_REFUSED)) { /* L6 */
            job_fact(job, slot, NULL, "refused", answer_body(job, provider));
            return VERDICT_DONE;
        }
        break;
    case PROVIDER_ACTION:
    case PROVIDER_EXPIRED:
    case PROVIDER_UNKNOWN:
        break;
    }
    snprintf(slot, sizeof slot, "refund:%d", n);
    return add_doubt(job, slot, job->question, job->payment.refunds[n].last_doubt);
}

/* The slot says otherwise than the provider, because a person spoke while it was being asked: nobody may drop that (L6). */
static enum verdict check_refund(struct job *job)
{
    const struct fact *result = job->payment.refunds[job->target].result;
    bool done = job->answer.outcome == PROVIDER_DONE, refused = job->answer.outcome == PROVIDER_REFUSED;
    if (!result || attest_is_word(job) || !(done || refused) ||
        strcmp(result->outcome, done ? "refunded" : "refused") == 0)
        return VERDICT_DONE;
    return job_dead(job, DEATH_REFUSED, "refund %d: %s at the provider (%s) although the ledger says %s", job->target,
                    done ? "refunded" : "refused", job->answer.reference, result->outcome);
}

static enum verdict settle_attested(struct job *job)
{
    return attest_settle(job, settle_refund);
}

static const struct step steps[] = {
    {.command = "payment.refund",
     .plan = plan_refund,
     .call = call_refund,
     .settle = settle_refund,
     .check = check_refund},
    {.command = "payment.unwind",
     .plan = plan_unwind,
     .call = call_unwind,
     .settle = settle_refund,
     .check = check_refund},
    {.command = "refund.resolve",
     .plan = plan_resolve,
     .call = call_resolve,
     .settle = settle_refund,
     .check = check_refund},
    {.command = "refund.attest",
     .plan = attest_plan,
     .call = attest_ask,
     .settle = settle_attested,
     .check = check_refund},
    {0},
};

const struct worker_type worker_refund = {.name = "refund", .steps = steps};
