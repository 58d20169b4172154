/* ledger_probe.c - the ledger against a real PostgreSQL: what no fake can show
 *
 * Usage: ACQUIT_TEST_PG=<connection string of a superuser> ledger_probe
 *
 * Makes databases of its own on that server, drops them at the end, and prints "ok - name" or "not ok - name" per
 * check. Exit code 1 when any failed, 2 without the variable. Concurrency is real: processes with their own
 * connections, set off together over shared memory; waits are for conditions, by advisory locks, never for time.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/embed.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "ledger/book.h"
#include "ledger/migrate.h"
#include "ledger/read.h"
#include "ledger/store.h"
#include "tests/system/probe.h"

enum {
    RACE_ROUNDS = 500,
    KEY_ROUNDS = 200,
    WRITERS = 8,
    WRITER_APPENDS = 60,
    WRITER_BATCH = 24,
    WRITER_PAYMENTS = 64, /* so few that every batch meets others */
    KILLS = 60,
    VICTIM_APPENDS = 50000,
    TIMEOUT_MS = 8000,
    FACTS_MAX = 1100,
    URL_SIZE = 1024,
};

static const char *server; /* the connection string given to us */
static char url[URL_SIZE]; /* of the probe's own database */

/* A fact of a payment of its own. */
#define EVENT(slot, outcome)                                                                                           \
    "with home as (insert into ledger.payment (payment_id) values (gen_random_uuid()) returning *)"                    \
    " insert into ledger.event (payment_id, began, cause, slot, outcome) select payment_id, began, "                   \
    "gen_random_uuid(), '" slot "', '" outcome "' from home"

/* --- connections --- */

static struct db *open_db(const char *to, int64_t timeout_ms, bool read_only)
{
    return probe_db(&(struct db_options){
        .url = to, .application = "ledger_probe", .timeout_ms = timeout_ms, .read_only = read_only});
}

static struct store *open_store(int64_t timeout_ms)
{
    struct err err = {0};
    struct store *store = store_new(
        &(struct db_options){.url = url, .application = "ledger_probe_store", .timeout_ms = timeout_ms}, &err);
    must(store, "a connection string", &err);
    return store;
}

/* The caller's connection string with another database: a URI's path, or a last keyword. */
static void with_database(const char *base, const char *name, char ret[static URL_SIZE])
{
    const char *host = strstr(base, "://");
    if (!host) {
        snprintf(ret, URL_SIZE, "%s dbname=%s", base, name);
        return;
    }
    size_t authority = strcspn(host + 3, "/?");
    const char *query = strchr(host + 3, '?');
    snprintf(ret, URL_SIZE, "%.*s/%s%s", (int)(host + 3 + authority - base), base, name, query ? query : "");
}

static void run(struct db *db, const char *sql)
{
    struct err err = {0};
    struct db_result *rows = db_query(db, sql, 0, NULL, &err);
    must(rows, sql, &err);
    db_result_free(rows);
}

/* A database of this run: its name says which. */
static void create_database(struct db *admin, const char *what, char ret_url[static URL_SIZE])
{
    char name[64], sql[128];
    snprintf(name, sizeof name, "acquit_probe_%d_%s", (int)getpid(), what);
    snprintf(sql, sizeof sql, "create database %s", name);
    run(admin, sql);
    with_database(server, name, ret_url);
}

static void drop_database(struct db *admin, const char *what)
{
    char sql[128];
    snprintf(sql, sizeof sql, "drop database acquit_probe_%d_%s with (force)", (int)getpid(), what);
    run(admin, sql);
}

static int64_t ask(struct db *db, const char *sql)
{
    struct err err = {0};
    struct db_result *rows = db_query(db, sql, 0, NULL, &err);
    must(rows && db_rows(rows) == 1, sql, &err);
    int64_t n = db_value(rows, 0, 0)[0] == 't' ? 1 : db_int(rows, 0, 0);
    db_result_free(rows);
    return n;
}

static void wait_until(struct db *db, const char *sql)
{
    int64_t deadline_ms = clock_monotonic_ms() + TIMEOUT_MS;
    while (ask(db, sql) == 0) {
        must(clock_monotonic_ms() < deadline_ms, sql, NULL);
        run(db, "select pg_sleep(0.002)");
    }
}

/* True when the script is refused with this SQLSTATE. */
static bool refused(struct db *db, const char *script, const char *sqlstate)
{
    struct err err = {0};
    if (db_script(db, script, &err) == 0 || strcmp(db_sqlstate(db), sqlstate) != 0) {
        printf("# \"%s\": %s (%s)\n", script, err.text, db_sqlstate(db));
        return false;
    }
    return true;
}

/* --- facts --- */

static struct uuid payment(const char *kind, int n)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%d", kind, n);
    return uuid_payment("probe", name);
}

static struct new_fact fact(struct uuid id, const char *slot, const char *outcome, const char *with)
{
    struct new_fact f = {.payment_id = id, .cause = uuid_command("probe", "probe", slot), .actor = "probe"};
    snprintf(f.slot, sizeof f.slot, "%s", slot);
    snprintf(f.outcome, sizeof f.outcome, "%s", outcome);
    snprintf(f.with, sizeof f.with, "%s", with);
    return f;
}

static struct new_transfer transfer(struct uuid id, const char *slot, const char *kind, const char *pending_of,
                                    int64_t amount)
{
    struct new_transfer t = {.payment_id = id,
                             .leg = 1,
                             .debit = "receivable:probe",
                             .credit = "payable:shop",
                             .amount = amount,
                             .currency = "EUR"};
    snprintf(t.slot, sizeof t.slot, "%s", slot);
    snprintf(t.kind, sizeof t.kind, "%s", kind);
    snprintf(t.pending_of, sizeof t.pending_of, "%s", pending_of);
    return t;
}

static enum err_code append_facts(struct store *store, struct new_fact *facts, size_t count)
{
    struct err err = {0};
    struct append append = {.facts = facts, .fact_count = count};
    return store_append(store, &append, &err) == 0 ? ERR_NONE : err.code;
}

static enum err_code append_one(struct store *store, struct uuid id, const char *slot, const char *outcome,
                                bool *ret_won)
{
    struct new_fact f = fact(id, slot, outcome, "");
    enum err_code code = append_facts(store, &f, 1);
    *ret_won = f.won;
    return code;
}

/* The outcome that stands in the slot, copied; "" for none. */
static const char *outcome_of(struct store *store, struct uuid id, const char *slot, char ret[static OUTCOME_SIZE])
{
    struct err err = {0};
    struct facts facts = {0};
    must(store_load(store, &id, 1, &facts, &err) == 0, "store_load", &err);
    const struct fact *found = facts_find(&facts, slot);
    snprintf(ret, OUTCOME_SIZE, "%s", found ? found->outcome : "");
    facts_clear(&facts);
    return ret;
}

static bool holds_outcome(struct store *store, struct uuid id, const char *slot, const char *outcome)
{
    char found[OUTCOME_SIZE];
    return strcmp(outcome_of(store, id, slot, found), outcome) == 0;
}

/* --- migrations --- */

static void test_migrations(struct db *db)
{
    struct err err = {0};
    int applied = -1;
    check(migrate_check(db, &err) != 0 && err.code == ERR_CONFIG, "a database without schema does not pass the check");
    err_clear(&err);
    must(migrate_apply(db, NULL, &applied, &err) == 0, "migrate_apply", &err);
    check(applied == (int)embedded_sql_count, "the first migration applies every file");
    check(migrate_apply(db, NULL, &applied, &err) == 0 && applied == 0, "the second applies none");
    check(migrate_check(db, &err) == 0, "a migrated database passes the check");
}

/* A database whose notes say what this program does not. */
static void check_foreign_note(struct db *admin, const char *name, const char *what)
{
    static const char SHA256[] = "0000000000000000000000000000000000000000000000000000000000000000";
    char sql[512], other[URL_SIZE];
    struct err err = {0};
    int applied = 0;
    create_database(admin, "note", other);
    struct db *db = open_db(other, TIMEOUT_MS, false);
    snprintf(sql, sizeof sql,
             "create schema ledger; create table ledger.migration (name text primary key, sha256 text);"
             "insert into ledger.migration values ('%s', '%s')",
             name, SHA256);
    must(db_script(db, sql, &err) == 0, "a foreign note", &err);
    bool ok = migrate_apply(db, NULL, &applied, &err) != 0 && err.code == ERR_CONFIG && strstr(err.text, name);
    err_clear(&err);
    check(ok && migrate_check(db, &err) != 0 && err.code == ERR_CONFIG && strstr(err.text, name), what);
    db_free(db);
    drop_database(admin, "note");
}

