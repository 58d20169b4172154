/* ledger_fill.c - a large ledger for measurements: payments as the farm writes them, through store_append, sealed by the sealer
 *
 *     build/bench/ledger_fill [options] CONNECTION
 *
 *     --payments N    how many (1000)
 *     --first N       number of the first one (0); a number that is in the ledger already is an error
 *     --batch N       payments of one append (64, at most 256): a payment's facts stand in five appends, among those of its batch
 *     --jobs N        processes that append side by side (2)
 *     --merchants N   accounts payable:<merchant> they are spread over (50)
 *     --key FILE      seal afterwards, with this private key (acquit ledger keygen)
 *     --origin NAME   the log's name (acquit.bench/ledger)
 *     --heads DIR     write each head to DIR/<height>.head
 *
 * CONNECTION is libpq's, of a role that may write ledger.event and, to seal, ledger.seal (the owner may both). Each payment is `plain` and
 * complete: 6 facts (received, auth:1, auth:1:result, decision, capture, notice), 3 transfers (hold, post, commission), 1 command. Its id and
 * its content follow from its number. `acquit ledger verify` finds nothing wrong with it. Prints what it did; exit 1 when it could not.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/mem.h"
#include "ledger/seal.h"
#include "ledger/store.h"

enum {
    TIMEOUT_MS = 120000,
    FACTS_MAX = 2, /* of one payment in one append */
    TRANSFERS_MAX = 2,
    ATTEMPTS_MAX = 20, /* of one append that may be run again */
    JOBS_MAX = 64,
    MERCHANTS_MAX = 1000000,
    COMMISSION_PPM = 25000,
    KEY_TEXT_MAX = 128,
    PATH_SIZE = 4096,
};

static struct {
    int64_t payments, first, batch, jobs, merchants;
    const char *key, *origin, *heads, *url;
} options = {.payments = 1000, .batch = 64, .jobs = 2, .merchants = 50, .origin = "acquit.bench/ledger"};

/* One payment, as its number says. */
struct made {
    struct uuid id, create, capture, notice;
    char message[MESSAGE_ID_SIZE], sha256[SHA256_HEX_SIZE], merchant[32], key[64], reference[40];
    int64_t amount, commission;
};

static struct made make(int64_t number)
{
    struct made m = {.amount = 100 + number * 7919 % 50000};
    char digest[SHA256_HEX_SIZE], id[UUID_TEXT_SIZE];
    m.commission = m.amount * COMMISSION_PPM / 1000000;
    snprintf(m.message, sizeof m.message, "fill-%012" PRId64, number);
    sha256_hex(m.message, strlen(m.message), m.sha256);
    snprintf(m.merchant, sizeof m.merchant, "shop%" PRId64, number % options.merchants);
    m.id = uuid_payment("shop", m.message);
    m.create = uuid_command("payment.create", "shop", m.message);
    m.capture = uuid_follow_up(m.id, "authorize.capture", "capture");
    m.notice = uuid_follow_up(m.id, "notify.send", "notice:payment.completed:webhook");
    uuid_format(m.id, id);
    snprintf(m.key, sizeof m.key, "%s:auth:1", id);
    sha256_hex(m.key, strlen(m.key), digest);
    snprintf(m.reference, sizeof m.reference, "sim_pay_%.24s", digest);
    return m;
}

/* --- the five appends of a payment --- */

struct batch {
    struct new_fact *facts;
    struct new_transfer *transfers;
    struct new_command *commands;
    struct append append;
};

static json_t *packed(json_t *value)
{
    if (!value)
        log_panic("a body cannot be made");
    return value;
}

static struct new_fact *add_fact(struct batch *batch, const struct made *m, const char *slot, const char *outcome,
                                 struct uuid cause, json_t *body)
{
    struct new_fact *fact = &batch->facts[batch->append.fact_count++];
    *fact = (struct new_fact){.payment_id = m->id, .cause = cause, .body = packed(body)};
    snprintf(fact->slot, sizeof fact->slot, "%s", slot);
    snprintf(fact->outcome, sizeof fact->outcome, "%s", outcome);
    snprintf(fact->actor, sizeof fact->actor, "%s", uuid_equal(cause, m->create) ? "shop" : "acquit-worker");
    return fact;
}

