/* test_mail.c - workers/providers/mail: what a mail looks like, that nothing can be injected, and what each answer means */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "workers/providers/mail.h"

enum { SERVER_CALLS_MAX = 64, SERVER_TEXT = 65536 };

/* A mail server in the test's own loop: a reply per command, "" hangs up, "-" says nothing. */
struct connection {
    int fd;
    struct loop_source *source;
    char line[SERVER_TEXT];
    size_t size;
    bool in_text, busy;
};

static struct {
    struct loop *loop;
    struct mail *mail;
    int fd, port;
    struct loop_source *source;
    const char *greeting, *ehlo, *from, *rcpt, *data, *text, *quit, *auth;
    struct connection connections[SERVER_CALLS_MAX];
    int count, open, most_open, quits;
    char said[SERVER_TEXT]; /* all commands and texts */
    bool answered;
    int answers;
    struct mail_answer answer;
} f;

static void hang_up(struct connection *connection)
{
    loop_source_free(connection->source);
    connection->source = NULL;
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
    f.open--;
}

/* False when that was the end. */
static bool reply(struct connection *connection, const char *text)
{
    if (!*text) {
        hang_up(connection);
        return false;
    }
    if (strcmp(text, "-") != 0) {
        (void)!send(connection->fd, text, strlen(text), MSG_NOSIGNAL);
        (void)!send(connection->fd, "\r\n", 2, MSG_NOSIGNAL);
    }
    return true;
}

static bool serve_line(struct connection *connection, const char *line)
{
    size_t said = strlen(f.said);
    snprintf(f.said + said, sizeof f.said - said, "%s\n", line);
    if (connection->in_text) {
        if (strcmp(line, ".") != 0)
            return true;
        connection->in_text = false;
        return reply(connection, f.text);
    }
    if (strncmp(line, "EHLO", 4) == 0 || strncmp(line, "HELO", 4) == 0)
        return reply(connection, f.ehlo);
    if (strncmp(line, "AUTH", 4) == 0)
        return reply(connection, f.auth);
    if (strncmp(line, "MAIL", 4) == 0)
        return reply(connection, f.from);
    if (strncmp(line, "RCPT", 4) == 0)
        return reply(connection, f.rcpt);
    if (strncmp(line, "DATA", 4) == 0) {
        connection->in_text = f.data[0] == '3';
        return reply(connection, f.data);
    }
    f.quits += strcmp(line, "QUIT") == 0;
    if (reply(connection, f.quit) && strcmp(f.quit, "-") != 0)
        hang_up(connection);
    return false;
}

static void on_read(void *arg, int events)
{
    (void)events;
    struct connection *connection = arg;
    ssize_t n =
        recv(connection->fd, connection->line + connection->size, sizeof connection->line - 1 - connection->size, 0);
    if (n <= 0) {
        hang_up(connection);
        return;
    }
    connection->size += (size_t)n;
    connection->line[connection->size] = '\0';
    for (char *end; (end = strstr(connection->line, "\r\n"));) {
        *end = '\0';
        if (!serve_line(connection, connection->line))
            return;
        connection->size -= (size_t)(end + 2 - connection->line);
        memmove(connection->line, end + 2, connection->size + 1);
    }
}

static void on_accept(void *arg, int events)
{
    (void)arg, (void)events;
    struct connection *connection = &f.connections[f.count++];
    *connection = (struct connection){.fd = accept(f.fd, NULL, NULL)};
    assert_true(connection->fd >= 0 && f.count < SERVER_CALLS_MAX);
    connection->source = loop_io(f.loop, connection->fd, LOOP_READ, on_read, connection);
    f.open++;
    f.most_open = f.open > f.most_open ? f.open : f.most_open;
    reply(connection, f.greeting);
}

static void listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    f.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(f.fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(f.fd, 64), 0);
    assert_int_equal(getsockname(f.fd, (struct sockaddr *)&address, &size), 0);
    f.port = ntohs(address.sin_port);
    f.source = loop_io(f.loop, f.fd, LOOP_READ, on_accept, NULL);
}

