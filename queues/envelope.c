/* envelope.c - from the bytes of a delivery to a command, and back
 *
 * A decoder of strangers' bytes: every part is bounded, none is trusted before it is checked, and what is wrong is said without repeating it (L11).
 * The parts are read in the order of the checks; what can be read is read also when an earlier part was wrong, for the archive.
 */
#include "queues/envelope.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/pan.h"

enum {
    COMMAND_HISTORY_MAX = 64, /* entries of HEADER_HISTORY that are kept, the newest */
    COMMAND_ATTEMPT_MAX = 1000000,
    NAME_SHOWN = 64, /* of a routing key that a stranger chose */
    NUMBER_TEXT = 64,
};

#define OUR_QUEUES "acquit."
#define DEAD_LETTER_QUEUES OUR_QUEUES "dead."
#define ANONYMOUS "anonymous"

/* Card numbers and security codes. */

/* "Card-Number" and "card_number" are the same name: letters and digits in lower case. */
static void plain_name(const char *name, char *ret, size_t size)
{
    size_t n = 0;
    for (; *name && n < size - 1; name++) {
        char c = *name >= 'A' && *name <= 'Z' ? (char)(*name | 0x20) : *name;
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            ret[n++] = c;
    }
    ret[n] = '\0';
}

static bool is_card_field(const char *name)
{
    static const char *const exact[] = {"pan",  "cardno",       "ccnumber", "creditcard", "cvv",    "cvv2",  "cvc",
                                        "cvc2", "securitycode", "cardcvv",  "cardcvc",    "track1", "track2"};
    static const char *const within[] = {"cardnumber", "cardverification", "cardsecurity", "primaryaccountnumber",
                                         "trackdata"};
    char plain[NAME_SHOWN];
    plain_name(name, plain, sizeof plain);
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++)
        if (strcmp(plain, exact[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof within / sizeof within[0]; i++)
        if (strstr(plain, within[i]))
            return true;
    return false;
}

/* The letters and digits of the name that a JSON string is, from behind its first quote on; \\u escapes of ASCII are undone, and no other escape stands
 * for a letter or a digit. */
static bool names_card_field(const char *bytes, size_t begin, size_t end)
{
    char name[NAME_SHOWN];
    size_t n = 0;
    while (begin < end && n < sizeof name - 1) {
        unsigned long code = (unsigned char)bytes[begin];
        size_t length = 1;
        if (code == '\\') {
            bool hex = end - begin >= 6 && bytes[begin + 1] == 'u';
            char digits[5] = {0};
            if (hex)
                memcpy(digits, bytes + begin + 2, 4);
            code = strtoul(digits, NULL, 16); /* 0 where there are none */
            length = hex ? 6 : 2;
        }
        if (code < 0x80 && isalnum((int)code))
            name[n++] = (char)code;
        begin += length;
    }
    name[n] = '\0';
    return is_card_field(name);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Behind the quote that ends the string whose first quote stands at `at`; `size` when none does. */
static size_t string_end(const char *bytes, size_t size, size_t at)
{
    for (at++; at < size && bytes[at] != '"'; at++)
        if (bytes[at] == '\\')
            at++;
    return at < size ? at + 1 : size;
}

/* Masks what stands between quotes, and what else is no structure, of a JSON value, arrays and objects whole; returns its end. */
static size_t mask_value(char *bytes, size_t size, size_t at)
{
    int depth = 0;
    do {
        char c = bytes[at];
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return at;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c == '"') {
            size_t end = string_end(bytes, size, at);
            bool closed = end - at >= 2 && bytes[end - 1] == '"';
            memset(bytes + at + 1, '*', end - at - 1 - closed);
            at = end;
        } else {
            if (!strchr(",:{}[]", c) && !is_blank(c))
                bytes[at] = '*';
            at++;
        }
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            return at;
    } while (at < size);
    return at;
}

/* A security code is known by its field's name only. The bytes need not be JSON; what looks like a member is one. */
static size_t mask_card_fields(char *bytes, size_t size)
{
    size_t found = 0;
    for (size_t at = 0; at < size;) {
        if (bytes[at] != '"') {
            at++;
            continue;
        }
        size_t end = string_end(bytes, size, at), value = end;
        while (value < size && is_blank(bytes[value]))
            value++;
        bool member = value < size && bytes[value] == ':' && names_card_field(bytes, at + 1, end - 1);
        for (value++; member && value < size && is_blank(bytes[value]);)
            value++;
        at = end;
        if (member && value < size) {
            at = mask_value(bytes, size, value);
            found++;
        }
    }
    return found;
}

/* A digit as JSON may write it: \u0030 to \u0039. */
static bool is_escaped_digit(const char *bytes, size_t size, size_t at)
{
    return size - at >= 6 && memcmp(bytes + at, "\\u003", 5) == 0 && bytes[at + 5] >= '0' && bytes[at + 5] <= '9';
}

/* Nobody needs to write digits as escapes. A text that does so and holds a card number, once they are undone, is masked whole. */
static size_t mask_escaped_numbers(char *bytes, size_t size)
{
    size_t found = 0;
    for (size_t at = 0; at < size; at++) {
        if (bytes[at] != '"')
            continue;
        size_t end = string_end(bytes, size, at), n = 0;
        bool escapes = false;
        char *plain = mem_new(end - at, 1);
        for (size_t i = at + 1; i < end; i++) {
            bool digit = is_escaped_digit(bytes, end, i);
            plain[n++] = digit ? bytes[i + 5] : bytes[i];
            escapes = escapes || digit;
            i += digit ? 5 : 0;
        }
        if (escapes && pan_count(plain, n) > 0) {
            memset(bytes + at + 1, '*', end - at - 1 - (bytes[end - 1] == '"'));
            found++;
        }
        free(plain);
        at = end - 1;
    }
    return found;
}

size_t mask_card_numbers(char *bytes, size_t size)
{
    return pan_mask(bytes, size) + mask_card_fields(bytes, size) + mask_escaped_numbers(bytes, size);
}

static void mask_text(json_t *text)
{
    char *copy = mem_text(json_string_value(text));
    if (mask_card_numbers(copy, strlen(copy)) > 0)
        json_string_set(text, copy);
    free(copy);
}

/* Names can carry a number, too: such a member gets another name. */
static void mask_member_names(json_t *object)
{
    void *next;
    const char *key;
    json_t *member;
    json_object_foreach_safe(object, next, key, member)
    {
        char *copy = mem_text(key);
        if (is_card_field(key)) {
            json_object_set_new(object, key, json_string("***"));
        } else if (pan_mask(copy, strlen(copy)) > 0) {
            json_object_set(object, copy, member);
            json_object_del(object, key);
        }
        free(copy);
    }
}

void mask_card_numbers_json(json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;
    if (json_is_string(value))
        mask_text(value);
    if (json_is_object(value))
        mask_member_names(value);
    json_object_foreach(value, key, member) mask_card_numbers_json(member);
    json_array_foreach(value, i, member) mask_card_numbers_json(member);
}

static bool is_card_text(const char *text)
{
    return pan_count(text, strlen(text)) > 0;
}

/* Numbers in fields that hold plain quantities by contract are what they say. */
static bool is_quantity(const char *name)
{
    static const char *const names[] = {"amount", "quantity", "expiresInMs"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool search(const json_t *value, const char *name, char *ret_field, size_t ret_size);

static bool search_member(const char *name, const json_t *value, char *ret_field, size_t ret_size)
{
    if (is_card_text(name)) { /* the name itself: it must not be repeated */
        message_text_cut("(a field's name)", ret_field, ret_size);
        return true;
    }
    if (!is_card_field(name))
        return search(value, name, ret_field, ret_size);
    message_text_cut(name, ret_field, ret_size);
    return true;
}

static bool search_number(const json_t *value, const char *name, char *ret_field, size_t ret_size)
{
    char text[NUMBER_TEXT];
    if (json_is_integer(value))
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        snprintf(text, sizeof text, "%.0f", json_real_value(value));
    if (is_quantity(name) || !is_card_text(text))
        return false;
    message_text_cut(name, ret_field, ret_size);
    return true;
}

static bool search_object(const json_t *value, char *ret_field, size_t ret_size)
{
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, name,
                        member) if (search_member(name, member, ret_field, ret_size)) return true;
    return false;
}

static bool search(const json_t *value, const char *name, char *ret_field, size_t ret_size)
{
    size_t i;
    json_t *item;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return search_object(value, ret_field, ret_size);
    case JSON_ARRAY:
        json_array_foreach(value, i, item) if (search(item, name, ret_field, ret_size)) return true;
        return false;
    case JSON_STRING:
        if (!is_card_text(json_string_value(value)))
            return false;
        message_text_cut(name, ret_field, ret_size);
        return true;
    case JSON_INTEGER:
    case JSON_REAL:
        return search_number(value, name, ret_field, ret_size);
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        return false;
    }
    return false;
}

bool carries_card_number(const json_t *value, char *ret_field, size_t ret_size)
{
    return value && search(value, "(the body)", ret_field, ret_size);
}

/* Who. */

bool publisher_name_ok(const char *name)
{
    size_t length = strlen(name);
    return length >= 1 && length <= PUBLISHER_MAX &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == length;
}

static bool is_internal(const char *user, const char *const *internal_users)
{
    for (; user && *internal_users; internal_users++)
        if (strcmp(user, *internal_users) == 0)
            return true;
    return false;
}

static bool is_dead_letter(const struct delivery *delivery)
{
    return delivery->queue && strncmp(delivery->queue, DEAD_LETTER_QUEUES, strlen(DEAD_LETTER_QUEUES)) == 0;
}

/* An app's queue may dead-letter what it holds, our answers too, into acquit.in: then our user_id stands on a message that the app has sent on its way. The
 * broker notes every queue that a message died in, and nobody can take that note away. */
static bool came_through_a_strange_queue(const json_t *headers)
{
    size_t i;
    const json_t *death;
    json_array_foreach(json_object_get(headers, "x-death"), i, death)
    {
        if (strncmp(json_text(death, "queue", ""), OUR_QUEUES, strlen(OUR_QUEUES)) != 0)
            return true;
    }
    return false;
}

static int set_publisher(const char *name, const char *where, struct command *ret, struct err *err)
{
    if (!publisher_name_ok(name))
        return err_set(err, ERR_INVALID, "%s: must be 1 to %d letters, digits, '.', '_' or '-'", where,
                       (int)PUBLISHER_MAX);
    snprintf(ret->publisher, sizeof ret->publisher, "%s", name);
    return 0;
}

static int read_publisher(const struct delivery *delivery, bool internal, bool require_user, struct command *ret,
                          struct err *err)
{
    const struct message *message = &delivery->message;
    const json_t *header = json_object_get(message->headers, HEADER_PUBLISHER);
    if (internal && came_through_a_strange_queue(message->headers))
        return err_set(err, ERR_INVALID,
                       "user_id: a message of ours that was dead-lettered by a queue that is not ours");
    if (header && !internal)
        return err_set(err, ERR_INVALID,
                       HEADER_PUBLISHER ": only our own users may speak for another; leave the header out");
    if (header && !json_is_string(header))
        return err_set(err, ERR_INVALID, HEADER_PUBLISHER ": must be a text");
    if (header)
        return set_publisher(json_string_value(header), HEADER_PUBLISHER, ret, err);
    if (message->user_id)
        return set_publisher(message->user_id, "user_id", ret, err);
    if (require_user)
        return err_set(err, ERR_INVALID, "user_id: is required; set it to the name of the broker user you connect as");
    return set_publisher(ANONYMOUS, "user_id", ret, err);
}

/* What. */

/* The routing key of the last death, as the broker noted it. The sender may have written the header himself: then it names a type he could have named anyway. */
static const char *died_as(const struct message *message)
{
    const json_t *death = json_array_get(json_object_get(message->headers, "x-death"), 0);
    return json_string_value(json_array_get(json_object_get(death, "routing-keys"), 0));
}

/* The routing key names the type; a dead letter's own is its queue, so it is looked up where it was noted. */
static const char *type_name(const struct delivery *delivery, bool internal)
{
    const struct message *message = &delivery->message;
    const char *name = message->routing_key;
    if (is_dead_letter(delivery)) {
        name = internal ? json_text(message->headers, HEADER_ROUTING_KEY, NULL) : NULL;
        if (!name)
            name = died_as(message);
        if (!name)
            name = message->type;
    }
    return name ? name : "";
}

static const char *public_types(char *ret, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < command_type_count() && n < size; i++)
        if (command_type_at(i)->is_public)
            n += (size_t)snprintf(ret + n, size - n, "%s%s", n ? ", " : "", command_type_at(i)->name);
    return ret;
}

