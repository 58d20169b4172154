/* topology_table.h - the table of topology.c as data, for whoever applies or checks it (internal to queues/) */
#ifndef ACQUIT_QUEUES_TOPOLOGY_TABLE_H
#define ACQUIT_QUEUES_TOPOLOGY_TABLE_H

#include <jansson.h>

#include "queues/topology.h"

#define EXCHANGE_UNROUTABLE "acquit.unroutable"
#define QUEUE_UNROUTABLE "acquit.unroutable"

enum { TOPOLOGY_NAME_MAX = 64 };

struct exchange_row {
    const char *name, *type, *alternate; /* alternate: NULL for none */
};

enum queue_kind { QUEUE_WORK, QUEUE_DEAD, QUEUE_WAIT, QUEUE_CATCH };
struct queue_row {
    enum queue_kind kind;
    const char *name;
    int64_t delay_ms; /* QUEUE_WAIT */
};

struct binding_row {
    const char *source, *destination, *key;
    bool to_exchange; /* destination is an exchange */
};

/* Each calls `row` for every row, in an order in which they can be declared; stops at the first that answers other than 0 and returns that. */
int topology_exchanges(int (*row)(void *arg, const struct exchange_row *exchange), void *arg);
int topology_queues(int (*row)(void *arg, const struct queue_row *queue), void *arg);
int topology_bindings(int (*row)(void *arg, const struct binding_row *binding), void *arg);

/* The arguments a queue is declared with; the caller owns the object. */
json_t *topology_arguments(const struct queue_row *queue);

/* The topic permissions on acquit.in: apps write the public command types only, the ingress also what comes from providers. Static storage. */
const char *topology_pattern_of_apps(void);
const char *topology_pattern_of_ingress(void);

#endif
