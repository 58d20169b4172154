/* note.c - see note.h */
#include "ledger/note.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_ID_SIZE = 4,
    ALGORITHM_ED25519 = 0x01,
    PREFIX_SIZE = 4,                                    /* "— ": an em dash in UTF-8, and a blank */
    SIGNED_SIZE = KEY_ID_SIZE + ED25519_SIGNATURE_SIZE, /* of a signature line, before base64 */
    SIGNED_TEXT = 4 * ((SIGNED_SIZE + 2) / 3),
};
static const char PREFIX[] = "\xe2\x80\x94 ";

/* --- names and keys --- */

static bool is_line(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            return false;
    return *text;
}

bool note_name_valid(const char *name)
{
    return strlen(name) < NOTE_NAME_SIZE && is_line(name) && !strpbrk(name, " +");
}

/* SHA-256(name || "\n" || algorithm || public key), the first four bytes. */
static void key_id(const char *name, const uint8_t public_key[static ED25519_KEY_SIZE], uint8_t ret[static KEY_ID_SIZE])
{
    uint8_t tail[2 + ED25519_KEY_SIZE] = {'\n', ALGORITHM_ED25519}, digest[SHA256_SIZE];
    memcpy(tail + 2, public_key, ED25519_KEY_SIZE);
    sha256_two(name, strlen(name), tail, sizeof tail, digest);
    memcpy(ret, digest, KEY_ID_SIZE);
}

void note_key_format(const struct note_key *key, char ret[static NOTE_KEY_SIZE])
{
    uint8_t id[KEY_ID_SIZE], typed[1 + ED25519_KEY_SIZE] = {ALGORITHM_ED25519};
    char hex[2 * KEY_ID_SIZE + 1], base64[4 * ((sizeof typed + 2) / 3) + 1];
    memcpy(typed + 1, key->public_key, ED25519_KEY_SIZE);
    key_id(key->name, key->public_key, id);
    hex_encode(id, sizeof id, hex);
    base64_encode(typed, sizeof typed, base64);
    snprintf(ret, NOTE_KEY_SIZE, "%s+%s+%s", key->name, hex, base64);
}

int note_key_parse(const char *text, struct note_key *ret, struct err *err)
{
    uint8_t typed[1 + ED25519_KEY_SIZE], id[KEY_ID_SIZE], given[KEY_ID_SIZE];
    size_t size = 0;
    const char *first = strchr(text, '+'), *second = first ? strchr(first + 1, '+') : NULL;
    char hex[2 * KEY_ID_SIZE + 1] = "";
    if (!second || second - first != 2 * KEY_ID_SIZE + 1 || first - text >= NOTE_NAME_SIZE)
        return err_set(err, ERR_INVALID, "a key is written as name+id+base64");
    snprintf(ret->name, sizeof ret->name, "%.*s", (int)(first - text), text);
    snprintf(hex, sizeof hex, "%.*s", 2 * KEY_ID_SIZE, first + 1);
    if (!note_name_valid(ret->name) || hex_decode(hex, given, sizeof given) != 0 ||
        base64_decode(second + 1, typed, sizeof typed, &size) != 0 || size != sizeof typed)
        return err_set(err, ERR_INVALID, "a key is written as name+id+base64");
    if (typed[0] != ALGORITHM_ED25519)
        return err_set(err, ERR_INVALID, "key %s is not of Ed25519", ret->name);
    memcpy(ret->public_key, typed + 1, ED25519_KEY_SIZE);
    key_id(ret->name, ret->public_key, id);
    if (memcmp(id, given, sizeof id) != 0)
        return err_set(err, ERR_INVALID, "the id of key %s is another key's", ret->name);
    char again[NOTE_KEY_SIZE];
    note_key_format(ret, again); /* one way to write it */
    return strcmp(again, text) == 0
               ? 0
               : err_set(err, ERR_INVALID, "a key is written as name+id+base64, its id in lower case");
}

/* --- writing --- */

