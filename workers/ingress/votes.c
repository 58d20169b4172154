/* votes.c - POST /webhooks/pop: a validator's vote that came by callback (docs/provider-interfaces.md)
 *
 * The vote's own signature says whose it is, so no API key is asked for. Here it is only checked that a configured validator signed it, so
 * that nobody else fills the queue; whether it is a vote on this payment is for the worker to say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "queues/envelope.h"
#include "queues/topology.h"
#include "workers/ingress/handlers.h"
#include "workers/program.h"
#include "workers/providers/pop.h"

static const char *const type = "pop.confirm";

/* Whoever has a genuine vote can send it for ever: of the last ones that the broker took each is published once. */
enum { SEEN = 1024 };
static struct {
    uint8_t digests[SEEN][SHA256_SIZE];
    size_t next;
} seen;

static void digest_of(const json_t *vote, uint8_t ret[static SHA256_SIZE])
{
    const char *signature = json_text(vote, "signature", ""), *validator = json_text(vote, "validator", "");
    sha256_two(validator, strlen(validator), signature, strlen(signature), ret);
}

static bool was_seen(const uint8_t digest[static SHA256_SIZE])
{
    for (size_t i = 0; i < SEEN; i++)
        if (memcmp(seen.digests[i], digest, SHA256_SIZE) == 0)
            return true;
    return false;
}

/* A vote on its way to the broker. */
struct posted {
    struct request *request;
    uint8_t digest[SHA256_SIZE];
};

/* By the keys of the configuration alone, whatever the vote says of itself. */
static bool is_genuine(const struct config *config, const json_t *vote, struct err *err)
{
    struct pop_validator validators[CONFIG_VALIDATORS_MAX];
    size_t count = config_validator_count(config);
    for (size_t i = 0; i < count; i++) {
        const struct validator_config *known = config_validator(config, i);
        validators[i] = (struct pop_validator){.name = known->name};
        memcpy(validators[i].public_key, known->public_key, sizeof validators[i].public_key);
    }
    return pop_vote_author(validators, count, vote, err);
}

static void on_settled(void *arg, enum publish_outcome outcome)
{
    struct posted *posted = arg;
    if (outcome == PUBLISH_CONFIRMED) {
        memcpy(seen.digests[seen.next++ % SEEN], posted->digest, SHA256_SIZE);
        request_answer(posted->request, answer_success(202, "Vote taken", NULL));
    } else {
        request_answer(posted->request,
                       answer_failure(FAILURE_UNAVAILABLE, "the broker did not take the vote; send it again"));
    }
    free(posted);
}

/* The same vote has the same command id, however often it comes. */
static void name_command(const json_t *vote, char ret_id[static UUID_TEXT_SIZE])
{
    struct uuid payment;
    char slot[SLOT_SIZE];
    snprintf(slot, sizeof slot, "pop:vote:%s", json_text(vote, "validator", ""));
    if (uuid_parse(json_text(vote, "paymentId", ""), &payment) != 0)
        log_panic("a vote whose signature was checked names no payment");
    uuid_format(uuid_follow_up(payment, type, slot), ret_id);
}

static void publish(struct ingress *ingress, struct request *request, const json_t *body)
{
    char id[UUID_TEXT_SIZE], user[PROGRAM_USER_SIZE];
    struct err err = {0};
    name_command(json_object_get(body, "vote"), id);
    if (program_user(ingress->config, user, &err) < 0) {
        log_error("%s", err.text);
        request_answer(request, answer_failure(FAILURE_INTERNAL, "the operator finds the cause in the log"));
        return;
    }
    char *bytes = json_encode(body);
    struct message message = {
        .exchange = mem_text(EXCHANGE_IN),
        .routing_key = mem_text(type),
        .type = mem_text(type),
        .content_type = mem_text("application/json"),
        .message_id = mem_text(id),
        .user_id = mem_text(user),
        .app_id = mem_text("acquit-ingress"),
        .timestamp = clock_wall_ms() / 1000,
        .delivery_mode = 2,
        .body = bytes,
        .body_size = strlen(bytes),
    };
    struct posted *posted = mem_new(1, sizeof *posted);
    posted->request = request;
    digest_of(json_object_get(body, "vote"), posted->digest);
    if (publisher_send(ingress->publisher, &message, on_settled, posted, &err) != 0) {
        log_warn("a vote was not published: %s", err.text);
        request_answer(request, answer_failure(FAILURE_UNAVAILABLE, "the broker is away; send the vote again"));
        free(posted);
    }
    message_clear(&message);
}

void vote_receive(struct ingress *ingress, struct request *request)
{
    json_t *vote;
    uint8_t digest[SHA256_SIZE];
    struct err err = {0};
    if (!body_or_answer(request, &vote))
        return;
    json_auto_t *body = json_pack("{s:O*, s:o}", "paymentId", json_object_get(vote, "paymentId"), "vote", vote);
    struct answer refusal = check_body("pop.confirm.json", body);
    digest_of(vote, digest);
    if (refusal.status)
        request_answer(request, refusal);
    else if (!is_genuine(ingress->config, vote, &err))
        request_answer(request, answer_failure(FAILURE_SIGNATURE, "%s", err.text));
    else if (was_seen(digest))
        request_answer(request, answer_success(202, "Vote taken before", NULL));
    else
        publish(ingress, request, body);
}
