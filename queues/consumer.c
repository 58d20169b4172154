/* consumer.c - takes deliveries from queues, with acknowledgement last (L1)
 *
 * Acknowledgements are gathered during a turn of the loop and sent at its end: the unbroken run of settled deliveries from the oldest on with one
 * `multiple` acknowledgement (which a quorum queue handles as one), the others singly. An acknowledgement lost with the connection only means a redelivery.
 *
 * A queue that is missing or deleted ends the connection; it is tried again, with all queues, until every one is there.
 */
#include "queues/consumer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "queues/session.h"

enum {
    CONSUMER_PREFETCH_MAX = 65535, /* basic.qos has 16 bits */
    CONSUMER_QUEUES_MAX = 64,
    ACK_ROOM = 1024,   /* bytes of free send buffer that an acknowledgement wants */
    ACK_RETRY_MS = 20, /* when there are none */
    LABEL_MAX = 128,
};

/* What we and the broker agreed about consuming from one queue. */
enum subscription_state { OFF, STARTING, ON, STOPPING };
struct subscription {
    enum subscription_state state;
    char tag[WIRE_TAG_SIZE];
};

/* What became of a delivery of this connection. */
enum settling { OUT = 0, ACKED, SETTLED };

struct held {
    struct delivery *delivery;
    struct held *next;
};

struct consumer {
    struct session *session;
    const char *const *queues;
    size_t queue_count;
    int prefetch;
    void (*on_delivery)(void *arg, struct delivery *delivery);
    void *arg;
    bool paused;
    struct subscription *subscriptions;
    uint64_t serial; /* of consumer tags: each is used once, as 3.10.8 mixes up a tag that comes back too soon */
    /* Deliveries of this connection: settlings[tag - first] for first <= tag < next. */
    uint64_t first, next;
    unsigned char *settlings;
    size_t capacity;
    size_t acked; /* how many stand as ACKED */
    struct loop_source *flush;
    bool flush_armed;
    /* Came after consumer_pause(), which the broker had not yet heard. */
    struct held *held, **held_end;
    struct loop_source *hand_over;
};

void delivery_free(struct delivery *delivery)
{
    if (!delivery)
        return;
    message_clear(&delivery->message);
    free(delivery);
}

/* Acknowledging. */

static void arm_flush(struct consumer *consumer, int64_t delay_ms)
{
    if (!consumer->flush_armed)
        loop_timer_set(consumer->flush, delay_ms);
    consumer->flush_armed = true;
}

static unsigned char *settling(struct consumer *consumer, uint64_t tag)
{
    return &consumer->settlings[tag - consumer->first];
}

/* Drops the settled head. */
static void forget_settled(struct consumer *consumer, uint64_t count)
{
    consumer->first += count;
    memmove(consumer->settlings, consumer->settlings + count, consumer->next - consumer->first);
}

static int flush_head(struct consumer *consumer, struct wire *wire, struct err *err)
{
    uint64_t end = consumer->first, last = 0;
    size_t count = 0;
    for (; end < consumer->next && *settling(consumer, end) != OUT; end++)
        if (*settling(consumer, end) == ACKED) {
            last = end;
            count++;
        }
    if (count && wire_ack(wire, last, count > 1, err) != 0)
        return -1;
    consumer->acked -= count;
    forget_settled(consumer, end - consumer->first);
    return 0;
}

static int flush_others(struct consumer *consumer, struct wire *wire, struct err *err)
{
    for (uint64_t tag = consumer->first; tag < consumer->next && consumer->acked > 0; tag++) {
        if (*settling(consumer, tag) != ACKED)
            continue;
        if (!wire_room(wire, ACK_ROOM))
            return 0;
        if (wire_ack(wire, tag, false, err) != 0)
            return -1;
        *settling(consumer, tag) = SETTLED;
        consumer->acked--;
    }
    return 0;
}

static void flush(struct consumer *consumer)
{
    struct wire *wire = session_wire(consumer->session);
    struct err err = {0};
    if (!wire || !consumer->acked)
        return;
    if (wire_room(wire, ACK_ROOM)) {
        wire_cork(wire);
        int result = flush_head(consumer, wire, &err);
        if (result == 0)
            result = flush_others(consumer, wire, &err);
        wire_uncork(wire);
        if (result != 0) {
            session_lost(consumer->session, &err);
            return;
        }
    }
    if (consumer->acked)
        arm_flush(consumer, ACK_RETRY_MS);
}

static void on_flush(void *arg)
{
    struct consumer *consumer = arg;
    consumer->flush_armed = false;
    flush(consumer);
}

/* Is it of this connection, and still out? */
static bool is_out(struct consumer *consumer, const struct delivery *delivery)
{
    return session_wire(consumer->session) && delivery->generation == session_generation(consumer->session) &&
           delivery->tag >= consumer->first && delivery->tag < consumer->next &&
           *settling(consumer, delivery->tag) == OUT;
}

