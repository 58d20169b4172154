/* transfers.c - see transfers.h */
#include "common/transfers.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"

struct transfers {
    struct loop *loop;
    CURLM *multi;
    struct loop_source *timer;
    bool (*ended)(void *arg, CURL *easy, CURLcode code);
    void *arg;
};

static void must(CURLMcode code)
{
    if (code != CURLM_OK)
        log_panic("libcurl: %s", curl_multi_strerror(code));
}

/* The transfers may be gone when it returns. */
static void drive(struct transfers *transfers, curl_socket_t fd, int events)
{
    int running, left;
    const CURLMsg *message;
    must(curl_multi_socket_action(transfers->multi, fd, events, &running));
    while ((message = curl_multi_info_read(transfers->multi, &left)) != NULL)
        if (!transfers->ended(transfers->arg, message->easy_handle, message->data.result))
            return;
}

static void on_timer(void *arg)
{
    drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

struct watched_socket {
    struct transfers *transfers;
    curl_socket_t fd;
    struct loop_source *source;
};

static void on_ready(void *arg, int events)
{
    const struct watched_socket *socket = arg;
    drive(socket->transfers, socket->fd,
          (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct transfers *transfers = arg;
    struct watched_socket *socket = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            loop_source_free(socket->source);
        free(socket);
        return 0;
    }
    int events = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
    if (socket) {
        loop_io_events(socket->source, events);
        return 0;
    }
    socket = mem_new(1, sizeof *socket);
    *socket = (struct watched_socket){.transfers = transfers, .fd = fd};
    socket->source = loop_io(transfers->loop, fd, events, on_ready, socket);
    curl_multi_assign(transfers->multi, fd, socket);
    return 0;
}

static int on_timeout(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    const struct transfers *transfers = arg;
    loop_timer_set(transfers->timer, timeout_ms);
    return 0;
}

struct transfers *transfers_new(struct loop *loop, bool (*ended)(void *arg, CURL *easy, CURLcode code), void *arg)
{
    CURLM *multi = curl_multi_init();
    if (!multi)
        return NULL;
    struct transfers *transfers = mem_new(1, sizeof *transfers);
    *transfers = (struct transfers){.loop = loop, .multi = multi, .ended = ended, .arg = arg};
    transfers->timer = loop_timer(loop, -1, on_timer, transfers);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, transfers);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, transfers);
    return transfers;
}

void transfers_free(struct transfers *transfers)
{
    if (!transfers)
        return;
    curl_multi_cleanup(transfers->multi); /* closes kept connections, and with them their sockets' sources */
    loop_source_free(transfers->timer);
    free(transfers);
}

CURLM *transfers_multi(const struct transfers *transfers)
{
    return transfers->multi;
}

void transfers_add(struct transfers *transfers, CURL *easy)
{
    must(curl_multi_add_handle(transfers->multi, easy));
}
