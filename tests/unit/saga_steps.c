/* saga_steps.c - the steps of DESIGN.md section 6, restated for the simulation of one payment
 *
 * One row per command type: what a delivery begins (plan), whether its call is still to be made once its intents are
 * committed (begun), what an answer makes (settle), and what is left to write after that (settled).
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/saga_sim.h"

static bool is(const struct fact *fact, const char *outcome)
{
    return fact && strcmp(fact->outcome, outcome) == 0;
}

static const struct sim_command *command_of(const struct sim *sim, const struct worker *w)
{
    return &sim->commands[w->command];
}

bool sim_wrote(const struct sim *sim, const struct worker *w, const struct fact *fact)
{
    return fact && uuid_equal(fact->cause, command_of(sim, w)->id);
}

/* --- authorizations --- */

/* L5: an intent of this very command that nothing followed yet. A challenge is followed by questions. */
static bool resume_own(struct sim *sim, struct worker *w)
{
    const struct payment *p = &sim->payment;
    for (int n = 1; n <= p->authorization_count; n++) {
        const struct authorization *a = &p->authorizations[n];
        if (!sim_wrote(sim, w, a->intent) || a->result || a->action || a->doubts)
            continue;
        w->call = (struct call){.op = OP_AUTHORIZE, .n = n};
        sim_event(sim, EVENT_RESUMED);
        return true;
    }
    return false;
}

/* --- what may have been sent although it is absent (L6) --- */

static bool is_unknown(const struct authorization *a)
{
    return !a->late && !a->action && (!a->result || is(a->result, "absent"));
}

static bool owes_doubt(const struct sim *sim, const struct worker *w, int n)
{
    const struct authorization *a = &sim->payment.authorizations[n];
    struct slot asked = slot_parse(command_of(sim, w)->slot);
    bool sends = sim_wrote(sim, w, a->intent) || (asked.kind == SLOT_AUTH_DOUBT && asked.n == n);
    bool first = !a->last_late_doubt && !sim_wrote(sim, w, a->result);
    bool finds = is(a->result, "absent") && (first || w->redelivered);
    return is_unknown(a) && sends && (w->has_sent || finds);
}

static void leave_doubt(struct sim *sim, struct worker *w, int n)
{
    const struct authorization *a = &sim->payment.authorizations[n];
    w->write_count = 0;
    w->leaving = true;
    if (a->result)
        sim_write(w, -1, "unknown", "auth:%d:late:doubt:%d", n, a->late_doubts);
    else
        sim_write(w, -1, "unknown", "auth:%d:doubt:%d", n, a->doubts);
    if (a->result)
        sim_event(sim, EVENT_LATE_DOUBT);
}

/* Begins with what it owes; what is left is seen to be asked about like the doubt of a call. */
static void plan_doubt(struct sim *sim, struct worker *w)
{
    for (int n = 1; n <= sim->payment.authorization_count; n++)
        if (owes_doubt(sim, w, n)) {
            w->call = (struct call){.op = OP_LEAVE_DOUBT, .n = n};
            return;
        }
}

/* Is a question asked after the doubt that this delivery just wrote, whoever won its slot? */
static bool is_asked_about(const struct sim *sim, const struct worker *w)
{
    const char *slot = w->writes[0].slot;
    const struct authorization *a = &sim->payment.authorizations[slot_parse(slot).n];
    if (!is_unknown(a))
        return true;
    if (slot_parse(slot).kind == SLOT_AUTH_LATE_DOUBT)
        return is(facts_find(&sim->facts, slot), "unknown");
    return !a->result && (w->leaving || w->writes[0].won);
}

/* After a doubt was committed. True: another one has to follow it. */
static bool doubt_settled(struct sim *sim, struct worker *w)
{
    int n = slot_parse(w->writes[0].slot).n;
    bool asked = is_asked_about(sim, w);
    if (asked || !(w->leaving || owes_doubt(sim, w, n))) {
        if (asked)
            w->has_sent = w->redelivered = false;
        return false;
    }
    leave_doubt(sim, w, n);
    return true;
}

/* Who concludes absence compares: a doubt that it did not know of may be of a call that came after its question. */
static bool absence_settled(struct sim *sim, struct worker *w)
{
    int n = slot_parse(w->writes[0].slot).n;
    const struct authorization *a = &sim->payment.authorizations[n];
    if (!w->writes[0].won) { /* its fail-over went with it */
        w->call = (struct call){.op = OP_NONE, .n = n};
        if (w->write_count > 1 && slot_parse(w->writes[1].slot).kind == SLOT_AUTH)
            sim_event(sim, EVENT_FENCED);
    }
    bool overtaken = w->writes[0].won && a->doubts > w->question && !a->last_late_doubt;
    if (!is_unknown(a) || !(overtaken || owes_doubt(sim, w, n)))
        return false;
    leave_doubt(sim, w, n);
    return true;
}

