/* publisher.h - publishes with mandatory, persistent, and a confirm for each
 *
 * One AMQP connection and channel of its own (never used to consume). Publishing never blocks: librabbitmq 0.11 can hang for ever in
 * amqp_basic_publish on a blocked or frozen broker, so nothing is sent while the broker has blocked us, while unread bytes fill
 * the socket's send buffer, or beyond the unconfirmed window; such messages wait in memory, bounded, also through a reconnect. Each publish ends in
 * exactly one outcome, at the latest after confirm_timeout_ms, waiting included. A message that the broker holds to be wrong (a user_id that is not the
 * connection's, an exchange we may not write to) costs the connection and makes all that were under way unknown; the log names the reason.
 */
#ifndef ACQUIT_QUEUES_PUBLISHER_H
#define ACQUIT_QUEUES_PUBLISHER_H

#include "queues/consumer.h"

enum publish_outcome {
    PUBLISH_CONFIRMED, /* the broker has it, routed and on disk */
    PUBLISH_RETURNED,  /* no queue for it (mandatory); not stored */
    PUBLISH_REFUSED,   /* nacked by the broker, or not even sent within the confirm timeout; surely not stored */
    PUBLISH_UNKNOWN,   /* connection lost or no confirm in time: it may be stored */
};

struct publisher;

struct publisher *publisher_new(struct loop *loop, const struct broker_options *options, struct err *err) MUST_CHECK;
/* Pending publishes end with PUBLISH_UNKNOWN before this returns. Not from inside `settled`. Accepts NULL. */
void publisher_free(struct publisher *publisher);

/* Copies what it needs. `settled` is called exactly once from the loop, never from inside this call. ERR_LIMIT when too many wait already;
 * ERR_INVALID when a property does not fit AMQP (routing key over 255 bytes): then `settled` is not called. delivery_mode is always 2. */
int publisher_send(struct publisher *publisher, const struct message *message,
                   void (*settled)(void *arg, enum publish_outcome outcome), void *arg, struct err *err) MUST_CHECK;

bool publisher_ready(const struct publisher *publisher); /* connected and not blocked */
size_t publisher_waiting(const struct publisher *publisher);

#endif
