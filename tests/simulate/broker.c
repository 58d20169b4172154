/* broker.c - the broker in memory, in the place of queues/consumer.h and publisher.h
 *
 * At least once: a message goes when it is acknowledged, and comes again when its consumer has gone. Messages wait, may stand twice, may overtake
 * each other, and a queue or the whole broker can lose all it has. Retries wait in the broker; the delivery limit dead-letters as RabbitMQ does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "queues/consumer.h"
#include "queues/publisher.h"
#include "queues/topology.h"
#include "tests/simulate/simulate.h"

enum {
    QUEUES_MAX = 16,
    CONSUMERS_MAX = 64,
    DELIVERY_LIMIT = 20,
    NETWORK_US = 700, /* one way takes up to so long */
    OVERTAKEN_MAX = 8,
    CURSE_US = 30000, /* whoever takes a cursed message dies within */
};

struct parcel {
    struct message message;
    int deliveries;
    bool redelivered, cursed;
    struct parcel *next;
};

struct queue {
    const char *name;
    struct parcel *first, *last;
    size_t count;
    bool due; /* handing out is about to happen */
};

struct unacknowledged {
    struct parcel *parcel;
    struct queue *queue;
    uint64_t tag;
    struct unacknowledged *next;
};

struct consumer {
    struct process *process;
    const char *const *queues;
    size_t queue_count;
    size_t prefetch;
    void (*on_delivery)(void *arg, struct delivery *delivery);
    void *arg;
    bool paused;
    uint64_t generation, tags;
    struct unacknowledged *unacknowledged;
    struct kept *kept; /* came while it was paused */
};

struct kept {
    struct consumer *consumer;
    struct delivery *delivery;
    struct kept *next;
};

static struct queue queues[QUEUES_MAX];
static size_t queue_count;
static struct consumer *consumers[CONSUMERS_MAX];
static size_t consumer_count;
static uint64_t wipes;
static int looks;

/* --- queues --- */

static struct queue *find_queue(const char *name)
{
    for (size_t i = 0; i < queue_count; i++)
        if (strcmp(queues[i].name, name) == 0)
            return &queues[i];
    return NULL;
}

static void free_parcel(struct parcel *parcel)
{
    message_clear(&parcel->message);
    free(parcel);
}

static void hand_out(void *arg);

static void look_at(struct queue *queue)
{
    if (queue->due || !queue->first)
        return;
    queue->due = true;
    later((int64_t)chance_below(NETWORK_US), true, hand_out, queue);
}

static void put(struct queue *queue, struct parcel *parcel)
{
    parcel->next = NULL;
    if (queue->last)
        queue->last->next = parcel;
    else
        queue->first = parcel;
    queue->last = parcel;
    queue->count++;
    look_at(queue);
}

static struct parcel *take(struct queue *queue)
{
    struct parcel *before = NULL, *parcel = queue->first;
    if (queue->count > 1 && fault(CHANCE_REORDER, 30))
        for (uint64_t skip = chance_below(OVERTAKEN_MAX); skip > 0 && parcel->next; skip--) {
            before = parcel;
            parcel = parcel->next;
        }
    if (before)
        before->next = parcel->next;
    else
        queue->first = parcel->next;
    if (!parcel->next)
        queue->last = before;
    queue->count--;
    return parcel;
}

/* --- where messages go --- */

static struct queue *route(const char *exchange, const char *key)
{
    char name[64];
    if (strcmp(exchange, EXCHANGE_DEAD) == 0) {
        snprintf(name, sizeof name, "acquit.dead.%s", strchr(key, '.') ? strchr(key, '.') + 1 : key);
        return find_queue(name);
    }
    const struct command_type *type = command_type_find(key);
    return find_queue(type ? type->queue : "acquit.unroutable");
}

struct waiting {
    struct parcel *parcel;
    uint64_t wipes;
};

static void wait_over(void *arg)
{
    struct waiting *waiting = arg;
    if (waiting->wipes == wipes)
        put(route(EXCHANGE_COMMANDS, waiting->parcel->message.routing_key), waiting->parcel);
    else {
        actors_wiped(&waiting->parcel->message);
        free_parcel(waiting->parcel);
    }
    free(waiting);
}

static int64_t delay_of(const char *exchange)
{
    static const int64_t delays_ms[] = {200, 1000, 5000, 30000, 120000, 600000, 3600000};
    for (size_t i = 0; i < sizeof delays_ms / sizeof *delays_ms; i++) {
        int64_t real;
        if (strcmp(wait_exchange(delays_ms[i], &real), exchange) == 0)
            return real;
    }
    log_panic("there is no exchange %s", exchange);
}

