/* payment_resolve.c - acquit payment resolve: a person's word on an outcome that no provider tells
 *
 * A command like any other: authorize.attest or refund.attest, to the worker that owns the slot. The worker asks the
 * provider once more, and records a definite answer instead of the word. Its id follows from the payment, the slot and
 * the outcome: said twice, it has one effect. Nothing here writes a fact; what is said to be recorded was read there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "ledger/cases.h"
#include "ledger/read.h"
#include "queues/envelope.h"
#include "workers/operator/evidence.h"
#include "workers/operator/operator.h"
#include "workers/operator/sender.h"

enum {
    WAIT_MS = 10000,
    WAIT_MAX_MS = 600000,
    SEND_MS = 10000,
    REASON_MAX = 500,
    ACTOR_MAX = 120,
    REFERENCE_MAX = 120,
    LETTERS_SEEN = 50, /* newest dead letters looked through for ours */
};

const struct option_row payment_resolve_options[] = {
    {.name = "as",
     .kind = OPTION_TEXT,
     .value = "OUTCOME",
     .sentence =
         "what became of it: approved, declined, cancelled, absent; captured, refused; voided, expired, nothing; "
         "refunded, refused (required)"},
    {.name = "reason", .kind = OPTION_TEXT, .value = "TEXT", .sentence = "why; it is recorded (required)"},
    {.name = "evidence",
     .kind = OPTION_TEXT,
     .value = "TEXT|@FILE",
     .sentence = "what shows it: its SHA-256 and the first 4000 bytes of text are recorded (required)"},
    {.name = "reference",
     .kind = OPTION_TEXT,
     .value = "ID",
     .sentence = "the provider's name for what was done, so that it can be captured, voided or refunded"},
    {.name = "actor",
     .kind = OPTION_TEXT,
     .value = "NAME",
     .sentence = "who; it is recorded (default: $SUDO_USER or your login)"},
    {.name = "wait-ms",
     .kind = OPTION_INT,
     .least = 0,
     .most = WAIT_MAX_MS,
     .value = "N",
     .sentence = "how long to wait for it to be recorded (default 10000)"},
    {0},
};

enum found { FOUND_NOTHING, FOUND_WORD, FOUND_ANSWER, FOUND_REFUSAL };

/* One word on its way. */
struct resolving {
    struct op *op;
    const char *as, *reason, *actor;
    char login[OPERATOR_ACTOR_SIZE];
    struct uuid payment, command;
    char slot[SLOT_SIZE];                                    /* that the outcome fills */
    char state[32];                                          /* the payment's public one, as last read */
    char outcome[OUTCOME_SIZE], by[ACTOR_MAX + 1], code[64]; /* what stands in the slot */
    bool standing, own, word;
    struct sender sender;
    enum { NOT_SENT, SENDING, LOST, SENT } stage;
    int64_t last_letter;
    char refusal[ERR_TEXT_MAX];
};

/* -- what the ledger says */

static void take_answer(struct resolving *r, const struct fact *answer)
{
    r->standing = answer;
    if (!answer)
        return;
    const json_t *attested = json_object_get(json_object_get(answer->body, "evidence"), "attested");
    r->own = uuid_equal(answer->cause, r->command);
    r->word = attested;
    snprintf(r->outcome, sizeof r->outcome, "%s", answer->outcome);
    snprintf(r->by, sizeof r->by, "%.*s", ACTOR_MAX, answer->actor ? answer->actor : "");
    message_text_cut(json_text(answer->body, "code", ""), r->code, sizeof r->code);
}

/* When nobody can send it any more, and nothing sent can still arrive (L6); 0: it may be said at once. */
static int64_t quiet_from_ms(const struct resolving *r, const struct payment *payment, const struct payment_case *found)
{
    const json_t *intent = payment->authorizations[found->authorization].intent->body;
    const struct provider_config *provider = config_provider_find(r->op->config, json_text(intent, "provider", ""));
    int64_t spent = json_int(found->doubt->body, "spentAt", 0), until = json_int(found->body, "sendUntil", 0);
    int64_t last_sent = spent > 0 && spent < until ? spent : until;
    return last_sent + (provider ? provider->timeout_ms + provider->visibility_horizon_ms : 0);
}

static int check_word(struct resolving *r, const struct payment *payment, const struct payment_case *found,
                      struct err *err)
{
    char at[CLOCK_TEXT_SIZE];
    bool negative;
    if (case_outcome(found, r->as, &negative, err) != 0)
        return -1;
    int64_t from_ms = negative && found->body ? quiet_from_ms(r, payment, found) : 0;
    if (clock_wall_ms() > from_ms)
        return 0;
    return err_set(err, ERR_AGAIN,
                   "%s may still be sent, or be on its way: that it was not done can be said from %s on", found->name,
                   clock_format(from_ms, at));
}

