/* test_http.c - common/http against a real server: what surely was not sent, what is unknown, what is an answer (L6)
 *
 * The server is a thread here: it reads requests and misbehaves as their path says. It counts what it reads, because
 * that is the truth the outcome is measured by.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http.h"

enum { REQUEST_MAX = 8192, PATIENCE_MS = 10000, SHORT_MS = 300, LONG_MS = 5000 };

static struct {
    int fd, port;
    atomic_int test;                  /* number of the test under way: a query in its URLs */
    atomic_int requests, connections; /* of this test; late ones of another do not count */
    char last[REQUEST_MAX];           /* the last request, whole */
    pthread_mutex_t lock;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Reads one request: header, and as much body as Content-Length says. False at the end of the connection. */
static bool read_request(int fd, char *ret)
{
    size_t size = 0, wanted = SIZE_MAX;
    while (size < wanted && size < REQUEST_MAX - 1) {
        ssize_t n = recv(fd, ret + size, REQUEST_MAX - 1 - size, 0);
        if (n <= 0)
            return false;
        size += (size_t)n;
        ret[size] = '\0';
        const char *end = strstr(ret, "\r\n\r\n"), *length = strcasestr(ret, "\r\nContent-Length: ");
        if (end)
            wanted = (size_t)(end - ret) + 4 + (length && length < end ? (size_t)atoi(length + 18) : 0);
    }
    return true;
}

static void say_many(int fd, const char *piece, size_t size)
{
    char block[4096];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = piece[i % strlen(piece)];
    for (size_t sent = 0; sent < size; sent += sizeof block)
        if (send(fd, block, sizeof block, MSG_NOSIGNAL) <= 0)
            return;
}

/* Bytes that the client's side has not taken yet. */
static int unsent(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

/* Answers one request; false: close the connection. */
static bool answer(int fd, const char *path, int nth)
{
    static const char *const plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n";
    if (strcmp(path, "/ok") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\nRequest-Id: req_1\r\nContent-Length: 5\r\n\r\nhello");
        return true;
    }
    if (strcmp(path, "/twice") == 0) { /* the second goes out when the first has been read for sure */
        char number[96];
        snprintf(number, sizeof number, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", server.requests % 10);
        say(fd, number);
        while (unsent(fd) > 0)
            sched_yield();
        say(fd, number);
        return true;
    }
    if (strcmp(path, "/second-time-close") == 0) {
        if (nth > 1)
            return false;
        say(fd, plain);
        say(fd, "\r\nok");
        return true;
    }
    if (strcmp(path, "/close") == 0)
        return false;
    if (strcmp(path, "/garbage") == 0)
        say(fd, "220 mail.example.net ESMTP\r\n\r\n");
    else if (strcmp(path, "/half-header") == 0)
        say(fd, "HTTP/1.1 200 OK\r\nContent-Le");
    else if (strcmp(path, "/half-after-interim") == 0)
        say(fd, "HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le");
    else if (strcmp(path, "/half-body") == 0)
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    else if (strcmp(path, "/silent") == 0)
        (void)!recv(fd, (char[1]){0}, 1, 0); /* until the client gives up */
    else if (strcmp(path, "/unavailable") == 0)
        say(fd, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nIdempotent-Replayed: true\r\nX-Request-Id: x "
                "y\r\nContent-Length: 0\r\n\r\n");
    else if (strcmp(path, "/date") == 0)
        say(fd, "HTTP/1.1 429 Slow\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n");
    else if (strcmp(path, "/tomorrow") == 0)
        say(fd, "HTTP/1.1 429 Slow\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n");
    else if (strcmp(path, "/redirect") == 0)
        say(fd, "HTTP/1.1 307 Go\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
    else if (strcmp(path, "/interim") == 0)
        say(fd, "HTTP/1.1 102 Wait\r\nRequest-Id: wrong\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n");
    else if (strcmp(path, "/largest") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
        say_many(fd, "x", 1048576);
    } else if (strcmp(path, "/too-large") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1052672\r\n\r\n");
        say_many(fd, "x", 1052672);
    } else if (strcmp(path, "/large-header") == 0) {
        say(fd, "HTTP/1.1 200 OK\r\n");
        say_many(fd, "X-A: bcdefghijklmnopqrstuvwxyz\r\n", 128 * 1024);
        say(fd, "Content-Length: 0\r\n\r\n");
    }
    return false;
}

static void *serve_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char request[REQUEST_MAX], path[64];
    for (int nth = 1; read_request(fd, request); nth++) {
        int test = -1;
        bool readable = sscanf(request, "%*s %63[^? ]?%d", path, &test) >= 1;
        if (test == server.test) {
            server.requests++;
            server.connections += nth == 1;
        }
        pthread_mutex_lock(&server.lock);
        memcpy(server.last, request, sizeof server.last);
        pthread_mutex_unlock(&server.lock);
        if (!readable || !answer(fd, path, nth))
            break;
    }
    shutdown(fd, SHUT_WR);
    char rest[4096]; /* closing with unread bytes would reset what we have said */
    while (recv(fd, rest, sizeof rest, 0) > 0)
        ;
    close(fd);
    return NULL;
}

static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        int fd = accept(server.fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve_connection, (void *)(intptr_t)fd) != 0)
            abort();
        pthread_detach(thread);
    }
}

