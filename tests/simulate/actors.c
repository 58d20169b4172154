/* actors.c - who wants payments, cancels and refunds of them; who is told; and the operator, who deals with what died */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "queues/envelope.h"
#include "queues/topology.h"
#include "tests/simulate/simulate.h"

#define SHOP "shop"
#define OPERATOR "acquit-operator"

struct wish wishes[WORLD_PAYMENTS_MAX];

/* What of a payment is decided by what: the second argument of chance_of_payment(). */
enum topic {
    TOPIC_AMOUNT,
    TOPIC_FLOW,
    TOPIC_ROUTES,
    TOPIC_DEADLINE,
    TOPIC_AT,
    TOPIC_REPEAT,
    TOPIC_CONFLICT,
    TOPIC_CANCEL,
    TOPIC_CANCEL_AT,
    TOPIC_REFUND,
    TOPIC_REFUND_AT = 20,
    TOPIC_REFUND_AMOUNT = 30
};

enum {
    BEGIN_WITHIN_MS = 20000,
    OPERATOR_LOOKS_S = 60,
    SAID_AGAIN_S = 600, /* a word that has not arrived by then was lost */
};

static uint64_t topic(int i, enum topic what, uint64_t below)
{
    return chance_of_payment(i, (int)what, below);
}

struct wish *wish_find(struct uuid payment)
{
    for (int i = 0; i < scenario->payments; i++)
        if (uuid_equal(wishes[i].id, payment))
            return &wishes[i];
    return NULL;
}

/* --- what an app publishes --- */

struct letter {
    char type[32], message_id[32], user[24];
    char *body;
};

static void post(void *arg)
{
    struct letter *letter = arg;
    struct message message = {.exchange = EXCHANGE_IN,
                              .routing_key = letter->type,
                              .type = letter->type,
                              .content_type = "application/json",
                              .message_id = letter->message_id,
                              .user_id = letter->user,
                              .timestamp = clock_wall_ms() / 1000,
                              .reply_to = strcmp(letter->user, SHOP) == 0 ? "app.shop.answers" : NULL,
                              .body = letter->body,
                              .body_size = strlen(letter->body)};
    if (strcmp(letter->user, SHOP) != 0)
        message.exchange = EXCHANGE_COMMANDS;
    story("%s PUBLISHES %s %s", letter->user, letter->type, letter->message_id);
    broker_publish(&message);
    free(letter->body);
    free(letter);
}

static void post_later(int64_t delay_ms, const char *user, const char *type, const char *message_id, json_t *body)
{
    struct letter *letter = mem_new(1, sizeof *letter);
    snprintf(letter->type, sizeof letter->type, "%s", type);
    snprintf(letter->message_id, sizeof letter->message_id, "%s", message_id);
    snprintf(letter->user, sizeof letter->user, "%s", user);
    letter->body = json_encode(body);
    json_decref(body);
    later(delay_ms * 1000, true, post, letter);
}

static json_t *creation(int i, int64_t amount)
{
    const char *first = topic(i, TOPIC_ROUTES, 4) & 1 ? "alpha" : "beta";
    bool two = topic(i, TOPIC_ROUTES, 4) & 2;
    json_t *body = json_pack("{s:I, s:s, s:s, s:s}", "amount", (json_int_t)amount, "currency", "EUR", "flow",
                             wishes[i].dual ? "dual" : "plain", "paymentToken", "pm_card_visa");
    if (wishes[i].dual)
        json_object_set_new(body, "tokens", json_pack("{s:s, s:i}", "id", "seat", "quantity", 2));
    json_object_set_new(body, "preferredGateways",
                        two ? json_pack("[s, s]", first, *first == 'a' ? "beta" : "alpha") : json_pack("[s]", first));
    if (topic(i, TOPIC_DEADLINE, 100) < 12)
        json_object_set_new(body, "expiresInMs", json_integer(1000 + (json_int_t)topic(i, TOPIC_DEADLINE, 60000)));
    return body;
}

static void want_cancel(int i, int64_t at_ms)
{
    char id[UUID_TEXT_SIZE], name[32];
    if (topic(i, TOPIC_CANCEL, 100) >= 12)
        return;
    uuid_format(wishes[i].id, id);
    snprintf(name, sizeof name, "c%d", i);
    wishes[i].cancel = uuid_command("payment.cancel", SHOP, name);
    post_later(at_ms + (int64_t)topic(i, TOPIC_CANCEL_AT, 3000), SHOP, "payment.cancel", name,
               json_pack("{s:s, s:s}", "paymentId", id, "reason", "changed my mind"));
}

