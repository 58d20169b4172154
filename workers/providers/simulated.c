/* simulated.c - the payment provider that needs no network: its books are SQL functions in schema sim
 * (ledger/schema/002_simulated.sql)
 *
 * Calls that are started in one turn of the loop are done together in the next one, in one transaction of the
 * connection that was lent (struct provider_books): a batch of payments costs one commit. If that transaction fails,
 * each call is done for itself, so that one bad request spoils no other; what fails then is PROVIDER_UNKNOWN, and as
 * keys are kept for ever it may be asked or sent again.
 *
 * An answer that the books call lost is not given: the call ends as PROVIDER_UNKNOWN after the provider's timeout,
 * like one whose answer the network has eaten. Fails with ERR_CONFIG when no books are lent.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/providers/provider_impl.h"
#include "workers/providers/simulated.h"

enum { BATCH_MAX = 128 }; /* calls in one transaction */

static const char RUN[] = "select sim.run($1::jsonb)";

TAILQ_HEAD(waiting_calls, simulated_call);

struct simulated {
    struct loop_source *turn;
    struct waiting_calls waiting; /* for the next turn */
};

struct simulated_call {
    struct provider_call *call;
    TAILQ_ENTRY(simulated_call) link;
    bool waits;
    json_t *request; /* as sim.run reads it */
    struct exchange exchange;
};

/* ---- what the books are told ---- */

static const char *const operations[] = {[PROVIDER_AUTHORIZE] = "authorize",
                                         [PROVIDER_CAPTURE] = "capture",
                                         [PROVIDER_VOID] = "void",
                                         [PROVIDER_REFUND] = "refund"};

json_t *simulated_encode(const struct provider_request *request)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(request->payment_id, id);
    json_t *out =
        json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:I, s:s, s:s}", "operation", operations[request->operation], "ask",
                  (int)request->ask, "paymentId", id, "key", request->key, "authorizationKey",
                  request->authorization_key, "reference", request->reference, "amount", (json_int_t)request->amount,
                  "currency", request->currency, "token", request->payment_token);
    if (!out)
        log_panic("a simulated request cannot be encoded");
    return out;
}

/* ---- what they answer ---- */

static const struct {
    const char *text;
    enum provider_outcome outcome;
} outcomes[] = {
    {"done", PROVIDER_DONE},       {"refused", PROVIDER_REFUSED}, {"action", PROVIDER_ACTION},
    {"expired", PROVIDER_EXPIRED}, {"absent", PROVIDER_ABSENT},   {"unknown", PROVIDER_UNKNOWN},
};

static void read_outcome(const json_t *answer, struct provider_answer *ret)
{
    const char *text = json_text(answer, "outcome", "");
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        if (strcmp(outcomes[i].text, text) != 0)
            continue;
        answer_say(ret, outcomes[i].outcome, json_text(answer, "code", ""), "");
        const char *reference = json_text(answer, "reference", "");
        if (*reference && !answer_reference(ret->reference, reference))
            answer_say(ret, PROVIDER_UNKNOWN, "unreadable_answer", "");
        return;
    }
    answer_say(ret, PROVIDER_UNKNOWN, "unreadable_answer", "");
}

bool simulated_decode(const json_t *answer, struct provider_answer *ret)
{
    *ret = (struct provider_answer){.outcome = PROVIDER_UNKNOWN};
    if (json_bool(answer, "lost", false)) {
        answer_say(ret, PROVIDER_UNKNOWN, "timeout", "The answer was lost (a test token asked for it).");
        return false;
    }
    read_outcome(answer, ret);
    if (ret->outcome == PROVIDER_ACTION)
        ret->action = json_incref(json_object_get(answer, "action"));
    /* The key was used for something else, and what became of that is not said: a doubt, not a refusal (L6). */
    if (ret->outcome == PROVIDER_REFUSED && strcmp(ret->code, "idempotency_conflict") == 0)
        ret->outcome = PROVIDER_UNKNOWN;
    return true;
}

/* ---- one batch ---- */

static json_t *run_books(const struct provider *provider, const json_t *requests, struct err *err)
{
    const struct provider_books *books = provider->options.books;
    char *text = json_encode(requests);
    const char *params[] = {text};
    json_t *answers = books->run(books->arg, RUN, params, 1, err);
    explicit_bzero(text, strlen(text)); /* tokens */
    free(text);
    if (answers && json_array_size(answers) == json_array_size(requests))
        return answers;
    json_decref(answers);
    err_set(err, ERR_INTERNAL, "the simulated provider's books answered something else");
    return NULL;
}

static void settle(struct provider_call *call, const json_t *answer)
{
    const struct simulated_call *state = call->state;
    char *text = json_encode(answer);
    bool heard = simulated_decode(answer, &call->answer);
    if (heard && text)
        call->answer.evidence = exchange_evidence(&state->exchange, 200, text, strlen(text), "");
    else
        call->answer.evidence = exchange_evidence(&state->exchange, 0, NULL, 0, "");
    free(text);
    provider_finish_later(call, heard ? 0 : call->provider->options.timeout_ms);
}

