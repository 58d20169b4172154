/* operator.c - what the commands of `acquit` share */
#include "workers/operator/operator.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ledger/act.h"

enum { LOGIN_BUFFER = 4096 };

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

struct db *operator_writer(struct op *op, int64_t timeout_ms, struct err *err)
{
    const struct db_options options = {
        .url = config_text(op->config, "ledger.url"), .application = "acquit", .timeout_ms = timeout_ms};
    return db_new(&options, err);
}

const char *operator_actor(const struct args *args, char login[static OPERATOR_ACTOR_SIZE])
{
    struct passwd entry, *found = NULL;
    char buffer[LOGIN_BUFFER];
    const char *sudo = getenv("SUDO_USER");
    if (getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) != 0 || !found)
        found = NULL;
    snprintf(login, OPERATOR_ACTOR_SIZE, "%s", sudo && *sudo ? sudo : found ? found->pw_name : "unknown");
    return args_text(args, "actor", login);
}

void operator_note(struct op *op, const char *action, const char *object_type, const char *object_id,
                   const char *reason, json_t *diff)
{
    struct err err = {0};
    char login[OPERATOR_ACTOR_SIZE];
    const struct act act = {.actor = operator_actor(&op->args, login),
                            .action = action,
                            .object_type = object_type,
                            .object_id = object_id,
                            .reason = reason,
                            .diff = diff};
    struct db *db = operator_writer(op, config_int(op->config, "ledger.timeout_ms"), &err);
    if (!db || ledger_act(db, &act, &err) != 0)
        fprintf(stderr, "acquit: not noted in the ledger's audit: %s\n", err.text);
    if (db)
        db_free(db);
    json_decref(diff);
}
