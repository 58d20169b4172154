/* simulate.h - the world of the deterministic simulation
 *
 * The programs' own objects run here (saga, skeleton, policy, steps, envelope, keeper's sweep, registry of providers); broker, database, what
 * is behind providers, clock and loop are this folder's. Everything that is left to chance comes from one seed, so a run is a pure function of
 * the seed, the payments and the faults that are allowed.
 *
 * Virtual time is in microseconds and moves only from event to event. A process of ours is a coroutine: it waits wherever a real one would wait
 * for its database, others go on meanwhile, and it can be killed at each of these points and at every fault point.
 */
#ifndef ACQUIT_TESTS_SIMULATE_H
#define ACQUIT_TESTS_SIMULATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ids.h"
#include "config/config.h"
#include "ledger/saga.h"
#include "ledger/store.h"
#include "queues/message.h"
#include "workers/worker.h"

/* --- chance, and what may go wrong (chance.c) --- */

/* clang-format off */
#define FAULTS(X)                                                                                                      \
    X(CRASH, "crash")                       /* a process dies at a point where it waits, or at a fault point */        \
    X(DUPLICATE, "duplicate message")       /* the broker has a message twice */                                       \
    X(REORDER, "reordered message")         /* a later message is delivered first */                                   \
    X(REFUSED, "refused publish")           /* the broker takes a message not */                                       \
    X(LOST_CONFIRM, "lost confirm")         /* it may have the message, or not */                                      \
    X(LOST_CONSUMER, "lost consumer")       /* a consumer's connection ends: its deliveries come again */              \
    X(WIPED_QUEUE, "wiped queue")           /* all messages of one queue are gone */                                   \
    X(WIPED_BROKER, "wiped broker")         /* all messages are gone */                                                \
    X(LEDGER_AWAY, "ledger away")           /* for some seconds */                                                     \
    X(DEADLOCK, "deadlock")                 /* the append is refused, and may be run again */                          \
    X(COMMIT_UNKNOWN, "commit unknown")     /* though it was committed */                                              \
    X(COMMIT_LOST, "commit lost")           /* unknown, and it was not */                                              \
    X(NOT_SENT, "not sent")                 /* to a provider */                                                        \
    X(TIMEOUT_BEFORE, "timeout before effect")                                                                         \
    X(TIMEOUT_AFTER, "timeout after effect")                                                                           \
    X(LATE_EFFECT, "late effect")           /* unanswered, and done later */                                           \
    X(KEPT_ERROR, "kept error")             /* a 5xx before the effect that the key keeps */                           \
    X(ERROR_AFTER, "error after effect")    /* a 5xx */                                                                \
    X(STALE_ANSWER, "stale answer")         /* a question does not see yet what was done */                            \
    X(DARK, "unanswered past the key's life") /* done, and for hours nobody hears of it */                             \
    X(SLOW_ANSWER, "slow answer")                                                                                      \
    X(EXPIRED_HOLD, "expired hold")         /* an authorization runs out at the provider */                            \
    X(CLOCK_JUMP, "clock jump")             /* of one process, forwards or back */                                     \
    X(CURSED, "cursed message")             /* whoever takes it dies, until the broker gives it up */                  \
    X(STALL, "stalled process")             /* frozen between its look at the clock and its call */                    \
    X(PARTNER_AWAY, "partner away")         /* token system and validators, for minutes */                             \
    X(REPLAY, "replay in trouble")          /* an operator, or two, send a dead letter again while things go wrong */
/* clang-format on */
enum fault_kind {
#define X(id, text) CHANCE_##id,
    FAULTS(X)
#undef X
};
enum {
#define X(id, text) +1
    FAULT_KIND_COUNT = 0 FAULTS(X)
#undef X
};

/* What is simulated: with this, and the commit, everything repeats. */
struct scenario {
    uint64_t seed;
    int payments;      /* at most WORLD_PAYMENTS_MAX */
    uint64_t without;  /* bit i: payment i is left out */
    uint32_t faults;   /* bit i: faults of kind i may happen */
    int faults_before; /* no fault happens from the n-th on */
    bool tell;         /* print the story */
};
enum { WORLD_PAYMENTS_MAX = 64, FAULTS_UNLIMITED = 1 << 30 };

