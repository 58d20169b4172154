/* cases.h - intents whose outcome no provider tells, and what a person may say of them
 *
 * A case is derived, never stored (L3): an intent with a doubt and without a result, older than a setting
 * (question.give_up_ms). Questions go on all the while; nothing fails because of its age.
 */
#ifndef ACQUIT_LEDGER_CASES_H
#define ACQUIT_LEDGER_CASES_H

#include "ledger/db.h"
#include "ledger/saga.h"

/* One intent of a payment that is in doubt. Pointers lead into the payment's facts. */
struct payment_case {
    struct slot intent;        /* SLOT_AUTH, SLOT_CAPTURE, SLOT_VOID or SLOT_REFUND, with its N */
    char name[SLOT_SIZE];      /* "auth:1", "capture" */
    char result[SLOT_SIZE];    /* the slot that its outcome fills: "auth:1:result", "capture" */
    int authorization;         /* N of the authorization whose provider is concerned */
    const json_t *body;        /* of the intent's fact, with "sendUntil"; NULL for a void, which may always be sent */
    const struct fact *answer; /* what fills the result, or NULL */
    const struct fact *doubt;  /* the last one */
    int doubts;
};

/* The case that `slot` names: by its intent, its result or one of its doubts. ERR_INVALID when it is no such slot,
 * ERR_NOT_FOUND when nothing is, or ever was, in doubt there. A case with an `answer` is closed. */
int case_find(const struct payment *payment, const char *slot, struct payment_case *ret, struct err *err) MUST_CHECK;

/* What a person may say: the outcome of the result's slot. `negative`: it says that nothing was done, which nobody can
 * know while the request may still be sent, or be on its way (L6). ERR_INVALID names what may be said. */
int case_outcome(const struct payment_case *found, const char *outcome, bool *ret_negative, struct err *err) MUST_CHECK;

/* Cases that are open for at least `age_ms`, the oldest first:
 * [{"paymentId","intent","slot","provider","amount","currency","since","ageMs","questions","lastAt","lastCode",
 * "lastMessage","publisher"}]. `provider` NULL: any. Read-only. NULL on failure. */
enum { CASES_LIMIT_MAX = 1000 };
json_t *cases_read(struct db *db, int64_t age_ms, const char *provider, int limit, struct err *err) MUST_CHECK;

#endif
