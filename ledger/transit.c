/* transit.c - see transit.h */
#include "ledger/transit.h"

#include <stdio.h>

#include "ledger/chart.h"

#define BOTH_SIDES(row) " cross join lateral (values (" row ".debit), (" row ".credit)) as side (account)"
#define HOLD_OF(row)                                                                                                   \
    " h.began = " row ".began and h.payment_id = " row ".payment_id and h.slot = " row ".pending_of and h.leg = 1"

/* Doubts and refunds with the moment of their answer, NULL while there is none. An answer may be older than the doubt, which two deliveries wrote
 * that did not see each other: then it was never open. */
#define INTERVALS                                                                                                      \
    "doubt as (select t.debit as account, t.currency, t.amount, t.at as since, case when a.at > t.at then a.at"        \
    " when a.at <= t.at then t.at end as until, t.payment_id, d.intent as slot from ledger.transfer t"                 \
    " cross join lateral (select regexp_replace(t.slot, ':doubt:[0-9]+$', '') as intent) d"                            \
    " left join ledger.event a on a.began = t.began and a.payment_id = t.payment_id"                                   \
    " and a.slot = d.intent || case when d.intent ~ '^(auth|refund):' then ':result' else '' end"                      \
    " where t.kind = 'in_doubt'),"                                                                                     \
    " refund as (select 'refunds:' || (e.body->>'provider') as account, r.body->>'currency' as currency,"              \
    " (e.body->>'amount')::bigint as amount, e.at as since, a.at as until, e.payment_id, e.slot from ledger.event e"   \
    " join ledger.event r on r.began = e.began and r.payment_id = e.payment_id and r.slot = 'received'"                \
    " left join ledger.event a on a.began = e.began and a.payment_id = e.payment_id and a.slot = e.slot || ':result'"  \
    " where e.slot ~ '^refund:[0-9]+$' and e.outcome = 'accepted'),"                                                   \
    " answered as (select * from doubt union all select * from refund)"

/* What came to suspense and what left it, counted on the side where its balance is; of what is left the newest is the first. */
#define SUSPENSE                                                                                                       \
    "suspense as (select s.currency, s.at, s.payment_id, s.slot, s.delta * sign(sum(s.delta) over w) as delta,"        \
    " abs(sum(s.delta) over w) as size from (select t.currency, t.at, t.payment_id, t.slot,"                           \
    " case when t.credit = 'suspense' then t.amount else -t.amount end as delta from ledger.transfer t"                \
    " where (t.debit = 'suspense' or t.credit = 'suspense') and t.kind in ('post', 'transfer')) as s"                  \
    " window w as (partition by s.currency)),"                                                                         \
    " left_over as (select *, sum(delta) over (partition by currency"                                                  \
    " order by at desc, payment_id, slot rows unbounded preceding) - delta as newer from suspense where delta > 0)"

#define OPEN_ITEMS                                                                                                     \
    "item (account, currency, amount, since, payment_id, slot) as ("                                                   \
    "select side.account, h.currency, h.amount, h.at, h.payment_id, h.slot from ledger.transfer h" BOTH_SIDES(         \
        "h") " where h.kind = 'hold' and not exists (select from ledger.transfer r where r.began = h.began"            \
             " and r.payment_id = h.payment_id and r.pending_of = h.slot)"                                             \
             " union all select account, currency, amount, since, payment_id, slot from answered where until is null"  \
             " union all select 'suspense', currency, least(delta, size - newer), at, payment_id, slot"                \
             " from left_over where newer < size)"

/* How the amounts changed. A posting ends all of its hold, whatever part was posted. */
#define MOVEMENTS                                                                                                      \
    "movement (account, currency, at, delta) as ("                                                                     \
    "select side.account, t.currency, t.at, case t.kind when 'hold' then t.amount else -h.amount end"                  \
    " from (select * from ledger.transfer where kind in ('hold', 'post', 'void') order by seq desc limit $1) t"        \
    " left join ledger.transfer h on" HOLD_OF("t")                                                                     \
        BOTH_SIDES("t") " union all select account, currency, since, amount from answered"                             \
                        " union all select account, currency, until, -amount from answered where until is not null"    \
                        " union all select 'suspense', currency, at, delta from suspense)"

