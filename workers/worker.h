/* worker.h - the skeleton that all worker types share, and what a step may ask of it
 *
 * A worker type is a table of steps. The skeleton takes deliveries, a batch at a time, and brings each through
 *
 *     load facts -> plan -> commit intents -> look, publish -> call -> settle -> commit results -> look, publish -> confirmed -> acknowledge
 *
 * so that the laws hold for every step alike: L1 (acknowledge last), L2 and L3 (facts decide), L4 (commit, then look), L5 (intent before
 * effect). A step only says which facts it wants and what to ask of whom. It must take every fact it finds as possible, its own too: a redelivery,
 * a duplicate or a replay runs the same code.
 */
#ifndef ACQUIT_WORKERS_WORKER_H
#define ACQUIT_WORKERS_WORKER_H

#include "common/err.h"
#include "common/http.h"
#include "common/loop.h"
#include "config/config.h"
#include "ledger/read.h"
#include "ledger/saga.h"
#include "ledger/store.h"
#include "queues/envelope.h"
#include "queues/publisher.h"
#include "workers/providers/mail.h"
#include "workers/providers/pop.h"
#include "workers/providers/provider.h"
#include "workers/providers/tokens.h"
#include "workers/providers/webhook.h"
#include "workers/templates.h"

enum {
    JOB_FACTS_MAX = 6, /* facts one commit of one delivery may add */
    JOB_TRANSFERS_MAX = 4,
    JOB_SENT_MAX = 128,               /* commands one delivery may publish */
    JOB_ROUNDS_MAX = 2 * REFUNDS_MAX, /* plans of one delivery (racing refunds plan again) */
};

/* What a step says is to happen next. Facts that it added are committed first, whatever the verdict. */
enum verdict {
    VERDICT_DONE,  /* nothing more: look, publish what follows, acknowledge */
    VERDICT_CALL,  /* then run the step's call() */
    VERDICT_WAIT,  /* from call() only: calls are under way, job_answered() ends the wait and settle() is next */
    VERDICT_AGAIN, /* load and plan anew: what was planned on has changed */
    VERDICT_RETRY, /* not now: goes to the wait queues, or to the dead letters once its attempts are used up; see job_reason() */
    VERDICT_LATER, /* nothing went wrong, but the answer takes its time: asked again on the question schedule, without counting an attempt; the step has to
                      end it, as it does once the payment's deadline has decided */
    VERDICT_DEAD,  /* never: goes to the dead letters with job_reason() */
};

/* Why a command died, as the compensation worker reads it. Only the exhausted may be undone: the others never began anything. */
#define DEATHS(X)                                                                                                      \
    X(EXHAUSTED, "exhausted")             /* its attempts are used up */                                               \
    X(CRASH_LOOP, "crash_loop")           /* the broker's delivery limit */                                            \
    X(INVALID, "invalid")                 /* cannot be read */                                                         \
    X(CONFLICT, "idempotency_conflict")   /* same key, other body (L10) */                                             \
    X(UNKNOWN_PAYMENT, "unknown_payment") /* no such payment of this publisher */                                      \
    X(REFUSED, "refused")                 /* the provider refuses for good what must be done: a case for a person */   \
    X(BROKEN, "broken")                   /* the facts contradict the protocol, or we do */                            \
    X(UNROUTABLE, "unroutable")           /* no queue for its type */                                                  \
    X(ARCHIVED, "archived")               /* its payment's facts are in an archive */
enum death {
#define X(id, text) DEATH_##id,
    DEATHS(X)
#undef X
};
const char *death_text(enum death death);

struct worker;
struct job;

struct step {
    const char *command;                /* "authorize.capture" */
    enum verdict (*plan)(struct job *); /* from the folded facts; adds the intents */
    enum verdict (*call)(
        struct job *); /* after their commit, with the facts looked at anew; starts the calls. NULL: nothing to call */
    enum verdict (*settle)(struct job *); /* the answers are in: adds the facts. NULL with call */
    enum verdict (*check)(struct job *);  /* after their commit: who lost compares (L6, L10). NULL: losing is fine */
    bool looks_at_all; /* publishes all of next, not only what rests on its own facts (payment.look, dead letters) */
};

struct worker_type {
    const char *name;         /* "authorize" */
    const struct step *steps; /* ends with a NULL command */
    /* Deliveries that are no commands (dead letters); NULL: every delivery is one. Fills the job's command and returns its step, or NULL for a
     * delivery that is an ordinary command. */
    const struct step *(*adopt)(struct job *);
    bool begins_payments; /* chooses providers: has circuit breakers */
};

/* The outside world of a process, lent to every step. */
struct surroundings {
    const struct config *config;
    struct loop *loop;
    struct publisher *publisher;
    struct publisher *answers; /* for reply_to only */
    struct http *http;
    struct provider *providers[CONFIG_PROVIDERS_MAX];
    size_t provider_count;
    struct breakers *breakers;         /* of the providers; NULL: nothing is kept away from them */
    struct pop *pop;                   /* NULL when no validators are configured */
    struct tokens *tokens;             /* NULL when no token system is configured */
    struct mail *mail;                 /* NULL when no mail server is configured */
    struct templates *templates;       /* of mails; NULL with mail */
    struct db *reader;                 /* for reading whole dead letters, and addresses */
    const char *user;                  /* our broker user, the user_id of what we publish */
    const char *const *internal_users; /* who may speak for a publisher; ends with NULL */
};

