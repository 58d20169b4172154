/* map_store.c - see map_store.h */
#include "ledger/map_store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

enum {
    NUMBER_SIZE = 24,
    ROOT_SIZE = 1 + SHA256_SIZE, /* kind and hash */
    RANGE_LEAVES_MAX = 1 << 20,  /* of one child; a payment has thousands of slots at most */
};

static const char *number(char ret[static NUMBER_SIZE], uint64_t value)
{
    snprintf(ret, NUMBER_SIZE, "%" PRIu64, value);
    return ret;
}

/* A bytea's text, "\x" and hex digits, as exactly so many bytes. */
static int read_bytes(const struct db_result *rows, int row, int column, uint8_t *ret, size_t size)
{
    const char *text = db_value(rows, row, column);
    return text && db_size(rows, row, column) == 2 + 2 * size ? hex_decode(text + 2, ret, size) : -1;
}

static void add_id(struct db_array *array, struct uuid id)
{
    char text[UUID_TEXT_SIZE];
    uuid_format(id, text);
    db_array_add(array, text);
}

/* --- leaves --- */

/* One statement that reads all of them. `order by` and `limit` have the index read for each range, which costs least by far. */
static char *range_sql(const struct map_store *store, const struct map_range *ranges, size_t count)
{
    struct db_array firsts = {0}, lasts = {0};
    for (size_t i = 0; i < count; i++) {
        add_id(&firsts, ranges[i].first);
        add_id(&lasts, ranges[i].last);
    }
    size_t size = 512 + 2 * (UUID_TEXT_SIZE + 2) * count;
    char *sql = mem_new(size, 1);
    snprintf(sql, size,
             "select r.n, l.payment_id, l.slot from unnest('%s'::uuid[], '%s'::uuid[]) with ordinality"
             " as r (first, last, n) cross join lateral (select payment_id, slot from ledger.seal_leaf"
             " where payment_id >= r.first and payment_id <= r.last and position < %" PRIu64
             " order by payment_id, slot limit %d) as l",
             db_array_text(&firsts), db_array_text(&lasts), store->below ? store->below : INT64_MAX, RANGE_LEAVES_MAX);
    db_array_free(&firsts);
    db_array_free(&lasts);
    return sql;
}

static int tell_row(struct db_row *row, map_slot_function *tell, void *told, struct err *err)
{
    int64_t range = db_take_int(row, 8);
    struct uuid id = db_take_uuid(row);
    struct text slot = db_take_text(row);
    if (!db_row_good(row) || !slot.data)
        return err_set(err, ERR_INTERNAL, "a leaf cannot be read");
    return tell(told, (size_t)(range - 1), id, slot.data, slot.size, err);
}

static int read_slots(void *arg, const struct map_range *ranges, size_t count, map_slot_function *tell, void *told,
                      struct err *err)
{
    const struct map_store *store = arg;
    struct db_row row;
    if (count == 0)
        return 0;
    char *sql = range_sql(store, ranges, count);
    int r = db_stream(store->db, sql, err);
    free(sql);
    if (r != 0)
        return -1;
    while ((r = db_stream_next(store->db, &row, err)) == 1)
        if (tell_row(&row, tell, told, err) != 0) {
            db_stream_end(store->db);
            return -1;
        }
    return r;
}

int map_store_touched(struct db *db, uint64_t from, uint64_t to, struct uuid **ret, size_t *ret_count, struct err *err)
{
    char first[NUMBER_SIZE], end[NUMBER_SIZE];
    const char *params[] = {number(first, from), number(end, to)};
    struct db_result *rows = db_query(db,
                                      "select distinct payment_id from ledger.seal_leaf where position >= $1::bigint"
                                      " and position < $2::bigint order by payment_id",
                                      2, params, err);
    if (!rows)
        return -1;
    *ret_count = (size_t)db_rows(rows);
    *ret = mem_new(*ret_count, sizeof **ret);
    for (int row = 0; row < db_rows(rows); row++)
        (*ret)[row] = db_uuid(rows, row, 0);
    db_result_free(rows);
    return 0;
}

