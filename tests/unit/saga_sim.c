/* saga_sim.c - one payment from its first command to rest: the broker, the workers, and what goes wrong */
#include "tests/unit/saga_sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- telling --- */

PRINTF_LIKE(2, 3) static void tell(const struct sim *sim, const char *fmt, ...)
{
    if (!sim->loud)
        return;
    va_list args;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
}

void sim_event(struct sim *sim, enum sim_event event)
{
    static const char *const TEXTS[] = {
#define X(id, text) [EVENT_##id] = text,
        SIM_EVENTS(X)
#undef X
    };
    sim->coverage->events[event]++;
    tell(sim, "    ! %s", TEXTS[event]);
}

/* The first failure counts. */
void sim_fail(struct sim *sim, const char *fmt, ...)
{
    if (sim->failure[0])
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(sim->failure, sizeof sim->failure, fmt, args);
    va_end(args);
    tell(sim, "*** %s", sim->failure);
}

static bool happens(struct sim *sim, int percent)
{
    return percent > 0 && dice_below(&sim->dice, 100) < percent;
}

/* Uses one of the budget, now and then. */
static bool spend(struct sim *sim, int *budget, int percent)
{
    if (*budget <= 0 || !happens(sim, percent))
        return false;
    (*budget)--;
    return true;
}

/* --- bodies: shared by all histories --- */

json_t *sim_amount(int amount)
{
    static json_t *bodies[WORLD_AMOUNT + 2];
    if (!bodies[amount])
        bodies[amount] = json_pack("{s:i}", "amount", amount);
    return bodies[amount];
}

json_t *sim_reason(enum reason reason)
{
    static json_t *bodies[REASON_COUNT];
    if (!bodies[reason])
        bodies[reason] = json_pack("{s:s}", "reason", reason_code(reason));
    return bodies[reason];
}

static json_t *received_body(enum flow flow)
{
    static json_t *bodies[2];
    if (!bodies[flow])
        bodies[flow] = json_pack("{s:s, s:i, s:s, s:[s]}", "flow", flow == FLOW_DUAL ? "dual" : "plain", "amount",
                                 WORLD_AMOUNT, "currency", "EUR", "channels", "webhook");
    return bodies[flow];
}

/* --- the broker --- */

static int command_index(const struct sim *sim, struct uuid id)
{
    for (int i = 0; i < sim->command_count; i++)
        if (uuid_equal(sim->commands[i].id, id))
            return i;
    return -1;
}

static int command_add(struct sim *sim, const struct sim_command *command)
{
    int known = command_index(sim, command->id);
    if (known >= 0)
        return known;
    if (sim->command_count == SIM_COMMANDS) {
        sim_fail(sim, "more than SIM_COMMANDS commands for one payment");
        return 0;
    }
    sim->commands[sim->command_count] = *command;
    return sim->command_count++;
}

static int copies(const struct sim *sim, int command)
{
    int count = 0;
    for (int i = 0; i < sim->queue_count; i++)
        count += sim->queue[i] == command;
    return count;
}

/* More copies than SIM_COPIES at once would only make histories longer. */
static void publish(struct sim *sim, int command)
{
    tell(sim, "    > %s %s", sim->commands[command].type, sim->commands[command].slot);
    if (copies(sim, command) < SIM_COPIES && sim->queue_count < SIM_QUEUE)
        sim->queue[sim->queue_count++] = command;
}

static void publish_public(struct sim *sim, const char *type, const char *name, int amount)
{
    struct sim_command command = {.type = type, .id = uuid_command(type, "shop", name), .amount = amount};
    publish(sim, command_add(sim, &command));
}

static void take_message(struct sim *sim, int at)
{
    sim->queue[at] = sim->queue[--sim->queue_count];
}

/* The broker's backstop and the workers' last attempt end alike: archived by payment.compensate. */
static void bury(struct sim *sim, int command)
{
    char name[64];
    int deaths = ++sim->commands[command].deaths;
    snprintf(name, sizeof name, "%d died %d", command, deaths);
    struct sim_command grave = {.type = "payment.compensate",
                                .id = uuid_command("payment.compensate", "shop", name),
                                .dead = command,
                                .attempts = deaths};
    publish(sim, command_add(sim, &grave));
}

static bool may_die(const struct sim *sim, int command)
{
    const char *type = sim->commands[command].type;
    return strcmp(type, "payment.compensate") != 0 && strcmp(type, "payment.look") != 0;
}

/* --- the ledger --- */

