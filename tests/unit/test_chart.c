/* test_chart.c - ledger/chart: names, and that the documentation, the settings and the schema say the same */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/embed.h"
#include "config/load.h"
#include "ledger/chart.h"

enum { NAMES_LONGER = 200, TEXT_MAX = 1024 };

static void test_names(void **state)
{
    (void)state;
    char name[ACCOUNT_SIZE], text[NAMES_LONGER + 1];
    struct err err = {0};
    const struct chart_row *row;
    for (size_t i = 0; (row = chart_row(i)); i++) {
        assert_int_equal(chart_name(row->kind, row->of ? "some: body" : NULL, name, &err), 0);
        assert_ptr_equal(chart_find(name), row);
        assert_int_equal(strncmp(name, row->kind, strlen(row->kind)), 0);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(chart_row(k)->kind, row->kind);
    }
    memset(text, 'x', NAMES_LONGER);
    text[NAMES_LONGER] = '\0';
    assert_int_equal(chart_name("payable", text, name, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    err_clear(&err);
    assert_int_equal(chart_name("payable", "", name, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
}

/* The longest name is 95 bytes; one byte more is another account's. */
static void test_the_longest_name(void **state)
{
    (void)state;
    char name[ACCOUNT_SIZE], of[ACCOUNT_SIZE], longer[ACCOUNT_SIZE + 1];
    struct err err = {0};
    snprintf(of, sizeof of, "%0*d", (int)(ACCOUNT_SIZE - 1 - strlen("payable:")), 7);
    assert_int_equal(chart_name("payable", of, name, &err), 0);
    assert_int_equal(strlen(name), ACCOUNT_SIZE - 1);
    assert_non_null(chart_find(name));
    snprintf(longer, sizeof longer, "%s0", name);
    assert_null(chart_find(longer));
}

static void test_strangers(void **state)
{
    (void)state;
    static const char *const strangers[] = {"",          "payable",   "payable:",    "commission:", "commission:x",
                                            "Payable:x", "cash:x",    "payabl:x",    ":x",          "commissio",
                                            "suspense ", "payable x", "commission ", "wallet",      "inXdoubt:x"};
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
        if (chart_find(strangers[i]))
            fail_msg("\"%s\" is taken for an account", strangers[i]);
}

static const struct setting *setting_of(const char *name)
{
    int i = conf_index(name);
    return i < 0 ? NULL : config_setting((size_t)i);
}

/* What has to come back to zero has a limit, in milliseconds; nothing else has. A floor needs a side on which it is kept. */
static void test_limits_are_settings(void **state)
{
    (void)state;
    const struct chart_row *row;
    for (size_t i = 0; (row = chart_row(i)); i++) {
        assert_true((row->transit == CHART_STAYS) == (row->limit == NULL));
        assert_true(!row->may_floor || row->side == CHART_CREDIT);
        assert_true(row->side != CHART_NEVER || row->transit == CHART_PENDING);
        if (!row->limit)
            continue;
        const struct setting *setting = setting_of(row->limit);
        if (!setting)
            fail_msg("%s: there is no setting %s", row->kind, row->limit);
        assert_int_equal(setting->type, CONFIG_INT);
        assert_string_equal(setting->unit, "ms");
    }
}

/* The whole file, ended by '\0'. free() it. */
static char *read_file(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *in = fopen(path, "re");
    if (!in)
        fail_msg("%s cannot be opened", path);
    if (getdelim(&text, &size, '\0', in) < 0)
        fail_msg("%s is empty", path);
    fclose(in);
    return text;
}

/* docs/ledger.md has the chart as it stands here, line by line. */
static void test_documentation(void **state)
{
    (void)state;
    char *text = read_file("docs/ledger.md");
    const struct chart_row *row;
    for (size_t i = 0; (row = chart_row(i)); i++) {
        char line[TEXT_MAX], form[ACCOUNT_SIZE], limit[ACCOUNT_SIZE] = "";
        if (row->limit)
            snprintf(limit, sizeof limit, "%s: `%s`", row->transit == CHART_PENDING ? "pending" : "balance",
                     row->limit);
        snprintf(line, sizeof line, "\n| `%s` | %s | %s | %s | %s | %s |\n", chart_form(row, form), row->meaning,
                 chart_side_text(row->side), chart_use_text(row->use), limit, row->may_floor ? "may have one" : "");
        if (!strstr(text, line))
            fail_msg("docs/ledger.md has no line %s", line + 1);
    }
    free(text);
}

/* How often the text is in there. */
static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

/* The migration names each account that can be booked on, for accounts and for both sides of a transfer, and no derived one. What the database
 * makes of it is the affair of floor_probe. */
static void test_schema(void **state)
{
    (void)state;
    const struct embedded_file *file = NULL;
    for (size_t i = 0; i < embedded_sql_count; i++)
        if (strcmp(embedded_sql[i].name, "010_books.sql") == 0)
            file = &embedded_sql[i];
    assert_non_null(file);
    const struct chart_row *row;
    for (size_t i = 0; (row = chart_row(i)); i++) {
        char term[TEXT_MAX];
        if (!row->of)
            snprintf(term, sizeof term, " = '%s'", row->kind);
        else if (strcmp(row->kind, "in_doubt") == 0) /* _ stands for any character */
            snprintf(term, sizeof term, " like 'in\\_doubt:_%%'");
        else
            snprintf(term, sizeof term, " like '%s:_%%'", row->kind);
        int expected = row->use == CHART_DERIVED ? 0 : row->may_floor ? 4 : 3; /* and which may have a floor */
        if (count_of(file->data, term) != expected)
            fail_msg("010_books.sql has%s %d times", term, count_of(file->data, term));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),         cmocka_unit_test(test_the_longest_name),
        cmocka_unit_test(test_strangers),     cmocka_unit_test(test_limits_are_settings),
        cmocka_unit_test(test_documentation), cmocka_unit_test(test_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
