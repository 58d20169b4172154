/* route.c - acquit route explain: where a payment would go, or why one went where it did
 *
 * For a payment there is, what its `received` fact recorded; else what the rules of this configuration say now. Breakers
 * are the workers' own (their metrics and logs tell): here they are closed, unless --open says otherwise. Exposure is
 * the ledger's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/money.h"
#include "ledger/read.h"
#include "workers/breakers.h"
#include "workers/operator/operator.h"
#include "workers/operator/table.h"
#include "workers/route.h"
#include "workers/steps.h"

const struct option_row route_explain_options[] = {
    {.name = "payment", .kind = OPTION_TEXT, .value = "ID", .sentence = "one there is: what was recorded of it"},
    {.name = "publisher", .kind = OPTION_TEXT, .value = "NAME", .sentence = "whose payment; needed without --payment"},
    {.name = "amount",
     .kind = OPTION_INT,
     .least = 1,
     .most = 9000000000000000,
     .value = "N",
     .sentence = "minor units; needed without --payment"},
    {.name = "currency", .kind = OPTION_TEXT, .value = "CODE", .sentence = "needed without --payment"},
    {.name = "country", .kind = OPTION_TEXT, .value = "CODE", .sentence = "of the customer (default: none)"},
    {.name = "method", .kind = OPTION_TEXT, .value = "NAME", .sentence = "card, ... (default: the publisher's)"},
    {.name = "prefer", .kind = OPTION_MANY, .value = "NAME", .sentence = "of preferredGateways, in order; repeatable"},
    {.name = "id", .kind = OPTION_TEXT, .value = "ID", .sentence = "its id, from which shares are drawn"},
    {.name = "open", .kind = OPTION_MANY, .value = "NAME", .sentence = "as if this breaker were open; repeatable"},
    {0},
};

/* --- what is asked --- */

struct question {
    struct op *op;
    json_t *in_doubt; /* rows of read_in_doubt(); NULL when no provider has a limit */
};

static bool said(const struct args *args, const char *option, const char *name)
{
    const char *value;
    for (size_t i = 0; (value = args_many(args, option, i)); i++)
        if (strcmp(value, name) == 0)
            return true;
    return false;
}

static enum route_obstacle look(void *arg, const char *provider, const char *currency)
{
    const struct question *question = arg;
    if (said(&question->op->args, "open", provider))
        return ROUTE_BREAKER_OPEN;
    const struct provider_config *config = config_provider_find(question->op->config, provider);
    return exposure_above(config, currency, question->in_doubt) > 0 ? ROUTE_EXPOSURE : ROUTE_FREE;
}

static int check_names(const struct op *op, const char *option, struct err *err)
{
    const char *name;
    for (size_t i = 0; (name = args_many(&op->args, option, i)); i++)
        if (!config_provider_find(op->config, name))
            return err_set(err, ERR_INVALID, "--%s: %s is no configured provider", option, name);
    return 0;
}

static int read_request(const struct op *op, struct route_request *ret, struct err *err)
{
    const struct args *args = &op->args;
    const char *publisher = args_text(args, "publisher", NULL), *id = args_text(args, "id", NULL);
    *ret = (struct route_request){.amount = args_int(args, "amount", 0),
                                  .currency = args_text(args, "currency", NULL),
                                  .country = args_text(args, "country", ""),
                                  .publisher = publisher ? config_publisher_find(op->config, publisher) : NULL};
    if (!publisher || ret->amount == 0 || !ret->currency)
        return err_set(err, ERR_INVALID, "give --payment, or --publisher, --amount and --currency");
    if (!ret->publisher)
        return err_set(err, ERR_INVALID, "--publisher: %s is not in the configuration", publisher);
    ret->method = args_text(args, "method", ret->publisher->payment_method);
    if (id && operator_payment_id(id, &ret->payment, err) != 0)
        return -1;
    return check_names(op, "prefer", err) != 0 || check_names(op, "open", err) != 0 ? -1 : 0;
}

static bool has_limits(const struct config *config)
{
    for (size_t i = 0; i < config_provider_count(config); i++)
        if (*config_provider(config, i)->limits[0].currency)
            return true;
    return false;
}

/* --- what is said --- */

static void print_candidates(const json_t *names, const json_t *reason, const char *currency)
{
    static const char *const headings[] = {">ORDER", "PROVIDER", ">COST", NULL};
    struct table *table = table_new(headings);
    const json_t *costs = json_object_get(reason, "costs");
    for (size_t i = 0; i < json_array_size(names); i++) {
        char order[24], cost[MONEY_TEXT_MAX] = "";
        snprintf(order, sizeof order, "%zu", i + 1);
        if (costs)
            money_format(json_integer_value(json_array_get(costs, i)), currency, cost);
        const char *cells[] = {order, json_string_value(json_array_get(names, i)), cost};
        table_row(table, cells);
    }
    table_print(table, "no provider", stdout);
    table_free(table);
}

static void print_list(const char *title, const json_t *names)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        printf("%s%s", i ? ", " : title, json_string_value(json_array_get(names, i)));
    if (json_array_size(names) > 0)
        putchar('\n');
}

