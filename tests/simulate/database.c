/* database.c - the ledger in memory, in the place of ledger/store.h, read.h and db.h
 *
 * What the schema promises: one fact a slot, who comes second loses; dependents and transfers only for what was won in the same append (L2, L8);
 * an abort closes auth:1 (L7); the fence of fail-over (L6); a key's first body (L10); nothing is ever changed. An append is one transaction and
 * happens at one moment; who asks for it waits before and after, so others come in between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "common/mutant.h"
#include "ledger/read.h"
#include "tests/simulate/simulate.h"

enum {
    BUCKETS = 1024,
    WAVES = 4,
    LATENCY_US = 400, /* a way to the database and back takes up to twice as long */
    AWAY_MOST_S = 20,
};

struct row {
    struct fact fact;
    int64_t xid;
};

struct home { /* one payment */
    struct uuid id;
    struct row *rows;
    size_t count, capacity;
    struct new_transfer *transfers;
    size_t transfer_count, transfer_capacity;
    struct home *next;
};

struct held_command {
    struct uuid id;
    char sha256[65];
    struct held_command *next;
};

struct found {
    struct uuid id;
    int64_t seq;
};

static struct {
    struct home *homes[BUCKETS], **order;
    struct found *watched; /* what a keeper finds, by seq */
    size_t watched_count, watched_capacity;
    size_t count, capacity;
    struct held_command *commands[BUCKETS];
    struct ledger_letter *letters;
    size_t letter_count, letter_capacity;
    int64_t seq, xid, away_until_us;
} ledger;

static size_t bucket(struct uuid id)
{
    return (size_t)(id.bytes[0] | id.bytes[1] << 8) % BUCKETS;
}

static struct home *find_home(struct uuid id)
{
    for (struct home *home = ledger.homes[bucket(id)]; home; home = home->next)
        if (uuid_equal(home->id, id))
            return home;
    return NULL;
}

static struct home *make_home(struct uuid id)
{
    struct home *home = find_home(id);
    if (home)
        return home;
    home = mem_new(1, sizeof *home);
    *home = (struct home){.id = id, .next = ledger.homes[bucket(id)]};
    ledger.homes[bucket(id)] = home;
    if (ledger.count == ledger.capacity) {
        ledger.capacity = ledger.capacity ? 2 * ledger.capacity : 128;
        ledger.order = mem_grow(ledger.order, ledger.capacity, sizeof *ledger.order);
    }
    ledger.order[ledger.count++] = home;
    return home;
}

static const struct row *find_row(const struct home *home, const char *slot)
{
    for (size_t i = 0; home && i < home->count; i++)
        if (strcmp(home->rows[i].fact.slot, slot) == 0)
            return &home->rows[i];
    return NULL;
}

/* --- an append --- */

static const char *command_sha256(struct uuid id)
{
    for (const struct held_command *c = ledger.commands[bucket(id)]; c; c = c->next)
        if (uuid_equal(c->id, id))
            return c->sha256;
    return "";
}

static void add_command(const struct new_command *command)
{
    if (*command_sha256(command->id))
        return;
    struct held_command *held = mem_new(1, sizeof *held);
    *held = (struct held_command){.id = command->id, .next = ledger.commands[bucket(command->id)]};
    memcpy(held->sha256, command->sha256, sizeof held->sha256);
    ledger.commands[bucket(command->id)] = held;
}

static bool is_watched(const struct fact *fact)
{
    enum slot_kind kind = slot_parse(fact->slot).kind;
    return kind == SLOT_RECEIVED || kind == SLOT_REFUND || kind == SLOT_AUTH_LATE || kind == SLOT_AUTH_LATE_DOUBT ||
           kind == SLOT_REPLAY;
}

static void watch(const struct home *home, const struct fact *fact)
{
    if (!is_watched(fact))
        return;
    if (ledger.watched_count == ledger.watched_capacity) {
        ledger.watched_capacity = ledger.watched_capacity ? 2 * ledger.watched_capacity : 256;
        ledger.watched = mem_grow(ledger.watched, ledger.watched_capacity, sizeof *ledger.watched);
    }
    ledger.watched[ledger.watched_count++] = (struct found){home->id, fact->seq};
}

