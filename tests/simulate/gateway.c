/* gateway.c - the books of two payment providers, and what befalls the requests to them
 *
 * As a real one: a key that comes again within its life gets the first answer, whatever that was; later it is a new request. A question has no effect. What was done
 * may be seen late. How a payment goes (declined, challenged, capture refused ...) is the payment's own fate; what befalls a call is a fault.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "tests/simulate/gateway.h"

enum {
    BUCKETS = 64,
    STRIPE_KEY_LIFE_MS = 24 * 3600 * 1000,
    DARK_S = 9000, /* longer than a key lives */
    LATE_MOST_MS =
        15000, /* after its timeout; with STALE_MOST_MS and two clocks' errors less than the visibility horizon */
    STALE_MOST_MS = 10000,
    NETWORK_MOST_MS = 40,
    SLOW_MOST_MS = 8000,
    STALL_LEAST_S = 110, /* longer than a call's window, its timeout and the visibility horizon together */
    STALL_MOST_S = 200,
    SPARED_S = 900,
};

static struct hold *holds[BUCKETS];
static struct kept *answers[BUCKETS];
static uint64_t references;

static size_t bucket(struct uuid payment)
{
    return payment.bytes[0] % BUCKETS;
}

/* --- the fate of a payment --- */

enum fate { FATE_AUTHORIZE, FATE_CAPTURE, FATE_VOID, FATE_REFUND, FATE_CHALLENGE };

static bool fated(const struct order *order, enum fate fate, uint64_t least, uint64_t below)
{
    const struct wish *wish = wish_find(order->payment);
    if (!wish)
        return false;
    int what = 100 + (int)fate * 2 + (strcmp(order->provider, "alpha") == 0);
    uint64_t value = chance_of_payment((int)(wish - wishes), what, 1000);
    return value >= least && value < below;
}

static bool is_spared(const struct order *order)
{
    const struct wish *wish = wish_find(order->payment);
    return wish && wish->stalled;
}

/* --- books --- */

struct hold *gateway_hold(const struct order *order, int64_t seen_us)
{
    for (struct hold *hold = holds[bucket(order->payment)]; hold; hold = hold->next) {
        if (hold->provider != order->provider || hold->changed_us > seen_us)
            continue;
        if (*order->reference ? strcmp(hold->reference, order->reference) == 0
                              : strcmp(hold->key, order->authorization_key) == 0)
            return hold;
    }
    return NULL;
}

/* As the provider's module says. */
static int64_t key_life_ms(const char *provider)
{
    return strcmp(provider, "alpha") == 0 ? STRIPE_KEY_LIFE_MS : GATEWAY_KEY_LIFE_MS;
}

static struct kept *find_kept(const struct order *order)
{
    for (struct kept *kept = answers[bucket(order->payment)]; kept; kept = kept->next)
        if (kept->provider == order->provider && strcmp(kept->key, order->key) == 0 &&
            now_us - kept->at_us < key_life_ms(order->provider) * 1000)
            return kept;
    return NULL;
}

/* What a question by key finds: also when the key itself is forgotten. */
static struct kept *find_done(const struct order *order, int64_t seen_us)
{
    struct kept *found = NULL;
    for (struct kept *kept = answers[bucket(order->payment)]; kept; kept = kept->next)
        if (kept->provider == order->provider && strcmp(kept->key, order->key) == 0 && kept->at_us <= seen_us &&
            (!found || kept->outcome == PROVIDER_DONE))
            found = kept;
    return found;
}

static void say(struct provider_answer *ret, enum provider_outcome outcome, const char *code, const char *reference)
{
    *ret = (struct provider_answer){.outcome = outcome};
    snprintf(ret->code, sizeof ret->code, "%s", code);
    snprintf(ret->reference, sizeof ret->reference, "%s", reference);
}

static void set_state(struct hold *hold, enum hold_state state)
{
    hold->before = hold->state;
    hold->state = state;
    hold->changed_us = now_us;
}

static void run_out(void *arg)
{
    struct hold *hold = arg;
    if (hold->state == HOLD_HELD || hold->state == HOLD_CHALLENGED)
        set_state(hold, HOLD_EXPIRED);
    struct wish *wish = wish_find(hold->payment);
    if (wish && hold->state == HOLD_EXPIRED)
        wish->may_fail_to_capture = true;
}

