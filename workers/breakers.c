/* breakers.c - see breakers.h */
#include "workers/breakers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"

enum {
    READ_SHARE = 20, /* reading what is in doubt takes at most one part in so many of the time */
    LABELS_SIZE = 128,
};

struct guarded {
    const char *provider; /* the open provider's name */
    struct breaker breaker;
    bool over[CONFIG_CURRENCIES_MAX]; /* its i-th limit was exceeded when it was last read */
};

struct breakers {
    struct surroundings *around;
    struct loop_source *timer;
    struct guarded guarded[CONFIG_PROVIDERS_MAX];
    size_t count;
    json_t *in_doubt; /* as read last; NULL before */
    int64_t read_not_before_ms;
    bool unread; /* said once */
};

static struct breaker_settings settings_of(const struct config *config)
{
    return (struct breaker_settings){.window_ms = config_int(config, "breaker.window_ms"),
                                     .calls_least = config_int(config, "breaker.calls_least"),
                                     .error_percent = config_int(config, "breaker.error_percent"),
                                     .slow_ms = config_int(config, "breaker.slow_ms"),
                                     .slow_percent = config_int(config, "breaker.slow_percent"),
                                     .open_ms = config_int(config, "breaker.open_ms")};
}

static bool enabled(const struct breakers *breakers)
{
    return breakers && config_bool(breakers->around->config, "breaker.enabled");
}

static struct guarded *find(struct breakers *breakers, const char *provider)
{
    for (size_t i = 0; i < breakers->count; i++)
        if (strcmp(breakers->guarded[i].provider, provider) == 0)
            return &breakers->guarded[i];
    return NULL;
}

/* --- what others see --- */

static void show_state(const struct guarded *guarded, int64_t now_ms)
{
    char labels[LABELS_SIZE];
    snprintf(labels, sizeof labels, "provider=\"%.63s\"", guarded->provider);
    metric_set("acquit_breaker_state", labels, (int64_t)breaker_state(&guarded->breaker, now_ms));
}

static void say_change(const struct guarded *guarded, const char *why, int64_t now_ms)
{
    char labels[LABELS_SIZE];
    const char *state = breaker_state_text(breaker_state(&guarded->breaker, now_ms));
    snprintf(labels, sizeof labels, "provider=\"%.63s\",to=\"%s\"", guarded->provider, state);
    metric_add("acquit_breaker_changes_total", labels, 1);
    log_warn("breaker provider=%s state=%s: %s", guarded->provider, state, why);
    show_state(guarded, now_ms);
}

/* --- exposure --- */

static const struct currency_limit *limit_of(const struct provider_config *provider, const char *currency)
{
    for (const struct currency_limit *limit = provider->limits; *limit->currency; limit++)
        if (strcmp(limit->currency, currency) == 0)
            return limit;
    return NULL;
}

int64_t exposure_above(const struct provider_config *provider, const char *currency, const json_t *rows)
{
    const struct currency_limit *limit = limit_of(provider, currency);
    for (size_t i = 0; limit && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (strcmp(json_text(row, "provider", ""), provider->name) == 0 &&
            strcmp(json_text(row, "currency", ""), currency) == 0)
            return json_int(row, "amount", 0) - limit->amount;
    }
    return 0;
}

static void judge_limit(struct breakers *breakers, struct guarded *guarded, const struct provider_config *provider,
                        size_t i)
{
    const struct currency_limit *limit = &provider->limits[i];
    int64_t above = exposure_above(provider, limit->currency, breakers->in_doubt);
    char labels[LABELS_SIZE];
    snprintf(labels, sizeof labels, "provider=\"%.63s\",currency=\"%s\"", provider->name, limit->currency);
    metric_set("acquit_exposure_limit_minor_units", labels, limit->amount);
    metric_set("acquit_exposure_over_limit", labels, above > 0);
    if (guarded->over[i] == (above > 0))
        return;
    guarded->over[i] = above > 0;
    if (above > 0)
        log_warn("exposure provider=%s currency=%s: %" PRId64 " minor units in doubt, the limit is %" PRId64
                 "; new payments go elsewhere",
                 provider->name, limit->currency, above + limit->amount, limit->amount);
    else
        log_info("exposure provider=%s currency=%s: within its limit again", provider->name, limit->currency);
}

static void judge_exposure(struct breakers *breakers)
{
    for (size_t g = 0; g < breakers->count; g++) {
        struct guarded *guarded = &breakers->guarded[g];
        const struct provider_config *provider = config_provider_find(breakers->around->config, guarded->provider);
        for (size_t i = 0; provider && *provider->limits[i].currency; i++)
            judge_limit(breakers, guarded, provider, i);
    }
}

