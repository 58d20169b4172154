/* read.c - what people and the ingress read of the ledger
 *
 * Everything is derived from facts when it is asked for (L3); nothing here writes. Rows that go out as JSON are
 * built by the server, one object a row. Errors are db_query()'s; ERR_INTERNAL when a row cannot be read, ERR_LIMIT
 * when a sum leaves int64.
 */
#include "ledger/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/mem.h"

enum {
    SETTLE_TRIES = 200, /* looks at whether transactions that were open have ended */
    NUMBER_SIZE = 24,   /* an int64 as text */
};

/* Milliseconds are enough for people; the order is seq. */
#define TIME(column) "to_char(" column " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

static const char *number(int64_t n, char ret[static NUMBER_SIZE])
{
    snprintf(ret, NUMBER_SIZE, "%lld", (long long)n);
    return ret;
}

static const char *page_key(int64_t before_seq, char ret[static NUMBER_SIZE])
{
    return number(before_seq > 0 ? before_seq : INT64_MAX, ret);
}

static int check_limit(int limit, struct err *err)
{
    if (limit < 1 || limit > READ_PAGE_MAX)
        return err_set(err, ERR_INVALID, "a page has 1 to %d rows", READ_PAGE_MAX);
    return 0;
}

/* One JSON value of ours, read back. jansson's own text would quote it, so it is not passed on (L11). */
static json_t *load_json(const struct db_result *rows, int row, int column, struct err *err)
{
    json_error_t why = {0};
    const char *text = db_value(rows, row, column);
    json_t *value = text ? json_loadb(text, db_size(rows, row, column), 0, &why) : NULL;
    if (!value) {
        bool overflow = text && json_error_code(&why) == json_error_numeric_overflow;
        err_set(err, overflow ? ERR_LIMIT : ERR_INTERNAL, "a JSON value of the ledger cannot be read: %s",
                overflow ? "a number in it leaves int64" : "it is damaged");
    }
    return value;
}

/* The rows of a statement that gives one JSON value a row. */
static json_t *query_array(struct db *db, const char *sql, int param_count, const char *const *params, struct err *err)
{
    struct db_result *rows = db_query(db, sql, param_count, params, err);
    json_t *array = rows ? json_array() : NULL;
    for (int row = 0; array && row < db_rows(rows); row++) {
        json_t *value = load_json(rows, row, 0, err);
        if (!value) {
            json_decref(array);
            array = NULL;
        } else if (json_array_append_new(array, value) != 0) {
            json_decref(array);
            array = NULL;
            err_set(err, ERR_INTERNAL, "out of memory");
        }
    }
    db_result_free(rows);
    return array;
}

/* --- facts --- */

enum { FACT_PAYMENT, FACT_SEQ, FACT_AT, FACT_SLOT, FACT_OUTCOME, FACT_CAUSE, FACT_ACTOR, FACT_BODY };

static int take_fact(const struct db_result *rows, int row, struct fact *ret, struct err *err)
{
    const char *actor = db_value(rows, row, FACT_ACTOR);
    ret->body = load_json(rows, row, FACT_BODY, err);
    if (!ret->body)
        return -1;
    snprintf(ret->slot, sizeof ret->slot, "%s", db_value(rows, row, FACT_SLOT));
    snprintf(ret->outcome, sizeof ret->outcome, "%s", db_value(rows, row, FACT_OUTCOME));
    ret->cause = db_uuid(rows, row, FACT_CAUSE);
    ret->seq = db_int(rows, row, FACT_SEQ);
    ret->at_ms = db_int(rows, row, FACT_AT);
    ret->actor = actor ? mem_text(actor) : NULL;
    return 0;
}

/* How many rows from `row` on are of the same payment. */
static int group_size(const struct db_result *rows, int row)
{
    int n = 1;
    while (row + n < db_rows(rows) &&
           strcmp(db_value(rows, row, FACT_PAYMENT), db_value(rows, row + n, FACT_PAYMENT)) == 0)
        n++;
    return n;
}

static struct facts *facts_of(struct facts *all, size_t count, struct uuid payment)
{
    for (size_t i = 0; i < count; i++)
        if (uuid_equal(all[i].payment_id, payment))
            return &all[i];
    return NULL;
}

