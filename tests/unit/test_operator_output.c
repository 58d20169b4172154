/* test_operator_output.c - workers/operator/table, balance, replay: what `acquit` says */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/crypto.h"
#include "common/json.h"
#include "tests/unit/saga_text.h"
#include "workers/operator/balance.h"
#include "workers/operator/replay.h"
#include "workers/operator/table.h"
#include "workers/operator/transit.h"

/* -- tables */

static void assert_prints(const struct table *table, const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    table_print(table, "nothing", out);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void test_table(void **state)
{
    (void)state;
    struct table *table = table_new((const char *const[]){"NAME", ">COUNT", "NOTE", NULL});
    assert_prints(table, "nothing\n");
    table_row(table, (const char *const[]){"a", "1", "first"});
    table_row(table, (const char *const[]){"l\xc3\xa4nger", "1000000", NULL});
    table_row(table, (const char *const[]){"x\ny\x1b[0m", NULL, "z"});
    assert_int_equal(table_rows(table), 3);
    assert_prints(table, "NAME       COUNT  NOTE\n"
                         "a              1  first\n"
                         "l\xc3\xa4nger   1000000\n"
                         "x?y?[0m           z\n");
    table_free(table);
}

/* -- balances */

static json_t *transfer(const char *slot, const char *kind, const char *pending_of, const char *debit,
                        const char *credit, int amount)
{
    return json_pack("{s:s, s:s, s:s?, s:s, s:s, s:i, s:s}", "slot", slot, "kind", kind, "pendingOf", pending_of,
                     "debit", debit, "credit", credit, "amount", amount, "currency", "EUR");
}

static const json_t *row_of(const json_t *rows, const char *account)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (strcmp(json_text(json_array_get(rows, i), "account", ""), account) == 0)
            return json_array_get(rows, i);
    return NULL;
}

static const struct facts NO_FACTS;

static void test_balance(void **state)
{
    (void)state;
    json_auto_t *transfers = json_array();
    json_array_append_new(transfers, transfer("auth:1:result", "hold", NULL, "receivable:p", "payable:m", 1000));
    json_auto_t *held = balance_of(transfers, &NO_FACTS, NULL);
    assert_int_equal(json_int(row_of(held, "receivable:p"), "pendingDebits", -1), 1000);
    assert_int_equal(json_int(row_of(held, "receivable:p"), "balance", -1), 0);

    json_array_append_new(transfers, transfer("capture", "post", "auth:1:result", "receivable:p", "payable:m", 900));
    json_array_append_new(transfers, transfer("capture", "transfer", NULL, "payable:m", "commission", 25));
    json_auto_t *posted = balance_of(transfers, &NO_FACTS, NULL);
    assert_int_equal(json_int(row_of(posted, "receivable:p"), "pendingDebits", -1), 0);
    assert_int_equal(json_int(row_of(posted, "receivable:p"), "balance", -1), 900);
    assert_int_equal(json_int(row_of(posted, "payable:m"), "balance", 0), -875);
    assert_int_equal(json_int(row_of(posted, "commission"), "balance", 0), -25);
    json_auto_t *sums = balance_sums(posted, NULL);
    assert_int_equal(json_int(sums, "EUR", -1), 0); /* L8 */

    json_auto_t *voided = json_array();
    json_array_append_new(voided, transfer("auth:1:result", "hold", NULL, "a", "b", 1000));
    json_array_append_new(voided, transfer("void:1", "void", "auth:1:result", "a", "b", 1000));
    json_auto_t *after = balance_of(voided, &NO_FACTS, NULL);
    assert_int_equal(json_int(row_of(after, "a"), "pendingDebits", -1), 0);
    assert_int_equal(json_int(row_of(after, "a"), "balance", -1), 0);
}

