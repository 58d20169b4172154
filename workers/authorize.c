/* authorize.c - the worker that accepts payments and holds, captures and voids their money
 *
 * Three kinds of provider call, each with its intent committed first (L5): authorization N (`auth:N`), capture (`decision`=commit N),
 * void (`decision`=abort, a refused capture, or an approval that came too late). What is unknown becomes a doubt and a question (L6).
 */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/money.h"
#include "common/mutant.h"
#include "ledger/book.h"
#include "workers/attest.h"
#include "workers/late.h"
#include "workers/policy.h"
#include "workers/routing.h"
#include "workers/steps.h"

/* --- payment.create: is it acceptable, and what is recorded of it --- */

static void copy_members(json_t *to, const json_t *from, const char *const *names)
{
    for (; *names; names++) {
        json_t *value = json_object_get(from, *names);
        if (value)
            json_object_set(to, *names, value);
    }
}

/* Personal data goes to ledger.personal; the fact keeps a salted hash of it (L11). */
static void keep_personal(struct job *job, json_t *received)
{
    const char *email = json_text(job->command.body, "customerEmail", NULL);
    if (!email)
        return;
    uint8_t salt[16], digest[SHA256_SIZE];
    char salt_hex[2 * sizeof salt + 1], digest_hex[SHA256_HEX_SIZE];
    crypto_random(salt, sizeof salt);
    hex_encode(salt, sizeof salt, salt_hex);
    sha256_two(salt, sizeof salt, email, strlen(email), digest);
    hex_encode(digest, sizeof digest, digest_hex);
    json_object_set_new(received, "customerEmailHash", json_string(digest_hex));
    job->new_personal.payment_id = job->command.payment_id;
    job->new_personal.data = json_pack("{s:s, s:s}", "customerEmail", email, "salt", salt_hex);
    snprintf(job->new_personal.with, sizeof job->new_personal.with, "received");
    job->has_personal = true;
}

static json_t *channels(const struct job *job, const struct publisher_config *publisher)
{
    json_t *list = json_array();
    if (*publisher->webhook_url)
        json_array_append_new(list, json_string("webhook"));
    if (publisher->email && job->around->mail && json_text(job->command.body, "customerEmail", NULL))
        json_array_append_new(list, json_string("email"));
    return list;
}

static json_t *received_body(const struct job *job, const struct publisher_config *publisher)
{
    static const char *const copied[] = {"amount",    "currency", "paymentToken", "customerId", "description",
                                         "reference", "metadata", "tokens",       "country",    NULL};
    const json_t *wish = job->command.body;
    json_t *body = json_object();
    copy_members(body, wish, copied);
    json_object_set_new(body, "flow", json_string(json_text(wish, "flow", publisher->flow)));
    json_object_set_new(body, "paymentMethod",
                        json_string(json_text(wish, "paymentMethod", publisher->payment_method)));
    json_object_set_new(body, "merchant", json_string(json_text(wish, "merchant", publisher->merchant)));
    json_object_set_new(body, "publisher", json_string(job->command.publisher));
    json_object_set_new(body, "messageId", json_string(job->command.message_id));
    json_object_set_new(body, "sha256", json_string(job->command.sha256));
    json_object_set_new(body, "commissionPpm", json_integer(publisher->commission_ppm));
    json_object_set_new(body, "expiresAt",
                        json_integer(clock_wall_ms() + json_int(wish, "expiresInMs", publisher->expires_in_ms)));
    routing_record(job, publisher, body);
    note_reply(job, body);
    json_object_set_new(body, "channels", channels(job, publisher));
    return body;
}

/* A rule that refuses the payment before anybody is asked; NULL when none does. */
static json_t *refusal(const struct job *job, const struct publisher_config *publisher, const json_t *received)
{
    int64_t amount = json_int(received, "amount", 0);
    char text[160];
    if (amount > publisher->amount_max) {
        snprintf(text, sizeof text, "amount is above the publisher's limit of %lld", (long long)publisher->amount_max);
        return abort_body("REFUSED_BY_RULE", "amount_limit", text);
    }
    json_t *nowhere = routing_refusal(job, received);
    if (nowhere)
        return nowhere;
    bool dual = strcmp(json_text(received, "flow", ""), "dual") == 0;
    if (dual && (!job->around->pop || !job->around->tokens))
        return abort_body("NO_ROUTE", "no_dual",
                          "the flow dual needs validators and a token system in the configuration");
    if (dual && !json_object_get(received, "tokens"))
        return abort_body("REFUSED_BY_RULE", "tokens_missing", "the flow dual needs tokens");
    return NULL;
}

