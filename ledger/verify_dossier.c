/* verify_dossier.c - all that the ledger has of one payment after the other
 *
 * Streams in the order of payment ids, read side by side: facts, transfers, commands, homes, dead letters, and what schema view has of them. Each
 * sealed fact goes into the sums with its leaf on the way. A payment's rows are kept until the next payment is read, and nothing else is.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/json.h"
#include "common/mem.h"
#include "ledger/verify_internal.h"

enum { SQL_SIZE = 2048, CONDITION_SIZE = 512 };
static const int64_t ms_to_2000 = INT64_C(946684800000);

/* clang-format off */
#define LISTED(column) ", " #column
#define STREAMS(X)                                                                                                     \
    X(FACTS, "payment_id, began, slot, outcome, cause, actor, at, xid, seq, body from ledger.event",                   \
      "payment_id", "payment_id, slot")                                                                                \
    X(TRANSFERS, "payment_id, began, slot, leg, kind, pending_of, debit, credit, amount, currency::text, at, xid, seq" \
      " from ledger.transfer", "payment_id", "payment_id, slot, leg")                                                  \
    X(COMMANDS, "payment_id, id, type, publisher, message_id, sha256 from ledger.command", "payment_id", "payment_id") \
    X(HOMES, "payment_id, began from ledger.payment", "payment_id", "payment_id")                                      \
    X(LETTERS, "coalesce(payment_id, id), slot, id from ledger.dead_letter", "coalesce(payment_id, id)",               \
      "coalesce(payment_id, id)")                                                                                      \
    X(VIEW_PAYMENT, "payment_id" VIEW_PAYMENT_COLUMNS(LISTED) " from view.payment", "payment_id", "payment_id")        \
    X(VIEW_ATTEMPT, "payment_id" VIEW_ATTEMPT_COLUMNS(LISTED) " from view.attempt", "payment_id",                      \
      "payment_id, attempt_number")                                                                                    \
    X(VIEW_REFUND, "payment_id" VIEW_REFUND_COLUMNS(LISTED) " from view.refund", "payment_id",                         \
      "payment_id, refund_number")                                                                                     \
    X(VIEW_COMMISSION, "payment_id" VIEW_COMMISSION_COLUMNS(LISTED) " from view.commission", "payment_id",             \
      "payment_id, capture_number")
/* clang-format on */
enum stream {
#define X(id, select, payment, order) STREAM_##id,
    STREAMS(X)
#undef X
};
enum {
#define X(id, select, payment, order) +1
    STREAM_COUNT = 0 STREAMS(X)
#undef X
};
static const struct {
    const char *select, *payment, *order;
} streams[STREAM_COUNT] = {
#define X(id, select, payment, order) [STREAM_##id] = {select, payment, order},
    STREAMS(X)
#undef X
};

struct dossiers {
    const struct verify *verify;
    struct sums *sums;
    int64_t unsealed;
    struct db *db[STREAM_COUNT];
    struct db_row row[STREAM_COUNT];
    bool more[STREAM_COUNT];
    struct uuid payment[STREAM_COUNT]; /* that the row is of */
    bool given[STREAM_COUNT];          /* the row of schema view, to who compares it */
    bool begun;                        /* the dossier is one */
    struct err views_broken;           /* why there are no rows of schema view */

    struct arena arena;
    struct leaf_bytes bytes;
    size_t fact_room, transfer_room, command_room, letter_room, leg_room;
    struct leaf_transfer *legs; /* of each transfer of the dossier */
    struct dossier dossier;
};

/* --- memory --- */

/* Room for one more. */
static void *grown(void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    *room = *room ? 2 * *room : 16;
    return mem_grow(items, *room, size);
}

/* --- streams --- */

/* The next row of the stream, with its payment taken. */
static int advance(struct dossiers *d, enum stream stream, struct err *err)
{
    int r = db_stream_next(d->db[stream], &d->row[stream], err);
    d->more[stream] = r == 1;
    if (r == 1)
        d->payment[stream] = db_take_uuid(&d->row[stream]);
    return r < 0 ? -1 : 0;
}

