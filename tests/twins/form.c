/* form.c - parameters of a request: a query string or an application/x-www-form-urlencoded body
 *
 * Fails (false) on what a browser could not have sent; what was added before stays for form_clear to free.
 */
#include "form.h"

#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "text.h"

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)((at - digits) % 16) : -1;
}

/* A decoded copy of one name or value, or NULL if it is malformed. */
static char *decode(const char *from, size_t length)
{
    char *to = memory_new(length + 1);
    size_t at = 0;
    for (size_t i = 0; i < length; i++) {
        char c = from[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = length - i > 2 ? hex_value(from[i + 1]) : -1;
            int low = length - i > 2 ? hex_value(from[i + 2]) : -1;
            if (high < 0 || low < 0) {
                free(to);
                return NULL;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0') {
            free(to);
            return NULL;
        }
        to[at++] = c;
    }
    return to;
}

/* Takes both strings, whatever the outcome. */
static bool add_taken(struct form *form, char *name, char *value)
{
    if (!name || !value || !*name || form->count >= LIMIT_FORM_PAIRS) {
        free(name);
        free(value);
        return false;
    }
    form->pairs = memory_grow(form->pairs, (form->count + 1) * sizeof *form->pairs);
    form->pairs[form->count++] = (struct form_pair){.name = name, .value = value};
    return true;
}

bool form_add(struct form *form, const char *name, const char *value)
{
    return add_taken(form, text_dup(name), text_dup(value ? value : ""));
}

bool form_parse(struct form *form, const char *text, size_t length)
{
    while (length) {
        const char *amp = memchr(text, '&', length);
        size_t size = amp ? (size_t)(amp - text) : length;
        const char *equals = memchr(text, '=', size);
        size_t name_size = equals ? (size_t)(equals - text) : size;
        if (size) {
            char *name = decode(text, name_size);
            char *value = equals ? decode(equals + 1, size - name_size - 1) : text_dup("");
            if (!add_taken(form, name, value))
                return false;
        }
        size += amp != NULL;
        text += size;
        length -= size;
    }
    return true;
}

void form_clear(struct form *form)
{
    for (size_t i = 0; i < form->count; i++) {
        free(form->pairs[i].name);
        free(form->pairs[i].value);
    }
    free(form->pairs);
    *form = (struct form){0};
}

const char *form_get(const struct form *form, const char *name)
{
    for (size_t i = form->count; i > 0; i--) {
        if (strcmp(form->pairs[i - 1].name, name) == 0)
            return form->pairs[i - 1].value;
    }
    return NULL;
}

bool form_member(const struct form_pair *pair, const char *base, char *key, size_t size)
{
    size_t length = strlen(base);
    size_t whole = strlen(pair->name);
    if (strncmp(pair->name, base, length) != 0 || whole < length + 2)
        return false;
    if (pair->name[length] != '[' || pair->name[whole - 1] != ']')
        return false;
    size_t inner = whole - length - 2;
    if (inner >= size)
        inner = size - 1;
    memcpy(key, pair->name + length + 1, inner);
    key[inner] = '\0';
    return true;
}

void form_base(const struct form_pair *pair, char *base, size_t size)
{
    text_copy(base, size, pair->name);
    char *bracket = strchr(base, '[');
    if (bracket)
        *bracket = '\0';
}
