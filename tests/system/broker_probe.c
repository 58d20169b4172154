/* broker_probe.c - queues/ against a real broker; driven by test_queues.py
 *
 *     broker_probe apply | check | users NAME:ROLE:PASSWORD...
 *     broker_probe CASE
 *
 * Reads ACQUIT_AMQP_URL (an administrator's) and ACQUIT_MGMT_URL. A case runs the loop, and where somebody else must do something to the broker it says so
 * on standard output ("freeze broker") and goes on, loop turning, until a line comes back on standard input. It ends with the line "ok" and code 0, or
 * says what is wrong and ends with code 1. A tick every TICK_MS measures how long the loop was held up; no case may exceed STALL_MAX_MS, unless it says why.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"
#include "queues/amqp.h"
#include "queues/consumer.h"
#include "queues/envelope.h"
#include "queues/publisher.h"
#include "queues/topology.h"

enum {
    TICK_MS = 5,
    STALL_MAX_MS = 1000, /* what hangs does so for many seconds; a busy machine alone takes hundreds of milliseconds */
    STEP_MS = 20 * 1000, /* longest wait for anything */
    PREFETCH = 100,
    HEARTBEAT_S = 2,
    CONNECT_TIMEOUT_MS = 2000,
    CONFIRM_TIMEOUT_MS = 3000,
    UNCONFIRMED_MAX = 64,
    TAKEN_MAX = 100000,
};

#define QUEUE "acquit.notify"
#define KEY "notify.send"
/* Lies across the place where a long body is cut, so many bytes before it. */
#define CARD "4242 4242 4242 4242"
enum { CARD_KEPT = 17 };

static struct loop *loop;
static struct loop_source *ticker;
static int64_t last_tick_ms, worst_stall_ms, allowed_stall_ms = STALL_MAX_MS;
static char line[64];
static bool line_came;

static struct publisher *publisher;
static int outcomes[4], sent_count;

static struct consumer *consumer;
static struct delivery *taken[TAKEN_MAX];
static int taken_count, redelivered_count;
static bool ack_at_once;

static const char *const outcome_names[] = {"confirmed", "returned", "refused", "unknown"};

/* The stage. */

_Noreturn static void fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

_Noreturn static void fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("; outcomes:");
    for (int i = 0; i < 4; i++)
        printf(" %d %s", outcomes[i], outcome_names[i]);
    printf("; taken %d, redelivered %d\n", taken_count, redelivered_count);
    exit(1);
}

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail("line %d: not true: %s", __LINE__, #condition);                                                       \
    } while (0)

static void tick(void *arg)
{
    (void)arg;
    int64_t now = clock_monotonic_ms();
    if (now - last_tick_ms > worst_stall_ms)
        worst_stall_ms = now - last_tick_ms;
    last_tick_ms = now;
    loop_timer_set(ticker, TICK_MS);
}

static void on_line(void *arg, int events)
{
    (void)arg;
    (void)events;
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);
    if (n <= 0)
        fail("standard input ended");
    line_came = true;
}

static void turn_until(bool (*condition)(void), int64_t timeout_ms, const char *what)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    while (!condition()) {
        if (clock_monotonic_ms() > deadline)
            fail("gave up waiting until %s", what);
        if (loop_turn(loop, 20) != 0)
            fail("the loop failed");
    }
}

static int64_t pause_end_ms;
static bool pause_over(void)
{
    return clock_monotonic_ms() >= pause_end_ms;
}

static void turn_for(int64_t ms)
{
    pause_end_ms = clock_monotonic_ms() + ms;
    turn_until(pause_over, ms + STEP_MS, "time passes");
}

static bool have_line(void)
{
    return line_came;
}

/* Somebody else does something to the broker. */
static void ask(const char *what)
{
    line_came = false;
    printf("%s\n", what);
    fflush(stdout);
    turn_until(have_line, 3 * STEP_MS, what);
}

static struct broker_options options(void)
{
    return (struct broker_options){
        .url = getenv("ACQUIT_AMQP_URL"),
        .connection_name = "broker_probe",
        .heartbeat_s = HEARTBEAT_S,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .confirm_timeout_ms = CONFIRM_TIMEOUT_MS,
        .unconfirmed_max = UNCONFIRMED_MAX,
    };
}

/* The players. */

static void settled(void *arg, enum publish_outcome outcome)
{
    (void)arg;
    outcomes[outcome]++;
}

