/* notify.c - the worker that tells how a payment ended: its publisher by webhook, its customer by e-mail
 *
 * One command is one event over one channel; the fact `notice:<event>:<channel>` says it was delivered, or, for an e-mail, refused for good. A delivery
 * may be repeated, under the same webhook id or Message-ID and with the same content. It never undoes a payment: what cannot be delivered is a dead
 * letter for a person.
 *
 * A customer's address is read from ledger.personal when the mail is sent, and goes nowhere else (L11).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/money.h"
#include "workers/events.h"
#include "workers/steps.h"

enum { EVENT_SIZE = 64 };

/* A channel: how it is begun, and what its answer means. */
struct channel {
    const char *name;
    enum verdict (*call)(struct job *job, const struct event *event);
    enum verdict (*settle)(struct job *job);
};

/* "notice:payment.refunded.2:webhook" -> event "payment.refunded.2", channel "webhook". */
static bool parse_notice(const char *slot, char ret_event[static EVENT_SIZE], char ret_channel[static EVENT_SIZE])
{
    return sscanf(slot, "notice:%63[^:]:%63s", ret_event, ret_channel) == 2;
}

static void delivered(struct job *job, json_t *evidence)
{
    job_fact(job, job->command.slot, NULL, "delivered", json_pack("{s:o?}", "evidence", evidence));
}

/* ---- webhook ---- */

static void on_webhook(void *arg, const struct webhook_answer *answer)
{
    struct job *job = arg;
    job->webhook = *answer;
    json_incref(job->webhook.evidence);
    job_answered(job);
}

static void cancel_webhook(void *call)
{
    webhook_cancel(call);
}

static enum verdict call_webhook(struct job *job, const struct event *event)
{
    char id[UUID_TEXT_SIZE];
    const char *name = json_text(job->payment.received->body, "publisher", "");
    const struct publisher_config *publisher = config_publisher_find(job->around->config, name);
    if (!publisher || !*publisher->webhook_url)
        return job_dead(job, DEATH_REFUSED, "%s has no webhook address any more", name);
    struct err err = {0};
    char *text = event_json(event);
    uuid_format(job->command.id, id);
    struct webhook_request request = {.url = publisher->webhook_url,
                                      .secret = publisher->webhook_secret,
                                      .id = id,
                                      .body = text,
                                      .timeout_ms = config_int(job->around->config, "webhook.timeout_ms")};
    job->call_cancel = cancel_webhook;
    job->call = webhook_start(job->around->http, &request, on_webhook, job, &err);
    free(text);
    return job->call ? VERDICT_WAIT : job_retry(job, "cannot send the webhook: %s", err.text);
}

static enum verdict settle_webhook(struct job *job)
{
    if (job->webhook.outcome != WEBHOOK_DELIVERED)
        return job_retry(job, "the webhook was not taken: %s", job->webhook.code);
    delivered(job, json_incref(job->webhook.evidence));
    return VERDICT_DONE;
}

/* ---- e-mail ---- */

static void on_mail(void *arg, const struct mail_answer *answer)
{
    struct job *job = arg;
    if (!job->own)
        job->own = mem_new(1, sizeof *answer);
    memcpy(job->own, answer, sizeof *answer);
    job_answered(job);
}

static void cancel_mail(void *call)
{
    mail_cancel(call);
}

static enum verdict refuse(struct job *job, const char *code, json_t *evidence)
{
    json_t *body = json_pack("{s:s}", "code", code);
    if (evidence)
        json_object_set_new(body, "evidence", evidence);
    job_fact(job, job->command.slot, NULL, "refused", body);
    return VERDICT_DONE;
}

/* What the customer reads. The caller clears it. */
static bool render(const struct job *job, const struct event *event, struct template_text *ret)
{
    char amount[MONEY_TEXT_MAX], refund_amount[MONEY_TEXT_MAX] = "", id[PUBLIC_ID_SIZE], type[EVENT_SIZE];
    const struct payment *payment = &job->payment;
    const json_t *received = payment->received->body;
    const char *publisher = json_text(received, "publisher", ""), *merchant = json_text(received, "merchant", "");
    const char *reason = payment->reason ? reason_text(payment->reason) : NULL;
    int n = slot_parse(job->command.slot).n;
    public_id_format(payment->id, id);
    snprintf(type, sizeof type, "payment.%s", event->verb);
    if (n >= 1 && n <= payment->refund_count)
        money_format(payment->refunds[n].amount, payment->currency, refund_amount);
    struct template_values values = {.amount = money_format(payment->amount, payment->currency, amount),
                                     .transaction_id = id,
                                     .merchant = *merchant ? merchant : publisher,
                                     .reason = reason ? reason : payment->reason,
                                     .refund_amount = refund_amount,
                                     .description = json_text(received, "description", NULL)};
    return templates_render(job->around->templates, type, &values, ret);
}