static bool refold(struct sim *sim)
{
    if (sim->folded)
        return true;
    struct err err = {0};
    payment_clear(&sim->payment);
    if (saga_fold(&sim->facts, &sim->payment, &err))
        sim_fail(sim, "the fold refuses: %s", err.text);
    sim->folded = !sim->failure[0];
    return sim->folded;
}

static void insert(struct sim *sim, const char *slot, const char *outcome, json_t *body, struct uuid cause)
{
    if (sim->facts.count == SIM_FACTS) {
        sim_fail(sim, "more than SIM_FACTS facts");
        return;
    }
    struct fact *fact = &sim->items[sim->facts.count++];
    *fact = (struct fact){.cause = cause, .seq = (int64_t)sim->facts.count, .body = json_incref(body)};
    snprintf(fact->slot, sizeof fact->slot, "%s", slot);
    snprintf(fact->outcome, sizeof fact->outcome, "%s", outcome);
    sim->folded = false;
    sim->coverage->slots[slot_parse(slot).kind]++;
    tell(sim, "    + %s=%s", slot, outcome);
}

struct write *sim_write(struct worker *w, int with, const char *outcome, const char *slot, ...)
{
    static json_t *empty;
    if (!empty)
        empty = json_object();
    struct write *write = &w->writes[w->write_count++];
    *write = (struct write){.outcome = outcome, .with = with, .body = empty};
    va_list args;
    va_start(args, slot);
    vsnprintf(write->slot, sizeof write->slot, slot, args);
    va_end(args);
    return write;
}

static void note_decision(struct sim *sim, const struct write *write)
{
    if (strcmp(write->outcome, "abort") != 0)
        return;
    if (write->body == sim_reason(REASON_CANCELLED))
        sim_event(sim, EVENT_CANCEL_WON);
    if (write->body == sim_reason(REASON_EXPIRED))
        sim_event(sim, EVENT_EXPIRE_WON);
    if (write->body == sim_reason(REASON_DEAD_LETTERED))
        sim_event(sim, EVENT_DEAD_ABORTED);
}

/* What else the ledger sees to, in the same transaction. */
static void after_win(struct sim *sim, const struct write *write, struct uuid cause)
{
    if (strcmp(write->slot, "decision") == 0)
        note_decision(sim, write);
    if (strcmp(write->slot, "capture") == 0 && strcmp(write->outcome, "refused") == 0)
        sim_event(sim, EVENT_CAPTURE_REFUSED);
    if (strcmp(write->slot, "auth:2") == 0)
        sim_event(sim, EVENT_FAILED_OVER);
    if (slot_parse(write->slot).kind == SLOT_AUTH_LATE)
        sim_event(sim, sim->payment.decision_kind == COMMIT ? EVENT_LATE_AFTER_COMMIT : EVENT_LATE);
    if (strncmp(write->slot, "refund:", 7) == 0 && strstr(write->slot, ":result") &&
        strcmp(write->outcome, "refused") == 0)
        sim_event(sim, sim->payment.ended ? EVENT_REFUND_FAILED : EVENT_UNWIND_FOR_A_PERSON);
    bool abort = strcmp(write->slot, "decision") == 0 && strcmp(write->outcome, "abort") == 0;
    if (abort && !facts_find(&sim->facts, "auth:1")) { /* L7 */
        insert(sim, "auth:1", "closed", NULL, cause);
        sim_event(sim, EVENT_CLOSED);
    }
}

static void check(struct sim *sim);

/* One transaction: insert-only, first wins (L2). */
static void commit(struct sim *sim, struct worker *w)
{
    struct uuid cause = sim->commands[w->command].id;
    for (int i = 0; i < w->write_count; i++) {
        struct write *write = &w->writes[i];
        bool asked = write->with < 0 || w->writes[write->with].won;
        write->won = asked && !facts_find(&sim->facts, write->slot);
        if (asked && !write->won && strcmp(write->outcome, "abort") == 0 && write->with >= 0)
            sim_event(sim, EVENT_ABORT_LOST);
        if (write->won)
            insert(sim, write->slot, write->outcome,
                   strcmp(write->slot, "received") == 0 ? received_body(sim->flow) : write->body, cause);
    }
    for (int i = 0; i < w->write_count; i++)
        if (w->writes[i].won)
            after_win(sim, &w->writes[i], cause);
    check(sim);
}

/* --- what must hold after every fact and every effect: stated without the fold's help --- */

