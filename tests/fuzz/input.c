/* input.c - how the fuzz targets cut the fuzzer's bytes into fields */
#include "tests/fuzz/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void broken(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

struct input input_begin(const uint8_t *data, size_t size)
{
    return (struct input){.at = (const char *)data, .left = size};
}

void input_end(struct input *input)
{
    for (size_t i = 0; i < input->text_count; i++)
        free(input->texts[i]);
    input->text_count = 0;
}

static char *give(struct input *input, size_t size)
{
    MUST(input->text_count < FIELDS_MAX);
    char *text = malloc(size + 1);
    MUST(text);
    if (size)
        memcpy(text, input->at, size);
    text[size] = '\0';
    return input->texts[input->text_count++] = text;
}

char *input_line(struct input *input)
{
    const char *end = input->left ? memchr(input->at, '\n', input->left) : NULL;
    size_t size = end ? (size_t)(end - input->at) : input->left;
    char *text = give(input, strnlen(input->at ? input->at : "", size));
    size += end != NULL;
    input->at += size;
    input->left -= size;
    return text;
}

char *input_optional(struct input *input)
{
    char *text = input_line(input);
    return strcmp(text, "-") == 0 ? NULL : text;
}

int64_t input_number(struct input *input, int64_t least, int64_t most)
{
    int64_t number = strtoll(input_line(input), NULL, 10);
    return number < least ? least : number > most ? most : number;
}

char *input_rest(struct input *input, size_t *ret_size)
{
    *ret_size = input->left;
    char *text = give(input, input->left);
    input->at += input->left;
    input->left = 0;
    return text;
}

bool is_clean(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return length < size;
}

bool is_code(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    return length < size && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}
