/* completion.c - acquit completion bash: the commands and options of the table, and the newest ids */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/operator/completion.h"

static const char head[] = "# bash completion for acquit; source <(acquit completion bash)\n"
                           "_acquit_ids() # acquit payment list transactionId\n"
                           "{\n"
                           "    local i config=()\n"
                           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                           "        [[ ${COMP_WORDS[i]} == --config ]] && config=(--config \"${COMP_WORDS[i + 1]}\")\n"
                           "    done\n"
                           "    \"$1\" \"$2\" list --limit 20 --json \"${config[@]}\" 2>/dev/null | sed -n \"s/^ "
                           "*\\\"$3\\\": \\\"\\([^\\\"]*\\)\\\".*/\\1/p\"\n"
                           "}\n"
                           "_acquit()\n"
                           "{\n"
                           "    local cur=${COMP_WORDS[COMP_CWORD]} words='' options='' values='' ids=''\n";

static const char tail[] =
    "    if [[ \" $values \" == *\" ${COMP_WORDS[COMP_CWORD - 1]} \"* ]]; then\n"
    "        COMPREPLY=()\n"
    "        [[ ${COMP_WORDS[COMP_CWORD - 1]} == --config ]] && mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "    elif [[ $cur == -* ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")\n"
    "    else\n"
    "        ((COMP_CWORD > 2)) || ids=''\n"
    "        case $ids in\n"
    "        payment) words=$(_acquit_ids \"${COMP_WORDS[0]}\" payment transactionId) ;;\n"
    "        dlq) words=$(_acquit_ids \"${COMP_WORDS[0]}\" dlq id) ;;\n"
    "        esac\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "    fi\n"
    "}\n"
    "complete -F _acquit acquit\n";

static size_t first_length(const char *words)
{
    return strcspn(words, " ");
}

/* Whether an earlier row has the same first word. */
static bool is_repeated(size_t at)
{
    const struct command_row *row = command_row(at);
    size_t length = first_length(row->words);
    for (size_t i = 0; i < at; i++)
        if (first_length(command_row(i)->words) == length && strncmp(command_row(i)->words, row->words, length) == 0)
            return true;
    return false;
}

static void print_first_words(FILE *out)
{
    fputs("    if ((COMP_CWORD == 1)); then\n        words='", out);
    for (size_t i = 0; command_row(i); i++)
        if (!is_repeated(i))
            fprintf(out, "%s%.*s", i ? " " : "", (int)first_length(command_row(i)->words), command_row(i)->words);
    fputs("'\n        options='--help --version'\n    fi\n", out);
}

static void print_second_words(size_t at, FILE *out)
{
    const char *first = command_row(at)->words;
    size_t length = first_length(first);
    const char *separator = "";
    if (is_repeated(at) || !first[length])
        return;
    fprintf(out, "        %.*s) words='", (int)length, first);
    for (size_t i = at; command_row(i); i++) {
        const char *words = command_row(i)->words;
        if (first_length(words) == length && strncmp(words, first, length) == 0) {
            fprintf(out, "%s%s", separator, words + length + 1);
            separator = " ";
        }
    }
    fputs("' ;;\n", out);
}

static void print_names(const struct option_row *row, bool with_value, const char **separator, FILE *out)
{
    for (; row && row->name; row++)
        if (!with_value || row->kind != OPTION_FLAG) {
            fprintf(out, "%s--%s", *separator, row->name);
            *separator = " ";
        }
}

/* "payment show tx_..." and "dlq replay ...": what stands there is an id. */
static const char *ids_of(const struct command_row *row)
{
    if (strncmp(row->arguments, "ID", 2) != 0)
        return "";
    return strncmp(row->words, "payment ", 8) == 0 ? "payment" : "dlq";
}

static void print_command(const struct command_row *row, FILE *out)
{
    const char *separator = "";
    bool two = strchr(row->words, ' ') != NULL;
    fprintf(out, "        '%s'%s) options='", row->words, two ? "" : "\\ *");
    print_names(row->options, false, &separator, out);
    print_names(common_options, false, &separator, out);
    fputs("' values='", out);
    separator = "";
    print_names(row->options, true, &separator, out);
    print_names(common_options, true, &separator, out);
    fprintf(out, "' ids='%s' ;;\n", ids_of(row));
}

void completion_print(FILE *out)
{
    fputs(head, out);
    print_first_words(out);
    fputs("    if ((COMP_CWORD == 2)); then\n        case ${COMP_WORDS[1]} in\n", out);
    for (size_t i = 0; command_row(i); i++)
        print_second_words(i, out);
    fputs("        esac\n    fi\n    if ((COMP_CWORD >= 2)); then\n        case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" "
          "in\n",
          out);
    for (size_t i = 0; command_row(i); i++)
        print_command(command_row(i), out);
    fputs("        esac\n    fi\n", out);
    fputs(tail, out);
}

int cmd_completion_bash(struct op *op, struct err *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return err_set(err, ERR_INTERNAL, "out of memory");
    completion_print(out);
    fclose(out);
    if (op->json)
        operator_print(json_pack("{s:s}", "script", text));
    else
        fputs(text, stdout);
    free(text);
    return 0;
}
