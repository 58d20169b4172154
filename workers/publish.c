/* publish.c - everything that is said for a delivery: follow-ups, events, answers, retries, dead letters
 *
 * Publishing here never waits: every message counts as unconfirmed until the broker answers, and the skeleton acknowledges
 * only a delivery that has none left (L1). What could not be published is said again after the facts were looked at anew.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/mutant.h"
#include "common/pan.h"
#include "workers/events.h"
#include "workers/job.h"
#include "workers/policy.h"

enum { HISTORY_MAX = 20, TRACEPARENT_SIZE = 55 };

static void settled(void *arg, enum publish_outcome outcome)
{
    struct job *job = arg;
    job->unconfirmed--;
    if (outcome != PUBLISH_CONFIRMED && !MUTANT(UNCONFIRMED_IS_PUBLISHED)) /* L1 */
        job->publish_failed = true;
    if (outcome == PUBLISH_RETURNED)
        log_error("a message of %s came back: no queue is bound for it; run `acquit topology apply`",
                  job->step->command);
    worker_wake(job->worker);
}

/* Nobody has to be there to hear it. */
static void heard_or_not(void *arg, enum publish_outcome outcome)
{
    struct job *job = arg;
    job->unconfirmed--;
    if (outcome != PUBLISH_CONFIRMED && outcome != PUBLISH_RETURNED)
        job->publish_failed = true;
    worker_wake(job->worker);
}

static void publish(struct job *job, const struct message *message, void (*done)(void *, enum publish_outcome))
{
    struct err err = {0};
    if (publisher_send(job->around->publisher, message, done, job, &err) == 0) {
        job->unconfirmed++;
        return;
    }
    /* The delivery stays unacknowledged and is looked at again: nothing is lost. */
    log_warn("cannot publish for %s: %s", job->step->command, err.text);
    job->publish_failed = true;
}

void job_publish(struct job *job, const struct message *message)
{
    publish(job, message, settled);
}

void job_tell(struct job *job, const struct message *message)
{
    publish(job, message, heard_or_not);
}

static bool sent_before(struct job *job, struct uuid id)
{
    for (size_t i = 0; i < job->sent_count; i++)
        if (uuid_equal(job->sent[i], id))
            return true;
    if (job->sent_count < JOB_SENT_MAX)
        job->sent[job->sent_count++] = id;
    return false;
}

/* A question waits for its time; everything else goes at once. */
static const char *exchange_for(struct job *job, const struct follow_up *follow_up)
{
    int64_t real = 0;
    if (!slot_is_doubt(follow_up->slot))
        return EXCHANGE_COMMANDS;
    return wait_exchange(policy_question_delay(job->around->config, follow_up->k), &real);
}

/* The delivery's W3C trace, if it looks like one, and like no card number (L11): what follows belongs to it. */
static const char *trace_of(const struct job *job)
{
    const char *trace = json_text(job->delivery->message.headers, "traceparent", "");
    bool looks_right = strlen(trace) == TRACEPARENT_SIZE && strspn(trace, "0123456789abcdef-") == TRACEPARENT_SIZE &&
                       pan_count(trace, TRACEPARENT_SIZE) == 0;
    return looks_right ? trace : NULL;
}

static void publish_follow_up(struct job *job, const struct follow_up *follow_up)
{
    if (sent_before(job, follow_up->id))
        return;
    struct message message = {0};
    command_message(follow_up->type, follow_up->id, job->command.payment_id, follow_up->slot, NULL, job->around->user,
                    &message);
    free(message.exchange);
    message.exchange = strdup(exchange_for(job, follow_up));
    const char *trace = trace_of(job);
    message.headers = json_object();
    if (trace)
        json_object_set_new(message.headers, "traceparent", json_string(trace));
    if (job->command.type && strcmp(job->command.type->name, "payment.look") == 0)
        json_object_set_new(message.headers, HEADER_LOOK, json_true());
    job_publish(job, &message);
    message_clear(&message);
}

/* A direct reply-to as RabbitMQ writes it: base64 of an Erlang process id, a dot, base64 of a key. Anything else behind the prefix makes the
 * broker close the connection that answers to it. Pid: 131 88, an atom with its size, 12 bytes (Erlang's external term format, NEW_PID_EXT). */
