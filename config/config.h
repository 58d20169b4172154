/* config.h - the settings of every program, from one libconfig file
 *
 * One table in settings.c lists every scalar setting, one in lists.c every member of a list's elements: name, type,
 * default, range, unit, sentence, environment, reloadable, secret. Validation, `acquit config check|show|manual` and the
 * test of the sample follow from them. A wrong key, type or range is refused with file, line and the nearest known key
 * (ERR_CONFIG, exit 78). A loaded configuration never changes; a reload is a new one. Strings are owned by the
 * configuration.
 *
 * The environment comes first: of the variables that the table names for a setting the first that is set and not empty.
 * A variable that is set and changes nothing is kept with the reason (config_idle()). A secret "x.y" comes from there or
 * from a file of its own, named by "x.y_file": an absolute path, or a name looked for below $CREDENTIALS_DIRECTORY and
 * then beside the configuration file; the newline at its end is not part of it. In the configuration itself it is
 * refused. ledger.read_url and simulated.url, when empty, are ledger.url; ledger.url, when not given, is made of DB_HOST,
 * DB_PORT, DB_NAME, DB_USER and DB_PASSWORD. With metrics.enabled = false every metrics_port is 0.
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
    CONFIG_RETRIES_MAX = 64,
    CONFIG_PREFERENCES_MAX = 8,
    CONFIG_ROUTES_MAX = 64,
    CONFIG_CURRENCIES_MAX = 33, /* names in a list of currencies, countries or publishers, and NULL */
    CONFIG_METHODS_MAX = 5,     /* payment methods in a rule, and NULL */
    CONFIG_FAILOVERS_MAX = 5,   /* kinds of evidence in a rule, and NULL */
    CONFIG_VARIABLES_MAX = 3,   /* of one setting */
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
    const char *kind;              /* "simulated", "stripe", "paypal" */
    const char *url;               /* base URL, no final slash; "" for simulated */
    const char *secret;            /* API key; secret */
    const char *secret_variable;   /* of the environment, that gave the secret; or NULL */
    int64_t timeout_ms;            /* of one call */
    int64_t visibility_horizon_ms; /* how long after a request its effect may still be invisible to a question (L6) */
    int64_t send_window_ms;        /* an intent may be sent this long after it was written (send_until) */
    const char *currencies[CONFIG_CURRENCIES_MAX];     /* that it takes; empty: all */
    const char *exposure_limit[CONFIG_CURRENCIES_MAX]; /* as it is given: "EUR=500000" */
    struct currency_limit {
        char currency[4];
        int64_t amount;              /* minor units */
    } limits[CONFIG_CURRENCIES_MAX]; /* the same, read; an empty currency ends it */
};

/* Which negative evidence for one provider lets a payment go on to the next (L6). */
#define FAILOVERS(X)                                                                                                   \
    X(DECLINED, "declined")   /* the issuer said no */                                                                 \
    X(REFUSED, "refused")     /* the provider cannot take this request; no issuer was asked */                         \
    X(CANCELLED, "cancelled") /* the authorization ended at the provider by itself */                                  \
    X(ABSENT, "absent")       /* the provider never got it */
enum failover_shift {
#define X(id, text) FAILOVER_SHIFT_##id,
    FAILOVERS(X)
#undef X
};
enum failover {
#define X(id, text) FAILOVER_##id = 1 << FAILOVER_SHIFT_##id,
    FAILOVERS(X)
#undef X
        FAILOVER_ALL = FAILOVER_DECLINED | FAILOVER_REFUSED | FAILOVER_CANCELLED | FAILOVER_ABSENT,
    FAILOVER_USUAL = FAILOVER_ALL & ~FAILOVER_DECLINED, /* of a rule that says nothing */
};

enum route_order { ROUTE_LISTED, ROUTE_BY_COST, ROUTE_BY_SHARE };
enum route_preferred { ROUTE_PREFERRED_FIRST, ROUTE_PREFERRED_ONLY, ROUTE_PREFERRED_IGNORED };

/* A rule of routing. An empty list of a condition fits all. The texts are as they are given; what they mean stands
 * behind them, index by index of `providers`. */
