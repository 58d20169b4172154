/* session.h - a connection to the broker that is kept up by the loop (internal to queues/)
 *
 * Connects in the loop's next turn, reads whatever comes, keeps the heartbeat in both directions, and after a loss connects again with full jitter
 * between 0 and SESSION_RETRY_FIRST_MS doubled up to SESSION_RETRY_MOST_MS. Connecting holds up the loop for at most connect_timeout_ms (which should
 * stay below LOOP_TURN_MAX_MS and the heartbeat), plus what the resolver takes for a host name. A broker that is away answers at once; one that
 * is frozen does not, so an attempt that took long is repeated only after as much time again: at least half of it is the loop's.
 */
#ifndef ACQUIT_QUEUES_SESSION_H
#define ACQUIT_QUEUES_SESSION_H

#include "common/loop.h"
#include "queues/amqp.h"
#include "queues/consumer.h"

enum {
    SESSION_RETRY_FIRST_MS = 200,
    SESSION_RETRY_MOST_MS = 30 * 1000,
    SESSION_STABLE_MS = 10 * 1000, /* a connection that lasted so long starts the back-off anew */
    SESSION_EVENTS_MAX = 512,      /* handled in one turn of the loop */
    HEARTBEAT_MAX_S = 600,
};

struct session;

struct session_hooks {
    /* The connection is there: set it up. -1 gives it up and tries again later. */
    int (*opened)(void *arg, struct wire *wire, struct err *err);
    /* Takes over the event's message. May call session_lost(). */
    void (*event)(void *arg, struct wire_event *event);
    /* The connection is gone; whatever was sent on it and not answered is unknown. */
    void (*lost)(void *arg);
};

/* `purpose` ("consume") is added to the connection's name. NULL with ERR_INVALID for options that cannot work. */
struct session *session_new(struct loop *loop, const struct broker_options *options, const char *purpose,
                            const struct session_hooks *hooks, void *arg, struct err *err) MUST_CHECK;
/* Not from inside a hook; no hook is called any more. Accepts NULL. */
void session_free(struct session *session);

struct wire *session_wire(const struct session *session);   /* NULL while not connected */
uint64_t session_generation(const struct session *session); /* counts connections, from 1 */
/* What was sent on the wire failed, or what came makes no sense: ends this connection. The hook lost() is called, and the next one is on its way. */
void session_lost(struct session *session, const struct err *err);

#endif
