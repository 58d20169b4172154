/* verify_tree.c - are the facts those that were sealed?
 *
 * Two streams side by side: facts in the order of (xid, seq), and the leaves in theirs. Where they agree, the fact's hash, computed anew,
 * has to be the leaf's. The tree is built from the leaves as they stand: so a changed fact is named by its own leaf, and a changed leaf shows
 * in the root of its block, which is signed. Roots of subtrees that are kept are compared on the way.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/leaf.h"
#include "ledger/seal.h"
#include "ledger/verify_internal.h"

enum {
    NODE_STEP = 4,
    NODES_MAX = 512, /* compared in one query */
    HASH_TEXT_SIZE = 2 + SHA256_HEX_SIZE,
    PROGRESS_ROWS = 10000,
};

/* Rows of a statement that goes on from a key, page by page. */
struct stream {
    struct db_result *rows;
    int row;
    bool ended;
};

struct tree {
    struct verify *verify;
    struct outside_heads *heads;
    struct blocks blocks;
    struct block block; /* the leaves being read are of this one; height -1: none is left */
    struct merkle_edge edge;
    bool broken;       /* leaves are missing: roots cannot be computed from here on */
    uint64_t position; /* of the next leaf */
    struct stream leaves, facts;
    char fact_xid[VERIFY_NUMBER_SIZE], fact_seq[VERIFY_NUMBER_SIZE]; /* facts are read from behind this one */
    char end_xid[VERIFY_NUMBER_SIZE], end_seq[VERIFY_NUMBER_SIZE];   /* of the last leaf's fact; "": not known */
    struct db_array node_levels, node_positions, node_hashes;
    int node_count;
};

/* --- streams --- */

enum { LEAF_POSITION, LEAF_PAYMENT, LEAF_SLOT, LEAF_HASH };
enum { COLUMN_PAYMENT, COLUMN_SLOT, COLUMN_XID = 6, COLUMN_SEQ = 7 };

static struct db_result *read_leaves(const struct tree *tree, struct err *err)
{
    char from[VERIFY_NUMBER_SIZE], to[VERIFY_NUMBER_SIZE], most[VERIFY_NUMBER_SIZE];
    const char *params[] = {verify_number(from, (int64_t)tree->position),
                            verify_number(to, (int64_t)tree->verify->size), verify_number(most, VERIFY_PAGE)};
    return db_query(tree->verify->db,
                    "select position, payment_id, slot, hash from ledger.seal_leaf where position >= $1::bigint"
                    " and position < $2::bigint order by position limit $3::int",
                    3, params, err);
}

static struct db_result *read_facts_page(const struct tree *tree, struct err *err)
{
    char most[VERIFY_NUMBER_SIZE];
    const char *params[] = {tree->fact_xid, tree->fact_seq, tree->verify->last_xid, tree->verify->last_seq,
                            verify_number(most, VERIFY_PAGE)};
    return db_query(tree->verify->db,
                    "select " LEAF_COLUMNS
                    " from ledger.event e where (e.xid, e.seq) > ($1::text::xid8, $2::text::bigint)"
                    " and (e.xid, e.seq) <= ($3::text::xid8, $4::text::bigint) order by e.xid, e.seq limit $5::int",
                    5, params, err);
}

static bool has_row(const struct stream *stream)
{
    return stream->rows && stream->row < db_rows(stream->rows);
}

static int turn_page(struct stream *stream, struct db_result *rows)
{
    db_result_free(stream->rows);
    stream->rows = rows;
    stream->row = 0;
    stream->ended = rows && db_rows(rows) == 0;
    return rows ? 0 : -1;
}

/* Both streams have a row, unless they have ended. */
static int fill(struct tree *tree, struct err *err)
{
    if (!has_row(&tree->leaves) && !tree->leaves.ended && turn_page(&tree->leaves, read_leaves(tree, err)) != 0)
        return -1;
    if (has_row(&tree->facts) || tree->facts.ended)
        return 0;
    return turn_page(&tree->facts, read_facts_page(tree, err));
}

static const char *fact_value(const struct tree *tree, int column)
{
    return db_value(tree->facts.rows, tree->facts.row, column);
}

