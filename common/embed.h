/* embed.h - the SQL and JSON Schema files that are built into the programs
 *
 * common/embed.sh writes the arrays, sorted by name, from ledger/schema/ and queues/schema/, whenever a file there changes.
 * The bytes are the file's own; the NUL after them is not counted in `size`.
 */
#ifndef ACQUIT_COMMON_EMBED_H
#define ACQUIT_COMMON_EMBED_H

#include <stddef.h>

struct embedded_file {
    const char *name; /* without its folder: "001_ledger.sql" */
    const char *data;
    size_t size;
};

extern const struct embedded_file embedded_sql[]; /* the .sql files of ledger/schema; in the ledger's library */
extern const size_t embedded_sql_count;

extern const struct embedded_file embedded_schema[]; /* the .json files of queues/schema; in the queues' library */
extern const size_t embedded_schema_count;

#endif