static int listen_somewhere(int *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 512), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* One client per test, so that no kept connection of another is in the way. */
struct client {
    struct loop *loop;
    struct http *http;
};

static int set_up(void **state)
{
    struct client *client = calloc(1, sizeof *client);
    struct err err = {0};
    client->loop = loop_new(&err);
    client->http = http_new(client->loop, &err);
    assert_non_null(client->http);
    server.test++;
    server.requests = server.connections = 0;
    *state = client;
    return 0;
}

static int tear_down(void **state)
{
    struct client *client = *state;
    http_free(client->http);
    loop_free(client->loop);
    free(client);
    return 0;
}

/* What came of a call. */
struct result {
    int calls, status;
    enum http_outcome outcome;
    size_t body_size;
    char body[32], error[256], request_id[64];
    int64_t elapsed_ms, retry_after_s;
    bool replayed;
};

static void on_done(void *arg, const struct http_answer *answer)
{
    struct result *result = arg;
    result->calls++;
    result->outcome = answer->outcome;
    result->status = answer->status;
    result->body_size = answer->body_size;
    snprintf(result->body, sizeof result->body, "%.31s", answer->body);
    snprintf(result->error, sizeof result->error, "%s", answer->error);
    snprintf(result->request_id, sizeof result->request_id, "%s", answer->request_id);
    result->elapsed_ms = answer->elapsed_ms;
    result->retry_after_s = answer->retry_after_s;
    result->replayed = answer->replayed;
    assert_int_equal(answer->body[answer->body_size], '\0');
}

static void wait_for(struct client *client, const struct result *result)
{
    int64_t end = clock_monotonic_ms() + PATIENCE_MS;
    while (!result->calls && clock_monotonic_ms() < end)
        assert_int_equal(loop_turn(client->loop, 100), 0);
    assert_int_equal(result->calls, 1);
}

static struct result ask(struct client *client, const char *method, const char *url, int64_t timeout_ms)
{
    struct result result = {0};
    struct err err = {0};
    struct http_request request = {.method = method, .url = url, .timeout_ms = timeout_ms};
    if (strcmp(method, "POST") == 0) {
        request.body = "{}";
        request.body_size = 2;
    }
    if (!http_start(client->http, &request, on_done, &result, &err))
        fail_msg("%s", err.text);
    assert_int_equal(result.calls, 0); /* never from inside http_start() */
    wait_for(client, &result);
    return result;
}

static const char *url(const char *path)
{
    static char text[128];
    snprintf(text, sizeof text, "http://127.0.0.1:%d%s?%d", server.port, path, server.test);
    return text;
}

static void test_answered(void **state)
{
    struct result result = ask(*state, "GET", url("/ok"), LONG_MS);
    assert_int_equal(result.outcome, HTTP_ANSWERED);
    assert_int_equal(result.status, 200);
    assert_string_equal(result.body, "hello");
    assert_int_equal(result.body_size, 5);
    assert_string_equal(result.request_id, "req_1");
    assert_string_equal(result.error, "");
    assert_int_equal(result.retry_after_s, -1);
    assert_false(result.replayed);
    assert_in_range(result.elapsed_ms, 0, LONG_MS);
}

