/* verify_tree.c - are the leaves those that were signed, and do the facts stand in their order?
 *
 * Two streams side by side: the leaves by position, and where facts stand, in the order of (xid, seq). The tree is built from the leaves as
 * they stand, so a changed leaf shows in the root of its block, which is signed; kept roots of subtrees and heads seen outside are compared on
 * the way. That a fact is what its leaf says is for the sums: each leaf is added with the place that has its rank.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/seal.h"
#include "ledger/verify_internal.h"

enum { PROGRESS_LEAVES = 65536, SQL_SIZE = 512 };

struct tree {
    struct verify *verify;
    struct outside_heads *heads;
    struct sums *sums;
    struct blocks blocks;
    struct block block; /* the leaves being read are of this one; height -1: none is left */
    struct merkle_edge edge;
    struct nodes nodes;
    bool broken;       /* leaves are missing: roots cannot be computed from here on */
    uint64_t position; /* of the next leaf */
    struct db *leaves, *order;
    size_t segment; /* that the next leaf is of */

    bool more_leaves;
    struct {
        uint64_t position;
        struct uuid payment;
        struct text slot;
        struct hash hash;
    } leaf;
    bool more_order;
    struct place place; /* of the fact whose turn it is */
    struct db *archive; /* leaves whose facts are in files, and so have no place; NULL when there are none */
    uint64_t archived;  /* the next of them; UINT64_MAX: no more */
};

/* --- streams --- */

static int next_leaf(struct tree *tree, struct err *err)
{
    struct db_row row;
    int r = db_stream_next(tree->leaves, &row, err);
    tree->more_leaves = r == 1;
    if (r != 1)
        return r;
    tree->leaf.position = (uint64_t)db_take_int(&row, 8);
    tree->leaf.payment = db_take_uuid(&row);
    tree->leaf.slot = db_take_text(&row);
    struct text hash = db_take_text(&row);
    if (!db_row_good(&row) || !tree->leaf.slot.data || hash.size != sizeof tree->leaf.hash.bytes)
        return err_set(err, ERR_INTERNAL, "a leaf is no hash");
    memcpy(tree->leaf.hash.bytes, hash.data, sizeof tree->leaf.hash.bytes);
    return 0;
}

static int next_place(struct tree *tree, struct err *err)
{
    struct db_row row;
    int r = db_stream_next(tree->order, &row, err);
    tree->more_order = r == 1;
    if (r != 1)
        return r;
    tree->place.xid = (uint64_t)db_take_int(&row, 8);
    tree->place.seq = db_take_int(&row, 8);
    return db_row_good(&row) ? 0 : err_set(err, ERR_INTERNAL, "the place of a fact cannot be read");
}

static int next_archived(struct tree *tree, struct err *err)
{
    struct db_row row;
    int r = db_stream_next(tree->archive, &row, err);
    tree->archived = r == 1 ? (uint64_t)db_take_int(&row, 8) : UINT64_MAX;
    return r < 0 ? -1 : 0;
}

/* Asked for only where there is an archive: it is a join over all that is archived. */
static int begin_archived(struct tree *tree, struct err *err)
{
    const struct verify *verify = tree->verify;
    char sql[SQL_SIZE];
    tree->archived = UINT64_MAX;
    struct db_result *rows = db_query(verify->db, "select 1 from ledger.archived limit 1", 0, NULL, err);
    int count = rows ? db_rows(rows) : -1;
    db_result_free(rows);
    if (count <= 0)
        return count;
    snprintf(sql, sizeof sql,
             "select l.position from ledger.seal_leaf l where l.position >= %" PRIu64 " and l.position < %" PRIu64
             " and " VERIFY_ARCHIVED("l.payment_id") " order by l.position",
             tree->position, verify->size);
    tree->archive = verify_connect(verify, err);
    return tree->archive && db_stream(tree->archive, sql, err) == 0 ? next_archived(tree, err) : -1;
}

