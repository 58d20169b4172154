/* compensate.c - the worker that takes in what died, undoes what may be undone, and holds the rest for a person
 *
 * It consumes every dead-letter queue and the queue of what nobody could route. Each dead letter is archived byte for byte (card numbers
 * masked, L11) with the fact `dead:<command id>:<n>`. A command that ran out of attempts before anything was decided ends its payment: `decision`=abort in
 * the same transaction. After `commit` nothing is undone by guess: it is looked at and held. Who archives takes over the duty of L4 and
 * publishes all of next. Also here: deadlines, looks, and what an operator says of a dead letter.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mutant.h"
#include "workers/steps.h"

enum { TYPE_SIZE = 48 };

/* What is known of the message that died. */
struct dead {
    struct uuid command_id; /* nil when it could not be read */
    enum death death;
    bool own_queue;       /* died in our own queue: archived, never acted upon */
    char type[TYPE_SIZE]; /* "" when it could not be read */
    char queue[64];
    char routing_key[256];
    char publisher[PUBLISHER_SIZE];
    char message_id[MESSAGE_ID_SIZE];
    int attempts;
    char *body; /* masked; lives behind this struct */
    size_t body_size;
    char body_sha256[SHA256_HEX_SIZE];
};

/* --- reading what died --- */

static const char *const dead_prefix = "acquit.dead.";

static bool is_dead_letter_queue(const char *queue)
{
    return strncmp(queue, dead_prefix, strlen(dead_prefix)) == 0 || strcmp(queue, "acquit.unroutable") == 0;
}

static enum death death_parse(const char *text)
{
#define X(id, name)                                                                                                    \
    if (strcmp(text, name) == 0)                                                                                       \
        return DEATH_##id;
    DEATHS(X)
#undef X
    return DEATH_CRASH_LOOP;
}

static void copy_text(char *to, size_t size, const char *from)
{
    message_text_cut(from ? from : "", to, size);
}

/* Published by a worker of ours: it says itself what it was. */
static void read_own_headers(struct dead *dead, const json_t *headers)
{
    dead->death = death_parse(json_text(headers, HEADER_REASON, ""));
    copy_text(dead->queue, sizeof dead->queue, json_text(headers, HEADER_QUEUE, ""));
    copy_text(dead->routing_key, sizeof dead->routing_key, json_text(headers, HEADER_ROUTING_KEY, ""));
}

/* Dead-lettered by the broker (delivery limit): the newest entry of x-death says where from. */
static void read_broker_headers(struct dead *dead, const json_t *headers)
{
    const json_t *entry = json_array_get(json_object_get(headers, "x-death"), 0);
    const json_t *key = json_array_get(json_object_get(entry, "routing-keys"), 0);
    dead->death = DEATH_CRASH_LOOP;
    copy_text(dead->queue, sizeof dead->queue, json_text(entry, "queue", ""));
    copy_text(dead->routing_key, sizeof dead->routing_key, json_is_string(key) ? json_string_value(key) : "");
}

static bool published_by_us(const struct job *job)
{
    const struct message *message = &job->delivery->message;
    return message->user_id && strcmp(message->user_id, job->around->user) == 0 &&
           json_text(message->headers, HEADER_DEAD_LETTER, NULL);
}

static void read_headers(struct job *job, struct dead *dead)
{
    const struct message *message = &job->delivery->message;
    if (strcmp(job->delivery->queue, "acquit.unroutable") == 0) {
        dead->death = DEATH_UNROUTABLE;
        copy_text(dead->queue, sizeof dead->queue, job->delivery->queue);
        copy_text(dead->routing_key, sizeof dead->routing_key, message->routing_key);
    } else if (published_by_us(job)) {
        read_own_headers(dead, message->headers);
    } else {
        read_broker_headers(dead, message->headers);
    }
    mask_card_numbers(dead->routing_key, strlen(dead->routing_key));
    dead->own_queue = strcmp(job->delivery->queue, "acquit.dead.compensate") == 0;
}

