/* archive.h - partitions of the ledger leave for a file, and come back (docs/archive.md, docs/adr/0013)
 *
 * A partition holds the payments that began in one quarter. It may leave when each of them has come to its end and all their facts are sealed.
 * The file is written, flushed and read again before anything goes; then, in one transaction, the archive is noted in ledger.archive, its balances in
 * ledger.archive_balance, and the partition detached and dropped. Nothing that ever proves anything goes with it: leaves, nodes and heads of
 * the sealed tree stay, and so do the keys of commands (L10) and where each payment lives, so that no slot of an archived payment can
 * be filled anew (L2): the partition that would take it is not there.
 *
 * Needs the role that owns the schema, as migrations do. Everything by pages: memory does not grow with the partition.
 */
#ifndef ACQUIT_LEDGER_ARCHIVE_H
#define ACQUIT_LEDGER_ARCHIVE_H

#include "ledger/archive_file.h"
#include "ledger/db.h"

enum { ARCHIVE_PARTITIONS_MAX = 64 /* in one list */ };

/* The partitions that end before today less `age` (an SQL interval, "2 years"), the oldest first. Returns their count, -1 on failure. */
int archive_list(struct db *db, const char *age, struct archive_range ret[static ARCHIVE_PARTITIONS_MAX],
                 struct err *err) MUST_CHECK;

typedef void archive_progress(void *arg, const char *what, int64_t payments);

struct archive_options {
    struct db *db;
    const char *path;           /* of the file */
    archive_progress *progress; /* now and then; may be NULL */
    void *arg;
};

/* One partition into a file that must not be there yet. ERR_CONFLICT: a payment in it has not come to its end, or a fact is not (as it was) sealed;
 * it is named, and everything is as before, also after any other error but ERR_UNKNOWN: then the database may or may not have let go of the
 * partition, and the file stays. ERR_AGAIN: the ledger is away or busy, or the partition went on meanwhile. */
int archive_write(const struct archive_options *options, const struct archive_range *range, struct archive_counts *ret,
                  struct err *err) MUST_CHECK;

/* Reads a whole file, with every leaf computed from its columns. ERR_CONFLICT says what does not fit. Needs no database. */
int archive_check(const char *path, struct archive_range *ret_range, struct archive_counts *ret_counts,
                  char ret_sha256[static SHA256_HEX_SIZE], struct err *err) MUST_CHECK;

/* Puts a file's rows back where they were. ERR_CONFLICT: it is not the archive that was noted, or a leaf is not the sealed one; then
 * nothing was attached. */
int archive_restore(const struct archive_options *options, struct archive_range *ret_range, struct archive_counts *ret,
                    struct err *err) MUST_CHECK;

#endif
