/* params.c - what clients say in headers and query strings, read with bounds */
#include "workers/ingress/params.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/pan.h"

enum { MS_PER_S = 1000 };

/* Digits only, up to 18 of them, so that nothing overflows. Returns the end, or NULL. */
static const char *read_number(const char *text, int64_t *ret)
{
    int64_t value = 0;
    int digits = 0;
    for (; isdigit((unsigned char)*text); text++, digits++) {
        if (digits == 18)
            return NULL;
        value = value * 10 + (*text - '0');
    }
    if (!digits)
        return NULL;
    *ret = value;
    return text;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* One preference, `wait=5` or `wait="5"`, up to its comma. */
static bool read_wait(const char *preference, int64_t *ret_s)
{
    if (strncasecmp(preference, "wait", 4) != 0)
        return false;
    const char *text = skip_blanks(preference + 4);
    if (*text++ != '=')
        return false;
    text = skip_blanks(text);
    bool quoted = *text == '"';
    text = read_number(text + quoted, ret_s);
    if (!text || (quoted && *text++ != '"'))
        return false;
    text = skip_blanks(text);
    return !*text || *text == ',' || *text == ';';
}

static int64_t preferred_wait(const char *prefer)
{
    int64_t seconds = 0;
    for (const char *text = prefer; text && *text; text += *text == ',') {
        text = skip_blanks(text);
        if (read_wait(text, &seconds))
            return seconds > INT32_MAX ? INT32_MAX : seconds;
        text += strcspn(text, ",");
    }
    return 0;
}

int params_wait(const char *prefer, const char *wait_ms, int64_t most, int64_t *ret_ms, struct err *err)
{
    int64_t wait = preferred_wait(prefer) * MS_PER_S;
    if (wait_ms && params_int(wait_ms, 0, 0, INT64_MAX, &wait, err) < 0)
        return -1;
    *ret_ms = wait < most ? wait : most;
    return 0;
}

int params_key(const char *text, char ret[static KEY_SIZE], struct err *err)
{
    size_t length = strlen(text);
    if (length == 0 || length >= KEY_SIZE)
        return err_set(err, ERR_INVALID, "must have 1 to %d characters, not %zu", KEY_SIZE - 1, length);
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            return err_set(err, ERR_INVALID, "must be printable ASCII; character %zu is not", i + 1);
    if (pan_count(text, length)) /* L11; the workers refuse it too */
        return err_set(err, ERR_INVALID, "looks like a card number; use another key, a UUID for instance");
    memcpy(ret, text, length + 1);
    return 0;
}

int params_int(const char *text, int64_t fallback, int64_t least, int64_t most, int64_t *ret, struct err *err)
{
    int64_t value = fallback;
    const char *end = text ? read_number(text, &value) : "";
    if (!end || *end || value < least || value > most)
        return err_set(err, ERR_INVALID, "must be an integer from %lld to %lld", (long long)least, (long long)most);
    *ret = value;
    return 0;
}

static bool lower_hex(const char *text, size_t length)
{
    return strspn(text, "0123456789abcdef") >= length;
}

static bool all_zero(const char *text, size_t length)
{
    return strspn(text, "0") >= length;
}

bool params_traceparent(const char *text)
{
    enum { TRACE = 3, SPAN = 36, FLAGS = 53 };
    return text && strlen(text) == TRACEPARENT_SIZE - 1 && strncmp(text, "00-", 3) == 0 && text[SPAN - 1] == '-' &&
           text[FLAGS - 1] == '-' && lower_hex(text + TRACE, 32) && lower_hex(text + SPAN, 16) &&
           lower_hex(text + FLAGS, 2) && !all_zero(text + TRACE, 32) && !all_zero(text + SPAN, 16) &&
           pan_count(text, TRACEPARENT_SIZE - 1) == 0; /* L11 */
}

bool params_is_json(const char *content_type)
{
    static const char json[] = "application/json";
    if (!content_type || strncasecmp(content_type, json, sizeof json - 1) != 0)
        return false;
    const char *rest = skip_blanks(content_type + sizeof json - 1);
    return !*rest || *rest == ';';
}

const char *params_bearer(const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return NULL;
    const char *key = skip_blanks(authorization + sizeof scheme - 1);
    return *key ? key : NULL;
}

void refund_id_format(struct uuid command, char ret[static REFUND_ID_SIZE])
{
    public_id_format(command, ret);
    memcpy(ret, "rf", 2);
}

int refund_id_parse(const char *text, struct uuid *ret)
{
    if (strncmp(text, "rf_", 3) != 0)
        return uuid_parse(text, ret);
    char as_public[PUBLIC_ID_SIZE];
    if (snprintf(as_public, sizeof as_public, "tx_%s", text + 3) >= (int)sizeof as_public)
        return -1;
    return public_id_parse(as_public, ret);
}

int params_command(const char *text, struct uuid *ret_id, char ret_sha256[static 65], struct err *err)
{
    char id[UUID_TEXT_SIZE];
    size_t size = strcspn(text, ".");
    const char *hash = text[size] ? text + size + 1 : "";
    if (size != UUID_TEXT_SIZE - 1 || strlen(hash) != 64 || strspn(hash, "0123456789abcdef") != 64)
        return err_set(err, ERR_INVALID, "command: must be what statusUrl of the 202 says");
    memcpy(id, text, size);
    id[size] = '\0';
    if (uuid_parse(id, ret_id) != 0)
        return err_set(err, ERR_INVALID, "command: must begin with the commandId of the 202");
    memcpy(ret_sha256, hash, 65);
    return 0;
}
