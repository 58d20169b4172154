/* receipt.h - what happened to one payment, for somebody who has nothing of ours but a public key (docs/sealing.md)
 *
 * Pure: a receipt is made from parts that somebody read, and checked from its bytes and the keys alone. It is one JSON object: the facts of the
 * payment with their transfers, every column as the text that was hashed, each with its place in the tree, and one signed head (proof.h). The
 * summary is derived, and derived again by whoever checks. Nothing in a receipt may stand otherwise than it was written, so any change is seen.
 *
 *     {"format": "acquit-receipt", "version": 1, "payment": "<uuid>", "about": RECEIPT_ABOUT,
 *      "summary": {"state", "amount", "currency", "captured", "refunded", "facts"}, "head": "<signed checkpoint>",
 *      "keys": [...] if there are any, "facts": [{"position": 17, "proof": ["<base64>", ...], "fact": {FACT_COLUMNS}, "transfers": [{TRANSFER_COLUMNS}, ...]}, ...]}
 *
 * Facts stand in the order of the tree; values are texts or null.
 */
#ifndef ACQUIT_LEDGER_RECEIPT_H
#define ACQUIT_LEDGER_RECEIPT_H

#include "ledger/leaf.h"
#include "ledger/proof.h"
#include "ledger/saga.h"

enum {
    RECEIPT_VERSION = 1,
    RECEIPT_FACTS_MAX = 8192,
};
extern const char RECEIPT_ABOUT[]; /* what a reader without these pages needs to know */

/* --- making one --- */

/* A fact as leaf_of() takes it, at its place in a tree of `size` leaves with this root. NULL with ERR_CONFLICT when it is not what was sealed there.
 * The caller owns the result. */
json_t *receipt_fact(const char *const values[static FACT_COLUMN_COUNT], const json_t *transfers, uint64_t position,
                     const struct merkle_proof *proof, uint64_t size, const struct hash *root,
                     struct err *err) MUST_CHECK;
/* The whole, of `facts` by position and `keys` (both taken over; NULL: the key never changed). NULL with ERR_NOT_FOUND when they are no payment's, ERR_LIMIT, or saga_fold()'s error. */
json_t *receipt_make(const char *payment, const char *head, json_t *keys, json_t *facts, struct err *err) MUST_CHECK;

/* --- checking one --- */

/* A receipt that was found good: what is proven. */
struct receipt {
    json_t *value;
    struct proof_head head;
    struct facts facts;     /* in the order of the tree */
    struct payment payment; /* folded from them */
    size_t transfer_count;
};

/* ERR_CONFLICT says what does not fit. Free with receipt_clear() in any case. */
int receipt_check(const char *bytes, size_t size, const struct note_key *keys, size_t key_count, struct receipt *ret,
                  struct err *err) MUST_CHECK;
void receipt_clear(struct receipt *receipt);

/* Of fact i: its place in the tree, and its transfers (objects of texts, by leg); borrowed. */
uint64_t receipt_position(const struct receipt *receipt, size_t i);
const json_t *receipt_transfers(const struct receipt *receipt, size_t i);

#endif
