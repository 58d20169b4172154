/* pop.c - the proof-of-purchase validators: ask N, need k (docs/provider-interfaces.md)
 *
 * All validators are asked at once; the call ends with the first count that nothing can change any more, and what is
 * still under way is dropped. What the answers mean and how they are counted is in pop_wire.c. A validator that
 * cannot even be asked is silent, like one that does not answer.
 *
 * Fails with ERR_CONFIG (opening), or with the HTTP client's error when not a single request could be started; then
 * nothing was sent.
 */
#include "workers/providers/pop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "workers/providers/answer.h"
#include "workers/providers/pop_wire.h"

enum { URL_MAX = 512, TARGET_MAX = 128, HEADER_MAX = 1024, NAME_MAX_BYTES = 32 };

enum operation { VALIDATE, COMMIT, REVOKE };

TAILQ_HEAD(pop_calls, pop_call);

struct pop {
    struct pop_options options; /* its validators and their texts are our own */
    struct pop_validator validators[POP_VALIDATORS_MAX];
    struct pop_calls calls;
};

struct pop_part {
    struct pop_call *call;
    struct http_call *http; /* NULL when it is over */
};

struct pop_call {
    struct pop *pop;
    TAILQ_ENTRY(pop_call) link;
    enum operation operation;
    struct pop_request request; /* validate; the others use payment_id only */
    char currency[4];
    void (*done)(void *arg, const struct pop_answer *answer);
    void *arg;
    struct pop_part parts[POP_VALIDATORS_MAX];
    enum pop_voice voices[POP_VALIDATORS_MAX];
    char errors[POP_VALIDATORS_MAX][POP_ERROR_SIZE];
    json_t *votes; /* that count */
};

/* ---- opening ---- */

static int check_validator(const struct pop_validator *validator, struct err *err)
{
    const char *name = validator->name ? validator->name : "";
    size_t length = strlen(name);
    if (length < 1 || length > NAME_MAX_BYTES || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != length ||
        *name == '-' || *name == '_')
        return err_set(
            err, ERR_CONFIG,
            "a validator's name must be 1 to %d lower-case letters, digits, '-' or '_', a letter or digit first",
            NAME_MAX_BYTES);
    if (!validator->url || !*validator->url || strlen(validator->url) >= URL_MAX)
        return err_set(err, ERR_CONFIG, "validator %s: its url must have 1 to %d bytes", validator->name, URL_MAX - 1);
    if (validator->key && strlen(validator->key) >= HEADER_MAX - sizeof "Bearer ")
        return err_set(err, ERR_CONFIG, "validator %s: its key is too long", validator->name);
    return 0;
}

static int check_options(const struct pop_options *options, struct err *err)
{
    if (options->validator_count < POP_VALIDATORS_MIN || options->validator_count > POP_VALIDATORS_MAX)
        return err_set(err, ERR_CONFIG, "there must be %d to %d validators, there are %zu", POP_VALIDATORS_MIN,
                       POP_VALIDATORS_MAX, options->validator_count);
    if (options->quorum < 1 || (size_t)options->quorum > options->validator_count)
        return err_set(err, ERR_CONFIG, "the quorum %d must be 1 to %zu, the number of validators", options->quorum,
                       options->validator_count);
    if (!options->http || options->timeout_ms <= 0 || options->vote_max_skew_ms < 0)
        return err_set(err, ERR_CONFIG, "validators: timeout_ms must be positive, vote_max_skew must not be negative");
    for (size_t i = 0; i < options->validator_count; i++)
        if (check_validator(&options->validators[i], err) < 0)
            return -1;
    return 0;
}

