/* oracle.c - is everything as it must be, once the world has come to rest? */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/json.h"
#include "ledger/saga_internal.h"
#include "tests/simulate/simulate.h"

static char text[1024];
static const char *const providers[] = {"alpha", "beta"};

static PRINTF_LIKE(2, 3) bool wrong(struct uuid payment, const char *fmt, ...)
{
    char id[UUID_TEXT_SIZE], what[640];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    uuid_format(payment, id);
    const struct wish *wish = wish_find(payment);
    snprintf(text, sizeof text, "payment %d (%s): %s", wish ? (int)(wish - wishes) : -1, id, what);
    return false;
}

/* --- has it ended? --- */

static bool has_ended(struct uuid id)
{
    struct facts facts;
    struct payment payment;
    struct err err = {0};
    database_facts(id, &facts);
    bool folded = saga_fold(&facts, &payment, &err) == 0;
    bool ended = !payment.received || (folded && payment.ended && !saga_needs_something(&facts, &payment));
    payment_clear(&payment);
    facts_clear(&facts);
    return ended;
}

static size_t last; /* payment that was found not to be at its end; it is asked first */

void oracle_start(void)
{
    last = 0;
}

bool oracle_all_ended(void)
{
    size_t count = database_payment_count();
    for (size_t i = 0; i < count; i++) {
        size_t at = (last + i) % count;
        if (has_ended(database_payment(at)))
            continue;
        last = at;
        return false;
    }
    return true;
}

/* --- money --- */

static bool judge_provider(const struct payment *p, const char *provider)
{
    struct gateway_money theirs = gateway_money(p->id, provider);
    struct ledger_money ours = database_money(p->id, provider);
    if (theirs.live)
        return wrong(p->id, "%s still holds the customer's money", provider);
    if (ours.held)
        return wrong(p->id, "the ledger still has a hold of %lld at %s", (long long)ours.held, provider);
    if (theirs.captured - theirs.refunded != ours.receivable)
        return wrong(p->id, "%s has %lld of the customer's, the ledger says %lld", provider,
                     (long long)(theirs.captured - theirs.refunded), (long long)ours.receivable);
    return true;
}

static bool judge_money(const struct payment *p)
{
    int64_t net = 0;
    int captures = 0;
    for (size_t i = 0; i < sizeof providers / sizeof *providers; i++) {
        if (!judge_provider(p, providers[i]))
            return false;
        struct gateway_money theirs = gateway_money(p->id, providers[i]);
        net += theirs.captured - theirs.refunded;
        captures += theirs.captures;
    }
    if (captures > 1)
        return wrong(p->id, "charged %d times", captures);
    if (p->state != SAGA_COMPLETED && net != 0)
        return wrong(p->id, "%s, and charged %lld", public_state_text(p->public), (long long)net);
    if (p->state == SAGA_COMPLETED && net != p->captured_amount - p->refunded)
        return wrong(p->id, "charged %lld, and %lld is said", (long long)net,
                     (long long)(p->captured_amount - p->refunded));
    return true;
}

/* --- purchase --- */

static bool judge_purchase(const struct payment *p)
{
    enum token_state token = purchase_token(p->id);
    enum proof_state proof = purchase_proof(p->id);
    if (p->flow != FLOW_DUAL)
        return true;
    if (p->state == SAGA_COMPLETED && !given_back(p)) {
        if (token != TOKEN_ACTIVE)
            return wrong(p->id, "completed, and the tokens are not active (%d)", (int)token);
        if (proof != PROOF_COMMITTED)
            return wrong(p->id, "completed, and the validators do not know (%d)", (int)proof);
        return true;
    }
    if (token != TOKEN_RELEASED && token != TOKEN_DEACTIVATED)
        return wrong(p->id, "%s, and the tokens were not given back (%d)", public_state_text(p->public), (int)token);
    if (proof != PROOF_REVOKED)
        return wrong(p->id, "%s, and the proof was not taken back (%d)", public_state_text(p->public), (int)proof);
    return true;
}

/* --- what was said --- */

static bool judge_told(const struct payment *p, const struct wish *wish)
{
    unsigned expected = p->state == SAGA_COMPLETED      ? TOLD_COMPLETED
                        : p->public == PUBLIC_CANCELLED ? TOLD_CANCELLED
                                                        : TOLD_FAILED;
    if (wish->told != expected)
        return wrong(p->id, "%s, and its publisher was told %s%s%s", public_state_text(p->public),
                     wish->told & TOLD_COMPLETED ? "completed " : "", wish->told & TOLD_FAILED ? "failed " : "",
                     wish->told & TOLD_CANCELLED ? "cancelled" : "");
    return true;
}

/* --- who refuses decides, at once (L7) --- */

static bool is_last_refusal(const struct payment *p, const struct fact *fact)
{
    struct slot slot = slot_parse(fact->slot);
    const json_t *routes = json_object_get(p->received->body, "routes");
    switch (slot.kind) {
    case SLOT_TOKEN_RESERVED:
        return strcmp(fact->outcome, "refused") == 0;
    case SLOT_POP:
        return strcmp(fact->outcome, "rejected") == 0;
    case SLOT_AUTH_RESULT:
        return strcmp(fact->outcome, "approved") != 0 && (size_t)slot.n == json_array_size(routes);
    default:
        return false;
    }
}

