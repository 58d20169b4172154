/* templates.c - see templates.h */
#include "workers/templates.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

enum { PATH_SIZE = 4096, NAME_SIZE = 64, EVENT_COUNT = 5 };

/* The built-in HTML is the plain text's, in paragraphs. */
#define PAGE(text) "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><body>\n" text "</body></html>\n"

static const struct {
    const char *event, *subject, *text, *html;
} built_in[EVENT_COUNT] = {
    {"payment.completed", "Your payment of {amount}",
     "Thank you. Your payment of {amount} to {merchant} is complete.\n\n{description}\n\nTransaction: "
     "{transaction_id}\n",
     PAGE("<p>Thank you. Your payment of <b>{amount}</b> to {merchant} is complete.</p>\n<p>{description}</p>\n"
          "<p>Transaction: {transaction_id}</p>\n")},
    {"payment.failed", "Your payment of {amount} was not made",
     "Your payment of {amount} to {merchant} was not made: {reason}.\nYou have not been charged; what was reserved or "
     "charged is given back.\n\n"
     "{description}\n\nTransaction: {transaction_id}\n",
     PAGE("<p>Your payment of <b>{amount}</b> to {merchant} was not made: {reason}.</p>\n"
          "<p>You are not charged: whatever was reserved or taken is given back.</p>\n<p>{description}</p>\n"
          "<p>Transaction: {transaction_id}</p>\n")},
    {"payment.cancelled", "Your payment of {amount} was cancelled",
     "Your payment of {amount} to {merchant} was cancelled. You have not been "
     "charged.\n\n{description}\n\nTransaction: {transaction_id}\n",
     PAGE("<p>Your payment of <b>{amount}</b> to {merchant} was cancelled. You have not been charged.</p>\n"
          "<p>{description}</p>\n<p>Transaction: {transaction_id}</p>\n")},
    {"payment.refunded", "Your refund of {refund_amount}",
     "{merchant} has given you back {refund_amount} of your payment of {amount}.\nYour bank may take some days to show "
     "it.\n\n"
     "{description}\n\nTransaction: {transaction_id}\n",
     PAGE("<p>{merchant} has given you back <b>{refund_amount}</b> of your payment of {amount}.</p>\n"
          "<p>Your bank may take some days to show it.</p>\n<p>{description}</p>\n<p>Transaction: "
          "{transaction_id}</p>\n")},
    {"payment.refund_failed", "Your refund of {refund_amount} could not be made",
     "The refund of {refund_amount} of your payment of {amount} to {merchant} could not be made.\nPlease ask "
     "{merchant}.\n\n"
     "{description}\n\nTransaction: {transaction_id}\n",
     PAGE("<p>The refund of <b>{refund_amount}</b> of your payment of {amount} to {merchant} could not be made.</p>\n"
          "<p>Please ask {merchant}.</p>\n<p>{description}</p>\n<p>Transaction: {transaction_id}</p>\n")},
};

struct templates {
    struct template_text events[EVENT_COUNT];
};

static int event_index(const char *event)
{
    for (int i = 0; i < EVENT_COUNT; i++)
        if (strcmp(built_in[i].event, event) == 0)
            return i;
    return -1;
}

/* ---- placeholders ---- */

