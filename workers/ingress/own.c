/* own.c - a payment of the asking publisher, as the ledger has it, or as we remember it */
#include "workers/ingress/own.h"

#include <string.h>

#include "common/json.h"
#include "ledger/read.h"

bool is_owned(const struct payment *payment, const struct publisher_config *publisher)
{
    if (!payment->received)
        return false;
    return strcmp(json_text(payment->received->body, "publisher", ""), publisher->name) == 0;
}

/* Whose an archived payment was is still known by its command. */
static enum own_verdict judge_archived(struct ingress *ingress, struct uuid payment,
                                       const struct publisher_config *publisher, struct err *err)
{
    char name[PUBLISHER_SIZE];
    if (read_publisher(ingress->db, payment, name, err) < 0)
        return OWN_FAILED;
    return strcmp(name, publisher->name) == 0 ? OWN_ARCHIVED : OWN_UNKNOWN;
}

enum own_verdict own_load(struct ingress *ingress, struct uuid payment, const struct publisher_config *publisher,
                          struct own *ret, struct err *err)
{
    *ret = (struct own){0};
    if (read_facts(ingress->db, &payment, 1, &ret->facts, err) < 0)
        return OWN_FAILED;
    if (ret->facts.archived)
        return judge_archived(ingress, payment, publisher, err);
    if (saga_fold(&ret->facts, &ret->payment, err) < 0)
        return OWN_FAILED;
    if (is_owned(&ret->payment, publisher))
        return OWN_RECORDED;
    ret->accepted = ret->payment.received ? NULL : recent_find(ingress->recent, payment, publisher);
    return ret->accepted ? OWN_ACCEPTED : OWN_UNKNOWN;
}

void own_clear(struct own *own)
{
    payment_clear(&own->payment);
    facts_clear(&own->facts);
}

static struct answer unknown(const char *id)
{
    return answer_failure(FAILURE_NO_PAYMENT,
                          "you have no payment %s; a payment that was just published may take a moment to appear", id);
}

bool own_or_answer(struct ingress *ingress, struct request *request, const char *id, struct own *ret)
{
    struct err err = {0};
    struct uuid payment;
    *ret = (struct own){0};
    if (public_id_parse(id, &payment) < 0) {
        request_answer(request, unknown(id));
        return false;
    }
    switch (own_load(ingress, payment, visit_of(request)->publisher, ret, &err)) {
    case OWN_RECORDED:
    case OWN_ACCEPTED:
        return true;
    case OWN_ARCHIVED:
        request_answer(request,
                       answer_failure(FAILURE_ARCHIVED, "payment %s is archived; ask the operator for it", id));
        return false;
    case OWN_UNKNOWN:
        request_answer(request, unknown(id));
        return false;
    case OWN_FAILED:
        request_answer(request, ledger_failure(&err));
        return false;
    }
    return false;
}
