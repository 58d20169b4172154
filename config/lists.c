/* lists.c - publishers, providers and validators
 *
 * The tables of fields say what an element may hold. To add a member, add it to the struct in config.h, here, and to
 * acquit.conf.
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
    AMOUNT_MAX_DEFAULT = 99999999,
};
#define AMOUNT_MAX_MOST 1000000000000000

/* A member of a list's element. Integers have a range, texts a length; a truth value that is missing is false. */
struct field {
    const char *name;
    enum config_type type;
    size_t offset; /* of the `const char *`, int64_t or bool in the element's struct */
    bool required, secret;
    const char *fallback; /* text: "" when NULL */
    int64_t number;       /* integer: the default */
    int64_t least, most;
};
enum { FIELDS_MAX = 16 };

#define AT(type, member) offsetof(struct type, member)

static const struct field publisher_fields[] = {
    {"name", CONFIG_TEXT, AT(publisher_config, name), true, false, NULL, 0, 1, CONFIG_NAME_MAX},
    {"api_key_sha256", CONFIG_TEXT, AT(publisher_config, api_key_sha256), false, false, "", 0, 0, SHA256_HEX_SIZE - 1},
    {"merchant", CONFIG_TEXT, AT(publisher_config, merchant), false, false, "", 0, 0, 64},
    {"flow", CONFIG_TEXT, AT(publisher_config, flow), false, false, "plain", 0, 1, 16},
    {"payment_method", CONFIG_TEXT, AT(publisher_config, payment_method), false, false, "card", 0, 1, 32},
    {"commission_ppm", CONFIG_INT, AT(publisher_config, commission_ppm), false, false, NULL, 0, 0, 1000000},
    {"expires_in_ms", CONFIG_INT, AT(publisher_config, expires_in_ms), false, false, NULL, 0, 1000, MONTH_MS},
    {"webhook_url", CONFIG_TEXT, AT(publisher_config, webhook_url), false, false, "", 0, 0, CONFIG_URL_MAX},
    {"webhook_secret", CONFIG_TEXT, AT(publisher_config, webhook_secret), false, true, "", 0, 0, 256},
    {"email", CONFIG_BOOL, AT(publisher_config, email), false, false, NULL, 0, 0, 0},
    {"amount_max", CONFIG_INT, AT(publisher_config, amount_max), false, false, NULL, AMOUNT_MAX_DEFAULT, 1,
     AMOUNT_MAX_MOST},
    {NULL},
};

static const struct field provider_fields[] = {
    {"name", CONFIG_TEXT, AT(provider_config, name), true, false, NULL, 0, 1, CONFIG_NAME_MAX},
    {"kind", CONFIG_TEXT, AT(provider_config, kind), true, false, NULL, 0, 1, CONFIG_NAME_MAX},
    {"url", CONFIG_TEXT, AT(provider_config, url), false, false, "", 0, 0, CONFIG_URL_MAX},
    {"secret", CONFIG_TEXT, AT(provider_config, secret), false, true, "", 0, 0, 1024},
    {"timeout_ms", CONFIG_INT, AT(provider_config, timeout_ms), false, false, NULL, 10000, 50, 120000},
    {"visibility_horizon_ms", CONFIG_INT, AT(provider_config, visibility_horizon_ms), false, false, NULL, 5000, 0,
     DAY_MS},
    {"send_window_ms", CONFIG_INT, AT(provider_config, send_window_ms), false, false, NULL, 30000, 100, DAY_MS},
    {NULL},
};

/* A validator as the file has it; public_key becomes bytes in the end. */
struct validator_text {
    const char *name, *url, *key, *public_key;
};

static const struct field validator_fields[] = {
    {"name", CONFIG_TEXT, AT(validator_text, name), true, false, NULL, 0, 1, CONFIG_NAME_MAX},
    {"url", CONFIG_TEXT, AT(validator_text, url), true, false, NULL, 0, 1, CONFIG_URL_MAX},
    {"public_key", CONFIG_TEXT, AT(validator_text, public_key), true, false, NULL, 0, 1, 64},
    {"key", CONFIG_TEXT, AT(validator_text, key), false, true, "", 0, 0, 1024},
    {NULL},
};

