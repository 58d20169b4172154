/* proof.c - see proof.h */
#include "ledger/proof.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"

enum { HASH_TEXT_SIZE = 4 * ((SHA256_SIZE + 2) / 3) + 1 };
static const char *const KEY_MEMBERS[] = {"position", "proof", "statement"};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* --- the form --- */

int proof_unfit(struct err *err, const char *what)
{
    return err_set(err, ERR_CONFLICT, "%s", what);
}

bool proof_has(const json_t *object, const char *const *names, size_t count, const char *optional)
{
    size_t there = 0;
    for (size_t i = 0; i < count; i++) {
        bool has = json_object_get(object, names[i]);
        if (!has && (!optional || strcmp(names[i], optional) != 0))
            return false;
        there += has;
    }
    return json_object_size(object) == there;
}

json_t *proof_load(const char *bytes, size_t size, struct err *err)
{
    json_error_t why;
    if (size > RECEIPT_SIZE_MAX) {
        err_set(err, ERR_CONFLICT, "a receipt has at most %d bytes", RECEIPT_SIZE_MAX);
        return NULL;
    }
    json_t *value = json_loadb(size ? bytes : "", size, JSON_REJECT_DUPLICATES, &why);
    if (!value)
        err_set(err, ERR_CONFLICT, "the receipt is no JSON, or has a member twice: line %d, column %d", why.line,
                why.column);
    return value;
}

char *proof_text(const json_t *receipt)
{
    return json_dumps(receipt, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
}

json_t *proof_write_hashes(const struct hash *hashes, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        char text[HASH_TEXT_SIZE];
        base64_encode(hashes[i].bytes, SHA256_SIZE, text);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

int proof_read_hashes(const json_t *texts, struct hash *ret, size_t most, size_t *ret_count)
{
    *ret_count = 0;
    if (!json_is_array(texts) || json_array_size(texts) > most)
        return -1;
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const char *text = json_string_value(json_array_get(texts, i));
        size_t size = 0;
        if (!text || base64_decode(text, ret[i].bytes, SHA256_SIZE, &size) != 0 || size != SHA256_SIZE)
            return -1;
        ++*ret_count;
    }
    return 0;
}

/* --- making --- */

json_t *proof_key(const char *statement, uint64_t position, const struct merkle_proof *proof, uint64_t size,
                  const struct hash *root, struct err *err)
{
    struct hash leaf = key_change_leaf(statement);
    if (!merkle_included(&leaf, position, size, proof, root)) {
        err_set(err, ERR_CONFLICT, "the change of the key is not what was sealed at position %" PRIu64, position);
        return NULL;
    }
    return json_pack("{s:I, s:o, s:s}", "position", (json_int_t)position, "proof",
                     proof_write_hashes(proof->hashes, proof->count), "statement", statement);
}

static void take_lines(const struct checkpoint *head, struct proof_head *ret)
{
    ret->size = head->size;
    ret->root = head->root;
    for (size_t i = 1; i < head->line_count; i++)
        if (map_line_parse(head->lines[i], &ret->map) == 0)
            return;
}

int proof_read_head(const char *text, struct proof_head *ret)
{
    char copy[NOTE_SIZE_MAX];
    struct checkpoint head;
    *ret = (struct proof_head){0};
    if (strlen(text) >= sizeof copy)
        return -1;
    snprintf(copy, sizeof copy, "%s", text);
    if (checkpoint_read(copy, &head) != 0)
        return -1;
    take_lines(&head, ret);
    sha256_hex(text, strlen(text), ret->sha256);
    return 0;
}

/* --- checking --- */

/* A receipt's head carries the ledger's own signature alone, since nobody could tell whether another belongs there. */
static bool signed_once(const char *head)
{
    size_t size = note_text_size(head);
    const char *line_end = size ? strchr(head + size + 1, '\n') : NULL;
    return line_end && !line_end[1];
}

static bool is_among(const struct note_key *key, const struct note_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(key->name, keys[i].name) == 0 && memcmp(key->public_key, keys[i].public_key, ED25519_KEY_SIZE) == 0)
            return true;
    return false;
}

