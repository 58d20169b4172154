/* web.h - who is called over HTTP in the simulation */
#ifndef ACQUIT_SIMULATE_WEB_H
#define ACQUIT_SIMULATE_WEB_H

#include "common/http.h"
#include "tests/simulate/gateway.h"

/* Who waits for an answer. */
struct web_caller {
    void (*done)(void *arg, const struct http_answer *answer);
    void *arg;
};

/* A door: sends the request on its way. `target`: path and query. The handle is an order. */
struct http_call *gateway_stripe_start(const char *target, const struct http_request *request,
                                       struct web_caller caller);

const char *web_header(const struct http_request *request, const char *name); /* "" when it is not there */
/* Ends the call of `order`, whose owner is `caller` (freed). */
void web_tell(struct order *order, struct web_caller *caller);

#endif
