/* own.h - a payment of the asking publisher, as the ledger has it, or as we remember it */
#ifndef ACQUIT_WORKERS_INGRESS_OWN_H
#define ACQUIT_WORKERS_INGRESS_OWN_H

#include "workers/ingress/ingress.h"

enum own_verdict {
    OWN_RECORDED, /* facts and payment are filled */
    OWN_ACCEPTED, /* accepted by this process, not recorded yet: `accepted` is filled */
    OWN_ARCHIVED, /* its facts are in an archive */
    OWN_UNKNOWN,  /* nobody's, or somebody else's: the two look the same */
    OWN_FAILED,   /* the ledger could not be read */
};
struct own {
    struct facts facts;
    struct payment payment;
    const struct accepted *accepted;
};

/* To be cleared with own_clear() in any case. */
enum own_verdict own_load(struct ingress *ingress, struct uuid payment, const struct publisher_config *publisher,
                          struct own *ret, struct err *err);
void own_clear(struct own *own);

/* Loads the payment that the path or a body names and answers 404, 410, 500 or 503 when it cannot be had. True: recorded or
 * accepted. */
bool own_or_answer(struct ingress *ingress, struct request *request, const char *id, struct own *ret);

bool is_owned(const struct payment *payment, const struct publisher_config *publisher);

#endif
