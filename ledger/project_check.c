/* project_check.c - are the projections what the facts give? Compared payment by payment, and written again where asked for
 *
 * The server compares the texts of whole rows, so that nothing passes that only looks the same. The farm may run meanwhile: in the snapshot of the
 * comparison the ledger has `now` facts of a payment, its row was made of `stored`, and ours of `given`.
 *
 *     given < now                           we are late ourselves: read again
 *     stored < now, some behind progress    the keeper has not come to it yet: no fault
 *     else                                  a fault
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "ledger/projection.h"
#include "ledger/read.h"

enum {
    PAGE = PROJECTION_PAYMENTS_MAX,
    TRIES = 5, /* for payments that move while they are compared */
    PROGRESS_PAGES = 16,
    NUMBER_SIZE = 24,
};

enum verdict { SAME, DIFFERS, BEHIND, MOVED };

struct page {
    size_t count;
    struct uuid ids[PAGE];
    struct facts facts[PAGE];
    enum verdict verdicts[PAGE];
    struct projection projection;
};

/* --- which payments --- */

/* $1 the last payment seen, $2 facts from here on, $3 how many. Each part goes along its key and stops. */
#define IDS_OF(table, after)                                                                                           \
    "(select distinct payment_id from " table " where payment_id " after " $1::uuid order by payment_id limit "        \
    "$3::int)"
#define EVERY_ID(after)                                                                                                \
    "select payment_id from (" IDS_OF("ledger.event", after) " union " IDS_OF("view.payment", after) " union " IDS_OF( \
        "view.attempt", after) " union " IDS_OF("view.refund",                                                         \
                                                after) " union " IDS_OF("view.commission",                             \
                                                                        after) ") as p where $2::text is null order "  \
                                                                               "by payment_id limit $3::int"
static const char NEW_IDS[] =
    "select distinct payment_id from ledger.event where payment_id > $1::uuid and xid >= $2::text::xid8"
    " order by payment_id limit $3::int";

static int read_ids(const struct projection_check *check, struct uuid after, struct page *page, struct err *err)
{
    char id[UUID_TEXT_SIZE], most[NUMBER_SIZE];
    const char *params[] = {id, check->since_xid, most};
    const char *every_id = uuid_is_nil(after) ? EVERY_ID(">=") : EVERY_ID(">");
    uuid_format(after, id);
    snprintf(most, sizeof most, "%d", PAGE);
    struct db_result *rows = db_query(check->db, check->since_xid ? NEW_IDS : every_id, 3, params, err);
    if (!rows)
        return -1;
    page->count = (size_t)db_rows(rows);
    for (size_t i = 0; i < page->count; i++)
        page->ids[i] = db_uuid(rows, (int)i, 0);
    db_result_free(rows);
    return 0;
}

/* --- the comparison --- */

enum { D_TABLE, D_PAYMENT, D_KEY, D_STORED, D_GIVEN, D_GIVEN_FACTS, D_STORED_FACTS, D_NOW, D_BEHIND };

/* $1 payments, $2 facts given of each, then the rows given. */
#define GIVEN(table, key, n)                                                                                           \
    "select '" table "' as t, w.payment_id, " key "::text as k, to_jsonb(w) as r, w::text as x"                        \
    " from jsonb_populate_recordset(null::view." table ", $" #n "::text::jsonb) as w"
#define STORED(table, key)                                                                                             \
    "select '" table "' as t, w.payment_id, " key "::text as k, to_jsonb(w) as r, w::text as x"                        \
    " from view." table " as w where w.payment_id = any($1::uuid[])"
