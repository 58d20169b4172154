/* pop.h - the proof-of-purchase validators: ask N, need k (docs/provider-interfaces.md)
 *
 * All validators are asked at once; the answer comes as soon as k votes say "valid" or k can no longer be reached,
 * the other requests are then dropped. A vote counts only when its Ed25519 signature is the configured key's and it
 * names this payment, amount, currency and validator.
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_POP_H
#define ACQUIT_WORKERS_PROVIDERS_POP_H

#include "workers/providers/provider.h"

enum pop_outcome {
    POP_VALIDATED,
    POP_REJECTED, /* k can no longer be reached by signed votes */
    POP_REVOKED, /* revoke: every validator has taken it back; validate: enough validators say it was revoked; commit: one does */
    POP_COMMITTED, /* commit: every validator knows that the purchase stands */
    POP_DEFERRED,  /* validate: those who call back can still make the quorum: ask again, but not as after a failure */
    POP_UNKNOWN,   /* too few answered: ask again */
};

struct pop_answer {
    enum pop_outcome outcome;
    json_t *votes;   /* the signed votes that counted, as received; borrowed */
    json_t *answers; /* per validator {"validator","outcome","error"}; borrowed */
};

/* `name`: 1 to 32 lower-case letters, digits, '-', '_'; facts are named after it. */
struct pop_validator {
    const char *name, *url, *key;
    uint8_t public_key[32];
};
struct pop_options {
    const struct pop_validator *validators; /* copied */
    size_t validator_count;                 /* 2..16 */
    int quorum;                             /* 1..count */
    int64_t timeout_ms, vote_max_skew_ms;
    const char *callback_url; /* copied; where validators may send their votes to; NULL or "": nowhere */
    struct http *http;
};
struct pop_request {
    struct uuid payment_id;
    int64_t amount;
    const char *currency;
    const json_t *reference; /* a text, {"type","id"}, or NULL */
    /* Wall time at which the validators could first have been asked (the payment was received); 0: now. A vote stays
     * the same for ever, so one given to an earlier attempt is as good as a new one: its time may lie anywhere from
     * since_ms - skew to now + skew. */
    int64_t since_ms;
    const json_t *votes; /* borrowed until pop_validate() returns: votes that came by callback, an array, or NULL */
};

struct pop;
struct pop_call;
struct pop *pop_open(const struct pop_options *options, struct err *err) MUST_CHECK;
void pop_close(struct pop *pop);
/* Counts request->votes alone. True when they are enough: then *ret is the answer, its two arrays are the caller's, and
 * nobody has to be asked. */
bool pop_count(const struct pop *pop, const struct pop_request *request, struct pop_answer *ret);

/* The vote, as it may be kept, when it is the signed word of one of the validators on this request: the caller owns it, *ret_valid is its
 * verdict. NULL when it is not. */
json_t *pop_check(const struct pop *pop, const struct pop_request *request, const json_t *vote, bool *ret_valid,
                  struct err *err);

/* Whose vote it is and whether it is genuine, for what it says itself: the payment, amount and currency are the vote's own.
 * The caller compares those with the payment. NULL: nobody's, `err` says why. */
const struct pop_validator *pop_vote_author(const struct pop_validator *validators, size_t count, const json_t *vote,
                                            struct err *err);

/* A validator whose vote is among request->votes is not asked again. */
struct pop_call *pop_validate(struct pop *pop, const struct pop_request *request,
                              void (*done)(void *arg, const struct pop_answer *answer), void *arg,
                              struct err *err) MUST_CHECK;
struct pop_call *pop_commit(struct pop *pop, struct uuid payment_id,
                            void (*done)(void *arg, const struct pop_answer *answer), void *arg,
                            struct err *err) MUST_CHECK;
struct pop_call *pop_revoke(struct pop *pop, struct uuid payment_id,
                            void (*done)(void *arg, const struct pop_answer *answer), void *arg,
                            struct err *err) MUST_CHECK;
void pop_cancel(struct pop_call *call);

/* True when `vote` is validator's signed word on this request (the decoder of votes; fuzzed). *ret_valid is its
 * verdict. */
bool pop_vote_check(const struct pop_validator *validator, const struct pop_request *request, const json_t *vote,
                    int64_t now_ms, int64_t max_skew_ms, bool *ret_valid, struct err *err);

#endif
