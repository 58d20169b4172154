/* audit_conserve.c - acquit audit conserve: published = settled + in flight + waiting + dead + discarded
 *
 * First the broker is asked how much it holds, then the ledger what it knows: what moved on in between is found in the
 * ledger, so that nothing under way is taken for lost. The broker's counts are seconds old; what does not add up is
 * looked at again until --wait-ms are over. Nothing is consumed, moved or written (docs/adr/0024).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"
#include "queues/management.h"
#include "queues/url.h"
#include "workers/operator/balance_sheet.h"
#include "workers/operator/operator.h"
#include "workers/operator/table.h"

enum {
    WAIT_MS = 15000, /* the broker's counts are up to 5 s old, and a step under way may take some */
    WAIT_MAX_MS = 600000,
    LOOK_EVERY_MS = 1000,
    MISSING_SHOWN = 50,
};

const struct option_row audit_conserve_options[] = {
    {.name = "published",
     .kind = OPTION_TEXT,
     .value = "FILE",
     .sentence =
         "what the broker confirmed to the publishers, a line each: id,type,day,publisher, or a JSON object; - reads "
         "standard input. Without it the ledger's own counts are shown, and nothing is proven"},
    {.name = "publisher", .kind = OPTION_TEXT, .value = "NAME", .sentence = "of lines that name none"},
    {.name = "from",
     .kind = OPTION_TEXT,
     .value = "DAY",
     .sentence = "published on this day or later: 2026-11-20 (UTC)"},
    {.name = "to", .kind = OPTION_TEXT, .value = "DAY", .sentence = "published before this day"},
    {.name = "wait-ms",
     .kind = OPTION_INT,
     .least = 0,
     .most = WAIT_MAX_MS,
     .value = "N",
     .sentence =
         "look again for so long before anything is called missing (default 15000; less than 10000 may blame what "
         "is under way)"},
    {0},
};

struct audit {
    struct op *op;
    const char *from, *to;
    struct sheet sheet;
    struct published chunk[FATES_MAX];
    size_t chunk_count;
    json_t *queues;
    json_t *result;
    enum sum sum;
};

static int read_day(const struct args *args, const char *name, const char **ret, struct err *err)
{
    int64_t day_ms;
    *ret = args_text(args, name, NULL);
    if (!*ret || (strlen(*ret) == DAY_SIZE - 1 && clock_parse_day(*ret, &day_ms) == 0))
        return 0;
    return err_set(err, ERR_INVALID, "--%s: %s is no day; write one like 2026-11-20", name, *ret);
}

/* -- what the broker holds */

static int read_queues(struct audit *audit, struct err *err)
{
    const struct config *config = audit->op->config;
    struct amqp_url broker;
    if (amqp_url_parse(config_text(config, "broker.url"), &broker, err) != 0)
        return -1;
    json_decref(audit->queues);
    audit->queues = NULL;
    struct management *management = management_new(config_text(config, "broker.management_url"), err);
    if (management)
        audit->queues = management_get(management, "/api/queues/%s", (const char *[]){broker.vhost, NULL}, err);
    management_free(management);
    amqp_url_clear(&broker);
    return audit->queues ? 0 : -1;
}

/* -- what was published, and what the ledger knows of it */

static struct fate_key key_of(const struct published *published)
{
    return (struct fate_key){.command = published->command,
                             .publisher = published->publisher,
                             .type = published->type->name,
                             .message_id = published->id};
}

static int settle_chunk(struct audit *audit, struct err *err)
{
    struct fate_key keys[FATES_MAX];
    enum fate fates[FATES_MAX];
    for (size_t i = 0; i < audit->chunk_count; i++)
        keys[i] = key_of(&audit->chunk[i]);
    if (fates_read(audit->op->db, keys, audit->chunk_count, fates, err) != 0)
        return -1;
    for (size_t i = 0; i < audit->chunk_count; i++)
        if (sheet_add(&audit->sheet, &audit->chunk[i], fates[i], err) != 0)
            return -1;
    audit->chunk_count = 0;
    return 0;
}

