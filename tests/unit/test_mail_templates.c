/* test_mail_templates.c - workers/templates: built-in texts, files that replace them, placeholders, escaping */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/templates.h"

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/acquit-templates-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command); /* NOLINT: a path of our own */
}

static void put_bytes(const char *name, const char *text, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

static void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

static void refused(const char *wanted)
{
    struct err err = {0};
    assert_null(templates_open(folder, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    if (!strstr(err.text, wanted))
        fail_msg("\"%s\" does not hold \"%s\"", err.text, wanted);
}

static struct template_text rendered(const char *event, const struct template_values *values)
{
    struct template_text text;
    struct err err = {0};
    struct templates *templates = templates_open(folder, &err);
    if (!templates)
        fail_msg("%s", err.text);
    assert_true(templates_render(templates, event, values, &text));
    templates_close(templates);
    return text;
}

static void test_every_event_has_a_text(void **state)
{
    (void)state;
    static const char *const events[] = {"payment.completed", "payment.failed", "payment.cancelled", "payment.refunded",
                                         "payment.refund_failed"};
    const struct template_values values = {.amount = "25.00 EUR",
                                           .transaction_id = "tx_1",
                                           .merchant = "shop",
                                           .reason = "declined",
                                           .refund_amount = "5.00 EUR"};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        struct template_text text = rendered(events[i], &values);
        assert_non_null(strstr(text.subject, "EUR"));
        assert_non_null(strstr(text.text, "tx_1"));
        assert_non_null(strstr(text.html, "tx_1"));
        assert_null(strpbrk(text.text, "{}"));
        assert_null(strpbrk(text.html, "{}"));
        template_text_clear(&text);
    }
    struct templates *templates = templates_open("", NULL);
    struct template_text none;
    assert_false(templates_render(templates, "payment.authorized", &values, &none));
    templates_close(templates);
}

static void test_files_replace_parts(void **state)
{
    (void)state;
    put("payment.completed.txt", "Subject: Paid: {amount}\r\n\r\nHello\n{transaction_id}");
    put("payment.failed.html", "<style>p{color:red} b { x } </style><p>{amount}</p>");
    put("payment.refunded.html", "Subject: Back\n\n<p>{refund_amount}</p>");
    put("README", "{no such thing}");
    const struct template_values values = {.amount = "1.00 EUR", .transaction_id = "tx_2", .refund_amount = "0.50 EUR"};
    struct template_text text = rendered("payment.completed", &values);
    assert_string_equal(text.subject, "Paid: 1.00 EUR");
    assert_string_equal(text.text, "Hello\ntx_2");
    assert_non_null(strstr(text.html, "<b>1.00 EUR</b>")); /* built in */
    template_text_clear(&text);
    text = rendered("payment.failed", &values);
    assert_string_equal(text.html, "<style>p{color:red} b { x } </style><p>1.00 EUR</p>");
    assert_string_equal(text.subject, "Your payment of 1.00 EUR was not made");
    template_text_clear(&text);
    text = rendered("payment.refunded", &values);
    assert_string_equal(text.subject, "Back");
    assert_string_equal(text.html, "<p>0.50 EUR</p>");
    template_text_clear(&text);
    put("payment.refunded.txt", "Subject: Plain\nx");
    text = rendered("payment.refunded", &values);
    assert_string_equal(text.subject, "Plain");
    template_text_clear(&text);
}

static void test_values_are_escaped(void **state)
{
    (void)state;
    put("payment.completed.txt", "Subject: {description}\n{description}");
    put("payment.completed.html", "<p title=\"{merchant}\">{description}</p>");
    const struct template_values values = {.description = "<b>{amount}</b>\r\nBcc: x@example.org\x01 'q' &",
                                           .merchant = "\"><script>"};
    struct template_text text = rendered("payment.completed", &values);
    assert_string_equal(text.subject, "<b>{amount}</b>  Bcc: x@example.org  'q' &");
    assert_string_equal(text.text, "<b>{amount}</b> \nBcc: x@example.org  'q' &");
    assert_string_equal(text.html, "<p title=\"&quot;&gt;&lt;script&gt;\">&lt;b&gt;{amount}&lt;/b&gt; \nBcc: "
                                   "x@example.org  &#39;q&#39; &amp;</p>");
    template_text_clear(&text);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    put("payment.completed.txt", "Subject: x\n\na\n{amout}\n");
    refused("payment.completed.txt:4: unknown placeholder {amout}");
    put("payment.completed.txt", "Subject: {Amount}\nx");
    refused("payment.completed.txt:1: unknown placeholder {Amount}");
    put("payment.completed.txt", "Subject: {description}\n{reason_}");
    refused("payment.completed.txt:2: unknown placeholder {reason_}");
    put("payment.completed.txt", "Hello\n");
    refused("payment.completed.txt:1: the first line must be \"Subject: ...\"");
    put("payment.completed.txt", "Subject:\nHello\n");
    refused("payment.completed.txt:1: the first line must be \"Subject: ...\"");
    put("payment.completed.txt", "");
    refused("payment.completed.txt:1: ");
    put("payment.completed.txt", "Subject: x\n\n\xff");
    refused("payment.completed.txt:3: is no UTF-8 text");
    put_bytes("payment.completed.txt", "Subject: x\n\0y", 13);
    refused("payment.completed.txt:2: is no UTF-8 text");
    char long_text[TEMPLATE_BYTES_MAX + 64];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    memcpy(long_text, "Subject: x\n", 11);
    put("payment.completed.txt", long_text);
    refused("has more than 65536 bytes");
    put("payment.completed.txt", "Subject: x\nok");
    put("payment.complete.html", "x");
    refused("payment.complete.html: there is no mail for payment.complete");
    struct err err = {0};
    assert_null(templates_open("/no/such/folder", &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "mail.templates_dir"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {TEST(test_every_event_has_a_text), TEST(test_files_replace_parts),
                                       TEST(test_values_are_escaped), TEST(test_what_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
