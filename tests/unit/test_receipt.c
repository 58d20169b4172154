/* test_receipt.c - ledger/receipt: what was made is good, and nothing else is */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "common/mem.h"
#include "ledger/receipt.h"

enum { OTHERS = 5 /* leaves of other payments before ours */, FACTS = 5 };

static const char ORIGIN[] = "acquit.example/ledger", PAYMENT[] = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f";
static const uint8_t PRIVATE[ED25519_KEY_SIZE] = {1, 2, 3, 4};

#define AT "2026-11-20T10:00:00.123456Z"
#define CAUSE "11111111-2222-8333-8444-555555555555"
#define FACT(slot, outcome, actor, seq, body)                                                                          \
    {                                                                                                                  \
        PAYMENT, slot, outcome, CAUSE, actor, AT, "800", seq, body                                                     \
    }
static const char *const VALUES[FACTS][FACT_COLUMN_COUNT] = {
    FACT("received", "accepted", "shop", "1", "{\"flow\": \"plain\", \"amount\": 1000, \"currency\": \"EUR\"}"),
    FACT("auth:1", "intent", NULL, "2", "{\"provider\": \"simulated\"}"),
    FACT("auth:1:result", "approved", NULL, "3", "{}"),
    FACT("decision", "commit:1", NULL, "4", "{}"),
    FACT("capture", "captured", "", "5", "{\"amount\": 900, \"note\": \"\xc3\xa9\"}"),
};
static const char HOLD[] =
    "[[\"1\",\"hold\",null,\"receivable:x\",\"payable:y\",\"1000\",\"EUR\",\"" AT "\",\"800\",\"1\"]]";
static const char POSTS[] =
    "[[\"1\",\"post\",\"auth:1:result\",\"receivable:x\",\"payable:y\",\"900\",\"EUR\",\"" AT "\",\"800\",\"2\"],"
    "[\"2\",\"transfer\",null,\"payable:y\",\"commission\",\"9\",\"EUR\",\"" AT "\",\"800\",\"3\"]]";

static struct hash leaves[OTHERS + FACTS];

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

static json_t *transfers_of(int i)
{
    return json_loads(i == 2 ? HOLD : i == 4 ? POSTS : "[]", 0, NULL);
}

static struct note_key key_of(const char *name, const uint8_t private_key[static ED25519_KEY_SIZE])
{
    struct note_key key = {0};
    snprintf(key.name, sizeof key.name, "%s", name);
    ed25519_public(private_key, key.public_key);
    return key;
}

static void sign(const char *origin, const char *name, const char *line, char ret[static NOTE_SIZE_MAX])
{
    struct err err = {0};
    struct checkpoint head = {.size = OTHERS + FACTS, .line_count = 1, .lines = {line}};
    snprintf(head.origin, sizeof head.origin, "%s", origin);
    assert_int_equal(merkle_root_of(&SOURCE, head.size, &head.root, &err), 0);
    assert_int_equal(checkpoint_sign(&head, name, PRIVATE, ret, &err), 0);
}

static const char LINE[] = "acquit-seal-v1 epoch=1 block=3 previous=-";

/* Of the facts but those whose bit is set in `without`. */
static json_t *make(unsigned without)
{
    char head[NOTE_SIZE_MAX];
    struct err err = {0};
    struct hash root;
    for (unsigned i = 0; i < OTHERS; i++)
        leaves[i] = merkle_leaf(&i, sizeof i);
    for (int i = 0; i < FACTS; i++) {
        json_auto_t *transfers = transfers_of(i);
        assert_int_equal(leaf_of(VALUES[i], transfers, &leaves[OTHERS + i], &err), 0);
    }
    assert_int_equal(merkle_root_of(&SOURCE, OTHERS + FACTS, &root, &err), 0);
    json_t *facts = json_array();
    for (int i = 0; i < FACTS; i++) {
        json_auto_t *transfers = transfers_of(i);
        struct merkle_proof proof;
        uint64_t position = (uint64_t)(OTHERS + i);
        if (without & 1u << i)
            continue;
        assert_int_equal(merkle_inclusion(&SOURCE, position, OTHERS + FACTS, &proof, &err), 0);
        json_array_append_new(facts, receipt_fact(VALUES[i], transfers, position, &proof, OTHERS + FACTS, &root, &err));
    }
    sign(ORIGIN, ORIGIN, LINE, head);
    return receipt_make(PAYMENT, head, NULL, facts, &err);
}