/* A public command that our worker moved to the dead letters without saying whose it was: nobody's. Commands of our own need no such word. */
static int check_owner(const struct delivery *delivery, bool internal, struct command *ret, struct err *err)
{
    bool named = json_object_get(delivery->message.headers, HEADER_PUBLISHER);
    if (!internal || named || !is_dead_letter(delivery) || !ret->type || !ret->type->is_public)
        return 0;
    ret->publisher[0] = '\0';
    return err_set(err, ERR_INVALID, "the dead letter's publisher is not known");
}

static int read_type(const struct delivery *delivery, bool internal, struct command *ret, struct err *err)
{
    char types[ERR_TEXT_MAX / 2], shown[NAME_SHOWN + 1];
    const char *name = type_name(delivery, internal);
    ret->type = command_type_find(name);
    if (!ret->type) {
        message_text_cut(name, shown, sizeof shown);
        for (char *c = shown; *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                *c = ' ';
        pan_mask(shown, strlen(shown)); /* after the blanks that the error's text would have for control characters */
        return err_set(err, ERR_INVALID, "routing key '%s': no such command type; apps may publish %s", shown,
                       public_types(types, sizeof types));
    }
    if (!ret->type->is_public && !ret->type->by_ingress && !internal)
        return err_set(err, ERR_INVALID, "routing key '%s': an internal command; apps may publish %s", ret->type->name,
                       public_types(types, sizeof types));
    return 0;
}

/* No control characters: C0, DEL, and C1 as UTF-8 writes them. */
static bool is_printable(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0))
            return false;
    return true;
}

