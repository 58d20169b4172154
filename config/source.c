/* source.c - the bytes that settings come from: the file, and the files of secrets */
#include "config/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/mem.h"

/* The file's bytes; NULL on failure. free() it. */
static char *read_file(struct loader *loader)
{
    struct stat st;
    FILE *file = fopen(loader->path, "re");
    if (!file || fstat(fileno(file), &st) != 0 || S_ISDIR(st.st_mode)) {
        err_set(loader->err, ERR_CONFIG, "%s: %s", loader->path, file ? "not a file" : strerror(errno));
        if (file)
            fclose(file);
        return NULL;
    }
    char *bytes = mem_new(CONFIG_FILE_MAX + 2, 1);
    size_t size = fread(bytes, 1, CONFIG_FILE_MAX + 1, file);
    bool failed = ferror(file);
    fclose(file);
    if (!failed && size <= CONFIG_FILE_MAX && strlen(bytes) == size)
        return bytes;
    err_set(loader->err, ERR_CONFIG, "%s: %s", loader->path,
            failed                   ? "cannot be read"
            : size > CONFIG_FILE_MAX ? "is larger than 1 MiB"
                                     : "holds a NUL byte");
    free(bytes);
    return NULL;
}

/* How long the text is that begins here and holds no number for us: a string, a comment, a name. 0: none begins
 * here. */
static size_t opaque(const char *at)
{
    static const char name_bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_*-";
    size_t n = 1;
    if (*at == '"') {
        while (at[n] && at[n] != '"')
            n += at[n] == '\\' && at[n + 1] ? 2 : 1;
        return at[n] ? n + 1 : n;
    }
    if (*at == '#' || (at[0] == '/' && at[1] == '/'))
        return strcspn(at, "\n");
    if (at[0] == '/' && at[1] == '*') {
        const char *end = strstr(at + 2, "*/");
        return end ? (size_t)(end - at) + 2 : strlen(at);
    }
    return strchr(name_bytes, *at) && (*at < '0' || *at > '9') && *at != '-' ? strspn(at, name_bytes) : 0;
}

/* libconfig 1.5 takes 5000000000 for an int and silently keeps its low 32 bits; with an L behind it, it keeps all 64.
 * So every whole number gets its L here, and one that 64 bits may not hold is refused. `ret` has room for twice the
 * text. */
static int widen_numbers(const struct loader *loader, const char *at, char *ret)
{
    enum { DECIMAL_MAX = 18, HEX_MAX = 15 };
    unsigned line = 1;
    while (*at) {
        size_t n = opaque(at), whole = 0;
        if (n == 0 && *at >= '0' && *at <= '9') {
            bool hex = at[0] == '0' && (at[1] == 'x' || at[1] == 'X');
            n = strspn(at, "0123456789abcdefABCDEFxXL.");
            whole = hex ? 2 + strspn(at + 2, "0123456789abcdefABCDEF") : strspn(at, "0123456789");
            if (whole == n && n > (size_t)(hex ? HEX_MAX + 2 : DECIMAL_MAX))
                return err_set(loader->err, ERR_CONFIG, "%s:%u: this number is too large", loader->path, line);
        }
        if (at[0] == '/' && at[1] == '*' &&
            !strstr(at + 2, "*/")) /* libconfig would take the rest of the file for it */
            return err_set(loader->err, ERR_CONFIG, "%s:%u: this comment does not end", loader->path, line);
        if (*at == '@')
            return err_set(loader->err, ERR_CONFIG, "%s:%u: @include is not supported", loader->path, line);
        n = n ? n : 1;
        for (size_t i = 0; i < n; i++)
            line += at[i] == '\n';
        ret = mempcpy(ret, at, n);
        if (whole == n)
            *ret++ = 'L';
        at += n;
    }
    *ret = '\0';
    return 0;
}

int conf_parse(struct loader *loader, config_t *parsed)
{
    char *bytes = read_file(loader);
    if (!bytes)
        return -1;
    size_t size = strlen(bytes);
    char *wide = mem_new(2 * size + 1, 1);
    int r = widen_numbers(loader, bytes, wide);
    if (r == 0 && !config_read_string(parsed, wide))
        r = err_set(loader->err, ERR_CONFIG, "%s:%d: %s", loader->path, config_error_line(parsed),
                    config_error_text(parsed));
    explicit_bzero(bytes, size); /* it may hold secrets */
    explicit_bzero(wide, 2 * size);
    free(bytes);
    free(wide);
    return r;
}

/* A relative path is looked for below $CREDENTIALS_DIRECTORY first, then beside the configuration file. */
static FILE *open_secret(const struct loader *loader, const char *path, char ret[static CONFIG_PATH_MAX])
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (*path == '/') {
        snprintf(ret, CONFIG_PATH_MAX, "%s", path);
        return fopen(ret, "re");
    }
    if (credentials && *credentials) {
        snprintf(ret, CONFIG_PATH_MAX, "%s/%s", credentials, path);
        FILE *file = fopen(ret, "re");
        if (file)
            return file;
    }
    snprintf(ret, CONFIG_PATH_MAX, "%.2047s/%.2047s", loader->folder, path);
    return fopen(ret, "re");
}

bool conf_secret_is_there(const struct loader *loader, const config_setting_t *at)
{
    char path[CONFIG_PATH_MAX];
    FILE *file = open_secret(loader, config_setting_get_string(at), path);
    bool there = file != NULL;
    if (there)
        fclose(file);
    return there;
}

/* The file's content without the newline at its end. NULL on failure. */
const char *conf_read_secret(struct loader *loader, const config_setting_t *at, const char *key)
{
    char path[CONFIG_PATH_MAX], bytes[CONFIG_TEXT_MAX + 3];
    FILE *file = open_secret(loader, config_setting_get_string(at), path);
    if (!file) {
        conf_fail(loader, at, "%s_file: %s: %s", key, path, strerror(errno));
        return NULL;
    }
    size_t size = fread(bytes, 1, sizeof bytes - 1, file);
    bool failed = ferror(file);
    fclose(file);
    if (size && bytes[size - 1] == '\n')
        size--;
    if (size && bytes[size - 1] == '\r')
        size--;
    bytes[size] = '\0';
    const char *text = NULL;
    if (failed)
        conf_fail(loader, at, "%s_file: %s: cannot be read", key, path);
    else if (size == 0 || strlen(bytes) != size)
        conf_fail(loader, at, "%s_file: %s: is empty or holds a NUL byte", key, path);
    else if (conf_check_text(loader, at, key, bytes) == 0)
        text = conf_keep(loader->config, mem_bytes(bytes, size));
    explicit_bzero(bytes, sizeof bytes);
    return text;
}
