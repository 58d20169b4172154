/* map_store.h - the sorted map in the database: leaves by payment (ledger.seal_leaf), and the parts that are kept (view.map_part) */
#ifndef ACQUIT_LEDGER_MAP_STORE_H
#define ACQUIT_LEDGER_MAP_STORE_H

#include "ledger/db.h"
#include "ledger/map_refresh.h"

enum {
    MAP_LOAD_PARTS = 8192,    /* parts read at once */
    MAP_BUILD_LEAVES = 16384, /* leaves read at once when the map is built from nothing */
};

/* What map_refresh() and map_prove() read. */
struct map_store {
    struct db *db;  /* borrowed */
    uint64_t below; /* only leaves before this position; 0: all there are */
};
struct map_source map_store_source(struct map_store *store);

/* The payments that have a leaf from `from` on and before `to`, in the order of their ids. The caller frees *ret. */
int map_store_touched(struct db *db, uint64_t from, uint64_t to, struct uuid **ret, size_t *ret_count,
                      struct err *err) MUST_CHECK;

/* The kept parts behind `after` (NULL: from the first on), at most MAP_LOAD_PARTS. Returns how many, *ret_last is the last one's; -1 with an
 * error, ERR_CONFLICT when they are not the parts of a map. */
int map_store_load(struct db *db, const struct uuid *after, struct map_parts *parts, struct uuid *ret_last,
                   struct err *err) MUST_CHECK;

/* One row of first, depth and root, placed; ERR_CONFLICT. */
int map_store_place(struct map_parts *parts, const struct db_result *rows, int row, struct err *err) MUST_CHECK;
/* The children in a column. */
int map_store_children(const struct db_result *rows, int row, int column, struct map_part *ret) MUST_CHECK;

/* Statements that keep these parts; what they say lives as long as *write. Returns how many. */
enum { MAP_STATEMENTS = 2, MAP_WRITE_PARAMS = 3 };
struct map_write {
    struct map_values {
        struct db_array firsts, depths;
        char *bytes; /* roots and children, as one bytea's text */
        size_t count;
        const char *params[MAP_WRITE_PARAMS];
    } values[MAP_STATEMENTS]; /* parts that there are; parts that there may not be */
};
size_t map_store_write(const struct map_changes *changes, struct map_write *write,
                       struct db_statement ret[static MAP_STATEMENTS]);
void map_write_clear(struct map_write *write);

/* All kept parts, gone. */
int map_store_clear(struct db *db, struct err *err) MUST_CHECK;

/* Leaves behind (*id, *slot) in their order, at most MAP_BUILD_LEAVES, as rows of id and slot. */
struct db_result *map_store_leaves(struct db *db, const char *id, const char *slot, struct err *err) MUST_CHECK;

#endif