static bool has_limits(const struct config *config)
{
    for (size_t i = 0; i < config_provider_count(config); i++)
        if (*config_provider(config, i)->limits[0].currency)
            return true;
    return false;
}

/* What cannot be read now stays as it was: the doubts of a ledger that is away do not grow either. */
static void read_exposure(struct breakers *breakers)
{
    struct err err = {0};
    int64_t begun_ms = clock_monotonic_ms();
    if (begun_ms < breakers->read_not_before_ms)
        return;
    json_t *rows = read_in_doubt(breakers->around->reader, 0, &err);
    int64_t now_ms = clock_monotonic_ms();
    breakers->read_not_before_ms = now_ms + READ_SHARE * (now_ms - begun_ms);
    if (!rows) {
        if (!breakers->unread)
            log_warn("what is in doubt cannot be read: %s", err.text);
        breakers->unread = true;
        return;
    }
    breakers->unread = false;
    json_decref(breakers->in_doubt);
    breakers->in_doubt = rows;
    judge_exposure(breakers);
}

static void on_timer(void *arg)
{
    struct breakers *breakers = arg;
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < breakers->count; i++)
        show_state(&breakers->guarded[i], now_ms);
    if (enabled(breakers) && has_limits(breakers->around->config))
        read_exposure(breakers);
    loop_timer_set(breakers->timer, config_int(breakers->around->config, "breaker.exposure_ms"));
}

struct breakers *breakers_open(struct surroundings *around)
{
    struct breakers *breakers = mem_new(1, sizeof *breakers);
    breakers->around = around;
    breakers->count = around->provider_count;
    for (size_t i = 0; i < breakers->count; i++)
        breakers->guarded[i].provider = provider_name(around->providers[i]);
    breakers->timer = loop_timer(around->loop, 0, on_timer, breakers);
    return breakers;
}

void breakers_close(struct breakers *breakers)
{
    if (!breakers)
        return;
    loop_source_free(breakers->timer);
    json_decref(breakers->in_doubt);
    free(breakers);
}

/* --- what steps ask and tell --- */

static bool over_limit(const struct breakers *breakers, const char *provider, const char *currency)
{
    const struct provider_config *config = config_provider_find(breakers->around->config, provider);
    return config && exposure_above(config, currency, breakers->in_doubt) > 0;
}

enum route_obstacle breakers_look(struct breakers *breakers, const char *provider, const char *currency,
                                  struct uuid payment)
{
    struct guarded *guarded = enabled(breakers) ? find(breakers, provider) : NULL;
    if (!guarded)
        return ROUTE_FREE;
    if (!breaker_permits(&guarded->breaker, payment, clock_monotonic_ms()))
        return ROUTE_BREAKER_OPEN;
    return over_limit(breakers, provider, currency) ? ROUTE_EXPOSURE : ROUTE_FREE;
}

void breakers_begin(struct breakers *breakers, const char *provider, struct uuid payment)
{
    struct guarded *guarded = enabled(breakers) ? find(breakers, provider) : NULL;
    int64_t now_ms = clock_monotonic_ms();
    if (!guarded || breaker_state(&guarded->breaker, now_ms) != BREAKER_HALF_OPEN)
        return;
    struct breaker_settings settings = settings_of(breakers->around->config);
    breaker_begin(&guarded->breaker, &settings, payment, now_ms);
    say_change(guarded, "one payment is let through", now_ms);
}

void breakers_note(struct breakers *breakers, const char *provider, struct uuid payment, bool failed, int64_t took_ms)
{
    struct guarded *guarded = enabled(breakers) ? find(breakers, provider) : NULL;
    if (!guarded)
        return;
    char why[160];
    int64_t now_ms = clock_monotonic_ms();
    struct breaker_settings settings = settings_of(breakers->around->config);
    struct breaker before = guarded->breaker;
    if (!breaker_note(&guarded->breaker, &settings, payment, failed, took_ms, now_ms))
        return;
    struct breaker_slice window = breaker_window(&before, &settings, now_ms);
    if (before.tripped)
        snprintf(why, sizeof why, "the payment let through %s", guarded->breaker.tripped ? "failed" : "was answered");
    else
        snprintf(why, sizeof why, "of %" PRId64 " calls %" PRId64 " without a clear answer, %" PRId64 " slow",
                 window.calls + 1, window.errors + failed, window.slow + (took_ms > settings.slow_ms));
    say_change(guarded, why, now_ms);
}