static bool stands(const struct sim *sim, const char *slot, const char *outcome)
{
    const struct fact *fact = facts_find(&sim->facts, slot);
    return fact && strcmp(fact->outcome, outcome) == 0;
}

static void check_authorization(struct sim *sim, int n)
{
    char slot[SLOT_SIZE], commit[OUTCOME_SIZE];
    snprintf(commit, sizeof commit, "commit:%d", n);
    bool committed = stands(sim, "decision", commit), uncaptured = stands(sim, "capture", "refused");
    if (sim->world.holds[n] == HOLD_CAPTURED && !committed)
        sim_fail(sim, "L7: authorization %d is captured without its commit", n);
    if (sim->world.holds[n] == HOLD_VOIDED && committed && !uncaptured)
        sim_fail(sim, "L7: authorization %d is voided, although it is committed", n);
    snprintf(slot, sizeof slot, "void:%d", n);
    if (facts_find(&sim->facts, slot) && committed && !uncaptured)
        sim_fail(sim, "L7: %s stands, although it is committed", slot);
}

static void check_world(struct sim *sim)
{
    const struct world *w = &sim->world;
    int captured = 0, live = 0;
    for (int n = 1; n <= WORLD_ROUTES; n++) {
        check_authorization(sim, n);
        captured += w->holds[n] == HOLD_CAPTURED;
        live += w->holds[n] == HOLD_LIVE || w->holds[n] == HOLD_CAPTURED;
    }
    if (captured > 1)
        sim_fail(sim, "two captures");
    if (live > 1 && !sim->stalls) /* who sends after send_until makes a second one, which is voided */
        sim_fail(sim, "L6: two authorizations live at once");
    bool failed = sim->payment.ended && sim->payment.state != SAGA_COMPLETED;
    if (failed && live > captured && !sim->stalls)
        sim_fail(sim, "failed, but an authorization is still live at the provider");
    if (world_refunded(w) > (captured ? WORLD_AMOUNT : 0))
        sim_fail(sim, "refunded more than captured");
    if (w->tokens == TOKENS_ACTIVE && !captured)
        sim_fail(sim, "tokens active without a capture");
    if (w->void_hit_capture)
        sim_fail(sim, "L7: a void was sent for what is captured");
}

static void check_facts(struct sim *sim)
{
    int64_t promised = 0;
    for (size_t i = 0; i < sim->facts.count; i++) {
        const struct fact *fact = &sim->facts.items[i];
        char result[SLOT_SIZE + 8];
        snprintf(result, sizeof result, "%s:result", fact->slot);
        if (strncmp(fact->slot, "refund:", 7) == 0 && strcmp(fact->outcome, "accepted") == 0 &&
            !stands(sim, result, "refused"))
            promised += json_integer_value(json_object_get(fact->body, "amount"));
    }
    if (promised > (stands(sim, "capture", "captured") ? WORLD_AMOUNT : 0))
        sim_fail(sim, "refunds above the capture");
    if (facts_find(&sim->facts, "capture") && !sim->payment.commit)
        sim_fail(sim, "L7: capture without commit");
    if (stands(sim, "token:active", "active") && !stands(sim, "capture", "captured"))
        sim_fail(sim, "token:active without capture");
}

/* An end is an end: only a completed payment moves on, by refunds, and never back. */
static void check_end(struct sim *sim)
{
    static const int RANK[PUBLIC_STATE_COUNT] = {[PUBLIC_PARTIALLY_REFUNDED] = 1, [PUBLIC_REFUNDED] = 2};
    enum public_state now = sim->payment.public;
    bool refund = RANK[now] > RANK[sim->end] && (sim->end == PUBLIC_COMPLETED || RANK[sim->end]);
    if (sim->ended && (!sim->payment.ended || (now != sim->end && !refund)))
        sim_fail(sim, "the end moved from %s to %s", public_state_text(sim->end), public_state_text(now));
    sim->ended |= sim->payment.ended;
    sim->end = now;
}

static void check(struct sim *sim)
{
    if (!refold(sim))
        return;
    sim->coverage->states[sim->payment.state]++;
    sim->coverage->publics[sim->payment.public]++;
    check_facts(sim);
    check_world(sim);
    check_end(sim);
}

/* --- a delivery in work --- */

static void plan(struct sim *sim, struct worker *w)
{
    w->write_count = 0;
    w->call = (struct call){.op = OP_NONE};
    w->settling = w->leaving = false;
    w->has_sent = false;
    w->redelivered = sim->commands[w->command].redelivered;
    if (refold(sim))
        step_plan(sim, w);
    w->phase = w->write_count ? PHASE_COMMIT : PHASE_LOOK;
}

