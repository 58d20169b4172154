/* coverage.c - what was reached at all: a table each for slots, states, reasons, outcomes, faults and deaths */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fault.h"
#include "tests/simulate/simulate.h"

struct coverage coverage;

/* States that a payment went through: of every prefix of its facts that is one snapshot. */
static int by_seq(const void *a, const void *b)
{
    const struct fact *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void note_states(const struct facts *facts)
{
    qsort(facts->items, facts->count, sizeof *facts->items, by_seq);
    for (size_t count = 1; count <= facts->count; count++) {
        struct facts prefix = {.payment_id = facts->payment_id, .count = count, .items = facts->items};
        struct payment payment;
        struct err err = {0};
        if (saga_fold(&prefix, &payment, &err) == 0) {
            coverage.states[payment.state]++;
            coverage.publics[payment.public]++;
        }
        payment_clear(&payment);
    }
}

static void note_reason(const char *code)
{
    for (int i = 0; code && i < REASON_COUNT; i++)
        coverage.reasons[i] += strcmp(reason_code((enum reason)i), code) == 0;
}

enum { STATES_OF_EVERY = 8 }; /* of one payment in so many */

void coverage_note(const struct facts *facts, const struct payment *payment)
{
    coverage.payments++;
    for (size_t i = 0; i < facts->count; i++)
        coverage.slots[slot_parse(facts->items[i].slot).kind]++;
    note_reason(payment->reason);
    coverage.states[payment->state]++;
    coverage.publics[payment->public]++;
    if (coverage.payments % STATES_OF_EVERY == 0)
        note_states(facts);
}

void coverage_add(struct coverage *to, const struct coverage *from)
{
    uint64_t *a = (uint64_t *)(void *)to;
    const uint64_t *b = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < sizeof *to / sizeof *a; i++)
        a[i] += b[i];
}

/* --- the tables --- */

struct line {
    const char *name;
    uint64_t count;
    bool may_be_zero;
};

static int print_table(const char *title, const struct line *lines, size_t count)
{
    int zeros = 0;
    printf("\n%s\n", title);
    for (size_t i = 0; i < count; i++) {
        bool zero = lines[i].count == 0 && !lines[i].may_be_zero;
        printf("  %-32s %12llu%s\n", lines[i].name, (unsigned long long)lines[i].count, zero ? "   NOT REACHED" : "");
        zeros += zero;
    }
    return zeros;
}

enum { LINES_MAX = 64 };

static int print_faults(const struct coverage *all)
{
    static const char *const names[] = {
#define X(id, text) text,
        FAULTS(X)
#undef X
    };
    struct line lines[LINES_MAX];
    for (size_t i = 0; i < FAULT_KIND_COUNT; i++)
        lines[i] = (struct line){names[i], all->faults[i], false};
    return print_table("faults", lines, FAULT_KIND_COUNT);
}

static int print_points(const struct coverage *all)
{
    static const char *const names[] = {
#define X(id, text) text,
        FAULT_POINTS(X)
#undef X
    };
    struct line lines[LINES_MAX];
    size_t count = sizeof names / sizeof *names;
    for (size_t i = 0; i < count; i++)
        lines[i] = (struct line){names[i], all->points[i], false};
    return print_table("died at", lines, count);
}

static int print_slots(const struct coverage *all)
{
    static const char *const names[] = {
#define X(id) #id,
        SLOT_KINDS(X)
#undef X
    };
    struct line lines[LINES_MAX];
    for (size_t i = 0; i < SLOT_KIND_COUNT; i++)
        lines[i] = (struct line){names[i], all->slots[i], i == SLOT_UNKNOWN};
    return print_table("slots", lines, SLOT_KIND_COUNT);
}

static int print_states(const struct coverage *all)
{
    struct line lines[LINES_MAX];
    for (int i = 0; i < SAGA_STATE_COUNT; i++)
        lines[i] = (struct line){saga_state_text((enum saga_state)i), all->states[i], false};
    int zeros = print_table("states", lines, SAGA_STATE_COUNT);
    for (int i = 0; i < PUBLIC_STATE_COUNT; i++)
        lines[i] = (struct line){public_state_text((enum public_state)i), all->publics[i], false};
    return zeros + print_table("public states", lines, PUBLIC_STATE_COUNT);
}

/* What no rule of the simulated shop brings about. */
static bool is_unreachable(enum reason reason)
{
    return reason == REASON_REFUSED_BY_RULE || reason == REASON_NO_ROUTE;
}

