/* merkle.c - see merkle.h; the checks follow RFC 9162, sections 2.1.3.2 and 2.1.4.2 */
#include "ledger/merkle.h"

#include <string.h>

static const uint8_t LEAF_PREFIX = 0x00, NODE_PREFIX = 0x01;

struct hash merkle_leaf(const void *data, size_t size)
{
    struct hash hash;
    sha256_two(&LEAF_PREFIX, 1, data, size, hash.bytes);
    return hash;
}

struct hash merkle_node(const struct hash *left, const struct hash *right)
{
    uint8_t joined[1 + 2 * SHA256_SIZE];
    struct hash hash;
    joined[0] = NODE_PREFIX;
    memcpy(joined + 1, left->bytes, SHA256_SIZE);
    memcpy(joined + 1 + SHA256_SIZE, right->bytes, SHA256_SIZE);
    sha256(joined, sizeof joined, hash.bytes);
    return hash;
}

bool hash_equal(const struct hash *a, const struct hash *b)
{
    return memcmp(a->bytes, b->bytes, SHA256_SIZE) == 0;
}

static struct hash empty_root(void)
{
    struct hash hash;
    sha256("", 0, hash.bytes);
    return hash;
}

/* --- growing --- */

void merkle_append(struct merkle_edge *edge, const struct hash *leaf,
                   void (*filled)(void *arg, int level, uint64_t position, const struct hash *root), void *arg)
{
    struct hash root = *leaf;
    uint64_t position = edge->size++;
    for (int level = 0;; level++, position >>= 1) {
        if (filled)
            filled(arg, level, position, &root);
        if (!(position & 1)) { /* a left child waits for its sibling */
            edge->roots[level] = root;
            return;
        }
        root = merkle_node(&edge->roots[level], &root);
    }
}

struct hash merkle_root(const struct merkle_edge *edge)
{
    struct hash root = empty_root();
    bool any = false;
    for (int level = 0; level < MERKLE_LEVELS_MAX; level++) {
        if (!(edge->size >> level & 1))
            continue;
        root = any ? merkle_node(&edge->roots[level], &root) : edge->roots[level];
        any = true;
    }
    return root;
}

/* --- proofs: a subtree of leaves [begin, begin + size) --- */

/* The largest power of two below `size`, as level; size > 1. */
static int split_level(uint64_t size)
{
    int level = 0;
    while (UINT64_C(2) << level < size)
        level++;
    return level;
}

static bool is_power_of_two(uint64_t size)
{
    return (size & (size - 1)) == 0;
}

static int level_of(uint64_t size)
{
    int level = 0;
    while (size >> level > 1)
        level++;
    return level;
}

static int range_root(const struct merkle_source *source, uint64_t begin, uint64_t size, struct hash *ret,
                      struct err *err)
{
    if (is_power_of_two(size)) /* every left part is aligned to its size */
        return source->subtree(source->arg, level_of(size), begin >> level_of(size), ret, err);
    uint64_t left_size = UINT64_C(1) << split_level(size);
    struct hash left, right;
    if (range_root(source, begin, left_size, &left, err) != 0 ||
        range_root(source, begin + left_size, size - left_size, &right, err) != 0)
        return -1;
    *ret = merkle_node(&left, &right);
    return 0;
}

int merkle_root_of(const struct merkle_source *source, uint64_t size, struct hash *ret, struct err *err)
{
    if (size == 0) {
        *ret = empty_root();
        return 0;
    }
    return range_root(source, 0, size, ret, err);
}

static int add_root(const struct merkle_source *source, uint64_t begin, uint64_t size, struct merkle_proof *ret,
                    struct err *err)
{
    return range_root(source, begin, size, &ret->hashes[ret->count++], err);
}

/* From the root down; the proof goes from the leaf up, so each level is added on the way back. */
static int path_of(const struct merkle_source *source, uint64_t index, uint64_t begin, uint64_t size,
                   struct merkle_proof *ret, struct err *err)
{
    if (size == 1)
        return 0;
    uint64_t left_size = UINT64_C(1) << split_level(size);
    if (index < left_size)
        return path_of(source, index, begin, left_size, ret, err) != 0
                   ? -1
                   : add_root(source, begin + left_size, size - left_size, ret, err);
    return path_of(source, index - left_size, begin + left_size, size - left_size, ret, err) != 0
               ? -1
               : add_root(source, begin, left_size, ret, err);
}

