/* archive.c - see archive.h: a partition into a file */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "ledger/archive_internal.h"
#include "ledger/read.h"
#include "ledger/saga.h"

enum { NUMBER_SIZE = 24, HASH_TEXT_SIZE = 2 + SHA256_HEX_SIZE, PROGRESS_PAYMENTS = 20000 };

/* --- which --- */

int archive_list(struct db *db, const char *age, struct archive_range ret[static ARCHIVE_PARTITIONS_MAX],
                 struct err *err)
{
    const char *params[] = {age};
    struct db_result *rows = db_query(
        db,
        "select name, coalesce(began_from, ''), began_to from (select substr(c.relname, length('event_') + 1) as name,"
        " (regexp_match(b.bound, 'FROM \\(''([0-9-]+)''\\)'))[1] as began_from,"
        " (regexp_match(b.bound, 'TO \\(''([0-9-]+)''\\)'))[1] as began_to from pg_inherits i join pg_class c on c.oid "
        "= i.inhrelid"
        " cross join lateral (select pg_get_expr(c.relpartbound, c.oid) as bound) as b"
        " where i.inhparent = 'ledger.event'::regclass) as p"
        " where began_to::date <= (clock_timestamp() at time zone 'UTC')::date - $1::interval order by began_to limit "
        "64",
        1, params, err);
    int count = rows ? db_rows(rows) : -1;
    for (int i = 0; i < count; i++) {
        snprintf(ret[i].name, sizeof ret[i].name, "%s", db_value(rows, i, 0));
        snprintf(ret[i].from, sizeof ret[i].from, "%s", db_value(rows, i, 1));
        snprintf(ret[i].to, sizeof ret[i].to, "%s", db_value(rows, i, 2));
    }
    db_result_free(rows);
    return count;
}

/* --- writing the file --- */

struct writer {
    const struct archive_options *options;
    const struct archive_range *range;
    const char *from; /* of the range, as SQL has it */
    FILE *file;
    struct archive_sums *sums;
    char after[UUID_TEXT_SIZE]; /* the last payment written */
    char horizon[NUMBER_SIZE];  /* facts from here on are later than the file */
    int64_t payments;
};

static int write_line(const struct writer *writer, json_t *line, struct err *err)
{
    int r = json_dumpf(line, writer->file, JSON_COMPACT) == 0 && fputc('\n', writer->file) != EOF
                ? 0
                : err_set(err, ERR_DENIED, "%s: %s", writer->options->path, strerror(errno));
    json_decref(line);
    return r;
}

enum { COLUMN_TRANSFERS = FACT_COLUMN_COUNT, COLUMN_POSITION, COLUMN_HASH, COLUMN_BEGAN };

#define WITHIN(row) row ".began >= $1::date and " row ".began < $2::date"
#define PAGE_IDS                                                                                                       \
    "select distinct e.payment_id from ledger.event e where " WITHIN("e") " and e.payment_id > $3::uuid"               \
                                                                          " order by e.payment_id limit $4::int"
#define PAGE_FACTS                                                                                                     \
    "select " LEAF_COLUMNS ", l.position, l.hash, e.began from ledger.event e left join ledger.seal_leaf l"            \
    " on l.payment_id = e.payment_id and l.slot = e.slot where " WITHIN(                                               \
        "e") " and e.payment_id = any($3::uuid[]) order by e.payment_id, l.position nulls last"

/* Has it come to its end? */
static int check_ended(const struct facts *facts, struct err *err)
{
    struct payment payment = {0};
    char id[PUBLIC_ID_SIZE];
    public_id_format(facts->payment_id, id);
    int r = saga_fold(facts, &payment, err);
    if (r == 0 && payment.received && (!payment.ended || saga_needs_something(facts, &payment)))
        r = err_set(err, ERR_CONFLICT, "payment %s has not come to its end: `acquit payment show %s`", id, id);
    payment_clear(&payment);
    return r == 0 ? 0 : err_prefix(err, "payment %s", id);
}

static int check_all_ended(const struct writer *writer, const struct db_result *ids, struct err *err)
{
    struct uuid list[ARCHIVE_PAGE];
    struct facts facts[ARCHIVE_PAGE] = {0};
    size_t count = (size_t)db_rows(ids);
    for (size_t i = 0; i < count; i++)
        list[i] = db_uuid(ids, (int)i, 0);
    int r = read_facts(writer->options->db, list, count, facts, err);
    for (size_t i = 0; i < count; i++) {
        if (r == 0)
            r = check_ended(&facts[i], err);
        facts_clear(&facts[i]);
    }
    return r;
}