static void customer_answers(void *arg)
{
    struct hold *hold = arg;
    if (hold->state != HOLD_CHALLENGED)
        return;
    struct order order = {.payment = hold->payment, .provider = hold->provider};
    set_state(hold, fated(&order, FATE_CHALLENGE, 0, 650) ? HOLD_HELD : HOLD_DECLINED);
}

static void authorize(const struct order *order, struct provider_answer *ret)
{
    struct hold *hold = mem_new(1, sizeof *hold);
    *hold = (struct hold){
        .provider = order->provider, .payment = order->payment, .amount = order->amount, .made_us = now_us};
    snprintf(hold->key, sizeof hold->key, "%s", order->key);
    snprintf(hold->reference, sizeof hold->reference, "%s_%llu", order->provider, (unsigned long long)++references);
    hold->next = holds[bucket(order->payment)];
    holds[bucket(order->payment)] = hold;
    if (fated(order, FATE_AUTHORIZE, 0, 80)) {
        set_state(hold, HOLD_DECLINED);
        say(ret, PROVIDER_REFUSED, "declined", hold->reference);
    } else if (fated(order, FATE_AUTHORIZE, 80, 130)) {
        set_state(hold, HOLD_CHALLENGED);
        say(ret, PROVIDER_ACTION, "requires_action", hold->reference);
        if (fated(order, FATE_CHALLENGE, 0, 850)) /* else nobody answers it */
            later(chance_between(1, 90) * 1000000, true, customer_answers, hold);
        else if (fated(order, FATE_CHALLENGE, 850, 950))
            later(chance_between(10, 300) * 1000000, true, run_out, hold);
    } else {
        set_state(hold, HOLD_HELD);
        say(ret, PROVIDER_DONE, "", hold->reference);
    }
    if (fault(CHANCE_EXPIRED_HOLD, 30))
        later(chance_between(10, 60000) * 1000, true, run_out, hold);
    story("GATEWAY %s authorizes %s: %d", order->provider, order->key + 37, (int)hold->state);
}

static void capture(const struct order *order, struct hold *hold, struct provider_answer *ret)
{
    struct wish *wish = wish_find(order->payment);
    bool refused = fated(order, FATE_CAPTURE, 0, 25);
    if (wish)
        wish->may_fail_to_capture = wish->may_fail_to_capture || refused || hold->state == HOLD_EXPIRED;
    if (hold->state == HOLD_HELD && !refused) {
        hold->captured = order->amount;
        set_state(hold, HOLD_CAPTURED);
        say(ret, PROVIDER_DONE, "", hold->reference);
        story("GATEWAY %s captures", order->provider);
        return;
    }
    say(ret, PROVIDER_REFUSED,
        hold->state == HOLD_CAPTURED  ? "already_captured"
        : hold->state == HOLD_EXPIRED ? "authorization_expired"
                                      : "capture_refused",
        hold->reference);
}

static void cancel(struct hold *hold, struct provider_answer *ret)
{
    switch (hold->state) {
    case HOLD_CAPTURED:
        say(ret, PROVIDER_REFUSED, "already_captured", hold->reference);
        return;
    case HOLD_DECLINED:
        if (strcmp(hold->provider, "alpha") == 0) { /* Stripe cancels what nobody has paid */
            set_state(hold, HOLD_VOIDED);
            say(ret, PROVIDER_DONE, "", hold->reference);
            return;
        }
        say(ret, PROVIDER_ABSENT, "", "");
        return;
    case HOLD_EXPIRED:
        say(ret, PROVIDER_EXPIRED, "authorization_expired", hold->reference);
        return;
    case HOLD_HELD:
    case HOLD_CHALLENGED:
    case HOLD_VOIDED:
        set_state(hold, HOLD_VOIDED);
        say(ret, PROVIDER_DONE, "", hold->reference);
    }
}

static bool is_dual(struct uuid payment)
{
    const struct wish *wish = wish_find(payment);
    return wish && wish->dual;
}