static void test_migrations_refused(struct db *admin)
{
    check_foreign_note(admin, "001_ledger.sql", "a migration that was changed since is refused, by name");
    check_foreign_note(admin, "999_future.sql", "a database newer than the program is refused, by name");
}

/* --- processes --- */

struct shared {
    atomic_int turn;               /* counted up by every process that is ready */
    atomic_int won[2];             /* of this round, by process */
    atomic_int wins, again, other; /* of all writers */
    atomic_int stop;
    char url[URL_SIZE];              /* of a database that all of them shall use instead of the probe's */
    atomic_int told[VICTIM_APPENDS]; /* enum err_code by append */
};
static struct shared *shared;

static void meet(int round, int processes)
{
    atomic_fetch_add(&shared->turn, 1);
    while (atomic_load(&shared->turn) < (round + 1) * processes)
        sched_yield();
}

static pid_t start(void (*body)(int who), int who)
{
    fflush(stdout);
    pid_t pid = fork();
    must(pid >= 0, "fork", NULL);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a probe that gives up leaves nobody waiting for the other half of a race */
        body(who);
        _exit(0);
    }
    return pid;
}

static void join(pid_t pid)
{
    int status = 0;
    must(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "a process of the probe",
         NULL);
}

static void run_migrator(int who)
{
    struct err err = {0};
    int applied = 0;
    struct db *db = open_db(shared->url, 4 * TIMEOUT_MS, false);
    meet(0, 2);
    must(migrate_apply(db, NULL, &applied, &err) == 0, "one of two migrators", &err);
    atomic_store(&shared->won[who], applied);
    db_free(db);
}

static void test_two_migrators(struct db *admin)
{
    create_database(admin, "two", shared->url);
    atomic_store(&shared->turn, 0);
    pid_t one = start(run_migrator, 0), two = start(run_migrator, 1);
    join(one);
    join(two);
    check(atomic_load(&shared->won[0]) + atomic_load(&shared->won[1]) == (int)embedded_sql_count,
          "two programs that migrate at once apply every file once");
    drop_database(admin, "two");
}

/* --- insert-only, and who may do what --- */

static void test_insert_only(struct db *db)
{
    static const char *const TABLES[] = {"event", "transfer", "account", "command", "dead_letter", "migration"};
    static const char *const COLUMNS[] = {"outcome", "amount", "opened_at", "outcome", "reason", "at"};
    bool ok = true;
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
        const char *t = TABLES[i], *c = COLUMNS[i];
        char changes[4][128];
        snprintf(changes[0], sizeof changes[0], "update ledger.%s set %s = %s", t, c, c);
        snprintf(changes[1], sizeof changes[1], "delete from ledger.%s", t);
        snprintf(changes[2], sizeof changes[2], "truncate ledger.%s cascade", t);
        snprintf(changes[3], sizeof changes[3], "set local session_replication_role = replica; delete from ledger.%s",
                 t);
        for (int k = 0; k < 4; k++)
            ok &= refused(db, changes[k], "AQ002");
    }
    check(ok, "UPDATE, DELETE and TRUNCATE are refused to a superuser, replication role or not (L2, L9)");
    check(refused(db,
                  EVENT("pop", "validated") ";"
                                            "insert into ledger.event (payment_id, began, cause, slot, outcome) select "
                                            "payment_id, began, cause, slot, "
                                            "'rejected' from ledger.event"
                                            " where slot = 'pop' on conflict (payment_id, slot, began) do update set "
                                            "outcome = excluded.outcome",
                  "AQ002"),
          "ON CONFLICT DO UPDATE is an update too");
}

static void test_personal_is_erasable(struct db *db)
{
    struct err err = {0};
    check(db_script(db,
                    "insert into ledger.personal (payment_id, data) values ('00000000-0000-8000-8000-000000000001', "
                    "'{\"customerEmail\":\"a@b\"}');"
                    "update ledger.personal set data = '{}'; delete from ledger.personal",
                    &err) == 0,
          "personal data can be changed and erased (L11)");
}

static void test_roles(struct db *db)
{
#define AS_WORKER "set local role acquit_worker; "
#define NEW_FACT(columns, values)                                                                                      \
    "with home as (insert into ledger.payment (payment_id) values (gen_random_uuid()) returning *)"                    \
    " insert into ledger.event (payment_id, began, cause, slot, outcome" columns                                       \
    ") select payment_id, began, gen_random_uuid(), 'received', 'accepted'" values " from home"
    struct err err = {0};
    check(db_script(db, AS_WORKER NEW_FACT("", ""), &err) == 0, "the worker's role may insert a fact");
    check(refused(db, AS_WORKER NEW_FACT(", xid", ", '7'"), "42501") &&
              refused(db, AS_WORKER NEW_FACT(", at", ", now()"), "42501") &&
              refused(db, AS_WORKER NEW_FACT(", seq", ", 7"), "428C9"),
          "but not say its transaction, its time or its number");
    check(refused(db, AS_WORKER "delete from ledger.event", "42501") &&
              refused(db, AS_WORKER "update ledger.transfer set amount = 1", "42501") &&
              refused(db, AS_WORKER "delete from ledger.personal", "42501"),
          "nor change or delete anything");
    check(refused(db, "set local role acquit_reader; " NEW_FACT("", ""), "42501"),
          "the reader's role may insert nothing");
    check(db_script(db, "set local role acquit_reader; select count(*) from ledger.event", &err) == 0,
          "the reader's role may read");
}

static void test_constraints(struct db *db)
{
#define MOVE(kind, pending, debit, credit, amount)                                                                     \
    EVENT("capture", "captured")                                                                                       \
    "; insert into ledger.transfer (payment_id, began, leg, slot, kind, pending_of, debit, credit, amount, currency)"  \
    " select payment_id, began, 1, slot, '" kind "', " pending ", '" debit "', '" credit "', " amount                  \
    ", 'EUR' from ledger.event where xid = ledger.xid()"
    struct err err = {0};
    check(refused(db, EVENT("Auth", "intent"), "23514") && refused(db, EVENT("auth:", "intent"), "23514") &&
              refused(db, EVENT("pop", ""), "23514") && refused(db, EVENT("decision", "commit"), "23514") &&
              refused(db, EVENT("decision", "commit:0"), "23514"),
          "slots and outcomes have a form");
    check(refused(db, MOVE("transfer", "null", "commission", "payable:x", "0"), "23514") &&
              refused(db, MOVE("transfer", "null", "commission", "commission", "5"), "23514") &&
              refused(db, MOVE("post", "null", "commission", "payable:x", "5"), "23514") &&
              refused(db, MOVE("gift", "null", "commission", "payable:x", "5"), "23514"),
          "a transfer has two accounts, a positive amount and a known kind (L8)");
    check(refused(db, MOVE("post", "'auth:1:result'", "commission", "payable:x", "5"), "AQ003"),
          "there is no posting without a hold");
    check(
        refused(
            db,
            "insert into ledger.transfer (payment_id, began, leg, slot, kind, debit, credit, amount, currency) select "
            "payment_id, began, 9, slot, 'transfer',"
            " 'commission', 'payable:x', 5, 'EUR' from ledger.event limit 1",
            "AQ003") &&
            refused(db,
                    "insert into ledger.transfer (payment_id, began, leg, slot, kind, debit, credit, amount, currency)"
                    " values (gen_random_uuid(), current_date, 1, 'capture', 'transfer', 'commission', 'payable:x', 5, "
                    "'EUR')",
                    "AQ003"),
        "nor a transfer without a fact of its own transaction");
    check(db_script(db, MOVE("transfer", "null", "commission", "payable:x", "5"), &err) == 0,
          "a sound transfer goes in");
}

