/* config.c - the settings of every program, from one libconfig file
 *
 * A load goes through these files: source.c parses, scalars.c and lists.c walk the file and fill in what it leaves out,
 * this one checks what must fit together and answers questions. check.c says what is wrong with a value; settings.c is
 * the table.
 */
#include "config/config.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "config/load.h"

#define DEFAULT_PATH "/etc/acquit/acquit.conf"

enum { VALIDATORS_MIN = 2 }; /* one vote proves nothing */

const char *conf_keep(struct config *config, char *text)
{
    config->owned = mem_grow(config->owned, config->owned_count + 1, sizeof *config->owned);
    config->owned[config->owned_count++] = text;
    return text;
}

const char *conf_keep_format(struct config *config, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return conf_keep(config, mem_text(text));
}

/* What must fit together */

/* Says it of a scalar: where its value stands, and its name there. The text follows the name. */
PRINTF_LIKE(3, 4)
static int fail_of(const struct loader *loader, const char *name, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return conf_fail(loader, conf_place(loader, name), "%s %s", conf_called(loader, name), text);
}

static int check_broker(const struct loader *loader)
{
    const char *url = config_text(loader->config, "broker.url");
    if (!conf_begins(url, "amqp://") && !conf_begins(url, "amqps://"))
        return fail_of(loader, "broker.url", "must be an amqp:// or amqps:// URL");
    return conf_check_http_url(loader, conf_place(loader, "broker.management_url"),
                               conf_called(loader, "broker.management_url"),
                               config_text(loader->config, "broker.management_url"), false);
}

static int check_database(const struct loader *loader, const char *name)
{
    const char *url = config_text(loader->config, name);
    if (conf_begins(url, "postgresql://") || conf_begins(url, "postgres://") || strchr(url, '='))
        return 0;
    return fail_of(loader, name, "must be a postgresql:// URL or a libpq connection string");
}

static int check_url(const struct loader *loader, const char *name, bool base)
{
    const config_setting_t *at = conf_place(loader, name);
    const char *url = config_text(loader->config, name);
    return conf_check_http_url(loader, at, name, url, base) != 0 ? -1 : conf_check_open_url(loader, at, name, url);
}

static int check_pop(const struct loader *loader, const config_setting_t *root)
{
    const struct config *config = loader->config;
    size_t count = config->validator_count;
    if (count > 0 && count < VALIDATORS_MIN)
        return conf_fail(loader, config_setting_get_member(root, "validators"),
                         "validators has %zu element, it must have from %d to %d, or none", count, (int)VALIDATORS_MIN,
                         (int)CONFIG_VALIDATORS_MAX);
    int64_t quorum = config_int(config, "pop.quorum");
    if (quorum > (int64_t)count)
        return fail_of(loader, "pop.quorum", "is %" PRId64 ", but there are only %zu validators", quorum, count);
    return 0;
}

/* Two publishers with one key could not be told apart. */
static int check_keys(const struct loader *loader, const config_setting_t *root)
{
    const struct config *config = loader->config;
    const config_setting_t *list = config_setting_get_member(root, "publishers");
    for (size_t i = 0; i < config->publisher_count; i++)
        for (size_t k = 0; k < i; k++)
            if (*config->publishers[i].api_key_sha256 &&
                strcasecmp(config->publishers[i].api_key_sha256, config->publishers[k].api_key_sha256) == 0)
                return conf_fail(
                    loader, config_setting_get_member(config_setting_get_elem(list, (unsigned)i), "api_key_sha256"),
                    "publishers %s and %s have the same api_key_sha256", config->publishers[k].name,
                    config->publishers[i].name);
    return 0;
}

static int check_scalar_choice(const struct loader *loader, const char *name, const char *const *choices)
{
    return conf_check_choice(loader, conf_place(loader, name), conf_called(loader, name),
                             config_text(loader->config, name), choices);
}

static int check_mail(const struct loader *loader)
{
    static const char *const modes[] = {"required", "opportunistic", "off", NULL};
    const struct config *config = loader->config;
    const char *url = config_text(config, "mail.url");
    if (check_scalar_choice(loader, "mail.tls", modes) != 0)
        return -1;
    if (!*url)
        return 0;
    if (!conf_begins(url, "smtp://") && !conf_begins(url, "smtps://"))
        return fail_of(loader, "mail.url", "must be an smtp:// or smtps:// URL");
    if (!*config_text(config, "mail.from"))
        return fail_of(loader, "mail.url", "needs mail.from: who sends the mails");
    return conf_check_open_url(loader, conf_place(loader, "mail.url"), conf_called(loader, "mail.url"), url);
}