/* `before`: the amount before the movements of that moment, counted back from what is there now. */
#define REPORT                                                                                                         \
    "total as (select account, currency, sum(amount) as amount, count(*) as items from item"                           \
    " group by account, currency),"                                                                                    \
    " oldest as (select distinct on (account, currency) * from item order by account, currency, since, payment_id),"   \
    " past as (select m.account, m.currency, m.at, t.amount - sum(m.delta) over (partition by m.account, m.currency"   \
    " order by m.at desc) as before from movement m join total t on t.account = m.account and t.currency ="            \
    " m.currency),"                                                                                                    \
    " zero as (select account, currency, max(at) filter (where before = 0) as since, min(at) as seen_from from past"   \
    " group by account, currency),"                                                                                    \
    " used (account, currency) as (select name, currency from ledger.account where kind = any($2)"                     \
    " union select account, currency from answered)"                                                                   \
    " select u.account, u.currency, coalesce(t.amount, 0)::bigint, coalesce(t.items, 0), o.payment_id, o.slot,"        \
    " to_char(o.since at time zone 'UTC', $3), floor(extract(epoch from clock_timestamp() - o.since) * 1000)::bigint," \
    " to_char(z.since at time zone 'UTC', $3), to_char(least(z.seen_from, o.since) at time zone 'UTC', $3)"            \
    " from used u left join total t on t.account = u.account and t.currency = u.currency"                              \
    " left join oldest o on o.account = u.account and o.currency = u.currency"                                         \
    " left join zero z on z.account = u.account and z.currency = u.currency order by u.currency, u.account"

enum { ACCOUNT, CURRENCY, AMOUNT, ITEMS, PAYMENT, SLOT, AT, AGE, SINCE, NOT_ZERO_FROM };

static json_t *row_of(const struct db_result *rows, int row)
{
    json_t *one = json_pack("{s:s, s:s, s:I, s:I}", "account", db_value(rows, row, ACCOUNT), "currency",
                            db_value(rows, row, CURRENCY), "amount", (json_int_t)db_int(rows, row, AMOUNT), "items",
                            (json_int_t)db_int(rows, row, ITEMS));
    if (!db_value(rows, row, PAYMENT))
        return one;
    json_object_set_new(one, "oldest",
                        json_pack("{s:s, s:s, s:s, s:I}", "paymentId", db_value(rows, row, PAYMENT), "slot",
                                  db_value(rows, row, SLOT), "at", db_value(rows, row, AT), "ageMs",
                                  (json_int_t)db_int(rows, row, AGE)));
    const char *since = db_value(rows, row, SINCE), *not_zero_from = db_value(rows, row, NOT_ZERO_FROM);
    if (since)
        json_object_set_new(one, "since", json_string(since));
    else
        json_object_set_new(one, "notZeroFrom", json_string(not_zero_from));
    return one;
}

/* The kinds of the chart that are in transit. */
static const char *kinds_of(struct db_array *array)
{
    const struct chart_row *kind;
    for (size_t i = 0; (kind = chart_row(i)); i++)
        if (kind->transit != CHART_STAYS)
            db_array_add(array, kind->kind);
    return db_array_text(array);
}

json_t *transit_read(struct db *db, struct err *err)
{
    char lookback[16];
    struct db_array kinds = {0};
    snprintf(lookback, sizeof lookback, "%d", TRANSIT_LOOKBACK);
    const char *params[] = {lookback, kinds_of(&kinds), "YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\""};
    struct db_result *rows =
        db_query(db, "with " INTERVALS ", " SUSPENSE ", " OPEN_ITEMS ", " MOVEMENTS ", " REPORT, 3, params, err);
    json_t *all = rows ? json_array() : NULL;
    for (int row = 0; rows && row < db_rows(rows); row++)
        json_array_append_new(all, row_of(rows, row));
    db_result_free(rows);
    db_array_free(&kinds);
    return all;
}
