/* balance.h - from transfers to balances per account, and how they are shown
 *
 * Pure. A balance is debits less credits of what is posted; a hold that is neither posted nor voided is pending, and so is what is in doubt
 * until its answer.
 */
#ifndef ACQUIT_WORKERS_OPERATOR_BALANCE_H
#define ACQUIT_WORKERS_OPERATOR_BALANCE_H

#include <jansson.h>
#include <stdio.h>

#include "common/err.h"
#include "ledger/saga.h"

/* From rows of read_transfers() of one payment, and its facts, to rows like those of read_trial_balance():
 * [{"account","currency","debits","credits","balance", "pendingDebits","pendingCredits"}]. NULL with ERR_LIMIT on overflow. The caller owns the
 * result. */
json_t *balance_of(const json_t *transfers, const struct facts *facts, struct err *err) MUST_CHECK;

/* {"EUR":0,...}: the sum of the balances of each currency. NULL with ERR_LIMIT on overflow. */
json_t *balance_sums(const json_t *balances, struct err *err) MUST_CHECK;

/* What people should look at in a row: an account that is not in the chart, or whose balance is on the side where it does not belong; "". */
const char *balance_note(const json_t *row);

/* Each row with its note, if it has one, as "note". */
void balance_add_notes(json_t *balances);

void balance_print(const json_t *balances, FILE *out);

#endif
