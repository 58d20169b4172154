/* main.c - acquit: the operator's command
 *
 * The table of commands is in commands.c. Exit codes: 0 done, 1 the answer is no (or it failed), 2 wrong usage, 75 try
 * again later, 78 bad configuration. With --json the result, or {"error","message"}, is one JSON value on standard
 * output; what people should know stands on standard error.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "workers/operator/commands.h"
#include "workers/program.h"

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

static void print_help(const struct command_row *command, FILE *out)
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
    const struct command_row *row;
    for (size_t i = 0; (row = command_row(i)); i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", row->words, row->arguments);
        fprintf(out, "  %-32s %s\n", left, row->sentence);
    }
    fprintf(out, "\nOptions of all of them, and of one: acquit COMMAND --help.  acquit --version\n%s", exit_codes);
}

static const struct command_row *find_command(int argc, char *const *argv, int *ret_words)
{
    const struct command_row *row;
    for (size_t i = 0; (row = command_row(i)); i++) {
        *ret_words = args_words(row->words, argc, argv);
        if (*ret_words)
            return row;
    }
    return NULL;
}

static int fail(const struct op *op, const struct err *err)
{
    fprintf(stderr, "acquit: %s\n", err->text);
    if (op->json)
        operator_print(json_pack("{s:s, s:s}", "error", err_code_text(err->code), "message", err->text));
    return err->code == ERR_INVALID ? EXIT_USAGE : err_exit_code(err);
}

static int run(const struct command_row *command, struct op *op)
{
    struct err err = {0};
    if (!command->bare)
        op->config = program_load(args_text(&op->args, "config", NULL), &err);
    int code = command->bare || op->config ? command->run(op, &err) : -1;
    if (code < 0)
        code = fail(op, &err);
    if (op->db)
        db_free(op->db);
    config_free(op->config);
    return code;
}

/* A usage error, said with the usage it breaks. */
static int misused(const struct command_row *command, const char *text)
{
    fprintf(stderr, "acquit: %s\n\n", text);
    if (command)
        print_help(command, stderr);
    else
        print_commands(stderr);
    return EXIT_USAGE;
}

static int start(const struct command_row *command, int argc, char *const *argv)
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
    const struct command_row *command = find_command(argc - 1, argv + 1, &words);
    if (!command)
        return misused(NULL, argc > 1 ? "there is no such command" : "name a command");
    return start(command, argc - 1 - words, argv + 1 + words);
}
