/* control.c - what a test tells the twins and asks them: everything below /_twin
 *
 * Refusals are {"error": what}. No key is asked for: the twins listen on the loopback address only.
 */
#include "control.h"

#include <string.h>

#include "clock.h"
#include "journal.h"
#include "keys.h"
#include "paypal_books.h"
#include "reqlog.h"
#include "stripe_books.h"
#include "stripe_keys.h"
#include "tokens.h"
#include "validators.h"
#include "webhooks.h"

/* ---- faults ---- */

void control_add_fault(struct call *call)
{
    char why[96];
    uint64_t id;
    if (faults_add(call->json, &id, why, sizeof why))
        answer_json(call, 201, json_pack("{s:I}", "id", (json_int_t)id));
    else
        answer_error(call, 400, why);
}

void control_list_faults(struct call *call)
{
    answer_json(call, 200, faults_list());
}

void control_clear_faults(struct call *call)
{
    answer_json(call, 200, json_pack("{s:I}", "removed", (json_int_t)faults_clear()));
}

void control_remove_fault(struct call *call)
{
    int64_t id;
    if (text_integer(call->args[0], 1, INT64_MAX, &id) && faults_remove((uint64_t)id))
        answer_json(call, 200, json_pack("{s:i}", "removed", 1));
    else
        answer_error(call, 404, "no such fault");
}

/* ---- books ---- */

/* The payment asked for, NULL for all. False: refused, answered. */
static bool read_payment(struct call *call, char payment[PAYMENT_SIZE], const char **ret)
{
    const char *given = form_get(&call->form, "paymentId");
    *ret = NULL;
    if (!given)
        return true;
    if (!text_payment(payment, given)) {
        answer_error(call, 400, "paymentId: a UUID, or tx_ and 32 hex digits");
        return false;
    }
    *ret = payment;
    return true;
}

void control_books(struct call *call)
{
    static const struct {
        const char *name;
        json_t *(*books)(const char *payment);
    } known[] = {{"stripe", stripe_books},
                 {"paypal", paypal_books},
                 {"validators", validators_books},
                 {"tokens", tokens_books},
                 {"webhooks", webhooks_books}};
    char payment[PAYMENT_SIZE];
    const char *wanted;
    if (!read_payment(call, payment, &wanted))
        return;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, call->args[0]) == 0) {
            answer_json(call, 200, known[i].books(wanted));
            return;
        }
    }
    answer_error(call, 404, "no such books");
}

void control_rewrite_books(struct call *call)
{
    if (strcmp(call->args[0], "tokens") == 0)
        tokens_rewrite(call);
    else if (strcmp(call->args[0], "validators") == 0)
        validators_rewrite(call);
    else
        answer_error(call, 404, "no such books, or none that may be rewritten");
}

/* ---- request log ---- */

void control_requests(struct call *call)
{
    char payment[PAYMENT_SIZE];
    char total[24];
    const char *wanted;
    const char *name = form_get(&call->form, "at");
    const char *given_limit = form_get(&call->form, "limit");
    enum point at = POINT_NONE;
    int64_t limit = LIMIT_LOG_ANSWER;
    size_t matched;
    if (!read_payment(call, payment, &wanted))
        return;
    if ((name && !point_named(name, &at)) || (given_limit && !text_integer(given_limit, 1, LIMIT_LOG_ANSWER, &limit))) {
        answer_error(call, 400, "at: a point; limit: 1 to 10000");
        return;
    }
    answer_json(call, 200, reqlog_list(wanted, at, (size_t)limit, &matched));
    text_print(total, sizeof total, "%zu", matched);
    answer_header(call, "Twin-Total-Count", total);
}

/* ---- clock, health ---- */

void control_clock(struct call *call)
{
    const json_t *seconds = json_object_get(call->json, "advanceSeconds");
    const json_t *name = json_object_get(call->json, "twin");
    enum clock_of whose = CLOCK_STRIPE;
    if (!json_is_integer(seconds) ||
        (name && (!json_is_string(name) || !clock_named(json_string_value(name), &whose))) ||
        !clock_advance(whose, json_integer_value(seconds))) {
        answer_error(call, 400, "advanceSeconds: an integer; twin: stripe, paypal, validators or webhooks");
        return;
    }
    int64_t offset = clock_offset_seconds(whose);
    if (journal_on())
        journal_note(
            json_pack("{s:s, s:s, s:I}", "t", "clock", "twin", clock_name(whose), "offset", (json_int_t)offset));
    answer_json(call, 200,
                json_pack("{s:s, s:I, s:I}", "twin", clock_name(whose), "offsetSeconds", (json_int_t)offset, "now",
                          (json_int_t)(clock_ms(whose) / 1000)));
}

bool control_apply_clock(const json_t *record)
{
    enum clock_of whose;
    const char *name = json_string_value(json_object_get(record, "twin"));
    if (!name || !clock_named(name, &whose))
        return false;
    int64_t offset = json_integer_value(json_object_get(record, "offset"));
    return clock_advance(whose, offset - clock_offset_seconds(whose));
}

void control_health(struct call *call)
{
    answer_json(call, 200,
                json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "status", "ok", "validators", (json_int_t)keys_count(),
                          "intents", (json_int_t)intent_count(), "orders", (json_int_t)paypal_order_count(),
                          "idempotencyKeysEvicted", (json_int_t)stripe_keys_evicted(), "requestsDropped",
                          (json_int_t)reqlog_dropped()));
}
