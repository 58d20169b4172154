/* leaf.c - see leaf.h */
#include "ledger/leaf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define X(name) #name,
const char *const fact_columns[FACT_COLUMN_COUNT] = {FACT_COLUMNS(X)};
const char *const transfer_columns[TRANSFER_COLUMN_COUNT] = {TRANSFER_COLUMNS(X)};
#undef X

static const char form[] = "acquit-fact-v1";

enum { BYTES_FIRST = 1024, LENGTH_SIZE = 4, NUMBER_SIZE = 24 };

/* --- values, one after the other --- */

static void reserve(struct leaf_bytes *bytes, size_t more)
{
    size_t room = bytes->room ? bytes->room : BYTES_FIRST;
    while (room - bytes->size < more)
        room *= 2;
    if (room > bytes->room) {
        bytes->data = mem_grow(bytes->data, room, 1);
        bytes->room = room;
    }
}

static void add_length(struct leaf_bytes *bytes, size_t size)
{
    const uint8_t length[LENGTH_SIZE] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                                         (uint8_t)size};
    memcpy(bytes->data + bytes->size, length, sizeof length);
    bytes->size += sizeof length;
}

static void add_text(struct leaf_bytes *bytes, struct text text)
{
    reserve(bytes, LENGTH_SIZE + text.size);
    add_length(bytes, text.data ? text.size : UINT32_MAX);
    if (text.data)
        memcpy(bytes->data + bytes->size, text.data, text.size);
    bytes->size += text.data ? text.size : 0;
}

static void add_value(struct leaf_bytes *bytes, const char *text)
{
    add_text(bytes, text_from(text));
}

static void add_unsigned(struct leaf_bytes *bytes, bool negative, uint64_t value)
{
    char text[NUMBER_SIZE], *end = text + sizeof text, *at = end;
    do
        *--at = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    if (negative)
        *--at = '-';
    add_text(bytes, (struct text){at, (size_t)(end - at)});
}