/* Racing: all of a payment's come within a second, often for more than there is. */
static void want_refunds(int i, int64_t at_ms)
{
    char id[UUID_TEXT_SIZE], name[32];
    uint64_t count = topic(i, TOPIC_REFUND, 100) < 35 ? 1 + topic(i, TOPIC_REFUND, REFUNDS_EACH) : 0;
    uuid_format(wishes[i].id, id);
    for (uint64_t n = 0; n < count; n++) {
        int at = TOPIC_REFUND_AT + (int)n, amount = TOPIC_REFUND_AMOUNT + (int)n;
        snprintf(name, sizeof name, "r%d.%d", i, (int)n);
        wishes[i].refunds[n] = uuid_command("payment.refund", SHOP, name);
        json_t *body = json_pack("{s:s}", "paymentId", id);
        if (chance_of_payment(i, amount, 3) > 0)
            json_object_set_new(body, "amount",
                                json_integer(1 + (json_int_t)chance_of_payment(i, amount, (uint64_t)wishes[i].amount)));
        int64_t when =
            at_ms + (chance_of_payment(i, TOPIC_REFUND_AT, 2) ? 400 : 40000) + (int64_t)chance_of_payment(i, at, 1000);
        post_later(when, SHOP, "payment.refund", name, body);
    }
}

static void want_payment(int i)
{
    struct wish *wish = &wishes[i];
    snprintf(wish->message_id, sizeof wish->message_id, "p%d", i);
    wish->id = uuid_payment(SHOP, wish->message_id);
    wish->create = uuid_command("payment.create", SHOP, wish->message_id);
    wish->dual = topic(i, TOPIC_FLOW, 100) < 45;
    wish->amount = 1 + (int64_t)topic(i, TOPIC_AMOUNT, 100000);
    wish->left_out = scenario->without & UINT64_C(1) << i;
    if (wish->left_out)
        return;
    int64_t at_ms = (int64_t)topic(i, TOPIC_AT, BEGIN_WITHIN_MS);
    post_later(at_ms, SHOP, "payment.create", wish->message_id, creation(i, wish->amount));
    if (topic(i, TOPIC_REPEAT, 100) < 10)
        post_later(at_ms + (int64_t)topic(i, TOPIC_REPEAT, 30000), SHOP, "payment.create", wish->message_id,
                   creation(i, wish->amount));
    wish->conflict = topic(i, TOPIC_CONFLICT, 100) < 4;
    if (wish->conflict)
        post_later(at_ms + (int64_t)topic(i, TOPIC_CONFLICT, 2000), SHOP, "payment.create", wish->message_id,
                   creation(i, wish->amount + 1));
    want_cancel(i, at_ms);
    want_refunds(i, at_ms);
}

/* --- what it is told --- */

void actors_told_json(const json_t *event)
{
    static const struct {
        const char *type;
        enum told told;
    } ends[] = {
        {"payment.completed", TOLD_COMPLETED}, {"payment.failed", TOLD_FAILED}, {"payment.cancelled", TOLD_CANCELLED}};
    struct uuid payment;
    const char *type = json_text(event, "type", "");
    if (uuid_parse(json_text(json_object_get(event, "data"), "paymentId", ""), &payment) != 0)
        return;
    struct wish *wish = wish_find(payment);
    for (size_t i = 0; wish && i < sizeof ends / sizeof *ends; i++)
        if (strcmp(ends[i].type, type) == 0)
            wish->told |= ends[i].told;
}

void actors_told(const struct message *message)
{
    static const char *const ends[] = {"payment.completed", "payment.failed", "payment.cancelled"};
    for (size_t i = 0; message->type && i < sizeof ends / sizeof *ends; i++)
        if (strcmp(message->type, ends[i]) == 0) {
            json_auto_t *event = json_loadb(message->body, message->body_size, 0, NULL);
            actors_told_json(event);
        }
}

/* A copy of its command is lost with the broker. */
void actors_wiped(const struct message *message)
{
    int i = 0, n = 0;
    const char *id = message->message_id ? message->message_id : "";
    if (sscanf(id, "r%d.%d", &i, &n) == 2 && i < scenario->payments && n < REFUNDS_EACH)
        wishes[i].refund_wiped[n] = true;
    else if (sscanf(id, "c%d", &i) == 1 && i < scenario->payments && strlen(id) < 5)
        wishes[i].cancel_wiped = true;
    else if (sscanf(id, "p%d", &i) == 1 && i < scenario->payments)
        wishes[i].create_wiped = true;
}

