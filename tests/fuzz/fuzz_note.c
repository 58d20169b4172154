/* fuzz_note.c - any bytes as somebody's key and signed head, as a change of the key, and as a private key's file; only what a key has signed is
 * believed
 *
 * Fields: whether the text is signed for the fuzzer (0, 1), a verifier's key; the rest is the note, or its text.
 */
#include <string.h>

#include "ledger/key_change.h"
#include "ledger/map.h"
#include "ledger/seal.h"
#include "tests/fuzz/input.h"

static const uint8_t PRIVATE[ED25519_KEY_SIZE] = {1, 2, 3, 4};
static const char NAME[] = "acquit.example/ledger";

/* The fuzzer cannot find a signature: what it wrote is read as a checkpoint, and signed. */
static void check_signed(char *text)
{
    struct checkpoint written = {.size = strlen(text), .line_count = 1, .lines = {text}}, read;
    struct note_key key = {.name = "acquit.example/ledger"};
    const struct note_key *by = NULL;
    struct err err = {0};
    char note[NOTE_SIZE_MAX];
    memcpy(written.origin, NAME, sizeof NAME);
    ed25519_public(PRIVATE, key.public_key);
    if (checkpoint_sign(&written, NAME, PRIVATE, note, &err) != 0) {
        MUST(err.code == ERR_INVALID || err.code == ERR_LIMIT);
        return;
    }
    MUST(checkpoint_open(note, &key, 1, &read, &by, &err) == 0 && by == &key);
    MUST(read.size == written.size && read.line_count == 1 && strcmp(read.lines[0], text) == 0);
}

/* The same as the statement of a change, by two keys: only one that key_change_sign() would write is taken. */
static void check_statement(const char *text)
{
    static const uint8_t NEXT[ED25519_KEY_SIZE] = {5, 6, 7, 8};
    struct key_change change;
    struct err err = {0};
    char note[NOTE_SIZE_MAX], again[KEY_CHANGE_SIZE];
    if (strlen(text) >= NOTE_SIZE_MAX)
        return;
    strcpy(note, text);
    if (note_sign(note, strlen(text), NAME, PRIVATE, &err) != 0 || note_sign(note, strlen(text), NAME, NEXT, &err) != 0)
        return;
    if (key_change_open(note, &change, &err) != 0) {
        MUST(err.code == ERR_INVALID && is_clean(err.text, sizeof err.text));
        return;
    }
    MUST(key_change_sign(NAME, PRIVATE, NEXT, change.at_ms, again, &err) == 0 && strcmp(again, note) == 0);
}

static void check_file(const char *text)
{
    struct signing_key key;
    char again[SIGNING_KEY_SIZE];
    if (signing_key_parse(text, &key) != 0)
        return;
    signing_key_format(&key, again);
    MUST(strcmp(again, text) == 0);
}

static void check_note(const char *key_text, char *note)
{
    struct note_key keys[2] = {{.name = "acquit.example/ledger"}};
    const struct note_key *by = NULL;
    struct checkpoint read;
    struct seal_line line;
    struct map_line map;
    struct key_change change;
    struct err err = {0};
    char again[NOTE_KEY_SIZE];
    check_file(note);
    if (key_change_open(note, &change, &err) != 0) /* a replayed genuine one, or none */
        MUST(err.code == ERR_INVALID && is_clean(err.text, sizeof err.text));
    err_clear(&err);
    if (map_line_parse(note, &map) == 0)
        MUST(map.size > 0);
    size_t count = 1;
    ed25519_public(PRIVATE, keys[0].public_key);
    if (note_key_parse(key_text, &keys[1], &err) == 0) {
        note_key_format(&keys[1], again);
        MUST(strcmp(again, key_text) == 0);
        count = 2;
    }
    if (checkpoint_open(note, keys, count, &read, &by, &err) == 0)
        MUST(by && note_name_valid(read.origin)); /* only a replayed genuine note */
    else
        MUST(err.code == ERR_INVALID && is_clean(err.text, sizeof err.text));
    if (seal_line_parse(note, &line) == 0)
        MUST(line.height >= 0 && line.epoch >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    bool is_signed = input_number(&input, 0, 1);
    const char *key = input_line(&input);
    size_t note_size;
    char *note = input_rest(&input, &note_size);
    if (strlen(note) == note_size && is_signed) {
        check_statement(note);
        check_signed(note);
    } else if (strlen(note) == note_size)
        check_note(key, note);
    input_end(&input);
    return 0;
}
