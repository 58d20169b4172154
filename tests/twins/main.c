/* main.c - acquit-twins: simulators of the providers Acquit talks to, in one program
 *
 * The Stripe and PayPal APIs (a part of each), N proof-of-purchase validators, a token system, and a merchant who receives webhooks; each
 * with its own books, each to be told to misbehave. See README.md. Exits 0 on SIGTERM and SIGINT, 2 on wrong usage,
 * 78 when keys or the secret cannot be used, 1 when it cannot listen or keep its state file.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "http.h"
#include "journal.h"
#include "keys.h"
#include "limits.h"
#include "paypal_answers.h"
#include "paypal_books.h"
#include "paypal_keys.h"
#include "stripe_answers.h"
#include "stripe_keys.h"
#include "timer.h"
#include "tokens.h"
#include "validators.h"
#include "webhooks.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

struct options {
    int64_t port; /* -1: not given */
    int64_t validators;
    const char *keys;
    const char *webhook_secret;
    const char *stripe_key;
    const char *paypal_key;
    const char *payment_key;
    const char *token_key;
    const char *validator_key;
    const char *state;
    bool make_keys;
    bool help;
};

static const char usage[] =
    "usage: acquit-twins --port N --keys DIR --validators N [options]\n"
    "       acquit-twins --make-keys --keys DIR --validators N\n"
    "\n"
    "Simulates the providers of Acquit on 127.0.0.1.\n"
    "\n"
    "  --port N               port to listen on; 0 takes a free one\n"
    "  --keys DIR             where validator-1.key, validator-1.pub ... are\n"
    "  --validators N         how many validators there are, 0 to 64\n"
    "  --make-keys            make the keys that are absent, and exit\n"
    "  --stripe-key KEY       the only key the Stripe twin accepts (otherwise any)\n"
    "  --paypal-key ID:SECRET the only credentials the PayPal twin accepts (otherwise any)\n"
    "  --payment-key NAME     metadata member that holds the payment id (acquit_payment_id)\n"
    "  --token-key KEY        the only bearer key the token system accepts (otherwise any)\n"
    "  --validator-key KEY    the only bearer key the validators accept (otherwise any)\n"
    "  --webhook-secret S     whsec_ and base64; without it signatures are not checked\n"
    "  --state FILE           keep the books in this file through a restart\n"
    "  --help\n"
    "\n"
    "Secrets may come from TWINS_STRIPE_KEY, TWINS_PAYPAL_KEY, TWINS_TOKEN_KEY and TWINS_WEBHOOK_SECRET\n"
    "instead: a command line can be read by everybody.\n";

enum option_id {
    OPT_PORT = 1,
    OPT_KEYS,
    OPT_VALIDATORS,
    OPT_MAKE_KEYS,
    OPT_STRIPE,
    OPT_PAYPAL,
    OPT_PAYMENT,
    OPT_TOKEN,
    OPT_VALIDATOR,
    OPT_WEBHOOK,
    OPT_STATE,
    OPT_HELP,
};

static bool read_option(int option, struct options *o)
{
    switch (option) {
    case OPT_PORT:
        return text_integer(optarg, 0, 65535, &o->port);
    case OPT_VALIDATORS:
        return text_integer(optarg, 0, LIMIT_VALIDATORS, &o->validators);
    case OPT_KEYS:
        o->keys = optarg;
        return true;
    case OPT_MAKE_KEYS:
        o->make_keys = true;
        return true;
    case OPT_STRIPE:
        o->stripe_key = optarg;
        return true;
    case OPT_PAYPAL:
        o->paypal_key = optarg;
        return true;
    case OPT_PAYMENT:
        o->payment_key = optarg;
        return true;
    case OPT_TOKEN:
        o->token_key = optarg;
        return true;
    case OPT_VALIDATOR:
        o->validator_key = optarg;
        return true;
    case OPT_WEBHOOK:
        o->webhook_secret = optarg;
        return true;
    case OPT_STATE:
        o->state = optarg;
        return true;
    case OPT_HELP:
        o->help = true;
        return true;
    default:
        return false;
    }
}

static bool read_options(int count, char **arguments, struct options *o)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, OPT_PORT},
        {"keys", required_argument, NULL, OPT_KEYS},
        {"validators", required_argument, NULL, OPT_VALIDATORS},
        {"make-keys", no_argument, NULL, OPT_MAKE_KEYS},
        {"stripe-key", required_argument, NULL, OPT_STRIPE},
        {"paypal-key", required_argument, NULL, OPT_PAYPAL},
        {"payment-key", required_argument, NULL, OPT_PAYMENT},
        {"token-key", required_argument, NULL, OPT_TOKEN},
        {"validator-key", required_argument, NULL, OPT_VALIDATOR},
        {"webhook-secret", required_argument, NULL, OPT_WEBHOOK},
        {"state", required_argument, NULL, OPT_STATE},
        {"help", no_argument, NULL, OPT_HELP},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.port = -1,
                          .validators = -1,
                          .stripe_key = getenv("TWINS_STRIPE_KEY"),
                          .paypal_key = getenv("TWINS_PAYPAL_KEY"),
                          .token_key = getenv("TWINS_TOKEN_KEY"),
                          .webhook_secret = getenv("TWINS_WEBHOOK_SECRET")};
    int option;
    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) {
        if (!read_option(option, o))
            return false;
    }
    if (o->help)
        return true;
    return optind == count && o->keys && o->validators >= 0 && (o->make_keys || o->port >= 0);
}

static bool configure(const struct options *o)
{
    stripe_configure(o->stripe_key, o->payment_key);
    paypal_configure(o->paypal_key);
    tokens_configure(o->token_key);
    validators_configure(o->validator_key);
    if (webhooks_configure(o->webhook_secret))
        return true;
    fputs("acquit-twins: --webhook-secret: whsec_ and base64\n", stderr);
    return false;
}

static bool open_state(const char *path)
{
    static const struct journal_type types[] = {
        {"stripe.intent", stripe_apply_intent},
        {"stripe.refund", stripe_apply_refund},
        {"stripe.key", stripe_apply_key},
        {"paypal.order", paypal_apply_order},
        {"paypal.key", paypal_apply_key},
        {"validation", validators_apply},
        {"reservation", tokens_apply},
        {"webhook", webhooks_apply},
        {"webhook.attempt", webhooks_apply_attempt},
        {"clock", control_apply_clock},
        {NULL, NULL},
    };
    return !path || journal_open(path, types);
}

/* Before any thread starts, so that all inherit it: only sigwait sees the end coming. */
static void block_signals(sigset_t *ends)
{
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(ends);
    sigaddset(ends, SIGTERM);
    sigaddset(ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, ends, NULL);
}

static int run(const struct options *o)
{
    sigset_t ends;
    int got = 0;
    block_signals(&ends);
    if (!timer_start())
        return EXIT_FAILED;
    uint16_t port = http_start((uint16_t)o->port);
    if (!port)
        return EXIT_FAILED;
    printf("ready port %u\n", (unsigned)port);
    fflush(stdout);
    while (sigwait(&ends, &got) != 0)
        continue;
    http_stop();
    return EXIT_DONE;
}

int main(int count, char **arguments)
{
    struct options options;
    if (!read_options(count, arguments, &options)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (options.help) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    if (options.make_keys)
        return keys_make(options.keys, (unsigned)options.validators) ? EXIT_DONE : EXIT_CONFIG;
    if (!configure(&options) || !keys_load(options.keys, (unsigned)options.validators))
        return EXIT_CONFIG;
    if (!open_state(options.state))
        return EXIT_FAILED;
    return run(&options);
}
