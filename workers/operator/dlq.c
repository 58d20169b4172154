/* dlq.c - acquit dlq list, dlq show */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "ledger/read.h"
#include "workers/operator/letter.h"
#include "workers/operator/replay.h"
#include "workers/operator/table.h"

/* -- dlq list */

const struct option_row dlq_list_options[] = {
    {.name = "state",
     .kind = OPTION_TEXT,
     .value = "STATE",
     .sentence = "held, compensated, replayed or discarded only"},
    {.name = "limit",
     .kind = OPTION_INT,
     .least = 1,
     .most = READ_PAGE_MAX,
     .value = "N",
     .sentence = "at most so many (default 20)"},
    {.name = "before",
     .kind = OPTION_INT,
     .least = 0,
     .most = INT64_MAX,
     .value = "SEQ",
     .sentence = "older than this; from the end of a list"},
    {0},
};

static int check_state(const char *state, struct err *err)
{
    static const char *const states[] = {"held", "compensated", "replayed", "discarded"};
    for (size_t i = 0; state && i < sizeof states / sizeof states[0]; i++)
        if (strcmp(state, states[i]) == 0)
            return 0;
    return state ? err_set(err, ERR_INVALID,
                           "%s is no state of a dead letter; use held, compensated, replayed or discarded", state)
                 : 0;
}

static void print_letters(const json_t *letters)
{
    static const char *const headings[] = {"DIED",     "ID",    "COMMAND", "REASON",    ">ATTEMPTS",
                                           ">REPLAYS", "STATE", "PAYMENT", "PUBLISHER", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(letters); i++) {
        const json_t *row = json_array_get(letters, i);
        char attempts[24], replays[24];
        snprintf(attempts, sizeof attempts, "%lld", (long long)json_int(row, "attempts", 0));
        snprintf(replays, sizeof replays, "%lld", (long long)json_int(row, "replays", 0));
        const char *cells[] = {json_text(row, "at", ""),
                               json_text(row, "id", ""),
                               json_text(row, "type", ""),
                               json_text(row, "reason", ""),
                               attempts,
                               replays,
                               json_text(row, "state", ""),
                               json_text(row, "paymentId", ""),
                               json_text(row, "publisher", "")};
        table_row(table, cells);
    }
    table_print(table, "no dead letters", stdout);
    table_free(table);
}

int cmd_dlq_list(struct op *op, struct err *err)
{
    const struct args *args = &op->args;
    const char *state = args_text(args, "state", NULL);
    int limit = (int)args_int(args, "limit", 20);
    if (check_state(state, err) < 0 || !operator_db(op, err))
        return -1;
    json_t *letters = read_dead_letters(op->db, state, args_int(args, "before", 0), limit, err);
    if (!letters)
        return -1;
    size_t count = json_array_size(letters);
    int64_t last = count == (size_t)limit ? json_int(json_array_get(letters, count - 1), "seq", 0) : 0;
    if (op->json) {
        json_t *view = json_pack("{s:O}", "deadLetters", letters);
        if (last)
            json_object_set_new(view, "before", json_integer(last));
        operator_print(view);
    } else {
        print_letters(letters);
        if (last)
            printf("more: --before %lld\n", (long long)last);
    }
    json_decref(letters);
    return 0;
}

/* -- dlq show */

json_t *letter_read(struct op *op, const char *text, struct err *err)
{
    struct uuid id;
    if (uuid_parse(text, &id) < 0) {
        err_set(err, ERR_INVALID, "%s is no id of a dead letter; `acquit dlq list` shows them", text);
        return NULL;
    }
    if (!operator_db(op, err))
        return NULL;
    return read_dead_letter(op->db, id, err);
}

static void print_members(const json_t *letter)
{
    static const char *const members[] = {"id",        "at",       "state",     "queue",     "routingKey",
                                          "type",      "reason",   "paymentId", "commandId", "publisher",
                                          "messageId", "attempts", "replays",   "held",      "bodySha256"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const json_t *value = json_object_get(letter, members[i]);
        char *text = json_is_string(value) ? mem_text(json_string_value(value)) : json_encode(value);
        if (value && !json_is_null(value))
            printf("%-12s %s\n", members[i], text);
        free(text);
    }
}