static void plan_create(struct sim *sim, struct worker *w)
{
    if (!saga_wants(&sim->payment, "payment.create", 0)) {
        if (!resume_own(sim, w))
            plan_doubt(sim, w);
        return;
    }
    sim_write(w, -1, "accepted", "received");
    if (sim->refused_by_rule) {
        sim_write(w, 0, "abort", "decision")->body = sim_reason(REASON_REFUSED_BY_RULE);
    } else if (sim->flow == FLOW_PLAIN) {
        sim_write(w, 0, "intent", "auth:1");
        w->call = (struct call){.op = OP_AUTHORIZE, .n = 1};
    }
}

static void plan_start(struct sim *sim, struct worker *w)
{
    if (saga_wants(&sim->payment, "authorize.start", 0)) {
        sim_write(w, -1, "intent", "auth:1");
        w->call = (struct call){.op = OP_AUTHORIZE, .n = 1};
    } else if (!resume_own(sim, w)) {
        plan_doubt(sim, w);
    }
}

static void plan_resolve(struct sim *sim, struct worker *w)
{
    const struct sim_command *c = command_of(sim, w);
    if (resume_own(sim, w))
        return;
    const struct authorization *a = &sim->payment.authorizations[c->n];
    if (slot_parse(c->slot).kind == SLOT_AUTH_LATE_DOUBT) {
        if (a->late_unknown && a->late_doubts <= c->k)
            w->call = (struct call){.op = OP_ASK_LATE, .n = c->n, .k = c->k};
        return;
    }
    bool open = !a->result && saga_wants(&sim->payment, "authorize.resolve", c->n) && a->doubts <= c->k;
    if (open)
        w->call = (struct call){.op = OP_ASK, .n = c->n, .k = c->k};
    else
        plan_doubt(sim, w);
}

/* The intent may have been lost to an abort that closed it, or to another delivery whose own it is now. */
static void authorization_begun(struct sim *sim, struct worker *w)
{
    const struct payment *p = &sim->payment;
    const struct authorization *a = &p->authorizations[w->call.n];
    if (w->call.op == OP_NONE)
        return;
    if (p->closed)
        sim_event(sim, EVENT_START_LOST);
    if (p->closed || !sim_wrote(sim, w, a->intent) || a->result)
        w->call.op = OP_NONE;
}

/* A negative result goes on to the next route, or ends the payment, in the same transaction (L6, L7). */
static void write_negative(struct sim *sim, struct worker *w, const char *outcome, enum reason reason)
{
    int n = w->call.n;
    sim_write(w, -1, outcome, "auth:%d:result", n);
    w->call = (struct call){.op = OP_NONE, .n = n};
    if (n >= sim->routes) {
        sim_write(w, 0, "abort", "decision")->body = sim_reason(reason);
    } else if (!w->saw_decision) {
        sim_write(w, 0, "intent", "auth:%d", n + 1);
        w->call = (struct call){.op = OP_AUTHORIZE, .n = n + 1};
    }
}

/* No answer is none: it asks until it has one. */
static bool settle_late(struct worker *w)
{
    int n = w->call.n;
    if (w->answer == ANSWER_UNKNOWN)
        return false;
    if (w->answer == ANSWER_DONE)
        sim_write(w, -1, "approved", "auth:%d:late", n);
    else if (w->answer == ANSWER_CHALLENGE)
        sim_write(w, -1, "required", "auth:%d:action", n);
    else
        sim_write(w, -1, "nothing", "auth:%d:late:doubt:%d", n, w->call.k);
    w->call.op = OP_NONE;
    return true;
}

