/* seal_block.c - what a block seals: rows become leaves (seal.h)
 *
 * Two streams: the transfers of the block's transactions, which are kept, then its facts, each hashed as it comes, with its transfers. A transfer
 * stands in its fact's transaction, or the database has refused it (L8).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "ledger/leaf.h"
#include "ledger/saga.h"
#include "ledger/seal_internal.h"

enum { SQL_SIZE = 768, TEXT_SIZE = 128 /* of a transfer's column; the database allows 95 bytes */ };

/* --- leaves --- */

void block_begin(struct block *block, const struct merkle_edge *edge, const struct seal_place *last)
{
    *block = (struct block){.edge = *edge, .last = *last, .first = edge->size};
}

void block_clear(struct block *block)
{
    struct db_array *arrays[] = {&block->payments, &block->slots, &block->node_levels, &block->node_positions,
                                 &block->node_hashes};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        db_array_free(arrays[i]);
    free(block->hashes);
}

static void on_filled(void *arg, int level, uint64_t position, const struct hash *root)
{
    struct block *block = arg;
    char text[SEAL_NUMBER_SIZE], hash[SEAL_HASH_TEXT_SIZE] = "\\x";
    if (level == 0 || level % SEAL_NODE_STEP != 0)
        return;
    hex_encode(root->bytes, SHA256_SIZE, hash + 2);
    db_array_add(&block->node_levels, seal_number(text, level));
    db_array_add(&block->node_positions, seal_number(text, (int64_t)position));
    db_array_add(&block->node_hashes, hash);
}

/* All hashes travel as one value, of which the database cuts pieces: that costs a fraction of an array of them. */
static void add_hash(struct block *block, const struct hash *hash)
{
    size_t count = (size_t)(block->edge.size - block->first), used = 2 + 2 * SHA256_SIZE * count;
    if ((count & (count - 1)) == 0) /* doubles */
        block->hashes = mem_grow(block->hashes, 2 + 2 * SHA256_SIZE * (count ? 2 * count : 1) + 1, 1);
    if (count == 0)
        memcpy(block->hashes, "\\x", 2);
    hex_encode(hash->bytes, SHA256_SIZE, block->hashes + used);
}

void block_add(struct block *block, const char *payment, const char *slot, const struct hash *leaf)
{
    db_array_add(&block->payments, payment);
    db_array_add(&block->slots, slot);
    add_hash(block, leaf);
    merkle_append(&block->edge, leaf, on_filled, block);
}

/* --- transfers of the block's transactions --- */

struct booked {
    struct uuid payment;
    char slot[SLOT_SIZE], kind[TEXT_SIZE], pending_of[TEXT_SIZE], debit[TEXT_SIZE], credit[TEXT_SIZE],
        currency[TEXT_SIZE];
    struct leaf_transfer transfer; /* its texts are those above */
};
struct bookings {
    struct booked *items;
    size_t count, room;
};

static int copy_text(struct text from, char *to, size_t size, struct text *ret)
{
    *ret = (struct text){NULL, 0};
    if (!from.data)
        return 0;
    if (from.size >= size)
        return -1;
    memcpy(to, from.data, from.size);
    to[from.size] = '\0';
    *ret = (struct text){to, from.size};
    return 0;
}

static void fix_texts(struct booked *booked)
{
    struct leaf_transfer *t = &booked->transfer;
    t->kind.data = booked->kind;
    t->pending_of.data = t->pending_of.data ? booked->pending_of : NULL;
    t->debit.data = booked->debit;
    t->credit.data = booked->credit;
    t->currency.data = booked->currency;
}

static int take_booked(struct db_row *row, struct booked *ret)
{
    struct leaf_transfer *t = &ret->transfer;
    struct text slot;
    ret->payment = db_take_uuid(row);
    int r = copy_text(db_take_text(row), ret->slot, sizeof ret->slot, &slot);
    t->leg = (int)db_take_int(row, 2);
    r |= copy_text(db_take_text(row), ret->kind, TEXT_SIZE, &t->kind);
    r |= copy_text(db_take_text(row), ret->pending_of, TEXT_SIZE, &t->pending_of);
    r |= copy_text(db_take_text(row), ret->debit, TEXT_SIZE, &t->debit);
    r |= copy_text(db_take_text(row), ret->credit, TEXT_SIZE, &t->credit);
    t->amount = db_take_int(row, 8);
    r |= copy_text(db_take_text(row), ret->currency, TEXT_SIZE, &t->currency);
    t->at_us = db_take_int(row, 8);
    t->xid = (uint64_t)db_take_int(row, 8);
    t->seq = db_take_int(row, 8);
    return r == 0 && db_row_good(row) && slot.data && t->kind.data && t->debit.data && t->credit.data ? 0 : -1;
}