static void commit_intents(struct sim *sim, struct worker *w)
{
    w->phase = PHASE_LOOK;
    commit(sim, w);
    if (refold(sim))
        step_begun(sim, w);
}

static void say(struct sim *sim, struct worker *w, int command)
{
    if (!w->said[command])
        publish(sim, command);
    w->said[command] = true;
}

/* L4. False when the worker crashed on the way. */
static bool look(struct sim *sim, struct worker *w)
{
    static struct next next;
    const struct sim_command *me = &sim->commands[w->command];
    bool all = strcmp(me->type, "payment.look") == 0 || strcmp(me->type, "payment.compensate") == 0;
    if (me->replay)
        say(sim, w, me->dead);
    saga_next(&sim->payment, &next);
    for (size_t i = 0; i < next.count; i++) {
        const struct follow_up *f = &next.items[i];
        if (me->replay || (!all && !follow_up_rests_on(f, me->id)))
            continue;
        struct sim_command command = {.type = f->type, .n = f->n, .k = f->k, .id = f->id};
        memcpy(command.slot, f->slot, sizeof command.slot);
        say(sim, w, command_add(sim, &command));
        if (spend(sim, &sim->budget.crash, 1)) {
            sim_event(sim, EVENT_CRASH_HALF_SAID);
            return false;
        }
    }
    return true;
}

static void crash(struct sim *sim, struct worker *w)
{
    publish(sim, w->command);
    sim->commands[w->command].redelivered = true;
    w->phase = PHASE_IDLE;
}

static void look_and_publish(struct sim *sim, struct worker *w)
{
    if (!refold(sim))
        return;
    if (!look(sim, w)) {
        crash(sim, w);
        return;
    }
    w->saw_decision = sim->payment.decision;
    w->write_count = 0;
    w->phase = w->call.op == OP_NONE ? PHASE_ACK : PHASE_CALL;
    if (w->call.op != OP_AUTHORIZE)
        return;
    if (sim->payment.decision_kind == ABORT) { /* L5: not sent; the intent becomes a doubt */
        sim_event(sim, EVENT_UNSENT);
        w->answer = ANSWER_UNKNOWN;
        w->phase = PHASE_SETTLE;
    }
    w->call.stalled = spend(sim, &sim->budget.stall, 50);
}

static bool under_way(const struct sim *sim, const struct call *call)
{
    for (int i = 0; i < sim->flight_count; i++)
        if (sim->flight[i].op == OP_AUTHORIZE && sim->flight[i].n == call->n)
            return true;
    return false;
}

static enum answer effect(struct sim *sim, const struct call *call)
{
    bool sent_too_late = call->stalled && sim->world.holds[call->n] == HOLD_OVER;
    enum answer answer = world_call(&sim->world, call, under_way(sim, call));
    if (sent_too_late)
        sim_event(sim, EVENT_STALLED);
    if (sim->world.tombstone_hit)
        sim_event(sim, EVENT_TOMBSTONE);
    sim->world.tombstone_hit = false;
    check_world(sim);
    return answer;
}

static void make_call(struct sim *sim, struct worker *w)
{
    bool send = !w->call.stalled && w->call.op != OP_ASK && w->call.op != OP_ASK_LATE;
    w->phase = PHASE_SETTLE;
    w->answer = ANSWER_UNKNOWN;
    if (w->call.op == OP_LEAVE_DOUBT)
        return;
    w->has_sent = w->has_sent || w->call.op == OP_AUTHORIZE;
    if (send && sim->flight_count < SIM_FLIGHT && spend(sim, &sim->budget.flight, 10)) {
        sim->flight[sim->flight_count++] = w->call;
        return;
    }
    bool lost = spend(sim, &sim->budget.fault, 15);
    if (lost && happens(sim, 50)) {
        sim_event(sim, EVENT_FAULT_BEFORE);
        return;
    }
    enum answer answer = effect(sim, &w->call);
    if (lost)
        sim_event(sim, EVENT_FAULT_AFTER);
    else
        w->answer = answer;
}

static void settle(struct sim *sim, struct worker *w)
{
    w->phase = PHASE_LOOK;
    if (!w->settling && refold(sim) && !step_settle(sim, w)) {
        bool exhausted = w->call.op != OP_ASK_LATE && spend(sim, &sim->budget.dead, 50); /* unknown is no attempt */
        if (exhausted)
            bury(sim, w->command);
        else
            publish(sim, w->command);
        w->phase = PHASE_ACK;
        return;
    }
    commit(sim, w);
    w->settling = refold(sim) && step_settled(sim, w);
    if (w->settling)
        w->phase = PHASE_SETTLE;
}

