/* topology_check.c - the table of topology.c against what the broker really does
 *
 * An argument is not what counts: a policy may override it. For a quorum queue of RabbitMQ 3.10 `overflow` and `expires` come from the policy when both
 * are there, the dead-letter settings from the argument, and of the limits the smaller one counts. So a policy somebody made for other queues can turn
 * at-least-once dead-lettering into at-most-once without a word, and messages are lost. Each difference says what to do about it.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/ids.h"
#include "common/json.h"
#include "common/mem.h"
#include "queues/amqp.h"
#include "queues/management.h"
#include "queues/topology_table.h"

enum { PROBE_TIMEOUT_MS = 10 * 1000, PROBE_HEARTBEAT_S = 30, PROBE_POLL_MS = 20 };

struct checking {
    json_t *differences;
    json_t *exchanges, *queues, *bindings, *policies; /* as the API lists them */
    json_t *expected_bindings;                        /* object: "source destination type key" -> true */
};

static void differs(struct checking *checking, const char *object, const char *field, json_t *expected, json_t *found,
                    const char *remedy, ...) PRINTF_LIKE(6, 7);

/* Takes `expected` and `found` over; NULL stands for "none". */
static void differs(struct checking *checking, const char *object, const char *field, json_t *expected, json_t *found,
                    const char *remedy, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, remedy);
    vsnprintf(text, sizeof text, remedy, args);
    va_end(args);
    json_array_append_new(checking->differences, json_pack("{s:s, s:s, s:o, s:o, s:s}", "object", object, "field",
                                                           field, "expected", expected ? expected : json_null(),
                                                           "found", found ? found : json_null(), "remedy", text));
}

static json_t *by_name(json_t *list, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) if (strcmp(json_text(item, "name", ""), name) == 0) return item;
    return NULL;
}

/* Exchanges. */

/* For exchanges the argument comes before the policy. */
static const char *alternate_of(const struct checking *checking, json_t *exchange)
{
    json_t *policy = by_name(checking->policies, json_text(exchange, "policy", ""));
    const char *from_policy = json_text(json_object_get(policy, "definition"), "alternate-exchange", NULL);
    return json_text(json_object_get(exchange, "arguments"), "alternate-exchange", from_policy);
}

static void check_flag(struct checking *checking, const char *object, json_t *item, const char *flag, bool expected)
{
    if (json_bool(item, flag, expected) != expected)
        differs(checking, object, flag, json_boolean(expected), json_boolean(!expected),
                "delete it once nothing depends on it, then run `acquit topology apply`");
}

static int check_exchange(void *arg, const struct exchange_row *row)
{
    struct checking *checking = arg;
    char object[2 * TOPOLOGY_NAME_MAX];
    snprintf(object, sizeof object, "exchange %s", row->name);
    json_t *exchange = by_name(checking->exchanges, row->name);
    if (!exchange) {
        differs(checking, object, "exists", json_true(), json_false(), "run `acquit topology apply`");
        return 0;
    }
    const char *type = json_text(exchange, "type", ""), *alternate = alternate_of(checking, exchange);
    if (strcmp(type, row->type) != 0)
        differs(checking, object, "type", json_string(row->type), json_string(type),
                "delete the exchange while no app publishes, then run `acquit topology apply`");
    if (strcmp(alternate ? alternate : "", row->alternate ? row->alternate : "") != 0)
        differs(checking, object, "alternate-exchange", row->alternate ? json_string(row->alternate) : NULL,
                alternate ? json_string(alternate) : NULL,
                "unroutable messages go astray: delete the exchange (or the policy that sets this), then run `acquit "
                "topology apply`");
    check_flag(checking, object, exchange, "durable", true);
    check_flag(checking, object, exchange, "auto_delete", false);
    check_flag(checking, object, exchange, "internal", false);
    return 0;
}

/* Queues. */

enum merge { ARGUMENT_FIRST, POLICY_FIRST, SMALLER };

