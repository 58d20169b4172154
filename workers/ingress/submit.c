/* submit.c - looks up the key of a command (L10) and publishes it */
#include "workers/ingress/submit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "queues/topology.h"
#include "workers/ingress/waiting.h"

struct submitter {
    struct ingress *ingress;
    struct submission_list checking; /* came in this turn */
    struct loop_source *timer;
};

/* -- publishing */

static const char *const not_confirmed[] = {
    [PUBLISH_RETURNED] = "the broker has no queue for it, so nothing was taken",
    [PUBLISH_REFUSED] = "the broker refused it, so nothing was taken",
    [PUBLISH_UNKNOWN] = "the broker did not confirm in time, so it may have been taken or not",
};

/* Until the ledger shows it. A payment is asked for by its own id, everything else by the command's. */
static void remember(const struct submission *submission)
{
    struct accepted accepted = {.id = submission->command_id,
                                .payment_id = submission->payment_id,
                                .publisher = submission->publisher,
                                .type = submission->kind->type,
                                .amount = json_int(submission->body, "amount", 0),
                                .at_ms = clock_wall_ms()};
    snprintf(accepted.sha256, sizeof accepted.sha256, "%s", submission->sha256);
    snprintf(accepted.currency, sizeof accepted.currency, "%s", json_text(submission->body, "currency", ""));
    recent_add(submission->ingress->recent, &accepted);
    if (json_object_get(submission->body, "paymentId"))
        return; /* about a payment, not a payment */
    accepted.id = submission->payment_id;
    recent_add(submission->ingress->recent, &accepted);
}

static void on_settled(void *arg, enum publish_outcome outcome)
{
    struct submission *submission = arg;
    if (outcome != PUBLISH_CONFIRMED) {
        log_warn("%s not confirmed: %s", submission->kind->type, not_confirmed[outcome]);
        submission_unavailable(submission, not_confirmed[outcome]);
        return;
    }
    submission_count(submission, "accepted");
    remember(submission);
    if (submission->wait_ms)
        waiting_add(submission->ingress->waiting, submission);
    else
        submission_pending(submission, NULL, NULL);
}

static struct message message_of(const struct submission *submission)
{
    char *body = json_encode(submission->body);
    struct message message = {
        .exchange = mem_text(EXCHANGE_IN),
        .routing_key = mem_text(submission->kind->type),
        .type = mem_text(submission->kind->type),
        .content_type = mem_text("application/json"),
        .message_id = mem_text(submission->key),
        .user_id = mem_text(submission->publisher->name),
        .app_id = mem_text("acquit-ingress"),
        .timestamp = clock_wall_ms() / 1000,
        .delivery_mode = 2,
        .body = body,
        .body_size = strlen(body),
    };
    const char *trace = request_header(submission->request, "traceparent");
    if (params_traceparent(trace))
        message.headers = json_pack("{s:s}", "traceparent", trace);
    return message;
}

static void publish(struct submission *submission)
{
    struct publisher *publisher = submission->ingress->publisher;
    if (!publisher_ready(publisher)) {
        submission_unavailable(submission, "the broker is away, so nothing was taken");
        return;
    }
    struct err err = {0};
    struct message message = message_of(submission);
    int r = publisher_send(publisher, &message, on_settled, submission, &err);
    message_clear(&message);
    if (r == 0)
        return;
    log_warn("%s not published: %s", submission->kind->type, err.text);
    submission_unavailable(submission, "too much waits for the broker, so nothing was taken");
}

/* -- looking up keys (L10) */

/* What was accepted a moment ago and is not recorded yet counts as well, as far as this process knows. */
static const char *known_hash(const struct submission *submission, const char *recorded)
{
    if (*recorded)
        return recorded;
    const struct accepted *accepted =
        recent_find(submission->ingress->recent, submission->command_id, submission->publisher);
    return accepted ? accepted->sha256 : "";
}

static void checked(struct submission *submission, const char *recorded)
{
    const char *hash = known_hash(submission, recorded);
    submission->recorded = *recorded;
    if (*hash && strcmp(hash, submission->sha256) != 0) {
        submission_conflict(submission);
    } else if (submission->recorded) {
        submission_count(submission, "repeated");
        waiting_add(submission->ingress->waiting, submission);
    } else {
        publish(submission);
    }
}

static size_t take_checking(struct submitter *submitter, struct submission *ret[static STORE_PAYMENTS_MAX],
                            struct uuid ret_ids[static STORE_PAYMENTS_MAX])
{
    size_t taken = 0;
    struct submission *submission;
    while (taken < STORE_PAYMENTS_MAX && (submission = TAILQ_FIRST(&submitter->checking))) {
        TAILQ_REMOVE(&submitter->checking, submission, entry);
        ret_ids[taken] = submission->command_id;
        ret[taken++] = submission;
    }
    return taken;
}

static void on_check(void *arg)
{
    struct submitter *submitter = arg;
    struct submission *batch[STORE_PAYMENTS_MAX];
    struct uuid ids[STORE_PAYMENTS_MAX];
    char hashes[STORE_PAYMENTS_MAX][65];
    size_t taken;
    while ((taken = take_checking(submitter, batch, ids))) {
        struct err err = {0};
        memset(hashes, 0, sizeof hashes);
        int r = store_commands(submitter->ingress->store, ids, taken, hashes, &err);
        for (size_t i = 0; i < taken; i++) {
            if (r == 0)
                checked(batch[i], hashes[i]);
            else
                submission_ledger_away(batch[i], &err);
        }
    }
}

void submit(struct submitter *submitter, struct submission *submission)
{
    if (submission->own_key) {
        publish(submission);
        return;
    }
    if (TAILQ_EMPTY(&submitter->checking))
        loop_timer_set(submitter->timer, 0);
    TAILQ_INSERT_TAIL(&submitter->checking, submission, entry);
}

struct submitter *submitter_new(struct ingress *ingress)
{
    struct submitter *submitter = mem_new(1, sizeof *submitter);
    submitter->ingress = ingress;
    TAILQ_INIT(&submitter->checking);
    submitter->timer = loop_timer(ingress->loop, -1, on_check, submitter);
    return submitter;
}

void submitter_free(struct submitter *submitter)
{
    if (!submitter)
        return;
    loop_source_free(submitter->timer);
    free(submitter);
}