/* A worker that stalls between the clock and the call does so for longer than all others wait. */
static bool stands_still(struct sim *sim, const struct worker *w)
{
    return w->phase == PHASE_CALL && w->call.stalled && happens(sim, 90);
}

static void advance(struct sim *sim, struct worker *w)
{
    if (stands_still(sim, w))
        return;
    static const char *const PHASES[] = {"idle", "plan", "commit", "look", "call", "settle", "ack"};
    tell(sim, "  %d %s: %s %s", (int)(w - sim->workers), PHASES[w->phase], sim->commands[w->command].type,
         sim->commands[w->command].slot);
    switch (w->phase) {
    case PHASE_IDLE:
        break;
    case PHASE_PLAN:
        plan(sim, w);
        break;
    case PHASE_COMMIT:
        commit_intents(sim, w);
        break;
    case PHASE_LOOK:
        look_and_publish(sim, w);
        break;
    case PHASE_CALL:
        make_call(sim, w);
        break;
    case PHASE_SETTLE:
        settle(sim, w);
        break;
    case PHASE_ACK: /* L1: only now */
        w->phase = PHASE_IDLE;
        break;
    }
}

/* --- what may happen next --- */

/* A cancel, deadline or refund of a payment that nobody knows waits on the ladder. */
static bool deliverable(const struct sim *sim, int command)
{
    const char *type = sim->commands[command].type;
    bool waits = strcmp(type, "payment.cancel") == 0 || strcmp(type, "payment.expire") == 0 ||
                 strcmp(type, "payment.refund") == 0;
    return !waits || sim->payment.received;
}

struct moves {
    int messages, at[SIM_QUEUE];
    int busy, workers[SIM_WORKERS];
    struct worker *free;
};

static void list_moves(struct sim *sim, struct moves *ret)
{
    ret->messages = ret->busy = 0;
    ret->free = NULL;
    for (int i = 0; i < SIM_WORKERS; i++) {
        if (sim->workers[i].phase == PHASE_IDLE)
            ret->free = &sim->workers[i];
        else
            ret->workers[ret->busy++] = i;
    }
    for (int i = 0; i < sim->queue_count && ret->free; i++)
        if (deliverable(sim, sim->queue[i]))
            ret->at[ret->messages++] = i;
}

static void deliver(struct sim *sim, struct worker *w, int at)
{
    *w = (struct worker){.phase = PHASE_PLAN, .command = sim->queue[at]};
    take_message(sim, at);
    advance(sim, w);
}

static void land(struct sim *sim, int i)
{
    struct call call = sim->flight[i];
    sim->flight[i] = sim->flight[--sim->flight_count];
    tell(sim, "  a request lands: operation %d, %d", (int)call.op, call.n);
    sim_event(sim, EVENT_FLIGHT);
    effect(sim, &call);
}

/* One ordinary move. False: there is none. */
static bool move(struct sim *sim, const struct moves *moves)
{
    int count = moves->messages + moves->busy + sim->flight_count;
    if (!count)
        return false;
    int choice = dice_below(&sim->dice, count);
    if (choice < moves->messages)
        deliver(sim, moves->free, moves->at[choice]);
    else if (choice < moves->messages + moves->busy)
        advance(sim, &sim->workers[moves->workers[choice - moves->messages]]);
    else
        land(sim, choice - moves->messages - moves->busy);
    return true;
}

static void wipe(struct sim *sim)
{
    sim_event(sim, EVENT_WIPED);
    sim->wiped = true;
    sim->queue_count = 0;
    for (int i = 0; i < SIM_WORKERS; i++)
        sim->workers[i].phase = PHASE_IDLE;
}

static void replay(struct sim *sim)
{
    for (int i = 0; i < sim->command_count; i++) {
        const struct sim_command *dead = &sim->commands[i];
        if (!dead->deaths)
            continue;
        char name[64];
        snprintf(name, sizeof name, "%d again %d", i, sim->budget.replay);
        struct sim_command again = {.type = "payment.compensate",
                                    .id = uuid_command("payment.compensate", "operator", name),
                                    .dead = i,
                                    .attempts = 1,
                                    .replay = true};
        sim_event(sim, sim->payment.ended ? EVENT_REPLAY_AFTER_END : EVENT_REPLAYED);
        publish(sim, command_add(sim, &again));
        return;
    }
}

