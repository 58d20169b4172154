/* crypto.c - the few primitives we use, all from OpenSSL */
#include "common/crypto.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "common/log.h"
#include "common/mem.h"

static EVP_MD *algorithm;

static void fetch_algorithm(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!algorithm)
        log_panic("libcrypto has no SHA-256");
}

/* Fetched once: EVP_sha256() looks its implementation up at every use in OpenSSL 3. */
static const EVP_MD *sha256_algorithm(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch_algorithm);
    return algorithm;
}

void sha256(const void *data, size_t size, uint8_t ret[static SHA256_SIZE])
{
    sha256_two(data, size, NULL, 0, ret);
}

static pthread_key_t context_key;

static void context_free(void *context)
{
    EVP_MD_CTX_free(context);
}

static void make_context_key(void)
{
    if (pthread_key_create(&context_key, context_free) != 0)
        log_panic("no thread key is left");
}

/* One per thread: making and freeing one costs as much as hashing a hundred bytes. */
static EVP_MD_CTX *thread_context(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static _Thread_local EVP_MD_CTX *context;
    if (context)
        return context;
    pthread_once(&once, make_context_key);
    context = EVP_MD_CTX_new();
    if (!context || pthread_setspecific(context_key, context) != 0)
        log_panic("libcrypto has no memory");
    return context;
}

void sha256_two(const void *a, size_t a_size, const void *b, size_t b_size, uint8_t ret[static SHA256_SIZE])
{
    EVP_MD_CTX *ctx = thread_context();
    if (EVP_DigestInit_ex(ctx, sha256_algorithm(), NULL) != 1 || (a_size && EVP_DigestUpdate(ctx, a, a_size) != 1) ||
        (b_size && EVP_DigestUpdate(ctx, b, b_size) != 1) || EVP_DigestFinal_ex(ctx, ret, NULL) != 1)
        log_panic("libcrypto cannot compute SHA-256");
}

struct sha256_stream {
    EVP_MD_CTX *ctx;
};

struct sha256_stream *sha256_begin(void)
{
    struct sha256_stream *stream = mem_new(1, sizeof *stream);
    stream->ctx = EVP_MD_CTX_new();
    if (!stream->ctx || EVP_DigestInit_ex(stream->ctx, sha256_algorithm(), NULL) != 1)
        log_panic("libcrypto cannot compute SHA-256");
    return stream;
}

void sha256_add(struct sha256_stream *stream, const void *data, size_t size)
{
    if (size && EVP_DigestUpdate(stream->ctx, data, size) != 1)
        log_panic("libcrypto cannot compute SHA-256");
}

void sha256_end(struct sha256_stream *stream, uint8_t ret[static SHA256_SIZE])
{
    if (!stream)
        return;
    if (EVP_DigestFinal_ex(stream->ctx, ret, NULL) != 1)
        log_panic("libcrypto cannot compute SHA-256");
    EVP_MD_CTX_free(stream->ctx);
    free(stream);
}

void sha256_hex(const void *data, size_t size, char ret[static SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    sha256(data, size, digest);
    hex_encode(digest, sizeof digest, ret);
}

void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, uint8_t ret[static SHA256_SIZE])
{
    if (key_size > INT_MAX)
        log_panic("HMAC key of %zu bytes", key_size);
    unsigned int length = 0;
    if (!HMAC(sha256_algorithm(), key_size ? key : "", (int)key_size, size ? data : (const void *)"", size, ret,
              &length) ||
        length != SHA256_SIZE)
        log_panic("libcrypto cannot compute HMAC-SHA-256");
}

bool ed25519_verify(const uint8_t key[static ED25519_KEY_SIZE], const void *data, size_t size,
                    const uint8_t signature[static ED25519_SIGNATURE_SIZE])
{
    EVP_PKEY *public = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_KEY_SIZE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx)
        log_panic("libcrypto has no memory");
    bool good = public && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, public) == 1 &&
                EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE_SIZE, size ? data : (const void *)"", size) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(public);
    /* A wrong signature leaves entries that the next TLS call of this thread would take for its own. */
    ERR_clear_error();
    return good;
}

