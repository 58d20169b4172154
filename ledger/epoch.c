/* epoch.c - see epoch.h */
#include "ledger/epoch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/act.h"

enum { NUMBER_SIZE = 24, SCRIPT_SIZE = 4096 };

/* --- the functions --- */

static const struct {
    const char *name, *value;
} functions[EPOCH_FUNCTIONS] = {
    {"xid", "pg_current_xact_id()"},
    {"horizon", "pg_snapshot_xmin(pg_current_snapshot())"},
    {"next_xid", "pg_snapshot_xmax(pg_current_snapshot())"},
};

#define DEFINITION(value)                                                                                              \
    "CREATE OR REPLACE FUNCTION ledger.%s()\n RETURNS xid8\n LANGUAGE sql\n STABLE PARALLEL SAFE\n"                    \
    "AS $function$select " value "$function$\n"

/* The server has no arithmetic for these ids, but their text is that of a bigint. Without an offset there is none to pay for. */
static const char *write_function(size_t i, const char *offset, char ret[static EPOCH_FUNCTION_SIZE])
{
    if (*offset)
        snprintf(ret, EPOCH_FUNCTION_SIZE, DEFINITION("(%s::text::bigint + %s)::text::xid8"), functions[i].name,
                 functions[i].value, offset);
    else
        snprintf(ret, EPOCH_FUNCTION_SIZE, DEFINITION("%s"), functions[i].name, functions[i].value);
    return functions[i].name;
}

const char *epoch_function(size_t i, int64_t offset, char ret[static EPOCH_FUNCTION_SIZE])
{
    char text[NUMBER_SIZE] = "";
    if (offset != 0)
        snprintf(text, sizeof text, "%" PRId64, offset);
    return write_function(i, text, ret);
}

/* --- may rows be added? --- */

/* A row that is seen was written below the end of the snapshot that sees it. Facts and blocks are what an equal id would be mistaken for: facts for
 * won, rows behind a block for sealed. */
#define CHECK                                                                                                          \
    "select stored.xid >= ledger.next_xid(), stored.xid, ledger.next_xid(),"                                           \
    " case when pg_is_in_recovery() then '' else"                                                                      \
    "  (select system_identifier from pg_control_system()) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"   \
    " end from (select greatest((select max(e.xid) from ledger.event e),"                                              \
    "  (select s.last_xid from ledger.seal s order by s.height desc limit 1)) as xid) as stored"

int epoch_check(struct db *db, char ret_server[static EPOCH_SERVER_SIZE], struct err *err)
{
    struct db_result *rows = db_query(db, CHECK, 0, NULL, err);
    if (!rows)
        return -1;
    int r = 0;
    if (db_bool(rows, 0, 0))
        r = err_set(
            err, ERR_CONFIG,
            "the ledger was restored into this server: it holds transaction ids up to %s, the server goes on from %s; "
            "run `acquit ledger epoch begin --reason ...` as the schema's owner",
            db_value(rows, 0, 1), db_value(rows, 0, 2));
    else
        snprintf(ret_server, EPOCH_SERVER_SIZE, "%s", db_value(rows, 0, 3));
    db_result_free(rows);
    return r;
}

/* --- what there was --- */

json_t *epoch_list(struct db *db, struct err *err)
{
    struct db_result *rows = db_query(
        db,
        "select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('epoch', e.epoch, 'firstBlock', b.height, 'factsBefore',"
        " case when b.height = 0 then 0 else (select s.size from ledger.seal s where s.height = b.height - 1) end,"
        " 'at', to_char(e.at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), 'actor', e.actor, 'reason', "
        "e.reason,"
        " 'xidOffset', e.xid_offset)) order by e.epoch)"
        " from (select 1 as epoch, null::bigint as xid_offset, null::text as reason, null::text as actor,"
        "  null::timestamptz as at union all select epoch, xid_offset, reason, actor, at from ledger.epoch) as e"
        " left join (select epoch, min(height) as height from ledger.seal group by epoch) as b using (epoch)",
        0, NULL, err);
    if (!rows)
        return NULL;
    json_t *epochs = json_loads(db_value(rows, 0, 0), 0, NULL);
    db_result_free(rows);
    if (!epochs)
        err_set(err, ERR_INTERNAL, "the epochs cannot be read");
    return epochs;
}

/* --- a new epoch --- */

/* Tables are locked in the order in which appends take them, then the sealer. Every column of that type counts, whoever added it. Transactions that
 * run already may still write afterwards, so the oldest of them has to be above all that is stored. The offset never
 * becomes less: who remembers a horizon of this server must not be overtaken by it. `@` is the offset. */
