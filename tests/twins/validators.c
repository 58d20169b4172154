/* validators.c - the proof-of-purchase validators (docs/provider-interfaces.md), N of them in one program
 *
 * Each gives one signed vote per payment and gives it again for ever; a revocation is final and is kept also for a
 * payment never seen (a tombstone), so that a validation that comes late is refused. A declined validation is a vote
 * that says `invalid`. A vote that is forged or replayed is answered instead of the one that is booked. One that is
 * pending follows by callback; until then whoever asks is told to wait.
 */
#include "validators.h"

#include <stdlib.h>
#include <string.h>

#include "callbacks.h"
#include "clock.h"
#include "journal.h"
#include "keys.h"
#include "map.h"

enum { REFERENCE_SIZE = 256, NAME_SIZE = 24, RECORD_KEY_SIZE = PAYMENT_SIZE + 16 };

struct validation {
    char key[RECORD_KEY_SIZE]; /* number, a slash, payment */
    unsigned number;
    char payment[PAYMENT_SIZE];
    int64_t amount;
    char currency[4];
    char reference[REFERENCE_SIZE]; /* "": null */
    json_t *vote;                   /* NULL: never asked */
    int64_t pending_until;          /* Unix ms; not kept through a restart: then the vote is ready */
    bool committed;
    bool revoked;
    int64_t revoked_at;      /* Unix ms */
    struct validation *next; /* in the order they were made */
};

static const char *caller_key;
static struct map validations;
static struct validation *first, *last;

void validators_configure(const char *key)
{
    caller_key = key;
}

static void key_of(char key[RECORD_KEY_SIZE], unsigned number, const char *payment)
{
    text_print(key, RECORD_KEY_SIZE, "%u/%s", number, payment);
}

static struct validation *find(unsigned number, const char *payment)
{
    char key[RECORD_KEY_SIZE];
    key_of(key, number, payment);
    return map_get(&validations, key);
}

/* NULL: full. */
static struct validation *add(unsigned number, const char *payment)
{
    if (validations.count >= LIMIT_RECORDS)
        return NULL;
    struct validation *v = memory_new(sizeof *v);
    key_of(v->key, number, payment);
    v->number = number;
    text_copy(v->payment, sizeof v->payment, payment);
    map_put(&validations, v->key, v);
    if (last)
        last->next = v;
    else
        first = v;
    last = v;
    return v;
}

static void note(const struct validation *v)
{
    if (!journal_on())
        return;
    journal_note(json_pack("{s:s, s:I, s:s, s:I, s:s, s:s, s:b, s:b, s:I, s:O?}", "t", "validation", "number",
                           (json_int_t)v->number, "payment", v->payment, "amount", (json_int_t)v->amount, "currency",
                           v->currency, "reference", v->reference, "committed", (int)v->committed, "revoked",
                           (int)v->revoked, "revokedAt", (json_int_t)v->revoked_at, "vote", v->vote));
}

bool validators_apply(const json_t *record)
{
    char payment[PAYMENT_SIZE];
    json_int_t number = json_integer_value(json_object_get(record, "number"));
    if (!text_payment(payment, json_string_value(json_object_get(record, "payment"))) || number < 1 ||
        number > LIMIT_VALIDATORS)
        return false;
    struct validation *v = find((unsigned)number, payment);
    if (!v)
        v = add((unsigned)number, payment);
    if (!v)
        return false;
    json_t *vote = json_object_get(record, "vote");
    json_decref(v->vote);
    v->vote = json_is_object(vote) ? json_incref(vote) : NULL;
    v->amount = json_integer_value(json_object_get(record, "amount"));
    text_copy(v->currency, sizeof v->currency, json_string_value(json_object_get(record, "currency")));
    text_copy(v->reference, sizeof v->reference, json_string_value(json_object_get(record, "reference")));
    v->committed = json_is_true(json_object_get(record, "committed"));
    v->revoked = json_is_true(json_object_get(record, "revoked"));
    v->revoked_at = json_integer_value(json_object_get(record, "revokedAt"));
    return true;
}

/* ---- the way in ---- */

/* Which validator, and may the caller? False: refused, answered. */
static bool enter(struct call *call)
{
    int64_t number;
    if (!text_integer(call->args[0], 1, keys_count(), &number)) {
        answer_error(call, 404, "no such validator");
        return false;
    }
    call->validator = (unsigned)number;
    if (call_has_bearer(call, caller_key))
        return true;
    answer_error(call, 401, "unauthorized");
    return false;
}

