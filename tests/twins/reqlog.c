/* reqlog.c - what the twins were asked, and how it ended: a ring of the newest requests
 *
 * It is not in the state file: it tells of this run only.
 */
#include "reqlog.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

struct entry {
    uint64_t number; /* 0: never used */
    int64_t time;    /* real, Unix ms */
    int64_t took_ms; /* -1: not over yet */
    enum point at;
    enum fault_kind fault;
    unsigned validator;
    unsigned status; /* 0: none */
    bool repeat;
    char method[8];
    char payment[PAYMENT_SIZE];
    char *path;
    char *key; /* NULL: none */
};

static struct entry *ring;
static uint64_t last_number;

static struct entry *slot(uint64_t number)
{
    return &ring[number % LIMIT_LOG_ENTRIES];
}

void reqlog_open(struct call *call)
{
    if (!ring)
        ring = memory_new(LIMIT_LOG_ENTRIES * sizeof *ring);
    call->log_number = ++last_number;
    struct entry *entry = slot(call->log_number);
    free(entry->path);
    free(entry->key);
    *entry = (struct entry){.number = call->log_number,
                            .time = clock_real_ms(),
                            .took_ms = -1,
                            .at = call->route->at,
                            .fault = call->fault.kind,
                            .validator = call->validator,
                            .repeat = call->repeat};
    text_copy(entry->method, sizeof entry->method, call->method);
    text_copy(entry->payment, sizeof entry->payment, call->payment);
    entry->path = text_dup(call->path);
    entry->key = call->key[0] ? text_dup(call->key) : NULL;
}

void reqlog_close(const struct call *call, unsigned status)
{
    if (!ring || !call->log_number || slot(call->log_number)->number != call->log_number)
        return;
    struct entry *entry = slot(call->log_number);
    entry->status = status;
    entry->took_ms = clock_real_ms() - entry->time;
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *number_or_null(int64_t number, bool there)
{
    return there ? json_integer(number) : json_null();
}

static json_t *entry_json(const struct entry *e)
{
    char time[TIME_SIZE];
    text_time(time, e->time, true);
    json_t *item = json_pack("{s:I, s:s, s:s, s:s, s:s}", "number", (json_int_t)e->number, "at", point_name(e->at),
                             "time", time, "method", e->method, "path", e->path);
    json_object_set_new(item, "paymentId", text_or_null(e->payment));
    json_object_set_new(item, "validator", number_or_null(e->validator, e->validator != 0));
    json_object_set_new(item, "idempotencyKey", text_or_null(e->key));
    json_object_set_new(item, "status", number_or_null(e->status, e->status != 0));
    json_object_set_new(item, "fault", e->fault == FAULT_NONE ? json_null() : json_string(fault_name(e->fault)));
    json_object_set_new(item, "repeat", json_boolean(e->repeat));
    json_object_set_new(item, "tookMs", number_or_null(e->took_ms, e->took_ms >= 0));
    return item;
}

static bool wanted(const struct entry *e, const char *payment, enum point at)
{
    return e->number && (!payment || strcmp(e->payment, payment) == 0) && (at == POINT_NONE || e->at == at);
}

json_t *reqlog_list(const char *payment, enum point at, size_t limit, size_t *ret_total)
{
    json_t *list = json_array();
    size_t total = 0;
    uint64_t first = last_number > LIMIT_LOG_ENTRIES ? last_number - LIMIT_LOG_ENTRIES + 1 : 1;
    for (uint64_t n = first; n <= last_number; n++)
        total += wanted(slot(n), payment, at);
    size_t skip = total > limit ? total - limit : 0;
    for (uint64_t n = first; n <= last_number; n++) {
        if (!wanted(slot(n), payment, at))
            continue;
        if (skip)
            skip--;
        else
            json_array_append_new(list, entry_json(slot(n)));
    }
    *ret_total = total;
    return list;
}

uint64_t reqlog_dropped(void)
{
    return last_number > LIMIT_LOG_ENTRIES ? last_number - LIMIT_LOG_ENTRIES : 0;
}
