/* routes.c - the paths of the HTTP interface, in one table */
#include "workers/ingress/routes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct route routes[] = {
    {.method = "POST",
     .path = "/api/payments/process",
     .endpoint = ENDPOINT_PAYMENT_CREATE,
     .body = BODY_REQUIRED,
     .summary = "Take a payment: checked, queued for good, then 202."},
    {.method = "POST",
     .path = "/api/payments",
     .endpoint = ENDPOINT_PAYMENT_CREATE,
     .alias = true,
     .body = BODY_REQUIRED,
     .summary = "The same as POST /api/payments/process."},
    {.method = "GET",
     .path = "/api/payments",
     .endpoint = ENDPOINT_PAYMENT_LIST,
     .summary = "Your payments, newest first, a page at a time; as a rule less than a second behind what GET "
                "/api/payments/{id} says, which is always up to date."},
    {.method = "GET",
     .path = "/api/payments/status/{id}",
     .endpoint = ENDPOINT_PAYMENT_STATUS,
     .alias = true,
     .summary = "The same as GET /api/payments/{id}/status."},
    {.method = "GET",
     .path = "/api/payments/refunds/{id}",
     .endpoint = ENDPOINT_REFUND_SHOW,
     .summary = "What became of a refund."},
    {.method = "GET",
     .path = "/api/payments/{id}/status",
     .endpoint = ENDPOINT_PAYMENT_STATUS,
     .summary = "The state of one payment, in short."},
    {.method = "GET",
     .path = "/api/payments/{id}/events",
     .endpoint = ENDPOINT_PAYMENT_EVENTS,
     .summary = "The recorded facts of one payment, oldest first."},
    {.method = "POST",
     .path = "/api/payments/{id}/cancel",
     .endpoint = ENDPOINT_PAYMENT_CANCEL,
     .body = BODY_OPTIONAL,
     .summary = "Ask for a payment to be cancelled; refused once it is decided."},
    {.method = "GET",
     .path = "/api/payments/{id}",
     .endpoint = ENDPOINT_PAYMENT_SHOW,
     .summary = "One payment, whole: amounts, attempts, refunds, times."},
    {.method = "POST",
     .path = "/api/refunds/create",
     .endpoint = ENDPOINT_REFUND_CREATE,
     .body = BODY_REQUIRED,
     .summary = "Give money back, wholly or in part."},
    {.method = "POST",
     .path = "/webhooks/pop",
     .endpoint = ENDPOINT_VOTE_RECEIVE,
     .open = true,
     .body = BODY_REQUIRED,
     .summary = "A validator's vote on a purchase, signed, when it could not be given at once."},
    {.method = "GET",
     .path = "/health",
     .endpoint = ENDPOINT_HEALTH,
     .open = true,
     .summary = "Is this process alive?"},
    {.method = "GET",
     .path = "/health/database",
     .endpoint = ENDPOINT_HEALTH_DATABASE,
     .open = true,
     .summary = "Does the ledger answer?"},
    {.method = "GET",
     .path = "/health/gateways",
     .endpoint = ENDPOINT_HEALTH_GATEWAYS,
     .open = true,
     .summary = "The configured payment providers and what they last answered."},
    {.method = "GET",
     .path = "/health/providers",
     .endpoint = ENDPOINT_HEALTH_GATEWAYS,
     .open = true,
     .alias = true,
     .summary = "The same as GET /health/gateways."},
    {.method = "GET",
     .path = "/health/detailed",
     .endpoint = ENDPOINT_HEALTH_DETAILED,
     .open = true,
     .summary = "Broker, database, queue of the publisher, uptime."},
    {.method = "GET",
     .path = "/openapi.json",
     .endpoint = ENDPOINT_OPENAPI,
     .open = true,
     .summary = "This description."},
};

size_t route_count(void)
{
    return sizeof routes / sizeof routes[0];
}

const struct route *route_at(size_t i)
{
    assert(i < route_count());
    return &routes[i];
}

/* Does the path fit the pattern, segment by segment? Puts what stands at {id} into ret_id. */
static bool path_fits(const char *pattern, const char *path, char ret_id[static ROUTE_ID_SIZE])
{
    ret_id[0] = 0;
    while (*pattern == '/' && *path == '/') {
        size_t wanted = strcspn(++pattern, "/"), given = strcspn(++path, "/");
        if (*pattern == '{') {
            if (given == 0 || given >= ROUTE_ID_SIZE)
                return false;
            snprintf(ret_id, ROUTE_ID_SIZE, "%.*s", (int)given, path);
        } else if (wanted != given || strncmp(pattern, path, given) != 0) {
            return false;
        }
        pattern += wanted;
        path += given;
    }
    return !*pattern && !*path;
}

static void allow_add(char allow[static ROUTE_ALLOW_SIZE], const char *method)
{
    size_t used = strlen(allow);
    snprintf(allow + used, ROUTE_ALLOW_SIZE - used, "%s%s%s", used ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

/* Among the rows with this very path: the one with the method, or the list of methods there are. */
static enum route_verdict by_method(const char *method, const char *path, struct route_match *ret)
{
    const char *asked = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (size_t i = 0; i < route_count(); i++) {
        if (strcmp(routes[i].path, path) != 0)
            continue;
        if (strcmp(routes[i].method, asked) == 0) {
            ret->route = &routes[i];
            return ROUTE_FOUND;
        }
        allow_add(ret->allow, routes[i].method);
    }
    return ROUTE_METHOD;
}

enum route_verdict route_find(const char *method, const char *path, struct route_match *ret)
{
    *ret = (struct route_match){0};
    for (size_t i = 0; i < route_count(); i++)
        if (path_fits(routes[i].path, path, ret->id))
            return by_method(method, routes[i].path, ret);
    return ROUTE_UNKNOWN;
}