static bool add_fact(struct home *home, const struct new_fact *fact)
{
    const struct row *parent = *fact->with ? find_row(home, fact->with) : NULL;
    if (*fact->with && (!parent || parent->xid != ledger.xid))
        return false;
    if (!uuid_is_nil(fact->command) && strcmp(command_sha256(fact->command), fact->command_sha256) != 0)
        return false;
    if (find_row(home, fact->slot) && !(MUTANT(SLOTS_TWICE) && slot_parse(fact->slot).kind != SLOT_AUTH))
        return false;
    if (home->count == home->capacity) {
        home->capacity = home->capacity ? 2 * home->capacity : 16;
        home->rows = mem_grow(home->rows, home->capacity, sizeof *home->rows);
    }
    struct row *row = &home->rows[home->count++];
    *row = (struct row){.xid = ledger.xid};
    memcpy(row->fact.slot, fact->slot, sizeof row->fact.slot);
    memcpy(row->fact.outcome, fact->outcome, sizeof row->fact.outcome);
    row->fact.cause = fact->cause;
    row->fact.seq = ++ledger.seq;
    row->fact.at_ms = INT64_C(1767225600000) + now_us / 1000;
    row->fact.actor = mem_text(fact->actor);
    row->fact.body = fact->body ? json_incref(fact->body) : json_object();
    watch(home, &row->fact);
    return true;
}

/* L7 */
static void close_authorization(struct home *home, const struct new_fact *abort)
{
    struct new_fact closing = {.slot = "auth:1", .outcome = "closed", .cause = abort->cause};
    memcpy(closing.actor, abort->actor, sizeof closing.actor);
    if (!MUTANT(NOT_CLOSED))
        add_fact(home, &closing);
}

/* The ranks of ledger/store.c. */
static int rank(const char *slot)
{
    switch (slot_parse(slot).kind) {
    case SLOT_DECISION:
    case SLOT_TOKEN_ACTIVE:
        return 1;
    case SLOT_AUTH:
        return 2;
    default:
        return 0;
    }
}

static int wave_of(const struct append *append, const struct new_fact *fact, int depth)
{
    int wave = rank(fact->slot);
    for (size_t i = 0; *fact->with && depth < WAVES && i < append->fact_count; i++) {
        const struct new_fact *parent = &append->facts[i];
        if (!uuid_equal(parent->payment_id, fact->payment_id) || strcmp(parent->slot, fact->with) != 0)
            continue;
        int above = wave_of(append, parent, depth + 1) + 1;
        wave = wave > above ? wave : above;
    }
    return wave;
}

/* L6: auth:N only in the very transaction that won the negative result of auth:N-1. */
static bool passes_fence(const struct home *home, const struct new_fact *fact)
{
    char slot[SLOT_SIZE];
    struct slot parsed = slot_parse(fact->slot);
    if (parsed.kind != SLOT_AUTH || parsed.n < 2 || MUTANT(FAIL_OVER_ANYWAY))
        return true;
    snprintf(slot, sizeof slot, "auth:%d:result", parsed.n - 1);
    const struct row *before = find_row(home, slot);
    return before && before->xid == ledger.xid && strcmp(before->fact.outcome, "approved") != 0;
}

static void undo(const struct append *append, int64_t seq)
{
    while (ledger.watched_count > 0 && ledger.watched[ledger.watched_count - 1].seq > seq)
        ledger.watched_count--;
    for (size_t i = 0; i < append->fact_count; i++) {
        struct home *home = find_home(append->facts[i].payment_id);
        while (home && home->count > 0 && home->rows[home->count - 1].xid == ledger.xid) {
            struct fact *fact = &home->rows[--home->count].fact;
            free(fact->actor);
            json_decref(fact->body);
        }
    }
}

static int add_facts(struct append *append, struct err *err)
{
    for (int wave = 0; wave < WAVES; wave++)
        for (size_t i = 0; i < append->fact_count; i++) {
            struct new_fact *fact = &append->facts[i];
            if (wave_of(append, fact, 0) != wave)
                continue;
            struct home *home = make_home(fact->payment_id);
            fact->won = add_fact(home, fact);
            if (fact->won && !passes_fence(home, fact))
                return err_set(err, ERR_AGAIN, "%s is refused by the fence", fact->slot);
            if (fact->won && strcmp(fact->slot, "decision") == 0 && strcmp(fact->outcome, "abort") == 0)
                close_authorization(home, fact);
            if (fact->won)
                story("FACT %s=%s %02x%02x", fact->slot, fact->outcome, fact->payment_id.bytes[0],
                      fact->payment_id.bytes[1]);
        }
    return 0;
}

static bool won(const struct home *home, const char *slot)
{
    const struct row *row = find_row(home, slot);
    return row && row->xid == ledger.xid;
}

