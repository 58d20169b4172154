/* tokens.c - the token system (docs/provider-interfaces.md)
 *
 * One reservation per payment:
 *
 *     (none)          -- reserve  --> reserved, or refused (final for the payment)
 *     reserved        -- activate --> active, or expired if a fault declines it (final for the payment)
 *     any but active  -- release  --> released (final; an active one stays active and says so)
 *
 * Stock: token ids beginning with `unknown` do not exist, `soldout` have none, `limited-<k>-` have k in total, all
 * others are without end. What is reserved or active is taken from the stock; release and expiry give it back. A
 * release of a payment never seen is kept (a tombstone), so that a reservation that comes late is refused.
 *
 * A test may rewrite the books, or have a payment forgotten: then they are wrong, as a provider's can be.
 */
#include "tokens.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "journal.h"
#include "map.h"

enum { TOKEN_SIZE = 129, MAX_QUANTITY = 1000000 };

#define STATES(X)                                                                                                      \
    X(RESERVED, "reserved")                                                                                            \
    X(ACTIVE, "active")                                                                                                \
    X(RELEASED, "released") X(DEACTIVATED, "deactivated") X(REFUSED, "refused") X(EXPIRED, "expired")
#define X(id, text) STATE_##id,
enum state { STATES(X) };
#undef X
#define X(id, text) +1
enum { STATE_COUNT = 0 STATES(X) };
#undef X
#define X(id, text) [STATE_##id] = text,
static const char *const states[STATE_COUNT] = {STATES(X)};
#undef X

struct stock {
    char token[TOKEN_SIZE];
    int64_t limit; /* -1: without end */
    int64_t taken;
    struct stock *next;
};

struct reservation {
    char payment[PAYMENT_SIZE];
    char token[TOKEN_SIZE]; /* "": a tombstone of a payment never seen */
    int64_t quantity;
    enum state state;
    char refusal[32]; /* why reserve (REFUSED) or activate (EXPIRED) said no */
    int64_t changed_at;
    struct reservation *next; /* in the order they were made */
};

static const char *caller_key;
static struct map reservations;
static struct reservation *first, *last;
static struct map stocks;
static struct stock *first_stock;

void tokens_configure(const char *key)
{
    caller_key = key;
}

/* ---- stock ---- */

static int64_t limit_of(const char *token)
{
    char number[16] = "";
    int64_t limit;
    if (text_starts(token, "soldout"))
        return 0;
    if (!text_starts(token, "limited-"))
        return -1;
    token += strlen("limited-");
    const char *dash = strchr(token, '-');
    if (!dash || (size_t)(dash - token) >= sizeof number)
        return -1;
    memcpy(number, token, (size_t)(dash - token));
    return text_integer(number, 0, INT32_MAX, &limit) ? limit : -1;
}

static struct stock *stock_of(const char *token)
{
    struct stock *stock = map_get(&stocks, token);
    if (stock)
        return stock;
    stock = memory_new(sizeof *stock);
    text_copy(stock->token, sizeof stock->token, token);
    stock->limit = limit_of(token);
    stock->next = first_stock;
    first_stock = stock;
    map_put(&stocks, stock->token, stock);
    return stock;
}

static bool takes_stock(const struct reservation *r)
{
    return r->state == STATE_RESERVED || r->state == STATE_ACTIVE;
}

/* The one place that changes a state, so that the stock always fits. */
static void set_state(struct reservation *r, enum state state)
{
    if (takes_stock(r))
        stock_of(r->token)->taken -= r->quantity;
    r->state = state;
    r->changed_at = clock_real_ms();
    if (takes_stock(r))
        stock_of(r->token)->taken += r->quantity;
}

/* ---- reservations ---- */

/* In state released, which takes no stock. NULL: full. */
static struct reservation *add(const char *payment)
{
    if (reservations.count >= LIMIT_RECORDS)
        return NULL;
    struct reservation *r = memory_new(sizeof *r);
    text_copy(r->payment, sizeof r->payment, payment);
    r->state = STATE_RELEASED;
    r->changed_at = clock_real_ms();
    map_put(&reservations, r->payment, r);
    if (last)
        last->next = r;
    else
        first = r;
    last = r;
    return r;
}