static const char *leaf_value(const struct tree *tree, int column)
{
    return db_value(tree->leaves.rows, tree->leaves.row, column);
}

static void next_fact(struct tree *tree)
{
    snprintf(tree->fact_xid, sizeof tree->fact_xid, "%s", fact_value(tree, COLUMN_XID));
    snprintf(tree->fact_seq, sizeof tree->fact_seq, "%s", fact_value(tree, COLUMN_SEQ));
    tree->facts.row++;
}

static struct verify_place place_of_leaf(const struct tree *tree)
{
    return (struct verify_place){leaf_value(tree, LEAF_PAYMENT), leaf_value(tree, LEAF_SLOT), tree->block.height};
}

static struct verify_place place_of_fact(const struct tree *tree)
{
    return (struct verify_place){fact_value(tree, COLUMN_PAYMENT), fact_value(tree, COLUMN_SLOT), tree->block.height};
}

/* --- kept roots of subtrees --- */

static int compare_nodes(struct tree *tree, struct err *err)
{
    const char *params[] = {db_array_text(&tree->node_levels), db_array_text(&tree->node_positions),
                            db_array_text(&tree->node_hashes)};
    if (tree->node_count == 0)
        return 0;
    struct db_result *rows =
        db_query(tree->verify->db,
                 "select x.level, x.position, n.hash is null from"
                 " unnest($1::smallint[], $2::bigint[], $3::bytea[]) as x (level, position, hash)"
                 " left join ledger.seal_node n using (level, position) where n.hash is distinct from x.hash",
                 3, params, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows); row++)
        verify_fault(tree->verify, VERIFY_NODE, IN_BLOCK(tree->block.height), "node %s of level %s %s",
                     db_value(rows, row, 1), db_value(rows, row, 0),
                     db_bool(rows, row, 2) ? "is not there" : "is not that of its leaves");
    db_result_free(rows);
    db_array_free(&tree->node_levels);
    db_array_free(&tree->node_positions);
    db_array_free(&tree->node_hashes);
    tree->node_count = 0;
    return 0;
}

static void on_filled(void *arg, int level, uint64_t position, const struct hash *root)
{
    struct tree *tree = arg;
    char text[VERIFY_NUMBER_SIZE], hash[HASH_TEXT_SIZE] = "\\x";
    if (level == 0 || level % NODE_STEP != 0)
        return;
    hex_encode(root->bytes, SHA256_SIZE, hash + 2);
    db_array_add(&tree->node_levels, verify_number(text, level));
    db_array_add(&tree->node_positions, verify_number(text, (int64_t)position));
    db_array_add(&tree->node_hashes, hash);
    tree->node_count++;
}

/* There may be more blocks by now, so there are two ways to be too many: among what was walked, and behind the last block there is. */
static int count_nodes(struct tree *tree, struct err *err)
{
    uint64_t size = tree->verify->size;
    int64_t expected = 0;
    char text[VERIFY_NUMBER_SIZE];
    const char *params[] = {verify_number(text, (int64_t)size)};
    for (int level = NODE_STEP; level < MERKLE_LEVELS_MAX; level += NODE_STEP)
        expected += (int64_t)(size >> level);
    struct db_result *rows =
        db_query(tree->verify->db,
                 "select count(*) filter (where level < 48 and (position + 1) << level <= $1::bigint),"
                 " count(*) filter (where level >= 48 or (position + 1) << level > (select max(size) from ledger.seal))"
                 " from ledger.seal_node",
                 1, params, err);
    if (!rows)
        return -1;
    if (db_int(rows, 0, 0) > expected || db_int(rows, 0, 1) > 0)
        verify_fault(tree->verify, VERIFY_NODE, NOWHERE,
                     "%" PRId64 " nodes are kept and %" PRId64 " of leaves that are not there, the tree has %" PRId64,
                     db_int(rows, 0, 0), db_int(rows, 0, 1), expected);
    db_result_free(rows);
    return 0;
}

/* --- blocks --- */