static int take_facts(const struct db_result *rows, size_t count, struct facts *ret, struct err *err)
{
    for (int row = 0, n; row < db_rows(rows); row += n) {
        struct facts *facts = facts_of(ret, count, db_uuid(rows, row, FACT_PAYMENT));
        n = group_size(rows, row);
        if (!facts)
            return err_set(err, ERR_INTERNAL, "the database gave a payment that was not asked for");
        facts->archived = db_value(rows, row, FACT_SLOT) == NULL; /* known, and nothing of it is here */
        if (facts->archived)
            continue;
        facts->items = mem_new((size_t)n, sizeof *facts->items);
        for (int i = 0; i < n; i++) {
            if (take_fact(rows, row + i, &facts->items[facts->count], err) != 0)
                return -1;
            facts->count++;
        }
    }
    return 0;
}

int read_facts(struct db *db, const struct uuid *ids, size_t count, struct facts *ret, struct err *err)
{
    struct db_array list = {0};
    char id[UUID_TEXT_SIZE];
    if (count > STORE_PAYMENTS_MAX)
        return err_set(err, ERR_LIMIT, "%zu payments at once; at most %d", count, STORE_PAYMENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        uuid_format(ids[i], id);
        db_array_add(&list, id);
        ret[i].payment_id = ids[i];
    }
    const char *params[] = {db_array_text(&list)};
    struct db_result *rows = db_query(
        db,
        "select wanted.payment_id, e.seq, floor(extract(epoch from e.at) * 1000)::bigint, e.slot, e.outcome, e.cause,"
        " e.actor, e.body from (select distinct unnest($1::uuid[]) as payment_id) as wanted"
        " cross join lateral (select p.began from ledger.payment p where p.payment_id = wanted.payment_id limit 1) as "
        "home"
        " left join lateral (select * from ledger.event e where e.began = home.began"
        " and e.payment_id = wanted.payment_id offset 0) as e on true order by wanted.payment_id, e.seq",
        1, params, err);
    db_array_free(&list);
    int r = rows ? take_facts(rows, count, ret, err) : -1;
    db_result_free(rows);
    for (size_t i = 0; r != 0 && i < count; i++)
        facts_clear(&ret[i]);
    return r;
}

int read_publisher(struct db *db, struct uuid payment, char ret[static PUBLISHER_SIZE], struct err *err)
{
    char id[UUID_TEXT_SIZE];
    const char *params[] = {id};
    uuid_format(payment, id);
    struct db_result *rows =
        db_query(db, "select publisher from ledger.command where payment_id = $1::uuid and type = 'payment.create'", 1,
                 params, err);
    if (!rows)
        return -1;
    snprintf(ret, PUBLISHER_SIZE, "%s", db_rows(rows) > 0 ? db_value(rows, 0, 0) : "");
    db_result_free(rows);
    return 0;
}

/* --- pages of payments --- */

/* Ids from column 0, seqs (when wanted) from column 1. */
static int take_ids(struct db_result *rows, struct uuid *ret_ids, int64_t *ret_seqs)
{
    int count = rows ? db_rows(rows) : -1;
    for (int row = 0; row < count; row++) {
        ret_ids[row] = db_uuid(rows, row, 0);
        if (ret_seqs)
            ret_seqs[row] = db_int(rows, row, 1);
    }
    db_result_free(rows);
    return count;
}

int read_payment_ids(struct db *db, int64_t before_seq, int limit, struct uuid *ret_ids, int64_t *ret_seqs,
                     struct err *err)
{
    char before[NUMBER_SIZE], most[NUMBER_SIZE];
    const char *params[] = {page_key(before_seq, before), number(limit, most)};
    if (check_limit(limit, err) != 0)
        return -1;
    return take_ids(db_query(db,
                             "select payment_id, seq from ledger.event where slot = 'received' and seq < $1::bigint"
                             " order by seq desc limit $2::int",
                             2, params, err),
                    ret_ids, ret_seqs);
}

/* --- money --- */