static int begin_streams(struct tree *tree, struct err *err)
{
    struct verify *verify = tree->verify;
    char sql[SQL_SIZE];
    tree->leaves = verify_connect(verify, err);
    tree->order = tree->leaves ? verify_connect(verify, err) : NULL;
    if (!tree->order || nodes_begin(&tree->nodes, verify, tree->position, err) != 0 || begin_archived(tree, err) != 0)
        return -1;
    snprintf(sql, sizeof sql,
             "select position, payment_id, slot, hash from ledger.seal_leaf where position >= %" PRIu64
             " and position < %" PRIu64 " order by position",
             tree->position, verify->size);
    if (db_stream(tree->leaves, sql, err) != 0)
        return -1;
    snprintf(sql, sizeof sql,
             "select xid, seq from ledger.event where (xid, seq) > ('%" PRIu64 "'::xid8, %" PRId64
             ") and (xid, seq) <= ('%" PRIu64 "'::xid8, %" PRId64 ") order by xid, seq",
             verify->since.xid, verify->since.seq, verify->last.xid, verify->last.seq);
    return db_stream(tree->order, sql, err) == 0 && next_leaf(tree, err) == 0 ? next_place(tree, err) : -1;
}

/* --- blocks --- */

static void check_block(struct tree *tree)
{
    const struct block *block = &tree->block;
    if (tree->broken || !block->opened)
        return;
    struct hash root = merkle_root(&tree->edge);
    if (!hash_equal(&root, &block->root))
        verify_fault(tree->verify, VERIFY_ROOT, IN_BLOCK(block->height), "its leaves are not those that were signed");
}

static int next_block(struct tree *tree, struct err *err)
{
    int r = blocks_next(tree->verify, &tree->blocks, &tree->block, err);
    if (r == 0)
        tree->block = (struct block){.height = -1, .size = UINT64_MAX};
    return r < 0 ? -1 : 0;
}

/* The blocks that end with the leaves read so far. */
static int end_blocks(struct tree *tree, struct err *err)
{
    while (tree->position >= tree->block.size) {
        check_block(tree);
        if (next_block(tree, err) != 0)
            return -1;
    }
    return 0;
}

static int skip_missing(struct tree *tree, uint64_t to, struct err *err)
{
    if (tree->position < to)
        verify_fault(tree->verify, VERIFY_LEAF_MISSING, IN_BLOCK(tree->block.height),
                     "the hashes of leaves %" PRIu64 " to %" PRIu64 " are not there", tree->position, to - 1);
    tree->broken |= tree->position < to;
    tree->position = to;
    return end_blocks(tree, err);
}

/* --- leaf by leaf --- */

/* Facts of segments before this one that no leaf has taken: there were more facts than leaves. */
static int enter_segment(struct tree *tree, size_t segment, struct err *err)
{
    const struct segments *segments = tree->verify->segments;
    for (; tree->segment < segment; tree->segment++)
        while (tree->more_order && place_compare(tree->place, segments->items[tree->segment].last) <= 0) {
            tree->sums->items[tree->segment].bad = true;
            if (next_place(tree, err) != 0)
                return -1;
        }
    return 0;
}

/* The leaf with the place of its rank. */
static int add_sum(struct tree *tree, struct err *err)
{
    const struct segments *segments = tree->verify->segments;
    size_t segment = tree->segment;
    while (segment + 1 < segments->count && tree->leaf.position >= segments->items[segment].size)
        segment++;
    if (enter_segment(tree, segment, err) != 0)
        return -1;
    while (tree->archived < tree->leaf.position)
        if (next_archived(tree, err) != 0)
            return -1;
    if (tree->archived == tree->leaf.position || uuid_is_nil(tree->leaf.payment)) /* or a change of the key */
        return 0;
    if (!tree->more_order || place_compare(tree->place, segments->items[segment].last) > 0) {
        tree->sums->items[segment].bad = true; /* more leaves than facts */
        return 0;
    }
    sums_add(tree->sums, segments, segment, tree->place, tree->leaf.payment, tree->leaf.slot, &tree->leaf.hash);
    if (tree->position == tree->block.size && place_compare(tree->place, tree->block.last) != 0)
        tree->sums->items[segment].bad = true; /* the block does not end where it says */
    return next_place(tree, err);
}

