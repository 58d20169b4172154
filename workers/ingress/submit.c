/* submit.c - the way of a command from a checked request to its answer */
#include "workers/ingress/submit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "ledger/read.h"
#include "queues/topology.h"

enum { LOAD_SHARE = 2 }; /* between two looks for those who wait passes at least this many times what a look takes */

TAILQ_HEAD(submission_list, submission);

struct submissions {
    struct ingress *ingress;
    struct submission_list checking; /* in this turn */
    struct submission_list waiting;  /* asked least recently first */
    size_t waiting_count;
    struct loop_source *check_timer, *tick_timer;
    bool tick_armed;
};

/* -- making one */

static int read_key(struct submission *submission, struct err *err)
{
    const char *given = request_header(submission->request, "Idempotency-Key");
    if (given)
        return params_key(given, submission->key, err);
    submission->own_key = true;
    uuid_format(uuid_random(), submission->key);
    return 0;
}

static void submission_free(struct submission *submission)
{
    json_decref(submission->body);
    free(submission);
}

struct submission *submission_new(struct ingress *ingress, struct request *request, const struct submission_kind *kind,
                                  json_t *body)
{
    struct submission *submission = mem_new(1, sizeof *submission);
    *submission = (struct submission){
        .ingress = ingress, .kind = kind, .request = request, .publisher = visit_of(request)->publisher, .body = body};
    const char *field = "Idempotency-Key";
    struct err err = {0};
    int r = read_key(submission, &err);
    if (r == 0) {
        field = "wait_ms";
        r = params_wait(request_header(request, "Prefer"), request_query(request, "wait_ms"),
                        config_int(ingress->config, "ingress.wait_max_ms"), &submission->wait_ms, &err);
    }
    if (r < 0) {
        struct answer answer = answer_failure(FAILURE_VALIDATION, "%s: %s", field, err.text);
        answer_detail(&answer, field, "%s", err.text);
        request_answer(request, answer);
        submission_free(submission);
        return NULL;
    }
    submission->command_id = uuid_command(kind->type, submission->publisher->name, submission->key);
    uint8_t hash[SHA256_SIZE];
    json_sha256(body, hash);
    hex_encode(hash, sizeof hash, submission->sha256);
    return submission;
}

/* -- answering */

static void count(const struct submission *submission, const char *result)
{
    char labels[96];
    snprintf(labels, sizeof labels, "type=\"%s\",result=\"%s\"", submission->kind->type, result);
    metric_add("acquit_ingress_commands_total", labels, 1);
}

void submission_end(struct submission *submission, struct answer answer)
{
    answer_header(&answer, "Idempotency-Key", "%s", submission->key);
    request_answer(submission->request, answer);
    submission_free(submission);
}

static void add_command_id(const struct submission *submission, json_t *data)
{
    char text[UUID_TEXT_SIZE];
    uuid_format(submission->command_id, text);
    json_object_set_new(data, "commandId", json_string(text));
}

/* 202 with what is known. */
static void answer_pending(struct submission *submission, const struct facts *facts, const struct payment *payment)
{
    const struct submission_kind *kind = submission->kind;
    json_t *data = kind->pending(submission, facts, payment);
    add_command_id(submission, data);
    struct answer answer = answer_success(202, kind->accepted, data);
    kind->locate(submission, &answer);
    submission_end(submission, answer);
}

void submission_settle(struct submission *submission, const struct facts *facts, const struct payment *payment)
{
    struct answer answer = submission->kind->settle(submission, facts, payment);
    json_t *data = json_object_get(answer.json, "data");
    if (data)
        add_command_id(submission, data);
    submission->kind->locate(submission, &answer);
    submission_end(submission, answer);
}

static void answer_unavailable(struct submission *submission, const char *why)
{
    count(submission, "unavailable");
    submission_end(submission,
                   answer_failure(FAILURE_UNAVAILABLE,
                                  "%s; send the same request again with Idempotency-Key %s: nothing happens twice", why,
                                  submission->key));
}

static void answer_ledger_away(struct submission *submission, const struct err *err)
{
    log_warn("ledger: %s", err->text);
    answer_unavailable(submission, "the ledger does not answer");
}

/* -- waiting for the end */

static void arm_tick(struct submissions *submissions, int64_t delay_ms)
{
    submissions->tick_armed = true;
    loop_timer_set(submissions->tick_timer, delay_ms);
}

