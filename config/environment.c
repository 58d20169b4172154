/* environment.c - what the environment's variables mean for a load: which come first, which change nothing and why */
#include "config/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

const config_setting_t conf_environment = {0};

/* Names that other deployments set. We have nothing that they could change, and say so instead of being silent. */
static const struct idle_variable never[] = {
    {"REDIS_URL", "there is no Redis: the ledger and the queues keep everything"},
    {"JWT_SECRET", "HTTP clients show the API key of their publisher; tokens are not read"},
    {"CORS_ORIGIN", "browsers do not call the ingress; let the reverse proxy before it allow origins"},
    {"RATE_LIMIT_WINDOW_MS", "the ingress limits connections (ingress.connections_max), not requests"},
    {"RATE_LIMIT_MAX_REQUESTS", "the ingress limits connections (ingress.connections_max), not requests"},
    {"STRIPE_WEBHOOK_SECRET", "Stripe's webhooks are not received: outcomes are asked for"},
    {"PAYPAL_CLIENT_ID", "the credentials of a provider of kind paypal are its secret, CLIENT_ID:CLIENT_SECRET"},
    {"PAYPAL_CLIENT_SECRET", "the credentials of a provider of kind paypal are its secret, CLIENT_ID:CLIENT_SECRET"},
    {"PAYPAL_MODE", "the url of a provider of kind paypal says whether it is the sandbox"},
    {"CINETPAY_API_KEY", "there is no provider of kind cinetpay"},
    {"CINETPAY_SECRET_KEY", "there is no provider of kind cinetpay"},
    {"CINETPAY_SITE_ID", "there is no provider of kind cinetpay"},
    {"CIH_API_KEY", "there is no provider of kind cih"},
    {"ATTIJARIWAFA_API_KEY", "there is no provider of kind attijariwafa"},
    {"STROWALLET_PUBLIC_KEY", "there are no virtual cards"},
    {"STROWALLET_SECRET_KEY", "there are no virtual cards"},
    {"STROWALLET_BASE_URL", "there are no virtual cards"},
    {"STROWALLET_MODE", "there are no virtual cards"},
    {"STROWALLET_WEBHOOK_SECRET", "there are no virtual cards"},
    {"RESEND_API_KEY", "mail goes to the server of mail.url"},
    {"TWILIO_ACCOUNT_SID", "no text messages are sent"},
    {"TWILIO_AUTH_TOKEN", "no text messages are sent"},
    {"FRAUD_SERVICE_PORT", "there is no fraud service"},
    {"ML_MODEL_PATH", "there is no fraud service"},
    {"NOTIFICATION_SERVICE_PORT", "notices are sent by acquit-worker notify, which listens on no port"},
    {"NODE_ENV", "there is one mode: programs do the same wherever they run"},
    {"APP_ENV", "there is one mode: programs do the same wherever they run"},
    {NULL, NULL},
};

/* What makes ledger.url when nothing gives it whole: the variable and libpq's word for it. */
static const struct part {
    const char *variable, *keyword;
    bool required;
} database[] = {
    {"DB_HOST", "host", true}, {"DB_PORT", "port", false},         {"DB_NAME", "dbname", true},
    {"DB_USER", "user", true}, {"DB_PASSWORD", "password", false},
};
enum { PART_COUNT = sizeof database / sizeof database[0], PORT_MAX = 65535 };

const char *conf_getenv(const char *variable)
{
    const char *text = getenv(variable);
    return text && *text ? text : NULL;
}

const char *conf_variable(const struct setting *setting)
{
    for (size_t i = 0; setting->environment[i]; i++)
        if (conf_getenv(setting->environment[i]))
            return setting->environment[i];
    return NULL;
}

const struct idle_variable *config_never(size_t i)
{
    return never[i].name ? &never[i] : NULL;
}

/* DB_* */

static int check_part(const struct loader *loader, const struct part *part, const char *text)
{
    char *end;
    if (!text)
        return part->required ? conf_fail(loader, NULL,
                                          "ledger.url is missing, and to make it DB_HOST, DB_NAME and DB_USER must all "
                                          "be set: %s is not",
                                          part->variable)
                              : 0;
    if (strcmp(part->keyword, "port") != 0)
        return conf_check_text(loader, &conf_environment, part->variable, text);
    errno = 0;
    long long port = strtoll(text, &end, 10);
    if (errno || *end)
        return conf_fail(loader, &conf_environment, "%s must be a whole number", part->variable);
    return conf_check_range(loader, &conf_environment, part->variable, port, 1, PORT_MAX, "");
}

