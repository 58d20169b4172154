/* table.h - aligned columns for people
 *
 * Rows are kept until table_print() knows how wide each column is. A cell's control characters are shown as '?', so
 * that a table is one line a row whatever stands in it.
 */
#ifndef ACQUIT_WORKERS_OPERATOR_TABLE_H
#define ACQUIT_WORKERS_OPERATOR_TABLE_H

#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 12 };

struct table;

/* Column headings, ended by NULL; one that begins with '>' is aligned to the right. */
struct table *table_new(const char *const *headings);
void table_free(struct table *table); /* accepts NULL */
/* Adds a row of as many cells as there are columns; copied; NULL is an empty cell. */
void table_row(struct table *table, const char *const *cells);
size_t table_rows(const struct table *table);
/* Headings and rows, or `nothing` alone when there is no row. */
void table_print(const struct table *table, const char *nothing, FILE *out);

#endif