/* What of a quorum queue both an argument and a policy can set, and which wins. */
static const struct {
    const char *name; /* in a policy; as an argument with x- before it */
    enum merge merge;
    const char *harm;
} settings[] = {
    {"overflow", POLICY_FIRST, "publishers would not hear of a full queue, and dead letters would be lost"},
    {"expires", POLICY_FIRST, "the queue would be deleted with its messages"},
    {"dead-letter-exchange", ARGUMENT_FIRST, "dead letters would go astray"},
    {"dead-letter-routing-key", ARGUMENT_FIRST, "dead letters would go astray"},
    {"dead-letter-strategy", ARGUMENT_FIRST, "dead letters would be lost in a crash"},
    {"message-ttl", SMALLER, "messages would expire"},
    {"max-length", SMALLER, "messages would be refused or dropped"},
    {"max-length-bytes", SMALLER, "messages would be refused or dropped"},
    {"delivery-limit", SMALLER, "messages would die too early or never"},
    {"queue-type", ARGUMENT_FIRST, "the queue would not be replicated, nor dead-letter safely"},
    {"single-active-consumer", ARGUMENT_FIRST, "one worker would do all the work"},
};
enum { SETTING_COUNT = sizeof settings / sizeof settings[0] };

/* Borrowed; NULL: not set. */
static json_t *effective(json_t *arguments, json_t *policy, size_t i)
{
    char name[TOPOLOGY_NAME_MAX];
    snprintf(name, sizeof name, "x-%s", settings[i].name);
    json_t *argument = json_object_get(arguments, name), *other = json_object_get(policy, settings[i].name);
    if (!argument || !other)
        return argument ? argument : other;
    switch (settings[i].merge) {
    case ARGUMENT_FIRST:
        return argument;
    case POLICY_FIRST:
        return other;
    case SMALLER:
        break;
    }
    return json_integer_value(argument) <= json_integer_value(other) ? argument : other;
}

static void check_setting(struct checking *checking, const char *object, json_t *queue, json_t *expected, json_t *found,
                          json_t *argument, size_t i)
{
    const char *policy = json_text(queue, "policy", NULL), *operator_policy = json_text(queue, "operator_policy", NULL);
    if (expected == found || (expected && found && json_equal(expected, found)))
        return;
    bool from_policy = found != argument;
    if (from_policy)
        differs(checking, object, settings[i].name, expected ? json_incref(expected) : NULL,
                found ? json_incref(found) : NULL,
                "%s: change or delete the policy '%s' so that it does not set %s on this queue", settings[i].harm,
                operator_policy && !policy ? operator_policy
                : policy                   ? policy
                                           : "(unknown)",
                settings[i].name);
    else
        differs(checking, object, settings[i].name, expected ? json_incref(expected) : NULL,
                found ? json_incref(found) : NULL,
                "%s: stop the publishers, let the queue run empty, delete it, then run `acquit topology apply`",
                settings[i].harm);
}

static void check_settings(struct checking *checking, const char *object, json_t *queue, const struct queue_row *row)
{
    /* user and operator policies as the broker merged them; it lists a change some seconds late */
    json_t *expected = topology_arguments(row), *policy = json_object_get(queue, "effective_policy_definition");
    json_t *arguments = json_object_get(queue, "arguments");
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char name[TOPOLOGY_NAME_MAX];
        snprintf(name, sizeof name, "x-%s", settings[i].name);
        check_setting(checking, object, queue, json_object_get(expected, name), effective(arguments, policy, i),
                      json_object_get(arguments, name), i);
    }
    json_decref(expected);
}

static int check_queue(void *arg, const struct queue_row *row)
{
    struct checking *checking = arg;
    char object[2 * TOPOLOGY_NAME_MAX];
    snprintf(object, sizeof object, "queue %s", row->name);
    json_t *queue = by_name(checking->queues, row->name);
    if (!queue) {
        differs(checking, object, "exists", json_true(), json_false(), "run `acquit topology apply`");
        return 0;
    }
    check_flag(checking, object, queue, "durable", true);
    check_flag(checking, object, queue, "auto_delete", false);
    check_settings(checking, object, queue, row);
    const char *state = json_text(queue, "state", "running");
    if (strcmp(state, "down") == 0 || strcmp(state, "crashed") == 0 || strcmp(state, "stopped") == 0 ||
        strcmp(state, "minority") == 0)
        differs(checking, object, "state", json_string("running"), json_string(state),
                "look into the broker's log; a queue that lost most of its nodes needs them back");
    return 0;
}

