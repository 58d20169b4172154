/* test_map.c - ledger/map, map_parts, map_refresh: the root is a function of the set alone, in whatever way it came to be, and every proof holds */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "ledger/map_refresh.h"

/* --- chance, the same in every run --- */

static uint64_t chance = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return chance % below;
}

/* --- a log in memory: leaves in the order of (id, slot), and the parts that were kept --- */

enum { LEAVES_MAX = 20000, SLOT_TEXT = 16, TOUCHED_MAX = 3000 };

struct leaf {
    struct uuid id;
    char slot[SLOT_TEXT];
};
static struct leaf leaves[LEAVES_MAX];
static size_t leaf_count;
static struct map_part *kept;
static size_t kept_count;
static bool out_of_order; /* the source misbehaves */

static int by_leaf(const struct leaf *x, const struct leaf *y)
{
    int order = uuid_compare(x->id, y->id);
    return order ? order : strcmp(x->slot, y->slot);
}

/* The first leaf that is not before this one. */
static size_t find_leaf(const struct leaf *leaf)
{
    size_t low = 0, high = leaf_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (by_leaf(&leaves[middle], leaf) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int by_id(const void *a, const void *b)
{
    return uuid_compare(*(const struct uuid *)a, *(const struct uuid *)b);
}

/* Ids of a small alphabet in their first bytes, so that many have long beginnings in common. */
static struct uuid some_id(int alike)
{
    struct uuid id;
    for (size_t i = 0; i < sizeof id.bytes; i++)
        id.bytes[i] = (uint8_t)((int)i < alike ? draw(3) * 0x55 : draw(256));
    return id;
}

static void add_leaf(struct uuid id, const char *slot)
{
    struct leaf new = {.id = id};
    snprintf(new.slot, sizeof new.slot, "%s", slot);
    size_t at = find_leaf(&new);
    if (at < leaf_count && by_leaf(&leaves[at], &new) == 0)
        return;
    memmove(&leaves[at + 1], &leaves[at], (leaf_count++ - at) * sizeof new);
    leaves[at] = new;
}

static int read_slots(void *arg, const struct map_range *ranges, size_t count, map_slot_function *tell, void *told,
                      struct err *err)
{
    (void)arg;
    for (size_t n = 0; n < count; n++) {
        const struct leaf first = {.id = ranges[out_of_order ? count - 1 - n : n].first};
        for (size_t i = find_leaf(&first); i < leaf_count && uuid_compare(leaves[i].id, ranges[n].last) <= 0; i++)
            if (tell(told, n, leaves[i].id, leaves[i].slot, strlen(leaves[i].slot), err) != 0)
                return -1;
    }
    return 0;
}

static struct map_part *find_kept(struct uuid first)
{
    for (size_t i = 0; i < kept_count; i++)
        if (uuid_equal(kept[i].first, first))
            return &kept[i];
    return NULL;
}

static void keep(struct map_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        struct map_part *old = find_kept(changes->items[i].first);
        if (!old) {
            kept = mem_grow(kept, kept_count + 1, sizeof *kept);
            old = &kept[kept_count++];
        }
        *old = changes->items[i];
    }
    map_changes_clear(changes);
}

static int read_parts(void *arg, struct map_part *parts, size_t count, struct err *err)
{
    (void)arg;
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[MAP_PART_SIZE];
        const struct map_part *part = find_kept(parts[i].first);
        if (!part || part->depth != parts[i].depth)
            return err_set(err, ERR_NOT_FOUND, "no such part");
        map_part_encode(part, bytes);
        assert_int_equal(map_part_decode(bytes, sizeof bytes, &parts[i]), 0);
    }
    return 0;
}

static const struct map_source SOURCE = {read_parts, read_slots, NULL};

static void forget(void)
{
    leaf_count = kept_count = 0;
    free(kept);
    kept = NULL;
}

/* --- the definition, word by word --- */

