/* money.c - amounts in minor units, and the currencies that give them meaning (L8) */
#include "common/money.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* ISO 4217 list one (SIX Group, maintenance agency: "Current currency & funds code list") as of 2026-01-01, that is up to
 * amendment 180, with its minor units, sorted by code. Left out is what is no money one can pay with: metals (XAG XAU XPD
 * XPT), bond market units (XBA-XBD), units of account of institutions (XAD XDR XSU XUA), test and none (XTS XXX). Codes
 * that ended shortly before: HRK, SLL, ZWL, ANG, CUC, BGN. A code that ends stays readable in old rows (money_format()). */
static const struct currency currencies[] = {
    /* clang-format off */
    {"AED", 2}, {"AFN", 2}, {"ALL", 2}, {"AMD", 2}, {"AOA", 2}, {"ARS", 2}, {"AUD", 2}, {"AWG", 2}, {"AZN", 2},
    {"BAM", 2}, {"BBD", 2}, {"BDT", 2}, {"BHD", 3}, {"BIF", 0}, {"BMD", 2}, {"BND", 2}, {"BOB", 2}, {"BOV", 2},
    {"BRL", 2}, {"BSD", 2}, {"BTN", 2}, {"BWP", 2}, {"BYN", 2}, {"BZD", 2}, {"CAD", 2}, {"CDF", 2}, {"CHE", 2},
    {"CHF", 2}, {"CHW", 2}, {"CLF", 4}, {"CLP", 0}, {"CNY", 2}, {"COP", 2}, {"COU", 2}, {"CRC", 2}, {"CUP", 2},
    {"CVE", 2}, {"CZK", 2}, {"DJF", 0}, {"DKK", 2}, {"DOP", 2}, {"DZD", 2}, {"EGP", 2}, {"ERN", 2}, {"ETB", 2},
    {"EUR", 2}, {"FJD", 2}, {"FKP", 2}, {"GBP", 2}, {"GEL", 2}, {"GHS", 2}, {"GIP", 2}, {"GMD", 2}, {"GNF", 0},
    {"GTQ", 2}, {"GYD", 2}, {"HKD", 2}, {"HNL", 2}, {"HTG", 2}, {"HUF", 2}, {"IDR", 2}, {"ILS", 2}, {"INR", 2},
    {"IQD", 3}, {"IRR", 2}, {"ISK", 0}, {"JMD", 2}, {"JOD", 3}, {"JPY", 0}, {"KES", 2}, {"KGS", 2}, {"KHR", 2},
    {"KMF", 0}, {"KPW", 2}, {"KRW", 0}, {"KWD", 3}, {"KYD", 2}, {"KZT", 2}, {"LAK", 2}, {"LBP", 2}, {"LKR", 2},
    {"LRD", 2}, {"LSL", 2}, {"LYD", 3}, {"MAD", 2}, {"MDL", 2}, {"MGA", 2}, {"MKD", 2}, {"MMK", 2}, {"MNT", 2},
    {"MOP", 2}, {"MRU", 2}, {"MUR", 2}, {"MVR", 2}, {"MWK", 2}, {"MXN", 2}, {"MXV", 2}, {"MYR", 2}, {"MZN", 2},
    {"NAD", 2}, {"NGN", 2}, {"NIO", 2}, {"NOK", 2}, {"NPR", 2}, {"NZD", 2}, {"OMR", 3}, {"PAB", 2}, {"PEN", 2},
    {"PGK", 2}, {"PHP", 2}, {"PKR", 2}, {"PLN", 2}, {"PYG", 0}, {"QAR", 2}, {"RON", 2}, {"RSD", 2}, {"RUB", 2},
    {"RWF", 0}, {"SAR", 2}, {"SBD", 2}, {"SCR", 2}, {"SDG", 2}, {"SEK", 2}, {"SGD", 2}, {"SHP", 2}, {"SLE", 2},
    {"SOS", 2}, {"SRD", 2}, {"SSP", 2}, {"STN", 2}, {"SVC", 2}, {"SYP", 2}, {"SZL", 2}, {"THB", 2}, {"TJS", 2},
    {"TMT", 2}, {"TND", 3}, {"TOP", 2}, {"TRY", 2}, {"TTD", 2}, {"TWD", 2}, {"TZS", 2}, {"UAH", 2}, {"UGX", 0},
    {"USD", 2}, {"USN", 2}, {"UYI", 0}, {"UYU", 2}, {"UYW", 4}, {"UZS", 2}, {"VED", 2}, {"VES", 2}, {"VND", 0},
    {"VUV", 0}, {"WST", 2}, {"XAF", 0}, {"XCD", 2}, {"XCG", 2}, {"XOF", 0}, {"XPF", 0}, {"YER", 2}, {"ZAR", 2},
    {"ZMW", 2}, {"ZWG", 2},
    /* clang-format on */
};

