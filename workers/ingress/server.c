/* server.c - an HTTP server inside our loop
 *
 * libmicrohttpd runs without threads: its epoll descriptor is one source of our loop, its next deadline one timer. A
 * request that cannot be answered at once is suspended; request_answer() resumes it, and the library then calls
 * on_access() again, which finds the answer.
 */
#include "workers/ingress/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

enum {
    CONNECTION_MEMORY = 32 * 1024, /* bytes for the head of a request; a longer one is answered 431 */
    DISCARD_MAX = 4, /* times body_max: what is read of a body that is refused anyway, before the connection is cut */
    TIMER_MAX_MS = 60 * 1000,
};

struct server {
    struct server_options options;
    struct loop *loop;
    struct MHD_Daemon *daemon;
    struct loop_source *io, *timer;
    int port;
    bool quiesced, closing;
    struct request *requests;
    size_t count;
};

struct request {
    struct server *server;
    struct MHD_Connection *connection;
    char *method, *path;
    char *body; /* NUL-terminated */
    size_t size, capacity;
    size_t discarded;
    bool passed_on; /* on_request() was called */
    bool suspended;
    bool sent;
    struct answer answer; /* status != 0: answered */
    int status;           /* of the answer, for on_done */
    void *own;
    int64_t started_ms;
    struct request *next, *previous;
};

/* -- requests */

static struct request *request_new(struct server *server, struct MHD_Connection *connection, const char *method,
                                   const char *path)
{
    struct request *request = mem_new(1, sizeof *request);
    *request = (struct request){.server = server, .connection = connection, .started_ms = clock_monotonic_ms()};
    request->method = mem_text(method);
    request->path = mem_text(path);
    request->next = server->requests;
    if (request->next)
        request->next->previous = request;
    server->requests = request;
    server->count++;
    return request;
}

static void request_free(struct request *request)
{
    struct server *server = request->server;
    if (request->next)
        request->next->previous = request->previous;
    if (request->previous)
        request->previous->next = request->next;
    else
        server->requests = request->next;
    server->count--;
    answer_clear(&request->answer);
    free(request->method);
    free(request->path);
    free(request->body);
    free(request->own);
    free(request);
}

const char *request_method(const struct request *request)
{
    return request->method;
}