static void add_transfer(struct batch *batch, const struct made *m, const struct new_transfer *transfer)
{
    struct new_transfer *t = &batch->transfers[batch->append.transfer_count++];
    *t = *transfer;
    t->payment_id = m->id;
    memcpy(t->currency, "EUR", sizeof t->currency);
}

/* What a call of a provider leaves (docs/architecture.md). */
static json_t *evidence_of(const struct made *m, const char *call)
{
    char text[256], request[SHA256_HEX_SIZE], answer[SHA256_HEX_SIZE];
    snprintf(text, sizeof text, "%s %s", call, m->key);
    sha256_hex(text, strlen(text), request);
    sha256_hex(request, strlen(request), answer);
    return json_pack("{s:s, s:i, s:s, s:s, s:s, s:s}", "sentAt", "2026-11-20T10:00:00.663Z", "status", 200, "requestId",
                     "", "answeredAt", "2026-11-20T10:00:00.679Z", "answerSha256", answer, "requestSha256", request);
}

static void receive(struct batch *batch, const struct made *m)
{
    struct new_command *command = &batch->commands[batch->append.command_count++];
    *command =
        (struct new_command){.id = m->create, .payment_id = m->id, .publisher = "shop", .type = "payment.create"};
    snprintf(command->message_id, sizeof command->message_id, "%s", m->message);
    memcpy(command->sha256, m->sha256, sizeof command->sha256);
    struct new_fact *received =
        add_fact(batch, m, "received", "accepted", m->create,
                 json_pack("{s:s, s:I, s:[s], s:s, s:[s], s:s, s:s, s:I, s:s, s:s, s:s, s:i, s:s}", "flow", "plain",
                           "amount", (json_int_t)m->amount, "routes", "simulated", "sha256", m->sha256, "channels",
                           "webhook", "currency", "EUR", "merchant", m->merchant, "expiresAt",
                           (json_int_t)1795833119659, "messageId", m->message, "publisher", "shop", "paymentToken",
                           "tok_visa", "commissionPpm", COMMISSION_PPM, "paymentMethod", "card"));
    received->command = m->create;
    memcpy(received->command_sha256, m->sha256, sizeof received->command_sha256);
    struct new_fact *intent = add_fact(
        batch, m, "auth:1", "intent", m->create,
        json_pack("{s:s, s:s, s:I}", "key", m->key, "provider", "simulated", "sendUntil", (json_int_t)1795832222659));
    memcpy(intent->with, "received", sizeof "received");
}

static void authorize(struct batch *batch, const struct made *m)
{
    struct new_transfer hold = {
        .slot = "auth:1:result", .leg = 1, .kind = "hold", .debit = "receivable:simulated", .amount = m->amount};
    snprintf(hold.credit, sizeof hold.credit, "payable:%s", m->merchant);
    add_fact(batch, m, "auth:1:result", "approved", m->create,
             json_pack("{s:s, s:s, s:o, s:s, s:s}", "code", "", "message", "", "evidence", evidence_of(m, "authorize"),
                       "provider", "simulated", "reference", m->reference));
    add_transfer(batch, m, &hold);
}

static void decide(struct batch *batch, const struct made *m)
{
    char key[64];
    snprintf(key, sizeof key, "%.36s:capture", m->key);
    add_fact(batch, m, "decision", "commit:1", m->capture,
             json_pack("{s:s, s:s, s:I}", "key", key, "provider", "simulated", "sendUntil", (json_int_t)1795918619688));
}

static void capture(struct batch *batch, const struct made *m)
{
    struct new_transfer post = {.slot = "capture",
                                .leg = 1,
                                .kind = "post",
                                .pending_of = "auth:1:result",
                                .debit = "receivable:simulated",
                                .amount = m->amount};
    struct new_transfer commission = {
        .slot = "capture", .leg = 2, .kind = "transfer", .credit = "commission", .amount = m->commission};
    snprintf(post.credit, sizeof post.credit, "payable:%s", m->merchant);
    memcpy(commission.debit, post.credit, sizeof commission.debit);
    add_fact(batch, m, "capture", "captured", m->capture,
             json_pack("{s:s, s:I, s:s, s:o, s:s, s:s}", "code", "", "amount", (json_int_t)m->amount, "message", "",
                       "evidence", evidence_of(m, "capture"), "provider", "simulated", "reference", m->reference));
    add_transfer(batch, m, &post);
    add_transfer(batch, m, &commission);
}