static void crash_worker(struct sim *sim, const struct moves *moves)
{
    if (!moves->busy)
        return;
    struct worker *w = &sim->workers[moves->workers[dice_below(&sim->dice, moves->busy)]];
    tell(sim, "  %d crashes", (int)(w - sim->workers));
    sim_event(sim, EVENT_CRASH);
    if (may_die(sim, w->command) && spend(sim, &sim->budget.dead, 50)) {
        bury(sim, w->command);
        w->phase = PHASE_IDLE;
    } else {
        crash(sim, w);
    }
}

/* Delivered twice: once more from the queue, or once more although somebody works on it. */
static void duplicate(struct sim *sim, const struct moves *moves)
{
    int count = sim->queue_count + moves->busy;
    if (!count)
        return;
    int choice = dice_below(&sim->dice, count);
    sim_event(sim, EVENT_DUPLICATE);
    publish(sim, choice < sim->queue_count ? sim->queue[choice]
                                           : sim->workers[moves->workers[choice - sim->queue_count]].command);
}

static void expire_hold(struct sim *sim)
{
    for (int n = 1; n <= WORLD_ROUTES; n++) {
        if (sim->world.holds[n] != HOLD_LIVE)
            continue;
        sim->world.holds[n] = HOLD_EXPIRED;
        sim_event(sim, EVENT_HOLD_EXPIRED);
        return;
    }
}

static void expire_reservation(struct sim *sim)
{
    if (sim->world.tokens != TOKENS_RESERVED)
        return;
    sim->world.tokens = TOKENS_RELEASED;
    sim_event(sim, EVENT_RESERVATION_EXPIRED);
}

static void ask_refund(struct sim *sim)
{
    char name[32];
    snprintf(name, sizeof name, "refund %d", sim->budget.refund);
    int amount = 1 + dice_below(&sim->dice, WORLD_AMOUNT);
    publish_public(sim, "payment.refund", name, happens(sim, 10) ? WORLD_AMOUNT + 1 : amount);
}

/* One of two validators. */
static void call_back(struct sim *sim)
{
    static const char *const slots[] = {"pop:vote:a", "pop:vote:b"};
    if (sim->world.purchase == PURCHASE_ASKED)
        world_decide(&sim->world);
    if (sim->world.purchase != PURCHASE_VALID && sim->world.purchase != PURCHASE_REJECTED)
        return;
    const char *slot = slots[sim->budget.callback % 2];
    struct sim_command command = {.type = "pop.confirm", .id = uuid_command("pop.confirm", "ingress", slot)};
    snprintf(command.slot, sizeof command.slot, "%s", slot);
    sim_event(sim, EVENT_CALLED_BACK);
    publish(sim, command_add(sim, &command));
}

/* One thing from outside, or one that goes wrong. */
static void disturb(struct sim *sim, const struct moves *moves)
{
    struct budget *b = &sim->budget;
    bool known = sim->payment.received;
    if (spend(sim, &b->crash, 30))
        crash_worker(sim, moves);
    else if (spend(sim, &b->duplicate, 30))
        duplicate(sim, moves);
    else if (spend(sim, &b->cancel, 15))
        publish_public(sim, "payment.cancel", "cancel", 0);
    else if (known && spend(sim, &b->expire, 15))
        publish_public(sim, "payment.expire", "expire", 0);
    else if (known && spend(sim, &b->refund, sim->payment.ended ? 50 : 5))
        ask_refund(sim);
    else if (spend(sim, &b->hold, 15))
        expire_hold(sim);
    else if (spend(sim, &b->reservation, 15))
        expire_reservation(sim);
    else if (known && spend(sim, &b->callback, sim->world.purchase == PURCHASE_ASKED ? 60 : 20))
        call_back(sim);
    else if (known && spend(sim, &b->replay, 30))
        replay(sim);
    else if (known && spend(sim, &b->wipe, 15))
        wipe(sim);
    else if (known && spend(sim, &b->look, 15))
        publish_public(sim, "payment.look", "look", 0);
}

/* The keeper: a payment stands still, although something is to be done. */
static bool sweep(struct sim *sim)
{
    static struct next next;
    if (!sim->wiped || !refold(sim))
        return false;
    saga_next(&sim->payment, &next);
    if (!next.count)
        return false;
    sim_event(sim, EVENT_SWEPT);
    publish_public(sim, "payment.look", "sweep", 0);
    return true;
}

/* --- at rest --- */

