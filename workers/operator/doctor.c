/* doctor.c - acquit doctor: is everything as it should be, seen from here?
 *
 * It only asks. What cannot be asked because something before it is broken is left out; the first problem is the one to
 * mend first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "ledger/epoch.h"
#include "ledger/migrate.h"
#include "ledger/partitions.h"
#include "ledger/projection.h"
#include "ledger/cases.h"
#include "ledger/read.h"
#include "ledger/transit.h"
#include "queues/management.h"
#include "queues/topology.h"
#include "queues/url.h"
#include "workers/operator/findings.h"
#include "workers/operator/operator.h"
#include "workers/operator/sender.h"
#include "workers/operator/transit.h"
#include "workers/program.h"

enum {
    BROKER_MS = 5000,
    LISTS_LAG_MS = 10000, /* of lists behind the facts; more is worth a look */
    SCAN_PAGES = 10,      /* of the newest payments, and of held dead letters */
};

/* -- configuration */

static bool has_dual(const struct config *config)
{
    return config_validator_count(config) > 0 || *config_text(config, "tokens.url");
}

static void check_providers(json_t *findings, const struct config *config)
{
    size_t count = config_provider_count(config), good = 0;
    for (size_t i = 0; i < count; i++) {
        const struct provider_config *provider = config_provider(config, i);
        bool needs = strcmp(provider->kind, "simulated") != 0;
        if (needs && !*provider->secret)
            finding_add(findings, "providers", HEALTH_PROBLEM, "name its secret_file in the configuration",
                        "%s has no secret", provider->name);
        else
            good++;
    }
    if (!count)
        finding_add(findings, "providers", HEALTH_PROBLEM, "add one to providers in the configuration",
                    "none is configured");
    else if (good == count)
        finding_add(findings, "providers", HEALTH_OK, NULL, "%zu configured, each with what it needs", count);
}

/* A worker believes only these users when they speak for another. */
static void check_internal(json_t *findings, const struct config *config, const char *user)
{
    char *list = mem_text(config_text(config, "broker.internal_users")), *rest = list;
    bool found = false;
    for (char *name; (name = strsep(&rest, ", "));)
        found = found || strcmp(name, user) == 0;
    finding_add(findings, "broker user", found ? HEALTH_OK : HEALTH_WARNING,
                "use acquit-operator in broker.url; replays, cancels and refunds from here would die as invalid",
                "%s is %samong broker.internal_users", user, found ? "" : "not ");
    free(list);
}

/* -- ledger */

static bool check_reachable(json_t *findings, struct db *db)
{
    struct err err = {0};
    int64_t before_ms = clock_wall_ms();
    struct db_result *now =
        db_query(db, "select floor(extract(epoch from clock_timestamp()) * 1000)::bigint, current_user", 0, NULL, &err);
    int64_t after_ms = clock_wall_ms();
    if (!now) {
        finding_add(findings, "ledger", HEALTH_PROBLEM, "see `systemctl status postgresql` and ledger.url", "%s",
                    err.text);
        return false;
    }
    finding_add(findings, "ledger", HEALTH_OK, NULL, "answers in %lld ms", (long long)(after_ms - before_ms));
    judge_clock(findings, before_ms, db_int(now, 0, 0), after_ms);
    db_result_free(now);
    return true;
}

static void check_role(json_t *findings, struct db *db)
{
    struct err err = {0};
    struct db_result *row =
        db_query(db,
                 "select current_user, has_table_privilege(c.oid, 'select'), has_any_column_privilege(c.oid, 'insert'),"
                 " pg_has_role(c.relowner, 'member') from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                 " where n.nspname = 'ledger' and c.relname = 'event'",
                 0, NULL, &err);
    if (!row)
        finding_add(findings, "ledger role", HEALTH_PROBLEM, NULL, "%s", err.text);
    else if (db_rows(row))
        judge_role(findings, db_value(row, 0, 0), db_bool(row, 0, 1), db_bool(row, 0, 2), db_bool(row, 0, 3));
    db_result_free(row);
}