json_t *read_transfers(struct db *db, struct uuid payment, struct err *err)
{
    char id[UUID_TEXT_SIZE];
    const char *params[] = {id};
    uuid_format(payment, id);
    return query_array(
        db,
        "select jsonb_build_object('slot', slot, 'leg', leg, 'kind', kind, 'pendingOf', pending_of, 'debit', debit,"
        " 'credit', credit, 'amount', amount, 'currency', currency, 'at', " TIME(
            "at") ")"
                  " from ledger.transfer where payment_id = $1::uuid order by seq",
        1, params, err);
}

/* Posted money moved; a hold that is neither posted nor voided is pending, and so is what is in doubt. Accounts that were opened and never moved
 * stand with zeros. */
const char read_trial_balance_sql[] =
    "with posted as (select debit, credit, currency, amount from ledger.transfer where kind in "
    "('post', 'transfer')),"
    " pending as (select h.debit, h.credit, h.currency, h.amount from ledger.transfer h where "
    "h.kind = 'hold' and not exists"
    " (select from ledger.transfer r where r.began = h.began and r.payment_id = h.payment_id and r.pending_of = h.slot)"
    " union all select debit, credit, currency, amount from ledger.in_doubt),"
    " side (account, currency, debits, credits, pending_debits, pending_credits) as ("
    " select debit, currency, amount, 0, 0, 0 from posted union all select credit, currency, 0, "
    "amount, 0, 0 from posted"
    " union all select debit, currency, 0, 0, amount, 0 from pending union all select credit, "
    "currency, 0, 0, 0, amount from pending"
    " union all select b.account, b.currency, b.debits, b.credits, 0, 0 from ledger.archive_balance b join "
    "ledger.archived a on a.id = b.archive_id"
    " union all select name, currency, 0, 0, 0, 0 from ledger.account)"
    " select jsonb_build_object('account', account, 'currency', currency, 'debits', sum(debits), "
    "'credits', sum(credits),"
    " 'balance', sum(debits) - sum(credits), 'pendingDebits', sum(pending_debits), "
    "'pendingCredits', sum(pending_credits))"
    " from side group by account, currency order by currency, account";

json_t *read_trial_balance(struct db *db, struct err *err)
{
    return query_array(db, read_trial_balance_sql, 0, NULL, err);
}

json_t *read_in_doubt(struct db *db, int64_t give_up_ms, struct err *err)
{
    char give_up[NUMBER_SIZE];
    const char *params[] = {number(give_up_ms, give_up)};
    return query_array(db,
                       "select jsonb_build_object('provider', split_part(a.name, ':', 2), 'currency', a.currency,"
                       " 'amount', coalesce(sum(d.amount), 0), 'count', count(d.amount), 'oldestSeconds',"
                       " coalesce(extract(epoch from clock_timestamp() - min(d.since))::bigint, 0), 'cases',"
                       " count(d.amount) filter (where d.since <= clock_timestamp() - $1::bigint * interval '1 ms'))"
                       " from ledger.account a left join ledger.in_doubt d on d.debit = a.name and d.currency = "
                       "a.currency where a.kind = 'in_doubt' group by a.name, a.currency order by a.name, a.currency",
                       1, params, err);
}

json_t *read_personal(struct db *db, struct uuid payment, struct err *err)
{
    char id[UUID_TEXT_SIZE];
    const char *params[] = {id};
    uuid_format(payment, id);
    struct db_result *rows =
        db_query(db, "select data from ledger.personal where payment_id = $1::uuid", 1, params, err);
    if (!rows)
        return NULL;
    json_t *data = db_rows(rows) > 0 ? load_json(rows, 0, 0, err) : json_object();
    db_result_free(rows);
    return data;
}

/* --- dead letters --- */

/* A dead letter with what its facts say: held for a person, undone by compensation, and then what a person last said of
 * it (`words`: how often one spoke; `replays`: how often it was sent again). Facts about a message without a payment
 * stand under the dead letter's own id. */
#define DEAD_LETTERS                                                                                                   \
    "select *, coalesce(last_word, case when held then 'held' else 'compensated' end) as state from ("                 \
    "select d.*, coalesce(d.payment_id, d.id) as home, coalesce((e.body->>'held')::boolean, true) as held, said.*"     \
    " from ledger.dead_letter d left join ledger.event e on e.payment_id = coalesce(d.payment_id, d.id) and e.slot = " \
    "d.slot cross join lateral (select count(*) as words, count(*) filter (where r.outcome = 'replayed') as replays,"  \
    " (array_agg(r.outcome order by r.seq desc))[1] as last_word from ledger.event r"                                  \
    " where r.payment_id = coalesce(d.payment_id, d.id) and r.slot like 'replay:' || d.id || ':%') as said) as joined"

