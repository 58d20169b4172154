/* key_change.c - see key_change.h */
#include "ledger/key_change.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

static const char FORM[] = "acquit-key-v1";
enum { LENGTH_SIZE = 4, LINE_SIZE = NOTE_KEY_SIZE };
static_assert(4 * (ED25519_KEY_SIZE / 3 + 1) + 1 + 4 * (KEY_CHANGE_SIZE / 3 + 1) < SIGNING_KEY_SIZE,
              "a key and its statement fit into a line");

static int write_text(const struct key_change *change, char ret[static NOTE_SIZE_MAX])
{
    char old_key[NOTE_KEY_SIZE], new_key[NOTE_KEY_SIZE], at[CLOCK_TEXT_SIZE];
    note_key_format(&change->old_key, old_key);
    note_key_format(&change->new_key, new_key);
    return snprintf(ret, NOTE_SIZE_MAX, "%s\n%s\n%s\n%s\n%s\n", FORM, change->old_key.name, old_key, new_key,
                    clock_format(change->at_ms, at));
}

static void set_key(struct note_key *key, const char *origin, const uint8_t private_key[static ED25519_KEY_SIZE])
{
    snprintf(key->name, sizeof key->name, "%s", origin);
    ed25519_public(private_key, key->public_key);
}

int key_change_sign(const char *origin, const uint8_t old_key[static ED25519_KEY_SIZE],
                    const uint8_t new_key[static ED25519_KEY_SIZE], int64_t at_ms, char ret[static KEY_CHANGE_SIZE],
                    struct err *err)
{
    struct key_change change = {.at_ms = at_ms};
    char note[NOTE_SIZE_MAX];
    if (memcmp(old_key, new_key, ED25519_KEY_SIZE) == 0)
        return err_set(err, ERR_INVALID, "the new key is the old one");
    if (!note_name_valid(origin))
        return err_set(err, ERR_INVALID, "'%s' is no name of a ledger", origin);
    set_key(&change.old_key, origin, old_key);
    set_key(&change.new_key, origin, new_key);
    size_t size = (size_t)write_text(&change, note);
    if (note_sign(note, size, origin, old_key, err) != 0 || note_sign(note, size, origin, new_key, err) != 0)
        return -1;
    size = strlen(note);
    if (size >= KEY_CHANGE_SIZE)
        return err_set(err, ERR_LIMIT, "a statement has at most %d bytes", KEY_CHANGE_SIZE - 1);
    memcpy(ret, note, size + 1);
    return 0;
}

/* Line `n` of the text, without its end; false when it is longer than any that is right. */
static bool line_of(const char *text, int n, char ret[static LINE_SIZE])
{
    for (; n > 0; n--) {
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    size_t size = strcspn(text, "\n");
    if (size >= LINE_SIZE || text[size] != '\n')
        return false;
    memcpy(ret, text, size);
    ret[size] = '\0';
    return true;
}

static int read_key(const char *statement, int n, struct note_key *ret, struct err *err)
{
    char line[LINE_SIZE];
    if (!line_of(statement, n, line))
        return err_set(err, ERR_INVALID, "line %d of the statement is no key", n + 1);
    return note_key_parse(line, ret, err);
}

static int count_lines(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* Five lines, an empty one and two signatures, and the text is written in its one way. */
static int check_form(const char *statement, const struct key_change *change, struct err *err)
{
    char again[NOTE_SIZE_MAX];
    size_t size = (size_t)write_text(change, again);
    if (note_text_size(statement) != size || strncmp(statement, again, size) != 0 || count_lines(statement) != 8 ||
        statement[strlen(statement) - 1] != '\n' || strcmp(change->old_key.name, change->new_key.name) != 0)
        return err_set(err, ERR_INVALID, "the statement has not the form of one");
    return 0;
}

int key_change_open(const char *statement, struct key_change *ret, struct err *err)
{
    char at[LINE_SIZE];
    *ret = (struct key_change){0};
    if (strlen(statement) >= KEY_CHANGE_SIZE)
        return err_set(err, ERR_INVALID, "the statement is too long");
    if (read_key(statement, 2, &ret->old_key, err) != 0 || read_key(statement, 3, &ret->new_key, err) != 0)
        return -1;
    if (!line_of(statement, 4, at) || clock_parse(at, &ret->at_ms) != 0)
        return err_set(err, ERR_INVALID, "line 5 of the statement is no time");
    if (check_form(statement, ret, err) != 0)
        return -1;
    if (memcmp(ret->old_key.public_key, ret->new_key.public_key, ED25519_KEY_SIZE) == 0)
        return err_set(err, ERR_INVALID, "the statement's two keys are one");
    if (!note_signed_by(statement, 0, &ret->old_key))
        return err_set(err, ERR_INVALID, "the statement is not signed by the old key");
    if (!note_signed_by(statement, 1, &ret->new_key))
        return err_set(err, ERR_INVALID, "the statement is not signed by the new key");
    return 0;
}

static size_t put_value(uint8_t *at, const char *text)
{
    size_t size = strlen(text);
    const uint8_t length[LENGTH_SIZE] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                                         (uint8_t)size};
    memcpy(at, length, sizeof length);
    memcpy(at + sizeof length, text, size);
    return sizeof length + size;
}

struct hash key_change_leaf(const char *statement)
{
    uint8_t bytes[2 * LENGTH_SIZE + sizeof FORM + KEY_CHANGE_SIZE];
    size_t size = put_value(bytes, FORM);
    size += put_value(bytes + size, strlen(statement) < KEY_CHANGE_SIZE ? statement : ""); /* no such one is opened */
    return merkle_leaf(bytes, size);
}

int signing_key_parse(const char *text, struct signing_key *ret)
{
    char key[2 * ED25519_KEY_SIZE];
    size_t length = strcspn(text, " "), size = 0;
    *ret = (struct signing_key){0};
    if (length >= sizeof key)
        return -1;
    memcpy(key, text, length);
    key[length] = '\0';
    int r = base64_decode(key, ret->private_key, ED25519_KEY_SIZE, &size);
    explicit_bzero(key, sizeof key);
    if (r != 0 || size != ED25519_KEY_SIZE)
        return -1;
    if (!text[length])
        return 0;
    if (base64_decode(text + length + 1, ret->change, sizeof ret->change - 1, &size) != 0 || size == 0)
        return -1;
    ret->change[size] = '\0';
    return strlen(ret->change) == size ? 0 : -1;
}

void signing_key_format(const struct signing_key *key, char ret[static SIGNING_KEY_SIZE])
{
    base64_encode(key->private_key, sizeof key->private_key, ret);
    if (!*key->change)
        return;
    size_t used = strlen(ret);
    ret[used] = ' ';
    base64_encode(key->change, strlen(key->change), ret + used + 1);
}