static struct map_node plain_root(const struct leaf *from, size_t count, int depth)
{
    struct map_node node = {0};
    uint8_t joined[65];
    size_t left = 0;
    if (count == 0)
        return node;
    if (uuid_equal(from[0].id, from[count - 1].id)) {
        struct map_slots slots = {0};
        for (size_t i = 0; i < count; i++)
            map_slots_add(&slots, from[i].slot, strlen(from[i].slot));
        struct hash hash = map_slots_end(&slots);
        map_slots_free(&slots);
        return map_leaf(from[0].id, &hash);
    }
    while (left < count && !map_bit(from[left].id, depth))
        left++;
    struct map_node a = plain_root(from, left, depth + 1), b = plain_root(from + left, count - left, depth + 1);
    joined[0] = 0x03;
    memcpy(joined + 1, a.hash.bytes, 32);
    memcpy(joined + 33, b.hash.bytes, 32);
    node.kind = MAP_INNER;
    sha256(joined, sizeof joined, node.hash.bytes);
    return node;
}

static struct map_node expected_root(void)
{
    return plain_root(leaves, leaf_count, 0);
}

static void assert_same(struct map_node a, struct map_node b)
{
    assert_true(map_node_equal(&a, &b));
}

static struct map_node built_root(void)
{
    struct map_builder builder;
    struct map_slots slots = {0};
    map_builder_begin(&builder, 0);
    for (size_t i = 0; i < leaf_count; i++) {
        map_slots_add(&slots, leaves[i].slot, strlen(leaves[i].slot));
        if (i + 1 == leaf_count || !uuid_equal(leaves[i].id, leaves[i + 1].id)) {
            struct hash hash = map_slots_end(&slots);
            assert_int_equal(map_builder_add(&builder, leaves[i].id, &hash), 0);
        }
    }
    map_slots_free(&slots);
    return map_builder_end(&builder);
}

/* --- small ones, by hand --- */

static void assert_hex(struct map_node node, const char *expected)
{
    char hex[SHA256_HEX_SIZE];
    hex_encode(node.hash.bytes, SHA256_SIZE, hex);
    assert_string_equal(hex, expected);
}

/* The vectors of docs/sealing.md; tests/unit/check_map.py has them, too. */
static void test_known(void **state)
{
    (void)state;
    struct uuid one, other;
    forget();
    assert_hex(built_root(), "0000000000000000000000000000000000000000000000000000000000000000");
    assert_int_equal(uuid_parse("8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f", &one), 0);
    assert_int_equal(uuid_parse("8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6e", &other), 0);
    add_leaf(one, "received");
    assert_hex(built_root(), "191f645231e3f2e03f59c6568ad24c9ec6f6baa2518ce13f7c69ca0d00754f98");
    add_leaf(one, "auth:1");
    assert_hex(built_root(), "0463d8ac9c33fd240cdfadb6f1b96d5fc715de8351f5bb66cc52c13ad47e8cca");
    add_leaf(other, "received");
    assert_hex(built_root(), "3aa7f026cec18ec52ca4afe80185021149204ec1bb5cb9236a5980f3bacdb570");
    forget();
}

static void test_bits(void **state)
{
    (void)state;
    struct uuid id = {{0x80, 0x01, [15] = 0x03}};
    static const int ones[] = {0, 15, 126, 127};
    for (int depth = 0, k = 0; depth < MAP_BITS; depth++) {
        bool one = k < 4 && ones[k] == depth;
        assert_int_equal(map_bit(id, depth), one);
        k += one;
    }
    struct uuid all = map_last((struct uuid){0}, 0), low = map_last((struct uuid){{0x40}}, 4);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(all.bytes[i], 0xff);
    assert_int_equal(low.bytes[0], 0x4f);
    struct map_part part = {.first = {{0xab}}, .depth = 8};
    assert_int_equal(map_part_child(&part, (struct uuid){{0xab, 0xcd}}), 0xc);
    assert_int_equal(map_part_first(&part, 0xc).bytes[1], 0xc0);
    assert_int_equal(map_part_last(&part, 0xc).bytes[1], 0xcf);
    part = (struct map_part){.first = {{0xab, 0xc0}}, .depth = 12};
    assert_int_equal(map_part_child(&part, (struct uuid){{0xab, 0xcd}}), 0xd);
    assert_int_equal(map_part_first(&part, 0xd).bytes[1], 0xcd);
}

