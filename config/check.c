/* check.c - what may be wrong with a value, and how it is said: file, line, what is wrong, what would be right */
#include "config/load.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int conf_fail(const struct loader *loader, const config_setting_t *at, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (at == &conf_environment)
        return err_set(loader->err, ERR_CONFIG, "environment: %s", text);
    if (!at)
        return err_set(loader->err, ERR_CONFIG, "%s: %s", loader->path, text);
    return err_set(loader->err, ERR_CONFIG, "%s:%u: %s", loader->path, config_setting_source_line(at), text);
}

const config_setting_t *conf_place(const struct loader *loader, const char *name)
{
    int i = conf_index(name);
    if (loader->config->values[i].variable)
        return &conf_environment;
    return loader->from[i] ? loader->from[i] : loader->file_from[i];
}

const char *conf_called(const struct loader *loader, const char *name)
{
    int i = conf_index(name);
    return loader->config->values[i].variable ? loader->config->values[i].variable : name;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein's distance. */
static size_t distance(const char *a, const char *b)
{
    size_t row[CONFIG_KEY_MAX + 1] = {0};
    size_t length = strnlen(b, CONFIG_KEY_MAX);
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t above = row[j + 1];
            row[j + 1] = smallest(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
            diagonal = above;
        }
    }
    return row[length];
}

void conf_consider(struct nearest *nearest, const char *key, const char *suffix)
{
    char candidate[CONFIG_KEY_MAX];
    snprintf(candidate, sizeof candidate, "%s%s", key, suffix);
    size_t d = distance(nearest->wanted, candidate);
    if (*nearest->key && d >= nearest->distance)
        return;
    memcpy(nearest->key, candidate, sizeof candidate);
    nearest->distance = d;
}

int conf_unknown_key(const struct loader *loader, const config_setting_t *at, const char *key,
                     const struct nearest *nearest)
{
    return conf_fail(loader, at, "unknown setting %.80s; did you mean %s?", key, nearest->key);
}

const char *conf_type_text(enum config_type type)
{
    switch (type) {
    case CONFIG_TEXT:
        return "a text in quotes";
    case CONFIG_INT:
        return "a whole number";
    case CONFIG_BOOL:
        return "true or false";
    case CONFIG_NAMES:
        return "a list of names: [\"a\", \"b\"]";
    }
    return "";
}

/* Does `key` say where a secret's file is? Then its name without the suffix is in `ret`. */
bool conf_file_key(const char *key, char ret[static CONFIG_KEY_MAX])
{
    static const char suffix[] = "_file";
    size_t length = strlen(key);
    if (length < sizeof suffix || length >= CONFIG_KEY_MAX || strcmp(key + length - (sizeof suffix - 1), suffix) != 0)
        return false;
    memcpy(ret, key, length - (sizeof suffix - 1));
    ret[length - (sizeof suffix - 1)] = '\0';
    return true;
}

bool conf_has_type(const config_setting_t *at, enum config_type type)
{
    int is = config_setting_type(at);
    switch (type) {
    case CONFIG_TEXT:
        return is == CONFIG_TYPE_STRING;
    case CONFIG_INT:
        return is == CONFIG_TYPE_INT || is == CONFIG_TYPE_INT64;
    case CONFIG_BOOL:
        return is == CONFIG_TYPE_BOOL;
    case CONFIG_NAMES:
        return is == CONFIG_TYPE_ARRAY || is == CONFIG_TYPE_LIST;
    }
    return false;
}

int64_t conf_number(const config_setting_t *at)
{
    return config_setting_type(at) == CONFIG_TYPE_INT ? config_setting_get_int(at) : config_setting_get_int64(at);
}

int conf_refuse_secret(const struct loader *loader, const config_setting_t *at, const char *key, const char *variable)
{
    return conf_fail(loader, at,
                     "the secret %s must not stand in the configuration: name a file that holds it in "
                     "%s_file%s%s",
                     key, key, variable ? ", or set " : "", variable ? variable : "");
}

int conf_check_text(const struct loader *loader, const config_setting_t *at, const char *key, const char *text)
{
    size_t length = strlen(text);
    if (length > CONFIG_TEXT_MAX)
        return conf_fail(loader, at, "%s has %zu bytes, at most %d are allowed", key, length, (int)CONFIG_TEXT_MAX);
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return conf_fail(loader, at, "%s holds a control character", key);
    return 0;
}

int conf_check_range(const struct loader *loader, const config_setting_t *at, const char *key, int64_t n, int64_t least,
                     int64_t most, const char *unit)
{
    if (n >= least && n <= most)
        return 0;
    return conf_fail(loader, at, "%s is %" PRId64 ", it must be from %" PRId64 " to %" PRId64 "%s%s", key, n, least,
                     most, *unit ? " " : "", unit);
}

int conf_check_name(const struct loader *loader, const config_setting_t *at, const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (strspn(name, allowed) == strlen(name))
        return 0;
    return conf_fail(loader, at, "name \"%.63s\": only letters, digits and . _ - are allowed", name);
}

int conf_check_choice(const struct loader *loader, const config_setting_t *at, const char *key, const char *text,
                      const char *const *choices)
{
    char list[128] = "";
    for (size_t n = 0; *choices; choices++) {
        if (strcmp(text, *choices) == 0)
            return 0;
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", *choices);
    }
    return conf_fail(loader, at, "%s is \"%.64s\", it must be one of %s", key, text, list);
}

bool conf_begins(const char *text, const char *head)
{
    return strncasecmp(text, head, strlen(head)) == 0;
}

/* No port behind the host, or one that there is. */
static bool port_is_good(const char *authority, size_t length)
{
    const char *end = authority + length, *at = memrchr(authority, '@', length);
    const char *host = at ? at + 1 : authority, *colon = memrchr(host, ':', (size_t)(end - host));
    if (!colon || memchr(colon, ']', (size_t)(end - colon)))
        return true;
    unsigned port = 0;
    size_t digits = strspn(colon + 1, "0123456789");
    return colon + 1 + digits == end && digits >= 1 && digits <= 5 && sscanf(colon + 1, "%5u", &port) == 1 &&
           port >= 1 && port <= 65535;
}

/* The URL of something we call over HTTP, to which paths are appended if it is a base. May be empty. */
int conf_check_http_url(const struct loader *loader, const config_setting_t *at, const char *key, const char *url,
                        bool base)
{
    if (!*url)
        return 0;
    const char *host = strstr(url, "://");
    if ((!conf_begins(url, "http://") && !conf_begins(url, "https://")) || !host[3] || host[3] == '/')
        return conf_fail(loader, at, "%s must be an http:// or https:// URL", key);
    if (!port_is_good(host + 3, strcspn(host + 3, "/?#")))
        return conf_fail(loader, at, "%s: the port must be 1 to 65535", key);
    if (base && url[strlen(url) - 1] == '/')
        return conf_fail(loader, at, "%s must not end with a slash", key);
    return 0;
}

int conf_check_open_url(const struct loader *loader, const config_setting_t *at, const char *key, const char *url)
{
    const char *host = strstr(url, "://");
    if (!host || !memchr(host + 3, '@', strcspn(host + 3, "/?#")))
        return 0;
    return conf_fail(loader, at, "%s must not hold a user or password: everyone may read this file", key);
}
