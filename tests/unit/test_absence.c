/* test_absence.c - ledger/absence and ledger/proof: receipts of what was not recorded, keys that lead to a head, and nothing else passes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "ledger/absence.h"
#include "ledger/map_parts.h"

static const char ORIGIN[] = "acquit.example/ledger";
static const uint8_t KEYS[3][ED25519_KEY_SIZE] = {{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}};

/* --- a map of a few payments, and a tree of a few leaves --- */

enum { PAYMENTS = 3, LEAVES = 9, CHANGES = 2 };
static const char *const IDS[PAYMENTS] = {"10000000-0000-8000-8000-000000000001",
                                          "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f",
                                          "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e70"};
static const char *const SLOTS[] = {"auth:1", "auth:1:result", "received"};
static struct map_payment payments[PAYMENTS];
static struct hash root;

static struct uuid id_of(const char *text)
{
    struct uuid id;
    assert_int_equal(uuid_parse(text, &id), 0);
    return id;
}

static void make_map(void)
{
    struct map_builder builder;
    struct map_slots slots = {0};
    map_builder_begin(&builder, 0);
    for (size_t i = 0; i < PAYMENTS; i++) {
        for (size_t k = 0; k < 3; k++)
            map_slots_add(&slots, SLOTS[k], strlen(SLOTS[k]));
        payments[i] = (struct map_payment){id_of(IDS[i]), map_slots_end(&slots)};
        assert_int_equal(map_builder_add(&builder, payments[i].id, &payments[i].slots), 0);
    }
    map_slots_free(&slots);
    root = map_builder_end(&builder).hash;
}

static struct hash leaves[LEAVES];
static char statements[CHANGES][KEY_CHANGE_SIZE];
static const uint64_t PLACES[CHANGES] = {3, 6};

static int subtree(void *arg, int level, uint64_t position, struct hash *ret, struct err *err)
{
    (void)arg;
    (void)err;
    struct merkle_edge edge = {0};
    for (uint64_t i = position << level; i < (position + 1) << level; i++)
        merkle_append(&edge, &leaves[i], NULL, NULL);
    *ret = merkle_root(&edge);
    return 0;
}
static const struct merkle_source SOURCE = {subtree, NULL};

static void make_tree(void)
{
    struct err err = {0};
    for (unsigned i = 0; i < LEAVES; i++)
        leaves[i] = merkle_leaf(&i, sizeof i);
    for (size_t i = 0; i < CHANGES; i++) {
        assert_int_equal(key_change_sign(ORIGIN, KEYS[i], KEYS[i + 1], 0, statements[i], &err), 0);
        leaves[PLACES[i]] = key_change_leaf(statements[i]);
    }
}

static struct note_key key_of(size_t i)
{
    struct note_key key = {0};
    snprintf(key.name, sizeof key.name, "%s", ORIGIN);
    ed25519_public(KEYS[i], key.public_key);
    return key;
}

static void sign(size_t key, const char *map_line, char ret[static NOTE_SIZE_MAX])
{
    struct err err = {0};
    struct checkpoint head = {.size = LEAVES, .line_count = 1, .lines = {"acquit-seal-v1 epoch=1 block=3 previous=-"}};
    snprintf(head.origin, sizeof head.origin, "%s", ORIGIN);
    if (*map_line)
        head.lines[head.line_count++] = map_line;
    assert_int_equal(merkle_root_of(&SOURCE, LEAVES, &head.root, &err), 0);
    assert_int_equal(checkpoint_sign(&head, ORIGIN, KEYS[key], ret, &err), 0);
}

static void sign_map(size_t key, char ret[static NOTE_SIZE_MAX])
{
    char line[MAP_LINE_SIZE];
    map_line_format(&(struct map_line){LEAVES - 1, root}, line);
    sign(key, line, ret);
}

/* The first `count` changes of the key, as a receipt has them. */
static json_t *make_keys(size_t count)
{
    struct err err = {0};
    struct hash tree;
    json_t *keys = count ? json_array() : NULL;
    assert_int_equal(merkle_root_of(&SOURCE, LEAVES, &tree, &err), 0);
    for (size_t i = 0; i < count; i++) {
        struct merkle_proof proof;
        assert_int_equal(merkle_inclusion(&SOURCE, PLACES[i], LEAVES, &proof, &err), 0);
        json_array_append_new(keys, proof_key(statements[i], PLACES[i], &proof, LEAVES, &tree, &err));
    }
    return keys;
}

