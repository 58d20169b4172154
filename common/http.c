/* http.c - HTTP requests from inside the loop (libcurl's multi interface)
 *
 * What the answer says about money rests on one callback: libcurl calls `on_ready_to_send` after the connection stands
 * (TLS included) and before the first byte of the request. A transfer that ends without it was surely not sent; after
 * it, any failure is unknown (L6).
 *
 * libcurl repeats a request by itself when a kept connection turns out to be closed before any answer came. A
 * repetition passes the same callback, so we see it: for a method that is not idempotent (RFC 9110, 9.2.2) the second
 * passage is refused and the outcome is unknown, so that a POST leaves this process at most once per http_start(). GET,
 * HEAD, PUT and DELETE are let through.
 *
 * A kept connection on which something waits to be read is not used: it would be taken for the answer to what we send (libcurl 7.88 takes such a connection for
 * alive). The request goes out on a fresh one.
 *
 * HTTP/1.1 only, one request per connection at a time: no stream is ever refused half-way for another's sake.
 */
#include "common/http.h"

#include <ctype.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/transfers.h"

enum {
    HTTP_CALLS_MAX = 2048,                       /* under way in a process; beyond: ERR_LIMIT */
    HTTP_CONNECTIONS_MAX = 512,                  /* in all, kept ones included */
    HTTP_SOCKETS_MAX = 2 * HTTP_CONNECTIONS_MAX, /* a connection may try two addresses at once */
    HTTP_HOST_CONNECTIONS_MAX =
        256, /* to one host and port: a full batch at once; further calls wait, inside their timeout */
    HTTP_CONNECT_TIMEOUT_MS = 3000, /* name, TCP and TLS together */
    HTTP_DEADLINE_GRACE_MS = 20,    /* our own deadline comes this much after libcurl's */
    HTTP_CONNECTION_IDLE_S = 30,    /* a connection unused for longer is not used again */
    HTTP_HEADER_BYTES_MAX = 64 * 1024,
    HTTP_REQUEST_ID_MAX = 128,
    HTTP_RETRY_AFTER_MAX_S = 86400,
    HTTP_METHOD_MAX = 16,
    HTTP_BODY_FIRST = 4096, /* first size of an answer's buffer */
};

/* One of libcurl's, from its creation to its end. */
struct open_socket {
    curl_socket_t fd;
    int port; /* ours; 0: not looked up yet */
};

struct http {
    struct loop *loop;
    struct open_socket sockets[HTTP_SOCKETS_MAX];
    int socket_count;
    struct transfers *transfers;
    struct http_call *calls;
    int count;
};

struct http_call {
    struct http *http;
    struct http_call *previous, *next;
    CURL *easy;
    struct curl_slist *headers;
    void (*done)(void *arg, const struct http_answer *answer);
    void *arg;
    int64_t started_ms, timeout_ms;
    struct loop_source *deadline;
    char *body; /* of the answer, always with room for a NUL after it */
    size_t body_size, body_room, header_bytes;
    const char *refused; /* why we ended the transfer ourselves, or NULL */
    bool idempotent, sent;
    bool unclean;         /* nothing was sent: the kept connection held what nobody had asked for, or was closed */
    bool header_complete; /* the empty line after the header has come */
    char error[CURL_ERROR_SIZE];
};

static bool is_idempotent(const char *method)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(method, methods[i]) == 0)
            return true;
    return false;
}

/* libcurl's callbacks */

static int on_opened(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)purpose;
    struct http *http = arg;
    if (http->socket_count == HTTP_SOCKETS_MAX)
        return CURL_SOCKOPT_ERROR;
    http->sockets[http->socket_count++] = (struct open_socket){.fd = fd};
    return CURL_SOCKOPT_OK;
}

static int on_closed(void *arg, curl_socket_t fd)
{
    struct http *http = arg;
    for (int i = 0; i < http->socket_count; i++)
        if (http->sockets[i].fd == fd) {
            http->sockets[i] = http->sockets[--http->socket_count];
            break;
        }
    return close(fd);
}

