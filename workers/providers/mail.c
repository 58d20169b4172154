/* mail.c - e-mail to customers over SMTP, in the process's loop
 *
 * libcurl connects, encrypts and logs in (CURLOPT_CONNECT_ONLY; a multi handle for each mail, lest it tidies up a connection that we use); the mail itself is said here,
 * over curl_easy_send() and curl_easy_recv(), because libcurl waits for the answer to a mail's text, and to QUIT, without
 * returning to the loop. It also tells us exactly which command a refusal answers. One connection per mail.
 *
 * What the server says in words often names the recipient, so only its codes are kept (L11).
 *
 * Fails with ERR_CONFIG (options), ERR_INVALID (an address or text that is none), ERR_LIMIT.
 */
#include "workers/providers/mail.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/transfers.h"

enum {
    MAIL_CALLS_MAX = 512,      /* under way in a process; beyond: ERR_LIMIT */
    MAIL_CONNECTIONS_MAX = 16, /* at once; further mails wait, inside their timeout */
    MAIL_CONNECT_TIMEOUT_MS = 5000,
    MAIL_QUIT_MS = 2000,   /* how long a server may take to say good-bye */
    MAIL_REPLY_MAX = 1024, /* bytes of one line of the server */
    LINE_MAX_QP = 76,      /* RFC 2045 */
    WORD_BYTES_MAX = 39,   /* of text in one encoded word: a line of 76 characters with "Subject: " (RFC 2047) */
    HEADER_PLAIN_MAX = 60, /* a longer text is encoded, which also folds it */
    NAME_MAX_BYTES = 128,  /* of the sender's name */
};

struct mail {
    struct loop *loop;
    struct mail_call *calls; /* the newest first */
    int count, connected;
    bool closing;
    char *url, *user, *password;
    char from[MAIL_ADDRESS_MAX + 1], from_name[NAME_MAX_BYTES];
    long use_ssl;
    bool verify;
};

/* What the next reply answers. */
enum stage { STAGE_CONNECT, STAGE_MAIL, STAGE_RCPT, STAGE_DATA, STAGE_TEXT, STAGE_QUIT };

/* A text that grows. */
struct out {
    char *text;
    size_t size, room;
};

struct mail_call {
    struct mail *mail;
    struct mail_call *previous, *next;
    struct transfers *transfers; /* NULL: waits until another ends */
    CURL *easy;
    struct loop_source *deadline, *source; /* source: once connected */
    enum stage stage;
    void (*done)(void *arg, const struct mail_answer *answer); /* NULL: told already, saying QUIT */
    void *arg;
    char *to, *text;            /* of the mail */
    struct out said;            /* what is to be sent now */
    size_t sent;                /* of it */
    char reply[MAIL_REPLY_MAX]; /* the server's line so far */
    size_t reply_size;
    int64_t sent_at_ms;
};

/* ---- texts of a mail ---- */

static void put(struct out *out, const char *bytes, size_t size)
{
    if (out->size + size + 1 > out->room) {
        out->room = (out->size + size + 1) * 2;
        out->text = mem_grow(out->text, out->room, 1);
    }
    memcpy(out->text + out->size, bytes, size);
    out->size += size;
    out->text[out->size] = '\0';
}

static void put_text(struct out *out, const char *text)
{
    put(out, text, strlen(text));
}

static bool is_utf8(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    while (*c) {
        int more = *c < 0x80                 ? 0
                   : *c >= 0xc2 && *c < 0xe0 ? 1
                   : (*c & 0xf0) == 0xe0     ? 2
                   : *c >= 0xf0 && *c < 0xf5 ? 3
                                             : -1;
        if (more < 0)
            return false;
        for (c++; more > 0; more--, c++)
            if ((*c & 0xc0) != 0x80)
                return false;
    }
    return true;
}

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

static bool is_host(const char *host)
{
    size_t label = 0, dots = 0;
    for (const char *c = host; *c; c++) {
        if (*c == '.') {
            if (label == 0 || c[-1] == '-')
                return false;
            dots++;
            label = 0;
        } else if (isascii((unsigned char)*c) && (isalnum((unsigned char)*c) || (*c == '-' && label > 0))) {
            if (++label > 63)
                return false;
        } else {
            return false;
        }
    }
    return dots > 0 && label > 0 && host[strlen(host) - 1] != '-';
}

