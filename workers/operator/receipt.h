/* receipt.h - what `acquit receipt verify` says of both kinds of receipt */
#ifndef ACQUIT_WORKERS_OPERATOR_RECEIPT_H
#define ACQUIT_WORKERS_OPERATOR_RECEIPT_H

#include "ledger/absence.h"
#include "workers/operator/operator.h"

/* Whose head it is. */
void receipt_print_head(const struct proof_head *head);
json_t *receipt_head_view(const struct proof_head *head);

/* The bytes are a receipt of an absence, or claim to be. */
int receipt_verify_absence(const struct op *op, const char *bytes, size_t size, const struct note_key *keys,
                           size_t key_count, struct err *err) MUST_CHECK;

#endif