static bool is_direct_reply(const char *text)
{
    uint8_t pid[256], key[256];
    char first[345];
    size_t pid_size = 0, key_size = 0, size = strcspn(text, ".");
    if (text[size] != '.' || size >= sizeof first)
        return false;
    memcpy(first, text, size);
    first[size] = '\0';
    if (base64_decode(first, pid, sizeof pid, &pid_size) != 0 ||
        base64_decode(text + size + 1, key, sizeof key, &key_size) != 0)
        return false;
    if (pid_size < 5 || pid[0] != 131 || pid[1] != 88 || key_size == 0)
        return false;
    bool small = pid[2] == 119 || pid[2] == 115; /* SMALL_ATOM_UTF8_EXT, SMALL_ATOM_EXT: one byte of size */
    bool large = pid[2] == 118 || pid[2] == 100; /* ATOM_UTF8_EXT, ATOM_EXT: two */
    size_t atom = small ? pid[3] : large ? (size_t)pid[3] << 8 | pid[4] : 0;
    return (small || large) && atom > 0 && pid_size == (small ? 4U : 5U) + atom + 12;
}

bool reply_allowed(const char *reply_to, const char *publisher)
{
    char own[PUBLISHER_MAX + 8];
    const char *direct = "amq.rabbitmq.reply-to.";
    snprintf(own, sizeof own, "app.%s.", publisher);
    if (strncmp(reply_to, direct, strlen(direct)) == 0)
        return is_direct_reply(reply_to + strlen(direct));
    return *publisher && strncmp(reply_to, own, strlen(own)) == 0;
}

/* Whatever became of it: an answer is a courtesy, and its address is a stranger's. */
static void answered(void *arg, enum publish_outcome outcome)
{
    struct job *job = arg;
    (void)outcome;
    job->unconfirmed--;
    worker_wake(job->worker);
}

/* Over a connection of its own, so that an address the broker chokes on harms no command. */
static void answer(struct job *job, const struct message *message)
{
    struct err err = {0};
    if (publisher_send(job->around->answers, message, answered, job, &err) == 0)
        job->unconfirmed++;
    else
        log_warn("cannot answer: %s", err.text);
}

/* Turns a message into an answer: to that queue, through the default exchange. */
static void address(struct message *message, const char *reply_to, const char *correlation_id)
{
    free(message->exchange);
    free(message->routing_key);
    free(message->correlation_id);
    message->exchange = strdup("");
    message->routing_key = strdup(reply_to);
    message->correlation_id = correlation_id ? strdup(correlation_id) : NULL;
}

/* An event that answers a command goes to that command's reply_to as well. */
static void publish_event(void *arg, const struct event *event)
{
    struct job *job = arg;
    struct message message = {0};
    if (sent_before(job, event->id))
        return;
    event_message(event, job->around->user, &message);
    job_tell(job, &message);
    const json_t *asked = event_answers(event);
    const char *reply_to = json_text(asked, "replyTo", NULL);
    if (reply_to) {
        address(&message, reply_to, json_text(asked, "correlationId", NULL));
        answer(job, &message);
    }
    message_clear(&message);
}

void job_reply(struct job *job, const json_t *body)
{
    const struct message *original = &job->delivery->message;
    const char *publisher = job->command.publisher[0] ? job->command.publisher : original->user_id;
    bool internal = job->command.type && !job->command.type->is_public;
    if (!original->reply_to || original->escaped || !publisher || internal ||
        !reply_allowed(original->reply_to, publisher))
        return;
    struct message message = {
        .content_type = strdup("application/json"), .user_id = strdup(job->around->user), .body = json_encode(body)};
    message.body_size = strlen(message.body);
    mask_card_numbers(message.body, message.body_size);
    address(&message, original->reply_to, original->correlation_id);
    answer(job, &message);
    message_clear(&message);
}

/* A publisher whose command will never be done is told so, where it can be. */
static void reply_refusal(struct job *job)
{
    json_auto_t *body = json_pack("{s:b, s:s, s:s, s:s}", "success", 0, "error", death_text(job->death), "error_code",
                                  death_text(job->death), "message", job->reason);
    if (body)
        job_reply(job, body);
}

