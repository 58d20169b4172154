/* read.h - what people and the ingress read of the ledger
 *
 * Read-only; may stand on a replica. Everything is derived from facts at the time of asking (L3).
 */
#ifndef ACQUIT_LEDGER_READ_H
#define ACQUIT_LEDGER_READ_H

#include "ledger/store.h"

enum { READ_PAGE_MAX = 200 };

/* {"received":[payment ids]}-like pages are arrays of rows as JSON objects; the caller owns them. NULL on failure. */

/* Ids of payments, newest first, with the seq of `received` as page key: those below `before_seq`, 0 for the newest; at most `limit`,
 * 1..READ_PAGE_MAX. Returns the count, -1 on failure. (Lists for people are in projection.h.) */
int read_payment_ids(struct db *db, int64_t before_seq, int limit, struct uuid *ret_ids, int64_t *ret_seqs,
                     struct err *err) MUST_CHECK;

/* The facts of these payments, as store_load(). */
int read_facts(struct db *db, const struct uuid *ids, size_t count, struct facts *ret, struct err *err) MUST_CHECK;

/* Whose payment it was, also of one that is archived: "" when no payment.create is known. -1 on failure. */
int read_publisher(struct db *db, struct uuid payment, char ret[static PUBLISHER_SIZE], struct err *err) MUST_CHECK;

/* Transfers of one payment: [{"slot","leg","kind","pendingOf","debit","credit","amount","currency","at"}]. */
json_t *read_transfers(struct db *db, struct uuid payment, struct err *err) MUST_CHECK;
/* Erasable data of one payment, {} when none. */
json_t *read_personal(struct db *db, struct uuid payment, struct err *err) MUST_CHECK;

/* Trial balance per currency and account:
 * [{"account","currency","debits","credits","balance","pendingDebits","pendingCredits"}]; balance = debits - credits
 * of posted transfers; holds neither posted nor voided are pending, and so is what is in doubt. Sums to zero per currency. */
json_t *read_trial_balance(struct db *db, struct err *err) MUST_CHECK;
/* The statement behind it, for who needs it in one snapshot with others; one such object a row. */
extern const char read_trial_balance_sql[];

/* What is at stake while outcomes are unknown: [{"provider","currency","amount","count","oldestSeconds","cases"}], with
 * zeros where something once was; cases: how many are unknown for longer than give_up_ms (cases.h). */
json_t *read_in_doubt(struct db *db, int64_t give_up_ms, struct err *err) MUST_CHECK;

/* Dead letters, newest first:
 * [{"id","seq","at","queue","type","reason","paymentId","commandId","publisher","messageId","attempts","held",
 * "replays","words","state"}]; state: "held", "compensated", "replayed", "discarded"; words: how often a person said
 * something of it. `state` NULL: all. before_seq 0: from the newest. */
json_t *read_dead_letters(struct db *db, const char *state, int64_t before_seq, int limit, struct err *err) MUST_CHECK;
/* One, whole: the above and "routingKey", "properties", "history", "bodySha256", "body" (text, or base64 with
 * "bodyEncoding":"base64"), "facts" (its dead: and replay: facts). NULL with ERR_NOT_FOUND. */
json_t *read_dead_letter(struct db *db, struct uuid id, struct err *err) MUST_CHECK;

/* Payments that began, or began a refund, or were approved too late, since `after_seq`, for the keeper's sweep (one may come twice): ids and seqs, oldest first; complete up to *ret_seq, which
 * is where to go on (rows of transactions still open are never skipped: it waits for them a second, then answers 0).
 * On the primary only. Returns the count, -1 on failure. */
int read_new_payments(struct db *db, int64_t after_seq, struct uuid *ret_ids, int limit, int64_t *ret_seq,
                      struct err *err) MUST_CHECK;

/* The fact and its payment behind a refund command: refunds are found by the id of the command that asked for them
 * (cause of refund:N). */
int read_refund(struct db *db, struct uuid refund_command, struct uuid *ret_payment, struct err *err) MUST_CHECK;

#endif