struct pop *pop_open(const struct pop_options *options, struct err *err)
{
    if (check_options(options, err) < 0)
        return NULL;
    struct pop *pop = mem_new(1, sizeof *pop);
    pop->options = *options;
    pop->options.validators = pop->validators;
    pop->options.callback_url = mem_text(options->callback_url ? options->callback_url : "");
    TAILQ_INIT(&pop->calls);
    for (size_t i = 0; i < options->validator_count; i++) {
        const struct pop_validator *from = &options->validators[i];
        pop->validators[i] = *from;
        pop->validators[i].name = mem_text(from->name);
        pop->validators[i].url = mem_text(from->url);
        pop->validators[i].key = mem_text(from->key ? from->key : "");
    }
    return pop;
}

static void free_validator(struct pop_validator *validator)
{
    explicit_bzero((char *)validator->key, strlen(validator->key));
    free((char *)validator->name);
    free((char *)validator->url);
    free((char *)validator->key);
}

void pop_close(struct pop *pop)
{
    if (!pop)
        return;
    for (struct pop_call *call = TAILQ_FIRST(&pop->calls), *next; call; call = next) {
        next = TAILQ_NEXT(call, link);
        pop_cancel(call);
    }
    for (size_t i = 0; i < pop->options.validator_count; i++)
        free_validator(&pop->validators[i]);
    free((char *)pop->options.callback_url);
    free(pop);
}

/* ---- a call's end ---- */

static void drop_requests(struct pop_call *call)
{
    for (size_t i = 0; i < call->pop->options.validator_count; i++)
        if (call->parts[i].http)
            http_cancel(call->parts[i].http);
}

static void free_call(struct pop_call *call)
{
    json_decref(call->votes);
    free(call);
}

static json_t *list_answers(const struct pop *pop, const enum pop_voice *voices, char (*errors)[POP_ERROR_SIZE])
{
    json_t *list = json_array();
    for (size_t i = 0; i < pop->options.validator_count; i++) {
        json_t *item = json_pack("{s:s, s:s, s:s}", "validator", pop->validators[i].name, "outcome",
                                 pop_voice_text(voices[i]), "error", errors[i]);
        if (!item || json_array_append_new(list, item) < 0)
            log_panic("the answers of the validators cannot be listed");
    }
    return list;
}

/* The call is taken out before `done` hears of it: that may start or cancel others. */
static void finish(struct pop_call *call, enum pop_outcome outcome)
{
    TAILQ_REMOVE(&call->pop->calls, call, link);
    drop_requests(call);
    json_t *answers = list_answers(call->pop, call->voices, call->errors);
    struct pop_answer answer = {.outcome = outcome, .votes = call->votes, .answers = answers};
    call->done(call->arg, &answer);
    json_decref(answers);
    free_call(call);
}

static bool tally(const struct pop_call *call, enum pop_outcome *ret)
{
    size_t n = call->pop->options.validator_count;
    switch (call->operation) {
    case VALIDATE:
        return pop_tally_validate(call->voices, n, call->pop->options.quorum, ret);
    case COMMIT:
        return pop_tally_commit(call->voices, n, ret);
    case REVOKE:
        return pop_tally_revoke(call->voices, n, ret);
    }
    return false;
}

static void count(struct pop_call *call)
{
    enum pop_outcome outcome;
    if (tally(call, &outcome))
        finish(call, outcome);
}

/* ---- votes that came by callback ---- */

static void keep_vote(json_t *votes, json_t *vote)
{
    if (vote && json_array_append_new(votes, vote) < 0)
        log_panic("a vote cannot be kept");
}

/* The voices of those who called back; the others stay pending. */
static void hear_votes(const struct pop *pop, const struct pop_request *request, enum pop_voice *voices,
                       char (*errors)[POP_ERROR_SIZE], json_t *ret_votes)
{
    size_t k;
    json_t *given;
    json_array_foreach((json_t *)(uintptr_t)request->votes, k, given)
    {
        for (size_t i = 0; i < pop->options.validator_count; i++) {
            json_t *vote = NULL;
            if (voices[i] != POP_VOICE_PENDING ||
                strcmp(pop->validators[i].name, json_text(given, "validator", "")) != 0)
                continue;
            voices[i] = pop_read_vote(&pop->validators[i], request, clock_wall_ms(), pop->options.vote_max_skew_ms,
                                      given, &vote, errors[i]);
            keep_vote(ret_votes, vote);
            if (voices[i] == POP_VOICE_SILENT) /* no vote after all: it is asked */
                voices[i] = POP_VOICE_PENDING;
        }
    }
}