static bool check_schema(json_t *findings, struct db *db)
{
    struct err err = {0};
    if (migrate_check(db, &err) == 0) {
        finding_add(findings, "schema", HEALTH_OK, NULL, "all migrations are applied");
        return true;
    }
    finding_add(findings, "schema", HEALTH_PROBLEM, "run `acquit migrate` as the owner, or the matching programs", "%s",
                err.text);
    return false;
}

static void check_epoch(json_t *findings, struct db *db)
{
    char server[EPOCH_SERVER_SIZE];
    struct err err = {0};
    if (epoch_check(db, server, &err) == 0)
        finding_add(findings, "epoch", HEALTH_OK, NULL, "the server's transaction ids go on from the ledger's");
    else
        finding_add(findings, "epoch", HEALTH_PROBLEM, "see the chapter on restoring in docs/operations.md", "%s",
                    err.text);
}

static void check_partitions(json_t *findings, struct db *db)
{
    struct err err = {0};
    int64_t days;
    if (partitions_left(db, &days, &err) == 0)
        judge_partitions(findings, days);
    else
        finding_add(findings, "partitions", HEALTH_PROBLEM, NULL, "%s", err.text);
}

static void check_held(json_t *findings, struct db *db)
{
    struct err err = {0};
    int64_t before = 0;
    size_t held = 0, count = READ_PAGE_MAX;
    for (int page = 0; page < SCAN_PAGES && count == READ_PAGE_MAX; page++) {
        json_auto_t *letters = read_dead_letters(db, "held", before, READ_PAGE_MAX, &err);
        if (!letters) {
            finding_add(findings, "dead letters", HEALTH_PROBLEM, NULL, "%s", err.text);
            return;
        }
        count = json_array_size(letters);
        held += count;
        before = json_int(json_array_get(letters, count ? count - 1 : 0), "seq", 0);
    }
    finding_add(findings, "dead letters", held ? HEALTH_WARNING : HEALTH_OK,
                "`acquit dlq list --state held`, mend the cause, then `acquit dlq replay`", "%zu%s held for a person",
                held, count == READ_PAGE_MAX ? " or more" : "");
}

static void check_cases(json_t *findings, const struct config *config, struct db *db)
{
    struct err err = {0};
    json_auto_t *rows = cases_read(db, config_int(config, "question.give_up_ms"), NULL, CASES_LIMIT_MAX, &err);
    if (rows)
        judge_cases(findings, rows);
    else
        finding_add(findings, "cases", HEALTH_PROBLEM, NULL, "%s", err.text);
}

struct scan {
    size_t seen, still, contradicting;
    struct uuid first_still, first_contradicting;
    int64_t stand_still_ms, now_ms;
};

static void scan_payment(struct scan *scan, const struct facts *facts)
{
    struct err err = {0};
    struct payment payment;
    scan->seen++;
    if (saga_fold(facts, &payment, &err) < 0) {
        if (!scan->contradicting++)
            scan->first_contradicting = facts->payment_id;
    } else if (stands_still(facts, &payment, scan->stand_still_ms, scan->now_ms)) {
        if (!scan->still++)
            scan->first_still = facts->payment_id;
    }
    payment_clear(&payment);
}

/* 1: there may be more, 0: that was the last page, -1: error. */
static int scan_page(struct db *db, int64_t *before_seq, struct scan *scan, struct err *err)
{
    struct uuid ids[READ_PAGE_MAX];
    int64_t seqs[READ_PAGE_MAX];
    int count = read_payment_ids(db, *before_seq, READ_PAGE_MAX, ids, seqs, err);
    if (count <= 0)
        return count;
    struct facts *facts = mem_new((size_t)count, sizeof *facts);
    int r = read_facts(db, ids, (size_t)count, facts, err);
    for (int i = 0; i < count; i++) {
        if (r == 0)
            scan_payment(scan, &facts[i]);
        facts_clear(&facts[i]);
    }
    free(facts);
    *before_seq = seqs[count - 1];
    return r < 0 ? -1 : count == READ_PAGE_MAX;
}

