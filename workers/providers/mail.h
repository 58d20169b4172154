/* mail.h - e-mail to customers over SMTP (libcurl's multi interface, in the process's loop)
 *
 * A mail may be sent twice, under the same Message-ID, but is never lost silently: what is not surely taken or surely
 * refused is to be tried again. The customer's address never leaves this module but to the mail server: no answer, code
 * or error text holds it, nor anything else that the server said in words (L11).
 */
#ifndef ACQUIT_WORKERS_PROVIDERS_MAIL_H
#define ACQUIT_WORKERS_PROVIDERS_MAIL_H

#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"
#include "workers/providers/provider.h"

enum {
    MAIL_ADDRESS_MAX = 254, /* characters, RFC 5321 */
    MAIL_SUBJECT_MAX = 2048,
    MAIL_PART_MAX = 256 * 1024, /* of the plain or the HTML text, before encoding */
    MAIL_ID_MAX = 64,
};

struct mail; /* the client of one process */

struct mail_options {
    struct loop *loop;
    const char *url;             /* smtp://host:port or smtps://host:port, without user and password */
    const char *from;            /* "shop@example.org" or "The Shop <shop@example.org>" */
    const char *user, *password; /* "": no authentication */
    const char *tls;             /* "required", "opportunistic", "off": STARTTLS on smtp://; smtps:// is always TLS */
};
/* NULL with ERR_CONFIG for options that cannot be used; nothing has connected yet when it returns. */
struct mail *mail_open(const struct mail_options *options, struct err *err) MUST_CHECK;
void mail_close(struct mail *mail); /* cancels what is under way without calling back; accepts NULL */

struct mail_message {
    const char *id;                    /* Message-ID before the '@', the same through repeats: letters, digits, '-' */
    const char *to;                    /* one address */
    int64_t date_ms;                   /* wall time, for Date */
    const char *subject, *text, *html; /* UTF-8 */
    int64_t timeout_ms;                /* from now to the server's last answer */
};

enum mail_outcome {
    MAIL_DELIVERED, /* the server has taken it over */
    MAIL_REFUSED,   /* it will never take this mail: a 5xx about the sender, the recipient or the content */
    MAIL_LATER,     /* surely not taken this time: 4xx, no connection, no TLS, or our own login is refused */
    MAIL_UNKNOWN,   /* no answer to a mail that was perhaps read: to be sent again */
};
struct mail_answer {
    enum mail_outcome outcome;
    char code
        [PROVIDER_CODE_SIZE]; /* "smtp_550", "not_sent", "tls", "login", "timeout", "connection_lost"; "" when delivered */
    int status;               /* the server's last SMTP code, 0: none */
    int64_t sent_at_ms, answered_at_ms; /* wall time */
};
struct mail_call;
/* Starts sending. NULL with ERR_INVALID when the address or a text cannot be sent to or in a mail, ERR_LIMIT when too
 * many are under way; `done` is not called then. Everything is copied. `done` is called exactly once, from the loop,
 * never from inside this function; the handle is valid until then. */
struct mail_call *mail_start(struct mail *mail, const struct mail_message *message,
                             void (*done)(void *arg, const struct mail_answer *answer), void *arg,
                             struct err *err) MUST_CHECK;
void mail_cancel(struct mail_call *call);

/* The Message-ID that a message of this id has, without the brackets. Returns ret. */
enum { MAIL_MESSAGE_ID_SIZE = MAIL_ID_MAX + MAIL_ADDRESS_MAX + 2 };
const char *mail_message_id(const struct mail *mail, const char *id, char ret[static MAIL_MESSAGE_ID_SIZE]);

/* The whole mail, as it is sent; exposed for tests. free() it. */
char *mail_compose(const struct mail *mail, const struct mail_message *message, struct err *err) MUST_CHECK;

/* May a mail be sent to this address? Dot-atom of ASCII, '@', host name (RFC 5321 without quoted local parts, address
 * literals and SMTPUTF8). */
bool mail_address_good(const char *address);

#endif