int merkle_inclusion(const struct merkle_source *source, uint64_t index, uint64_t size, struct merkle_proof *ret,
                     struct err *err)
{
    ret->count = 0;
    if (index >= size || size >> MERKLE_LEVELS_MAX)
        return err_set(err, ERR_INVALID, "leaf %llu is not in a tree of %llu", (unsigned long long)index,
                       (unsigned long long)size);
    return path_of(source, index, 0, size, ret, err);
}

/* RFC 6962 SUBPROOF; `whole`: the old tree is exactly this subtree, whose root the verifier knows. */
static int subproof(const struct merkle_source *source, uint64_t old_size, uint64_t begin, uint64_t size, bool whole,
                    struct merkle_proof *ret, struct err *err)
{
    if (old_size == size)
        return whole ? 0 : add_root(source, begin, size, ret, err);
    uint64_t left_size = UINT64_C(1) << split_level(size);
    if (old_size <= left_size)
        return subproof(source, old_size, begin, left_size, whole, ret, err) != 0
                   ? -1
                   : add_root(source, begin + left_size, size - left_size, ret, err);
    return subproof(source, old_size - left_size, begin + left_size, size - left_size, false, ret, err) != 0
               ? -1
               : add_root(source, begin, left_size, ret, err);
}

int merkle_consistency(const struct merkle_source *source, uint64_t old_size, uint64_t size, struct merkle_proof *ret,
                       struct err *err)
{
    ret->count = 0;
    if (old_size == 0 || old_size > size || size >> MERKLE_LEVELS_MAX)
        return err_set(err, ERR_INVALID, "a tree of %llu is not the beginning of one of %llu",
                       (unsigned long long)old_size, (unsigned long long)size);
    return subproof(source, old_size, 0, size, true, ret, err);
}

/* --- checking --- */

/* Joins the next hash of the proof with `root`, on the side that the position says. */
bool merkle_included(const struct hash *leaf, uint64_t index, uint64_t size, const struct merkle_proof *proof,
                     const struct hash *root)
{
    if (index >= size)
        return false;
    uint64_t at = index, last = size - 1;
    struct hash hash = *leaf;
    for (size_t i = 0; i < proof->count; i++) {
        if (last == 0)
            return false;
        if (at & 1 || at == last) {
            hash = merkle_node(&proof->hashes[i], &hash);
            for (; !(at & 1) && at != 0; at >>= 1) /* the last leaf's way up skips levels without a sibling */
                last >>= 1;
        } else {
            hash = merkle_node(&hash, &proof->hashes[i]);
        }
        at >>= 1;
        last >>= 1;
    }
    return last == 0 && hash_equal(&hash, root);
}

/* Walks up both trees at once from where the old one ends. */
static bool consistent_from(uint64_t at, uint64_t last, const struct hash *first, const struct hash *hashes,
                            size_t count, const struct hash *old_root, const struct hash *root)
{
    struct hash old_hash = *first, hash = *first;
    for (size_t i = 0; i < count; i++) {
        if (last == 0)
            return false;
        if (at & 1 || at == last) {
            old_hash = merkle_node(&hashes[i], &old_hash);
            hash = merkle_node(&hashes[i], &hash);
            for (; !(at & 1) && at != 0; at >>= 1)
                last >>= 1;
        } else {
            hash = merkle_node(&hash, &hashes[i]);
        }
        at >>= 1;
        last >>= 1;
    }
    return last == 0 && hash_equal(&old_hash, old_root) && hash_equal(&hash, root);
}

bool merkle_consistent(uint64_t old_size, const struct hash *old_root, uint64_t size, const struct hash *root,
                       const struct merkle_proof *proof)
{
    if (old_size == 0 || old_size > size)
        return false;
    if (old_size == size)
        return proof->count == 0 && hash_equal(old_root, root);
    bool power = is_power_of_two(old_size); /* then its root is not in the proof: the verifier has it */
    if (!power && proof->count == 0)
        return false;
    uint64_t at = old_size - 1, last = size - 1;
    for (; at & 1; at >>= 1)
        last >>= 1;
    const struct hash *first = power ? old_root : &proof->hashes[0];
    return consistent_from(at, last, first, proof->hashes + !power, proof->count - !power, old_root, root);
}
