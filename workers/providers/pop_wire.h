/* pop_wire.h - the proof-of-purchase validators on the wire, and how their votes are counted; pure, no I/O, no clock
 *
 * Internal to workers/providers/; apart from pop.c so that tests and fuzz targets can drive it.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_POP_WIRE_H
#define ACQUIT_WORKERS_PROVIDERS_POP_WIRE_H

#include "workers/providers/pop.h"

enum { POP_VALIDATORS_MIN = 2, POP_VALIDATORS_MAX = 16, POP_ERROR_SIZE = 160 };

/* What one validator said. A voice that is not one of the others is silent: it may be asked again. */
/* clang-format off */
#define POP_VOICES(X)                                                                                                  \
    X(PENDING, "not_awaited") X(SILENT, "silent") X(YES, "valid") X(NO, "invalid") X(REVOKED, "revoked")               \
    X(DEFERRED, "pending") X(COMMITTED, "committed")
/* clang-format on */
enum pop_voice {
#define X(id, text) POP_VOICE_##id,
    POP_VOICES(X)
#undef X
};
const char *pop_voice_text(enum pop_voice voice);

/* The count of N voices. True when the answer can no longer change, or every voice is in: then *ret is the answer. */
bool pop_tally_validate(const enum pop_voice *voices, size_t count, int quorum, enum pop_outcome *ret);
bool pop_tally_revoke(const enum pop_voice *voices, size_t count, enum pop_outcome *ret);
bool pop_tally_commit(const enum pop_voice *voices, size_t count, enum pop_outcome *ret);

/* What an answer to POST /v1/validations means. *ret_vote is the vote (a new reference) if it counts, else NULL;
 * `why` says what was wrong. */
enum pop_voice pop_decode_validate(const struct pop_validator *validator, const struct pop_request *request,
                                   int64_t now_ms, int64_t max_skew_ms, int status, const char *body, size_t size,
                                   json_t **ret_vote, char why[static POP_ERROR_SIZE]);
/* A vote that came by callback, as voice; *ret_vote and `why` as above. */
enum pop_voice pop_read_vote(const struct pop_validator *validator, const struct pop_request *request, int64_t now_ms,
                             int64_t max_skew_ms, const json_t *vote, json_t **ret_vote,
                             char why[static POP_ERROR_SIZE]);
/* What an answer to POST /v1/validations/{paymentId}/commit means. */
enum pop_voice pop_decode_commit(struct uuid payment_id, int status, const char *body, size_t size,
                                 char why[static POP_ERROR_SIZE]);
/* What an answer to POST /v1/validations/{paymentId}/revoke means. */
enum pop_voice pop_decode_revoke(struct uuid payment_id, int status, const char *body, size_t size,
                                 char why[static POP_ERROR_SIZE]);

/* The body of POST /v1/validations; the same for every repeat of a request that has `since_ms`. `callback_url` may be
 * NULL. free() it. */
char *pop_encode_validate(const struct pop_request *request, const char *callback_url, int64_t now_ms);

#endif
