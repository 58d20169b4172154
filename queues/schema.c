/* schema.c - JSON Schema (2020-12), as much of it as queues/schema/ uses
 *
 * The schemas are built in and read once. `keywords` lists what is understood; a schema that uses anything else is our mistake and stops the program at
 * its first use (and the unit tests before that). Differences to a general validator, on purpose: an integer written as 1.0 or 1e3 is none (money is
 * never a real), and `format` is checked where it is "iso-4217". A pattern must mean the same as POSIX extended regular expression and in ECMA-262: no \d, no
 * look-around, no lazy quantifiers.
 *
 * Answers name fields and rules, never values: what somebody sent may be a card number (L11).
 */
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/embed.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/money.h"
#include "common/pan.h"
#include "queues/envelope.h"

enum {
    SCHEMA_DETAILS_MAX = 20,  /* findings reported for one body */
    SCHEMA_PATTERNS_MAX = 16, /* in one schema */
    FIELD_MAX = 256,          /* of a field's path in an answer */
    FIELD_NAME_SHOWN = 64,    /* of a name that a stranger chose */
};

struct pattern {
    const json_t *text; /* of the schema */
    regex_t regex;
};

struct schema {
    json_t *root;
    struct pattern patterns[SCHEMA_PATTERNS_MAX];
    size_t pattern_count;
};

/* One body under check. */
struct checking {
    const struct schema *schema;
    json_t *details; /* may be NULL */
    struct err *err;
    int found;
    bool quiet; /* the condition of an `if` */
};

static bool conforms(struct checking *checking, const json_t *schema, const json_t *value, const char *field);

/* Answers. */

static void finding(struct checking *checking, const char *field, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void finding(struct checking *checking, const char *field, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    if (checking->quiet || checking->found++ >= SCHEMA_DETAILS_MAX)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_set(checking->err, ERR_INVALID, "%s%s%s", field, *field ? ": " : "", text);
    if (checking->details)
        json_array_append_new(checking->details, json_pack("{s:s, s:s}", "field", field, "message", text));
}

/* A name that a stranger chose: cut, never inside a character, and without a card number. */
static void shown_name(const char *name, char ret[static FIELD_NAME_SHOWN + 1])
{
    message_text_cut(name, ret, FIELD_NAME_SHOWN + 1);
    pan_mask(ret, strlen(ret));
}

static void member_path(const char *field, const char *name, char ret[static FIELD_MAX])
{
    char shown[FIELD_NAME_SHOWN + 1];
    shown_name(name, shown);
    snprintf(ret, FIELD_MAX, "%s%s%s", field, *field ? "." : "", shown);
}

/* Keywords. Each answers whether the value conforms; a value of a type it does not speak of conforms. */

static bool check_type(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    static const struct {
        const char *name, *article;
    } names[] = {
        [JSON_OBJECT] = {"object", "an object"},     [JSON_ARRAY] = {"array", "an array"},
        [JSON_STRING] = {"string", "a text"},        [JSON_INTEGER] = {"integer", "an integer"},
        [JSON_REAL] = {"number", "a number"},        [JSON_TRUE] = {"boolean", "true or false"},
        [JSON_FALSE] = {"boolean", "true or false"}, [JSON_NULL] = {"null", "null"},
    };
    const char *wanted = json_string_value(rule);
    if (strcmp(names[json_typeof(value)].name, wanted) == 0)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].name, wanted) == 0) {
            finding(checking, field, "must be %s%s", names[i].article,
                    i == JSON_INTEGER && json_is_real(value) ? ", written without a fraction or an exponent" : "");
            break;
        }
    return false;
}

static bool check_required(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    bool good = true;
    size_t i;
    const json_t *name;
    json_array_foreach(rule, i, name)
    {
        char path[FIELD_MAX];
        if (!json_is_object(value) || json_object_get(value, json_string_value(name)))
            continue;
        member_path(field, json_string_value(name), path);
        finding(checking, path, "is required");
        good = false;
    }
    return good;
}

static bool check_properties(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    bool good = true;
    const char *name;
    json_t *schema;
    json_object_foreach((json_t *)(uintptr_t)rule, name, schema)
    {
        const json_t *member = json_object_get(value, name);
        char path[FIELD_MAX];
        member_path(field, name, path);
        if (member && !conforms(checking, schema, member, path))
            good = false;
    }
    return good;
}

static const char *known_names(const json_t *properties, char *ret, size_t size)
{
    size_t n = 0;
    const char *name;
    json_t *schema;
    ret[0] = '\0';
    json_object_foreach((json_t *)(uintptr_t)properties, name, schema)
    {
        if (n < size)
            n += (size_t)snprintf(ret + n, size - n, "%s%s", n ? ", " : "", name);
    }
    return ret;
}

