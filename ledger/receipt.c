/* receipt.c - see receipt.h */
#include "ledger/receipt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"

enum { NAMED_SIZE = SLOT_SIZE + 48 };

static const char FORMAT[] = "acquit-receipt";
const char RECEIPT_ABOUT[] =
    "Facts of one payment, each with the proof that it stands in a ledger whose signed head is below "
    "(docs/sealing.md). "
    "The summary is derived from them. Votes, and hashes of what providers were asked and answered, stand in the "
    "bodies. That no further facts exist is not proven.";

static const char *const RECEIPT_MEMBERS[] = {"format",  "version", "payment", "about",
                                              "summary", "head",    "keys",    "facts"};
static const char *const ITEM_MEMBERS[] = {"position", "proof", "fact", "transfers"};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum {
    COLUMN_PAYMENT,
    COLUMN_SLOT,
    COLUMN_OUTCOME,
    COLUMN_CAUSE,
    COLUMN_ACTOR,
    COLUMN_AT,
    COLUMN_XID,
    COLUMN_SEQ,
    COLUMN_BODY
};

/* --- facts out of their texts --- */

static int take_fact(const json_t *columns, struct fact *ret, struct err *err)
{
    const char *slot = json_text(columns, fact_columns[COLUMN_SLOT], "");
    const char *outcome = json_text(columns, fact_columns[COLUMN_OUTCOME], "");
    const char *actor = json_text(columns, fact_columns[COLUMN_ACTOR], NULL);
    const char *body = json_text(columns, fact_columns[COLUMN_BODY], "");
    bool good = strlen(slot) < SLOT_SIZE && strlen(outcome) < OUTCOME_SIZE &&
                uuid_parse(json_text(columns, fact_columns[COLUMN_CAUSE], ""), &ret->cause) == 0 &&
                clock_parse(json_text(columns, fact_columns[COLUMN_AT], ""), &ret->at_ms) == 0;
    ret->body = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
    if (!good || !json_is_object(ret->body))
        return err_set(err, ERR_CONFLICT, "a fact of the receipt is none of this program's ledger");
    snprintf(ret->slot, sizeof ret->slot, "%s", slot);
    snprintf(ret->outcome, sizeof ret->outcome, "%s", outcome);
    ret->seq = strtoll(json_text(columns, fact_columns[COLUMN_SEQ], ""), NULL, 10);
    ret->actor = actor ? mem_text(actor) : NULL;
    return 0;
}

static int take_facts(const char *payment, const json_t *items, struct facts *ret, struct err *err)
{
    *ret = (struct facts){0};
    if (uuid_parse(payment, &ret->payment_id) != 0)
        return err_set(err, ERR_CONFLICT, "the receipt's payment is no id");
    ret->items = mem_new(json_array_size(items), sizeof *ret->items);
    for (size_t i = 0; i < json_array_size(items); i++, ret->count++)
        if (take_fact(json_object_get(json_array_get(items, i), "fact"), &ret->items[i], err) != 0) {
            ret->count++; /* what it has already is freed, too */
            return -1;
        }
    return 0;
}

static int fold(const struct facts *facts, struct payment *ret, struct err *err)
{
    if (saga_fold(facts, ret, err) != 0)
        return err_prefix(err, "the facts contradict each other");
    return ret->received ? 0
                         : err_set(err, ERR_NOT_FOUND, "the facts are no payment's: there is none of slot received");
}

static json_t *summary_of(const struct payment *payment, size_t count)
{
    return json_pack("{s:s, s:I, s:s, s:I, s:I, s:I}", "state", public_state_text(payment->public), "amount",
                     (json_int_t)payment->amount, "currency", payment->currency, "captured",
                     (json_int_t)payment->captured_amount, "refunded", (json_int_t)payment->refunded, "facts",
                     (json_int_t)count);
}

/* --- making --- */

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *named_transfers(const json_t *transfers)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(transfers); i++) {
        json_t *named = json_object();
        for (size_t k = 0; k < TRANSFER_COLUMN_COUNT; k++)
            json_object_set(named, transfer_columns[k], json_array_get(json_array_get(transfers, i), k));
        json_array_append_new(list, named);
    }
    return list;
}

json_t *receipt_fact(const char *const values[static FACT_COLUMN_COUNT], const json_t *transfers, uint64_t position,
                     const struct merkle_proof *proof, uint64_t size, const struct hash *root, struct err *err)
{
    struct hash leaf;
    if (leaf_of(values, transfers, &leaf, err) != 0)
        return NULL;
    if (!merkle_included(&leaf, position, size, proof, root)) {
        err_set(err, ERR_CONFLICT, "fact %s is not what was sealed at position %" PRIu64, values[COLUMN_SLOT],
                position);
        return NULL;
    }
    json_t *columns = json_object();
    for (size_t i = 0; i < FACT_COLUMN_COUNT; i++)
        json_object_set_new(columns, fact_columns[i], text_or_null(values[i]));
    return json_pack("{s:I, s:o, s:o, s:o}", "position", (json_int_t)position, "proof",
                     proof_write_hashes(proof->hashes, proof->count), "fact", columns, "transfers",
                     named_transfers(transfers));
}