static enum verdict send_mail(struct job *job, const struct event *event, const char *address)
{
    char id[UUID_TEXT_SIZE];
    struct template_text text;
    struct err err = {0};
    if (!render(job, event, &text))
        return job_dead(job, DEATH_BROKEN, "there is no mail for payment.%s", event->verb);
    uuid_format(job->command.id, id);
    struct mail_message message = {.id = id,
                                   .to = address,
                                   .date_ms = event->fact->at_ms,
                                   .subject = text.subject,
                                   .text = text.text,
                                   .html = text.html,
                                   .timeout_ms = config_int(job->around->config, "mail.timeout_ms")};
    job->call_cancel = cancel_mail;
    job->call = mail_start(job->around->mail, &message, on_mail, job, &err);
    template_text_clear(&text);
    return job->call ? VERDICT_WAIT : job_retry(job, "cannot send the mail: %s", err.text);
}

static enum verdict call_mail(struct job *job, const struct event *event)
{
    struct err err = {0};
    if (!job->around->mail)
        return job_dead(job, DEATH_REFUSED, "no mail server is configured any more");
    json_auto_t *personal = read_personal(job->around->reader, job->payment.id, &err);
    if (!personal)
        return job_retry(job, "cannot read the customer's address: %s", err.text);
    const char *address = json_text(personal, "customerEmail", "");
    if (!*address)
        return refuse(job, "no_address", NULL); /* none was given, or it was erased */
    if (!mail_address_good(address))
        return refuse(job, "bad_address", NULL);
    return send_mail(job, event, address);
}

static json_t *mail_evidence(const struct job *job, const struct mail_answer *answer)
{
    char id[UUID_TEXT_SIZE], message_id[MAIL_MESSAGE_ID_SIZE], sent[CLOCK_TEXT_SIZE], answered[CLOCK_TEXT_SIZE];
    uuid_format(job->command.id, id);
    return json_pack("{s:s, s:i, s:s, s:s}", "messageId", mail_message_id(job->around->mail, id, message_id), "status",
                     answer->status, "sentAt", clock_format(answer->sent_at_ms, sent), "answeredAt",
                     clock_format(answer->answered_at_ms, answered));
}

static enum verdict settle_mail(struct job *job)
{
    const struct mail_answer *answer = job->own;
    switch (answer->outcome) {
    case MAIL_DELIVERED:
        delivered(job, mail_evidence(job, answer));
        return VERDICT_DONE;
    case MAIL_REFUSED:
        return refuse(job, answer->code, mail_evidence(job, answer));
    case MAIL_LATER:
    case MAIL_UNKNOWN:
        break;
    }
    return job_retry(job, "the mail was not taken: %s", answer->code);
}

/* ---- notify.send ---- */

static const struct channel channels[] = {
    {"webhook", call_webhook, settle_webhook},
    {"email", call_mail, settle_mail},
};

static const struct channel *channel_find(const char *name)
{
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        if (strcmp(channels[i].name, name) == 0)
            return &channels[i];
    return NULL;
}

static enum verdict plan_notify(struct job *job)
{
    char event[EVENT_SIZE], channel[EVENT_SIZE];
    if (!parse_notice(job->command.slot, event, channel))
        return job_dead(job, DEATH_INVALID, "slot: %.80s is no notice", job->command.slot);
    if (facts_find(&job->facts, job->command.slot) || !job->payment.ended)
        return VERDICT_DONE;
    if (!channel_find(channel))
        return job_dead(job, DEATH_INVALID, "slot: the channel %.40s is unknown", channel);
    return VERDICT_CALL;
}

static enum verdict call_notify(struct job *job)
{
    char name[EVENT_SIZE], channel[EVENT_SIZE];
    struct event event;
    if (!parse_notice(job->command.slot, name, channel) || !event_find(&job->payment, &job->facts, name, &event))
        return job_dead(job, DEATH_INVALID, "slot: %.80s tells of nothing that has happened", job->command.slot);
    return channel_find(channel)->call(job, &event);
}

static enum verdict settle_notify(struct job *job)
{
    char event[EVENT_SIZE], channel[EVENT_SIZE];
    if (!parse_notice(job->command.slot, event, channel))
        return VERDICT_DONE;
    return channel_find(channel)->settle(job);
}

static const struct step steps[] = {
    {.command = "notify.send", .plan = plan_notify, .call = call_notify, .settle = settle_notify},
    {0},
};

const struct worker_type worker_notify = {.name = "notify", .steps = steps};
