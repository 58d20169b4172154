/* topology_users.c - the broker's users: who may write and read what
 *
 * Nobody may configure anything of ours: topology_apply() does, as an administrator. Apps may write to acquit.in only, there (by topic permission) the
 * public command types only, and declare and read their own queues app.<name>.*, for answers. The broker checks that the user_id of a message is the connection's user, except for
 * the tag impersonator, which the ingress has because it speaks for the owners of API keys.
 *
 * Workers answer to a reply_to, through the default exchange (amq.default).
 */
#include <string.h>

#include "common/mem.h"
#include "queues/envelope.h"
#include "queues/management.h"
#include "queues/topology_table.h"

static const struct role {
    const char *name, *write, *read; /* regular expressions; read: '%s' stands for the user's name */
    const char *configure;           /* the same; NULL: nothing */
    const char *tags;
    const char *(*types)(void); /* the command types that it may write to acquit.in; NULL: it writes nothing there */
} roles[] = {
    {"app", "^acquit\\.in$", "^app\\.%s\\..*$", "^app\\.%s\\..*$", "", topology_pattern_of_apps},
    {"worker", "^(acquit\\.(cmd|evt|dlx|wait\\..*)|amq\\.default)$", "^acquit\\..*$", NULL, "", NULL},
    {"ingress", "^acquit\\.in$", "^$", NULL, "impersonator", topology_pattern_of_ingress},
    {"keeper", "^acquit\\.(cmd|evt)$", "^$", NULL, "", NULL},
    {"operator", "^acquit\\.cmd$", "^$", NULL, "", NULL},
};

static const struct role *role_find(const char *name)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(roles[i].name, name) == 0)
            return &roles[i];
    return NULL;
}

/* The name with its dots escaped, in place of the pattern's %s. */
static json_t *own_pattern(const char *pattern, const char *user)
{
    char name[2 * PUBLISHER_MAX + 1];
    size_t n = 0;
    for (const char *p = user; *p; p++) {
        if (*p == '.')
            name[n++] = '\\';
        name[n++] = *p;
    }
    name[n] = '\0';
    const char *hole = strstr(pattern, "%s");
    return hole ? json_sprintf("%.*s%s%s", (int)(hole - pattern), pattern, name, hole + 2) : json_string(pattern);
}

static int ensure_vhost(struct management *management, const char *vhost, struct err *err)
{
    struct err missing = {0};
    json_t *found = management_get(management, "/api/vhosts/%s", (const char *[]){vhost, NULL}, &missing);
    json_decref(found);
    if (found)
        return 0;
    if (missing.code != ERR_NOT_FOUND)
        return err_set(err, missing.code, "%s", missing.text);
    json_t *nothing = json_object();
    int result = management_put(management, "/api/vhosts/%s", (const char *[]){vhost, NULL}, nothing, err);
    json_decref(nothing);
    return result;
}

/* The hash of the password the user has now, to be put back unchanged. */
static json_t *kept_password(struct management *management, const char *user, const char *tags, struct err *err)
{
    json_t *found = management_get(management, "/api/users/%s", (const char *[]){user, NULL}, err);
    if (!found)
        return NULL;
    json_t *body = json_pack("{s:O?, s:O?, s:s}", "password_hash", json_object_get(found, "password_hash"),
                             "hashing_algorithm", json_object_get(found, "hashing_algorithm"), "tags", tags);
    json_decref(found);
    return body;
}

static int put_user(struct management *management, const struct broker_user *user, const struct role *role,
                    struct err *err)
{
    json_t *body = user->password ? json_pack("{s:s, s:s}", "password", user->password, "tags", role->tags)
                                  : kept_password(management, user->name, role->tags, err);
    if (!body)
        return err && err->code == ERR_NOT_FOUND ? err_prefix(err, "there is no user to keep the password of; give one")
                                                 : -1;
    int result = management_put(management, "/api/users/%s", (const char *[]){user->name, NULL}, body, err);
    json_decref(body);
    return result;
}

static int put_permissions(struct management *management, const char *vhost, const struct broker_user *user,
                           const struct role *role, struct err *err)
{
    json_t *body =
        json_pack("{s:o, s:s, s:o}", "configure", own_pattern(role->configure ? role->configure : "^$", user->name),
                  "write", role->write, "read", own_pattern(role->read, user->name));
    int result =
        management_put(management, "/api/permissions/%s/%s", (const char *[]){vhost, user->name, NULL}, body, err);
    json_decref(body);
    if (result != 0 || !role->types)
        return result;
    body = json_pack("{s:s, s:s, s:s}", "exchange", EXCHANGE_IN, "write", role->types(), "read", "^$");
    result = management_put(management, "/api/topic-permissions/%s/%s", (const char *[]){vhost, user->name, NULL}, body,
                            err);
    json_decref(body);
    return result;
}

static int apply_user(struct management *management, const char *vhost, const struct broker_user *user, struct err *err)
{
    const struct role *role = role_find(user->role);
    if (!role)
        return err_set(err, ERR_INVALID, "unknown role '%s'", user->role);
    if (!publisher_name_ok(user->name))
        return err_set(err, ERR_INVALID, "a user's name must be 1 to %d letters, digits, '.', '_' or '-'",
                       (int)PUBLISHER_MAX);
    if (put_user(management, user, role, err) != 0)
        return -1;
    return put_permissions(management, vhost, user, role, err);
}

int topology_users(const char *management_url, const char *vhost, const struct broker_user *users, size_t count,
                   struct err *err)
{
    struct management *management = management_new(management_url, err);
    if (!management)
        return -1;
    int result = ensure_vhost(management, vhost, err);
    for (size_t i = 0; i < count && result == 0; i++)
        if ((result = apply_user(management, vhost, &users[i], err)) != 0)
            err_prefix(err, "broker user %s", users[i].name);
    management_free(management);
    return result;
}