/* The command inside, read as its worker would have read it. */
static void read_command(struct job *job, struct dead *dead)
{
    struct err err = {0};
    bool readable = command_decode(job->delivery, job->around->internal_users, true, &job->command, &err) == 0;
    copy_text(dead->type, sizeof dead->type, job->command.type ? job->command.type->name : "");
    copy_text(dead->publisher, sizeof dead->publisher, job->command.publisher);
    copy_text(dead->message_id, sizeof dead->message_id, job->delivery->message.message_id);
    mask_card_numbers(dead->message_id, strlen(dead->message_id));
    dead->attempts = job->command.attempt;
    dead->command_id = readable ? job->command.id : (struct uuid){0};
    if (!readable && dead->death != DEATH_UNROUTABLE)
        dead->death = DEATH_INVALID;
    if (!readable)
        copy_text(job->reason, sizeof job->reason, err.text);
}

/* The same death has the same id however often it is delivered. */
static struct uuid dead_letter_id(const struct job *job, const struct dead *dead)
{
    struct uuid id;
    if (published_by_us(job) && uuid_parse(json_text(job->delivery->message.headers, HEADER_DEAD_LETTER, ""), &id) == 0)
        return id;
    const json_t *entry = json_array_get(json_object_get(job->delivery->message.headers, "x-death"), 0);
    char which[160];
    snprintf(which, sizeof which, "%.60s %lld %lld %.64s", dead->queue, (long long)json_int(entry, "count", 0),
             (long long)json_int(entry, "time", job->delivery->message.timestamp), dead->body_sha256);
    char digest[SHA256_HEX_SIZE]; /* hashed: anything may stand in a message id */
    sha256_hex(dead->message_id, strlen(dead->message_id), digest);
    return uuid_command("dead-letter", which, digest);
}

static struct dead *keep_body(const struct job *job)
{
    const struct message *message = &job->delivery->message;
    struct dead *dead = calloc(1, sizeof *dead + message->body_size + 1);
    if (!dead)
        log_panic("out of memory for a dead letter of %zu bytes", message->body_size);
    dead->body = (char *)(dead + 1);
    dead->body_size = message->body_size;
    memcpy(dead->body, message->body ? message->body : "", message->body_size);
    sha256_hex(dead->body, dead->body_size, dead->body_sha256);
    const char *original = published_by_us(job) ? json_text(message->headers, HEADER_BODY_SHA256, NULL) : NULL;
    if (original)
        copy_text(dead->body_sha256, sizeof dead->body_sha256, original);
    mask_card_numbers(dead->body, dead->body_size); /* L11 wins over L9; the hash of the original is kept */
    return dead;
}

/* Only a command that was really at work says something about its payment. */
static bool concerns_its_payment(const struct dead *dead)
{
    switch (dead->death) {
    case DEATH_EXHAUSTED:
    case DEATH_CRASH_LOOP:
    case DEATH_REFUSED:
    case DEATH_BROKEN:
        return true;
    case DEATH_INVALID:
    case DEATH_CONFLICT:
    case DEATH_UNKNOWN_PAYMENT:
    case DEATH_UNROUTABLE:
    case DEATH_ARCHIVED:
        return false;
    }
    return false;
}

/* --- archiving --- */

static const struct fact *own_death(const struct job *job)
{
    for (size_t i = 0; i < job->facts.count; i++)
        if (job_caused(job, &job->facts.items[i]) && slot_parse(job->facts.items[i].slot).kind == SLOT_DEAD)
            return &job->facts.items[i];
    return NULL;
}

static int next_death(const struct job *job, const char *command_id)
{
    char slot[SLOT_SIZE];
    int n = 1;
    for (;; n++) {
        snprintf(slot, sizeof slot, "dead:%s:%d", command_id, n);
        if (!facts_find(&job->facts, slot))
            return n;
    }
}

