/* store.c - appends: one transaction, one round trip
 *
 * The statements of an append travel as one pipeline: accounts, commands, where payments live, up to
 * STORE_WAVES statements of facts, transfers, personal data, dead letters, COMMIT. A statement sees what the ones before it did, so "won in this
 * append" is a row whose xid is ours.
 *
 * Why waves. Whoever inserts a slot that another open transaction has just inserted waits for it; two batches that
 * take the same slots in different orders would wait for each other. So all appends take them in one order: by wave,
 * then payment, then slot. A fact's wave is the rank of its slot, fixed below so that every dependent of the
 * protocol ranks above what it depends on. (A dependent that does not is put one wave after its parent: still right,
 * but then the order is its own, and a deadlock, answered as ERR_AGAIN, is possible.)
 *
 * Rows of accounts with a floor are locked behind the facts, by the statement of the transfers, in the order of their
 * names (migration 010): who holds one waits for no slot any more.
 *
 * Errors are db_run()'s; besides, ERR_INVALID for an append that contradicts itself and ERR_LIMIT for one that is
 * too large, before anything is sent.
 */
#include "ledger/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "ledger/read.h"

enum {
    STORE_WAVES = 4,
    STORE_FACTS_MAX = 16 * STORE_PAYMENTS_MAX, /* facts, transfers and so on of one append, each */
    STORE_ACCOUNTS_MAX = 4096,                 /* accounts remembered as opened; then forgotten and opened again */
    STORE_STATEMENTS_MAX = STORE_WAVES + 6,
    STORE_COLUMNS_MAX = 16,
    STORE_NUMBER_SIZE = 24, /* an int64 as text */
};

/* The order in which slots are taken; 0 for all others. Whoever adds a dependent to the protocol gives its slot a
 * rank above its parent's. */
static const int ranks[] = {
    [SLOT_DECISION] = 1,     /* with a refusal: received, auth:N:result, pop, token:reserved, dead */
    [SLOT_TOKEN_ACTIVE] = 1, /* refused, with token:released */
    [SLOT_AUTH] = 2,         /* with received, with a negative auth:N:result; closed, with decision=abort */
};

struct account_key {
    char name[ACCOUNT_SIZE], currency[4];
};

struct store {
    struct db *db;
    struct account_key *accounts; /* sorted; surely in ledger.account */
    size_t account_count;
};

struct store *store_new(const struct db_options *options, struct err *err)
{
    struct db *db = db_new(options, err);
    if (!db)
        return NULL;
    struct store *store = mem_new(1, sizeof *store);
    store->db = db;
    return store;
}

struct db *store_db(struct store *store)
{
    return store->db;
}

void store_free(struct store *store)
{
    if (!store)
        return;
    db_free(store->db);
    free(store->accounts);
    free(store);
}

/* --- the plan: which facts go in, and in which order --- */

struct planned {
    const struct new_fact *fact;
    bool *won; /* of the caller's fact; NULL for a closing */
    int wave;  /* -1: not yet known */
};

struct plan {
    struct planned *items; /* by payment, slot */
    size_t count;
    struct new_fact *closings; /* auth:1=closed, with each decision=abort */
};

static int compare_planned(const void *a, const void *b)
{
    const struct new_fact *x = ((const struct planned *)a)->fact, *y = ((const struct planned *)b)->fact;
    int order = uuid_compare(x->payment_id, y->payment_id);
    return order != 0 ? order : strcmp(x->slot, y->slot);
}

static struct planned *plan_find(const struct plan *plan, struct uuid payment, const char *slot)
{
    struct new_fact wanted = {.payment_id = payment};
    struct planned key = {.fact = &wanted};
    snprintf(wanted.slot, sizeof wanted.slot, "%s", slot);
    return bsearch(&key, plan->items, plan->count, sizeof *plan->items, compare_planned);
}

static void plan_free(struct plan *plan)
{
    free(plan->items);
    free(plan->closings);
}

