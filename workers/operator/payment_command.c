/* payment_command.c - acquit payment cancel, payment refund
 *
 * The publisher's own command, said by us in its name: the same type, its payment, and a message id that is the
 * idempotency key, so that it has the same command id and the same effect however often it is said. The worker decides;
 * what is told here was read in the ledger.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "ledger/read.h"
#include "queues/envelope.h"
#include "workers/operator/answer.h"
#include "workers/operator/operator.h"
#include "workers/operator/sender.h"

enum {
    WAIT_MS = 5000,
    WAIT_MAX_MS = 600000,
    SEND_MS = 10000,   /* to reach the broker and hear its confirm */
    LETTERS_SEEN = 50, /* newest dead letters looked through for ours */
};
#define AMOUNT_MOST INT64_C(9000000000000000)

#define KEY_OPTION(text)                                                                                               \
    {                                                                                                                  \
        .name = "key", .kind = OPTION_TEXT, .value = "KEY", .sentence = text                                           \
    }
#define REASON_OPTION                                                                                                  \
    {                                                                                                                  \
        .name = "reason", .kind = OPTION_TEXT, .value = "TEXT", .sentence = "why; it is recorded"                      \
    }
#define WAIT_OPTION                                                                                                    \
    {                                                                                                                  \
        .name = "wait-ms", .kind = OPTION_INT, .least = 0, .most = WAIT_MAX_MS, .value = "N",                          \
        .sentence = "how long to wait for the answer (default 5000)"                                                   \
    }

const struct option_row payment_cancel_options[] = {
    REASON_OPTION,
    KEY_OPTION("idempotency key: the same one is the same command (default: a new one, which is told)"),
    WAIT_OPTION,
    {0},
};

const struct option_row payment_refund_options[] = {
    {.name = "amount",
     .kind = OPTION_INT,
     .least = 1,
     .most = AMOUNT_MOST,
     .value = "N",
     .sentence = "in minor units (default: all that is left)"},
    REASON_OPTION,
    KEY_OPTION("idempotency key: the same one is the same refund (required)"),
    WAIT_OPTION,
    {0},
};

/* One command on its way. */
struct order {
    struct op *op;
    const char *type;
    struct uuid payment, command;
    char publisher[PUBLISHER_MAX + 1];
    char key[MESSAGE_ID_MAX + 1];
    char sha256[65];
    char state[32]; /* the payment's public one, as last read */
    struct sender sender;
    struct answer answer;
    enum { NOT_SENT, SENDING, LOST, SENT } stage;
    int64_t last_letter;       /* seq of the newest dead letter before we sent */
    char remark[ERR_TEXT_MAX]; /* why there is no answer, where that is known */
};

/* -- what the ledger says */

/* Facts -> payment, publisher, state, answer. */
static int take_payment(struct order *order, const struct payment *payment, struct err *err)
{
    if (!payment->received)
        return operator_no_payment(order->op, order->payment, err);
    snprintf(order->publisher, sizeof order->publisher, "%s", json_text(payment->received->body, "publisher", ""));
    snprintf(order->state, sizeof order->state, "%s", public_state_text(payment->public));
    if (!uuid_is_nil(order->command))
        answer_of(payment, order->type, order->command, order->sha256, &order->answer);
    return 0;
}

static int read_payment(struct order *order, struct err *err)
{
    struct facts facts = {0};
    struct payment payment = {0};
    int r = read_facts(order->op->db, &order->payment, 1, &facts, err);
    if (r == 0)
        r = saga_fold(&facts, &payment, err);
    if (r == 0)
        r = take_payment(order, &payment, err);
    payment_clear(&payment);
    facts_clear(&facts);
    return r;
}

static int read_last_letter(struct order *order, struct err *err)
{
    json_auto_t *letters = read_dead_letters(order->op->db, NULL, 0, 1, err);
    order->last_letter = json_int(json_array_get(letters, 0), "seq", 0);
    return letters ? 0 : -1;
}

/* Deaths after which the command did nothing and never will as it is. */
static bool is_refusal(const char *reason)
{
    return strcmp(reason, "exhausted") != 0 && strcmp(reason, "crash_loop") != 0;
}