static json_t *own_slots(void)
{
    return json_pack("[s, s, s]", SLOTS[0], SLOTS[1], SLOTS[2]);
}

static json_t *make_with(const char *payment, const char *slot, size_t changes, struct err *err)
{
    static struct map_proof proof;
    char head[NOTE_SIZE_MAX];
    struct uuid id = id_of(payment);
    make_map();
    make_tree();
    sign_map(changes, head);
    proof = (struct map_proof){0};
    map_prove_payments(payments, PAYMENTS, id, &proof);
    bool own = proof.end.kind == MAP_LEAF && uuid_equal(proof.id, id);
    return absence_make(id, slot, head, make_keys(changes), &proof, own ? own_slots() : NULL, err);
}

static json_t *make(const char *payment, const char *slot)
{
    struct err err = {0};
    json_t *made = make_with(payment, slot, 0, &err);
    if (!made)
        fail_msg("%s", err.text);
    return made;
}

static int check_by(const json_t *value, size_t key, struct absence *absence, struct err *err)
{
    struct note_key keys[] = {key_of(key)};
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    int r = absence_check(text, strlen(text), keys, 1, absence, err);
    free(text);
    return r;
}

static void refused_by(const json_t *value, size_t key, const char *words)
{
    struct absence absence;
    struct err err = {0};
    assert_int_equal(check_by(value, key, &absence, &err), -1);
    assert_int_equal(err.code, ERR_CONFLICT);
    if (!strstr(err.text, words))
        fail_msg("'%s' has not '%s'", err.text, words);
    absence_clear(&absence);
}

static void refused(const json_t *value, const char *words)
{
    refused_by(value, 0, words);
}

/* --- good ones --- */

static const char OTHER[] = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e71", NOBODY[] = "40000000-0000-8000-8000-000000000000",
                  LONELY[] = "10000000-0000-8000-8000-000000000002";

static void test_every_end(void **state)
{
    (void)state;
    static const struct {
        const char *payment, *slot;
        bool known, null_end;
    } CASES[] = {{"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f", "refund:1", true, false},
                 {"10000000-0000-8000-8000-000000000001", "auth:1:resul", true, false},
                 {OTHER, "received", false, false},
                 {NOBODY, "received", false, false},
                 {LONELY, "received", false, false},
                 {"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e60", "received", false, false},
                 {"c0000000-0000-8000-8000-000000000000", "received", false, true}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json_auto_t *made = make(CASES[i].payment, CASES[i].slot);
        struct absence absence;
        struct err err = {0};
        if (check_by(made, 0, &absence, &err) != 0)
            fail_msg("%zu: %s", i, err.text);
        assert_true(uuid_equal(absence.payment, id_of(CASES[i].payment)));
        assert_string_equal(absence.slot, CASES[i].slot);
        assert_int_equal(absence.head.map.size, LEAVES - 1);
        assert_int_equal(absence.head.size, LEAVES);
        assert_int_equal(absence.slots != NULL, CASES[i].known);
        assert_int_equal(json_is_null(json_object_get(made, "end")), CASES[i].null_end);
        absence_clear(&absence);
    }
}

static void test_what_is_there_gets_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct err err = {0};
        assert_null(make_with(IDS[1], SLOTS[i], 0, &err));
        assert_int_equal(err.code, ERR_NOT_FOUND);
    }
}

