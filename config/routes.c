/* routes.c - the list of routing rules: what a rule may say, and what its texts mean
 *
 * What follows from a rule for a payment is decided in workers/route.c.
 */
#include "config/load.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SHARE_MOST = 1000000, PPM_MOST = 1000000 };
#define AMOUNT_MOST 9000000000000000

#define AT(member) offsetof(struct route_config, member)
#define NONE                                                                                                           \
    {                                                                                                                  \
        NULL                                                                                                           \
    } /* no variable */

const struct field conf_route_fields[] = {
    /* clang-format off */
    {{"name", CONFIG_TEXT, NULL, 1, 63, "",
      "Of the rule, as payments record it (letters, digits, . _ -).", NONE, true, false}, AT(name), FIELD_USUAL},
    {{"amount_from", CONFIG_INT, "0", 0, AMOUNT_MOST, "minor units",
      "Smallest amount that fits.", NONE, true, false}, AT(amount_from), FIELD_USUAL},
    {{"amount_to", CONFIG_INT, "9000000000000000", 0, AMOUNT_MOST, "minor units",
      "Largest amount that fits.", NONE, true, false}, AT(amount_to), FIELD_USUAL},
    {{"currencies", CONFIG_NAMES, "[]", 0, CONFIG_CURRENCIES_MAX - 1, "",
      "Currencies that fit, three letters each; empty: all.", NONE, true, false}, AT(currencies), FIELD_TEXTS},
    {{"countries", CONFIG_NAMES, "[]", 0, CONFIG_CURRENCIES_MAX - 1, "",
      "Countries of the command that fit, two letters each; empty: all, and commands without one.",
      NONE, true, false}, AT(countries), FIELD_TEXTS},
    {{"methods", CONFIG_NAMES, "[]", 0, CONFIG_METHODS_MAX - 1, "",
      "Payment methods that fit: card, mobile_money, wallet, bank_transfer; empty: all.", NONE, true, false},
     AT(methods), FIELD_TEXTS},
    {{"publishers", CONFIG_NAMES, "[]", 0, CONFIG_CURRENCIES_MAX - 1, "",
      "Publishers whose payments fit; empty: all.", NONE, true, false}, AT(publishers), FIELD_TEXTS},
    {{"providers", CONFIG_NAMES, "[]", 0, CONFIG_PREFERENCES_MAX - 1, "",
      "Where such a payment may go, 1 to 7.", NONE, true, false}, AT(providers), FIELD_USUAL},
    {{"order", CONFIG_TEXT, "\"listed\"", 1, 16, "",
      "listed: as providers has them; cost: the cheapest first; share: drawn from the payment's id by shares.",
      NONE, true, false}, AT(order_text), FIELD_USUAL},
    {{"costs", CONFIG_NAMES, "[]", 0, CONFIG_PREFERENCES_MAX - 1, "",
      "Of each provider, fixed minor units and parts per million, as in stripe=25+14000; with a fixed part the rule "
      "names one currency.", NONE, true, false}, AT(costs_text), FIELD_TEXTS},
    {{"shares", CONFIG_NAMES, "[]", 0, CONFIG_PREFERENCES_MAX - 1, "",
      "Weight of each provider, as in stripe=70; 0 or none: only when those with a weight are left out or said no.",
      NONE, true, false}, AT(shares_text), FIELD_TEXTS},
    {{"preferred", CONFIG_TEXT, "\"first\"", 1, 16, "",
      "What preferredGateways of the command does: first, only, or ignored.", NONE, true, false},
     AT(preferred_text), FIELD_USUAL},
    {{"failover", CONFIG_NAMES, "[]", 0, CONFIG_FAILOVERS_MAX - 1, "",
      "After which negative answers the next provider is tried: declined, refused, cancelled, absent; or none; empty: "
      "all but declined.", NONE, true, false}, AT(failover_text), FIELD_TEXTS},
    {{"unavailable", CONFIG_TEXT, "\"wait\"", 1, 16, "",
      "When no provider takes new payments: wait until the payment's deadline, or refuse it with NO_ROUTE.",
      NONE, true, false}, AT(unavailable_text), FIELD_USUAL},
    {.is.name = NULL},
    /* clang-format on */
};

/* One of the choices; NULL ends them. */
static int find(const char *const *choices, const char *text)
{
    for (int i = 0; choices[i]; i++)
        if (strcmp(choices[i], text) == 0)
            return i;
    return -1;
}