static int by_fact(const void *a, const void *b)
{
    const struct booked *x = a, *y = b;
    int order = uuid_compare(x->payment, y->payment);
    if (order == 0)
        order = strcmp(x->slot, y->slot);
    return order ? order : x->transfer.leg - y->transfer.leg;
}

static int read_bookings(struct db *db, const char *first_xid, const char *last_xid, struct bookings *ret,
                         struct err *err)
{
    char sql[SQL_SIZE];
    struct db_row row;
    int r;
    snprintf(sql, sizeof sql,
             "select payment_id, slot, leg, kind, pending_of, debit, credit, amount, currency, at, xid, seq"
             " from ledger.transfer where xid >= '%s'::xid8 and xid <= '%s'::xid8 order by xid, seq",
             first_xid, last_xid);
    if (db_stream(db, sql, err) != 0)
        return -1;
    while ((r = db_stream_next(db, &row, err)) == 1) {
        if (ret->count == ret->room) {
            ret->room = ret->room ? 2 * ret->room : 1024;
            ret->items = mem_grow(ret->items, ret->room, sizeof *ret->items);
        }
        if (take_booked(&row, &ret->items[ret->count++]) != 0) {
            db_stream_end(db);
            return err_set(err, ERR_INTERNAL, "a transfer cannot be read");
        }
    }
    if (ret->count > 1)
        qsort(ret->items, ret->count, sizeof *ret->items, by_fact);
    for (size_t i = 0; i < ret->count; i++)
        fix_texts(&ret->items[i]);
    return r;
}

/* --- facts --- */

struct reading {
    struct block *block;
    const struct bookings *bookings;
    struct leaf_bytes bytes;
    struct leaf_transfer *transfers; /* of one fact */
    size_t room;
};

/* Those of one fact, in the order of their legs. */
static size_t find_transfers(struct reading *reading, struct uuid payment, const char *slot)
{
    const struct bookings *all = reading->bookings;
    size_t low = 0, high = all->count, count = 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = uuid_compare(all->items[middle].payment, payment);
        if (order < 0 || (order == 0 && strcmp(all->items[middle].slot, slot) < 0))
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < all->count && uuid_equal(all->items[low].payment, payment) && strcmp(all->items[low].slot, slot) == 0;
         low++) {
        if (count == reading->room) {
            reading->room = reading->room ? 2 * reading->room : 8;
            reading->transfers = mem_grow(reading->transfers, reading->room, sizeof *reading->transfers);
        }
        reading->transfers[count++] = all->items[low].transfer;
    }
    return count;
}

static int add_fact(struct reading *reading, struct db_row *row, struct err *err)
{
    struct leaf_fact fact;
    char payment[UUID_TEXT_SIZE], slot[SLOT_SIZE];
    struct text named;
    fact.payment_id = db_take_uuid(row);
    fact.slot = db_take_text(row);
    fact.outcome = db_take_text(row);
    fact.cause = db_take_uuid(row);
    fact.actor = db_take_text(row);
    fact.at_us = db_take_int(row, 8);
    fact.xid = (uint64_t)db_take_int(row, 8);
    fact.seq = db_take_int(row, 8);
    fact.body = db_take_jsonb(row);
    if (!db_row_good(row) || !fact.outcome.data || copy_text(fact.slot, slot, sizeof slot, &named) != 0 || !named.data)
        return err_set(err, ERR_INTERNAL, "a fact cannot be read");
    size_t count = find_transfers(reading, fact.payment_id, slot);
    struct hash leaf = leaf_of_columns(&fact, reading->transfers, count, &reading->bytes);
    uuid_format(fact.payment_id, payment);
    block_add(reading->block, payment, slot, &leaf);
    snprintf(reading->block->last.xid, sizeof reading->block->last.xid, "%" PRIu64, fact.xid);
    seal_number(reading->block->last.seq, fact.seq);
    reading->block->facts++;
    return 0;
}

