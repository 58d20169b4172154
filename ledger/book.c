/* book.c - which transfers a fact of a payment books (L8); book.h has the table
 *
 * Accounts are those of chart.h. Whose, and amounts, come from the facts: merchant and commission from `received`, the
 * provider from the intent auth:N, the captured amount from `capture`, a refund's from its intent.
 */
#include "ledger/book.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "common/money.h"

static const char *fact_text(const struct fact *fact, const char *key)
{
    return fact ? json_text(fact->body, key, "") : "";
}

static int64_t fact_int(const struct fact *fact, const char *key, int64_t fallback)
{
    return fact ? json_int(fact->body, key, fallback) : fallback;
}

static const struct authorization *authorization(const struct payment *p, int n)
{
    return n >= 1 && n <= AUTHORIZATIONS_MAX ? &p->authorizations[n] : NULL;
}

/* The two accounts that a payment moves between, and its currency; the caller fills in the rest. */
static int start(const struct payment *p, const char *provider, const char *slot, struct new_transfer *ret,
                 struct err *err)
{
    *ret = (struct new_transfer){.payment_id = p->id, .leg = 1};
    if (!p->received)
        return err_set(err, ERR_INTERNAL, "%s of a payment that was never received", slot);
    snprintf(ret->slot, sizeof ret->slot, "%s", slot);
    snprintf(ret->currency, sizeof ret->currency, "%s", p->currency);
    if (chart_name("receivable", provider, ret->debit, err) != 0)
        return -1;
    return chart_name("payable", fact_text(p->received, "merchant"), ret->credit, err);
}

static void kind_and_amount(struct new_transfer *t, const char *kind, int64_t amount)
{
    snprintf(t->kind, sizeof t->kind, "%s", kind);
    t->amount = amount;
}

static void turn_around(struct new_transfer *t)
{
    char debit[ACCOUNT_SIZE];
    memcpy(debit, t->debit, sizeof debit);
    memcpy(t->debit, t->credit, sizeof t->debit);
    memcpy(t->credit, debit, sizeof t->credit);
}

/* Leg 2 beside `first`: commission taken from the merchant, or given back. Returns the count of legs. */
static int with_commission(const struct new_transfer *first, const char *merchant, int64_t commission, bool back,
                           struct new_transfer *ret, struct err *err)
{
    if (commission == 0)
        return 1;
    *ret = *first;
    ret->leg = 2;
    ret->pending_of[0] = '\0';
    kind_and_amount(ret, "transfer", commission);
    snprintf(ret->debit, sizeof ret->debit, "%s", merchant);
    if (chart_name("commission", NULL, ret->credit, err) != 0)
        return -1;
    if (back)
        turn_around(ret);
    return 2;
}

int book_hold(const struct payment *p, int n, const char *provider, const char *slot,
              struct new_transfer ret[static BOOK_LEGS_MAX], struct err *err)
{
    struct slot parsed = slot_parse(slot);
    if ((parsed.kind != SLOT_AUTH_RESULT && parsed.kind != SLOT_AUTH_LATE) || parsed.n != n)
        return err_set(err, ERR_INTERNAL, "slot %s books no hold of authorization %d", slot, n);
    if (start(p, provider, slot, ret, err) != 0)
        return -1;
    kind_and_amount(ret, "hold", p->amount);
    return 1;
}

/* Posts or voids the hold that stands at `hold`. */
static int resolve(const struct payment *p, int n, const char *slot, const struct fact *hold, struct new_transfer *ret,
                   struct err *err)
{
    if (!hold)
        return err_set(err, ERR_INTERNAL, "%s of authorization %d, which has no hold", slot, n);
    if (start(p, fact_text(authorization(p, n)->intent, "provider"), slot, ret, err) != 0)
        return -1;
    memcpy(ret->pending_of, hold->slot, sizeof ret->pending_of);
    return 0;
}

/* The fact that booked authorization n's hold: the approval, or a late one. */
static const struct fact *hold_of(const struct payment *p, int n)
{
    const struct authorization *a = authorization(p, n);
    if (!a)
        return NULL;
    return a->approved ? a->result : a->late;
}

/* Our share of what was captured: the whole of which refunds give back. */
static int commission_of(const struct payment *p, int64_t captured, int64_t *ret, struct err *err)
{
    int64_t ppm = fact_int(p->received, "commissionPpm", 0);
    if (ppm < 0 || ppm > MONEY_PPM)
        return err_set(err, ERR_INTERNAL, "a commission of %lld parts per million", (long long)ppm);
    *ret = money_share(captured, ppm);
    return 0;
}

int book_capture(const struct payment *p, int n, int64_t captured, struct new_transfer ret[static BOOK_LEGS_MAX],
                 struct err *err)
{
    if (captured <= 0 || captured > p->amount)
        return err_set(err, ERR_INTERNAL, "a capture of %lld on a hold of %lld", (long long)captured,
                       (long long)p->amount);
    if (resolve(p, n, "capture", hold_of(p, n), ret, err) != 0)
        return -1;
    kind_and_amount(ret, "post", captured);
    int64_t commission = 0;
    if (commission_of(p, captured, &commission, err) != 0)
        return -1;
    return with_commission(ret, ret->credit, commission, false, ret + 1, err);
}