static void test_builder_refuses(void **state)
{
    (void)state;
    struct map_builder builder;
    struct hash slots = {0};
    map_builder_begin(&builder, 8);
    assert_int_equal(map_builder_add(&builder, (struct uuid){{0x55, 2}}, &slots), 0);
    assert_int_equal(map_builder_add(&builder, (struct uuid){{0x55, 2}}, &slots), -1); /* twice */
    assert_int_equal(map_builder_add(&builder, (struct uuid){{0x55, 1}}, &slots), -1); /* before it */
    assert_int_equal(map_builder_add(&builder, (struct uuid){{0x56, 0}}, &slots), -1); /* of another subtree */
    assert_int_equal(map_builder_add(&builder, (struct uuid){{0x55, 3}}, &slots), 0);
}

/* --- sets of any kind --- */

static void make_set(size_t payments, int alike)
{
    static const char *const SLOTS[] = {"received", "auth:1", "auth:1:result", "decision", "capture", "a", "ab", "b"};
    forget();
    for (size_t i = 0; i < payments; i++) {
        struct uuid id = some_id(alike);
        for (uint64_t n = 0, most = 1 + draw(5); n < most; n++)
            add_leaf(id, SLOTS[draw(8)]);
    }
}

static void test_builder_is_the_definition(void **state)
{
    (void)state;
    for (int alike = 0; alike <= 15; alike += 3)
        for (size_t payments = 0; payments < 60; payments += 1 + payments / 4) {
            make_set(payments, alike);
            assert_same(built_root(), expected_root());
        }
}

/* New leaves in rounds, of old and new payments; the ids that have some are told, in their order. */
static size_t grow(struct uuid *touched, size_t payments, int alike)
{
    size_t count = 0;
    for (size_t i = 0; i < payments; i++) {
        char slot[SLOT_TEXT];
        snprintf(slot, sizeof slot, "slot:%d", (int)draw(1000));
        struct uuid id = leaf_count && draw(2) ? leaves[draw(leaf_count)].id : some_id(alike);
        add_leaf(id, slot);
        touched[count++] = id;
    }
    qsort(touched, count, sizeof *touched, by_id);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++)
        if (unique == 0 || !uuid_equal(touched[unique - 1], touched[i]))
            touched[unique++] = touched[i];
    return unique;
}

static struct map_parts *fresh_parts(void)
{
    struct map_changes changes = {0};
    struct map_build *build = map_build_new(0);
    struct map_parts *parts = map_build_end(build, &changes);
    map_build_free(build);
    keep(&changes);
    return parts;
}

static void test_refreshed_is_from_scratch(void **state)
{
    (void)state;
    static struct uuid touched[TOUCHED_MAX];
    for (int alike = 0; alike <= 15; alike += 5) {
        forget();
        struct map_parts *parts = fresh_parts();
        for (int round = 0; round < 25; round++) {
            struct map_changes changes = {0};
            struct err err = {0};
            size_t count = grow(touched, 1 + draw(round % 5 == 4 ? 400 : 30), alike);
            assert_int_equal(map_refresh(parts, &SOURCE, touched, count, &changes, &err), 0);
            keep(&changes);
            assert_same(map_parts_root(parts), expected_root());
            for (size_t i = 0; i < kept_count; i++)
                assert_same(map_part_root(&kept[i]), map_parts_find(parts, kept[i].first).root);
            assert_int_equal(kept_count, map_parts_count(parts));
        }
        assert_true(kept_count >= 16); /* parts were split */
        map_parts_free(parts);
    }
    forget();
}

