/* cases.c - see cases.h */
#include "ledger/cases.h"

#include <stdio.h>
#include <string.h>

#include "common/json.h"

enum { NUMBER_SIZE = 24 };

/* Which intent a slot is about. */
static enum slot_kind intent_of(enum slot_kind kind)
{
    static const struct {
        enum slot_kind kind, intent;
    } rows[] = {
        {SLOT_AUTH, SLOT_AUTH},           {SLOT_AUTH_RESULT, SLOT_AUTH},      {SLOT_AUTH_DOUBT, SLOT_AUTH},
        {SLOT_CAPTURE, SLOT_CAPTURE},     {SLOT_CAPTURE_DOUBT, SLOT_CAPTURE}, {SLOT_VOID, SLOT_VOID},
        {SLOT_VOID_DOUBT, SLOT_VOID},     {SLOT_REFUND, SLOT_REFUND},         {SLOT_REFUND_RESULT, SLOT_REFUND},
        {SLOT_REFUND_DOUBT, SLOT_REFUND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].kind == kind)
            return rows[i].intent;
    return SLOT_UNKNOWN;
}

static void name_slots(struct payment_case *c, const char *intent, const char *result)
{
    snprintf(c->name, sizeof c->name, "%s", intent);
    snprintf(c->result, sizeof c->result, "%s%s", intent, result);
}

static void find_authorization(const struct payment *p, struct payment_case *c)
{
    char intent[SLOT_SIZE];
    const struct authorization *a = &p->authorizations[c->intent.n];
    snprintf(intent, sizeof intent, "auth:%d", c->intent.n);
    name_slots(c, intent, ":result");
    c->authorization = c->intent.n;
    c->body = a->intent ? a->intent->body : NULL;
    c->answer = a->result;
    c->doubt = a->last_doubt;
    c->doubts = a->doubts;
}

static void find_capture(const struct payment *p, struct payment_case *c)
{
    name_slots(c, "capture", "");
    c->authorization = p->commit;
    c->body = p->decision ? p->decision->body : NULL;
    c->answer = p->capture;
    c->doubt = p->last_capture_doubt;
    c->doubts = p->capture_doubts;
}

static void find_void(const struct payment *p, struct payment_case *c)
{
    char intent[SLOT_SIZE];
    const struct authorization *a = &p->authorizations[c->intent.n];
    snprintf(intent, sizeof intent, "void:%d", c->intent.n);
    name_slots(c, intent, "");
    c->authorization = c->intent.n;
    c->answer = a->voided;
    c->doubt = a->last_void_doubt;
    c->doubts = a->void_doubts;
}

static void find_refund(const struct payment *p, struct payment_case *c)
{
    char intent[SLOT_SIZE];
    const struct refund *r = c->intent.n <= p->refund_count ? &p->refunds[c->intent.n] : NULL;
    snprintf(intent, sizeof intent, "refund:%d", c->intent.n);
    name_slots(c, intent, ":result");
    c->authorization = p->commit;
    if (!r)
        return;
    c->body = r->intent ? r->intent->body : NULL;
    c->answer = r->result;
    c->doubt = r->last_doubt;
    c->doubts = r->doubts;
}

int case_find(const struct payment *payment, const char *slot, struct payment_case *ret, struct err *err)
{
    struct slot parsed = slot_parse(slot);
    *ret = (struct payment_case){.intent = {.kind = intent_of(parsed.kind), .n = parsed.n}};
    if (ret->intent.kind == SLOT_AUTH)
        find_authorization(payment, ret);
    else if (ret->intent.kind == SLOT_CAPTURE)
        find_capture(payment, ret);
    else if (ret->intent.kind == SLOT_VOID)
        find_void(payment, ret);
    else if (ret->intent.kind == SLOT_REFUND)
        find_refund(payment, ret);
    else
        return err_set(err, ERR_INVALID,
                       "slot: must be that of a call to a provider: auth:N, capture, void:N, refund:N");
    if (!ret->doubt)
        return err_set(err, ERR_NOT_FOUND, "slot: nothing is in doubt about %s", ret->name);
    return 0;
}

static const struct {
    enum slot_kind intent;
    const char *outcome;
    bool negative;
} outcomes[] = {
    {SLOT_AUTH, "approved", false},   {SLOT_AUTH, "declined", true},     {SLOT_AUTH, "cancelled", true},
    {SLOT_AUTH, "absent", true},      {SLOT_CAPTURE, "captured", false}, {SLOT_CAPTURE, "refused", true},
    {SLOT_VOID, "voided", false},     {SLOT_VOID, "expired", false},     {SLOT_VOID, "nothing", false},
    {SLOT_REFUND, "refunded", false}, {SLOT_REFUND, "refused", true},
};

int case_outcome(const struct payment_case *found, const char *outcome, bool *ret_negative, struct err *err)
{
    char list[64] = "";
    for (size_t i = 0, used = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        if (outcomes[i].intent != found->intent.kind)
            continue;
        if (strcmp(outcomes[i].outcome, outcome) == 0) {
            *ret_negative = outcomes[i].negative;
            return 0;
        }
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", outcomes[i].outcome);
    }
    return err_set(err, ERR_INVALID, "as: of %s may be said: %s", found->name, list);
}

#define TIME(column) "to_char(" column " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

json_t *cases_read(struct db *db, int64_t age_ms, const char *provider, int limit, struct err *err)
{
    char age[NUMBER_SIZE], most[NUMBER_SIZE];
    const char *params[] = {age, provider, most};
    if (limit < 1 || limit > CASES_LIMIT_MAX) {
        err_set(err, ERR_INVALID, "a list has 1 to %d rows", CASES_LIMIT_MAX);
        return NULL;
    }
    snprintf(age, sizeof age, "%lld", (long long)age_ms);
    snprintf(most, sizeof most, "%d", limit);
    struct db_result *rows = db_query(
        db,
        "select jsonb_build_object('paymentId', d.payment_id, 'intent', d.intent, 'slot', d.intent ||"
        " case when d.intent ~ '^(auth|refund):' then ':result' else '' end, 'provider', d.provider, 'amount', "
        "d.amount,"
        " 'currency', d.currency, 'since', " TIME(
            "d.since") ", 'ageMs',"
                       " floor(extract(epoch from clock_timestamp() - d.since) * 1000)::bigint, 'questions', "
                       "k.questions, 'lastAt', " TIME(
                           "k.at") ", 'lastCode', k.body->>'code', 'lastMessage', k.body->>'message', 'publisher', "
                                   "r.body->>'publisher')"
                                   " from ledger.in_doubt d join lateral (select at, body, count(*) over () as "
                                   "questions from ledger.event e"
                                   " where e.payment_id = d.payment_id and e.slot like d.intent || ':doubt:%' order by "
                                   "seq desc limit 1) as k on true"
                                   " left join ledger.event r on r.payment_id = d.payment_id and r.slot = 'received'"
                                   " where d.since <= clock_timestamp() - $1::bigint * interval '1 millisecond'"
                                   " and ($2::text is null or d.provider = $2::text) order by d.since, d.payment_id, "
                                   "d.intent limit $3::int",
        3, params, err);
    json_t *list = rows ? json_array() : NULL;
    for (int row = 0; rows && row < db_rows(rows); row++) {
        const char *text = db_value(rows, row, 0);
        json_t *one = json_decode(text, strlen(text), err);
        if (!one) {
            json_decref(list);
            list = NULL;
            break;
        }
        json_array_append_new(list, one);
    }
    db_result_free(rows);
    return list;
}