static void test_what_is_sent(void **state)
{
    struct client *client = *state;
    struct result result = {0};
    char body[] = "{\"a\":1}", key[] = "key-1";
    struct http_request request = {
        .method = "POST",
        .url = url("/ok"),
        .headers = {{"Content-Type", "application/json"}, {"Idempotency-Key", key}, {"X-Empty", ""}},
        .body = body,
        .body_size = strlen(body),
        .timeout_ms = LONG_MS,
    };
    assert_non_null(http_start(client->http, &request, on_done, &result, NULL));
    memset(body, 'x', strlen(body)); /* all of it was copied */
    memset(key, 'x', strlen(key));
    wait_for(client, &result);
    assert_non_null(strstr(server.last, "POST /ok?"));
    assert_non_null(strstr(server.last, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(server.last, "\r\nIdempotency-Key: key-1\r\n"));
    assert_non_null(strstr(server.last, "\r\nX-Empty:\r\n"));
    assert_non_null(strstr(server.last, "\r\nContent-Length: 7\r\n"));
    assert_non_null(strstr(server.last, "\r\n\r\n{\"a\":1}"));
    assert_null(strstr(server.last, "Expect:"));
}

static void test_post_without_body_and_other_methods(void **state)
{
    struct client *client = *state;
    struct result result = {0};
    struct http_request request = {.method = "POST", .url = url("/ok"), .timeout_ms = LONG_MS};
    assert_non_null(http_start(client->http, &request, on_done, &result, NULL));
    wait_for(client, &result);
    assert_int_equal(result.outcome, HTTP_ANSWERED);
    assert_non_null(strstr(server.last, "\r\nContent-Length: 0\r\n"));
    assert_null(strstr(server.last, "urlencoded"));
    result = ask(client, "DELETE", url("/ok"), LONG_MS);
    assert_int_equal(result.outcome, HTTP_ANSWERED);
    assert_non_null(strstr(server.last, "DELETE /ok?"));
    result = ask(client, "HEAD", url("/unavailable"), LONG_MS);
    assert_int_equal(result.outcome, HTTP_ANSWERED);
    assert_int_equal(result.status, 503);
}

static void test_every_status_is_an_answer(void **state)
{
    struct result result = ask(*state, "POST", url("/unavailable"), LONG_MS);
    assert_int_equal(result.outcome, HTTP_ANSWERED);
    assert_int_equal(result.status, 503);
    assert_int_equal(result.retry_after_s, 7);
    assert_true(result.replayed);
    assert_string_equal(result.request_id, "xy"); /* nothing but printable bytes */
    assert_int_equal(ask(*state, "POST", url("/date"), LONG_MS).retry_after_s, 0);
    assert_int_equal(ask(*state, "POST", url("/tomorrow"), LONG_MS).retry_after_s, 86400);
}

static void test_redirect_is_not_followed(void **state)
{
    struct result result = ask(*state, "GET", url("/redirect"), LONG_MS);
    assert_int_equal(result.status, 307);
    assert_int_equal(server.requests, 1);
}

static void test_interim_answer_is_none(void **state)
{
    struct result result = ask(*state, "POST", url("/interim"), LONG_MS);
    assert_int_equal(result.outcome, HTTP_ANSWERED);
    assert_int_equal(result.status, 201);
    assert_string_equal(result.request_id, "");
}

/* Nothing was sent */

static void test_refused_connection(void **state)
{
    int port, fd = listen_somewhere(&port);
    close(fd);
    char at[64];
    snprintf(at, sizeof at, "http://127.0.0.1:%d/", port);
    struct result result = ask(*state, "POST", at, LONG_MS);
    assert_int_equal(result.outcome, HTTP_NOT_SENT);
    assert_int_equal(result.status, 0);
    assert_string_not_equal(result.error, "");
}

static void test_unknown_name(void **state)
{
    struct result result = ask(*state, "POST", "http://no-such-host.invalid/", LONG_MS);
    assert_int_equal(result.outcome, HTTP_NOT_SENT);
}

static void test_tls_to_a_server_without(void **state)
{
    char at[64];
    snprintf(at, sizeof at, "https://127.0.0.1:%d/ok", server.port);
    struct result result = ask(*state, "POST", at, SHORT_MS);
    assert_int_equal(result.outcome, HTTP_NOT_SENT);
}

/* Connected, but the server's backlog is full or the host gone: no byte can have been sent. */
static void test_connection_never_stands(void **state)
{
    int port, fd = listen_somewhere(&port);
    assert_int_equal(listen(fd, 0), 0);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fill[2];
    for (int i = 0; i < 2; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&at, sizeof at);
    }
    char text[64];
    snprintf(text, sizeof text, "http://127.0.0.1:%d/", port);
    struct result result = ask(*state, "POST", text, SHORT_MS);
    assert_int_equal(result.outcome, HTTP_NOT_SENT);
    close(fill[0]);
    close(fill[1]);
    close(fd);
}

