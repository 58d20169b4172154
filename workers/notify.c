/* notify.c - the worker that tells a payment's publisher how it ended
 *
 * One command is one event over one channel; the fact `notice:<event>:<channel>` says it was delivered. A delivery may be repeated, under the same
 * webhook id. It never undoes a payment: what cannot be delivered is a dead letter for a person.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "workers/steps.h"

enum { EVENT_SIZE = 64 };

/* "notice:payment.refunded.2:webhook" -> event "payment.refunded.2", channel "webhook". */
static bool parse_notice(const char *slot, char ret_event[static EVENT_SIZE], char ret_channel[static EVENT_SIZE])
{
    return sscanf(slot, "notice:%63[^:]:%63s", ret_event, ret_channel) == 2;
}

static void on_answer(void *arg, const struct webhook_answer *answer)
{
    struct job *job = arg;
    job->webhook = *answer;
    json_incref(job->webhook.evidence);
    job_answered(job);
}

static void cancel_call(void *call)
{
    webhook_cancel(call);
}

static enum verdict plan_notify(struct job *job)
{
    char event[EVENT_SIZE], channel[EVENT_SIZE];
    if (!parse_notice(job->command.slot, event, channel))
        return job_dead(job, DEATH_INVALID, "slot: %.80s is no notice", job->command.slot);
    if (facts_find(&job->facts, job->command.slot) || !job->payment.ended)
        return VERDICT_DONE;
    if (strcmp(channel, "webhook") != 0)
        return job_dead(job, DEATH_INVALID, "slot: the channel %.40s is unknown", channel);
    return VERDICT_CALL;
}

/* The event's type is its name without a refund's number. */
static void event_type(const char *event, char ret[static EVENT_SIZE], int *ret_refund)
{
    const char *number = strrchr(event, '.');
    *ret_refund = number ? atoi(number + 1) : 0;
    int size = *ret_refund > 0 ? (int)(number - event) : (int)strlen(event);
    snprintf(ret, EVENT_SIZE, "%.*s", size, event);
}

/* CloudEvents 1.0 in its JSON form: what happened, never whose card or address it was. */
static json_t *event_body(const struct job *job, const char *event)
{
    const struct payment *payment = &job->payment;
    char id[UUID_TEXT_SIZE], public_id[PUBLIC_ID_SIZE], plain[UUID_TEXT_SIZE], time[CLOCK_TEXT_SIZE], type[EVENT_SIZE];
    int refund = 0;
    event_type(event, type, &refund);
    uuid_format(job->command.id, id);
    uuid_format(payment->id, plain);
    public_id_format(payment->id, public_id);
    const char *status = refund > 0 ? public_state_text(payment->public) : type + strlen("payment.");
    json_t *data = json_pack("{s:s, s:s, s:s, s:I, s:s, s:I}", "transactionId", public_id, "paymentId", plain, "status",
                             status, "amount", (json_int_t)payment->amount, "currency", payment->currency, "refunded",
                             (json_int_t)payment->refunded);
    if (payment->reason)
        json_object_set_new(data, "reason", json_string(payment->reason));
    if (refund > 0 && refund <= payment->refund_count)
        json_object_set_new(data, "refundAmount", json_integer(payment->refunds[refund].amount));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "specversion", "1.0", "id", id, "source", "acquit", "type",
                     type, "subject", public_id, "time", clock_format(clock_wall_ms(), time), "data", data);
}

static enum verdict call_notify(struct job *job)
{
    char event[EVENT_SIZE], channel[EVENT_SIZE], id[UUID_TEXT_SIZE];
    const char *name = json_text(job->payment.received->body, "publisher", "");
    const struct publisher_config *publisher = config_publisher_find(job->around->config, name);
    if (!parse_notice(job->command.slot, event, channel) || !publisher || !*publisher->webhook_url)
        return job_dead(job, DEATH_REFUSED, "%s has no webhook address any more", name);
    struct err err = {0};
    json_auto_t *body = event_body(job, event);
    char *text = json_encode(body);
    uuid_format(job->command.id, id);
    struct webhook_request request = {.url = publisher->webhook_url,
                                      .secret = publisher->webhook_secret,
                                      .id = id,
                                      .body = text,
                                      .timeout_ms = config_int(job->around->config, "webhook.timeout_ms")};
    job->call_cancel = cancel_call;
    job->call = webhook_start(job->around->http, &request, on_answer, job, &err);
    free(text);
    return job->call ? VERDICT_WAIT : job_retry(job, "cannot send the webhook: %s", err.text);
}

static enum verdict settle_notify(struct job *job)
{
    if (job->webhook.outcome != WEBHOOK_DELIVERED)
        return job_retry(job, "the webhook was not taken: %s", job->webhook.code);
    job_fact(job, job->command.slot, NULL, "delivered", json_pack("{s:O?}", "evidence", job->webhook.evidence));
    return VERDICT_DONE;
}

static const struct step steps[] = {
    {.command = "notify.send", .plan = plan_notify, .call = call_notify, .settle = settle_notify},
    {0},
};

const struct worker_type worker_notify = {.name = "notify", .steps = steps};
