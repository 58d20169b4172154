/* amqp.c - one AMQP connection with one channel
 *
 * The only file, with amqp_properties.c, that includes librabbitmq's headers. What it knows of version 0.11:
 *
 * - amqp_basic_publish() and everything else that sends waits without a limit when the socket's buffer is full (a broker in alarm, a frozen one).
 *   So a message goes out frame by frame, each only when SIOCOUTQ shows that the buffer takes it whole: wire_room().
 * - It does not offer consumer_cancel_notify and connection.blocked, and without them a deleted queue or an alarm goes unnoticed: own table.
 * - Its message readers drop or choke on frames they do not expect: frames are read one by one, until there is none.
 * - Bytes may wait in its buffer or in OpenSSL's where poll() does not see them: whoever is woken reads until WIRE_NOTHING.
 * - What was decoded lives in pools that must be released now and then: everything is copied out first.
 */
#include "queues/amqp.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "queues/amqp_properties.h"
#include "queues/url.h"

enum {
    CHANNEL = 1,
    FRAME_OVERHEAD = 8,      /* head and end of a frame */
    METHOD_FRAME_MAX = 1024, /* basic.publish with two names of 255 bytes, or any smaller method */
    SEND_BUFFER_PART = 4,    /* only this part of the send buffer is filled: the kernel counts its own overhead too */
    CLOSE_TIMEOUT_MS = 1000,
    POOL_PAGE_SIZE = 4096,
    CODE_ACCESS_REFUSED = 403, /* AMQP reply codes */
    CODE_NOT_FOUND = 404,
    CODE_PRECONDITION_FAILED = 406,
    CODE_NOT_ALLOWED = 530,
};

/* What a card number as people write it is made of, see common/pan.h. */
#define NUMBER_BYTES "0123456789 -._/"
enum { NUMBER_MAX = 64 }; /* bytes: 19 digits, each with a separator, and some */

/* Where a Debian system keeps its certificate authorities; $SSL_CERT_FILE comes first, as with OpenSSL itself. */
#define CA_FILE "/etc/ssl/certs/ca-certificates.crt"

enum reading { READING_METHOD, READING_HEADER, READING_BODY };
enum sending { SENDING_METHOD, SENDING_HEADER, SENDING_BODY };

struct wire {
    amqp_connection_state_t state;
    int64_t deadline_ms;      /* of set-up calls; monotonic */
    size_t body_frame_max;    /* bytes of body in one frame of ours */
    size_t send_limit;        /* bytes we let wait in the send buffer */
    size_t room;              /* of these, known to be free */
    unsigned user_timeout_ms; /* TCP_USER_TIMEOUT */
    bool lost;
    /* A delivery or return that is coming in. */
    enum reading reading;
    struct wire_event incoming;
    uint64_t body_expected, body_seen; /* bytes */
    size_t body_kept, body_capacity;   /* of these, how many are to be kept */
    /* The message that is going out. */
    enum sending sending;
    const struct message *outgoing;
    size_t properties_size, body_sent;
    amqp_pool_t pool;
    amqp_basic_properties_t properties;
};

/* Errors. */

static int status_error(int status, struct err *err)
{
    if (status == AMQP_STATUS_SOCKET_ERROR && errno)
        return err_set(err, ERR_AGAIN, "%s", strerror(errno));
    return err_set(err, ERR_AGAIN, "%s", amqp_error_string2(status));
}

static enum err_code code_of(int reply_code)
{
    switch (reply_code) {
    case CODE_ACCESS_REFUSED:
    case CODE_NOT_ALLOWED:
        return ERR_DENIED;
    case CODE_NOT_FOUND:
        return ERR_NOT_FOUND;
    case CODE_PRECONDITION_FAILED:
        return ERR_CONFLICT;
    default:
        return ERR_AGAIN;
    }
}

/* The broker's words, as text of at most a line. */
static void copy_text(amqp_bytes_t bytes, char *ret, size_t size)
{
    bool escaped = false;
    char *text = message_text(bytes.bytes, bytes.len, &escaped);
    message_text_cut(text, ret, size);
    free(text);
}

