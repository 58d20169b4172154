/* verify_money.c - are the transfers of a payment what its facts book? (book.h) */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"
#include "ledger/book.h"
#include "ledger/verify_internal.h"

enum { REFUSED_MAX = 10 /* refused refunds whose order is tried */ };

static struct verify_place place_of(const struct dossier *dossier, const char *slot)
{
    return (struct verify_place){dossier->id, slot, -1};
}

/* --- what holds whatever the facts say (L8) --- */

static const struct transfer *hold_at(const struct dossier *dossier, const char *slot)
{
    for (size_t i = 0; i < dossier->transfer_count; i++)
        if (strcmp(dossier->transfers[i].slot, slot) == 0 && dossier->transfers[i].leg == 1 &&
            strcmp(dossier->transfers[i].kind, "hold") == 0)
            return &dossier->transfers[i];
    return NULL;
}

static void check_hold(struct verify *verify, const struct dossier *dossier, size_t n)
{
    const struct transfer *t = &dossier->transfers[n], *hold = hold_at(dossier, t->pending_of);
    struct verify_place place = place_of(dossier, t->slot);
    for (size_t i = 0; i < n; i++)
        if (strcmp(dossier->transfers[i].pending_of, t->pending_of) == 0)
            verify_fault(verify, VERIFY_HOLD, place, "the hold of %s is resolved by %s, too (L8)", t->pending_of,
                         dossier->transfers[i].slot);
    if (!hold)
        verify_fault(verify, VERIFY_HOLD, place, "there is no hold of %s to resolve (L8)", t->pending_of);
    else if (strcmp(hold->debit, t->debit) != 0 || strcmp(hold->credit, t->credit) != 0 ||
             strcmp(hold->currency, t->currency) != 0 || t->amount > hold->amount ||
             (strcmp(t->kind, "void") == 0 && t->amount != hold->amount))
        verify_fault(verify, VERIFY_HOLD, place, "it does not fit the hold of %s: accounts, currency or amount (L8)",
                     t->pending_of);
}

void verify_transfers(struct verify *verify, const struct dossier *dossier)
{
    for (size_t i = 0; i < dossier->transfer_count; i++) {
        const struct transfer *t = &dossier->transfers[i];
        uint64_t xid = 0;
        const struct fact *fact = dossier_fact(dossier, t->slot, &xid);
        if (!fact || xid != t->xid)
            verify_fault(verify, VERIFY_TRANSFER, place_of(dossier, t->slot), "transfer %d %s (L8)", t->leg,
                         fact ? "is of another transaction than its fact" : "has no fact");
        if (*t->pending_of)
            check_hold(verify, dossier, i);
    }
}

/* --- what the facts book --- */

static bool is_outcome(const struct fact *fact, const char *outcome)
{
    return strcmp(fact->outcome, outcome) == 0;
}

static int book_approval(const struct payment *p, const struct fact *fact, int n,
                         struct new_transfer ret[static BOOK_LEGS_MAX], struct err *err)
{
    const struct fact *intent = p->authorizations[n].intent;
    if (!is_outcome(fact, "approved"))
        return 0;
    return book_hold(p, n, intent ? json_text(intent->body, "provider", "") : "", fact->slot, ret, err);
}

/* The doubt that put its intent's amount at stake says so. */
static int book_stake(const struct payment *p, const struct fact *fact, int k,
                      struct new_transfer ret[static BOOK_LEGS_MAX], struct err *err)
{
    char intent[SLOT_SIZE];
    if (!json_bool(fact->body, "atStake", false))
        return 0;
    snprintf(intent, sizeof intent, "%.*s", (int)(strstr(fact->slot, ":doubt:") - fact->slot), fact->slot);
    return book_doubt(p, intent, k, ret, err);
}

static int book_fact(const struct payment *p, const struct fact *fact, struct slot slot,
                     struct new_transfer ret[static BOOK_LEGS_MAX], struct err *err)
{
    switch (slot.kind) {
    case SLOT_AUTH_RESULT:
    case SLOT_AUTH_LATE:
        return book_approval(p, fact, slot.n, ret, err);
    case SLOT_CAPTURE:
        return is_outcome(fact, "captured") ? book_capture(p, p->commit, p->captured_amount, ret, err) : 0;
    case SLOT_VOID:
        return book_void(p, slot.n, ret, err);
    case SLOT_REFUND_RESULT:
        return is_outcome(fact, "refunded") ? book_refund(p, slot.n, ret, err) : 0;
    case SLOT_AUTH_DOUBT:
    case SLOT_CAPTURE_DOUBT:
    case SLOT_VOID_DOUBT:
    case SLOT_REFUND_DOUBT:
        return book_stake(p, fact, slot.k, ret, err);
    default:
        return 0;
    }
}