/* What a world allows; follows from its seed. */
enum world_kind {
    WORLD_ROUGH,    /* everything */
    WORLD_LOSSLESS, /* the broker loses nothing, and the keeper's looks are lost: L4 must do without */
    WORLD_CALM,     /* no fault at all, so the keeper must have nothing to look at */
};
enum world_kind world_kind(void);

uint64_t chance_below(uint64_t below);
int64_t chance_between(int64_t least, int64_t most);
bool chance_per_mille(int per_mille);
/* A fault of that kind, with this probability: false when it may not happen (any more). Counted as covered when it does. */
bool fault(enum fault_kind kind, int per_mille);
/* A random number that depends on the scenario's seed, the payment and `what` alone: leaving out other payments does not change it. */
uint64_t chance_of_payment(int payment, int what, uint64_t below);
void chance_start(const struct scenario *scenario);
int faults_happened(void);

/* --- time and processes (schedule.c) --- */

extern const struct scenario *scenario;
extern int64_t now_us;

/* In `delay_us`, from the outside of every process. `keeps_awake`: the world is not at rest before it has happened. */
void later(int64_t delay_us, bool keeps_awake, void (*fn)(void *arg), void *arg);
bool world_idle(void); /* nothing that keeps awake is still to come */

struct process;
typedef void process_life(struct process *process, void *arg);
/* A process begins with `life` in its own coroutine; when that returns, it serves its loop for ever. */
struct process *process_start(const char *name, process_life *life, void *arg);
void process_kill(struct process *process);
bool process_alive(const struct process *process);
const char *process_name(const struct process *process);
struct process *process_here(void); /* the one that is running; NULL outside */
/* Runs fn in the process as soon as it is back in its loop. `owner`: dropped with process_forget(). */
void process_call(struct process *process, void (*fn)(void *arg), void *arg);
struct loop *process_loop(struct process *process);
void process_jump(struct process *process, int64_t ms); /* its wall clock */
/* The process waits; others go on. It may die here. */
void process_wait(int64_t delay_us);
void process_may_die(void);
/* It does not die for so long: what it is about to do, nobody else could find out (docs/simulation.md). */
void process_spare(struct process *process, int64_t us);
/* Called for each process that dies, before its memory is forgotten. */
extern void (*process_died)(struct process *process);

/* Runs events until `done` says so; false when there is nothing left to happen or time or events are over. */
bool schedule_run(bool (*done)(void), int64_t until_us, uint64_t events_most);
void schedule_start(void);
void schedule_end(void);

/* Trouble ends at this moment, so that everything can come to its end. */
enum { TROUBLE_S = 900 };
static inline bool in_trouble(void)
{
    return now_us < (int64_t)TROUBLE_S * 1000000;
}

/* --- the broker (broker.c) --- */

void broker_start(void);
void broker_end(void);
/* What somebody outside publishes; takes nothing over. */
void broker_publish(const struct message *message);
void broker_process_died(struct process *process);
void broker_process_stalled(struct process *process); /* its connection is given up */
int broker_looks(void);                               /* how often a keeper wanted a look */
void broker_wipe(const char *queue);                  /* NULL: all of it */
bool broker_empty(void);
size_t broker_queue_count(void);
const char *broker_queue_name(size_t i);

/* --- the ledger (database.c) --- */

