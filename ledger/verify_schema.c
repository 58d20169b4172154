/* verify_schema.c - is the schema what this program's migrations make?
 *
 * Every table, column, constraint, unique index, view, rule, policy, trigger (with whether it is on), function and grant of schema ledger has a
 * definition, as the server writes it. Their hashes stand in verify_manifest.c, taken from a freshly migrated database. Partitions come and
 * go: each has to be as all of its parent's are. Other indexes, and roles that may only read, are everybody's own business.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/migrate.h"
#include "ledger/verify_internal.h"

/* Names in definitions are written in full whatever the role's search_path is. `c` are the relations of the schema, and what hangs below one of
 * them, wherever that is. A partition is compared as "event_<partition>": all of a parent have one definition, its own name left out. */
#define OBJECTS                                                                                                        \
    "with c as (select c.*, n.nspname, case when c.relispartition then c.relname::text else '' end as part,"           \
    "  case when c.relispartition then parent.relname || '_<partition>' else c.relname::text end as shown,"            \
    "  case when c.relispartition then concat_ws(' ', n.nspname, c.relowner = parent.relowner) end as home"            \
    "  from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_inherits i on i.inhrelid = c.oid"    \
    "  left join pg_class parent on parent.oid = i.inhparent where c.relkind in ('r', 'p', 'v', 'm', 'f')"             \
    "  and 'ledger' in (n.nspname::text, parent.relnamespace::regnamespace::text)),"                                   \
    " granted as ("                                                                                                    \
    "  select c.shown as object, c.part, c.relowner as owner, a.grantee, a.privilege_type || case when "               \
    "a.is_grantable then '*' else '' end as privilege from c, aclexplode(c.relacl) a"                                  \
    "  union all select c.shown, c.part, c.relowner, a.grantee, a.privilege_type || '(' || t.attname || ')' || case "  \
    "when a.is_grantable then '*' else '' end from c join pg_attribute t on t.attrelid = c.oid, "                      \
    "aclexplode(t.attacl) a"                                                                                           \
    "  union all select 'schema ' || n.nspname, '', n.nspowner, a.grantee, a.privilege_type || case when "             \
    "a.is_grantable then '*' else '' end from pg_namespace n, aclexplode(n.nspacl) a where n.nspname = 'ledger'),"     \
    " object (kind, name, part, definition) as ("                                                                      \
    "  select 'schema', 'relation ' || shown, part, concat_ws(' ', relkind, relpersistence, relrowsecurity, "          \
    "relforcerowsecurity, case when relkind in ('v', 'm') then pg_get_viewdef(oid) end, home) from c"                  \
    "  union all select 'schema', 'column ' || c.shown || '.' || a.attname, part, concat_ws(' ', "                     \
    "format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, "         \
    "d.adrelid), a.attcollation::regcollation) from c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and " \
    "not a.attisdropped left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum"                            \
    "  union all select 'schema', 'constraint ' || c.shown || '.' || replace(k.conname, c.relname, c.shown), part, "   \
    "concat_ws(' ', replace(pg_get_constraintdef(k.oid), c.relname, c.shown), k.convalidated) from c join "            \
    "pg_constraint k on k.conrelid = c.oid where k.contype not in ('n', 't')"                                          \
    "  union all select 'schema', 'index ' || replace(i.indexrelid::regclass::text, c.relname, c.shown), part, "       \
    "concat_ws(' ', replace(pg_get_indexdef(i.indexrelid), c.relname, c.shown), i.indisvalid, i.indisready) from c "   \
    "join pg_index i on i.indrelid = c.oid where i.indisunique"                                                        \
    "  union all select 'schema', 'rule ' || c.shown || '.' || r.rulename, part, pg_get_ruledef(r.oid) from c join "   \
    "pg_rewrite r on r.ev_class = c.oid where r.rulename <> '_RETURN'"                                                 \
    "  union all select 'schema', 'policy ' || c.shown || '.' || p.polname, part, concat_ws(' ', p.polcmd, "           \
    "pg_get_expr(p.polqual, p.polrelid)) from c join pg_policy p on p.polrelid = c.oid"                                \
    "  union all select 'trigger', c.shown || '.' || t.tgname, part, concat_ws(' ', "                                  \
    "replace(pg_get_triggerdef(t.oid), c.relname, c.shown), t.tgenabled) from c join pg_trigger t on t.tgrelid = "     \
    "c.oid where not t.tgisinternal"                                                                                   \
    "  union all select 'function', p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', '', "        \
    "pg_get_functiondef(p.oid) from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = "        \
    "'ledger' and p.prokind in ('f', 'p')"                                                                             \
    "  union all select 'grant', object || ' to ' || case when grantee = 0 then 'public' else "                        \
    "pg_get_userbyid(grantee) end, part, string_agg(privilege, ', ' order by privilege collate \"C\") from granted "   \
    "where grantee <> owner group by object, part, grantee)"                                                           \
    " select kind, name, left(encode(sha256(convert_to(definition, 'UTF8')), 'hex'), 32), left(definition, 300), "     \
    "part from object order by kind collate \"C\", name collate \"C\", part collate \"C\""