static int check_codes(const struct loader *loader, const config_setting_t *at, const char *key,
                       const char *const *codes, size_t letters, const char *what)
{
    for (; *codes; codes++) {
        size_t good = 0;
        while (isupper((unsigned char)(*codes)[good]))
            good++;
        if (good != letters || (*codes)[good])
            return conf_fail(loader, at, "%s: \"%.16s\" is no %s", key, *codes, what);
    }
    return 0;
}

int conf_check_currencies(const struct loader *loader, const config_setting_t *at, const char *key,
                          const char *const *currencies)
{
    return check_codes(loader, at, key, currencies, 3, "currency: three upper-case letters");
}

/* A whole number that ends at `end`; -1 when it is none, or more than `most`. */
static int64_t number(const char *text, char end, int64_t most, const char **ret_rest)
{
    size_t digits = strspn(text, "0123456789");
    if (digits < 1 || text[digits] != end)
        return -1;
    int64_t n = strtoll(text, NULL, 10); /* too many digits are the largest there is */
    *ret_rest = text + digits + (end != '\0');
    return n <= most ? n : -1;
}

int conf_read_limits(const struct loader *loader, const config_setting_t *at, struct provider_config *provider)
{
    for (size_t i = 0; provider->exposure_limit[i]; i++) {
        const char *text = provider->exposure_limit[i], *rest;
        struct currency_limit *limit = &provider->limits[i];
        snprintf(limit->currency, sizeof limit->currency, "%.3s", text);
        const char *const currency[] = {limit->currency, NULL};
        limit->amount = strlen(text) > 4 && text[3] == '=' ? number(text + 4, '\0', AMOUNT_MOST, &rest) : -1;
        if (limit->amount < 0)
            return conf_fail(loader, at, "exposure_limit: \"%.32s\" is not like EUR=500000", text);
        if (conf_check_currencies(loader, at, "exposure_limit", currency) != 0)
            return -1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(provider->limits[k].currency, limit->currency) == 0)
                return conf_fail(loader, at, "exposure_limit names %s twice", limit->currency);
    }
    return 0;
}

/* "stripe=..." : the index of that provider in the rule, and what stands behind the sign. */
static int named(const struct loader *loader, const config_setting_t *at, const char *key,
                 const struct route_config *route, const char *text, const char **ret_value)
{
    const char *sign = strchr(text, '=');
    for (int i = 0; sign && route->providers[i]; i++) {
        size_t size = strlen(route->providers[i]);
        if (size == (size_t)(sign - text) && memcmp(route->providers[i], text, size) == 0) {
            *ret_value = sign + 1;
            return i;
        }
    }
    return conf_fail(loader, at, "%s of %s: \"%.64s\" does not begin with one of its providers and =", key, route->name,
                     text);
}

static int read_shares(const struct loader *loader, const config_setting_t *at, struct route_config *route)
{
    int64_t total = 0;
    for (size_t i = 0; route->shares_text[i]; i++) {
        const char *value = "", *rest;
        int k = named(loader, at, "shares", route, route->shares_text[i], &value);
        if (k < 0)
            return -1;
        route->share[k] = number(value, '\0', SHARE_MOST, &rest);
        if (route->share[k] < 0)
            return conf_fail(loader, at, "shares of %s: \"%.64s\" has no whole number up to %d", route->name,
                             route->shares_text[i], SHARE_MOST);
        total += route->share[k];
    }
    if (route->order == ROUTE_BY_SHARE && total == 0)
        return conf_fail(loader, at, "order of %s is share: give shares, as in %s=1", route->name, route->providers[0]);
    return 0;
}

static int read_cost(const struct loader *loader, const config_setting_t *at, struct route_config *route,
                     const char *text)
{
    const char *value = "", *rest;
    int k = named(loader, at, "costs", route, text, &value);
    if (k < 0)
        return -1;
    route->cost_fixed[k] = number(value, '+', AMOUNT_MOST, &rest);
    route->cost_ppm[k] = route->cost_fixed[k] < 0 ? -1 : number(rest, '\0', PPM_MOST, &rest);
    if (route->cost_ppm[k] < 0)
        return conf_fail(loader, at, "costs of %s: \"%.64s\" is not like %s=25+14000", route->name, text,
                         route->providers[k]);
    if (route->cost_fixed[k] > 0 && (!route->currencies[0] || route->currencies[1]))
        return conf_fail(loader, at, "costs of %s have a fixed part: the rule must name exactly one currency",
                         route->name);
    return k;
}