static const char DIFFERENCES[] =
    "with given as (" GIVEN("payment", "''", 3) " union all " GIVEN("attempt", "attempt_number", 4) " union all " GIVEN("refund", "refund_number", 5) " union all " GIVEN("commission", "capture_number", 6) "), stored as (" STORED(
        "payment",
        "''") " union all " STORED("attempt",
                                   "attempt_number") " union all " STORED("refund",
                                                                          "refund_number") " union all " STORED("commis"
                                                                                                                "sion",
                                                                                                                "captur"
                                                                                                                "e_"
                                                                                                                "numbe"
                                                                                                                "r") ")"
                                                                                                                     " "
                                                                                                                     "s"
                                                                                                                     "e"
                                                                                                                     "l"
                                                                                                                     "e"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "t"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "k"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "s"
                                                                                                                     "t"
                                                                                                                     "o"
                                                                                                                     "r"
                                                                                                                     "e"
                                                                                                                     "d"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "g"
                                                                                                                     "i"
                                                                                                                     "v"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "m"
                                                                                                                     "."
                                                                                                                     "f"
                                                                                                                     "a"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     "s"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "("
                                                                                                                     "s"
                                                                                                                     "e"
                                                                                                                     "l"
                                                                                                                     "e"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "p"
                                                                                                                     "."
                                                                                                                     "f"
                                                                                                                     "a"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     "s"
                                                                                                                     " "
                                                                                                                     "f"
                                                                                                                     "r"
                                                                                                                     "o"
                                                                                                                     "m"
                                                                                                                     " "
                                                                                                                     "v"
                                                                                                                     "i"
                                                                                                                     "e"
                                                                                                                     "w"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "p"
                                                                                                                     " "
                                                                                                                     "w"
                                                                                                                     "h"
                                                                                                                     "e"
                                                                                                                     "r"
                                                                                                                     "e"
                                                                                                                     " "
                                                                                                                     "p"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     " "
                                                                                                                     "="
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     ")"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "("
                                                                                                                     "s"
                                                                                                                     "e"
                                                                                                                     "l"
                                                                                                                     "e"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "c"
                                                                                                                     "o"
                                                                                                                     "u"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "("
                                                                                                                     "*"
                                                                                                                     ")"
                                                                                                                     " "
                                                                                                                     "f"
                                                                                                                     "r"
                                                                                                                     "o"
                                                                                                                     "m"
                                                                                                                     " "
                                                                                                                     "l"
                                                                                                                     "e"
                                                                                                                     "d"
                                                                                                                     "g"
                                                                                                                     "e"
                                                                                                                     "r"
                                                                                                                     "."
                                                                                                                     "e"
                                                                                                                     "v"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "e"
                                                                                                                     " "
                                                                                                                     "w"
                                                                                                                     "h"
                                                                                                                     "e"
                                                                                                                     "r"
                                                                                                                     "e"
                                                                                                                     " "
                                                                                                                     "e"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     " "
                                                                                                                     "="
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     ")"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "e"
                                                                                                                     "x"
                                                                                                                     "i"
                                                                                                                     "s"
                                                                                                                     "t"
                                                                                                                     "s"
                                                                                                                     " "
                                                                                                                     "("
                                                                                                                     "s"
                                                                                                                     "e"
                                                                                                                     "l"
                                                                                                                     "e"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "f"
                                                                                                                     "r"
                                                                                                                     "o"
                                                                                                                     "m"
                                                                                                                     " "
                                                                                                                     "l"
                                                                                                                     "e"
                                                                                                                     "d"
                                                                                                                     "g"
                                                                                                                     "e"
                                                                                                                     "r"
                                                                                                                     "."
                                                                                                                     "e"
                                                                                                                     "v"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "e"
                                                                                                                     " "
                                                                                                                     "w"
                                                                                                                     "h"
                                                                                                                     "e"
                                                                                                                     "r"
                                                                                                                     "e"
                                                                                                                     " "
                                                                                                                     "e"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     " "
                                                                                                                     "="
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     " "
                                                                                                                     "a"
                                                                                                                     "n"
                                                                                                                     "d"
                                                                                                                     " "
                                                                                                                     "("
                                                                                                                     "e"
                                                                                                                     "."
                                                                                                                     "x"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "e"
                                                                                                                     "."
                                                                                                                     "s"
                                                                                                                     "e"
                                                                                                                     "q"
                                                                                                                     ")"
                                                                                                                     " "
                                                                                                                     ">"
                                                                                                                     " "
                                                                                                                     " "
                                                                                                                     "("
                                                                                                                     "("
                                                                                                                     "s"
                                                                                                                     "e"
                                                                                                                     "l"
                                                                                                                     "e"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "l"
                                                                                                                     "a"
                                                                                                                     "s"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "x"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     " "
                                                                                                                     "f"
                                                                                                                     "r"
                                                                                                                     "o"
                                                                                                                     "m"
                                                                                                                     " "
                                                                                                                     "v"
                                                                                                                     "i"
                                                                                                                     "e"
                                                                                                                     "w"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "r"
                                                                                                                     "o"
                                                                                                                     "g"
                                                                                                                     "r"
                                                                                                                     "e"
                                                                                                                     "s"
                                                                                                                     "s"
                                                                                                                     ")"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "("
                                                                                                                     "s"
                                                                                                                     "e"
                                                                                                                     "l"
                                                                                                                     "e"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "l"
                                                                                                                     "a"
                                                                                                                     "s"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "s"
                                                                                                                     "e"
                                                                                                                     "q"
                                                                                                                     " "
                                                                                                                     "f"
                                                                                                                     "r"
                                                                                                                     "o"
                                                                                                                     "m"
                                                                                                                     " "
                                                                                                                     "v"
                                                                                                                     "i"
                                                                                                                     "e"
                                                                                                                     "w"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "r"
                                                                                                                     "o"
                                                                                                                     "g"
                                                                                                                     "r"
                                                                                                                     "e"
                                                                                                                     "s"
                                                                                                                     "s"
                                                                                                                     ")"
                                                                                                                     ")"
                                                                                                                     ")"
                                                                                                                     " "
                                                                                                                     "f"
                                                                                                                     "r"
                                                                                                                     "o"
                                                                                                                     "m"
                                                                                                                     " "
                                                                                                                     "("
                                                                                                                     "s"
                                                                                                                     "e"
                                                                                                                     "l"
                                                                                                                     "e"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "t"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "k"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "s"
                                                                                                                     "."
                                                                                                                     "r"
                                                                                                                     " "
                                                                                                                     "a"
                                                                                                                     "s"
                                                                                                                     " "
                                                                                                                     "s"
                                                                                                                     "t"
                                                                                                                     "o"
                                                                                                                     "r"
                                                                                                                     "e"
                                                                                                                     "d"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "g"
                                                                                                                     "."
                                                                                                                     "r"
                                                                                                                     " "
                                                                                                                     "a"
                                                                                                                     "s"
                                                                                                                     " "
                                                                                                                     "g"
                                                                                                                     "i"
                                                                                                                     "v"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     " "
                                                                                                                     "f"
                                                                                                                     "r"
                                                                                                                     "o"
                                                                                                                     "m"
                                                                                                                     " "
                                                                                                                     "g"
                                                                                                                     "i"
                                                                                                                     "v"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     " "
                                                                                                                     "g"
                                                                                                                     " "
                                                                                                                     "f"
                                                                                                                     "u"
                                                                                                                     "l"
                                                                                                                     "l"
                                                                                                                     " "
                                                                                                                     "j"
                                                                                                                     "o"
                                                                                                                     "i"
                                                                                                                     "n"
                                                                                                                     " "
                                                                                                                     "s"
                                                                                                                     "t"
                                                                                                                     "o"
                                                                                                                     "r"
                                                                                                                     "e"
                                                                                                                     "d"
                                                                                                                     " "
                                                                                                                     "s"
                                                                                                                     " "
                                                                                                                     "u"
                                                                                                                     "s"
                                                                                                                     "i"
                                                                                                                     "n"
                                                                                                                     "g"
                                                                                                                     " "
                                                                                                                     "("
                                                                                                                     "t"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "k"
                                                                                                                     ")"
                                                                                                                     " "
                                                                                                                     " "
                                                                                                                     "w"
                                                                                                                     "h"
                                                                                                                     "e"
                                                                                                                     "r"
                                                                                                                     "e"
                                                                                                                     " "
                                                                                                                     "g"
                                                                                                                     "."
                                                                                                                     "x"
                                                                                                                     " "
                                                                                                                     "i"
                                                                                                                     "s"
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "i"
                                                                                                                     "s"
                                                                                                                     "t"
                                                                                                                     "i"
                                                                                                                     "n"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     " "
                                                                                                                     "f"
                                                                                                                     "r"
                                                                                                                     "o"
                                                                                                                     "m"
                                                                                                                     " "
                                                                                                                     "s"
                                                                                                                     "."
                                                                                                                     "x"
                                                                                                                     ")"
                                                                                                                     " "
                                                                                                                     "a"
                                                                                                                     "s"
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     " "
                                                                                                                     "j"
                                                                                                                     "o"
                                                                                                                     "i"
                                                                                                                     "n"
                                                                                                                     " "
                                                                                                                     "u"
                                                                                                                     "n"
                                                                                                                     "n"
                                                                                                                     "e"
                                                                                                                     "s"
                                                                                                                     "t"
                                                                                                                     "("
                                                                                                                     "$"
                                                                                                                     "1"
                                                                                                                     ":"
                                                                                                                     ":"
                                                                                                                     "u"
                                                                                                                     "u"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     "["
                                                                                                                     "]"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "$"
                                                                                                                     "2"
                                                                                                                     ":"
                                                                                                                     ":"
                                                                                                                     "i"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "["
                                                                                                                     "]"
                                                                                                                     ")"
                                                                                                                     " "
                                                                                                                     "a"
                                                                                                                     "s"
                                                                                                                     " "
                                                                                                                     "m"
                                                                                                                     " "
                                                                                                                     "("
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "f"
                                                                                                                     "a"
                                                                                                                     "c"
                                                                                                                     "t"
                                                                                                                     "s"
                                                                                                                     ")"
                                                                                                                     " "
                                                                                                                     "o"
                                                                                                                     "n"
                                                                                                                     " "
                                                                                                                     "m"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     " "
                                                                                                                     "="
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     " "
                                                                                                                     "o"
                                                                                                                     "r"
                                                                                                                     "d"
                                                                                                                     "e"
                                                                                                                     "r"
                                                                                                                     " "
                                                                                                                     "b"
                                                                                                                     "y"
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "p"
                                                                                                                     "a"
                                                                                                                     "y"
                                                                                                                     "m"
                                                                                                                     "e"
                                                                                                                     "n"
                                                                                                                     "t"
                                                                                                                     "_"
                                                                                                                     "i"
                                                                                                                     "d"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "t"
                                                                                                                     ","
                                                                                                                     " "
                                                                                                                     "d"
                                                                                                                     "."
                                                                                                                     "k";

