/* conserve.h - what became of commands that a publisher says it published
 *
 * Read-only; may stand on a replica that is not behind. A command is known here by its id alone (uuid_command()).
 */
#ifndef ACQUIT_LEDGER_CONSERVE_H
#define ACQUIT_LEDGER_CONSERVE_H

#include <jansson.h>

#include "ledger/db.h"

enum fate {
    FATE_ABSENT,    /* the ledger has never heard of it: it is under way, or lost */
    FATE_SETTLED,   /* ledger.command has it: it was done, or refused, for good (L10) */
    FATE_DEAD,      /* a dead letter, held for a person */
    FATE_DISCARDED, /* a person said that nobody will send it again */
    FATE_REPLAYED,  /* a person sent it again, and it has not come to an end since */
};
enum { FATE_COUNT = FATE_REPLAYED + 1 };
const char *fate_text(enum fate fate);

struct fate_key {
    struct uuid command;
    const char *publisher, *type, *message_id; /* borrowed; they find a dead letter whose command could not be read */
};

enum { FATES_MAX = 5000 }; /* keys of one call */

/* ret[i] for keys[i], in one snapshot. ERR_LIMIT for more than FATES_MAX; otherwise errors as db_query(). */
int fates_read(struct db *db, const struct fate_key *keys, size_t count, enum fate *ret, struct err *err) MUST_CHECK;

/* What the ledger itself counts of public commands, by type and UTC day of its writing, from day `from` up to but without
 * `to` (texts like 2026-11-20, NULL: open): [{"type","day","settled","dead","discarded","replayed"}]. Dead letters count
 * where the command was never settled. The caller owns it; NULL on failure. */
json_t *fates_count(struct db *db, const char *from, const char *to, struct err *err) MUST_CHECK;

#endif
