/* archive_file.h - a partition of the ledger as a file (docs/archive.md)
 *
 * Pure. Lines of JSON in UTF-8: a head, one line per payment, a tail.
 *
 *     {"format": "acquit-archive", "version": 1, "name": "2024q3", "from": "2024-07-01" or null, "to": "2024-10-01",
 *      "fact": ["payment_id", ...], "transfer": ["leg", ...]}
 *     {"payment": "<uuid>", "began": "2024-07-03", "facts": [{"position": 17, "fact": [FACT_COLUMNS], "transfers": [[TRANSFER_COLUMNS], ...]}, ...]}
 *     {"payments": 812, "facts": 7001, "transfers": 1604, "leaves": "<hex>"}
 *
 * Columns are the texts that were hashed (ledger/leaf.h), so every line says the leaves of its facts; payments stand in the order of their ids, facts
 * in that of their positions. `leaves` is SHA-256 over all of them: the position in 8 bytes, the highest first, and the hash, one after the other.
 */
#ifndef ACQUIT_LEDGER_ARCHIVE_FILE_H
#define ACQUIT_LEDGER_ARCHIVE_FILE_H

#include <jansson.h>

#include "common/crypto.h"
#include "ledger/leaf.h"

enum {
    ARCHIVE_VERSION = 1,
    ARCHIVE_NAME_SIZE = 8,
    ARCHIVE_DAY_SIZE = 11,
    ARCHIVE_LINE_MAX = 32 * 1024 * 1024, /* bytes */
};

/* Which partition: "first", or year and quarter. */
struct archive_range {
    char name[ARCHIVE_NAME_SIZE];
    char from[ARCHIVE_DAY_SIZE]; /* "": all before */
    char to[ARCHIVE_DAY_SIZE];   /* not in it */
};

struct archive_counts {
    int64_t payments, facts, transfers;
    char leaves[SHA256_HEX_SIZE];
};

/* One fact of a payment with its place in the sealed tree; what is borrowed lives as long as the line's JSON. */
struct archive_fact {
    const char *values[FACT_COLUMN_COUNT]; /* borrowed; NULL for SQL's */
    const json_t *transfers;               /* borrowed: arrays of texts and nulls */
    uint64_t position;
    struct hash leaf;
};

/* Goes over the lines one by one, writing or reading, and keeps the sums. */
struct archive_sums;
struct archive_sums *archive_sums_new(void);
void archive_sums_free(struct archive_sums *sums); /* accepts NULL */
void archive_sums_fact(struct archive_sums *sums, const struct archive_fact *fact);
void archive_sums_payment(struct archive_sums *sums);
/* Ends the sums: only archive_sums_free() may follow. */
void archive_sums_end(struct archive_sums *sums, struct archive_counts *ret);

json_t *archive_head(const struct archive_range *range);
json_t *archive_tail(const struct archive_counts *counts);
/* A fact as it stands in a payment's line. */
json_t *archive_fact_json(const char *const values[static FACT_COLUMN_COUNT], const json_t *transfers,
                          uint64_t position);

/* Lines that were read. ERR_CONFLICT says what does not fit. */
int archive_read_head(const json_t *line, struct archive_range *ret, struct err *err) MUST_CHECK;
bool archive_is_tail(const json_t *line);
int archive_read_tail(const json_t *line, struct archive_counts *ret, struct err *err) MUST_CHECK;
/* The facts of a payment's line, leaves computed; the caller frees *ret with free(). Returns their count, at least 1; -1 on failure. */
int archive_read_payment(const json_t *line, const struct archive_range *range, const char **ret_began,
                         struct archive_fact **ret, struct err *err) MUST_CHECK;

/* "first" or "2024q3", and nothing that SQL would read otherwise. */
bool archive_name_valid(const char *name);
bool archive_day_valid(const char *day); /* "2024-07-01" */

#endif
