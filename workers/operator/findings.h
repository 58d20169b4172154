/* findings.h - what `acquit doctor` finds, and how it judges what it was told (pure)
 *
 * A list of findings is a JSON array of {"check","state":"ok"|"warning"|"problem","detail","remedy"}; remedy only where
 * one is needed.
 */
#ifndef ACQUIT_WORKERS_OPERATOR_FINDINGS_H
#define ACQUIT_WORKERS_OPERATOR_FINDINGS_H

#include <jansson.h>
#include <stdio.h>

#include "common/err.h"
#include "ledger/saga.h"

enum health { HEALTH_OK, HEALTH_WARNING, HEALTH_PROBLEM };
enum { SKEW_MOST_MS = 2000, DIFFERENCES_SHOWN = 10 };

/* `remedy` is said unless the health is ok. */
void finding_add(json_t *findings, const char *check, enum health health, const char *remedy, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
bool findings_good(const json_t *findings); /* no problem; warnings are good enough */
void findings_print(const json_t *findings, FILE *out);

/* The database said `database_ms` between our `before_ms` and `after_ms`. */
void judge_clock(json_t *findings, int64_t before_ms, int64_t database_ms, int64_t after_ms);
/* What the role that this command uses may do with ledger.event. */
void judge_role(json_t *findings, const char *role, bool reads, bool inserts, bool owns);
/* From today on, so many days have their partitions in the ledger. */
void judge_partitions(json_t *findings, int64_t days);
/* Differences of topology_check(). */
void judge_topology(json_t *findings, const json_t *differences);
/* Queues as the management API lists them: consumers of the work queues, dead letters that nobody takes. The workers of
 * the flow dual are missed only where it is `dual`. */
void judge_queues(json_t *findings, const json_t *queues, bool dual);
/* As read_trial_balance(). */
void judge_balance(json_t *findings, const json_t *balances);
/* As cases_read(), the oldest first. */
void judge_cases(json_t *findings, const json_t *cases);
/* As transit_judge() leaves them. */
void judge_transit(json_t *findings, const json_t *rows);
/* Something is due, and nothing has happened for that long. */
bool stands_still(const struct facts *facts, const struct payment *payment, int64_t stand_still_ms, int64_t now_ms);

#endif