static int check_order(const struct loader *loader, const char *less, const char *more)
{
    int64_t a = config_int(loader->config, less), b = config_int(loader->config, more);
    if (a <= b)
        return 0;
    return conf_fail(loader, conf_place(loader, conf_place(loader, less) ? less : more),
                     "%s is %" PRId64 ", more than %s (%" PRId64 ")", less, a, more, b);
}

static int check_listen(const struct loader *loader)
{
    const char *address = config_text(loader->config, "ingress.listen");
    struct in6_addr parsed;
    if (inet_pton(AF_INET, address, &parsed) == 1 || inet_pton(AF_INET6, address, &parsed) == 1)
        return 0;
    return fail_of(loader, "ingress.listen", "is \"%.64s\", it must be an IP address like 127.0.0.1, 0.0.0.0 or ::1",
                   address);
}

static int check_all(const struct loader *loader, const config_setting_t *root)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    if (check_broker(loader) != 0 || check_database(loader, "ledger.url") != 0 ||
        check_database(loader, "ledger.read_url") != 0 || check_database(loader, "simulated.url") != 0 ||
        check_url(loader, "tokens.url", true) != 0 || check_url(loader, "pop.callback_url", false) != 0 ||
        check_scalar_choice(loader, "log.level", levels) != 0)
        return -1;
    if (check_listen(loader) != 0 || check_mail(loader) != 0 ||
        check_order(loader, "retry.base_ms", "retry.cap_ms") != 0 ||
        check_order(loader, "question.base_ms", "question.cap_ms") != 0)
        return -1;
    return check_pop(loader, root) != 0 ? -1 : check_keys(loader, root);
}

/* Loading */

static void inherit(struct config *config, const char *name, const char *from)
{
    struct value *value = &config->values[conf_index(name)];
    if (*value->text)
        return;
    value->text = config_text(config, from);
    value->origin = from;
}

/* One switch for all of them. */
static void switch_metrics(struct config *config)
{
    static const char *const ports[] = {"worker.metrics_port", "ingress.metrics_port", "keeper.metrics_port"};
    for (size_t i = 0; !config_bool(config, "metrics.enabled") && i < sizeof ports / sizeof ports[0]; i++) {
        struct value *value = &config->values[conf_index(ports[i])];
        value->number = 0;
        value->origin = "metrics.enabled";
    }
}

static int load(struct loader *loader, const config_setting_t *root)
{
    for (int i = 0; i < config_setting_length(root); i++) {
        config_setting_t *at = config_setting_get_elem(root, (unsigned)i);
        if (!conf_is_list(config_setting_name(at)) && conf_walk_group(loader, at) != 0)
            return -1;
    }
    for (int i = 0; i < (int)config_setting_count(); i++)
        if (conf_complete_scalar(loader, i) != 0)
            return -1;
    inherit(loader->config, "ledger.read_url", "ledger.url");
    inherit(loader->config, "simulated.url", "ledger.url");
    switch_metrics(loader->config);
    if (conf_read_lists(loader, root) != 0 || check_all(loader, root) != 0)
        return -1;
    conf_note_idle(loader);
    return 0;
}