/* The death of a command that was to bring an undecided payment on. */
static bool is_last_death(const struct payment *p, const struct fact *fact)
{
    static const char *const types[] = {"payment.create",    "authorize.start", "authorize.resolve",
                                        "authorize.capture", "pop.validate",    "token.reserve"};
    const char *reason = json_text(fact->body, "reason", "");
    bool of_another_body =
        strcmp(fact->outcome, "payment.create") == 0 && json_bool(fact->body, "held", false); /* L10 */
    if (slot_parse(fact->slot).kind != SLOT_DEAD || fact->seq < p->received->seq || of_another_body ||
        (strcmp(reason, "exhausted") != 0 && strcmp(reason, "crash_loop") != 0))
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i], fact->outcome) == 0)
            return true;
    return false;
}

static bool judge_decision(const struct facts *facts, const struct payment *p)
{
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        if (fact->seq < p->decision->seq && !uuid_equal(fact->cause, p->decision->cause) &&
            (is_last_refusal(p, fact) || is_last_death(p, fact)))
            return wrong(p->id, "%s=%s did not decide (L7)", fact->slot, fact->outcome);
        if (strcmp(fact->slot, "auth:1") == 0 && fact->seq > p->decision->seq && strcmp(fact->outcome, "intent") == 0)
            return wrong(p->id, "an authorization began after the decision (L7)");
    }
    return true;
}

/* --- every publish is accounted for --- */

static bool has_letter(struct uuid command)
{
    for (size_t i = 0; i < database_letter_count(); i++)
        if (uuid_equal(database_letter(i)->command_id, command))
            return true;
    return false;
}

static bool is_accounted(struct uuid command, bool wiped)
{
    return uuid_is_nil(command) || wiped || database_has_command(command) || has_letter(command);
}

/* Of another body than `letter` the archive has a letter, too: one of the two died before it was looked at, and that is where it is told. */
static bool has_other_body(const struct ledger_letter *letter)
{
    for (size_t i = 0; i < database_letter_count(); i++)
        if (uuid_equal(database_letter(i)->command_id, letter->command_id) &&
            strcmp(database_letter(i)->body_sha256, letter->body_sha256) != 0)
            return true;
    return false;
}

static bool had_conflict(const struct wish *wish)
{
    for (size_t i = 0; i < database_letter_count(); i++) {
        const struct ledger_letter *letter = database_letter(i);
        if (uuid_equal(letter->command_id, wish->create) &&
            (strcmp(letter->reason, "idempotency_conflict") == 0 || has_other_body(letter)))
            return true;
    }
    return wish->create_wiped;
}

static bool judge_commands(const struct wish *wish)
{
    if (!is_accounted(wish->create, wish->create_wiped))
        return wrong(wish->id, "payment.create has vanished");
    if (wish->conflict && !had_conflict(wish))
        return wrong(wish->id, "two bodies under one key, and nobody was told (L10)");
    if (!is_accounted(wish->cancel, wish->cancel_wiped))
        return wrong(wish->id, "payment.cancel has vanished");
    for (int n = 0; n < REFUNDS_EACH; n++)
        if (!is_accounted(wish->refunds[n], wish->refund_wiped[n]))
            return wrong(wish->id, "payment.refund %d has vanished", n);
    return true;
}

/* One command, one refund. */
static bool judge_refunds(const struct payment *p)
{
    for (int n = 1; n <= p->refund_count; n++)
        for (int k = 1; k < n; k++)
            if (uuid_equal(p->refunds[n].intent->cause, p->refunds[k].intent->cause))
                return wrong(p->id, "refunds %d and %d are of one command", k, n);
    return true;
}

static bool judge_folded(const struct facts *facts, const struct payment *p, const struct wish *wish)
{
    if (!p->received)
        return true;
    if (!p->ended || saga_needs_something(facts, p))
        return wrong(p->id, "has not come to its end: %s", saga_state_text(p->state));
    if (p->state == SAGA_UNCAPTURED_ENDED && !wish->may_fail_to_capture)
        return wrong(p->id, "the capture was refused, and nobody but us gave a reason to");
    return judge_decision(facts, p) && judge_money(p) && judge_purchase(p) && judge_refunds(p) && judge_told(p, wish);
}

static bool judge(struct wish *wish)
{
    struct facts facts;
    struct payment payment;
    struct err err = {0};
    if (wish->left_out)
        return true;
    database_facts(wish->id, &facts);
    bool good = saga_fold(&facts, &payment, &err) == 0;
    if (!good)
        wrong(wish->id, "%s", err.text);
    good = good && judge_folded(&facts, &payment, wish) && judge_commands(wish);
    if (good)
        coverage_note(&facts, &payment);
    payment_clear(&payment);
    facts_clear(&facts);
    return good;
}

static void note_deaths(void)
{
    for (size_t i = 0; i < database_letter_count(); i++)
        for (int death = DEATH_EXHAUSTED; death <= DEATH_ARCHIVED; death++)
            coverage.deaths[death] += strcmp(death_text((enum death)death), database_letter(i)->reason) == 0;
}

const char *oracle_judge(void)
{
    for (int i = 0; i < scenario->payments; i++)
        if (!judge(&wishes[i]))
            return text;
    note_deaths();
    if (world_kind() == WORLD_CALM && broker_looks() > 0)
        return "nothing went wrong, and the keeper had to look (L4)";
    return NULL;
}
