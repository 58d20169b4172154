/* fuzz_envelope.c - from the bytes that a stranger published to a command
 *
 * Fields: queue, require user (0 or 1), exchange, routing key, user_id, message_id, type, reply_to, correlation_id ("-":
 * absent), headers as JSON; the rest is the body. When the queue's field begins with '!' all the rest is the content
 * header of AMQP itself, behind a length of the body's in the next line.
 */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/pan.h"
#include "queues/amqp.h"
#include "queues/envelope.h"
#include "tests/fuzz/input.h"

static const char *const INTERNAL_USERS[] = {"acquit-worker", "acquit-keeper", "acquit-operator", NULL};

static char *copy(const char *text)
{
    return text ? mem_text(text) : NULL;
}

/* As the consumer makes it: texts are UTF-8. */
static char *escaped(struct input *input, struct message *message)
{
    const char *text = input_optional(input);
    return text ? message_text(text, strlen(text), &message->escaped) : NULL;
}

static void read_message(struct input *input, struct message *ret)
{
    ret->exchange = copy(input_line(input));
    ret->routing_key = escaped(input, ret);
    ret->user_id = escaped(input, ret);
    ret->message_id = escaped(input, ret);
    ret->type = escaped(input, ret);
    ret->reply_to = escaped(input, ret);
    ret->correlation_id = escaped(input, ret);
    const char *headers = input_line(input);
    ret->headers = json_loads(headers, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(ret->headers)) {
        json_decref(ret->headers);
        ret->headers = NULL;
    }
    const char *body = input_rest(input, &ret->body_size);
    ret->body = mem_bytes(body, ret->body_size);
}

/* What came in as AMQP goes out as AMQP, or the property that does not fit is named. */
static void check_round_trip(const struct message *message)
{
    static char bytes[WIRE_PROPERTIES_MAX];
    struct err err = {0};
    struct message again;
    size_t size = sizeof bytes;
    if (wire_properties_encode(message, bytes, &size, &err) != 0) {
        MUST(err.code == ERR_INVALID && *err.text);
        return;
    }
    MUST(wire_properties_decode(bytes, size, &again, &err) == 0);
    MUST(message->headers == NULL || json_equal(message->headers, again.headers) || !json_is_object(message->headers));
    message_clear(&again);
}

static void read_wire(struct input *input, struct message *ret)
{
    struct err err = {0};
    size_t body_size = (size_t)input_number(input, 0, 4096), size;
    const char *bytes = input_rest(input, &size);
    body_size = body_size < size ? body_size : size;
    if (wire_properties_decode(bytes + body_size, size - body_size, ret, &err) != 0)
        MUST(err.code == ERR_INVALID && *err.text);
    else
        check_round_trip(ret);
    ret->exchange = mem_text("acquit.in");
    ret->routing_key = mem_text("payment.create");
    ret->body = mem_bytes(bytes, body_size);
    ret->body_size = body_size;
}

static void check_command(const struct delivery *delivery, const struct command *command, int result,
                          const struct err *err)
{
    char field[65];
    MUST(!command->publisher[0] || publisher_name_ok(command->publisher));
    MUST(strlen(command->message_id) <= MESSAGE_ID_MAX && json_is_array(command->history));
    MUST(!command->body || !carries_card_number(command->body, field, sizeof field)); /* L11 */
    if (result != 0) {
        MUST(err->code == ERR_INVALID && *err->text && pan_count(err->text, strlen(err->text)) == 0);
        return;
    }
    MUST(command->type && json_is_object(command->body) && command->publisher[0] && command->message_id[0]);
    MUST(strlen(command->sha256) == 64 && !uuid_is_nil(command->id) && command->attempt >= 0);
    bool ours = false;
    for (size_t i = 0; INTERNAL_USERS[i]; i++)
        ours |= delivery->message.user_id && strcmp(INTERNAL_USERS[i], delivery->message.user_id) == 0;
    MUST(command->type->is_public || command->type->by_ingress || ours);
    MUST(ours || (command->attempt == 0 && json_array_size(command->history) == 0 && !command->replay_of[0]));
    MUST(schema_check(command->type->schema, command->body, NULL, NULL) == 0);
}

/* The decoder finds no security code in what was masked without it. */
static void check_codes(const char *bytes, size_t size)
{
    struct err err = {0};
    json_t *body = json_decode(bytes, size, &err);
    const char *name;
    json_t *member;
    json_object_foreach(body, name, member)
    {
        json_t *one = json_pack("{s:O}", name, member);
        char field[65];
        const char *text = json_string_value(member);
        bool number =
            text && (pan_count(name, strlen(name)) || pan_count(text, strlen(text))); /* written with escapes */
        MUST(!text || number || text[strspn(text, "*")] == '\0' || !carries_card_number(one, field, sizeof field));
        json_decref(one);
    }
    json_decref(body);
}

/* What the archive keeps of it. */
static void check_archive(const struct message *message)
{
    struct message twin;
    json_t *properties = message_properties(message);
    char *text = json_encode(properties);
    MUST(text);
    free(text);
    mask_card_numbers_json(properties);
    json_decref(properties);
    message_copy(&twin, message);
    MUST(mask_card_numbers(twin.body, twin.body_size) >= pan_count(message->body, message->body_size));
    check_codes(twin.body, twin.body_size);
    message_clear(&twin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    const char *queue = input_line(&input);
    bool require_user = input_number(&input, 0, 1) == 1;
    struct delivery delivery = {.queue = queue, .tag = 1};
    if (*queue == '!')
        read_wire(&input, &delivery.message);
    else
        read_message(&input, &delivery.message);
    struct command command;
    struct err err = {0};
    int result = command_decode(&delivery, INTERNAL_USERS, require_user, &command, &err);
    check_command(&delivery, &command, result, &err);
    check_archive(&delivery.message);
    command_clear(&command);
    message_clear(&delivery.message);
    input_end(&input);
    return 0;
}
