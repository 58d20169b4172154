/* test_archive_file.c - the lines of an archive: what is written is what is read, and nothing else is taken */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/archive_file.h"

static const char payment[] = "8f14e45f-ceea-867d-8a1f-1a2b3c4d5e6f";
static const struct archive_range quarter = {"2023q3", "2023-07-01", "2023-10-01"};

static json_t *fact(const char *slot, uint64_t position)
{
    const char *values[FACT_COLUMN_COUNT] = {payment, slot, "accepted",  payment, NULL, "2023-08-09T10:00:00.000001Z",
                                             "7",     "9",  "{\"a\": 1}"};
    json_auto_t *transfers = json_pack("[[s, s, n, s, s, s, s, s, s, s]]", "1", "hold", "receivable:stripe",
                                       "payable:shop", "500", "EUR", "2023-08-09T10:00:00.000001Z", "7", "3");
    return archive_fact_json(values, transfers, position);
}

static json_t *line(void)
{
    return json_pack("{s:s, s:s, s:[o, o]}", "payment", payment, "began", "2023-08-09", "facts", fact("received", 4),
                     fact("capture", 11));
}

static void test_head(void **state)
{
    (void)state;
    struct err err = {0};
    struct archive_range read;
    const struct archive_range first = {"first", "", "2027-01-01"};
    for (int i = 0; i < 2; i++) {
        const struct archive_range *range = i ? &first : &quarter;
        json_auto_t *head = archive_head(range);
        assert_int_equal(archive_read_head(head, &read, &err), 0);
        assert_memory_equal(&read, range, sizeof read);
    }
    static const struct {
        const char *member, *value;
    } wrong[] = {{"format", "acquit-receipt"}, {"name", "2023q5"},    {"name", "2023q3; drop"}, {"name", "x"},
                 {"to", "2023-10-1"},          {"to", "'2023-10-01"}, {"from", "yesterday-1"},  {"fact", "payment_id"},
                 {"transfer", "leg"},          {"version", "1"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_auto_t *head = archive_head(&quarter);
        json_object_set_new(head, wrong[i].member, json_string(wrong[i].value));
        assert_int_equal(archive_read_head(head, &read, &(struct err){0}), -1);
        json_object_del(head, wrong[i].member);
        assert_int_equal(archive_read_head(head, &read, &(struct err){0}), -1);
    }
    json_auto_t *none = json_array();
    assert_int_equal(archive_read_head(none, &read, &(struct err){0}), -1);
}

static void test_payment(void **state)
{
    (void)state;
    struct err err = {0};
    struct archive_fact *facts;
    const char *began;
    json_auto_t *good = line();
    assert_int_equal(archive_read_payment(good, &quarter, &began, &facts, &err), 2);
    assert_string_equal(began, "2023-08-09");
    assert_string_equal(facts[1].values[1], "capture");
    assert_null(facts[1].values[4]);
    assert_int_equal(facts[1].position, 11);
    assert_int_equal(json_array_size(facts[0].transfers), 1);
    struct hash leaf;
    assert_int_equal(leaf_of(facts[0].values, facts[0].transfers, &leaf, &err), 0);
    assert_true(hash_equal(&leaf, &facts[0].leaf));
    assert_false(hash_equal(&facts[0].leaf, &facts[1].leaf));
    free(facts);
}

typedef void change(json_t *line);
static json_t *first_fact(json_t *line)
{
    return json_array_get(json_object_get(line, "facts"), 0);
}
static void other_payment(json_t *line)
{
    json_object_set_new(line, "payment", json_string("8f14e45f-ceea-867d-8a1f-1a2b3c4d5e60"));
}
static void no_payment(json_t *line)
{
    json_object_set_new(line, "payment", json_string("shop"));
}
static void day_before(json_t *line)
{
    json_object_set_new(line, "began", json_string("2023-06-30"));
}
static void day_behind(json_t *line)
{
    json_object_set_new(line, "began", json_string("2023-10-01"));
}
static void no_facts(json_t *line)
{
    json_array_clear(json_object_get(line, "facts"));
}
static void out_of_order(json_t *line)
{
    json_object_set_new(first_fact(line), "position", json_integer(11));
}
static void below_zero(json_t *line)
{
    json_object_set_new(first_fact(line), "position", json_integer(-1));
}
static void number_for_text(json_t *line)
{
    json_array_set_new(json_object_get(first_fact(line), "fact"), 6, json_integer(7));
}
static void column_too_many(json_t *line)
{
    json_array_append_new(json_object_get(first_fact(line), "fact"), json_null());
}
static void transfer_too_short(json_t *line)
{
    json_array_remove(json_array_get(json_object_get(first_fact(line), "transfers"), 0), 0);
}
static void transfers_are_none(json_t *line)
{
    json_object_set_new(first_fact(line), "transfers", json_string("none"));
}

static void test_payment_refused(void **state)
{
    (void)state;
    static change *const changes[] = {other_payment,   no_payment,         day_before,        day_behind,
                                      no_facts,        out_of_order,       below_zero,        number_for_text,
                                      column_too_many, transfer_too_short, transfers_are_none};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct archive_fact *facts;
        const char *began;
        struct err err = {0};
        json_auto_t *bad = line();
        changes[i](bad);
        assert_int_equal(archive_read_payment(bad, &quarter, &began, &facts, &err), -1);
        assert_int_not_equal(err.code, ERR_NONE);
        assert_null(facts);
    }
}

/* The sums know each position and each leaf, and their order. */
static void test_sums(void **state)
{
    (void)state;
    char seen[4][SHA256_HEX_SIZE];
    static const uint64_t positions[4][2] = {{4, 11}, {4, 12}, {11, 4}, {4, 11}};
    for (size_t i = 0; i < 4; i++) {
        struct archive_fact *facts;
        const char *began;
        struct archive_counts counts, read;
        json_auto_t *good = line();
        assert_int_equal(archive_read_payment(good, &quarter, &began, &facts, &(struct err){0}), 2);
        facts[0].position = positions[i][0];
        facts[1].position = positions[i][1];
        if (i == 3)
            facts[0].leaf.bytes[0] ^= 1;
        struct archive_sums *sums = archive_sums_new();
        archive_sums_fact(sums, &facts[0]);
        archive_sums_fact(sums, &facts[1]);
        archive_sums_payment(sums);
        archive_sums_end(sums, &counts);
        archive_sums_free(sums);
        assert_int_equal(counts.payments, 1);
        assert_int_equal(counts.facts, 2);
        assert_int_equal(counts.transfers, 2);
        json_auto_t *tail = archive_tail(&counts);
        assert_true(archive_is_tail(tail));
        assert_int_equal(archive_read_tail(tail, &read, &(struct err){0}), 0);
        assert_memory_equal(&read, &counts, sizeof read);
        json_object_set_new(tail, "facts", json_integer(-2));
        assert_int_equal(archive_read_tail(tail, &read, &(struct err){0}), -1);
        memcpy(seen[i], counts.leaves, SHA256_HEX_SIZE);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
        free(facts);
    }
    archive_sums_free(archive_sums_new()); /* never ended */
    archive_sums_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_head), cmocka_unit_test(test_payment),
                                       cmocka_unit_test(test_payment_refused), cmocka_unit_test(test_sums)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