static int port_of(curl_socket_t fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;
    socklen_t size = sizeof at;
    memset(&at, 0, sizeof at);
    if (getsockname(fd, &at.any, &size) != 0)
        return 0;
    return at.any.sa_family == AF_INET6 ? ntohs(at.v6.sin6_port) : ntohs(at.v4.sin_port);
}

/* libcurl tells the port of the connection that it chose, not its socket. */
static curl_socket_t socket_of(struct http *http, int port)
{
    for (int i = 0; i < http->socket_count; i++) {
        struct open_socket *one = &http->sockets[i];
        if (one->port == 0)
            one->port = port_of(one->fd);
        if (one->port == port)
            return one->fd;
    }
    return CURL_SOCKET_BAD;
}

/* Before anything is sent, nothing can be for us. (A connection just made may already bear TLS tickets.) */
static bool is_unclean(struct http_call *call, int port)
{
    long connects = 1;
    if (curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects) != CURLE_OK || connects > 0)
        return false;
    struct pollfd socket = {.fd = socket_of(call->http, port), .events = POLLIN};
    return socket.fd == CURL_SOCKET_BAD || poll(&socket, 1, 0) != 0;
}

static int on_ready_to_send(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    (void)ip, (void)local_ip, (void)port;
    struct http_call *call = arg;
    if (call->sent && !call->idempotent) {
        call->refused = "the server closed the kept connection before it answered";
        return CURL_PREREQFUNC_ABORT;
    }
    /* A call that waited for a connection gets one when others end, often at the very moment its own time is over. */
    if (clock_monotonic_ms() - call->started_ms >= call->timeout_ms) {
        call->refused = "no connection was free in time";
        return CURL_PREREQFUNC_ABORT;
    }
    if (is_unclean(call, local_port)) {
        call->refused = "something unasked for waits on the kept connection";
        call->unclean = true;
        return CURL_PREREQFUNC_ABORT;
    }
    call->sent = true;
    return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    call->header_bytes += size * count;
    if (size * count >= 5 && memcmp(bytes, "HTTP/", 5) == 0) /* the next answer after an interim one */
        call->header_complete = false;
    call->header_complete |= size * count <= 2 && (bytes[0] == '\r' || bytes[0] == '\n');
    if (call->header_bytes > HTTP_HEADER_BYTES_MAX) {
        call->refused = "the answer's header is too large";
        return 0;
    }
    return size * count;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t more = size * count;
    if (more > HTTP_ANSWER_MAX - call->body_size) {
        call->refused = "the answer is larger than HTTP_ANSWER_MAX";
        return more + 1;
    }
    size_t room = call->body_room ? call->body_room : HTTP_BODY_FIRST;
    while (room < call->body_size + more + 1)
        room *= 2;
    if (room != call->body_room)
        call->body = mem_grow(call->body, room, 1);
    call->body_room = room;
    memcpy(call->body + call->body_size, bytes, more);
    call->body_size += more;
    call->body[call->body_size] = '\0';
    return more;
}

static void call_free(struct http_call *call)
{
    struct http *http = call->http;
    if (call->next)
        call->next->previous = call->previous;
    if (call->previous)
        call->previous->next = call->next;
    else
        http->calls = call->next;
    http->count--;
    loop_source_free(call->deadline);
    curl_multi_remove_handle(transfers_multi(http->transfers), call->easy);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    free(call->body);
    free(call);
}

/* The answer */

