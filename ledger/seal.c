/* seal.c - see seal.h */
#include "ledger/seal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "ledger/key_change.h"
#include "ledger/map_keep.h"
#include "ledger/seal_internal.h"

struct sealer {
    struct sealer_options options;
    char origin[NOTE_NAME_SIZE];
    uint8_t private_key[ED25519_KEY_SIZE];
    char change[KEY_CHANGE_SIZE]; /* "": the key was there from the first */
    struct note_key key, old_key;

    bool loaded; /* what follows is the ledger's last block */
    struct merkle_edge edge;
    int64_t height; /* of the next block */
    int epoch;      /* of the last block, then the ledger's */
    struct seal_place last;
    char head[NOTE_SIZE_MAX]; /* "" before the first */
    struct map_line map;      /* as it states it */
    bool change_due;          /* it is the old key's: the next block begins with the statement */

    struct map_keep *keep;
    bool map_ready;          /* as far as it is known, keep can be refreshed */
    struct map_line new_map; /* what the next head states; size 0: what the last one did */
    int64_t map_at_ms;       /* when it was refreshed, monotonic */
};

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

/* The last head has to be ours, or of the key that names ours, and that of the tree that stands there. */
static int check_head(struct sealer *sealer, struct err *err)
{
    char copy[NOTE_SIZE_MAX];
    struct note_key keys[] = {sealer->key, sealer->old_key};
    struct checkpoint head;
    const struct note_key *by;
    struct err why = {0};
    int64_t height = sealer->height - 1;
    snprintf(copy, sizeof copy, "%s", sealer->head);
    if (checkpoint_open(copy, keys, *sealer->change ? 2 : 1, &head, &by, &why) != 0)
        return err_set(err, ERR_CONFLICT,
                       "the head of block %" PRId64
                       " is not of our key, nor of one that names it (`acquit ledger rotate-key`): %s",
                       height, why.text);
    struct hash root = merkle_root(&sealer->edge);
    if (head.size != sealer->edge.size || !hash_equal(&head.root, &root))
        return err_set(err, ERR_CONFLICT, "the head of block %" PRId64 " is not that of the tree in the ledger",
                       height);
    sealer->change_due = by == &keys[1];
    sealer->map = (struct map_line){0};
    for (size_t i = 1; i < head.line_count; i++)
        if (map_line_parse(head.lines[i], &sealer->map) == 0)
            break;
    return 0;
}

static void forget_map(struct sealer *sealer)
{
    map_keep_reset(sealer->keep);
    sealer->map_ready = false;
    sealer->new_map = (struct map_line){0};
}

static int load_last(struct sealer *sealer, const struct db_result *rows, struct err *err)
{
    sealer->height = db_int(rows, 0, 0) + 1;
    sealer->epoch = (int)db_int(rows, 0, 1);
    snprintf(sealer->last.xid, sizeof sealer->last.xid, "%s", db_value(rows, 0, 3));
    snprintf(sealer->last.seq, sizeof sealer->last.seq, "%s", db_value(rows, 0, 4));
    snprintf(sealer->head, sizeof sealer->head, "%s", db_value(rows, 0, 5));
    if (load_edge(sealer, (uint64_t)db_int(rows, 0, 2), err) != 0)
        return -1;
    return check_head(sealer, err);
}

static int load(struct sealer *sealer, struct err *err)
{
    struct db_result *rows = db_query(sealer->options.db,
                                      "select height, epoch, size, last_xid, last_seq, head from ledger.seal"
                                      " order by height desc limit 1",
                                      0, NULL, err);
    if (!rows)
        return -1;
    forget_map(sealer);
    sealer->height = 0;
    sealer->epoch = 1;
    sealer->edge = (struct merkle_edge){0};
    sealer->last = (struct seal_place){"0", "0"};
    sealer->head[0] = '\0';
    sealer->map = (struct map_line){0};
    sealer->change_due = false;
    int r = db_rows(rows) > 0 ? load_last(sealer, rows, err) : 0;
    db_result_free(rows);
    sealer->loaded = r == 0;
    return r;
}

