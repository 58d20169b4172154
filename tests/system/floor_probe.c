/* floor_probe.c - the chart of accounts and floors against a real PostgreSQL: what the database itself refuses, also to many at once
 *
 * Usage: ACQUIT_TEST_PG=<connection string of a superuser, of a migrated database that nobody else uses> floor_probe
 *
 * Prints "ok - name" or "not ok - name" per check. Exit code 1 when any failed, 2 without the variable. Concurrency is real: processes with
 * their own connections, set off together over shared memory.
 */
#include <fcntl.h>
#include <inttypes.h>
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
#include "common/log.h"
#include "ledger/chart.h"
#include "ledger/store.h"
#include "tests/system/probe.h"

enum {
    WRITERS = 8,
    WALLETS = 2,        /* that all of them drain, in any order */
    FUNDS = 1000,       /* of each */
    LARGEST = 7,        /* taken at once */
    BATCH = 6,          /* payments of one append; one of them takes from each wallet, the others touch no floor */
    HOT_AMOUNT = 3,     /* of each of those */
    APPENDS_MAX = 2000, /* of one writer: far more than it takes, should the floors not hold */
    TIMEOUT_MS = 8000,
};

static const char *url;

static struct db_options options(void)
{
    return (struct db_options){.url = url, .application = "floor_probe", .timeout_ms = TIMEOUT_MS};
}

static struct db *open_db(void)
{
    const struct db_options o = options();
    return probe_db(&o);
}

