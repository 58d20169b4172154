/* faults.c - what a test told the twins to do wrong, and where
 *
 * A fault strikes requests in the order the faults were added: the first that matches and wins its roll, and only
 * that one. A fault whose times are used up stays in the list (a test may want to see its hits) until the list is
 * full or cleared.
 */
#include "faults.h"

#include <stdlib.h>
#include <string.h>

#include "limits.h"

#define X(id, text) [POINT_##id] = text,
static const char *const point_names[POINT_COUNT] = {POINTS(X)};
#undef X

#define X(id, text) [FAULT_##id] = text,
static const char *const fault_names[FAULT_COUNT] = {FAULTS(X)};
#undef X

enum { DEFAULT_DELAY_MS = 1000, DEFAULT_SLOW_BODY_MS = 10000 };

static struct fault *faults[LIMIT_FAULTS];
static size_t count;
static uint64_t last_id;

const char *point_name(enum point at)
{
    return point_names[at];
}

const char *fault_name(enum fault_kind kind)
{
    return fault_names[kind];
}

bool point_named(const char *name, enum point *ret)
{
    for (int i = 1; i < POINT_COUNT; i++) {
        if (strcmp(point_names[i], name) == 0) {
            *ret = (enum point)i;
            return true;
        }
    }
    return false;
}

static bool fault_named(const char *name, enum fault_kind *ret)
{
    for (int i = 1; i < FAULT_COUNT; i++) {
        if (strcmp(fault_names[i], name) == 0) {
            *ret = (enum fault_kind)i;
            return true;
        }
    }
    return false;
}

static bool is_paypal_effect(enum point at)
{
    return at == POINT_PAYPAL_AUTHORIZE || at == POINT_PAYPAL_CAPTURE || at == POINT_PAYPAL_VOID ||
           at == POINT_PAYPAL_REFUND;
}

/* Some faults mean something at some points only. */
static bool fits(enum fault_kind kind, enum point at)
{
    if (kind == FAULT_LAG)
        return at == POINT_STRIPE_SEARCH || at == POINT_STRIPE_RETRIEVE || at == POINT_STRIPE_REFUND_RETRIEVE ||
               at == POINT_PAYPAL_RETRIEVE;
    if (kind == FAULT_FAILED_200)
        return at == POINT_STRIPE_AUTHORIZE || at == POINT_STRIPE_CAPTURE || at == POINT_STRIPE_CANCEL ||
               at == POINT_STRIPE_REFUND || is_paypal_effect(at);
    if (kind == FAULT_PENDING)
        return at == POINT_STRIPE_AUTHORIZE || at == POINT_STRIPE_REFUND || at == POINT_VALIDATOR_VALIDATE ||
               (is_paypal_effect(at) && at != POINT_PAYPAL_VOID);
    if (kind == FAULT_FORGED || kind == FAULT_REPLAYED)
        return at == POINT_VALIDATOR_VALIDATE || at == POINT_VALIDATOR_RETRIEVE;
    return true;
}

static int64_t default_delay(enum fault_kind kind)
{
    if (kind == FAULT_SLOW_BODY)
        return DEFAULT_SLOW_BODY_MS;
    bool waits = kind == FAULT_RATE_LIMIT || kind == FAULT_DELAY || kind == FAULT_LATE_EFFECT ||
                 kind == FAULT_PENDING || kind == FAULT_LAG || kind == FAULT_OUT_OF_ORDER;
    return waits ? DEFAULT_DELAY_MS : 0;
}

/* ---- one field of the JSON each; false: `why` is set ---- */

struct reading {
    const json_t *wanted;
    struct fault *made;
    char *why;
    size_t why_size;
};

static bool wrong(const struct reading *r, const char *what)
{
    text_copy(r->why, r->why_size, what);
    return false;
}

static bool read_names(const struct reading *r)
{
    const char *payment = json_string_value(json_object_get(r->wanted, "paymentId"));
    const char *at = json_string_value(json_object_get(r->wanted, "at"));
    const char *kind = json_string_value(json_object_get(r->wanted, "fault"));
    if (!payment || !(strcmp(payment, "*") == 0 || text_payment(r->made->payment, payment)))
        return wrong(r, "paymentId: a UUID, tx_ and 32 hex digits, or *");
    if (strcmp(payment, "*") == 0)
        text_copy(r->made->payment, sizeof r->made->payment, "*");
    if (!at || !point_named(at, &r->made->at))
        return wrong(r, "at: no such point");
    if (!kind || !fault_named(kind, &r->made->kind))
        return wrong(r, "fault: no such fault");
    if (!fits(r->made->kind, r->made->at))
        return wrong(r, "fault: means nothing at this point");
    return true;
}

static bool read_number(const struct reading *r, const char *name, int64_t min, int64_t max, int64_t *value)
{
    const json_t *given = json_object_get(r->wanted, name);
    if (!given || json_is_null(given))
        return true;
    if (!json_is_integer(given) || json_integer_value(given) < min || json_integer_value(given) > max) {
        text_print(r->why, r->why_size, "%s: an integer from %lld to %lld", name, (long long)min, (long long)max);
        return false;
    }
    *value = json_integer_value(given);
    return true;
}

