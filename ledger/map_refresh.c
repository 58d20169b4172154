/* map_refresh.c - see map_refresh.h */
#include "ledger/map_refresh.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* --- what changed --- */

void map_changes_clear(struct map_changes *changes)
{
    free(changes->items);
    free(changes->fresh);
    *changes = (struct map_changes){0};
}

static void add_change(struct map_changes *changes, const struct map_part *part, bool fresh)
{
    if (changes->count == changes->room) {
        changes->room = changes->room ? 2 * changes->room : 64;
        changes->items = mem_grow(changes->items, changes->room, sizeof *changes->items);
        changes->fresh = mem_grow(changes->fresh, changes->room, sizeof *changes->fresh);
    }
    changes->fresh[changes->count] = fresh;
    changes->items[changes->count++] = *part;
}

/* --- payments out of their slots --- */

struct payments {
    struct map_payment *items;
    size_t count, room;
    struct map_slots slots; /* of the payment that is being read */
    struct uuid id;
    bool reading;
};

static void end_payment(struct payments *payments)
{
    if (!payments->reading)
        return;
    if (payments->count == payments->room) {
        payments->room = payments->room ? 2 * payments->room : 64;
        payments->items = mem_grow(payments->items, payments->room, sizeof *payments->items);
    }
    payments->items[payments->count++] = (struct map_payment){payments->id, map_slots_end(&payments->slots)};
    payments->reading = false;
}

static void add_slot(struct payments *payments, struct uuid id, const char *slot, size_t size)
{
    if (payments->reading && !uuid_equal(payments->id, id))
        end_payment(payments);
    payments->id = id;
    payments->reading = true;
    map_slots_add(&payments->slots, slot, size);
}

static void payments_clear(struct payments *payments)
{
    free(payments->items);
    map_slots_free(&payments->slots);
}

/* --- a part out of its payments --- */

static void set_child(struct map_child *child, const struct map_payment *payments, size_t count, int depth)
{
    struct map_builder builder;
    map_builder_begin(&builder, depth);
    for (size_t i = 0; i < count; i++)
        if (map_builder_add(&builder, payments[i].id, &payments[i].slots) != 0)
            abort(); /* whoever reads them has looked at their order */
    child->count = count;
    child->node = map_builder_end(&builder);
}

/* The part that begins with `first` has exactly these payments; it is made of more parts if there are too many. */
static void make_part(struct map_parts *parts, struct uuid first, const struct map_payment *payments, size_t count,
                      struct map_changes *changes)
{
    struct map_part part = {.first = first, .depth = map_parts_find(parts, first).depth};
    size_t begins[MAP_CHILDREN + 1] = {0}, at = 0;
    bool full = false;
    for (int child = 0; child < MAP_CHILDREN; child++) {
        while (at < count && map_part_child(&part, payments[at].id) == child)
            at++;
        begins[child + 1] = at;
        full |= at - begins[child] > MAP_CHILD_MAX;
    }
    if (!full) {
        for (int child = 0; child < MAP_CHILDREN; child++)
            set_child(&part.children[child], payments + begins[child], begins[child + 1] - begins[child],
                      part.depth + MAP_STEP);
        struct map_node root = map_part_root(&part);
        map_parts_update(parts, first, &root);
        add_change(changes, &part, true);
        return;
    }
    map_parts_split(parts, first);
    for (int child = 0; child < MAP_CHILDREN; child++)
        make_part(parts, map_part_first(&part, child), payments + begins[child], begins[child + 1] - begins[child],
                  changes);
}

/* --- refreshing --- */

/* Some of the payments, and what of the map they touch. A part is of one round only: what it says is not kept before the last one. */
enum { RANGES_MAX = MAP_REFRESH_PAYMENTS + MAP_CHILDREN };
struct round {
    struct map_part parts[RANGES_MAX];
    bool full[RANGES_MAX];
    size_t part_count;
    struct map_range ranges[RANGES_MAX]; /* children */
    struct {
        size_t part;
        int child;
    } of[RANGES_MAX];
    size_t range_count;
};

static bool is_of_last_part(const struct round *round, struct uuid id)
{
    if (round->part_count == 0)
        return false;
    const struct map_part *part = &round->parts[round->part_count - 1];
    return uuid_compare(id, map_last(part->first, part->depth)) <= 0;
}

