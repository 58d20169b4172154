/* ledger_verify.c - acquit ledger verify: is the ledger still what was written and sealed? (ledger/verify.h) */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/crypto.h"
#include "ledger/key_change.h"
#include "ledger/verify.h"
#include "workers/operator/operator.h"

enum { VERIFY_TIMEOUT_MS = 3600 * 1000 /* of one statement; the trial balance of a large ledger takes its time */ };

const struct option_row ledger_verify_options[] = {
    {.name = "key",
     .kind = OPTION_MANY,
     .value = "KEY",
     .sentence = "whose signature counts, or a file with it; repeatable (default: that of seal.key)"},
    {.name = "heads", .kind = OPTION_TEXT, .value = "DIR", .sentence = "compare the heads in DIR/*.head, seen outside"},
    {.name = "archives",
     .kind = OPTION_TEXT,
     .value = "DIR",
     .sentence = "read the files of what is archived, in DIR, and compare them"},
    {.name = "since",
     .kind = OPTION_INT,
     .least = 0,
     .most = INT64_MAX,
     .value = "HEIGHT",
     .sentence = "blocks up to this one were verified before"},
    {.name = "jobs",
     .kind = OPTION_INT,
     .least = 1,
     .most = VERIFY_JOBS_MAX,
     .value = "N",
     .sentence = "read payments in N shares at once, nine connections each (default: one share per processor)"},
    {.name = "epoch",
     .kind = OPTION_INT,
     .least = 1,
     .most = INT32_MAX,
     .value = "N",
     .sentence = "heads lost with the restores up to the one that began epoch N are known: told, and no fault"},
    {.name = "manifest", .kind = OPTION_FLAG, .sentence = "only print the schema, as it is compared"},
    {0},
};

struct verification {
    struct op *op;
    json_t *faults, *notes;
    bool counting; /* a progress line stands on the terminal */
};

static void end_progress(struct verification *verification)
{
    if (verification->counting)
        fputs("\r\033[K", stderr);
    verification->counting = false;
}

static void on_progress(void *arg, const char *what, int64_t done)
{
    struct verification *verification = arg;
    if (!isatty(STDERR_FILENO))
        return;
    end_progress(verification);
    fprintf(stderr, "%s: %" PRId64, what, done);
    verification->counting = true;
}

static void print_fault(const struct verify_fault *fault)
{
    printf("%s", verify_rule_text(fault->rule));
    if (*fault->payment)
        printf("  payment %s", fault->payment);
    if (*fault->slot)
        printf("  %s", fault->slot);
    if (fault->block >= 0)
        printf("  block %" PRId64, fault->block);
    printf("  %s\n", fault->text);
}

static void on_fault(void *arg, const struct verify_fault *fault)
{
    struct verification *verification = arg;
    end_progress(verification);
    if (!verification->op->json) {
        print_fault(fault);
        return;
    }
    json_t *row = json_pack("{s:s, s:s*, s:s*, s:s}", "rule", verify_rule_text(fault->rule), "paymentId",
                            *fault->payment ? fault->payment : NULL, "slot", *fault->slot ? fault->slot : NULL,
                            "message", fault->text);
    if (row && fault->block >= 0)
        json_object_set_new(row, "block", json_integer(fault->block));
    json_array_append_new(verification->faults, row);
}

static void on_note(void *arg, const char *text)
{
    struct verification *verification = arg;
    end_progress(verification);
    if (verification->op->json)
        json_array_append_new(verification->notes, json_string(text));
    else
        printf("known  %s\n", text);
}

static void print_result(const struct verify_result *result)
{
    printf("%" PRId64 " blocks with %" PRId64 " facts, up to block %" PRId64 "; %" PRId64
           " facts are not sealed yet; %" PRId64 " heads from outside; %" PRId64 " maps\n",
           result->blocks, result->rows, result->height, result->unsealed, result->heads, result->maps);
    printf("%" PRId64 " payments with %" PRId64 " transfers; balances %s\n", result->payments, result->transfers,
           result->balances ? "derived anew and compared" : "not compared");
    if (result->archived)
        printf("%" PRId64 " facts are archived, and their leaves in place\n", result->archived);
    if (result->unprojected)
        printf("%" PRId64 " payments are not projected yet\n", result->unprojected);
    if (result->epoch > 1)
        printf("epoch %d, since a restore (`acquit ledger epoch`); %" PRId64 " heads lost with it are known\n",
               result->epoch, result->lost);
    if (result->faults)
        printf("%" PRId64 " faults\n", result->faults);
    else
        puts("good");
}

