/* receipt_absence.c - acquit receipt verify, of a receipt that something was not recorded (ledger/absence.h) */
#include <inttypes.h>
#include <stdio.h>

#include "workers/operator/receipt.h"

static void print_slots(const json_t *slots)
{
    for (size_t i = 0; i < json_array_size(slots); i++)
        printf("%s%s", i ? ", " : "", json_string_value(json_array_get(slots, i)));
}

static void print_absence(const struct absence *absence)
{
    char id[PUBLIC_ID_SIZE];
    const struct proof_head *head = &absence->head;
    public_id_format(absence->payment, id);
    printf("The receipt is good. Payment %s, slot %s\n\nProven\n", id, absence->slot);
    receipt_print_head(head);
    printf("  Among the first %" PRIu64 " of them there is no fact %s of this payment.\n", head->map.size,
           absence->slot);
    if (absence->slots) {
        printf("  Those that it has among them are %zu: ", json_array_size(absence->slots));
        print_slots(absence->slots);
        printf(".\n");
    } else {
        printf("  It has no fact at all among them.\n");
    }
    printf(
        "\nNot proven\n"
        "  That none was recorded later.\n"
        "  That everybody was shown the same ledger: compare the head with one that you got elsewhere. Its file has\n"
        "  SHA-256 %s.\n"
        "  That the ledger's map has all its facts: whoever holds the ledger sees that with `acquit ledger verify`.\n",
        head->sha256);
}

static void print_view(const struct absence *absence)
{
    char id[PUBLIC_ID_SIZE];
    public_id_format(absence->payment, id);
    operator_print(json_pack("{s:b, s:s, s:s, s:b, s:I, s:o*, s:o}", "good", 1, "transactionId", id, "slot",
                             absence->slot, "absent", 1, "among", (json_int_t)absence->head.map.size, "slots",
                             json_incref((json_t *)absence->slots), "head", receipt_head_view(&absence->head)));
}

int receipt_verify_absence(const struct op *op, const char *bytes, size_t size, const struct note_key *keys,
                           size_t key_count, struct err *err)
{
    struct absence absence;
    int r = absence_check(bytes, size, keys, key_count, &absence, err);
    if (r == 0 && op->json)
        print_view(&absence);
    else if (r == 0)
        print_absence(&absence);
    absence_clear(&absence);
    return r;
}
