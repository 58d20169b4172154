/* differing.h - the fields in which a command differs from the one that used its idempotency key before (L10)
 *
 * Pure. What the first command said is known from the facts that it caused, and from its hash. Not all of it stands there as it came: defaults were
 * filled in, the e-mail address is hashed. What one of both named and the other left out is found by the hash: the body with such members turned is tried
 * against it.
 */
#ifndef ACQUIT_WORKERS_DIFFERING_H
#define ACQUIT_WORKERS_DIFFERING_H

#include <jansson.h>
#include <stdbool.h>

#include "ledger/saga.h"

/* Of a payment.create, `received` being the body of the fact: an array of names, which the caller owns; empty when nothing can be told. */
json_t *differing_create(const json_t *received, const json_t *body);

/* Of any public command with this id, which the ledger has with another body, as far as this payment can tell. */
json_t *differing_fields(const char *type, const struct payment *payment, struct uuid command, const json_t *body);

#endif