static bool settle_authorize(struct sim *sim, struct worker *w)
{
    int n = w->call.n;
    if (w->call.op == OP_ASK_LATE)
        return settle_late(w);
    if (w->call.op == OP_LEAVE_DOUBT) {
        if (is_unknown(&sim->payment.authorizations[n]))
            leave_doubt(sim, w, n);
        w->call.op = OP_NONE;
        return true;
    }
    w->question = w->call.k;
    switch (w->answer) {
    case ANSWER_DONE:
        sim_write(w, -1, "approved", "auth:%d:result", n);
        break;
    case ANSWER_REFUSED:
        write_negative(sim, w, "declined", REASON_DECLINED);
        return true;
    case ANSWER_CANCELLED:
        write_negative(sim, w, "cancelled", REASON_PROVIDER_CANCELLED);
        return true;
    case ANSWER_ABSENT:
        write_negative(sim, w, "absent", REASON_ABSENT);
        return true;
    case ANSWER_CHALLENGE:
        sim_write(w, -1, "required", "auth:%d:action", n);
        break;
    case ANSWER_UNKNOWN:
    case ANSWER_EXPIRED:
    case ANSWER_NOTHING:
    case ANSWER_ACTIVE:
        sim_write(w, -1, "unknown", "auth:%d:doubt:%d", n, w->call.k);
        break;
    }
    w->call = (struct call){.op = OP_NONE, .n = n};
    return true;
}

/* Who lost its result compares: an approval is never dropped (L6). */
static bool write_late(struct sim *sim, struct worker *w)
{
    int n = slot_parse(w->writes[0].slot).n;
    bool approved = strcmp(w->writes[0].outcome, "approved") == 0;
    if (w->write_count > 1 && strncmp(w->writes[1].slot, "auth:", 5) == 0)
        sim_event(sim, EVENT_FENCED);
    w->call = (struct call){.op = OP_NONE, .n = n};
    if (!approved || sim->payment.authorizations[n].approved)
        return false;
    w->write_count = 0;
    sim_write(w, -1, "approved", "auth:%d:late", n);
    return true;
}

/* Who sent and has no answer sees to it that it is asked about, after it sent (L6). */
static bool authorize_settled(struct sim *sim, struct worker *w)
{
    enum slot_kind kind = w->write_count ? slot_parse(w->writes[0].slot).kind : SLOT_UNKNOWN;
    if (kind == SLOT_AUTH_RESULT && strcmp(w->writes[0].outcome, "absent") == 0)
        return absence_settled(sim, w);
    if (kind == SLOT_AUTH_RESULT && !w->writes[0].won)
        return write_late(sim, w);
    if (kind == SLOT_AUTH_ACTION && is(sim->payment.authorizations[slot_parse(w->writes[0].slot).n].result, "absent"))
        sim_event(sim, EVENT_LATE_CHALLENGE);
    if ((kind == SLOT_AUTH_DOUBT || kind == SLOT_AUTH_LATE_DOUBT) && strcmp(w->writes[0].outcome, "unknown") == 0)
        return doubt_settled(sim, w);
    return false;
}

/* --- capture and void --- */

static void plan_capture(struct sim *sim, struct worker *w)
{
    const struct payment *p = &sim->payment;
    int k = command_of(sim, w)->k, n = p->authorization_count;
    if (p->decision_kind == ABORT)
        sim_event(sim, EVENT_CAPTURE_LOST);
    if (!saga_wants(p, "authorize.capture", 0) || p->capture_doubts > k)
        return;
    if (p->decision_kind == UNDECIDED)
        sim_write(w, -1, n == 1 ? "commit:1" : "commit:2", "decision");
    w->call = (struct call){.op = OP_CAPTURE, .n = n, .k = k};
}

/* L7: the first decision wins, and only a commit is the intent of this call. */
static void capture_begun(struct sim *sim, struct worker *w)
{
    if (sim->payment.decision_kind == COMMIT)
        return;
    w->call.op = OP_NONE;
    sim_event(sim, EVENT_CAPTURE_LOST);
}

static bool settle_capture(struct sim *sim, struct worker *w)
{
    (void)sim;
    if (w->answer == ANSWER_UNKNOWN)
        sim_write(w, -1, "unknown", "capture:doubt:%d", w->call.k);
    else
        sim_write(w, -1, w->answer == ANSWER_DONE ? "captured" : "refused", "capture");
    w->call.op = OP_NONE;
    return true;
}

static void plan_void(struct sim *sim, struct worker *w)
{
    const struct sim_command *c = command_of(sim, w);
    if (saga_wants(&sim->payment, "authorize.void", c->n) && sim->payment.authorizations[c->n].void_doubts <= c->k)
        w->call = (struct call){.op = OP_VOID, .n = c->n, .k = c->k};
}