/* L7: an abort that finds no authorization begun closes auth:1 in its own transaction. That nothing stands there is
 * for the unique key to say, whoever is inserting it at this moment. */
static void plan_closings(struct plan *plan)
{
    size_t facts = plan->count;
    for (size_t i = 0; i < facts; i++) {
        const struct new_fact *abort = plan->items[i].fact;
        if (strcmp(abort->slot, "decision") != 0 || strcmp(abort->outcome, "abort") != 0)
            continue;
        struct new_fact *closing = &plan->closings[plan->count - facts];
        *closing = (struct new_fact){.payment_id = abort->payment_id,
                                     .slot = "auth:1",
                                     .with = "decision",
                                     .outcome = "closed",
                                     .cause = abort->cause};
        memcpy(closing->actor, abort->actor, sizeof closing->actor);
        plan->items[plan->count++] = (struct planned){.fact = closing, .wave = -1};
    }
    qsort(plan->items, plan->count, sizeof *plan->items, compare_planned);
}

static int plan_wave(const struct plan *plan, struct planned *item, int depth, struct err *err)
{
    const struct new_fact *fact = item->fact;
    enum slot_kind kind = slot_parse(fact->slot).kind;
    if (item->wave >= 0)
        return 0;
    int wave = kind < sizeof ranks / sizeof *ranks ? ranks[kind] : 0;
    if (fact->with[0] != '\0') {
        struct planned *parent = plan_find(plan, fact->payment_id, fact->with);
        if (!parent) {
            return err_set(err, ERR_INVALID, "fact %s depends on %s, which is not in the same append", fact->slot,
                           fact->with);
        }
        if (depth > STORE_WAVES)
            return err_set(err, ERR_INVALID, "fact %s depends on itself", fact->slot);
        if (plan_wave(plan, parent, depth + 1, err) != 0)
            return -1;
        wave = wave > parent->wave ? wave : parent->wave + 1;
    }
    if (wave >= STORE_WAVES)
        return err_set(err, ERR_INVALID, "fact %s is the end of too long a chain", fact->slot);
    item->wave = wave;
    return 0;
}

/* L12 */
static int check_size(const struct append *append, struct err *err)
{
    const size_t counts[] = {append->fact_count, append->transfer_count, append->command_count, append->personal_count,
                             append->dead_letter_count};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i] > STORE_FACTS_MAX)
            return err_set(err, ERR_LIMIT, "%zu rows of one kind in an append; at most %d", counts[i], STORE_FACTS_MAX);
    return 0;
}

static int plan_make(struct plan *plan, const struct append *append, struct err *err)
{
    plan->items = mem_new(2 * append->fact_count, sizeof *plan->items);
    plan->closings = mem_new(append->fact_count, sizeof *plan->closings);
    for (size_t i = 0; i < append->fact_count; i++) {
        struct new_fact *fact = &append->facts[i];
        fact->won = false;
        plan->items[plan->count++] = (struct planned){.fact = fact, .won = &fact->won, .wave = -1};
    }
    plan_closings(plan);
    for (size_t i = 1; i < plan->count; i++) {
        const struct new_fact *fact = plan->items[i].fact;
        if (compare_planned(&plan->items[i - 1], &plan->items[i]) == 0)
            return err_set(err, ERR_INVALID, "an append holds two facts for %s of one payment", fact->slot);
    }
    for (size_t i = 0; i < plan->count; i++)
        if (plan_wave(plan, &plan->items[i], 0, err) != 0)
            return -1;
    return 0;
}

/* --- the batch: statements whose parameters are arrays, one element a row --- */

struct columns {
    struct db_array arrays[STORE_COLUMNS_MAX];
    const char *params[STORE_COLUMNS_MAX];
    int count;
};

struct batch {
    struct db_statement statements[STORE_STATEMENTS_MAX];
    struct columns columns[STORE_STATEMENTS_MAX];
    size_t count;
};