static struct db_result *compare(struct db *db, const struct page *page, struct err *err)
{
    struct db_array ids = {0}, counts = {0};
    char *rows[VIEW_TABLE_COUNT];
    for (size_t i = 0; i < page->count; i++) {
        char id[UUID_TEXT_SIZE], number[NUMBER_SIZE];
        uuid_format(page->ids[i], id);
        snprintf(number, sizeof number, "%zu", page->facts[i].count);
        db_array_add(&ids, id);
        db_array_add(&counts, number);
    }
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        rows[table] = json_encode(page->projection.rows[table]);
    const char *params[] = {db_array_text(&ids), db_array_text(&counts), rows[VIEW_PAYMENT],
                            rows[VIEW_ATTEMPT],  rows[VIEW_REFUND],      rows[VIEW_COMMISSION]};
    struct db_result *differences = db_query(db, DIFFERENCES, 6, params, err);
    for (int table = 0; table < VIEW_TABLE_COUNT; table++)
        free(rows[table]);
    db_array_free(&ids);
    db_array_free(&counts);
    return differences;
}

static enum verdict judge(const struct db_result *rows, int row)
{
    int64_t given = db_int(rows, row, D_GIVEN_FACTS), now = db_int(rows, row, D_NOW);
    bool older = !db_value(rows, row, D_STORED_FACTS) || db_int(rows, row, D_STORED_FACTS) < now;
    if (given < now)
        return MOVED;
    return older && db_bool(rows, row, D_BEHIND) ? BEHIND : DIFFERS;
}

