/* limits.h - every bound of the twins, with its unit
 *
 * A twin that is full refuses (503) instead of forgetting; the two places that forget instead, the request log and
 * the idempotency store, count what they dropped and show it in GET /_twin/health.
 */
#ifndef TWINS_LIMITS_H
#define TWINS_LIMITS_H

#include <stddef.h>

enum {
    LIMIT_BODY_BYTES = 256 * 1024,    /* request body */
    LIMIT_FORM_PAIRS = 512,           /* parameters of one request, query and body together */
    LIMIT_CONNECTIONS = 8192,         /* open connections */
    LIMIT_IDLE_SECONDS = 120,         /* a kept-alive connection without a request */
    LIMIT_TIMERS = 65536,             /* delayed answers and late effects under way */
    LIMIT_DELAY_MS = 3600 * 1000,     /* delayMs of a fault; also how long "silent" stays silent */
    LIMIT_FAULTS = 16384,             /* faults at once */
    LIMIT_LOG_ENTRIES = 131072,       /* request log: the newest are kept */
    LIMIT_LOG_ANSWER = 10000,         /* entries in one answer of GET /_twin/requests */
    LIMIT_PATH_BYTES = 512,           /* path of a request */
    LIMIT_VALIDATORS = 64,            /* --validators */
    LIMIT_CALLBACK_MS = 5000,         /* how long the receiver of a vote may take */
    LIMIT_CALLBACK_AGAIN_MS = 500,    /* until a vote that was not taken is sent again */
    LIMIT_CALLBACK_TRIES = 60,        /* then it is given up */
    LIMIT_RECORDS = 2000000,          /* intents, refunds, votes, reservations, webhooks: each */
    LIMIT_STATE_LINE_BYTES = 4 << 20, /* one line of the state file */
    LIMIT_WEBHOOK_TOLERANCE_SECONDS = 300,
    LIMIT_KEY_LIFE_SECONDS = 24 * 3600,             /* idempotency keys of the Stripe twin */
    LIMIT_REQUEST_ID_LIFE_SECONDS = 45 * 24 * 3600, /* PayPal-Request-Ids of the PayPal twin */
    LIMIT_ACCESS_TOKENS = 1024,                     /* of the PayPal twin: the newest are good */
};

/* Bodies of answers remembered under idempotency keys; bodies of webhooks. Bytes. */
static const size_t LIMIT_IDEM_BYTES = (size_t)1 << 30;
static const size_t LIMIT_WEBHOOK_BYTES = (size_t)512 << 20;

#endif