/* L8: a hold is posted or voided once, by its own accounts, up to its amount. */
static bool fits_its_hold(const struct home *home, const struct new_transfer *transfer)
{
    bool found = !*transfer->pending_of;
    for (size_t i = 0; i < home->transfer_count && *transfer->pending_of; i++) {
        const struct new_transfer *other = &home->transfers[i];
        if (strcmp(other->pending_of, transfer->pending_of) == 0)
            return false;
        if (strcmp(other->slot, transfer->pending_of) == 0 && strcmp(other->kind, "hold") == 0)
            found = strcmp(other->debit, transfer->debit) == 0 && strcmp(other->credit, transfer->credit) == 0 &&
                    transfer->amount <= other->amount;
    }
    return found && transfer->amount > 0;
}

static int add_transfers(const struct append *append, struct err *err)
{
    for (size_t i = 0; i < append->transfer_count; i++) {
        const struct new_transfer *transfer = &append->transfers[i];
        struct home *home = make_home(transfer->payment_id);
        if (!won(home, transfer->slot) && !MUTANT(TRANSFERS_ANYWAY)) /* L8 */
            continue;
        if (!fits_its_hold(home, transfer))
            return err_set(err, ERR_INTERNAL, "transfer of %s fits neither its fact nor its hold", transfer->slot);
        if (home->transfer_count == home->transfer_capacity) {
            home->transfer_capacity = home->transfer_capacity ? 2 * home->transfer_capacity : 8;
            home->transfers = mem_grow(home->transfers, home->transfer_capacity, sizeof *home->transfers);
        }
        home->transfers[home->transfer_count++] = *transfer;
    }
    return 0;
}

static void add_letters(const struct append *append)
{
    for (size_t i = 0; i < append->dead_letter_count; i++) {
        const struct new_dead_letter *letter = &append->dead_letters[i];
        char id[UUID_TEXT_SIZE];
        struct uuid home_id = uuid_is_nil(letter->payment_id) ? letter->id : letter->payment_id;
        const struct home *home = find_home(home_id);
        uuid_format(letter->id, id);
        bool archived = false;
        for (size_t k = 0; home && k < home->count; k++)
            archived = archived || (home->rows[k].xid == ledger.xid &&
                                    strcmp(json_text(home->rows[k].fact.body, "deadLetter", ""), id) == 0);
        if (!archived)
            continue;
        if (ledger.letter_count == ledger.letter_capacity) {
            ledger.letter_capacity = ledger.letter_capacity ? 2 * ledger.letter_capacity : 16;
            ledger.letters = mem_grow(ledger.letters, ledger.letter_capacity, sizeof *ledger.letters);
        }
        struct ledger_letter *row = &ledger.letters[ledger.letter_count++];
        *row = (struct ledger_letter){.id = letter->id,
                                      .payment_id = letter->payment_id,
                                      .command_id = letter->command_id,
                                      .queue = mem_text(letter->queue),
                                      .type = mem_text(letter->type),
                                      .reason = mem_text(letter->reason),
                                      .publisher = mem_text(letter->publisher),
                                      .message_id = mem_text(letter->message_id),
                                      .body = mem_new(letter->body_size + 1, 1)};
        memcpy(row->body, letter->body, letter->body_size);
        row->body[letter->body_size] = '\0';
        memcpy(row->body_sha256, letter->body_sha256, sizeof row->body_sha256);
        story("DEAD LETTER %s of %s: %s %s", row->type, row->queue, row->reason,
              json_text(json_array_get(letter->history, json_array_size(letter->history) - 1), "reason", ""));
    }
}

static int apply(struct append *append, struct err *err)
{
    int64_t seq = ledger.seq;
    ledger.xid++;
    for (size_t i = 0; i < append->command_count; i++)
        add_command(&append->commands[i]);
    if (add_facts(append, err) == 0 && add_transfers(append, err) == 0) {
        add_letters(append);
        return 0;
    }
    undo(append, seq);
    return -1;
}

/* --- ledger/store.h --- */

struct db {
    const struct db_options *options;
    struct db_options kept;
    bool connected;
};

struct store {
    struct db db;
};

void database_away(int64_t until_us)
{
    ledger.away_until_us = until_us;
}

/* Waits as a statement does. -1: the server is away. */
static int travel(struct db *db, struct err *err)
{
    process_wait((int64_t)chance_below(LATENCY_US));
    if (fault(CHANCE_LEDGER_AWAY, 1))
        database_away(now_us + chance_between(1, AWAY_MOST_S) * 1000000);
    if (now_us < ledger.away_until_us) {
        db->connected = false;
        return err_set(err, ERR_AGAIN, "the server is away");
    }
    return db_connect(db, err);
}

struct store *store_new(const struct db_options *options, struct err *err)
{
    (void)err;
    struct store *store = mem_new(1, sizeof *store);
    store->db = (struct db){.kept = *options};
    return store;
}

