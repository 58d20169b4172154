/* fuzz_ingress.c - any request through the HTTP interface, from its head to its answer, without network, broker or ledger
 *
 * Fields: method, path, then headers and parameters ("-": absent): Authorization, Content-Type, Idempotency-Key, Prefer,
 * wait_ms, limit, cursor, state, currency, gateway, from, to, traceparent; what becomes of a submission (0: accepted, 1: the key was used
 * for another body, 2: unavailable, 3: settled); the rest is the body. Server, submitter and ledger are those below.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/pan.h"
#include "ledger/projection.h"
#include "ledger/read.h"
#include "queues/envelope.h"
#include "queues/topology.h"
#include "tests/fuzz/input.h"
#include "workers/ingress/handlers.h"
#include "workers/ingress/params.h"
#include "workers/ingress/submit.h"

static const char PAYMENT[] = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f";

/* --- the server --- */

struct request {
    const char *method, *path, *body;
    size_t body_size;
    struct {
        const char *name, *value;
    } headers[5], query[8];
    int64_t fate;
    void *own;
    int answers, status;
};

static const char *find(const char *name, const void *pairs)
{
    const struct {
        const char *name, *value;
    } *pair = pairs;
    for (size_t i = 0; i < 5; i++)
        if (pair[i].name && strcmp(pair[i].name, name) == 0)
            return pair[i].value;
    return NULL;
}

const char *request_method(const struct request *request)
{
    return request->method;
}
const char *request_path(const struct request *request)
{
    return request->path;
}
const char *request_header(const struct request *request, const char *name)
{
    return find(name, request->headers);
}
const char *request_query(const struct request *request, const char *name)
{
    return find(name, request->query);
}
const char *request_body(const struct request *request, size_t *ret_size)
{
    *ret_size = request->body_size;
    return request->body;
}
int64_t request_started_ms(const struct request *request)
{
    (void)request;
    return clock_monotonic_ms();
}
void request_set_own(struct request *request, void *own)
{
    request->own = own;
}
void *request_own(const struct request *request)
{
    return request->own;
}
size_t server_requests(const struct server *server)
{
    (void)server;
    return 1;
}

static void check_failure(const struct answer *answer)
{
    const char *code = json_text(answer->json, "error", "");
    bool known = false;
    for (int i = 0; i < FAILURE_COUNT; i++)
        known |= strcmp(failure_kind((enum failure)i)->code, code) == 0 &&
                 failure_kind((enum failure)i)->status == answer->status;
    MUST(known && *json_text(answer->json, "message", "") && answer->status < 500 + 4);
}

void request_answer(struct request *request, struct answer answer)
{
    MUST(request->answers++ == 0 && answer.status >= 200 && answer.status <= 503);
    char *text = answer.json ? json_encode(answer.json) : mem_text("");
    MUST(text && (answer.json || answer.text));
    if (answer.status >= 400)
        check_failure(&answer);
    for (size_t i = 0; i < answer.header_count; i++)
        MUST(is_clean(answer.headers[i].value, ANSWER_VALUE_SIZE)); /* no header can be smuggled in */
    request->status = answer.status;
    free(text);
    answer_clear(&answer);
}

/* --- the submitter --- */

static void check_submission(const struct submission *submission)
{
    char field[65];
    const struct command_type *type = command_type_find(submission->kind->type);
    MUST(type && type->is_public && schema_check(type->schema, submission->body, NULL, NULL) == 0);
    MUST(!carries_card_number(submission->body, field, sizeof field)); /* L11 */
    MUST(is_clean(submission->key, KEY_SIZE) && *submission->key &&
         pan_count(submission->key, strlen(submission->key)) == 0);
    MUST(submission->wait_ms >= 0 && submission->wait_ms <= 10000 && !uuid_is_nil(submission->payment_id));
}

