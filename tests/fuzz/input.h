/* input.h - how the fuzz targets cut the fuzzer's bytes into fields
 *
 * A seed is readable: one field a line, the last field is all the rest. A line that is missing is "".
 */
#ifndef ACQUIT_TESTS_FUZZ_INPUT_H
#define ACQUIT_TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FIELDS_MAX = 64 };

struct input {
    const char *at;
    size_t left;
    char *texts[FIELDS_MAX]; /* given out, freed by input_end() */
    size_t text_count;
};

/* What libFuzzer calls, declared here because no header of its own does. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input input_begin(const uint8_t *data, size_t size);
void input_end(struct input *input);

/* The next line up to a NUL, as a text of exactly its size, so that reading behind it is seen. */
char *input_line(struct input *input);
/* The same, but NULL for "-": a thing that is not there. */
char *input_optional(struct input *input);
/* The next line as a decimal number within [least, most]. */
int64_t input_number(struct input *input, int64_t least, int64_t most);
/* All the rest, NUL-terminated, in a block of exactly its size. */
char *input_rest(struct input *input, size_t *ret_size);

/* Ends the program, which the fuzzer notes as a crash. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            broken(#condition, __FILE__, __LINE__);                                                                    \
    } while (0)
void broken(const char *condition, const char *file, int line) __attribute__((noreturn));

/* A text that may go to a log or a person: ends within `size`, no control characters. */
bool is_clean(const char *text, size_t size);
/* Lower case letters, digits and '_' only. */
bool is_code(const char *text, size_t size);

#endif
