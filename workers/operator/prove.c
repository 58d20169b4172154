/* prove.c - acquit ledger prove: one payment's receipt, out of the sealed ledger */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "ledger/receipt.h"
#include "workers/operator/operator.h"

enum {
    WAIT_MS = 5000,
    WAIT_MAX_MS = 600 * 1000,
    LOOK_MS = 100, /* between two looks at what is sealed */
    PATH_SIZE = 4096,
    COLUMN_TRANSFERS = FACT_COLUMN_COUNT,
    COLUMN_POSITION,
};

const struct option_row ledger_prove_options[] = {
    {.name = "output", .kind = OPTION_TEXT, .value = "FILE", .sentence = "write it there (default: standard output)"},
    {.name = "wait-ms",
     .kind = OPTION_INT,
     .least = 0,
     .most = WAIT_MAX_MS,
     .value = "N",
     .sentence = "how long to wait until all its facts are sealed (default 5000)"},
    {.name = "sealed-only", .kind = OPTION_FLAG, .sentence = "only the facts that are sealed now, if not all are"},
    {0},
};

/* --- the tree: proofs of one payment share most of their hashes --- */

struct node {
    int level;
    uint64_t position;
    struct hash hash;
};
struct cache {
    struct merkle_source source;
    struct node *nodes;
    size_t count;
};

static int cached_subtree(void *arg, int level, uint64_t position, struct hash *ret, struct err *err)
{
    struct cache *cache = arg;
    for (size_t i = cache->count; i-- > 0;)
        if (cache->nodes[i].level == level && cache->nodes[i].position == position) {
            *ret = cache->nodes[i].hash;
            return 0;
        }
    if (cache->source.subtree(cache->source.arg, level, position, ret, err) != 0)
        return -1;
    if ((cache->count & (cache->count - 1)) == 0)
        cache->nodes = mem_grow(cache->nodes, cache->count ? 2 * cache->count : 1, sizeof *cache->nodes);
    cache->nodes[cache->count++] = (struct node){level, position, *ret};
    return 0;
}

/* --- reading --- */

/* The payment's facts as they were sealed, in the order of the tree; behind them those that are not sealed yet. */
static struct db_result *read_sealed(struct db *db, const char *payment, struct err *err)
{
    const char *params[] = {payment};
    return db_query(db,
                    "select " LEAF_COLUMNS ", l.position from ledger.event e left join ledger.seal_leaf l"
                    " on l.payment_id = e.payment_id and l.slot = e.slot where e.payment_id = $1::uuid"
                    " order by l.position nulls last, e.seq",
                    1, params, err);
}

static int count_sealed(const struct db_result *rows)
{
    int count = 0;
    while (count < db_rows(rows) && db_value(rows, count, COLUMN_POSITION))
        count++;
    return count;
}

static void pause_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        ;
}

/* Says why there is no receipt: nothing there, or not sealed. */
static int judge_rows(struct op *op, const struct db_result *rows, int sealed, struct err *err)
{
    const char *payment = op->args.positional[0];
    struct uuid id;
    if (db_rows(rows) == 0)
        return operator_payment_id(payment, &id, err) == 0 ? operator_no_payment(op, id, err) : -1;
    if (sealed == db_rows(rows) || (sealed > 0 && args_flag(&op->args, "sealed-only")))
        return 0;
    return err_set(
        err, ERR_AGAIN,
        "%d of the %d facts of %s are not sealed yet; the keeper seals them (is seal.origin set, and does it run?)",
        db_rows(rows) - sealed, db_rows(rows), payment);
}

/* Waits until all facts are sealed, unless what is sealed now is enough. */
static struct db_result *await_sealed(struct op *op, const char *payment, int *ret_sealed, struct err *err)
{
    int64_t until = clock_monotonic_ms() + args_int(&op->args, "wait-ms", WAIT_MS);
    bool at_once = args_flag(&op->args, "sealed-only");
    for (;;) {
        struct db_result *rows = read_sealed(op->db, payment, err);
        if (!rows)
            return NULL;
        *ret_sealed = count_sealed(rows);
        bool enough = *ret_sealed == db_rows(rows) || (at_once && *ret_sealed > 0);
        if (enough || clock_monotonic_ms() >= until) {
            if (judge_rows(op, rows, *ret_sealed, err) == 0)
                return rows;
            db_result_free(rows);
            return NULL;
        }
        db_result_free(rows);
        pause_ms(LOOK_MS);
    }
}

