/* prove_absence.c - acquit ledger prove --absent PAYMENT SLOT: that no such fact was recorded, up to the newest head */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "ledger/absence.h"
#include "ledger/leaf.h"
#include "ledger/map_prove.h"
#include "workers/operator/prove.h"

enum { NUMBER_SIZE = 24, TIME_SIZE = 64 };

/* --- is it there? --- */

/* As a fact, or as the leaf of one that was taken away (archived, or worse). 1: it is, and that was said. */
static int say_if_there(const struct op *op, const char *payment, const char *slot, struct err *err)
{
    const char *params[] = {payment, slot};
    struct db_result *rows =
        db_query(op->db,
                 "select " LEAF_TIME("e.at") ", l.position from"
                                             " (select $1::uuid as payment_id, $2::text collate \"C\" as slot) q"
                                             " left join ledger.event e using (payment_id, slot)"
                                             " left join ledger.seal_leaf l using (payment_id, slot)",
                 2, params, err);
    if (!rows)
        return -1;
    const char *at = db_value(rows, 0, 0), *position = db_value(rows, 0, 1);
    bool there = at || position;
    if (there && op->json)
        operator_print(json_pack("{s:b, s:s*, s:o*}", "absent", 0, "recordedAt", at, "position",
                                 position ? json_integer(db_int(rows, 0, 1)) : NULL));
    else if (there)
        printf("no: %s of %s stands in the ledger%s%s%s%s\n", slot, payment, at ? ", recorded " : "", at ? at : "",
               position ? ", sealed at position " : ", not sealed yet", position ? position : "");
    db_result_free(rows);
    return there;
}

/* --- waiting for a map that has all that was there when we were asked --- */

static int read_now(struct db *db, char ret[static TIME_SIZE], struct err *err)
{
    struct db_result *rows = db_query(db, "select clock_timestamp()", 0, NULL, err);
    if (!rows)
        return -1;
    snprintf(ret, TIME_SIZE, "%s", db_value(rows, 0, 0));
    db_result_free(rows);
    return 0;
}

/* 1: no fact up to `asked` stands behind the block that ends where the map does. */
static int has_all(struct db *db, uint64_t map_size, const char *asked, struct err *err)
{
    char size[NUMBER_SIZE];
    const char *params[] = {size, asked};
    snprintf(size, sizeof size, "%" PRIu64, map_size);
    struct db_result *rows = db_query(db,
                                      "select not exists (select from ledger.event e where (e.xid, e.seq) >"
                                      " (s.last_xid, s.last_seq) and e.at <= $2::timestamptz) from ledger.seal s"
                                      " where s.size = $1::bigint order by s.height desc limit 1",
                                      2, params, err);
    if (!rows)
        return -1;
    int r = db_rows(rows) == 1 && db_bool(rows, 0, 0);
    db_result_free(rows);
    return r;
}

/* Is this answer good enough? 1: yes; 0: one has to wait, and *err says for what; -1: error. */
static int judge(struct op *op, struct uuid payment, const char *asked, struct map_answer *ret, struct err *err)
{
    if (map_prove_payment(op->db, payment, ret, err) != 0) /* while the map is built, it fits no head for a while */
        return err->code == ERR_AGAIN || err->code == ERR_CONFLICT ? 0 : -1;
    if (args_flag(&op->args, "sealed-only"))
        return 1;
    int r = has_all(op->db, ret->read.map.size, asked, err);
    if (r == 0)
        err_set(
            err, ERR_AGAIN,
            "the newest map does not have all facts that are there (seal.map_interval_ms says how often there is one; "
            "--sealed-only takes it as it is)");
    return r;
}

static int await_map(struct op *op, struct uuid payment, struct map_answer *ret, struct err *err)
{
    int64_t until = clock_monotonic_ms() + args_int(&op->args, "wait-ms", PROVE_WAIT_MS);
    char asked[TIME_SIZE];
    if (read_now(op->db, asked, err) != 0)
        return -1;
    for (;;) {
        struct err why = {0};
        int r = judge(op, payment, asked, ret, &why);
        if (r > 0)
            return 0;
        json_decref(ret->slots);
        ret->slots = NULL;
        if (r < 0 || clock_monotonic_ms() >= until)
            return err_set(err, why.code, "%s", why.text);
        prove_pause_ms(PROVE_LOOK_MS);
    }
}

/* --- */

static json_t *make(struct op *op, struct uuid payment, const char *slot, struct map_answer *answer, struct err *err)
{
    struct proof_cache cache;
    const struct merkle_source source = proof_cached(&cache, op->db);
    json_t *keys = NULL, *made = NULL;
    if (prove_keys(op->db, &source, &answer->read, &keys, err) == 0)
        made = absence_make(payment, slot, answer->head, keys, &answer->proof, answer->slots, err);
    else
        json_decref(answer->slots);
    answer->slots = NULL;
    proof_cache_free(&cache);
    return made;
}

int prove_absence(struct op *op, struct uuid payment, const char *slot, struct err *err)
{
    static struct map_answer answer; /* not small */
    char id[UUID_TEXT_SIZE];
    if (!absence_slot_valid(slot))
        return err_set(err, ERR_INVALID, "'%s' is no slot; it looks like capture or refund:1", slot);
    uuid_format(payment, id);
    int there = say_if_there(op, id, slot, err);
    if (there != 0)
        return there > 0 ? EXIT_NO : -1;
    if (await_map(op, payment, &answer, err) != 0)
        return -1;
    json_t *receipt = make(op, payment, slot, &answer, err);
    int r = receipt ? prove_write(op, receipt, err) : -1;
    json_decref(receipt);
    return r;
}