/* `check`: before anything is sent, whatever the worker would refuse is refused here. */
static int take_payment(struct resolving *r, const struct payment *payment, bool check, struct err *err)
{
    struct payment_case found;
    if (!payment->received)
        return operator_no_payment(r->op, r->payment, err);
    snprintf(r->state, sizeof r->state, "%s", public_state_text(payment->public));
    if (case_find(payment, r->slot, &found, err) != 0)
        return -1;
    memcpy(r->slot, found.result, sizeof r->slot);
    take_answer(r, found.answer);
    return check && !found.answer ? check_word(r, payment, &found, err) : 0;
}

static int read_payment(struct resolving *r, bool check, struct err *err)
{
    struct facts facts = {0};
    struct payment payment = {0};
    int result = read_facts(r->op->db, &r->payment, 1, &facts, err);
    if (result == 0)
        result = saga_fold(&facts, &payment, err);
    if (result == 0)
        result = take_payment(r, &payment, check, err);
    payment_clear(&payment);
    facts_clear(&facts);
    return result;
}

static int read_last_letter(struct resolving *r, struct err *err)
{
    json_auto_t *letters = read_dead_letters(r->op->db, NULL, 0, 1, err);
    r->last_letter = json_int(json_array_get(letters, 0), "seq", 0);
    return letters ? 0 : -1;
}

/* The worker may have refused it. */
static int read_refusal(struct resolving *r, struct err *err)
{
    char command[UUID_TEXT_SIZE];
    uuid_format(r->command, command);
    json_auto_t *letters = read_dead_letters(r->op->db, NULL, 0, LETTERS_SEEN, err);
    for (size_t i = 0; i < json_array_size(letters); i++) {
        const json_t *letter = json_array_get(letters, i);
        if (json_int(letter, "seq", 0) > r->last_letter && strcmp(json_text(letter, "commandId", ""), command) == 0)
            snprintf(r->refusal, sizeof r->refusal, "it died (%s); see `acquit dlq show %s`",
                     json_text(letter, "reason", ""), json_text(letter, "id", ""));
    }
    return letters ? 0 : -1;
}

/* -- the message */

static int check_said(const struct resolving *r, struct err *err)
{
    const struct args *args = &r->op->args;
    size_t reason = r->reason ? strlen(r->reason) : 0, actor = strlen(r->actor);
    if (!r->as)
        return err_set(err, ERR_INVALID, "say what became of it with --as OUTCOME");
    if (reason < 1 || reason > REASON_MAX)
        return err_set(err, ERR_INVALID, "say why with --reason TEXT, at most %d bytes; it is recorded", REASON_MAX);
    if (!args_text(args, "evidence", NULL))
        return err_set(err, ERR_INVALID, "show it with --evidence TEXT or --evidence @FILE; it is recorded");
    if (actor < 1 || actor > ACTOR_MAX)
        return err_set(err, ERR_INVALID, "--actor must have 1 to %d bytes", ACTOR_MAX);
    if (strlen(args_text(args, "reference", "x")) > REFERENCE_MAX)
        return err_set(err, ERR_INVALID, "--reference must have at most %d bytes", REFERENCE_MAX);
    return 0;
}

static const char *type_of(const struct resolving *r)
{
    return slot_parse(r->slot).kind == SLOT_REFUND_RESULT ? "refund.attest" : "authorize.attest";
}

/* Read as its worker will read it: what it would refuse is never sent. */
static int check_message(const struct resolving *r, const struct message *message, struct err *err)
{
    const char *const users[] = {r->sender.user, NULL};
    const struct delivery delivery = {.queue = "", .message = *message};
    struct command command;
    int result = command_decode(&delivery, users, true, &command, err);
    command_clear(&command);
    return result;
}

static int make_message(struct resolving *r, struct message *ret, struct err *err)
{
    char field[32], about[SLOT_SIZE + OUTCOME_SIZE];
    const char *reference = args_text(&r->op->args, "reference", NULL);
    json_auto_t *extra =
        json_pack("{s:s, s:s, s:s, s:s*}", "as", r->as, "reason", r->reason, "actor", r->actor, "reference", reference);
    if (!extra)
        return err_set(err, ERR_INVALID, "--reason, --actor and --reference must be UTF-8");
    if (evidence_read(args_text(&r->op->args, "evidence", ""), extra, err) != 0)
        return -1;
    if (carries_card_number(extra, field, sizeof field))
        return err_set(err, ERR_INVALID, "--%s looks like a card number; leave it out", field);
    snprintf(about, sizeof about, "%s:%s", r->slot, r->as);
    r->command = uuid_follow_up(r->payment, type_of(r), about);
    command_message(type_of(r), r->command, r->payment, r->slot, extra, r->sender.user, ret);
    return check_message(r, ret, err);
}

/* -- sending it and waiting */

static void on_settled(void *arg, enum publish_outcome outcome)
{
    struct resolving *r = arg;
    r->stage = outcome == PUBLISH_CONFIRMED ? SENT : outcome == PUBLISH_UNKNOWN ? LOST : NOT_SENT;
}