struct filled {
    struct tree *tree;
    struct err *err;
    int r;
};

static void on_filled(void *arg, int level, uint64_t position, const struct hash *root)
{
    struct filled *filled = arg;
    if (filled->r == 0)
        filled->r = nodes_compare(&filled->tree->nodes, level, position, root, filled->err);
}

static void compare_heads(struct tree *tree)
{
    if (tree->broken || tree->heads->next == tree->heads->count ||
        tree->heads->items[tree->heads->next].size != tree->position)
        return;
    struct hash root = merkle_root(&tree->edge);
    outside_compare(tree->verify, tree->heads, tree->position, &root);
}

static int take_leaf(struct tree *tree, struct err *err)
{
    struct filled filled = {tree, err, 0};
    if (tree->leaf.position != tree->position && skip_missing(tree, tree->leaf.position, err) != 0)
        return -1;
    if (!tree->broken)
        merkle_append(&tree->edge, &tree->leaf.hash, on_filled, &filled);
    tree->position++;
    if (filled.r != 0 || add_sum(tree, err) != 0)
        return -1;
    compare_heads(tree);
    if (++tree->verify->result->rows % PROGRESS_LEAVES == 0)
        verify_progress(tree->verify, "leaves", tree->verify->result->rows);
    return end_blocks(tree, err) == 0 ? next_leaf(tree, err) : -1;
}

/* --- where to begin --- */

static int load_edge(struct tree *tree, uint64_t size, struct err *err)
{
    struct merkle_source source = seal_source(tree->verify->db);
    tree->edge.size = size;
    for (int level = 0; level < MERKLE_LEVELS_MAX; level++)
        if (size >> level & 1 &&
            source.subtree(source.arg, level, (size >> level) - 1, &tree->edge.roots[level], err) != 0)
            return -1;
    return 0;
}

/* Behind a block that was verified before: its root is signed, and what is kept of the tree has to give it. */
static int begin_since(struct tree *tree, struct err *err)
{
    struct verify *verify = tree->verify;
    if (verify->options->since < 0)
        return 0;
    if (blocks_since(verify, &tree->blocks, verify->options->since, err) != 0)
        return -1;
    const struct block *last = &tree->blocks.last;
    tree->position = last->size;
    if (load_edge(tree, last->size, err) != 0)
        return -1;
    struct hash root = merkle_root(&tree->edge);
    if (last->opened && !hash_equal(&root, &last->root))
        verify_fault(verify, VERIFY_ROOT, IN_BLOCK(last->height),
                     "the tree that is kept is not the one that was signed");
    return outside_compare_old(verify, tree->heads, last->size, &root, err);
}

static void tree_clear(struct tree *tree)
{
    blocks_free(&tree->blocks);
    nodes_free(&tree->nodes);
    db_free(tree->leaves);
    db_free(tree->order);
    db_free(tree->archive);
}

static int walk(struct tree *tree, struct err *err)
{
    int r = begin_since(tree, err);
    if (r == 0)
        r = begin_streams(tree, err);
    if (r == 0)
        r = next_block(tree, err);
    if (r == 0)
        r = end_blocks(tree, err); /* a block without leaves */
    while (r == 0 && tree->more_leaves)
        r = take_leaf(tree, err);
    if (r == 0)
        r = skip_missing(tree, tree->verify->size, err);
    return r == 0 ? enter_segment(tree, tree->verify->segments->count, err) : -1;
}

/* Of a tree that cannot be followed to its end nobody knows what should be kept. */
int verify_tree(struct verify *verify, struct outside_heads *heads, struct sums *sums, struct err *err)
{
    struct tree tree = {.verify = verify, .heads = heads, .sums = sums, .blocks = {.last = {.height = -1}}};
    int r = walk(&tree, err);
    if (r == 0 && !tree.broken)
        r = nodes_end(&tree.nodes, err);
    tree_clear(&tree);
    outside_end(verify, heads, verify->size);
    return r;
}