static bool same(const struct new_transfer *wanted, const struct transfer *found)
{
    return wanted->leg == found->leg && wanted->amount == found->amount && strcmp(wanted->kind, found->kind) == 0 &&
           strcmp(wanted->pending_of, found->pending_of) == 0 && strcmp(wanted->debit, found->debit) == 0 &&
           strcmp(wanted->credit, found->credit) == 0 && strcmp(wanted->currency, found->currency) == 0;
}

/* A challenge may be voided before the approval that came too late: then there was no hold yet. */
static bool voided_before_its_hold(const struct payment *p, const struct fact *fact, struct slot slot)
{
    if (slot.kind != SLOT_VOID)
        return false;
    const struct authorization *a = &p->authorizations[slot.n];
    const struct fact *hold = a->approved ? a->result : a->late;
    return hold && hold->seq > fact->seq;
}

static int transfers_of(const struct dossier *dossier, const char *slot, size_t *ret_first)
{
    int count = 0;
    for (size_t i = 0; i < dossier->transfer_count; i++)
        if (strcmp(dossier->transfers[i].slot, slot) == 0 && count++ == 0)
            *ret_first = i;
    return count;
}

static void check_booking(struct verify *verify, const struct dossier *dossier, const struct payment *p, size_t n)
{
    const struct fact *fact = &dossier->facts.items[n];
    struct slot slot = dossier->more[n].slot;
    struct new_transfer wanted[BOOK_LEGS_MAX];
    struct err why = {0};
    size_t first = 0;
    int found = transfers_of(dossier, fact->slot, &first), count = book_fact(p, fact, slot, wanted, &why);
    struct verify_place place = place_of(dossier, fact->slot);
    if (count < 0) {
        verify_fault(verify, VERIFY_BOOKING, place, "%s", why.text);
        return;
    }
    if (found == 0 && count > 0 && voided_before_its_hold(p, fact, slot))
        return;
    if (found != count)
        verify_fault(verify, VERIFY_BOOKING, place, "it books %d transfers, and there are %d", count, found);
    for (int i = 0; i < count && i < found; i++) {
        const struct transfer *t = &dossier->transfers[first + (size_t)i];
        if (!same(&wanted[i], t))
            verify_fault(verify, VERIFY_BOOKING, place,
                         "it books a %s of %" PRId64 " from %s to %s, and there is a %s of %" PRId64 " from %s to %s",
                         wanted[i].kind, wanted[i].amount, wanted[i].debit, wanted[i].credit, t->kind, t->amount,
                         t->debit, t->credit);
    }
}

/* --- refunds' shares of the commission --- */

static bool is_refused(const struct refund *r)
{
    return r->result && strcmp(r->result->outcome, "refused") == 0;
}

/* Would intent n carry this, if of the refused refunds before it those of `known` were refused already? */
static bool share_fits(const struct payment *p, int n, unsigned known)
{
    struct payment before = *p;
    struct refund_share share;
    const struct refund *r = &p->refunds[n];
    int refused = 0;
    before.refund_count = n - 1;
    before.refunds = mem_new((size_t)n, sizeof *before.refunds);
    for (int i = 1; i < n; i++) {
        before.refunds[i] = p->refunds[i];
        if (is_refused(&p->refunds[i]) && !(known >> refused++ & 1))
            before.refunds[i].result = NULL;
    }
    bool fits = book_refund_share(&before, r->amount, &share, NULL) == 0 &&
                share.total == json_int(r->intent->body, "total", -1) &&
                share.commission == json_int(r->intent->body, "commission", -1);
    free(before.refunds);
    return fits;
}

/* Which refusals the winner of refund:N knew is not recorded: it must be right for some of them. */
static void check_share(struct verify *verify, const struct dossier *dossier, const struct payment *p, int n)
{
    int refused = 0;
    for (int i = 1; i < n; i++)
        refused += is_refused(&p->refunds[i]);
    if (refused > REFUSED_MAX)
        return;
    for (unsigned known = 0; known < 1U << refused; known++)
        if (share_fits(p, n, known))
            return;
    verify_fault(verify, VERIFY_SHARE, place_of(dossier, p->refunds[n].intent->slot),
                 "its total or its share of the commission is not what book.h gives");
}

void verify_bookings(struct verify *verify, const struct dossier *dossier, const struct payment *payment)
{
    for (size_t i = 0; i < dossier->facts.count; i++)
        check_booking(verify, dossier, payment, i);
    for (int n = 1; n <= payment->refund_count; n++)
        if (payment->refunds[n].accepted)
            check_share(verify, dossier, payment, n);
}
