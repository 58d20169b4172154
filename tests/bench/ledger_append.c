/* ledger_append.c - how fast transfers are appended: by store_append, and by plain INSERTs of the same rows
 *
 *     build/bench/ledger_append [--raw] [--jobs N] [--batch N] [--merchants N] [--seconds N] CONNECTION
 *
 *     --raw          insert into schema raw by multi-row INSERT ... VALUES, prepared: tables with the columns, checks and
 *                    keys of schema ledger and none of its triggers; nothing is looked up, nothing may be there already
 *     --jobs N       processes that append side by side (2)
 *     --batch N      payments of one append (64, as worker.batch; at most 256)
 *     --merchants N  accounts payable:<merchant> that transfers are spread over (1000)
 *     --seconds N    how long (5)
 *
 * Each batch is two transactions, as a worker's deliveries write them: auth:1:result=approved with its hold, then
 * capture=captured with its post and the commission. Two facts and three transfers a payment, and its row in
 * ledger.payment; ids are random. Prints one line of JSON; deadlocks and other answers that say "again" are counted and
 * run again. Exit 1 when something else went wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "ledger/store.h"

enum {
    TIMEOUT_MS = 30000,
    JOBS_MAX = 64,
    AMOUNT_MAX = 50000,
    COMMISSION_PPM = 25000,
    SQL_PER_VALUE = 24, /* bytes of "$12345::uuid," and the like */
};

static struct {
    int64_t jobs, batch, merchants, seconds;
    bool raw;
    const char *url;
} options = {.jobs = 2, .batch = 64, .merchants = 1000, .seconds = 5};

/* What a process counts; shared with the one that sums up. */
struct counts {
    int64_t payments, transfers, again, deadlocks, began_ms, ended_ms;
};

/* --- what is appended --- */

struct content {
    size_t payments;
    struct uuid *ids;
    struct new_fact *facts; /* one a payment */
    struct new_transfer *transfers;
    json_t *bodies[2]; /* of a hold, of a capture */
};

static json_t *evidence(const char *reference)
{
    static const char hash[] = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    json_t *body = json_pack("{s:s, s:s, s:I, s:{s:s, s:i, s:s, s:s, s:s}, s:s, s:s}", "code", "", "message", "",
                             "amount", (json_int_t)2750, "evidence", "sentAt", "2026-11-20T10:00:00.663Z", "status",
                             200, "answeredAt", "2026-11-20T10:00:00.679Z", "answerSha256", hash, "requestSha256", hash,
                             "provider", "simulated", "reference", reference);
    if (!body)
        log_panic("a body cannot be made");
    return body;
}

static void content_make(struct content *content)
{
    size_t payments = (size_t)options.batch;
    *content = (struct content){.payments = payments,
                                .ids = mem_new(payments, sizeof *content->ids),
                                .facts = mem_new(payments, sizeof *content->facts),
                                .transfers = mem_new(2 * payments, sizeof *content->transfers),
                                .bodies = {evidence("sim_pay_1"), evidence("sim_cap_1")}};
}

static void content_free(struct content *content)
{
    free(content->ids);
    free(content->facts);
    free(content->transfers);
    json_decref(content->bodies[0]);
    json_decref(content->bodies[1]);
}

static void new_payments(struct content *content)
{
    for (size_t i = 0; i < content->payments; i++)
        content->ids[i] = uuid_random();
}

static void set_transfer(struct new_transfer *t, struct uuid id, const char *slot, int leg, const char *kind)
{
    int64_t amount = 1000 + id.bytes[4] * 100;
    *t = (struct new_transfer){.payment_id = id, .leg = leg, .amount = amount, .currency = "EUR"};
    snprintf(t->slot, sizeof t->slot, "%s", slot);
    snprintf(t->kind, sizeof t->kind, "%s", kind);
    snprintf(t->debit, sizeof t->debit, "receivable:simulated");
    snprintf(t->credit, sizeof t->credit, "payable:shop%" PRId64,
             (id.bytes[0] * 256 + id.bytes[1]) % options.merchants);
}

