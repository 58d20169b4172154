/* main.c - acquit-keeper: deadlines, payments that stand still, the ledger's seals, lists and partitions to come
 *
 *     acquit-keeper [--config FILE]
 *
 * Settings, ledger, publisher, keeper, ready, loop, drain, close. SIGTERM and SIGINT drain: no further sweeps, what is
 * published is confirmed, at most DRAIN_MS long. Exits 0 after a drain, 1 or 75 when it could not start, 2 on wrong
 * usage, 78 on a bad configuration. Everything it knows it reads from the ledger anew when it starts.
 */
#include <signal.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "workers/exposition.h"
#include "workers/guard.h"
#include "workers/keeper/keeper.h"
#include "workers/keeper/projecting.h"
#include "workers/keeper/partitions.h"
#include "workers/keeper/sealing.h"
#include "workers/program.h"

enum {
    DRAIN_MS = 5000,
    DRAIN_LOOK_MS = 20,
    LEDGER_TIMEOUT_MAX_MS = 4000 /* one query; the loop stands still meanwhile */
};

static const char program[] = "acquit-keeper";
static const char metrics_address[] = "127.0.0.1";

static const char usage[] = "usage: acquit-keeper [--config FILE]\n"
                            "\n"
                            "Ends payments whose deadline has passed, moves on those that stand still, seals the "
                            "ledger, keeps its lists and makes its partitions.\n"
                            "Writes no fact.\n"
                            "\n"
                            "  --config FILE   settings (default: $ACQUIT_CONFIG, else /etc/acquit/acquit.conf)\n"
                            "  --version       the version\n"
                            "  --help          this text\n"
                            "\n"
                            "Several may run; they do no harm to each other.\n"
                            "SIGHUP reads the settings again.\n"
                            "Exit codes: 0 drained, 1 failed, 2 usage, 75 try again later, 78 bad configuration.\n";

struct process {
    struct config *config;
    struct reload reload;
    struct loop *loop;
    struct db *db;
    struct guard guard;
    struct publisher *publisher;
    struct keeper *keeper;
    struct sealing *sealing; /* NULL: the ledger is not sealed */
    struct projecting *projecting;
    struct partitions *partitions;
    struct exposition *exposition;
    struct loop_source *drain_timer;
    int64_t drain_until_ms;
    char user[PROGRAM_USER_SIZE];
};

static void on_drain(void *arg)
{
    struct process *process = arg;
    if (publisher_waiting(process->publisher) == 0 || clock_monotonic_ms() >= process->drain_until_ms)
        loop_stop(process->loop, EXIT_SUCCESS);
    else
        loop_timer_set(process->drain_timer, DRAIN_LOOK_MS);
}

/* Of the keeper's settings only the log's level can change while it runs. */
static void on_reload(void *arg, int signo)
{
    struct process *process = arg;
    (void)signo;
    program_reload(&process->reload, program, process->config);
}

static void on_signal(void *arg, int signo)
{
    struct process *process = arg;
    if (process->drain_timer)
        return;
    log_info("signal %d: draining", signo);
    loop_notify("STOPPING=1");
    keeper_stop(process->keeper);
    if (process->sealing)
        sealing_stop(process->sealing);
    projecting_stop(process->projecting);
    partitions_stop(process->partitions);
    process->drain_until_ms = clock_monotonic_ms() + DRAIN_MS;
    process->drain_timer = loop_timer(process->loop, 0, on_drain, process);
}

static bool is_healthy(void *arg)
{
    (void)arg;
    return true; /* who turns the loop is alive; broker and ledger are not ours to restart for */
}

static void refresh_gauges(void *arg)
{
    const struct process *process = arg;
    keeper_measure(process->keeper);
    projecting_measure(process->projecting);
    partitions_measure(process->partitions);
}

static int open_ledger(struct process *process, struct err *err)
{
    int64_t timeout_ms = config_int(process->config, "ledger.timeout_ms");
    /* On the primary: a replica that lags would make payments look as if they stood still. */
    const struct db_options options = {.url = config_text(process->config, "ledger.url"),
                                       .application = program,
                                       .timeout_ms =
                                           timeout_ms < LEDGER_TIMEOUT_MAX_MS ? timeout_ms : LEDGER_TIMEOUT_MAX_MS,
                                       .opened = guard_opened,
                                       .arg = &process->guard};
    process->guard.loop = process->loop;
    process->db = db_new(&options, err);
    return process->db ? guard_connect(&process->guard, process->db, err) : -1;
}

static int open_metrics(struct process *process, struct err *err)
{
    int port = (int)config_int(process->config, "keeper.metrics_port");
    if (!port)
        return 0;
    process->exposition = exposition_new(process->loop, metrics_address, port, refresh_gauges, process, err);
    return process->exposition ? 0 : -1;
}

static int open_sealing(struct process *process, struct err *err)
{
    const struct config *config = process->config;
    const struct sealing_options options = {.loop = process->loop,
                                            .db = process->db,
                                            .publisher = process->publisher,
                                            .user = process->user,
                                            .origin = config_text(config, "seal.origin"),
                                            .key = config_text(config, "seal.key"),
                                            .heads_dir = config_text(config, "seal.heads_dir"),
                                            .interval_ms = config_int(config, "seal.interval_ms"),
                                            .map_interval_ms = config_int(config, "seal.map_interval_ms")};
    if (!*options.origin)
        return 0;
    process->sealing = sealing_new(&options, err);
    return process->sealing ? 0 : -1;
}

static int open_all(struct process *process, struct err *err)
{
    const struct config *config = process->config;
    struct broker_options broker = program_broker(config, program);
    process->loop = loop_new(err);
    if (!process->loop || program_user(config, process->user, err) < 0 || open_ledger(process, err) < 0)
        return -1;
    process->publisher = publisher_new(process->loop, &broker, err);
    if (!process->publisher)
        return -1;
    const struct keeper_options options = {.loop = process->loop,
                                           .db = process->db,
                                           .publisher = process->publisher,
                                           .user = process->user,
                                           .sweep_ms = config_int(config, "keeper.sweep_ms"),
                                           .stand_still_ms = config_int(config, "keeper.stand_still_ms"),
                                           .give_up_ms = config_int(config, "question.give_up_ms")};
    process->keeper = keeper_new(&options);
    const struct projecting_options projecting = {
        .loop = process->loop, .db = process->db, .interval_ms = config_int(config, "projection.interval_ms")};
    process->projecting = projecting_new(&projecting);
    process->partitions = partitions_new(process->loop, process->db);
    return open_sealing(process, err) < 0 || open_metrics(process, err) < 0 ? -1 : 0;
}

static void close_all(struct process *process)
{
    if (process->publisher)
        publisher_free(process->publisher);
    exposition_free(process->exposition);
    keeper_free(process->keeper);
    sealing_free(process->sealing);
    projecting_free(process->projecting);
    partitions_free(process->partitions);
    if (process->db)
        db_free(process->db);
    loop_free(process->loop);
}

static int serve(struct process *process, struct err *err)
{
    struct loop *loop = process->loop;
    if (loop_signal(loop, SIGHUP, on_reload, process) < 0 || loop_signal(loop, SIGTERM, on_signal, process) < 0 ||
        loop_signal(loop, SIGINT, on_signal, process) < 0 || loop_watchdog(loop, is_healthy, process) < 0)
        return err_set(err, ERR_INTERNAL, "cannot watch signals");
    loop_notify("READY=1");
    log_info("ready");
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