static void well_behaved(void)
{
    f.greeting = "220 sink";
    f.ehlo = "250-sink\r\n250 8BITMIME";
    f.from = f.rcpt = "250 ok";
    f.data = "354 go on";
    f.text = "250 2.0.0 queued";
    f.quit = "221 bye";
    f.auth = "535 5.7.8 no, ada@example.org";
    f.said[0] = '\0';
}

static struct mail *open_mail(const char *from, const char *user, const char *tls, struct err *err)
{
    char url[64];
    snprintf(url, sizeof url, "smtp://127.0.0.1:%d", f.port);
    struct mail_options options = {
        .loop = f.loop, .url = url, .from = from, .user = user, .password = "secret", .tls = tls};
    return mail_open(&options, err);
}

static int set_up(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    f.loop = loop_new(NULL);
    listen_on_loopback();
    well_behaved();
    f.mail = open_mail("Shop <shop@example.org>", "", "off", NULL);
    return f.mail ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    mail_close(f.mail);
    for (int i = 0; i < f.count; i++)
        if (f.connections[i].source)
            hang_up(&f.connections[i]);
    loop_source_free(f.source);
    if (f.fd >= 0)
        close(f.fd);
    loop_free(f.loop);
    return 0;
}

static struct mail_message message_of(void)
{
    return (struct mail_message){.id = "82baac32-3001-800f-87e1-48ec4ff29b10",
                                 .to = "ada@example.org",
                                 .date_ms = 1795175961000,
                                 .subject = "Your payment",
                                 .text = "Hello\n.dot\nend",
                                 .html = "<p>Hello</p>",
                                 .timeout_ms = 2000};
}

/* ---- what a mail looks like ---- */

static char *composed(const struct mail_message *message)
{
    struct err err = {0};
    char *text = mail_compose(f.mail, message, &err);
    if (!text)
        fail_msg("%s", err.text);
    for (const char *c = text; (c = strchr(c, '\n')); c++)
        assert_true(c > text && c[-1] == '\r');
    for (const char *c = text; *c; c += strcspn(c, "\n") + 1)
        assert_true(strcspn(c, "\r") <= 78);
    return text;
}

static void has(const char *text, const char *wanted)
{
    if (!strstr(text, wanted))
        fail_msg("\"%s\" is not in\n%s", wanted, text);
}

