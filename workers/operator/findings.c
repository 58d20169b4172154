/* findings.c - what `acquit doctor` finds, and how it judges what it was told (pure) */
#include "workers/operator/findings.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/money.h"
#include "ledger/partitions.h"
#include "queues/topology.h"
#include "workers/operator/balance.h"
#include "workers/operator/table.h"
#include "workers/operator/transit.h"

enum { DETAIL_SIZE = 1024 };

static const char *const health_texts[] = {
    [HEALTH_OK] = "ok", [HEALTH_WARNING] = "warning", [HEALTH_PROBLEM] = "problem"};

void finding_add(json_t *findings, const char *check, enum health health, const char *remedy, const char *fmt, ...)
{
    char detail[DETAIL_SIZE];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    json_t *finding = json_pack("{s:s, s:s, s:s}", "check", check, "state", health_texts[health], "detail", detail);
    if (!finding) /* what somebody else said was no UTF-8, or was cut within a character */
        finding = json_pack("{s:s, s:s, s:s}", "check", check, "state", health_texts[health], "detail", "(unreadable)");
    if (health != HEALTH_OK && remedy)
        json_object_set_new(finding, "remedy", json_string(remedy));
    json_array_append_new(findings, finding);
}

bool findings_good(const json_t *findings)
{
    for (size_t i = 0; i < json_array_size(findings); i++)
        if (strcmp(json_text(json_array_get(findings, i), "state", ""), health_texts[HEALTH_PROBLEM]) == 0)
            return false;
    return true;
}

void findings_print(const json_t *findings, FILE *out)
{
    static const char *const headings[] = {"STATE", "CHECK", "FOUND", "REMEDY", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(findings); i++) {
        const json_t *row = json_array_get(findings, i);
        const char *cells[] = {json_text(row, "state", ""), json_text(row, "check", ""), json_text(row, "detail", ""),
                               json_text(row, "remedy", "")};
        table_row(table, cells);
    }
    table_print(table, "nothing was checked", out);
    table_free(table);
}

void judge_clock(json_t *findings, int64_t before_ms, int64_t database_ms, int64_t after_ms)
{
    int64_t skew_ms = database_ms < before_ms  ? database_ms - before_ms
                      : database_ms > after_ms ? database_ms - after_ms
                                               : 0;
    bool good = skew_ms > -SKEW_MOST_MS && skew_ms < SKEW_MOST_MS;
    finding_add(findings, "clock", good ? HEALTH_OK : HEALTH_PROBLEM,
                "send windows and deadlines are wall time: set both clocks right (chrony or systemd-timesyncd)",
                "the database's clock is %lld ms %s ours", (long long)llabs(skew_ms),
                skew_ms < 0 ? "behind" : "ahead of");
}

void judge_role(json_t *findings, const char *role, bool reads, bool inserts, bool owns)
{
    static const char check[] = "ledger role";
    if (!reads)
        finding_add(findings, check, HEALTH_PROBLEM, "grant acquit_reader to it, or name another in ledger.url",
                    "%s may not read the ledger", role);
    else if (owns)
        finding_add(findings, check, HEALTH_WARNING, "use a member of acquit_reader here; the owner is for migrations",
                    "%s owns the ledger", role);
    else if (inserts)
        finding_add(findings, check, HEALTH_OK, NULL, "%s reads and inserts, as a worker's does", role);
    else
        finding_add(findings, check, HEALTH_OK, NULL, "%s reads only: good for people, not for a worker", role);
}

void judge_partitions(json_t *findings, int64_t days)
{
    static const char check[] = "partitions";
    static const char remedy[] =
        "start the keeper, as a member of acquit_sealer: it makes them when it starts; its log says why not";
    if (days > 0)
        finding_add(findings, check, days < PARTITIONS_SHORT_DAYS ? HEALTH_WARNING : HEALTH_OK, remedy,
                    "the ledger has them for %lld days", (long long)days);
    else
        finding_add(findings, check, HEALTH_PROBLEM, remedy, "the ledger has none for today: no payment can begin");
}

void judge_topology(json_t *findings, const json_t *differences)
{
    size_t count = json_array_size(differences);
    for (size_t i = 0; i < count && i < DIFFERENCES_SHOWN; i++) {
        const json_t *row = json_array_get(differences, i);
        char *found = json_dumps(json_object_get(row, "found"), JSON_ENCODE_ANY | JSON_COMPACT);
        char *expected = json_dumps(json_object_get(row, "expected"), JSON_ENCODE_ANY | JSON_COMPACT);
        finding_add(findings, "topology", HEALTH_PROBLEM, json_text(row, "remedy", NULL), "%s: %s: %s, expected %s",
                    json_text(row, "object", ""), json_text(row, "field", ""), found ? found : "",
                    expected ? expected : "");
        free(found);
        free(expected);
    }
    if (count > DIFFERENCES_SHOWN)
        finding_add(findings, "topology", HEALTH_PROBLEM, "see `acquit topology check`", "%zu further differences",
                    count - DIFFERENCES_SHOWN);
    if (!count)
        finding_add(findings, "topology", HEALTH_OK, NULL, "the broker has what it should have");
}

static const json_t *queue_named(const json_t *queues, const char *name)
{
    for (size_t i = 0; i < json_array_size(queues); i++)
        if (strcmp(json_text(json_array_get(queues, i), "name", ""), name) == 0)
            return json_array_get(queues, i);
    return NULL;
}