static void wait_for_end(struct submission *submission)
{
    struct submissions *submissions = submission->ingress->submissions;
    bool patient = submissions->waiting_count < WAITING_MAX && !submission->ingress->draining;
    submission->deadline_ms = clock_monotonic_ms() + (patient ? submission->wait_ms : 0);
    TAILQ_INSERT_TAIL(&submissions->waiting, submission, entry);
    submissions->waiting_count++;
    bool at_once = submission->wait_ms == 0 || !patient;
    if (at_once || !submissions->tick_armed)
        arm_tick(submissions, at_once ? 0 : WAIT_TICK_MS);
}

/* Those who are looked at in one tick, and the payments they wait for, each once. */
struct look {
    size_t count, payment_count;
    struct submission *submissions[STORE_PAYMENTS_MAX];
    size_t payment_of[STORE_PAYMENTS_MAX];
    struct uuid payments[STORE_PAYMENTS_MAX];
    struct facts facts[STORE_PAYMENTS_MAX];
};

static size_t look_index(struct look *look, struct uuid payment)
{
    for (size_t i = 0; i < look->payment_count; i++)
        if (uuid_equal(look->payments[i], payment))
            return i;
    look->payments[look->payment_count] = payment;
    return look->payment_count++;
}

static void look_take(struct look *look, struct submissions *submissions)
{
    struct submission *submission;
    while (look->count < STORE_PAYMENTS_MAX && (submission = TAILQ_FIRST(&submissions->waiting))) {
        TAILQ_REMOVE(&submissions->waiting, submission, entry);
        submissions->waiting_count--;
        look->payment_of[look->count] = look_index(look, submission->payment_id);
        look->submissions[look->count++] = submission;
    }
}

static void wait_on(struct submissions *submissions, struct submission *submission)
{
    TAILQ_INSERT_TAIL(&submissions->waiting, submission, entry);
    submissions->waiting_count++;
}

/* One who waits, with the facts of his payment. */
static void look_at(struct submissions *submissions, struct submission *submission, const struct facts *facts,
                    int64_t now_ms)
{
    struct err err = {0};
    struct payment payment = {0};
    bool readable = saga_fold(facts, &payment, &err) == 0;
    bool there = readable && payment.received;
    if (!readable) {
        submission_end(submission, ledger_failure(&err));
    } else if (there && submission->kind->settled(submission, &payment)) {
        submission_settle(submission, facts, &payment);
    } else if (now_ms >= submission->deadline_ms) {
        answer_pending(submission, there ? facts : NULL, there ? &payment : NULL);
    } else {
        wait_on(submissions, submission);
    }
    payment_clear(&payment);
}

/* The ledger did not answer: who was accepted may be told so, who only repeats has nothing else to hear. */
static void look_failed(struct submissions *submissions, struct submission *submission, const struct err *err,
                        int64_t now_ms)
{
    if (now_ms < submission->deadline_ms)
        wait_on(submissions, submission);
    else if (submission->recorded)
        answer_ledger_away(submission, err);
    else
        answer_pending(submission, NULL, NULL);
}

static void on_tick(void *arg)
{
    struct submissions *submissions = arg;
    int64_t before_ms = clock_monotonic_ms();
    struct look *look = mem_new(1, sizeof *look);
    struct err err = {0};
    submissions->tick_armed = false;
    look_take(look, submissions);
    bool read = look->count == 0 ||
                read_facts(submissions->ingress->db, look->payments, look->payment_count, look->facts, &err) == 0;
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < look->count; i++) {
        if (read)
            look_at(submissions, look->submissions[i], &look->facts[look->payment_of[i]], now_ms);
        else
            look_failed(submissions, look->submissions[i], &err, now_ms);
    }
    for (size_t i = 0; i < look->payment_count; i++)
        facts_clear(&look->facts[i]);
    free(look);
    int64_t rest_ms = LOAD_SHARE * (now_ms - before_ms);
    if (submissions->waiting_count && !submissions->tick_armed)
        arm_tick(submissions, rest_ms > WAIT_TICK_MS ? rest_ms : WAIT_TICK_MS);
}

/* -- publishing */