static int check_with(const json_t *value, const struct note_key *keys, size_t count, struct receipt *receipt,
                      struct err *err)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    int r = receipt_check(text, strlen(text), keys, count, receipt, err);
    free(text);
    return r;
}

/* Refused, with these words. */
static void refused(const json_t *value, const char *words)
{
    struct note_key key = key_of(ORIGIN, PRIVATE);
    struct receipt receipt;
    struct err err = {0};
    assert_int_equal(check_with(value, &key, 1, &receipt, &err), -1);
    assert_int_equal(err.code, ERR_CONFLICT);
    if (!strstr(err.text, words))
        fail_msg("'%s' has not '%s'", err.text, words);
    receipt_clear(&receipt);
}

static json_t *item(json_t *receipt, size_t i)
{
    return json_array_get(json_object_get(receipt, "facts"), i);
}

static void test_what_was_made_is_good(void **state)
{
    (void)state;
    json_auto_t *made = make(0);
    struct note_key keys[] = {key_of("somebody.else", PRIVATE), key_of(ORIGIN, PRIVATE)};
    struct receipt receipt;
    struct err err = {0};
    assert_non_null(made);
    if (check_with(made, keys, 2, &receipt, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(receipt.head.key.name, ORIGIN);
    assert_int_equal(receipt.head.size, OTHERS + FACTS);
    assert_int_equal(receipt.head.line.height, 3);
    assert_int_equal(receipt.facts.count, FACTS);
    assert_int_equal(receipt.transfer_count, 3);
    assert_int_equal(receipt_position(&receipt, 4), OTHERS + 4);
    assert_int_equal(json_array_size(receipt_transfers(&receipt, 4)), 2);
    assert_int_equal(receipt.payment.state, SAGA_COMPLETED);
    assert_int_equal(receipt.payment.captured_amount, 900);
    assert_string_equal(receipt.facts.items[0].actor, "shop");
    assert_null(receipt.facts.items[1].actor);
    assert_string_equal(receipt.facts.items[4].actor, "");
    assert_int_equal(receipt.facts.items[0].at_ms % 1000, 123);
    const json_t *summary = json_object_get(made, "summary");
    assert_string_equal(json_text(summary, "state", ""), "completed");
    assert_int_equal(json_int(summary, "amount", 0), 1000);
    assert_int_equal(json_int(summary, "facts", 0), FACTS);
    receipt_clear(&receipt);
    char *text = proof_text(made);
    assert_int_equal(receipt_check(text, strlen(text), keys, 2, &receipt, &err), 0);
    receipt_clear(&receipt);
    free(text);
}

static void test_members(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *words;
    } CASES[] = {
        {"format", "\"acquit-receip\"", "format"},
        {"version", "2", "version"},
        {"version", "1.0", "version"},
        {"about", "\"\"", "about"},
        {"payment", "\"8F14E45F-CEEA-867D-8A1F-1A2B3C4D5E6F\"", "fact 1 (received): it is of another payment"},
        {"payment", "7", "of another payment"},
        {"facts", "[]", "facts: the receipt has none"},
        {"facts", "{}", "facts: the receipt has none"},
        {"facts", "[7]", "fact 1: it has not the members"},
        {"head", "\"\"", "head: it is no checkpoint with one signature"},
        {"head", "null", "head: it is no checkpoint with one signature"},
        {"summary", "{}", "summary.state"},
        {"summary", "null", "summary.state"},
        {"more", "1", "one more than it should"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json_auto_t *receipt = make(0);
        json_object_set_new(receipt, CASES[i].name, json_loads(CASES[i].value, JSON_DECODE_ANY, NULL));
        refused(receipt, CASES[i].words);
        if (json_object_del(receipt, CASES[i].name) == 0 && strcmp(CASES[i].name, "more") != 0)
            refused(receipt, "lacks a member");
    }
    json_auto_t *receipt = make(0);
    json_object_set_new(json_object_get(receipt, "summary"), "more", json_integer(1));
    refused(receipt, "summary: it has a member more");
}

static void test_every_column_is_sealed(void **state)
{
    (void)state;
    static const char *const OTHER[] = {"\"\"", "null", "7", "\"x\""};
    for (size_t column = 0; column < FACT_COLUMN_COUNT; column++)
        for (size_t k = 0; k < sizeof OTHER / sizeof OTHER[0]; k++) {
            json_auto_t *receipt = make(0);
            json_t *fact = json_object_get(item(receipt, 0), "fact");
            json_object_set_new(fact, fact_columns[column], json_loads(OTHER[k], JSON_DECODE_ANY, NULL));
            refused(receipt, "fact 1");
            json_object_del(fact, fact_columns[column]);
            refused(receipt, "fact 1");
        }
    for (size_t column = 0; column < TRANSFER_COLUMN_COUNT; column++)
        for (size_t k = 0; k < sizeof OTHER / sizeof OTHER[0]; k++) {
            json_auto_t *receipt = make(0);
            json_t *transfer = json_array_get(json_object_get(item(receipt, 4), "transfers"), 0);
            json_object_set_new(transfer, transfer_columns[column], json_loads(OTHER[k], JSON_DECODE_ANY, NULL));
            refused(receipt, "fact 5 (capture)");
            json_object_del(transfer, transfer_columns[column]);
            refused(receipt, "fact 5 (capture): its transfers have not the form");
        }
    json_auto_t *receipt = make(0); /* NULL and "" are not the same */
    json_object_set_new(json_object_get(item(receipt, 4), "fact"), "actor", json_null());
    refused(receipt, "fact 5 (capture): it does not lead to the head's root");
}

static void test_positions_and_proofs(void **state)
{
    (void)state;
    for (int i = -1; i <= OTHERS + FACTS; i++) {
        json_auto_t *receipt = make(0);
        if (i == OTHERS + 1)
            continue;
        json_object_set_new(item(receipt, 1), "position", json_integer(i));
        refused(receipt, i < 0 || i == OTHERS + FACTS ? "its position is not in the head's tree" : "does not lead");
    }
    json_auto_t *receipt = make(0);
    json_t *proof = json_object_get(item(receipt, 1), "proof");
    json_array_append_new(proof, json_string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    refused(receipt, "does not lead");
    json_array_set_new(proof, json_array_size(proof) - 1, json_string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB="));
    refused(receipt, "its proof is no list of hashes");
    json_array_clear(proof);
    refused(receipt, "does not lead");
    for (int i = 0; i <= MERKLE_PROOF_MAX; i++)
        json_array_append_new(proof, json_string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
    refused(receipt, "its proof is no list of hashes");
}

static void test_order_and_doubles(void **state)
{
    (void)state;
    json_auto_t *receipt = make(0);
    json_t *facts = json_object_get(receipt, "facts");
    json_array_insert(facts, 1, json_array_get(facts, 0));
    refused(receipt, "fact 2 (received): it does not stand in the order of the tree");
    json_array_remove(facts, 1);
    json_array_append(facts, json_array_get(facts, 1));
    json_array_remove(facts, 1);
    refused(receipt, "in the order of the tree");
    json_auto_t *shorter = make(0);
    json_array_remove(json_object_get(shorter, "facts"), 0);
    refused(shorter, "the facts contradict each other");
    json_auto_t *captured = make(0);
    json_array_remove(json_object_get(captured, "facts"), 4);
    refused(captured, "summary.state: another value follows");
}

/* Facts that are there, and make no payment. */
static void test_what_makes_no_receipt(void **state)
{
    (void)state;
    assert_null(make(0x1f));
    assert_null(make(1)); /* no `received` */
    assert_null(make(8)); /* a capture without its decision */
    json_auto_t *early = make(0x18);
    assert_string_equal(json_text(json_object_get(early, "summary"), "state", ""), "processing");
    struct err err = {0};
    struct merkle_proof proof = {0};
    json_auto_t *none = json_array();
    assert_null(receipt_fact(VALUES[0], none, 0, &proof, 1, &leaves[1], &err));
    assert_string_equal(err.text, "fact received is not what was sealed at position 0");
}

static void test_heads(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *name, *line, *words;
    } CASES[] = {
        {ORIGIN, "somebody.else", LINE, "head: none of the given keys has signed the note"},
        {"another.ledger", ORIGIN, LINE, "head: it is signed by a key that is another ledger's"},
        {ORIGIN, ORIGIN, "acquit-seal-v1 epoch=01 block=3 previous=-", "head: it does not say which block it ends"},
        {ORIGIN, ORIGIN, "slots", "head: it does not say which block it ends"},
    };
    char head[NOTE_SIZE_MAX], twice[2 * NOTE_SIZE_MAX];
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json_auto_t *receipt = make(0);
        sign(CASES[i].origin, CASES[i].name, CASES[i].line, head);
        json_object_set_new(receipt, "head", json_string(head));
        refused(receipt, CASES[i].words);
    }
    json_auto_t *receipt = make(0);
    sign(ORIGIN, ORIGIN, LINE, head);
    snprintf(twice, sizeof twice, "%s%s", head, strstr(head, "\n\n") + 2);
    json_object_set_new(receipt, "head", json_string(twice));
    refused(receipt, "head: it is no checkpoint with one signature");
    struct note_key other = key_of(ORIGIN, (const uint8_t[ED25519_KEY_SIZE]){9});
    json_auto_t *good = make(0);
    struct receipt checked;
    struct err err = {0};
    assert_int_equal(check_with(good, &other, 1, &checked, &err), -1);
    receipt_clear(&checked);
    err_clear(&err);
    assert_int_equal(check_with(good, NULL, 0, &checked, &err), -1);
    receipt_clear(&checked);
}

static void test_bytes_that_are_no_receipt(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"", "7", "[]", "{}", "{", "{\"format\":1,\"format\":1}", "{} x", "\"\\u0000\""};
    struct note_key key = key_of(ORIGIN, PRIVATE);
    struct receipt receipt;
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        struct err err = {0};
        assert_int_equal(receipt_check(TEXTS[i], strlen(TEXTS[i]), &key, 1, &receipt, &err), -1);
        assert_int_equal(err.code, ERR_CONFLICT);
        receipt_clear(&receipt);
    }
    json_auto_t *made = make(0); /* good, but for a member that stands there twice */
    char *text = json_dumps(made, JSON_COMPACT), *twice = mem_new(strlen(text) + 32, 1);
    sprintf(twice, "{\"version\":1,%s", text + 1);
    struct err err = {0};
    assert_int_equal(receipt_check(twice, strlen(twice), &key, 1, &receipt, &err), -1);
    assert_non_null(strstr(err.text, "has a member twice"));
    receipt_clear(&receipt);
    free(twice);
    free(text);
    err_clear(&err);
    assert_int_equal(receipt_check("", RECEIPT_SIZE_MAX + 1, &key, 1, &receipt, &err), -1);
    assert_string_equal(err.text, "a receipt has at most 33554432 bytes");
    receipt_clear(&receipt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_made_is_good),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_every_column_is_sealed),
        cmocka_unit_test(test_positions_and_proofs),
        cmocka_unit_test(test_order_and_doubles),
        cmocka_unit_test(test_what_makes_no_receipt),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_bytes_that_are_no_receipt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
