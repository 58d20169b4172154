/* transit.c - see transit.h */
#include "workers/operator/transit.h"

#include <inttypes.h>
#include <string.h>

#include "common/ids.h"
#include "common/json.h"
#include "common/money.h"
#include "ledger/chart.h"
#include "workers/operator/table.h"

const char *age_text(int64_t ms, char ret[static AGE_TEXT_MAX])
{
    static const struct {
        const char *name;
        int64_t ms, next_ms; /* the next smaller one */
        const char *next_name;
    } units[] = {{"d", 86400000, 3600000, "h"}, {"h", 3600000, 60000, "min"}, {"min", 60000, 1000, "s"}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (ms >= units[i].ms) {
            snprintf(ret, AGE_TEXT_MAX, "%" PRId64 " %s %" PRId64 " %s", ms / units[i].ms, units[i].name,
                     ms % units[i].ms / units[i].next_ms, units[i].next_name);
            return ret;
        }
    if (ms < 0)
        snprintf(ret, AGE_TEXT_MAX, "-");
    else if (ms >= 1000)
        snprintf(ret, AGE_TEXT_MAX, "%" PRId64 " s", ms / 1000);
    else
        snprintf(ret, AGE_TEXT_MAX, "%" PRId64 " ms", ms);
    return ret;
}

static int64_t age_of(const json_t *row)
{
    return json_int(json_object_get(row, "oldest"), "ageMs", -1);
}

size_t transit_judge(json_t *rows, transit_limit *limit, const void *arg)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        const struct chart_row *account = chart_find(json_text(row, "account", ""));
        int64_t limit_ms = account && account->limit ? limit(arg, account->limit) : 0;
        bool over = age_of(row) > limit_ms;
        json_object_set_new(row, "limitMs", json_integer(limit_ms));
        json_object_set_new(row, "over", json_boolean(over));
        count += over;
    }
    return count;
}

/* "2026-11-20T11:46:11.126Z", or "before ..." */
static const char *since_text(const json_t *row, char ret[static AGE_TEXT_MAX + 8])
{
    const char *since = json_text(row, "since", NULL);
    snprintf(ret, AGE_TEXT_MAX + 8, "%s%.31s", since ? "" : "before ",
             since ? since : json_text(row, "notZeroFrom", ""));
    return json_object_get(row, "oldest") ? ret : "";
}

static void print_row(struct table *table, const json_t *row)
{
    char amount[MONEY_TEXT_MAX], items[AGE_TEXT_MAX], age[AGE_TEXT_MAX], limit[AGE_TEXT_MAX], since[AGE_TEXT_MAX + 8];
    char id[PUBLIC_ID_SIZE] = "";
    struct uuid payment;
    const json_t *oldest = json_object_get(row, "oldest");
    if (uuid_parse(json_text(oldest, "paymentId", ""), &payment) == 0)
        public_id_format(payment, id);
    snprintf(items, sizeof items, "%" PRId64, json_int(row, "items", 0));
    const char *cells[] = {json_is_true(json_object_get(row, "over")) ? "over" : "ok",
                           json_text(row, "account", ""),
                           money_format(json_int(row, "amount", 0), json_text(row, "currency", ""), amount),
                           items,
                           oldest ? age_text(age_of(row), age) : "",
                           age_text(json_int(row, "limitMs", -1), limit),
                           since_text(row, since),
                           id,
                           json_text(oldest, "slot", "")};
    table_row(table, cells);
}

void transit_print(const json_t *rows, FILE *out)
{
    static const char *const headings[] = {"STATE",  "ACCOUNT",           ">AMOUNT",        ">ITEMS", ">OLDEST",
                                           ">LIMIT", "NOT AT ZERO SINCE", "OLDEST PAYMENT", "SLOT",   NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(rows); i++)
        print_row(table, json_array_get(rows, i));
    table_print(table, "no transit account was ever used", out);
    table_free(table);
}
