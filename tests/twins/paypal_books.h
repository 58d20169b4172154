/* paypal_books.h - the books of the PayPal twin: orders, their authorization, its capture, its refunds
 *
 * All functions are called under the books' lock. Records live as long as the program; pointers to them stay good.
 */
#ifndef TWINS_PAYPAL_BOOKS_H
#define TWINS_PAYPAL_BOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "text.h"

enum { PAYPAL_ID_SIZE = 24, PAYPAL_CUSTOM_SIZE = 256 };

#define PAYPAL_ORDER_STATUSES(X)                                                                                       \
    X(CREATED, "CREATED") X(ACTION, "PAYER_ACTION_REQUIRED") X(APPROVED, "APPROVED") X(COMPLETED, "COMPLETED")
#define X(id, text) PAYPAL_ORDER_##id,
enum paypal_order_status { PAYPAL_ORDER_STATUSES(X) };
#undef X
#define X(id, text) +1
enum { PAYPAL_ORDER_STATUS_COUNT = 0 PAYPAL_ORDER_STATUSES(X) };
#undef X

/* Of an authorization, a capture, a refund; NONE: there is none. */
#define PAYPAL_STATUSES(X)                                                                                             \
    X(NONE, "")                                                                                                        \
    X(CREATED, "CREATED")                                                                                              \
    X(CAPTURED, "CAPTURED")                                                                                            \
    X(VOIDED, "VOIDED")                                                                                                \
    X(DENIED, "DENIED")                                                                                                \
    X(PENDING, "PENDING")                                                                                              \
    X(COMPLETED, "COMPLETED")                                                                                          \
    X(DECLINED, "DECLINED")                                                                                            \
    X(FAILED, "FAILED")
#define X(id, text) PAYPAL_##id,
enum paypal_status { PAYPAL_STATUSES(X) };
#undef X
#define X(id, text) +1
enum { PAYPAL_STATUS_COUNT = 0 PAYPAL_STATUSES(X) };
#undef X

/* One movement of money: what it is now and, when that is past, what it becomes by itself. */
struct paypal_entry {
    char id[PAYPAL_ID_SIZE]; /* "" when there is none */
    enum paypal_status status, settle_to;
    int64_t settle_at; /* twin's ms; 0: settled */
    int64_t amount;    /* minor units, as ISO 4217 has them */
    int64_t created_ms;
    char custom_id[PAYPAL_CUSTOM_SIZE];
};

struct paypal_refund {
    struct paypal_entry entry;
    struct paypal_refund *next; /* older one of the same order */
};

struct paypal_order {
    char id[PAYPAL_ID_SIZE];
    char payment[PAYMENT_SIZE]; /* "": its custom_id names none */
    char currency[4];
    char custom_id[PAYPAL_CUSTOM_SIZE];
    char *description; /* NULL: none */
    int64_t amount;
    int64_t created_ms;
    enum paypal_order_status status;
    struct paypal_entry authorization, capture;
    struct paypal_refund *refunds;
    int64_t changed_ms;
    struct paypal_order *shown, *before; /* copies: as it is now, as it was before its last change; NULL: not there */
    struct paypal_order *next;           /* older order of the same payment */
};

/* A new order with its id; NULL when the books are full. It is in the books once paypal_book was called. */
struct paypal_order *paypal_order_new(void);
void paypal_book(struct paypal_order *order);

/* An order by its own id, or by that of its authorization, capture or one of its refunds. */
struct paypal_order *paypal_find(const char *id);

/* Gives the entry an id that leads to the order. */
void paypal_entry_begin(struct paypal_order *order, struct paypal_entry *entry, int64_t amount);
/* A new refund, in the books; NULL when they are full. */
struct paypal_refund *paypal_refund_new(struct paypal_order *order, int64_t amount);
/* What came back to the customer; with `pending`, what may still come back too. */
int64_t paypal_refunded(struct paypal_order *order, bool pending);

/* It changed: for who is shown what was before (fault "lag"), and to the state file. */
void paypal_note(struct paypal_order *order);
/* What somebody sees who is `lag_ms` behind; NULL: nothing yet. */
struct paypal_order *paypal_behind(struct paypal_order *order, int64_t lag_ms);

const char *paypal_order_status_name(enum paypal_order_status status);
const char *paypal_status_name(enum paypal_status status);

/* Replay of the state file. */
bool paypal_apply_order(const json_t *record);

size_t paypal_order_count(void);

/* GET /_twin/books/paypal; NULL: all payments. */
json_t *paypal_books(const char *payment);

#endif