static void test_composed(void **state)
{
    (void)state;
    struct mail_message message = message_of();
    char *text = composed(&message), *again = composed(&message);
    assert_string_equal(text, again);
    has(text, "Date: Fri, 20 Nov 2026 ");
    has(text, "\r\nMessage-ID: <82baac32-3001-800f-87e1-48ec4ff29b10@example.org>\r\n");
    has(text, "\r\nFrom: \"Shop\" <shop@example.org>\r\n");
    has(text, "\r\nTo: <ada@example.org>\r\n");
    has(text, "\r\nSubject: Your payment\r\n");
    has(text, "\r\nAuto-Submitted: auto-generated\r\n");
    has(text, "\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary=\"=_82baac32");
    has(text,
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nHello\r\n");
    has(text, "Content-Type: text/html; charset=utf-8\r\n");
    assert_true(strstr(text, "text/plain") < strstr(text, "text/html"));
    free(text);
    free(again);
}

static void test_encoding(void **state)
{
    (void)state;
    struct mail_message message = message_of();
    message.subject = "Prélèvement";
    message.text = "a = b\tt \nna\xc3\xafve\r\nx\x01y\rz "
                   "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890";
    char *text = composed(&message);
    has(text, "\r\nSubject: =?UTF-8?B?UHLDqWzDqHZlbWVudA==?=\r\n");
    has(text, "a =3D b\tt=20\r\nna=C3=AFve\r\nx=01y=0Dz 01234567");
    has(text, "=\r\n");
    free(text);
    message.subject = "=?UTF-8?Q?forged?=";
    text = composed(&message);
    assert_null(strstr(text, "Subject: =?UTF-8?Q?"));
    free(text);
    char long_subject[1201] = "";
    for (int i = 0; i < 400; i++)
        strcat(long_subject, "\xe2\x82\xac");
    message.subject = long_subject;
    text = composed(&message); /* folded, no character cut in two */
    has(text, "?=\r\n =?UTF-8?B?4oKs");
    free(text);
}

static void test_senders(void **state)
{
    (void)state;
    static const struct {
        const char *from, *header;
    } cases[] = {
        {"a@b.example", "\r\nFrom: <a@b.example>\r\n"},
        {"<a@b.example>", "\r\nFrom: <a@b.example>\r\n"},
        {"A \"q\" \\ <a@b.example>", "\r\nFrom: \"A \\\"q\\\" \\\\\" <a@b.example>\r\n"},
        {"Caf\xc3\xa9 <a@b.example>", "\r\nFrom: =?UTF-8?B?Q2Fmw6k=?= <a@b.example>\r\n"},
        {"", NULL},
        {"a", NULL},
        {"a@b.example, c@d.example", NULL},
        {"A <a@b.example> <c>", NULL},
        {"A\r\nBcc: x <a@b.example>", NULL},
        {"A <a@b.example\r\nBcc: x@y.example>", NULL},
        {"\xff <a@b.example>", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = {0};
        struct mail_message message = message_of();
        mail_close(f.mail);
        f.mail = open_mail(cases[i].from, "", "off", &err);
        if (!f.mail != !cases[i].header)
            fail_msg("case %zu: %s", i, err.text);
        if (!f.mail) {
            assert_int_equal(err.code, ERR_CONFIG);
            continue;
        }
        char *text = composed(&message);
        has(text, cases[i].header);
        free(text);
    }
}

static void test_options(void **state)
{
    (void)state;
    static const struct {
        const char *url, *user, *tls;
        bool good;
    } cases[] = {
        {"smtp://localhost:25", "", "opportunistic", true},
        {"smtps://mail.example.org", "u", "opportunistic", true},
        {"smtp://mail.example.org", "u", "required", true},
        {"smtp://mail.example.org", "u", "opportunistic", false}, /* the password could be had by who strips STARTTLS */
        {"smtp://mail.example.org", "", "never", false},
        {"smtp://u:p@mail.example.org", "", "required", false},
        {"http://mail.example.org", "", "required", false},
        {"smtp://", "", "required", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = {0};
        struct mail_options options = {.loop = f.loop,
                                       .url = cases[i].url,
                                       .from = "a@b.example",
                                       .user = cases[i].user,
                                       .password = "secret",
                                       .tls = cases[i].tls};
        struct mail *mail = mail_open(&options, &err);
        if (!mail == cases[i].good)
            fail_msg("case %zu: %s", i, err.text);
        assert_true(mail || err.code == ERR_CONFIG);
        assert_null(strstr(err.text, "secret"));
        mail_close(mail);
    }
}

/* ---- nothing can be injected ---- */

static void on_answer(void *arg, const struct mail_answer *answer)
{
    assert_ptr_equal(arg, &f);
    f.answer = *answer;
    f.answered = true;
    f.answers++;
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"a@b.example", "a.b+c_d'e@sub.b-c.example", "1@2.3"};
    static const char *const bad[] = {"",
                                      "a",
                                      "@b.example",
                                      "a@",
                                      "a@b",
                                      "a@b.example\r\nBcc: c@d.example",
                                      "a@b.example>\r\nRCPT TO:<c@d.example",
                                      "a@b.example\n",
                                      "a\n@b.example",
                                      "a@b.example,c@d.example",
                                      "a@b@c.example",
                                      "a b@c.example",
                                      "<a@b.example>",
                                      "a@b.example> SIZE=1",
                                      "\"a\"@b.example",
                                      "a@[127.0.0.1]",
                                      ".a@b.example",
                                      "a.@b.example",
                                      "a..b@c.example",
                                      "a@b..example",
                                      "a@.b.example",
                                      "a@-b.example",
                                      "a@b-.example",
                                      "a@b.example.",
                                      "a@b.example-",
                                      "\xc3\xa4@b.example",
                                      "a@\xc3\xa4.example",
                                      "a(c)@b.example",
                                      "a@b.exam\x01ple",
                                      "a1234567890123456789012345678901234567890123456789012345678901234@b.example"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!mail_address_good(good[i]))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        struct mail_message message = message_of();
        message.to = bad[i];
        if (mail_address_good(bad[i]) || mail_start(f.mail, &message, on_answer, &f, &err))
            fail_msg("%s", bad[i]);
        assert_int_equal(err.code, ERR_INVALID);
        assert_true(!*bad[i] || !strchr(bad[i], '@') || !strstr(err.text, bad[i]));
    }
}

static void test_injections(void **state)
{
    (void)state;
    static const char *const subjects[] = {"a\r\nBcc: c@d.example", "a\nb", "a\rb", "a\tb", "\x7f", "\xff", "\xe2\x82"};
    static const char *const ids[] = {"", "a b", "a>\r\nX: y", "a@b", "a\"b", "\xc3\xa4"};
    struct mail_message message = message_of();
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        message.subject = subjects[i];
        assert_null(mail_compose(f.mail, &message, NULL));
    }
    message = message_of();
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        message.id = ids[i];
        assert_null(mail_compose(f.mail, &message, NULL));
    }
    message = message_of();
    message.text = "\xff";
    assert_null(mail_compose(f.mail, &message, NULL));
    message.text = "\r\n.\r\nMAIL FROM:<x@y.example>\r\n--=_82baac32-3001-800f-87e1-48ec4ff29b10--\r\n";
    char *text = composed(&message);
    assert_null(strstr(text, "\n--=_82baac32-3001-800f-87e1-48ec4ff29b10--\r\n\r\n"));
    has(text, "--=3D_82baac32");
    free(text);
}

