/* merkle.h - the tree over all leaves of the ledger, as in Certificate Transparency (RFC 6962, section 2.1)
 *
 * Pure. A tree is its leaves' hashes in order; its root changes with every leaf, and old roots stay provable parts of new
 * ones. Proofs need hashes of complete subtrees only, which never change once they are full; where those are kept is the
 * caller's business (struct merkle_source).
 *
 *     leaf   SHA-256(0x00 || bytes)
 *     node   SHA-256(0x01 || left || right)
 *     empty  SHA-256()
 */
#ifndef ACQUIT_LEDGER_MERKLE_H
#define ACQUIT_LEDGER_MERKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto.h"

enum {
    MERKLE_LEVELS_MAX = 48,                   /* 2^48 leaves */
    MERKLE_PROOF_MAX = 2 * MERKLE_LEVELS_MAX, /* hashes of one proof */
};

struct hash {
    uint8_t bytes[SHA256_SIZE];
};

struct hash merkle_leaf(const void *data, size_t size);
struct hash merkle_node(const struct hash *left, const struct hash *right);
bool hash_equal(const struct hash *a, const struct hash *b);

/* A tree that grows at its end: the roots of its complete subtrees, the largest first. */
struct merkle_edge {
    uint64_t size;
    struct hash roots[MERKLE_LEVELS_MAX]; /* [level]; stands when bit `level` of size is set */
};
/* Adds a leaf's hash. `filled` hears of every subtree that this completes, level 0 (the leaf itself) first; may be NULL. */
void merkle_append(struct merkle_edge *edge, const struct hash *leaf,
                   void (*filled)(void *arg, int level, uint64_t position, const struct hash *root), void *arg);
struct hash merkle_root(const struct merkle_edge *edge);

/* Where complete subtrees are found: the root of subtree `position` of level `level`, which spans the leaves from
 * position * 2^level on. -1 with an error when it cannot be had. */
struct merkle_source {
    int (*subtree)(void *arg, int level, uint64_t position, struct hash *ret, struct err *err);
    void *arg;
};
/* Of a tree of `size` leaves, at most what the source has. */
int merkle_root_of(const struct merkle_source *source, uint64_t size, struct hash *ret, struct err *err) MUST_CHECK;

struct merkle_proof {
    size_t count;
    struct hash hashes[MERKLE_PROOF_MAX];
};
/* That leaf `index` is in the tree of `size` leaves; index < size. */
int merkle_inclusion(const struct merkle_source *source, uint64_t index, uint64_t size, struct merkle_proof *ret,
                     struct err *err) MUST_CHECK;
/* That the tree of `old_size` leaves is the beginning of that of `size`; 0 < old_size <= size. */
int merkle_consistency(const struct merkle_source *source, uint64_t old_size, uint64_t size, struct merkle_proof *ret,
                       struct err *err) MUST_CHECK;

/* What anybody can check with the proof and a root alone. */
bool merkle_included(const struct hash *leaf, uint64_t index, uint64_t size, const struct merkle_proof *proof,
                     const struct hash *root);
bool merkle_consistent(uint64_t old_size, const struct hash *old_root, uint64_t size, const struct hash *root,
                       const struct merkle_proof *proof);

#endif
