/* seal.c - see seal.h */
#include "ledger/seal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "ledger/leaf.h"

enum { NODE_STEP = 4, NUMBER_SIZE = 24, HASH_TEXT_SIZE = 2 + SHA256_HEX_SIZE };

struct sealer {
    struct sealer_options options;
    char origin[NOTE_NAME_SIZE];
    uint8_t private_key[ED25519_KEY_SIZE];
    bool loaded; /* what follows is the ledger's last block */
    struct merkle_edge edge;
    int64_t height; /* of the next block */
    int epoch;      /* of the last block, then the ledger's */
    char last_xid[NUMBER_SIZE], last_seq[NUMBER_SIZE];
    char head[NOTE_SIZE_MAX]; /* "" before the first */
};

/* --- lines of heads --- */

void seal_line_format(const struct seal_line *line, char ret[static SEAL_LINE_SIZE])
{
    snprintf(ret, SEAL_LINE_SIZE, "acquit-seal-v1 epoch=%d block=%" PRId64 " previous=%s", line->epoch, line->height,
             *line->previous ? line->previous : "-");
}

int seal_line_parse(const char *text, struct seal_line *ret)
{
    char previous[SHA256_HEX_SIZE], again[SEAL_LINE_SIZE];
    *ret = (struct seal_line){0};
    if (sscanf(text, "acquit-seal-v1 epoch=%9d block=%18" SCNd64 " previous=%64s", &ret->epoch, &ret->height,
               previous) != 3)
        return -1;
    snprintf(ret->previous, sizeof ret->previous, "%s", strcmp(previous, "-") == 0 ? "" : previous);
    seal_line_format(ret, again); /* one way to write it */
    return strcmp(again, text) == 0 ? 0 : -1;
}

/* --- the tree in the database --- */

static const char *number(char ret[static NUMBER_SIZE], int64_t value)
{
    snprintf(ret, NUMBER_SIZE, "%" PRId64, value);
    return ret;
}

static int read_hash(const struct db_result *rows, int row, int column, struct hash *ret)
{
    const char *text = db_value(rows, row, column); /* "\x" and hex digits */
    return text && strlen(text) == HASH_TEXT_SIZE - 1 ? hex_decode(text + 2, ret->bytes, SHA256_SIZE) : -1;
}

static const char *hash_text(const struct hash *hash, char ret[static HASH_TEXT_SIZE])
{
    memcpy(ret, "\\x", 2);
    hex_encode(hash->bytes, SHA256_SIZE, ret + 2);
    return ret;
}

static int lost(uint64_t position, int level, struct err *err)
{
    return err_set(err, ERR_CONFLICT, "the sealed tree lacks its node %" PRIu64 " of level %d", position, level);
}

/* The roots of 2^span subtrees of level - span, which are kept, in one query; joined. */
static int joined_root(struct db *db, int level, int span, uint64_t position, struct hash *ret, struct err *err)
{
    char kept[NUMBER_SIZE], begin[NUMBER_SIZE], end[NUMBER_SIZE];
    const char *params[] = {number(begin, (int64_t)(position << span)), number(end, (int64_t)((position + 1) << span)),
                            number(kept, level - span)};
    struct db_result *rows =
        db_query(db,
                 level == span ? "select hash from ledger.seal_leaf where position >= $1::bigint and"
                                 " position < $2::bigint and $3::int = 0 order by position"
                               : "select hash from ledger.seal_node where position >= $1::bigint and"
                                 " position < $2::bigint and level = $3::int order by position",
                 3, params, err);
    struct merkle_edge edge = {0};
    bool good = rows && db_rows(rows) == 1 << span;
    for (int row = 0; good && row < 1 << span; row++) {
        struct hash root;
        good = read_hash(rows, row, 0, &root) == 0;
        merkle_append(&edge, &root, NULL, NULL);
    }
    *ret = merkle_root(&edge);
    bool answered = rows;
    db_result_free(rows);
    return good ? 0 : answered ? lost(position, level, err) : -1;
}

static int stored_subtree(void *arg, int level, uint64_t position, struct hash *ret, struct err *err)
{
    return joined_root(arg, level, level % NODE_STEP, position, ret, err);
}

struct merkle_source seal_source(struct db *db)
{
    return (struct merkle_source){stored_subtree, db};
}

/* --- where the ledger stands --- */

static int load_edge(struct sealer *sealer, uint64_t size, struct err *err)
{
    struct merkle_source source = seal_source(sealer->options.db);
    sealer->edge = (struct merkle_edge){.size = size};
    for (int level = 0; level < MERKLE_LEVELS_MAX; level++)
        if (size >> level & 1 &&
            source.subtree(source.arg, level, (size >> level) - 1, &sealer->edge.roots[level], err) != 0)
            return -1;
    return 0;
}