static json_t *result_json(const struct verify_result *result, json_t *faults, json_t *notes)
{
    return json_pack("{s:b, s:i, s:I, s:O, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:O}", "good",
                     result->faults == 0, "epoch", result->epoch, "lost", (json_int_t)result->lost, "notes", notes,
                     "blocks", (json_int_t)result->blocks, "height", (json_int_t)result->height, "facts",
                     (json_int_t)result->rows, "unsealed", (json_int_t)result->unsealed, "archived",
                     (json_int_t)result->archived, "heads", (json_int_t)result->heads, "maps", (json_int_t)result->maps,
                     "payments", (json_int_t)result->payments, "transfers", (json_int_t)result->transfers, "balances",
                     result->balances, "unprojected", (json_int_t)result->unprojected, "faultCount",
                     (json_int_t)result->faults, "faults", faults);
}

/* The configured key's own public half, under the name of the log. */
static int configured_key(const struct op *op, struct note_key *ret, struct err *err)
{
    struct signing_key signing;
    const char *name = config_text(op->config, "seal.origin"), *key = config_text(op->config, "seal.key");
    if (!*name || !*key)
        return 0;
    bool good = signing_key_parse(key, &signing) == 0 && note_name_valid(name);
    if (good) {
        snprintf(ret->name, sizeof ret->name, "%s", name);
        ed25519_public(signing.private_key, ret->public_key);
    }
    explicit_bzero(&signing, sizeof signing);
    return good ? 1 : err_set(err, ERR_CONFIG, "seal.origin or seal.key: no name, or no key");
}

/* How many; -1 with an error. */
static int read_keys(const struct op *op, struct note_key *ret, struct err *err)
{
    const char *text;
    int count = 0;
    for (; (text = args_many(&op->args, "key", (size_t)count)); count++) {
        if (count == VERIFY_KEYS_MAX)
            return err_set(err, ERR_INVALID, "--key: at most %d", VERIFY_KEYS_MAX);
        if (operator_key(text, &ret[count], err) != 0)
            return -1;
    }
    return count ? count : configured_key(op, ret, err);
}

/* One for each processor. */
static int default_jobs(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? 1 : processors > VERIFY_JOBS_MAX ? VERIFY_JOBS_MAX : (int)processors;
}

static int verify(struct op *op, const struct db_options *database, struct err *err)
{
    struct note_key keys[VERIFY_KEYS_MAX];
    struct verification verification = {.op = op, .faults = json_array(), .notes = json_array()};
    struct verify_result result;
    int count = read_keys(op, keys, err), r = -1;
    if (count >= 0) {
        const struct verify_options options = {.database = database,
                                               .jobs = (int)args_int(&op->args, "jobs", default_jobs()),
                                               .keys = keys,
                                               .key_count = (size_t)count,
                                               .heads_dir = args_text(&op->args, "heads", NULL),
                                               .archives_dir = args_text(&op->args, "archives", NULL),
                                               .since = args_int(&op->args, "since", -1),
                                               .epoch = (int)args_int(&op->args, "epoch", 1),
                                               .fault = on_fault,
                                               .note = on_note,
                                               .progress = on_progress,
                                               .arg = &verification};
        r = verify_ledger(&options, &result, err);
    }
    end_progress(&verification);
    if (r == 0 && op->json)
        operator_print(result_json(&result, verification.faults, verification.notes));
    else if (r == 0)
        print_result(&result);
    json_decref(verification.faults);
    json_decref(verification.notes);
    return r < 0 ? -1 : result.faults ? EXIT_NO : 0;
}

static int print_manifest(const struct db_options *database, struct err *err)
{
    struct db *db = db_new(database, err);
    int r = db ? verify_print_manifest(db, stdout, err) : -1;
    db_free(db);
    return r;
}

int cmd_ledger_verify(struct op *op, struct err *err)
{
    const struct db_options options = {.url = config_text(op->config, "ledger.read_url"),
                                       .application = "acquit ledger verify",
                                       .timeout_ms = VERIFY_TIMEOUT_MS,
                                       .read_only = true};
    return args_flag(&op->args, "manifest") ? print_manifest(&options, err) : verify(op, &options, err);
}
