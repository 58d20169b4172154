/* published.c - see published.h */
#include "workers/operator/published.h"

#include <string.h>

#include "common/clock.h"
#include "common/json.h"

enum field { FIELD_ID, FIELD_TYPE, FIELD_DAY, FIELD_PUBLISHER, FIELD_COUNT };
static const char *const fields[FIELD_COUNT] = {"id", "type", "day", "publisher"};

/* The line without its end. -1: too long, or it holds a NUL. */
static int read_line(FILE *file, char line[static PUBLISHED_LINE_MAX + 2], bool *ret_end)
{
    size_t size = 0;
    int c;
    while ((c = fgetc(file)) != EOF && c != '\n') {
        if (c == 0 || size > PUBLISHED_LINE_MAX)
            return -1;
        line[size++] = (char)c;
    }
    if (size && line[size - 1] == '\r')
        size--;
    line[size] = '\0';
    *ret_end = c == EOF && size == 0;
    return 0;
}

/* Splits in place. False: more values than there are fields. */
static bool split(char *line, const char *values[static FIELD_COUNT])
{
    size_t n = 0;
    for (char *rest = line; rest; n++) {
        if (n == FIELD_COUNT)
            return false;
        values[n] = strsep(&rest, ",");
    }
    return true;
}

static int from_json(const json_t *object, const char *values[static FIELD_COUNT], size_t line, struct err *err)
{
    if (!json_is_object(object))
        return err_set(err, ERR_INVALID, "line %zu: must be a JSON object, or id,type,day,publisher", line);
    for (int i = 0; i < FIELD_COUNT; i++) {
        const json_t *value = json_object_get(object, fields[i]);
        if (value && !json_is_string(value))
            return err_set(err, ERR_INVALID, "line %zu: %s must be a text", line, fields[i]);
        values[i] = json_string_value(value);
    }
    return 0;
}

static int copy(const char *value, const char *field, char *ret, size_t size, size_t line, struct err *err)
{
    if (!value || !*value || strlen(value) >= size)
        return err_set(err, ERR_INVALID, "line %zu: %s must have 1 to %zu bytes", line, field, size - 1);
    memcpy(ret, value, strlen(value) + 1);
    return 0;
}

static int take(const char *const values[static FIELD_COUNT], const char *publisher, size_t line, struct published *ret,
                struct err *err)
{
    int64_t day_ms;
    const char *who = values[FIELD_PUBLISHER] && *values[FIELD_PUBLISHER] ? values[FIELD_PUBLISHER] : publisher;
    ret->type = command_type_find(values[FIELD_TYPE]);
    if (!ret->type || !ret->type->is_public)
        return err_set(err, ERR_INVALID, "line %zu: type must be one that apps publish, like payment.create", line);
    if (copy(values[FIELD_ID], "id", ret->id, sizeof ret->id, line, err) != 0 ||
        copy(values[FIELD_DAY], "day", ret->day, sizeof ret->day, line, err) != 0)
        return -1;
    if (clock_parse_day(ret->day, &day_ms) != 0)
        return err_set(err, ERR_INVALID, "line %zu: day must be one like 2026-11-20", line);
    if (!who || !publisher_name_ok(who))
        return err_set(err, ERR_INVALID, "line %zu: names no publisher; add the column, or say --publisher NAME", line);
    memcpy(ret->publisher, who, strlen(who) + 1);
    ret->command = uuid_command(ret->type->name, ret->publisher, ret->id);
    return 0;
}

static bool is_heading(const char *text, size_t line)
{
    return line == 1 && strncmp(text, "id,", 3) == 0;
}

static int read_values(char *text, const char *publisher, size_t line, struct published *ret, struct err *err)
{
    const char *values[FIELD_COUNT] = {NULL};
    if (*text != '{') {
        if (!split(text, values))
            return err_set(err, ERR_INVALID, "line %zu: has more than the values id,type,day,publisher", line);
        return take(values, publisher, line, ret, err);
    }
    struct err why = {0};
    json_auto_t *object = json_decode(text, strlen(text), &why);
    if (!object)
        return err_set(err, ERR_INVALID, "line %zu: is no JSON: %s", line, why.text);
    return from_json(object, values, line, err) == 0 ? take(values, publisher, line, ret, err) : -1;
}

int published_next(FILE *file, const char *publisher, size_t *line, struct published *ret, struct err *err)
{
    char text[PUBLISHED_LINE_MAX + 2];
    bool end = false;
    do {
        ++*line;
        if (read_line(file, text, &end) != 0)
            return err_set(err, ERR_INVALID, "line %zu: is longer than %d bytes, or no text", *line,
                           PUBLISHED_LINE_MAX);
        if (end)
            return ferror(file) ? err_set(err, ERR_AGAIN, "the list cannot be read") : 0;
    } while (!*text || is_heading(text, *line));
    return read_values(text, publisher, *line, ret, err) == 0 ? 1 : -1;
}