static bool in_range(const struct audit *audit, const char *day)
{
    return (!audit->from || strcmp(day, audit->from) >= 0) && (!audit->to || strcmp(day, audit->to) < 0);
}

static int read_list(struct audit *audit, FILE *file, struct err *err)
{
    size_t line = 0;
    int more;
    struct published one;
    const char *publisher = args_text(&audit->op->args, "publisher", NULL);
    while ((more = published_next(file, publisher, &line, &one, err)) > 0) {
        if (!in_range(audit, one.day))
            continue;
        audit->chunk[audit->chunk_count++] = one;
        if (audit->chunk_count == FATES_MAX && settle_chunk(audit, err) != 0)
            return -1;
    }
    return more < 0 || settle_chunk(audit, err) != 0 ? -1 : 0;
}

static int read_published(struct audit *audit, const char *name, struct err *err)
{
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
    if (!file)
        return err_set(err, ERR_INVALID, "--published: %s: %s", name, strerror(errno));
    int r = read_list(audit, file, err);
    if (file != stdin)
        fclose(file);
    return r;
}

/* -- looking again */

static int look_again(struct audit *audit, struct err *err)
{
    struct sheet *sheet = &audit->sheet;
    struct fate_key keys[FATES_MAX];
    enum fate fates[FATES_MAX];
    for (size_t begin = 0; begin < sheet->count; begin += FATES_MAX) {
        size_t count = sheet->count - begin < FATES_MAX ? sheet->count - begin : FATES_MAX;
        for (size_t i = 0; i < count; i++)
            keys[i] = key_of(&sheet->items[begin + i].published);
        if (fates_read(audit->op->db, keys, count, fates, err) != 0)
            return -1;
        for (size_t i = 0; i < count; i++)
            sheet_move(sheet, begin + i, fates[i]);
    }
    sheet_drop_settled(sheet);
    return 0;
}

static void judge(struct audit *audit)
{
    json_decref(audit->result);
    audit->result = sheet_judge(&audit->sheet, audit->queues, &audit->sum);
}

static int confirm(struct audit *audit, struct err *err)
{
    const struct timespec pause = {.tv_sec = LOOK_EVERY_MS / 1000};
    int64_t until_ms = clock_monotonic_ms() + args_int(&audit->op->args, "wait-ms", WAIT_MS);
    judge(audit);
    while (audit->sum != SUM_RIGHT && clock_monotonic_ms() < until_ms) {
        nanosleep(&pause, NULL);
        if (read_queues(audit, err) != 0 || look_again(audit, err) != 0)
            return -1;
        judge(audit);
    }
    return 0;
}

/* -- what is told */

static void print_rows(const json_t *rows, bool published)
{
    static const char *const headings[] = {"DAY",        "TYPE",        ">PUBLISHED",     ">SETTLED", ">DEAD",
                                           ">DISCARDED", ">SENT AGAIN", ">NOT IN LEDGER", NULL};
    static const char *const members[] = {"published", "settled", "dead", "discarded", "replayed", "absent"};
    enum { NUMBERS = sizeof members / sizeof members[0] };
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        char numbers[NUMBERS][24];
        const char *cells[2 + NUMBERS] = {json_text(row, "day", ""), json_text(row, "type", "")};
        for (size_t n = 0; n < NUMBERS; n++) {
            bool known = json_object_get(row, members[n]);
            snprintf(numbers[n], sizeof numbers[n], "%" PRId64, json_int(row, members[n], 0));
            cells[2 + n] = known ? numbers[n] : "";
        }
        table_row(table, cells);
    }
    table_print(table, published ? "nothing was published in these days" : "nothing in these days", stdout);
    table_free(table);
}

static void print_queues(const json_t *result)
{
    const json_t *queues = json_object_get(result, "queues");
    printf("in the broker: %" PRId64 " in flight, %" PRId64 " waiting, %" PRId64 " on the way to the dead letters "
           "(all commands, follow-ups too)\n",
           json_int(queues, "inFlight", 0), json_int(queues, "waiting", 0), json_int(queues, "dying", 0));
}

