/* map_keep.c - see map_keep.h */
#include "ledger/map_keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "ledger/saga.h"

enum { PAYMENT_FACTS = 8 /* about as many a payment has */ };

enum state {
    LOADING,   /* the kept parts are read */
    BUILDING,  /* new ones are made */
    FOLLOWING, /* what was sealed meanwhile */
    READY,
};

struct map_keep {
    struct db *db;
    struct map_store store;
    enum state state;
    struct map_parts *parts;
    struct map_build *build;
    struct uuid last; /* LOADING: the last part; BUILDING: the last leaf's payment, and its slot */
    char slot[SLOT_SIZE];
    bool begun;             /* there is a last one */
    bool distrusted;        /* what is kept is not what its roots say */
    uint64_t size;          /* leaves that are in it; while BUILDING: that were there when it began */
    uint64_t next_size;     /* with what is being written */
    struct map_write write; /* what is being written */
    struct db_statement statements[MAP_STATEMENTS];
    size_t statement_count;
};

struct map_keep *map_keep_new(struct db *db)
{
    struct map_keep *keep = mem_new(1, sizeof *keep);
    keep->db = db;
    keep->store.db = db;
    return keep;
}

void map_keep_reset(struct map_keep *keep)
{
    map_parts_free(keep->parts);
    map_build_free(keep->build);
    map_write_clear(&keep->write);
    *keep = (struct map_keep){.db = keep->db, .store = keep->store};
}

static void fail(struct map_keep *keep, const struct err *err)
{
    map_keep_reset(keep);
    keep->distrusted = err->code == ERR_CONFLICT;
}

void map_keep_free(struct map_keep *keep)
{
    if (!keep)
        return;
    map_keep_reset(keep);
    free(keep);
}

/* Keeps parts that no head has to state. */
static int write_now(struct map_keep *keep, struct map_changes *changes, struct err *err)
{
    struct map_write write;
    struct db_statement statements[MAP_STATEMENTS];
    size_t count = map_store_write(changes, &write, statements);
    int r = count > 0 ? db_run(keep->db, true, statements, count, NULL, err) : 0;
    map_write_clear(&write);
    map_changes_clear(changes);
    return r;
}

/* --- finding it as it was left --- */

static bool is_stated(struct map_keep *keep, const struct map_line *stated)
{
    if (stated->size == 0 || !map_parts_whole(keep->parts))
        return false;
    struct map_node root = map_parts_root(keep->parts);
    return hash_equal(&root.hash, &stated->root);
}

static int begin_building(struct map_keep *keep, uint64_t size, struct err *err)
{
    map_parts_free(keep->parts);
    keep->parts = NULL;
    if (map_store_clear(keep->db, err) != 0)
        return -1;
    keep->state = BUILDING;
    keep->begun = keep->distrusted = false;
    keep->size = size;
    keep->build = map_build_new(size / PAYMENT_FACTS);
    return 1;
}

static int load(struct map_keep *keep, const struct map_line *stated, uint64_t size, struct err *err)
{
    struct err why = {0};
    if (keep->distrusted)
        return begin_building(keep, size, err);
    if (!keep->parts)
        keep->parts = map_parts_new_bare();
    int count = map_store_load(keep->db, keep->begun ? &keep->last : NULL, keep->parts, &keep->last, &why);
    if (count < 0 && why.code != ERR_CONFLICT)
        return err_set(err, why.code, "%s", why.text);
    keep->begun = count > 0;
    if (count == MAP_LOAD_PARTS)
        return 1;
    if (count < 0 || !is_stated(keep, stated))
        return begin_building(keep, size, err);
    keep->size = stated->size;
    keep->state = FOLLOWING;
    return 1;
}

/* --- building it anew --- */

