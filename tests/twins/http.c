/* http.c - the HTTP server of the twins: libmicrohttpd's glue, delays, and connections that are cut
 *
 * One epoll thread of libmicrohttpd serves all connections; a request that has to wait is suspended, and the timer's
 * thread resumes it, so nothing waits for anything else. A request goes READING -> (HELD ->) ENDING; only a HELD one
 * is touched by two threads, and libmicrohttpd does not run its handler or free it until it is resumed.
 *
 * Requests too large, or that cannot be parsed, are answered here (413, 400) and never reach a twin.
 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "callbacks.h"
#include "call.h"
#include "clock.h"
#include "routes.h"
#include "serve.h"
#include "timer.h"

enum {
    SILENCE_CHECK_MS = 200, /* how often a silent connection is looked at: has the client left? */
    TURN_CHECK_MS = 2,      /* how often it is looked whether another request was answered */
    SLOW_SLICES = 32,       /* pieces a slow body is cut into */
    BACKLOG = 1024,
};

enum phase { READING, ENDING };

struct request {
    struct MHD_Connection *connection;
    struct call *call; /* NULL after a late effect took it */
    enum phase phase;
    struct ending ending;
    bool served; /* serve_done is owed */
    bool too_large;
    int64_t wait_until; /* monotonic ms */
    uint64_t turn;      /* END_TURN: `answered` of its point when it was held */
    char *again;        /* END_TWICE: the answer as it goes over the wire; owned */
    bool held;          /* suspended: in the list, under held_lock */
    struct request *next, *previous;
};

/* A body that comes in slices. Suspends the connection between two of them. */
struct slow_body {
    struct request *request;
    size_t size;
    size_t slice;
    int64_t step_ms;
    int64_t next_at; /* monotonic ms */
    char bytes[];
};

static struct MHD_Daemon *server;
static atomic_bool stopping;
static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static struct request *held_requests;
static _Atomic uint64_t answered[POINT_COUNT];

/* ---- holding a connection ---- */

static void release(struct request *request)
{
    pthread_mutex_lock(&held_lock);
    bool was = request->held;
    request->held = false;
    if (was && request->previous)
        request->previous->next = request->next;
    else if (was)
        held_requests = request->next;
    if (was && request->next)
        request->next->previous = request->previous;
    if (was)
        MHD_resume_connection(request->connection);
    pthread_mutex_unlock(&held_lock);
}

static void release_later(void *with)
{
    release(with);
}