static bool read_numbers(const struct reading *r)
{
    int64_t validator = 0;
    int64_t percent = 100;
    int64_t seed = 1;
    r->made->delay_ms = default_delay(r->made->kind);
    r->made->left = 1;
    if (!read_number(r, "validator", 1, LIMIT_VALIDATORS, &validator) || !read_number(r, "percent", 1, 100, &percent) ||
        !read_number(r, "seed", 0, INT64_MAX, &seed) ||
        !read_number(r, "delayMs", 0, LIMIT_DELAY_MS, &r->made->delay_ms) ||
        !read_number(r, "times", -1, INT32_MAX, &r->made->left))
        return false;
    if (r->made->left == 0)
        return wrong(r, "times: 1 or more, or -1 for ever");
    r->made->validator = (unsigned)validator;
    r->made->percent = (unsigned)percent;
    r->made->dice = (uint64_t)seed;
    return true;
}

static bool read_options(const struct reading *r)
{
    const json_t *code = json_object_get(r->wanted, "code");
    const json_t *stored = json_object_get(r->wanted, "stored");
    if (code && (!json_is_string(code) || !text_copy(r->made->code, sizeof r->made->code, json_string_value(code))))
        return wrong(r, "code: a string of at most 63 bytes");
    if (stored && !json_is_boolean(stored))
        return wrong(r, "stored: true or false");
    r->made->stored = !json_is_false(stored);
    return true;
}

static bool known_fields_only(const struct reading *r)
{
    static const char *const known[] = {"paymentId", "at",      "fault", "validator", "delayMs",
                                        "times",     "percent", "seed",  "code",      "stored"};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)r->wanted, name, value)
    {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            found = found || strcmp(known[i], name) == 0;
        if (!found) {
            text_print(r->why, r->why_size, "%.40s: no such field", name);
            return false;
        }
    }
    return true;
}

/* Room for one more: drops the oldest that is used up. */
static bool make_room(void)
{
    if (count < LIMIT_FAULTS)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (faults[i]->left == 0)
            return faults_remove(faults[i]->id);
    }
    return false;
}

bool faults_add(const json_t *wanted, uint64_t *ret_id, char *why, size_t why_size)
{
    struct fault made = {.kind = FAULT_NONE};
    struct reading reading = {.wanted = wanted, .made = &made, .why = why, .why_size = why_size};
    if (!json_is_object(wanted))
        return wrong(&reading, "a JSON object");
    if (!known_fields_only(&reading) || !read_names(&reading) || !read_numbers(&reading) || !read_options(&reading))
        return false;
    if (!make_room())
        return wrong(&reading, "too many faults");
    made.id = ++last_id;
    struct fault *kept = memory_new(sizeof *kept);
    *kept = made;
    faults[count++] = kept;
    *ret_id = kept->id;
    return true;
}

/* splitmix64: the same seed gives the same rolls in the same order */
static unsigned roll_percent(struct fault *fault)
{
    uint64_t z = (fault->dice += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (unsigned)((z ^ (z >> 31)) % 100);
}

static bool decides(enum fault_kind kind)
{
    return kind == FAULT_DECLINE || kind == FAULT_PENDING;
}

static bool matches(const struct fault *fault, enum point at, const char *payment, unsigned validator, bool repeat)
{
    return fault->at == at && fault->left != 0 && (fault->validator == 0 || fault->validator == validator) &&
           (fault->payment[0] == '*' || strcmp(fault->payment, payment) == 0) && !(repeat && decides(fault->kind));
}

bool faults_take(enum point at, const char *payment, unsigned validator, bool repeat, struct fault *ret)
{
    for (size_t i = 0; i < count; i++) {
        struct fault *fault = faults[i];
        if (!matches(fault, at, payment, validator, repeat))
            continue;
        if (fault->percent < 100 && roll_percent(fault) >= fault->percent)
            continue;
        if (fault->left > 0)
            fault->left--;
        fault->hits++;
        *ret = *fault;
        return true;
    }
    return false;
}

json_t *faults_list(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct fault *f = faults[i];
        json_t *item = json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:i, s:b, s:I}", "id", (json_int_t)f->id, "paymentId",
                                 f->payment, "at", point_name(f->at), "fault", fault_name(f->kind), "delayMs",
                                 (json_int_t)f->delay_ms, "left", (json_int_t)f->left, "percent", (int)f->percent,
                                 "stored", (int)f->stored, "hits", (json_int_t)f->hits);
        json_object_set_new(item, "validator", f->validator ? json_integer(f->validator) : json_null());
        json_object_set_new(item, "code", f->code[0] ? json_string(f->code) : json_null());
        json_array_append_new(list, item);
    }
    return list;
}

size_t faults_clear(void)
{
    size_t removed = count;
    while (count)
        free(faults[--count]);
    return removed;
}

bool faults_remove(uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (faults[i]->id != id)
            continue;
        free(faults[i]);
        memmove(&faults[i], &faults[i + 1], (count - i - 1) * sizeof faults[0]);
        count--;
        return true;
    }
    return false;
}
