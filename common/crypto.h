/* crypto.h - the few primitives we use, all from OpenSSL
 *
 * Nothing here allocates for the caller; sizes are those of the arrays. A failing primitive means a broken libcrypto
 * and panics, except where bad input is possible (keys, base64), which answers -1.
 */
#ifndef ACQUIT_COMMON_CRYPTO_H
#define ACQUIT_COMMON_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum {
    SHA256_SIZE = 32,
    SHA256_HEX_SIZE = 65,
    ED25519_KEY_SIZE = 32, /* private (the seed of RFC 8032) and public alike */
    ED25519_SIGNATURE_SIZE = 64,
};

void sha256(const void *data, size_t size, uint8_t ret[static SHA256_SIZE]);
/* The same over two pieces, without joining them. */
void sha256_two(const void *a, size_t a_size, const void *b, size_t b_size, uint8_t ret[static SHA256_SIZE]);
/* Over pieces that come one by one. */
struct sha256_stream;
struct sha256_stream *sha256_begin(void);
void sha256_add(struct sha256_stream *stream, const void *data, size_t size);
void sha256_end(struct sha256_stream *stream,
                uint8_t ret[static SHA256_SIZE]); /* frees it; `stream` may be NULL: nothing is done */
void sha256_hex(const void *data, size_t size, char ret[static SHA256_HEX_SIZE]);
void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, uint8_t ret[static SHA256_SIZE]);

/* True when the signature is `key`'s over the data (RFC 8032, pure Ed25519). */
bool ed25519_verify(const uint8_t key[static ED25519_KEY_SIZE], const void *data, size_t size,
                    const uint8_t signature[static ED25519_SIGNATURE_SIZE]);

/* Signs with the private key. */
void ed25519_sign(const uint8_t private_key[static ED25519_KEY_SIZE], const void *data, size_t size,
                  uint8_t ret[static ED25519_SIGNATURE_SIZE]);
/* The public key that belongs to a private one. */
void ed25519_public(const uint8_t private_key[static ED25519_KEY_SIZE], uint8_t ret[static ED25519_KEY_SIZE]);

/* Equal content, in time that depends on the sizes only. */
bool crypto_equal(const void *a, const void *b, size_t size);
void crypto_random(void *ret, size_t size);

void hex_encode(const void *data, size_t size, char *ret);           /* ret holds 2 * size + 1 */
int hex_decode(const char *text, void *ret, size_t size) MUST_CHECK; /* exactly 2 * size digits */

/* Standard base64 (RFC 4648 section 4) with padding. ret holds 4 * ceil(size / 3) + 1. */
void base64_encode(const void *data, size_t size, char *ret);
/* -1 when the text is not canonical base64 or decodes to more than `max` bytes. */
int base64_decode(const char *text, void *ret, size_t max, size_t *ret_size) MUST_CHECK;

#endif