static void set_commission(struct new_transfer *t, const struct new_transfer *post)
{
    *t = *post;
    t->leg = 2;
    t->amount = post->amount * COMMISSION_PPM / 1000000;
    t->pending_of[0] = '\0';
    snprintf(t->kind, sizeof t->kind, "transfer");
    snprintf(t->debit, sizeof t->debit, "%s", post->credit);
    snprintf(t->credit, sizeof t->credit, "commission");
}

/* The first or the second transaction of these payments. */
static struct append fill(struct content *content, bool captures)
{
    struct append append = {.facts = content->facts, .transfers = content->transfers};
    const char *slot = captures ? "capture" : "auth:1:result";
    for (size_t i = 0; i < content->payments; i++) {
        struct new_fact *fact = &append.facts[append.fact_count++];
        *fact = (struct new_fact){.payment_id = content->ids[i],
                                  .cause = content->ids[i],
                                  .actor = "acquit-worker",
                                  .body = content->bodies[captures]};
        snprintf(fact->slot, sizeof fact->slot, "%s", slot);
        snprintf(fact->outcome, sizeof fact->outcome, captures ? "captured" : "approved");
        struct new_transfer *t = &append.transfers[append.transfer_count];
        set_transfer(t, content->ids[i], slot, 1, captures ? "post" : "hold");
        if (captures) {
            snprintf(t->pending_of, sizeof t->pending_of, "auth:1:result");
            set_commission(t + 1, t);
        }
        append.transfer_count += captures ? 2 : 1;
    }
    return append;
}

/* --- our way --- */

static int append_all(struct store *store, struct append *append, struct counts *counts, struct err *err)
{
    while (store_append(store, append, err) != 0) {
        if (err->code != ERR_AGAIN)
            return -1;
        counts->again++;
        counts->deadlocks += strstr(err->text, "40P01") != NULL;
        *err = (struct err){0};
    }
    for (size_t i = 0; i < append->fact_count; i++)
        if (!append->facts[i].won)
            return err_set(err, ERR_CONFLICT, "%s was there already", append->facts[i].slot);
    return 0;
}

/* --- plain INSERTs: a prepared statement of all rows --- */

struct rows {
    char *sql;
    const char **params;
    char (*texts)[UUID_TEXT_SIZE]; /* ids and numbers as text; either fits */
    char **bodies;
    int count, text_count, body_count;
};

static void rows_open(struct rows *rows, const char *into, const char *const types[], int columns, size_t count)
{
    size_t size = strlen(into) + count * (size_t)(columns + 1) * SQL_PER_VALUE + 1, used;
    rows->sql = mem_new(size, 1);
    rows->params = mem_new(count * (size_t)columns, sizeof *rows->params);
    rows->texts = mem_new(count * (size_t)columns, sizeof *rows->texts);
    rows->bodies = mem_new(count, sizeof *rows->bodies);
    used = (size_t)snprintf(rows->sql, size, "%s values ", into);
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < columns; k++)
            used += (size_t)snprintf(rows->sql + used, size - used, "%s$%zu%s%s", k == 0 ? (i == 0 ? "(" : ",(") : "",
                                     i * (size_t)columns + (size_t)k + 1, types[k], k + 1 == columns ? ")" : ",");
}

static void rows_free(struct rows *rows)
{
    free(rows->sql);
    free(rows->params);
    free(rows->texts);
    free(rows->bodies);
}

static void rows_reset(struct rows *rows)
{
    for (int i = 0; i < rows->body_count; i++)
        free(rows->bodies[i]);
    rows->count = rows->text_count = rows->body_count = 0;
}

static void put(struct rows *rows, const char *value)
{
    rows->params[rows->count++] = value;
}

static void put_uuid(struct rows *rows, struct uuid id)
{
    char *text = rows->texts[rows->text_count++];
    uuid_format(id, text);
    put(rows, text);
}

static void put_number(struct rows *rows, int64_t number)
{
    char *text = rows->texts[rows->text_count++];
    snprintf(text, sizeof *rows->texts, "%" PRId64, number);
    put(rows, text);
}

static void put_body(struct rows *rows, const json_t *body)
{
    put(rows, rows->bodies[rows->body_count++] = json_encode(body));
}

struct raw {
    struct db *db;
    char today[16];
    struct rows payments, facts, transfers[2]; /* one, two a payment */
};

