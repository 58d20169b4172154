/* routes.c - which operation a request is for: the one table of everything the twins answer */
#include "routes.h"

#include <string.h>

#include "control.h"
#include "paypal_answers.h"
#include "paypal_orders.h"
#include "paypal_payments.h"
#include "stripe_answers.h"
#include "stripe_intents.h"
#include "stripe_lists.h"
#include "stripe_refunds.h"
#include "tokens.h"
#include "validators.h"
#include "webhooks.h"

#define STRIPE(method, pattern, point, open, effect)                                                                   \
    {                                                                                                                  \
        method, "/stripe/v1" pattern, BODY_FORM, POINT_STRIPE_##point, &stripe_twin, open, effect                      \
    }
#define PAYPAL(method, pattern, point, open, effect)                                                                   \
    {                                                                                                                  \
        method, "/paypal/v2" pattern, BODY_JSON, POINT_PAYPAL_##point, &paypal_twin, open, effect                      \
    }
#define VALIDATOR(method, pattern, point, name)                                                                        \
    {                                                                                                                  \
        method, "/validators/{}/v1/validations" pattern, BODY_JSON, POINT_VALIDATOR_##point, NULL,                     \
            validators_open_##name, validators_effect_##name                                                           \
    }
#define TOKEN(method, pattern, point, open, effect)                                                                    \
    {                                                                                                                  \
        method, "/tokens/v1/reservations" pattern, BODY_JSON, POINT_TOKEN_##point, NULL, open, effect                  \
    }
#define CONTROL(method, pattern, open)                                                                                 \
    {                                                                                                                  \
        method, "/_twin" pattern, BODY_JSON, POINT_NONE, NULL, open, NULL                                              \
    }

/* The first that fits is taken. */
static const struct route routes[] = {
    STRIPE("POST", "/payment_intents", AUTHORIZE, stripe_open_create, stripe_effect_create),
    STRIPE("GET", "/payment_intents", SEARCH, stripe_open_list, stripe_effect_list),
    STRIPE("GET", "/payment_intents/search", SEARCH, stripe_open_search, stripe_effect_search),
    STRIPE("GET", "/payment_intents/{}", RETRIEVE, stripe_open_retrieve, stripe_effect_retrieve),
    STRIPE("POST", "/payment_intents/{}/confirm", AUTHORIZE, stripe_open_confirm, stripe_effect_confirm),
    STRIPE("POST", "/payment_intents/{}/capture", CAPTURE, stripe_open_capture, stripe_effect_capture),
    STRIPE("POST", "/payment_intents/{}/cancel", CANCEL, stripe_open_cancel, stripe_effect_cancel),
    STRIPE("POST", "/refunds", REFUND, stripe_open_refund, stripe_effect_refund),
    STRIPE("GET", "/refunds", REFUND_RETRIEVE, stripe_open_refund_list, stripe_effect_refund_list),
    STRIPE("GET", "/refunds/{}", REFUND_RETRIEVE, stripe_open_refund_retrieve, stripe_effect_refund_retrieve),
    STRIPE("GET", "/balance", BALANCE, stripe_open_balance, stripe_effect_balance),
    {NULL, "/stripe/*", BODY_NONE, POINT_NONE, &stripe_twin, stripe_open_unknown, NULL},

    {"POST", "/paypal/v1/oauth2/token", BODY_FORM, POINT_PAYPAL_TOKEN, &paypal_twin, paypal_open_token,
     paypal_effect_token},
    PAYPAL("POST", "/checkout/orders", ORDER, paypal_open_create, paypal_effect_create),
    PAYPAL("GET", "/checkout/orders/{}", RETRIEVE, paypal_open_retrieve, paypal_effect_retrieve_order),
    PAYPAL("POST", "/checkout/orders/{}/authorize", AUTHORIZE, paypal_open_authorize, paypal_effect_authorize),
    PAYPAL("GET", "/payments/authorizations/{}", RETRIEVE, paypal_open_retrieve, paypal_effect_retrieve_entry),
    PAYPAL("POST", "/payments/authorizations/{}/capture", CAPTURE, paypal_open_capture, paypal_effect_capture),
    PAYPAL("POST", "/payments/authorizations/{}/void", VOID, paypal_open_void, paypal_effect_void),
    PAYPAL("GET", "/payments/captures/{}", RETRIEVE, paypal_open_retrieve, paypal_effect_retrieve_entry),
    PAYPAL("POST", "/payments/captures/{}/refund", REFUND, paypal_open_refund, paypal_effect_refund),
    PAYPAL("GET", "/payments/refunds/{}", RETRIEVE, paypal_open_retrieve, paypal_effect_retrieve_entry),
    {NULL, "/paypal/*", BODY_NONE, POINT_NONE, &paypal_twin, paypal_open_unknown, NULL},

    VALIDATOR("POST", "", VALIDATE, validate),
    VALIDATOR("POST", "/{}/commit", COMMIT, commit),
    VALIDATOR("POST", "/{}/revoke", REVOKE, revoke),
    VALIDATOR("GET", "/{}", RETRIEVE, retrieve),

    TOKEN("POST", "", RESERVE, tokens_open_reserve, tokens_effect_reserve),
    TOKEN("POST", "/{}/activate", ACTIVATE, tokens_open_change, tokens_effect_activate),
    TOKEN("POST", "/{}/release", RELEASE, tokens_open_change, tokens_effect_release),
    TOKEN("POST", "/{}/deactivate", DEACTIVATE, tokens_open_change, tokens_effect_deactivate),
    TOKEN("GET", "/{}", RETRIEVE, tokens_open_change, tokens_effect_retrieve),

    {"POST", "/webhooks/*", BODY_JSON, POINT_WEBHOOK_DELIVER, NULL, webhooks_open, webhooks_effect},

    CONTROL("POST", "/faults", control_add_fault),
    CONTROL("GET", "/faults", control_list_faults),
    CONTROL("DELETE", "/faults", control_clear_faults),
    CONTROL("DELETE", "/faults/{}", control_remove_fault),
    CONTROL("GET", "/books/{}", control_books),
    CONTROL("POST", "/books/{}", control_rewrite_books),
    CONTROL("GET", "/requests", control_requests),
    CONTROL("POST", "/clock", control_clock),
    CONTROL("POST", "/stripe/payment_intents/{}/authenticate", control_authenticate),
    CONTROL("POST", "/paypal/orders/{}/approve", control_approve),
    CONTROL("GET", "/health", control_health),
};

/* Copies what {} stands for. False: empty, or longer than any id. */
static bool take_segment(const char **path, char *to)
{
    size_t length = strcspn(*path, "/");
    if (!length || length >= ARG_SIZE)
        return false;
    memcpy(to, *path, length);
    to[length] = '\0';
    *path += length;
    return true;
}

static bool fits(const char *pattern, const char *path, char args[CALL_ARGS][ARG_SIZE])
{
    int arg = 0;
    while (*pattern) {
        if (*pattern == '*')
            return text_copy(args[arg], ARG_SIZE, path);
        if (text_starts(pattern, "{}")) {
            if (!take_segment(&path, args[arg++]))
                return false;
            pattern += 2;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

bool routes_find(struct call *call)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct route *route = &routes[i];
        if (route->method && strcmp(route->method, call->method) != 0)
            continue;
        if (fits(route->pattern, call->path, call->args)) {
            call->route = route;
            return true;
        }
    }
    return false;
}
