/* map.h - string keys to pointers; keys are borrowed from the values */
#ifndef TWINS_MAP_H
#define TWINS_MAP_H

#include <stddef.h>

struct map {
    struct map_node **heads;
    size_t width; /* number of heads, a power of two; 0 before the first put */
    size_t count;
};

void *map_get(const struct map *map, const char *key);

/* The key must stay where it is for as long as the entry lives, and must not be in the map yet. */
void map_put(struct map *map, const char *key, void *value);

/* Takes the entry out; returns its value, or NULL. */
void *map_remove(struct map *map, const char *key);

#endif