/* As if it had never been heard of. */
static void forget(struct reservation *r)
{
    struct reservation **link = &first, *before = NULL;
    set_state(r, STATE_RELEASED);
    for (; *link != r; link = &(*link)->next)
        before = *link;
    *link = r->next;
    if (last == r)
        last = before;
    map_remove(&reservations, r->payment);
    free(r);
}

static void note_forgotten(const char *payment)
{
    if (journal_on())
        journal_note(json_pack("{s:s, s:s, s:b}", "t", "reservation", "payment", payment, "forgotten", 1));
}

static void note(const struct reservation *r)
{
    if (!journal_on())
        return;
    journal_note(json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:I}", "t", "reservation", "payment", r->payment, "token",
                           r->token, "quantity", (json_int_t)r->quantity, "state", states[r->state], "refusal",
                           r->refusal, "changedAt", (json_int_t)r->changed_at));
}

static bool state_named(const char *name, enum state *ret)
{
    for (int i = 0; name && i < STATE_COUNT; i++) {
        if (strcmp(states[i], name) == 0) {
            *ret = (enum state)i;
            return true;
        }
    }
    return false;
}

bool tokens_apply(const json_t *record)
{
    char payment[PAYMENT_SIZE];
    enum state state = STATE_RELEASED;
    if (!text_payment(payment, json_string_value(json_object_get(record, "payment"))))
        return false;
    struct reservation *r = map_get(&reservations, payment);
    if (json_is_true(json_object_get(record, "forgotten"))) {
        if (r)
            forget(r);
        return true;
    }
    if (!state_named(json_string_value(json_object_get(record, "state")), &state))
        return false;
    if (!r)
        r = add(payment);
    if (!r)
        return false;
    set_state(r, STATE_RELEASED); /* gives back what the older record took */
    text_copy(r->token, sizeof r->token, json_string_value(json_object_get(record, "token")));
    text_copy(r->refusal, sizeof r->refusal, json_string_value(json_object_get(record, "refusal")));
    r->quantity = json_integer_value(json_object_get(record, "quantity"));
    set_state(r, state);
    r->changed_at = json_integer_value(json_object_get(record, "changedAt"));
    return true;
}

/* ---- the way in ---- */

static bool enter(struct call *call)
{
    if (call_has_bearer(call, caller_key))
        return true;
    answer_error(call, 401, "unauthorized");
    return false;
}

struct wish {
    char payment[PAYMENT_SIZE];
    char token[TOKEN_SIZE];
    int64_t quantity;
};

static bool read_wish(const json_t *body, struct wish *wish)
{
    const char *token = json_string_value(json_object_get(body, "tokenId"));
    const json_t *quantity = json_object_get(body, "quantity");
    if (!text_payment(wish->payment, json_string_value(json_object_get(body, "paymentId"))) || !token || !*token ||
        !text_copy(wish->token, sizeof wish->token, token) || !json_is_integer(quantity))
        return false;
    wish->quantity = json_integer_value(quantity);
    return wish->quantity >= 1 && wish->quantity <= MAX_QUANTITY;
}

void tokens_open_reserve(struct call *call)
{
    struct wish wish;
    if (!enter(call))
        return;
    if (!read_wish(call->json, &wish)) {
        answer_error(call, 400, "malformed");
        return;
    }
    text_copy(call->payment, sizeof call->payment, wish.payment);
}

void tokens_open_change(struct call *call)
{
    if (enter(call))
        call_payment_arg(call, 0);
}

/* ---- effects ---- */

static json_t *reserved_json(const struct reservation *r, const char *status)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "paymentId", r->payment, "tokenId", r->token, "quantity",
                     (json_int_t)r->quantity, "status", status);
}

static void answer_refusal(struct call *call, const struct reservation *r)
{
    answer_error(call, strcmp(r->refusal, "unknown_token") == 0 ? 404 : 409, r->refusal);
}

