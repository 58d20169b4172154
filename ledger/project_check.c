/* project_check.c - are the projections what the facts give? Compared payment by payment, and written again where asked for
 *
 * The server compares the texts of whole rows, so that nothing passes that only looks the same. The farm may run meanwhile: in the snapshot of the
 * comparison the ledger has `now` facts of a payment, its row was made of `stored`, and ours of `given`.
 *
 *     given < now                           we are late ourselves: read again
 *     stored < now, some behind progress    the keeper has not come to it yet: no fault
 *     else                                  a fault
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "ledger/projection.h"
#include "ledger/read.h"

enum {
    PAGE = PROJECTION_PAYMENTS_MAX,
    TRIES = 5, /* for payments that move while they are compared */
    PROGRESS_PAGES = 16,
    NUMBER_SIZE = 24,
};

enum verdict { SAME, DIFFERS, BEHIND, MOVED };

struct page {
    size_t count;
    struct uuid ids[PAGE];
    struct facts facts[PAGE];
    enum verdict verdicts[PAGE];
    struct projection projection;
};

/* --- which payments --- */

/* $1 the last payment seen, $2 how many. Each part goes along its key and stops. Archived payments are among them: nothing is left of these. */
/* clang-format off */
#define IDS_OF(table, after)                                                                                           \
    "(select distinct payment_id from " table " where payment_id " after " $1::uuid order by payment_id limit $2::int)"
#define EVERY_ID(after)                                                                                                \
    "select payment_id from (" IDS_OF("ledger.payment", after) " union " IDS_OF("view.payment", after)                 \
    " union " IDS_OF("view.attempt", after) " union " IDS_OF("view.refund", after)                                     \
    " union " IDS_OF("view.commission", after) ") as p order by payment_id limit $2::int"
/* clang-format on */
static const char NEW_IDS[] =
    "select distinct payment_id from ledger.event where payment_id > $1::uuid and xid >= $3::text::xid8"
    " order by payment_id limit $2::int";
static const char DAYS_IDS[] =
    "select payment_id from ledger.payment where payment_id > $1::uuid and began < $3::text::date"
    " and ($4::text is null or began >= $4::text::date) order by payment_id limit $2::int";

static int read_ids(const struct projection_check *check, struct uuid after, struct page *page, struct err *err)
{
    char id[UUID_TEXT_SIZE], most[NUMBER_SIZE];
    const char *params[] = {id, most, check->since_xid ? check->since_xid : check->began_to, check->began_from};
    if (check->payment) {
        page->count = uuid_is_nil(after);
        page->ids[0] = *check->payment;
        return 0;
    }
    const char *every_id = uuid_is_nil(after) ? EVERY_ID(">=") : EVERY_ID(">");
    uuid_format(after, id);
    snprintf(most, sizeof most, "%d", PAGE);
    struct db_result *rows = check->since_xid  ? db_query(check->db, NEW_IDS, 3, params, err)
                             : check->began_to ? db_query(check->db, DAYS_IDS, 4, params, err)
                                               : db_query(check->db, every_id, 2, params, err);
    if (!rows)
        return -1;
    page->count = (size_t)db_rows(rows);
    for (size_t i = 0; i < page->count; i++)
        page->ids[i] = db_uuid(rows, (int)i, 0);
    db_result_free(rows);
    return 0;
}

/* --- the comparison --- */

enum { D_TABLE, D_PAYMENT, D_KEY, D_STORED, D_GIVEN, D_GIVEN_FACTS, D_STORED_FACTS, D_NOW, D_BEHIND };

/* $1 payments, $2 facts given of each, then the rows given. */
/* clang-format off */
#define ROW(table, key) "'" table "' as t, w.payment_id, " key "::text as k, to_jsonb(w) as r, w::text as x"
#define GIVEN(table, key, parameter)                                                                                   \
    "select " ROW(table, key) " from jsonb_populate_recordset(null::view." table ", " parameter "::text::jsonb) as w"
#define STORED(table, key)                                                                                             \
    "select " ROW(table, key) " from view." table " as w where w.payment_id = any($1::uuid[])"
#define FACTS_OF_D                                                                                                     \
    "ledger.payment h join ledger.event e on e.began = h.began and e.payment_id = h.payment_id"                        \
    " where h.payment_id = d.payment_id"