/* More payments than are looked up at once: no part is looked at twice before it is kept. */
static void test_refreshed_in_rounds(void **state)
{
    (void)state;
    static struct uuid touched[TOUCHED_MAX];
    forget();
    struct map_parts *parts = fresh_parts();
    struct err err = {0};
    for (int round = 0; round < 2; round++) {
        struct map_changes changes = {0};
        size_t count = grow(touched, TOUCHED_MAX, 0);
        assert_true(count > MAP_REFRESH_PAYMENTS);
        assert_int_equal(map_refresh(parts, &SOURCE, touched, count, &changes, &err), 0);
        keep(&changes);
        assert_same(map_parts_root(parts), expected_root());
    }
    map_parts_free(parts);
    forget();
}

/* Leaves go again, as when one looks back. */
static void test_refreshed_backwards(void **state)
{
    (void)state;
    static struct uuid touched[TOUCHED_MAX];
    forget();
    struct map_parts *parts = fresh_parts();
    struct map_changes changes = {0};
    struct err err = {0};
    size_t count = grow(touched, 500, 2);
    assert_int_equal(map_refresh(parts, &SOURCE, touched, count, &changes, &err), 0);
    keep(&changes);
    while (leaf_count > 0) {
        size_t most = leaf_count < 40 ? leaf_count : 40, gone = 0;
        for (size_t i = 0; i < most; i++) {
            size_t at = (size_t)draw(leaf_count);
            touched[gone++] = leaves[at].id;
            memmove(&leaves[at], &leaves[at + 1], (--leaf_count - at) * sizeof *leaves);
        }
        qsort(touched, gone, sizeof *touched, by_id);
        assert_int_equal(map_refresh(parts, &SOURCE, touched, gone, &changes, &err), 0);
        keep(&changes);
        assert_same(map_parts_root(parts), expected_root());
    }
    assert_int_equal(map_parts_root(parts).kind, MAP_EMPTY);
    map_parts_free(parts);
    forget();
}

static struct map_parts *build_all(uint64_t about, struct map_changes *changes)
{
    struct map_build *build = map_build_new(about);
    for (size_t i = 0; i < leaf_count; i++)
        assert_int_equal(map_build_add(build, leaves[i].id, leaves[i].slot, strlen(leaves[i].slot), changes), 0);
    struct map_parts *parts = map_build_end(build, changes);
    map_build_free(build);
    return parts;
}

static void test_built_in_parts_is_the_same(void **state)
{
    (void)state;
    static const uint64_t ABOUT[] = {0, 1000, 100000};
    for (int alike = 0; alike <= 15; alike += 5)
        for (size_t n = 0; n < 3; n++) {
            struct map_changes changes = {0};
            make_set(400, alike);
            struct map_parts *parts = build_all(ABOUT[n], &changes);
            assert_same(map_parts_root(parts), expected_root());
            assert_true(map_parts_whole(parts));
            assert_int_equal(changes.count, map_parts_count(parts));
            struct map_parts *loaded = map_parts_new_bare(); /* as after a restart */
            for (size_t i = 0; i < changes.count; i++) {
                struct map_node root = map_part_root(&changes.items[i]);
                assert_false(map_parts_whole(loaded));
                assert_int_equal(map_parts_place(loaded, changes.items[i].first, changes.items[i].depth, &root), 0);
            }
            assert_true(map_parts_whole(loaded));
            assert_same(map_parts_root(loaded), expected_root());
            map_parts_free(loaded);
            map_parts_free(parts);
            map_changes_clear(&changes);
        }
    struct map_changes changes = {0};
    struct map_build *build = map_build_new(0);
    assert_int_equal(map_build_add(build, (struct uuid){{2}}, "a", 1, &changes), 0);
    assert_int_equal(map_build_add(build, (struct uuid){{1}}, "a", 1, &changes), -1);
    map_build_free(build);
}