/* Properties that come out again, in facts and answers, must carry no card number either (L11). */
static int check_properties(const struct message *message, struct err *err)
{
    const struct {
        const char *name, *text;
    } properties[] = {
        {"correlation_id", message->correlation_id}, {"reply_to", message->reply_to}, {"type", message->type}};
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++)
        if (properties[i].text && is_card_text(properties[i].text))
            return err_set(err, ERR_INVALID, "%s: looks like a card number; leave it out", properties[i].name);
    return 0;
}

static int read_message_id(const struct message *message, struct command *ret, struct err *err)
{
    const char *id = message->message_id;
    if (!id || !*id)
        return err_set(err, ERR_INVALID, "message_id: is required; it is the idempotency key, a UUID for instance");
    if (strlen(id) > MESSAGE_ID_MAX)
        return err_set(err, ERR_INVALID, "message_id: must have at most %d bytes", (int)MESSAGE_ID_MAX);
    if (message->escaped || !is_printable(id))
        return err_set(err, ERR_INVALID, "message_id: must be printable text, like all properties");
    if (is_card_text(id))
        return err_set(err, ERR_INVALID, "message_id: looks like a card number; use another key");
    snprintf(ret->message_id, sizeof ret->message_id, "%s", id);
    if (ret->type && !ret->type->is_public && uuid_parse(id, &ret->id) != 0)
        return err_set(err, ERR_INVALID, "message_id: must be a UUID for %s", ret->type->name);
    return 0;
}

