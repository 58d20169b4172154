/* envelope.h - from the bytes of a delivery to a command, and back
 *
 * The only decoder of commands. It checks in this order: size, user, type, message id, JSON, schema, and answers with a reason that names the field
 * and the remedy. The publisher is the broker-validated user_id; our own users (config broker.internal_users) may speak for another through
 * the header x-acquit-publisher.
 */
#ifndef ACQUIT_QUEUES_ENVELOPE_H
#define ACQUIT_QUEUES_ENVELOPE_H

#include <jansson.h>

#include "common/err.h"
#include "common/ids.h"
#include "queues/consumer.h"
#include "queues/topology.h"

enum { MESSAGE_ID_MAX = 128, PUBLISHER_MAX = 63 };

/* Headers of ours. Names are part of the contract with operators (docs/integration.md). */
#define HEADER_PUBLISHER "x-acquit-publisher"     /* who published the original */
#define HEADER_ATTEMPT "x-acquit-attempt"         /* business attempts made before this one */
#define HEADER_HISTORY "x-acquit-history"         /* array of {"at","attempt","reason"} */
#define HEADER_REASON "x-acquit-reason"           /* dead letters: why */
#define HEADER_DEAD_LETTER "x-acquit-dead-letter" /* dead letters published by us: its id */
#define HEADER_REPLAY "x-acquit-replay-of"        /* the dead letter it was replayed from */
#define HEADER_PROPERTIES "x-acquit-properties"   /* dead letters: all properties that it had there */
#define HEADER_BODY_SHA256 "x-acquit-body-sha256" /* dead letters: of the body before card numbers were masked in it */
#define HEADER_LOOK "x-acquit-look"               /* true: said by payment.look, perhaps not for the first time */
#define HEADER_REPLAY_NUMBER "x-acquit-replay-number" /* the n-th replay of that dead letter */
#define HEADER_QUEUE "x-acquit-queue"                 /* dead letters: the queue it died in */
#define HEADER_ROUTING_KEY "x-acquit-routing-key" /* dead letters: the routing key it had there, which names its type */

struct command {
    const struct command_type *type;
    struct uuid id;         /* public: uuid_command(type, publisher, message_id); internal: its message_id */
    struct uuid payment_id; /* create: derived; others: of the body's paymentId; nil where none */
    char publisher[PUBLISHER_MAX + 1];
    char message_id[MESSAGE_ID_MAX + 1];
    json_t *body;                   /* owned */
    char sha256[65];                /* of the canonical body (L10) */
    int attempt;                    /* HEADER_ATTEMPT */
    json_t *history;                /* owned array */
    char replay_of[UUID_TEXT_SIZE]; /* or "" */
    char slot[96];                  /* internal commands: the body's "slot", else "" */
};

/* -1 with ERR_INVALID (never worth a retry: archive it) and the reason; *ret then holds what could be read (type, publisher, message_id may be empty) and must still be cleared. */
int command_decode(const struct delivery *delivery, const char *const *internal_users, bool require_user,
                   struct command *ret, struct err *err) MUST_CHECK;
void command_clear(struct command *command);

/* True for a name a publisher may have: 1 to PUBLISHER_MAX letters, digits, '.', '_' and '-'. */
bool publisher_name_ok(const char *name);

/* A body against the schema of a command type (queues/schema/, JSON Schema 2020-12). Details are appended to `details` (array of
 * {"field","message"}; may be NULL); the first one is also the error's text. */
int schema_check(const char *schema, const json_t *body, json_t *details, struct err *err) MUST_CHECK;

/* A message that carries an internal command: body {"paymentId","slot",...extra}, exchange acquit.cmd, routing key and `type` = type, message_id = id,
 * user_id = user, timestamp now. `extra` is borrowed, may be NULL. Clear with message_clear(). */
void command_message(const char *type, struct uuid id, struct uuid payment_id, const char *slot, const json_t *extra,
                     const char *user, struct message *ret);

/* Masks card numbers (13-19 digits with usual separators, Luhn, known prefixes) and the values of members that are named like a card number or a security
 * code ("cvv": "123") in place in raw bytes, which need not be JSON; returns how many (L11). */
size_t mask_card_numbers(char *bytes, size_t size);
/* The same in every text within a JSON value, and in the names of its members. */
void mask_card_numbers_json(json_t *value);
/* True when a JSON value carries something that looks like a card number, or a member named like a card number or CVV. *ret_field names it. */
bool carries_card_number(const json_t *value, char *ret_field, size_t ret_size);

#endif
