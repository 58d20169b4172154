/* map_parts.c - see map_parts.h */
#include "ledger/map_parts.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* --- ids --- */

static void set_bit(struct uuid *id, int depth)
{
    id->bytes[depth / 8] |= (uint8_t)(0x80 >> depth % 8);
}

struct uuid map_last(struct uuid first, int depth)
{
    for (int i = depth; i < MAP_BITS; i++)
        set_bit(&first, i);
    return first;
}

/* --- one part --- */

int map_part_child(const struct map_part *part, struct uuid id)
{
    uint8_t byte = id.bytes[part->depth / 8];
    return part->depth % 8 ? byte & 0x0f : byte >> 4;
}

struct uuid map_part_first(const struct map_part *part, int child)
{
    struct uuid id = part->first;
    id.bytes[part->depth / 8] |= (uint8_t)(part->depth % 8 ? child : child << 4);
    return id;
}

struct uuid map_part_last(const struct map_part *part, int child)
{
    return map_last(map_part_first(part, child), part->depth + MAP_STEP);
}

/* The subtree of 2^level children. */
static struct map_node joined(const struct map_part *part, int child, int level)
{
    if (level == 0)
        return part->children[child].node;
    struct map_node left = joined(part, child, level - 1);
    struct map_node right = joined(part, child + (1 << (level - 1)), level - 1);
    return map_join(&left, &right);
}

struct map_node map_part_root(const struct map_part *part)
{
    return joined(part, 0, MAP_STEP);
}

static enum map_kind kind_of(uint64_t count)
{
    return count == 0 ? MAP_EMPTY : count == 1 ? MAP_LEAF : MAP_INNER;
}

void map_part_encode(const struct map_part *part, uint8_t ret[static MAP_PART_SIZE])
{
    for (int i = 0; i < MAP_CHILDREN; i++, ret += MAP_CHILD_SIZE) {
        ret[0] = (uint8_t)(part->children[i].count >> 8);
        ret[1] = (uint8_t)part->children[i].count;
        memcpy(ret + 2, part->children[i].node.hash.bytes, SHA256_SIZE);
    }
}

int map_part_decode(const uint8_t *bytes, size_t size, struct map_part *ret)
{
    static const struct hash zeros;
    if (size != MAP_PART_SIZE)
        return -1;
    for (int i = 0; i < MAP_CHILDREN; i++, bytes += MAP_CHILD_SIZE) {
        struct map_child *child = &ret->children[i];
        child->count = (uint64_t)(bytes[0] << 8 | bytes[1]);
        child->node.kind = kind_of(child->count);
        memcpy(child->node.hash.bytes, bytes + 2, SHA256_SIZE);
        if (child->count > MAP_CHILD_MAX || (child->count == 0) != hash_equal(&child->node.hash, &zeros))
            return -1;
    }
    return 0;
}

/* --- the tree above them --- */

enum { NODES_FIRST = 1024 };

struct node {
    struct map_node node;
    uint32_t left; /* the right one is behind it; 0: it has no children: a part, or nothing yet */
    bool stale;    /* not joined since a part below changed */
    bool placed;   /* a part */
};

struct map_parts {
    struct node *nodes; /* [0] is the root */
    size_t used, room, count;
};

static uint32_t add_pair(struct map_parts *parts)
{
    if (parts->used + 2 > parts->room) {
        parts->room = parts->room ? 2 * parts->room : NODES_FIRST;
        parts->nodes = mem_grow(parts->nodes, parts->room, sizeof *parts->nodes);
    }
    memset(&parts->nodes[parts->used], 0, 2 * sizeof *parts->nodes);
    parts->used += 2;
    return (uint32_t)(parts->used - 2);
}

struct map_parts *map_parts_new_bare(void)
{
    struct map_parts *parts = mem_new(1, sizeof *parts);
    add_pair(parts); /* the root, and one that is not used */
    return parts;
}

struct map_parts *map_parts_new(void)
{
    struct map_parts *parts = map_parts_new_bare();
    parts->nodes[0].placed = true;
    parts->count = 1;
    return parts;
}

void map_parts_free(struct map_parts *parts)
{
    if (!parts)
        return;
    free(parts->nodes);
    free(parts);
}

size_t map_parts_count(const struct map_parts *parts)
{
    return parts->count;
}

static uint32_t child_of(const struct map_parts *parts, uint32_t at, struct uuid id, int depth)
{
    return parts->nodes[at].left + (uint32_t)map_bit(id, depth);
}

int map_parts_place(struct map_parts *parts, struct uuid first, int depth, const struct map_node *root)
{
    uint32_t at = 0;
    if (depth < 0 || depth > MAP_BITS - MAP_STEP || depth % MAP_STEP != 0)
        return -1;
    for (int i = 0; i < depth; i++) {
        if (parts->nodes[at].placed)
            return -1;
        if (!parts->nodes[at].left) {
            uint32_t pair = add_pair(parts);
            parts->nodes[at].left = pair;
        }
        parts->nodes[at].stale = true;
        at = child_of(parts, at, first, i);
    }
    for (int i = depth; i < MAP_BITS; i++)
        if (map_bit(first, i))
            return -1;
    struct node *node = &parts->nodes[at];
    if (node->placed || node->left)
        return -1;
    *node = (struct node){.node = *root, .placed = true};
    parts->count++;
    return 0;
}

