/* prove.h - what the two ways of `acquit ledger prove` share */
#ifndef ACQUIT_WORKERS_OPERATOR_PROVE_H
#define ACQUIT_WORKERS_OPERATOR_PROVE_H

#include "ledger/proof.h"
#include "workers/operator/operator.h"

enum {
    PROVE_WAIT_MS = 5000,
    PROVE_LOOK_MS = 100, /* between two looks at what is sealed */
};
void prove_pause_ms(int64_t ms);

/* The sealed tree; what was read of it once is not read again: proofs of one receipt share most of their hashes. */
struct proof_cache {
    struct merkle_source source;
    struct proof_node {
        int level;
        uint64_t position;
        struct hash hash;
    } * nodes;
    size_t count;
};
struct merkle_source proof_cached(struct proof_cache *cache, struct db *db);
void proof_cache_free(struct proof_cache *cache);

/* The newest head. */
struct sealed_head {
    char text[NOTE_SIZE_MAX];
    struct proof_head read;
};
int prove_read_head(struct db *db, struct sealed_head *ret, struct err *err) MUST_CHECK;
/* The member "keys" of a receipt under this head; *ret NULL when the key never changed. */
int prove_keys(struct db *db, const struct merkle_source *source, const struct proof_head *head, json_t **ret,
               struct err *err) MUST_CHECK;

/* To --output, else to standard output. */
int prove_write(const struct op *op, const json_t *receipt, struct err *err) MUST_CHECK;

/* acquit ledger prove --absent PAYMENT SLOT (prove_absence.c) */
int prove_absence(struct op *op, struct uuid payment, const char *slot, struct err *err) MUST_CHECK;

#endif
