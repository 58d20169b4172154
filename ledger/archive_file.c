/* archive_file.c - see archive_file.h */
#include "ledger/archive_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ids.h"
#include "common/mem.h"

static const char format[] = "acquit-archive";

/* --- sums --- */

struct archive_sums {
    struct sha256_stream *leaves;
    struct archive_counts counts;
};

struct archive_sums *archive_sums_new(void)
{
    struct archive_sums *sums = mem_new(1, sizeof *sums);
    sums->leaves = sha256_begin();
    return sums;
}

void archive_sums_free(struct archive_sums *sums)
{
    uint8_t unused[SHA256_SIZE];
    if (sums)
        sha256_end(sums->leaves, unused);
    free(sums);
}

void archive_sums_fact(struct archive_sums *sums, const struct archive_fact *fact)
{
    uint8_t position[8];
    for (int i = 0; i < 8; i++)
        position[i] = (uint8_t)(fact->position >> (56 - 8 * i));
    sha256_add(sums->leaves, position, sizeof position);
    sha256_add(sums->leaves, fact->leaf.bytes, SHA256_SIZE);
    sums->counts.facts++;
    sums->counts.transfers += (int64_t)json_array_size(fact->transfers);
}

void archive_sums_payment(struct archive_sums *sums)
{
    sums->counts.payments++;
}

void archive_sums_end(struct archive_sums *sums, struct archive_counts *ret)
{
    uint8_t bytes[SHA256_SIZE];
    sha256_end(sums->leaves, bytes);
    sums->leaves = NULL;
    hex_encode(bytes, sizeof bytes, sums->counts.leaves);
    *ret = sums->counts;
}

/* --- writing --- */

static json_t *texts(const char *const *values, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, values[i] ? json_string(values[i]) : json_null());
    return list;
}

json_t *archive_head(const struct archive_range *range)
{
    return json_pack("{s:s, s:i, s:s, s:o, s:s, s:o, s:o}", "format", format, "version", ARCHIVE_VERSION, "name",
                     range->name, "from", *range->from ? json_string(range->from) : json_null(), "to", range->to,
                     "fact", texts(fact_columns, FACT_COLUMN_COUNT), "transfer",
                     texts(transfer_columns, TRANSFER_COLUMN_COUNT));
}

json_t *archive_tail(const struct archive_counts *counts)
{
    return json_pack("{s:I, s:I, s:I, s:s}", "payments", (json_int_t)counts->payments, "facts",
                     (json_int_t)counts->facts, "transfers", (json_int_t)counts->transfers, "leaves", counts->leaves);
}

json_t *archive_fact_json(const char *const values[static FACT_COLUMN_COUNT], const json_t *transfers,
                          uint64_t position)
{
    return json_pack("{s:I, s:o, s:O}", "position", (json_int_t)position, "fact", texts(values, FACT_COLUMN_COUNT),
                     "transfers", transfers);
}

/* --- reading --- */

bool archive_name_valid(const char *name)
{
    int end = 0;
    if (strcmp(name, "first") == 0)
        return true;
    return strlen(name) == 6 && sscanf(name, "%*4[0-9]q%*1[1-4]%n", &end) == 0 && end == 6;
}

bool archive_day_valid(const char *day)
{
    int end = 0;
    return strlen(day) == 10 && sscanf(day, "%*4[0-9]-%*2[0-9]-%*2[0-9]%n", &end) == 0 && end == 10;
}

static int conflict(struct err *err, const char *what)
{
    return err_set(err, ERR_CONFLICT, "the archive cannot be read: %s", what);
}

