/* steps.c - see steps.h */
#include "workers/steps.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mutant.h"
#include "ledger/book.h"
#include "workers/breakers.h"
#include "workers/differing.h"
#include "workers/policy.h"

enum { REPEAT_WINDOW_MAX_MS = 24 * 3600 * 1000 };

const char *intent_key(struct uuid payment, const char *slot, char ret[static PROVIDER_KEY_TEXT_SIZE])
{
    char text[UUID_TEXT_SIZE];
    uuid_format(payment, text);
    if (MUTANT(KEY_OF_THE_MOMENT)) /* L5 */
        snprintf(ret, PROVIDER_KEY_TEXT_SIZE, "%s:%lld", text, (long long)clock_wall_ms());
    else
        snprintf(ret, PROVIDER_KEY_TEXT_SIZE, "%s:%s", text, slot);
    return ret;
}

struct provider *step_provider(const struct job *job, const char *name)
{
    for (size_t i = 0; i < job->around->provider_count; i++)
        if (strcmp(provider_name(job->around->providers[i]), name) == 0)
            return job->around->providers[i];
    return NULL;
}

const char *authorization_provider(const struct payment *payment, int n)
{
    if (n < 1 || n > payment->authorization_count)
        return "";
    return json_text(payment->authorizations[n].intent->body, "provider", "");
}

json_t *intent_body(const struct job *job, const char *provider, const char *slot, int64_t window_ms)
{
    char key[PROVIDER_KEY_TEXT_SIZE];
    return json_pack("{s:s, s:s, s:I}", "provider", provider, "key", intent_key(job->command.payment_id, slot, key),
                     "sendUntil", (json_int_t)(clock_wall_ms() + window_ms));
}

int64_t repeat_window_ms(const struct provider *provider)
{
    int64_t window = provider_capabilities(provider).key_lifetime_ms / 10 * 9;
    return window > REPEAT_WINDOW_MAX_MS ? REPEAT_WINDOW_MAX_MS : window;
}

json_t *answer_body(const struct job *job, const char *provider)
{
    json_t *body = json_pack("{s:s, s:s, s:s, s:s}", "provider", provider, "reference", job->answer.reference, "code",
                             job->answer.code, "message", job->answer.message);
    if (job->answer.evidence)
        json_object_set(body, "evidence", job->answer.evidence);
    if (job->answer.action)
        json_object_set(body, "action", job->answer.action);
    return body;
}

json_t *abort_body(const char *reason, const char *code, const char *message)
{
    return json_pack("{s:s, s:s, s:s}", "reason", reason, "code", code ? code : "", "message", message ? message : "");
}

bool owns_payment(const struct job *job)
{
    return job->payment.received &&
           strcmp(json_text(job->payment.received->body, "publisher", ""), job->command.publisher) == 0;
}

enum verdict key_conflict(struct job *job)
{
    const struct command *command = &job->command;
    json_auto_t *names = differing_fields(command->type->name, &job->payment, command->id, command->body);
    char list[ERR_TEXT_MAX / 2] = "";
    for (size_t i = 0, used = 0; i < json_array_size(names) && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "; it differs in ",
                                 json_string_value(json_array_get(names, i)));
    return job_dead(job, DEATH_CONFLICT, "the idempotency key %s was used for another body%s", command->message_id,
                    list);
}

void note_command(struct job *job)
{
    struct new_fact none; /* job_guard() marks a fact, too; here there is none */
    job_guard(job, &none);
}

void note_reply(const struct job *job, json_t *body)
{
    const struct message *message = &job->delivery->message;
    if (!job->command.type->is_public || !message->reply_to)
        return;
    json_object_set_new(body, "replyTo", json_string(message->reply_to));
    if (message->correlation_id)
        json_object_set_new(body, "correlationId", json_string(message->correlation_id));
}

