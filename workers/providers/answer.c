/* answer.c - what all providers do alike when they make an answer out of what came back
 *
 * Fails with nothing: what does not fit is cut, what is not there is "".
 */
#include "workers/providers/answer.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pan.h"

void answer_code(char ret[static PROVIDER_CODE_SIZE], const char *text)
{
    size_t n = 0;
    for (; text && text[n] && n < PROVIDER_CODE_SIZE - 1; n++) {
        char c = text[n];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        ret[n] = plain ? c : '_';
    }
    ret[n] = '\0';
}

/* A provider that echoes the token it was given must not get it into a log or a fact. */
static void star_out(char *text, const char *secret)
{
    size_t length = secret ? strlen(secret) : 0;
    if (length == 0)
        return;
    for (char *at = strstr(text, secret); at; at = strstr(at + length, secret))
        memset(at, '*', length);
}

/* Takes off the beginning of a UTF-8 character that the cut left behind. */
static void trim_half_character(char *text)
{
    size_t n = strlen(text), back = 0;
    while (back < n && back < 4 && ((unsigned char)text[n - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back >= n)
        return;
    unsigned char lead = (unsigned char)text[n - 1 - back];
    size_t wants = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (wants > back)
        text[n - 1 - back] = '\0';
}

enum {
    MESSAGE_RAW_MAX = 4 * PROVIDER_MESSAGE_SIZE
}; /* cleaned whole, then cut: a number on the cut must not escape the mask */

void answer_message(char ret[static PROVIDER_MESSAGE_SIZE], const char *text, const char *secret)
{
    char raw[MESSAGE_RAW_MAX];
    snprintf(raw, sizeof raw, "%s", text ? text : "");
    star_out(raw, secret);
    for (char *c = raw; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    pan_mask(raw, strlen(raw)); /* after the blanks: a control character must not hide what stands there without it */
    memcpy(ret, raw, PROVIDER_MESSAGE_SIZE - 1);
    ret[PROVIDER_MESSAGE_SIZE - 1] = '\0';
    trim_half_character(ret);
}

bool answer_reference(char ret[static PROVIDER_REFERENCE_SIZE], const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length >= PROVIDER_REFERENCE_SIZE)
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    memcpy(ret, text, length + 1);
    return true;
}

enum { TIMEOUT_SLACK_MS = 20 }; /* the client's clock and ours round differently */

const char *answer_silence(const struct http_answer *answer, int64_t timeout_ms)
{
    if (answer->outcome == HTTP_NOT_SENT)
        return "not_sent";
    return answer->elapsed_ms >= timeout_ms - TIMEOUT_SLACK_MS ? "timeout" : "connection_lost";
}

void answer_http_code(char ret[static PROVIDER_CODE_SIZE], int status)
{
    snprintf(ret, PROVIDER_CODE_SIZE, "http_%d", status);
}

void exchange_begin(struct exchange *exchange, const void *body, size_t size)
{
    sha256_hex(body ? body : "", size, exchange->request_sha256);
    exchange->sent_at_ms = clock_wall_ms();
}

static json_t *time_text(int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    return json_string(wall_ms ? clock_format(wall_ms, text) : "");
}

/* The server chose it: whatever is not plain text is left out. */
static json_t *request_id_text(const char *request_id)
{
    char id[PROVIDER_REFERENCE_SIZE];
    return json_string(answer_reference(id, request_id) ? id : "");
}

json_t *exchange_evidence(const struct exchange *exchange, int status, const void *answer, size_t size,
                          const char *request_id)
{
    char hash[SHA256_HEX_SIZE] = "";
    if (status)
        sha256_hex(answer ? answer : "", size, hash);
    json_t *evidence =
        json_pack("{s:i, s:s, s:s, s:o, s:o, s:o}", "status", status, "requestSha256", exchange->request_sha256,
                  "answerSha256", hash, "requestId", request_id_text(request_id), "sentAt",
                  time_text(exchange->sent_at_ms), "answeredAt", time_text(status ? clock_wall_ms() : 0));
    if (!evidence)
        log_panic("the evidence of an exchange cannot be built");
    return evidence;
}

json_t *exchange_http_evidence(const struct exchange *exchange, const struct http_answer *answer)
{
    int status = answer->outcome == HTTP_ANSWERED ? answer->status : 0;
    return exchange_evidence(exchange, status, answer->body, answer->body_size, answer->request_id);
}

void answer_say(struct provider_answer *ret, enum provider_outcome outcome, const char *code, const char *message)
{
    ret->outcome = outcome;
    answer_code(ret->code, code);
    answer_message(ret->message, message, NULL);
}

void answer_unreadable(struct provider_answer *ret, const char *why)
{
    ret->reference[0] = '\0';
    answer_say(ret, PROVIDER_UNKNOWN, "unreadable_answer", why);
}

bool answer_is_header_text(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}