struct db_result *map_store_leaves(struct db *db, const char *id, const char *slot, struct err *err)
{
    char most[NUMBER_SIZE];
    const char *params[] = {id, slot, number(most, MAP_BUILD_LEAVES)};
    return db_query(db,
                    "select payment_id, slot from ledger.seal_leaf where (payment_id, slot) > ($1::uuid, $2::text)"
                    " order by payment_id, slot limit $3::int",
                    3, params, err);
}

/* --- kept parts --- */

static int lost(struct err *err, const char *why)
{
    return err_set(err, ERR_CONFLICT, "the kept parts of the map are not those of one: %s", why);
}

int map_store_children(const struct db_result *rows, int row, int column, struct map_part *ret)
{
    uint8_t children[MAP_PART_SIZE];
    return read_bytes(rows, row, column, children, sizeof children) == 0
               ? map_part_decode(children, sizeof children, ret)
               : -1;
}

static char *parts_sql(const struct map_part *parts, size_t count)
{
    struct db_array firsts = {0};
    for (size_t i = 0; i < count; i++)
        add_id(&firsts, parts[i].first);
    size_t size = 512 + (UUID_TEXT_SIZE + 2) * count;
    char *sql = mem_new(size, 1);
    snprintf(sql, size,
             "select x.n, p.depth, p.children from unnest('%s'::uuid[]) with ordinality as x (first, n)"
             " join view.map_part p using (first)",
             db_array_text(&firsts));
    db_array_free(&firsts);
    return sql;
}

/* False when it is none of those that were asked for. */
static bool take_part(struct db_row *row, struct map_part *parts, size_t count)
{
    int64_t n = db_take_int(row, 8), depth = db_take_int(row, 2);
    struct text children = db_take_text(row);
    return db_row_good(row) && n > 0 && n <= (int64_t)count && depth == parts[n - 1].depth && children.data &&
           map_part_decode((const uint8_t *)children.data, children.size, &parts[n - 1]) == 0;
}

static int read_parts(void *arg, struct map_part *parts, size_t count, struct err *err)
{
    const struct map_store *store = arg;
    struct db_row row;
    size_t taken = 0;
    if (count == 0)
        return 0;
    char *sql = parts_sql(parts, count);
    int r = db_stream(store->db, sql, err);
    free(sql);
    if (r != 0)
        return -1;
    while ((r = db_stream_next(store->db, &row, err)) == 1)
        taken += take_part(&row, parts, count);
    return r < 0 ? -1 : taken == count ? 0 : lost(err, "one is missing, or has another form");
}

struct map_source map_store_source(struct map_store *store)
{
    return (struct map_source){read_parts, read_slots, store};
}

int map_store_place(struct map_parts *parts, const struct db_result *rows, int row, struct err *err)
{
    uint8_t root[ROOT_SIZE];
    struct map_node node;
    if (read_bytes(rows, row, 2, root, sizeof root) != 0 || root[0] > MAP_INNER)
        return lost(err, "the root of one is none");
    node.kind = (enum map_kind)root[0];
    memcpy(node.hash.bytes, root + 1, SHA256_SIZE);
    return map_parts_place(parts, db_uuid(rows, row, 0), (int)db_int(rows, row, 1), &node) == 0
               ? 0
               : lost(err, "two overlap");
}