/* It may have died since we sent it. */
static int read_death(struct order *order, struct err *err)
{
    char command[UUID_TEXT_SIZE];
    uuid_format(order->command, command);
    json_auto_t *letters = read_dead_letters(order->op->db, NULL, 0, LETTERS_SEEN, err);
    for (size_t i = 0; i < json_array_size(letters); i++) {
        const json_t *letter = json_array_get(letters, i);
        const char *reason = json_text(letter, "reason", "");
        if (json_int(letter, "seq", 0) <= order->last_letter ||
            strcmp(json_text(letter, "commandId", ""), command) != 0)
            continue;
        snprintf(order->remark, sizeof order->remark, "it died (%s); see `acquit dlq show %s`", reason,
                 json_text(letter, "id", ""));
        if (order->answer.kind != ANSWER_NONE || !is_refusal(reason))
            continue;
        order->answer.kind = ANSWER_REFUSED;
        snprintf(order->answer.text, sizeof order->answer.text, "%s", order->remark);
    }
    return letters ? 0 : -1;
}

static bool is_open(const struct order *order)
{
    return order->answer.kind == ANSWER_NONE || order->answer.kind == ANSWER_OPEN;
}

/* -- the message */

static int choose_key(struct order *order, struct err *err)
{
    const char *given = args_text(&order->op->args, "key", NULL);
    char random[UUID_TEXT_SIZE];
    uuid_format(uuid_random(), random);
    if (!given && strcmp(order->type, "payment.refund") == 0)
        return err_set(err, ERR_INVALID,
                       "a refund needs a key, so that it can be repeated without a second effect: --key operator-%s",
                       random);
    if (given && (!*given || strlen(given) > MESSAGE_ID_MAX))
        return err_set(err, ERR_INVALID, "--key must have 1 to %d bytes", (int)MESSAGE_ID_MAX);
    if (given)
        snprintf(order->key, sizeof order->key, "%s", given);
    else
        snprintf(order->key, sizeof order->key, "operator-%s", random);
    if (!given)
        fprintf(stderr, "the key is %s; to repeat this very command: --key %s\n", order->key, order->key);
    return 0;
}

/* Read as its worker will read it: what it would refuse is refused here, and never sent. */
static int check_message(struct order *order, const struct message *message, struct err *err)
{
    const char *const users[] = {order->sender.user, NULL};
    const struct delivery delivery = {.queue = "", .message = *message};
    struct command command;
    int r = command_decode(&delivery, users, true, &command, err);
    order->command = command.id;
    snprintf(order->sha256, sizeof order->sha256, "%s", command.sha256);
    command_clear(&command);
    return r;
}

static int make_message(struct order *order, struct message *ret, struct err *err)
{
    const struct args *args = &order->op->args;
    const char *reason = args_text(args, "reason", NULL);
    int64_t amount = args_int(args, "amount", 0);
    json_auto_t *extra = json_object();
    if (reason && json_object_set_new(extra, "reason", json_string(reason)) != 0)
        return err_set(err, ERR_INVALID, "--reason must be UTF-8");
    if (amount)
        json_object_set_new(extra, "amount", json_integer(amount));
    command_message(order->type, (struct uuid){0}, order->payment, NULL, extra, order->sender.user, ret);
    free(ret->message_id);
    ret->message_id = mem_text(order->key);
    ret->headers = json_pack("{s:s}", HEADER_PUBLISHER, order->publisher);
    return check_message(order, ret, err);
}

/* -- sending it and waiting */

static void on_settled(void *arg, enum publish_outcome outcome)
{
    struct order *order = arg;
    order->stage = outcome == PUBLISH_CONFIRMED ? SENT : outcome == PUBLISH_UNKNOWN ? LOST : NOT_SENT;
}

static int send_order(struct order *order, const struct message *message, struct err *err)
{
    order->sender.until_ms = clock_monotonic_ms() + SEND_MS;
    if (sender_ready(&order->sender, err) < 0)
        return -1;
    order->stage = SENDING;
    if (publisher_send(order->sender.publisher, message, on_settled, order, err) < 0)
        return -1;
    sender_flush(&order->sender);
    return 0;
}

