/* db_row.c - one row as PostgreSQL's binary COPY sends it: how many columns, then of each its length and its bytes
 *
 *     first message   "PGCOPY\n\377\r\n\0", flags (4 bytes), length of an extension (4) and the extension; then what follows
 *     row             columns (2 bytes), and of each the length (4; -1: NULL) and so many bytes; the highest byte first
 *     end             -1 instead of the columns
 *
 * Pure: a reader of foreign bytes, which never goes beyond them.
 */
#include <string.h>

#include "ledger/db.h"

static const uint8_t signature[] = "PGCOPY\n\377\r\n"; /* with its NUL: 11 bytes */

enum { HEADER_SIZE = sizeof signature + 4 + 4, COUNT_SIZE = 2, LENGTH_SIZE = 4, JSONB_VERSION = 1 };

static int64_t number(const uint8_t *bytes, int count)
{
    uint64_t value = bytes[0] & 0x80 ? UINT64_MAX : 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return (int64_t)value;
}

static bool skip_header(const uint8_t **at, const uint8_t *end)
{
    if (end - *at < HEADER_SIZE || memcmp(*at, signature, sizeof signature) != 0)
        return false;
    int64_t extension = number(*at + HEADER_SIZE - 4, 4);
    *at += HEADER_SIZE;
    if (extension < 0 || extension > end - *at)
        return false;
    *at += extension;
    return true;
}

int db_row_decode(const void *bytes, size_t size, bool first, struct db_row *ret)
{
    const uint8_t *at = bytes, *end = at + size;
    if (first && !skip_header(&at, end))
        return -1;
    if (end - at < COUNT_SIZE)
        return -1;
    int64_t columns = number(at, COUNT_SIZE);
    if (columns < 0)
        return columns == -1 && at + COUNT_SIZE == end ? 0 : -1;
    *ret = (struct db_row){.at = at + COUNT_SIZE, .end = end, .left = (int)columns};
    return 1;
}

/* The next column's bytes; NULL for NULL, and for what is not there. */
static struct text take(struct db_row *row)
{
    const struct text none = {NULL, 0};
    if (row->left == 0 || row->end - row->at < LENGTH_SIZE) {
        row->bad = true;
        return none;
    }
    int64_t size = number(row->at, LENGTH_SIZE);
    row->at += LENGTH_SIZE;
    row->left--;
    if (size == -1)
        return none;
    if (size < 0 || size > row->end - row->at) {
        row->bad = true;
        return none;
    }
    struct text found = {(const char *)row->at, (size_t)size};
    row->at += size;
    return found;
}

int64_t db_take_int(struct db_row *row, int bytes)
{
    struct text found = take(row);
    row->bad |= !found.data || found.size != (size_t)bytes;
    return row->bad ? 0 : number((const uint8_t *)found.data, bytes);
}

int64_t db_take_integer(struct db_row *row)
{
    struct text found = take(row);
    row->bad |= found.size != 2 && found.size != 4 && found.size != 8;
    return row->bad ? 0 : number((const uint8_t *)found.data, (int)found.size);
}

bool db_take_bool(struct db_row *row)
{
    struct text found = take(row);
    row->bad |= !found.data || found.size != 1;
    return !row->bad && found.data[0];
}

struct uuid db_take_uuid(struct db_row *row)
{
    struct uuid id = {0};
    struct text found = take(row);
    row->bad |= !found.data || found.size != sizeof id.bytes;
    if (!row->bad)
        memcpy(id.bytes, found.data, sizeof id.bytes);
    return id;
}

struct text db_take_text(struct db_row *row)
{
    return take(row);
}

struct text db_take_jsonb(struct db_row *row)
{
    struct text found = take(row);
    row->bad |= !found.data || found.size == 0 || found.data[0] != JSONB_VERSION;
    return row->bad ? (struct text){NULL, 0} : (struct text){found.data + 1, found.size - 1};
}

bool db_row_good(const struct db_row *row)
{
    return !row->bad && row->left == 0 && row->at == row->end;
}