/* --- telling --- */

/* NULL for null. free() it. */
static char *cell_text(const json_t *value)
{
    if (!value || json_is_null(value))
        return NULL;
    char *text = json_is_string(value) ? mem_text(json_string_value(value)) : json_encode(value);
    if (text && strlen(text) > PROJECTION_TEXT_MAX)
        text[PROJECTION_TEXT_MAX] = '\0';
    return text;
}

static void tell(const struct projection_check *check, struct projection_fault *fault, const json_t *stored,
                 const json_t *given)
{
    char *stored_text = cell_text(stored), *given_text = cell_text(given);
    fault->stored = stored_text;
    fault->given = given_text;
    check->fault(check->arg, fault);
    free(stored_text);
    free(given_text);
}

/* Of a row that both have, each column that differs; of another, the row. */
static void tell_row(const struct projection_check *check, const struct db_result *rows, int row)
{
    const char *stored_row = db_value(rows, row, D_STORED), *given_row = db_value(rows, row, D_GIVEN), *column;
    json_auto_t *stored = stored_row ? json_loads(stored_row, 0, NULL) : NULL;
    json_auto_t *given = given_row ? json_loads(given_row, 0, NULL) : NULL;
    json_auto_t *there = json_string("there");
    struct projection_fault fault = {.payment = db_value(rows, row, D_PAYMENT),
                                     .table = db_value(rows, row, D_TABLE),
                                     .row = db_value(rows, row, D_KEY),
                                     .column = ""};
    json_t *value;
    bool told = false;
    if (!stored || !given) {
        tell(check, &fault, stored_row ? there : NULL, given_row ? there : NULL);
        return;
    }
    json_object_foreach(stored, column, value)
    {
        const json_t *other = json_object_get(given, column);
        if (json_equal(value, other))
            continue;
        fault.column = column;
        tell(check, &fault, value, other);
        told = true;
    }
    if (!told) /* the same value in another form */
        tell(check, &fault, stored, given);
}

