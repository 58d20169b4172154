/* config.h - the settings of every program, from one libconfig file
 *
 * One table in settings.c lists every scalar setting: name, type, default, range, unit, sentence, reloadable, secret.
 * Validation and `acquit config` follow from it. A wrong key, type or range is refused with file, line and the nearest
 * known key (ERR_CONFIG, exit 78). Lists (publishers, providers, validators) have structs of their own below. A loaded
 * configuration never changes; a reload is a new one. Strings are owned by the configuration.
 *
 * A secret "x.y" stands in a file of its own, named by "x.y_file" (an absolute path, or a name looked for below
 * $CREDENTIALS_DIRECTORY and then beside the configuration file; the newline at its end is not part of it), or comes
 * from the environment variable that the table names, which comes first. As it is it may stand only in a file that
 * nobody but its owner can read. ledger.read_url and simulated.url, when empty, are ledger.url.
 */
#ifndef ACQUIT_CONFIG_CONFIG_H
#define ACQUIT_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct config;

enum {
    CONFIG_PUBLISHERS_MAX = 256,
    CONFIG_PROVIDERS_MAX = 16,
    CONFIG_VALIDATORS_MAX = 16,
    CONFIG_PREFERENCES_MAX = 8,
};

/* An app that may publish commands; named as its broker user. */
struct publisher_config {
    const char *name;
    const char *api_key_sha256; /* hex of SHA-256 of its HTTP API key; "" = no HTTP access */
    const char *merchant;       /* default merchant of its payments */
    const char *flow;           /* default flow: "plain" or "dual" */
    const char *payment_method; /* default */
    const char *gateways
        [CONFIG_PREFERENCES_MAX]; /* default preferredGateways, ended by NULL; empty = providers in file order */
    int64_t commission_ppm;       /* of the captured amount, parts per million; rounded down */
    int64_t expires_in_ms;        /* default deadline of its payments */
    const char *webhook_url;      /* "" = none */
    const char *webhook_secret;   /* "whsec_..." ; secret */
    int64_t amount_max;           /* largest amount in minor units */
    bool email;                   /* tell its customers by e-mail, if mail.url is set */
};

/* A payment provider. `kind` names its implementation in workers/providers/. */
struct provider_config {
    const char *name;              /* "stripe" */
    const char *kind;              /* "simulated", "stripe" */
    const char *url;               /* base URL, no final slash; "" for simulated */
    const char *secret;            /* API key; secret */
    int64_t timeout_ms;            /* of one call */
    int64_t visibility_horizon_ms; /* how long after a request its effect may still be invisible to a question (L6) */
    int64_t send_window_ms;        /* an intent may be sent this long after it was written (send_until) */
};

struct validator_config {
    const char *name;       /* "validator-1" */
    const char *url;        /* base URL, no final slash */
    const char *key;        /* bearer key or ""; secret */
    uint8_t public_key[32]; /* Ed25519 */
};

/* Loads and checks `path` (NULL: $ACQUIT_CONFIG, else /etc/acquit/acquit.conf), then the environment's overrides. NULL
 * on failure. */
struct config *config_load(const char *path, struct err *err) MUST_CHECK;
void config_free(struct config *config); /* accepts NULL */

/* The value of a scalar of the table; asking for a name that the table lacks is our bug and panics. */
const char *config_text(const struct config *config, const char *name);
int64_t config_int(const struct config *config, const char *name);
bool config_bool(const struct config *config, const char *name);

size_t config_publisher_count(const struct config *config);
const struct publisher_config *config_publisher(const struct config *config, size_t i);
const struct publisher_config *config_publisher_find(const struct config *config, const char *name); /* NULL: unknown */
size_t config_provider_count(const struct config *config);
const struct provider_config *config_provider(const struct config *config, size_t i);
const struct provider_config *config_provider_find(const struct config *config, const char *name);
size_t config_validator_count(const struct config *config);
const struct validator_config *config_validator(const struct config *config, size_t i);

/* The scalars, for `acquit config` and the docs. */
enum config_type { CONFIG_TEXT, CONFIG_INT, CONFIG_BOOL };
struct setting {
    const char *name; /* "worker.batch" */
    enum config_type type;
    const char *fallback;    /* the default, as it would stand in the file; NULL: must be given */
    int64_t least, most;     /* CONFIG_INT */
    const char *unit;        /* "ms", "deliveries", "" */
    const char *sentence;    /* what it does */
    const char *environment; /* variable that overrides it, or NULL */
    bool reloadable, secret;
};
size_t config_setting_count(void);
const struct setting *config_setting(size_t i);

#endif
