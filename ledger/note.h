/* note.h - signed notes and checkpoints: how the head of the ledger is told to the world
 *
 * Pure. A note is a text and signatures under it, each of a name and a key (C2SP signed-note); a checkpoint is a note that states the
 * size and root of a log (C2SP tlog-checkpoint), with extension lines of ours. Both are read by tools that are not ours.
 *
 *     example.org/ledger                          origin
 *     18                                          size of the tree
 *     dl2D4V...=                                  root, base64
 *     slots 3f2a... 9                             extension lines, each one line of text
 *
 *     — example.org/ledger Az3grlgtzPICa5OS...=   signature: base64 of key id (4 bytes) and Ed25519 signature
 *
 * Sources: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint
 */
#ifndef ACQUIT_LEDGER_NOTE_H
#define ACQUIT_LEDGER_NOTE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "ledger/merkle.h"

enum {
    NOTE_NAME_SIZE = 128, /* of an origin or key, and NUL; no blank, no '+' */
    NOTE_SIZE_MAX = 8192, /* a whole note, and NUL */
    NOTE_SIGNATURES_MAX = 16,
    NOTE_LINES_MAX = 16, /* extension lines */
    NOTE_KEY_SIZE = 256, /* a verifier's key as text, and NUL */
};

/* Whose word counts. As text: "<name>+<key id, 8 hex digits>+<base64 of 0x01 and the public key>". */
struct note_key {
    char name[NOTE_NAME_SIZE];
    uint8_t public_key[ED25519_KEY_SIZE];
};
int note_key_parse(const char *text, struct note_key *ret, struct err *err) MUST_CHECK;
void note_key_format(const struct note_key *key, char ret[static NOTE_KEY_SIZE]);
bool note_name_valid(const char *name);

/* --- any text that is signed --- */

/* Adds a signature line over the first `size` bytes of `note`, a text whose last line ends there; the first signature brings the empty line before
 * it. ERR_LIMIT when it does not fit, ERR_INVALID for a name that is none. */
int note_sign(char note[static NOTE_SIZE_MAX], size_t size, const char *key_name,
              const uint8_t private_key[static ED25519_KEY_SIZE], struct err *err) MUST_CHECK;
/* The bytes of the text, without the empty line and the signatures; 0 when it is no note. */
size_t note_text_size(const char *note);
/* Is signature line `n` (from 0) by this key, and good? */
bool note_signed_by(const char *note, int n, const struct note_key *key);

/* --- checkpoints --- */

/* What a checkpoint states. */
struct checkpoint {
    char origin[NOTE_NAME_SIZE];
    uint64_t size;
    struct hash root;
    size_t line_count;
    const char *lines[NOTE_LINES_MAX]; /* borrowed when written; into `text` of checkpoint_open() when read */
};

/* Writes and signs. ERR_LIMIT when it does not fit, ERR_INVALID for a line with a control character or a name that is none. */
int checkpoint_sign(const struct checkpoint *checkpoint, const char *key_name,
                    const uint8_t private_key[static ED25519_KEY_SIZE], char ret[static NOTE_SIZE_MAX],
                    struct err *err) MUST_CHECK;

/* Reads a checkpoint that one of these keys has signed; *ret_key is which. ERR_INVALID says what is wrong with it, a missing signature
 * included. `text` is changed and has to outlive *ret. */
int checkpoint_open(char *text, const struct note_key *keys, size_t key_count, struct checkpoint *ret,
                    const struct note_key **ret_key, struct err *err) MUST_CHECK;
/* The same without looking at who signed it. `text` is changed and has to outlive *ret. */
int checkpoint_read(char *text, struct checkpoint *ret) MUST_CHECK;

#endif