json_t *pop_check(const struct pop *pop, const struct pop_request *request, const json_t *vote, bool *ret_valid,
                  struct err *err)
{
    const struct pop_options *options = &pop->options;
    const struct pop_validator *author = pop_vote_author(options->validators, options->validator_count, vote, err);
    char why[POP_ERROR_SIZE];
    json_t *kept = NULL;
    if (!author)
        return NULL;
    enum pop_voice voice = pop_read_vote(author, request, clock_wall_ms(), options->vote_max_skew_ms, vote, &kept, why);
    if (!kept)
        err_set(err, ERR_INVALID, "%s", why);
    *ret_valid = voice == POP_VOICE_YES;
    return kept;
}

bool pop_count(const struct pop *pop, const struct pop_request *request, struct pop_answer *ret)
{
    enum pop_voice voices[POP_VALIDATORS_MAX] = {POP_VOICE_PENDING};
    char errors[POP_VALIDATORS_MAX][POP_ERROR_SIZE] = {{0}};
    json_t *votes = json_array();
    hear_votes(pop, request, voices, errors, votes);
    if (!pop_tally_validate(voices, pop->options.validator_count, pop->options.quorum, &ret->outcome)) {
        json_decref(votes);
        return false;
    }
    ret->votes = votes;
    ret->answers = list_answers(pop, voices, errors);
    return true;
}

/* ---- answers ---- */

static void be_silent(struct pop_call *call, size_t i, const char *why)
{
    call->voices[i] = POP_VOICE_SILENT;
    snprintf(call->errors[i], POP_ERROR_SIZE, "%.*s", POP_ERROR_SIZE - 1, why);
}

static enum pop_voice read_validation(struct pop_call *call, size_t i, const struct http_answer *answer)
{
    json_t *vote;
    enum pop_voice voice = pop_decode_validate(&call->pop->validators[i], &call->request, clock_wall_ms(),
                                               call->pop->options.vote_max_skew_ms, answer->status, answer->body,
                                               answer->body_size, &vote, call->errors[i]);
    keep_vote(call->votes, vote);
    return voice;
}

static enum pop_voice read_answer(struct pop_call *call, size_t i, const struct http_answer *answer)
{
    switch (call->operation) {
    case VALIDATE:
        return read_validation(call, i, answer);
    case COMMIT:
        return pop_decode_commit(call->request.payment_id, answer->status, answer->body, answer->body_size,
                                 call->errors[i]);
    case REVOKE:
        return pop_decode_revoke(call->request.payment_id, answer->status, answer->body, answer->body_size,
                                 call->errors[i]);
    }
    return POP_VOICE_SILENT;
}

static void on_answer(void *arg, const struct http_answer *answer)
{
    struct pop_part *part = arg;
    struct pop_call *call = part->call;
    size_t i = (size_t)(part - call->parts);
    part->http = NULL;
    if (answer->outcome != HTTP_ANSWERED)
        be_silent(call, i, answer_silence(answer, call->pop->options.timeout_ms));
    else
        call->voices[i] = read_answer(call, i, answer);
    count(call);
}

/* ---- requests ---- */

