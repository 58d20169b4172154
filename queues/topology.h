/* topology.h - the exchanges, queues, bindings and command types of DESIGN.md section 4, in one table
 */
#ifndef ACQUIT_QUEUES_TOPOLOGY_H
#define ACQUIT_QUEUES_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/err.h"

#define EXCHANGE_IN "acquit.in"
#define EXCHANGE_COMMANDS "acquit.cmd"
#define EXCHANGE_EVENTS "acquit.evt"
#define EXCHANGE_DEAD "acquit.dlx"

/* A command type: where it goes, who may publish it, what its body must be. */
struct command_type {
    const char *name;   /* "payment.create" = routing key */
    const char *queue;  /* "acquit.authorize" */
    const char *schema; /* file in queues/schema/, "payment.create.json" */
    bool is_public;     /* apps may publish it to acquit.in */
    bool by_ingress;    /* the ingress may, though apps may not: it came over HTTP from a provider */
};
size_t command_type_count(void);
const struct command_type *command_type_at(size_t i);
const struct command_type *command_type_find(const char *name); /* NULL: unknown */

/* The queues a worker type consumes: its own; for compensate also every acquit.dead.* and acquit.unroutable. NULL-terminated. */
const char *const *worker_queues(const char *worker_type);

/* The wait queues, shortest first: the exchange to publish to so that the message is back on acquit.cmd after about `delay_ms`: the longest
 * step that is not longer than delay_ms, at least the shortest. *ret_delay_ms is the real delay. */
const char *wait_exchange(int64_t delay_ms, int64_t *ret_delay_ms);
/* The dead-letter routing key of a queue ("acquit.authorize" -> exchange acquit.dlx, key "acquit.authorize"). */

/* Declares everything over AMQP; idempotent. ERR_CONFLICT names the object that exists with other arguments. */
int topology_apply(const char *amqp_url, struct err *err) MUST_CHECK;

/* Compares the table with the broker's effective values (arguments and policies) from the management API, which lists a change of policy
 * up to ten seconds late. Returns the differences as a JSON
 * array of {"object","field","expected","found","remedy"}, empty when all is well; NULL when the broker could not be asked. */
json_t *topology_check(const char *management_url, const char *vhost, struct err *err) MUST_CHECK;

/* Asks the broker itself, as whoever `amqp_url` names, whether it refuses bodies over WIRE_BODY_MAX, and adds to `differences` when it takes them: RabbitMQ's
 * own default is 128 MiB, and each may stand in a worker's memory before it is refused there (L12). The message that asks cannot reach a queue. */
int topology_check_size(const char *amqp_url, json_t *differences, struct err *err) MUST_CHECK;

/* Creates or updates the broker users and their permissions through the management API: worker, keeper, ingress (impersonator), operator, and one per publisher
 * (may write acquit.in only, public keys only). Passwords: existing users without a given password keep theirs. */
struct broker_user {
    const char *name, *password; /* password NULL: keep */
    const char *role;            /* "app", "worker", "ingress", "keeper", "operator" */
};
int topology_users(const char *management_url, const char *vhost, const struct broker_user *users, size_t count,
                   struct err *err) MUST_CHECK;

#endif
