/* gateway.c - two payment providers with books of their own, in the place of workers/providers/simulated.c and stripe.c
 *
 * As a real one: a key that comes again within its life gets the first answer, whatever that was; later it is a new request. A question has no effect. What was done
 * may be seen late. How a payment goes (declined, challenged, capture refused ...) is the payment's own fate; what befalls a call is a fault.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "tests/simulate/simulate.h"
#include "workers/providers/provider_impl.h"

enum {
    BUCKETS = 64,
    KEY_LIFE_MS = 2 * 3600 * 1000,
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

enum hold_state { HOLD_DECLINED, HOLD_CHALLENGED, HOLD_HELD, HOLD_CAPTURED, HOLD_VOIDED, HOLD_EXPIRED };

struct hold {
    char key[PROVIDER_KEY_SIZE], reference[40];
    const char *provider;
    struct uuid payment;
    enum hold_state state;
    int64_t amount, captured, refunded;
    int64_t changed_us;
    struct hold *next;
};

struct kept {
    char key[PROVIDER_KEY_SIZE];
    const char *provider;
    enum provider_operation operation;
    enum provider_outcome outcome;
    char code[PROVIDER_CODE_SIZE], reference[40];
    bool spent, says_error; /* says_error: done, and the key answers with the error that was on the way back */
    int64_t at_us, dark_until_us;
    struct kept *next;
};

