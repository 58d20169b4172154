/* archive_restore.c - see archive.h: a file's rows back into the ledger
 *
 * The rows go into tables beside the ledger's, page by page; each leaf is compared with the sealed one. They become partitions in one transaction, at
 * the end. What an interrupted run left beside the ledger is dropped by the next.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "ledger/archive_internal.h"

enum { NUMBER_SIZE = 24, HASH_TEXT_SIZE = 2 + SHA256_HEX_SIZE, ROWS_MAX = 4096, PROGRESS_PAYMENTS = 20000 };

/* --- is it the one? --- */

static int check_noted(struct db *db, const struct archive_range *range, const struct archive_counts *counts,
                       const char *sha256, struct err *err)
{
    const char *params[] = {range->name, sha256, counts->leaves};
    struct db_result *rows =
        db_query(db, "select file_sha256 = $2::text, leaves = $3::text from ledger.archived where name = $1::text", 3,
                 params, err);
    if (!rows)
        return -1;
    int r = 0;
    if (db_rows(rows) == 0)
        r = err_set(err, ERR_CONFLICT, "partition %s is not archived in this ledger", range->name);
    else if (!db_bool(rows, 0, 0) || !db_bool(rows, 0, 1))
        r = err_set(err, ERR_CONFLICT, "the file is another one than was archived as %s: its SHA-256 is %s",
                    range->name, sha256);
    db_result_free(rows);
    return r;
}

/* --- rows --- */

enum { F_BEGAN = FACT_COLUMN_COUNT, F_POSITION, F_LEAF, F_COLUMNS };
enum { T_PAYMENT = TRANSFER_COLUMN_COUNT, T_SLOT, T_BEGAN, T_COLUMNS };

struct page {
    struct db_array facts[F_COLUMNS], transfers[T_COLUMNS];
    int fact_count, transfer_count;
};

static void page_clear(struct page *page)
{
    for (int i = 0; i < F_COLUMNS; i++)
        db_array_free(&page->facts[i]);
    for (int i = 0; i < T_COLUMNS; i++)
        db_array_free(&page->transfers[i]);
    page->fact_count = page->transfer_count = 0;
}

static void add_transfer(struct page *page, const struct archive_fact *fact, const json_t *transfer, const char *began)
{
    for (size_t i = 0; i < TRANSFER_COLUMN_COUNT; i++)
        db_array_add(&page->transfers[i], json_string_value(json_array_get(transfer, i)));
    db_array_add(&page->transfers[T_PAYMENT], fact->values[0]);
    db_array_add(&page->transfers[T_SLOT], fact->values[1]);
    db_array_add(&page->transfers[T_BEGAN], began);
    page->transfer_count++;
}

static void add_fact(struct page *page, const struct archive_fact *fact, const char *began)
{
    char position[NUMBER_SIZE], hash[HASH_TEXT_SIZE] = "\\x";
    for (int i = 0; i < FACT_COLUMN_COUNT; i++)
        db_array_add(&page->facts[i], fact->values[i]);
    snprintf(position, sizeof position, "%" PRIu64, fact->position);
    hex_encode(fact->leaf.bytes, SHA256_SIZE, hash + 2);
    db_array_add(&page->facts[F_BEGAN], began);
    db_array_add(&page->facts[F_POSITION], position);
    db_array_add(&page->facts[F_LEAF], hash);
    page->fact_count++;
    for (size_t i = 0; i < json_array_size(fact->transfers); i++)
        add_transfer(page, fact, json_array_get(fact->transfers, i), began);
}

