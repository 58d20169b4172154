/* json.c - jansson with our limits, and short ways to read an object */
#include "common/json.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/log.h"

/* The deepest nesting of arrays and objects, found without parsing: jansson's own limit (2048) is fixed when it is
 * built. Brackets that do not match are left for the parser to refuse. */
static int depth_of(const char *bytes, size_t size)
{
    int depth = 0, deepest = 0;
    bool text = false;
    for (size_t i = 0; i < size; i++) {
        char c = bytes[i];
        if (text && c == '\\')
            i++;
        else if (c == '"')
            text = !text;
        else if (!text && (c == '{' || c == '['))
            deepest = ++depth > deepest ? depth : deepest;
        else if (!text && (c == '}' || c == ']'))
            depth--;
    }
    return deepest;
}

/* jansson's text ends in " near '<what stands there>'", which may be anything the sender wrote: it is cut off (L11). */
static int parse_error(struct err *err, const json_error_t *error)
{
    const char *near = strstr(error->text, " near '");
    int length = near ? (int)(near - error->text) : (int)strlen(error->text);
    return err_set(err, ERR_INVALID, "not JSON: %.*s at line %d, column %d", length, error->text, error->line,
                   error->column);
}

json_t *json_decode(const char *bytes, size_t size, struct err *err)
{
    if (size > JSON_BODY_MAX) {
        err_set(err, ERR_INVALID, "JSON of %zu bytes, at most %d are allowed", size, (int)JSON_BODY_MAX);
        return NULL;
    }
    if (depth_of(bytes, size) > JSON_DEPTH_MAX) {
        err_set(err, ERR_INVALID, "JSON nested deeper than %d", (int)JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t error;
    json_t *value = json_loadb(size ? bytes : "", size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        parse_error(err, &error);
    return value;
}

char *json_encode(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

void json_sha256(const json_t *value, uint8_t ret[static 32])
{
    char *text = json_encode(value);
    if (!text)
        log_panic("a JSON value cannot be encoded");
    sha256(text, strlen(text), ret);
    free(text);
}

const char *json_text(const json_t *object, const char *key, const char *fallback)
{
    const json_t *member = json_object_get(object, key);
    return json_is_string(member) ? json_string_value(member) : fallback;
}

int64_t json_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *member = json_object_get(object, key);
    return json_is_integer(member) ? json_integer_value(member) : fallback;
}

bool json_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *member = json_object_get(object, key);
    return json_is_boolean(member) ? json_is_true(member) : fallback;
}