static void refund(const struct order *order, struct hold *hold, struct provider_answer *ret)
{
    char reference[40];
    if (hold->state != HOLD_CAPTURED || order->amount > hold->captured - hold->refunded) {
        say(ret, PROVIDER_REFUSED, "amount_too_large", "");
        return;
    }
    /* An unwind that is refused for good is a person's case: none of them here. */
    if (!is_dual(order->payment) && fated(order, FATE_REFUND, 0, 60)) {
        say(ret, PROVIDER_REFUSED, "refund_refused", "");
        return;
    }
    hold->refunded += order->amount;
    hold->changed_us = now_us;
    snprintf(reference, sizeof reference, "re_%llu", (unsigned long long)++references);
    say(ret, PROVIDER_DONE, "", reference);
    story("GATEWAY %s refunds %lld", order->provider, (long long)order->amount);
}

static struct kept *keep(const struct order *order, int64_t dark_until_us)
{
    const struct provider_answer *answer = &order->answer;
    struct kept *kept = mem_new(1, sizeof *kept);
    *kept = (struct kept){.provider = order->provider,
                          .payment = order->payment,
                          .operation = order->operation,
                          .outcome = answer->outcome,
                          .amount = order->amount,
                          .spent = answer->spent,
                          .at_us = now_us,
                          .dark_until_us = dark_until_us,
                          .next = answers[bucket(order->payment)]};
    memcpy(kept->key, order->key, sizeof kept->key);
    memcpy(kept->code, answer->code, sizeof kept->code);
    snprintf(kept->reference, sizeof kept->reference, "%.39s", answer->reference);
    answers[bucket(order->payment)] = kept;
    return kept;
}

static void change(const struct order *order, struct provider_answer *ret)
{
    struct hold *hold = gateway_hold(order, now_us);
    if (order->operation == PROVIDER_AUTHORIZE)
        authorize(order, ret);
    else if (!hold)
        say(ret, order->operation == PROVIDER_VOID ? PROVIDER_ABSENT : PROVIDER_UNKNOWN, "reference_not_found", "");
    else if (order->operation == PROVIDER_CAPTURE)
        capture(order, hold, ret);
    else if (order->operation == PROVIDER_VOID)
        cancel(hold, ret);
    else
        refund(order, hold, ret);
}

/* The answer that was kept, but that an authorization tells how its challenge went. */
static void same_again(const struct order *order, const struct kept *kept, struct provider_answer *ret)
{
    say(ret, kept->outcome, kept->code, kept->reference);
    ret->spent = kept->spent;
    if (kept->says_error) {
        say(ret, PROVIDER_UNKNOWN, "http_500", "");
        ret->spent = true;
        return;
    }
    const struct hold *hold = gateway_hold(order, now_us);
    if (order->operation == PROVIDER_AUTHORIZE && kept->outcome == PROVIDER_ACTION && hold) {
        if (hold->state == HOLD_HELD || hold->state == HOLD_CAPTURED)
            say(ret, PROVIDER_DONE, "", hold->reference);
        else if (hold->state == HOLD_DECLINED)
            say(ret, PROVIDER_REFUSED, "authentication_failed", hold->reference);
    }
}

/* An error of the provider's own, which it keeps. What is not done at all would be a person's case for ever, if it were a refund. */
static struct kept *act_in_error(struct order *order)
{
    struct wish *wish = wish_find(order->payment);
    if (order->operation == PROVIDER_REFUND) {
        change(order, &order->answer);
        struct kept *kept = keep(order, 0);
        if (order->answer.outcome != PROVIDER_DONE)
            return kept;
        kept->says_error = true;
        say(&order->answer, PROVIDER_UNKNOWN, "http_500", "");
        order->answer.spent = true;
        return kept;
    }
    if (wish && order->operation == PROVIDER_CAPTURE)
        wish->may_fail_to_capture = true;
    say(&order->answer, PROVIDER_UNKNOWN, "http_500", "");
    order->answer.spent = true;
    return keep(order, 0);
}

void gateway_act(struct order *order, struct kept **ret_kept, bool *ret_again)
{
    struct provider_answer *answer = &order->answer;
    *ret_kept = find_kept(order);
    *ret_again = *ret_kept != NULL;
    if (*ret_again) {
        same_again(order, *ret_kept, answer);
        return;
    }
    if (order->keep_error) {
        *ret_kept = act_in_error(order);
        return;
    }
    change(order, answer);
    if (answer->outcome == PROVIDER_UNKNOWN ||
        (answer->outcome == PROVIDER_ABSENT && order->operation == PROVIDER_VOID))
        return;
    bool dark = answer->outcome == PROVIDER_DONE && !is_spared(order) && fault(CHANCE_DARK, 4);
    *ret_kept = keep(order, dark ? now_us + (int64_t)DARK_S * 1000000 : 0);
}