/* Another body than the one that was accepted under this key has no effect, and neither has its death (L10): replayed, it is told so. */
static bool is_another_body(const struct job *job, const struct dead *dead)
{
    return strcmp(dead->type, "payment.create") == 0 &&
           strcmp(json_text(job->payment.received->body, "sha256", ""), job->command.sha256) != 0;
}

/* The commands whose exhaustion ends an undecided payment (DESIGN section 6). */
static bool ends_payment(const struct job *job, const struct dead *dead)
{
    static const char *const types[] = {"payment.create",    "authorize.start", "authorize.resolve",
                                        "authorize.capture", "pop.validate",    "token.reserve"};
    bool tried = dead->death == DEATH_EXHAUSTED || dead->death == DEATH_CRASH_LOOP;
    if (!tried || dead->own_queue || !job->payment.received || job->payment.decision_kind != UNDECIDED ||
        is_another_body(job, dead))
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i], dead->type) == 0)
            return true;
    return false;
}

/* An activation that nobody could finish goes to the arbiter: token.release. */
static bool goes_to_arbiter(const struct job *job, const struct dead *dead)
{
    return strcmp(dead->type, "token.activate") == 0 && job->payment.captured && !dead->own_queue &&
           concerns_its_payment(dead);
}

static void add_archive(struct job *job, const struct dead *dead)
{
    const json_t *headers = job->delivery->message.headers;
    const json_t *original = published_by_us(job) ? json_object_get(headers, HEADER_PROPERTIES) : NULL;
    struct new_dead_letter *row = &job->new_dead_letter;
    memset(row, 0, sizeof *row);
    row->id = job->command.id;
    row->payment_id = uuid_equal(job->command.payment_id, job->command.id) ? (struct uuid){0} : job->command.payment_id;
    row->command_id = dead->command_id;
    row->queue = dead->queue;
    row->routing_key = dead->routing_key;
    row->type = dead->type;
    row->reason = death_text(dead->death);
    row->publisher = dead->publisher;
    row->message_id = dead->message_id;
    row->properties = original ? json_deep_copy(original) : message_properties(&job->delivery->message);
    mask_card_numbers_json(row->properties);
    row->history = job->command.history ? json_incref(job->command.history) : json_array();
    row->body = dead->body;
    row->body_size = dead->body_size;
    memcpy(row->body_sha256, dead->body_sha256, sizeof row->body_sha256);
    row->attempts = dead->attempts;
    job->has_dead_letter = true;
}

static const char *last_reason(const struct job *job)
{
    size_t count = json_array_size(job->command.history);
    const json_t *last = count ? json_array_get(job->command.history, count - 1) : NULL;
    return job->reason[0] ? job->reason : json_text(last, "reason", "");
}

static enum verdict plan_dead(struct job *job)
{
    const struct dead *dead = job->own;
    char letter[UUID_TEXT_SIZE], command[UUID_TEXT_SIZE], slot[SLOT_SIZE];
    if (own_death(job))
        return VERDICT_DONE;
    bool ends = ends_payment(job, dead) && !MUTANT(DEATH_WITHOUT_ABORT);
    uuid_format(job->command.id, letter);
    uuid_format(uuid_is_nil(dead->command_id) ? job->command.id : dead->command_id, command);
    snprintf(slot, sizeof slot, "dead:%s:%d", command, next_death(job, command));
    json_t *body = json_pack("{s:s, s:s, s:s, s:b}", "deadLetter", letter, "reason", death_text(dead->death), "message",
                             last_reason(job), "held", !ends && !goes_to_arbiter(job, dead));
    job_fact(job, slot, NULL, dead->type[0] ? dead->type : "unreadable", body);
    if (ends)
        job_fact(job, "decision", slot, "abort",
                 abort_body("DEAD_LETTERED", death_text(dead->death), dead->type)); /* L7 */
    add_archive(job, dead);
    return VERDICT_CALL;
}

