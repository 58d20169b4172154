/* verify.c - the list of parts (verify.h)
 *
 *     verify_epoch.c      epochs: which restores there were
 *     verify_schema.c     schema, triggers, grants
 *     verify_run.c        all rows, side by side:
 *         verify_tree.c       leaves, blocks (verify_heads.c), kept subtrees (verify_nodes.c)
 *         verify_dossier.c    payments, each with all it has: verify_books.c, verify_money.c, verify_views.c,
 *                             verify_balance.c
 *         verify_sum.c        and whether both saw the same; verify_rows.c where they did not
 *     verify_archive.c    what is in files
 *     verify_floor.c      accounts: the chart, and floors
 */
#include "ledger/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "ledger/verify_internal.h"

const char *verify_rule_text(enum verify_rule rule)
{
    static const char *const texts[] = {
#define X(id, text) [VERIFY_##id] = text,
        VERIFY_RULES(X)
#undef X
    };
    return texts[rule];
}

void verify_fault(struct verify *verify, enum verify_rule rule, struct verify_place place, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct verify_fault fault = {.rule = rule,
                                       .payment = place.payment ? place.payment : "",
                                       .slot = place.slot ? place.slot : "",
                                       .block = place.block,
                                       .text = text};
    pthread_mutex_lock(&verify->lock);
    verify->result->faults++;
    if (++verify->told[rule] <= VERIFY_FAULTS_MAX)
        verify->options->fault(verify->options->arg, &fault);
    pthread_mutex_unlock(&verify->lock);
}

void verify_progress(struct verify *verify, const char *what, int64_t done)
{
    pthread_mutex_lock(&verify->lock);
    if (verify->options->progress)
        verify->options->progress(verify->options->arg, what, done);
    pthread_mutex_unlock(&verify->lock);
}

const char *verify_number(char ret[static VERIFY_NUMBER_SIZE], int64_t value)
{
    snprintf(ret, VERIFY_NUMBER_SIZE, "%" PRId64, value);
    return ret;
}

static struct place place_at(const struct db_result *rows, int column)
{
    const char *xid = db_value(rows, 0, column);
    return (struct place){xid ? strtoull(xid, NULL, 10) : 0, db_int(rows, 0, column + 1)};
}

/* Up to where it was verified before. */
static int read_since(struct verify *verify, struct err *err)
{
    char height[VERIFY_NUMBER_SIZE];
    const char *params[] = {verify_number(height, verify->options->since)};
    if (verify->options->since < 0)
        return 0;
    struct db_result *rows = db_query(
        verify->db, "select size, last_xid, last_seq from ledger.seal where height = $1::bigint", 1, params, err);
    if (!rows)
        return -1;
    int r = db_rows(rows) == 0 ? err_set(err, ERR_NOT_FOUND, "there is no block %s to go on from", height) : 0;
    if (r == 0) {
        verify->since = place_at(rows, 1);
        verify->segments->first_size = (uint64_t)db_int(rows, 0, 0);
    }
    db_result_free(rows);
    return r;
}

/* The last block, and which leaves no head covers. */
static int read_seal(struct verify *verify, struct err *err)
{
    struct db_result *rows = db_query(verify->db,
                                      "select s.height, s.size, s.last_xid, s.last_seq,"
                                      " (select coalesce(max(position) + 1, 0) from ledger.seal_leaf)"
                                      " from (select 1) as one left join"
                                      " (select * from ledger.seal order by height desc limit 1) as s on true",
                                      0, NULL, err);
    if (!rows)
        return -1;
    verify->result->height = db_value(rows, 0, 0) ? db_int(rows, 0, 0) : -1;
    verify->size = (uint64_t)db_int(rows, 0, 1);
    verify->last = place_at(rows, 2);
    if ((uint64_t)db_int(rows, 0, 4) > verify->size)
        verify_fault(verify, VERIFY_LEAF_ADDED, IN_BLOCK(verify->result->height),
                     "there are leaves up to %" PRId64 ", but the last head covers %" PRIu64, db_int(rows, 0, 4),
                     verify->size);
    db_result_free(rows);
    return read_since(verify, err) == 0 ? segments_read(verify, verify->segments, err) : -1;
}

typedef int part_function(struct verify *verify, struct err *err);

static int part(struct verify *verify, const char *what, part_function *run, struct err *err)
{
    struct err why = {0};
    return verify_note(verify, what, run(verify, &why), &why, err);
}

static int verify_lines(struct verify *verify, const struct outside_heads *heads, struct err *err)
{
    struct err why = {0};
    return verify_note(verify, "heads from outside", outside_compare_lines(verify, heads, &why), &why, err);
}

static int verify_parts(struct verify *verify, struct outside_heads *heads, struct err *err)
{
    int r = part(verify, "the epochs", verify_epochs, err);
    if (r == 0)
        r = part(verify, "the schema", verify_schema, err);
    if (r == 0)
        r = part(verify, "the blocks", read_seal, err);
    if (r == 0 && verify->result->height >= 0 && verify->options->key_count == 0)
        r = err_set(err, ERR_CONFIG, "whose signature counts? Give --key, or seal.origin and seal.key");
    if (r == 0)
        r = part(verify, "the progress of the projections", views_progress, err);
    if (r == 0)
        r = verify_all_rows(verify, heads, err);
    if (r == 0)
        r = part(verify, "the keys", verify_keys, err);
    if (r == 0)
        r = verify_lines(verify, heads, err);
    if (r == 0)
        r = part(verify, "the map", verify_map, err);
    if (r == 0)
        r = part(verify, "the dead letters", verify_letters, err);
    if (r == 0)
        r = part(verify, "the archives", verify_archives, err);
    if (r == 0)
        r = part(verify, "the accounts", verify_accounts, err);
    return r;
}

/* Everything is read in one snapshot: what is written meanwhile is for the next time. */
static int connect_all(struct verify *verify, struct err *err)
{
    verify->holder = db_new(verify->options->database, err);
    if (!verify->holder || db_snapshot_hold(verify->holder, verify->snapshot, err) != 0)
        return -1;
    verify->db = verify_connect(verify, err);
    return verify->db ? 0 : -1;
}

int verify_ledger(const struct verify_options *options, struct verify_result *ret, struct err *err)
{
    struct verify verify = {.options = options, .result = ret, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct outside_heads heads = {0};
    *ret = (struct verify_result){.height = -1};
    verify.segments = mem_new(1, sizeof *verify.segments);
    int r = ledger_keys_read(&verify, err);
    if (r == 0)
        r = outside_read(&verify, &heads, err); /* before the ledger: it may be ahead of what was seen, never behind */
    if (r == 0)
        r = connect_all(&verify, err);
    if (r == 0)
        r = ledger_keys_recheck(&verify, err);
    if (r == 0)
        r = verify_parts(&verify, &heads, err);
    outside_free(&heads);
    db_free(verify.db);
    db_free(verify.holder);
    free(verify.segments);
    return r;
}
