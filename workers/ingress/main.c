/* main.c - acquit-ingress: HTTP in front of the queue
 *
 *     acquit-ingress [--config FILE]
 *
 * Settings, ledger, publisher, server, ready, loop, drain, close. SIGTERM and SIGINT drain: no further connections are
 * taken, and requests that wait are answered within DRAIN_MS with what is known by then. Exits 0 after a drain, 1 or 75
 * when it could not start, 2 on wrong usage, 78 on a bad configuration. A broker or ledger that is away is no reason to
 * stop: requests are answered 503 until it is back.
 */
#include <signal.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "workers/exposition.h"
#include "workers/ingress/ingress.h"
#include "workers/ingress/submit.h"
#include "workers/ingress/waiting.h"
#include "workers/program.h"

enum {
    DRAIN_MS = 10 * 1000,  /* requests that wait are answered by then, the latest */
    DRAIN_GRACE_MS = 1000, /* for the last bytes */
    LOOK_MS = 50,
    /* The loop stands still for a query, and for connecting to a broker that is frozen. Who asks meanwhile is to hear 503
     * within 2 s. */
    LEDGER_TIMEOUT_MAX_MS = 1500,
    BROKER_CONNECT_MAX_MS = 1000,
    BROKER_WAIT_MS = 3000, /* before we say that we are ready: the first request should find the broker */
    IDLE_S = 60,           /* a connection that is silent so long is closed */
};

static const char program[] = "acquit-ingress";

static const char usage[] =
    "usage: acquit-ingress [--config FILE]\n"
    "\n"
    "Takes payment commands over HTTP, publishes them to RabbitMQ, and answers what became of them from the ledger.\n"
    "\n"
    "  --config FILE   settings (default: $ACQUIT_CONFIG, else /etc/acquit/acquit.conf)\n"
    "  --version       the version\n"
    "  --help          this text\n"
    "\n"
    "SIGTERM drains: requests in hand are answered, no further ones are taken.\n"
    "SIGHUP reads the settings again.\n"
    "Exit codes: 0 drained, 1 failed, 2 usage, 75 try again later, 78 bad configuration.\n";

struct process {
    struct ingress ingress;
    struct config *config;
    struct reload reload;
    struct exposition *exposition;
    struct loop_source *drain_timer;
    int64_t drain_until_ms;
    bool hurried;
};

/* -- draining */

static void on_drain(void *arg)
{
    struct process *process = arg;
    struct ingress *ingress = &process->ingress;
    int64_t now_ms = clock_monotonic_ms();
    size_t open = server_requests(ingress->server);
    if (open == 0 || now_ms >= process->drain_until_ms + DRAIN_GRACE_MS) {
        if (open)
            log_warn("drain took too long: %zu requests are cut off", open);
        loop_stop(ingress->loop, EXIT_SUCCESS);
        return;
    }
    if (now_ms >= process->drain_until_ms && !process->hurried) {
        process->hurried = true;
        waiting_hurry(ingress->waiting);
    }
    loop_timer_set(process->drain_timer, LOOK_MS);
}

static void on_reload(void *arg, int signo)
{
    struct process *process = arg;
    (void)signo;
    struct err err = {0};
    const struct config *config = program_reload(&process->reload, program, process->ingress.config);
    struct auth *auth = config ? auth_new(config, &err) : NULL;
    if (!auth)
        return; /* said already; what held holds */
    auth_free(process->ingress.auth);
    process->ingress.auth = auth;
    process->ingress.config = config;
}

static void on_signal(void *arg, int signo)
{
    struct process *process = arg;
    if (process->ingress.draining)
        return;
    log_info("signal %d: draining", signo);
    loop_notify("STOPPING=1");
    process->ingress.draining = true;
    server_quiesce(process->ingress.server);
    process->drain_until_ms = clock_monotonic_ms() + DRAIN_MS;
    process->drain_timer = loop_timer(process->ingress.loop, 0, on_drain, process);
}

/* -- opening and closing */

static void refresh_gauges(void *arg)
{
    const struct process *process = arg;
    const struct ingress *ingress = &process->ingress;
    metric_set("acquit_ingress_requests_open", NULL, (int64_t)server_requests(ingress->server));
    metric_set("acquit_ingress_requests_waiting", NULL, (int64_t)waiting_count(ingress->waiting));
    metric_set("acquit_ingress_unconfirmed", NULL, (int64_t)publisher_waiting(ingress->publisher));
    metric_set("acquit_ingress_broker_up", NULL, publisher_ready(ingress->publisher));
}

static int64_t at_most(int64_t configured_ms, int64_t most_ms)
{
    return configured_ms < most_ms ? configured_ms : most_ms;
}

static int open_ledger(struct ingress *ingress, struct err *err)
{
    struct db_options options = {.url = config_text(ingress->config, "ledger.read_url"),
                                 .application = program,
                                 .timeout_ms =
                                     at_most(config_int(ingress->config, "ledger.timeout_ms"), LEDGER_TIMEOUT_MAX_MS),
                                 .read_only = true};
    ingress->db = db_new(&options, err);
    options.url = config_text(ingress->config, "ledger.url"); /* keys are looked up where they are written (L10) */
    options.read_only = false;
    options.opened = guard_opened;
    options.arg = &ingress->guard;
    ingress->guard.loop = ingress->loop;
    ingress->store = ingress->db ? store_new(&options, err) : NULL;
    return ingress->store ? guard_connect(&ingress->guard, store_db(ingress->store), err) : -1;
}