static int64_t authorization_window_ms(const struct job *job, const char *provider)
{
    const struct provider *found = step_provider(job, provider);
    return found ? provider_options(found)->send_window_ms : 0;
}

static void add_authorization(struct job *job, int n, const char *provider, const char *with)
{
    char slot[SLOT_SIZE];
    snprintf(slot, sizeof slot, "auth:%d", n);
    job_fact(job, slot, with, "intent", intent_body(job, provider, slot, authorization_window_ms(job, provider)));
}

/* A call that the breaker keeps back is no intent: who may be called is decided before one is written. While nobody may, the command comes again; what
 * ends that is the payment's deadline, or a cancel. */
static enum verdict begin_authorization(struct job *job, const json_t *received, const char *with)
{
    const char *provider = routing_first(job, received);
    if (!provider)
        return job_later(job, "no provider of its route takes new payments now");
    add_authorization(job, 1, provider, with);
    return VERDICT_CALL;
}

static bool is_plain(const json_t *received)
{
    return strcmp(json_text(received, "flow", ""), "plain") == 0;
}

static enum verdict accept_payment(struct job *job)
{
    const struct publisher_config *publisher = config_publisher_find(job->around->config, job->command.publisher);
    if (!publisher)
        return job_dead(job, DEATH_INVALID, "user_id: the publisher %s is not in the configuration",
                        job->command.publisher);
    json_t *body = received_body(job, publisher);
    json_t *refused = refusal(job, publisher, body);
    keep_personal(job, body);
    job_guard(job, job_fact(job, "received", NULL, "accepted", body));
    if (refused) {
        job_fact(job, "decision", "received", "abort", refused);
        return VERDICT_CALL;
    }
    return is_plain(body) ? begin_authorization(job, body, "received") : VERDICT_CALL;
}

/* A plain payment of this command that found no provider when it was received, and may still find one. */
static bool waits_for_provider(const struct job *job)
{
    const struct payment *payment = &job->payment;
    return payment->flow == FLOW_PLAIN && payment->decision_kind == UNDECIDED && !payment->authorizations[1].intent &&
           job_caused(job, payment->received) && clock_wall_ms() < json_int(payment->received->body, "expiresAt", 0);
}

/* --- authorization N: what of it is this delivery's to do --- */

static bool open_intent(const struct authorization *authorization)
{
    return !authorization->result && authorization->doubts == 0;
}

/* An intent of its own that nobody has an answer for: a fresh one, or one that a crash left open (L5: no other's is touched). */
static int own_open_authorization(const struct job *job)
{
    for (int n = 1; n <= job->payment.authorization_count; n++)
        if (open_intent(&job->payment.authorizations[n]) && job_caused(job, job->payment.authorizations[n].intent))
            return n;
    return 0;
}

/* The question that `authorize.resolve N:K` asks, if it is still open. */
static int asked_authorization(const struct job *job)
{
    struct slot slot = slot_parse(job->command.slot);
    if (slot.kind != SLOT_AUTH_DOUBT || slot.n < 1 || slot.n > job->payment.authorization_count)
        return 0;
    const struct authorization *authorization = &job->payment.authorizations[slot.n];
    return !authorization->result && authorization->doubts <= slot.k ? slot.n : 0;
}

static bool has_authorization_to_do(const struct job *job)
{
    return own_open_authorization(job) || asked_authorization(job) || late_asked(job);
}

/* What of an authorization is this delivery's to do; without anything, what it may owe (late.h). */
static enum verdict plan_authorization(struct job *job)
{
    return has_authorization_to_do(job) || late_plan(job) ? VERDICT_CALL : VERDICT_DONE;
}