static int raw_open(struct raw *raw, const struct db_options *to, struct err *err)
{
    static const char *const fact_types[] = {"::uuid", "::text", "::text", "::uuid", "::text", "::jsonb", "::date"};
    static const char *const transfer_types[] = {"::uuid", "::text", "::int",  "::text", "::text",
                                                 "::text", "::text", "::int8", "::text", "::date"};
    static const char *const payment_types[] = {"::uuid", "::date"};
    static const char into_transfers[] =
        "insert into raw.transfer (payment_id, slot, leg, kind, pending_of, debit, credit, amount, currency, began)";
    size_t payments = (size_t)options.batch;
    time_t now = time(NULL);
    struct tm day;
    raw->db = db_new(to, err);
    if (!raw->db || !gmtime_r(&now, &day))
        return -1;
    strftime(raw->today, sizeof raw->today, "%Y-%m-%d", &day);
    rows_open(&raw->payments, "insert into raw.payment (payment_id, began)", payment_types, 2, payments);
    rows_open(&raw->facts, "insert into raw.event (payment_id, slot, outcome, cause, actor, body, began)", fact_types,
              7, payments);
    for (size_t i = 0; i < 2; i++)
        rows_open(&raw->transfers[i], into_transfers, transfer_types, 10, (i + 1) * payments);
    return 0;
}

static void raw_close(struct raw *raw)
{
    rows_free(&raw->payments);
    rows_free(&raw->facts);
    rows_free(&raw->transfers[0]);
    rows_free(&raw->transfers[1]);
    db_free(raw->db);
}

static void put_fact(struct raw *raw, const struct new_fact *f)
{
    put_uuid(&raw->facts, f->payment_id);
    put(&raw->facts, f->slot);
    put(&raw->facts, f->outcome);
    put_uuid(&raw->facts, f->cause);
    put(&raw->facts, f->actor);
    put_body(&raw->facts, f->body);
    put(&raw->facts, raw->today);
}

static void put_transfer(struct raw *raw, struct rows *rows, const struct new_transfer *t)
{
    put_uuid(rows, t->payment_id);
    put(rows, t->slot);
    put_number(rows, t->leg);
    put(rows, t->kind);
    put(rows, t->pending_of[0] != '\0' ? t->pending_of : NULL);
    put(rows, t->debit);
    put(rows, t->credit);
    put_number(rows, t->amount);
    put(rows, t->currency);
    put(rows, raw->today);
}

