/* receipt.c - acquit receipt verify: what a receipt proves, to somebody who has the ledger's public key and nothing else */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/money.h"
#include "ledger/receipt.h"
#include "workers/operator/receipt.h"
#include "workers/operator/table.h"

enum { KEYS_MAX = 16, REMARK_SIZE = 200 };

const struct option_row receipt_verify_options[] = {
    {.name = "key",
     .kind = OPTION_MANY,
     .value = "KEY",
     .sentence = "whose signature counts: name+id+base64, or a file that holds it; repeatable"},
    {0},
};

/* --- reading --- */

/* At most `most` bytes; NULL with an error. free() it. */
static char *read_whole(const char *path, size_t most, size_t *ret_size, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_DENIED, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *bytes = NULL;
    size_t size = 0, room = 0;
    do {
        room = room ? 2 * room : 64 * 1024;
        bytes = mem_grow(bytes, room, 1);
        size += fread(bytes + size, 1, room - size, file);
    } while (size == room && size <= most);
    bool good = !ferror(file) && size <= most;
    fclose(file);
    if (!good) {
        err_set(err, ERR_CONFLICT, "%s: cannot be read, or has more than %zu bytes", path, most);
        free(bytes);
        return NULL;
    }
    bytes[size] = '\0'; /* size < room: the loop went on otherwise */
    *ret_size = size;
    return bytes;
}

/* A name of a log may hold a slash, and a path may hold a '+': whatever is a key as it stands, is one. */
int operator_key(const char *given, struct note_key *ret, struct err *err)
{
    struct err as_text = {0}, as_file = {0};
    size_t size = 0;
    if (note_key_parse(given, ret, &as_text) == 0)
        return 0;
    char *text = read_whole(given, NOTE_KEY_SIZE, &size, &as_file);
    if (!text)
        return err_set(err, ERR_INVALID, "--key %s: is neither a key (%s) nor a file that can be read", given,
                       as_text.text);
    text[strcspn(text, "\r\n")] = '\0';
    int r = note_key_parse(text, ret, err);
    free(text);
    return r == 0 ? 0 : err_prefix(err, "--key %s", given);
}

static int read_keys(const struct args *args, struct note_key ret[static KEYS_MAX], size_t *ret_count, struct err *err)
{
    const char *given;
    for (*ret_count = 0; (given = args_many(args, "key", *ret_count)); ++*ret_count) {
        if (*ret_count == KEYS_MAX)
            return err_set(err, ERR_INVALID, "more than %d keys", KEYS_MAX);
        if (operator_key(given, &ret[*ret_count], err) != 0)
            return -1;
    }
    return *ret_count ? 0
                      : err_set(err, ERR_INVALID,
                                "--key is missing: a receipt proves nothing without the ledger's public key");
}

/* --- saying it --- */

static const char *remark(const json_t *body, char ret[static REMARK_SIZE])
{
    const char *reason = json_text(body, "reason", ""), *code = json_text(body, "code", "");
    snprintf(ret, REMARK_SIZE, "%s%s%s", reason, *reason && *code ? ": " : "", code);
    return ret;
}

static void print_timeline(const struct receipt *receipt)
{
    static const char *const headings[] = {"TIME",     ">LEAF",     "FACT",   "OUTCOME", "BY",
                                           "PROVIDER", "REFERENCE", "REMARK", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < receipt->facts.count; i++) {
        const struct fact *fact = &receipt->facts.items[i];
        char at[CLOCK_TEXT_SIZE], leaf[24], why[REMARK_SIZE];
        snprintf(leaf, sizeof leaf, "%" PRIu64, receipt_position(receipt, i));
        const char *cells[] = {clock_format(fact->at_ms, at),
                               leaf,
                               fact->slot,
                               fact->outcome,
                               fact->actor,
                               json_text(fact->body, "provider", ""),
                               json_text(fact->body, "reference", ""),
                               remark(fact->body, why)};
        table_row(table, cells);
    }
    puts("\nFacts, in the order of the ledger");
    table_print(table, "none", stdout);
    table_free(table);
}

static void add_transfers(struct table *table, const char *slot, const json_t *transfers)
{
    for (size_t i = 0; i < json_array_size(transfers); i++) {
        const json_t *row = json_array_get(transfers, i);
        char amount[MONEY_TEXT_MAX];
        money_format(strtoll(json_text(row, "amount", "0"), NULL, 10), json_text(row, "currency", ""), amount);
        const char *cells[] = {slot, json_text(row, "kind", ""), json_text(row, "debit", ""),
                               json_text(row, "credit", ""), amount};
        table_row(table, cells);
    }
}

static void print_transfers(const struct receipt *receipt)
{
    static const char *const headings[] = {"FACT", "KIND", "DEBIT", "CREDIT", ">AMOUNT", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < receipt->facts.count; i++)
        add_transfers(table, receipt->facts.items[i].slot, receipt_transfers(receipt, i));
    puts("\nTransfers");
    table_print(table, "none", stdout);
    table_free(table);
}