static int unreadable(const char *what, struct err *err)
{
    return err_set(err, ERR_INTERNAL, "a row of ledger.%s cannot be read", what);
}

/* Payment ids are spread evenly: share n of count is those between two bounds. */
static void share_begins(int n, int count, char ret[static UUID_TEXT_SIZE])
{
    struct uuid bound = {0};
    uint64_t part = UINT64_MAX / (uint64_t)count * (uint64_t)n;
    for (int byte = 0; byte < 8; byte++)
        bound.bytes[byte] = (uint8_t)(part >> (56 - 8 * byte));
    uuid_format(bound, ret);
}

static void share(int n, int count, const char *payment, char ret[static CONDITION_SIZE])
{
    char low[UUID_TEXT_SIZE], high[UUID_TEXT_SIZE];
    share_begins(n, count, low);
    share_begins(n + 1, count, high);
    int size = snprintf(ret, CONDITION_SIZE, "%s >= '%s'", payment, low);
    if (n + 1 < count)
        snprintf(ret + size, CONDITION_SIZE - (size_t)size, " and %s < '%s'", payment, high);
}

/* Only payments that have gone on since. A transfer without a fact of its transaction is found by itself. */
static void changed(const struct verify *verify, enum stream stream, char ret[static CONDITION_SIZE])
{
    ret[0] = '\0';
    if (verify->options->since < 0)
        return;
    int size = snprintf(ret, CONDITION_SIZE,
                        " and (%s in (select c.payment_id from ledger.event c where c.xid >= '%" PRIu64 "'::xid8)",
                        streams[stream].payment, verify->since.xid);
    snprintf(ret + size, CONDITION_SIZE - (size_t)size,
             stream == STREAM_TRANSFERS ? " or xid >= '%" PRIu64 "'::xid8)" : ")", verify->since.xid);
}

static int begin(struct dossiers *d, enum stream stream, int n, int count, struct err *err)
{
    char sql[SQL_SIZE], of_share[CONDITION_SIZE], since[CONDITION_SIZE];
    share(n, count, streams[stream].payment, of_share);
    changed(d->verify, stream, since);
    snprintf(sql, sizeof sql, "select %s where %s%s order by %s", streams[stream].select, of_share, since,
             streams[stream].order);
    d->db[stream] = verify_connect(d->verify, err);
    if (!d->db[stream] || db_stream(d->db[stream], sql, err) != 0)
        return -1;
    return advance(d, stream, err);
}

struct dossiers *dossiers_new(const struct verify *verify, int n, int count, struct sums *sums, struct err *err)
{
    struct dossiers *d = mem_new(1, sizeof *d);
    d->verify = verify;
    d->sums = sums;
    for (int stream = 0; stream < STREAM_VIEW_PAYMENT; stream++)
        if (begin(d, (enum stream)stream, n, count, err) != 0) {
            dossiers_free(d);
            return NULL;
        }
    for (int stream = STREAM_VIEW_PAYMENT; stream < STREAM_COUNT && d->views_broken.code == ERR_NONE; stream++)
        if (begin(d, (enum stream)stream, n, count, &d->views_broken) != 0)
            memset(d->more + STREAM_VIEW_PAYMENT, false, STREAM_COUNT - STREAM_VIEW_PAYMENT);
    return d;
}

const struct err *dossiers_views_broken(const struct dossiers *d)
{
    return &d->views_broken;
}

static void clear(struct dossiers *d)
{
    struct facts *facts = &d->dossier.facts;
    for (size_t i = 0; i < facts->count; i++)
        json_decref(facts->items[i].body);
    facts->count = d->dossier.transfer_count = d->dossier.command_count = d->dossier.letter_count = 0;
    d->dossier.unreadable = NULL;
    d->dossier.unprojected = false;
    arena_clear(&d->arena);
}

void dossiers_free(struct dossiers *d)
{
    if (!d)
        return;
    clear(d);
    for (int stream = 0; stream < STREAM_COUNT; stream++)
        db_free(d->db[stream]);
    free(d->dossier.facts.items);
    free(d->dossier.more);
    free(d->dossier.transfers);
    free(d->dossier.commands);
    free(d->dossier.letters);
    free(d->legs);
    leaf_bytes_free(&d->bytes);
    arena_free(&d->arena);
    free(d);
}