/* --- one head over all of them --- */

struct head {
    char text[NOTE_SIZE_MAX];
    uint64_t size;
    struct hash root;
};

/* The newest. Who gets the receipt checks its signature; here its root has to be the one to which the proofs lead. */
static int read_head(struct db *db, struct head *ret, struct err *err)
{
    struct db_result *rows =
        db_query(db, "select head, size from ledger.seal order by height desc limit 1", 0, NULL, err);
    if (!rows)
        return -1;
    char root[64] = "";
    size_t size = 0;
    bool good = db_rows(rows) == 1 && db_size(rows, 0, 0) < sizeof ret->text;
    if (good) {
        snprintf(ret->text, sizeof ret->text, "%s", db_value(rows, 0, 0));
        ret->size = (uint64_t)db_int(rows, 0, 1);
        good = sscanf(ret->text, "%*[^\n]\n%*[^\n]\n%63[^\n]\n", root) == 1 &&
               base64_decode(root, ret->root.bytes, SHA256_SIZE, &size) == 0 && size == SHA256_SIZE;
    }
    db_result_free(rows);
    return good ? 0 : err_set(err, ERR_CONFLICT, "the last head of the ledger cannot be read");
}

static json_t *prove_facts(struct op *op, const struct db_result *rows, int sealed, const struct head *head,
                           struct err *err)
{
    struct cache cache = {.source = seal_source(op->db)};
    const struct merkle_source source = {cached_subtree, &cache};
    json_t *facts = json_array();
    for (int row = 0; facts && row < sealed; row++) {
        const char *values[FACT_COLUMN_COUNT];
        struct merkle_proof proof;
        uint64_t position = (uint64_t)db_int(rows, row, COLUMN_POSITION);
        for (int i = 0; i < FACT_COLUMN_COUNT; i++)
            values[i] = db_value(rows, row, i);
        json_auto_t *transfers = json_loads(db_value(rows, row, COLUMN_TRANSFERS), 0, NULL);
        json_t *fact = merkle_inclusion(&source, position, head->size, &proof, err) == 0
                           ? receipt_fact(values, transfers, position, &proof, head->size, &head->root, err)
                           : NULL;
        if (!fact || json_array_append_new(facts, fact) != 0) {
            json_decref(facts);
            facts = NULL;
        }
    }
    free(cache.nodes);
    return facts;
}

/* --- writing --- */

static int write_text(const char *path, const char *text, struct err *err)
{
    char new_path[PATH_SIZE];
    if (snprintf(new_path, sizeof new_path, "%s.new", path) >= PATH_SIZE)
        return err_set(err, ERR_INVALID, "--output: the path is too long");
    FILE *file = fopen(new_path, "we");
    bool good = file && fputs(text, file) >= 0 && fputc('\n', file) != EOF;
    if (file)
        good = fclose(file) == 0 && good;
    if (good && rename(new_path, path) == 0)
        return 0;
    return err_set(err, ERR_DENIED, "%s: %s", path, strerror(errno));
}

static int write_receipt(const struct op *op, const json_t *receipt, struct err *err)
{
    const char *path = args_text(&op->args, "output", NULL);
    char *text = receipt_text(receipt);
    int r = 0;
    if (path)
        r = write_text(path, text, err);
    else if (puts(text) == EOF || fflush(stdout) != 0)
        r = err_set(err, ERR_DENIED, "standard output: %s", strerror(errno));
    free(text);
    return r;
}

int cmd_ledger_prove(struct op *op, struct err *err)
{
    struct uuid id;
    struct head head;
    char payment[UUID_TEXT_SIZE];
    int sealed = 0;
    if (operator_payment_id(op->args.positional[0], &id, err) < 0 || !operator_db(op, err))
        return -1;
    uuid_format(id, payment);
    struct db_result *rows = await_sealed(op, payment, &sealed, err);
    if (!rows)
        return -1;
    json_t *facts = read_head(op->db, &head, err) == 0 ? prove_facts(op, rows, sealed, &head, err) : NULL;
    json_t *receipt = facts ? receipt_make(payment, head.text, facts, err) : NULL;
    int r = receipt ? write_receipt(op, receipt, err) : -1;
    if (r == 0 && sealed < db_rows(rows))
        fprintf(stderr, "%d further facts are not sealed yet, and not in this receipt\n", db_rows(rows) - sealed);
    json_decref(receipt);
    db_result_free(rows);
    return r;
}