/* "" when there is nothing against it. */
static const char *objection(const struct call *call, const struct wish *wish)
{
    const struct stock *stock = stock_of(wish->token);
    if (call->fault.kind == FAULT_DECLINE)
        return strcmp(call->fault.code, "unknown_token") == 0 ? "unknown_token" : "tokens_unavailable";
    if (text_starts(wish->token, "unknown"))
        return "unknown_token";
    bool short_of = stock->limit >= 0 && stock->taken + wish->quantity > stock->limit;
    return short_of ? "tokens_unavailable" : "";
}

static void reserve(struct call *call, const struct wish *wish)
{
    struct reservation *r = add(wish->payment);
    if (!r) {
        answer_error(call, 503, "full");
        return;
    }
    text_copy(r->token, sizeof r->token, wish->token);
    r->quantity = wish->quantity;
    text_copy(r->refusal, sizeof r->refusal, objection(call, wish));
    set_state(r, r->refusal[0] ? STATE_REFUSED : STATE_RESERVED);
    note(r);
    if (r->refusal[0])
        answer_refusal(call, r);
    else
        answer_json(call, 201, reserved_json(r, "reserved"));
}

/* A repeat gets the first answer, also when the tokens are active by now. */
static void reserve_again(struct call *call, const struct reservation *r, const struct wish *wish)
{
    if (r->state == STATE_RELEASED)
        answer_error(call, 409, "released");
    else if (strcmp(r->token, wish->token) != 0 || r->quantity != wish->quantity)
        answer_error(call, 422, "contradicts an earlier request");
    else if (r->state == STATE_REFUSED)
        answer_refusal(call, r);
    else
        answer_json(call, 200, reserved_json(r, "reserved"));
}

void tokens_effect_reserve(struct call *call)
{
    struct wish wish;
    if (!read_wish(call->json, &wish))
        return;
    const struct reservation *r = map_get(&reservations, wish.payment);
    if (r)
        reserve_again(call, r, &wish);
    else
        reserve(call, &wish);
}

/* Declined: the reservation is lost, with not_reserved, released or expired (the code) as the answer from now on. */
static void decline_activation(struct call *call, struct reservation *r)
{
    bool named = strcmp(call->fault.code, "released") == 0 || strcmp(call->fault.code, "expired") == 0;
    text_copy(r->refusal, sizeof r->refusal, named ? call->fault.code : "not_reserved");
    set_state(r, STATE_EXPIRED);
    note(r);
}

void tokens_effect_activate(struct call *call)
{
    struct reservation *r = map_get(&reservations, call->payment);
    if (r && r->state == STATE_RESERVED && call->fault.kind == FAULT_DECLINE)
        decline_activation(call, r);
    else if (r && r->state == STATE_RESERVED) {
        set_state(r, STATE_ACTIVE);
        note(r);
    }
    if (r && r->state == STATE_ACTIVE)
        answer_json(call, 200, json_pack("{s:s, s:s}", "paymentId", r->payment, "status", "active"));
    else if (r && r->state == STATE_RELEASED)
        answer_error(call, 409, "released");
    else if (r && r->state == STATE_EXPIRED)
        answer_error(call, 409, r->refusal);
    else
        answer_error(call, 409, "not_reserved");
}

void tokens_effect_release(struct call *call)
{
    struct reservation *r = map_get(&reservations, call->payment);
    if (call->fault.kind == FAULT_DECLINE) {
        answer_error(call, 422, call->fault.code[0] ? call->fault.code : "refused");
        return;
    }
    bool seen = r != NULL;
    if (!seen && !(r = add(call->payment))) {
        answer_error(call, 503, "full");
        return;
    }
    if (!seen || (r->state != STATE_ACTIVE && r->state != STATE_RELEASED && r->state != STATE_DEACTIVATED)) {
        set_state(r, STATE_RELEASED);
        note(r);
    }
    answer_json(call, 200, json_pack("{s:s, s:s}", "paymentId", r->payment, "status", states[r->state]));
}