json_t *receipt_make(const char *payment, const char *head, json_t *keys, json_t *facts, struct err *err)
{
    struct facts read = {0};
    struct payment folded = {0};
    json_t *receipt = NULL;
    if (json_array_size(facts) > RECEIPT_FACTS_MAX)
        err_set(err, ERR_LIMIT, "a receipt has at most %d facts, and this payment has %zu", RECEIPT_FACTS_MAX,
                json_array_size(facts));
    else if (take_facts(payment, facts, &read, err) == 0 && fold(&read, &folded, err) == 0)
        receipt = json_pack("{s:s, s:i, s:s, s:s, s:o, s:s, s:O*, s:O}", "format", FORMAT, "version", RECEIPT_VERSION,
                            "payment", payment, "about", RECEIPT_ABOUT, "summary", summary_of(&folded, read.count),
                            "head", head, "keys", keys, "facts", facts);
    payment_clear(&folded);
    facts_clear(&read);
    json_decref(keys);
    json_decref(facts);
    return receipt;
}

/* --- checking: the form --- */

static int check_form(const json_t *receipt, struct err *err)
{
    const json_t *facts = json_object_get(receipt, "facts");
    if (!proof_has(receipt, RECEIPT_MEMBERS, COUNT(RECEIPT_MEMBERS), "keys"))
        return proof_unfit(err, "the receipt lacks a member, or has one more than it should");
    if (strcmp(json_text(receipt, "format", ""), FORMAT) != 0 || json_int(receipt, "version", 0) != RECEIPT_VERSION)
        return proof_unfit(err, "format, version: this is no receipt of version 1");
    if (strcmp(json_text(receipt, "about", ""), RECEIPT_ABOUT) != 0)
        return proof_unfit(err, "about: the text is not that of a receipt");
    if (!json_is_array(facts) || json_array_size(facts) == 0 || json_array_size(facts) > RECEIPT_FACTS_MAX)
        return proof_unfit(err, "facts: the receipt has none, or too many");
    return 0;
}

/* --- checking: the facts --- */

/* As leaf_of() takes them; NULL when they have another form. */
static json_t *unnamed_transfers(const json_t *transfers)
{
    json_t *list = json_is_array(transfers) ? json_array() : NULL;
    for (size_t i = 0; list && i < json_array_size(transfers); i++) {
        const json_t *named = json_array_get(transfers, i);
        if (!proof_has(named, transfer_columns, TRANSFER_COLUMN_COUNT, NULL)) {
            json_decref(list);
            return NULL;
        }
        json_t *row = json_array();
        for (size_t k = 0; k < TRANSFER_COLUMN_COUNT; k++)
            json_array_append(row, json_object_get(named, transfer_columns[k]));
        json_array_append_new(list, row);
    }
    return list;
}

/* Texts or nulls. */
static bool read_columns(const json_t *columns, const char *ret[static FACT_COLUMN_COUNT])
{
    bool good = proof_has(columns, fact_columns, FACT_COLUMN_COUNT, NULL);
    for (size_t i = 0; good && i < FACT_COLUMN_COUNT; i++) {
        const json_t *value = json_object_get(columns, fact_columns[i]);
        good = json_is_string(value) || json_is_null(value);
        ret[i] = json_string_value(value);
    }
    return good;
}

/* "fact 3 (capture)": a stranger's slot is said only if it looks like one. */
static const char *name_fact(size_t i, const char *slot, char ret[static NAMED_SIZE])
{
    bool clean =
        slot && *slot && strlen(slot) < SLOT_SIZE && !slot[strspn(slot, "abcdefghijklmnopqrstuvwxyz0123456789:._-")];
    snprintf(ret, NAMED_SIZE, "fact %zu%s%s%s", i + 1, clean ? " (" : "", clean ? slot : "", clean ? ")" : "");
    return ret;
}