static void add_row(struct columns *columns, const char *const *values, int count)
{
    columns->count = count;
    for (int i = 0; i < count; i++)
        db_array_add(&columns->arrays[i], values[i]);
}
#define ADD_ROW(columns, ...)                                                                                          \
    add_row(columns, (const char *const[]){__VA_ARGS__},                                                               \
            (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)))

/* The columns that the next statement is being filled into. */
static struct columns *next_columns(struct batch *batch)
{
    return &batch->columns[batch->count];
}

/* Closes them with the statement; without a row there is none. */
static void add_statement(struct batch *batch, const char *sql)
{
    struct columns *columns = next_columns(batch);
    if (columns->count == 0)
        return;
    for (int i = 0; i < columns->count; i++)
        columns->params[i] = db_array_text(&columns->arrays[i]);
    batch->statements[batch->count++] =
        (struct db_statement){.sql = sql, .param_count = columns->count, .params = columns->params};
}

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < STORE_STATEMENTS_MAX; i++)
        for (int k = 0; k < STORE_COLUMNS_MAX; k++)
            db_array_free(&batch->columns[i].arrays[k]);
    free(batch);
}

struct uuid_text {
    char text[UUID_TEXT_SIZE];
};

static const char *text_of(struct uuid id, struct uuid_text *ret)
{
    uuid_format(id, ret->text);
    return ret->text;
}

/* NULL for the nil uuid and for "": what is not there. */
static const char *uuid_or_null(struct uuid id, struct uuid_text *ret)
{
    return uuid_is_nil(id) ? NULL : text_of(id, ret);
}

static const char *text_or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

/* An empty object for NULL. free() it. */
static char *encode(const json_t *value)
{
    return value ? json_encode(value) : mem_text("{}");
}

/* --- accounts --- */

static int compare_accounts(const void *a, const void *b)
{
    const struct account_key *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->currency, y->currency);
}

static bool knows_account(const struct store *store, const struct account_key *key)
{
    return store->account_count > 0 &&
           bsearch(key, store->accounts, store->account_count, sizeof *key, compare_accounts) != NULL;
}

static void note_account(const struct store *store, const char *name, const char *currency, struct account_key *keys,
                         size_t *count)
{
    struct account_key key = {0};
    snprintf(key.name, sizeof key.name, "%s", name);
    snprintf(key.currency, sizeof key.currency, "%s", currency);
    if (!knows_account(store, &key))
        keys[(*count)++] = key;
}

/* The accounts of the transfers that this process has not yet opened, sorted, each once. free() them. */
static struct account_key *new_accounts(const struct store *store, const struct append *append, size_t *ret_count)
{
    struct account_key *keys = mem_new(2 * append->transfer_count, sizeof *keys);
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < append->transfer_count; i++) {
        const struct new_transfer *t = &append->transfers[i];
        note_account(store, t->debit, t->currency, keys, &count);
        note_account(store, t->credit, t->currency, keys, &count);
    }
    qsort(keys, count, sizeof *keys, compare_accounts);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || compare_accounts(&keys[kept - 1], &keys[i]) != 0)
            keys[kept++] = keys[i];
    *ret_count = kept;
    return keys;
}

static void remember_accounts(struct store *store, const struct account_key *keys, size_t count)
{
    if (count == 0 || count > STORE_ACCOUNTS_MAX)
        return;
    if (store->account_count + count > STORE_ACCOUNTS_MAX)
        store->account_count = 0;
    store->accounts = mem_grow(store->accounts, store->account_count + count, sizeof *keys);
    memcpy(store->accounts + store->account_count, keys, count * sizeof *keys);
    store->account_count += count;
    qsort(store->accounts, store->account_count, sizeof *keys, compare_accounts);
}

static void add_accounts(struct batch *batch, const struct account_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ADD_ROW(next_columns(batch), keys[i].name, keys[i].currency);
    add_statement(batch, "insert into ledger.account (name, currency)"
                         " select a.name, a.currency from unnest($1::text[], $2::text[]) as a(name, currency)"
                         " order by a.name collate \"C\", a.currency collate \"C\" on conflict do nothing");
}

/* --- commands (L10) --- */

