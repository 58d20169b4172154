/* amqp.h - one AMQP connection with one channel (internal to queues/)
 *
 * Everything that knows librabbitmq is amqp.c and amqp_properties.c; its types do not leave them. What librabbitmq 0.11 does wrong or leaves to
 * the caller is dealt with here: frames are read by hand, a send is tried only when the socket's buffer surely takes it, capabilities are
 * offered that the library leaves out. A connection on which anything failed is of no further use: close it.
 *
 * Errors: ERR_AGAIN (broker away, connection lost), ERR_DENIED (user, password, permission), ERR_NOT_FOUND and ERR_CONFLICT (an object that
 * is missing or exists with other arguments), ERR_INVALID (URL).
 */
#ifndef ACQUIT_QUEUES_AMQP_H
#define ACQUIT_QUEUES_AMQP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "queues/message.h"

enum {
    WIRE_TAG_SIZE = 32,          /* of a consumer tag of ours, with NUL */
    WIRE_SHORT_MAX = 255,        /* bytes of a property, a name or a key */
    WIRE_FRAME_MAX = 128 * 1024, /* what we ask for; the broker may give less */
    WIRE_READ_FRAME_MAX =
        1024 * 1024, /* accepted all the same: the broker adds headers (x-death) without regard to what was agreed */
    WIRE_BODY_FRAME_MAX = 64 * 1024,  /* bytes of body in one frame of ours */
    WIRE_BODY_MAX = 1024 * 1024,      /* bytes of a body that are kept; what our brokers have as max_message_size */
    WIRE_PROPERTIES_MAX = 120 * 1024, /* encoded properties of a message of ours: they must fit one frame */
    WIRE_HEADERS_DEPTH_MAX = 12,      /* of header tables that come in; deeper ones become text */
    WIRE_HEADERS_DEPTH_OUT = 16,    /* of those that go out: a dead letter wraps its original's headers into its own */
    WIRE_SEND_BUFFER = 1024 * 1024, /* asked for; the kernel gives what net.core.wmem_max allows */
};

enum wire_event_kind {
    WIRE_NOTHING,  /* nothing more to read now */
    WIRE_DELIVERY, /* tag, redelivered, consumer, message */
    WIRE_RETURN,   /* message; text: why */
    WIRE_ACK,      /* tag, multiple: the broker's confirm */
    WIRE_NACK,     /* the same, refused */
    WIRE_BLOCKED,  /* text: why */
    WIRE_UNBLOCKED,
    WIRE_CANCELLED, /* by the broker; consumer */
    WIRE_CONSUME_OK,
    WIRE_CANCEL_OK,
};

struct wire_event {
    enum wire_event_kind kind;
    uint64_t tag;
    bool multiple, redelivered;
    char consumer[WIRE_TAG_SIZE];
    char text[256];
    struct message message; /* the receiver of the event owns it */
};

struct wire_options {
    const char *url;             /* amqp:// or amqps:// */
    const char *connection_name; /* shown in the management UI */
    int64_t heartbeat_s;
    int64_t timeout_ms; /* connect, handshake and every set-up call together */
};

struct wire;

/* Connects, logs in and opens the channel; blocks at most timeout_ms, plus what the resolver takes for a host name. */
struct wire *wire_open(const struct wire_options *options, struct err *err) MUST_CHECK;
/* `politely` waits up to a second for the broker to have read what we sent (acknowledgements); otherwise the socket is just closed. Accepts NULL. */
void wire_close(struct wire *wire, bool politely);
int wire_fd(const struct wire *wire);

/* Set-up calls: they wait for the broker's answer, within what is left of timeout_ms. wire_deadline() grants a new one. */
void wire_deadline(struct wire *wire, int64_t timeout_ms);
int wire_prefetch(struct wire *wire, int count, struct err *err) MUST_CHECK;
int wire_confirms(struct wire *wire, struct err *err) MUST_CHECK;
int wire_declare_exchange(struct wire *wire, const char *name, const char *type, const char *alternate,
                          struct err *err) MUST_CHECK;
int wire_declare_queue(struct wire *wire, const char *name, const json_t *arguments, struct err *err) MUST_CHECK;
int wire_bind_queue(struct wire *wire, const char *queue, const char *exchange, const char *key,
                    struct err *err) MUST_CHECK;
int wire_bind_exchange(struct wire *wire, const char *destination, const char *source, const char *key,
                       struct err *err) MUST_CHECK;

/* The next event, WIRE_NOTHING when there is none now. Sends a heartbeat when one is due and fails when the broker's are missing, so it must be called
 * at least twice per heartbeat. -1: the connection is lost. */
int wire_next(struct wire *wire, struct wire_event *ret, struct err *err) MUST_CHECK;

/* True when a frame of `size` bytes can be sent without any chance of blocking. */
bool wire_room(struct wire *wire, size_t size);
/* Between these two, small frames travel together. */
void wire_cork(struct wire *wire);
void wire_uncork(struct wire *wire);

/* Acknowledgements and consumers; a few bytes each, sent at once. */
int wire_ack(struct wire *wire, uint64_t tag, bool multiple, struct err *err) MUST_CHECK;
int wire_requeue(struct wire *wire, uint64_t tag, struct err *err) MUST_CHECK;
int wire_consume(struct wire *wire, const char *queue, const char *tag,
                 struct err *err) MUST_CHECK;                                    /* answer: WIRE_CONSUME_OK */
int wire_cancel(struct wire *wire, const char *tag, struct err *err) MUST_CHECK; /* answer: WIRE_CANCEL_OK */

/* Can AMQP carry it? ERR_INVALID names the property that does not fit. *ret_size is that of its encoded properties. */
int wire_check(const struct message *message, size_t *ret_size, struct err *err) MUST_CHECK;
/* Begins to publish, mandatory and persistent; `message` and `properties_size` are from wire_check(), the message must stay until it is sent. Then
 * wire_publish_more() until it answers 1; 0: no room now, call again later; -1: the connection is lost. Nothing else may be sent on the channel in
 * between. */
int wire_publish(struct wire *wire, const struct message *message, size_t properties_size, struct err *err) MUST_CHECK;
int wire_publish_more(struct wire *wire, struct err *err) MUST_CHECK;

/* The properties (with headers) of a content header frame from and to bytes; the routing and the body are not touched. For tests and fuzzing. */
int wire_properties_decode(const void *bytes, size_t size, struct message *ret, struct err *err) MUST_CHECK;
int wire_properties_encode(const struct message *message, void *ret, size_t *size, struct err *err) MUST_CHECK;

#endif
