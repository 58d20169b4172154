/* stripe_books.h - the books of the Stripe twin: intents, their charge, their refunds
 *
 * All functions are called under the books' lock. Records live as long as the program; pointers to them stay good.
 */
#ifndef TWINS_STRIPE_BOOKS_H
#define TWINS_STRIPE_BOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "stripe_cards.h"
#include "text.h"

enum { STRIPE_ID_SIZE = 40 };

#define INTENT_STATUSES(X)                                                                                             \
    X(NEEDS_METHOD, "requires_payment_method")                                                                         \
    X(NEEDS_CONFIRMATION, "requires_confirmation")                                                                     \
    X(NEEDS_ACTION, "requires_action")                                                                                 \
    X(PROCESSING, "processing")                                                                                        \
    X(NEEDS_CAPTURE, "requires_capture")                                                                               \
    X(CANCELED, "canceled")                                                                                            \
    X(SUCCEEDED, "succeeded")
#define X(id, text) INTENT_##id,
enum intent_status { INTENT_STATUSES(X) };
#undef X
#define X(id, text) +1
enum { INTENT_STATUS_COUNT = 0 INTENT_STATUSES(X) };
#undef X

#define REFUND_STATUSES(X) X(PENDING, "pending") X(SUCCEEDED, "succeeded") X(FAILED, "failed")
#define X(id, text) REFUND_##id,
enum refund_status { REFUND_STATUSES(X) };
#undef X
#define X(id, text) +1
enum { REFUND_STATUS_COUNT = 0 REFUND_STATUSES(X) };
#undef X

struct refund {
    char id[STRIPE_ID_SIZE];
    struct intent *intent;
    int64_t amount;
    int64_t created;           /* Unix seconds */
    int64_t created_ms;        /* twin's ms */
    enum refund_status status; /* as of settle_at, if that is past */
    char reason[32];           /* "": none */
    json_t *metadata;
    int64_t settle_at; /* twin's ms; 0: settled */
    enum refund_status settle_to;
    struct refund *next; /* older refund of the same intent */
};

struct intent {
    char id[STRIPE_ID_SIZE];
    char secret[STRIPE_ID_SIZE]; /* part of client_secret */
    char charge[STRIPE_ID_SIZE]; /* "": never confirmed */
    char method[STRIPE_ID_SIZE]; /* "": none */
    char payment[PAYMENT_SIZE];  /* "": its metadata names none */
    char currency[4];
    int64_t amount;
    int64_t capturable;
    int64_t received;
    int64_t created_ms; /* twin's time */
    int64_t canceled_at;
    enum intent_status status;
    char cancel_reason[32];
    bool manual; /* capture_method=manual */
    const struct card *card;
    const struct decline *declined;                 /* why the last attempt failed */
    char *description, *receipt_email, *return_url; /* NULL: none */
    json_t *metadata;
    int64_t settle_at; /* PROCESSING: when the card's answer arrives, twin's ms */
    struct refund *refunds;
    int64_t changed_ms;            /* twin's time of the last change */
    struct intent *shown, *before; /* copies: as it is now, as it was before that change; NULL: it was not there */
    size_t index;                  /* position in the order of creation */
    struct intent *next;           /* older intent of the same payment */
};

/* A new intent with its ids; NULL when the books are full. It is in the books once intent_book was called. */
struct intent *intent_new(void);
void intent_book(struct intent *intent);

struct intent *intent_find(const char *id);
struct intent *intent_first_of(const char *payment); /* newest; follow ->next */
struct intent *intent_at(size_t index);
size_t intent_count(void);
const char *intent_status_name(enum intent_status status);

/* The card said yes (or the customer did): there is money to capture, or captured. */
void intent_approve(struct intent *intent);

/* It changed: for who is shown what was before (fault "lag"), and to the state file, as it is now. */
void intent_note(struct intent *intent);
/* What somebody sees who is `lag_ms` behind; NULL: nothing yet. */
struct intent *intent_behind(struct intent *intent, int64_t lag_ms);

/* A new refund, in the books; NULL when they are full. */
struct refund *refund_new(struct intent *intent, int64_t amount);
struct refund *refund_find(const char *id);
const char *refund_status_name(enum refund_status status);
void refund_note(const struct refund *refund);

/* What came back to the customer; with `pending`, what may still come back too. */
int64_t intent_refunded(struct intent *intent, bool pending);

/* Replay of the state file. */
bool stripe_apply_intent(const json_t *record);
bool stripe_apply_refund(const json_t *record);

/* GET /_twin/books/stripe; NULL: all payments. */
json_t *stripe_books(const char *payment);

#endif
