/* program.c - what the programs have in common at their start */
#include "workers/program.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "queues/topology.h"
#include "queues/url.h"

bool program_arguments(int argc, char **argv, const char *usage, const char **ret_config, int *ret_code)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {0}};
    *ret_config = NULL;
    *ret_code = EXIT_SUCCESS;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            *ret_config = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return false;
        case 'v':
            printf("%s %s\n", program_invocation_short_name, ACQUIT_VERSION);
            return false;
        default:
            *ret_code = EXIT_USAGE;
        }
    }
    if (*ret_code == EXIT_SUCCESS && optind == argc)
        return true;
    *ret_code = EXIT_USAGE;
    fputs(usage, stderr);
    return false;
}

static const char *type_name(size_t i)
{
    const struct command_type *type = command_type_at(i);
    return type ? type->name : NULL;
}

static int check_broker_url(const struct config *config, struct err *err)
{
    struct err why = {0};
    struct amqp_url url;
    int r = amqp_url_parse(config_text(config, "broker.url"), &url, &why);
    amqp_url_clear(&url);
    return r == 0 ? 0 : config_fail(config, "broker.url", why.text, err);
}

struct config *program_load(const char *path, struct err *err)
{
    struct config *config = config_load(path, err);
    if (!config || (config_check_types(config, type_name, err) == 0 && check_broker_url(config, err) == 0))
        return config;
    config_free(config);
    return NULL;
}

static struct config *load_and_log(const char *path, const char *name, struct err *err)
{
    enum log_level level;
    struct config *config = program_load(path, err);
    if (config && log_level_parse(config_text(config, "log.level"), &level) == 0)
        log_open(name, level);
    return config;
}

struct config *program_config(const char *path, const char *name, struct err *err)
{
    struct config *config = load_and_log(path, name, err);
    for (size_t i = 0; config && i < config_idle_count(config); i++)
        log_info("%s is set and has no effect: %s", config_idle(config, i)->name, config_idle(config, i)->why);
    return config;
}

static bool same_value(struct config_value a, struct config_value b)
{
    return a.type == CONFIG_TEXT ? strcmp(a.text, b.text) == 0 : a.number == b.number && a.truth == b.truth;
}

static void note_change(const char *name, bool reloadable)
{
    log_info("%s has changed%s", name, reloadable ? "" : "; it takes effect at the next start");
}

static void note_changes(const struct config *before, const struct config *after)
{
    for (size_t i = 0; i < config_setting_count(); i++)
        if (!same_value(config_value(before, i), config_value(after, i)))
            note_change(config_setting(i)->name, config_setting(i)->reloadable);
    for (size_t i = 0; i < config_list_count(); i++)
        if (!config_list_same(before, after, i))
            note_change(config_list(i)->name, config_list(i)->reloadable);
}

const struct config *program_reload(struct reload *reload, const char *name, const struct config *now)
{
    struct err err = {0};
    if (reload->count == RELOADS_MAX) {
        log_warn("settings were read again %d times; restart to read them once more", RELOADS_MAX);
        return NULL;
    }
    struct config *loaded = load_and_log(reload->path, name, &err);
    if (!loaded) {
        log_error("settings are kept as they were: %s", err.text);
        return NULL;
    }
    reload->loaded[reload->count++] = loaded;
    note_changes(now, loaded);
    log_info("settings read again");
    return loaded;
}

void program_reload_free(struct reload *reload)
{
    while (reload->count > 0)
        config_free(reload->loaded[--reload->count]);
}

struct broker_options program_broker(const struct config *config, const char *name)
{
    return (struct broker_options){
        .url = config_text(config, "broker.url"),
        .connection_name = name,
        .heartbeat_s = config_int(config, "broker.heartbeat_s"),
        .connect_timeout_ms = config_int(config, "broker.connect_timeout_ms"),
        .confirm_timeout_ms = config_int(config, "broker.confirm_timeout_ms"),
        .unconfirmed_max = config_int(config, "broker.unconfirmed_max"),
    };
}

int program_user(const struct config *config, char ret[static PROGRAM_USER_SIZE], struct err *err)
{
    struct amqp_url url;
    int r = amqp_url_parse(config_text(config, "broker.url"), &url, err);
    if (r == 0 && (!url.user || strlen(url.user) >= PROGRAM_USER_SIZE))
        r = err_set(err, ERR_CONFIG, "broker.url: names no user; write amqp://USER:PASSWORD@HOST:PORT/VHOST");
    if (r == 0)
        snprintf(ret, PROGRAM_USER_SIZE, "%s", url.user);
    amqp_url_clear(&url);
    return r;
}