static void add_commands(struct batch *batch, const struct append *append)
{
    for (size_t i = 0; i < append->command_count; i++) {
        const struct new_command *c = &append->commands[i];
        struct uuid_text id, payment;
        ADD_ROW(next_columns(batch), text_of(c->id, &id), text_of(c->payment_id, &payment), c->publisher, c->message_id,
                c->type, c->sha256);
    }
    add_statement(batch,
                  "insert into ledger.command (id, payment_id, publisher, message_id, type, sha256)"
                  " select c.id, c.payment_id, c.publisher, c.message_id, c.type, c.sha256"
                  " from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])"
                  " as c(id, payment_id, publisher, message_id, type, sha256) order by c.id on conflict do nothing");
}

/* --- where payments live --- */

/* Most are known; the first append of a payment says since when it is. */
static void add_payments(struct batch *batch, const struct plan *plan)
{
    struct uuid_text id;
    for (size_t i = 0; i < plan->count; i++)
        if (i == 0 || !uuid_equal(plan->items[i].fact->payment_id, plan->items[i - 1].fact->payment_id))
            ADD_ROW(next_columns(batch), text_of(plan->items[i].fact->payment_id, &id));
    add_statement(batch, "insert into ledger.payment (payment_id) select p.payment_id from unnest($1::uuid[]) as"
                         " p(payment_id) order by p.payment_id on conflict do nothing");
}

/* --- facts --- */

/* Where the payment lives, and with it the one partition to look into. LIMIT keeps this a look by key, row by row, whatever the planner thinks of
 * the tables' sizes; so do the scalar subqueries. */
#define HOME(row)                                                                                                      \
    " left join lateral (select p.began from ledger.payment p where p.payment_id = " row                               \
    ".payment_id limit 1) as home on true"
#define FACT_XID(row, slot)                                                                                            \
    "(select e.xid from ledger.event e where e.began = home.began and e.payment_id = " row                             \
    ".payment_id and e.slot = " slot ")"

#define INSERT_FACTS                                                                                                   \
    "insert into ledger.event (payment_id, slot, outcome, cause, actor, body, began)"                                  \
    " select f.payment_id, f.slot, f.outcome, f.cause, f.actor, f.body, home.began"                                    \
    " from unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::jsonb[], $7::text[], $8::uuid[], "   \
    "$9::text[])"                                                                                                      \
    " as f(payment_id, slot, outcome, cause, actor, body, parent, command, sha256)" HOME(                              \
        "f") " where (f.command is null or f.sha256 = (select c.sha256 from ledger.command c where c.id = f.command))" \
             " and (f.parent is null or ledger.xid() = " FACT_XID(                                                     \
                 "f", "f.parent") ")"                                                                                  \
                                  " order by f.payment_id, f.slot collate \"C\" on conflict (payment_id, slot, began)" \
                                  " do nothing returning payment_id, slot"

static const char insert_facts[] = INSERT_FACTS;

static void add_fact(struct columns *columns, const struct new_fact *f)
{
    struct uuid_text payment, cause, command;
    char *body = encode(f->body);
    ADD_ROW(columns, text_of(f->payment_id, &payment), f->slot, f->outcome, text_of(f->cause, &cause),
            text_or_null(f->actor), body, text_or_null(f->with), uuid_or_null(f->command, &command), f->command_sha256);
    free(body);
}

static void add_facts(struct batch *batch, const struct plan *plan)
{
    for (int wave = 0; wave < STORE_WAVES; wave++) {
        for (size_t i = 0; i < plan->count; i++)
            if (plan->items[i].wave == wave)
                add_fact(next_columns(batch), plan->items[i].fact);
        add_statement(batch, insert_facts);
    }
}

static void note_won(const struct plan *plan, const struct db_result *rows)
{
    for (int row = 0; row < db_rows(rows); row++) {
        struct planned *item = plan_find(plan, db_uuid(rows, row, 0), db_value(rows, row, 1));
        if (item && item->won != NULL)
            *item->won = true;
    }
}

