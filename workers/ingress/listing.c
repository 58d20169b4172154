/* listing.c - a publisher's payments, a page at a time, from the projections (ledger/projection.h)
 *
 * The list is what the keeper has made of the facts, normally within a second; a single payment is always read from its facts.
 */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/money.h"
#include "ledger/projection.h"
#include "workers/ingress/handlers.h"
#include "workers/ingress/params.h"
#include "workers/ingress/views.h"

struct listing {
    struct projection_filter filter;
    int64_t limit; /* rows wanted; one more is read, so that a last page is known as the last */
};

static bool known_state(const char *text)
{
    for (int i = 0; i < PUBLIC_STATE_COUNT; i++)
        if (strcmp(public_state_text((enum public_state)i), text) == 0)
            return true;
    return false;
}

static void read_time(struct request *request, const char *name, int64_t *ret_ms, struct answer *answer)
{
    const char *text = request_query(request, name);
    if (text && clock_parse_day(text, ret_ms) < 0)
        answer_invalid(answer, name, "is no time; write one like 2026-11-20T10:00:00Z, or a day like 2026-11-20");
}

static struct answer read_listing(struct request *request, struct listing *ret)
{
    struct answer answer = {0};
    struct err err = {0};
    *ret = (struct listing){.filter = {.publisher = visit_of(request)->publisher->name,
                                       .status = request_query(request, "state"),
                                       .provider = request_query(request, "gateway"),
                                       .currency = request_query(request, "currency"),
                                       .merchant = request_query(request, "merchant"),
                                       .reference_type = request_query(request, "referenceType"),
                                       .reference_id = request_query(request, "referenceId")}};
    if (params_int(request_query(request, "limit"), LIST_LIMIT_DEFAULT, 1, PROJECTION_LIST_MAX, &ret->limit, &err) < 0)
        answer_invalid(&answer, "limit", "%s", err.text);
    err_clear(&err);
    const char *cursor = request_query(request, "cursor");
    if (cursor && projection_place_parse(cursor, &ret->filter.before_ms, &ret->filter.before_seq) < 0)
        answer_invalid(&answer, "cursor", "take it from nextCursor of the page before");
    if (ret->filter.currency && !currency_find(ret->filter.currency))
        answer_invalid(&answer, "currency", "is no ISO 4217 code; write one like EUR, in capitals");
    if (ret->filter.status && !known_state(ret->filter.status))
        answer_invalid(&answer, "state", "is no state of a payment; see /openapi.json");
    read_time(request, "from", &ret->filter.from_ms, &answer);
    read_time(request, "to", &ret->filter.to_ms, &answer);
    return answer;
}

/* Rows without the one that only says that there is more; its place is behind the last that is shown. */
static json_t *page_of(const json_t *rows, size_t limit)
{
    json_t *payments = json_array();
    char cursor[PROJECTION_PLACE_SIZE] = "";
    for (size_t i = 0; i < json_array_size(rows) && i < limit; i++) {
        const json_t *row = json_array_get(rows, i);
        json_array_append_new(payments, view_listed(row));
        if (i + 1 == limit && json_array_size(rows) > limit)
            projection_place(row, cursor);
    }
    return json_pack("{s:o, s:s?}", "payments", payments, "nextCursor", *cursor ? cursor : NULL);
}

void payment_list(struct ingress *ingress, struct request *request)
{
    struct listing listing;
    struct err err = {0};
    struct answer refusal = read_listing(request, &listing);
    if (refusal.status) {
        request_answer(request, refusal);
        return;
    }
    listing.filter.limit = (int)listing.limit + 1;
    json_auto_t *rows = projection_list(ingress->db, &listing.filter, &err);
    if (rows)
        request_answer(request,
                       answer_success(200, "Your payments, newest first", page_of(rows, (size_t)listing.limit)));
    else
        request_answer(request, ledger_failure(&err));
}
