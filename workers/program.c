/* program.c - what the programs have in common at their start */
#include "workers/program.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
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

struct config *program_config(const char *path, const char *name, struct err *err)
{
    enum log_level level;
    struct config *config = config_load(path, err);
    if (config && log_level_parse(config_text(config, "log.level"), &level) == 0)
        log_open(name, level);
    return config;
}

static bool same_value(const struct setting *setting, const struct config *a, const struct config *b)
{
    switch (setting->type) {
    case CONFIG_TEXT:
        return strcmp(config_text(a, setting->name), config_text(b, setting->name)) == 0;
    case CONFIG_INT:
        return config_int(a, setting->name) == config_int(b, setting->name);
    case CONFIG_BOOL:
        return config_bool(a, setting->name) == config_bool(b, setting->name);
    }
    return false;
}

static void note_changes(const struct config *before, const struct config *after)
{
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct setting *setting = config_setting(i);
        if (!same_value(setting, before, after))
            log_info("%s has changed%s", setting->name,
                     setting->reloadable ? "" : "; it takes effect at the next start");
    }
}

const struct config *program_reload(struct reload *reload, const char *name, const struct config *now)
{
    struct err err = {0};
    if (reload->count == RELOADS_MAX) {
        log_warn("settings were read again %d times; restart to read them once more", RELOADS_MAX);
        return NULL;
    }
    struct config *loaded = program_config(reload->path, name, &err);
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