static void add_signed(struct leaf_bytes *bytes, int64_t value)
{
    add_unsigned(bytes, value < 0, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static void add_uuid(struct leaf_bytes *bytes, struct uuid id)
{
    char text[UUID_TEXT_SIZE];
    uuid_format(id, text);
    add_text(bytes, (struct text){text, UUID_TEXT_SIZE - 1});
}

/* --- times --- */

enum { DAYS_TO_2000 = 730425, /* from 0000-03-01 */ DAYS_OF_ERA = 146097, YEARS_OF_ERA = 400 };
static const int64_t us_of_day = 86400 * INT64_C(1000000);

struct date {
    int64_t year; /* 0: 1 BC */
    int month, day;
};

/* The Gregorian calendar, carried back as PostgreSQL does. Years are counted from March, so that a leap day ends one; an era is 400 of them. */
static struct date date_of(int64_t days_since_2000)
{
    int64_t days = days_since_2000 + DAYS_TO_2000;
    int64_t era = (days >= 0 ? days : days - (DAYS_OF_ERA - 1)) / DAYS_OF_ERA;
    int day = (int)(days - era * DAYS_OF_ERA);
    int year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int of_year = day - (365 * year + year / 4 - year / 100);
    int month = (5 * of_year + 2) / 153; /* from March */
    return (struct date){.year = era * YEARS_OF_ERA + year + (month >= 10),
                         .month = month < 10 ? month + 3 : month - 9,
                         .day = of_year - (153 * month + 2) / 5 + 1};
}

static char *put_digits(char *end, int64_t value, int digits)
{
    for (; digits > 0; digits--, value /= 10)
        *--end = (char)('0' + value % 10);
    return end;
}

/* "2026-11-20T10:00:00.123456Z", whose year has four digits. */
static void format_usual(const struct date *date, int64_t us, char ret[static LEAF_TIME_SIZE])
{
    static const char pattern[] = "0000-00-00T00:00:00.000000Z";
    int64_t seconds = us / 1000000;
    memcpy(ret, pattern, sizeof pattern);
    put_digits(ret + 4, date->year, 4);
    put_digits(ret + 7, date->month, 2);
    put_digits(ret + 10, date->day, 2);
    put_digits(ret + 13, seconds / 3600, 2);
    put_digits(ret + 16, seconds / 60 % 60, 2);
    put_digits(ret + 19, seconds % 60, 2);
    put_digits(ret + 26, us % 1000000, 6);
}

void leaf_time(int64_t at_us, char ret[static LEAF_TIME_SIZE])
{
    ret[0] = '\0';
    if (at_us == INT64_MIN || at_us == INT64_MAX)
        return;
    int64_t day = at_us / us_of_day - (at_us % us_of_day < 0);
    struct date date = date_of(day);
    int64_t us = at_us - day * us_of_day;
    if (date.year > 0 && date.year <= 9999) {
        format_usual(&date, us, ret);
        return;
    }
    char usual[LEAF_TIME_SIZE];
    format_usual(&(struct date){1, date.month, date.day}, us, usual);
    snprintf(ret, LEAF_TIME_SIZE, "%04lld%.*s", (long long)(date.year > 0 ? date.year : 1 - date.year),
             LEAF_TIME_SIZE - 8, usual + 4);
}

static void add_time(struct leaf_bytes *bytes, int64_t at_us)
{
    char text[LEAF_TIME_SIZE];
    leaf_time(at_us, text);
    add_value(bytes, *text ? text : NULL);
}

/* --- a leaf from decoded columns --- */

static void add_transfer_columns(struct leaf_bytes *bytes, const struct leaf_transfer *t)
{
    add_signed(bytes, t->leg);
    add_text(bytes, t->kind);
    add_text(bytes, t->pending_of);
    add_text(bytes, t->debit);
    add_text(bytes, t->credit);
    add_signed(bytes, t->amount);
    add_text(bytes, t->currency);
    add_time(bytes, t->at_us);
    add_unsigned(bytes, false, t->xid);
    add_signed(bytes, t->seq);
}

struct hash leaf_of_columns(const struct leaf_fact *fact, const struct leaf_transfer *transfers, size_t count,
                            struct leaf_bytes *bytes)
{
    bytes->size = 0;
    add_text(bytes, (struct text){form, sizeof form - 1});
    add_uuid(bytes, fact->payment_id);
    add_text(bytes, fact->slot);
    add_text(bytes, fact->outcome);
    add_uuid(bytes, fact->cause);
    add_text(bytes, fact->actor);
    add_time(bytes, fact->at_us);
    add_unsigned(bytes, false, fact->xid);
    add_signed(bytes, fact->seq);
    add_text(bytes, fact->body);
    add_unsigned(bytes, false, count);
    for (size_t i = 0; i < count; i++)
        add_transfer_columns(bytes, &transfers[i]);
    return merkle_leaf(bytes->data, bytes->size);
}

void leaf_bytes_free(struct leaf_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct leaf_bytes){0};
}

/* --- a leaf from texts --- */

/* A text or null. */
static bool add_json(struct leaf_bytes *bytes, const json_t *value)
{
    if (!json_is_string(value) && !json_is_null(value))
        return false;
    add_value(bytes, json_string_value(value));
    return true;
}

static bool add_transfer(struct leaf_bytes *bytes, const json_t *transfer)
{
    bool good = json_array_size(transfer) == TRANSFER_COLUMN_COUNT;
    for (size_t i = 0; good && i < TRANSFER_COLUMN_COUNT; i++)
        good = add_json(bytes, json_array_get(transfer, i));
    return good;
}

int leaf_of(const char *const values[static FACT_COLUMN_COUNT], const json_t *transfers, struct hash *ret,
            struct err *err)
{
    struct leaf_bytes bytes = {0};
    bool good = json_is_array(transfers);
    add_value(&bytes, form);
    for (size_t i = 0; i < FACT_COLUMN_COUNT; i++)
        add_value(&bytes, values[i]);
    add_unsigned(&bytes, false, json_array_size(transfers));
    for (size_t i = 0; good && i < json_array_size(transfers); i++)
        good = add_transfer(&bytes, json_array_get(transfers, i));
    *ret = merkle_leaf(bytes.data, bytes.size);
    leaf_bytes_free(&bytes);
    return good ? 0 : err_set(err, ERR_INVALID, "a transfer has %d texts", TRANSFER_COLUMN_COUNT);
}