/* --- what belongs to facts: only for slots that this very transaction won --- */

#define WON(row) HOME(row) " where ledger.xid() = " FACT_XID(row, row ".slot")

static void add_transfers(struct batch *batch, const struct append *append)
{
    for (size_t i = 0; i < append->transfer_count; i++) {
        const struct new_transfer *t = &append->transfers[i];
        struct uuid_text payment;
        char leg[STORE_NUMBER_SIZE], amount[STORE_NUMBER_SIZE];
        snprintf(leg, sizeof leg, "%d", t->leg);
        snprintf(amount, sizeof amount, "%lld", (long long)t->amount);
        ADD_ROW(next_columns(batch), text_of(t->payment_id, &payment), t->slot, leg, t->kind,
                text_or_null(t->pending_of), t->debit, t->credit, amount, t->currency);
    }
    add_statement(
        batch,
        "insert into ledger.transfer (payment_id, slot, leg, kind, pending_of, debit, credit, amount, currency, began)"
        " select t.payment_id, t.slot, t.leg, t.kind, t.pending_of, t.debit, t.credit, t.amount, t.currency, home.began"
        " from unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],"
        " $9::text[]) as t(payment_id, slot, leg, kind, pending_of, debit, credit, amount, currency)" WON(
            "t") " order by t.payment_id, t.slot collate \"C\", t.leg");
}

static void add_personal(struct batch *batch, const struct append *append)
{
    for (size_t i = 0; i < append->personal_count; i++) {
        const struct new_personal *p = &append->personal[i];
        struct uuid_text payment;
        char *data = encode(p->data);
        ADD_ROW(next_columns(batch), text_of(p->payment_id, &payment), p->with, data);
        free(data);
    }
    add_statement(batch,
                  "insert into ledger.personal (payment_id, data)"
                  " select p.payment_id, p.data from unnest($1::uuid[], $2::text[], $3::jsonb[]) as p(payment_id, "
                  "slot, data)" WON("p") " order by p.payment_id on conflict (payment_id) do nothing");
}

/* Facts about a message that belongs to no payment stand under the dead letter's own id. */
static struct uuid home_of(const struct new_dead_letter *d)
{
    return uuid_is_nil(d->payment_id) ? d->id : d->payment_id;
}

/* The slot of the dead: fact that names this dead letter; NULL when the append has none. */
static const char *dead_slot(const struct append *append, const struct new_dead_letter *d, const char *id)
{
    struct uuid home = home_of(d);
    for (size_t i = 0; i < append->fact_count; i++) {
        const struct new_fact *f = &append->facts[i];
        if (uuid_equal(f->payment_id, home) && slot_parse(f->slot).kind == SLOT_DEAD &&
            strcmp(json_text(f->body, "deadLetter", ""), id) == 0)
            return f->slot;
    }
    return NULL;
}

/* Bytes as PostgreSQL reads them in a bytea: "\x" and hex digits. free() it. */
static char *bytea_of(const char *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char *text = mem_new(2 * size + 3, 1), *out = text;
    *out++ = '\\';
    *out++ = 'x';
    for (size_t i = 0; i < size; i++) {
        *out++ = digits[(unsigned char)bytes[i] >> 4];
        *out++ = digits[(unsigned char)bytes[i] & 15];
    }
    return text;
}

static int add_dead_letter(struct batch *batch, const struct append *append, const struct new_dead_letter *d,
                           struct err *err)
{
    struct uuid_text id, home, payment, command;
    char attempts[STORE_NUMBER_SIZE];
    const char *slot = dead_slot(append, d, text_of(d->id, &id));
    if (!slot)
        return err_set(err, ERR_INVALID, "dead letter %s has no dead: fact that names it in the same append", id.text);
    snprintf(attempts, sizeof attempts, "%d", d->attempts);
    char *properties = encode(d->properties), *history = encode(d->history), *body = bytea_of(d->body, d->body_size);
    ADD_ROW(next_columns(batch), text_of(home_of(d), &home), slot, id.text, uuid_or_null(d->payment_id, &payment),
            uuid_or_null(d->command_id, &command), attempts, d->queue, d->routing_key, d->type, d->reason, d->publisher,
            d->message_id, properties, history, body, d->body_sha256);
    free(properties);
    free(history);
    free(body);
    return 0;
}

