/* message.h - one AMQP message, in and out
 */
#ifndef ACQUIT_QUEUES_MESSAGE_H
#define ACQUIT_QUEUES_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Headers of a message go into one frame, of 128 KiB unless the broker is set otherwise. What message_properties() makes of a foreign message is a
 * header of its dead letter, so it must leave room for ours. */
enum { MESSAGE_HEADERS_KEPT_MAX = 48 * 1024 };

/* Text members are NULL when the property is absent. Headers are a JSON object (integers, texts, booleans, nested objects and arrays;
 * what AMQP has beyond that becomes text); NULL when absent. */
struct message {
    char *exchange, *routing_key;
    char *content_type, *message_id, *correlation_id, *reply_to, *user_id, *type, *app_id;
    char *content_encoding, *expiration; /* of a delivery only: never published by us */
    int64_t timestamp;                   /* seconds; 0: absent */
    int delivery_mode;                   /* 2 when published by us */
    int priority;                        /* of a delivery only; 0: absent */
    bool escaped;  /* a text member was no UTF-8 or had a NUL in it: its odd bytes stand as \xNN, a backslash as \\ */
    bool optional; /* to publish: nobody has to be there to take it (not mandatory) */
    json_t *headers;
    char *body; /* NUL-terminated behind body_size bytes */
    size_t body_size;
    uint64_t body_cut; /* of a delivery: so many further bytes came with it and were dropped (L12) */
};

void message_clear(struct message *message);                           /* frees what it owns; leaves it empty */
void message_copy(struct message *ret, const struct message *message); /* deep; *ret is overwritten, not cleared */

/* All properties and headers as one JSON object, for the archive. Headers of more than MESSAGE_HEADERS_KEPT_MAX bytes (as AMQP fields) are cut: the
 * object then has "headersCut" (the first so many bytes of their JSON, as text), "headersSize" and "headersSha256" (of that JSON) instead of "headers".
 * "bodyCut" is how many bytes of the body were not kept.
 * The caller owns it. */
json_t *message_properties(const struct message *message);

/* A copy of the bytes as text. Bytes that are no UTF-8 or hold a NUL are escaped (\xNN, and \\ for a backslash), which sets *ret_escaped. free() it. */
char *message_text(const void *bytes, size_t size, bool *ret_escaped);
/* Copies as much of the text as fits `size` bytes with its NUL, never half a character. */
void message_text_cut(const char *text, char *ret, size_t size);

#endif
