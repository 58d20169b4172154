/* web.c - what is behind HTTP, in the place of common/http.c: the doors are found by their host */
#include <stdlib.h>
#include <string.h>

#include "common/http.h"
#include "common/mem.h"
#include "tests/simulate/web.h"

struct http {
    struct loop *loop;
};

static const struct {
    const char *base;
    struct http_call *(*start)(const char *target, const struct http_request *request, struct web_caller caller);
} doors[] = {
    {"https://alpha.invalid", gateway_stripe_start},
};

struct http *http_new(struct loop *loop, struct err *err)
{
    (void)err;
    struct http *http = mem_new(1, sizeof *http);
    http->loop = loop;
    return http;
}

void http_free(struct http *http)
{
    free(http);
}

struct http_call *http_start(struct http *http, const struct http_request *request,
                             void (*done)(void *arg, const struct http_answer *answer), void *arg, struct err *err)
{
    (void)http;
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++)
        if (strncmp(request->url, doors[i].base, strlen(doors[i].base)) == 0)
            return doors[i].start(request->url + strlen(doors[i].base), request, (struct web_caller){done, arg});
    err_set(err, ERR_INVALID, "nobody lives at %s", request->url);
    return NULL;
}

void http_cancel(struct http_call *call)
{
    order_drop((struct order *)call);
}

const char *web_header(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < HTTP_HEADERS_MAX && request->headers[i].name; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return "";
}

void web_tell(struct order *order, struct web_caller *caller)
{
    struct http_answer answer = {
        .outcome = HTTP_ANSWERED, .body = "", .error = "", .request_id = "", .retry_after_s = -1};
    switch (order->end) {
    case ORDER_ANSWERED:
        answer.status = order->status;
        answer.body = order->body ? order->body : "";
        answer.replayed = order->replayed;
        break;
    case ORDER_BAD_GATEWAY:
        answer.status = 502;
        answer.body = "<html>502 Bad Gateway</html>";
        break;
    case ORDER_NOT_SENT:
        answer.outcome = HTTP_NOT_SENT;
        answer.error = "connection refused";
        break;
    case ORDER_TIMED_OUT:
        answer.outcome = HTTP_UNKNOWN;
        answer.error = "no answer";
        break;
    }
    answer.body_size = strlen(answer.body);
    coverage.http[answer.outcome != HTTP_ANSWERED ? (answer.outcome == HTTP_NOT_SENT ? 0 : 1) : answer.status / 100]++;
    coverage.http[6] += answer.replayed;
    struct web_caller kept = *caller;
    free(caller);
    order->owner = NULL;
    kept.done(kept.arg, &answer);
}
