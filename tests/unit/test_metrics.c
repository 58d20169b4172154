/* test_metrics.c - common/metrics: what Prometheus is given, and the bound on how much */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/metrics.h"

/* Does the exposition have this line, as a whole line? */
static void assert_line(const char *line)
{
    char *text = metrics_text(NULL), wanted[256];
    snprintf(wanted, sizeof wanted, "\n%s\n", line);
    char *whole = malloc(strlen(text) + 2);
    sprintf(whole, "\n%s", text);
    if (!strstr(whole, wanted))
        fail_msg("no line \"%s\" in:\n%s", line, text);
    free(whole);
    free(text);
}

static void test_counters(void **state)
{
    (void)state;
    assert_int_equal(metric_get("t_steps_total", NULL), 0);
    metric_add("t_steps_total", NULL, 1);
    metric_add("t_steps_total", NULL, 2);
    metric_add("t_steps_total", "type=\"a\"", 5);
    assert_int_equal(metric_get("t_steps_total", NULL), 3);
    assert_int_equal(metric_get("t_steps_total", "type=\"a\""), 5);
    assert_line("# TYPE t_steps_total counter");
    assert_line("t_steps_total 3");
    assert_line("t_steps_total{type=\"a\"} 5");
}

static void test_gauges(void **state)
{
    (void)state;
    metric_set("t_depth", "queue=\"q\"", 7);
    metric_add("t_depth", "queue=\"q\"", -9);
    assert_line("# TYPE t_depth gauge");
    assert_line("t_depth{queue=\"q\"} -2");
}

/* Names are copied: callers build labels on their stack. */
static void test_labels_are_copied(void **state)
{
    (void)state;
    char labels[32] = "n=\"1\"";
    metric_add("t_copied_total", labels, 1);
    memcpy(labels, "n=\"2\"", 6);
    metric_add("t_copied_total", labels, 1);
    assert_int_equal(metric_get("t_copied_total", "n=\"1\""), 1);
    assert_int_equal(metric_get("t_copied_total", "n=\"2\""), 1);
}

static void test_histogram(void **state)
{
    (void)state;
    static const int64_t observed[] = {-5, 0, 1, 2, 3, 60000, 60001};
    for (size_t i = 0; i < sizeof observed / sizeof observed[0]; i++)
        metric_observe_ms("t_call_seconds", "to=\"x\"", observed[i]);
    assert_line("# TYPE t_call_seconds histogram");
    assert_line("t_call_seconds_bucket{to=\"x\",le=\"0.001\"} 3");
    assert_line("t_call_seconds_bucket{to=\"x\",le=\"0.002\"} 4");
    assert_line("t_call_seconds_bucket{to=\"x\",le=\"0.005\"} 5");
    assert_line("t_call_seconds_bucket{to=\"x\",le=\"30\"} 5");
    assert_line("t_call_seconds_bucket{to=\"x\",le=\"60\"} 6");
    assert_line("t_call_seconds_bucket{to=\"x\",le=\"+Inf\"} 7");
    assert_line("t_call_seconds_sum{to=\"x\"} 120.007");
    assert_line("t_call_seconds_count{to=\"x\"} 7");
    assert_int_equal(metric_get("t_call_seconds", "to=\"x\""), 7);
    metric_observe_ms("t_bare_seconds", NULL, 5);
    assert_line("t_bare_seconds_bucket{le=\"0.005\"} 1");
    assert_line("t_bare_seconds_sum 0.005");
}

/* One TYPE line for each name, and all of a name's series after it: the format demands it. */
static void test_series_of_a_name_stand_together(void **state)
{
    (void)state;
    metric_add("t_b_total", "x=\"1\"", 1);
    metric_add("t_a_total", NULL, 1);
    metric_add("t_b_total", "x=\"2\"", 1);
    size_t size;
    char *text = metrics_text(&size);
    assert_int_equal(size, strlen(text));
    const char *type = strstr(text, "# TYPE t_b_total ");
    assert_non_null(type);
    assert_null(strstr(type + 1, "# TYPE t_b_total "));
    assert_non_null(strstr(text, "t_b_total{x=\"1\"} 1\nt_b_total{x=\"2\"} 1\n"));
    free(text);
}

static void test_two_kinds_under_one_name(void **state)
{
    (void)state;
    int64_t before = metric_get("acquit_metrics_dropped_total", NULL);
    metric_add("t_mixed", NULL, 1);
    metric_observe_ms("t_mixed", NULL, 5);
    assert_int_equal(metric_get("t_mixed", NULL), 1);
    assert_int_equal(metric_get("acquit_metrics_dropped_total", NULL), before + 1);
}

/* The last one: it fills the table. */
static void test_bound(void **state)
{
    (void)state;
    int64_t before = metric_get("acquit_metrics_dropped_total", NULL);
    char labels[32];
    for (int i = 0; i < METRICS_SERIES_MAX + 10; i++) {
        snprintf(labels, sizeof labels, "n=\"%d\"", i);
        metric_add("t_many_total", labels, 1);
    }
    int64_t dropped = metric_get("acquit_metrics_dropped_total", NULL) - before;
    assert_true(dropped >= 10);
    assert_int_equal(metric_get("t_many_total", "n=\"0\""), 1);
    assert_int_equal(metric_get("t_many_total", labels), 0);
    metric_add("t_steps_total", NULL, 1); /* a known series goes on */
    assert_int_equal(metric_get("t_steps_total", NULL), 4);
    char line[64];
    snprintf(line, sizeof line, "acquit_metrics_dropped_total %d", (int)(before + dropped));
    assert_line(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_gauges),
        cmocka_unit_test(test_labels_are_copied),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_series_of_a_name_stand_together),
        cmocka_unit_test(test_two_kinds_under_one_name),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