/* --- appends --- */

static void test_append(struct store *store)
{
    struct uuid id = payment("append", 0);
    bool won = false;
    check(append_one(store, id, "received", "accepted", &won) == ERR_NONE && won, "a new fact is won");
    check(append_one(store, id, "received", "accepted", &won) == ERR_NONE && !won,
          "the same slot again is lost, without an error (L2)");
    struct facts facts = {0};
    struct err err = {0};
    must(store_load(store, &id, 1, &facts, &err) == 0, "store_load", &err);
    check(facts.count == 1 && uuid_equal(facts.payment_id, id) && strcmp(facts.items[0].actor, "probe") == 0 &&
              facts.items[0].seq > 0 && llabs(facts.items[0].at_ms - clock_wall_ms()) < 60000 &&
              json_object_size(facts.items[0].body) == 0,
          "store_load gives the fact back");
    facts_clear(&facts);
}

/* Its partition went away after the payment was read, or is not there yet: what was wanted is worth another try. */
static void test_no_partition(struct store *store, struct db *db)
{
    struct uuid id = payment("nowhere", 1);
    char text[UUID_TEXT_SIZE], sql[256];
    uuid_format(id, text);
    snprintf(sql, sizeof sql, "insert into ledger.payment (payment_id, began) values ('%s', current_date + 4000)",
             text);
    bool won;
    run(db, sql);
    check(append_one(store, id, "received", "shop", &won) == ERR_AGAIN, "a payment without a partition is tried again");
}

static void test_append_is_checked(struct store *store)
{
    struct uuid id = payment("checked", 0);
    struct new_fact twice[] = {fact(id, "pop", "validated", ""), fact(id, "pop", "rejected", "")};
    struct new_fact orphan[] = {fact(id, "decision", "abort", "pop")};
    struct new_fact ring[] = {fact(id, "pop", "rejected", "decision"), fact(id, "decision", "abort", "pop")};
    check(append_facts(store, twice, 2) == ERR_INVALID, "an append with two facts for a slot is refused");
    check(append_facts(store, orphan, 1) == ERR_INVALID, "so is a dependent whose parent is not in it");
    check(append_facts(store, ring, 2) == ERR_INVALID, "and facts that depend on each other");
    check(append_facts(store, NULL, 0) == ERR_NONE, "an empty append is done at once");
    struct new_fact *many = mem_new(16 * STORE_PAYMENTS_MAX + 1, sizeof *many);
    check(append_facts(store, many, 16 * STORE_PAYMENTS_MAX + 1) == ERR_LIMIT, "an append has a greatest size (L12)");
    free(many);
}

static void test_dependents(struct store *store)
{
    struct uuid a = payment("dependent", 0), b = payment("dependent", 1), c = payment("dependent", 2);
    bool won = false;
    /* the caller's order is not the ledger's */
    struct new_fact refusal[] = {fact(a, "decision", "abort", "pop"), fact(a, "pop", "rejected", "")};
    check(append_facts(store, refusal, 2) == ERR_NONE && refusal[0].won && refusal[1].won &&
              holds_outcome(store, a, "auth:1", "closed"),
          "a refusal wins its abort, and the abort closes auth:1 (L7)");
    check(append_one(store, a, "auth:1", "intent", &won) == ERR_NONE && !won, "after which no authorization begins");
    must(append_one(store, b, "pop", "validated", &won) == ERR_NONE && won, "a vote", NULL);
    refusal[0].payment_id = refusal[1].payment_id = b;
    check(append_facts(store, refusal, 2) == ERR_NONE && !refusal[0].won && !refusal[1].won &&
              holds_outcome(store, b, "decision", "") && holds_outcome(store, b, "auth:1", ""),
          "a dependent of a lost slot is not written, nor is what depends on it");
    struct new_fact plain[] = {fact(c, "received", "accepted", ""), fact(c, "auth:1", "intent", "received")};
    check(append_facts(store, plain, 2) == ERR_NONE && plain[0].won && plain[1].won, "plain: received with auth:1");
    struct new_fact decline[] = {fact(c, "auth:1:result", "declined", ""),
                                 fact(c, "decision", "abort", "auth:1:result")};
    check(append_facts(store, decline, 2) == ERR_NONE && decline[1].won && holds_outcome(store, c, "auth:1", "intent"),
          "an abort leaves an authorization alone that has begun");
    struct new_fact release[] = {fact(c, "token:active", "refused", "token:released"),
                                 fact(c, "token:released", "released", "")};
    check(append_facts(store, release, 2) == ERR_NONE && release[0].won && release[1].won,
          "token:released with token:active");
}

static void test_cancel_closes(struct store *store)
{
    struct uuid id = payment("cancel", 0);
    bool won = false;
    must(append_one(store, id, "received", "accepted", &won) == ERR_NONE, "received", NULL);
    check(append_one(store, id, "decision", "abort", &won) == ERR_NONE && won &&
              holds_outcome(store, id, "auth:1", "closed"),
          "an abort of its own (cancel, expiry) closes auth:1");
    struct uuid other = payment("cancel", 1);
    check(append_one(store, other, "decision", "commit:1", &won) == ERR_NONE && won &&
              holds_outcome(store, other, "auth:1", ""),
          "a commit does not");
}

static void test_fence(struct store *store, struct db *db)
{
    struct uuid id = payment("fence", 0);
    bool won = false;
    must(append_one(store, id, "auth:1", "intent", &won) == ERR_NONE, "auth:1", NULL);
    check(append_one(store, id, "auth:2", "intent", &won) == ERR_AGAIN && !won,
          "auth:2 is refused while auth:1 is in doubt (L6)");
    struct new_fact approved[] = {fact(id, "auth:1:result", "approved", ""),
                                  fact(id, "auth:2", "intent", "auth:1:result")};
    check(append_facts(store, approved, 2) == ERR_AGAIN && !approved[0].won &&
              holds_outcome(store, id, "auth:1:result", ""),
          "also with an approval, which then is not written either");
    struct new_fact absent[] = {fact(id, "auth:2", "intent", "auth:1:result"), fact(id, "auth:1:result", "absent", "")};
    check(append_facts(store, absent, 2) == ERR_NONE && absent[0].won && absent[1].won,
          "auth:2 goes in with the negative result it rests on");
    check(append_facts(store, absent, 2) == ERR_NONE && !absent[0].won, "a redelivery of it loses quietly");
    must(append_one(store, id, "auth:2:result", "declined", &won) == ERR_NONE && won, "auth:2:result", NULL);
    check(append_one(store, id, "auth:3", "intent", &won) == ERR_AGAIN && !won,
          "a negative result of an earlier transaction is not enough");
    check(refused(db, EVENT("auth:2", "intent"), "AQ001") && refused(db, EVENT("auth:01", "intent"), "AQ001") &&
              refused(db, EVENT("auth:0", "intent"), "AQ001"),
          "the fence has an SQLSTATE of its own, and is not to be walked around");
}

/* The fence and dependents within one statement: siblings see each other through RETURNING only, the trigger after
 * the rows. */
static void test_fence_in_one_statement(struct db *db)
{
    struct err err = {0};
    check(db_script(db,
                    "with p as (insert into ledger.payment (payment_id) values (gen_random_uuid()) returning *),"
                    " r as (insert into ledger.event (payment_id, began, cause, slot, outcome)"
                    " select payment_id, began, payment_id, 'auth:1:result', 'cancelled' from p returning *)"
                    " insert into ledger.event (payment_id, began, cause, slot, outcome) select payment_id, began,"
                    " payment_id, 'auth:2', 'intent' from r",
                    &err) == 0,
          "the fence sees the rows of its own statement");
}