static struct store *open_store(void)
{
    struct err err = {0};
    const struct db_options o = options();
    struct store *store = store_new(&o, &err);
    must(store, "a connection string", &err);
    return store;
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

static bool done(struct db *db, const char *script)
{
    struct err err = {0};
    if (db_script(db, script, &err) == 0)
        return true;
    printf("# \"%s\": %s\n", script, err.text);
    return false;
}

/* True when the script is refused with this SQLSTATE. */
static bool refused(struct db *db, const char *script, const char *sqlstate)
{
    struct err err = {0};
    if (db_script(db, script, &err) != 0 && strcmp(db_sqlstate(db), sqlstate) == 0)
        return true;
    printf("# \"%s\": %s (%s)\n", script, err.text, db_sqlstate(db));
    return false;
}

/* --- payments that move money as they like --- */

/* A payment of its own per movement: the fact means nothing, its transfer is what counts. */
static struct new_fact new_fact(const char *slot)
{
    struct new_fact fact = {
        .payment_id = uuid_random(), .cause = uuid_random(), .outcome = "captured", .actor = "probe"};
    snprintf(fact.slot, sizeof fact.slot, "%s", slot);
    return fact;
}

static struct new_transfer move(const struct new_fact *fact, const char *kind, const char *debit, const char *credit,
                                int64_t amount)
{
    struct new_transfer t = {.payment_id = fact->payment_id, .leg = 1, .amount = amount, .currency = "EUR"};
    memcpy(t.slot, fact->slot, sizeof t.slot);
    snprintf(t.kind, sizeof t.kind, "%s", kind);
    snprintf(t.debit, sizeof t.debit, "%s", debit);
    snprintf(t.credit, sizeof t.credit, "%s", credit);
    return t;
}

static enum err_code append(struct store *store, struct new_fact *facts, struct new_transfer *transfers, size_t count)
{
    struct err err = {0};
    struct append append = {.facts = facts, .fact_count = count, .transfers = transfers, .transfer_count = count};
    if (store_append(store, &append, &err) == 0)
        return ERR_NONE;
    if (err.code != ERR_SHORT)
        printf("# %s\n", err.text);
    return err.code;
}

static enum err_code one(struct store *store, const char *kind, const char *debit, const char *credit, int64_t amount)
{
    struct new_fact fact = new_fact("capture");
    struct new_transfer t = move(&fact, kind, debit, credit, amount);
    return append(store, &fact, &t, 1);
}

/* Ends the hold of `held` by a fact of the same payment. */
static enum err_code resolve(struct store *store, const struct new_transfer *held, const char *kind, int64_t amount)
{
    struct new_fact fact = new_fact("void:1");
    fact.payment_id = held->payment_id;
    struct new_transfer t = move(&fact, kind, held->debit, held->credit, amount);
    memcpy(t.pending_of, held->slot, sizeof t.pending_of);
    return append(store, &fact, &t, 1);
}

#define DECLARE(name, floor)                                                                                           \
    "insert into ledger.account_floor (name, currency, floor_minor) values ('" name "', 'EUR', " #floor ")"
#define LEFT(name) "select posted - held from ledger.floor_balance where name = '" name "' and currency = 'EUR'"

/* --- the chart --- */

/* Opens the account, and books on it, for itself. */
static bool is_admitted(struct db *db, const char *account)
{
    char open[256], book[512];
    snprintf(open, sizeof open, "insert into ledger.account (name, currency) values ('%s', 'EUR')", account);
    snprintf(
        book, sizeof book,
        "with p as (insert into ledger.payment (payment_id) values (gen_random_uuid()) returning payment_id, began),"
        " e as (insert into ledger.event (payment_id, began, cause, slot, outcome) select payment_id, began, "
        "payment_id,"
        " 'pop', 'validated' from p returning payment_id, began)"
        " insert into ledger.transfer (payment_id, began, leg, slot, kind, debit, credit, amount, currency)"
        " select payment_id, began, 1, 'pop', 'transfer', '%s', 'receivable:chart', 1, 'EUR' from e",
        account);
    struct err err = {0};
    bool opened = db_script(db, open, &err) == 0;
    err_clear(&err);
    bool booked = db_script(db, book, &err) == 0;
    bool by_chart = opened || strcmp(db_sqlstate(db), "23514") == 0;
    must(opened == booked && (opened || by_chart), account, &err);
    return opened;
}

static void test_chart(struct db *db)
{
    static const char *const STRANGERS[] = {"payable",        "payable:",   "commission:x", "suspense:x",
                                            "refunds:stripe", "inXdoubt:x", "cash:x",       "Payable:x",
                                            "payable x",      "wallet",     "xpayable:me",  ""};
    const struct chart_row *row;
    bool ok = true;
    for (size_t i = 0; (row = chart_row(i)); i++) {
        char name[ACCOUNT_SIZE];
        struct err err = {0};
        must(chart_name(row->kind, row->of ? "chart x" : NULL, name, &err) == 0, row->kind, &err);
        bool admitted = is_admitted(db, name);
        ok &= admitted == (row->use != CHART_DERIVED);
        if (admitted != (row->use != CHART_DERIVED))
            printf("# %s\n", name);
    }
    check(ok, "the database admits the accounts of the chart, the derived ones excepted, and lets them be booked on");
    ok = true;
    for (size_t i = 0; i < sizeof STRANGERS / sizeof STRANGERS[0]; i++)
        ok &= !is_admitted(db, STRANGERS[i]) && (!chart_find(STRANGERS[i]) || strncmp(STRANGERS[i], "refunds", 7) == 0);
    check(ok, "and no other, as an account or in a transfer");
}

/* --- floors, one after the other --- */

static void test_declarations(struct db *db)
{
    const struct chart_row *row;
    bool ok = true;
    for (size_t i = 0; (row = chart_row(i)); i++) {
        char sql[256], name[ACCOUNT_SIZE];
        struct err err = {0};
        must(chart_name(row->kind, row->of ? "floor" : NULL, name, &err) == 0, row->kind, &err);
        snprintf(sql, sizeof sql,
                 "insert into ledger.account_floor (name, currency, floor_minor) values ('%s', 'USD', 0)", name);
        ok &= row->may_floor ? done(db, sql) : refused(db, sql, "23514");
    }
    check(ok, "a floor may be declared where the chart says so");
    check(done(db, DECLARE("wallet:declared", -50)) && ask(db, LEFT("wallet:declared")) == 0 &&
              ask(db, "select count(*) from ledger.account where name = 'wallet:declared'") == 1,
          "a declaration opens the account");
    check(refused(db, DECLARE("wallet:declared", 1), "AQ005") && done(db, DECLARE("wallet:declared", -10)) &&
              ask(db, "select floor_minor from ledger.floor_balance where name = 'wallet:declared'") == -10 &&
              ask(db, "select max(declaration) from ledger.account_floor where name = 'wallet:declared'") == 2,
          "a floor can be moved, not above what there is");
    check(done(db, "insert into ledger.account (name, currency) values ('wallet:open', 'EUR')") &&
              refused(db, DECLARE("wallet:open", 0), "AQ003"),
          "an account that is open without a floor gets none: something may be booked on it");
    check(refused(db, "update ledger.account_floor set floor_minor = 0", "AQ002") &&
              refused(db, "delete from ledger.account_floor", "AQ002") &&
              refused(db, "set local role acquit_worker; " DECLARE("wallet:declared", -90), "42501") &&
              refused(db, "set local role acquit_worker; update ledger.floor_balance set posted = 7", "42501") &&
              refused(db, "set local role acquit_worker; select ledger.rebuild_floors()", "42501"),
          "declarations stay, and a worker can neither declare nor write what is kept");
}

static void test_floor(struct store *store, struct db *db)
{
    must(done(db, DECLARE("wallet:one", 0)), "a floor", NULL);
    check(one(store, "transfer", "wallet:one", "commission", 1) == ERR_SHORT && ask(db, LEFT("wallet:one")) == 0 &&
              ask(db, "select count(*) from ledger.transfer where debit = 'wallet:one'") == 0,
          "from an empty account nothing is taken, and nothing of that append stands");
    check(one(store, "transfer", "receivable:probe", "wallet:one", 100) == ERR_NONE &&
              ask(db, LEFT("wallet:one")) == 100,
          "what comes is kept");
    struct new_fact fact = new_fact("auth:1:result");
    struct new_transfer hold = move(&fact, "hold", "wallet:one", "payable:probe", 60);
    check(append(store, &fact, &hold, 1) == ERR_NONE && ask(db, LEFT("wallet:one")) == 40 &&
              one(store, "transfer", "wallet:one", "commission", 41) == ERR_SHORT,
          "what is held is not there to be taken");
    check(resolve(store, &hold, "post", 20) == ERR_NONE && ask(db, LEFT("wallet:one")) == 80 &&
              ask(db, "select held from ledger.floor_balance where name = 'wallet:one'") == 0,
          "a hold that is posted in part gives back the rest");
    fact = new_fact("auth:1:result");
    hold = move(&fact, "hold", "wallet:one", "payable:probe", 80);
    check(append(store, &fact, &hold, 1) == ERR_NONE && ask(db, LEFT("wallet:one")) == 0 &&
              resolve(store, &hold, "void", 80) == ERR_NONE && ask(db, LEFT("wallet:one")) == 80,
          "one that is voided gives back all");
    check(one(store, "transfer", "wallet:one", "commission", 80) == ERR_NONE && ask(db, LEFT("wallet:one")) == 0,
          "an account can be emptied down to its floor");
    struct new_fact facts[] = {new_fact("capture"), new_fact("capture")};
    struct new_transfer both[] = {move(&facts[0], "transfer", "wallet:one", "commission", 30),
                                  move(&facts[1], "transfer", "receivable:probe", "wallet:one", 30)};
    check(append(store, facts, both, 2) == ERR_NONE && ask(db, LEFT("wallet:one")) == 0,
          "what an append brings can be taken by it, in any order");
    check(one(store, "transfer", "wallet:nobody", "commission", 1) == ERR_NONE &&
              ask(db, "select count(*) from ledger.floor_balance where name = 'wallet:nobody'") == 0,
          "an account without a floor has none");
    fact = new_fact("capture:doubt:0");
    struct new_transfer doubt = move(&fact, "in_doubt", "wallet:one", "receivable:probe", 1);
    check(append(store, &fact, &doubt, 1) == ERR_INVALID, "what is in doubt is not booked on an account with a floor");
    check(
        refused(
            db,
            "with p as (insert into ledger.payment (payment_id) values (gen_random_uuid()) returning *), e as (insert"
            " into ledger.event (payment_id, began, cause, slot, outcome) select payment_id, began, payment_id, 'pop',"
            " 'validated' from p returning *) insert into ledger.transfer (payment_id, began, leg, slot, kind, debit,"
            " credit, amount, currency) select payment_id, began, 1, 'pop', 'transfer', 'wallet:closed', 'commission',"
            " 1, 'EUR' from e",
            "AQ003"),
        "nothing is booked on a wallet that was not opened: it may be about to get its floor");
    must(done(db, DECLARE("wallet:credit", -50)), "a floor", NULL);
    check(one(store, "transfer", "wallet:credit", "commission", 50) == ERR_NONE &&
              one(store, "transfer", "wallet:credit", "commission", 1) == ERR_SHORT &&
              ask(db, LEFT("wallet:credit")) == -50,
          "a floor below zero is a credit line");
}

/* The append of a batch fails as a whole; run one at a time, only the one that is short does. */
static void test_batch(struct store *store, struct db *db)
{
    static const int64_t TAKE[] = {4, 100, 6};
    struct new_fact facts[4];
    struct new_transfer moves[4];
    enum err_code alone[4];
    must(done(db, DECLARE("wallet:batch", 0)) &&
             one(store, "transfer", "receivable:probe", "wallet:batch", 10) == ERR_NONE,
         "a funded wallet", NULL);
    for (int i = 0; i < 4; i++) {
        facts[i] = new_fact("capture");
        moves[i] = i < 3 ? move(&facts[i], "transfer", "wallet:batch", "commission", TAKE[i])
                         : move(&facts[i], "transfer", "receivable:probe", "payable:probe", 1);
    }
    check(append(store, facts, moves, 4) == ERR_SHORT && ask(db, LEFT("wallet:batch")) == 10,
          "a batch with one that is short fails");
    for (int i = 0; i < 4; i++)
        alone[i] = append(store, &facts[i], &moves[i], 1);
    check(alone[0] == ERR_NONE && alone[1] == ERR_SHORT && alone[2] == ERR_NONE && alone[3] == ERR_NONE &&
              facts[0].won && !facts[1].won && facts[2].won && facts[3].won && ask(db, LEFT("wallet:batch")) == 0,
          "one at a time all go in but that one");
    check(append(store, &facts[1], &moves[1], 1) == ERR_SHORT, "which is short again when it is run again");
}

/* --- many at once --- */

struct shared {
    atomic_int ready;
    atomic_llong hot;                     /* what went over the account without a floor */
    atomic_llong taken[WALLETS];          /* minor units */
    atomic_int shortages, appends, other; /* other: answers that nobody should get */
};
static struct shared *shared;

static const char *wallet(size_t i)
{
    static const char *const names[WALLETS] = {"wallet:race-a", "wallet:race-b"};
    return names[i];
}

/* A payment that takes from a wallet: at once, or as a hold, which counts in the same way. */
static void taking(size_t who, size_t i, int64_t amount, struct new_fact *fact, struct new_transfer *t)
{
    *fact = new_fact("auth:1:result");
    *t = move(fact, who % 2 ? "hold" : "transfer", wallet(i), "commission", amount);
}

static void note(enum err_code code, size_t i, int64_t amount)
{
    if (code == ERR_NONE)
        atomic_fetch_add(&shared->taken[i], amount);
    else
        atomic_fetch_add(code == ERR_SHORT ? &shared->shortages : &shared->other, 1);
}

/* One append over both wallets and the hot account; what fails is run one at a time. Whether there is something left in either. */
static bool drain(struct store *store, size_t who)
{
    struct new_fact facts[BATCH];
    struct new_transfer moves[BATCH];
    int64_t amounts[WALLETS];
    bool more = false;
    size_t first = clock_random(WALLETS); /* the caller's order is not the ledger's */
    for (size_t i = 0; i < BATCH; i++) {
        if (i < WALLETS) {
            size_t w = (first + i) % WALLETS;
            amounts[w] = 1 + (int64_t)clock_random(LARGEST);
            taking(who, w, amounts[w], &facts[i], &moves[i]);
        } else {
            facts[i] = new_fact("capture");
            moves[i] = move(&facts[i], "transfer", "receivable:probe", "payable:hot", HOT_AMOUNT);
        }
    }
    enum err_code code = append(store, facts, moves, BATCH);
    atomic_fetch_add(&shared->appends, 1);
    for (size_t i = 0; i < BATCH; i++) {
        enum err_code alone = code == ERR_NONE ? code : append(store, &facts[i], &moves[i], 1);
        size_t w = (first + i) % WALLETS;
        if (i >= WALLETS) {
            atomic_fetch_add(&shared->hot, alone == ERR_NONE ? HOT_AMOUNT : 0);
            atomic_fetch_add(&shared->other, alone != ERR_NONE);
            continue;
        }
        note(alone, w, amounts[w]);
        more |= alone == ERR_NONE || amounts[w] > 1;
    }
    return more;
}

static void run_drainer(size_t who)
{
    struct store *store = open_store();
    atomic_fetch_add(&shared->ready, 1);
    while (atomic_load(&shared->ready) < WRITERS)
        sched_yield();
    for (int i = 0; i < APPENDS_MAX && drain(store, who); i++)
        continue;
    store_free(store);
}

static pid_t start(size_t who)
{
    fflush(stdout);
    pid_t pid = fork();
    must(pid >= 0, "fork", NULL);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_drainer(who);
        _exit(0);
    }
    return pid;
}