/* Bindings. */

static void binding_key(char *ret, size_t size, const char *source, const char *destination, const char *type,
                        const char *key)
{
    snprintf(ret, size, "%s -> %s %s with key '%s'", source, type, destination, key);
}

enum { BINDING_KEY_MAX = 1024 };

static bool binding_there(const struct checking *checking, const char *wanted)
{
    size_t i;
    json_t *binding;
    json_array_foreach(checking->bindings, i, binding)
    {
        char key[BINDING_KEY_MAX];
        binding_key(key, sizeof key, json_text(binding, "source", ""), json_text(binding, "destination", ""),
                    json_text(binding, "destination_type", ""), json_text(binding, "routing_key", ""));
        if (strcmp(key, wanted) == 0 && json_object_size(json_object_get(binding, "arguments")) == 0)
            return true;
    }
    return false;
}

static int check_binding(void *arg, const struct binding_row *row)
{
    struct checking *checking = arg;
    char key[BINDING_KEY_MAX];
    binding_key(key, sizeof key, row->source, row->destination, row->to_exchange ? "exchange" : "queue", row->key);
    json_object_set_new(checking->expected_bindings, key, json_true());
    if (!binding_there(checking, key))
        differs(checking, "binding", key, json_true(), json_false(), "run `acquit topology apply`");
    return 0;
}

static int is_ours_exchange(void *arg, const struct exchange_row *row)
{
    return strcmp(row->name, arg) == 0;
}

static int is_ours_queue(void *arg, const struct queue_row *row)
{
    return strcmp(row->name, arg) == 0;
}

/* Events are for anybody to subscribe to; everywhere else a further binding doubles or diverts messages. */
static bool is_guarded(const char *source, const char *destination, bool to_exchange)
{
    char name[BINDING_KEY_MAX];
    if (!*source) /* every queue is bound to the default exchange by its name */
        return false;
    snprintf(name, sizeof name, "%s", source);
    if (strcmp(source, EXCHANGE_EVENTS) != 0 && topology_exchanges(is_ours_exchange, name))
        return true;
    snprintf(name, sizeof name, "%s", destination);
    return to_exchange ? topology_exchanges(is_ours_exchange, name) != 0 : topology_queues(is_ours_queue, name) != 0;
}

static void check_extra_bindings(struct checking *checking)
{
    size_t i;
    json_t *binding;
    json_array_foreach(checking->bindings, i, binding)
    {
        const char *source = json_text(binding, "source", ""), *destination = json_text(binding, "destination", "");
        const char *type = json_text(binding, "destination_type", "");
        char key[BINDING_KEY_MAX];
        binding_key(key, sizeof key, source, destination, type, json_text(binding, "routing_key", ""));
        if (is_guarded(source, destination, strcmp(type, "exchange") == 0) &&
            !json_object_get(checking->expected_bindings, key))
            differs(checking, "binding", key, json_false(), json_true(),
                    "remove it: messages would be doubled, diverted, or let past the checks");
    }
}

/* The rest. */

static void check_features(struct checking *checking, json_t *features)
{
    static const char *const needed[] = {"quorum_queue",
                                         "stream_queue"}; /* the latter for at-least-once dead-lettering */
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        json_t *feature = by_name(features, needed[i]);
        const char *state = json_text(feature, "state", "absent");
        if (feature && strcmp(state, "enabled") != 0)
            differs(checking, "broker", needed[i], json_string("enabled"), json_string(state),
                    "run `rabbitmqctl enable_feature_flag %s`", needed[i]);
    }
}

/* How large may a body be? */

