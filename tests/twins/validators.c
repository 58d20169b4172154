/* validators.c - the proof-of-purchase validators (docs/provider-interfaces.md), N of them in one program
 *
 * Each gives one signed vote per payment and gives it again for ever; a revocation is final and is kept also for a
 * payment never seen (a tombstone), so that a validation that comes late is refused. A declined validation is a vote
 * that says `invalid`. A vote that is forged or replayed is answered instead of the one that is booked. One that is
 * pending follows by callback; until then whoever asks is told to wait. A commit is kept like a revocation.
 *
 * A test may rewrite the books, or have a payment forgotten: then they are wrong, as a provider's can be.
 */
#include "validators.h"

#include <stdlib.h>
#include <string.h>

#include "callbacks.h"
#include "clock.h"
#include "journal.h"
#include "keys.h"
#include "map.h"

enum { REFERENCE_SIZE = 256, NAME_SIZE = 24, RECORD_KEY_SIZE = PAYMENT_SIZE + 16, NONCE_LENGTH = 32 };

struct validation {
    char key[RECORD_KEY_SIZE]; /* number, a slash, payment */
    unsigned number;
    char payment[PAYMENT_SIZE];
    int64_t amount;
    char currency[4];
    char reference[REFERENCE_SIZE]; /* "": null */
    json_t *vote;                   /* NULL: never asked */
    int64_t changed_at;             /* Unix ms */
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

/* As if it had never been heard of. */
static void forget(struct validation *v)
{
    struct validation **link = &first, *before = NULL;
    for (; *link != v; link = &(*link)->next)
        before = *link;
    *link = v->next;
    if (last == v)
        last = before;
    map_remove(&validations, v->key);
    json_decref(v->vote);
    free(v);
}

static void note_forgotten(unsigned number, const char *payment)
{
    if (journal_on())
        journal_note(json_pack("{s:s, s:I, s:s, s:b}", "t", "validation", "number", (json_int_t)number, "payment",
                               payment, "forgotten", 1));
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
    v->changed_at = clock_real_ms();
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
    journal_note(json_pack("{s:s, s:I, s:s, s:I, s:s, s:s, s:b, s:b, s:I, s:I, s:O?}", "t", "validation", "number",
                           (json_int_t)v->number, "payment", v->payment, "amount", (json_int_t)v->amount, "currency",
                           v->currency, "reference", v->reference, "committed", (int)v->committed, "revoked",
                           (int)v->revoked, "revokedAt", (json_int_t)v->revoked_at, "changedAt",
                           (json_int_t)v->changed_at, "vote", v->vote));
}

bool validators_apply(const json_t *record)
{
    char payment[PAYMENT_SIZE];
    json_int_t number = json_integer_value(json_object_get(record, "number"));
    if (!text_payment(payment, json_string_value(json_object_get(record, "payment"))) || number < 1 ||
        number > LIMIT_VALIDATORS)
        return false;
    struct validation *v = find((unsigned)number, payment);
    if (json_is_true(json_object_get(record, "forgotten"))) {
        if (v)
            forget(v);
        return true;
    }
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
    v->changed_at = json_integer_value(json_object_get(record, "changedAt"));
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
    else if (v && !v->vote)
        answer_error(call, 409, "committed");
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
    } else if (!v && !(v = add(call->validator, call->payment))) {
        answer_error(call, 503, "full");
    } else {
        if (!v->committed) {
            v->committed = true;
            v->changed_at = clock_real_ms();
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
        v->revoked_at = v->changed_at = clock_real_ms();
        note(v);
    }
    answer_json(call, 200, json_pack("{s:s, s:s}", "paymentId", v->payment, "status", "revoked"));
}

/* ---- questions ---- */

static const char *verdict_of(const struct validation *v)
{
    return json_string_value(json_object_get(v->vote, "verdict"));
}

/* In the books' rows; whether it was committed stands beside it. */
static const char *status_of(const struct validation *v)
{
    return v->revoked ? "revoked" : v->vote ? verdict_of(v) : "committed";
}

static const char *standing_of(const struct validation *v)
{
    if (v->revoked || v->committed)
        return v->revoked ? "revoked" : "committed";
    return clock_real_ms() < v->pending_until ? "pending" : verdict_of(v);
}

/* A forged statement is signed with another validator's key, a replayed one answers an older question. `v` may be NULL. */
static json_t *make_statement(const struct call *call, const struct validation *v, const char *nonce)
{
    char name[NAME_SIZE];
    char at[TIME_SIZE];
    char text[512];
    unsigned char signature[SIGNATURE_SIZE];
    bool forged = call->fault.kind == FAULT_FORGED;
    const char *status = v ? standing_of(v) : "unknown";
    const json_t *vote = v && strcmp(status, "pending") != 0 ? v->vote : NULL;
    if (call->fault.kind == FAULT_REPLAYED)
        nonce = "00000000000000000000000000000000";
    name_of(name, call->validator);
    text_time(at, v ? v->changed_at : 0, true);
    text_print(text, sizeof text, "acquit-pop-state-v1\n%s\n%s\n%s\n%s\n%s\n%s\n", call->payment, status,
               vote ? json_string_value(json_object_get(vote, "verdict")) : "none", v ? at : "none", name, nonce);
    if (!keys_sign(forged ? call->validator % keys_count() + 1 : call->validator, text, strlen(text), signature))
        abort();
    char *base64 = text_base64(signature, sizeof signature);
    json_t *statement = json_pack("{s:s, s:s, s:s, s:o, s:O?, s:s, s:s}", "validator", name, "paymentId", call->payment,
                                  "status", status, "changedAt", v ? json_string(at) : json_null(), "vote", vote,
                                  "nonce", nonce, "signature", base64);
    free(base64);
    return statement;
}

void validators_open_retrieve(struct call *call)
{
    validators_open_revoke(call);
}

void validators_effect_retrieve(struct call *call)
{
    const struct validation *v = find(call->validator, call->payment);
    const char *nonce = form_get(&call->form, "nonce");
    if (!nonce || strlen(nonce) != NONCE_LENGTH || strspn(nonce, "0123456789abcdef") != NONCE_LENGTH)
        answer_error(call, 400, "nonce: 32 hex digits");
    else
        answer_json(call, 200, make_statement(call, call->fault.kind == FAULT_DECLINE ? NULL : v, nonce));
}

/* ---- the books as a test sees and rewrites them ---- */

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

static void change_vote(struct validation *v, bool valid)
{
    json_decref(v->vote);
    v->vote = make_vote(v, valid, NULL, v->number);
}

/* False: there is no such status, or it never had a vote to change. */
static bool rewrite(struct validation *v, const char *status)
{
    bool valid = strcmp(status, "valid") == 0, invalid = strcmp(status, "invalid") == 0;
    bool committed = strcmp(status, "committed") == 0, revoked = strcmp(status, "revoked") == 0;
    if (!(committed || revoked || ((valid || invalid) && v->vote)))
        return false;
    if (valid || invalid)
        change_vote(v, valid);
    v->committed = committed;
    v->revoked = revoked;
    v->changed_at = clock_real_ms();
    note(v);
    return true;
}

void validators_rewrite(struct call *call)
{
    char payment[PAYMENT_SIZE];
    const char *status = json_string_value(json_object_get(call->json, "status"));
    json_int_t number = json_integer_value(json_object_get(call->json, "validator"));
    struct validation *v = NULL;
    if (number >= 1 && number <= LIMIT_VALIDATORS &&
        text_payment(payment, json_string_value(json_object_get(call->json, "paymentId"))))
        v = find((unsigned)number, payment);
    if (!v) {
        answer_error(call, 404, "paymentId, validator: it has nothing about it");
    } else if (status && strcmp(status, "unknown") == 0) {
        forget(v);
        note_forgotten((unsigned)number, payment);
        answer_json(call, 200, validators_books(payment));
    } else if (status && rewrite(v, status)) {
        answer_json(call, 200, validators_books(payment));
    } else {
        answer_error(call, 400, "status: unknown, valid, invalid (of one that has voted), committed or revoked");
    }
}
