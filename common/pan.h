/* pan.h - finds and masks card numbers in bytes (L11)
 *
 * A card number is 13 to 19 digits, in one piece or in groups with one blank or dash between them (every group but the
 * last of at least three digits, the first of four), that begins like a card of a known brand, has that brand's length,
 * and passes the Luhn check. Not card numbers, though they may look it: a UUID, a run of hex digits with at least one
 * letter, timestamps (they begin with 1), and digits inside a longer run of digits. A run of letters and digits that is
 * not hex ("card4111...") is searched. It is a net, not a proof: one random number of 16 digits in about forty looks
 * like a card, and a number written as words does not.
 */
#ifndef ACQUIT_COMMON_PAN_H
#define ACQUIT_COMMON_PAN_H

#include <stddef.h>

enum { PAN_DIGITS_MIN = 13, PAN_DIGITS_MAX = 19, PAN_DIGITS_SHOWN = 4 };

/* Replaces all but the last four digits of each card number by '*', in place; separators stay. Returns how many it
 * masked. */
size_t pan_mask(char *bytes, size_t size);

/* How many card numbers there are; nothing is changed. */
size_t pan_count(const char *bytes, size_t size);

#endif
