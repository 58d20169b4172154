/* payment_list.c - acquit payment list: from the projections, normally less than a second behind the facts (ledger/projection.h) */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/money.h"
#include "ledger/projection.h"
#include "workers/operator/operator.h"
#include "workers/operator/table.h"

enum { REFERENCE_SIZE = 256 };

const struct option_row payment_list_options[] = {
    {.name = "state", .kind = OPTION_TEXT, .value = "STATE", .sentence = "in this public state only"},
    {.name = "currency", .kind = OPTION_TEXT, .value = "CODE", .sentence = "in this currency only"},
    {.name = "publisher", .kind = OPTION_TEXT, .value = "NAME", .sentence = "of this publisher only"},
    {.name = "merchant", .kind = OPTION_TEXT, .value = "NAME", .sentence = "of this merchant only"},
    {.name = "provider", .kind = OPTION_TEXT, .value = "NAME", .sentence = "by this payment provider only"},
    {.name = "reference",
     .kind = OPTION_TEXT,
     .value = "[TYPE:]ID",
     .sentence = "about this only: booking:b-17, or b-17 of any type"},
    {.name = "from",
     .kind = OPTION_TEXT,
     .value = "TIME",
     .sentence = "received at or after: 2026-11-20, or 2026-11-20T10:00:00Z"},
    {.name = "to", .kind = OPTION_TEXT, .value = "TIME", .sentence = "received before"},
    {.name = "limit",
     .kind = OPTION_INT,
     .least = 1,
     .most = PROJECTION_LIST_MAX,
     .value = "N",
     .sentence = "at most so many (default 20)"},
    {.name = "before", .kind = OPTION_TEXT, .value = "PLACE", .sentence = "older than this; from the end of a list"},
    {0},
};

static int check_state(const char *state, struct err *err)
{
    for (int i = 0; state && i < PUBLIC_STATE_COUNT; i++)
        if (strcmp(state, public_state_text((enum public_state)i)) == 0)
            return 0;
    return state ? err_set(err, ERR_INVALID, "%s is no state of a payment", state) : 0;
}

static int read_time(const struct args *args, const char *name, int64_t *ret_ms, struct err *err)
{
    const char *text = args_text(args, name, NULL);
    if (!text || clock_parse_day(text, ret_ms) == 0)
        return 0;
    return err_set(err, ERR_INVALID, "--%s: %s is no time; write one like 2026-11-20T10:00:00Z, or a day", name, text);
}

/* "booking:b-17"; an id alone may have a ':' of its own only behind a type. */
static int read_reference(const char *text, char type[static REFERENCE_SIZE], struct projection_filter *filter,
                          struct err *err)
{
    const char *colon = text ? strchr(text, ':') : NULL;
    if (colon && colon - text >= REFERENCE_SIZE)
        return err_set(err, ERR_INVALID, "--reference: the type is too long");
    if (colon) {
        snprintf(type, REFERENCE_SIZE, "%.*s", (int)(colon - text), text);
        filter->reference_type = type;
    }
    const char *id = colon ? colon + 1 : text;
    filter->reference_id = id && *id ? id : NULL;
    return 0;
}

static int read_place(const struct args *args, struct projection_filter *filter, struct err *err)
{
    const char *text = args_text(args, "before", NULL);
    if (!text || projection_place_parse(text, &filter->before_ms, &filter->before_seq) == 0)
        return 0;
    return err_set(err, ERR_INVALID, "--before: %s is no place in a list; take it from the end of the list before",
                   text);
}

static void set_time(json_t *view, const char *member, int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    json_object_set_new(view, member, json_string(clock_format(wall_ms, text)));
}

static json_t *row_view(const json_t *row)
{
    static const char *const members[] = {
        "paymentId",      "seq",         "status",      "amount",       "currency", "capturedAmount",
        "refundedAmount", "flow",        "publisher",   "provider",     "reason",   "merchant",
        "referenceType",  "referenceId", "description", "contradiction"};
    char public[PUBLIC_ID_SIZE] = "";
    struct uuid id;
    if (uuid_parse(json_text(row, "paymentId", ""), &id) == 0)
        public_id_format(id, public);
    json_t *view = json_pack("{s:s}", "transactionId", public);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_t *value = json_object_get(row, members[i]);
        json_object_set(view, members[i], value ? value : json_null());
    }
    set_time(view, "receivedAt", json_int(row, "createdAtMs", 0));
    set_time(view, "updatedAt", json_int(row, "updatedAtMs", 0));
    return view;
}

static void print_row(struct table *table, const json_t *view)
{
    char amount[MONEY_TEXT_MAX];
    money_format(json_int(view, "amount", 0), json_text(view, "currency", ""), amount);
    const char *remark = json_bool(view, "contradiction", false) ? "its facts contradict each other: look at it"
                                                                 : json_text(view, "reason", "");
    const char *cells[] = {json_text(view, "receivedAt", ""), json_text(view, "transactionId", ""),
                           json_text(view, "status", ""),     amount,
                           json_text(view, "flow", ""),       json_text(view, "publisher", ""),
                           json_text(view, "provider", ""),   remark};
    table_row(table, cells);
}

static void print_listing(const json_t *views, const char *before)
{
    static const char *const headings[] = {"RECEIVED",  "PAYMENT",  "STATE",  ">AMOUNT", "FLOW",
                                           "PUBLISHER", "PROVIDER", "REASON", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(views); i++)
        print_row(table, json_array_get(views, i));
    table_print(table, "no payments", stdout);
    if (*before)
        printf("more: --before %s\n", before);
    table_free(table);
}

int cmd_payment_list(struct op *op, struct err *err)
{
    const struct args *args = &op->args;
    char reference_type[REFERENCE_SIZE];
    size_t limit = (size_t)args_int(args, "limit", 20);
    struct projection_filter filter = {.publisher = args_text(args, "publisher", NULL),
                                       .status = args_text(args, "state", NULL),
                                       .provider = args_text(args, "provider", NULL),
                                       .currency = args_text(args, "currency", NULL),
                                       .merchant = args_text(args, "merchant", NULL),
                                       .limit = (int)limit + 1};
    if (check_state(filter.status, err) < 0 || read_time(args, "from", &filter.from_ms, err) < 0 ||
        read_time(args, "to", &filter.to_ms, err) < 0 || read_place(args, &filter, err) < 0 ||
        read_reference(args_text(args, "reference", NULL), reference_type, &filter, err) < 0 || !operator_db(op, err))
        return -1;
    json_auto_t *rows = projection_list(op->db, &filter, err);
    json_auto_t *views = json_array();
    for (size_t i = 0; i < json_array_size(rows) && i < limit; i++)
        json_array_append_new(views, row_view(json_array_get(rows, i)));
    char before[PROJECTION_PLACE_SIZE] = "";
    if (json_array_size(rows) > limit)
        projection_place(json_array_get(rows, limit - 1), before);
    if (rows && op->json)
        operator_print(json_pack("{s:O, s:s*}", "payments", views, "before", *before ? before : NULL));
    else if (rows)
        print_listing(views, before);
    return rows ? 0 : -1;
}
