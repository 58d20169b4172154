/* test_topology_table.c - the table of queues/topology.c: complete, without contradictions, and as DESIGN.md section 4 has it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "queues/topology_table.h"
#include "queues/url.h"

static const char *const workers[] = {"authorize", "pop-validate", "token-activate", "refund", "notify", "compensate"};
enum { WORKERS = sizeof workers / sizeof workers[0] };

static void test_command_types(void **state)
{
    (void)state;
    static const struct {
        const char *name, *queue;
        bool is_public;
    } expected[] = {
        {"payment.create", "acquit.authorize", true},      {"payment.cancel", "acquit.authorize", true},
        {"authorize.start", "acquit.authorize", false},    {"authorize.resolve", "acquit.authorize", false},
        {"authorize.capture", "acquit.authorize", false},  {"authorize.void", "acquit.authorize", false},
        {"pop.validate", "acquit.pop-validate", false},    {"pop.revoke", "acquit.pop-validate", false},
        {"token.reserve", "acquit.token-activate", false}, {"token.activate", "acquit.token-activate", false},
        {"token.release", "acquit.token-activate", false}, {"payment.refund", "acquit.refund", true},
        {"payment.unwind", "acquit.refund", false},        {"refund.resolve", "acquit.refund", false},
        {"notify.send", "acquit.notify", false},           {"payment.compensate", "acquit.compensate", false},
        {"payment.expire", "acquit.compensate", false},    {"payment.look", "acquit.compensate", false},
        {"deadletter.replay", "acquit.compensate", false}, {"deadletter.discard", "acquit.compensate", false},
        {"pop.confirm", "acquit.pop-validate", false},     {"pop.commit", "acquit.pop-validate", false},
        {"authorize.attest", "acquit.authorize", false},   {"refund.attest", "acquit.refund", false},
    };
    enum { COUNT = sizeof expected / sizeof expected[0] };
    assert_int_equal(command_type_count(), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const struct command_type *type = command_type_find(expected[i].name);
        assert_non_null(type);
        assert_string_equal(type->queue, expected[i].queue);
        assert_int_equal(type->is_public, expected[i].is_public);
        assert_memory_equal(type->schema, type->name, strlen(type->name));
        assert_string_equal(type->schema + strlen(type->name), ".json");
    }
    assert_null(command_type_find("payment"));
    assert_null(command_type_find(""));
    assert_null(command_type_find(NULL));
    assert_null(command_type_at(COUNT));
}

static void test_worker_queues(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKERS - 1; i++) {
        const char *const *queues = worker_queues(workers[i]);
        assert_non_null(queues);
        assert_string_equal(queues[0] + strlen("acquit."), workers[i]);
        assert_null(queues[1]);
    }
    const char *const *queues = worker_queues("compensate");
    static const char *const expected[] = {
        "acquit.compensate",  "acquit.dead.authorize", "acquit.dead.pop-validate", "acquit.dead.token-activate",
        "acquit.dead.refund", "acquit.dead.notify",    "acquit.dead.compensate",   "acquit.unroutable"};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_string_equal(queues[i], expected[i]);
    assert_null(queues[sizeof expected / sizeof expected[0]]);
    assert_null(worker_queues("keeper"));
}

static void test_ladder(void **state)
{
    (void)state;
    static const struct {
        int64_t asked, real;
        const char *exchange;
    } expected[] = {
        {-1, 200, "acquit.wait.200ms"},       {0, 200, "acquit.wait.200ms"},
        {200, 200, "acquit.wait.200ms"},      {999, 200, "acquit.wait.200ms"},
        {1000, 1000, "acquit.wait.1s"},       {4999, 1000, "acquit.wait.1s"},
        {5000, 5000, "acquit.wait.5s"},       {30000, 30000, "acquit.wait.30s"},
        {119999, 30000, "acquit.wait.30s"},   {120000, 120000, "acquit.wait.2m"},
        {600000, 600000, "acquit.wait.10m"},  {3599999, 600000, "acquit.wait.10m"},
        {3600000, 3600000, "acquit.wait.1h"}, {INT64_MAX, 3600000, "acquit.wait.1h"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        int64_t real = 0;
        assert_string_equal(wait_exchange(expected[i].asked, &real), expected[i].exchange);
        assert_true(real == expected[i].real);
    }
}

/* The rows, gathered. */

