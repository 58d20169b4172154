/* verify_rows.c - which rows of a segment are not what was sealed?
 *
 * Asked only where the sums differ (verify_sum.c). Two lists side by side: facts in the order of (xid, seq), and the leaves in theirs. Where
 * they agree, the fact's hash, computed anew, has to be the leaf's. What is missing of the leaves was told before.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/key_change.h"
#include "ledger/leaf.h"
#include "ledger/verify_internal.h"

enum { PAGE_ROWS = 2048, HASH_TEXT_SIZE = 2 + SHA256_HEX_SIZE };

/* Rows of a statement that goes on from a key, page by page. */
struct list {
    struct db_result *rows;
    int row;
    bool ended;
};

struct block_end {
    int64_t height;
    uint64_t size;
    struct place last;
};

struct rows {
    struct verify *verify;
    uint64_t position, end;   /* of the next leaf; the segment's */
    struct place after, last; /* facts are read from behind this one; the segment's */
    struct list leaves, facts, blocks;
    struct block_end block;
    bool known; /* `at` is the place of the last leaf's fact */
    struct place at;
    bool told; /* something, here or where it belongs */
};

/* --- pages --- */

enum { LEAF_POSITION, LEAF_PAYMENT, LEAF_SLOT, LEAF_HASH };
enum { COLUMN_PAYMENT, COLUMN_SLOT, COLUMN_XID = 6, COLUMN_SEQ = 7 };

static const char *unsigned_number(char ret[static VERIFY_NUMBER_SIZE], uint64_t value)
{
    snprintf(ret, VERIFY_NUMBER_SIZE, "%" PRIu64, value);
    return ret;
}

static struct db_result *read_leaves(const struct rows *rows, struct err *err)
{
    char from[VERIFY_NUMBER_SIZE], to[VERIFY_NUMBER_SIZE], most[VERIFY_NUMBER_SIZE];
    const char *params[] = {unsigned_number(from, rows->position), unsigned_number(to, rows->end),
                            verify_number(most, PAGE_ROWS)};
    return db_query(rows->verify->db,
                    "select position, payment_id, slot, hash from ledger.seal_leaf where position >= $1::bigint"
                    " and position < $2::bigint and payment_id <> '" KEY_CHANGE_PAYMENT
                    "' order by position limit $3::int",
                    3, params, err);
}

static struct db_result *read_facts_page(const struct rows *rows, struct err *err)
{
    char numbers[5][VERIFY_NUMBER_SIZE];
    const char *params[] = {unsigned_number(numbers[0], rows->after.xid), verify_number(numbers[1], rows->after.seq),
                            unsigned_number(numbers[2], rows->last.xid), verify_number(numbers[3], rows->last.seq),
                            verify_number(numbers[4], PAGE_ROWS)};
    return db_query(rows->verify->db,
                    "select " LEAF_COLUMNS
                    " from ledger.event e where (e.xid, e.seq) > ($1::text::xid8, $2::text::bigint)"
                    " and (e.xid, e.seq) <= ($3::text::xid8, $4::text::bigint) order by e.xid, e.seq limit $5::int",
                    5, params, err);
}

static struct db_result *read_blocks_page(const struct rows *rows, struct err *err)
{
    char after[VERIFY_NUMBER_SIZE], most[VERIFY_NUMBER_SIZE];
    const char *params[] = {unsigned_number(after, rows->block.size), verify_number(most, PAGE_ROWS)};
    return db_query(rows->verify->db,
                    "select height, size, last_xid, last_seq from ledger.seal where size > $1::bigint"
                    " order by size, height limit $2::int",
                    2, params, err);
}

static bool has_row(const struct list *list)
{
    return list->rows && list->row < db_rows(list->rows);
}

static int turn_page(struct list *list, struct db_result *rows)
{
    db_result_free(list->rows);
    list->rows = rows;
    list->row = 0;
    list->ended = rows && db_rows(rows) == 0;
    return rows ? 0 : -1;
}

/* Both lists have a row, unless they have ended. */
static int fill(struct rows *rows, struct err *err)
{
    if (!has_row(&rows->leaves) && !rows->leaves.ended && turn_page(&rows->leaves, read_leaves(rows, err)) != 0)
        return -1;
    if (has_row(&rows->facts) || rows->facts.ended)
        return 0;
    return turn_page(&rows->facts, read_facts_page(rows, err));
}

