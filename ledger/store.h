/* store.h - what workers ask of the ledger: append facts, look at them
 *
 * The narrow interface behind which the database stands; the simulation replaces this file's implementation and
 * nothing else.
 *
 * An append is one transaction and one round trip: commands (L10), then facts with ON CONFLICT DO NOTHING in one
 * order that all appends share, whatever the caller's, their dependents (`with`) only where the fact they depend on
 * was won in this very append, and transfers, personal data and dead letters only for slots won (L2, L8). A
 * `decision`=abort that is won closes `auth:1` if nothing stands there (L7): the ledger does that by itself, no
 * caller asks for it. auth:N+1 is refused unless its negative auth:N:result has the same xid (L6): the trigger's
 * refusal is ERR_AGAIN.
 */
#ifndef ACQUIT_LEDGER_STORE_H
#define ACQUIT_LEDGER_STORE_H

#include "common/err.h"
#include "common/ids.h"
#include "ledger/chart.h"
#include "ledger/db.h"
#include "ledger/saga.h"

enum { STORE_PAYMENTS_MAX = 256, ACTOR_SIZE = 128, PUBLISHER_SIZE = 64, MESSAGE_ID_SIZE = 129 };

struct new_fact {
    struct uuid payment_id;
    char slot[SLOT_SIZE];
    char with[SLOT_SIZE]; /* slot of the same payment and append that must be won first, or "" */
    char outcome[OUTCOME_SIZE];
    struct uuid cause;
    char actor[ACTOR_SIZE];
    json_t *body;        /* borrowed; NULL = {} */
    struct uuid command; /* not nil: insert only if ledger.command holds this id with `command_sha256` (L10) */
    char command_sha256[65];
    bool won; /* set by store_append */
};

/* One row of ledger.transfer; goes in only if its slot is won in this append. */
struct new_transfer {
    struct uuid payment_id;
    char slot[SLOT_SIZE];
    int leg;                    /* 1, 2, ... within the slot */
    char kind[16];              /* "hold" (pending), "post" and "void" (of a hold), "transfer", "in_doubt" (pending) */
    char pending_of[SLOT_SIZE]; /* post, void: the slot of the hold, of the same payment; else "" */
    char debit[ACCOUNT_SIZE], credit[ACCOUNT_SIZE];
    int64_t amount; /* > 0 */
    char currency[4];
};

/* The row of ledger.command for a public command: its answer stands in the facts whose cause is `id`. */
struct new_command {
    struct uuid id, payment_id;
    char publisher[PUBLISHER_SIZE], message_id[MESSAGE_ID_SIZE], type[48], sha256[65];
};

/* Personal data that must not stand in a fact (L11). */
struct new_personal {
    struct uuid payment_id;
    json_t *data;         /* borrowed; {"customerEmail":...} */
    char with[SLOT_SIZE]; /* the slot that must be won */
};

/* The archived dead letter (L9); goes in if its `dead:` fact, the one whose body says "deadLetter": id, is won in
 * this append. */
struct new_dead_letter {
    struct uuid id, payment_id, command_id; /* payment and command may be nil: then the fact stands under `id` */
    const char *queue, *routing_key, *type, *reason, *publisher, *message_id; /* borrowed; text may be "" */
    json_t *properties, *history; /* borrowed; all AMQP properties and headers; attempts so far */
    const char *body;
    size_t body_size;     /* masked bytes */
    char body_sha256[65]; /* of the original bytes */
    int attempts;
};

struct append {
    struct new_fact *facts;
    size_t fact_count;
    struct new_transfer *transfers;
    size_t transfer_count;
    struct new_command *commands;
    size_t command_count;
    struct new_personal *personal;
    size_t personal_count;
    struct new_dead_letter *dead_letters;
    size_t dead_letter_count;
};

struct store;

struct store *store_new(const struct db_options *options, struct err *err) MUST_CHECK;
void store_free(struct store *store);
struct db *store_db(struct store *store); /* its connection, borrowed */

/* One transaction. On success every fact's `won` is set. ERR_INVALID for an append that contradicts itself (two
 * facts for a slot, a `with` that is not in it, a dead letter without its dead: fact), ERR_LIMIT for more than 4096
 * facts, or rows of any other kind; otherwise errors as db_run(): after ERR_AGAIN nothing was written and the batch
 * may be run again, one payment at a time; after ERR_SHORT an account would have fallen below its floor (the text names
 * it), nothing was written, and of the payments run again one at a time only those fail that are short themselves: a
 * step answers that with its business refusal, trying again answers nothing; after ERR_UNKNOWN nobody knows, and the
 * delivery must not be acknowledged. */
int store_append(struct store *store, struct append *append, struct err *err) MUST_CHECK;

/* The facts of `count` payments, ret[i] for ids[i] (zeroed by the caller, freed with facts_clear()), in one new
 * snapshot (L4). Of a payment whose partition is archived, none: `archived` says so, and no append for it goes in. */
int store_load(struct store *store, const struct uuid *ids, size_t count, struct facts *ret,
               struct err *err) MUST_CHECK;

/* What ledger.command holds of these command ids: ret_sha256[i] is "" when it has no such row. */
int store_commands(struct store *store, const struct uuid *ids, size_t count, char (*ret_sha256)[65],
                   struct err *err) MUST_CHECK;

#endif