static void report_scan(json_t *findings, const struct scan *scan)
{
    char id[PUBLIC_ID_SIZE];
    public_id_format(scan->first_contradicting, id);
    if (scan->contradicting)
        finding_add(findings, "payments", HEALTH_PROBLEM, "stop; tell a developer: `acquit payment show`",
                    "the facts of %zu contradict each other, first %s", scan->contradicting, id);
    public_id_format(scan->first_still, id);
    if (scan->still)
        finding_add(findings, "payments", HEALTH_WARNING,
                    "`acquit payment show` says what follows; is the keeper running? does the provider answer?",
                    "%zu of the newest %zu stand still, newest %s", scan->still, scan->seen, id);
    if (!scan->contradicting && !scan->still)
        finding_add(findings, "payments", HEALTH_OK, NULL, "none of the newest %zu stands still", scan->seen);
}

static void check_payments(json_t *findings, const struct config *config, struct db *db)
{
    struct err err = {0};
    int64_t before_seq = 0;
    struct scan scan = {.stand_still_ms = config_int(config, "keeper.stand_still_ms"), .now_ms = clock_wall_ms()};
    int r = 1;
    for (int page = 0; page < SCAN_PAGES && r > 0; page++)
        r = scan_page(db, &before_seq, &scan, &err);
    if (r < 0)
        finding_add(findings, "payments", HEALTH_PROBLEM, NULL, "%s", err.text);
    else
        report_scan(findings, &scan);
}

/* Lists are the keeper's to keep. */
static void check_lists(json_t *findings, struct db *db)
{
    struct err err = {0};
    int64_t lag_ms = projection_lag_ms(db, &err);
    if (lag_ms < 0)
        finding_add(findings, "lists", HEALTH_PROBLEM, NULL, "%s", err.text);
    else if (lag_ms > LISTS_LAG_MS)
        finding_add(findings, "lists", HEALTH_WARNING,
                    "is the keeper running, and its role a member of acquit_sealer? what does its log say?",
                    "lists may lack facts that are %lld s old", (long long)(lag_ms / 1000));
    else
        finding_add(findings, "lists", HEALTH_OK, NULL, "as new as the facts, or nearly");
}

static void check_balance(json_t *findings, struct db *db)
{
    struct err err = {0};
    json_auto_t *balances = read_trial_balance(db, &err);
    if (balances)
        judge_balance(findings, balances);
    else
        finding_add(findings, "trial balance", HEALTH_PROBLEM, NULL, "%s", err.text);
}

static void check_transit(json_t *findings, const struct config *config, struct db *db)
{
    struct err err = {0};
    json_auto_t *rows = transit_read(db, &err);
    if (!rows) {
        finding_add(findings, "transit accounts", HEALTH_PROBLEM, NULL, "%s", err.text);
        return;
    }
    transit_judge(rows, operator_setting, config);
    judge_transit(findings, rows);
}

static void check_ledger(struct op *op, json_t *findings)
{
    struct err err = {0};
    struct db *db = operator_db(op, &err);
    if (!db) {
        finding_add(findings, "ledger", HEALTH_PROBLEM, "mend ledger.url", "%s", err.text);
        return;
    }
    if (!check_reachable(findings, db))
        return;
    check_role(findings, db);
    if (!check_schema(findings, db))
        return;
    check_epoch(findings, db);
    check_partitions(findings, db);
    check_held(findings, db);
    check_cases(findings, op->config, db);
    check_payments(findings, op->config, db);
    check_lists(findings, db);
    check_balance(findings, db);
    check_transit(findings, op->config, db);
}

/* -- broker */

