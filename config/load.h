/* load.h - what the files of config/ share while a configuration is loaded; nobody else includes it
 *
 * Functions that can fail return 0 or -1, the error in loader->err, with ERR_CONFIG.
 */
#ifndef ACQUIT_CONFIG_LOAD_H
#define ACQUIT_CONFIG_LOAD_H

#include <libconfig.h>

#include "config/config.h"

enum {
    CONFIG_SETTINGS_MAX = 80,      /* rows of the table */
    CONFIG_FILE_MAX = 1024 * 1024, /* bytes of the file */
    CONFIG_TEXT_MAX = 4096,        /* bytes of one value */
    CONFIG_KEY_MAX = 96,           /* "group.key_file" */
    CONFIG_PATH_MAX = 4096,
    RETRY_ATTEMPTS_MOST = 20,
    RETRY_BASE_MOST_MS = 60000,
    RETRY_CAP_MOST_MS = 3600000,
};
#define DAY_MS 86400000
#define MONTH_MS 2592000000 /* 30 days */

struct value {
    bool set;
    const char *text;
    int64_t number;
    bool truth;
    const char *origin;   /* for people */
    const char *variable; /* of the environment, that gave it; or NULL */
    unsigned line;        /* of it or of its _file, or 0 */
};

struct config {
    const char *path;
    struct value values[CONFIG_SETTINGS_MAX];
    struct publisher_config *publishers;
    struct provider_config *providers;
    struct validator_config *validators;
    struct route_config *routes;
    struct retry_config *retries;
    size_t publisher_count, provider_count, validator_count, route_count, retry_count;
    struct idle_variable *idle;
    size_t idle_count;
    char **owned; /* every string of the configuration */
    size_t owned_count;
};

/* One load in progress. */
struct loader {
    struct config *config;
    const char *path;
    char folder[CONFIG_PATH_MAX];
    config_setting_t *from[CONFIG_SETTINGS_MAX];      /* where a scalar stands in the file, or NULL */
    config_setting_t *file_from[CONFIG_SETTINGS_MAX]; /* where its _file stands */
    struct err *err;
};

/* Makes the configuration own the string (from malloc()), and returns it. */
const char *conf_keep(struct config *config, char *text);
const char *conf_keep_format(struct config *config, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* source.c */
int conf_parse(struct loader *loader, config_t *parsed) MUST_CHECK;
/* The content of the file that `at` names, without the newline at its end; owned by the configuration. NULL on
 * failure. */
const char *conf_read_secret(struct loader *loader, const config_setting_t *at, const char *key) MUST_CHECK;
/* Can the file be read by whoever runs this? */
bool conf_secret_is_there(const struct loader *loader, const config_setting_t *at);

/* settings.c */
int conf_index(const char *name); /* the row of the setting, or -1 */

/* scalars.c */
int conf_walk_group(struct loader *loader, config_setting_t *group) MUST_CHECK;
int conf_complete_scalar(struct loader *loader, int i) MUST_CHECK;

/* environment.c */

/* Stands for the environment where it is asked where a value stands. */
extern const config_setting_t conf_environment;
/* The first of the setting's variables that is set and not empty, or NULL. */
const char *conf_variable(const struct setting *setting);
/* The variable's value, or NULL when it is not set or empty. */
const char *conf_getenv(const char *variable);
/* ledger.url from DB_HOST, DB_PORT, DB_NAME, DB_USER and DB_PASSWORD. 1: made, 0: none of them is set, -1: wrong. */
int conf_database(struct loader *loader, struct value *value) MUST_CHECK;
/* Notes the variables that are set and change nothing. */
void conf_note_idle(struct loader *loader);

/* lists.c */
bool conf_is_list(const char *name);
/* The kinds of providers; NULL behind the last. */
struct provider_kind {
    const char *name;
    bool needs_url;
    const char *variable; /* of the environment, that gives the secret; or NULL */
};
const struct provider_kind *conf_kind(size_t i);
/* A member of a list's element. */
enum field_note {
    FIELD_USUAL,   /* false in the tables */
    FIELD_IN_FILE, /* true in the tables: no secret, but may stand in a file of its own too */
    FIELD_TEXTS,   /* CONFIG_NAMES that are no names of providers */
};
struct field {
    struct setting is;
    size_t offset; /* in the element's struct: of a `const char *`, int64_t, bool or array of `const char *` */
    enum field_note note;
};
enum { FIELDS_MAX = 16 };
/* Reads one element `{ ... }` of a list into its struct. */
int conf_read_element(struct loader *loader, config_setting_t *from, const struct field *fields, void *element,
                      const char *secret) MUST_CHECK;
/* Where a member stands, or its file's name; else the element. */
const config_setting_t *conf_spot(const config_setting_t *from, const char *member);
int conf_read_lists(struct loader *loader, const config_setting_t *root) MUST_CHECK;

/* routes.c */
extern const struct field conf_route_fields[];
int conf_read_route(struct loader *loader, config_setting_t *from, void *element) MUST_CHECK;
/* Three upper-case letters each; NULL ends. */
int conf_check_currencies(const struct loader *loader, const config_setting_t *at, const char *key,
                          const char *const *currencies) MUST_CHECK;
/* exposure_limit of a provider: "EUR=500000" into limits. */
int conf_read_limits(const struct loader *loader, const config_setting_t *at,
                     struct provider_config *provider) MUST_CHECK;

/* check.c */

/* Records "path:line: text", of the environment "environment: text", without a setting "path: text". Returns -1. */
int conf_fail(const struct loader *loader, const config_setting_t *at, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* For what is said about a scalar: where its value stands, and what it is called there. */
const config_setting_t *conf_place(const struct loader *loader, const char *name);
const char *conf_called(const struct loader *loader, const char *name);

/* The nearest known key so far. */
struct nearest {
    const char *wanted;
    char key[CONFIG_KEY_MAX];
    size_t distance;
};
void conf_consider(struct nearest *nearest, const char *key, const char *suffix);
int conf_unknown_key(const struct loader *loader, const config_setting_t *at, const char *key,
                     const struct nearest *nearest);

const char *conf_type_text(enum config_type type);
bool conf_has_type(const config_setting_t *at, enum config_type type);
int64_t conf_number(const config_setting_t *at);
bool conf_begins(const char *text, const char *head); /* whatever the case */
/* Does `key` say where a secret's file is? Then its name without the suffix is in `ret`. */
bool conf_file_key(const char *key, char ret[static CONFIG_KEY_MAX]);

/* A secret must not stand in the configuration. Returns -1. */
int conf_refuse_secret(const struct loader *loader, const config_setting_t *at, const char *key, const char *variable);
int conf_check_text(const struct loader *loader, const config_setting_t *at, const char *key,
                    const char *text) MUST_CHECK;
int conf_check_range(const struct loader *loader, const config_setting_t *at, const char *key, int64_t n, int64_t least,
                     int64_t most, const char *unit) MUST_CHECK;
int conf_check_name(const struct loader *loader, const config_setting_t *at, const char *name) MUST_CHECK;
int conf_check_choice(const struct loader *loader, const config_setting_t *at, const char *key, const char *text,
                      const char *const *choices) MUST_CHECK;
/* The URL of something we call over HTTP, to which paths are appended if it is a base. May be empty. */
int conf_check_http_url(const struct loader *loader, const config_setting_t *at, const char *key, const char *url,
                        bool base) MUST_CHECK;
/* A URL that is no secret must not hold one: refuses "user:password@". */
int conf_check_open_url(const struct loader *loader, const config_setting_t *at, const char *key,
                        const char *url) MUST_CHECK;

#endif