void consumer_ack(struct consumer *consumer, const struct delivery *delivery)
{
    if (!is_out(consumer, delivery))
        return;
    *settling(consumer, delivery->tag) = ACKED;
    consumer->acked++;
    arm_flush(consumer, 0);
}

void consumer_requeue(struct consumer *consumer, const struct delivery *delivery)
{
    struct err err = {0};
    if (!is_out(consumer, delivery))
        return;
    *settling(consumer, delivery->tag) = SETTLED;
    if (wire_requeue(session_wire(consumer->session), delivery->tag, &err) != 0)
        session_lost(consumer->session, &err);
}

/* Deliveries. */

/* Tags count up from 1 on each channel; anything else would make our acknowledgements hit others' deliveries. */
static bool note(struct consumer *consumer, uint64_t tag)
{
    if (tag != consumer->next)
        return false;
    size_t used = consumer->next - consumer->first;
    if (used == consumer->capacity) {
        consumer->capacity = consumer->capacity ? 2 * consumer->capacity : 64;
        consumer->settlings = mem_grow(consumer->settlings, consumer->capacity, 1);
    }
    consumer->settlings[used] = OUT;
    consumer->next++;
    return true;
}

/* "3.17" is the 17th subscription, of queue 3. */
static struct subscription *subscription_of(struct consumer *consumer, const char *tag)
{
    for (size_t i = 0; i < consumer->queue_count; i++)
        if (strcmp(consumer->subscriptions[i].tag, tag) == 0)
            return &consumer->subscriptions[i];
    return NULL;
}

static const char *queue_of(struct consumer *consumer, const struct subscription *subscription)
{
    return consumer->queues[subscription - consumer->subscriptions];
}

static void hold(struct consumer *consumer, struct delivery *delivery)
{
    struct held *held = mem_new(1, sizeof *held);
    held->delivery = delivery;
    *consumer->held_end = held;
    consumer->held_end = &held->next;
}

static struct delivery *take_held(struct consumer *consumer)
{
    struct held *held = consumer->held;
    if (!held)
        return NULL;
    struct delivery *delivery = held->delivery;
    consumer->held = held->next;
    if (!consumer->held)
        consumer->held_end = &consumer->held;
    free(held);
    return delivery;
}

static void drop_held(struct consumer *consumer)
{
    for (struct delivery *delivery; (delivery = take_held(consumer));)
        delivery_free(delivery);
}

static void on_hand_over(void *arg)
{
    struct consumer *consumer = arg;
    while (!consumer->paused && consumer->held)
        consumer->on_delivery(consumer->arg, take_held(consumer));
}

static void confused(struct consumer *consumer, const char *what)
{
    struct err err = {0};
    err_set(&err, ERR_AGAIN, "%s", what);
    session_lost(consumer->session, &err);
}

static void on_message(struct consumer *consumer, struct wire_event *event)
{
    struct subscription *subscription = subscription_of(consumer, event->consumer);
    if (!subscription || !note(consumer, event->tag)) {
        message_clear(&event->message);
        confused(consumer, "a delivery with a tag that is not ours");
        return;
    }
    struct delivery *delivery = mem_new(1, sizeof *delivery);
    delivery->queue = queue_of(consumer, subscription);
    delivery->tag = event->tag;
    delivery->generation = session_generation(consumer->session);
    delivery->redelivered = event->redelivered;
    delivery->message = event->message;
    char labels[LABEL_MAX];
    snprintf(labels, sizeof labels, "queue=\"%s\",redelivered=\"%d\"", delivery->queue, delivery->redelivered);
    metric_add("acquit_deliveries_total", labels, 1);
    if (consumer->paused || consumer->held)
        hold(consumer, delivery);
    else
        consumer->on_delivery(consumer->arg, delivery);
}

/* Subscribing. */

static void new_tag(struct consumer *consumer, struct subscription *subscription)
{
    snprintf(subscription->tag, sizeof subscription->tag, "%d.%" PRIu64, (int)(subscription - consumer->subscriptions),
             ++consumer->serial);
}

/* Brings one subscription a step towards what is wanted; the broker's answer brings the next step. */
static int step(struct consumer *consumer, struct wire *wire, struct subscription *subscription, struct err *err)
{
    if (consumer->paused && subscription->state == ON) {
        subscription->state = STOPPING;
        return wire_cancel(wire, subscription->tag, err);
    }
    if (!consumer->paused && subscription->state == OFF) {
        subscription->state = STARTING;
        new_tag(consumer, subscription);
        return wire_consume(wire, queue_of(consumer, subscription), subscription->tag, err);
    }
    return 0;
}

static void step_all(struct consumer *consumer)
{
    struct err err = {0};
    for (size_t i = 0; i < consumer->queue_count && session_wire(consumer->session); i++)
        if (step(consumer, session_wire(consumer->session), &consumer->subscriptions[i], &err) != 0)
            session_lost(consumer->session, &err);
}

