/* url.h - amqp://user:password@host:port/vhost, taken apart (internal to queues/)
 *
 * As RabbitMQ's URI specification has it: percent-encoding in user, password, host and vhost; no path means vhost "/". Of the query, cacertfile, certfile
 * and keyfile are known (amqps only); anything else is refused, so that a misspelt setting is not silently without effect.
 */
#ifndef ACQUIT_QUEUES_URL_H
#define ACQUIT_QUEUES_URL_H

#include <stdbool.h>

#include "common/err.h"

enum { AMQP_PORT = 5672, AMQPS_PORT = 5671 };

struct amqp_url {
    bool tls;
    char *user, *password, *host, *vhost;
    int port;
    char *ca_file, *certificate_file, *key_file; /* NULL: not given */
};

/* ERR_INVALID; the text does not repeat the URL, which holds a password. Free with amqp_url_clear() in any case. */
int amqp_url_parse(const char *text, struct amqp_url *ret, struct err *err) MUST_CHECK;
void amqp_url_clear(struct amqp_url *url);

#endif
