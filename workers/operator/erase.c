/* erase.c - acquit payment erase: a payment's personal data, for good (L11); the facts keep salted hashes only */
#include <stdio.h>
#include <string.h>

#include "ledger/act.h"
#include "workers/operator/operator.h"

enum { ERASE_TIMEOUT_MS = 30 * 1000 };

const struct option_row payment_erase_options[] = {
    {.name = "reason", .kind = OPTION_TEXT, .value = "TEXT", .sentence = "why; it is recorded (required)"},
    {.name = "actor",
     .kind = OPTION_TEXT,
     .value = "NAME",
     .sentence = "who; it is recorded (default: $SUDO_USER or your login)"},
    {0},
};

static int check_said(const char *reason, const char *actor, struct err *err)
{
    size_t length = reason ? strlen(reason) : 0;
    if (length < 1 || length > ACT_REASON_MAX)
        return err_set(err, ERR_INVALID, "say why with --reason TEXT, at most %d bytes; it is recorded",
                       ACT_REASON_MAX);
    if (!*actor || strlen(actor) > ACT_ACTOR_MAX)
        return err_set(err, ERR_INVALID, "--actor must have 1 to %d bytes", ACT_ACTOR_MAX);
    return 0;
}

/* 1: erased, 0: there was nothing. The trigger `erasure` notes the act, in the same transaction. */
static int erase(struct db *db, struct uuid payment, const char *actor, const char *reason, struct err *err)
{
    char id[UUID_TEXT_SIZE];
    const char *said[] = {actor, reason}, *which[] = {id};
    uuid_format(payment, id);
    const struct db_statement statements[] = {
        {"select set_config('acquit.actor', $1::text, true), set_config('acquit.reason', $2::text, true)", 2, said},
        {"update ledger.personal set data = '{}' where payment_id = $1::uuid and data <> '{}' returning 1", 1, which},
    };
    struct db_result *results[2] = {NULL};
    if (db_run(db, true, statements, 2, results, err) != 0)
        return err->code == ERR_DENIED ? err_prefix(err, "only the owner of the ledger may erase; name its login in "
                                                         "ACQUIT_LEDGER_URL")
                                       : -1;
    int erased = db_rows(results[1]) > 0;
    db_result_free(results[0]);
    db_result_free(results[1]);
    return erased;
}

int cmd_payment_erase(struct op *op, struct err *err)
{
    struct uuid payment;
    char login[OPERATOR_ACTOR_SIZE], public[PUBLIC_ID_SIZE];
    const char *actor = operator_actor(&op->args, login), *reason = args_text(&op->args, "reason", NULL);
    if (operator_payment_id(op->args.positional[0], &payment, err) != 0 || check_said(reason, actor, err) != 0)
        return -1;
    struct db *db = operator_writer(op, ERASE_TIMEOUT_MS, err);
    int erased = db ? erase(db, payment, actor, reason, err) : -1;
    if (db)
        db_free(db);
    if (erased < 0)
        return -1;
    public_id_format(payment, public);
    if (op->json)
        operator_print(json_pack("{s:s, s:b}", "transactionId", public, "erased", erased));
    else
        printf("%s  %s\n", public, erased ? "its personal data is erased" : "has no personal data");
    return erased ? 0 : EXIT_NO;
}
