/* session.c - a connection to the broker that is kept up by the loop
 *
 * Two timers: `beat` looks at the connection twice per heartbeat, `retry` connects. A burst of events longer than SESSION_EVENTS_MAX is
 * continued in the next turn through `beat`, so that other sources have their turn too.
 */
#include "queues/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "queues/url.h"

enum { NAME_MAX_BYTES = 128 };

struct session {
    struct loop *loop;
    char *url;
    char name[NAME_MAX_BYTES];
    int64_t heartbeat_s, connect_timeout_ms;
    const struct session_hooks *hooks;
    void *arg;
    struct wire *wire;
    uint64_t generation;
    struct loop_source *io, *beat, *retry;
    int64_t opened_at_ms;
    int attempts; /* since the last connection that was stable */
};

/* `spent_ms`: how long the attempt that failed has held up the loop. */
static void schedule(struct session *session, int64_t spent_ms, const struct err *err)
{
    int64_t most = SESSION_RETRY_FIRST_MS;
    for (int i = 0; i < session->attempts && most < SESSION_RETRY_MOST_MS; i++)
        most *= 2;
    if (most > SESSION_RETRY_MOST_MS)
        most = SESSION_RETRY_MOST_MS;
    session->attempts++;
    int64_t delay_ms = (int64_t)clock_random((uint64_t)most + 1) + spent_ms;
    log_warn("%s: %s; connecting again in %" PRId64 " ms", session->name, err->text, delay_ms);
    metric_add("acquit_broker_connection_failures_total", NULL, 1);
    loop_timer_set(session->retry, delay_ms);
}

static void drop(struct session *session)
{
    loop_source_free(session->io);
    session->io = NULL;
    loop_timer_set(session->beat, -1);
    wire_close(session->wire, false);
    session->wire = NULL;
}

void session_lost(struct session *session, const struct err *err)
{
    if (!session->wire)
        return;
    drop(session);
    if (clock_monotonic_ms() - session->opened_at_ms >= SESSION_STABLE_MS)
        session->attempts = 0;
    schedule(session, 0, err);
    session->hooks->lost(session->arg);
}

/* Reads what there is. The wire may be lost, and so another one or none, after each event. */
static void read_events(struct session *session)
{
    for (int i = 0; i < SESSION_EVENTS_MAX && session->wire; i++) {
        struct wire_event event;
        struct err err = {0};
        if (wire_next(session->wire, &event, &err) != 0) {
            session_lost(session, &err);
            return;
        }
        if (event.kind == WIRE_NOTHING) {
            loop_timer_set(session->beat, session->heartbeat_s * 1000 / 2);
            return;
        }
        session->hooks->event(session->arg, &event);
    }
    if (session->wire)
        loop_timer_set(session->beat, 0);
}

static void on_readable(void *arg, int events)
{
    (void)events;
    read_events(arg);
}

static void on_beat(void *arg)
{
    struct session *session = arg;
    if (session->wire)
        read_events(session);
}

static int open_wire(struct session *session, struct err *err)
{
    struct wire_options options = {
        .url = session->url,
        .connection_name = session->name,
        .heartbeat_s = session->heartbeat_s,
        .timeout_ms = session->connect_timeout_ms,
    };
    session->wire = wire_open(&options, err);
    if (!session->wire)
        return -1;
    session->generation++;
    if (session->hooks->opened(session->arg, session->wire, err) == 0)
        return 0;
    wire_close(session->wire, false);
    session->wire = NULL;
    return -1;
}

static void on_retry(void *arg)
{
    struct session *session = arg;
    struct err err = {0};
    int64_t started_ms = clock_monotonic_ms();
    if (open_wire(session, &err) != 0) {
        schedule(session, clock_monotonic_ms() - started_ms, &err);
        return;
    }
    log_info("%s: connected to the broker", session->name);
    session->opened_at_ms = clock_monotonic_ms();
    session->io = loop_io(session->loop, wire_fd(session->wire), LOOP_READ, on_readable, session);
    read_events(session); /* deliveries may have come with the answers of the set-up */
}

static int check_options(const struct broker_options *options, struct err *err)
{
    struct amqp_url url;
    int result = amqp_url_parse(options->url, &url, err);
    amqp_url_clear(&url);
    if (result != 0)
        return -1;
    if (options->heartbeat_s < 1 || options->heartbeat_s > HEARTBEAT_MAX_S)
        return err_set(err, ERR_INVALID, "broker heartbeat must be 1 to %d s", (int)HEARTBEAT_MAX_S);
    if (options->connect_timeout_ms < 1)
        return err_set(err, ERR_INVALID, "broker connect timeout must be at least 1 ms");
    return 0;
}

struct session *session_new(struct loop *loop, const struct broker_options *options, const char *purpose,
                            const struct session_hooks *hooks, void *arg, struct err *err)
{
    if (check_options(options, err) != 0)
        return NULL;
    struct session *session = mem_new(1, sizeof *session);
    session->loop = loop;
    session->url = mem_text(options->url);
    snprintf(session->name, sizeof session->name, "%s (%s)",
             options->connection_name ? options->connection_name : "acquit", purpose);
    session->heartbeat_s = options->heartbeat_s;
    session->connect_timeout_ms = options->connect_timeout_ms;
    session->hooks = hooks;
    session->arg = arg;
    session->beat = loop_timer(loop, -1, on_beat, session);
    session->retry = loop_timer(loop, 0, on_retry, session);
    return session;
}

void session_free(struct session *session)
{
    if (!session)
        return;
    loop_source_free(session->io);
    loop_source_free(session->beat);
    loop_source_free(session->retry);
    wire_close(session->wire, true);
    explicit_bzero(session->url, strlen(session->url));
    free(session->url);
    free(session);
}

struct wire *session_wire(const struct session *session)
{
    return session->wire;
}

uint64_t session_generation(const struct session *session)
{
    return session->generation;
}
