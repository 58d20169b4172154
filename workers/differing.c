/* differing.c - the fields in which a command differs from the one that used its idempotency key before (L10) */
#include "workers/differing.h"

#include <string.h>

#include "common/crypto.h"
#include "common/json.h"

/* `received` keeps these as they came. */
static const char *const kept[] = {"amount",   "currency",    "tokens",     "paymentToken", "reference",
                                   "metadata", "description", "customerId", "country"};

/* These have a default, and stand there whether the first command named them or not; `at`: under which name. */
static const struct {
    const char *name, *at;
} defaulted[] = {
    {"flow", "flow"},
    {"paymentMethod", "paymentMethod"},
    {"merchant", "merchant"},
    {"preferredGateways", "preferredGateways"},
};

/* Of these the facts do not tell the value. */
static const char *const untold[] = {"customerEmail", "expiresInMs"};

enum {
    KEPT = sizeof kept / sizeof kept[0],
    DEFAULTED = sizeof defaulted / sizeof defaulted[0],
    UNTOLD = sizeof untold / sizeof untold[0],
};

static void name(json_t *names, const char *field)
{
    json_array_append_new(names, json_string(field));
}

static bool same(const json_t *a, const json_t *b)
{
    return a == b || (a && b && json_equal(a, b));
}

static bool has_hash(const json_t *body, const char *sha256)
{
    char text[SHA256_HEX_SIZE];
    uint8_t digest[SHA256_SIZE];
    json_sha256(body, digest);
    hex_encode(digest, sizeof digest, text);
    return strcmp(text, sha256) == 0;
}

/* Leaves a member out that is there, or writes one out that is not. False: the facts do not know what to write. */
static bool toggle(json_t *body, const char *field, json_t *value)
{
    if (json_object_get(body, field))
        return json_object_del(body, field) == 0;
    return value && json_object_set(body, field, value) == 0;
}

/* What the first command named, or what its publisher has instead. The preferred providers stand apart only where the route is another list. */
static json_t *recorded(const json_t *received, size_t i)
{
    json_t *value = json_object_get(received, defaulted[i].at);
    return value || strcmp(defaulted[i].at, "preferredGateways") != 0 ? value : json_object_get(received, "routes");
}

/* Turns the body into what one of the first commands may have been; bit i of `which`: the i-th member is turned. */
static json_t *variant(const json_t *received, const json_t *body, unsigned which)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)body);
    bool possible = true;
    for (unsigned i = 0; i < DEFAULTED + UNTOLD && possible; i++)
        if (which & 1u << i)
            possible = i < DEFAULTED ? toggle(copy, defaulted[i].name, recorded(received, i))
                                     : toggle(copy, untold[i - DEFAULTED], NULL);
    if (possible)
        return copy;
    json_decref(copy);
    return NULL;
}

/* What one of both named and the other left out, found by the first command's hash. */
static void name_left_out(json_t *names, const json_t *received, const json_t *body)
{
    const char *sha256 = json_text(received, "sha256", "");
    for (unsigned which = 1; which < 1u << (DEFAULTED + UNTOLD); which++) {
        json_auto_t *first = variant(received, body, which);
        if (!first || !has_hash(first, sha256))
            continue;
        for (unsigned i = 0; i < DEFAULTED + UNTOLD; i++)
            if (which & 1u << i)
                name(names, i < DEFAULTED ? defaulted[i].name : untold[i - DEFAULTED]);
        return;
    }
}

/* Everything else is the same: of these one differs, or both. An address stood in both commands, or in neither. */
static void name_untold(json_t *names, const json_t *body)
{
    for (size_t i = 0; i < UNTOLD; i++)
        if (json_object_get(body, untold[i]) || strcmp(untold[i], "customerEmail") != 0)
            name(names, untold[i]);
}

json_t *differing_create(const json_t *received, const json_t *body)
{
    json_t *names = json_array();
    for (size_t i = 0; i < KEPT; i++)
        if (!same(json_object_get(received, kept[i]), json_object_get(body, kept[i])))
            name(names, kept[i]);
    for (size_t i = 0; i < DEFAULTED; i++) {
        const json_t *said = json_object_get(body, defaulted[i].name);
        if (said && !same(said, recorded(received, i)))
            name(names, defaulted[i].name);
    }
    if (!json_object_get(received, "customerEmailHash") != !json_object_get(body, "customerEmail"))
        name(names, "customerEmail");
    if (json_array_size(names) == 0)
        name_left_out(names, received, body);
    if (json_array_size(names) == 0)
        name_untold(names, body);
    return names;
}

static void name_unless_same(json_t *names, const json_t *body, const char *field, const char *was)
{
    if (strcmp(json_text(body, field, ""), was) != 0)
        name(names, field);
}

static const struct refund *refund_of(const struct payment *payment, struct uuid command)
{
    for (int n = 1; n <= payment->refund_count; n++)
        if (payment->refunds[n].intent && uuid_equal(payment->refunds[n].intent->cause, command))
            return &payment->refunds[n];
    return NULL;
}

static void differing_refund(json_t *names, const struct refund *refund, const json_t *body)
{
    /* Without an amount it was, or would be, all that was left. */
    if (json_int(body, "amount", 0) != refund->amount)
        name(names, "amount");
    name_unless_same(names, body, "reason", json_text(refund->intent->body, "reason", ""));
    if (json_array_size(names) == 0) /* the same amount, named or not; or the payment's other spelling */
        name(names, json_object_get(body, "amount") ? "amount" : "paymentId");
}

json_t *differing_fields(const char *type, const struct payment *payment, struct uuid command, const json_t *body)
{
    if (strcmp(type, "payment.create") == 0)
        return payment->received ? differing_create(payment->received->body, body) : json_array();
    json_t *names = json_array();
    const struct refund *refund = refund_of(payment, command);
    const struct fact *decision = payment->decision;
    if (refund)
        differing_refund(names, refund, body);
    else if (decision && strcmp(type, "payment.cancel") == 0 && uuid_equal(decision->cause, command))
        name_unless_same(names, body, "reason", json_text(decision->body, "message", ""));
    else if (strcmp(type, "payment.refund") == 0)
        name(names, "paymentId"); /* the first was about another payment */
    return names;
}
