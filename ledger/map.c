/* map.c - see map.h */
#include "ledger/map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

enum { LENGTH_SIZE = 4, SLOTS_FIRST = 256, HASH_TEXT_SIZE = 4 * ((SHA256_SIZE + 2) / 3) + 1 };

static const uint8_t LEAF_PREFIX = 0x02, INNER_PREFIX = 0x03;

/* --- nodes --- */

int map_bit(struct uuid id, int depth)
{
    return id.bytes[depth / 8] >> (7 - depth % 8) & 1;
}

struct map_node map_leaf(struct uuid id, const struct hash *slots)
{
    uint8_t joined[1 + sizeof id.bytes + SHA256_SIZE];
    struct map_node node = {.kind = MAP_LEAF};
    joined[0] = LEAF_PREFIX;
    memcpy(joined + 1, id.bytes, sizeof id.bytes);
    memcpy(joined + 1 + sizeof id.bytes, slots->bytes, SHA256_SIZE);
    sha256(joined, sizeof joined, node.hash.bytes);
    return node;
}

static struct hash inner(const struct hash *left, const struct hash *right)
{
    uint8_t joined[1 + 2 * SHA256_SIZE];
    struct hash hash;
    joined[0] = INNER_PREFIX;
    memcpy(joined + 1, left->bytes, SHA256_SIZE);
    memcpy(joined + 1 + SHA256_SIZE, right->bytes, SHA256_SIZE);
    sha256(joined, sizeof joined, hash.bytes);
    return hash;
}

struct map_node map_join(const struct map_node *left, const struct map_node *right)
{
    if (left->kind == MAP_EMPTY && right->kind != MAP_INNER)
        return *right;
    if (right->kind == MAP_EMPTY && left->kind != MAP_INNER)
        return *left;
    return (struct map_node){.kind = MAP_INNER, .hash = inner(&left->hash, &right->hash)};
}

bool map_node_equal(const struct map_node *a, const struct map_node *b)
{
    return a->kind == b->kind && hash_equal(&a->hash, &b->hash);
}

/* --- slots --- */

void map_slots_add(struct map_slots *slots, const char *slot, size_t size)
{
    const uint8_t length[LENGTH_SIZE] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                                         (uint8_t)size};
    while (slots->room - slots->size < sizeof length + size) {
        slots->room = slots->room ? 2 * slots->room : SLOTS_FIRST;
        slots->data = mem_grow(slots->data, slots->room, 1);
    }
    memcpy(slots->data + slots->size, length, sizeof length);
    memcpy(slots->data + slots->size + sizeof length, slot, size);
    slots->size += sizeof length + size;
}

struct hash map_slots_end(struct map_slots *slots)
{
    struct hash hash;
    sha256(slots->data, slots->size, hash.bytes);
    slots->size = 0;
    return hash;
}

void map_slots_free(struct map_slots *slots)
{
    free(slots->data);
    *slots = (struct map_slots){0};
}

/* --- building --- */

/* How many bits two ids that differ have in common. */
static int common_bits(struct uuid a, struct uuid b)
{
    int byte = 0;
    while (a.bytes[byte] == b.bytes[byte])
        byte++;
    int depth = 8 * byte;
    while (map_bit(a, depth) == map_bit(b, depth))
        depth++;
    return depth;
}

/* Up to `depth`, without anything beside the way. */
static void lift(struct map_builder *builder, int depth)
{
    static const struct map_node none = {0};
    if (builder->node.kind == MAP_LEAF) /* stands at any height as it is */
        builder->depth = depth;
    while (builder->depth > depth) {
        builder->depth--;
        builder->node =
            map_bit(builder->last, builder->depth) ? map_join(&none, &builder->node) : map_join(&builder->node, &none);
    }
}

/* Up to `depth`, joined with what stands to the left on the way. */
static void climb(struct map_builder *builder, int depth)
{
    while (builder->lefts_count > 0 && builder->lefts[builder->lefts_count - 1].depth >= depth) {
        int branch = builder->lefts[--builder->lefts_count].depth;
        lift(builder, branch + 1);
        builder->node = map_join(&builder->lefts[builder->lefts_count].node, &builder->node);
        builder->depth = branch;
    }
    lift(builder, depth);
}

void map_builder_begin(struct map_builder *builder, int base)
{
    builder->base = base;
    builder->count = 0;
    builder->lefts_count = 0;
    builder->node = (struct map_node){0};
}

int map_builder_add(struct map_builder *builder, struct uuid id, const struct hash *slots)
{
    if (builder->count > 0) {
        if (uuid_compare(builder->last, id) >= 0)
            return -1;
        int branch = common_bits(builder->last, id);
        if (branch < builder->base)
            return -1;
        climb(builder, branch + 1);
        builder->lefts[builder->lefts_count].depth = branch;
        builder->lefts[builder->lefts_count++].node = builder->node;
    }
    builder->node = map_leaf(id, slots);
    builder->depth = MAP_BITS;
    builder->last = id;
    builder->count++;
    return 0;
}

struct map_node map_builder_end(struct map_builder *builder)
{
    if (builder->count > 0)
        climb(builder, builder->base);
    return builder->node;
}

/* --- proofs --- */

/* Bits that two ids have in common, all of them if they are one. */
static int shared_bits(struct uuid a, struct uuid b)
{
    return uuid_equal(a, b) ? MAP_BITS : common_bits(a, b);
}

bool map_proof_root(const struct map_proof *proof, struct uuid id, struct hash *ret)
{
    if (proof->count < 0 || proof->count > MAP_BITS)
        return false;
    struct hash hash = {0};
    if (proof->end.kind == MAP_LEAF) {
        if (shared_bits(proof->id, id) < proof->count)
            return false;
        hash = map_leaf(proof->id, &proof->slots).hash;
    }
    for (int depth = proof->count; depth-- > 0;)
        hash = map_bit(id, depth) ? inner(&proof->siblings[depth], &hash) : inner(&hash, &proof->siblings[depth]);
    *ret = hash;
    return proof->end.kind != MAP_INNER;
}

/* --- the line --- */

void map_line_format(const struct map_line *line, char ret[static MAP_LINE_SIZE])
{
    char root[HASH_TEXT_SIZE];
    base64_encode(line->root.bytes, SHA256_SIZE, root);
    snprintf(ret, MAP_LINE_SIZE, "acquit-map-v1 size=%" PRIu64 " root=%s", line->size, root);
}

int map_line_parse(const char *text, struct map_line *ret)
{
    char root[HASH_TEXT_SIZE] = "", again[MAP_LINE_SIZE];
    size_t size = 0;
    *ret = (struct map_line){0};
    if (sscanf(text, "acquit-map-v1 size=%15" SCNu64 " root=%44s", &ret->size, root) != 2 || ret->size == 0 ||
        base64_decode(root, ret->root.bytes, SHA256_SIZE, &size) != 0 || size != SHA256_SIZE)
        return -1;
    map_line_format(ret, again); /* one way to write it */
    return strcmp(again, text) == 0 ? 0 : -1;
}