static void test_transfers(struct store *store, struct db *db)
{
    struct err err = {0};
    struct uuid id = payment("transfer", 0);
    bool won = false;
    must(append_one(store, id, "auth:1:result", "declined", &won) == ERR_NONE, "a result", NULL);
    struct new_fact lost = fact(id, "auth:1:result", "approved", "");
    struct new_transfer hold = transfer(id, "auth:1:result", "hold", "", 500);
    struct append append = {.facts = &lost, .fact_count = 1, .transfers = &hold, .transfer_count = 1};
    check(store_append(store, &append, &err) == 0 && !lost.won &&
              ask(db, "select count(*) from ledger.transfer where amount = 500") == 0,
          "a transfer goes in only with the slot that it belongs to");
    id = payment("transfer", 1);
    lost.payment_id = hold.payment_id = id;
    check(store_append(store, &append, &err) == 0 && lost.won &&
              ask(db, "select count(*) from ledger.transfer where amount = 500") == 1,
          "and then it does");
    struct new_fact capture = fact(id, "capture", "captured", ""), annul = fact(id, "void:1", "voided", "");
    struct new_transfer post = transfer(id, "capture", "post", "auth:1:result", 501),
                        release = transfer(id, "void:1", "void", "auth:1:result", 500);
    struct append capturing = {.facts = &capture, .fact_count = 1, .transfers = &post, .transfer_count = 1};
    struct append voiding = {.facts = &annul, .fact_count = 1, .transfers = &release, .transfer_count = 1};
    check(store_append(store, &capturing, &err) != 0 && err.code == ERR_INVALID &&
              holds_outcome(store, id, "capture", ""),
          "no more is posted than was held, and the fact falls with its transfer");
    err_clear(&err);
    post.amount = 300;
    check(store_append(store, &capturing, &err) == 0 && capture.won, "a hold is posted in part");
    check(store_append(store, &voiding, &err) != 0 && err.code == ERR_INVALID && holds_outcome(store, id, "void:1", ""),
          "a hold that was posted cannot be voided");
}

static void test_commands(struct store *store)
{
    struct err err = {0};
    struct uuid id = payment("command", 0);
    struct new_command command = {
        .payment_id = id, .publisher = "probe", .message_id = "k \"1\" {\\}", .type = "payment.create"};
    command.id = uuid_command(command.type, command.publisher, command.message_id);
    memset(command.sha256, 'a', 64);
    struct new_fact f = fact(id, "received", "accepted", "");
    f.command = command.id;
    memcpy(f.command_sha256, command.sha256, sizeof f.command_sha256);
    struct append append = {.facts = &f, .fact_count = 1, .commands = &command, .command_count = 1};
    check(store_append(store, &append, &err) == 0 && f.won, "a command and its first fact go in together (L10)");
    struct new_fact refund = fact(id, "refund:1", "refused", "");
    refund.command = command.id;
    memset(refund.command_sha256, 'b', 64);
    memset(command.sha256, 'b', 64);
    struct append other = {.facts = &refund, .fact_count = 1, .commands = &command, .command_count = 1};
    check(store_append(store, &other, &err) == 0 && !refund.won, "the same key with another body has no effect");
    char shas[2][65];
    struct uuid ids[] = {command.id, payment("nobody", 0)};
    check(store_commands(store, ids, 2, shas, &err) == 0 && shas[0][0] == 'a' && strlen(shas[0]) == 64 &&
              shas[1][0] == '\0',
          "store_commands tells which body came first");
}

static void test_personal_and_dead(struct store *store, struct db *db)
{
    struct err err = {0};
    struct uuid id = payment("dead", 0), letter_id = uuid_random();
    char letter_text[UUID_TEXT_SIZE], slot[SLOT_SIZE];
    static const char body[] = "not \xff JSON \\ \" {\0}";
    uuid_format(letter_id, letter_text);
    snprintf(slot, sizeof slot, "dead:%s:1", letter_text);
    struct new_fact facts[] = {fact(id, "received", "accepted", ""), fact(id, slot, "payment.create", "")};
    facts[1].body = json_pack("{s:s, s:s, s:b}", "deadLetter", letter_text, "reason", "probe", "held", 0);
    json_t *data = json_pack("{s:s}", "customerEmail", "x@example.org"), *properties = json_object(),
           *history = json_array();
    struct new_personal personal = {.payment_id = id, .data = data, .with = "received"};
    struct new_dead_letter letter = {.id = letter_id,
                                     .payment_id = id,
                                     .queue = "acquit.authorize",
                                     .routing_key = "payment.create",
                                     .type = "payment.create",
                                     .reason = "probe",
                                     .publisher = "",
                                     .message_id = "",
                                     .properties = properties,
                                     .history = history,
                                     .body = body,
                                     .body_size = sizeof body - 1,
                                     .attempts = 3};
    memset(letter.body_sha256, 'c', 64);
    struct append append = {.facts = facts,
                            .fact_count = 2,
                            .personal = &personal,
                            .personal_count = 1,
                            .dead_letters = &letter,
                            .dead_letter_count = 1};
    check(store_append(store, &append, &err) == 0 && facts[0].won && facts[1].won,
          "personal data and a dead letter go in with their facts");
    check(store_append(store, &append, &err) == 0 && !facts[1].won &&
              ask(db, "select count(*) from ledger.dead_letter") == 1,
          "once");
    json_t *read = read_personal(db, id, &err), *one = read_dead_letter(db, letter_id, &err),
           *list = read_dead_letters(db, "compensated", 0, 10, &err);
    check(read && json_equal(read, data), "read_personal gives it back");
    check(one && strcmp(json_text(one, "bodyEncoding", ""), "base64") == 0 &&
              strcmp(json_text(one, "body", ""), "bm90IP8gSlNPTiBcICIgewB9") == 0 &&
              json_array_size(json_object_get(one, "facts")) == 1 && json_int(one, "attempts", 0) == 3,
          "read_dead_letter gives its bytes and its fact back (L9)");
    check(list && json_array_size(list) == 1 &&
              strcmp(json_text(json_array_get(list, 0), "state", ""), "compensated") == 0,
          "read_dead_letters finds it by state");
    json_decref(list);
    list = read_dead_letters(db, "held", 0, 10, &err);
    check(list && json_array_size(list) == 0, "and not by another");
    check(!read_dead_letter(db, payment("nobody", 1), &err) && err.code == ERR_NOT_FOUND,
          "a dead letter that is not there is not found");
    json_decref(read);
    json_decref(one);
    json_decref(list);
    json_decref(data);
    json_decref(properties);
    json_decref(history);
    json_decref(facts[1].body);
    struct new_dead_letter loose = {.id = uuid_random(), .reason = "probe"};
    struct append bad = {.dead_letters = &loose, .dead_letter_count = 1};
    err_clear(&err);
    check(store_append(store, &bad, &err) != 0 && err.code == ERR_INVALID, "a dead letter without its fact is refused");
}

/* --- races --- */

static void run_racer(int who)
{
    struct store *store = open_store(TIMEOUT_MS);
    for (int round = 0; round < RACE_ROUNDS; round++) {
        bool won = false;
        meet(2 * round, 2);
        if (round % 3 == who)
            poll(NULL, 0, 1); /* a start for the other: either may win, every time the tests run */
        enum err_code code = append_one(store, payment("race", round), who == 0 ? "decision" : "auth:1",
                                        who == 0 ? "abort" : "intent", &won);
        must(code == ERR_NONE, "a racer's append", NULL);
        atomic_store(&shared->won[who], won);
        meet(2 * round + 1, 2);
        if (who == 0) {
            char outcome[OUTCOME_SIZE];
            bool begun = strcmp(outcome_of(store, payment("race", round), "auth:1", outcome), "intent") == 0;
            must(begun || strcmp(outcome, "closed") == 0, "auth:1 after the race", NULL);
            must(won && begun == atomic_load(&shared->won[1]), "who won auth:1", NULL);
            atomic_fetch_add(&shared->wins, begun);
        }
    }
    store_free(store);
}

static void test_abort_against_start(void)
{
    atomic_store(&shared->turn, 0);
    atomic_store(&shared->wins, 0);
    pid_t one = start(run_racer, 0), two = start(run_racer, 1);
    join(one);
    join(two);
    int begun = atomic_load(&shared->wins);
    printf("# of %d races the authorization won %d, the abort %d\n", RACE_ROUNDS, begun, RACE_ROUNDS - begun);
    check(begun > 0 && begun < RACE_ROUNDS, "abort against auth:1: exactly one of them has auth:1, either way");
}