enum { EXPONENT_MAX = 4, SCALE_MAX = 10000 };

static int by_code(const void *code, const void *currency)
{
    return strcmp(code, ((const struct currency *)currency)->code);
}

const struct currency *currency_find(const char *code)
{
    return bsearch(code, currencies, sizeof currencies / sizeof currencies[0], sizeof currencies[0], by_code);
}

int money_add(int64_t a, int64_t b, int64_t *ret, struct err *err)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return err_set(err, ERR_LIMIT, "amount too large: %" PRId64 " + %" PRId64, a, b);
    *ret = sum;
    return 0;
}

int money_sub(int64_t a, int64_t b, int64_t *ret, struct err *err)
{
    int64_t difference;
    if (__builtin_sub_overflow(a, b, &difference))
        return err_set(err, ERR_LIMIT, "amount too large: %" PRId64 " - %" PRId64, a, b);
    *ret = difference;
    return 0;
}

int64_t money_share(int64_t amount, int64_t parts_per_million)
{
    if (amount < 0 || parts_per_million < 0 || parts_per_million > MONEY_PPM)
        log_panic("share of %" PRId64 " ppm of %" PRId64, parts_per_million, amount);
    return (int64_t)((__int128)amount * parts_per_million / MONEY_PPM);
}

int64_t money_portion(int64_t amount, int64_t part, int64_t whole)
{
    if (amount < 0 || part < 0 || whole <= 0 || part > whole)
        log_panic("%" PRId64 " of %" PRId64 " parts of %" PRId64, part, whole, amount);
    return (int64_t)((__int128)amount * part / whole);
}

const char *money_decimal(int64_t amount, int exponent, char ret[static MONEY_TEXT_MAX])
{
    if (exponent < 0 || exponent > EXPONENT_MAX)
        log_panic("currency exponent %d", exponent);
    uint64_t scale = 1;
    for (int i = 0; i < exponent; i++)
        scale *= 10;
    uint64_t size = amount < 0 ? -(uint64_t)amount : (uint64_t)amount;
    const char *sign = amount < 0 ? "-" : "";
    if (exponent == 0)
        snprintf(ret, MONEY_TEXT_MAX, "%s%" PRIu64, sign, size);
    else
        snprintf(ret, MONEY_TEXT_MAX, "%s%" PRIu64 ".%0*u", sign, size / scale, exponent,
                 (unsigned)(size % scale) % SCALE_MAX);
    return ret;
}

const char *money_format(int64_t amount, const char *currency, char ret[static MONEY_TEXT_MAX])
{
    const struct currency *known = currency_find(currency);
    if (!known) {
        snprintf(ret, MONEY_TEXT_MAX, "%" PRId64 " minor %.3s", amount, currency);
        return ret;
    }
    char number[MONEY_TEXT_MAX];
    money_decimal(amount, known->exponent, number);
    snprintf(ret, MONEY_TEXT_MAX, "%.27s %.3s", number, known->code);
    return ret;
}
