/* handlers.c - from a request to the function of its endpoint
 *
 * Everything that is the same for all endpoints is checked here, in this order: path, method, API key, content type,
 * JSON, card data.
 */
#include "workers/ingress/handlers.h"

#include <assert.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "queues/envelope.h"
#include "workers/ingress/params.h"

typedef void handler(struct ingress *ingress, struct request *request);

static handler *const handlers[] = {
    [ENDPOINT_PAYMENT_CREATE] = payment_create,   [ENDPOINT_PAYMENT_LIST] = payment_list,
    [ENDPOINT_PAYMENT_SHOW] = payment_show,       [ENDPOINT_PAYMENT_STATUS] = payment_status,
    [ENDPOINT_PAYMENT_EVENTS] = payment_events,   [ENDPOINT_PAYMENT_CANCEL] = payment_cancel,
    [ENDPOINT_REFUND_CREATE] = refund_create,     [ENDPOINT_VOTE_RECEIVE] = vote_receive,
    [ENDPOINT_REFUND_SHOW] = refund_show,         [ENDPOINT_HEALTH] = health,
    [ENDPOINT_HEALTH_DATABASE] = health_database, [ENDPOINT_HEALTH_GATEWAYS] = health_gateways,
    [ENDPOINT_HEALTH_DETAILED] = health_detailed, [ENDPOINT_OPENAPI] = openapi,
};
static_assert(sizeof handlers / sizeof handlers[0] == ENDPOINT_COUNT, "a handler for every endpoint");

const struct visit *visit_of(const struct request *request)
{
    return request_own(request);
}

static void refuse_method(struct request *request, const struct route_match *match)
{
    struct answer answer = answer_failure(FAILURE_METHOD, "%s does not take %s; use %s", request_path(request),
                                          request_method(request), match->allow);
    answer_header(&answer, "Allow", "%s", match->allow);
    request_answer(request, answer);
}

static void refuse_key(struct request *request, bool given)
{
    struct answer answer =
        given
            ? answer_failure(FAILURE_UNAUTHORIZED, "nobody here has this API key; check it, or have it entered in the "
                                                   "configuration (publishers: api_key_sha256)")
            : answer_failure(FAILURE_UNAUTHORIZED, "send your API key: `Authorization: Bearer KEY`");
    answer_header(&answer, "WWW-Authenticate", "Bearer");
    request_answer(request, answer);
}

static bool acceptable_type(const struct request *request, enum body_rule rule)
{
    const char *type = request_header(request, "Content-Type");
    if (rule == BODY_NONE || (rule == BODY_OPTIONAL && !type))
        return true;
    return params_is_json(type);
}

static void refuse_type(struct request *request)
{
    struct answer answer = answer_failure(FAILURE_MEDIA_TYPE, "send the body as `Content-Type: application/json`");
    answer_header(&answer, "Accept", "application/json");
    request_answer(request, answer);
}

void ingress_on_head(void *arg, struct request *request)
{
    struct ingress *ingress = arg;
    struct visit *visit = mem_new(1, sizeof *visit);
    request_set_own(request, visit);
    switch (route_find(request_method(request), request_path(request), &visit->match)) {
    case ROUTE_UNKNOWN:
        request_answer(request, answer_failure(FAILURE_NO_ROUTE, "no such path; /openapi.json lists all there are"));
        return;
    case ROUTE_METHOD:
        refuse_method(request, &visit->match);
        return;
    case ROUTE_FOUND:
        break;
    }
    const struct route *route = visit->match.route;
    const char *authorization = request_header(request, "Authorization");
    visit->publisher = route->open ? NULL : auth_publisher(ingress->auth, authorization);
    if (!route->open && !visit->publisher)
        refuse_key(request, authorization != NULL);
    else if (!acceptable_type(request, route->body))
        refuse_type(request);
}

void ingress_on_request(void *arg, struct request *request)
{
    handlers[visit_of(request)->match.route->endpoint](arg, request);
}

/* One line per request: what was asked and what became of it. Reading is everyday, what is refused or failed is worth a
 * look. */
static void log_request(const struct request *request, int status, int64_t elapsed_ms)
{
    const struct visit *visit = visit_of(request);
    enum log_level level = status >= 500                  ? LOG_WARN_LEVEL
                           : status == 0 || status >= 400 ? LOG_INFO_LEVEL
                                                          : LOG_DEBUG_LEVEL;
    log_at(level, "request method=%s path=%s publisher=%s status=%d ms=%lld", request_method(request),
           request_path(request), visit->publisher ? visit->publisher->name : "-", status, (long long)elapsed_ms);
}

void ingress_on_done(void *arg, struct request *request, int status)
{
    (void)arg;
    const struct route *route = visit_of(request)->match.route;
    int64_t elapsed_ms = clock_monotonic_ms() - request_started_ms(request);
    char labels[128];
    snprintf(labels, sizeof labels, "route=\"%s\",status=\"%d\"", route ? route->path : "none", status);
    metric_add("acquit_http_requests_total", labels, 1);
    snprintf(labels, sizeof labels, "route=\"%s\"", route ? route->path : "none");
    metric_observe_ms("acquit_http_request_seconds", labels, elapsed_ms);
    log_request(request, status, elapsed_ms);
}

static struct answer refuse_card(const char *field)
{
    struct answer answer =
        answer_failure(FAILURE_CARD_DATA,
                       "%s looks like card data, which must never travel here; send a paymentToken of your payment "
                       "provider instead. Nothing was taken or kept",
                       field);
    answer_detail(&answer, field, "looks like a card number or security code; send a paymentToken instead");
    return answer;
}

bool body_or_answer(struct request *request, json_t **ret)
{
    size_t size;
    const char *bytes = request_body(request, &size);
    bool optional = visit_of(request)->match.route->body == BODY_OPTIONAL;
    if (size && !request_header(request, "Content-Type")) {
        refuse_type(request);
        return false;
    }
    struct err err = {0};
    json_t *body = size == 0 && optional ? json_object() : json_decode(bytes, size, &err);
    char field[128];
    if (!body)
        request_answer(request,
                       answer_failure(FAILURE_JSON, "%s", size ? err.text : "send one JSON object as the body"));
    else if (!json_is_object(body))
        request_answer(request, answer_failure(FAILURE_JSON, "the body must be one JSON object, {...}"));
    else if (carries_card_number(body, field, sizeof field))
        request_answer(request, refuse_card(field));
    else {
        *ret = body;
        return true;
    }
    json_decref(body);
    return false;
}

struct answer check_body(const char *schema, const json_t *body)
{
    struct err err = {0};
    json_auto_t *details = json_array();
    if (schema_check(schema, body, details, &err) == 0)
        return (struct answer){0};
    struct answer answer = answer_failure(FAILURE_VALIDATION, "%s", err.text);
    json_object_set(answer.json, "details", details);
    return answer;
}

struct answer ledger_failure(const struct err *err)
{
    if (err->code == ERR_AGAIN || err->code == ERR_UNKNOWN) {
        log_warn("ledger: %s", err->text);
        return answer_failure(FAILURE_UNAVAILABLE, "the ledger does not answer; ask again later");
    }
    log_error("ledger: %s", err->text);
    return answer_failure(FAILURE_INTERNAL, "the record cannot be read; the operator finds the cause in the log");
}
