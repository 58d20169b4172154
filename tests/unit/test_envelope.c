/* test_envelope.c - from deliveries to commands: tables of good and hostile messages (cases/envelope.json), and the ways back */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "queues/envelope.h"

static const char *const internal_users[] = {"acquit-worker", "acquit-keeper", "acquit-operator", NULL};

static char *text_of(const json_t *object, const char *name)
{
    const char *text = json_text(object, name, NULL);
    return text ? strdup(text) : NULL;
}

static void delivery_from(const json_t *item, struct delivery *ret)
{
    const json_t *message = json_object_get(item, "message");
    memset(ret, 0, sizeof *ret);
    ret->queue = json_text(item, "queue", NULL);
    ret->message = (struct message){
        .exchange = text_of(message, "exchange"),
        .routing_key = text_of(message, "routing_key"),
        .message_id = text_of(message, "message_id"),
        .user_id = text_of(message, "user_id"),
        .type = text_of(message, "type"),
        .escaped = json_bool(message, "escaped", false),
        .headers = json_deep_copy(json_object_get(message, "headers")),
        .body = text_of(message, "body"),
    };
    ret->message.body_size = strlen(ret->message.body);
}

/* Compares what the case speaks of. */
static bool same(const char *name, const json_t *expect, const char *key, const char *found)
{
    const char *wanted = json_text(expect, key, NULL);
    if (!wanted || strcmp(wanted, found) == 0)
        return true;
    print_error("%s: %s is \"%s\", not \"%s\"\n", name, key, found, wanted);
    return false;
}

static bool same_number(const char *name, const json_t *expect, const char *key, int64_t found)
{
    int64_t wanted = json_int(expect, key, found);
    if (wanted == found)
        return true;
    print_error("%s: %s is %lld, not %lld\n", name, key, (long long)found, (long long)wanted);
    return false;
}

static bool same_command(const char *name, const json_t *expect, const struct command *command)
{
    char id[UUID_TEXT_SIZE], payment_id[UUID_TEXT_SIZE];
    uuid_format(command->id, id);
    uuid_format(command->payment_id, payment_id);
    bool good = same(name, expect, "commandType", command->type ? command->type->name : "");
    good &= same(name, expect, "publisher", command->publisher);
    good &= same(name, expect, "messageId", command->message_id);
    good &= same(name, expect, "id", id);
    good &= same(name, expect, "paymentId", payment_id);
    good &= same(name, expect, "slot", command->slot);
    good &= same(name, expect, "replayOf", command->replay_of);
    good &= same_number(name, expect, "attempt", command->attempt);
    good &= same_number(name, expect, "history", (int64_t)json_array_size(command->history));
    if (json_bool(expect, "noBody", false) && command->body) {
        print_error("%s: the body was kept\n", name);
        good = false;
    }
    return good;
}

static bool holds(const json_t *item)
{
    const json_t *expect = json_object_get(item, "expect");
    const char *name = json_text(item, "name", "?"), *hidden = json_text(expect, "hidden", NULL);
    struct delivery delivery;
    struct command command;
    struct err err = {0};
    delivery_from(item, &delivery);
    bool ok = command_decode(&delivery, internal_users, json_bool(item, "requireUser", true), &command, &err) == 0;
    bool good = same_command(name, expect, &command);
    if (ok != json_bool(expect, "ok", false)) {
        print_error("%s: %s %s\n", name, ok ? "accepted" : "refused:", err.text);
        good = false;
    }
    if (!ok && (err.code != ERR_INVALID || !strstr(err.text, json_text(expect, "text", "")))) {
        print_error("%s: says \"%s\", not \"%s\"\n", name, err.text, json_text(expect, "text", ""));
        good = false;
    }
    if (ok && (!command.type || !command.body || strlen(command.sha256) != 64 || uuid_is_nil(command.id))) {
        print_error("%s: accepted, but not whole\n", name);
        good = false;
    }
    if (hidden && strstr(err.text, hidden)) {
        print_error("%s: repeats what must be hidden: %s\n", name, err.text);
        good = false;
    }
    json_t *text = json_string(err.text); /* NULL when it is no UTF-8 */
    if (!text) {
        print_error("%s: the error's text is no UTF-8\n", name);
        good = false;
    }
    json_decref(text);
    command_clear(&command);
    message_clear(&delivery.message);
    return good;
}

