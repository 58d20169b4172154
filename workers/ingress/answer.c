/* answer.c - what the ingress answers: one envelope for success, one for failure */
#include "workers/ingress/answer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pan.h"

static const struct failure_kind kinds[] = {
#define X(id, http_status, text, sentence) [FAILURE_##id] = {.status = http_status, .code = text, .when = sentence},
    FAILURES(X)
#undef X
};
static_assert(sizeof kinds / sizeof kinds[0] == FAILURE_COUNT, "a kind for every failure");

const struct failure_kind *failure_kind(enum failure failure)
{
    return &kinds[failure];
}

struct answer answer_success(int status, const char *message, json_t *data)
{
    json_t *body = json_pack("{s:b, s:s}", "success", 1, "message", message);
    if (data)
        json_object_set_new(body, "data", data);
    return (struct answer){.status = status, .json = body};
}

struct answer answer_failure(enum failure failure, const char *fmt, ...)
{
    const struct failure_kind *kind = failure_kind(failure);
    char message[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    pan_mask(message, strlen(message)); /* L11: what is wrong may be a card number where an id should be */
    struct answer answer = {.status = kind->status};
    answer.json = json_pack("{s:b, s:s, s:s, s:s, s:[]}", "success", 0, "error", kind->code, "error_code", kind->code,
                            "message", message, "details");
    if (!answer.json) /* a message that is not UTF-8 */
        answer.json = json_pack("{s:b, s:s, s:s, s:s, s:[]}", "success", 0, "error", kind->code, "error_code",
                                kind->code, "message", kind->when, "details");
    if (kind->status == 503) {
        json_object_set_new(answer.json, "retryAfter", json_integer(RETRY_AFTER_S));
        answer_header(&answer, "Retry-After", "%d", RETRY_AFTER_S);
    }
    return answer;
}

struct answer answer_json(int status, json_t *json)
{
    return (struct answer){.status = status, .json = json};
}

struct answer answer_text(int status, const char *content_type, char *text)
{
    return (struct answer){.status = status, .text = text, .content_type = content_type};
}

void answer_detail(struct answer *answer, const char *field, const char *fmt, ...)
{
    char message[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    pan_mask(message, strlen(message));
    json_t *detail = json_pack("{s:s*, s:s}", "field", field, "message", message);
    if (detail)
        json_array_append_new(json_object_get(answer->json, "details"), detail);
}

void answer_detail_member(struct answer *answer, const char *name, const char *value)
{
    const json_t *details = json_object_get(answer->json, "details");
    size_t count = json_array_size(details);
    if (count && value && *value)
        json_object_set_new(json_array_get(details, count - 1), name, json_string(value));
}

void answer_invalid(struct answer *answer, const char *field, const char *fmt, ...)
{
    char message[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (!answer->status)
        *answer = answer_failure(FAILURE_VALIDATION, "%s: %s", field, message);
    answer_detail(answer, field, "%s", message);
}

void answer_header(struct answer *answer, const char *name, const char *fmt, ...)
{
    if (answer->header_count == ANSWER_HEADERS_MAX)
        log_panic("more than %d headers in one answer", ANSWER_HEADERS_MAX);
    struct answer_header *header = &answer->headers[answer->header_count++];
    va_list args;
    va_start(args, fmt);
    int value = vsnprintf(header->value, sizeof header->value, fmt, args);
    va_end(args);
    int length = snprintf(header->name, sizeof header->name, "%s", name);
    if (length >= (int)sizeof header->name || value >= (int)sizeof header->value)
        log_panic("header %s does not fit", name);
}

void answer_clear(struct answer *answer)
{
    json_decref(answer->json);
    free(answer->text);
    *answer = (struct answer){0};
}