/* Who writes must not be able to act as the owner, who is above all grants. */
#define OWNERS                                                                                                         \
    "select distinct r.rolname from pg_roles r join pg_class c on pg_has_role(r.oid, c.relowner, 'member')"            \
    " join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'ledger'"                                        \
    " and r.rolname in ('acquit_worker', 'acquit_reader', 'acquit_sealer', 'acquit_projector') order by 1"

enum { KIND, NAME, SHA256, DEFINITION, PARTITION /* whose object it is; "" for no partition's */ };

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
    const char *definition = db_value(rows, row, DEFINITION), *partition = db_value(rows, row, PARTITION);
    const struct manifest_line *line = line_of(kind, name);
    bool only_reads =
        strcmp(kind, "grant") == 0 && (strcmp(definition, "SELECT") == 0 || strcmp(definition, "USAGE") == 0);
    char sha256[SHA256_HEX_SIZE];
    if (line ? strcmp(epoch_definition(verify, line, sha256), db_value(rows, row, SHA256)) == 0 : only_reads)
        return;
    verify_fault(verify, rule_of(kind), NOWHERE, "%s%s%s is not %s: %s", name, *partition ? " of " : "", partition,
                 line ? "as the migrations made it" : "of the migrations", definition);
}

static bool is_there(const struct db_result *rows, const struct manifest_line *line, const char *partition)
{
    for (int row = 0; row < db_rows(rows); row++)
        if (strcmp(db_value(rows, row, KIND), line->kind) == 0 && strcmp(db_value(rows, row, NAME), line->name) == 0 &&
            strcmp(db_value(rows, row, PARTITION), partition) == 0)
            return true;
    return false;
}

static void check_line(struct verify *verify, const struct db_result *rows, const struct manifest_line *line,
                       const char *partition)
{
    if (!is_there(rows, line, partition))
        verify_fault(verify, rule_of(line->kind), NOWHERE, "%s%s%s is not there", line->name, *partition ? " of " : "",
                     partition);
}

/* A line of a partition has to stand for each one that the parent has. */
static void check_lines(struct verify *verify, const struct db_result *rows)
{
    static const char relation[] = "relation ";
    for (const struct manifest_line *line = verify_manifest; line->kind; line++)
        if (!strstr(line->name, "_<partition>"))
            check_line(verify, rows, line, "");
    for (int row = 0; row < db_rows(rows); row++) {
        const char *name = db_value(rows, row, NAME), *partition = db_value(rows, row, PARTITION);
        if (!*partition || strncmp(name, relation, sizeof relation - 1) != 0)
            continue;
        for (const struct manifest_line *line = verify_manifest; line->kind; line++)
            if (strstr(line->name, name + sizeof relation - 1))
                check_line(verify, rows, line, partition);
    }
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
    check_lines(verify, rows);
    db_result_free(rows);
    return check_owners(verify, err);
}

/* The same as in the row before: one more partition. */
static bool is_repeated(const struct db_result *rows, int row)
{
    bool same = row > 0;
    for (int column = KIND; same && column <= SHA256; column++)
        same = strcmp(db_value(rows, row, column), db_value(rows, row - 1, column)) == 0;
    return same;
}

int verify_print_manifest(struct db *db, FILE *out, struct err *err)
{
    struct db_result *rows = read_objects(db, err);
    for (int row = 0; rows && row < db_rows(rows); row++)
        if (!is_repeated(rows, row))
            fprintf(out, "    {\"%s\", \"%s\", \"%s\"},\n", db_value(rows, row, KIND), db_value(rows, row, NAME),
                    db_value(rows, row, SHA256));
    bool answered = rows;
    db_result_free(rows);
    return answered ? 0 : -1;
}