/* Of questions more, because there are few. A dead letter that cannot be archived stays with the broker, for ever: none of them. */
static bool is_cursed(const struct message *message)
{
    if (strcmp(message->exchange, EXCHANGE_DEAD) == 0)
        return false;
    bool asks = strcmp(message->routing_key, "authorize.resolve") == 0;
    return chance_per_mille(500) && fault(CHANCE_CURSED, asks ? 8 : 1);
}

static void accept(const struct message *message)
{
    const char *exchange = message->exchange;
    if (!*exchange || strcmp(exchange, EXCHANGE_EVENTS) == 0) {
        actors_told(message);
        return;
    }
    bool look = strcmp(message->routing_key, "payment.look") == 0;
    looks += look;
    if (look && world_kind() == WORLD_LOSSLESS)
        return;
    struct parcel *parcel = mem_new(1, sizeof *parcel);
    *parcel = (struct parcel){0};
    message_copy(&parcel->message, message);
    parcel->cursed = is_cursed(message);
    if (strncmp(exchange, "acquit.wait.", 12) != 0) {
        put(route(exchange, message->routing_key), parcel);
        return;
    }
    struct waiting *waiting = mem_new(1, sizeof *waiting);
    *waiting = (struct waiting){parcel, wipes};
    later(delay_of(exchange) * 1000, true, wait_over, waiting);
}

void broker_publish(const struct message *message)
{
    accept(message);
    if (fault(CHANCE_DUPLICATE, 30))
        accept(message);
}

/* --- consumers --- */

static bool reads(const struct consumer *consumer, const struct queue *queue)
{
    for (size_t i = 0; i < consumer->queue_count; i++)
        if (strcmp(consumer->queues[i], queue->name) == 0)
            return true;
    return false;
}

static size_t open_deliveries(const struct consumer *consumer)
{
    size_t count = 0;
    for (const struct unacknowledged *u = consumer->unacknowledged; u; u = u->next)
        count++;
    return count;
}

static struct consumer *somebody(const struct queue *queue)
{
    struct consumer *able[CONSUMERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < consumer_count; i++)
        if (!consumers[i]->paused && reads(consumers[i], queue) &&
            open_deliveries(consumers[i]) < consumers[i]->prefetch)
            able[count++] = consumers[i];
    return count ? able[chance_below(count)] : NULL;
}

static void dead_letter_by_broker(struct queue *queue, struct parcel *parcel)
{
    struct message *message = &parcel->message;
    if (!message->headers)
        message->headers = json_object();
    json_object_set_new(message->headers, "x-death",
                        json_pack("[{s:s, s:[s], s:i, s:I, s:s}]", "queue", queue->name, "routing-keys",
                                  message->routing_key, "count", 1, "time", (json_int_t)(now_us / 1000000), "reason",
                                  "delivery_limit"));
    parcel->deliveries = 0;
    parcel->cursed = false;
    parcel->redelivered = false;
    story("the delivery limit ends %s", message->routing_key);
    put(route(EXCHANGE_DEAD, queue->name), parcel);
}

static void strike(void *arg)
{
    process_kill(arg);
}

static void arrive(void *arg)
{
    struct kept *kept = arg;
    struct consumer *consumer = kept->consumer;
    if (consumer->paused) {
        kept->next = consumer->kept;
        consumer->kept = kept;
        return;
    }
    consumer->on_delivery(consumer->arg, kept->delivery);
    free(kept);
}

static void deliver(struct consumer *consumer, struct queue *queue, struct parcel *parcel)
{
    struct unacknowledged *open = mem_new(1, sizeof *open);
    *open = (struct unacknowledged){parcel, queue, ++consumer->tags, consumer->unacknowledged};
    consumer->unacknowledged = open;
    struct delivery *delivery = mem_new(1, sizeof *delivery);
    *delivery = (struct delivery){
        .queue = queue->name, .tag = open->tag, .generation = consumer->generation, .redelivered = parcel->redelivered};
    message_copy(&delivery->message, &parcel->message);
    parcel->deliveries++;
    struct kept *kept = mem_new(1, sizeof *kept);
    *kept = (struct kept){consumer, delivery, NULL};
    if (parcel->cursed)
        later((int64_t)chance_below(CURSE_US), true, strike, consumer->process);
    process_call(consumer->process, arrive, kept);
}

static void hand_out(void *arg)
{
    struct queue *queue = arg;
    queue->due = false;
    struct consumer *consumer;
    while (queue->first && (consumer = somebody(queue)) != NULL) {
        struct parcel *parcel = take(queue);
        if (parcel->deliveries > DELIVERY_LIMIT)
            dead_letter_by_broker(queue, parcel);
        else
            deliver(consumer, queue, parcel);
    }
}

