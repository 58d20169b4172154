/* lists.c - providers, publishers, validators and retry_types; how an element of any list is read (routes: routes.c)
 *
 * The tables of fields say what an element may hold. To add a member, add it to the struct in config.h, here, and to
 * acquit.conf; a test compares the two.
 */
#include "config/load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/mem.h"

enum {
    CONFIG_NAME_MAX = 63, /* of a publisher, provider, validator */
    CONFIG_URL_MAX = 2048,
};
#define AMOUNT_MAX_MOST 1000000000000000

#define AT(type, member) offsetof(struct type, member)
#define NONE                                                                                                           \
    {                                                                                                                  \
        NULL                                                                                                           \
    } /* no variable */

static const struct field provider_fields[] = {
    /* clang-format off */
    {{"name", CONFIG_TEXT, NULL, 1, CONFIG_NAME_MAX, "",
      "How publishers and the ledger call it (letters, digits, . _ -).", NONE, false, false},
     AT(provider_config, name), false},
    {{"kind", CONFIG_TEXT, NULL, 1, CONFIG_NAME_MAX, "",
      "Its implementation: simulated, stripe, paypal.", NONE, false, false}, AT(provider_config, kind), false},
    {{"url", CONFIG_TEXT, "\"\"", 0, CONFIG_URL_MAX, "",
      "Base URL, without a final slash; not for simulated.", NONE, false, false}, AT(provider_config, url), false},
    {{"secret", CONFIG_TEXT, "\"\"", 0, 1024, "",
      "API key, for paypal CLIENT_ID:CLIENT_SECRET; the variable is for kind stripe.", {"STRIPE_SECRET_KEY"}, false, true},
     AT(provider_config, secret), false},
    {{"timeout_ms", CONFIG_INT, "10000", 50, 120000, "ms",
      "Of one call.", NONE, false, false}, AT(provider_config, timeout_ms), false},
    {{"visibility_horizon_ms", CONFIG_INT, "5000", 0, DAY_MS, "ms",
      "How long after a request its effect may still be invisible to a question.", NONE, false, false},
     AT(provider_config, visibility_horizon_ms), false},
    {{"currencies", CONFIG_NAMES, "[]", 0, CONFIG_CURRENCIES_MAX - 1, "",
      "Currencies it takes, three letters each; empty: all.", NONE, false, false},
     AT(provider_config, currencies), FIELD_TEXTS},
    {{"exposure_limit", CONFIG_NAMES, "[]", 0, CONFIG_CURRENCIES_MAX - 1, "",
      "Per currency the minor units that may be in doubt there, as in EUR=500000; above it new payments go elsewhere.",
      NONE, false, false},
     AT(provider_config, exposure_limit), FIELD_TEXTS},
    {{"send_window_ms", CONFIG_INT, "30000", 100, DAY_MS, "ms",
      "An intent may be sent this long after it was written.", NONE, false, false},
     AT(provider_config, send_window_ms), false},
    {.is.name = NULL},
    /* clang-format on */
};

static const struct field publisher_fields[] = {
    /* clang-format off */
    {{"name", CONFIG_TEXT, NULL, 1, CONFIG_NAME_MAX, "",
      "Its broker user (letters, digits, . _ -).", NONE, true, false}, AT(publisher_config, name), false},
    {{"api_key_sha256", CONFIG_TEXT, "\"\"", 0, SHA256_HEX_SIZE - 1, "",
      "Hex of the SHA-256 of its HTTP API key: printf %s \"$KEY\" | sha256sum; empty: no HTTP access.",
      NONE, true, false}, AT(publisher_config, api_key_sha256), false},
    {{"merchant", CONFIG_TEXT, "\"\"", 0, 64, "",
      "Default merchant of its payments.", NONE, true, false}, AT(publisher_config, merchant), false},
    {{"flow", CONFIG_TEXT, "\"plain\"", 1, 16, "",
      "Default flow: plain (money only) or dual.", NONE, true, false}, AT(publisher_config, flow), false},
    {{"payment_method", CONFIG_TEXT, "\"card\"", 1, 32, "",
      "Default: card, mobile_money, wallet or bank_transfer.", NONE, true, false},
     AT(publisher_config, payment_method), false},
    {{"gateways", CONFIG_NAMES, "[]", 0, CONFIG_PREFERENCES_MAX - 1, "",
      "Default order of providers, 7 at most; empty: the first of those above.", NONE, true, false},
     AT(publisher_config, gateways), false},
    {{"commission_ppm", CONFIG_INT, "0", 0, 1000000, "parts per million",
      "Our share of what is captured, rounded down.", NONE, true, false}, AT(publisher_config, commission_ppm), false},
    {{"expires_in_ms", CONFIG_INT, "payment.expires_in_ms", 1000, MONTH_MS, "ms",
      "Deadline of its payments.", NONE, true, false}, AT(publisher_config, expires_in_ms), false},
    {{"webhook_url", CONFIG_TEXT, "\"\"", 0, CONFIG_URL_MAX, "",
      "Where its notices go; empty: nowhere.", NONE, true, false}, AT(publisher_config, webhook_url), false},
    {{"webhook_secret", CONFIG_TEXT, "\"\"", 0, 256, "",
      "What they are signed with, whsec_...; must be given with webhook_url.", NONE, true, true},
     AT(publisher_config, webhook_secret), false},
    {{"email", CONFIG_BOOL, "false", 0, 0, "",
      "true: customers whose payment carries customerEmail get a mail at its end and at refunds; needs mail.url.",
      NONE, true, false}, AT(publisher_config, email), false},
    {{"amount_max", CONFIG_INT, "99999999", 1, AMOUNT_MAX_MOST, "minor units",
      "Largest amount of a payment.", NONE, true, false}, AT(publisher_config, amount_max), false},
    {.is.name = NULL},
    /* clang-format on */
};