static json_t *take_fact(const struct writer *writer, const struct db_result *rows, int row, struct err *err)
{
    struct archive_fact fact = {0};
    char hash[HASH_TEXT_SIZE] = "\\x";
    const char *sealed = db_value(rows, row, COLUMN_HASH);
    for (int i = 0; i < FACT_COLUMN_COUNT; i++)
        fact.values[i] = db_value(rows, row, i);
    json_auto_t *transfers = json_loads(db_value(rows, row, COLUMN_TRANSFERS), 0, NULL);
    fact.transfers = transfers;
    fact.position = (uint64_t)db_int(rows, row, COLUMN_POSITION);
    if (!sealed) {
        err_set(err, ERR_CONFLICT, "%s of payment %s is not sealed yet: does the keeper seal (docs/sealing.md)?",
                fact.values[1], fact.values[0]);
        return NULL;
    }
    if (leaf_of(fact.values, transfers, &fact.leaf, err) != 0)
        return NULL;
    hex_encode(fact.leaf.bytes, SHA256_SIZE, hash + 2);
    if (strcmp(hash, sealed) != 0) {
        err_set(err, ERR_CONFLICT, "%s of payment %s is not what was sealed: `acquit ledger verify`", fact.values[1],
                fact.values[0]);
        return NULL;
    }
    archive_sums_fact(writer->sums, &fact);
    return archive_fact_json(fact.values, transfers, fact.position);
}

/* The rows from `row` on that are of one payment, as a line; returns the row behind them, -1 on failure. */
static int write_payment(struct writer *writer, const struct db_result *rows, int row, struct err *err)
{
    const char *payment = db_value(rows, row, 0);
    json_t *facts = json_array(), *fact = facts;
    int end = row;
    for (; fact && end < db_rows(rows) && strcmp(db_value(rows, end, 0), payment) == 0; end++) {
        fact = take_fact(writer, rows, end, err);
        if (fact)
            json_array_append_new(facts, fact);
    }
    if (!fact) {
        json_decref(facts);
        return -1;
    }
    archive_sums_payment(writer->sums);
    json_t *line =
        json_pack("{s:s, s:s, s:o}", "payment", payment, "began", db_value(rows, row, COLUMN_BEGAN), "facts", facts);
    return write_line(writer, line, err) == 0 ? end : -1;
}

static struct db_result *read_page(const struct writer *writer, const struct db_result *ids, struct err *err)
{
    struct db_array array = {0};
    for (int row = 0; row < db_rows(ids); row++)
        db_array_add(&array, db_value(ids, row, 0));
    const char *params[] = {writer->from, writer->range->to, db_array_text(&array)};
    struct db_result *rows = db_query(writer->options->db, PAGE_FACTS, 3, params, err);
    db_array_free(&array);
    return rows;
}

/* 1: there may be more, 0: that was the last page. */
static int write_page(struct writer *writer, struct err *err)
{
    char most[NUMBER_SIZE];
    snprintf(most, sizeof most, "%d", ARCHIVE_PAGE);
    const char *params[] = {writer->from, writer->range->to, writer->after, most};
    struct db_result *ids = db_query(writer->options->db, PAGE_IDS, 4, params, err);
    int count = ids ? db_rows(ids) : -1, row = 0;
    if (count > 0 && check_all_ended(writer, ids, err) == 0) {
        struct db_result *rows = read_page(writer, ids, err);
        while (rows && row >= 0 && row < db_rows(rows))
            row = write_payment(writer, rows, row, err);
        if (!rows || row < 0)
            count = -1;
        db_result_free(rows);
        snprintf(writer->after, sizeof writer->after, "%s", db_value(ids, db_rows(ids) - 1, 0));
    } else if (count > 0) {
        count = -1;
    }
    db_result_free(ids);
    if (count < 0)
        return -1;
    writer->payments += count;
    if (writer->options->progress && writer->payments % PROGRESS_PAYMENTS < ARCHIVE_PAGE)
        writer->options->progress(writer->options->arg, "written", writer->payments);
    return count == ARCHIVE_PAGE;
}

/* Before anything is read: what is written later is of a transaction that has not ended now. */
static int read_horizon(struct writer *writer, struct err *err)
{
    struct db_result *rows = db_query(writer->options->db, "select ledger.horizon()", 0, NULL, err);
    if (!rows)
        return -1;
    snprintf(writer->horizon, sizeof writer->horizon, "%s", db_value(rows, 0, 0));
    db_result_free(rows);
    return 0;
}

static int write_all(struct writer *writer, struct archive_counts *ret, struct err *err)
{
    int r = write_line(writer, archive_head(writer->range), err);
    if (r == 0)
        r = 1;
    while (r == 1)
        r = write_page(writer, err);
    if (r != 0)
        return -1;
    archive_sums_end(writer->sums, ret);
    return write_line(writer, archive_tail(ret), err);
}

