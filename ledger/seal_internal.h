/* seal_internal.h - what the parts of the sealer share (seal.h) */
#ifndef ACQUIT_LEDGER_SEAL_INTERNAL_H
#define ACQUIT_LEDGER_SEAL_INTERNAL_H

#include "ledger/seal.h"

enum {
    SEAL_NODE_STEP = 4, /* levels of the tree from one that is kept to the next */
    SEAL_NUMBER_SIZE = 24,
    SEAL_HASH_TEXT_SIZE = 2 + SHA256_HEX_SIZE, /* "\x" and hex digits */
};
const char *seal_number(char ret[static SEAL_NUMBER_SIZE], int64_t value);

/* A row of ledger.event, in the order in which they are sealed. */
struct seal_place {
    char xid[SEAL_NUMBER_SIZE], seq[SEAL_NUMBER_SIZE];
};

/* Leaves and nodes to be written, column by column. */
struct block {
    struct merkle_edge edge;
    struct seal_place last;
    int facts;
    uint64_t first;                  /* position of its first leaf */
    struct db_array payments, slots; /* of its leaves */
    char *hashes;                    /* all of them, as one bytea's text */
    struct db_array node_levels, node_positions, node_hashes;
    char first_text[SEAL_NUMBER_SIZE];
    const char *leaf_params[4], *node_params[3];
};
void block_begin(struct block *block, const struct merkle_edge *edge, const struct seal_place *last);
void block_clear(struct block *block);
/* A leaf that is no fact. */
void block_add(struct block *block, const char *payment, const char *slot, const struct hash *leaf);
/* The facts of ended transactions behind `block->last`, SEAL_BLOCK_MAX at most, and the ledger's epoch at that moment. */
int block_read(struct block *block, struct db *db, int *ret_epoch, struct err *err) MUST_CHECK;
/* What writes them; valid as long as the block. Returns how many statements. */
enum { BLOCK_STATEMENTS = 2 };
size_t block_statements(struct block *block, struct db_statement ret[static BLOCK_STATEMENTS]);

#endif