static void folder_of(const char *path, char ret[static CONFIG_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(ret, CONFIG_PATH_MAX, ".");
    else
        snprintf(ret, CONFIG_PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static const char *default_path(void)
{
    const char *path = getenv("ACQUIT_CONFIG");
    return path && *path ? path : DEFAULT_PATH;
}

struct config *config_load(const char *path, struct err *err)
{
    struct loader loader = {
        .path = path ? path : default_path(), .err = err, .config = mem_new(1, sizeof(struct config))};
    config_t parsed;
    config_init(&parsed);
    loader.config->path = conf_keep(loader.config, mem_text(loader.path));
    folder_of(loader.path, loader.folder);
    int r = conf_parse(&loader, &parsed);
    if (r == 0)
        r = load(&loader, config_root_setting(&parsed));
    config_destroy(&parsed);
    if (r == 0)
        return loader.config;
    config_free(loader.config);
    return NULL;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->owned_count; i++) {
        explicit_bzero(config->owned[i], strlen(config->owned[i]));
        free(config->owned[i]);
    }
    free(config->owned);
    free(config->publishers);
    free(config->providers);
    free(config->validators);
    free(config->routes);
    free(config->retries);
    free(config->idle);
    free(config);
}

/* Asking */

static const struct value *value_of(const struct config *config, const char *name, enum config_type type)
{
    int i = conf_index(name);
    if (i < 0 || config_setting((size_t)i)->type != type)
        log_panic("there is no setting %s of this type", name);
    return &config->values[i];
}

const char *config_text(const struct config *config, const char *name)
{
    return value_of(config, name, CONFIG_TEXT)->text;
}

int64_t config_int(const struct config *config, const char *name)
{
    return value_of(config, name, CONFIG_INT)->number;
}

bool config_bool(const struct config *config, const char *name)
{
    return value_of(config, name, CONFIG_BOOL)->truth;
}

size_t config_publisher_count(const struct config *config)
{
    return config->publisher_count;
}

const struct publisher_config *config_publisher(const struct config *config, size_t i)
{
    return &config->publishers[i];
}

const struct publisher_config *config_publisher_find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->publisher_count; i++)
        if (strcmp(config->publishers[i].name, name) == 0)
            return &config->publishers[i];
    return NULL;
}

size_t config_provider_count(const struct config *config)
{
    return config->provider_count;
}

const struct provider_config *config_provider(const struct config *config, size_t i)
{
    return &config->providers[i];
}

const struct provider_config *config_provider_find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->provider_count; i++)
        if (strcmp(config->providers[i].name, name) == 0)
            return &config->providers[i];
    return NULL;
}

size_t config_validator_count(const struct config *config)
{
    return config->validator_count;
}

const struct validator_config *config_validator(const struct config *config, size_t i)
{
    return &config->validators[i];
}

size_t config_route_count(const struct config *config)
{
    return config->route_count;
}

const struct route_config *config_route(const struct config *config, size_t i)
{
    return &config->routes[i];
}

size_t config_retry_count(const struct config *config)
{
    return config->retry_count;
}

struct retry_config config_retry(const struct config *config, const char *type)
{
    for (size_t i = 0; i < config->retry_count; i++)
        if (strcmp(config->retries[i].type, type) == 0)
            return config->retries[i];
    return (struct retry_config){.type = type,
                                 .attempts = config_int(config, "retry.attempts"),
                                 .base_ms = config_int(config, "retry.base_ms"),
                                 .cap_ms = config_int(config, "retry.cap_ms")};
}

int config_check_types(const struct config *config, const char *known(size_t i), struct err *err)
{
    for (size_t i = 0; i < config->retry_count; i++) {
        struct nearest nearest = {.wanted = config->retries[i].type};
        for (size_t k = 0; known(k); k++)
            conf_consider(&nearest, known(k), "");
        if (strcmp(nearest.key, nearest.wanted) != 0)
            return err_set(err, ERR_CONFIG, "%s:%u: there is no command type \"%.64s\"; did you mean %s?", config->path,
                           config->retries[i].line, nearest.wanted, nearest.key);
    }
    return 0;
}

int config_fail(const struct config *config, const char *name, const char *text, struct err *err)
{
    const struct value *value = &config->values[conf_index(name)];
    if (value->variable)
        return err_set(err, ERR_CONFIG, "environment: %s: %s", value->variable, text);
    if (value->line)
        return err_set(err, ERR_CONFIG, "%s:%u: %s: %s", config->path, value->line, name, text);
    return err_set(err, ERR_CONFIG, "%s: %s: %s", config->path, name, text);
}

struct config_value config_value(const struct config *config, size_t setting)
{
    const struct value *value = &config->values[setting];
    return (struct config_value){
        .type = config_setting(setting)->type, .text = value->text, .number = value->number, .truth = value->truth};
}

const char *config_origin(const struct config *config, size_t setting)
{
    return config->values[setting].origin;
}

size_t config_idle_count(const struct config *config)
{
    return config->idle_count;
}

const struct idle_variable *config_idle(const struct config *config, size_t i)
{
    return &config->idle[i];
}