static void settle_failed(struct provider_call *call, const struct err *err)
{
    const struct simulated_call *state = call->state;
    char message[PROVIDER_MESSAGE_SIZE];
    answer_message(message, err->text, NULL);
    provider_say(call, PROVIDER_UNKNOWN, "books_unavailable", message);
    call->answer.evidence = exchange_evidence(&state->exchange, 0, NULL, 0, "");
    provider_finish_later(call, 0);
}

static void run_alone(struct provider_call *call, struct err *err)
{
    const struct simulated_call *state = call->state;
    json_t *requests = json_array();
    if (json_array_append(requests, state->request) < 0)
        log_panic("a simulated request cannot be listed");
    json_t *answers = run_books(call->provider, requests, err);
    if (answers)
        settle(call, json_array_get(answers, 0));
    else
        settle_failed(call, err);
    json_decref(answers);
    json_decref(requests);
}

/* False: nothing was done, or nobody knows; each must be done for itself. */
static bool run_together(const struct provider *provider, struct provider_call *const *calls, size_t count)
{
    json_t *requests = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append(requests, ((struct simulated_call *)calls[i]->state)->request) < 0)
            log_panic("a simulated request cannot be listed");
    struct err err = {0};
    json_t *answers = run_books(provider, requests, &err);
    for (size_t i = 0; answers && i < count; i++)
        settle(calls[i], json_array_get(answers, i));
    bool ran = answers != NULL;
    json_decref(answers);
    json_decref(requests);
    return ran;
}

/* When the server is away the first call finds out for all: the loop must not wait for it once per call. */
static void run_batch(struct provider *provider, struct provider_call *const *calls, size_t count)
{
    if (count > 1 && run_together(provider, calls, count))
        return;
    struct err err = {0};
    for (size_t i = 0; i < count; i++) {
        if (err.code == ERR_AGAIN || err.code == ERR_UNKNOWN) {
            settle_failed(calls[i], &err);
            continue;
        }
        err_clear(&err);
        run_alone(calls[i], &err);
    }
}

static void stop_waiting(struct simulated_call *state)
{
    struct simulated *simulated = state->call->provider->state;
    if (state->waits)
        TAILQ_REMOVE(&simulated->waiting, state, link);
    state->waits = false;
}

/* Nothing calls back from here: the answers are given by timers, so no call of the batch can be cancelled under our
 * hands. */
static void on_turn(void *arg)
{
    struct provider *provider = arg;
    struct simulated *simulated = provider->state;
    struct provider_call *batch[BATCH_MAX];
    size_t count = 0;
    while (count < BATCH_MAX && !TAILQ_EMPTY(&simulated->waiting)) {
        struct simulated_call *state = TAILQ_FIRST(&simulated->waiting);
        stop_waiting(state);
        batch[count++] = state->call;
    }
    if (!TAILQ_EMPTY(&simulated->waiting))
        loop_timer_set(simulated->turn, 0);
    run_batch(provider, batch, count);
}

/* ---- the provider ---- */

static int simulated_open(struct provider *provider, struct err *err)
{
    if (!provider->options.books || !provider->options.books->run)
        return err_set(err, ERR_CONFIG, "provider %s: the simulated provider needs a database for its books",
                       provider->options.name);
    struct simulated *simulated = mem_new(1, sizeof *simulated);
    TAILQ_INIT(&simulated->waiting);
    simulated->turn = loop_timer(provider->options.loop, -1, on_turn, provider);
    provider->state = simulated;
    return 0;
}

static void simulated_close(struct provider *provider)
{
    struct simulated *simulated = provider->state;
    loop_source_free(simulated->turn);
    free(simulated);
}

static int simulated_start(struct provider_call *call, struct err *err)
{
    (void)err; /* the books are not asked yet */
    struct simulated *simulated = call->provider->state;
    struct simulated_call *state = mem_new(1, sizeof *state);
    state->call = call;
    state->request = simulated_encode(&call->request);
    char *text = json_encode(state->request);
    exchange_begin(&state->exchange, text, strlen(text));
    explicit_bzero(text, strlen(text)); /* the token */
    free(text);
    call->state = state;
    state->waits = true;
    TAILQ_INSERT_TAIL(&simulated->waiting, state, link);
    loop_timer_set(simulated->turn, 0);
    return 0;
}

static void simulated_drop(struct provider_call *call)
{
    struct simulated_call *state = call->state;
    stop_waiting(state);
    json_decref(state->request);
    free(state);
    call->state = NULL;
}

const struct provider_ops simulated_ops = {
    .kind = "simulated",
    .capabilities = {.key_lifetime_ms = INT64_MAX, .asks_by_key = true},
    .open = simulated_open,
    .close = simulated_close,
    .start = simulated_start,
    .drop = simulated_drop,
};
