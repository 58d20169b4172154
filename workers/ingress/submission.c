/* submission.c - a command on its way from a checked request to its answer */
#include "workers/ingress/submission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "ledger/read.h"
#include "workers/differing.h"

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

/* What the head says about the command. *ret_field is what is wrong. */
static int read_head(struct submission *submission, const char **ret_field, struct err *err)
{
    const struct request *request = submission->request;
    *ret_field = "Idempotency-Key";
    if (read_key(submission, err) < 0)
        return -1;
    *ret_field = "wait_ms";
    return params_wait(request_header(request, "Prefer"), request_query(request, "wait_ms"),
                       config_int(submission->ingress->config, "ingress.wait_max_ms"), &submission->wait_ms, err);
}

static void set_ids(struct submission *submission)
{
    uint8_t hash[SHA256_SIZE];
    submission->command_id = uuid_command(submission->kind->type, submission->publisher->name, submission->key);
    json_sha256(submission->body, hash);
    hex_encode(hash, sizeof hash, submission->sha256);
}

struct submission *submission_new(struct ingress *ingress, struct request *request, const struct submission_kind *kind,
                                  json_t *body)
{
    struct submission *submission = mem_new(1, sizeof *submission);
    *submission = (struct submission){
        .ingress = ingress, .kind = kind, .request = request, .publisher = visit_of(request)->publisher, .body = body};
    const char *field;
    struct err err = {0};
    if (read_head(submission, &field, &err) == 0) {
        set_ids(submission);
        return submission;
    }
    struct answer answer = {0};
    answer_invalid(&answer, field, "%s", err.text);
    request_answer(request, answer);
    submission_free(submission);
    return NULL;
}

void submission_count(const struct submission *submission, const char *result)
{
    char labels[96];
    snprintf(labels, sizeof labels, "type=\"%s\",result=\"%s\"", submission->kind->type, result);
    metric_add("acquit_ingress_commands_total", labels, 1);
}

void submission_answer(struct submission *submission, struct answer answer)
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

/* Where the answer to this very body will stand: two bodies under one key have the same command id, so the body's hash goes with it (L10). */
static void add_status_url(const struct submission *submission, json_t *data)
{
    char command[UUID_TEXT_SIZE], payment[PUBLIC_ID_SIZE];
    uuid_format(submission->command_id, command);
    public_id_format(submission->payment_id, payment);
    json_object_set_new(data, "statusUrl",
                        json_sprintf("/api/payments/%s/status?command=%s.%s", payment, command, submission->sha256));
}

void submission_pending(struct submission *submission, const struct facts *facts, const struct payment *payment)
{
    const struct submission_kind *kind = submission->kind;
    json_t *data = kind->pending(submission, facts, payment);
    add_command_id(submission, data);
    add_status_url(submission, data);
    struct answer answer = answer_success(202, kind->accepted, data);
    kind->locate(submission, &answer);
    submission_answer(submission, answer);
}

void submission_settle(struct submission *submission, const struct facts *facts, const struct payment *payment)
{
    struct answer answer = submission->kind->settle(submission, facts, payment);
    json_t *data = json_object_get(answer.json, "data");
    if (data)
        add_command_id(submission, data);
    submission->kind->locate(submission, &answer);
    submission_answer(submission, answer);
}

/* Of a payment that this process took a moment ago and nobody has recorded yet, this much is remembered. */
static json_t *differing_accepted(const struct submission *submission)
{
    const struct accepted *accepted =
        recent_find(submission->ingress->recent, submission->command_id, submission->publisher);
    json_t *names = json_array();
    if (accepted && accepted->amount != json_int(submission->body, "amount", 0))
        json_array_append_new(names, json_string("amount"));
    if (accepted && strcmp(accepted->currency, json_text(submission->body, "currency", "")) != 0)
        json_array_append_new(names, json_string("currency"));
    return names;
}

/* Names the fields that differ, as far as the payment's facts can tell. */
static void name_differing(const struct submission *submission, const struct payment *payment, struct answer *answer)
{
    json_auto_t *fields = submission->recorded ? differing_fields(submission->kind->type, payment,
                                                                  submission->command_id, submission->body)
                                               : differing_accepted(submission);
    for (size_t i = 0; i < json_array_size(fields); i++)
        answer_detail(answer, json_string_value(json_array_get(fields, i)),
                      "differs from the first request with this key");
    if (json_array_size(fields) == 0)
        answer_detail(answer, NULL, "the body differs from the first request with this key");
}

void submission_conflict(struct submission *submission)
{
    struct answer answer = answer_failure(
        FAILURE_KEY_CONFLICT, "Idempotency-Key %s was used for another %s; send a new request under a new key",
        submission->key, submission->kind->type);
    struct err unreadable = {0}; /* then they are not named */
    struct facts facts = {0};
    struct payment payment = {0};
    if (read_facts(submission->ingress->db, &submission->payment_id, 1, &facts, &unreadable) == 0 &&
        saga_fold(&facts, &payment, &unreadable) < 0) {
        payment_clear(&payment);
        payment = (struct payment){0};
    }
    name_differing(submission, &payment, &answer);
    payment_clear(&payment);
    facts_clear(&facts);
    submission_count(submission, "conflict");
    submission_answer(submission, answer);
}

void submission_unavailable(struct submission *submission, const char *why)
{
    submission_count(submission, "unavailable");
    submission_answer(submission,
                      answer_failure(FAILURE_UNAVAILABLE,
                                     "%s; send the same request again with Idempotency-Key %s: nothing happens twice",
                                     why, submission->key));
}

void submission_ledger_away(struct submission *submission, const struct err *err)
{
    log_warn("ledger: %s", err->text);
    submission_unavailable(submission, "the ledger does not answer");
}