/* Sent, wholly or in part */

static void test_no_complete_answer_is_unknown(void **state)
{
    static const char *const paths[] = {"/close",     "/garbage",   "/half-header", "/half-after-interim",
                                        "/half-body", "/too-large", "/large-header"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        int before = server.requests;
        struct result result = ask(*state, "POST", url(paths[i]), LONG_MS);
        if (result.outcome != HTTP_UNKNOWN)
            fail_msg("%s: outcome %d, status %d", paths[i], (int)result.outcome, result.status);
        assert_int_equal(result.status, 0);
        assert_int_equal(result.body_size, 0);
        assert_string_not_equal(result.error, "");
        assert_int_equal(server.requests, before + 1);
    }
}

static void test_timeout_is_unknown(void **state)
{
    struct result result = ask(*state, "POST", url("/silent"), SHORT_MS);
    assert_int_equal(result.outcome, HTTP_UNKNOWN);
    assert_in_range(result.elapsed_ms, SHORT_MS, 3 * SHORT_MS);
}

static void test_largest_answer(void **state)
{
    struct result result = ask(*state, "GET", url("/largest"), LONG_MS);
    assert_int_equal(result.outcome, HTTP_ANSWERED);
    assert_int_equal(result.body_size, HTTP_ANSWER_MAX);
}

/* Kept connections */

static void test_connection_is_kept(void **state)
{
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(*state, "POST", url("/ok"), LONG_MS).outcome, HTTP_ANSWERED);
    assert_int_equal(server.requests, 5);
    assert_int_equal(server.connections, 1);
}

/* An answer that nobody asked for is never taken for the next request's. */
static void test_answered_twice(void **state)
{
    for (int i = 1; i <= 20; i++) {
        char wanted[16];
        struct result result = ask(*state, i % 2 ? "POST" : "GET", url("/twice"), LONG_MS);
        assert_int_equal(result.outcome, HTTP_ANSWERED);
        snprintf(wanted, sizeof wanted, "%d", i % 10);
        assert_string_equal(result.body, wanted);
        struct client *client = *state;
        assert_int_equal(loop_turn(client->loop, 20), 0); /* the second answer arrives meanwhile */
    }
    assert_int_equal(server.requests, 20);
}

/* The server takes the second request on a kept connection and closes: whether it acted nobody knows. libcurl by itself
 * would send it again. */
static void test_post_is_sent_once(void **state)
{
    assert_int_equal(ask(*state, "POST", url("/second-time-close"), LONG_MS).outcome, HTTP_ANSWERED);
    struct result result = ask(*state, "POST", url("/second-time-close"), LONG_MS);
    assert_int_equal(result.outcome, HTTP_UNKNOWN);
    assert_non_null(strstr(result.error, "kept connection"));
    assert_int_equal(server.requests, 2);
    /* The next one has a connection of its own. */
    assert_int_equal(ask(*state, "POST", url("/second-time-close"), LONG_MS).outcome, HTTP_ANSWERED);
}

static void test_get_is_repeated(void **state)
{
    assert_int_equal(ask(*state, "GET", url("/second-time-close"), LONG_MS).outcome, HTTP_ANSWERED);
    assert_int_equal(ask(*state, "GET", url("/second-time-close"), LONG_MS).outcome, HTTP_ANSWERED);
    assert_int_equal(server.requests, 3);
}

/* Many at once, cancelling, bounds */

static void test_slow_call_holds_up_nobody(void **state)
{
    struct client *client = *state;
    struct result slow = {0}, fast = {0};
    struct http_request request = {.method = "POST", .url = url("/silent"), .timeout_ms = LONG_MS};
    struct http_call *call = http_start(client->http, &request, on_done, &slow, NULL);
    assert_non_null(call);
    request.url = url("/ok");
    assert_non_null(http_start(client->http, &request, on_done, &fast, NULL));
    wait_for(client, &fast);
    assert_int_equal(fast.outcome, HTTP_ANSWERED);
    assert_int_equal(slow.calls, 0);
    http_cancel(call);
}