static int read_costs(const struct loader *loader, const config_setting_t *at, struct route_config *route)
{
    bool given[CONFIG_PREFERENCES_MAX] = {false};
    for (size_t i = 0; route->costs_text[i]; i++) {
        int k = read_cost(loader, at, route, route->costs_text[i]);
        if (k < 0)
            return -1;
        given[k] = true;
    }
    bool wanted = route->order == ROUTE_BY_COST || route->costs_text[0];
    for (size_t i = 0; wanted && route->providers[i]; i++)
        if (!given[i])
            return conf_fail(loader, at, "costs of %s must name %s, too", route->name, route->providers[i]);
    return 0;
}

static int read_failover(const struct loader *loader, const config_setting_t *at, struct route_config *route)
{
    static const char *const kinds[] = {
#define X(id, text) text,
        FAILOVERS(X)
#undef X
            NULL};
    if (!route->failover_text[0])
        route->failover = FAILOVER_USUAL;
    for (size_t i = 0; route->failover_text[i]; i++) {
        int kind = find(kinds, route->failover_text[i]);
        if (kind < 0 && strcmp(route->failover_text[i], "none") != 0)
            return conf_fail(loader, at,
                             "failover of %s: \"%.32s\" must be one of declined, refused, cancelled, absent, none",
                             route->name, route->failover_text[i]);
        route->failover |= kind < 0 ? 0 : 1U << kind;
    }
    return 0;
}

static int check_conditions(struct loader *loader, config_setting_t *from, const struct route_config *route)
{
    static const char *const methods[] = {"card", "mobile_money", "wallet", "bank_transfer", NULL};
    if (conf_check_currencies(loader, conf_spot(from, "currencies"), "currencies", route->currencies) != 0 ||
        check_codes(loader, conf_spot(from, "countries"), "countries", route->countries, 2,
                    "country: two upper-case letters") != 0)
        return -1;
    for (size_t i = 0; route->methods[i]; i++)
        if (conf_check_choice(loader, conf_spot(from, "methods"), "methods", route->methods[i], methods) != 0)
            return -1;
    for (size_t i = 0; route->publishers[i]; i++)
        if (!config_publisher_find(loader->config, route->publishers[i]))
            return conf_fail(loader, conf_spot(from, "publishers"),
                             "publishers names \"%.63s\", which is no configured publisher", route->publishers[i]);
    if (route->amount_from > route->amount_to)
        return conf_fail(loader, conf_spot(from, "amount_from"), "amount_from of %s is more than its amount_to",
                         route->name);
    return 0;
}

static int read_choices(struct loader *loader, config_setting_t *from, struct route_config *route)
{
    static const char *const orders[] = {"listed", "cost", "share", NULL};
    static const char *const wishes[] = {"first", "only", "ignored", NULL};
    static const char *const ends[] = {"wait", "refuse", NULL};
    if (conf_check_choice(loader, conf_spot(from, "order"), "order", route->order_text, orders) != 0 ||
        conf_check_choice(loader, conf_spot(from, "preferred"), "preferred", route->preferred_text, wishes) != 0 ||
        conf_check_choice(loader, conf_spot(from, "unavailable"), "unavailable", route->unavailable_text, ends) != 0)
        return -1;
    route->order = (enum route_order)find(orders, route->order_text);
    route->preferred = (enum route_preferred)find(wishes, route->preferred_text);
    route->refuses = find(ends, route->unavailable_text) == 1;
    return 0;
}

int conf_read_route(struct loader *loader, config_setting_t *from, void *element)
{
    struct route_config *route = element;
    if (conf_read_element(loader, from, conf_route_fields, route, NULL) != 0 ||
        conf_check_name(loader, conf_spot(from, "name"), route->name) != 0)
        return -1;
    if (!route->providers[0])
        return conf_fail(loader, conf_spot(from, "providers"), "rule %s needs providers", route->name);
    for (size_t i = 0; route->providers[i]; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(route->providers[i], route->providers[k]) == 0)
                return conf_fail(loader, conf_spot(from, "providers"), "rule %s names %s twice", route->name,
                                 route->providers[i]);
    if (check_conditions(loader, from, route) != 0 || read_choices(loader, from, route) != 0 ||
        read_costs(loader, conf_spot(from, "costs"), route) != 0 ||
        read_shares(loader, conf_spot(from, "shares"), route) != 0)
        return -1;
    return read_failover(loader, conf_spot(from, "failover"), route);
}
