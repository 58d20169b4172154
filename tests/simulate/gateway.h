/* gateway.h - the books of two payment providers, and the requests that are on their way to them
 *
 * gateway.c keeps the books and decides what befalls a request; gateway_simulated.c and gateway_stripe.c are its two doors: one at the interface of a
 * provider (the simulated one has no wire format), one behind HTTP in Stripe's wire format.
 */
#ifndef ACQUIT_SIMULATE_GATEWAY_H
#define ACQUIT_SIMULATE_GATEWAY_H

#include "tests/simulate/web.h"
#include "workers/providers/provider_impl.h"

enum {
    GATEWAY_KEY_LIFE_MS = 2 * 3600 * 1000,
    GATEWAY_REFERENCE_SIZE = 40,
};

enum hold_state { HOLD_DECLINED, HOLD_CHALLENGED, HOLD_HELD, HOLD_CAPTURED, HOLD_VOIDED, HOLD_EXPIRED };

struct hold {
    char key[PROVIDER_KEY_SIZE], reference[GATEWAY_REFERENCE_SIZE];
    const char *provider;
    struct uuid payment;
    enum hold_state state, before; /* since changed_us, and until then */
    int64_t amount, captured, refunded;
    int64_t made_us, changed_us;
    struct hold *next;
};

/* What was answered under a key, and what it did. */
struct kept {
    char key[PROVIDER_KEY_SIZE];
    const char *provider;
    struct uuid payment;
    enum provider_operation operation;
    enum provider_outcome outcome;
    char code[PROVIDER_CODE_SIZE], reference[GATEWAY_REFERENCE_SIZE];
    int64_t amount;
    bool spent, says_error; /* says_error: done, and the key answers with the error that was on the way back */
    int64_t at_us, dark_until_us;
    int status; /* of the HTTP answer; 0: there was none */
    char *body;
    struct kept *next;
};

/* One request on its way, also when its caller has gone. */
struct order {
    struct http_call call;              /* of the door that is behind HTTP */
    void *owner;                        /* NULL: nobody waits for it any more */
    void (*serve)(struct order *order); /* at the provider: fills the answer */
    void (*hear)(struct order *order);  /* at the owner's process, with how it ended */
    struct process *process;
    const char *provider;
    enum provider_operation operation;
    bool ask;
    struct uuid payment;
    char key[PROVIDER_KEY_SIZE], authorization_key[PROVIDER_KEY_SIZE], reference[GATEWAY_REFERENCE_SIZE];
    int64_t amount, timeout_ms;
    enum web_end end;
    /* by serve() */
    struct provider_answer answer;
    int status;
    char *body; /* owned */
    bool replayed;
    /* what befalls it */
    bool lost, keep_error, error_after;
    int64_t stale_us;
    int left; /* events that point here */
};

/* Sends a copy of `prepared`; hear() is called once, unless order_drop() is. */
struct order *order_send(struct order prepared);
void order_drop(struct order *order);

/* What the provider does with an effect that is asked for under a key: order->answer. *ret_kept is what it keeps of it, or NULL; *ret_again: it had done it before. */
void gateway_act(struct order *order, struct kept **ret_kept, bool *ret_again);
/* What it says to a question: order->answer. */
void gateway_ask(struct order *order);

/* As the provider shows them at that moment, NULL when not: the authorization by order->reference, else by order->authorization_key. */
struct hold *gateway_hold(const struct order *order, int64_t seen_us);
/* The authorization as it was shown at that moment, *ret; false: not at all. */
bool gateway_hold_seen(const struct order *order, int64_t seen_us, struct hold *ret);
struct hold *gateway_hold_named(const char *provider, const char *reference);
/* All that was done under keys of this payment at this provider, newest first; starts with NULL. */
const struct kept *gateway_kept_of(const char *provider, struct uuid payment, const struct kept *after);

#endif
