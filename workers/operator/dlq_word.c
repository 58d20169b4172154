/* dlq_word.c - acquit dlq replay, dlq discard: a person's word on a dead letter
 *
 * A word is a command like any other: it goes to the compensation worker, which records who said it and why, and for a
 * replay sends the letter again. Its id follows from the letter and the number of words so far, so two operators who say
 * the same at the same moment say it once. Of two different words with one number the first stands; who said the other
 * is told. Nothing here writes to the ledger; what is said to be recorded was read there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "ledger/read.h"
#include "queues/envelope.h"
#include "workers/operator/letter.h"
#include "workers/operator/sender.h"

enum {
    WAIT_MS = 5000,
    WAIT_MAX_MS = 600000,
    REASON_MAX = 500,
    ACTOR_MAX = 120,
};

const struct option_row dlq_word_options[] = {
    {.name = "reason", .kind = OPTION_TEXT, .value = "TEXT", .sentence = "why; it is recorded (required)"},
    {.name = "actor",
     .kind = OPTION_TEXT,
     .value = "NAME",
     .sentence = "who; it is recorded (default: $SUDO_USER or your login)"},
    {.name = "wait-ms",
     .kind = OPTION_INT,
     .least = 0,
     .most = WAIT_MAX_MS,
     .value = "N",
     .sentence = "how long to wait for it to be recorded (default 5000)"},
    {0},
};

/* -- the words */

static void replay_remark(const struct outlook *outlook, char ret[static OUTLOOK_TEXT_SIZE])
{
    snprintf(ret, OUTLOOK_TEXT_SIZE, "%s", replay_effect_text(outlook->effect));
}

static const struct word {
    const char *command;
    const char *outcome; /* of the fact that records it */
    const char *member;  /* of the JSON result */
    int (*allowed)(const json_t *letter, struct err *err);
    void (*remark)(const struct outlook *outlook, char ret[static OUTLOOK_TEXT_SIZE]);
} replay_word = {"deadletter.replay", "replayed", "replays", replay_allowed, replay_remark},
  discard_word = {"deadletter.discard", "discarded", "discards", discard_allowed, discard_effect_text};

enum stage { STAGE_REFUSED, STAGE_SENDING, STAGE_LOST, STAGE_SENT, STAGE_OVERTAKEN, STAGE_RECORDED };

/* exit: of the whole command, the worst of all its letters. `name`: for programs, where nothing is recorded. */
static const struct {
    int exit;
    const char *name, *text;
} stages[] = {
    [STAGE_REFUSED] = {EXIT_NO, "refused", "refused"},
    [STAGE_SENDING] = {EXIT_AGAIN, "not sent", "not sent: the broker did not answer in time; say it again"},
    [STAGE_LOST] = {EXIT_AGAIN, "unknown", "not confirmed: the broker may have it or not; say it again"},
    [STAGE_SENT] = {EXIT_AGAIN, "sent",
                    "sent, not recorded yet; look again with `acquit dlq show`, or say it again: it stays one"},
    [STAGE_OVERTAKEN] = {EXIT_NO, NULL, "overtaken"},
    [STAGE_RECORDED] = {0, NULL, NULL},
};

/* One letter on which a word is said. */
struct saying {
    const char *text; /* its id, as typed */
    enum stage stage;
    struct err err; /* why it is refused */
    struct uuid id, payment, command;
    int64_t n;
    char slot[SLOT_SIZE];
    char remark[OUTLOOK_TEXT_SIZE]; /* what it does to the payment */
    /* What the ledger says was recorded, and who said it why. */
    char outcome[OUTCOME_SIZE], actor[ACTOR_MAX + 1], reason[REASON_MAX + 1];
};

struct sayings {
    struct op *op;
    const struct word *word;
    struct sender sender;
    const char *reason, *actor;
    char login[OPERATOR_ACTOR_SIZE];
    size_t count;
    struct saying items[ARGS_MAX];
};

/* What the worker would refuse is never sent. */
static int check_said(const struct sayings *sayings, struct err *err)
{
    size_t reason = sayings->reason ? strlen(sayings->reason) : 0, actor = strlen(sayings->actor);
    char field[32];
    if (reason < 1 || reason > REASON_MAX)
        return err_set(err, ERR_INVALID, "say why with --reason TEXT, at most %d bytes; it is recorded", REASON_MAX);
    if (actor < 1 || actor > ACTOR_MAX)
        return err_set(err, ERR_INVALID, "--actor must have 1 to %d bytes", ACTOR_MAX);
    json_auto_t *said = json_pack("{s:s, s:s}", "reason", sayings->reason, "actor", sayings->actor);
    if (!said)
        return err_set(err, ERR_INVALID, "--reason and --actor must be UTF-8");
    if (carries_card_number(said, field, sizeof field))
        return err_set(err, ERR_INVALID, "--%s looks like a card number; leave it out", field);
    return 0;
}

