/* dlq.c - acquit dlq list, dlq show, dlq replay
 *
 * A replay is a command like any other: it goes to the compensation worker, which records who sent the letter again and why, and sends it. Its id follows from the
 * letter and the number of replays so far, so two operators who do it at the same moment do it once.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/loop.h"
#include "common/mem.h"
#include "ledger/read.h"
#include "queues/envelope.h"
#include "queues/publisher.h"
#include "workers/operator/operator.h"
#include "workers/operator/replay.h"
#include "workers/operator/table.h"
#include "workers/program.h"

enum {
    REPLAY_WAIT_MS = 5000,
    REPLAY_WAIT_MAX_MS = 600000,
    LOOK_MS = 100,
    EXIT_AGAIN = 75,
    REASON_MAX = 500,
    ACTOR_MAX = 120
};

/* -- dlq list */

const struct option_row dlq_list_options[] = {
    {.name = "state", .kind = OPTION_TEXT, .value = "STATE", .sentence = "held, compensated or replayed only"},
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
    static const char *const states[] = {"held", "compensated", "replayed"};
    for (size_t i = 0; state && i < sizeof states / sizeof states[0]; i++)
        if (strcmp(state, states[i]) == 0)
            return 0;
    return state
               ? err_set(err, ERR_INVALID, "%s is no state of a dead letter; use held, compensated or replayed", state)
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

static json_t *read_letter(struct op *op, const char *text, struct err *err)
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

/* What sending it again would do, by the facts of its payment. */
static int find_effect(struct op *op, const json_t *letter, enum replay_effect *ret, struct err *err)
{
    struct uuid id = {0};
    struct facts facts = {0};
    struct payment payment = {0};
    *ret = REPLAY_BEGINS;
    if (uuid_parse(json_text(letter, "paymentId", ""), &id) < 0)
        return 0;
    int r = read_facts(op->db, &id, 1, &facts, err);
    if (r == 0)
        r = saga_fold(&facts, &payment, err);
    if (r == 0)
        *ret = replay_effect(letter, &payment);
    payment_clear(&payment);
    facts_clear(&facts);
    return r;
}

int cmd_dlq_show(struct op *op, struct err *err)
{
    json_t *letter = read_letter(op, op->args.positional[0], err);
    enum replay_effect effect;
    if (!letter)
        return -1;
    struct err unallowed = {0};
    int r = find_effect(op, letter, &effect, err);
    bool allowed = replay_allowed(letter, &unallowed) == 0;
    const char *advice = allowed ? replay_effect_text(effect) : unallowed.text;
    if (r == 0 && op->json) {
        json_object_set_new(letter, "replayable", json_boolean(allowed));
        json_object_set_new(letter, "replayEffect", json_string(advice));
        operator_print(json_incref(letter));
    } else if (r == 0) {
        print_members(letter);
        printf("%-12s %s\n", "if replayed", advice);
        print_history(json_object_get(letter, "history"));
        print_value("Properties", json_object_get(letter, "properties"));
        print_body(letter);
        print_value("Facts", json_object_get(letter, "facts"));
    }
    json_decref(letter);
    return r;
}

/* -- dlq replay */

const struct option_row dlq_replay_options[] = {
    {.name = "reason", .kind = OPTION_TEXT, .value = "TEXT", .sentence = "why; it is recorded (required)"},
    {.name = "actor",
     .kind = OPTION_TEXT,
     .value = "NAME",
     .sentence = "who; it is recorded (default: $SUDO_USER or your login)"},
    {.name = "wait-ms",
     .kind = OPTION_INT,
     .least = 0,
     .most = REPLAY_WAIT_MAX_MS,
     .value = "N",
     .sentence = "how long to wait for it to be recorded (default 5000)"},
    {0},
};

enum replay_stage { STAGE_REFUSED, STAGE_SENDING, STAGE_LOST, STAGE_SENT, STAGE_RECORDED };
static const char *const stage_texts[] = {
    [STAGE_REFUSED] = "refused",
    [STAGE_SENDING] = "not sent: the broker did not answer in time; send it again",
    [STAGE_LOST] = "not confirmed: the broker may have it or not; send it again",
    [STAGE_SENT] = "sent, not recorded yet; look again with `acquit dlq show`, or send it again: it stays one replay",
    [STAGE_RECORDED] = "replayed",
};

/* One letter that is to be sent again. */
struct replay {
    const char *text; /* its id, as typed */
    enum replay_stage stage;
    struct err err; /* why it is refused */
    struct uuid id, payment, command;
    int64_t n;
    char slot[SLOT_SIZE];
    enum replay_effect effect;
    char actor[ACTOR_MAX + 1]; /* who the ledger says did it */
};

struct replays {
    struct op *op;
    struct loop *loop;
    struct publisher *publisher;
    char user[PROGRAM_USER_SIZE];
    const char *reason, *actor;
    int64_t until_ms;
    size_t count;
    struct replay items[ARGS_MAX];
};

static const char *find_actor(const struct args *args)
{
    const struct passwd *login = getpwuid(getuid());
    const char *sudo = getenv("SUDO_USER");
    const char *fallback = sudo && *sudo ? sudo : login ? login->pw_name : "unknown";
    return args_text(args, "actor", fallback);
}

static int check_said(const struct replays *replays, struct err *err)
{
    size_t reason = replays->reason ? strlen(replays->reason) : 0, actor = strlen(replays->actor);
    if (reason < 1 || reason > REASON_MAX)
        return err_set(err, ERR_INVALID, "say why with --reason TEXT, at most %d bytes; it is recorded", REASON_MAX);
    if (actor < 1 || actor > ACTOR_MAX)
        return err_set(err, ERR_INVALID, "--actor must have 1 to %d bytes", ACTOR_MAX);
    return 0;
}

/* Reads the letter and counts; whatever is wrong with this one is its own affair. A ledger that does not answer ends the whole. */
static int prepare(struct replays *replays, struct replay *replay, struct err *err)
{
    json_auto_t *letter = read_letter(replays->op, replay->text, &replay->err);
    if (!letter && replay->err.code != ERR_INVALID && replay->err.code != ERR_NOT_FOUND)
        return err_set(err, replay->err.code, "%s", replay->err.text);
    if (!letter || replay_allowed(letter, &replay->err) < 0)
        return 0;
    if (uuid_parse(json_text(letter, "id", ""), &replay->id) < 0)
        return err_set(err, ERR_INTERNAL, "the ledger gave a dead letter without an id");
    if (uuid_parse(json_text(letter, "paymentId", ""), &replay->payment) < 0)
        replay->payment = (struct uuid){0};
    replay->n = json_int(letter, "replays", 0) + 1;
    replay->command = replay_command(replay->id, replay->payment, replay->n, replay->slot);
    replay->stage = STAGE_SENDING;
    return find_effect(replays->op, letter, &replay->effect, err);
}

static int open_broker(struct replays *replays, struct err *err)
{
    const struct config *config = replays->op->config;
    struct broker_options options = program_broker(config, "acquit");
    if (program_user(config, replays->user, err) < 0)
        return -1;
    replays->loop = loop_new(err);
    replays->publisher = replays->loop ? publisher_new(replays->loop, &options, err) : NULL;
    return replays->publisher ? 0 : -1;
}

static bool turn(struct replays *replays)
{
    int64_t left_ms = replays->until_ms - clock_monotonic_ms();
    if (left_ms <= 0)
        return false;
    return loop_turn(replays->loop, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS) == 0;
}

static void on_settled(void *arg, enum publish_outcome outcome)
{
    struct replay *replay = arg;
    switch (outcome) {
    case PUBLISH_CONFIRMED:
        replay->stage = STAGE_SENT;
        return;
    case PUBLISH_UNKNOWN:
        replay->stage = STAGE_LOST;
        return;
    case PUBLISH_RETURNED:
    case PUBLISH_REFUSED:
        return; /* surely not sent */
    }
}

static int send_one(struct replays *replays, struct replay *replay, struct err *err)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(replay->id, id);
    json_t *extra = json_pack("{s:s, s:I, s:s, s:s}", "deadLetterId", id, "n", (json_int_t)replay->n, "reason",
                              replays->reason, "actor", replays->actor);
    if (!extra)
        return err_set(err, ERR_INVALID, "--reason and --actor must be UTF-8");
    struct message message = {0};
    command_message("deadletter.replay", replay->command, replay->payment, NULL, extra, replays->user, &message);
    json_decref(extra);
    int r = publisher_send(replays->publisher, &message, on_settled, replay, err);
    message_clear(&message);
    return r;
}