static json_t *exchanges, *queues;
static size_t bindings;

static int add_exchange(void *arg, const struct exchange_row *row)
{
    (void)arg;
    assert_null(json_object_get(exchanges, row->name));
    if (row->alternate) /* it is declared before */
        assert_non_null(json_object_get(exchanges, row->alternate));
    json_object_set_new(exchanges, row->name, json_string(row->type));
    return 0;
}

static int add_queue(void *arg, const struct queue_row *row)
{
    (void)arg;
    assert_null(json_object_get(queues, row->name));
    json_object_set_new(queues, row->name, topology_arguments(row));
    return 0;
}

static int add_binding(void *arg, const struct binding_row *row)
{
    (void)arg;
    bindings++;
    assert_non_null(json_object_get(exchanges, row->source));
    assert_non_null(json_object_get(row->to_exchange ? exchanges : queues, row->destination));
    return 0;
}

static int gather(void **state)
{
    (void)state;
    exchanges = json_object();
    queues = json_object();
    bindings = 0;
    topology_exchanges(add_exchange, NULL);
    topology_queues(add_queue, NULL);
    topology_bindings(add_binding, NULL);
    return 0;
}

static int scatter(void **state)
{
    (void)state;
    json_decref(exchanges);
    json_decref(queues);
    return 0;
}

static void test_rows(void **state)
{
    (void)state;
    assert_int_equal(json_object_size(exchanges), 5 + 7);
    assert_int_equal(json_object_size(queues), 6 + 6 + 7 + 1);
    assert_int_equal(bindings, 1 + 6 + 7 + 24 + 4);
    assert_string_equal(json_text(exchanges, EXCHANGE_DEAD, ""), "direct");
    assert_string_equal(json_text(exchanges, EXCHANGE_COMMANDS, ""), "topic");
    assert_string_equal(json_text(exchanges, "acquit.wait.1h", ""), "fanout");
}

/* What the safety argument rests on: see reference facts about dead-lettering; a queue without it would lose dead letters in a crash. */
static void test_arguments(void **state)
{
    (void)state;
    const char *name;
    json_t *arguments;
    json_object_foreach(queues, name, arguments)
    {
        assert_string_equal(json_text(arguments, "x-queue-type", ""), "quorum");
        assert_string_equal(json_text(arguments, "x-overflow", ""), "reject-publish");
        assert_true(json_int(arguments, "x-max-length-bytes", 0) > 0);
        const char *dead = json_text(arguments, "x-dead-letter-exchange", NULL);
        if (dead)
            assert_string_equal(json_text(arguments, "x-dead-letter-strategy", ""), "at-least-once");
        bool wait = strncmp(name, "acquit.wait.", 12) == 0,
             end = strncmp(name, "acquit.dead.", 12) == 0 || strcmp(name, "acquit.unroutable") == 0;
        assert_int_equal(json_object_get(arguments, "x-message-ttl") != NULL, wait);
        assert_int_equal(json_object_get(arguments, "x-delivery-limit") != NULL, !wait && !end);
        assert_int_equal(dead != NULL, !end);
        if (wait) {
            assert_string_equal(dead, EXCHANGE_COMMANDS);
            assert_null(json_object_get(arguments, "x-dead-letter-routing-key")); /* the message's own is kept */
        } else if (!end) {
            assert_string_equal(dead, EXCHANGE_DEAD);
            assert_string_equal(json_text(arguments, "x-dead-letter-routing-key", ""), name);
        }
    }
}

