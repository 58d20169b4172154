/* clock_text.c - times as text */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

enum { FRACTION_DIGITS_MAX = 9 };

/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: what four digits of a year can say. */
#define FORMAT_LEAST_MS (-62167219200000)
#define FORMAT_MOST_MS 253402300799999

const char *clock_format(int64_t wall_ms, char ret[static CLOCK_TEXT_SIZE])
{
    if (wall_ms < FORMAT_LEAST_MS)
        wall_ms = FORMAT_LEAST_MS;
    if (wall_ms > FORMAT_MOST_MS)
        wall_ms = FORMAT_MOST_MS;
    int64_t ms = wall_ms % 1000;
    if (ms < 0)
        ms += 1000;
    time_t seconds = (time_t)((wall_ms - ms) / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    snprintf(ret, CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (tm.tm_year + 1900) % 10000,
             (tm.tm_mon + 1) % 100, tm.tm_mday % 100, tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100, (int)ms);
    return ret;
}

/* Reads exactly `digits` digits and moves on; false when they are not there. */
static bool number(const char **at, int digits, int *ret)
{
    int n = 0;
    for (int i = 0; i < digits; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9')
            return false;
        n = n * 10 + (c - '0');
    }
    *at += digits;
    *ret = n;
    return true;
}

static bool literal(const char **at, const char *one_of)
{
    if (!**at || !strchr(one_of, **at))
        return false;
    ++*at;
    return true;
}

/* ".123456": at most nine digits, of which we keep the milliseconds. */
static bool fraction(const char **at, int *ret_ms)
{
    *ret_ms = 0;
    if (**at != '.')
        return true;
    ++*at;
    int digits = 0, ms = 0;
    for (; **at >= '0' && **at <= '9'; ++*at, digits++)
        if (digits < 3)
            ms = ms * 10 + (**at - '0');
    if (digits == 0 || digits > FRACTION_DIGITS_MAX)
        return false;
    for (int i = digits; i < 3; i++)
        ms *= 10;
    *ret_ms = ms;
    return true;
}

/* "Z" or "+01:00", as seconds east of UTC. */
static bool offset(const char **at, int *ret_seconds)
{
    *ret_seconds = 0;
    if (literal(at, "Zz"))
        return true;
    int sign = **at == '-' ? -1 : 1, hours, minutes;
    if (!literal(at, "+-") || !number(at, 2, &hours) || !literal(at, ":") || !number(at, 2, &minutes))
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return hours < 24 && minutes < 60;
}

static int days_of(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool date(const char **at, struct tm *tm)
{
    int year, month;
    if (!number(at, 4, &year) || !literal(at, "-") || !number(at, 2, &month) || !literal(at, "-") ||
        !number(at, 2, &tm->tm_mday))
        return false;
    if (month < 1 || month > 12 || tm->tm_mday < 1 || tm->tm_mday > days_of(year, month))
        return false;
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    return true;
}

static bool time_of_day(const char **at, struct tm *tm)
{
    if (!number(at, 2, &tm->tm_hour) || !literal(at, ":") || !number(at, 2, &tm->tm_min) || !literal(at, ":") ||
        !number(at, 2, &tm->tm_sec))
        return false;
    return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60; /* 60: a leap second, read as the next second */
}

int clock_parse(const char *text, int64_t *ret_wall_ms)
{
    struct tm tm = {0};
    int ms, east;
    const char *at = text;
    if (!date(&at, &tm) || !literal(&at, "Tt") || !time_of_day(&at, &tm) || !fraction(&at, &ms) ||
        !offset(&at, &east) || *at)
        return -1;
    *ret_wall_ms = ((int64_t)timegm(&tm) - east) * 1000 + ms;
    return 0;
}

int clock_parse_day(const char *text, int64_t *ret_wall_ms)
{
    struct tm tm = {0};
    const char *at = text;
    if (!date(&at, &tm) || *at)
        return clock_parse(text, ret_wall_ms);
    *ret_wall_ms = (int64_t)timegm(&tm) * 1000;
    return 0;
}
