/* audit_report.h - what an audit of dual payments found, for people as it comes, for programs at the end
 *
 * At most `limit` differences and as many missing answers are said; all are counted.
 */
#ifndef ACQUIT_WORKERS_OPERATOR_AUDIT_REPORT_H
#define ACQUIT_WORKERS_OPERATOR_AUDIT_REPORT_H

#include <jansson.h>

#include "workers/operator/agreement.h"

struct audit_report {
    bool json, counting /* a progress line stands on the terminal */;
    int64_t limit;
    int64_t payments, open, in_flight;
    int64_t differences, unanswered;
    json_t *difference_rows, *unanswered_rows; /* for programs */
};

void audit_report_begin(struct audit_report *report, bool json, int64_t limit);
void audit_report_clear(struct audit_report *report);

/* On a terminal's standard error. */
void audit_report_progress(struct audit_report *report);
/* One payment: `told` NULL when nobody was asked about it. */
void audit_report_payment(struct audit_report *report, struct uuid id, const struct payment *payment,
                          const struct agreement *agreement, const struct dual_told *told);

/* How it ended. */
struct audit_end {
    int64_t asked;
    bool complete;  /* else the time was up, */
    int64_t next;   /* and --before NEXT goes on */
    int64_t looks;  /* payment.look confirmed by the broker */
    int64_t unsaid; /* and those that were not */
    bool looks_meant /* --look was given */;
};
void audit_report_end(struct audit_report *report, const struct audit_end *end);
/* 0, 1 when something differs, else 75 when something was not answered. */
int audit_report_code(const struct audit_report *report, const struct audit_end *end);

#endif