/* The value of the answer's own header (not of an interim or trailing one), or "". */
static const char *header(struct http_call *call, const char *name)
{
    struct curl_header *found;
    return curl_easy_header(call->easy, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK ? found->value : "";
}

static void request_id(struct http_call *call, char ret[static HTTP_REQUEST_ID_MAX])
{
    const char *value = header(call, "Request-Id");
    if (!*value)
        value = header(call, "X-Request-Id");
    if (!*value)
        value = header(call, "Paypal-Debug-Id");
    size_t n = 0;
    for (; *value && n < HTTP_REQUEST_ID_MAX - 1; value++)
        if (*value > ' ' && *value < 0x7f)
            ret[n++] = *value;
    ret[n] = '\0';
}

/* Seconds, or an HTTP date; -1 when there is neither. Never more than a day: the server does not decide when we give
 * up. */
static int64_t retry_after(struct http_call *call)
{
    const char *value = header(call, "Retry-After");
    if (!*value)
        return -1;
    int64_t seconds;
    if (strspn(value, "0123456789") == strlen(value)) {
        seconds = strlen(value) > 9 ? HTTP_RETRY_AFTER_MAX_S : atoll(value);
    } else {
        time_t at = curl_getdate(value, NULL);
        if (at < 0)
            return -1;
        seconds = (int64_t)at - clock_wall_ms() / 1000;
    }
    if (seconds < 0)
        seconds = 0;
    return seconds > HTTP_RETRY_AFTER_MAX_S ? HTTP_RETRY_AFTER_MAX_S : seconds;
}

static const char *failure(const struct http_call *call, CURLcode code)
{
    if (call->refused)
        return call->refused;
    return *call->error ? call->error : curl_easy_strerror(code);
}

/* Tells the caller, then forgets the call. The caller may start, or cancel, others meanwhile. */
static void finish(struct http_call *call, CURLcode code)
{
    char id[HTTP_REQUEST_ID_MAX] = "";
    struct http_answer answer = {
        .outcome = HTTP_UNKNOWN,
        .body = "",
        .error = "",
        .elapsed_ms = clock_monotonic_ms() - call->started_ms,
        .request_id = id,
        .retry_after_s = -1,
    };
    long status = 0;
    if (code == CURLE_OK)
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    /* libcurl takes a connection closed inside the header for its end. */
    if (status >= 200 && call->header_complete) {
        answer.outcome = HTTP_ANSWERED;
        answer.status = (int)status;
        answer.body = call->body ? call->body : "";
        answer.body_size = call->body_size;
        answer.retry_after_s = retry_after(call);
        answer.replayed = strcasecmp(header(call, "Idempotent-Replayed"), "true") == 0;
        request_id(call, id);
    } else {
        answer.outcome = call->sent ? HTTP_UNKNOWN : HTTP_NOT_SENT;
        answer.error = code == CURLE_OK ? "the answer is incomplete" : failure(call, code);
    }
    call->done(call->arg, &answer);
    call_free(call);
}

/* libcurl forgets the deadline of a call that waits for a connection. */
static void on_deadline(void *arg)
{
    finish(arg, CURLE_OPERATION_TIMEDOUT);
}

/* The same on a connection of its own; its time goes on. */
static void begin_afresh(struct http_call *call)
{
    call->unclean = false;
    call->refused = NULL;
    curl_multi_remove_handle(transfers_multi(call->http->transfers), call->easy);
    curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, 1L);
    transfers_add(call->http->transfers, call->easy);
}

static bool on_ended(void *arg, CURL *easy, CURLcode code)
{
    (void)arg;
    struct http_call *call = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
    if (call->unclean)
        begin_afresh(call);
    else
        finish(call, code);
    return true;
}

struct http *http_new(struct loop *loop, struct err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        err_set(err, ERR_INTERNAL, "libcurl cannot start");
        return NULL;
    }
    struct http *http = mem_new(1, sizeof *http);
    http->loop = loop;
    http->transfers = transfers_new(loop, on_ended, http);
    if (!http->transfers) {
        free(http);
        err_set(err, ERR_INTERNAL, "libcurl cannot start");
        return NULL;
    }
    CURLM *multi = transfers_multi(http->transfers);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)HTTP_CONNECTIONS_MAX);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HTTP_HOST_CONNECTIONS_MAX);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)HTTP_CONNECTIONS_MAX);
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return http;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    for (struct http_call *call = http->calls, *next; call; call = next) {
        next = call->next;
        call_free(call);
    }
    transfers_free(http->transfers);
    free(http);
}

/* The request */

static bool is_token(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text))
            return false;
    return true;
}

static bool is_line(const char *text)
{
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7f)
            return false;
    return true;
}