static int close_error(struct wire *wire, const char *what, int reply_code, amqp_bytes_t reply_text, struct err *err)
{
    char text[WIRE_SHORT_MAX + 1];
    copy_text(reply_text, text, sizeof text);
    wire->lost = true;
    return err_set(err, code_of(reply_code), "the broker closed the %s: %s", what, text);
}

/* A channel or connection that the broker closes: the method says why. */
static int closed_by(struct wire *wire, const amqp_method_t *method, struct err *err)
{
    if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *m = method->decoded;
        return close_error(wire, "channel", m->reply_code, m->reply_text, err);
    }
    if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *m = method->decoded;
        return close_error(wire, "connection", m->reply_code, m->reply_text, err);
    }
    wire->lost = true;
    return err_set(err, ERR_AGAIN, "unexpected answer 0x%08x of the broker", (unsigned)method->id);
}

static int check(struct wire *wire, amqp_rpc_reply_t reply, struct err *err)
{
    switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL:
        amqp_maybe_release_buffers(wire->state);
        return 0;
    case AMQP_RESPONSE_SERVER_EXCEPTION:
        return closed_by(wire, &reply.reply, err);
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
        wire->lost = true;
        return status_error(reply.library_error, err);
    case AMQP_RESPONSE_NONE:
        break;
    }
    wire->lost = true;
    return err_set(err, ERR_AGAIN, "the broker hung up");
}

static int worked(struct wire *wire, int status, struct err *err)
{
    if (status >= 0)
        return 0;
    wire->lost = true;
    return status_error(status, err);
}

/* Opening. */

static struct timeval time_left(const struct wire *wire)
{
    int64_t ms = wire->deadline_ms - clock_monotonic_ms();
    if (ms < 1)
        ms = 1;
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

void wire_deadline(struct wire *wire, int64_t timeout_ms)
{
    wire->deadline_ms = clock_monotonic_ms() + timeout_ms;
}

/* Before each set-up call, which has no limit of its own. */
static void limit_call(struct wire *wire)
{
    struct timeval left = time_left(wire);
    amqp_set_rpc_timeout(wire->state, &left);
}

static int tls_socket(struct wire *wire, const struct amqp_url *url, amqp_socket_t **ret, struct err *err)
{
    amqp_socket_t *socket = amqp_ssl_socket_new(wire->state);
    if (!socket)
        return err_set(err, ERR_INTERNAL, "no TLS socket");
    const char *ca = url->ca_file ? url->ca_file : getenv("SSL_CERT_FILE") ? getenv("SSL_CERT_FILE") : CA_FILE;
    amqp_ssl_socket_set_verify_peer(socket, 1);
    amqp_ssl_socket_set_verify_hostname(socket, 1);
    if (amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) != AMQP_STATUS_OK)
        return err_set(err, ERR_INTERNAL, "TLS 1.2 is not there");
    if (amqp_ssl_socket_set_cacert(socket, ca) != AMQP_STATUS_OK)
        return err_set(err, ERR_INVALID, "cannot read the certificate authorities in %s", ca);
    if (url->certificate_file &&
        amqp_ssl_socket_set_key(socket, url->certificate_file, url->key_file) != AMQP_STATUS_OK)
        return err_set(err, ERR_INVALID, "cannot read the certificate in %s or its key", url->certificate_file);
    *ret = socket;
    return 0;
}

/* The kernel too gives up a peer that takes none of our data for two heartbeats. */
static void set_user_timeout(struct wire *wire, unsigned timeout_ms)
{
    if (setsockopt(amqp_get_sockfd(wire->state), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms) != 0)
        errno = 0; /* our own heartbeat does the same, only later */
}

/* The send buffer gets a fixed size, so that wire_room() can rely on it; what counts is what the kernel gives. */
static void tune_socket(struct wire *wire, int64_t heartbeat_s)
{
    int fd = amqp_get_sockfd(wire->state);
    int asked = WIRE_SEND_BUFFER, given = 0, yes = 1;
    socklen_t size = sizeof given;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &asked, sizeof asked) != 0)
        errno = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &given, &size) != 0 || given < SEND_BUFFER_PART)
        given = SEND_BUFFER_PART;
    wire->send_limit = (size_t)given / SEND_BUFFER_PART;
    wire->user_timeout_ms = (unsigned)(2 * heartbeat_s * 1000);
    set_user_timeout(wire, wire->user_timeout_ms);
}

