/* gateway_stripe.c - the provider alpha as Stripe shows itself: payment intents, refunds and a search, so that workers/providers/stripe.c is simulated as it is
 *
 * What it says follows from the books in gateway.c; https://docs.stripe.com/api. The first answer under a key is kept, errors of its own too.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/json.h"
#include "common/mem.h"
#include "tests/simulate/gateway.h"

enum { VALUE_SIZE = 512 };

static const char alpha[] = "alpha";

/* --- what is asked --- */

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* The value of a form field or query parameter, decoded; "" when it is not there. */
static void field(const char *form, const char *name, char ret[static VALUE_SIZE])
{
    size_t size = strlen(name), used = 0;
    const char *at = form;
    while (at && !(strncmp(at, name, size) == 0 && at[size] == '='))
        at = (at = strchr(at, '&')) ? at + 1 : NULL;
    for (at = at ? at + size + 1 : ""; *at && *at != '&' && used < VALUE_SIZE - 1; at++) {
        if (*at == '%') {
            ret[used++] = (char)(16 * hex(at[1]) + hex(at[2]));
            at += 2;
        } else {
            ret[used++] = *at;
        }
    }
    ret[used] = '\0';
}

/* The text between the quotes behind `name` in a search query. */
static void quoted(const char *query, const char *name, char *ret, size_t room)
{
    const char *at = strstr(query, name);
    at = at ? at + strlen(name) : "";
    snprintf(ret, room, "%.*s", (int)strcspn(at, "'"), at);
}

/* --- what is answered --- */

static const char *status_of(const struct hold *hold)
{
    static const char *const texts[] = {
        [HOLD_DECLINED] = "requires_payment_method",
        [HOLD_CHALLENGED] = "requires_action",
        [HOLD_HELD] = "requires_capture",
        [HOLD_CAPTURED] = "succeeded",
        [HOLD_VOIDED] = "canceled",
        [HOLD_EXPIRED] = "canceled",
    };
    return texts[hold->state];
}

static json_t *decline_error(void)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "type", "card_error", "code", "card_declined", "decline_code",
                     "generic_decline", "message", "Your card was declined.");
}

static json_t *intent_of(const struct hold *hold)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(hold->payment, id);
    json_t *intent =
        json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:{s:s, s:s}}", "object", "payment_intent", "id", hold->reference,
                  "amount", (json_int_t)hold->amount, "amount_received", (json_int_t)hold->captured, "currency", "eur",
                  "status", status_of(hold), "metadata", "acquit_payment_id", id, "acquit_key", hold->key);
    if (hold->state == HOLD_CHALLENGED)
        json_object_set_new(intent, "next_action",
                            json_pack("{s:s, s:{s:s}}", "type", "redirect_to_url", "redirect_to_url", "url",
                                      "https://challenge.invalid/"));
    if (hold->state == HOLD_VOIDED || hold->state == HOLD_EXPIRED)
        json_object_set_new(intent, "cancellation_reason",
                            json_string(hold->state == HOLD_VOIDED ? "requested_by_customer" : "automatic"));
    if (hold->state == HOLD_DECLINED)
        json_object_set_new(intent, "last_payment_error", decline_error());
    return intent;
}

static json_t *refund_of(const char *id, const char *intent, const char *key, int64_t amount, bool done)
{
    const char *slot = strchr(key, ':'); /* our keys are "<payment>:<slot>" */
    json_t *refund = json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:{s:s%, s:s}}", "object", "refund", "id", id,
                               "payment_intent", intent, "amount", (json_int_t)amount, "currency", "eur", "status",
                               done ? "succeeded" : "failed", "metadata", "acquit_payment_id", key,
                               slot ? (size_t)(slot - key) : 0, "acquit_slot", slot ? slot + 1 : "");
    if (!done)
        json_object_set_new(refund, "failure_reason", json_string("unknown"));
    return refund;
}

