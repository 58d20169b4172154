/* answer.h - what the facts of a payment answer to a cancel or a refund (pure) */
#ifndef ACQUIT_WORKERS_OPERATOR_ANSWER_H
#define ACQUIT_WORKERS_OPERATOR_ANSWER_H

#include "common/err.h"
#include "ledger/saga.h"

enum answer_kind {
    ANSWER_NONE,    /* the facts do not know it */
    ANSWER_OPEN,    /* taken up, its end is not known yet */
    ANSWER_DONE,    /* it did what was asked */
    ANSWER_REFUSED, /* and never will be */
};
struct answer {
    enum answer_kind kind;
    int refund; /* N of refund:N, or 0 */
    char text[ERR_TEXT_MAX];
};

/* `type` is payment.cancel or payment.refund, `command` its id, `sha256` that of its body. Someone else's decision
 * answers a cancel, too; the same key with another body is refused (L10). */
void answer_of(const struct payment *payment, const char *type, struct uuid command, const char *sha256,
               struct answer *ret);

#endif
