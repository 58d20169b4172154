/* health.c - is this process alive, are its neighbours, and what did the payment providers last say
 *
 * /health is for whoever would restart the process: it asks nobody. The others ask the ledger; a provider is never
 * called from here.
 */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "ledger/read.h"
#include "workers/ingress/waiting.h"
#include "workers/program.h"
#include "workers/route.h"

enum {
    GATEWAYS_PAYMENTS = 100, /* newest payments whose facts are looked through */
    GATEWAYS_KEEP_MS = 2000, /* how long an answer is kept, so that asking often costs nothing */
};

void health(struct ingress *ingress, struct request *request)
{
    (void)ingress;
    request_answer(request, answer_json(200, json_pack("{s:s}", "status", "ok")));
}

/* -- the neighbours */

static json_t *ask_database(struct ingress *ingress, bool *ret_up)
{
    struct err err = {0};
    int64_t before_ms = clock_monotonic_ms();
    struct db_result *result = db_query(ingress->db, "SELECT 1", 0, NULL, &err);
    *ret_up = result != NULL;
    db_result_free(result);
    if (!*ret_up) {
        log_warn("ledger: %s", err.text);
        return json_pack("{s:s, s:s}", "status", "down", "message", "the ledger does not answer");
    }
    return json_pack("{s:s, s:I}", "status", "ok", "latencyMs", (json_int_t)(clock_monotonic_ms() - before_ms));
}

static struct answer health_answer(bool ok, json_t *data)
{
    struct answer answer = answer_json(ok ? 200 : 503, data);
    if (ok)
        return answer;
    json_object_set_new(data, "retryAfter", json_integer(RETRY_AFTER_S));
    answer_header(&answer, "Retry-After", "%d", RETRY_AFTER_S);
    return answer;
}

void health_database(struct ingress *ingress, struct request *request)
{
    bool up;
    json_t *data = ask_database(ingress, &up);
    request_answer(request, health_answer(up, data));
}

void health_detailed(struct ingress *ingress, struct request *request)
{
    bool database_up, broker_up = publisher_ready(ingress->publisher);
    json_t *database = ask_database(ingress, &database_up);
    bool ok = database_up && broker_up;
    json_t *data = json_pack(
        "{s:s, s:s, s:I, s:b, s:o, s:{s:s, s:I}, s:{s:I, s:I}}", "status", ok ? "ok" : "degraded", "version",
        ACQUIT_VERSION, "uptimeSeconds", (json_int_t)((clock_monotonic_ms() - ingress->started_ms) / 1000), "draining",
        (int)ingress->draining, "database", database, "broker", "status", broker_up ? "ok" : "down", "unconfirmed",
        (json_int_t)publisher_waiting(ingress->publisher), "requests", "open",
        (json_int_t)server_requests(ingress->server), "waiting", (json_int_t)waiting_count(ingress->waiting));
    request_answer(request, health_answer(ok, data));
}

/* -- what the providers last said */

/* What is told of a provider: how often each answer, and the newest one. */
struct gateway {
    const char *name, *kind;
    json_t *counts;
    int64_t last_ms;
    char operation[16], outcome[OUTCOME_SIZE];
    int64_t considered_ms; /* when the newest payment was received that could go there */
    char left_out[32];     /* why it did not; "" when nothing kept it away */
};

/* The authorization at whose provider the fact was made, and what was asked; NULL: not a provider's answer. */
static const char *operation_of(struct slot slot, const struct payment *payment, int *ret_n)
{
    *ret_n = slot.n;
    switch (slot.kind) {
    case SLOT_AUTH_RESULT:
    case SLOT_AUTH_LATE:
    case SLOT_AUTH_DOUBT:
    case SLOT_AUTH_LATE_DOUBT:
        return "authorize";
    case SLOT_VOID:
    case SLOT_VOID_DOUBT:
        return "void";
    case SLOT_CAPTURE:
    case SLOT_CAPTURE_DOUBT:
        *ret_n = payment->commit;
        return "capture";
    case SLOT_REFUND_RESULT:
    case SLOT_REFUND_DOUBT:
        *ret_n = payment->commit;
        return "refund";
    default: /* every other kind is nobody's answer; new kinds are so until said otherwise */
        return NULL;
    }
}

static struct gateway *gateway_find(struct gateway *gateways, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(gateways[i].name, name) == 0)
            return &gateways[i];
    return NULL; /* no longer configured */
}

static void note_answer(struct gateway *gateway, const char *operation, const struct fact *fact)
{
    json_int_t seen = json_int(gateway->counts, fact->outcome, 0);
    json_object_set_new(gateway->counts, fact->outcome, json_integer(seen + 1));
    if (fact->at_ms < gateway->last_ms)
        return;
    gateway->last_ms = fact->at_ms;
    snprintf(gateway->operation, sizeof gateway->operation, "%s", operation);
    snprintf(gateway->outcome, sizeof gateway->outcome, "%s", fact->outcome);
}

