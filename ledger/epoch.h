/* epoch.h - what stands between us and the server's transaction ids (docs/adr/0020)
 *
 * Rows keep the id of the transaction that wrote them: "won in this append" is a row whose id is ours, and sealing goes by "all below the
 * horizon have ended". A dump that is restored into another server brings the rows, but not the server's counter, which may
 * stand far below them. So all statements ask ledger.xid(), ledger.horizon() and ledger.next_xid(); a new epoch makes these add an offset, with
 * which every id to come is above every id that is stored. In the first epoch they add nothing.
 *
 * A restore to an earlier moment (base backup and WAL) keeps the counter, but forks history: heads that were sealed after that moment have left.
 * There the new epoch says so: its number stands in every head signed from then on, and its first head names the one it goes on from.
 */
#ifndef ACQUIT_LEDGER_EPOCH_H
#define ACQUIT_LEDGER_EPOCH_H

#include <jansson.h>

#include "ledger/db.h"

enum {
    EPOCH_SERVER_SIZE = 48,
    EPOCH_FUNCTION_SIZE = 320,
    EPOCH_FUNCTIONS = 3,
};

/* May rows be added here? ERR_CONFIG, with the remedy, when stored transaction ids are not below those to come. `ret_server` is which history
 * of which server this is (system identifier and timeline), "" on a replica. For each new connection: two looks by key. */
int epoch_check(struct db *db, char ret_server[static EPOCH_SERVER_SIZE], struct err *err) MUST_CHECK;

struct epoch {
    int number;
    int64_t offset; /* what ledger.xid() adds to the server's ids */
};
/* Begins the epoch `number` (0: the one after the last) as the schema's owner, in one transaction that keeps all writers out, and notes the act.
 * ERR_AGAIN: somebody is writing; ERR_INVALID: that number has been, or `actor` or `reason` is empty or too long (ledger/act.h). After a failure
 * everything is as it was, after ERR_UNKNOWN perhaps not. */
int epoch_begin(struct db *db, int number, const char *actor, const char *reason, struct epoch *ret,
                struct err *err) MUST_CHECK;

/* All epochs, the first included: {"epoch","firstBlock","factsBefore" (sealed when it began; both absent until a block of it is sealed), and but for the
 * first "at","actor","reason","xidOffset"}. NULL on failure. Looks at all blocks. */
json_t *epoch_list(struct db *db, struct err *err) MUST_CHECK;

/* The definition, as the server writes it, of the i-th function that stands before the server's ids, with this offset; 0: as the migrations make
 * it. Returns its name. */
const char *epoch_function(size_t i, int64_t offset, char ret[static EPOCH_FUNCTION_SIZE]);

#endif
