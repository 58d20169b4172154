/* watch.h - which payments the keeper keeps an eye on, and when each is worth a look
 *
 * Pure: no clock, no database, no broker. The set holds a few bytes per payment that is not finished, ordered by when
 * it is due; a payment leaves it once it has ended and nothing follows any more.
 */
#ifndef ACQUIT_WORKERS_KEEPER_WATCH_H
#define ACQUIT_WORKERS_KEEPER_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger/saga.h"

enum {
    WATCH_MAX = 1 << 20,            /* payments; more wait in the ledger until some have ended */
    WATCH_QUESTION_FACTOR = 4,      /* a question may be on its way for this many stand_still_ms */
    WATCH_QUESTIONS_FREQUENT = 100, /* after so many in vain they are rare */
    WATCH_QUESTION_RARE_MS = 2 * 3600000,
    WATCH_BACK_OFF_MAX_MS = 3600000, /* between two looks at a payment where nothing changes */
};

struct watched {
    struct uuid id;
    int64_t due_ms;   /* wall time */
    int64_t last_seq; /* of its newest fact when it was last looked at */
    int looks;        /* asked for since then, in vain */
};

/* The set. */
struct watch;
struct watch *watch_new(void);
void watch_free(struct watch *watch); /* accepts NULL */
size_t watch_count(const struct watch *watch);
/* False when WATCH_MAX are in it. */
bool watch_add(struct watch *watch, const struct watched *watched);
/* Takes out the one that is due first, if it is due by now. */
bool watch_take_due(struct watch *watch, int64_t now_ms, struct watched *ret);

enum watch_verdict {
    WATCH_FORGET, /* finished */
    WATCH_LATER,  /* nothing to do before due_ms */
    WATCH_LOOK,   /* stands still: payment.look */
    WATCH_EXPIRE, /* undecided past its deadline: payment.expire */
};
/* Judges a payment by its facts, and brings `watched` up to date for the next time. */
enum watch_verdict watch_judge(struct watched *watched, const struct facts *facts, const struct payment *payment,
                               int64_t stand_still_ms, int64_t now_ms);

#endif
