/* ledger.c - acquit ledger balance, acquit ledger chart, acquit migrate, acquit id */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "ledger/chart.h"
#include "ledger/migrate.h"
#include "ledger/read.h"
#include "ledger/transit.h"
#include "workers/operator/balance.h"
#include "workers/operator/operator.h"
#include "workers/operator/table.h"
#include "workers/operator/transit.h"

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

static int show_transit(struct op *op, struct err *err)
{
    json_auto_t *rows = transit_read(op->db, err);
    if (!rows)
        return -1;
    size_t over = transit_judge(rows, operator_setting, op->config);
    if (op->json) {
        operator_print(json_pack("{s:O, s:b}", "accounts", rows, "inTime", over == 0));
    } else {
        transit_print(rows, stdout);
        printf("%zu of %zu are over their limit\n", over, json_array_size(rows));
    }
    return over ? EXIT_NO : 0;
}

const struct option_row ledger_balance_options[] = {
    {.name = "transit",
     .kind = OPTION_FLAG,
     .sentence =
         "what is on the accounts that have to come back to zero, and since when; exit 1 when one is over its limit"},
    {0},
};

int cmd_ledger_balance(struct op *op, struct err *err)
{
    if (!operator_db(op, err))
        return -1;
    if (args_flag(&op->args, "transit"))
        return show_transit(op, err);
    json_t *balances = read_trial_balance(op->db, err);
    json_t *sums = balances ? balance_sums(balances, err) : NULL;
    int code = -1;
    if (sums) {
        code = all_zero(sums) ? 0 : EXIT_NO;
        balance_add_notes(balances);
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

/* -- ledger chart */

/* "pending: transit.hold_ms": what has to be back at zero, and which setting says when. */
static const char *transit_text(const struct chart_row *row, char ret[static ACCOUNT_SIZE])
{
    snprintf(ret, ACCOUNT_SIZE, "%s%s",
             row->transit == CHART_PENDING ? "pending: " : "balance: ", row->limit ? row->limit : "");
    return row->transit == CHART_STAYS ? "" : ret;
}

static json_t *chart_view(const struct chart_row *row)
{
    char form[ACCOUNT_SIZE];
    return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:b}", "account", chart_form(row, form), "meaning", row->meaning,
                     "balance", chart_side_text(row->side), "use", chart_use_text(row->use), "limit", row->limit,
                     "mayHaveFloor", row->may_floor);
}

int cmd_ledger_chart(struct op *op, struct err *err)
{
    (void)err; /* cannot fail */
    static const char *const headings[] = {"ACCOUNT", "MEANING", "BALANCE", "USE", "BACK AT ZERO", "FLOOR", NULL};
    struct table *table = table_new(headings);
    json_t *views = json_array();
    const struct chart_row *row;
    for (size_t i = 0; (row = chart_row(i)); i++) {
        char form[ACCOUNT_SIZE], transit[ACCOUNT_SIZE];
        const char *cells[] = {chart_form(row, form),      row->meaning,
                               chart_side_text(row->side), chart_use_text(row->use),
                               transit_text(row, transit), row->may_floor ? "may have one" : ""};
        table_row(table, cells);
        json_array_append_new(views, chart_view(row));
    }
    if (op->json)
        operator_print(json_pack("{s:O}", "accounts", views));
    else
        table_print(table, "", stdout);
    json_decref(views);
    table_free(table);
    return 0;
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