static void print_value(const char *heading, const json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
    printf("\n%s\n%s\n", heading, text ? text : "");
    free(text);
}

/* Attempts so far; their times are milliseconds when we wrote them. */
static void print_history(const json_t *history)
{
    static const char *const headings[] = {"TIME", ">ATTEMPT", "REASON", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(history); i++) {
        const json_t *row = json_array_get(history, i);
        char at[CLOCK_TEXT_SIZE], attempt[24];
        int64_t at_ms = json_int(row, "at", 0);
        snprintf(attempt, sizeof attempt, "%lld", (long long)json_int(row, "attempt", 0));
        const char *cells[] = {at_ms ? clock_format(at_ms, at) : json_text(row, "at", ""), attempt,
                               json_text(row, "reason", "")};
        table_row(table, cells);
    }
    puts("\nAttempts so far");
    table_print(table, "none", stdout);
    table_free(table);
}

static void print_body(const json_t *letter)
{
    struct err err = {0};
    const char *text = json_text(letter, "body", "");
    json_t *body = json_text(letter, "bodyEncoding", NULL) ? NULL : json_decode(text, strlen(text), &err);
    if (body)
        print_value("Body", body);
    else
        print_value(json_text(letter, "bodyEncoding", NULL) ? "Body (base64)" : "Body",
                    json_object_get(letter, "body"));
    json_decref(body);
}

int letter_outlook(struct op *op, const json_t *letter, struct outlook *ret, struct err *err)
{
    struct facts facts = {0};
    struct payment payment = {0};
    struct err unallowed = {0};
    *ret = (struct outlook){.replayable = replay_allowed(letter, &unallowed) == 0};
    ret->known = replay_payment(letter, &ret->payment);
    int r = ret->known ? read_facts(op->db, &ret->payment, 1, &facts, err) : 0;
    if (r == 0)
        r = saga_fold(&facts, &payment, err);
    ret->effect = replay_effect(letter, &payment);
    if (!ret->known && ret->effect != REPLAY_VAIN)
        ret->effect = REPLAY_BEGINS;
    ret->begun = payment.received;
    ret->ended = payment.ended;
    ret->state = payment.public;
    payment_clear(&payment);
    facts_clear(&facts);
    return r;
}

/* What a person said of it last. */
static void print_last_word(const json_t *letter)
{
    const json_t *word = letter_last_word(letter);
    if (word)
        printf("%-12s %s by %s at %s: %s\n", "last word", json_text(word, "outcome", ""), json_text(word, "actor", ""),
               json_text(word, "at", ""), json_text(json_object_get(word, "body"), "reason", ""));
}

int cmd_dlq_show(struct op *op, struct err *err)
{
    json_t *letter = letter_read(op, op->args.positional[0], err);
    struct outlook outlook;
    if (!letter)
        return -1;
    operator_note(op, "deadletter.show", "dead_letter", json_text(letter, "id", "?"), NULL,
                  NULL); /* its body may be personal */
    struct err unallowed = {0};
    char lost[OUTLOOK_TEXT_SIZE];
    int r = letter_outlook(op, letter, &outlook, err);
    bool allowed = replay_allowed(letter, &unallowed) == 0;
    const char *advice = allowed ? replay_effect_text(outlook.effect) : unallowed.text;
    discard_effect_text(&outlook, lost);
    if (r == 0 && op->json) {
        json_object_set_new(letter, "replayable", json_boolean(allowed));
        json_object_set_new(letter, "replayEffect", json_string(advice));
        json_object_set_new(letter, "discardEffect", json_string(lost));
        operator_print(json_incref(letter));
    } else if (r == 0) {
        print_members(letter);
        print_last_word(letter);
        printf("%-12s %s\n%-12s %s\n", "if replayed", advice, "if discarded", lost);
        print_history(json_object_get(letter, "history"));
        print_value("Properties", json_object_get(letter, "properties"));
        print_body(letter);
        print_value("Facts", json_object_get(letter, "facts"));
    }
    json_decref(letter);
    return r;
}
