/* metrics.h - counters, gauges and histograms, as Prometheus reads them
 *
 * One static list per program; a metric is registered at its first use by address. Text format 0.0.4.
 */
#ifndef ACQUIT_COMMON_METRICS_H
#define ACQUIT_COMMON_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* Adds to / sets the series `name{labels}`. `labels` is NULL or like `type="authorize",result="ok"` (values already
 * escaped). At most METRICS_SERIES_MAX series a process; further ones are counted in acquit_metrics_dropped_total. */
enum { METRICS_SERIES_MAX = 512 };
void metric_add(const char *name, const char *labels, int64_t n);
void metric_set(const char *name, const char *labels, int64_t value);
/* Observes a duration in a histogram of seconds with buckets from 1 ms to 60 s. */
void metric_observe_ms(const char *name, const char *labels, int64_t ms);
int64_t metric_get(const char *name, const char *labels);

/* The whole exposition; free() it. */
char *metrics_text(size_t *ret_size);

#endif
