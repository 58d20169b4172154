/* stripe_keys.c - Stripe's idempotency keys: remembered answers, oldest first, pruned after 24 h of the twin's clock
 * */
#include "stripe_keys.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "clock.h"
#include "journal.h"
#include "map.h"

enum { PRINT_SIZE = 32 };

struct key {
    char *name;
    unsigned char print[PRINT_SIZE]; /* of the request it was first used with */
    int64_t created;                 /* twin's ms */
    bool in_use;
    bool kept;
    unsigned status;
    char *body;
    size_t size;
    char request[KEY_SIZE]; /* Request-Id of the first */
    struct key *older, *newer;
};

static struct map keys;
static struct key *oldest, *newest;
static size_t bytes;
static uint64_t evicted;

static int by_name_and_value(const void *a, const void *b)
{
    const struct form_pair *x = *(const struct form_pair *const *)a;
    const struct form_pair *y = *(const struct form_pair *const *)b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->value, y->value);
}

/* SHA-256 over method, path and parameters in the order of their names. */
static void print_of(const struct call *call, unsigned char print[PRINT_SIZE])
{
    const struct form_pair *sorted[LIMIT_FORM_PAIRS];
    for (size_t i = 0; i < call->form.count; i++)
        sorted[i] = &call->form.pairs[i];
    qsort(sorted, call->form.count, sizeof sorted[0], by_name_and_value);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool good = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(digest, call->method, strlen(call->method) + 1) == 1 &&
                EVP_DigestUpdate(digest, call->path, strlen(call->path) + 1) == 1;
    for (size_t i = 0; good && i < call->form.count; i++)
        good = EVP_DigestUpdate(digest, sorted[i]->name, strlen(sorted[i]->name) + 1) == 1 &&
               EVP_DigestUpdate(digest, sorted[i]->value, strlen(sorted[i]->value) + 1) == 1;
    if (!good || EVP_DigestFinal_ex(digest, print, NULL) != 1)
        abort();
    EVP_MD_CTX_free(digest);
}

static struct key *key_new(const char *name)
{
    struct key *key = memory_new(sizeof *key);
    key->name = text_dup(name);
    key->created = clock_ms(CLOCK_STRIPE);
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
    bytes -= key->size;
    free(key->name);
    free(key->body);
    free(key);
}

static bool expired(const struct key *key)
{
    return !key->in_use && clock_ms(CLOCK_STRIPE) - key->created >= (int64_t)LIMIT_KEY_LIFE_SECONDS * 1000;
}

/* Forgets what is old enough, from the oldest on, and what does not fit in memory any more. */
static void prune(void)
{
    while (oldest && expired(oldest))
        key_free(oldest);
    while (oldest && bytes > LIMIT_IDEM_BYTES && !oldest->in_use) {
        key_free(oldest);
        evicted++;
    }
}

static enum key_outcome replay(struct call *call, const struct key *key)
{
    answer_text(call, key->status, key->body, key->size);
    answer_header(call, "Idempotent-Replayed", "true");
    answer_header(call, "Original-Request", key->request);
    call->repeat = true;
    return KEY_REPLAY;
}

enum key_outcome stripe_key_begin(struct call *call)
{
    unsigned char print[PRINT_SIZE];
    if (!call->key[0])
        return KEY_NEW;
    prune();
    answer_header(call, "Idempotency-Key", call->key);
    print_of(call, print);
    struct key *key = map_get(&keys, call->key);
    if (key && expired(key)) {
        key_free(key);
        key = NULL;
    }
    if (key && memcmp(key->print, print, PRINT_SIZE) != 0)
        return KEY_OTHER;
    if (key && key->in_use)
        return KEY_IN_USE;
    if (key)
        return replay(call, key);
    key = key_new(call->key);
    memcpy(key->print, print, PRINT_SIZE);
    key->in_use = true;
    call->kept_key = key;
    return KEY_NEW;
}

static const char *request_id(const struct call *call)
{
    for (size_t i = 0; i < call->answer.header_count; i++) {
        if (strcmp(call->answer.headers[i].name, "Request-Id") == 0)
            return call->answer.headers[i].value;
    }
    return "";
}

static void note(const struct key *key)
{
    char print[2 * PRINT_SIZE + 2];
    if (!journal_on())
        return;
    text_hex(print, sizeof print, key->print, PRINT_SIZE);
    journal_note(json_pack("{s:s, s:s, s:s, s:I, s:I, s:s%, s:s}", "t", "stripe.key", "key", key->name, "print", print,
                           "createdMs", (json_int_t)key->created, "status", (json_int_t)key->status, "body", key->body,
                           key->size, "request", key->request));
}

void stripe_key_keep(struct call *call)
{
    struct key *key = call->kept_key;
    if (!key || key->kept)
        return;
    key->kept = true;
    key->status = call->answer.status;
    key->size = call->answer.size;
    key->body = text_dup_n(call->answer.body, call->answer.size);
    text_copy(key->request, sizeof key->request, request_id(call));
    bytes += key->size;
    note(key);
}

void stripe_key_done(struct call *call)
{
    struct key *key = call->kept_key;
    call->kept_key = NULL;
    if (!key)
        return;
    key->in_use = false;
    if (!key->kept)
        key_free(key);
}

uint64_t stripe_keys_evicted(void)
{
    return evicted;
}

bool stripe_apply_key(const json_t *record)
{
    unsigned char print[PRINT_SIZE];
    const char *name = json_string_value(json_object_get(record, "key"));
    const json_t *body = json_object_get(record, "body");
    if (!name || !json_is_string(body) ||
        !text_unhex(print, sizeof print, json_string_value(json_object_get(record, "print"))))
        return false;
    struct key *key = map_get(&keys, name);
    if (key)
        key_free(key); /* it had been pruned, and was used again */
    key = key_new(name);
    memcpy(key->print, print, PRINT_SIZE);
    key->created = json_integer_value(json_object_get(record, "createdMs"));
    key->kept = true;
    key->status = (unsigned)json_integer_value(json_object_get(record, "status"));
    key->size = json_string_length(body);
    key->body = text_dup_n(json_string_value(body), key->size);
    text_copy(key->request, sizeof key->request, json_string_value(json_object_get(record, "request")));
    bytes += key->size;
    return true;
}