static bool publisher_is_ready(void)
{
    return publisher_ready(publisher);
}

static bool publisher_is_not_ready(void)
{
    return !publisher_ready(publisher);
}

static bool all_settled(void)
{
    return publisher_waiting(publisher) == 0;
}

static void open_publisher(void)
{
    struct broker_options o = options();
    struct err err = {0};
    publisher = publisher_new(loop, &o, &err);
    if (!publisher)
        fail("publisher: %s", err.text);
    turn_until(publisher_is_ready, STEP_MS, "the publisher is connected");
}

static int try_send(const char *exchange, const char *key, const char *id, size_t size, struct err *err)
{
    char *body = mem_new(size + 1, 1);
    memset(body, 'x', size);
    if (size > WIRE_BODY_MAX)
        memcpy(body + WIRE_BODY_MAX - CARD_KEPT, CARD, sizeof CARD - 1);
    struct message message = {
        .exchange = mem_text(exchange),
        .routing_key = mem_text(key),
        .message_id = mem_text(id),
        .content_type = mem_text("application/json"),
        .type = mem_text(key),
        .timestamp = 1700000000,
        .headers = json_pack("{s:i, s:s, s:b, s:[i, s], s:{s:n}}", HEADER_ATTEMPT, 3, "text", "\xc3\xa9", "yes", 1,
                             "list", 1, "two", "object", "nothing"),
        .body = body,
        .body_size = size,
    };
    int result = publisher_send(publisher, &message, settled, NULL, err);
    sent_count += result == 0;
    message_clear(&message);
    return result;
}

/* What that takes is our own time, not a stall of the loop. */
static void send_to(const char *exchange, const char *key, int n, size_t size)
{
    int64_t started = clock_monotonic_ms();
    for (int i = 0; i < n; i++) {
        char id[32];
        struct err err = {0};
        snprintf(id, sizeof id, "probe-%d", sent_count);
        if (try_send(exchange, key, id, size, &err) != 0)
            fail("send: %s", err.text);
    }
    last_tick_ms += clock_monotonic_ms() - started;
}

static void on_delivery(void *arg, struct delivery *delivery)
{
    (void)arg;
    redelivered_count += delivery->redelivered;
    if (ack_at_once)
        consumer_ack(consumer, delivery);
    if (taken_count >= TAKEN_MAX)
        fail("too many deliveries");
    taken[taken_count++] = delivery;
}

static bool consumer_is_connected(void)
{
    return consumer_connected(consumer);
}

static bool consumer_is_not_connected(void)
{
    return !consumer_connected(consumer);
}

static int taken_wanted;
static bool enough_taken(void)
{
    return taken_count >= taken_wanted;
}

static void take(int n)
{
    taken_wanted = n;
    turn_until(enough_taken, STEP_MS, "the deliveries have come");
}

static void forget_taken(void)
{
    for (int i = 0; i < taken_count; i++)
        delivery_free(taken[i]);
    taken_count = redelivered_count = 0;
}

static void open_consumer(int prefetch)
{
    static const char *const queues[] = {QUEUE, "acquit.dead.notify"};
    struct broker_options o = options();
    struct err err = {0};
    consumer = consumer_new(loop, &o, queues, 2, prefetch, on_delivery, NULL, &err);
    if (!consumer)
        fail("consumer: %s", err.text);
    turn_until(consumer_is_connected, STEP_MS, "the consumer is connected");
}

static void close_consumer(void)
{
    consumer_free(consumer);
    consumer = NULL;
    forget_taken();
}

/* The queue must be empty: whatever an earlier case left is taken away. */
static void drain(void)
{
    ack_at_once = true;
    open_consumer(PREFETCH);
    int before;
    do {
        before = taken_count;
        turn_for(400);
    } while (taken_count > before);
    close_consumer();
    ack_at_once = false;
}

static void expect_empty(void)
{
    open_consumer(PREFETCH);
    turn_for(300);
    expect(taken_count == 0);
    close_consumer();
}

/* Cases. */

