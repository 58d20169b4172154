/* saga.h - the state of a payment as a pure function of its facts (L3), and what follows from it (L4)
 *
 * No I/O, no clock, no allocation outside the structs given. `saga_fold` reads the facts in any order and gives the
 * same payment; `saga_next` says which commands the payment needs and on which facts each of them rests. DESIGN.md
 * section 6 is the specification, tests/unit/saga_model.py its executable form.
 *
 * Outcomes, by slot:
 *   received              "accepted"; body: {"flow","amount","currency","publisher","messageId","sha256","merchant","commissionPpm",
 *                         "channels":["webhook"],"expiresAt":ms,"routes":["stripe","simulated"],"paymentMethod","paymentToken",
 *                         "route":{"by","rule","leftOut":["paypal=breaker_open"],...} (why these routes), "preferredGateways" (where
 *                         they are others), "country","tokens":{"id","quantity"},"reference","metadata","description",...}
 *   auth:N                "intent" | "closed"; body: {"provider","key","sendUntil":ms,"amount","currency"}
 *   auth:N:result         "approved" | "declined" | "cancelled" | "absent"; body: {"provider","reference","code","evidence":{...}}
 *   auth:N:late           "approved"
 *   auth:N:action         "required"; also when it comes after auth:N:result=absent: then the saga voids it
 *   auth:N:late:doubt:K   "unknown": sent by somebody who heard nothing, although auth:N:result=absent stands, so it is asked about
 *                         until it is answered; "nothing": it was, and there is nothing
 *   <intent>:doubt:K      "unknown"; intents: auth:N, capture, void:N, refund:N
 *   pop                   "validated" | "rejected"          pop:revoked      "revoked"
 *   pop:vote:<validator>  "valid" | "invalid": a vote that came by callback; body: {"vote":{...}}
 *   pop:committed         "committed": the validators know that the purchase stands
 *   token:reserved        "reserved" | "refused"            token:active     "active" | "refused"
 *   token:released        "released" | "deactivated" (after activation, when all was refunded)
 *   decision              "commit:N" | "abort"; body of abort: {"reason": one of REASONS, "code", "message"}
 *   capture               "captured" | "refused"; body: {"amount","provider","reference","evidence"}
 *   void:N                "voided" | "expired" | "nothing"
 *   refund:N              "accepted" | "refused"; body: {"amount","key","sendUntil","total","commission","reason","code"}
 *   refund:N:result       "refunded" | "refused"
 *   dead:<id>:<n>         the dead command's type, e.g. "token.activate", whatever it was; body: {"deadLetter","reason","held":bool}
 *   replay:<id>:<n>       "replayed" | "discarded"; body: {"reason"}
 *   notice:<event>:<channel>  "delivered" | "refused"
 *
 * N and n count from 1, K from 0, without gaps; numbers are decimal without leading zeros, ids are lower-case UUIDs.
 */
#ifndef ACQUIT_LEDGER_SAGA_H
#define ACQUIT_LEDGER_SAGA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ids.h"

enum {
    SLOT_SIZE = 96, /* longest slot name and NUL */
    OUTCOME_SIZE = 32,
    AUTHORIZATIONS_MAX = 8, /* routes tried for one payment */
    REFUNDS_MAX = 1000,     /* refunds recorded for one payment, refused ones too */
    DOUBTS_MAX = 1000,      /* observations of one unknown outcome; then a person has to find out */
    DEATHS_MAX = 1000000,   /* times that one command died, or one dead letter was sent again */
    CHANNELS_MAX = 4,
    CHANNEL_SIZE = 33,   /* name of a notice's channel and NUL: lower-case letters, digits, '-', '_' */
    VOTES_MAX = 16,      /* validators whose votes may come by callback; named like channels */
    RESTS_MAX = 16,      /* facts that one follow-up may rest on */
    FOLLOW_UPS_MAX = 64, /* follow-ups of one state; further ones come when these are done */
};

/* One row of ledger.event. */
struct fact {
    char slot[SLOT_SIZE];
    char outcome[OUTCOME_SIZE];
    struct uuid cause; /* id of the command whose delivery wrote it */
    int64_t seq;
    int64_t at_ms; /* wall time of the database */
    char *actor;   /* owned; may be NULL */
    json_t *body;  /* owned; an object */
};

/* All facts known of one payment. */
struct facts {
    struct uuid payment_id;
    size_t count;
    struct fact *items; /* owned */
    bool archived;      /* there are some, but in a file (ledger/archive.h); none is known here */
};

void facts_clear(struct facts *facts);                                      /* frees what it owns; leaves it empty */
const struct fact *facts_find(const struct facts *facts, const char *slot); /* NULL: not there */

