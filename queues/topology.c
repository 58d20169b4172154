/* topology.c - the exchanges, queues, bindings and command types of DESIGN.md section 4, in one table
 *
 * A new command type is one row in `types`; a new queue is one row in `work_queues`, and everything else follows: its dead-letter queue, its bindings,
 * what topology_apply() declares and topology_check() expects. An argument of an existing queue cannot be changed on a running broker: topology_apply() then says
 * so, and what to do.
 */
#include "queues/topology.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "queues/amqp.h"
#include "queues/topology_table.h"

enum {
    APPLY_TIMEOUT_MS = 10 * 1000, /* of one declaration; a quorum queue takes its time */
    APPLY_HEARTBEAT_S = 30,
    DELIVERY_LIMIT = 20, /* the backstop for crashes; business attempts are counted by us */
};
/* Bounds of what a queue may hold. The broker applies them late, so a burst may pass them. */
#define WORK_BYTES_MAX (INT64_C(2) << 30)
#define WAIT_BYTES_MAX (INT64_C(2) << 30)
#define CATCH_BYTES_MAX (INT64_C(4) << 30) /* of dead letters: more than a work queue can hand over at once */

#define AUTHORIZE "acquit.authorize"
#define POP_VALIDATE "acquit.pop-validate"
#define TOKEN_ACTIVATE "acquit.token-activate"
#define REFUND "acquit.refund"
#define NOTIFY "acquit.notify"
#define COMPENSATE "acquit.compensate"

static const struct command_type types[] = {
    {"payment.create", AUTHORIZE, "payment.create.json", true, false},
    {"payment.cancel", AUTHORIZE, "payment.cancel.json", true, false},
    {"authorize.start", AUTHORIZE, "authorize.start.json", false, false},
    {"authorize.resolve", AUTHORIZE, "authorize.resolve.json", false, false},
    {"authorize.capture", AUTHORIZE, "authorize.capture.json", false, false},
    {"authorize.void", AUTHORIZE, "authorize.void.json", false, false},
    {"authorize.attest", AUTHORIZE, "authorize.attest.json", false, false},
    {"pop.validate", POP_VALIDATE, "pop.validate.json", false, false},
    {"pop.confirm", POP_VALIDATE, "pop.confirm.json", false, true},
    {"pop.commit", POP_VALIDATE, "pop.commit.json", false, false},
    {"pop.revoke", POP_VALIDATE, "pop.revoke.json", false, false},
    {"token.reserve", TOKEN_ACTIVATE, "token.reserve.json", false, false},
    {"token.activate", TOKEN_ACTIVATE, "token.activate.json", false, false},
    {"token.release", TOKEN_ACTIVATE, "token.release.json", false, false},
    {"payment.refund", REFUND, "payment.refund.json", true, false},
    {"payment.unwind", REFUND, "payment.unwind.json", false, false},
    {"refund.resolve", REFUND, "refund.resolve.json", false, false},
    {"refund.attest", REFUND, "refund.attest.json", false, false},
    {"notify.send", NOTIFY, "notify.send.json", false, false},
    {"payment.compensate", COMPENSATE, "payment.compensate.json", false, false},
    {"payment.expire", COMPENSATE, "payment.expire.json", false, false},
    {"payment.look", COMPENSATE, "payment.look.json", false, false},
    {"deadletter.replay", COMPENSATE, "deadletter.replay.json", false, false},
    {"deadletter.discard", COMPENSATE, "deadletter.discard.json", false, false},
};
enum { TYPE_COUNT = sizeof types / sizeof types[0] };

/* One row per worker type: its name, its queue, and where its dead letters go. */
static const struct {
    const char *worker, *queue, *dead;
} work_queues[] = {
    {"authorize", AUTHORIZE, "acquit.dead.authorize"},
    {"pop-validate", POP_VALIDATE, "acquit.dead.pop-validate"},
    {"token-activate", TOKEN_ACTIVATE, "acquit.dead.token-activate"},
    {"refund", REFUND, "acquit.dead.refund"},
    {"notify", NOTIFY, "acquit.dead.notify"},
    {"compensate", COMPENSATE, "acquit.dead.compensate"},
};
enum { WORK_COUNT = sizeof work_queues / sizeof work_queues[0] };

static const struct exchange_row exchanges[] = {
    {EXCHANGE_UNROUTABLE, "fanout", NULL},
    {EXCHANGE_IN, "topic", EXCHANGE_UNROUTABLE},
    {EXCHANGE_COMMANDS, "topic", EXCHANGE_UNROUTABLE},
    {EXCHANGE_EVENTS, "topic", NULL},
    {EXCHANGE_DEAD, "direct", NULL}, /* no alternate: at-least-once keeps what is unroutable */
};
enum { EXCHANGE_COUNT = sizeof exchanges / sizeof exchanges[0] };