int64_t dossiers_unsealed(const struct dossiers *d)
{
    return d->unsealed;
}

/* --- transfers --- */

static int take_transfer(struct dossiers *d, struct err *err)
{
    struct dossier *dossier = &d->dossier;
    struct db_row *row = &d->row[STREAM_TRANSFERS];
    size_t n = dossier->transfer_count;
    dossier->transfers = grown(dossier->transfers, n, &d->transfer_room, sizeof *dossier->transfers);
    d->legs = grown(d->legs, n, &d->leg_room, sizeof *d->legs);
    int32_t began = (int32_t)db_take_int(row, 4);
    const char *slot = arena_text(&d->arena, db_take_text(row));
    struct leaf_transfer *leg = &d->legs[n];
    leg->leg = (int)db_take_int(row, 2);
    leg->kind = db_take_text(row);
    leg->pending_of = db_take_text(row);
    leg->debit = db_take_text(row);
    leg->credit = db_take_text(row);
    leg->amount = db_take_int(row, 8);
    leg->currency = db_take_text(row);
    leg->at_us = db_take_int(row, 8);
    leg->xid = (uint64_t)db_take_int(row, 8);
    leg->seq = db_take_int(row, 8);
    if (!db_row_good(row))
        return unreadable("transfer", err);
    for (size_t i = 0; i < 5; i++) {
        struct text *texts[] = {&leg->kind, &leg->pending_of, &leg->debit, &leg->credit, &leg->currency};
        const char *copy = arena_text(&d->arena, *texts[i]);
        texts[i]->data = texts[i]->data ? copy : NULL;
    }
    dossier->transfers[dossier->transfer_count++] =
        (struct transfer){.slot = slot,
                          .kind = leg->kind.data,
                          .pending_of = leg->pending_of.data ? leg->pending_of.data : "",
                          .debit = leg->debit.data,
                          .credit = leg->credit.data,
                          .currency = leg->currency.data,
                          .leg = leg->leg,
                          .amount = leg->amount,
                          .xid = leg->xid,
                          .began = began};
    return advance(d, STREAM_TRANSFERS, err);
}

/* Transfers of this payment up to a slot, that one included; "": all. How many of them are of the slot itself. */
static int64_t take_transfers(struct dossiers *d, struct text slot, struct err *err)
{
    int64_t own = 0;
    while (d->more[STREAM_TRANSFERS] && uuid_equal(d->payment[STREAM_TRANSFERS], d->dossier.facts.payment_id)) {
        struct db_row ahead = d->row[STREAM_TRANSFERS];
        (void)db_take_int(&ahead, 4);
        int order = slot.data ? text_compare(db_take_text(&ahead), slot) : -1;
        if (order > 0)
            break;
        if (take_transfer(d, err) != 0)
            return -1;
        own += order == 0;
    }
    return own;
}

/* --- facts --- */

/* The leaf of a sealed fact goes into the sums. */
static void sum_up(struct dossiers *d, const struct leaf_fact *fact, size_t own)
{
    const struct segments *segments = d->verify->segments;
    struct place place = {fact->xid, fact->seq};
    ptrdiff_t segment = segments_find(segments, place);
    d->dossier.unprojected |= place_compare(place, d->verify->projected) > 0;
    if (segment == (ptrdiff_t)segments->count)
        d->unsealed++;
    if (segment < 0 || segment == (ptrdiff_t)segments->count)
        return;
    struct hash leaf = leaf_of_columns(fact, d->legs + d->dossier.transfer_count - own, own, &d->bytes);
    sums_add(d->sums, segments, (size_t)segment, place, fact->payment_id, fact->slot, &leaf);
}

