/* keygen.c - acquit ledger keygen, acquit ledger key: the key pair that signs the ledger's heads */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/crypto.h"
#include "ledger/note.h"
#include "workers/operator/operator.h"
#include "workers/program.h"

enum { KEY_TEXT_SIZE = 4 * ((ED25519_KEY_SIZE + 2) / 3) + 2 /* base64, a line end, NUL */ };

const struct option_row ledger_key_options[] = {
    {.name = "origin",
     .kind = OPTION_TEXT,
     .value = "NAME",
     .sentence = "name of the ledger in its heads (default: seal.origin)"},
    {0},
};

/* The settings are read only where one is needed: the first key is made before they are complete. */
static const char *origin_of(struct op *op, struct err *err)
{
    const char *origin = args_text(&op->args, "origin", NULL);
    if (!origin && !op->config)
        op->config = program_load(args_text(&op->args, "config", NULL), err);
    if (!origin && !op->config) {
        err_prefix(err, "--origin is not given, and there are no settings that name it");
        return NULL;
    }
    if (!origin)
        origin = config_text(op->config, "seal.origin");
    if (note_name_valid(origin))
        return origin;
    err_set(err, ERR_INVALID, "'%s' is no name of a ledger (seal.origin, --origin): 1 to %d bytes, no blank and no '+'",
            origin, NOTE_NAME_SIZE - 1);
    return NULL;
}

static int say_public(const struct op *op, const char *origin, const uint8_t private_key[static ED25519_KEY_SIZE])
{
    struct note_key key = {0};
    char text[NOTE_KEY_SIZE];
    snprintf(key.name, sizeof key.name, "%s", origin);
    ed25519_public(private_key, key.public_key);
    note_key_format(&key, text);
    if (op->json)
        operator_print(json_pack("{s:s, s:s}", "origin", origin, "key", text));
    else
        puts(text);
    return 0;
}

/* -- ledger keygen */

/* Whole or not at all, and never over another key. */
static int write_key(const char *path, const char *text, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return err_set(err, ERR_CONFLICT, "%s: is there already; a key is never overwritten", path);
    if (fd < 0)
        return err_set(err, ERR_DENIED, "%s: %s", path, strerror(errno));
    size_t size = strlen(text);
    bool good = write(fd, text, size) == (ssize_t)size && fsync(fd) == 0;
    int failure = errno;
    close(fd);
    if (good)
        return 0;
    unlink(path);
    return err_set(err, ERR_DENIED, "%s: %s", path, strerror(failure));
}

int cmd_ledger_keygen(struct op *op, struct err *err)
{
    uint8_t key[ED25519_KEY_SIZE];
    char text[KEY_TEXT_SIZE];
    const char *origin = origin_of(op, err);
    if (!origin)
        return -1;
    crypto_random(key, sizeof key);
    base64_encode(key, sizeof key, text);
    text[KEY_TEXT_SIZE - 2] = '\n';
    text[KEY_TEXT_SIZE - 1] = '\0';
    int r = write_key(op->args.positional[0], text, err);
    explicit_bzero(text, sizeof text);
    if (r == 0)
        say_public(op, origin, key);
    explicit_bzero(key, sizeof key);
    return r;
}

/* -- ledger key */

static int decode_key(const char *text, uint8_t ret[static ED25519_KEY_SIZE], const char *from, struct err *err)
{
    size_t size = 0;
    if (base64_decode(text, ret, ED25519_KEY_SIZE, &size) == 0 && size == ED25519_KEY_SIZE)
        return 0;
    return err_set(err, ERR_CONFIG, "%s: is no private key as `acquit ledger keygen` makes it", from);
}

static int read_key(const char *path, uint8_t ret[static ED25519_KEY_SIZE], struct err *err)
{
    char text[2 * KEY_TEXT_SIZE] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_DENIED, "%s: %s", path, strerror(errno));
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    text[strcspn(text, "\n")] = '\0';
    int r = size < 0 ? err_set(err, ERR_DENIED, "%s: cannot be read", path) : decode_key(text, ret, path, err);
    explicit_bzero(text, sizeof text);
    return r;
}

static int configured_key(struct op *op, uint8_t ret[static ED25519_KEY_SIZE], struct err *err)
{
    if (!op->config)
        op->config = program_load(args_text(&op->args, "config", NULL), err);
    if (!op->config)
        return -1;
    const char *text = config_text(op->config, "seal.key");
    return *text ? decode_key(text, ret, "seal.key", err)
                 : err_set(err, ERR_CONFIG, "seal.key is not set: name the private key's file as argument");
}

int cmd_ledger_key(struct op *op, struct err *err)
{
    uint8_t key[ED25519_KEY_SIZE];
    const char *path = op->args.positional_count ? op->args.positional[0] : NULL;
    const char *origin = origin_of(op, err);
    if (!origin || (path ? read_key(path, key, err) : configured_key(op, key, err)) != 0)
        return -1;
    int r = say_public(op, origin, key);
    explicit_bzero(key, sizeof key);
    return r;
}
