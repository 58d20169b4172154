/* test_ingress_server.c - workers/ingress/server: real sockets, one loop */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "workers/ingress/server.h"

enum { BODY_MAX = 1000, ANSWER_SIZE = 4096, PATIENCE_MS = 5000 };

/* What the test's server does is written in the path: /now answers at once, /later keeps the request, /refuse answers in on_head. */
struct world {
    struct loop *loop;
    struct server *server;
    struct request *kept;
    char body[BODY_MAX + 1];
    int done, last_status;
};

static void on_head(void *arg, struct request *request)
{
    (void)arg;
    if (strcmp(request_path(request), "/refuse") == 0)
        request_answer(request, answer_failure(FAILURE_UNAUTHORIZED, "no"));
}

static void on_request(void *arg, struct request *request)
{
    struct world *world = arg;
    size_t size;
    const char *body = request_body(request, &size);
    snprintf(world->body, sizeof world->body, "%s", body);
    if (strcmp(request_path(request), "/later") == 0) {
        world->kept = request;
        return;
    }
    struct answer answer = answer_success(200, request_query(request, "q") ? request_query(request, "q") : "ok", NULL);
    answer_header(&answer, "X-Echo", "%s", request_header(request, "x-echo") ? request_header(request, "x-echo") : "-");
    request_answer(request, answer);
}

static void on_done(void *arg, struct request *request, int status)
{
    (void)request;
    struct world *world = arg;
    world->done++;
    world->last_status = status;
}

static int set_up(void **state)
{
    struct err err = {0};
    struct world *world = mem_new(1, sizeof *world);
    world->loop = loop_new(&err);
    const struct server_options options = {.address = "127.0.0.1",
                                           .body_max = BODY_MAX,
                                           .connections_max = 10,
                                           .idle_s = 10,
                                           .on_head = on_head,
                                           .on_request = on_request,
                                           .on_done = on_done,
                                           .arg = world};
    world->server = server_new(world->loop, &options, &err);
    *state = world;
    return world->loop && world->server ? 0 : -1;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    server_free(world->server);
    loop_free(world->loop);
    free(world);
    return 0;
}

static int dial(const struct world *world)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server_port(world->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* A whole answer is in `text`: head, and as many bytes as Content-Length says. */
static bool is_whole(const char *text)
{
    const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "Content-Length:");
    return body && length && strlen(body + 4) >= strtoul(length + strlen("Content-Length:"), NULL, 10);
}

