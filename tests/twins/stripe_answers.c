/* stripe_answers.c - what all operations of the Stripe twin share: the way in, parameters, errors
 *
 * Form of errors: https://docs.stripe.com/api/errors; codes: https://docs.stripe.com/error-codes; the texts of the
 * most common ones are Stripe's, as its users quote them. A client should look at type, code, param,
 * payment_intent.status only.
 */
#include "stripe_answers.h"

#include <stdlib.h>
#include <string.h>

#include "stripe_keys.h"
#include "stripe_wire.h"

static const char API_VERSION[] = "2025-05-28.basil";

enum { METADATA_KEYS = 50, METADATA_KEY_BYTES = 40, METADATA_VALUE_BYTES = 500, DEFAULT_PAGE = 10, MAX_PAGE = 100 };

static const char *secret_key;
static const char *payment_key = "acquit_payment_id";

void stripe_configure(const char *secret, const char *payment)
{
    secret_key = secret;
    if (payment)
        payment_key = payment;
}

const char *stripe_payment_key(void)
{
    return payment_key;
}

/* ---- errors ---- */

static json_t *error_body(const struct stripe_error *error)
{
    char doc[160];
    json_t *body = error->decline ? wire_card_error(error->intent, error->decline) : json_object();
    if (!error->decline) {
        if (error->code) {
            json_object_set_new(body, "code", json_string(error->code));
            text_print(doc, sizeof doc, "https://stripe.com/docs/error-codes/%s", error->code);
            for (char *c = strrchr(doc, '/'); *c; c++)
                *c = *c == '_' ? '-' : *c;
            json_object_set_new(body, "doc_url", json_string(doc));
        }
        json_object_set_new(body, "message", json_string(error->message));
        if (error->param)
            json_object_set_new(body, "param", json_string(error->param));
        json_object_set_new(body, "type", json_string(error->type ? error->type : "invalid_request_error"));
    }
    if (error->intent)
        json_object_set_new(body, "payment_intent", wire_intent(error->intent, 0));
    return body;
}

void stripe_refuse(struct call *call, const struct stripe_error *error)
{
    unsigned status = error->decline ? 402 : error->status ? error->status : 400;
    answer_json(call, status, json_pack("{s:o}", "error", error_body(error)));
}

void stripe_refuse_missing(struct call *call, unsigned status, const char *what, const char *id, const char *param)
{
    char message[ARG_SIZE + 80];
    text_print(message, sizeof message, "No such %s: '%.*s'", what, ARG_SIZE, id);
    stripe_refuse(
        call, &(struct stripe_error){.status = status, .code = "resource_missing", .message = message, .param = param});
}

void stripe_refuse_full(struct call *call)
{
    stripe_refuse(call,
                  &(struct stripe_error){.status = 503, .type = "api_error", .message = "The twin's books are full."});
}

static void fail(struct call *call)
{
    stripe_refuse(call, &(struct stripe_error){
                            .status = 500,
                            .type = "api_error",
                            .message = "Error while communicating with one of our backends.  Sorry about that!  "
                                       "We have been notified of the problem."});
}

/* https://docs.stripe.com/rate-limits: not remembered under the key */
static void limit(struct call *call)
{
    stripe_refuse(call, &(struct stripe_error){.status = 429,
                                               .code = "rate_limit",
                                               .message = "Request rate limit exceeded. Learn more about rate limits "
                                                          "here https://stripe.com/docs/rate-limits."});
}

const struct twin stripe_twin = {
    .keeps_500 = true, .fail = fail, .limit = limit, .keep = stripe_key_keep, .done = stripe_key_done};

/* ---- the way in ---- */

/* Stripe takes the key as a bearer token or as the user name of basic authentication. */
static bool knows_key(const struct call *call)
{
    unsigned char plain[256] = {0};
    size_t length = 0;
    if (!secret_key || call_has_bearer(call, secret_key))
        return true;
    if (!text_starts(call->authorization, "Basic ") ||
        !text_unbase64(call->authorization + strlen("Basic "), plain, sizeof plain - 1, &length))
        return false;
    plain[length] = '\0';
    char *colon = strchr((char *)plain, ':');
    if (colon)
        *colon = '\0';
    return text_same_secret((char *)plain, secret_key);
}

