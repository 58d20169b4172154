/* test_book.c - ledger/book: every transfer of the table, and refunds that always come out exact (L8) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/money.h"
#include "ledger/book.h"

#ifdef __SANITIZE_ADDRESS__
enum { SEQUENCES = 100000 }; /* slower, and looking for other mistakes */
#else
enum { SEQUENCES = 1000000 };
#endif
enum { REFUNDS_OF_ONE = 12, LONG_NAME = 200 };

static const struct uuid ID = {{0xac, 0x90, 0x17, 3, 2, 3, 0x84, 4, 0x85, 5, 6, 7, 8, 9, 10, 11}};

/* A payment in pieces: facts that live beside it. */
struct bench {
    struct fact received, intent, result, late, capture;
    struct fact refund_intents[REFUNDS_OF_ONE + 1], refund_results[REFUNDS_OF_ONE + 1];
    struct refund refunds[REFUNDS_OF_ONE + 1];
    bool refusal_seen[REFUNDS_OF_ONE + 1]; /* by a planner; later ones see it too: they see that planner's intent */
    struct payment p;
};

static void stand(struct fact *fact, const char *slot, const char *outcome, json_t *body)
{
    *fact = (struct fact){.body = body};
    snprintf(fact->slot, sizeof fact->slot, "%s", slot);
    snprintf(fact->outcome, sizeof fact->outcome, "%s", outcome);
}

/* Received, and auth:1 begun at "stripe". */
static void bench_start(struct bench *b, int64_t amount, int64_t ppm)
{
    *b = (struct bench){0};
    stand(&b->received, "received", "accepted", json_pack("{s:s, s:I}", "merchant", "shop", "commissionPpm", ppm));
    stand(&b->intent, "auth:1", "intent", json_pack("{s:s}", "provider", "stripe"));
    b->p = (struct payment){.id = ID,
                            .amount = amount,
                            .currency = "EUR",
                            .received = &b->received,
                            .authorization_count = 1,
                            .refunds = b->refunds};
    b->p.authorizations[1].intent = &b->intent;
}

static void bench_approve(struct bench *b)
{
    stand(&b->result, "auth:1:result", "approved", NULL);
    b->p.authorizations[1].result = &b->result;
    b->p.authorizations[1].approved = true;
}

static void bench_capture(struct bench *b, int64_t captured)
{
    bench_approve(b);
    stand(&b->capture, "capture", "captured", json_pack("{s:I}", "amount", captured));
    b->p.commit = 1;
    b->p.capture = &b->capture;
    b->p.captured = true;
    b->p.captured_amount = captured;
}

static void bench_accept(struct bench *b, int64_t amount, int64_t commission)
{
    char slot[SLOT_SIZE];
    int n = ++b->p.refund_count;
    snprintf(slot, sizeof slot, "refund:%d", n);
    stand(&b->refund_intents[n], slot, "accepted", json_pack("{s:I, s:I}", "amount", amount, "commission", commission));
    b->refunds[n] = (struct refund){.intent = &b->refund_intents[n], .amount = amount, .accepted = true};
}

static void bench_settle(struct bench *b, int n, const char *outcome)
{
    char slot[SLOT_SIZE];
    snprintf(slot, sizeof slot, "refund:%d:result", n);
    stand(&b->refund_results[n], slot, outcome, NULL);
    b->refunds[n].result = &b->refund_results[n];
}

static void bench_end(struct bench *b)
{
    json_decref(b->received.body);
    json_decref(b->intent.body);
    json_decref(b->capture.body);
    for (int n = 1; n <= b->p.refund_count; n++)
        json_decref(b->refund_intents[n].body);
}

static void assert_transfer(const struct new_transfer *t, int leg, const char *slot, const char *kind,
                            const char *pending_of, const char *debit, const char *credit, int64_t amount)
{
    assert_true(uuid_equal(t->payment_id, ID));
    assert_int_equal(t->leg, leg);
    assert_string_equal(t->slot, slot);
    assert_string_equal(t->kind, kind);
    assert_string_equal(t->pending_of, pending_of);
    assert_string_equal(t->debit, debit);
    assert_string_equal(t->credit, credit);
    assert_true(t->amount == amount);
    assert_string_equal(t->currency, "EUR");
}

