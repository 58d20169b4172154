/* routing.c - see routing.h */
#include "workers/routing.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/metrics.h"
#include "workers/breakers.h"
#include "workers/route.h"
#include "workers/steps.h"

static enum route_obstacle look(void *arg, const char *provider, const char *currency)
{
    const struct job *job = arg;
    if (!step_provider(job, provider))
        return ROUTE_NOT_STARTED;
    return breakers_look(job->around->breakers, provider, currency, job->command.payment_id);
}

static void count_left_out(const struct payment_route *route)
{
    char labels[128];
    for (size_t i = 0; i < route->left_out_count; i++) {
        snprintf(labels, sizeof labels, "provider=\"%.63s\",why=\"%s\"", route->left_out[i].provider,
                 route_obstacle_text(route->left_out[i].why));
        metric_add("acquit_route_left_out_total", labels, 1);
    }
}

/* What the command or its publisher named, as the idempotency key's later commands are compared with it (L10). */
static json_t *preferred(const json_t *wish, const struct publisher_config *publisher)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(wish); i++)
        json_array_append(list, json_array_get(wish, i));
    for (size_t i = 0; json_array_size(wish) == 0 && publisher->gateways[i]; i++)
        json_array_append_new(list, json_string(publisher->gateways[i]));
    return list;
}

void routing_record(const struct job *job, const struct publisher_config *publisher, json_t *received)
{
    const json_t *wish = json_object_get(job->command.body, "preferredGateways");
    struct route_gate gate = {.look = look, .arg = (void *)(uintptr_t)job};
    struct route_request request = {
        .payment = job->command.payment_id,
        .amount = json_int(received, "amount", 0),
        .currency = json_text(received, "currency", ""),
        .method = json_text(received, "paymentMethod", ""),
        .country = json_text(received, "country", ""),
        .publisher = publisher,
        .wish = wish,
    };
    struct payment_route route;
    route_choose(job->around->config, &request, &gate, &route);
    count_left_out(&route);
    json_t *names = route_names(&route);
    json_auto_t *named = preferred(wish, publisher);
    if (json_array_size(named) > 0 && !json_equal(named, names))
        json_object_set(received, "preferredGateways", named);
    json_object_set_new(received, "routes", names);
    json_object_set_new(received, "route", route_reason(&route));
}

static bool all_unavailable(const struct job *job, const json_t *received)
{
    const json_t *list = json_object_get(received, "routes");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (look((void *)(uintptr_t)job, json_string_value(json_array_get(list, i)),
                 json_text(received, "currency", "")) == ROUTE_FREE)
            return false;
    return json_array_size(list) > 0;
}

json_t *routing_refusal(const struct job *job, const json_t *received)
{
    char text[160];
    const json_t *wish = json_object_get(job->command.body, "preferredGateways");
    const json_t *reason = json_object_get(received, "route");
    for (size_t i = 0; i < json_array_size(wish); i++) {
        const char *name = json_string_value(json_array_get(wish, i));
        if (!step_provider(job, name)) {
            snprintf(text, sizeof text, "preferredGateways: %.60s is not configured", name);
            return abort_body("NO_ROUTE", "unknown_gateway", text);
        }
    }
    if (json_array_size(json_object_get(received, "routes")) == 0) {
        const char *why = json_object_get(reason, "leftOut") ? "no payment provider is left for it"
                                                             : "no payment provider is configured";
        return abort_body("NO_ROUTE", "no_gateway", why);
    }
    if (json_is_true(json_object_get(reason, "refuses")) && all_unavailable(job, received))
        return abort_body("NO_ROUTE", "unavailable", "no provider of its route takes new payments now");
    return NULL;
}

/* The first from `place` on that takes new payments; it is begun there. */
static const char *begin_from(const struct job *job, const json_t *received, size_t place)
{
    const json_t *list = json_object_get(received, "routes");
    for (; place < json_array_size(list); place++) {
        const char *name = json_string_value(json_array_get(list, place));
        if (look((void *)(uintptr_t)job, name, json_text(received, "currency", "")) != ROUTE_FREE)
            continue;
        breakers_begin(job->around->breakers, name, job->command.payment_id);
        return name;
    }
    return NULL;
}

const char *routing_first(const struct job *job, const json_t *received)
{
    return begin_from(job, received, 0);
}

static enum failover evidence_of(const struct job *job, const char *outcome)
{
    if (strcmp(outcome, "absent") == 0)
        return FAILOVER_ABSENT;
    if (strcmp(outcome, "cancelled") == 0)
        return FAILOVER_CANCELLED;
    return job->answer.unfit ? FAILOVER_REFUSED : FAILOVER_DECLINED;
}

const char *routing_next(const struct job *job, int n, const char *outcome)
{
    const json_t *received = job->payment.received->body;
    if (n >= AUTHORIZATIONS_MAX || !route_fails_over(json_object_get(received, "route"), evidence_of(job, outcome)))
        return NULL;
    size_t place = route_place(json_object_get(received, "routes"), authorization_provider(&job->payment, n));
    return begin_from(job, received, place + 1);
}
