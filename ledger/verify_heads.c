/* verify_heads.c - the signed heads: those in the ledger, block by block, and those that were seen outside */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "ledger/proof.h"
#include "ledger/verify_internal.h"

enum { BLOCKS_PAGE = 256, PATH_SIZE = 4096 };

/* --- seen outside --- */

static int read_file(const char *dir, const char *name, char ret[static NOTE_SIZE_MAX])
{
    char path[PATH_SIZE];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return -1;
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    size_t size = fread(ret, 1, NOTE_SIZE_MAX, file);
    bool good = !ferror(file) && size < NOTE_SIZE_MAX && !memchr(ret, '\0', size);
    fclose(file);
    ret[good ? size : 0] = '\0';
    return good ? 0 : -1;
}

static void read_line(const struct checkpoint *head, struct outside_head *ret)
{
    struct seal_line line;
    bool good = head->line_count > 0 && seal_line_parse(head->lines[0], &line) == 0;
    ret->epoch = good ? line.epoch : INT_MAX;
    ret->height = good ? line.height : -1;
}

static void add_outside(struct verify *verify, struct outside_heads *heads, const char *dir, const char *name)
{
    char text[NOTE_SIZE_MAX], sha256[SHA256_HEX_SIZE] = "";
    struct checkpoint head;
    struct err why = {0};
    bool read = read_file(dir, name, text) == 0;
    if (read)
        sha256_hex(text, note_text_size(text), sha256); /* it is taken to pieces */
    if (!read || ledger_keys_open(verify, text, &head, &why) != 0) {
        verify_fault(verify, VERIFY_HEAD, NOWHERE, "%s: %s", name, *why.text ? why.text : "it cannot be read");
        return;
    }
    if ((heads->count & (heads->count - 1)) == 0) /* doubles */
        heads->items = mem_grow(heads->items, heads->count ? 2 * heads->count : 1, sizeof *heads->items);
    struct outside_head *new = &heads->items[heads->count++];
    *new = (struct outside_head){.size = head.size, .root = head.root, .name = mem_text(name)};
    memcpy(new->sha256, sha256, sizeof sha256);
    read_line(&head, new);
}

static int by_size(const void *a, const void *b)
{
    const struct outside_head *x = a, *y = b;
    return x->size < y->size ? -1 : x->size > y->size ? 1 : strcmp(x->name, y->name);
}

static bool is_head(const char *name)
{
    size_t size = strlen(name);
    return size > 5 && strcmp(name + size - 5, ".head") == 0;
}

int outside_read(struct verify *verify, struct outside_heads *ret, struct err *err)
{
    const char *dir = verify->options->heads_dir;
    *ret = (struct outside_heads){0};
    if (!dir)
        return 0;
    if (verify->options->key_count == 0)
        return err_set(err, ERR_CONFIG, "whose signature counts? Give --key, or seal.origin and seal.key");
    DIR *files = opendir(dir);
    if (!files)
        return err_set(err, ERR_INVALID, "%s: %s", dir, strerror(errno));
    /* cppcheck-suppress readdirCalled */
    for (const struct dirent *file; (file = readdir(files));)
        if (is_head(file->d_name))
            add_outside(verify, ret, dir, file->d_name);
    closedir(files);
    if (ret->count)
        qsort(ret->items, ret->count, sizeof *ret->items, by_size);
    return 0;
}

void outside_free(struct outside_heads *heads)
{
    for (size_t i = 0; i < heads->count; i++)
        free(heads->items[i].name);
    free(heads->items);
}

static void note_known(struct verify *verify, const char *text)
{
    pthread_mutex_lock(&verify->lock);
    if (verify->result->lost++ < VERIFY_FAULTS_MAX && verify->options->note)
        verify->options->note(verify->options->arg, text);
    pthread_mutex_unlock(&verify->lock);
}

/* A head that does not fit: was it given up by a restore? Then that is told, whether it is known or not. */
static bool is_lost(struct verify *verify, const struct outside_head *head)
{
    char text[ERR_TEXT_MAX];
    if (!epoch_has_lost(verify, head->epoch, head->size))
        return false;
    snprintf(text, sizeof text,
             "%s: a given key has signed %" PRIu64
             " facts in epoch %d, and that a later epoch goes on without some of them",
             head->name, head->size, head->epoch);
    if (head->epoch < verify->options->epoch)
        note_known(verify, text);
    else
        verify_fault(verify, VERIFY_LOST, NOWHERE, "%s; `acquit ledger epoch` says why, --epoch that it is known",
                     text);
    return true;
}

static void compared(struct verify *verify, const struct outside_head *head, bool same)
{
    verify->result->heads++;
    if (!same && !is_lost(verify, head))
        verify_fault(verify, VERIFY_FORK, NOWHERE,
                     "%s: a given key has signed another root for %" PRIu64 " facts than the ledger has", head->name,
                     head->size);
}

