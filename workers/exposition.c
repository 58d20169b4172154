/* exposition.c - GET /metrics on a port of its own, for every program
 *
 * libmicrohttpd without threads: its epoll descriptor is one source of our loop, its next deadline one timer. Every
 * request is answered at once.
 */
#include "workers/exposition.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/metrics.h"

enum { IDLE_S = 30, TIMER_MAX_MS = 60 * 1000 };

struct exposition {
    struct MHD_Daemon *daemon;
    struct loop_source *io, *timer;
    void (*refresh)(void *arg);
    void *arg;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type, char *text,
                              size_t size)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response); /* the queue holds it until it is sent */
    return result;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *bytes, size_t *size, void **own)
{
    (void)version;
    (void)bytes;
    static int
        head_read; /* its address marks a request whose head was seen: nothing is answered before its body is through */
    struct exposition *exposition = arg;
    if (!*own || *size) {
        *own = &head_read;
        *size = 0;
        return MHD_YES;
    }
    static const char nothing[] = "only GET /metrics is here\n";
    bool known = strcmp(url, "/metrics") == 0 && (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0);
    if (!known)
        return answer(connection, MHD_HTTP_NOT_FOUND, "text/plain", mem_text(nothing), sizeof nothing - 1);
    if (exposition->refresh)
        exposition->refresh(exposition->arg);
    size_t length;
    char *text = metrics_text(&length);
    return answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text, length);
}

static void turn(void *arg)
{
    struct exposition *exposition = arg;
    MHD_run(exposition->daemon);
    MHD_UNSIGNED_LONG_LONG ms;
    bool due = MHD_get_timeout(exposition->daemon, &ms) == MHD_YES;
    loop_timer_set(exposition->timer, due ? (ms < TIMER_MAX_MS ? (int64_t)ms : TIMER_MAX_MS) : -1);
}

static void on_ready(void *arg, int events)
{
    (void)events;
    turn(arg);
}

static struct MHD_Daemon *start(struct exposition *exposition, const char *address, int port, struct err *err)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = {0};
    unsigned flags = MHD_USE_EPOLL;
    if (inet_pton(AF_INET, address, &at.v4.sin_addr) == 1) {
        at.v4.sin_family = AF_INET;
        at.v4.sin_port = htons((uint16_t)port);
    } else if (inet_pton(AF_INET6, address, &at.v6.sin6_addr) == 1) {
        at.v6.sin6_family = AF_INET6;
        at.v6.sin6_port = htons((uint16_t)port);
        flags |= MHD_USE_IPv6;
    } else {
        err_set(err, ERR_CONFIG, "%s is no IP address to listen on; write one like 127.0.0.1 or ::1", address);
        return NULL;
    }
    struct MHD_Daemon *daemon =
        MHD_start_daemon(flags, (uint16_t)port, NULL, NULL, on_access, exposition, MHD_OPTION_SOCK_ADDR, &at.any,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)EXPOSITION_CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_END);
    if (!daemon)
        err_set(err, ERR_AGAIN, "cannot serve metrics on %s port %d: %s", address, port, strerror(errno));
    return daemon;
}

struct exposition *exposition_new(struct loop *loop, const char *address, int port, void (*refresh)(void *arg),
                                  void *arg, struct err *err)
{
    struct exposition *exposition = mem_new(1, sizeof *exposition);
    *exposition = (struct exposition){.refresh = refresh, .arg = arg};
    exposition->daemon = start(exposition, address, port, err);
    if (!exposition->daemon) {
        free(exposition);
        return NULL;
    }
    int fd = MHD_get_daemon_info(exposition->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    exposition->timer = loop_timer(loop, 0, turn, exposition);
    exposition->io = loop_io(loop, fd, LOOP_READ, on_ready, exposition);
    return exposition;
}

void exposition_free(struct exposition *exposition)
{
    if (!exposition)
        return;
    loop_source_free(exposition->io);
    loop_source_free(exposition->timer);
    MHD_stop_daemon(exposition->daemon);
    free(exposition);
}