/* What a slot name means. */
/* clang-format off */
#define SLOT_KINDS(X)                                                                                                  \
    X(UNKNOWN) X(RECEIVED) X(AUTH) X(AUTH_RESULT) X(AUTH_LATE) X(AUTH_ACTION) X(AUTH_DOUBT) X(AUTH_LATE_DOUBT)         \
    X(CAPTURE_DOUBT) X(VOID_DOUBT) X(REFUND_DOUBT) X(POP) X(POP_VOTE) X(POP_COMMITTED) X(POP_REVOKED) X(TOKEN_RESERVED)                 \
    X(TOKEN_ACTIVE) X(TOKEN_RELEASED) X(DECISION) X(CAPTURE) X(VOID) X(REFUND) X(REFUND_RESULT) X(DEAD) X(REPLAY)      \
    X(NOTICE)
/* clang-format on */
enum slot_kind {
#define X(id) SLOT_##id,
    SLOT_KINDS(X)
#undef X
};
enum {
#define X(id) +1
    SLOT_KIND_COUNT = 0 SLOT_KINDS(X)
#undef X
};
struct slot {
    enum slot_kind kind;
    int n; /* of auth, void, refund, dead, replay, and of a notice that tells of refund N; else 0 */
    int k; /* of a doubt */
};
struct slot slot_parse(const char *name); /* SLOT_UNKNOWN: no slot of ours */
bool slot_is_doubt(const char *name);     /* <intent>:doubt:K, whatever the intent: a question is asked about it */

enum flow { FLOW_PLAIN, FLOW_DUAL };
enum decision { UNDECIDED, COMMIT, ABORT };

struct authorization {
    const struct fact *intent, *result, *late, *action, *voided;
    int doubts, late_doubts, void_doubts; /* K: how many observations there are */
    const struct fact *last_doubt, *last_late_doubt, *last_void_doubt;
    bool approved;     /* result is "approved" */
    bool live;         /* approved or late, and not voided */
    bool late_unknown; /* the last auth:N:late:doubt:K is "unknown", and no approval or challenge has answered it */
};

struct refund {
    const struct fact *intent, *result, *last_doubt;
    int doubts;
    int64_t amount;
    bool accepted;    /* intent is "accepted" */
    unsigned noticed; /* bit i: its result was told over body.channels[i] of `received` */
};

/* clang-format off */
#define PUBLIC_STATES(X)                                                                                               \
    X(PENDING, "pending") X(PROCESSING, "processing") X(REQUIRES_ACTION, "requires_action")                            \
    X(AUTHORIZED, "authorized") X(COMPLETED, "completed") X(FAILED, "failed") X(CANCELLED, "cancelled")                \
    X(PARTIALLY_REFUNDED, "partially_refunded") X(REFUNDED, "refunded")
/* clang-format on */
enum public_state {
#define X(id, text) PUBLIC_##id,
    PUBLIC_STATES(X)
#undef X
};
enum {
#define X(id, text) +1
    PUBLIC_STATE_COUNT = 0 PUBLIC_STATES(X)
#undef X
};
const char *public_state_text(enum public_state state);

/* The rows of DESIGN.md section 6, first column. */
/* clang-format off */
#define SAGA_STATES(X)                                                                                                 \
    X(UNKNOWN, "unknown") X(VOTING, "voting") X(CAPTURING, "capturing") X(ACTIVATING, "activating")                    \
    X(COMPLETED, "completed") X(ABORTING, "aborting") X(ABORTED, "aborted") X(UNCAPTURED, "uncaptured")                \
    X(UNCAPTURED_ENDED, "uncaptured ended") X(UNWINDING, "unwinding") X(UNWOUND, "unwound")
/* clang-format on */
enum saga_state {
#define X(id, text) SAGA_##id,
    SAGA_STATES(X)
#undef X
};
enum {
#define X(id, text) +1
    SAGA_STATE_COUNT = 0 SAGA_STATES(X)
#undef X
};
const char *saga_state_text(enum saga_state state);

/* Why a payment fails or was cancelled: `reason` in the body of `decision`=abort, closed (the provider's own words
 * go into "code" and "message"). The last two are never written: they follow from what failed after a commit.
 * CANCELLED alone makes a payment `cancelled`. */
#define REASONS(X)                                                                                                     \
    X(CANCELLED, "cancelled by its publisher")                                                                         \
    X(EXPIRED, "not finished before its deadline")                                                                     \
    X(DECLINED, "declined by the payment provider")                                                                    \
    X(ABSENT, "the payment provider has no record of the authorization")                                               \
    X(PROVIDER_CANCELLED, "authorization cancelled at the payment provider")                                           \
    X(TOKENS_UNAVAILABLE, "the tokens are not available")                                                              \
    X(POP_REJECTED, "the proof of purchase was rejected")                                                              \
    X(REFUSED_BY_RULE, "refused by a rule before any provider was asked")                                              \
    X(NO_ROUTE, "no payment provider can take it")                                                                     \
    X(DEAD_LETTERED, "a step could not be finished")                                                                   \
    X(CAPTURE_REFUSED, "the payment provider refused the capture")                                                     \
    X(ACTIVATION_REFUSED, "the tokens could not be activated; the money was given back")