/* The ladder, shortest first: a fanout exchange and a queue of the same name each. */
static const struct {
    const char *name;
    int64_t delay_ms;
} waits[] = {
    {"acquit.wait.200ms", 200},      {"acquit.wait.1s", 1000},       {"acquit.wait.5s", 5 * 1000},
    {"acquit.wait.30s", 30 * 1000},  {"acquit.wait.2m", 120 * 1000}, {"acquit.wait.10m", 600 * 1000},
    {"acquit.wait.1h", 3600 * 1000},
};
enum { WAIT_COUNT = sizeof waits / sizeof waits[0] };

/* Command types. */

size_t command_type_count(void)
{
    return TYPE_COUNT;
}

const struct command_type *command_type_at(size_t i)
{
    return i < TYPE_COUNT ? &types[i] : NULL;
}

const struct command_type *command_type_find(const char *name)
{
    for (size_t i = 0; name && i < TYPE_COUNT; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

static bool may_come_in(const struct command_type *type, bool ingress)
{
    return type->is_public || (ingress && type->by_ingress);
}

static const char *write_pattern(char *pattern, size_t size, bool ingress)
{
    size_t n = 0;
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        const char *name = types[i].name, *dot = strchr(name, '.');
        if (may_come_in(&types[i], ingress))
            n += (size_t)snprintf(pattern + n, size - n, "%s%.*s\\.%s", n ? "|" : "^(", (int)(dot - name), name,
                                  dot + 1);
    }
    snprintf(pattern + n, size - n, ")$");
    return pattern;
}

const char *topology_pattern_of_apps(void)
{
    static char pattern[512];
    return pattern[0] ? pattern : write_pattern(pattern, sizeof pattern, false);
}

const char *topology_pattern_of_ingress(void)
{
    static char pattern[512];
    return pattern[0] ? pattern : write_pattern(pattern, sizeof pattern, true);
}

/* Queues of workers. */

const char *const *worker_queues(const char *worker_type)
{
    static const char *own[WORK_COUNT][2];
    static const char *all[WORK_COUNT + 3];
    if (strcmp(worker_type, "compensate") == 0) {
        size_t n = 0;
        all[n++] = COMPENSATE;
        for (size_t i = 0; i < WORK_COUNT; i++)
            all[n++] = work_queues[i].dead;
        all[n] = QUEUE_UNROUTABLE;
        return all;
    }
    for (size_t i = 0; i < WORK_COUNT; i++)
        if (strcmp(work_queues[i].worker, worker_type) == 0) {
            own[i][0] = work_queues[i].queue;
            return own[i];
        }
    return NULL;
}

const char *wait_exchange(int64_t delay_ms, int64_t *ret_delay_ms)
{
    size_t i = WAIT_COUNT - 1;
    while (i > 0 && waits[i].delay_ms > delay_ms)
        i--;
    *ret_delay_ms = waits[i].delay_ms;
    return waits[i].name;
}

/* The table, row by row. */

int topology_exchanges(int (*row)(void *arg, const struct exchange_row *exchange), void *arg)
{
    int result = 0;
    for (size_t i = 0; i < EXCHANGE_COUNT && result == 0; i++)
        result = row(arg, &exchanges[i]);
    for (size_t i = 0; i < WAIT_COUNT && result == 0; i++)
        result = row(arg, &(struct exchange_row){waits[i].name, "fanout", NULL});
    return result;
}

int topology_queues(int (*row)(void *arg, const struct queue_row *queue), void *arg)
{
    int result = row(arg, &(struct queue_row){QUEUE_CATCH, QUEUE_UNROUTABLE, 0});
    for (size_t i = 0; i < WORK_COUNT && result == 0; i++)
        result = row(arg, &(struct queue_row){QUEUE_DEAD, work_queues[i].dead, 0});
    for (size_t i = 0; i < WORK_COUNT && result == 0; i++)
        result = row(arg, &(struct queue_row){QUEUE_WORK, work_queues[i].queue, 0});
    for (size_t i = 0; i < WAIT_COUNT && result == 0; i++)
        result = row(arg, &(struct queue_row){QUEUE_WAIT, waits[i].name, waits[i].delay_ms});
    return result;
}

/* Dead letters first, then commands, then the way in: a half-applied table loses nothing. */
int topology_bindings(int (*row)(void *arg, const struct binding_row *binding), void *arg)
{
    int result = row(arg, &(struct binding_row){EXCHANGE_UNROUTABLE, QUEUE_UNROUTABLE, "", false});
    for (size_t i = 0; i < WORK_COUNT && result == 0; i++)
        result = row(arg, &(struct binding_row){EXCHANGE_DEAD, work_queues[i].dead, work_queues[i].queue, false});
    for (size_t i = 0; i < WAIT_COUNT && result == 0; i++)
        result = row(arg, &(struct binding_row){waits[i].name, waits[i].name, "", false});
    for (size_t i = 0; i < TYPE_COUNT && result == 0; i++)
        result = row(arg, &(struct binding_row){EXCHANGE_COMMANDS, types[i].queue, types[i].name, false});
    for (size_t i = 0; i < TYPE_COUNT && result == 0; i++)
        if (may_come_in(&types[i], true))
            result = row(arg, &(struct binding_row){EXCHANGE_IN, EXCHANGE_COMMANDS, types[i].name, true});
    return result;
}

static void put_text(json_t *arguments, const char *name, const char *value)
{
    json_object_set_new(arguments, name, json_string(value));
}

static void put_number(json_t *arguments, const char *name, int64_t value)
{
    json_object_set_new(arguments, name, json_integer(value));
}

json_t *topology_arguments(const struct queue_row *queue)
{
    json_t *arguments = json_object();
    put_text(arguments, "x-queue-type", "quorum");
    put_text(arguments, "x-queue-leader-locator", "balanced");
    put_text(arguments, "x-overflow", "reject-publish");
    switch (queue->kind) {
    case QUEUE_WORK:
        put_number(arguments, "x-max-length-bytes", WORK_BYTES_MAX);
        put_text(arguments, "x-dead-letter-exchange", EXCHANGE_DEAD);
        put_text(arguments, "x-dead-letter-routing-key", queue->name);
        put_text(arguments, "x-dead-letter-strategy", "at-least-once");
        put_number(arguments, "x-delivery-limit", DELIVERY_LIMIT);
        break;
    case QUEUE_WAIT: /* no routing key: the message's own is kept */
        put_number(arguments, "x-max-length-bytes", WAIT_BYTES_MAX);
        put_number(arguments, "x-message-ttl", queue->delay_ms);
        put_text(arguments, "x-dead-letter-exchange", EXCHANGE_COMMANDS);
        put_text(arguments, "x-dead-letter-strategy", "at-least-once");
        break;
    case QUEUE_DEAD:
    case QUEUE_CATCH:
        put_number(arguments, "x-max-length-bytes", CATCH_BYTES_MAX);
        break;
    }
    return arguments;
}

/* Applying. */

struct applying {
    struct wire *wire;
    struct err *err;
};

/* The broker says "inequivalent arg 'x-overflow' for queue ...: received ... but current is ...". */
static int refused(struct applying *applying, const char *what, const char *name)
{
    if (applying->err && applying->err->code == ERR_CONFLICT)
        return err_prefix(applying->err,
                          "%s %s exists with other arguments; once it is empty, delete it and apply again", what, name);
    return err_prefix(applying->err, "%s %s", what, name);
}

static int apply_exchange(void *arg, const struct exchange_row *exchange)
{
    struct applying *applying = arg;
    wire_deadline(applying->wire, APPLY_TIMEOUT_MS);
    if (wire_declare_exchange(applying->wire, exchange->name, exchange->type, exchange->alternate, applying->err) != 0)
        return refused(applying, "exchange", exchange->name);
    return 0;
}

static int apply_queue(void *arg, const struct queue_row *queue)
{
    struct applying *applying = arg;
    wire_deadline(applying->wire, APPLY_TIMEOUT_MS);
    json_t *arguments = topology_arguments(queue);
    int result = wire_declare_queue(applying->wire, queue->name, arguments, applying->err);
    json_decref(arguments);
    return result == 0 ? 0 : refused(applying, "queue", queue->name);
}

static int apply_binding(void *arg, const struct binding_row *binding)
{
    struct applying *applying = arg;
    wire_deadline(applying->wire, APPLY_TIMEOUT_MS);
    int result =
        binding->to_exchange
            ? wire_bind_exchange(applying->wire, binding->destination, binding->source, binding->key, applying->err)
            : wire_bind_queue(applying->wire, binding->destination, binding->source, binding->key, applying->err);
    return result == 0 ? 0
                       : err_prefix(applying->err, "binding of %s to %s with key '%s'", binding->destination,
                                    binding->source, binding->key);
}

int topology_apply(const char *amqp_url, struct err *err)
{
    struct wire_options options = {.url = amqp_url,
                                   .connection_name = "acquit topology",
                                   .heartbeat_s = APPLY_HEARTBEAT_S,
                                   .timeout_ms = APPLY_TIMEOUT_MS};
    struct wire *wire = wire_open(&options, err);
    if (!wire)
        return -1;
    struct applying applying = {wire, err};
    int result = topology_exchanges(apply_exchange, &applying);
    if (result == 0)
        result = topology_queues(apply_queue, &applying);
    if (result == 0)
        result = topology_bindings(apply_binding, &applying);
    wire_close(wire, true);
    return result;
}