struct question {
    char payment[PAYMENT_SIZE];
    int64_t amount;
    char currency[4];
    char reference[REFERENCE_SIZE];
};

static bool is_currency(const char *text)
{
    if (strlen(text) != 3)
        return false;
    for (; *text; text++) {
        if (*text < 'A' || *text > 'Z')
            return false;
    }
    return true;
}

static bool read_question(const json_t *body, struct question *q)
{
    const json_t *amount = json_object_get(body, "amount");
    const char *currency = json_string_value(json_object_get(body, "currency"));
    const json_t *reference = json_object_get(body, "reference");
    const json_t *at = json_object_get(body, "requestedAt");
    *q = (struct question){0};
    if (!text_payment(q->payment, json_string_value(json_object_get(body, "paymentId"))) || !json_is_integer(amount) ||
        json_integer_value(amount) < 1 || !currency || !is_currency(currency) || !json_is_string(at))
        return false;
    if (reference && !json_is_null(reference) &&
        (!json_is_string(reference) || !text_copy(q->reference, sizeof q->reference, json_string_value(reference))))
        return false;
    q->amount = json_integer_value(amount);
    return text_copy(q->currency, sizeof q->currency, currency);
}

/* ---- votes ---- */

static void name_of(char name[NAME_SIZE], unsigned number)
{
    text_print(name, NAME_SIZE, "validator-%u", number);
}

/* Signed with the key of validator `signer`, which is another one's when the vote is forged. */
static json_t *make_vote(const struct validation *v, bool valid, const char *reason, unsigned signer)
{
    char name[NAME_SIZE];
    char at[TIME_SIZE];
    char text[256];
    unsigned char signature[SIGNATURE_SIZE];
    const char *verdict = valid ? "valid" : "invalid";
    name_of(name, v->number);
    text_time(at, clock_ms(CLOCK_VALIDATORS), false);
    text_print(text, sizeof text, "acquit-pop-vote-v1\n%s\n%lld\n%s\n%s\n%s\n%s\n", v->payment, (long long)v->amount,
               v->currency, verdict, name, at);
    if (!keys_sign(signer, text, strlen(text), signature))
        abort();
    char *base64 = text_base64(signature, sizeof signature);
    json_t *vote = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s*, s:s}", "validator", name, "paymentId", v->payment,
                             "amount", (json_int_t)v->amount, "currency", v->currency, "verdict", verdict, "at", at,
                             "reason", reason, "signature", base64);
    free(base64);
    return vote;
}

void validators_open_validate(struct call *call)
{
    struct question question;
    if (!enter(call))
        return;
    if (!read_question(call->json, &question)) {
        answer_error(call, 400, "malformed");
        return;
    }
    text_copy(call->payment, sizeof call->payment, question.payment);
}

static bool same_question(const struct validation *v, const struct question *q)
{
    return v->amount == q->amount && strcmp(v->currency, q->currency) == 0 && strcmp(v->reference, q->reference) == 0;
}

/* The callback is lost when the fault says so, or when nobody said where to. */
static void defer(const struct call *call, struct validation *v)
{
    const char *url = json_string_value(json_object_get(call->json, "callbackUrl"));
    v->pending_until = clock_real_ms() + call->fault.delay_ms;
    if (url && strcmp(call->fault.code, "lost") != 0)
        callbacks_send(url, json_incref(v->vote), call->fault.delay_ms);
}

static struct validation *ask(const struct call *call, const struct question *q)
{
    struct validation *v = add(call->validator, q->payment);
    if (!v)
        return NULL;
    bool pending = call->fault.kind == FAULT_PENDING;
    bool declined = call->fault.kind == FAULT_DECLINE || (pending && strcmp(call->fault.code, "invalid") == 0);
    v->amount = q->amount;
    text_copy(v->currency, sizeof v->currency, q->currency);
    text_copy(v->reference, sizeof v->reference, q->reference);
    v->vote = make_vote(v, !declined, declined ? (call->fault.code[0] ? call->fault.code : "no such purchase") : NULL,
                        v->number);
    if (pending)
        defer(call, v);
    note(v);
    return v;
}

/* NULL: nobody else has a key. */
static json_t *forged_vote(const struct call *call, const struct validation *v)
{
    unsigned signer = v->number % keys_count() + 1;
    return signer == v->number ? NULL : make_vote(v, strcmp(call->fault.code, "invalid") != 0, NULL, signer);
}

