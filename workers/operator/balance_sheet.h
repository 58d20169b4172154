/* balance_sheet.h - the sum that has to come out: published = settled + in flight + waiting + dead + discarded (pure)
 *
 * By command type and day. What the ledger has never heard of may be in the broker, which says how many messages it
 * has, not which: as many as it has may be there, any more are lost for certain.
 */
#ifndef ACQUIT_WORKERS_OPERATOR_BALANCE_SHEET_H
#define ACQUIT_WORKERS_OPERATOR_BALANCE_SHEET_H

#include <jansson.h>

#include "ledger/conserve.h"
#include "workers/operator/published.h"

enum { OUTSTANDING_MAX = 100000 }; /* commands that the ledger has not settled, kept by name */

struct outstanding {
    struct published published;
    enum fate fate;
};

struct sheet {
    json_t *rows; /* {"<day> <type>":{"type","day","published","settled","dead","discarded","replayed","absent"}} */
    struct outstanding *items;
    size_t count, capacity;
};

enum sum { SUM_RIGHT, SUM_OPEN /* may be in the broker */, SUM_WRONG };
const char *sum_text(enum sum sum);

void sheet_begin(struct sheet *sheet);
void sheet_clear(struct sheet *sheet);
/* Counts one published command; kept by name unless it is settled. ERR_LIMIT beyond OUTSTANDING_MAX. */
int sheet_add(struct sheet *sheet, const struct published *published, enum fate fate, struct err *err) MUST_CHECK;
/* A later look says that the i-th one has another fate now. Settled ones are kept until sheet_drop_settled(). */
void sheet_move(struct sheet *sheet, size_t i, enum fate fate);
void sheet_drop_settled(struct sheet *sheet);

/* `queues` as the management API lists them. Returns, owned by the caller,
 * {"sum","rows":[...],"queues":{"inFlight","waiting","dying"},"groups":[{"queue","outstanding","held","lost"}],
 *  "missing":[{"id","type","day","publisher","commandId","fate"}]}: `missing` are all that are neither settled, dead nor
 * discarded; of each group at least `lost` are in no queue. */
json_t *sheet_judge(const struct sheet *sheet, const json_t *queues, enum sum *ret_sum);

#endif