/* Turns the loop until the answer is whole or the connection ends. Returns the status, 0 when it ended without. */
static int hear(struct world *world, int fd, char ret[static ANSWER_SIZE])
{
    size_t size = 0;
    ret[0] = 0;
    for (int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS; clock_monotonic_ms() < until_ms;) {
        assert_int_equal(loop_turn(world->loop, 10), 0);
        ssize_t n = recv(fd, ret + size, ANSWER_SIZE - 1 - size, 0);
        if (n == 0)
            break;
        size += n > 0 ? (size_t)n : 0;
        ret[size] = 0;
        if (is_whole(ret))
            break;
    }
    return size > 12 ? atoi(ret + strlen("HTTP/1.1 ")) : 0;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void wait_done(struct world *world, int done)
{
    for (int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS; world->done < done && clock_monotonic_ms() < until_ms;)
        assert_int_equal(loop_turn(world->loop, 10), 0);
    assert_int_equal(world->done, done);
}

static void test_answers_at_once(void **state)
{
    struct world *world = *state;
    char answer[ANSWER_SIZE];
    int fd = dial(world);
    say(fd, "GET /now?q=a%20b HTTP/1.1\r\nHost: x\r\nX-Echo: there\r\n\r\n");
    assert_int_equal(hear(world, fd, answer), 200);
    assert_non_null(strstr(answer, "X-Echo: there"));
    assert_non_null(strstr(answer, "{\"success\":true,\"message\":\"a b\"}"));
    say(fd, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"); /* on the same connection */
    assert_int_equal(hear(world, fd, answer), 200);
    assert_string_equal(world->body, "hello");
    close(fd);
    wait_done(world, 2);
    assert_int_equal(server_requests(world->server), 0);
}

static void test_answers_later(void **state)
{
    struct world *world = *state;
    char answer[ANSWER_SIZE];
    int fd = dial(world), other = dial(world);
    say(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    while (!world->kept)
        assert_int_equal(loop_turn(world->loop, 10), 0);
    say(other, "GET /now HTTP/1.1\r\nHost: x\r\n\r\n"); /* nobody else waits meanwhile */
    assert_int_equal(hear(world, other, answer), 200);
    request_answer(world->kept, answer_success(202, "at last", NULL));
    assert_int_equal(hear(world, fd, answer), 202);
    close(fd);
    close(other);
}

static void test_client_leaves_while_it_waits(void **state)
{
    struct world *world = *state;
    int fd = dial(world);
    say(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    while (!world->kept)
        assert_int_equal(loop_turn(world->loop, 10), 0);
    close(fd);
    request_answer(world->kept, answer_success(202, "nobody hears it", NULL));
    wait_done(world, 1);
}

static void test_refusal_leaves_the_connection_usable(void **state)
{
    struct world *world = *state;
    char answer[ANSWER_SIZE];
    int fd = dial(world);
    say(fd, "POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    say(fd, "hello");
    assert_int_equal(hear(world, fd, answer), 401);
    assert_string_equal(world->body, "");
    say(fd, "GET /now HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(hear(world, fd, answer), 200);
    close(fd);
}

static void test_body_at_its_bound(void **state)
{
    struct world *world = *state;
    char answer[ANSWER_SIZE], body[BODY_MAX + 2];
    memset(body, 'b', sizeof body - 1);
    body[BODY_MAX] = 0;
    int fd = dial(world);
    say(fd, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    say(fd, body);
    assert_int_equal(hear(world, fd, answer), 200);
    assert_string_equal(world->body, body);
    close(fd);
}

static void test_body_declared_too_large(void **state)
{
    struct world *world = *state;
    char answer[ANSWER_SIZE];
    int fd = dial(world);
    say(fd, "POST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
    assert_int_equal(hear(world, fd, answer), 413); /* before a byte of it was sent */
    assert_non_null(strstr(answer, "PAYLOAD_TOO_LARGE"));
    close(fd);
}

static void test_body_grows_too_large(void **state)
{
    struct world *world = *state;
    char answer[ANSWER_SIZE], chunk[BODY_MAX + 1];
    memset(chunk, 'b', BODY_MAX);
    chunk[BODY_MAX] = 0;
    int fd = dial(world);
    say(fd, "POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n");
    say(fd, chunk);
    say(fd, "\r\n1\r\nb\r\n0\r\n\r\n");
    assert_int_equal(hear(world, fd, answer), 413);
    assert_string_equal(world->body, "");
    close(fd);
}

static void test_endless_body_is_cut(void **state)
{
    struct world *world = *state;
    char answer[ANSWER_SIZE], chunk[BODY_MAX + 1];
    memset(chunk, 'b', BODY_MAX);
    chunk[BODY_MAX] = 0;
    int fd = dial(world);
    say(fd, "POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 20 && world->done == 0; i++) {
        send(fd, "3e8\r\n", 5, MSG_NOSIGNAL);
        send(fd, chunk, BODY_MAX, MSG_NOSIGNAL);
        send(fd, "\r\n", 2, MSG_NOSIGNAL);
        assert_int_equal(loop_turn(world->loop, 10), 0);
    }
    wait_done(world, 1);
    assert_int_equal(hear(world, fd, answer), 0);
    assert_int_equal(world->last_status, 0);
    close(fd);
}

static void test_quiesce(void **state)
{
    struct world *world = *state;
    char answer[ANSWER_SIZE];
    int fd = dial(world);
    say(fd, "GET /now HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(hear(world, fd, answer), 200);
    server_quiesce(world->server);
    say(fd, "GET /now HTTP/1.1\r\nHost: x\r\n\r\n"); /* a connection that is there is served once more */
    assert_int_equal(hear(world, fd, answer), 200);
    assert_non_null(strcasestr(answer, "Connection: close"));
    close(fd);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server_port(world->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), -1);
    close(fd);
}

static void test_end_cuts_who_waits(void **state)
{
    struct world *world = *state;
    int fd = dial(world);
    char byte;
    say(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    while (!world->kept)
        assert_int_equal(loop_turn(world->loop, 10), 0);
    server_free(world->server);
    world->server = NULL;
    assert_int_equal(world->done, 1);
    assert_int_equal(world->last_status, 0);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static void test_address_in_use(void **state)
{
    struct world *world = *state;
    struct err err = {0};
    struct server_options options = {
        .address = "127.0.0.1", .port = server_port(world->server), .connections_max = 1, .on_request = on_request};
    assert_null(server_new(world->loop, &options, &err));
    assert_int_equal(err.code, ERR_AGAIN);
    err_clear(&err);
    options.address = "localhost";
    assert_null(server_new(world->loop, &options, &err));
    assert_int_equal(err.code, ERR_CONFIG);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_answers_at_once),
        ROW(test_answers_later),
        ROW(test_client_leaves_while_it_waits),
        ROW(test_refusal_leaves_the_connection_usable),
        ROW(test_body_at_its_bound),
        ROW(test_body_declared_too_large),
        ROW(test_body_grows_too_large),
        ROW(test_endless_body_is_cut),
        ROW(test_quiesce),
        ROW(test_end_cuts_who_waits),
        ROW(test_address_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