static void test_cancel(void **state)
{
    struct client *client = *state;
    struct result sent = {0}, unsent = {0};
    struct http_request request = {.method = "POST", .url = url("/silent"), .timeout_ms = SHORT_MS};
    struct http_call *call = http_start(client->http, &request, on_done, &sent, NULL);
    int64_t end = clock_monotonic_ms() + PATIENCE_MS;
    while (server.requests == 0 && clock_monotonic_ms() < end)
        assert_int_equal(loop_turn(client->loop, 10), 0);
    http_cancel(call);
    call = http_start(client->http, &request, on_done, &unsent, NULL);
    http_cancel(call);
    struct result other = ask(client, "POST", url("/silent"), SHORT_MS);
    assert_int_equal(other.calls, 1);
    assert_int_equal(sent.calls + unsent.calls, 0);
    assert_int_equal(server.requests, 2);
}

static void test_free_while_under_way(void **state)
{
    struct client *client = *state;
    struct result result = {0};
    struct http_request request = {.method = "POST", .url = url("/silent"), .timeout_ms = LONG_MS};
    for (int i = 0; i < 5; i++)
        assert_non_null(http_start(client->http, &request, on_done, &result, NULL));
    assert_int_equal(loop_turn(client->loop, 50), 0);
    http_free(client->http);
    client->http = NULL;
    assert_int_equal(loop_turn(client->loop, 10), 0);
    assert_int_equal(result.calls, 0);
    http_free(NULL);
}

/* A callback that starts the next call and cancels another one. */
struct chain {
    struct client *client;
    struct http_call *victim;
    struct result first, second;
};

static void on_first(void *arg, const struct http_answer *answer)
{
    struct chain *chain = arg;
    on_done(&chain->first, answer);
    http_cancel(chain->victim);
    struct http_request request = {.method = "POST", .url = url("/ok"), .timeout_ms = LONG_MS};
    assert_non_null(http_start(chain->client->http, &request, on_done, &chain->second, NULL));
}

static void test_callback_may_start_and_cancel(void **state)
{
    struct chain chain = {.client = *state};
    struct result victim = {0};
    struct http_request request = {.method = "POST", .url = url("/silent"), .timeout_ms = LONG_MS};
    chain.victim = http_start(chain.client->http, &request, on_done, &victim, NULL);
    assert_non_null(chain.victim);
    request.url = url("/ok");
    assert_non_null(http_start(chain.client->http, &request, on_first, &chain, NULL));
    wait_for(chain.client, &chain.second);
    assert_int_equal(chain.first.calls, 1);
    assert_int_equal(victim.calls, 0);
}

