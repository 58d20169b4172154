/* metrics.c - counters, gauges and histograms, as Prometheus reads them
 *
 * Series live in one table that never shrinks; a hash of name and labels finds them. A name that ends in _total is a
 * counter, one that is observed a histogram, any other a gauge. Use under two kinds is our mistake and counted as
 * dropped rather than shown wrongly.
 */
#include "common/metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"

#define DROPPED "acquit_metrics_dropped_total"

enum { SLOTS = 2 * METRICS_SERIES_MAX }; /* of the hash table; a power of two */

static const struct {
    int64_t ms;
    const char *text; /* seconds, as the label says it */
} buckets[] = {
    {1, "0.001"}, {2, "0.002"}, {5, "0.005"}, {10, "0.01"}, {25, "0.025"}, {50, "0.05"},  {100, "0.1"},  {250, "0.25"},
    {500, "0.5"}, {1000, "1"},  {2000, "2"},  {5000, "5"},  {10000, "10"}, {30000, "30"}, {60000, "60"},
};
enum { BUCKETS = sizeof buckets / sizeof buckets[0] };

enum kind { COUNTER, GAUGE, HISTOGRAM };
static const char *const kind_names[] = {[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};

struct series {
    char *name, *labels; /* labels: "" when none */
    enum kind kind;
    int64_t value;           /* counter, gauge; histogram: number of observations */
    int64_t sum_ms;          /* histogram */
    int64_t counts[BUCKETS]; /* histogram: observations in this bucket alone */
};

static struct series *all[METRICS_SERIES_MAX]; /* in order of first use */
static size_t all_count;
static struct series *slots[SLOTS];
static int64_t dropped;

static uint64_t hash_text(uint64_t hash, const char *text) /* FNV-1a */
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return (hash ^ 0xff) * 0x100000001b3u; /* "ab" + "c" is not "a" + "bc" */
}

static struct series **slot_of(const char *name, const char *labels)
{
    uint64_t at = hash_text(hash_text(0xcbf29ce484222325u, name), labels);
    for (;; at++) {
        struct series **slot = &slots[at % SLOTS];
        if (!*slot || (strcmp((*slot)->name, name) == 0 && strcmp((*slot)->labels, labels) == 0))
            return slot;
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* The series, made at its first use. NULL, and counted, when there are too many or it is of another kind. */
static struct series *series(const char *name, const char *labels, bool observed)
{
    enum kind kind = observed ? HISTOGRAM : ends_with(name, "_total") ? COUNTER : GAUGE;
    labels = labels ? labels : "";
    struct series **slot = slot_of(name, labels);
    if (!*slot && all_count < METRICS_SERIES_MAX) {
        struct series *new = mem_new(1, sizeof *new);
        new->name = mem_text(name);
        new->labels = mem_text(labels);
        new->kind = kind;
        *slot = all[all_count++] = new;
    }
    if (*slot && (*slot)->kind == kind)
        return *slot;
    dropped++;
    return NULL;
}

void metric_add(const char *name, const char *labels, int64_t n)
{
    struct series *s = series(name, labels, false);
    if (s && __builtin_add_overflow(s->value, n, &s->value))
        s->value = 0; /* readers take a smaller value for a restart */
}

void metric_set(const char *name, const char *labels, int64_t value)
{
    struct series *s = series(name, labels, false);
    if (s)
        s->value = value;
}

void metric_observe_ms(const char *name, const char *labels, int64_t ms)
{
    struct series *s = series(name, labels, true);
    if (!s)
        return;
    if (ms < 0)
        ms = 0;
    s->value++;
    if (__builtin_add_overflow(s->sum_ms, ms, &s->sum_ms))
        s->sum_ms = 0;
    for (int i = 0; i < BUCKETS; i++)
        if (ms <= buckets[i].ms) {
            s->counts[i]++;
            return;
        }
}

int64_t metric_get(const char *name, const char *labels)
{
    if (strcmp(name, DROPPED) == 0)
        return dropped;
    const struct series *s = *slot_of(name, labels ? labels : "");
    return s ? s->value : 0;
}

static int by_name(const void *a, const void *b)
{
    const struct series *x = *(struct series *const *)a, *y = *(struct series *const *)b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->labels, y->labels);
}

/* One line; `extra` is a further label or "". */
static void sample(FILE *out, const struct series *s, const char *suffix, const char *extra)
{
    fprintf(out, "%s%s", s->name, suffix);
    const char *comma = *s->labels && *extra ? "," : "";
    if (*s->labels || *extra)
        fprintf(out, "{%s%s%s}", s->labels, comma, extra);
    fputc(' ', out);
}

static void histogram(FILE *out, const struct series *s)
{
    int64_t up_to = 0;
    for (int i = 0; i < BUCKETS; i++) {
        char le[32];
        snprintf(le, sizeof le, "le=\"%s\"", buckets[i].text);
        up_to += s->counts[i];
        sample(out, s, "_bucket", le);
        fprintf(out, "%" PRId64 "\n", up_to);
    }
    sample(out, s, "_bucket", "le=\"+Inf\"");
    fprintf(out, "%" PRId64 "\n", s->value);
    sample(out, s, "_sum", "");
    fprintf(out, "%" PRId64 ".%03" PRId64 "\n", s->sum_ms / 1000, s->sum_ms % 1000);
    sample(out, s, "_count", "");
    fprintf(out, "%" PRId64 "\n", s->value);
}

char *metrics_text(size_t *ret_size)
{
    struct series *sorted[METRICS_SERIES_MAX];
    memcpy(sorted, all, sizeof sorted);
    qsort(sorted, all_count, sizeof(struct series *), by_name);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        log_panic("out of memory for metrics");
    for (size_t i = 0; i < all_count; i++) {
        const struct series *s = sorted[i];
        if (i == 0 || strcmp(sorted[i - 1]->name, s->name) != 0)
            fprintf(out, "# TYPE %s %s\n", s->name, kind_names[s->kind]);
        if (s->kind == HISTOGRAM) {
            histogram(out, s);
        } else {
            sample(out, s, "", "");
            fprintf(out, "%" PRId64 "\n", s->value);
        }
    }
    fprintf(out, "# TYPE " DROPPED " counter\n" DROPPED " %" PRId64 "\n", dropped);
    if (fclose(out) != 0)
        log_panic("out of memory for metrics");
    if (ret_size)
        *ret_size = size;
    return text;
}
