/* verify_archive.c - what was archived: are its leaves still the sealed ones, and its files still what left? (docs/archive.md)
 *
 * The facts are not here, but their leaves are, under the signed heads. So what an archive says of itself is compared with them, and a file with
 * that. Balances of what is away can only be derived anew from the files.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/money.h"
#include "ledger/archive_internal.h"
#include "ledger/store.h"
#include "ledger/verify_internal.h"

enum { LEAVES_PAGE = 4096, PATH_SIZE = 4096, HASH_TEXT_SIZE = 2 + SHA256_HEX_SIZE };

#define ARCHIVES                                                                                                       \
    "select id, name, coalesce(began_from::text, '-infinity'), began_to, payments, facts, transfers, leaves, file, "   \
    "file_sha256 from ledger.archived order by id"
enum { A_ID, A_NAME, A_FROM, A_TO, A_PAYMENTS, A_FACTS, A_TRANSFERS, A_LEAVES, A_FILE, A_SHA256 };

/* Behind $3, $4; by payment and position, as the file has them. */
#define LEAVES                                                                                                         \
    "select l.payment_id, l.position, l.hash from ledger.payment p join ledger.seal_leaf l on l.payment_id = "         \
    "p.payment_id where p.began >= $1::date and p.began < $2::date and (l.payment_id, l.position) > ($3::uuid, "       \
    "$4::bigint) order by l.payment_id, l.position limit $5::int"

struct archive {
    struct verify *verify;
    const struct db_result *rows;
    int row;
};

static const char *column(const struct archive *archive, int i)
{
    return db_value(archive->rows, archive->row, i);
}

static void fault(const struct archive *archive, const char *what)
{
    verify_fault(archive->verify, VERIFY_ARCHIVE, NOWHERE, "archive %s (%s): %s", column(archive, A_NAME),
                 column(archive, A_FILE), what);
}

/* --- leaves --- */

static int add_leaves(struct archive_sums *sums, const struct db_result *rows, char after[static UUID_TEXT_SIZE],
                      struct err *err)
{
    for (int row = 0; row < db_rows(rows); row++) {
        struct archive_fact fact = {.position = (uint64_t)db_int(rows, row, 1)};
        const char *text = db_value(rows, row, 2);
        if (strlen(text) != HASH_TEXT_SIZE - 1 || hex_decode(text + 2, fact.leaf.bytes, SHA256_SIZE) != 0)
            return err_set(err, ERR_INTERNAL, "a leaf is no hash");
        if (strcmp(after, db_value(rows, row, 0)) != 0)
            archive_sums_payment(sums);
        snprintf(after, UUID_TEXT_SIZE, "%s", db_value(rows, row, 0));
        archive_sums_fact(sums, &fact);
    }
    return 0;
}

static int sum_leaves(const struct archive *archive, struct archive_counts *ret, struct err *err)
{
    char after[UUID_TEXT_SIZE] = "00000000-0000-0000-0000-000000000000", position[VERIFY_NUMBER_SIZE] = "-1",
         most[VERIFY_NUMBER_SIZE];
    struct archive_sums *sums = archive_sums_new();
    int r = 0, count = LEAVES_PAGE;
    while (r == 0 && count == LEAVES_PAGE) {
        const char *params[] = {column(archive, A_FROM), column(archive, A_TO), after, position,
                                verify_number(most, LEAVES_PAGE)};
        struct db_result *rows = db_query(archive->verify->db, LEAVES, 5, params, err);
        count = rows ? db_rows(rows) : 0;
        r = rows ? add_leaves(sums, rows, after, err) : -1;
        if (count > 0)
            verify_number(position, db_int(rows, count - 1, 1));
        db_result_free(rows);
    }
    if (r == 0)
        archive_sums_end(sums, ret);
    archive_sums_free(sums);
    return r;
}

static int check_leaves(const struct archive *archive, struct err *err)
{
    struct archive_counts counts;
    if (sum_leaves(archive, &counts, err) != 0)
        return -1;
    if (counts.payments != db_int(archive->rows, archive->row, A_PAYMENTS) ||
        counts.facts != db_int(archive->rows, archive->row, A_FACTS) ||
        strcmp(counts.leaves, column(archive, A_LEAVES)) != 0)
        fault(archive, "its leaves are not those that it says it has");
    archive->verify->result->archived += counts.facts;
    return 0;
}