/* The other order of events, made certain: one holds its transaction open while the other runs into it. */
static void run_holder(int who)
{
    static const char *const SQL[] = {
        "insert into ledger.event (payment_id, began, cause, slot, outcome) select payment_id, began, $1::uuid, "
        "'auth:1',"
        " 'intent' from ledger.payment where payment_id = $1::uuid",
        "insert into ledger.event (payment_id, began, cause, slot, outcome, body) select payment_id, began, $1::uuid,"
        " 'received', 'accepted', '{\"publisher\":\"hole\"}' from ledger.payment where payment_id = $1::uuid",
    };
    char id[UUID_TEXT_SIZE];
    const char *params[] = {id};
    struct err err = {0};
    uuid_format(payment("held", who), id);
    struct db *db = open_db(url, TIMEOUT_MS, false);
    const struct db_statement statements[] = {
        {.sql = "insert into ledger.payment (payment_id) values ($1::uuid)", .param_count = 1, .params = params},
        {.sql = SQL[who], .param_count = 1, .params = params},
        {.sql = "select pg_advisory_xact_lock(7)"}};
    must(db_run(db, true, statements, 3, NULL, &err) == 0, "the holder", &err);
    db_free(db);
}

#define BLOCKED_ON_7 "select count(*) from pg_locks where locktype = 'advisory' and objid = 7 and not granted"

static void run_canceller(int who)
{
    struct store *store = open_store(TIMEOUT_MS);
    bool won = false;
    must(append_one(store, payment("held", who), "decision", "abort", &won) == ERR_NONE && won, "the cancel", NULL);
    store_free(store);
}

static void test_abort_waits_for_start(struct store *store, struct db *db)
{
    run(db, "select pg_advisory_lock(7)");
    pid_t holder = start(run_holder, 0);
    wait_until(db, BLOCKED_ON_7);
    pid_t canceller = start(run_canceller, 0);
    wait_until(db, "select count(*) from pg_locks where locktype = 'transactionid' and not granted");
    run(db, "select pg_advisory_unlock(7)");
    join(holder);
    join(canceller);
    check(holds_outcome(store, payment("held", 0), "auth:1", "intent") &&
              holds_outcome(store, payment("held", 0), "decision", "abort"),
          "an abort that meets an uncommitted auth:1 waits for it, and leaves it");
}

static void run_publisher(int who)
{
    struct store *store = open_store(TIMEOUT_MS);
    for (int round = 0; round < KEY_ROUNDS; round++) {
        struct err err = {0};
        struct new_command c = {.payment_id = payment("key", round), .publisher = "probe", .type = "payment.refund"};
        snprintf(c.message_id, sizeof c.message_id, "key-%d", round);
        c.id = uuid_command(c.type, c.publisher, c.message_id);
        memset(c.sha256, "ab"[who], 64);
        struct new_fact f = fact(c.payment_id, who == 0 ? "refund:1" : "refund:2", "accepted", "");
        f.command = c.id;
        memcpy(f.command_sha256, c.sha256, sizeof c.sha256);
        struct append append = {.facts = &f, .fact_count = 1, .commands = &c, .command_count = 1};
        meet(2 * round, 2);
        must(store_append(store, &append, &err) == 0, "a publisher's append", &err);
        atomic_store(&shared->won[who], f.won);
        meet(2 * round + 1, 2);
        char sha[1][65];
        must(atomic_load(&shared->won[0]) + atomic_load(&shared->won[1]) == 1, "exactly one body under a key", NULL);
        must(store_commands(store, &c.id, 1, sha, &err) == 0 && (sha[0][0] == "ab"[who]) == f.won, "whose body stands",
             &err);
    }
    store_free(store);
}

static void test_key_conflict(void)
{
    atomic_store(&shared->turn, 0);
    pid_t one = start(run_publisher, 0), two = start(run_publisher, 1);
    join(one);
    join(two);
    check(true, "two bodies at once under one key: exactly one has an effect, and both can tell whose (L10)");
}

/* A random step of the protocol for this payment; returns how many facts. */
static size_t random_step(struct uuid id, struct new_fact *ret)
{
    static const struct {
        const char *slot, *outcome, *with_slot, *with_outcome;
    } STEPS[] = {
        {"received", "accepted", "auth:1", "intent"},
        {"pop", "rejected", "decision", "abort"},
        {"decision", "abort", NULL, NULL},
        {"auth:1:result", "declined", "decision", "abort"},
        {"auth:1", "intent", NULL, NULL},
        {"token:reserved", "refused", "decision", "abort"},
        {"auth:1:result", "absent", "auth:2", "intent"},
        {"token:released", "released", "token:active", "refused"},
        {"token:active", "active", NULL, NULL},
        {"decision", "commit:1", NULL, NULL},
        {"capture", "captured", NULL, NULL},
    };
    size_t i = clock_random(sizeof STEPS / sizeof *STEPS);
    ret[0] = fact(id, STEPS[i].slot, STEPS[i].outcome, "");
    if (!STEPS[i].with_slot)
        return 1;
    ret[1] = fact(id, STEPS[i].with_slot, STEPS[i].with_outcome, STEPS[i].slot);
    return 2;
}

static void run_writer(int who)
{
    struct store *store = open_store(TIMEOUT_MS);
    struct new_fact facts[2 * WRITER_BATCH];
    (void)who;
    for (int round = 0; round < WRITER_APPENDS; round++) {
        bool taken[WRITER_PAYMENTS] = {false};
        size_t count = 0;
        for (int i = 0; i < WRITER_BATCH; i++) {
            size_t n = clock_random(WRITER_PAYMENTS);
            if (!taken[n])
                count += random_step(payment("writer", 1000 * (round / 4) + (int)n), facts + count);
            taken[n] = true;
        }
        if (round % 4 == 0)
            meet(round / 4, WRITERS);
        enum err_code code = append_facts(store, facts, count);
        atomic_fetch_add(code == ERR_AGAIN ? &shared->again : &shared->other, code != ERR_NONE);
        for (size_t i = 0; i < count; i++)
            atomic_fetch_add(&shared->wins, facts[i].won);
    }
    store_free(store);
}

#define COUNT_ROWS "select count(*) from ledger.event"
#define COUNT_CLOSINGS COUNT_ROWS " where slot = 'auth:1' and outcome = 'closed'"

static void test_writers(struct db *db)
{
    pid_t pids[WRITERS];
    atomic_store(&shared->turn, 0);
    atomic_store(&shared->wins, 0);
    int64_t rows = ask(db, COUNT_ROWS), closings = ask(db, COUNT_CLOSINGS), started_ms = clock_monotonic_ms();
    for (int i = 0; i < WRITERS; i++)
        pids[i] = start(run_writer, i);
    for (int i = 0; i < WRITERS; i++)
        join(pids[i]);
    int64_t elapsed_ms = clock_monotonic_ms() - started_ms;
    rows = ask(db, COUNT_ROWS) - rows;
    closings = ask(db, COUNT_CLOSINGS) - closings;
    int64_t deadlocks = ask(db, "select deadlocks from pg_stat_database where datname = current_database()");
    int wins = atomic_load(&shared->wins), again = atomic_load(&shared->again), other = atomic_load(&shared->other);
    printf("# %d writers, %d appends each, %" PRId64 " ms: %" PRId64 " rows, %d won, %" PRId64
           " closings; %d again, %d other errors,"
           " %" PRId64 " deadlocks\n",
           WRITERS, WRITER_APPENDS, elapsed_ms, rows, wins, closings, again, other, deadlocks);
    check(again == 0 && other == 0 && deadlocks == 0,
          "unsorted, overlapping batches of eight writers: no deadlock, no error");
    check(rows == wins + closings && closings > 0, "every row was won by exactly one of them, or closes an auth:1");
}

/* --- how a commit can end --- */

static const char SLOW_COMMIT[] =
    "create function public.at_commit() returns trigger language plpgsql as $$ begin"
    " if new.outcome = 'delivered' then perform pg_advisory_xact_lock(7);"
    " elsif new.outcome = 'warned' then raise warning 'as a cancelled wait for a replica does';"
    " else raise exception 'refused at commit'; end if; return null; end $$;"
    "create constraint trigger at_commit after insert on ledger.event deferrable initially deferred for each row"
    " when (new.slot = 'notice:probe:commit') execute function public.at_commit();"
    "create function public.in_statement() returns trigger language plpgsql as $$ begin perform "
    "pg_advisory_xact_lock(7); return null; end $$;"
    "create trigger in_statement after insert on ledger.event for each row"
    " when (new.slot = 'notice:probe:statement') execute function public.in_statement()";