static void case_publish(void)
{
    open_publisher();
    send_to("acquit.cmd", KEY, 1000, 300);
    turn_until(all_settled, STEP_MS, "all are confirmed");
    expect(outcomes[PUBLISH_CONFIRMED] == 1000);
    open_consumer(PREFETCH);
    for (int acked = 0; acked < 1000;) {
        take(acked + 1);
        while (acked < taken_count)
            consumer_ack(consumer, taken[acked++]);
    }
    const struct message *first = &taken[0]->message;
    expect(strcmp(taken[0]->queue, QUEUE) == 0 && strcmp(first->exchange, "acquit.cmd") == 0 &&
           strcmp(first->routing_key, KEY) == 0);
    expect(strcmp(first->message_id, "probe-0") == 0 && strcmp(first->type, KEY) == 0 &&
           first->timestamp == 1700000000);
    expect(first->delivery_mode == 2 && first->body_size == 300 && !first->escaped);
    expect(json_int(first->headers, HEADER_ATTEMPT, 0) == 3 &&
           strcmp(json_text(first->headers, "text", ""), "\xc3\xa9") == 0);
    expect(json_bool(first->headers, "yes", false) && json_array_size(json_object_get(first->headers, "list")) == 2);
    expect(json_is_null(json_object_get(json_object_get(first->headers, "object"), "nothing")));
    for (int i = 0; i < 1000; i++) {
        char id[32];
        snprintf(id, sizeof id, "probe-%d", i);
        expect(strcmp(taken[i]->message.message_id, id) == 0);
    }
    close_consumer();
    expect_empty();
}

/* Acknowledged out of order, every third not at all: exactly those come back. */
static void case_acks(void)
{
    open_publisher();
    send_to("acquit.cmd", KEY, 90, 10);
    open_consumer(PREFETCH);
    take(90);
    for (int i = 89; i >= 0; i -= 2)
        if (i % 3)
            consumer_ack(consumer, taken[i]);
    turn_for(50);
    for (int i = 0; i < 90; i++)
        if (i % 3)
            consumer_ack(consumer, taken[i]);
    consumer_ack(consumer, taken[1]); /* twice does nothing */
    close_consumer();
    open_consumer(PREFETCH);
    take(30);
    turn_for(200);
    expect(taken_count == 30 && redelivered_count == 30);
    for (int i = 0; i < 30; i++) {
        expect(atoi(taken[i]->message.message_id + strlen("probe-")) % 3 == 0);
        consumer_ack(consumer, taken[i]);
    }
    close_consumer();
    expect_empty();
}

static void case_requeue(void)
{
    open_publisher();
    send_to("acquit.cmd", KEY, 2, 10);
    open_consumer(PREFETCH);
    take(2);
    consumer_requeue(consumer, taken[0]);
    take(3);
    expect(taken[2]->redelivered && strcmp(taken[2]->message.message_id, taken[0]->message.message_id) == 0);
    consumer_ack(consumer, taken[0]); /* its handle is used up */
    consumer_ack(consumer, taken[1]);
    consumer_ack(consumer, taken[2]);
    close_consumer();
    expect_empty();
}

/* Only acquit.evt has no alternate exchange, and nobody is subscribed. */
static void case_returned(void)
{
    open_publisher();
    for (int i = 0; i < 50; i++) {
        send_to("acquit.evt", "payment.probed", 1, 20);
        send_to("acquit.cmd", KEY, 1, 20);
        send_to("acquit.in", "payment.nonsense", 1, 20); /* the alternate exchange catches it */
    }
    turn_until(all_settled, STEP_MS, "all are settled");
    expect(outcomes[PUBLISH_RETURNED] == 50 && outcomes[PUBLISH_CONFIRMED] == 100);
}

static void case_wait(void)
{
    open_publisher();
    open_consumer(PREFETCH);
    int64_t real = 0;
    const char *exchange = wait_exchange(200, &real);
    int64_t started = clock_monotonic_ms();
    send_to(exchange, KEY, 20, 100);
    take(20);
    int64_t took = clock_monotonic_ms() - started;
    const struct message *message = &taken[0]->message;
    expect(took >= 195 && took < 2000);
    expect(strcmp(message->routing_key, KEY) == 0 && strcmp(message->exchange, "acquit.cmd") == 0);
    expect(json_int(message->headers, HEADER_ATTEMPT, 0) == 3 && strcmp(message->type, KEY) == 0 &&
           message->body_size == 100);
    expect(json_array_size(json_object_get(message->headers, "x-death")) == 1);
    for (int i = 0; i < taken_count; i++)
        consumer_ack(consumer, taken[i]);
    /* What came through a wait queue goes there again, with headers of ours only, and comes back. */
    for (int round = 0; round < 3; round++) {
        int before = taken_count;
        send_to(exchange, KEY, 1, 100);
        take(before + 1);
        consumer_ack(consumer, taken[before]);
    }
    printf("20 messages were back after %" PRId64 " ms\n", took);
}

