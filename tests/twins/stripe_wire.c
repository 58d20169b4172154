/* stripe_wire.c - Stripe's objects as they travel
 *
 * Members and their types: the examples on https://docs.stripe.com/api/payment_intents/object, /api/charges/object,
 * /api/refunds/object, /api/payment_methods/object, /api/balance/balance_object and /api/errors (version
 * 2025-05-28.basil), and the fixtures of https://github.com/stripe/openapi (openapi/fixtures3.json: payment_intent,
 * charge, refund, payment_method, balance). Members the twin has no use for are there with the value they have in
 * those examples.
 */
#include "stripe_wire.h"

#include <string.h>

enum { EXP_MONTH = 12, EXP_YEAR = 2034 };

static void set(json_t *to, const char *name, json_t *take)
{
    json_object_set_new(to, name, take);
}

static void set_text(json_t *to, const char *name, const char *text)
{
    set(to, name, text && *text ? json_string(text) : json_null());
}

static void set_number(json_t *to, const char *name, int64_t number)
{
    set(to, name, json_integer(number));
}

static void set_nulls(json_t *to, const char *const *names)
{
    for (; *names; names++)
        set(to, *names, json_null());
}

unsigned expand_asked(const struct form *form, const char *prefix)
{
    static const struct {
        const char *name;
        enum expand expand;
    } known[] = {{"latest_charge", EXPAND_CHARGE},
                 {"charge", EXPAND_CHARGE},
                 {"payment_method", EXPAND_METHOD},
                 {"payment_intent", EXPAND_INTENT}};
    unsigned asked = 0;
    char index[8];
    for (size_t i = 0; i < form->count; i++) {
        if (!form_member(&form->pairs[i], "expand", index, sizeof index))
            continue;
        const char *name = form->pairs[i].value;
        if (!text_starts(name, prefix))
            return EXPAND_UNKNOWN;
        unsigned found = EXPAND_UNKNOWN;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
            if (strcmp(known[k].name, name + strlen(prefix)) == 0)
                found = known[k].expand;
        }
        asked |= found;
    }
    return asked;
}

/* ---- payment method and charge ---- */

static json_t *wire_billing(void)
{
    json_t *address = json_object();
    static const char *const lines[] = {"city", "country", "line1", "line2", "postal_code", "state", NULL};
    static const char *const rest[] = {"email", "name", "phone", NULL};
    set_nulls(address, lines);
    json_t *billing = json_object();
    set(billing, "address", address);
    set_nulls(billing, rest);
    return billing;
}

static json_t *wire_card(const struct card *card)
{
    return json_pack("{s:s, s:{s:n, s:n, s:s}, s:s, s:i, s:i, s:s, s:s, s:s, s:{s:[s], s:n}, s:{s:b}, s:n}", "brand",
                     card->brand, "checks", "address_line1_check", "address_postal_code_check", "cvc_check", "pass",
                     "country", "US", "exp_month", EXP_MONTH, "exp_year", EXP_YEAR, "fingerprint", "Xt5EWLLDS7FJjR1c",
                     "funding", card->funding, "last4", card->last4, "networks", "available", card->brand, "preferred",
                     "three_d_secure_usage", "supported", 1, "wallet");
}

static json_t *wire_method(const struct intent *intent)
{
    json_t *method = json_object();
    set_text(method, "id", intent->method);
    set_text(method, "object", "payment_method");
    set(method, "billing_details", wire_billing());
    set(method, "card", wire_card(intent->card));
    set_number(method, "created", intent->created_ms / 1000);
    set(method, "customer", json_null());
    set(method, "livemode", json_false());
    set(method, "metadata", json_object());
    set_text(method, "type", "card");
    return method;
}

static json_t *wire_outcome(const struct intent *intent)
{
    if (intent->declined)
        return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "network_status", "declined_by_network", "reason",
                         intent->declined->decline_code, "risk_level", "normal", "risk_score", 21, "seller_message",
                         "The bank did not return any further details with this decline.", "type", "issuer_declined");
    return json_pack("{s:s, s:n, s:s, s:i, s:s, s:s}", "network_status", "approved_by_network", "reason", "risk_level",
                     "normal", "risk_score", 21, "seller_message", "Payment complete.", "type", "authorized");
}

static json_t *wire_charge_card(const struct card *card)
{
    json_t *in = json_pack("{s:s, s:{s:n, s:n, s:s}, s:s, s:i, s:i, s:s, s:s, s:n, s:s, s:n, s:s, s:n, s:n}", "brand",
                           card->brand, "checks", "address_line1_check", "address_postal_code_check", "cvc_check",
                           "pass", "country", "US", "exp_month", EXP_MONTH, "exp_year", EXP_YEAR, "fingerprint",
                           "Xt5EWLLDS7FJjR1c", "funding", card->funding, "installments", "last4", card->last4,
                           "mandate", "network", card->brand, "three_d_secure", "wallet");
    return json_pack("{s:o, s:s}", "card", in, "type", "card");
}

