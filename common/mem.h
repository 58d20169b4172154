/* mem.h - memory that is there, or the process ends
 *
 * Every buffer we grow has a named bound (L12), so running out means the machine is broken: these panic instead of
 * returning NULL, and the unacknowledged delivery comes back to a process that has memory. free() what they return.
 */
#ifndef ACQUIT_COMMON_MEM_H
#define ACQUIT_COMMON_MEM_H

#include <stddef.h>

/* `count` elements of `size` bytes, zeroed. Never NULL; 0 elements give a pointer that may only be freed. */
void *mem_new(size_t count, size_t size);
/* realloc() to `count` elements of `size` bytes; new bytes are not zeroed. */
void *mem_grow(void *old, size_t count, size_t size);
/* A copy of the text. */
char *mem_text(const char *text);
/* A copy of `size` bytes with a NUL after them. */
char *mem_bytes(const void *bytes, size_t size);

#endif