static void test_race(struct store *store, struct db *db)
{
    pid_t pids[WRITERS];
    must(done(db, DECLARE("wallet:race-a", 0)) && done(db, DECLARE("wallet:race-b", 0)) &&
             one(store, "transfer", "receivable:probe", wallet(0), FUNDS) == ERR_NONE &&
             one(store, "transfer", "receivable:probe", wallet(1), FUNDS) == ERR_NONE,
         "funded wallets", NULL);
    int64_t started_ms = clock_monotonic_ms();
    for (size_t i = 0; i < WRITERS; i++)
        pids[i] = start(i);
    for (size_t i = 0; i < WRITERS; i++) {
        int status = 0;
        must(waitpid(pids[i], &status, 0) == pids[i] && WIFEXITED(status) && WEXITSTATUS(status) == 0, "a writer",
             NULL);
    }
    printf("# %d writers, %" PRId64 " ms: %d appends, %d short, %d other\n", WRITERS, clock_monotonic_ms() - started_ms,
           atomic_load(&shared->appends), atomic_load(&shared->shortages), atomic_load(&shared->other));
    check(atomic_load(&shared->taken[0]) == FUNDS && atomic_load(&shared->taken[1]) == FUNDS &&
              ask(db, LEFT("wallet:race-a")) == 0 && ask(db, LEFT("wallet:race-b")) == 0 &&
              atomic_load(&shared->shortages) > 0,
          "eight writers drain two accounts to exactly nothing, and never below");
    check(atomic_load(&shared->other) == 0 &&
              ask(db, "select deadlocks from pg_stat_database where datname = current_database()") == 0,
          "without a deadlock, and nobody is told to try again");
    char sql[128];
    snprintf(sql, sizeof sql, "select sum(amount) = %lld from ledger.transfer where credit = 'payable:hot'",
             (long long)atomic_load(&shared->hot));
    check(ask(db, sql) == 1,
          "what goes over accounts without a floor goes in, whatever becomes of the rest of its batch");
}