static void settle(struct submission *submission)
{
    struct err err = {0};
    struct facts facts = {0};
    struct payment payment;
    MUST(read_facts(NULL, &submission->payment_id, 1, &facts, &err) == 0 && saga_fold(&facts, &payment, &err) == 0);
    if (payment.received && submission->kind->settled(submission, &payment))
        submission_settle(submission, &facts, &payment);
    else
        submission_pending(submission, payment.received ? &facts : NULL, payment.received ? &payment : NULL);
    payment_clear(&payment);
    facts_clear(&facts);
}

void submit(struct submitter *submitter, struct submission *submission)
{
    (void)submitter;
    check_submission(submission);
    switch (submission->request->fate) {
    case 0:
        submission_pending(submission, NULL, NULL);
        return;
    case 1:
        submission_conflict(submission);
        return;
    case 2:
        submission_unavailable(submission, "the broker is away");
        return;
    default:
        settle(submission);
        return;
    }
}

/* --- the ledger: one payment of shop's --- */

static struct fact fact(const char *slot, const char *outcome, json_t *body, int64_t seq)
{
    struct fact ret = {
        .seq = seq, .at_ms = 1795168800000, .cause = uuid_command("fuzz", "ingress", slot), .body = body};
    MUST(body);
    strncpy(ret.slot, slot, SLOT_SIZE - 1);
    strncpy(ret.outcome, outcome, OUTCOME_SIZE - 1);
    return ret;
}

int read_facts(struct db *db, const struct uuid *ids, size_t count, struct facts *ret, struct err *err)
{
    struct uuid known;
    (void)db;
    (void)err;
    MUST(uuid_parse(PAYMENT, &known) == 0);
    for (size_t i = 0; i < count; i++) {
        ret[i] = (struct facts){.payment_id = ids[i]};
        if (!uuid_equal(ids[i], known))
            continue;
        struct fact facts[] = {
            fact("received", "accepted",
                 json_pack("{s:s,s:i,s:s,s:s,s:s,s:[s]}", "flow", "plain", "amount", 2500, "currency", "EUR",
                           "publisher", "shop", "messageId", "k-1", "channels", "webhook"),
                 1),
            fact("auth:1", "intent", json_pack("{s:s}", "provider", "simulated"), 2),
            fact("auth:1:result", "approved", json_pack("{s:s}", "provider", "simulated"), 3),
            fact("decision", "commit:1", json_object(), 4),
            fact("capture", "captured", json_pack("{s:i}", "amount", 2500), 5),
            fact("refund:1", "accepted", json_pack("{s:i}", "amount", 500), 6),
        };
        ret[i].count = sizeof facts / sizeof facts[0];
        ret[i].items = mem_new(ret[i].count, sizeof *ret[i].items);
        memcpy(ret[i].items, facts, sizeof facts);
    }
    return 0;
}

int read_payment_ids(struct db *db, int64_t before_seq, int limit, struct uuid *ret_ids, int64_t *ret_seqs,
                     struct err *err)
{
    (void)db;
    (void)err;
    MUST(limit >= 1 && limit <= READ_PAGE_MAX && before_seq >= 0);
    MUST(uuid_parse(PAYMENT, ret_ids) == 0);
    *ret_seqs = 1;
    return 1;
}

int read_publisher(struct db *db, struct uuid payment, char ret[static PUBLISHER_SIZE], struct err *err)
{
    (void)db;
    (void)payment;
    (void)err;
    snprintf(ret, PUBLISHER_SIZE, "shop");
    return 0;
}

json_t *projection_list(struct db *db, const struct projection_filter *filter, struct err *err)
{
    (void)db;
    (void)err;
    MUST(filter->limit >= 2 && filter->limit <= PROJECTION_LIST_MAX + 1 && strcmp(filter->publisher, "shop") == 0);
    MUST(filter->before_seq >= 0 && filter->before_ms >= 0);
    return json_pack("[{s:s, s:i, s:s, s:i, s:s, s:s, s:i, s:i, s:i}]", "paymentId", PAYMENT, "seq", 1, "status",
                     "completed", "amount", 2500, "currency", "EUR", "flow", "plain", "refundedAmount", 0,
                     "createdAtMs", 1, "updatedAtMs", 2);
}