static const char DIFFERENCES[] =
    "with given as ("
    GIVEN("payment", "''", "$3") " union all " GIVEN("attempt", "attempt_number", "$4") " union all "
    GIVEN("refund", "refund_number", "$5") " union all " GIVEN("commission", "capture_number", "$6")
    "), stored as ("
    STORED("payment", "''") " union all " STORED("attempt", "attempt_number") " union all "
    STORED("refund", "refund_number") " union all " STORED("commission", "capture_number")
    ") select d.t, d.payment_id, d.k, d.stored, d.given, m.facts,"
    " (select p.facts from view.payment p where p.payment_id = d.payment_id),"
    " (select count(*) from " FACTS_OF_D "),"
    " exists (select from " FACTS_OF_D " and (e.xid, e.seq) >"
    "  ((select last_xid from view.progress), (select last_seq from view.progress)))"
    " from (select t, payment_id, k, s.r as stored, g.r as given from given g full join stored s using (t, payment_id, k)"
    "  where g.x is distinct from s.x) as d"
    " join unnest($1::uuid[], $2::int[]) as m (payment_id, facts) on m.payment_id = d.payment_id"
    " order by d.payment_id, d.t, d.k";
/* clang-format on */

static struct db_result *compare(struct db *db, const struct page *page, struct err *err)
{
    struct db_array ids = {0}, counts = {0};
    char *rows[VIEW_TABLE_COUNT];
    for (size_t i = 0; i < page->count; i++) {
        char id[UUID_TEXT_SIZE], number[NUMBER_SIZE];
        uuid_format(page->ids[i], id);
        snprintf(number, sizeof number, "%zu", page->facts[i].count);
        db_array_add(&ids, id);
        db_array_add(&counts, number);
    }
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        rows[table] = json_dumps(page->projection.rows[table], JSON_COMPACT);
    const char *params[] = {db_array_text(&ids), db_array_text(&counts), rows[VIEW_PAYMENT],
                            rows[VIEW_ATTEMPT],  rows[VIEW_REFUND],      rows[VIEW_COMMISSION]};
    struct db_result *differences = db_query(db, DIFFERENCES, 6, params, err);
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        free(rows[table]);
    db_array_free(&ids);
    db_array_free(&counts);
    return differences;
}

static enum verdict judge(const struct db_result *rows, int row)
{
    int64_t given = db_int(rows, row, D_GIVEN_FACTS), now = db_int(rows, row, D_NOW);
    bool older = !db_value(rows, row, D_STORED_FACTS) || db_int(rows, row, D_STORED_FACTS) < now;
    if (given < now)
        return MOVED;
    return older && db_bool(rows, row, D_BEHIND) ? BEHIND : DIFFERS;
}

/* --- telling --- */

/* NULL for null. free() it. */
static char *cell_text(const json_t *value)
{
    if (!value || json_is_null(value))
        return NULL;
    char *text = json_is_string(value) ? mem_text(json_string_value(value)) : json_encode(value);
    if (text && strlen(text) > PROJECTION_TEXT_MAX)
        text[PROJECTION_TEXT_MAX] = '\0';
    return text;
}

static void tell(const struct projection_check *check, struct projection_fault *fault, const json_t *stored,
                 const json_t *given)
{
    char *stored_text = cell_text(stored), *given_text = cell_text(given);
    fault->stored = stored_text;
    fault->given = given_text;
    check->fault(check->arg, fault);
    free(stored_text);
    free(given_text);
}

/* Of a row that both have, each column that differs; of another, the row. */
static void tell_row(const struct projection_check *check, const struct db_result *rows, int row)
{
    const char *stored_row = db_value(rows, row, D_STORED), *given_row = db_value(rows, row, D_GIVEN), *column;
    json_auto_t *stored = stored_row ? json_loads(stored_row, 0, NULL) : NULL;
    json_auto_t *given = given_row ? json_loads(given_row, 0, NULL) : NULL;
    json_auto_t *there = json_string("there");
    struct projection_fault fault = {.payment = db_value(rows, row, D_PAYMENT),
                                     .table = db_value(rows, row, D_TABLE),
                                     .row = db_value(rows, row, D_KEY),
                                     .column = ""};
    json_t *value;
    bool told = false;
    if (!stored || !given) {
        tell(check, &fault, stored_row ? there : NULL, given_row ? there : NULL);
        return;
    }
    json_object_foreach(stored, column, value)
    {
        const json_t *other = json_object_get(given, column);
        if (json_equal(value, other))
            continue;
        fault.column = column;
        tell(check, &fault, value, other);
        told = true;
    }
    if (!told) /* the same value in another form */
        tell(check, &fault, stored, given);
}