static bool settle_void(struct sim *sim, struct worker *w)
{
    (void)sim;
    if (w->answer == ANSWER_UNKNOWN)
        sim_write(w, -1, "unknown", "void:%d:doubt:%d", w->call.n, w->call.k);
    else if (w->answer == ANSWER_DONE)
        sim_write(w, -1, "voided", "void:%d", w->call.n);
    else
        sim_write(w, -1, w->answer == ANSWER_EXPIRED ? "expired" : "nothing", "void:%d", w->call.n);
    w->call.op = OP_NONE;
    return true;
}

/* --- purchase and tokens: an unknown outcome is asked for by the same request again --- */

static void plan_simple(struct sim *sim, struct worker *w, enum operation op)
{
    if (saga_wants(&sim->payment, command_of(sim, w)->type, 0))
        w->call = (struct call){.op = op};
}

static void plan_validate(struct sim *sim, struct worker *w)
{
    plan_simple(sim, w, OP_VALIDATE);
}

static void plan_confirm(struct sim *sim, struct worker *w)
{
    const struct sim_command *c = command_of(sim, w);
    if (saga_wants(&sim->payment, "pop.confirm", 0) && !facts_find(&sim->facts, c->slot))
        sim_write(w, -1, sim->world.purchase == PURCHASE_REJECTED ? "invalid" : "valid", "%s", c->slot);
    else
        sim_event(sim, EVENT_VOTE_TOO_LATE);
}

static void plan_tell(struct sim *sim, struct worker *w)
{
    plan_simple(sim, w, OP_TELL);
}

static void plan_revoke(struct sim *sim, struct worker *w)
{
    plan_simple(sim, w, OP_REVOKE);
}

static void plan_reserve(struct sim *sim, struct worker *w)
{
    plan_simple(sim, w, OP_RESERVE);
}

static void plan_activate(struct sim *sim, struct worker *w)
{
    plan_simple(sim, w, OP_ACTIVATE);
}

static void plan_release(struct sim *sim, struct worker *w)
{
    bool active = sim->payment.token_active && strcmp(sim->payment.token_active->outcome, "active") == 0;
    plan_simple(sim, w, active ? OP_DEACTIVATE : OP_RELEASE);
}

static bool settle_validate(struct sim *sim, struct worker *w)
{
    (void)sim;
    if (w->answer == ANSWER_UNKNOWN)
        return false;
    sim_write(w, -1, w->answer == ANSWER_DONE ? "validated" : "rejected", "pop");
    if (w->answer != ANSWER_DONE)
        sim_write(w, 0, "abort", "decision")->body = sim_reason(REASON_POP_REJECTED);
    w->call.op = OP_NONE;
    return true;
}

static bool settle_reserve(struct sim *sim, struct worker *w)
{
    (void)sim;
    if (w->answer == ANSWER_UNKNOWN)
        return false;
    sim_write(w, -1, w->answer == ANSWER_DONE ? "reserved" : "refused", "token:reserved");
    if (w->answer != ANSWER_DONE)
        sim_write(w, 0, "abort", "decision")->body = sim_reason(REASON_TOKENS_UNAVAILABLE);
    w->call.op = OP_NONE;
    return true;
}

static bool settle_activate(struct sim *sim, struct worker *w)
{
    (void)sim;
    if (w->answer == ANSWER_UNKNOWN)
        return false;
    sim_write(w, -1, w->answer == ANSWER_DONE ? "active" : "refused", "token:active");
    w->call.op = OP_NONE;
    return true;
}

static bool settle_tell(struct sim *sim, struct worker *w)
{
    (void)sim;
    if (w->answer != ANSWER_DONE)
        return false;
    sim_write(w, -1, "committed", "pop:committed");
    w->call.op = OP_NONE;
    return true;
}

static bool settle_revoke(struct sim *sim, struct worker *w)
{
    (void)sim;
    if (w->answer == ANSWER_UNKNOWN)
        return false;
    sim_write(w, -1, "revoked", "pop:revoked");
    w->call.op = OP_NONE;
    return true;
}

/* After a capture what is released cannot be activated any more, and what is active is not released. */
static bool settle_release(struct sim *sim, struct worker *w)
{
    if (w->answer == ANSWER_UNKNOWN)
        return false;
    if (w->call.op == OP_DEACTIVATE) {
        sim_write(w, -1, "deactivated", "token:released");
    } else if (w->answer == ANSWER_ACTIVE) {
        sim_write(w, -1, "active", "token:active");
        sim_event(sim, EVENT_ARBITER_ACTIVE);
    } else {
        sim_write(w, -1, "released", "token:released");
        if (sim->payment.captured)
            sim_write(w, 0, "refused", "token:active");
        if (sim->payment.captured && !sim->payment.token_active)
            sim_event(sim, EVENT_ARBITER_RELEASED);
    }
    w->call.op = OP_NONE;
    return true;
}

