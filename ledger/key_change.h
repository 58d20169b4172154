/* key_change.h - a new key for the ledger's heads: the statement in which the old key names it, which is sealed like a fact (docs/sealing.md)
 *
 * Pure. The statement is a note (note.h) under two signatures, by the old key and by the new one:
 *
 *     acquit-key-v1
 *     <origin>
 *     <old key, name+id+base64>
 *     <new key>
 *     2026-11-20T10:00:00.123Z
 *
 *     — <origin> <signature of the old key>
 *     — <origin> <signature of the new key>
 *
 * It becomes a leaf of the tree, SHA-256(0x00 || value "acquit-key-v1" || value statement), values as in leaf.h. Heads of trees that have it are
 * signed by the new key, heads of smaller ones by the old. So whoever trusts one key of a ledger can follow to all others.
 */
#ifndef ACQUIT_LEDGER_KEY_CHANGE_H
#define ACQUIT_LEDGER_KEY_CHANGE_H

#include "ledger/note.h"

enum { KEY_CHANGE_SIZE = 2048 /* a whole statement, and NUL */ };

/* In the tree a statement stands as slot "key:<n>", n from 1, of this payment, which is none. */
#define KEY_CHANGE_PAYMENT "00000000-0000-0000-0000-000000000000"

struct key_change {
    struct note_key old_key, new_key; /* both have the ledger's name */
    int64_t at_ms;                    /* when it was made, by the clock of whoever made it */
};

/* ERR_INVALID for a name that is none, or two keys that are one. */
int key_change_sign(const char *origin, const uint8_t old_key[static ED25519_KEY_SIZE],
                    const uint8_t new_key[static ED25519_KEY_SIZE], int64_t at_ms, char ret[static KEY_CHANGE_SIZE],
                    struct err *err) MUST_CHECK;
/* Reads one, and checks both signatures. ERR_INVALID says what is wrong. Whether the old key is anybody's is the caller's to know. */
int key_change_open(const char *statement, struct key_change *ret, struct err *err) MUST_CHECK;
struct hash key_change_leaf(const char *statement);

/* What the file of a private key holds: base64 of the key, and behind it, if `acquit ledger rotate-key` made it, a blank and base64 of the
 * statement that names it. One line. */
struct signing_key {
    uint8_t private_key[ED25519_KEY_SIZE]; /* wipe it */
    char change[KEY_CHANGE_SIZE];          /* "": there is none */
};
enum { SIGNING_KEY_SIZE = 3072 /* the line and NUL */ };
/* -1: it is no such line. */
int signing_key_parse(const char *text, struct signing_key *ret) MUST_CHECK;
void signing_key_format(const struct signing_key *key, char ret[static SIGNING_KEY_SIZE]);

#endif
