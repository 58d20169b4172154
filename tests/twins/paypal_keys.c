/* paypal_keys.c - PayPal-Request-Ids: remembered answers, oldest first, forgotten after 45 days of the twin's clock */
#include "paypal_keys.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "faults.h"
#include "journal.h"
#include "map.h"

enum { NAME_SIZE = KEY_SIZE + 32 };

struct key {
    char name[NAME_SIZE]; /* "paypal.capture ID" */
    char *request;        /* path and body it was first used with */
    int64_t created;      /* twin's ms */
    bool in_use, kept;
    unsigned status;
    char *body;
    size_t size;
    struct key *older, *newer;
};

static struct map keys;
static struct key *oldest, *newest;

static char *request_of(const struct call *call)
{
    size_t size = strlen(call->path) + call->raw_size + 2;
    char *text = memory_new(size);
    text_print(text, size, "%s %.*s", call->path, (int)call->raw_size, call->raw ? call->raw : "");
    return text;
}

static struct key *key_new(const char *name)
{
    struct key *key = memory_new(sizeof *key);
    text_copy(key->name, sizeof key->name, name);
    key->created = clock_ms(CLOCK_PAYPAL);
    key->older = newest;
    if (newest)
        newest->newer = key;
    else
        oldest = key;
    newest = key;
    map_put(&keys, key->name, key);
    return key;
}

static void key_free(struct key *key)
{
    if (key->older)
        key->older->newer = key->newer;
    else
        oldest = key->newer;
    if (key->newer)
        key->newer->older = key->older;
    else
        newest = key->older;
    map_remove(&keys, key->name);
    free(key->request);
    free(key->body);
    free(key);
}

static bool is_expired(const struct key *key)
{
    return !key->in_use && clock_ms(CLOCK_PAYPAL) - key->created >= (int64_t)LIMIT_REQUEST_ID_LIFE_SECONDS * 1000;
}

static void prune(void)
{
    while (oldest && is_expired(oldest))
        key_free(oldest);
}

static enum paypal_key_outcome replay(struct call *call, const struct key *key)
{
    answer_text(call, key->status, key->body, key->size);
    call->repeat = true;
    return PAYPAL_KEY_REPLAY;
}

enum paypal_key_outcome paypal_key_begin(struct call *call)
{
    char name[NAME_SIZE];
    if (!call->key[0])
        return PAYPAL_KEY_NEW;
    prune();
    text_print(name, sizeof name, "%s %s", point_name(call->route->at), call->key);
    char *request = request_of(call);
    struct key *key = map_get(&keys, name);
    if (key) {
        bool same = strcmp(key->request, request) == 0;
        free(request);
        return !same ? PAYPAL_KEY_OTHER : key->in_use ? PAYPAL_KEY_IN_USE : replay(call, key);
    }
    if (keys.count >= LIMIT_RECORDS) {
        free(request);
        return PAYPAL_KEY_FULL;
    }
    key = key_new(name);
    key->request = request;
    key->in_use = true;
    call->kept_key = key;
    return PAYPAL_KEY_NEW;
}

static bool is_decision(const struct call *call)
{
    unsigned status = call->answer.status;
    bool waits = status == 422 && call->answer.body && strstr(call->answer.body, "PAYER_ACTION_REQUIRED");
    return status < 500 && status != 401 && status != 429 && !waits;
}

void paypal_key_keep(struct call *call)
{
    struct key *key = call->kept_key;
    if (!key || key->kept || !is_decision(call))
        return;
    key->kept = true;
    key->status = call->answer.status;
    key->size = call->answer.size;
    key->body = text_dup_n(call->answer.body ? call->answer.body : "", call->answer.size);
    if (journal_on())
        journal_note(json_pack("{s:s, s:s, s:s, s:I, s:I, s:s%}", "t", "paypal.key", "key", key->name, "request",
                               key->request, "createdMs", (json_int_t)key->created, "status", (json_int_t)key->status,
                               "body", key->body, key->size));
}

void paypal_key_done(struct call *call)
{
    struct key *key = call->kept_key;
    call->kept_key = NULL;
    if (!key)
        return;
    key->in_use = false;
    if (!key->kept)
        key_free(key);
}

bool paypal_apply_key(const json_t *record)
{
    const char *name = json_string_value(json_object_get(record, "key"));
    const char *request = json_string_value(json_object_get(record, "request"));
    const json_t *body = json_object_get(record, "body");
    if (!name || !request || !json_is_string(body))
        return false;
    struct key *key = map_get(&keys, name);
    if (key)
        key_free(key); /* it had been forgotten, and was used again */
    key = key_new(name);
    key->request = text_dup(request);
    key->created = json_integer_value(json_object_get(record, "createdMs"));
    key->kept = true;
    key->status = (unsigned)json_integer_value(json_object_get(record, "status"));
    key->size = json_string_length(body);
    key->body = text_dup_n(json_string_value(body), key->size);
    return true;
}