static const struct field validator_fields[] = {
    /* clang-format off */
    {{"name", CONFIG_TEXT, NULL, 1, CONFIG_NAME_MAX, "",
      "Of the validator (letters, digits, . _ -).", NONE, false, false}, AT(validator_config, name), false},
    {{"url", CONFIG_TEXT, NULL, 1, CONFIG_URL_MAX, "",
      "Base URL, without a final slash.", NONE, false, false}, AT(validator_config, url), false},
    {{"public_key", CONFIG_TEXT, NULL, 1, 64, "",
      "Base64 of the 32 bytes of its Ed25519 public key; or public_key_file.", NONE, false, false},
     AT(validator_config, public_key_text), true},
    {{"key", CONFIG_TEXT, "\"\"", 0, 1024, "",
      "Bearer key, if it wants one.", NONE, false, true}, AT(validator_config, key), false},
    {.is.name = NULL},
    /* clang-format on */
};

static const struct field retry_fields[] = {
    /* clang-format off */
    {{"type", CONFIG_TEXT, NULL, 1, CONFIG_NAME_MAX, "",
      "The command type (docs/architecture.md, Queues).", NONE, true, false}, AT(retry_config, type), false},
    {{"attempts", CONFIG_INT, "retry.attempts", 1, RETRY_ATTEMPTS_MOST, "attempts",
      "Attempts before it becomes a dead letter.", NONE, true, false}, AT(retry_config, attempts), false},
    {{"base_ms", CONFIG_INT, "retry.base_ms", 1, RETRY_BASE_MOST_MS, "ms",
      "Delay before the second attempt.", NONE, true, false}, AT(retry_config, base_ms), false},
    {{"cap_ms", CONFIG_INT, "retry.cap_ms", 1, RETRY_CAP_MOST_MS, "ms",
      "The longest delay between two.", NONE, true, false}, AT(retry_config, cap_ms), false},
    {.is.name = NULL},
    /* clang-format on */
};

