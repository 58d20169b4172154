/* partitions.c - acquit ledger partitions: from when to when, how many rows, how large (ledger/partitions.h) */
#include "ledger/partitions.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/json.h"
#include "workers/operator/operator.h"
#include "workers/operator/table.h"

enum { NUMBER_SIZE = 24 };

static void print_partitions(const json_t *list)
{
    static const char *const headings[] = {"PARTITION", "FROM", "TO", ">ROWS", ">BYTES", NULL};
    struct table *table = table_new(headings);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        char rows[NUMBER_SIZE] = "", bytes[NUMBER_SIZE];
        if (json_object_get(row, "rows"))
            snprintf(rows, sizeof rows, "%" PRId64, json_int(row, "rows", 0));
        snprintf(bytes, sizeof bytes, "%" PRId64, json_int(row, "bytes", 0));
        const char *cells[] = {json_text(row, "name", ""), json_text(row, "from", ""), json_text(row, "to", ""), rows,
                               bytes};
        table_row(table, cells);
    }
    table_print(table, "there are none", stdout);
    table_free(table);
}

int cmd_ledger_partitions(struct op *op, struct err *err)
{
    int64_t days;
    if (!operator_db(op, err) || partitions_left(op->db, &days, err) != 0)
        return -1;
    json_t *list = partitions_list(op->db, err);
    if (!list)
        return -1;
    if (op->json) {
        operator_print(json_pack("{s:I, s:o}", "daysLeft", (json_int_t)days, "partitions", list));
        return 0;
    }
    print_partitions(list);
    printf("payments may begin on %" PRId64 " days from today on\n", days);
    json_decref(list);
    return 0;
}
