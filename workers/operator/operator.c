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

int64_t operator_setting(const void *config, const char *name)
{
    return config_int(config, name);
}