static const struct provider_kind kinds[] = {
    {"simulated", false, NULL},
    {"stripe", true, "STRIPE_SECRET_KEY"},
    {"paypal", true, NULL},
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

const struct provider_kind *conf_kind(size_t i)
{
    return i < KIND_COUNT ? &kinds[i] : NULL;
}

static int unknown_field(const struct loader *loader, const config_setting_t *at, const char *key,
                         const struct field *fields)
{
    struct nearest nearest = {.wanted = key};
    for (; fields->is.name; fields++) {
        conf_consider(&nearest, fields->is.name, "");
        if (fields->is.secret || fields->note == FIELD_IN_FILE)
            conf_consider(&nearest, fields->is.name, "_file");
    }
    return conf_unknown_key(loader, at, key, &nearest);
}

static const struct field *field_find(const struct field *fields, const char *name)
{
    for (; fields->is.name; fields++)
        if (strcmp(fields->is.name, name) == 0)
            return fields;
    return NULL;
}

/* The field whose file this key names, or NULL. */
static const struct field *field_of_file(const struct field *fields, const char *key)
{
    char base[CONFIG_KEY_MAX];
    const struct field *field = conf_file_key(key, base) ? field_find(fields, base) : NULL;
    return field && (field->is.secret || field->note == FIELD_IN_FILE) ? field : NULL;
}

static const char **text_at(void *element, const struct field *field)
{
    return (const char **)(void *)((char *)element + field->offset);
}

static int64_t *number_at(void *element, const struct field *field)
{
    return (int64_t *)(void *)((char *)element + field->offset);
}

static int check_length(const struct loader *loader, const config_setting_t *at, const char *called,
                        const struct setting *is, const char *text)
{
    int64_t length = (int64_t)strlen(text);
    if (length >= is->least && length <= is->most)
        return conf_check_text(loader, at, called, text);
    return conf_fail(loader, at, "%s has %" PRId64 " bytes, it must have from %" PRId64 " to %" PRId64, called, length,
                     is->least, is->most);
}

static int read_texts(const struct loader *loader, const config_setting_t *list, const struct setting *is,
                      const char **texts)
{
    int count = config_setting_length(list);
    if (count > is->most)
        return conf_fail(loader, list, "%s has %d names, at most %" PRId64 " are allowed", is->name, count, is->most);
    for (int i = 0; i < count; i++) {
        const char *text = config_setting_get_string_elem(list, i);
        if (!text)
            return conf_fail(loader, list, "%s must be %s", is->name, conf_type_text(is->type));
        if (strlen(text) > CONFIG_KEY_MAX || conf_check_text(loader, list, is->name, text) != 0)
            return conf_fail(loader, list, "%s has a name of more than %d bytes", is->name, CONFIG_KEY_MAX);
        texts[i] = conf_keep(loader->config, mem_text(text));
    }
    return 0;
}

/* Names of providers. */
static int read_names(const struct loader *loader, const config_setting_t *list, const struct setting *is,
                      const char **names)
{
    int count = config_setting_length(list);
    if (count > is->most)
        return conf_fail(loader, list, "%s has %d names, at most %" PRId64 " are allowed", is->name, count, is->most);
    for (int i = 0; i < count; i++) {
        const char *name = config_setting_get_string_elem(list, i);
        if (!name)
            return conf_fail(loader, list, "%s must be %s", is->name, conf_type_text(is->type));
        const struct provider_config *provider = config_provider_find(loader->config, name);
        struct nearest nearest = {.wanted = name};
        for (size_t k = 0; k < loader->config->provider_count; k++)
            conf_consider(&nearest, loader->config->providers[k].name, "");
        if (!provider)
            return conf_fail(loader, list, "%s names \"%.63s\", which is no configured provider%s%s%s", is->name, name,
                             *nearest.key ? "; did you mean " : "", nearest.key, *nearest.key ? "?" : "");
        names[i] = provider->name;
    }
    return 0;
}

static int read_field(struct loader *loader, const config_setting_t *at, const struct field *field, void *element)
{
    const struct setting *is = &field->is;
    if (!conf_has_type(at, is->type))
        return conf_fail(loader, at, "%s must be %s", is->name, conf_type_text(is->type));
    switch (is->type) {
    case CONFIG_INT:
        *number_at(element, field) = conf_number(at);
        return conf_check_range(loader, at, is->name, conf_number(at), is->least, is->most, is->unit);
    case CONFIG_BOOL:
        *((bool *)element + field->offset) = config_setting_get_bool(at);
        return 0;
    case CONFIG_NAMES:
        return (field->note == FIELD_TEXTS ? read_texts : read_names)(loader, at, is, text_at(element, field));
    case CONFIG_TEXT:
        break;
    }
    const char *text = conf_keep(loader->config, mem_text(config_setting_get_string(at)));
    *text_at(element, field) = text;
    if (is->secret && *text)
        return conf_refuse_secret(loader, at, is->name, is->environment[0]);
    return check_length(loader, at, is->name, is, text);
}

/* `secret` is the value that makes the file needless, or NULL. */
static int read_field_file(struct loader *loader, const config_setting_t *at, const struct field *field, void *element,
                           const char *secret)
{
    if (!conf_has_type(at, CONFIG_TEXT))
        return conf_fail(loader, at, "%s_file must be %s", field->is.name, conf_type_text(CONFIG_TEXT));
    if (secret)
        return 0;
    const char *text = conf_read_secret(loader, at, field->is.name);
    if (!text)
        return -1;
    *text_at(element, field) = text;
    return check_length(loader, at, field->is.name, &field->is, text);
}

static void read_fallback(struct loader *loader, const struct field *field, void *element)
{
    const char *fallback = field->is.fallback;
    switch (field->is.type) {
    case CONFIG_INT:
        *number_at(element, field) =
            *fallback >= '0' && *fallback <= '9' ? strtoll(fallback, NULL, 10) : config_int(loader->config, fallback);
        return;
    case CONFIG_TEXT:
        *text_at(element, field) =
            conf_keep(loader->config, fallback ? mem_bytes(fallback + 1, strlen(fallback) - 2) : mem_text(""));
        return;
    case CONFIG_BOOL:
    case CONFIG_NAMES:
        return; /* false, none */
    }
}

int conf_read_element(struct loader *loader, config_setting_t *from, const struct field *fields, void *element,
                      const char *secret)
{
    bool seen[FIELDS_MAX] = {false};
    if (!config_setting_is_group(from))
        return conf_fail(loader, from, "an element of %s must be { ... }",
                         config_setting_name(config_setting_parent(from)));
    for (const struct field *field = fields; field->is.name; field++)
        read_fallback(loader, field, element);
    for (int i = 0; i < config_setting_length(from); i++) {
        config_setting_t *at = config_setting_get_elem(from, (unsigned)i);
        const char *key = config_setting_name(at);
        const struct field *field = field_find(fields, key), *file = field_of_file(fields, key);
        const struct field *either = field ? field : file;
        if (!either)
            return unknown_field(loader, at, key, fields);
        if (seen[either - fields])
            return conf_fail(loader, at, "%s and %s_file are both given", either->is.name, either->is.name);
        seen[either - fields] = true;
        if ((field ? read_field(loader, at, field, element) : read_field_file(loader, at, file, element, secret)) != 0)
            return -1;
    }
    for (const struct field *field = fields; field->is.name; field++)
        if (!field->is.fallback && !seen[field - fields])
            return conf_fail(loader, from, "%s is missing", field->is.name);
    return 0;
}

const config_setting_t *conf_spot(const config_setting_t *from, const char *member)
{
    const config_setting_t *at = config_setting_get_member(from, member);
    return at ? at : from;
}

static int read_publisher(struct loader *loader, config_setting_t *from, void *element)
{
    static const char *const flows[] = {"plain", "dual", NULL};
    static const char *const methods[] = {"card", "mobile_money", "wallet", "bank_transfer", NULL};
    struct publisher_config *publisher = element;
    uint8_t digest[SHA256_SIZE];
    if (conf_read_element(loader, from, publisher_fields, publisher, NULL) != 0)
        return -1;
    const config_setting_t *webhook = conf_spot(from, "webhook_url");
    if (conf_check_name(loader, conf_spot(from, "name"), publisher->name) != 0 ||
        conf_check_choice(loader, conf_spot(from, "flow"), "flow", publisher->flow, flows) != 0 ||
        conf_check_choice(loader, conf_spot(from, "payment_method"), "payment_method", publisher->payment_method,
                          methods) != 0 ||
        conf_check_http_url(loader, webhook, "webhook_url", publisher->webhook_url, false) != 0 ||
        conf_check_open_url(loader, webhook, "webhook_url", publisher->webhook_url) != 0)
        return -1;
    if (*publisher->api_key_sha256 && hex_decode(publisher->api_key_sha256, digest, sizeof digest) != 0)
        return conf_fail(loader, conf_spot(from, "api_key_sha256"),
                         "api_key_sha256 must be the 64 hex digits of the key's SHA-256");
    if (*publisher->webhook_url && !*publisher->webhook_secret)
        return conf_fail(loader, webhook, "webhook_url needs webhook_secret_file: notices are signed");
    return 0;
}

/* The kind that the element names, or NULL. */
static const struct provider_kind *kind_of(const config_setting_t *from)
{
    const char *name = NULL;
    if (config_setting_is_group(from) && config_setting_lookup_string(from, "kind", &name))
        for (size_t i = 0; i < KIND_COUNT; i++)
            if (strcmp(kinds[i].name, name) == 0)
                return &kinds[i];
    return NULL;
}

static int take_secret(struct loader *loader, struct provider_config *provider, const char *variable)
{
    provider->secret = conf_keep(loader->config, mem_text(conf_getenv(variable)));
    provider->secret_variable = variable;
    return check_length(loader, &conf_environment, variable, &field_find(provider_fields, "secret")->is,
                        provider->secret);
}

static int read_provider(struct loader *loader, config_setting_t *from, void *element)
{
    struct provider_config *provider = element;
    const struct provider_kind *kind = kind_of(from);
    const char *secret = kind && kind->variable ? conf_getenv(kind->variable) : NULL;
    if (conf_read_element(loader, from, provider_fields, provider, secret) != 0)
        return -1;
    const char *known[KIND_COUNT + 1] = {NULL};
    for (size_t i = 0; i < KIND_COUNT; i++)
        known[i] = kinds[i].name;
    if (conf_check_name(loader, conf_spot(from, "name"), provider->name) != 0 ||
        conf_check_choice(loader, conf_spot(from, "kind"), "kind", provider->kind, known) != 0 ||
        conf_check_http_url(loader, conf_spot(from, "url"), "url", provider->url, true) != 0 ||
        conf_check_open_url(loader, conf_spot(from, "url"), "url", provider->url) != 0)
        return -1;
    if (conf_check_currencies(loader, conf_spot(from, "currencies"), "currencies", provider->currencies) != 0 ||
        conf_read_limits(loader, conf_spot(from, "exposure_limit"), provider) != 0)
        return -1;
    if (!*provider->url && kind->needs_url)
        return conf_fail(loader, from, "provider %s needs a url", provider->name);
    return secret ? take_secret(loader, provider, kind->variable) : 0;
}

static int read_validator(struct loader *loader, config_setting_t *from, void *element)
{
    struct validator_config *validator = element;
    size_t size;
    if (conf_read_element(loader, from, validator_fields, validator, NULL) != 0)
        return -1;
    const config_setting_t *url = conf_spot(from, "url");
    if (conf_check_name(loader, conf_spot(from, "name"), validator->name) != 0 ||
        conf_check_http_url(loader, url, "url", validator->url, true) != 0 ||
        conf_check_open_url(loader, url, "url", validator->url) != 0)
        return -1;
    if (base64_decode(validator->public_key_text, validator->public_key, sizeof validator->public_key, &size) == 0 &&
        size == sizeof validator->public_key)
        return 0;
    const config_setting_t *key = config_setting_get_member(from, "public_key");
    return conf_fail(loader, key ? key : conf_spot(from, "public_key_file"),
                     "public_key must be the base64 of the 32 bytes of an Ed25519 public key");
}

static int read_retry(struct loader *loader, config_setting_t *from, void *element)
{
    struct retry_config *retry = element;
    if (conf_read_element(loader, from, retry_fields, retry, NULL) != 0 ||
        conf_check_name(loader, conf_spot(from, "type"), retry->type) != 0)
        return -1;
    retry->line = config_setting_source_line(conf_spot(from, "type"));
    if (retry->base_ms <= retry->cap_ms)
        return 0;
    return conf_fail(loader, conf_spot(from, config_setting_get_member(from, "base_ms") ? "base_ms" : "cap_ms"),
                     "base_ms of %s is %" PRId64 ", more than its cap_ms (%" PRId64 ")", retry->type, retry->base_ms,
                     retry->cap_ms);
}

/* The lists; providers first, because publishers name them. */
static const struct list {
    struct config_list is;
    const struct field *fields;
    int (*read)(struct loader *loader, config_setting_t *from, void *element);
    size_t element_size, array, count; /* offsets in struct config */
} lists[] = {
    {{"providers", "Payment providers, in the order in which they are tried when nobody prefers one.",
      CONFIG_PROVIDERS_MAX, false},
     provider_fields,
     read_provider,
     sizeof(struct provider_config),
     AT(config, providers),
     AT(config, provider_count)},
    {{"publishers", "Apps that may publish commands.", CONFIG_PUBLISHERS_MAX, true},
     publisher_fields,
     read_publisher,
     sizeof(struct publisher_config),
     AT(config, publishers),
     AT(config, publisher_count)},
    {{"validators", "Proof-of-purchase validators; none, or at least 2.", CONFIG_VALIDATORS_MAX, false},
     validator_fields,
     read_validator,
     sizeof(struct validator_config),
     AT(config, validators),
     AT(config, validator_count)},
    {{"routes",
      "Rules that say which providers a payment may go to, and in which order; the first that fits is used, and "
      "without "
      "one the preferred providers.",
      CONFIG_ROUTES_MAX, true},
     conf_route_fields,
     conf_read_route,
     sizeof(struct route_config),
     AT(config, routes),
     AT(config, route_count)},
    {{"retry_types", "Command types that are tried again otherwise than retry says.", CONFIG_RETRIES_MAX, true},
     retry_fields,
     read_retry,
     sizeof(struct retry_config),
     AT(config, retries),
     AT(config, retry_count)},
};
enum { LIST_COUNT = sizeof lists / sizeof lists[0] };

bool conf_is_list(const char *name)
{
    for (int i = 0; i < LIST_COUNT; i++)
        if (strcmp(lists[i].is.name, name) == 0)
            return true;
    return false;
}

/* The list's elements, and one of them. */
static char *array_of(const struct config *config, const struct list *list)
{
    char *array;
    memcpy(&array, (const char *)config + list->array, sizeof array);
    return array;
}

static void *element_of(const struct config *config, const struct list *list, size_t i)
{
    return array_of(config, list) + i * list->element_size;
}

/* The first field of every list is what its elements are told apart by. */
static const char *name_of(const struct config *config, const struct list *list, size_t i)
{
    return *text_at(element_of(config, list, i), &list->fields[0]);
}

static int read_list(struct loader *loader, const config_setting_t *root, const struct list *list)
{
    config_setting_t *from = config_setting_get_member(root, list->is.name);
    if (!from)
        return 0;
    if (config_setting_type(from) != CONFIG_TYPE_LIST)
        return conf_fail(loader, from, "%s must be a list: ( { ... }, ... )", list->is.name);
    size_t length = (size_t)config_setting_length(from);
    if (length > list->is.max)
        return conf_fail(loader, from, "%s has %zu elements, at most %zu are allowed", list->is.name, length,
                         list->is.max);
    char *array = mem_new(length, list->element_size);
    memcpy((char *)loader->config + list->array, &array, sizeof array);
    size_t *count = (size_t *)(void *)((char *)loader->config + list->count);
    for (size_t i = 0; i < length; i++) {
        config_setting_t *at = config_setting_get_elem(from, (unsigned)i);
        if (list->read(loader, at, array + i * list->element_size) != 0)
            return -1;
        const char *name = name_of(loader->config, list, i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(name_of(loader->config, list, k), name) == 0)
                return conf_fail(loader, conf_spot(at, list->fields[0].is.name), "%s has two elements named %s",
                                 list->is.name, name);
        ++*count;
    }
    return 0;
}

int conf_read_lists(struct loader *loader, const config_setting_t *root)
{
    for (int i = 0; i < LIST_COUNT; i++)
        if (read_list(loader, root, &lists[i]) != 0)
            return -1;
    return 0;
}

/* Asking */

size_t config_list_count(void)
{
    return LIST_COUNT;
}

const struct config_list *config_list(size_t list)
{
    return &lists[list].is;
}

const struct setting *config_member(size_t list, size_t member)
{
    const struct setting *is = &lists[list].fields[member].is;
    return is->name ? is : NULL;
}

size_t config_element_count(const struct config *config, size_t list)
{
    size_t count;
    memcpy(&count, (const char *)config + lists[list].count, sizeof count);
    return count;
}

struct config_value config_member_value(const struct config *config, size_t list, size_t element, size_t member)
{
    const struct field *field = &lists[list].fields[member];
    void *from = element_of(config, &lists[list], element);
    struct config_value value = {.type = field->is.type};
    switch (field->is.type) {
    case CONFIG_TEXT:
        value.text = *text_at(from, field);
        break;
    case CONFIG_INT:
        value.number = *number_at(from, field);
        break;
    case CONFIG_BOOL:
        value.truth = *((bool *)from + field->offset);
        break;
    case CONFIG_NAMES:
        value.names = text_at(from, field);
        break;
    }
    return value;
}

static bool same_value(struct config_value a, struct config_value b)
{
    if (a.type == CONFIG_TEXT)
        return strcmp(a.text, b.text) == 0;
    if (a.type != CONFIG_NAMES)
        return a.number == b.number && a.truth == b.truth;
    size_t i = 0;
    while (a.names[i] && b.names[i] && strcmp(a.names[i], b.names[i]) == 0)
        i++;
    return !a.names[i] && !b.names[i];
}

bool config_list_same(const struct config *a, const struct config *b, size_t list)
{
    size_t count = config_element_count(a, list);
    bool same = count == config_element_count(b, list);
    for (size_t i = 0; same && i < count; i++)
        for (size_t m = 0; same && config_member(list, m); m++)
            same = same_value(config_member_value(a, list, i, m), config_member_value(b, list, i, m));
    return same;
}