/* The client is gone when its side of the connection is closed or broken. */
static bool client_left(const struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char byte;
    if (!info)
        return true;
    ssize_t got = recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void watch_silence(void *with)
{
    struct request *request = with;
    bool over = client_left(request) || clock_monotonic_ms() >= request->wait_until;
    if (over || !timer_add(SILENCE_CHECK_MS, watch_silence, request))
        release(request);
}

static void watch_turn(void *with)
{
    struct request *request = with;
    bool over = atomic_load(&answered[request->call->route->at]) != request->turn ||
                clock_monotonic_ms() >= request->wait_until;
    if (over || !timer_add(TURN_CHECK_MS, watch_turn, request))
        release(request);
}

/* Suspends the connection until `wake` releases it. */
static void hold(struct request *request, int64_t delay_ms, void (*wake)(void *))
{
    MHD_suspend_connection(request->connection);
    pthread_mutex_lock(&held_lock);
    request->held = true;
    request->previous = NULL;
    request->next = held_requests;
    if (held_requests)
        held_requests->previous = request;
    held_requests = request;
    pthread_mutex_unlock(&held_lock);
    if (!timer_add(delay_ms, wake, request))
        release(request);
}

/* ---- ending a request ---- */

/* Breaks the connection so that the client sees a reset, not an orderly end: no bytes, no FIN. */
static void sever(const struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!info)
        return;
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    setsockopt(info->connect_fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    /* Linux: resets an established connection. Elsewhere it fails, and closing without lingering has to do. */
    (void)connect(info->connect_fd, &nobody, sizeof nobody);
}

static void owed_done(struct request *request, unsigned status)
{
    if (request->served && request->call)
        serve_done(request->call, status);
    if (request->served && request->call && status)
        atomic_fetch_add(&answered[request->call->route->at], 1);
    request->served = false;
}

static enum MHD_Result cut(struct request *request)
{
    owed_done(request, 0);
    sever(request);
    return MHD_NO;
}

static ssize_t read_slow_body(void *with, uint64_t position, char *to, size_t room)
{
    struct slow_body *body = with;
    int64_t now = clock_monotonic_ms();
    if (position >= body->size)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (now < body->next_at && !atomic_load(&stopping)) {
        hold(body->request, body->next_at - now, release_later);
        return 0;
    }
    body->next_at = now + body->step_ms;
    size_t size = body->size - (size_t)position;
    size = size < body->slice ? size : body->slice;
    size = size < room ? size : room;
    memcpy(to, body->bytes + position, size);
    return (ssize_t)size;
}

static struct MHD_Response *slow_response(struct request *request)
{
    const struct answer *answer = &request->call->answer;
    struct slow_body *body = memory_new(sizeof *body + answer->size);
    body->request = request;
    body->size = answer->size;
    body->slice = answer->size / SLOW_SLICES + 1;
    body->step_ms = request->ending.delay_ms / SLOW_SLICES;
    body->next_at = clock_monotonic_ms() + body->step_ms;
    memcpy(body->bytes, answer->body, answer->size);
    struct MHD_Response *response =
        MHD_create_response_from_callback(answer->size, body->slice, read_slow_body, body, free);
    if (!response)
        free(body);
    return response;
}

/* The first half; then the content ends before its length, and the connection with it. */
static ssize_t read_half_body(void *with, uint64_t position, char *to, size_t room)
{
    struct slow_body *body = with;
    if (position >= body->slice) {
        sever(body->request);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t size = body->slice - (size_t)position;
    size = size < room ? size : room;
    memcpy(to, body->bytes + position, size);
    return (ssize_t)size;
}

static struct MHD_Response *half_response(struct request *request)
{
    const struct answer *answer = &request->call->answer;
    struct slow_body *body = memory_new(sizeof *body + answer->size);
    body->request = request;
    body->size = answer->size;
    body->slice = answer->size / 2;
    memcpy(body->bytes, answer->body, answer->size);
    struct MHD_Response *response =
        MHD_create_response_from_callback(answer->size, answer->size, read_half_body, body, free);
    if (!response)
        free(body);
    return response;
}

static struct MHD_Response *response_of(struct request *request)
{
    const struct answer *answer = &request->call->answer;
    if (request->ending.how == END_PART && answer->size)
        return half_response(request);
    if (request->ending.how == END_SLOW && answer->size)
        return slow_response(request);
    return MHD_create_response_from_buffer(answer->size, answer->body, MHD_RESPMEM_MUST_COPY);
}

/* The whole answer as libmicrohttpd sends it, but for the date. */
static char *wire_of(const struct answer *answer)
{
    size_t room = answer->size + 256;
    for (size_t i = 0; i < answer->header_count; i++)
        room += strlen(answer->headers[i].name) + strlen(answer->headers[i].value) + 4;
    char *text = memory_new(room);
    int used = snprintf(text, room, "HTTP/1.1 %u Again\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n",
                        answer->status, answer->size);
    for (size_t i = 0; i < answer->header_count; i++)
        used +=
            snprintf(text + used, room - (size_t)used, "%s: %s\r\n", answer->headers[i].name, answer->headers[i].value);
    snprintf(text + used, room - (size_t)used, "\r\n%.*s", (int)answer->size, answer->body);
    return text;
}

/* Nobody waits for it: what of it does not go out at once does not matter. */
static void say_again(const struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info)
        (void)!send(info->connect_fd, request->again, strlen(request->again), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static enum MHD_Result respond(struct request *request)
{
    const struct answer *answer = &request->call->answer;
    struct MHD_Response *response = response_of(request);
    if (!response)
        return cut(request);
    bool good = MHD_add_response_header(response, "Content-Type", "application/json") == MHD_YES;
    for (size_t i = 0; i < answer->header_count; i++)
        good = good && MHD_add_response_header(response, answer->headers[i].name, answer->headers[i].value) == MHD_YES;
    if (request->ending.how == END_TWICE)
        request->again = wire_of(answer);
    owed_done(request, answer->status);
    enum MHD_Result result = good ? MHD_queue_response(request->connection, answer->status, response) : MHD_NO;
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result end(struct request *request)
{
    enum ending_how how = request->ending.how;
    bool answers = how != END_CUT && how != END_SILENT;
    return answers && request->call && !atomic_load(&stopping) ? respond(request) : cut(request);
}

/* ---- reading a request ---- */

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result add_query(void *with, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    struct call *call = with;
    if (!name || !form_add(&call->form, name, value))
        call->form_bad = true;
    return MHD_YES;
}

/* A copy of what fits, with ? for every byte that is not printable ASCII, so that it can go into JSON. False: did not
 * fit. */
static bool copy_printable(char *to, size_t size, const char *from)
{
    bool fits = text_copy(to, size, from);
    for (; *to; to++) {
        if (*to < ' ' || *to > '~')
            *to = '?';
    }
    return fits;
}

static void read_headers(struct call *call, struct MHD_Connection *connection)
{
    copy_printable(call->authorization, sizeof call->authorization, header_of(connection, "Authorization"));
    copy_printable(call->key, sizeof call->key, header_of(connection, "Idempotency-Key"));
    if (!call->key[0])
        copy_printable(call->key, sizeof call->key, header_of(connection, "PayPal-Request-Id"));
    copy_printable(call->webhook_id, sizeof call->webhook_id, header_of(connection, "webhook-id"));
    copy_printable(call->webhook_timestamp, sizeof call->webhook_timestamp, header_of(connection, "webhook-timestamp"));
    copy_printable(call->webhook_signature, sizeof call->webhook_signature, header_of(connection, "webhook-signature"));
}

static struct request *request_new(struct MHD_Connection *connection, const char *method, const char *path)
{
    struct request *request = memory_new(sizeof *request);
    request->connection = connection;
    request->call = call_new();
    if (!copy_printable(request->call->path, sizeof request->call->path, path))
        request->too_large = true;
    copy_printable(request->call->method, sizeof request->call->method, method);
    read_headers(request->call, connection);
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_query, request->call);
    return request;
}

/* Beyond the limit the rest is read and thrown away, so that the client can be told. */
static void add_body(struct request *request, const char *bytes, size_t size)
{
    struct call *call = request->call;
    if (request->too_large || call->raw_size + size > LIMIT_BODY_BYTES) {
        request->too_large = true;
        return;
    }
    call->raw = memory_grow(call->raw, call->raw_size + size + 1);
    memcpy(call->raw + call->raw_size, bytes, size);
    call->raw_size += size;
    call->raw[call->raw_size] = '\0';
}

static void parse_body(struct call *call)
{
    if (call->route->body == BODY_FORM && call->raw && !form_parse(&call->form, call->raw, call->raw_size))
        call->form_bad = true;
    if (call->route->body == BODY_JSON && call->raw)
        call->json = json_loadb(call->raw, call->raw_size, JSON_REJECT_DUPLICATES, NULL);
}

/* The request is complete: what is to become of it? */
static void begin(struct request *request)
{
    request->phase = ENDING;
    request->ending = (struct ending){.how = END_ANSWER};
    if (request->too_large) {
        answer_error(request->call, 413, "too_large");
        return;
    }
    if (!routes_find(request->call)) {
        answer_error(request->call, 404, "not_found");
        return;
    }
    parse_body(request->call);
    request->served = true;
    request->ending = serve(&request->call);
}

static enum MHD_Result finish_reading(struct request *request)
{
    begin(request);
    if (atomic_load(&stopping))
        return cut(request);
    if (request->ending.how == END_SILENT) {
        request->wait_until = clock_monotonic_ms() + request->ending.delay_ms;
        hold(request, SILENCE_CHECK_MS, watch_silence);
        return MHD_YES;
    }
    if (request->ending.how == END_TURN) {
        request->wait_until = clock_monotonic_ms() + request->ending.delay_ms;
        request->turn = atomic_load(&answered[request->call->route->at]);
        hold(request, TURN_CHECK_MS, watch_turn);
        return MHD_YES;
    }
    if (request->ending.delay_ms > 0 && request->ending.how != END_SLOW) {
        hold(request, request->ending.delay_ms, release_later);
        return MHD_YES;
    }
    return end(request);
}

/* libmicrohttpd calls this at the first line, for each piece of the body, at its end, and again after a resume. */
static enum MHD_Result on_request(void *unused, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *bytes, size_t *size, void **with)
{
    (void)unused;
    (void)version;
    struct request *request = *with;
    if (!request) {
        *with = request_new(connection, method, path);
        return MHD_YES;
    }
    if (*size) {
        add_body(request, bytes, *size);
        *size = 0;
        return MHD_YES;
    }
    return request->phase == READING ? finish_reading(request) : end(request);
}

static void on_completed(void *unused, struct MHD_Connection *connection, void **with,
                         enum MHD_RequestTerminationCode how)
{
    (void)unused;
    (void)connection;
    struct request *request = *with;
    *with = NULL;
    if (!request)
        return;
    if (request->again && how == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        say_again(request);
    free(request->again);
    owed_done(request, 0);
    call_free(request->call);
    free(request);
}

/* ---- the server ---- */

/* Every connection is a descriptor. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

uint16_t http_start(uint16_t port)
{
    raise_descriptor_limit();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME; /* no error log: cut connections would fill it */
    server =
        MHD_start_daemon(flags, port, NULL, NULL, on_request, NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)LIMIT_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned)LIMIT_IDLE_SECONDS, MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)BACKLOG,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = server ? MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info) {
        fprintf(stderr, "acquit-twins: cannot listen on 127.0.0.1:%u: %s\n", (unsigned)port, strerror(errno));
        return 0;
    }
    return info->port;
}

void http_stop(void)
{
    atomic_store(&stopping, true);
    callbacks_stop();
    timer_stop(); /* from here on nobody else releases */
    for (;;) {
        pthread_mutex_lock(&held_lock);
        struct request *request = held_requests;
        pthread_mutex_unlock(&held_lock);
        if (!request)
            break;
        release(request);
    }
    if (server)
        MHD_stop_daemon(server);
}
