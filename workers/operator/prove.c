/* prove.c - acquit ledger prove: one payment's receipt, out of the sealed ledger; --absent is in prove_absence.c */
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "ledger/receipt.h"
#include "workers/operator/prove.h"

enum {
    WAIT_MAX_MS = 600 * 1000,
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
     .sentence = "how long to wait until all that is there now is sealed (default 5000)"},
    {.name = "sealed-only", .kind = OPTION_FLAG, .sentence = "only the facts that are sealed now, if not all are"},
    {.name = "absent", .kind = OPTION_FLAG, .sentence = "prove instead that the payment has no fact of slot SLOT"},
    {0},
};

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
    int64_t until = clock_monotonic_ms() + args_int(&op->args, "wait-ms", PROVE_WAIT_MS);
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
        prove_pause_ms(PROVE_LOOK_MS);
    }
}

static json_t *prove_facts(const struct db_result *rows, int sealed, const struct merkle_source *source,
                           const struct proof_head *head, struct err *err)
{
    json_t *facts = json_array();
    for (int row = 0; facts && row < sealed; row++) {
        const char *values[FACT_COLUMN_COUNT];
        struct merkle_proof proof;
        uint64_t position = (uint64_t)db_int(rows, row, COLUMN_POSITION);
        for (int i = 0; i < FACT_COLUMN_COUNT; i++)
            values[i] = db_value(rows, row, i);
        json_auto_t *transfers = json_loads(db_value(rows, row, COLUMN_TRANSFERS), 0, NULL);
        json_t *fact = merkle_inclusion(source, position, head->size, &proof, err) == 0
                           ? receipt_fact(values, transfers, position, &proof, head->size, &head->root, err)
                           : NULL;
        if (!fact || json_array_append_new(facts, fact) != 0) {
            json_decref(facts);
            facts = NULL;
        }
    }
    return facts;
}

/* One head over all of them: the newest. Who gets the receipt checks its signature; here its root has to be the one to which the proofs lead. */
static json_t *prove_rows(struct op *op, const char *payment, const struct db_result *rows, int sealed, struct err *err)
{
    struct proof_cache cache;
    const struct merkle_source source = proof_cached(&cache, op->db);
    struct sealed_head head;
    json_t *keys = NULL, *facts = NULL, *receipt = NULL;
    if (prove_read_head(op->db, &head, err) == 0 && prove_keys(op->db, &source, &head.read, &keys, err) == 0)
        facts = prove_facts(rows, sealed, &source, &head.read, err);
    if (facts)
        receipt = receipt_make(payment, head.text, keys, facts, err);
    else
        json_decref(keys);
    proof_cache_free(&cache);
    return receipt;
}

static int prove_payment(struct op *op, const char *payment, struct err *err)
{
    int sealed = 0;
    struct db_result *rows = await_sealed(op, payment, &sealed, err);
    if (!rows)
        return -1;
    json_t *receipt = prove_rows(op, payment, rows, sealed, err);
    int r = receipt ? prove_write(op, receipt, err) : -1;
    if (r == 0 && sealed < db_rows(rows))
        fprintf(stderr, "%d further facts are not sealed yet, and not in this receipt\n", db_rows(rows) - sealed);
    json_decref(receipt);
    db_result_free(rows);
    return r;
}

int cmd_ledger_prove(struct op *op, struct err *err)
{
    struct uuid id;
    char payment[UUID_TEXT_SIZE];
    const char *slot = op->args.positional_count > 1 ? op->args.positional[1] : NULL;
    if (args_flag(&op->args, "absent") != (slot != NULL))
        return err_set(err, ERR_INVALID, "SLOT and --absent go together");
    if (operator_payment_id(op->args.positional[0], &id, err) < 0 || !operator_db(op, err))
        return -1;
    if (slot)
        return prove_absence(op, id, slot, err);
    uuid_format(id, payment);
    return prove_payment(op, payment, err);
}