static void test_books_that_do_not_balance(void **state)
{
    (void)state;
    struct err err = {0};
    json_auto_t *rows =
        json_pack("[{s:s, s:i}, {s:s, s:i}]", "currency", "EUR", "balance", 5, "currency", "XOF", "balance", -1);
    json_auto_t *sums = balance_sums(rows, &err);
    assert_int_equal(json_int(sums, "EUR", 0), 5);
    assert_int_equal(json_int(sums, "XOF", 0), -1);
    json_auto_t *huge = json_pack("[{s:s, s:I}, {s:s, s:I}]", "currency", "EUR", "balance", (json_int_t)INT64_MAX,
                                  "currency", "EUR", "balance", (json_int_t)1);
    assert_null(balance_sums(huge, &err));
    assert_int_equal(err.code, ERR_LIMIT);
}

/* -- replays */

#define PAID "received auth:1 auth:1:result=approved decision=commit:1 capture=captured "

static const struct {
    const char *type, *body, *cause; /* cause: slot whose fact the command wrote */
    enum flow flow;
    const char *facts;
    enum replay_effect effect;
} EFFECTS[] = {
    {"payment.create", "{}", "received", FLOW_PLAIN, "", REPLAY_BEGINS},
    {"payment.create", "{}", "received", FLOW_PLAIN, PAID, REPLAY_NOTHING},
    {"payment.create", "{}", "auth:1", FLOW_PLAIN, "received auth:1",
     REPLAY_BEGINS}, /* an intent of its own is open (L5) */
    {"payment.create", "{}", "received", FLOW_PLAIN, "received auth:1", REPLAY_NOTHING},
    {"payment.cancel", "{}", "x", FLOW_PLAIN, "", REPLAY_WAITS},
    {"payment.cancel", "{}", "x", FLOW_PLAIN, "received auth:1", REPLAY_BEGINS},
    {"payment.cancel", "{}", "x", FLOW_PLAIN, PAID, REPLAY_NOTHING},
    {"payment.refund", "{}", "x", FLOW_PLAIN, PAID, REPLAY_BEGINS},
    {"payment.refund", "{}", "refund:1", FLOW_PLAIN, PAID "refund:1=accepted/5", REPLAY_BEGINS},
    {"payment.refund", "{}", "refund:1", FLOW_PLAIN, PAID "refund:1=accepted/5 refund:1:result=refunded",
     REPLAY_NOTHING},
    {"payment.refund", "{}", "refund:1", FLOW_PLAIN, PAID "refund:1=refused/5", REPLAY_NOTHING},
    {"authorize.void", "{\"slot\":\"void:1\"}", "x", FLOW_PLAIN,
     "received auth:1 auth:1:result=approved decision=abort/CANCELLED", REPLAY_BEGINS},
    {"authorize.void", "{\"slot\":\"void:1\"}", "x", FLOW_PLAIN,
     "received auth:1 auth:1:result=approved decision=abort/CANCELLED void:1=voided", REPLAY_NOTHING},
    {"token.release", "{}", "x", FLOW_DUAL, "received auth:1=closed decision=abort/EXPIRED", REPLAY_BEGINS},
    {"token.release", "{}", "x", FLOW_DUAL, "received auth:1=closed decision=abort/EXPIRED token:released",
     REPLAY_NOTHING},
};

static void test_replay_effects(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof EFFECTS / sizeof EFFECTS[0]; i++) {
        struct facts facts = {0};
        struct payment payment;
        struct err err = {0};
        char command[UUID_TEXT_SIZE];
        facts_from_text(&facts, EFFECTS[i].flow, "webhook", EFFECTS[i].facts);
        assert_int_equal(saga_fold(&facts, &payment, &err), 0);
        uuid_format(cause_of(EFFECTS[i].cause), command);
        json_auto_t *letter =
            json_pack("{s:s, s:s, s:s}", "type", EFFECTS[i].type, "body", EFFECTS[i].body, "commandId", command);
        enum replay_effect effect = replay_effect(letter, &payment);
        if (effect != EFFECTS[i].effect)
            fail_msg("row %zu, %s after '%s': %s", i, EFFECTS[i].type, EFFECTS[i].facts, replay_effect_text(effect));
        payment_clear(&payment);
        facts_clear(&facts);
    }
}

/* Died of what it says itself: whatever the facts are, it would die again. Of a payment that was not there it may come
 * to life. */
