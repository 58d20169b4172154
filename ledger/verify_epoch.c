/* verify_epoch.c - epochs: which the ledger has, what they make of its functions, and which heads were lost when one began (epoch.h)
 *
 * A restore to an earlier moment sets the ledger back: heads that were sealed after it have left, and are of no tree that grows on. Nothing but a
 * signed head can say so: the first one of a later epoch names the block that it follows, and so gives up what an earlier epoch had beyond it.
 * Whoever has the key could say that without a restore, but not unseen: the epoch stands in every head from then on, and each head given up is told.
 */
#include <inttypes.h>
#include <string.h>

#include "ledger/epoch.h"
#include "ledger/verify_internal.h"

static int add_epoch(struct verify *verify, int number, int64_t offset, struct err *err)
{
    struct epochs *epochs = &verify->epochs;
    if (epochs->count == EPOCHS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d epochs", EPOCHS_MAX);
    if (offset < epochs->offset)
        verify_fault(verify, VERIFY_EPOCH, NOWHERE,
                     "epoch %d adds %" PRId64 " to transaction ids, one before it %" PRId64, number, offset,
                     epochs->offset);
    epochs->offset = offset;
    epochs->items[epochs->count++].number = number;
    return 0;
}

/* How far the tree had grown when the last block of each epoch was sealed. */
static int read_ends(struct verify *verify, struct err *err)
{
    struct epochs *epochs = &verify->epochs;
    struct db_result *rows =
        db_query(verify->db, "select epoch, max(size) from ledger.seal group by epoch order by epoch", 0, NULL, err);
    if (!rows)
        return -1;
    int row = 0;
    for (size_t i = 0; i < epochs->count; i++) {
        epochs->items[i].end = i ? epochs->items[i - 1].end : 0;
        for (; row < db_rows(rows) && db_int(rows, row, 0) <= epochs->items[i].number; row++)
            epochs->items[i].end = (uint64_t)db_int(rows, row, 1);
    }
    epochs->sealed = row ? (int)db_int(rows, row - 1, 0) : 0;
    db_result_free(rows);
    return 0;
}

int verify_epochs(struct verify *verify, struct err *err)
{
    struct db_result *rows =
        db_query(verify->db, "select epoch, xid_offset from ledger.epoch order by epoch", 0, NULL, err);
    if (!rows)
        return -1;
    int r = add_epoch(verify, 1, 0, err);
    for (int row = 0; r == 0 && row < db_rows(rows); row++)
        r = add_epoch(verify, (int)db_int(rows, row, 0), db_int(rows, row, 1), err);
    db_result_free(rows);
    verify->result->epoch = verify->epochs.items[verify->epochs.count - 1].number;
    if (r == 0 && verify->epochs.count > 1) /* a look at all blocks: only where it is needed */
        r = read_ends(verify, err);
    return r;
}

bool epoch_is_known(const struct verify *verify, int number)
{
    for (size_t i = 0; i < verify->epochs.count; i++)
        if (verify->epochs.items[i].number == number)
            return true;
    return false;
}

/* An epoch that the ledger does not have was given up whole, by a restore to a moment before it began. */
bool epoch_has_lost(const struct verify *verify, int number, uint64_t size)
{
    const struct epochs *epochs = &verify->epochs;
    uint64_t end = 0;
    for (size_t i = 0; i < epochs->count && epochs->items[i].number <= number; i++)
        end = epochs->items[i].end;
    return number < epochs->sealed && (size > end || !epoch_is_known(verify, number));
}

const char *epoch_definition(const struct verify *verify, const struct manifest_line *line,
                             char ret[static SHA256_HEX_SIZE])
{
    char definition[EPOCH_FUNCTION_SIZE];
    if (verify->epochs.offset == 0 || strcmp(line->kind, "function") != 0)
        return line->sha256;
    for (size_t i = 0; i < EPOCH_FUNCTIONS; i++) {
        const char *name = epoch_function(i, verify->epochs.offset, definition);
        size_t size = strlen(name);
        if (strncmp(line->name, name, size) == 0 && strcmp(line->name + size, "()") == 0) {
            sha256_hex(definition, strlen(definition), ret);
            ret[SHA256_HEX_SIZE / 2] = '\0'; /* its first half */
            return ret;
        }
    }
    return line->sha256;
}
