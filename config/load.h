/* load.h - what the files of config/ share while a configuration is loaded; nobody else includes it
 *
 * Functions that can fail return 0 or -1, the error in loader->err, with ERR_CONFIG.
 */
#ifndef ACQUIT_CONFIG_LOAD_H
#define ACQUIT_CONFIG_LOAD_H

#include <libconfig.h>
#include <sys/types.h>

#include "config/config.h"

enum {
    CONFIG_SETTINGS_MAX = 64,      /* rows of the table */
    CONFIG_FILE_MAX = 1024 * 1024, /* bytes of the file */
    CONFIG_TEXT_MAX = 4096,        /* bytes of one value */
    CONFIG_KEY_MAX = 96,           /* "group.key_file" */
    CONFIG_PATH_MAX = 4096,
};
#define DAY_MS 86400000
#define MONTH_MS 2592000000 /* 30 days */

struct value {
    bool set;
    const char *text;
    int64_t number;
    bool truth;
};

struct config {
    struct value values[CONFIG_SETTINGS_MAX];
    struct publisher_config *publishers;
    struct provider_config *providers;
    struct validator_config *validators;
    size_t publisher_count, provider_count, validator_count;
    char **owned; /* every string of the configuration */
    size_t owned_count;
};

/* One load in progress. */
struct loader {
    struct config *config;
    const char *path;
    char folder[CONFIG_PATH_MAX];
    mode_t mode;                                      /* of the file */
    config_setting_t *from[CONFIG_SETTINGS_MAX];      /* where a scalar stands in the file, or NULL */
    config_setting_t *file_from[CONFIG_SETTINGS_MAX]; /* where its _file stands */
    struct err *err;
};

/* Makes the configuration own the string (from malloc()), and returns it. */
const char *conf_keep(struct config *config, char *text);

/* source.c */
int conf_parse(struct loader *loader, config_t *parsed) MUST_CHECK;
/* The content of the file that `at` names, without the newline at its end; owned by the configuration. NULL on
 * failure. */
const char *conf_read_secret(struct loader *loader, const config_setting_t *at, const char *key) MUST_CHECK;

/* settings.c */
int conf_index(const char *name); /* the row of the setting, or -1 */

/* scalars.c */
int conf_walk_group(struct loader *loader, config_setting_t *group) MUST_CHECK;
int conf_complete_scalar(struct loader *loader, int i) MUST_CHECK;

/* lists.c */
bool conf_is_list(const char *name);
int conf_read_lists(struct loader *loader, const config_setting_t *root) MUST_CHECK;

/* check.c */

/* Records "path:line: text", or without a setting "path: text". Returns -1. */
int conf_fail(const struct loader *loader, const config_setting_t *at, const char *fmt, ...) PRINTF_LIKE(3, 4);

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

/* A secret may stand in a file that nobody else can read, and only there. */
int conf_check_private(const struct loader *loader, const config_setting_t *at, const char *key) MUST_CHECK;
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

#endif
