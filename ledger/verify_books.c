/* verify_books.c - one payment: is its history legal, does each fact have what it needs, are its books right? */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "ledger/verify_internal.h"

/* --- what a fact needs beside it --- */

static struct verify_place place_of(const struct dossier *dossier, size_t n)
{
    return (struct verify_place){dossier->id, dossier->facts.items[n].slot, -1};
}

static bool is_negative(const struct fact *result)
{
    return result && (strcmp(result->outcome, "declined") == 0 || strcmp(result->outcome, "absent") == 0 ||
                      strcmp(result->outcome, "cancelled") == 0);
}

/* L6: auth:N+1 stands in the transaction that won the negative auth:N:result. */
static void check_fence(struct verify *verify, const struct dossier *dossier, size_t n)
{
    char before[SLOT_SIZE];
    uint64_t result_xid = 0;
    struct slot slot = dossier->more[n].slot;
    if (slot.kind != SLOT_AUTH || slot.n < 2)
        return;
    snprintf(before, sizeof before, "auth:%d:result", slot.n - 1);
    const struct fact *result = dossier_fact(dossier, before, &result_xid);
    if (!is_negative(result) || result_xid != dossier->more[n].xid)
        verify_fault(verify, VERIFY_FENCE, place_of(dossier, n), "its transaction did not win a negative %s (L6)",
                     before);
}

/* The command that caused the fact, of this type; NULL: none. */
static const struct command *command_of(const struct dossier *dossier, const struct fact *fact, const char *type)
{
    for (size_t i = 0; i < dossier->command_count; i++)
        if (uuid_equal(dossier->commands[i].id, fact->cause) && strcmp(dossier->commands[i].type, type) == 0)
            return &dossier->commands[i];
    return NULL;
}

static bool says(const struct fact *fact, const char *member, const char *value)
{
    return strcmp(json_text(fact->body, member, ""), value) == 0;
}

/* The type of the publisher's command that the fact is guarded by; NULL: by none. Nobody's command asked for an unwinding. */
static const char *guarding_type(const struct dossier *dossier, size_t n)
{
    const struct fact *fact = &dossier->facts.items[n];
    struct slot slot = dossier->more[n].slot;
    if (slot.kind == SLOT_RECEIVED)
        return "payment.create";
    if (slot.kind == SLOT_REFUND)
        return uuid_equal(fact->cause, uuid_follow_up(dossier->facts.payment_id, "payment.unwind", "refund:1"))
                   ? NULL
                   : "payment.refund";
    return slot.kind == SLOT_DECISION && strcmp(fact->outcome, "abort") == 0 && says(fact, "reason", "CANCELLED")
               ? "payment.cancel"
               : NULL;
}

/* L10: ids follow from what the publisher said, and the first body under a key is the one that counts. */
static void check_command(struct verify *verify, const struct dossier *dossier, size_t n)
{
    const struct fact *fact = &dossier->facts.items[n];
    struct verify_place place = place_of(dossier, n);
    const char *type = guarding_type(dossier, n);
    if (!type)
        return;
    const struct command *command = command_of(dossier, fact, type);
    if (!command) {
        verify_fault(verify, VERIFY_COMMAND, place, "no %s of this payment is recorded as its cause (L10)", type);
        return;
    }
    const char *publisher = command->publisher, *message = command->message;
    if (!uuid_equal(fact->cause, uuid_command(type, publisher, message)))
        verify_fault(verify, VERIFY_COMMAND, place, "the id of its command is not that of %s of %s", message,
                     publisher);
    if (strcmp(fact->slot, "decision") != 0 && !says(fact, "sha256", command->sha256))
        verify_fault(verify, VERIFY_COMMAND, place, "its command was recorded with another body");
    if (strcmp(fact->slot, "received") == 0 &&
        (!says(fact, "publisher", publisher) || !says(fact, "messageId", message) ||
         !uuid_equal(dossier->facts.payment_id, uuid_payment(publisher, message))))
        verify_fault(verify, VERIFY_COMMAND, place, "it is not the payment of %s of %s", message, publisher);
}

/* L9, where a death stands; the other way round is verify_letters(). */
static void check_death(struct verify *verify, const struct dossier *dossier, size_t n)
{
    const struct fact *fact = &dossier->facts.items[n];
    if (dossier->more[n].slot.kind != SLOT_DEAD)
        return;
    for (size_t i = 0; i < dossier->letter_count; i++) {
        char id[UUID_TEXT_SIZE];
        uuid_format(dossier->letters[i].id, id);
        if (strcmp(dossier->letters[i].slot, fact->slot) == 0 && says(fact, "deadLetter", id))
            return;
    }
    verify_fault(verify, VERIFY_DEAD_LETTER, place_of(dossier, n), "its dead letter is not archived (L9)");
}

/* Letters whose fact is not there; archived in the same transaction. */
int verify_letters(struct verify *verify, struct err *err)
{
    struct db_result *rows =
        db_query(verify->db,
                 "select coalesce(d.payment_id, d.id), d.slot, d.id from ledger.dead_letter d"
                 " where not exists (select from ledger.event e where e.payment_id = coalesce(d.payment_id, d.id)"
                 " and e.slot = d.slot and e.xid = d.xid and e.body->>'deadLetter' = d.id::text)"
                 " and not " VERIFY_ARCHIVED("coalesce(d.payment_id, d.id)") " limit 1000",
                 0, NULL, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows); row++)
        verify_fault(verify, VERIFY_DEAD_LETTER,
                     (struct verify_place){db_value(rows, row, 0), db_value(rows, row, 1), -1},
                     "dead letter %s is archived without its fact (L9)", db_value(rows, row, 2));
    db_result_free(rows);
    return 0;
}

/* --- one payment --- */

/* All rows of a payment stand where ledger.payment says (L2): elsewhere, a second fact could stand under the same slot. */
static void check_home(struct verify *verify, const struct dossier *dossier)
{
    struct verify_place place = {.payment = dossier->id, .block = -1};
    if (dossier->facts.count == 0 && dossier->transfer_count == 0)
        return;
    if (!dossier->has_home) {
        verify_fault(verify, VERIFY_HOME, place, "ledger.payment does not know it");
        return;
    }
    for (size_t i = 0; i < dossier->facts.count; i++)
        if (dossier->more[i].began != dossier->began) {
            place.slot = dossier->facts.items[i].slot;
            verify_fault(verify, VERIFY_HOME, place, "the fact is not in the partition where its payment lives (L2)");
        }
    for (size_t i = 0; i < dossier->transfer_count; i++)
        if (dossier->transfers[i].began != dossier->began) {
            place.slot = dossier->transfers[i].slot;
            verify_fault(verify, VERIFY_HOME, place, "transfer %d is not in the partition where its payment lives (L2)",
                         dossier->transfers[i].leg);
        }
}

static void check_facts(struct verify *verify, const struct dossier *dossier)
{
    for (size_t n = 0; n < dossier->facts.count; n++) {
        check_fence(verify, dossier, n);
        check_command(verify, dossier, n);
        check_death(verify, dossier, n);
    }
}

void verify_payment(struct verify *verify, const struct dossier *dossier, const struct payment *payment)
{
    check_home(verify, dossier);
    if (dossier->unreadable) {
        verify_fault(verify, VERIFY_UNREADABLE, (struct verify_place){dossier->id, dossier->unreadable, -1},
                     "the fact cannot be read");
        return;
    }
    check_facts(verify, dossier);
    verify_transfers(verify, dossier);
    verify_chart(verify, dossier);
    if (payment)
        verify_bookings(verify, dossier, payment);
}
