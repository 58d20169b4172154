/* balance.h - from transfers to balances per account, and how they are shown
 *
 * Pure. A balance is debits less credits of what is posted; a hold that is neither posted nor voided is pending.
 */
#ifndef ACQUIT_WORKERS_OPERATOR_BALANCE_H
#define ACQUIT_WORKERS_OPERATOR_BALANCE_H

#include <jansson.h>
#include <stdio.h>

#include "common/err.h"

/* From rows of read_transfers() to rows like those of read_trial_balance():
 * [{"account","currency","debits","credits","balance", "pendingDebits","pendingCredits"}]. The caller owns the result.
 */
json_t *balance_of(const json_t *transfers);

/* {"EUR":0,...}: the sum of the balances of each currency. NULL with ERR_LIMIT on overflow. */
json_t *balance_sums(const json_t *balances, struct err *err) MUST_CHECK;

void balance_print(const json_t *balances, FILE *out);

#endif