static void look_at_all(void)
{
    for (size_t i = 0; i < queue_count; i++)
        look_at(&queues[i]);
}

/* Its connection has ended: what it has not acknowledged comes again, to whomever. */
static void give_back(struct consumer *consumer)
{
    consumer->generation++;
    for (struct unacknowledged *open = consumer->unacknowledged, *next; open; open = next) {
        next = open->next;
        open->parcel->redelivered = true;
        put(open->queue, open->parcel);
        free(open);
    }
    consumer->unacknowledged = NULL;
}

struct consumer *consumer_new(struct loop *loop, const struct broker_options *options, const char *const *names,
                              size_t count, int prefetch, void (*on_delivery)(void *arg, struct delivery *delivery),
                              void *arg, struct err *err)
{
    (void)loop;
    (void)options;
    if (consumer_count == CONSUMERS_MAX) {
        err_set(err, ERR_LIMIT, "more than %d consumers", CONSUMERS_MAX);
        return NULL;
    }
    struct consumer *consumer = mem_new(1, sizeof *consumer);
    *consumer = (struct consumer){.process = process_here(),
                                  .queues = names,
                                  .queue_count = count,
                                  .prefetch = (size_t)prefetch,
                                  .on_delivery = on_delivery,
                                  .arg = arg};
    consumers[consumer_count++] = consumer;
    look_at_all();
    return consumer;
}

static void remove_consumer(size_t i)
{
    struct consumer *consumer = consumers[i];
    consumers[i] = consumers[--consumer_count];
    give_back(consumer);
    consumer->process = NULL; /* kept: events may still point here */
}

void consumer_free(struct consumer *consumer)
{
    for (size_t i = 0; i < consumer_count; i++)
        if (consumers[i] == consumer)
            remove_consumer(i--);
}

struct acknowledgement {
    struct consumer *consumer;
    uint64_t tag, generation;
};

static void acknowledge(void *arg)
{
    struct acknowledgement *ack = arg;
    struct unacknowledged **at = &ack->consumer->unacknowledged;
    while (ack->generation == ack->consumer->generation && *at && (*at)->tag != ack->tag)
        at = &(*at)->next;
    if (ack->generation == ack->consumer->generation && *at) {
        struct unacknowledged *open = *at;
        *at = open->next;
        free_parcel(open->parcel);
        free(open);
        look_at_all();
    }
    free(ack);
}

/* Lost when the process dies, or its connection, before it has arrived. */
void consumer_ack(struct consumer *consumer, const struct delivery *delivery)
{
    struct acknowledgement *ack = mem_new(1, sizeof *ack);
    *ack = (struct acknowledgement){consumer, delivery->tag, delivery->generation};
    later((int64_t)chance_below(NETWORK_US), true, acknowledge, ack);
    if (fault(CHANCE_LOST_CONSUMER, 2))
        give_back(consumer);
}

void consumer_requeue(struct consumer *consumer, const struct delivery *delivery)
{
    (void)consumer;
    (void)delivery;
}

void consumer_pause(struct consumer *consumer)
{
    consumer->paused = true;
}

void consumer_resume(struct consumer *consumer)
{
    consumer->paused = false;
    for (struct kept *kept = consumer->kept, *next; kept; kept = next) {
        next = kept->next;
        process_call(consumer->process, arrive, kept);
    }
    consumer->kept = NULL;
    look_at_all();
}

bool consumer_connected(const struct consumer *consumer)
{
    return consumer->process != NULL;
}

void delivery_free(struct delivery *delivery)
{
    if (!delivery)
        return;
    message_clear(&delivery->message);
    free(delivery);
}

/* --- publishers --- */

struct publisher {
    struct process *process;
    size_t waiting;
};

struct publish {
    struct publisher *publisher;
    struct message message;
    void (*settled)(void *arg, enum publish_outcome outcome);
    void *arg;
    enum publish_outcome outcome;
};

struct publisher *publisher_new(struct loop *loop, const struct broker_options *options, struct err *err)
{
    (void)loop;
    (void)options;
    (void)err;
    struct publisher *publisher = mem_new(1, sizeof *publisher);
    *publisher = (struct publisher){.process = process_here()};
    return publisher;
}

void publisher_free(struct publisher *publisher)
{
    (void)publisher;
}

static void settle(void *arg)
{
    struct publish *publish = arg;
    publish->publisher->waiting--;
    publish->settled(publish->arg, publish->outcome);
    free(publish);
}