int archive_read_head(const json_t *line, struct archive_range *ret, struct err *err)
{
    const char *is = json_string_value(json_object_get(line, "format"));
    const char *name = json_string_value(json_object_get(line, "name"));
    const char *from = json_string_value(json_object_get(line, "from")),
               *to = json_string_value(json_object_get(line, "to"));
    bool from_all = json_is_null(json_object_get(line, "from"));
    if (!is || strcmp(is, format) != 0)
        return conflict(err, "it does not begin with {\"format\": \"acquit-archive\", ...}");
    if (json_integer_value(json_object_get(line, "version")) != ARCHIVE_VERSION)
        return conflict(err, "its version is not 1");
    if (!name || !archive_name_valid(name) || !to || !archive_day_valid(to) ||
        (!from_all && (!from || !archive_day_valid(from))))
        return conflict(err, "name, from or to is no partition's");
    json_auto_t *fact = texts(fact_columns, FACT_COLUMN_COUNT);
    json_auto_t *transfer = texts(transfer_columns, TRANSFER_COLUMN_COUNT);
    if (!json_equal(fact, json_object_get(line, "fact")) || !json_equal(transfer, json_object_get(line, "transfer")))
        return conflict(err, "its columns are not those of this program");
    *ret = (struct archive_range){0};
    snprintf(ret->name, sizeof ret->name, "%s", name);
    snprintf(ret->from, sizeof ret->from, "%s", from ? from : "");
    snprintf(ret->to, sizeof ret->to, "%s", to);
    return 0;
}

bool archive_is_tail(const json_t *line)
{
    return json_object_get(line, "leaves") != NULL;
}

static bool read_count(const json_t *line, const char *member, int64_t *ret)
{
    const json_t *value = json_object_get(line, member);
    *ret = json_integer_value(value);
    return json_is_integer(value) && *ret >= 0;
}

int archive_read_tail(const json_t *line, struct archive_counts *ret, struct err *err)
{
    const char *leaves = json_string_value(json_object_get(line, "leaves"));
    *ret = (struct archive_counts){0};
    if (!read_count(line, "payments", &ret->payments) || !read_count(line, "facts", &ret->facts) ||
        !read_count(line, "transfers", &ret->transfers) || !leaves || strlen(leaves) != SHA256_HEX_SIZE - 1)
        return conflict(err, "its last line does not say what is in it");
    snprintf(ret->leaves, sizeof ret->leaves, "%s", leaves);
    return 0;
}

static bool is_text_or_null(const json_t *value)
{
    return json_is_string(value) || json_is_null(value);
}

static int read_fact(const json_t *item, const char *payment, struct archive_fact *ret, struct err *err)
{
    const json_t *columns = json_object_get(item, "fact"), *position = json_object_get(item, "position");
    if (!json_is_integer(position) || json_integer_value(position) < 0 || !json_is_array(columns) ||
        json_array_size(columns) != FACT_COLUMN_COUNT)
        return conflict(err, "a fact has another form");
    for (size_t i = 0; i < FACT_COLUMN_COUNT; i++) {
        if (!is_text_or_null(json_array_get(columns, i)))
            return conflict(err, "a fact has another form");
        ret->values[i] = json_string_value(json_array_get(columns, i));
    }
    if (!ret->values[0] || strcmp(ret->values[0], payment) != 0)
        return conflict(err, "a fact is not of its line's payment");
    ret->position = (uint64_t)json_integer_value(position);
    ret->transfers = json_object_get(item, "transfers");
    return leaf_of(ret->values, ret->transfers, &ret->leaf, err);
}

static bool is_within(const char *day, const struct archive_range *range)
{
    return archive_day_valid(day) && strcmp(day, range->to) < 0 && (!*range->from || strcmp(day, range->from) >= 0);
}

int archive_read_payment(const json_t *line, const struct archive_range *range, const char **ret_began,
                         struct archive_fact **ret, struct err *err)
{
    const char *payment = json_string_value(json_object_get(line, "payment")),
               *began = json_string_value(json_object_get(line, "began"));
    const json_t *items = json_object_get(line, "facts");
    struct uuid id;
    *ret = NULL;
    if (!payment || uuid_parse(payment, &id) != 0 || !began || !is_within(began, range) || json_array_size(items) == 0)
        return conflict(err, "a line is no payment of this partition");
    size_t count = json_array_size(items);
    struct archive_fact *facts = mem_new(count, sizeof *facts);
    for (size_t i = 0; i < count; i++) {
        int r = read_fact(json_array_get(items, i), payment, &facts[i], err);
        if (r == 0 && i > 0 && facts[i].position <= facts[i - 1].position)
            r = conflict(err, "facts do not stand in their order");
        if (r != 0) {
            free(facts);
            return -1;
        }
    }
    *ret = facts;
    *ret_began = began;
    return (int)count;
}
