/* balance_sheet.c - see balance_sheet.h */
#include "workers/operator/balance_sheet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "queues/topology.h"

enum { ROW_KEY_SIZE = 80, CAPACITY_FIRST = 256 };

static const char *const sums[] = {[SUM_RIGHT] = "right", [SUM_OPEN] = "open", [SUM_WRONG] = "wrong"};

const char *sum_text(enum sum sum)
{
    return sums[sum];
}

void sheet_begin(struct sheet *sheet)
{
    *sheet = (struct sheet){.rows = json_object()};
}

void sheet_clear(struct sheet *sheet)
{
    json_decref(sheet->rows);
    free(sheet->items);
    *sheet = (struct sheet){0};
}

static json_t *row_of(struct sheet *sheet, const struct published *published)
{
    char key[ROW_KEY_SIZE];
    snprintf(key, sizeof key, "%s %s", published->day, published->type->name);
    json_t *row = json_object_get(sheet->rows, key);
    if (row)
        return row;
    row = json_pack("{s:s, s:s, s:i}", "type", published->type->name, "day", published->day, "published", 0);
    for (int i = 0; i < FATE_COUNT; i++)
        json_object_set_new(row, fate_text((enum fate)i), json_integer(0));
    json_object_set_new(sheet->rows, key, row);
    return row;
}

static void count(json_t *row, const char *member, int64_t by)
{
    json_object_set_new(row, member, json_integer(json_int(row, member, 0) + by));
}

int sheet_add(struct sheet *sheet, const struct published *published, enum fate fate, struct err *err)
{
    json_t *row = row_of(sheet, published);
    count(row, "published", 1);
    count(row, fate_text(fate), 1);
    if (fate == FATE_SETTLED)
        return 0;
    if (sheet->count == OUTSTANDING_MAX)
        return err_set(err, ERR_LIMIT, "more than %d commands are not settled; narrow the days with --from and --to",
                       OUTSTANDING_MAX);
    if (sheet->count == sheet->capacity) {
        sheet->capacity = sheet->capacity ? 2 * sheet->capacity : CAPACITY_FIRST;
        sheet->items = mem_grow(sheet->items, sheet->capacity, sizeof *sheet->items);
    }
    sheet->items[sheet->count++] = (struct outstanding){*published, fate};
    return 0;
}

void sheet_move(struct sheet *sheet, size_t i, enum fate fate)
{
    struct outstanding *one = &sheet->items[i];
    json_t *row = row_of(sheet, &one->published);
    count(row, fate_text(one->fate), -1);
    count(row, fate_text(fate), 1);
    one->fate = fate;
}

void sheet_drop_settled(struct sheet *sheet)
{
    size_t kept = 0;
    for (size_t i = 0; i < sheet->count; i++)
        if (sheet->items[i].fate != FATE_SETTLED)
            sheet->items[kept++] = sheet->items[i];
    sheet->count = kept;
}

/* --- the broker's side --- */

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int64_t messages(const json_t *queue)
{
    return json_int(queue, "messages_ready", 0) + json_int(queue, "messages_unacknowledged", 0);
}

enum place { PLACE_NONE, PLACE_WORK, PLACE_WAIT, PLACE_DEAD };

static enum place place_of(const char *queue)
{
    if (begins(queue, "acquit.wait."))
        return PLACE_WAIT;
    if (begins(queue, "acquit.dead.") || strcmp(queue, "acquit.unroutable") == 0)
        return PLACE_DEAD;
    return begins(queue, "acquit.") ? PLACE_WORK : PLACE_NONE;
}

/* Where a command of this home may be: its own queue, the ladder, any queue of dead letters. */
static int64_t held_for(const json_t *queues, const char *home)
{
    int64_t held = 0;
    for (size_t i = 0; i < json_array_size(queues); i++) {
        const json_t *queue = json_array_get(queues, i);
        const char *name = json_text(queue, "name", "");
        enum place place = place_of(name);
        if (place == PLACE_WAIT || place == PLACE_DEAD || strcmp(name, home) == 0)
            held += messages(queue);
    }
    return held;
}

