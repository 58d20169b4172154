/* seal.h - sealing the ledger: blocks of facts that nobody can add to any more, each under a signed head (docs/sealing.md)
 *
 * The sealer takes the facts of transactions that have all ended, those below the horizon (ledger.horizon()) of the very snapshot in which it reads
 * them, in the order of (xid, seq). No row can appear among them later, and no writer waits for it. It is the only writer of ledger.seal*; two
 * sealers do no harm: the second finds the block's height taken, and reads anew.
 *
 * Heads also state the sorted map (map.h) of the facts up to some moment before. A block without a fact is sealed when the map has something new
 * to say, or the key.
 */
#ifndef ACQUIT_LEDGER_SEAL_H
#define ACQUIT_LEDGER_SEAL_H

#include "ledger/db.h"
#include "ledger/note.h"

enum {
    SEAL_BLOCK_MAX = 4096,       /* facts of one block */
    SEAL_MAP_BEHIND_MAX = 24576, /* facts that the map may be behind its head while it follows, whatever the interval */
};

struct sealer_options {
    struct db *db;              /* borrowed; on the primary, role acquit_sealer */
    const char *origin;         /* copied; the log's name, and its key's */
    const uint8_t *private_key; /* ED25519_KEY_SIZE bytes; copied, wiped when freed */
    const char *change;         /* the statement that names it (key_change.h), NULL or "" for none; copied */
    int64_t map_interval_ms;    /* the map is refreshed that often, if there is something new */
    void (*sealed)(void *arg, const char *head, int64_t height); /* after the commit of each block; may be NULL */
    void *arg;
};
struct sealer;

/* ERR_INVALID for a name that is none, or a statement that does not name this key. */
struct sealer *sealer_new(const struct sealer_options *options, struct err *err) MUST_CHECK;
void sealer_free(struct sealer *sealer); /* accepts NULL */

/* Seals at most one block. Returns how many facts it has, 0 when there is nothing to seal; -1 with an error: nothing was written, or (ERR_UNKNOWN)
 * nobody knows; the next run looks. ERR_CONFLICT: what stands in the ledger is no continuation of its last head, or another log's. */
int sealer_run(struct sealer *sealer, struct err *err) MUST_CHECK;

/* Follows what was sealed with the map, and prepares what the next block's head is to state of it. A bounded piece of work: 1 when there is more
 * of it at once, 0 when not. -1 with an error; blocks can be sealed all the same, the map stays behind and is tried again. */
int sealer_follow(struct sealer *sealer, struct err *err) MUST_CHECK;
/* Facts that are sealed, and those of them that the map of the last head has. */
uint64_t sealer_size(const struct sealer *sealer);
uint64_t sealer_map_size(const struct sealer *sealer);

/* The sealed tree as a source of proofs; `db` may be a replica. */
struct merkle_source seal_source(struct db *db);

/* One line of a head: what a block adds to the checkpoint. */
enum { SEAL_LINE_SIZE = 160 };
struct seal_line {
    int64_t height;
    int epoch;
    char previous[SHA256_HEX_SIZE]; /* of the whole text of the head before, signatures included; "" for the first */
};
void seal_line_format(const struct seal_line *line, char ret[static SEAL_LINE_SIZE]);
int seal_line_parse(const char *text, struct seal_line *ret) MUST_CHECK;

#endif
