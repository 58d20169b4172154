/* stripe_intents.c - PaymentIntents: create, confirm, capture, cancel, retrieve
 *
 * States and what is allowed in each: https://docs.stripe.com/payments/paymentintents/lifecycle; operations:
 * https://docs.stripe.com/api/payment_intents.
 *
 * open_* validates and finds, and refuses without a trace (Stripe does not remember validation errors under a key
 * either); effect_* looks at the state, which may have changed since when the effect is a late one, and its refusals
 * are remembered.
 */
#include "stripe_intents.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "journal.h"
#include "stripe_answers.h"
#include "stripe_wire.h"

enum { MAX_AMOUNT = 99999999 }; /* eight digits */

/* ---- create ---- */

struct creation {
    int64_t amount;
    char currency[4];
    const struct card *card; /* NULL: no payment method given */
    bool confirm;
    bool off_session;
    bool error_on_action;
    const char *capture_method;
    unsigned expand;
};

static const char *const create_parameters[] = {"amount",
                                                "currency",
                                                "payment_method",
                                                "confirm",
                                                "capture_method",
                                                "metadata",
                                                "description",
                                                "receipt_email",
                                                "payment_method_types",
                                                "off_session",
                                                "expand",
                                                "return_url",
                                                "error_on_requires_action",
                                                "automatic_payment_methods",
                                                "confirmation_method",
                                                "payment_method_options",
                                                "statement_descriptor",
                                                "statement_descriptor_suffix",
                                                "use_stripe_sdk",
                                                NULL};
static const char *const capture_methods[] = {"automatic", "automatic_async", "manual", NULL};

static bool require(struct call *call, const char *name)
{
    char message[96];
    const char *given = form_get(&call->form, name);
    if (given && *given)
        return true;
    text_print(message, sizeof message, "Missing required param: %s.", name);
    stripe_refuse(call, &(struct stripe_error){.code = "parameter_missing", .message = message, .param = name});
    return false;
}

static bool read_currency(struct call *call, char currency[4])
{
    char message[96];
    const char *given = form_get(&call->form, "currency");
    bool good = given && strlen(given) == 3;
    for (int i = 0; good && i < 3; i++) {
        currency[i] = (char)(given[i] | 0x20);
        good = currency[i] >= 'a' && currency[i] <= 'z';
    }
    if (good)
        return true;
    text_print(message, sizeof message, "Invalid currency: %.40s.", given ? given : "");
    stripe_refuse(call, &(struct stripe_error){.message = message, .param = "currency"});
    return false;
}

static bool read_card(struct call *call, const struct card **ret)
{
    const char *token = form_get(&call->form, "payment_method");
    if (!token || !*token)
        return true;
    *ret = card_find(token);
    if (*ret)
        return true;
    stripe_refuse_missing(call, 400, "PaymentMethod", token, "payment_method");
    return false;
}

static bool read_creation(struct call *call, struct creation *c)
{
    *c = (struct creation){.capture_method = "automatic"};
    if (!require(call, "amount") || !stripe_integer(call, "amount", 1, MAX_AMOUNT, &c->amount) ||
        !require(call, "currency") || !read_currency(call, c->currency) || !read_card(call, &c->card) ||
        !stripe_boolean(call, "confirm", &c->confirm) ||
        !stripe_boolean(call, "error_on_requires_action", &c->error_on_action) ||
        !stripe_one_of(call, "capture_method", capture_methods, &c->capture_method) ||
        !stripe_expand(call, "", &c->expand))
        return false;
    const char *off_session = form_get(&call->form, "off_session");
    c->off_session = off_session && strcmp(off_session, "false") != 0; /* also "one_off" and "recurring" */
    if (c->confirm && !c->card) {
        stripe_refuse(call, &(struct stripe_error){
                                .code = "parameter_missing",
                                .message = "You cannot confirm this PaymentIntent because it's missing a payment "
                                           "method.",
                                .param = "payment_method"});
        return false;
    }
    return true;
}

/* The payment is what the metadata says, if that is a payment id. */
static void read_payment(const struct call *call, char payment[PAYMENT_SIZE])
{
    char name[96];
    text_print(name, sizeof name, "metadata[%s]", stripe_payment_key());
    if (!text_payment(payment, form_get(&call->form, name)))
        payment[0] = '\0';
}

