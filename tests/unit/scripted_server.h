/* scripted_server.h - an HTTP server inside the test's own loop that says what it was told to say
 *
 * For tests of the providers: single-threaded, so that a request, its answer and what follows come in one order. It
 * keeps what it was asked, byte for byte. A mistake of the test (no reply for a request, too many requests) ends the
 * test.
 */
#ifndef TESTS_UNIT_SCRIPTED_SERVER_H
#define TESTS_UNIT_SCRIPTED_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/loop.h"

enum { SCRIPT_REQUESTS_MAX = 64, SCRIPT_REQUEST_SIZE = 16384, SCRIPT_REPLIES_MAX = 64 };

enum script_how { SCRIPT_ANSWER, SCRIPT_CLOSE, SCRIPT_HANG };

struct script_reply {
    const char *to; /* stands in the request's first line */
    int status;
    const char *body;
    const char *header; /* one more, "Name: value"; or NULL */
    enum script_how how;
    int times;        /* how often; 0: for ever */
    int64_t delay_ms; /* before it is said */
};

struct script_connection {
    struct scripted_server *server;
    int fd;
    struct loop_source *source, *timer;
    struct script_reply reply;
    char *text;
    size_t size;
};

struct scripted_server {
    struct loop *loop;
    int fd, port;
    struct loop_source *source;
    struct script_reply replies[SCRIPT_REPLIES_MAX];
    size_t reply_count;
    char *requests[SCRIPT_REQUESTS_MAX]; /* whole */
    size_t request_count;
    struct script_connection *connections[SCRIPT_REQUESTS_MAX];
    size_t connection_count;
};

static inline void script_fail(const char *why, const char *request)
{
    fprintf(stderr, "scripted server: %s: %.200s\n", why, request);
    abort();
}

/* Replies are tried in the order they were added. */
static inline void script_add(struct scripted_server *server, struct script_reply reply)
{
    if (server->reply_count == SCRIPT_REPLIES_MAX)
        script_fail("too many replies", reply.to);
    if (reply.times == 0)
        reply.times = -1;
    server->replies[server->reply_count++] = reply;
}

static inline void script_hang_up(struct script_connection *connection)
{
    loop_source_free(connection->source);
    loop_source_free(connection->timer);
    connection->source = connection->timer = NULL;
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}

/* Forgets what was said and asked, and hangs up on who is still there. */
static inline void script_clear(struct scripted_server *server)
{
    for (size_t i = 0; i < server->connection_count; i++) {
        script_hang_up(server->connections[i]);
        free(server->connections[i]->text);
        free(server->connections[i]);
    }
    for (size_t i = 0; i < server->request_count; i++)
        free(server->requests[i]);
    server->connection_count = server->request_count = server->reply_count = 0;
}

static inline struct script_reply script_find(struct scripted_server *server, const char *request)
{
    char line[1024];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(request, "\r"), request);
    for (size_t i = 0; i < server->reply_count; i++) {
        struct script_reply *reply = &server->replies[i];
        if (reply->times == 0 || !strstr(line, reply->to))
            continue;
        reply->times -= reply->times > 0;
        return *reply;
    }
    script_fail("no reply for", line);
    abort();
}

static inline void script_say(void *arg)
{
    struct script_connection *connection = arg;
    const struct script_reply *reply = &connection->reply;
    if (reply->how == SCRIPT_ANSWER) {
        const char *body = reply->body ? reply->body : "";
        char head[512];
        snprintf(head, sizeof head,
                 "HTTP/1.1 %d Said\r\nRequest-Id: req_test\r\n%s%sConnection: close\r\nContent-Length: %zu\r\n\r\n",
                 reply->status, reply->header ? reply->header : "", reply->header ? "\r\n" : "", strlen(body));
        (void)!send(connection->fd, head, strlen(head), MSG_NOSIGNAL);
        (void)!send(connection->fd, body, strlen(body), MSG_NOSIGNAL);
    }
    script_hang_up(connection);
}

static inline void script_serve(struct script_connection *connection)
{
    struct scripted_server *server = connection->server;
    if (server->request_count == SCRIPT_REQUESTS_MAX)
        script_fail("too many requests", connection->text);
    server->requests[server->request_count++] = strdup(connection->text);
    connection->reply = script_find(server, connection->text);
    if (connection->reply.how == SCRIPT_HANG || connection->reply.delay_ms)
        loop_io_events(connection->source, 0);
    if (connection->reply.delay_ms)
        connection->timer = loop_timer(server->loop, connection->reply.delay_ms, script_say, connection);
    else if (connection->reply.how != SCRIPT_HANG)
        script_say(connection);
}

static inline bool script_is_whole(const char *text, size_t size)
{
    const char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\nContent-Length: ");
    size_t body = length && end && length < end ? (size_t)atoi(length + 18) : 0;
    return end && size >= (size_t)(end - text) + 4 + body;
}

static inline void script_on_read(void *arg, int events)
{
    (void)events;
    struct script_connection *connection = arg;
    ssize_t n =
        recv(connection->fd, connection->text + connection->size, SCRIPT_REQUEST_SIZE - 1 - connection->size, 0);
    if (n <= 0) {
        script_hang_up(connection);
        return;
    }
    connection->size += (size_t)n;
    connection->text[connection->size] = '\0';
    if (script_is_whole(connection->text, connection->size))
        script_serve(connection);
}

static inline void script_on_accept(void *arg, int events)
{
    (void)events;
    struct scripted_server *server = arg;
    int fd = accept(server->fd, NULL, NULL);
    if (fd < 0 || server->connection_count == SCRIPT_REQUESTS_MAX)
        script_fail("cannot accept", "");
    struct script_connection *connection = calloc(1, sizeof *connection);
    connection->server = server;
    connection->fd = fd;
    connection->text = calloc(1, SCRIPT_REQUEST_SIZE);
    connection->source = loop_io(server->loop, fd, LOOP_READ, script_on_read, connection);
    server->connections[server->connection_count++] = connection;
}

static inline void script_open(struct scripted_server *server, struct loop *loop)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *server = (struct scripted_server){.loop = loop, .fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (bind(server->fd, (struct sockaddr *)&address, size) != 0 || listen(server->fd, 64) != 0 ||
        getsockname(server->fd, (struct sockaddr *)&address, &size) != 0)
        script_fail("cannot listen", "");
    server->port = ntohs(address.sin_port);
    server->source = loop_io(loop, server->fd, LOOP_READ, script_on_accept, server);
}

static inline void script_close(struct scripted_server *server)
{
    script_clear(server);
    loop_source_free(server->source);
    close(server->fd);
}

/* Turns the loop until *condition, at most ten seconds. */
static inline bool script_wait(struct loop *loop, const bool *condition)
{
    for (int64_t until = clock_monotonic_ms() + 10000; !*condition && clock_monotonic_ms() < until;)
        if (loop_turn(loop, 50) != 0)
            return false;
    return *condition;
}

#endif