/* Bodies far larger than the send buffer, in both directions. */
static void case_large(void)
{
    open_publisher();
    open_consumer(PREFETCH);
    send_to("acquit.cmd", KEY, 10, 900 * 1024);
    send_to("acquit.cmd", KEY, 10, 0);
    take(20);
    expect(taken[0]->message.body_size == 900 * 1024 && taken[0]->message.body[900 * 1024 - 1] == 'x');
    expect(taken[19]->message.body_size == 0 && taken[19]->message.body[0] == '\0');
    for (int i = 0; i < taken_count; i++)
        consumer_ack(consumer, taken[i]);
    turn_until(all_settled, STEP_MS, "all are confirmed");
    expect(outcomes[PUBLISH_CONFIRMED] == 20);
}

/* What a broker lets through is not all kept: a worker's memory has a bound (L12), and no half of a card number stays (L11). */
static void case_cut(void)
{
    enum { SIZE = 5 * 1024 * 1024 + 7 };
    open_publisher();
    open_consumer(PREFETCH);
    send_to("acquit.cmd", KEY, 3, SIZE);
    send_to("acquit.cmd", KEY, 1, 30);
    take(4);
    for (int i = 0; i < 3; i++) {
        const struct message *message = &taken[i]->message;
        expect(message->body_size == WIRE_BODY_MAX - CARD_KEPT && strlen(message->body) == message->body_size);
        expect(message->body_cut == SIZE - message->body_size && message->body[message->body_size - 1] == 'x');
        json_t *properties = message_properties(message);
        expect(json_int(properties, "bodyCut", 0) == (int64_t)message->body_cut);
        json_decref(properties);
    }
    expect(taken[3]->message.body_size == 30 && taken[3]->message.body_cut == 0);
    for (int i = 0; i < taken_count; i++)
        consumer_ack(consumer, taken[i]);
    turn_until(all_settled, STEP_MS, "all are confirmed");
    allowed_stall_ms = 4 * STALL_MAX_MS; /* so many bytes take their time */
}

static void case_pause(void)
{
    open_publisher();
    open_consumer(PREFETCH);
    send_to("acquit.cmd", KEY, 5, 10);
    take(5);
    consumer_pause(consumer);
    send_to("acquit.cmd", KEY, 50, 10);
    turn_for(400);
    expect(taken_count == 5);
    for (int i = 0; i < 5; i++)
        consumer_ack(consumer, taken[i]); /* acknowledging goes on */
    for (int i = 0; i < 10; i++) {        /* back and forth faster than the broker answers */
        consumer_resume(consumer);
        consumer_pause(consumer);
    }
    turn_for(300);
    expect(taken_count == 5);
    consumer_resume(consumer);
    take(55);
    for (int i = 5; i < 55; i++)
        consumer_ack(consumer, taken[i]);
    expect(redelivered_count == 0);
    close_consumer();
    expect_empty();
}

/* Headers that are no help: thousands, nested thousands deep, larger than a frame that was agreed. */
static void case_hostile(void)
{
    open_consumer(PREFETCH);
    ask("publish hostile");
    take(3);
    expect(strcmp(taken[0]->message.message_id, "deep") == 0 && strcmp(taken[1]->message.message_id, "many") == 0);
    expect(json_object_size(taken[1]->message.headers) == 8000);
    expect(strcmp(taken[2]->message.message_id, "large") == 0);
    expect(strlen(json_text(taken[2]->message.headers, "large", "")) == 130972);
    expect(json_object_get(taken[2]->message.headers, "x-death") != NULL);
    for (int i = 0; i < 3; i++) {
        struct command command;
        struct err err = {0};
        json_t *kept = message_properties(&taken[i]->message);
        struct message message = {.headers = json_pack("{s:o}", "x-acquit-properties", kept)};
        expect(command_decode(taken[i], (const char *[]){NULL}, true, &command, &err) != 0 && err.code == ERR_INVALID);
        command_clear(&command);
        open_publisher();
        expect(publisher_send(publisher, &message, settled, NULL, &err) == 0); /* its dead letter can always be sent */
        publisher_free(publisher);
        publisher = NULL;
        json_decref(message.headers);
        consumer_ack(consumer, taken[i]);
    }
    expect(redelivered_count == 0);
    close_consumer();
    expect_empty();
}