void stripe_open_create(struct call *call)
{
    struct creation creation;
    read_payment(call, call->payment);
    if (!stripe_enter(call, create_parameters) || !read_creation(call, &creation))
        return;
    json_t *metadata = stripe_metadata(call);
    json_decref(metadata);
    if (metadata)
        stripe_begin(call);
}

static char *text_or_null(const char *text)
{
    return text && *text ? text_dup(text) : NULL;
}

static void set_method(struct intent *intent, const struct card *card)
{
    intent->card = card;
    text_random_id(intent->method, sizeof intent->method, "pm_1", 23);
}

static struct intent *make_intent(struct call *call, const struct creation *c)
{
    struct intent *intent = intent_new();
    if (!intent)
        return NULL;
    json_t *given = stripe_metadata(call);
    intent->metadata = json_object();
    stripe_merge_metadata(intent->metadata, given);
    json_decref(given);
    intent->amount = c->amount;
    memcpy(intent->currency, c->currency, sizeof intent->currency);
    memcpy(intent->payment, call->payment, sizeof intent->payment);
    intent->manual = strcmp(c->capture_method, "manual") == 0;
    intent->description = text_or_null(form_get(&call->form, "description"));
    intent->receipt_email = text_or_null(form_get(&call->form, "receipt_email"));
    intent->return_url = text_or_null(form_get(&call->form, "return_url"));
    if (c->card) {
        set_method(intent, c->card);
        intent->status = INTENT_NEEDS_CONFIRMATION;
    }
    return intent;
}

/* ---- what the card says ---- */

static void answer_intent(struct call *call, struct intent *intent, unsigned expand)
{
    intent_note(intent);
    answer_json(call, 200, wire_intent(intent, expand));
}

/* A declined intent goes back to asking for a payment method; the answer is the error that holds it. */
static void answer_declined(struct call *call, struct intent *intent, const struct decline *decline)
{
    intent->status = INTENT_NEEDS_METHOD;
    intent->declined = decline;
    struct stripe_error error = {.decline = decline, .intent = intent};
    intent_note(intent);
    stripe_refuse(call, &error);
    if (call->fault.kind == FAULT_FAILED_200)
        answer_json(call, 200, wire_intent(intent, 0));
}

/* The code of the fault, or the generic decline for a code nobody has heard of. */
static const struct decline *decline_of(const struct call *call)
{
    const struct decline *decline = decline_find(call->fault.code);
    return decline ? decline : decline_find("");
}

static void attempt(struct call *call, struct intent *intent, const struct creation *c)
{
    text_random_id(intent->charge, sizeof intent->charge, "ch_3", 23);
    if (call->fault.kind == FAULT_DECLINE || call->fault.kind == FAULT_FAILED_200) {
        answer_declined(call, intent, decline_of(call));
        return;
    }
    if (intent->card->way == CARD_DECLINES) {
        answer_declined(call, intent, intent->card->decline);
        return;
    }
    if (intent->card->way == CARD_CHALLENGES && (c->off_session || c->error_on_action)) {
        answer_declined(call, intent, decline_find("authentication_required"));
        return;
    }
    if (intent->card->way == CARD_CHALLENGES) {
        intent->charge[0] = '\0'; /* nothing was charged yet */
        intent->status = INTENT_NEEDS_ACTION;
    } else if (call->fault.kind == FAULT_PENDING) {
        intent->status = INTENT_PROCESSING;
        intent->settle_at = clock_ms(CLOCK_STRIPE) + call->fault.delay_ms;
    } else {
        intent_approve(intent);
    }
    answer_intent(call, intent, c->expand);
}

void stripe_effect_create(struct call *call)
{
    struct creation creation;
    struct intent *intent = read_creation(call, &creation) ? make_intent(call, &creation) : NULL;
    if (!intent) {
        stripe_refuse_full(call);
        return;
    }
    intent_book(intent);
    if (creation.confirm)
        attempt(call, intent, &creation);
    else
        answer_intent(call, intent, creation.expand);
}

/* ---- confirm ---- */

static const char *const confirm_parameters[] = {
    "payment_method", "off_session",    "return_url",           "error_on_requires_action", "expand",
    "receipt_email",  "use_stripe_sdk", "payment_method_types", "payment_method_options",   NULL};

static void refuse_state(struct call *call, struct intent *intent, const char *message)
{
    stripe_refuse(
        call, &(struct stripe_error){.code = "payment_intent_unexpected_state", .message = message, .intent = intent});
}

