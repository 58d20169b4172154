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
    {"https://tokens.invalid", tokens_door_start},
    {"https://validator-", validator_door_start},
    {"https://shop.invalid", webhook_door_start},
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
    call->drop(call);
}

const char *web_header(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < HTTP_HEADERS_MAX && request->headers[i].name; i++)
        if (strcasecmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return "";
}

void web_tell(struct web_caller caller, enum web_end end, int status, const char *body, bool replayed)
{
    struct http_answer answer = {
        .outcome = HTTP_ANSWERED, .body = "", .error = "", .request_id = "", .retry_after_s = -1};
    switch (end) {
    case WEB_ANSWERED:
        answer.status = status;
        answer.body = body ? body : "";
        answer.replayed = replayed;
        break;
    case WEB_BAD_GATEWAY:
        answer.status = 502;
        answer.body = "<html>502 Bad Gateway</html>";
        break;
    case WEB_NOT_SENT:
        answer.outcome = HTTP_NOT_SENT;
        answer.error = "connection refused";
        break;
    case WEB_TIMED_OUT:
        answer.outcome = HTTP_UNKNOWN;
        answer.error = "no answer";
        break;
    }
    answer.body_size = strlen(answer.body);
    coverage.http[end == WEB_NOT_SENT ? 0 : end == WEB_TIMED_OUT ? 1 : answer.status / 100]++;
    coverage.http[6] += answer.replayed;
    caller.done(caller.arg, &answer);
}
