/* fuzz_published.c - any bytes as a publisher's list: each line is one command that this publisher may publish, or an error that names it
 *
 * Fields: the publisher that the caller names, "" for none; the rest is the list.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/input.h"
#include "workers/operator/published.h"

static void check_line(const struct published *one)
{
    MUST(one->type && one->type->is_public);
    MUST(one->id[0] && strlen(one->id) <= MESSAGE_ID_MAX && publisher_name_ok(one->publisher));
    MUST(strlen(one->day) == DAY_SIZE - 1);
    MUST(uuid_equal(one->command, uuid_command(one->type->name, one->publisher, one->id)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = input_begin(data, size);
    const char *publisher = input_line(&input);
    size_t list_size, line = 0;
    char *list = input_rest(&input, &list_size);
    FILE *file = list_size ? fmemopen(list, list_size, "r") : NULL;
    struct published one;
    struct err err = {0};
    int more = file ? 1 : 0;
    while (more > 0) {
        size_t before = line;
        more = published_next(file, *publisher ? publisher : NULL, &line, &one, &err);
        MUST(line > before);
        if (more > 0)
            check_line(&one);
        if (more < 0)
            MUST(err.code == ERR_INVALID && is_clean(err.text, sizeof err.text));
    }
    if (file)
        fclose(file);
    input_end(&input);
    return 0;
}
