/* call.c - one request to a twin, apart from the connection it came on, and the answer to it */
#include "call.h"

#include <stdlib.h>
#include <string.h>

struct call *call_new(void)
{
    return memory_new(sizeof(struct call));
}

void call_free(struct call *call)
{
    if (!call)
        return;
    form_clear(&call->form);
    json_decref(call->json);
    free(call->raw);
    free(call->answer.body);
    free(call);
}

void answer_text(struct call *call, unsigned status, const char *body, size_t size)
{
    free(call->answer.body);
    call->answer.body = text_dup_n(body, size);
    call->answer.size = size;
    call->answer.status = status;
    call->answer.ready = true;
}

void answer_json(struct call *call, unsigned status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (!text)
        text = text_dup("{}");
    free(call->answer.body);
    call->answer.body = text;
    call->answer.size = strlen(text);
    call->answer.status = status;
    call->answer.ready = true;
}

void answer_header(struct call *call, const char *name, const char *value)
{
    struct answer *answer = &call->answer;
    size_t at = 0;
    while (at < answer->header_count && strcmp(answer->headers[at].name, name) != 0)
        at++;
    if (at == ANSWER_HEADERS)
        return;
    if (at == answer->header_count)
        answer->header_count++;
    text_copy(answer->headers[at].name, sizeof answer->headers[at].name, name);
    text_copy(answer->headers[at].value, sizeof answer->headers[at].value, value);
}

void answer_error(struct call *call, unsigned status, const char *what)
{
    answer_json(call, status, json_pack("{s:s}", "error", what));
}

bool call_has_bearer(const struct call *call, const char *key)
{
    if (!key)
        return true;
    return text_starts(call->authorization, "Bearer ") &&
           text_same_secret(call->authorization + strlen("Bearer "), key);
}

bool call_payment_arg(struct call *call, int arg)
{
    if (text_payment(call->payment, call->args[arg]))
        return true;
    answer_error(call, 404, "not_found");
    return false;
}
