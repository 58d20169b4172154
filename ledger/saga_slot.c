/* saga_slot.c - the names of slots and their outcomes, and the list of facts
 *
 * One table holds every name a fact can stand under and what it can say there (L2). What is not in it is SLOT_UNKNOWN,
 * and no fold accepts it.
 */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

#include "ledger/saga_internal.h"

/* A pattern is literal but for: N a number from 1, K a number from 0, U a UUID, E an event (payment.refunded.2), C the
 * name of a channel or validator. Outcomes are alternatives separated by '|'; '*' is any text. `most` bounds N. */
static const struct slot_row {
    const char *pattern;
    const char *outcomes;
    int most;
} ROWS[] = {
    [SLOT_UNKNOWN] = {.pattern = NULL},
    [SLOT_RECEIVED] = {"received", "accepted", 0},
    [SLOT_AUTH] = {"auth:N", "intent|closed", AUTHORIZATIONS_MAX},
    [SLOT_AUTH_RESULT] = {"auth:N:result", "approved|declined|cancelled|absent", AUTHORIZATIONS_MAX},
    [SLOT_AUTH_LATE] = {"auth:N:late", "approved", AUTHORIZATIONS_MAX},
    [SLOT_AUTH_ACTION] = {"auth:N:action", "required", AUTHORIZATIONS_MAX},
    [SLOT_AUTH_DOUBT] = {"auth:N:doubt:K", "unknown", AUTHORIZATIONS_MAX},
    [SLOT_AUTH_LATE_DOUBT] = {"auth:N:late:doubt:K", "unknown|nothing", AUTHORIZATIONS_MAX},
    [SLOT_CAPTURE_DOUBT] = {"capture:doubt:K", "unknown", 0},
    [SLOT_VOID_DOUBT] = {"void:N:doubt:K", "unknown", AUTHORIZATIONS_MAX},
    [SLOT_REFUND_DOUBT] = {"refund:N:doubt:K", "unknown", REFUNDS_MAX},
    [SLOT_POP] = {"pop", "validated|rejected", 0},
    [SLOT_POP_VOTE] = {"pop:vote:C", "valid|invalid", 0},
    [SLOT_POP_COMMITTED] = {"pop:committed", "committed", 0},
    [SLOT_POP_REVOKED] = {"pop:revoked", "revoked", 0},
    [SLOT_TOKEN_RESERVED] = {"token:reserved", "reserved|refused", 0},
    [SLOT_TOKEN_ACTIVE] = {"token:active", "active|refused", 0},
    [SLOT_TOKEN_RELEASED] = {"token:released", "released|deactivated", 0},
    [SLOT_DECISION] = {"decision", "commit:N|abort", AUTHORIZATIONS_MAX},
    [SLOT_CAPTURE] = {"capture", "captured|refused", 0},
    [SLOT_VOID] = {"void:N", "voided|expired|nothing", AUTHORIZATIONS_MAX},
    [SLOT_REFUND] = {"refund:N", "accepted|refused", REFUNDS_MAX},
    [SLOT_REFUND_RESULT] = {"refund:N:result", "refunded|refused", REFUNDS_MAX},
    [SLOT_DEAD] = {"dead:U:N", "*", DEATHS_MAX},
    [SLOT_REPLAY] = {"replay:U:N", "replayed|discarded", DEATHS_MAX},
    [SLOT_NOTICE] = {"notice:E:C", "delivered|refused", 0},
};
static_assert(sizeof ROWS / sizeof ROWS[0] == SLOT_KIND_COUNT, "every kind of slot has its row");

enum { NUMBER_DIGITS_MAX = 7 };

/* Each take_* returns the rest of the text behind what it took, or NULL when that does not stand there. */
static const char *take_number(const char *text, int least, int most, int *ret)
{
    int value = 0, digits = 0;
    for (; isdigit((unsigned char)text[digits]); digits++) {
        if (digits == NUMBER_DIGITS_MAX)
            return NULL;
        value = 10 * value + (text[digits] - '0');
    }
    bool leading_zero = digits > 1 && text[0] == '0';
    if (digits == 0 || leading_zero || value < least || value > most)
        return NULL;
    *ret = value;
    return text + digits;
}

