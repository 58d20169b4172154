/* verify_schema.c - is the schema what this program's migrations make?
 *
 * Every table, column, constraint, unique index, view, rule, policy, trigger (with whether it is on), function and grant of schema ledger has a
 * definition, as the server writes it. Their hashes stand in verify_manifest.c, taken from a freshly migrated database. Other indexes, and
 * roles that may only read, are everybody's own business.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/migrate.h"
#include "ledger/verify_internal.h"

/* Names in definitions are written in full whatever the role's search_path is. */
#define OBJECTS                                                                                                        \
    "with c as (select c.* from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'ledger'"   \
    "  and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition),"                                          \
    " granted as ("                                                                                                    \
    "  select c.relname::text as object, c.relowner as owner, a.grantee, a.privilege_type || case when "               \
    "a.is_grantable then '*' else '' end as privilege from c, aclexplode(c.relacl) a"                                  \
    "  union all select c.relname, c.relowner, a.grantee, a.privilege_type || '(' || t.attname || ')' || case when "   \
    "a.is_grantable then '*' else '' end from c join pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a"     \
    "  union all select 'schema ' || n.nspname, n.nspowner, a.grantee, a.privilege_type || case when a.is_grantable "  \
    "then '*' else '' end from pg_namespace n, aclexplode(n.nspacl) a where n.nspname = 'ledger'),"                    \
    " object (kind, name, definition) as ("                                                                            \
    "  select 'schema', 'relation ' || relname, concat_ws(' ', relkind, relpersistence, relrowsecurity, "              \
    "relforcerowsecurity, case when relkind in ('v', 'm') then pg_get_viewdef(oid) end) from c"                        \
    "  union all select 'schema', 'column ' || c.relname || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, " \
    "a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid), "                     \
    "a.attcollation::regcollation) from c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not "         \
    "a.attisdropped left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum"                                \
    "  union all select 'schema', 'constraint ' || c.relname || '.' || k.conname, concat_ws(' ', "                     \
    "pg_get_constraintdef(k.oid), k.convalidated) from c join pg_constraint k on k.conrelid = c.oid where k.contype "  \
    "not in ('n', 't')"                                                                                                \
    "  union all select 'schema', 'index ' || i.indexrelid::regclass, concat_ws(' ', pg_get_indexdef(i.indexrelid), "  \
    "i.indisvalid, i.indisready) from c join pg_index i on i.indrelid = c.oid where i.indisunique"                     \
    "  union all select 'schema', 'rule ' || c.relname || '.' || r.rulename, pg_get_ruledef(r.oid) from c join "       \
    "pg_rewrite r on r.ev_class = c.oid where r.rulename <> '_RETURN'"                                                 \
    "  union all select 'schema', 'policy ' || c.relname || '.' || p.polname, concat_ws(' ', p.polcmd, "               \
    "pg_get_expr(p.polqual, p.polrelid)) from c join pg_policy p on p.polrelid = c.oid"                                \
    "  union all select 'trigger', c.relname || '.' || t.tgname, concat_ws(' ', pg_get_triggerdef(t.oid), "            \
    "t.tgenabled) from c join pg_trigger t on t.tgrelid = c.oid where not t.tgisinternal"                              \
    "  union all select 'function', p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', "            \
    "pg_get_functiondef(p.oid) from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = "        \
    "'ledger' and p.prokind in ('f', 'p')"                                                                             \
    "  union all select 'grant', object || ' to ' || case when grantee = 0 then 'public' else "                        \
    "pg_get_userbyid(grantee) end, string_agg(privilege, ', ' order by privilege collate \"C\") from granted where "   \
    "grantee <> owner group by object, grantee)"                                                                       \
    " select kind, name, left(encode(sha256(convert_to(definition, 'UTF8')), 'hex'), 32), left(definition, 300) from " \
    "object order by kind collate \"C\", name collate \"C\""

/* Who writes must not be able to act as the owner, who is above all grants. */
#define OWNERS                                                                                                         \
    "select distinct r.rolname from pg_roles r join pg_class c on pg_has_role(r.oid, c.relowner, 'member')"            \
    " join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'ledger'"                                        \
    " and r.rolname in ('acquit_worker', 'acquit_reader', 'acquit_sealer') order by 1"