static const char *fact_value(const struct rows *rows, int column)
{
    return db_value(rows->facts.rows, rows->facts.row, column);
}

static const char *leaf_value(const struct rows *rows, int column)
{
    return db_value(rows->leaves.rows, rows->leaves.row, column);
}

static struct place place_of(const char *xid, const char *seq)
{
    return (struct place){strtoull(xid, NULL, 10), strtoll(seq, NULL, 10)};
}

static void next_fact(struct rows *rows)
{
    rows->after = place_of(fact_value(rows, COLUMN_XID), fact_value(rows, COLUMN_SEQ));
    rows->facts.row++;
}

/* --- faults --- */

#define TELL(rows, ...)                                                                                                \
    do {                                                                                                               \
        (rows)->told = true;                                                                                           \
        verify_fault((rows)->verify, __VA_ARGS__);                                                                     \
    } while (0)

static struct verify_place place_of_leaf(const struct rows *rows)
{
    return (struct verify_place){leaf_value(rows, LEAF_PAYMENT), leaf_value(rows, LEAF_SLOT), rows->block.height};
}

static struct verify_place place_of_fact(const struct rows *rows)
{
    return (struct verify_place){fact_value(rows, COLUMN_PAYMENT), fact_value(rows, COLUMN_SLOT), rows->block.height};
}

/* --- blocks --- */

static int next_block(struct rows *rows, struct err *err)
{
    if (!has_row(&rows->blocks) && !rows->blocks.ended && turn_page(&rows->blocks, read_blocks_page(rows, err)) != 0)
        return -1;
    if (!has_row(&rows->blocks)) {
        rows->block = (struct block_end){.height = -1, .size = UINT64_MAX};
        return 0;
    }
    const struct db_result *page = rows->blocks.rows;
    int row = rows->blocks.row++;
    rows->block = (struct block_end){.height = db_int(page, row, 0),
                                     .size = (uint64_t)db_int(page, row, 1),
                                     .last = place_of(db_value(page, row, 2), db_value(page, row, 3))};
    return 0;
}

/* The blocks that end with the leaves read so far. */
static int end_blocks(struct rows *rows, struct err *err)
{
    while (rows->position >= rows->block.size) {
        if (rows->known && rows->position == rows->block.size && place_compare(rows->at, rows->block.last) != 0)
            TELL(rows, VERIFY_BLOCK, IN_BLOCK(rows->block.height),
                 "it says that it ends with row %" PRId64 " of transaction %" PRIu64 ", not %" PRId64 " of %" PRIu64,
                 rows->block.last.seq, rows->block.last.xid, rows->at.seq, rows->at.xid);
        if (next_block(rows, err) != 0)
            return -1;
    }
    return 0;
}

/* --- row by row --- */

static int take_leaf(struct rows *rows, struct err *err)
{
    rows->position++;
    rows->leaves.row++;
    return end_blocks(rows, err);
}

/* The fact and the leaf that stand first are of one slot. */
static int compare_fact(struct rows *rows, struct err *err)
{
    const char *values[FACT_COLUMN_COUNT];
    char expected[HASH_TEXT_SIZE] = "\\x";
    struct hash hash;
    for (int i = 0; i < FACT_COLUMN_COUNT; i++)
        values[i] = fact_value(rows, i);
    json_auto_t *transfers = json_loads(fact_value(rows, FACT_COLUMN_COUNT), 0, NULL);
    if (leaf_of(values, transfers, &hash, err) != 0)
        return -1;
    hex_encode(hash.bytes, SHA256_SIZE, expected + 2);
    if (strcmp(expected, leaf_value(rows, LEAF_HASH)) != 0)
        TELL(rows, VERIFY_ROW_CHANGED, place_of_fact(rows), "the fact or its transfers are not what was sealed");
    rows->at = place_of(values[COLUMN_XID], values[COLUMN_SEQ]);
    rows->known = true;
    next_fact(rows);
    return take_leaf(rows, err);
}