static json_t *wire_charge(struct intent *intent)
{
    static const char *const nulls[] = {"application",
                                        "application_fee",
                                        "application_fee_amount",
                                        "customer",
                                        "on_behalf_of",
                                        "receipt_number",
                                        "receipt_url",
                                        "review",
                                        "shipping",
                                        "source_transfer",
                                        "statement_descriptor",
                                        "statement_descriptor_suffix",
                                        "transfer_data",
                                        "transfer_group",
                                        NULL};
    bool released = intent->status == INTENT_CANCELED; /* an uncaptured charge is released as a refund of all of it */
    int64_t refunded = released ? intent->amount : intent_refunded(intent, true);
    json_t *charge = json_object();
    set_text(charge, "id", intent->charge);
    set_text(charge, "object", "charge");
    set_number(charge, "amount", intent->amount);
    set_number(charge, "amount_captured", intent->received);
    set_number(charge, "amount_refunded", refunded);
    set(charge, "balance_transaction", json_null());
    set(charge, "billing_details", wire_billing());
    set_text(charge, "calculated_statement_descriptor", "TWIN");
    set(charge, "captured", json_boolean(intent->status == INTENT_SUCCEEDED));
    set_number(charge, "created", intent->created_ms / 1000);
    set_text(charge, "currency", intent->currency);
    set_text(charge, "description", intent->description);
    set(charge, "disputed", json_false());
    set(charge, "failure_balance_transaction", json_null());
    set_text(charge, "failure_code", intent->declined ? intent->declined->code : NULL);
    set_text(charge, "failure_message", intent->declined ? intent->declined->message : NULL);
    set(charge, "fraud_details", json_object());
    set(charge, "livemode", json_false());
    set(charge, "metadata", json_deep_copy(intent->metadata));
    set(charge, "outcome", wire_outcome(intent));
    set(charge, "paid", json_boolean(!intent->declined));
    set_text(charge, "payment_intent", intent->id);
    set_text(charge, "payment_method", intent->method);
    set(charge, "payment_method_details", wire_charge_card(intent->card));
    set_text(charge, "receipt_email", intent->receipt_email);
    set(charge, "refunded", json_boolean(refunded && refunded == (released ? intent->amount : intent->received)));
    set_text(charge, "status", intent->declined ? "failed" : "succeeded");
    set_nulls(charge, nulls);
    return charge;
}

/* ---- payment intent ---- */

json_t *wire_card_error(struct intent *intent, const struct decline *decline)
{
    char doc[160];
    text_print(doc, sizeof doc, "https://stripe.com/docs/error-codes/%s", decline->code);
    for (char *c = doc + strlen("https://stripe.com/docs/error-codes/"); *c; c++) {
        if (*c == '_')
            *c = '-';
    }
    json_t *error = json_object();
    if (intent->charge[0])
        set_text(error, "charge", intent->charge);
    set_text(error, "code", decline->code);
    set_text(error, "decline_code", decline->decline_code);
    set_text(error, "doc_url", doc);
    set_text(error, "message", decline->message);
    if (strcmp(decline->code, "incorrect_cvc") == 0)
        set_text(error, "param", "cvc");
    if (strcmp(decline->code, "expired_card") == 0)
        set_text(error, "param", "exp_month");
    set(error, "payment_method", wire_method(intent));
    set_text(error, "type", "card_error");
    return error;
}

static json_t *wire_next_action(const struct intent *intent)
{
    char url[160];
    if (intent->status != INTENT_NEEDS_ACTION)
        return json_null();
    text_print(url, sizeof url, "https://hooks.stripe.com/3d_secure_2/hosted?payment_intent=%s", intent->id);
    if (intent->return_url)
        return json_pack("{s:{s:s, s:s}, s:s}", "redirect_to_url", "return_url", intent->return_url, "url", url, "type",
                         "redirect_to_url");
    return json_pack("{s:s, s:{s:s, s:s}}", "type", "use_stripe_sdk", "use_stripe_sdk", "type",
                     "three_d_secure_redirect", "stripe_js", url);
}

static json_t *wire_last_error(struct intent *intent)
{
    return intent->declined ? wire_card_error(intent, intent->declined) : json_null();
}

static void set_expandable(json_t *to, const char *name, const char *id, json_t *expanded)
{
    if (expanded)
        set(to, name, expanded);
    else
        set_text(to, name, id);
}