static void tell(struct batch *batch, const struct made *m)
{
    add_fact(batch, m, "notice:payment.completed:webhook", "delivered", m->notice,
             json_pack("{s:o}", "evidence", evidence_of(m, "notice")));
}

static void (*const steps[])(struct batch *batch, const struct made *m) = {receive, authorize, decide, capture, tell};

/* --- appending --- */

static int append_again(struct store *store, struct append *append, struct err *err)
{
    int r = -1;
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        *err = (struct err){0};
        r = store_append(store, append, err);
        if (r == 0 || err->code != ERR_AGAIN)
            return r;
    }
    return r;
}

static int append_step(struct store *store, struct batch *batch, struct err *err)
{
    int r = append_again(store, &batch->append, err);
    for (size_t i = 0; i < batch->append.fact_count; i++) {
        if (r == 0 && !batch->facts[i].won)
            r = err_set(err, ERR_CONFLICT, "%s is in the ledger already; begin behind it with --first",
                        batch->facts[i].slot);
        json_decref(batch->facts[i].body);
    }
    return r;
}

static int append_batch(struct store *store, struct batch *batch, int64_t first, int64_t count, struct err *err)
{
    struct made *payments = mem_new((size_t)count, sizeof *payments);
    int r = 0;
    for (int64_t i = 0; i < count; i++)
        payments[i] = make(first + i);
    for (size_t step = 0; r == 0 && step < sizeof steps / sizeof steps[0]; step++) {
        batch->append =
            (struct append){.facts = batch->facts, .transfers = batch->transfers, .commands = batch->commands};
        for (int64_t i = 0; i < count; i++)
            steps[step](batch, &payments[i]);
        r = append_step(store, batch, err);
    }
    free(payments);
    return r;
}

static int append_payments(int64_t first, int64_t end, struct err *err)
{
    const struct db_options database = {
        .url = options.url, .application = "ledger_fill", .timeout_ms = TIMEOUT_MS, .read_only = false};
    size_t most = (size_t)options.batch;
    struct store *store = store_new(&database, err);
    struct batch batch = {.facts = mem_new(FACTS_MAX * most, sizeof *batch.facts),
                          .transfers = mem_new(TRANSFERS_MAX * most, sizeof *batch.transfers),
                          .commands = mem_new(most, sizeof *batch.commands)};
    int r = store ? 0 : -1;
    for (; r == 0 && first < end; first += options.batch)
        r = append_batch(store, &batch, first, end - first < options.batch ? end - first : options.batch, err);
    free(batch.facts);
    free(batch.transfers);
    free(batch.commands);
    store_free(store);
    return r;
}

