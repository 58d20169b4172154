/* proof.h - what receipts of every kind have in common: their form, one signed head, and the keys that lead to it (docs/sealing.md)
 *
 * Pure. A receipt is one JSON object in which nothing can stand otherwise than it was written. Its member "head" is a checkpoint under the ledger's
 * own signature alone. Where the ledger has changed its key, "keys" has every statement of it (key_change.h), each with the proof that it is
 * sealed, so that one key that the reader trusts leads to the one that signed:
 *
 *     "head": "<signed checkpoint>", "keys": [{"position": 17, "proof": ["<base64>", ...], "statement": "acquit-key-v1\n..."}, ...]
 */
#ifndef ACQUIT_LEDGER_PROOF_H
#define ACQUIT_LEDGER_PROOF_H

#include <jansson.h>

#include "ledger/key_change.h"
#include "ledger/map.h"
#include "ledger/seal.h"

enum {
    RECEIPT_SIZE_MAX = 32 * 1024 * 1024, /* bytes: it may be a stranger's */
    RECEIPT_KEYS_MAX = 256,              /* changes of the key */
};

/* --- the form --- */

/* ERR_CONFLICT with this text. */
int proof_unfit(struct err *err, const char *what);
/* These members and no other; the one named `optional` may be missing (NULL: none may). */
bool proof_has(const json_t *object, const char *const *names, size_t count, const char *optional);
/* The bytes as one JSON value without doubled members; NULL with an error. The caller owns it. */
json_t *proof_load(const char *bytes, size_t size, struct err *err) MUST_CHECK;
/* As a receipt is written to a file; the caller frees it with free(). */
char *proof_text(const json_t *receipt);
/* Hashes as a list of base64 texts. */
json_t *proof_write_hashes(const struct hash *hashes, size_t count);
int proof_read_hashes(const json_t *texts, struct hash *ret, size_t most, size_t *ret_count) MUST_CHECK;

/* --- the head --- */

struct proof_head {
    struct note_key key; /* that signed it */
    uint64_t size;       /* leaves of its tree */
    struct hash root;
    struct seal_line line;
    struct map_line map;          /* size 0: it states none */
    char sha256[SHA256_HEX_SIZE]; /* of its whole text: the same as of its file */
    size_t changes;               /* of the key, as the receipt has them */
};

/* An item of "keys"; NULL with ERR_CONFLICT when it is not what was sealed there. */
json_t *proof_key(const char *statement, uint64_t position, const struct merkle_proof *proof, uint64_t size,
                  const struct hash *root, struct err *err) MUST_CHECK;
/* The members "head" and "keys" of a receipt; -1 with ERR_CONFLICT: no given key leads to it. */
int proof_check_head(const json_t *receipt, const struct note_key *keys, size_t key_count, struct proof_head *ret,
                     struct err *err) MUST_CHECK;
/* The root, size and map that a head states, whoever signed it; -1: it is no head. For who makes receipts. */
int proof_read_head(const char *text, struct proof_head *ret) MUST_CHECK;

#endif
