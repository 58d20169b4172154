/* test_route.c - which rule a payment meets, in which order its providers come, who is left out, and what is recorded */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/json.h"
#include "workers/breakers.h"
#include "workers/route.h"

static const char settings[] =
    "providers = ( { name = \"a\"; kind = \"simulated\"; }, { name = \"b\"; kind = \"simulated\"; },"
    " { name = \"c\"; kind = \"simulated\"; currencies = [ \"EUR\" ]; exposure_limit = [ \"EUR=500\", \"USD=0\" ]; } "
    ");\n"
    "publishers = ( { name = \"shop\"; }, { name = \"loyal\"; gateways = [ \"c\", \"b\" ]; } );\n"
    "routes = (\n"
    " { name = \"large\"; amount_from = 1000; amount_to = 2000; currencies = [ \"EUR\" ]; countries = [ \"DE\", \"AT\" "
    "];"
    "   methods = [ \"card\" ]; providers = [ \"a\", \"b\", \"c\" ]; order = \"cost\";"
    "   costs = [ \"a=0+20000\", \"b=10+10000\", \"c=15+7000\" ]; failover = [ \"declined\", \"absent\" ];"
    "   unavailable = \"refuse\"; },\n"
    " { name = \"shared\"; methods = [ \"wallet\" ]; providers = [ \"a\", \"b\", \"c\" ]; order = \"share\";"
    "   shares = [ \"a=30\", \"b=70\" ]; preferred = \"ignored\"; failover = [ \"none\" ]; },\n"
    " { name = \"strict\"; publishers = [ \"loyal\" ]; methods = [ \"mobile_money\" ]; providers = [ \"a\", \"b\" ];"
    "   preferred = \"only\"; },\n"
    " { name = \"listed\"; methods = [ \"bank_transfer\" ]; providers = [ \"b\", \"c\", \"a\" ]; }\n"
    ");\n";

static char path[] = "/tmp/acquit-route-XXXXXX";
static struct config *config;

static int load(void **state)
{
    (void)state;
    struct err err = {0};
    FILE *file = fdopen(mkstemp(path), "w");
    if (!file)
        return -1;
    setenv("ACQUIT_BROKER_URL", "amqp://a:b@127.0.0.1/x", 1);
    setenv("ACQUIT_LEDGER_URL", "postgresql:///x", 1);
    fputs(settings, file);
    fclose(file);
    config = config_load(path, &err);
    if (!config)
        print_error("%s\n", err.text);
    return config ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    config_free(config);
    return unlink(path);
}

/* The providers named in `arg`, separated by blanks, are closed to new payments; with a sign before it for exposure. */
static enum route_obstacle look(void *arg, const char *provider, const char *currency)
{
    (void)currency;
    const char *at = strstr(arg, provider);
    if (!at)
        return ROUTE_FREE;
    return at > (const char *)arg && at[-1] == '$' ? ROUTE_EXPOSURE : ROUTE_BREAKER_OPEN;
}

static void add_text(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used ? " " : "", more);
}

/* "rule: a b | b=breaker_open waits", as one text. */
static const char *chosen(struct route_request request, const char *wish, const char *closed, char ret[static 256])
{
    struct payment_route route;
    char closed_copy[32], item[64];
    snprintf(closed_copy, sizeof closed_copy, "%s", closed);
    json_auto_t *names = json_array();
    for (; *wish; wish++)
        json_array_append_new(names, json_stringn(wish, 1));
    request.wish = names;
    struct route_gate gate = {.look = look, .arg = closed_copy};
    route_choose(config, &request, *closed ? &gate : NULL, &route);
    snprintf(ret, 256, "%s:", route.rule ? route.rule->name : route_by_text(route.by));
    for (size_t i = 0; i < route.candidate_count; i++)
        add_text(ret, 256, route.candidates[i].provider);
    for (size_t i = 0; i < route.left_out_count; i++) {
        snprintf(item, sizeof item, "%s=%s", route.left_out[i].provider, route_obstacle_text(route.left_out[i].why));
        add_text(ret, 256, item);
    }
    if (route.waits)
        add_text(ret, 256, "waits");
    return ret;
}

