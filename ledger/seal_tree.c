/* seal_tree.c - the sealed tree in the database, and the line that a block adds to its head (seal.h) */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ledger/seal_internal.h"

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

const char *seal_number(char ret[static SEAL_NUMBER_SIZE], int64_t value)
{
    snprintf(ret, SEAL_NUMBER_SIZE, "%" PRId64, value);
    return ret;
}

static int read_hash(const struct db_result *rows, int row, int column, struct hash *ret)
{
    const char *text = db_value(rows, row, column); /* "\x" and hex digits */
    return text && strlen(text) == SEAL_HASH_TEXT_SIZE - 1 ? hex_decode(text + 2, ret->bytes, SHA256_SIZE) : -1;
}

static int lost(uint64_t position, int level, struct err *err)
{
    return err_set(err, ERR_CONFLICT, "the sealed tree lacks its node %" PRIu64 " of level %d", position, level);
}

/* The roots of 2^span subtrees of level - span, which are kept, in one query; joined. */
static int joined_root(struct db *db, int level, int span, uint64_t position, struct hash *ret, struct err *err)
{
    char kept[SEAL_NUMBER_SIZE], begin[SEAL_NUMBER_SIZE], end[SEAL_NUMBER_SIZE];
    const char *params[] = {seal_number(begin, (int64_t)(position << span)),
                            seal_number(end, (int64_t)((position + 1) << span)), seal_number(kept, level - span)};
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
    return joined_root(arg, level, level % SEAL_NODE_STEP, position, ret, err);
}

struct merkle_source seal_source(struct db *db)
{
    return (struct merkle_source){stored_subtree, db};
}