static void test_hold(void **state)
{
    (void)state;
    struct bench b;
    struct err err = {0};
    struct new_transfer t[BOOK_LEGS_MAX];
    bench_start(&b, 2500, 29000);
    assert_int_equal(book_hold(&b.p, 1, "stripe", "auth:1:result", t, &err), 1);
    assert_transfer(t, 1, "auth:1:result", "hold", "", "receivable:stripe", "payable:shop", 2500);
    assert_int_equal(book_hold(&b.p, 2, "other", "auth:2:late", t, &err), 1);
    assert_transfer(t, 1, "auth:2:late", "hold", "", "receivable:other", "payable:shop", 2500);
    assert_int_equal(book_hold(&b.p, 2, "other", "auth:1:result", t, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
    bench_end(&b);
}

static void test_capture_takes_the_commission(void **state)
{
    (void)state;
    struct bench b;
    struct err err = {0};
    struct new_transfer t[BOOK_LEGS_MAX];
    bench_start(&b, 2500, 29000);
    assert_int_equal(book_capture(&b.p, 1, 2500, t, &err), -1); /* nothing is held */
    err_clear(&err);
    bench_approve(&b);
    assert_int_equal(book_capture(&b.p, 1, 2000, t, &err), 2);
    assert_transfer(&t[0], 1, "capture", "post", "auth:1:result", "receivable:stripe", "payable:shop", 2000);
    assert_transfer(&t[1], 2, "capture", "transfer", "", "payable:shop", "commission", 58);
    assert_int_equal(book_capture(&b.p, 1, 2501, t, &err), -1);
    err_clear(&err);
    assert_int_equal(book_capture(&b.p, 1, 0, t, &err), -1);
    err_clear(&err);
    assert_int_equal(book_capture(&b.p, 1, 34, t, &err), 1); /* 0.986 of a cent is none */
    bench_end(&b);
}

static void test_void_resolves_the_hold_that_was_booked(void **state)
{
    (void)state;
    struct bench b;
    struct err err = {0};
    struct new_transfer t[BOOK_LEGS_MAX];
    bench_start(&b, 2500, 0);
    assert_int_equal(book_void(&b.p, 1, t, &err), 0);
    bench_approve(&b);
    assert_int_equal(book_void(&b.p, 1, t, &err), 1);
    assert_transfer(t, 1, "void:1", "void", "auth:1:result", "receivable:stripe", "payable:shop", 2500);
    stand(&b.result, "auth:1:result", "absent", NULL);
    stand(&b.late, "auth:1:late", "approved", NULL);
    b.p.authorizations[1].approved = false;
    b.p.authorizations[1].late = &b.late;
    assert_int_equal(book_void(&b.p, 1, t, &err), 1);
    assert_transfer(t, 1, "void:1", "void", "auth:1:late", "receivable:stripe", "payable:shop", 2500);
    bench_end(&b);
}

static void test_refund(void **state)
{
    (void)state;
    struct bench b;
    struct err err = {0};
    struct new_transfer t[BOOK_LEGS_MAX];
    struct refund_share share;
    bench_start(&b, 1000, 25000);
    assert_int_equal(book_refund_share(&b.p, 1, &share, &err), -1);
    assert_int_equal(err.code, ERR_INVALID); /* nothing is captured */
    err_clear(&err);
    bench_capture(&b, 1000);
    assert_int_equal(book_refund_share(&b.p, 333, &share, &err), 0);
    assert_true(share.total == 333 && share.commission == 8); /* 25 * 333 / 1000 = 8.3 */
    bench_accept(&b, 333, share.commission);
    assert_int_equal(book_refund(&b.p, 1, t, &err), 2);
    assert_transfer(&t[0], 1, "refund:1:result", "transfer", "", "payable:shop", "receivable:stripe", 333);
    assert_transfer(&t[1], 2, "refund:1:result", "transfer", "", "commission", "payable:shop", 8);
    assert_int_equal(book_refund_share(&b.p, 667, &share, &err), 0);
    assert_true(share.total == 1000 && share.commission == 17);
    assert_int_equal(book_refund_share(&b.p, 668, &share, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    err_clear(&err);
    assert_int_equal(book_refund_share(&b.p, INT64_MAX, &share, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    err_clear(&err);
    assert_int_equal(book_refund_share(&b.p, 0, &share, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    err_clear(&err);
    assert_int_equal(book_refund(&b.p, 2, t, &err), -1); /* there is no such refund */
    bench_end(&b);
}

static void test_refund_needs_its_intent_whole(void **state)
{
    (void)state;
    struct bench b;
    struct err err = {0};
    struct new_transfer t[BOOK_LEGS_MAX];
    bench_start(&b, 1000, 25000);
    bench_capture(&b, 1000);
    bench_accept(&b, 10, 0);
    json_object_del(b.refund_intents[1].body, "commission");
    assert_int_equal(book_refund(&b.p, 1, t, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
    bench_end(&b);
}

/* Facts come from a ledger that somebody may have changed: no sum of ours may overflow over them. */
static void test_facts_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct bench b;
    struct err err = {0};
    struct new_transfer t[BOOK_LEGS_MAX];
    struct refund_share share;
    bench_start(&b, 1000, 1000001);
    bench_capture(&b, 1000);
    assert_int_equal(book_capture(&b.p, 1, 1000, t, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
    err_clear(&err);
    assert_int_equal(book_refund_share(&b.p, 1, &share, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
    bench_end(&b);
    err_clear(&err);
    bench_start(&b, 1000, 25000);
    bench_capture(&b, 1000);
    bench_accept(&b, 10, INT64_MIN);
    assert_int_equal(book_refund_share(&b.p, 1, &share, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
    bench_end(&b);
    err_clear(&err);
    bench_start(&b, INT64_MAX, 1000000);
    bench_capture(&b, INT64_MAX);
    bench_accept(&b, 10, INT64_MAX);
    bench_accept(&b, 10, INT64_MAX);
    assert_int_equal(book_refund_share(&b.p, 1, &share, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    bench_end(&b);
}

static void test_what_ends_a_doubt(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"auth:1:doubt:0", "auth:1:result"},
                                           {"refund:12:doubt:3", "refund:12:result"},
                                           {"capture:doubt:1", "capture"},
                                           {"void:2:doubt:0", "void:2"},
                                           {"auth:1:result", ""},
                                           {"", ""}};
    char slot[SLOT_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(book_doubt_answer(cases[i][0], slot), cases[i][1]);
}

static void test_names_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct bench b;
    struct err err = {0};
    struct new_transfer t[BOOK_LEGS_MAX];
    char name[LONG_NAME + 1];
    memset(name, 'x', LONG_NAME);
    name[LONG_NAME] = '\0';
    bench_start(&b, 10, 0);
    assert_int_equal(book_hold(&b.p, 1, name, "auth:1:result", t, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    err_clear(&err);
    assert_int_equal(book_hold(&b.p, 1, "", "auth:1:result", t, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
    err_clear(&err);
    json_object_del(b.received.body, "merchant");
    assert_int_equal(book_hold(&b.p, 1, "stripe", "auth:1:result", t, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
    bench_end(&b);
}

/* --- a million random lives of a captured payment --- */

static uint64_t seed;

static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13; /* xorshift64 */
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

/* Debit less credit, of the three accounts. */
struct balances {
    int64_t receivable, payable, commission;
};

static int64_t *balance_of(struct balances *balances, const char *account)
{
    if (strcmp(account, "receivable:stripe") == 0)
        return &balances->receivable;
    if (strcmp(account, "payable:shop") == 0)
        return &balances->payable;
    assert_string_equal(account, "commission");
    return &balances->commission;
}

static void post(struct balances *balances, const struct new_transfer *t, int count, const char *currency)
{
    assert_in_range(count, 1, BOOK_LEGS_MAX);
    for (int i = 0; i < count; i++) {
        assert_true(t[i].amount > 0);
        assert_memory_equal(t[i].currency, currency, CURRENCY_SIZE);
        *balance_of(balances, t[i].debit) += t[i].amount;
        *balance_of(balances, t[i].credit) -= t[i].amount;
    }
}

/* A payment that lives a million times: its facts are made once, and say something else each time. */
static void lives_open(struct bench *b)
{
    bench_start(b, 1, 0);
    bench_capture(b, 1);
    for (int n = 1; n <= REFUNDS_OF_ONE; n++) {
        bench_accept(b, 1, 0);
        bench_settle(b, n, "refunded");
    }
}

static void lives_close(struct bench *b)
{
    b->p.refund_count = REFUNDS_OF_ONE;
    bench_end(b);
}

static void set_integer(const struct fact *fact, const char *member, int64_t value)
{
    json_integer_set(json_object_get(fact->body, member), value);
}

static void life_begin(struct bench *b, const char *currency, int64_t captured, int64_t ppm)
{
    set_integer(&b->received, "commissionPpm", ppm);
    set_integer(&b->capture, "amount", captured);
    memcpy(b->p.currency, currency, CURRENCY_SIZE);
    b->p.amount = b->p.captured_amount = captured;
    b->p.refund_count = 0;
    memset(b->refusal_seen, 0, sizeof b->refusal_seen);
}

/* Plans a refund of what may be left, as one who has perhaps not yet seen which refunds the provider refused. */
static void life_accept(struct bench *b, int64_t captured)
{
    struct err err = {0};
    struct refund_share share;
    struct refund seen[REFUNDS_OF_ONE + 1];
    int64_t left = captured;
    memcpy(seen, b->refunds, sizeof seen);
    for (int n = 1; n <= b->p.refund_count; n++) {
        bool refused = seen[n].result && strcmp(seen[n].result->outcome, "refused") == 0;
        b->refusal_seen[n] |= refused && chance(4) != 0;
        if (refused && !b->refusal_seen[n])
            seen[n].result = NULL;
        left -= refused && seen[n].result ? 0 : seen[n].amount;
    }
    if (left == 0)
        return;
    int64_t amount = chance(3) == 0 ? left : 1 + (int64_t)chance((uint64_t)left);
    b->p.refunds = seen;
    assert_int_equal(book_refund_share(&b->p, amount, &share, &err), 0);
    b->p.refunds = b->refunds;
    assert_true(share.commission >= 0 && share.total <= captured);
    int n = ++b->p.refund_count;
    set_integer(&b->refund_intents[n], "amount", amount);
    set_integer(&b->refund_intents[n], "commission", share.commission);
    b->refunds[n] = (struct refund){.intent = &b->refund_intents[n], .amount = amount, .accepted = true};
}

static void shuffle(int *numbers, int count)
{
    for (int i = count; i > 1; i--) {
        int other = (int)chance((uint64_t)i), last = numbers[i - 1];
        numbers[i - 1] = numbers[other];
        numbers[other] = last;
    }
}

/* What the provider has refunded so far. */
struct outcome {
    int64_t refunded;
    bool refused; /* any of them */
};

/* Settles about half of the refunds that are under way, or all, in any order. */
static void life_settle(struct bench *b, struct balances *balances, struct outcome *so_far, bool all)
{
    struct err err = {0};
    struct new_transfer t[BOOK_LEGS_MAX];
    int open[REFUNDS_OF_ONE], count = 0;
    for (int n = 1; n <= b->p.refund_count; n++)
        if (!b->refunds[n].result && (all || chance(2) != 0))
            open[count++] = n;
    shuffle(open, count);
    for (int i = 0; i < count; i++) {
        int n = open[i];
        bool done = chance(all ? 20 : 4) != 0;
        if (done) {
            post(balances, t, book_refund(&b->p, n, t, &err), b->p.currency);
            so_far->refunded += b->refunds[n].amount;
        }
        so_far->refused |= !done;
        strcpy(b->refund_results[n].outcome, done ? "refunded" : "refused");
        b->refunds[n].result = &b->refund_results[n];
    }
}

static void life_check(const struct balances *balances, int64_t captured, int64_t refunded)
{
    assert_true(balances->receivable + balances->payable + balances->commission == 0);
    assert_true(balances->receivable == captured - refunded);
    assert_true(balances->commission <= 0 && balances->payable <= 0); /* nobody gets back more than there was */
    if (refunded == captured)
        assert_true(balances->receivable == 0 && balances->payable == 0 && balances->commission == 0);
}

/* With every refund done the commission is in proportion to what is left, to the last unit, whatever the order. */
static void check_proportion(const struct balances *balances, int64_t captured, int64_t commission, int64_t refunded)
{
    int64_t back = (int64_t)((__int128)commission * refunded / captured);
    assert_true(-balances->commission == commission - back);
}

static int64_t random_amount(void)
{
    static const uint64_t LARGEST[] = {3, 10, 100, 10000, 100000000, INT64_MAX};
    return 1 + (int64_t)chance(LARGEST[chance(sizeof LARGEST / sizeof *LARGEST)]);
}

/* True when it ended refunded in full. */
static bool live_once(struct bench *b)
{
    static const int64_t PPM[] = {0, 1, 14500, 29000, 333333, 999999, 1000000};
    static const char CURRENCIES[][CURRENCY_SIZE] = {"JPY", "XOF", "EUR", "MAD", "TND", "KWD", "CLF"};
    struct err err = {0};
    struct balances balances = {0};
    struct new_transfer t[BOOK_LEGS_MAX];
    struct outcome so_far = {0};
    int64_t captured = random_amount();
    life_begin(b, CURRENCIES[chance(sizeof CURRENCIES / sizeof *CURRENCIES)], captured,
               PPM[chance(sizeof PPM / sizeof *PPM)]);
    post(&balances, t, book_capture(&b->p, 1, captured, t, &err), b->p.currency);
    int64_t commission = -balances.commission;
    while (b->p.refund_count < REFUNDS_OF_ONE && so_far.refunded < captured && chance(20) != 0) {
        if (chance(2) == 0)
            life_accept(b, captured);
        else
            life_settle(b, &balances, &so_far, false);
        life_check(&balances, captured, so_far.refunded);
    }
    life_settle(b, &balances, &so_far, true);
    life_check(&balances, captured, so_far.refunded);
    if (!so_far.refused)
        check_proportion(&balances, captured, commission, so_far.refunded);
    return so_far.refunded == captured;
}

static void test_a_million_lives(void **state)
{
    (void)state;
    struct bench b;
    int whole = 0;
    seed = 20261120;
    lives_open(&b);
    for (int i = 0; i < SEQUENCES; i++)
        whole += live_once(&b);
    lives_close(&b);
    assert_in_range(whole, SEQUENCES / 10, SEQUENCES); /* or the test would not have tested it */
}

/* What each kind of intent puts at stake; the books move nothing by it. */
static void test_doubt(void **state)
{
    (void)state;
    static const struct {
        const char *intent;
        int64_t amount; /* 0: nothing can be at stake */
    } cases[] = {{"auth:1", 1000}, {"capture", 1000}, {"void:1", 1000},   {"refund:1", 300},    {"refund:2", 0},
                 {"auth:2", 0},    {"void:2", 0},     {"decision", 0},    {"auth:1:result", 0}, {"pop", 0},
                 {"nonsense", 0},  {"", 0},           {"token:active", 0}};
    struct bench b;
    bench_start(&b, 1000, 25000);
    bench_capture(&b, 1000);
    bench_accept(&b, 300, 7);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct new_transfer legs[BOOK_LEGS_MAX];
        struct err err = {0};
        char slot[SLOT_SIZE];
        int count = book_doubt(&b.p, cases[i].intent, 0, legs, &err);
        if (count != (cases[i].amount ? 1 : -1))
            fail_msg("%s: %d %s", cases[i].intent, count, err.text);
        if (count < 0) {
            assert_int_equal(err.code, ERR_INTERNAL);
            continue;
        }
        snprintf(slot, sizeof slot, "%s:doubt:0", cases[i].intent);
        assert_string_equal(legs[0].slot, slot);
        assert_string_equal(legs[0].kind, "in_doubt");
        assert_string_equal(legs[0].debit, "in_doubt:stripe");
        assert_string_equal(legs[0].credit, "receivable:stripe");
        assert_string_equal(legs[0].pending_of, "");
        assert_string_equal(legs[0].currency, "EUR");
        assert_int_equal(legs[0].amount, cases[i].amount);
    }
    bench_end(&b);
    bench_start(&b, 1000, 0); /* nothing committed: no capture can be in doubt */
    struct new_transfer legs[BOOK_LEGS_MAX];
    struct err err = {0};
    assert_int_equal(book_doubt(&b.p, "capture", 0, legs, &err), -1);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_capture_takes_the_commission),
        cmocka_unit_test(test_void_resolves_the_hold_that_was_booked),
        cmocka_unit_test(test_refund),
        cmocka_unit_test(test_refund_needs_its_intent_whole),
        cmocka_unit_test(test_facts_that_cannot_be_are_refused),
        cmocka_unit_test(test_what_ends_a_doubt),
        cmocka_unit_test(test_doubt),
        cmocka_unit_test(test_names_that_do_not_fit_are_refused),
        cmocka_unit_test(test_a_million_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