static size_t write_text(const struct checkpoint *checkpoint, char ret[static NOTE_SIZE_MAX])
{
    char root[64];
    base64_encode(checkpoint->root.bytes, SHA256_SIZE, root);
    size_t used =
        (size_t)snprintf(ret, NOTE_SIZE_MAX, "%s\n%" PRIu64 "\n%s\n", checkpoint->origin, checkpoint->size, root);
    for (size_t i = 0; i < checkpoint->line_count && used < NOTE_SIZE_MAX; i++)
        used += (size_t)snprintf(ret + used, NOTE_SIZE_MAX - used, "%s\n", checkpoint->lines[i]);
    return used;
}

static int check_writable(const struct checkpoint *checkpoint, const char *key_name, struct err *err)
{
    if (!note_name_valid(checkpoint->origin) || !note_name_valid(key_name))
        return err_set(err, ERR_INVALID, "the name of a log or key has 1 to %d bytes, no blank and no '+'",
                       NOTE_NAME_SIZE - 1);
    if (checkpoint->line_count > NOTE_LINES_MAX)
        return err_set(err, ERR_LIMIT, "a checkpoint has at most %d further lines", NOTE_LINES_MAX);
    for (size_t i = 0; i < checkpoint->line_count; i++)
        if (!is_line(checkpoint->lines[i]))
            return err_set(err, ERR_INVALID, "line %zu of a checkpoint is empty or no line of text", i + 4);
    return 0;
}

int note_sign(char note[static NOTE_SIZE_MAX], size_t size, const char *key_name,
              const uint8_t private_key[static ED25519_KEY_SIZE], struct err *err)
{
    uint8_t public_key[ED25519_KEY_SIZE], signed_bytes[SIGNED_SIZE];
    char base64[SIGNED_TEXT + 1];
    size_t used = size + strlen(note + size);
    if (!note_name_valid(key_name))
        return err_set(err, ERR_INVALID, "'%s' is no name of a key: 1 to %d bytes, no blank and no '+'", key_name,
                       NOTE_NAME_SIZE - 1);
    if (used + 1 + PREFIX_SIZE + strlen(key_name) + 1 + SIGNED_TEXT + 1 >= NOTE_SIZE_MAX)
        return err_set(err, ERR_LIMIT, "a note has at most %d bytes", NOTE_SIZE_MAX - 1);
    ed25519_public(private_key, public_key);
    key_id(key_name, public_key, signed_bytes);
    ed25519_sign(private_key, note, size, signed_bytes + KEY_ID_SIZE);
    base64_encode(signed_bytes, sizeof signed_bytes, base64);
    snprintf(note + used, NOTE_SIZE_MAX - used, "%s%s%s %s\n", used == size ? "\n" : "", PREFIX, key_name, base64);
    return 0;
}

int checkpoint_sign(const struct checkpoint *checkpoint, const char *key_name,
                    const uint8_t private_key[static ED25519_KEY_SIZE], char ret[static NOTE_SIZE_MAX], struct err *err)
{
    if (check_writable(checkpoint, key_name, err) != 0)
        return -1;
    size_t size = write_text(checkpoint, ret);
    return size < NOTE_SIZE_MAX ? note_sign(ret, size, key_name, private_key, err)
                                : err_set(err, ERR_LIMIT, "a checkpoint has at most %d bytes", NOTE_SIZE_MAX - 1);
}

/* --- reading --- */

/* The signature line at `line` of a key that is known and fits the text. NULL: none. */
static const struct note_key *signer(const char *line, const char *text, size_t size, const struct note_key *keys,
                                     size_t key_count)
{
    uint8_t signed_bytes[SIGNED_SIZE], id[KEY_ID_SIZE];
    size_t signed_size = 0;
    const char *name = line + PREFIX_SIZE, *blank = strchr(name, ' ');
    if (!blank || base64_decode(blank + 1, signed_bytes, sizeof signed_bytes, &signed_size) != 0 ||
        signed_size != sizeof signed_bytes)
        return NULL; /* of another kind of key: not ours to judge */
    for (size_t i = 0; i < key_count; i++) {
        const struct note_key *key = &keys[i];
        if (strlen(key->name) != (size_t)(blank - name) || strncmp(key->name, name, (size_t)(blank - name)) != 0)
            continue;
        key_id(key->name, key->public_key, id);
        if (memcmp(id, signed_bytes, sizeof id) == 0 &&
            ed25519_verify(key->public_key, text, size, signed_bytes + KEY_ID_SIZE))
            return key;
    }
    return NULL;
}

