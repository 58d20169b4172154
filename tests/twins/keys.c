/* keys.c - the validators' Ed25519 keys, as files
 *
 * A key file is created with O_EXCL and never overwritten, so two programs that make keys at once agree on one.
 */
#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "limits.h"
#include "text.h"

enum { PATH_SIZE = 512, PUBLIC_SIZE = 32 };

static EVP_PKEY *keys[LIMIT_VALIDATORS];
static unsigned loaded;

static void path_of(char *to, size_t size, const char *directory, unsigned number, const char *suffix)
{
    text_print(to, size, "%s/validator-%u.%s", directory, number, suffix);
}

static bool report(const char *path)
{
    fprintf(stderr, "acquit-twins: %s: %s\n", path, errno ? strerror(errno) : "not an Ed25519 key");
    return false;
}

static EVP_PKEY *read_key(const char *path)
{
    errno = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    if (key && EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

/* A new file that must not be there yet; NULL with errno otherwise. */
static FILE *create(const char *path, mode_t mode)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    if (!file && descriptor >= 0)
        close(descriptor);
    return file;
}

static bool write_private(const char *path)
{
    FILE *file = create(path, 0600);
    if (!file)
        return errno == EEXIST || report(path);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    bool good = key && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
    good = fclose(file) == 0 && good;
    EVP_PKEY_free(key);
    if (!good) {
        unlink(path);
        return report(path);
    }
    return true;
}

static bool write_public(const char *path, const char *private_path)
{
    unsigned char raw[PUBLIC_SIZE];
    size_t size = sizeof raw;
    FILE *file = create(path, 0644);
    if (!file)
        return errno == EEXIST || report(path);
    EVP_PKEY *key = read_key(private_path);
    bool good = key && EVP_PKEY_get_raw_public_key(key, raw, &size) == 1 && size == sizeof raw;
    char *text = good ? text_base64(raw, sizeof raw) : NULL;
    good = good && fprintf(file, "%s\n", text) > 0;
    good = fclose(file) == 0 && good;
    free(text);
    EVP_PKEY_free(key);
    if (!good) {
        unlink(path);
        return report(private_path);
    }
    return true;
}

bool keys_make(const char *directory, unsigned count)
{
    char private_path[PATH_SIZE];
    char public_path[PATH_SIZE];
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return report(directory);
    for (unsigned number = 1; number <= count; number++) {
        path_of(private_path, sizeof private_path, directory, number, "key");
        path_of(public_path, sizeof public_path, directory, number, "pub");
        if (!write_private(private_path) || !write_public(public_path, private_path))
            return false;
    }
    return true;
}

bool keys_load(const char *directory, unsigned count)
{
    char path[PATH_SIZE];
    for (unsigned number = 1; number <= count; number++) {
        path_of(path, sizeof path, directory, number, "key");
        keys[number - 1] = read_key(path);
        if (!keys[number - 1])
            return report(path);
    }
    loaded = count;
    return true;
}

unsigned keys_count(void)
{
    return loaded;
}

bool keys_sign(unsigned number, const char *text, size_t length, unsigned char signature[SIGNATURE_SIZE])
{
    size_t size = SIGNATURE_SIZE;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestSignInit(context, NULL, NULL, NULL, keys[number - 1]) == 1 &&
                EVP_DigestSign(context, signature, &size, (const unsigned char *)text, length) == 1 &&
                size == SIGNATURE_SIZE;
    EVP_MD_CTX_free(context);
    return good;
}