static void test_cases(void **state)
{
    (void)state;
    json_error_t error;
    json_t *cases = json_load_file("tests/unit/cases/envelope.json", 0, &error), *item;
    if (!cases)
        fail_msg("%s", error.text);
    size_t i, wrong = 0;
    json_array_foreach(cases, i, item) wrong += !holds(item);
    assert_true(i > 90);
    assert_int_equal(wrong, 0);
    json_decref(cases);
}

/* A message without any property, and one of the largest size. */
static void test_extremes(void **state)
{
    (void)state;
    struct command command;
    struct err err = {0};
    struct delivery delivery = {.queue = "acquit.authorize"};
    assert_int_equal(command_decode(&delivery, internal_users, true, &command, &err), -1);
    assert_non_null(strstr(err.text, "user_id"));
    assert_null(command.type);
    command_clear(&command);
    command_clear(&command);

    char *body = calloc(1, JSON_BODY_MAX + 2);
    memset(body, ' ', JSON_BODY_MAX + 1);
    static const char start[] = "{\"amount\":1,\"currency\":\"EUR\"}";
    memcpy(body, start, strlen(start));
    delivery.message = (struct message){.routing_key = (char[]){"payment.create"},
                                        .user_id = (char[]){"shop"},
                                        .message_id = (char[]){"k"},
                                        .body = body,
                                        .body_size = JSON_BODY_MAX};
    err_clear(&err);
    assert_int_equal(command_decode(&delivery, internal_users, true, &command, &err), 0);
    command_clear(&command);
    delivery.message.body_size++;
    assert_int_equal(command_decode(&delivery, internal_users, true, &command, &err), -1);
    assert_non_null(strstr(err.text, "the body has 262145 bytes"));
    assert_false(uuid_is_nil(command.id)); /* for the archive */
    command_clear(&command);
    free(body);
}

/* L10: the hash is of the content, not of the spelling. */
static void test_hash(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{\"amount\":1,\"currency\":\"EUR\"}",
                                         " { \"currency\" : \"\\u0045UR\", \"amount\" : 1 } ",
                                         "{\"amount\":2,\"currency\":\"EUR\"}"};
    char sha256[3][65];
    for (int i = 0; i < 3; i++) {
        struct command command;
        struct delivery delivery = {.queue = "acquit.authorize"};
        delivery.message = (struct message){.routing_key = (char[]){"payment.create"},
                                            .user_id = (char[]){"shop"},
                                            .message_id = (char[]){"k"},
                                            .body = (char *)(uintptr_t)bodies[i],
                                            .body_size = strlen(bodies[i])};
        assert_int_equal(command_decode(&delivery, internal_users, true, &command, NULL), 0);
        memcpy(sha256[i], command.sha256, sizeof sha256[i]);
        command_clear(&command);
    }
    assert_string_equal(sha256[0], sha256[1]);
    assert_string_not_equal(sha256[0], sha256[2]);
}