static void add_touched(struct round *round, const struct map_parts *parts, struct uuid id)
{
    if (!is_of_last_part(round, id)) {
        struct map_place place = map_parts_find(parts, id);
        round->full[round->part_count] = false;
        round->parts[round->part_count++] = (struct map_part){.first = place.first, .depth = place.depth};
    }
    const struct map_part *part = &round->parts[round->part_count - 1];
    int child = map_part_child(part, id);
    size_t last = round->range_count - 1;
    if (round->range_count && round->of[last].part == round->part_count - 1 && round->of[last].child == child)
        return;
    round->of[round->range_count].part = round->part_count - 1;
    round->of[round->range_count].child = child;
    round->ranges[round->range_count++] = (struct map_range){map_part_first(part, child), map_part_last(part, child)};
}

static int check_parts(const struct round *round, const struct map_parts *parts, struct err *err)
{
    for (size_t i = 0; i < round->part_count; i++) {
        struct map_node kept = map_part_root(&round->parts[i]),
                        known = map_parts_find(parts, round->parts[i].first).root;
        char first[UUID_TEXT_SIZE];
        uuid_format(round->parts[i].first, first);
        if (!map_node_equal(&kept, &known))
            return err_set(err, ERR_CONFLICT, "the part of the map that begins with %s is not the one that was kept",
                           first);
    }
    return 0;
}

/* The slots of one range after the other. */
struct reading {
    struct round *round; /* NULL: all in one */
    struct payments payments;
    size_t range;
    struct uuid last;
    bool begun;
};

static void end_range(struct reading *reading)
{
    end_payment(&reading->payments);
    if (!reading->round)
        return;
    struct map_part *part = &reading->round->parts[reading->round->of[reading->range].part];
    struct map_child *child = &part->children[reading->round->of[reading->range].child];
    set_child(child, reading->payments.items, reading->payments.count, part->depth + MAP_STEP);
    reading->round->full[reading->round->of[reading->range].part] |= child->count > MAP_CHILD_MAX;
    reading->payments.count = 0;
}

static int on_slot(void *arg, size_t range, struct uuid id, const char *slot, size_t size, struct err *err)
{
    struct reading *reading = arg;
    if (range < reading->range || (reading->begun && uuid_compare(reading->last, id) > 0))
        return err_set(err, ERR_INTERNAL, "leaves of the map do not come in their order");
    for (; reading->range < range; reading->range++)
        end_range(reading);
    reading->last = id;
    reading->begun = true;
    add_slot(&reading->payments, id, slot, size);
    return 0;
}

static int read_children(struct round *round, const struct map_source *source, struct err *err)
{
    struct reading reading = {.round = round};
    int r = source->read_slots(source->arg, round->ranges, round->range_count, on_slot, &reading, err);
    for (; r == 0 && reading.range < round->range_count; reading.range++)
        end_range(&reading);
    payments_clear(&reading.payments);
    return r;
}

static int divide_part(struct map_parts *parts, const struct map_source *source, const struct map_part *part,
                       struct map_changes *changes, struct err *err)
{
    struct reading reading = {0};
    struct map_range whole = {part->first, map_last(part->first, part->depth)};
    int r = source->read_slots(source->arg, &whole, 1, on_slot, &reading, err);
    end_payment(&reading.payments);
    if (r == 0)
        make_part(parts, part->first, reading.payments.items, reading.payments.count, changes);
    payments_clear(&reading.payments);
    return r;
}

static int refresh_some(struct map_parts *parts, const struct map_source *source, struct round *round,
                        struct map_changes *changes, struct err *err)
{
    if (source->read_parts(source->arg, round->parts, round->part_count, err) != 0 ||
        check_parts(round, parts, err) != 0 || read_children(round, source, err) != 0)
        return -1;
    for (size_t i = 0; i < round->part_count; i++) {
        const struct map_part *part = &round->parts[i];
        if (round->full[i]) {
            if (divide_part(parts, source, part, changes, err) != 0)
                return -1;
            continue;
        }
        struct map_node root = map_part_root(part);
        map_parts_update(parts, part->first, &root);
        add_change(changes, part, false);
    }
    return 0;
}