/* Events rest on facts as commands do: who caused the fact says it (L4), at least once. */
static void publish_events(struct job *job)
{
    events_of(&job->payment, &job->facts, job->step->looks_at_all ? NULL : &job->command.id, publish_event, job);
}

static bool is_ours_to_publish(const struct job *job, const struct follow_up *follow_up)
{
    if (job->step->looks_at_all)
        return !saga_held(&job->facts, follow_up->id);
    if (MUTANT(EXPIRY_UNSAID) && strcmp(job->step->command, "payment.expire") == 0) /* L4 */
        return false;
    return follow_up_rests_on(follow_up, job->command.id);
}

void job_publish_next(struct job *job)
{
    struct next next;
    saga_next(&job->payment, &next);
    for (size_t i = 0; i < next.count; i++)
        if (is_ours_to_publish(job, &next.items[i])) /* L4 */
            publish_follow_up(job, &next.items[i]);
    publish_events(job);
}

static json_t *history_with(const struct job *job, const char *reason)
{
    json_t *history = job->command.history ? json_deep_copy(job->command.history) : json_array();
    while (json_array_size(history) >= HISTORY_MAX)
        json_array_remove(history, 1); /* the first stays: it says when it began */
    json_array_append_new(history, json_pack("{s:I, s:i, s:s}", "at", (json_int_t)clock_wall_ms(), "attempt",
                                             job->command.attempt + 1, "reason", reason));
    return history;
}

/* A property takes 255 bytes; what is longer (odd bytes are written as four) stands whole in HEADER_PROPERTIES. */
static char *short_copy(const char *text)
{
    char cut[256];
    if (!text)
        return NULL;
    message_text_cut(text, cut, sizeof cut);
    mask_card_numbers(cut, strlen(cut)); /* L11: the retry ladder is a queue, too */
    return strdup(cut);
}

bool job_said_by_look(const struct job *job)
{
    return json_is_true(json_object_get(job->delivery->message.headers, HEADER_LOOK));
}

/* Headers of ours that were checked when the command was read, and a trace that looks like one. */
static json_t *kept_headers(const struct job *job)
{
    const json_t *headers = job->delivery->message.headers;
    const char *trace = trace_of(job);
    json_t *kept = json_object();
    if (trace)
        json_object_set_new(kept, "traceparent", json_string(trace));
    if (job_said_by_look(job))
        json_object_set_new(kept, HEADER_LOOK, json_true());
    if (job->command.replay_of[0]) {
        json_object_set_new(kept, HEADER_REPLAY, json_string(job->command.replay_of));
        json_object_set_new(kept, HEADER_REPLAY_NUMBER, json_integer(json_int(headers, HEADER_REPLAY_NUMBER, 0)));
    }
    if (job->command.publisher[0])
        json_object_set_new(kept, HEADER_PUBLISHER, json_string(job->command.publisher));
    return kept;
}

/* The delivery's message again, with clean headers of ours and the same id (never x-death: a dead letter that returns through a
 * wait queue with it would be taken for a cycle and dropped). */
static void copy_message(const struct job *job, struct message *ret)
{
    const struct message *original = &job->delivery->message;
    memset(ret, 0, sizeof *ret);
    ret->routing_key = short_copy(original->routing_key ? original->routing_key : "");
    ret->content_type = short_copy(original->content_type ? original->content_type : "application/json");
    ret->message_id = short_copy(original->message_id);
    ret->correlation_id = short_copy(original->correlation_id);
    ret->reply_to = short_copy(original->reply_to);
    ret->type = short_copy(original->type);
    ret->user_id = strdup(job->around->user);
    ret->timestamp = original->timestamp;
    ret->body = malloc(original->body_size + 1);
    if (!ret->body)
        log_panic("out of memory for a message of %zu bytes", original->body_size);
    memcpy(ret->body, original->body ? original->body : "", original->body_size);
    ret->body[original->body_size] = '\0';
    ret->body_size = original->body_size;
    ret->headers = kept_headers(job);
}

