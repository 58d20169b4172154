/* arena.c - see arena.h */
#include "common/arena.h"

#include <stdlib.h>

#include "common/mem.h"

enum { ARENA_FIRST = 4096 }; /* bytes */

struct arena_block {
    struct arena_block *before;
    size_t used, room;
    char bytes[];
};

char *arena_bytes(struct arena *arena, size_t size)
{
    struct arena_block *last = arena->last;
    if (!last || last->room - last->used < size) {
        size_t room = last ? 2 * last->room : ARENA_FIRST;
        room = room > size ? room : size;
        struct arena_block *more = mem_new(1, sizeof *more + room);
        *more = (struct arena_block){.before = last, .room = room};
        arena->last = last = more;
    }
    char *bytes = last->bytes + last->used;
    last->used += size;
    return bytes;
}

char *arena_text(struct arena *arena, struct text text)
{
    char *copy = arena_bytes(arena, text.size + 1);
    if (text.size)
        memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return copy;
}

void arena_clear(struct arena *arena)
{
    struct arena_block *last = arena->last;
    while (last && last->before) {
        struct arena_block *before = last->before;
        last->before = before->before;
        free(before);
    }
    if (last)
        last->used = 0;
}

void arena_free(struct arena *arena)
{
    arena_clear(arena);
    free(arena->last);
    arena->last = NULL;
}
