/* questions.h - asks the token system and the validators what they know of many payments
 *
 * At most QUESTIONS_AT_ONCE are under way. Each has the deadline of its provider (tokens.timeout_ms, pop.timeout_ms), all of
 * them one that the caller sets. A question that stays without an answer is asked once more; who leaves SILENT_IN_A_ROW
 * of them unanswered is not asked any more, so that one dead provider costs seconds and not the night.
 */
#ifndef ACQUIT_WORKERS_OPERATOR_QUESTIONS_H
#define ACQUIT_WORKERS_OPERATOR_QUESTIONS_H

#include "config/config.h"
#include "workers/operator/agreement.h"

enum {
    QUESTIONS_AT_ONCE = 32, /* HTTP requests under way */
    QUESTION_TRIES = 2,     /* of one question */
    SILENT_IN_A_ROW = 8,    /* questions, after which a provider is given up for this run */
};

/* One payment to ask about. */
struct dual_case {
    struct facts facts;
    struct payment payment;
    bool folded; /* else nothing is asked about it */
    struct dual_told told;
};

struct questions;
/* Who is asked follows from the settings: ERR_CONFIG when neither tokens.url nor validators are there. */
struct questions *questions_new(const struct config *config, struct err *err) MUST_CHECK;
void questions_free(struct questions *questions); /* accepts NULL */

/* Fills `told` of every case that was folded, in any order; what is not answered when the monotonic clock says until_ms is
 * not known, and says why. Cases may be NULL. -1: the loop is broken. */
int questions_ask(struct questions *questions, struct dual_case **cases, size_t count, int64_t until_ms,
                  struct err *err) MUST_CHECK;
/* How many were asked so far, repeats included. */
int64_t questions_asked(const struct questions *questions);

#endif
