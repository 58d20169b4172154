/* policy.c - see policy.h */
#include "workers/policy.h"

#include "common/clock.h"
#include "common/mutant.h"
#include "queues/topology.h"

enum { SHIFT_MAX = 20, QUESTIONS_AN_HOUR = 100, QUESTIONS_A_DAY = 250 };

/* base * 2^shift, at most cap; without overflow. */
static int64_t doubled(int64_t base_ms, int64_t cap_ms, int shift)
{
    int times = shift < 0 ? 0 : shift > SHIFT_MAX ? SHIFT_MAX : shift;
    return base_ms > cap_ms >> times ? cap_ms : base_ms << times;
}

int64_t policy_back_off(int64_t base_ms, int64_t cap_ms, int attempt)
{
    return (int64_t)clock_random((uint64_t)doubled(base_ms, cap_ms, attempt) + 1);
}

static int64_t first_failure_ms(const struct command *command, int64_t now_ms)
{
    const json_t *first = json_array_get(command->history, 0);
    return json_int(first, "at", now_ms);
}

bool policy_retry(const struct config *config, const struct command *command, bool unknown_payment, int64_t now_ms,
                  int64_t *ret_delay_ms)
{
    struct retry_config retry = config_retry(config, command->type ? command->type->name : "");
    *ret_delay_ms = policy_back_off(retry.base_ms, retry.cap_ms, command->attempt);
    if (unknown_payment)
        return now_ms - first_failure_ms(command, now_ms) < config_int(config, "retry.unknown_payment_ms");
    return command->attempt + 1 < retry.attempts;
}

bool policy_gives_up(const struct config *config, const struct command *command, int64_t now_ms)
{
    return now_ms - first_failure_ms(command, now_ms) >= config_int(config, "question.give_up_ms");
}

/* Whoever has asked in vain for long asks rarely: DOUBTS_MAX questions last for more than a month. */
static int64_t question_cap_ms(const struct config *config, int k)
{
    int64_t cap = config_int(config, "question.cap_ms");
    int64_t late = k > QUESTIONS_A_DAY ? 3600 * 1000 : k > QUESTIONS_AN_HOUR ? 600 * 1000 : 0;
    return cap > late ? cap : late;
}

int64_t policy_question_bound(const struct config *config, int k)
{
    return doubled(config_int(config, "question.base_ms"), question_cap_ms(config, k), k);
}

int64_t policy_question_delay(const struct config *config, int k)
{
    /* Half fixed, half random: a question too early is wasted, all at once would be a storm. */
    int64_t bound = policy_question_bound(config, k);
    return bound / 2 + (int64_t)clock_random((uint64_t)(bound / 2) + 1);
}

bool policy_may_send(int64_t now_ms, int64_t send_until_ms)
{
    return now_ms < send_until_ms || MUTANT(SEND_FOR_EVER); /* L6 */
}

bool policy_may_conclude_absent(int64_t asked_at_ms, int64_t send_until_ms, int64_t timeout_ms, int64_t horizon_ms)
{
    return asked_at_ms > send_until_ms + timeout_ms + horizon_ms || MUTANT(ABSENT_AT_ONCE); /* L6 */
}
