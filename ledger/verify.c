/* verify.c - see verify.h; the parts are verify_epoch.c, verify_schema.c, verify_heads.c, verify_tree.c, verify_books.c, verify_money.c, verify_floor.c,
 * verify_balance.c, verify_archive.c */
#include "ledger/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

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
    verify->result->faults++;
    if (++verify->told[rule] > VERIFY_FAULTS_MAX)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const struct verify_fault fault = {.rule = rule,
                                       .payment = place.payment ? place.payment : "",
                                       .slot = place.slot ? place.slot : "",
                                       .block = place.block,
                                       .text = text};
    verify->options->fault(verify->options->arg, &fault);
}

void verify_progress(const struct verify *verify, const char *what, int64_t done)
{
    if (verify->options->progress)
        verify->options->progress(verify->options->arg, what, done);
}

const char *verify_number(char ret[static VERIFY_NUMBER_SIZE], int64_t value)
{
    snprintf(ret, VERIFY_NUMBER_SIZE, "%" PRId64, value);
    return ret;
}

/* A part that the ledger itself makes impossible (a column is gone, a row cannot be read) is a fault; the other parts go on. */
static int note(struct verify *verify, const char *what, int r, struct err *why, struct err *err)
{
    if (r == 0)
        return 0;
    if (why->code == ERR_INTERNAL || why->code == ERR_INVALID || why->code == ERR_CONFLICT) {
        verify_fault(verify, VERIFY_UNREADABLE, NOWHERE, "%s: %s", what, why->text);
        return 0;
    }
    return err_set(err, why->code == ERR_UNKNOWN ? ERR_AGAIN : why->code, "%s: %s", what, why->text);
}

/* The last block, and which leaves no head covers. One statement: the keeper may seal at this moment. */
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
    const char *xid = db_value(rows, 0, 2), *seq = db_value(rows, 0, 3);
    snprintf(verify->last_xid, sizeof verify->last_xid, "%s", xid ? xid : "0");
    snprintf(verify->last_seq, sizeof verify->last_seq, "%s", seq ? seq : "0");
    if ((uint64_t)db_int(rows, 0, 4) > verify->size)
        verify_fault(verify, VERIFY_LEAF_ADDED, IN_BLOCK(verify->result->height),
                     "there are leaves up to %" PRId64 ", but the last head covers %" PRIu64, db_int(rows, 0, 4),
                     verify->size);
    db_result_free(rows);
    return 0;
}

/* Sealed rows have ended, whatever the transaction ids of this server say after a restore. */
static int read_horizon(struct verify *verify, struct err *err)
{
    const char *params[] = {verify->last_xid, verify->last_seq};
    struct db_result *rows = db_query(verify->db,
                                      "select greatest(ledger.horizon()::text::numeric,"
                                      " $1::text::numeric + 1), (select count(*) from ledger.event"
                                      " where (xid, seq) > ($1::text::xid8, $2::text::bigint))",
                                      2, params, err);
    if (!rows)
        return -1;
    snprintf(verify->horizon, sizeof verify->horizon, "%s", db_value(rows, 0, 0));
    verify->result->unsealed = db_int(rows, 0, 1);
    db_result_free(rows);
    return 0;
}

typedef int part_function(struct verify *verify, struct err *err);

static int part(struct verify *verify, const char *what, part_function *run, struct err *err)
{
    struct err why = {0};
    return note(verify, what, run(verify, &why), &why, err);
}

static int verify_books_and_balances(struct verify *verify, struct err *err)
{
    struct balances *balances = balances_new();
    int r = verify_books(verify, balances, err);
    if (r == 0 && verify->options->since < 0)
        r = verify_balances(verify, balances, err);
    balances_free(balances);
    return r;
}

static int verify_tree_and_heads(struct verify *verify, struct outside_heads *heads, struct err *err)
{
    struct err why = {0};
    if (verify->result->height >= 0 && verify->options->key_count == 0)
        return err_set(err, ERR_CONFIG, "whose signature counts? Give --key, or seal.origin and seal.key");
    return note(verify, "the tree", verify_tree(verify, heads, &why), &why, err);
}

int verify_ledger(const struct verify_options *options, struct verify_result *ret, struct err *err)
{
    struct verify verify = {.options = options, .result = ret, .db = options->db, .since_xid = "0"};
    struct outside_heads heads = {0};
    *ret = (struct verify_result){.height = -1};
    int r = outside_read(&verify, &heads, err);
    if (r == 0)
        r = part(&verify, "the epochs", verify_epochs, err);
    if (r == 0)
        r = part(&verify, "the schema", verify_schema, err);
    if (r == 0)
        r = part(&verify, "the blocks", read_seal, err);
    if (r == 0)
        r = part(&verify, "the horizon", read_horizon, err);
    if (r == 0)
        r = verify_tree_and_heads(&verify, &heads, err);
    if (r == 0)
        r = part(&verify, "the books", verify_books_and_balances, err);
    if (r == 0)
        r = part(&verify, "the archives", verify_archives, err);
    if (r == 0)
        r = part(&verify, "the accounts", verify_accounts, err);
    outside_free(&heads);
    return r;
}
