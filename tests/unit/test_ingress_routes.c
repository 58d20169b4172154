/* test_ingress_routes.c - workers/ingress/routes: which endpoint a request is for */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "workers/ingress/routes.h"

#define ID "tx_00112233445566778899aabbccddeeff"

static const struct {
    const char *method, *path;
    enum route_verdict verdict;
    enum endpoint endpoint; /* ROUTE_FOUND */
    const char *text;       /* the id, or what Allow says */
} ROWS[] = {
    {"POST", "/api/payments/process", ROUTE_FOUND, ENDPOINT_PAYMENT_CREATE, ""},
    {"POST", "/api/payments", ROUTE_FOUND, ENDPOINT_PAYMENT_CREATE, ""},
    {"GET", "/api/payments", ROUTE_FOUND, ENDPOINT_PAYMENT_LIST, ""},
    {"HEAD", "/api/payments", ROUTE_FOUND, ENDPOINT_PAYMENT_LIST, ""},
    {"GET", "/api/payments/" ID, ROUTE_FOUND, ENDPOINT_PAYMENT_SHOW, ID},
    {"GET", "/api/payments/" ID "/status", ROUTE_FOUND, ENDPOINT_PAYMENT_STATUS, ID},
    {"GET", "/api/payments/status/" ID, ROUTE_FOUND, ENDPOINT_PAYMENT_STATUS, ID},
    {"GET", "/api/payments/" ID "/events", ROUTE_FOUND, ENDPOINT_PAYMENT_EVENTS, ID},
    {"POST", "/api/payments/" ID "/cancel", ROUTE_FOUND, ENDPOINT_PAYMENT_CANCEL, ID},
    {"POST", "/api/refunds/create", ROUTE_FOUND, ENDPOINT_REFUND_CREATE, ""},
    {"GET", "/api/payments/refunds/rf_1", ROUTE_FOUND, ENDPOINT_REFUND_SHOW, "rf_1"},
    {"GET", "/health", ROUTE_FOUND, ENDPOINT_HEALTH, ""},
    {"GET", "/health/database", ROUTE_FOUND, ENDPOINT_HEALTH_DATABASE, ""},
    {"GET", "/health/gateways", ROUTE_FOUND, ENDPOINT_HEALTH_GATEWAYS, ""},
    {"GET", "/health/providers", ROUTE_FOUND, ENDPOINT_HEALTH_GATEWAYS, ""},
    {"GET", "/health/detailed", ROUTE_FOUND, ENDPOINT_HEALTH_DETAILED, ""},
    {"GET", "/openapi.json", ROUTE_FOUND, ENDPOINT_OPENAPI, ""},

    /* a literal segment wins over {id}, for every method */
    {"GET", "/api/payments/process", ROUTE_METHOD, 0, "POST"},
    {"GET", "/api/payments/status/events", ROUTE_FOUND, ENDPOINT_PAYMENT_STATUS, "events"},
    {"GET", "/api/payments/refunds/status", ROUTE_FOUND, ENDPOINT_REFUND_SHOW, "status"},

    {"DELETE", "/api/payments", ROUTE_METHOD, 0, "POST, GET, HEAD"},
    {"POST", "/health", ROUTE_METHOD, 0, "GET, HEAD"},
    {"HEAD", "/api/refunds/create", ROUTE_METHOD, 0, "POST"},
    {"get", "/health", ROUTE_METHOD, 0, "GET, HEAD"},

    {"GET", "", ROUTE_UNKNOWN, 0, NULL},
    {"GET", "/", ROUTE_UNKNOWN, 0, NULL},
    {"GET", "/nope", ROUTE_UNKNOWN, 0, NULL},
    {"GET", "/health/", ROUTE_UNKNOWN, 0, NULL},
    {"GET", "/healthy", ROUTE_UNKNOWN, 0, NULL},
    {"GET", "//health", ROUTE_UNKNOWN, 0, NULL},
    {"GET", "/api/payments/", ROUTE_UNKNOWN, 0, NULL},
    {"GET", "/api/payments//status", ROUTE_UNKNOWN, 0, NULL},
    {"GET", "/api/payments/" ID "/status/x", ROUTE_UNKNOWN, 0, NULL},
    {"GET", "/api/payments/" ID ID ID, ROUTE_UNKNOWN, 0, NULL}, /* longer than any id of ours */
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct route_match match;
        enum route_verdict verdict = route_find(ROWS[i].method, ROWS[i].path, &match);
        if (verdict != ROWS[i].verdict)
            fail_msg("%s %s: verdict %d", ROWS[i].method, ROWS[i].path, verdict);
        if (verdict == ROUTE_FOUND) {
            assert_int_equal(match.route->endpoint, ROWS[i].endpoint);
            assert_string_equal(match.id, ROWS[i].text);
        }
        if (verdict == ROUTE_METHOD)
            assert_string_equal(match.allow, ROWS[i].text);
    }
}

/* A row behind another one that fits everything it fits would never be found. */
static void test_every_row_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < route_count(); i++) {
        const struct route *route = route_at(i);
        struct route_match match;
        assert_int_equal(route_find(route->method, route->path, &match), ROUTE_FOUND);
        assert_ptr_equal(match.route, route);
    }
}

static void test_every_endpoint_has_one_documented_path(void **state)
{
    (void)state;
    int documented[ENDPOINT_COUNT] = {0};
    for (size_t i = 0; i < route_count(); i++)
        documented[route_at(i)->endpoint] += !route_at(i)->alias;
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        assert_int_equal(documented[i], 1);
}

static void test_only_health_and_description_are_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < route_count(); i++)
        assert_int_equal(route_at(i)->open, strncmp(route_at(i)->path, "/api/", 5) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_every_row_is_found),
        cmocka_unit_test(test_every_endpoint_has_one_documented_path),
        cmocka_unit_test(test_only_health_and_description_are_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