bool map_parts_whole(const struct map_parts *parts)
{
    bool whole = parts->nodes[0].placed || parts->nodes[0].left;
    for (size_t i = 2; whole && i < parts->used; i++)
        whole = parts->nodes[i].placed || parts->nodes[i].left;
    return whole;
}

struct map_place map_parts_find(const struct map_parts *parts, struct uuid id)
{
    struct map_place place = {0};
    uint32_t at = 0;
    for (; parts->nodes[at].left; place.depth++) {
        if (map_bit(id, place.depth))
            set_bit(&place.first, place.depth);
        at = child_of(parts, at, id, place.depth);
    }
    place.root = parts->nodes[at].node;
    return place;
}

void map_parts_update(struct map_parts *parts, struct uuid id, const struct map_node *root)
{
    uint32_t at = 0;
    for (int depth = 0; parts->nodes[at].left; depth++) {
        parts->nodes[at].stale = true;
        at = child_of(parts, at, id, depth);
    }
    parts->nodes[at].node = *root;
}

static void divide(struct map_parts *parts, uint32_t at, int levels)
{
    if (levels == 0) {
        parts->nodes[at].placed = true;
        return;
    }
    uint32_t pair = add_pair(parts);
    parts->nodes[at] = (struct node){.left = pair, .stale = true};
    divide(parts, pair, levels - 1);
    divide(parts, pair + 1, levels - 1);
}

void map_parts_split(struct map_parts *parts, struct uuid id)
{
    uint32_t at = 0;
    for (int depth = 0; parts->nodes[at].left; depth++) {
        parts->nodes[at].stale = true;
        at = child_of(parts, at, id, depth);
    }
    divide(parts, at, MAP_STEP);
    parts->count += MAP_CHILDREN - 1;
}

static struct map_node join_stale(struct map_parts *parts, uint32_t at)
{
    struct node *node = &parts->nodes[at];
    if (node->stale) {
        struct map_node left = join_stale(parts, node->left), right = join_stale(parts, node->left + 1);
        node->node = map_join(&left, &right);
        node->stale = false;
    }
    return node->node;
}

struct map_node map_parts_root(struct map_parts *parts)
{
    return join_stale(parts, 0);
}

/* --- proofs --- */

static void add_sibling(struct map_proof *proof, const struct map_node *sibling)
{
    proof->siblings[proof->count++] = sibling->hash;
}

/* Below a leaf or nothing there is no further way. */
static bool goes_on(const struct map_proof *proof)
{
    return proof->end.kind == MAP_INNER;
}

void map_prove_parts(struct map_parts *parts, struct uuid id, struct map_proof *ret)
{
    *ret = (struct map_proof){.end = map_parts_root(parts)};
    uint32_t at = 0;
    while (goes_on(ret) && parts->nodes[at].left) {
        uint32_t next = child_of(parts, at, id, ret->count), other = parts->nodes[at].left;
        other += next == other;
        add_sibling(ret, &parts->nodes[other].node);
        ret->end = parts->nodes[next].node;
        at = next;
    }
}

void map_prove_part(const struct map_part *part, struct uuid id, struct map_proof *ret)
{
    int child = 0; /* the first of those that are left */
    for (int level = MAP_STEP; level-- > 0 && goes_on(ret);) {
        int half = 1 << level, right = map_bit(id, ret->count);
        struct map_node other = joined(part, right ? child : child + half, level);
        child += right ? half : 0;
        add_sibling(ret, &other);
        ret->end = joined(part, child, level);
    }
}

static struct map_node root_of(const struct map_payment *payments, size_t count, int depth)
{
    struct map_builder builder;
    map_builder_begin(&builder, depth);
    for (size_t i = 0; i < count; i++)
        if (map_builder_add(&builder, payments[i].id, &payments[i].slots) != 0)
            return (struct map_node){0}; /* not in their order: then the proof leads nowhere */
    return map_builder_end(&builder);
}

void map_prove_payments(const struct map_payment *payments, size_t count, struct uuid id, struct map_proof *ret)
{
    while (count > 1 && ret->count < MAP_BITS) {
        size_t left = 0;
        while (left < count && !map_bit(payments[left].id, ret->count))
            left++;
        int right = map_bit(id, ret->count), depth = ret->count + 1;
        struct map_node other = right ? root_of(payments, left, depth) : root_of(payments + left, count - left, depth);
        add_sibling(ret, &other);
        payments += right ? left : 0;
        count = right ? count - left : left;
    }
    ret->end = (struct map_node){0};
    if (count == 1) {
        ret->end = map_leaf(payments->id, &payments->slots);
        ret->id = payments->id;
        ret->slots = payments->slots;
    }
}