int map_store_load(struct db *db, const struct uuid *after, struct map_parts *parts, struct uuid *ret_last,
                   struct err *err)
{
    char id[UUID_TEXT_SIZE], most[NUMBER_SIZE];
    const char *params[] = {after ? id : NULL, number(most, MAP_LOAD_PARTS)};
    if (after)
        uuid_format(*after, id);
    struct db_result *rows = db_query(db,
                                      "select first, depth, root from view.map_part where $1::uuid is null or first >"
                                      " $1::uuid order by first limit $2::int",
                                      2, params, err);
    if (!rows)
        return -1;
    int r = 0, count = db_rows(rows);
    for (int row = 0; r == 0 && row < count; row++)
        r = map_store_place(parts, rows, row, err);
    if (count > 0)
        *ret_last = db_uuid(rows, count - 1, 0);
    db_result_free(rows);
    return r == 0 ? count : -1;
}

/* --- writing --- */

enum { VALUE_SIZE = ROOT_SIZE + MAP_PART_SIZE };
#define VALUE_TEXT(from, size) "substr($3::bytea, 577 * (u.n::int - 1) + " #from ", " #size ")"
static_assert(VALUE_SIZE == 577 && ROOT_SIZE == 33 && MAP_PART_SIZE == 544, "the statements know these sizes");

/* All roots and children travel as one value, of which the database cuts pieces: that costs a fraction of arrays of them. */
static const char *const WRITES[MAP_STATEMENTS] = {
    "update view.map_part p set root = " VALUE_TEXT(1, 33) ", children = " VALUE_TEXT(
        34,
        544) " from unnest($1::uuid[], $2::smallint[]) with ordinality as u (first, depth, n) where p.first = u.first",
    "insert into view.map_part (first, depth, root, children) select u.first, u.depth, " VALUE_TEXT(
        1, 33) ", " VALUE_TEXT(34,
                               544) " from unnest($1::uuid[], $2::smallint[]) with ordinality as u (first, depth, n)"
                                    " on conflict (first) do update set depth = excluded.depth, root = excluded.root, "
                                    "children = excluded.children",
};

static void add_value(struct map_values *values, const struct map_part *part)
{
    uint8_t bytes[VALUE_SIZE];
    char depth[NUMBER_SIZE];
    struct map_node root = map_part_root(part);
    bytes[0] = (uint8_t)root.kind;
    memcpy(bytes + 1, root.hash.bytes, SHA256_SIZE);
    map_part_encode(part, bytes + ROOT_SIZE);
    if ((values->count & (values->count - 1)) == 0) /* doubles */
        values->bytes = mem_grow(values->bytes, 2 + 2 * VALUE_SIZE * (values->count ? 2 * values->count : 1) + 1, 1);
    memcpy(values->bytes, "\\x", 2);
    hex_encode(bytes, sizeof bytes, values->bytes + 2 + 2 * VALUE_SIZE * values->count++);
    add_id(&values->firsts, part->first);
    db_array_add(&values->depths, number(depth, (uint64_t)part->depth));
}

size_t map_store_write(const struct map_changes *changes, struct map_write *write,
                       struct db_statement ret[static MAP_STATEMENTS])
{
    size_t count = 0;
    *write = (struct map_write){0};
    for (size_t i = 0; i < changes->count; i++)
        add_value(&write->values[changes->fresh[i]], &changes->items[i]);
    for (size_t i = 0; i < MAP_STATEMENTS; i++) {
        struct map_values *values = &write->values[i];
        if (values->count == 0)
            continue;
        values->params[0] = db_array_text(&values->firsts);
        values->params[1] = db_array_text(&values->depths);
        values->params[2] = values->bytes;
        ret[count++] = (struct db_statement){WRITES[i], MAP_WRITE_PARAMS, values->params};
    }
    return count;
}

void map_write_clear(struct map_write *write)
{
    for (size_t i = 0; i < MAP_STATEMENTS; i++) {
        db_array_free(&write->values[i].firsts);
        db_array_free(&write->values[i].depths);
        free(write->values[i].bytes);
    }
    *write = (struct map_write){0};
}

int map_store_clear(struct db *db, struct err *err)
{
    const struct db_statement statement = {.sql = "truncate view.map_part"};
    return db_run(db, true, &statement, 1, NULL, err);
}
