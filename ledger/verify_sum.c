/* verify_sum.c - sums that tell whether two readers in different orders saw the same (verify_internal.h) */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "ledger/verify_internal.h"

int place_compare(struct place a, struct place b)
{
    if (a.xid != b.xid)
        return a.xid < b.xid ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

/* --- segments --- */

static bool before(const struct segment *a, const struct segment *b)
{
    return place_compare(a->last, b->last) < 0 && a->size < b->size;
}

/* The blocks may say anything: kept are those that lie in one order, from the last one back, behind what was verified before. */
static void keep_ordered(struct segments *segments)
{
    const struct segment first = {segments->first, segments->first_size};
    size_t kept = segments->count > 0;
    struct segment *items = segments->items;
    for (size_t i = segments->count; i-- > 1;)
        if (before(&items[i - 1], &items[segments->count - kept]) && before(&first, &items[i - 1])) {
            items[segments->count - kept - 1] = items[i - 1];
            kept++;
        }
    memmove(items, items + segments->count - kept, kept * sizeof *items);
    segments->count = kept;
}

int segments_read(struct verify *verify, struct segments *ret, struct err *err)
{
    char since[VERIFY_NUMBER_SIZE], last[VERIFY_NUMBER_SIZE], most[VERIFY_NUMBER_SIZE];
    const char *params[] = {verify_number(since, verify->options->since), verify_number(last, verify->result->height),
                            verify_number(most, SEGMENTS_MAX - 1)};
    crypto_random(ret->key, sizeof ret->key);
    ret->first = verify->since;
    ret->count = 0;
    struct db_result *rows =
        db_query(verify->db,
                 "select size, last_xid, last_seq from ledger.seal where height > $1::bigint and height <= $2::bigint"
                 " and (height = $2::bigint or height % (($2::bigint - $1::bigint) / $3::bigint + 1) = 0)"
                 " order by height",
                 3, params, err);
    if (!rows)
        return -1;
    for (int row = 0; row < db_rows(rows) && ret->count < SEGMENTS_MAX; row++)
        ret->items[ret->count++] = (struct segment){{strtoull(db_value(rows, row, 1), NULL, 10), db_int(rows, row, 2)},
                                                    (uint64_t)db_int(rows, row, 0)};
    db_result_free(rows);
    keep_ordered(ret);
    return 0;
}

ptrdiff_t segments_find(const struct segments *segments, struct place place)
{
    size_t low = 0, high = segments->count;
    if (place_compare(place, segments->first) <= 0)
        return -1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (place_compare(segments->items[middle].last, place) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (ptrdiff_t)low;
}

struct place segment_first(const struct segments *segments, size_t n)
{
    return n ? segments->items[n - 1].last : segments->first;
}

uint64_t segment_first_size(const struct segments *segments, size_t n)
{
    return n ? segments->items[n - 1].size : segments->first_size;
}

/* --- sums --- */

static void sum_join(struct sum *sum, const struct sum *more)
{
    sum->halves[0] += more->halves[0];
    sum->halves[1] += more->halves[1];
    sum->count += more->count;
    sum->bad |= more->bad;
}

void sums_add(struct sums *sums, const struct segments *segments, size_t n, struct place place, struct uuid payment,
              struct text slot, const struct hash *leaf)
{
    struct {
        uint8_t key[sizeof segments->key];
        struct place place;
        struct uuid payment;
        struct hash leaf;
    } front;
    uint8_t digest[SHA256_SIZE];
    struct sum one = {.count = 1};
    static_assert(sizeof front == sizeof segments->key + 2 * sizeof(uint64_t) + sizeof payment + sizeof *leaf,
                  "no byte between them");
    memcpy(front.key, segments->key, sizeof front.key);
    front.place = place;
    front.payment = payment;
    front.leaf = *leaf;
    sha256_two(&front, sizeof front, slot.data, slot.size, digest);
    memcpy(one.halves, digest, sizeof one.halves);
    sum_join(&sums->items[n], &one);
}

void sums_join(struct sums *sums, const struct sums *more)
{
    for (size_t n = 0; n < SEGMENTS_MAX; n++)
        sum_join(&sums->items[n], &more->items[n]);
}

bool sum_equal(const struct sum *a, const struct sum *b)
{
    return !a->bad && !b->bad && a->count == b->count && a->halves[0] == b->halves[0] && a->halves[1] == b->halves[1];
}
