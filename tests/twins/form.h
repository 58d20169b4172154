/* form.h - parameters of a request: a query string or an application/x-www-form-urlencoded body
 *
 * Names keep Stripe's bracket notation ("metadata[order]", "expand[]"); form_member takes it apart.
 */
#ifndef TWINS_FORM_H
#define TWINS_FORM_H

#include <stdbool.h>
#include <stddef.h>

struct form_pair {
    char *name;
    char *value;
};

struct form {
    struct form_pair *pairs;
    size_t count;
};

/* Adds what stands in `text`. False on a bad %-escape, a NUL, an empty name, or too many pairs. */
bool form_parse(struct form *form, const char *text, size_t length);

/* Adds one pair that is decoded already. False if there are too many. */
bool form_add(struct form *form, const char *name, const char *value);
void form_clear(struct form *form);

/* The last value given under exactly this name, or NULL. */
const char *form_get(const struct form *form, const char *name);

/* Is the pair `base[key]` or `base[]`? Then the key ("" for []) is copied out. */
bool form_member(const struct form_pair *pair, const char *base, char *key, size_t size);

/* The name up to the first bracket. */
void form_base(const struct form_pair *pair, char *base, size_t size);

#endif