const char *request_path(const struct request *request)
{
    return request->path;
}

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *request_query(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *request_body(const struct request *request, size_t *ret_size)
{
    *ret_size = request->size;
    return request->body ? request->body : "";
}

int64_t request_started_ms(const struct request *request)
{
    return request->started_ms;
}

void request_set_own(struct request *request, void *own)
{
    free(request->own);
    request->own = own;
}

void *request_own(const struct request *request)
{
    return request->own;
}

void request_answer(struct request *request, struct answer answer)
{
    if (request->answer.status)
        log_panic("a request is answered twice: %s %s", request->method, request->path);
    request->answer = answer;
    if (!request->suspended)
        return; /* inside on_access(), which sends it */
    request->suspended = false;
    MHD_resume_connection(request->connection);
    loop_timer_set(request->server->timer, 0);
}

/* -- sending */

static char *answer_bytes(struct answer *answer)
{
    if (!answer->json) {
        char *text = answer->text;
        answer->text = NULL;
        return text ? text : mem_text("");
    }
    char *text = json_dumps(answer->json, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (!text)
        log_panic("an answer cannot be encoded");
    return text;
}

static void add_headers(struct MHD_Response *response, const struct request *request)
{
    const struct answer *answer = &request->answer;
    MHD_add_response_header(response, "Content-Type", answer->json ? "application/json" : answer->content_type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    for (size_t i = 0; i < answer->header_count; i++)
        MHD_add_response_header(response, answer->headers[i].name, answer->headers[i].value);
    if (request->server->quiesced)
        MHD_add_response_header(response, "Connection", "close");
}

static enum MHD_Result send_answer(struct request *request)
{
    char *bytes = answer_bytes(&request->answer);
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(bytes), bytes, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(bytes);
        return MHD_NO;
    }
    add_headers(response, request);
    request->status = request->answer.status;
    enum MHD_Result result = MHD_queue_response(request->connection, (unsigned)request->status, response);
    MHD_destroy_response(response); /* the queue holds it until it is sent */
    answer_clear(&request->answer);
    request->answer.status = request->status;
    request->sent = true;
    return result;
}

/* -- receiving */

static void refuse_size(struct request *request)
{
    size_t most = request->server->options.body_max;
    answer_clear(&request->answer);
    request->answer = answer_failure(FAILURE_TOO_LARGE, "the body may have %zu bytes at most; send less", most);
}

static bool declared_too_large(const struct request *request)
{
    const char *length = request_header(request, "Content-Length");
    return length && strtoull(length, NULL, 10) > request->server->options.body_max;
}

static enum MHD_Result on_head(struct request *request)
{
    const struct server_options *options = &request->server->options;
    if (options->on_head)
        options->on_head(options->arg, request);
    if (!declared_too_large(request))
        return MHD_YES;
    if (!request->answer.status)
        refuse_size(request);
    return send_answer(request);
}

static void keep_bytes(struct request *request, const char *bytes, size_t size)
{
    size_t needed = request->size + size + 1;
    if (needed > request->capacity) {
        request->capacity = needed > 2 * request->capacity ? needed : 2 * request->capacity;
        request->body = mem_grow(request->body, request->capacity, 1);
    }
    memcpy(request->body + request->size, bytes, size);
    request->size += size;
    request->body[request->size] = 0;
}

/* A piece of the body. No answer can be sent before the last one is in. */
static enum MHD_Result on_bytes(struct request *request, const char *bytes, size_t size)
{
    size_t most = request->server->options.body_max;
    if (!request->answer.status && request->size + size > most)
        refuse_size(request);
    if (!request->answer.status) {
        keep_bytes(request, bytes, size);
        return MHD_YES;
    }
    request->discarded += size;
    return request->discarded > DISCARD_MAX * most ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_complete(struct request *request)
{
    struct server *server = request->server;
    if (!request->answer.status && !request->passed_on) {
        request->passed_on = true;
        server->options.on_request(server->options.arg, request);
    }
    if (request->answer.status)
        return send_answer(request);
    if (server->closing)
        return MHD_NO;
    request->suspended = true;
    MHD_suspend_connection(request->connection);
    return MHD_YES;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *bytes, size_t *size, void **own)
{
    (void)version;
    struct request *request = *own;
    if (!request) {
        *own = request = request_new(arg, connection, method, url);
        return on_head(request);
    }
    if (*size == 0)
        return on_complete(request);
    size_t taken = *size;
    *size = 0;
    return on_bytes(request, bytes, taken);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **own, enum MHD_RequestTerminationCode code)
{
    (void)connection;
    struct server *server = arg;
    struct request *request = *own;
    if (!request)
        return; /* its head was never whole */
    bool whole = code == MHD_REQUEST_TERMINATED_COMPLETED_OK && request->sent;
    if (server->options.on_done)
        server->options.on_done(server->options.arg, request, whole ? request->status : 0);
    *own = NULL;
    request_free(request);
}

/* -- the loop */

static void turn(struct server *server)
{
    MHD_run(server->daemon);
    MHD_UNSIGNED_LONG_LONG ms;
    bool due = MHD_get_timeout(server->daemon, &ms) == MHD_YES;
    loop_timer_set(server->timer, due ? (ms < TIMER_MAX_MS ? (int64_t)ms : TIMER_MAX_MS) : -1);
}

static void on_ready(void *arg, int events)
{
    (void)events;
    turn(arg);
}

static void on_due(void *arg)
{
    turn(arg);
}

__attribute__((format(printf, 2, 0))) static void on_library_log(void *arg, const char *fmt, va_list args)
{
    (void)arg;
    char line[ERR_TEXT_MAX];
    vsnprintf(line, sizeof line, fmt, args);
    line[strcspn(line, "\r\n")] = 0;
    log_debug("http: %s", line);
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int read_address(const char *text, int port, union address *ret, struct err *err)
{
    *ret = (union address){0};
    if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons((uint16_t)port);
        return 0;
    }
    if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons((uint16_t)port);
        return 0;
    }
    return err_set(err, ERR_CONFIG, "%s is no IP address to listen on; write one like 127.0.0.1, 0.0.0.0 or ::1", text);
}

static struct MHD_Daemon *start(struct server *server, const union address *address)
{
    const struct server_options *options = &server->options;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (address->any.sa_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    return MHD_start_daemon(flags, (uint16_t)options->port, NULL, NULL, on_access, server, MHD_OPTION_EXTERNAL_LOGGER,
                            on_library_log, NULL, MHD_OPTION_SOCK_ADDR, &address->any, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)options->connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)options->idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_END);
}

struct server *server_new(struct loop *loop, const struct server_options *options, struct err *err)
{
    union address address;
    if (read_address(options->address, options->port, &address, err) < 0)
        return NULL;
    struct server *server = mem_new(1, sizeof *server);
    *server = (struct server){.options = *options, .loop = loop};
    server->daemon = start(server, &address);
    if (!server->daemon) {
        err_set(err, ERR_AGAIN, "cannot listen on %s port %d: %s", options->address, options->port, strerror(errno));
        free(server);
        return NULL;
    }
    server->port = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    int fd = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    server->timer = loop_timer(loop, 0, on_due, server);
    server->io = loop_io(loop, fd, LOOP_READ, on_ready, server);
    return server;
}

int server_port(const struct server *server)
{
    return server->port;
}

size_t server_requests(const struct server *server)
{
    return server->count;
}

void server_quiesce(struct server *server)
{
    if (server->quiesced)
        return;
    server->quiesced = true;
    MHD_socket listener = MHD_quiesce_daemon(server->daemon);
    if (listener != MHD_INVALID_SOCKET)
        close(listener);
}

/* The library must not be stopped while connections sleep: they are woken, find no answer, and are cut off. */
void server_free(struct server *server)
{
    if (!server)
        return;
    server->closing = true;
    loop_source_free(server->io);
    server_quiesce(server);
    for (struct request *request = server->requests; request; request = request->next) {
        if (request->suspended)
            MHD_resume_connection(request->connection);
        request->suspended = false;
    }
    MHD_run(server->daemon);
    MHD_stop_daemon(server->daemon);
    loop_source_free(server->timer);
    free(server);
}