/* Where something of this slot stands: -1 nowhere, -2 with an error. */
static int64_t find(const struct rows *rows, const char *sql, const char *payment, const char *slot, struct err *err)
{
    const char *params[] = {payment, slot};
    struct db_result *found = db_query(rows->verify->db, sql, 2, params, err);
    int64_t value = !found ? -2 : db_rows(found) > 0 ? db_int(found, 0, 0) : -1;
    db_result_free(found);
    return value;
}

enum { FOUND = 1, ARCHIVED };

/* The leaf comes, but not its fact. */
static int leaf_alone(struct rows *rows, struct err *err)
{
    struct verify_place place = place_of_leaf(rows);
    int64_t found = find(rows,
                         "select case when exists (select from ledger.event where payment_id = $1::uuid and slot ="
                         " $2::text) then 1 when " VERIFY_ARCHIVED("$1::uuid") " then 2 else -1 end",
                         place.payment, place.slot, err);
    if (found == -2)
        return -1;
    if (found == -1)
        TELL(rows, VERIFY_ROW_MISSING, place, "the fact was sealed and is not there");
    else if (found == FOUND)
        TELL(rows, VERIFY_ROW_MOVED, place, "the fact was sealed at another place in the order");
    rows->known = false;
    return take_leaf(rows, err);
}

/* The fact comes, but not its leaf. A fact whose leaf came before was told then. */
static int fact_or_leaf_alone(struct rows *rows, struct err *err)
{
    struct verify_place place = place_of_fact(rows);
    int64_t found = find(rows, "select position from ledger.seal_leaf where payment_id = $1::uuid and slot = $2::text",
                         place.payment, place.slot, err);
    if (found == -2)
        return -1;
    if (found >= (int64_t)rows->position && has_row(&rows->leaves))
        return leaf_alone(rows, err);
    if (found == -1)
        TELL(rows, VERIFY_ROW_ADDED, place, "it stands among sealed facts and is in no block");
    rows->told = true;
    next_fact(rows);
    return 0;
}

static bool same_slot(const struct rows *rows)
{
    return strcmp(leaf_value(rows, LEAF_PAYMENT), fact_value(rows, COLUMN_PAYMENT)) == 0 &&
           strcmp(leaf_value(rows, LEAF_SLOT), fact_value(rows, COLUMN_SLOT)) == 0;
}

static int skip_missing(struct rows *rows, uint64_t to, struct err *err)
{
    rows->known &= rows->position == to;
    rows->position = to;
    return end_blocks(rows, err);
}

/* 1: there may be more; 0: both lists have ended. */
static int step(struct rows *rows, struct err *err)
{
    if (fill(rows, err) != 0)
        return -1;
    bool leaf = has_row(&rows->leaves), fact = has_row(&rows->facts);
    if (!leaf && !fact)
        return 0;
    if (leaf && skip_missing(rows, (uint64_t)db_int(rows->leaves.rows, rows->leaves.row, LEAF_POSITION), err) != 0)
        return -1;
    int r = !fact                     ? leaf_alone(rows, err)
            : leaf && same_slot(rows) ? compare_fact(rows, err)
                                      : fact_or_leaf_alone(rows, err);
    return r == 0 ? 1 : -1;
}

/* What the sums have told is told in any case. */
int verify_rows(struct verify *verify, size_t segment, struct err *err)
{
    const struct segments *segments = verify->segments;
    struct rows rows = {.verify = verify,
                        .position = segment_first_size(segments, segment),
                        .end = segments->items[segment].size,
                        .after = segment_first(segments, segment),
                        .last = segments->items[segment].last,
                        .block = {.height = -1, .size = segment_first_size(segments, segment)}};
    int r = next_block(&rows, err);
    while (r == 0 && (r = step(&rows, err)) == 1)
        r = 0;
    if (r == 0 && !rows.told)
        verify_fault(verify, VERIFY_ROW_CHANGED, NOWHERE,
                     "facts %" PRIu64 " to %" PRIu64 " are not those that were sealed",
                     segment_first_size(segments, segment), rows.end - 1);
    db_result_free(rows.leaves.rows);
    db_result_free(rows.facts.rows);
    db_result_free(rows.blocks.rows);
    return r;
}