static int send_word(struct resolving *r, const struct message *message, struct err *err)
{
    r->sender.until_ms = clock_monotonic_ms() + SEND_MS;
    if (sender_ready(&r->sender, err) < 0)
        return -1;
    r->stage = SENDING;
    if (publisher_send(r->sender.publisher, message, on_settled, r, err) < 0)
        return -1;
    sender_flush(&r->sender);
    return 0;
}

static int await_answer(struct resolving *r, struct err *err)
{
    r->sender.until_ms = clock_monotonic_ms() + args_int(&r->op->args, "wait-ms", WAIT_MS);
    do {
        if (read_payment(r, false, err) < 0 || (!r->standing && read_refusal(r, err) < 0))
            return -1;
    } while (!r->standing && !r->refusal[0] && sender_turn(&r->sender));
    return 0;
}

static void note(const struct resolving *r)
{
    char payment[UUID_TEXT_SIZE], command[UUID_TEXT_SIZE];
    uuid_format(r->payment, payment);
    uuid_format(r->command, command);
    operator_note(r->op, "payment.resolve", "payment", payment, r->reason,
                  json_pack("{s:s, s:s, s:s}", "commandId", command, "slot", r->slot, "as", r->as));
}

static enum found found(const struct resolving *r)
{
    if (r->standing)
        return r->own && r->word ? FOUND_WORD : FOUND_ANSWER;
    return r->refusal[0] ? FOUND_REFUSAL : FOUND_NOTHING;
}

static void explain(const struct resolving *r, char *ret, size_t size)
{
    switch (found(r)) {
    case FOUND_WORD:
        snprintf(ret, size, "%s=%s, by %s; the payment is %s", r->slot, r->outcome, r->by, r->state);
        return;
    case FOUND_ANSWER:
        snprintf(ret, size, "%s=%s stands: %s%s%s", r->slot, r->outcome,
                 r->word  ? "said by "
                 : r->own ? "the provider answered when it was asked once more"
                          : "it was answered before",
                 r->word ? r->by : "", r->code[0] && !r->word ? ", see `acquit payment show`" : "");
        return;
    case FOUND_REFUSAL:
        snprintf(ret, size, "%s", r->refusal);
        return;
    case FOUND_NOTHING:
        break;
    }
    snprintf(ret, size, "%s",
             r->stage == SENT ? "sent, not recorded yet; look with `acquit payment show`, or say it again: it stays one"
             : r->stage == NOT_SENT ? "not sent: the broker refused it; see `acquit doctor`, then say it again"
                                    : "not confirmed: the broker may have it or not; say it again");
}

static int report(const struct resolving *r)
{
    static const struct {
        const char *name;
        int exit;
    } results[] = {[FOUND_NOTHING] = {"unknown", EXIT_AGAIN},
                   [FOUND_WORD] = {"recorded", 0},
                   [FOUND_ANSWER] = {"answered", EXIT_NO},
                   [FOUND_REFUSAL] = {"refused", EXIT_NO}};
    char text[ERR_TEXT_MAX + SLOT_SIZE + ACTOR_MAX], public[PUBLIC_ID_SIZE], command[UUID_TEXT_SIZE];
    explain(r, text, sizeof text);
    public_id_format(r->payment, public);
    uuid_format(r->command, command);
    if (r->op->json)
        operator_print(json_pack("{s:s, s:s, s:s, s:s*, s:s, s:s, s:s}", "transactionId", public, "slot", r->slot,
                                 "result", results[found(r)].name, "outcome", r->standing ? r->outcome : NULL,
                                 "message", text, "status", r->state, "commandId", command));
    else
        printf("%s  %s\n", public, text);
    return results[found(r)].exit;
}

static int carry_out(struct resolving *r, struct message *message, struct err *err)
{
    if (read_payment(r, true, err) < 0 || make_message(r, message, err) < 0 || read_payment(r, true, err) < 0)
        return -1;
    if (r->standing)
        return 0;
    note(r);
    if (read_last_letter(r, err) < 0 || send_word(r, message, err) < 0)
        return -1;
    return await_answer(r, err);
}

int cmd_payment_resolve(struct op *op, struct err *err)
{
    struct resolving *r = mem_new(1, sizeof *r);
    struct message message = {0};
    r->op = op;
    r->as = args_text(&op->args, "as", NULL);
    r->reason = args_text(&op->args, "reason", NULL);
    r->actor = operator_actor(&op->args, r->login);
    int result = check_said(r, err);
    if (result == 0)
        result = operator_payment_id(op->args.positional[0], &r->payment, err);
    if (result == 0)
        snprintf(r->slot, sizeof r->slot, "%s", op->args.positional[1]);
    if (result == 0)
        result = operator_db(op, err) ? sender_open(&r->sender, op->config, err) : -1;
    if (result == 0)
        result = carry_out(r, &message, err);
    if (result == 0)
        result = report(r);
    sender_close(&r->sender);
    message_clear(&message);
    free(r);
    return result;
}
