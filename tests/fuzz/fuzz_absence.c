/* fuzz_absence.c - a stranger's receipt of an absence, and one whose map a ledger did sign, whatever it says
 *
 * The first line says what is mended before it is checked: "as-it-is" nothing; "signed" the head, so that its map is the one to which the way leads;
 * "changed" the same under the second key of the ledger, with its statement. The rest is the JSON.
 */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "ledger/absence.h"
#include "tests/fuzz/input.h"

static const char ORIGIN[] = "fuzz/ledger";
static const uint8_t KEYS[2][ED25519_KEY_SIZE] = {{1, 2, 3, 4}, {5, 6, 7, 8}};

/* What stands at the end of the way, as far as it can be read. */
static void read_end(const json_t *end, struct map_proof *ret)
{
    const json_t *slots = json_object_get(end, "slots");
    size_t size = 0;
    if (!json_is_object(end) || uuid_parse(json_text(end, "payment", ""), &ret->id) != 0)
        return;
    ret->end.kind = MAP_LEAF;
    if (json_is_string(slots)) {
        if (base64_decode(json_string_value(slots), ret->slots.bytes, SHA256_SIZE, &size) != 0)
            memset(ret->slots.bytes, 0, SHA256_SIZE);
        return;
    }
    struct map_slots all = {0};
    for (size_t i = 0; i < json_array_size(slots); i++) {
        const char *slot = json_string_value(json_array_get(slots, i));
        map_slots_add(&all, slot ? slot : "", slot ? strlen(slot) : 0);
    }
    ret->slots = map_slots_end(&all);
    map_slots_free(&all);
}

static bool map_of(const json_t *value, struct map_line *ret)
{
    struct map_proof proof = {0};
    struct uuid payment;
    size_t count = 0;
    if (uuid_parse(json_text(value, "payment", ""), &payment) != 0 ||
        proof_read_hashes(json_object_get(value, "way"), proof.siblings, MAP_BITS, &count) != 0)
        return false;
    proof.count = (int)count;
    read_end(json_object_get(value, "end"), &proof);
    ret->size = 1;
    return map_proof_root(&proof, payment, &ret->root);
}

/* A tree of one leaf: the change of the key, or any other. */
static void mend(json_t *value, bool changed)
{
    char line[MAP_LINE_SIZE], head[NOTE_SIZE_MAX], statement[KEY_CHANGE_SIZE];
    struct map_line map;
    struct merkle_proof none = {0};
    struct err err = {0};
    struct checkpoint checkpoint = {.origin = "fuzz/ledger",
                                    .size = 1,
                                    .line_count = 2,
                                    .lines = {"acquit-seal-v1 epoch=1 block=0 previous=-", line}};
    if (!map_of(value, &map))
        return;
    map_line_format(&map, line);
    MUST(key_change_sign(ORIGIN, KEYS[0], KEYS[1], 0, statement, &err) == 0);
    checkpoint.root = key_change_leaf(statement);
    MUST(checkpoint_sign(&checkpoint, ORIGIN, KEYS[changed], head, &err) == 0);
    json_object_set_new(value, "head", json_string(head));
    json_object_del(value, "keys");
    if (changed)
        json_object_set_new(value, "keys", json_pack("[o]", proof_key(statement, 0, &none, 1, &checkpoint.root, &err)));
}

/* A good one is what would be made of its parts. */
static void check_good(const struct absence *absence)
{
    struct map_proof proof = {0};
    struct err err = {0};
    size_t count = 0;
    const json_t *way = json_object_get(absence->value, "way"), *end = json_object_get(absence->value, "end");
    MUST(absence_slot_valid(absence->slot) && absence->head.map.size <= absence->head.size);
    for (size_t i = 0; i < json_array_size(absence->slots); i++)
        MUST(strcmp(json_string_value(json_array_get(absence->slots, i)), absence->slot) != 0);
    MUST(proof_read_hashes(way, proof.siblings, MAP_BITS, &count) == 0);
    proof.count = (int)count;
    read_end(end, &proof);
    json_t *made = absence_make(absence->payment, absence->slot, json_text(absence->value, "head", ""),
                                json_incref(json_object_get(absence->value, "keys")), &proof,
                                json_incref((json_t *)absence->slots), &err);
    MUST(made && json_equal(made, absence->value));
    json_decref(made);
}

static void check(const char *text, size_t size)
{
    struct note_key key = {.name = "fuzz/ledger"};
    struct absence absence;
    struct err err = {0};
    ed25519_public(KEYS[0], key.public_key);
    bool good = absence_check(text, size, &key, 1, &absence, &err) == 0;
    MUST(good == (err.code == ERR_NONE));
    if (good)
        check_good(&absence);
    else
        MUST(err.code == ERR_CONFLICT && is_clean(err.text, sizeof err.text) && *err.text);
    absence_clear(&absence);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    char *mode = input_line(&input);
    size_t text_size = 0;
    char *text = input_rest(&input, &text_size);
    json_t *value = strcmp(mode, "as-it-is") != 0 ? json_loadb(text, text_size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (json_is_object(value)) {
        mend(value, strcmp(mode, "changed") == 0);
        char *mended = json_dumps(value, JSON_COMPACT);
        MUST(mended);
        check(mended, strlen(mended));
        free(mended);
    } else {
        check(text, text_size);
    }
    json_decref(value);
    input_end(&input);
    return 0;
}