/* ---- answers ---- */

static bool wait_for(const bool *condition)
{
    for (int64_t until = clock_monotonic_ms() + 10000; !*condition && clock_monotonic_ms() < until;)
        if (loop_turn(f.loop, 50) != 0)
            return false;
    return *condition;
}

static void sent(const struct mail_message *message, enum mail_outcome outcome, const char *code)
{
    struct err err = {0};
    f.answered = false;
    if (!mail_start(f.mail, message, on_answer, &f, &err))
        fail_msg("%s", err.text);
    assert_false(f.answered);
    assert_true(wait_for(&f.answered));
    if (f.answer.outcome != outcome || strcmp(f.answer.code, code) != 0)
        fail_msg("outcome %d \"%s\", wanted %d \"%s\"", f.answer.outcome, f.answer.code, outcome, code);
}

static void test_what_is_said(void **state)
{
    (void)state;
    struct mail_message message = message_of();
    sent(&message, MAIL_DELIVERED, "");
    has(f.said, "\nMAIL FROM:<shop@example.org>\nRCPT TO:<ada@example.org>\nDATA\nDate: ");
    has(f.said, "\nHello\n..dot\nend\n");
    has(f.said, "--\n.\n");
    assert_int_equal(f.answer.status, 250);
    assert_true(f.answer.sent_at_ms > 0 && f.answer.answered_at_ms >= f.answer.sent_at_ms);
    for (int i = 0; i < 50 && !f.quits; i++)
        assert_int_equal(loop_turn(f.loop, 20), 0);
    assert_int_equal(f.quits, 1);
    assert_int_equal(f.answers, 1);
}