static const struct {
    const char *what;
    int64_t amount;
    const char *currency, *country, *method, *publisher, *wish, *closed, *expected;
} rows[] = {
    {"by cost", 1000, "EUR", "DE", "card", "shop", "", "", "large: a b c"},
    {"another amount, another order", 1500, "EUR", "AT", "card", "shop", "", "", "large: b c a"},
    {"below the range", 999, "EUR", "DE", "card", "shop", "", "", "default: a"},
    {"at its end", 2000, "EUR", "DE", "card", "shop", "", "", "large: c b a"},
    {"above it", 2001, "EUR", "DE", "card", "shop", "", "", "default: a"},
    {"another currency", 1500, "USD", "DE", "card", "shop", "", "", "default: a"},
    {"another country", 1500, "EUR", "FR", "card", "shop", "", "", "default: a"},
    {"no country", 1500, "EUR", "", "card", "shop", "", "", "default: a"},
    {"the wish comes first", 1000, "EUR", "DE", "card", "shop", "c", "", "large: c a b"},
    {"in its order", 1000, "EUR", "DE", "card", "shop", "cb", "", "large: c b a"},
    {"an unknown wish is passed over", 1000, "EUR", "DE", "card", "shop", "x", "", "large: a b c"},
    {"the publisher's order is no wish", 1000, "EUR", "DE", "card", "loyal", "", "", "large: a b c"},
    {"the second without the first", 1000, "EUR", "DE", "card", "shop", "", "a", "large: b c a=breaker_open"},
    {"over the limit", 1000, "EUR", "DE", "card", "shop", "", "$a", "large: b c a=exposure_limit"},
    {"nobody", 1000, "EUR", "DE", "card", "shop", "", "a b c",
     "large: a b c a=breaker_open b=breaker_open c=breaker_open waits"},
    {"as listed, not in this currency", 5, "USD", "", "bank_transfer", "shop", "", "", "listed: b a c=currency"},
    {"only preferred ones", 5, "EUR", "", "mobile_money", "loyal", "b", "", "strict: b a=not_preferred"},
    {"preferred and not in the rule", 5, "EUR", "", "mobile_money", "loyal", "cb", "",
     "strict: b c=not_in_rule a=not_preferred"},
    {"only, and nothing preferred", 5, "EUR", "", "mobile_money", "loyal", "", "", "strict: a b"},
    {"another publisher", 5, "EUR", "", "mobile_money", "shop", "", "", "default: a"},
    {"no rule: the wish", 5, "EUR", "", "card", "loyal", "ba", "", "preferredGateways: b a"},
    {"no rule: the publisher's", 5, "EUR", "", "card", "loyal", "", "", "publisher: c b"},
    {"no rule, and closed", 5, "EUR", "", "card", "loyal", "", "c", "publisher: b c=breaker_open"},
    {"no rule, no provider in this currency", 5, "USD", "", "card", "shop", "c", "", "preferredGateways: c=currency"},
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        struct route_request request = {.amount = rows[i].amount,
                                        .currency = rows[i].currency,
                                        .country = rows[i].country,
                                        .method = rows[i].method,
                                        .publisher = config_publisher_find(config, rows[i].publisher)};
        if (strcmp(chosen(request, rows[i].wish, rows[i].closed, text), rows[i].expected) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", rows[i].what, text, rows[i].expected);
    }
}

static struct route_request wallet(uint32_t n)
{
    struct route_request request = {.amount = 5, .currency = "EUR", .country = "", .method = "wallet"};
    memcpy(request.payment.bytes, &n, sizeof n);
    return request;
}

/* 4000 payments: 30 of 100 within five standard deviations (145). */
static void test_shares_are_kept_and_the_same_for_the_same_payment(void **state)
{
    (void)state;
    int first[3] = {0};
    for (uint32_t n = 0; n < 4000; n++) {
        char text[256], again[256];
        chosen(wallet(n), "c", "", text); /* the wish is ignored */
        assert_string_equal(text, chosen(wallet(n), "", "", again));
        assert_true(strcmp(text, "shared: a b c") == 0 || strcmp(text, "shared: b a c") == 0);
        first[text[strlen("shared: ")] - 'a']++;
    }
    assert_in_range(first[0], 1200 - 145, 1200 + 145);
    assert_int_equal(first[0] + first[1], 4000);
}