/* --- the projection --- */

#define DIFFERENT                                                                                                      \
    "select count(*) from ledger.floor_derived d full join ledger.floor_balance b using (name, currency)"              \
    " where (d.declaration, d.floor_minor, d.posted, d.held) is distinct from (b.declaration, b.floor_minor, "         \
    "b.posted, b.held)"

static void test_projection(struct db *db)
{
    check(ask(db, "select count(*) > 5 from ledger.floor_balance") == 1 && ask(db, DIFFERENT) == 0,
          "what is kept follows from declarations and transfers");
    check(done(db, "update ledger.floor_balance set posted = posted + 1, held = held + 2") && ask(db, DIFFERENT) > 5 &&
              done(db, "delete from ledger.floor_balance where name like 'wallet:race%'") &&
              done(db, "select ledger.rebuild_floors()") && ask(db, DIFFERENT) == 0,
          "and is made anew from them");
    check(ask(db, "select n_tup_hot_upd >= 9 * (n_tup_upd - n_tup_hot_upd) from pg_stat_force_next_flush(),"
                  " lateral (select * from pg_stat_all_tables where relid = 'ledger.floor_balance'::regclass) s") == 1,
          "an update of what is kept touches no index");
}

int main(void)
{
    url = getenv("ACQUIT_TEST_PG");
    log_open("floor_probe", LOG_ERROR_LEVEL);
    if (!url) {
        fprintf(stderr, "floor_probe: set ACQUIT_TEST_PG to the connection string of a superuser\n");
        return 2;
    }
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    must(zero >= 0, "/dev/zero", NULL);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
    must(shared != MAP_FAILED, "shared memory", NULL);
    close(zero);
    struct db *db = open_db();
    struct store *store = open_store();
    test_chart(db);
    test_declarations(db);
    test_floor(store, db);
    test_batch(store, db);
    test_race(store, db);
    test_projection(db);
    store_free(store);
    db_free(db);
    printf("# %d failed\n", failures);
    return failures > 0 ? 1 : 0;
}
