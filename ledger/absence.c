/* absence.c - see absence.h */
#include "ledger/absence.h"

#include <inttypes.h>
#include <string.h>

#include "common/json.h"

const char ABSENCE_FORMAT[] = "acquit-absence";
const char ABSENCE_ABOUT[] =
    "Proof that this payment has no fact of this slot among the first facts of a ledger, as many as the map in its "
    "signed head below is of (docs/sealing.md). What was recorded later is not seen.";
static const char *const MEMBERS[] = {"format", "version", "payment", "slot", "about", "head", "keys", "way", "end"};
static const char *const END_MEMBERS[] = {"payment", "slots"};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { HASH_TEXT_SIZE = 4 * ((SHA256_SIZE + 2) / 3) + 1 };

/* --- slots --- */

bool absence_slot_valid(const char *slot)
{
    size_t size = strlen(slot);
    return size > 0 && size < SLOT_SIZE && strspn(slot, "abcdefghijklmnopqrstuvwxyz0123456789:._-") == size;
}

static bool is_slot(const json_t *value)
{
    return json_is_string(value) && absence_slot_valid(json_string_value(value));
}

/* Their hash; -1 when they are no slots in the order of their bytes. */
static int hash_slots(const json_t *list, struct hash *ret)
{
    struct map_slots slots = {0};
    bool good = json_array_size(list) > 0 && json_array_size(list) <= ABSENCE_SLOTS_MAX;
    for (size_t i = 0; good && i < json_array_size(list); i++) {
        const json_t *slot = json_array_get(list, i);
        good = is_slot(slot) &&
               (i == 0 || strcmp(json_string_value(json_array_get(list, i - 1)), json_string_value(slot)) < 0);
        if (good)
            map_slots_add(&slots, json_string_value(slot), json_string_length(slot));
    }
    *ret = map_slots_end(&slots);
    map_slots_free(&slots);
    return good ? 0 : -1;
}

static bool has_slot(const json_t *list, const char *slot)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), slot) == 0)
            return true;
    return false;
}

/* --- making --- */

static json_t *write_end(struct uuid payment, const struct map_proof *proof, json_t *slots)
{
    char id[UUID_TEXT_SIZE], text[HASH_TEXT_SIZE];
    if (proof->end.kind == MAP_EMPTY)
        return json_null();
    uuid_format(proof->id, id);
    if (uuid_equal(proof->id, payment))
        return json_pack("{s:s, s:O}", "payment", id, "slots", slots);
    base64_encode(proof->slots.bytes, SHA256_SIZE, text);
    return json_pack("{s:s, s:s}", "payment", id, "slots", text);
}

/* Whoever gets it will look at the same. */
static int check_parts(struct uuid payment, const char *slot, const struct map_line *map, const struct map_proof *proof,
                       const json_t *slots, struct err *err)
{
    bool own = proof->end.kind == MAP_LEAF && uuid_equal(proof->id, payment);
    struct hash hash, root;
    if (map->size == 0)
        return err_set(err, ERR_CONFLICT, "the head states no map");
    if (!map_proof_root(proof, payment, &root) || !hash_equal(&root, &map->root) ||
        (own && (hash_slots(slots, &hash) != 0 || !hash_equal(&hash, &proof->slots))))
        return err_set(err, ERR_CONFLICT, "the map in the ledger is not the one that its last head states");
    if (own && has_slot(slots, slot))
        return err_set(err, ERR_NOT_FOUND, "%s of this payment stands in the ledger", slot);
    return 0;
}

json_t *absence_make(struct uuid payment, const char *slot, const char *head, json_t *keys,
                     const struct map_proof *proof, json_t *slots, struct err *err)
{
    struct proof_head read;
    char id[UUID_TEXT_SIZE];
    json_t *made = NULL;
    uuid_format(payment, id);
    if (proof_read_head(head, &read) != 0)
        err_set(err, ERR_CONFLICT, "the head cannot be read");
    else if (check_parts(payment, slot, &read.map, proof, slots, err) == 0)
        made = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:O*, s:o, s:o}", "format", ABSENCE_FORMAT, "version",
                         ABSENCE_VERSION, "payment", id, "slot", slot, "about", ABSENCE_ABOUT, "head", head, "keys",
                         keys, "way", proof_write_hashes(proof->siblings, (size_t)proof->count), "end",
                         write_end(payment, proof, slots));
    json_decref(keys);
    json_decref(slots);
    return made;
}