/* The same validator's newest yes to another purchase, as it was given or with this one's id put in. NULL: none. */
static json_t *replayed_vote(const struct call *call, const struct validation *about)
{
    const json_t *found = NULL;
    for (const struct validation *v = first; v; v = v->next) {
        const char *verdict = json_string_value(json_object_get(v->vote, "verdict"));
        if (v->number == about->number && v != about && verdict && strcmp(verdict, "valid") == 0)
            found = v->vote;
    }
    json_t *vote = json_deep_copy(found);
    if (vote && strcmp(call->fault.code, "relabelled") == 0)
        json_object_set_new(vote, "paymentId", json_string(about->payment));
    return vote;
}

static void answer_vote(struct call *call, const struct validation *v)
{
    bool forged = call->fault.kind == FAULT_FORGED;
    bool replayed = call->fault.kind == FAULT_REPLAYED;
    json_t *vote = forged ? forged_vote(call, v) : replayed ? replayed_vote(call, v) : json_incref(v->vote);
    if (vote)
        answer_json(call, 200, vote);
    else
        answer_error(call, 503, "nothing to forge or replay");
}

void validators_effect_validate(struct call *call)
{
    struct question question;
    if (!read_question(call->json, &question))
        return;
    struct validation *v = find(call->validator, question.payment);
    if (v && v->revoked)
        answer_error(call, 409, "revoked");
    else if (v && !same_question(v, &question))
        answer_error(call, 422, "contradicts an earlier request");
    else if (!v && !(v = ask(call, &question)))
        answer_error(call, 503, "full");
    else if (clock_real_ms() < v->pending_until)
        answer_json(call, 202, json_pack("{s:s, s:s}", "paymentId", v->payment, "status", "pending"));
    else
        answer_vote(call, v);
}

/* ---- commit ---- */

void validators_open_commit(struct call *call)
{
    if (enter(call))
        call_payment_arg(call, 1);
}

void validators_effect_commit(struct call *call)
{
    struct validation *v = find(call->validator, call->payment);
    if (call->fault.kind == FAULT_DECLINE) {
        answer_error(call, 422, call->fault.code[0] ? call->fault.code : "refused");
    } else if (v && v->revoked) {
        answer_error(call, 409, "revoked");
    } else {
        if (v && !v->committed) { /* else it was never asked, and has nothing to keep */
            v->committed = true;
            note(v);
        }
        answer_json(call, 200, json_pack("{s:s, s:s}", "paymentId", call->payment, "status", "committed"));
    }
}

/* ---- revocation ---- */

void validators_open_revoke(struct call *call)
{
    if (enter(call))
        call_payment_arg(call, 1);
}

void validators_effect_revoke(struct call *call)
{
    struct validation *v = find(call->validator, call->payment);
    if (call->fault.kind == FAULT_DECLINE) {
        answer_error(call, 422, call->fault.code[0] ? call->fault.code : "refused");
        return;
    }
    if (!v && !(v = add(call->validator, call->payment))) {
        answer_error(call, 503, "full");
        return;
    }
    if (!v->revoked) {
        v->revoked = true;
        v->revoked_at = clock_real_ms();
        note(v);
    }
    answer_json(call, 200, json_pack("{s:s, s:s}", "paymentId", v->payment, "status", "revoked"));
}

/* ---- questions ---- */

static const char *status_of(const struct validation *v)
{
    return v->revoked ? "revoked" : json_string_value(json_object_get(v->vote, "verdict"));
}

void validators_open_retrieve(struct call *call)
{
    validators_open_revoke(call);
}

void validators_effect_retrieve(struct call *call)
{
    const struct validation *v = find(call->validator, call->payment);
    if (!v || call->fault.kind == FAULT_DECLINE)
        answer_error(call, 404, "not_found");
    else
        answer_json(call, 200,
                    json_pack("{s:s, s:s, s:O?}", "paymentId", v->payment, "status", status_of(v), "vote", v->vote));
}

json_t *validators_books(const char *payment)
{
    char name[NAME_SIZE];
    json_t *list = json_array();
    for (const struct validation *v = first; v; v = v->next) {
        if (payment && strcmp(v->payment, payment) != 0)
            continue;
        name_of(name, v->number);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b, s:O?}", "validator", name, "paymentId", v->payment,
                                              "status", status_of(v), "committed", (int)v->committed, "vote", v->vote));
    }
    return json_pack("{s:o}", "validations", list);
}