static int add_leaves(struct map_keep *keep, const struct db_result *rows, struct map_changes *changes, struct err *err)
{
    for (int row = 0; row < db_rows(rows); row++)
        if (map_build_add(keep->build, db_uuid(rows, row, 0), db_value(rows, row, 1), db_size(rows, row, 1), changes) !=
            0)
            return err_set(err, ERR_INTERNAL, "leaves of the map do not come in their order");
    return 0;
}

static int build(struct map_keep *keep, struct err *err)
{
    static const char first[] = "00000000-0000-0000-0000-000000000000";
    struct map_changes changes = {0};
    char id[UUID_TEXT_SIZE];
    uuid_format(keep->last, id);
    struct db_result *rows = map_store_leaves(keep->db, keep->begun ? id : first, keep->begun ? keep->slot : "", err);
    if (!rows)
        return -1;
    int count = db_rows(rows), r = add_leaves(keep, rows, &changes, err);
    if (r == 0 && count > 0) {
        keep->last = db_uuid(rows, count - 1, 0);
        keep->begun = true;
        snprintf(keep->slot, sizeof keep->slot, "%s", db_value(rows, count - 1, 1));
    }
    if (r == 0 && count < MAP_BUILD_LEAVES) {
        keep->parts = map_build_end(keep->build, &changes);
        map_build_free(keep->build);
        keep->build = NULL;
        keep->state = FOLLOWING;
    }
    db_result_free(rows);
    if (r == 0)
        return write_now(keep, &changes, err) == 0 ? 1 : -1;
    map_changes_clear(&changes);
    return -1;
}

/* --- following --- */

static int refresh(struct map_keep *keep, uint64_t to, struct map_changes *changes, struct err *err)
{
    struct uuid *touched = NULL;
    size_t count = 0;
    const struct map_source source = map_store_source(&keep->store);
    if (map_store_touched(keep->db, keep->size, to, &touched, &count, err) != 0)
        return -1;
    int r = map_refresh(keep->parts, &source, touched, count, changes, err);
    free(touched);
    return r;
}

static int follow(struct map_keep *keep, uint64_t size, struct err *err)
{
    struct map_changes changes = {0};
    if (size - keep->size <= MAP_FOLLOW_LEAVES) {
        keep->state = READY;
        return 0;
    }
    uint64_t to = keep->size + MAP_FOLLOW_LEAVES;
    int r = refresh(keep, to, &changes, err);
    if (r == 0)
        r = write_now(keep, &changes, err);
    else
        map_changes_clear(&changes);
    keep->size = to;
    return r == 0 ? 1 : -1;
}

int map_keep_step(struct map_keep *keep, const struct map_line *stated, uint64_t size, struct err *err)
{
    int r = 0;
    switch (keep->state) {
    case LOADING:
        r = load(keep, stated, size, err);
        break;
    case BUILDING:
        r = build(keep, err);
        break;
    case FOLLOWING:
    case READY:
        r = follow(keep, size, err);
        break;
    }
    if (r < 0)
        fail(keep, err);
    return r;
}

int map_keep_refresh(struct map_keep *keep, uint64_t size, struct map_line *ret_line, struct err *err)
{
    struct map_changes changes = {0};
    map_write_clear(&keep->write);
    int r = refresh(keep, size, &changes, err);
    if (r == 0) {
        *ret_line = (struct map_line){.size = size, .root = map_parts_root(keep->parts).hash};
        keep->statement_count = map_store_write(&changes, &keep->write, keep->statements);
        keep->next_size = size;
    }
    map_changes_clear(&changes);
    if (r != 0)
        fail(keep, err);
    return r;
}

size_t map_keep_statements(const struct map_keep *keep, struct db_statement ret[static MAP_STATEMENTS])
{
    memcpy(ret, keep->statements, keep->statement_count * sizeof *ret);
    return keep->statement_count;
}

void map_keep_written(struct map_keep *keep)
{
    map_write_clear(&keep->write);
    keep->size = keep->next_size;
}

uint64_t map_keep_size(const struct map_keep *keep)
{
    return keep->size;
}
