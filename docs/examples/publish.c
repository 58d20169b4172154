/* publish.c - how an app publishes a payment command straight to the queue, in C with librabbitmq (package librabbitmq-dev)
 *
 *     cc -std=c17 -Wall -Wextra -O2 -o publish publish.c -lrabbitmq
 *     publish TYPE MESSAGE_ID < body.json
 *
 * Publishes one command, {"amount":2500,"currency":"EUR"} for instance, and prints one line once the broker has confirmed it.
 * ACQUIT_AMQP_URL names the broker (amqp://), with the app's own user: that user is the publisher.
 * Exit codes: 0 confirmed, 1 surely not taken, 2 usage, 75 not known: run it again with the same MESSAGE_ID, nothing happens twice.
 *
 * It shares no code with Acquit; everything it relies on stands in docs/integration.md.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <amqp.h>
#include <amqp_tcp_socket.h>

#define EXCHANGE "acquit.in"

enum { CHANNEL = 1, FRAME_MAX = 131072, HEARTBEAT_S = 15, CONNECT_S = 5, CONFIRM_S = 5, BODY_MAX = 256 * 1024 };
enum { EXIT_USAGE = 2, EXIT_UNKNOWN = 75 };

_Noreturn static void fail(int code, const char *what, const char *why)
{
    fprintf(stderr, "publish: %s: %s\n", what, why);
    exit(code);
}

/* Ends with the broker's own words when a call was not answered as it should be. */
static void must(amqp_rpc_reply_t reply, const char *what)
{
    char why[256] = "unexpected answer";
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        fail(1, what, amqp_error_string2(reply.library_error));
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        amqp_connection_close_t *close = reply.reply.decoded;
        snprintf(why, sizeof why, "%.*s", (int)close->reply_text.len, (char *)close->reply_text.bytes);
    } else if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        amqp_channel_close_t *close = reply.reply.decoded;
        snprintf(why, sizeof why, "%.*s", (int)close->reply_text.len, (char *)close->reply_text.bytes);
    }
    fail(1, what, why);
}

static amqp_connection_state_t connect_to(char *url, struct amqp_connection_info *ret)
{
    if (amqp_parse_url(url, ret) != AMQP_STATUS_OK || ret->ssl)
        fail(EXIT_USAGE, "ACQUIT_AMQP_URL", "is no amqp://USER:PASSWORD@HOST:PORT/VHOST");
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (!socket)
        fail(1, "connect", "out of memory");
    int status = amqp_socket_open_noblock(socket, ret->host, ret->port, &(struct timeval){.tv_sec = CONNECT_S});
    if (status != AMQP_STATUS_OK)
        fail(1, "connect", amqp_error_string2(status));
    amqp_set_rpc_timeout(connection, &(struct timeval){.tv_sec = CONNECT_S});
    must(
        amqp_login(connection, ret->vhost, 0, FRAME_MAX, HEARTBEAT_S, AMQP_SASL_METHOD_PLAIN, ret->user, ret->password),
        "log in");
    amqp_channel_open(connection, CHANNEL);
    must(amqp_get_rpc_reply(connection), "open a channel");
    amqp_confirm_select(connection, CHANNEL); /* without confirms a lost message is lost silently */
    must(amqp_get_rpc_reply(connection), "ask for confirms");
    return connection;
}

/* The broker's word on the message; everything it may say before that is read and understood. */
static void await_confirm(amqp_connection_state_t connection)
{
    bool returned = false;
    for (;;) {
        amqp_frame_t frame;
        int status = amqp_simple_wait_frame_noblock(connection, &frame, &(struct timeval){.tv_sec = CONFIRM_S});
        if (status != AMQP_STATUS_OK)
            fail(EXIT_UNKNOWN, "no confirm, it may have been taken or not", amqp_error_string2(status));
        if (frame.frame_type != AMQP_FRAME_METHOD)
            continue;
        amqp_message_t message;
        amqp_channel_close_t *close;
        switch (frame.payload.method.id) {
        case AMQP_BASIC_ACK_METHOD:
            if (returned)
                fail(1, "returned", "there is no queue for it");
            return;
        case AMQP_BASIC_NACK_METHOD:
            fail(1, "refused", "the broker cannot take it now");
        case AMQP_BASIC_RETURN_METHOD: /* its content follows, and then its confirm */
            must(amqp_read_message(connection, CHANNEL, &message, 0), "read what came back");
            amqp_destroy_message(&message);
            returned = true;
            break;
        case AMQP_CHANNEL_CLOSE_METHOD: /* a forged user_id, a type we may not publish, a body beyond the broker's limit */
            close = frame.payload.method.decoded;
            fprintf(stderr, "publish: refused: %.*s\n", (int)close->reply_text.len, (char *)close->reply_text.bytes);
            exit(1);
        case AMQP_CONNECTION_CLOSE_METHOD:
            fail(EXIT_UNKNOWN, "the broker closes the connection", "it may have been taken or not");
        }
    }
}

int main(int argc, char **argv)
{
    char *url = getenv("ACQUIT_AMQP_URL");
    if (argc != 3 || !url)
        fail(EXIT_USAGE, "usage", "ACQUIT_AMQP_URL=amqp://... publish TYPE MESSAGE_ID < body.json");
    static char body[BODY_MAX + 1];
    size_t size = fread(body, 1, sizeof body, stdin);
    if (size == 0 || size > BODY_MAX)
        fail(EXIT_USAGE, "the body", size ? "may have 256 KiB at most" : "is empty");
    struct amqp_connection_info broker;
    amqp_connection_state_t connection = connect_to(url, &broker);
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                  AMQP_BASIC_USER_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,  /* survives a restart of the broker */
        .message_id = amqp_cstring_bytes(argv[2]),  /* the idempotency key: the same for every repeat */
        .user_id = amqp_cstring_bytes(broker.user), /* checked by the broker */
        .timestamp = (uint64_t)time(NULL),
    };
    int status = amqp_basic_publish(connection, CHANNEL, amqp_cstring_bytes(EXCHANGE), amqp_cstring_bytes(argv[1]),
                                    1 /* mandatory: comes back if there is no queue for it */, 0, &properties,
                                    (amqp_bytes_t){.len = size, .bytes = body});
    if (status != AMQP_STATUS_OK)
        fail(EXIT_UNKNOWN, "publish, it may have been taken or not", amqp_error_string2(status));
    await_confirm(connection);
    printf("confirmed: %s %s\n", argv[1], argv[2]);
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
    return 0;
}
