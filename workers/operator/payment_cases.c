/* payment_cases.c - acquit payment cases: what nobody but a person can find out (ledger/cases.h) */
#include <inttypes.h>
#include <stdio.h>

#include "common/json.h"
#include "common/money.h"
#include "ledger/cases.h"
#include "workers/operator/operator.h"
#include "workers/operator/table.h"
#include "workers/operator/transit.h"

const struct option_row payment_cases_options[] = {
    {.name = "provider", .kind = OPTION_TEXT, .value = "NAME", .sentence = "of this provider only"},
    {.name = "all", .kind = OPTION_FLAG, .sentence = "also what is in doubt for less than question.give_up_ms"},
    {.name = "limit",
     .kind = OPTION_INT,
     .least = 1,
     .most = CASES_LIMIT_MAX,
     .value = "N",
     .sentence = "at most so many, the oldest (default 100)"},
    {0},
};

/* Ids as people type them. */
static void add_public_id(json_t *row)
{
    struct uuid payment;
    char id[PUBLIC_ID_SIZE];
    if (uuid_parse(json_text(row, "paymentId", ""), &payment) != 0)
        return;
    public_id_format(payment, id);
    json_object_set_new(row, "transactionId", json_string(id));
}

static void print_row(struct table *table, const json_t *row)
{
    char amount[MONEY_TEXT_MAX], age[AGE_TEXT_MAX], questions[24];
    money_format(json_int(row, "amount", 0), json_text(row, "currency", ""), amount);
    snprintf(questions, sizeof questions, "%" PRId64, json_int(row, "questions", 0));
    const char *cells[] = {json_text(row, "transactionId", ""),
                           json_text(row, "slot", ""),
                           json_text(row, "provider", ""),
                           amount,
                           age_text(json_int(row, "ageMs", 0), age),
                           questions,
                           json_text(row, "lastAt", ""),
                           json_text(row, "lastCode", ""),
                           json_text(row, "lastMessage", "")};
    table_row(table, cells);
}

static void print_cases(const json_t *rows)
{
    static const char *const headings[] = {"PAYMENT",    "SLOT",       "PROVIDER",  ">AMOUNT",      ">UNKNOWN FOR",
                                           ">QUESTIONS", "LAST ASKED", "LAST CODE", "LAST MESSAGE", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(rows); i++)
        print_row(table, json_array_get(rows, i));
    table_print(table, "no cases: no outcome is unknown for that long", stdout);
    table_free(table);
}

int cmd_payment_cases(struct op *op, struct err *err)
{
    const struct args *args = &op->args;
    int64_t age_ms = args_flag(args, "all") ? 0 : config_int(op->config, "question.give_up_ms");
    if (!operator_db(op, err))
        return -1;
    json_auto_t *rows =
        cases_read(op->db, age_ms, args_text(args, "provider", NULL), (int)args_int(args, "limit", 100), err);
    for (size_t i = 0; i < json_array_size(rows); i++)
        add_public_id(json_array_get(rows, i));
    if (rows && op->json)
        operator_print(json_pack("{s:O}", "cases", rows));
    else if (rows)
        print_cases(rows);
    return rows ? 0 : -1;
}
