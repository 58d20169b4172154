/* map_refresh.h - the sorted map follows the leaves: parts that have new slots are computed anew, the others stand (map_parts.h)
 *
 * Where leaves and kept parts are read is the caller's business (struct map_source); the tests have theirs in memory.
 */
#ifndef ACQUIT_LEDGER_MAP_REFRESH_H
#define ACQUIT_LEDGER_MAP_REFRESH_H

#include "ledger/map_parts.h"

enum { MAP_REFRESH_PAYMENTS = 1024 /* looked up at once */ };

struct map_range {
    struct uuid first, last;
};
/* Hears of the slots in range `range` of those asked for; in the order of (id, slot). */
typedef int map_slot_function(void *arg, size_t range, struct uuid id, const char *slot, size_t size, struct err *err);
struct map_source {
    /* Sets the children of parts whose `first` and `depth` are set. */
    int (*read_parts)(void *arg, struct map_part *parts, size_t count, struct err *err);
    /* Tells of all slots in these ranges, which stand in their order and do not overlap. */
    int (*read_slots)(void *arg, const struct map_range *ranges, size_t count, map_slot_function *tell, void *told,
                      struct err *err);
    void *arg;
};

/* Parts that are to be kept from now on. Begins as {0}. */
struct map_changes {
    struct map_part *items;
    bool *fresh; /* of each: there may be none of it yet, or one of another depth */
    size_t count, room;
};
void map_changes_clear(struct map_changes *changes);

/* The payments `ids` (in their order, each once) have new slots, or fewer: brings `parts` to what the source has now. Adds what is to be kept to
 * `changes`. -1 with an error; ERR_CONFLICT: a kept part is not the one that `parts` has. `parts` is of no use then. */
int map_refresh(struct map_parts *parts, const struct map_source *source, const struct uuid *ids, size_t count,
                struct map_changes *changes, struct err *err) MUST_CHECK;

/* --- from nothing: all slots in the order of (id, slot), in as many steps as one likes --- */

struct map_build;
/* `payments`: about how many there are; it only decides how many parts there will be at first. */
struct map_build *map_build_new(uint64_t payments);
void map_build_free(struct map_build *build);
/* -1: it is not behind the last one. Adds parts that are complete to `changes`. */
int map_build_add(struct map_build *build, struct uuid id, const char *slot, size_t size,
                  struct map_changes *changes) MUST_CHECK;
/* Once, when all are added: the whole map, which is the caller's; adds the last parts to `changes`. */
struct map_parts *map_build_end(struct map_build *build, struct map_changes *changes);

/* The way of `id`, to its own leaf, another's, or nothing. Its root is map_parts_root()'s unless source and parts do not agree. */
int map_prove(struct map_parts *parts, const struct map_source *source, struct uuid id, struct map_proof *ret,
              struct err *err) MUST_CHECK;

#endif
