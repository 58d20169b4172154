/* ingress.h - what the parts of acquit-ingress share
 *
 * A request comes in through handlers.c, which checks route, key and content type, and calls the endpoint's function in
 * payments.c, refunds.c, health.c or openapi.c. Those that ask for something make a submission; submit.c publishes it,
 * waiting.c may wait for its end. No business rule stands here: what a command does is decided by the workers, and what
 * became of it is read from the ledger.
 */
#ifndef ACQUIT_WORKERS_INGRESS_INGRESS_H
#define ACQUIT_WORKERS_INGRESS_INGRESS_H

#include "common/loop.h"
#include "config/config.h"
#include "ledger/db.h"
#include "ledger/saga.h"
#include "ledger/store.h"
#include "queues/publisher.h"
#include "workers/guard.h"
#include "workers/ingress/auth.h"
#include "workers/ingress/recent.h"
#include "workers/ingress/routes.h"
#include "workers/ingress/server.h"

struct ingress {
    const struct config *config;
    struct loop *loop;
    struct db *db;       /* for reading */
    struct store *store; /* for looking up commands (L10) */
    struct guard guard;  /* of the store */
    struct publisher *publisher;
    struct server *server;
    struct auth *auth;
    struct recent *recent;
    struct submitter *submitter;
    struct waiting *waiting;
    json_t *gateways; /* the last answer of /health/gateways, kept for a moment; may be NULL */
    int64_t gateways_at_ms;
    json_t *openapi;    /* made at its first request; may be NULL */
    int64_t started_ms; /* monotonic */
    bool draining;
};

/* What is known of a request once its head was checked; hangs on it as its own. */
struct visit {
    struct route_match match;
    const struct publisher_config *publisher; /* NULL on open routes */
};
const struct visit *visit_of(const struct request *request);

/* The server's three callbacks; `arg` is the struct ingress. */
void ingress_on_head(void *arg, struct request *request);
void ingress_on_request(void *arg, struct request *request);
void ingress_on_done(void *arg, struct request *request, int status);

/* One function per endpoint; each answers the request, now or later. */
void payment_create(struct ingress *ingress, struct request *request);
void payment_list(struct ingress *ingress, struct request *request);
void payment_show(struct ingress *ingress, struct request *request);
void payment_status(struct ingress *ingress, struct request *request);
void payment_events(struct ingress *ingress, struct request *request);
void payment_cancel(struct ingress *ingress, struct request *request);
void refund_create(struct ingress *ingress, struct request *request);
void refund_show(struct ingress *ingress, struct request *request);
void vote_receive(struct ingress *ingress, struct request *request);
void health(struct ingress *ingress, struct request *request);
void health_database(struct ingress *ingress, struct request *request);
void health_gateways(struct ingress *ingress, struct request *request);
void health_detailed(struct ingress *ingress, struct request *request);
void openapi(struct ingress *ingress, struct request *request);

/* 503 for a ledger that does not answer, 500 for one that we cannot read. The cause is logged, not told. */
struct answer ledger_failure(const struct err *err);

#endif