/* -- before sending */

/* Reads the letter and counts; whatever is wrong with this one is its own affair. A ledger that does not answer ends
 * the whole. */
static int prepare(struct sayings *sayings, struct saying *saying, struct err *err)
{
    struct outlook outlook;
    json_auto_t *letter = letter_read(sayings->op, saying->text, &saying->err);
    if (!letter && saying->err.code != ERR_INVALID && saying->err.code != ERR_NOT_FOUND)
        return err_set(err, saying->err.code, "%s", saying->err.text);
    if (!letter || sayings->word->allowed(letter, &saying->err) < 0)
        return 0;
    if (uuid_parse(json_text(letter, "id", ""), &saying->id) < 0)
        return err_set(err, ERR_INTERNAL, "the ledger gave a dead letter without an id");
    if (uuid_parse(json_text(letter, "paymentId", ""), &saying->payment) < 0)
        saying->payment = (struct uuid){0};
    if (letter_outlook(sayings->op, letter, &outlook, err) < 0)
        return -1;
    saying->n = json_int(letter, "words", 0) + 1;
    saying->command = word_command(sayings->word->command, saying->id, saying->payment, saying->n, saying->slot);
    sayings->word->remark(&outlook, saying->remark);
    saying->stage = STAGE_SENDING;
    return 0;
}

/* -- sending and waiting */

static void on_settled(void *arg, enum publish_outcome outcome)
{
    struct saying *saying = arg;
    switch (outcome) {
    case PUBLISH_CONFIRMED:
        saying->stage = STAGE_SENT;
        return;
    case PUBLISH_UNKNOWN:
        saying->stage = STAGE_LOST;
        return;
    case PUBLISH_RETURNED:
    case PUBLISH_REFUSED:
        return; /* surely not sent */
    }
}

static int send_one(struct sayings *sayings, struct saying *saying, struct err *err)
{
    char id[UUID_TEXT_SIZE];
    uuid_format(saying->id, id);
    json_auto_t *extra = json_pack("{s:s, s:I, s:s, s:s}", "deadLetterId", id, "n", (json_int_t)saying->n, "reason",
                                   sayings->reason, "actor", sayings->actor);
    struct message message = {0};
    command_message(sayings->word->command, saying->command, saying->payment, NULL, extra, sayings->sender.user,
                    &message);
    int r = publisher_send(sayings->sender.publisher, &message, on_settled, saying, err);
    message_clear(&message);
    return r;
}

static int send_all(struct sayings *sayings, struct err *err)
{
    if (sender_ready(&sayings->sender, err) < 0)
        return -1;
    for (size_t i = 0; i < sayings->count; i++)
        if (sayings->items[i].stage == STAGE_SENDING && send_one(sayings, &sayings->items[i], err) < 0)
            return -1;
    sender_flush(&sayings->sender);
    return 0;
}

/* Does the ledger have a word of this number by now, and is it ours? */
static int look(struct sayings *sayings, struct saying *saying, struct err *err)
{
    json_auto_t *letter = read_dead_letter(sayings->op->db, saying->id, err);
    const json_t *facts = json_object_get(letter, "facts");
    for (size_t i = 0; i < json_array_size(facts); i++) {
        const json_t *fact = json_array_get(facts, i);
        if (strcmp(json_text(fact, "slot", ""), saying->slot) != 0)
            continue;
        message_text_cut(json_text(fact, "outcome", ""), saying->outcome, sizeof saying->outcome);
        message_text_cut(json_text(fact, "actor", ""), saying->actor, sizeof saying->actor);
        message_text_cut(json_text(json_object_get(fact, "body"), "reason", ""), saying->reason, sizeof saying->reason);
        saying->stage = strcmp(saying->outcome, sayings->word->outcome) == 0 ? STAGE_RECORDED : STAGE_OVERTAKEN;
    }
    return letter ? 0 : -1;
}

static int await_all(struct sayings *sayings, struct err *err)
{
    for (;;) {
        size_t open = 0;
        for (size_t i = 0; i < sayings->count; i++) {
            if (sayings->items[i].stage == STAGE_SENT && look(sayings, &sayings->items[i], err) < 0)
                return -1;
            open += sayings->items[i].stage == STAGE_SENT;
        }
        if (!open || !sender_turn(&sayings->sender))
            return 0;
    }
}

