/* refunds.c - ask for refunds and read them
 *
 * A refund is known by the id of the command that asked for it, so that its id exists before the ledger has it.
 */
#include <string.h>

#include "common/json.h"
#include "ledger/read.h"
#include "ledger/project.h"
#include "workers/ingress/handlers.h"
#include "workers/ingress/own.h"
#include "workers/ingress/submit.h"
#include "workers/ingress/views.h"

/* -- POST /api/refunds/create */

static const char *refund_message(const char *status)
{
    if (strcmp(status, "completed") == 0)
        return "Refund completed";
    return strcmp(status, "failed") == 0 ? "Refund refused" : "Refund in progress";
}

static bool refund_settled(const struct submission *submission, const struct payment *payment)
{
    int n = view_refund_of(payment, submission->command_id);
    return n && (!payment->refunds[n].accepted || payment->refunds[n].result);
}

static struct answer refund_settle(const struct submission *submission, const struct facts *facts,
                                   const struct payment *payment)
{
    (void)facts;
    int n = view_refund_of(payment, submission->command_id);
    return answer_success(200, refund_message(refund_status(&payment->refunds[n])), view_refund(payment, n));
}

static json_t *refund_pending(const struct submission *submission, const struct facts *facts,
                              const struct payment *payment)
{
    (void)facts;
    int n = payment ? view_refund_of(payment, submission->command_id) : 0;
    if (n)
        return view_refund(payment, n);
    return view_refund_pending(submission->command_id, submission->payment_id, json_int(submission->body, "amount", 0));
}

static void locate_refund(const struct submission *submission, struct answer *answer)
{
    char id[REFUND_ID_SIZE];
    refund_id_format(submission->command_id, id);
    answer_header(answer, "Location", "/api/payments/refunds/%s", id);
}

static const struct submission_kind refund_kind = {
    .type = "payment.refund",
    .accepted = "Refund initiated successfully",
    .settled = refund_settled,
    .settle = refund_settle,
    .pending = refund_pending,
    .locate = locate_refund,
};

/* Either spelling of the payment's id becomes the plain one, so that the command's hash does not depend on it. */
static void plain_id(json_t *body)
{
    struct uuid payment;
    char text[UUID_TEXT_SIZE];
    if (public_id_parse(json_text(body, "paymentId", ""), &payment) < 0)
        return; /* the schema says so */
    uuid_format(payment, text);
    json_object_set_new(body, "paymentId", json_string(text));
}

static void refund_own(struct ingress *ingress, struct request *request, const struct own *own, json_t *body)
{
    struct submission *submission = submission_new(ingress, request, &refund_kind, body);
    if (!submission)
        return;
    submission->payment_id = own->accepted ? own->accepted->payment_id : own->payment.id;
    submit(ingress->submitter, submission);
}

void refund_create(struct ingress *ingress, struct request *request)
{
    json_t *body;
    if (!body_or_answer(request, &body))
        return;
    plain_id(body);
    struct answer refusal = check_body("payment.refund.json", body);
    struct own own = {0};
    if (refusal.status) {
        request_answer(request, refusal);
        json_decref(body);
    } else if (own_or_answer(ingress, request, json_text(body, "paymentId", ""), &own)) {
        refund_own(ingress, request, &own, body);
    } else {
        json_decref(body);
    }
    own_clear(&own);
}

/* -- GET /api/payments/refunds/{id} */

static struct answer no_refund(const char *id)
{
    return answer_failure(FAILURE_NO_REFUND,
                          "you have no refund %s; a refund that was just published may take a moment to appear", id);
}

/* Accepted here, not recorded yet. */
static struct answer show_accepted(struct ingress *ingress, const struct request *request, struct uuid command)
{
    const struct visit *visit = visit_of(request);
    const struct accepted *accepted = recent_find(ingress->recent, command, visit->publisher);
    if (!accepted || strcmp(accepted->type, refund_kind.type) != 0)
        return no_refund(visit->match.id);
    return answer_success(200, refund_message("pending"),
                          view_refund_pending(command, accepted->payment_id, accepted->amount));
}

static struct answer show_recorded(struct ingress *ingress, const struct request *request, struct uuid command,
                                   struct uuid payment)
{
    const struct visit *visit = visit_of(request);
    struct err err = {0};
    struct own own;
    enum own_verdict verdict = own_load(ingress, payment, visit->publisher, &own, &err);
    int n = verdict == OWN_RECORDED ? view_refund_of(&own.payment, command) : 0;
    struct answer answer;
    if (verdict == OWN_FAILED)
        answer = ledger_failure(&err);
    else if (n)
        answer =
            answer_success(200, refund_message(refund_status(&own.payment.refunds[n])), view_refund(&own.payment, n));
    else
        answer = no_refund(visit->match.id);
    own_clear(&own);
    return answer;
}

void refund_show(struct ingress *ingress, struct request *request)
{
    const char *id = visit_of(request)->match.id;
    struct err err = {0};
    struct uuid command, payment;
    if (refund_id_parse(id, &command) < 0)
        request_answer(request, no_refund(id));
    else if (read_refund(ingress->db, command, &payment, &err) == 0)
        request_answer(request, show_recorded(ingress, request, command, payment));
    else if (err.code == ERR_NOT_FOUND)
        request_answer(request, show_accepted(ingress, request, command));
    else
        request_answer(request, ledger_failure(&err));
}