static void on_answer(struct consumer *consumer, const struct wire_event *event)
{
    struct subscription *subscription = subscription_of(consumer, event->consumer);
    struct err err = {0};
    if (!subscription)
        return;
    subscription->state = event->kind == WIRE_CONSUME_OK ? ON : OFF;
    if (step(consumer, session_wire(consumer->session), subscription, &err) != 0)
        session_lost(consumer->session, &err);
}

static void on_cancelled(struct consumer *consumer, const struct wire_event *event)
{
    struct subscription *subscription = subscription_of(consumer, event->consumer);
    struct err err = {0};
    err_set(&err, ERR_NOT_FOUND, "queue %s was deleted or moved; if it is missing, run `acquit topology apply`",
            subscription ? queue_of(consumer, subscription) : event->consumer);
    session_lost(consumer->session, &err);
}

void consumer_pause(struct consumer *consumer)
{
    consumer->paused = true;
    step_all(consumer);
}

void consumer_resume(struct consumer *consumer)
{
    consumer->paused = false;
    if (consumer->held)
        loop_timer_set(consumer->hand_over, 0);
    step_all(consumer);
}

/* The session's hooks. */

static int opened(void *arg, struct wire *wire, struct err *err)
{
    struct consumer *consumer = arg;
    consumer->first = consumer->next = 1;
    consumer->acked = 0;
    if (wire_prefetch(wire, consumer->prefetch, err) != 0)
        return -1;
    /* Not waited for: with the first queue's deliveries to prepare, the broker may take its time to answer for the second. */
    for (size_t i = 0; i < consumer->queue_count; i++) {
        consumer->subscriptions[i].state = OFF;
        if (step(consumer, wire, &consumer->subscriptions[i], err) != 0)
            return -1;
    }
    return 0;
}

static void on_event(void *arg, struct wire_event *event)
{
    struct consumer *consumer = arg;
    switch (event->kind) {
    case WIRE_DELIVERY:
        on_message(consumer, event);
        return;
    case WIRE_CONSUME_OK:
    case WIRE_CANCEL_OK:
        on_answer(consumer, event);
        return;
    case WIRE_CANCELLED:
        on_cancelled(consumer, event);
        return;
    case WIRE_NOTHING:
    case WIRE_RETURN:
    case WIRE_ACK:
    case WIRE_NACK:
    case WIRE_BLOCKED: /* we do not publish here: nothing to hold back */
    case WIRE_UNBLOCKED:
        message_clear(&event->message);
        return;
    }
}

static void lost(void *arg)
{
    struct consumer *consumer = arg;
    consumer->acked = 0;
    consumer->first = consumer->next = 1;
    for (size_t i = 0; i < consumer->queue_count; i++)
        consumer->subscriptions[i].state = OFF;
    drop_held(consumer);
}

static const struct session_hooks hooks = {.opened = opened, .event = on_event, .lost = lost};

struct consumer *consumer_new(struct loop *loop, const struct broker_options *options, const char *const *queues,
                              size_t queue_count, int prefetch,
                              void (*on_delivery)(void *arg, struct delivery *delivery), void *arg, struct err *err)
{
    if (prefetch < 1 || prefetch > CONSUMER_PREFETCH_MAX || queue_count < 1 || queue_count > CONSUMER_QUEUES_MAX) {
        err_set(err, ERR_INVALID, "a consumer needs 1 to %d queues and a prefetch of 1 to %d", (int)CONSUMER_QUEUES_MAX,
                (int)CONSUMER_PREFETCH_MAX);
        return NULL;
    }
    struct consumer *consumer = mem_new(1, sizeof *consumer);
    consumer->session = session_new(loop, options, "consume", &hooks, consumer, err);
    if (!consumer->session) {
        free(consumer);
        return NULL;
    }
    consumer->queues = queues;
    consumer->queue_count = queue_count;
    consumer->prefetch = prefetch;
    consumer->on_delivery = on_delivery;
    consumer->arg = arg;
    consumer->subscriptions = mem_new(queue_count, sizeof *consumer->subscriptions);
    consumer->first = consumer->next = 1;
    consumer->held_end = &consumer->held;
    consumer->flush = loop_timer(loop, -1, on_flush, consumer);
    consumer->hand_over = loop_timer(loop, -1, on_hand_over, consumer);
    return consumer;
}

void consumer_free(struct consumer *consumer)
{
    if (!consumer)
        return;
    flush(consumer);
    loop_source_free(consumer->flush);
    loop_source_free(consumer->hand_over);
    session_free(consumer->session);
    drop_held(consumer);
    free(consumer->subscriptions);
    free(consumer->settlings);
    free(consumer);
}

bool consumer_connected(const struct consumer *consumer)
{
    if (!session_wire(consumer->session))
        return false;
    for (size_t i = 0; i < consumer->queue_count; i++)
        if (!consumer->paused && consumer->subscriptions[i].state != ON)
            return false;
    return true;
}