/* One request on its way, also when its caller has gone. */
struct order {
    struct provider_call *call; /* NULL: nobody waits for it any more */
    struct process *process;
    const char *provider;
    enum provider_operation operation;
    bool ask, lost, keep_error, error_after;
    struct uuid payment;
    char key[PROVIDER_KEY_SIZE], authorization_key[PROVIDER_KEY_SIZE], reference[40];
    int64_t amount, timeout_ms, stale_us;
    int left; /* events that point here */
    struct provider_answer answer;
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

static struct hold *find_hold(const struct order *order, int64_t seen_us)
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

static struct kept *find_kept(const struct order *order)
{
    for (struct kept *kept = answers[bucket(order->payment)]; kept; kept = kept->next)
        if (kept->provider == order->provider && strcmp(kept->key, order->key) == 0 &&
            now_us - kept->at_us < (int64_t)KEY_LIFE_MS * 1000)
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
    *hold = (struct hold){.provider = order->provider, .payment = order->payment, .amount = order->amount};
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

static void keep(const struct order *order, const struct provider_answer *answer, int64_t dark_until_us)
{
    struct kept *kept = mem_new(1, sizeof *kept);
    *kept = (struct kept){.provider = order->provider,
                          .operation = order->operation,
                          .outcome = answer->outcome,
                          .spent = answer->spent,
                          .at_us = now_us,
                          .dark_until_us = dark_until_us,
                          .next = answers[bucket(order->payment)]};
    memcpy(kept->key, order->key, sizeof kept->key);
    memcpy(kept->code, answer->code, sizeof kept->code);
    snprintf(kept->reference, sizeof kept->reference, "%.39s", answer->reference);
    answers[bucket(order->payment)] = kept;
}

static void change(const struct order *order, struct provider_answer *ret)
{
    struct hold *hold = find_hold(order, now_us);
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

static bool same_again(const struct order *order, struct provider_answer *ret)
{
    const struct kept *kept = find_kept(order);
    if (!kept)
        return false;
    say(ret, kept->outcome, kept->code, kept->reference);
    ret->spent = kept->spent;
    if (kept->says_error) {
        say(ret, PROVIDER_UNKNOWN, "http_500", "");
        ret->spent = true;
        return true;
    }
    const struct hold *hold = find_hold(order, now_us);
    if (order->operation == PROVIDER_AUTHORIZE && kept->outcome == PROVIDER_ACTION && hold) {
        if (hold->state == HOLD_HELD || hold->state == HOLD_CAPTURED)
            say(ret, PROVIDER_DONE, "", hold->reference);
        else if (hold->state == HOLD_DECLINED)
            say(ret, PROVIDER_REFUSED, "authentication_failed", hold->reference);
    }
    if (now_us < kept->dark_until_us)
        say(ret, PROVIDER_UNKNOWN, "timeout", "");
    return true;
}

static void send(struct order *order, struct provider_answer *ret)
{
    if (same_again(order, ret))
        return;
    if (order->keep_error &&
        order->operation == PROVIDER_REFUND) { /* not done at all, it would be a person's case for ever */
        change(order, ret);
        keep(order, ret, 0);
        answers[bucket(order->payment)]->says_error = true;
        same_again(order, ret);
        return;
    }
    if (order->keep_error) {
        struct wish *wish = wish_find(order->payment);
        if (wish && order->operation == PROVIDER_CAPTURE)
            wish->may_fail_to_capture = true;
        say(ret, PROVIDER_UNKNOWN, "http_500", "");
        ret->spent = true;
        keep(order, ret, 0);
        return;
    }
    change(order, ret);
    if (ret->outcome == PROVIDER_UNKNOWN || (ret->outcome == PROVIDER_ABSENT && order->operation == PROVIDER_VOID))
        return;
    bool dark = ret->outcome == PROVIDER_DONE && !is_spared(order) && fault(CHANCE_DARK, 4);
    keep(order, ret, dark ? now_us + (int64_t)DARK_S * 1000000 : 0);
    if (dark)
        say(ret, PROVIDER_UNKNOWN, "timeout", "");
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

static void ask(const struct order *order, struct provider_answer *ret)
{
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
    state_answer(order, find_hold(order, seen_us), ret);
}

/* --- calls --- */

static void release(struct order *order)
{
    if (--order->left == 0)
        free(order);
}

static void finish(void *arg)
{
    struct order *order = arg;
    struct provider_call *call = order->call;
    if (call) {
        call->answer = order->answer;
        if (order->answer.outcome == PROVIDER_ACTION)
            call->answer.action = json_pack("{s:s, s:s}", "type", "redirect", "url", "https://challenge.invalid/");
        coverage.outcomes[order->operation * 8 + order->answer.outcome]++;
        provider_finish(call);
    }
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
    say(&order->answer, PROVIDER_UNKNOWN, order->error_after ? "http_502" : "timeout", "");
    answer(order);
}

static void arrive(void *arg)
{
    struct order *order = arg;
    struct provider_answer heard;
    if (order->ask)
        ask(order, &heard);
    else
        send(order, &heard);
    if (order->lost) {
        release(order);
        return;
    }
    order->answer = heard;
    if (order->error_after)
        say(&order->answer, PROVIDER_UNKNOWN, "http_502", "");
    int64_t slow = !is_spared(order) && fault(CHANCE_SLOW_ANSWER, 20) ? SLOW_MOST_MS : NETWORK_MOST_MS;
    later(chance_between(1, slow) * 1000, true, answer, order);
}

static void refuse_connection(void *arg)
{
    struct order *order = arg;
    say(&order->answer, PROVIDER_UNKNOWN, "not_sent", "");
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

static int gateway_open(struct provider *provider, struct err *err)
{
    (void)provider;
    (void)err;
    return 0;
}

static void gateway_close(struct provider *provider)
{
    (void)provider;
}

static const char *book_of(const struct provider *provider)
{
    return strcmp(provider->options.name, "alpha") == 0 ? "alpha" : "beta";
}

static int start(struct provider_call *call, struct err *err)
{
    (void)err;
    struct order *order = mem_new(1, sizeof *order);
    const struct provider_request *request = &call->request;
    *order = (struct order){.call = call,
                            .process = process_here(),
                            .provider = book_of(call->provider),
                            .operation = request->operation,
                            .ask = request->ask,
                            .payment = request->payment_id,
                            .amount = request->amount,
                            .timeout_ms = call->provider->options.timeout_ms};
    snprintf(order->key, sizeof order->key, "%s", request->key);
    snprintf(order->authorization_key, sizeof order->authorization_key, "%s", request->authorization_key);
    snprintf(order->reference, sizeof order->reference, "%.39s", request->reference);
    call->state = order;
    story("%s %s %s at %s", request->ask ? "ASKS about" : "CALLS for", request->slot, order->key + 24, order->provider);
    dispatch(order);
    return 0;
}

static void drop(struct provider_call *call)
{
    struct order *order = call->state;
    order->call = NULL;
}

const struct provider_ops simulated_ops = {
    .kind = "simulated",
    .capabilities = {.key_lifetime_ms = KEY_LIFE_MS, .asks_by_key = true},
    .open = gateway_open,
    .close = gateway_close,
    .start = start,
    .drop = drop,
};

const struct provider_ops stripe_ops = {
    .kind = "stripe",
    .capabilities = {.key_lifetime_ms = KEY_LIFE_MS, .asks_by_key = true},
    .open = gateway_open,
    .close = gateway_close,
    .start = start,
    .drop = drop,
};

/* --- for who judges --- */

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
            free(kept);
        }
    }
    gateway_start();
}