static int check_url(const char *url, struct err *err)
{
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return err_set(err, ERR_INVALID, "a URL must begin with http:// or https://");
    CURLU *parsed = curl_url();
    CURLUcode code = parsed ? curl_url_set(parsed, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;
    curl_url_cleanup(parsed);
    if (code != CURLUE_OK)
        return err_set(err, ERR_INVALID, "a URL cannot be read: %s", curl_url_strerror(code));
    return 0;
}

static int check(const struct http *http, const struct http_request *request, struct err *err)
{
    if (http->count >= HTTP_CALLS_MAX)
        return err_set(err, ERR_LIMIT, "%d HTTP requests are under way already", (int)HTTP_CALLS_MAX);
    if (!request->method || strlen(request->method) > HTTP_METHOD_MAX || !is_token(request->method))
        return err_set(err, ERR_INVALID, "HTTP method \"%.32s\"", request->method ? request->method : "");
    if (request->timeout_ms <= 0)
        return err_set(err, ERR_INVALID, "an HTTP request needs a timeout");
    for (int i = 0; i < HTTP_HEADERS_MAX && request->headers[i].name; i++)
        if (!is_token(request->headers[i].name) || !is_line(request->headers[i].value))
            return err_set(err, ERR_INVALID, "HTTP header %.64s holds a character that must not be there",
                           request->headers[i].name);
    return check_url(request->url, err);
}

static void add_header(struct http_call *call, const char *name, const char *separator, const char *value)
{
    size_t size = strlen(name) + strlen(separator) + strlen(value) + 1;
    char *line = mem_new(size, 1);
    snprintf(line, size, "%s%s%s", name, separator, value);
    struct curl_slist *list = curl_slist_append(call->headers, line);
    if (!list)
        log_panic("out of memory for an HTTP header");
    call->headers = list;
    free(line);
}

static void set_headers(struct http_call *call, const struct http_request *request)
{
    bool typed = false;
    for (int i = 0; i < HTTP_HEADERS_MAX && request->headers[i].name; i++) {
        const struct http_header *h = &request->headers[i];
        typed |= strcasecmp(h->name, "Content-Type") == 0;
        if (*h->value)
            add_header(call, h->name, ": ", h->value);
        else
            add_header(call, h->name, ";", ""); /* libcurl's way to send an empty one */
    }
    add_header(call, "Expect", ":", ""); /* no waiting for 100-continue */
    if (!typed)
        add_header(call, "Content-Type", ":", ""); /* libcurl would say it is a form */
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

static void set_method(struct http_call *call, const struct http_request *request)
{
    CURL *easy = call->easy;
    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request->body || strcmp(request->method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(request->body ? request->body_size : 0));
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body ? request->body : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_limits(struct http_call *call, int64_t timeout_ms)
{
    CURL *easy = call->easy;
    long connect_ms = timeout_ms < HTTP_CONNECT_TIMEOUT_MS ? (long)timeout_ms : (long)HTTP_CONNECT_TIMEOUT_MS;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)HTTP_CONNECTION_IDLE_S);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else a cancelled call waits for its name look-up */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
}

static void set_callbacks(struct http_call *call)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready_to_send);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_opened);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, call->http);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_closed);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, call->http);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
}

struct http_call *http_start(struct http *http, const struct http_request *request,
                             void (*done)(void *arg, const struct http_answer *answer), void *arg, struct err *err)
{
    if (check(http, request, err) != 0)
        return NULL;
    CURL *easy = curl_easy_init();
    if (!easy)
        log_panic("out of memory for an HTTP request");
    struct http_call *call = mem_new(1, sizeof *call);
    *call = (struct http_call){.http = http, .easy = easy, .done = done, .arg = arg, .next = http->calls};
    call->started_ms = clock_monotonic_ms();
    call->timeout_ms = request->timeout_ms;
    call->deadline = loop_timer(http->loop, request->timeout_ms + HTTP_DEADLINE_GRACE_MS, on_deadline, call);
    call->idempotent = is_idempotent(request->method);
    if (call->next)
        call->next->previous = call;
    http->calls = call;
    http->count++;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "acquit");
    set_headers(call, request);
    set_method(call, request);
    set_limits(call, request->timeout_ms);
    set_callbacks(call);
    transfers_add(http->transfers, easy);
    return call;
}

void http_cancel(struct http_call *call)
{
    call_free(call);
}