void store_free(struct store *store)
{
    free(store);
}

struct db *store_db(struct store *store)
{
    return &store->db;
}

static int check_append(const struct append *append, struct err *err)
{
    for (size_t i = 0; i < append->fact_count; i++)
        for (size_t k = 0; k < i; k++)
            if (uuid_equal(append->facts[i].payment_id, append->facts[k].payment_id) &&
                strcmp(append->facts[i].slot, append->facts[k].slot) == 0)
                return err_set(err, ERR_INVALID, "an append holds two facts for %s of one payment",
                               append->facts[i].slot);
    return 0;
}

int store_append(struct store *store, struct append *append, struct err *err)
{
    for (size_t i = 0; i < append->fact_count; i++)
        append->facts[i].won = false;
    if (check_append(append, err) != 0 || travel(&store->db, err) != 0)
        return -1;
    if (fault(CHANCE_DEADLOCK, 4))
        return err_set(err, ERR_AGAIN, "deadlock");
    if (fault(CHANCE_COMMIT_LOST, 2))
        return err_set(err, ERR_UNKNOWN, "the connection was lost before COMMIT was done");
    int r = apply(append, err);
    process_wait((int64_t)chance_below(LATENCY_US));
    if (r == 0 && fault(CHANCE_COMMIT_UNKNOWN, 2))
        return err_set(err, ERR_UNKNOWN, "the connection was lost after COMMIT was sent");
    return r;
}

void database_facts(struct uuid payment, struct facts *ret)
{
    const struct home *home = find_home(payment);
    *ret = (struct facts){.payment_id = payment};
    if (!home || home->count == 0)
        return;
    ret->items = mem_new(home->count, sizeof *ret->items);
    ret->count = home->count;
    size_t first = (size_t)chance_below(home->count); /* in any order (L3) */
    for (size_t i = 0; i < home->count; i++) {
        const struct row *row = &home->rows[(first + i) % home->count];
        ret->items[i] = row->fact;
        ret->items[i].actor = mem_text(row->fact.actor);
        json_incref(ret->items[i].body);
    }
}

int read_facts(struct db *db, const struct uuid *ids, size_t count, struct facts *ret, struct err *err)
{
    if (travel(db, err) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        database_facts(ids[i], &ret[i]);
    process_wait((int64_t)chance_below(LATENCY_US));
    return 0;
}

int store_load(struct store *store, const struct uuid *ids, size_t count, struct facts *ret, struct err *err)
{
    return read_facts(&store->db, ids, count, ret, err);
}

/* --- ledger/read.h, as far as workers and keeper ask --- */

int read_new_payments(struct db *db, int64_t after_seq, struct uuid *ret_ids, int limit, int64_t *ret_seq,
                      struct err *err)
{
    if (travel(db, err) != 0)
        return -1;
    size_t first = ledger.watched_count;
    while (first > 0 && ledger.watched[first - 1].seq > after_seq)
        first--;
    int taken = 0;
    *ret_seq = ledger.seq;
    for (size_t i = first; i < ledger.watched_count && taken < limit; i++) {
        ret_ids[taken++] = ledger.watched[i].id;
        *ret_seq = taken == limit ? ledger.watched[i].seq : ledger.seq;
    }
    return taken;
}

json_t *read_dead_letter(struct db *db, struct uuid id, struct err *err)
{
    if (travel(db, err) != 0)
        return NULL;
    for (size_t i = 0; i < ledger.letter_count; i++) {
        const struct ledger_letter *letter = &ledger.letters[i];
        char text[UUID_TEXT_SIZE], payment[UUID_TEXT_SIZE];
        if (!uuid_equal(letter->id, id))
            continue;
        uuid_format(letter->id, text);
        json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", text, "type", letter->type, "publisher",
                                letter->publisher, "messageId", letter->message_id, "body", letter->body, "bodySha256",
                                letter->body_sha256, "reason", letter->reason);
        uuid_format(letter->payment_id, payment);
        if (!uuid_is_nil(letter->payment_id))
            json_object_set_new(row, "paymentId", json_string(payment));
        return row;
    }
    err_set(err, ERR_NOT_FOUND, "no such dead letter");
    return NULL;
}

json_t *read_personal(struct db *db, struct uuid payment, struct err *err)
{
    (void)payment;
    return travel(db, err) == 0 ? json_object() : NULL;
}

json_t *read_in_doubt(struct db *db, int64_t give_up_ms, struct err *err)
{
    (void)give_up_ms;
    return travel(db, err) == 0 ? json_array() : NULL;
}

/* --- ledger/db.h, as far as guard.c asks: which server this is --- */

