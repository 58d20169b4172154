/* main.c - acquit: the operator's command
 *
 * One table of commands. Exit codes: 0 done, 1 the answer is no (or it failed), 2 wrong usage, 75 try again later, 78
 * bad configuration. With --json the result, or {"error","message"}, is one JSON value on standard output; what people
 * should know stands on standard error.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/operator/operator.h"
#include "workers/program.h"

struct command {
    const char *words;     /* "payment show" */
    const char *arguments; /* as the help writes them */
    size_t least, most;    /* how many */
    bool bare;             /* needs no configuration */
    const struct option_row *options;
    command_function *run;
    const char *sentence;
};

static const struct command commands[] = {
    {"payment show", "ID", 1, 1, false, NULL, cmd_payment_show,
     "one payment: its facts, transfers, balance, and what follows"},
    {"payment list", "", 0, 0, false, payment_list_options, cmd_payment_list, "payments, newest first"},
    {"dlq list", "", 0, 0, false, dlq_list_options, cmd_dlq_list, "dead letters, newest first"},
    {"dlq show", "ID", 1, 1, false, NULL, cmd_dlq_show, "one dead letter, whole"},
    {"dlq replay", "ID...", 1, ARGS_MAX, false, dlq_replay_options, cmd_dlq_replay,
     "send dead letters again; safe to repeat"},
    {"topology apply", "", 0, 0, false, NULL, cmd_topology_apply, "declare exchanges, queues and bindings"},
    {"topology check", "", 0, 0, false, NULL, cmd_topology_check, "compare them with what the broker really has"},
    {"topology users", "", 0, 0, false, topology_users_options, cmd_topology_users,
     "create or update the broker's users and permissions"},
    {"migrate", "", 0, 0, false, migrate_options, cmd_migrate, "bring the database to this program's schema"},
    {"ledger balance", "", 0, 0, false, NULL, cmd_ledger_balance,
     "trial balance; exit 1 when a currency does not sum to zero"},
    {"config check", "", 0, 0, false, NULL, cmd_config_check, "is the configuration good?"},
    {"config show", "", 0, 0, false, NULL, cmd_config_show, "every setting, its value and what it does"},
    {"id payment", "PUBLISHER MESSAGE_ID", 2, 2, true, NULL, cmd_id_payment,
     "the id of the payment that this message asks for"},
};

static const struct option_row common_options[] = {
    {.name = "config",
     .kind = OPTION_TEXT,
     .value = "FILE",
     .sentence = "settings (default: $ACQUIT_CONFIG, else /etc/acquit/acquit.conf)"},
    {.name = "json", .kind = OPTION_FLAG, .sentence = "one JSON value instead of tables"},
    {.name = "help", .kind = OPTION_FLAG, .sentence = "this text"},
    {0},
};

static const char exit_codes[] =
    "Exit codes: 0 done, 1 the answer is no, 2 usage, 75 try again later, 78 bad configuration.\n";

static void print_options(const struct option_row *row, FILE *out)
{
    for (; row && row->name; row++) {
        char left[64];
        snprintf(left, sizeof left, "--%s %s", row->name, row->value ? row->value : "");
        fprintf(out, "  %-26s %s\n", left, row->sentence);
    }
}

static void print_help(const struct command *command, FILE *out)
{
    fprintf(out, "usage: acquit %s%s%s [options]\n\n%s\n\n", command->words, *command->arguments ? " " : "",
            command->arguments, command->sentence);
    print_options(command->options, out);
    print_options(common_options, out);
    fprintf(out, "\n%s", exit_codes);
}

static void print_commands(FILE *out)
{
    fputs("usage: acquit COMMAND [arguments] [options]\n\n", out);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", commands[i].words, commands[i].arguments);
        fprintf(out, "  %-32s %s\n", left, commands[i].sentence);
    }
    fprintf(out, "\nOptions of all of them, and of one: acquit COMMAND --help.  acquit --version\n%s", exit_codes);
}

static const struct command *find_command(int argc, char *const *argv, int *ret_words)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        *ret_words = args_words(commands[i].words, argc, argv);
        if (*ret_words)
            return &commands[i];
    }
    return NULL;
}

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

static int fail(const struct op *op, const struct err *err)
{
    fprintf(stderr, "acquit: %s\n", err->text);
    if (op->json)
        operator_print(json_pack("{s:s, s:s}", "error", err_code_text(err->code), "message", err->text));
    return err->code == ERR_INVALID ? EXIT_USAGE : err_exit_code(err);
}

static int run(const struct command *command, struct op *op)
{
    struct err err = {0};
    if (!command->bare)
        op->config = config_load(args_text(&op->args, "config", NULL), &err);
    int code = command->bare || op->config ? command->run(op, &err) : -1;
    if (code < 0)
        code = fail(op, &err);
    if (op->db)
        db_free(op->db);
    config_free(op->config);
    return code;
}

/* A usage error, said with the usage it breaks. */
static int misused(const struct command *command, const char *text)
{
    fprintf(stderr, "acquit: %s\n\n", text);
    if (command)
        print_help(command, stderr);
    else
        print_commands(stderr);
    return EXIT_USAGE;
}

static int start(const struct command *command, int argc, char *const *argv)
{
    struct op op = {0};
    struct err err = {0};
    if (args_read(command->options, common_options, argc, argv, &op.args, &err) < 0)
        return misused(command, err.text);
    op.json = args_flag(&op.args, "json");
    if (args_flag(&op.args, "help")) {
        print_help(command, stdout);
        return EXIT_SUCCESS;
    }
    size_t count = op.args.positional_count;
    if (count < command->least)
        return misused(command, "an argument is missing");
    if (count > command->most)
        return misused(command, "there are too many arguments");
    return run(command, &op);
}

int main(int argc, char **argv)
{
    int words;
    log_open("acquit", LOG_WARN_LEVEL);
    signal(SIGPIPE, SIG_IGN);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("acquit %s\n", ACQUIT_VERSION);
        return EXIT_SUCCESS;
    }
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        print_commands(stdout);
        return EXIT_SUCCESS;
    }
    const struct command *command = find_command(argc - 1, argv + 1, &words);
    if (!command)
        return misused(NULL, argc > 1 ? "there is no such command" : "name a command");
    return start(command, argc - 1 - words, argv + 1 + words);
}