static int check_leaf(const json_t *item, const char *const *values, const struct receipt *receipt, const char *name,
                      struct err *err)
{
    json_t *transfers = unnamed_transfers(json_object_get(item, "transfers"));
    const json_t *position = json_object_get(item, "position");
    struct merkle_proof proof;
    struct hash leaf;
    struct err why = {0};
    bool good = transfers && leaf_of(values, transfers, &leaf, &why) == 0;
    json_decref(transfers);
    if (!good)
        return err_set(err, ERR_CONFLICT, "%s: its transfers have not the form of transfers", name);
    if (!json_is_integer(position) || json_integer_value(position) < 0 ||
        (uint64_t)json_integer_value(position) >= receipt->head.size)
        return err_set(err, ERR_CONFLICT, "%s: its position is not in the head's tree", name);
    if (proof_read_hashes(json_object_get(item, "proof"), proof.hashes, MERKLE_PROOF_MAX, &proof.count) != 0)
        return err_set(err, ERR_CONFLICT, "%s: its proof is no list of hashes", name);
    if (!merkle_included(&leaf, (uint64_t)json_integer_value(position), receipt->head.size, &proof,
                         &receipt->head.root))
        return err_set(err, ERR_CONFLICT,
                       "%s: it does not lead to the head's root; a column, a transfer, the position or the proof is "
                       "not what was sealed",
                       name);
    return 0;
}

static int check_facts(const struct receipt *receipt, const char *payment, struct err *err)
{
    const json_t *items = json_object_get(receipt->value, "facts");
    json_auto_t *seen = json_object();
    json_int_t last = -1;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *values[FACT_COLUMN_COUNT] = {NULL};
        char name[NAMED_SIZE];
        bool good = proof_has(item, ITEM_MEMBERS, COUNT(ITEM_MEMBERS), NULL) &&
                    read_columns(json_object_get(item, "fact"), values) && values[COLUMN_PAYMENT] &&
                    values[COLUMN_SLOT];
        name_fact(i, values[COLUMN_SLOT], name);
        if (!good)
            return err_set(err, ERR_CONFLICT, "%s: it has not the members that a fact has", name);
        if (strcmp(values[COLUMN_PAYMENT], payment) != 0)
            return err_set(err, ERR_CONFLICT, "%s: it is of another payment", name);
        if (check_leaf(item, values, receipt, name, err) != 0)
            return -1;
        json_int_t position = json_integer_value(json_object_get(item, "position"));
        if (position <= last)
            return err_set(err, ERR_CONFLICT, "%s: it does not stand in the order of the tree, or stands there twice",
                           name);
        if (json_object_get(seen, values[COLUMN_SLOT]))
            return err_set(err, ERR_CONFLICT, "%s: the ledger has this slot of the payment twice", name);
        json_object_set_new(seen, values[COLUMN_SLOT], json_true());
        last = position;
    }
    return 0;
}

/* --- checking: what follows --- */

static int check_summary(const json_t *summary, const struct receipt *receipt, struct err *err)
{
    json_auto_t *derived = summary_of(&receipt->payment, receipt->facts.count);
    const char *name;
    json_t *value;
    json_object_foreach(derived, name, value)
    {
        if (!json_equal(value, json_object_get(summary, name)))
            return err_set(err, ERR_CONFLICT, "summary.%s: another value follows from the facts", name);
    }
    if (json_object_size(summary) != json_object_size(derived))
        return proof_unfit(err, "summary: it has a member more than it should");
    return 0;
}

static size_t count_transfers(const json_t *items)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(items); i++)
        count += json_array_size(json_object_get(json_array_get(items, i), "transfers"));
    return count;
}

/* The signature first: nothing but what is proven is folded. */
int receipt_check(const char *bytes, size_t size, const struct note_key *keys, size_t key_count, struct receipt *ret,
                  struct err *err)
{
    *ret = (struct receipt){0};
    ret->value = proof_load(bytes, size, err);
    if (!ret->value || check_form(ret->value, err) != 0)
        return -1;
    const char *payment = json_text(ret->value, "payment", "");
    const json_t *items = json_object_get(ret->value, "facts");
    struct err why = {0};
    if (proof_check_head(ret->value, keys, key_count, &ret->head, err) != 0 || check_facts(ret, payment, err) != 0)
        return -1;
    if (take_facts(payment, items, &ret->facts, &why) != 0 || fold(&ret->facts, &ret->payment, &why) != 0)
        return proof_unfit(err, why.text);
    ret->transfer_count = count_transfers(items);
    return check_summary(json_object_get(ret->value, "summary"), ret, err);
}

void receipt_clear(struct receipt *receipt)
{
    payment_clear(&receipt->payment);
    facts_clear(&receipt->facts);
    json_decref(receipt->value);
    *receipt = (struct receipt){0};
}

static const json_t *item_of(const struct receipt *receipt, size_t i)
{
    return json_array_get(json_object_get(receipt->value, "facts"), i);
}

uint64_t receipt_position(const struct receipt *receipt, size_t i)
{
    return (uint64_t)json_int(item_of(receipt, i), "position", 0);
}

const json_t *receipt_transfers(const struct receipt *receipt, size_t i)
{
    return json_object_get(item_of(receipt, i), "transfers");
}
