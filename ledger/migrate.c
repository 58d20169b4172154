/* migrate.c - brings a database to the schema this program was built with
 *
 * A migration is one script in one transaction: take the advisory lock, run the file, note its name and SHA-256. Of
 * two programs that migrate at once the second waits for the lock, then fails on what the first has made, looks
 * again and finds the note. So a note is there exactly when the whole file is. Fails with ERR_CONFIG when program
 * and database do not fit together, otherwise as db_script().
 */
#include "ledger/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/embed.h"
#include "common/mem.h"

/* Waiting for another migration is no reason to give up; waiting for a table that the farm is using is. */
#define SCRIPT_BEGIN                                                                                                   \
    "set local lock_timeout = 0; select pg_advisory_xact_lock(hashtext('acquit.migrate'));"                            \
    " set local lock_timeout = '2s';\n"
#define SCRIPT_NOTE "\n; insert into ledger.migration (name, sha256) values ('%s', '%s')"

/* The notes of this database, a name and a sha256 a row; no rows when it has no schema yet. NULL on failure. */
static struct db_result *read_notes(struct db *db, struct err *err)
{
    struct db_result *schema = db_query(db, "select 1 where to_regclass('ledger.migration') is not null", 0, NULL, err);
    if (!schema || db_rows(schema) == 0)
        return schema;
    db_result_free(schema);
    return db_query(db, "select name, sha256 from ledger.migration order by name", 0, NULL, err);
}

static const char *noted_sha256(const struct db_result *notes, const char *name)
{
    for (int row = 0; row < db_rows(notes); row++)
        if (strcmp(db_value(notes, row, 0), name) == 0)
            return db_value(notes, row, 1);
    return NULL;
}

static bool is_ours(const char *name)
{
    for (size_t i = 0; i < embedded_sql_count; i++)
        if (strcmp(embedded_sql[i].name, name) == 0)
            return true;
    return false;
}

/* 1: noted as it is here, 0: missing, -1 with ERR_CONFIG: noted with another content. */
static int compare(const struct db_result *notes, const struct embedded_file *file, struct err *err)
{
    char sha256[SHA256_HEX_SIZE];
    const char *noted = noted_sha256(notes, file->name);
    sha256_hex(file->data, file->size, sha256);
    if (noted && strcmp(noted, sha256) != 0)
        return err_set(
            err, ERR_CONFIG,
            "migration %s was changed after it was applied: use the program that the database was made with, "
            "or put the change into a new migration",
            file->name);
    return noted ? 1 : 0;
}

/* Refuses a database that is not a beginning of what this program knows. */
static int check_notes(const struct db_result *notes, struct err *err)
{
    for (int row = 0; row < db_rows(notes); row++)
        if (!is_ours(db_value(notes, row, 0)))
            return err_set(err, ERR_CONFIG, "the database is newer than this program: it has migration %s",
                           db_value(notes, row, 0));
    for (size_t i = 0; i < embedded_sql_count; i++)
        if (compare(notes, &embedded_sql[i], err) < 0)
            return -1;
    return 0;
}

static int apply(struct db *db, const struct embedded_file *file, struct err *err)
{
    char sha256[SHA256_HEX_SIZE], *script = NULL;
    sha256_hex(file->data, file->size, sha256);
    if (asprintf(&script, SCRIPT_BEGIN "%.*s" SCRIPT_NOTE, (int)file->size, file->data, file->name, sha256) < 0)
        return err_set(err, ERR_INTERNAL, "out of memory");
    int r = db_script(db, script, err);
    free(script);
    return r == 0 ? 0 : err_prefix(err, "migration %s", file->name);
}

/* After a failure: 1 when another program has applied it in the meantime, else -1. */
static int applied_by_another(struct db *db, const struct embedded_file *file)
{
    struct db_result *notes = read_notes(db, NULL);
    int r = notes && compare(notes, file, NULL) == 1 ? 1 : -1;
    db_result_free(notes);
    return r;
}

int migrate_apply(struct db *db, void (*on_applied)(const char *name), int *ret_applied, struct err *err)
{
    int applied = 0;
    struct db_result *notes = read_notes(db, err);
    int r = notes ? check_notes(notes, err) : -1;
    for (size_t i = 0; r == 0 && i < embedded_sql_count; i++) {
        const struct embedded_file *file = &embedded_sql[i];
        struct err why = {0};
        if (noted_sha256(notes, file->name))
            continue;
        if (apply(db, file, &why) == 0) {
            applied++;
            if (on_applied)
                on_applied(file->name);
        } else if (applied_by_another(db, file) < 0) {
            r = err_set(err, why.code, "%s", why.text);
        }
    }
    db_result_free(notes);
    if (r == 0)
        *ret_applied = applied;
    return r;
}

int migrate_check(struct db *db, struct err *err)
{
    struct db_result *notes = read_notes(db, err);
    int r = notes ? check_notes(notes, err) : -1;
    for (size_t i = 0; r == 0 && i < embedded_sql_count; i++)
        if (!noted_sha256(notes, embedded_sql[i].name))
            r = err_set(err, ERR_CONFIG, "the database lacks migration %s: run `acquit migrate`", embedded_sql[i].name);
    db_result_free(notes);
    return r;
}