static int connect_socket(struct wire *wire, const struct amqp_url *url, const struct wire_options *options,
                          struct err *err)
{
    amqp_socket_t *socket = NULL;
    if (url->tls) {
        if (tls_socket(wire, url, &socket, err) != 0)
            return -1;
    } else if (!(socket = amqp_tcp_socket_new(wire->state))) {
        return err_set(err, ERR_INTERNAL, "no socket");
    }
    struct timeval left = time_left(wire);
    int status = amqp_socket_open_noblock(socket, url->host, url->port, &left);
    if (status == AMQP_STATUS_SOCKET_ERROR) /* which one the library keeps to itself */
        return err_set(err, ERR_AGAIN, "cannot connect; does the broker listen there?");
    if (status != AMQP_STATUS_OK)
        return status_error(status, err);
    tune_socket(wire, options->heartbeat_s);
    return 0;
}

static amqp_table_entry_t yes_entry(const char *name)
{
    return (amqp_table_entry_t){.key = text_bytes(name),
                                .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}};
}

static amqp_table_entry_t text_entry(const char *name, const char *text)
{
    return (amqp_table_entry_t){.key = text_bytes(name),
                                .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = text_bytes(text)}};
}

static int login(struct wire *wire, const struct amqp_url *url, const struct wire_options *options, struct err *err)
{
    amqp_table_entry_t offered[] = {
        yes_entry("consumer_cancel_notify"),
        yes_entry("connection.blocked"),
        yes_entry("basic.nack"),
        yes_entry("publisher_confirms"),
        yes_entry("authentication_failure_close"),
        yes_entry("exchange_exchange_bindings"),
    };
    amqp_table_entry_t ours[] = {
        {.key = text_bytes("capabilities"),
         .value = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {sizeof offered / sizeof offered[0], offered}}},
        text_entry("product", "Acquit"),
        text_entry("connection_name", options->connection_name ? options->connection_name : "acquit"),
    };
    amqp_table_t table = {sizeof ours / sizeof ours[0], ours};
    struct timeval left = time_left(wire);
    amqp_set_handshake_timeout(wire->state, &left);
    return check(wire,
                 amqp_login_with_properties(wire->state, url->vhost, CHANNEL, WIRE_FRAME_MAX, (int)options->heartbeat_s,
                                            &table, AMQP_SASL_METHOD_PLAIN, url->user, url->password),
                 err);
}

/* After the login: what we send keeps to what was agreed, what we read may be larger (WIRE_READ_FRAME_MAX). */
static int agree_frames(struct wire *wire, struct err *err)
{
    size_t agreed = (size_t)amqp_get_frame_max(wire->state);
    wire->body_frame_max = WIRE_BODY_FRAME_MAX;
    if (wire->body_frame_max > agreed - FRAME_OVERHEAD)
        wire->body_frame_max = agreed - FRAME_OVERHEAD;
    if (wire->body_frame_max > wire->send_limit / 2)
        wire->body_frame_max = wire->send_limit / 2;
    return worked(wire,
                  amqp_tune_connection(wire->state, amqp_get_channel_max(wire->state), WIRE_READ_FRAME_MAX,
                                       amqp_get_heartbeat(wire->state)),
                  err);
}

static int open_all(struct wire *wire, const struct amqp_url *url, const struct wire_options *options, struct err *err)
{
    if (connect_socket(wire, url, options, err) != 0 || login(wire, url, options, err) != 0 ||
        agree_frames(wire, err) != 0)
        return -1;
    limit_call(wire);
    amqp_channel_open(wire->state, CHANNEL);
    return check(wire, amqp_get_rpc_reply(wire->state), err);
}

struct wire *wire_open(const struct wire_options *options, struct err *err)
{
    struct amqp_url url;
    if (amqp_url_parse(options->url, &url, err) != 0) {
        amqp_url_clear(&url);
        return NULL;
    }
    struct wire *wire = mem_new(1, sizeof *wire);
    init_amqp_pool(&wire->pool, POOL_PAGE_SIZE);
    wire->state = amqp_new_connection();
    wire_deadline(wire, options->timeout_ms);
    int result =
        wire->state ? open_all(wire, &url, options, err) : err_set(err, ERR_INTERNAL, "no AMQP connection object");
    if (result != 0) {
        err_prefix(err, "broker %s:%d", url.host, url.port);
        wire_close(wire, false);
        wire = NULL;
    }
    amqp_url_clear(&url);
    return wire;
}

