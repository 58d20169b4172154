/* partitions.c - see partitions.h */
#include "ledger/partitions.h"

#include <stdio.h>

enum { NUMBER_SIZE = 24 };

/* The bounds stand in the catalogue as they are written: FOR VALUES FROM ('2027-01-01') TO ('2027-04-01'), or FROM (MINVALUE). */
#define PARTITIONS                                                                                                     \
    "with part as (select p.relname as parent, c.oid, c.relname as name, c.reltuples,"                                 \
    "  (regexp_match(b.bounds, 'FROM \\(''([0-9-]+)''\\)'))[1]::date as first,"                                        \
    "  (regexp_match(b.bounds, 'TO \\(''([0-9-]+)''\\)'))[1]::date as next"                                            \
    " from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent"                 \
    " cross join lateral (select pg_get_expr(c.relpartbound, c.oid) as bounds) as b"                                   \
    " where i.inhparent in ('ledger.event'::regclass, 'ledger.transfer'::regclass))"

int partitions_add(struct db *db, struct err *err)
{
    char days[NUMBER_SIZE];
    const char *params[] = {days};
    snprintf(days, sizeof days, "%d", PARTITIONS_AHEAD_DAYS);
    struct db_result *rows = db_query(
        db, "select ledger.add_partitions((clock_timestamp() at time zone 'UTC')::date + $1::int)", 1, params, err);
    int made = rows ? (int)db_int(rows, 0, 0) : -1;
    db_result_free(rows);
    return made;
}

int partitions_left(struct db *db, int64_t *ret_days, struct err *err)
{
    /* of both tables, up to the first day behind today that has none */
    struct db_result *rows =
        db_query(db,
                 PARTITIONS ", today as (select (clock_timestamp() at time zone 'UTC')::date as day),"
                            " reach as (select bool_or(coalesce(p.first <= t.day, true)) as begun,"
                            "   min(p.next) filter (where not exists (select from part l where l.parent = p.parent and "
                            "l.first = p.next)) as until"
                            "  from part p cross join today t where p.next > t.day group by p.parent)"
                            " select case when count(*) = 2 and bool_and(begun) then min(until) - min(t.day) else 0 end"
                            " from reach cross join today t",
                 0, NULL, err);
    if (!rows)
        return -1;
    *ret_days = db_int(rows, 0, 0);
    db_result_free(rows);
    return 0;
}

json_t *partitions_list(struct db *db, struct err *err)
{
    struct db_result *rows = db_query(
        db,
        PARTITIONS " select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('table', parent, 'name', name,"
                   " 'from', first, 'to', next, 'rows', case when reltuples >= 0 then reltuples::bigint end,"
                   " 'bytes', pg_total_relation_size(oid))) order by parent, next), '[]') from part",
        0, NULL, err);
    if (!rows)
        return NULL;
    json_t *list = json_loads(db_value(rows, 0, 0), 0, NULL);
    db_result_free(rows);
    if (!list)
        err_set(err, ERR_INTERNAL, "the partitions cannot be read");
    return list;
}
