/* server.h - an HTTP server inside our loop; server.c is the only file of the ingress that includes microhttpd.h
 *
 * Life of a request: head read -> on_head (may refuse) -> body read -> on_request -> answered, then or later -> sent ->
 * on_done. Each request is answered exactly once with request_answer(); until then its connection sleeps and costs
 * nothing. A refusal given in on_head is sent only after the body was read and thrown away, so that the connection
 * stays usable, except for a body that is too large: that connection is closed.
 *
 * Bounds: connections, bytes of a body, seconds of silence. A client that goes away while its request waits is noticed
 * when it is answered.
 */
#ifndef ACQUIT_WORKERS_INGRESS_SERVER_H
#define ACQUIT_WORKERS_INGRESS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"
#include "workers/ingress/answer.h"

struct server;
struct request;

struct server_options {
    const char *address; /* "127.0.0.1", "::1" */
    int port;            /* 0: any free one, see server_port() */
    size_t body_max;     /* bytes */
    int connections_max;
    int idle_s;                                          /* a connection that is silent for so long is closed */
    void (*on_head)(void *arg, struct request *request); /* may be NULL */
    void (*on_request)(void *arg, struct request *request);
    void (*on_done)(void *arg, struct request *request,
                    int status); /* after the last byte, status 0: cut off; may be NULL */
    void *arg;
};

/* NULL when the address is in use or cannot be read (ERR_AGAIN, ERR_CONFIG). */
struct server *server_new(struct loop *loop, const struct server_options *options, struct err *err) MUST_CHECK;
/* Requests without an answer are cut off. Accepts NULL. */
void server_free(struct server *server);
int server_port(const struct server *server);

/* Takes no further connections, and closes each after its answer. */
void server_quiesce(struct server *server);
/* Requests between their head and their last byte. */
size_t server_requests(const struct server *server);

const char *request_method(const struct request *request);
const char *request_path(const struct request *request); /* percent-decoded, without the query */
/* Borrowed; NULL when absent. */
const char *request_header(const struct request *request, const char *name);
const char *request_query(const struct request *request, const char *name);
const char *request_body(const struct request *request, size_t *ret_size); /* never NULL; NUL-terminated */
int64_t request_started_ms(const struct request *request);                 /* monotonic */

/* Hangs memory of the owner's on the request; freed with free() when the request ends. */
void request_set_own(struct request *request, void *own);
void *request_own(const struct request *request);

/* Takes the answer over. To be called once, from the loop, at any time from on_head on; after it only on_done() may use
 * the request. */
void request_answer(struct request *request, struct answer answer);

#endif
