/* farm.c - our processes: workers of every type and keepers, begun again when they die, and what befalls all of them */
#include <stdlib.h>
#include <string.h>

#include "common/http.h"
#include "common/log.h"
#include "common/mem.h"
#include "tests/simulate/simulate.h"
#include "workers/guard.h"
#include "workers/keeper/keeper.h"

enum { TROUBLE_EVERY_S = 5, JUMP_MOST_MS = 4000, BEGUN_AGAIN_MOST_MS = 3000 };

static const char *const internal_users[] = {"acquit-worker", "acquit-keeper", "acquit-operator", NULL};

struct place {
    const char *name;
    const struct worker_type *type; /* NULL: a keeper */
    struct process *process;
};

static struct place places[] = {
    {"authorize-1", &worker_authorize, NULL},
    {"authorize-2", &worker_authorize, NULL},
    {"authorize-3", &worker_authorize, NULL},
    {"pop-validate-1", &worker_pop_validate, NULL},
    {"pop-validate-2", &worker_pop_validate, NULL},
    {"token-activate-1", &worker_token_activate, NULL},
    {"token-activate-2", &worker_token_activate, NULL},
    {"refund-1", &worker_refund, NULL},
    {"refund-2", &worker_refund, NULL},
    {"notify-1", &worker_notify, NULL},
    {"notify-2", &worker_notify, NULL},
    {"compensate-1", &worker_compensate, NULL},
    {"compensate-2", &worker_compensate, NULL},
    {"keeper-1", NULL, NULL},
    {"keeper-2", NULL, NULL},
};
enum { PLACES = sizeof places / sizeof *places };

static struct config *config;

int farm_open(const char *path, struct err *err)
{
    setenv("ACQUIT_LEDGER_URL", "postgresql:///simulated", 1); /* secrets are refused in the file; nobody connects */
    setenv("ACQUIT_BROKER_URL", "amqp://simulated", 1);
    config = config_load(path, err);
    return config ? 0 : -1;
}

void farm_close(void)
{
    config_free(config);
}

static void open_providers(struct surroundings *around)
{
    for (size_t i = 0; i < config_provider_count(config); i++) {
        const struct provider_config *wanted = config_provider(config, i);
        struct err err = {0};
        struct provider_options options = {.name = wanted->name,
                                           .kind = wanted->kind,
                                           .url = wanted->url,
                                           .secret = wanted->secret,
                                           .timeout_ms = wanted->timeout_ms,
                                           .visibility_horizon_ms = wanted->visibility_horizon_ms,
                                           .send_window_ms = wanted->send_window_ms,
                                           .loop = around->loop,
                                           .http = around->http};
        around->providers[i] = provider_open(&options, &err);
        if (!around->providers[i])
            log_panic("%s", err.text);
        around->provider_count++;
    }
}

/* What workers/main.c and workers/surroundings.c do. */
static void live_as_worker(struct place *place)
{
    struct err err = {0};
    struct db_options reader = {.application = "archive"};
    struct http *http = http_new(NULL, &err);
    struct surroundings *around = mem_new(1, sizeof *around);
    *around = (struct surroundings){.config = config,
                                    .loop = process_loop(process_here()),
                                    .http = http,
                                    .publisher = publisher_new(NULL, NULL, &err),
                                    .answers = publisher_new(NULL, NULL, &err),
                                    .pop = purchase_validators(http),
                                    .tokens = purchase_tokens(http),
                                    .reader = db_new(&reader, &err),
                                    .user = "acquit-worker",
                                    .internal_users = internal_users};
    open_providers(around);
    if (!worker_new(place->type, around, &err)) {
        story("cannot begin: %s", err.text);
        process_kill(process_here());
    }
}

static void live_as_keeper(void)
{
    struct err err = {0};
    struct guard *guard = mem_new(1, sizeof *guard);
    *guard = (struct guard){.loop = process_loop(process_here())};
    struct db_options options = {.application = "keeper", .opened = guard_opened, .arg = guard};
    struct db *db = db_new(&options, &err);
    if (guard_connect(guard, db, &err) != 0)
        process_kill(process_here());
    struct keeper_options keeper = {.loop = process_loop(process_here()),
                                    .db = db,
                                    .publisher = publisher_new(NULL, NULL, &err),
                                    .user = "acquit-keeper",
                                    .sweep_ms = config_int(config, "keeper.sweep_ms"),
                                    .stand_still_ms = config_int(config, "keeper.stand_still_ms")};
    keeper_new(&keeper);
}

static void live(struct process *process, void *arg)
{
    struct place *place = arg;
    place->process = process;
    if (place->type)
        live_as_worker(place);
    else
        live_as_keeper();
}

static void begin(void *arg)
{
    struct place *place = arg;
    process_start(place->name, live, place);
}

static void died(struct process *process)
{
    broker_process_died(process);
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].process == process)
            later(chance_between(1, BEGUN_AGAIN_MOST_MS) * 1000, true, begin, &places[i]);
}

/* What befalls the farm, rather than one call. */
static void trouble(void *arg)
{
    (void)arg;
    struct place *place = &places[chance_below(PLACES)];
    if (fault(CHANCE_CRASH, 40))
        process_kill(place->process);
    if (fault(CHANCE_WIPED_QUEUE, 12))
        broker_wipe(broker_queue_name((size_t)chance_below(broker_queue_count())));
    if (fault(CHANCE_WIPED_BROKER, 6))
        broker_wipe(NULL);
    place = &places[chance_below(PLACES)];
    if (fault(CHANCE_CLOCK_JUMP, 60))
        process_jump(place->process, chance_between(-JUMP_MOST_MS, JUMP_MOST_MS));
    if (in_trouble())
        later((int64_t)TROUBLE_EVERY_S * 1000000, false, trouble, NULL);
}

void farm_start(void)
{
    process_died = died;
    for (size_t i = 0; i < PLACES; i++)
        begin(&places[i]);
    later((int64_t)TROUBLE_EVERY_S * 1000000, false, trouble, NULL);
}
