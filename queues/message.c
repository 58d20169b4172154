/* message.c - one AMQP message, in and out */
#include "queues/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/json.h"
#include "common/mem.h"

/* The text members that are properties, with their names in the archive. */
#define TEXT_PROPERTIES(X)                                                                                             \
    X(exchange, "exchange")                                                                                            \
    X(routing_key, "routingKey")                                                                                       \
    X(content_type, "contentType")                                                                                     \
    X(content_encoding, "contentEncoding")                                                                             \
    X(message_id, "messageId")                                                                                         \
    X(correlation_id, "correlationId")                                                                                 \
    X(reply_to, "replyTo")                                                                                             \
    X(expiration, "expiration")                                                                                        \
    X(user_id, "userId")                                                                                               \
    X(type, "type")                                                                                                    \
    X(app_id, "appId")

void message_clear(struct message *message)
{
#define X(member, name) free(message->member);
    TEXT_PROPERTIES(X)
#undef X
    json_decref(message->headers);
    free(message->body);
    memset(message, 0, sizeof *message);
}

static char *text_copy(const char *text)
{
    return text ? mem_text(text) : NULL;
}

void message_copy(struct message *ret, const struct message *message)
{
    *ret = *message;
#define X(member, name) ret->member = text_copy(message->member);
    TEXT_PROPERTIES(X)
#undef X
    ret->headers = message->headers ? json_deep_copy(message->headers) : NULL;
    ret->body = message->body ? mem_bytes(message->body, message->body_size) : NULL;
}

/* Cut so that no character is halved. */
static size_t cut(const char *text, size_t size, size_t most)
{
    if (size <= most)
        return size;
    while (most > 0 && ((unsigned char)text[most] & 0xc0) == 0x80)
        most--;
    return most;
}

void message_text_cut(const char *text, char *ret, size_t size)
{
    size_t length = cut(text, strlen(text), size - 1);
    memcpy(ret, text, length);
    ret[length] = '\0';
}

/* What the value takes as an AMQP field: a small number takes more there than in JSON, a control character less. */
static size_t field_size(const json_t *value)
{
    enum { KIND = 1, LENGTH = 4, NUMBER = 8 };
    size_t size = KIND, i;
    const char *key;
    json_t *member;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        json_object_foreach((json_t *)(uintptr_t)value, key, member)
        {
            size += 1 + strlen(key) + field_size(member);
        }
        return size + LENGTH;
    case JSON_ARRAY:
        json_array_foreach(value, i, member)
        {
            size += field_size(member);
        }
        return size + LENGTH;
    case JSON_STRING:
        return size + LENGTH + json_string_length(value);
    case JSON_INTEGER:
    case JSON_REAL:
        return size + NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return size + 1;
    case JSON_NULL:
        return size;
    }
    return size;
}

static void put_headers(json_t *object, json_t *headers)
{
    char digest[SHA256_HEX_SIZE];
    if (field_size(headers) <= MESSAGE_HEADERS_KEPT_MAX) {
        json_object_set(object, "headers", headers);
        return;
    }
    char *text = json_encode(headers);
    size_t size = strlen(text);
    sha256_hex(text, size, digest);
    json_object_set_new(object, "headersCut", json_stringn(text, cut(text, size, MESSAGE_HEADERS_KEPT_MAX)));
    json_object_set_new(object, "headersSize", json_integer((json_int_t)size));
    json_object_set_new(object, "headersSha256", json_string(digest));
    free(text);
}

json_t *message_properties(const struct message *message)
{
    json_t *object = json_object();
#define X(member, name)                                                                                                \
    if (message->member)                                                                                               \
        json_object_set_new(object, name, json_string(message->member));
    TEXT_PROPERTIES(X)
#undef X
    if (message->timestamp)
        json_object_set_new(object, "timestamp", json_integer(message->timestamp));
    if (message->delivery_mode)
        json_object_set_new(object, "deliveryMode", json_integer(message->delivery_mode));
    if (message->priority)
        json_object_set_new(object, "priority", json_integer(message->priority));
    if (message->escaped)
        json_object_set_new(object, "escaped", json_true());
    if (message->body_cut)
        json_object_set_new(object, "bodyCut", json_integer((json_int_t)message->body_cut));
    if (message->headers)
        put_headers(object, message->headers);
    return object;
}

/* The length of the UTF-8 character that begins here, 0 when none does (RFC 3629: no surrogates, nothing overlong). A NUL counts as none. */
static size_t character(const unsigned char *p, size_t left)
{
    size_t length = p[0] < 0x80                   ? 1
                    : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                    : (p[0] & 0xf0) == 0xe0       ? 3
                    : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                  : 0;
    if (length == 0 || length > left || p[0] == 0)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] >= 0x90))
        return 0;
    return length;
}

static bool is_text(const unsigned char *p, size_t size)
{
    for (size_t i = 0, length; i < size; i += length)
        if ((length = character(p + i, size - i)) == 0)
            return false;
    return true;
}

static char *escape(const unsigned char *p, size_t size)
{
    char *text = mem_new(4 * size + 1, 1), *at = text;
    for (size_t i = 0; i < size;) {
        size_t length = character(p + i, size - i);
        if (length == 0) {
            memcpy(at, (const char[]){'\\', 'x', "0123456789abcdef"[p[i] >> 4], "0123456789abcdef"[p[i] & 15]}, 4);
            at += 4;
            i++;
            continue;
        }
        if (p[i] == '\\')
            *at++ = '\\';
        memcpy(at, p + i, length);
        at += length;
        i += length;
    }
    return text;
}

char *message_text(const void *bytes, size_t size, bool *ret_escaped)
{
    if (is_text(bytes, size))
        return mem_bytes(bytes, size);
    *ret_escaped = true;
    return escape(bytes, size);
}
