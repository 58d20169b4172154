/* consumer.h - takes deliveries from queues, with acknowledgement last (L1)
 *
 * One AMQP connection and channel of its own (never used to publish), served by the loop: heartbeats, consumer cancel and
 * connection.blocked notifications included. Reconnects alone, with full jitter, until all of its queues are there. A delivery that is not acknowledged
 * when the connection goes comes again: its handle becomes stale, and acknowledging a stale one is a no-op.
 *
 * Connecting holds up the loop for at most connect_timeout_ms (plus what the resolver takes for a host name): keep it below LOOP_TURN_MAX_MS.
 */
#ifndef ACQUIT_QUEUES_CONSUMER_H
#define ACQUIT_QUEUES_CONSUMER_H

#include <stdbool.h>

#include "common/err.h"
#include "common/loop.h"
#include "queues/message.h"

struct delivery {
    const char *queue; /* of the consumer's table; outlives the delivery */
    uint64_t tag;
    uint64_t generation; /* of the connection it came over */
    bool redelivered;
    struct message message;
};

struct broker_options {
    const char *url;             /* amqp://user:password@host:port/vhost, amqps:// with ?cacertfile=...; copied */
    const char *connection_name; /* shown in the management UI */
    int64_t heartbeat_s;
    int64_t connect_timeout_ms;
    int64_t confirm_timeout_ms; /* publisher: how long one publish may wait for its confirm */
    int64_t unconfirmed_max;    /* publisher: how many may wait at once */
};

struct consumer;

/* Starts to connect and consume from `queues` (kept by reference) with `prefetch` unacknowledged deliveries in all per queue. `on_delivery` takes the delivery over
 * (free with delivery_free()). NULL only for bad options. */
struct consumer *consumer_new(struct loop *loop, const struct broker_options *options, const char *const *queues,
                              size_t queue_count, int prefetch,
                              void (*on_delivery)(void *arg, struct delivery *delivery), void *arg,
                              struct err *err) MUST_CHECK;
/* Sends the acknowledgements that wait, and gives the broker a second to read them. Not from inside `on_delivery`. Accepts NULL. */
void consumer_free(struct consumer *consumer);

/* Sent at the end of the loop's turn. */
void consumer_ack(struct consumer *consumer, const struct delivery *delivery);
/* Puts it back for another consumer, at once; only for a drain and tests: it counts towards the delivery limit. */
void consumer_requeue(struct consumer *consumer, const struct delivery *delivery);

/* No further deliveries (basic.cancel) / again. Acknowledging goes on. What the broker had sent already is kept back until consumer_resume(). */
void consumer_pause(struct consumer *consumer);
void consumer_resume(struct consumer *consumer);
/* Connected and consuming from every queue, or paused. */
bool consumer_connected(const struct consumer *consumer);

void delivery_free(struct delivery *delivery);

#endif
