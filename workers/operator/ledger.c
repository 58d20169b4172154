/* ledger.c - acquit ledger balance, acquit migrate, acquit id */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "ledger/migrate.h"
#include "ledger/read.h"
#include "workers/operator/balance.h"
#include "workers/operator/operator.h"

enum { MIGRATE_TIMEOUT_MS = 600 * 1000 /* one migration; building an index takes its time */ };

/* -- ledger balance */

static bool all_zero(const json_t *sums)
{
    const char *currency;
    json_t *sum;
    json_object_foreach((json_t *)sums, currency, sum) if (json_integer_value(sum) != 0) return false;
    return true;
}

static void print_sums(const json_t *sums)
{
    const char *currency;
    json_t *sum;
    json_object_foreach((json_t *)sums, currency, sum)
    {
        long long value = json_integer_value(sum);
        printf("%s sums to %lld%s\n", currency, value, value ? ": the books do not balance" : "");
    }
}

int cmd_ledger_balance(struct op *op, struct err *err)
{
    if (!operator_db(op, err))
        return -1;
    json_t *balances = read_trial_balance(op->db, err);
    json_t *sums = balances ? balance_sums(balances, err) : NULL;
    int code = -1;
    if (sums) {
        code = all_zero(sums) ? 0 : EXIT_NO;
        if (op->json) {
            operator_print(json_pack("{s:O, s:O, s:b}", "accounts", balances, "sums", sums, "balanced", code == 0));
        } else {
            balance_print(balances, stdout);
            print_sums(sums);
        }
    }
    json_decref(balances);
    json_decref(sums);
    return code;
}

/* -- migrate */

const struct option_row migrate_options[] = {
    {.name = "check", .kind = OPTION_FLAG, .sentence = "only say whether something is missing"},
    {0},
};

static json_t *applied_names; /* migrate_apply() says them to a function without an argument */

static void on_applied(const char *name)
{
    json_array_append_new(applied_names, json_string(name));
}

static int apply(struct op *op, struct db *db, struct err *err)
{
    int applied = 0;
    applied_names = json_array();
    int r = migrate_apply(db, on_applied, &applied, err);
    if (json_array_size(applied_names) > 0) /* also when a later one failed */
        operator_note(op, "ledger.migrate", "schema", "ledger", NULL, json_pack("{s:O}", "applied", applied_names));
    if (r == 0 && op->json) {
        operator_print(json_pack("{s:O}", "applied", applied_names));
    } else if (r == 0) {
        for (size_t i = 0; i < json_array_size(applied_names); i++)
            printf("applied %s\n", json_string_value(json_array_get(applied_names, i)));
        printf("the schema is up to date\n");
    }
    json_decref(applied_names);
    applied_names = NULL;
    return r;
}

static int check(struct op *op, struct db *db, struct err *err)
{
    int r = migrate_check(db, err);
    if (r == 0 && op->json)
        operator_print(json_pack("{s:b}", "current", 1));
    else if (r == 0)
        puts("the schema is up to date");
    return r;
}

int cmd_migrate(struct op *op, struct err *err)
{
    const struct db_options options = {.url = config_text(op->config, "ledger.url"),
                                       .application = "acquit migrate",
                                       .timeout_ms = MIGRATE_TIMEOUT_MS};
    struct db *db = db_new(&options, err);
    if (!db)
        return -1;
    int r = args_flag(&op->args, "check") ? check(op, db, err) : apply(op, db, err);
    db_free(db);
    return r;
}

/* -- id payment */

int cmd_id_payment(struct op *op, struct err *err)
{
    const char *publisher = op->args.positional[0], *message_id = op->args.positional[1];
    if (strchr(publisher, '\n') || strchr(message_id, '\n') || !*publisher || !*message_id)
        return err_set(err, ERR_INVALID, "neither name may be empty or have a line end");
    struct uuid id = uuid_payment(publisher, message_id);
    char plain[UUID_TEXT_SIZE], public[PUBLIC_ID_SIZE];
    uuid_format(id, plain);
    public_id_format(id, public);
    if (op->json)
        operator_print(json_pack("{s:s, s:s}", "paymentId", plain, "transactionId", public));
    else
        printf("%s  %s\n", plain, public);
    return 0;
}
