/* stripe_cards.c - Stripe's test payment methods and the ways a card is declined
 *
 * Sources: https://docs.stripe.com/testing (payment methods; declined payments; refunds),
 * https://docs.stripe.com/declines/codes (decline codes), https://docs.stripe.com/error-codes (codes). Stripe writes
 * most declining ones as pm_card_visa_chargeDeclined...; the shorter pm_card_chargeDeclined... means the same here.
 */
#include "stripe_cards.h"

#include <stddef.h>
#include <string.h>

enum decline_row {
    GENERIC,
    FUNDS,
    LOST,
    STOLEN,
    EXPIRED,
    CVC,
    PROCESSING,
    VELOCITY,
    FRAUD,
    AUTHENTICATION,
};

static const struct decline declines[] = {
    [GENERIC] = {"card_declined", "generic_decline", "Your card was declined."},
    [FUNDS] = {"card_declined", "insufficient_funds", "Your card has insufficient funds."},
    [LOST] = {"card_declined", "lost_card", "Your card was declined."},
    [STOLEN] = {"card_declined", "stolen_card", "Your card was declined."},
    [EXPIRED] = {"expired_card", "expired_card", "Your card has expired."},
    [CVC] = {"incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."},
    [PROCESSING] = {"processing_error", "processing_error",
                    "An error occurred while processing your card. Try again in a little bit."},
    [VELOCITY] = {"card_declined", "card_velocity_exceeded",
                  "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."},
    [FRAUD] = {"card_declined", "fraudulent", "Your card was declined."},
    [AUTHENTICATION] = {"authentication_required", "authentication_required",
                        "Your card was declined. This transaction requires authentication."},
};

#define PAYS(name, brand, funding, last4)                                                                              \
    {                                                                                                                  \
        "pm_card_" name, CARD_PAYS, brand, funding, last4, NULL                                                        \
    }
#define DECLINES(name, last4, row)                                                                                     \
    {"pm_card_chargeDeclined" name, CARD_DECLINES, "visa", "credit", last4, &declines[row]},                           \
    {                                                                                                                  \
        "pm_card_visa_chargeDeclined" name, CARD_DECLINES, "visa", "credit", last4, &declines[row]                     \
    }

static const struct card cards[] = {
    PAYS("visa", "visa", "credit", "4242"),
    PAYS("visa_debit", "visa", "debit", "5556"),
    PAYS("mastercard", "mastercard", "credit", "4444"),
    PAYS("mastercard_debit", "mastercard", "debit", "8210"),
    PAYS("mastercard_prepaid", "mastercard", "prepaid", "5100"),
    PAYS("amex", "amex", "credit", "0005"),
    PAYS("discover", "discover", "credit", "1117"),
    PAYS("diners", "diners", "credit", "0004"),
    PAYS("jcb", "jcb", "credit", "0505"),
    PAYS("unionpay", "unionpay", "credit", "0005"),
    PAYS("us", "visa", "credit", "4242"),
    PAYS("fr", "visa", "credit", "0003"),
    DECLINES("", "0002", GENERIC),
    DECLINES("InsufficientFunds", "9995", FUNDS),
    DECLINES("LostCard", "9987", LOST),
    DECLINES("StolenCard", "9979", STOLEN),
    DECLINES("ExpiredCard", "0069", EXPIRED),
    DECLINES("IncorrectCvc", "0127", CVC),
    DECLINES("ProcessingError", "0119", PROCESSING),
    DECLINES("VelocityLimitExceeded", "6975", VELOCITY),
    DECLINES("Fraudulent", "0019", FRAUD),
    {"pm_card_chargeCustomerFail", CARD_DECLINES, "visa", "credit", "0341", &declines[GENERIC]},
    {"pm_card_authenticationRequired", CARD_CHALLENGES, "visa", "credit", "3184", NULL},
    {"pm_card_authenticationRequiredOnSetup", CARD_CHALLENGES, "visa", "credit", "3155", NULL},
    {"pm_card_threeDSecure2Required", CARD_CHALLENGES, "visa", "credit", "3220", NULL},
    {"pm_card_threeDSecureRequired", CARD_CHALLENGES, "visa", "credit", "3063", NULL},
    {"pm_card_pendingRefund", CARD_REFUNDS_LATE, "visa", "credit", "7726", NULL},
    {"pm_card_refundFail", CARD_REFUND_BOUNCES, "visa", "credit", "5126", NULL},
};

const struct card *card_find(const char *token)
{
    for (size_t i = 0; token && i < sizeof cards / sizeof cards[0]; i++) {
        if (strcmp(cards[i].token, token) == 0)
            return &cards[i];
    }
    return NULL;
}

const struct decline *decline_find(const char *name)
{
    if (!*name)
        return &declines[GENERIC];
    for (size_t i = 0; i < sizeof declines / sizeof declines[0]; i++) {
        if (strcmp(declines[i].decline_code, name) == 0 || strcmp(declines[i].code, name) == 0)
            return &declines[i];
    }
    return NULL;
}
