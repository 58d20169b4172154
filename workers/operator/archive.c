/* archive.c - acquit ledger archive, acquit ledger restore: old partitions into files, and back (docs/archive.md) */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/archive.h"
#include "ledger/migrate.h"
#include "ledger/projection.h"
#include "workers/operator/operator.h"

enum {
    ARCHIVE_TIMEOUT_MS = 600 * 1000, /* one statement; sums over a partition take their time */
    AGE_SIZE = 32,
    AGE_MAX = 1000,
    PATH_SIZE = 4096,
};

const struct option_row ledger_archive_options[] = {
    {.name = "older-than",
     .kind = OPTION_TEXT,
     .value = "AGE",
     .sentence = "partitions that ended so long ago: 2y, 30m (months) or 800d (default 2y)"},
    {.name = "directory", .kind = OPTION_TEXT, .value = "DIR", .sentence = "where the files go (must be given)"},
    {.name = "dry-run", .kind = OPTION_FLAG, .sentence = "only say which partitions those are"},
    {0},
};

static const char *const units[] = {['d'] = "days", ['m'] = "months", ['y'] = "years"};

/* "2y" as SQL has it, "2 years". */
static int read_age(const char *text, char ret[static AGE_SIZE], struct err *err)
{
    char *end;
    long count = strtol(text, &end, 10);
    unsigned char unit = (unsigned char)*end;
    const char *name = unit < sizeof units / sizeof *units ? units[unit] : NULL;
    if (end == text || count < 0 || count > AGE_MAX || !name || end[1] != '\0')
        return err_set(err, ERR_INVALID, "--older-than: '%s' is no age: a number up to %d and d, m or y, as in 2y",
                       text, AGE_MAX);
    snprintf(ret, AGE_SIZE, "%ld %s", count, name);
    return 0;
}

/* The owner's connection: partitions are the owner's. */
static struct db *open_owner(struct op *op, struct err *err)
{
    const struct db_options options = {.url = config_text(op->config, "ledger.url"),
                                       .application = "acquit archive",
                                       .timeout_ms = ARCHIVE_TIMEOUT_MS};
    struct db *db = db_new(&options, err);
    if (db && migrate_check(db, err) != 0) {
        db_free(db);
        return NULL;
    }
    return db;
}

static void on_progress(void *arg, const char *what, int64_t payments)
{
    (void)arg;
    fprintf(stderr, "%s: %" PRId64 " payments\n", what, payments);
}

static json_t *answer_of(const struct archive_range *range, const struct archive_counts *counts, const char *path)
{
    json_t *from = *range->from ? json_string(range->from) : json_null();
    if (!counts)
        return json_pack("{s:s, s:o, s:s}", "name", range->name, "from", from, "to", range->to);
    return json_pack("{s:s, s:o, s:s, s:I, s:I, s:I, s:s}", "name", range->name, "from", from, "to", range->to,
                     "payments", (json_int_t)counts->payments, "facts", (json_int_t)counts->facts, "transfers",
                     (json_int_t)counts->transfers, "file", path);
}

static void say(const struct archive_range *range, const struct archive_counts *counts, const char *what,
                const char *path)
{
    const char *from = *range->from ? range->from : "the beginning";
    if (!counts)
        printf("%s: payments that began from %s up to %s\n", range->name, from, range->to);
    else
        printf("%s: %" PRId64 " payments, %" PRId64 " facts, %" PRId64 " transfers %s %s\n", range->name,
               counts->payments, counts->facts, counts->transfers, what, path);
}

/* -- ledger archive */

static int archive_one(struct op *op, struct db *db, const struct archive_range *range, const char *directory,
                       json_t *answers, struct err *err)
{
    char path[PATH_SIZE];
    struct archive_counts counts;
    if (snprintf(path, sizeof path, "%s/acquit-%s.archive", directory, range->name) >= PATH_SIZE)
        return err_set(err, ERR_INVALID, "--directory: the path is too long");
    const struct archive_options options = {.db = db, .path = path, .progress = on_progress};
    if (archive_write(&options, range, &counts, err) != 0)
        return err_prefix(err, "partition %s", range->name);
    operator_note(op, "ledger.archive", "partition", range->name, NULL, answer_of(range, &counts, path));
    if (op->json)
        json_array_append_new(answers, answer_of(range, &counts, path));
    else
        say(range, &counts, "are now in", path);
    return 0;
}

static int archive_all(struct op *op, struct db *db, const char *age, const char *directory, json_t *answers,
                       struct err *err)
{
    struct archive_range ranges[ARCHIVE_PARTITIONS_MAX];
    int count = archive_list(db, age, ranges, err), r = count < 0 ? -1 : 0;
    for (int i = 0; r == 0 && i < count; i++) {
        if (directory)
            r = archive_one(op, db, &ranges[i], directory, answers, err);
        else if (op->json)
            json_array_append_new(answers, answer_of(&ranges[i], NULL, NULL));
        else
            say(&ranges[i], NULL, NULL, NULL);
    }
    if (r == 0 && count == 0 && !op->json)
        printf("no partition is that old\n");
    return r;
}

int cmd_ledger_archive(struct op *op, struct err *err)
{
    char age[AGE_SIZE];
    const char *directory = args_text(&op->args, "directory", NULL);
    bool dry = args_flag(&op->args, "dry-run");
    if (read_age(args_text(&op->args, "older-than", "2y"), age, err) != 0)
        return -1;
    if (!directory && !dry)
        return err_set(err, ERR_INVALID, "--directory: must be given, a folder for the archives");
    struct db *db = open_owner(op, err);
    if (!db)
        return -1;
    json_t *answers = json_array();
    int r = archive_all(op, db, age, dry ? NULL : directory, answers, err);
    if (r == 0 && op->json)
        operator_print(json_pack("{s:O}", dry ? "due" : "archived", answers));
    json_decref(answers);
    db_free(db);
    return r;
}

/* -- ledger restore */

static void ignore_fault(void *arg, const struct projection_fault *fault)
{
    (void)arg;
    (void)fault;
}

/* The keeper has passed these facts long ago, so their projections are made here. */
static void list_again(struct db *db, const struct archive_range *range)
{
    struct err err = {0};
    struct projection_result result;
    const struct projection_check check = {.db = db,
                                           .rebuild = true,
                                           .began_from = *range->from ? range->from : NULL,
                                           .began_to = range->to,
                                           .fault = ignore_fault};
    if (projection_check(&check, &result, &err) != 0)
        fprintf(stderr, "acquit: the payments are back, but not in lists (run `acquit ledger rebuild`): %s\n",
                err.text);
}

int cmd_ledger_restore(struct op *op, struct err *err)
{
    const char *path = op->args.positional[0];
    struct archive_range range;
    struct archive_counts counts;
    struct db *db = open_owner(op, err);
    if (!db)
        return -1;
    const struct archive_options options = {.db = db, .path = path, .progress = on_progress};
    int r = archive_restore(&options, &range, &counts, err);
    if (r == 0)
        operator_note(op, "ledger.restore", "partition", range.name, NULL, answer_of(&range, &counts, path));
    if (r == 0)
        list_again(db, &range);
    if (r == 0 && op->json)
        operator_print(answer_of(&range, &counts, path));
    else if (r == 0)
        say(&range, &counts, "are back from", path);
    db_free(db);
    return r;
}
