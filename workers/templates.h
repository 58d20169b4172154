/* templates.h - what customers are told by e-mail: subject, plain text and HTML per event
 *
 * Every event has a text built in. A file EVENT.txt or EVENT.html in mail.templates_dir replaces that part of it, e.g.
 * payment.completed.txt. The first line of EVENT.txt is `Subject: ...`; that of EVENT.html may be, and counts while
 * there is no EVENT.txt. An empty line may follow. A placeholder is a name in braces; any other brace stands for itself.
 */
#ifndef ACQUIT_WORKERS_TEMPLATES_H
#define ACQUIT_WORKERS_TEMPLATES_H

#include <stdbool.h>

#include "common/err.h"

enum { TEMPLATE_BYTES_MAX = 64 * 1024, TEMPLATE_SUBJECT_MAX = 256 };

#define TEMPLATE_PLACEHOLDERS(X) X(amount) X(transaction_id) X(merchant) X(reason) X(refund_amount) X(description)
struct template_values {
#define X(name) const char *name; /* NULL: "" */
    TEMPLATE_PLACEHOLDERS(X)
#undef X
};

struct templates;

/* `directory` "": only what is built in. NULL with ERR_CONFIG, naming file and line, for a placeholder that is none, a
 * file of no event, a missing subject, and what is no UTF-8 text. */
struct templates *templates_open(const char *directory, struct err *err) MUST_CHECK;
void templates_close(struct templates *templates); /* accepts NULL */

struct template_text {
    char *subject, *text, *html; /* owned; the subject is one line */
};
/* `event`: "payment.completed". False: there is no mail for it. Values are escaped in the HTML. */
bool templates_render(const struct templates *templates, const char *event, const struct template_values *values,
                      struct template_text *ret);
void template_text_clear(struct template_text *text);

#endif
