/* webhook.c - signed webhooks to merchants (Standard Webhooks, https://www.standardwebhooks.com)
 *
 * One POST per call, never redirected. The signature is made at the moment of sending, over the bytes that are sent.
 *
 * Fails with ERR_INVALID (a secret that is none, an id that cannot be a header) or the HTTP client's error; then
 * nothing was sent.
 */
#include "workers/providers/webhook.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "workers/providers/answer.h"

static const char SECRET_PREFIX[] = "whsec_";
enum {
    SECRET_MIN = 24,
    SECRET_MAX = 64, /* bytes of the key, as the specification has it */
    ID_MAX = 128,
    SIGNATURE_TEXT_MAX = 64, /* "v1," and base64 of 32 bytes */
};

struct webhook_call {
    void (*done)(void *arg, const struct webhook_answer *answer);
    void *arg;
    int64_t timeout_ms;
    struct exchange exchange;
    struct http_call *http;
};

/* ---- signing ---- */

static int read_secret(const char *secret, uint8_t ret[static SECRET_MAX], size_t *ret_size, struct err *err)
{
    size_t prefix = sizeof SECRET_PREFIX - 1;
    if (!secret || strncmp(secret, SECRET_PREFIX, prefix) != 0 ||
        base64_decode(secret + prefix, ret, SECRET_MAX, ret_size) < 0 || *ret_size < SECRET_MIN)
        return err_set(err, ERR_INVALID, "a webhook secret is \"%s\" and base64 of %d to %d bytes", SECRET_PREFIX,
                       SECRET_MIN, SECRET_MAX);
    return 0;
}

/* A dot would make the signed text ambiguous, a control character the header. */
static int check_id(const char *id, struct err *err)
{
    size_t length = id ? strlen(id) : 0;
    bool good = length > 0 && length <= ID_MAX;
    for (size_t i = 0; good && i < length; i++)
        good = id[i] > ' ' && id[i] <= '~' && id[i] != '.';
    return good ? 0 : err_set(err, ERR_INVALID, "a webhook id has 1 to %d printable characters and no dot", ID_MAX);
}

static void sign(const uint8_t *key, size_t key_size, const char *id, int64_t timestamp_s, const char *body,
                 uint8_t ret[static SHA256_SIZE])
{
    size_t room = strlen(id) + strlen(body) + 32;
    char *text = mem_new(room, 1);
    int n = snprintf(text, room, "%s.%" PRId64 ".%s", id, timestamp_s, body);
    hmac_sha256(key, key_size, text, (size_t)n, ret);
    free(text);
}

int webhook_sign(const char *secret, const char *id, int64_t timestamp_s, const char *body, char *ret, size_t ret_size,
                 struct err *err)
{
    uint8_t key[SECRET_MAX], mac[SHA256_SIZE];
    char base64[SIGNATURE_TEXT_MAX];
    size_t key_size = 0;
    if (check_id(id, err) < 0 || read_secret(secret, key, &key_size, err) < 0)
        return -1;
    sign(key, key_size, id, timestamp_s, body, mac);
    explicit_bzero(key, sizeof key);
    base64_encode(mac, sizeof mac, base64);
    int n = snprintf(ret, ret_size, "v1,%s", base64);
    if (n < 0 || (size_t)n >= ret_size)
        return err_set(err, ERR_LIMIT, "no room for a webhook signature");
    return 0;
}

/* ---- delivering ---- */

static void read_answer(const struct webhook_call *call, const struct http_answer *http, struct webhook_answer *ret)
{
    if (http->outcome != HTTP_ANSWERED) {
        ret->outcome = WEBHOOK_UNKNOWN;
        answer_code(ret->code, answer_silence(http, call->timeout_ms));
        return;
    }
    bool delivered = http->status >= 200 && http->status <= 299;
    ret->outcome = delivered ? WEBHOOK_DELIVERED : WEBHOOK_REFUSED;
    if (!delivered)
        answer_http_code(ret->code, http->status);
}

static void on_answer(void *arg, const struct http_answer *http)
{
    struct webhook_call *call = arg;
    struct webhook_answer answer = {.outcome = WEBHOOK_UNKNOWN};
    read_answer(call, http, &answer);
    answer.evidence = exchange_http_evidence(&call->exchange, http);
    call->done(call->arg, &answer);
    json_decref(answer.evidence);
    free(call);
}

static int deliver(struct webhook_call *call, struct http *http, const struct webhook_request *webhook, struct err *err)
{
    char timestamp[32], signature[SIGNATURE_TEXT_MAX];
    int64_t now_s = clock_wall_ms() / 1000;
    if (webhook_sign(webhook->secret, webhook->id, now_s, webhook->body, signature, sizeof signature, err) < 0)
        return -1;
    snprintf(timestamp, sizeof timestamp, "%" PRId64, now_s);
    struct http_request request = {
        .method = "POST",
        .url = webhook->url,
        .headers = {{"Content-Type", "application/json"},
                    {"webhook-id", webhook->id},
                    {"webhook-timestamp", timestamp},
                    {"webhook-signature", signature}},
        .body = webhook->body,
        .body_size = strlen(webhook->body),
        .timeout_ms = webhook->timeout_ms,
    };
    exchange_begin(&call->exchange, webhook->body, request.body_size);
    call->http = http_start(http, &request, on_answer, call, err);
    return call->http ? 0 : -1;
}

struct webhook_call *webhook_start(struct http *http, const struct webhook_request *request,
                                   void (*done)(void *arg, const struct webhook_answer *answer), void *arg,
                                   struct err *err)
{
    if (!request->url || !request->body) {
        err_set(err, ERR_INVALID, "a webhook needs a url and a body");
        return NULL;
    }
    struct webhook_call *call = mem_new(1, sizeof *call);
    call->done = done;
    call->arg = arg;
    call->timeout_ms = request->timeout_ms;
    if (deliver(call, http, request, err) < 0) {
        free(call);
        return NULL;
    }
    return call;
}

void webhook_cancel(struct webhook_call *call)
{
    http_cancel(call->http);
    free(call);
}