static int await_answer(struct order *order, struct err *err)
{
    order->sender.until_ms = clock_monotonic_ms() + args_int(&order->op->args, "wait-ms", WAIT_MS);
    do {
        if (read_payment(order, err) < 0)
            return -1;
        if (is_open(order) && !order->remark[0] && read_death(order, err) < 0)
            return -1;
    } while (is_open(order) && !order->remark[0] && sender_turn(&order->sender));
    return 0;
}

static const char *unanswered(const struct order *order)
{
    switch (order->stage) {
    case NOT_SENT:
        return "not sent: the broker refused it; see `acquit doctor`, then repeat it with the same key";
    case SENDING:
    case LOST:
        return "not confirmed: the broker may have it or not; repeat it with the same key";
    case SENT:
        break;
    }
    if (order->remark[0])
        return order->remark;
    return order->answer.text[0]
               ? order->answer.text
               : "sent, not answered yet; look with `acquit payment show`, or repeat it with the same key";
}

static int report(const struct order *order)
{
    static const char *const results[] = {
        [ANSWER_NONE] = "unknown", [ANSWER_OPEN] = "unknown", [ANSWER_DONE] = "done", [ANSWER_REFUSED] = "refused"};
    const char *text = is_open(order) ? unanswered(order) : order->answer.text;
    char public[PUBLIC_ID_SIZE], command[UUID_TEXT_SIZE];
    public_id_format(order->payment, public);
    uuid_format(order->command, command);
    if (order->op->json) {
        json_t *view = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "transactionId", public, "command", order->type,
                                 "key", order->key, "commandId", command, "result", results[order->answer.kind],
                                 "message", text, "status", order->state);
        if (order->answer.refund)
            json_object_set_new(view, "refund", json_integer(order->answer.refund));
        operator_print(view);
    } else {
        printf("%s  %s%s\n", public, order->answer.kind == ANSWER_REFUSED ? "refused: " : "", text);
    }
    return is_open(order) ? EXIT_AGAIN : order->answer.kind == ANSWER_DONE ? 0 : EXIT_NO;
}

/* The command goes out in the publisher's name; that it was an operator who said it stands here. */
static void note(const struct order *order)
{
    const struct args *args = &order->op->args;
    char payment[UUID_TEXT_SIZE], command[UUID_TEXT_SIZE];
    uuid_format(order->payment, payment);
    uuid_format(order->command, command);
    json_t *diff = json_pack("{s:s, s:s, s:s}", "commandId", command, "key", order->key, "publisher", order->publisher);
    if (args_text(args, "amount", NULL))
        json_object_set_new(diff, "amount", json_integer(args_int(args, "amount", 0)));
    operator_note(order->op, order->type, "payment", payment, args_text(args, "reason", NULL), diff);
}

static int carry_out(struct order *order, struct message *message, struct err *err)
{
    if (read_payment(order, err) < 0 || make_message(order, message, err) < 0 || read_payment(order, err) < 0)
        return -1;
    if (!is_open(order)) /* answered already: by an earlier one with this key, or by what was decided since */
        return 0;
    note(order);
    if (read_last_letter(order, err) < 0 || send_order(order, message, err) < 0)
        return -1;
    return await_answer(order, err);
}

static int run(struct op *op, const char *type, struct err *err)
{
    struct order *order = mem_new(1, sizeof *order);
    struct message message = {0};
    order->op = op;
    order->type = type;
    int r = operator_payment_id(op->args.positional[0], &order->payment, err);
    if (r == 0)
        r = choose_key(order, err);
    if (r == 0)
        r = operator_db(op, err) ? sender_open(&order->sender, op->config, err) : -1;
    if (r == 0)
        r = carry_out(order, &message, err);
    if (r == 0)
        r = report(order);
    sender_close(&order->sender);
    message_clear(&message);
    free(order);
    return r;
}

int cmd_payment_cancel(struct op *op, struct err *err)
{
    return run(op, "payment.cancel", err);
}

int cmd_payment_refund(struct op *op, struct err *err)
{
    return run(op, "payment.refund", err);
}
