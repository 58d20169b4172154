/* fuzz_pan.c - card numbers are masked where they stand and nowhere else (L11) */
#include <stdlib.h>
#include <string.h>

#include "common/pan.h"
#include "tests/fuzz/input.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The check of ISO/IEC 7812-1, written once more. */
static bool passes_luhn(const char *digits, size_t count)
{
    static const int doubled[] = {0, 2, 4, 6, 8, 1, 3, 5, 7, 9};
    int sum = 0;
    for (size_t i = 0; i < count; i++) {
        int digit = digits[i] - '0';
        sum += (count - i) % 2 == 0 ? doubled[digit] : digit;
    }
    return sum % 10 == 0;
}

/* One masked number begins at `at`: its starred digits, then the four that are shown. Returns where it ends. */
static size_t check_number(const char *before, const char *after, size_t size, size_t at)
{
    char digits[PAN_DIGITS_MAX + 1];
    size_t count = 0, shown = 0;
    for (; at < size && shown < PAN_DIGITS_SHOWN; at++) {
        if (!is_digit(before[at])) {
            MUST(before[at] == ' ' || before[at] == '-');
            continue;
        }
        MUST(count < PAN_DIGITS_MAX);
        digits[count++] = before[at];
        shown += after[at] != '*';
        MUST(shown == 0 || after[at] == before[at]);
    }
    MUST(shown == PAN_DIGITS_SHOWN && count >= PAN_DIGITS_MIN);
    MUST(passes_luhn(digits, count));
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *before = malloc(size), *after = malloc(size); /* of exactly that size: a byte too far is seen */
    MUST(size == 0 || (before && after));
    if (size) {
        memcpy(before, data, size);
        memcpy(after, data, size);
    }
    size_t expected = pan_count(before, size), masked = pan_mask(after, size), seen = 0;
    MUST(masked == expected);
    for (size_t i = 0; i < size;) {
        if (before[i] == after[i]) {
            i++;
            continue;
        }
        MUST(is_digit(before[i]) && after[i] == '*');
        i = check_number(before, after, size, i);
        seen++;
    }
    MUST(seen == masked);
    free(before);
    free(after);
    return 0;
}