void wire_close(struct wire *wire, bool politely)
{
    if (!wire)
        return;
    if (wire->state && politely && !wire->lost) {
        wire_deadline(wire, CLOSE_TIMEOUT_MS);
        limit_call(wire);
        /* However that ends, the connection does. */
        amqp_rpc_reply_t ignored = amqp_connection_close(wire->state, AMQP_REPLY_SUCCESS);
        (void)ignored;
    }
    int fd = wire->state ? amqp_get_sockfd(wire->state) : -1;
    if (fd >= 0)
        shutdown(fd, SHUT_RDWR); /* so that a TLS goodbye cannot wait for anybody */
    amqp_destroy_connection(wire->state);
    empty_amqp_pool(&wire->pool);
    message_clear(&wire->incoming.message);
    free(wire);
}

int wire_fd(const struct wire *wire)
{
    return amqp_get_sockfd(wire->state);
}

/* Set-up calls. */

int wire_prefetch(struct wire *wire, int count, struct err *err)
{
    limit_call(wire);
    amqp_basic_qos(wire->state, CHANNEL, 0, (uint16_t)count, 0);
    return check(wire, amqp_get_rpc_reply(wire->state), err);
}

int wire_confirms(struct wire *wire, struct err *err)
{
    limit_call(wire);
    amqp_confirm_select(wire->state, CHANNEL);
    return check(wire, amqp_get_rpc_reply(wire->state), err);
}

int wire_declare_exchange(struct wire *wire, const char *name, const char *type, const char *alternate, struct err *err)
{
    amqp_table_entry_t argument = text_entry("alternate-exchange", alternate);
    amqp_table_t arguments = {alternate ? 1 : 0, &argument};
    limit_call(wire);
    amqp_exchange_declare(wire->state, CHANNEL, text_bytes(name), text_bytes(type), 0, 1, 0, 0, arguments);
    return check(wire, amqp_get_rpc_reply(wire->state), err);
}

int wire_declare_queue(struct wire *wire, const char *name, const json_t *arguments, struct err *err)
{
    amqp_table_t table;
    recycle_amqp_pool(&wire->pool);
    if (table_write(arguments, &wire->pool, &table, err) != 0)
        return -1;
    limit_call(wire);
    amqp_queue_declare(wire->state, CHANNEL, text_bytes(name), 0, 1, 0, 0, table);
    return check(wire, amqp_get_rpc_reply(wire->state), err);
}

int wire_bind_queue(struct wire *wire, const char *queue, const char *exchange, const char *key, struct err *err)
{
    limit_call(wire);
    amqp_queue_bind(wire->state, CHANNEL, text_bytes(queue), text_bytes(exchange), text_bytes(key), amqp_empty_table);
    return check(wire, amqp_get_rpc_reply(wire->state), err);
}

int wire_bind_exchange(struct wire *wire, const char *destination, const char *source, const char *key, struct err *err)
{
    limit_call(wire);
    amqp_exchange_bind(wire->state, CHANNEL, text_bytes(destination), text_bytes(source), text_bytes(key),
                       amqp_empty_table);
    return check(wire, amqp_get_rpc_reply(wire->state), err);
}

/* Reading. */

static int confused(struct wire *wire, const char *what, struct err *err)
{
    wire->lost = true;
    return err_set(err, ERR_AGAIN, "protocol error: %s", what);
}

static char *name_copy(amqp_bytes_t bytes, struct message *message)
{
    return message_text(bytes.bytes, bytes.len, &message->escaped);
}

static int on_deliver(struct wire *wire, const amqp_basic_deliver_t *m)
{
    wire->incoming.kind = WIRE_DELIVERY;
    wire->incoming.tag = m->delivery_tag;
    wire->incoming.redelivered = m->redelivered != 0;
    copy_text(m->consumer_tag, wire->incoming.consumer, sizeof wire->incoming.consumer);
    wire->incoming.message.exchange = name_copy(m->exchange, &wire->incoming.message);
    wire->incoming.message.routing_key = name_copy(m->routing_key, &wire->incoming.message);
    wire->reading = READING_HEADER;
    return 0;
}