static void reply(struct order *order, int status, json_t *body)
{
    free(order->body);
    order->status = status;
    order->body = json_dumps(body, JSON_COMPACT);
    json_decref(body);
}

static void reply_error(struct order *order, int status, json_t *error)
{
    reply(order, status, json_pack("{s:o}", "error", error));
}

static json_t *invalid(const char *code, const char *message)
{
    return json_pack("{s:s, s:s, s:s}", "type", "invalid_request_error", "code", code, "message", message);
}

static json_t *unexpected_state(const struct hold *hold)
{
    json_t *error = invalid("payment_intent_unexpected_state", "This PaymentIntent is in another state.");
    json_object_set_new(error, "payment_intent", intent_of(hold));
    return error;
}

static void reply_missing(struct order *order)
{
    reply_error(order, 404, invalid("resource_missing", "No such payment_intent"));
}

/* --- questions --- */

static void serve_search(struct order *order)
{
    struct hold seen;
    json_t *data = json_array();
    if (gateway_hold_seen(order, now_us - order->stale_us, &seen))
        json_array_append_new(data, intent_of(&seen));
    reply(order, 200, json_pack("{s:s, s:b, s:o}", "object", "search_result", "has_more", 0, "data", data));
}

/* Whoever knows its name has it from an answer: it may be shown as it was, but it is never not there. */
static void serve_intent(struct order *order)
{
    struct hold seen;
    if (gateway_hold_seen(order, now_us - order->stale_us, &seen) || gateway_hold_seen(order, now_us, &seen))
        reply(order, 200, intent_of(&seen));
    else
        reply_missing(order);
}

static void serve_refunds(struct order *order)
{
    json_t *data = json_array();
    int64_t seen_us = now_us - order->stale_us;
    for (const struct kept *kept = gateway_kept_of(alpha, order->payment, NULL); kept;
         kept = gateway_kept_of(alpha, order->payment, kept))
        if (kept->operation == PROVIDER_REFUND && kept->at_us <= seen_us && *kept->reference)
            json_array_append_new(data, refund_of(kept->reference, order->reference, kept->key, kept->amount,
                                                  kept->outcome == PROVIDER_DONE));
    reply(order, 200, json_pack("{s:s, s:b, s:o}", "object", "list", "has_more", 0, "data", data));
}

/* --- effects --- */

/* How what was just done, or was not, is said. */
static void say_effect(struct order *order)
{
    const struct provider_answer *answer = &order->answer;
    const struct hold *hold = gateway_hold(order, now_us);
    if (answer->spent)
        reply_error(order, 500, json_pack("{s:s, s:s}", "type", "api_error", "message", "An error of our own."));
    else if (!hold)
        reply_missing(order);
    else if (order->operation == PROVIDER_REFUND && answer->outcome == PROVIDER_DONE)
        reply(order, 200, refund_of(answer->reference, hold->reference, order->key, order->amount, true));
    else if (order->operation == PROVIDER_REFUND)
        reply_error(order, 400, invalid(answer->code, "The refund is refused."));
    else if (order->operation == PROVIDER_AUTHORIZE && hold->state == HOLD_DECLINED) {
        json_t *error = decline_error();
        json_object_set_new(error, "payment_intent", intent_of(hold));
        reply_error(order, 402, error);
    } else if (answer->outcome == PROVIDER_DONE || answer->outcome == PROVIDER_ACTION)
        reply(order, 200, intent_of(hold));
    else if (order->operation == PROVIDER_CAPTURE && hold->state == HOLD_HELD)
        reply_error(order, 402, decline_error());
    else
        reply_error(order, 400, unexpected_state(hold));
}

static void serve_effect(struct order *order)
{
    struct kept *kept;
    bool again;
    gateway_act(order, &kept, &again);
    if (kept && again) {
        free(order->body);
        order->status = kept->status;
        order->body = mem_text(kept->body);
        order->replayed = true;
    } else {
        say_effect(order);
    }
    if (kept && !again) {
        kept->status = order->status;
        kept->body = mem_text(order->body);
    }
    if (kept && now_us < kept->dark_until_us) { /* the answer never comes through */
        order->status = 504;
        order->replayed = false;
        order->body[0] = '\0';
    }
}