#define DEAD_LETTER_JSON                                                                                               \
    "jsonb_build_object('id', l.id, 'seq', l.seq, 'at', " TIME(                                                        \
        "l.at") ", 'queue', l.queue, 'type', l.type,"                                                                  \
                " 'reason', l.reason, 'paymentId', l.payment_id, 'commandId', l.command_id, 'publisher', l.publisher," \
                " 'messageId', l.message_id, 'attempts', l.attempts, 'held', l.held, 'replays', l.replays, 'words', "  \
                "l.words, 'state', l.state)"

json_t *read_dead_letters(struct db *db, const char *state, int64_t before_seq, int limit, struct err *err)
{
    char before[NUMBER_SIZE], rows[NUMBER_SIZE];
    const char *params[] = {page_key(before_seq, before), number(limit, rows), state};
    if (check_limit(limit, err) != 0)
        return NULL;
    return query_array(db,
                       "select " DEAD_LETTER_JSON " from (" DEAD_LETTERS ") as l where l.seq < $1::bigint"
                       " and ($3::text is null or l.state = $3::text) order by l.seq desc limit $2::int",
                       3, params, err);
}

/* The archived bytes from a bytea's text, "\x" and hex digits. free() it. */
static char *bytes_of(const struct db_result *rows, int row, int column, size_t *ret_size)
{
    size_t size = (db_size(rows, row, column) - 2) / 2;
    char *bytes = mem_new(size + 1, 1);
    if (hex_decode(db_value(rows, row, column) + 2, bytes, size) != 0) {
        free(bytes);
        return NULL;
    }
    *ret_size = size;
    return bytes;
}

/* As text when the bytes are text, else as base64 with a note that they are. */
static int set_body(json_t *letter, const char *bytes, size_t size, struct err *err)
{
    json_t *text = memchr(bytes, '\0', size) == NULL ? json_stringn(bytes, size) : NULL;
    if (!text) {
        char *encoded = mem_new(4 * ((size + 2) / 3) + 1, 1);
        base64_encode(bytes, size, encoded);
        text = json_string(encoded);
        free(encoded);
        if (json_object_set_new(letter, "bodyEncoding", json_string("base64")) != 0) {
            json_decref(text);
            return err_set(err, ERR_INTERNAL, "out of memory");
        }
    }
    return json_object_set_new(letter, "body", text) == 0 ? 0 : err_set(err, ERR_INTERNAL, "out of memory");
}

static json_t *take_dead_letter(const struct db_result *rows, struct err *err)
{
    size_t size = 0;
    json_t *letter = load_json(rows, 0, 0, err);
    char *bytes = letter ? bytes_of(rows, 0, 1, &size) : NULL;
    int r = -1;
    if (bytes)
        r = set_body(letter, bytes, size, err);
    else
        err_set(err, ERR_INTERNAL, "the dead letter's body cannot be read");
    free(bytes);
    if (r != 0) {
        json_decref(letter);
        return NULL;
    }
    return letter;
}

json_t *read_dead_letter(struct db *db, struct uuid id, struct err *err)
{
    char text[UUID_TEXT_SIZE];
    const char *params[] = {text};
    uuid_format(id, text);
    struct db_result *rows =
        db_query(db,
                 "select " DEAD_LETTER_JSON
                 " || jsonb_build_object('routingKey', l.routing_key, 'properties', l.properties, 'history', l.history,"
                 " 'bodySha256', l.body_sha256, 'facts', (select coalesce(jsonb_agg(jsonb_build_object('slot', e.slot, "
                 "'outcome', e.outcome,"
                 " 'cause', e.cause, 'actor', e.actor, 'at', " TIME(
                     "e.at") ", 'body', e.body) order by e.seq), '[]')"
                             " from ledger.event e where e.payment_id = l.home and (e.slot = l.slot or e.slot like "
                             "'replay:' || l.id || ':%'))), l.body"
                             " from (" DEAD_LETTERS ") as l where l.id = $1::uuid",
                 1, params, err);
    if (!rows)
        return NULL;
    json_t *letter = NULL;
    if (db_rows(rows) > 0)
        letter = take_dead_letter(rows, err);
    else
        err_set(err, ERR_NOT_FOUND, "there is no dead letter %s", text);
    db_result_free(rows);
    return letter;
}