static int on_return(struct wire *wire, const amqp_basic_return_t *m)
{
    wire->incoming.kind = WIRE_RETURN;
    copy_text(m->reply_text, wire->incoming.text, sizeof wire->incoming.text);
    wire->incoming.message.exchange = name_copy(m->exchange, &wire->incoming.message);
    wire->incoming.message.routing_key = name_copy(m->routing_key, &wire->incoming.message);
    wire->reading = READING_HEADER;
    return 0;
}

/* Methods that are an event by themselves. 1: *ret is one, 0: nothing to tell, -1: the connection is lost. */
static int on_method(struct wire *wire, const amqp_method_t *method, struct wire_event *ret, struct err *err)
{
    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        return on_deliver(wire, method->decoded);
    case AMQP_BASIC_RETURN_METHOD:
        return on_return(wire, method->decoded);
    case AMQP_BASIC_ACK_METHOD:
        ret->kind = WIRE_ACK;
        ret->tag = ((const amqp_basic_ack_t *)method->decoded)->delivery_tag;
        ret->multiple = ((const amqp_basic_ack_t *)method->decoded)->multiple != 0;
        return 1;
    case AMQP_BASIC_NACK_METHOD:
        ret->kind = WIRE_NACK;
        ret->tag = ((const amqp_basic_nack_t *)method->decoded)->delivery_tag;
        ret->multiple = ((const amqp_basic_nack_t *)method->decoded)->multiple != 0;
        return 1;
    case AMQP_BASIC_CANCEL_METHOD:
        ret->kind = WIRE_CANCELLED;
        copy_text(((const amqp_basic_cancel_t *)method->decoded)->consumer_tag, ret->consumer, sizeof ret->consumer);
        return 1;
    case AMQP_BASIC_CANCEL_OK_METHOD:
        ret->kind = WIRE_CANCEL_OK;
        copy_text(((const amqp_basic_cancel_ok_t *)method->decoded)->consumer_tag, ret->consumer, sizeof ret->consumer);
        return 1;
    case AMQP_BASIC_CONSUME_OK_METHOD:
        ret->kind = WIRE_CONSUME_OK;
        copy_text(((const amqp_basic_consume_ok_t *)method->decoded)->consumer_tag, ret->consumer,
                  sizeof ret->consumer);
        return 1;
    case AMQP_CONNECTION_BLOCKED_METHOD:
        ret->kind = WIRE_BLOCKED;
        copy_text(((const amqp_connection_blocked_t *)method->decoded)->reason, ret->text, sizeof ret->text);
        set_user_timeout(wire, 0); /* it says that it takes nothing: no reason to hang up */
        return 1;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        ret->kind = WIRE_UNBLOCKED;
        set_user_timeout(wire, wire->user_timeout_ms);
        return 1;
    case AMQP_CHANNEL_CLOSE_METHOD:
    case AMQP_CONNECTION_CLOSE_METHOD:
        return closed_by(wire, method, err);
    default:
        return 0;
    }
}

/* No card number may be cut in two and so escape the mask (L11): of a body that was cut, digits at the end go, too. What is left is still too long for a
 * command. */
static_assert(WIRE_BODY_MAX - NUMBER_MAX > JSON_BODY_MAX, "the beginning of a body must never pass for a whole one");

static void cut_between_numbers(struct message *message)
{
    size_t size = message->body_size;
    if (!message->body_cut)
        return;
    while (size > message->body_size - NUMBER_MAX && strchr(NUMBER_BYTES, message->body[size - 1]))
        size--;
    message->body_cut += message->body_size - size;
    message->body_size = size;
    message->body[size] = '\0';
}

/* The delivery or return is whole: hands it over. */
static int complete(struct wire *wire, struct wire_event *ret)
{
    if (!wire->incoming.message.body)
        wire->incoming.message.body = mem_bytes("", 0);
    cut_between_numbers(&wire->incoming.message);
    *ret = wire->incoming;
    memset(&wire->incoming, 0, sizeof wire->incoming);
    wire->body_capacity = 0;
    wire->body_seen = 0;
    wire->reading = READING_METHOD;
    return 1;
}