static void come_back(void *arg)
{
    struct publish *publish = arg;
    if (process_alive(publish->publisher->process))
        process_call(publish->publisher->process, settle, publish);
    else
        free(publish);
}

static enum publish_outcome reach_broker(const struct publish *publish)
{
    if (fault(CHANCE_REFUSED, 3))
        return PUBLISH_REFUSED;
    if (fault(CHANCE_LOST_CONFIRM, 3)) {
        if (chance_per_mille(500))
            broker_publish(&publish->message);
        return PUBLISH_UNKNOWN;
    }
    broker_publish(&publish->message);
    return PUBLISH_CONFIRMED;
}

/* What a process had written to its socket when it died may have gone with it. */
static void reach(void *arg)
{
    struct publish *publish = arg;
    bool alive = process_alive(publish->publisher->process);
    if (alive || chance_per_mille(500))
        publish->outcome = reach_broker(publish);
    message_clear(&publish->message);
    later((int64_t)chance_below(NETWORK_US), true, come_back, publish);
}

int publisher_send(struct publisher *publisher, const struct message *message,
                   void (*settled)(void *arg, enum publish_outcome outcome), void *arg, struct err *err)
{
    (void)err;
    struct publish *publish = mem_new(1, sizeof *publish);
    *publish = (struct publish){.publisher = publisher, .settled = settled, .arg = arg};
    message_copy(&publish->message, message);
    publisher->waiting++;
    story("says %s %s", message->exchange, message->routing_key ? message->routing_key : "");
    later((int64_t)chance_below(NETWORK_US), true, reach, publish);
    return 0;
}

bool publisher_ready(const struct publisher *publisher)
{
    return process_alive(publisher->process);
}

size_t publisher_waiting(const struct publisher *publisher)
{
    return publisher->waiting;
}

/* --- what happens to it --- */

void broker_process_died(struct process *process)
{
    for (size_t i = 0; i < consumer_count; i++)
        if (consumers[i]->process == process)
            remove_consumer(i--);
}

void broker_process_stalled(struct process *process)
{
    for (size_t i = 0; i < consumer_count; i++)
        if (consumers[i]->process == process)
            give_back(consumers[i]);
}

int broker_looks(void)
{
    return looks;
}

static void lose(struct parcel *parcel)
{
    actors_wiped(&parcel->message);
    free_parcel(parcel);
}

static void empty(struct queue *queue)
{
    for (struct parcel *parcel = queue->first, *next; parcel; parcel = next) {
        next = parcel->next;
        lose(parcel);
    }
    queue->first = queue->last = NULL;
    queue->count = 0;
}

/* Deliveries that are at work go on, and nobody is there to take their acknowledgement. */
static void empty_hands(struct consumer *consumer, const struct queue *queue)
{
    for (struct unacknowledged **at = &consumer->unacknowledged; *at;) {
        struct unacknowledged *open = *at;
        if (queue && open->queue != queue) {
            at = &open->next;
            continue;
        }
        *at = open->next;
        lose(open->parcel);
        free(open);
    }
}

void broker_wipe(const char *name)
{
    struct queue *only = name ? find_queue(name) : NULL;
    for (size_t i = 0; i < queue_count; i++)
        if (!only || only == &queues[i])
            empty(&queues[i]);
    for (size_t i = 0; i < consumer_count; i++)
        empty_hands(consumers[i], only);
    if (!only)
        wipes++;
}

bool broker_empty(void)
{
    for (size_t i = 0; i < queue_count; i++)
        if (queues[i].first)
            return false;
    for (size_t i = 0; i < consumer_count; i++)
        if (consumers[i]->unacknowledged)
            return false;
    return true;
}

size_t broker_queue_count(void)
{
    return queue_count;
}

const char *broker_queue_name(size_t i)
{
    return queues[i].name;
}

static void add_queues(const char *worker)
{
    for (const char *const *name = worker_queues(worker); *name; name++)
        if (!find_queue(*name))
            queues[queue_count++] = (struct queue){.name = *name};
}

void broker_start(void)
{
    static const char *const workers[] = {"authorize", "pop-validate", "token-activate",
                                          "refund",    "notify",       "compensate"};
    queue_count = consumer_count = 0;
    wipes = 0;
    looks = 0;
    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++)
        add_queues(workers[i]);
}

void broker_end(void)
{
    for (size_t i = 0; i < queue_count; i++)
        for (struct parcel *parcel = queues[i].first, *next; parcel; parcel = next) {
            next = parcel->next;
            free_parcel(parcel);
        }
    queue_count = 0;
}