static bool read_confirmation(struct call *call, struct creation *c)
{
    *c = (struct creation){0};
    if (!read_card(call, &c->card) || !stripe_boolean(call, "error_on_requires_action", &c->error_on_action) ||
        !stripe_expand(call, "", &c->expand))
        return false;
    const char *off_session = form_get(&call->form, "off_session");
    c->off_session = off_session && strcmp(off_session, "false") != 0;
    return true;
}

void stripe_open_confirm(struct call *call)
{
    struct creation confirmation;
    if (stripe_enter(call, confirm_parameters) && stripe_intent_arg(call) && read_confirmation(call, &confirmation))
        stripe_begin(call);
}

void stripe_effect_confirm(struct call *call)
{
    struct creation confirmation;
    struct intent *intent = intent_find(call->args[0]);
    if (!read_confirmation(call, &confirmation))
        return;
    bool can = intent->status == INTENT_NEEDS_METHOD || intent->status == INTENT_NEEDS_CONFIRMATION;
    if (!can) {
        refuse_state(call, intent,
                     "You cannot confirm this PaymentIntent because it was already confirmed or canceled.");
        return;
    }
    if (confirmation.card)
        set_method(intent, confirmation.card);
    if (!intent->card || (intent->status == INTENT_NEEDS_METHOD && !confirmation.card)) {
        refuse_state(call, intent, "You cannot confirm this PaymentIntent because it's missing a payment method.");
        return;
    }
    attempt(call, intent, &confirmation);
}

/* ---- capture ---- */

static const char *const capture_parameters[] = {
    "amount_to_capture",           "metadata", "expand", "final_capture", "statement_descriptor",
    "statement_descriptor_suffix", NULL};

void stripe_open_capture(struct call *call)
{
    int64_t amount;
    unsigned expand;
    if (!stripe_enter(call, capture_parameters) || !stripe_intent_arg(call) || !stripe_expand(call, "", &expand) ||
        !stripe_integer(call, "amount_to_capture", 1, INT64_MAX, &amount))
        return;
    json_t *metadata = stripe_metadata(call);
    json_decref(metadata);
    if (metadata)
        stripe_begin(call);
}

static void refuse_capture_state(struct call *call, struct intent *intent)
{
    char message[256];
    text_print(message, sizeof message,
               "This PaymentIntent could not be captured because it has a status of %s. Only a PaymentIntent with one "
               "of the following "
               "statuses may be captured: requires_capture.",
               intent_status_name(intent->status));
    refuse_state(call, intent,
                 intent->status == INTENT_SUCCEEDED
                     ? "This PaymentIntent could not be captured because it has already been captured."
                     : message);
}

static void cancel(struct intent *intent, const char *reason)
{
    intent->status = INTENT_CANCELED;
    intent->capturable = 0;
    intent->settle_at = 0;
    intent->canceled_at = clock_ms(CLOCK_STRIPE) / 1000;
    text_copy(intent->cancel_reason, sizeof intent->cancel_reason, reason);
}

/* A declined capture leaves the intent as it was (402 card_declined), except that code charge_expired_for_capture
 * means what it says: the hold is gone, the intent canceled by Stripe itself. */
static void decline_capture(struct call *call, struct intent *intent)
{
    if (strcmp(call->fault.code, "charge_expired_for_capture") == 0) {
        cancel(intent, "automatic");
        intent_note(intent);
        stripe_refuse(
            call, &(struct stripe_error){.code = "charge_expired_for_capture",
                                         .message = "The charge cannot be captured as the authorization has expired.",
                                         .intent = intent});
        return;
    }
    stripe_refuse(call, &(struct stripe_error){.decline = decline_of(call), .intent = intent});
}

static void merge_metadata(struct call *call, struct intent *intent)
{
    json_t *given = stripe_metadata(call);
    stripe_merge_metadata(intent->metadata, given);
    json_decref(given);
}

void stripe_effect_capture(struct call *call)
{
    struct intent *intent = intent_find(call->args[0]);
    int64_t amount = intent->capturable;
    unsigned expand = 0;
    if (!stripe_integer(call, "amount_to_capture", 1, INT64_MAX, &amount) || !stripe_expand(call, "", &expand))
        return;
    if (intent->status != INTENT_NEEDS_CAPTURE) {
        refuse_capture_state(call, intent);
        return;
    }
    if (call->fault.kind == FAULT_DECLINE) {
        decline_capture(call, intent);
        return;
    }
    if (call->fault.kind == FAULT_FAILED_200) { /* the intent as it was: nothing was captured */
        answer_json(call, 200, wire_intent(intent, expand));
        return;
    }
    if (amount > intent->capturable) {
        stripe_refuse(call, &(struct stripe_error){
                                .code = "amount_too_large",
                                .message = "The payment could not be captured because the requested capture amount "
                                           "is greater than the amount you can capture for this charge.",
                                .param = "amount_to_capture",
                                .intent = intent});
        return;
    }
    intent->received = amount;
    intent->capturable = 0;
    intent->status = INTENT_SUCCEEDED;
    merge_metadata(call, intent);
    answer_intent(call, intent, expand);
}