static int64_t spent_at_ms(const struct fact *last_doubt)
{
    return last_doubt ? json_int(last_doubt->body, "spentAt", 0) : 0;
}

bool is_spent(const struct fact *last_doubt)
{
    return spent_at_ms(last_doubt) > 0;
}

bool may_conclude_absent(const struct job *job, const json_t *intent_body_of, const struct fact *last_doubt)
{
    const struct provider *provider = step_provider(job, json_text(intent_body_of, "provider", ""));
    if (!provider)
        return false;
    const struct provider_options *options = provider_options(provider);
    int64_t last_sent_ms = json_int(intent_body_of, "sendUntil", INT64_MAX / 2);
    if (is_spent(last_doubt) && spent_at_ms(last_doubt) < last_sent_ms)
        last_sent_ms = spent_at_ms(last_doubt);
    return policy_may_conclude_absent(job->asked_at_ms, last_sent_ms, options->timeout_ms,
                                      options->visibility_horizon_ms);
}

/* What a doubt about the intent booked before. */
static bool is_booked(const struct job *job, const char *intent)
{
    char prefix[SLOT_SIZE];
    snprintf(prefix, sizeof prefix, "%s:doubt:", intent);
    for (size_t i = 0; i < job->facts.count; i++)
        if (strncmp(job->facts.items[i].slot, prefix, strlen(prefix)) == 0 &&
            json_is_true(json_object_get(job->facts.items[i].body, "atStake")))
            return true;
    return false;
}

json_t *doubt_body(const struct job *job)
{
    json_t *body = json_pack("{s:s, s:s, s:b}", "code", job->answer.code, "message", job->answer.message, "asked",
                             job->ask ? 1 : 0);
    if (job->answer.evidence)
        json_object_set(body, "evidence", job->answer.evidence);
    return body;
}

enum verdict add_doubt(struct job *job, const char *intent, int k, const struct fact *last_doubt)
{
    json_t *body = doubt_body(job);
    int64_t spent_at = is_spent(last_doubt) ? spent_at_ms(last_doubt) : job->answer.spent ? clock_wall_ms() : 0;
    if (spent_at > 0)
        json_object_set_new(body, "spentAt", json_integer(spent_at));
    job_fact_f(job, NULL, "unknown", body, "%s:doubt:%d", intent, k);
    /* While the customer is challenged nothing has moved, and everybody knows. */
    if (job->answer.outcome != PROVIDER_ACTION && !is_booked(job, intent)) {
        json_object_set_new(body, "atStake", json_true());
        struct new_transfer transfers[BOOK_LEGS_MAX];
        struct err err = {0};
        enum verdict booked = job_books(job, transfers, book_doubt(&job->payment, intent, k, transfers, &err), &err);
        if (booked != VERDICT_DONE)
            return booked;
    }
    if (k < DOUBTS_MAX - 1)
        return VERDICT_DONE;
    return job_dead(job, DEATH_REFUSED, "asked %d times about %s without an answer", DOUBTS_MAX, intent);
}

void forget_answer(struct job *job)
{
    json_decref(job->answer.evidence);
    json_decref(job->answer.action);
    memset(&job->answer, 0, sizeof job->answer);
}

/* An answer that is not final, and tells nothing against the provider. */
static bool takes_its_time(const struct provider_answer *answer)
{
    static const char *const codes[] = {"processing", "pending", "requires_action", "key_in_use", "locked"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(answer->code, codes[i]) == 0)
            return true;
    return false;
}

/* Questions are not counted: they go on while the breaker is open, and are often answered when nothing else is. */
static void note_call(const struct job *job, const struct provider_answer *answer)
{
    if (!job->ask)
        breakers_note(job->around->breakers, authorization_provider(&job->payment, job->target),
                      job->command.payment_id, answer->outcome == PROVIDER_UNKNOWN && !takes_its_time(answer),
                      clock_monotonic_ms() - job->called_ms);
}