struct route_config {
    const char *name;
    int64_t amount_from, amount_to; /* minor units, both included */
    const char *currencies[CONFIG_CURRENCIES_MAX];
    const char *countries[CONFIG_CURRENCIES_MAX];
    const char *methods[CONFIG_METHODS_MAX];
    const char *publishers[CONFIG_CURRENCIES_MAX];
    const char *providers[CONFIG_PREFERENCES_MAX];
    const char *order_text;                          /* "listed", "cost", "share" */
    const char *costs_text[CONFIG_PREFERENCES_MAX];  /* "stripe=25+14000": 25 minor units and 14000 ppm */
    const char *shares_text[CONFIG_PREFERENCES_MAX]; /* "stripe=70" */
    const char *preferred_text;                      /* "first", "only", "ignored" */
    const char *failover_text[CONFIG_FAILOVERS_MAX];
    const char *unavailable_text; /* "wait", "refuse" */
    enum route_order order;
    enum route_preferred preferred;
    int64_t cost_fixed[CONFIG_PREFERENCES_MAX], cost_ppm[CONFIG_PREFERENCES_MAX], share[CONFIG_PREFERENCES_MAX];
    unsigned failover; /* bits of enum failover */
    bool refuses;      /* when no provider takes new payments; else the payment waits until its deadline */
};

struct validator_config {
    const char *name;            /* "validator-1" */
    const char *url;             /* base URL, no final slash */
    const char *key;             /* bearer key or ""; secret */
    const char *public_key_text; /* as it is given: base64 */
    uint8_t public_key[32];      /* Ed25519 */
};

/* How often and when commands of one type are tried again. */
struct retry_config {
    const char *type; /* "pop.validate" */
    int64_t attempts, base_ms, cap_ms;
    unsigned line; /* of its type in the file */
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

size_t config_route_count(const struct config *config);
const struct route_config *config_route(const struct config *config, size_t i);

size_t config_retry_count(const struct config *config);
/* Of this command type: its element of retry_types, what that leaves out from retry.*. */
struct retry_config config_retry(const struct config *config, const char *type);

/* Refuses an element of retry_types whose type is none of those that `known` says (NULL behind the last), with file,
 * line and the nearest. Which types there are is not known here. */
int config_check_types(const struct config *config, const char *known(size_t i), struct err *err) MUST_CHECK;

/* Says of a scalar what is not known here to be wrong: "acquit.conf:3: broker.url: text". Returns -1. */
int config_fail(const struct config *config, const char *name, const char *text, struct err *err);

/* The scalars, for `acquit config` and the docs. */
enum config_type { CONFIG_TEXT, CONFIG_INT, CONFIG_BOOL, CONFIG_NAMES };
struct setting {
    const char *name; /* "worker.batch" */
    enum config_type type;
    const char *fallback; /* the default, as it would stand in the file; the name of another setting: the same as that;
                             NULL: must be given */
    int64_t least, most;  /* of a CONFIG_INT; in lists also of a text's bytes and the number of CONFIG_NAMES */
    const char *unit;     /* "ms", "deliveries", "" */
    const char *sentence; /* what it does */
    const char
        *environment[CONFIG_VARIABLES_MAX + 1]; /* variables that override it, the first that is set; NULL ends */
    bool reloadable;
    enum {
        CONFIG_OPEN,
        CONFIG_SECRET,
        CONFIG_SECRET_OF_ONE
    } secret; /* the last: one program needs it, the others must not have it;
                                                                          where its file is not to be had, it is empty */
};
size_t config_setting_count(void);
const struct setting *config_setting(size_t i);

/* The lists, for the same. Names of members are without the list's. */
struct config_list {
    const char *name;
    const char *sentence;
    size_t max; /* elements */
    bool reloadable;
};
size_t config_list_count(void);
const struct config_list *config_list(size_t list);
const struct setting *config_member(size_t list, size_t member); /* NULL behind the last */
size_t config_element_count(const struct config *config, size_t list);
bool config_list_same(const struct config *a, const struct config *b, size_t list);

/* Any value. Secrets are as they are: show none. */
struct config_value {
    enum config_type type;
    const char *text;
    int64_t number;
    bool truth;
    const char *const *names; /* NULL ends */
};
struct config_value config_value(const struct config *config, size_t setting);
struct config_value config_member_value(const struct config *config, size_t list, size_t element, size_t member);
/* Where the value of a scalar comes from: "default", "line 12", "$PORT", or the setting that it follows. */
const char *config_origin(const struct config *config, size_t setting);

/* Variables of the environment that are set and change nothing, with the reason, so that nobody waits for an effect. */
struct idle_variable {
    const char *name, *why;
};
size_t config_idle_count(const struct config *config);
const struct idle_variable *config_idle(const struct config *config, size_t i);
/* Those that never change anything, set or not; NULL behind the last. */
const struct idle_variable *config_never(size_t i);

#endif
