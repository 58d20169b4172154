/* events.h - what subscribers hear of a payment, on the exchange acquit.evt
 *
 * Events follow from facts as commands do. Each is a CloudEvents 1.0 JSON object with the routing key `payment.<verb>`; its id is derived from (payment, slot), so that
 * a repeated event can be dropped; its sequence number grows within a payment in the order in which the facts were written. Published at least
 * once, never before the fact is committed. docs/integration.md lists the verbs.
 */
#ifndef ACQUIT_WORKERS_EVENTS_H
#define ACQUIT_WORKERS_EVENTS_H

#include "ledger/saga.h"
#include "queues/message.h"

struct event {
    const struct payment *payment;
    const struct fact *fact; /* that it follows from */
    const char *verb;        /* "captured" */
    struct uuid id;
    int64_t sequence;
};

/* Calls `each` for the events that follow from those of the payment's facts whose cause is `*command`, or from all facts when it is NULL. */
void events_of(const struct payment *payment, const struct facts *facts, const struct uuid *command,
               void (*each)(void *arg, const struct event *event), void *arg);

/* The event of that name: "payment.completed", "payment.refunded.2" (as the slots of notices have them). It is the one that events_of() gives, and the
 * same however many facts came after it. False: it has not happened. */
bool event_find(const struct payment *payment, const struct facts *facts, const char *name, struct event *ret);

/* The body of the fact whose command this event answers (its "replyTo", "correlationId"), or NULL: the end of a payment answers
 * payment.create, its abort the payment.cancel that caused it, a refund's result payment.refund. */
const json_t *event_answers(const struct event *event);

/* The event as a CloudEvents 1.0 JSON object, always the same bytes. free() it. */
char *event_json(const struct event *event);

/* The message that carries the event; clear with message_clear(). */
void event_message(const struct event *event, const char *user, struct message *ret);

#endif