/* --- a page --- */

static size_t index_of(const struct page *page, struct uuid id)
{
    for (size_t i = 0; i < page->count; i++)
        if (uuid_equal(page->ids[i], id))
            return i;
    return 0; /* not reached: the server answers about what it was asked */
}

/* Projects the payments of the page and compares. */
static int look(const struct projection_check *check, struct page *page, struct err *err)
{
    memset(page->facts, 0, sizeof page->facts);
    projection_init(&page->projection);
    if (read_facts(check->db, page->ids, page->count, page->facts, err) != 0)
        return -1;
    for (size_t i = 0; i < page->count; i++) {
        page->verdicts[i] = SAME;
        project(&page->facts[i], &page->projection);
    }
    struct db_result *rows = compare(check->db, page, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows); row++) {
        enum verdict verdict = judge(rows, row);
        page->verdicts[index_of(page, db_uuid(rows, row, D_PAYMENT))] = verdict;
        if (verdict == DIFFERS)
            tell_row(check, rows, row);
    }
    db_result_free(rows);
    return 0;
}

static void look_clear(struct page *page, size_t count)
{
    for (size_t i = 0; i < count; i++)
        facts_clear(&page->facts[i]);
    projection_clear(&page->projection);
}

/* Makes the rows of the payments that differ what their facts give. One that has further facts by now is to be looked at once more. */
static int replace(const struct projection_check *check, struct page *page, struct projection_result *result,
                   struct err *err)
{
    struct facts facts[PAGE]; /* borrowed */
    size_t from[PAGE], count = 0;
    bool written[PAGE] = {false};
    struct projection projection;
    projection_init(&projection);
    for (size_t i = 0; i < page->count; i++) {
        if (page->verdicts[i] != DIFFERS && page->verdicts[i] != BEHIND)
            continue;
        from[count] = i;
        facts[count++] = page->facts[i];
        project(&page->facts[i], &projection);
    }
    int r = count ? projection_replace(check->db, facts, count, &projection, written, err) : 0;
    projection_clear(&projection);
    for (size_t i = 0; r == 0 && i < count; i++) {
        result->written += written[i];
        if (!written[i])
            page->verdicts[from[i]] = MOVED;
        else if (page->verdicts[from[i]] == BEHIND)
            page->verdicts[from[i]] = SAME;
    }
    return r;
}

/* Counts, and leaves in the page what has to be looked at once more. */
static void settle(struct page *page, struct projection_result *result)
{
    size_t left = 0;
    for (size_t i = 0; i < page->count; i++) {
        result->differ += page->verdicts[i] == DIFFERS;
        result->behind += page->verdicts[i] == BEHIND;
        if (page->verdicts[i] == MOVED)
            page->ids[left++] = page->ids[i];
    }
    page->count = left;
}

static int check_page(const struct projection_check *check, struct page *page, struct projection_result *result,
                      struct err *err)
{
    int r = 0;
    for (int i = 0; r == 0 && page->count > 0 && i < TRIES; i++) {
        size_t count = page->count;
        r = look(check, page, err);
        if (r == 0 && check->rebuild)
            r = replace(check, page, result, err);
        if (r == 0)
            settle(page, result);
        look_clear(page, count);
    }
    result->behind += (int64_t)page->count; /* still moving: the keeper comes to them */
    return r;
}

int projection_check(const struct projection_check *check, struct projection_result *ret, struct err *err)
{
    struct page *page = mem_new(1, sizeof *page);
    struct uuid after = {0};
    size_t count;
    int r, pages = 0;
    *ret = (struct projection_result){0};
    do {
        r = read_ids(check, after, page, err);
        count = r == 0 ? page->count : 0;
        if (count > 0) {
            after = page->ids[count - 1];
            ret->payments += (int64_t)count;
            r = check_page(check, page, ret, err);
        }
        if (check->progress && ++pages % PROGRESS_PAGES == 0)
            check->progress(check->arg, ret->payments);
    } while (r == 0 && count == PAGE);
    free(page);
    return r;
}
