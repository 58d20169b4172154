/* call.h - one request to a twin, apart from the connection it came on, and the answer to it
 *
 * The life of a call: http.c fills it from the wire; routes.c finds who it is for; serve.c has the route open it (who
 * is it about? may it at all?), asks for a fault, has the route make its effect, and says how the connection ends. A
 * late effect takes the call away from its connection and lives on without one.
 */
#ifndef TWINS_CALL_H
#define TWINS_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "faults.h"
#include "form.h"
#include "limits.h"
#include "text.h"

struct call;

/* What all operations of one provider have in common; members may be NULL. */
struct twin {
    bool keeps_500;               /* it remembers a 500 like any other answer (unless the fault says not) */
    void (*fail)(struct call *);  /* answer 500 the way this provider does */
    void (*limit)(struct call *); /* answer 429 the way it does; Retry-After comes by itself */
    void (*keep)(struct call *);  /* the answer stands from now on: remember it */
    void (*done)(struct call *);  /* the request is over, answered or not */
};

enum body_kind { BODY_NONE, BODY_FORM, BODY_JSON, BODY_RAW };

struct route {
    const char *method;
    const char *pattern; /* {} is one segment, a * at the end any rest */
    enum body_kind body;
    enum point at;
    const struct twin *twin;
    void (*open)(struct call *);   /* sets `payment`; answers at once what needs no effect */
    void (*effect)(struct call *); /* changes the books and answers; called at most once, maybe later */
};

enum { CALL_ARGS = 2, ARG_SIZE = 96, ANSWER_HEADERS = 8, KEY_SIZE = 256 };

struct header {
    char name[32];
    char value[KEY_SIZE];
};

struct answer {
    bool ready;
    unsigned status;
    char *body;
    size_t size;
    struct header headers[ANSWER_HEADERS];
    size_t header_count;
};

struct call {
    const struct route *route;
    char method[8];
    char path[LIMIT_PATH_BYTES];
    char args[CALL_ARGS][ARG_SIZE]; /* what {} and * stood for */
    struct form form;               /* query, and the body if it is a form */
    bool form_bad;
    char *raw; /* body as it came */
    size_t raw_size;
    json_t *json; /* body, if it is JSON and readable */

    char authorization[512];
    char key[KEY_SIZE + 1]; /* Idempotency-Key; one byte longer than allowed, to tell */
    char webhook_id[128];
    char webhook_timestamp[32];
    char webhook_signature[1024];

    char payment[PAYMENT_SIZE]; /* "" when it is about none */
    unsigned validator;         /* 0 when it is for none */
    struct fault fault;         /* kind FAULT_NONE when it behaves */
    bool repeat;                /* opened with the answer given before */
    void *kept_key;             /* stripe_keys.c: the idempotency key this call holds */
    uint64_t log_number;
    struct answer answer;
};

struct call *call_new(void);
void call_free(struct call *call); /* accepts NULL */

/* Each replaces an answer that was there. answer_json takes `body`; answer_text copies. */
void answer_json(struct call *call, unsigned status, json_t *body);
void answer_text(struct call *call, unsigned status, const char *body, size_t size);
void answer_header(struct call *call, const char *name, const char *value);

/* {"error": what}, the form of every twin but Stripe's. */
void answer_error(struct call *call, unsigned status, const char *what);

/* Is `Authorization: Bearer key` there? A NULL key is never asked for. */
bool call_has_bearer(const struct call *call, const char *key);

/* The payment id in a path argument; false: answered 404. */
bool call_payment_arg(struct call *call, int arg);

#endif