static void check_connection(json_t *findings, const struct config *config)
{
    struct err err = {0};
    struct sender sender = {.until_ms = clock_monotonic_ms() + BROKER_MS};
    if (sender_open(&sender, config, &err) == 0 && sender_ready(&sender, &err) == 0) {
        finding_add(findings, "broker", HEALTH_OK, NULL, "takes messages of %s", sender.user);
        check_internal(findings, config, sender.user);
    } else {
        finding_add(findings, "broker", HEALTH_PROBLEM,
                    "see `rabbitmqctl status` (alarms block publishers), broker.url and its password", "%s", err.text);
    }
    sender_close(&sender);
}

static int ask_management(const struct config *config, json_t **ret_queues, json_t **ret_differences, struct err *err)
{
    const char *url = config_text(config, "broker.management_url");
    struct amqp_url broker;
    struct management *management = NULL;
    int r = amqp_url_parse(config_text(config, "broker.url"), &broker, err);
    if (r == 0) {
        *ret_differences = topology_check(url, broker.vhost, err);
        management = *ret_differences ? management_new(url, err) : NULL;
    }
    if (management)
        *ret_queues = management_get(management, "/api/queues/%s", (const char *[]){broker.vhost, NULL}, err);
    management_free(management);
    amqp_url_clear(&broker);
    return *ret_queues ? 0 : -1;
}

/* What the broker itself says needs no management API: without it, what is wrong stands alone. */
static void check_size(json_t *findings, const struct config *config, json_t *differences)
{
    struct err err = {0};
    json_auto_t *found = json_array();
    if (topology_check_size(config_text(config, "broker.url"), found, &err) < 0)
        finding_add(findings, "topology", HEALTH_WARNING, "see broker.url", "%s", err.text);
    else if (differences)
        json_array_extend(differences, found);
    else if (json_array_size(found))
        judge_topology(findings, found);
}

static void check_queues(json_t *findings, const struct config *config)
{
    struct err err = {0};
    json_t *queues = NULL, *differences = NULL;
    if (!*config_text(config, "broker.management_url"))
        finding_add(findings, "topology", HEALTH_WARNING,
                    "give an administrator's URL in ACQUIT_BROKER_MANAGEMENT_URL, and ask again",
                    "broker.management_url is empty: queues and their consumers were not looked at");
    else if (ask_management(config, &queues, &differences, &err) < 0)
        finding_add(findings, "topology", HEALTH_PROBLEM,
                    "see broker.management_url, and `rabbitmq-plugins enable rabbitmq_management`", "%s", err.text);
    check_size(findings, config, differences);
    if (differences)
        judge_topology(findings, differences);
    if (queues)
        judge_queues(findings, queues, has_dual(config));
    json_decref(queues);
    json_decref(differences);
}

/* -- all of it */

static void examine(struct op *op, json_t *findings)
{
    struct err err = {0};
    op->config = program_load(args_text(&op->args, "config", NULL), &err);
    if (!op->config) {
        finding_add(findings, "configuration", HEALTH_PROBLEM, "mend it; `acquit config check` tells when it is good",
                    "%s", err.text);
        return;
    }
    finding_add(findings, "configuration", HEALTH_OK, NULL, "%zu publishers, %zu providers, %zu validators",
                config_publisher_count(op->config), config_provider_count(op->config),
                config_validator_count(op->config));
    check_providers(findings, op->config);
    check_ledger(op, findings);
    check_connection(findings, op->config);
    check_queues(findings, op->config);
}

int cmd_doctor(struct op *op, struct err *err)
{
    (void)err; /* whatever is wrong is a finding */
    json_t *findings = json_array();
    examine(op, findings);
    bool good = findings_good(findings);
    if (op->json)
        operator_print(json_pack("{s:b, s:O}", "ok", good, "checks", findings));
    else
        findings_print(findings, stdout);
    json_decref(findings);
    return good ? 0 : EXIT_NO;
}