static void run_commit(int who)
{
    struct store *store = open_store(TIMEOUT_MS);
    bool won = false;
    enum err_code code = append_one(store, payment("commit", who),
                                    who == 0 ? "notice:probe:commit" : "notice:probe:statement", "delivered", &won);
    atomic_store(&shared->won[0], (int)code);
    atomic_store(&shared->won[1],
                 append_one(store, payment("commit", who), "received", "accepted", &won) == ERR_NONE && won);
    store_free(store);
}

/* Ends the backend that waits, in its COMMIT (0) or in the statement before it (1). */
static enum err_code killed(struct db *db, int who)
{
    run(db, "select pg_advisory_lock(7)");
    pid_t pid = start(run_commit, who);
    wait_until(db, BLOCKED_ON_7);
    run(db, "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = 7 and not granted");
    join(pid);
    run(db, "select pg_advisory_unlock(7)");
    return (enum err_code)atomic_load(&shared->won[0]);
}

static void test_commit(struct store *store, struct db *db)
{
    struct err err = {0};
    bool won = false;
    must(db_script(db, SLOW_COMMIT, &err) == 0, "the slow commit", &err);
    check(killed(db, 0) == ERR_UNKNOWN, "a session that ends inside COMMIT: unknown");
    check(atomic_load(&shared->won[1]), "and the next call has a new connection");
    check(killed(db, 1) == ERR_AGAIN, "a session that ends before COMMIT: surely not committed");
    struct uuid warned = payment("commit", 2), denied = payment("commit", 3);
    check(append_one(store, warned, "notice:probe:commit", "warned", &won) == ERR_UNKNOWN && !won &&
              holds_outcome(store, warned, "notice:probe:commit", "warned"),
          "a warning with COMMIT makes it unknown, here of one that did commit");
    enum err_code code = append_one(store, denied, "notice:probe:commit", "refused", &won);
    check(code == ERR_INTERNAL && !won && holds_outcome(store, denied, "notice:probe:commit", ""),
          "an error at COMMIT is a certain no");
}

/* Appends until told to stop, and notes for each what it was told. */
static void run_victim(int who)
{
    struct err err = {0};
    struct store *store = store_new(
        &(struct db_options){.url = url, .application = "ledger_probe_victim", .timeout_ms = TIMEOUT_MS}, &err);
    (void)who;
    must(store, "a connection string", &err);
    for (int n = 0; n < VICTIM_APPENDS && !atomic_load(&shared->stop); n++) {
        bool won = false;
        enum err_code code = append_one(store, payment("victim", n), "received", "accepted", &won);
        must(won == (code == ERR_NONE), "what a new slot answers", NULL);
        atomic_store(&shared->told[n], (int)code);
        atomic_fetch_add(&shared->wins, won);
        atomic_store(&shared->turn, n + 1);
        if (code == ERR_AGAIN)
            poll(NULL, 0, 1); /* a back-off may be on: no need to spin through it */
    }
    store_free(store);
}

/* Returns when the victim has won `count` more slots. */
static void await_wins(int count)
{
    int64_t deadline_ms = clock_monotonic_ms() + TIMEOUT_MS;
    int upto = atomic_load(&shared->wins) + count;
    while (atomic_load(&shared->wins) < upto) {
        must(clock_monotonic_ms() < deadline_ms, "the victim's next slot", NULL);
        poll(NULL, 0, 1);
    }
}