/* Only what is active; a repeat gets the same answer. */
void tokens_effect_deactivate(struct call *call)
{
    struct reservation *r = map_get(&reservations, call->payment);
    if (r && r->state == STATE_ACTIVE && call->fault.kind != FAULT_DECLINE) {
        set_state(r, STATE_DEACTIVATED);
        note(r);
    }
    if (r && r->state == STATE_DEACTIVATED)
        answer_json(call, 200, json_pack("{s:s, s:s}", "paymentId", r->payment, "status", "deactivated"));
    else
        answer_error(call, 409, "not_active");
}

void tokens_effect_retrieve(struct call *call)
{
    const struct reservation *r = map_get(&reservations, call->payment);
    if (!r || call->fault.kind == FAULT_DECLINE) {
        answer_json(call, 200,
                    json_pack("{s:s, s:n, s:i, s:s}", "paymentId", call->payment, "tokenId", "quantity", 0, "status",
                              "unknown"));
        return;
    }
    char at[TIME_SIZE];
    text_time(at, r->changed_at, true);
    json_t *entry = reserved_json(r, states[r->state]);
    json_object_set_new(entry, "changedAt", json_string(at));
    answer_json(call, 200, entry);
}

/* ---- the books as a test sees and rewrites them ---- */

static json_t *reservation_entry(const struct reservation *r)
{
    char at[TIME_SIZE];
    text_time(at, r->changed_at, true);
    json_t *entry = reserved_json(r, states[r->state]);
    json_object_set_new(entry, "refusal", r->refusal[0] ? json_string(r->refusal) : json_null());
    json_object_set_new(entry, "changedAt", json_string(at));
    return entry;
}

static bool rewrite(struct reservation *r, const json_t *body)
{
    const json_t *token = json_object_get(body, "tokenId"), *quantity = json_object_get(body, "quantity");
    enum state state = r->state;
    if ((token && (!json_is_string(token) || json_string_length(token) >= sizeof r->token)) ||
        (quantity && (!json_is_integer(quantity) || json_integer_value(quantity) < 1 ||
                      json_integer_value(quantity) > MAX_QUANTITY)) ||
        (json_object_get(body, "status") && !state_named(json_string_value(json_object_get(body, "status")), &state)))
        return false;
    set_state(r, STATE_RELEASED); /* gives back what it took */
    if (token)
        text_copy(r->token, sizeof r->token, json_string_value(token));
    if (quantity)
        r->quantity = json_integer_value(quantity);
    set_state(r, state);
    note(r);
    return true;
}

void tokens_rewrite(struct call *call)
{
    char payment[PAYMENT_SIZE];
    const char *status = json_string_value(json_object_get(call->json, "status"));
    struct reservation *r = NULL;
    if (text_payment(payment, json_string_value(json_object_get(call->json, "paymentId"))))
        r = map_get(&reservations, payment);
    if (!r) {
        answer_error(call, 404, "paymentId: no reservation of it");
    } else if (status && strcmp(status, "unknown") == 0) {
        forget(r);
        note_forgotten(payment);
        answer_json(call, 200, tokens_books(payment));
    } else if (rewrite(r, call->json)) {
        answer_json(call, 200, tokens_books(payment));
    } else {
        answer_error(call, 400, "status: one of the books', or unknown; tokenId: a text; quantity: 1 to 1000000");
    }
}

json_t *tokens_books(const char *payment)
{
    json_t *list = json_array();
    json_t *stock = json_object();
    const struct reservation *one = payment ? map_get(&reservations, payment) : NULL;
    if (one)
        json_array_append_new(list, reservation_entry(one));
    for (const struct reservation *r = payment ? NULL : first; r; r = r->next)
        json_array_append_new(list, reservation_entry(r));
    for (const struct stock *s = first_stock; s; s = s->next) {
        if (payment && (!one || strcmp(one->token, s->token) != 0))
            continue;
        json_t *limit = s->limit < 0 ? json_null() : json_integer(s->limit);
        json_object_set_new(stock, s->token, json_pack("{s:o, s:I}", "limit", limit, "taken", (json_int_t)s->taken));
    }
    return json_pack("{s:o, s:o}", "reservations", list, "stock", stock);
}
