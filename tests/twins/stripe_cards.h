/* stripe_cards.h - Stripe's test payment methods and the ways a card is declined */
#ifndef TWINS_STRIPE_CARDS_H
#define TWINS_STRIPE_CARDS_H

struct decline {
    const char *code;         /* error.code */
    const char *decline_code; /* error.decline_code */
    const char *message;
};

enum card_way {
    CARD_PAYS,
    CARD_DECLINES,
    CARD_CHALLENGES,     /* the customer has to authenticate */
    CARD_REFUNDS_LATE,   /* a refund is pending, then succeeds */
    CARD_REFUND_BOUNCES, /* a refund succeeds, then fails */
};

struct card {
    const char *token;
    enum card_way way;
    const char *brand;
    const char *funding;
    const char *last4;
    const struct decline *decline; /* CARD_DECLINES only */
};

/* NULL: no such payment method. */
const struct card *card_find(const char *token);

/* By decline_code or code; NULL: none of that name. "" gives the generic decline. */
const struct decline *decline_find(const char *name);

#endif