/* This very command, under this key, was received with other content. */
static bool received_another_body(const struct job *job)
{
    return !MUTANT(ANY_BODY) && job_caused(job, job->payment.received) && /* L10 */
           strcmp(json_text(job->payment.received->body, "sha256", ""), job->command.sha256) != 0;
}

static enum verdict plan_create(struct job *job)
{
    if (!job->payment.received)
        return accept_payment(job);
    if (received_another_body(job))
        return key_conflict(job); /* L10 */
    if (waits_for_provider(job))
        return begin_authorization(job, job->payment.received->body, NULL);
    return plan_authorization(job);
}

static enum verdict plan_start(struct job *job)
{
    if (saga_wants(&job->payment, "authorize.start", 1))
        return begin_authorization(job, job->payment.received->body, NULL);
    return plan_authorization(job);
}

static enum verdict send_or_ask(struct job *job, int n, bool ask)
{
    char slot[SLOT_SIZE];
    snprintf(slot, sizeof slot, "auth:%d", n);
    return start_provider_call(job, PROVIDER_AUTHORIZE, slot, n, job->payment.amount, ask);
}

static bool may_still_send(const struct job *job, int n)
{
    return policy_may_send(clock_wall_ms(), json_int(job->payment.authorizations[n].intent->body, "sendUntil", 0));
}

static enum verdict call_own_authorization(struct job *job, int n)
{
    job->question = 0;
    if (job->payment.decision_kind == ABORT && MUTANT(UNSENT_FORGOTTEN))
        return VERDICT_DONE;
    if (job->payment.decision_kind ==
        ABORT) {            /* L5: seen between intent and call: not sent, and nobody may think it was never meant */
        forget_answer(job); /* another authorization's */
        snprintf(job->answer.code, sizeof job->answer.code, "aborted_before_call");
        char slot[SLOT_SIZE];
        snprintf(slot, sizeof slot, "auth:%d", n);
        return add_doubt(job, slot, 0, NULL);
    }
    return send_or_ask(job, n, !may_still_send(job, n));
}

static enum verdict call_authorization(struct job *job)
{
    if (received_another_body(job))
        return key_conflict(job); /* L10 */
    if (late_go_on(job))
        return VERDICT_CALL;
    int n = own_open_authorization(job);
    if (n)
        return call_own_authorization(job, n);
    if ((n = asked_authorization(job))) {
        job->question = slot_parse(job->command.slot).k;
        bool spent = is_spent(job->payment.authorizations[n].last_doubt);
        return send_or_ask(job, n, spent || job->payment.decision_kind != UNDECIDED || !may_still_send(job, n));
    }
    n = late_asked(job);
    return n ? send_or_ask(job, n, true) : VERDICT_DONE;
}

/* --- authorization N: what the answer means --- */

static enum verdict add_hold(struct job *job, int n, const char *slot_end)
{
    char slot[SLOT_SIZE];
    struct new_transfer transfers[BOOK_LEGS_MAX];
    struct err err = {0};
    const char *provider = authorization_provider(&job->payment, n);
    snprintf(slot, sizeof slot, "auth:%d:%s", n, slot_end);
    job_fact(job, slot, NULL, "approved", answer_body(job, provider));
    return job_books(job, transfers, book_hold(&job->payment, n, provider, slot, transfers, &err), &err);
}

/* A negative answer: the next provider begins in the same transaction, or, without one left, the payment ends (L6, L7). */
static enum verdict add_negative(struct job *job, int n, const char *outcome)
{
    char slot[SLOT_SIZE];
    snprintf(slot, sizeof slot, "auth:%d:result", n);
    job_fact(job, slot, NULL, outcome, answer_body(job, authorization_provider(&job->payment, n)));
    if (job->payment.decision_kind != UNDECIDED || MUTANT(REFUSAL_WITHOUT_ABORT)) /* L7 */
        return VERDICT_DONE;
    const char *provider = routing_next(job, n, outcome);
    if (provider) {
        add_authorization(job, n + 1, provider, MUTANT(FAIL_OVER_ANYWAY) ? NULL : slot); /* L6 */
        return VERDICT_CALL;
    }
    const char *reason = strcmp(outcome, "absent") == 0      ? "ABSENT"
                         : strcmp(outcome, "cancelled") == 0 ? "PROVIDER_CANCELLED"
                                                             : "DECLINED";
    job_fact(job, "decision", slot, "abort", abort_body(reason, job->answer.code, job->answer.message));
    return VERDICT_DONE;
}

