/* saga_sim.h - one payment from its first command to rest, with everything that can go wrong on the way
 *
 * A broker that delivers in any order, twice, and again after a crash; workers that stand still between any two of
 * plan, commit, look and publish, call, settle; providers (saga_world.h) whose answers get lost before or after the
 * effect, or whose requests arrive late; cancel, deadline, dead letters, replays, refunds, and a broker that forgets
 * everything. What follows from facts is decided by saga_fold, saga_next, saga_wants and follow_up_rests_on alone. The
 * steps (saga_steps.c) are a restatement of DESIGN.md section 6 for this test; the real ones are in workers/.
 */
#ifndef ACQUIT_TESTS_UNIT_SAGA_SIM_H
#define ACQUIT_TESTS_UNIT_SAGA_SIM_H

#include "tests/unit/saga_world.h"

enum {
    SIM_COMMANDS = 96, /* different commands of one payment */
    SIM_QUEUE = 64,    /* messages at the broker */
    SIM_COPIES = 3,    /* of one message at once */
    SIM_WORKERS = 3,   /* deliveries in work at once */
    SIM_FLIGHT = 8,    /* requests on their way to a provider that nobody waits for */
    SIM_FACTS = 160,
    SIM_MOVES = 5000, /* a payment that has not come to rest by then never will */
    SIM_WRITES = 4,
};

/* What can happen to a history; how often it did. None may stay zero over a whole run. */
#define SIM_EVENTS(X)                                                                                                  \
    X(DUPLICATE, "message duplicated")                                                                                 \
    X(CRASH, "worker crashed")                                                                                         \
    X(CRASH_HALF_SAID, "worker crashed between two publishes")                                                         \
    X(FAULT_BEFORE, "answer lost, no effect")                                                                          \
    X(FAULT_AFTER, "answer lost after the effect")                                                                     \
    X(FLIGHT, "request arrived late")                                                                                  \
    X(STALLED, "sent after send_until")                                                                                \
    X(TOMBSTONE, "vote or reservation refused by a tombstone")                                                         \
    X(CALLED_BACK, "validator called back")                                                                            \
    X(VOTE_TOO_LATE, "vote came after the decision, or after the count")                                               \
    X(UNSENT, "abort seen between intent and call")                                                                    \
    X(RESUMED, "own intent resumed")                                                                                   \
    X(LATE_DOUBT, "doubt left behind an absence")                                                                      \
    X(LATE, "approval after a negative result")                                                                        \
    X(LATE_CHALLENGE, "challenge after a negative result")                                                             \
    X(LATE_AFTER_COMMIT, "late approval voided although another is committed")                                         \
    X(FAILED_OVER, "failed over to the second route")                                                                  \
    X(FENCED, "fail-over lost together with its result")                                                               \
    X(CLOSED, "abort closed auth:1")                                                                                   \
    X(START_LOST, "authorize.start lost to closed")                                                                    \
    X(CAPTURE_LOST, "capture lost to abort")                                                                           \
    X(CANCEL_LOST, "cancel lost to commit")                                                                            \
    X(CANCEL_WON, "cancel decided")                                                                                    \
    X(EXPIRE_WON, "deadline decided")                                                                                  \
    X(EXPIRE_LOST, "deadline lost to commit")                                                                          \
    X(ABORT_LOST, "refusal's abort lost to another decision")                                                          \
    X(HOLD_EXPIRED, "hold expired at the provider")                                                                    \
    X(RESERVATION_EXPIRED, "reservation expired at the token system")                                                  \
    X(CAPTURE_REFUSED, "capture refused")                                                                              \
    X(DEAD_ABORTED, "dead letter decided")                                                                             \
    X(DEAD_HELD, "dead letter after the decision: only looked")                                                        \
    X(DEAD_UNKNOWN, "payment.create died before received")                                                             \
    X(ARBITER_RELEASED, "exhausted activation: the arbiter released")                                                  \
    X(ARBITER_ACTIVE, "exhausted activation: the arbiter found active")                                                \
    X(REPLAYED, "dead letter sent again")                                                                              \
    X(REPLAY_AFTER_END, "dead letter sent again after the end")                                                        \
    X(WIPED, "broker forgot everything")                                                                               \
    X(SWEPT, "payment.look brought a payment on")                                                                      \
    X(REFUND_EARLY, "refund refused before the end")                                                                   \
    X(REFUND_ABOVE, "refund refused above the capture")                                                                \
    X(REFUND_RACED, "refund lost its N and planned again")                                                             \
    X(REFUND_FAILED, "refund refused by the provider")                                                                 \
    X(UNWIND_BEHIND_REFUSED, "unwind took a later N, behind a refused refund")                                         \
    X(UNWIND_FOR_A_PERSON, "unwind refused for good")                                                                  \
    X(NOTICE_REFUSED, "notice refused")
