/* test_merkle.c - ledger/merkle: known roots, every proof of every small tree, and nothing else passes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/merkle.h"

enum { LEAVES = 70 };

/* The eight leaves and roots of Certificate Transparency's own tests (RFC 6962 implementations share them). */
static const struct {
    const char *leaf;
    size_t size;
    const char *root;
} KNOWN[] = {
    {"", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
    {"\0", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
    {"\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
    {"\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
    {"\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
    {"\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
    {"\x50\x51\x52\x53\x54\x55\x56\x57", 8, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
     "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

/* A tree with all its complete subtrees. */
struct forest {
    struct merkle_edge edge;
    struct hash nodes[8][LEAVES], roots[LEAVES + 1];
};
static struct forest forest;

static void keep(void *arg, int level, uint64_t position, const struct hash *root)
{
    struct forest *f = arg;
    f->nodes[level][position] = *root;
}

static int subtree(void *arg, int level, uint64_t position, struct hash *ret, struct err *err)
{
    const struct forest *f = arg;
    if ((position + 1) << level > f->edge.size)
        return err_set(err, ERR_INTERNAL, "subtree %d/%d is not complete", level, (int)position);
    *ret = f->nodes[level][position];
    return 0;
}

static const struct merkle_source SOURCE = {subtree, &forest};

static int grow(void **state)
{
    (void)state;
    forest.edge = (struct merkle_edge){0};
    forest.roots[0] = merkle_root(&forest.edge);
    for (unsigned i = 0; i < LEAVES; i++) {
        struct hash leaf = merkle_leaf(&i, sizeof i);
        merkle_append(&forest.edge, &leaf, keep, &forest);
        forest.roots[i + 1] = merkle_root(&forest.edge);
    }
    return 0;
}

static void test_known_roots(void **state)
{
    (void)state;
    struct merkle_edge edge = {0};
    char hex[SHA256_HEX_SIZE];
    struct hash root = merkle_root(&edge);
    hex_encode(root.bytes, SHA256_SIZE, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++) {
        struct hash leaf = merkle_leaf(KNOWN[i].leaf, KNOWN[i].size);
        merkle_append(&edge, &leaf, NULL, NULL);
        root = merkle_root(&edge);
        hex_encode(root.bytes, SHA256_SIZE, hex);
        assert_string_equal(hex, KNOWN[i].root);
    }
}

static void test_roots_from_subtrees(void **state)
{
    (void)state;
    for (uint64_t size = 0; size <= LEAVES; size++) {
        struct hash root;
        struct err err = {0};
        assert_int_equal(merkle_root_of(&SOURCE, size, &root, &err), 0);
        assert_true(hash_equal(&root, &forest.roots[size]));
    }
}

/* A proof that lacks a hash, has one too many, or a wrong one. */
static void refuse_altered(struct merkle_proof *proof,
                           bool (*passes)(const struct merkle_proof *proof, const void *arg), const void *arg)
{
    for (size_t i = 0; i < proof->count; i++) {
        proof->hashes[i].bytes[i % SHA256_SIZE] ^= 1;
        assert_false(passes(proof, arg));
        proof->hashes[i].bytes[i % SHA256_SIZE] ^= 1;
    }
    if (proof->count) {
        proof->count--;
        assert_false(passes(proof, arg));
        proof->count++;
    }
    proof->hashes[proof->count] = forest.roots[1];
    proof->count++;
    assert_false(passes(proof, arg));
    proof->count--;
    assert_true(passes(proof, arg));
}

struct claim {
    uint64_t a, size;
};

static bool included(const struct merkle_proof *proof, const void *arg)
{
    const struct claim *claim = arg;
    return merkle_included(&forest.nodes[0][claim->a], claim->a, claim->size, proof, &forest.roots[claim->size]);
}

static void test_every_inclusion(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= LEAVES; size++) {
        for (uint64_t i = 0; i < size; i++) {
            struct merkle_proof proof;
            struct err err = {0};
            assert_int_equal(merkle_inclusion(&SOURCE, i, size, &proof, &err), 0);
            refuse_altered(&proof, included, &(struct claim){i, size});
            const struct hash *leaf = &forest.nodes[0][i], *root = &forest.roots[size];
            assert_false(merkle_included(&forest.nodes[0][(i + 1) % LEAVES], i, size, &proof, root));
            for (uint64_t j = 0; j < size; j++)
                assert_int_equal(merkle_included(leaf, j, size, &proof, root), j == i);
            assert_false(merkle_included(leaf, i, size, &proof, &forest.roots[size - 1]));
            assert_false(merkle_included(leaf, size, size, &proof, root));
        }
    }
}

static bool consistent(const struct merkle_proof *proof, const void *arg)
{
    const struct claim *claim = arg;
    return merkle_consistent(claim->a, &forest.roots[claim->a], claim->size, &forest.roots[claim->size], proof);
}

static void test_every_consistency(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= LEAVES; size++) {
        for (uint64_t old = 1; old <= size; old++) {
            struct merkle_proof proof;
            struct err err = {0};
            assert_int_equal(merkle_consistency(&SOURCE, old, size, &proof, &err), 0);
            refuse_altered(&proof, consistent, &(struct claim){old, size});
            const struct hash *root = &forest.roots[size];
            assert_false(merkle_consistent(old, &forest.roots[old - 1], size, root, &proof)); /* a fork */
            assert_false(merkle_consistent(old, &forest.roots[old], size, &forest.roots[size - 1], &proof));
        }
    }
}

static void test_what_cannot_be_proven(void **state)
{
    (void)state;
    struct merkle_proof proof;
    struct err err = {0};
    assert_int_equal(merkle_inclusion(&SOURCE, 5, 5, &proof, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_int_equal(merkle_inclusion(&SOURCE, 0, 0, &proof, &err), -1);
    assert_int_equal(merkle_inclusion(&SOURCE, 0, UINT64_MAX, &proof, &err), -1);
    assert_int_equal(merkle_consistency(&SOURCE, 0, 5, &proof, &err), -1);
    assert_int_equal(merkle_consistency(&SOURCE, 6, 5, &proof, &err), -1);
    assert_int_equal(merkle_inclusion(&SOURCE, 0, LEAVES + 1, &proof, &err), -1); /* the source has no more */
    assert_false(merkle_consistent(0, &forest.roots[0], 5, &forest.roots[5], &(struct merkle_proof){0}));
    assert_false(merkle_consistent(3, &forest.roots[3], 5, &forest.roots[5], &(struct merkle_proof){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_roots),           cmocka_unit_test(test_roots_from_subtrees),
        cmocka_unit_test(test_every_inclusion),       cmocka_unit_test(test_every_consistency),
        cmocka_unit_test(test_what_cannot_be_proven),
    };
    return cmocka_run_group_tests(tests, grow, NULL);
}
