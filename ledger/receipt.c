/* receipt.c - see receipt.h */
#include "ledger/receipt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"

enum { HASH_TEXT_SIZE = 4 * ((SHA256_SIZE + 2) / 3) + 1, NAMED_SIZE = SLOT_SIZE + 48 };

static const char FORMAT[] = "acquit-receipt";
const char RECEIPT_ABOUT[] =
    "Facts of one payment, each with the proof that it stands in a ledger whose signed head is below "
    "(docs/sealing.md). "
    "The summary is derived from them. Votes, and hashes of what providers were asked and answered, stand in the "
    "bodies. That no further facts exist is not proven.";

static const char *const RECEIPT_MEMBERS[] = {"format", "version", "payment", "about", "summary", "head", "facts"};
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

static json_t *proof_texts(const struct merkle_proof *proof)
{
    json_t *list = json_array();
    for (size_t i = 0; i < proof->count; i++) {
        char text[HASH_TEXT_SIZE];
        base64_encode(proof->hashes[i].bytes, SHA256_SIZE, text);
        json_array_append_new(list, json_string(text));
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
    return json_pack("{s:I, s:o, s:o, s:o}", "position", (json_int_t)position, "proof", proof_texts(proof), "fact",
                     columns, "transfers", named_transfers(transfers));
}

json_t *receipt_make(const char *payment, const char *head, json_t *facts, struct err *err)
{
    struct facts read = {0};
    struct payment folded = {0};
    json_t *receipt = NULL;
    if (json_array_size(facts) > RECEIPT_FACTS_MAX)
        err_set(err, ERR_LIMIT, "a receipt has at most %d facts, and this payment has %zu", RECEIPT_FACTS_MAX,
                json_array_size(facts));
    else if (take_facts(payment, facts, &read, err) == 0 && fold(&read, &folded, err) == 0)
        receipt = json_pack("{s:s, s:i, s:s, s:s, s:o, s:s, s:O}", "format", FORMAT, "version", RECEIPT_VERSION,
                            "payment", payment, "about", RECEIPT_ABOUT, "summary", summary_of(&folded, read.count),
                            "head", head, "facts", facts);
    payment_clear(&folded);
    facts_clear(&read);
    json_decref(facts);
    return receipt;
}

char *receipt_text(const json_t *receipt)
{
    return json_dumps(receipt, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
}

/* --- checking: the form --- */

static int unfit(struct err *err, const char *what)
{
    return err_set(err, ERR_CONFLICT, "%s", what);
}

/* These members and no other. */
static bool has_exactly(const json_t *object, const char *const *names, size_t count)
{
    bool good = json_object_size(object) == count;
    for (size_t i = 0; good && i < count; i++)
        good = json_object_get(object, names[i]);
    return good;
}

static json_t *load(const char *bytes, size_t size, struct err *err)
{
    json_error_t why;
    if (size > RECEIPT_SIZE_MAX) {
        err_set(err, ERR_CONFLICT, "a receipt has at most %d bytes", RECEIPT_SIZE_MAX);
        return NULL;
    }
    json_t *value = json_loadb(size ? bytes : "", size, JSON_REJECT_DUPLICATES, &why);
    if (!value)
        err_set(err, ERR_CONFLICT, "the receipt is no JSON, or has a member twice: line %d, column %d", why.line,
                why.column);
    return value;
}

static int check_form(const json_t *receipt, struct err *err)
{
    const json_t *facts = json_object_get(receipt, "facts");
    if (!has_exactly(receipt, RECEIPT_MEMBERS, COUNT(RECEIPT_MEMBERS)))
        return unfit(err, "the receipt lacks a member, or has one more than it should");
    if (strcmp(json_text(receipt, "format", ""), FORMAT) != 0 || json_int(receipt, "version", 0) != RECEIPT_VERSION)
        return unfit(err, "format, version: this is no receipt of version 1");
    if (strcmp(json_text(receipt, "about", ""), RECEIPT_ABOUT) != 0)
        return unfit(err, "about: the text is not that of a receipt");
    if (!json_is_array(facts) || json_array_size(facts) == 0 || json_array_size(facts) > RECEIPT_FACTS_MAX)
        return unfit(err, "facts: the receipt has none, or too many");
    return 0;
}

/* --- checking: the head --- */

/* A receipt's head carries the ledger's own signature alone, since nobody could tell whether another belongs there. */
static bool signed_once(const char *head)
{
    const char *end = NULL;
    for (const char *at = strstr(head, "\n\n"); at; at = strstr(at + 1, "\n\n"))
        end = at;
    const char *line_end = end ? strchr(end + 2, '\n') : NULL;
    return line_end && !line_end[1];
}

static int check_head(const char *head, const struct note_key *keys, size_t key_count, struct receipt *ret,
                      struct err *err)
{
    char copy[NOTE_SIZE_MAX];
    struct checkpoint checkpoint;
    const struct note_key *by;
    struct err why = {0};
    if (strlen(head) >= sizeof copy || !signed_once(head))
        return unfit(err, "head: it is no checkpoint with one signature");
    snprintf(copy, sizeof copy, "%s", head);
    if (checkpoint_open(copy, keys, key_count, &checkpoint, &by, &why) != 0)
        return err_set(err, ERR_CONFLICT, "head: %s", why.text);
    if (strcmp(by->name, checkpoint.origin) != 0)
        return unfit(err, "head: it is signed by a key that is another ledger's");
    if (checkpoint.line_count == 0 || seal_line_parse(checkpoint.lines[0], &ret->line) != 0)
        return unfit(err, "head: it does not say which block it ends");
    ret->key = *by;
    ret->size = checkpoint.size;
    ret->root = checkpoint.root;
    sha256_hex(head, strlen(head), ret->head_sha256);
    return 0;
}

/* --- checking: the facts --- */

static int read_proof(const json_t *texts, struct merkle_proof *ret)
{
    ret->count = 0;
    if (!json_is_array(texts) || json_array_size(texts) > MERKLE_PROOF_MAX)
        return -1;
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const char *text = json_string_value(json_array_get(texts, i));
        size_t size = 0;
        if (!text || base64_decode(text, ret->hashes[ret->count++].bytes, SHA256_SIZE, &size) != 0 ||
            size != SHA256_SIZE)
            return -1;
    }
    return 0;
}

/* As leaf_of() takes them; NULL when they have another form. */
static json_t *unnamed_transfers(const json_t *transfers)
{
    json_t *list = json_is_array(transfers) ? json_array() : NULL;
    for (size_t i = 0; list && i < json_array_size(transfers); i++) {
        const json_t *named = json_array_get(transfers, i);
        if (!has_exactly(named, transfer_columns, TRANSFER_COLUMN_COUNT)) {
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
    bool good = has_exactly(columns, fact_columns, FACT_COLUMN_COUNT);
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
        (uint64_t)json_integer_value(position) >= receipt->size)
        return err_set(err, ERR_CONFLICT, "%s: its position is not in the head's tree", name);
    if (read_proof(json_object_get(item, "proof"), &proof) != 0)
        return err_set(err, ERR_CONFLICT, "%s: its proof is no list of hashes", name);
    if (!merkle_included(&leaf, (uint64_t)json_integer_value(position), receipt->size, &proof, &receipt->root))
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
        bool good = has_exactly(item, ITEM_MEMBERS, COUNT(ITEM_MEMBERS)) &&
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
        return unfit(err, "summary: it has a member more than it should");
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
    ret->value = load(bytes, size, err);
    if (!ret->value || check_form(ret->value, err) != 0)
        return -1;
    const char *payment = json_text(ret->value, "payment", "");
    const json_t *items = json_object_get(ret->value, "facts");
    struct err why = {0};
    if (check_head(json_text(ret->value, "head", ""), keys, key_count, ret, err) != 0 ||
        check_facts(ret, payment, err) != 0)
        return -1;
    if (take_facts(payment, items, &ret->facts, &why) != 0 || fold(&ret->facts, &ret->payment, &why) != 0)
        return unfit(err, why.text);
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