bool mail_address_good(const char *address)
{
    const char *at = strrchr(address, '@');
    if (!at || at == address || at - address > 64 || strlen(address) > MAIL_ADDRESS_MAX)
        return false;
    for (const char *c = address; c < at; c++) {
        if (*c == '.' && (c == address || c + 1 == at || c[1] == '.'))
            return false;
        if (!isascii((unsigned char)*c) || (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+-/=?^_`{|}~.", *c)))
            return false;
    }
    return is_host(at + 1);
}

/* How many bytes of the text make whole characters, at most `most`. */
static size_t whole_characters(const char *text, size_t most)
{
    size_t size = strnlen(text, most + 1);
    if (size <= most)
        return size;
    size = most;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

/* RFC 2047: encoded words, one per line. */
static void put_words(struct out *out, const char *text)
{
    for (size_t size; *text; text += size) {
        char base64[4 * ((WORD_BYTES_MAX + 2) / 3) + 1];
        size = whole_characters(text, WORD_BYTES_MAX);
        base64_encode(text, size, base64);
        put_text(out, "=?UTF-8?B?");
        put_text(out, base64);
        put_text(out, text[size] ? "?=\r\n " : "?=");
    }
}

/* A header's free text: as it is while it is short, printable ASCII that nobody takes for an encoded word. */
static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            return false;
    return strlen(text) <= HEADER_PLAIN_MAX && !strstr(text, "=?");
}

static void put_subject(struct out *out, const char *subject)
{
    if (is_plain(subject))
        put_text(out, subject);
    else
        put_words(out, subject);
}

static void put_name(struct out *out, const char *name)
{
    if (!is_plain(name)) {
        put_words(out, name);
        return;
    }
    put_text(out, "\"");
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            put_text(out, "\\");
        put(out, name, 1);
    }
    put_text(out, "\"");
}

/* RFC 2045, 6.7: lines of 76 characters at most, CRLF between lines. Control characters other than newline and tab are encoded too. */
static void put_quoted_printable(struct out *out, const char *text)
{
    size_t column = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        char piece[4];
        if (*c == '\r' && c[1] == '\n')
            continue;
        if (*c == '\n') {
            put_text(out, "\r\n");
            column = 0;
            continue;
        }
        bool last = c[1] == '\0' || c[1] == '\n' || c[1] == '\r';
        bool plain = (*c > ' ' && *c <= '~' && *c != '=') || ((*c == ' ' || *c == '\t') && !last);
        int size = plain ? snprintf(piece, sizeof piece, "%c", *c) : snprintf(piece, sizeof piece, "=%02X", *c);
        if (column + (size_t)size > LINE_MAX_QP - 1) {
            put_text(out, "=\r\n");
            column = 0;
        }
        put(out, piece, (size_t)size);
        column += (size_t)size;
    }
}

static void put_date(struct out *out, int64_t wall_ms)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char text[64];
    struct tm tm;
    time_t seconds = (time_t)(wall_ms / 1000);
    gmtime_r(&seconds, &tm);
    snprintf(text, sizeof text, "%s, %02d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    put_text(out, text);
}

static void put_line(struct out *out, const char *a, const char *b, const char *c)
{
    put_text(out, a);
    put_text(out, b);
    put_text(out, c);
    put_text(out, "\r\n");
}

/* The boundary holds "=_", which quoted-printable never does. */
static void put_part(struct out *out, const char *id, const char *type, const char *text)
{
    put_line(out, "--=_", id, "");
    put_line(out, "Content-Type: ", type, "; charset=utf-8");
    put_line(out, "Content-Transfer-Encoding: quoted-printable", "", "\r\n");
    put_quoted_printable(out, text);
    put_text(out, "\r\n");
}

const char *mail_message_id(const struct mail *mail, const char *id, char ret[static MAIL_MESSAGE_ID_SIZE])
{
    snprintf(ret, MAIL_MESSAGE_ID_SIZE, "%s%s", id, strrchr(mail->from, '@'));
    return ret;
}

static bool is_id(const char *id)
{
    size_t length = strlen(id);
    for (const char *c = id; *c; c++)
        if (!isascii((unsigned char)*c) || (!isalnum((unsigned char)*c) && *c != '-'))
            return false;
    return length > 0 && length <= MAIL_ID_MAX;
}

/* The texts of errors name no address. */
static int check_message(const struct mail_message *message, struct err *err)
{
    if (!mail_address_good(message->to))
        return err_set(err, ERR_INVALID, "the address is none that a mail can be sent to");
    if (!is_id(message->id))
        return err_set(err, ERR_INVALID, "a mail's id has 1 to %d letters, digits and dashes", MAIL_ID_MAX);
    if (has_control(message->subject) || !is_utf8(message->subject) || strlen(message->subject) > MAIL_SUBJECT_MAX)
        return err_set(err, ERR_INVALID, "a subject is one line of UTF-8, at most %d bytes", MAIL_SUBJECT_MAX);
    if (!is_utf8(message->text) || !is_utf8(message->html) || strlen(message->text) > MAIL_PART_MAX ||
        strlen(message->html) > MAIL_PART_MAX)
        return err_set(err, ERR_INVALID, "a mail's text is UTF-8, at most %d bytes", MAIL_PART_MAX);
    return 0;
}

char *mail_compose(const struct mail *mail, const struct mail_message *message, struct err *err)
{
    char id[MAIL_MESSAGE_ID_SIZE];
    struct out out = {0};
    if (check_message(message, err) != 0)
        return NULL;
    put_text(&out, "Date: ");
    put_date(&out, message->date_ms);
    put_line(&out, "\r\nMessage-ID: <", mail_message_id(mail, message->id, id), ">");
    put_text(&out, "From: ");
    if (*mail->from_name) {
        put_name(&out, mail->from_name);
        put_text(&out, " ");
    }
    put_line(&out, "<", mail->from, ">");
    put_line(&out, "To: <", message->to, ">");
    put_text(&out, "Subject: ");
    put_subject(&out, message->subject);
    put_line(&out, "\r\nAuto-Submitted: auto-generated\r\n", "MIME-Version: 1.0\r\n",
             "Content-Type: multipart/alternative;");
    put_line(&out, " boundary=\"=_", message->id, "\"\r\n");
    put_part(&out, message->id, "text/plain", message->text);
    put_part(&out, message->id, "text/html", message->html);
    put_line(&out, "--=_", message->id, "--");
    return out.text;
}

/* ---- the answer ---- */

static void connect_to(struct mail_call *call);

static void disconnect(struct mail_call *call)
{
    if (!call->transfers)
        return;
    loop_source_free(call->source);
    curl_multi_remove_handle(transfers_multi(call->transfers), call->easy); /* closes the connection, too */
    curl_easy_cleanup(call->easy);
    transfers_free(call->transfers);
    call->mail->connected--;
}

/* The oldest that waits. */
static void connect_next(struct mail *mail)
{
    struct mail_call *oldest = NULL;
    for (struct mail_call *call = mail->calls; call; call = call->next)
        if (!call->transfers)
            oldest = call;
    if (oldest && !mail->closing && mail->connected < MAIL_CONNECTIONS_MAX)
        connect_to(oldest);
}

static void call_free(struct mail_call *call)
{
    struct mail *mail = call->mail;
    if (call->next)
        call->next->previous = call->previous;
    if (call->previous)
        call->previous->next = call->next;
    else
        mail->calls = call->next;
    mail->count--;
    loop_source_free(call->deadline);
    disconnect(call);
    free(call->to);
    free(call->text);
    free(call->said.text);
    free(call);
    connect_next(mail);
}

static void tell(struct mail_call *call, enum mail_outcome outcome, int status, const char *code)
{
    struct mail_answer answer = {
        .outcome = outcome, .status = status, .sent_at_ms = call->sent_at_ms, .answered_at_ms = clock_wall_ms()};
    void (*done)(void *arg, const struct mail_answer *answer) = call->done;
    snprintf(answer.code, sizeof answer.code, "%s", code);
    call->done = NULL;
    done(call->arg, &answer);
}

/* No answer: the server may have the mail only if all of its text was sent. */
static void give_up(struct mail_call *call, int status, const char *code)
{
    bool whole = call->stage == STAGE_TEXT && call->sent == call->said.size;
    if (call->done)
        tell(call, whole ? MAIL_UNKNOWN : MAIL_LATER, status, code);
    call_free(call);
}

static void on_deadline(void *arg)
{
    give_up(arg, 0, "timeout");
}

/* ---- the dialogue ---- */

static void say(struct mail_call *call, enum stage stage, const char *a, const char *b, const char *c)
{
    call->stage = stage;
    call->said.size = call->sent = 0;
    put_line(&call->said, a, b, c);
}

/* A line that begins with a dot gets another one (RFC 5321, 4.5.2). */
static void say_text(struct mail_call *call)
{
    const char *line = call->text;
    call->stage = STAGE_TEXT;
    call->said.size = call->sent = 0;
    while (*line) {
        size_t size = strcspn(line, "\n");
        size += line[size] == '\n';
        if (*line == '.')
            put_text(&call->said, ".");
        put(&call->said, line, size);
        line += size;
    }
    put_text(&call->said, ".\r\n");
}

/* Our own login or encryption is what the server dislikes: no word about this mail. */
static bool is_about_login(int status)
{
    return status == 530 || status == 534 || status == 535 || status == 538;
}

static void conclude(struct mail_call *call, int status)
{
    char code[PROVIDER_CODE_SIZE] = "";
    bool taken = call->stage == STAGE_TEXT && status / 100 == 2;
    bool refused = status / 100 == 5 && !is_about_login(status);
    if (!taken)
        snprintf(code, sizeof code, "smtp_%d", status);
    tell(call,
         taken     ? MAIL_DELIVERED
         : refused ? MAIL_REFUSED
                   : MAIL_LATER,
         status, is_about_login(status) ? "login" : code);
    say(call, STAGE_QUIT, "QUIT", "", "");
    loop_timer_set(call->deadline, MAIL_QUIT_MS);
}

/* False when the call is over, and gone. */
static bool on_reply(struct mail_call *call, int status)
{
    static const int wanted[] = {[STAGE_MAIL] = 2, [STAGE_RCPT] = 2, [STAGE_DATA] = 3, [STAGE_TEXT] = 0};
    if (call->stage == STAGE_QUIT) {
        call_free(call);
        return false;
    }
    if (call->sent < call->said.size) { /* an answer to what was not asked */
        give_up(call, status, "connection_lost");
        return false;
    }
    if (status / 100 != wanted[call->stage])
        conclude(call, status);
    else if (call->stage == STAGE_MAIL)
        say(call, STAGE_RCPT, "RCPT TO:<", call->to, ">");
    else if (call->stage == STAGE_RCPT)
        say(call, STAGE_DATA, "DATA", "", "");
    else
        say_text(call);
    return true;
}

/* "250-more", "250 that was it"; -1: no such line, 0: more lines follow. */
static int read_line(const char *line, size_t size)
{
    if (size < 3 || !isdigit((unsigned char)line[0]) || !isdigit((unsigned char)line[1]) ||
        !isdigit((unsigned char)line[2]))
        return -1;
    if (size > 3 && line[3] == '-')
        return 0;
    return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

/* The lines received so far. False when the call is gone. */
static bool read_lines(struct mail_call *call)
{
    char *end;
    while ((end = memchr(call->reply, '\n', call->reply_size))) {
        size_t size = (size_t)(end - call->reply);
        int status = read_line(call->reply, size);
        call->reply_size -= size + 1;
        memmove(call->reply, end + 1, call->reply_size);
        if (status < 0) {
            give_up(call, 0, "connection_lost");
            return false;
        }
        if (status > 0 && !on_reply(call, status))
            return false;
    }
    if (call->reply_size < sizeof call->reply)
        return true;
    give_up(call, 0, "connection_lost");
    return false;
}

/* False when the call is gone. */
static bool send_some(struct mail_call *call)
{
    while (call->sent < call->said.size) {
        size_t n = 0;
        CURLcode code = curl_easy_send(call->easy, call->said.text + call->sent, call->said.size - call->sent, &n);
        if (code == CURLE_AGAIN)
            return true;
        if (code != CURLE_OK) {
            give_up(call, 0, "connection_lost");
            return false;
        }
        call->sent += n;
    }
    return true;
}

static void pump(struct mail_call *call)
{
    for (;;) {
        size_t n = 0;
        if (!send_some(call))
            return;
        CURLcode code =
            curl_easy_recv(call->easy, call->reply + call->reply_size, sizeof call->reply - call->reply_size, &n);
        if (code == CURLE_AGAIN)
            break;
        if (code != CURLE_OK || n == 0) {
            give_up(call, 0, "connection_lost");
            return;
        }
        call->reply_size += n;
        if (!read_lines(call))
            return;
    }
    loop_io_events(call->source, LOOP_READ | (call->sent < call->said.size ? LOOP_WRITE : 0));
}

static void on_ready(void *arg, int events)
{
    (void)events;
    pump(arg);
}

/* ---- connecting: libcurl's part ---- */

static const char *trouble(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return "timeout";
    case CURLE_LOGIN_DENIED:
        return "login";
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_PEER_FAILED_VERIFICATION:
        return "tls";
    default:
        return "not_sent";
    }
}

static void on_connected(struct mail_call *call, CURLcode code)
{
    long status = 0;
    curl_socket_t fd = CURL_SOCKET_BAD;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (code != CURLE_OK || fd == CURL_SOCKET_BAD) {
        give_up(call, (int)status, trouble(code));
        return;
    }
    call->source = loop_io(call->mail->loop, fd, LOOP_READ, on_ready, call);
    say(call, STAGE_MAIL, "MAIL FROM:<", call->mail->from, ">");
    pump(call);
}

/* The only transfer of its handle; the call may be gone now. */
static bool on_ended(void *arg, CURL *easy, CURLcode code)
{
    (void)easy;
    on_connected(arg, code);
    return false;
}

static void set_options(const struct mail_call *call)
{
    CURL *easy = call->easy;
    const struct mail *mail = call->mail;
    curl_easy_setopt(easy, CURLOPT_URL, mail->url);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else a cancelled call waits for its name look-up */
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)MAIL_CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_USE_SSL, mail->use_ssl);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, mail->verify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, mail->verify ? 2L : 0L);
    if (*mail->user) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, mail->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, mail->password);
        curl_easy_setopt(easy, CURLOPT_SASL_IR, 1L); /* user and password with the command, one round trip less */
    }
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
}

static void connect_to(struct mail_call *call)
{
    call->easy = curl_easy_init();
    call->transfers = transfers_new(call->mail->loop, on_ended, call);
    if (!call->easy || !call->transfers)
        log_panic("out of memory for a mail");
    call->mail->connected++;
    set_options(call);
    transfers_add(call->transfers, call->easy);
}

struct mail_call *mail_start(struct mail *mail, const struct mail_message *message,
                             void (*done)(void *arg, const struct mail_answer *answer), void *arg, struct err *err)
{
    if (mail->count >= MAIL_CALLS_MAX) {
        err_set(err, ERR_LIMIT, "%d mails are under way already", (int)MAIL_CALLS_MAX);
        return NULL;
    }
    if (message->timeout_ms <= 0) {
        err_set(err, ERR_INVALID, "a mail needs a timeout");
        return NULL;
    }
    char *text = mail_compose(mail, message, err);
    if (!text)
        return NULL;
    struct mail_call *call = mem_new(1, sizeof *call);
    *call = (struct mail_call){.mail = mail, .done = done, .arg = arg, .text = text, .next = mail->calls};
    call->to = mem_text(message->to);
    call->sent_at_ms = clock_wall_ms();
    call->deadline = loop_timer(mail->loop, message->timeout_ms, on_deadline, call);
    if (call->next)
        call->next->previous = call;
    mail->calls = call;
    mail->count++;
    connect_next(mail);
    return call;
}

void mail_cancel(struct mail_call *call)
{
    call_free(call);
}

/* ---- opening ---- */

static int read_url(struct mail *mail, const char *url, struct err *err)
{
    char *user = NULL, *host = NULL;
    bool smtp = strncasecmp(url, "smtp://", 7) == 0 || strncasecmp(url, "smtps://", 8) == 0;
    CURLU *parsed = curl_url();
    bool good = smtp && parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK && *host;
    bool login = good && curl_url_get(parsed, CURLUPART_USER, &user, 0) == CURLUE_OK;
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(parsed);
    if (!good)
        return err_set(err, ERR_CONFIG, "mail.url must be an smtp:// or smtps:// URL");
    if (login)
        return err_set(err, ERR_CONFIG, "mail.url holds a user: put it into mail.user, and mail.password_file");
    mail->url = mem_text(url);
    return 0;
}

/* "Name <address>", or the address alone. */
static int read_from(struct mail *mail, const char *from, struct err *err)
{
    const char *open = strrchr(from, '<');
    size_t length = strlen(from);
    if (open && from[length - 1] == '>') {
        size_t name = (size_t)(open - from);
        while (name > 0 && from[name - 1] == ' ')
            name--;
        if (name >= sizeof mail->from_name)
            return err_set(err, ERR_CONFIG, "mail.from: the name has more than %zu bytes", sizeof mail->from_name - 1);
        snprintf(mail->from_name, sizeof mail->from_name, "%.*s", (int)name, from);
        snprintf(mail->from, sizeof mail->from, "%.*s", (int)(from + length - 1 - (open + 1)), open + 1);
    } else {
        snprintf(mail->from, sizeof mail->from, "%s", from);
    }
    if (length > MAIL_ADDRESS_MAX + NAME_MAX_BYTES || !mail_address_good(mail->from) || has_control(mail->from_name) ||
        !is_utf8(mail->from_name))
        return err_set(err, ERR_CONFIG,
                       "mail.from must be an address, \"shop@example.org\" or \"Shop <shop@example.org>\"");
    return 0;
}

static int read_tls(struct mail *mail, const struct mail_options *options, struct err *err)
{
    bool implicit = strncasecmp(options->url, "smtps:", 6) == 0;
    bool maybe = strcmp(options->tls, "opportunistic") == 0, off = strcmp(options->tls, "off") == 0;
    if (!maybe && !off && strcmp(options->tls, "required") != 0)
        return err_set(err, ERR_CONFIG, "mail.tls must be required, opportunistic or off");
    if (maybe && !implicit && *options->user)
        return err_set(
            err, ERR_CONFIG,
            "mail.user with mail.tls opportunistic would show the password to whoever takes the encryption away: "
            "use required");
    mail->use_ssl = implicit || off ? CURLUSESSL_NONE : maybe ? CURLUSESSL_TRY : CURLUSESSL_ALL;
    mail->verify = implicit || !maybe; /* what may be unencrypted need not be verified either */
    return 0;
}

struct mail *mail_open(const struct mail_options *options, struct err *err)
{
    struct mail *mail = mem_new(1, sizeof *mail);
    mail->loop = options->loop;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(mail);
        err_set(err, ERR_INTERNAL, "libcurl cannot start");
        return NULL;
    }
    mail->user = mem_text(options->user);
    mail->password = mem_text(options->password);
    if (read_url(mail, options->url, err) != 0 || read_from(mail, options->from, err) != 0 ||
        read_tls(mail, options, err) != 0) {
        mail_close(mail);
        return NULL;
    }
    return mail;
}

void mail_close(struct mail *mail)
{
    if (!mail)
        return;
    mail->closing = true;
    for (struct mail_call *call = mail->calls, *next; call; call = next) {
        next = call->next;
        call_free(call);
    }
    free(mail->url);
    free(mail->user);
    if (mail->password)
        explicit_bzero(mail->password, strlen(mail->password));
    free(mail->password);
    free(mail);
}