/* Columns in the order of FACT_COLUMNS and TRANSFER_COLUMNS; rows go in only where leaf and day are those that the ledger kept. */
#define INSERT_FACTS                                                                                                   \
    "insert into ledger.event_%s (payment_id, slot, outcome, cause, actor, at, xid, seq, body, began)"                 \
    " select f.payment_id, f.slot, f.outcome, f.cause, f.actor, f.at, f.xid::xid8, f.seq, f.body, f.began from"        \
    " unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::timestamptz[], $7::text[], $8::bigint[]," \
    " $9::jsonb[], $10::date[], $11::bigint[], $12::bytea[])"                                                          \
    " as f(payment_id, slot, outcome, cause, actor, at, xid, seq, body, began, position, hash)"                        \
    " where f.hash = (select l.hash from ledger.seal_leaf l where l.position = f.position and l.payment_id = "         \
    "f.payment_id and l.slot = f.slot)"                                                                                \
    " and f.began = (select p.began from ledger.payment p where p.payment_id = f.payment_id) returning 1"
#define INSERT_TRANSFERS                                                                                               \
    "insert into ledger.transfer_%s (leg, kind, pending_of, debit, credit, amount, currency, at, xid, seq, "           \
    "payment_id, slot, began)"                                                                                         \
    " select t.leg, t.kind, t.pending_of, t.debit, t.credit, t.amount, t.currency, t.at, t.xid::xid8, t.seq, "         \
    "t.payment_id, t.slot, t.began from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::text[], "       \
    "$6::bigint[], $7::text[], $8::timestamptz[], $9::text[], $10::bigint[], $11::uuid[], $12::text[], $13::date[])"   \
    " as t(leg, kind, pending_of, debit, credit, amount, currency, at, xid, seq, payment_id, slot, began) returning 1"

struct restoring {
    const struct archive_options *options;
    const char *name;
    struct page page;
    char insert_facts[2048], insert_transfers[2048];
    int64_t payments;
};

static int insert_page(struct restoring *restoring, struct err *err)
{
    struct page *page = &restoring->page;
    const char *facts[F_COLUMNS], *transfers[T_COLUMNS];
    struct db_result *results[2] = {NULL};
    if (page->fact_count == 0)
        return 0;
    for (int i = 0; i < F_COLUMNS; i++)
        facts[i] = db_array_text(&page->facts[i]);
    for (int i = 0; page->transfer_count > 0 && i < T_COLUMNS; i++)
        transfers[i] = db_array_text(&page->transfers[i]);
    const struct db_statement statements[] = {{restoring->insert_facts, F_COLUMNS, facts},
                                              {restoring->insert_transfers, T_COLUMNS, transfers}};
    if (db_run(restoring->options->db, true, statements, page->transfer_count > 0 ? 2 : 1, results, err) != 0)
        return -1;
    int r = db_rows(results[0]) == page->fact_count
                ? 0
                : err_set(err, ERR_CONFLICT,
                          "%d facts are not those that were sealed, or their payments did not begin then",
                          page->fact_count - db_rows(results[0]));
    db_result_free(results[0]);
    db_result_free(results[1]);
    page_clear(page);
    return r;
}

static int load_rows(struct restoring *restoring, struct archive_reader *reader, struct err *err)
{
    struct archive_fact *facts;
    const char *began;
    int count, r = 0;
    json_t *line;
    while (r == 0 && (line = archive_reader_next(reader, &began, &facts, &count, err)) != NULL) {
        for (int i = 0; i < count; i++)
            add_fact(&restoring->page, &facts[i], began);
        free(facts);
        json_decref(line);
        if (++restoring->payments % PROGRESS_PAYMENTS == 0 && restoring->options->progress)
            restoring->options->progress(restoring->options->arg, "restored", restoring->payments);
        if (restoring->page.fact_count >= ROWS_MAX)
            r = insert_page(restoring, err);
    }
    if (r == 0 && count == 0)
        return insert_page(restoring, err);
    return -1;
}

/* --- tables --- */

/* A partition that is back must not be dropped by who is late. */
#define ONLY_IF_AWAY                                                                                                   \
    "do $$ begin if not exists (select from ledger.archived where name = '%1$s') then raise exception using "          \
    "errcode = 'AQ006', message = 'the partition is no longer archived'; end if; end $$;"
