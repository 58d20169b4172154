/* saga_text.c - facts written as text, and what the saga makes of them as text, for tests */
#include "tests/unit/saga_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"

static const struct uuid PAYMENT = {{0xac, 0x90, 0x17, 1, 2, 3, 0x84, 4, 0x85, 5, 6, 7, 8, 9, 10, 11}};

/* What is left out. */
static const char *usual_outcome(enum slot_kind kind)
{
    static const char *const USUAL[SLOT_KIND_COUNT] = {
        [SLOT_RECEIVED] = "accepted",       [SLOT_AUTH] = "intent",        [SLOT_AUTH_LATE] = "approved",
        [SLOT_AUTH_ACTION] = "required",    [SLOT_AUTH_DOUBT] = "unknown", [SLOT_AUTH_LATE_DOUBT] = "unknown",
        [SLOT_CAPTURE_DOUBT] = "unknown",   [SLOT_VOID_DOUBT] = "unknown", [SLOT_REFUND_DOUBT] = "unknown",
        [SLOT_POP_REVOKED] = "revoked",     [SLOT_POP_VOTE] = "valid",     [SLOT_POP_COMMITTED] = "committed",
        [SLOT_TOKEN_RELEASED] = "released", [SLOT_VOID] = "voided",        [SLOT_REPLAY] = "replayed",
        [SLOT_NOTICE] = "delivered",
    };
    return USUAL[kind] ? USUAL[kind] : "?";
}

struct uuid cause_of(const char *slot)
{
    return uuid_command("test", "saga", slot);
}

static json_t *received_body(enum flow flow, const char *channels)
{
    json_t *list = json_array();
    char *copy = mem_text(channels), *rest = NULL;
    for (char *name = strtok_r(copy, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        json_array_append_new(list, json_string(name));
    free(copy);
    return json_pack("{s:s, s:i, s:s, s:o}", "flow", flow == FLOW_DUAL ? "dual" : "plain", "amount", SAGA_TEXT_AMOUNT,
                     "currency", "EUR", "channels", list);
}

static json_t *body_of(enum slot_kind kind, const char *extra)
{
    if (extra && kind == SLOT_DECISION)
        return json_pack("{s:s}", "reason", extra);
    if (extra)
        return json_pack("{s:I}", "amount", (json_int_t)atoll(extra));
    return json_object();
}

/* Cuts `text` at the first `mark` and returns what stood behind it, or NULL. */
static char *cut(char *text, char mark)
{
    char *at = strchr(text, mark);
    if (at)
        *at++ = '\0';
    return at;
}

static void fact_from_text(struct fact *ret, char *text, enum flow flow, const char *channels)
{
    char *cause = cut(text, '@'), *extra = cut(text, '/'), *outcome = cut(text, '=');
    enum slot_kind kind = slot_parse(text).kind;
    *ret = (struct fact){.cause = cause_of(cause ? cause : text)};
    snprintf(ret->slot, sizeof ret->slot, "%s", text);
    snprintf(ret->outcome, sizeof ret->outcome, "%s", outcome ? outcome : usual_outcome(kind));
    ret->body = kind == SLOT_RECEIVED ? received_body(flow, channels) : body_of(kind, extra);
    if (!ret->body)
        log_panic("no body for %s", ret->slot);
}

void facts_from_text(struct facts *ret, enum flow flow, const char *channels, const char *text)
{
    *ret = (struct facts){.payment_id = PAYMENT};
    char *copy = mem_text(text), *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        ret->items = mem_grow(ret->items, ret->count + 1, sizeof *ret->items);
        fact_from_text(&ret->items[ret->count], word, flow, channels);
        ret->items[ret->count].seq = (int64_t)ret->count + 1;
        ret->count++;
    }
    free(copy);
}

void next_to_text(const struct next *next, char ret[static SAGA_TEXT_SIZE])
{
    size_t at = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < next->count; i++) {
        const struct follow_up *f = &next->items[i];
        at += (size_t)snprintf(ret + at, SAGA_TEXT_SIZE - at, "%s%s %s", i ? "; " : "", f->type, f->slot);
        for (size_t r = 0; r < f->rest_count; r++)
            at += (size_t)snprintf(ret + at, SAGA_TEXT_SIZE - at, " <%s", f->rests[r]->slot);
    }
}

void saga_to_text(const struct facts *facts, char ret[static SAGA_TEXT_SIZE])
{
    static struct next next;
    char said[SAGA_TEXT_SIZE];
    struct err err = {0};
    struct payment p;
    if (saga_fold(facts, &p, &err)) {
        snprintf(ret, SAGA_TEXT_SIZE, "%s: %s", err_code_text(err.code), err.text);
    } else {
        saga_next(&p, &next);
        next_to_text(&next, said);
        snprintf(ret, SAGA_TEXT_SIZE, "%s, %s, %s, %lld/%lld: %.15000s", saga_state_text(p.state),
                 public_state_text(p.public), p.reason ? p.reason : "-", (long long)p.refunded,
                 (long long)p.refund_reserved, said);
    }
    payment_clear(&p);
}

/* splitmix64 */
uint64_t dice_roll(struct dice *dice)
{
    uint64_t z = dice->state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

int dice_below(struct dice *dice, int limit)
{
    return (int)(dice_roll(dice) % (uint64_t)limit);
}

void facts_shuffle(struct facts *facts, struct dice *dice)
{
    for (size_t i = facts->count; i > 1; i--) {
        size_t j = (size_t)dice_below(dice, (int)i);
        struct fact kept = facts->items[i - 1];
        facts->items[i - 1] = facts->items[j];
        facts->items[j] = kept;
    }
}
