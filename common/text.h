/* text.h - bytes that stand somewhere else: a text that need not end with a NUL
 *
 * Borrowed always; it lives as long as what it points into. `data` NULL is no text at all (SQL's NULL), which is not the empty one.
 */
#ifndef ACQUIT_COMMON_TEXT_H
#define ACQUIT_COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct text {
    const char *data;
    size_t size;
};

static inline struct text text_from(const char *value)
{
    return (struct text){value, value ? strlen(value) : 0};
}

static inline bool text_equal(struct text a, struct text b)
{
    return a.size == b.size && (a.data == NULL) == (b.data == NULL) &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* memcmp's order, which is PostgreSQL's under collation "C". */
static inline int text_compare(struct text a, struct text b)
{
    size_t least = a.size < b.size ? a.size : b.size;
    int order = least ? memcmp(a.data, b.data, least) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

#endif
