/* project_list.c - lists of payments from the projections, page by page
 *
 * Each filter has an index that ends in (created_at, seq), the page's key, so that a page costs what it shows. The statement has only the conditions that were asked
 * for: one for all, with `or $n is null`, could use none of them.
 */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "ledger/projection.h"

enum { SQL_SIZE = 2048, PARAMS_MAX = 12, NUMBER_SIZE = 24 };

struct query {
    char sql[SQL_SIZE];
    size_t used;
    const char *params[PARAMS_MAX];
    int param_count;
};

static void add(struct query *query, const char *text)
{
    query->used += (size_t)snprintf(query->sql + query->used, sizeof query->sql - query->used, "%s", text);
}

/* `condition` and its parameter, unless there is no value. */
static void add_condition(struct query *query, const char *condition, const char *type, const char *value)
{
    char text[96];
    if (!value)
        return;
    query->params[query->param_count++] = value;
    snprintf(text, sizeof text, " %s %s $%d::%s", query->param_count == 1 ? "where" : "and", condition,
             query->param_count, type);
    add(query, text);
}

static void add_place(struct query *query, const char *at, const char *seq)
{
    query->params[0] = at;
    query->params[1] = seq;
    query->param_count = 2;
    add(query, " where (created_at, seq) < ($1::timestamptz, $2::bigint)");
}

static void add_limit(struct query *query, const char *limit)
{
    char text[64];
    query->params[query->param_count++] = limit;
    snprintf(text, sizeof text, " order by created_at desc, seq desc limit $%d::int", query->param_count);
    add(query, text);
}

/* --- rows --- */

enum kind { TEXT, INT, BOOL };

static const struct {
    const char *expression, *member;
    enum kind kind;
} columns[] = {
    {"payment_id", "paymentId", TEXT},
    {"seq", "seq", INT},
    {"status", "status", TEXT},
    {"amount", "amount", INT},
    {"currency", "currency", TEXT},
    {"flow", "flow", TEXT},
    {"publisher", "publisher", TEXT},
    {"provider", "provider", TEXT},
    {"reason", "reason", TEXT},
    {"captured_amount", "capturedAmount", INT},
    {"refunded_amount", "refundedAmount", INT},
    {"merchant", "merchant", TEXT},
    {"reference_type", "referenceType", TEXT},
    {"reference_id", "referenceId", TEXT},
    {"description", "description", TEXT},
    {"contradiction", "contradiction", BOOL},
    {"floor(extract(epoch from created_at) * 1000)::bigint", "createdAtMs", INT},
    {"floor(extract(epoch from updated_at) * 1000)::bigint", "updatedAtMs", INT},
};
enum { COLUMN_COUNT = sizeof columns / sizeof columns[0] };

static void add_columns(struct query *query)
{
    add(query, "select ");
    for (int i = 0; i < COLUMN_COUNT; i++) {
        add(query, i ? ", " : "");
        add(query, columns[i].expression);
    }
    add(query, " from view.payment");
}

static json_t *cell(const struct db_result *rows, int row, int column)
{
    switch (columns[column].kind) {
    case TEXT:
        return json_string(db_value(rows, row, column));
    case INT:
        return json_integer(db_int(rows, row, column));
    case BOOL:
        return json_boolean(db_bool(rows, row, column));
    }
    return NULL;
}

static json_t *row_json(const struct db_result *rows, int row)
{
    json_t *object = json_object();
    for (int i = 0; i < COLUMN_COUNT; i++)
        if (db_value(rows, row, i))
            json_object_set_new(object, columns[i].member, cell(rows, row, i));
    return object;
}

/* --- a page --- */

static const char *time_text(int64_t wall_ms, char ret[static CLOCK_TEXT_SIZE])
{
    return wall_ms ? clock_format(wall_ms, ret) : NULL;
}

json_t *projection_list(struct db *db, const struct projection_filter *filter, struct err *err)
{
    struct query query = {0};
    char before[NUMBER_SIZE], limit[NUMBER_SIZE], from[CLOCK_TEXT_SIZE], to[CLOCK_TEXT_SIZE], at[CLOCK_TEXT_SIZE];
    if (filter->limit < 1 || filter->limit > PROJECTION_LIST_MAX + 1) {
        err_set(err, ERR_INVALID, "a page has 1 to %d rows", PROJECTION_LIST_MAX);
        return NULL;
    }
    snprintf(limit, sizeof limit, "%d", filter->limit);
    snprintf(before, sizeof before, "%lld", (long long)filter->before_seq);
    add_columns(&query);
    if (filter->before_seq > 0)
        add_place(&query, clock_format(filter->before_ms, at), before);
    add_condition(&query, "publisher =", "text", filter->publisher);
    add_condition(&query, "status =", "text", filter->status);
    add_condition(&query, "provider =", "text", filter->provider);
    add_condition(&query, "currency =", "text", filter->currency);
    add_condition(&query, "merchant =", "text", filter->merchant);
    add_condition(&query, "reference_type =", "text", filter->reference_type);
    add_condition(&query, "reference_id =", "text", filter->reference_id);
    add_condition(&query, "created_at >=", "timestamptz", time_text(filter->from_ms, from));
    add_condition(&query, "created_at <", "timestamptz", time_text(filter->to_ms, to));
    add_limit(&query, limit);
    struct db_result *rows = db_query(db, query.sql, query.param_count, query.params, err);
    if (!rows)
        return NULL;
    json_t *list = json_array();
    for (int row = 0; row < db_rows(rows); row++)
        json_array_append_new(list, row_json(rows, row));
    db_result_free(rows);
    return list;
}