static int unknown_field(const struct loader *loader, const config_setting_t *at, const char *key,
                         const struct field *fields, const char *further)
{
    struct nearest nearest = {.wanted = key};
    for (; fields->name; fields++) {
        conf_consider(&nearest, fields->name, "");
        if (fields->secret || strcmp(fields->name, "public_key") == 0)
            conf_consider(&nearest, fields->name, "_file");
    }
    if (further)
        conf_consider(&nearest, further, "");
    return conf_unknown_key(loader, at, key, &nearest);
}

static const struct field *field_find(const struct field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0)
            return fields;
    return NULL;
}

/* The field whose file this key names, or NULL. A public key is no secret, but may stand in a file of its own too. */
static const struct field *field_of_file(const struct field *fields, const char *key)
{
    char base[CONFIG_KEY_MAX];
    const struct field *field = conf_file_key(key, base) ? field_find(fields, base) : NULL;
    return field && (field->secret || strcmp(field->name, "public_key") == 0) ? field : NULL;
}

static const char **text_at(void *element, const struct field *field)
{
    return (const char **)(void *)((char *)element + field->offset);
}

static int64_t *number_at(void *element, const struct field *field)
{
    return (int64_t *)(void *)((char *)element + field->offset);
}

static int check_length(const struct loader *loader, const config_setting_t *at, const struct field *field,
                        const char *text)
{
    int64_t length = (int64_t)strlen(text);
    if (length >= field->least && length <= field->most)
        return conf_check_text(loader, at, field->name, text);
    return conf_fail(loader, at, "%s has %" PRId64 " bytes, it must have from %" PRId64 " to %" PRId64, field->name,
                     length, field->least, field->most);
}

static int read_field(struct loader *loader, const config_setting_t *at, const struct field *field, void *element)
{
    if (!conf_has_type(at, field->type))
        return conf_fail(loader, at, "%s must be %s", field->name, conf_type_text(field->type));
    if (field->type == CONFIG_INT) {
        *number_at(element, field) = conf_number(at);
        return conf_check_range(loader, at, field->name, conf_number(at), field->least, field->most, "");
    }
    if (field->type == CONFIG_BOOL) {
        *((bool *)element + field->offset) = config_setting_get_bool(at);
        return 0;
    }
    const char *text = conf_keep(loader->config, mem_text(config_setting_get_string(at)));
    *text_at(element, field) = text;
    if (field->secret && *text && conf_check_private(loader, at, field->name) != 0)
        return -1;
    return check_length(loader, at, field, text);
}

/* `secret` is the value that makes the file needless, or NULL. */
static int read_field_file(struct loader *loader, const config_setting_t *at, const struct field *field, void *element,
                           const char *secret)
{
    if (!conf_has_type(at, CONFIG_TEXT))
        return conf_fail(loader, at, "%s_file must be %s", field->name, conf_type_text(CONFIG_TEXT));
    const char *text = secret ? secret : conf_read_secret(loader, at, field->name);
    if (!text)
        return -1;
    *text_at(element, field) = text;
    return check_length(loader, at, field, text);
}

