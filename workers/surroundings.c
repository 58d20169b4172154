/* surroundings.c - see surroundings.h */
#include "workers/surroundings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/program.h"

enum { INTERNAL_USERS_MAX = 16, NAMES_TEXT_MAX = 512 };

/* Everything that a struct surroundings points to and that must be ended with it. */
struct world {
    struct surroundings public; /* first: the two share an address */
    struct db *simulated;
    struct provider_books books;
    char user[PROGRAM_USER_SIZE];
    char internal_text[NAMES_TEXT_MAX];
    const char *internal_users[INTERNAL_USERS_MAX + 1];
};

/* The books of the simulated provider: one SQL function, one transaction of its own. */
static json_t *run_books(void *arg, const char *statement, const char *const *params, int param_count, struct err *err)
{
    struct db_result *result = db_query(arg, statement, param_count, params, err);
    if (!result)
        return NULL;
    const char *text = db_rows(result) == 1 ? db_value(result, 0, 0) : NULL;
    json_t *value = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if (!value)
        err_set(err, ERR_INTERNAL, "the simulated provider's books gave no answer");
    db_result_free(result);
    return value;
}

static void read_internal_users(struct world *world, const struct config *config)
{
    size_t count = 0;
    snprintf(world->internal_text, sizeof world->internal_text, "%s", config_text(config, "broker.internal_users"));
    char *rest = world->internal_text;
    for (char *name; count < INTERNAL_USERS_MAX && (name = strsep(&rest, ", "));)
        if (*name)
            world->internal_users[count++] = name;
    world->public.internal_users = world->internal_users;
}

static int open_databases(struct world *world, struct err *err)
{
    const struct config *config = world->public.config;
    const char *own = config_text(config, "simulated.url");
    struct db_options options = {.url = *own ? own : config_text(config, "ledger.url"),
                                 .application = "acquit simulated provider",
                                 .timeout_ms = config_int(config, "ledger.timeout_ms")};
    world->simulated = db_new(&options, err);
    options.url = config_text(config, "ledger.url");
    options.application = "acquit archive";
    world->public.reader = world->simulated ? db_new(&options, err) : NULL;
    world->books = (struct provider_books){.run = run_books, .arg = world->simulated};
    return world->public.reader ? 0 : -1;
}

static int open_providers(struct world *world, struct err *err)
{
    struct surroundings *around = &world->public;
    for (size_t i = 0; i < config_provider_count(around->config); i++) {
        const struct provider_config *wanted = config_provider(around->config, i);
        struct provider_options options = {.name = wanted->name,
                                           .kind = wanted->kind,
                                           .url = wanted->url,
                                           .secret = wanted->secret,
                                           .timeout_ms = wanted->timeout_ms,
                                           .visibility_horizon_ms = wanted->visibility_horizon_ms,
                                           .send_window_ms = wanted->send_window_ms,
                                           .loop = around->loop,
                                           .http = around->http,
                                           .books = &world->books};
        struct provider *provider = provider_open(&options, err);
        if (!provider)
            return err_prefix(err, "provider %s", wanted->name);
        around->providers[around->provider_count++] = provider;
    }
    return 0;
}

static int open_validators(struct surroundings *around, struct err *err)
{
    struct pop_validator validators[CONFIG_VALIDATORS_MAX];
    size_t count = config_validator_count(around->config);
    if (count == 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        const struct validator_config *wanted = config_validator(around->config, i);
        validators[i] = (struct pop_validator){.name = wanted->name, .url = wanted->url, .key = wanted->key};
        memcpy(validators[i].public_key, wanted->public_key, sizeof validators[i].public_key);
    }
    int quorum = (int)config_int(around->config, "pop.quorum");
    struct pop_options options = {.validators = validators,
                                  .validator_count = count,
                                  .quorum = quorum ? quorum : (int)(count / 2 + 1),
                                  .timeout_ms = config_int(around->config, "pop.timeout_ms"),
                                  .vote_max_skew_ms = config_int(around->config, "pop.vote_max_skew_ms"),
                                  .callback_url = config_text(around->config, "pop.callback_url"),
                                  .http = around->http};
    around->pop = pop_open(&options, err);
    return around->pop ? 0 : -1;
}

static int open_tokens(struct surroundings *around, struct err *err)
{
    struct tokens_options options = {.url = config_text(around->config, "tokens.url"),
                                     .key = config_text(around->config, "tokens.key"),
                                     .timeout_ms = config_int(around->config, "tokens.timeout_ms"),
                                     .http = around->http};
    if (!*options.url)
        return 0;
    around->tokens = tokens_open(&options, err);
    return around->tokens ? 0 : -1;
}

static int open_mail(struct surroundings *around, struct err *err)
{
    const struct config *config = around->config;
    struct mail_options options = {.loop = around->loop,
                                   .url = config_text(config, "mail.url"),
                                   .from = config_text(config, "mail.from"),
                                   .user = config_text(config, "mail.user"),
                                   .password = config_text(config, "mail.password"),
                                   .tls = config_text(config, "mail.tls")};
    if (!*options.url)
        return 0;
    around->templates = templates_open(config_text(config, "mail.templates_dir"), err);
    around->mail = around->templates ? mail_open(&options, err) : NULL;
    return around->mail ? 0 : -1;
}

static int open_all(struct world *world, const char *name, struct err *err)
{
    struct surroundings *around = &world->public;
    if (program_user(around->config, world->user, err) != 0)
        return -1;
    around->user = world->user;
    read_internal_users(world, around->config);
    around->loop = loop_new(err);
    around->http = around->loop ? http_new(around->loop, err) : NULL;
    if (!around->http)
        return -1;
    struct broker_options broker = program_broker(around->config, name);
    around->publisher = publisher_new(around->loop, &broker, err);
    around->answers = around->publisher ? publisher_new(around->loop, &broker, err) : NULL;
    if (!around->answers || open_databases(world, err) != 0 || open_providers(world, err) != 0)
        return -1;
    if (open_validators(around, err) != 0 || open_tokens(around, err) != 0)
        return -1;
    return open_mail(around, err);
}

struct surroundings *surroundings_open(const struct config *config, const char *name, struct err *err)
{
    struct world *world = calloc(1, sizeof *world);
    if (!world)
        log_panic("out of memory at start");
    world->public.config = config;
    if (open_all(world, name, err) == 0)
        return &world->public;
    surroundings_quiet(&world->public);
    surroundings_close(&world->public);
    return NULL;
}

void surroundings_quiet(struct surroundings *around)
{
    if (around->publisher)
        publisher_free(around->publisher);
    if (around->answers)
        publisher_free(around->answers);
    around->publisher = around->answers = NULL;
}

void surroundings_close(struct surroundings *around)
{
    if (!around)
        return;
    struct world *world = (struct world *)around;
    mail_close(around->mail);
    templates_close(around->templates);
    if (around->tokens)
        tokens_close(around->tokens);
    if (around->pop)
        pop_close(around->pop);
    for (size_t i = 0; i < around->provider_count; i++)
        provider_close(around->providers[i]);
    db_free(around->reader);
    db_free(world->simulated);
    http_free(around->http);
    loop_free(around->loop);
    free(world);
}
