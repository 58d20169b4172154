/* keygen.c - acquit ledger keygen, rotate-key and key: the key pair that signs the ledger's heads */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "ledger/key_change.h"
#include "workers/operator/operator.h"
#include "workers/program.h"

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

static int write_signing_key(const char *path, const struct signing_key *key, struct err *err)
{
    char text[SIGNING_KEY_SIZE + 1];
    signing_key_format(key, text);
    size_t size = strlen(text);
    memcpy(text + size, "\n", 2);
    int r = write_key(path, text, err);
    explicit_bzero(text, sizeof text);
    return r;
}

int cmd_ledger_keygen(struct op *op, struct err *err)
{
    struct signing_key key = {0};
    const char *origin = origin_of(op, err);
    if (!origin)
        return -1;
    crypto_random(key.private_key, sizeof key.private_key);
    int r = write_signing_key(op->args.positional[0], &key, err);
    if (r == 0)
        say_public(op, origin, key.private_key);
    explicit_bzero(&key, sizeof key);
    return r;
}

/* -- ledger key */

static int decode_key(const char *text, struct signing_key *ret, const char *from, struct err *err)
{
    if (signing_key_parse(text, ret) == 0)
        return 0;
    return err_set(err, ERR_CONFIG, "%s: is no private key as `acquit ledger keygen` makes it", from);
}

static int read_key(const char *path, struct signing_key *ret, struct err *err)
{
    char text[SIGNING_KEY_SIZE + 1] = "";
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

static int configured_key(struct op *op, struct signing_key *ret, struct err *err)
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
    struct signing_key key;
    const char *path = op->args.positional_count ? op->args.positional[0] : NULL;
    const char *origin = origin_of(op, err);
    if (!origin || (path ? read_key(path, &key, err) : configured_key(op, &key, err)) != 0)
        return -1;
    int r = say_public(op, origin, key.private_key);
    explicit_bzero(&key, sizeof key);
    return r;
}

/* -- ledger rotate-key */

int cmd_ledger_rotate_key(struct op *op, struct err *err)
{
    struct signing_key old_key = {0}, new_key = {0};
    const char *origin = origin_of(op, err);
    if (!origin || read_key(op->args.positional[0], &old_key, err) != 0)
        return -1;
    crypto_random(new_key.private_key, sizeof new_key.private_key);
    int r = key_change_sign(origin, old_key.private_key, new_key.private_key, clock_wall_ms(), new_key.change, err);
    if (r == 0)
        r = write_signing_key(op->args.positional[1], &new_key, err);
    if (r == 0)
        say_public(op, origin, new_key.private_key);
    explicit_bzero(&old_key, sizeof old_key);
    explicit_bzero(&new_key, sizeof new_key);
    return r;
}