static void test_every_answer(void **state)
{
    (void)state;
    static const struct {
        const char **at, *reply;
        enum mail_outcome outcome;
        const char *code;
    } cases[] = {
        {&f.rcpt, "550 5.1.1 <ada@example.org> unknown", MAIL_REFUSED, "smtp_550"},
        {&f.rcpt, "550-5.1.1 unknown\r\n550 5.1.1 ada@example.org", MAIL_REFUSED, "smtp_550"},
        {&f.rcpt, "451 4.7.1 greylisted", MAIL_LATER, "smtp_451"},
        {&f.rcpt, "251 forwarded", MAIL_DELIVERED, ""},
        {&f.rcpt, "421 closing", MAIL_LATER, "smtp_421"},
        {&f.from, "553 no such sender", MAIL_REFUSED, "smtp_553"},
        {&f.from, "530 5.7.0 login first", MAIL_LATER, "login"},
        {&f.from, "452 full", MAIL_LATER, "smtp_452"},
        {&f.data, "554 no", MAIL_REFUSED, "smtp_554"},
        {&f.data, "250 what", MAIL_LATER, "smtp_250"},
        {&f.text, "554 5.6.0 spam", MAIL_REFUSED, "smtp_554"},
        {&f.text, "451 later", MAIL_LATER, "smtp_451"},
        {&f.text, "", MAIL_UNKNOWN, "connection_lost"},
        {&f.rcpt, "", MAIL_LATER, "connection_lost"},
        {&f.rcpt, "gibberish", MAIL_LATER, "connection_lost"},
        {&f.greeting, "554 no service here", MAIL_LATER, "not_sent"},
        {&f.greeting, "", MAIL_LATER, "not_sent"},
        {&f.quit, "", MAIL_DELIVERED, ""},
        {&f.quit, "-", MAIL_DELIVERED, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mail_message message = message_of();
        well_behaved();
        *cases[i].at = cases[i].reply;
        sent(&message, cases[i].outcome, cases[i].code);
    }
    assert_int_equal(f.answers, sizeof cases / sizeof *cases);
}

/* A server that answers nothing costs its timeout, and nothing else waits for it meanwhile. */
static void test_silence(void **state)
{
    (void)state;
    static const struct {
        const char **at;
        enum mail_outcome outcome;
    } cases[] = {{&f.greeting, MAIL_LATER}, {&f.ehlo, MAIL_LATER}, {&f.rcpt, MAIL_LATER}, {&f.text, MAIL_UNKNOWN}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mail_message message = message_of();
        well_behaved();
        *cases[i].at = "-";
        message.timeout_ms = 500;
        int64_t began = clock_monotonic_ms();
        sent(&message, cases[i].outcome, "timeout");
        assert_true(clock_monotonic_ms() - began < 3000);
    }
}

static void test_no_server(void **state)
{
    (void)state;
    struct mail_message message = message_of();
    loop_source_free(f.source);
    f.source = NULL;
    close(f.fd);
    f.fd = -1;
    sent(&message, MAIL_LATER, "not_sent");
}

static void test_login_and_tls(void **state)
{
    (void)state;
    struct mail_message message = message_of();
    mail_close(f.mail);
    f.mail = open_mail("shop@example.org", "user", "off", NULL);
    f.ehlo = "250-sink\r\n250 AUTH PLAIN";
    sent(&message, MAIL_LATER, "login");
    f.auth = "235 welcome";
    sent(&message, MAIL_DELIVERED, "");
    has(f.said, "AUTH PLAIN AHVzZXIAc2VjcmV0"); /* \0user\0secret */
    f.said[0] = '\0';
    mail_close(f.mail);
    f.mail = open_mail("shop@example.org", "", "required", NULL);
    f.ehlo = "250 sink";
    sent(&message, MAIL_LATER, "tls"); /* no STARTTLS offered */
    assert_null(strstr(f.said, "MAIL FROM"));
}

static void test_many_at_once(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct mail_message message = message_of();
    message.timeout_ms = 10000;
    for (int i = 0; i < MANY; i++)
        assert_non_null(mail_start(f.mail, &message, on_answer, &f, NULL));
    for (int64_t until = clock_monotonic_ms() + 10000; f.answers < MANY && clock_monotonic_ms() < until;)
        assert_int_equal(loop_turn(f.loop, 50), 0);
    assert_int_equal(f.answers, MANY);
    assert_true(f.most_open <= 20); /* 16, and those that the server has not seen go */
}

static void test_cancelled(void **state)
{
    (void)state;
    struct mail_message message = message_of();
    f.rcpt = "-";
    struct mail_call *call = mail_start(f.mail, &message, on_answer, &f, NULL);
    for (int i = 0; i < 50 && !strstr(f.said, "RCPT"); i++)
        assert_int_equal(loop_turn(f.loop, 20), 0);
    mail_cancel(call);
    assert_non_null(mail_start(f.mail, &message, on_answer, &f, NULL)); /* closed while under way */
    for (int i = 0; i < 10; i++)
        assert_int_equal(loop_turn(f.loop, 10), 0);
    assert_int_equal(f.answers, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_composed),  TEST(test_encoding),   TEST(test_senders),       TEST(test_options),
        TEST(test_addresses), TEST(test_injections), TEST(test_what_is_said),  TEST(test_every_answer),
        TEST(test_silence),   TEST(test_no_server),  TEST(test_login_and_tls), TEST(test_many_at_once),
        TEST(test_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