/* --- checking --- */

static int check_form(const json_t *value, struct err *err)
{
    if (!proof_has(value, MEMBERS, COUNT(MEMBERS), "keys"))
        return proof_unfit(err, "the receipt lacks a member, or has one more than it should");
    if (strcmp(json_text(value, "format", ""), ABSENCE_FORMAT) != 0 || json_int(value, "version", 0) != ABSENCE_VERSION)
        return proof_unfit(err, "format, version: this is no receipt of an absence, version 1");
    if (strcmp(json_text(value, "about", ""), ABSENCE_ABOUT) != 0)
        return proof_unfit(err, "about: the text is not that of a receipt");
    if (!is_slot(json_object_get(value, "slot")))
        return proof_unfit(err, "slot: it is none");
    return 0;
}

/* An id in the one way in which it is written. */
static int read_id(const json_t *object, struct uuid *ret)
{
    char again[UUID_TEXT_SIZE];
    const char *text = json_text(object, "payment", "");
    if (uuid_parse(text, ret) != 0)
        return -1;
    uuid_format(*ret, again);
    return strcmp(again, text) == 0 ? 0 : -1;
}

static int read_end(struct absence *absence, struct map_proof *ret, struct err *err)
{
    const json_t *end = json_object_get(absence->value, "end"), *slots = json_object_get(end, "slots");
    size_t size = 0;
    if (json_is_null(end))
        return 0;
    ret->end.kind = MAP_LEAF;
    if (!proof_has(end, END_MEMBERS, COUNT(END_MEMBERS), NULL) || read_id(end, &ret->id) != 0)
        return proof_unfit(err, "end: it has not the members of one");
    if (!uuid_equal(ret->id, absence->payment)) {
        const char *text = json_string_value(slots);
        return text && base64_decode(text, ret->slots.bytes, SHA256_SIZE, &size) == 0 && size == SHA256_SIZE
                   ? 0
                   : proof_unfit(err, "end: the slots of another payment are no hash");
    }
    if (!json_is_array(slots) || hash_slots(slots, &ret->slots) != 0)
        return proof_unfit(err, "end: the payment's slots are no slots in their order");
    if (has_slot(slots, absence->slot))
        return proof_unfit(err, "end: the slot is among those that the payment has");
    absence->slots = slots;
    return 0;
}

static int check_way(struct absence *absence, struct err *err)
{
    struct map_proof proof = {0};
    struct hash root;
    size_t count;
    if (proof_read_hashes(json_object_get(absence->value, "way"), proof.siblings, MAP_BITS, &count) != 0)
        return proof_unfit(err, "way: it is no list of hashes");
    proof.count = (int)count;
    if (read_end(absence, &proof, err) != 0)
        return -1;
    if (!map_proof_root(&proof, absence->payment, &root) || !hash_equal(&root, &absence->head.map.root))
        return proof_unfit(err, "way: it does not lead to the head's map; the payment, its slots, the end or the way "
                                "is not what was sealed");
    return 0;
}

int absence_check(const char *bytes, size_t size, const struct note_key *keys, size_t key_count, struct absence *ret,
                  struct err *err)
{
    *ret = (struct absence){.value = proof_load(bytes, size, err)};
    if (!ret->value || check_form(ret->value, err) != 0)
        return -1;
    ret->slot = json_text(ret->value, "slot", "");
    if (read_id(ret->value, &ret->payment) != 0)
        return proof_unfit(err, "payment: it is no id");
    if (proof_check_head(ret->value, keys, key_count, &ret->head, err) != 0)
        return -1;
    if (ret->head.map.size == 0 || ret->head.map.size > ret->head.size)
        return proof_unfit(err, "head: it states no map of its facts");
    return check_way(ret, err);
}

void absence_clear(struct absence *absence)
{
    json_decref(absence->value);
    *absence = (struct absence){0};
}
