/* map.h - the sorted map of all payments and their slots: with it anybody can see that a fact was not recorded (docs/sealing.md)
 *
 * Pure. The tree of the log (merkle.h) proves what is there, never what is not. The map holds the same leaves by their names: for each payment
 * the set of its slots. It is a compact binary trie over the 128 bits of the payment's id, the highest bit first, and a function of that set
 * alone: whoever has the leaves computes the same root, in whatever order they came.
 *
 *     slots   SHA-256 over the payment's slots in the order of their bytes, each its length in 4 bytes, the highest first, and its bytes
 *     empty   32 zero bytes: a subtree without a payment
 *     leaf    SHA-256(0x02 || id || slots): a subtree with one payment, however high it stands
 *     inner   SHA-256(0x03 || left || right): a subtree with more; left are the ids whose next bit is 0
 *
 * A way from the root along the bits of an id ends in exactly one of three ways: the leaf of that very payment, another payment's leaf, or
 * nothing. One root cannot have two ends for one id, so a proof of one end excludes the others.
 *
 * Heads state the root in a line of their own (struct map_line).
 */
#ifndef ACQUIT_LEDGER_MAP_H
#define ACQUIT_LEDGER_MAP_H

#include "common/ids.h"
#include "ledger/merkle.h"

enum { MAP_BITS = 128 };

/* A subtree. A zeroed one is empty. */
enum map_kind { MAP_EMPTY, MAP_LEAF, MAP_INNER };
struct map_node {
    enum map_kind kind;
    struct hash hash;
};
int map_bit(struct uuid id, int depth);
struct map_node map_leaf(struct uuid id, const struct hash *slots);
struct map_node map_join(const struct map_node *left, const struct map_node *right);
bool map_node_equal(const struct map_node *a, const struct map_node *b);

/* The slots of one payment, one after the other in the order of their bytes. Begins as {0}, and again after map_slots_end(). */
struct map_slots {
    uint8_t *data;
    size_t size, room;
};
void map_slots_add(struct map_slots *slots, const char *slot, size_t size);
struct hash map_slots_end(struct map_slots *slots);
void map_slots_free(struct map_slots *slots);

/* A subtree out of its payments, in the order of their ids, which are added one by one; nothing is kept but a way down. */
struct map_builder {
    int base; /* bits that all ids have in common: the subtree's own depth */
    uint64_t count;
    struct uuid last;
    struct map_node node; /* of the last id's subtree, as far as it is complete */
    int depth;            /* where it stands */
    int lefts_count;      /* subtrees to the left of it, the highest first */
    struct {
        int depth; /* of the branch */
        struct map_node node;
    } lefts[MAP_BITS];
};
void map_builder_begin(struct map_builder *builder, int base);
/* -1: the id is not behind the last one, or not of this subtree. */
int map_builder_add(struct map_builder *builder, struct uuid id, const struct hash *slots) MUST_CHECK;
/* Once, when all are added. */
struct map_node map_builder_end(struct map_builder *builder);

/* The way down to where an id stands or would stand. */
struct map_proof {
    struct map_node end; /* MAP_INNER never */
    struct uuid id;      /* MAP_LEAF: whose leaf it is, and its slots */
    struct hash slots;
    int count;
    struct hash siblings[MAP_BITS]; /* beside the way, the root's children first */
};
/* The root to which it leads for `id`; false when it leads nowhere: a leaf that cannot stand there. */
bool map_proof_root(const struct map_proof *proof, struct uuid id, struct hash *ret);

/* The line of a head: the root of the map over the first `size` leaves of the tree. */
enum { MAP_LINE_SIZE = 96 };
struct map_line {
    uint64_t size; /* 0: none is stated */
    struct hash root;
};
void map_line_format(const struct map_line *line, char ret[static MAP_LINE_SIZE]);
int map_line_parse(const char *text, struct map_line *ret) MUST_CHECK;

#endif