/* --- files --- */

static void add_side(json_t *sums, const char *currency, const char *account, const char *side, int64_t amount)
{
    char key[ACCOUNT_SIZE + 16];
    int64_t sum;
    snprintf(key, sizeof key, "%s %s %s", currency, account, side);
    if (money_add(json_int(sums, key, 0), amount, &sum, NULL) == 0)
        json_object_set_new(sums, key, json_integer(sum));
}

enum { T_KIND = 1, T_DEBIT = 3, T_CREDIT, T_AMOUNT, T_CURRENCY };

static void add_transfers(json_t *sums, const json_t *transfers)
{
    const json_t *t;
    size_t i;
    json_array_foreach((json_t *)transfers, i, t)
    {
        const char *kind = json_string_value(json_array_get(t, T_KIND));
        const char *currency = json_string_value(json_array_get(t, T_CURRENCY)),
                   *amount = json_string_value(json_array_get(t, T_AMOUNT));
        if (!kind || !currency || !amount || (strcmp(kind, "post") != 0 && strcmp(kind, "transfer") != 0))
            continue;
        add_side(sums, currency, json_string_value(json_array_get(t, T_DEBIT)), "debits", strtoll(amount, NULL, 10));
        add_side(sums, currency, json_string_value(json_array_get(t, T_CREDIT)), "credits", strtoll(amount, NULL, 10));
    }
}

/* What the file's transfers moved; NULL with an error. */
static json_t *sum_file(const char *path, char ret_sha256[static SHA256_HEX_SIZE], struct err *err)
{
    struct archive_reader reader;
    struct archive_fact *facts;
    const char *began;
    json_t *line, *sums = json_object();
    int count;
    ret_sha256[0] = '\0';
    if (archive_reader_open(&reader, path, err) != 0) {
        json_decref(sums);
        return NULL;
    }
    while ((line = archive_reader_next(&reader, &began, &facts, &count, err)) != NULL) {
        for (int i = 0; i < count; i++)
            add_transfers(sums, facts[i].transfers);
        free(facts);
        json_decref(line);
    }
    archive_reader_close(&reader, ret_sha256);
    if (count == 0)
        return sums;
    json_decref(sums);
    return NULL;
}

static int compare_balances(const struct archive *archive, const json_t *sums, struct err *err)
{
    const char *params[] = {column(archive, A_ID)};
    struct db_result *rows =
        db_query(archive->verify->db,
                 "select currency, account, debits, credits from ledger.archive_balance where archive_id = $1::bigint",
                 1, params, err);
    if (!rows)
        return -1;
    json_auto_t *told = json_object();
    for (int row = 0; row < db_rows(rows); row++) {
        if (db_int(rows, row, 2) > 0)
            add_side(told, db_value(rows, row, 0), db_value(rows, row, 1), "debits", db_int(rows, row, 2));
        if (db_int(rows, row, 3) > 0)
            add_side(told, db_value(rows, row, 0), db_value(rows, row, 1), "credits", db_int(rows, row, 3));
    }
    db_result_free(rows);
    if (!json_equal(told, sums))
        fault(archive, "its balances are not the sums of its transfers");
    return 0;
}

static int check_file(const struct archive *archive, const char *folder, struct err *err)
{
    char path[PATH_SIZE], sha256[SHA256_HEX_SIZE];
    struct err why = {0};
    if (snprintf(path, sizeof path, "%s/%s", folder, column(archive, A_FILE)) >= PATH_SIZE)
        return err_set(err, ERR_INVALID, "--archives: the path is too long");
    json_auto_t *sums = sum_file(path, sha256, &why);
    if (!sums) {
        fault(archive, why.text);
        return 0;
    }
    if (strcmp(sha256, column(archive, A_SHA256)) != 0)
        fault(archive, "the file is not the one that was written");
    return compare_balances(archive, sums, err);
}

int verify_archives(struct verify *verify, struct err *err)
{
    struct db_result *rows = db_query(verify->db, ARCHIVES, 0, NULL, err);
    int r = rows ? 0 : -1;
    for (int row = 0; r == 0 && row < db_rows(rows); row++) {
        const struct archive archive = {verify, rows, row};
        r = check_leaves(&archive, err);
        if (r == 0 && verify->options->archives_dir)
            r = check_file(&archive, verify->options->archives_dir, err);
    }
    db_result_free(rows);
    return r;
}
