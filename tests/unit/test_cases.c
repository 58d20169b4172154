/* test_cases.c - ledger/cases, workers/operator/evidence, published, balance_sheet: a person's word, and the sum that has to come out */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crypto.h"
#include "common/json.h"
#include "ledger/cases.h"
#include "tests/unit/saga_text.h"
#include "workers/operator/balance_sheet.h"
#include "workers/operator/evidence.h"

/* -- cases */

static void test_which_case_a_slot_names(void **state)
{
    (void)state;
    static const struct {
        const char *facts, *slot, *result; /* result NULL: no case */
        int doubts;
        bool answered;
        enum err_code code;
    } rows[] = {
        {"received auth:1 auth:1:doubt:0 auth:1:doubt:1", "auth:1", "auth:1:result", 2, false, ERR_NONE},
        {"received auth:1 auth:1:doubt:0", "auth:1:result", "auth:1:result", 1, false, ERR_NONE},
        {"received auth:1 auth:1:doubt:0", "auth:1:doubt:7", "auth:1:result", 1, false, ERR_NONE},
        {"received auth:1 auth:1:doubt:0 auth:1:result=approved", "auth:1", "auth:1:result", 1, true, ERR_NONE},
        {"received auth:1", "auth:1", NULL, 0, false, ERR_NOT_FOUND},
        {"received auth:1 auth:1:doubt:0", "auth:2", NULL, 0, false, ERR_NOT_FOUND},
        {"received auth:1 auth:1:result=approved decision=commit:1 capture:doubt:0", "capture", "capture", 1, false,
         ERR_NONE},
        {"received auth:1 auth:1:result=approved decision=commit:1", "capture", NULL, 0, false, ERR_NOT_FOUND},
        {"received auth:1 auth:1:result=approved decision=abort/EXPIRED void:1:doubt:0", "void:1", "void:1", 1, false,
         ERR_NONE},
        {PAID "refund:1=accepted/400 refund:1:doubt:0", "refund:1", "refund:1:result", 1, false, ERR_NONE},
        {PAID "refund:1=accepted/400 refund:1:doubt:0", "refund:2:result", NULL, 0, false, ERR_NOT_FOUND},
        {PAID, "decision", NULL, 0, false, ERR_INVALID},
        {PAID, "received", NULL, 0, false, ERR_INVALID},
        {PAID, "no slot", NULL, 0, false, ERR_INVALID},
        {"", "capture", NULL, 0, false, ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct facts facts = {0};
        struct payment payment;
        struct payment_case found;
        struct err err = {0};
        facts_from_text(&facts, FLOW_PLAIN, "", rows[i].facts);
        assert_int_equal(saga_fold(&facts, &payment, &err), 0);
        assert_int_equal(case_find(&payment, rows[i].slot, &found, &err), rows[i].result ? 0 : -1);
        assert_int_equal(err.code, rows[i].code);
        if (rows[i].result) {
            assert_string_equal(found.result, rows[i].result);
            assert_int_equal(found.doubts, rows[i].doubts);
            assert_int_equal(found.answer != NULL, rows[i].answered);
        }
        payment_clear(&payment);
        facts_clear(&facts);
    }
}

static void test_what_may_be_said(void **state)
{
    (void)state;
    static const struct {
        enum slot_kind intent;
        const char *outcome;
        int negative; /* -1: may not be said */
    } rows[] = {
        {SLOT_AUTH, "approved", 0},   {SLOT_AUTH, "declined", 1},   {SLOT_AUTH, "cancelled", 1},
        {SLOT_AUTH, "absent", 1},     {SLOT_AUTH, "captured", -1},  {SLOT_CAPTURE, "captured", 0},
        {SLOT_CAPTURE, "refused", 1}, {SLOT_CAPTURE, "absent", -1}, {SLOT_VOID, "voided", 0},
        {SLOT_VOID, "expired", 0},    {SLOT_VOID, "nothing", 0},    {SLOT_VOID, "refused", -1},
        {SLOT_REFUND, "refunded", 0}, {SLOT_REFUND, "refused", 1},  {SLOT_REFUND, "", -1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct payment_case found = {.intent = {.kind = rows[i].intent}, .name = "it"};
        struct err err = {0};
        bool negative = rows[i].negative != 1;
        assert_int_equal(case_outcome(&found, rows[i].outcome, &negative, &err), rows[i].negative < 0 ? -1 : 0);
        if (rows[i].negative >= 0)
            assert_int_equal(negative, rows[i].negative);
        else
            assert_int_equal(err.code, ERR_INVALID);
    }
}

/* -- evidence */

static void test_evidence_text(void **state)
{
    (void)state;
    struct err err = {0};
    char digest[SHA256_HEX_SIZE], long_text[EVIDENCE_TEXT_MAX + 2];
    json_auto_t *body = json_object(), *none = json_object();
    assert_int_equal(evidence_read("case 4711", body, &err), 0);
    sha256_hex("case 4711", 9, digest);
    assert_string_equal(json_text(body, "evidence", ""), "case 4711");
    assert_string_equal(json_text(body, "evidenceSha256", ""), digest);
    assert_null(json_object_get(body, "evidenceName"));
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    static const char *const bad[] = {"", "charged 4242-4242-4242-4242", "\xff\xfe", "@/no/such/file"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        err_clear(&err);
        assert_int_equal(evidence_read(bad[i], none, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
    }
    assert_int_equal(evidence_read(long_text, none, &err), -1);
}

static int read_bytes(const void *bytes, size_t size, json_t *body, struct err *err)
{
    char name[] = "@/tmp/test-evidence-XXXXXX";
    int file = mkstemp(name + 1);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, size), size);
    close(file);
    int r = evidence_read(name, body, err);
    unlink(name + 1);
    return r;
}

/* The hash is of all of it; the text is cut between two characters; of what is no text the hash alone is kept. */
static void test_evidence_file(void **state)
{
    (void)state;
    struct err err = {0};
    char text[2 * EVIDENCE_TEXT_MAX], digest[SHA256_HEX_SIZE];
    json_auto_t *body = json_object(), *binary = json_object(), *card = json_object();
    memset(text, 'a', sizeof text);
    memcpy(text + EVIDENCE_TEXT_MAX - 1, "\xc3\xa4", 2);
    assert_int_equal(read_bytes(text, sizeof text, body, &err), 0);
    sha256_hex(text, sizeof text, digest);
    assert_string_equal(json_text(body, "evidenceSha256", ""), digest);
    assert_int_equal(strlen(json_text(body, "evidence", "")), EVIDENCE_TEXT_MAX - 1);
    assert_memory_equal(json_text(body, "evidenceName", ""), "test-evidence-", 14);
    assert_int_equal(read_bytes("%PDF\0\xff", 6, binary, &err), 0);
    assert_null(json_object_get(binary, "evidence"));
    assert_int_equal(strlen(json_text(binary, "evidenceSha256", "")), 64);
    memcpy(text + sizeof text - 30, " 4242 4242 4242 4242 ", 21); /* behind what is kept */
    assert_int_equal(read_bytes(text, sizeof text, card, &err), -1);
}

/* -- lists of publishers */

static int read_list(const char *list, const char *publisher, struct published *ret, size_t *ret_line, struct err *err)
{
    FILE *file = fmemopen((void *)(uintptr_t)list, strlen(list), "r");
    *ret_line = 0;
    int more, last = 0;
    while ((more = published_next(file, publisher, ret_line, ret, err)) > 0)
        last++;
    fclose(file);
    return more < 0 ? -1 : last;
}

static void test_published_lines(void **state)
{
    (void)state;
    static const struct {
        const char *list, *publisher;
        int count; /* -1: refused */
        const char *text;
    } rows[] = {
        {"id,type,day,publisher\nk-1,payment.create,2026-11-20,shop\n\nk-2,payment.cancel,2026-11-21,shop\r\n", NULL, 2,
         NULL},
        {"k-1,payment.create,2026-11-20", "shop", 1, NULL},
        {"{\"id\":\"k,1\",\"type\":\"payment.refund\",\"day\":\"2026-11-20\",\"publisher\":\"shop\"}", NULL, 1, NULL},
        {"k-1,payment.create,2026-11-20", NULL, -1, "line 1: names no publisher"},
        {"k-1,payment.create,2026-11-20,shop\nk-2,payment.look,2026-11-20,shop", NULL, -1, "line 2: type must be"},
        {"k-1,payment.create,2026-02-30,shop", NULL, -1, "line 1: day must be"},
        {"k-1,payment.create,2026-11-20T10:00:00Z,shop", NULL, -1, "line 1: day must"},
        {",payment.create,2026-11-20,shop", NULL, -1, "line 1: id must"},
        {"k,payment.create,2026-11-20,shop,x", NULL, -1, "line 1: has more"},
        {"{\"id\":7,\"type\":\"payment.create\",\"day\":\"2026-11-20\"}", "shop", -1, "line 1: id must be a text"},
        {"{\"id\":\"k\"", "shop", -1, "line 1: is no JSON"},
        {"k,payment.create,2026-11-20,a b", NULL, -1, "line 1: names no publisher"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct published one;
        struct err err = {0};
        size_t line;
        assert_int_equal(read_list(rows[i].list, rows[i].publisher, &one, &line, &err), rows[i].count);
        if (rows[i].text)
            assert_memory_equal(err.text, rows[i].text, strlen(rows[i].text));
        else
            assert_true(uuid_equal(one.command, uuid_command(one.type->name, "shop", one.id)));
    }
}

/* -- the sum */

static struct published one_of(const char *id, const char *type)
{
    struct published one = {.publisher = "shop", .day = "2026-11-20", .type = command_type_find(type)};
    snprintf(one.id, sizeof one.id, "%s", id);
    one.command = uuid_command(type, "shop", id);
    return one;
}

static json_t *queues_with(int authorize, int wait, int dead, int refund)
{
    return json_pack("[{s:s, s:i, s:i}, {s:s, s:i}, {s:s, s:i}, {s:s, s:i}, {s:s, s:i}]", "name", "acquit.authorize",
                     "messages_ready", authorize ? authorize - 1 : 0, "messages_unacknowledged", authorize ? 1 : 0,
                     "name", "acquit.wait.1s", "messages_ready", wait, "name", "acquit.dead.refund", "messages_ready",
                     dead, "name", "acquit.refund", "messages_ready", refund, "name", "app.shop.answers",
                     "messages_ready", 99);
}

static void test_the_sum(void **state)
{
    (void)state;
    static const struct {
        int absent, replayed; /* payment.create that have no end */
        int authorize, wait, dead, refund;
        enum sum sum;
        int lost;
    } rows[] = {
        {0, 0, 0, 0, 0, 0, SUM_RIGHT, 0}, {0, 0, 5, 5, 5, 5, SUM_RIGHT, 0}, {2, 0, 1, 1, 0, 0, SUM_OPEN, 0},
        {1, 1, 2, 0, 0, 0, SUM_OPEN, 0},  {2, 0, 0, 0, 2, 0, SUM_OPEN, 0},  {2, 0, 1, 0, 0, 0, SUM_WRONG, 1},
        {1, 0, 0, 0, 0, 9, SUM_WRONG, 1}, {0, 1, 0, 0, 0, 0, SUM_WRONG, 1}, {3, 0, 0, 0, 0, 0, SUM_WRONG, 3},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sheet sheet;
        struct err err = {0};
        enum sum sum;
        char id[16];
        sheet_begin(&sheet);
        for (int n = 0; n < rows[i].absent + rows[i].replayed; n++) {
            snprintf(id, sizeof id, "k-%d", n);
            struct published one = one_of(id, "payment.create");
            assert_int_equal(sheet_add(&sheet, &one, n < rows[i].absent ? FATE_ABSENT : FATE_REPLAYED, &err), 0);
        }
        struct published settled = one_of("s", "payment.refund"), dead = one_of("d", "payment.refund"),
                         gone = one_of("g", "payment.cancel");
        assert_int_equal(sheet_add(&sheet, &settled, FATE_SETTLED, &err), 0);
        assert_int_equal(sheet_add(&sheet, &dead, FATE_DEAD, &err), 0);
        assert_int_equal(sheet_add(&sheet, &gone, FATE_DISCARDED, &err), 0);
        json_auto_t *queues = queues_with(rows[i].authorize, rows[i].wait, rows[i].dead, rows[i].refund);
        json_auto_t *result = sheet_judge(&sheet, queues, &sum);
        assert_int_equal(sum, rows[i].sum);
        assert_int_equal(json_array_size(json_object_get(result, "missing")), rows[i].absent + rows[i].replayed);
        const json_t *group = json_array_get(json_object_get(result, "groups"), 0);
        assert_int_equal(json_int(group, "lost", 0), rows[i].lost);
        sheet_clear(&sheet);
    }
}

/* What was under way and has come to its end is counted where it ended, and no more among the missing; twice published is one. */
static void test_the_sum_moves_on(void **state)
{
    (void)state;
    struct sheet sheet;
    struct err err = {0};
    enum sum sum;
    struct published one = one_of("k", "payment.create"), other = one_of("l", "payment.create");
    sheet_begin(&sheet);
    assert_int_equal(sheet_add(&sheet, &one, FATE_ABSENT, &err), 0);
    assert_int_equal(sheet_add(&sheet, &one, FATE_ABSENT, &err), 0);
    assert_int_equal(sheet_add(&sheet, &other, FATE_ABSENT, &err), 0);
    json_auto_t *queues = queues_with(0, 0, 0, 0), *before = sheet_judge(&sheet, queues, &sum);
    assert_int_equal(json_array_size(json_object_get(before, "missing")), 2);
    for (size_t i = 0; i < sheet.count; i++)
        if (strcmp(sheet.items[i].published.id, "k") == 0)
            sheet_move(&sheet, i, FATE_SETTLED);
    sheet_drop_settled(&sheet);
    json_auto_t *after = sheet_judge(&sheet, queues, &sum);
    const json_t *row = json_array_get(json_object_get(after, "rows"), 0);
    assert_int_equal(sum, SUM_WRONG);
    assert_int_equal(json_int(row, "published", 0), 3);
    assert_int_equal(json_int(row, "settled", 0), 2);
    assert_int_equal(json_int(row, "absent", 0), 1);
    assert_string_equal(json_text(json_array_get(json_object_get(after, "missing"), 0), "id", ""), "l");
    sheet_clear(&sheet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_case_a_slot_names), cmocka_unit_test(test_what_may_be_said),
        cmocka_unit_test(test_evidence_text),           cmocka_unit_test(test_evidence_file),
        cmocka_unit_test(test_published_lines),         cmocka_unit_test(test_the_sum),
        cmocka_unit_test(test_the_sum_moves_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