/* --- decisions from outside --- */

static void plan_cancel(struct sim *sim, struct worker *w)
{
    if (saga_wants(&sim->payment, "payment.cancel", 0))
        sim_write(w, -1, "abort", "decision")->body = sim_reason(REASON_CANCELLED);
    else if (sim->payment.decision_kind == COMMIT)
        sim_event(sim, EVENT_CANCEL_LOST);
}

static void plan_expire(struct sim *sim, struct worker *w)
{
    if (saga_wants(&sim->payment, "payment.expire", 0))
        sim_write(w, -1, "abort", "decision")->body = sim_reason(REASON_EXPIRED);
    else if (sim->payment.decision_kind == COMMIT)
        sim_event(sim, EVENT_EXPIRE_LOST);
}

/* --- refunds --- */

/* The refund that this very command asked for; 0: none yet. */
static int own_refund(const struct sim *sim, const struct worker *w)
{
    for (int n = 1; n <= sim->payment.refund_count; n++)
        if (sim_wrote(sim, w, sim->payment.refunds[n].intent))
            return n;
    return 0;
}

/* True when the command has its N: whatever is left to do with it is begun. */
static bool resume_refund(struct sim *sim, struct worker *w)
{
    int n = own_refund(sim, w);
    const struct refund *r = n ? &sim->payment.refunds[n] : NULL;
    if (r && r->accepted && !r->result && !r->doubts)
        w->call = (struct call){.op = OP_REFUND, .n = n, .amount = (int)r->amount};
    return r;
}

static void begin_refund(struct sim *sim, struct worker *w, int amount, bool accepted)
{
    int n = sim->payment.refund_count + 1;
    sim_write(w, -1, accepted ? "accepted" : "refused", "refund:%d", n)->body = sim_amount(amount);
    if (accepted)
        w->call = (struct call){.op = OP_REFUND, .n = n, .amount = amount};
}

static void plan_refund(struct sim *sim, struct worker *w)
{
    const struct payment *p = &sim->payment;
    if (resume_refund(sim, w))
        return;
    int amount = command_of(sim, w)->amount;
    bool fits = p->refund_reserved + amount <= p->captured_amount;
    begin_refund(sim, w, amount, saga_wants(p, "payment.refund", 0) && fits);
}

static void plan_unwind(struct sim *sim, struct worker *w)
{
    if (!resume_refund(sim, w) && saga_wants(&sim->payment, "payment.unwind", 0))
        begin_refund(sim, w, WORLD_AMOUNT, true);
}

static void plan_refund_resolve(struct sim *sim, struct worker *w)
{
    const struct sim_command *c = command_of(sim, w);
    if (!saga_wants(&sim->payment, "refund.resolve", c->n) || sim->payment.refunds[c->n].doubts > c->k)
        return;
    int amount = (int)sim->payment.refunds[c->n].amount;
    w->call = (struct call){.op = OP_REFUND, .n = c->n, .k = c->k, .amount = amount};
}

/* Racing refunds race for the same N: the loser plans again. */
static void refund_begun(struct sim *sim, struct worker *w)
{
    if (w->writes[0].won) {
        if (sim->payment.unwind > 1)
            sim_event(sim, EVENT_UNWIND_BEHIND_REFUSED);
        if (strcmp(w->writes[0].outcome, "refused") == 0)
            sim_event(sim, sim->payment.ended ? EVENT_REFUND_ABOVE : EVENT_REFUND_EARLY);
        return;
    }
    sim_event(sim, EVENT_REFUND_RACED);
    w->call.op = OP_NONE;
    w->phase = PHASE_PLAN;
}

static bool settle_refund(struct sim *sim, struct worker *w)
{
    (void)sim;
    if (w->answer == ANSWER_UNKNOWN)
        sim_write(w, -1, "unknown", "refund:%d:doubt:%d", w->call.n, w->call.k);
    else
        sim_write(w, -1, w->answer == ANSWER_DONE ? "refunded" : "refused", "refund:%d:result", w->call.n);
    w->call.op = OP_NONE;
    return true;
}

/* --- dead letters, notices --- */

