/* projecting.c - see projecting.h */
#include "workers/keeper/projecting.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "ledger/projection.h"

enum { FAILURE_WAIT_MS = 2000 };

struct projecting {
    struct projecting_options options;
    struct loop_source *timer;
    bool stopped;
};

/* One round, then signals, sockets and the sealing get their turn. 1: there is more to do; 0: no more; -1: failed. */
static int project_some(const struct projecting *projecting)
{
    struct err err = {0};
    int payments, facts = projection_keep(projecting->options.db, &payments, &err);
    if (facts < 0) {
        metric_add("acquit_keeper_errors_total", NULL, 1);
        log_warn("projections: %s", err.text);
        return -1;
    }
    metric_add("acquit_projected_facts_total", NULL, facts);
    metric_add("acquit_projected_payments_total", NULL, payments);
    return facts == PROJECTION_FACTS_MAX;
}

static int64_t failure_wait_ms(const struct projecting *projecting)
{
    int64_t interval_ms = projecting->options.interval_ms;
    return interval_ms > FAILURE_WAIT_MS ? interval_ms : FAILURE_WAIT_MS;
}

static void on_turn(void *arg)
{
    struct projecting *projecting = arg;
    if (projecting->stopped)
        return;
    int more = project_some(projecting);
    loop_timer_set(projecting->timer, more < 0   ? failure_wait_ms(projecting)
                                      : more > 0 ? 0
                                                 : projecting->options.interval_ms);
}

void projecting_measure(const struct projecting *projecting)
{
    struct err err = {0};
    int64_t lag_ms = projection_lag_ms(projecting->options.db, &err);
    if (lag_ms >= 0)
        metric_set("acquit_projection_lag_milliseconds", NULL, lag_ms);
    else
        log_warn("the projections' lag cannot be measured: %s", err.text);
}

struct projecting *projecting_new(const struct projecting_options *options)
{
    struct projecting *projecting = mem_new(1, sizeof *projecting);
    projecting->options = *options;
    projecting->timer = loop_timer(options->loop, 0, on_turn, projecting);
    return projecting;
}

void projecting_stop(struct projecting *projecting)
{
    projecting->stopped = true;
    loop_timer_set(projecting->timer, -1);
}

void projecting_free(struct projecting *projecting)
{
    if (!projecting)
        return;
    loop_source_free(projecting->timer);
    free(projecting);
}
