/* publisher.c - publishes with mandatory, persistent, and a confirm for each
 *
 * A message waits in a list until there is room: in the window of unconfirmed ones, and in the socket's send buffer. From then on it stands in
 * the window under the number the broker counts it by, until the broker confirms or refuses that number. A message that takes longer than
 * confirm_timeout_ms in all is given up: unsent it is refused (surely not stored), sent it is unknown, and its place in the window stays taken
 * until the broker speaks. When half of the window is taken like that, or the connection goes, everything sent is unknown and numbering starts anew.
 */
#include "queues/publisher.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "queues/session.h"

enum {
    PUBLISHER_WAITING_MAX = 8192,                    /* messages not yet sent */
    PUBLISHER_WAITING_BYTES_MAX = 256 * 1024 * 1024, /* one largest message must fit */
    PUBLISHER_WINDOW_MAX = 65536,
    ROOM_RETRY_MS = 2, /* the send buffer is asked again after */
};

struct pending {
    struct pending *next;
    struct message message;
    size_t properties_size;
    void (*settled)(void *arg, enum publish_outcome outcome);
    void *arg;
    int64_t since_ms, deadline_ms;
    bool returned;
    bool told; /* settled() was called */
};

struct publisher {
    struct session *session;
    int64_t confirm_timeout_ms;
    struct pending *waiting, **waiting_end;
    size_t waiting_count, waiting_bytes;
    /* Sent: window[number % window_size] for oldest <= number < next; NULL where the broker has spoken. */
    struct pending **window;
    uint64_t window_size, oldest, next;
    struct pending *sending; /* the newest of them, while a part of it is still to be sent */
    uint64_t given_up;       /* how many of them are told and not yet spoken of */
    size_t untold;           /* waiting and sent, for publisher_waiting() */
    bool blocked, closing;
    struct loop_source *pump, *expiry;
};

/* Ends. */

static const char *const outcome_labels[] = {
    [PUBLISH_CONFIRMED] = "outcome=\"confirmed\"",
    [PUBLISH_RETURNED] = "outcome=\"returned\"",
    [PUBLISH_REFUSED] = "outcome=\"refused\"",
    [PUBLISH_UNKNOWN] = "outcome=\"unknown\"",
};

static void tell(struct publisher *publisher, struct pending *pending, enum publish_outcome outcome)
{
    if (pending->told)
        return;
    pending->told = true;
    publisher->untold--;
    metric_add("acquit_publishes_total", outcome_labels[outcome], 1);
    metric_observe_ms("acquit_publish_seconds", outcome_labels[outcome], clock_monotonic_ms() - pending->since_ms);
    pending->settled(pending->arg, outcome);
}

static void pending_free(struct pending *pending)
{
    message_clear(&pending->message);
    free(pending);
}

/* The list. */

static size_t weight(const struct pending *pending)
{
    return pending->properties_size + pending->message.body_size;
}

static void append(struct publisher *publisher, struct pending *pending)
{
    *publisher->waiting_end = pending;
    publisher->waiting_end = &pending->next;
    publisher->waiting_count++;
    publisher->waiting_bytes += weight(pending);
    publisher->untold++;
}

static struct pending *take_first(struct publisher *publisher)
{
    struct pending *pending = publisher->waiting;
    publisher->waiting = pending->next;
    if (!publisher->waiting)
        publisher->waiting_end = &publisher->waiting;
    pending->next = NULL;
    publisher->waiting_count--;
    publisher->waiting_bytes -= weight(pending);
    return pending;
}

/* The window. */

static struct pending **place(struct publisher *publisher, uint64_t number)
{
    return &publisher->window[number % publisher->window_size];
}

static void window_reset(struct publisher *publisher)
{
    publisher->oldest = publisher->next = 1; /* the broker counts from 1 after confirm.select */
    publisher->given_up = 0;
    publisher->sending = NULL;
}

static void spoken_of(struct publisher *publisher, uint64_t number, bool stored)
{
    struct pending *pending = *place(publisher, number);
    if (!pending)
        return;
    *place(publisher, number) = NULL;
    if (pending->told)
        publisher->given_up--;
    tell(publisher, pending, !stored ? PUBLISH_REFUSED : pending->returned ? PUBLISH_RETURNED : PUBLISH_CONFIRMED);
    pending_free(pending);
}

static void advance(struct publisher *publisher)
{
    while (publisher->oldest < publisher->next && !*place(publisher, publisher->oldest))
        publisher->oldest++;
}

static void arm_pump(struct publisher *publisher)
{
    if (publisher->waiting || publisher->sending)
        loop_timer_set(publisher->pump, 0);
}

