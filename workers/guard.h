/* guard.h - on which ledger a program works: one that it may add rows to, and the same one all the time
 *
 * Every new connection is looked at (epoch_check()). A ledger whose transaction ids the server has not reached is refused: the program ends
 * with 78. Another server, or another timeline of the same one, is a ledger that may have lost what this program has read: it ends with 75, and
 * begins anew from what is there.
 */
#ifndef ACQUIT_WORKERS_GUARD_H
#define ACQUIT_WORKERS_GUARD_H

#include "common/loop.h"
#include "ledger/epoch.h"

struct guard {
    struct loop *loop; /* borrowed; stopped by a refusal */
    char server[EPOCH_SERVER_SIZE];
    struct err refusal; /* why, once it has refused */
    bool connected;     /* guard_connect() was called */
};

/* `opened` of connections to the primary, with the guard as argument. A refusal is logged, stops the loop, and is ERR_AGAIN for the call
 * that needed the connection: what it was about is nobody's fault. */
db_opened guard_opened;

/* Connects before the program says that it is ready. A refusal is the error; a ledger that is away is none, it is looked at later. */
int guard_connect(struct guard *guard, struct db *db, struct err *err) MUST_CHECK;

#endif
