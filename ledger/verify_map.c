/* verify_map.c - is the sorted map that the heads state that of the leaves? (map.h)
 *
 * Without --since, the newest map is computed from all leaves, by nothing else, and what is kept of it is compared on the way. That is enough to
 * know what is missing in it now, and says nothing of maps that were stated before. With --since, every map that a head behind that block
 * states is computed: from the kept parts, which have to be those of the newest map, back from one to the one before, with the leaves that it had.
 * So a verification every day, each since the last one, leaves none out. To compute all maps of a long life at once would cost more than all the
 * rest.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "ledger/map_store.h"
#include "ledger/proof.h"
#include "ledger/verify_internal.h"

enum {
    SQL_SIZE = 512,
    LINES_MAX = 1 << 20, /* maps that are looked back at: two months of one every five seconds */
    PROGRESS_PAYMENTS = 16384,
};

/* --- what one head says after the one before --- */

void verify_map_line(struct verify *verify, const struct block *last, const struct block *block)
{
    struct verify_place place = IN_BLOCK(block->height);
    const struct map_line *before = &last->map, *now = &block->map;
    if (!block->opened || (last->height >= 0 && !last->opened))
        return;
    if (now->size > block->size)
        verify_fault(verify, VERIFY_MAP, place, "its head states a map of more facts than there are");
    if (now->size < before->size)
        verify_fault(verify, VERIFY_MAP, place, "its head states a map of fewer facts than the head before it");
    if (now->size > 0 && now->size == before->size && !hash_equal(&now->root, &before->root))
        verify_fault(verify, VERIFY_MAP, place, "its head states another map of the same facts");
}

/* --- lines, back to what was verified before --- */

static void add_line(struct map_lines *lines, int64_t height, const char *text)
{
    struct proof_head head;
    if (proof_read_head(text, &head) != 0 || head.map.size == 0)
        return; /* told where the heads were read */
    if (lines->count > 0 && lines->items[lines->count - 1].map.size >= head.map.size)
        return;
    if ((lines->count & (lines->count - 1)) == 0) /* doubles */
        lines->items = mem_grow(lines->items, lines->count ? 2 * lines->count : 1, sizeof *lines->items);
    lines->items[lines->count++] = (struct map_stated){height, head.map};
}

/* Those of blocks behind `since`, and that of the block itself; without `since` the last one. */
static int read_lines(struct verify *verify, struct map_lines *ret, struct err *err)
{
    const struct verify_options *options = verify->options;
    char sql[SQL_SIZE], head[NOTE_SIZE_MAX];
    struct db *db = verify_connect(verify, err);
    struct db_row row;
    snprintf(sql, sizeof sql,
             "select height, head from ledger.seal where height >= %" PRId64 " and height <= %" PRId64
             " order by height",
             options->since < 0 ? verify->result->height : options->since, verify->result->height);
    int r = db && db_stream(db, sql, err) == 0 ? 1 : -1;
    while (r == 1 && ret->count < LINES_MAX && (r = db_stream_next(db, &row, err)) == 1) {
        int64_t height = db_take_int(&row, 8);
        struct text text = db_take_text(&row);
        snprintf(head, sizeof head, "%.*s", (int)text.size, text.data ? text.data : "");
        add_line(ret, height, head);
    }
    db_free(db);
    return r < 0 ? -1 : 0;
}

/* --- from all leaves --- */

/* The kept parts, in their order. */
struct kept {
    struct db *db;
    bool more;
    struct map_part part; /* as it is kept */
    bool readable;
    int64_t compared, wrong;
};

static int next_kept(struct kept *kept, struct err *err)
{
    struct db_row row;
    int r = db_stream_next(kept->db, &row, err);
    kept->more = r == 1;
    if (r != 1)
        return r;
    kept->part = (struct map_part){.first = db_take_uuid(&row), .depth = (int)db_take_int(&row, 2)};
    struct text children = db_take_text(&row);
    kept->readable = children.data && map_part_decode((const uint8_t *)children.data, children.size, &kept->part) == 0;
    return db_row_good(&row) ? 0 : err_set(err, ERR_INTERNAL, "a kept part of the map cannot be read");
}