static void test_parts_that_do_not_fit(void **state)
{
    (void)state;
    struct map_node root = {0};
    struct map_parts *parts = map_parts_new_bare();
    assert_int_equal(map_parts_place(parts, (struct uuid){{0x10}}, 4, &root), 0);
    assert_int_equal(map_parts_place(parts, (struct uuid){{0x10}}, 4, &root), -1); /* twice */
    assert_int_equal(map_parts_place(parts, (struct uuid){{0x12}}, 8, &root), -1); /* inside it */
    assert_int_equal(map_parts_place(parts, (struct uuid){0}, 0, &root), -1);      /* around it */
    assert_int_equal(map_parts_place(parts, (struct uuid){{0x21}}, 4, &root), -1); /* does not begin there */
    assert_int_equal(map_parts_place(parts, (struct uuid){{0x20}}, 3, &root), -1);
    assert_int_equal(map_parts_place(parts, (struct uuid){{0x20}}, -4, &root), -1);
    assert_int_equal(map_parts_place(parts, (struct uuid){{0x20}}, 128, &root), -1);
    assert_false(map_parts_whole(parts));
    map_parts_free(parts);
    struct map_part part = {0};
    uint8_t bytes[MAP_PART_SIZE] = {0};
    assert_int_equal(map_part_decode(bytes, sizeof bytes, &part), 0);
    assert_int_equal(map_part_decode(bytes, sizeof bytes - 1, &part), -1);
    bytes[1] = 1; /* a payment without a hash */
    assert_int_equal(map_part_decode(bytes, sizeof bytes, &part), -1);
    bytes[2] = 7;
    assert_int_equal(map_part_decode(bytes, sizeof bytes, &part), 0);
    bytes[1] = 0; /* a hash of no payment */
    assert_int_equal(map_part_decode(bytes, sizeof bytes, &part), -1);
    bytes[1] = MAP_CHILD_MAX + 1;
    assert_int_equal(map_part_decode(bytes, sizeof bytes, &part), -1);
}

