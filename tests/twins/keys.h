/* keys.h - the validators' Ed25519 keys */
#ifndef TWINS_KEYS_H
#define TWINS_KEYS_H

#include <stdbool.h>
#include <stddef.h>

enum { SIGNATURE_SIZE = 64 };

/* Writes DIR/validator-N.key (PEM, PKCS#8, mode 0600) and DIR/validator-N.pub (base64 of the raw public key) where
 * absent, N = 1..count. A .pub that is missing beside its .key is written again from it. False: reported on stderr.
 * */
bool keys_make(const char *directory, unsigned count);

/* Reads the private keys. False: reported on stderr. */
bool keys_load(const char *directory, unsigned count);

/* How many were loaded. */
unsigned keys_count(void);

/* Signs with the key of validator `number`, 1..keys_count(). */
bool keys_sign(unsigned number, const char *text, size_t length, unsigned char signature[SIGNATURE_SIZE]);

#endif