/* Facts into whose objects a projection looks (project.c): what was received, and what came of an attempt or a refund. */
static bool looks_within(enum slot_kind kind)
{
    static const bool looked_into[SLOT_KIND_COUNT] = {
        [SLOT_RECEIVED] = true, [SLOT_AUTH_RESULT] = true,   [SLOT_AUTH_LATE] = true,    [SLOT_AUTH_DOUBT] = true,
        [SLOT_REFUND] = true,   [SLOT_REFUND_RESULT] = true, [SLOT_REFUND_DOUBT] = true,
    };
    return looked_into[kind];
}

static void keep_fact(struct dossiers *d, const struct leaf_fact *fact, int32_t began)
{
    struct dossier *dossier = &d->dossier;
    size_t n = dossier->facts.count;
    if (fact->slot.size >= SLOT_SIZE || fact->outcome.size >= OUTCOME_SIZE) {
        dossier->unreadable = arena_text(&d->arena, fact->slot);
        return;
    }
    if (n == d->fact_room) {
        dossier->facts.items = grown(dossier->facts.items, n, &d->fact_room, sizeof *dossier->facts.items);
        dossier->more = mem_grow(dossier->more, d->fact_room, sizeof *dossier->more);
    }
    struct fact *ret = &dossier->facts.items[n];
    *ret = (struct fact){.cause = fact->cause,
                         .seq = fact->seq,
                         .at_ms = ms_to_2000 + fact->at_us / 1000 - (fact->at_us % 1000 < 0),
                         .actor = fact->actor.data ? arena_text(&d->arena, fact->actor) : NULL};
    memcpy(ret->slot, fact->slot.data, fact->slot.size);
    memcpy(ret->outcome, fact->outcome.data, fact->outcome.size);
    dossier->more[n] = (struct fact_more){slot_parse(ret->slot), fact->xid, began};
    ret->body = verify_body(fact->body, looks_within(dossier->more[n].slot.kind));
    dossier->facts.count++;
    if (!ret->body)
        dossier->unreadable = arena_text(&d->arena, fact->slot);
}

static int take_fact(struct dossiers *d, struct err *err)
{
    struct db_row *row = &d->row[STREAM_FACTS];
    struct leaf_fact fact = {.payment_id = d->payment[STREAM_FACTS]};
    int32_t began = (int32_t)db_take_int(row, 4);
    fact.slot = db_take_text(row);
    fact.outcome = db_take_text(row);
    fact.cause = db_take_uuid(row);
    fact.actor = db_take_text(row);
    fact.at_us = db_take_int(row, 8);
    fact.xid = (uint64_t)db_take_int(row, 8);
    fact.seq = db_take_int(row, 8);
    fact.body = db_take_jsonb(row);
    if (!db_row_good(row) || !fact.slot.data || !fact.outcome.data)
        return unreadable("event", err);
    int64_t own = take_transfers(d, fact.slot, err);
    if (own < 0)
        return -1;
    sum_up(d, &fact, (size_t)own);
    keep_fact(d, &fact, began);
    return advance(d, STREAM_FACTS, err);
}

/* --- what else there is --- */

/* Goes on to the rows of this payment; 1: there is one. */
static int come_to(struct dossiers *d, enum stream stream, struct err *err)
{
    while (d->more[stream] && uuid_compare(d->payment[stream], d->dossier.facts.payment_id) < 0)
        if (advance(d, stream, err) != 0)
            return -1;
    return d->more[stream] && uuid_equal(d->payment[stream], d->dossier.facts.payment_id);
}

static int take_commands(struct dossiers *d, struct err *err)
{
    struct dossier *dossier = &d->dossier;
    struct db_row *row = &d->row[STREAM_COMMANDS];
    int r;
    while ((r = come_to(d, STREAM_COMMANDS, err)) == 1) {
        dossier->commands =
            grown(dossier->commands, dossier->command_count, &d->command_room, sizeof *dossier->commands);
        struct command *command = &dossier->commands[dossier->command_count++];
        command->id = db_take_uuid(row);
        command->type = arena_text(&d->arena, db_take_text(row));
        command->publisher = arena_text(&d->arena, db_take_text(row));
        command->message = arena_text(&d->arena, db_take_text(row));
        command->sha256 = arena_text(&d->arena, db_take_text(row));
        if (!db_row_good(row))
            return unreadable("command", err);
        if (advance(d, STREAM_COMMANDS, err) != 0)
            return -1;
    }
    return r;
}

