/* listing.c - a publisher's payments, a page at a time
 *
 * The state of a payment is derived from its facts, so a list of one state is filtered after they were read: at most
 * LIST_PAGES_MAX pages of the ledger are looked through for one answer, and its cursor goes on from there, also when it
 * holds nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/money.h"
#include "ledger/read.h"
#include "workers/ingress/handlers.h"
#include "workers/ingress/params.h"
#include "workers/ingress/views.h"

enum { LIST_PAGES_MAX = 10 };

struct listing {
    struct read_filter filter;
    const char *state; /* NULL: any */
    int64_t limit;
    json_t *payments;
    int64_t cursor; /* of the last payment that was looked at */
    bool more;
};

static bool known_state(const char *text)
{
    for (int i = 0; i < PUBLIC_STATE_COUNT; i++)
        if (strcmp(public_state_text((enum public_state)i), text) == 0)
            return true;
    return false;
}

static struct answer read_listing(struct request *request, struct listing *ret)
{
    struct answer answer = {0};
    struct err err = {0};
    *ret = (struct listing){.filter = {.publisher = visit_of(request)->publisher->name,
                                       .currency = request_query(request, "currency"),
                                       .merchant = request_query(request, "merchant"),
                                       .reference_type = request_query(request, "referenceType"),
                                       .reference_id = request_query(request, "referenceId")},
                            .state = request_query(request, "state")};
    if (params_int(request_query(request, "limit"), LIST_LIMIT_DEFAULT, 1, READ_PAGE_MAX, &ret->limit, &err) < 0)
        answer_invalid(&answer, "limit", "%s", err.text);
    err_clear(&err);
    if (params_int(request_query(request, "cursor"), 0, 0, INT64_MAX, &ret->filter.before_seq, &err) < 0)
        answer_invalid(&answer, "cursor", "take it from nextCursor of the page before");
    if (ret->filter.currency && !currency_find(ret->filter.currency))
        answer_invalid(&answer, "currency", "is no ISO 4217 code; write one like EUR, in capitals");
    if (ret->state && !known_state(ret->state))
        answer_invalid(&answer, "state", "is no state of a payment; see /openapi.json");
    return answer;
}

/* Adds what fits of one page. False once the list is full. */
static bool list_page(struct listing *listing, const struct facts *facts, const int64_t *seqs, int count,
                      struct err *err)
{
    for (int i = 0; i < count; i++) {
        if ((int64_t)json_array_size(listing->payments) == listing->limit) {
            listing->more = true;
            return false;
        }
        struct payment payment;
        if (saga_fold(&facts[i], &payment, err) == 0 &&
            (!listing->state || strcmp(public_state_text(payment.public), listing->state) == 0))
            json_array_append_new(listing->payments, view_summary(&facts[i], &payment));
        payment_clear(&payment);
        listing->cursor = seqs[i];
        if (err->code)
            return false;
    }
    return true;
}

/* One page of the ledger. 1: there may be more to read, 0: enough, -1: failed. */
static int read_list_page(struct ingress *ingress, struct listing *listing, struct err *err)
{
    struct uuid ids[READ_PAGE_MAX];
    int64_t seqs[READ_PAGE_MAX];
    int count = read_payment_ids(ingress->db, &listing->filter, ids, seqs, err);
    if (count <= 0)
        return count;
    struct facts *facts = mem_new((size_t)count, sizeof *facts);
    int r = read_facts(ingress->db, ids, (size_t)count, facts, err);
    bool goes_on = r == 0 && list_page(listing, facts, seqs, count, err);
    for (int i = 0; i < count; i++)
        facts_clear(&facts[i]);
    free(facts);
    if (err->code)
        return -1;
    listing->filter.before_seq = seqs[count - 1];
    listing->more = listing->more || (goes_on && count == listing->filter.limit);
    return goes_on && count == listing->filter.limit;
}

static int read_list(struct ingress *ingress, struct listing *listing, struct err *err)
{
    /* One more than asked for, so that a last page is known as the last. */
    listing->filter.limit = listing->state || listing->limit == READ_PAGE_MAX ? READ_PAGE_MAX : (int)listing->limit + 1;
    listing->payments = json_array();
    int r = 1;
    for (int page = 0; page < LIST_PAGES_MAX && r > 0; page++) {
        listing->more = false;
        r = read_list_page(ingress, listing, err);
    }
    return r;
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
    if (read_list(ingress, &listing, &err) < 0) {
        json_decref(listing.payments);
        request_answer(request, ledger_failure(&err));
        return;
    }
    char cursor[24];
    snprintf(cursor, sizeof cursor, "%lld", (long long)listing.cursor);
    json_t *data = json_pack("{s:o, s:s?}", "payments", listing.payments, "nextCursor", listing.more ? cursor : NULL);
    request_answer(request, answer_success(200, "Your payments, newest first", data));
}
