/* openapi.c - the description of this interface (OpenAPI 3.1), made from what it really does
 *
 * Paths come from the route table, failures from the table of failures, bodies from the schemas of the commands, answers
 * from openapi_schemas.c, states from the saga.
 */
#include <assert.h>
#include <string.h>

#include "common/embed.h"
#include "common/json.h"
#include "common/log.h"
#include "workers/ingress/params.h"
#include "workers/ingress/ingress.h"
#include "workers/ingress/openapi_schemas.h"
#include "workers/program.h"

/* A parameter of some endpoints. `schema` is JSON. */
struct parameter {
    const char *place, *name, *schema, *sentence;
};

static const struct parameter key_parameter = {"header", "Idempotency-Key",
                                               "{\"type\":\"string\",\"minLength\":1,\"maxLength\":128}",
                                               "The same key with the same body is the same request, however often it "
                                               "is sent; with another body it is refused. Absent: "
                                               "a new one is made and returned in the answer."};
static const struct parameter prefer_parameter = {
    "header", "Prefer", "{\"type\":\"string\",\"examples\":[\"wait=2\"]}",
    "`wait=N`: wait up to N seconds for the end state; 202 with the state so far if it takes longer."};
static const struct parameter wait_parameter = {"query", "wait_ms", "{\"type\":\"integer\",\"minimum\":0}",
                                                "The same in milliseconds."};
static const struct parameter id_parameter = {"path", "id", "{\"type\":\"string\"}",
                                              "`tx_` (a refund: `rf_`) and 32 hex digits, or the plain UUID."};
static const struct parameter command_parameter = {
    "query", "command", "{\"type\":\"string\"}",
    "As in `statusUrl` of a 202: the answer is 409 once another body has won the Idempotency-Key."};
static const struct parameter list_parameters[] = {
    {"query", "limit", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":200,\"default\":20}", "How many at most."},
    {"query", "cursor", "{\"type\":\"string\"}", "`nextCursor` of the page before."},
    {"query", "currency", "{\"type\":\"string\"}", "ISO 4217."},
    {"query", "merchant", "{\"type\":\"string\"}", "Of this merchant only."},
    {"query", "gateway", "{\"type\":\"string\"}",
     "By this gateway only: of the captured attempt, else of the last one."},
    {"query", "from", "{\"type\":\"string\",\"examples\":[\"2026-11-20T10:00:00Z\",\"2026-11-20\"]}",
     "Received at or after: RFC 3339, or a day (UTC)."},
    {"query", "to", "{\"type\":\"string\",\"examples\":[\"2026-11-21\"]}", "Received before."},
    {"query", "referenceType", "{\"type\":\"string\"}", "About this kind of thing only."},
    {"query", "referenceId", "{\"type\":\"string\"}", "About this one only."},
};

static void add_parameter(json_t *list, const struct parameter *parameter)
{
    json_t *schema = json_loads(parameter->schema, 0, NULL);
    json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:o}", "in", parameter->place, "name", parameter->name,
                                          "required", strcmp(parameter->place, "path") == 0, "description",
                                          parameter->sentence, "schema", schema));
}

/* What its publisher may repeat under a key, and wait for. */
static bool is_command(const struct route *route)
{
    return strcmp(route->method, "POST") == 0 && route->endpoint != ENDPOINT_VOTE_RECEIVE;
}

static json_t *parameters_of(const struct route *route)
{
    json_t *list = json_array();
    if (strstr(route->path, "{id}"))
        add_parameter(list, &id_parameter);
    if (is_command(route)) {
        add_parameter(list, &key_parameter);
        add_parameter(list, &prefer_parameter);
        add_parameter(list, &wait_parameter);
    }
    if (route->endpoint == ENDPOINT_PAYMENT_STATUS)
        add_parameter(list, &command_parameter);
    if (route->endpoint == ENDPOINT_PAYMENT_LIST) {
        for (size_t i = 0; i < sizeof list_parameters / sizeof list_parameters[0]; i++)
            add_parameter(list, &list_parameters[i]);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:{s:s}}", "in", "query", "name", "state", "description",
                                              "In this state only.", "schema", "$ref", "#/components/schemas/State"));
    }
    return list;
}