void outside_compare(struct verify *verify, struct outside_heads *heads, uint64_t size, const struct hash *root)
{
    for (; heads->next < heads->count && heads->items[heads->next].size == size; heads->next++)
        compared(verify, &heads->items[heads->next], hash_equal(&heads->items[heads->next].root, root));
}

int outside_compare_old(struct verify *verify, struct outside_heads *heads, uint64_t size, const struct hash *root,
                        struct err *err)
{
    struct merkle_source source = seal_source(verify->db);
    for (; heads->next < heads->count && heads->items[heads->next].size <= size; heads->next++) {
        struct outside_head *head = &heads->items[heads->next];
        struct merkle_proof proof = {0};
        if (head->size > 0 && merkle_consistency(&source, head->size, size, &proof, err) != 0)
            return -1;
        compared(verify, head, head->size == 0 || merkle_consistent(head->size, &head->root, size, root, &proof));
    }
    return 0;
}

/* The ledger's heads of these heights: what the text without signatures hashes to, "" where there is no block. */
static struct db_result *read_texts(struct verify *verify, const struct outside_heads *heads, size_t from, size_t count,
                                    struct err *err)
{
    struct db_array heights = {0};
    char text[VERIFY_NUMBER_SIZE];
    for (size_t i = from; i < from + count; i++)
        db_array_add(&heights, verify_number(text, heads->items[i].height));
    const char *params[] = {db_array_text(&heights)};
    struct db_result *rows = db_query(verify->db,
                                      "select s.head from unnest($1::bigint[]) with ordinality as h (height, n)"
                                      " left join ledger.seal s using (height) order by h.n",
                                      1, params, err);
    db_array_free(&heights);
    return rows;
}

static void compare_text(struct verify *verify, const struct outside_head *head, const char *text)
{
    char sha256[SHA256_HEX_SIZE];
    struct proof_head own;
    if (epoch_has_lost(verify, head->epoch, head->size) || head->size > verify->size)
        return; /* told by its size */
    if (!text) {
        verify_fault(verify, VERIFY_TRUNCATED, NOWHERE,
                     "%s: a given key has signed block %" PRId64 ", which is not there", head->name, head->height);
        return;
    }
    sha256_hex(text, note_text_size(text), sha256);
    if (strcmp(sha256, head->sha256) == 0 || proof_read_head(text, &own) != 0 || own.size != head->size ||
        !hash_equal(&own.root, &head->root))
        return; /* the same, or what differs is told by its root */
    verify_fault(verify, VERIFY_FORK, NOWHERE,
                 "%s: a given key has signed other lines for block %" PRId64 " than the ledger has", head->name,
                 head->height);
}

int outside_compare_lines(struct verify *verify, const struct outside_heads *heads, struct err *err)
{
    for (size_t from = 0; from < heads->count; from += BLOCKS_PAGE) {
        size_t count = heads->count - from < BLOCKS_PAGE ? heads->count - from : BLOCKS_PAGE;
        struct db_result *rows = read_texts(verify, heads, from, count, err);
        if (!rows)
            return -1;
        for (size_t i = 0; i < count; i++)
            if (heads->items[from + i].height >= 0)
                compare_text(verify, &heads->items[from + i], db_value(rows, (int)i, 0));
        db_result_free(rows);
    }
    return 0;
}

void outside_end(struct verify *verify, const struct outside_heads *heads, uint64_t size)
{
    for (size_t i = heads->next; i < heads->count; i++) {
        if (heads->items[i].size <= size) /* the tree could not be followed there: told already */
            continue;
        verify->result->heads++;
        if (!is_lost(verify, &heads->items[i]))
            verify_fault(verify, VERIFY_TRUNCATED, NOWHERE,
                         "%s: a given key has signed %" PRIu64 " facts, the ledger has only %" PRIu64 " of them",
                         heads->items[i].name, heads->items[i].size, size);
    }
}

/* --- in the ledger --- */

void blocks_free(struct blocks *blocks)
{
    db_result_free(blocks->rows);
    blocks->rows = NULL;
}

static void check_line(struct verify *verify, const struct blocks *blocks, const struct block *block,
                       const struct checkpoint *head)
{
    struct seal_line line;
    if (head->line_count < 1 || seal_line_parse(head->lines[0], &line) != 0) {
        verify_fault(verify, VERIFY_BLOCK, IN_BLOCK(block->height), "its head has no line of the sealer");
        return;
    }
    if (head->size != block->size || line.height != block->height || line.epoch != block->epoch)
        verify_fault(verify, VERIFY_BLOCK, IN_BLOCK(block->height),
                     "its head is of block %" PRId64 ", epoch %d, with %" PRIu64 " facts", line.height, line.epoch,
                     head->size);
    const char *before = blocks->last.height < 0 ? "" : blocks->last.sha256;
    if (block->height == blocks->last.height + 1 && strcmp(line.previous, before) != 0)
        verify_fault(verify, VERIFY_CHAIN, IN_BLOCK(block->height),
                     "its head does not follow that of the block before it");
}

