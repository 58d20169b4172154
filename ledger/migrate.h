/* migrate.h - brings a database to the schema this program was built with
 *
 * The files ledger/schema/NNN_*.sql are embedded; each runs once, in order, in its own transaction, under an
 * advisory lock, and is noted with its SHA-256 in ledger.migration. A noted file that has changed since is refused.
 * Needs an owner role; the roles acquit_worker, acquit_reader are made by 001.
 */
#ifndef ACQUIT_LEDGER_MIGRATE_H
#define ACQUIT_LEDGER_MIGRATE_H

#include "ledger/db.h"

/* Applies what is missing; *ret_applied is how many. `on_applied` (may be NULL) hears each name. */
int migrate_apply(struct db *db, void (*on_applied)(const char *name), int *ret_applied, struct err *err) MUST_CHECK;
/* ERR_CONFIG when the database lacks a migration of this program, is newer, or has a changed one; the text says
 * which. */
int migrate_check(struct db *db, struct err *err) MUST_CHECK;

#endif
