/* audit.c - acquit audit list: who did what (ledger/act.h) */
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "ledger/act.h"
#include "workers/operator/operator.h"
#include "workers/operator/table.h"

const struct option_row audit_list_options[] = {
    {.name = "since",
     .kind = OPTION_TEXT,
     .value = "TIME",
     .sentence = "at or after: 2026-11-20, or 2026-11-20T10:00:00Z"},
    {.name = "until", .kind = OPTION_TEXT, .value = "TIME", .sentence = "before"},
    {.name = "actor", .kind = OPTION_TEXT, .value = "NAME", .sentence = "by this one only"},
    {.name = "action",
     .kind = OPTION_TEXT,
     .value = "NAME",
     .sentence = "this only: ledger.rebuild, payment.refund ..."},
    {.name = "object",
     .kind = OPTION_TEXT,
     .value = "ID",
     .sentence = "on this only: the id of a payment (UUID), a dead letter ..."},
    {.name = "limit",
     .kind = OPTION_INT,
     .least = 1,
     .most = AUDIT_LIMIT_MAX,
     .value = "N",
     .sentence = "at most so many, the newest (default 50)"},
    {0},
};

static int read_time(const struct args *args, const char *name, char ret[static CLOCK_TEXT_SIZE], const char **ret_text,
                     struct err *err)
{
    const char *text = args_text(args, name, NULL);
    int64_t wall_ms;
    if (!text)
        return 0;
    if (clock_parse_day(text, &wall_ms) != 0)
        return err_set(err, ERR_INVALID, "--%s: %s is no time; write one like 2026-11-20T10:00:00Z, or a day", name,
                       text);
    *ret_text = clock_format(wall_ms, ret);
    return 0;
}

static void print_acts(const json_t *acts)
{
    static const char *const headings[] = {"WHEN", "WHO", "AS", "DID", "ON", "WHAT", "WHY", "DETAIL", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(acts); i++) {
        const json_t *act = json_array_get(acts, i);
        char *diff = json_encode(json_object_get(act, "diff"));
        const char *cells[] = {json_text(act, "at", ""),         json_text(act, "actorId", ""),
                               json_text(act, "actorType", ""),  json_text(act, "action", ""),
                               json_text(act, "objectType", ""), json_text(act, "objectId", ""),
                               json_text(act, "reason", ""),     diff};
        table_row(table, cells);
        free(diff);
    }
    table_print(table, "nobody did anything", stdout);
    table_free(table);
}

int cmd_audit_list(struct op *op, struct err *err)
{
    const struct args *args = &op->args;
    char since[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    struct audit_filter filter = {.actor = args_text(args, "actor", NULL),
                                  .action = args_text(args, "action", NULL),
                                  .object_id = args_text(args, "object", NULL),
                                  .limit = (int)args_int(args, "limit", 50)};
    if (read_time(args, "since", since, &filter.since, err) != 0 ||
        read_time(args, "until", until, &filter.until, err) != 0 || !operator_db(op, err))
        return -1;
    json_t *acts = ledger_audit(op->db, &filter, err);
    if (!acts)
        return -1;
    if (op->json)
        operator_print(json_pack("{s:O}", "acts", acts));
    else
        print_acts(acts);
    json_decref(acts);
    return 0;
}