enum job_stage { JOB_LOAD, JOB_COMMIT, JOB_WAITING, JOB_SETTLE, JOB_FINISH, JOB_BACK_OFF };

/* One delivery on its way through a step. */
struct job {
    struct worker *worker;
    struct surroundings *around;
    struct delivery *delivery; /* owned */
    struct command command;
    const struct step *step;
    struct facts facts;     /* as last loaded */
    struct payment payment; /* their fold; valid while `folded` */
    bool folded;
    /* What the step adds, until the commit. */
    struct new_fact new_facts[JOB_FACTS_MAX];
    size_t new_fact_count;
    struct new_transfer new_transfers[JOB_TRANSFERS_MAX];
    size_t new_transfer_count;
    struct new_command new_command;
    bool has_command;
    struct new_personal new_personal;
    bool has_personal;
    struct new_dead_letter new_dead_letter;
    bool has_dead_letter;
    /* The call. */
    int target;               /* N of the authorization, void or refund at work */
    int question;             /* K of the doubt an unknown answer writes */
    bool ask;                 /* only a question is asked */
    int64_t asked_at_ms;      /* wall clock, when the call was started (L6) */
    int64_t called_ms;        /* the same, monotonic */
    bool has_sent;            /* an authorization, whose answer is not known yet (late.h) */
    bool redelivered;         /* the delivery is: one before it may have sent what nobody knows the answer of */
    char observed[SLOT_SIZE]; /* the doubt that it has left of that, until it is seen to be asked about; "" when none */
    bool cancelling;          /* the call is the cancellation of an unfinished authorization */
    void *call;               /* handle of the call under way */
    void (*call_cancel)(void *call);
    struct provider_answer answer; /* of a payment provider; its JSON members are owned here */
    struct pop_answer pop;
    struct tokens_answer tokens;
    struct webhook_answer webhook;
    void *own; /* of the step; freed with free() */
    /* The skeleton's. */
    enum job_stage stage;
    enum verdict then; /* after the commit */
    bool results;      /* the commit under way is that of settle() */
    bool won;          /* the first fact of the last commit was */
    int rounds;
    enum death death;
    char reason[ERR_TEXT_MAX];
    struct uuid sent[JOB_SENT_MAX];
    size_t sent_count;
    int unconfirmed;
    bool publish_failed;
    int64_t not_before_ms; /* JOB_BACK_OFF: monotonic */
    int back_offs;
    int64_t started_ms;
    struct job *next, *previous;
};

/* Adds a fact of the job's own payment, with the job's command as cause. `with` is the slot it depends on, or NULL; `body` is taken over, may be NULL. */
struct new_fact *job_fact(struct job *job, const char *slot, const char *with, const char *outcome, json_t *body);
struct new_fact *job_fact_f(struct job *job, const char *with, const char *outcome, json_t *body,
                            const char *slot_format, ...) PRINTF_LIKE(5, 6);
/* Guards the fact with the publisher's command: it goes in only if this key was never used for another body (L10). */
void job_guard(struct job *job, struct new_fact *fact);
/* Adds transfers made by book.h, which answered `count`; after its error (-1) the facts added so far are dropped and the command is dead:
 * no fact without its transfers (L8). Returns the verdict to go on with. */
enum verdict job_books(struct job *job, const struct new_transfer *transfers, int count, const struct err *err);

/* Says why, for the history, the dead letter and the log; returns the verdict for `return job_retry(job, ...)`. */
enum verdict job_retry(struct job *job, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum verdict job_later(struct job *job, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* True when payment.look said this command, whose first copy is probably under way still. */
bool job_said_by_look(const struct job *job);
enum verdict job_dead(struct job *job, enum death death, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Publishes one more message, to be confirmed before the acknowledgement. */
void job_publish(struct job *job, const struct message *message);

/* The same for what nobody has to hear: a queue that has vanished is no failure. */
void job_tell(struct job *job, const struct message *message);

/* Answers the delivery's own reply_to, if it has one that may be answered; a courtesy, never a failure. */
void job_reply(struct job *job, const json_t *body);

/* May an answer go to this address? A direct reply-to, or a queue app.<publisher>.* of the publisher's own. */
bool reply_allowed(const char *reply_to, const char *publisher);

/* The calls of the job are answered: settle() runs in the next turn. */
void job_answered(struct job *job);

/* True for a fact that this job's command caused. */
bool job_caused(const struct job *job, const struct fact *fact);

struct worker *worker_new(const struct worker_type *type, struct surroundings *around, struct err *err) MUST_CHECK;
void worker_free(struct worker *worker);
/* Stops taking deliveries; `done` is called when the last one is acknowledged or drain_ms are over. */
void worker_drain(struct worker *worker, void (*done)(void *arg, size_t left), void *arg);
/* The loop turned and no job is older than its bounds allow (for the watchdog). */
bool worker_healthy(void *worker);

extern const struct worker_type worker_authorize, worker_pop_validate, worker_token_activate, worker_refund,
    worker_notify, worker_compensate;

#endif