static enum verdict call_dead(struct job *job)
{
    return own_death(job) ? VERDICT_DONE : VERDICT_AGAIN; /* another death of the same command took this number */
}

static const struct step dead_letter = {
    .command = "dead-letter", .plan = plan_dead, .call = call_dead, .looks_at_all = true};
/* Died in our own queue: what follows from it is a person's to say. */
static const struct step own_dead_letter = {.command = "dead-letter", .plan = plan_dead, .call = call_dead};

static const struct step *adopt(struct job *job)
{
    if (!is_dead_letter_queue(job->delivery->queue))
        return NULL;
    struct dead *dead = keep_body(job);
    job->own = dead;
    read_headers(job, dead);
    read_command(job, dead);
    struct uuid payment = job->command.payment_id;
    job->command.id = dead_letter_id(job, dead);
    bool concerns = concerns_its_payment(dead) && !dead->own_queue && !uuid_is_nil(payment);
    job->command.payment_id = concerns ? payment : job->command.id;
    job->command.type = NULL; /* it is no command any more */
    return dead->own_queue || MUTANT(ARCHIVED_UNSAID) ? &own_dead_letter : &dead_letter;
}

/* --- deadlines, looks, undoing by hand --- */

static enum verdict abort_undecided(struct job *job, const char *reason, const char *message)
{
    if (!job->payment.received || job->payment.decision_kind != UNDECIDED)
        return VERDICT_DONE;
    job_fact(job, "decision", NULL, "abort", abort_body(reason, "", message)); /* L7 */
    return VERDICT_DONE;
}

static enum verdict plan_expire(struct job *job)
{
    return abort_undecided(job, "EXPIRED", "the payment's deadline has passed");
}

static enum verdict plan_compensate(struct job *job)
{
    return abort_undecided(job, "DEAD_LETTERED", json_text(job->command.body, "reason", ""));
}

static enum verdict plan_look(struct job *job)
{
    (void)job;
    return VERDICT_DONE;
}

/* --- an operator's word on a dead letter: send it again, or nobody will --- */

static void word_slot(const struct job *job, char ret[static SLOT_SIZE])
{
    snprintf(ret, SLOT_SIZE, "replay:%s:%d", json_text(job->command.body, "deadLetterId", ""),
             (int)json_int(job->command.body, "n", 1));
}

/* The archived message, or NULL with the verdict that follows. */
static json_t *archived(struct job *job, enum verdict *ret)
{
    struct uuid id;
    struct err err = {0};
    *ret = VERDICT_DEAD;
    if (uuid_parse(json_text(job->command.body, "deadLetterId", ""), &id) != 0) {
        job_dead(job, DEATH_INVALID, "deadLetterId: is no UUID");
        return NULL;
    }
    json_t *letter = read_dead_letter(job->around->reader, id, &err);
    if (!letter)
        *ret = err.code == ERR_NOT_FOUND ? job_dead(job, DEATH_INVALID, "deadLetterId: no such dead letter")
                                         : job_retry(job, "%s", err.text);
    return letter;
}

/* An internal command that a stranger wrote must not be sent again under our name. */
static bool was_ours(const struct job *job, const json_t *letter)
{
    const char *publisher = json_text(letter, "publisher", "");
    for (const char *const *user = job->around->internal_users; *user; user++)
        if (strcmp(*user, publisher) == 0)
            return true;
    return false;
}

static enum verdict check_replayable(struct job *job, const json_t *letter)
{
    const struct command_type *type = command_type_find(json_text(letter, "type", ""));
    if (type && !type->is_public && !type->by_ingress && !was_ours(job, letter))
        return job_dead(job, DEATH_INVALID, "deadLetterId: an internal command that no user of ours published");
    if (!type)
        return job_dead(job, DEATH_INVALID,
                        "deadLetterId: its message cannot be read; publish a corrected one instead");
    if (json_text(letter, "bodyEncoding", NULL))
        return job_dead(job, DEATH_INVALID, "deadLetterId: its body is no text; publish a corrected message instead");
    const char *body = json_text(letter, "body", "");
    char digest[SHA256_HEX_SIZE];
    sha256_hex(body, strlen(body), digest);
    if (strcmp(digest, json_text(letter, "bodySha256", digest)) != 0)
        return job_dead(job, DEATH_INVALID,
                        "deadLetterId: its body carried a card number and was masked; it cannot be sent again");
    return VERDICT_CALL;
}

