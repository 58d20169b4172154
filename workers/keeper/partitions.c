/* partitions.c - see partitions.h */
#include "workers/keeper/partitions.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "ledger/partitions.h"

enum {
    DAY_MS = 24 * 60 * 60 * 1000,
    RETRY_MS = 60 * 1000, /* after a failure */
};

struct partitions {
    struct loop_source *timer;
    struct db *db;
    int64_t until_ms; /* wall clock: days up to then have their partitions; 0: not known */
};

static void complain(const char *what, const struct err *err)
{
    metric_add("acquit_keeper_errors_total", NULL, 1);
    log_warn("%s: %s", what, err->text);
}

/* Also when none could be made: how many days are left is what somebody has to know then. */
static bool look(struct partitions *partitions)
{
    struct err err = {0};
    int64_t days, now_ms = clock_wall_ms();
    if (partitions_left(partitions->db, &days, &err) != 0) {
        complain("partitions", &err);
        return false;
    }
    partitions->until_ms = now_ms - now_ms % DAY_MS + days * DAY_MS;
    if (days < PARTITIONS_SHORT_DAYS)
        log_error("the ledger has partitions for %" PRId64 " more days only: see `acquit doctor`", days);
    return true;
}

static void on_day(void *arg)
{
    struct partitions *partitions = arg;
    struct err err = {0};
    int made = partitions_add(partitions->db, &err);
    if (made < 0)
        complain("no partitions could be made", &err);
    else if (made > 0)
        log_info("made %d partitions", made);
    bool good = look(partitions) && made >= 0;
    loop_timer_set(partitions->timer, good ? DAY_MS : RETRY_MS);
}

struct partitions *partitions_new(struct loop *loop, struct db *db)
{
    struct partitions *partitions = mem_new(1, sizeof *partitions);
    partitions->db = db;
    partitions->timer = loop_timer(loop, 0, on_day, partitions);
    return partitions;
}

void partitions_free(struct partitions *partitions)
{
    if (!partitions)
        return;
    loop_source_free(partitions->timer);
    free(partitions);
}

void partitions_stop(struct partitions *partitions)
{
    loop_timer_set(partitions->timer, -1);
}

void partitions_measure(const struct partitions *partitions)
{
    int64_t left_ms = partitions->until_ms - clock_wall_ms();
    if (partitions->until_ms)
        metric_set("acquit_ledger_partition_days_left", NULL, left_ms > 0 ? (left_ms + DAY_MS - 1) / DAY_MS : 0);
}