static int64_t total_of(const json_t *queues, enum place place)
{
    int64_t total = 0;
    for (size_t i = 0; i < json_array_size(queues); i++)
        if (place_of(json_text(json_array_get(queues, i), "name", "")) == place)
            total += messages(json_array_get(queues, i));
    return total;
}

/* --- the sum --- */

static bool is_missing(const struct outstanding *one)
{
    return one->fate == FATE_ABSENT || one->fate == FATE_REPLAYED;
}

/* Distinct commands: a publisher may name one twice. */
static bool is_first(const struct sheet *sheet, size_t i)
{
    return i == 0 || !uuid_equal(sheet->items[i - 1].published.command, sheet->items[i].published.command);
}

static int by_command(const void *a, const void *b)
{
    const struct outstanding *x = a, *y = b;
    return memcmp(&x->published.command, &y->published.command, sizeof x->published.command);
}

static json_t *missing_one(const struct outstanding *one)
{
    char command[UUID_TEXT_SIZE];
    uuid_format(one->published.command, command);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "id", one->published.id, "type", one->published.type->name,
                     "day", one->published.day, "publisher", one->published.publisher, "commandId", command, "fate",
                     fate_text(one->fate));
}

static void add_to_group(json_t *groups, const struct outstanding *one)
{
    const char *home = one->published.type->queue;
    json_t *group = json_object_get(groups, home);
    if (!group) {
        group = json_pack("{s:s, s:i}", "queue", home, "outstanding", 0);
        json_object_set_new(groups, home, group);
    }
    count(group, "outstanding", 1);
}

static enum sum judge_groups(const json_t *groups, const json_t *queues, json_t *list)
{
    enum sum sum = SUM_RIGHT;
    const char *home;
    json_t *group;
    json_object_foreach((json_t *)(uintptr_t)groups, home, group)
    {
        int64_t outstanding = json_int(group, "outstanding", 0), held = held_for(queues, home);
        int64_t lost = outstanding > held ? outstanding - held : 0;
        json_object_set_new(group, "held", json_integer(held));
        json_object_set_new(group, "lost", json_integer(lost));
        json_array_append(list, group);
        if (lost > 0)
            sum = SUM_WRONG;
        else if (sum == SUM_RIGHT)
            sum = SUM_OPEN;
    }
    return sum;
}

static json_t *rows_in_order(const struct sheet *sheet)
{
    json_t *list = json_array();
    char *text = json_dumps(sheet->rows, JSON_SORT_KEYS);
    json_t *sorted = text ? json_loads(text, 0, NULL) : NULL;
    const char *key;
    json_t *row;
    json_object_foreach(sorted, key, row) json_array_append(list, row);
    json_decref(sorted);
    free(text);
    return list;
}

json_t *sheet_judge(const struct sheet *sheet, const json_t *queues, enum sum *ret_sum)
{
    json_t *missing = json_array(), *list = json_array();
    json_auto_t *groups = json_object();
    if (sheet->count > 0)
        qsort(sheet->items, sheet->count, sizeof *sheet->items, by_command);
    for (size_t i = 0; i < sheet->count; i++) {
        if (!is_missing(&sheet->items[i]) || !is_first(sheet, i))
            continue;
        json_array_append_new(missing, missing_one(&sheet->items[i]));
        add_to_group(groups, &sheet->items[i]);
    }
    *ret_sum = judge_groups(groups, queues, list);
    return json_pack("{s:s, s:o, s:{s:I, s:I, s:I}, s:o, s:o}", "sum", sum_text(*ret_sum), "rows", rows_in_order(sheet),
                     "queues", "inFlight", (json_int_t)total_of(queues, PLACE_WORK), "waiting",
                     (json_int_t)total_of(queues, PLACE_WAIT), "dying", (json_int_t)total_of(queues, PLACE_DEAD),
                     "groups", list, "missing", missing);
}