static int read_facts(struct db *db, struct reading *reading, const char *horizon, struct err *err)
{
    char sql[SQL_SIZE];
    struct db_row row;
    int r;
    snprintf(sql, sizeof sql,
             "select payment_id, slot, outcome, cause, actor, at, xid, seq, body from ledger.event"
             " where (xid, seq) > ('%s'::xid8, %s::bigint) and xid < '%s'::xid8 order by xid, seq limit %d",
             reading->block->last.xid, reading->block->last.seq, horizon, SEAL_BLOCK_MAX);
    if (db_stream(db, sql, err) != 0)
        return -1;
    while ((r = db_stream_next(db, &row, err)) == 1)
        if (add_fact(reading, &row, err) != 0) {
            db_stream_end(db);
            return -1;
        }
    return r;
}

/* The horizon first: rows below it cannot become more after it was read. `end`: the last transaction of the block; "": there is nothing. */
struct limits {
    char horizon[SEAL_NUMBER_SIZE], end[SEAL_NUMBER_SIZE];
};

static int read_limits(const struct block *block, struct db *db, struct limits *ret, int *ret_epoch, struct err *err)
{
    char most[SEAL_NUMBER_SIZE];
    const char *params[] = {block->last.xid, block->last.seq, seal_number(most, SEAL_BLOCK_MAX)};
    struct db_result *rows =
        db_query(db,
                 "select h.horizon, coalesce((select max(epoch) from ledger.epoch), 1), (select max(b.xid) from"
                 " (select e.xid from ledger.event e where (e.xid, e.seq) > ($1::xid8, $2::bigint)"
                 " and e.xid < h.horizon order by e.xid, e.seq limit $3::int) as b)"
                 " from (select ledger.horizon() as horizon) as h",
                 3, params, err);
    if (!rows)
        return -1;
    const char *end = db_value(rows, 0, 2);
    snprintf(ret->horizon, sizeof ret->horizon, "%s", db_value(rows, 0, 0));
    snprintf(ret->end, sizeof ret->end, "%s", end ? end : "");
    *ret_epoch = (int)db_int(rows, 0, 1);
    db_result_free(rows);
    return 0;
}

int block_read(struct block *block, struct db *db, int *ret_epoch, struct err *err)
{
    struct limits limits;
    struct bookings bookings = {0};
    struct reading reading = {.block = block, .bookings = &bookings};
    if (read_limits(block, db, &limits, ret_epoch, err) != 0)
        return -1;
    if (!*limits.end)
        return 0;
    int r = read_bookings(db, block->last.xid, limits.end, &bookings, err);
    if (r == 0)
        r = read_facts(db, &reading, limits.horizon, err);
    leaf_bytes_free(&reading.bytes);
    free(reading.transfers);
    free(bookings.items);
    return r;
}

/* --- what writes it --- */

size_t block_statements(struct block *block, struct db_statement ret[static BLOCK_STATEMENTS])
{
    size_t count = 0;
    if (block->edge.size > block->first) {
        block->leaf_params[0] = seal_number(block->first_text, (int64_t)block->first);
        block->leaf_params[1] = db_array_text(&block->payments);
        block->leaf_params[2] = db_array_text(&block->slots);
        block->leaf_params[3] = block->hashes;
        ret[count++] = (struct db_statement){"insert into ledger.seal_leaf (position, payment_id, slot, hash)"
                                             " select $1::bigint + l.n - 1, l.payment_id, l.slot,"
                                             " substr($4::bytea, 32 * (l.n::int - 1) + 1, 32)"
                                             " from unnest($2::uuid[], $3::text[]) with ordinality"
                                             " as l (payment_id, slot, n)",
                                             4, block->leaf_params};
    }
    if (block->node_levels.size > 0) {
        block->node_params[0] = db_array_text(&block->node_levels);
        block->node_params[1] = db_array_text(&block->node_positions);
        block->node_params[2] = db_array_text(&block->node_hashes);
        ret[count++] = (struct db_statement){"insert into ledger.seal_node (level, position, hash)"
                                             " select * from unnest($1::smallint[], $2::bigint[], $3::bytea[])",
                                             3, block->node_params};
    }
    return count;
}