static int add_dead_letters(struct batch *batch, const struct append *append, struct err *err)
{
    for (size_t i = 0; i < append->dead_letter_count; i++)
        if (add_dead_letter(batch, append, &append->dead_letters[i], err) != 0)
            return -1;
    add_statement(batch,
                  "insert into ledger.dead_letter (id, payment_id, command_id, slot, attempts, queue, routing_key, "
                  "type, reason, publisher,"
                  " message_id, properties, history, body, body_sha256)"
                  " select d.id, d.payment, d.command_id, d.slot, d.attempts, d.queue, d.routing_key, d.type, "
                  "d.reason, d.publisher,"
                  " d.message_id, d.properties, d.history, d.body, d.body_sha256"
                  " from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::int[], $7::text[], "
                  "$8::text[], $9::text[],"
                  " $10::text[], $11::text[], $12::text[], $13::jsonb[], $14::jsonb[], $15::bytea[], $16::text[])"
                  " as d(payment_id, slot, id, payment, command_id, attempts, queue, routing_key, type, reason, "
                  "publisher, message_id,"
                  " properties, history, body, body_sha256)" WON("d") " order by d.id");
    return 0;
}

/* --- the append --- */

static int run_batch(struct store *store, const struct plan *plan, const struct batch *batch, struct err *err)
{
    struct db_result *results[STORE_STATEMENTS_MAX] = {NULL};
    if (batch->count == 0)
        return 0;
    if (db_run(store->db, true, batch->statements, batch->count, results, err) != 0)
        return -1;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->statements[i].sql == insert_facts)
            note_won(plan, results[i]);
        db_result_free(results[i]);
    }
    return 0;
}

int store_append(struct store *store, struct append *append, struct err *err)
{
    struct plan plan = {0};
    size_t account_count;
    if (check_size(append, err) != 0)
        return -1;
    struct batch *batch = mem_new(1, sizeof *batch);
    struct account_key *accounts = new_accounts(store, append, &account_count);
    int r = plan_make(&plan, append, err);
    if (r == 0) {
        add_accounts(batch, accounts, account_count);
        add_commands(batch, append);
        add_payments(batch, &plan);
        add_facts(batch, &plan);
        add_transfers(batch, append);
        add_personal(batch, append);
        r = add_dead_letters(batch, append, err);
    }
    if (r == 0)
        r = run_batch(store, &plan, batch, err);
    if (r == 0)
        remember_accounts(store, accounts, account_count);
    free(accounts);
    batch_free(batch);
    plan_free(&plan);
    return r;
}

/* --- the look --- */

int store_load(struct store *store, const struct uuid *ids, size_t count, struct facts *ret, struct err *err)
{
    return read_facts(store->db, ids, count, ret, err);
}

int store_commands(struct store *store, const struct uuid *ids, size_t count, char (*ret_sha256)[65], struct err *err)
{
    struct db_array list = {0};
    struct uuid_text id;
    for (size_t i = 0; i < count; i++) {
        db_array_add(&list, text_of(ids[i], &id));
        ret_sha256[i][0] = '\0';
    }
    const char *params[] = {db_array_text(&list)};
    struct db_result *rows =
        db_query(store->db, "select id, sha256 from ledger.command where id = any($1::uuid[])", 1, params, err);
    db_array_free(&list);
    for (int row = 0; rows && row < db_rows(rows); row++) {
        struct uuid found = db_uuid(rows, row, 0);
        for (size_t i = 0; i < count; i++)
            if (uuid_equal(ids[i], found))
                snprintf(ret_sha256[i], sizeof ret_sha256[i], "%s", db_value(rows, row, 1));
    }
    int r = rows ? 0 : -1;
    db_result_free(rows);
    return r;
}
