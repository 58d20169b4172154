/* book.h - which transfers a fact of a payment books (L8)
 *
 * Pure functions of the folded payment; no I/O. Each fills `ret` with the transfers of one slot and returns their
 * count, 0 for none, -1 with an error when the payment has not what they need (ERR_INTERNAL: the step was called too
 * early; ERR_LIMIT: a name or a sum too long). The caller puts them into the append that inserts the slot;
 * store_append books them only if the slot is won.
 *
 * Accounts are those of chart.h.
 *
 *     slot                        kind       debit                   credit                  amount
 *     auth:N:result, auth:N:late  hold       receivable:<provider>   payable:<merchant>      authorized
 *     capture                     post       receivable:<provider>   payable:<merchant>      captured
 *                                 transfer   payable:<merchant>      commission              commission, if any
 *     void:N                      void       receivable:<provider>   payable:<merchant>      authorized
 *     refund:N:result             transfer   payable:<merchant>      receivable:<provider>   refunded
 *                                 transfer   commission              payable:<merchant>      commission back, if any
 *
 *     <intent>:doubt:K            in_doubt   in_doubt:<provider>     receivable:<provider>   what the intent is about
 *
 * A capture of less than the hold releases the rest. An in_doubt is pending until the fact stands that answers its intent
 * (view ledger.in_doubt): nothing is booked at its end, because the delivery that writes the answer may not see the doubt.
 *
 * Commission given back. Refunds race: their results may be refused, and come in any order. So the share is fixed in
 * the intent, by who wins refund:N and thereby has seen all intents before it: what is due after this refund,
 * floor(commission * total / captured), less what the intents that still count were given. The last refund of a
 * capture always gets exactly what is left of the commission.
 */
#ifndef ACQUIT_LEDGER_BOOK_H
#define ACQUIT_LEDGER_BOOK_H

#include "ledger/store.h"

enum { BOOK_LEGS_MAX = 2 };

/* The hold of authorization n, approved at `slot` ("auth:N:result" or "auth:N:late"). The provider is a parameter
 * because the intent may be younger than the fold (fail-over: auth:N+1 is called at once). */
int book_hold(const struct payment *p, int n, const char *provider, const char *slot,
              struct new_transfer ret[static BOOK_LEGS_MAX], struct err *err) MUST_CHECK;

/* Slot "capture" of authorization n: posts its hold with `captured` minor units, 0 < captured <= amount, and takes
 * the commission. */
int book_capture(const struct payment *p, int n, int64_t captured, struct new_transfer ret[static BOOK_LEGS_MAX],
                 struct err *err) MUST_CHECK;

/* Slot "void:n": voids the hold of authorization n, whatever the outcome is called. 0 when it never had a hold. */
int book_void(const struct payment *p, int n, struct new_transfer ret[static BOOK_LEGS_MAX],
              struct err *err) MUST_CHECK;

/* What the intent refund:N of `amount` must carry, as body members "total" (with it, of all refunds that still
 * count) and "commission". ERR_INVALID when nothing is captured or the amount is not positive, ERR_LIMIT when more
 * would be refunded than captured. */
struct refund_share {
    int64_t total, commission;
};
int book_refund_share(const struct payment *p, int64_t amount, struct refund_share *ret, struct err *err) MUST_CHECK;

/* Slot "<intent>:doubt:K" of the intent "auth:N", "capture", "void:N" or "refund:N". */
int book_doubt(const struct payment *p, const char *intent, int k, struct new_transfer ret[static BOOK_LEGS_MAX],
               struct err *err) MUST_CHECK;

/* The slot whose fact ends what is in doubt by "<intent>:doubt:K": "auth:1:result", "capture". "" when it is no such slot. Returns ret. */
const char *book_doubt_answer(const char *doubt, char ret[static SLOT_SIZE]);

/* Slot "refund:n:result"=refunded, from its intent's "amount" and "commission". */
int book_refund(const struct payment *p, int n, struct new_transfer ret[static BOOK_LEGS_MAX],
                struct err *err) MUST_CHECK;

#endif