static void test_parts_that_do_not_fit(void **state)
{
    (void)state;
    static struct map_proof proof;
    char head[NOTE_SIZE_MAX];
    struct err err = {0};
    struct uuid id = id_of(IDS[1]);
    make_map();
    make_tree();
    map_prove_payments(payments, PAYMENTS, id, &proof);
    sign(0, "", head);
    assert_null(absence_make(id, "refund:1", head, NULL, &proof, own_slots(), &err));
    assert_string_equal(err.text, "the head states no map");
    err_clear(&err);
    assert_null(absence_make(id, "refund:1", "no head", NULL, &proof, own_slots(), &err));
    assert_string_equal(err.text, "the head cannot be read");
    sign_map(0, head);
    err_clear(&err);
    assert_null(absence_make(id, "refund:1", head, NULL, &proof, json_pack("[s]", "received"), &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    proof.siblings[0].bytes[0] ^= 1;
    err_clear(&err);
    assert_null(absence_make(id, "refund:1", head, NULL, &proof, own_slots(), &err));
    assert_int_equal(err.code, ERR_CONFLICT);
}

/* --- changed ones --- */

static void set(json_t *object, const char *name, const char *value)
{
    json_object_set_new(object, name, json_loads(value, JSON_DECODE_ANY, NULL));
}

static void test_members(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *words;
    } CASES[] = {
        {"format", "\"acquit-receipt\"", "format"},
        {"version", "2", "version"},
        {"version", "1.0", "version"},
        {"about", "\"\"", "about"},
        {"payment", "\"8F14E45F-CEEA-867D-8A1F-1A2B3C4D5E6F\"", "payment: it is no id"},
        {"payment", "\"8f14e45f-ceea-867d-8a1f-1a2b3c4d5e70\"", "end: the slots of another payment are no hash"},
        {"payment", "7", "payment: it is no id"},
        {"slot", "\"\"", "slot: it is none"},
        {"slot", "\"REFUND:1\"", "slot: it is none"},
        {"slot", "7", "slot: it is none"},
        {"slot", "\"received\"", "end: the slot is among those that the payment has"},
        {"way", "{}", "way: it is no list of hashes"},
        {"way", "[]", "way: it does not lead to the head's map"},
        {"way", "[7]", "way: it is no list of hashes"},
        {"end", "7", "end: it has not the members of one"},
        {"end", "null", "way: it does not lead to the head's map"},
        {"end", "{}", "end: it has not the members of one"},
        {"head", "\"\"", "head: it is no checkpoint with one signature"},
        {"keys", "[]", "keys: there are none"},
        {"keys", "null", "keys: there are none"},
        {"keys", "[7]", "keys, 1: it has not the members"},
        {"more", "1", "one more than it should"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json_auto_t *receipt = make(IDS[1], "refund:1");
        set(receipt, CASES[i].name, CASES[i].value);
        refused(receipt, CASES[i].words);
        json_object_del(receipt, CASES[i].name);
        if (strcmp(CASES[i].name, "more") != 0 && strcmp(CASES[i].name, "keys") != 0)
            refused(receipt, "lacks a member");
    }
}

static void test_ends(void **state)
{
    (void)state;
    static const struct {
        const char *slots, *words;
    } CASES[] = {
        {"[\"auth:1\",\"auth:1:result\"]", "does not lead"},                          /* one less */
        {"[\"auth:1\",\"auth:1:result\",\"capture\",\"received\"]", "does not lead"}, /* one more */
        {"[\"auth:1:result\",\"auth:1\",\"received\"]", "no slots in their order"},
        {"[\"auth:1\",\"auth:1\",\"auth:1:result\",\"received\"]", "no slots in their order"}, /* twice */
        {"[]", "no slots in their order"},
        {"{}", "no slots in their order"},
        {"\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"", "no slots in their order"},
        {"[\"auth:1\",7]", "no slots in their order"},
        {"[\"Auth\"]", "no slots in their order"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json_auto_t *receipt = make(IDS[1], "refund:1");
        set(json_object_get(receipt, "end"), "slots", CASES[i].slots);
        refused(receipt, CASES[i].words);
    }
    json_auto_t *receipt = make(OTHER, "received");
    set(json_object_get(receipt, "end"), "slots", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"");
    refused(receipt, "does not lead");
    set(json_object_get(receipt, "end"), "slots", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\"");
    refused(receipt, "are no hash");
    json_auto_t *elsewhere = make(NOBODY, "received"); /* a leaf that cannot stand on the payment's way */
    set(elsewhere, "payment", "\"f0000000-0000-8000-8000-000000000000\"");
    refused(elsewhere, "does not lead");
}

static void test_ways(void **state)
{
    (void)state;
    json_auto_t *receipt = make(IDS[1], "refund:1");
    json_t *way = json_object_get(receipt, "way");
    size_t count = json_array_size(way);
    assert_int_equal(count, 124); /* two ids that differ in their last five bits */
    for (size_t i = 0; i < count; i += 11) {
        json_auto_t *changed = json_deep_copy(receipt);
        json_array_set_new(json_object_get(changed, "way"), i,
                           json_string("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
        refused(changed, "does not lead");
        json_array_remove(json_object_get(changed, "way"), i);
        refused(changed, "does not lead");
    }
    for (size_t i = count; i <= MAP_BITS; i++)
        json_array_append_new(way, json_string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    refused(receipt, "way: it is no list of hashes");
}

static void test_maps_of_heads(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *words;
    } CASES[] = {{0, "states no map"}, {LEAVES + 1, "states no map"}, {LEAVES, ""}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char line[MAP_LINE_SIZE], head[NOTE_SIZE_MAX];
        struct absence absence;
        struct err err = {0};
        json_auto_t *receipt = make(IDS[1], "refund:1");
        map_line_format(&(struct map_line){CASES[i].size, root}, line);
        sign(0, CASES[i].size ? line : "", head);
        json_object_set_new(receipt, "head", json_string(head));
        if (*CASES[i].words) {
            refused(receipt, CASES[i].words);
            continue;
        }
        assert_int_equal(check_by(receipt, 0, &absence, &err), 0);
        absence_clear(&absence);
    }
}

/* --- keys --- */

static void test_any_key_of_the_ledger_leads_to_its_head(void **state)
{
    (void)state;
    for (size_t changes = 0; changes <= CHANGES; changes++)
        for (size_t key = 0; key < 3; key++) {
            struct err err = {0};
            json_auto_t *receipt = make_with(IDS[1], "refund:1", changes, &err);
            struct absence absence;
            if (key > changes) {
                refused_by(receipt, key, changes ? "keys: none of the given keys is among them" : "none of the given");
                continue;
            }
            assert_int_equal(check_by(receipt, key, &absence, &err), 0);
            struct note_key signer = key_of(changes);
            assert_memory_equal(absence.head.key.public_key, signer.public_key, ED25519_KEY_SIZE);
            assert_int_equal(absence.head.changes, changes);
            absence_clear(&absence);
        }
}

static void test_keys_that_do_not_lead_there(void **state)
{
    (void)state;
    struct err err = {0};
    static const struct {
        const char *member, *value, *words;
    } CASES[] = {
        {"position", "4", "keys, 2: it does not lead to the head's root"},
        {"position", "3", "keys, 2: it does not lead to the head's root"},
        {"position", "-1", "keys, 2: it does not lead to the head's root"},
        {"position", "6.0", "keys, 2: it does not lead to the head's root"},
        {"position", "1000", "keys, 2: it does not lead to the head's root"},
        {"proof", "[]", "keys, 2: it does not lead to the head's root"},
        {"proof", "7", "keys, 2: it does not lead to the head's root"},
        {"statement", "\"\"", "keys, 2: line 3 of the statement is no key"},
        {"statement", "null", "keys, 2: line 3 of the statement is no key"},
        {"more", "1", "keys, 2: it has not the members"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json_auto_t *receipt = make_with(IDS[1], "refund:1", 2, &err);
        set(json_array_get(json_object_get(receipt, "keys"), 1), CASES[i].member, CASES[i].value);
        refused(receipt, CASES[i].words);
    }
    json_auto_t *receipt = make_with(IDS[1], "refund:1", 2, &err);
    json_t *keys = json_object_get(receipt, "keys");
    json_auto_t *first = json_incref(json_array_get(keys, 0));
    json_array_remove(keys, 0); /* the newest is enough for who has its keys */
    struct absence absence;
    assert_int_equal(check_by(receipt, 1, &absence, &err), 0);
    absence_clear(&absence);
    refused_by(receipt, 0, "keys: none of the given keys is among them");
    json_array_append(keys, first);
    refused(receipt, "keys, 2: it does not follow the one before it");
    json_array_remove(keys, 0); /* the first alone: the head is of a later key */
    refused(receipt, "head: none of the given keys has signed the note");
    json_object_del(receipt, "keys");
    refused(receipt, "head: none of the given keys has signed the note");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_end),
        cmocka_unit_test(test_what_is_there_gets_none),
        cmocka_unit_test(test_parts_that_do_not_fit),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_maps_of_heads),
        cmocka_unit_test(test_any_key_of_the_ledger_leads_to_its_head),
        cmocka_unit_test(test_keys_that_do_not_lead_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