static void print_missing(const json_t *missing)
{
    static const char *const headings[] = {"ID", "TYPE", "DAY", "PUBLISHER", "COMMAND", "IN THE LEDGER", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(missing) && i < MISSING_SHOWN; i++) {
        const json_t *one = json_array_get(missing, i);
        const char *cells[] = {json_text(one, "id", ""),        json_text(one, "type", ""),
                               json_text(one, "day", ""),       json_text(one, "publisher", ""),
                               json_text(one, "commandId", ""), json_text(one, "fate", "")};
        table_row(table, cells);
    }
    if (table_rows(table))
        table_print(table, "", stdout);
    if (json_array_size(missing) > MISSING_SHOWN)
        printf("and %zu more; --json has all\n", json_array_size(missing) - MISSING_SHOWN);
    table_free(table);
}

static void print_groups(const json_t *groups)
{
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *group = json_array_get(groups, i);
        printf("%s: %" PRId64 " without an end, %" PRId64 " messages where they may be, at least %" PRId64 " lost\n",
               json_text(group, "queue", ""), json_int(group, "outstanding", 0), json_int(group, "held", 0),
               json_int(group, "lost", 0));
    }
}

static int report(const struct audit *audit)
{
    static const struct {
        const char *text;
        int exit;
    } sums[] = {
        [SUM_RIGHT] = {"it adds up", 0},
        [SUM_OPEN] = {"open: these may be in the broker, which does not say which messages it has; ask again when "
                      "it has none",
                      EXIT_AGAIN},
        [SUM_WRONG] = {"it does not add up: of these, some are lost; publish them again under the same id, which "
                       "is safe",
                       EXIT_NO}};
    if (audit->op->json) {
        operator_print(json_incref(audit->result));
        return sums[audit->sum].exit;
    }
    print_rows(json_object_get(audit->result, "rows"), true);
    print_queues(audit->result);
    print_groups(json_object_get(audit->result, "groups"));
    print_missing(json_object_get(audit->result, "missing"));
    puts(sums[audit->sum].text);
    return sums[audit->sum].exit;
}

/* Without a publisher's list there is nothing that could be missing. */
static int count_only(struct audit *audit, struct err *err)
{
    struct sheet none;
    json_t *rows = fates_count(audit->op->db, audit->from, audit->to, err);
    if (!rows)
        return -1;
    sheet_begin(&none);
    audit->result = sheet_judge(&none, audit->queues, &audit->sum);
    sheet_clear(&none);
    json_object_set_new(audit->result, "rows", rows);
    json_object_set_new(audit->result, "sum", json_string("not proven"));
    if (audit->op->json) {
        operator_print(json_incref(audit->result));
        return 0;
    }
    print_rows(rows, false);
    print_queues(audit->result);
    puts("nothing is proven: that nothing is missing only the publishers' list can show (--published)");
    return 0;
}

static int carry_out(struct audit *audit, struct err *err)
{
    const char *name = args_text(&audit->op->args, "published", NULL);
    if (read_day(&audit->op->args, "from", &audit->from, err) != 0 ||
        read_day(&audit->op->args, "to", &audit->to, err) != 0 || !operator_db(audit->op, err) ||
        read_queues(audit, err) != 0)
        return -1;
    if (!name)
        return count_only(audit, err);
    if (read_published(audit, name, err) != 0 || confirm(audit, err) != 0)
        return -1;
    return report(audit);
}

int cmd_audit_conserve(struct op *op, struct err *err)
{
    struct audit *audit = mem_new(1, sizeof *audit);
    audit->op = op;
    sheet_begin(&audit->sheet);
    int r = carry_out(audit, err);
    sheet_clear(&audit->sheet);
    json_decref(audit->queues);
    json_decref(audit->result);
    free(audit);
    return r;
}
