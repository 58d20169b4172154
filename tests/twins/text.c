/* text.c - bounded strings, ids, base64, times; memory that does not fail
 *
 * Ends the program (abort) when memory or randomness is not to be had: a twin that cannot keep its books is of no
 * use.
 */
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

static void *there(void *memory)
{
    if (!memory) {
        fputs("acquit-twins: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *memory_new(size_t size)
{
    return there(calloc(1, size ? size : 1));
}

void *memory_grow(void *old, size_t size)
{
    return there(realloc(old, size ? size : 1));
}

char *text_dup(const char *from)
{
    return there(strdup(from));
}

char *text_dup_n(const char *from, size_t length)
{
    char *to = memory_new(length + 1);
    if (length)
        memcpy(to, from, length);
    return to;
}

bool text_copy(char *to, size_t size, const char *from)
{
    if (!from)
        from = "";
    size_t length = strlen(from);
    bool fits = length < size;
    if (!fits)
        length = size - 1;
    memcpy(to, from, length);
    to[length] = '\0';
    return fits;
}

void text_print(char *to, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (vsnprintf(to, size, format, args) < 0 && size)
        to[0] = '\0';
    va_end(args);
}

bool text_integer(const char *from, int64_t min, int64_t max, int64_t *ret)
{
    if (!from || !*from || !(*from == '-' || (*from >= '0' && *from <= '9')))
        return false;
    char *end = NULL;
    errno = 0;
    intmax_t value = strtoimax(from, &end, 10);
    if (errno || end == from || *end || value < min || value > max)
        return false;
    *ret = (int64_t)value;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_payment(char to[PAYMENT_SIZE], const char *from)
{
    static const char digits[] = "0123456789abcdef";
    if (!from)
        return false;
    bool plain = text_starts(from, "tx_");
    if (plain)
        from += 3;
    char made[PAYMENT_SIZE] = "";
    for (size_t i = 0; i < PAYMENT_SIZE - 1; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (!plain && *from++ != '-')
                return false;
            made[i] = '-';
            continue;
        }
        int digit = hex_digit(*from);
        if (digit < 0)
            return false;
        made[i] = digits[digit];
        from++;
    }
    if (*from)
        return false;
    memcpy(to, made, PAYMENT_SIZE);
    return true;
}

void text_random_id(char *to, size_t size, const char *prefix, size_t count)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char dice[64] = {0};
    if (count > sizeof dice)
        count = sizeof dice;
    if (RAND_bytes(dice, (int)count) != 1) {
        fputs("acquit-twins: no randomness\n", stderr);
        abort();
    }
    char made[sizeof dice + 1] = "";
    for (size_t i = 0; i < count; i++)
        made[i] = letters[dice[i] % (sizeof letters - 1)];
    text_print(to, size, "%s%s", prefix, made);
}

void text_hex(char *to, size_t size, const unsigned char *from, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < length && at + 2 < size; i++) {
        to[at++] = digits[from[i] >> 4];
        to[at++] = digits[from[i] & 15];
    }
    to[at] = '\0';
}

bool text_unhex(unsigned char *to, size_t size, const char *from)
{
    if (!from || strlen(from) != size * 2)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(from[2 * i]);
        int low = hex_digit(from[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

char *text_base64(const void *from, size_t length)
{
    char *to = memory_new(4 * ((length + 2) / 3) + 1);
    EVP_EncodeBlock((unsigned char *)to, from, (int)length);
    return to;
}

bool text_unbase64(const char *from, unsigned char *to, size_t size, size_t *ret_length)
{
    size_t length = strlen(from);
    if (length == 0 || length % 4 || length / 4 * 3 > size)
        return false;
    int made = EVP_DecodeBlock(to, (const unsigned char *)from, (int)length);
    if (made < 0)
        return false;
    size_t padding = (from[length - 1] == '=') + (size_t)(from[length - 2] == '=');
    *ret_length = (size_t)made - padding;
    return true;
}

void text_time(char to[TIME_SIZE], int64_t ms, bool with_ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    char day[24] = "";
    if (gmtime_r(&seconds, &parts))
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
    if (with_ms)
        text_print(to, TIME_SIZE, "%s.%03dZ", day, (int)(ms % 1000));
    else
        text_print(to, TIME_SIZE, "%sZ", day);
}

bool text_starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_same_secret(const char *a, const char *b)
{
    size_t length = strlen(a);
    return strlen(b) == length && CRYPTO_memcmp(a, b, length) == 0;
}