static bool check_additional(struct checking *checking, const json_t *schema, const json_t *value, const char *field)
{
    const json_t *rule = json_object_get(schema, "additionalProperties"),
                 *known = json_object_get(schema, "properties");
    bool good = true;
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        char path[FIELD_MAX], names[ERR_TEXT_MAX / 2];
        if (json_object_get(known, name))
            continue;
        member_path(field, name, path);
        if (json_is_false(rule)) {
            finding(checking, path, "is not known here; known are %s", known_names(known, names, sizeof names));
            good = false;
        } else if (json_is_object(rule) && !conforms(checking, rule, member, path)) {
            good = false;
        }
    }
    return good;
}

static bool check_enum(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    char list[ERR_TEXT_MAX / 2] = "";
    size_t i, n = 0;
    const json_t *item;
    json_array_foreach(rule, i, item)
    {
        if (json_equal(item, value))
            return true;
        if (n < sizeof list)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", json_string_value(item));
    }
    finding(checking, field, "must be one of %s", list);
    return false;
}

static bool check_const(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    if (json_equal(rule, value))
        return true;
    finding(checking, field, "must be \"%s\"", json_string_value(rule));
    return false;
}

static bool check_minimum(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    if (!json_is_integer(value) || json_integer_value(value) >= json_integer_value(rule))
        return true;
    finding(checking, field, "must be at least %lld", (long long)json_integer_value(rule));
    return false;
}

static bool check_maximum(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    if (!json_is_integer(value) || json_integer_value(value) <= json_integer_value(rule))
        return true;
    finding(checking, field, "must be at most %lld", (long long)json_integer_value(rule));
    return false;
}

/* In code points, as the standard counts. */
static json_int_t text_length(const json_t *value)
{
    json_int_t length = 0;
    for (const char *p = json_string_value(value); *p; p++)
        length += ((unsigned char)*p & 0xc0) != 0x80;
    return length;
}

static bool check_min_length(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    if (!json_is_string(value) || text_length(value) >= json_integer_value(rule))
        return true;
    finding(checking, field, "must have at least %lld character%s", (long long)json_integer_value(rule),
            json_integer_value(rule) == 1 ? "" : "s");
    return false;
}

static bool check_max_length(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    if (!json_is_string(value) || text_length(value) <= json_integer_value(rule))
        return true;
    finding(checking, field, "must have at most %lld characters", (long long)json_integer_value(rule));
    return false;
}

static bool check_max_properties(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    if (!json_is_object(value) || (json_int_t)json_object_size(value) <= json_integer_value(rule))
        return true;
    finding(checking, field, "must have at most %lld members", (long long)json_integer_value(rule));
    return false;
}

static bool check_property_names(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    bool good = true;
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        char path[FIELD_MAX];
        json_t *text = json_string(name);
        member_path(field, name, path);
        if (!conforms(checking, rule, text, path))
            good = false;
        json_decref(text);
    }
    return good;
}

static bool check_max_items(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    if (!json_is_array(value) || (json_int_t)json_array_size(value) <= json_integer_value(rule))
        return true;
    finding(checking, field, "must have at most %lld items", (long long)json_integer_value(rule));
    return false;
}

static bool check_items(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    bool good = true;
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        char path[FIELD_MAX + 24];
        snprintf(path, sizeof path, "%s[%zu]", field, i);
        if (!conforms(checking, rule, item, path))
            good = false;
    }
    return good;
}

static bool check_unique_items(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    for (size_t i = 0; json_is_true(rule) && i < json_array_size(value); i++)
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(value, i), json_array_get(value, k))) {
                finding(checking, field, "must not name anything twice");
                return false;
            }
    return true;
}

static bool check_pattern(struct checking *checking, const json_t *schema, const json_t *value, const char *field)
{
    const json_t *rule = json_object_get(schema, "pattern");
    if (!json_is_string(value))
        return true;
    for (size_t i = 0; i < checking->schema->pattern_count; i++) {
        if (checking->schema->patterns[i].text != rule)
            continue;
        if (regexec(&checking->schema->patterns[i].regex, json_string_value(value), 0, NULL, 0) == 0)
            return true;
        finding(checking, field, "must be %s", json_text(schema, "description", "of another form"));
        return false;
    }
    log_panic("a pattern that was not compiled");
}

static bool check_format(struct checking *checking, const json_t *rule, const json_t *value, const char *field)
{
    if (!json_is_string(value) || strcmp(json_string_value(rule), "iso-4217") != 0 ||
        currency_find(json_string_value(value)))
        return true;
    finding(checking, field, "must be a currency code of ISO 4217");
    return false;
}

static bool check_if(struct checking *checking, const json_t *schema, const json_t *value, const char *field)
{
    bool outer = checking->quiet;
    checking->quiet = true;
    bool holds = conforms(checking, json_object_get(schema, "if"), value, field);
    checking->quiet = outer;
    const json_t *then = json_object_get(schema, "then");
    return !holds || !then || conforms(checking, then, value, field);
}

