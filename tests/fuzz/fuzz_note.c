/* fuzz_note.c - any bytes as somebody's key and signed head; only what the key has signed is believed
 *
 * Fields: whether the text is signed for the fuzzer (0, 1), a verifier's key; the rest is the note, or its text.
 */
#include <string.h>

#include "ledger/note.h"
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

static void check_note(const char *key_text, char *note)
{
    struct note_key keys[2] = {{.name = "acquit.example/ledger"}};
    const struct note_key *by = NULL;
    struct checkpoint read;
    struct seal_line line;
    struct err err = {0};
    char again[NOTE_KEY_SIZE];
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
    if (strlen(note) == note_size && is_signed)
        check_signed(note);
    else if (strlen(note) == note_size)
        check_note(key, note);
    input_end(&input);
    return 0;
}
