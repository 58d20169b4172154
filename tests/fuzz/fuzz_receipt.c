/* fuzz_receipt.c - a stranger's receipt, and facts that a ledger did sign, whatever they say
 *
 * The first line says what is mended before it is checked: "as-it-is" nothing; "signed" positions, proofs and head, so that the facts are those of
 * a ledger that we trust; "whole" the summary, too. The rest is the JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "ledger/receipt.h"
#include "tests/fuzz/input.h"

enum { LEAVES_MAX = 64 };

static const char ORIGIN[] = "fuzz/ledger";
static const uint8_t PRIVATE[ED25519_KEY_SIZE] = {1, 2, 3, 4};
static struct hash leaves[LEAVES_MAX];

static int subtree(void *arg, int level, uint64_t position, struct hash *ret, struct err *err)
{
    (void)arg;
    (void)err;
    struct merkle_edge edge = {0};
    for (uint64_t i = position << level; i < (position + 1) << level; i++)
        merkle_append(&edge, &leaves[i], NULL, NULL);
    *ret = merkle_root(&edge);
    return 0;
}
static const struct merkle_source SOURCE = {subtree, NULL};

/* The hash of what the item has of a fact; what is no text counts as NULL. */
static struct hash hash_item(const json_t *item)
{
    const char *values[FACT_COLUMN_COUNT];
    struct err err = {0};
    struct hash leaf;
    json_auto_t *rows = json_array();
    const json_t *transfers = json_object_get(item, "transfers");
    for (size_t i = 0; i < FACT_COLUMN_COUNT; i++)
        values[i] = json_text(json_object_get(item, "fact"), fact_columns[i], NULL);
    for (size_t i = 0; i < json_array_size(transfers); i++) {
        json_t *row = json_array();
        for (size_t k = 0; k < TRANSFER_COLUMN_COUNT; k++)
            json_array_append(row, json_object_get(json_array_get(transfers, i), transfer_columns[k]));
        json_array_append_new(rows, row);
    }
    (void)!leaf_of(values, rows, &leaf, &err);
    return leaf;
}

static void mend_item(json_t *item, uint64_t position, uint64_t size)
{
    struct merkle_proof proof;
    struct err err = {0};
    MUST(merkle_inclusion(&SOURCE, position, size, &proof, &err) == 0);
    json_t *texts = json_array();
    for (size_t i = 0; i < proof.count; i++) {
        char text[64];
        base64_encode(proof.hashes[i].bytes, SHA256_SIZE, text);
        json_array_append_new(texts, json_string(text));
    }
    json_object_set_new(item, "position", json_integer((json_int_t)position));
    json_object_set_new(item, "proof", texts);
}

static void mend(json_t *receipt, bool whole)
{
    json_t *items = json_object_get(receipt, "facts");
    size_t count = json_array_size(items);
    char head[NOTE_SIZE_MAX];
    struct err err = {0};
    struct checkpoint checkpoint = {.origin = "fuzz/ledger",
                                    .size = count,
                                    .line_count = 1,
                                    .lines = {"acquit-seal-v1 epoch=1 block=0 previous=-"}};
    if (count == 0 || count > LEAVES_MAX)
        return;
    for (size_t i = 0; i < count; i++)
        leaves[i] = hash_item(json_array_get(items, i));
    for (size_t i = 0; i < count; i++)
        mend_item(json_array_get(items, i), i, count);
    MUST(merkle_root_of(&SOURCE, count, &checkpoint.root, &err) == 0);
    MUST(checkpoint_sign(&checkpoint, ORIGIN, PRIVATE, head, &err) == 0);
    json_object_set_new(receipt, "head", json_string(head));
    json_t *made = whole ? receipt_make(json_text(receipt, "payment", ""), head, NULL, json_incref(items), &err) : NULL;
    if (made)
        json_object_set(receipt, "summary", json_object_get(made, "summary"));
    json_decref(made);
}

/* Returns whether it is good; then it is what would be made of its facts, but for the head's key. */
static bool check(const char *text, size_t size)
{
    struct note_key key = {.name = "fuzz/ledger"};
    struct receipt receipt;
    struct err err = {0};
    ed25519_public(PRIVATE, key.public_key);
    bool good = receipt_check(text, size, &key, 1, &receipt, &err) == 0;
    MUST(good == (err.code == ERR_NONE));
    if (good) {
        json_t *facts = json_object_get(receipt.value, "facts");
        json_t *made = receipt_make(json_text(receipt.value, "payment", ""), json_text(receipt.value, "head", ""),
                                    json_incref(json_object_get(receipt.value, "keys")), json_incref(facts), &err);
        MUST(made && json_equal(made, receipt.value));
        json_decref(made);
        MUST(receipt.facts.count == json_array_size(facts) && receipt.payment.received);
        for (size_t i = 0; i < receipt.facts.count; i++)
            MUST(receipt_position(&receipt, i) < receipt.head.size && receipt_transfers(&receipt, i));
    } else {
        MUST(err.code == ERR_CONFLICT && is_clean(err.text, sizeof err.text) && *err.text);
    }
    receipt_clear(&receipt);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    char *mode = input_line(&input);
    size_t text_size = 0;
    char *text = input_rest(&input, &text_size);
    json_t *value = strcmp(mode, "as-it-is") != 0 ? json_loadb(text, text_size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (json_is_object(value)) {
        mend(value, strcmp(mode, "whole") == 0);
        char *mended = json_dumps(value, JSON_COMPACT);
        MUST(mended);
        check(mended, strlen(mended));
        free(mended);
    } else {
        check(text, text_size);
    }
    json_decref(value);
    input_end(&input);
    return 0;
}