static void test_what_a_replay_cannot_mend(void **state)
{
    (void)state;
    static const struct {
        const char *reason, *publisher, *facts;
        enum replay_effect effect;
    } rows[] = {
        {"invalid", "p", "", REPLAY_VAIN},
        {"invalid", "p", PAID, REPLAY_VAIN},
        {"idempotency_conflict", "p", PAID, REPLAY_VAIN},
        {"unknown_payment", "p", "", REPLAY_VAIN},
        {"unknown_payment", "another", PAID, REPLAY_VAIN},
        {"unknown_payment", "p", PAID, REPLAY_BEGINS},
        {"exhausted", "another", PAID, REPLAY_BEGINS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct facts facts = {0};
        struct payment payment;
        facts_from_text(&facts, FLOW_PLAIN, "webhook", rows[i].facts);
        for (size_t k = 0; k < facts.count; k++)
            json_object_set_new(facts.items[k].body, "publisher", json_string("p"));
        assert_int_equal(saga_fold(&facts, &payment, NULL), 0);
        json_auto_t *letter = json_pack("{s:s, s:s, s:s, s:s}", "type", "payment.refund", "body", "{}", "reason",
                                        rows[i].reason, "publisher", rows[i].publisher);
        if (replay_effect(letter, &payment) != rows[i].effect)
            fail_msg("row %zu, %s of %s", i, rows[i].reason, rows[i].publisher);
        payment_clear(&payment);
        facts_clear(&facts);
    }
    assert_string_equal(replay_effect_text(REPLAY_VAIN), "nothing a replay could mend: publish a corrected message");
}

static void test_which_payment_a_letter_is_about(void **state)
{
    (void)state;
    struct uuid id;
    json_auto_t *own = json_pack("{s:s, s:s, s:s}", "reason", "exhausted", "paymentId", COMMAND_A, "body", "{}");
    json_auto_t *body = json_pack("{s:s, s:n, s:s}", "reason", "unknown_payment", "paymentId", "body",
                                  "{\"paymentId\":\"" COMMAND_B "\"}");
    json_auto_t *none =
        json_pack("{s:s, s:n, s:s}", "reason", "invalid", "paymentId", "body", "{\"paymentId\":\"" COMMAND_B "\"}");
    char text[UUID_TEXT_SIZE];
    assert_true(replay_payment(own, &id));
    uuid_format(id, text);
    assert_string_equal(text, COMMAND_A);
    assert_true(replay_payment(body, &id));
    uuid_format(id, text);
    assert_string_equal(text, COMMAND_B);
    assert_false(replay_payment(none, &id));
}

static void test_what_cannot_be_replayed(void **state)
{
    (void)state;
    char digest[SHA256_HEX_SIZE];
    struct err err = {0};
    sha256_hex("{}", 2, digest);
    json_auto_t *good = json_pack("{s:s, s:s, s:s}", "type", "token.release", "body", "{}", "bodySha256", digest);
    assert_int_equal(replay_allowed(good, &err), 0);
    json_auto_t *unknown = json_pack("{s:s, s:s, s:s}", "type", "", "body", "{}", "bodySha256", digest);
    assert_int_equal(replay_allowed(unknown, &err), -1);
    err_clear(&err);
    json_auto_t *masked = json_pack("{s:s, s:s, s:s}", "type", "token.release", "body", "{ }", "bodySha256", digest);
    assert_int_equal(replay_allowed(masked, &err), -1);
    assert_non_null(strstr(err.text, "masked"));
    err_clear(&err);
    json_auto_t *binary = json_pack("{s:s, s:s, s:s, s:s}", "type", "token.release", "body", "{}", "bodyEncoding",
                                    "base64", "bodySha256", digest);
    assert_int_equal(replay_allowed(binary, &err), -1);
}

/* Two operators who count the same say the same; two words of one number want one slot, so only one of them stands. */
static void test_word_command(void **state)
{
    (void)state;
    struct uuid letter = cause_of("a"), payment = cause_of("b");
    char slot[SLOT_SIZE], other[SLOT_SIZE];
    struct uuid one = word_command("deadletter.replay", letter, payment, 1, slot),
                same = word_command("deadletter.replay", letter, payment, 1, other);
    assert_true(uuid_equal(one, same));
    assert_string_equal(slot, other);
    assert_int_equal(slot_parse(slot).kind, SLOT_REPLAY);
    struct uuid discard = word_command("deadletter.discard", letter, payment, 1, other);
    assert_string_equal(slot, other);
    assert_false(uuid_equal(one, discard));
    assert_true(uuid_equal(discard, uuid_follow_up(payment, "deadletter.discard", slot)));
    assert_false(uuid_equal(one, word_command("deadletter.replay", letter, payment, 2, other)));
    assert_true(uuid_equal(word_command("deadletter.replay", letter, (struct uuid){0}, 1, other),
                           uuid_follow_up(letter, "deadletter.replay", slot)));
}

/* -- discards */

/* A dead letter with these words on it, each "<n><outcome's first letter>", e.g. "1r 2d". */
static json_t *letter_with(const char *words)
{
    char slot[SLOT_SIZE];
    json_t *facts = json_pack("[{s:s, s:s}]", "slot", "dead:" COMMAND_A ":1", "outcome", "token.release");
    for (const char *at = words; *at; at += strcspn(at, " "), at += *at == ' ') {
        int n = atoi(at);
        snprintf(slot, sizeof slot, "replay:" COMMAND_B ":%d", n);
        json_array_append_new(facts, json_pack("{s:s, s:s, s:s, s:s, s:{s:s}}", "slot", slot, "outcome",
                                               at[strspn(at, "0123456789")] == 'r' ? "replayed" : "discarded", "actor",
                                               "night-shift", "at", "2026-01-02T03:04:05.678Z", "body", "reason",
                                               "the shop is closed"));
    }
    return json_pack("{s:s, s:o}", "type", "token.release", "facts", facts);
}

static void test_the_last_word_says_whether_it_may_be_discarded(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        int last;
        bool allowed;
    } rows[] = {
        {"", 0, true},       {"1r", 1, true},     {"1d", 1, false},      {"1d 2r", 2, true},
        {"1r 2d", 2, false}, {"2d 1r", 2, false}, {"9r 10d", 10, false}, {"10r 9d", 10, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        json_auto_t *letter = letter_with(rows[i].words);
        const json_t *last = letter_last_word(letter);
        if (slot_parse(json_text(last, "slot", "")).n != rows[i].last ||
            (discard_allowed(letter, &err) == 0) != rows[i].allowed)
            fail_msg("words '%s'", rows[i].words);
        if (!rows[i].allowed)
            assert_string_equal(err.text, "it is discarded already, by night-shift at 2026-01-02T03:04:05.678Z: "
                                          "the shop is closed");
    }
}

/* A reason as long as may be leaves room for who and when, and is never cut within a character. */
static void test_a_long_reason_is_cut(void **state)
{
    (void)state;
    struct err err = {0};
    char reason[501];
    for (size_t i = 0; i < 500; i += 2)
        memcpy(reason + i, "\xc3\xa4", 3);
    json_auto_t *letter = letter_with("1d");
    json_object_set_new(json_object_get(json_array_get(json_object_get(letter, "facts"), 1), "body"), "reason",
                        json_string(reason));
    assert_int_equal(discard_allowed(letter, &err), -1);
    json_auto_t *text = json_string(err.text);
    assert_non_null(text);
    assert_non_null(strstr(err.text, "night-shift at 2026-01-02T03:04:05.678Z: \xc3\xa4\xc3\xa4"));
}

#define ITS "its payment tx_11111111111181118111111111111111 "
#define LEFT_UNDONE "something is left for this command to do, and nobody else will do it"

/* Whose payment stands still hears that nothing else moves it. */
static void test_what_a_discard_leaves_undone(void **state)
{
    (void)state;
    static const struct {
        struct outlook outlook;
        const char *text;
    } rows[] = {
        {{.effect = REPLAY_BEGINS, .known = true, .begun = true, .state = PUBLIC_PROCESSING},
         ITS "is still processing: " LEFT_UNDONE},
        {{.effect = REPLAY_BEGINS, .known = true, .begun = true, .state = PUBLIC_AUTHORIZED},
         ITS "is still authorized: " LEFT_UNDONE},
        {{.effect = REPLAY_BEGINS, .known = true, .begun = true, .ended = true, .state = PUBLIC_COMPLETED},
         ITS "is completed: " LEFT_UNDONE},
        {{.effect = REPLAY_BEGINS, .known = true}, ITS "has not begun: " LEFT_UNDONE},
        {{.effect = REPLAY_NOTHING, .known = true, .begun = true, .state = PUBLIC_PROCESSING},
         ITS "is still processing, but this command has nothing left to do there"},
        {{.effect = REPLAY_NOTHING, .known = true, .begun = true, .ended = true, .state = PUBLIC_FAILED},
         "nothing left to do"},
        {{.effect = REPLAY_WAITS, .known = true}, "its payment is not there"},
        {{.effect = REPLAY_VAIN, .known = true, .begun = true, .state = PUBLIC_PROCESSING},
         "nothing a replay could mend: publish a corrected message"}, /* the payment is perhaps another's */
        {{.effect = REPLAY_BEGINS, .replayable = true}, LEFT_UNDONE},
        {{.effect = REPLAY_BEGINS}, "it could not be sent again anyway"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[OUTLOOK_TEXT_SIZE];
        struct outlook outlook = rows[i].outlook;
        assert_int_equal(uuid_parse("11111111-1111-8111-8111-111111111111", &outlook.payment), 0);
        discard_effect_text(&outlook, text);
        assert_string_equal(text, rows[i].text);
    }
}

/* -- balances of accounts that stand otherwise than the chart says, and of what is in doubt */

static void test_balance_notes(void **state)
{
    (void)state;
    static const struct {
        const char *account;
        int balance;
        const char *note;
    } cases[] = {{"receivable:p", 5, ""},
                 {"receivable:p", -5, "is owed by us"},
                 {"payable:m", -5, ""},
                 {"payable:m", 5, "owes us"},
                 {"commission", 0, ""},
                 {"commission", 1, "owes us"},
                 {"in_doubt:p", 0, ""},
                 {"in_doubt:p", 1, "has a balance, and should have none"},
                 {"refunds:p", 0, "not in the chart of accounts"},
                 {"cash", 0, "not in the chart of accounts"}};
    json_auto_t *rows = json_array();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        json_array_append_new(rows, json_pack("{s:s, s:i}", "account", cases[i].account, "balance", cases[i].balance));
    balance_add_notes(rows);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(balance_note(json_array_get(rows, i)), cases[i].note);
        assert_string_equal(json_text(json_array_get(rows, i), "note", ""), cases[i].note);
    }
}

static void test_balance_in_doubt(void **state)
{
    (void)state;
    struct fact answer = {.slot = "capture"};
    struct facts answered = {.items = &answer, .count = 1};
    json_auto_t *transfers = json_array();
    json_array_append_new(transfers, transfer("capture:doubt:0", "in_doubt", NULL, "in_doubt:p", "receivable:p", 700));
    json_auto_t *open = balance_of(transfers, &NO_FACTS, NULL);
    assert_int_equal(json_int(row_of(open, "in_doubt:p"), "pendingDebits", -1), 700);
    assert_int_equal(json_int(row_of(open, "receivable:p"), "pendingCredits", -1), 700);
    json_auto_t *known = balance_of(transfers, &answered, NULL);
    assert_null(row_of(known, "in_doubt:p")); /* nothing is left of it */
}

static void test_balance_that_overflows(void **state)
{
    (void)state;
    struct err err = {0};
    json_auto_t *transfers = json_array();
    for (int i = 0; i < 2; i++) {
        json_t *one = transfer("capture", "transfer", NULL, "payable:m", "commission", 1);
        json_object_set_new(one, "amount", json_integer(INT64_MAX));
        json_array_append_new(transfers, one);
    }
    assert_null(balance_of(transfers, &NO_FACTS, &err));
    assert_int_equal(err.code, ERR_LIMIT);
}

/* -- transit */

static void test_ages(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{-1, "-"},
                 {0, "0 ms"},
                 {999, "999 ms"},
                 {1000, "1 s"},
                 {59999, "59 s"},
                 {60000, "1 min 0 s"},
                 {3599999, "59 min 59 s"},
                 {3600000, "1 h 0 min"},
                 {86399999, "23 h 59 min"},
                 {90000000, "1 d 1 h"},
                 {INT64_MAX, "106751991167 d 7 h"}};
    char text[AGE_TEXT_MAX];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(age_text(cases[i].ms, text), cases[i].text);
}