static int send_all(struct replays *replays, struct err *err)
{
    while (!publisher_ready(replays->publisher))
        if (!turn(replays))
            return err_set(err, ERR_AGAIN, "the broker does not answer; nothing was sent");
    for (size_t i = 0; i < replays->count; i++)
        if (replays->items[i].stage == STAGE_SENDING && send_one(replays, &replays->items[i], err) < 0)
            return -1;
    while (publisher_waiting(replays->publisher) && turn(replays))
        continue;
    return 0;
}

/* Does the ledger have the replay by now? */
static int look(struct replays *replays, struct replay *replay, struct err *err)
{
    json_auto_t *letter = read_dead_letter(replays->op->db, replay->id, err);
    const json_t *facts = json_object_get(letter, "facts");
    for (size_t i = 0; i < json_array_size(facts); i++) {
        const json_t *fact = json_array_get(facts, i);
        if (strcmp(json_text(fact, "slot", ""), replay->slot) != 0)
            continue;
        replay->stage = STAGE_RECORDED;
        snprintf(replay->actor, sizeof replay->actor, "%s", json_text(fact, "actor", ""));
    }
    return letter ? 0 : -1;
}

static int await_all(struct replays *replays, struct err *err)
{
    for (;;) {
        size_t open = 0;
        for (size_t i = 0; i < replays->count; i++) {
            if (replays->items[i].stage == STAGE_SENT && look(replays, &replays->items[i], err) < 0)
                return -1;
            open += replays->items[i].stage == STAGE_SENT;
        }
        if (!open || !turn(replays))
            return 0;
    }
}

