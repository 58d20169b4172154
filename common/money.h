/* money.h - amounts in minor units, and the currencies that give them meaning (L8)
 *
 * An amount is a positive int64 in minor units of an ISO 4217 currency. Nothing here, or anywhere near, is floating
 * point.
 */
#ifndef ACQUIT_COMMON_MONEY_H
#define ACQUIT_COMMON_MONEY_H

#include <stdint.h>

#include "common/err.h"

enum { CURRENCY_SIZE = 4, MONEY_TEXT_MAX = 32, MONEY_PPM = 1000000 };

struct currency {
    char code[CURRENCY_SIZE]; /* "EUR" */
    int exponent;             /* digits after the point: 0, 2, 3, or 4 for two units of account (ISO 4217) */
};

/* The currency of this upper-case code, or NULL when ISO 4217 has none. Static storage. */
const struct currency *currency_find(const char *code);

/* Sum or difference; -1 with ERR_LIMIT on overflow, *ret untouched. */
int money_add(int64_t a, int64_t b, int64_t *ret, struct err *err) MUST_CHECK;
int money_sub(int64_t a, int64_t b, int64_t *ret, struct err *err) MUST_CHECK;

/* floor(amount * parts_per_million / 1000000), exact through 128 bits. amount >= 0, 0 <= ppm <= 1000000. */
int64_t money_share(int64_t amount, int64_t parts_per_million);

/* floor(amount * part / whole), exact through 128 bits. amount >= 0, 0 <= part <= whole, whole > 0. */
int64_t money_portion(int64_t amount, int64_t part, int64_t whole);

/* "25.00 EUR", "1000 XOF", "1.234 KWD"; of a code we do not know "2500 minor XYZ". Returns ret. */
const char *money_format(int64_t amount, const char *currency, char ret[static MONEY_TEXT_MAX]);
/* "25.00": the decimal string alone, as PayPal and MPGS want it. */
const char *money_decimal(int64_t amount, int exponent, char ret[static MONEY_TEXT_MAX]);

#endif