/* Sends the message and waits for what the broker says to it: it always closes the channel. ERR_AGAIN: it said nothing. */
static enum err_code ask_to_take(struct wire *wire, const struct message *message, struct err *err)
{
    size_t properties_size;
    struct wire_event event;
    int64_t until_ms = clock_monotonic_ms() + PROBE_TIMEOUT_MS;
    if (wire_check(message, &properties_size, err) != 0 || wire_publish(wire, message, properties_size, err) != 0)
        return err->code;
    for (int sent = 0; clock_monotonic_ms() < until_ms;) {
        if (!sent && (sent = wire_publish_more(wire, err)) < 0)
            return err->code;
        if (wire_next(wire, &event, err) != 0)
            return err->code;
        message_clear(&event.message);
        struct pollfd socket = {.fd = wire_fd(wire), .events = POLLIN};
        if (event.kind == WIRE_NOTHING && poll(&socket, 1, PROBE_POLL_MS) < 0 && errno != EINTR)
            break;
    }
    err_set(err, ERR_AGAIN, "it says nothing; `rabbitmqctl status` shows alarms");
    return ERR_AGAIN;
}

/* The size of a body is what RabbitMQ checks first. This one goes to an exchange that does not exist, and whose name nobody can know: a broker that
 * would take the body says next that it knows no such exchange, or that we may not write to it. */
static struct message oversized(void)
{
    char id[UUID_TEXT_SIZE], name[TOPOLOGY_NAME_MAX];
    uuid_format(uuid_random(), id);
    snprintf(name, sizeof name, "acquit.nowhere.%s", id);
    struct message message = {.exchange = mem_text(name), .routing_key = mem_text(id), .optional = true};
    message.body_size = WIRE_BODY_MAX + 1;
    message.body = mem_new(message.body_size + 1, 1);
    return message;
}

int topology_check_size(const char *amqp_url, json_t *differences, struct err *err)
{
    struct wire_options options = {.url = amqp_url,
                                   .connection_name = "acquit topology check",
                                   .heartbeat_s = PROBE_HEARTBEAT_S,
                                   .timeout_ms = PROBE_TIMEOUT_MS};
    struct checking checking = {.differences = differences};
    struct err said = {0};
    struct wire *wire = wire_open(&options, err);
    if (!wire)
        return -1;
    struct message message = oversized();
    enum err_code code = ask_to_take(wire, &message, &said);
    message_clear(&message);
    wire_close(wire, false);
    if (code == ERR_NOT_FOUND || code == ERR_DENIED)
        differs(&checking, "broker", "max_message_size", json_integer(WIRE_BODY_MAX), json_string("larger"),
                "put `max_message_size = %d` into rabbitmq.conf and restart the broker; until then each message may "
                "take as much of its memory as it allows",
                (int)WIRE_BODY_MAX);
    else if (code != ERR_CONFLICT)
        return err_set(err, said.code, "how large a message the broker takes: %s", said.text);
    return 0;
}

/* All of it. */

static int ask(struct management *management, const char *vhost, struct checking *checking, json_t **ret_features,
               struct err *err)
{
    const char *names[] = {vhost, NULL};
    checking->exchanges = management_get(management, "/api/exchanges/%s", names, err);
    checking->queues = checking->exchanges ? management_get(management, "/api/queues/%s", names, err) : NULL;
    checking->bindings = checking->queues ? management_get(management, "/api/bindings/%s", names, err) : NULL;
    checking->policies = checking->bindings ? management_get(management, "/api/policies/%s", names, err) : NULL;
    *ret_features = checking->policies ? management_get(management, "/api/feature-flags", names, err) : NULL;
    return *ret_features ? 0 : -1;
}

json_t *topology_check(const char *management_url, const char *vhost, struct err *err)
{
    struct management *management = management_new(management_url, err);
    if (!management)
        return NULL;
    struct checking checking = {.differences = json_array(), .expected_bindings = json_object()};
    json_t *features = NULL;
    int result = ask(management, vhost, &checking, &features, err);
    if (result == 0) {
        check_features(&checking, features);
        topology_exchanges(check_exchange, &checking);
        topology_queues(check_queue, &checking);
        topology_bindings(check_binding, &checking);
        check_extra_bindings(&checking);
    }
    json_t *const all[] = {checking.exchanges,         checking.queues, checking.bindings, checking.policies,
                           checking.expected_bindings, features};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        json_decref(all[i]);
    management_free(management);
    if (result == 0)
        return checking.differences;
    json_decref(checking.differences);
    return NULL;
}
