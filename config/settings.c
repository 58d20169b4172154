/* settings.c - the table of scalar settings
 *
 * To add a setting, add a row here and a line to acquit.conf; a test compares the two.
 */
#include <assert.h>
#include <string.h>

#include "config/load.h"

#define NONE                                                                                                           \
    {                                                                                                                  \
        NULL                                                                                                           \
    } /* no variable */

static const struct setting settings[] = {
    /* clang-format off */
    {"broker.url", CONFIG_TEXT, NULL, 0, 0, "",
     "Where RabbitMQ is: amqp:// or amqps://, with user, password and vhost.", {"ACQUIT_BROKER_URL"}, false, true},
    {"broker.management_url", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Its management API, with user and password, for topology checks; empty: none.",
     {"ACQUIT_BROKER_MANAGEMENT_URL"}, false, true},
    {"broker.heartbeat_s", CONFIG_INT, "15", 5, 600, "s",
     "A broker that is silent this long, twice, is taken for gone.", NONE, false, false},
    /* A program connects within one turn of its loop, perhaps two connections one after the other, and a turn may take
     * LOOP_TURN_MAX_MS (5000): so twice this stays below that. */
    {"broker.connect_timeout_ms", CONFIG_INT, "2000", 100, 60000, "ms",
     "How long connecting and logging in may take; the program does nothing else meanwhile.", NONE, false, false},
    {"broker.confirm_timeout_ms", CONFIG_INT, "5000", 100, 60000, "ms",
     "How long the broker may take to confirm a message before its fate counts as unknown.", NONE, false, false},
    {"broker.unconfirmed_max", CONFIG_INT, "1024", 1, 65535, "messages",
     "Published messages that may wait for their confirm at once.", NONE, false, false},
    {"broker.internal_users", CONFIG_TEXT, "\"acquit-worker,acquit-keeper,acquit-operator\"", 0, 0, "",
     "Broker users, separated by commas, that may publish internal commands and speak for a publisher.",
     NONE, false, false},
    {"broker.require_user", CONFIG_BOOL, "true", 0, 0, "",
     "Refuse a command without a user_id that the broker has validated.", NONE, true, false},

    {"ledger.url", CONFIG_TEXT, NULL, 0, 0, "",
     "The ledger's PostgreSQL primary: a postgresql:// URL or a libpq connection string.",
     {"ACQUIT_LEDGER_URL", "DATABASE_URL"}, false, true},
    {"ledger.read_url", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Where status and lists are read, a replica for instance; empty: ledger.url.",
     {"ACQUIT_LEDGER_READ_URL"}, false, true},
    {"ledger.timeout_ms", CONFIG_INT, "10000", 100, 600000, "ms",
     "How long connecting, and one statement, may take.", NONE, false, false},

    {"simulated.url", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Database of the simulated provider's own books; empty: ledger.url.", {"ACQUIT_SIMULATED_URL"}, false, true},

    {"worker.batch", CONFIG_INT, "64", 1, 256, "deliveries",
     "Deliveries that share one transaction, at most.", NONE, false, false},
    {"worker.batch_wait_ms", CONFIG_INT, "2", 0, 1000, "ms",
     "How long a batch that is not full waits for more.", NONE, false, false},
    {"worker.prefetch", CONFIG_INT, "256", 1, 2000, "deliveries",
     "Unacknowledged deliveries that the broker hands one worker, at most.", NONE, false, false},
    {"worker.drain_ms", CONFIG_INT, "30000", 0, 600000, "ms",
     "How long a worker told to stop may finish what it has in hand.", NONE, true, false},
    {"worker.metrics_port", CONFIG_INT, "0", 0, 65535, "port",
     "Ports of the workers' /metrics: 20 for each type from here on, in the order authorize, pop-validate, token-activate, refund, notify, compensate; 0: none.", NONE, false, false},

    /* retry_types says the same per command type; its ranges are these. */
    {"retry.attempts", CONFIG_INT, "3", 1, RETRY_ATTEMPTS_MOST, "attempts",
     "Attempts at a step before it becomes a dead letter; unknown outcomes do not count.", NONE, true, false},
    {"retry.base_ms", CONFIG_INT, "200", 1, RETRY_BASE_MOST_MS, "ms",
     "Delay before the second attempt; each further one doubles it, with jitter.", NONE, true, false},
    {"retry.cap_ms", CONFIG_INT, "60000", 1, RETRY_CAP_MOST_MS, "ms",
     "The longest delay between two attempts.", NONE, true, false},
    {"retry.unknown_payment_ms", CONFIG_INT, "5000", 0, 3600000, "ms",
     "How long, in all, a cancel or refund of a payment nobody has seen yet is tried again.", NONE, true, false},

    {"question.base_ms", CONFIG_INT, "500", 1, 60000, "ms",
     "Delay before the first question about an unknown outcome; each further one doubles it, with jitter.",
     NONE, true, false},
    {"question.cap_ms", CONFIG_INT, "60000", 1, 3600000, "ms",
     "The longest delay between two questions.", NONE, true, false},
    {"question.give_up_ms", CONFIG_INT, "86400000", 1, 2592000000, "ms",
     "How long an outcome may stay unknown before it is a case for a person; questions go on. One behind an absence becomes a dead letter.",
     NONE, false, false},

    {"breaker.enabled", CONFIG_BOOL, "true", 0, 0, "",
     "Keep new payments away from a provider that fails, is slow, or has too much in doubt.", NONE, true, false},
    {"breaker.window_ms", CONFIG_INT, "10000", 100, 3600000, "ms",
     "How far back a worker looks at its own calls to a provider.", NONE, true, false},
    {"breaker.calls_least", CONFIG_INT, "10", 1, 100000, "calls",
     "With fewer calls in that time nothing is concluded.", NONE, true, false},
    {"breaker.error_percent", CONFIG_INT, "50", 1, 101, "per cent",
     "Share of calls without a clear answer that opens the breaker; 101: never.", NONE, true, false},
    {"breaker.slow_ms", CONFIG_INT, "5000", 1, 120000, "ms",
     "A call that takes longer is slow.", NONE, true, false},
    {"breaker.slow_percent", CONFIG_INT, "80", 1, 101, "per cent",
     "Share of slow calls that opens the breaker; 101: never.", NONE, true, false},
    {"breaker.open_ms", CONFIG_INT, "10000", 100, 3600000, "ms",
     "How long it stays open before one payment is let through to try.", NONE, true, false},
    {"breaker.exposure_ms", CONFIG_INT, "1000", 100, 3600000, "ms",
     "How often what is in doubt is read from the ledger, if a provider has an exposure_limit.", NONE, true, false},

    {"ingress.listen", CONFIG_TEXT, "\"127.0.0.1\"", 0, 0, "",
     "Address on which the HTTP interface listens.", NONE, false, false},
    {"ingress.port", CONFIG_INT, "3003", 1, 65535, "port",
     "Port on which it listens.", {"ACQUIT_INGRESS_PORT", "PORT", "PAYMENT_SERVICE_PORT"}, false, false},
    {"ingress.publish_timeout_ms", CONFIG_INT, "1500", 50, 60000, "ms",
     "How long an accepted request may wait for the broker's confirm before it is answered 503.", NONE, false, false},
    {"ingress.wait_max_ms", CONFIG_INT, "10000", 0, 60000, "ms",
     "The longest time a client may ask to wait for the end state.", NONE, false, false},
    {"ingress.body_max", CONFIG_INT, "262144", 1024, 262144, "bytes",
     "The largest request body.", NONE, false, false},
    {"ingress.connections_max", CONFIG_INT, "1000", 1, 60000, "connections",
     "HTTP connections at once.", NONE, false, false},
    {"ingress.metrics_port", CONFIG_INT, "0", 0, 65535, "port",
     "Port of /metrics of the ingress; 0: none.", {"ACQUIT_INGRESS_METRICS_PORT", "METRICS_PORT"}, false, false},

    {"keeper.sweep_ms", CONFIG_INT, "1000", 10, 3600000, "ms",
     "How often the keeper looks for deadlines, for payments that stand still, and for facts to seal.",
     NONE, false, false},
    {"keeper.stand_still_ms", CONFIG_INT, "30000", 100, DAY_MS, "ms",
     "A payment that has not ended and had no new fact for this long is looked at.", NONE, false, false},
    {"keeper.metrics_port", CONFIG_INT, "0", 0, 65535, "port",
     "Port of /metrics of the keeper; 0: none.", NONE, false, false},

    {"transit.hold_ms", CONFIG_INT, "86400000", 1000, MONTH_MS, "ms",
     "How long an authorization may stay neither captured nor voided before `acquit ledger balance --transit` says no.", NONE, false, false},
    {"transit.in_doubt_ms", CONFIG_INT, "3600000", 1000, MONTH_MS, "ms",
     "How long the outcome of a call that moves money may stay unknown.", NONE, false, false},
    {"transit.refund_ms", CONFIG_INT, "3600000", 1000, MONTH_MS, "ms",
     "How long a refund that was accepted may be without its result.", NONE, false, false},
    {"transit.suspense_ms", CONFIG_INT, "86400000", 1000, MONTH_MS, "ms",
     "How long money may stay that no payment explains.", NONE, false, false},

    {"seal.origin", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Name of the ledger in its signed heads, a host name and a path for instance; empty: the ledger is not sealed.", NONE, false, false},
    {"seal.key", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Private key that signs the heads, as `acquit ledger keygen` or `rotate-key` makes it; the keeper alone needs it.",
     {"ACQUIT_SEAL_KEY"}, false, CONFIG_SECRET_OF_ONE},
    {"seal.heads_dir", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Folder for the heads, one file per block, best on another machine's disk; empty: none.", NONE, false, false},
    {"seal.interval_ms", CONFIG_INT, "500", 10, 3600000, "ms",
     "How often a block is sealed, if there is something to seal.", NONE, false, false},
    {"seal.map_interval_ms", CONFIG_INT, "5000", 10, 3600000, "ms",
     "How often the heads state a new map of what was not recorded, if there is something new.", NONE, false, false},

    {"projection.interval_ms", CONFIG_INT, "500", 10, 60000, "ms",
     "How often the keeper brings lists up to date with new facts.", NONE, false, false},

    {"pop.quorum", CONFIG_INT, "0", 0, CONFIG_VALIDATORS_MAX, "votes",
     "Positive votes that make a proof of purchase; 0: a majority of the validators.", NONE, false, false},
    {"pop.callback_url", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Our /webhooks/pop as the validators reach it, for votes that take their time; empty: they must answer at once.",
     NONE, false, false},
    {"pop.timeout_ms", CONFIG_INT, "3000", 50, 60000, "ms",
     "How long one validator may take.", NONE, false, false},
    {"pop.vote_max_skew_ms", CONFIG_INT, "300000", 0, DAY_MS, "ms",
     "How far a vote's time may be from ours.", NONE, false, false},

    {"tokens.url", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Base URL of the token system, without a final slash; empty: no payments of flow dual.", NONE, false, false},
    {"tokens.key", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Bearer key for the token system.", {"ACQUIT_TOKENS_KEY"}, false, true},
    {"tokens.timeout_ms", CONFIG_INT, "3000", 50, 60000, "ms",
     "How long one call to the token system may take.", NONE, false, false},

    {"webhook.timeout_ms", CONFIG_INT, "5000", 50, 60000, "ms",
     "How long a publisher's webhook may take to answer.", NONE, true, false},

    {"mail.url", CONFIG_TEXT, "\"\"", 0, 0, "",
     "The mail server for e-mail to customers, smtp://host:port or smtps://host:port; empty: no e-mail.",
     {"ACQUIT_MAIL_URL"}, false, false},
    {"mail.from", CONFIG_TEXT, "\"\"", 0, 0, "",
     "The sender: an address, or a name with the address in <>; must be given with mail.url.", NONE, false, false},
    {"mail.user", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Our user at the mail server; empty: no login.", NONE, false, false},
    {"mail.password", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Its password.", {"ACQUIT_MAIL_PASSWORD"}, false, true},
    {"mail.tls", CONFIG_TEXT, "\"required\"", 0, 0, "",
     "STARTTLS on smtp://: required, opportunistic or off; smtps:// is always encrypted.", NONE, false, false},
    {"mail.timeout_ms", CONFIG_INT, "10000", 100, 120000, "ms",
     "How long one mail may take, from the connection to the server's last answer.", NONE, false, false},
    {"mail.templates_dir", CONFIG_TEXT, "\"\"", 0, 0, "",
     "Folder of texts that replace the built-in ones, e.g. payment.completed.txt and .html; empty: none.",
     NONE, false, false},

    {"metrics.enabled", CONFIG_BOOL, "true", 0, 0, "",
     "false: no program serves /metrics, whatever the metrics_port of workers, ingress and keeper.",
     {"ACQUIT_METRICS_ENABLED", "ENABLE_METRICS"}, false, false},

    {"payment.expires_in_ms", CONFIG_INT, "900000", 1000, MONTH_MS, "ms",
     "Deadline of a payment whose command and publisher name none.", NONE, true, false},

    {"log.level", CONFIG_TEXT, "\"info\"", 0, 0, "",
     "The least level that is logged: debug, info, warn or error.", {"ACQUIT_LOG_LEVEL", "LOG_LEVEL"}, true, false},
    /* clang-format on */
};
enum { SETTING_COUNT = sizeof settings / sizeof settings[0] };
static_assert(sizeof settings / sizeof settings[0] <= CONFIG_SETTINGS_MAX, "CONFIG_SETTINGS_MAX is too small");

size_t config_setting_count(void)
{
    return SETTING_COUNT;
}

const struct setting *config_setting(size_t i)
{
    return &settings[i];
}

int conf_index(const char *name)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strcmp(settings[i].name, name) == 0)
            return i;
    return -1;
}
