/* payments.c - take, cancel and read payments */
#include <string.h>

#include "common/json.h"
#include "ledger/read.h"
#include "workers/ingress/handlers.h"
#include "workers/ingress/own.h"
#include "workers/ingress/submit.h"
#include "workers/ingress/views.h"

/* -- POST /api/payments/process */

static const char *state_message(enum public_state state)
{
    switch (state) {
    case PUBLIC_PENDING:
    case PUBLIC_PROCESSING:
    case PUBLIC_AUTHORIZED:
        return "Payment in progress";
    case PUBLIC_REQUIRES_ACTION:
        return "Payment waits for the customer";
    case PUBLIC_COMPLETED:
        return "Payment completed";
    case PUBLIC_FAILED:
        return "Payment failed";
    case PUBLIC_CANCELLED:
        return "Payment cancelled";
    case PUBLIC_PARTIALLY_REFUNDED:
        return "Payment partially refunded";
    case PUBLIC_REFUNDED:
        return "Payment refunded";
    }
    return "Payment";
}

static bool create_settled(const struct submission *submission, const struct payment *payment)
{
    (void)submission;
    return payment->ended;
}

/* Is it the payment provider who said no? */
static bool refused_by_provider(const struct payment *payment)
{
    static const enum reason reasons[] = {REASON_DECLINED, REASON_ABSENT, REASON_PROVIDER_CANCELLED,
                                          REASON_CAPTURE_REFUSED};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (strcmp(payment->reason, reason_code(reasons[i])) == 0)
            return true;
    return false;
}

/* A payment that failed is the same answer for ever (L10): an error with why, and the payment as it ended. */
static struct answer create_failed(const struct facts *facts, const struct payment *payment)
{
    const char *explanation = reason_text(payment->reason);
    json_t *data = view_summary(facts, payment);
    json_auto_t *failure = view_failure(payment);
    struct answer answer = answer_failure(refused_by_provider(payment) ? FAILURE_GATEWAY : FAILURE_FAILED,
                                          "Payment failed: %s", explanation ? explanation : payment->reason);
    answer_detail(&answer, NULL, "%s", json_text(failure, "message", explanation ? explanation : payment->reason));
    answer_detail_member(&answer, "reason", payment->reason);
    answer_detail_member(&answer, "code", json_text(failure, "code", NULL));
    answer_detail_member(&answer, "gateway", json_text(data, "gateway", NULL));
    json_object_set_new(answer.json, "data", data);
    return answer;
}

static struct answer create_settle(const struct submission *submission, const struct facts *facts,
                                   const struct payment *payment)
{
    (void)submission;
    if (payment->public == PUBLIC_FAILED)
        return create_failed(facts, payment);
    return answer_success(200, state_message(payment->public), view_summary(facts, payment));
}

static json_t *create_pending(const struct submission *submission, const struct facts *facts,
                              const struct payment *payment)
{
    if (payment)
        return view_summary(facts, payment);
    json_t *data = view_pending(submission->payment_id, json_int(submission->body, "amount", 0),
                                json_text(submission->body, "currency", ""));
    json_object_set_new(data, "flow", json_string(json_text(submission->body, "flow", submission->publisher->flow)));
    return data;
}

static void locate_payment(const struct submission *submission, struct answer *answer)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(submission->payment_id, id);
    answer_header(answer, "Location", "/api/payments/%s", id);
}

static const struct submission_kind create_kind = {
    .type = "payment.create",
    .accepted = "Payment initiated successfully",
    .settled = create_settled,
    .settle = create_settle,
    .pending = create_pending,
    .locate = locate_payment,
};

/* What a schema cannot say: what this publisher's settings add. */
static struct answer check_create(const struct publisher_config *publisher, const json_t *body)
{
    struct answer answer = check_body("payment.create.json", body);
    int64_t amount = json_int(body, "amount", 0);
    if (!answer.status && amount > publisher->amount_max)
        answer_invalid(&answer, "amount", "is above your limit of %lld minor units", (long long)publisher->amount_max);
    bool dual = strcmp(json_text(body, "flow", publisher->flow), "dual") == 0;
    if (!answer.status && dual && !json_object_get(body, "tokens"))
        answer_invalid(&answer, "tokens",
                       "is required in flow dual, which is your default; add it, or \"flow\":\"plain\"");
    return answer;
}

void payment_create(struct ingress *ingress, struct request *request)
{
    json_t *body;
    if (!body_or_answer(request, &body))
        return;
    const struct publisher_config *publisher = visit_of(request)->publisher;
    struct answer refusal = check_create(publisher, body);
    if (refusal.status) {
        request_answer(request, refusal);
        json_decref(body);
        return;
    }
    struct submission *submission = submission_new(ingress, request, &create_kind, body);
    if (!submission)
        return;
    submission->payment_id = uuid_payment(publisher->name, submission->key);
    submit(ingress->submitter, submission);
}

/* -- POST /api/payments/{id}/cancel */

static bool is_cancelled(const struct payment *payment)
{
    return payment->decision_kind == ABORT && strcmp(payment->reason, reason_code(REASON_CANCELLED)) == 0;
}

static bool cancel_settled(const struct submission *submission, const struct payment *payment)
{
    (void)submission;
    return payment->decision_kind != UNDECIDED;
}

/* What to do instead, for a payment that is committed. */
static const char *instead_of_cancel(const struct payment *payment)
{
    if (payment->decision_kind != COMMIT || payment->public == PUBLIC_REFUNDED || payment->public == PUBLIC_FAILED)
        return "";
    return payment->ended ? "; refund it instead" : "; refund it once it is completed";
}