static EVP_PKEY *private_of(const uint8_t private_key[static ED25519_KEY_SIZE])
{
    EVP_PKEY *private = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, ED25519_KEY_SIZE);
    if (!private)
        log_panic("libcrypto does not take an Ed25519 key");
    return private;
}

void ed25519_sign(const uint8_t private_key[static ED25519_KEY_SIZE], const void *data, size_t size,
                  uint8_t ret[static ED25519_SIGNATURE_SIZE])
{
    EVP_PKEY *private = private_of(private_key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t ret_size = ED25519_SIGNATURE_SIZE;
    if (!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, private) != 1 ||
        EVP_DigestSign(ctx, ret, &ret_size, size ? data : (const void *)"", size) != 1 ||
        ret_size != ED25519_SIGNATURE_SIZE)
        log_panic("libcrypto cannot sign");
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(private);
}

void ed25519_public(const uint8_t private_key[static ED25519_KEY_SIZE], uint8_t ret[static ED25519_KEY_SIZE])
{
    EVP_PKEY *private = private_of(private_key);
    size_t size = ED25519_KEY_SIZE;
    if (EVP_PKEY_get_raw_public_key(private, ret, &size) != 1 || size != ED25519_KEY_SIZE)
        log_panic("libcrypto has no public key");
    EVP_PKEY_free(private);
}

bool crypto_equal(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

void crypto_random(void *ret, size_t size)
{
    if (size > INT_MAX || RAND_bytes(ret, (int)size) != 1)
        log_panic("libcrypto has no randomness");
}

void hex_encode(const void *data, size_t size, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        *ret++ = digits[bytes[i] >> 4];
        *ret++ = digits[bytes[i] & 15];
    }
    *ret = '\0';
}

enum { NO_DIGIT = 16 };

static unsigned hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return NO_DIGIT;
}

int hex_decode(const char *text, void *ret, size_t size)
{
    if (strlen(text) != 2 * size)
        return -1;
    for (size_t i = 0; i < 2 * size; i++)
        if (hex_value(text[i]) == NO_DIGIT)
            return -1;
    uint8_t *bytes = ret;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
    return 0;
}

/* base64, RFC 4648 section 4. Our own, because OpenSSL's decoder forgives what is not canonical. */
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t size, char *ret)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? bytes[i + 2] : 0;
        *ret++ = base64_digits[group >> 18];
        *ret++ = base64_digits[group >> 12 & 63];
        *ret++ = left > 1 ? base64_digits[group >> 6 & 63] : '=';
        *ret++ = left > 2 ? base64_digits[group & 63] : '=';
    }
    *ret = '\0';
}

/* The 24 bits of four digits, the last `padding` of them '='; -1 when one is no digit or a bit beyond the data is
 * set. */
static int base64_group(const char *text, int padding, uint32_t *ret)
{
    uint32_t group = 0;
    for (int i = 0; i < 4 - padding; i++) {
        const char *digit = strchr(base64_digits, text[i]);
        if (!digit)
            return -1;
        group |= (uint32_t)(digit - base64_digits) << (18 - 6 * i);
    }
    static const uint32_t unused_bits[] = {0, 0xff, 0xffff};
    *ret = group;
    return group & unused_bits[padding] ? -1 : 0;
}

int base64_decode(const char *text, void *ret, size_t max, size_t *ret_size)
{
    size_t length = strlen(text);
    if (length % 4 != 0)
        return -1;
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    size_t size = length / 4 * 3 - padding;
    if (size > max)
        return -1;
    uint8_t *bytes = ret;
    size_t n = 0;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t group;
        if (base64_group(text + i, i + 4 == length ? (int)padding : 0, &group) != 0)
            return -1;
        for (int shift = 16; shift >= 0 && n < size; shift -= 8)
            bytes[n++] = (uint8_t)(group >> shift);
    }
    *ret_size = size;
    return 0;
}