static int on_header(struct wire *wire, const amqp_frame_t *frame, struct wire_event *ret, struct err *err)
{
    if (frame->payload.properties.class_id != AMQP_BASIC_CLASS)
        return confused(wire, "a header of another class", err);
    properties_read(frame->payload.properties.decoded, &wire->incoming.message);
    wire->body_expected = frame->payload.properties.body_size;
    wire->body_seen = 0;
    wire->body_kept = wire->body_expected < WIRE_BODY_MAX ? (size_t)wire->body_expected : WIRE_BODY_MAX; /* L12 */
    wire->incoming.message.body_cut = wire->body_expected - wire->body_kept;
    wire->reading = READING_BODY;
    return wire->body_expected == 0 ? complete(wire, ret) : 0;
}

static void keep(struct wire *wire, const void *bytes, size_t length)
{
    struct message *message = &wire->incoming.message;
    size_t size = message->body_size + length;
    if (length == 0)
        return;
    if (size >= wire->body_capacity) {
        /* Grows with what has come, not with what was announced. */
        size_t doubled = 2 * size + 1;
        wire->body_capacity = (doubled > wire->body_kept ? wire->body_kept : doubled) + 1;
        message->body = mem_grow(message->body, wire->body_capacity, 1);
    }
    memcpy(message->body + message->body_size, bytes, length);
    message->body[size] = '\0';
    message->body_size = size;
}

static int on_body(struct wire *wire, amqp_bytes_t piece, struct wire_event *ret, struct err *err)
{
    if (piece.len > wire->body_expected - wire->body_seen)
        return confused(wire, "a body longer than announced", err);
    size_t room = wire->body_kept - wire->incoming.message.body_size;
    keep(wire, piece.bytes, piece.len < room ? piece.len : room);
    wire->body_seen += piece.len;
    return wire->body_seen == wire->body_expected ? complete(wire, ret) : 0;
}

static int on_frame(struct wire *wire, const amqp_frame_t *frame, struct wire_event *ret, struct err *err)
{
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        if (frame->channel != 0 && wire->reading != READING_METHOD)
            return confused(wire, "a method within a message", err);
        return on_method(wire, &frame->payload.method, ret, err);
    case AMQP_FRAME_HEADER:
        if (wire->reading != READING_HEADER)
            return confused(wire, "a header out of place", err);
        return on_header(wire, frame, ret, err);
    case AMQP_FRAME_BODY:
        if (wire->reading != READING_BODY)
            return confused(wire, "a body out of place", err);
        return on_body(wire, frame->payload.body_fragment, ret, err);
    default:
        return 0; /* a heartbeat that a set-up call queued */
    }
}

int wire_next(struct wire *wire, struct wire_event *ret, struct err *err)
{
    memset(ret, 0, sizeof *ret);
    for (;;) {
        amqp_frame_t frame;
        struct timeval now = {0};
        errno = 0;
        int status = amqp_simple_wait_frame_noblock(wire->state, &frame, &now);
        if (status == AMQP_STATUS_TIMEOUT)
            return 0;
        if (worked(wire, status, err) != 0)
            return -1;
        int result = on_frame(wire, &frame, ret, err);
        amqp_maybe_release_buffers(wire->state);
        if (result != 0)
            return result < 0 ? -1 : 0;
    }
}

/* Sending. */

bool wire_room(struct wire *wire, size_t size)
{
    if (wire->room >= size)
        return true;
    int queued = 0;
    if (ioctl(amqp_get_sockfd(wire->state), SIOCOUTQ, &queued) != 0)
        return true; /* the send will tell what is wrong */
    wire->room = (size_t)queued < wire->send_limit ? wire->send_limit - (size_t)queued : 0;
    return wire->room >= size || queued == 0;
}

static void used(struct wire *wire, size_t size)
{
    wire->room -= wire->room < size ? wire->room : size;
}

static void set_cork(struct wire *wire, int on)
{
    int fd = amqp_get_sockfd(wire->state);
    if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on) != 0)
        errno = 0; /* only slower */
}

void wire_cork(struct wire *wire)
{
    set_cork(wire, 1);
}

void wire_uncork(struct wire *wire)
{
    set_cork(wire, 0);
}