static bool refuse_unknown_caller(struct call *call)
{
    if (knows_key(call))
        return false;
    const char *message =
        call->authorization[0]
            ? "Invalid API Key provided: sk_test_****"
            : "You did not provide an API key. You need to provide your API key in the Authorization header, using "
              "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').";
    stripe_refuse(call, &(struct stripe_error){.status = 401, .message = message});
    return true;
}

static bool is_allowed(const char *name, const char *const *allowed)
{
    for (; *allowed; allowed++) {
        if (strcmp(*allowed, name) == 0)
            return true;
    }
    return false;
}

static bool refuse_unknown_parameter(struct call *call, const char *const *allowed)
{
    char name[64];
    char message[128];
    for (size_t i = 0; i < call->form.count; i++) {
        form_base(&call->form.pairs[i], name, sizeof name);
        if (is_allowed(name, allowed))
            continue;
        text_print(message, sizeof message, "Received unknown parameter: %s", name);
        stripe_refuse(call, &(struct stripe_error){.code = "parameter_unknown", .message = message, .param = name});
        return true;
    }
    return false;
}

static void add_headers(struct call *call)
{
    char request[32];
    text_random_id(request, sizeof request, "req_", 14);
    answer_header(call, "Request-Id", request);
    answer_header(call, "Stripe-Version", API_VERSION);
}

static bool is_utf8(const char *text)
{
    json_t *copy = json_string(text);
    json_decref(copy);
    return copy != NULL;
}

static bool is_readable(const struct call *call)
{
    bool good = !call->form_bad;
    for (size_t i = 0; good && i < call->form.count; i++)
        good = is_utf8(call->form.pairs[i].name) && is_utf8(call->form.pairs[i].value);
    return good;
}

bool stripe_enter(struct call *call, const char *const *allowed)
{
    add_headers(call);
    if (refuse_unknown_caller(call))
        return false;
    if (!is_readable(call)) {
        stripe_refuse(call, &(struct stripe_error){.message = "Invalid request: the parameters could not be read."});
        return false;
    }
    if (strlen(call->key) >= KEY_SIZE) {
        stripe_refuse(call, &(struct stripe_error){.message = "Idempotency keys are at most 255 characters long."});
        return false;
    }
    return !refuse_unknown_parameter(call, allowed);
}

bool stripe_begin(struct call *call)
{
    char message[KEY_SIZE + 256];
    switch (stripe_key_begin(call)) {
    case KEY_NEW:
        return true;
    case KEY_REPLAY:
        return false;
    case KEY_IN_USE:
        text_print(message, sizeof message,
                   "There is currently another in-progress request using this Idempotent Key (that probably means you "
                   "submitted "
                   "twice, and the other request is still going through): %s. Please try again later.",
                   call->key);
        stripe_refuse(call,
                      &(struct stripe_error){.status = 409, .code = "idempotency_key_in_use", .message = message});
        answer_header(call, "Stripe-Should-Retry", "true");
        return false;
    case KEY_OTHER:
        text_print(message, sizeof message,
                   "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                   "Try using a key "
                   "other than '%s' if you meant to execute a different request.",
                   call->key);
        stripe_refuse(call, &(struct stripe_error){.type = "idempotency_error", .message = message});
        return false;
    }
    return false;
}

void stripe_open_unknown(struct call *call)
{
    char message[LIMIT_PATH_BYTES + 128];
    add_headers(call);
    if (refuse_unknown_caller(call))
        return;
    text_print(message, sizeof message, "Unrecognized request URL (%s: /%s). Please see https://stripe.com/docs.",
               call->method, call->args[0]);
    stripe_refuse(call, &(struct stripe_error){.status = 404, .message = message});
}

/* ---- parameters ---- */