static void derive_ids(struct command *ret)
{
    if (!ret->type || !ret->type->is_public)
        return;
    ret->id = uuid_command(ret->type->name, ret->publisher, ret->message_id);
    if (strcmp(ret->type->name, "payment.create") == 0)
        ret->payment_id = uuid_payment(ret->publisher, ret->message_id);
}

/* Headers of ours; from strangers they mean nothing. */

static int read_attempt(const json_t *headers, struct command *ret, struct err *err)
{
    const json_t *attempt = json_object_get(headers, HEADER_ATTEMPT);
    json_int_t n = json_integer_value(attempt);
    if (attempt && (!json_is_integer(attempt) || n < 0 || n > COMMAND_ATTEMPT_MAX))
        return err_set(err, ERR_INVALID, HEADER_ATTEMPT ": must be an integer from 0 to %d", (int)COMMAND_ATTEMPT_MAX);
    ret->attempt = (int)n;
    return 0;
}

static int read_history(const json_t *headers, struct command *ret, struct err *err)
{
    const json_t *history = json_object_get(headers, HEADER_HISTORY);
    if (history && !json_is_array(history))
        return err_set(err, ERR_INVALID, HEADER_HISTORY ": must be an array");
    size_t count = json_array_size(history), from = count > COMMAND_HISTORY_MAX ? count - COMMAND_HISTORY_MAX : 0;
    for (size_t i = from; i < count; i++)
        json_array_append_new(ret->history, json_deep_copy(json_array_get(history, i)));
    return 0;
}

static int read_replay(const json_t *headers, struct command *ret, struct err *err)
{
    const json_t *replay = json_object_get(headers, HEADER_REPLAY);
    struct uuid id;
    if (!replay)
        return 0;
    if (!json_is_string(replay) || uuid_parse(json_string_value(replay), &id) != 0)
        return err_set(err, ERR_INVALID, HEADER_REPLAY ": must be a UUID");
    uuid_format(id, ret->replay_of);
    return 0;
}