static int send_method(struct wire *wire, amqp_method_number_t id, void *method, struct err *err)
{
    errno = 0;
    used(wire, METHOD_FRAME_MAX);
    return worked(wire, amqp_send_method(wire->state, CHANNEL, id, method), err);
}

int wire_ack(struct wire *wire, uint64_t tag, bool multiple, struct err *err)
{
    amqp_basic_ack_t m = {.delivery_tag = tag, .multiple = multiple};
    return send_method(wire, AMQP_BASIC_ACK_METHOD, &m, err);
}

int wire_requeue(struct wire *wire, uint64_t tag, struct err *err)
{
    amqp_basic_nack_t m = {.delivery_tag = tag, .requeue = 1};
    return send_method(wire, AMQP_BASIC_NACK_METHOD, &m, err);
}

int wire_consume(struct wire *wire, const char *queue, const char *tag, struct err *err)
{
    amqp_basic_consume_t m = {.queue = text_bytes(queue), .consumer_tag = text_bytes(tag)};
    return send_method(wire, AMQP_BASIC_CONSUME_METHOD, &m, err);
}

int wire_cancel(struct wire *wire, const char *tag, struct err *err)
{
    amqp_basic_cancel_t m = {.consumer_tag = text_bytes(tag)};
    return send_method(wire, AMQP_BASIC_CANCEL_METHOD, &m, err);
}

int wire_publish(struct wire *wire, const struct message *message, size_t properties_size, struct err *err)
{
    recycle_amqp_pool(&wire->pool);
    if (properties_write(message, &wire->pool, &wire->properties, err) != 0)
        return -1;
    wire->outgoing = message;
    wire->properties_size = properties_size;
    wire->body_sent = 0;
    wire->sending = SENDING_METHOD;
    return 0;
}

static int send_frame(struct wire *wire, amqp_frame_t *frame, size_t size, struct err *err)
{
    frame->channel = CHANNEL;
    errno = 0;
    used(wire, size);
    return worked(wire, amqp_send_frame(wire->state, frame), err);
}

static int publish_method(struct wire *wire, struct err *err)
{
    amqp_basic_publish_t m = {.exchange = text_bytes(wire->outgoing->exchange),
                              .routing_key = text_bytes(wire->outgoing->routing_key),
                              .mandatory = !wire->outgoing->optional};
    return send_method(wire, AMQP_BASIC_PUBLISH_METHOD, &m, err);
}

static int publish_header(struct wire *wire, struct err *err)
{
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_HEADER};
    frame.payload.properties.class_id = AMQP_BASIC_CLASS;
    frame.payload.properties.body_size = wire->outgoing->body_size;
    frame.payload.properties.decoded = &wire->properties;
    return send_frame(wire, &frame, wire->properties_size + METHOD_FRAME_MAX, err);
}

static int publish_body(struct wire *wire, size_t size, struct err *err)
{
    amqp_frame_t frame = {.frame_type = AMQP_FRAME_BODY};
    frame.payload.body_fragment = (amqp_bytes_t){.len = size, .bytes = wire->outgoing->body + wire->body_sent};
    wire->body_sent += size;
    return send_frame(wire, &frame, size + METHOD_FRAME_MAX, err);
}

int wire_publish_more(struct wire *wire, struct err *err)
{
    if (wire->sending == SENDING_METHOD) {
        if (!wire_room(wire, METHOD_FRAME_MAX))
            return 0;
        if (publish_method(wire, err) != 0)
            return -1;
        wire->sending = SENDING_HEADER;
    }
    if (wire->sending == SENDING_HEADER) {
        if (!wire_room(wire, wire->properties_size + METHOD_FRAME_MAX))
            return 0;
        if (publish_header(wire, err) != 0)
            return -1;
        wire->sending = SENDING_BODY;
    }
    while (wire->body_sent < wire->outgoing->body_size) {
        size_t left = wire->outgoing->body_size - wire->body_sent;
        size_t size = left < wire->body_frame_max ? left : wire->body_frame_max;
        if (!wire_room(wire, size + METHOD_FRAME_MAX))
            return 0;
        if (publish_body(wire, size, err) != 0)
            return -1;
    }
    wire->outgoing = NULL;
    return 1;
}