enum { KIND, NAME, SHA256, DEFINITION };

static struct db_result *read_objects(struct db *db, struct err *err)
{
    static const struct db_statement statements[] = {
        {.sql = "select set_config('search_path', 'pg_catalog', true)"},
        {.sql = OBJECTS},
    };
    struct db_result *results[2] = {NULL};
    if (db_run(db, true, statements, 2, results, err) != 0)
        return NULL;
    db_result_free(results[0]);
    return results[1];
}

static enum verify_rule rule_of(const char *kind)
{
    static const enum verify_rule rules[] = {VERIFY_TRIGGER, VERIFY_FUNCTION, VERIFY_GRANT};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (strcmp(verify_rule_text(rules[i]), kind) == 0)
            return rules[i];
    return VERIFY_SCHEMA;
}

static const struct manifest_line *line_of(const char *kind, const char *name)
{
    for (const struct manifest_line *line = verify_manifest; line->kind; line++)
        if (strcmp(line->kind, kind) == 0 && strcmp(line->name, name) == 0)
            return line;
    return NULL;
}

static void check_object(struct verify *verify, const struct db_result *rows, int row)
{
    const char *kind = db_value(rows, row, KIND), *name = db_value(rows, row, NAME);
    const char *definition = db_value(rows, row, DEFINITION);
    char sha256[SHA256_HEX_SIZE];
    const struct manifest_line *line = line_of(kind, name);
    bool only_reads =
        strcmp(kind, "grant") == 0 && (strcmp(definition, "SELECT") == 0 || strcmp(definition, "USAGE") == 0);
    if (!line && !only_reads)
        verify_fault(verify, rule_of(kind), NOWHERE, "%s is not of the migrations: %s", name, definition);
    else if (line && strcmp(epoch_definition(verify, line, sha256), db_value(rows, row, SHA256)) != 0)
        verify_fault(verify, rule_of(kind), NOWHERE, "%s is not as the migrations made it: %s", name, definition);
}

static bool is_there(const struct db_result *rows, const struct manifest_line *line)
{
    for (int row = 0; row < db_rows(rows); row++)
        if (strcmp(db_value(rows, row, KIND), line->kind) == 0 && strcmp(db_value(rows, row, NAME), line->name) == 0)
            return true;
    return false;
}

static int check_owners(struct verify *verify, struct err *err)
{
    struct db_result *rows = db_query(verify->db, OWNERS, 0, NULL, err);
    for (int row = 0; rows && row < db_rows(rows); row++)
        verify_fault(verify, VERIFY_GRANT, NOWHERE, "%s may act as the owner of the ledger", db_value(rows, row, 0));
    bool answered = rows;
    db_result_free(rows);
    return answered ? 0 : -1;
}

static int check_migrations(struct verify *verify, struct err *err)
{
    struct err why = {0};
    int r = migrate_check(verify->db, &why);
    if (r != 0 && why.code != ERR_CONFIG)
        return err_set(err, why.code, "%s", why.text);
    if (r != 0)
        verify_fault(verify, VERIFY_MIGRATION, NOWHERE, "%s", why.text);
    return 0;
}

int verify_schema(struct verify *verify, struct err *err)
{
    verify_progress(verify, "schema", 0);
    if (check_migrations(verify, err) != 0)
        return -1;
    struct db_result *rows = read_objects(verify->db, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows); row++)
        check_object(verify, rows, row);
    for (const struct manifest_line *line = verify_manifest; line->kind; line++)
        if (!is_there(rows, line))
            verify_fault(verify, rule_of(line->kind), NOWHERE, "%s is not there", line->name);
    db_result_free(rows);
    return check_owners(verify, err);
}

int verify_print_manifest(struct db *db, FILE *out, struct err *err)
{
    struct db_result *rows = read_objects(db, err);
    for (int row = 0; rows && row < db_rows(rows); row++)
        fprintf(out, "    {\"%s\", \"%s\", \"%s\"},\n", db_value(rows, row, KIND), db_value(rows, row, NAME),
                db_value(rows, row, SHA256));
    bool answered = rows;
    db_result_free(rows);
    return answered ? 0 : -1;
}