/* --- a block --- */

static int sign(const struct sealer *sealer, const struct block *block, const struct map_line *map,
                char ret[static NOTE_SIZE_MAX], struct err *err)
{
    char text[SEAL_LINE_SIZE], map_text[MAP_LINE_SIZE];
    struct seal_line line = {.height = sealer->height, .epoch = sealer->epoch};
    struct checkpoint head = {.size = block->edge.size,
                              .root = merkle_root(&block->edge),
                              .line_count = map->size > 0 ? 2 : 1,
                              .lines = {text, map_text}};
    if (*sealer->head)
        sha256_hex(sealer->head, strlen(sealer->head), line.previous);
    seal_line_format(&line, text);
    map_line_format(map, map_text);
    snprintf(head.origin, sizeof head.origin, "%s", sealer->origin);
    return checkpoint_sign(&head, sealer->origin, sealer->private_key, ret, err);
}

static int write_block(const struct sealer *sealer, struct block *block, const char *head, struct err *err)
{
    char height[SEAL_NUMBER_SIZE], epoch[SEAL_NUMBER_SIZE], size[SEAL_NUMBER_SIZE], position[SEAL_NUMBER_SIZE];
    const char *seal[] = {seal_number(height, sealer->height),
                          seal_number(epoch, sealer->epoch),
                          seal_number(size, (int64_t)block->edge.size),
                          block->last.xid,
                          block->last.seq,
                          head};
    const char *change[] = {seal_number(position, (int64_t)sealer->edge.size), sealer->change};
    struct db_statement statements[1 + BLOCK_STATEMENTS + 1 + MAP_STATEMENTS] = {
        {"insert into ledger.seal (height, epoch, size, last_xid, last_seq, head)"
         " values ($1::bigint, $2::int, $3::bigint, $4::xid8, $5::bigint, $6::text)",
         6, seal}};
    size_t count = 1 + block_statements(block, statements + 1);
    if (sealer->change_due)
        statements[count++] = (struct db_statement){
            "insert into ledger.seal_key (position, statement) values ($1::bigint, $2::text)", 2, change};
    if (sealer->new_map.size > 0)
        count += map_keep_statements(sealer->keep, statements + count);
    return db_run(sealer->options.db, true, statements, count, NULL, err);
}

/* What was written is the last block now. */
static void advance(struct sealer *sealer, const struct block *block, const struct map_line *map, const char *head)
{
    sealer->loaded = true;
    sealer->edge = block->edge;
    sealer->last = block->last;
    sealer->change_due = false;
    snprintf(sealer->head, sizeof sealer->head, "%s", head);
    if (sealer->new_map.size > 0)
        map_keep_written(sealer->keep);
    sealer->map = *map;
    sealer->new_map = (struct map_line){0};
    int64_t height = sealer->height++;
    if (sealer->options.sealed)
        sealer->options.sealed(sealer->options.arg, head, height);
}