/* Both connections are closed by an operator. */
static void case_kill(void)
{
    open_publisher();
    open_consumer(PREFETCH);
    send_to("acquit.cmd", KEY, 10, 10);
    take(10);
    ask("close connections");
    turn_until(consumer_is_not_connected, STEP_MS, "the loss is noticed");
    consumer_ack(consumer, taken[0]); /* stale: does nothing */
    turn_until(consumer_is_connected, STEP_MS, "the consumer is back");
    turn_until(publisher_is_ready, STEP_MS, "the publisher is back");
    take(20);
    for (int i = 0; i < 10; i++)
        consumer_ack(consumer, taken[i]); /* stale ones never hit new deliveries */
    turn_for(100);
    expect(redelivered_count == 10);
    for (int i = 10; i < 20; i++)
        consumer_ack(consumer, taken[i]);
    send_to("acquit.cmd", KEY, 10, 10);
    take(30);
    for (int i = 20; i < 30; i++)
        consumer_ack(consumer, taken[i]);
    turn_until(all_settled, STEP_MS, "all are confirmed");
    expect(outcomes[PUBLISH_CONFIRMED] == 20);
    close_consumer();
    expect_empty();
}

/* The broker dies with publishes under way; what it confirmed is there afterwards. */
static void case_crash(void)
{
    allowed_stall_ms = 2 * CONNECT_TIMEOUT_MS + STALL_MAX_MS; /* a booting broker takes its time to shake hands */
    open_publisher();
    send_to("acquit.cmd", KEY, 200, 2000);
    turn_until(all_settled, STEP_MS, "all are confirmed");
    send_to("acquit.cmd", KEY, 2000, 2000);
    turn_for(5);
    ask("kill broker");
    turn_until(publisher_is_not_ready, STEP_MS, "the loss is noticed");
    int confirmed = outcomes[PUBLISH_CONFIRMED];
    turn_until(all_settled, STEP_MS, "all have an outcome");
    expect(outcomes[PUBLISH_CONFIRMED] + outcomes[PUBLISH_UNKNOWN] + outcomes[PUBLISH_REFUSED] == 2200);
    ask("start broker");
    turn_until(publisher_is_ready, 2 * STEP_MS, "the publisher is back");
    open_consumer(1000);
    turn_for(1500);
    printf("confirmed %d, unknown %d, surely not stored %d, found %d\n", confirmed, outcomes[PUBLISH_UNKNOWN],
           outcomes[PUBLISH_REFUSED], taken_count);
    ack_at_once = true;
    for (int i = 0; i < taken_count; i++)
        consumer_ack(consumer, taken[i]);
    turn_for(1500);
    expect(taken_count >= confirmed && taken_count <= 2200 - outcomes[PUBLISH_REFUSED]);
}

/* A frozen broker: nothing hangs, the heartbeat finds out. */
static void case_freeze(void)
{
    open_publisher();
    open_consumer(PREFETCH);
    turn_for(2500 * HEARTBEAT_S); /* idle past a heartbeat: where the library itself hangs */
    ask("freeze broker");
    send_to("acquit.cmd", KEY, 3000, 4000);
    turn_until(publisher_is_not_ready, STEP_MS, "the publisher has noticed");
    turn_until(consumer_is_not_connected, STEP_MS, "the consumer has noticed");
    turn_until(all_settled, STEP_MS, "all have an outcome");
    expect(outcomes[PUBLISH_CONFIRMED] == 0 && outcomes[PUBLISH_UNKNOWN] > 0);
    /* To connect to a frozen broker takes the whole connect timeout, in which the loop stands; both connections may do so in one turn. */
    expect(worst_stall_ms < 2 * CONNECT_TIMEOUT_MS + STALL_MAX_MS);
    worst_stall_ms = 0;
    ask("thaw broker");
    turn_until(publisher_is_ready, 2 * STEP_MS, "the publisher is back");
    turn_until(consumer_is_connected, 2 * STEP_MS, "the consumer is back");
    int before = outcomes[PUBLISH_CONFIRMED];
    send_to("acquit.cmd", KEY, 10, 10);
    turn_until(all_settled, STEP_MS, "all are confirmed");
    expect(outcomes[PUBLISH_CONFIRMED] - before == 10);
    worst_stall_ms = 0;
}

