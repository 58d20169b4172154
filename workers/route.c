/* route.c - see route.h */
#include "workers/route.h"

#include <stdio.h>
#include <string.h>

#include "common/crypto.h"
#include "common/json.h"

const char *route_obstacle_text(enum route_obstacle obstacle)
{
    static const char *const texts[] = {
#define X(id, text) [ROUTE_##id] = text,
        ROUTE_OBSTACLES(X)
#undef X
    };
    return texts[obstacle];
}

const char *route_by_text(enum route_by by)
{
    static const char *const texts[] = {[ROUTE_BY_RULE] = "rule",
                                        [ROUTE_BY_WISH] = "preferredGateways",
                                        [ROUTE_BY_PUBLISHER] = "publisher",
                                        [ROUTE_BY_DEFAULT] = "default"};
    return texts[by];
}

/* --- which rule --- */

static bool among(const char *const *list, const char *text)
{
    for (; *list; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

static bool fits(const char *const *condition, const char *text)
{
    return !condition[0] || among(condition, text);
}

static bool rule_fits(const struct route_config *rule, const struct route_request *request)
{
    return request->amount >= rule->amount_from && request->amount <= rule->amount_to &&
           fits(rule->currencies, request->currency) && fits(rule->countries, request->country) &&
           fits(rule->methods, request->method) &&
           fits(rule->publishers, request->publisher ? request->publisher->name : "");
}

static const struct route_config *find_rule(const struct config *config, const struct route_request *request)
{
    for (size_t i = 0; i < config_route_count(config); i++)
        if (rule_fits(config_route(config, i), request))
            return config_route(config, i);
    return NULL;
}

/* --- in which order --- */

static void add(struct payment_route *route, const char *provider, int64_t cost)
{
    if (route->candidate_count < ROUTE_CANDIDATES_MAX)
        route->candidates[route->candidate_count++] = (struct route_candidate){provider, cost};
}

static void leave_out(struct payment_route *route, const char *provider, enum route_obstacle why)
{
    if (route->left_out_count < ROUTE_LEFT_OUT_MAX)
        route->left_out[route->left_out_count++] = (struct route_left_out){provider, why};
}

/* Parts per million of an amount of at most 9e15, rounded up, without overflow. */
static int64_t cost_of(const struct route_config *rule, size_t i, int64_t amount)
{
    int64_t ppm = rule->cost_ppm[i], million = 1000000;
    return rule->cost_fixed[i] + amount / million * ppm + (amount % million * ppm + million - 1) / million;
}

static size_t cheapest(const struct route_config *rule, const bool *taken, int64_t amount)
{
    size_t best = CONFIG_PREFERENCES_MAX;
    for (size_t i = 0; rule->providers[i]; i++)
        if (!taken[i] && (best == CONFIG_PREFERENCES_MAX || cost_of(rule, i, amount) < cost_of(rule, best, amount)))
            best = i;
    return best;
}

/* The same for the same payment and rule, wherever and whenever it is drawn. */
static uint64_t draw(const struct route_config *rule, struct uuid payment, size_t place, uint64_t below)
{
    char which[128];
    uint8_t digest[SHA256_SIZE];
    uint64_t number = 0;
    int size = snprintf(which, sizeof which, "route\n%s\n%zu", rule->name, place);
    sha256_two(payment.bytes, sizeof payment.bytes, which, (size_t)size, digest);
    for (size_t i = 0; i < sizeof number; i++)
        number = number << 8 | digest[i];
    return number % below;
}

/* Drawn by weight from those that are left; those without any come last, as listed. */
static size_t drawn(const struct route_config *rule, const bool *taken, struct uuid payment, size_t place)
{
    uint64_t total = 0;
    size_t first = CONFIG_PREFERENCES_MAX;
    for (size_t i = 0; rule->providers[i]; i++) {
        total += taken[i] ? 0 : (uint64_t)rule->share[i];
        first = !taken[i] && first == CONFIG_PREFERENCES_MAX ? i : first;
    }
    if (total == 0)
        return first;
    uint64_t number = draw(rule, payment, place, total);
    for (size_t i = 0; rule->providers[i]; i++) {
        uint64_t share = taken[i] ? 0 : (uint64_t)rule->share[i];
        if (number < share)
            return i;
        number -= share;
    }
    return first;
}

static size_t pick(const struct route_config *rule, const bool *taken, const struct route_request *request,
                   size_t place)
{
    switch (rule->order) {
    case ROUTE_BY_COST:
        return cheapest(rule, taken, request->amount);
    case ROUTE_BY_SHARE:
        return drawn(rule, taken, request->payment, place);
    case ROUTE_LISTED:
        break;
    }
    return place;
}

static bool wishes(const json_t *wish, const char *provider)
{
    return route_place(wish, provider) < json_array_size(wish);
}

static size_t place_in_rule(const struct route_config *rule, const char *provider)
{
    size_t i = 0;
    while (rule->providers[i] && strcmp(rule->providers[i], provider) != 0)
        i++;
    return i;
}

static void take(struct payment_route *route, const struct route_config *rule, size_t i,
                 const struct route_request *request)
{
    add(route, rule->providers[i], rule->costs_text[0] ? cost_of(rule, i, request->amount) : -1);
}

/* What the command prefers comes first, in its order. */
static void take_wished(const struct config *config, struct payment_route *route, const struct route_request *request,
                        bool *taken)
{
    const struct route_config *rule = route->rule;
    for (size_t w = 0; w < json_array_size(request->wish); w++) {
        const struct provider_config *provider =
            config_provider_find(config, json_string_value(json_array_get(request->wish, w)));
        size_t i = provider ? place_in_rule(rule, provider->name) : 0;
        if (!provider || (rule->providers[i] && taken[i]))
            continue;
        if (!rule->providers[i]) {
            leave_out(route, provider->name, ROUTE_NOT_IN_RULE);
            continue;
        }
        taken[i] = true;
        take(route, rule, i, request);
    }
}

static void list_by_rule(const struct config *config, struct payment_route *route, const struct route_request *request)
{
    const struct route_config *rule = route->rule;
    bool taken[CONFIG_PREFERENCES_MAX] = {false}, drawn_before[CONFIG_PREFERENCES_MAX] = {false};
    bool heard = json_array_size(request->wish) > 0 && rule->preferred != ROUTE_PREFERRED_IGNORED;
    if (heard)
        take_wished(config, route, request, taken);
    for (size_t place = 0; rule->providers[place]; place++) {
        size_t i = pick(rule, drawn_before, request, place);
        drawn_before[i] = true;
        if (taken[i])
            continue;
        if (heard && rule->preferred == ROUTE_PREFERRED_ONLY && !wishes(request->wish, rule->providers[i]))
            leave_out(route, rule->providers[i], ROUTE_NOT_PREFERRED);
        else
            take(route, rule, i, request);
    }
}

static void list_by_preference(const struct config *config, struct payment_route *route,
                               const struct route_request *request)
{
    const char *const *gateways = request->publisher ? request->publisher->gateways : NULL;
    if (json_array_size(request->wish) > 0) {
        route->by = ROUTE_BY_WISH;
        for (size_t i = 0; i < json_array_size(request->wish); i++) {
            const struct provider_config *provider =
                config_provider_find(config, json_string_value(json_array_get(request->wish, i)));
            if (provider)
                add(route, provider->name, -1);
        }
    } else if (gateways && gateways[0]) {
        route->by = ROUTE_BY_PUBLISHER;
        for (; *gateways; gateways++)
            add(route, *gateways, -1);
    } else {
        route->by = ROUTE_BY_DEFAULT;
        if (config_provider_count(config) > 0)
            add(route, config_provider(config, 0)->name, -1);
    }
}

/* --- who is left out --- */

static void drop_other_currencies(const struct config *config, struct payment_route *route, const char *currency)
{
    size_t kept = 0;
    for (size_t i = 0; i < route->candidate_count; i++) {
        struct route_candidate candidate = route->candidates[i];
        if (fits(config_provider_find(config, candidate.provider)->currencies, currency))
            route->candidates[kept++] = candidate;
        else
            leave_out(route, candidate.provider, ROUTE_CURRENCY);
    }
    route->candidate_count = kept;
}

/* When nobody takes new payments all stay in the list: the payment may wait until one does. */
static void drop_unavailable(struct payment_route *route, const struct route_gate *gate, const char *currency)
{
    struct route_candidate free[ROUTE_CANDIDATES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < route->candidate_count; i++) {
        const struct route_candidate *candidate = &route->candidates[i];
        enum route_obstacle why = gate->look(gate->arg, candidate->provider, currency);
        if (why == ROUTE_FREE)
            free[count++] = *candidate;
        else
            leave_out(route, candidate->provider, why);
    }
    route->waits = count == 0 && route->candidate_count > 0;
    if (route->waits)
        return;
    memcpy(route->candidates, free, count * sizeof *free);
    route->candidate_count = count;
}

void route_choose(const struct config *config, const struct route_request *request, const struct route_gate *gate,
                  struct payment_route *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->rule = find_rule(config, request);
    ret->by = ROUTE_BY_RULE;
    if (ret->rule)
        list_by_rule(config, ret, request);
    else
        list_by_preference(config, ret, request);
    drop_other_currencies(config, ret, request->currency);
    if (gate && gate->look)
        drop_unavailable(ret, gate, request->currency);
}

/* --- as it is recorded --- */

json_t *route_names(const struct payment_route *route)
{
    json_t *names = json_array();
    for (size_t i = 0; i < route->candidate_count; i++)
        json_array_append_new(names, json_string(route->candidates[i].provider));
    return names;
}

static const char *const failovers[] = {
#define X(id, text) text,
    FAILOVERS(X)
#undef X
};
enum { FAILOVER_COUNT = sizeof failovers / sizeof failovers[0] };

static json_t *failover_names(unsigned allowed)
{
    json_t *names = json_array();
    for (size_t i = 0; i < FAILOVER_COUNT; i++)
        if (allowed & 1U << i)
            json_array_append_new(names, json_string(failovers[i]));
    return names;
}

static json_t *left_out_names(const struct payment_route *route)
{
    json_t *names = json_array();
    for (size_t i = 0; i < route->left_out_count; i++)
        json_array_append_new(
            names, json_sprintf("%s=%s", route->left_out[i].provider, route_obstacle_text(route->left_out[i].why)));
    return names;
}

static void note_rule(json_t *reason, const struct payment_route *route)
{
    const struct route_config *rule = route->rule;
    json_object_set_new(reason, "rule", json_string(rule->name));
    json_object_set_new(reason, "order", json_string(rule->order_text));
    json_object_set_new(reason, "failover", failover_names(rule->failover));
    if (rule->refuses)
        json_object_set_new(reason, "refuses", json_true());
    if (!rule->costs_text[0])
        return;
    json_t *costs = json_array();
    for (size_t i = 0; i < route->candidate_count; i++)
        json_array_append_new(costs, json_integer(route->candidates[i].cost));
    json_object_set_new(reason, "costs", costs);
}

json_t *route_reason(const struct payment_route *route)
{
    json_t *reason = json_object();
    json_object_set_new(reason, "by", json_string(route_by_text(route->by)));
    if (route->rule)
        note_rule(reason, route);
    if (route->left_out_count > 0)
        json_object_set_new(reason, "leftOut", left_out_names(route));
    return reason;
}

bool route_fails_over(const json_t *reason, enum failover evidence)
{
    const json_t *allowed = json_object_get(reason, "failover");
    if (!json_is_array(allowed))
        return true;
    for (size_t i = 0; i < FAILOVER_COUNT; i++)
        if ((unsigned)evidence == 1U << i)
            return route_place(allowed, failovers[i]) < json_array_size(allowed);
    return false;
}

size_t route_place(const json_t *names, const char *provider)
{
    size_t i = 0;
    for (; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name && strcmp(name, provider) == 0)
            break;
    }
    return i;
}