/* --- the operator --- */

static bool is_hopeless(const struct ledger_letter *letter)
{
    static const char *const reasons[] = {"invalid", "idempotency_conflict", "unknown_payment", "unroutable"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strcmp(letter->reason, reasons[i]) == 0)
            return true;
    return false;
}

static struct uuid home_of(const struct ledger_letter *letter)
{
    return uuid_is_nil(letter->payment_id) ? letter->id : letter->payment_id;
}

/* How many words stand; *ret_held: whether it waits for one. */
static int words_on(const struct ledger_letter *letter, bool *ret_held)
{
    char id[UUID_TEXT_SIZE], prefix[SLOT_SIZE];
    struct facts facts;
    int words = 0;
    uuid_format(letter->id, id);
    snprintf(prefix, sizeof prefix, "replay:%s:", id);
    database_facts(home_of(letter), &facts);
    *ret_held = false;
    for (size_t i = 0; i < facts.count; i++) {
        words += strncmp(facts.items[i].slot, prefix, strlen(prefix)) == 0;
        if (strcmp(json_text(facts.items[i].body, "deadLetter", ""), id) == 0)
            *ret_held = json_bool(facts.items[i].body, "held", false);
    }
    facts_clear(&facts);
    return words;
}

static void say_word(const struct ledger_letter *letter, const char *type, int n, const char *who)
{
    char id[UUID_TEXT_SIZE], home[UUID_TEXT_SIZE], slot[64], name[UUID_TEXT_SIZE];
    uuid_format(letter->id, id);
    uuid_format(home_of(letter), home);
    snprintf(slot, sizeof slot, "%d %s", n, who);
    uuid_format(uuid_follow_up(letter->id, type, slot), name);
    struct letter *word = mem_new(1, sizeof *word);
    json_auto_t *body = json_pack("{s:s, s:i, s:s, s:s, s:s}", "deadLetterId", id, "n", n, "reason", "it works again",
                                  "actor", who, "paymentId", home);
    *word = (struct letter){.body = json_encode(body)};
    snprintf(word->type, sizeof word->type, "%s", type);
    snprintf(word->user, sizeof word->user, "%s", OPERATOR);
    struct message message = {.exchange = EXCHANGE_COMMANDS,
                              .routing_key = word->type,
                              .type = word->type,
                              .content_type = "application/json",
                              .message_id = name,
                              .user_id = word->user,
                              .timestamp = clock_wall_ms() / 1000,
                              .body = word->body,
                              .body_size = strlen(word->body)};
    story("%s SAYS %s of %s", who, type, letter->type);
    broker_publish(&message);
    free(word->body);
    free(word);
}

static void operator_looks(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < database_letter_count(); i++) {
        struct ledger_letter *letter = database_letter(i);
        bool held;
        if (letter->settled)
            continue;
        int words = words_on(letter, &held);
        letter->settled = words > 0 || !held;
        if (in_trouble() && fault(CHANCE_REPLAY, 60)) {
            say_word(letter, "deadletter.replay", words + 1, "anna");
            if (chance_per_mille(500))
                say_word(letter, "deadletter.replay", words + 1, "bert");
        } else if (!in_trouble() && held && words == 0 &&
                   (letter->said_us == 0 || letter->said_us + (int64_t)SAID_AGAIN_S * 1000000 <= now_us)) {
            letter->said_us = now_us;
            say_word(letter, is_hopeless(letter) ? "deadletter.discard" : "deadletter.replay", 1, "anna");
        }
    }
    later((int64_t)OPERATOR_LOOKS_S * 1000000, false, operator_looks, NULL);
}

bool actors_desk_clear(void)
{
    for (size_t i = 0; i < database_letter_count(); i++) {
        bool held;
        struct ledger_letter *letter = database_letter(i);
        letter->settled = letter->settled || words_on(letter, &held) > 0 || !held;
        if (!letter->settled)
            return false;
    }
    return true;
}

void actors_start(void)
{
    memset(wishes, 0, sizeof wishes);
    for (int i = 0; i < scenario->payments; i++)
        want_payment(i);
    later((int64_t)OPERATOR_LOOKS_S * 1000000, false, operator_looks, NULL);
}