static enum verdict doubt_authorization(struct job *job, int n)
{
    char slot[SLOT_SIZE];
    snprintf(slot, sizeof slot, "auth:%d", n);
    return add_doubt(job, slot, job->question, job->payment.authorizations[n].last_doubt);
}

/* The customer's challenge stands; after an abort nobody will answer it: the provider is told to cancel. */
static enum verdict challenge(struct job *job, int n)
{
    if (job->payment.decision_kind == ABORT) {
        char slot[SLOT_SIZE];
        snprintf(slot, sizeof slot, "void:%d", n);
        job->cancelling = true;
        return start_provider_call(job, PROVIDER_VOID, slot, n, job->payment.amount, false);
    }
    if (!job->payment.authorizations[n].action) {
        json_t *body = answer_body(job, authorization_provider(&job->payment, n));
        json_object_update_missing(body, job->answer.action); /* type and url, for the customer */
        job_fact_f(job, NULL, "required", body, "auth:%d:action", n);
    }
    if (slot_parse(job->command.slot).kind == SLOT_AUTH_DOUBT)
        return doubt_authorization(job, n); /* until the customer has answered: the next question */
    return VERDICT_DONE;
}

/* The result stands already: only an approval can add to it (L6: it is never dropped). */
static enum verdict settle_after_result(struct job *job, int n)
{
    const struct authorization *authorization = &job->payment.authorizations[n];
    if (job->answer.outcome == PROVIDER_ACTION && !authorization->action) {
        json_t *body = answer_body(job, authorization_provider(&job->payment, n));
        job_fact_f(job, NULL, "required", body, "auth:%d:action",
                   n); /* a challenge that nobody waits for: it is voided */
        return VERDICT_DONE;
    }
    if (job->answer.outcome == PROVIDER_DONE && !authorization->approved && !authorization->late)
        return MUTANT(LATE_APPROVAL_DROPPED) ? VERDICT_DONE : add_hold(job, n, "late");
    return late_asked(job) == n ? late_settle(job, n) : VERDICT_DONE;
}

static enum verdict settle_cancelling(struct job *job, int n)
{
    job->cancelling = false;
    bool cancelled = job->answer.outcome == PROVIDER_DONE || job->answer.outcome == PROVIDER_EXPIRED;
    job->answer.outcome = cancelled ? PROVIDER_EXPIRED : PROVIDER_UNKNOWN; /* of the authorization, from here on */
    if (cancelled)
        return add_negative(job, n, "cancelled");
    return doubt_authorization(job, n);
}

static enum verdict settle_authorization(struct job *job)
{
    int n = job->target;
    if (job->payment.authorizations[n].result)
        return settle_after_result(job, n);
    if (job->cancelling)
        return settle_cancelling(job, n);
    switch (job->answer.outcome) {
    case PROVIDER_DONE:
        return add_hold(job, n, "result");
    case PROVIDER_REFUSED:
        return add_negative(job, n, "declined");
    case PROVIDER_EXPIRED:
        return add_negative(job, n, "cancelled");
    case PROVIDER_ACTION:
        return challenge(job, n);
    case PROVIDER_ABSENT:
        if (job->ask && may_conclude_absent(job, job->payment.authorizations[n].intent->body,
                                            job->payment.authorizations[n].last_doubt))
            return add_negative(job, n, "absent");
        break;
    case PROVIDER_UNKNOWN:
        if (MUTANT(UNKNOWN_IS_DECLINED)) /* L6 */
            return add_negative(job, n, "declined");
        break;
    }
    return doubt_authorization(job, n);
}