static const char *take_uuid(const char *text)
{
    for (int i = 0; i < UUID_TEXT_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = isdigit((unsigned char)text[i]) || (text[i] >= 'a' && text[i] <= 'f');
        if (dash ? text[i] != '-' : !hex)
            return NULL;
    }
    return text + UUID_TEXT_SIZE - 1;
}

static const char *take_word(const char *text, const char *allowed)
{
    size_t length = strspn(text, allowed);
    return length ? text + length : NULL;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static const char *take_channel(const char *text)
{
    const char *end = take_word(text, LOWER DIGITS "-_");
    return end && end - text < CHANNEL_SIZE ? end : NULL;
}

/* An event may end in the number of a refund: *ret is it, else untouched. */
static const char *take_event(const char *text, int *ret)
{
    const char *end = take_word(text, LOWER DIGITS "._");
    const char *dot = end ? memrchr(text, '.', (size_t)(end - text)) : NULL;
    int n;
    if (dot && take_number(dot + 1, 1, REFUNDS_MAX, &n) == end)
        *ret = n;
    return end;
}

/* The rest of `text` behind one pattern character. */
static const char *take(char pattern, const char *text, int most, struct slot *ret)
{
    if (pattern == 'N')
        return take_number(text, 1, most, &ret->n);
    if (pattern == 'K')
        return take_number(text, 0, DOUBTS_MAX - 1, &ret->k);
    if (pattern == 'U')
        return take_uuid(text);
    if (pattern == 'E')
        return take_event(text, &ret->n);
    if (pattern == 'C')
        return take_channel(text);
    return *text == pattern ? text + 1 : NULL;
}

/* Matches the pattern up to its end or the next '|' against the whole text. */
static bool matches(const char *pattern, const char *text, int most, struct slot *ret)
{
    for (; *pattern && *pattern != '|'; pattern++) {
        text = take(*pattern, text, most, ret);
        if (!text)
            return false;
    }
    return *text == '\0';
}

struct slot slot_parse(const char *name)
{
    for (int kind = SLOT_UNKNOWN + 1; kind < SLOT_KIND_COUNT; kind++) {
        struct slot slot = {.kind = (enum slot_kind)kind};
        if (ROWS[kind].pattern[0] == name[0] && matches(ROWS[kind].pattern, name, ROWS[kind].most, &slot))
            return slot;
    }
    return (struct slot){.kind = SLOT_UNKNOWN};
}

bool slot_is_doubt(const char *name)
{
    switch (slot_parse(name).kind) {
    case SLOT_AUTH_DOUBT:
    case SLOT_AUTH_LATE_DOUBT:
    case SLOT_CAPTURE_DOUBT:
    case SLOT_VOID_DOUBT:
    case SLOT_REFUND_DOUBT:
        return true;
    default: /* a new kind is none until it is said here */
        return false;
    }
}

bool outcome_parse(enum slot_kind kind, const char *outcome, int *ret_n)
{
    const struct slot_row *row = &ROWS[kind];
    *ret_n = 0;
    for (const char *alternative = row->outcomes; alternative; alternative = strchr(alternative, '|')) {
        alternative += *alternative == '|';
        struct slot number = {.n = 0};
        if (strcmp(alternative, "*") == 0 || matches(alternative, outcome, row->most, &number)) {
            *ret_n = number.n;
            return true;
        }
    }
    return false;
}

bool channel_valid(const char *channel)
{
    const char *end = take_channel(channel);
    return end && *end == '\0';
}

void facts_clear(struct facts *facts)
{
    for (size_t i = 0; i < facts->count; i++) {
        free(facts->items[i].actor);
        json_decref(facts->items[i].body);
    }
    free(facts->items);
    *facts = (struct facts){0};
}

const struct fact *facts_find(const struct facts *facts, const char *slot)
{
    for (size_t i = 0; i < facts->count; i++)
        if (strcmp(facts->items[i].slot, slot) == 0)
            return &facts->items[i];
    return NULL;
}