/* Reads one element `{ ... }` of a list into its struct. `further` is a member that the caller reads itself. */
static int read_element(struct loader *loader, config_setting_t *from, const struct field *fields, void *element,
                        const char *further, const char *secret)
{
    bool seen[FIELDS_MAX] = {false};
    if (!config_setting_is_group(from))
        return conf_fail(loader, from, "an element of %s must be { ... }",
                         config_setting_name(config_setting_parent(from)));
    for (const struct field *field = fields; field->name; field++)
        if (field->type == CONFIG_INT)
            *number_at(element, field) = field->number;
        else if (field->type == CONFIG_TEXT)
            *text_at(element, field) = field->fallback ? field->fallback : "";
    for (int i = 0; i < config_setting_length(from); i++) {
        config_setting_t *at = config_setting_get_elem(from, (unsigned)i);
        const char *key = config_setting_name(at);
        if (further && strcmp(key, further) == 0)
            continue;
        const struct field *field = field_find(fields, key), *file = field_of_file(fields, key);
        const struct field *either = field ? field : file;
        if (!either)
            return unknown_field(loader, at, key, fields, further);
        if (seen[either - fields])
            return conf_fail(loader, at, "%s and %s_file are both given", either->name, either->name);
        seen[either - fields] = true;
        if ((field ? read_field(loader, at, field, element) : read_field_file(loader, at, file, element, secret)) != 0)
            return -1;
    }
    for (const struct field *field = fields; field->name; field++)
        if (field->required && !seen[field - fields])
            return conf_fail(loader, from, "%s is missing", field->name);
    return 0;
}

static int read_gateways(struct loader *loader, config_setting_t *from, struct publisher_config *publisher)
{
    const config_setting_t *list = config_setting_get_member(from, "gateways");
    if (!list)
        return 0;
    int type = config_setting_type(list), count = config_setting_length(list);
    if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
        return conf_fail(loader, list, "gateways must be a list of providers' names: [\"stripe\", ...]");
    if (count > CONFIG_PREFERENCES_MAX - 1)
        return conf_fail(loader, list, "gateways has %d names, at most %d are allowed", count,
                         CONFIG_PREFERENCES_MAX - 1);
    for (int i = 0; i < count; i++) {
        const char *name = config_setting_get_string_elem(list, i);
        if (!name)
            return conf_fail(loader, list, "gateways must be a list of providers' names: [\"stripe\", ...]");
        if (!config_provider_find(loader->config, name))
            return conf_fail(loader, list, "gateways names \"%.63s\", which is no configured provider", name);
        publisher->gateways[i] = config_provider_find(loader->config, name)->name;
    }
    return 0;
}

static int read_publisher(struct loader *loader, config_setting_t *from, void *element)
{
    static const char *const flows[] = {"plain", "dual", NULL};
    static const char *const methods[] = {"card", "mobile_money", "wallet", "bank_transfer", NULL};
    struct publisher_config *publisher = element;
    uint8_t digest[SHA256_SIZE];
    if (read_element(loader, from, publisher_fields, publisher, "gateways", NULL) != 0 ||
        read_gateways(loader, from, publisher) != 0 || conf_check_name(loader, from, publisher->name) != 0 ||
        conf_check_choice(loader, from, "flow", publisher->flow, flows) != 0 ||
        conf_check_choice(loader, from, "payment_method", publisher->payment_method, methods) != 0 ||
        conf_check_http_url(loader, from, "webhook_url", publisher->webhook_url, false) != 0)
        return -1;
    if (*publisher->api_key_sha256 && hex_decode(publisher->api_key_sha256, digest, sizeof digest) != 0)
        return conf_fail(loader, from, "api_key_sha256 must be the 64 hex digits of the key's SHA-256");
    if (publisher->expires_in_ms == 0)
        publisher->expires_in_ms = config_int(loader->config, "payment.expires_in_ms");
    if (*publisher->webhook_url && !*publisher->webhook_secret)
        return conf_fail(loader, from, "webhook_url needs webhook_secret_file: notices are signed");
    return 0;
}

