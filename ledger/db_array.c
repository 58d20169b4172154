/* db_array.c - text array literals, value by value
 *
 * Every value is quoted, so it cannot be taken for anything but itself; a NULL is the word NULL without quotes.
 * Bytes are passed on as they are: that they are UTF-8 is for the server to check.
 */
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "ledger/db.h"

enum { ARRAY_FIRST = 256 }; /* bytes */

static void reserve(struct db_array *array, size_t more)
{
    size_t capacity = array->capacity > 0 ? array->capacity : ARRAY_FIRST;
    while (capacity - array->size < more)
        capacity *= 2;
    if (capacity > array->capacity) {
        array->text = mem_grow(array->text, capacity, 1);
        array->capacity = capacity;
    }
}

static char *put_quoted(char *out, const char *value)
{
    *out++ = '"';
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            *out++ = '\\';
        *out++ = *value;
    }
    *out++ = '"';
    return out;
}

void db_array_add(struct db_array *array, const char *value)
{
    const char *text = value ? value : "NULL";
    reserve(array, 2 * strlen(text) + 5); /* every byte escaped, comma or brace, quotes, closing brace, NUL */
    char *out = array->text + array->size;
    *out++ = array->size == 0 ? '{' : ',';
    out = value ? put_quoted(out, value) : stpcpy(out, text);
    array->size = (size_t)(out - array->text);
}

const char *db_array_text(struct db_array *array)
{
    reserve(array, 3);
    if (array->size == 0)
        return memcpy(array->text, "{}", 3);
    memcpy(array->text + array->size, "}", 2); /* not counted: adding may go on */
    return array->text;
}

void db_array_free(struct db_array *array)
{
    free(array->text);
    *array = (struct db_array){0};
}