/* The command whose schema the body has, or NULL. */
static const char *body_schema(enum endpoint endpoint)
{
    switch (endpoint) {
    case ENDPOINT_PAYMENT_CREATE:
        return "payment.create";
    case ENDPOINT_PAYMENT_CANCEL:
        return "CancelRequest";
    case ENDPOINT_REFUND_CREATE:
        return "payment.refund";
    case ENDPOINT_VOTE_RECEIVE:
        return "Vote";
    default: /* all others take no body */
        return NULL;
    }
}

static json_t *reference(const char *schema)
{
    return json_pack("{s:s+}", "$ref", "#/components/schemas/", schema);
}

static json_t *content(const char *schema)
{
    return json_pack("{s:{s:o}}", "application/json", "schema", reference(schema));
}

static json_t *response(const char *description, const char *schema)
{
    return json_pack("{s:s, s:o}", "description", description, "content", content(schema));
}

static bool may_fail(const struct route *route, enum failure failure)
{
    bool vote = route->endpoint == ENDPOINT_VOTE_RECEIVE, command = is_command(route),
         one = strstr(route->path, "{id}") != NULL;
    bool refund = route->endpoint == ENDPOINT_REFUND_SHOW;
    switch (failure) {
    case FAILURE_VALIDATION:
        return command || vote || route->endpoint == ENDPOINT_PAYMENT_LIST ||
               route->endpoint == ENDPOINT_PAYMENT_STATUS;
    case FAILURE_JSON:
    case FAILURE_CARD_DATA:
    case FAILURE_TOO_LARGE:
    case FAILURE_MEDIA_TYPE:
        return command || vote;
    case FAILURE_KEY_CONFLICT:
        return command || route->endpoint == ENDPOINT_PAYMENT_STATUS;
    case FAILURE_GATEWAY:
    case FAILURE_FAILED:
        return route->endpoint == ENDPOINT_PAYMENT_CREATE;
    case FAILURE_UNAUTHORIZED:
        return !route->open;
    case FAILURE_SIGNATURE:
        return vote;
    case FAILURE_INTERNAL:
        return !route->open || route->endpoint == ENDPOINT_HEALTH_GATEWAYS;
    case FAILURE_NO_PAYMENT:
    case FAILURE_ARCHIVED:
        return (one && !refund) || route->endpoint == ENDPOINT_REFUND_CREATE;
    case FAILURE_NO_REFUND:
        return refund;
    case FAILURE_NOT_CANCELLABLE:
        return route->endpoint == ENDPOINT_PAYMENT_CANCEL;
    case FAILURE_NO_ROUTE:
    case FAILURE_METHOD:
        return false; /* of no path in particular */
    case FAILURE_UNAVAILABLE:
        return !route->open || vote || route->endpoint == ENDPOINT_HEALTH_GATEWAYS;
    }
    return false;
}

/* Several failures share a status: their sentences stand together. */
static void add_failure(json_t *responses, const struct failure_kind *kind)
{
    char status[8];
    snprintf(status, sizeof status, "%d", kind->status);
    const json_t *known = json_object_get(responses, status);
    json_t *text = known ? json_sprintf("%s; %s: %s", json_text(known, "description", ""), kind->code, kind->when)
                         : json_sprintf("%s: %s", kind->code, kind->when);
    json_object_set_new(responses, status, response(json_string_value(text), "Failure"));
    json_decref(text);
}

static json_t *responses_of(const struct route *route)
{
    const char *answer = openapi_answer(route->endpoint);
    json_t *responses = json_object();
    if (route->endpoint == ENDPOINT_VOTE_RECEIVE)
        json_object_set_new(responses, "202", response("Queued for good.", answer));
    else
        json_object_set_new(responses, "200", response(route->summary, answer));
    if (is_command(route))
        json_object_set_new(responses, "202",
                            response("Queued for good; `data` has the state so far, Location where to ask.", answer));
    if (route->endpoint == ENDPOINT_HEALTH_DATABASE || route->endpoint == ENDPOINT_HEALTH_DETAILED)
        json_object_set_new(responses, "503", response("Something that is needed does not answer.", answer));
    for (int i = 0; i < FAILURE_COUNT; i++)
        if (may_fail(route, (enum failure)i))
            add_failure(responses, failure_kind((enum failure)i));
    return responses;
}

