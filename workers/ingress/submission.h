/* submission.h - a command on its way from a checked request to its answer
 *
 *     look up its key (L10) --new--> publish --confirmed--> [wait for its end] --> 202, or 200 with the end state
 *                  |--same body---------------------------> [wait for its end] --> the same
 *                  `--other body--> 409                     not confirmed, broker or ledger away --> 503
 *
 * submit.c looks up and publishes, waiting.c waits, this file makes submissions and gives their answers. Each is
 * answered exactly once, which frees it. 202 is said only after the broker's confirm. After a 503 the command may have
 * been taken or not: the client sends it again under the same key, and nothing happens twice.
 */
#ifndef ACQUIT_WORKERS_INGRESS_SUBMISSION_H
#define ACQUIT_WORKERS_INGRESS_SUBMISSION_H

#include <sys/queue.h>

#include "common/crypto.h"
#include "workers/ingress/ingress.h"
#include "workers/ingress/params.h"

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
    json_t *body;                  /* owned; exactly what is published */
    char sha256[SHA256_HEX_SIZE];  /* of its canonical text, as the workers compute it */
    int64_t wait_ms;               /* 0: answer at once */
    bool recorded;                 /* the ledger has this command; with this body, unless it is a conflict */
    int64_t deadline_ms;           /* monotonic, while waiting */
    TAILQ_ENTRY(submission) entry; /* in the list of those that are checked, or that wait */
};
TAILQ_HEAD(submission_list, submission);

/* Reads Idempotency-Key and wait from the request. NULL after answering the request with what is wrong. `body` is taken
 * over; payment_id is to be set by the caller. */
struct submission *submission_new(struct ingress *ingress, struct request *request, const struct submission_kind *kind,
                                  json_t *body);

/* The answers. Each frees the submission. */
void submission_answer(struct submission *submission, struct answer answer);
/* 202 with what is known; facts and payment NULL: nothing is. */
void submission_pending(struct submission *submission, const struct facts *facts, const struct payment *payment);
/* The end that the ledger shows. */
void submission_settle(struct submission *submission, const struct facts *facts, const struct payment *payment);
/* 409: this key was used for another body. */
void submission_conflict(struct submission *submission);
/* 503. */
void submission_unavailable(struct submission *submission, const char *why);
void submission_ledger_away(struct submission *submission, const struct err *err);

/* acquit_ingress_commands_total{type,result}. */
void submission_count(const struct submission *submission, const char *result);

#endif