static int read_provider(struct loader *loader, config_setting_t *from, void *element)
{
    struct provider_config *provider = element;
    const char *kind = NULL, *secret = NULL;
    if (config_setting_is_group(from) && config_setting_lookup_string(from, "kind", &kind) &&
        strcmp(kind, "stripe") == 0)
        secret = getenv("STRIPE_SECRET_KEY");
    if (secret)
        secret = *secret ? conf_keep(loader->config, mem_text(secret)) : NULL;
    if (read_element(loader, from, provider_fields, provider, NULL, secret) != 0 ||
        conf_check_name(loader, from, provider->name) != 0 || conf_check_name(loader, from, provider->kind) != 0 ||
        conf_check_http_url(loader, from, "url", provider->url, true) != 0)
        return -1;
    if (secret)
        provider->secret = secret;
    if (!*provider->url && strcmp(provider->kind, "simulated") != 0)
        return conf_fail(loader, from, "provider %s needs a url", provider->name);
    return conf_check_text(loader, from, "secret", provider->secret);
}

static int read_validator(struct loader *loader, config_setting_t *from, void *element)
{
    struct validator_config *validator = element;
    struct validator_text text = {0};
    size_t size;
    if (read_element(loader, from, validator_fields, &text, NULL, NULL) != 0 ||
        conf_check_name(loader, from, text.name) != 0 || conf_check_http_url(loader, from, "url", text.url, true) != 0)
        return -1;
    if (base64_decode(text.public_key, validator->public_key, sizeof validator->public_key, &size) != 0 ||
        size != sizeof validator->public_key)
        return conf_fail(loader, from, "public_key must be the base64 of the 32 bytes of an Ed25519 public key");
    validator->name = text.name;
    validator->url = text.url;
    validator->key = text.key;
    return 0;
}

/* The three lists; providers first, because publishers name them. */
static const struct list {
    const char *name;
    int (*read)(struct loader *loader, config_setting_t *from, void *element);
    size_t element_size, name_offset, array, count; /* offsets in struct config */
    int max;
} lists[] = {
    {"providers", read_provider, sizeof(struct provider_config), AT(provider_config, name), AT(config, providers),
     AT(config, provider_count), CONFIG_PROVIDERS_MAX},
    {"publishers", read_publisher, sizeof(struct publisher_config), AT(publisher_config, name), AT(config, publishers),
     AT(config, publisher_count), CONFIG_PUBLISHERS_MAX},
    {"validators", read_validator, sizeof(struct validator_config), AT(validator_config, name), AT(config, validators),
     AT(config, validator_count), CONFIG_VALIDATORS_MAX},
};
enum { LIST_COUNT = sizeof lists / sizeof lists[0] };

bool conf_is_list(const char *name)
{
    for (int i = 0; i < LIST_COUNT; i++)
        if (strcmp(lists[i].name, name) == 0)
            return true;
    return false;
}

/* Every struct's `name` is a `const char *` at its own offset. */
static const char *name_of(const struct list *list, const char *array, size_t i)
{
    const char *name;
    memcpy(&name, array + i * list->element_size + list->name_offset, sizeof name);
    return name;
}

static int read_list(struct loader *loader, const config_setting_t *root, const struct list *list)
{
    config_setting_t *from = config_setting_get_member(root, list->name);
    if (!from)
        return 0;
    if (config_setting_type(from) != CONFIG_TYPE_LIST)
        return conf_fail(loader, from, "%s must be a list: ( { ... }, ... )", list->name);
    int length = config_setting_length(from);
    if (length > list->max)
        return conf_fail(loader, from, "%s has %d elements, at most %d are allowed", list->name, length, list->max);
    char *array = mem_new((size_t)length, list->element_size);
    memcpy((char *)loader->config + list->array, &array, sizeof array);
    size_t *count = (size_t *)(void *)((char *)loader->config + list->count);
    for (int i = 0; i < length; i++) {
        config_setting_t *at = config_setting_get_elem(from, (unsigned)i);
        if (list->read(loader, at, array + (size_t)i * list->element_size) != 0)
            return -1;
        const char *name = name_of(list, array, *count);
        for (size_t k = 0; k < *count; k++)
            if (strcmp(name_of(list, array, k), name) == 0)
                return conf_fail(loader, at, "%s has two elements named %s", list->name, name);
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