/* A person's word on a dead letter: its n-th, whatever it says. */
static enum verdict plan_word(struct job *job, enum verdict (*check)(struct job *job, const json_t *letter),
                              const char *outcome)
{
    char slot[SLOT_SIZE];
    enum verdict verdict;
    json_auto_t *letter = archived(job, &verdict);
    if (!letter)
        return verdict;
    struct uuid stands = {0};
    if (uuid_parse(json_text(letter, "paymentId", json_text(letter, "id", "")), &stands) == 0 &&
        !uuid_equal(stands, job->command.payment_id)) {
        job->command.payment_id = stands; /* the letter knows where its facts stand */
        return VERDICT_AGAIN;
    }
    word_slot(job, slot);
    const struct fact *word = facts_find(&job->facts, slot);
    if (word)
        return job_caused(job, word) ? VERDICT_CALL : VERDICT_DONE;
    verdict = check ? check(job, letter) : VERDICT_CALL;
    if (verdict != VERDICT_CALL)
        return verdict;
    struct new_fact *fact =
        job_fact(job, slot, NULL, outcome, json_pack("{s:s}", "reason", json_text(job->command.body, "reason", "")));
    snprintf(fact->actor, sizeof fact->actor, "%s", json_text(job->command.body, "actor", job->around->user));
    return VERDICT_CALL;
}

static enum verdict plan_replay(struct job *job)
{
    return plan_word(job, check_replayable, "replayed");
}

static enum verdict plan_discard(struct job *job)
{
    return plan_word(job, NULL, "discarded");
}

/* A clean message with the same command id: whatever is done already stays done. */
static void publish_replay(struct job *job, const json_t *letter)
{
    const char *type = json_text(letter, "type", ""), *body = json_text(letter, "body", ""),
               *id = json_text(letter, "messageId", "");
    struct message message = {
        .exchange = strdup(EXCHANGE_COMMANDS),
        .routing_key = strdup(type),
        .type = strdup(type),
        .content_type = strdup("application/json"),
        .message_id = strdup(id),
        .user_id = strdup(job->around->user),
        .headers = json_pack("{s:s, s:s, s:I}", HEADER_PUBLISHER, json_text(letter, "publisher", ""), HEADER_REPLAY,
                             json_text(letter, "id", ""), HEADER_REPLAY_NUMBER,
                             (json_int_t)json_int(job->command.body, "n", 1)),
        .body = strdup(body),
        .body_size = strlen(body),
    };
    job_publish(job, &message);
    message_clear(&message);
}

static enum verdict call_replay(struct job *job)
{
    char slot[SLOT_SIZE];
    enum verdict verdict;
    word_slot(job, slot);
    if (!job_caused(job, facts_find(&job->facts, slot)))
        return VERDICT_DONE; /* another operator has this number */
    json_auto_t *letter = archived(job, &verdict);
    if (!letter)
        return verdict;
    publish_replay(job, letter);
    return VERDICT_DONE;
}

static const struct step steps[] = {
    {.command = "payment.expire", .plan = plan_expire},
    {.command = "payment.compensate", .plan = plan_compensate},
    {.command = "payment.look", .plan = plan_look, .looks_at_all = true},
    {.command = "deadletter.replay", .plan = plan_replay, .call = call_replay},
    {.command = "deadletter.discard", .plan = plan_discard},
    {0},
};

const struct worker_type worker_compensate = {.name = "compensate", .steps = steps, .adopt = adopt};