static void check_money_gone(struct sim *sim)
{
    const struct world *w = &sim->world;
    for (int n = 1; n <= WORLD_ROUTES; n++)
        if (w->holds[n] == HOLD_CAPTURED && world_refunded(w) != WORLD_AMOUNT)
            sim_fail(sim, "failed, but charged by authorization %d", n);
    if (w->tokens == TOKENS_RESERVED || w->tokens == TOKENS_ACTIVE)
        sim_fail(sim, "failed, but the tokens are not free");
    if (w->purchase == PURCHASE_VALID)
        sim_fail(sim, "failed, but the proof of purchase is valid");
}

static void check_sold(struct sim *sim)
{
    const struct world *w = &sim->world;
    int captured = 0;
    for (int n = 1; n <= WORLD_ROUTES; n++)
        captured += w->holds[n] == HOLD_CAPTURED;
    if (captured != 1)
        sim_fail(sim, "completed, but captured %d times", captured);
    bool back = sim->payment.public == PUBLIC_REFUNDED; /* all given back: nothing bought is left */
    enum tokens tokens = back ? TOKENS_DEACTIVATED : TOKENS_ACTIVE;
    enum purchase purchase = back ? PURCHASE_REVOKED : PURCHASE_VALID;
    if (sim->flow == FLOW_DUAL && (w->tokens != tokens || w->purchase != purchase))
        sim_fail(sim, "completed, but the purchase is not (tokens %d, purchase %d)", (int)w->tokens, (int)w->purchase);
}

static void check_refund_books(struct sim *sim)
{
    for (int n = 1; n <= WORLD_REFUNDS; n++) {
        char slot[SLOT_SIZE];
        snprintf(slot, sizeof slot, "refund:%d:result", n);
        int real = sim->world.refunded[n];
        if (stands(sim, slot, "refunded") != (real > 0) || stands(sim, slot, "refused") != (real < 0))
            sim_fail(sim, "%s does not say what the provider did", slot);
    }
}

/* The end was told, and of a completed payment each refund. */
static void check_told(struct sim *sim)
{
    static const char *const ENDS[PUBLIC_STATE_COUNT] = {[PUBLIC_FAILED] = "failed", [PUBLIC_CANCELLED] = "cancelled"};
    bool completed = sim->payment.state == SAGA_COMPLETED;
    char slot[SLOT_SIZE], result[SLOT_SIZE];
    snprintf(slot, sizeof slot, "notice:payment.%s:webhook", completed ? "completed" : ENDS[sim->payment.public]);
    if (!facts_find(&sim->facts, slot))
        sim_fail(sim, "at rest without %s", slot);
    for (int n = 1; n <= WORLD_REFUNDS && completed; n++) {
        snprintf(result, sizeof result, "refund:%d:result", n);
        bool refunded = stands(sim, result, "refunded");
        snprintf(slot, sizeof slot, "notice:payment.%s.%d:webhook", refunded ? "refunded" : "refund_failed", n);
        if (facts_find(&sim->facts, result) && !facts_find(&sim->facts, slot))
            sim_fail(sim, "at rest without %s", slot);
    }
}

/* L3: the same facts in another order are the same payment. */
static void check_order(struct sim *sim)
{
    static char before[SAGA_TEXT_SIZE], after[SAGA_TEXT_SIZE];
    if (!happens(sim, 10)) /* dear, and test_saga.c does it for every row */
        return;
    saga_to_text(&sim->facts, before);
    facts_shuffle(&sim->facts, &sim->dice);
    saga_to_text(&sim->facts, after);
    sim->folded = false;
    if (strcmp(before, after) != 0)
        sim_fail(sim, "another order of facts gives another payment: %s / %s", before, after);
}

static void check_rest(struct sim *sim)
{
    static struct next next;
    const struct payment *p = &sim->payment;
    if (!refold(sim) || !p->received)
        return; /* payment.create died before it could write anything */
    saga_next(p, &next);
    if (next.count)
        sim_fail(sim, "at rest, but %s %s is still to be done", next.items[0].type, next.items[0].slot);
    bool for_a_person = p->state == SAGA_UNWINDING && p->unwind && p->refunds[p->unwind].result;
    if (!p->ended && !for_a_person)
        sim_fail(sim, "at rest, but %s", saga_state_text(p->state));
    for (int n = 1; n <= WORLD_ROUTES; n++)
        if (sim->world.holds[n] == HOLD_LIVE || sim->world.holds[n] == HOLD_CHALLENGED)
            sim_fail(sim, "at rest, but authorization %d is still live at the provider", n);
    if (p->state == SAGA_COMPLETED)
        check_sold(sim);
    else if (p->ended)
        check_money_gone(sim);
    if (p->ended)
        check_told(sim);
    bool sold = p->state == SAGA_COMPLETED && sim->flow == FLOW_DUAL && p->public != PUBLIC_REFUNDED;
    if (sold && !facts_find(&sim->facts, "pop:committed"))
        sim_fail(sim, "completed, but the validators were not told");
    check_refund_books(sim);
    check_order(sim);
}