/* ---- cancel ---- */

static const char *const cancel_parameters[] = {"cancellation_reason", "expand", NULL};
static const char *const cancel_reasons[] = {"duplicate", "fraudulent", "requested_by_customer", "abandoned", NULL};

void stripe_open_cancel(struct call *call)
{
    unsigned expand;
    const char *reason;
    if (stripe_enter(call, cancel_parameters) && stripe_intent_arg(call) && stripe_expand(call, "", &expand) &&
        stripe_one_of(call, "cancellation_reason", cancel_reasons, &reason))
        stripe_begin(call);
}

static void refuse_cancel_state(struct call *call, struct intent *intent)
{
    char message[256];
    text_print(message, sizeof message,
               "You cannot cancel this PaymentIntent because it has a status of %s. Only a PaymentIntent with one of "
               "the following "
               "statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, "
               "requires_action, processing.",
               intent_status_name(intent->status));
    refuse_state(call, intent, message);
}

void stripe_effect_cancel(struct call *call)
{
    struct intent *intent = intent_find(call->args[0]);
    const char *reason = "";
    unsigned expand = 0;
    if (!stripe_one_of(call, "cancellation_reason", cancel_reasons, &reason) || !stripe_expand(call, "", &expand))
        return;
    if (intent->status == INTENT_CANCELED || intent->status == INTENT_SUCCEEDED || call->fault.kind == FAULT_DECLINE) {
        refuse_cancel_state(call, intent);
        return;
    }
    if (call->fault.kind == FAULT_FAILED_200) { /* the intent as it was: it still holds the money */
        answer_json(call, 200, wire_intent(intent, expand));
        return;
    }
    cancel(intent, reason);
    answer_intent(call, intent, expand);
}

/* ---- retrieve, balance ---- */

static const char *const retrieve_parameters[] = {"expand", "client_secret", NULL};

void stripe_open_retrieve(struct call *call)
{
    unsigned expand;
    if (stripe_enter(call, retrieve_parameters) && stripe_intent_arg(call))
        stripe_expand(call, "", &expand);
}

/* Declining a question is pretending not to know. */
void stripe_effect_retrieve(struct call *call)
{
    unsigned expand = 0;
    struct intent *intent = intent_find(call->args[0]);
    if (call->fault.kind == FAULT_LAG)
        intent = intent_behind(intent, call->fault.delay_ms);
    if (call->fault.kind == FAULT_DECLINE || !intent)
        stripe_refuse_missing(call, 404, "payment_intent", call->args[0], "intent");
    else if (stripe_expand(call, "", &expand))
        answer_json(call, 200, wire_intent(intent, expand));
}

void stripe_open_balance(struct call *call)
{
    static const char *const parameters[] = {"expand", NULL};
    stripe_enter(call, parameters);
}

void stripe_effect_balance(struct call *call)
{
    answer_json(call, 200, wire_balance());
}

/* ---- control ---- */

void control_authenticate(struct call *call)
{
    struct intent *intent = intent_find(call->args[0]);
    const char *outcome = json_string_value(json_object_get(call->json, "outcome"));
    bool succeed = outcome && strcmp(outcome, "succeed") == 0;
    if (!intent) {
        answer_error(call, 404, "no such intent");
        return;
    }
    if (!succeed && (!outcome || strcmp(outcome, "fail") != 0)) {
        answer_error(call, 400, "outcome: succeed or fail");
        return;
    }
    if (intent->status != INTENT_NEEDS_ACTION) {
        answer_error(call, 409, "the intent does not require action");
        return;
    }
    if (succeed) {
        text_random_id(intent->charge, sizeof intent->charge, "ch_3", 23);
        intent_approve(intent);
    } else {
        intent->status = INTENT_NEEDS_METHOD;
        intent->declined = decline_find("authentication_required");
    }
    answer_intent(call, intent, 0);
}
