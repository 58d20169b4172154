/* commands.c - the table of the operator's commands */
#include "workers/operator/commands.h"

static const struct command_row commands[] = {
    {"payment show", "ID", 1, 1, false, NULL, cmd_payment_show,
     "one payment: its facts, transfers, balance, and what follows"},
    {"payment list", "", 0, 0, false, payment_list_options, cmd_payment_list, "payments, newest first"},
    {"payment cancel", "ID", 1, 1, false, payment_cancel_options, cmd_payment_cancel,
     "cancel one that is not decided yet, for its publisher"},
    {"payment refund", "ID --key KEY", 1, 1, false, payment_refund_options, cmd_payment_refund,
     "give captured money back, for its publisher; safe to repeat with the same key"},
    {"dlq list", "", 0, 0, false, dlq_list_options, cmd_dlq_list, "dead letters, newest first"},
    {"dlq show", "ID", 1, 1, false, NULL, cmd_dlq_show, "one dead letter, whole"},
    {"dlq replay", "ID...", 1, ARGS_MAX, false, dlq_word_options, cmd_dlq_replay,
     "send dead letters again; safe to repeat"},
    {"dlq discard", "ID...", 1, ARGS_MAX, false, dlq_word_options, cmd_dlq_discard,
     "nobody will send these dead letters again; a later replay still may"},
    {"topology apply", "", 0, 0, false, NULL, cmd_topology_apply, "declare exchanges, queues and bindings"},
    {"topology check", "", 0, 0, false, NULL, cmd_topology_check, "compare them with what the broker really has"},
    {"topology users", "", 0, 0, false, topology_users_options, cmd_topology_users,
     "create or update the broker's users and permissions"},
    {"migrate", "", 0, 0, false, migrate_options, cmd_migrate, "bring the database to this program's schema"},
    {"ledger balance", "", 0, 0, false, ledger_balance_options, cmd_ledger_balance,
     "trial balance; exit 1 when a currency does not sum to zero"},
    {"ledger chart", "", 0, 0, true, NULL, cmd_ledger_chart,
     "the chart of accounts: which there are, and what each means"},
    {"ledger verify", "", 0, 0, false, ledger_verify_options, cmd_ledger_verify,
     "is the ledger what was written and sealed? Exit 1 and what is wrong, if anything is"},
    {"ledger prove", "PAYMENT", 1, 1, false, ledger_prove_options, cmd_ledger_prove,
     "a receipt: its sealed facts, with proofs that anybody can check"},
    {"ledger archive", "--directory DIR", 0, 0, false, ledger_archive_options, cmd_ledger_archive,
     "old partitions into files, when all in them is ended and sealed; needs the schema's owner"},
    {"ledger restore", "FILE", 1, 1, false, NULL, cmd_ledger_restore,
     "an archived partition back from its file; needs the schema's owner"},
    {"receipt verify", "FILE --key KEY", 1, 1, true, receipt_verify_options, cmd_receipt_verify,
     "what a receipt proves; needs no database, network or settings"},
    {"ledger keygen", "FILE", 1, 1, true, ledger_key_options, cmd_ledger_keygen,
     "make the private key that signs the ledger's heads; says the public one"},
    {"ledger key", "[FILE]", 0, 1, true, ledger_key_options, cmd_ledger_key,
     "the public key of a private one (default: seal.key)"},
    {"audit dual", "", 0, 0, false, audit_dual_options, cmd_audit_dual,
     "do the token system and the validators say of dual payments what the ledger says? Exit 1 where not"},
    {"config check", "", 0, 0, false, NULL, cmd_config_check,
     "is the configuration good? And which variables change nothing"},
    {"config show", "", 0, 0, false, NULL, cmd_config_show, "every setting, its value, and where that comes from"},
    {"config manual", "", 0, 0, true, NULL, cmd_config_manual,
     "every setting there is: default, range, what it does, variables"},
    {"doctor", "", 0, 0, true, NULL, cmd_doctor, "is everything as it should be? Remedies where it is not"},
    {"completion bash", "", 0, 0, true, NULL, cmd_completion_bash,
     "a script for bash: source <(acquit completion bash)"},
    {"id payment", "PUBLISHER MESSAGE_ID", 2, 2, true, NULL, cmd_id_payment,
     "the id of the payment that this message asks for"},
};

const struct option_row common_options[] = {
    {.name = "config",
     .kind = OPTION_TEXT,
     .value = "FILE",
     .sentence = "settings (default: $ACQUIT_CONFIG, else /etc/acquit/acquit.conf)"},
    {.name = "json", .kind = OPTION_FLAG, .sentence = "one JSON value instead of tables"},
    {.name = "help", .kind = OPTION_FLAG, .sentence = "this text"},
    {0},
};

const struct command_row *command_row(size_t i)
{
    return i < sizeof commands / sizeof commands[0] ? &commands[i] : NULL;
}