/* The answer's JSON is the provider's; ours is a copy. */
static void on_provider_answer(void *arg, const struct provider_answer *answer)
{
    struct job *job = arg;
    note_call(job, answer);
    forget_answer(job);
    job->answer = *answer;
    json_incref(job->answer.evidence);
    json_incref(job->answer.action);
    job_answered(job);
}

static void cancel_provider_call(void *call)
{
    provider_cancel(call);
}

static enum verdict answer_unknown(struct job *job, const char *code, const char *message)
{
    forget_answer(job);
    job->answer.outcome = PROVIDER_UNKNOWN;
    snprintf(job->answer.code, sizeof job->answer.code, "%s", code);
    snprintf(job->answer.message, sizeof job->answer.message, "%.*s", (int)sizeof job->answer.message - 1, message);
    job_answered(job);
    return VERDICT_WAIT;
}

/* The reference of authorization N at its provider, as far as it is known. */
static const char *authorization_reference(const struct authorization *authorization)
{
    const struct fact *known[] = {authorization->late, authorization->result, authorization->action,
                                  authorization->last_doubt};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *reference = known[i] ? json_text(known[i]->body, "reference", "") : "";
        if (*reference)
            return reference;
    }
    return "";
}

/* The fact that is the intent of the call at `slot`, or NULL: a void has none. */
static const struct fact *intent_of(const struct payment *payment, enum provider_operation operation, const char *slot,
                                    int n)
{
    int refund = operation == PROVIDER_REFUND ? slot_parse(slot).n : 0;
    switch (operation) {
    case PROVIDER_AUTHORIZE:
        return payment->authorizations[n].intent;
    case PROVIDER_CAPTURE:
        return payment->decision;
    case PROVIDER_REFUND:
        return refund >= 1 && refund <= payment->refund_count ? payment->refunds[refund].intent : NULL;
    case PROVIDER_VOID:
        break;
    }
    return NULL;
}

enum verdict start_provider_call(struct job *job, enum provider_operation operation, const char *slot, int n,
                                 int64_t amount, bool ask)
{
    const struct authorization *authorization = &job->payment.authorizations[n];
    const char *name = authorization_provider(&job->payment, n);
    struct provider *provider = step_provider(job, name);
    job->target = n;
    job->ask = ask;
    job->asked_at_ms = clock_wall_ms();
    job->called_ms = clock_monotonic_ms();
    if (!provider)
        return answer_unknown(job, "configuration", "the provider of this authorization is not configured here");
    char key[PROVIDER_KEY_TEXT_SIZE], authorization_slot[SLOT_SIZE], authorization_key[PROVIDER_KEY_TEXT_SIZE];
    snprintf(authorization_slot, sizeof authorization_slot, "auth:%d", n);
    const json_t *received = job->payment.received->body;
    const struct fact *intent = intent_of(&job->payment, operation, slot, n);
    struct provider_request request = {
        .operation = operation,
        .ask = ask,
        .payment_id = job->command.payment_id,
        .slot = slot,
        .key = intent_key(job->command.payment_id, slot, key),
        .authorization_key = intent_key(job->command.payment_id, authorization_slot, authorization_key),
        .reference = authorization_reference(authorization),
        .amount = amount,
        .currency = job->payment.currency,
        .payment_token = json_text(received, "paymentToken", ""),
        .description = json_text(received, "description", NULL),
        .send_until_ms = intent ? json_int(intent->body, "sendUntil", 0) : 0,
        .authorized_at_ms = authorization->intent ? authorization->intent->at_ms : 0,
    };
    struct err err = {0};
    job->has_sent = job->has_sent || (operation == PROVIDER_AUTHORIZE && !ask);
    job->call_cancel = cancel_provider_call;
    job->call = provider_start(provider, &request, on_provider_answer, job, &err);
    return job->call ? VERDICT_WAIT : answer_unknown(job, "not_sent", err.text);
}