bool stripe_integer(struct call *call, const char *name, int64_t min, int64_t max, int64_t *ret)
{
    char message[160];
    const char *given = form_get(&call->form, name);
    int64_t value;
    if (!given)
        return true;
    if (!text_integer(given, INT64_MIN, INT64_MAX, &value)) {
        text_print(message, sizeof message, "Invalid integer: %.40s", given);
        stripe_refuse(call,
                      &(struct stripe_error){.code = "parameter_invalid_integer", .message = message, .param = name});
        return false;
    }
    if (value < min || value > max) {
        text_print(message, sizeof message, "%s must be between %lld and %lld.", name, (long long)min, (long long)max);
        stripe_refuse(call,
                      &(struct stripe_error){.code = value < min ? "parameter_invalid_integer" : "amount_too_large",
                                             .message = message,
                                             .param = name});
        return false;
    }
    *ret = value;
    return true;
}

bool stripe_boolean(struct call *call, const char *name, bool *ret)
{
    char message[96];
    const char *given = form_get(&call->form, name);
    if (!given)
        return true;
    if (strcmp(given, "true") != 0 && strcmp(given, "false") != 0) {
        text_print(message, sizeof message, "Invalid boolean: %.40s", given);
        stripe_refuse(call, &(struct stripe_error){.message = message, .param = name});
        return false;
    }
    *ret = strcmp(given, "true") == 0;
    return true;
}

bool stripe_one_of(struct call *call, const char *name, const char *const *choices, const char **ret)
{
    char message[256];
    const char *given = form_get(&call->form, name);
    if (!given)
        return true;
    text_print(message, sizeof message, "Invalid %s: must be one of ", name);
    for (; *choices; choices++) {
        if (strcmp(*choices, given) == 0) {
            *ret = *choices;
            return true;
        }
        size_t used = strlen(message);
        text_print(message + used, sizeof message - used, "%s%s", *choices, choices[1] ? ", " : "");
    }
    stripe_refuse(call, &(struct stripe_error){.message = message, .param = name});
    return false;
}

bool stripe_limit(struct call *call, int64_t *ret)
{
    *ret = DEFAULT_PAGE;
    return stripe_integer(call, "limit", 1, MAX_PAGE, ret);
}

bool stripe_expand(struct call *call, const char *prefix, unsigned *ret)
{
    *ret = expand_asked(&call->form, prefix);
    if (!(*ret & EXPAND_UNKNOWN))
        return true;
    stripe_refuse(call, &(struct stripe_error){.message = "This property cannot be expanded.", .param = "expand"});
    return false;
}

json_t *stripe_metadata(struct call *call)
{
    char key[METADATA_KEY_BYTES + 2];
    const char *problem = NULL;
    json_t *metadata = json_object();
    for (size_t i = 0; i < call->form.count && !problem; i++) {
        const struct form_pair *pair = &call->form.pairs[i];
        if (!form_member(pair, "metadata", key, sizeof key))
            continue;
        if (!*key || strlen(key) > METADATA_KEY_BYTES)
            problem = "Metadata keys have 1 to 40 characters.";
        else if (strlen(pair->value) > METADATA_VALUE_BYTES)
            problem = "Metadata values can have up to 500 characters.";
        else if (json_object_set_new(metadata, key, json_string(pair->value)) != 0)
            problem = "Metadata has to be UTF-8.";
        else if (json_object_size(metadata) > METADATA_KEYS)
            problem = "You can specify up to 50 metadata keys.";
    }
    if (!problem)
        return metadata;
    json_decref(metadata);
    stripe_refuse(call, &(struct stripe_error){.message = problem, .param = "metadata"});
    return NULL;
}

void stripe_merge_metadata(json_t *into, const json_t *given)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)given, key, value)
    {
        if (json_string_length(value))
            json_object_set(into, key, value);
        else
            json_object_del(into, key);
    }
}

struct intent *stripe_intent_arg(struct call *call)
{
    struct intent *intent = intent_find(call->args[0]);
    if (intent)
        text_copy(call->payment, sizeof call->payment, intent->payment);
    else
        stripe_refuse_missing(call, 404, "payment_intent", call->args[0], "intent");
    return intent;
}
