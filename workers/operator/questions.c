/* questions.c - asks the token system and the validators what they know of many payments
 *
 * One loop, a fixed number of seats: a seat holds one question until it is answered. All cases of a call are asked in order, the
 * token system first, then each validator.
 */
#include "workers/operator/questions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/http.h"
#include "common/mem.h"

enum { TURN_MS = 100, TOKENS_PARTY = 0 /* party i + 1 is validator i of the settings */ };

struct party {
    int silent; /* questions in a row without an answer */
};

struct seat {
    struct questions *questions;
    struct dual_case *about; /* NULL: free */
    int who;                 /* TOKENS_PARTY, or 1 + number in about->told.validators */
    int tries;
    struct tokens_call *tokens; /* one of the two, while it is under way */
    struct pop_state_call *state;
};

struct questions {
    struct loop *loop;
    struct http *http;
    struct tokens *tokens; /* NULL: none is configured */
    int64_t pop_timeout_ms, vote_max_skew_ms;
    size_t validator_count;
    struct pop_validator validators[CONFIG_VALIDATORS_MAX];
    struct party parties[1 + CONFIG_VALIDATORS_MAX];
    int64_t asked;

    struct dual_case **cases; /* of the call */
    size_t count, next_case;
    int next_who;
    int seated;
    struct seat seats[QUESTIONS_AT_ONCE];
};

/* ---- opening ---- */

static void take_validators(struct questions *questions, const struct config *config)
{
    questions->validator_count = config_validator_count(config);
    for (size_t i = 0; i < questions->validator_count; i++) {
        const struct validator_config *from = config_validator(config, i);
        questions->validators[i] = (struct pop_validator){.name = from->name, .url = from->url, .key = from->key};
        memcpy(questions->validators[i].public_key, from->public_key, sizeof from->public_key);
    }
    questions->pop_timeout_ms = config_int(config, "pop.timeout_ms");
    questions->vote_max_skew_ms = config_int(config, "pop.vote_max_skew_ms");
}

static int take_tokens(struct questions *questions, const struct config *config, struct err *err)
{
    const struct tokens_options options = {.url = config_text(config, "tokens.url"),
                                           .key = config_text(config, "tokens.key"),
                                           .timeout_ms = config_int(config, "tokens.timeout_ms"),
                                           .http = questions->http};
    if (!*options.url)
        return 0;
    questions->tokens = tokens_open(&options, err);
    return questions->tokens ? 0 : -1;
}

struct questions *questions_new(const struct config *config, struct err *err)
{
    struct questions *questions = mem_new(1, sizeof *questions);
    take_validators(questions, config);
    questions->loop = loop_new(err);
    questions->http = questions->loop ? http_new(questions->loop, err) : NULL;
    int r = questions->http ? take_tokens(questions, config, err) : -1;
    if (r == 0 && !questions->tokens && !questions->validator_count)
        r = err_set(err, ERR_CONFIG, "tokens.url and validators: neither is set, so there is nobody to compare with");
    if (r == 0)
        return questions;
    questions_free(questions);
    return NULL;
}

static void leave(struct seat *seat)
{
    if (seat->tokens)
        tokens_cancel(seat->tokens);
    if (seat->state)
        pop_state_cancel(seat->state);
    if (seat->about)
        seat->questions->seated--;
    *seat = (struct seat){.questions = seat->questions};
}

void questions_free(struct questions *questions)
{
    if (!questions)
        return;
    for (int i = 0; i < QUESTIONS_AT_ONCE; i++)
        leave(&questions->seats[i]);
    tokens_close(questions->tokens);
    http_free(questions->http);
    loop_free(questions->loop);
    free(questions);
}

int64_t questions_asked(const struct questions *questions)
{
    return questions->asked;
}

/* ---- who is asked about a case ---- */

/* -1: it is not configured any more. */
static int validator_numbered(const struct questions *questions, const char *name)
{
    for (size_t i = 0; i < questions->validator_count; i++)
        if (strcmp(questions->validators[i].name, name) == 0)
            return (int)i;
    return -1;
}

static void name_validators(const struct questions *questions, struct dual_case *about)
{
    char names[DUAL_VALIDATORS_MAX][DUAL_NAME_SIZE];
    struct dual_told *told = &about->told;
    size_t count = agreement_validators(&about->payment, names);
    bool any = count > 0;
    told->validator_count = any ? count : questions->validator_count;
    for (size_t i = 0; i < told->validator_count; i++)
        snprintf(told->validators[i].name, DUAL_NAME_SIZE, "%.*s", DUAL_NAME_SIZE - 1,
                 any ? names[i] : questions->validators[i].name);
}

static const struct pop_validator *validator_of(const struct seat *seat)
{
    const char *name = seat->about->told.validators[seat->who - 1].name;
    int i = validator_numbered(seat->questions, name);
    return i < 0 ? NULL : &seat->questions->validators[i];
}

static struct party *party_of(const struct seat *seat)
{
    struct questions *questions = seat->questions;
    return seat->who == TOKENS_PARTY
               ? &questions->parties[TOKENS_PARTY]
               : &questions
                      ->parties[1 + validator_numbered(questions, seat->about->told.validators[seat->who - 1].name)];
}

/* ---- answers ---- */

static void write_why(const struct seat *seat, const char *why)
{
    struct dual_told *told = &seat->about->told;
    char *to = seat->who == TOKENS_PARTY ? told->tokens_why : told->validators[seat->who - 1].state.why;
    snprintf(to, POP_WHY_SIZE, "%.*s", POP_WHY_SIZE - 1, why);
}