json_t *wire_intent(struct intent *intent, unsigned expand)
{
    static const char *const nulls[] = {"on_behalf_of",
                                        "processing",
                                        "review",
                                        "setup_future_usage",
                                        "shipping",
                                        "source",
                                        "statement_descriptor",
                                        "statement_descriptor_suffix",
                                        "transfer_data",
                                        "transfer_group",
                                        NULL};
    char secret[2 * STRIPE_ID_SIZE + 16];
    bool has_method =
        intent->method[0] && intent->status != INTENT_NEEDS_METHOD; /* a declined one is taken away again */
    text_print(secret, sizeof secret, "%s_secret_%s", intent->id, intent->secret);
    json_t *to = json_object();
    set_text(to, "id", intent->id);
    set_text(to, "object", "payment_intent");
    set_number(to, "amount", intent->amount);
    set_number(to, "amount_capturable", intent->capturable);
    set(to, "amount_details", json_pack("{s:{}}", "tip"));
    set_number(to, "amount_received", intent->received);
    set(to, "application", json_null());
    set(to, "application_fee_amount", json_null());
    set(to, "automatic_payment_methods", json_null());
    set(to, "canceled_at", intent->canceled_at ? json_integer(intent->canceled_at) : json_null());
    set_text(to, "cancellation_reason", intent->cancel_reason);
    set_text(to, "capture_method", intent->manual ? "manual" : "automatic");
    set_text(to, "client_secret", secret);
    set_text(to, "confirmation_method", "automatic");
    set_number(to, "created", intent->created_ms / 1000);
    set_text(to, "currency", intent->currency);
    set(to, "customer", json_null());
    set_text(to, "description", intent->description);
    set(to, "last_payment_error", wire_last_error(intent));
    set_expandable(to, "latest_charge", intent->charge,
                   expand & EXPAND_CHARGE && intent->charge[0] ? wire_charge(intent) : NULL);
    set(to, "livemode", json_false());
    set(to, "metadata", json_deep_copy(intent->metadata));
    set(to, "next_action", wire_next_action(intent));
    set_expandable(to, "payment_method", has_method ? intent->method : NULL,
                   expand & EXPAND_METHOD && has_method ? wire_method(intent) : NULL);
    set(to, "payment_method_options",
        json_pack("{s:{s:n, s:n, s:n, s:s}}", "card", "installments", "mandate_options", "network",
                  "request_three_d_secure", "automatic"));
    set(to, "payment_method_types", json_pack("[s]", "card"));
    set_text(to, "receipt_email", intent->receipt_email);
    set_text(to, "status", intent_status_name(intent->status));
    set_nulls(to, nulls);
    return to;
}

/* ---- refund, balance ---- */

json_t *wire_refund(struct refund *refund, unsigned expand)
{
    struct intent *intent = refund->intent;
    json_t *to = json_object();
    set_text(to, "id", refund->id);
    set_text(to, "object", "refund");
    set_number(to, "amount", refund->amount);
    set(to, "balance_transaction", json_null());
    set_expandable(to, "charge", intent->charge, expand & EXPAND_CHARGE ? wire_charge(intent) : NULL);
    set_number(to, "created", refund->created);
    set_text(to, "currency", intent->currency);
    set(to, "destination_details",
        json_pack("{s:{s:s, s:s, s:s}, s:s}", "card", "reference_status", "pending", "reference_type",
                  "acquirer_reference_number", "type", "refund", "type", "card"));
    if (refund->status == REFUND_FAILED)
        set_text(to, "failure_reason", "expired_or_canceled_card");
    set(to, "metadata", json_deep_copy(refund->metadata));
    set_expandable(to, "payment_intent", intent->id, expand & EXPAND_INTENT ? wire_intent(intent, 0) : NULL);
    if (refund->status == REFUND_PENDING)
        set_text(to, "pending_reason", "processing");
    set_text(to, "reason", refund->reason);
    set(to, "receipt_number", json_null());
    set(to, "source_transfer_reversal", json_null());
    set_text(to, "status", refund_status_name(refund->status));
    set(to, "transfer_reversal", json_null());
    return to;
}

static json_t *wire_balance_line(const char *currency, int64_t amount)
{
    return json_pack("{s:I, s:s, s:{s:I}}", "amount", (json_int_t)amount, "currency", currency, "source_types", "card",
                     (json_int_t)amount);
}

/* Always empty: the endpoint is there for health checks; the twin's money is in GET /_twin/books/stripe. */
json_t *wire_balance(void)
{
    return json_pack("{s:s, s:[o], s:b, s:[o]}", "object", "balance", "available", wire_balance_line("eur", 0),
                     "livemode", 0, "pending", wire_balance_line("eur", 0));
}
