/* submit.h - the way of a command from a checked request to its answer
 *
 *     look up its key (L10) --new--> publish --confirmed--> [wait for its end] --> 202, or 200 with the end state
 *                  |--same body---------------------------> [wait for its end] --> the same
 *                  `--other body--> 409                     not confirmed, broker or ledger away --> 503
 *
 * 202 is said only after the broker's confirm. After a 503 the command may have been taken or not: the client sends it again under the
 * same key, and nothing happens twice. Lookups and waits are batched: one query for all that came in one turn, one for all that wait.
 */
#ifndef ACQUIT_WORKERS_INGRESS_SUBMIT_H
#define ACQUIT_WORKERS_INGRESS_SUBMIT_H

#include <sys/queue.h>

#include "common/crypto.h"
#include "workers/ingress/ingress.h"
#include "workers/ingress/params.h"

enum {
    WAIT_TICK_MS = 20,  /* how often the ledger is asked about those who wait */
    WAITING_MAX = 4096, /* requests that may wait at once; further ones are answered 202 at once */
};

struct submission;

/* What differs between the commands. */
struct submission_kind {
    const char *type;     /* "payment.create" */
    const char *accepted; /* message of the 202 */
    /* Is there an end to tell? The payment has `received`. */
    bool (*settled)(const struct submission *submission, const struct payment *payment);
    /* The answer once settled. */
    struct answer (*settle)(const struct submission *submission, const struct facts *facts,
                            const struct payment *payment);
    /* What is known before; `payment` is NULL when the ledger was not asked or has nothing. */
    json_t *(*pending)(const struct submission *submission, const struct facts *facts, const struct payment *payment);
    /* Names of the fields in which the recorded command differs; empty when the record cannot tell. */
    json_t *(*differing)(const struct submission *submission, const struct payment *payment);
    /* Where to ask later. */
    void (*locate)(const struct submission *submission, struct answer *answer);
};

struct submission {
    struct ingress *ingress;
    const struct submission_kind *kind;
    struct request *request; /* unanswered */
    const struct publisher_config *publisher;
    char key[KEY_SIZE];
    bool own_key; /* we made the key: nobody can have used it before */
    struct uuid payment_id, command_id;
    json_t *body;                 /* owned; exactly what is published */
    char sha256[SHA256_HEX_SIZE]; /* of its canonical text, as the workers compute it */
    int64_t wait_ms;              /* 0: answer at once */
    bool recorded;                /* the ledger has this command */
    int64_t deadline_ms;          /* monotonic, while waiting */
    TAILQ_ENTRY(submission) entry;
};

/* Reads Idempotency-Key and wait from the request. NULL after answering the request with what is wrong. `body` is taken over;
 * payment_id is to be set by the caller before submit(). */
struct submission *submission_new(struct ingress *ingress, struct request *request, const struct submission_kind *kind,
                                  json_t *body);
/* Answers the request, now or later, and frees the submission. */
void submit(struct submission *submission);
/* Answers the request with this instead, and frees the submission. */
void submission_end(struct submission *submission, struct answer answer);

/* Answers with the end that the ledger already shows, without publishing anything, and frees the submission. */
void submission_settle(struct submission *submission, const struct facts *facts, const struct payment *payment);

struct submissions *submissions_new(struct ingress *ingress);
void submissions_free(struct submissions *submissions); /* accepts NULL; nobody may wait any more */
/* Answers all who still wait with what is known. */
void submissions_hurry(struct submissions *submissions);
size_t submissions_waiting(const struct submissions *submissions);

#endif