static void judge_consumers(json_t *findings, const json_t *queues, const char *worker, bool needed)
{
    const char *name = worker_queues(worker)[0];
    const json_t *queue = queue_named(queues, name);
    long long consumers = json_int(queue, "consumers", 0), messages = json_int(queue, "messages", 0);
    char remedy[160];
    snprintf(remedy, sizeof remedy, "systemctl start acquit-worker@%s; its log says why it ended", worker);
    if (!queue)
        return; /* the topology's affair */
    if (consumers)
        finding_add(findings, "workers", HEALTH_OK, NULL, "%s: %lld consumers, %lld messages", name, consumers,
                    messages);
    else if (needed || messages)
        finding_add(findings, "workers", HEALTH_PROBLEM, remedy, "%s: no consumers, %lld messages", name, messages);
    else
        finding_add(findings, "workers", HEALTH_OK, NULL, "%s: no consumers, and none needed without the flow dual",
                    name);
}

/* The compensation worker takes what dies; what lies there for longer nobody archives. */
static void judge_dead(json_t *findings, const json_t *queues)
{
    const char *const *names = worker_queues("compensate") + 1; /* behind its own work queue */
    long long all = 0;
    for (; *names; names++) {
        const json_t *queue = queue_named(queues, *names);
        long long messages = json_int(queue, "messages", 0);
        bool consumed = json_int(queue, "consumers", 0) > 0;
        all += messages;
        if (messages)
            finding_add(findings, "dead-letter queues", consumed ? HEALTH_WARNING : HEALTH_PROBLEM,
                        consumed ? "look again in a moment; if they stay, see the log of acquit-worker@compensate"
                                 : "systemctl start acquit-worker@compensate, which archives them",
                        "%s: %lld messages", *names, messages);
    }
    if (!all)
        finding_add(findings, "dead-letter queues", HEALTH_OK, NULL, "empty");
}

void judge_queues(json_t *findings, const json_t *queues, bool dual)
{
    judge_consumers(findings, queues, "authorize", true);
    judge_consumers(findings, queues, "pop-validate", dual);
    judge_consumers(findings, queues, "token-activate", dual);
    judge_consumers(findings, queues, "refund", true);
    judge_consumers(findings, queues, "notify", true);
    judge_consumers(findings, queues, "compensate", true);
    judge_dead(findings, queues);
}

void judge_balance(json_t *findings, const json_t *balances)
{
    static const char remedy[] = "stop the workers and tell a developer: `acquit ledger balance`";
    struct err err = {0};
    json_auto_t *sums = balance_sums(balances, &err);
    const char *currency;
    json_t *sum;
    bool good = sums != NULL;
    if (!sums)
        finding_add(findings, "trial balance", HEALTH_PROBLEM, remedy, "%s", err.text);
    json_object_foreach(sums, currency, sum)
    {
        if (json_integer_value(sum) == 0)
            continue;
        good = false;
        finding_add(findings, "trial balance", HEALTH_PROBLEM, remedy, "%s sums to %lld, not to zero", currency,
                    (long long)json_integer_value(sum));
    }
    if (good)
        finding_add(findings, "trial balance", HEALTH_OK, NULL, "%zu currencies, each sums to zero",
                    json_object_size(sums));
}

void judge_transit(json_t *findings, const json_t *rows)
{
    size_t over = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        char amount[MONEY_TEXT_MAX], age[AGE_TEXT_MAX], limit[AGE_TEXT_MAX];
        if (!json_is_true(json_object_get(row, "over")) || over++ >= DIFFERENCES_SHOWN)
            continue;
        finding_add(
            findings, "transit accounts", HEALTH_WARNING,
            "`acquit ledger balance --transit` names its oldest payment, `acquit payment show` what it waits for",
            "%s has %s, the oldest for %s; its limit is %s", json_text(row, "account", ""),
            money_format(json_int(row, "amount", 0), json_text(row, "currency", ""), amount),
            age_text(json_int(json_object_get(row, "oldest"), "ageMs", 0), age),
            age_text(json_int(row, "limitMs", 0), limit));
    }
    if (over > DIFFERENCES_SHOWN)
        finding_add(findings, "transit accounts", HEALTH_WARNING, "`acquit ledger balance --transit`",
                    "%zu further ones are over their limit", over - DIFFERENCES_SHOWN);
    if (!over)
        finding_add(findings, "transit accounts", HEALTH_OK, NULL, "%zu, each within its limit", json_array_size(rows));
}

void judge_cases(json_t *findings, const json_t *cases)
{
    const json_t *oldest = json_array_get(cases, 0);
    char amount[MONEY_TEXT_MAX], age[AGE_TEXT_MAX], id[PUBLIC_ID_SIZE] = "";
    struct uuid payment;
    if (!oldest) {
        finding_add(findings, "cases", HEALTH_OK, NULL, "no outcome is unknown for too long");
        return;
    }
    if (uuid_parse(json_text(oldest, "paymentId", ""), &payment) == 0)
        public_id_format(payment, id);
    finding_add(findings, "cases", HEALTH_WARNING,
                "`acquit payment cases` lists them; find out at the provider, then `acquit payment resolve`",
                "%zu wait for a person, the oldest for %s: %s of %s, %s at %s", json_array_size(cases),
                age_text(json_int(oldest, "ageMs", 0), age), json_text(oldest, "slot", ""), id,
                money_format(json_int(oldest, "amount", 0), json_text(oldest, "currency", ""), amount),
                json_text(oldest, "provider", ""));
}

bool stands_still(const struct facts *facts, const struct payment *payment, int64_t stand_still_ms, int64_t now_ms)
{
    struct next next;
    int64_t newest_ms = 0;
    for (size_t i = 0; i < facts->count; i++)
        if (facts->items[i].at_ms > newest_ms)
            newest_ms = facts->items[i].at_ms;
    saga_next(payment, &next);
    return next.count > 0 && now_ms - newest_ms > stand_still_ms;
}