/* More calls than connections are allowed: those that wait keep their deadline, and were surely not sent. */
static void test_waiting_calls_keep_their_deadline(void **state)
{
    enum { CONNECTIONS = 256, WAITING = 44, CALLS = CONNECTIONS + WAITING };
    struct client *client = *state;
    static struct result results[CALLS];
    memset(results, 0, sizeof results);
    struct http_request request = {.method = "POST", .url = url("/silent"), .timeout_ms = 4 * SHORT_MS};
    for (int i = 0; i < CALLS; i++) {
        if (i == CONNECTIONS)
            request.timeout_ms = SHORT_MS;
        assert_non_null(http_start(client->http, &request, on_done, &results[i], NULL));
    }
    for (int i = CONNECTIONS; i < CALLS; i++) {
        wait_for(client, &results[i]);
        assert_int_equal(results[i].outcome, HTTP_NOT_SENT);
        assert_in_range(results[i].elapsed_ms, SHORT_MS, 3 * SHORT_MS);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        wait_for(client, &results[i]);
    assert_true(server.requests <= CONNECTIONS);
}

/* A connection gets free just after a waiting call's time is over: it must not be sent then, however little late. */
static void test_nothing_is_sent_late(void **state)
{
    enum { CONNECTIONS = 256, WAITING = 20, LATE_MS = 10 };
    struct client *client = *state;
    static struct result results[CONNECTIONS + WAITING];
    memset(results, 0, sizeof results);
    struct http_request request = {.method = "POST", .url = url("/silent"), .timeout_ms = 2 * SHORT_MS + LATE_MS};
    int64_t begun_ms = clock_monotonic_ms();
    for (int i = 0; i < CONNECTIONS; i++)
        assert_non_null(http_start(client->http, &request, on_done, &results[i], NULL));
    request.timeout_ms = 2 * SHORT_MS - (clock_monotonic_ms() - begun_ms); /* before them, however long that took */
    for (int i = CONNECTIONS; i < CONNECTIONS + WAITING; i++)
        assert_non_null(http_start(client->http, &request, on_done, &results[i], NULL));
    for (int i = 0; i < CONNECTIONS + WAITING; i++)
        wait_for(client, &results[i]);
    for (int i = CONNECTIONS; i < CONNECTIONS + WAITING; i++)
        assert_int_equal(results[i].outcome, HTTP_NOT_SENT);
}

static void test_calls_are_bounded(void **state)
{
    struct client *client = *state;
    struct result result = {0};
    struct err err = {0};
    struct http_request request = {.method = "POST", .url = url("/silent"), .timeout_ms = LONG_MS};
    int started = 0;
    while (started < 100000 && http_start(client->http, &request, on_done, &result, &err))
        started++;
    assert_int_equal(err.code, ERR_LIMIT);
    assert_in_range(started, 512, 10000);
    assert_int_equal(result.calls, 0);
}

static void test_wrong_requests(void **state)
{
    struct client *client = *state;
    struct result result = {0};
    const struct http_request cases[] = {
        {.method = "GET", .url = "ftp://127.0.0.1/", .timeout_ms = 1},
        {.method = "GET", .url = "file:///etc/passwd", .timeout_ms = 1},
        {.method = "GET", .url = "127.0.0.1", .timeout_ms = 1},
        {.method = "GET", .url = "", .timeout_ms = 1},
        {.method = "GET", .url = "http://", .timeout_ms = 1},
        {.method = "GET", .url = "http://a b/", .timeout_ms = 1},
        {.method = "GET", .url = "http://127.0.0.1/", .timeout_ms = 0},
        {.method = "", .url = "http://127.0.0.1/", .timeout_ms = 1},
        {.method = "G T", .url = "http://127.0.0.1/", .timeout_ms = 1},
        {.method = "GET", .url = "http://127.0.0.1/", .timeout_ms = 1, .headers = {{"X", "a\r\nY: b"}}},
        {.method = "GET", .url = "http://127.0.0.1/", .timeout_ms = 1, .headers = {{"X: y", "a"}}},
        {.method = "GET", .url = "http://127.0.0.1/", .timeout_ms = 1, .headers = {{"", "a"}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        if (http_start(client->http, &cases[i], on_done, &result, &err))
            fail_msg("case %zu was accepted", i);
        assert_int_equal(err.code, ERR_INVALID);
    }
    assert_int_equal(loop_turn(client->loop, 20), 0);
    assert_int_equal(result.calls, 0);
}

/* Proxies of the environment would see our keys. */
static void test_proxy_of_the_environment_is_not_used(void **state)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    struct result result = ask(*state, "GET", url("/ok"), LONG_MS);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(result.outcome, HTTP_ANSWERED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    server.fd = listen_somewhere(&server.port);
    pthread_t thread;
    if (pthread_create(&thread, NULL, serve, NULL) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        TEST(test_answered),
        TEST(test_what_is_sent),
        TEST(test_post_without_body_and_other_methods),
        TEST(test_every_status_is_an_answer),
        TEST(test_redirect_is_not_followed),
        TEST(test_interim_answer_is_none),
        TEST(test_refused_connection),
        TEST(test_unknown_name),
        TEST(test_tls_to_a_server_without),
        TEST(test_connection_never_stands),
        TEST(test_no_complete_answer_is_unknown),
        TEST(test_timeout_is_unknown),
        TEST(test_largest_answer),
        TEST(test_connection_is_kept),
        TEST(test_answered_twice),
        TEST(test_post_is_sent_once),
        TEST(test_get_is_repeated),
        TEST(test_slow_call_holds_up_nobody),
        TEST(test_cancel),
        TEST(test_free_while_under_way),
        TEST(test_callback_may_start_and_cancel),
        TEST(test_waiting_calls_keep_their_deadline),
        TEST(test_nothing_is_sent_late),
        TEST(test_calls_are_bounded),
        TEST(test_wrong_requests),
        TEST(test_proxy_of_the_environment_is_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