/* The key at the end of the statements, if one of the given keys is among theirs. */
static int follow_keys(const json_t *items, const struct note_key *keys, size_t key_count, struct note_key *ret,
                       struct err *err)
{
    bool trusted = false;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        struct key_change change;
        struct err why = {0};
        if (!proof_has(item, KEY_MEMBERS, COUNT(KEY_MEMBERS), NULL))
            return err_set(err, ERR_CONFLICT, "keys, %zu: it has not the members that a change of the key has", i + 1);
        if (key_change_open(json_text(item, "statement", ""), &change, &why) != 0)
            return err_set(err, ERR_CONFLICT, "keys, %zu: %s", i + 1, why.text);
        if (i > 0 && !is_among(&change.old_key, ret, 1))
            return err_set(err, ERR_CONFLICT, "keys, %zu: it does not follow the one before it", i + 1);
        trusted |= is_among(&change.old_key, keys, key_count) || is_among(&change.new_key, keys, key_count);
        *ret = change.new_key;
    }
    return trusted ? 0 : proof_unfit(err, "keys: none of the given keys is among them");
}

static int check_sealed(const json_t *items, const struct proof_head *head, struct err *err)
{
    json_int_t last = -1;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i), *position = json_object_get(item, "position");
        struct merkle_proof proof;
        struct hash leaf = key_change_leaf(json_text(item, "statement", ""));
        json_int_t at = json_integer_value(position);
        if (!json_is_integer(position) || at <= last ||
            proof_read_hashes(json_object_get(item, "proof"), proof.hashes, MERKLE_PROOF_MAX, &proof.count) != 0 ||
            !merkle_included(&leaf, (uint64_t)at, head->size, &proof, &head->root))
            return err_set(err, ERR_CONFLICT, "keys, %zu: it does not lead to the head's root", i + 1);
        last = at;
    }
    return 0;
}

static int open_head(const char *text, const struct note_key *keys, size_t key_count, struct proof_head *ret,
                     struct err *err)
{
    char copy[NOTE_SIZE_MAX];
    struct checkpoint checkpoint;
    const struct note_key *by;
    struct err why = {0};
    if (strlen(text) >= sizeof copy || !signed_once(text))
        return proof_unfit(err, "head: it is no checkpoint with one signature");
    snprintf(copy, sizeof copy, "%s", text);
    if (checkpoint_open(copy, keys, key_count, &checkpoint, &by, &why) != 0)
        return err_set(err, ERR_CONFLICT, "head: %s", why.text);
    if (strcmp(by->name, checkpoint.origin) != 0)
        return proof_unfit(err, "head: it is signed by a key that is another ledger's");
    if (checkpoint.line_count == 0 || seal_line_parse(checkpoint.lines[0], &ret->line) != 0)
        return proof_unfit(err, "head: it does not say which block it ends");
    ret->key = *by;
    take_lines(&checkpoint, ret);
    sha256_hex(text, strlen(text), ret->sha256);
    return 0;
}

int proof_check_head(const json_t *receipt, const struct note_key *keys, size_t key_count, struct proof_head *ret,
                     struct err *err)
{
    const json_t *items = json_object_get(receipt, "keys");
    struct note_key signer = {0};
    *ret = (struct proof_head){.changes = json_array_size(items)};
    if (items && (!json_is_array(items) || ret->changes == 0 || ret->changes > RECEIPT_KEYS_MAX))
        return proof_unfit(err, "keys: there are none, or too many");
    if (items && follow_keys(items, keys, key_count, &signer, err) != 0)
        return -1;
    if (open_head(json_text(receipt, "head", ""), items ? &signer : keys, items ? 1 : key_count, ret, err) != 0)
        return -1;
    return check_sealed(items, ret, err);
}