/* Memory alarm: the broker stops reading what publishers send, but not consumers' acknowledgements. */
static void case_alarm(void)
{
    open_publisher();
    open_consumer(PREFETCH);
    send_to("acquit.cmd", KEY, 20, 10);
    take(20);
    ask("raise alarm");
    send_to("acquit.cmd", KEY, 4000, 4000);
    turn_until(publisher_is_not_ready, STEP_MS, "the publisher knows that it is blocked");
    for (int i = 0; i < 20; i++)
        consumer_ack(consumer, taken[i]);
    turn_until(all_settled, STEP_MS, "all have an outcome");
    expect(outcomes[PUBLISH_CONFIRMED] == 20 && outcomes[PUBLISH_REFUSED] + outcomes[PUBLISH_UNKNOWN] == 4000);
    expect(outcomes[PUBLISH_UNKNOWN] <= UNCONFIRMED_MAX);
    turn_for(3 * 1000 * HEARTBEAT_S); /* heartbeats keep both connections alive */
    expect(!publisher_ready(publisher) && consumer_connected(consumer));
    send_to("acquit.cmd", KEY, 1, 10);
    ask("clear alarm");
    turn_until(publisher_is_ready, STEP_MS, "the publisher is free again");
    turn_until(all_settled, STEP_MS, "all have an outcome");
    send_to("acquit.cmd", KEY, 100, 10);
    turn_until(all_settled, STEP_MS, "all are confirmed");
    expect(outcomes[PUBLISH_CONFIRMED] >= 120);
    printf("blocked: %d unknown, %d surely not stored\n", outcomes[PUBLISH_UNKNOWN], outcomes[PUBLISH_REFUSED]);
}

static void case_deleted(void)
{
    open_publisher();
    open_consumer(PREFETCH);
    ask("delete queue");
    turn_until(consumer_is_not_connected, STEP_MS, "the deletion is noticed");
    turn_for(1000);
    expect(!consumer_connected(consumer));
    struct err err = {0};
    if (topology_apply(getenv("ACQUIT_AMQP_URL"), &err) != 0)
        fail("apply: %s", err.text);
    worst_stall_ms = 0; /* that call blocks */
    last_tick_ms = clock_monotonic_ms();
    turn_until(consumer_is_connected, 2 * STEP_MS, "the consumer is back");
    send_to("acquit.cmd", KEY, 1, 10);
    take(1);
    consumer_ack(consumer, taken[0]);
}

/* What AMQP cannot carry is refused at once and costs nobody anything; what the broker refuses costs the connection. */
static void case_refused(void)
{
    char key[300], id[300];
    struct err err = {0};
    open_publisher();
    memset(key, 'k', sizeof key - 1);
    memset(id, 'i', sizeof id - 1);
    key[sizeof key - 1] = id[sizeof id - 1] = '\0';
    expect(try_send("acquit.cmd", key, "a", 10, &err) != 0 && err.code == ERR_INVALID);
    err_clear(&err);
    expect(try_send("acquit.cmd", KEY, id, 10, &err) != 0 && err.code == ERR_INVALID);
    send_to("acquit.cmd", KEY, 5, 10);
    turn_until(all_settled, STEP_MS, "all are confirmed");
    expect(outcomes[PUBLISH_CONFIRMED] == 5);
    send_to("acquit.nowhere", KEY, 1, 10);
    turn_until(all_settled, STEP_MS, "it has an outcome");
    expect(outcomes[PUBLISH_UNKNOWN] == 1);
    turn_until(publisher_is_ready, STEP_MS, "the publisher is back");
    send_to("acquit.cmd", KEY, 5, 10);
    turn_until(all_settled, STEP_MS, "all are confirmed");
    expect(outcomes[PUBLISH_CONFIRMED] == 10);
    /* More than may wait. */
    err_clear(&err);
    for (int i = 0; i < 20000 && err.code == ERR_NONE; i++)
        if (try_send("acquit.cmd", KEY, "many", 10, &err) != 0)
            expect(err.code == ERR_LIMIT);
    expect(err.code == ERR_LIMIT);
    send_to("acquit.nowhere", KEY, 0, 0);
    publisher_free(publisher); /* pending ones are told before this returns */
    publisher = NULL;
    expect(outcomes[PUBLISH_CONFIRMED] + outcomes[PUBLISH_UNKNOWN] == sent_count);
}

