/* steps.h - what several steps share: intents, calls to a payment provider, bodies of facts */
#ifndef ACQUIT_WORKERS_STEPS_H
#define ACQUIT_WORKERS_STEPS_H

#include "workers/worker.h"

enum { PROVIDER_KEY_TEXT_SIZE = UUID_TEXT_SIZE + SLOT_SIZE };

/* The idempotency key of an intent, derived from (payment_id, slot) alone (L5). Returns ret. */
const char *intent_key(struct uuid payment, const char *slot, char ret[static PROVIDER_KEY_TEXT_SIZE]);

/* The configured provider of that name, or NULL. */
struct provider *step_provider(const struct job *job, const char *name);

/* The name of the provider that holds authorization N, from its intent; "" when there is none. */
const char *authorization_provider(const struct payment *payment, int n);

/* {"provider","key","sendUntil"} of an intent at `slot`. `window_ms`: how long from now it may be sent. */
json_t *intent_body(const struct job *job, const char *provider, const char *slot, int64_t window_ms);
/* How long a capture or refund may be sent again under its key: most of the key's life, at most a day. */
int64_t repeat_window_ms(const struct provider *provider);

/* {"provider","reference","code","message","evidence"} from the job's answer. */
json_t *answer_body(const struct job *job, const char *provider);

/* {"reason","code","message"} of a `decision`=abort. */
json_t *abort_body(const char *reason, const char *code, const char *message);

/* Records the command under its key although no fact of its own is written (L10): it came too late. */
void note_command(struct job *job);

/* Notes in the first fact of a public command where its answer goes ("replyTo", "correlationId"), if anywhere. */
void note_reply(const struct job *job, json_t *body);

/* Is the payment the publisher's who sent this command? Others' look unknown. */
bool owns_payment(const struct job *job);

/* Same key, other body (L10): the verdict for it. */
enum verdict key_conflict(struct job *job);

/* Starts the call of `operation` for the intent at `slot`, of the money of authorization N; `ask`: only a question. The key follows from the
 * slot. Sets job->target, ask and asked_at_ms. Always VERDICT_WAIT: a call that could not even be built is answered as unknown. */
enum verdict start_provider_call(struct job *job, enum provider_operation operation, const char *slot, int n,
                                 int64_t amount, bool ask);

/* Empties the provider's answer that the job holds. */
void forget_answer(struct job *job);

/* May the question that the job asked conclude `absent` for an intent with this body (L6)? Counted from when it could last be sent: the end of its window,
 * or the moment when its key was known to be spent (ADR 9). */
bool may_conclude_absent(const struct job *job, const json_t *intent_body, const struct fact *last_doubt);

/* Is the intent's key spent: sent again, it will never do anything? */
bool is_spent(const struct fact *last_doubt);

/* {"code","message","asked","evidence"} of an answer that is none. */
json_t *doubt_body(const struct job *job);

/* A fact `<intent>:doubt:K` with what is known; `last_doubt` is the one before it, or NULL. Usually VERDICT_DONE: the next question follows from the fact; the
 * last question there is (DOUBTS_MAX) becomes a person's case, and its replay asks it again. */
enum verdict add_doubt(struct job *job, const char *intent, int k, const struct fact *last_doubt);

#endif