/* Each process appends its share. 0 when all could. */
static int append_all(void)
{
    int failed = 0, status;
    fflush(NULL);
    for (int64_t job = 0; job < options.jobs; job++) {
        pid_t pid = fork();
        if (pid < 0)
            log_panic("fork: %s", strerror(errno));
        if (pid == 0) {
            struct err err = {0};
            int r = append_payments(options.first + options.payments * job / options.jobs,
                                    options.first + options.payments * (job + 1) / options.jobs, &err);
            if (r != 0)
                fprintf(stderr, "ledger_fill: %s\n", err.text);
            _exit(r != 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        }
    }
    for (int64_t job = 0; job < options.jobs; job++)
        failed |= wait(&status) < 0 || status != 0;
    return failed ? -1 : 0;
}

/* --- sealing --- */

static int read_key(uint8_t ret[static ED25519_KEY_SIZE], struct err *err)
{
    char text[KEY_TEXT_MAX] = "";
    size_t size = 0;
    FILE *file = fopen(options.key, "re");
    bool good = file && fgets(text, sizeof text, file);
    if (file)
        fclose(file);
    text[strcspn(text, "\n")] = '\0';
    good = good && base64_decode(text, ret, ED25519_KEY_SIZE, &size) == 0 && size == ED25519_KEY_SIZE;
    return good ? 0 : err_set(err, ERR_INVALID, "%s holds no private key", options.key);
}

static void keep_head(void *arg, const char *head, int64_t height)
{
    char path[PATH_SIZE];
    (void)arg;
    if (!options.heads)
        return;
    snprintf(path, sizeof path, "%s/%012" PRId64 ".head", options.heads, height);
    FILE *file = fopen(path, "we");
    if (!file || fputs(head, file) < 0 || fclose(file) != 0)
        log_panic("%s: %s", path, strerror(errno));
}

/* How many facts; -1 with an error. */
static int64_t seal_all(struct err *err)
{
    const struct db_options database = {
        .url = options.url, .application = "ledger_fill", .timeout_ms = TIMEOUT_MS, .read_only = false};
    uint8_t key[ED25519_KEY_SIZE];
    int64_t count = 0;
    if (read_key(key, err) != 0)
        return -1;
    struct db *db = db_new(&database, err);
    const struct sealer_options sealing = {.db = db, .origin = options.origin, .private_key = key, .sealed = keep_head};
    struct sealer *sealer = db ? sealer_new(&sealing, err) : NULL;
    int r = sealer ? 1 : -1;
    while (r > 0) {
        r = sealer_run(sealer, err);
        count += r > 0 ? r : 0;
    }
    sealer_free(sealer);
    db_free(db);
    return r < 0 ? -1 : count;
}

/* --- the command line --- */

static int number(const char *text, int64_t least, int64_t most, int64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return errno || end == text || *end || *ret < least || *ret > most ? -1 : 0;
}

static int read_option(int option)
{
    switch (option) {
    case 'n':
        return number(optarg, 0, INT64_MAX / 2, &options.payments);
    case 'f':
        return number(optarg, 0, INT64_MAX / 2, &options.first);
    case 'b':
        return number(optarg, 1, STORE_PAYMENTS_MAX, &options.batch);
    case 'j':
        return number(optarg, 1, JOBS_MAX, &options.jobs);
    case 'm':
        return number(optarg, 1, MERCHANTS_MAX, &options.merchants);
    case 'k':
        options.key = optarg;
        return 0;
    case 'o':
        options.origin = optarg;
        return 0;
    case 'h':
        options.heads = optarg;
        return 0;
    default:
        return -1;
    }
}

static int read_options(int argc, char *argv[])
{
    static const struct option known[] = {{"payments", required_argument, NULL, 'n'},
                                          {"first", required_argument, NULL, 'f'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"merchants", required_argument, NULL, 'm'},
                                          {"key", required_argument, NULL, 'k'},
                                          {"origin", required_argument, NULL, 'o'},
                                          {"heads", required_argument, NULL, 'h'},
                                          {0}};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;)
        if (read_option(option) != 0)
            return -1;
    options.url = optind == argc - 1 ? argv[optind] : NULL;
    return options.url ? 0 : -1;
}

static double seconds_since(int64_t start_ms)
{
    return (double)(clock_monotonic_ms() - start_ms) / 1000;
}

int main(int argc, char *argv[])
{
    struct err err = {0};
    if (read_options(argc, argv) != 0) {
        fputs("usage: ledger_fill [--payments N] [--first N] [--batch N] [--jobs N] [--merchants N]"
              " [--key FILE [--origin NAME] [--heads DIR]] CONNECTION\n",
              stderr);
        return 2;
    }
    int64_t start_ms = clock_monotonic_ms();
    if (append_all() != 0)
        return 1;
    printf("%" PRId64 " payments in %.1f s\n", options.payments, seconds_since(start_ms));
    start_ms = clock_monotonic_ms();
    int64_t sealed = options.key ? seal_all(&err) : 0;
    if (sealed < 0) {
        fprintf(stderr, "ledger_fill: %s\n", err.text);
        return 1;
    }
    if (options.key)
        printf("%" PRId64 " facts sealed in %.1f s\n", sealed, seconds_since(start_ms));
    return 0;
}
