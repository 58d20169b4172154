/* webhooks.c - a merchant who receives webhooks in the form of Standard Webhooks
 *
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: HMAC-SHA256 over
 * "id.timestamp.body". A delivery that does not verify is answered 401 and only counted. One that does is kept once
 * per webhook-id; repeats are counted, and so is a repeat whose body is another. It is found by the payment in
 * data.paymentId or data.transactionId.
 */
#include "webhooks.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "clock.h"
#include "journal.h"
#include "map.h"

enum { SECRET_SIZE = 128, MAC_SIZE = 32, TYPE_SIZE = 96 };

struct webhook {
    char id[128];
    char type[TYPE_SIZE];       /* "": none */
    char payment[PAYMENT_SIZE]; /* "": none */
    char receiver[ARG_SIZE];    /* what stood after /webhooks/ */
    char *body;                 /* of the first delivery, as text */
    int64_t first_at, last_at;  /* Unix ms */
    int64_t attempts;           /* verified deliveries, the first one too */
    int64_t differing;          /* of them, with another body */
    struct webhook *next;       /* in the order they came */
};

static unsigned char secret[SECRET_SIZE];
static size_t secret_size; /* 0: not checked */
static struct map webhooks;
static struct webhook *first, *last;
static size_t bytes;
static int64_t rejected; /* did not verify */

bool webhooks_configure(const char *given)
{
    if (!given)
        return true;
    return text_starts(given, "whsec_") && text_unbase64(given + strlen("whsec_"), secret, sizeof secret, &secret_size);
}

/* ---- verification ---- */

static void mac_of(const struct call *call, unsigned char mac[MAC_SIZE])
{
    unsigned size = MAC_SIZE;
    size_t head = strlen(call->webhook_id) + strlen(call->webhook_timestamp) + 2;
    size_t length = head + call->raw_size;
    char *text = memory_new(length + 1);
    text_print(text, head + 1, "%s.%s.", call->webhook_id, call->webhook_timestamp);
    if (call->raw_size)
        memcpy(text + head, call->raw, call->raw_size);
    if (!HMAC(EVP_sha256(), secret, (int)secret_size, (unsigned char *)text, length, mac, &size))
        abort();
    free(text);
}

/* Is one of the space-separated signatures "v1," and this MAC? */
static bool is_signed(const struct call *call)
{
    unsigned char expected[MAC_SIZE];
    unsigned char given[MAC_SIZE + 3];
    char one[128];
    size_t size;
    mac_of(call, expected);
    for (const char *at = call->webhook_signature; *at;) {
        size_t length = strcspn(at, " ");
        if (length < sizeof one && text_starts(at, "v1,")) {
            memcpy(one, at, length);
            one[length] = '\0';
            if (text_unbase64(one + 3, given, sizeof given, &size) && size == MAC_SIZE &&
                CRYPTO_memcmp(given, expected, MAC_SIZE) == 0)
                return true;
        }
        at += length;
        at += *at == ' ';
    }
    return false;
}

static bool is_timely(const struct call *call)
{
    int64_t at;
    if (!text_integer(call->webhook_timestamp, 0, INT64_MAX / 2000, &at))
        return false;
    int64_t off = clock_ms(CLOCK_WEBHOOKS) / 1000 - at;
    return off <= LIMIT_WEBHOOK_TOLERANCE_SECONDS && off >= -LIMIT_WEBHOOK_TOLERANCE_SECONDS;
}

static bool verifies(const struct call *call)
{
    return secret_size == 0 || (is_timely(call) && is_signed(call));
}

/* ---- receiving ---- */

static void payment_of(const json_t *body, char payment[PAYMENT_SIZE])
{
    const json_t *data = json_object_get(body, "data");
    payment[0] = '\0';
    if (!text_payment(payment, json_string_value(json_object_get(data, "paymentId"))))
        text_payment(payment, json_string_value(json_object_get(data, "transactionId")));
}

/* The payment is read before the signature is checked, only to find the fault and to file the log entry. */
void webhooks_open(struct call *call)
{
    payment_of(call->json, call->payment);
    if (!call->webhook_id[0]) {
        answer_error(call, 400, "webhook-id is missing");
    } else if (!verifies(call)) {
        rejected++;
        answer_error(call, 401, "signature or timestamp does not verify");
    } else if (!call->json) {
        answer_error(call, 400, "malformed");
    }
}

static void note(const struct webhook *w)
{
    if (!journal_on())
        return;
    journal_note(json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "t", "webhook", "id", w->id, "type", w->type,
                           "payment", w->payment, "receiver", w->receiver, "body", w->body, "at",
                           (json_int_t)w->first_at));
}

