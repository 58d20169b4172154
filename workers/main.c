/* main.c - acquit-worker: one worker process of one type
 *
 *     acquit-worker TYPE [--config FILE]
 *
 * Settings, surroundings, worker, ready, loop, drain, close. SIGTERM and SIGINT drain: no further deliveries are taken, those in work are
 * finished and acknowledged, at most worker.drain_ms long. Exits 0 after a drain, 2 on wrong usage, 78 on a bad configuration.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "workers/breakers.h"
#include "workers/exposition.h"
#include "workers/program.h"
#include "workers/surroundings.h"
#include "workers/worker.h"

static const struct worker_type *const types[] = {&worker_authorize, &worker_pop_validate, &worker_token_activate,
                                                  &worker_refund,    &worker_notify,       &worker_compensate};

enum { METRICS_PORTS_PER_TYPE = 20 };

struct process {
    const struct worker_type *type;
    struct surroundings *around;
    struct worker *worker;
    struct exposition *exposition;
    struct reload reload;
    const char *name;
};

static void usage(FILE *out)
{
    fputs("usage: acquit-worker TYPE [--config FILE]\n"
          "\n"
          "Takes commands of one type from RabbitMQ and writes what happened into the ledger.\n"
          "TYPE: authorize, pop-validate, token-activate, refund, notify, compensate (an instance may follow: "
          "authorize-2)\n"
          "\n"
          "  --config FILE   settings (default: $ACQUIT_CONFIG, else /etc/acquit/acquit.conf)\n"
          "  --help          this text\n"
          "  --version       which version this is\n"
          "\n"
          "SIGTERM drains: what is in work is finished, nothing new is taken. SIGHUP reads the settings again.\n"
          "Exit codes: 0 drained, 1 failed, 2 usage, 75 try again later, 78 bad configuration.\n",
          out);
}

/* "authorize" or, as systemd's instances are named, "authorize-2": type and number. */
static const struct worker_type *find_type(const char *name, int *ret_instance)
{
    *ret_instance = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t size = strlen(types[i]->name);
        if (strncmp(name, types[i]->name, size) != 0)
            continue;
        if (name[size] == '\0' || sscanf(name + size, "-%3d", ret_instance) == 1)
            return types[i];
    }
    return NULL;
}

static void on_drained(void *arg, size_t left)
{
    struct process *process = arg;
    if (left > 0)
        log_warn("drain took too long: %zu deliveries go back to the broker", left);
    loop_stop(process->around->loop, EXIT_SUCCESS);
}

static void on_reload(void *arg, int signo)
{
    struct process *process = arg;
    (void)signo;
    const struct config *config = program_reload(&process->reload, process->name, process->around->config);
    if (config)
        process->around->config = config;
}

static void on_signal(void *arg, int signo)
{
    struct process *process = arg;
    log_info("signal %d: draining", signo);
    loop_notify("STOPPING=1");
    worker_drain(process->worker, on_drained, process);
}

/* One port per process: every type has METRICS_PORTS_PER_TYPE of them from worker.metrics_port on, one for each instance. */
static int expose(struct process *process, int instance, struct err *err)
{
    int64_t port = config_int(process->around->config, "worker.metrics_port");
    if (port == 0)
        return 0;
    size_t type = 0;
    while (types[type] != process->type)
        type++;
    int offset = (int)type * METRICS_PORTS_PER_TYPE + instance % METRICS_PORTS_PER_TYPE;
    process->exposition = exposition_new(process->around->loop, "127.0.0.1", (int)port + offset, NULL, NULL, err);
    return process->exposition ? 0 : -1;
}

static int serve(struct process *process, int instance, struct err *err)
{
    struct loop *loop = process->around->loop;
    if (expose(process, instance, err) != 0)
        return -1;
    process->worker = worker_new(process->type, process->around, err);
    if (!process->worker)
        return -1;
    if (loop_signal(loop, SIGHUP, on_reload, process) != 0 || loop_signal(loop, SIGTERM, on_signal, process) != 0 ||
        loop_signal(loop, SIGINT, on_signal, process) != 0 || loop_watchdog(loop, worker_healthy, process->worker) != 0)
        return err_set(err, ERR_INTERNAL, "cannot watch signals");
    loop_notify("READY=1");
    log_info("ready");
    return loop_run(loop);
}

static int run(const struct worker_type *type, int instance, const char *name, const char *config_path)
{
    struct err err = {0};
    struct process process = {.type = type, .name = name, .reload = {.path = config_path}};
    struct config *config = program_config(config_path, name, &err);
    process.around = config ? surroundings_open(config, name, &err) : NULL;
    if (process.around && type->begins_payments)
        process.around->breakers = breakers_open(process.around);
    int code = process.around ? serve(&process, instance, &err) : -1;
    if (code < 0) {
        log_error("%s", err.text);
        code = err_exit_code(&err);
    }
    if (process.around)
        surroundings_quiet(process.around); /* before the jobs that wait for it */
    worker_free(process.worker);
    exposition_free(process.exposition);
    if (process.around)
        breakers_close(process.around->breakers);
    surroundings_close(process.around);
    program_reload_free(&process.reload);
    config_free(config);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {0}};
    const char *config_path = NULL;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (c == 'h') {
            usage(stdout);
            return EXIT_SUCCESS;
        }
        if (c == 'v') {
            printf("acquit-worker %s\n", ACQUIT_VERSION);
            return EXIT_SUCCESS;
        }
        if (c != 'c') {
            usage(stderr);
            return EXIT_USAGE;
        }
        config_path = optarg;
    }
    int instance = 0;
    const struct worker_type *type = optind == argc - 1 ? find_type(argv[optind], &instance) : NULL;
    if (!type) {
        usage(stderr);
        return EXIT_USAGE;
    }
    static char name[64];
    snprintf(name, sizeof name, "acquit-worker-%.40s", argv[optind]);
    log_open(name, LOG_INFO_LEVEL);
    fault_arm_from_environment();
    signal(SIGPIPE, SIG_IGN);
    return run(type, instance, name, config_path);
}