static void plan_compensate(struct sim *sim, struct worker *w)
{
    static const char *const DECIDING = "payment.create authorize.start authorize.resolve authorize.capture "
                                        "pop.validate token.reserve";
    const struct sim_command *c = command_of(sim, w), *dead = &sim->commands[c->dead];
    char id[UUID_TEXT_SIZE];
    uuid_format(c->replay ? c->id : dead->id, id);
    if (c->replay) {
        sim_write(w, -1, "replayed", "replay:%s:%d", id, c->attempts);
        return;
    }
    sim_write(w, -1, dead->type, "dead:%s:%d", id, c->attempts);
    if (saga_wants(&sim->payment, "payment.compensate", 0) && strstr(DECIDING, dead->type))
        sim_write(w, 0, "abort", "decision")->body = sim_reason(REASON_DEAD_LETTERED);
    else
        sim_event(sim, sim->payment.received ? EVENT_DEAD_HELD : EVENT_DEAD_UNKNOWN);
}

static void plan_nothing(struct sim *sim, struct worker *w)
{
    (void)sim;
    (void)w;
}

static void plan_notify(struct sim *sim, struct worker *w)
{
    const struct sim_command *c = command_of(sim, w);
    if (!facts_find(&sim->facts, c->slot) && saga_wants(&sim->payment, "notify.send", c->n))
        w->call = (struct call){.op = OP_NOTIFY};
}

static bool settle_notify(struct sim *sim, struct worker *w)
{
    if (w->answer == ANSWER_UNKNOWN)
        return false;
    if (w->answer == ANSWER_REFUSED)
        sim_event(sim, EVENT_NOTICE_REFUSED);
    sim_write(w, -1, w->answer == ANSWER_DONE ? "delivered" : "refused", "%s", command_of(sim, w)->slot);
    w->call.op = OP_NONE;
    return true;
}

static const struct step {
    const char *command;
    void (*plan)(struct sim *sim, struct worker *w);
    void (*begun)(struct sim *sim, struct worker *w);
    bool (*settle)(struct sim *sim, struct worker *w);
    bool (*settled)(struct sim *sim, struct worker *w);
} STEPS[] = {
    {"payment.create", plan_create, authorization_begun, settle_authorize, authorize_settled},
    {"authorize.start", plan_start, authorization_begun, settle_authorize, authorize_settled},
    {"authorize.resolve", plan_resolve, NULL, settle_authorize, authorize_settled},
    {"authorize.capture", plan_capture, capture_begun, settle_capture, NULL},
    {"authorize.void", plan_void, NULL, settle_void, NULL},
    {"pop.validate", plan_validate, NULL, settle_validate, NULL},
    {"pop.confirm", plan_confirm, NULL, NULL, NULL},
    {"pop.commit", plan_tell, NULL, settle_tell, NULL},
    {"pop.revoke", plan_revoke, NULL, settle_revoke, NULL},
    {"token.reserve", plan_reserve, NULL, settle_reserve, NULL},
    {"token.activate", plan_activate, NULL, settle_activate, NULL},
    {"token.release", plan_release, NULL, settle_release, NULL},
    {"payment.cancel", plan_cancel, NULL, NULL, NULL},
    {"payment.expire", plan_expire, NULL, NULL, NULL},
    {"payment.refund", plan_refund, refund_begun, settle_refund, NULL},
    {"payment.unwind", plan_unwind, refund_begun, settle_refund, NULL},
    {"refund.resolve", plan_refund_resolve, NULL, settle_refund, NULL},
    {"payment.compensate", plan_compensate, NULL, NULL, NULL},
    {"payment.look", plan_nothing, NULL, NULL, NULL},
    {"notify.send", plan_notify, NULL, settle_notify, NULL},
};

static const struct step *step_of(struct sim *sim, const struct worker *w)
{
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++)
        if (strcmp(STEPS[i].command, command_of(sim, w)->type) == 0)
            return &STEPS[i];
    sim_fail(sim, "no step for %s", command_of(sim, w)->type);
    return &STEPS[0];
}

void step_plan(struct sim *sim, struct worker *w)
{
    step_of(sim, w)->plan(sim, w);
}

void step_begun(struct sim *sim, struct worker *w)
{
    const struct step *step = step_of(sim, w);
    if (step->begun)
        step->begun(sim, w);
}

bool step_settle(struct sim *sim, struct worker *w)
{
    return step_of(sim, w)->settle(sim, w);
}

bool step_settled(struct sim *sim, struct worker *w)
{
    const struct step *step = step_of(sim, w);
    return step->settled && step->settled(sim, w);
}