/* -- what is told */

/* Empty, or why it did not become what was asked for. */
static void explain(const struct sayings *sayings, const struct saying *saying, char *ret, size_t size)
{
    *ret = '\0';
    if (saying->stage == STAGE_REFUSED)
        snprintf(ret, size, "%s", saying->err.text);
    else if (saying->stage == STAGE_OVERTAKEN)
        snprintf(ret, size, "it is %s, not %s: %s said so at the same moment (number %lld): %s", saying->outcome,
                 sayings->word->outcome, saying->actor, (long long)saying->n, saying->reason);
}

static void print_saying(const struct sayings *sayings, const struct saying *saying)
{
    char why[ERR_TEXT_MAX + REASON_MAX];
    explain(sayings, saying, why, sizeof why);
    if (*why)
        printf("%s  %s: %s\n", saying->text, stages[saying->stage].text, why);
    else if (saying->stage == STAGE_RECORDED)
        printf("%s  %s (number %lld, by %s%s); %s\n", saying->text, saying->outcome, (long long)saying->n,
               saying->actor, strcmp(saying->actor, sayings->actor) != 0 ? ", at the same moment as you" : "",
               saying->remark);
    else
        printf("%s  %s; %s\n", saying->text, stages[saying->stage].text, saying->remark);
}

static json_t *saying_view(const struct sayings *sayings, const struct saying *saying)
{
    bool recorded = *saying->outcome;
    char why[ERR_TEXT_MAX + REASON_MAX], id[UUID_TEXT_SIZE];
    json_t *view = json_pack("{s:s, s:s}", "deadLetterId", saying->text, "result",
                             recorded ? saying->outcome : stages[saying->stage].name);
    explain(sayings, saying, why, sizeof why);
    if (*why)
        json_object_set_new(view, "message", json_string(why));
    if (saying->stage == STAGE_REFUSED)
        return view;
    uuid_format(saying->command, id);
    json_object_set_new(view, "n", json_integer(saying->n));
    json_object_set_new(view, "commandId", json_string(id));
    if (saying->stage != STAGE_OVERTAKEN)
        json_object_set_new(view, "effect", json_string(saying->remark));
    if (recorded)
        json_object_set_new(view, "actor", json_string(saying->actor));
    return view;
}

/* What is told, and the exit code: the worst of all. */
static int report(const struct sayings *sayings)
{
    json_t *views = json_array();
    int code = 0;
    for (size_t i = 0; i < sayings->count; i++) {
        const struct saying *saying = &sayings->items[i];
        if (stages[saying->stage].exit > code)
            code = stages[saying->stage].exit;
        if (!sayings->op->json)
            print_saying(sayings, saying);
        json_array_append_new(views, saying_view(sayings, saying));
    }
    if (sayings->op->json)
        operator_print(json_pack("{s:O}", sayings->word->member, views));
    json_decref(views);
    return code;
}

static int say_all(struct sayings *sayings, struct err *err)
{
    size_t sendable = 0;
    for (size_t i = 0; i < sayings->count; i++) {
        if (prepare(sayings, &sayings->items[i], err) < 0)
            return -1;
        sendable += sayings->items[i].stage == STAGE_SENDING;
    }
    if (sendable && (sender_open(&sayings->sender, sayings->op->config, err) < 0 || send_all(sayings, err) < 0 ||
                     await_all(sayings, err) < 0))
        return -1;
    return report(sayings);
}

static int say(struct op *op, const struct word *word, struct err *err)
{
    const struct args *args = &op->args;
    struct sayings *sayings = mem_new(1, sizeof *sayings);
    sayings->op = op;
    sayings->word = word;
    sayings->reason = args_text(args, "reason", NULL);
    sayings->actor = operator_actor(args, sayings->login);
    sayings->sender.until_ms = clock_monotonic_ms() + args_int(args, "wait-ms", WAIT_MS);
    sayings->count = args->positional_count;
    for (size_t i = 0; i < sayings->count; i++)
        sayings->items[i].text = args->positional[i];
    int code = check_said(sayings, err) < 0 ? -1 : say_all(sayings, err);
    sender_close(&sayings->sender);
    free(sayings);
    return code;
}

int cmd_dlq_replay(struct op *op, struct err *err)
{
    return say(op, &replay_word, err);
}

int cmd_dlq_discard(struct op *op, struct err *err)
{
    return say(op, &discard_word, err);
}