/* Who lost the slot compares: an approval that found a negative result is held money that nobody else knows of (L6). */
static enum verdict check_authorization(struct job *job)
{
    int n = job->target;
    const struct authorization *authorization = &job->payment.authorizations[n];
    bool no_answer = job->answer.outcome == PROVIDER_UNKNOWN || job->answer.outcome == PROVIDER_ABSENT;
    if (no_answer && !job->cancelling && late_check(job, n))
        return VERDICT_CALL;
    if (job->answer.outcome != PROVIDER_DONE || job->cancelling || !authorization->result || authorization->approved ||
        authorization->late || MUTANT(LATE_APPROVAL_DROPPED))
        return VERDICT_DONE;
    return add_hold(job, n, "late");
}

/* --- capture --- */

static int approved_authorization(const struct payment *payment)
{
    int found = 0;
    for (int n = 1; n <= payment->authorization_count; n++)
        if (payment->authorizations[n].approved)
            found = n;
    return found;
}

static bool asks_capture(const struct job *job)
{
    struct slot slot = slot_parse(job->command.slot);
    if (MUTANT(CAPTURE_AFTER_ABORT) && job->payment.decision_kind == ABORT) /* L7 */
        return true;
    if (job->payment.decision_kind != COMMIT || job->payment.capture)
        return false;
    if (slot.kind == SLOT_CAPTURE_DOUBT)
        return job->payment.capture_doubts <= slot.k;
    return job_caused(job, job->payment.decision) && job->payment.capture_doubts == 0;
}

static enum verdict plan_capture(struct job *job)
{
    if (job->payment.decision_kind != UNDECIDED)
        return asks_capture(job) ? VERDICT_CALL : VERDICT_DONE;
    if (!saga_wants(&job->payment, "authorize.capture", 0))
        return VERDICT_DONE;
    int n = approved_authorization(&job->payment);
    const char *name = authorization_provider(&job->payment, n);
    const struct provider *provider = step_provider(job, name);
    if (!provider)
        return job_retry(job, "the provider %s is not configured here", name);
    char outcome[OUTCOME_SIZE];
    snprintf(outcome, sizeof outcome, "commit:%d", n);
    job_fact(job, "decision", NULL, outcome,
             intent_body(job, name, "capture", repeat_window_ms(provider))); /* L7: first insert wins */
    return VERDICT_CALL;
}

static enum verdict call_capture(struct job *job)
{
    if (!asks_capture(job))
        return VERDICT_DONE;
    struct slot slot = slot_parse(job->command.slot);
    job->question = slot.kind == SLOT_CAPTURE_DOUBT ? slot.k : 0;
    bool open = policy_may_send(clock_wall_ms(), json_int(job->payment.decision->body, "sendUntil", 0));
    bool ask = !open || is_spent(job->payment.last_capture_doubt);
    return start_provider_call(job, PROVIDER_CAPTURE, "capture", job->payment.commit, job->payment.amount, ask);
}

static enum verdict refuse_capture(struct job *job)
{
    job_fact(job, "capture", NULL, "refused", answer_body(job, authorization_provider(&job->payment, job->target)));
    return VERDICT_DONE;
}

static enum verdict add_capture(struct job *job)
{
    struct new_transfer transfers[BOOK_LEGS_MAX];
    struct err err = {0};
    json_t *body = answer_body(job, authorization_provider(&job->payment, job->target));
    json_object_set_new(body, "amount", json_integer(job->payment.amount));
    job_fact(job, "capture", NULL, "captured", body);
    return job_books(job, transfers, book_capture(&job->payment, job->target, job->payment.amount, transfers, &err),
                     &err);
}

static enum verdict settle_capture(struct job *job)
{
    switch (job->answer.outcome) {
    case PROVIDER_DONE:
        return add_capture(job);
    case PROVIDER_REFUSED:
    case PROVIDER_EXPIRED:
        return refuse_capture(job);
    case PROVIDER_ABSENT:
        if (job->ask && may_conclude_absent(job, job->payment.decision->body, job->payment.last_capture_doubt))
            return refuse_capture(job); /* authoritatively not captured, and no longer sent: it is undone by rule */
        break;
    case PROVIDER_ACTION:
    case PROVIDER_UNKNOWN:
        if (MUTANT(UNKNOWN_CAPTURE_IS_REFUSED)) /* L6 */
            return refuse_capture(job);
        break;
    }
    return add_doubt(job, "capture", job->question, job->payment.last_capture_doubt);
}

