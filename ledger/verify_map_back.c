/* verify_map_back.c - the maps that heads stated since a block that was verified before (verify_map.c)
 *
 * The newest one is kept in parts, whose roots are what its head states. From there one goes back: what the leaves between two maps touched is
 * computed anew with the leaves of the earlier one. Parts as they were stand in memory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "ledger/map_store.h"
#include "ledger/verify_internal.h"

enum {
    OVERLAY_PARTS_MAX = 128 << 10, /* parts in memory, 75 MB */
    LOOK_LEAVES = 32768,           /* leaves of one look */
};

/* Parts as they were, by their first id. */
struct overlay {
    struct map_store store;
    struct entry {
        struct uuid first;
        bool used;
        uint8_t depth, children[MAP_PART_SIZE];
    } * entries; /* a table of twice OVERLAY_PARTS_MAX, used by half */
    size_t count;
};

static struct entry *find_entry(const struct overlay *overlay, struct uuid first)
{
    uint64_t at = 0;
    for (size_t i = 0; i < sizeof first.bytes; i++)
        at = (at ^ first.bytes[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    for (;; at++) {
        struct entry *entry = &overlay->entries[at % ((uint64_t)2 * OVERLAY_PARTS_MAX)];
        if (!entry->used || uuid_equal(entry->first, first))
            return entry;
    }
}

static int read_overlaid(void *arg, struct map_part *parts, size_t count, struct err *err)
{
    struct overlay *overlay = arg;
    const struct map_source kept = map_store_source(&overlay->store);
    size_t *missing = mem_new(count, sizeof *missing), missing_count = 0;
    struct map_part *read = mem_new(count, sizeof *read);
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = find_entry(overlay, parts[i].first);
        if (!entry->used) {
            read[missing_count] = parts[i];
            missing[missing_count++] = i;
        } else if (entry->depth != parts[i].depth || map_part_decode(entry->children, MAP_PART_SIZE, &parts[i]) != 0) {
            r = err_set(err, ERR_INTERNAL, "a part of the map is not the one that was looked at");
        }
    }
    if (r == 0)
        r = kept.read_parts(kept.arg, read, missing_count, err);
    for (size_t i = 0; r == 0 && i < missing_count; i++)
        parts[missing[i]] = read[i];
    free(missing);
    free(read);
    return r;
}

static int read_slots(void *arg, const struct map_range *ranges, size_t count, map_slot_function *tell, void *told,
                      struct err *err)
{
    struct overlay *overlay = arg;
    const struct map_source source = map_store_source(&overlay->store);
    return source.read_slots(source.arg, ranges, count, tell, told, err);
}

/* False when there are too many. */
static bool overlay_keep(struct overlay *overlay, struct map_changes *changes)
{
    bool fits = true;
    for (size_t i = 0; fits && i < changes->count; i++) {
        const struct map_part *part = &changes->items[i];
        struct entry *entry = find_entry(overlay, part->first);
        if (!entry->used && overlay->count == OVERLAY_PARTS_MAX) {
            fits = false;
            break;
        }
        overlay->count += !entry->used;
        entry->used = true;
        entry->first = part->first;
        entry->depth = (uint8_t)part->depth;
        map_part_encode(part, entry->children);
    }
    map_changes_clear(changes);
    return fits;
}

struct back {
    struct verify *verify;
    struct map_parts *parts;
    struct overlay overlay;
};

/* What the leaves from `from` to `to` touched, as it was with the first `below` leaves. 1: done; 0: too much of it. */
static int look(struct back *back, uint64_t from, uint64_t to, uint64_t below, struct err *err)
{
    struct uuid *touched = NULL;
    size_t count = 0;
    struct map_changes changes = {0};
    const struct map_source source = {read_overlaid, read_slots, &back->overlay};
    back->overlay.store.below = below;
    if (map_store_touched(back->verify->db, from, to, &touched, &count, err) != 0)
        return -1;
    int r = map_refresh(back->parts, &source, touched, count, &changes, err);
    free(touched);
    if (r != 0) {
        map_changes_clear(&changes);
        return -1;
    }
    return overlay_keep(&back->overlay, &changes);
}

static void judge(struct back *back, const struct map_stated *line)
{
    struct map_node root = map_parts_root(back->parts);
    back->verify->result->maps++;
    if (!hash_equal(&root.hash, &line->map.root))
        verify_fault(back->verify, VERIFY_MAP, IN_BLOCK(line->height),
                     "the map that its head states is not that of the first %" PRIu64 " leaves", line->map.size);
}

/* The newest first, with all that the others touch; then each of the others. */
static int look_back(struct back *back, const struct map_lines *lines, struct err *err)
{
    const struct map_stated *newest = &lines->items[lines->count - 1];
    for (uint64_t from = lines->items[0].map.size; from < newest->map.size; from += LOOK_LEAVES) {
        uint64_t to = from + LOOK_LEAVES < newest->map.size ? from + LOOK_LEAVES : newest->map.size;
        int r = look(back, from, to, newest->map.size, err);
        if (r != 1)
            return r;
    }
    judge(back, newest);
    for (size_t i = lines->count - 1; i-- > 0;) {
        int r = look(back, lines->items[i].map.size, lines->items[i + 1].map.size, lines->items[i].map.size, err);
        if (r != 1)
            return r;
        judge(back, &lines->items[i]);
        verify_progress(back->verify, "maps", back->verify->result->maps);
    }
    return 1;
}

static void note_rest(struct back *back, int64_t done, const struct map_lines *lines)
{
    char text[ERR_TEXT_MAX];
    snprintf(text, sizeof text,
             "%" PRId64 " of the %zu maps since then were compared: too many payments have changed for more", done,
             lines->count);
    if (back->verify->options->note)
        back->verify->options->note(back->verify->options->arg, text);
}

int verify_map_back(struct verify *verify, const struct map_lines *lines, struct map_parts *parts, struct err *err)
{
    struct back back = {.verify = verify, .parts = parts, .overlay.store.db = verify->db};
    struct err why = {0};
    back.overlay.entries = mem_new((size_t)2 * OVERLAY_PARTS_MAX, sizeof *back.overlay.entries);
    int r = look_back(&back, lines, &why);
    free(back.overlay.entries);
    if (r == 0)
        note_rest(&back, verify->result->maps, lines);
    if (r >= 0)
        return 0;
    if (why.code != ERR_CONFLICT)
        return err_set(err, why.code, "%s", why.text);
    verify_fault(verify, VERIFY_MAP, NOWHERE, "%s; after `truncate view.map_part` the keeper builds them anew",
                 why.text);
    return 0;
}
