/* amqp_properties.h - message properties and header tables, to and from librabbitmq's types (for amqp.c only) */
#ifndef ACQUIT_QUEUES_AMQP_PROPERTIES_H
#define ACQUIT_QUEUES_AMQP_PROPERTIES_H

#include <amqp.h>
#include <amqp_framing.h>

#include "common/err.h"
#include "queues/message.h"

/* Fills the properties and headers of *ret; copies everything. Never fails: what AMQP has beyond JSON becomes text. */
void properties_read(const amqp_basic_properties_t *properties, struct message *ret);
/* The other way; the bytes are the message's own, tables live in `pool`. ERR_INVALID names what AMQP cannot carry. */
int properties_write(const struct message *message, amqp_pool_t *pool, amqp_basic_properties_t *ret,
                     struct err *err) MUST_CHECK;

/* Arguments of a declaration, from a JSON object. */
int table_write(const json_t *object, amqp_pool_t *pool, amqp_table_t *ret, struct err *err) MUST_CHECK;

amqp_bytes_t text_bytes(const char *text); /* borrowed; NULL gives no bytes */

#endif
