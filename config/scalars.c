/* scalars.c - the settings of the table: from the environment, the file, a secret's file, or the default, in this order
 *
 * The environment comes before the secrets' files because a value it gives makes the file needless.
 */
#include "config/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* What may stand at the top: a group or a list. */
static int unknown_top(const struct loader *loader, const config_setting_t *at, const char *key)
{
    struct nearest nearest = {.wanted = key};
    for (size_t i = 0; i < config_list_count(); i++)
        conf_consider(&nearest, config_list(i)->name, "");
    for (size_t i = 0; i < config_setting_count(); i++) {
        char group[CONFIG_KEY_MAX];
        const char *name = config_setting(i)->name;
        snprintf(group, sizeof group, "%.*s", (int)strcspn(name, "."), name);
        conf_consider(&nearest, group, "");
    }
    return conf_unknown_key(loader, at, key, &nearest);
}

static int unknown_setting(const struct loader *loader, const config_setting_t *at, const char *key)
{
    struct nearest nearest = {.wanted = key};
    for (int i = 0; i < (int)config_setting_count(); i++) {
        conf_consider(&nearest, config_setting((size_t)i)->name, "");
        if (config_setting((size_t)i)->secret)
            conf_consider(&nearest, config_setting((size_t)i)->name, "_file");
    }
    return conf_unknown_key(loader, at, key, &nearest);
}

static int read_scalar(struct loader *loader, const struct setting *setting, struct value *value,
                       const config_setting_t *at)
{
    if (!conf_has_type(at, setting->type))
        return conf_fail(loader, at, "%s must be %s", setting->name, conf_type_text(setting->type));
    value->set = true;
    value->origin = conf_keep_format(loader->config, "line %u", config_setting_source_line(at));
    switch (setting->type) {
    case CONFIG_TEXT:
        value->text = conf_keep(loader->config, mem_text(config_setting_get_string(at)));
        if (setting->secret && *value->text)
            return conf_refuse_secret(loader, at, setting->name, setting->environment[0]);
        return conf_check_text(loader, at, setting->name, value->text);
    case CONFIG_INT:
        value->number = conf_number(at);
        return conf_check_range(loader, at, setting->name, value->number, setting->least, setting->most, setting->unit);
    case CONFIG_BOOL:
        value->truth = config_setting_get_bool(at);
        return 0;
    case CONFIG_NAMES:
        break; /* in lists only */
    }
    return 0;
}

static int walk_member(struct loader *loader, const char *group, config_setting_t *at)
{
    char key[CONFIG_KEY_MAX], base[CONFIG_KEY_MAX];
    int length = snprintf(key, sizeof key, "%s.%s", group, config_setting_name(at));
    if (length >= (int)sizeof key)
        return unknown_setting(loader, at, key);
    int i = conf_index(key);
    if (i >= 0) {
        loader->from[i] = at;
        return read_scalar(loader, config_setting((size_t)i), &loader->config->values[i], at);
    }
    i = conf_file_key(key, base) ? conf_index(base) : -1;
    if (i < 0 || !config_setting((size_t)i)->secret)
        return unknown_setting(loader, at, key);
    if (!conf_has_type(at, CONFIG_TEXT))
        return conf_fail(loader, at, "%s must be %s", key, conf_type_text(CONFIG_TEXT));
    loader->file_from[i] = at;
    return 0;
}

int conf_walk_group(struct loader *loader, config_setting_t *group)
{
    const char *name = config_setting_name(group);
    bool known = false;
    for (int i = 0; i < (int)config_setting_count(); i++)
        known |= strncmp(config_setting((size_t)i)->name, name, strlen(name)) == 0 &&
                 config_setting((size_t)i)->name[strlen(name)] == '.';
    if (!known)
        return unknown_top(loader, group, name);
    if (!config_setting_is_group(group))
        return conf_fail(loader, group, "%s must be a group: %s: { ... };", name, name);
    for (int i = 0; i < config_setting_length(group); i++)
        if (walk_member(loader, name, config_setting_get_elem(group, (unsigned)i)) != 0)
            return -1;
    return 0;
}

static int from_environment(struct loader *loader, const struct setting *setting, struct value *value,
                            const char *variable, const char *text)
{
    char *end;
    value->set = true;
    value->origin = conf_keep_format(loader->config, "$%s", variable);
    switch (setting->type) {
    case CONFIG_TEXT:
        value->text = conf_keep(loader->config, mem_text(text));
        return conf_check_text(loader, &conf_environment, variable, text);
    case CONFIG_INT:
        errno = 0;
        value->number = strtoll(text, &end, 10);
        if (errno || *end)
            return conf_fail(loader, &conf_environment, "%s must be %s", variable, conf_type_text(setting->type));
        return conf_check_range(loader, &conf_environment, variable, value->number, setting->least, setting->most,
                                setting->unit);
    case CONFIG_BOOL:
        value->truth = strcmp(text, "true") == 0;
        if (!value->truth && strcmp(text, "false") != 0)
            return conf_fail(loader, &conf_environment, "%s must be %s", variable, conf_type_text(setting->type));
        return 0;
    case CONFIG_NAMES:
        break;
    }
    return 0;
}

/* The default of the table: as it would stand in the file. */
static void from_fallback(struct config *config, const struct setting *setting, struct value *value)
{
    value->origin = "default";
    switch (setting->type) {
    case CONFIG_TEXT:
        value->text = conf_keep(config, mem_bytes(setting->fallback + 1, strlen(setting->fallback) - 2));
        return;
    case CONFIG_INT:
        value->number = strtoll(setting->fallback, NULL, 10);
        return;
    case CONFIG_BOOL:
        value->truth = strcmp(setting->fallback, "true") == 0;
        return;
    case CONFIG_NAMES:
        return;
    }
}

static int must_be_given(const struct loader *loader, const struct setting *setting)
{
    if (setting->secret && setting->environment[0])
        return conf_fail(loader, NULL, "%s is missing: name its file as %s_file, or set %s", setting->name,
                         setting->name, setting->environment[0]);
    return conf_fail(loader, NULL, "%s is missing", setting->name);
}

/* A scalar's value, from the first that has one: environment, file, secret's file, default. */
int conf_complete_scalar(struct loader *loader, int i)
{
    const struct setting *setting = config_setting((size_t)i);
    struct value *value = &loader->config->values[i];
    if (loader->from[i] && loader->file_from[i])
        return conf_fail(loader, loader->file_from[i], "%s and %s_file are both given", setting->name, setting->name);
    if (loader->from[i] || loader->file_from[i])
        value->line = config_setting_source_line(loader->from[i] ? loader->from[i] : loader->file_from[i]);
    value->variable = conf_variable(setting);
    const char *text = value->variable ? conf_getenv(value->variable) : NULL;
    if (text)
        return from_environment(loader, setting, value, value->variable, text);
    bool withheld = loader->file_from[i] && setting->secret == CONFIG_SECRET_OF_ONE &&
                    !conf_secret_is_there(loader, loader->file_from[i]);
    if (loader->file_from[i] && !withheld) {
        value->text = conf_read_secret(loader, loader->file_from[i], setting->name);
        value->origin = conf_keep_format(loader->config, "file of line %u", value->line);
        value->set = true;
        return value->text ? 0 : -1;
    }
    if (value->set)
        return 0;
    if (setting->fallback) {
        from_fallback(loader->config, setting, value);
        return 0;
    }
    int made = strcmp(setting->name, "ledger.url") == 0 ? conf_database(loader, value) : 0;
    if (made == 0)
        return must_be_given(loader, setting);
    return made < 0 ? -1 : 0;
}
