/* web.h - who is called over HTTP in the simulation */
#ifndef ACQUIT_SIMULATE_WEB_H
#define ACQUIT_SIMULATE_WEB_H

#include "common/http.h"
#include "tests/simulate/simulate.h"

enum web_end { WEB_ANSWERED, WEB_NOT_SENT, WEB_TIMED_OUT, WEB_BAD_GATEWAY };

/* Who waits for an answer. */
struct web_caller {
    void (*done)(void *arg, const struct http_answer *answer);
    void *arg;
};

/* A door's calls begin with this. */
struct http_call {
    void (*drop)(struct http_call *call); /* nobody waits for it any more */
};

/* A door sends the request on its way. `target`: what follows its base, path and query. */
struct http_call *gateway_stripe_start(const char *target, const struct http_request *request,
                                       struct web_caller caller);
struct http_call *tokens_door_start(const char *target, const struct http_request *request, struct web_caller caller);
struct http_call *validator_door_start(const char *target, const struct http_request *request,
                                       struct web_caller caller);
struct http_call *webhook_door_start(const char *target, const struct http_request *request, struct web_caller caller);

const char *web_header(const struct http_request *request, const char *name); /* "" when it is not there */
/* Lets the caller hear it; `body` may be NULL. */
void web_tell(struct web_caller caller, enum web_end end, int status, const char *body, bool replayed);

#endif