/* The name of the file is as safe as what is in it. */
static int sync_folder(const char *path, struct err *err)
{
    char *copy = mem_text(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd >= 0 && fsync(fd) == 0 ? 0 : err_set(err, ERR_DENIED, "the folder of %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(copy);
    return r;
}

static int write_file(struct writer *writer, struct archive_counts *ret, struct err *err)
{
    const char *path = writer->options->path;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    writer->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!writer->file)
        return err_set(err, errno == EEXIST ? ERR_CONFLICT : ERR_DENIED, "%s: %s", path, strerror(errno));
    writer->sums = archive_sums_new();
    int r = write_all(writer, ret, err);
    if (r == 0 && (fflush(writer->file) != 0 || fsync(fd) != 0))
        r = err_set(err, ERR_DENIED, "%s: %s", path, strerror(errno));
    if (fclose(writer->file) != 0 && r == 0)
        r = err_set(err, ERR_DENIED, "%s: %s", path, strerror(errno));
    archive_sums_free(writer->sums);
    return r == 0 ? sync_folder(path, err) : -1;
}

/* --- letting go of the partition --- */

/* What leaves is in no list (projection.h). A payment of it that goes on now is found below, and then nothing leaves. */
#define UNLIST_FROM(table)                                                                                             \
    "delete from view." table " where payment_id in (select payment_id from ledger.payment where began < '%3$s'"       \
    " and began >= coalesce(nullif('%2$s', '')::date, '-infinity'));"
#define UNLIST UNLIST_FROM("payment") UNLIST_FROM("attempt") UNLIST_FROM("refund") UNLIST_FROM("commission")

/* Names and days are of our own catalogue; numbers and hashes are ours. The parents are locked first, as writers lock them. */
#define LET_GO                                                                                                         \
    ARCHIVE_ALONE                                                                                                      \
    "insert into ledger.archive (name, act, began_from, began_to, payments, facts, transfers, leaves, file, "          \
    "file_sha256) values ('%1$s', 'archived', nullif('%2$s', '')::date, '%3$s', %4$" PRId64 ", %5$" PRId64             \
    ", %6$" PRId64 ", '%7$s', '%8$s', '%9$s');"                                                                        \
    "insert into ledger.archive_balance (archive_id, account, currency, debits, credits)"                              \
    " select (select max(id) from ledger.archive), account, currency, sum(debits), sum(credits) from ("                \
    "select debit as account, currency, amount as debits, 0 as credits from ledger.transfer_%1$s where kind in "       \
    "('post', 'transfer') union all select credit, currency, 0, amount from ledger.transfer_%1$s where kind in "       \
    "('post', 'transfer')) as side group by account, currency;" UNLIST                                                 \
    "lock table ledger.event, ledger.transfer in access exclusive mode;"                                               \
    "do $$ begin if exists (select from ledger.event_%1$s where xid >= '%10$s'::xid8) then raise exception using "     \
    "errcode = 'AQ006', message = 'the partition went on while it was archived'; end if; end $$;"                      \
    "alter table ledger.event detach partition ledger.event_%1$s;"                                                     \
    "alter table ledger.transfer detach partition ledger.transfer_%1$s;"                                               \
    "drop table ledger.event_%1$s, ledger.transfer_%1$s"

/* The file's name as an SQL literal has it, without its folder. */
static void file_name(const char *path, char *ret, size_t size)
{
    const char *slash = strrchr(path, '/');
    size_t used = 0;
    for (const char *c = slash ? slash + 1 : path; *c && used + 2 < size; c++) {
        if (*c == '\'')
            ret[used++] = '\'';
        ret[used++] = *c;
    }
    ret[used] = '\0';
}

static int let_go(const struct writer *writer, const struct archive_counts *counts, const char *sha256, struct err *err)
{
    char script[ARCHIVE_SCRIPT_SIZE], name[512];
    const struct archive_range *range = writer->range;
    file_name(writer->options->path, name, sizeof name);
    snprintf(script, sizeof script, LET_GO, range->name, range->from, range->to, counts->payments, counts->facts,
             counts->transfers, counts->leaves, name, sha256, writer->horizon);
    int r = db_script(writer->options->db, script, err);
    if (r != 0 && strcmp(db_sqlstate(writer->options->db), "AQ006") == 0) {
        err_clear(err);
        return err_set(err, ERR_AGAIN, "the partition went on while it was archived");
    }
    return r;
}

/* What was written is what is read. */
static int check_file(const struct writer *writer, const struct archive_counts *counts,
                      char ret_sha256[static SHA256_HEX_SIZE], struct err *err)
{
    struct archive_range range;
    struct archive_counts read;
    if (archive_check(writer->options->path, &range, &read, ret_sha256, err) != 0)
        return -1;
    if (strcmp(range.name, writer->range->name) != 0 || strcmp(read.leaves, counts->leaves) != 0)
        return err_set(err, ERR_CONFLICT, "%s: is not what was written", writer->options->path);
    return 0;
}

int archive_write(const struct archive_options *options, const struct archive_range *range, struct archive_counts *ret,
                  struct err *err)
{
    struct writer writer = {.options = options,
                            .range = range,
                            .from = *range->from ? range->from : "-infinity",
                            .after = "00000000-0000-0000-0000-000000000000"};
    char sha256[SHA256_HEX_SIZE];
    struct err why = {0};
    if (!archive_name_valid(range->name) || !archive_day_valid(range->to))
        return err_set(err, ERR_INVALID, "%s is no partition", range->name);
    if (read_horizon(&writer, err) != 0)
        return -1;
    int r = write_file(&writer, ret, &why);
    if (r == 0)
        r = check_file(&writer, ret, sha256, &why);
    if (r == 0)
        r = let_go(&writer, ret, sha256, &why);
    if (r != 0 && writer.file && why.code != ERR_UNKNOWN)
        unlink(options->path);
    return r == 0 ? 0 : err_set(err, why.code, "%s", why.text);
}