enum reason {
#define X(id, text) REASON_##id,
    REASONS(X)
#undef X
};
enum {
#define X(id, text) +1
    REASON_COUNT = 0 REASONS(X)
#undef X
};
const char *reason_code(enum reason reason); /* "DECLINED" */
const char *reason_text(const char *code);   /* a sentence for people; NULL: not one of ours */

/* The fold of a payment's facts. Pointers lead into the facts it was folded from and live as long as they do. */
struct payment {
    struct uuid id;
    enum saga_state state;
    enum public_state public;
    enum flow flow;
    int64_t amount; /* of `received` */
    char currency[4];
    const struct fact *received;
    int authorization_count;                                     /* auth:1 .. auth:count are intents */
    struct authorization authorizations[AUTHORIZATIONS_MAX + 1]; /* [N]; [0] is unused */
    bool closed;                                                 /* auth:1 is "closed": none may begin */
    enum decision decision_kind;
    int commit; /* N of "commit:N"; else 0 */
    const struct fact *decision;
    const struct fact *pop, *pop_committed, *pop_revoked, *token_reserved, *token_active, *token_released;
    const struct fact *votes[VOTES_MAX]; /* pop:vote:<validator>, by slot name; further ones are left out */
    int vote_count;
    const struct fact *capture, *last_capture_doubt;
    int capture_doubts;
    bool captured;
    int64_t captured_amount; /* what may be refunded in all; 0 until captured */
    int refund_count;        /* refund:1 .. refund:count exist */
    struct refund *refunds;  /* [1..count]; owned; [0] is unused; NULL when none */
    int64_t refund_reserved; /* sum of accepted refunds without a "refused" result: nobody may refund it again */
    int64_t refunded;        /* sum of refunds with result "refunded" */
    int unwind;              /* N of the accepted refund that undoes the capture (activation refused); else 0 */
    const struct fact *activation_dead; /* the last dead:<token.activate>:n, or NULL */
    const char *reason;                 /* why it fails, failed or was cancelled ("DECLINED"), or NULL */
    unsigned noticed;                   /* bit i: the end was told over body.channels[i] of `received` */
    bool ended;                         /* completed, failed or cancelled: the public state moves by refunds only */
};

/* Folds the facts, which must be one snapshot of the ledger. ERR_INTERNAL when they contradict the protocol (two
 * decisions cannot be, but a void of what is committed can be seen) or one of them is not understood: nothing may be
 * concluded from such facts, a person has to look; the text names the slots. Free with payment_clear() in any case. */
int saga_fold(const struct facts *facts, struct payment *ret, struct err *err) MUST_CHECK;
void payment_clear(struct payment *payment);

/* A command that the payment needs. Its id is uuid_follow_up(payment, type, slot), so whoever says it says the same.
 *
 * The slot names the command, not always what it will write: a question carries the doubt it would write
 * (`auth:1:doubt:2`, `capture:doubt:0` never: the first one carries `capture`), payment.unwind always carries
 * `refund:1` and writes the lowest free refund:N (refused refunds may stand before it), authorize.capture writes
 * `decision` first, and a pop.validate that counts anew after a callback carries that vote and writes `pop`. */
struct follow_up {
    const char *type;     /* "authorize.capture" */
    char slot[SLOT_SIZE]; /* the slot it is about: names the question too ("auth:1:doubt:2") */
    int n, k;             /* of the slot; 0 where it has none */
    struct uuid id;
    size_t rest_count; /* 0: published only by payment.look and by who archives a dead letter */
    const struct fact *rests[RESTS_MAX];
};
struct next {
    size_t count;
    struct follow_up items[FOLLOW_UPS_MAX];
};
/* All of them, in an order that depends on the facts alone. Of refunds and their notices the newest come first:
 * where there are more than FOLLOW_UPS_MAX, the older ones have been said before and come again by payment.look. */
void saga_next(const struct payment *payment, struct next *ret);

/* A death of this command is on a person's desk until it is replayed; saying the command again would only let it die again. What a person has
 * discarded stays unsaid. A death that was not held (body.held false: it ended the payment, or went to the arbiter) is on nobody's desk: the command
 * may be needed again, to undo. */
bool saga_held(const struct facts *facts, struct uuid command);

/* Is there a command that would bring the payment on? What is on a person's desk of an ended payment is brought on by that person's word. */
bool saga_needs_something(const struct facts *facts, const struct payment *payment);

/* True when the follow-up rests on a fact whose cause is `command` (L4: this delivery has to publish it). */
bool follow_up_rests_on(const struct follow_up *follow_up, struct uuid command);

/* May a delivery of `type` begin anything now? The shortcuts that steps share, asked of a payment that has
 * `received` (payment.create: of any). For a command that saga_next once gave, "no" is final (facts only grow);
 * "yes" may be out of date when it is acted upon, and the slot decides (L2). `n` is the authorization or refund that
 * the command is about, 0 for the others. Types and rules: the table in saga_wants.c. */
bool saga_wants(const struct payment *payment, const char *type, int n);

#endif