static int seal(struct sealer *sealer, struct block *block, struct err *err)
{
    const struct map_line map = sealer->new_map.size > 0 ? sealer->new_map : sealer->map;
    char head[NOTE_SIZE_MAX];
    if (sign(sealer, block, &map, head, err) != 0)
        return -1;
    sealer->loaded = false; /* unless all of it was written */
    if (write_block(sealer, block, head, err) != 0)
        return -1;
    advance(sealer, block, &map, head);
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

/* Slot key:<n>: the n-th change. */
static int add_change(struct sealer *sealer, struct block *block, struct err *err)
{
    struct db_result *rows = db_query(sealer->options.db, "select count(*) + 1 from ledger.seal_key", 0, NULL, err);
    if (!rows)
        return -1;
    char slot[SEAL_NUMBER_SIZE + 8];
    struct hash leaf = key_change_leaf(sealer->change);
    snprintf(slot, sizeof slot, "key:%" PRId64, db_int(rows, 0, 0));
    db_result_free(rows);
    block_add(block, KEY_CHANGE_PAYMENT, slot, &leaf);
    return 0;
}

int sealer_run(struct sealer *sealer, struct err *err)
{
    struct block block;
    int epoch;
    if (!sealer->loaded && load(sealer, err) != 0)
        return -1;
    block_begin(&block, &sealer->edge, &sealer->last);
    int r = sealer->change_due ? add_change(sealer, &block, err) : 0;
    if (r == 0)
        r = block_read(&block, sealer->options.db, &epoch, err);
    if (r == 0)
        r = note_epoch(sealer, epoch, err);
    if (r == 0 && (block.edge.size > sealer->edge.size || sealer->new_map.size > 0))
        r = seal(sealer, &block, err);
    int facts = block.facts;
    block_clear(&block);
    return r == 0 ? facts : -1;
}

/* --- the map --- */

static bool is_map_due(const struct sealer *sealer)
{
    uint64_t behind = sealer->edge.size - map_keep_size(sealer->keep);
    return behind >= SEAL_MAP_BEHIND_MAX ||
           (behind > 0 && clock_monotonic_ms() - sealer->map_at_ms >= sealer->options.map_interval_ms);
}

int sealer_follow(struct sealer *sealer, struct err *err)
{
    if (!sealer->loaded || sealer->edge.size == 0 || sealer->new_map.size > 0)
        return 0;
    if (!sealer->map_ready || sealer->edge.size - map_keep_size(sealer->keep) > MAP_FOLLOW_LEAVES) {
        int r = map_keep_step(sealer->keep, &sealer->map, sealer->edge.size, err);
        sealer->map_ready = r == 0;
        if (r != 0)
            return r;
    }
    if (sealer->map.size == map_keep_size(sealer->keep) && !is_map_due(sealer))
        return 0;
    struct map_line line;
    if (map_keep_refresh(sealer->keep, sealer->edge.size, &line, err) != 0) {
        sealer->map_ready = false;
        return -1;
    }
    sealer->new_map = line;
    sealer->map_at_ms = clock_monotonic_ms();
    return 0;
}

uint64_t sealer_size(const struct sealer *sealer)
{
    return sealer->edge.size;
}

uint64_t sealer_map_size(const struct sealer *sealer)
{
    return sealer->map.size;
}

/* --- life --- */

/* The statement, if there is one, names our key in the name of our log. */
static int take_change(struct sealer *sealer, const char *statement, struct err *err)
{
    struct key_change change;
    if (!statement || !*statement)
        return 0;
    if (key_change_open(statement, &change, err) != 0)
        return err_prefix(err, "the statement that comes with the key");
    if (strcmp(change.new_key.name, sealer->origin) != 0 ||
        memcmp(change.new_key.public_key, sealer->key.public_key, ED25519_KEY_SIZE) != 0)
        return err_set(err, ERR_INVALID, "the statement that comes with the key names another one");
    snprintf(sealer->change, sizeof sealer->change, "%s", statement);
    sealer->old_key = change.old_key;
    return 0;
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
    sealer->keep = map_keep_new(options->db);
    snprintf(sealer->origin, sizeof sealer->origin, "%s", options->origin);
    memcpy(sealer->private_key, options->private_key, ED25519_KEY_SIZE);
    snprintf(sealer->key.name, sizeof sealer->key.name, "%s", options->origin);
    ed25519_public(sealer->private_key, sealer->key.public_key);
    if (take_change(sealer, options->change, err) != 0) {
        sealer_free(sealer);
        return NULL;
    }
    return sealer;
}

void sealer_free(struct sealer *sealer)
{
    if (!sealer)
        return;
    map_keep_free(sealer->keep);
    explicit_bzero(sealer->private_key, sizeof sealer->private_key);
    free(sealer);
}
