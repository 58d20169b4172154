/* archive_internal.h - what archive.c (out) and archive_restore.c (in) share */
#ifndef ACQUIT_LEDGER_ARCHIVE_INTERNAL_H
#define ACQUIT_LEDGER_ARCHIVE_INTERNAL_H

#include <stdio.h>

#include "ledger/archive.h"

enum { ARCHIVE_PAGE = 128 /* payments */, ARCHIVE_SCRIPT_SIZE = 8192 };

/* Whoever moves a partition is alone with that, and waits for nobody long. */
#define ARCHIVE_ALONE "set local lock_timeout = '5s'; select pg_advisory_xact_lock(hashtext('ledger.archive'));"

/* A file that is read line by line. */
struct archive_reader {
    FILE *file;
    char *line;
    size_t room;
    int64_t number; /* of the last line */
    struct sha256_stream *sha256;
    struct archive_range range;
    struct archive_sums *sums;
    struct archive_counts counts; /* when it has ended */
};
int archive_reader_open(struct archive_reader *reader, const char *path, struct err *err) MUST_CHECK;
/* The next payment's line; NULL without an error at the end, which has then been found to fit what was read. The caller frees the line and *ret_facts. */
json_t *archive_reader_next(struct archive_reader *reader, const char **ret_began, struct archive_fact **ret_facts,
                            int *ret_count, struct err *err) MUST_CHECK;
/* In any case; the file's hash if it was read to its end, else "". */
void archive_reader_close(struct archive_reader *reader, char ret_sha256[static SHA256_HEX_SIZE]);

#endif
