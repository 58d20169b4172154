/* gateway_simulated.c - a payment provider without a wire format, in the place of workers/providers/simulated.c, whose books are in the database */
#include <stdio.h>
#include <string.h>

#include "tests/simulate/gateway.h"

static void serve(struct order *order)
{
    struct kept *kept = NULL;
    bool again = false;
    if (order->ask)
        gateway_ask(order);
    else
        gateway_act(order, &kept, &again);
    if (!order->ask && kept && now_us < kept->dark_until_us)
        order->answer = (struct provider_answer){.outcome = PROVIDER_UNKNOWN, .code = "timeout"};
}

static void say_end(const struct order *order, struct provider_answer *ret)
{
    static const char *const codes[] = {
        [WEB_NOT_SENT] = "not_sent", [WEB_TIMED_OUT] = "timeout", [WEB_BAD_GATEWAY] = "http_502"};
    if (order->end == WEB_ANSWERED) {
        *ret = order->answer;
        return;
    }
    *ret = (struct provider_answer){.outcome = PROVIDER_UNKNOWN};
    snprintf(ret->code, sizeof ret->code, "%s", codes[order->end]);
}

static void hear(struct order *order)
{
    struct provider_call *call = order->owner;
    say_end(order, &call->answer);
    if (call->answer.outcome == PROVIDER_ACTION)
        call->answer.action = json_pack("{s:s, s:s}", "type", "redirect", "url", "https://challenge.invalid/");
    coverage.outcomes[order->operation * 8 + call->answer.outcome]++;
    provider_finish(call);
}

static int start(struct provider_call *call, struct err *err)
{
    (void)err;
    const struct provider_request *request = &call->request;
    struct order order = {.owner = call,
                          .serve = serve,
                          .hear = hear,
                          .provider = "beta",
                          .operation = request->operation,
                          .ask = request->ask,
                          .payment = request->payment_id,
                          .amount = request->amount,
                          .timeout_ms = call->provider->options.timeout_ms};
    snprintf(order.key, sizeof order.key, "%s", request->key);
    snprintf(order.authorization_key, sizeof order.authorization_key, "%s", request->authorization_key);
    snprintf(order.reference, sizeof order.reference, "%.39s", request->reference);
    story("%s %s %s at beta", request->ask ? "ASKS about" : "CALLS for", request->slot, order.key + 24);
    call->state = order_send(order);
    return 0;
}

static void drop(struct provider_call *call)
{
    order_drop(call->state);
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

const struct provider_ops simulated_ops = {
    .kind = "simulated",
    .capabilities = {.key_lifetime_ms = GATEWAY_KEY_LIFE_MS, .asks_by_key = true},
    .open = gateway_open,
    .close = gateway_close,
    .start = start,
    .drop = drop,
};