/* " keyword='text'", as libpq quotes. */
static char *put_part(char *at, const char *keyword, const char *text)
{
    at += sprintf(at, "%s='", keyword);
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            *at++ = '\\';
        *at++ = *text;
    }
    return stpcpy(at, "' ");
}

int conf_database(struct loader *loader, struct value *value)
{
    enum { PART_MAX = 2 * CONFIG_TEXT_MAX + 16 };
    bool any = false;
    for (int i = 0; i < PART_COUNT; i++)
        any = any || conf_getenv(database[i].variable);
    if (!any)
        return 0;
    for (int i = 0; i < PART_COUNT; i++)
        if (check_part(loader, &database[i], conf_getenv(database[i].variable)) != 0)
            return -1;
    char *text = mem_new(PART_COUNT, PART_MAX), *end = text;
    for (int i = 0; i < PART_COUNT; i++) {
        const char *part = conf_getenv(database[i].variable);
        if (part)
            end = put_part(end, database[i].keyword, part);
    }
    end[-1] = '\0';
    value->text = conf_keep(loader->config, text);
    value->origin = "$DB_HOST, $DB_NAME ...";
    return 1;
}

/* What changes nothing */

static void note(struct config *config, const char *variable, const char *why)
{
    config->idle = mem_grow(config->idle, config->idle_count + 1, sizeof *config->idle);
    config->idle[config->idle_count++] = (struct idle_variable){.name = variable, .why = why};
}

/* Of several variables of one setting only the first counts. */
static void note_later(struct loader *loader, size_t i)
{
    const struct setting *setting = config_setting(i);
    for (size_t k = 0; loader->config->values[i].variable && setting->environment[k]; k++)
        if (setting->environment[k] != loader->config->values[i].variable && conf_getenv(setting->environment[k]))
            note(loader->config, setting->environment[k],
                 conf_keep_format(loader->config, "%s comes first", loader->config->values[i].variable));
}

static void note_database(struct loader *loader)
{
    struct config *config = loader->config;
    int i = conf_index("ledger.url");
    if (!loader->config->values[i].variable && !loader->from[i] && !loader->file_from[i])
        return;
    for (int k = 0; k < PART_COUNT; k++)
        if (conf_getenv(database[k].variable))
            note(config, database[k].variable,
                 conf_keep_format(config, "ledger.url is given (%s)", config->values[i].origin));
}

static void note_metrics(struct loader *loader)
{
    struct config *config = loader->config;
    int enabled = conf_index("metrics.enabled"), port = conf_index("ingress.metrics_port");
    if (!config->values[enabled].truth && config->values[port].variable)
        note(config, config->values[port].variable,
             conf_keep_format(config, "metrics.enabled is false (%s)", config->values[enabled].origin));
    if (config->values[enabled].truth && config->values[enabled].variable &&
        config_int(config, "worker.metrics_port") == 0 && config_int(config, "ingress.metrics_port") == 0 &&
        config_int(config, "keeper.metrics_port") == 0)
        note(config, config->values[enabled].variable,
             "worker.metrics_port, ingress.metrics_port and keeper.metrics_port are 0: nothing is served");
}

/* The secret of a provider that is not configured. */
static void note_providers(struct loader *loader)
{
    struct config *config = loader->config;
    const struct provider_kind *kind;
    for (size_t k = 0; (kind = conf_kind(k)); k++) {
        bool used = !kind->variable || !conf_getenv(kind->variable);
        for (size_t i = 0; i < config->provider_count; i++)
            used = used || strcmp(config->providers[i].kind, kind->name) == 0;
        if (!used)
            note(config, kind->variable, conf_keep_format(config, "no provider of kind %s is configured", kind->name));
    }
}

void conf_note_idle(struct loader *loader)
{
    for (size_t i = 0; i < config_setting_count(); i++)
        note_later(loader, i);
    note_database(loader);
    note_metrics(loader);
    note_providers(loader);
    for (size_t i = 0; never[i].name; i++)
        if (conf_getenv(never[i].name))
            note(loader->config, never[i].name, never[i].why);
}