/* --- questions --- */

static void state_answer(const struct order *order, const struct hold *hold, struct provider_answer *ret)
{
    say(ret, PROVIDER_ABSENT, "", "");
    if (!hold)
        return;
    switch (order->operation) {
    case PROVIDER_AUTHORIZE: {
        static const enum provider_outcome outcomes[] = {PROVIDER_REFUSED, PROVIDER_ACTION,  PROVIDER_DONE,
                                                         PROVIDER_DONE,    PROVIDER_EXPIRED, PROVIDER_EXPIRED};
        say(ret, outcomes[hold->state], outcomes[hold->state] == PROVIDER_REFUSED ? "declined" : "", hold->reference);
        break;
    }
    case PROVIDER_CAPTURE:
        if (hold->state == HOLD_CAPTURED)
            say(ret, PROVIDER_DONE, "", hold->reference);
        else if (hold->state == HOLD_EXPIRED || hold->state == HOLD_VOIDED)
            say(ret, PROVIDER_REFUSED, "authorization_expired", hold->reference);
        break;
    case PROVIDER_VOID:
        if (hold->state == HOLD_VOIDED)
            say(ret, PROVIDER_DONE, "", hold->reference);
        else if (hold->state == HOLD_EXPIRED)
            say(ret, PROVIDER_EXPIRED, "authorization_expired", hold->reference);
        else if (hold->state == HOLD_CAPTURED)
            say(ret, PROVIDER_REFUSED, "already_captured", hold->reference);
        break;
    case PROVIDER_REFUND:
        break;
    }
}

void gateway_ask(struct order *order)
{
    struct provider_answer *ret = &order->answer;
    int64_t seen_us = now_us - order->stale_us;
    const struct kept *kept = find_done(order, seen_us);
    if (kept && now_us < kept->dark_until_us) {
        say(ret, PROVIDER_UNKNOWN, "timeout", "");
        return;
    }
    if (order->operation == PROVIDER_REFUND) {
        bool done = kept && kept->outcome != PROVIDER_UNKNOWN;
        say(ret, done ? kept->outcome : PROVIDER_ABSENT, done ? kept->code : "", done ? kept->reference : "");
        return;
    }
    if (kept && kept->outcome == PROVIDER_REFUSED && order->operation == PROVIDER_CAPTURE) {
        say(ret, PROVIDER_REFUSED, kept->code, kept->reference);
        return;
    }
    state_answer(order, gateway_hold(order, seen_us), ret);
}

/* --- requests on their way --- */

static void release(struct order *order)
{
    if (--order->left > 0)
        return;
    free(order->body);
    free(order);
}

static void finish(void *arg)
{
    struct order *order = arg;
    if (order->owner)
        order->hear(order);
    release(order);
}

static void answer(void *arg)
{
    struct order *order = arg;
    if (process_alive(order->process))
        process_call(order->process, finish, order);
    else
        release(order);
}

static void time_out(void *arg)
{
    struct order *order = arg;
    order->end = order->error_after ? WEB_BAD_GATEWAY : WEB_TIMED_OUT;
    answer(order);
}

static void arrive(void *arg)
{
    struct order *order = arg;
    order->serve(order);
    if (order->lost) {
        release(order);
        return;
    }
    order->end = order->error_after ? WEB_BAD_GATEWAY : WEB_ANSWERED;
    int64_t slow = !is_spared(order) && fault(CHANCE_SLOW_ANSWER, 20) ? SLOW_MOST_MS : NETWORK_MOST_MS;
    later(chance_between(1, slow) * 1000, true, answer, order);
}

static void refuse_connection(void *arg)
{
    struct order *order = arg;
    order->end = WEB_NOT_SENT;
    answer(order);
}

/* The process stands still between its look at the clock and the call. The others take over, and in the end conclude that nothing was ever sent; then it
 * goes on. If it dies instead, nothing is sent. If it sends, and dies before it hears of it, nobody can know: that is a bound of the promise, so it is spared. */