static struct answer cancel_settle(const struct submission *submission, const struct facts *facts,
                                   const struct payment *payment)
{
    (void)submission;
    if (is_cancelled(payment))
        return answer_success(200, payment->ended ? "Payment cancelled" : "Payment is being cancelled",
                              view_summary(facts, payment));
    bool failing = payment->decision_kind == ABORT && !payment->ended;
    struct answer answer =
        answer_failure(FAILURE_NOT_CANCELLABLE, "the payment is %s and cannot be cancelled%s",
                       failing ? "failing" : public_state_text(payment->public), instead_of_cancel(payment));
    answer_detail(&answer, "status", "%s", public_state_text(payment->public));
    return answer;
}

static json_t *cancel_pending(const struct submission *submission, const struct facts *facts,
                              const struct payment *payment)
{
    return payment ? view_summary(facts, payment) : view_pending(submission->payment_id, 0, "");
}

static const struct submission_kind cancel_kind = {
    .type = "payment.cancel",
    .accepted = "Cancellation requested",
    .settled = cancel_settled,
    .settle = cancel_settle,
    .pending = cancel_pending,
    .locate = locate_payment,
};

/* The command's body: what the client said, and the payment of the path. Takes `said`; NULL after answering. */
static json_t *cancel_body(struct request *request, json_t *said, struct uuid payment)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(payment, id);
    struct answer refusal = {0};
    if (json_object_get(said, "paymentId"))
        answer_invalid(&refusal, "paymentId", "stands in the path; leave it out of the body");
    else {
        json_object_set_new(said, "paymentId", json_string(id));
        refusal = check_body("payment.cancel.json", said);
    }
    if (!refusal.status)
        return said;
    request_answer(request, refusal);
    json_decref(said);
    return NULL;
}

static void cancel_own(struct ingress *ingress, struct request *request, const struct own *own, json_t *said)
{
    struct uuid payment = own->accepted ? own->accepted->payment_id : own->payment.id;
    json_t *body = cancel_body(request, said, payment);
    struct submission *submission = body ? submission_new(ingress, request, &cancel_kind, body) : NULL;
    if (!submission)
        return;
    submission->payment_id = payment;
    /* Facts only grow: what is decided stays so, and there is nothing to ask for any more. */
    if (own->payment.received && own->payment.decision_kind != UNDECIDED)
        submission_settle(submission, &own->facts, &own->payment);
    else
        submit(ingress->submitter, submission);
}

void payment_cancel(struct ingress *ingress, struct request *request)
{
    json_t *said;
    if (!body_or_answer(request, &said))
        return;
    struct own own;
    if (own_or_answer(ingress, request, visit_of(request)->match.id, &own))
        cancel_own(ingress, request, &own, said);
    else
        json_decref(said);
    own_clear(&own);
}

/* -- reading one */

static json_t *accepted_view(const struct accepted *accepted)
{
    return view_pending(accepted->payment_id, accepted->amount, accepted->currency);
}

/* A body that lost its key to another gets the same 409 for ever. True after answering it, or when the ledger could not be asked. */
static bool answered_conflict(struct ingress *ingress, struct request *request)
{
    struct uuid id;
    char said[SHA256_HEX_SIZE], kept[1][SHA256_HEX_SIZE] = {""};
    struct err err = {0};
    struct answer answer = {0};
    const char *command = request_query(request, "command");
    if (!command)
        return false;
    if (params_command(command, &id, said, &err) != 0) {
        answer_invalid(&answer, "command", "%s", err.text);
    } else if (store_commands(ingress->store, &id, 1, kept, &err) != 0) {
        answer = ledger_failure(&err);
    } else if (kept[0][0] && strcmp(kept[0], said) != 0) {
        answer = answer_failure(
            FAILURE_KEY_CONFLICT,
            "the Idempotency-Key of this command was used for another body; send a new request under a new key");
        answer_detail(&answer, NULL, "the body differs from the first request with this key");
    } else {
        return false;
    }
    request_answer(request, answer);
    return true;
}

void payment_status(struct ingress *ingress, struct request *request)
{
    struct own own;
    if (own_or_answer(ingress, request, visit_of(request)->match.id, &own) && !answered_conflict(ingress, request)) {
        json_t *data = own.accepted ? accepted_view(own.accepted) : view_status(&own.facts, &own.payment);
        const char *message = state_message(own.accepted ? PUBLIC_PENDING : own.payment.public);
        request_answer(request, answer_success(200, message, data));
    }
    own_clear(&own);
}

void payment_show(struct ingress *ingress, struct request *request)
{
    struct own own;
    struct err err = {0};
    if (!own_or_answer(ingress, request, visit_of(request)->match.id, &own)) {
        own_clear(&own);
        return;
    }
    if (own.accepted) {
        request_answer(request, answer_success(200, state_message(PUBLIC_PENDING), accepted_view(own.accepted)));
    } else {
        json_auto_t *personal = read_personal(ingress->db, own.payment.id, &err);
        request_answer(request, personal ? answer_success(200, state_message(own.payment.public),
                                                          view_detail(&own.facts, &own.payment, personal))
                                         : ledger_failure(&err));
    }
    own_clear(&own);
}

void payment_events(struct ingress *ingress, struct request *request)
{
    struct own own;
    if (own_or_answer(ingress, request, visit_of(request)->match.id, &own)) {
        json_t *data = own.accepted ? accepted_view(own.accepted) : view_status(&own.facts, &own.payment);
        json_object_set_new(data, "events", view_events(&own.facts));
        request_answer(request, answer_success(200, "Recorded facts, oldest first", data));
    }
    own_clear(&own);
}
