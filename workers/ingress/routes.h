/* routes.h - the paths of the HTTP interface, in one table
 *
 * Pure: says which endpoint a request is for; handlers.c does it, openapi.c describes it. A literal segment wins over
 * `{id}` because its row stands first; tests keep that order.
 */
#ifndef ACQUIT_WORKERS_INGRESS_ROUTES_H
#define ACQUIT_WORKERS_INGRESS_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#define ENDPOINTS(X)                                                                                                   \
    X(PAYMENT_CREATE)                                                                                                  \
    X(PAYMENT_LIST)                                                                                                    \
    X(PAYMENT_SHOW)                                                                                                    \
    X(PAYMENT_STATUS)                                                                                                  \
    X(PAYMENT_EVENTS)                                                                                                  \
    X(PAYMENT_CANCEL)                                                                                                  \
    X(REFUND_CREATE)                                                                                                   \
    X(VOTE_RECEIVE)                                                                                                    \
    X(REFUND_SHOW)                                                                                                     \
    X(HEALTH)                                                                                                          \
    X(HEALTH_DATABASE)                                                                                                 \
    X(HEALTH_GATEWAYS)                                                                                                 \
    X(HEALTH_DETAILED)                                                                                                 \
    X(OPENAPI)
enum endpoint {
#define X(id) ENDPOINT_##id,
    ENDPOINTS(X)
#undef X
};
enum {
#define X(id) +1
    ENDPOINT_COUNT = 0 ENDPOINTS(X)
#undef X
};

enum body_rule { BODY_NONE, BODY_OPTIONAL, BODY_REQUIRED };

struct route {
    const char *method, *path; /* "{id}" stands for one segment */
    enum endpoint endpoint;
    bool open;  /* no API key needed */
    bool alias; /* another row is the documented spelling */
    enum body_rule body;
    const char *summary; /* one sentence */
};

size_t route_count(void);
const struct route *route_at(size_t i);

enum { ROUTE_ID_SIZE = 64, ROUTE_ALLOW_SIZE = 64 };
enum route_verdict { ROUTE_FOUND, ROUTE_UNKNOWN, ROUTE_METHOD };
struct route_match {
    const struct route *route;    /* ROUTE_FOUND */
    char id[ROUTE_ID_SIZE];       /* the segment at {id}, or "" */
    char allow[ROUTE_ALLOW_SIZE]; /* ROUTE_METHOD: the methods that the path has */
};
/* HEAD is served wherever GET is. An {id} that does not fit ROUTE_ID_SIZE is no id of ours: ROUTE_UNKNOWN. */
enum route_verdict route_find(const char *method, const char *path, struct route_match *ret);

#endif