json_t *read_personal(struct db *db, struct uuid payment, struct err *err)
{
    (void)db;
    (void)payment;
    (void)err;
    return json_pack("{s:s}", "customerEmail", "a@example.org");
}

int read_refund(struct db *db, struct uuid refund_command, struct uuid *ret_payment, struct err *err)
{
    (void)db;
    if (!uuid_equal(refund_command, uuid_command("fuzz", "ingress", "refund:1")))
        return err_set(err, ERR_NOT_FOUND, "no such refund");
    return uuid_parse(PAYMENT, ret_payment);
}

/* --- the target --- */

/* SHA-256 of "key" */
static const char CONFIG[] = "publishers = ( { name = \"shop\"; api_key_sha256 = "
                             "\"2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683\"; } );\n";

static struct ingress *make_ingress(void)
{
    char path[] = "/tmp/acquit-fuzz-ingress-XXXXXX";
    struct err err = {0};
    int fd = mkstemp(path);
    MUST(fd >= 0 && write(fd, CONFIG, sizeof CONFIG - 1) == (ssize_t)(sizeof CONFIG - 1) && close(fd) == 0);
    MUST(setenv("ACQUIT_BROKER_URL", "amqp://u:p@127.0.0.1/acquit", 1) == 0 &&
         setenv("ACQUIT_LEDGER_URL", "postgresql:///acquit", 1) == 0);
    struct ingress *ingress = mem_new(1, sizeof *ingress);
    ingress->config = config_load(path, &err);
    unlink(path);
    MUST(ingress->config);
    ingress->auth = auth_new(ingress->config, &err);
    MUST(ingress->auth);
    ingress->recent = recent_new();
    log_open("fuzz", LOG_ERROR_LEVEL);
    return ingress;
}

/* Those that ask broker and database whether they are well cannot be answered here. */
static bool asks_services(const struct request *request)
{
    const struct visit *visit = visit_of(request);
    enum endpoint endpoint = visit->match.route->endpoint;
    return endpoint == ENDPOINT_HEALTH || endpoint == ENDPOINT_HEALTH_DATABASE ||
           endpoint == ENDPOINT_HEALTH_GATEWAYS || endpoint == ENDPOINT_HEALTH_DETAILED;
}

static struct request read_request(struct input *input)
{
    static const char *const headers[] = {"Authorization", "Content-Type", "Idempotency-Key", "Prefer"};
    static const char *const query[] = {"wait_ms", "limit", "cursor", "state", "currency", "gateway", "from", "to"};
    struct request request = {.method = input_line(input), .path = input_line(input)};
    for (size_t i = 0; i < 4; i++) {
        request.headers[i].name = headers[i];
        request.headers[i].value = input_optional(input);
    }
    for (size_t i = 0; i < sizeof query / sizeof query[0]; i++) {
        request.query[i].name = query[i];
        request.query[i].value = input_optional(input);
    }
    request.headers[4].name = "traceparent";
    request.headers[4].value = input_optional(input);
    (void)params_traceparent(request.headers[4].value);
    request.fate = input_number(input, 0, 3);
    request.body = input_rest(input, &request.body_size);
    return request;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ingress *ingress;
    if (!ingress)
        ingress = make_ingress();
    struct input input = input_begin(data, size);
    struct request request = read_request(&input);
    ingress_on_head(ingress, &request);
    if (request.answers == 0 && !asks_services(&request)) {
        ingress_on_request(ingress, &request);
        MUST(request.answers == 1);
    }
    ingress_on_done(ingress, &request, request.status);
    free(request.own);
    input_end(&input);
    return 0;
}