static const char *const not_confirmed[] = {
    [PUBLISH_RETURNED] = "the broker has no queue for it, so nothing was taken",
    [PUBLISH_REFUSED] = "the broker refused it, so nothing was taken",
    [PUBLISH_UNKNOWN] = "the broker did not confirm in time, so it may have been taken or not",
};

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
        answer_unavailable(submission, not_confirmed[outcome]);
        return;
    }
    count(submission, "accepted");
    remember(submission);
    if (submission->wait_ms)
        wait_for_end(submission);
    else
        answer_pending(submission, NULL, NULL);
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
        answer_unavailable(submission, "the broker is away, so nothing was taken");
        return;
    }
    struct err err = {0};
    struct message message = message_of(submission);
    int r = publisher_send(publisher, &message, on_settled, submission, &err);
    message_clear(&message);
    if (r == 0)
        return;
    log_warn("%s not published: %s", submission->kind->type, err.text);
    answer_unavailable(submission, "too much waits for the broker, so nothing was taken");
}

/* -- looking up keys (L10) */

static void answer_conflict(struct submission *submission)
{
    struct answer answer = answer_failure(
        FAILURE_KEY_CONFLICT, "Idempotency-Key %s was used for another %s; send a new request under a new key",
        submission->key, submission->kind->type);
    struct err err = {0};
    struct facts facts = {0};
    struct payment payment = {0};
    json_t *fields = NULL;
    if (read_facts(submission->ingress->db, &submission->payment_id, 1, &facts, &err) == 0 &&
        saga_fold(&facts, &payment, &err) == 0 && payment.received)
        fields = submission->kind->differing(submission, &payment);
    for (size_t i = 0; i < json_array_size(fields); i++)
        answer_detail(&answer, json_string_value(json_array_get(fields, i)),
                      "differs from the first request with this key");
    if (json_array_size(fields) == 0)
        answer_detail(&answer, NULL, "the body differs from the first request with this key");
    json_decref(fields);
    payment_clear(&payment);
    facts_clear(&facts);
    count(submission, "conflict");
    submission_end(submission, answer);
}

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
        answer_conflict(submission);
    } else if (submission->recorded) {
        count(submission, "repeated");
        wait_for_end(submission);
    } else {
        publish(submission);
    }
}

static size_t take_checking(struct submissions *submissions, struct submission *ret[static STORE_PAYMENTS_MAX],
                            struct uuid ret_ids[static STORE_PAYMENTS_MAX])
{
    size_t taken = 0;
    struct submission *submission;
    while (taken < STORE_PAYMENTS_MAX && (submission = TAILQ_FIRST(&submissions->checking))) {
        TAILQ_REMOVE(&submissions->checking, submission, entry);
        ret_ids[taken] = submission->command_id;
        ret[taken++] = submission;
    }
    return taken;
}

static void on_check(void *arg)
{
    struct submissions *submissions = arg;
    struct submission *batch[STORE_PAYMENTS_MAX];
    struct uuid ids[STORE_PAYMENTS_MAX];
    char hashes[STORE_PAYMENTS_MAX][65];
    size_t taken;
    while ((taken = take_checking(submissions, batch, ids))) {
        struct err err = {0};
        memset(hashes, 0, sizeof hashes);
        int r = store_commands(submissions->ingress->store, ids, taken, hashes, &err);
        for (size_t i = 0; i < taken; i++) {
            if (r == 0)
                checked(batch[i], hashes[i]);
            else
                answer_ledger_away(batch[i], &err);
        }
    }
}

void submit(struct submission *submission)
{
    struct submissions *submissions = submission->ingress->submissions;
    if (submission->own_key) {
        publish(submission);
        return;
    }
    if (TAILQ_EMPTY(&submissions->checking))
        loop_timer_set(submissions->check_timer, 0);
    TAILQ_INSERT_TAIL(&submissions->checking, submission, entry);
}

/* -- all of them */

struct submissions *submissions_new(struct ingress *ingress)
{
    struct submissions *submissions = mem_new(1, sizeof *submissions);
    submissions->ingress = ingress;
    TAILQ_INIT(&submissions->checking);
    TAILQ_INIT(&submissions->waiting);
    submissions->check_timer = loop_timer(ingress->loop, -1, on_check, submissions);
    submissions->tick_timer = loop_timer(ingress->loop, -1, on_tick, submissions);
    return submissions;
}

void submissions_free(struct submissions *submissions)
{
    if (!submissions)
        return;
    loop_source_free(submissions->check_timer);
    loop_source_free(submissions->tick_timer);
    free(submissions);
}

void submissions_hurry(struct submissions *submissions)
{
    struct submission *submission;
    TAILQ_FOREACH(submission, &submissions->waiting, entry)
    submission->deadline_ms = 0;
    arm_tick(submissions, 0);
}

size_t submissions_waiting(const struct submissions *submissions)
{
    return submissions->waiting_count;
}
