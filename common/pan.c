/* pan.c - finds and masks card numbers in bytes (L11)
 *
 * The bytes are taken apart into words (letters and digits). A word that could hold a card number begins a chain of
 * groups of digits with one separator between them; every span of whole groups in the chain is tried, the longest
 * first, because an expiry date or a CVV often follows the number.
 */
#include "common/pan.h"

#include <stdbool.h>
#include <string.h>

/* Beginnings of card numbers and the lengths issued under them (ISO/IEC 7812 ranges as the brands publish them). */
static const struct brand {
    int least, most; /* of the first `digits` digits */
    int digits;
    int length_min, length_max;
} brands[] = {
    {4, 4, 1, 13, 19},                                /* Visa */
    {51, 55, 2, 16, 16},                              /* Mastercard */
    {2221, 2720, 4, 16, 16},                          /* Mastercard, second series */
    {34, 34, 2, 15, 15},                              /* American Express */
    {37, 37, 2, 15, 15},     {6011, 6011, 4, 16, 19}, /* Discover */
    {65, 65, 2, 16, 19},     {35, 35, 2, 16, 19},     /* JCB */
    {36, 36, 2, 14, 19},                              /* Diners Club */
    {38, 38, 2, 14, 19},     {30, 30, 2, 14, 19},
};

enum {
    GROUPS_MAX = 6, /* of one card number: 4-4-4-4-3 has five */
    FIRST_GROUP_MIN = 4,
    GROUP_MIN = 3,
    UUID_LENGTH = 36,
};

struct group {
    size_t begin, end; /* [begin, end) */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_word(char c)
{
    return is_digit(c) || is_letter(c);
}

static bool luhn(const int *digits, int count)
{
    int sum = 0;
    for (int i = 0; i < count; i++) {
        int d = digits[count - 1 - i];
        if (i % 2)
            d = d > 4 ? 2 * d - 9 : 2 * d;
        sum += d;
    }
    return sum % 10 == 0;
}

static bool known_brand(const int *digits, int count)
{
    for (size_t i = 0; i < sizeof brands / sizeof brands[0]; i++) {
        int head = 0;
        for (int k = 0; k < brands[i].digits; k++)
            head = head * 10 + digits[k];
        if (head >= brands[i].least && head <= brands[i].most && count >= brands[i].length_min &&
            count <= brands[i].length_max)
            return true;
    }
    return false;
}

/* True when these whole groups, read together, are a card number. */
static bool is_card(const char *bytes, const struct group *groups, int count)
{
    int digits[PAN_DIGITS_MAX], n = 0;
    for (int g = 0; g < count; g++) {
        size_t length = groups[g].end - groups[g].begin;
        if ((g == 0 && length < FIRST_GROUP_MIN) || (g < count - 1 && length < GROUP_MIN))
            return false;
        if (length > (size_t)(PAN_DIGITS_MAX - n))
            return false;
        for (size_t i = groups[g].begin; i < groups[g].end; i++)
            digits[n++] = bytes[i] - '0';
    }
    return n >= PAN_DIGITS_MIN && known_brand(digits, n) && luhn(digits, n);
}

static void mask(char *bytes, size_t begin, size_t end)
{
    int shown = 0;
    for (size_t i = end; i-- > begin;)
        if (is_digit(bytes[i]) && ++shown > PAN_DIGITS_SHOWN)
            bytes[i] = '*';
}

/* Does a UUID begin here? The caller is at the begin of a word. */
static bool is_uuid(const char *bytes, size_t size)
{
    if (size < UUID_LENGTH || (size > UUID_LENGTH && is_word(bytes[UUID_LENGTH])))
        return false;
    for (size_t i = 0; i < UUID_LENGTH; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? bytes[i] != '-' : !is_hex(bytes[i]))
            return false;
    }
    return true;
}

static size_t word_end(const char *bytes, size_t size, size_t at)
{
    while (at < size && is_word(bytes[at]))
        at++;
    return at;
}

static size_t digits_end(const char *bytes, size_t size, size_t at)
{
    while (at < size && is_digit(bytes[at]))
        at++;
    return at;
}

/* A run of hex digits with a letter in it: an id, a hash, a trace. */
static bool is_hex_id(const char *bytes, size_t begin, size_t end)
{
    bool letter = false;
    for (size_t i = begin; i < end; i++) {
        if (!is_hex(bytes[i]))
            return false;
        letter |= is_letter(bytes[i]);
    }
    return letter;
}

/* The groups of digits from `at` on that could belong to one number: a following group counts only if its whole word is
 * not a hex id. */
static int chain(const char *bytes, size_t size, size_t at, struct group ret[static GROUPS_MAX])
{
    int count = 0;
    while (count < GROUPS_MAX) {
        size_t end = digits_end(bytes, size, at);
        ret[count++] = (struct group){at, end};
        if (end + 1 >= size || (bytes[end] != ' ' && bytes[end] != '-') || !is_digit(bytes[end + 1]))
            break;
        at = end + 1;
        if (is_hex_id(bytes, at, word_end(bytes, size, at)) || is_uuid(bytes + at, size - at))
            break;
    }
    return count;
}

/* If a card number begins at this digit (the first of its run), masks it in `ret`, unless that is NULL, and returns its
 * end; else returns 0. */
static size_t card_at(const char *bytes, size_t size, size_t at, char *ret)
{
    struct group groups[GROUPS_MAX];
    for (int n = chain(bytes, size, at, groups); n > 0; n--)
        if (is_card(bytes, groups, n)) {
            if (ret)
                mask(ret, groups[0].begin, groups[n - 1].end);
            return groups[n - 1].end;
        }
    return 0;
}

/* Looks at one word; returns where to go on. */
static size_t word(const char *bytes, size_t size, size_t at, char *ret, size_t *found)
{
    if (is_uuid(bytes + at, size - at))
        return at + UUID_LENGTH;
    size_t begin = at, end = word_end(bytes, size, at);
    if (begin > 0 && bytes[begin - 1] == '\\' && is_letter(bytes[begin]))
        begin++; /* the letter belongs to a JSON escape: "\b4111..." */
    if (is_hex_id(bytes, begin, end))
        return end;
    for (at = begin; at < end;) {
        if (!is_digit(bytes[at])) {
            at++;
            continue;
        }
        size_t after = card_at(bytes, size, at, ret);
        if (after) {
            ++*found;
            at = after;
        } else {
            at = digits_end(bytes, size, at);
        }
    }
    return at;
}

static size_t search(const char *bytes, size_t size, char *ret)
{
    size_t found = 0;
    for (size_t at = 0; at < size;)
        at = is_word(bytes[at]) ? word(bytes, size, at, ret, &found) : at + 1;
    return found;
}

size_t pan_mask(char *bytes, size_t size)
{
    return search(bytes, size, bytes);
}

size_t pan_count(const char *bytes, size_t size)
{
    return search(bytes, size, NULL);
}