/* The last head has to be ours, and that of the tree that stands there. */
static int check_head(const struct sealer *sealer, const char *text, int64_t height, struct err *err)
{
    char copy[NOTE_SIZE_MAX];
    struct note_key key = {0};
    struct checkpoint head;
    const struct note_key *by;
    struct err why = {0};
    snprintf(key.name, sizeof key.name, "%s", sealer->origin);
    ed25519_public(sealer->private_key, key.public_key);
    snprintf(copy, sizeof copy, "%s", text);
    if (checkpoint_open(copy, &key, 1, &head, &by, &why) != 0)
        return err_set(err, ERR_CONFLICT, "the head of block %" PRId64 " is not ours: %s", height, why.text);
    struct hash root = merkle_root(&sealer->edge);
    if (head.size != sealer->edge.size || !hash_equal(&head.root, &root))
        return err_set(err, ERR_CONFLICT, "the head of block %" PRId64 " is not that of the tree in the ledger",
                       height);
    return 0;
}

static int load(struct sealer *sealer, struct err *err)
{
    struct db_result *rows = db_query(sealer->options.db,
                                      "select height, epoch, size, last_xid, last_seq, head from ledger.seal"
                                      " order by height desc limit 1",
                                      0, NULL, err);
    if (!rows)
        return -1;
    int r = 0;
    sealer->height = 0;
    sealer->epoch = 1;
    sealer->edge = (struct merkle_edge){0};
    snprintf(sealer->last_xid, sizeof sealer->last_xid, "0");
    snprintf(sealer->last_seq, sizeof sealer->last_seq, "0");
    sealer->head[0] = '\0';
    if (db_rows(rows) > 0) {
        sealer->height = db_int(rows, 0, 0) + 1;
        sealer->epoch = (int)db_int(rows, 0, 1);
        snprintf(sealer->last_xid, sizeof sealer->last_xid, "%s", db_value(rows, 0, 3));
        snprintf(sealer->last_seq, sizeof sealer->last_seq, "%s", db_value(rows, 0, 4));
        snprintf(sealer->head, sizeof sealer->head, "%s", db_value(rows, 0, 5));
        r = load_edge(sealer, (uint64_t)db_int(rows, 0, 2), err);
        if (r == 0)
            r = check_head(sealer, sealer->head, sealer->height - 1, err);
    }
    db_result_free(rows);
    sealer->loaded = r == 0;
    return r;
}

/* --- a block --- */

/* Rows to insert, column by column. */
struct block {
    struct merkle_edge edge;
    struct db_array positions, payments, slots, hashes; /* leaves */
    struct db_array node_levels, node_positions, node_hashes;
    char last_xid[NUMBER_SIZE], last_seq[NUMBER_SIZE];
    int count;
};

static void block_clear(struct block *block)
{
    struct db_array *arrays[] = {&block->positions,   &block->payments,       &block->slots,      &block->hashes,
                                 &block->node_levels, &block->node_positions, &block->node_hashes};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        db_array_free(arrays[i]);
}

static void on_filled(void *arg, int level, uint64_t position, const struct hash *root)
{
    struct block *block = arg;
    char text[NUMBER_SIZE], hash[HASH_TEXT_SIZE];
    if (level == 0 || level % NODE_STEP != 0)
        return;
    db_array_add(&block->node_levels, number(text, level));
    db_array_add(&block->node_positions, number(text, (int64_t)position));
    db_array_add(&block->node_hashes, hash_text(root, hash));
}

static int add_fact(struct block *block, const struct db_result *rows, int row, struct err *err)
{
    const char *values[FACT_COLUMN_COUNT];
    char text[NUMBER_SIZE], hash[HASH_TEXT_SIZE];
    struct hash leaf;
    for (int i = 0; i < FACT_COLUMN_COUNT; i++)
        values[i] = db_value(rows, row, i);
    json_auto_t *transfers = json_loads(db_value(rows, row, FACT_COLUMN_COUNT), 0, NULL);
    if (leaf_of(values, transfers, &leaf, err) != 0)
        return -1;
    db_array_add(&block->positions, number(text, (int64_t)block->edge.size));
    db_array_add(&block->payments, values[0]);
    db_array_add(&block->slots, values[1]);
    db_array_add(&block->hashes, hash_text(&leaf, hash));
    merkle_append(&block->edge, &leaf, on_filled, block);
    snprintf(block->last_xid, sizeof block->last_xid, "%s", values[6]);
    snprintf(block->last_seq, sizeof block->last_seq, "%s", values[7]);
    block->count++;
    return 0;
}

/* The epoch of that moment, which never goes down. */
static int note_epoch(struct sealer *sealer, int epoch, struct err *err)
{
    if (epoch < sealer->epoch)
        return err_set(err, ERR_CONFLICT, "the last block is of epoch %d, and ledger.epoch goes to %d only",
                       sealer->epoch, epoch);
    sealer->epoch = epoch;
    return 0;
}