static int ask(struct pop_call *call, size_t i, const char *target, const char *body, struct err *err)
{
    const struct pop_validator *validator = &call->pop->validators[i];
    char url[URL_MAX + TARGET_MAX], bearer[HEADER_MAX];
    snprintf(url, sizeof url, "%s%s", validator->url, target);
    snprintf(bearer, sizeof bearer, "Bearer %s", validator->key);
    struct http_request request = {
        .method = "POST",
        .url = url,
        .headers = {{"Content-Type", "application/json"},
                    {"Accept", "application/json"},
                    {*validator->key ? "Authorization" : NULL, bearer}},
        .body = body,
        .body_size = body ? strlen(body) : 0,
        .timeout_ms = call->pop->options.timeout_ms,
    };
    call->parts[i] = (struct pop_part){.call = call};
    call->parts[i].http = http_start(call->pop->options.http, &request, on_answer, &call->parts[i], err);
    explicit_bzero(bearer, sizeof bearer);
    return call->parts[i].http ? 0 : -1;
}

/* NULL when none could be asked; else those that could not are silent. */
static struct pop_call *ask_all(struct pop_call *call, const char *target, const char *body, struct err *err)
{
    size_t asked = 0;
    for (size_t i = 0; i < call->pop->options.validator_count; i++) {
        struct err failure = {0};
        if (call->voices[i] != POP_VOICE_PENDING)
            continue;
        if (ask(call, i, target, body, &failure) == 0) {
            asked++;
            continue;
        }
        be_silent(call, i, failure.text);
        err_set(err, failure.code, "validator %s: %s", call->pop->validators[i].name, failure.text);
    }
    if (asked == 0) {
        free_call(call);
        return NULL;
    }
    err_clear(err);
    TAILQ_INSERT_TAIL(&call->pop->calls, call, link);
    return call;
}

static struct pop_call *new_call(struct pop *pop, void (*done)(void *arg, const struct pop_answer *answer), void *arg)
{
    struct pop_call *call = mem_new(1, sizeof *call);
    call->pop = pop;
    call->done = done;
    call->arg = arg;
    call->votes = json_array();
    return call;
}

struct pop_call *pop_validate(struct pop *pop, const struct pop_request *request,
                              void (*done)(void *arg, const struct pop_answer *answer), void *arg, struct err *err)
{
    if (request->amount <= 0 || !request->currency || strlen(request->currency) != 3) {
        err_set(err, ERR_INVALID, "validation: the amount must be positive, the currency three letters");
        return NULL;
    }
    struct pop_call *call = new_call(pop, done, arg);
    call->request = *request;
    memcpy(call->currency, request->currency, sizeof call->currency);
    call->request.currency = call->currency;
    call->request.reference = call->request.votes = NULL; /* only needed here */
    hear_votes(pop, request, call->voices, call->errors, call->votes);
    char *body = pop_encode_validate(request, pop->options.callback_url, clock_wall_ms());
    call = ask_all(call, "/v1/validations", body, err);
    free(body);
    return call;
}

/* Tells every validator what became of the purchase. */
static struct pop_call *tell_all(struct pop *pop, enum operation operation, const char *what, struct uuid payment_id,
                                 void (*done)(void *arg, const struct pop_answer *answer), void *arg, struct err *err)
{
    char id[UUID_TEXT_SIZE], target[TARGET_MAX];
    uuid_format(payment_id, id);
    snprintf(target, sizeof target, "/v1/validations/%s/%s", id, what);
    struct pop_call *call = new_call(pop, done, arg);
    call->operation = operation;
    call->request.payment_id = payment_id;
    return ask_all(call, target, NULL, err);
}

struct pop_call *pop_commit(struct pop *pop, struct uuid payment_id,
                            void (*done)(void *arg, const struct pop_answer *answer), void *arg, struct err *err)
{
    return tell_all(pop, COMMIT, "commit", payment_id, done, arg, err);
}

struct pop_call *pop_revoke(struct pop *pop, struct uuid payment_id,
                            void (*done)(void *arg, const struct pop_answer *answer), void *arg, struct err *err)
{
    return tell_all(pop, REVOKE, "revoke", payment_id, done, arg, err);
}

void pop_cancel(struct pop_call *call)
{
    TAILQ_REMOVE(&call->pop->calls, call, link);
    drop_requests(call);
    free_call(call);
}