static void check_block(struct tree *tree)
{
    const struct block *block = &tree->block;
    struct verify_place place = IN_BLOCK(block->height);
    if (!tree->broken && block->opened) {
        struct hash root = merkle_root(&tree->edge);
        if (!hash_equal(&root, &block->root))
            verify_fault(tree->verify, VERIFY_ROOT, place, "its leaves are not those that were signed");
    }
    if (*tree->end_xid && (strcmp(tree->end_xid, block->last_xid) != 0 || strcmp(tree->end_seq, block->last_seq) != 0))
        verify_fault(tree->verify, VERIFY_BLOCK, place,
                     "it says that it ends with row %s of transaction %s, not %s of %s", block->last_seq,
                     block->last_xid, tree->end_seq, tree->end_xid);
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

/* --- leaf by leaf --- */

static int skip_missing(struct tree *tree, uint64_t to, struct err *err)
{
    if (tree->position < to)
        verify_fault(tree->verify, VERIFY_LEAF_MISSING, IN_BLOCK(tree->block.height),
                     "the hashes of leaves %" PRIu64 " to %" PRIu64 " are not there", tree->position, to - 1);
    tree->broken |= tree->position < to;
    tree->end_xid[0] = '\0';
    tree->position = to;
    return end_blocks(tree, err);
}

static int add_leaf(struct tree *tree, struct err *err)
{
    struct hash hash = {0};
    const char *text = leaf_value(tree, LEAF_HASH);
    if (strlen(text) != HASH_TEXT_SIZE - 1 || hex_decode(text + 2, hash.bytes, SHA256_SIZE) != 0)
        return err_set(err, ERR_INTERNAL, "a leaf is no hash");
    if (!tree->broken)
        merkle_append(&tree->edge, &hash, on_filled, tree);
    tree->position++;
    tree->leaves.row++;
    if (tree->node_count >= NODES_MAX && compare_nodes(tree, err) != 0)
        return -1;
    if (!tree->broken && tree->heads->next < tree->heads->count &&
        tree->heads->items[tree->heads->next].size == tree->position) {
        struct hash root = merkle_root(&tree->edge);
        outside_compare(tree->verify, tree->heads, tree->position, &root);
    }
    if (++tree->verify->result->rows % PROGRESS_ROWS == 0)
        verify_progress(tree->verify, "sealed facts", tree->verify->result->rows);
    return end_blocks(tree, err);
}

/* The fact and the leaf that stand first are of one slot. */
static int compare_fact(struct tree *tree, struct err *err)
{
    const char *values[FACT_COLUMN_COUNT];
    char expected[HASH_TEXT_SIZE] = "\\x";
    struct hash hash;
    for (int i = 0; i < FACT_COLUMN_COUNT; i++)
        values[i] = fact_value(tree, i);
    json_auto_t *transfers = json_loads(fact_value(tree, FACT_COLUMN_COUNT), 0, NULL);
    if (leaf_of(values, transfers, &hash, err) != 0)
        return -1;
    hex_encode(hash.bytes, SHA256_SIZE, expected + 2);
    if (strcmp(expected, leaf_value(tree, LEAF_HASH)) != 0)
        verify_fault(tree->verify, VERIFY_ROW_CHANGED, place_of_fact(tree),
                     "the fact or its transfers are not what was sealed");
    snprintf(tree->end_xid, sizeof tree->end_xid, "%s", values[COLUMN_XID]);
    snprintf(tree->end_seq, sizeof tree->end_seq, "%s", values[COLUMN_SEQ]);
    next_fact(tree);
    return add_leaf(tree, err);
}

/* Where something of this slot stands: -1 nowhere, -2 with an error. */
static int64_t find(const struct tree *tree, const char *sql, const char *payment, const char *slot, struct err *err)
{
    const char *params[] = {payment, slot};
    struct db_result *rows = db_query(tree->verify->db, sql, 2, params, err);
    int64_t found = !rows ? -2 : db_rows(rows) > 0 ? db_int(rows, 0, 0) : -1;
    db_result_free(rows);
    return found;
}

/* The leaf comes, but not its fact. */
static int leaf_alone(struct tree *tree, struct err *err)
{
    struct verify_place place = place_of_leaf(tree);
    int64_t found = find(tree,
                         "select case when exists (select from ledger.event where payment_id = $1::uuid and slot = "
                         "$2::text) then 1 when exists (select from ledger.payment p join ledger.archived a on p.began "
                         "< a.began_to and (a.began_from is null or p.began >= a.began_from) where p.payment_id = "
                         "$1::uuid) then 2 else -1 end",
                         place.payment, place.slot, err);
    if (found == -2)
        return -1;
    if (found == 2) /* what an archive says of its leaves is compared elsewhere */
        ;
    else if (found == -1)
        verify_fault(tree->verify, VERIFY_ROW_MISSING, place, "the fact was sealed and is not there");
    else
        verify_fault(tree->verify, VERIFY_ROW_MOVED, place, "the fact was sealed at another place in the order");
    tree->end_xid[0] = '\0';
    return add_leaf(tree, err);
}

/* The fact comes, but not its leaf. A fact whose leaf came before was told then. */
static int fact_or_leaf_alone(struct tree *tree, struct err *err)
{
    struct verify_place place = place_of_fact(tree);
    int64_t found = find(tree, "select position from ledger.seal_leaf where payment_id = $1::uuid and slot = $2::text",
                         place.payment, place.slot, err);
    if (found == -2)
        return -1;
    if (found >= (int64_t)tree->position && has_row(&tree->leaves))
        return leaf_alone(tree, err);
    if (found == -1)
        verify_fault(tree->verify, VERIFY_ROW_ADDED, place, "it stands among sealed facts and is in no block");
    next_fact(tree);
    return 0;
}

static bool same_slot(const struct tree *tree)
{
    return strcmp(leaf_value(tree, LEAF_PAYMENT), fact_value(tree, COLUMN_PAYMENT)) == 0 &&
           strcmp(leaf_value(tree, LEAF_SLOT), fact_value(tree, COLUMN_SLOT)) == 0;
}

/* 1: there may be more; 0: both streams have ended. */
static int step(struct tree *tree, struct err *err)
{
    if (fill(tree, err) != 0)
        return -1;
    bool leaf = has_row(&tree->leaves), fact = has_row(&tree->facts);
    if (!leaf && !fact)
        return 0;
    if (leaf) {
        uint64_t position = (uint64_t)db_int(tree->leaves.rows, tree->leaves.row, LEAF_POSITION);
        if (position != tree->position && skip_missing(tree, position, err) != 0)
            return -1;
    }
    int r = !fact                     ? leaf_alone(tree, err)
            : leaf && same_slot(tree) ? compare_fact(tree, err)
                                      : fact_or_leaf_alone(tree, err);
    return r == 0 ? 1 : -1;
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
    snprintf(tree->fact_xid, sizeof tree->fact_xid, "%s", last->last_xid);
    snprintf(tree->fact_seq, sizeof tree->fact_seq, "%s", last->last_seq);
    snprintf(verify->since_xid, sizeof verify->since_xid, "%s", last->last_xid);
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
    db_result_free(tree->leaves.rows);
    db_result_free(tree->facts.rows);
    db_array_free(&tree->node_levels);
    db_array_free(&tree->node_positions);
    db_array_free(&tree->node_hashes);
}

static int walk(struct tree *tree, struct err *err)
{
    int r = begin_since(tree, err);
    if (r == 0)
        r = next_block(tree, err);
    if (r == 0)
        r = end_blocks(tree, err); /* a block without leaves */
    while (r == 0 && (r = step(tree, err)) == 1)
        r = 0;
    return r;
}

int verify_tree(struct verify *verify, struct outside_heads *heads, struct err *err)
{
    struct tree tree = {.verify = verify, .heads = heads, .blocks = {.last = {.height = -1}}};
    snprintf(tree.fact_xid, sizeof tree.fact_xid, "0");
    snprintf(tree.fact_seq, sizeof tree.fact_seq, "0");
    int r = walk(&tree, err);
    if (r == 0)
        r = skip_missing(&tree, verify->size, err);
    if (r == 0)
        r = compare_nodes(&tree, err);
    if (r == 0)
        r = count_nodes(&tree, err);
    tree_clear(&tree);
    outside_end(verify, heads, verify->size);
    return r;
}
