/* epoch.c - acquit ledger epoch: which restores the ledger has seen, and how it goes on after one (ledger/epoch.h) */
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "ledger/epoch.h"
#include "workers/operator/operator.h"
#include "workers/operator/table.h"

enum {
    BEGIN_TIMEOUT_MS = 600 * 1000, /* every transaction id that is stored is looked at */
    NUMBER_SIZE = 24,
};

const struct option_row ledger_epoch_options[] = {
    {.name = "reason", .kind = OPTION_TEXT, .value = "TEXT", .sentence = "begin: why; it is recorded (required)"},
    {.name = "actor",
     .kind = OPTION_TEXT,
     .value = "NAME",
     .sentence = "begin: who; it is recorded (default: $SUDO_USER or your login)"},
    {.name = "number",
     .kind = OPTION_INT,
     .least = 2,
     .most = INT32_MAX,
     .value = "N",
     .sentence = "begin: this epoch, higher than any that a head seen outside has (default: the next one)"},
    {0},
};

/* -- ledger epoch */

static const char *number_text(const json_t *epoch, const char *name, char ret[static NUMBER_SIZE])
{
    const json_t *value = json_object_get(epoch, name);
    ret[0] = '\0';
    if (value)
        snprintf(ret, NUMBER_SIZE, "%lld", (long long)json_integer_value(value));
    return ret;
}

static void print_epochs(const json_t *epochs)
{
    static const char *const headings[] = {">EPOCH", ">FIRST BLOCK", ">FACTS BEFORE", "BEGUN",
                                           "BY",     ">ADDS",        "REASON",        NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(epochs); i++) {
        const json_t *row = json_array_get(epochs, i);
        char epoch[NUMBER_SIZE], block[NUMBER_SIZE], before[NUMBER_SIZE], adds[NUMBER_SIZE];
        const char *cells[] = {number_text(row, "epoch", epoch),
                               number_text(row, "firstBlock", block),
                               number_text(row, "factsBefore", before),
                               json_text(row, "at", ""),
                               json_text(row, "actor", ""),
                               number_text(row, "xidOffset", adds),
                               json_text(row, "reason", "")};
        table_row(table, cells);
    }
    table_print(table, "", stdout);
    table_free(table);
}

static int list(struct op *op, struct err *err)
{
    char server[EPOCH_SERVER_SIZE];
    struct err why = {0};
    json_t *epochs = operator_db(op, err) ? epoch_list(op->db, err) : NULL;
    if (!epochs)
        return -1;
    bool good = epoch_check(op->db, server, &why) == 0;
    if (!good && why.code != ERR_CONFIG) {
        json_decref(epochs);
        return err_set(err, why.code, "%s", why.text);
    }
    if (op->json) {
        operator_print(
            json_pack("{s:b, s:s*, s:o}", "writable", good, "message", good ? NULL : why.text, "epochs", epochs));
        return good ? 0 : EXIT_NO;
    }
    print_epochs(epochs);
    if (!good)
        printf("nobody may write here: %s\n", why.text);
    json_decref(epochs);
    return good ? 0 : EXIT_NO;
}

/* -- ledger epoch begin */

static int begin(struct op *op, struct err *err)
{
    char login[OPERATOR_ACTOR_SIZE];
    struct epoch epoch;
    struct db *db = operator_writer(op, BEGIN_TIMEOUT_MS, err);
    if (!db)
        return -1;
    int r = epoch_begin(db, (int)args_int(&op->args, "number", 0), operator_actor(&op->args, login),
                        args_text(&op->args, "reason", ""), &epoch, err);
    db_free(db);
    if (r != 0)
        return err_prefix(err, "no epoch has begun%s",
                          err->code == ERR_AGAIN ? "; is everything stopped that writes to the ledger?" : "");
    if (op->json)
        operator_print(json_pack("{s:i, s:I}", "epoch", epoch.number, "xidOffset", (json_int_t)epoch.offset));
    else
        printf("epoch %d has begun: %lld is added to the server's transaction ids\n", epoch.number,
               (long long)epoch.offset);
    return 0;
}

int cmd_ledger_epoch(struct op *op, struct err *err)
{
    bool begins = op->args.positional_count > 0;
    if (begins && strcmp(op->args.positional[0], "begin") != 0)
        return err_set(err, ERR_INVALID, "%s: only `begin` may stand here", op->args.positional[0]);
    for (const struct option_row *row = ledger_epoch_options; row->name && !begins; row++)
        if (args_flag(&op->args, row->name))
            return err_set(err, ERR_INVALID, "--%s belongs to `acquit ledger epoch begin`", row->name);
    return begins ? begin(op, err) : list(op, err);
}