static void stall(const struct order *order)
{
    struct wish *wish = wish_find(order->payment);
    if (!wish || !fault(CHANCE_STALL, 8))
        return;
    broker_process_stalled(order->process);
    process_wait(chance_between(STALL_LEAST_S, STALL_MOST_S) * 1000000);
    wish->stalled = true;
    process_spare(order->process, (int64_t)SPARED_S * 1000000);
}

static void dispatch(struct order *order)
{
    order->left = 1;
    if (order->operation == PROVIDER_AUTHORIZE && !order->ask)
        stall(order);
    int64_t way_us = chance_between(1, NETWORK_MOST_MS) * 1000;
    if (is_spared(order)) {
        order->lost = !order->ask && fault(CHANCE_TIMEOUT_AFTER, 400);
        order->left += order->lost;
        later(way_us, true, arrive, order);
        if (order->lost)
            later(order->timeout_ms * 1000, true, time_out, order);
        return;
    }
    if (fault(CHANCE_NOT_SENT, 10)) {
        later(way_us, true, refuse_connection, order);
        return;
    }
    if (fault(CHANCE_TIMEOUT_BEFORE, 10)) {
        later(order->timeout_ms * 1000, true, time_out, order);
        return;
    }
    bool late = !order->ask && fault(CHANCE_LATE_EFFECT, 10);
    order->lost = late || fault(CHANCE_TIMEOUT_AFTER, 10);
    order->keep_error = !order->ask && fault(CHANCE_KEPT_ERROR, order->operation == PROVIDER_REFUND ? 20 : 6);
    order->error_after = fault(CHANCE_ERROR_AFTER, 10);
    order->stale_us = order->ask && fault(CHANCE_STALE_ANSWER, 100) ? chance_between(1, STALE_MOST_MS) * 1000 : 0;
    if (late)
        way_us = chance_between(order->timeout_ms, order->timeout_ms + LATE_MOST_MS) * 1000;
    later(way_us, true, arrive, order);
    if (order->lost) {
        order->left++;
        later(order->timeout_ms * 1000, true, time_out, order);
    }
}

struct order *order_send(struct order prepared)
{
    struct order *order = mem_new(1, sizeof *order);
    *order = prepared;
    order->process = process_here();
    dispatch(order);
    return order;
}

void order_drop(struct order *order)
{
    order->owner = NULL;
}

/* --- for who judges --- */

bool gateway_hold_seen(const struct order *order, int64_t seen_us, struct hold *ret)
{
    const struct hold *hold = gateway_hold(order, now_us);
    if (!hold || hold->made_us > seen_us)
        return false;
    *ret = *hold;
    if (hold->changed_us > seen_us && hold->changed_us > hold->made_us)
        ret->state = hold->before;
    ret->captured = ret->state == HOLD_CAPTURED ? hold->captured : 0;
    return true;
}

struct hold *gateway_hold_named(const char *provider, const char *reference)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct hold *hold = holds[i]; hold; hold = hold->next)
            if (hold->provider == provider && strcmp(hold->reference, reference) == 0)
                return hold;
    return NULL;
}

const struct kept *gateway_kept_of(const char *provider, struct uuid payment, const struct kept *after)
{
    const struct kept *kept = after ? after->next : answers[bucket(payment)];
    while (kept && (kept->provider != provider || !uuid_equal(kept->payment, payment)))
        kept = kept->next;
    return kept;
}

struct gateway_money gateway_money(struct uuid payment, const char *provider)
{
    struct gateway_money money = {0};
    for (const struct hold *hold = holds[bucket(payment)]; hold; hold = hold->next) {
        if (!uuid_equal(hold->payment, payment) || strcmp(hold->provider, provider) != 0)
            continue;
        money.captured += hold->captured;
        money.refunded += hold->refunded;
        money.captures += hold->captured > hold->refunded;
        money.live += hold->state == HOLD_HELD || hold->state == HOLD_CHALLENGED;
    }
    return money;
}

void gateway_start(void)
{
    memset(holds, 0, sizeof holds);
    memset(answers, 0, sizeof answers);
    references = 0;
}

void gateway_end(void)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct hold *hold = holds[i], *next; hold; hold = next) {
            next = hold->next;
            free(hold);
        }
        for (struct kept *kept = answers[i], *next; kept; kept = next) {
            next = kept->next;
            free(kept->body);
            free(kept);
        }
    }
    gateway_start();
}
