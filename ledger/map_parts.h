/* map_parts.h - the sorted map in parts: small enough to be computed anew from the leaves of a few payments
 *
 * Pure. A part is a subtree of the map (map.h), `depth` bits below the root, with the roots of its sixteen subtrees four bits further down. All
 * parts together are the whole map. They are kept in view.map_part; in memory stands the tree above them, which has their roots. Which parts
 * there are has no meaning: the root is the same.
 */
#ifndef ACQUIT_LEDGER_MAP_PARTS_H
#define ACQUIT_LEDGER_MAP_PARTS_H

#include "ledger/map.h"

enum {
    MAP_STEP = 4, /* bits of one part */
    MAP_CHILDREN = 1 << MAP_STEP,
    MAP_CHILD_MAX = 8,                /* payments below one child; with more, the part is split */
    MAP_CHILD_SIZE = 2 + SHA256_SIZE, /* as it is kept: how many payments, the highest byte first, and the root */
    MAP_PART_SIZE = MAP_CHILDREN * MAP_CHILD_SIZE,
};

struct map_part {
    struct uuid first; /* the lowest id that may stand in it */
    int depth;         /* a multiple of MAP_STEP */
    struct map_child {
        uint64_t count;
        struct map_node node;
    } children[MAP_CHILDREN];
};
/* Which child an id belongs to, and the ids that one has. */
int map_part_child(const struct map_part *part, struct uuid id);
struct uuid map_part_first(const struct map_part *part, int child);
struct uuid map_part_last(const struct map_part *part, int child);
/* The highest id of a subtree of `depth` bits that begins with `first`. */
struct uuid map_last(struct uuid first, int depth);
struct map_node map_part_root(const struct map_part *part);
void map_part_encode(const struct map_part *part, uint8_t ret[static MAP_PART_SIZE]);
/* Sets the children; -1 when the bytes are none that map_part_encode() writes. */
int map_part_decode(const uint8_t *bytes, size_t size, struct map_part *ret) MUST_CHECK;

/* The tree above the parts. */
struct map_parts;
struct map_parts *map_parts_new(void); /* one empty part */
void map_parts_free(struct map_parts *parts);
size_t map_parts_count(const struct map_parts *parts);

/* Where the parts are known already: from nothing, one after the other. -1 when two overlap. */
struct map_parts *map_parts_new_bare(void);
int map_parts_place(struct map_parts *parts, struct uuid first, int depth, const struct map_node *root) MUST_CHECK;
bool map_parts_whole(const struct map_parts *parts); /* no id is without its part */

/* The part where an id stands or would stand. */
struct map_place {
    struct uuid first;
    int depth;
    struct map_node root;
};
struct map_place map_parts_find(const struct map_parts *parts, struct uuid id);
void map_parts_update(struct map_parts *parts, struct uuid id, const struct map_node *root);
/* Makes sixteen parts of it, empty ones; its depth is below MAP_BITS - MAP_STEP. */
void map_parts_split(struct map_parts *parts, struct uuid id);
struct map_node map_parts_root(struct map_parts *parts);

/* --- proofs: from the root down, first above the parts, then in the part, then among the payments of its child --- */

void map_prove_parts(struct map_parts *parts, struct uuid id, struct map_proof *ret);
void map_prove_part(const struct map_part *part, struct uuid id, struct map_proof *ret);
/* The payments below a child, by id. Needed unless the proof has come to nothing before. */
struct map_payment {
    struct uuid id;
    struct hash slots;
};
void map_prove_payments(const struct map_payment *payments, size_t count, struct uuid id, struct map_proof *ret);

#endif
