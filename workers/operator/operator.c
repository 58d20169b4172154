/* operator.c - what the commands of `acquit` share */
#include "workers/operator/operator.h"

#include <stdio.h>

void operator_print(json_t *result)
{
    json_dumpf(result, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
    putchar('\n');
    json_decref(result);
}

int operator_payment_id(const char *text, struct uuid *ret, struct err *err)
{
    if (public_id_parse(text, ret) == 0)
        return 0;
    return err_set(err, ERR_INVALID, "%s is no payment id; it looks like tx_ and 32 hex digits, or a UUID", text);
}

struct db *operator_db(struct op *op, struct err *err)
{
    if (op->db)
        return op->db;
    const struct db_options options = {.url = config_text(op->config, "ledger.read_url"),
                                       .application = "acquit",
                                       .timeout_ms = config_int(op->config, "ledger.timeout_ms"),
                                       .read_only = true};
    op->db = db_new(&options, err);
    return op->db;
}

int operator_no_payment(struct op *op, struct uuid payment, struct err *err)
{
    char id[UUID_TEXT_SIZE], public[PUBLIC_ID_SIZE];
    const char *params[] = {id};
    uuid_format(payment, id);
    public_id_format(payment, public);
    struct db_result *rows =
        db_query(op->db,
                 "select a.name, a.file from ledger.payment p join ledger.archived a on p.began < a.began_to"
                 " and (a.began_from is null or p.began >= a.began_from) where p.payment_id = $1::uuid",
                 1, params, err);
    if (rows && db_rows(rows) > 0)
        err_set(err, ERR_NOT_FOUND,
                "payment %s is archived with partition %s in %s: `acquit ledger restore` brings it back", public,
                db_value(rows, 0, 0), db_value(rows, 0, 1));
    else if (rows)
        err_set(err, ERR_NOT_FOUND, "there is no payment %s", public);
    db_result_free(rows);
    return -1;
}

int64_t operator_setting(const void *config, const char *name)
{
    return config_int(config, name);
}