static int begin_kept(struct kept *kept, struct verify *verify, struct err *err)
{
    kept->db = verify_connect(verify, err);
    if (!kept->db || db_stream(kept->db, "select first, depth, children from view.map_part order by first", err) != 0)
        return -1;
    return next_kept(kept, err);
}

/* The whole map, and beside it the children of the kept part that it has come to. */
struct walk {
    struct verify *verify;
    uint64_t size; /* leaves that it has */
    struct map_builder whole, child;
    struct kept kept;
    int at; /* child of the kept part; -1: none was begun */
    bool differs;
    struct map_slots slots;
    struct uuid payment;
    bool reading;
    int64_t payments;
};

static void end_child(struct walk *walk)
{
    if (walk->at < 0)
        return;
    struct map_node node = map_builder_end(&walk->child);
    const struct map_child *kept = &walk->kept.part.children[walk->at];
    walk->differs |= !walk->kept.readable || kept->count != walk->child.count || !map_node_equal(&kept->node, &node);
}

static void begin_child(struct walk *walk, int child)
{
    walk->at = child;
    map_builder_begin(&walk->child, walk->kept.part.depth + MAP_STEP);
}

static int end_part(struct walk *walk, struct err *err)
{
    for (int child = walk->at < 0 ? 0 : walk->at; child < MAP_CHILDREN; child++) {
        if (child != walk->at)
            begin_child(walk, child);
        end_child(walk);
    }
    walk->kept.compared++;
    walk->kept.wrong += walk->differs;
    walk->differs = false;
    walk->at = -1;
    return next_kept(&walk->kept, err);
}

/* The part and the child that an id belongs to. */
static int reach(struct walk *walk, struct uuid id, struct err *err)
{
    struct kept *kept = &walk->kept;
    while (kept->more && uuid_compare(map_last(kept->part.first, kept->part.depth), id) < 0)
        if (end_part(walk, err) != 0)
            return -1;
    if (!kept->more || uuid_compare(kept->part.first, id) > 0)
        return 0;
    int child = map_part_child(&kept->part, id);
    while (walk->at < child) {
        end_child(walk);
        begin_child(walk, walk->at + 1);
    }
    return 0;
}

static int end_payment(struct walk *walk, struct err *err)
{
    if (!walk->reading)
        return 0;
    struct hash slots = map_slots_end(&walk->slots);
    if (reach(walk, walk->payment, err) != 0)
        return -1;
    if (map_builder_add(&walk->whole, walk->payment, &slots) != 0 ||
        (walk->at >= 0 && map_builder_add(&walk->child, walk->payment, &slots) != 0))
        return err_set(err, ERR_INTERNAL, "leaves of the map do not come in their order");
    if (++walk->payments % PROGRESS_PAYMENTS == 0)
        verify_progress(walk->verify, "payments of the map", walk->payments);
    walk->reading = false;
    return 0;
}

static int take_leaf(struct walk *walk, struct db_row *row, struct err *err)
{
    struct uuid id = db_take_uuid(row);
    struct text slot = db_take_text(row);
    if (!db_row_good(row) || !slot.data)
        return err_set(err, ERR_INTERNAL, "a leaf cannot be read");
    if (!uuid_equal(id, walk->payment) && end_payment(walk, err) != 0)
        return -1;
    walk->payment = id;
    walk->reading = true;
    map_slots_add(&walk->slots, slot.data, slot.size);
    return 0;
}

