/* answer.h - what all providers do alike when they make an answer out of what came back
 *
 * Internal to workers/providers/. Codes are normalised, texts are made safe for people and logs, and the evidence of
 * an exchange is written in one form: hashes and times, never a body and never a secret.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_ANSWER_H
#define ACQUIT_WORKERS_PROVIDERS_ANSWER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto.h"
#include "common/http.h"
#include "workers/providers/provider.h"

/* Lower case letters, digits and '_' only, cut to fit; any other character becomes '_'. NULL gives "". */
void answer_code(char ret[static PROVIDER_CODE_SIZE], const char *text);

/* Cut to fit at a character's end, control characters blanked, card numbers masked (L11), and `secret` (may be NULL)
 * starred out. */
void answer_message(char ret[static PROVIDER_MESSAGE_SIZE], const char *text, const char *secret);

/* False, and `ret` untouched, when the reference does not fit or has characters that no provider's reference has. */
bool answer_reference(char ret[static PROVIDER_REFERENCE_SIZE], const char *text);

/* Why there is no HTTP answer to a request with that timeout: "not_sent", "timeout" or "connection_lost". */
const char *answer_silence(const struct http_answer *answer, int64_t timeout_ms);

/* Outcome, code and message at once. */
void answer_say(struct provider_answer *ret, enum provider_outcome outcome, const char *code, const char *message);
/* Unknown, because nobody can read what came; what it called the thing is not believed either (L6). */
void answer_unreadable(struct provider_answer *ret, const char *why);

/* May stand in an HTTP header as it is: printable ASCII without blanks. */
bool answer_is_header_text(const char *text);

/* "http_418" */
void answer_http_code(char ret[static PROVIDER_CODE_SIZE], int status);

/* One request and its answer, for the evidence. */
struct exchange {
    char request_sha256[SHA256_HEX_SIZE]; /* of the body; "" when nothing was sent */
    int64_t sent_at_ms;                   /* wall time; 0 when nothing was sent */
};

/* Notes the body that is about to be sent. */
void exchange_begin(struct exchange *exchange, const void *body, size_t size);

/* {"status","requestSha256","answerSha256","requestId","sentAt","answeredAt"}; "" and 0 stand for what there is not.
 * A new reference. */
json_t *exchange_evidence(const struct exchange *exchange, int status, const void *answer, size_t size,
                          const char *request_id);
json_t *exchange_http_evidence(const struct exchange *exchange, const struct http_answer *answer);

#endif
