/* act.c - see act.h */
#include "ledger/act.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"

enum { NUMBER_SIZE = 24 };

int ledger_act(struct db *db, const struct act *act, struct err *err)
{
    char *diff = act->diff ? json_encode(act->diff) : NULL;
    const char *params[] = {act->actor, act->action, act->object_type, act->object_id, act->reason, diff};
    struct db_result *rows =
        db_query(db, "select ledger.note_act('operator', $1::text, $2::text, $3::text, $4::text, $5::text, $6::jsonb)",
                 6, params, err);
    bool noted = rows;
    db_result_free(rows);
    free(diff);
    return noted ? 0 : -1;
}

/* --- reading --- */

enum { A_ID, A_AT, A_ACTOR_TYPE, A_ACTOR, A_ACTION, A_OBJECT_TYPE, A_OBJECT, A_REASON, A_ROLE, A_DIFF };

static void set(json_t *object, const char *member, const char *text)
{
    json_object_set_new(object, member, text ? json_string(text) : json_null());
}

static json_t *row_json(const struct db_result *rows, int row)
{
    static const struct {
        const char *member;
        int column;
    } members[] = {{"id", A_ID},           {"at", A_AT},         {"actorType", A_ACTOR_TYPE},
                   {"actorId", A_ACTOR},   {"action", A_ACTION}, {"objectType", A_OBJECT_TYPE},
                   {"objectId", A_OBJECT}, {"reason", A_REASON}, {"role", A_ROLE}};
    json_t *object = json_object(), *diff = json_loads(db_value(rows, row, A_DIFF), 0, NULL);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        set(object, members[i].member, db_value(rows, row, members[i].column));
    json_object_set_new(object, "diff", diff ? diff : json_object());
    return object;
}

json_t *ledger_audit(struct db *db, const struct audit_filter *filter, struct err *err)
{
    char limit[NUMBER_SIZE];
    const char *params[] = {filter->since, filter->until, filter->actor, filter->action, filter->object_id, limit};
    if (filter->limit < 1 || filter->limit > AUDIT_LIMIT_MAX) {
        err_set(err, ERR_INVALID, "a list has 1 to %d rows", AUDIT_LIMIT_MAX);
        return NULL;
    }
    snprintf(limit, sizeof limit, "%d", filter->limit);
    struct db_result *rows = db_query(
        db,
        "select id, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), actor_type, actor_id,"
        " action, object_type, object_id, reason, role, diff from view.audit"
        " where ($1::timestamptz is null or created_at >= $1::timestamptz)"
        " and ($2::timestamptz is null or created_at < $2::timestamptz)"
        " and ($3::text is null or actor_id = $3::text) and ($4::text is null or action = $4::text)"
        " and ($5::text is null or object_id = $5::text) order by created_at desc, id limit $6::int",
        6, params, err);
    if (!rows)
        return NULL;
    json_t *list = json_array();
    for (int row = 0; row < db_rows(rows); row++)
        json_array_append_new(list, row_json(rows, row));
    db_result_free(rows);
    return list;
}
