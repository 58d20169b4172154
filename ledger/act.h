/* act.h - what operators did that leaves no fact: rows of ledger.act, insert-only (docs/ledger.md)
 *
 * The database says when, in which transaction and under which login (ledger.note_act). Any role that may read the ledger may note an act; nobody may
 * change one. View view.audit has them beside the acts that are facts.
 */
#ifndef ACQUIT_LEDGER_ACT_H
#define ACQUIT_LEDGER_ACT_H

#include <jansson.h>

#include "ledger/db.h"

enum { ACT_ACTOR_MAX = 128, ACT_OBJECT_MAX = 255, ACT_REASON_MAX = 500 /* bytes */ };

struct act {
    const char *actor;  /* who, as the program knows it; 1..ACT_ACTOR_MAX bytes */
    const char *action; /* "ledger.rebuild": lower-case words joined by points */
    const char *object_type,
        *object_id;     /* on what: "payment" and its id; of one that is the only one, its name twice */
    const char *reason; /* NULL: none */
    const json_t *diff; /* an object: what changed, what was seen; NULL: {}. No personal data, no secrets */
};

/* Notes it, in a transaction of its own, on the primary. ERR_DENIED when the role may not. */
int ledger_act(struct db *db, const struct act *act, struct err *err) MUST_CHECK;

/* Acts and what view.audit has beside them, newest first:
 * [{"id","at","actorType","actorId","action","objectType","objectId","reason","diff","role"}]. */
enum { AUDIT_LIMIT_MAX = 1000 };
struct audit_filter {
    const char *since, *until;  /* RFC 3339, NULL: open; `until` is not included */
    const char *actor, *action; /* NULL: any */
    const char *object_id;      /* NULL: any */
    int limit;                  /* 1..AUDIT_LIMIT_MAX */
};
json_t *ledger_audit(struct db *db, const struct audit_filter *filter, struct err *err) MUST_CHECK;

#endif
