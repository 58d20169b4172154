/* text.h - bounded strings, ids, base64, times; memory that does not fail */
#ifndef TWINS_TEXT_H
#define TWINS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAYMENT_SIZE = 37, TIME_SIZE = 32 };

/* Zeroed memory, or a copy of a string; the program ends if there is none left. */
void *memory_new(size_t size);
void *memory_grow(void *old, size_t size);
char *text_dup(const char *from);
char *text_dup_n(const char *from, size_t length);

/* Copies what fits, always terminated; false if it was cut. `from` may be NULL (gives ""). */
bool text_copy(char *to, size_t size, const char *from);

/* printf into a buffer; what does not fit is cut. */
__attribute__((format(printf, 3, 4))) void text_print(char *to, size_t size, const char *format, ...);

/* A whole decimal integer within [min, max], nothing before or after it. */
bool text_integer(const char *from, int64_t min, int64_t max, int64_t *ret);

/* A payment id in either form (UUID, or "tx_" and 32 hex digits) as a lower-case UUID. */
bool text_payment(char to[PAYMENT_SIZE], const char *from);

/* prefix and `count` random letters and digits: "pi_3Nk..." */
void text_random_id(char *to, size_t size, const char *prefix, size_t count);

void text_hex(char *to, size_t size, const unsigned char *from, size_t length);
bool text_unhex(unsigned char *to, size_t size, const char *from);

/* Standard base64 with padding. text_base64's result is the caller's. */
char *text_base64(const void *from, size_t length);
bool text_unbase64(const char *from, unsigned char *to, size_t size, size_t *ret_length);

/* RFC 3339 in UTC with a trailing Z, from Unix milliseconds. */
void text_time(char to[TIME_SIZE], int64_t ms, bool with_ms);

bool text_starts(const char *text, const char *prefix);

/* Equality that takes as long for any two strings of one length. */
bool text_same_secret(const char *a, const char *b);

#endif