/* Is the text "stripe=breaker_open" about that provider, and says that it takes no new payments? Why, or NULL. */
static const char *closed_for(const char *text, const char *provider)
{
    size_t size = strlen(provider);
    if (!text || strncmp(text, provider, size) != 0 || text[size] != '=')
        return NULL;
    const char *why = text + size + 1;
    static const enum route_obstacle closed[] = {ROUTE_BREAKER_OPEN, ROUTE_EXPOSURE};
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++)
        if (strcmp(why, route_obstacle_text(closed[i])) == 0)
            return why;
    return NULL;
}

/* What the route of a payment says of the gateway: the breakers are the workers' own, and this is what came of them. */
static void note_route(struct gateway *gateway, const struct fact *received)
{
    const json_t *names = json_object_get(received->body, "routes");
    const json_t *left_out = json_object_get(json_object_get(received->body, "route"), "leftOut");
    const char *why = NULL;
    for (size_t i = 0; i < json_array_size(left_out) && !why; i++)
        why = closed_for(json_string_value(json_array_get(left_out, i)), gateway->name);
    /* Only of the first on the list is it known that nothing kept it away. */
    bool chosen = route_place(names, gateway->name) == 0 && json_array_size(names) > 0;
    if ((!why && !chosen) || received->at_ms < gateway->considered_ms)
        return;
    gateway->considered_ms = received->at_ms;
    snprintf(gateway->left_out, sizeof gateway->left_out, "%s", why ? why : "");
}

static void note_payment(struct gateway *gateways, size_t count, const struct facts *facts,
                         const struct payment *payment)
{
    for (size_t i = 0; payment->received && i < count; i++)
        note_route(&gateways[i], payment->received);
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        int n;
        const char *operation = operation_of(slot_parse(fact->slot), payment, &n);
        if (!operation || n < 1 || n > payment->authorization_count)
            continue;
        const char *name = json_text(payment->authorizations[n].intent->body, "provider", "");
        struct gateway *gateway = gateway_find(gateways, count, name);
        if (gateway)
            note_answer(gateway, operation, fact);
    }
}

/* Returns how many payments were looked through, -1 on failure. */
static int note_recent(struct ingress *ingress, struct gateway *gateways, size_t count, struct err *err)
{
    struct uuid ids[GATEWAYS_PAYMENTS];
    int64_t seqs[GATEWAYS_PAYMENTS];
    int found = read_payment_ids(ingress->db, 0, GATEWAYS_PAYMENTS, ids, seqs, err);
    if (found < 0)
        return -1;
    struct facts *facts = mem_new((size_t)found, sizeof *facts);
    int r = read_facts(ingress->db, ids, (size_t)found, facts, err);
    for (int i = 0; r == 0 && i < found; i++) {
        struct payment payment;
        struct err unreadable = {0};
        if (saga_fold(&facts[i], &payment, &unreadable) == 0)
            note_payment(gateways, count, &facts[i], &payment);
        payment_clear(&payment);
    }
    for (int i = 0; i < found; i++)
        facts_clear(&facts[i]);
    free(facts);
    return r < 0 ? -1 : found;
}

static json_t *gateway_view(struct gateway *gateway)
{
    char at[CLOCK_TEXT_SIZE];
    json_t *last = gateway->last_ms ? json_pack("{s:s, s:s, s:s}", "operation", gateway->operation, "outcome",
                                                gateway->outcome, "at", clock_format(gateway->last_ms, at))
                                    : json_null();
    json_t *closed = *gateway->left_out ? json_pack("{s:s, s:s}", "why", gateway->left_out, "at",
                                                    clock_format(gateway->considered_ms, at))
                                        : json_null();
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "name", gateway->name, "kind", gateway->kind, "status",
                     *gateway->left_out ? "open" : "configured", "leftOut", closed, "lastResult", last, "results",
                     gateway->counts);
}

static json_t *gateways_view(struct ingress *ingress, struct err *err)
{
    struct gateway gateways[CONFIG_PROVIDERS_MAX] = {0};
    size_t count = config_provider_count(ingress->config);
    for (size_t i = 0; i < count; i++) {
        const struct provider_config *provider = config_provider(ingress->config, i);
        gateways[i] = (struct gateway){.name = provider->name, .kind = provider->kind, .counts = json_object()};
    }
    int found = note_recent(ingress, gateways, count, err);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, gateway_view(&gateways[i]));
    if (found >= 0)
        return json_pack("{s:s, s:i, s:o}", "status", "ok", "payments", found, "gateways", list);
    json_decref(list);
    return NULL;
}

void health_gateways(struct ingress *ingress, struct request *request)
{
    struct err err = {0};
    int64_t now_ms = clock_monotonic_ms();
    if (!ingress->gateways || now_ms - ingress->gateways_at_ms > GATEWAYS_KEEP_MS) {
        json_decref(ingress->gateways);
        ingress->gateways = gateways_view(ingress, &err);
        ingress->gateways_at_ms = now_ms;
    }
    request_answer(request,
                   ingress->gateways ? answer_json(200, json_incref(ingress->gateways)) : ledger_failure(&err));
}
