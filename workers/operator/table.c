/* table.c - aligned columns for people */
#include "workers/operator/table.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"

enum { GAP = 2 /* blanks between columns */ };

struct table {
    size_t columns, rows, capacity;
    bool right[TABLE_COLUMNS_MAX];
    const char *headings[TABLE_COLUMNS_MAX];
    char **cells; /* rows * columns */
};

struct table *table_new(const char *const *headings)
{
    struct table *table = mem_new(1, sizeof *table);
    for (; headings[table->columns]; table->columns++) {
        if (table->columns == TABLE_COLUMNS_MAX)
            log_panic("a table of more than %d columns", TABLE_COLUMNS_MAX);
        const char *heading = headings[table->columns];
        table->right[table->columns] = *heading == '>';
        table->headings[table->columns] = heading + (*heading == '>');
    }
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->rows * table->columns; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

static char *clean(const char *text)
{
    char *copy = mem_text(text ? text : "");
    for (char *c = copy; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
    return copy;
}

void table_row(struct table *table, const char *const *cells)
{
    if (table->rows == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 16;
        table->cells = mem_grow(table->cells, table->capacity * table->columns, sizeof *table->cells);
    }
    for (size_t i = 0; i < table->columns; i++)
        table->cells[table->rows * table->columns + i] = clean(cells[i]);
    table->rows++;
}

size_t table_rows(const struct table *table)
{
    return table->rows;
}

/* Columns on a terminal: one per character of UTF-8. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void pad(size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++)
        fputc(' ', out);
}

/* Blanks are owed until something stands behind them, so that no line ends in blanks. */
static void print_line(const struct table *table, const size_t *widths, const char *const *cells, FILE *out)
{
    size_t owed = 0;
    for (size_t i = 0; i < table->columns; i++) {
        size_t width = width_of(cells[i]), space = widths[i] - width;
        if (width) {
            pad(owed + (table->right[i] ? space : 0), out);
            fputs(cells[i], out);
            owed = table->right[i] ? 0 : space;
        } else {
            owed += space;
        }
        owed += GAP;
    }
    fputc('\n', out);
}

void table_print(const struct table *table, const char *nothing, FILE *out)
{
    size_t widths[TABLE_COLUMNS_MAX];
    if (table->rows == 0) {
        fprintf(out, "%s\n", nothing);
        return;
    }
    for (size_t i = 0; i < table->columns; i++) {
        widths[i] = width_of(table->headings[i]);
        for (size_t row = 0; row < table->rows; row++) {
            size_t width = width_of(table->cells[row * table->columns + i]);
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    print_line(table, widths, table->headings, out);
    for (size_t row = 0; row < table->rows; row++)
        print_line(table, widths, (const char *const *)&table->cells[row * table->columns], out);
}