/* --- a history --- */

/* Every kind of trouble is left out of most histories, so that the others can be seen alone. */
static int some(struct sim *sim, int percent, int most)
{
    return happens(sim, percent) ? 1 + dice_below(&sim->dice, most) : 0;
}

static void set_scene(struct sim *sim)
{
    struct budget *b = &sim->budget;
    sim->flow = happens(sim, 65) ? FLOW_DUAL : FLOW_PLAIN;
    sim->routes = 1 + happens(sim, 50);
    sim->refused_by_rule = happens(sim, 2);
    *b = (struct budget){.crash = some(sim, 45, 3),
                         .duplicate = some(sim, 35, 3),
                         .fault = some(sim, 50, 4),
                         .flight = some(sim, 30, 2),
                         .cancel = some(sim, 20, 1),
                         .expire = some(sim, 15, 1),
                         .refund = some(sim, 35, 3),
                         .dead = some(sim, 25, 2),
                         .replay = some(sim, 50, 1),
                         .wipe = some(sim, 12, 1),
                         .look = some(sim, 15, 1),
                         .hold = some(sim, 8, 1),
                         .reservation = some(sim, 8, 1),
                         .callback = some(sim, 30, 2)};
    sim->world.odds = (struct odds){.decline = some(sim, 60, 40),
                                    .challenge = some(sim, 15, 60),
                                    .defer = some(sim, 25, 90),
                                    .reject = some(sim, 25, 60),
                                    .no_tokens = some(sim, 15, 60),
                                    .no_capture = some(sim, 15, 60),
                                    .no_activation = some(sim, 15, 60),
                                    .no_refund = some(sim, 25, 60),
                                    .no_notice = some(sim, 10, 50)};
    sim->world.waits = some(sim, 50, 3);
    /* The delivery that sent too late has to live until it has its answer, or comes again: nobody else knows. */
    sim->stalls = happens(sim, 20);
    if (sim->stalls) {
        b->stall = 2;
        b->look = b->duplicate = 3;
        b->dead = b->wipe = 0;
        sim->world.odds.challenge = some(sim, 50, 80);
    }
}

static void begin(struct sim *sim, uint64_t seed, bool loud, struct coverage *coverage)
{
    memset(sim, 0, sizeof *sim);
    sim->dice.state = seed;
    sim->world.dice = &sim->dice;
    sim->loud = loud;
    sim->coverage = coverage;
    sim->facts = (struct facts){.payment_id = uuid_payment("shop", "order 1"), .items = sim->items};
    set_scene(sim);
    check(sim);
    publish_public(sim, "payment.create", "create", 0);
}

static void end(struct sim *sim)
{
    payment_clear(&sim->payment);
    for (size_t i = 0; i < sim->facts.count; i++)
        json_decref(sim->items[i].body);
}

/* One step of the history. False: at rest. */
static bool go_on(struct sim *sim)
{
    enum { DISTURBED = 8, LAST_THOUGHTS = 12 }; /* per cent; tries */
    struct moves moves;
    refold(sim);
    list_moves(sim, &moves);
    if (happens(sim, DISTURBED))
        disturb(sim, &moves);
    else if (move(sim, &moves))
        return true;
    else
        for (int i = 0; i < LAST_THOUGHTS && !sim->queue_count; i++) /* after the end, too, things happen */
            disturb(sim, &moves);
    list_moves(sim, &moves);
    return moves.messages || moves.busy || sim->flight_count || sweep(sim);
}

bool sim_run(struct sim *sim, uint64_t seed, bool loud, struct coverage *coverage)
{
    begin(sim, seed, loud, coverage);
    int moves = 0;
    while (!sim->failure[0] && go_on(sim))
        if (++moves > SIM_MOVES)
            sim_fail(sim, "no rest after SIM_MOVES moves");
    if (!sim->failure[0])
        check_rest(sim);
    bool held = !sim->failure[0];
    end(sim);
    return held;
}