static int stop_at_third(void *arg, const struct queue_row *row)
{
    (void)row;
    return ++*(int *)arg == 3 ? -7 : 0;
}

static void test_rows_stop(void **state)
{
    (void)state;
    int count = 0;
    assert_int_equal(topology_queues(stop_at_third, &count), -7);
    assert_int_equal(count, 3);
}

/* Which command types may come in by a user with this permission; nothing like them may. */
static void check_pattern(const char *pattern, bool ingress)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    for (size_t i = 0; i < command_type_count(); i++) {
        const struct command_type *type = command_type_at(i);
        assert_int_equal(regexec(&regex, type->name, 0, NULL, 0) == 0,
                         type->is_public || (ingress && strcmp(type->name, "pop.confirm") == 0));
    }
    static const char *const others[] = {"", "payment.create.x", "xpayment.create", "paymentxcreate",
                                         "payment.create\n"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_not_equal(regexec(&regex, others[i], 0, NULL, 0), 0);
    regfree(&regex);
}

static void test_patterns(void **state)
{
    (void)state;
    check_pattern(topology_pattern_of_apps(), false);
    check_pattern(topology_pattern_of_ingress(), true);
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *text, *user, *password, *host, *vhost;
        int port;
        bool tls;
    } good[] = {
        {"amqp://u:p@h:1/v", "u", "p", "h", "v", 1, false},
        {"amqp://h", "guest", "guest", "h", "/", 5672, false},
        {"amqps://h/", "guest", "guest", "h", "/", 5671, true},
        {"amqp://u@[::1]:7/%2f", "u", "guest", "::1", "/", 7, false},
        {"amqp://a%40b:c%3Ad%25@h/x%20y", "a@b", "c:d%", "h", "x y", 5672, false},
        {"amqp://u:p@q@h", "u", "p@q", "h", "/", 5672, false},
        {"amqps://h/v?cacertfile=/etc/ca.pem", "guest", "guest", "h", "v", 5671, true},
        {"amqps://h/v?certfile=a&keyfile=b%26c", "guest", "guest", "h", "v", 5671, true},
    };
    static const char *const bad[] = {"",
                                      "h",
                                      "http://h",
                                      "amqp://",
                                      "amqp://:1",
                                      "amqp://h:0",
                                      "amqp://h:65536",
                                      "amqp://h:x",
                                      "amqp://h/a/b",
                                      "amqp://[::1",
                                      "amqp://[::1]x",
                                      "amqp://h%zz",
                                      "amqp://h%4",
                                      "amqp://h%00",
                                      "amqp://h/v#x",
                                      "amqp://h/v?cacertfile=x",
                                      "amqps://h/v?heartbeat=5",
                                      "amqps://h/v?certfile=x",
                                      "amqps://h/v?cacertfile="};
    struct amqp_url url;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct err err = {0};
        if (amqp_url_parse(good[i].text, &url, &err) != 0)
            fail_msg("%s: %s", good[i].text, err.text);
        assert_string_equal(url.user, good[i].user);
        assert_string_equal(url.password, good[i].password);
        assert_string_equal(url.host, good[i].host);
        assert_string_equal(url.vhost, good[i].vhost);
        assert_int_equal(url.port, good[i].port);
        assert_int_equal(url.tls, good[i].tls);
        amqp_url_clear(&url);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {0};
        if (amqp_url_parse(bad[i], &url, &err) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.code, ERR_INVALID);
        amqp_url_clear(&url);
    }
    struct err err = {0};
    assert_int_equal(amqp_url_parse("amqp://u:secret@h:99999", &url, &err), -1);
    assert_null(strstr(err.text, "secret"));
    amqp_url_clear(&url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_types),
        cmocka_unit_test(test_worker_queues),
        cmocka_unit_test(test_ladder),
        cmocka_unit_test_setup_teardown(test_rows, gather, scatter),
        cmocka_unit_test_setup_teardown(test_arguments, gather, scatter),
        cmocka_unit_test(test_rows_stop),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