void receipt_print_head(const struct proof_head *head)
{
    char key[NOTE_KEY_SIZE];
    note_key_format(&head->key, key);
    printf("  The ledger %s signed a head over %" PRIu64 " facts (block %" PRId64 ", epoch %d) with key\n  %s.\n",
           head->key.name, head->size, head->line.height, head->line.epoch, key);
    if (head->changes > 0)
        printf("  It has changed its key before (%zu times, as the receipt says); each key names the next.\n",
               head->changes);
}

static void print_proven(const struct receipt *receipt)
{
    const struct payment *payment = &receipt->payment;
    char id[PUBLIC_ID_SIZE], amount[MONEY_TEXT_MAX], captured[MONEY_TEXT_MAX], refunded[MONEY_TEXT_MAX];
    public_id_format(payment->id, id);
    printf("The receipt is good. Payment %s\n\nProven\n", id);
    receipt_print_head(&receipt->head);
    printf("  These %zu facts and their %zu transfers are among them, each exactly as written here.\n",
           receipt->facts.count, receipt->transfer_count);
    printf("  From them follows: %s, %s, captured %s, refunded %s.\n", public_state_text(payment->public),
           money_format(payment->amount, payment->currency, amount),
           money_format(payment->captured_amount, payment->currency, captured),
           money_format(payment->refunded, payment->currency, refunded));
    if (payment->reason)
        printf("  Because %s: %s.\n", payment->reason, reason_text(payment->reason));
}

static void print_not_proven(const struct receipt *receipt)
{
    printf(
        "\nNot proven\n"
        "  That the payment has no further facts, before or after this head: a later refund would not be seen here.\n"
        "  That everybody was shown the same ledger: compare the head with one that you got elsewhere. Its file has\n"
        "  SHA-256 %s.\n"
        "  That what the facts say is true: the ledger vouches for having written it then, by its own clock.\n",
        receipt->head.sha256);
}

static json_t *fact_view(const struct receipt *receipt, size_t i)
{
    const struct fact *fact = &receipt->facts.items[i];
    char at[CLOCK_TEXT_SIZE];
    return json_pack("{s:I, s:s, s:s, s:s, s:s?, s:O}", "position", (json_int_t)receipt_position(receipt, i), "at",
                     clock_format(fact->at_ms, at), "slot", fact->slot, "outcome", fact->outcome, "actor", fact->actor,
                     "body", fact->body);
}

json_t *receipt_head_view(const struct proof_head *head)
{
    char key[NOTE_KEY_SIZE], root[SHA256_HEX_SIZE];
    note_key_format(&head->key, key);
    hex_encode(head->root.bytes, SHA256_SIZE, root);
    return json_pack("{s:s, s:I, s:s, s:i, s:I, s:s, s:I}", "key", key, "size", (json_int_t)head->size, "root", root,
                     "epoch", head->line.epoch, "block", (json_int_t)head->line.height, "sha256", head->sha256,
                     "keyChanges", (json_int_t)head->changes);
}

static void print_view(const struct receipt *receipt)
{
    char id[PUBLIC_ID_SIZE];
    json_t *facts = json_array();
    for (size_t i = 0; i < receipt->facts.count; i++)
        json_array_append_new(facts, fact_view(receipt, i));
    public_id_format(receipt->payment.id, id);
    operator_print(json_pack("{s:b, s:s, s:O, s:s?, s:o, s:o}", "good", 1, "transactionId", id, "summary",
                             json_object_get(receipt->value, "summary"), "reason", receipt->payment.reason, "head",
                             receipt_head_view(&receipt->head), "facts", facts));
}

static int verify_facts(const struct op *op, const char *bytes, size_t size, const struct note_key *keys,
                        size_t key_count, struct err *err)
{
    struct receipt receipt;
    int r = receipt_check(bytes, size, keys, key_count, &receipt, err);
    if (r == 0 && op->json) {
        print_view(&receipt);
    } else if (r == 0) {
        print_proven(&receipt);
        print_timeline(&receipt);
        print_transfers(&receipt);
        print_not_proven(&receipt);
    }
    receipt_clear(&receipt);
    return r;
}

static bool claims_absence(const char *bytes, size_t size)
{
    struct err why = {0};
    json_auto_t *value = proof_load(bytes, size, &why);
    return strcmp(json_text(value, "format", ""), ABSENCE_FORMAT) == 0;
}

int cmd_receipt_verify(struct op *op, struct err *err)
{
    static struct note_key keys[KEYS_MAX];
    const char *path = op->args.positional[0];
    size_t key_count = 0, size = 0;
    if (read_keys(&op->args, keys, &key_count, err) != 0)
        return -1;
    char *bytes = read_whole(path, RECEIPT_SIZE_MAX, &size, err);
    if (!bytes)
        return -1;
    int r =
        (claims_absence(bytes, size) ? receipt_verify_absence : verify_facts)(op, bytes, size, keys, key_count, err);
    free(bytes);
    return r == 0 ? 0 : err_prefix(err, "the receipt proves nothing");
}