static int walk_leaves(struct walk *walk, struct db *leaves, struct err *err)
{
    char sql[SQL_SIZE];
    struct db_row row;
    snprintf(sql, sizeof sql,
             "select payment_id, slot from ledger.seal_leaf where position < %" PRIu64 " order by payment_id, slot",
             walk->size);
    int r = db_stream(leaves, sql, err);
    while (r == 0 && (r = db_stream_next(leaves, &row, err)) == 1)
        r = take_leaf(walk, &row, err);
    if (r == 0)
        r = end_payment(walk, err);
    while (r == 0 && walk->kept.more)
        r = end_part(walk, err);
    return r;
}

static void judge_whole(struct walk *walk, const struct map_stated *line)
{
    struct verify *verify = walk->verify;
    struct map_node root = map_builder_end(&walk->whole);
    verify->result->maps++;
    if (!hash_equal(&root.hash, &line->map.root))
        verify_fault(verify, VERIFY_MAP, IN_BLOCK(line->height),
                     "the map that its head states is not that of the first %" PRIu64 " leaves", line->map.size);
    if (walk->kept.wrong > 0)
        verify_fault(verify, VERIFY_MAP, NOWHERE,
                     "%" PRId64 " of the %" PRId64
                     " kept parts of the map are not those of the newest; after `truncate "
                     "view.map_part` the keeper builds them anew",
                     walk->kept.wrong, walk->kept.compared);
}

/* `compare`: the kept parts, too. */
static int verify_whole(struct verify *verify, const struct map_stated *line, bool compare, struct err *err)
{
    struct walk *walk = mem_new(1, sizeof *walk);
    struct db *leaves = verify_connect(verify, err);
    walk->verify = verify;
    walk->size = line->map.size;
    walk->at = -1;
    map_builder_begin(&walk->whole, 0);
    int r = leaves ? 0 : -1;
    if (r == 0 && compare)
        r = begin_kept(&walk->kept, verify, err);
    if (r == 0)
        r = walk_leaves(walk, leaves, err);
    if (r == 0)
        judge_whole(walk, line);
    map_slots_free(&walk->slots);
    db_free(walk->kept.db);
    db_free(leaves);
    free(walk);
    return r;
}

/* --- the kept parts as a whole --- */

/* Those of the newest map, all of them: their roots say so. NULL: they are not, which was told, or error in *err. */
static struct map_parts *load_parts(struct verify *verify, const struct map_stated *newest, struct err *err)
{
    struct uuid last;
    struct err why = {0};
    struct map_parts *parts = map_parts_new_bare();
    int count = 0;
    do
        count = map_store_load(verify->db, count > 0 ? &last : NULL, parts, &last, &why);
    while (count == MAP_LOAD_PARTS);
    bool whole = count >= 0 && map_parts_whole(parts);
    struct map_node root = whole ? map_parts_root(parts) : (struct map_node){0};
    if (whole && hash_equal(&root.hash, &newest->map.root))
        return parts;
    map_parts_free(parts);
    if (count < 0 && why.code != ERR_CONFLICT)
        err_set(err, why.code, "%s", why.text);
    else if (whole || count < 0)
        verify_fault(
            verify, VERIFY_MAP, NOWHERE,
            "what is kept of the map is not that of the newest head (the keeper may be about to follow, if it has just "
            "built it: run again); after `truncate view.map_part` the keeper builds it anew");
    else if (verify->options->note)
        verify->options->note(verify->options->arg, "the keeper is building what it keeps of the map");
    return NULL;
}

int verify_map(struct verify *verify, struct err *err)
{
    struct map_lines lines = {0};
    struct err why = {0};
    int r = verify->result->height < 0 ? 0 : read_lines(verify, &lines, err);
    if (r == 0 && lines.count > 0) {
        const struct map_stated *newest = &lines.items[lines.count - 1];
        struct map_parts *parts = load_parts(verify, newest, &why);
        if (why.code)
            r = err_set(err, why.code, "%s", why.text);
        else if (parts && verify->options->since >= 0)
            r = verify_map_back(verify, &lines, parts, err);
        else
            r = verify_whole(verify, newest, parts, err);
        map_parts_free(parts);
    }
    free(lines.items);
    return r;
}