static struct payment_route route_of(const char *method, int64_t amount, const char *closed)
{
    struct payment_route route;
    struct route_request request = {.amount = amount, .currency = "EUR", .country = "DE", .method = method};
    struct route_gate gate = {.look = look, .arg = (void *)(uintptr_t)closed};
    route_choose(config, &request, &gate, &route);
    return route;
}

static void test_the_reason_is_recorded(void **state)
{
    (void)state;
    struct payment_route route = route_of("card", 1000, "$b");
    json_auto_t *reason = route_reason(&route), *names = route_names(&route);
    json_auto_t *expected = json_loads("{\"by\": \"rule\", \"rule\": \"large\", \"order\": \"cost\","
                                       "\"failover\": [\"declined\", \"absent\"], \"refuses\": true,"
                                       "\"costs\": [20, 22], \"leftOut\": [\"b=exposure_limit\"]}",
                                       0, NULL);
    json_auto_t *expected_names = json_loads("[\"a\", \"c\"]", 0, NULL);
    assert_true(json_equal(names, expected_names));
    assert_true(json_equal(reason, expected));
    struct payment_route plain = route_of("card", 1, "");
    json_auto_t *short_reason = route_reason(&plain), *only_by = json_loads("{\"by\": \"default\"}", 0, NULL);
    assert_true(json_equal(short_reason, only_by));
}

static void test_what_fails_over(void **state)
{
    (void)state;
    static const enum failover all[] = {FAILOVER_DECLINED, FAILOVER_REFUSED, FAILOVER_CANCELLED, FAILOVER_ABSENT};
    static const struct {
        const char *method;
        int64_t amount;
        bool expected[4];
    } cases[] = {
        {"card", 1000, {true, false, false, true}},      /* as it says */
        {"wallet", 5, {false, false, false, false}},     /* none */
        {"bank_transfer", 5, {false, true, true, true}}, /* it says nothing */
        {"card", 5, {true, true, true, true}},           /* no rule */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct payment_route route = route_of(cases[i].method, cases[i].amount, "");
        json_auto_t *reason = route_reason(&route);
        for (size_t k = 0; k < 4; k++)
            assert_int_equal(route_fails_over(reason, all[k]), cases[i].expected[k]);
    }
    assert_true(route_fails_over(NULL, FAILOVER_DECLINED)); /* a fact of before there were rules */
}

static void test_exposure_above_a_limit(void **state)
{
    (void)state;
    const struct provider_config *c = config_provider_find(config, "c");
    json_auto_t *rows_of = json_loads("[{\"provider\": \"a\", \"currency\": \"EUR\", \"amount\": 9000},"
                                      "{\"provider\": \"c\", \"currency\": \"EUR\", \"amount\": 500},"
                                      "{\"provider\": \"c\", \"currency\": \"USD\", \"amount\": 1},"
                                      "{\"provider\": \"c\", \"currency\": \"GBP\", \"amount\": 7}]",
                                      0, NULL);
    assert_int_equal(exposure_above(c, "EUR", rows_of), 0);
    assert_int_equal(exposure_above(c, "USD", rows_of), 1);
    assert_int_equal(exposure_above(c, "GBP", rows_of), 0); /* no limit */
    assert_int_equal(exposure_above(config_provider_find(config, "a"), "EUR", rows_of), 0);
    assert_int_equal(exposure_above(c, "EUR", NULL), 0);
    json_object_set_new(json_array_get(rows_of, 1), "amount", json_integer(501));
    assert_int_equal(exposure_above(c, "EUR", rows_of), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_shares_are_kept_and_the_same_for_the_same_payment),
        cmocka_unit_test(test_the_reason_is_recorded),
        cmocka_unit_test(test_what_fails_over),
        cmocka_unit_test(test_exposure_above_a_limit),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