static void link_webhook(struct webhook *w)
{
    bytes += strlen(w->body);
    map_put(&webhooks, w->id, w);
    if (last)
        last->next = w;
    else
        first = w;
    last = w;
}

static struct webhook *add(const struct call *call)
{
    if (webhooks.count >= LIMIT_RECORDS || bytes > LIMIT_WEBHOOK_BYTES)
        return NULL;
    struct webhook *w = memory_new(sizeof *w);
    text_copy(w->id, sizeof w->id, call->webhook_id);
    if (!text_copy(w->type, sizeof w->type, json_string_value(json_object_get(call->json, "type"))))
        w->type[0] = '\0'; /* half a type is none, and half a character is not text */
    text_copy(w->payment, sizeof w->payment, call->payment);
    text_copy(w->receiver, sizeof w->receiver, call->args[0]);
    w->body = text_dup_n(call->raw, call->raw_size);
    w->first_at = w->last_at = clock_real_ms();
    w->attempts = 1;
    link_webhook(w);
    note(w);
    return w;
}

static void count_repeat(struct webhook *w, const struct call *call)
{
    bool differs = strcmp(w->body, call->raw ? call->raw : "") != 0;
    w->attempts++;
    w->differing += differs;
    w->last_at = clock_real_ms();
    if (journal_on())
        journal_note(json_pack("{s:s, s:s, s:b, s:I}", "t", "webhook.attempt", "id", w->id, "differs", (int)differs,
                               "at", (json_int_t)w->last_at));
}

void webhooks_effect(struct call *call)
{
    struct webhook *w = map_get(&webhooks, call->webhook_id);
    if (call->fault.kind == FAULT_DECLINE) {
        answer_error(call, 410, call->fault.code[0] ? call->fault.code : "gone");
        return;
    }
    if (w)
        count_repeat(w, call);
    else if (!add(call)) {
        answer_error(call, 503, "full");
        return;
    }
    answer_json(call, 200, json_pack("{s:b}", "received", 1));
}

/* ---- the state file ---- */

bool webhooks_apply(const json_t *record)
{
    const char *id = json_string_value(json_object_get(record, "id"));
    const char *body = json_string_value(json_object_get(record, "body"));
    if (!id || !body || map_get(&webhooks, id))
        return false;
    struct webhook *w = memory_new(sizeof *w);
    text_copy(w->id, sizeof w->id, id);
    text_copy(w->type, sizeof w->type, json_string_value(json_object_get(record, "type")));
    text_copy(w->payment, sizeof w->payment, json_string_value(json_object_get(record, "payment")));
    text_copy(w->receiver, sizeof w->receiver, json_string_value(json_object_get(record, "receiver")));
    w->body = text_dup(body);
    w->first_at = w->last_at = json_integer_value(json_object_get(record, "at"));
    w->attempts = 1;
    link_webhook(w);
    return true;
}

bool webhooks_apply_attempt(const json_t *record)
{
    const char *id = json_string_value(json_object_get(record, "id"));
    struct webhook *w = id ? map_get(&webhooks, id) : NULL;
    if (!w)
        return false;
    w->attempts++;
    w->differing += json_is_true(json_object_get(record, "differs"));
    w->last_at = json_integer_value(json_object_get(record, "at"));
    return true;
}

/* ---- the books as a test sees them ---- */

static json_t *entry(const struct webhook *w)
{
    char first_at[TIME_SIZE];
    char last_at[TIME_SIZE];
    text_time(first_at, w->first_at, true);
    text_time(last_at, w->last_at, true);
    json_t *item = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s}", "id", w->id, "type", w->type, "receiver",
                             w->receiver, "attempts", (json_int_t)w->attempts, "differing", (json_int_t)w->differing,
                             "firstAt", first_at, "lastAt", last_at);
    json_object_set_new(item, "paymentId", w->payment[0] ? json_string(w->payment) : json_null());
    json_object_set_new(item, "body", json_loads(w->body, 0, NULL));
    return item;
}

json_t *webhooks_books(const char *payment)
{
    json_t *list = json_array();
    int64_t attempts = 0;
    int64_t distinct = 0;
    for (const struct webhook *w = first; w; w = w->next) {
        if (payment && strcmp(w->payment, payment) != 0)
            continue;
        json_array_append_new(list, entry(w));
        attempts += w->attempts;
        distinct++;
    }
    json_t *totals = json_pack("{s:I, s:I, s:I}", "attempts", (json_int_t)attempts, "distinct", (json_int_t)distinct,
                               "duplicates", (json_int_t)(attempts - distinct));
    if (!payment)
        json_object_set_new(totals, "rejected", json_integer(rejected));
    return json_pack("{s:o, s:o}", "webhooks", list, "totals", totals);
}
