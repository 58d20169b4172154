/* manual.c - see manual.h */
#include "workers/operator/manual.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 100, INDENT = 6 };

static const char *type_text(enum config_type type)
{
    switch (type) {
    case CONFIG_TEXT:
        return "text";
    case CONFIG_INT:
        return "whole number";
    case CONFIG_BOOL:
        return "true or false";
    case CONFIG_NAMES:
        return "list of names";
    }
    return "";
}

static void print_facts(const struct setting *setting, FILE *out)
{
    fputs(type_text(setting->type), out);
    if (setting->type == CONFIG_INT)
        fprintf(out, "%s%s; %" PRId64 " to %" PRId64, *setting->unit ? " of " : "", setting->unit, setting->least,
                setting->most);
    if (setting->fallback)
        fprintf(out, "; default %s", setting->fallback);
    else
        fputs("; must be given", out);
    for (size_t i = 0; setting->environment[i]; i++)
        fprintf(out, "%s%s", i ? ", " : "; environment: ", setting->environment[i]);
    const char *dot = strrchr(setting->name, '.');
    if (setting->secret)
        fprintf(out, "; secret: only from %s_file%s", dot ? dot + 1 : setting->name,
                setting->environment[0] ? " or the environment" : "");
    if (setting->reloadable)
        fputs("; reloadable", out);
}

char *manual_facts(const struct setting *setting)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    print_facts(setting, out);
    fclose(out);
    return text;
}

/* A paragraph, broken at blanks. */
static void print_wrapped(const char *text, FILE *out)
{
    for (int column = 0; *text; text += strspn(text, " ")) {
        int length = (int)strcspn(text, " ");
        bool breaks = column == 0 || column + 1 + length > WIDTH;
        fprintf(out, "%s%*s%.*s", breaks && column ? "\n" : "", breaks ? INDENT : 1, "", length, text);
        column = length + (breaks ? INDENT : column + 1);
        text += length;
    }
    fputc('\n', out);
}

static void print_setting(const struct setting *setting, FILE *out)
{
    char *facts = manual_facts(setting);
    fprintf(out, "  %s\n", setting->name);
    print_wrapped(setting->sentence, out);
    print_wrapped(facts ? facts : "", out);
    free(facts);
}

static void print_list(size_t list, FILE *out)
{
    const struct config_list *is = config_list(list);
    const struct setting *member;
    fprintf(out, "\n%s = ( { ... }, ... )  at most %zu%s\n", is->name, is->max, is->reloadable ? "; reloadable" : "");
    print_wrapped(is->sentence, out);
    for (size_t m = 0; (member = config_member(list, m)); m++)
        print_setting(member, out);
}

static void print_never(FILE *out)
{
    const struct idle_variable *variable;
    fputs("\nVARIABLES WITHOUT EFFECT\n", out);
    for (size_t i = 0; (variable = config_never(i)); i++)
        fprintf(out, "  %-26s %s\n", variable->name, variable->why);
}

void manual_print(FILE *out)
{
    fputs(
        "The settings of every Acquit program: $ACQUIT_CONFIG, else /etc/acquit/acquit.conf.\n\n"
        "The environment comes first: of several variables the first that is set and not empty. A secret comes from\n"
        "there or from a file that NAME_file names: an absolute path, or a name looked for in systemd's credentials\n"
        "($CREDENTIALS_DIRECTORY) and then beside the configuration. ledger.url, when nothing gives it, is made of\n"
        "DB_HOST, DB_PORT, DB_NAME, DB_USER and DB_PASSWORD. SIGHUP reads the configuration again; what is reloadable\n"
        "then takes effect, the rest at the next start.\n\nSETTINGS\n",
        out);
    for (size_t i = 0; i < config_setting_count(); i++)
        print_setting(config_setting(i), out);
    fputs("\nLISTS\n", out);
    for (size_t i = 0; i < config_list_count(); i++)
        print_list(i, out);
    print_never(out);
}