void job_publish_retry(struct job *job, int64_t delay_ms, bool failed)
{
    struct message message;
    copy_message(job, &message);
    int64_t real = 0;
    message.exchange = strdup(wait_exchange(delay_ms, &real));
    json_object_set_new(message.headers, HEADER_ATTEMPT, json_integer(job->command.attempt + failed));
    json_object_set_new(message.headers, HEADER_HISTORY, history_with(job, job->reason));
    job_publish(job, &message);
    message_clear(&message);
}

/* The same death of the same message has the same id, however often it is delivered; after a replay, or of other bytes, it is another death. */
static struct uuid dead_letter_id(const struct job *job, const char *body_sha256)
{
    char which[256];
    const struct message *message = &job->delivery->message;
    const char *replay = job->command.replay_of; /* checked, and from our own users only */
    int number = *replay ? (int)json_int(message->headers, HEADER_REPLAY_NUMBER, 0) : 0;
    snprintf(which, sizeof which, "%.36s:%d %d %.64s %.64s %lld", replay, number, job->command.attempt,
             job->delivery->queue, body_sha256, (long long)message->timestamp);
    if (!uuid_is_nil(job->command.id))
        return uuid_follow_up(job->command.id, "dead-letter", which);
    /* Not of the headers: the broker adds to them at each delivery. */
    char digests[3][SHA256_HEX_SIZE];
    const char *parts[] = {message->user_id, message->routing_key, message->message_id};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) /* hashed: anything may stand in them */
        sha256_hex(parts[i] ? parts[i] : "", parts[i] ? strlen(parts[i]) : 0, digests[i]);
    struct uuid sender = uuid_command(digests[0], digests[1], digests[2]);
    return uuid_follow_up(sender, "dead-letter", which);
}

/* Whatever died may carry a card number, where it should not: no further queue sees it (L11). The hash is the original's. */
static void mask_message(struct message *message, json_t *properties)
{
    mask_card_numbers(message->body, message->body_size);
    mask_card_numbers_json(properties);
    char *const texts[] = {message->message_id, message->correlation_id, message->reply_to, message->type,
                           message->content_type};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i])
            mask_card_numbers(texts[i], strlen(texts[i]));
}

void job_publish_dead(struct job *job)
{
    if (strcmp(job->delivery->queue, "acquit.dead.compensate") == 0) {
        /* The archive of the archive: there is nowhere else. It stays with the broker and is tried again, visibly. */
        log_error("a dead letter cannot be archived: %s", job->reason);
        metric_add("acquit_unarchived_total", NULL, 1);
        job->publish_failed = true;
        return;
    }
    struct message message;
    char id[UUID_TEXT_SIZE], digest[SHA256_HEX_SIZE];
    copy_message(job, &message);
    sha256_hex(message.body, message.body_size, digest);
    uuid_format(dead_letter_id(job, digest), id);
    json_t *properties = message_properties(&job->delivery->message);
    mask_message(&message, properties);
    message.exchange = strdup(EXCHANGE_DEAD);
    char *routing_key = message.routing_key;
    /* What dies while it is archived goes to the archive's own dead letters, where it stands alone. */
    bool again = strncmp(job->delivery->queue, "acquit.dead.", 12) == 0 ||
                 strcmp(job->delivery->queue, "acquit.unroutable") == 0;
    message.routing_key = strdup(again ? "acquit.compensate" : job->delivery->queue);
    json_object_set_new(message.headers, HEADER_QUEUE, json_string(job->delivery->queue));
    json_object_set_new(message.headers, HEADER_DEAD_LETTER, json_string(id));
    json_object_set_new(message.headers, HEADER_REASON, json_string(death_text(job->death)));
    mask_card_numbers(routing_key, strlen(routing_key));
    json_object_set_new(message.headers, HEADER_ROUTING_KEY, json_string(routing_key));
    json_object_set_new(message.headers, HEADER_ATTEMPT, json_integer(job->command.attempt + 1));
    json_object_set_new(message.headers, HEADER_HISTORY, history_with(job, job->reason));
    json_object_set_new(message.headers, HEADER_PROPERTIES, properties);
    json_object_set_new(message.headers, HEADER_BODY_SHA256, json_string(digest));
    free(routing_key);
    job_publish(job, &message);
    message_clear(&message);
    reply_refusal(job);
}
