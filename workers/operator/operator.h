/* operator.h - what the commands of `acquit` share
 *
 * A command is a row of the table in commands.c: its words, options and function. The function answers with an exit code (0
 * done, 1 the answer is no), or with -1 and an error, from which the exit code follows (75 try again later, 78 bad
 * configuration, else 1).
 */
#ifndef ACQUIT_WORKERS_OPERATOR_OPERATOR_H
#define ACQUIT_WORKERS_OPERATOR_OPERATOR_H

#include <jansson.h>

#include "common/err.h"
#include "common/ids.h"
#include "config/config.h"
#include "ledger/db.h"
#include "ledger/note.h"
#include "workers/operator/args.h"

enum { EXIT_NO = 1, EXIT_AGAIN = 75 };

struct op {
    struct config *config; /* NULL for commands that need none, until they load it */
    struct args args;
    bool json;     /* for programs instead of people */
    struct db *db; /* opened by operator_db() */
};

/* The ledger, read-only. NULL with an error. */
struct db *operator_db(struct op *op, struct err *err) MUST_CHECK;
/* An integer setting of a configuration, for who must not know the configuration itself. */
int64_t operator_setting(const void *config, const char *name);
/* Prints a result for programs; taken over. */
void operator_print(json_t *result);
/* An id as people type it, `tx_...` or a UUID. */
int operator_payment_id(const char *text, struct uuid *ret, struct err *err) MUST_CHECK;
/* Why nothing is known of the payment: it is archived, and where, or there is none. Sets ERR_NOT_FOUND (or why the ledger did not say); -1. */
int operator_no_payment(struct op *op, struct uuid payment, struct err *err);
/* The value of --key: a public key as it stands, or a file that holds one. */
int operator_key(const char *given, struct note_key *ret, struct err *err) MUST_CHECK;

/* Who types: the value of --actor where there is one, else the person behind sudo, else the login. */
enum { OPERATOR_ACTOR_SIZE = 122 };
const char *operator_actor(const struct args *args, char login[static OPERATOR_ACTOR_SIZE]);
/* Notes in ledger.act what was done, or is about to be seen (ledger/act.h), over ledger.url. What cannot be noted is said on standard error, and is no
 * failure: the ledger may be away, a replica, or not there yet. `reason` and `diff` may be NULL; `diff` is taken over. */
void operator_note(struct op *op, const char *action, const char *object_type, const char *object_id,
                   const char *reason, json_t *diff);
/* A connection of ledger.url for a command that writes; each statement may take timeout_ms. */
struct db *operator_writer(struct op *op, int64_t timeout_ms, struct err *err) MUST_CHECK;

typedef int command_function(struct op *op, struct err *err);
command_function cmd_payment_show, cmd_payment_list, cmd_payment_cancel, cmd_payment_refund, cmd_dlq_list, cmd_dlq_show,
    cmd_dlq_replay, cmd_dlq_discard, cmd_topology_apply, cmd_topology_check, cmd_topology_users, cmd_migrate,
    cmd_ledger_balance, cmd_ledger_chart, cmd_ledger_verify, cmd_id_payment, cmd_config_check, cmd_config_show,
    cmd_config_manual, cmd_doctor, cmd_completion_bash, cmd_ledger_prove, cmd_receipt_verify, cmd_ledger_keygen,
    cmd_ledger_key, cmd_ledger_rotate_key, cmd_ledger_archive, cmd_ledger_restore, cmd_ledger_rebuild,
    cmd_payment_erase;
extern const struct option_row payment_list_options[], payment_cancel_options[], payment_refund_options[],
    dlq_list_options[], dlq_word_options[], topology_users_options[], migrate_options[], ledger_balance_options[],
    ledger_verify_options[], ledger_prove_options[], receipt_verify_options[], ledger_key_options[],
    ledger_archive_options[], ledger_rebuild_options[], payment_erase_options[], payment_show_options[];

/* acquit route */
command_function cmd_route_explain;
extern const struct option_row route_explain_options[];

/* acquit payment cases, acquit payment resolve */
command_function cmd_payment_cases, cmd_payment_resolve;
extern const struct option_row payment_cases_options[], payment_resolve_options[];

/* acquit audit */
command_function cmd_audit_dual, cmd_audit_list, cmd_audit_conserve;
extern const struct option_row audit_dual_options[], audit_list_options[], audit_conserve_options[];

/* acquit ledger epoch, acquit ledger partitions */
command_function cmd_ledger_epoch, cmd_ledger_partitions;
extern const struct option_row ledger_epoch_options[];

#endif