/* An ack or nack of the broker, for one number or for all up to it. */
static void on_confirm(struct publisher *publisher, const struct wire_event *event)
{
    if (event->tag >= publisher->next || (publisher->sending && event->tag == publisher->next - 1)) {
        struct err err = {0};
        err_set(&err, ERR_AGAIN, "a confirm for message %" PRIu64 ", which was not sent", event->tag);
        session_lost(publisher->session, &err);
        return;
    }
    bool stored = event->kind == WIRE_ACK;
    for (uint64_t number = event->multiple ? publisher->oldest : event->tag; number <= event->tag; number++)
        if (number >= publisher->oldest)
            spoken_of(publisher, number, stored);
    advance(publisher);
    arm_pump(publisher);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_message(const struct message *a, const struct message *b)
{
    return a->body_size == b->body_size && same_text(a->exchange, b->exchange) &&
           same_text(a->routing_key, b->routing_key) && same_text(a->message_id, b->message_id);
}

/* A return carries no number and precedes its own ack. It is the oldest message that looks like it and was not returned yet; between two that look
 * the same it does not matter. */
static void on_return(struct publisher *publisher, struct wire_event *event)
{
    for (uint64_t number = publisher->oldest; number < publisher->next; number++) {
        struct pending *pending = *place(publisher, number);
        if (!pending || pending->returned || !same_message(&pending->message, &event->message))
            continue;
        pending->returned = true;
        return;
    }
    log_warn("the broker returned a message that is not waiting: exchange %s, key %s", event->message.exchange,
             event->message.routing_key);
}

/* Sending. */

static bool window_full(const struct publisher *publisher)
{
    return publisher->next - publisher->oldest >= publisher->window_size;
}

static int begin(struct publisher *publisher, struct wire *wire, struct err *err)
{
    struct pending *pending = take_first(publisher);
    *place(publisher, publisher->next++) = pending;
    publisher->sending = pending;
    return wire_publish(wire, &pending->message, pending->properties_size, err);
}

/* Sends as much as there is room for. 1: all, or the window is full; 0: the send buffer is full; -1: the connection is lost. */
static int send_some(struct publisher *publisher, struct wire *wire, struct err *err)
{
    for (;;) {
        if (publisher->sending) {
            int result = wire_publish_more(wire, err);
            if (result != 1)
                return result;
            publisher->sending = NULL;
        }
        if (!publisher->waiting || window_full(publisher))
            return 1;
        if (begin(publisher, wire, err) != 0)
            return -1;
    }
}

static void on_pump(void *arg)
{
    struct publisher *publisher = arg;
    struct wire *wire = session_wire(publisher->session);
    struct err err = {0};
    if (!wire || publisher->blocked)
        return;
    wire_cork(wire);
    int result = send_some(publisher, wire, &err);
    wire_uncork(wire);
    if (result == 0)
        loop_timer_set(publisher->pump, ROOM_RETRY_MS);
    if (result < 0)
        session_lost(publisher->session, &err);
}

/* Deadlines. Messages are in order of their deadlines, in the window and in the list. */

static int64_t next_deadline(struct publisher *publisher)
{
    for (uint64_t number = publisher->oldest; number < publisher->next; number++) {
        struct pending *pending = *place(publisher, number);
        if (pending && !pending->told)
            return pending->deadline_ms;
    }
    return publisher->waiting ? publisher->waiting->deadline_ms : INT64_MAX;
}

static void arm_expiry(struct publisher *publisher)
{
    int64_t deadline_ms = next_deadline(publisher), now_ms = clock_monotonic_ms();
    if (deadline_ms == INT64_MAX)
        loop_timer_set(publisher->expiry, -1);
    else
        loop_timer_set(publisher->expiry, deadline_ms > now_ms ? deadline_ms - now_ms : 0);
}

static void expire_sent(struct publisher *publisher, int64_t now_ms)
{
    for (uint64_t number = publisher->oldest; number < publisher->next; number++) {
        struct pending *pending = *place(publisher, number);
        if (!pending || pending->told)
            continue;
        if (pending->deadline_ms > now_ms)
            return;
        publisher->given_up++;
        tell(publisher, pending, PUBLISH_UNKNOWN);
    }
}

static void expire_waiting(struct publisher *publisher, int64_t now_ms)
{
    while (publisher->waiting && publisher->waiting->deadline_ms <= now_ms) {
        struct pending *pending = take_first(publisher);
        tell(publisher, pending, PUBLISH_REFUSED);
        pending_free(pending);
    }
}

static void on_expiry(void *arg)
{
    struct publisher *publisher = arg;
    int64_t now_ms = clock_monotonic_ms();
    expire_sent(publisher, now_ms);
    expire_waiting(publisher, now_ms);
    if (2 * publisher->given_up > publisher->window_size && !publisher->blocked) {
        struct err err = {0};
        err_set(&err, ERR_AGAIN, "%" PRIu64 " publishes without a confirm within %" PRId64 " ms", publisher->given_up,
                publisher->confirm_timeout_ms);
        session_lost(publisher->session, &err);
    }
    arm_expiry(publisher);
}

/* The session's hooks. */

static int opened(void *arg, struct wire *wire, struct err *err)
{
    struct publisher *publisher = arg;
    window_reset(publisher);
    publisher->blocked = false;
    if (wire_confirms(wire, err) != 0)
        return -1;
    arm_pump(publisher);
    return 0;
}

static void set_blocked(struct publisher *publisher, bool blocked, const char *reason)
{
    publisher->blocked = blocked;
    metric_set("acquit_publisher_blocked", NULL, blocked);
    if (blocked)
        log_warn("the broker takes no more messages for now: %s", reason);
    else
        log_info("the broker takes messages again");
    arm_pump(publisher);
}

static void on_event(void *arg, struct wire_event *event)
{
    struct publisher *publisher = arg;
    switch (event->kind) {
    case WIRE_ACK:
    case WIRE_NACK:
        on_confirm(publisher, event);
        return;
    case WIRE_RETURN:
        on_return(publisher, event);
        break;
    case WIRE_BLOCKED:
        set_blocked(publisher, true, event->text);
        break;
    case WIRE_UNBLOCKED:
        set_blocked(publisher, false, "");
        break;
    case WIRE_NOTHING:
    case WIRE_DELIVERY:
    case WIRE_CANCELLED:
    case WIRE_CONSUME_OK:
    case WIRE_CANCEL_OK:
        break;
    }
    message_clear(&event->message);
}

static void lost(void *arg)
{
    struct publisher *publisher = arg;
    uint64_t oldest = publisher->oldest, next = publisher->next;
    window_reset(publisher);
    if (publisher->blocked)
        metric_set("acquit_publisher_blocked", NULL, 0);
    publisher->blocked = false;
    for (uint64_t number = oldest; number < next; number++) {
        struct pending *pending = *place(publisher, number);
        if (!pending)
            continue;
        *place(publisher, number) = NULL;
        tell(publisher, pending, PUBLISH_UNKNOWN);
        pending_free(pending);
    }
}

static const struct session_hooks hooks = {.opened = opened, .event = on_event, .lost = lost};

static int check_options(const struct broker_options *options, struct err *err)
{
    if (options->unconfirmed_max < 1 || options->unconfirmed_max > PUBLISHER_WINDOW_MAX)
        return err_set(err, ERR_INVALID, "unconfirmed publishes must be 1 to %d", (int)PUBLISHER_WINDOW_MAX);
    if (options->confirm_timeout_ms < 1)
        return err_set(err, ERR_INVALID, "the confirm timeout must be at least 1 ms");
    return 0;
}

struct publisher *publisher_new(struct loop *loop, const struct broker_options *options, struct err *err)
{
    if (check_options(options, err) != 0)
        return NULL;
    struct publisher *publisher = mem_new(1, sizeof *publisher);
    publisher->session = session_new(loop, options, "publish", &hooks, publisher, err);
    if (!publisher->session) {
        free(publisher);
        return NULL;
    }
    publisher->confirm_timeout_ms = options->confirm_timeout_ms;
    publisher->waiting_end = &publisher->waiting;
    publisher->window_size = (uint64_t)options->unconfirmed_max;
    publisher->window = mem_new(publisher->window_size, sizeof(struct pending *));
    window_reset(publisher);
    publisher->pump = loop_timer(loop, -1, on_pump, publisher);
    publisher->expiry = loop_timer(loop, -1, on_expiry, publisher);
    return publisher;
}

void publisher_free(struct publisher *publisher)
{
    if (!publisher)
        return;
    publisher->closing = true;
    loop_source_free(publisher->pump);
    loop_source_free(publisher->expiry);
    session_free(publisher->session);
    lost(publisher);
    while (publisher->waiting) {
        struct pending *pending = take_first(publisher);
        tell(publisher, pending, PUBLISH_UNKNOWN);
        pending_free(pending);
    }
    free(publisher->window);
    free(publisher);
}

static int check_room(const struct publisher *publisher, size_t size, struct err *err)
{
    if (publisher->closing)
        return err_set(err, ERR_AGAIN, "the publisher is closing");
    if (publisher->waiting_count >= PUBLISHER_WAITING_MAX)
        return err_set(err, ERR_LIMIT, "%zu messages wait for the broker already", publisher->waiting_count);
    if (size > PUBLISHER_WAITING_BYTES_MAX - publisher->waiting_bytes)
        return err_set(err, ERR_LIMIT, "%zu bytes of messages wait for the broker already", publisher->waiting_bytes);
    return 0;
}

int publisher_send(struct publisher *publisher, const struct message *message,
                   void (*settled)(void *arg, enum publish_outcome outcome), void *arg, struct err *err)
{
    size_t properties_size;
    if (wire_check(message, &properties_size, err) != 0 ||
        check_room(publisher, properties_size + message->body_size, err) != 0)
        return -1;
    struct pending *pending = mem_new(1, sizeof *pending);
    message_copy(&pending->message, message);
    pending->properties_size = properties_size;
    pending->settled = settled;
    pending->arg = arg;
    pending->since_ms = clock_monotonic_ms();
    pending->deadline_ms = pending->since_ms + publisher->confirm_timeout_ms;
    bool first = publisher->untold == 0;
    append(publisher, pending);
    loop_timer_set(publisher->pump, 0);
    if (first)
        arm_expiry(publisher);
    return 0;
}

bool publisher_ready(const struct publisher *publisher)
{
    return session_wire(publisher->session) && !publisher->blocked;
}

size_t publisher_waiting(const struct publisher *publisher)
{
    return publisher->untold;
}