#define BEGIN                                                                                                          \
    "do $epoch$\n"                                                                                                     \
    "declare\n"                                                                                                        \
    "    wanted integer := current_setting('acquit.epoch')::integer;\n"                                                \
    "    actor constant text := current_setting('acquit.actor');\n"                                                    \
    "    reason constant text := current_setting('acquit.reason');\n"                                                  \
    "    latest ledger.epoch;\n"                                                                                       \
    "    stored bigint := 0;\n"                                                                                        \
    "    highest xid8;\n"                                                                                              \
    "    col record;\n"                                                                                                \
    "    added bigint;\n"                                                                                              \
    "begin\n"                                                                                                          \
    "    lock table ledger.account, ledger.command, ledger.payment, ledger.event, ledger.transfer, ledger.personal,\n" \
    "        ledger.dead_letter, ledger.act, ledger.seal, ledger.seal_leaf, ledger.seal_node, ledger.epoch\n"          \
    "        in exclusive mode;\n"                                                                                     \
    "    select * into latest from ledger.epoch order by epoch desc limit 1;\n"                                        \
    "    if wanted <> 0 and wanted <= coalesce(latest.epoch, 1) then\n"                                                \
    "        raise exception using errcode = '22023',\n"                                                               \
    "            message = format('the ledger is in epoch %%s already', coalesce(latest.epoch, 1));\n"                 \
    "    end if;\n"                                                                                                    \
    "    for col in select a.attrelid::regclass as relation, a.attname as name\n"                                      \
    "               from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = "         \
    "c.relnamespace\n"                                                                                                 \
    "               where a.atttypid = 'xid8'::regtype and c.relkind = 'r' and n.nspname in ('ledger', 'view') loop\n" \
    "        execute format('select max(%%I) from %%s', col.name, col.relation) into highest;\n"                       \
    "        stored := greatest(stored, highest::text::bigint);\n"                                                     \
    "    end loop;\n"                                                                                                  \
    "    added := greatest(stored + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint, latest.xid_offset, "    \
    "1);\n"                                                                                                            \
    "    wanted := case when wanted <> 0 then wanted else coalesce(latest.epoch, 1) + 1 end;\n"                        \
    "    insert into ledger.epoch (epoch, xid_offset, reason, actor) values (wanted, added, reason, actor);\n"         \
    "    execute replace($function_0$%s$function_0$, '@', added::text);\n"                                             \
    "    execute replace($function_1$%s$function_1$, '@', added::text);\n"                                             \
    "    execute replace($function_2$%s$function_2$, '@', added::text);\n"                                             \
    "    perform ledger.note_act('operator', actor, 'ledger.epoch', 'schema', 'ledger', reason,\n"                     \
    "                            jsonb_build_object('epoch', wanted, 'xidOffset', added));\n"                          \
    "end $epoch$"
static_assert(EPOCH_FUNCTIONS == 3, "the script replaces each of them");

static int check_said(const char *actor, const char *reason, struct err *err)
{
    if (!*actor || strlen(actor) > ACT_ACTOR_MAX)
        return err_set(err, ERR_INVALID, "who begins a new epoch must be said in 1 to %d bytes", ACT_ACTOR_MAX);
    if (!*reason || strlen(reason) > ACT_REASON_MAX)
        return err_set(err, ERR_INVALID, "why a new epoch begins must be said in 1 to %d bytes", ACT_REASON_MAX);
    return 0;
}

int epoch_begin(struct db *db, int number, const char *actor, const char *reason, struct epoch *ret, struct err *err)
{
    char script[SCRIPT_SIZE], definitions[EPOCH_FUNCTIONS][EPOCH_FUNCTION_SIZE], number_text[NUMBER_SIZE];
    const char *params[] = {number_text, actor, reason};
    struct db_result *results[3] = {NULL};
    if (check_said(actor, reason, err) != 0)
        return -1;
    for (size_t i = 0; i < EPOCH_FUNCTIONS; i++)
        write_function(i, "@", definitions[i]);
    snprintf(number_text, sizeof number_text, "%d", number);
    if (snprintf(script, sizeof script, BEGIN, definitions[0], definitions[1], definitions[2]) >= (int)sizeof script)
        return err_set(err, ERR_INTERNAL, "the script of a new epoch is too long");
    const struct db_statement statements[] = {
        {"select set_config('acquit.epoch', $1::text, true), set_config('acquit.actor', $2::text, true),"
         " set_config('acquit.reason', $3::text, true)",
         3, params},
        {script, 0, NULL},
        {"select epoch, xid_offset from ledger.epoch order by epoch desc limit 1", 0, NULL},
    };
    if (db_run(db, true, statements, 3, results, err) != 0)
        return -1;
    *ret = (struct epoch){.number = (int)db_int(results[2], 0, 0), .offset = db_int(results[2], 0, 1)};
    for (size_t i = 0; i < 3; i++)
        db_result_free(results[i]);
    return 0;
}
