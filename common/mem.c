/* mem.c - memory that is there, or the process ends */
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

void *mem_new(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory)
        log_panic("out of memory: %zu x %zu bytes", count, size);
    return memory;
}

void *mem_grow(void *old, size_t count, size_t size)
{
    void *memory = reallocarray(old, count ? count : 1, size ? size : 1);
    if (!memory)
        log_panic("out of memory: %zu x %zu bytes", count, size);
    return memory;
}

char *mem_text(const char *text)
{
    return mem_bytes(text, strlen(text));
}

char *mem_bytes(const void *bytes, size_t size)
{
    char *copy = mem_new(size + 1, 1);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}