/* --- a page --- */

static size_t index_of(const struct page *page, struct uuid id)
{
    for (size_t i = 0; i < page->count; i++)
        if (uuid_equal(page->ids[i], id))
            return i;
    return 0; /* not reached: the server answers about what it was asked */
}

/* Projects the payments of the page and compares. */
static int look(const struct projection_check *check, struct page *page, struct err *err)
{
    memset(page->facts, 0, sizeof page->facts);
    projection_init(&page->projection);
    if (read_facts(check->db, page->ids, page->count, page->facts, err) != 0)
        return -1;
    for (size_t i = 0; i < page->count; i++) {
        page->verdicts[i] = SAME;
        project(&page->facts[i], &page->projection);
    }
    struct db_result *rows = compare(check->db, page, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows); row++) {
        enum verdict verdict = judge(rows, row);
        page->verdicts[index_of(page, db_uuid(rows, row, D_PAYMENT))] = verdict;
        if (verdict == DIFFERS)
            tell_row(check, rows, row);
    }
    db_result_free(rows);
    return 0;
}

static void look_clear(struct page *page, size_t count)
{
    for (size_t i = 0; i < count; i++)
        facts_clear(&page->facts[i]);
    projection_clear(&page->projection);
}

/* Makes the rows of the payments that differ what their facts give. One that has further facts by now is to be looked at once more. */
static int replace(const struct projection_check *check, struct page *page, struct projection_result *result,
                   struct err *err)
{
    struct facts facts[PAGE]; /* borrowed */
    size_t from[PAGE], count = 0;
    bool written[PAGE] = {false};
    struct projection projection;
    projection_init(&projection);
    for (size_t i = 0; i < page->count; i++) {
        if (page->verdicts[i] != DIFFERS && page->verdicts[i] != BEHIND)
            continue;
        from[count] = i;
        facts[count++] = page->facts[i];
        project(&page->facts[i], &projection);
    }
    int r = count ? projection_replace(check->db, facts, count, &projection, written, err) : 0;
    projection_clear(&projection);
    for (size_t i = 0; r == 0 && i < count; i++) {
        result->written += written[i];
        if (!written[i])
            page->verdicts[from[i]] = MOVED;
        else if (page->verdicts[from[i]] == BEHIND)
            page->verdicts[from[i]] = SAME;
    }
    return r;
}

/* Counts, and leaves in the page what has to be looked at once more. */
static void settle(struct page *page, struct projection_result *result)
{
    size_t left = 0;
    for (size_t i = 0; i < page->count; i++) {
        result->differ += page->verdicts[i] == DIFFERS;
        result->behind += page->verdicts[i] == BEHIND;
        if (page->verdicts[i] == MOVED)
            page->ids[left++] = page->ids[i];
    }
    page->count = left;
}

static int check_page(const struct projection_check *check, struct page *page, struct projection_result *result,
                      struct err *err)
{
    int r = 0;
    for (int i = 0; r == 0 && page->count > 0 && i < TRIES; i++) {
        size_t count = page->count;
        r = look(check, page, err);
        if (r == 0 && check->rebuild)
            r = replace(check, page, result, err);
        if (r == 0)
            settle(page, result);
        look_clear(page, count);
    }
    result->behind += (int64_t)page->count; /* still moving: the keeper comes to them */
    return r;
}

int projection_check(const struct projection_check *check, struct projection_result *ret, struct err *err)
{
    struct page *page = mem_new(1, sizeof *page);
    struct uuid after = {0};
    size_t count;
    int r, pages = 0;
    *ret = (struct projection_result){0};
    do {
        r = read_ids(check, after, page, err);
        count = r == 0 ? page->count : 0;
        if (count > 0) {
            after = page->ids[count - 1];
            ret->payments += (int64_t)count;
            r = check_page(check, page, ret, err);
        }
        if (check->progress && ++pages % PROGRESS_PAGES == 0)
            check->progress(check->arg, ret->payments);
    } while (r == 0 && count == PAGE);
    free(page);
    return r;
}