/* --- the keeper's sweep --- */

/* What begins something that may need a look later: a payment, or, after its end, a refund, a late approval or a doubt whether there is one, or a dead
 * letter that is sent again. The same words as the index event_watched. */
#define WATCHED "slot ~ '^(received|refund:[0-9]+|auth:[0-9]+:late(:doubt:[0-9]+)?|replay:.*)$'"

/* The newest payment's seq, and an xid that is above that of every transaction which can own a seq up to it: a
 * transaction has its xid before it takes a seq (001_ledger.sql), and the two statements run one after the other. */
static int newest_payment(struct db *db, int64_t *ret_seq, char ret_xid[static NUMBER_SIZE], struct err *err)
{
    static const struct db_statement statements[] = {
        {.sql = "select coalesce(max(seq), 0) from ledger.event where " WATCHED},
        {.sql = "select ledger.xid()"},
    };
    struct db_result *results[2] = {NULL};
    if (db_run(db, false, statements, 2, results, err) != 0)
        return -1;
    *ret_seq = db_int(results[0], 0, 0);
    snprintf(ret_xid, NUMBER_SIZE, "%s", db_value(results[1], 0, 0));
    db_result_free(results[0]);
    db_result_free(results[1]);
    return 0;
}

/* 1 when every transaction below `xid` has ended, 0 when one outlasts our patience, -1 on failure. */
static int settled(struct db *db, const char *xid, struct err *err)
{
    const struct db_statement statements[] = {
        {.sql = "select ledger.horizon() >= $1::xid8", .param_count = 1, .params = &xid},
        {.sql = "select pg_sleep(0.005)"},
    };
    for (int i = 0; i < SETTLE_TRIES; i++) {
        struct db_result *results[2] = {NULL};
        if (db_run(db, false, statements, i == 0 ? 1 : 2, results, err) != 0)
            return -1;
        bool yes = db_bool(results[0], 0, 0);
        db_result_free(results[0]);
        db_result_free(results[1]);
        if (yes)
            return 1;
    }
    return 0;
}

int read_new_payments(struct db *db, int64_t after_seq, struct uuid *ret_ids, int limit, int64_t *ret_seq,
                      struct err *err)
{
    int64_t newest = 0, seqs[READ_PAGE_MAX];
    char xid[NUMBER_SIZE], after[NUMBER_SIZE], upto[NUMBER_SIZE], rows[NUMBER_SIZE];
    if (check_limit(limit, err) != 0 || newest_payment(db, &newest, xid, err) != 0)
        return -1;
    int ready = newest > after_seq ? settled(db, xid, err) : 0;
    if (ready <= 0) {
        *ret_seq = after_seq;
        return ready;
    }
    const char *params[] = {number(after_seq, after), number(newest, upto), number(limit, rows)};
    int count = take_ids(db_query(db,
                                  "select payment_id, seq from ledger.event where " WATCHED " and seq > $1::bigint"
                                  " and seq <= $2::bigint order by seq limit $3::int",
                                  3, params, err),
                         ret_ids, seqs);
    if (count >= 0)
        *ret_seq = count == limit ? seqs[count - 1] : newest;
    return count;
}

/* --- refunds --- */

int read_refund(struct db *db, struct uuid refund_command, struct uuid *ret_payment, struct err *err)
{
    char id[UUID_TEXT_SIZE];
    const char *params[] = {id};
    uuid_format(refund_command, id);
    int count = take_ids(
        db_query(db, "select payment_id from ledger.event where cause = $1::uuid and slot ~ '^refund:[0-9]+$' limit 1",
                 1, params, err),
        ret_payment, NULL);
    return count == 0 ? err_set(err, ERR_NOT_FOUND, "there is no refund %s", id) : count > 0 ? 0 : -1;
}
