/* absence.h - that a fact was not recorded, for somebody who has nothing of ours but a public key (docs/sealing.md)
 *
 * Pure. One JSON object: a payment, a slot, a signed head (proof.h) that states the root of the sorted map (map.h), and the way from that root to
 * where the payment stands or would stand. At its end is the payment with all its slots, among which the slot is not; or another payment; or nothing.
 *
 *     {"format": "acquit-absence", "version": 1, "payment": "<uuid>", "slot": "refund:1", "about": ABSENCE_ABOUT, "head": "<signed checkpoint>",
 *      "keys": [...] if there are any, "way": ["<base64>", ...] from the root down, "end": one of
 *          {"payment": "<the same>", "slots": ["auth:1", ...]}      in the order of their bytes
 *          {"payment": "<another>", "slots": "<base64 of map.h's hash of them>"}
 *          null}
 */
#ifndef ACQUIT_LEDGER_ABSENCE_H
#define ACQUIT_LEDGER_ABSENCE_H

#include "ledger/proof.h"
#include "ledger/saga.h"

enum { ABSENCE_VERSION = 1, ABSENCE_SLOTS_MAX = 8192 /* of one payment */ };
extern const char ABSENCE_FORMAT[], ABSENCE_ABOUT[];

/* Lower case letters, digits and ".:_-"; what a slot may be called. */
bool absence_slot_valid(const char *slot);

/* The parts of one; `slots` are the payment's own if the way ends with it (a list of texts, NULL otherwise), `keys` as for a receipt: both
 * are taken over. NULL with ERR_NOT_FOUND: the slot stands there, ERR_CONFLICT: the way does not lead to the head's map. */
json_t *absence_make(struct uuid payment, const char *slot, const char *head, json_t *keys,
                     const struct map_proof *proof, json_t *slots, struct err *err) MUST_CHECK;

/* One that was found good: what is proven. */
struct absence {
    json_t *value;
    struct proof_head head; /* its map is over the first head.map.size leaves */
    struct uuid payment;
    const char *slot;    /* borrowed from `value` */
    const json_t *slots; /* what the payment has; NULL: no fact at all. Borrowed */
};
/* ERR_CONFLICT says what does not fit. Free with absence_clear() in any case. */
int absence_check(const char *bytes, size_t size, const struct note_key *keys, size_t key_count, struct absence *ret,
                  struct err *err) MUST_CHECK;
void absence_clear(struct absence *absence);

#endif