/* The slot says refused, the provider took the money, or the other way round: nobody may drop that (L6). */
static enum verdict check_capture(struct job *job)
{
    bool refused = job->answer.outcome == PROVIDER_REFUSED || job->answer.outcome == PROVIDER_EXPIRED;
    if (job->answer.outcome == PROVIDER_DONE && job->payment.capture && !job->payment.captured)
        return job_dead(job, DEATH_REFUSED, "captured at the provider (%s) although the ledger says refused",
                        job->answer.reference);
    if (refused && job->payment.captured)
        return job_dead(job, DEATH_REFUSED, "refused at the provider (%s) although the ledger says captured",
                        job->answer.code);
    return VERDICT_DONE;
}

/* --- void --- */

static bool asks_void(const struct job *job, struct slot slot)
{
    if (slot.n < 1 || slot.n > job->payment.authorization_count || job->payment.authorizations[slot.n].voided)
        return false;
    if (!saga_wants(&job->payment, "authorize.void", slot.n))
        return false;
    int doubts = job->payment.authorizations[slot.n].void_doubts;
    return slot.kind == SLOT_VOID_DOUBT ? doubts <= slot.k : doubts == 0;
}

static enum verdict plan_void(struct job *job)
{
    return asks_void(job, slot_parse(job->command.slot)) ? VERDICT_CALL : VERDICT_DONE;
}

/* A void may be sent as often as one likes: it is the question, too. Under a spent key it could never succeed: then the provider is asked, and what
 * was found not voided is voided under the key of that question (ADR 9). */
static enum verdict call_void(struct job *job)
{
    struct slot slot = slot_parse(job->command.slot);
    if (!asks_void(job, slot))
        return VERDICT_DONE;
    char name[SLOT_SIZE];
    const struct fact *doubt = job->payment.authorizations[slot.n].last_void_doubt;
    bool ask = is_spent(doubt) && !json_bool(doubt->body, "asked", false);
    if (is_spent(doubt) && !ask)
        snprintf(name, sizeof name, "%s", job->command.slot);
    else
        snprintf(name, sizeof name, "void:%d", slot.n);
    job->question = slot.kind == SLOT_VOID_DOUBT ? slot.k : 0;
    return start_provider_call(job, PROVIDER_VOID, name, slot.n, job->payment.amount, ask);
}

static enum verdict add_void(struct job *job, const char *outcome)
{
    struct new_transfer transfers[BOOK_LEGS_MAX];
    struct err err = {0};
    job_fact_f(job, NULL, outcome, answer_body(job, authorization_provider(&job->payment, job->target)), "void:%d",
               job->target);
    return job_books(job, transfers, book_void(&job->payment, job->target, transfers, &err), &err);
}

static enum verdict settle_void(struct job *job)
{
    char slot[SLOT_SIZE];
    switch (job->answer.outcome) {
    case PROVIDER_DONE:
        return add_void(job, "voided");
    case PROVIDER_EXPIRED:
        return add_void(job, "expired");
    case PROVIDER_ABSENT:
        if (!job->ask) /* an answer to a question says: not voided yet */
            return add_void(job, "nothing");
        break;
    case PROVIDER_REFUSED:
        return job_dead(job, DEATH_REFUSED, "the provider refuses to void authorization %d: %s", job->target,
                        job->answer.code);
    case PROVIDER_ACTION:
    case PROVIDER_UNKNOWN:
        break;
    }
    snprintf(slot, sizeof slot, "void:%d", job->target);
    return add_doubt(job, slot, job->question, job->payment.authorizations[job->target].last_void_doubt);
}

/* --- cancel --- */

/* The decision that this key caused, for another body (L10). */
static bool decided_otherwise(const struct job *job)
{
    const struct fact *decision = job->payment.decision;
    return job_caused(job, decision) && strcmp(json_text(decision->body, "sha256", ""), job->command.sha256) != 0;
}

