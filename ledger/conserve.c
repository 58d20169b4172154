/* conserve.c - see conserve.h */
#include "ledger/conserve.h"

#include <string.h>

#include "common/json.h"

/* A person's last word on a dead letter, or NULL. */
#define LAST_WORD                                                                                                      \
    "(select r.outcome from ledger.event r where r.payment_id = coalesce(d.payment_id, d.id)"                          \
    " and r.slot like 'replay:' || d.id || ':%' order by r.seq desc limit 1)"

static const char *const fates[FATE_COUNT] = {
    [FATE_ABSENT] = "absent",       [FATE_SETTLED] = "settled",   [FATE_DEAD] = "dead",
    [FATE_DISCARDED] = "discarded", [FATE_REPLAYED] = "replayed",
};

const char *fate_text(enum fate fate)
{
    return fates[fate];
}

static enum fate fate_parse(const char *text)
{
    for (int i = 0; text && i < FATE_COUNT; i++)
        if (strcmp(fates[i], text) == 0)
            return (enum fate)i;
    return FATE_ABSENT;
}

/* One letter that nobody has spoken about makes it dead, whatever became of older ones. */
static const char statement[] =
    "with key as (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) with ordinality"
    " as k (id, publisher, type, message_id, n)),"
    " letter as (select k.n, " LAST_WORD " as word from key k join ledger.dead_letter d on d.command_id = k.id"
    " union all select k.n, " LAST_WORD " from key k join ledger.dead_letter d on d.command_id is null"
    " and d.message_id = k.message_id and d.publisher = k.publisher and d.type = k.type),"
    " died as (select n, case when bool_or(word is null) then 'dead' when bool_or(word = 'discarded') then 'discarded'"
    " else 'replayed' end as fate from letter group by n)"
    " select k.n, case when c.id is not null then 'settled' else coalesce(d.fate, 'absent') end from key k"
    " left join ledger.command c on c.id = k.id left join died d on d.n = k.n order by k.n";

static struct db_result *run(struct db *db, const struct fate_key *keys, size_t count, struct err *err)
{
    struct db_array arrays[4] = {{0}};
    char id[UUID_TEXT_SIZE];
    for (size_t i = 0; i < count; i++) {
        uuid_format(keys[i].command, id);
        db_array_add(&arrays[0], id);
        db_array_add(&arrays[1], keys[i].publisher);
        db_array_add(&arrays[2], keys[i].type);
        db_array_add(&arrays[3], keys[i].message_id);
    }
    const char *params[] = {db_array_text(&arrays[0]), db_array_text(&arrays[1]), db_array_text(&arrays[2]),
                            db_array_text(&arrays[3])};
    struct db_result *rows = db_query(db, statement, 4, params, err);
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        db_array_free(&arrays[i]);
    return rows;
}

int fates_read(struct db *db, const struct fate_key *keys, size_t count, enum fate *ret, struct err *err)
{
    if (count > FATES_MAX)
        return err_set(err, ERR_LIMIT, "at most %d commands at once", FATES_MAX);
    struct db_result *rows = run(db, keys, count, err);
    if (!rows)
        return -1;
    bool complete = (size_t)db_rows(rows) == count;
    for (int row = 0; complete && row < db_rows(rows); row++)
        ret[row] = fate_parse(db_value(rows, row, 1));
    db_result_free(rows);
    return complete ? 0 : err_set(err, ERR_INTERNAL, "the ledger did not answer for every command");
}

#define DAY(column) "to_char(" column " at time zone 'UTC', 'YYYY-MM-DD')"

json_t *fates_count(struct db *db, const char *from, const char *to, struct err *err)
{
    const char *params[] = {from, to};
    struct db_result *rows = db_query(
        db,
        "with one as (select type, " DAY(
            "at") " as day, 'settled' as fate from ledger.command"
                  " union all select d.type, " DAY(
                      "d.at") ", coalesce(" LAST_WORD ", 'dead') from ledger.dead_letter d"
                              " where not exists (select from ledger.command c where c.id = d.command_id))"
                              " select type, day, count(*) filter (where fate = 'settled'), count(*) filter (where "
                              "fate = 'dead'),"
                              " count(*) filter (where fate = 'discarded'), count(*) filter (where fate = 'replayed') "
                              "from one"
                              " where ($1::text is null or day >= $1::text) and ($2::text is null or day < $2::text)"
                              " group by type, day order by day, type",
        2, params, err);
    json_t *list = rows ? json_array() : NULL;
    for (int row = 0; rows && row < db_rows(rows); row++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "type", db_value(rows, row, 0), "day",
                                        db_value(rows, row, 1), "settled", (json_int_t)db_int(rows, row, 2), "dead",
                                        (json_int_t)db_int(rows, row, 3), "discarded", (json_int_t)db_int(rows, row, 4),
                                        "replayed", (json_int_t)db_int(rows, row, 5)));
    db_result_free(rows);
    return list;
}
