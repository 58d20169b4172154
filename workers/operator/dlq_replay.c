/* dlq_replay.c - acquit dlq replay
 *
 * A replay is a command like any other: it goes to the compensation worker, which records who sent the letter again and
 * why, and sends it. Its id follows from the letter and the number of replays so far, so two operators who do it at the
 * same moment do it once. Nothing here writes to the ledger; what is said to be recorded was read there.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "ledger/read.h"
#include "queues/envelope.h"
#include "workers/operator/letter.h"
#include "workers/operator/sender.h"

enum {
    REPLAY_WAIT_MS = 5000,
    REPLAY_WAIT_MAX_MS = 600000,
    REASON_MAX = 500,
    ACTOR_MAX = 120,
    LOGIN_BUFFER = 4096,
};

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
    struct sender sender;
    const char *reason, *actor;
    char login[ACTOR_MAX + 2];
    size_t count;
    struct replay items[ARGS_MAX];
};

/* The person behind sudo, else the login's name. */
static const char *find_actor(const struct args *args, char login[static ACTOR_MAX + 2])
{
    struct passwd entry, *found = NULL;
    char buffer[LOGIN_BUFFER];
    const char *sudo = getenv("SUDO_USER");
    if (getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) != 0 || !found)
        found = NULL;
    snprintf(login, ACTOR_MAX + 2, "%s", sudo && *sudo ? sudo : found ? found->pw_name : "unknown");
    return args_text(args, "actor", login);
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

/* Reads the letter and counts; whatever is wrong with this one is its own affair. A ledger that does not answer ends
 * the whole. */
static int prepare(struct replays *replays, struct replay *replay, struct err *err)
{
    json_auto_t *letter = letter_read(replays->op, replay->text, &replay->err);
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
    return letter_effect(replays->op, letter, &replay->effect, err);
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
    command_message("deadletter.replay", replay->command, replay->payment, NULL, extra, replays->sender.user, &message);
    json_decref(extra);
    int r = publisher_send(replays->sender.publisher, &message, on_settled, replay, err);
    message_clear(&message);
    return r;
}

static int send_all(struct replays *replays, struct err *err)
{
    if (sender_ready(&replays->sender, err) < 0)
        return -1;
    for (size_t i = 0; i < replays->count; i++)
        if (replays->items[i].stage == STAGE_SENDING && send_one(replays, &replays->items[i], err) < 0)
            return -1;
    sender_flush(&replays->sender);
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
        if (!open || !sender_turn(&replays->sender))
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
    if (sendable && (sender_open(&replays->sender, replays->op->config, err) < 0 || send_all(replays, err) < 0 ||
                     await_all(replays, err) < 0))
        return -1;
    return report(replays);
}

int cmd_dlq_replay(struct op *op, struct err *err)
{
    const struct args *args = &op->args;
    struct replays *replays = mem_new(1, sizeof *replays);
    replays->op = op;
    replays->reason = args_text(args, "reason", NULL);
    replays->actor = find_actor(args, replays->login);
    replays->sender.until_ms = clock_monotonic_ms() + args_int(args, "wait-ms", REPLAY_WAIT_MS);
    replays->count = args->positional_count;
    for (size_t i = 0; i < replays->count; i++)
        replays->items[i].text = args->positional[i];
    int code = check_said(replays, err) < 0 ? -1 : replay_all(replays, err);
    sender_close(&replays->sender);
    free(replays);
    return code;
}
