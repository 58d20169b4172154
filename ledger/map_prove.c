/* map_prove.c - see map_prove.h */
#include "ledger/map_prove.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Head and parts change together, so one statement reads both; leaves never change, and are read by their positions afterwards. */
#define SNAPSHOT                                                                                                       \
    "select null::uuid, null::int, null::bytea, null::bytea,"                                                          \
    " (select head from ledger.seal order by height desc limit 1)"                                                     \
    " union all select p.first, p.depth, p.root, case when p.first = (select o.first from view.map_part o"             \
    " where o.first <= $1::uuid order by o.first desc limit 1) then p.children end, null from view.map_part p"
enum { FIRST, DEPTH, ROOT, CHILDREN, HEAD };

struct snapshot {
    struct map_parts *parts;
    struct map_part own; /* of the payment's place */
    struct map_store store;
};

static int take_head(const struct db_result *rows, int row, struct map_answer *ret, struct err *err)
{
    const char *text = db_value(rows, row, HEAD);
    if (!text)
        return err_set(err, ERR_AGAIN, "nothing is sealed yet (is seal.origin set, and does the keeper run?)");
    if (db_size(rows, row, HEAD) >= sizeof ret->head || proof_read_head(text, &ret->read) != 0)
        return err_set(err, ERR_CONFLICT, "the last head of the ledger cannot be read");
    if (ret->read.map.size == 0)
        return err_set(err, ERR_AGAIN, "the last head states no map: the keeper builds it for the first time");
    snprintf(ret->head, sizeof ret->head, "%s", text);
    return 0;
}

static int take_rows(const struct db_result *rows, struct snapshot *snapshot, struct map_answer *ret, struct err *err)
{
    for (int row = 0; row < db_rows(rows); row++) {
        if (!db_value(rows, row, FIRST)) {
            if (take_head(rows, row, ret, err) != 0)
                return -1;
            continue;
        }
        if (map_store_place(snapshot->parts, rows, row, err) != 0)
            return -1;
        if (!db_value(rows, row, CHILDREN))
            continue;
        snapshot->own.first = db_uuid(rows, row, FIRST);
        snapshot->own.depth = (int)db_int(rows, row, DEPTH);
        if (map_store_children(rows, row, CHILDREN, &snapshot->own) != 0)
            return err_set(err, ERR_CONFLICT, "a kept part of the map has not the form of one");
    }
    return map_parts_whole(snapshot->parts) ? 0 : err_set(err, ERR_AGAIN, "the keeper is building the map");
}

static int read_own(void *arg, struct map_part *parts, size_t count, struct err *err)
{
    const struct snapshot *snapshot = arg;
    if (count != 1 || !uuid_equal(parts->first, snapshot->own.first) || parts->depth != snapshot->own.depth)
        return err_set(err, ERR_CONFLICT, "the kept parts of the map are not those of one");
    *parts = snapshot->own;
    return 0;
}

static int read_leaves(void *arg, const struct map_range *ranges, size_t count, map_slot_function *tell, void *told,
                       struct err *err)
{
    struct snapshot *snapshot = arg;
    const struct map_source source = map_store_source(&snapshot->store);
    return source.read_slots(source.arg, ranges, count, tell, told, err);
}

static int add_slot(void *arg, size_t range, struct uuid id, const char *slot, size_t size, struct err *err)
{
    (void)range;
    (void)id;
    (void)err;
    json_array_append_new(arg, json_stringn(slot, size));
    return 0;
}

static int prove(struct snapshot *snapshot, struct uuid id, struct map_answer *ret, struct err *err)
{
    const struct map_source source = {read_own, read_leaves, snapshot};
    const struct map_range own = {id, id};
    struct hash root;
    if (map_prove(snapshot->parts, &source, id, &ret->proof, err) != 0)
        return -1;
    if (!map_proof_root(&ret->proof, id, &root) || !hash_equal(&root, &ret->read.map.root))
        return err_set(
            err, ERR_CONFLICT,
            "the map of the ledger is not the one that its last head states; `acquit ledger verify` says more");
    if (ret->proof.end.kind != MAP_LEAF || !uuid_equal(ret->proof.id, id))
        return 0;
    ret->slots = json_array();
    return read_leaves(snapshot, &own, 1, add_slot, ret->slots, err);
}

int map_prove_payment(struct db *db, struct uuid id, struct map_answer *ret, struct err *err)
{
    char text[UUID_TEXT_SIZE];
    const char *params[] = {text};
    *ret = (struct map_answer){0};
    uuid_format(id, text);
    struct db_result *rows = db_query(db, SNAPSHOT, 1, params, err);
    if (!rows)
        return -1;
    struct snapshot snapshot = {.parts = map_parts_new_bare(), .store = {.db = db}};
    int r = take_rows(rows, &snapshot, ret, err);
    db_result_free(rows);
    snapshot.store.below = ret->read.map.size;
    if (r == 0)
        r = prove(&snapshot, id, ret, err);
    if (r != 0) {
        json_decref(ret->slots);
        ret->slots = NULL;
    }
    map_parts_free(snapshot.parts);
    return r;
}