/* Too late is an answer, too; its own repeat is none. */
static enum verdict cancel_after_decision(struct job *job)
{
    if (!job_caused(job, job->payment.decision)) {
        json_auto_t *body = json_pack("{s:b, s:s, s:s, s:s}", "success", 0, "error", "TOO_LATE", "error_code",
                                      "TOO_LATE", "message", "the payment was decided before");
        note_command(job);
        job_reply(job, body);
        return VERDICT_DONE;
    }
    return decided_otherwise(job) ? key_conflict(job) : VERDICT_DONE;
}

static enum verdict plan_cancel(struct job *job)
{
    if (!owns_payment(job)) {
        job->death = DEATH_UNKNOWN_PAYMENT;
        return job_retry(job, "paymentId: no such payment of %s", job->command.publisher);
    }
    if (job->payment.decision_kind != UNDECIDED)
        return cancel_after_decision(job);
    json_t *body = abort_body("CANCELLED", "cancelled", json_text(job->command.body, "reason", ""));
    json_object_set_new(body, "sha256", json_string(job->command.sha256));
    note_reply(job, body);
    job_guard(job, job_fact(job, "decision", NULL, "abort", body));
    return VERDICT_CALL;
}

/* Nothing was decided although we tried, or by another worker for another body: the key belongs to another command (L10). */
static enum verdict call_cancel(struct job *job)
{
    bool lost = job->payment.decision_kind == UNDECIDED || decided_otherwise(job);
    return lost ? key_conflict(job) : VERDICT_DONE;
}

/* --- a person's word, where no provider gives one (attest.h) --- */

/* What follows from the word (a fail-over) is an authorization like any other. */
static bool goes_on_with_authorization(const struct job *job)
{
    return own_open_authorization(job) || job->observed[0];
}

static enum verdict plan_attested(struct job *job)
{
    return goes_on_with_authorization(job) ? VERDICT_CALL : attest_plan(job);
}

static enum verdict call_attested(struct job *job)
{
    return goes_on_with_authorization(job) ? call_authorization(job) : attest_ask(job);
}

static bool is_attested_authorization(const struct job *job, struct slot slot)
{
    return job->target == slot.n && !job->payment.authorizations[slot.n].result && !job->cancelling;
}

static enum verdict settle_attested(struct job *job)
{
    struct slot slot = slot_parse(job->command.slot);
    if (slot.kind == SLOT_CAPTURE)
        return attest_settle(job, settle_capture);
    if (slot.kind == SLOT_VOID)
        return attest_settle(job, settle_void);
    return is_attested_authorization(job, slot) ? attest_settle(job, settle_authorization) : settle_authorization(job);
}

/* A word that came too late adds nothing; what the provider answered to the question before it is never dropped (L6). */
static enum verdict check_attested(struct job *job)
{
    struct slot slot = slot_parse(job->command.slot);
    if (attest_is_word(job) || slot.kind == SLOT_VOID)
        return VERDICT_DONE;
    return slot.kind == SLOT_CAPTURE ? check_capture(job) : check_authorization(job);
}

static const struct step steps[] = {
    {.command = "payment.create",
     .plan = plan_create,
     .call = call_authorization,
     .settle = settle_authorization,
     .check = check_authorization},
    {.command = "authorize.start",
     .plan = plan_start,
     .call = call_authorization,
     .settle = settle_authorization,
     .check = check_authorization},
    {.command = "authorize.resolve",
     .plan = plan_authorization,
     .call = call_authorization,
     .settle = settle_authorization,
     .check = check_authorization},
    {.command = "authorize.capture",
     .plan = plan_capture,
     .call = call_capture,
     .settle = settle_capture,
     .check = check_capture},
    {.command = "authorize.void", .plan = plan_void, .call = call_void, .settle = settle_void},
    {.command = "authorize.attest",
     .plan = plan_attested,
     .call = call_attested,
     .settle = settle_attested,
     .check = check_attested},
    {.command = "payment.cancel", .plan = plan_cancel, .call = call_cancel},
    {0},
};

const struct worker_type worker_authorize = {.name = "authorize", .steps = steps, .begins_payments = true};
