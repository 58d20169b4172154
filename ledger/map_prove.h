/* map_prove.h - the way of one payment in the map of the newest head, out of the database (map_store.h) */
#ifndef ACQUIT_LEDGER_MAP_PROVE_H
#define ACQUIT_LEDGER_MAP_PROVE_H

#include <jansson.h>

#include "ledger/map_store.h"
#include "ledger/proof.h"

struct map_answer {
    char head[NOTE_SIZE_MAX]; /* the newest */
    struct proof_head read;   /* what it states */
    struct map_proof proof;   /* leads to its map */
    json_t *slots; /* of the payment, in the order of their bytes, if the way ends with it; the caller's, else NULL */
};
/* ERR_AGAIN: no head states a map, or it is being built at this moment. ERR_CONFLICT: what is kept of the map, and the leaves, are not what the
 * head states. `db` may be a replica. */
int map_prove_payment(struct db *db, struct uuid id, struct map_answer *ret, struct err *err) MUST_CHECK;

#endif
