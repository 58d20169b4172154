/* policy.h - when a command is tried again, when a question is asked again, and when a command is dead
 *
 * All of the policy about time and attempts; nothing else decides it. Pure apart from the random jitter.
 */
#ifndef ACQUIT_WORKERS_POLICY_H
#define ACQUIT_WORKERS_POLICY_H

#include "config/config.h"
#include "common/json.h"
#include "queues/envelope.h"

/* Exponential back-off with full jitter: uniformly random below min(cap, base * 2^attempt), in milliseconds. */
int64_t policy_back_off(int64_t base_ms, int64_t cap_ms, int attempt);

/* May the command be tried again after `attempt` attempts that failed? *ret_delay_ms says when. Attempts and delays are those of its type in
 * retry_types, or of retry.*. A refund or cancel of an unknown payment waits for
 * retry.unknown_payment_ms in all instead of counting attempts. */
bool policy_retry(const struct config *config, const struct command *command, bool unknown_payment, int64_t now_ms,
                  int64_t *ret_delay_ms);

/* Has the command been tried for longer than question.give_up_ms, so that it is a person's? */
bool policy_gives_up(const struct config *config, const struct command *command, int64_t now_ms);

/* When question K about an unknown outcome is asked (L6: unknown outcomes do not count as attempts). */
int64_t policy_question_delay(const struct config *config, int k);

/* The longest that question K may wait. */
int64_t policy_question_bound(const struct config *config, int k);

/* Until when an intent may be sent, and from when a question may conclude `absent` (L6). Wall clock, ms. */
bool policy_may_send(int64_t now_ms, int64_t send_until_ms);
bool policy_may_conclude_absent(int64_t asked_at_ms, int64_t send_until_ms, int64_t timeout_ms, int64_t horizon_ms);

#endif