/* The horizon first: rows below it cannot become more after it was read. */
static struct db_result *read_rows(struct sealer *sealer, struct err *err)
{
    char horizon[NUMBER_SIZE], most[NUMBER_SIZE];
    struct db_result *rows =
        db_query(sealer->options.db, "select ledger.horizon(), coalesce((select max(epoch) from ledger.epoch), 1)", 0,
                 NULL, err);
    if (!rows)
        return NULL;
    snprintf(horizon, sizeof horizon, "%s", db_value(rows, 0, 0));
    int r = note_epoch(sealer, (int)db_int(rows, 0, 1), err);
    db_result_free(rows);
    if (r != 0)
        return NULL;
    const char *params[] = {sealer->last_xid, sealer->last_seq, horizon, number(most, SEAL_BLOCK_MAX)};
    return db_query(sealer->options.db,
                    "select " LEAF_COLUMNS
                    " from ledger.event e where (e.xid, e.seq) > ($1::xid8, $2::bigint) and e.xid < $3::xid8"
                    " order by e.xid, e.seq limit $4::int",
                    4, params, err);
}

static int sign(const struct sealer *sealer, const struct block *block, char ret[static NOTE_SIZE_MAX], struct err *err)
{
    char text[SEAL_LINE_SIZE];
    struct seal_line line = {.height = sealer->height, .epoch = sealer->epoch};
    struct checkpoint head = {
        .size = block->edge.size, .root = merkle_root(&block->edge), .line_count = 1, .lines = {text}};
    if (*sealer->head)
        sha256_hex(sealer->head, strlen(sealer->head), line.previous);
    seal_line_format(&line, text);
    snprintf(head.origin, sizeof head.origin, "%s", sealer->origin);
    return checkpoint_sign(&head, sealer->origin, sealer->private_key, ret, err);
}

static int write_block(const struct sealer *sealer, struct block *block, const char *head, struct err *err)
{
    char height[NUMBER_SIZE], epoch[NUMBER_SIZE], size[NUMBER_SIZE];
    const char *leaves[] = {db_array_text(&block->positions), db_array_text(&block->payments),
                            db_array_text(&block->slots), db_array_text(&block->hashes)};
    const char *nodes[] = {db_array_text(&block->node_levels), db_array_text(&block->node_positions),
                           db_array_text(&block->node_hashes)};
    const char *seal[] = {number(height, sealer->height),
                          number(epoch, sealer->epoch),
                          number(size, (int64_t)block->edge.size),
                          block->last_xid,
                          block->last_seq,
                          head};
    const struct db_statement statements[] = {
        {"insert into ledger.seal (height, epoch, size, last_xid, last_seq, head)"
         " values ($1::bigint, $2::int, $3::bigint, $4::xid8, $5::bigint, $6::text)",
         6, seal},
        {"insert into ledger.seal_leaf (position, payment_id, slot, hash)"
         " select * from unnest($1::bigint[], $2::uuid[], $3::text[], $4::bytea[])",
         4, leaves},
        {"insert into ledger.seal_node (level, position, hash)"
         " select * from unnest($1::smallint[], $2::bigint[], $3::bytea[])",
         3, nodes},
    };
    return db_run(sealer->options.db, true, statements, sizeof statements / sizeof statements[0], NULL, err);
}

static int seal_rows(struct sealer *sealer, const struct db_result *rows, struct err *err)
{
    struct block block = {.edge = sealer->edge};
    char head[NOTE_SIZE_MAX];
    int r = 0;
    for (int row = 0; r == 0 && row < db_rows(rows); row++)
        r = add_fact(&block, rows, row, err);
    if (r == 0)
        r = sign(sealer, &block, head, err);
    sealer->loaded = false; /* unless all of it was written */
    if (r == 0)
        r = write_block(sealer, &block, head, err);
    if (r == 0) {
        sealer->loaded = true;
        sealer->edge = block.edge;
        memcpy(sealer->last_xid, block.last_xid, sizeof sealer->last_xid);
        memcpy(sealer->last_seq, block.last_seq, sizeof sealer->last_seq);
        snprintf(sealer->head, sizeof sealer->head, "%s", head);
        int64_t height = sealer->height++;
        if (sealer->options.sealed)
            sealer->options.sealed(sealer->options.arg, head, height);
    }
    block_clear(&block);
    return r == 0 ? db_rows(rows) : -1;
}

int sealer_run(struct sealer *sealer, struct err *err)
{
    if (!sealer->loaded && load(sealer, err) != 0)
        return -1;
    struct db_result *rows = read_rows(sealer, err);
    if (!rows)
        return -1;
    int count = db_rows(rows) > 0 ? seal_rows(sealer, rows, err) : 0;
    db_result_free(rows);
    return count;
}

struct sealer *sealer_new(const struct sealer_options *options, struct err *err)
{
    if (!note_name_valid(options->origin)) {
        err_set(err, ERR_INVALID, "'%s' is no name of a log: 1 to %d bytes, no blank and no '+'", options->origin,
                NOTE_NAME_SIZE - 1);
        return NULL;
    }
    struct sealer *sealer = mem_new(1, sizeof *sealer);
    sealer->options = *options;
    snprintf(sealer->origin, sizeof sealer->origin, "%s", options->origin);
    memcpy(sealer->private_key, options->private_key, ED25519_KEY_SIZE);
    return sealer;
}

void sealer_free(struct sealer *sealer)
{
    if (!sealer)
        return;
    explicit_bzero(sealer->private_key, sizeof sealer->private_key);
    free(sealer);
}