struct db *db_new(const struct db_options *options, struct err *err)
{
    (void)err;
    struct db *db = mem_new(1, sizeof *db);
    *db = (struct db){.kept = *options};
    return db;
}

void db_free(struct db *db)
{
    free(db);
}

int db_connect(struct db *db, struct err *err)
{
    if (now_us < ledger.away_until_us)
        return err_set(err, ERR_AGAIN, "the server is away");
    if (db->connected)
        return 0;
    db->connected = true;
    if (!db->kept.opened || db->kept.opened(db->kept.arg, db, err) == 0)
        return 0;
    db->connected = false;
    return -1;
}

/* The answer to epoch_check(): what stands here was written here. */
struct db_result *db_query(struct db *db, const char *sql, int param_count, const char *const *params, struct err *err)
{
    (void)db;
    (void)sql;
    (void)param_count;
    (void)params;
    (void)err;
    return mem_new(1, 1);
}

int db_run(struct db *db, bool transaction, const struct db_statement *statements, size_t count, struct db_result **ret,
           struct err *err)
{
    (void)db;
    (void)transaction;
    (void)statements;
    (void)count;
    (void)ret;
    return err_set(err, ERR_INTERNAL, "the simulated ledger runs no statements");
}

int db_rows(const struct db_result *result)
{
    return result ? 1 : 0;
}

const char *db_value(const struct db_result *result, int row, int column)
{
    (void)result;
    (void)row;
    return column == 3 ? "1/00000001" : "0";
}

int64_t db_int(const struct db_result *result, int row, int column)
{
    (void)result;
    (void)row;
    (void)column;
    return 0;
}

bool db_bool(const struct db_result *result, int row, int column)
{
    (void)result;
    (void)row;
    (void)column;
    return false;
}

void db_result_free(struct db_result *result)
{
    free(result);
}

/* --- for who judges --- */

size_t database_payment_count(void)
{
    return ledger.count;
}

struct uuid database_payment(size_t i)
{
    return ledger.order[i]->id;
}

size_t database_letter_count(void)
{
    return ledger.letter_count;
}

struct ledger_letter *database_letter(size_t i)
{
    return &ledger.letters[i];
}

bool database_has_command(struct uuid id)
{
    return *command_sha256(id) != '\0';
}

bool database_caused(struct uuid payment, struct uuid command)
{
    const struct home *home = find_home(payment);
    for (size_t i = 0; home && i < home->count; i++)
        if (uuid_equal(home->rows[i].fact.cause, command))
            return true;
    return false;
}

static bool is_resolved(const struct home *home, const char *slot)
{
    for (size_t i = 0; i < home->transfer_count; i++)
        if (strcmp(home->transfers[i].pending_of, slot) == 0)
            return true;
    return false;
}

struct ledger_money database_money(struct uuid payment, const char *provider)
{
    struct ledger_money money = {0};
    char account[ACCOUNT_SIZE];
    const struct home *home = find_home(payment);
    snprintf(account, sizeof account, "receivable:%s", provider);
    for (size_t i = 0; home && i < home->transfer_count; i++) {
        const struct new_transfer *t = &home->transfers[i];
        bool posted = strcmp(t->kind, "post") == 0 || strcmp(t->kind, "transfer") == 0;
        if (posted)
            money.receivable +=
                (strcmp(t->debit, account) == 0 ? t->amount : 0) - (strcmp(t->credit, account) == 0 ? t->amount : 0);
        if (strcmp(t->kind, "hold") == 0 && strcmp(t->debit, account) == 0 && !is_resolved(home, t->slot))
            money.held += t->amount;
    }
    return money;
}

void database_start(void)
{
    memset(&ledger, 0, sizeof ledger);
}

static void free_home(struct home *home)
{
    for (size_t i = 0; i < home->count; i++) {
        free(home->rows[i].fact.actor);
        json_decref(home->rows[i].fact.body);
    }
    free(home->rows);
    free(home->transfers);
    free(home);
}

void database_end(void)
{
    for (size_t i = 0; i < ledger.count; i++)
        free_home(ledger.order[i]);
    free(ledger.order);
    free(ledger.watched);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct held_command *c = ledger.commands[i], *next; c; c = next) {
            next = c->next;
            free(c);
        }
    for (size_t i = 0; i < ledger.letter_count; i++) {
        struct ledger_letter *letter = &ledger.letters[i];
        char *const texts[] = {letter->queue,     letter->type,       letter->reason,
                               letter->publisher, letter->message_id, letter->body};
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            free(texts[k]);
    }
    free(ledger.letters);
    memset(&ledger, 0, sizeof ledger);
}
