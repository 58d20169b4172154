/* stripe_refunds.c - Refunds: create, retrieve, list
 *
 * https://docs.stripe.com/api/refunds, https://docs.stripe.com/refunds. A refund needs a captured charge; the sum of
 * refunds that have not failed never goes beyond what was captured. Refunding an intent that is not captured is
 * refused here (cancel it instead).
 */
#include "stripe_refunds.h"

#include <string.h>

#include "clock.h"
#include "stripe_answers.h"
#include "stripe_wire.h"

enum { CARD_SETTLE_MS = 3000 }; /* pm_card_pendingRefund, pm_card_refundFail: how long "later" is */

static const char *const create_parameters[] = {"payment_intent", "charge", "amount", "reason",
                                                "metadata",       "expand", NULL};
static const char *const reasons[] = {"duplicate", "fraudulent", "requested_by_customer", NULL};

/* NULL: refused, answered. */
static struct intent *intent_of(struct call *call)
{
    const char *id = form_get(&call->form, "payment_intent");
    if (!id) {
        stripe_refuse(call,
                      &(struct stripe_error){.code = "parameter_missing",
                                             .message = "Missing required param: payment_intent. (The twin refunds by "
                                                        "payment_intent only.)",
                                             .param = "payment_intent"});
        return NULL;
    }
    struct intent *intent = intent_find(id);
    if (intent)
        text_copy(call->payment, sizeof call->payment, intent->payment);
    else
        stripe_refuse_missing(call, 404, "payment_intent", id, "payment_intent");
    return intent;
}

void stripe_open_refund(struct call *call)
{
    int64_t amount;
    const char *reason;
    unsigned expand;
    if (!stripe_enter(call, create_parameters) || !intent_of(call) ||
        !stripe_integer(call, "amount", 1, INT64_MAX, &amount) || !stripe_one_of(call, "reason", reasons, &reason) ||
        !stripe_expand(call, "", &expand))
        return;
    json_t *metadata = stripe_metadata(call);
    json_decref(metadata);
    if (metadata)
        stripe_begin(call);
}

/* Is there enough to refund? False: refused, answered. */
static bool covered(struct call *call, struct intent *intent, int64_t amount)
{
    char message[192];
    int64_t left = intent->received - intent_refunded(intent, true);
    if (intent->status != INTENT_SUCCEEDED) {
        text_print(message, sizeof message, "This PaymentIntent (%s) does not have a successful charge to refund.",
                   intent->id);
        stripe_refuse(call, &(struct stripe_error){.message = message, .param = "payment_intent"});
        return false;
    }
    if (left <= 0) {
        text_print(message, sizeof message, "Charge %s has already been refunded.", intent->charge);
        stripe_refuse(call, &(struct stripe_error){.code = "charge_already_refunded", .message = message});
        return false;
    }
    if (amount > left) {
        text_print(message, sizeof message,
                   "Refund amount (%lld %s) is greater than unrefunded amount on charge (%lld %s)", (long long)amount,
                   intent->currency, (long long)left, intent->currency);
        stripe_refuse(call,
                      &(struct stripe_error){.message = message, .param = "amount"}); /* Stripe gives no code here */
        return false;
    }
    return true;
}

/* A refund that does not simply succeed: told so by a fault, or by the card. */
static void set_course(const struct call *call, struct refund *refund)
{
    enum card_way way = refund->intent->card->way;
    if (call->fault.kind == FAULT_DECLINE || call->fault.kind == FAULT_FAILED_200) {
        refund->status = REFUND_FAILED;
    } else if (call->fault.kind == FAULT_PENDING) {
        refund->status = REFUND_PENDING;
        refund->settle_to = strcmp(call->fault.code, "failed") == 0 ? REFUND_FAILED : REFUND_SUCCEEDED;
        refund->settle_at = clock_ms(CLOCK_STRIPE) + call->fault.delay_ms;
    } else if (way == CARD_REFUNDS_LATE || way == CARD_REFUND_BOUNCES) {
        refund->status = way == CARD_REFUNDS_LATE ? REFUND_PENDING : REFUND_SUCCEEDED;
        refund->settle_to = way == CARD_REFUNDS_LATE ? REFUND_SUCCEEDED : REFUND_FAILED;
        refund->settle_at = clock_ms(CLOCK_STRIPE) + CARD_SETTLE_MS;
    }
}