static void print_route(const json_t *view)
{
    const json_t *reason = json_object_get(view, "route");
    const char *rule = json_text(reason, "rule", NULL);
    if (rule)
        printf("by rule %s, order %s\n", rule, json_text(reason, "order", "?"));
    else
        printf("by %s: no rule fits\n", json_text(reason, "by", "the list alone, from before there were rules"));
    print_candidates(json_object_get(view, "routes"), reason, json_text(view, "currency", ""));
    print_list("left out: ", json_object_get(reason, "leftOut"));
    const json_t *failover = json_object_get(reason, "failover");
    if (!failover)
        puts("after any negative answer the next is tried");
    else if (json_array_size(failover) == 0)
        puts("no other is tried");
    print_list("the next is tried after: ", failover);
    if (json_is_true(json_object_get(view, "waits")))
        puts(json_is_true(json_object_get(reason, "refuses"))
                 ? "none of them takes new payments now: it would be refused with NO_ROUTE"
                 : "none of them takes new payments now: it would wait until its deadline");
}

static void print_attempts(const json_t *attempts)
{
    static const char *const headings[] = {"AUTHORIZATION", "PROVIDER", "RESULT", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(attempts); i++) {
        const json_t *row = json_array_get(attempts, i);
        const char *cells[] = {json_text(row, "slot", ""), json_text(row, "provider", ""),
                               json_text(row, "result", "open")};
        table_row(table, cells);
    }
    puts("\nAuthorizations");
    table_print(table, "none", stdout);
    table_free(table);
}

static int say(const struct op *op, json_t *view)
{
    bool none = json_array_size(json_object_get(view, "routes")) == 0;
    int code = none || json_is_true(json_object_get(view, "waits")) ? EXIT_NO : 0;
    if (op->json) {
        operator_print(view);
        return code;
    }
    print_route(view);
    if (json_object_get(view, "attempts"))
        print_attempts(json_object_get(view, "attempts"));
    json_decref(view);
    return code;
}

/* --- a payment there is --- */

static json_t *attempts_of(const struct payment *payment)
{
    json_t *attempts = json_array();
    for (int n = 1; n <= payment->authorization_count; n++) {
        const struct fact *result = payment->authorizations[n].result;
        json_array_append_new(attempts,
                              json_pack("{s:s, s:s, s:s?}", "slot", payment->authorizations[n].intent->slot, "provider",
                                        authorization_provider(payment, n), "result", result ? result->outcome : NULL));
    }
    return attempts;
}

static json_t *recorded(const struct payment *payment)
{
    static const char *const members[] = {"amount", "currency", "country", "paymentMethod", "preferredGateways",
                                          "routes", "route"};
    const json_t *received = payment->received->body;
    json_t *view = json_object();
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (json_object_get(received, members[i]))
            json_object_set(view, members[i], json_object_get(received, members[i]));
    json_object_set_new(view, "attempts", attempts_of(payment));
    return view;
}

static int explain_payment(struct op *op, const char *text, struct err *err)
{
    struct uuid id;
    struct facts facts = {0};
    struct payment payment = {0};
    int code = -1;
    if (operator_payment_id(text, &id, err) < 0 || !operator_db(op, err))
        return -1;
    if (read_facts(op->db, &id, 1, &facts, err) == 0 && saga_fold(&facts, &payment, err) == 0)
        code = payment.received ? say(op, recorded(&payment)) : operator_no_payment(op, id, err);
    payment_clear(&payment);
    facts_clear(&facts);
    return code;
}

/* --- one there might be --- */

static json_t *wished(const struct args *args)
{
    const char *name;
    json_t *names = json_array();
    for (size_t i = 0; (name = args_many(args, "prefer", i)); i++)
        json_array_append_new(names, json_string(name));
    return names;
}

static json_t *worked_out(const struct config *config, const struct route_request *request,
                          const struct question *question)
{
    struct payment_route route;
    struct route_gate gate = {.look = look, .arg = (void *)(uintptr_t)question};
    route_choose(config, request, &gate, &route);
    return json_pack("{s:I, s:s, s:s, s:o, s:o, s:b}", "amount", (json_int_t)request->amount, "currency",
                     request->currency, "paymentMethod", request->method, "routes", route_names(&route), "route",
                     route_reason(&route), "waits", (int)route.waits);
}

int cmd_route_explain(struct op *op, struct err *err)
{
    const char *payment = args_text(&op->args, "payment", NULL);
    struct route_request request;
    struct question question = {.op = op};
    if (payment)
        return explain_payment(op, payment, err);
    if (read_request(op, &request, err) != 0)
        return -1;
    if (has_limits(op->config)) {
        question.in_doubt = operator_db(op, err) ? read_in_doubt(op->db, 0, err) : NULL;
        if (!question.in_doubt)
            return -1;
    }
    json_auto_t *wish = wished(&op->args);
    request.wish = wish;
    int code = say(op, worked_out(op->config, &request, &question));
    json_decref(question.in_doubt);
    return code;
}
