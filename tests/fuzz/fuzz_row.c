/* fuzz_row.c - messages of a binary COPY, taken as columns of any types
 *
 * First byte: whether the message begins the stream. A line of letters: what each column is taken for. The rest: the message.
 */
#include <stdlib.h>
#include <string.h>

#include "ledger/db.h"
#include "tests/fuzz/input.h"

static void inside(struct text text, const char *bytes, size_t size)
{
    if (!text.data)
        MUST(text.size == 0);
    else
        MUST(text.data >= bytes && text.size <= size && text.data + text.size <= bytes + size);
}

static void take(struct db_row *row, char type, const char *bytes, size_t size)
{
    switch (type) {
    case '2':
    case '4':
    case '8':
        (void)db_take_int(row, type - '0');
        return;
    case 'u':
        (void)db_take_uuid(row);
        return;
    case 'j':
        inside(db_take_jsonb(row), bytes, size);
        return;
    default:
        inside(db_take_text(row), bytes, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line_end = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;
    struct db_row row;
    if (!line_end)
        return 0;
    const char *types = (const char *)data + 1, *types_end = (const char *)line_end;
    size_t left = size - (size_t)(line_end + 1 - data);
    char *bytes = malloc(left ? left : 1); /* not a byte to spare */
    memcpy(bytes, line_end + 1, left);
    int r = db_row_decode(bytes, left, data[0] == '1', &row);
    MUST(r >= -1 && r <= 1);
    if (r == 1) {
        int columns = row.left;
        for (; types < types_end; types++)
            take(&row, *types, bytes, left);
        MUST(row.at <= row.end && row.left >= 0 && row.left <= columns);
        MUST(!db_row_good(&row) || types_end - (const char *)data - 1 == columns);
    }
    free(bytes);
    return 0;
}