/* How fast, for the record. */
static void case_speed(void)
{
    enum { N = 20000 };
    open_publisher();
    int64_t started = clock_monotonic_ms();
    for (int i = 0; i < N / 1000; i++) {
        send_to("acquit.cmd", KEY, 1000, 300);
        turn_until(all_settled, STEP_MS, "all are confirmed");
    }
    int64_t published = clock_monotonic_ms();
    ack_at_once = true;
    open_consumer(256);
    take(N);
    int64_t consumed = clock_monotonic_ms();
    printf("%d published and confirmed in %" PRId64 " ms, consumed and acknowledged in %" PRId64 " ms\n", (int)N,
           published - started, consumed - published);
    expect(outcomes[PUBLISH_CONFIRMED] == N);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"publish", case_publish}, {"acks", case_acks},       {"requeue", case_requeue}, {"returned", case_returned},
    {"wait", case_wait},       {"large", case_large},     {"cut", case_cut},         {"pause", case_pause},
    {"kill", case_kill},       {"crash", case_crash},     {"freeze", case_freeze},   {"alarm", case_alarm},
    {"deleted", case_deleted}, {"refused", case_refused}, {"hostile", case_hostile}, {"speed", case_speed},
};

static int run_case(const char *name)
{
    struct err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (strcmp(cases[i].name, name) != 0)
            continue;
        loop = loop_new(&err);
        if (!loop)
            fail("loop: %s", err.text);
        loop_io(loop, STDIN_FILENO, LOOP_READ, on_line, NULL);
        drain();
        last_tick_ms = clock_monotonic_ms();
        ticker = loop_timer(loop, 0, tick, NULL);
        cases[i].run();
        int64_t stall_ms = worst_stall_ms;
        close_consumer();
        publisher_free(publisher);
        loop_free(loop);
        printf("longest stall of the loop: %" PRId64 " ms\n", stall_ms);
        expect(stall_ms < allowed_stall_ms);
        printf("ok\n");
        return 0;
    }
    fail("no case %s", name);
}

/* The operator's calls. */

static int apply(void)
{
    struct err err = {0};
    if (topology_apply(getenv("ACQUIT_AMQP_URL"), &err) == 0)
        return 0;
    printf("%s: %s\n", err_code_text(err.code), err.text);
    return 1;
}

static int check(void)
{
    struct err err = {0};
    json_t *differences = topology_check(getenv("ACQUIT_MGMT_URL"), "acquit", &err);
    if (differences && topology_check_size(getenv("ACQUIT_AMQP_URL"), differences, &err) != 0) {
        json_decref(differences);
        differences = NULL;
    }
    if (!differences) {
        printf("%s: %s\n", err_code_text(err.code), err.text);
        return 1;
    }
    char *text = json_encode(differences);
    puts(text);
    free(text);
    json_decref(differences);
    return 0;
}

/* NAME:ROLE:PASSWORD each; without a password, the user keeps his. */
static int users(int count, char **texts)
{
    struct broker_user *list = mem_new((size_t)count, sizeof *list);
    struct err err = {0};
    for (int i = 0; i < count; i++) {
        list[i].name = strsep(&texts[i], ":");
        list[i].role = strsep(&texts[i], ":");
        list[i].password = texts[i] && *texts[i] ? texts[i] : NULL;
    }
    int result = topology_users(getenv("ACQUIT_MGMT_URL"), "acquit", list, (size_t)count, &err);
    free(list);
    if (result == 0)
        return 0;
    printf("%s: %s\n", err_code_text(err.code), err.text);
    return 1;
}

int main(int argc, char **argv)
{
    log_open("broker_probe", LOG_DEBUG_LEVEL);
    if (argc < 2 || !getenv("ACQUIT_AMQP_URL") || !getenv("ACQUIT_MGMT_URL"))
        fail("usage: broker_probe apply | check | users ... | CASE, with ACQUIT_AMQP_URL and ACQUIT_MGMT_URL set");
    if (strcmp(argv[1], "apply") == 0)
        return apply();
    if (strcmp(argv[1], "check") == 0)
        return check();
    if (strcmp(argv[1], "users") == 0)
        return users(argc - 2, argv + 2);
    return run_case(argv[1]);
}