static int take_home(struct dossiers *d, struct err *err)
{
    struct db_row *row = &d->row[STREAM_HOMES];
    int r = come_to(d, STREAM_HOMES, err);
    d->dossier.has_home = r == 1;
    if (r != 1)
        return r;
    d->dossier.began = (int32_t)db_take_int(row, 4);
    return db_row_good(row) ? advance(d, STREAM_HOMES, err) : unreadable("payment", err);
}

static int take_letters(struct dossiers *d, struct err *err)
{
    struct dossier *dossier = &d->dossier;
    struct db_row *row = &d->row[STREAM_LETTERS];
    int r;
    while ((r = come_to(d, STREAM_LETTERS, err)) == 1) {
        dossier->letters = grown(dossier->letters, dossier->letter_count, &d->letter_room, sizeof *dossier->letters);
        struct letter *letter = &dossier->letters[dossier->letter_count++];
        letter->slot = arena_text(&d->arena, db_take_text(row));
        letter->id = db_take_uuid(row);
        if (!db_row_good(row))
            return unreadable("dead_letter", err);
        if (advance(d, STREAM_LETTERS, err) != 0)
            return -1;
    }
    return r;
}

/* The first payment of which any stream has a row that says something; false: none. */
static bool choose(struct dossiers *d)
{
    static const enum stream leading[] = {STREAM_FACTS,        STREAM_TRANSFERS,   STREAM_VIEW_PAYMENT,
                                          STREAM_VIEW_ATTEMPT, STREAM_VIEW_REFUND, STREAM_VIEW_COMMISSION};
    const struct uuid *first = NULL;
    for (size_t i = 0; i < sizeof leading / sizeof leading[0]; i++)
        if (d->more[leading[i]] && (!first || uuid_compare(d->payment[leading[i]], *first) < 0))
            first = &d->payment[leading[i]];
    if (!first)
        return false;
    d->dossier.facts.payment_id = *first;
    uuid_format(*first, d->dossier.id);
    return true;
}

int dossiers_view(struct dossiers *d, enum view_table table, struct db_row **ret, struct err *err)
{
    enum stream stream = STREAM_VIEW_PAYMENT + (int)table;
    if (d->given[stream] && advance(d, stream, err) != 0)
        return -1;
    int r = come_to(d, stream, err);
    d->given[stream] = r == 1;
    *ret = &d->row[stream];
    return r;
}

/* What nobody has compared. */
static int pass_views(struct dossiers *d, struct err *err)
{
    struct db_row *row;
    int r = 0;
    for (int table = 0; d->begun && r == 0 && table < VIEW_TABLE_COUNT; table++)
        while (uuid_equal(d->payment[STREAM_VIEW_PAYMENT + table], d->dossier.facts.payment_id) &&
               (r = dossiers_view(d, (enum view_table)table, &row, err)) == 1)
            ;
    return r;
}

int dossiers_next(struct dossiers *d, const struct dossier **ret, struct err *err)
{
    const struct text all = {NULL, 0};
    if (pass_views(d, err) != 0)
        return -1;
    clear(d);
    d->begun = choose(d);
    if (!d->begun)
        return 0;
    while (d->more[STREAM_FACTS] && uuid_equal(d->payment[STREAM_FACTS], d->dossier.facts.payment_id))
        if (take_fact(d, err) != 0)
            return -1;
    if (take_transfers(d, all, err) < 0 || take_commands(d, err) != 0 || take_home(d, err) != 0 ||
        take_letters(d, err) != 0)
        return -1;
    *ret = &d->dossier;
    return 1;
}

const struct fact *dossier_fact(const struct dossier *dossier, const char *slot, uint64_t *ret_xid)
{
    const struct fact *fact = facts_find(&dossier->facts, slot);
    if (fact && ret_xid)
        *ret_xid = dossier->more[fact - dossier->facts.items].xid;
    return fact;
}
