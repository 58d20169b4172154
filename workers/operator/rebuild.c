/* rebuild.c - acquit ledger rebuild: the projections, made from the facts once more (ledger/projection.h) */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "ledger/migrate.h"
#include "ledger/projection.h"
#include "workers/operator/operator.h"

enum {
    REBUILD_TIMEOUT_MS = 600 * 1000, /* one statement */
    TOLD_MAX = 1000,                 /* differences; further ones are counted */
};

const struct option_row ledger_rebuild_options[] = {
    {.name = "check", .kind = OPTION_FLAG, .sentence = "only say what differs, and exit 1 if anything does"},
    {0},
};

struct rebuild {
    struct op *op;
    json_t *differences;
    int64_t told;
    bool counting; /* a progress line stands on the terminal */
};

static void end_progress(struct rebuild *rebuild)
{
    if (rebuild->counting)
        fputs("\r\033[K", stderr);
    rebuild->counting = false;
}

static void on_progress(void *arg, int64_t payments)
{
    struct rebuild *rebuild = arg;
    if (!isatty(STDERR_FILENO))
        return;
    end_progress(rebuild);
    fprintf(stderr, "payments: %" PRId64, payments);
    rebuild->counting = true;
}

static void print_fault(const struct projection_fault *fault)
{
    printf("payment %s  view.%s", fault->payment, fault->table);
    if (*fault->row)
        printf(" %s", fault->row);
    if (*fault->column)
        printf("  %s is %s, the facts give %s\n", fault->column, fault->stored ? fault->stored : "null",
               fault->given ? fault->given : "null");
    else
        printf("  %s\n", fault->stored ? "is a row that the facts do not give" : "lacks its row");
}

static void on_fault(void *arg, const struct projection_fault *fault)
{
    struct rebuild *rebuild = arg;
    end_progress(rebuild);
    if (++rebuild->told > TOLD_MAX)
        return;
    if (rebuild->op->json)
        json_array_append_new(rebuild->differences,
                              json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s?}", "paymentId", fault->payment, "table",
                                        fault->table, "row", fault->row, "column", fault->column, "stored",
                                        fault->stored, "given", fault->given));
    else
        print_fault(fault);
}

static void print_result(const struct projection_result *result, bool rebuilt)
{
    printf("%" PRId64 " payments, of which %" PRId64 " were not what the facts give", result->payments, result->differ);
    if (rebuilt)
        printf("; %" PRId64 " are written anew", result->written);
    if (result->behind)
        printf("; %" PRId64 " are still to be projected by the keeper", result->behind);
    puts("");
}

static int report(struct rebuild *rebuild, const struct projection_result *result, bool rebuilt)
{
    if (rebuild->op->json)
        operator_print(json_pack("{s:I, s:I, s:I, s:I, s:O}", "payments", (json_int_t)result->payments, "differ",
                                 (json_int_t)result->differ, "behind", (json_int_t)result->behind, "written",
                                 (json_int_t)result->written, "differences", rebuild->differences));
    else
        print_result(result, rebuilt);
    return !rebuilt && result->differ ? EXIT_NO : 0;
}

static int run(struct rebuild *rebuild, struct db *db, bool check_only, struct err *err)
{
    struct projection_result result;
    const struct projection_check check = {
        .db = db, .rebuild = !check_only, .fault = on_fault, .progress = on_progress, .arg = rebuild};
    int r = projection_check(&check, &result, err);
    end_progress(rebuild);
    if (r != 0 && err->code == ERR_DENIED)
        return err_prefix(err, "a member of acquit_projector may write the lists; name its login in ACQUIT_LEDGER_URL");
    return r == 0 ? report(rebuild, &result, !check_only) : -1;
}

int cmd_ledger_rebuild(struct op *op, struct err *err)
{
    struct rebuild rebuild = {.op = op, .differences = json_array()};
    bool check_only = args_flag(&op->args, "check");
    struct db *writer = check_only ? NULL : operator_writer(op, REBUILD_TIMEOUT_MS, err);
    struct db *db = check_only ? operator_db(op, err) : writer;
    int code = db && migrate_check(db, err) == 0 ? 0 : -1;
    if (code == 0 && !check_only)
        operator_note(op, "ledger.rebuild", "schema", "view", NULL, NULL);
    if (code == 0)
        code = run(&rebuild, db, check_only, err);
    if (writer)
        db_free(writer);
    json_decref(rebuild.differences);
    return code;
}