static const char *const *value_of(const struct template_values *values, const char *name, size_t size)
{
#define X(known)                                                                                                       \
    if (size == strlen(#known) && memcmp(name, #known, size) == 0)                                                     \
        return &values->known;
    TEMPLATE_PLACEHOLDERS(X)
#undef X
    return NULL;
}

/* The bytes of "{name}" at `at`, or 0 when no placeholder begins there. */
static size_t placeholder(const char *at)
{
    size_t size = 1;
    if (*at != '{')
        return 0;
    while (isascii((unsigned char)at[size]) && (isalnum((unsigned char)at[size]) || at[size] == '_'))
        size++;
    return size > 1 && at[size] == '}' ? size + 1 : 0;
}

static int check_placeholders(const char *path, const char *text, int line, struct err *err)
{
    static const struct template_values none;
    for (; *text; text++) {
        size_t size = placeholder(text);
        if (size && !value_of(&none, text + 1, size - 2))
            return err_set(err, ERR_CONFIG,
                           "%s:%d: unknown placeholder %.*s; there are"
#define X(name) " {" #name "}"
                           TEMPLATE_PLACEHOLDERS(X),
#undef X
                           path, line, (int)(size < NAME_SIZE ? size : NAME_SIZE), text);
        line += *text == '\n';
    }
    return 0;
}

/* ---- files ---- */

/* "payment.completed.html" */
static int name_part(const char *name, const char *suffix, char ret[static NAME_SIZE])
{
    size_t length = strlen(name), tail = strlen(suffix);
    if (length <= tail || strcmp(name + length - tail, suffix) != 0)
        return -1;
    snprintf(ret, NAME_SIZE, "%.*s", (int)(length - tail), name);
    return 0;
}

/* Returns where the text is wrong, or NULL. */
static const char *first_bad(const char *text, size_t size)
{
    const char *end = text + size;
    for (const char *c = text; c < end;) {
        unsigned char lead = (unsigned char)*c;
        int more = lead < 0x80                   ? 0
                   : lead >= 0xc2 && lead < 0xe0 ? 1
                   : (lead & 0xf0) == 0xe0       ? 2
                   : lead >= 0xf0 && lead < 0xf5 ? 3
                                                 : -1;
        if (more < 0 || end - c <= more || lead == 0x7f || (lead < 0x20 && !strchr("\n\r\t", lead)) || lead == 0)
            return c;
        for (int i = 1; i <= more; i++)
            if (((unsigned char)c[i] & 0xc0) != 0x80)
                return c;
        c += more + 1;
    }
    return NULL;
}

static int line_of(const char *text, const char *at)
{
    int line = 1;
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static char *read_text(const char *path, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        err_set(err, ERR_CONFIG, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = mem_new(TEMPLATE_BYTES_MAX + 2, 1);
    size_t size = fread(text, 1, TEMPLATE_BYTES_MAX + 1, file);
    bool failed = ferror(file);
    fclose(file);
    const char *bad = first_bad(text, size);
    if (failed)
        err_set(err, ERR_CONFIG, "%s: cannot be read", path);
    else if (size > TEMPLATE_BYTES_MAX)
        err_set(err, ERR_CONFIG, "%s: has more than %d bytes", path, (int)TEMPLATE_BYTES_MAX);
    else if (bad)
        err_set(err, ERR_CONFIG, "%s:%d: is no UTF-8 text", path, line_of(text, bad));
    else
        return text;
    free(text);
    return NULL;
}

/* Takes the line "Subject: ..." and an empty one after it off. NULL when there is none. */
static char *take_subject(const char **text, int *ret_line)
{
    static const char key[] = "Subject:";
    if (strncasecmp(*text, key, sizeof key - 1) != 0)
        return NULL;
    const char *begin = *text + sizeof key - 1;
    begin += strspn(begin, " \t");
    size_t size = strcspn(begin, "\r\n");
    const char *rest = begin + size;
    for (*ret_line = 1; *ret_line < 3 && (*rest == '\r' || *rest == '\n'); ++*ret_line)
        rest += *rest == '\r' && rest[1] == '\n' ? 2 : 1;
    *text = rest;
    return mem_bytes(begin, size);
}

static void replace(char **at, char *text)
{
    free(*at);
    *at = text;
}

/* The file's subject and body; a missing file leaves both NULL. */
struct part {
    char *subject, *body;
};

static int read_part(const char *path, bool needs_subject, struct part *ret, struct err *err)
{
    int line = 1;
    char *whole = read_text(path, err);
    if (!whole)
        return -1;
    const char *body = whole;
    ret->subject = take_subject(&body, &line);
    int result = 0;
    if (needs_subject && (!ret->subject || !*ret->subject))
        result = err_set(err, ERR_CONFIG, "%s:1: the first line must be \"Subject: ...\"", path);
    else if (ret->subject && strlen(ret->subject) > TEMPLATE_SUBJECT_MAX)
        result = err_set(err, ERR_CONFIG, "%s:1: the subject has more than %d bytes", path, (int)TEMPLATE_SUBJECT_MAX);
    else if ((ret->subject && check_placeholders(path, ret->subject, 1, err) != 0) ||
             check_placeholders(path, body, line, err) != 0)
        result = -1;
    ret->body = mem_text(body);
    free(whole);
    return result;
}

/* One file of the directory: which event's, which part's. Other suffixes are not ours. */
static int read_file(struct templates *templates, const char *directory, const char *name, bool html, struct err *err)
{
    char event[NAME_SIZE], path[PATH_SIZE];
    if (*name == '.' || name_part(name, html ? ".html" : ".txt", event) != 0)
        return 0;
    int i = event_index(event);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (i < 0)
        return err_set(err, ERR_CONFIG, "%s: there is no mail for %s", path, event);
    struct part part = {0};
    if (read_part(path, !html, &part, err) != 0) {
        free(part.subject);
        free(part.body);
        return -1;
    }
    replace(html ? &templates->events[i].html : &templates->events[i].text, part.body);
    if (part.subject)
        replace(&templates->events[i].subject, part.subject);
    return 0;
}

/* The plain texts come last, so that their subjects count. */
static int read_directory(struct templates *templates, const char *path, struct err *err)
{
    DIR *directory = opendir(path);
    if (!directory)
        return err_set(err, ERR_CONFIG, "mail.templates_dir: %s: %s", path, strerror(errno));
    int result = 0;
    for (int html = 1; html >= 0; html--) {
        const struct dirent *entry;
        rewinddir(directory);
        /* readdir_r is deprecated; one thread */
        /* cppcheck-suppress readdirCalled */
        while (result == 0 && (entry = readdir(directory)))
            result = read_file(templates, path, entry->d_name, html, err);
    }
    closedir(directory);
    return result;
}

struct templates *templates_open(const char *directory, struct err *err)
{
    struct templates *templates = mem_new(1, sizeof *templates);
    for (int i = 0; i < EVENT_COUNT; i++)
        templates->events[i] = (struct template_text){mem_text(built_in[i].subject), mem_text(built_in[i].text),
                                                      mem_text(built_in[i].html)};
    if (!*directory || read_directory(templates, directory, err) == 0)
        return templates;
    templates_close(templates);
    return NULL;
}

void templates_close(struct templates *templates)
{
    if (!templates)
        return;
    for (int i = 0; i < EVENT_COUNT; i++)
        template_text_clear(&templates->events[i]);
    free(templates);
}

/* ---- rendering ---- */

enum form { FORM_LINE, FORM_TEXT, FORM_HTML };

static const char *escaped(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* A value comes from outside: control characters become blanks, line breaks only where one line is wanted. */
static void print_value(FILE *out, const char *value, enum form form)
{
    for (; *value; value++) {
        const char *name = form == FORM_HTML ? escaped(*value) : NULL;
        bool control = (unsigned char)*value < 0x20 || *value == 0x7f;
        if (name)
            fputs(name, out);
        else
            fputc(control && (form == FORM_LINE || *value != '\n') ? ' ' : *value, out);
    }
}

static char *render(const char *text, const struct template_values *values, enum form form)
{
    char *ret = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&ret, &size);
    for (size_t skip; out && *text; text += skip) {
        skip = placeholder(text);
        const char *const *value = skip ? value_of(values, text + 1, skip - 2) : NULL;
        if (value && *value)
            print_value(out, *value, form);
        if (value)
            continue;
        skip = 1;
        fputc(*text == '\t' && form == FORM_LINE ? ' ' : *text, out);
    }
    if (out)
        fclose(out);
    return ret ? ret : mem_text("");
}

bool templates_render(const struct templates *templates, const char *event, const struct template_values *values,
                      struct template_text *ret)
{
    int i = event_index(event);
    if (i < 0)
        return false;
    const struct template_text *from = &templates->events[i];
    *ret = (struct template_text){render(from->subject, values, FORM_LINE), render(from->text, values, FORM_TEXT),
                                  render(from->html, values, FORM_HTML)};
    return true;
}

void template_text_clear(struct template_text *text)
{
    free(text->subject);
    free(text->text);
    free(text->html);
    *text = (struct template_text){0};
}
