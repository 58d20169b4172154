/* views.h - a payment as its owner sees it
 *
 * Pure: from facts and their fold to JSON. What we need for ourselves (idempotency keys, evidence, hashes, tokens,
 * routes) is not shown: the list of what is shown stands in views.c. The caller owns every result.
 */
#ifndef ACQUIT_WORKERS_INGRESS_VIEWS_H
#define ACQUIT_WORKERS_INGRESS_VIEWS_H

#include <jansson.h>

#include "ledger/saga.h"

/* What lists and short answers carry: ids, status, amount, gateway, reason, times. */
json_t *view_summary(const struct facts *facts, const struct payment *payment);
/* The same from a row of projection_list(). */
json_t *view_listed(const json_t *row);
/* The state alone. */
json_t *view_status(const struct facts *facts, const struct payment *payment);
/* All of it. `personal` is borrowed, may be NULL. */
json_t *view_detail(const struct facts *facts, const struct payment *payment, const json_t *personal);
/* Why it failed: {"reason","explanation","code","message"}; null if it did not. */
json_t *view_failure(const struct payment *payment);
/* The facts in the order in which they were written. */
json_t *view_events(const struct facts *facts);
/* The n-th refund of the payment (1..refund_count). */
json_t *view_refund(const struct payment *payment, int n);
/* A payment and a refund that are accepted, but not recorded yet. Amount 0 and currency "": not known. */
json_t *view_pending(struct uuid payment, int64_t amount, const char *currency);
json_t *view_refund_pending(struct uuid refund_command, struct uuid payment, int64_t amount);

/* The refund that this command asked for: its n, or 0. */
int view_refund_of(const struct payment *payment, struct uuid command);

#endif