static const char *operation_id(enum endpoint endpoint)
{
    static const char *const ids[] = {
        [ENDPOINT_PAYMENT_CREATE] = "createPayment",     [ENDPOINT_PAYMENT_LIST] = "listPayments",
        [ENDPOINT_PAYMENT_SHOW] = "showPayment",         [ENDPOINT_PAYMENT_STATUS] = "showPaymentStatus",
        [ENDPOINT_PAYMENT_EVENTS] = "listPaymentEvents", [ENDPOINT_PAYMENT_CANCEL] = "cancelPayment",
        [ENDPOINT_REFUND_CREATE] = "createRefund",       [ENDPOINT_VOTE_RECEIVE] = "receiveVote",
        [ENDPOINT_REFUND_SHOW] = "showRefund",           [ENDPOINT_HEALTH] = "health",
        [ENDPOINT_HEALTH_DATABASE] = "healthOfDatabase", [ENDPOINT_HEALTH_GATEWAYS] = "healthOfGateways",
        [ENDPOINT_HEALTH_DETAILED] = "healthDetailed",   [ENDPOINT_OPENAPI] = "openapi",
    };
    static_assert(sizeof ids / sizeof ids[0] == ENDPOINT_COUNT, "an id for every endpoint");
    return ids[endpoint];
}

static json_t *operation_of(const struct route *route)
{
    json_t *operation =
        json_pack("{s:s+, s:s, s:o, s:o}", "operationId", operation_id(route->endpoint), route->alias ? "Alias" : "",
                  "summary", route->summary, "parameters", parameters_of(route), "responses", responses_of(route));
    const char *schema = body_schema(route->endpoint);
    if (schema)
        json_object_set_new(
            operation, "requestBody",
            json_pack("{s:b, s:o}", "required", route->body == BODY_REQUIRED, "content", content(schema)));
    if (route->open)
        json_object_set_new(operation, "security", json_array());
    return operation;
}

static json_t *paths(void)
{
    json_t *all = json_object();
    for (size_t i = 0; i < route_count(); i++) {
        const struct route *route = route_at(i);
        json_t *path = json_object_get(all, route->path);
        if (!path) {
            path = json_object();
            json_object_set_new(all, route->path, path);
        }
        json_object_set_new(path, strcmp(route->method, "GET") == 0 ? "get" : "post", operation_of(route));
    }
    return all;
}

/* The schema of a command, as it is checked. OpenAPI 3.1 takes JSON Schema 2020-12 as it is. */
static json_t *command_schema(const char *file)
{
    for (size_t i = 0; i < embedded_schema_count; i++)
        if (strcmp(embedded_schema[i].name, file) == 0) {
            json_t *schema = json_loadb(embedded_schema[i].data, embedded_schema[i].size, 0, NULL);
            json_object_del(schema, "$id"); /* another base would break the references of this document */
            return schema;
        }
    log_panic("no schema %s is built in", file);
}

/* As the command, but the payment stands in the path. */
static json_t *cancel_schema(void)
{
    json_t *schema = command_schema("payment.cancel.json");
    json_object_del(schema, "required");
    json_object_del(json_object_get(schema, "properties"), "paymentId");
    return schema;
}

/* What is signed, without the envelope that we put around it. */
static json_t *vote_schema(void)
{
    json_t *command = command_schema("pop.confirm.json");
    json_t *vote = json_incref(json_object_get(json_object_get(command, "properties"), "vote"));
    json_decref(command);
    return vote;
}

static json_t *schemas(void)
{
    json_t *all = openapi_schemas();
    json_object_set_new(all, "payment.create", command_schema("payment.create.json"));
    json_object_set_new(all, "payment.refund", command_schema("payment.refund.json"));
    json_object_set_new(all, "CancelRequest", cancel_schema());
    json_object_set_new(all, "Vote", vote_schema());
    return all;
}

static json_t *document(void)
{
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:[{s:[]}], s:o, s:{s:{s:{s:s, s:s}}, s:o}}", "openapi",
                     "3.1.0", "info", "title", "Acquit", "version", ACQUIT_VERSION, "description",
                     "Payment commands over HTTP: taken with a confirm, carried out by workers, told from the ledger. "
                     "Amounts are integers in minor units.",
                     "servers", "url", "/", "security", "apiKey", "paths", paths(), "components", "securitySchemes",
                     "apiKey", "type", "http", "scheme", "bearer", "schemas", schemas());
}

void openapi(struct ingress *ingress, struct request *request)
{
    if (!ingress->openapi)
        ingress->openapi = document();
    request_answer(request, answer_json(200, json_incref(ingress->openapi)));
}