static int start(struct seat *seat, struct err *err);

/* Once more, or it stays unknown. */
static void stay_unanswered(struct seat *seat, const char *why)
{
    struct err err = {0};
    write_why(seat, why);
    party_of(seat)->silent++;
    if (seat->tries < QUESTION_TRIES && party_of(seat)->silent < SILENT_IN_A_ROW && start(seat, &err) == 0)
        return;
    leave(seat);
}

static void on_tokens(void *arg, const struct tokens_answer *answer)
{
    struct seat *seat = arg;
    seat->tokens = NULL;
    if (answer->outcome != TOKENS_DONE) {
        stay_unanswered(seat, answer->code);
        return;
    }
    party_of(seat)->silent = 0;
    seat->about->told.tokens = answer->state;
    seat->about->told.tokens_known = true;
    leave(seat);
}

static void on_state(void *arg, const struct pop_state *state)
{
    struct seat *seat = arg;
    seat->state = NULL;
    if (!state->known) {
        stay_unanswered(seat, state->why);
        return;
    }
    party_of(seat)->silent = 0;
    seat->about->told.validators[seat->who - 1].state = *state;
    leave(seat);
}

/* ---- questions ---- */

static int start_tokens(struct seat *seat, struct err *err)
{
    const struct tokens_request request = {.operation = TOKENS_ASK, .payment_id = seat->about->payment.id};
    seat->tokens = tokens_start(seat->questions->tokens, &request, on_tokens, seat, err);
    return seat->tokens ? 0 : -1;
}

static int start_state(struct seat *seat, struct err *err)
{
    const struct questions *questions = seat->questions;
    const struct payment *payment = &seat->about->payment;
    struct pop_question question = {.validator = validator_of(seat),
                                    .payment_id = payment->id,
                                    .amount = payment->amount,
                                    .since_ms = payment->received->at_ms,
                                    .timeout_ms = questions->pop_timeout_ms,
                                    .vote_max_skew_ms = questions->vote_max_skew_ms,
                                    .http = questions->http};
    memcpy(question.currency, payment->currency, sizeof question.currency);
    seat->state = pop_state_ask(&question, on_state, seat, err);
    return seat->state ? 0 : -1;
}

static int start(struct seat *seat, struct err *err)
{
    seat->tries++;
    seat->questions->asked++;
    return seat->who == TOKENS_PARTY ? start_tokens(seat, err) : start_state(seat, err);
}

/* NULL: it may be asked. Else why not. */
static const char *objection(const struct seat *seat)
{
    if (seat->who == TOKENS_PARTY && !seat->questions->tokens)
        return "not asked: tokens.url is not set";
    if (seat->who != TOKENS_PARTY && !validator_of(seat))
        return "not asked: it is not among the configured validators any more";
    if (party_of(seat)->silent >= SILENT_IN_A_ROW)
        return "not asked: it left too many questions in a row unanswered";
    return NULL;
}

static void sit(struct seat *seat, struct dual_case *about, int who)
{
    struct err err = {0};
    seat->about = about;
    seat->who = who;
    seat->questions->seated++;
    const char *why = objection(seat);
    if (!why && start(seat, &err) == 0)
        return;
    write_why(seat, why ? why : err.text);
    leave(seat);
}

/* The next question that nobody has a seat for. */
static bool next_question(struct questions *questions, struct dual_case **ret_about, int *ret_who)
{
    for (; questions->next_case < questions->count; questions->next_case++, questions->next_who = TOKENS_PARTY) {
        struct dual_case *about = questions->cases[questions->next_case];
        if (!about || !about->folded || questions->next_who > (int)about->told.validator_count)
            continue;
        *ret_about = about;
        *ret_who = questions->next_who++;
        return true;
    }
    return false;
}

static void fill_seats(struct questions *questions)
{
    struct dual_case *about;
    int who;
    for (int i = 0; i < QUESTIONS_AT_ONCE; i++)
        while (!questions->seats[i].about && next_question(questions, &about, &who))
            sit(&questions->seats[i], about, who);
}

static void begin(struct questions *questions, struct dual_case **cases, size_t count)
{
    questions->cases = cases;
    questions->count = count;
    questions->next_case = 0;
    questions->next_who = TOKENS_PARTY;
    for (int i = 0; i < QUESTIONS_AT_ONCE; i++)
        questions->seats[i].questions = questions;
    for (size_t i = 0; i < count; i++) {
        if (!cases[i] || !cases[i]->folded)
            continue;
        cases[i]->told = (struct dual_told){0};
        name_validators(questions, cases[i]);
    }
}

/* The time is up: what has not been answered is unknown, what has not been asked too. */
static void give_up(struct questions *questions)
{
    struct seat rest = {.questions = questions};
    for (int i = 0; i < QUESTIONS_AT_ONCE; i++) {
        if (!questions->seats[i].about)
            continue;
        write_why(&questions->seats[i], "no answer before the whole audit's deadline");
        leave(&questions->seats[i]);
    }
    while (next_question(questions, &rest.about, &rest.who))
        write_why(&rest, "not asked before the whole audit's deadline");
}

int questions_ask(struct questions *questions, struct dual_case **cases, size_t count, int64_t until_ms,
                  struct err *err)
{
    begin(questions, cases, count);
    for (fill_seats(questions); questions->seated; fill_seats(questions)) {
        int64_t left_ms = until_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            break;
        if (loop_turn(questions->loop, left_ms < TURN_MS ? (int)left_ms : TURN_MS) < 0)
            return err_set(err, ERR_INTERNAL, "the event loop is broken");
    }
    give_up(questions);
    return 0;
}