static struct refund *book_refund(struct call *call, struct intent *intent, int64_t amount)
{
    struct refund *refund = refund_new(intent, amount);
    if (!refund)
        return NULL;
    json_t *given = stripe_metadata(call);
    refund->metadata = json_object();
    stripe_merge_metadata(refund->metadata, given);
    json_decref(given);
    text_copy(refund->reason, sizeof refund->reason, form_get(&call->form, "reason"));
    set_course(call, refund);
    refund_note(refund);
    return refund;
}

/* Declined without a code: a Refund that failed. With a code: 400 with that code, and no Refund at all. */
void stripe_effect_refund(struct call *call)
{
    unsigned expand = 0;
    struct intent *intent = intent_of(call);
    if (!intent)
        return;
    int64_t amount = intent->received - intent_refunded(intent, true);
    if (!stripe_integer(call, "amount", 1, INT64_MAX, &amount) || !stripe_expand(call, "", &expand) ||
        !covered(call, intent, amount))
        return;
    if (call->fault.kind == FAULT_DECLINE && call->fault.code[0]) {
        stripe_refuse(call,
                      &(struct stripe_error){.code = call->fault.code, .message = "This charge cannot be refunded."});
        return;
    }
    struct refund *refund = book_refund(call, intent, amount);
    if (refund)
        answer_json(call, 200, wire_refund(refund, expand));
    else
        stripe_refuse_full(call);
}

/* ---- retrieve ---- */

void stripe_open_refund_retrieve(struct call *call)
{
    static const char *const parameters[] = {"expand", NULL};
    unsigned expand;
    if (!stripe_enter(call, parameters) || !stripe_expand(call, "", &expand))
        return;
    const struct refund *refund = refund_find(call->args[0]);
    if (refund)
        text_copy(call->payment, sizeof call->payment, refund->intent->payment);
    else
        stripe_refuse_missing(call, 404, "refund", call->args[0], "id");
}

/* Under "lag", a younger one is not. */
static bool is_seen(const struct call *call, const struct refund *refund)
{
    return call->fault.kind != FAULT_LAG || clock_ms(CLOCK_STRIPE) - refund->created_ms >= call->fault.delay_ms;
}

void stripe_effect_refund_retrieve(struct call *call)
{
    unsigned expand = 0;
    struct refund *refund = refund_find(call->args[0]);
    if (call->fault.kind == FAULT_DECLINE || !is_seen(call, refund))
        stripe_refuse_missing(call, 404, "refund", call->args[0], "id");
    else if (stripe_expand(call, "", &expand))
        answer_json(call, 200, wire_refund(refund, expand));
}

/* ---- list: the refunds of one intent, newest first ---- */

void stripe_open_refund_list(struct call *call)
{
    static const char *const parameters[] = {"payment_intent", "limit", "starting_after", "expand", NULL};
    int64_t limit;
    unsigned expand;
    if (stripe_enter(call, parameters) && intent_of(call) && stripe_limit(call, &limit))
        stripe_expand(call, "data.", &expand);
}

/* The refund after the one named by starting_after; NULL also when that one is not there. */
static struct refund *first_wanted(const struct call *call, struct intent *intent)
{
    const char *after = form_get(&call->form, "starting_after");
    struct refund *refund = intent->refunds;
    while (after && refund && strcmp(refund->id, after) != 0)
        refund = refund->next;
    return after && refund ? refund->next : refund;
}

void stripe_effect_refund_list(struct call *call)
{
    int64_t limit;
    unsigned expand = 0;
    struct intent *intent = intent_of(call);
    if (!intent || !stripe_limit(call, &limit) || !stripe_expand(call, "data.", &expand))
        return;
    intent_refunded(intent, true); /* brings them up to date */
    json_t *data = json_array();
    struct refund *refund = call->fault.kind == FAULT_DECLINE ? NULL : first_wanted(call, intent);
    while (refund && !is_seen(call, refund))
        refund = refund->next;
    for (; refund && limit; refund = refund->next, limit--)
        json_array_append_new(data, wire_refund(refund, expand));
    answer_json(call, 200,
                json_pack("{s:s, s:s, s:b, s:o}", "object", "list", "url", "/v1/refunds", "has_more", refund != NULL,
                          "data", data));
}