static int insert_all(struct raw *raw, const struct append *append, bool captures, struct err *err)
{
    struct rows *transfers = &raw->transfers[captures], *used[] = {&raw->facts, transfers, &raw->payments};
    struct db_statement statements[3];
    size_t count = captures ? 2 : 3;
    for (size_t i = 0; i < append->fact_count; i++) {
        put_fact(raw, &append->facts[i]);
        put_uuid(&raw->payments, append->facts[i].payment_id);
        put(&raw->payments, raw->today);
    }
    for (size_t i = 0; i < append->transfer_count; i++)
        put_transfer(raw, transfers, &append->transfers[i]);
    for (size_t i = 0; i < count; i++)
        statements[i] =
            (struct db_statement){.sql = used[i]->sql, .param_count = used[i]->count, .params = used[i]->params};
    struct db_result *results[3];
    int r = db_run(raw->db, true, statements, count, results, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        db_result_free(results[i]);
    for (size_t i = 0; i < 3; i++)
        rows_reset(used[i]);
    return r;
}

/* --- a process --- */

static int append_until(int64_t deadline_ms, struct counts *counts, struct err *err)
{
    const struct db_options to = {.url = options.url, .application = "ledger_append", .timeout_ms = TIMEOUT_MS};
    struct content content;
    struct raw raw = {0};
    struct store *store = options.raw ? NULL : store_new(&to, err);
    int r = options.raw ? raw_open(&raw, &to, err) : store ? 0 : -1;
    content_make(&content);
    counts->began_ms = clock_monotonic_ms();
    while (r == 0 && clock_monotonic_ms() < deadline_ms) {
        new_payments(&content);
        for (int captures = 0; r == 0 && captures < 2; captures++) {
            struct append append = fill(&content, captures);
            r = options.raw ? insert_all(&raw, &append, captures, err) : append_all(store, &append, counts, err);
            counts->transfers += (int64_t)append.transfer_count;
        }
        counts->payments += (int64_t)content.payments;
    }
    counts->ended_ms = clock_monotonic_ms();
    content_free(&content);
    if (options.raw)
        raw_close(&raw);
    store_free(store);
    return r;
}

static int run_jobs(struct counts *counts)
{
    int failed = 0, status;
    int64_t deadline_ms = clock_monotonic_ms() + 1000 * options.seconds;
    for (int64_t job = 0; job < options.jobs; job++) {
        pid_t pid = fork();
        if (pid < 0)
            log_panic("fork: %s", strerror(errno));
        if (pid == 0) {
            struct err err = {0};
            int r = append_until(deadline_ms, &counts[job], &err);
            if (r != 0)
                fprintf(stderr, "ledger_append: %s\n", err.text);
            _exit(r == 0 ? 0 : 1);
        }
    }
    for (int64_t job = 0; job < options.jobs; job++)
        failed |= wait(&status) < 0 || status != 0;
    return failed ? -1 : 0;
}

/* One for each process, seen by all. */
static struct counts *shared_counts(void)
{
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    if (zero < 0)
        log_panic("/dev/zero: %s", strerror(errno));
    struct counts *counts = mmap(NULL, JOBS_MAX * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
    if (counts == MAP_FAILED)
        log_panic("/dev/zero: %s", strerror(errno));
    close(zero);
    return counts;
}

static void report(const struct counts *counts)
{
    struct counts sum = {.began_ms = INT64_MAX};
    for (int64_t job = 0; job < options.jobs; job++) {
        sum.payments += counts[job].payments;
        sum.transfers += counts[job].transfers;
        sum.again += counts[job].again;
        sum.deadlocks += counts[job].deadlocks;
        sum.began_ms = counts[job].began_ms < sum.began_ms ? counts[job].began_ms : sum.began_ms;
        sum.ended_ms = counts[job].ended_ms > sum.ended_ms ? counts[job].ended_ms : sum.ended_ms;
    }
    double seconds = (double)(sum.ended_ms - sum.began_ms) / 1000;
    printf("{\"payments\": %" PRId64 ", \"transfers\": %" PRId64 ", \"seconds\": %.3f, \"per_second\": %.1f, "
           "\"again\": %" PRId64 ", \"deadlocks\": %" PRId64 "}\n",
           sum.payments, sum.transfers, seconds, (double)sum.transfers / seconds, sum.again, sum.deadlocks);
}

/* --- the command line --- */

static int number(const char *text, int64_t most, int64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return errno || end == text || *end || *ret < 1 || *ret > most ? -1 : 0;
}

static int read_options(int argc, char *argv[])
{
    static const struct option known[] = {
        {"raw", no_argument, NULL, 'r'},           {"jobs", required_argument, NULL, 'j'},
        {"batch", required_argument, NULL, 'b'},   {"merchants", required_argument, NULL, 'm'},
        {"seconds", required_argument, NULL, 's'}, {0}};
    int r = 0;
    for (int option; r == 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (option == 'r')
            options.raw = true;
        else if (option == 'j')
            r = number(optarg, JOBS_MAX, &options.jobs);
        else if (option == 'b')
            r = number(optarg, STORE_PAYMENTS_MAX, &options.batch);
        else if (option == 'm')
            r = number(optarg, 65536, &options.merchants);
        else if (option == 's')
            r = number(optarg, 3600, &options.seconds);
        else
            r = -1;
    }
    options.url = optind == argc - 1 ? argv[optind] : NULL;
    return r == 0 && options.url ? 0 : -1;
}

int main(int argc, char *argv[])
{
    if (read_options(argc, argv) != 0) {
        fputs("usage: ledger_append [--raw] [--jobs N] [--batch N] [--merchants N] [--seconds N] CONNECTION\n", stderr);
        return 2;
    }
    struct counts *counts = shared_counts();
    if (run_jobs(counts) != 0)
        return 1;
    report(counts);
    return 0;
}
