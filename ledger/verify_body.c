/* verify_body.c - what is looked at of a fact's body, without reading all of it
 *
 * No law looks into an object within the body (evidence, metadata, votes), and that is most of its bytes; projections look into those of some
 * facts. So a body is scanned: its own texts, integers, booleans and nulls are kept, and arrays of these; objects with such members where they are
 * asked for; the rest is left out. What the scan does not understand (an escape in a text, a number with a fraction, deeper objects that are
 * asked for) is read by jansson, whole.
 *
 * The server has made the text from a jsonb, so it is JSON; that the scan would take some texts that are not does no harm.
 */
#include <string.h>

#include "common/json.h"
#include "ledger/verify_internal.h"

enum { DIGITS_MAX = 18 /* always fit int64 */ };

/* What is left of the text; `at` NULL: not understood. */
struct scan {
    const char *at, *end;
    bool objects; /* are asked for */
};

static void give_up(struct scan *scan)
{
    scan->at = NULL;
}

/* The next character that is no blank; '\0' at the end. */
static char peek(struct scan *scan)
{
    while (scan->at && scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r'))
        scan->at++;
    return scan->at && scan->at < scan->end ? *scan->at : '\0';
}

static bool take(struct scan *scan, char wanted)
{
    if (peek(scan) != wanted)
        return false;
    scan->at++;
    return true;
}

/* A text without escapes; it stands at its first quote. */
static struct text take_text(struct scan *scan)
{
    const char *first = ++scan->at, *last = memchr(first, '"', (size_t)(scan->end - first));
    struct text text = {first, last ? (size_t)(last - first) : 0};
    scan->at = last && !memchr(first, '\\', text.size) ? last + 1 : NULL;
    return text;
}

static json_t *take_integer(struct scan *scan)
{
    bool negative = *scan->at == '-';
    const char *first = scan->at + negative, *at = first;
    json_int_t value = 0;
    for (; at < scan->end && *at >= '0' && *at <= '9'; at++)
        value = at - first < DIGITS_MAX ? 10 * value + (*at - '0') : 0;
    bool fraction = at < scan->end && (*at == '.' || *at == 'e' || *at == 'E');
    scan->at = at > first && at - first <= DIGITS_MAX && !fraction ? at : NULL;
    return scan->at ? json_integer(negative ? -value : value) : NULL;
}

static json_t *take_word(struct scan *scan)
{
    static const struct {
        struct text text;
        json_t *(*value)(void);
    } words[] = {{{"true", 4}, json_true}, {{"false", 5}, json_false}, {{"null", 4}, json_null}};
    size_t left = (size_t)(scan->end - scan->at);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (left >= words[i].text.size && memcmp(scan->at, words[i].text.data, words[i].text.size) == 0) {
            scan->at += words[i].text.size;
            return words[i].value();
        }
    give_up(scan);
    return NULL;
}

static json_t *take_scalar(struct scan *scan)
{
    char first = peek(scan);
    if (first == '"') {
        struct text text = take_text(scan);
        return scan->at ? json_stringn_nocheck(text.data, text.size) : NULL;
    }
    return first == '-' || (first >= '0' && first <= '9') ? take_integer(scan) : take_word(scan);
}

/* Behind the end of the object or array that it stands at. */
static void skip_nested(struct scan *scan)
{
    int depth = 0;
    do {
        char c = peek(scan);
        if (c == '\0')
            give_up(scan);
        else if (c == '"')
            (void)take_text(scan);
        else {
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
            scan->at++;
        }
    } while (scan->at && depth > 0);
}

/* NULL without giving up: it is left out. */
static json_t *take_array(struct scan *scan, bool within)
{
    struct scan begin = *scan;
    json_t *array = json_array();
    scan->at++;
    bool more = !take(scan, ']');
    while (scan->at && more) {
        char first = peek(scan);
        if (first == '{' || first == '[') {
            json_decref(array);
            *scan = begin;
            if (scan->objects && within)
                give_up(scan);
            else
                skip_nested(scan);
            return NULL;
        }
        json_array_append_new(array, take_scalar(scan));
        more = take(scan, ',');
        if (!more && !take(scan, ']'))
            give_up(scan);
    }
    return array;
}

static void take_members(struct scan *scan, json_t *object, bool within);

/* `within` an object already: what is asked for is no deeper. */
static json_t *take_value(struct scan *scan, bool within)
{
    char first = peek(scan);
    if (first == '[')
        return take_array(scan, within);
    if (first != '{')
        return take_scalar(scan);
    if (scan->objects && within)
        give_up(scan);
    else if (scan->objects) {
        json_t *object = json_object();
        scan->at++;
        take_members(scan, object, true);
        return object;
    } else
        skip_nested(scan);
    return NULL;
}

static void take_member(struct scan *scan, json_t *object, bool within)
{
    if (peek(scan) != '"') {
        give_up(scan);
        return;
    }
    struct text key = take_text(scan);
    if (!scan->at || !take(scan, ':')) {
        give_up(scan);
        return;
    }
    json_t *value = take_value(scan, within);
    if (scan->at && value)
        json_object_setn_new_nocheck(object, key.data, key.size, value);
    else
        json_decref(value);
}

/* Behind the object's first brace. */
static void take_members(struct scan *scan, json_t *object, bool within)
{
    bool more = !take(scan, '}');
    while (scan->at && more) {
        take_member(scan, object, within);
        more = take(scan, ',');
        if (!more && !take(scan, '}'))
            give_up(scan);
    }
}

json_t *verify_body(struct text text, bool objects)
{
    struct scan scan = {text.data, text.data + text.size, objects};
    json_t *object = json_object();
    if (take(&scan, '{'))
        take_members(&scan, object, false);
    else
        give_up(&scan);
    if (peek(&scan) == '\0' && scan.at == scan.end)
        return object;
    json_decref(object);
    return json_loadb(text.data, text.size, 0, NULL);
}