#define DROP_TABLES ARCHIVE_ALONE ONLY_IF_AWAY "drop table if exists ledger.event_%1$s, ledger.transfer_%1$s"
#define MAKE_TABLES                                                                                                    \
    DROP_TABLES                                                                                                        \
    "; create table ledger.event_%1$s (like ledger.event including defaults including constraints including "          \
    "comments);"                                                                                                       \
    "create table ledger.transfer_%1$s (like ledger.transfer including defaults including constraints including "      \
    "comments)"
#define ATTACH                                                                                                         \
    ARCHIVE_ALONE ONLY_IF_AWAY                                                                                         \
        "create trigger insert_only before update or delete or truncate on ledger.event_%1$s for each statement "      \
        "execute "                                                                                                     \
        "function ledger.refuse_change();"                                                                             \
        "alter table ledger.event_%1$s enable always trigger insert_only;"                                             \
        "create trigger insert_only before update or delete or truncate on ledger.transfer_%1$s for each statement "   \
        "execute function ledger.refuse_change();"                                                                     \
        "alter table ledger.transfer_%1$s enable always trigger insert_only;"                                          \
        "alter table ledger.event attach partition ledger.event_%1$s for values from (%2$s) to ('%3$s');"              \
        "alter table ledger.transfer attach partition ledger.transfer_%1$s for values from (%2$s) to ('%3$s');"        \
        "insert into ledger.archive (name, act, began_from, began_to, payments, facts, transfers, leaves, file, "      \
        "file_sha256) select name, 'restored', began_from, began_to, payments, facts, transfers, leaves, file, "       \
        "file_sha256 from ledger.archived where name = '%1$s'"

static int drop_tables(struct db *db, const struct archive_range *range, struct err *err)
{
    char script[ARCHIVE_SCRIPT_SIZE];
    snprintf(script, sizeof script, DROP_TABLES, range->name);
    return db_script(db, script, err);
}

static int make_tables(struct db *db, const struct archive_range *range, struct err *err)
{
    char script[ARCHIVE_SCRIPT_SIZE];
    snprintf(script, sizeof script, MAKE_TABLES, range->name);
    return db_script(db, script, err);
}

static int attach(struct db *db, const struct archive_range *range, struct err *err)
{
    char script[ARCHIVE_SCRIPT_SIZE], from[ARCHIVE_DAY_SIZE + 2] = "minvalue";
    if (*range->from)
        snprintf(from, sizeof from, "'%s'", range->from);
    snprintf(script, sizeof script, ATTACH, range->name, from, range->to);
    return db_script(db, script, err);
}

static int restore(struct restoring *restoring, const struct archive_range *range, struct err *err)
{
    struct archive_reader reader;
    char sha256[SHA256_HEX_SIZE];
    if (archive_reader_open(&reader, restoring->options->path, err) != 0)
        return -1;
    snprintf(restoring->insert_facts, sizeof restoring->insert_facts, INSERT_FACTS, range->name);
    snprintf(restoring->insert_transfers, sizeof restoring->insert_transfers, INSERT_TRANSFERS, range->name);
    int r = make_tables(restoring->options->db, range, err);
    if (r == 0)
        r = load_rows(restoring, &reader, err);
    if (r == 0)
        r = attach(restoring->options->db, range, err);
    if (r != 0) {
        struct err unsaid = {0}; /* what went wrong first is what is told; the next run drops them, too */
        (void)!drop_tables(restoring->options->db, range, &unsaid);
    }
    page_clear(&restoring->page);
    archive_reader_close(&reader, sha256);
    return r;
}

int archive_restore(const struct archive_options *options, struct archive_range *ret_range, struct archive_counts *ret,
                    struct err *err)
{
    struct restoring restoring = {.options = options};
    char sha256[SHA256_HEX_SIZE];
    if (archive_check(options->path, ret_range, ret, sha256, err) != 0 ||
        check_noted(options->db, ret_range, ret, sha256, err) != 0)
        return -1;
    return restore(&restoring, ret_range, err);
}
