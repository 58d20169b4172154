/* settings.c - acquit config check, show and manual: what holds, where it comes from, and what there is */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "workers/operator/manual.h"
#include "workers/operator/operator.h"
#include "workers/operator/table.h"

/* -- values */

static json_t *json_names(const char *const *names)
{
    json_t *all = json_array();
    for (; *names; names++)
        json_array_append_new(all, json_string(*names));
    return all;
}

static json_t *json_value(struct config_value value, bool secret)
{
    switch (value.type) {
    case CONFIG_TEXT:
        return json_string(secret && *value.text ? "***" : value.text);
    case CONFIG_INT:
        return json_integer(value.number);
    case CONFIG_BOOL:
        return json_boolean(value.truth);
    case CONFIG_NAMES:
        return json_names(value.names);
    }
    return json_null();
}

/* For people: a text without quotes. free() it. */
static char *plain(const json_t *value)
{
    return json_is_string(value) ? strdup(json_string_value(value)) : json_encode(value);
}

/* -- what it all is, as one JSON value */

static json_t *show_settings(const struct config *config)
{
    json_t *all = json_object();
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct setting *setting = config_setting(i);
        json_object_set_new(all, setting->name,
                            json_pack("{s:o, s:s, s:s}", "value", json_value(config_value(config, i), setting->secret),
                                      "unit", setting->unit, "from", config_origin(config, i)));
    }
    return all;
}

static json_t *show_element(const struct config *config, size_t list, size_t element)
{
    json_t *one = json_object();
    const struct setting *member;
    for (size_t m = 0; (member = config_member(list, m)); m++)
        json_object_set_new(one, member->name,
                            json_value(config_member_value(config, list, element, m), member->secret));
    return one;
}

static json_t *show_list(const struct config *config, size_t list)
{
    json_t *all = json_array();
    for (size_t i = 0; i < config_element_count(config, list); i++)
        json_array_append_new(all, show_element(config, list, i));
    if (strcmp(config_list(list)->name, "providers") != 0)
        return all;
    for (size_t i = 0; i < config_provider_count(config); i++)
        if (config_provider(config, i)->secret_variable)
            json_object_set_new(json_array_get(all, i), "secretFrom",
                                json_sprintf("$%s", config_provider(config, i)->secret_variable));
    return all;
}

static json_t *show_idle(const struct config *config)
{
    json_t *all = json_array();
    for (size_t i = 0; i < config_idle_count(config); i++)
        json_array_append_new(
            all, json_pack("{s:s, s:s}", "variable", config_idle(config, i)->name, "why", config_idle(config, i)->why));
    return all;
}

static json_t *show_all(const struct config *config)
{
    json_t *all = json_pack("{s:o, s:o}", "settings", show_settings(config), "withoutEffect", show_idle(config));
    for (size_t i = 0; i < config_list_count(); i++)
        json_object_set_new(all, config_list(i)->name, show_list(config, i));
    return all;
}

/* -- for people */

static void print_settings(const json_t *settings)
{
    static const char *const headings[] = {"SETTING", "VALUE", "UNIT", "FROM", "WHAT IT DOES", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct setting *setting = config_setting(i);
        const json_t *shown = json_object_get(settings, setting->name);
        char *value = plain(json_object_get(shown, "value"));
        const char *cells[] = {setting->name, value, setting->unit, json_text(shown, "from", ""), setting->sentence};
        table_row(table, cells);
        free(value);
    }
    table_print(table, "no settings", stdout);
    table_free(table);
}

static void print_list(size_t list, const json_t *elements)
{
    static const char *const headings[] = {"LIST", "MEMBER", "VALUE", NULL};
    struct table *table = table_new(headings);
    const char *key, *name = config_list(list)->name;
    json_t *value;
    for (size_t i = 0; i < json_array_size(elements); i++)
        json_object_foreach(json_array_get(elements, i), key, value)
        {
            char number[32], *text = plain(value);
            snprintf(number, sizeof number, "%s %zu", name, i + 1);
            const char *cells[] = {number, key, text};
            table_row(table, cells);
            free(text);
        }
    fputc('\n', stdout);
    char none[64];
    snprintf(none, sizeof none, "no %s", name);
    table_print(table, none, stdout);
    table_free(table);
}

static void print_idle(const struct config *config)
{
    for (size_t i = 0; i < config_idle_count(config); i++)
        printf("%s is set and has no effect: %s\n", config_idle(config, i)->name, config_idle(config, i)->why);
}

/* -- the commands */

int cmd_config_check(struct op *op, struct err *err)
{
    (void)err; /* it was loaded, so it is good */
    const struct config *config = op->config;
    if (op->json) {
        operator_print(json_pack("{s:b, s:I, s:I, s:I, s:o}", "ok", 1, "publishers",
                                 (json_int_t)config_publisher_count(config), "providers",
                                 (json_int_t)config_provider_count(config), "validators",
                                 (json_int_t)config_validator_count(config), "withoutEffect", show_idle(config)));
        return 0;
    }
    printf("good: %zu publishers, %zu providers, %zu validators\n", config_publisher_count(config),
           config_provider_count(config), config_validator_count(config));
    print_idle(config);
    return 0;
}

int cmd_config_show(struct op *op, struct err *err)
{
    (void)err;
    json_t *all = show_all(op->config);
    if (op->json) {
        operator_print(all);
        return 0;
    }
    print_settings(json_object_get(all, "settings"));
    for (size_t i = 0; i < config_list_count(); i++)
        print_list(i, json_object_get(all, config_list(i)->name));
    if (config_idle_count(op->config))
        fputc('\n', stdout);
    print_idle(op->config);
    json_decref(all);
    return 0;
}

static json_t *describe(const struct setting *setting)
{
    json_t *names = json_names(setting->environment);
    return json_pack("{s:s, s:s, s:s?, s:s, s:s, s:I, s:I, s:o, s:b, s:b}", "name", setting->name, "sentence",
                     setting->sentence, "default", setting->fallback, "unit", setting->unit, "type",
                     (const char *const[]){"text", "integer", "boolean", "names"}[setting->type], "least",
                     (json_int_t)setting->least, "most", (json_int_t)setting->most, "environment", names, "reloadable",
                     setting->reloadable, "secret", setting->secret != CONFIG_OPEN);
}

int cmd_config_manual(struct op *op, struct err *err)
{
    (void)err;
    const struct setting *member;
    if (!op->json) {
        manual_print(stdout);
        return 0;
    }
    json_t *settings = json_array(), *lists = json_object();
    for (size_t i = 0; i < config_setting_count(); i++)
        json_array_append_new(settings, describe(config_setting(i)));
    for (size_t i = 0; i < config_list_count(); i++) {
        json_t *members = json_array();
        for (size_t m = 0; (member = config_member(i, m)); m++)
            json_array_append_new(members, describe(member));
        json_object_set_new(lists, config_list(i)->name, members);
    }
    operator_print(json_pack("{s:o, s:o}", "settings", settings, "lists", lists));
    return 0;
}