struct db; /* one connection */
struct ledger_letter {
    struct uuid id, payment_id, command_id;
    char *queue, *type, *reason, *publisher, *message_id, *body;
    char body_sha256[65];
    bool settled;    /* a person's word stands, or none is waited for */
    int64_t said_us; /* when the operator said something of it, 0: never */
};
void database_start(void);
void database_end(void);
/* The facts of a payment as they stand now; facts_clear() them. */
void database_facts(struct uuid payment, struct facts *ret);
size_t database_payment_count(void);
struct uuid database_payment(size_t i);
size_t database_letter_count(void);
struct ledger_letter *database_letter(size_t i);
bool database_has_command(struct uuid id);
/* What is posted to receivable:<provider>, and how much of the holds is still pending. */
struct ledger_money {
    int64_t receivable, held;
};
struct ledger_money database_money(struct uuid payment, const char *provider);
/* The slot that a fact of this name is put in was filled with the cause `command`. */
bool database_caused(struct uuid payment, struct uuid command);
void database_away(int64_t until_us);

/* --- who is called (gateway.c, purchase.c) --- */

struct gateway_money {
    int64_t captured, refunded; /* of all its authorizations together */
    int captures;               /* authorizations that are captured, and not refunded in full */
    int live;                   /* authorizations that are held */
};
void gateway_start(void);
void gateway_end(void);
struct gateway_money gateway_money(struct uuid payment, const char *provider);
void purchase_start(void);
void purchase_end(void);
enum token_state { TOKEN_NONE, TOKEN_RESERVED, TOKEN_REFUSED, TOKEN_ACTIVE, TOKEN_RELEASED, TOKEN_DEACTIVATED };
enum proof_state { PROOF_NONE, PROOF_VALID, PROOF_INVALID, PROOF_COMMITTED, PROOF_REVOKED };
enum token_state purchase_token(struct uuid payment);
enum proof_state purchase_proof(struct uuid payment);
struct http;
struct pop *purchase_validators(struct http *http); /* for struct surroundings */
struct tokens *purchase_tokens(struct http *http);

/* --- who asks, and who repairs (actors.c) --- */

enum { REFUNDS_EACH = 3 };
struct wish {
    struct uuid id; /* of the payment */
    char message_id[32];
    bool left_out, dual, create_wiped;
    int64_t amount;
    struct uuid create, cancel, refunds[REFUNDS_EACH]; /* command ids; nil: not asked for */
    bool cancel_wiped, refund_wiped[REFUNDS_EACH];
    bool conflict;            /* payment.create was published with two bodies */
    bool stalled;             /* a call of it was sent after everybody else had given it up */
    bool may_fail_to_capture; /* the provider had a reason of its own to refuse it */
    unsigned told;            /* bit of enum told: ends that anybody was told */
};
enum told { TOLD_COMPLETED = 1, TOLD_FAILED = 2, TOLD_CANCELLED = 4 };
extern struct wish wishes[WORLD_PAYMENTS_MAX];
struct wish *wish_find(struct uuid payment);
void actors_start(void);
void actors_told(const struct message *message); /* an event, or an answer */
void actors_told_json(const json_t *event);
void actors_wiped(const struct message *message);
bool actors_desk_clear(void); /* nothing waits for a person's word */

/* --- our processes (farm.c) --- */

int farm_open(const char *path, struct err *err) MUST_CHECK; /* settings, once */
void farm_close(void);
void farm_start(void);

/* --- judging (oracle.c), counting (coverage.c) --- */

/* NULL when all is as it must be; else what is wrong, in words. */
const char *oracle_judge(void);
void oracle_start(void);
bool oracle_all_ended(void);
struct coverage {
    uint64_t payments, worlds, events;
    uint64_t faults[FAULT_KIND_COUNT], slots[SLOT_KIND_COUNT], states[SAGA_STATE_COUNT], publics[PUBLIC_STATE_COUNT],
        reasons[REASON_COUNT];
    uint64_t points[16]; /* crashes at fault points */
    uint64_t outcomes[64];
    uint64_t http[7]; /* not sent, unknown, 2xx, -, 4xx, 5xx, replayed */
    uint64_t deaths[16];
};
extern struct coverage coverage;
void coverage_note(const struct facts *facts, const struct payment *payment);
void coverage_add(struct coverage *to, const struct coverage *from);
/* Prints the tables; the number of zeros that should not be. */
int coverage_print(const struct coverage *all);

/* The story of a run, a line each; nothing unless it is told. */
void story(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
