/* route.h - where a payment may be authorized, in which order, and why
 *
 * Pure: no I/O, no clock. The first rule of the configuration whose conditions all hold says which providers; without
 * one it is preferredGateways of the command, else gateways of its publisher, else the first provider. What may not be
 * used now is left out, with the reason. The answer is worked out once, when the payment is received, and recorded in
 * its `received` fact; whatever follows keeps to the list that stands there.
 */
#ifndef ACQUIT_WORKERS_ROUTE_H
#define ACQUIT_WORKERS_ROUTE_H

#include <jansson.h>

#include "common/ids.h"
#include "config/config.h"

enum {
    ROUTE_CANDIDATES_MAX = CONFIG_PREFERENCES_MAX,
    ROUTE_LEFT_OUT_MAX = 2 * CONFIG_PREFERENCES_MAX,
};

/* Why a provider is left out. */
#define ROUTE_OBSTACLES(X)                                                                                             \
    X(FREE, "")                       /* it is not */                                                                  \
    X(NOT_IN_RULE, "not_in_rule")     /* preferred, but the rule does not name it */                                   \
    X(NOT_PREFERRED, "not_preferred") /* the rule takes preferred ones only */                                         \
    X(CURRENCY, "currency")           /* it does not take this currency */                                             \
    X(NOT_STARTED, "not_started")     /* configured since this worker started; known from its next start on */         \
    X(BREAKER_OPEN, "breaker_open")   /* its circuit breaker lets no new payment through */                            \
    X(EXPOSURE, "exposure_limit")     /* more is in doubt there than its limit */
enum route_obstacle {
#define X(id, text) ROUTE_##id,
    ROUTE_OBSTACLES(X)
#undef X
};
const char *route_obstacle_text(enum route_obstacle obstacle);

/* By what the list was found. */
enum route_by { ROUTE_BY_RULE, ROUTE_BY_WISH, ROUTE_BY_PUBLISHER, ROUTE_BY_DEFAULT };
const char *route_by_text(enum route_by by);

struct route_request {
    struct uuid payment; /* shares are drawn from it */
    int64_t amount;
    const char *currency, *method;
    const char *country; /* "" when the command names none */
    const struct publisher_config *publisher;
    const json_t *wish; /* preferredGateways of the command, or NULL; names that are not configured are passed over */
};

/* Asked for each provider that could be used otherwise. */
struct route_gate {
    enum route_obstacle (*look)(void *arg, const char *provider, const char *currency); /* NULL: all are free */
    void *arg;
};

struct payment_route {
    enum route_by by;
    const struct route_config *rule; /* ROUTE_BY_RULE; belongs to the configuration */
    struct route_candidate {
        const char *provider;
        int64_t cost; /* of this amount, minor units; -1 when the rule has none */
    } candidates[ROUTE_CANDIDATES_MAX];
    size_t candidate_count; /* 0: there is no provider for it at all */
    bool waits;             /* none of them takes new payments now; all of them are left out below, too */
    struct route_left_out {
        const char *provider;
        enum route_obstacle why;
    } left_out[ROUTE_LEFT_OUT_MAX];
    size_t left_out_count;
};

void route_choose(const struct config *config, const struct route_request *request, const struct route_gate *gate,
                  struct payment_route *ret);

/* For the fact: `routes` (names, in order) and `route` ({"by","rule","order","costs","failover","leftOut","refuses"};
 * scalars and arrays of them only). New references. */
json_t *route_names(const struct payment_route *route);
json_t *route_reason(const struct payment_route *route);

/* What a recorded `route` says: may this kind of evidence be followed by the next provider? Facts without it, of before
 * there were rules and of payments without one, let all be. */
bool route_fails_over(const json_t *reason, enum failover evidence);
/* The place of the provider in a recorded list; its length when it is not there. */
size_t route_place(const json_t *names, const char *provider);

#endif
