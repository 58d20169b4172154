/* faults.h - what a test told the twins to do wrong, and where
 *
 * All functions are called under the books' lock.
 */
#ifndef TWINS_FAULTS_H
#define TWINS_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "text.h"

/* The places a fault can be put: one per operation of a provider. */
#define POINTS(X)                                                                                                      \
    X(NONE, "none")                                                                                                    \
    X(STRIPE_AUTHORIZE, "stripe.authorize")                                                                            \
    X(STRIPE_CAPTURE, "stripe.capture")                                                                                \
    X(STRIPE_CANCEL, "stripe.cancel")                                                                                  \
    X(STRIPE_RETRIEVE, "stripe.retrieve")                                                                              \
    X(STRIPE_SEARCH, "stripe.search")                                                                                  \
    X(STRIPE_REFUND, "stripe.refund")                                                                                  \
    X(STRIPE_REFUND_RETRIEVE, "stripe.refund_retrieve")                                                                \
    X(STRIPE_BALANCE, "stripe.balance")                                                                                \
    X(PAYPAL_TOKEN, "paypal.token")                                                                                    \
    X(PAYPAL_ORDER, "paypal.order")                                                                                    \
    X(PAYPAL_AUTHORIZE, "paypal.authorize")                                                                            \
    X(PAYPAL_CAPTURE, "paypal.capture")                                                                                \
    X(PAYPAL_VOID, "paypal.void")                                                                                      \
    X(PAYPAL_REFUND, "paypal.refund")                                                                                  \
    X(PAYPAL_RETRIEVE, "paypal.retrieve")                                                                              \
    X(VALIDATOR_VALIDATE, "validator.validate")                                                                        \
    X(VALIDATOR_COMMIT, "validator.commit")                                                                            \
    X(VALIDATOR_REVOKE, "validator.revoke")                                                                            \
    X(VALIDATOR_RETRIEVE, "validator.retrieve")                                                                        \
    X(TOKEN_RESERVE, "token.reserve")                                                                                  \
    X(TOKEN_ACTIVATE, "token.activate")                                                                                \
    X(TOKEN_RELEASE, "token.release")                                                                                  \
    X(TOKEN_DEACTIVATE, "token.deactivate")                                                                            \
    X(TOKEN_RETRIEVE, "token.retrieve")                                                                                \
    X(WEBHOOK_DELIVER, "webhook.deliver")

#define X(id, text) POINT_##id,
enum point { POINTS(X) };
#undef X
#define X(id, text) +1
enum { POINT_COUNT = 0 POINTS(X) };
#undef X

/* The ways to misbehave; README.md tells what each does, serve.c does it. */
#define FAULTS(X)                                                                                                      \
    X(NONE, "none")                                                                                                    \
    X(DECLINE, "decline")                                                                                              \
    X(FAILED_200, "failed_200")                                                                                        \
    X(RATE_LIMIT, "rate_limit")                                                                                        \
    X(PENDING, "pending")                                                                                              \
    X(LAG, "lag")                                                                                                      \
    X(DELAY, "delay")                                                                                                  \
    X(ANSWER_500_BEFORE, "answer_500_before")                                                                          \
    X(ANSWER_500_AFTER, "answer_500_after")                                                                            \
    X(CLOSE_BEFORE, "close_before")                                                                                    \
    X(CLOSE_AFTER, "close_after")                                                                                      \
    X(GARBAGE, "garbage")                                                                                              \
    X(SLOW_BODY, "slow_body")                                                                                          \
    X(CUT_BODY, "cut_body")                                                                                            \
    X(ANSWER_TWICE, "answer_twice")                                                                                    \
    X(OUT_OF_ORDER, "out_of_order")                                                                                    \
    X(LATE_EFFECT, "late_effect")                                                                                      \
    X(SILENT, "silent")                                                                                                \
    X(FORGED, "forged")                                                                                                \
    X(REPLAYED, "replayed")

#define X(id, text) FAULT_##id,
enum fault_kind { FAULTS(X) };
#undef X
#define X(id, text) +1
enum { FAULT_COUNT = 0 FAULTS(X) };
#undef X

struct fault {
    uint64_t id;
    char payment[PAYMENT_SIZE]; /* or "*" */
    enum point at;
    enum fault_kind kind;
    unsigned validator; /* 0: all */
    int64_t delay_ms;
    int64_t left;     /* times it will still strike; -1: for ever */
    unsigned percent; /* chance of striking when it matches */
    uint64_t dice;    /* state of its own generator, from "seed" */
    char code[64];    /* how exactly to decline; "" = as usual */
    bool stored;      /* is a 500 remembered under the idempotency key, as Stripe does? */
    uint64_t hits;
};

const char *point_name(enum point at);
const char *fault_name(enum fault_kind kind);
bool point_named(const char *name, enum point *ret);

/* From the body of POST /_twin/faults. False: `why` says what is wrong with it; nothing was added. */
bool faults_add(const json_t *wanted, uint64_t *ret_id, char *why, size_t why_size);

/* The fault that strikes this request, copied out, and one of its times used up. A request that repeats one already
 * decided (`repeat`) cannot be decided otherwise any more: faults that change the decision do not strike it. */
bool faults_take(enum point at, const char *payment, unsigned validator, bool repeat, struct fault *ret);

json_t *faults_list(void);
size_t faults_clear(void);
bool faults_remove(uint64_t id);

#endif
