/* recent.h - what this process has accepted and the ledger may not show yet
 *
 * Between the broker's confirm and the worker's commit a payment exists in a queue only. Whoever asks for it in that
 * moment, or asks for it to be cancelled, should not hear "unknown": this memory answers "pending". It is a courtesy,
 * not a record: bounded, lost on restart, unknown to other instances. The ledger, where it has something, is always
 * right.
 *
 * A cache of RECENT_SETS sets of RECENT_WAYS entries; ids are hashes, so their bits choose the set. The oldest of a set
 * makes room.
 */
#ifndef ACQUIT_WORKERS_INGRESS_RECENT_H
#define ACQUIT_WORKERS_INGRESS_RECENT_H

#include <stdint.h>

#include "common/crypto.h"
#include "common/ids.h"
#include "config/config.h"

enum { RECENT_SETS = 16384, RECENT_WAYS = 4 };

struct accepted {
    struct uuid id; /* of the payment; for cancel and refund: of the command */
    struct uuid payment_id;
    const struct publisher_config *publisher;
    const char *type;             /* of the command; static */
    char sha256[SHA256_HEX_SIZE]; /* of the body (L10) */
    int64_t amount;               /* 0: not said */
    char currency[4];             /* "": not said */
    int64_t at_ms;                /* wall time of the confirm */
};

struct recent;

struct recent *recent_new(void);
void recent_free(struct recent *recent); /* accepts NULL */
void recent_add(struct recent *recent, const struct accepted *accepted);
/* What was accepted under this id by this publisher, or NULL. Borrowed until the next recent_add(). */
const struct accepted *recent_find(const struct recent *recent, struct uuid id,
                                   const struct publisher_config *publisher);

#endif