static void open_block(struct verify *verify, const struct blocks *blocks, struct block *block, const char *head)
{
    char text[NOTE_SIZE_MAX];
    struct checkpoint checkpoint;
    struct err why = {0};
    sha256_hex(head, strlen(head), block->sha256);
    snprintf(text, sizeof text, "%s", head);
    if (ledger_keys_open(verify, text, &checkpoint, &why) != 0) {
        verify_fault(verify, VERIFY_SIGNATURE, IN_BLOCK(block->height), "%s", why.text);
        return;
    }
    block->opened = true;
    block->root = checkpoint.root;
    for (size_t i = 1; i < checkpoint.line_count; i++)
        if (map_line_parse(checkpoint.lines[i], &block->map) == 0)
            break;
    check_line(verify, blocks, block, &checkpoint);
}

static void take_block(struct verify *verify, struct blocks *blocks, struct block *ret)
{
    const struct db_result *rows = blocks->rows;
    int row = blocks->row++;
    *ret = (struct block){
        .height = db_int(rows, row, 0), .epoch = (int)db_int(rows, row, 1), .size = (uint64_t)db_int(rows, row, 2)};
    ret->last = (struct place){strtoull(db_value(rows, row, 3), NULL, 10), db_int(rows, row, 4)};
    open_block(verify, blocks, ret, db_value(rows, row, 5));
}

/* What a block may be after the one before it. */
static void check_order(struct verify *verify, const struct block *last, const struct block *block)
{
    if (block->height != last->height + 1)
        verify_fault(verify, VERIFY_BLOCK, IN_BLOCK(last->height + 1), "blocks up to %" PRId64 " are not there",
                     block->height - 1);
    bool opened = block->opened && (last->opened || last->height < 0);
    bool new_map = block->map.size > last->map.size; /* a block without facts has one, and nothing else to say */
    if (block->size < last->size || (block->size == last->size && opened && !new_map))
        verify_fault(verify, VERIFY_BLOCK, IN_BLOCK(block->height),
                     "it ends with fact %" PRIu64 ", the block before it with %" PRIu64, block->size, last->size);
    if (ledger_keys_fill(verify, last->size, block->size) && place_compare(block->last, last->last) != 0)
        verify_fault(verify, VERIFY_BLOCK, IN_BLOCK(block->height),
                     "it has no facts, and does not end with the row that the block before it ends with");
    if (block->epoch < last->epoch)
        verify_fault(verify, VERIFY_EPOCH, IN_BLOCK(block->height), "epoch %d after epoch %d", block->epoch,
                     last->epoch);
    verify_map_line(verify, last, block);
    if (!epoch_is_known(verify, block->epoch))
        verify_fault(verify, VERIFY_EPOCH, IN_BLOCK(block->height), "ledger.epoch has no epoch %d", block->epoch);
}

#define BLOCK_COLUMNS "select height, epoch, size, last_xid, last_seq, head from ledger.seal"

static struct db_result *read_blocks(struct verify *verify, int64_t after, struct err *err)
{
    char low[VERIFY_NUMBER_SIZE], high[VERIFY_NUMBER_SIZE], most[VERIFY_NUMBER_SIZE];
    const char *params[] = {verify_number(low, after), verify_number(high, verify->result->height),
                            verify_number(most, BLOCKS_PAGE)};
    return db_query(verify->db,
                    BLOCK_COLUMNS " where height > $1::bigint and height <= $2::bigint order by height limit $3::int",
                    3, params, err);
}

int blocks_next(struct verify *verify, struct blocks *blocks, struct block *ret, struct err *err)
{
    if (!blocks->rows || blocks->row == db_rows(blocks->rows)) {
        blocks_free(blocks);
        blocks->row = 0;
        blocks->rows = read_blocks(verify, blocks->last.height, err);
        if (!blocks->rows)
            return -1;
        if (db_rows(blocks->rows) == 0)
            return 0;
    }
    take_block(verify, blocks, ret);
    check_order(verify, &blocks->last, ret);
    blocks->last = *ret;
    verify->result->blocks++;
    return 1;
}

int blocks_since(struct verify *verify, struct blocks *blocks, int64_t height, struct err *err)
{
    char text[VERIFY_NUMBER_SIZE];
    const char *params[] = {verify_number(text, height)};
    struct db_result *rows = db_query(verify->db, BLOCK_COLUMNS " where height = $1::bigint", 1, params, err);
    if (!rows)
        return -1;
    if (db_rows(rows) == 0) {
        db_result_free(rows);
        return err_set(err, ERR_NOT_FOUND, "there is no block %" PRId64 " to go on from", height);
    }
    blocks->rows = rows;
    blocks->last.height = height; /* its own link was verified with it */
    take_block(verify, blocks, &blocks->last);
    blocks_free(blocks);
    blocks->row = 0;
    return 0;
}