/* A backend that is busy is mostly busy with COMMIT: ended at random, it ends before, in and right behind it. */
static void test_killed_writer(struct store *store, struct db *db)
{
    int wrong = 0, counts[ERR_INTERNAL + 1] = {0};
    atomic_store(&shared->turn, 0);
    atomic_store(&shared->wins, 0);
    pid_t victim = start(run_victim, 0);
    for (int i = 0; i < KILLS; i++) {
        await_wins(1 + i % 7);
        wait_until(db, "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                       " where datname = current_database() and application_name = 'ledger_probe_victim'");
    }
    atomic_store(&shared->stop, 1);
    join(victim);
    int appends = atomic_load(&shared->turn);
    for (int n = 0; n < appends; n++) {
        enum err_code told = (enum err_code)atomic_load(&shared->told[n]);
        bool there = holds_outcome(store, payment("victim", n), "received", "accepted");
        counts[told]++;
        wrong += (told == ERR_NONE && !there) || (told == ERR_AGAIN && there);
    }
    printf("# a writer killed %d times: %d won, %d again, %d unknown; %d of these were not true\n", KILLS,
           counts[ERR_NONE], counts[ERR_AGAIN], counts[ERR_UNKNOWN], wrong);
    check(wrong == 0 && appends < VICTIM_APPENDS &&
              counts[ERR_NONE] + counts[ERR_AGAIN] + counts[ERR_UNKNOWN] == appends,
          "what an append says of its commit is true, wherever its session is ended");
}

/* The server's process of the store that was connected last. */
static pid_t newest_backend(struct db *db)
{
    return (pid_t)ask(db, "select pid from pg_stat_activity where application_name = 'ledger_probe_store'"
                          " and datname = current_database() order by backend_start desc limit 1");
}

/* The server says nothing until the deadline, and then commits all the same. */
static void test_silence(struct db *db)
{
    struct store *store = open_store(600);
    struct uuid id = payment("silence", 0);
    bool won = false;
    must(append_one(store, payment("silence", 1), "received", "accepted", &won) == ERR_NONE, "a connection", NULL);
    pid_t backend = newest_backend(db);
    if (kill(backend, SIGSTOP) != 0) {
        printf("ok - silence after COMMIT # SKIP the server's processes are not ours\n");
        store_free(store);
        return;
    }
    enum err_code code = append_one(store, id, "received", "accepted", &won);
    kill(backend, SIGCONT);
    check(code == ERR_UNKNOWN && !won, "silence after COMMIT was sent: unknown");
    struct store *other = open_store(TIMEOUT_MS);
    int64_t deadline_ms = clock_monotonic_ms() + TIMEOUT_MS;
    while (!holds_outcome(other, id, "received", "accepted") && clock_monotonic_ms() < deadline_ms)
        run(db, "select pg_sleep(0.01)");
    check(holds_outcome(other, id, "received", "accepted"), "and rightly so: the server went on and committed");
    store_free(other);
    store_free(store);
}

/* --- the connection --- */

static void test_reconnect(struct db *db)
{
    struct store *store = open_store(TIMEOUT_MS);
    bool won = false;
    char sql[128];
    must(append_one(store, payment("reconnect", 0), "received", "accepted", &won) == ERR_NONE, "a connection", NULL);
    pid_t backend = newest_backend(db);
    snprintf(sql, sizeof sql, "select pg_terminate_backend(%d)", (int)backend);
    run(db, sql);
    snprintf(sql, sizeof sql, "select count(*) = 0 from pg_stat_activity where pid = %d", (int)backend);
    wait_until(db, sql);
    check(append_one(store, payment("reconnect", 1), "received", "accepted", &won) == ERR_NONE && won,
          "a connection that was ended at rest is reopened, and nobody notices");
    store_free(store);
}

static void test_server_away(void)
{
    struct err err = {0};
    struct db *db = open_db("host=127.0.0.1 port=1 user=nobody dbname=nothing", TIMEOUT_MS, false);
    check(!db_query(db, "select 1", 0, NULL, &err) && err.code == ERR_AGAIN, "a server that is away: try again");
    int64_t started_ms = clock_monotonic_ms();
    for (int i = 0; i < 1000; i++) {
        err_clear(&err);
        must(!db_query(db, "select 1", 0, NULL, &err) && err.code == ERR_AGAIN, "still away", &err);
    }
    check(clock_monotonic_ms() - started_ms < TIMEOUT_MS / 4, "and saying so costs nothing while the back-off lasts");
    db_free(db);
    err_clear(&err);
    check(!db_new(&(struct db_options){.url = "postgresql://u:secret@[::1", .timeout_ms = 1}, &err) &&
              err.code == ERR_CONFIG && !strstr(err.text, "secret"),
          "a connection string that cannot be read is refused without repeating it");
}

static enum err_code code_of(struct db *db, const char *sql)
{
    struct err err = {0};
    struct db_result *rows = db_query(db, sql, 0, NULL, &err);
    db_result_free(rows);
    return rows ? ERR_NONE : err.code;
}

static void test_errors(struct db *db)
{
    check(code_of(db, "select 1/0") == ERR_INVALID && code_of(db, "selec 1") == ERR_INTERNAL &&
              code_of(db, "select * from nowhere") == ERR_INTERNAL &&
              code_of(db, "do $$ begin raise exception using errcode = '40P01'; end $$") == ERR_AGAIN &&
              code_of(db, "do $$ begin raise exception using errcode = '42501'; end $$") == ERR_DENIED &&
              code_of(db, "select 1") == ERR_NONE,
          "SQLSTATEs are told apart, and the connection goes on after each");
    struct db_result *two[2] = {NULL};
    struct err err = {0};
    const struct db_statement mixed[] = {{.sql = "select 1/0 as x"}, {.sql = "select 2"}};
    check(db_run(db, false, mixed, 2, two, &err) != 0 && !two[0] && !two[1] && err.code == ERR_INVALID,
          "a call that fails in part gives no rows");
    check(ask(db, "select count(*) from pg_settings where (name = 'lock_timeout' and setting = '2000') or (name = "
                  "'statement_timeout' and setting = '6000')"
                  " or (name = 'synchronous_commit' and setting = 'on') or (name = 'jit' and setting = 'off')") == 4,
          "the session has its bounds (L12)");
    struct db *reader = open_db(url, TIMEOUT_MS, true);
    check(code_of(reader, "create table x (y int)") == ERR_AGAIN, "a read-only connection writes nothing");
    db_free(reader);
}

/* --- size and speed --- */

static void test_large_batch(struct store *store, struct db *db)
{
    struct err err = {0};
    struct new_fact *facts = mem_new(FACTS_MAX, sizeof *facts);
    struct new_transfer *transfers = mem_new(STORE_PAYMENTS_MAX, sizeof *transfers);
    struct uuid *ids = mem_new(STORE_PAYMENTS_MAX, sizeof *ids);
    struct facts *loaded = mem_new(STORE_PAYMENTS_MAX, sizeof *loaded);
    struct append append = {.facts = facts, .transfers = transfers, .transfer_count = STORE_PAYMENTS_MAX};
    char *padding = mem_new(2049, 1);
    json_t *body = json_pack("{s:s, s:s, s:i}", "publisher", "large", "text", memset(padding, 'x', 2048), "amount", 5);
    for (int i = 0; i < STORE_PAYMENTS_MAX; i++) {
        ids[i] = payment("large", STORE_PAYMENTS_MAX - i);
        facts[append.fact_count] = fact(ids[i], "received", "accepted", "");
        facts[append.fact_count++].body = body;
        facts[append.fact_count++] = fact(ids[i], "auth:1", "intent", "received");
        facts[append.fact_count++] = fact(ids[i], "auth:1:result", "approved", "");
        facts[append.fact_count++] = fact(ids[i], "pop", "validated", "");
        transfers[i] = transfer(ids[i], "auth:1:result", "hold", "", 5);
    }
    int64_t started_ms = clock_monotonic_ms();
    bool ok = store_append(store, &append, &err) == 0;
    int64_t appended_ms = clock_monotonic_ms();
    for (size_t i = 0; i < append.fact_count; i++)
        ok &= facts[i].won;
    check(ok &&
              ask(db, "select count(*) from ledger.transfer where amount = 5 and kind = 'hold'") == STORE_PAYMENTS_MAX,
          "256 payments, 1024 facts, 256 transfers in one append");
    must(store_load(store, ids, STORE_PAYMENTS_MAX, loaded, &err) == 0, "store_load", &err);
    printf("# appended in %" PRId64 " ms, loaded in %" PRId64 " ms\n", appended_ms - started_ms,
           clock_monotonic_ms() - appended_ms);
    ok = true;
    for (int i = 0; i < STORE_PAYMENTS_MAX; i++) {
        ok &= loaded[i].count == 4 && uuid_equal(loaded[i].payment_id, ids[i]) &&
              json_equal(facts_find(&loaded[i], "received")->body, body);
        facts_clear(&loaded[i]);
    }
    check(ok, "and all of it comes back, each to its payment");
    json_decref(body);
    free(padding);
    free(loaded);
    free(ids);
    free(transfers);
    free(facts);
}

/* --- reading --- */

static int page(struct db *db, int64_t before_seq, int limit, struct uuid *ret_ids, int64_t *ret_seqs)
{
    struct err err = {0};
    int n = read_payment_ids(db, before_seq, limit, ret_ids, ret_seqs, &err);
    must(n >= 0, "read_payment_ids", &err);
    return n;
}

static void test_pages(struct store *store, struct db *db)
{
    struct new_fact facts[5];
    struct uuid ids[READ_PAGE_MAX];
    int64_t seqs[READ_PAGE_MAX];
    struct err err = {0};
    for (int i = 0; i < 5; i++) {
        facts[i] = fact(payment("page", i), "received", "accepted", "");
        must(append_facts(store, &facts[i], 1) == ERR_NONE, "a payment", NULL);
    }
    int n = page(db, 0, 3, ids, seqs);
    check(n == 3 && uuid_equal(ids[0], payment("page", 4)) && uuid_equal(ids[2], payment("page", 2)) &&
              seqs[0] > seqs[1],
          "payments, newest first");
    n = page(db, seqs[2], 2, ids, seqs);
    check(n == 2 && uuid_equal(ids[0], payment("page", 1)) && uuid_equal(ids[1], payment("page", 0)),
          "the next page goes on where it ended");
    check(read_payment_ids(db, 0, READ_PAGE_MAX + 1, ids, seqs, &err) == -1 && err.code == ERR_INVALID,
          "a page has a greatest size");
}

static void test_money(struct store *store, struct db *db)
{
    struct err err = {0};
    struct uuid id = payment("money", 0);
    struct new_fact facts[] = {fact(id, "auth:1:result", "approved", ""), fact(id, "capture", "captured", "")};
    struct new_transfer moves[] = {transfer(id, "auth:1:result", "hold", "", 1000),
                                   transfer(id, "capture", "post", "auth:1:result", 1000),
                                   transfer(id, "capture", "transfer", "", 30)};
    moves[2].leg = 2;
    snprintf(moves[2].debit, sizeof moves[2].debit, "payable:shop");
    snprintf(moves[2].credit, sizeof moves[2].credit, "commission");
    struct append append = {.facts = facts, .fact_count = 2, .transfers = moves, .transfer_count = 3};
    must(store_append(store, &append, &err) == 0, "a capture", &err);
    json_t *transfers = read_transfers(db, id, &err), *balance = read_trial_balance(db, &err);
    must(transfers && balance, "reading money", &err);
    const json_t *post = json_array_get(transfers, 1);
    check(json_array_size(transfers) == 3 && strcmp(json_text(post, "pendingOf", ""), "auth:1:result") == 0 &&
              json_int(post, "amount", 0) == 1000 && strlen(json_text(post, "at", "")) == 24,
          "read_transfers gives the transfers in their order");
    int64_t sum = 0, pending = 0, accounts = 0;
    size_t i;
    json_t *row;
    json_array_foreach(balance, i, row)
    {
        accounts++;
        sum += json_int(row, "balance", 0);
        pending += json_int(row, "pendingDebits", 0) - json_int(row, "pendingCredits", 0);
    }
    check(accounts >= 3 && sum == 0 && pending == 0, "the trial balance sums to zero (L8)");
    json_decref(transfers);
    json_decref(balance);
}

/* One fact with a body (taken) and what book.h makes of it, by a function of the payment as it stands. */
static bool live(struct store *store, struct uuid id, const char *slot, const char *outcome, json_t *body,
                 int (*book)(const struct payment *p, struct new_transfer *ret, struct err *err))
{
    struct err err = {0};
    struct facts facts = {0};
    struct payment p;
    struct new_transfer transfers[BOOK_LEGS_MAX];
    must(store_load(store, &id, 1, &facts, &err) == 0 && saga_fold(&facts, &p, &err) == 0, "the payment", &err);
    int legs = book ? book(&p, transfers, &err) : 0;
    must(legs >= 0, slot, &err);
    struct new_fact f = fact(id, slot, outcome, "");
    f.body = body;
    struct append append = {.facts = &f, .fact_count = 1, .transfers = transfers, .transfer_count = (size_t)legs};
    bool ok = store_append(store, &append, &err) == 0 && f.won;
    if (!ok)
        printf("# %s: %s\n", slot, err.text);
    payment_clear(&p);
    facts_clear(&facts);
    json_decref(body);
    return ok;
}

static int hold_1(const struct payment *p, struct new_transfer *ret, struct err *err)
{
    return book_hold(p, 1, "life", "auth:1:result", ret, err);
}

static int capture_1(const struct payment *p, struct new_transfer *ret, struct err *err)
{
    return book_capture(p, 1, 1001, ret, err);
}

static int refund_1(const struct payment *p, struct new_transfer *ret, struct err *err)
{
    return book_refund(p, 1, ret, err);
}

static int refund_2(const struct payment *p, struct new_transfer *ret, struct err *err)
{
    return book_refund(p, 2, ret, err);
}

/* The balance of an account, debits less credits; -1 when there is no such account. */
static int64_t balance_of(struct db *db, const char *account)
{
    struct err err = {0};
    json_t *all = read_trial_balance(db, &err);
    int64_t balance = -1;
    must(all, "read_trial_balance", &err);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *row = json_array_get(all, i);
        if (strcmp(json_text(row, "account", ""), account) == 0)
            balance = json_int(row, "balance", -1);
    }
    json_decref(all);
    return balance;
}

