/* map.c - string keys to pointers: a chained hash table that doubles when it is as full as it is wide */
#include "map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

struct map_node {
    struct map_node *next;
    uint64_t hash;
    const char *key;
    void *value;
};

/* FNV-1a, 64 bits */
static uint64_t hash_of(const char *key)
{
    uint64_t hash = 14695981039346656037ULL;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 1099511628211ULL;
    return hash;
}

static struct map_node **find(const struct map *map, const char *key, uint64_t hash)
{
    struct map_node **link = &map->heads[hash & (map->width - 1)];
    while (*link && ((*link)->hash != hash || strcmp((*link)->key, key) != 0))
        link = &(*link)->next;
    return link;
}

static void widen(struct map *map)
{
    size_t width = map->width ? map->width * 2 : 64;
    struct map_node **heads = memory_new(width * sizeof *heads);
    for (size_t i = 0; i < map->width; i++) {
        while (map->heads[i]) {
            struct map_node *node = map->heads[i];
            map->heads[i] = node->next;
            node->next = heads[node->hash & (width - 1)];
            heads[node->hash & (width - 1)] = node;
        }
    }
    free(map->heads);
    map->heads = heads;
    map->width = width;
}

void *map_get(const struct map *map, const char *key)
{
    if (!map->width)
        return NULL;
    struct map_node *node = *find(map, key, hash_of(key));
    return node ? node->value : NULL;
}

void map_put(struct map *map, const char *key, void *value)
{
    if (map->count >= map->width)
        widen(map);
    struct map_node *node = memory_new(sizeof *node);
    *node = (struct map_node){.hash = hash_of(key), .key = key, .value = value};
    struct map_node **head = &map->heads[node->hash & (map->width - 1)];
    node->next = *head;
    *head = node;
    map->count++;
}

void *map_remove(struct map *map, const char *key)
{
    if (!map->width)
        return NULL;
    struct map_node **link = find(map, key, hash_of(key));
    struct map_node *node = *link;
    if (!node)
        return NULL;
    *link = node->next;
    void *value = node->value;
    free(node);
    map->count--;
    return value;
}