static int open_publisher(struct ingress *ingress, struct err *err)
{
    struct broker_options options = program_broker(ingress->config, program);
    options.connect_timeout_ms = at_most(options.connect_timeout_ms, BROKER_CONNECT_MAX_MS);
    options.confirm_timeout_ms = config_int(ingress->config, "ingress.publish_timeout_ms");
    ingress->publisher = publisher_new(ingress->loop, &options, err);
    return ingress->publisher ? 0 : -1;
}

static int open_server(struct ingress *ingress, struct err *err)
{
    const struct config *config = ingress->config;
    const struct server_options options = {.address = config_text(config, "ingress.listen"),
                                           .port = (int)config_int(config, "ingress.port"),
                                           .body_max = (size_t)config_int(config, "ingress.body_max"),
                                           .connections_max = (int)config_int(config, "ingress.connections_max"),
                                           .idle_s = IDLE_S,
                                           .on_head = ingress_on_head,
                                           .on_request = ingress_on_request,
                                           .on_done = ingress_on_done,
                                           .arg = ingress};
    ingress->server = server_new(ingress->loop, &options, err);
    return ingress->server ? 0 : -1;
}

static int open_metrics(struct process *process, struct err *err)
{
    int port = (int)config_int(process->config, "ingress.metrics_port");
    if (!port)
        return 0;
    process->exposition = exposition_new(process->ingress.loop, config_text(process->config, "ingress.listen"), port,
                                         refresh_gauges, process, err);
    return process->exposition ? 0 : -1;
}

/* A broker that is away is no reason not to start. */
static void await_broker(struct ingress *ingress)
{
    int64_t until_ms = clock_monotonic_ms() + BROKER_WAIT_MS;
    while (!publisher_ready(ingress->publisher) && clock_monotonic_ms() < until_ms)
        if (loop_turn(ingress->loop, LOOK_MS) < 0)
            return;
}

static int open_all(struct process *process, struct err *err)
{
    struct ingress *ingress = &process->ingress;
    ingress->config = process->config;
    ingress->started_ms = clock_monotonic_ms();
    ingress->auth = auth_new(ingress->config, err);
    ingress->loop = ingress->auth ? loop_new(err) : NULL;
    if (!ingress->loop || open_ledger(ingress, err) < 0 || open_publisher(ingress, err) < 0)
        return -1;
    ingress->recent = recent_new();
    ingress->submitter = submitter_new(ingress);
    ingress->waiting = waiting_new(ingress);
    await_broker(ingress);
    return open_server(ingress, err) < 0 || open_metrics(process, err) < 0 ? -1 : 0;
}

/* The publisher first: what it still holds is settled, which answers requests; then the server. */
static void close_all(struct process *process)
{
    struct ingress *ingress = &process->ingress;
    if (ingress->publisher)
        publisher_free(ingress->publisher);
    exposition_free(process->exposition);
    server_free(ingress->server);
    submitter_free(ingress->submitter);
    waiting_free(ingress->waiting);
    recent_free(ingress->recent);
    store_free(ingress->store);
    db_free(ingress->db);
    json_decref(ingress->gateways);
    json_decref(ingress->openapi);
    loop_free(ingress->loop);
    auth_free(ingress->auth);
}

static bool is_healthy(void *arg)
{
    (void)arg;
    return true; /* who turns the loop is alive; broker and ledger are not ours to restart for */
}

static int serve(struct process *process, struct err *err)
{
    struct loop *loop = process->ingress.loop;
    if (loop_signal(loop, SIGHUP, on_reload, process) < 0 || loop_signal(loop, SIGTERM, on_signal, process) < 0 ||
        loop_signal(loop, SIGINT, on_signal, process) < 0 || loop_watchdog(loop, is_healthy, process) < 0)
        return err_set(err, ERR_INTERNAL, "cannot watch signals");
    loop_notify("READY=1");
    log_info("ready on %s port %d", config_text(process->config, "ingress.listen"),
             server_port(process->ingress.server));
    return loop_run(loop);
}

int main(int argc, char **argv)
{
    const char *config_path;
    int code;
    if (!program_arguments(argc, argv, usage, &config_path, &code))
        return code;
    log_open(program, LOG_INFO_LEVEL);
    signal(SIGPIPE, SIG_IGN);
    struct err err = {0};
    struct process process = {.config = program_config(config_path, program, &err), .reload = {.path = config_path}};
    code = process.config && open_all(&process, &err) == 0 ? serve(&process, &err) : -1;
    if (code < 0) {
        log_error("%s", err.text);
        code = err_exit_code(&err);
    }
    close_all(&process);
    program_reload_free(&process.reload);
    config_free(process.config);
    return code;
}