/* What we say ourselves, we understand. */
static void test_our_own_commands(void **state)
{
    (void)state;
    struct uuid payment = uuid_payment("shop", "k-1");
    for (size_t i = 0; i < command_type_count(); i++) {
        const char *type = command_type_at(i)->name;
        if (command_type_at(i)->is_public)
            continue;
        struct uuid id = uuid_follow_up(payment, type, "auth:1");
        json_t *extra = NULL;
        if (strcmp(type, "payment.compensate") == 0)
            extra = json_pack("{s:s}", "reason", "r");
        bool attest = strstr(type, ".attest") != NULL;
        const char *slot = !attest ? "auth:1" : *type == 'a' ? "auth:1:result" : "refund:1:result";
        if (attest)
            extra = json_pack("{s:s, s:s, s:s, s:s}", "as", *type == 'a' ? "approved" : "refunded", "reason", "r",
                              "evidenceSha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                              "actor", "a");
        bool replay = strncmp(type, "deadletter.", 11) == 0, confirm = strcmp(type, "pop.confirm") == 0;
        if (replay)
            extra = json_pack("{s:s, s:i, s:s, s:s}", "deadLetterId", "0b8a7c1e-3f52-8d4a-9c11-5b6f7a8d9e01", "n", 1,
                              "reason", "r", "actor", "a");
        if (confirm)
            extra = json_pack("{s:{s:s, s:s, s:i, s:s, s:s, s:s, s:s}}", "vote", "validator", "v-1", "paymentId",
                              "0b8a7c1e-3f52-8d4a-9c11-5b6f7a8d9e01", "amount", 1, "currency", "EUR", "verdict",
                              "valid", "at", "2026-11-20T10:00:00Z", "signature", "AAAA");
        struct delivery delivery = {.queue = command_type_at(i)->queue};
        command_message(type, id, payment, replay || confirm ? NULL : slot, extra, "acquit-worker", &delivery.message);
        assert_string_equal(delivery.message.exchange, EXCHANGE_COMMANDS);
        assert_string_equal(delivery.message.type, type);
        assert_in_range(delivery.message.timestamp, clock_wall_ms() / 1000 - 5, clock_wall_ms() / 1000);
        struct command command;
        struct err err = {0};
        if (command_decode(&delivery, internal_users, true, &command, &err) != 0)
            fail_msg("%s: %s", type, err.text);
        assert_true(uuid_equal(command.id, id));
        assert_true(uuid_equal(command.payment_id, payment));
        assert_string_equal(command.slot, replay || confirm ? "" : slot);
        assert_string_equal(command.publisher, "acquit-worker");
        command_clear(&command);
        message_clear(&delivery.message);
        json_decref(extra);
    }
}

static void test_masking(void **state)
{
    (void)state;
    char bytes[] = "{\"paymentToken\":\"4111111111111111\",\"x\":\"\xff 5555 5555 5555 4444\"}";
    assert_int_equal(mask_card_numbers(bytes, sizeof bytes - 1), 2);
    assert_string_equal(bytes, "{\"paymentToken\":\"************1111\",\"x\":\"\xff **** **** **** 4444\"}");
    char codes[] =
        "{\"cvv\" : \"123\\\"4\",\"a\":[1],\"m\":{\"CVC2\":\n 987},\"c\\n\\u0076v\":{\"v\":[\"12\"]},\"x\":\"cvv\"}";
    assert_int_equal(mask_card_numbers(codes, sizeof codes - 1), 3);
    assert_string_equal(
        codes,
        "{\"cvv\" : \"******\",\"a\":[1],\"m\":{\"CVC2\":\n ***},\"c\\n\\u0076v\":{\"*\":[\"**\"]},\"x\":\"cvv\"}");
    char cut_off[] = "\"cvc\":\"12\\"; /* no JSON: masked to its end */
    assert_int_equal(mask_card_numbers(cut_off, sizeof cut_off - 1), 1);
    assert_string_equal(cut_off, "\"cvc\":\"***");
    char escaped[] =
        "{\"a\":\"x 4\\u0031111\\u00311111111111\",\"b\":\"\\u0031\",\"c\":\"\\u0034111111111111111"; /* and cut off */
    assert_int_equal(mask_card_numbers(escaped, sizeof escaped - 1), 2);
    assert_string_equal(escaped,
                        "{\"a\":\"****************************\",\"b\":\"\\u0031\",\"c\":\"*********************");
    char quotes[] = "\"\"\\\"";
    assert_int_equal(mask_card_numbers(quotes, sizeof quotes - 1), 0);
    json_t *headers =
        json_pack("{s:i, s:{s:s}, s:s}", "cvv", 123, "deep", "x", "4111111111111111", "4111111111111111", "y");
    mask_card_numbers_json(headers);
    char *shown = json_dumps(headers, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(shown, "{\"************1111\":\"y\",\"cvv\":\"***\",\"deep\":{\"x\":\"************1111\"}}");
    free(shown);
    json_decref(headers);
    char field[16];
    json_t *value = json_pack("{s:[{s:s}]}", "list", "a field whose name is long", "4111111111111111");
    assert_true(carries_card_number(value, field, sizeof field));
    assert_string_equal(field, "a field whose n");
    json_decref(value);
    value = json_string("4111111111111111");
    assert_true(carries_card_number(value, field, sizeof field));
    json_decref(value);
    assert_false(carries_card_number(NULL, field, sizeof field));
}

static void test_names(void **state)
{
    (void)state;
    assert_true(publisher_name_ok("shop"));
    assert_true(publisher_name_ok("A-1_b.c"));
    assert_false(publisher_name_ok(""));
    assert_false(publisher_name_ok("a*"));
    assert_false(publisher_name_ok("a\nb"));
    assert_false(publisher_name_ok("\xc3\xa9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),   cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_hash),    cmocka_unit_test(test_our_own_commands),
        cmocka_unit_test(test_masking), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