/* The body. */

static int read_json(const struct message *message, struct command *ret, struct err *err)
{
    char field[NAME_SHOWN + 1];
    if (message->body_size > JSON_BODY_MAX)
        return err_set(err, ERR_INVALID, "the body has %zu bytes; at most %d are allowed", message->body_size,
                       (int)JSON_BODY_MAX);
    ret->body = json_decode(message->body ? message->body : "", message->body_size, err);
    if (!ret->body)
        return err_prefix(err, "body");
    if (carries_card_number(ret->body, field, sizeof field)) { /* L11 */
        json_decref(ret->body);
        ret->body = NULL;
        return err_set(err, ERR_INVALID, "%s: a card number or security code must never be sent; send a payment token",
                       field);
    }
    return json_is_object(ret->body) ? 0 : err_set(err, ERR_INVALID, "the body must be a JSON object");
}

static void hash_body(struct command *ret)
{
    uint8_t digest[SHA256_SIZE];
    json_sha256(ret->body, digest);
    hex_encode(digest, sizeof digest, ret->sha256);
}

static int read_payment_id(struct command *ret, struct err *err)
{
    const char *text = json_text(ret->body, "paymentId", NULL);
    if (!text || !uuid_is_nil(ret->payment_id))
        return 0;
    if (public_id_parse(text, &ret->payment_id) != 0)
        return err_set(err, ERR_INVALID, "paymentId: must be a payment's id, tx_... or a UUID");
    return 0;
}

static int read_body(const struct message *message, struct command *ret, struct err *err)
{
    int result = read_json(message, ret, err);
    if (!ret->body)
        return -1;
    hash_body(ret);
    snprintf(ret->slot, sizeof ret->slot, "%s", json_text(ret->body, "slot", ""));
    if (read_payment_id(ret, err) != 0)
        result = -1;
    if (result == 0 && ret->type)
        result = schema_check(ret->type->schema, ret->body, NULL, err);
    return result;
}

/* The whole. */

int command_decode(const struct delivery *delivery, const char *const *internal_users, bool require_user,
                   struct command *ret, struct err *err)
{
    const struct message *message = &delivery->message;
    bool internal = is_internal(message->user_id, internal_users);
    struct err first = {0};
    int result = 0;
    memset(ret, 0, sizeof *ret);
    ret->history = json_array();
    if (message->body_size > JSON_BODY_MAX)
        result = err_set(&first, ERR_INVALID, "the body has %zu bytes; at most %d are allowed", message->body_size,
                         (int)JSON_BODY_MAX);
    result |= read_publisher(delivery, internal, require_user, ret, &first);
    result |= read_type(delivery, internal, ret, &first);
    result |= check_owner(delivery, internal, ret, &first);
    result |= read_message_id(message, ret, &first);
    result |= check_properties(message, &first);
    if (ret->publisher[0] && ret->message_id[0])
        derive_ids(ret);
    if (internal) {
        result |= read_attempt(message->headers, ret, &first);
        result |= read_history(message->headers, ret, &first);
        result |= read_replay(message->headers, ret, &first);
    }
    result |= read_body(message, ret, &first);
    return result == 0 ? 0 : err_set(err, ERR_INVALID, "%s", first.text);
}

void command_clear(struct command *command)
{
    json_decref(command->body);
    json_decref(command->history);
    memset(command, 0, sizeof *command);
}

void command_message(const char *type, struct uuid id, struct uuid payment_id, const char *slot, const json_t *extra,
                     const char *user, struct message *ret)
{
    char text[UUID_TEXT_SIZE];
    json_t *body = json_object();
    if (!uuid_is_nil(payment_id)) {
        uuid_format(payment_id, text);
        json_object_set_new(body, "paymentId", json_string(text));
    }
    if (slot && *slot)
        json_object_set_new(body, "slot", json_string(slot));
    if (extra)
        json_object_update(body, (json_t *)(uintptr_t)extra);
    uuid_format(id, text);
    *ret = (struct message){
        .exchange = mem_text(EXCHANGE_COMMANDS),
        .routing_key = mem_text(type),
        .type = mem_text(type),
        .content_type = mem_text("application/json"),
        .message_id = mem_text(text),
        .user_id = mem_text(user),
        .timestamp = clock_wall_ms() / 1000,
        .delivery_mode = 2,
        .body = json_encode(body),
    };
    ret->body_size = strlen(ret->body);
    json_decref(body);
}
