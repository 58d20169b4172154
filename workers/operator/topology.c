/* topology.c - acquit topology apply, check, users */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "queues/topology.h"
#include "queues/url.h"
#include "workers/operator/operator.h"
#include "workers/operator/passwords.h"
#include "workers/operator/table.h"

/* -- topology apply */

int cmd_topology_apply(struct op *op, struct err *err)
{
    if (topology_apply(config_text(op->config, "broker.url"), err) < 0)
        return -1;
    operator_note(op, "topology.apply", "broker", "topology", NULL, NULL);
    if (op->json)
        operator_print(json_pack("{s:b}", "applied", 1));
    else
        puts("exchanges, queues and bindings are as they should be");
    return 0;
}

/* -- topology check */

/* The management API's URL and the vhost that broker.url names; free() the vhost. */
static int management(const struct op *op, const char **ret_url, char **ret_vhost, struct err *err)
{
    struct amqp_url url;
    *ret_url = config_text(op->config, "broker.management_url");
    if (!**ret_url)
        return err_set(err, ERR_CONFIG,
                       "broker.management_url is empty; give the management API's URL, with user and password, there "
                       "or in ACQUIT_BROKER_MANAGEMENT_URL");
    int r = amqp_url_parse(config_text(op->config, "broker.url"), &url, err);
    *ret_vhost = r == 0 ? mem_text(url.vhost) : NULL;
    amqp_url_clear(&url);
    return r;
}

static void print_differences(const json_t *differences)
{
    static const char *const headings[] = {"OBJECT", "FIELD", "EXPECTED", "FOUND", "REMEDY", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(differences); i++) {
        const json_t *row = json_array_get(differences, i);
        char *expected = json_dumps(json_object_get(row, "expected"), JSON_ENCODE_ANY | JSON_COMPACT);
        char *found = json_dumps(json_object_get(row, "found"), JSON_ENCODE_ANY | JSON_COMPACT);
        const char *cells[] = {json_text(row, "object", ""), json_text(row, "field", ""), expected, found,
                               json_text(row, "remedy", "")};
        table_row(table, cells);
        free(expected);
        free(found);
    }
    table_print(table, "the broker has what it should have", stdout);
    table_free(table);
}

int cmd_topology_check(struct op *op, struct err *err)
{
    const char *url = NULL;
    char *vhost = NULL;
    if (management(op, &url, &vhost, err) < 0)
        return -1;
    json_t *differences = topology_check(url, vhost, err);
    free(vhost);
    if (!differences)
        return -1;
    if (topology_check_size(config_text(op->config, "broker.url"), differences, err) < 0) {
        json_decref(differences);
        return -1;
    }
    int code = json_array_size(differences) ? EXIT_NO : 0;
    if (op->json) {
        operator_print(json_pack("{s:b, s:O}", "ok", code == 0, "differences", differences));
    } else {
        print_differences(differences);
    }
    json_decref(differences);
    return code;
}

/* -- topology users */

const struct option_row topology_users_options[] = {
    {.name = "password-file",
     .kind = OPTION_MANY,
     .value = "NAME=FILE",
     .sentence = "the user's password is the file's first line; repeatable; else $ACQUIT_BROKER_PASSWORD_<NAME>; else "
                 "it stays as it is"},
    {0},
};

/* Our own users, as units and samples name them. */
static const struct broker_user own_users[] = {
    {.name = "acquit-worker", .role = "worker"},
    {.name = "acquit-keeper", .role = "keeper"},
    {.name = "acquit-ingress", .role = "ingress"},
    {.name = "acquit-operator", .role = "operator"},
};
enum { OWN_USERS = sizeof own_users / sizeof own_users[0], USERS_MAX = OWN_USERS + CONFIG_PUBLISHERS_MAX };

struct user_list {
    size_t count;
    struct broker_user users[USERS_MAX];
    char *passwords[USERS_MAX]; /* owned; NULL: keep */
};

static int add_user(struct user_list *list, const struct args *args, const char *name, const char *role,
                    struct err *err)
{
    char **password = &list->passwords[list->count];
    if (password_find(args, name, password, err) < 0)
        return -1;
    list->users[list->count++] = (struct broker_user){.name = name, .role = role, .password = *password};
    return 0;
}

static int collect_users(const struct op *op, struct user_list *ret, struct err *err)
{
    for (size_t i = 0; i < OWN_USERS; i++)
        if (add_user(ret, &op->args, own_users[i].name, own_users[i].role, err) < 0)
            return -1;
    for (size_t i = 0; i < config_publisher_count(op->config); i++)
        if (add_user(ret, &op->args, config_publisher(op->config, i)->name, "app", err) < 0)
            return -1;
    return 0;
}

/* A password for a user that does not exist is a typing error, and would go unnoticed. */
static int check_names(const struct args *args, const struct user_list *list, struct err *err)
{
    const char *given;
    for (size_t i = 0; (given = args_many(args, "password-file", i)); i++) {
        size_t length = strcspn(given, "="), k = 0;
        while (k < list->count &&
               (strlen(list->users[k].name) != length || strncmp(list->users[k].name, given, length) != 0))
            k++;
        if (k == list->count)
            return err_set(err, ERR_INVALID,
                           "--password-file %s: there is no user %.*s; the configuration names the publishers", given,
                           (int)length, given);
    }
    return 0;
}

static void print_users(const struct op *op, const struct user_list *list)
{
    static const char *const headings[] = {"USER", "ROLE", "PASSWORD", NULL};
    struct table *table = table_new(headings);
    json_t *rows = json_array();
    for (size_t i = 0; i < list->count; i++) {
        const struct broker_user *user = &list->users[i];
        const char *cells[] = {user->name, user->role, user->password ? "set" : "kept"};
        table_row(table, cells);
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:s}", "name", cells[0], "role", cells[1], "password", cells[2]));
    }
    if (op->json) {
        operator_print(json_pack("{s:o}", "users", rows));
    } else {
        table_print(table, "no users", stdout);
        json_decref(rows);
    }
    table_free(table);
}

static void note_users(struct op *op, const struct user_list *list)
{
    json_t *names = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(names, json_string(list->users[i].name));
    operator_note(op, "topology.users", "broker", "users", NULL, json_pack("{s:o}", "users", names));
}

int cmd_topology_users(struct op *op, struct err *err)
{
    const char *url;
    char *vhost = NULL;
    struct user_list *list = mem_new(1, sizeof *list);
    int r = collect_users(op, list, err);
    if (r == 0)
        r = check_names(&op->args, list, err);
    if (r == 0)
        r = management(op, &url, &vhost, err);
    if (r == 0)
        r = topology_users(url, vhost, list->users, list->count, err);
    if (r == 0)
        note_users(op, list);
    if (r == 0)
        print_users(op, list);
    for (size_t i = 0; i < USERS_MAX; i++)
        free(list->passwords[i]);
    free(list);
    free(vhost);
    return r;
}