/* What book.h makes of a payment's life, and what the ledger accepts, are the same thing. */
static void test_books(struct store *store, struct db *db)
{
    struct uuid id = payment("life", 0);
    int64_t commission = balance_of(db, "commission");
    check(live(store, id, "received", "accepted",
               json_pack("{s:s, s:i, s:s, s:s, s:i}", "flow", "plain", "amount", 1001, "currency", "EUR", "merchant",
                         "life", "commissionPpm", 29000),
               NULL) &&
              live(store, id, "auth:1", "intent", json_pack("{s:s}", "provider", "life"), NULL) &&
              live(store, id, "auth:1:result", "approved", json_object(), hold_1) &&
              balance_of(db, "payable:life") == 0 && live(store, id, "decision", "commit:1", json_object(), NULL) &&
              live(store, id, "capture", "captured", json_pack("{s:i}", "amount", 1001), capture_1),
          "a payment is booked from its approval to its capture");
    check(balance_of(db, "receivable:life") == 1001 && balance_of(db, "payable:life") == -972 &&
              balance_of(db, "commission") == commission - 29,
          "the provider owes us, we owe the merchant, and keep the commission");
    check(live(store, id, "refund:1", "accepted",
               json_pack("{s:i, s:i, s:i}", "amount", 500, "total", 500, "commission", 14), NULL) &&
              live(store, id, "refund:1:result", "refunded", json_object(), refund_1) &&
              live(store, id, "refund:2", "accepted",
                   json_pack("{s:i, s:i, s:i}", "amount", 501, "total", 1001, "commission", 15), NULL) &&
              live(store, id, "refund:2:result", "refunded", json_object(), refund_2),
          "and its refunds");
    check(balance_of(db, "receivable:life") == 0 && balance_of(db, "payable:life") == 0 &&
              balance_of(db, "commission") == commission,
          "after a full refund every account is where it was");
}

static void test_refund_lookup(struct store *store, struct db *db)
{
    struct err err = {0};
    struct uuid id = payment("refund", 0), found = {0};
    struct new_fact f = fact(id, "refund:1", "accepted", "");
    f.cause = uuid_command("payment.refund", "probe", "refund-lookup");
    must(append_facts(store, &f, 1) == ERR_NONE, "a refund", NULL);
    check(read_refund(db, f.cause, &found, &err) == 0 && uuid_equal(found, id), "a refund is found by its command");
    check(read_refund(db, id, &found, &err) != 0 && err.code == ERR_NOT_FOUND, "and another is not");
}

/* A payment whose transaction is still open has a lower seq than one that is committed: the sweep must not pass it
 * by. */
static void test_sweep(struct store *store, struct db *db)
{
    struct uuid ids[READ_PAGE_MAX];
    struct err err = {0};
    bool won = false;
    int64_t at = 0, next = 0;
    while (true) { /* to the end of what the other tests left */
        int n = read_new_payments(db, at, ids, READ_PAGE_MAX, &next, &err);
        must(n >= 0, "read_new_payments", &err);
        if (n == 0)
            break;
        must(next > at, "progress", NULL);
        at = next;
    }
    check(at > 0 && at == next, "the sweep comes to the end");
    run(db, "select pg_advisory_lock(7)");
    pid_t holder = start(run_holder, 1);
    wait_until(db, BLOCKED_ON_7);
    must(append_one(store, payment("sweep", 0), "received", "accepted", &won) == ERR_NONE && won, "a later payment",
         NULL);
    check(read_new_payments(db, at, ids, READ_PAGE_MAX, &next, &err) == 0 && next == at,
          "it waits for a transaction that may still show an earlier payment");
    run(db, "select pg_advisory_unlock(7)");
    join(holder);
    check(read_new_payments(db, at, ids, READ_PAGE_MAX, &next, &err) == 2 && uuid_equal(ids[0], payment("held", 1)) &&
              uuid_equal(ids[1], payment("sweep", 0)),
          "and then gives both, in order");
    check(read_new_payments(db, at, ids, 1, &next, &err) == 1 &&
              read_new_payments(db, next, ids, 1, &next, &err) == 1 && uuid_equal(ids[0], payment("sweep", 0)),
          "a full page goes on behind its last row");
    struct db *reader = open_db(url, TIMEOUT_MS, true);
    check(read_new_payments(reader, at, ids, READ_PAGE_MAX, &next, &err) == 2, "on a read-only connection too");
    db_free(reader);
}

/* --- */

static void run_tests(struct db *admin)
{
    struct db *db = open_db(url, TIMEOUT_MS, false);
    test_migrations(db);
    test_migrations_refused(admin);
    test_two_migrators(admin);
    struct store *store = open_store(TIMEOUT_MS);
    test_roles(db);
    test_append(store);
    test_append_is_checked(store);
    test_no_partition(store, db);
    test_dependents(store);
    test_cancel_closes(store);
    test_fence(store, db);
    test_fence_in_one_statement(db);
    test_transfers(store, db);
    test_commands(store);
    test_personal_and_dead(store, db);
    test_insert_only(db);
    test_personal_is_erasable(db);
    test_constraints(db);
    test_abort_against_start();
    test_abort_waits_for_start(store, db);
    test_key_conflict();
    test_writers(db);
    test_pages(store, db);
    test_money(store, db);
    test_books(store, db);
    test_refund_lookup(store, db);
    test_sweep(store, db);
    test_large_batch(store, db);
    test_errors(db);
    test_server_away();
    test_silence(db);
    test_killed_writer(store, db);
    test_reconnect(db);
    test_commit(store, db);
    store_free(store);
    db_free(db);
}

int main(void)
{
    server = getenv("ACQUIT_TEST_PG");
    log_open("ledger_probe", LOG_ERROR_LEVEL);
    if (!server) {
        fprintf(stderr, "ledger_probe: set ACQUIT_TEST_PG to the connection string of a superuser\n");
        return 2;
    }
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    must(zero >= 0, "/dev/zero", NULL);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
    must(shared != MAP_FAILED, "shared memory", NULL);
    close(zero);
    struct db *admin = open_db(server, 4 * TIMEOUT_MS, false);
    create_database(admin, "main", url);
    run_tests(admin);
    drop_database(admin, "main");
    db_free(admin);
    printf("# %d failed\n", failures);
    return failures > 0 ? 1 : 0;
}