enum sim_event {
#define X(id, text) EVENT_##id,
    SIM_EVENTS(X)
#undef X
};
enum {
#define X(id, text) +1
    SIM_EVENT_COUNT = 0 SIM_EVENTS(X)
#undef X
};

/* What one history, or all of a run, came through. */
struct coverage {
    long events[SIM_EVENT_COUNT];
    long slots[SLOT_KIND_COUNT];
    long states[SAGA_STATE_COUNT];
    long publics[PUBLIC_STATE_COUNT];
};

/* A command, known by its id; several messages may carry it. */
struct sim_command {
    const char *type;
    char slot[SLOT_SIZE]; /* "" for commands from outside */
    int n, k;
    struct uuid id;
    int amount;   /* payment.refund */
    int dead;     /* payment.compensate: the command that died */
    int attempts; /* payment.compensate: how often it had died then */
    bool replay;  /* payment.compensate: asked by an operator to send the dead letter again */
    int deaths;
    bool redelivered; /* a delivery of it died */
};

struct write {
    char slot[SLOT_SIZE];
    const char *outcome;
    json_t *body; /* borrowed */
    int with;     /* only if that write of the same transaction was won; -1: for itself */
    bool won;
};

/* A delivery in work. */
enum phase { PHASE_IDLE, PHASE_PLAN, PHASE_COMMIT, PHASE_LOOK, PHASE_CALL, PHASE_SETTLE, PHASE_ACK };
struct worker {
    enum phase phase;
    int command;
    int write_count;
    struct write writes[SIM_WRITES];
    struct call call;
    enum answer answer;
    bool settling;           /* the writes are results, not intents */
    bool has_sent;           /* an authorization without an answer */
    bool redelivered;        /* a delivery before it died, which may have */
    bool leaving;            /* it writes the doubts that it owes */
    int question;            /* K of the question that was answered */
    bool saw_decision;       /* at the last look: a negative answer may be out of date */
    bool said[SIM_COMMANDS]; /* each command once per delivery */
};

/* How often each thing may still go wrong. */
struct budget {
    int crash, duplicate, fault, flight, stall, cancel, expire, refund, dead, replay, wipe, look, hold, reservation,
        callback;
};

struct sim {
    struct dice dice;
    enum flow flow;
    int routes;
    bool refused_by_rule;
    struct budget budget;
    struct world world;
    struct facts facts;
    struct fact items[SIM_FACTS];
    struct payment payment; /* the fold of the facts as they are now; steps keep what they saw of it */
    bool folded;
    int command_count;
    struct sim_command commands[SIM_COMMANDS];
    int queue_count, queue[SIM_QUEUE];
    struct worker workers[SIM_WORKERS];
    int flight_count;
    struct call flight[SIM_FLIGHT];
    bool wiped, stalls;
    enum public_state end; /* the first end that was seen */
    bool ended;
    bool loud;          /* print every move */
    char failure[1024]; /* "" while all is well */
    struct coverage *coverage;
};

/* Runs history `seed`. False when a law was broken: the sim's `failure` says which. */
bool sim_run(struct sim *sim, uint64_t seed, bool loud, struct coverage *coverage);

void sim_event(struct sim *sim, enum sim_event event);
void sim_fail(struct sim *sim, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The steps: what a delivery begins, and what it makes of an answer. */
void step_plan(struct sim *sim, struct worker *w);
/* After the commit of its intents: whether the call is still to be made. */
void step_begun(struct sim *sim, struct worker *w);
/* False: nothing to write, try the whole command again later. */
bool step_settle(struct sim *sim, struct worker *w);
/* After the commit of its results. True: there is more to write. */
bool step_settled(struct sim *sim, struct worker *w);

/* For steps. */
struct write *sim_write(struct worker *w, int with, const char *outcome, const char *slot, ...) PRINTF_LIKE(4, 5);
json_t *sim_amount(int amount);
json_t *sim_reason(enum reason reason);
bool sim_wrote(const struct sim *sim, const struct worker *w, const struct fact *fact); /* its own command did */

#endif