/* What is kept is not believed. */
static void test_a_kept_part_that_was_changed(void **state)
{
    (void)state;
    static struct uuid touched[TOUCHED_MAX];
    forget();
    struct map_parts *parts = fresh_parts();
    struct map_changes changes = {0};
    struct err err = {0};
    size_t count = grow(touched, 300, 0);
    assert_int_equal(map_refresh(parts, &SOURCE, touched, count, &changes, &err), 0);
    keep(&changes);
    struct map_part *part = find_kept(map_parts_find(parts, touched[0]).first);
    part->children[map_part_child(part, touched[0])].node.hash.bytes[3] ^= 1;
    assert_int_equal(map_refresh(parts, &SOURCE, touched, 1, &changes, &err), -1);
    assert_int_equal(err.code, ERR_CONFLICT);
    part->children[map_part_child(part, touched[0])].node.hash.bytes[3] ^= 1;
    err_clear(&err);
    out_of_order = true;
    assert_int_equal(map_refresh(parts, &SOURCE, touched, count, &changes, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
    out_of_order = false;
    map_changes_clear(&changes);
    map_parts_free(parts);
    forget();
}

/* --- proofs --- */

static bool is_there(struct uuid id)
{
    for (size_t i = 0; i < leaf_count; i++)
        if (uuid_equal(leaves[i].id, id))
            return true;
    return false;
}

/* Whatever is changed in it, it leads elsewhere. */
static void assert_only_this(const struct map_proof *proof, struct uuid id, const struct hash *root)
{
    struct hash other;
    for (int i = 0; i < proof->count; i++) {
        struct map_proof changed = *proof;
        changed.siblings[i].bytes[draw(32)] ^= 1;
        assert_true(map_proof_root(&changed, id, &other) && !hash_equal(&other, root));
    }
    struct map_proof changed = *proof;
    if (proof->count > 0) {
        changed.count--;
        assert_false(map_proof_root(&changed, id, &other) && hash_equal(&other, root));
        struct uuid turned = id;
        turned.bytes[(proof->count - 1) / 8] ^= (uint8_t)(0x80 >> (proof->count - 1) % 8);
        assert_false(map_proof_root(proof, turned, &other) && hash_equal(&other, root));
    }
    changed = *proof;
    changed.siblings[changed.count] = (struct hash){0};
    changed.count++;
    assert_false(changed.count <= MAP_BITS && map_proof_root(&changed, id, &other) && hash_equal(&other, root));
    changed = *proof;
    changed.end.kind = proof->end.kind == MAP_EMPTY ? MAP_LEAF : MAP_EMPTY;
    assert_false(map_proof_root(&changed, id, &other) && hash_equal(&other, root));
    changed.end.kind = MAP_INNER;
    assert_false(map_proof_root(&changed, id, &other));
    if (proof->end.kind == MAP_LEAF) {
        changed = *proof;
        changed.slots.bytes[0] ^= 1;
        assert_true(map_proof_root(&changed, id, &other) && !hash_equal(&other, root));
        changed = *proof;
        changed.id.bytes[15] ^= 1;
        assert_false(map_proof_root(&changed, id, &other) && hash_equal(&other, root));
    }
}

static void check_proof(struct map_parts *parts, struct uuid id)
{
    struct map_proof proof;
    struct hash root, expected = expected_root().hash;
    struct err err = {0};
    assert_int_equal(map_prove(parts, &SOURCE, id, &proof, &err), 0);
    assert_true(map_proof_root(&proof, id, &root));
    assert_memory_equal(root.bytes, expected.bytes, 32);
    assert_int_equal(proof.end.kind == MAP_LEAF && uuid_equal(proof.id, id), is_there(id));
    assert_only_this(&proof, id, &root);
}

static void test_every_proof(void **state)
{
    (void)state;
    static const size_t PAYMENTS[] = {0, 1, 2, 3, 20, 300};
    for (int alike = 0; alike <= 15; alike += 5)
        for (size_t n = 0; n < sizeof PAYMENTS / sizeof PAYMENTS[0]; n++)
            for (uint64_t about = 0; about <= 20000; about += 20000) {
                struct map_changes changes = {0};
                make_set(PAYMENTS[n], alike);
                struct map_parts *parts = build_all(about, &changes);
                keep(&changes);
                for (size_t i = 0; i < leaf_count; i += 1 + leaf_count / 40) {
                    check_proof(parts, leaves[i].id);
                    struct uuid near = leaves[i].id;
                    near.bytes[draw(16)] ^= (uint8_t)(1 << draw(8));
                    check_proof(parts, near);
                }
                for (int i = 0; i < 20; i++)
                    check_proof(parts, some_id(alike));
                map_parts_free(parts);
            }
    forget();
}

/* --- the line --- */

static void test_line(void **state)
{
    (void)state;
    static const char TEXT[] = "acquit-map-v1 size=682 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s8=";
    static const char *const WRONG[] = {
        "",
        "acquit-map-v1 size=0 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s8=",
        "acquit-map-v1 size=0682 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s8=",
        "acquit-map-v1 size=+682 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s8=",
        "acquit-map-v1 size=-682 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s8=",
        "acquit-map-v1 size=6820000000000000 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s8=",
        "acquit-map-v1  size=682 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s8=",
        "acquit-map-v1 size=682 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s8",
        "acquit-map-v1 size=682 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s9=",
        "acquit-map-v1 size=682 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s8= ",
        "acquit-map-v1 size=682 root=AAAA",
        "acquit-map-v2 size=682 root=S/UCTbM4lCrKy26f/TcIn26zk15ENdB7rW6Wgn5g9s8=",
    };
    struct map_line line;
    char again[MAP_LINE_SIZE];
    assert_int_equal(map_line_parse(TEXT, &line), 0);
    assert_int_equal(line.size, 682);
    map_line_format(&line, again);
    assert_string_equal(again, TEXT);
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        assert_int_equal(map_line_parse(WRONG[i], &line), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_builder_refuses),
        cmocka_unit_test(test_builder_is_the_definition),
        cmocka_unit_test(test_refreshed_is_from_scratch),
        cmocka_unit_test(test_refreshed_in_rounds),
        cmocka_unit_test(test_refreshed_backwards),
        cmocka_unit_test(test_built_in_parts_is_the_same),
        cmocka_unit_test(test_parts_that_do_not_fit),
        cmocka_unit_test(test_a_kept_part_that_was_changed),
        cmocka_unit_test(test_every_proof),
        cmocka_unit_test(test_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