int map_refresh(struct map_parts *parts, const struct map_source *source, const struct uuid *ids, size_t count,
                struct map_changes *changes, struct err *err)
{
    struct round *round = mem_new(1, sizeof *round);
    int r = 0;
    for (size_t at = 0; r == 0 && at < count;) {
        round->part_count = round->range_count = 0;
        for (; at < count && (round->range_count < MAP_REFRESH_PAYMENTS || is_of_last_part(round, ids[at])); at++)
            add_touched(round, parts, ids[at]);
        r = refresh_some(parts, source, round, changes, err);
    }
    free(round);
    return r;
}

/* --- from nothing --- */

struct map_build {
    struct map_parts *parts;
    struct payments payments; /* of the part that is being read */
    struct map_place place;
    bool ended;
    struct uuid last;
    bool begun;
};

/* Parts of `depth` bits, all of them. */
static void split_to(struct map_parts *parts, struct uuid first, int depth)
{
    struct map_part part = {.first = first, .depth = map_parts_find(parts, first).depth};
    if (part.depth >= depth)
        return;
    map_parts_split(parts, first);
    for (int child = 0; child < MAP_CHILDREN; child++)
        split_to(parts, map_part_first(&part, child), depth);
}

struct map_build *map_build_new(uint64_t payments)
{
    struct map_build *build = mem_new(1, sizeof *build);
    int depth = 0;
    while (depth + 2 * MAP_STEP < 32 && payments >> (depth + MAP_STEP) > MAP_CHILD_MAX / 2)
        depth += MAP_STEP;
    build->parts = map_parts_new();
    split_to(build->parts, (struct uuid){0}, depth);
    build->place = map_parts_find(build->parts, (struct uuid){0});
    return build;
}

void map_build_free(struct map_build *build)
{
    if (!build)
        return;
    map_parts_free(build->parts);
    payments_clear(&build->payments);
    free(build);
}

/* The part that was read is complete. False when it was the last one. */
static bool end_part(struct map_build *build, struct map_changes *changes)
{
    end_payment(&build->payments);
    make_part(build->parts, build->place.first, build->payments.items, build->payments.count, changes);
    build->payments.count = 0;
    struct uuid next = map_last(build->place.first, build->place.depth);
    for (int i = sizeof next.bytes - 1; i >= 0; i--)
        if (++next.bytes[i]) {
            build->place = map_parts_find(build->parts, next);
            return true;
        }
    return false;
}

int map_build_add(struct map_build *build, struct uuid id, const char *slot, size_t size, struct map_changes *changes)
{
    if (build->begun && uuid_compare(build->last, id) > 0)
        return -1;
    while (uuid_compare(id, map_last(build->place.first, build->place.depth)) > 0)
        end_part(build, changes);
    build->last = id;
    build->begun = true;
    add_slot(&build->payments, id, slot, size);
    return 0;
}

struct map_parts *map_build_end(struct map_build *build, struct map_changes *changes)
{
    while (end_part(build, changes))
        ;
    struct map_parts *parts = build->parts;
    build->parts = NULL;
    return parts;
}

/* --- proofs --- */

int map_prove(struct map_parts *parts, const struct map_source *source, struct uuid id, struct map_proof *ret,
              struct err *err)
{
    struct map_place place = map_parts_find(parts, id);
    struct map_part part = {.first = place.first, .depth = place.depth};
    map_prove_parts(parts, id, ret);
    if (ret->end.kind == MAP_INNER) {
        if (source->read_parts(source->arg, &part, 1, err) != 0)
            return -1;
        map_prove_part(&part, id, ret);
    }
    if (ret->end.kind == MAP_EMPTY)
        return 0;
    struct map_range range = {.first = id};
    for (int depth = ret->count; depth < MAP_BITS; depth++)
        range.first.bytes[depth / 8] &= (uint8_t) ~(0x80 >> depth % 8);
    range.last = map_last(range.first, ret->count);
    struct reading reading = {0};
    int r = source->read_slots(source->arg, &range, 1, on_slot, &reading, err);
    end_payment(&reading.payments);
    if (r == 0)
        map_prove_payments(reading.payments.items, reading.payments.count, id, ret);
    payments_clear(&reading.payments);
    return r;
}