size_t note_text_size(const char *note)
{
    const char *end = NULL; /* the last empty line: what stands before it is the text */
    for (const char *at = strstr(note, "\n\n"); at; at = strstr(at + 1, "\n\n"))
        end = at + 1;
    return end ? (size_t)(end - note) : 0;
}

bool note_signed_by(const char *note, int n, const struct note_key *key)
{
    char line[2 * NOTE_NAME_SIZE + SIGNED_TEXT];
    size_t size = note_text_size(note);
    const char *at = size ? note + size + 1 : "";
    for (; n > 0 && *at; n--) {
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    size_t length = strcspn(at, "\n");
    if (!at[0] || at[length] != '\n' || length >= sizeof line || strncmp(at, PREFIX, PREFIX_SIZE) != 0)
        return false;
    snprintf(line, sizeof line, "%.*s", (int)length, at);
    return signer(line, note, size, key, 1);
}

/* Takes the next line off, without its end; NULL when there is none. */
static char *take_line(char **rest)
{
    char *line = *rest, *end = strchr(line, '\n');
    if (!end)
        return NULL;
    *end = '\0';
    *rest = end + 1;
    return line;
}

static int read_size(const char *line, uint64_t *ret)
{
    size_t digits = strspn(line, "0123456789");
    if (digits == 0 || digits > 15 || line[digits] || (line[0] == '0' && digits > 1))
        return -1;
    *ret = strtoull(line, NULL, 10);
    return *ret >> MERKLE_LEVELS_MAX ? -1 : 0;
}

static int read_text(char *text, struct checkpoint *ret, struct err *err)
{
    size_t size = 0;
    char *rest = text, *line = take_line(&rest);
    *ret = (struct checkpoint){0};
    if (!line || !note_name_valid(line))
        return err_set(err, ERR_INVALID, "line 1 of the checkpoint is no name of a log");
    snprintf(ret->origin, sizeof ret->origin, "%s", line);
    if (!(line = take_line(&rest)) || read_size(line, &ret->size) != 0)
        return err_set(err, ERR_INVALID, "line 2 of the checkpoint is no size");
    if (!(line = take_line(&rest)) || base64_decode(line, ret->root.bytes, SHA256_SIZE, &size) != 0 ||
        size != SHA256_SIZE)
        return err_set(err, ERR_INVALID, "line 3 of the checkpoint is no root");
    while ((line = take_line(&rest))) {
        if (ret->line_count == NOTE_LINES_MAX || !is_line(line))
            return err_set(err, ERR_INVALID, "the checkpoint has too many lines, or one that is no text");
        ret->lines[ret->line_count++] = line;
    }
    return 0;
}

int checkpoint_open(char *text, const struct note_key *keys, size_t key_count, struct checkpoint *ret,
                    const struct note_key **ret_key, struct err *err)
{
    size_t whole = strlen(text);
    if (whole >= NOTE_SIZE_MAX || whole < 2 || text[whole - 1] != '\n')
        return err_set(err, ERR_INVALID, "the note is too long, or does not end with a line");
    size_t size = note_text_size(text);
    if (size == 0)
        return err_set(err, ERR_INVALID, "the note has no signatures");
    char *rest = text + size + 1, *line;
    *ret_key = NULL;
    text[size] = '\0'; /* the text ends here for its own lines, the signature is over what stands before */
    for (int n = 0; (line = take_line(&rest)); n++) {
        if (n == NOTE_SIGNATURES_MAX || strncmp(line, PREFIX, PREFIX_SIZE) != 0)
            return err_set(err, ERR_INVALID, "the note has too many signatures, or a line among them that is none");
        if (!*ret_key)
            *ret_key = signer(line, text, size, keys, key_count);
    }
    if (!*ret_key)
        return err_set(err, ERR_INVALID, "none of the given keys has signed the note");
    return read_text(text, ret, err);
}

int checkpoint_read(char *text, struct checkpoint *ret)
{
    struct err why = {0};
    size_t size = note_text_size(text);
    text[size] = '\0';
    return size > 0 ? read_text(text, ret, &why) : -1;
}