/* What is understood. `whole`: the check gets the schema around the keyword instead of its value. `check` NULL: it has no effect, or another one reads it. */
static const struct {
    const char *name;
    bool (*check)(struct checking *checking, const json_t *rule, const json_t *value, const char *field);
    bool whole;
} keywords[] = {
    {"$schema", NULL, false},
    {"$id", NULL, false},
    {"title", NULL, false},
    {"description", NULL, false},
    {"examples", NULL, false},
    {"type", NULL, false}, /* conforms() looks at it first */
    {"then", NULL, false}, /* with `if` */
    {"enum", check_enum, false},
    {"const", check_const, false},
    {"minimum", check_minimum, false},
    {"maximum", check_maximum, false},
    {"minLength", check_min_length, false},
    {"maxLength", check_max_length, false},
    {"pattern", check_pattern, true},
    {"format", check_format, false},
    {"required", check_required, false},
    {"properties", check_properties, false},
    {"additionalProperties", check_additional, true},
    {"maxProperties", check_max_properties, false},
    {"propertyNames", check_property_names, false},
    {"items", check_items, false},
    {"maxItems", check_max_items, false},
    {"uniqueItems", check_unique_items, false},
    {"if", check_if, true},
};
enum { KEYWORD_COUNT = sizeof keywords / sizeof keywords[0] };

static bool conforms(struct checking *checking, const json_t *schema, const json_t *value, const char *field)
{
    const json_t *type = json_object_get(schema, "type");
    if (type && !check_type(checking, type, value, field))
        return false;
    bool good = true;
    for (size_t i = 0; i < KEYWORD_COUNT; i++) {
        const json_t *rule = json_object_get(schema, keywords[i].name);
        if (rule && keywords[i].check && !keywords[i].check(checking, keywords[i].whole ? schema : rule, value, field))
            good = false;
        if (!good && !json_is_object(value) && !json_is_array(value))
            return false; /* one finding about one value */
    }
    return good;
}

/* Reading the schemas. */

static void prepare(struct schema *schema, const json_t *node, const char *name);

static void prepare_keyword(struct schema *schema, const char *keyword, const json_t *rule, const char *name)
{
    bool known = false;
    for (size_t i = 0; i < KEYWORD_COUNT; i++)
        known |= strcmp(keywords[i].name, keyword) == 0;
    if (!known)
        log_panic("schema %s: keyword \"%s\" is not understood", name, keyword);
    if (strcmp(keyword, "pattern") == 0) {
        if (schema->pattern_count == SCHEMA_PATTERNS_MAX)
            log_panic("schema %s: more than %d patterns", name, (int)SCHEMA_PATTERNS_MAX);
        struct pattern *pattern = &schema->patterns[schema->pattern_count++];
        pattern->text = rule;
        if (regcomp(&pattern->regex, json_string_value(rule), REG_EXTENDED | REG_NOSUB) != 0)
            log_panic("schema %s: bad pattern %s", name, json_string_value(rule));
    } else if (strcmp(keyword, "properties") == 0) {
        const char *property;
        json_t *below;
        json_object_foreach((json_t *)(uintptr_t)rule, property, below)
        {
            prepare(schema, below, name);
        }
    } else if (json_is_object(rule)) { /* items, additionalProperties, propertyNames, if, then */
        prepare(schema, rule, name);
    }
}

static void prepare(struct schema *schema, const json_t *node, const char *name)
{
    const char *keyword;
    json_t *rule;
    json_object_foreach((json_t *)(uintptr_t)node, keyword, rule) prepare_keyword(schema, keyword, rule, name);
}

static const struct schema *read_schema(size_t i)
{
    static struct schema **read;
    if (!read)
        read = mem_new(embedded_schema_count, sizeof(struct schema *));
    if (read[i])
        return read[i];
    json_error_t error;
    struct schema *schema = mem_new(1, sizeof *schema);
    schema->root = json_loadb(embedded_schema[i].data, embedded_schema[i].size, JSON_REJECT_DUPLICATES, &error);
    if (!schema->root)
        log_panic("schema %s: %s at line %d", embedded_schema[i].name, error.text, error.line);
    prepare(schema, schema->root, embedded_schema[i].name);
    return read[i] = schema;
}

static const struct schema *find_schema(const char *name)
{
    for (size_t i = 0; i < embedded_schema_count; i++)
        if (strcmp(embedded_schema[i].name, name) == 0)
            return read_schema(i);
    return NULL;
}

int schema_check(const char *schema, const json_t *body, json_t *details, struct err *err)
{
    const struct schema *found = find_schema(schema);
    if (!found)
        return err_set(err, ERR_INTERNAL, "there is no schema %s", schema);
    struct err first = {0};
    struct checking checking = {.schema = found, .details = details, .err = &first};
    if (conforms(&checking, found->root, body, ""))
        return 0;
    return err_set(err, ERR_INVALID, "%s", first.text);
}