static int64_t limit_of(const void *arg, const char *setting)
{
    (void)arg;
    return strcmp(setting, "transit.in_doubt_ms") == 0 ? 1000 : 5000;
}

static json_t *transit_row(const char *account, int age_ms)
{
    json_t *row = json_pack("{s:s, s:s, s:i, s:i}", "account", account, "currency", "EUR", "amount",
                            age_ms < 0 ? 0 : 1250, "items", age_ms < 0 ? 0 : 2);
    if (age_ms < 0)
        return row;
    json_object_set_new(row, "oldest",
                        json_pack("{s:s, s:s, s:s, s:i}", "paymentId", "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f", "slot",
                                  "auth:1", "at", "2026-11-20T10:00:00.000Z", "ageMs", age_ms));
    if (age_ms % 2)
        json_object_set_new(row, "notZeroFrom", json_string("2026-11-20T09:00:00.000Z"));
    else
        json_object_set_new(row, "since", json_string("2026-11-20T10:00:00.000Z"));
    return row;
}

static void test_transit(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    json_auto_t *rows = json_array();
    json_array_append_new(rows, transit_row("in_doubt:p", 1000));
    json_array_append_new(rows, transit_row("in_doubt:q", 1001));
    json_array_append_new(rows, transit_row("receivable:p", 5000));
    json_array_append_new(rows, transit_row("payable:m", -1));
    assert_int_equal(transit_judge(rows, limit_of, NULL), 1);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        assert_true(json_is_true(json_object_get(json_array_get(rows, i), "over")) == (i == 1));
        assert_int_equal(json_int(json_array_get(rows, i), "limitMs", 0), i < 2 ? 1000 : 5000);
    }
    FILE *out = open_memstream(&text, &size);
    transit_print(rows, out);
    fclose(out);
    assert_string_equal(text, "STATE  ACCOUNT          AMOUNT  ITEMS  OLDEST  LIMIT  NOT AT ZERO SINCE                "
                              "OLDEST PAYMENT                       "
                              "SLOT\n"
                              "ok     in_doubt:p    12.50 EUR      2     1 s    1 s  2026-11-20T10:00:00.000Z         "
                              "tx_8f14e45fceea867d8a1f1a2b3c4d5e6f  "
                              "auth:1\n"
                              "over   in_doubt:q    12.50 EUR      2     1 s    1 s  before 2026-11-20T09:00:00.000Z  "
                              "tx_8f14e45fceea867d8a1f1a2b3c4d5e6f  "
                              "auth:1\n"
                              "ok     receivable:p  12.50 EUR      2     5 s    5 s  2026-11-20T10:00:00.000Z         "
                              "tx_8f14e45fceea867d8a1f1a2b3c4d5e6f  "
                              "auth:1\n"
                              "ok     payable:m      0.00 EUR      0            5 s\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_books_that_do_not_balance),
        cmocka_unit_test(test_balance_notes),
        cmocka_unit_test(test_balance_in_doubt),
        cmocka_unit_test(test_balance_that_overflows),
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_transit),
        cmocka_unit_test(test_replay_effects),
        cmocka_unit_test(test_what_a_replay_cannot_mend),
        cmocka_unit_test(test_which_payment_a_letter_is_about),
        cmocka_unit_test(test_what_cannot_be_replayed),
        cmocka_unit_test(test_word_command),
        cmocka_unit_test(test_the_last_word_says_whether_it_may_be_discarded),
        cmocka_unit_test(test_a_long_reason_is_cut),
        cmocka_unit_test(test_what_a_discard_leaves_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