static int print_reasons(const struct coverage *all)
{
    struct line lines[LINES_MAX];
    for (int i = 0; i < REASON_COUNT; i++)
        lines[i] = (struct line){reason_code((enum reason)i), all->reasons[i], is_unreachable((enum reason)i)};
    return print_table("reasons", lines, REASON_COUNT);
}

static int print_outcomes(const struct coverage *all)
{
    static const struct {
        int at;
        const char *name;
    } rows[] = {
        {PROVIDER_AUTHORIZE * 8 + PROVIDER_DONE, "authorize: done"},
        {PROVIDER_AUTHORIZE * 8 + PROVIDER_REFUSED, "authorize: refused"},
        {PROVIDER_AUTHORIZE * 8 + PROVIDER_ACTION, "authorize: action"},
        {PROVIDER_AUTHORIZE * 8 + PROVIDER_EXPIRED, "authorize: expired"},
        {PROVIDER_AUTHORIZE * 8 + PROVIDER_ABSENT, "authorize: absent"},
        {PROVIDER_AUTHORIZE * 8 + PROVIDER_UNKNOWN, "authorize: unknown"},
        {PROVIDER_CAPTURE * 8 + PROVIDER_DONE, "capture: done"},
        {PROVIDER_CAPTURE * 8 + PROVIDER_REFUSED, "capture: refused"},
        {PROVIDER_CAPTURE * 8 + PROVIDER_ABSENT, "capture: absent"},
        {PROVIDER_CAPTURE * 8 + PROVIDER_UNKNOWN, "capture: unknown"},
        {PROVIDER_VOID * 8 + PROVIDER_DONE, "void: done"},
        {PROVIDER_VOID * 8 + PROVIDER_EXPIRED, "void: expired"},
        {PROVIDER_VOID * 8 + PROVIDER_UNKNOWN, "void: unknown"},
        {PROVIDER_REFUND * 8 + PROVIDER_DONE, "refund: done"},
        {PROVIDER_REFUND * 8 + PROVIDER_REFUSED, "refund: refused"},
        {PROVIDER_REFUND * 8 + PROVIDER_UNKNOWN, "refund: unknown"},
        {32 + TOKENS_DONE, "tokens: done"},
        {32 + TOKENS_REFUSED, "tokens: refused"},
        {32 + TOKENS_ACTIVE, "tokens: active"},
        {32 + TOKENS_UNKNOWN, "tokens: unknown"},
        {40 + POP_VALIDATED, "validators: validated"},
        {40 + POP_REJECTED, "validators: rejected"},
        {40 + POP_REVOKED, "validators: revoked"},
        {40 + POP_COMMITTED, "validators: committed"},
        {40 + POP_DEFERRED, "validators: deferred"},
        {40 + POP_UNKNOWN, "validators: unknown"},
        {48 + WEBHOOK_DELIVERED, "webhook: delivered"},
        {48 + WEBHOOK_UNKNOWN, "webhook: unknown"},
    };
    struct line lines[LINES_MAX];
    size_t count = sizeof rows / sizeof *rows;
    for (size_t i = 0; i < count; i++)
        lines[i] = (struct line){rows[i].name, all->outcomes[rows[i].at], false};
    return print_table("outcomes of calls", lines, count);
}

static int print_http(const struct coverage *all)
{
    const struct line lines[] = {
        {"not sent", all->http[0], false}, {"no answer", all->http[1], false}, {"2xx", all->http[2], false},
        {"4xx", all->http[4], false},      {"5xx", all->http[5], false},       {"replayed", all->http[6], false},
    };
    return print_table("answers over HTTP", lines, sizeof lines / sizeof *lines);
}

static int print_deaths(const struct coverage *all)
{
    static const char *const names[] = {
#define X(id, text) text,
        DEATHS(X)
#undef X
    };
    struct line lines[LINES_MAX];
    size_t count = sizeof names / sizeof *names;
    for (size_t i = 0; i < count; i++)
        lines[i] = (struct line){names[i], all->deaths[i],
                                 i != DEATH_EXHAUSTED && i != DEATH_CONFLICT && i != DEATH_CRASH_LOOP};
    return print_table("dead letters", lines, count);
}

int coverage_print(const struct coverage *all)
{
    return print_faults(all) + print_points(all) + print_slots(all) + print_states(all) + print_reasons(all) +
           print_outcomes(all) + print_http(all) + print_deaths(all);
}