/* --- the door --- */

static void hear(struct order *order)
{
    struct web_caller *owner = order->owner, caller = *owner;
    free(owner);
    order->owner = NULL;
    web_tell(caller, order->end, order->status, order->body, order->replayed);
}

static void drop(struct http_call *call)
{
    struct order *order = (struct order *)call;
    free(order->owner);
    order_drop(order);
}

static void take_reference(struct order *order, const char *reference)
{
    snprintf(order->reference, sizeof order->reference, "%.39s", reference);
    const struct hold *hold = gateway_hold_named(alpha, order->reference);
    if (hold)
        order->payment = hold->payment;
}

/* GET: a search, an intent, the refunds of one. */
static void read_question(const char *target, struct order *order)
{
    char value[VALUE_SIZE], id[UUID_TEXT_SIZE];
    const char *query = strchr(target, '?');
    order->ask = true;
    if (strncmp(target, "/v1/payment_intents/search", 26) == 0) {
        field(query ? query + 1 : "", "query", value);
        quoted(value, "metadata['acquit_payment_id']:'", id, sizeof id);
        quoted(value, "metadata['acquit_key']:'", order->authorization_key, sizeof order->authorization_key);
        (void)!uuid_parse(id, &order->payment);
        order->serve = serve_search;
    } else if (strncmp(target, "/v1/refunds", 11) == 0) {
        field(query ? query + 1 : "", "payment_intent", value);
        take_reference(order, value);
        order->operation = PROVIDER_REFUND;
        order->serve = serve_refunds;
    } else {
        take_reference(order, target + strlen("/v1/payment_intents/"));
        order->serve = serve_intent;
    }
}

static void read_amount(struct order *order, const char *form, const char *name)
{
    char value[VALUE_SIZE];
    field(form, name, value);
    order->amount = strtoll(value, NULL, 10);
}

/* POST: an authorization, a capture, a cancellation, a refund. */
static void read_effect(const char *target, const char *form, struct order *order)
{
    static const char intents[] = "/v1/payment_intents";
    char value[VALUE_SIZE];
    order->serve = serve_effect;
    if (strcmp(target, intents) == 0) {
        order->operation = PROVIDER_AUTHORIZE;
        field(form, "metadata[acquit_payment_id]", value);
        (void)!uuid_parse(value, &order->payment);
        memcpy(order->authorization_key, order->key, sizeof order->authorization_key);
        read_amount(order, form, "amount");
        return;
    }
    if (strcmp(target, "/v1/refunds") == 0) {
        order->operation = PROVIDER_REFUND;
        field(form, "payment_intent", value);
        take_reference(order, value);
        read_amount(order, form, "amount");
        return;
    }
    const char *reference = target + strlen(intents) + 1, *action = strchr(reference, '/');
    snprintf(value, sizeof value, "%.*s", (int)(action ? action - reference : 0), reference);
    take_reference(order, value);
    bool captures = action && strcmp(action, "/capture") == 0;
    order->operation = captures ? PROVIDER_CAPTURE : PROVIDER_VOID;
    if (captures)
        read_amount(order, form, "amount_to_capture");
}

struct http_call *gateway_stripe_start(const char *target, const struct http_request *request, struct web_caller caller)
{
    struct web_caller *owner = mem_new(1, sizeof *owner);
    *owner = caller;
    struct order order = {
        .call.drop = drop, .owner = owner, .hear = hear, .provider = alpha, .timeout_ms = request->timeout_ms};
    snprintf(order.key, sizeof order.key, "%s", web_header(request, "Idempotency-Key"));
    if (strcmp(request->method, "GET") == 0)
        read_question(target, &order);
    else
        read_effect(target, request->body ? request->body : "", &order);
    story("%s %s %s at alpha", request->method, target, order.key);
    return &order_send(order)->call;
}