int book_void(const struct payment *p, int n, struct new_transfer ret[static BOOK_LEGS_MAX], struct err *err)
{
    char slot[SLOT_SIZE];
    const struct fact *hold = hold_of(p, n);
    if (!hold)
        return 0;
    snprintf(slot, sizeof slot, "void:%d", n);
    if (resolve(p, n, slot, hold, ret, err) != 0)
        return -1;
    kind_and_amount(ret, "void", p->amount);
    return 1;
}

/* Accepted and not refused by the provider: nobody else may have its money, nor its share of the commission. */
static bool counts(const struct refund *r)
{
    return r->accepted && !(r->result && strcmp(r->result->outcome, "refused") == 0);
}

/* What the refunds that count have taken of the capture, and given back of the commission. */
static int taken_by_refunds(const struct payment *p, int64_t *ret_total, int64_t *ret_given, struct err *err)
{
    *ret_total = *ret_given = 0;
    for (int i = 1; i <= p->refund_count; i++) {
        if (!counts(&p->refunds[i]))
            continue;
        int64_t commission = fact_int(p->refunds[i].intent, "commission", 0);
        if (commission < 0 || p->refunds[i].amount < 0)
            return err_set(err, ERR_INTERNAL, "refund %d has a negative amount", i);
        if (money_add(*ret_given, commission, ret_given, err) != 0 ||
            money_add(*ret_total, p->refunds[i].amount, ret_total, err) != 0)
            return -1;
    }
    return 0;
}

int book_refund_share(const struct payment *p, int64_t amount, struct refund_share *ret, struct err *err)
{
    int64_t captured = p->captured_amount, given = 0, total = 0, commission = 0;
    if (captured <= 0 || amount <= 0)
        return err_set(err, ERR_INVALID, "a refund of %lld on a capture of %lld", (long long)amount,
                       (long long)captured);
    if (taken_by_refunds(p, &total, &given, err) != 0 || money_add(total, amount, &total, err) != 0)
        return -1;
    if (total > captured)
        return err_set(err, ERR_LIMIT, "%lld would be refunded of a capture of %lld", (long long)total,
                       (long long)captured);
    if (commission_of(p, captured, &commission, err) != 0)
        return -1;
    int64_t due = money_portion(commission, total, captured);
    *ret = (struct refund_share){.total = total, .commission = due > given ? due - given : 0};
    return 0;
}

int book_refund(const struct payment *p, int n, struct new_transfer ret[static BOOK_LEGS_MAX], struct err *err)
{
    char slot[SLOT_SIZE];
    if (n < 1 || n > p->refund_count || !p->refunds[n].accepted || !p->captured)
        return err_set(err, ERR_INTERNAL, "refund %d was not accepted", n);
    const struct refund *refund = &p->refunds[n];
    int64_t commission = fact_int(refund->intent, "commission", -1);
    if (commission < 0 || refund->amount <= 0)
        return err_set(err, ERR_INTERNAL, "the intent of refund %d lacks its amount or its commission", n);
    snprintf(slot, sizeof slot, "refund:%d:result", n);
    if (start(p, fact_text(authorization(p, p->commit)->intent, "provider"), slot, ret, err) != 0)
        return -1;
    kind_and_amount(ret, "transfer", refund->amount);
    turn_around(ret);
    return with_commission(ret, ret->debit, commission, true, ret + 1, err);
}

/* The authorization whose provider the intent concerns, and the amount at stake. */
static int stake_of(const struct payment *p, const struct slot *intent, int64_t *ret_amount)
{
    switch (intent->kind) {
    case SLOT_AUTH:
    case SLOT_VOID:
        *ret_amount = p->amount;
        return intent->n;
    case SLOT_CAPTURE:
        *ret_amount = p->amount;
        return p->commit;
    case SLOT_REFUND:
        *ret_amount = intent->n <= p->refund_count ? p->refunds[intent->n].amount : 0;
        return p->commit;
    default:
        *ret_amount = 0;
        return 0;
    }
}

int book_doubt(const struct payment *p, const char *intent, int k, struct new_transfer ret[static BOOK_LEGS_MAX],
               struct err *err)
{
    char slot[SLOT_SIZE];
    int64_t amount;
    struct slot parsed = slot_parse(intent);
    const struct authorization *a = authorization(p, stake_of(p, &parsed, &amount));
    if (!a || amount <= 0 || snprintf(slot, sizeof slot, "%s:doubt:%d", intent, k) >= SLOT_SIZE)
        return err_set(err, ERR_INTERNAL, "nothing is at stake with %s", intent);
    const char *provider = fact_text(a->intent, "provider");
    if (start(p, provider, slot, ret, err) != 0 || chart_name("in_doubt", provider, ret->debit, err) != 0 ||
        chart_name("receivable", provider, ret->credit, err) != 0)
        return -1;
    kind_and_amount(ret, "in_doubt", amount);
    return 1;
}

const char *book_doubt_answer(const char *doubt, char ret[static SLOT_SIZE])
{
    const char *end = strstr(doubt, ":doubt:");
    int length = end ? (int)(end - doubt) : 0;
    bool has_result = strncmp(doubt, "auth:", 5) == 0 || strncmp(doubt, "refund:", 7) == 0;
    snprintf(ret, SLOT_SIZE, "%.*s%s", length, doubt, end && has_result ? ":result" : "");
    return ret;
}