static void print_replay(const struct replays *replays, const struct replay *replay)
{
    if (replay->stage == STAGE_REFUSED) {
        printf("%s  refused: %s\n", replay->text, replay->err.text);
        return;
    }
    printf("%s  %s", replay->text, stage_texts[replay->stage]);
    if (replay->stage == STAGE_RECORDED)
        printf(" (number %lld, by %s%s)", (long long)replay->n, replay->actor,
               strcmp(replay->actor, replays->actor) != 0 ? ", at the same moment as you" : "");
    printf("; %s\n", replay_effect_text(replay->effect));
}

static json_t *replay_view(const struct replay *replay)
{
    static const char *const names[] = {[STAGE_REFUSED] = "refused",
                                        [STAGE_SENDING] = "not sent",
                                        [STAGE_LOST] = "unknown",
                                        [STAGE_SENT] = "sent",
                                        [STAGE_RECORDED] = "replayed"};
    json_t *view = json_pack("{s:s, s:s}", "deadLetterId", replay->text, "result", names[replay->stage]);
    if (replay->stage == STAGE_REFUSED) {
        json_object_set_new(view, "message", json_string(replay->err.text));
        return view;
    }
    char id[UUID_TEXT_SIZE];
    uuid_format(replay->command, id);
    json_object_set_new(view, "n", json_integer(replay->n));
    json_object_set_new(view, "commandId", json_string(id));
    json_object_set_new(view, "effect", json_string(replay_effect_text(replay->effect)));
    if (replay->stage == STAGE_RECORDED)
        json_object_set_new(view, "actor", json_string(replay->actor));
    return view;
}

/* What is told, and the exit code: the worst of all. */
static int report(const struct replays *replays)
{
    json_t *views = json_array();
    int code = 0;
    for (size_t i = 0; i < replays->count; i++) {
        const struct replay *replay = &replays->items[i];
        if (replay->stage == STAGE_REFUSED && code == 0)
            code = EXIT_NO;
        else if (replay->stage != STAGE_REFUSED && replay->stage != STAGE_RECORDED)
            code = EXIT_AGAIN;
        if (!replays->op->json)
            print_replay(replays, replay);
        json_array_append_new(views, replay_view(replay));
    }
    if (replays->op->json)
        operator_print(json_pack("{s:O}", "replays", views));
    json_decref(views);
    return code;
}

static int replay_all(struct replays *replays, struct err *err)
{
    size_t sendable = 0;
    for (size_t i = 0; i < replays->count; i++) {
        if (prepare(replays, &replays->items[i], err) < 0)
            return -1;
        sendable += replays->items[i].stage == STAGE_SENDING;
    }
    if (sendable && (open_broker(replays, err) < 0 || send_all(replays, err) < 0 || await_all(replays, err) < 0))
        return -1;
    return report(replays);
}

int cmd_dlq_replay(struct op *op, struct err *err)
{
    const struct args *args = &op->args;
    struct replays *replays = mem_new(1, sizeof *replays);
    replays->op = op;
    replays->reason = args_text(args, "reason", NULL);
    replays->actor = find_actor(args);
    replays->until_ms = clock_monotonic_ms() + args_int(args, "wait-ms", REPLAY_WAIT_MS);
    replays->count = args->positional_count;
    for (size_t i = 0; i < replays->count; i++)
        replays->items[i].text = args->positional[i];
    int code = check_said(replays, err) < 0 ? -1 : replay_all(replays, err);
    if (replays->publisher)
        publisher_free(replays->publisher);
    loop_free(replays->loop);
    free(replays);
    return code;
}
