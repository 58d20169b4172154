/* arena.h - memory for what lives and ends together
 *
 * Begins as {0}. What is taken stands until the arena is cleared; a cleared one keeps its largest block, so that whoever fills it again and
 * again asks for no memory any more. Panics without memory, as mem.h does.
 */
#ifndef ACQUIT_COMMON_ARENA_H
#define ACQUIT_COMMON_ARENA_H

#include "common/text.h"

struct arena {
    struct arena_block *last;
};

/* `size` bytes, aligned for nothing but bytes. */
char *arena_bytes(struct arena *arena, size_t size);
/* A copy with a NUL behind it; "" for no text. */
char *arena_text(struct arena *arena, struct text text);
void arena_clear(struct arena *arena);
void arena_free(struct arena *arena);

#endif
