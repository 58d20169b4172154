/* verify_keys.c - whose signature a head has to have: the ledger's keys, one after the other (key_change.h)
 *
 * Each change of the key is a leaf of the tree, and its statement stands in ledger.seal_key. If one of the keys that the caller trusts is among
 * those of the statements, these say for every size of the tree by which of them its head is signed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ledger/key_change.h"
#include "ledger/verify_internal.h"

static bool same_key(const struct note_key *a, const struct note_key *b)
{
    return strcmp(a->name, b->name) == 0 && memcmp(a->public_key, b->public_key, ED25519_KEY_SIZE) == 0;
}

static bool is_given(const struct verify *verify, const struct note_key *key)
{
    for (size_t i = 0; i < verify->options->key_count; i++)
        if (same_key(key, &verify->options->keys[i]))
            return true;
    return false;
}

/* The next statement, as far as they lead one to the next. */
static bool add_change(struct verify *verify, struct ledger_keys *keys, int64_t position, const char *statement)
{
    struct key_change change;
    struct err why = {0};
    if (keys->count + 1 >= LEDGER_KEYS_MAX || key_change_open(statement, &change, &why) != 0) {
        verify_fault(verify, VERIFY_KEY, NOWHERE, "the change of the key at position %" PRId64 ": %s", position,
                     *why.text ? why.text : "there are too many");
        return false;
    }
    if (keys->count > 0 && !same_key(&change.old_key, &keys->items[keys->count - 1].key)) {
        verify_fault(verify, VERIFY_KEY, NOWHERE,
                     "the change of the key at position %" PRId64 " is not by the key that was the ledger's then",
                     position);
        return false;
    }
    if (keys->count == 0)
        keys->items[keys->count++].key = change.old_key;
    keys->items[keys->count - 1].until = (uint64_t)position;
    keys->items[keys->count++] = (struct ledger_key){.key = change.new_key, .until = UINT64_MAX};
    return true;
}

static struct db_result *read_statements(struct db *db, struct err *err)
{
    return db_query(db, "select position, statement from ledger.seal_key order by position", 0, NULL, err);
}

int ledger_keys_read(struct verify *verify, struct err *err)
{
    struct ledger_keys *keys = &verify->keys;
    struct db *db = db_new(verify->options->database, err);
    struct db_result *rows = db ? read_statements(db, err) : NULL;
    bool trusted = false;
    *keys = (struct ledger_keys){.statements = rows ? db_rows(rows) : 0};
    for (int row = 0; rows && row < db_rows(rows); row++)
        if (!add_change(verify, keys, db_int(rows, row, 0), db_value(rows, row, 1)))
            break;
    for (size_t i = 0; i < keys->count; i++)
        trusted |= is_given(verify, &keys->items[i].key);
    if (!trusted) /* then what they say counts for nothing */
        keys->count = 0;
    bool answered = rows;
    db_result_free(rows);
    db_free(db);
    return answered ? 0 : -1;
}

int ledger_keys_recheck(struct verify *verify, struct err *err)
{
    struct db_result *rows = db_query(verify->db, "select count(*) from ledger.seal_key", 0, NULL, err);
    if (!rows)
        return -1;
    bool same = db_int(rows, 0, 0) == verify->keys.statements;
    db_result_free(rows);
    return same ? 0 : err_set(err, ERR_AGAIN, "the key is being changed at this moment");
}

int ledger_keys_open(const struct verify *verify, char *text, struct checkpoint *ret, struct err *err)
{
    struct note_key keys[LEDGER_KEYS_MAX];
    const struct ledger_keys *known = &verify->keys;
    const struct note_key *by;
    for (size_t i = 0; i < known->count; i++)
        keys[i] = known->items[i].key;
    if (checkpoint_open(text, known->count ? keys : verify->options->keys,
                        known->count ? known->count : verify->options->key_count, ret, &by, err) != 0)
        return -1;
    if (strcmp(ret->origin, by->name) != 0)
        return err_set(err, ERR_INVALID, "it is of the log %s, the key of %s", ret->origin, by->name);
    if (known->count == 0)
        return 0;
    size_t i = 0; /* the first that was the ledger's long enough */
    while (known->items[i].until < ret->size)
        i++;
    return by == &keys[i]
               ? 0
               : err_set(err, ERR_INVALID,
                         "it is signed by a key that was not the ledger's when it had %" PRIu64 " facts", ret->size);
}

bool ledger_keys_fill(const struct verify *verify, uint64_t first, uint64_t end)
{
    uint64_t changes = 0;
    for (size_t i = 0; i + 1 < verify->keys.count; i++)
        changes += verify->keys.items[i].until >= first && verify->keys.items[i].until < end;
    return changes == end - first;
}

/* --- their leaves --- */

/* Both ways: statements whose leaf is another, and leaves of no payment that have no statement. */
#define PAIRS                                                                                                          \
    "select coalesce(k.position, l.position), k.statement, l.hash, l.slot is not distinct from 'key:' || k.n,"         \
    " l.payment_id is not distinct from '" KEY_CHANGE_PAYMENT "'::uuid"                                                \
    " from (select *, row_number() over (order by position) as n from ledger.seal_key where position < $1::bigint) k"  \
    " full join (select l.* from ledger.seal_leaf l where l.position < $1::bigint"                                     \
    " and (l.payment_id = '" KEY_CHANGE_PAYMENT "'::uuid or l.position in (select position from ledger.seal_key))) l"  \
    " on l.position = k.position order by 1"
enum { POSITION, STATEMENT, HASH, SLOT_FITS, PAYMENT_FITS };

static bool is_leaf_of(const struct db_result *rows, int row)
{
    const char *statement = db_value(rows, row, STATEMENT), *hash = db_value(rows, row, HASH);
    char expected[2 + SHA256_HEX_SIZE] = "\\x";
    if (!statement || !hash)
        return false;
    hex_encode(key_change_leaf(statement).bytes, SHA256_SIZE, expected + 2);
    return strcmp(hash, expected) == 0;
}

int verify_keys(struct verify *verify, struct err *err)
{
    char size[VERIFY_NUMBER_SIZE];
    const char *params[] = {verify_number(size, (int64_t)verify->size)};
    struct db_result *rows = db_query(verify->db, PAIRS, 1, params, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows); row++)
        if (!is_leaf_of(rows, row) || !db_bool(rows, row, SLOT_FITS) || !db_bool(rows, row, PAYMENT_FITS))
            verify_fault(verify, VERIFY_KEY, NOWHERE,
                         "the change of the key at position %" PRId64 " is not what was sealed there",
                         db_int(rows, row, POSITION));
    db_result_free(rows);
    return 0;
}
